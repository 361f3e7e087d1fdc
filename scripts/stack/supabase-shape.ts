import { readFileSync } from 'node:fs';
import pg from 'pg';
import { type PostgresServer, withClient } from './postgres.ts';
import { installPgtap } from './postgres-binaries.ts';

/** What a Supabase project does with tables that migrations create, by its age. */
export type DefaultPrivileges =
  /** Projects from before 2026-10-30: everything in `public` is granted to the API roles. */
  | 'open'
  /** Newer projects: no reading or writing, but TRUNCATE, REFERENCES, TRIGGER and MAINTAIN still are. */
  | 'closed';

export type ShapeOptions = {
  defaultPrivileges?: DefaultPrivileges;
  /** Also installs pgTAP in schema `extensions`. */
  pgtap?: boolean;
};

/** Creates the roles of a Supabase project and sets their passwords. Running it again changes nothing. */
export async function shapeCluster(server: PostgresServer): Promise<void> {
  const { passwords } = server;
  const loginPasswords = {
    postgres: passwords.postgres,
    authenticator: passwords.services,
    supabase_auth_admin: passwords.services,
    supabase_storage_admin: passwords.services,
  };
  await withClient(server.url('postgres', 'supabase_admin'), async (client) => {
    await client.query(sqlFile('cluster.sql'));
    for (const [role, password] of Object.entries(loginPasswords)) {
      await client.query(`alter role ${role} password ${pg.escapeLiteral(password)}`);
    }
  });
}

/**
 * Gives a database what a Supabase project has before its first migration: schemas, extensions, Auth's and Storage's
 * tables, and the rights of role `postgres`, which is not a superuser. Running it again changes nothing.
 */
export async function shapeDatabase(server: PostgresServer, database = 'postgres', options: ShapeOptions = {}): Promise<void> {
  // Late, since it takes half a second to load, and few starts come here.
  const { getAuthSchemaSql, getStorageSchemaSql } = await import('@supabase/lite');
  if (options.pgtap) await installPgtap();
  await withClient(server.url(database, 'supabase_admin'), async (client) => {
    await client.query('begin');
    await client.query('set local client_min_messages = warning');
    await client.query(sqlFile('database.sql'));
    await client.query(
      `set local role supabase_auth_admin; ${withoutSchema(getAuthSchemaSql())}; ${sqlFile('auth.sql')}; reset role`,
    );
    await client.query(
      `set local role supabase_storage_admin; ${withoutSchema(getStorageSchemaSql())}; ${sqlFile('storage.sql')}; reset role`,
    );
    await client.query(sqlFile('ownership.sql'));
    await client.query(defaultPrivilegesSql(options.defaultPrivileges ?? 'closed'));
    if (options.pgtap) await client.query('create extension if not exists pgtap with schema extensions');
    await client.query('commit');
  });
}

function defaultPrivilegesSql(kind: DefaultPrivileges): string {
  const apiRoles = 'anon, authenticated, service_role';
  return ['postgres', 'supabase_admin']
    .flatMap((owner) => {
      const of = `alter default privileges for role ${owner} in schema public`;
      return kind === 'open'
        ? ['tables', 'sequences', 'functions'].map((objects) => `${of} grant all on ${objects} to postgres, ${apiRoles}`)
        : [`${of} grant truncate, references, trigger, maintain on tables to ${apiRoles}`];
    })
    .join(';\n');
}

/** The statements without `create schema`, for which the service roles lack the right; the schemas are there already. */
function withoutSchema(sql: string): string {
  return sql.replace(/create schema if not exists \w+;/gi, '');
}

function sqlFile(name: string): string {
  return readFileSync(new URL(`./sql/${name}`, import.meta.url), 'utf8');
}
