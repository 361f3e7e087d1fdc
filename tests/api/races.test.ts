import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

// What must hold while several do something at once, with real sessions.

let stack: TestStack;
let communityId: string;
beforeAll(async () => {
  stack = await startTestStack();
  const [community] = await stack.sql<{ id: string }>(`select id from public.communities where slug = 'lipa-court'`);
  communityId = community?.id as string;
});
afterAll(() => stack.stop());

test('after a membership is revoked, its user is shown no row any more, however fast they read', async () => {
  const { id } = await stack.createUser({ email: 'reader@test.example' });
  const [granted] = await stack.sql<{ id: string }>(`select public.grant_role($1, 'guard', community_id => $2) as id`, [id, communityId]);
  const reader = await stack.client('reader@test.example');
  const manager = await stack.client('manager@demo.example');

  const reads: { begunAt: number; rows: number }[] = [];
  let isRevoked = false;
  let readsAfter = 0;
  const read = async () => {
    while (readsAfter < 40) {
      const begunAt = performance.now();
      if (isRevoked) readsAfter += 1;
      const { data, error } = await reader.from('units').select('id');
      if (error) throw new Error(error.message);
      reads.push({ begunAt, rows: data.length });
    }
  };
  const readers = Array.from({ length: 4 }, read);
  // The revocation comes in the middle of reading.
  while (reads.length < 20) await Promise.race([new Promise(setImmediate), ...readers]);
  const { error } = await manager.rpc('revoke_role', { membership_id: granted?.id });
  const revokedAt = performance.now();
  isRevoked = true;
  await Promise.all(readers);

  expect(error).toBeNull();
  expect(reads.filter(({ rows }) => rows > 0).length, 'there was something to see').toBeGreaterThanOrEqual(10);
  const after = reads.filter(({ begunAt }) => begunAt > revokedAt);
  expect(after.length).toBeGreaterThanOrEqual(40);
  expect(after.filter(({ rows }) => rows > 0)).toEqual([]);
});

test('of twenty grants of one role at once, one is made and the others are told so', async () => {
  const { id } = await stack.createUser({ email: 'granted@test.example' });
  await stack.sql('insert into public.residents (community_id, full_name, user_id) values ($1, $2, $3)', [communityId, 'Granted', id]);
  const manager = await stack.client('manager@demo.example');
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => manager.rpc('grant_role', { user_id: id, role: 'guard', community_id: communityId })),
  );
  expect(answers.filter(({ error }) => error === null)).toHaveLength(1);
  expect(new Set(answers.flatMap(({ error }) => (error ? [error.message] : [])))).toEqual(new Set(['role_already_held']));
  const held = await stack.sql('select from public.memberships where user_id = $1', [id]);
  expect(held).toHaveLength(1);
});

test('of two who revoke one membership at once, both are answered and it ends once', async () => {
  const { id } = await stack.createUser({ email: 'revoked@test.example' });
  const [granted] = await stack.sql<{ id: string }>(`select public.grant_role($1, 'guard', community_id => $2) as id`, [id, communityId]);
  const manager = await stack.client('manager@demo.example');
  const answers = await Promise.all(Array.from({ length: 6 }, () => manager.rpc('revoke_role', { membership_id: granted?.id })));
  expect(answers.filter(({ error }) => error === null)).toHaveLength(1);
  expect(new Set(answers.flatMap(({ error }) => (error ? [error.message] : [])))).toEqual(new Set(['membership_not_found']));
  const events = await stack.sql(`select from app.outbox where topic = 'membership.revoked' and payload ->> 'membership_id' = $1`, [granted?.id]);
  expect(events).toHaveLength(1);
});

test('a membership that ended while we waited does not end again, although our transaction began before', async () => {
  const { id } = await stack.createUser({ email: 'overtaken@test.example' });
  const [granted] = await stack.sql<{ id: string }>(`select public.grant_role($1, 'guard', community_id => $2) as id`, [id, communityId]);
  const slow = new pg.Client({ connectionString: stack.databaseUrl });
  await slow.connect();
  await slow.query('begin');
  await slow.query('select now()');
  await stack.sql('select public.revoke_role($1)', [granted?.id]);
  await expect(slow.query('select public.revoke_role($1)', [granted?.id])).rejects.toMatchObject({ code: 'PT404', message: 'membership_not_found' });
  await slow.end();
});

test('of two communities that take one slug at once, one gets it', async () => {
  const superadmin = await stack.client('superadmin@demo.example');
  const [organization] = await stack.sql<{ id: string }>(`select id from public.organizations where slug = 'domus-care'`);
  const answers = await Promise.all(
    Array.from({ length: 8 }, () =>
      superadmin.rpc('create_community', { organization_id: organization?.id, name: 'Twin', slug: 'twin', country_code: 'BG', currency_code: 'EUR', time_zone: 'UTC' }),
    ),
  );
  expect(answers.filter(({ error }) => error === null)).toHaveLength(1);
  expect(new Set(answers.flatMap(({ error }) => (error ? [error.message] : [])))).toEqual(new Set(['slug_taken']));
});

test('two custom roles that take one key in an organization and its community at once do not both get it', async () => {
  const [place] = await stack.sql<{ organization: string }>(`select organization_id as organization from public.communities where id = $1`, [communityId]);
  const insertions = await Promise.allSettled(
    Array.from({ length: 10 }, (_, index) =>
      stack.sql(`insert into public.roles (level, key, name, organization_id, community_id) values ('community', 'porter', 'Porter', $1, $2)`, [
        index % 2 === 0 ? place?.organization : null,
        index % 2 === 0 ? null : communityId,
      ]),
    ),
  );
  expect(insertions.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
});

test('workers of the outbox never share a delivery, and leave none behind', async () => {
  await stack.sql(`
    create schema if not exists tests;
    create table if not exists tests.taken (event_id uuid not null, worker integer not null);
    create or replace function tests.take(event app.outbox) returns void language sql set search_path = '' as
      $$ insert into tests.taken values (event.id, pg_backend_pid()) $$;
    update app.outbox_consumers set is_enabled = false;
    delete from app.outbox;
    insert into app.outbox_consumers (name, topics, handler, description) values ('taker', 'race.%', 'tests.take(app.outbox)', 'Takes note.');
    select app.emit('race.happened', null, jsonb_build_object('number', n)) from generate_series(1, 400) n;
  `);
  const workers = await Promise.all(
    Array.from({ length: 5 }, async () => {
      const client = new pg.Client({ connectionString: stack.databaseUrl });
      await client.connect();
      return client;
    }),
  );
  const tried = await Promise.all(
    workers.map(async (client) => {
      for (let total = 0; ; ) {
        const { rows } = await client.query<{ handled: number }>('select app.run_outbox(10) as handled');
        if (!rows[0]?.handled) return total;
        total += rows[0].handled;
      }
    }),
  );
  await Promise.all(workers.map((client) => client.end()));

  expect(tried.reduce((sum, count) => sum + count, 0)).toBe(400);
  const [taken] = await stack.sql<{ deliveries: number; events: number; workers: number }>(
    `select count(*)::integer as deliveries, count(distinct event_id)::integer as events, count(distinct worker)::integer as workers from tests.taken`,
  );
  expect(taken).toMatchObject({ deliveries: 400, events: 400 });
  expect(taken?.workers, 'the work was shared').toBeGreaterThan(1);
  expect(await stack.sql(`select from app.outbox_deliveries where consumer = 'taker' and status <> 'delivered'`)).toEqual([]);
});

test('of two who start one job at once, one runs it', async () => {
  await stack.sql(`
    create table if not exists tests.runs (worker integer not null);
    create or replace function tests.work() returns void language sql set search_path = '' as
      $$ select pg_advisory_xact_lock_shared(42); insert into tests.runs values (pg_backend_pid()) $$;
    insert into app.scheduled_jobs (name, schedule, handler, description) values ('race', '0 0 1 1 *', 'tests.work()', 'Waits until it may work.');
  `);
  const gate = new pg.Client({ connectionString: stack.databaseUrl });
  await gate.connect();
  // The job waits at the gate for as long as we hold it, so that the second start comes while the first still runs.
  await gate.query('select pg_advisory_lock(42)');
  const first = stack.sql<{ ran: boolean }>(`select app.run_job('race') as ran`);
  const isWaiting = async () => (await stack.sql(`select from pg_locks where locktype = 'advisory' and objid = 42 and not granted`)).length > 0;
  while (!(await isWaiting())) await new Promise(setImmediate);
  const second = await stack.sql<{ ran: boolean }>(`select app.run_job('race') as ran`);
  await gate.query('select pg_advisory_unlock(42)');
  expect(second).toEqual([{ ran: false }]);
  expect(await first).toEqual([{ ran: true }]);
  expect(await stack.sql('select from tests.runs')).toHaveLength(1);
  await gate.end();
});

/** Runs the second while the first has yet to commit; both commit, the first as soon as the second is done or waits for it. */
async function overlapping(first: [text: string, params: unknown[]], second: [text: string, params: unknown[]]): Promise<void> {
  const clients = [new pg.Client({ connectionString: stack.databaseUrl }), new pg.Client({ connectionString: stack.databaseUrl })] as const;
  try {
    await Promise.all(clients.map((client) => client.connect()));
    const [one, two] = clients;
    await one.query('begin');
    await one.query(...first);
    const { rows } = await two.query<{ pid: number }>('select pg_backend_pid() as pid');
    let isDone = false;
    const done = two.query(...second).finally(() => (isDone = true));
    // Whatever becomes of it is looked at below.
    done.catch(() => undefined);
    while (!isDone) {
      const waiting = await stack.sql(`select from pg_locks where pid = $1 and not granted`, [rows[0]?.pid]);
      if (waiting.length > 0) break;
    }
    await one.query('commit');
    await done;
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

const enterResident = async (name: string): Promise<string> =>
  String((await stack.sql<{ id: string }>('insert into public.residents (community_id, full_name) values ($1, $2) returning id', [communityId, name]))[0]?.id);
const userOf = async (resident: string) => (await stack.sql<{ user_id: string | null }>('select user_id from public.residents where id = $1', [resident]))[0]?.user_id;

test.each(['email', 'phone'] as const)('who is entered by %s, and who verifies it at the same time, are linked, whichever of the two is first', async (kind) => {
  for (const isEnteredFirst of [true, false]) {
    const name = `linked-${kind}-${isEnteredFirst}`;
    const value = kind === 'email' ? `${name}@test.example` : `+35988900000${Number(isEnteredFirst)}`;
    const { id } = await stack.createUser({ email: kind === 'email' ? `${name}-before@test.example` : `${name}@test.example` });
    const resident = await enterResident(name);
    const entering: [string, unknown[]] = [`insert into public.resident_details (community_id, resident_id, ${kind}) values ($1, $2, $3)`, [communityId, resident, value]];
    const verifying: [string, unknown[]] = [`update auth.users set ${kind} = $1, ${kind}_confirmed_at = now() where id = $2`, [value.replace('+', ''), id]];
    await (isEnteredFirst ? overlapping(entering, verifying) : overlapping(verifying, entering));
    expect(await userOf(resident), isEnteredFirst ? 'entered first' : 'verified first').toBe(id);
  }
});

test('a user who is found by the address and by the number of two residents at once is linked to one, and both are entered', async () => {
  const { id } = await stack.createUser({ email: 'found-twice@test.example' });
  await stack.sql(`update auth.users set phone = '359889000009', phone_confirmed_at = now() where id = $1`, [id]);
  const [byAddress, byNumber] = [await enterResident('By Address'), await enterResident('By Number')];
  await overlapping(
    ['insert into public.resident_details (community_id, resident_id, email) values ($1, $2, $3)', [communityId, byAddress, 'found-twice@test.example']],
    ['insert into public.resident_details (community_id, resident_id, phone) values ($1, $2, $3)', [communityId, byNumber, '+359 88 900 0009']],
  );
  expect([await userOf(byAddress), await userOf(byNumber)]).toEqual([id, null]);
});

test('many who are entered and verify in any order at once are all linked', async () => {
  const people = await Promise.all(
    Array.from({ length: 24 }, async (_, n) => ({
      email: `crowd-${n}@test.example`,
      user: (await stack.createUser({ email: `crowd-${n}-before@test.example` })).id,
      resident: await enterResident(`Crowd ${n}`),
    })),
  );
  const changes = people.flatMap(({ email, user, resident }, n) => {
    const both = [
      () => stack.sql('insert into public.resident_details (community_id, resident_id, email) values ($1, $2, $3)', [communityId, resident, email]),
      () => stack.sql('update auth.users set email = $1, email_confirmed_at = now() where id = $2', [email, user]),
    ];
    return n % 2 === 0 ? both : both.reverse();
  });
  await Promise.all(changes.map((change) => change()));
  const linked = await stack.sql<{ n: number }>('select count(*)::int as n from public.residents where user_id = any ($1)', [people.map(({ user }) => user)]);
  expect(linked[0]?.n).toBe(24);
});

test('what is known of a user is what the tables say at every moment, while tokens are minted and roles come and go', async () => {
  const { id } = await stack.createUser({ email: 'known@test.example' });
  const client = await stack.client('known@test.example');
  const mint = () =>
    stack.adminSql(
      `select app.access_token(jsonb_build_object('user_id', s.user_id, 'claims', jsonb_build_object('session_id', s.id))) from auth.sessions s where s.user_id = $1`,
      [id],
    );
  let isOver = false;
  let minted = 0;
  const minting = Array.from({ length: 3 }, async () => {
    while (!isOver) {
      await mint();
      minted += 1;
    }
  });
  const contradictions: unknown[] = [];
  let known = 0;
  let kept = 0;
  // Both sides of the comparison are of one snapshot, and of one moment: what is stale at it, nobody uses. So is what was found for a
  // token whose minting had begun before the role was revoked, and that learned of it in between: a role that had not yet ended.
  // The moment comes after the snapshot, which another session took: a transaction of its own would begin before it sees, and could
  // see a role that was granted, and found, at a moment that is yet to come for it.
  type Compared = { is_known: boolean; access: unknown; computed: unknown; agrees: boolean; is_kept: boolean; communities: unknown; session_agrees: boolean };
  const [witness, judge] = [new pg.Client({ connectionString: stack.adminUrl }), new pg.Client({ connectionString: stack.adminUrl })];
  await Promise.all([witness.connect(), judge.connect()]);
  const watching = (async () => {
    while (!isOver) {
      await witness.query('begin isolation level repeatable read');
      const { rows: [seen] } = await witness.query<{ snapshot: string }>('select pg_export_snapshot() as snapshot');
      await judge.query('begin isolation level repeatable read');
      await judge.query(`set transaction snapshot '${seen?.snapshot}'`);
      const { rows: [row] } = await judge.query<Compared>(
        `select a.known_version = a.version and a.stale_at > now() as is_known, a.access, app.compute_access(a.user_id) as computed, a.access = app.compute_access(a.user_id) as agrees,
           k.session_id is not null and k.stale_at > now() as is_kept, k.communities,
           k.communities = array(select c::uuid from jsonb_object_keys(app.compute_access(a.user_id) -> 'communities') c) as session_agrees
         from private.user_access a left join private.session_access k on k.user_id = a.user_id where a.user_id = $1`,
        [id],
      );
      await Promise.all([witness.query('commit'), judge.query('commit')]);
      if (row?.is_known) known += 1;
      if (row?.is_kept) kept += 1;
      if ((row?.is_known && !row.agrees) || (row?.is_kept && !row.session_agrees)) contradictions.push(row);
    }
  })();
  // Forty rounds, and on until there was enough to compare.
  for (let round = 0; round < 40 || minted <= 40 || known <= 10 || kept <= 10; round += 1) {
    const [granted] = await stack.sql<{ id: string }>(`select public.grant_role($1, 'guard', community_id => $2) as id`, [id, communityId]);
    await stack.sql('select public.revoke_role($1)', [granted?.id]);
    const { data } = await client.from('units').select('id').limit(1);
    expect(data, `round ${round}`).toEqual([]);
  }
  isOver = true;
  await Promise.all([...minting, watching]);
  await Promise.all([witness.end(), judge.end()]);
  expect(contradictions).toEqual([]);
});

test('a token whose minting began before a role was revoked, and that was minted after it, is not believed', async () => {
  const { id } = await stack.createUser({ email: 'minted-late@test.example' });
  const client = await stack.client('minted-late@test.example');
  const [granted] = await stack.sql<{ id: string }>(`select public.grant_role($1, 'manager', community_id => $2) as id`, [id, communityId]);
  const minting = new pg.Client({ connectionString: stack.adminUrl });
  await minting.connect();
  try {
    await minting.query('begin');
    await minting.query('select now()');
    await stack.sql('select public.revoke_role($1)', [granted?.id]);
    const { rows } = await minting.query<{ told: { communities: object; valid_until: string } }>(
      `select app.access_token(jsonb_build_object('user_id', s.user_id, 'claims', jsonb_build_object('session_id', s.id))) #> '{claims,app_metadata}' as told
       from auth.sessions s where s.user_id = $1`,
      [id],
    );
    await minting.query('commit');
    // At its own moment the role had not ended; the next moment is not its.
    expect(rows[0]?.told.communities).toEqual({ [communityId]: ['manager'] });
    expect(Date.parse(rows[0]?.told.valid_until ?? '')).toBeLessThanOrEqual(Date.now());
  } finally {
    await minting.end();
  }
  expect((await client.from('units').select('id').limit(1)).data).toEqual([]);
  expect((await client.rpc('my_permissions', { community_id: communityId })).data).toEqual([]);
});

test('who mints a token does not wait for a change of roles, and what was computed before it does not count after it', async () => {
  const { id } = await stack.createUser({ email: 'overlapping@test.example' });
  const [granted] = await stack.sql<{ id: string }>(`select public.grant_role($1, 'guard', community_id => $2) as id`, [id, communityId]);
  const client = await stack.client('overlapping@test.example');
  const seen = async () => (await client.from('units').select('id').limit(1)).data?.length;
  const mint = `select app.access_token(jsonb_build_object('user_id', $1::uuid, 'claims', '{}'::jsonb)) #> '{claims,app_metadata,communities}' <> '{}' as has_role`;
  const known = async () => (await stack.adminSql<{ known: boolean }>('select coalesce(known_version = version, false) as known from private.user_access where user_id = $1', [id]))[0]?.known;
  expect(await seen()).toBe(1);

  // The change first: the token is minted with what holds until it is committed, and nothing is kept.
  const changing = new pg.Client({ connectionString: stack.databaseUrl });
  await changing.connect();
  await changing.query('begin');
  await changing.query('select public.revoke_role($1)', [granted?.id]);
  expect(await stack.adminSql(mint, [id])).toEqual([{ has_role: true }]);
  expect(await seen()).toBe(1);
  await changing.query('commit');
  expect(await known()).toBe(false);
  expect(await seen()).toBe(0);

  // Minting first: the change waits for it, and makes stale what it kept.
  await stack.sql(`select public.grant_role($1, 'guard', community_id => $2)`, [id, communityId]);
  await changing.query('begin');
  await changing.query('select app.refresh_access($1)', [id]);
  await changing.query('select app.remember_session($1, s.id::text) from auth.sessions s where s.user_id = $1', [id]);
  const revoked = stack.sql('select public.revoke_role(m.id) from public.memberships m where m.user_id = $1 and m.ends_at is null', [id]);
  await changing.query('select app.refresh_access($1)', [id]);
  await changing.query('commit');
  await revoked;
  expect(await known()).toBe(false);
  expect(await stack.adminSql('select from private.session_access where user_id = $1', [id])).toEqual([]);
  expect(await seen()).toBe(0);
  expect(await stack.adminSql(mint, [id])).toEqual([{ has_role: false }]);
  expect(await known()).toBe(true);
  expect(await seen()).toBe(0);
  await changing.end();
});

test('what is kept for a session goes with a change of what roles hold, whichever of the two comes first', async () => {
  const { id } = await stack.createUser({ email: 'keeper@test.example' });
  await stack.sql(`select public.grant_role($1, 'technician', community_id => $2)`, [id, communityId]);
  const client = await stack.client('keeper@test.example');
  const seen = async () => (await client.from('units').select('id').limit(1)).data?.length;
  const kept = async () => (await stack.adminSql('select from private.session_access where user_id = $1', [id])).length;
  const mint = `select app.access_token(jsonb_build_object('user_id', s.user_id, 'claims', jsonb_build_object('session_id', s.id))) #> '{claims,app_metadata,communities}' <> '{}' as has_role
    from auth.sessions s where s.user_id = '${id}'`;
  const technician = `(select r.id from public.roles r where r.level = 'community' and r.key = 'technician' and num_nonnulls(r.organization_id, r.community_id) = 0)`;
  const take = `delete from public.role_permissions where role_id = ${technician} and permission_key = 'units.read'`;
  const give = `insert into public.role_permissions (role_id, permission_key) values (${technician}, 'units.read')`;
  expect([await kept(), await seen()]).toEqual([1, 1]);

  const [changing, minting] = [new pg.Client({ connectionString: stack.adminUrl }), new pg.Client({ connectionString: stack.adminUrl })];
  await Promise.all([changing.connect(), minting.connect()]);
  try {
    // The change first: a token is minted without waiting, and nothing is kept for its session.
    await changing.query('begin');
    await changing.query(take);
    expect(await stack.adminSql(mint)).toEqual([{ has_role: true }]);
    expect(await seen()).toBe(1);
    await changing.query('commit');
    expect([await kept(), await seen()]).toEqual([0, 0]);

    // Minting first: the change waits for it, and takes along what it kept.
    await stack.adminSql(give);
    await minting.query('begin');
    await minting.query(mint);
    const taken = changing.query(take);
    await minting.query('select');
    await minting.query('commit');
    await taken;
    expect([await kept(), await seen()]).toEqual([0, 0]);

    // A change that cannot see what was kept since it began is refused.
    await stack.adminSql(give);
    await changing.query('begin isolation level repeatable read');
    await changing.query('select count(*) from private.session_access');
    await stack.adminSql(mint);
    expect([await kept(), await seen()]).toEqual([1, 1]);
    await expect(changing.query(take)).rejects.toMatchObject({ code: '40001' });
    await changing.query('rollback');
    expect([await kept(), await seen()]).toEqual([1, 1]);
  } finally {
    await Promise.all([changing.end(), minting.end()]);
  }
});

test('of communities that are made at once, each is in the gate of a role on the site', async () => {
  const [home] = await stack.sql<{ organization_id: string }>(`select organization_id from public.communities where id = $1`, [communityId]);
  const superadmin = await stack.client('superadmin@demo.example');
  const made = await Promise.all(
    Array.from({ length: 12 }, (_, n) =>
      superadmin.rpc('create_community', { organization_id: home?.organization_id, name: `Gate ${n}`, slug: `gate-${n}`, country_code: 'BG', currency_code: 'EUR', time_zone: 'Europe/Sofia' }),
    ),
  );
  expect(made.map(({ error }) => error)).toEqual(made.map(() => null));
  const { data } = await superadmin.from('communities').select('id').in('id', made.map(({ data: made }) => made));
  expect(data).toHaveLength(12);
});
