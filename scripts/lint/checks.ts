import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { functionsDir, projectRoot, supabaseDir } from '../stack/paths.ts';

/** One thing that is looked at in the code as it stands, without running it. */
export type Check = {
  title: string;
  /** A program that npm installed. */
  program: 'squawk' | 'deno' | 'tsc';
  args: () => string[];
  /** What puts right what it finds, where something does. */
  remedy?: string;
};

/** The result of a check: what it found is in `output`, when it is not ok. */
export type CheckResult = { ok: boolean; output: string };

const migrations = () => readdirSync(join(supabaseDir, 'migrations')).filter((file) => file.endsWith('.sql')).map((file) => join('supabase/migrations', file));
const functionSources = () => readdirSync(functionsDir).map((folder) => join('functions', folder));

export const checks: Check[] = [
  { title: 'squawk finds nothing in the migrations', program: 'squawk', args: () => migrations() },
  { title: 'the TypeScript of scripts, tests and benchmarks is sound', program: 'tsc', args: () => ['--noEmit', '--pretty', '--incremental', '--tsBuildInfoFile', 'node_modules/.cache/tsc.json'] },
  { title: 'the TypeScript of the functions is sound', program: 'deno', args: () => ['check', '--quiet', ...functionSources(), 'tests/functions'] },
  { title: 'deno lint finds nothing in the functions', program: 'deno', args: () => ['lint', '--quiet'] },
  { title: 'the functions are formatted', program: 'deno', args: () => ['fmt', '--quiet', '--check'], remedy: 'npx deno fmt' },
];

/** Runs a check and waits for what it says. */
export function runCheck({ program, args }: Check): Promise<CheckResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(projectRoot, 'node_modules/.bin', program), args(), {
      cwd: projectRoot,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => output.push(chunk));
    child.once('error', (error) => reject(new Error(`${program} could not be started (${error.message}): run \`npm install\`.`)));
    child.once('close', (code) => resolve({ ok: code === 0, output: Buffer.concat(output).toString('utf8').trim() }));
  });
}
