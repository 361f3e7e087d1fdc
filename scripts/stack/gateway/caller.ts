import type { Context } from 'hono';

const authorizationKey = 'authorization';

/** Decides with which JWT a request goes on, whatever it came with. */
export function setBearer(c: Context, jwt: string): void {
  c.set(authorizationKey, `Bearer ${jwt}`);
}

/** The JWT with which a request goes on: the user's, or that of the API key's role. */
export function bearerOf(c: Context): string | undefined {
  return bearerIn(authorizationOf(c));
}

/** The token of a header `authorization` that brings one. */
export function bearerIn(authorization: string | undefined): string | undefined {
  return /^Bearer\s+(.+)$/i.exec(authorization ?? '')?.[1];
}

/** The headers with which a request goes on to a service: without the API key, which is ours alone to read. */
export function headersOf(c: Context): Headers {
  const headers = new Headers(c.req.raw.headers);
  headers.delete('apikey');
  const authorization = authorizationOf(c);
  if (authorization !== undefined) headers.set('authorization', authorization);
  return headers;
}

/** The header `authorization` with which a request goes on. */
function authorizationOf(c: Context): string | undefined {
  return (c.get(authorizationKey) as string | undefined) ?? c.req.header('authorization');
}
