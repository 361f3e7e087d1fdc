import { jwtVerify, SignJWT } from 'jose';
import type pg from 'pg';
import { z } from 'zod';
import type { HookFunction } from '../supabase-config.ts';
import { AuthError } from './errors.ts';
import type { Hooks } from './hooks.ts';
import { userNotFound, type UserRow } from './users.ts';

/** How a session came about, in the words of Supabase Auth. */
export type AuthenticationMethod =
  | 'password'
  | 'otp'
  | 'token_refresh'
  | 'oauth'
  | 'magiclink'
  | 'recovery'
  | 'invite'
  | 'email/signup';

/** Turns the tokens that @supabase/lite issues into those that Supabase issues. */
export type TokenMint = {
  /**
   * The same session with Supabase's claims, after the access token hook has had its say.
   *
   * @throws AuthError when the user is banned or gone, or the hook rejects the sign-in
   */
  remint(accessToken: string, method: AuthenticationMethod): Promise<string>;
};

const hookAnswer = z.object({
  claims: z.record(z.string(), z.unknown()).optional(),
  error: z.object({ message: z.string(), http_code: z.number().optional() }).optional(),
});

/** Claims that a hook may change but not take away, on pain of being ignored: Supabase refuses such a token. */
const requiredClaims = ['iss', 'aud', 'exp', 'iat', 'sub', 'email', 'phone', 'role', 'aal', 'session_id', 'is_anonymous'];

/**
 * @param options.pool connects as `supabase_auth_admin`, the role under which hooks run on Supabase
 * @param options.issuer the address of Auth, as it stands in `iss`
 * @param options.hook the SQL function named in config.toml; until it exists, tokens go out without it
 */
export function createTokenMint(options: {
  pool: pg.Pool;
  hooks: Hooks;
  jwtSecret: string;
  issuer: string;
  hook: HookFunction | undefined;
  onLog: (line: string) => void;
}): TokenMint {
  const { pool, hooks, issuer, hook, onLog } = options;
  const secret = new TextEncoder().encode(options.jwtSecret);

  return {
    async remint(accessToken, method) {
      const { payload } = await jwtVerify(accessToken, secret, { algorithms: ['HS256'] });
      const sessionId = String(payload.session_id);
      const user =
        (await pool.query<UserRow>('select * from auth.users where id = $1 and deleted_at is null', [payload.sub])).rows[0];
      if (!user) throw userNotFound();
      if (user.banned_until && user.banned_until > new Date()) {
        if (method !== 'token_refresh') await pool.query('delete from auth.sessions where id = $1', [sessionId]);
        throw new AuthError(400, 'user_banned', 'User is banned');
      }
      const claims = await applyHook(user.id, method, {
        iss: issuer,
        sub: user.id,
        aud: user.aud ?? 'authenticated',
        exp: payload.exp,
        iat: payload.iat,
        email: user.email ?? '',
        phone: user.phone ?? '',
        app_metadata: user.raw_app_meta_data ?? {},
        user_metadata: user.raw_user_meta_data ?? {},
        role: user.role ?? 'authenticated',
        aal: (await assuranceLevel(sessionId)) ?? 'aal1',
        amr: await authenticationMethods(sessionId, method),
        session_id: sessionId,
        is_anonymous: user.is_anonymous,
      });
      return new SignJWT(claims).setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).sign(secret);
    },
  };

  /** How sure the session is of its user; a second factor raises it. */
  async function assuranceLevel(sessionId: string): Promise<string | undefined> {
    const { rows } = await pool.query<{ aal: string | null }>('select aal from auth.sessions where id = $1', [sessionId]);
    return rows[0]?.aal ?? undefined;
  }

  /** How the session was opened; a refresh does not change it. */
  async function authenticationMethods(sessionId: string, method: AuthenticationMethod) {
    if (method !== 'token_refresh') {
      await pool.query(
        `insert into auth.mfa_amr_claims (id, session_id, authentication_method, created_at, updated_at)
         values (gen_random_uuid(), $1, $2, now(), now()) on conflict do nothing`,
        [sessionId, method],
      );
    }
    const { rows } = await pool.query<{ method: string; timestamp: number }>(
      `select authentication_method as method, extract(epoch from updated_at)::integer as timestamp
       from auth.mfa_amr_claims where session_id = $1 order by created_at`,
      [sessionId],
    );
    return rows;
  }

  /** Runs the hook. What it cannot do must not keep anybody out, so a failing hook is reported and passed over. */
  async function applyHook(
    userId: string,
    method: AuthenticationMethod,
    claims: Record<string, unknown>,
  ): Promise<Record<string, unknown>> {
    if (!hook) return claims;
    const name = `${hook.schema}.${hook.name}`;
    const event = { user_id: userId, claims, authentication_method: method };
    let answer: z.infer<typeof hookAnswer>;
    try {
      const given = await hooks.call(hook, event);
      if (given === undefined) return claims;
      answer = hookAnswer.parse(given);
    } catch (error) {
      onLog(`The access token hook ${name} failed, so a token was issued without it: ${(error as Error).message}`);
      return claims;
    }
    if (answer.error) throw new AuthError(answer.error.http_code === 403 ? 403 : 400, 'hook_rejected', answer.error.message);
    const missing = requiredClaims.filter((claim) => !(claim in (answer.claims ?? {})));
    if (answer.claims && missing.length === 0) return answer.claims;
    onLog(`The access token hook ${name} dropped required claims (${missing.join(', ')}), so a token was issued without it.`);
    return claims;
  }
}
