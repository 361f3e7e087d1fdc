import type { SupabaseClient } from '@supabase/supabase-js';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

// A manager of two weeks, who would like to stay.

let stack: TestStack;
let community: string;
let substitute: SupabaseClient;
let substituteId: string;
const days = (n: number) => new Date(Date.now() + n * 86_400_000).toISOString();
const end = days(14);
beforeAll(async () => {
  stack = await startTestStack({ functions: true });
  community = String((await stack.sql(`select id from public.communities where slug = 'lipa-court'`))[0]?.id);
  substituteId = await member('substitute', 'manager', end);
  substitute = await stack.client('substitute@test.example');
});
afterAll(() => stack.stop());

async function member(name: string, role?: string, until?: string): Promise<string> {
  const { id } = await stack.createUser({ email: `${name}@test.example` });
  // Nobody is given anything by somebody who does not know them.
  await stack.sql('insert into public.residents (community_id, full_name, user_id) values ($1, $2, $3)', [community, name, id]);
  if (role !== undefined) await stack.sql('select public.grant_role($1, $2, community_id => $3, ends_at => $4)', [id, role, community, until]);
  return id;
}

/** What somebody holds, or is invited to, and until when. */
async function heldBy(name: string): Promise<unknown[]> {
  return stack.sql(
    `select m.ends_at from public.memberships m join public.profiles p on p.id = m.user_id where p.email = $1 and m.deleted_at is null
     union all select up.ends_at from public.user_permissions up join public.profiles p on p.id = up.user_id where p.email = $1
     union all select i.ends_at from public.invitations i where i.email = $1`,
    [`${name}@test.example`],
  );
}

test('leaves neither an accomplice nor a second account of their own, by any call that hands something on', async () => {
  const id = await member('accomplice');
  const [held] = await stack.sql<{ id: string }>('select id from public.memberships where user_id = $1', [substituteId]);
  for (const ends_at of [null, 'infinity', days(15)]) {
    const calls = [
      substitute.rpc('grant_role', { user_id: id, role: 'manager', community_id: community, ends_at }),
      substitute.rpc('grant_role', { user_id: id, role: 'cleaning', community_id: community, starts_at: days(13), ends_at }),
      substitute.rpc('grant_role', { user_id: substituteId, role: 'manager', community_id: community, starts_at: end, ends_at }),
      substitute.rpc('grant_permission', { user_id: id, permission: 'memberships.manage', reason: 'to stay', community_id: community, ends_at }),
      substitute.rpc('invite_member', { email: 'accomplice@test.example', role: 'manager', community_id: community, ends_at }),
    ];
    for (const { status, error } of await Promise.all(calls)) expect([status, error?.message]).toEqual([403, 'term_above_own']);
  }
  const written = await Promise.all([
    substitute.from('memberships').update({ ends_at: null }).eq('id', held?.id),
    substitute.from('memberships').insert({ user_id: id, role_id: held?.id, community_id: community }),
  ]);
  for (const { error } of written) expect(error?.code).toBe('42501');
  expect(await heldBy('accomplice')).toEqual([]);
  expect(await heldBy('substitute')).toEqual([{ ends_at: new Date(end) }]);
});

test('is told until when, and an app that asks for that is answered', async () => {
  const id = await member('helper');
  const wish = { user_id: id, role: 'guard', community_id: community };
  const { error } = await substitute.rpc('grant_role', wish);
  const [latest] = error?.details.match(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/) ?? [];
  expect(Math.abs(Date.parse(latest ?? '') - Date.parse(end))).toBeLessThan(1000);
  await substitute.rpc('grant_role', { ...wish, ends_at: latest }).throwOnError();
  expect(await heldBy('helper')).toEqual([{ ends_at: new Date(latest ?? '') }]);
});

test('invites by mail for that time, and who accepts holds the role until then', async () => {
  await member('newcomer');
  const newcomer = await stack.client('newcomer@test.example');
  const body = { email: 'newcomer@test.example', role: 'technician', community_id: community };
  const refused = await substitute.functions.invoke('invite-member', { body });
  const { context } = refused.error as { context: Response };
  expect([context.status, await context.json()]).toMatchObject([403, { message: 'term_above_own' }]);
  const { data } = await substitute.functions.invoke<{ id: string }>('invite-member', { body: { ...body, ends_at: days(3) } });
  await newcomer.rpc('accept_invitation', { invitation_id: data?.id }).throwOnError();
  const [invited, held] = (await heldBy('newcomer')) as { ends_at: Date }[];
  expect(held).toEqual(invited);
  expect(Date.parse(days(3)) - Number(held?.ends_at)).toBeLessThan(60_000);
});

describe('while their own role changes', () => {
  /** A connection of its own with a transaction open, of a user or, without one, of role postgres. */
  async function session(userId?: string) {
    const client = new pg.Client({ connectionString: stack.databaseUrl });
    await client.connect();
    await client.query('begin');
    if (userId !== undefined) {
      await client.query(`select set_config('request.jwt.claims', $1, true), set_config('role', 'authenticated', true)`, [JSON.stringify({ sub: userId, role: 'authenticated' })]);
    }
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    return {
      query: (text: string, parameters?: unknown[]) => client.query(text, parameters),
      async untilWaiting() {
        for (;;) {
          const [row] = await stack.sql('select wait_event_type from pg_catalog.pg_stat_activity where pid = $1', [rows[0]?.pid]);
          if (row?.wait_event_type === 'Lock') return;
        }
      },
      async end(how: 'commit' | 'rollback') {
        await client.query(how);
        await client.end();
      },
    };
  }
  const grant = `select public.grant_role($1, 'guard', community_id => $2, ends_at => $3)`;
  const shorten = `update public.memberships set ends_at = now() + interval '1 day' where user_id = $1`;

  test('of a role that is shortened first: whoever gives of it waits, and gives no longer than it lasts now', async () => {
    const [giverId, id] = [await member('shortened', 'manager'), await member('late')];
    const [changing, giving] = [await session(), await session(giverId)];
    await changing.query(shorten, [giverId]);
    const given = giving.query(grant, [id, community, null]).then(() => 'done', (error: pg.DatabaseError) => error.message);
    await giving.untilWaiting();
    await changing.end('commit');
    expect(await given).toBe('term_above_own');
    await giving.end('rollback');
    expect(await heldBy('late')).toEqual([]);
  });

  test('of one that is revoked by who began later: what is given from it has no future', async () => {
    const [giverId, id] = [await member('revoked', 'manager'), await member('hopeful')];
    const giving = await session(giverId);
    await stack.sql('select public.revoke_role(m.id) from public.memberships m where m.user_id = $1', [giverId]);
    // At the moment at which this transaction began, the role had not ended.
    await expect(giving.query(grant, [id, community, days(1)])).rejects.toMatchObject({ message: 'term_above_own' });
    await giving.end('rollback');
    expect(await heldBy('hopeful')).toEqual([]);
  });

  test('of a grant that came first: whoever shortens waits, and then sees what was given', async () => {
    const [giverId, id] = [await member('prompt', 'manager'), await member('early')];
    const [giving, changing] = [await session(giverId), await session()];
    await giving.query(grant, [id, community, null]);
    const shortened = changing.query(shorten, [giverId]);
    await changing.untilWaiting();
    await giving.end('commit');
    await shortened;
    expect((await changing.query('select from public.memberships where user_id = $1', [id])).rowCount).toBe(1);
    await changing.end('commit');
  });

  test('of two who change the limits of each other: neither is left waiting', async () => {
    const managers = await Promise.all(
      ['one', 'other'].map(async (name) => {
        const id = await member(name, 'manager');
        const [held] = await stack.sql<{ id: string }>(`select public.grant_role($1, 'guard', community_id => $2) as id`, [id, community]);
        return { client: await stack.client(`${name}@test.example`), guarding: held?.id };
      }),
    );
    const [one, other] = managers;
    for (let round = 0; round < 20; round += 1) {
      const restriction = { amounts: { 'units.read': round } };
      const answers = await Promise.all([
        one?.client.rpc('restrict_role', { membership_id: other?.guarding, restriction }),
        other?.client.rpc('restrict_role', { membership_id: one?.guarding, restriction }),
      ]);
      expect(answers.map((answer) => answer?.error)).toEqual([null, null]);
    }
  });
});
