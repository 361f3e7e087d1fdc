import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let communityId: string;
let otherCommunityId: string;
beforeAll(async () => {
  stack = await startTestStack();
  const communities = await stack.sql<{ id: string }>(`select id from public.communities order by slug = 'lipa-court' desc limit 2`);
  [communityId, otherCommunityId] = communities.map(({ id }) => id) as [string, string];
});
afterAll(() => stack.stop());

/** Makes a unit that nobody has to do with. */
async function newUnit(): Promise<string> {
  const [{ id }] = (await stack.sql(`insert into public.units (community_id, number) values ($1, 'T' || left(md5(random()::text), 12)) returning id`, [communityId])) as [{ id: string }];
  return id;
}

/** A user with a role in a community, signed in. */
async function newMember(name: string, role: string, community: string) {
  const { id, email } = await stack.createUser({ email: `${name}@test.example` });
  const [membership] = await stack.sql<{ id: string }>('select public.grant_role($1, $2, community_id => $3) as id', [id, role, community]);
  return { client: await stack.client(email), membershipId: membership?.id as string };
}

/** A session of its own, in a transaction that stays open. */
async function openSession(): Promise<pg.Client> {
  const session = new pg.Client({ connectionString: stack.databaseUrl });
  await session.connect();
  await session.query('begin');
  return session;
}

const verify = async (head: string | null = null) => {
  const [{ told }] = (await stack.sql('select public.verify_audit($1) as told', [head])) as [{ told: Record<string, unknown> & { head: { number: number; hash: string } | null } }];
  return told;
};

describe('the history of a row', () => {
  test('tells the manager who changed what, from which address and program, by which call', async () => {
    const unit = await newUnit();
    const manager = await stack.client('manager@demo.example');
    await manager.from('units').update({ floor: 3 }).eq('id', unit).setHeader('user-agent', 'test app/1.0').throwOnError();
    await manager.rpc('archive', { table_name: 'units', id: unit, reason: 'Joined with another.' }).setHeader('user-agent', 'test app/1.0').throwOnError();
    const { data: history } = await manager.rpc('record_history', { table_name: 'units', id: unit }).throwOnError();
    expect(history).toMatchObject([
      { operation: 'update', action: 'ROW_ARCHIVED', note: 'Joined with another.', before: { deleted_at: null }, method: 'POST', path: '/rpc/archive' },
      { operation: 'update', action: null, before: { floor: null }, after: { floor: 3 }, actor_label: null, method: 'PATCH', path: '/units', user_agent: 'test app/1.0' },
      { operation: 'insert', before: null, actor_name: null, actor_label: 'studio:postgres', address: null, path: null },
    ]);
    expect(history[1].address, 'the address of the client, as the gateway saw it').toMatch(/^(::ffff:)?127\.0\.0\.1$|^::1$/);
    expect(history[1].actor_name, 'the manager sees the own profile').toEqual(expect.any(String));
  });

  test('is nothing to a neighbour, to the manager of another community, and to who is not signed in', async () => {
    const unit = await newUnit();
    const neighbour = await stack.client('owner@demo.example');
    const other = await newMember('other-manager', 'manager', otherCommunityId);
    const nobody = await stack.client();
    expect((await neighbour.rpc('record_history', { table_name: 'units', id: unit }).throwOnError()).data).toEqual([]);
    expect((await other.client.rpc('record_history', { table_name: 'units', id: unit }).throwOnError()).data).toEqual([]);
    expect((await nobody.rpc('record_history', { table_name: 'units', id: unit })).status).toBe(401);
  });

  test('ends for an administrator with the role, whatever the token says', async () => {
    const unit = await newUnit();
    const admin = await newMember('fired-admin', 'admin', communityId);
    const ask = () => admin.client.rpc('record_history', { table_name: 'units', id: unit }).throwOnError();
    expect((await ask()).data).toHaveLength(1);
    await stack.sql('select public.revoke_role($1)', [admin.membershipId]);
    expect((await ask()).data).toEqual([]);
  });

  test('can be read without writing, by GET', async () => {
    const manager = await stack.client('manager@demo.example');
    const { data } = await manager.rpc('record_history', { table_name: 'units', id: await newUnit() }, { get: true }).throwOnError();
    expect(data).toHaveLength(1);
  });
});

test('twenty first requests from one place at once wait for none, and each entry tells the place', async () => {
  const manager = await stack.client('manager@demo.example');
  const units = await Promise.all(Array.from({ length: 20 }, newUnit));
  await Promise.all(units.map((id) => manager.from('units').update({ floor: 7 }).eq('id', id).setHeader('user-agent', 'first seen/1.0').throwOnError()));
  const told = await stack.sql(`select user_agent, path from public.audit_log where row_id = any ($1) and operation = 'update'`, [units]);
  expect(told).toEqual(units.map(() => ({ user_agent: 'first seen/1.0', path: '/units' })));
  const places = await stack.sql(`select from audit.origins where user_agent = 'first seen/1.0'`);
  expect(places.length).toBeLessThanOrEqual(20);
  await manager.from('units').update({ floor: 8 }).eq('id', units[0]).setHeader('user-agent', 'first seen/1.0').throwOnError();
  expect(await stack.sql(`select from audit.origins where user_agent = 'first seen/1.0'`), 'a later request finds it').toHaveLength(places.length);
});

describe('sealing', { timeout: 180_000 }, () => {
  // Transactions of other databases of this server are open now and then, and hold sealing back as well.
  const sealUntil = (isSealed: () => Promise<boolean>) =>
    vi.waitFor(
      async () => {
        await stack.sql('select app.seal_audit()');
        expect(await isSealed()).toBe(true);
      },
      { timeout: 150_000, interval: 100 },
    );
  const sealsOf = (unit: string) =>
    stack.sql<{ number: string }>(
      `select s.number from audit.log l join audit.seals s on s.dropped_because is null and s.month_on = date_trunc('month', l.recorded_at at time zone 'UTC')::date
         and s.from_transaction <= l.transaction_id::text::bigint and l.transaction_id::text::bigint < s.to_transaction
       where l.row_id = $1 order by l.id`,
      [unit],
    );

  test('waits for an older transaction that is open, and then takes what it wrote, each entry once', async () => {
    const [early, late] = [await newUnit(), await newUnit()];
    const older = await openSession();
    await older.query('update public.units set floor = 1 where id = $1', [early]);
    await stack.sql('update public.units set floor = 2 where id = $1', [late]);

    await sealUntil(async () => (await sealsOf(late)).length === 1);
    expect((await sealsOf(late)).length, 'what a younger transaction committed is not sealed past the older one').toBe(1);
    await stack.sql('select app.seal_audit()');
    expect((await sealsOf(late)).length, 'however often one tries').toBe(1);

    await older.query('commit');
    await older.end();
    await sealUntil(async () => (await sealsOf(late)).length === 2 && (await sealsOf(early)).length === 2);
    expect(await verify()).toMatchObject({ ok: true, problems: [] });
  });

  test('leaves out what was rolled back, and goes on', async () => {
    const unit = await newUnit();
    const older = await openSession();
    await older.query('update public.units set floor = 1 where id = $1', [unit]);
    await older.query('rollback');
    await older.end();
    await sealUntil(async () => (await sealsOf(unit)).length === 1);
    expect(await verify()).toMatchObject({ ok: true });
  });

  test('of ten at once, one seals and nobody waits, while others write; the chain is whole', async () => {
    const manager = await stack.client('manager@demo.example');
    const units = await Promise.all(Array.from({ length: 30 }, newUnit));
    const writers = units.map((id, index) => manager.from('units').update({ floor: index }).eq('id', id).throwOnError());
    const sealers = Array.from({ length: 10 }, async () => {
      const session = new pg.Client({ connectionString: stack.databaseUrl });
      await session.connect();
      for (let round = 0; round < 5; round += 1) await session.query('select app.seal_audit()');
      await session.end();
    });
    await Promise.all([...writers, ...sealers]);
    await sealUntil(async () => (await sealsOf(units[0] as string)).length === 2);
    const numbers = await stack.sql<{ number: string }>('select number from audit.seals order by number');
    expect(numbers.map(({ number }) => Number(number))).toEqual(numbers.map((_, index) => index + 1));
    expect(await verify()).toMatchObject({ ok: true });
  });

  test('a second sealer returns at once while the first is at it', async () => {
    await newUnit();
    const first = await openSession();
    await first.query('select app.seal_audit()');
    const [second] = await stack.sql<{ sealed: string }>('select app.seal_audit() as sealed');
    expect(Number(second?.sealed)).toBe(0);
    await first.query('commit');
    await first.end();
    expect(await verify()).toMatchObject({ ok: true });
  });

  test('erasing while sealing leaves the chain whole', async () => {
    const units = await Promise.all(Array.from({ length: 10 }, newUnit));
    await Promise.all([
      ...units.map((id) => stack.sql(`select app.erase_audit('public.units', array[$1::uuid], '{number}', 'Race.')`, [id])),
      ...units.map(() => stack.sql('select app.seal_audit()')),
      ...units.map((id) => stack.sql(`select app.erase_audit('public.units', array[$1::uuid], null, 'Race.')`, [id])),
    ]);
    await sealUntil(async () => (await sealsOf(units[9] as string)).length >= 1);
    expect(await verify()).toMatchObject({ ok: true });
    const told = await stack.sql(`select distinct changes::jsonb ->> 'number' as number from audit.log where row_id = any ($1) and operation = 'insert'`, [units]);
    expect(told).toEqual([{ number: '[erased]' }]);
  });

  test('a head that was told is in the chain later; one that was not is unknown', async () => {
    const before = await verify();
    expect(before.head).not.toBeNull();
    const unit = await newUnit();
    await sealUntil(async () => (await sealsOf(unit)).length === 1);
    expect(await verify(before.head?.hash)).toMatchObject({ ok: true });
    expect(await verify('0'.repeat(64))).toMatchObject({ ok: false, problems: [{ problem: 'head_unknown' }] });
  });

  test('only who holds audit.read on the site verifies', async () => {
    const manager = await stack.client('manager@demo.example');
    expect((await manager.rpc('verify_audit')).error?.message).toBe('permission_denied');
    const { id, email } = await stack.createUser({ email: 'site@test.example' });
    await stack.sql(`select public.grant_role($1, 'superadmin')`, [id]);
    const superadmin = await stack.client(email);
    expect((await superadmin.rpc('verify_audit', {}, { get: true }).throwOnError()).data).toMatchObject({ ok: true });
  });
});
