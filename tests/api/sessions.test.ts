import type { SupabaseClient } from '@supabase/supabase-js';
import { SignJWT } from 'jose';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withClient } from '../../scripts/stack/postgres.ts';
import { hookFunction, readSupabaseConfig } from '../../scripts/stack/supabase-config.ts';
import { demoPassword, startTestStack, type TestStack } from '../support/stack.ts';

// Sessions, security events and second factors as an app meets them: real sign-ins, real tokens, other devices.

let stack: TestStack;
let root: { id: string; email: string };
let lipa: string;
let organization: string;

beforeAll(async () => {
  const config = readSupabaseConfig();
  const hook = config.auth.hook?.password_verification_attempt;
  if (!hook) throw new Error('config.toml names no password hook.');
  stack = await startTestStack({ config: { ...config, auth: { ...config.auth, hook: { ...config.auth.hook, password_verification_attempt: { ...hook, enabled: true } } } } });
  root = await stack.createUser({ email: 'root@sessions.example' });
  await stack.sql(`select public.grant_role($1, 'superadmin')`, [root.id]);
  const [community] = await stack.sql<{ id: string; organization_id: string }>(`select id, organization_id from public.communities where slug = 'lipa-court'`);
  lipa = community?.id ?? '';
  organization = community?.organization_id ?? '';
});
afterAll(() => stack.stop());

const claimsOf = (token: string): Record<string, unknown> => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as never;
const tokenOf = async (client: SupabaseClient): Promise<string> => (await client.auth.getSession()).data.session?.access_token ?? '';
const sessionOf = async (client: SupabaseClient): Promise<string> => claimsOf(await tokenOf(client)).session_id as string;
const idOf = async (email: string): Promise<string> => (await stack.sql<{ id: string }>('select id from public.profiles where email = $1', [email]))[0]?.id ?? '';

/** What a token still gives when it is used past PostgREST's pre-request: units that the policies show. */
async function unitsByPolicy(token: string): Promise<number> {
  return withClient(stack.databaseUrl, async (client) => {
    await client.query(`set role authenticated; select set_config('request.jwt.claims', ${pg.escapeLiteral(JSON.stringify(claimsOf(token)))}, false)`);
    const { rows } = await client.query<{ count: number }>('select count(*)::integer as count from public.units');
    return rows[0]?.count ?? -1;
  });
}

/** Signed in and with a second factor proved, as far as the session and the token tell: the local Auth has no factors. */
async function assured(client: SupabaseClient): Promise<SupabaseClient> {
  await stack.sql(`update auth.sessions set aal = 'aal2' where id = $1`, [await sessionOf(client)]);
  const { error } = await client.auth.refreshSession();
  if (error) throw error;
  expect(claimsOf(await tokenOf(client)).aal).toBe('aal2');
  return client;
}

describe('a session that is ended from another device', () => {
  test('is out on its next request, past PostgREST too, and gets no new token', async () => {
    const [phone, laptop] = [await stack.client('manager@demo.example'), await stack.client('manager@demo.example')];
    const token = await tokenOf(phone);
    expect((await phone.from('units').select('id')).data?.length).toBeGreaterThan(0);
    expect(await unitsByPolicy(token)).toBeGreaterThan(0);

    const { data: sessions } = await laptop.rpc('my_sessions').throwOnError();
    expect(sessions.map((row: { session_id: string }) => row.session_id)).toEqual(expect.arrayContaining([await sessionOf(phone), await sessionOf(laptop)]));
    await laptop.rpc('end_session', { session_id: await sessionOf(phone) }).throwOnError();

    const refused = await phone.from('units').select('id');
    expect([refused.status, refused.error?.message]).toEqual([401, 'session_ended']);
    expect((await phone.rpc('my_permissions', { community_id: lipa })).status).toBe(401);
    expect(await unitsByPolicy(token)).toBe(0);
    expect((await phone.auth.refreshSession()).error).not.toBeNull();
    expect((await phone.auth.getUser(token)).error?.name).toBe('AuthSessionMissingError');
    expect((await laptop.from('units').select('id')).status).toBe(200);
  });

  test('reads no file and lists none', async () => {
    const client = await stack.client('manager@demo.example');
    const path = `${lipa}/none`;
    await stack.sql('delete from auth.sessions where id = $1', [await sessionOf(client)]);
    const { data } = await client.storage.from('community-files').list(lipa);
    expect(data ?? []).toEqual([]);
    expect((await client.storage.from('community-files').download(path)).error).not.toBeNull();
  });

  test('ends once, whoever ends it at the same time', async () => {
    const administrators = await Promise.all([stack.client(root.email), stack.client(root.email), stack.client(root.email)]);
    const victim = await stack.client('owner@demo.example');
    const session = await sessionOf(victim);
    const answers = await Promise.all(administrators.map((administrator) => administrator.rpc('end_session', { session_id: session, reason: 'Seen in Paris' })));
    expect(answers.map(({ status }) => status).sort()).toEqual([204, 404, 404]);
    const events = await stack.sql(`select note, actor_id from audit.security_events where session_id = $1 and kind = 'session_ended'`, [session]);
    expect(events).toEqual([{ note: 'Seen in Paris', actor_id: root.id }]);
    expect(await stack.sql(`select from app.outbox where topic = 'session.ended' and payload -> 'session_ids' ? $1`, [session])).toHaveLength(1);
  });

  test('with many ended both ways at once, none is left and nobody waits for ever', async () => {
    const user = await stack.createUser({ email: 'many@sessions.example' });
    const devices = await Promise.all(Array.from({ length: 6 }, () => stack.client(user.email)));
    const administrator = await stack.client(root.email);
    const answers = await Promise.all([
      ...devices.map((device) => device.rpc('end_other_sessions')),
      administrator.rpc('end_user_sessions', { user_id: user.id, reason: 'Stolen phone' }),
    ]);
    // A session that ends before a request is told of it (401); one that ends in the middle of a request leaves nobody who may (403).
    expect(answers.filter(({ status }) => ![200, 401, 403].includes(status)).map(({ error }) => error)).toEqual([]);
    expect(answers.at(-1)).toMatchObject({ status: 200 });
    expect(await stack.sql('select from auth.sessions where user_id = $1', [user.id])).toHaveLength(0);
    expect(await stack.sql(`select from audit.security_events where user_id = $1 and kind = 'session_ended'`, [user.id])).toHaveLength(6);
  });
});

describe('an administrator who was let go', () => {
  test('is out with a live token when the account is suspended, and stays out of the old session when it is active again', async () => {
    const user = await stack.createUser({ email: 'fired@sessions.example' });
    await stack.sql(`select public.grant_role($1, 'manager', community_id => $2)`, [user.id, lipa]);
    const client = await stack.client(user.email);
    const token = await tokenOf(client);
    expect(await unitsByPolicy(token)).toBeGreaterThan(0);
    const administrator = await stack.client(root.email);
    await administrator.rpc('set_account_status', { user_id: user.id, status: 'suspended', reason: 'Let go' }).throwOnError();
    expect((await client.from('units').select('id')).error?.message).toBe('account_suspended');
    await administrator.rpc('set_account_status', { user_id: user.id, status: 'active' }).throwOnError();
    expect((await client.from('units').select('id')).error?.message).toBe('session_ended');
    expect(await unitsByPolicy(token)).toBe(0);
    expect((await (await stack.client(user.email)).from('units').select('id')).data?.length).toBeGreaterThan(0);
  });
});

describe('what a user sees of the own sessions', () => {
  test('device and address from Auth, place from the app’s registration, nothing of a neighbour’s', async () => {
    const owner = await stack.client('owner@demo.example');
    const token = await tokenOf(owner);
    const registered = await fetch(`${stack.url}/rest/v1/rpc/register_session`, {
      method: 'POST',
      headers: {
        ...{ apikey: stack.keys.publishable, authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        ...{ 'user-agent': 'Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36', 'cf-ipcountry': 'BG', 'x-vercel-ip-country': 'US' },
      },
      body: JSON.stringify({ device_name: 'Ivan’s phone' }),
    });
    expect(registered.status).toBe(204);
    const { data } = await owner.rpc('my_sessions').throwOnError();
    expect(data.find((row: { is_current: boolean }) => row.is_current)).toMatchObject({
      ...{ session_id: await sessionOf(owner), device: 'Chrome on Android', device_name: 'Ivan’s phone', address: '127.0.0.1', country: 'BG', aal: 'aal1' },
    });
    const tenant = await stack.client('tenant@demo.example');
    expect((await tenant.rpc('user_sessions', { user_id: await idOf('owner@demo.example') })).error?.message).toBe('permission_denied');
    expect((await tenant.rpc('end_session', { session_id: await sessionOf(owner) })).error?.message).toBe('session_not_found');
    const { data: seen } = await tenant.from('security_events').select('user_id').throwOnError();
    expect(new Set(seen.map((row) => row.user_id))).toEqual(new Set([await idOf('tenant@demo.example')]));
    const manager = await stack.client('manager@demo.example');
    expect((await manager.rpc('user_sessions', { user_id: await idOf('owner@demo.example') })).error?.message).toBe('permission_denied');
    const { data: bySite } = await (await stack.client(root.email)).rpc('user_sessions', { user_id: await idOf('owner@demo.example') }).throwOnError();
    expect(bySite.some((row: { country: string }) => row.country === 'BG')).toBe(true);
  });

  test('signing in and out, and what Auth itself wrote, in order', async () => {
    const user = await stack.createUser({ email: 'events@sessions.example' });
    const client = await stack.client(user.email);
    await client.auth.updateUser({ password: 'another good one' });
    await client.auth.signOut();
    const again = await stack.client();
    await again.auth.signInWithPassword({ email: user.email, password: 'another good one' });
    const { data: events } = await again.from('security_events').select('kind, address, actor_label').eq('user_id', user.id).order('id').throwOnError();
    expect(events.map(({ kind }) => kind)).toEqual(['signed_in', 'password_changed', 'signed_out', 'signed_in']);
    expect(events[0]).toMatchObject({ address: '127.0.0.1', actor_label: 'supabase_auth_admin' });
    const { data: log } = await again.rpc('auth_log', { user_id: user.id }).throwOnError();
    expect(log.map((row: { action: string }) => row.action)).toEqual(expect.arrayContaining(['login', 'logout']));
  });
});

describe('wrong passwords', () => {
  test('are remembered, and refused after too many, the right one included', async () => {
    expect(hookFunction(readSupabaseConfig(), 'password_verification_attempt'), 'off where the plan may not allow it').toBeUndefined();
    const user = await stack.createUser({ email: 'guessed@sessions.example' });
    await stack.sql(`select public.set_setting('security.sign_in_failures', '4')`);
    const attempt = async (password: string) => (await (await stack.client()).auth.signInWithPassword({ email: user.email, password })).error?.message ?? 'signed in';
    // Many at once: each counts the others.
    const guesses = await Promise.all(Array.from({ length: 8 }, (_, n) => attempt(`guess number ${n}`)));
    expect(guesses.filter((message) => message === 'Invalid login credentials')).toHaveLength(4);
    expect(guesses.filter((message) => message.startsWith('Too many wrong passwords'))).toHaveLength(4);
    expect(await attempt(demoPassword)).toMatch(/^Too many wrong passwords/);
    const kinds = await stack.sql<{ kind: string; count: number }>(
      `select kind, count(*)::integer as count from audit.security_events where user_id = $1 group by 1 order by 1`,
      [user.id],
    );
    expect(kinds).toEqual([{ kind: 'sign_in_failed', count: 4 }, { kind: 'sign_in_refused', count: 5 }]);
    await stack.sql(`select public.set_setting('security.sign_in_failures', '0')`);
    expect(await attempt(demoPassword)).toBe('signed in');
  });
});

describe('a second factor that an organization requires', () => {
  test('is asked of everybody in its communities, from the next request on, and of nobody else', async () => {
    const [manager, other] = [await stack.client('manager@demo.example'), await stack.client('gerente@demo.example')];
    const administrator = await stack.createUser({ email: 'admin@sessions.example' });
    await stack.sql(`select public.grant_role($1, 'admin', organization_id => $2)`, [administrator.id, organization]);
    const admin = await stack.client(administrator.email);
    const ask = (required: boolean) => admin.rpc('require_assurance', { permission: 'units.manage', organization_id: organization, required });
    expect((await ask(true)).error).toMatchObject({ code: 'PT403', message: 'assurance_required', hint: expect.stringContaining('aal2') as string });

    await assured(admin);
    expect((await ask(true)).status).toBe(204);
    const [unit] = await stack.sql<{ id: string }>('select id from public.units where community_id = $1 limit 1', [lipa]);
    const maintain = (client: SupabaseClient) => client.rpc('set_unit_maintenance', { unit_id: unit?.id, under_maintenance: true });
    expect((await maintain(manager)).error).toMatchObject({ code: 'PT403', message: 'assurance_required' });
    const insert = (client: SupabaseClient) => client.from('units').insert({ community_id: lipa, number: `Q${Math.random()}` });
    expect((await insert(manager)).status).toBe(403);
    expect((await manager.from('units').select('id')).data?.length).toBeGreaterThan(0);
    const { data: why } = await manager.rpc('explain_access', { permission: 'units.manage', community_id: lipa }).throwOnError();
    expect(why).toMatchObject({ allowed: false, assurance: { has_second_factor: false, needs_second_factor: true } });

    // A token of a good signature that claims more than its session.
    const { aal: _, ...claims } = claimsOf(await tokenOf(manager));
    const forge = (more: object) => new SignJWT({ ...claims, ...more }).setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).sign(new TextEncoder().encode(stack.keys.jwtSecret));
    for (const token of [await forge({}), await forge({ aal: 'aal2' })]) {
      const response = await fetch(`${stack.url}/rest/v1/units`, {
        method: 'POST',
        headers: { apikey: stack.keys.publishable, authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ community_id: lipa, number: 'forged' }),
      });
      expect(response.status).toBe(403);
    }

    const [elsewhere] = await stack.sql<{ id: string }>(`select u.id from public.units u join public.communities c on c.id = u.community_id where c.slug = 'los-encinos' limit 1`);
    expect((await other.rpc('set_unit_maintenance', { unit_id: elsewhere?.id, under_maintenance: true })).error).toBeNull();
    await assured(manager);
    expect((await insert(manager)).error).toBeNull();
    expect((await ask(false)).status).toBe(204);
  });
});
