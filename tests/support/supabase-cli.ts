import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { projectRoot } from '../../scripts/stack/paths.ts';

/** What the Supabase CLI answered. */
export type CliAnswer = { code: number | null; stdout: string; stderr: string };

/** Runs the Supabase CLI on a database of this run, which speaks no TLS. */
export function supabaseCli(args: string[], databaseUrl: string): Promise<CliAnswer> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(projectRoot, 'node_modules/.bin/supabase'), [...args, '--db-url', `${databaseUrl}?sslmode=disable`, '--agent', 'no'], {
      cwd: projectRoot,
      env: { ...process.env, SUPABASE_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const answer: CliAnswer = { code: null, stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (answer.stdout += chunk.toString('utf8')));
    child.stderr.on('data', (chunk: Buffer) => (answer.stderr += chunk.toString('utf8')));
    child.once('error', reject);
    child.once('close', (code) => resolve({ ...answer, code }));
  });
}
