/** An error that reaches the client: a status, a stable token, and what the client may do about it. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    readonly status: number,
    readonly token: string,
    readonly details?: string,
    readonly hint?: string,
  ) {
    super(token);
  }

  /** The shape PostgREST answers in, so that an app reads errors of functions and of tables alike. */
  toJSON() {
    return {
      code: `PT${this.status}`,
      message: this.token,
      details: this.details ?? null,
      hint: this.hint ?? null,
    };
  }
}

/** An error as PostgREST tells it. */
export type DatabaseError = {
  code: string;
  message: string;
  details?: string | null | undefined;
  hint?: string | null | undefined;
};

/** A value that is none of its type: malformed, no day, no time zone, out of range, a text with U+0000. */
const noValue = ["22P02", "22007", "22008", "22009", "22003", "22P05"];

/**
 * What the database refused, as an error for the client. Its tokens (errcode PTxyz), refusals (42501) and values that it
 * cannot read pass through; anything else is ours to look into and says nothing.
 */
export function fromDatabase(error: DatabaseError): Error {
  const status = /^PT([1-5]\d\d)$/.exec(error.code)?.[1];
  if (status) {
    return new ApiError(
      Number(status),
      error.message,
      error.details || undefined,
      error.hint || undefined,
    );
  }
  if (error.code === "42501") return new ApiError(403, "not_allowed");
  if (noValue.includes(error.code)) return new ApiError(400, "invalid_body", error.message);
  if (error.code === "PGRST301" || error.code === "PGRST303") {
    return new ApiError(401, "invalid_jwt");
  }
  return new Error(`${error.code}: ${error.message}`);
}
