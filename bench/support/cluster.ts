import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrate } from '../../scripts/stack/migrations.ts';
import { createDatabaseFromTemplate, dropDatabase, startPostgres, withClient, type PostgresServer } from '../../scripts/stack/postgres.ts';
import { shapeCluster, shapeDatabase } from '../../scripts/stack/supabase-shape.ts';

/**
 * Settings of the cluster that is measured: a small server that keeps its data in memory and, like any server, writes its
 * log in earnest (fsync and full_page_writes on). Checkpoints and vacuum happen when a benchmark says so.
 */
export const settings = {
  shared_buffers: '1GB',
  maintenance_work_mem: '512MB',
  max_wal_size: '8GB',
  checkpoint_timeout: '1h',
  autovacuum: 'off',
  fsync: 'on',
  full_page_writes: 'on',
  wal_compression: 'off',
} as const;

/** How to connect to a database of the cluster, as whom. */
export type DatabaseUrls = { owner: string; superuser: string; authenticator: string };

/** A cluster of the benchmarks' own, with a template database on which all migrations are applied. */
export type BenchCluster = {
  server: PostgresServer;
  /** Runs `work` on a fresh database with all migrations, dropped afterwards. */
  withDatabase<T>(work: (urls: DatabaseUrls) => Promise<T>): Promise<T>;
  stop(): Promise<void>;
};

/** Starts the cluster in a temporary folder, which `stop` removes. */
export async function startBenchCluster(): Promise<BenchCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'vicinia-bench-'));
  const dataDir = join(folder, 'postgres');
  const server = await startPostgres({ dataDir, port: 0, settings });
  await shapeCluster(server);
  await withClient(server.url('postgres', 'supabase_admin'), (client) => client.query('create database vicinia owner postgres'));
  await shapeDatabase(server, 'vicinia');
  await migrate(server.url('vicinia'));
  let made = 0;
  return {
    server,
    async withDatabase(work) {
      const name = `bench_${(made += 1)}`;
      await createDatabaseFromTemplate(server, 'vicinia', name);
      try {
        return await work({ owner: server.url(name), superuser: server.url(name, 'supabase_admin'), authenticator: server.url(name, 'authenticator') });
      } finally {
        await dropDatabase(server, name);
      }
    },
    async stop() {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
