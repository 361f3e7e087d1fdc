import { createClient, type SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { startTestStack, type TestStack } from '../../support/stack.ts';

let stack: TestStack;
let admin: SupabaseClient['auth']['admin'];

beforeAll(async () => {
  stack = await startTestStack();
  admin = createClient(stack.url, stack.keys.secret, {
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { transport: WebSocket as never },
  }).auth.admin;
});
afterAll(() => stack.stop());

const password = 'correct horse';
let count = 0;
const newAddress = () => `member${(count += 1)}@admin.example`;

async function create(attributes: Parameters<typeof admin.createUser>[0] = {}) {
  const email = newAddress();
  const { data, error } = await admin.createUser({ email, password, email_confirm: true, ...attributes });
  expect(error).toBeNull();
  if (!data.user) throw new Error('no user');
  return { ...data.user, email };
}

async function signIn(email: string, word = password) {
  const client = await stack.client();
  return { client, ...(await client.auth.signInWithPassword({ email, password: word })) };
}

describe('an administrator manages users with supabase-js', () => {
  test('creates one who can sign in at once', async () => {
    const user = await create({ user_metadata: { full_name: 'Олга' }, app_metadata: { plan: 'pro' } });
    expect(user).toMatchObject({
      user_metadata: { full_name: 'Олга' },
      app_metadata: { plan: 'pro', provider: 'email' },
      role: 'authenticated',
    });
    expect(user.identities).toHaveLength(1);
    expect((await signIn(user.email)).data.user?.id).toBe(user.id);
  });

  test('creates one with an id of their own, and one with a hash of a password', async () => {
    const id = '11111111-2222-4333-8444-555555555555';
    expect((await create({ id })).id).toBe(id);
    const [{ hash }] =
      (await stack.sql<{ hash: string }>(`select extensions.crypt('from elsewhere', extensions.gen_salt('bf', 4)) as hash`)) as [
        { hash: string },
      ];
    const email = newAddress();
    await admin.createUser({ email, password_hash: hash, email_confirm: true });
    expect((await signIn(email, 'from elsewhere')).error).toBeNull();
  });

  test('is told what is wrong with a new user', async () => {
    const { email } = await create();
    expect((await admin.createUser({ email: email.toUpperCase() })).error).toMatchObject({ status: 422, code: 'email_exists' });
    expect((await admin.createUser({})).error).toMatchObject({ status: 400, code: 'validation_failed' });
    expect((await admin.createUser({ email: 'nobody' })).error).toMatchObject({ status: 400, code: 'validation_failed' });
    expect((await admin.createUser({ email: newAddress(), password: 'x'.repeat(73) })).error).toMatchObject({ status: 422 });
  });

  test('gets one, and a 404 for nobody', async () => {
    const { id, email } = await create();
    expect((await admin.getUserById(id)).data.user).toMatchObject({ id, email });
    expect((await admin.getUserById('00000000-0000-4000-8000-00000000dead')).error).toMatchObject({
      status: 404,
      code: 'user_not_found',
    });
  });

  test('pages through them all, each once', async () => {
    for (let n = 0; n < 5; n += 1) await create();
    const [{ total }] = (await stack.sql<{ total: number }>('select count(*)::integer as total from auth.users')) as [
      { total: number },
    ];
    const seen = new Set<string>();
    let page: number | null = 1;
    while (page !== null) {
      const { data, error }: Awaited<ReturnType<typeof admin.listUsers>> = await admin.listUsers({ page, perPage: 3 });
      if (error) throw error;
      expect(data.total).toBe(total);
      for (const { id } of data.users) seen.add(id);
      page = data.nextPage;
    }
    expect(seen.size).toBe(total);
  });

  test('updates address, password, metadata and confirmation', async () => {
    const { id, email } = await create({ app_metadata: { plan: 'pro', trial: true } });
    const next = newAddress();
    const { data, error } = await admin.updateUserById(id, {
      email: next,
      password: 'a new password',
      user_metadata: { floor: 3 },
      app_metadata: { trial: null },
    });
    expect(error).toBeNull();
    expect(data.user).toMatchObject({ email: next, user_metadata: { floor: 3 }, app_metadata: { plan: 'pro' } });
    expect(data.user?.app_metadata).not.toHaveProperty('trial');
    expect((await signIn(email, 'a new password')).error).not.toBeNull();
    expect((await signIn(next, 'a new password')).error).toBeNull();
  });

  test('bans: no sign-in, no refresh, until the ban is lifted', async () => {
    const { id, email } = await create();
    const { client, data } = await signIn(email);
    await admin.updateUserById(id, { ban_duration: '1h30m' });
    expect((await signIn(email)).error).toMatchObject({ status: 400, code: 'user_banned' });
    expect((await client.auth.refreshSession({ refresh_token: data.session?.refresh_token ?? '' })).error).toMatchObject({
      code: 'user_banned',
    });
    expect(await stack.sql('select from auth.sessions where user_id = $1', [id])).toHaveLength(1);
    await admin.updateUserById(id, { ban_duration: 'none' });
    expect((await signIn(email)).error).toBeNull();
    expect((await admin.updateUserById(id, { ban_duration: 'for ever' })).error).toMatchObject({
      status: 400,
      code: 'validation_failed',
    });
  });

  test('deletes: the user is gone, with sessions and identities', async () => {
    const { id, email } = await create();
    await signIn(email);
    expect((await admin.deleteUser(id)).error).toBeNull();
    expect((await signIn(email)).error?.code).toBe('invalid_credentials');
    for (const table of ['sessions', 'identities', 'refresh_tokens']) {
      expect(await stack.sql(`select from auth.${table} where user_id = $1`, [id]), table).toEqual([]);
    }
    expect((await admin.deleteUser(id)).error).toMatchObject({ status: 404, code: 'user_not_found' });
  });

  test('deletes softly: the row stays, and says no longer who it was', async () => {
    const { id, email } = await create({ user_metadata: { full_name: 'Secret' } });
    await admin.deleteUser(id, true);
    const [row] = await stack.sql(
      'select email, deleted_at, raw_user_meta_data, encrypted_password from auth.users where id = $1',
      [id],
    );
    expect(row).toMatchObject({ raw_user_meta_data: {}, encrypted_password: null, deleted_at: expect.any(Date) as Date });
    expect(row?.email).not.toBe(email);
    expect((await admin.getUserById(id)).error?.code).toBe('user_not_found');
    expect((await signIn(email)).error).not.toBeNull();
  });
});

describe('invitations and links', () => {
  test('who is invited comes by the link, sets a password, and is the same user', async () => {
    const email = newAddress();
    const { data, error } = await admin.inviteUserByEmail(email, {
      redirectTo: 'http://127.0.0.1:3000/join',
      data: { unit: 'A-101' },
    });
    expect(error).toBeNull();
    expect(data.user).toMatchObject({ email, invited_at: expect.any(String) as string, user_metadata: { unit: 'A-101' } });
    const mail = await stack.mails.waitFor(email);
    expect(mail.subject).toBe('You have been invited');
    const response = await fetch(mail.link ?? '', { redirect: 'manual' });
    const target = new URL(response.headers.get('location') ?? '');
    expect(target.pathname).toBe('/join');
    const fragment = new URLSearchParams(target.hash.slice(1));
    expect(fragment.get('type')).toBe('invite');
    const client = await stack.client();
    await client.auth.setSession({
      access_token: fragment.get('access_token') ?? '',
      refresh_token: fragment.get('refresh_token') ?? '',
    });
    expect((await client.auth.updateUser({ password })).data.user?.id).toBe(data.user?.id);
    expect((await signIn(email)).data.user?.email_confirmed_at).toBeTruthy();
    expect((await admin.inviteUserByEmail(email)).error).toMatchObject({ status: 422, code: 'email_exists' });
  });

  test('an invitation may be sent again, which makes the first one void', async () => {
    const email = newAddress();
    await admin.inviteUserByEmail(email);
    const first = await stack.mails.waitFor(email);
    await admin.inviteUserByEmail(email);
    const second = await stack.mails.waitFor(email, ({ id }) => id !== first.id);
    const client = await stack.client();
    expect((await client.auth.verifyOtp({ email, token: first.code ?? '', type: 'invite' })).error).not.toBeNull();
    expect((await client.auth.verifyOtp({ email, token: second.code ?? '', type: 'invite' })).error).toBeNull();
  });

  test.each(['signup', 'invite', 'magiclink', 'recovery'] as const)(
    'a link of type %s is made without a mail, and signs in',
    async (type) => {
      const email = type === 'recovery' ? (await create()).email : newAddress();
      const mails = stack.mails.list().length;
      const { data, error } = await admin.generateLink(type === 'signup' ? { type, email, password } : { type, email });
      expect(error).toBeNull();
      expect(data.properties).toMatchObject({ verification_type: type, email_otp: expect.stringMatching(/^\d{6}$/) as string });
      expect(stack.mails.list()).toHaveLength(mails);
      const client = await stack.client();
      const { data: session, error: refusal } = await client.auth.verifyOtp({
        token_hash: data.properties?.hashed_token ?? '',
        type,
      });
      expect(refusal).toBeNull();
      expect(session.user?.id).toBe(data.user?.id);
    },
  );

  test('a link for a new address changes it', async () => {
    const { email } = await create();
    const newEmail = newAddress();
    const { data, error } = await admin.generateLink({ type: 'email_change_new', email, newEmail });
    expect(error).toBeNull();
    await fetch(data.properties?.action_link ?? '', { redirect: 'manual' });
    expect((await signIn(newEmail)).error).toBeNull();
  });

  test('recovery for nobody is a 404', async () => {
    expect((await admin.generateLink({ type: 'recovery', email: newAddress() })).error).toMatchObject({
      status: 404,
      code: 'user_not_found',
    });
  });
});

describe('the admin API is for administrators', () => {
  test('neither the publishable key nor a user gets in', async () => {
    const { email } = await create();
    const { data } = await signIn(email);
    const token = data.session?.access_token ?? '';
    for (
      const headers of [
        { apikey: stack.keys.publishable },
        { apikey: stack.keys.publishable, authorization: `Bearer ${token}` },
        { apikey: stack.keys.secret, authorization: `Bearer ${token}` },
      ]
    ) {
      for (
        const [method, path] of [['GET', '/admin/users'], ['POST', '/admin/users'], ['POST', '/invite'], [
          'POST',
          '/admin/generate_link',
        ]] as const
      ) {
        const response = await fetch(`${stack.url}/auth/v1${path}`, {
          method,
          headers,
          ...(method === 'POST' && { body: '{}' }),
        });
        expect([response.status, path]).toEqual([403, path]);
        expect(await response.json()).toMatchObject({ error_code: 'not_admin' });
      }
    }
  });

  test('what it lacks says so', async () => {
    const { id } = await create();
    expect((await admin.mfa.listFactors({ userId: id })).error).toMatchObject({ status: 422, code: 'not_implemented' });
  });
});
