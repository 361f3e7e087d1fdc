import { loadOrCreateKeys } from './keys.ts';
import { home, ports } from './paths.ts';

/**
 * How role `postgres` connects to the database of the installation on this machine.
 *
 * @throws in one sentence when nothing is installed
 */
export async function localDatabaseUrl(): Promise<string> {
  const { root, exists } = home();
  if (!exists()) throw new Error('Nothing is installed here yet: `npm start` installs and migrates.');
  const { passwords } = await loadOrCreateKeys(root);
  return `postgresql://postgres:${encodeURIComponent(passwords.postgres)}@127.0.0.1:${ports.database}/postgres`;
}

/** What to tell a person about an error of a script that connects to a database. */
export function databaseProblem(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ECONNREFUSED' ? 'No database answers there. Start it with `npm start`, or name another with --db-url.' : message;
}
