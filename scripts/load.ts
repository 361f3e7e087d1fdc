import { Command, InvalidArgumentError } from 'commander';
import { Listr } from 'listr2';
import pc from 'picocolors';
import { bar } from './import/progress.ts';
import { loadCommunities, type LoadResult } from './load/load.ts';
import { databaseProblem, localDatabaseUrl } from './stack/local-database.ts';

const numberUpTo = (most: number) => (text: string): number => {
  if (!/^[0-9]+$/.test(text) || Number(text) < 1 || Number(text) > most) {
    throw new InvalidArgumentError(`It is a number from 1 to ${most.toLocaleString('en')}.`);
  }
  return Number(text);
};

const { communities, units, seed, password, dbUrl } = new Command('load')
  .description('Fills the running local database, or another, with synthetic communities for benchmarks and demos.')
  .option('--communities <number>', 'how many communities', numberUpTo(10_000), 10)
  .option('--units <number>', 'how many units each has', numberUpTo(10_000), 200)
  .option('--seed <number>', 'the same seed makes the same communities, another makes others beside them', numberUpTo(1_000_000), 1)
  .option('--password <password>', 'lets the users that are made sign in with it; without, nobody signs in as one')
  .option('--db-url <url>', 'a connection string of role postgres')
  .parse()
  .opts<{ communities: number; units: number; seed: number; password?: string; dbUrl?: string }>();

try {
  const databaseUrl = dbUrl ?? localDatabaseUrl();
  let result: LoadResult | undefined;
  await new Listr([
    {
      title: `Loading ${communities.toLocaleString('en')} communities of ${units.toLocaleString('en')} units, seed ${seed}`,
      task: async (_, task) => {
        result = await loadCommunities(databaseUrl, {
          communities,
          units,
          seed,
          ...(password !== undefined && { password }),
          // What moves is for people: a log keeps what was done.
          onProgress: (done) => process.stdout.isTTY && (task.output = bar(done / communities)),
        });
        if (result.outcome === 'already') task.skip(`Seed ${seed} is loaded already`);
      },
    },
  ], { rendererOptions: { showErrorMessage: false } }).run();
  console.log(describe(result as LoadResult));
} catch (error) {
  console.error(pc.red(databaseProblem(error)));
  process.exitCode = 1;
}

function describe({ outcome, counts, milliseconds }: LoadResult): string {
  const number = (value: number) => Math.round(value).toLocaleString('en');
  const lines = Object.entries(counts).map(([name, count]) => `  ${name.padEnd(15)}${number(count).padStart(11)}`);
  if (outcome === 'already') {
    return ['', ...lines, '', `Seed ${seed} is loaded already: nothing was changed. Another --seed makes others.`].join('\n');
  }
  const rows = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const seconds = milliseconds / 1000;
  return ['', ...lines, '', pc.green(`${number(rows)} rows in ${seconds.toFixed(1)} s: ${number(rows / seconds)} rows a second.`)].join('\n');
}
