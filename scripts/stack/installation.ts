import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import type { Home } from './paths.ts';
import { ancestors, birthOf } from './process-table.ts';

// The id of a process is given again after it has ended; together with its birth it is that process and no other.
const lockSchema = z.object({ pid: z.number(), birth: z.string().min(1), url: z.string(), databasePort: z.number(), startedAt: z.string() });

/** Who runs an installation at the moment. */
export type RunningInstallation = z.infer<typeof lockSchema>;

/** Who runs the installation in a data folder; undefined when nobody does, whatever an earlier crash left behind. */
export function whoRuns(home: Home): RunningInstallation | undefined {
  const lock = whoIsNamed(contentOf(home.lock));
  return lock?.pid === process.pid ? undefined : lock;
}

/** Who is named by the content of a lock; undefined when it is not such a content, or that process has ended. */
function whoIsNamed(content: string | undefined): RunningInstallation | undefined {
  let lock: unknown;
  try {
    lock = JSON.parse(content ?? '');
  } catch {
    return undefined;
  }
  const { data } = lockSchema.safeParse(lock);
  return data && birthOf(data.pid) === data.birth ? data : undefined;
}

/**
 * Takes an installation for this process.
 *
 * @param where tells others where it runs
 * @returns gives it back
 * @throws in one sentence when another process runs it
 */
export function takeInstallation(home: Home, where: Pick<RunningInstallation, 'url' | 'databasePort'>): () => void {
  const mine = JSON.stringify(
    { pid: process.pid, birth: birthOf(process.pid), ...where, startedAt: new Date().toISOString() } satisfies RunningInstallation,
  );
  // Written aside and put in place in one step: nobody sees a lock that is begun, and one of those who come at once wins.
  const draft = `${home.lock}.${process.pid}`;
  try {
    home.create();
    writeFileSync(draft, mine);
    while (!putInPlace(draft, home.lock)) {
      const content = contentOf(home.lock);
      const other = whoIsNamed(content);
      if (other) {
        throw new RunningAlready(
          `Vicinia is running here already, at ${other.url} (process ${other.pid}): stop it with Ctrl-C there, or use it as it is.`,
        );
      }
      if (content !== undefined) setAside(home.lock, content);
    }
  } catch (error) {
    throw error instanceof RunningAlready ? error : folderError(home, error);
  } finally {
    rmSync(draft, { force: true });
  }
  return () => {
    if (contentOf(home.lock) === mine) rmSync(home.lock, { force: true });
  };
}

class RunningAlready extends Error {}

/** Gives a file another name, unless something has that name. */
function putInPlace(draft: string, file: string): boolean {
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Removes a lock that was found to be nobody's, and no other that has taken its place meanwhile. */
function setAside(lock: string, content: string): void {
  const aside = `${lock}.${process.pid}.old`;
  try {
    renameSync(lock, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (contentOf(aside) !== content) putInPlace(aside, lock);
  rmSync(aside, { force: true });
}

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function folderError({ root }: Home, error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  const isForeign = code === 'EACCES' || code === 'EPERM';
  return new Error(
    isForeign
      ? `${root} belongs to another user: run this as that user, or choose another folder with VICINIA_HOME.`
      : `The data folder ${root} cannot be written (${message}): choose another with VICINIA_HOME.`,
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
