import { existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { type ManagedProcess, startProcess } from './child-process.ts';
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

type FunctionProcess = { url: string; process: ManagedProcess; startedAt: number };

const idleAfterMs = 5 * 60_000;

/**
 * Runs each folder of `functions/` that has an `index.ts` in a Deno process of its own, as Supabase isolates them: started
 * by the first request (a fifth of a second), again after its code has changed, and ended after five idle minutes, with the
 * network, its own environment (and PG*, which drivers look for) and the functions folder as its only permissions. Packages come from node_modules, in the
 * versions that deno.json pins.
 */
export function createFunctionsRuntime(options: {
  keys: StackKeys;
  config: SupabaseConfig;
  /** The address of the stack. */
  url: string;
  /** Connects as role `postgres`. */
  databaseUrl: string;
  /** Functions besides those of the project: where the code of each begins. */
  more?: Record<string, string>;
  onLog: (line: string) => void;
}): FunctionsRuntime {
  const { keys, config, onLog, more = {} } = options;
  const functions = new Map<string, EdgeFunction>();
  const environment = {
    SUPABASE_URL: options.url,
    SUPABASE_ANON_KEY: keys.anonJwt,
    SUPABASE_SERVICE_ROLE_KEY: keys.serviceRoleJwt,
    SUPABASE_PUBLISHABLE_KEYS: JSON.stringify({ default: keys.publishable }),
    SUPABASE_SECRET_KEYS: JSON.stringify({ default: keys.secret }),
    SUPABASE_DB_URL: options.databaseUrl,
  };

  return {
    names: () => [...functionNames(), ...Object.keys(more)],
    verifiesJwt: (name) => config.functions[name]?.verify_jwt ?? true,
    urlOf(name) {
      const known = functions.get(name) ?? edgeFunction(() => launch(name), () => lastChangeOf(name));
      functions.set(name, known);
      return known.url();
    },
    pids: () => [...functions.values()].flatMap((known) => known.pid() ?? []),
    stop: async () => void (await Promise.all([...functions.values()].map((known) => known.stop()))),
  };

  async function launch(name: string): Promise<FunctionProcess> {
    const startedAt = Date.now();
    const folder = join(functionsDir, name);
    const port = await freePort();
    const server = await startProcess({
      name: `function ${name}`,
      command: findDeno(),
      cwd: projectRoot,
      args: [
        ...['run', '--quiet', '--no-prompt'],
        ...['--allow-net', `--allow-env=${[...Object.keys(environment), 'DENO_*', 'PG*'].join(',')}`, `--allow-read=${functionsDir}`],
        more[name] ?? join(folder, 'index.ts'),
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
    const url = `http://127.0.0.1:${port}`;
    await untilListening(url, server);
    return { url, process: server, startedAt };
  }
}

type EdgeFunction = { url(): Promise<string>; pid(): number | undefined; stop(): Promise<void> };

/** One function: at most one process at a time, however many ask for it at once. */
function edgeFunction(launch: () => Promise<FunctionProcess>, lastChange: () => number): EdgeFunction {
  let running: FunctionProcess | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  let idle: NodeJS.Timeout | undefined;

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = turn.then(work);
    turn = result.catch(() => undefined);
    return result;
  };
  const halt = async () => {
    clearTimeout(idle);
    await running?.process.stop(2000);
    running = undefined;
  };

  return {
    url: () =>
      inTurn(async () => {
        if (running && (!running.process.isRunning() || running.startedAt < lastChange())) await halt();
        running ??= await launch();
        clearTimeout(idle);
        idle = setTimeout(() => void inTurn(halt), idleAfterMs).unref();
        return running.url;
      }),
    pid: () => (running?.process.isRunning() ? running.process.pid : undefined),
    stop: () => inTurn(halt),
  };
}

/** The names of the functions in `functions/`. */
export function functionNames(): string[] {
  if (!existsSync(functionsDir)) return [];
  return readdirSync(functionsDir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(functionsDir, entry.name, 'index.ts')))
    .map((entry) => entry.name)
    .sort();
}

/** When a file of a function, or of what functions share, was last written. */
export function lastChangeOf(name: string, all = functionsDir): number {
  const files = [join(all, name), join(all, '_shared')].flatMap((folder) =>
    existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file)) : []
  );
  return Math.max(0, ...files.map((file) => statSync(file).mtimeMs));
}

/** The Deno program that npm installed. */
export function findDeno(): string {
  const require = createRequire(import.meta.url);
  const folder = dirname(require.resolve('deno/package.json'));
  const platform = `${process.platform}-${process.arch}${process.platform === 'linux' ? '-glibc' : ''}`;
  const program = [join(folder, 'deno'), join(dirname(folder), '@deno', platform, 'deno')].find(existsSync);
  if (!program) {
    throw new Error(
      `There is no Deno for ${process.platform} on ${process.arch}, which the edge functions need: run \`npm install\` without --omit=optional.`,
    );
  }
  return program;
}

async function untilListening(url: string, server: ManagedProcess): Promise<void> {
  for (const deadline = Date.now() + 60_000;; await new Promise((resolve) => setTimeout(resolve, 25))) {
    try {
      await fetch(url, { method: 'OPTIONS' });
      return;
    } catch {
      if (!server.isRunning()) throw new Error(`The ${server.name} did not start; its log says why.`);
      if (Date.now() > deadline) {
        await server.stop();
        throw new Error(`The ${server.name} did not answer within a minute.`);
      }
    }
  }
}
