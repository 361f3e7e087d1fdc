import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { supabaseDir } from './paths.ts';
import { withClient } from './postgres.ts';
import { splitStatements } from './sql-statements.ts';

export type MigrateOptions = {
  /** Where the files are; `supabase/migrations` by default. */
  directory?: string;
  /** Called when a file has been applied, with its name and how long it took. */
  onMigration?: (file: string, milliseconds: number) => void;
};

export type MigrateResult = {
  /** Names of the files applied by this call. */
  applied: string[];
  /** How many had been applied before. */
  already: number;
};

type MigrationFile = { file: string; version: string; name: string; sql: string };

// Any number will do, as long as every installer of this project asks for the same one.
const installLock = 7_166_142;

const historyTable = `
  create schema if not exists supabase_migrations;
  create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
  alter table supabase_migrations.schema_migrations add column if not exists statements text[];
  alter table supabase_migrations.schema_migrations add column if not exists name text;
  create table if not exists supabase_migrations.seed_files (path text not null primary key, hash text not null)`;

/**
 * Applies the migrations that a database lacks, each in its own transaction, with the search path that `supabase db
 * push` uses, and records them in the Supabase CLI's history so that either can go on where the other stopped. Whoever
 * comes while another installs waits. A second run changes nothing.
 *
 * @param databaseUrl connects as role `postgres`
 * @throws {Error} naming file, line and reason when a statement fails; when an applied file was changed or removed; when
 *   a new file is older than the newest applied one
 */
export async function migrate(databaseUrl: string, options: MigrateOptions = {}): Promise<MigrateResult> {
  const files = readMigrations(options.directory ?? join(supabaseDir, 'migrations'));
  return withInstallLock(databaseUrl, async (client) => {
    const { rows } = await client.query<{ version: string; statements: string[] | null }>(
      'select version, statements from supabase_migrations.schema_migrations order by version',
    );
    const history = new Map(rows.map((row) => [row.version, row.statements]));
    checkHistory(files, history);
    const pending = files.filter((migration) => !history.has(migration.version));
    for (const migration of pending) {
      const startedAt = performance.now();
      await apply(client, migration);
      options.onMigration?.(migration.file, performance.now() - startedAt);
    }
    return { applied: pending.map((migration) => migration.file), already: history.size };
  });
}

/**
 * Runs `supabase/seed.sql` once per database, in one transaction, and records it as the CLI does.
 *
 * @returns whether it was run now, had been before, or does not exist
 */
export async function seed(databaseUrl: string, file = join(supabaseDir, 'seed.sql')): Promise<'seeded' | 'already' | 'none'> {
  if (!existsSync(file)) return 'none';
  const sql = readFileSync(file, 'utf8');
  const path = 'supabase/seed.sql';
  return withInstallLock(databaseUrl, async (client) => {
    const { rowCount } = await client.query('select from supabase_migrations.seed_files where path = $1', [path]);
    if (rowCount) return 'already';
    await inTransaction(client, async () => {
      await runScript(client, 'seed.sql', sql);
      const hash = createHash('sha256').update(sql).digest('hex');
      await client.query('insert into supabase_migrations.seed_files (path, hash) values ($1, $2)', [path, hash]);
    });
    return 'seeded';
  });
}

function readMigrations(directory: string): MigrationFile[] {
  const files = existsSync(directory) ? readdirSync(directory).filter((file) => file.endsWith('.sql')).sort() : [];
  const migrations = files.map((file) => {
    const [, version, name] = /^(\d{14})_(.+)\.sql$/.exec(file) ?? [];
    if (!version || !name) throw new Error(`${file} is not named like a migration: YYYYMMDDHHMMSS_topic.sql.`);
    return { file, version, name, sql: readFileSync(join(directory, file), 'utf8') };
  });
  migrations.forEach(({ version, file }, index) => {
    const next = migrations[index + 1];
    if (next?.version === version) throw new Error(`${file} and ${next.file} have the same version.`);
  });
  return migrations;
}

function checkHistory(files: MigrationFile[], history: Map<string, string[] | null>): void {
  const known = new Set(files.map((migration) => migration.version));
  const foreign = [...history.keys()].filter((version) => !known.has(version));
  if (foreign.length > 0) {
    throw new Error(
      `The database has migrations that are not in the migrations folder (${
        foreign.join(', ')
      }): it was made by another version of the project, or they were renamed. \`npm run reset\` starts from empty.`,
    );
  }
  for (const { file, version, sql } of files) {
    const recorded = history.get(version);
    if (recorded && essence(recorded) !== essence([sql])) {
      throw new Error(
        `${file} was changed after it had been applied: \`npm run reset\` starts from empty; a database that must live on gets a new migration instead.`,
      );
    }
  }
  const newest = [...history.keys()].at(-1) ?? '';
  const late = files.find(({ version }) => !history.has(version) && version < newest);
  if (late) {
    throw new Error(
      `${late.file} is older than ${newest}, which has been applied already: give it a later version, or start from empty with \`npm run reset\`.`,
    );
  }
}

/** What must not change about a script: everything but blanks and the semicolons at which it was split. */
function essence(statements: string[]): string {
  return statements.join('').replace(/[\s;]+/g, '');
}

async function apply(client: pg.Client, { file, version, name, sql }: MigrationFile): Promise<void> {
  await inTransaction(client, async () => {
    const done = runScript(client, file, sql);
    // While the database works.
    const statements = splitStatements(sql);
    await done;
    await client.query('insert into supabase_migrations.schema_migrations (version, name, statements) values ($1, $2, $3)', [version, name, statements]);
  });
}

async function withInstallLock<T>(databaseUrl: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  return withClient(databaseUrl, async (client) => {
    await client.query('select pg_advisory_lock($1)', [installLock]);
    await client.query(`set client_min_messages = warning; ${historyTable}`);
    return work(client);
  });
}

async function inTransaction(client: pg.Client, work: () => Promise<void>): Promise<void> {
  await client.query(`reset all; set search_path = "$user", public; begin`);
  try {
    await work();
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
}

/** Runs a script, and turns an error into one that says where in the file it arose. */
async function runScript(client: pg.Client, file: string, sql: string): Promise<void> {
  try {
    await client.query(sql);
  } catch (error) {
    if (error instanceof pg.DatabaseError) throw new Error(describe(error, file, sql), { cause: error });
    throw error;
  }
}

function describe(error: pg.DatabaseError, file: string, sql: string): string {
  const line = error.position ? [...sql].slice(0, Number(error.position) - 1).join('').split('\n').length : undefined;
  return [
    `${file}${line ? `:${line}` : ''}: ${error.message} (${error.code})`,
    line && `  ${sql.split('\n')[line - 1]?.trim()}`,
    error.detail && `  detail: ${error.detail}`,
    error.hint && `  hint: ${error.hint}`,
    error.internalQuery && `  in: ${error.internalQuery}`,
    error.where && `  where: ${error.where.split('\n').join('\n         ')}`,
  ]
    .filter(Boolean)
    .join('\n');
}
