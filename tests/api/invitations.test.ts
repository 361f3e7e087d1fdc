import type { SupabaseClient } from '@supabase/supabase-js';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let manager: SupabaseClient;
let community: string;
beforeAll(async () => {
  stack = await startTestStack({ functions: true });
  manager = await stack.client('manager@demo.example');
  community = String((await stack.sql(`select id from public.communities where slug = 'lipa-court'`))[0]?.id);
});
afterAll(() => stack.stop());

type Issued = { id: string; token: string };

let count = 0;
/** An address that nothing else has. */
const newAddress = (name: string) => `${name}-${(count += 1)}@invited.example`;

async function invite(email: string, role = 'guard'): Promise<Issued> {
  const { data } = await manager.rpc('invite_member', { email, role, community_id: community }).single<Issued>().throwOnError();
  return data;
}

async function membershipsOf(email: string): Promise<number> {
  const rows = await stack.sql(
    `select m.id from public.memberships m join public.profiles p on p.id = m.user_id where lower(p.email) = $1 and m.deleted_at is null`,
    [email],
  );
  return rows.length;
}

async function statusOf(invitation: Issued): Promise<unknown> {
  return (await stack.sql('select status::text from public.invitations where id = $1', [invitation.id]))[0]?.status;
}

/** Opens the link of a mail as a browser does, and returns a client with the session and the page it leads to. */
async function follow(link: string): Promise<{ client: SupabaseClient; page: URL }> {
  const response = await fetch(link, { redirect: 'manual' });
  const page = new URL(response.headers.get('location') ?? '');
  const session = new URLSearchParams(page.hash.slice(1));
  const client = await stack.client();
  const { error } = await client.auth.setSession({ access_token: session.get('access_token') ?? '', refresh_token: session.get('refresh_token') ?? '' });
  expect(error).toBeNull();
  return { client, page };
}

describe('the function invite-member', () => {
  const redirect_to = 'http://127.0.0.1:3000/join';
  const call = (client: SupabaseClient, body: object, path = '') =>
    client.functions.invoke<Record<string, unknown>>(`invite-member${path}`, { method: 'POST', body });
  const answerOf = async (error: unknown) => {
    const { context } = error as { context: Response };
    return [context.status, ((await context.json()) as { message: string }).message];
  };

  test('writes to somebody without an account, whom the link makes one, verifies and leads to the app with the token', async () => {
    const email = newAddress('newcomer');
    const { data, error } = await call(manager, { email, role: 'guard', community_id: community, redirect_to });
    expect(error).toBeNull();
    expect(data).toEqual({
      id: expect.any(String), email, role: 'guard', role_name: 'Guard', place: 'Lipa Court', expires_at: expect.any(String), mail_sent: true,
    });

    const mail = await stack.mails.waitFor(email);
    expect(mail.subject).toBe('You have been invited');
    const { client, page } = await follow(mail.link ?? '');
    expect(page.origin + page.pathname).toBe(redirect_to);
    const token = page.searchParams.get('invitation');
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(JSON.stringify(data)).not.toContain(token);

    expect((await client.rpc('my_invitations')).data).toMatchObject([{ id: data?.id, role: 'guard', place: 'Lipa Court', invited_by: 'Maria Koleva' }]);
    const accepted = await client.rpc('accept_invitation', { token });
    expect(accepted.data).toEqual([{ membership_id: expect.any(String), role: 'guard', organization_id: null, community_id: community, resident_id: null }]);
    expect((await client.from('units').select('number')).data).toHaveLength(12);
  });

  test('writes to somebody with an account a link that signs them in, and tells the inviter no difference', async () => {
    const email = newAddress('known');
    await stack.createUser({ email });
    const { data } = await call(manager, { email, role: 'technician', community_id: community, redirect_to });
    expect(data).toMatchObject({ email, mail_sent: true });
    const mail = await stack.mails.waitFor(email);
    expect(mail.subject).toBe('Your magic link');
    const { client, page } = await follow(mail.link ?? '');
    expect((await client.rpc('accept_invitation', { token: page.searchParams.get('invitation') })).error).toBeNull();
    expect(await membershipsOf(email)).toBe(1);
  });

  test('sends again, with another token', async () => {
    const email = newAddress('forgetful');
    await stack.createUser({ email });
    const { data } = await call(manager, { email, role: 'guard', community_id: community, redirect_to });
    const first = new URL(new URL((await stack.mails.waitFor(email)).link ?? '').searchParams.get('redirect_to') ?? '');
    const again = await call(manager, { redirect_to }, `/${String(data?.id)}/resend`);
    expect(again.data).toMatchObject({ id: data?.id, mail_sent: true });
    const second = new URL(new URL((await stack.mails.waitFor(email)).link ?? '').searchParams.get('redirect_to') ?? '');
    const invited = await stack.client(email);
    const old = await invited.rpc('accept_invitation', { token: first.searchParams.get('invitation') });
    expect([old.status, old.error?.message]).toEqual([404, 'invitation_not_found']);
    expect((await invited.rpc('accept_invitation', { token: second.searchParams.get('invitation') })).error).toBeNull();
  });

  test('refuses as the database refuses, and writes to nobody then', async () => {
    const guard = await stack.client('guard@demo.example');
    const email = newAddress('nobody');
    const before = stack.mails.list().length;
    const refused = await call(guard, { email, role: 'guard', community_id: community });
    expect(await answerOf(refused.error)).toEqual([403, 'permission_denied']);
    const malformed = await call(manager, { email, role: 'guard', comunity_id: community });
    expect(await answerOf(malformed.error)).toEqual([400, 'invalid_body']);
    await invite(email);
    const twice = await call(manager, { email, role: 'guard', community_id: community });
    expect(await answerOf(twice.error)).toEqual([409, 'invitation_pending']);
    expect((await fetch(`${stack.url}/functions/v1/invite-member`, { method: 'POST', body: '{}' })).status).toBe(401);
    expect(stack.mails.list().length).toBe(before);
  });
});

describe('somebody who was invited before signing up', () => {
  test('finds the invitation once the address is verified, and not before', async () => {
    const email = newAddress('late');
    const { token, id } = await invite(email);
    const client = await stack.client();
    await client.auth.signUp({ email, password: 'a long enough password' });
    const mail = await stack.mails.waitFor(email);
    expect(await membershipsOf(email)).toBe(0);

    const { client: verified } = await follow(mail.link ?? '');
    expect((await verified.rpc('my_invitations')).data).toMatchObject([{ id }]);
    expect(await membershipsOf(email)).toBe(0);
    expect((await verified.rpc('accept_invitation', { token })).error).toBeNull();
    expect(await membershipsOf(email)).toBe(1);
  });

  test('keeps it from whoever else got hold of the token', async () => {
    const [email, thief] = [newAddress('victim'), newAddress('thief')];
    const { token } = await invite(email);
    await stack.createUser({ email: thief });
    const { status, error } = await (await stack.client(thief)).rpc('accept_invitation', { token });
    expect([status, error?.message]).toEqual([403, 'invitation_other_address']);
    expect(await membershipsOf(thief)).toBe(0);
  });
});

test('the invited person cannot pass as somebody who never verified', async () => {
  const email = newAddress('unverified');
  const { token } = await invite(email);
  const user = await stack.createUser({ email });
  const client = await stack.client(email);
  await stack.sql('update auth.users set email_confirmed_at = null where id = $1', [user.id]);
  const { status, error } = await client.rpc('accept_invitation', { token });
  expect([status, error?.message]).toEqual([403, 'email_not_verified']);
  expect(await membershipsOf(email)).toBe(0);
});

describe('races', () => {
  /** A connection of its own in which a user, or without one role postgres, has a transaction open. */
  type Session = { pid: number; query(text: string, parameters?: unknown[]): Promise<pg.QueryResult>; end(how: 'commit' | 'rollback'): Promise<void> };

  async function session(userId?: string): Promise<Session> {
    const client = new pg.Client({ connectionString: stack.databaseUrl });
    await client.connect();
    await client.query('begin');
    if (userId !== undefined) {
      await client.query(`select set_config('request.jwt.claims', $1, true), set_config('role', 'authenticated', true)`, [
        JSON.stringify({ sub: userId, role: 'authenticated' }),
      ]);
    }
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    return {
      pid: rows[0]?.pid ?? 0,
      query: (text, parameters) => client.query(text, parameters),
      async end(how) {
        await client.query(how);
        await client.end();
      },
    };
  }

  /** Resolves once the session waits for somebody's lock. */
  async function untilWaiting({ pid }: Session): Promise<void> {
    for (;;) {
      const [row] = await stack.sql(`select wait_event_type from pg_catalog.pg_stat_activity where pid = $1`, [pid]);
      if (row?.wait_event_type === 'Lock') return;
    }
  }

  const accept = (who: Session, token: string) => who.query('select * from public.accept_invitation($1)', [token]);
  const refusal = (work: Promise<unknown>) => work.then(() => 'done', (error: pg.DatabaseError) => error.message);
  const managerId = '00000000-0000-4000-8000-000000000002';

  test('of one person who accepts twenty times at once: one membership', async () => {
    const email = newAddress('impatient');
    await stack.createUser({ email });
    const { token, id } = await invite(email);
    const client = await stack.client(email);
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => client.rpc('accept_invitation', index % 2 ? { token } : { invitation_id: id })),
    );
    expect(answers.filter(({ error }) => error === null)).toHaveLength(1);
    expect(answers.filter(({ status, error }) => status === 409 && error?.message === 'invitation_used')).toHaveLength(19);
    expect(await membershipsOf(email)).toBe(1);
  });

  test('of two people who both verified the address: whoever comes first', async () => {
    const email = newAddress('shared');
    const first = await stack.createUser({ email });
    // Only single sign-on lets a second account have the same address.
    const [second] = await stack.sql<{ id: string }>(
      `insert into auth.users (instance_id, id, aud, role, email, email_confirmed_at, is_sso_user, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
       values ('00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'authenticated', 'authenticated', $1, now(), true, '{}', '{}', now(), now()) returning id`,
      [email],
    );
    const { token } = await invite(email);
    const [one, other] = await Promise.all([session(first.id), session(second?.id ?? '')]);
    await accept(one, token);
    const late = refusal(accept(other, token));
    await untilWaiting(other);
    await one.end('commit');
    expect(await late).toBe('invitation_used');
    await other.end('rollback');
    expect(await membershipsOf(email)).toBe(1);
  });

  test('of an acceptance that is undone and another: the other gets it', async () => {
    const email = newAddress('undecided');
    const { id: userId } = await stack.createUser({ email });
    const { token } = await invite(email);
    const [one, other] = await Promise.all([session(userId), session(userId)]);
    await accept(one, token);
    const late = refusal(accept(other, token));
    await untilWaiting(other);
    await one.end('rollback');
    expect(await late).toBe('done');
    await other.end('commit');
    expect(await membershipsOf(email)).toBe(1);
  });

  test('of an acceptance against a revocation: who commits first, and nothing in between', async () => {
    for (const first of ['accept', 'revoke'] as const) {
      const email = newAddress('contested');
      const { id: userId } = await stack.createUser({ email });
      const issued = await invite(email);
      const [invited, inviter] = await Promise.all([session(userId), session(managerId)]);
      const work = {
        accept: () => accept(invited, issued.token),
        revoke: () => inviter.query('select public.revoke_invitation($1)', [issued.id]),
      };
      const [early, late] = first === 'accept' ? [invited, inviter] : [inviter, invited];
      await work[first]();
      const second = refusal(work[first === 'accept' ? 'revoke' : 'accept']());
      await untilWaiting(late);
      await early.end('commit');
      expect(await second).toBe(first === 'accept' ? 'invitation_used' : 'invitation_revoked');
      await late.end('rollback');
      expect([await statusOf(issued), await membershipsOf(email)]).toEqual(first === 'accept' ? ['accepted', 1] : ['revoked', 0]);
    }
  });

  test('of an acceptance against a resend: the token that was replaced meanwhile is dead', async () => {
    const email = newAddress('replaced');
    const { id: userId } = await stack.createUser({ email });
    const issued = await invite(email);
    const [invited, inviter] = await Promise.all([session(userId), session(managerId)]);
    await inviter.query('select * from public.resend_invitation($1)', [issued.id]);
    const late = refusal(accept(invited, issued.token));
    await untilWaiting(invited);
    await inviter.end('commit');
    expect(await late).toBe('invitation_not_found');
    await invited.end('rollback');
    expect([await statusOf(issued), await membershipsOf(email)]).toEqual(['pending', 0]);
  });

  test('of an acceptance against the job that revokes what nobody stands behind any more: what was accepted in time stays', async () => {
    const [email, deputy] = [newAddress('in-time'), await stack.createUser({ email: newAddress('deputy') })];
    const { id: userId } = await stack.createUser({ email });
    const [role] = await stack.sql(`select public.grant_role($1, 'manager', community_id => $2) as id`, [deputy.id, community]);
    const inviter = await stack.client(deputy.email);
    const { data: issued } = await inviter.rpc('invite_member', { email, role: 'guard', community_id: community }).single<Issued>().throwOnError();
    const invited = await session(userId);
    await accept(invited, issued.token);
    await stack.sql('select public.revoke_role($1)', [role?.id]);
    const job = await session();
    const run = job.query(`select app.run_job('invitations') as ran`);
    await untilWaiting(job);
    await invited.end('commit');
    expect((await run).rows).toEqual([{ ran: true }]);
    await job.end('commit');
    expect([await statusOf(issued), await membershipsOf(email)]).toEqual(['accepted', 1]);
  });

  test('of ten who invite one address: one invitation', async () => {
    const email = newAddress('wanted');
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => manager.rpc('invite_member', { email, role: 'guard', community_id: community })),
    );
    expect(answers.filter(({ error }) => error === null)).toHaveLength(1);
    expect(answers.filter(({ error }) => error?.message === 'invitation_pending')).toHaveLength(9);
  });

  test('of one who founds communities in ten sessions at once: no more than the site permits', async () => {
    const email = newAddress('founder');
    const { id: userId } = await stack.createUser({ email });
    const client = await stack.client(email);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        client.rpc('found_community', {
          ...{ organization_name: `House ${index}`, organization_slug: `house-${index}`, community_name: `House ${index}`, community_slug: `house-${index}` },
          ...{ country_code: 'BG', currency_code: 'EUR', time_zone: 'Europe/Sofia' },
        }),
      ),
    );
    expect(answers.filter(({ error }) => error === null)).toHaveLength(3);
    expect(answers.filter(({ status, error }) => status === 409 && error?.message === 'too_many_organizations')).toHaveLength(7);
    expect(await stack.sql('select id from public.organizations where created_by = $1', [userId])).toHaveLength(3);
    expect((await client.rpc('my_places')).data).toHaveLength(6);
  });
});
