import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { migrate, seed } from '../../../scripts/stack/migrations.ts';
import { projectRoot, supabaseDir } from '../../../scripts/stack/paths.ts';
import { splitStatements } from '../../../scripts/stack/sql-statements.ts';
import { shapeDatabase } from '../../../scripts/stack/supabase-shape.ts';
import { connect, createDatabaseFromTemplate, createEmptyDatabase, type Row, testServer } from '../../support/database.ts';

const run = promisify(execFile);
let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'vicinia-migrations-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A shaped database without migrations. */
async function emptyProject(): Promise<string> {
  const name = await createEmptyDatabase();
  await shapeDatabase(testServer(), name);
  return testServer().url(name);
}

async function query(url: string, sql: string): Promise<Row[]> {
  const { sql: ask, end } = connect(url);
  try {
    return await ask(sql);
  } finally {
    await end();
  }
}

/** A folder of migrations, by file name. */
function folderWith(files: Record<string, string>): string {
  const folder = mkdtempSync(join(scratch, 'set-'));
  for (const [name, sql] of Object.entries(files)) writeFileSync(join(folder, name), sql);
  return folder;
}

const history = (url: string) =>
  query(url, 'select version, name, statements from supabase_migrations.schema_migrations order by version');

describe('the Supabase CLI and we write one history', () => {
  /** Runs the CLI in a project that has our migrations. */
  async function cli(url: string, ...args: string[]): Promise<string> {
    const project = mkdtempSync(join(scratch, 'cli-'));
    cpSync(join(supabaseDir, 'migrations'), join(project, 'supabase/migrations'), { recursive: true });
    cpSync(join(supabaseDir, 'config.toml'), join(project, 'supabase/config.toml'));
    const program = join(projectRoot, 'node_modules/.bin/supabase');
    const { stdout, stderr } = await run(program, [...args, '--workdir', project, '--db-url', `${url}?sslmode=disable`], {
      cwd: project,
    });
    return stdout + stderr;
  }

  // The CLI takes ten seconds for all of them, so it does that once.
  test('it applies our migrations too, records word for word the same, and leaves us nothing to do', { timeout: 300_000 }, async () => {
    const theirs = await emptyProject();
    await cli(theirs, 'migration', 'up');
    expect(await history(theirs)).toEqual(await history(testServer().url(await createDatabaseFromTemplate('migrated'))));
    const { applied, already } = await migrate(theirs);
    expect([applied, already]).toEqual([[], readdirSync(join(supabaseDir, 'migrations')).length]);
  });

  test('what we have applied, it does not apply again', async () => {
    const ours = testServer().url(await createDatabaseFromTemplate('migrated'));
    expect(await cli(ours, 'migration', 'up')).toMatch(/up to date/);
  });
});

describe('migrating', () => {
  const first = { '20260101000000_first.sql': 'create table public.a (id int primary key);\ninsert into public.a values (1);' };

  test('applies what is missing, in order, and a second time nothing', async () => {
    const url = await emptyProject();
    const folder = folderWith({ ...first, '20260102000000_second.sql': 'insert into public.a values (2);' });
    const seen: string[] = [];
    expect(await migrate(url, { directory: folder, onMigration: (file) => seen.push(file) })).toEqual({
      applied: ['20260101000000_first.sql', '20260102000000_second.sql'],
      already: 0,
    });
    expect(seen).toHaveLength(2);
    expect(await migrate(url, { directory: folder })).toEqual({ applied: [], already: 2 });
    expect(await query(url, 'select id from public.a order by id')).toEqual([{ id: 1 }, { id: 2 }]);
  });

  test('twenty at once wait for each other, and apply each file once', async () => {
    const url = await emptyProject();
    const folder = folderWith({
      ...first,
      '20260102000000_second.sql': 'insert into public.a values (2); select pg_sleep(0.2);',
    });
    const results = await Promise.all(Array.from({ length: 20 }, () => migrate(url, { directory: folder })));
    expect(results.map(({ applied }) => applied.length).sort()).toEqual([...Array<number>(19).fill(0), 2]);
    expect(await query(url, 'select count(*)::integer as rows from public.a')).toEqual([{ rows: 2 }]);
  });

  test('names file, line, reason and hint, and leaves nothing of a file that fails', async () => {
    const url = await emptyProject();
    const folder = folderWith({
      ...first,
      '20260102000000_broken.sql': 'create table public.b (id int);\n-- Ж\nselect\n  nam from public.a;',
    });
    await expect(migrate(url, { directory: folder })).rejects.toThrow(
      /^20260102000000_broken\.sql:4: column "nam" does not exist \(42703\)\n {2}nam from public\.a;/,
    );
    expect(await history(url)).toHaveLength(1);
    expect(await query(url, `select to_regclass('public.b') as b`)).toEqual([{ b: null }]);
  });

  test('uses the search path of a push: "$user", public and nothing else', async () => {
    const url = await emptyProject();
    const folder = folderWith({
      '20260101000000_path.sql':
        `create table public.seen as select current_setting('search_path') as path, current_user as role`,
    });
    await migrate(url, { directory: folder });
    expect(await query(url, 'select path, role::text from public.seen')).toEqual([{ path: '"$user", public', role: 'postgres' }]);
  });

  test.each([
    [
      'a file changed after it was applied',
      { '20260101000000_first.sql': 'create table public.a (id bigint primary key);' },
      /20260101000000_first\.sql was changed after it had been applied/,
    ],
    [
      'a file older than the newest applied',
      { ...first, '20251231000000_late.sql': 'select 1;' },
      /20251231000000_late\.sql is older than 20260101000000/,
    ],
    ['a file that is gone', {}, /migrations that are not in the migrations folder \(20260101000000\)/],
    [
      'two files of one version',
      { ...first, '20260101000000_again.sql': '' },
      /20260101000000_again\.sql and 20260101000000_first\.sql have the same version/,
    ],
    ['a file without a version', { ...first, 'fix.sql': '' }, /fix\.sql is not named like a migration/],
  ])('refuses %s', async (_, files, message) => {
    const url = await emptyProject();
    await migrate(url, { directory: folderWith(first) });
    await expect(migrate(url, { directory: folderWith(files) })).rejects.toThrow(message);
    expect(await history(url)).toHaveLength(1);
  });

  test('blanks may change, since they change nothing', async () => {
    const url = await emptyProject();
    await migrate(url, { directory: folderWith(first) });
    const folder = folderWith({
      '20260101000000_first.sql': 'create table public.a (\n  id int primary key\n);\n\ninsert into public.a values (1);\n',
    });
    expect(await migrate(url, { directory: folder })).toEqual({ applied: [], already: 1 });
  });
});

describe('seeding', () => {
  test('happens once per database, whole or not at all', async () => {
    const url = await emptyProject();
    const folder = join(scratch, 'seed');
    mkdirSync(folder);
    const file = join(folder, 'seed.sql');
    await migrate(url, { directory: folderWith({}) });
    expect(await seed(url, file)).toBe('none');
    writeFileSync(file, 'create table public.s (id int); insert into public.s values (1); select wrong;');
    await expect(seed(url, file)).rejects.toThrow(/seed\.sql:1: column "wrong" does not exist/);
    writeFileSync(file, 'create table public.s (id int); insert into public.s values (1);');
    expect(await seed(url, file)).toBe('seeded');
    expect(await seed(url, file)).toBe('already');
    expect(await query(url, 'select path, length(hash) as digits from supabase_migrations.seed_files')).toEqual([{
      path: 'supabase/seed.sql',
      digits: 64,
    }]);
  });
});

describe('statements are split where they end', () => {
  test.each([
    ['semicolons in strings, identifiers and comments', `select ';' as ";"; -- ; no\n/* ; /* ; */ ; */ select 2`, [
      `select ';' as ";"`,
      '-- ; no\n/* ; /* ; */ ; */ select 2',
    ]],
    ['dollar quotes, nested', 'do $a$ begin execute $b$ select 1; $b$; end $a$; select $1', [
      'do $a$ begin execute $b$ select 1; $b$; end $a$',
      'select $1',
    ]],
    [
      'bodies of standard SQL',
      'create function f() returns int begin atomic select case when true then 1 end; select 2; end; select 3',
      ['create function f() returns int begin atomic select case when true then 1 end; select 2; end', 'select 3'],
    ],
    ['escaped quotes', String.raw`select e'it\'s; fine', 'it''s; fine'; select 2`, [
      String.raw`select e'it\'s; fine', 'it''s; fine'`,
      'select 2',
    ]],
    ['dollars in names', 'select a$b, $ünï$;$ünï$; select 2', ['select a$b, $ünï$;$ünï$', 'select 2']],
    ['nothing', ' ;; \n ; ', []],
  ])('%s', (_, sql, statements) => {
    expect(splitStatements(sql)).toEqual(statements);
  });

  test('and together they are the file again', () => {
    const essence = (text: string) => text.replace(/[\s;]+/g, '');
    for (const file of readdirSync(join(supabaseDir, 'migrations'))) {
      const sql = readFileSync(join(supabaseDir, 'migrations', file), 'utf8');
      expect(essence(splitStatements(sql).join('')), file).toBe(essence(sql));
    }
  });
});
