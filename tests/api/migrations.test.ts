import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { migrate } from '../../scripts/stack/migrations.ts';
import { supabaseDir } from '../../scripts/stack/paths.ts';
import { shapeDatabase } from '../../scripts/stack/supabase-shape.ts';
import { connect, createDatabaseFromTemplate, createEmptyDatabase, testServer } from '../support/database.ts';
import { supabaseCli } from '../support/supabase-cli.ts';

// Installing: any number at once, as often as one likes, by us or by the Supabase CLI.

const files = readdirSync(join(supabaseDir, 'migrations')).filter((file) => file.endsWith('.sql')).sort();
const versions = files.map((file) => file.slice(0, 14));
const scratch = mkdtempSync(join(tmpdir(), 'vicinia-migrations-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function emptyProject(): Promise<string> {
  const database = await createEmptyDatabase();
  await shapeDatabase(testServer(), database);
  return testServer().url(database);
}

async function history(url: string): Promise<string[]> {
  const { sql, end } = connect(url);
  const rows = await sql<{ version: string }>('select version from supabase_migrations.schema_migrations order by version');
  await end();
  return rows.map(({ version }) => version);
}

/** Everything a schema is made of, in words. */
async function shape(url: string): Promise<unknown> {
  const { sql, end } = connect(url);
  const rows = await sql(`
    select 'column' as kind, c.table_schema || '.' || c.table_name || '.' || c.column_name as name, c.data_type || coalesce(' ' || c.column_default, '') as what
    from information_schema.columns c where c.table_schema in ('public', 'app', 'private', 'audit')
    union all
    select 'constraint', k.conrelid::regclass || ' ' || k.conname, pg_get_constraintdef(k.oid) from pg_constraint k where k.connamespace::regnamespace::text in ('public', 'app', 'private', 'audit')
    union all
    select 'function', p.oid::regprocedure::text, md5(pg_get_functiondef(p.oid)) from pg_proc p where p.pronamespace::regnamespace::text in ('public', 'app', 'private', 'audit')
    union all
    select 'policy', schemaname || '.' || tablename || ' ' || policyname, coalesce(qual, '') || ' / ' || coalesce(with_check, '') from pg_policies
    union all
    select 'row', 'role_permissions', count(*)::text from public.role_permissions
    order by 1, 2, 3`);
  await end();
  return rows;
}

test('of twenty installs at once all succeed, and each migration is applied by one of them', { timeout: 300_000 }, async () => {
  const url = await emptyProject();
  const results = await Promise.all(Array.from({ length: 20 }, () => migrate(url)));
  expect(results.flatMap(({ applied }) => applied).sort()).toEqual(files);
  for (const { applied, already } of results) expect(applied.length + already).toBe(files.length);
  expect(await history(url)).toEqual(versions);
  expect(await shape(url)).toEqual(await shape(testServer().url(await createDatabaseFromTemplate('migrated'))));
});

test('installing again changes nothing', async () => {
  const url = testServer().url(await createDatabaseFromTemplate('migrated'));
  const before = await shape(url);
  expect(await migrate(url)).toEqual({ applied: [], already: files.length });
  expect(await shape(url)).toEqual(before);
});

test('a migration is named by a moment that exists', () => {
  const moment = (version: string) => `${version.slice(0, 4)}-${version.slice(4, 6)}-${version.slice(6, 8)}T${version.slice(8, 10)}:${version.slice(10, 12)}:${version.slice(12)}`;
  expect(versions.filter((version) => Number.isNaN(Date.parse(`${moment(version)}Z`)))).toEqual([]);
});

describe('the Supabase CLI', () => {
  test('finds our migrations applied, and nothing to do', async () => {
    const url = testServer().url(await createDatabaseFromTemplate('migrated'));
    const list = await supabaseCli(['migration', 'list', '--output-format', 'json'], url);
    expect(list.code, list.stderr).toBe(0);
    for (const version of versions) expect(list.stdout.split(version).length - 1, `${version}, local and remote`).toBe(2);
    const up = await supabaseCli(['migration', 'up'], url);
    expect(up.code, up.stderr).toBe(0);
    expect(up.stdout + up.stderr).toMatch(/up to date/);
    expect(await history(url)).toEqual(versions);
  });

  test('goes on where we stopped, and we where it stopped: both make the same database', { timeout: 300_000 }, async () => {
    const url = await emptyProject();
    const firstHalf = join(scratch, 'half');
    cpSync(join(supabaseDir, 'migrations'), firstHalf, { recursive: true });
    for (const file of files.slice(Math.floor(files.length / 2))) rmSync(join(firstHalf, file));
    await migrate(url, { directory: firstHalf });
    expect((await history(url)).length).toBe(Math.floor(files.length / 2));
    const up = await supabaseCli(['migration', 'up'], url);
    expect(up.code, up.stderr).toBe(0);
    expect(await migrate(url)).toEqual({ applied: [], already: files.length });
    expect(await shape(url)).toEqual(await shape(testServer().url(await createDatabaseFromTemplate('migrated'))));
  });
});

describe('a migration that fails', () => {
  test('leaves nothing of itself, names its file and line, and the next install goes on', async () => {
    const url = testServer().url(await createDatabaseFromTemplate('migrated'));
    const directory = join(scratch, 'failing');
    cpSync(join(supabaseDir, 'migrations'), directory, { recursive: true });
    writeFileSync(join(directory, '99990101000000_broken.sql'), 'create table public.half_done (id uuid primary key);\nselect no_such_function();\n');
    await expect(migrate(url, { directory })).rejects.toThrow(/99990101000000_broken\.sql:2.*no_such_function/);
    expect(await history(url)).toEqual(versions);
    const { sql, end } = connect(url);
    expect(await sql(`select to_regclass('public.half_done') as name`)).toEqual([{ name: null }]);
    await end();
    writeFileSync(join(directory, '99990101000000_broken.sql'), 'create table public.half_done (id uuid primary key);\n');
    expect((await migrate(url, { directory })).applied).toEqual(['99990101000000_broken.sql']);
  });
});
