import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { migrate, seed } from '../../scripts/stack/migrations.ts';
import { projectRoot, scratchFolder } from '../../scripts/stack/paths.ts';
import { createDatabaseFromTemplate, startPostgres, throwawaySettings, withClient, type PostgresServer } from '../../scripts/stack/postgres.ts';
import { shapeCluster, shapeDatabase } from '../../scripts/stack/supabase-shape.ts';
import { templates } from './database.ts';
import { runStatements } from './pgtap-run.ts';

/** The files that prepare a database for the others, in order: what pg_prove runs first because of their names. */
export const helperFiles = ['000_helpers.sql', '001_catalog_rules.sql'];

/**
 * One PostgreSQL for the whole run, in a temporary folder, with three templates: the migrated database, the same seeded,
 * and that with pgTAP and the test helpers. Every test file copies the one it needs.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(scratchFolder(), 'vicinia-test-'));
  // PostgreSQL may run as another user (root may not run it), who has to be able to enter.
  chmodSync(folder, 0o755);
  let server: PostgresServer | undefined;
  const remove = () => rmSync(folder, { recursive: true, force: true });
  // However the run ends: what Ctrl-C leaves no time to stop ends with us, and what it leaves on the disk goes here.
  process.once('exit', remove);
  const teardown = async () => {
    if (server) {
      // At once: what an orderly shutdown would write down is thrown away below.
      process.kill(server.pid, 'SIGQUIT');
      await server.exited;
    }
    await rm(folder, { recursive: true, force: true });
    process.off('exit', remove);
  };
  try {
    server = await startPostgres({ dataDir: join(folder, 'postgres'), port: 0, settings: testSettings });
    await prepareTemplates(server);
  } catch (error) {
    await teardown();
    throw error;
  }
  const { port, pid, dataDir, passwords } = server;
  project.provide('postgres', { port, pid, dataDir, passwords });
  return teardown;
}

const testSettings = {
  ...throwawaySettings,
  autovacuum: 'off',
  max_connections: 300,
  // What a statement is refused for is what most tests ask; only the server itself has news.
  log_min_messages: 'log',
};

async function prepareTemplates(server: PostgresServer): Promise<void> {
  await shapeCluster(server);
  await withClient(server.url('postgres', 'supabase_admin'), async (admin) => {
    await admin.query(`create database ${templates.migrated} owner postgres`);
    await shapeDatabase(server, templates.migrated);
    await migrate(server.url(templates.migrated));
    await createDatabaseFromTemplate(server, templates.migrated, templates.seeded);
    await seed(server.url(templates.seeded));
    await createDatabaseFromTemplate(server, templates.seeded, templates.pgtap);
    await shapeDatabase(server, templates.pgtap, { pgtap: true });
    for (const name of helperFiles) {
      const file = join(projectRoot, 'tests/database', name);
      if (!existsSync(file)) continue;
      const { failure } = await runStatements(server.url(templates.pgtap), readFileSync(file, 'utf8'));
      if (failure) throw new Error(`${name}: ${failure}`);
    }
  });
}
