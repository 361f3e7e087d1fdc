import pg from 'pg';
import { createAuth } from './auth/routes.ts';
import { createFunctionsRuntime } from './functions-runtime.ts';
import { createGateway, listen } from './gateway/gateway.ts';
import { startJobRunner } from './jobs.ts';
import type { StackKeys } from './keys.ts';
import { liteStorage } from './lite.ts';
import { createMailCatcher, type Mail, type MailCatcher } from './mail.ts';
import type { PostgresServer } from './postgres.ts';
import { startPostgrest } from './postgrest.ts';
import { storageRequests } from './storage/requests.ts';
import { readSupabaseConfig, type SupabaseConfig } from './supabase-config.ts';

export type StackOptions = {
  postgres: PostgresServer;
  /** A migrated database of that server. */
  database: string;
  /** Where everything is reached; 0 takes any free port. */
  port: number;
  keys: StackKeys;
  /** Serves the edge functions too. */
  functions?: boolean;
  /** With them functions that are not of the project: where the code of each begins. */
  moreFunctions?: Record<string, string>;
  /** Where the content of Storage's objects is kept. */
  storageDir: string;
  /** Where mails are kept; in memory alone when absent. */
  mailDir?: string;
  /** Runs scheduled jobs and the outbox. */
  jobs?: boolean;
  /** Rounds of bcrypt as a power of two; 10 as on Supabase, fewer where tests make many users. */
  passwordCost?: number;
  /** How many connections PostgREST keeps at most. */
  restConnections?: number;
  /** `supabase/config.toml` by default. */
  config?: SupabaseConfig;
  onLog?: (part: string, line: string) => void;
  onMail?: (mail: Mail) => void;
  onEvent?: (payload: string) => void;
};

/** A running stack: what an app sees of Supabase. */
export type Stack = {
  url: string;
  /** PostgREST itself, behind the gateway: takes JWTs, knows no API keys. */
  postgrestUrl: string;
  keys: StackKeys;
  /** Connects as role `postgres`. */
  databaseUrl: string;
  mails: MailCatcher;
  /** Ids of the processes that belong to the stack, PostgreSQL apart. */
  pids(): number[];
  /** Calls back with one sentence when a part ends by itself. */
  onFailure(callback: (reason: string) => void): void;
  stop(): Promise<void>;
};

/**
 * Starts everything in front of a database: PostgREST, Auth, Storage, the functions and the job runner, all under one
 * address. Used by `npm start` and by test files alike.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { postgres, database, keys } = options;
  const config = options.config ?? readSupabaseConfig();
  const server = await listen(options.port);
  const url = `http://127.0.0.1:${server.port}`;
  const databaseUrl = postgres.url(database);
  const logFrom = (part: string) => (line: string) => options.onLog?.(part, line);
  const failureCallbacks: ((reason: string) => void)[] = [];
  const closers: (() => Promise<void>)[] = [];
  let isStopping = false;

  const stop = async () => {
    isStopping = true;
    await server.close();
    for (const close of closers.splice(0).reverse()) await close();
  };

  try {
    const mails = createMailCatcher({
      ...(options.mailDir !== undefined && { directory: options.mailDir }),
      ...(options.onMail && { onMail: options.onMail }),
    });

    const auth = createAuth({
      databaseUrl: postgres.url(database, 'supabase_auth_admin'),
      url: `${url}/auth/v1`,
      keys,
      config,
      mails,
      passwordCost: options.passwordCost ?? 10,
      onLog: logFrom('auth'),
    });
    closers.push(() => auth.close());

    // PostgREST reads the schema for a while; Storage comes up meanwhile.
    const coming = startPostgrest({
      databaseUrl: postgres.url(database, 'authenticator'),
      keys,
      config,
      ...(options.restConnections !== undefined && { connections: options.restConnections }),
      onLog: logFrom('postgrest'),
    });
    coming.catch(() => undefined); // awaited below
    closers.push(() => coming.then(({ process }) => process.stop(), () => undefined));

    const storageUrl = postgres.url(database, 'supabase_storage_admin');
    const storage = await liteStorage({ databaseUrl: storageUrl, keys, config, directory: options.storageDir });
    const storagePool = new pg.Pool({ connectionString: storageUrl, max: 2, idleTimeoutMillis: 60_000 });
    storagePool.on('error', (error) => logFrom('storage')(error.message));
    closers.push(async () => void (await Promise.all([storage.close(), storagePool.end()])));

    const postgrest = await coming;

    const functions = options.functions
      ? createFunctionsRuntime({ keys, config, url, databaseUrl, onLog: logFrom('functions'), ...(options.moreFunctions && { more: options.moreFunctions }) })
      : undefined;
    if (functions) closers.push(() => functions.stop());

    server.serve(
      createGateway({
        keys,
        postgrestUrl: postgrest.url,
        auth,
        storage: storageRequests({ lite: storage, pool: storagePool, jwtSecret: keys.jwtSecret }),
        functions,
        mails,
        status: () => ({ pid: process.pid }),
        onLog: logFrom('gateway'),
      }),
    );

    if (options.jobs) {
      const jobs = await startJobRunner({
        databaseUrl,
        onLog: logFrom('jobs'),
        ...(options.onEvent && { onEvent: options.onEvent }),
      });
      closers.push(() => jobs.stop());
    }

    const watch = (name: string, exited: Promise<{ code: number | null; signal: string | null }>) =>
      void exited.then(({ code, signal }) => {
        if (isStopping) return;
        for (const callback of failureCallbacks) {
          callback(`${name} ended unexpectedly (${signal ? `signal ${signal}` : `exit code ${code}`}).`);
        }
      });
    watch('PostgreSQL', postgres.exited);
    watch('PostgREST', postgrest.process.exited);

    return {
      url,
      postgrestUrl: postgrest.url,
      keys,
      databaseUrl,
      mails,
      pids: () => [postgrest.process.pid, ...(functions?.pids() ?? [])],
      onFailure: (callback) => void failureCallbacks.push(callback),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
