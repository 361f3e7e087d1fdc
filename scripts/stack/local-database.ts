import { whoRuns } from './installation.ts';
import { loadOrCreateKeys } from './keys.ts';
import { home, ports } from './paths.ts';

/**
 * How role `postgres` connects to the database of the installation on this machine, on the port on which it runs.
 *
 * @throws in one sentence when nothing is installed
 */
export function localDatabaseUrl(): string {
  const folder = home();
  if (!folder.exists()) throw new Error('Nothing is installed here yet: `npm start` installs and migrates.');
  const { passwords } = loadOrCreateKeys(folder);
  const port = whoRuns(folder)?.databasePort ?? ports.database;
  return `postgresql://postgres:${encodeURIComponent(passwords.postgres)}@127.0.0.1:${port}/postgres`;
}

/** What to tell a person about an error of a script that connects to a database. */
export function databaseProblem(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ECONNREFUSED' ? 'No database answers there. Start it with `npm start`, or name another with --db-url.' : message;
}
