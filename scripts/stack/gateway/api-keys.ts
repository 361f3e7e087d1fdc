import type { Context, MiddlewareHandler } from 'hono';
import { jwtVerify } from 'jose';
import type { StackKeys } from '../keys.ts';
import { bearerOf, setBearer } from './caller.ts';

type ApiRole = 'anon' | 'service_role';

/**
 * Reads API keys as Supabase's gateway does. A publishable key stands for role anon, a secret one for service_role, and
 * so do the older keys, which are JWTs. Where no user's JWT comes along, or Authorization merely repeats the key, the
 * request goes on with the JWT of the key's role.
 *
 * @param options.required whether a request without a key is refused; Storage and functions accept it
 */
export function apiKeys(keys: StackKeys, options: { required: boolean }): MiddlewareHandler {
  const secret = new TextEncoder().encode(keys.jwtSecret);
  const jwtOf: Record<ApiRole, string> = { anon: keys.anonJwt, service_role: keys.serviceRoleJwt };

  return async (c, next) => {
    const bearer = bearerOf(c);
    const bearerIsKey = bearer?.startsWith('sb_') ?? false;
    const key = c.req.header('apikey') ?? c.req.query('apikey') ?? (options.required || !bearerIsKey ? undefined : bearer);
    if (!key) {
      if (options.required) return refuse(c, 'No API key found in request', 'No `apikey` request header or url param was found.');
      return next();
    }
    const role = await roleOf(key);
    if (!role) return refuse(c, 'Invalid API key', 'Double check your Supabase `anon` or `service_role` API key.');
    if (key === keys.secret && /^\s*Mozilla\/5\.0/i.test(c.req.header('user-agent') ?? '')) {
      return refuse(
        c,
        'Forbidden use of secret API key in browser',
        'Secret keys are for servers: use the publishable key here.',
      );
    }
    if (!bearer || bearer === key || bearerIsKey) setBearer(c, jwtOf[role]);
    return next();
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

function refuse(c: Context, message: string, hint: string): Response {
  return c.json({ message, hint }, 401);
}
