import { Command } from 'commander';
import pc from 'picocolors';
import { loadOrCreateKeys } from './stack/keys.ts';
import { migrate, seed } from './stack/migrations.ts';
import { home, ports } from './stack/paths.ts';

const options = new Command('migrate')
  .description('Applies the migrations that a database lacks: the running local one, or another.')
  .option('--db-url <url>', 'a connection string of role postgres')
  .option('--seed', 'also runs supabase/seed.sql, once per database')
  .parse()
  .opts<{ dbUrl?: string; seed?: boolean }>();

try {
  const databaseUrl = options.dbUrl ?? (await localDatabaseUrl());
  const { applied, already } = await migrate(databaseUrl, {
    onMigration: (file, milliseconds) => console.log(`${pc.green('✔')} ${file} ${pc.dim(`${Math.round(milliseconds)} ms`)}`),
  });
  if (applied.length === 0) console.log(`Up to date: ${already} migrations are applied.`);
  if (options.seed && (await seed(databaseUrl)) === 'seeded') console.log(`${pc.green('✔')} seed.sql`);
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException;
  console.error(
    pc.red(
      code === 'ECONNREFUSED' ? 'No database answers there. Start it with `npm start`, or name another with --db-url.' : message,
    ),
  );
  process.exitCode = 1;
}

async function localDatabaseUrl(): Promise<string> {
  const { root, exists } = home();
  if (!exists()) throw new Error('Nothing is installed here yet: `npm start` installs and migrates.');
  const { passwords } = await loadOrCreateKeys(root);
  return `postgresql://postgres:${encodeURIComponent(passwords.postgres)}@127.0.0.1:${ports.database}/postgres`;
}
