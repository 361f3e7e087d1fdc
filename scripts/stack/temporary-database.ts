import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrate } from './migrations.ts';
import { startPostgres, throwawaySettings, withClient } from './postgres.ts';
import { shapeCluster, shapeDatabase } from './supabase-shape.ts';

/** Runs `work` on a migrated database without data, in a PostgreSQL that is made for it (a second) and deleted after. */
export async function withTemporaryDatabase<T>(work: (databaseUrl: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'vicinia-'));
  // The account that runs PostgreSQL in place of root has to be able to enter.
  chmodSync(folder, 0o755);
  try {
    const server = await startPostgres({ dataDir: join(folder, 'postgres'), port: 0, settings: throwawaySettings });
    try {
      await shapeCluster(server);
      await shapeDatabase(server);
      await migrate(server.url());
      const result = await work(server.url());
      await untilAlone(server.url());
      return result;
    } finally {
      await server.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A pool says that it has ended while its connections still do; a server that stops meanwhile would break them. */
async function untilAlone(databaseUrl: string): Promise<void> {
  await withClient(databaseUrl, async (client) => {
    const others = `select from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()`;
    while ((await client.query(others)).rowCount) await new Promise(setImmediate);
  });
}
