import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startTestStack, type TestStack } from '../../support/stack.ts';

let stack: TestStack;
let userJwt: string;
let userId: string;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.sql(`
    create function public.who_calls() returns jsonb language sql stable set search_path = '' as
      $$ select jsonb_build_object('role', current_user, 'sub', auth.uid(), 'email', auth.email(), 'jwt_role', auth.role(), 'claims', auth.jwt()) $$;
    grant execute on function public.who_calls() to anon, authenticated, service_role;
    notify pgrst, 'reload schema'`);
  ({ id: userId } = await stack.createUser({ email: 'caller@keys.example' }));
  const client = await stack.client('caller@keys.example');
  userJwt = (await client.auth.getSession()).data.session?.access_token ?? '';
  await vi.waitFor(async () => expect((await call({ apikey: stack.keys.publishable })).status).toBe(200), { timeout: 45_000 });
});
afterAll(() => stack.stop());

/** Asks the database through the gateway who it takes the caller for. */
async function call(headers: Record<string, string>, search = ''): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`${stack.url}/rest/v1/rpc/who_calls${search}`, { headers });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

describe('an API key stands for a role', () => {
  test.each([
    ['the publishable key', () => ({ apikey: stack.keys.publishable }), 'anon'],
    [
      'the publishable key, repeated as supabase-js repeats it',
      () => ({ apikey: stack.keys.publishable, ...bearer(stack.keys.publishable) }),
      'anon',
    ],
    ['the secret key', () => ({ apikey: stack.keys.secret }), 'service_role'],
    ['the secret key, repeated', () => ({ apikey: stack.keys.secret, ...bearer(stack.keys.secret) }), 'service_role'],
    ['the older anon key', () => ({ apikey: stack.keys.anonJwt }), 'anon'],
    ['the older anon key, repeated', () => ({ apikey: stack.keys.anonJwt, ...bearer(stack.keys.anonJwt) }), 'anon'],
    ['the older service_role key', () => ({ apikey: stack.keys.serviceRoleJwt }), 'service_role'],
  ])('%s', async (_, headers, role) => {
    const { status, body } = await call(headers());
    expect(status).toBe(200);
    expect(body).toMatchObject({ role, jwt_role: role, sub: null });
  });

  test('a key in the address works like one in the header, and is no filter', async () => {
    const { status, body } = await call({}, `?apikey=${stack.keys.secret}`);
    expect(status).toBe(200);
    expect(body).toMatchObject({ role: 'service_role' });
  });
});

describe('a user goes before the key', () => {
  test.each([
    ['publishable', () => stack.keys.publishable],
    ['secret', () => stack.keys.secret],
    ['older anon', () => stack.keys.anonJwt],
  ])('the JWT of a user decides, with the %s key too', async (_, key) => {
    const { status, body } = await call({ apikey: key(), ...bearer(userJwt) });
    expect(status).toBe(200);
    expect(body).toMatchObject({ role: 'authenticated', jwt_role: 'authenticated', sub: userId, email: 'caller@keys.example' });
    expect(body.claims).toMatchObject({ sub: userId, aud: 'authenticated', session_id: expect.any(String) as string });
  });
});

describe('who brings no valid key stays outside', () => {
  const forged = (role: string) => {
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const body = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ role, exp: 4_000_000_000 })}`;
    return `${body}.${createHmac('sha256', 'not the secret of this installation').update(body).digest('base64url')}`;
  };

  test('no key is a 401 that says so', async () => {
    const { status, body } = await call({});
    expect(status).toBe(401);
    expect(body).toEqual({ message: 'No API key found in request', hint: 'No `apikey` request header or url param was found.' });
  });

  test('a user without a key is a 401 as well', async () => {
    expect((await call(bearer(userJwt))).status).toBe(401);
  });

  test.each([
    ['an unknown publishable key', () => 'sb_publishable_unknown'],
    ['an unknown secret key', () => 'sb_secret_unknown'],
    ['half a secret key', () => stack.keys.secret.slice(0, -1)],
    ['a JWT signed with another secret', () => forged('service_role')],
    ['the JWT of a user', () => userJwt],
    ['anything else', () => 'hunter2'],
  ])('%s is a 401', async (_, key) => {
    for (const path of ['/rest/v1/rpc/who_calls', '/auth/v1/settings', '/storage/v1/bucket', '/functions/v1/nothing']) {
      const response = await fetch(stack.url + path, { headers: { apikey: key() } });
      expect(response.status, path).toBe(401);
      expect(await response.json(), path).toMatchObject({ message: 'Invalid API key' });
    }
  });

  test('a forged user is refused by the database API', async () => {
    expect((await call({ apikey: stack.keys.publishable, ...bearer(forged('authenticated')) })).status).toBe(401);
  });

  test('a secret key in a browser is refused', async () => {
    const browser = { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0' };
    expect(await call({ apikey: stack.keys.secret, ...browser })).toEqual({
      status: 401,
      body: { message: 'Forbidden use of secret API key in browser', hint: expect.any(String) as string },
    });
    expect((await call({ apikey: stack.keys.publishable, ...browser })).status).toBe(200);
  });

  test('the database never sees the key', async () => {
    await stack.sql(`
      create function public.headers_seen() returns json language sql stable set search_path = '' as
        $$ select current_setting('request.headers')::json $$;
      grant execute on function public.headers_seen() to anon`);
    const headers = await vi.waitFor(async () => {
      const response = await fetch(`${stack.url}/rest/v1/rpc/headers_seen`, { headers: { apikey: stack.keys.publishable } });
      expect(response.status).toBe(200);
      return (await response.json()) as Record<string, string>;
    }, { timeout: 45_000 });
    expect(headers).not.toHaveProperty('apikey');
    expect(headers['x-forwarded-for']).toBe('127.0.0.1');
  });
});
