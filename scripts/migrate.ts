import { Command } from 'commander';
import pc from 'picocolors';
import { databaseProblem, localDatabaseUrl } from './stack/local-database.ts';
import { migrate, seed } from './stack/migrations.ts';

const options = new Command('migrate')
  .description('Applies the migrations that a database lacks: the running local one, or another.')
  .option('--db-url <url>', 'a connection string of role postgres')
  .option('--seed', 'also runs supabase/seed.sql, once per database')
  .parse()
  .opts<{ dbUrl?: string; seed?: boolean }>();

try {
  const databaseUrl = options.dbUrl ?? localDatabaseUrl();
  const { applied, already } = await migrate(databaseUrl, {
    onMigration: (file, milliseconds) => console.log(`${pc.green('✔')} ${file} ${pc.dim(`${Math.round(milliseconds)} ms`)}`),
  });
  if (applied.length === 0) console.log(`Up to date: ${already} migrations are applied.`);
  if (options.seed && (await seed(databaseUrl)) === 'seeded') console.log(`${pc.green('✔')} seed.sql`);
} catch (error) {
  console.error(pc.red(databaseProblem(error)));
  process.exitCode = 1;
}
