import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import type { DatabasePasswords } from '../../scripts/stack/keys.ts';
import { createDatabaseFromTemplate as copyDatabase, withClient, type PostgresServer } from '../../scripts/stack/postgres.ts';

declare module 'vitest' {
  // What the global setup hands to every test file.
  interface ProvidedContext {
    postgres: { port: number; pid: number; dataDir: string; passwords: DatabasePasswords };
  }
}

/** The databases that test files copy. */
export const templates = {
  /** Migrated, and otherwise empty. */
  migrated: 'vicinia_template_migrated',
  /** Migrated and seeded: what an app sees. */
  seeded: 'vicinia_template',
  /** The same with pgTAP and the helpers of `tests/database/000_helpers.sql`. */
  pgtap: 'vicinia_template_pgtap',
} as const;

export type Template = keyof typeof templates;

/** The PostgreSQL of this run, as a test file sees it: it can connect, it cannot stop it. */
export function testServer(): PostgresServer {
  const { port, pid, dataDir, passwords } = inject('postgres');
  return {
    port,
    pid,
    dataDir,
    passwords,
    url: (database = 'postgres', role = 'postgres') => {
      const password = role === 'postgres' || role === 'supabase_admin' ? passwords[role] : passwords.services;
      return `postgresql://${role}:${encodeURIComponent(password)}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
    },
    exited: new Promise(() => undefined),
    stop: async () => undefined,
  };
}

/** Makes an empty database, owned by role `postgres` as on Supabase, and returns its name. */
export function createEmptyDatabase(): Promise<string> {
  return createDatabase('template0');
}

/** Makes a database of its own for a test file (about 60 ms) and returns its name. It goes with the server. */
export function createDatabaseFromTemplate(template: Template = 'seeded'): Promise<string> {
  return createDatabase(templates[template]);
}

async function createDatabase(template: string): Promise<string> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await copyDatabase(testServer(), template, name);
  return name;
}

/** Rows as PostgreSQL returns them. */
export type Row = Record<string, unknown>;

/** Runs SQL on a database. */
export type Sql = <T extends Row = Row>(text: string, params?: unknown[]) => Promise<T[]>;

/** A pool of connections to a database, and the function that runs SQL on it. */
export function connect(url: string, most = 4): { sql: Sql; end(): Promise<void> } {
  const pool = new pg.Pool({ connectionString: url, max: most });
  // A connection that the server drops at the end of a test is nobody's failure.
  pool.on('error', () => undefined);
  return {
    sql: async <T extends Row = Row>(text: string, params: unknown[] = []) => (await pool.query<T>(text, params)).rows,
    end: () => pool.end(),
  };
}
