import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrate } from './migrations.ts';
import { startPostgres, throwawaySettings } from './postgres.ts';
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
      return await work(server.url());
    } finally {
      await server.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
