import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let communityId: string;
beforeAll(async () => {
  stack = await startTestStack();
  [{ id: communityId }] = (await stack.sql(`select id from public.communities where slug = 'lipa-court'`)) as [{ id: string }];
});
afterAll(() => stack.stop());

/** The outcome of a request, without what differs from run to run. */
const told = ({ status, error }: { status: number; error: { code: string; message: string } | null }) => [status, error?.code, error?.message];

/** Makes a unit that nobody has to do with. */
async function newUnit(): Promise<string> {
  const [{ id }] = (await stack.sql(`insert into public.units (community_id, number) values ($1, 'T' || left(md5(random()::text), 12)) returning id`, [communityId])) as [{ id: string }];
  return id;
}

/** Makes a resident who is tied to no unit. */
async function newResident(): Promise<string> {
  const [{ id }] = (await stack.sql(`insert into public.residents (community_id, full_name) values ($1, 'Nadia Test') returning id`, [communityId])) as [{ id: string }];
  return id;
}

async function isLive(table: 'units' | 'residents' | 'occupancies', id: string): Promise<unknown> {
  const [row] = await stack.sql(`select deleted_at is null as live from public.${table} where id = $1`, [id]);
  return row?.live;
}

describe('from an app', () => {
  test('a row on which live ones lean is not archived, and the answer names them', async () => {
    const manager = await stack.client('manager@demo.example');
    const { data: unit } = await manager.from('units').select('id').eq('number', '3').single().throwOnError();
    const refused = await manager.rpc('archive', { table_name: 'units', id: unit.id });
    expect(told(refused)).toEqual([409, 'PT409', 'has_live_children']);
    expect(refused.error?.details).toBe('Live rows lean on this row of units: leases (1), occupancies (2), unit_representatives (1), vehicles (1), visitor_invitations (3), visits (1).');
    expect(await isLive('units', unit.id)).toBe(true);
  });

  test('an archived row leaves the lists, is shown on demand to who may archive, and comes back', async () => {
    const manager = await stack.client('manager@demo.example');
    const id = await newUnit();
    const { data: archived } = await manager.rpc('archive', { table_name: 'units', id, reason: 'entered twice' }).throwOnError();
    expect(archived).toEqual({ table: 'units', id, name: expect.stringMatching(/^T/), changed: true, deleted_at: expect.any(String), parts: {} });

    expect((await manager.from('units').select('id').eq('id', id)).data).toEqual([]);
    expect((await manager.from('units').select('id').eq('id', id).setHeader('x-archived', 'include')).data).toEqual([{ id }]);
    const guard = await stack.client('guard@demo.example');
    expect((await guard.from('units').select('id').eq('id', id).setHeader('x-archived', 'include')).data).toEqual([]);
    const neighbour = await stack.client('gerente@demo.example');
    expect((await neighbour.from('units').select('id').eq('id', id).setHeader('x-archived', 'include')).data).toEqual([]);

    const { data: changed } = await manager.from('units').update({ floor: 3 }).eq('id', id).setHeader('x-archived', 'include').select();
    expect(changed).toEqual([]);
    const { data: log } = await manager.from('audit_log').select('note').eq('row_id', id).order('id', { ascending: false }).limit(1).throwOnError();
    expect(log).toEqual([{ note: 'entered twice' }]);

    const { data: restored } = await manager.rpc('restore', { table_name: 'units', id }).throwOnError();
    expect(restored).toMatchObject({ changed: true, deleted_at: null });
    expect((await manager.from('units').select('id').eq('id', id)).data).toEqual([{ id }]);
  });

  test('nothing is written under an archived row', async () => {
    const manager = await stack.client('manager@demo.example');
    const { data: building } = await manager.from('buildings').insert({ community_id: communityId, name: 'Shed' }).select('id').single().throwOnError();
    await manager.rpc('archive', { table_name: 'buildings', id: building.id }).throwOnError();
    const inserted = await manager.from('units').insert({ community_id: communityId, building_id: building.id, number: '1' });
    expect(told(inserted)).toEqual([409, 'PT409', 'parent_archived']);
    const id = await newUnit();
    expect(told(await manager.from('units').update({ building_id: building.id }).eq('id', id))).toEqual([409, 'PT409', 'parent_archived']);
    expect(await stack.sql('select id from public.units where building_id = $1', [building.id])).toEqual([]);
  });

  test('who may not archive is refused, and learns of no row that they do not see', async () => {
    const id = await newUnit();
    const archive = async (email?: string) => told(await (await stack.client(email)).rpc('archive', { table_name: 'units', id }));
    expect(await archive('guard@demo.example')).toEqual([403, 'PT403', 'permission_denied']);
    expect(await archive('tenant@demo.example')).toEqual([404, 'PT404', 'row_not_found']);
    expect(await archive('gerente@demo.example')).toEqual([404, 'PT404', 'row_not_found']);
    expect(await archive()).toEqual([401, '42501', expect.any(String)]);
    expect(await isLive('units', id)).toBe(true);
  });

  test('nobody deletes or dates a row by hand, the secret key no more than a user', async () => {
    const manager = await stack.client('manager@demo.example');
    const id = await newUnit();
    expect(told(await manager.from('units').delete().eq('id', id))).toEqual([403, '42501', expect.any(String)]);
    expect(told(await manager.from('units').update({ deleted_at: '2026-01-01' }).eq('id', id))).toEqual([403, '42501', expect.any(String)]);
    const withSecretKey = (method: string, path: string, body?: object) =>
      fetch(`${stack.url}/rest/v1/${path}`, {
        method,
        headers: { apikey: stack.keys.secret, 'content-type': 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
      });
    expect((await withSecretKey('DELETE', `units?id=eq.${id}`)).status).toBe(403);
    expect(await isLive('units', id)).toBe(true);
    expect((await withSecretKey('POST', 'rpc/archive', { table_name: 'units', id })).status).toBe(200);
    expect(await isLive('units', id)).toBe(false);
  });

  test('only a superadministrator removes for good, only what is archived, and the audit says why', async () => {
    const manager = await stack.client('manager@demo.example');
    const superadmin = await stack.client('superadmin@demo.example');
    const id = await newUnit();
    const purge = { table_name: 'units', id, reason: 'entered by mistake' };
    expect(told(await superadmin.rpc('purge', purge))).toEqual([409, 'PT409', 'not_archived']);
    await manager.rpc('archive', { table_name: 'units', id }).throwOnError();
    expect(told(await manager.rpc('purge', purge))).toEqual([403, 'PT403', 'permission_denied']);
    expect(told(await superadmin.rpc('purge', { ...purge, reason: '' }))).toEqual([422, 'PT422', 'reason_required']);
    expect(await isLive('units', id)).toBe(false);
    const { data } = await superadmin.rpc('purge', purge).throwOnError();
    expect(data).toMatchObject({ table: 'units', id, changed: true });
    expect(await isLive('units', id)).toBeUndefined();
    expect(await stack.sql(`select note from public.audit_log where row_id = $1 and operation = 'delete'`, [id])).toEqual([{ note: 'entered by mistake' }]);
  });

  test('an app asks which steps the user may take, and steps that are not declared are refused', async () => {
    const manager = await stack.client('manager@demo.example');
    const id = await newUnit();
    const { data: steps } = await manager.rpc('next_states', { table_name: 'units', id }).throwOnError();
    expect(steps).toEqual([{ to_state: 'under_maintenance', description: 'Take the unit out of use for works' }]);
    expect(told(await manager.from('units').update({ status: 'occupied' }).eq('id', id))).toEqual([403, '42501', expect.any(String)]);
    await manager.rpc('set_unit_maintenance', { unit_id: id, under_maintenance: true }).throwOnError();
    await expect(stack.sql(`update public.units set status = 'occupied' where id = $1`, [id])).rejects.toMatchObject({ code: 'PT409', message: 'transition_refused' });
    const guard = await stack.client('guard@demo.example');
    expect((await guard.rpc('next_states', { table_name: 'units', id })).data).toEqual([]);
  });
});

describe('in Studio, which works as role postgres', () => {
  test('a date typed into deleted_at obeys the same rules, and a deletion is refused with the way to archive', async () => {
    const [unit] = await stack.sql(`select u.id from public.units u where u.number = '3' and u.community_id = $1`, [communityId]);
    await expect(stack.sql('update public.units set deleted_at = now() where id = $1', [unit?.id])).rejects.toMatchObject({ code: 'PT409', message: 'has_live_children' });
    await expect(stack.sql('delete from public.units where id = $1', [unit?.id])).rejects.toMatchObject({
      code: 'PT409',
      message: 'delete_refused',
      hint: expect.stringContaining(`select public.archive('units', '<id>')`),
    });
    await expect(stack.sql('truncate public.units cascade')).rejects.toMatchObject({ message: 'delete_refused' });
    expect(await isLive('units', String(unit?.id))).toBe(true);
    const id = await newUnit();
    await stack.sql('update public.units set deleted_at = now() where id = $1', [id]);
    await expect(
      stack.sql(`insert into public.occupancies (community_id, unit_id, resident_id, role) values ($1, $2, $3, 'owner')`, [communityId, id, await newResident()]),
    ).rejects.toMatchObject({ message: 'parent_archived' });
  });
});

describe('at the same time', () => {
  const sessions: pg.Client[] = [];

  /** A session of its own, in a transaction, as role postgres. */
  async function session(isolation = 'read committed'): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: stack.databaseUrl });
    await client.connect();
    sessions.push(client);
    await client.query(`begin isolation level ${isolation}`);
    return client;
  }
  afterEach(async () => {
    await Promise.all(sessions.splice(0).map((client) => client.end()));
  });

  /** Starts a statement and returns when it waits for another session. */
  async function startBlocked(client: pg.Client, text: string, values: unknown[]): Promise<{ outcome: Promise<string> }> {
    const [{ pid }] = (await client.query('select pg_backend_pid() as pid')).rows as [{ pid: number }];
    let settled = false;
    const outcome = client
      .query(text, values)
      .then(() => 'done', (error: unknown) => (error instanceof pg.DatabaseError ? (error.code?.startsWith('PT') ? error.message : (error.code ?? '')) : String(error)))
      .finally(() => (settled = true));
    for (;;) {
      const [row] = await stack.sql('select cardinality(pg_blocking_pids($1)) > 0 as waits', [pid]);
      if (row?.waits === true) return { outcome };
      if (settled) throw new Error(`it did not wait: ${await outcome}`);
    }
  }

  const insertOccupancy = `insert into public.occupancies (id, community_id, unit_id, resident_id, role) values (gen_random_uuid(), $1, $2, $3, 'owner')`;
  const archiveByHand = (table: string) => `update public.${table} set deleted_at = now() where id = $1`;
  const archiveByRpc = (table: string) => `select public.archive('${table}', $1)`;
  const ways = [
    { way: 'by hand', archive: archiveByHand },
    { way: 'by RPC', archive: archiveByRpc },
  ];
  // deleted_at is part of a unique key of units, and of none of residents: their updates take different locks.
  const cases = ways.flatMap((way) => (['units', 'residents'] as const).map((table) => ({ ...way, table })));

  async function parents() {
    const unit = await newUnit();
    const resident = await newResident();
    return { unit, resident, units: unit, residents: resident, leaning: [communityId, unit, resident] };
  }
  const liveChildren = async (unit: string) => (await stack.sql('select id from public.occupancies where unit_id = $1 and deleted_at is null', [unit])).length;

  test.each(cases)('a child inserted first keeps its parent ($table, archived $way)', async ({ table, archive }) => {
    const made = await parents();
    const inserting = await session();
    await inserting.query(insertOccupancy, made.leaning);
    const archiving = await session();
    const { outcome } = await startBlocked(archiving, archive(table), [made[table]]);
    await inserting.query('commit');
    expect(await outcome).toBe('has_live_children');
    expect([await isLive(table, made[table]), await liveChildren(made.unit)]).toEqual([true, 1]);
  });

  test.each(cases)('a child inserted and given up does not ($table, archived $way)', async ({ table, archive }) => {
    const made = await parents();
    const inserting = await session();
    await inserting.query(insertOccupancy, made.leaning);
    const archiving = await session();
    const { outcome } = await startBlocked(archiving, archive(table), [made[table]]);
    await inserting.query('rollback');
    expect(await outcome).toBe('done');
    await archiving.query('commit');
    expect([await isLive(table, made[table]), await liveChildren(made.unit)]).toEqual([false, 0]);
  });

  test.each(cases)('a parent archived first takes no child ($table, archived $way)', async ({ table, archive }) => {
    const made = await parents();
    const archiving = await session();
    await archiving.query(archive(table), [made[table]]);
    const inserting = await session();
    const { outcome } = await startBlocked(inserting, insertOccupancy, made.leaning);
    await archiving.query('commit');
    expect(await outcome).toBe('parent_archived');
    expect([await isLive(table, made[table]), await liveChildren(made.unit)]).toEqual([false, 0]);
  });

  test.each(cases)('a child restored first keeps its parent, a parent archived first keeps it away ($table, archived $way)', async ({ table, archive }) => {
    const made = await parents();
    await stack.sql(insertOccupancy, made.leaning);
    await stack.sql('update public.occupancies set deleted_at = now() where unit_id = $1', [made.unit]);
    const restore = 'update public.occupancies set deleted_at = null where unit_id = $1';

    const restoring = await session();
    await restoring.query(restore, [made.unit]);
    const archiving = await session();
    const first = await startBlocked(archiving, archive(table), [made[table]]);
    await restoring.query('commit');
    expect(await first.outcome).toBe('has_live_children');
    expect([await isLive(table, made[table]), await liveChildren(made.unit)]).toEqual([true, 1]);

    await stack.sql('update public.occupancies set deleted_at = now() where unit_id = $1', [made.unit]);
    const archivingAgain = await session();
    await archivingAgain.query(archive(table), [made[table]]);
    const restoringAgain = await session();
    const second = await startBlocked(restoringAgain, restore, [made.unit]);
    await archivingAgain.query('commit');
    expect(await second.outcome).toBe('parent_archived');
    expect([await isLive(table, made[table]), await liveChildren(made.unit)]).toEqual([false, 0]);
  });

  test('a unit does not move into a building that is being archived', async () => {
    const unit = await newUnit();
    const [{ id: building }] = (await stack.sql(`insert into public.buildings (community_id, name) values ($1, 'Tower ' || gen_random_uuid()) returning id`, [communityId])) as [{ id: string }];
    const archiving = await session();
    await archiving.query(archiveByHand('buildings'), [building]);
    const moving = await session();
    const { outcome } = await startBlocked(moving, 'update public.units set building_id = $2 where id = $1', [unit, building]);
    await archiving.query('commit');
    expect(await outcome).toBe('parent_archived');
    expect(await stack.sql('select building_id from public.units where id = $1', [unit])).toEqual([{ building_id: null }]);
  });

  test('a part written meanwhile goes with its row', async () => {
    const resident = await newResident();
    const writing = await session();
    await writing.query(`insert into public.resident_details (community_id, resident_id, note) values ($1, $2, 'new')`, [communityId, resident]);
    const archiving = await session();
    const { outcome } = await startBlocked(archiving, archiveByRpc('residents'), [resident]);
    await writing.query('commit');
    expect(await outcome).toBe('done');
    await archiving.query('commit');
    expect(
      await stack.sql('select d.deleted_at = r.deleted_at as together from public.resident_details d join public.residents r on r.id = d.resident_id where r.id = $1', [resident]),
    ).toEqual([{ together: true }]);
  });

  test.each(cases)('an older snapshot writes no child under an archived parent ($table, archived $way)', async ({ table, archive }) => {
    for (const isolation of ['repeatable read', 'serializable']) {
      const made = await parents();
      const inserting = await session(isolation);
      await inserting.query('select count(*) from public.units');
      await stack.sql(archive(table), [made[table]]);
      await expect(inserting.query(insertOccupancy, made.leaning)).rejects.toMatchObject({ code: '40001' });
      expect(await liveChildren(made.unit)).toBe(0);
    }
  });

  test.each(['repeatable read', 'serializable'])('nothing is archived in a snapshot that hides children (%s)', async (isolation) => {
    const { resident, leaning } = await parents();
    const archiving = await session(isolation);
    await archiving.query('select count(*) from public.residents');
    await stack.sql(insertOccupancy, leaning);
    await expect(archiving.query(archiveByHand('residents'), [resident])).rejects.toMatchObject({ message: 'isolation_refused' });
    expect(await isLive('residents', resident)).toBe(true);
  });

  test('whatever many do at once, nothing live leans on what is archived', async () => {
    const units = await Promise.all(Array.from({ length: 4 }, newUnit));
    const residents = await Promise.all(Array.from({ length: 4 }, newResident));
    const any = <T>(from: T[]): T => from[Math.floor(Math.random() * from.length)] as T;
    const work = async () => {
      const client = new pg.Client({ connectionString: stack.databaseUrl });
      await client.connect();
      const outcomes = new Set<string>();
      for (let i = 0; i < 40; i++) {
        const [text, values] = any<() => [string, unknown[]]>([
          () => [insertOccupancy.replace(`'owner')`, `'guest') on conflict do nothing`), [communityId, any(units), any(residents)]],
          () => ['update public.occupancies set deleted_at = now() where unit_id = $1 and deleted_at is null', [any(units)]],
          () => ['update public.occupancies set deleted_at = null where id in (select o.id from public.occupancies o where o.unit_id = $1 and o.deleted_at is not null order by o.id limit 1)', [any(units)]],
          () => [`select public.archive('units', $1)`, [any(units)]],
          () => [`select public.archive('residents', $1)`, [any(residents)]],
          () => [`select public.restore('units', $1)`, [any(units)]],
          () => [`select public.restore('residents', $1)`, [any(residents)]],
        ])();
        await client.query(text, values).then(
          () => outcomes.add('done'),
          (error: unknown) => outcomes.add(error instanceof pg.DatabaseError ? (error.code?.startsWith('PT') ? error.message : (error.code ?? '')) : String(error)),
        );
      }
      await client.end();
      return outcomes;
    };
    const outcomes = new Set((await Promise.all(Array.from({ length: 6 }, work))).flatMap((seen) => [...seen]));
    const broken = await stack.sql(
      `select o.id from public.occupancies o
       join public.units u on u.id = o.unit_id join public.residents r on r.id = o.resident_id
       where o.deleted_at is null and (u.deleted_at is not null or r.deleted_at is not null)`,
    );
    expect(broken).toEqual([]);
    // Sessions that change several rows in different order may deadlock (40P01); PostgreSQL ends one of them, which may try again.
    expect([...outcomes].filter((outcome) => !['done', 'has_live_children', 'parent_archived', '23P01', '40P01'].includes(outcome))).toEqual([]);
    expect(outcomes).toContain('done');
    expect(outcomes).toContain('parent_archived');
  });
});
