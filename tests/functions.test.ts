import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { functionsDir, projectRoot } from '../scripts/stack/paths.ts';
import { parseTap } from './support/pgtap-run.ts';
import { defineTests } from './support/pgtap.ts';
import { startTestStack } from './support/stack.ts';

// The tests of the edge functions, run by Deno as in production: one test here for every one there.

const functions = readdirSync(functionsDir, { withFileTypes: true }).filter((entry) => entry.isDirectory() && !entry.name.startsWith('_'));

test.each(functions.map(({ name }) => name))('the function %s has tests', (name) => {
  expect(existsSync(join(projectRoot, 'tests/functions', `${name}.test.ts`))).toBe(true);
});

const stack = await startTestStack({ functions: true });
const { lines, errors } = await runDeno({
  SUPABASE_URL: stack.url,
  SUPABASE_ANON_KEY: stack.keys.publishable,
  SUPABASE_SERVICE_ROLE_KEY: stack.keys.secret,
  SUPABASE_DB_URL: stack.databaseUrl,
});
await stack.stop();

describe('tests/functions', () => {
  const report = parseTap(lines);
  defineTests('tests/functions', { ...report, problems: report.assertions.length === 0 ? [errors] : report.problems });
});

/** Runs `deno test`, which may reach this machine and nothing else. */
function runDeno(env: Record<string, string>): Promise<{ lines: string; errors: string }> {
  const args = ['test', '--quiet', '--reporter=tap', '--no-prompt', '--allow-net=127.0.0.1,localhost', '--allow-read=.', '--allow-env'];
  return new Promise((resolve, reject) => {
    const child = spawn(join(projectRoot, 'node_modules/.bin/deno'), args, { cwd: projectRoot, env: { ...process.env, NO_COLOR: '1', ...env } });
    let lines = '';
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => (lines += chunk.toString('utf8')));
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString('utf8')));
    child.once('error', reject);
    child.once('close', () => resolve({ lines, errors }));
  });
}
