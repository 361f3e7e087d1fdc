import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { projectRoot } from '../../scripts/stack/paths.ts';
import { connect, createDatabaseFromTemplate, testServer } from '../support/database.ts';

// types/ is what `npm run types` writes: nobody edits it by hand, and nobody forgets it.

const check = (databaseUrl: string) =>
  promisify(execFile)(process.execPath, ['--import', 'tsx', 'scripts/types.ts', '--check', '--db-url', databaseUrl], { cwd: projectRoot }).then(
    ({ stdout, stderr }) => ({ code: 0, output: stdout + stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({ code: error.code, output: error.stdout + error.stderr }),
  );

test('types/ matches the migrations', async () => {
  const url = testServer().url(await createDatabaseFromTemplate('migrated'));
  expect(await check(url)).toMatchObject({ code: 0 });
});

test('a column that types/ does not know is noticed', async () => {
  const url = testServer().url(await createDatabaseFromTemplate('migrated'));
  const { sql, end } = connect(url);
  await sql('alter table public.units add column colour text');
  await end();
  const { code, output } = await check(url);
  expect(code).toBe(1);
  expect(output).toMatch(/types\/database\.ts/);
  expect(output).toMatch(/types\/supabase\.ts/);
});
