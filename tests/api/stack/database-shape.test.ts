import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shapeDatabase } from '../../../scripts/stack/supabase-shape.ts';
import { connect, createEmptyDatabase, testServer } from '../../support/database.ts';

let database: string;
let postgres: pg.Client;

beforeAll(async () => {
  database = await createEmptyDatabase();
  await shapeDatabase(testServer(), database);
  postgres = new pg.Client({ connectionString: testServer().url(database) });
  await postgres.connect();
});
afterAll(() => postgres.end());

const one = async (sql: string, parameters: unknown[] = []) =>
  (await postgres.query<Record<string, unknown>>(sql, parameters)).rows[0];

/** Runs SQL as role postgres and takes it back. */
async function attempt(sql: string): Promise<string> {
  await postgres.query('begin');
  try {
    await postgres.query(sql);
    return 'done';
  } catch (error) {
    return (error as pg.DatabaseError).code ?? 'failed';
  } finally {
    await postgres.query('rollback');
  }
}

describe('role postgres is what it is on Supabase', () => {
  test('no superuser, but it bypasses row-level security and makes roles and databases', async () => {
    expect(
      await one(
        'select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication from pg_roles where rolname = current_user',
      ),
    ).toEqual({
      rolsuper: false,
      rolbypassrls: true,
      rolcreaterole: true,
      rolcreatedb: true,
      rolreplication: true,
    });
    expect(await one('select datdba::regrole::text as owner from pg_database where datname = current_database()')).toEqual({
      owner: 'postgres',
    });
  });

  test.each([
    [
      'a trigger on auth.users',
      `create function public.t() returns trigger language plpgsql as $$ begin return new; end $$; create trigger t after insert on auth.users for each row execute function public.t()`,
    ],
    ['a foreign key to auth.users', 'create table public.x (user_id uuid references auth.users (id) on delete cascade)'],
    ['a view over auth.users', 'create view public.v as select id from auth.users'],
    [
      'users by SQL',
      `insert into auth.users (instance_id, id, aud, role, email, is_super_admin) values (gen_random_uuid(), gen_random_uuid(), 'authenticated', 'authenticated', 'a@b.example', false)`,
    ],
    [
      'a policy on auth.users, its change and its end',
      `create policy p on auth.users for select to authenticated using (false); alter policy p on auth.users using (true); drop policy p on auth.users`,
    ],
    ['a policy on storage.objects', `create policy p on storage.objects for select to authenticated using (bucket_id = 'x')`],
    [
      'a bucket',
      `insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types) values ('b', 'b', false, 1, '{image/png}')`,
    ],
    ['deleting objects, having said so', `set local storage.allow_delete_query = 'true'; delete from storage.objects`],
    ['becoming an API role', 'set local role anon; set local role authenticated; set local role service_role'],
    ['a role of its own', 'create role reporter; grant reporter to postgres; create schema s authorization reporter'],
    ['parameters of PostgREST', `alter role authenticator set pgrst.db_pre_request = 'app.pre_request'`],
    [
      'extensions that Supabase lets it have',
      'create extension btree_gist with schema extensions; create extension citext with schema extensions; create extension pg_trgm with schema extensions',
    ],
    [
      'adding to the publication of Realtime',
      'create table public.y (id int primary key); alter publication supabase_realtime add table public.y',
    ],
    ['switching triggers off', 'set local session_replication_role = replica'],
  ])('it may do: %s', async (_, sql) => {
    expect(await attempt(sql)).toBe('done');
  });

  test.each([
    ['alter auth.users', 'alter table auth.users add column extra text'],
    ['switch off row-level security of storage.objects', 'alter table storage.objects disable row level security'],
    ['make a table in auth', 'create table auth.extra (id int)'],
    ['make a function in storage', 'create function storage.extra() returns int language sql return 1'],
    ['replace auth.uid()', `create or replace function auth.uid() returns uuid language sql stable as 'select null::uuid'`],
    ['make an index on auth.users', 'create index on auth.users (phone)'],
    ['comment on auth.users', `comment on table auth.users is 'ours'`],
    ['drop a table of auth', 'drop table auth.flow_state'],
    ['drop the schema storage', 'drop schema storage cascade'],
    ['rename the schema auth', 'alter schema auth rename to theirs'],
    ['become an owner of Supabase', 'set local role supabase_auth_admin'],
    ['become the superuser', 'set local role supabase_admin'],
    ['delete objects just so', 'delete from storage.objects'],
    ['set parameters of the database', `alter database postgres set app.settings.secret = 'x'`],
  ])('it may not: %s', async (_, sql) => {
    expect(await attempt(sql)).toBe('42501');
  });
});

describe('the functions of schema auth read the claims of the caller', () => {
  const claims = { sub: randomUUID(), role: 'authenticated', email: 'ana@shape.example', app_metadata: { access_version: 3 } };

  test('from request.jwt.claims, as PostgREST sets them', async () => {
    await postgres.query('begin');
    await postgres.query(`select set_config('request.jwt.claims', $1, true)`, [JSON.stringify(claims)]);
    expect(await one('select auth.uid() as uid, auth.role() as role, auth.email() as email, auth.jwt() as jwt')).toEqual({
      uid: claims.sub,
      role: 'authenticated',
      email: 'ana@shape.example',
      jwt: claims,
    });
    await postgres.query('rollback');
  });

  test('and the older single settings go before them', async () => {
    await postgres.query('begin');
    const other = randomUUID();
    await postgres.query(`select set_config('request.jwt.claims', $1, true), set_config('request.jwt.claim.sub', $2, true)`, [
      JSON.stringify(claims),
      other,
    ]);
    expect(await one('select auth.uid() as uid')).toEqual({ uid: other });
    await postgres.query('rollback');
  });

  test('nobody is null, in all of them', async () => {
    expect(await one('select auth.uid() as uid, auth.role() as role, auth.email() as email, auth.jwt() as jwt')).toEqual({
      uid: null,
      role: null,
      email: null,
      jwt: null,
    });
  });

  test('API roles may call them, and see no users', async () => {
    for (const role of ['anon', 'authenticated', 'service_role']) {
      expect(await attempt(`set local role ${role}; select auth.uid(), auth.role(), auth.email(), auth.jwt()`), role).toBe(
        'done',
      );
      expect(await attempt(`set local role ${role}; select * from auth.users`), role).toBe('42501');
    }
  });
});

describe('what happens to a new table depends on the age of the project', () => {
  test.each(
    [
      ['closed', 'Dxtm', ''],
      ['open', 'arwdDxtm', 'rwU'],
    ] as const,
  )('%s', async (defaultPrivileges, onTables, onSequences) => {
    const name = await createEmptyDatabase();
    await shapeDatabase(testServer(), name, { defaultPrivileges });
    const { sql, end } = connect(testServer().url(name));
    await sql('create table public.t (id integer generated always as identity); create sequence public.s');
    const grants = await sql<{ object: string; role: string; privileges: string }>(`
      select c.relname as object, a.grantee::regrole::text as role, string_agg(case a.privilege_type
          when 'SELECT' then 'r' when 'INSERT' then 'a' when 'UPDATE' then 'w' when 'DELETE' then 'd' when 'TRUNCATE' then 'D'
          when 'REFERENCES' then 'x' when 'TRIGGER' then 't' when 'MAINTAIN' then 'm' when 'USAGE' then 'U' end, '') as privileges
      from pg_class c, aclexplode(c.relacl) a
      where c.oid in ('public.t'::regclass, 'public.s'::regclass) and a.grantee::regrole::text in ('anon', 'authenticated', 'service_role')
      group by 1, 2`);
    await end();
    const sorted = (text: string) => [...text].sort().join('');
    for (const role of ['anon', 'authenticated', 'service_role']) {
      const on = (object: string) =>
        sorted(grants.find((grant) => grant.object === object && grant.role === role)?.privileges ?? '');
      expect([on('t'), on('s')], role).toEqual([sorted(onTables), sorted(onSequences)]);
    }
  });
});

test('letters of any script are letters: trigrams, order and lower case', async () => {
  await postgres.query('create extension if not exists pg_trgm with schema extensions');
  const trigrams = (await one(`select extensions.show_trgm('Обект') as trigrams`))?.trigrams as string[];
  expect(trigrams.length).toBe(6);
  const { rows } = await postgres.query<{ name: string }>(
    `select name from unnest('{Zoe,ana,Ana,Élan,Борис,анна}'::text[]) name order by name`,
  );
  expect(rows.map(({ name }) => name)).toEqual(['ana', 'Ana', 'Élan', 'Zoe', 'анна', 'Борис']);
  expect(await one(`select lower('ÉЖ') as lowered`)).toEqual({ lowered: 'éж' });
});

test('shaping again changes nothing', async () => {
  const snapshot = () =>
    one(`select md5(string_agg(line, e'\\n' order by line)) as digest from (
      select 'c ' || oid::regclass || relacl::text || relowner as line from pg_class where relnamespace in ('auth'::regnamespace, 'storage'::regnamespace, 'extensions'::regnamespace)
      union all select 'p ' || oid::regprocedure || coalesce(proacl::text, '') || prosrc from pg_proc where pronamespace in ('auth'::regnamespace, 'storage'::regnamespace)
      union all select 'n ' || nspname || nspacl::text from pg_namespace) lines`);
  const before = await snapshot();
  await shapeDatabase(testServer(), database);
  expect(await snapshot()).toEqual(before);
});
