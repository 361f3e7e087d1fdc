import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Argument, Command } from 'commander';
import pc from 'picocolors';
import { generateDocs } from './docs/generate.ts';
import { databaseProblem, localDatabaseUrl } from './stack/local-database.ts';
import { projectRoot } from './stack/paths.ts';
import { withTemporaryDatabase } from './stack/temporary-database.ts';
import { generateTypes } from './types/generate.ts';

/** What is generated: a folder that holds nothing else, and what makes the contents of its files, by name, out of a database. */
const generators: Record<string, { folder: string; generate: (databaseUrl: string) => Promise<Record<string, string>> }> = {
  types: { folder: 'types', generate: generateTypes },
  docs: { folder: 'docs/schema', generate: generateDocs },
};

const command = new Command('generate')
  .description('Writes types/ and docs/schema/ from the migrations, on one temporary database.')
  .addArgument(new Argument('[what...]', 'types (Kysely and supabase-js), docs (reference and diagrams)').choices(Object.keys(generators)).default(Object.keys(generators), 'both'))
  .option('--local', 'reads the database of `npm start` instead')
  .option('--db-url <url>', 'reads another database instead, as role postgres')
  .option('--check', 'writes nothing, and ends with 1 when the files differ')
  .parse();
const options = command.opts<{ local?: boolean; dbUrl?: string; check?: boolean }>();

try {
  const asked = [...new Set(command.processedArgs[0] as string[])];
  const stale = await withChosenDatabase(async (databaseUrl) => {
    const found: StaleFile[] = [];
    for (const what of asked) found.push(...(await staleFiles(what, databaseUrl)));
    return found;
  });
  const names = asked.join(' and ');
  if (options.check) {
    for (const { path, what } of stale) console.error(pc.red(`${path} does not match the migrations: run \`npm run ${what}\`.`));
    if (stale.length > 0) process.exitCode = 1;
    else console.log(`Of ${names}, all files match the migrations.`);
  } else {
    for (const file of stale) {
      write(file);
      console.log(`${pc.green('✔')} ${file.path}${file.content === undefined ? ' (removed)' : ''}`);
    }
    if (stale.length === 0) console.log(`Of ${names}, all files match the migrations already.`);
  }
} catch (error) {
  console.error(pc.red(databaseProblem(error)));
  process.exitCode = 1;
}

/** A file that is not as it should be; without content, one that should not be. */
type StaleFile = { what: string; path: string; content: string | undefined };

async function staleFiles(what: string, databaseUrl: string): Promise<StaleFile[]> {
  const { folder, generate } = generators[what]!;
  const files: Record<string, string | undefined> = { ...(await generate(databaseUrl)) };
  const absolute = join(projectRoot, folder);
  const present = existsSync(absolute) ? readdirSync(absolute) : [];
  for (const name of present) files[name] ??= undefined;
  return Object.entries(files)
    .filter(([name, content]) => content === undefined || !present.includes(name) || readFileSync(join(absolute, name), 'utf8') !== content)
    .map(([name, content]) => ({ what, path: `${folder}/${name}`, content }));
}

function write({ path, content }: StaleFile): void {
  const file = join(projectRoot, path);
  if (content === undefined) return rmSync(file);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, content);
}

async function withChosenDatabase<T>(work: (databaseUrl: string) => Promise<T>): Promise<T> {
  if (options.dbUrl !== undefined) return work(options.dbUrl);
  if (!options.local) return withTemporaryDatabase(work);
  return work(localDatabaseUrl());
}
