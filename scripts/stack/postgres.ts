import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { type Exit, startProcess } from './child-process.ts';
import { type DatabasePasswords, testKeys } from './keys.ts';
import { freePort } from './ports.ts';
import { type Account, postgresAccount, postgresHome } from './postgres-binaries.ts';
import { commandOf, processesWorkingIn } from './process-table.ts';

/** A role that may log in. */
export type LoginRole = 'postgres' | 'supabase_admin' | 'authenticator' | 'supabase_auth_admin' | 'supabase_storage_admin';

/** A running PostgreSQL. */
export type PostgresServer = {
  port: number;
  pid: number;
  dataDir: string;
  passwords: DatabasePasswords;
  /** The connection string for a database and a role; by default database and role `postgres`. */
  url(database?: string, role?: LoginRole): string;
  /** Resolves when the server has ended, for whatever reason. */
  exited: Promise<Exit>;
  stop(): Promise<void>;
};

export type PostgresOptions = {
  dataDir: string;
  /** 0 takes any free port. */
  port: number;
  /** Server parameters on top of ours. */
  settings?: Record<string, string | number>;
  /** Passwords of the roles that log in; those of the tests by default. */
  passwords?: DatabasePasswords;
  onLog?: (line: string) => void;
};

/** Settings for a server whose data nobody will miss: several times faster to create and migrate databases on. */
export const throwawaySettings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' } as const;

const modestSettings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  lc_messages: 'C',
  shared_buffers: '32MB',
  max_connections: 100,
  max_wal_size: '256MB',
  shared_preload_libraries: 'pg_stat_statements',
  logging_collector: 'off',
  log_line_prefix: '%m [%p] %q%u@%d ',
};

/**
 * Starts PostgreSQL 17 on a data folder, which is created on first use: UTF-8 and the ICU collation that Supabase has,
 * passwords required, `supabase_admin` as superuser.
 *
 * @throws in one sentence when the port is taken, the folder is in use, or the server will not start
 */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const { dataDir, onLog, passwords = testKeys().passwords } = options;
  const native = postgresHome();
  mkdirSync(dirname(dataDir), { recursive: true });
  const account = postgresAccount([join(native, 'bin'), dirname(dataDir)]);
  if (!existsSync(join(dataDir, 'PG_VERSION'))) await createCluster(native, dataDir, account, passwords.supabase_admin);
  else checkVersion(native, dataDir);
  disownLeftoverPid(dataDir);

  const port = options.port === 0 ? await freePort() : options.port;
  const settings = { ...modestSettings, ...options.settings, port };
  const program = account.wrap(join(native, 'bin/postgres'), [
    '-D',
    dataDir,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]);

  // Processes of a server that was killed, at work on a statement, notice a moment later.
  for (const deadline = Date.now() + 15_000;; await new Promise((resolve) => setTimeout(resolve, 200))) {
    try {
      return await launch();
    } catch (error) {
      if (!(error instanceof StillEnding) || Date.now() > deadline) throw error;
    }
  }

  async function launch(): Promise<PostgresServer> {
    const recentLines: string[] = [];
    let announceReady = () => {};
    const ready = new Promise<void>((resolve) => (announceReady = resolve));
    const server = await startProcess({
      name: 'PostgreSQL',
      ...program,
      ...account.identity,
      cwd: '/',
      stopSignal: 'SIGINT',
      onLine: (line) => {
        recentLines.push(line);
        if (recentLines.length > 40) recentLines.shift();
        if (line.includes('ready to accept connections')) announceReady();
        onLog?.(line);
      },
    });
    const ended = server.exited.then(() => {
      throw startFailure(port, dataDir, recentLines);
    });
    await Promise.race([ready, ended]);
    ended.catch(() => undefined);

    return {
      port,
      pid: server.pid,
      dataDir,
      passwords,
      url: (database = 'postgres', role = 'postgres') => {
        const password = role === 'postgres' || role === 'supabase_admin' ? passwords[role] : passwords.services;
        return `postgresql://${role}:${encodeURIComponent(password)}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
      },
      exited: server.exited,
      stop: () => server.stop(),
    };
  }
}

class StillEnding extends Error {}

/** Runs `work` on a connection of its own, closed afterwards. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  // Whoever asks something of a connection that is lost is told so by the answer.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Makes database `name` as a copy of `template`, to which nobody may be connected. Takes 60 ms where the data is in memory. */
export async function createDatabaseFromTemplate(server: PostgresServer, template: string, name: string): Promise<void> {
  await withClient(server.url('postgres', 'supabase_admin'), async (client) => {
    await client.query(
      `create database ${pg.escapeIdentifier(name)} template ${pg.escapeIdentifier(template)} owner postgres strategy file_copy`,
    );
  });
}

/** Drops database `name`, ending whatever is still connected to it. */
export async function dropDatabase(server: PostgresServer, name: string): Promise<void> {
  await withClient(server.url('postgres', 'supabase_admin'), async (client) => {
    await client.query(`drop database if exists ${pg.escapeIdentifier(name)} with (force)`);
  });
}

/**
 * Ends a PostgreSQL that was left running on `dataDir` when its parent was killed, and what it left at work when it was killed itself.
 *
 * @returns whether there was one
 */
export async function stopLeftoverPostgres(dataDir: string): Promise<boolean> {
  const pidFile = join(dataDir, 'postmaster.pid');
  if (!existsSync(pidFile)) return false;
  const pid = Number(readFileSync(pidFile, 'utf8').split('\n')[0]);
  const isOurs = () => commandOf(pid).includes(dataDir);
  if (!isOurs()) {
    // They end by themselves after their statement, which may take long; as at a pg_terminate_backend, they end in order.
    const orphans = processesWorkingIn(dataDir).filter((orphan) => commandOf(orphan).startsWith('postgres:'));
    for (const orphan of orphans) {
      try {
        process.kill(orphan, 'SIGTERM');
      } catch {
        // it has just ended
      }
    }
    return orphans.length > 0;
  }
  process.kill(pid, 'SIGINT');
  for (const deadline = Date.now() + 15_000; isOurs(); await new Promise((resolve) => setTimeout(resolve, 50))) {
    if (Date.now() > deadline) {
      throw new Error(`A PostgreSQL of an earlier run (process ${pid}) does not end: stop it with \`kill ${pid}\`.`);
    }
  }
  return true;
}

/**
 * Makes the note about its process that a killed server left behind harmless. PostgreSQL takes it for a server as long as any process of
 * ours has that id, be it given to another program since or a zombie; the id of its own parent it knows for stale. What else the note says
 * stays: by it PostgreSQL finds processes of the killed server that still hold the data.
 */
function disownLeftoverPid(dataDir: string): void {
  const pidFile = join(dataDir, 'postmaster.pid');
  if (!existsSync(pidFile)) return;
  const [pid = '', ...rest] = readFileSync(pidFile, 'utf8').split('\n');
  if (commandOf(Number(pid)).includes(dataDir)) return;
  // Begun and not finished, when the disk was full: it says nothing.
  if (!/^[1-9][0-9]*$/.test(pid)) rmSync(pidFile);
  else writeFileSync(pidFile, [String(process.pid), ...rest].join('\n'));
}

/** Makes the data folder, whole or not at all: an interrupted attempt leaves nothing that looks like one. */
async function createCluster(native: string, dataDir: string, account: Account, password: string): Promise<void> {
  const draft = `${dataDir}.new`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true, mode: 0o700 });
  const secrets = mkdtempSync(join(tmpdir(), 'vicinia-'));
  const passwordFile = join(secrets, 'password');
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  const { owner } = account;
  if (owner) {
    for (const path of [draft, secrets, passwordFile]) chownSync(path, owner.uid, owner.gid);
  }
  try {
    // Character classes of the operating system's locale decide what trigram search takes for a letter.
    const characterTypes = process.platform === 'darwin' ? ['en_US.UTF-8', 'C'] : ['C.UTF-8', 'en_US.UTF-8', 'C'];
    for (const [attempt, characterType] of characterTypes.entries()) {
      const { command, args } = account.wrap(join(native, 'bin/initdb'), [
        ...['-D', draft, '-U', 'supabase_admin', '--pwfile', passwordFile, '--auth', 'scram-sha-256', '--encoding', 'UTF8'],
        ...['--locale-provider', 'icu', '--icu-locale', 'en-US', '--locale', 'C', '--lc-ctype', characterType],
        ...['--no-sync', '--no-instructions'],
      ]);
      const lines: string[] = [];
      const { exited } = await startProcess({ name: 'initdb', command, args, ...account.identity, cwd: '/', onLine: (line) => lines.push(line) });
      if ((await exited).code === 0) {
        rmSync(dataDir, { recursive: true, force: true });
        return renameSync(draft, dataDir);
      }
      const isLast = attempt === characterTypes.length - 1;
      if (isLast || !lines.some((line) => /invalid locale/.test(line))) {
        throw new Error(`PostgreSQL could not create its data folder ${dataDir}:\n${lines.join('\n')}`);
      }
    }
  } finally {
    rmSync(secrets, { recursive: true, force: true });
  }
}

function checkVersion(native: string, dataDir: string): void {
  const onDisk = readFileSync(join(dataDir, 'PG_VERSION'), 'utf8').trim();
  const program = spawnSync(join(native, 'bin/postgres'), ['--version'], { encoding: 'utf8', cwd: '/' }).stdout ?? '';
  if (program && !program.includes(` ${onDisk}.`)) {
    throw new Error(
      `The data in ${dataDir} was made by PostgreSQL ${onDisk}, but this is ${program.trim()}: start from empty with \`npm run reset\`.`,
    );
  }
}

function startFailure(port: number, dataDir: string, lines: string[]): Error {
  const log = lines.join('\n');
  if (/Address already in use|could not bind/.test(log)) {
    return new Error(`Port ${port} is already taken by another program: free it, or choose another with VICINIA_DB_PORT.`);
  }
  if (/pre-existing shared memory block/.test(log)) {
    return new StillEnding(`Processes of an earlier PostgreSQL on ${dataDir} have not ended yet: try again in a moment.`);
  }
  if (/No space left on device/.test(log)) return new Error(`PostgreSQL did not start, because the disk of ${dataDir} is full.`);
  if (/lock file "postmaster.pid" already exists/.test(log)) return new Error(`Another PostgreSQL is using ${dataDir}.`);
  return new Error(`PostgreSQL did not start:\n${log}`);
}
