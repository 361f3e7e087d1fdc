import { mkdtempSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createClient, type SupabaseClient } from '@supabase/supabase-js';
import WebSocket from 'ws';
import { testKeys } from '../../scripts/stack/keys.ts';
import { dropDatabase } from '../../scripts/stack/postgres.ts';
import { startStack, type Stack } from '../../scripts/stack/stack.ts';
import type { SupabaseConfig } from '../../scripts/stack/supabase-config.ts';
import { connect, createDatabaseFromTemplate, testServer, type Sql, type Template } from './database.ts';

/** What every user of `supabase/seed.sql` signs in with. */
export const demoPassword = 'vicinia-demo';

/** A user that a test made. */
export type TestUser = { id: string; email: string; password: string };

export type TestStackOptions = {
  /** Serves the edge functions too. */
  functions?: boolean;
  /** Runs scheduled jobs and the outbox. */
  jobs?: boolean;
  /** How many connections PostgREST keeps: each plans every statement once. */
  restConnections?: number;
  /** What the database is copied from; the migrated and seeded one by default. */
  template?: Template;
  /** What counts instead of `supabase/config.toml`. */
  config?: SupabaseConfig;
  /** Runs before anything looks at the database. */
  prepare?: (database: { databaseUrl: string; sql: Sql; adminSql: Sql }) => Promise<void>;
};

/** A stack with a database of its own, and what a test needs to look behind it. */
export type TestStack = Stack & {
  database: string;
  /** Connects as the superuser `supabase_admin`, whom no policy concerns. */
  adminUrl: string;
  /** Runs SQL as role `postgres`: as Studio, migrations and jobs do. */
  sql: Sql;
  /** Runs SQL as the superuser. */
  adminSql: Sql;
  /** A supabase-js client: of nobody, or signed in as a demo user or one that `createUser` made. */
  client(email?: string): Promise<SupabaseClient>;
  /** A supabase-js client of a device at a gate: nobody is signed in, and the device's key is in its header. */
  device(key: string): SupabaseClient;
  /** Makes a user through Auth's admin API. */
  createUser(user: { email: string; password?: string; confirmed?: boolean }): Promise<TestUser>;
};

type ClientOptions = NonNullable<Parameters<typeof createClient>[2]>;

// Node 20 has no WebSocket of its own, and ws describes its events in other types than the browser's.
const realtime = { transport: WebSocket } as unknown as NonNullable<ClientOptions['realtime']>;

/**
 * Starts everything an app sees of Supabase, in front of a fresh copy of the template database. `stop` it when the file's tests
 * are done.
 */
export async function startTestStack({ functions = false, jobs = false, template = 'seeded', restConnections, config, prepare }: TestStackOptions = {}): Promise<TestStack> {
  const postgres = testServer();
  const database = await createDatabaseFromTemplate(template);
  const databaseUrl = postgres.url(database);
  const adminUrl = postgres.url(database, 'supabase_admin');
  const owner = connect(databaseUrl);
  const admin = connect(adminUrl);
  await prepare?.({ databaseUrl, sql: owner.sql, adminSql: admin.sql });
  // Beside the database, with which it goes.
  const storageDir = mkdtempSync(join(dirname(postgres.dataDir), 'storage-'));
  const stack = await startStack({ postgres, database, port: 0, keys: testKeys(), functions, jobs, storageDir, passwordCost: 4, ...(config && { config }), ...(restConnections !== undefined && { restConnections }) });
  const passwords = new Map<string, string>();

  const newClient = (key: string, headers: Record<string, string> = {}) =>
    createClient(stack.url, key, {
      auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
      global: { headers },
      realtime,
    });
  const secretClient = newClient(stack.keys.secret);

  return {
    ...stack,
    database,
    adminUrl,
    sql: owner.sql,
    adminSql: admin.sql,
    async client(email) {
      const client = newClient(stack.keys.publishable);
      if (email !== undefined) {
        const { error } = await client.auth.signInWithPassword({ email, password: passwords.get(email) ?? demoPassword });
        if (error) throw new Error(`${email} could not sign in: ${error.message}`, { cause: error });
      }
      return client;
    },
    device: (key) => newClient(stack.keys.publishable, { 'x-device-key': key }),
    async createUser({ email, password = demoPassword, confirmed = true }) {
      const { data, error } = await secretClient.auth.admin.createUser({ email, password, email_confirm: confirmed });
      if (error) throw new Error(`${email} could not be made: ${error.message}`, { cause: error });
      passwords.set(email, password);
      return { id: data.user.id, email, password };
    },
    async stop() {
      await Promise.all([stack.stop(), owner.end(), admin.end()]);
      await dropDatabase(postgres, database);
    },
  };
}
