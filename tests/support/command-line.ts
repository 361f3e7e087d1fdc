import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { projectRoot } from '../../scripts/stack/paths.ts';

/** A script in one file, with its packages: it starts in half the time of `scripts/run.mjs`, which leaves them to Node. */
export type Bundle = { start(args: string[], env?: NodeJS.ProcessEnv): ChildProcess; remove(): void };

/** Gathers a script and its packages in one file. What it looks for beside itself it finds from there as from `scripts`. */
export async function bundle(script: string): Promise<Bundle> {
  const file = join(projectRoot, 'node_modules/.cache', `${script}-${randomBytes(6).toString('hex')}.mjs`);
  await build({
    entryPoints: [join(projectRoot, 'scripts', script)],
    outfile: file,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'error',
    // Packages in CommonJS ask for it.
    banner: { js: `import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);` },
  });
  return {
    start: (args, env = {}) => spawn(process.execPath, [file, ...args], { cwd: projectRoot, env: { ...process.env, NO_COLOR: '1', ...env } }),
    remove: () => rmSync(file, { force: true }),
  };
}
