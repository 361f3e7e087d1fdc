import bcrypt from 'bcryptjs';
import { type Context, Hono } from 'hono';
import { jwtVerify } from 'jose';
import pg from 'pg';
import { z } from 'zod';
import { bearerOf, headersOf } from '../gateway/caller.ts';
import { peerAddress } from '../gateway/proxy.ts';
import { hasNul } from '../gateway/readable.ts';
import type { StackKeys } from '../keys.ts';
import { liteAuth } from '../lite.ts';
import type { MailCatcher } from '../mail.ts';
import { type HookFunction, hookFunction, type SupabaseConfig } from '../supabase-config.ts';
import { authAdmin } from './admin.ts';
import { AuthError, notInLocalStack } from './errors.ts';
import { createHooks } from './hooks.ts';
import { createAuthMails } from './mails.ts';
import { sessionOrigins } from './session-origins.ts';
import { type AuthenticationMethod, createTokenMint } from './tokens.ts';
import { createUsers, tokenHash } from './users.ts';

type Body = Record<string, unknown>;

// What Auth takes as text, wherever it is named.
const texts = ['email', 'phone', 'password', 'token', 'token_hash', 'type', 'refresh_token', 'nonce', 'auth_code', 'code_verifier'];

const passwordHookAnswer = z.object({
  decision: z.enum(['continue', 'reject']).default('continue'),
  message: z.string().optional(),
  should_logout_user: z.boolean().optional(),
});

/** Auth, to be mounted at /auth/v1. */
export type AuthService = { routes: Hono; close(): Promise<void> };

export type AuthOptions = {
  /** Connects as `supabase_auth_admin`. */
  databaseUrl: string;
  /** The address under which apps reach this, without a slash at the end: …/auth/v1. */
  url: string;
  keys: StackKeys;
  config: SupabaseConfig;
  mails: MailCatcher;
  /** Rounds of bcrypt as a power of two. */
  passwordCost: number;
  onLog: (line: string) => void;
};

/**
 * Supabase Auth from @supabase/lite, with its gaps closed: Supabase's claims and the access token hook in every token,
 * sessions that say where they were opened and are asked for by name, the password hook, bans, the admin API, invitations, links that lead to this stack and back to the app, sign-up that tells nobody who is
 * registered, and a clear answer where something is not here.
 */
export function createAuth(options: AuthOptions): AuthService {
  const { config, keys, onLog } = options;
  const pool = new pg.Pool({ connectionString: options.databaseUrl, max: 4, idleTimeoutMillis: 60_000 });
  pool.on('error', (error) => onLog(`Auth lost a database connection: ${error.message}`));
  const users = createUsers(pool, { passwordCost: options.passwordCost, codeLength: config.auth.email.otp_length });
  const mails = createAuthMails(options.mails, options.url, config.auth.site_url);
  const hooks = createHooks(pool);
  const mint = createTokenMint({
    ...{ pool, hooks, jwtSecret: keys.jwtSecret, issuer: options.url, onLog },
    hook: hookFunction(config, 'custom_access_token'),
  });
  const passwordHook = hookFunction(config, 'password_verification_attempt');
  const lite = liteAuth({ databaseUrl: options.databaseUrl, keys, config, email: mails.driver });

  const routes = new Hono();
  routes.onError((error, c) => {
    if (error instanceof AuthError) {
      c.header('x-sb-error-code', error.code);
      return c.json(error.toJSON(), error.status);
    }
    onLog(`Auth failed: ${error.stack ?? error.message}`);
    return c.json({ code: 500, error_code: 'unexpected_failure', msg: error.message }, 500);
  });

  // What is no text where Auth expects one, or none that the database can keep.
  routes.use(async (c, next) => {
    const body = jsonObject(await c.req.text()) ?? {};
    if (hasNul(body)) throw new AuthError(400, 'bad_json', 'Could not parse request body as JSON: no text has the character U+0000');
    const wrong = texts.find((name) => body[name] !== undefined && body[name] !== null && typeof body[name] !== 'string');
    if (wrong) throw new AuthError(400, 'bad_json', `Could not parse request body as JSON: ${wrong} is no text`);
    if (text(body.email).length > 255) throw new AuthError(400, 'validation_failed', 'Unable to validate email address: invalid format');
    await next();
  });

  routes.post('/signup', async (c) => {
    const body = await readBody(c);
    const email = text(body.email);
    if (!email && !body.phone) throw new AuthError(422, 'anonymous_provider_disabled', 'Anonymous sign-ins are disabled');
    if (!email) throw new AuthError(400, 'phone_provider_disabled', 'Phone signups are disabled');
    const known = config.auth.email.enable_confirmations ? await users.findByEmail(email) : undefined;
    if (known?.confirmed_at) return c.json(asIfNew(email));
    if (known) {
      mails.send(email, 'signup', await users.issueToken(known, 'confirmation'), redirectTo(c));
      return c.json(await users.present(known));
    }
    return session(await forward(c, { body }), 'password');
  });

  routes.post('/token', async (c) => {
    const method: AuthenticationMethod = c.req.query('grant_type') === 'refresh_token'
      ? 'token_refresh'
      : c.req.query('grant_type') === 'pkce'
      ? 'oauth'
      : 'password';
    if (method !== 'password') return session(await forward(c), method);
    const body = await readBody(c);
    if (passwordHook) await askPasswordHook(passwordHook, text(body.email), text(body.password));
    return session(await forward(c, { body }), method);
  });

  for (const path of ['/otp', '/magiclink']) {
    routes.post(path, async (c) => {
      const body = await readBody(c);
      const email = text(body.email);
      if (!email && body.phone) throw new AuthError(400, 'phone_provider_disabled', 'Unsupported phone provider');
      if (email && body.create_user !== false && !(await users.findByEmail(email))) {
        if (!config.auth.enable_signup) throw new AuthError(422, 'otp_disabled', 'Signups not allowed for otp');
        await users.create({ email, userMetadata: body.data as Body | undefined });
      }
      return forward(c, { body });
    });
  }

  routes.post('/verify', async (c) => {
    const body = await readBody(c);
    const hash = text(body.token_hash) ||
      (text(body.email) && text(body.token) ? tokenHash(text(body.email), text(body.token)) : '');
    return session(await forward(c, { body: { ...body, type: await verificationType(text(body.type), hash) } }), 'otp');
  });

  routes.get('/verify', async (c) => {
    const url = new URL(c.req.url);
    url.searchParams.set('type', await verificationType(c.req.query('type') ?? '', c.req.query('token') ?? ''));
    const response = await forward(c, { url });
    return redirectWithSession(response, c.req.query('type') ?? '');
  });

  routes.post('/resend', async (c) => {
    const body = await readBody(c);
    const known = text(body.email) ? await users.findByEmail(text(body.email)) : undefined;
    if (body.type === 'signup' && known && !known.confirmed_at) {
      mails.send(known.email as string, 'signup', await users.issueToken(known, 'confirmation'), redirectTo(c));
      return c.json({});
    }
    if (body.type === 'email_change' && known?.email_change) {
      mails.send(
        known.email_change,
        'email_change',
        await users.issueToken(known, 'email_change', known.email_change),
        redirectTo(c),
      );
      return c.json({});
    }
    return forward(c, { body });
  });

  // A token whose session is gone is no longer a user's, however long it would be valid.
  for (const path of ['/user', '/user/*', '/logout', '/reauthenticate']) {
    routes.use(path, async (c, next) => {
      const token = bearerOf(c);
      const verified = token && (await jwtVerify(token, new TextEncoder().encode(keys.jwtSecret), { algorithms: ['HS256'] }).catch(() => undefined));
      const sessionId = verified ? verified.payload.session_id : undefined;
      if (sessionId !== undefined) {
        const { rowCount } = await pool.query('select from auth.sessions where id = $1', [sessionId]);
        if (!rowCount) throw new AuthError(403, 'session_not_found', 'Session from session_id claim in JWT does not exist');
      }
      await next();
    });
  }

  routes.all('/factors/*', () => {
    throw notInLocalStack('Multi-factor authentication');
  });
  routes.all('/factors', () => {
    throw notInLocalStack('Multi-factor authentication');
  });
  routes.all('/sso/*', () => {
    throw notInLocalStack('Single sign-on');
  });
  routes.route('/', authAdmin({ users, mails, jwtSecret: keys.jwtSecret }));
  routes.all('*', (c) => forward(c));

  return {
    routes,
    async close() {
      await Promise.all([pool.end(), lite.close()]);
    },
  };

  /** Hands a request on to @supabase/lite, with another body or address where given. */
  async function forward(c: Context, change: { body?: Body; url?: URL } = {}): Promise<Response> {
    const headers = headersOf(c);
    headers.delete('content-length');
    const init: RequestInit = { method: c.req.method, headers };
    if (change.body) init.body = JSON.stringify(change.body);
    else if (c.req.method !== 'GET' && c.req.method !== 'HEAD') init.body = await c.req.text();
    const request = new Request(change.url ?? c.req.url, init);
    const origin = { userAgent: c.req.header('user-agent') ?? null, address: peerAddress(c) };
    return sessionOrigins.from(origin, () => mails.leadingBackTo(redirectTo(c), () => lite.fetch(request)));
  }

  /** Lets the hook look at an attempt before it is answered, as Supabase does for a user who exists. */
  async function askPasswordHook(hook: HookFunction, email: string, password: string): Promise<void> {
    const user = await users.findByEmail(email);
    if (!user) return;
    const valid = await bcrypt.compare(password, user.encrypted_password ?? '');
    const answer = passwordHookAnswer.parse((await hooks.call(hook, { user_id: user.id, valid })) ?? {});
    if (answer.decision !== 'reject') return;
    if (answer.should_logout_user) await pool.query('delete from auth.sessions where user_id = $1', [user.id]);
    throw new AuthError(400, 'invalid_credentials', answer.message || 'Further password verification attempts will be rejected.');
  }

  /** An answer whose session, if it brings one, has Supabase's token. */
  async function session(response: Response, method: AuthenticationMethod): Promise<Response> {
    if (!response.ok) return response;
    const body = (await response.json()) as Body;
    if (typeof body.access_token === 'string') body.access_token = await mint.remint(body.access_token, method);
    const headers = new Headers(response.headers);
    headers.delete('content-length');
    return new Response(JSON.stringify(body), { status: response.status, headers });
  }

  /** The same for a session that travels in the fragment of a redirect. */
  async function redirectWithSession(response: Response, type: string): Promise<Response> {
    const location = response.headers.get('location');
    if (!location) return response;
    const target = new URL(location);
    const fragment = new URLSearchParams(target.hash.slice(1));
    const token = fragment.get('access_token');
    if (!token) return response;
    try {
      fragment.set('access_token', await mint.remint(token, 'otp'));
      fragment.set('type', type);
      target.hash = fragment.toString();
    } catch (error) {
      if (!(error instanceof AuthError)) throw error;
      target.hash = new URLSearchParams({ error: 'access_denied', error_code: error.code, error_description: error.message })
        .toString();
    }
    return new Response(null, { status: 303, headers: { location: target.toString() } });
  }

  /** The type under which @supabase/lite knows a verification: it has no `invite` and no `email`. */
  async function verificationType(type: string, hash: string): Promise<string> {
    if (type === 'invite') return 'signup';
    if (type !== 'email') return type;
    const purpose = await users.purposeOf(hash);
    return purpose === 'confirmation' ? 'signup' : 'magiclink';
  }
}

/** What signing up with a registered address answers: the same as for a new one, so that it tells nobody who is registered. */
function asIfNew(email: string): Body {
  const now = new Date();
  return {
    ...{ id: crypto.randomUUID(), aud: 'authenticated', role: '', email, phone: '', confirmation_sent_at: now },
    ...{ app_metadata: { provider: 'email', providers: ['email'] }, user_metadata: {}, identities: [] },
    ...{ created_at: now, updated_at: now, is_anonymous: false },
  };
}

function redirectTo(c: Context): string | undefined {
  return c.req.query('redirect_to') ?? c.req.header('redirect_to');
}

async function readBody(c: Context): Promise<Body> {
  const body = jsonObject(await c.req.text());
  if (!body) throw new AuthError(400, 'bad_json', 'Could not parse request body as JSON');
  return body;
}

function jsonObject(told: string): Body | undefined {
  try {
    const value: unknown = JSON.parse(told);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Body) : undefined;
  } catch {
    return undefined;
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
