import { accessSync, constants, existsSync, mkdirSync, statfsSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the repository. */
export const projectRoot = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** The folder with the migrations, `seed.sql` and `config.toml`. */
export const supabaseDir = join(projectRoot, 'supabase');

/** The folder with the edge functions, one folder each. */
export const functionsDir = join(projectRoot, 'functions');

/**
 * Where to make folders for databases that live as long as a process: in memory where Linux has room there, since a copy of
 * a database is a thousand files (0.06 s there, up to a second on a disk).
 */
export function scratchFolder(): string {
  const memory = '/dev/shm';
  const room = 3 * 1024 ** 3;
  try {
    accessSync(memory, constants.W_OK | constants.X_OK);
    const { bavail, bsize, type } = statfsSync(memory);
    const isInMemory = type === 0x01021994;
    return isInMemory && bavail * bsize > room && freemem() > room ? memory : tmpdir();
  } catch {
    return tmpdir();
  }
}

/** Ports of the local installation: Supabase's own unless the environment says otherwise. Read when asked, so that who asks can say what is wrong. */
export const ports = {
  get api() {
    return portFromEnvironment('VICINIA_PORT', 54321);
  },
  get database() {
    return portFromEnvironment('VICINIA_DB_PORT', 54322);
  },
};

/** The folders and files of one installation. */
export type Home = ReturnType<typeof homeAt>;

/**
 * The data folder of this installation: `.vicinia/` in the repository, or what `VICINIA_HOME` names.
 * Nothing is created by asking for it.
 */
export const home = (): Home => homeAt(resolve(process.env.VICINIA_HOME || join(projectRoot, '.vicinia')));

/** The layout of a data folder at `root`. */
export const homeAt = (root: string) => ({
  root,
  postgres: join(root, 'postgres'),
  storage: join(root, 'storage'),
  mails: join(root, 'mails'),
  logs: join(root, 'logs'),
  keys: join(root, 'keys.json'),
  lock: join(root, 'running.json'),
  /** Tells which shape (roles, schemas, Auth's and Storage's tables) the database has been given. */
  shape: join(root, 'shape'),
  /** Is there until the demo data is in. */
  unseeded: join(root, 'unseeded'),
  /** Whether an installation has been made here before. */
  exists: () => existsSync(join(root, 'postgres', 'PG_VERSION')),
  /** Makes the folders: PostgreSQL's user may pass through, and what others must not read is closed to them. */
  create: () => {
    mkdirSync(root, { recursive: true, mode: 0o755 });
    for (const folder of ['storage', 'mails', 'logs']) mkdirSync(join(root, folder), { recursive: true, mode: 0o700 });
  },
});

function portFromEnvironment(name: string, fallback: number): number {
  const text = process.env[name];
  if (text === undefined || text === '') return fallback;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new Error(`${name} is ${JSON.stringify(text)}, but a port is a whole number from 1 to 65535.`);
  }
  return port;
}
