import { ApiError } from "./errors.ts";

/** Whoever calls a function: their JWT, with which their work is done. */
export type Caller = { jwt: string };

/**
 * The caller of a request. The gateway has verified the JWT's signature (`verify_jwt`), and the database verifies it again
 * on every query made with it.
 *
 * @throws {ApiError} 401 when there is none
 */
export function callerOf(authorization: string | undefined): Caller {
  const jwt = /^Bearer\s+(\S+\.\S+\.\S+)$/i.exec(authorization ?? "")?.[1];
  if (!jwt) {
    throw new ApiError(401, "missing_jwt", undefined, "Sign in, and send the access token as Authorization: Bearer.");
  }
  return { jwt };
}
