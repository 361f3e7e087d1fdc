import { beforeAll, expect, test } from 'vitest';
import { migrate } from '../../scripts/stack/migrations.ts';
import { shapeDatabase, type DefaultPrivileges } from '../../scripts/stack/supabase-shape.ts';
import { connect, createDatabaseFromTemplate, createEmptyDatabase, testServer } from '../support/database.ts';

// Older projects expose what migrations make, newer ones do not: both must end alike.

const projects: Record<DefaultPrivileges, string[]> = { open: [], closed: [] };
const defaults: Record<DefaultPrivileges, string[]> = { open: [], closed: [] };

beforeAll(async () => {
  for (const kind of ['open', 'closed'] as const) {
    let database = await createEmptyDatabase();
    await shapeDatabase(testServer(), database, { defaultPrivileges: kind });
    const fresh = connect(testServer().url(database));
    defaults[kind] = (await fresh.sql<{ acl: string }>(`select defaclobjtype::text || ' ' || defaclacl::text as acl from pg_default_acl where defaclrole = 'postgres'::regrole order by 1`)).map(({ acl }) => acl);
    await fresh.end();
    // The template of this run is a newer project to which the migrations have been applied.
    if (kind === 'open') await migrate(testServer().url(database));
    else database = await createDatabaseFromTemplate('migrated');
    const { sql, end } = connect(testServer().url(database));
    const grants = await sql<{ line: string }>(`
      with ours as (select oid, nspname from pg_namespace where nspname in ('public', 'app', 'private', 'audit', 'extensions')),
      acls as (
        select 'schema ' || nspname as object, acldefault('n', n.nspowner) as usual, n.nspacl as acl from pg_namespace n join ours using (oid, nspname)
        union all
        select case c.relkind when 'S' then 'sequence ' else 'relation ' end || nspname || '.' || relname,
          acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", relowner), relacl
        from pg_class c join ours n on n.oid = c.relnamespace where relkind in ('r', 'p', 'v', 'm', 'S')
        union all
        select 'column ' || nspname || '.' || relname || '.' || attname, '{}', attacl
        from pg_attribute a join pg_class c on c.oid = a.attrelid join ours n on n.oid = c.relnamespace where attacl is not null
        union all
        select 'function ' || p.oid::regprocedure, acldefault('f', proowner), proacl from pg_proc p join ours n on n.oid = p.pronamespace
        union all
        select 'type ' || nspname || '.' || typname, acldefault('T', typowner), typacl from pg_type t join ours n on n.oid = t.typnamespace where typtype in ('e', 'd')
      )
      select object || ': ' || coalesce(case when x.grantee = 0 then 'everybody' else x.grantee::regrole::text end, 'nobody')
        || ' ' || coalesce(string_agg(x.privilege_type || case when x.is_grantable then '*' else '' end, ' ' order by x.privilege_type), '') as line
      from acls left join lateral aclexplode(coalesce(acl, usual)) x on true
      group by object, x.grantee order by 1`);
    projects[kind] = grants.map(({ line }) => line);
    await end();
  }
});

test('the two kinds of project begin differently', () => {
  expect(defaults.open).not.toEqual(defaults.closed);
});

test('and end with the same privileges on every schema, table, view, column, sequence, function and type', () => {
  expect(projects.open.length).toBeGreaterThan(100);
  expect(projects.open).toEqual(projects.closed);
});
