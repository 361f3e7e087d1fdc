import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { startProcess, type ManagedProcess } from './child-process.ts';
import type { StackKeys } from './keys.ts';
import { functionsDir, projectRoot } from './paths.ts';
import { freePort } from './ports.ts';
import type { SupabaseConfig } from './supabase-config.ts';

/** The edge functions of the project. */
export type FunctionsRuntime = {
  names(): string[];
  /** Whether a caller needs a valid JWT, as config.toml says. */
  verifiesJwt(name: string): boolean;
  /** Where a function listens; starts it if it is not running. */
  urlOf(name: string): Promise<string>;
  /** Ids of the processes that run now. */
  pids(): number[];
  stop(): Promise<void>;
};

type RunningFunction = { url: string; process: ManagedProcess; idle: NodeJS.Timeout };

const idleAfterMs = 5 * 60_000;

/**
 * Runs each folder of `functions/` that has an `index.ts` in a Deno process of its own, as Supabase isolates them: started
 * by the first request (a fifth of a second), ended after five idle minutes, with the network, its own environment and
 * the functions folder as its only permissions. Packages come from node_modules, in the versions that deno.json pins.
 */
export function createFunctionsRuntime(options: {
  keys: StackKeys;
  config: SupabaseConfig;
  /** The address of the stack. */
  url: string;
  /** Connects as role `postgres`. */
  databaseUrl: string;
  onLog: (line: string) => void;
}): FunctionsRuntime {
  const { keys, config, onLog } = options;
  const running = new Map<string, Promise<RunningFunction>>();
  const pids = new Set<number>();
  const environment = {
    SUPABASE_URL: options.url,
    SUPABASE_ANON_KEY: keys.anonJwt,
    SUPABASE_SERVICE_ROLE_KEY: keys.serviceRoleJwt,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishable }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secret }),
    SUPABASE_DB_URL: options.databaseUrl,
  };

  return {
    names: functionNames,
    verifiesJwt: (name) => config.functions[name]?.verify_jwt ?? true,
    async urlOf(name) {
      let starting = running.get(name);
      if (!starting) {
        starting = start(name);
        running.set(name, starting);
        starting.catch(() => running.delete(name));
      }
      const { url, idle } = await starting;
      idle.refresh();
      return url;
    },
    pids: () => [...pids],
    async stop() {
      const processes = await Promise.allSettled(running.values());
      await Promise.all(processes.map((result) => (result.status === 'fulfilled' ? end(result.value) : undefined)));
    },
  };

  async function start(name: string): Promise<RunningFunction> {
    const folder = join(functionsDir, name);
    const port = await freePort();
    const server = await startProcess({
      name: `function ${name}`,
      command: findDeno(),
      cwd: projectRoot,
      args: [
        ...['run', '--quiet', '--no-prompt'],
        ...['--allow-net', `--allow-env=${[...Object.keys(environment), 'DENO_*'].join(',')}`, `--allow-read=${functionsDir}`],
        join(folder, 'index.ts'),
      ],
      env: {
        ...environment,
        DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}`,
        DENO_NO_UPDATE_CHECK: '1',
        NO_COLOR: '1',
        PATH: process.env.PATH,
        HOME: process.env.HOME,
      },
      onLine: (line) => onLog(`${name}: ${line}`),
    });
    pids.add(server.pid);
    void server.exited.then(() => {
      pids.delete(server.pid);
      running.delete(name);
    });
    const url = `http://127.0.0.1:${port}`;
    await untilListening(url, server);
    const started: RunningFunction = { url, process: server, idle: setTimeout(() => void end(started), idleAfterMs) };
    started.idle.unref();
    return started;
  }

  async function end({ idle, process: server }: RunningFunction): Promise<void> {
    clearTimeout(idle);
    await server.stop(2000);
  }
}

/** The names of the functions in `functions/`. */
export function functionNames(): string[] {
  if (!existsSync(functionsDir)) return [];
  return readdirSync(functionsDir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(functionsDir, entry.name, 'index.ts')))
    .map((entry) => entry.name)
    .sort();
}

/** The Deno program that npm installed. */
export function findDeno(): string {
  const require = createRequire(import.meta.url);
  const folder = dirname(require.resolve('deno/package.json'));
  const platform = `${process.platform}-${process.arch}${process.platform === 'linux' ? '-glibc' : ''}`;
  const program = [join(folder, 'deno'), join(dirname(folder), '@deno', platform, 'deno')].find(existsSync);
  if (!program) throw new Error(`There is no Deno for ${process.platform} on ${process.arch}, which the edge functions need: run \`npm install\` without --omit=optional.`);
  return program;
}

async function untilListening(url: string, server: ManagedProcess): Promise<void> {
  for (const deadline = Date.now() + 20_000; ; await new Promise((resolve) => setTimeout(resolve, 25))) {
    try {
      await fetch(url, { method: 'OPTIONS' });
      return;
    } catch {
      if (!server.isRunning()) throw new Error(`The ${server.name} did not start; its log says why.`);
      if (Date.now() > deadline) {
        await server.stop();
        throw new Error(`The ${server.name} did not answer within 20 s.`);
      }
    }
  }
}
