import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../../support/stack.ts';

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack();
});
afterAll(() => stack.stop());

const password = 'correct horse';
let count = 0;
const newAddress = () => `person${(count += 1)}@auth.example`;

function claimsOf(
  token: string | undefined,
): Record<string, unknown> & { app_metadata: Record<string, unknown>; user_metadata: Record<string, unknown> } {
  return JSON.parse(Buffer.from(token?.split('.')[1] ?? '', 'base64url').toString()) as never;
}

/** Signs up, confirms by the code in the mail, and returns the client with its session. */
async function signUp(email = newAddress()) {
  const client = await stack.client();
  const { error } = await client.auth.signUp({ email, password, options: { data: { full_name: 'Ана Петрова' } } });
  expect(error).toBeNull();
  const { code } = await stack.mails.waitFor(email);
  const { data, error: refusal } = await client.auth.verifyOtp({ email, token: code ?? '', type: 'email' });
  expect(refusal).toBeNull();
  return { client, email, user: data.user, token: data.session?.access_token };
}

describe('signing up and in', () => {
  test('an address is confirmed by the code that was mailed to it', async () => {
    const email = newAddress();
    const client = await stack.client();
    const { data } = await client.auth.signUp({ email, password });
    expect(data.session).toBeNull();
    expect((await client.auth.signInWithPassword({ email, password })).error?.code).toBe('email_not_confirmed');
    const { code } = await stack.mails.waitFor(email);
    const verified = await client.auth.verifyOtp({ email, token: code ?? '', type: 'signup' });
    expect(verified.data.user?.email).toBe(email);
    expect((await client.auth.signInWithPassword({ email, password })).error).toBeNull();
  });

  test('or by the link, which leads back to where the app asked for', async () => {
    const email = newAddress();
    const client = await stack.client();
    await client.auth.signUp({ email, password, options: { emailRedirectTo: 'http://127.0.0.1:3000/welcome' } });
    const { link } = await stack.mails.waitFor(email);
    expect(link).toMatch(new RegExp(`^${stack.url}/auth/v1/verify\\?token=`));
    const response = await fetch(link ?? '', { redirect: 'manual' });
    expect(response.status).toBe(303);
    const target = new URL(response.headers.get('location') ?? '');
    expect(target.origin + target.pathname).toBe('http://127.0.0.1:3000/welcome');
    const fragment = new URLSearchParams(target.hash.slice(1));
    expect(claimsOf(fragment.get('access_token') ?? '')).toMatchObject({
      email,
      role: 'authenticated',
      app_metadata: { provider: 'email' },
    });
    expect(fragment.get('type')).toBe('signup');
  });

  test('a link never leads to a site that is not ours', async () => {
    const email = newAddress();
    const client = await stack.client();
    await client.auth.signUp({ email, password, options: { emailRedirectTo: 'https://phishing.example/' } });
    const { link } = await stack.mails.waitFor(email);
    const response = await fetch(link ?? '', { redirect: 'manual' });
    expect(new URL(response.headers.get('location') ?? '').origin).toBe('http://127.0.0.1:3000');
  });

  test('a code works once', async () => {
    const email = newAddress();
    const client = await stack.client();
    await client.auth.signUp({ email, password });
    const { code } = await stack.mails.waitFor(email);
    expect((await client.auth.verifyOtp({ email, token: code ?? '', type: 'signup' })).error).toBeNull();
    expect((await client.auth.verifyOtp({ email, token: code ?? '', type: 'signup' })).error?.code).toBe('otp_expired');
  });

  test('signing up again tells nobody who is registered', async () => {
    const { email, user } = await signUp();
    const mails = stack.mails.list().length;
    const client = await stack.client();
    const { data, error } = await client.auth.signUp({ email, password: 'another password' });
    expect(error).toBeNull();
    expect(data.user).toMatchObject({ email, identities: [] });
    expect(data.user?.id).not.toBe(user?.id);
    expect(stack.mails.list()).toHaveLength(mails);
    expect((await client.auth.signInWithPassword({ email, password: 'another password' })).error?.code).toBe(
      'invalid_credentials',
    );
  });

  test('who has lost the first mail gets another', async () => {
    const email = newAddress();
    const client = await stack.client();
    await client.auth.signUp({ email, password });
    const first = await stack.mails.waitFor(email);
    expect((await client.auth.resend({ type: 'signup', email })).error).toBeNull();
    const second = await stack.mails.waitFor(email, ({ id }) => id !== first.id);
    expect((await client.auth.verifyOtp({ email, token: first.code ?? '', type: 'signup' })).error).not.toBeNull();
    expect((await client.auth.verifyOtp({ email, token: second.code ?? '', type: 'signup' })).error).toBeNull();
  });

  test('a password may be recovered', async () => {
    const { email } = await signUp();
    const client = await stack.client();
    await client.auth.resetPasswordForEmail(email, { redirectTo: 'http://127.0.0.1:3000/new-password' });
    const { code, link } = await stack.mails.waitFor(email, ({ subject }) => subject === 'Reset your password');
    expect(link).toContain(encodeURIComponent('http://127.0.0.1:3000/new-password'));
    expect((await client.auth.verifyOtp({ email, token: code ?? '', type: 'recovery' })).error).toBeNull();
    expect((await client.auth.updateUser({ password: 'a new password' })).error).toBeNull();
    const fresh = await stack.client();
    expect((await fresh.auth.signInWithPassword({ email, password })).error?.code).toBe('invalid_credentials');
    expect((await fresh.auth.signInWithPassword({ email, password: 'a new password' })).error).toBeNull();
  });

  test('a magic link signs in, and signs up with its data', async () => {
    const email = newAddress();
    const client = await stack.client();
    expect((await client.auth.signInWithOtp({ email, options: { data: { full_name: 'Om Shanti' } } })).error).toBeNull();
    const { code } = await stack.mails.waitFor(email);
    const { data } = await client.auth.verifyOtp({ email, token: code ?? '', type: 'email' });
    expect(data.user?.email_confirmed_at).toBeTruthy();
    expect(claimsOf(data.session?.access_token).user_metadata).toMatchObject({ full_name: 'Om Shanti' });
  });

  test('an address changes once the new one is confirmed', async () => {
    const { client, email } = await signUp();
    const next = newAddress();
    await client.auth.updateUser({ email: next });
    const { code } = await stack.mails.waitFor(next);
    expect((await client.auth.getUser()).data.user?.email).toBe(email);
    expect((await client.auth.verifyOtp({ email: next, token: code ?? '', type: 'email_change' })).error).toBeNull();
    expect((await client.auth.getUser()).data.user?.email).toBe(next);
  });

  test('a session ends when its user signs out', async () => {
    const { client } = await signUp();
    const { data } = await client.auth.getSession();
    await client.auth.signOut();
    const other = await stack.client();
    expect((await other.auth.refreshSession({ refresh_token: data.session?.refresh_token ?? '' })).error).not.toBeNull();
  });

  test('a session is a row that says from where it was opened, and how sure it is of its user', async () => {
    const { email } = await signUp();
    const client = await stack.client();
    const response = await fetch(`${stack.url}/auth/v1/token?grant_type=password`, {
      method: 'POST',
      headers: { apikey: stack.keys.publishable, 'content-type': 'application/json', 'user-agent': 'Test/1.0' },
      body: JSON.stringify({ email, password }),
    });
    const { access_token, refresh_token } = (await response.json()) as { access_token: string; refresh_token: string };
    const id = claimsOf(access_token).session_id;
    expect(await stack.sql('select user_agent, host(ip) as ip, aal from auth.sessions where id = $1', [id])).toEqual([{ user_agent: 'Test/1.0', ip: '127.0.0.1', aal: 'aal1' }]);
    await stack.sql(`update auth.sessions set aal = 'aal2' where id = $1`, [id]);
    await client.auth.setSession({ access_token, refresh_token });
    const refreshed = await client.auth.refreshSession();
    expect(claimsOf(refreshed.data.session?.access_token)).toMatchObject({ session_id: id, aal: 'aal2' });
    await client.auth.signOut();
    expect(await stack.sql('select from auth.sessions where id = $1', [id])).toEqual([]);
    const late = await fetch(`${stack.url}/auth/v1/user`, { headers: { apikey: stack.keys.publishable, authorization: `Bearer ${access_token}` } });
    expect([late.status, await late.json()]).toEqual([
      403,
      { code: 403, error_code: 'session_not_found', msg: 'Session from session_id claim in JWT does not exist' },
    ]);
  });

  test('times are written so that every browser reads them', async () => {
    const { user } = await signUp();
    expect(user?.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
  });
});

describe('every token has the claims that Supabase puts in', () => {
  test('after confirming, signing in and refreshing alike', async () => {
    const { client, email, user, token } = await signUp();
    const signedIn = await client.auth.signInWithPassword({ email, password });
    const refreshed = await client.auth.refreshSession();
    for (
      const [occasion, jwt, method] of [
        ['confirmed', token, 'otp'],
        ['signed in', signedIn.data.session?.access_token, 'password'],
        ['refreshed', refreshed.data.session?.access_token, 'password'],
      ] as const
    ) {
      expect(claimsOf(jwt), occasion).toMatchObject({
        iss: `${stack.url}/auth/v1`,
        sub: user?.id,
        aud: 'authenticated',
        role: 'authenticated',
        email,
        phone: '',
        aal: 'aal1',
        is_anonymous: false,
        amr: [{ method, timestamp: expect.any(Number) as number }],
        app_metadata: { provider: 'email', providers: ['email'] },
        user_metadata: { full_name: 'Ана Петрова' },
      });
    }
    expect(claimsOf(refreshed.data.session?.access_token).session_id).toBe(
      claimsOf(signedIn.data.session?.access_token).session_id,
    );
  });

  test('metadata is stored as objects, not as strings of JSON', async () => {
    await signUp();
    const kinds = await stack.sql(`
      select distinct jsonb_typeof(raw_app_meta_data) as app, jsonb_typeof(raw_user_meta_data) as own,
        (select string_agg(distinct jsonb_typeof(identity_data), ',') from auth.identities) as identity,
        (select string_agg(distinct json_typeof(payload), ',') from auth.audit_log_entries) as log
      from auth.users`);
    expect(kinds).toEqual([{ app: 'object', own: 'object', identity: 'object', log: 'object' }]);
  });

  test('a user may change their own metadata, and never that of the app', async () => {
    const { client } = await signUp();
    await client.auth.updateUser({ data: { full_name: 'Ana', app_metadata: { role: 'superadmin' } } });
    const { data } = await client.auth.refreshSession();
    expect(claimsOf(data.session?.access_token).app_metadata).not.toHaveProperty('role');
    expect(claimsOf(data.session?.access_token).user_metadata).toMatchObject({ full_name: 'Ana' });
  });
});

describe('the access token hook of config.toml', () => {
  const replaceHook = (body: string) =>
    stack.sql(`
      create schema if not exists app;
      grant usage on schema app to supabase_auth_admin;
      create or replace function app.access_token(event jsonb) returns jsonb language plpgsql set search_path = '' as $hook$ begin ${body} end $hook$;
      grant execute on function app.access_token(jsonb) to supabase_auth_admin`);

  test('adds to every token what it decides, as role supabase_auth_admin', async () => {
    await replaceHook(
      `return jsonb_set(event, '{claims,app_metadata}', event #> '{claims,app_metadata}' || jsonb_build_object('seen_by', current_user, 'how', event ->> 'authentication_method', 'who', event ->> 'user_id'));`,
    );
    const { client, email, user, token } = await signUp();
    expect(claimsOf(token).app_metadata).toMatchObject({
      provider: 'email',
      seen_by: 'supabase_auth_admin',
      how: 'otp',
      who: user?.id,
    });
    const signedIn = await client.auth.signInWithPassword({ email, password });
    expect(claimsOf(signedIn.data.session?.access_token).app_metadata).toMatchObject({ how: 'password' });
    const refreshed = await client.auth.refreshSession();
    expect(claimsOf(refreshed.data.session?.access_token).app_metadata).toMatchObject({ how: 'token_refresh' });
  });

  test.each([
    ['raises', `raise exception 'broken';`],
    ['answers nothing', 'return null;'],
    ['drops claims that a token needs', `return event #- '{claims,sub}';`],
    ['takes too long', 'perform pg_sleep(300); return event;'],
  ])('keeps nobody out, and nobody waiting, when it %s', async (_, body) => {
    await replaceHook(body);
    const { token, user } = await signUp();
    expect(claimsOf(token)).toMatchObject({ sub: user?.id, app_metadata: { provider: 'email' } });
  });

  test('may refuse, and then nobody gets a token', async () => {
    await replaceHook('return event;');
    const { client, email } = await signUp();
    await replaceHook(`return jsonb_build_object('error', jsonb_build_object('http_code', 403, 'message', 'Only on weekdays'));`);
    const { data, error } = await client.auth.signInWithPassword({ email, password });
    expect(data.session).toBeNull();
    expect(error).toMatchObject({ status: 403, message: 'Only on weekdays' });
  });

  test('may be missing', async () => {
    await stack.sql('drop function app.access_token(jsonb)');
    const { token } = await signUp();
    expect(claimsOf(token).app_metadata).toEqual({ provider: 'email', providers: ['email'] });
  });
});

describe('what is not here answers one clear error', () => {
  test('anonymous sign-in', async () => {
    const client = await stack.client();
    const { error } = await client.auth.signInAnonymously();
    expect(error).toMatchObject({ status: 422, code: 'anonymous_provider_disabled', message: 'Anonymous sign-ins are disabled' });
  });

  test('signing in by telephone', async () => {
    const client = await stack.client();
    expect((await client.auth.signInWithOtp({ phone: '+359888123456' })).error).toMatchObject({
      status: 400,
      code: 'phone_provider_disabled',
    });
  });

  test('a second factor', async () => {
    const { client } = await signUp();
    const { error } = await client.auth.mfa.enroll({ factorType: 'totp' });
    expect(error).toMatchObject({
      status: 422,
      code: 'not_implemented',
      message: expect.stringMatching(/^Multi-factor authentication is not part of the local stack/) as string,
    });
  });

  test('single sign-on', async () => {
    const client = await stack.client();
    expect((await client.auth.signInWithSSO({ domain: 'corporation.example' })).error).toMatchObject({
      status: 422,
      code: 'not_implemented',
    });
  });
});

test.each([
  ['signup', { email: 'a\0b@mail.example', password }],
  ['signup', { email: `${'a'.repeat(5000)}@mail.example`, password }],
  ['signup', { email: 'nul@mail.example', password, data: { full_name: 'a\0b' } }],
  ['token?grant_type=password', { email: 'a\0b@mail.example', password }],
  ['token?grant_type=password', { email: { a: 1 }, password: ['x'] }],
  ['token?grant_type=refresh_token', { refresh_token: 'a\0b' }],
  ['otp', { email: 'a\0b@mail.example' }],
  ['verify', { type: 'signup', token_hash: '\0' }],
])('what is no text, or none that can be kept, is refused: %s %j', async (path, body) => {
  const response = await fetch(`${stack.url}/auth/v1/${path}`, {
    method: 'POST',
    headers: { apikey: stack.keys.publishable, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect([response.status, await response.json()]).toEqual([400, expect.objectContaining({ code: 400, error_code: expect.any(String) as string })]);
});

describe('mails', () => {
  test('are shown on this machine', async () => {
    const { email } = await signUp();
    const page = await (await fetch(`${stack.url}/mail`)).text();
    expect(page).toContain(email);
    expect(page).toContain('Confirm your signup');
    const list = (await (await fetch(`${stack.url}/mail.json`)).json()) as { to: string }[];
    expect(list.map(({ to }) => to)).toContain(email);
  });

  test('are not shown to a page that calls this machine by another name', async () => {
    const { request } = await import('node:http');
    const { port } = new URL(stack.url);
    const status = await new Promise((resolve) =>
      request(
        { port, host: '127.0.0.1', path: '/mail', headers: { host: 'evil.example' } },
        (response) => resolve(response.statusCode),
      ).end()
    );
    expect(status).toBe(403);
  });
});
