import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { projectRoot } from '../../scripts/stack/paths.ts';
import { connect, testServer, type Sql } from '../support/database.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';

// docs/database-roles.md, with logins that really connect.

let stack: TestStack;
let domus: string;
let encinos: string;
const made: string[] = [];
const open: (() => Promise<void>)[] = [];

beforeAll(async () => {
  stack = await startTestStack();
  const rows = await stack.sql<{ id: string; slug: string }>(`select id, slug from organizations`);
  domus = rows.find(({ slug }) => slug === 'domus-care')!.id;
  encinos = rows.find(({ slug }) => slug === 'los-encinos')!.id;
});
afterAll(async () => {
  await Promise.all(open.map((end) => end()));
  // The roles are the cluster's and would stay behind.
  for (const name of made) await stack.adminSql(`drop role if exists ${name}`);
  await stack.stop();
});

const newName = (): string => {
  const name = `login_${randomBytes(6).toString('hex')}`;
  made.push(name);
  return name;
};

/** One session, whatever it is refused: a pool would replace it, and what was set would be gone. */
function logIn(name: string, password: string, database = stack.database): Sql {
  const url = new URL(stack.adminUrl);
  url.pathname = `/${database}`;
  url.username = name;
  url.password = encodeURIComponent(password);
  const client = new pg.Client({ connectionString: url.href });
  client.on('error', () => undefined);
  let connected: Promise<void> | undefined;
  return async (text, params = []) => {
    connected ??= client.connect().then(() => void open.push(() => client.end()));
    await connected;
    return (await client.query(text, params)).rows;
  };
}

async function reporter(organization: string, options = ''): Promise<{ name: string; sql: Sql }> {
  const name = newName();
  const [row] = await stack.sql<{ password: string }>(`select app.create_reporting_login($1, $2 ${options}) as password`, [name, organization]);
  return { name, sql: logIn(name, row!.password) };
}

async function maintainer(organization: string | null): Promise<{ name: string; sql: Sql }> {
  const name = newName();
  const [row] = await stack.sql<{ password: string }>(`select app.create_maintenance_login($1, $2) as password`, [name, organization]);
  return { name, sql: logIn(name, row!.password) };
}

/** The SQLSTATE and message of what a statement is refused with. */
const refused = (attempt: Promise<unknown>): Promise<string> =>
  attempt.then(
    () => 'nothing',
    (error: { code?: string; message: string }) => `${error.code} ${error.message}`,
  );

const superadminClaims = async (): Promise<string> => {
  const [row] = await stack.sql<{ id: string }>(`select id from auth.users where email = 'superadmin@demo.example'`);
  return JSON.stringify({ sub: row!.id, role: 'authenticated', app_metadata: { site_roles: ['superadmin'] } });
};

type Scoped = { name: string; columns: string[] };
/** Tables whose rows belong somewhere, with the columns that say where. */
const scopedTables = () =>
  stack.sql<Scoped>(`
    select c.relname as name, array_agg(a.attname::text) as columns
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname in ('community_id', 'organization_id') and not a.attisdropped
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition group by 1 order by 1`);

const ofOrganization = ({ columns }: Scoped, parameter = '$1'): string =>
  [
    columns.includes('community_id') && `community_id in (select id from communities where organization_id = ${parameter})`,
    columns.includes('organization_id') && `organization_id = ${parameter}`,
  ]
    .filter(Boolean)
    .join(' or ');

describe('a reporting login', () => {
  test('reads every row of its organization and none of another, table by table', async () => {
    const { sql } = await reporter(domus, ', is_detailed => true');
    const tables = await scopedTables();
    expect(tables.length).toBeGreaterThan(15);
    let filled = 0;
    for (const table of tables) {
      const [all] = await stack.sql<{ count: string }>(`select count(*) from ${table.name} where ${ofOrganization(table)}`, [domus]);
      const [seen] = await sql<{ count: string }>(`select count(*) from ${table.name}`);
      expect(`${table.name} ${seen!.count}`).toBe(`${table.name} ${all!.count}`);
      if (Number(all!.count) > 0) filled += 1;
    }
    expect(filled).toBeGreaterThan(6);
    expect(await sql(`select slug from organizations`)).toEqual([{ slug: 'domus-care' }]);
    expect(await sql(`select distinct organization_id from communities`)).toEqual([{ organization_id: domus }]);
    expect((await stack.sql(`select distinct organization_id from communities`)).length).toBe(2);
  });

  test('reads the views, which show the same rows', async () => {
    const { sql } = await reporter(encinos);
    for (const view of ['units_overview', 'residents_overview']) {
      const [seen] = await sql<{ count: string; strangers: string }>(
        `select count(*), count(*) filter (where community_id not in (select id from communities)) as strangers from ${view}`,
      );
      const [all] = await stack.sql<{ count: string }>(`select count(*) from ${view} where community_id in (select id from communities where organization_id = $1)`, [encinos]);
      expect(Number(all!.count)).toBeGreaterThan(0);
      expect(seen).toEqual({ count: all!.count, strangers: '0' });
    }
  });

  test('sees no details unless it was made with them, and secret columns never', async () => {
    const plain = await reporter(domus);
    const detailed = await reporter(domus, ', is_detailed => true');
    const [stored] = await stack.sql<{ count: string }>(
      `select count(*) from resident_details where community_id in (select id from communities where organization_id = $1)`, [domus]);
    expect(Number(stored!.count)).toBeGreaterThan(0);
    expect(await plain.sql(`select email from resident_details`)).toEqual([]);
    expect(await plain.sql(`select email, phone from residents_overview where email is not null or phone is not null`)).toEqual([]);
    for (const table of ['units', 'residents', 'occupancies', 'communities', 'organizations']) {
      const rows = await Promise.all([plain, detailed].map(({ sql }) => sql(`select count(*) from ${table}`)));
      expect(rows[0], table).toEqual(rows[1]);
      expect(rows[0], table).not.toEqual([{ count: '0' }]);
    }
    expect((await detailed.sql(`select email from resident_details`)).length).toBe(Number(stored!.count));
    expect(await refused(detailed.sql(`select identity_number from resident_details`))).toMatch(/^42501/);
    expect(await refused(detailed.sql(`select * from resident_details`))).toMatch(/^42501/);
  });

  test('gains nothing from claims, roles and settings', async () => {
    const { name, sql } = await reporter(domus);
    const seen = () => sql(`select (select count(*) from units) as units, (select count(*) from memberships) as memberships, (select count(*) from organizations) as organizations`);
    const before = await seen();
    await sql(`select set_config('request.jwt.claims', $1, false), set_config('request.headers', '{"x-archived": "include"}', false), set_config('app.actor', 'job:load', false)`, [await superadminClaims()]);
    expect(await seen()).toEqual(before);
    const roles = await stack.adminSql<{ rolname: string }>(`select rolname from pg_roles where rolname <> $1 and rolname !~ '^login_'`, [name]);
    expect(roles.length).toBeGreaterThan(20);
    for (const { rolname } of roles) expect(await refused(sql(`set role "${rolname}"`)), rolname).toMatch(/^42501/);
    expect(await refused(sql(`set session authorization postgres`))).toMatch(/^42501/);
    expect(await refused(sql(`set row_security = off; select count(*) from units`))).toMatch(/^42501/);
    await sql(`set row_security = on`);
    expect(await seen()).toEqual(before);
  });

  test('writes nothing, read-only transaction or not', async () => {
    const { sql } = await reporter(domus);
    const stored = () => stack.sql(`select id, floor, updated_at from units order by id`);
    const before = await stored();
    expect(await refused(sql(`update units set floor = 1`))).toMatch(/^(25006|42501)/);
    await sql(`set default_transaction_read_only = off`);
    for (const attempt of [
      `update units set floor = 1`,
      `insert into units (community_id, number) select id, 'X1' from communities limit 1`,
      `delete from units`,
      `truncate units cascade`,
      `select * from units for update`,
      `begin; lock table units in exclusive mode`,
      `rollback; insert into buildings (community_id, name) select id, 'X' from communities limit 1`,
      `create table public.mine (id integer)`,
      `create function public.mine() returns integer language sql as 'select 1'`,
      `create schema mine`,
      `insert into app.database_logins (name, purpose, organization_id) values ('mine', 'reporting', '${encinos}')`,
      `update app.database_logins set organization_id = '${encinos}'`,
    ]) {
      expect(await refused(sql(attempt)), attempt).toMatch(/^42501/);
    }
    expect(await stored()).toEqual(before);
  });

  test('executes no function but the helpers of its policies', async () => {
    const { name, sql } = await reporter(domus);
    const executable = await stack.sql<{ function: string }>(
      `select p.oid::regprocedure::text as function from pg_proc p join pg_namespace n on n.oid = p.pronamespace
       where n.nspname in ('public', 'app', 'private', 'audit', 'tests') and has_function_privilege($1, p.oid, 'execute') order by 1`, [name]);
    expect(executable.map((row) => row.function)).toEqual(['app.reporting_communities(boolean)', 'app.reporting_organizations(boolean)']);
    for (const call of [`public.my_places()`, `app.access()`, `public.archive('units', gen_random_uuid())`, `app.purge_rows('public.units', '{}', 'x')`, `app.create_reporting_login('x_y_z', '${encinos}')`, `public.statement_statistics()`]) {
      expect(await refused(sql(`select ${call}`)), call).toMatch(/^42501/);
    }
  });

  test('reads nothing outside of public, and of others’ statements not a word', async () => {
    const { name, sql } = await reporter(domus);
    const readable = await stack.adminSql<{ relation: string }>(
      `select n.nspname || '.' || c.relname as relation
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname not in ('pg_catalog', 'information_schema', 'public') and n.nspname !~ '^pg_(toast|temp)'
         and has_schema_privilege($1, n.oid, 'usage') and (has_table_privilege($1, c.oid, 'select') or has_any_column_privilege($1, c.oid, 'select'))`, [name]);
    expect(readable).toEqual([]);
    const publicOnes = await stack.sql<{ name: string }>(
      `select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v') and has_any_column_privilege($1, oid, 'select')`, [name]);
    const names = publicOnes.map((row) => row.name);
    for (const closed of ['audit_log', 'profiles', 'user_preferences']) expect(names).not.toContain(closed);
    for (const closed of ['auth.users', 'private.user_access', 'audit.log', 'app.database_logins', 'storage.objects', 'extensions.pg_stat_statements', 'pg_catalog.pg_authid']) {
      expect(await refused(sql(`select * from ${closed} limit 1`)), closed).toMatch(/^42501/);
    }
    const sessions = await sql<{ query: string | null }>(`select query from pg_stat_activity where usename <> session_user`);
    expect(sessions.filter(({ query }) => query !== null && query !== '' && query !== '<insufficient privilege>')).toEqual([]);
  });

  test('ends on its day, in open sessions too', async () => {
    const { name, sql } = await reporter(domus);
    expect((await sql(`select from units`)).length).toBeGreaterThan(0);
    await stack.sql(`update app.database_logins set ends_at = now() - interval '1 second' where name = $1`, [name]);
    expect((await sql(`select from units`)).length).toBe(0);
    expect(await refused(stack.sql(`select app.create_reporting_login($1, $2, now() - interval '1 second')`, [newName(), domus]))).toMatch(/^PT422 invalid_period/);
  });

  test('is over when it is dropped: the open session sees nothing, a new one is refused', async () => {
    const name = newName();
    const [row] = await stack.sql<{ password: string }>(`select app.create_reporting_login($1, $2) as password`, [name, domus]);
    const sql = logIn(name, row!.password);
    expect((await sql(`select from units`)).length).toBeGreaterThan(0);
    await stack.sql(`select app.drop_database_login($1)`, [name]);
    expect(await refused(sql(`select count(*) from units`).then((rows) => (rows[0]!.count === '0' ? Promise.reject(new Error('sees nothing')) : rows)))).toMatch(/sees nothing|42501/);
    expect(await refused(logIn(name, row!.password)(`select 1`))).toMatch(/^28/);
    expect(await refused(stack.sql(`select app.drop_database_login($1)`, [name]))).toMatch(/^PT404 login_not_found/);
  });

  test('is over when it is dropped, although it owns something, even where nobody can drop that', async () => {
    const databases = [stack.database, stack.database, 'postgres'];
    for (const [index, owning] of ['select lo_create(0)', 'alter default privileges grant select on tables to public', 'select lo_create(0)'].entries()) {
      const name = newName();
      const [row] = await stack.sql<{ password: string }>(`select app.create_reporting_login($1, $2) as password`, [name, domus]);
      const sql = logIn(name, row!.password);
      expect((await sql(`select from units`)).length).toBeGreaterThan(0);
      const owner = logIn(name, row!.password, databases[index]);
      await owner(`set default_transaction_read_only = off`);
      await owner(owning);
      await stack.sql(`select app.drop_database_login($1)`, [name]);
      expect(await refused(sql(`select count(*) from units`).then((rows) => (rows[0]!.count === '0' ? Promise.reject(new Error('sees nothing')) : rows)))).toMatch(/sees nothing|42501/);
      expect(await refused(logIn(name, row!.password)(`select 1`))).toMatch(/^28/);
      const left = await stack.adminSql(`select rolcanlogin, (select count(*)::integer from pg_auth_members m where m.member = r.oid) as groups from pg_roles r where rolname = $1`, [name]);
      expect(left).toEqual(databases[index] === 'postgres' ? [{ rolcanlogin: false, groups: 0 }] : []);
      if (databases[index] === 'postgres') {
        const elsewhere = connect(testServer().url('postgres', 'supabase_admin'));
        await elsewhere.sql(`drop owned by ${name}`);
        await elsewhere.end();
      }
    }
  });

  test('ends later when its end is moved, with the password it has', async () => {
    const name = newName();
    const [row] = await stack.sql<{ password: string }>(`select app.create_reporting_login($1, $2, now() + interval '2 seconds') as password`, [name, domus]);
    const until = () => stack.sql(`select l.ends_at is not distinct from nullif(r.rolvaliduntil, 'infinity') as is_same from app.database_logins l join pg_roles r on r.rolname = l.name where l.name = $1`, [name]);
    for (const end of [`now() + interval '7 days'`, `null`, `now() - interval '1 second'`]) {
      await stack.sql(`update app.database_logins set ends_at = ${end} where name = $1`, [name]);
      expect(await until(), end).toEqual([{ is_same: true }]);
    }
    expect(await refused(logIn(name, row!.password)(`select 1`))).toMatch(/^28/);
    await stack.sql(`update app.database_logins set ends_at = now() + interval '1 day' where name = $1`, [name]);
    expect((await logIn(name, row!.password)(`select from units`)).length).toBeGreaterThan(0);
  });

  test('holds back no sealing of the audit log', async () => {
    const { sql } = await reporter(domus);
    await sql(`select pg_advisory_lock(c.oid::bigint) from pg_class c where c.relname in ('seals', 'log')`);
    await stack.sql(`update units set floor = coalesce(floor, 0) + 1 where number = '2'`);
    let sealed = 0;
    // What a test before this one left open is waited for.
    for (let attempt = 0; attempt < 50 && sealed === 0; attempt += 1) sealed = Number((await stack.sql<{ sealed: string }>(`select app.seal_audit() as sealed`))[0]!.sealed);
    expect(sealed).toBeGreaterThan(0);
    expect(await stack.sql(`select app.ensure_partitions('audit.log') as made`)).toEqual([{ made: 0 }]);
  });

  test('that nobody registered sees nothing', async () => {
    const name = newName();
    await stack.sql(`create role ${name} login password 'correct-horse-battery'`);
    await stack.sql(`grant vicinia_reporting, vicinia_maintenance to ${name}`);
    const sql = logIn(name, 'correct-horse-battery');
    expect(await sql(`select from units`)).toEqual([]);
    expect(await sql(`select from organizations`)).toEqual([]);
    expect(await sql(`update units set floor = 9 returning id`)).toEqual([]);
  });

  test('leaves a trace of itself that the organization reads: made, changed, ended', async () => {
    const { name } = await reporter(domus);
    await stack.sql(`update app.database_logins set is_detailed = true where name = $1`, [name]);
    await stack.sql(`select app.drop_database_login($1)`, [name]);
    const owner = await stack.createUser({ email: `${name}@test.example` });
    await stack.sql(`select public.grant_role($1, 'owner', organization_id => $2)`, [owner.id, domus]);
    const { data } = await (await stack.client(owner.email)).from('audit_log').select('action, actor_label, changes').eq('changes->>name', name).order('id');
    expect(data).toMatchObject([
      { action: 'DATABASE_LOGIN_MADE', actor_label: 'studio:postgres', changes: { purpose: 'reporting', organization_id: domus, is_detailed: false } },
      { action: 'DATABASE_LOGIN_CHANGED', changes: { is_detailed: true, before: { is_detailed: false } } },
      { action: 'DATABASE_LOGIN_ENDED', changes: { is_detailed: true } },
    ]);
    const stranger = await (await stack.client('gerente@demo.example')).from('audit_log').select('id').eq('changes->>name', name);
    expect(stranger.data).toEqual([]);
  });

  test('is made by nobody through the API', async () => {
    const superadmin = await stack.client('superadmin@demo.example');
    const { error } = await superadmin.rpc('create_reporting_login', { name: 'from_the_api', organization: domus });
    expect(error?.code).toBe('PGRST202');
    const executable = await stack.sql(
      `select 1 from pg_proc p cross join (values ('anon'), ('authenticated'), ('service_role')) r (name)
       where p.proname in ('create_database_login', 'create_reporting_login', 'create_maintenance_login', 'drop_database_login') and has_function_privilege(r.name, p.oid, 'execute')`);
    expect(executable).toEqual([]);
  });

  test('has a name of its own, a long password, and an organization that exists', async () => {
    const make = (name: string, organization: string, password: string | null = null) =>
      refused(stack.sql(`select app.create_reporting_login($1, $2, password => $3)`, [name, organization, password]));
    expect(await make('postgres', domus)).toMatch(/^PT409 login_taken/);
    expect(await make('Bad-Name', domus)).toMatch(/^PT422 invalid_value/);
    expect(await make(newName(), domus, 'short')).toMatch(/^PT422 invalid_value/);
    expect(await make(newName(), '00000000-0000-0000-0000-000000000000')).toMatch(/^PT404 organization_not_found/);
    const [count] = await stack.sql<{ count: string }>(`select count(*) from app.database_logins l where not exists (select from pg_roles r where r.rolname = l.name)`);
    expect(count!.count).toBe('0');
  });
});

test('no login makes temporary objects: a type of its own would be taken for one that a trigger names, which acts as the owner', async () => {
  for (const { sql } of [await reporter(domus), await maintainer(domus)]) {
    await sql(`set default_transaction_read_only = off`);
    for (const attempt of [
      `create domain pg_temp.text as pg_catalog.text check (value is not null)`,
      `create function pg_temp.mine() returns integer language sql as 'select 1'`,
      `create temporary table mine (id integer)`,
      `create temporary view mine as select 1`,
      `create temporary sequence mine`,
    ]) {
      expect(await refused(sql(attempt)), attempt).toMatch(/^42501 permission denied to create temporary tables/);
    }
  }
  // Made by hand, with membership of a group alone, neither.
  const name = newName();
  await stack.sql(`create role ${name} login password 'correct-horse-battery'`);
  await stack.sql(`grant vicinia_maintenance to ${name}`);
  expect(await refused(logIn(name, 'correct-horse-battery')(`create type pg_temp.text as enum ('a')`))).toMatch(/^42501/);
});

test('no login is made where everybody may make temporary objects and the maker cannot change that', async () => {
  const [database] = await stack.adminSql<{ name: string }>(`select quote_ident(current_database()) as name`);
  await stack.adminSql(`alter database ${database!.name} owner to supabase_admin; grant temporary on database ${database!.name} to public`);
  const name = newName();
  expect(await refused(stack.sql(`select app.create_maintenance_login($1)`, [name]))).toMatch(/^PT409 temporary_objects_open/);
  expect(await stack.sql(`select from pg_roles where rolname = $1`, [name])).toEqual([]);
  await stack.adminSql(`alter database ${database!.name} owner to postgres; revoke temporary on database ${database!.name} from public`);
});

describe('a maintenance login', () => {
  test('changes rows of its organization, under its own name whatever it claims', async () => {
    const { name, sql } = await maintainer(domus);
    const [unit] = await sql<{ id: string }>(`select id from units where number = '2'`);
    const claims = await superadminClaims();
    await sql(`select set_config('request.jwt.claims', $1, false), set_config('app.actor', 'job:load', false), set_config('app.reason', 'Ticket 4711', false),
      set_config('app.claims_read', $1, false), set_config('app.claims_actor', $2, false),
      set_config('request.headers', '{"x-forwarded-for": "203.0.113.9"}', false)`, [claims, (JSON.parse(claims) as { sub: string }).sub]);
    await sql(`update units set floor = 7 where id = $1`, [unit!.id]);
    await sql(`insert into units (community_id, number) select community_id, 'M-1' from units where id = $1`, [unit!.id]);
    const entries = await stack.sql(
      `select operation::text, actor_id, actor_label, origin_id, note from audit.log where table_id = 'units'::regclass and note = 'Ticket 4711' order by id`);
    expect(entries).toEqual(['update', 'insert'].map((operation) => ({ operation, actor_id: null, actor_label: `login:${name}`, origin_id: null, note: 'Ticket 4711' })));
    expect(await stack.sql(`select floor, updated_by from units where id = $1`, [unit!.id])).toEqual([{ floor: 7, updated_by: null }]);
    expect(await stack.sql(`select created_by from units where number = 'M-1'`)).toEqual([{ created_by: null }]);
    const [other] = await stack.sql<{ id: string }>(`select id from profiles limit 1`);
    await sql(`insert into units (community_id, number, created_at, created_by) select community_id, 'M-2', '2001-01-01', $2 from units where id = $1`, [unit!.id, other!.id]);
    expect(await stack.sql(`select created_by, created_at > now() - interval '1 minute' as is_new from units where number = 'M-2'`)).toEqual([{ created_by: null, is_new: true }]);
  });

  test('can write every table it is granted: whatever checks and triggers call, it may', async () => {
    const { sql } = await maintainer(null);
    const tables = await stack.sql<{ name: string }>(
      `select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and has_any_column_privilege('vicinia_maintenance', oid, 'update') order by 1`);
    expect(tables.length).toBeGreaterThan(8);
    let written = 0;
    for (const { name } of tables) {
      const problem = await refused(sql(`update ${name} set id = id`).then((rows) => rows));
      expect(problem, name).toMatch(/^nothing|^PT409 append_only/);
      const [count] = await sql<{ count: string }>(`select count(*) from ${name}`);
      if (Number(count!.count) > 0) written += 1;
    }
    expect(written).toBeGreaterThan(6);
  });

  test('takes no step that takes a permission, though it claims to be the superadmin', async () => {
    const { sql } = await maintainer(domus);
    const [unit] = await sql<{ id: string; status: string }>(`select id, status from units order by number limit 1`);
    await sql(`select set_config('request.jwt.claims', $1, false)`, [await superadminClaims()]);
    expect(await refused(sql(`update units set status = 'under_maintenance' where id = $1`, [unit!.id]))).toMatch(/^PT403 permission_denied/);
    expect(await stack.sql(`select status::text from units where id = $1`, [unit!.id])).toEqual([{ status: unit!.status }]);
  });

  test('deletes nothing, reaches no other organization, and gives nobody access', async () => {
    const { sql } = await maintainer(domus);
    const rows = () => stack.sql(`select (select count(*) from units) as units, (select count(*) from memberships) as memberships, (select max(floor) from units where community_id in (select id from communities where organization_id = '${encinos}')) as floor`);
    const before = await rows();
    const links = () => stack.sql(`select id, user_id from residents order by id`);
    const linked = await links();
    for (const attempt of [`update residents set user_id = null`, `update guards set user_id = null`, `insert into residents (community_id, full_name, user_id) select community_id, 'Me', user_id from residents where user_id is not null limit 1`]) {
      expect(await refused(sql(attempt)), attempt).toMatch(/^42501/);
    }
    expect(await links()).toEqual(linked);
    await sql(`update residents set locale = 'bg' where user_id is not null`);
    // Whose a file is says who reads its content, which is in a schema that logins do not reach.
    for (const attempt of [`update files set owner_id = null`, `update files set removable_on = null`, `insert into files (name, community_id, purpose, bucket, content_type, size) select 'x', id, 'community.document', 'vicinia-documents', 'application/pdf', 5 from communities`]) {
      expect(await refused(sql(attempt)), attempt).toMatch(/^42501/);
    }
    const [foreign] = await stack.sql<{ id: string }>(`select id from communities where organization_id = $1`, [encinos]);
    await sql(`select set_config('app.purging', 'public.units'::regclass::oid::text, false), set_config('app.rewriting', 'public.memberships'::regclass::oid::text, false)`);
    for (const attempt of [
      `delete from units`,
      `truncate units cascade`,
      `insert into units (community_id, number) values ('${foreign!.id}', 'X')`,
      `insert into memberships (user_id, role_id, community_id) select user_id, role_id, community_id from memberships limit 1`,
      `update memberships set ends_at = null`,
      `update roles set name = 'x'`,
      `insert into role_permissions (role_id, permission_key) select id, 'records.purge' from roles limit 1`,
      `update app.database_logins set organization_id = null`,
      `select public.grant_role(gen_random_uuid(), 'superadmin')`,
      `insert into communities (organization_id, name) select id, 'x' from organizations`,
      `select * from auth.users`,
      `select * from audit.log`,
      `select * from private.user_access`,
    ]) {
      expect(await refused(sql(attempt)), attempt).toMatch(/^42501/);
    }
    expect(await sql(`update units set floor = 99 where community_id = $1 returning id`, [foreign!.id])).toEqual([]);
    expect(await refused(sql(`update units set community_id = $1`, [foreign!.id]))).toMatch(/^(PT409 column_frozen|42501)/);
    expect(await refused(sql(`update communities set organization_id = $1`, [encinos]))).not.toBe('nothing');
    expect(await rows()).toEqual(before);
  });
});

test('what was revoked from all logins of a kind comes back with open_to_database_roles', async () => {
  const grants = () =>
    stack.sql(`select c.relname, x.grantee::regrole::text as grantee, x.privilege_type, a.attname
               from pg_class c join pg_attribute a on a.attrelid = c.oid cross join lateral aclexplode(a.attacl) x where c.relnamespace = 'public'::regnamespace
               union all select c.relname, x.grantee::regrole::text, x.privilege_type, null from pg_class c cross join lateral aclexplode(c.relacl) x where c.relnamespace = 'public'::regnamespace
               order by 1, 2, 3, 4`);
  const before = await grants();
  for (const table of ['units', 'resident_details']) {
    await stack.sql(`revoke all on ${table} from vicinia_reporting, vicinia_maintenance`);
    expect(await grants()).not.toEqual(before);
    await stack.sql(`select app.open_to_database_roles('public.${table}')`);
    expect(await grants()).toEqual(before);
  }
});

test('installs that make the group roles at once agree on one of each', async () => {
  const migration = readFileSync(join(projectRoot, 'supabase', 'migrations', '20260101001600_foundation_database_roles.sql'), 'utf8');
  const block = /^do \$\$[\s\S]*?^\$\$;/m.exec(migration)?.[0] ?? '';
  expect(block).toMatch(/vicinia_reporting/);
  const [one, other] = [newName(), newName()];
  const making = block.replace('vicinia_reporting', one).replace('vicinia_maintenance', other);
  const sessions = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const client = new pg.Client({ connectionString: stack.adminUrl });
      await client.connect();
      return client;
    }),
  );
  await Promise.all(sessions.map((client) => client.query(`begin; ${making}; commit`)));
  await Promise.all(sessions.map((client) => client.end()));
  expect(await stack.sql(`select rolcanlogin from pg_roles where rolname = any ($1)`, [[one, other]])).toEqual([{ rolcanlogin: false }, { rolcanlogin: false }]);
});

describe('statement_statistics', () => {
  test('tells holders of operations.read what ran, without constants and without passwords', async () => {
    await stack.sql(`select 'nobody-should-see-this' as marker, 4711 as marked_statement`);
    const name = newName();
    await stack.sql(`create role ${name} password 'secret-of-the-role'`);
    const superadmin = await stack.client('superadmin@demo.example');
    const { data, error } = await superadmin.rpc('statement_statistics', { most: 500 });
    expect(error).toBeNull();
    const text = (data as { query: string }[]).map(({ query }) => query).join('\n');
    expect(text).toMatch(/marked_statement/);
    expect(text).not.toMatch(/nobody-should-see-this|4711/);
    expect(text).not.toMatch(/secret-of-the-role|create role|<insufficient/i);
    for (const email of ['manager@demo.example', 'owner@demo.example']) {
      const denied = await (await stack.client(email)).rpc('statement_statistics');
      expect(denied.error).toMatchObject({ code: 'PT403', message: 'permission_denied' });
    }
    expect((await superadmin.rpc('statement_statistics', { most: 0 })).error).toMatchObject({ code: 'PT422' });
  });

  test('says so where the extension is not there', async () => {
    const superadmin = await stack.client('superadmin@demo.example');
    await stack.adminSql(`drop extension pg_stat_statements`);
    const { error, status } = await superadmin.rpc('statement_statistics');
    await stack.adminSql(`create extension pg_stat_statements with schema extensions`);
    expect(status).toBe(501);
    expect(error).toMatchObject({ code: 'PT501', message: 'statistics_unavailable' });
  });
});
