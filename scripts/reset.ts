import { rm } from 'node:fs/promises';
import { Command } from 'commander';
import pc from 'picocolors';
import { whoRuns } from './stack/installation.ts';
import { home } from './stack/paths.ts';
import { stopLeftoverPostgres } from './stack/postgres.ts';

const { start } = new Command('reset')
  .description('Deletes the data of this installation (database, files, mails, keys) and starts from empty.')
  .option('--no-start', 'only deletes')
  .parse()
  .opts<{ start: boolean }>();

const folder = home();
const runner = whoRuns(folder);
if (runner) {
  console.error(pc.red(`Vicinia is running at ${runner.url} (process ${runner.pid}): stop it first, with Ctrl-C there.`));
  process.exitCode = 1;
} else {
  await stopLeftoverPostgres(folder.postgres);
  await rm(folder.root, { recursive: true, force: true });
  console.log(`${pc.green('✔')} Deleted ${folder.root}`);
  if (start) await import('./start.ts');
}
