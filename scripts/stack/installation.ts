import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import type { Home } from './paths.ts';
import { ancestors, commandOf } from './process-table.ts';

const lockSchema = z.object({ pid: z.number(), url: z.string(), startedAt: z.string() });

/** Who runs an installation at the moment. */
export type RunningInstallation = z.infer<typeof lockSchema>;

/** Who runs the installation in a data folder; undefined when nobody does, whatever an earlier crash left behind. */
export function whoRuns(home: Home): RunningInstallation | undefined {
  let lock: unknown;
  try {
    lock = JSON.parse(readFileSync(home.lock, 'utf8'));
  } catch {
    return undefined;
  }
  const parsed = lockSchema.safeParse(lock);
  if (!parsed.success || parsed.data.pid === process.pid) return undefined;
  return commandOf(parsed.data.pid).includes('start.ts') ? parsed.data : undefined;
}

/**
 * Takes an installation for this process.
 *
 * @returns gives it back
 * @throws in one sentence when another process runs it
 */
export function takeInstallation(home: Home, url: string): () => void {
  try {
    home.create();
  } catch (error) {
    throw folderError(home, error);
  }
  const mine = JSON.stringify({ pid: process.pid, url, startedAt: new Date().toISOString() } satisfies RunningInstallation);
  for (let attempt = 0;; attempt += 1) {
    try {
      writeFileSync(home.lock, mine, { flag: 'wx' });
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw folderError(home, error);
      const other = whoRuns(home);
      if (other ?? attempt > 2) {
        throw new Error(
          `Vicinia is running here already${
            other ? `, at ${other.url} (process ${other.pid})` : ''
          }: stop it with Ctrl-C there, or use it as it is.`,
        );
      }
      rmSync(home.lock, { force: true });
    }
  }
  return () => {
    try {
      if (readFileSync(home.lock, 'utf8') === mine) rmSync(home.lock, { force: true });
    } catch {
      // already gone
    }
  };
}

function folderError({ root }: Home, error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  const isForeign = code === 'EACCES' || code === 'EPERM';
  return new Error(
    isForeign ? `${root} belongs to another user: run this as that user, or choose another folder with VICINIA_HOME.` : message,
  );
}

/** Calls back when npm, or whoever started this process, is gone without having told us. */
export function onParentGone(callback: () => void): void {
  // tsx, started as a program, holds a channel to us that breaks with it.
  process.once('disconnect', callback);
  if (process.env.npm_lifecycle_event === undefined) return;
  const npm = ancestors().find(({ command }) => /\bnpm\b/.test(command));
  if (!npm) return;
  const timer = setInterval(() => {
    if (isAlive(npm.pid)) return;
    clearInterval(timer);
    callback();
  }, 1000);
  timer.unref();
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
