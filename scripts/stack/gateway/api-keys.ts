import type { MiddlewareHandler } from 'hono';
import { jwtVerify } from 'jose';
import type { StackKeys } from '../keys.ts';
import { bearerOf, setBearer } from './caller.ts';

type ApiRole = 'anon' | 'service_role';

/** What of a request tells which key it came with. */
export type Brought = { key: string | undefined; bearer: string | undefined; userAgent: string | undefined };

/** With which JWT a request goes on (undefined: with the one it came with), or why it does not. */
export type KeyReading = { jwt?: string | undefined } | { refusal: { message: string; hint: string } };

/**
 * Reads API keys as Supabase's gateway does. A publishable key stands for role anon, a secret one for service_role, and
 * so do the older keys, which are JWTs. Where no user's JWT comes along, or Authorization merely repeats the key, the
 * request goes on with the JWT of the key's role.
 *
 * @param options.required whether a request without a key is refused; Storage and functions accept it
 */
export function keyReader(keys: StackKeys, options: { required: boolean }): (brought: Brought) => Promise<KeyReading> {
  const secret = new TextEncoder().encode(keys.jwtSecret);
  const jwtOf: Record<ApiRole, string> = { anon: keys.anonJwt, service_role: keys.serviceRoleJwt };

  return async (brought) => {
    const { bearer, userAgent = '' } = brought;
    const bearerIsKey = bearer?.startsWith('sb_') ?? false;
    const key = brought.key ?? (options.required || !bearerIsKey ? undefined : bearer);
    if (!key) return options.required ? refuse('No API key found in request', 'No `apikey` request header or url param was found.') : {};
    const role = await roleOf(key);
    if (!role) return refuse('Invalid API key', 'Double check your Supabase `anon` or `service_role` API key.');
    if (key === keys.secret && /^\s*Mozilla\/5\.0/i.test(userAgent)) {
      return refuse('Forbidden use of secret API key in browser', 'Secret keys are for servers: use the publishable key here.');
    }
    return { jwt: !bearer || bearer === key || bearerIsKey ? jwtOf[role] : undefined };
  };

  async function roleOf(key: string): Promise<ApiRole | undefined> {
    // Those that we handed out need no verifying.
    if (key === keys.publishable || key === keys.anonJwt) return 'anon';
    if (key === keys.secret || key === keys.serviceRoleJwt) return 'service_role';
    if (key.startsWith('sb_')) return undefined;
    try {
      const { payload } = await jwtVerify(key, secret, { algorithms: ['HS256'] });
      return payload.role === 'anon' || payload.role === 'service_role' ? payload.role : undefined;
    } catch {
      return undefined;
    }
  }
}

/** `keyReader` in front of what Hono serves. */
export function apiKeys(keys: StackKeys, options: { required: boolean }): MiddlewareHandler {
  const read = keyReader(keys, options);
  return async (c, next) => {
    const reading = await read({ key: c.req.header('apikey') ?? c.req.query('apikey'), bearer: bearerOf(c), userAgent: c.req.header('user-agent') });
    if ('refusal' in reading) return c.json(reading.refusal, 401);
    if (reading.jwt !== undefined) setBearer(c, reading.jwt);
    return next();
  };
}

/** Lets in only who brings a valid JWT, as Supabase does for functions with `verify_jwt`. */
export function validJwt(keys: StackKeys): MiddlewareHandler {
  const secret = new TextEncoder().encode(keys.jwtSecret);
  return async (c, next) => {
    if (c.req.method === 'OPTIONS') return next();
    const bearer = bearerOf(c);
    if (!bearer) return c.json({ code: 401, message: 'Missing authorization header' }, 401);
    try {
      await jwtVerify(bearer, secret, { algorithms: ['HS256'] });
    } catch {
      return c.json({ code: 401, message: 'Invalid JWT' }, 401);
    }
    return next();
  };
}

/** A path without the key in its query: ours alone to read, and PostgREST would take it for a filter. */
export function withoutApiKey(path: string): string {
  if (!path.includes('apikey=')) return path;
  return path.replace(/([?&])apikey=[^&]*(&|$)/, (_, before: string, after: string) => (after ? before : '')).replace(/\?$/, '');
}

function refuse(message: string, hint: string): KeyReading {
  return { refusal: { message, hint } };
}
