import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import pc from 'picocolors';
import { loadOrCreateKeys } from './stack/keys.ts';
import { home, ports, projectRoot } from './stack/paths.ts';
import { withTemporaryDatabase } from './stack/temporary-database.ts';
import { generateTypes } from './types/generate.ts';

const options = new Command('types')
  .description(
    'Writes types/database.ts (Kysely) and types/supabase.ts (supabase-js) from the migrations, on a temporary database.',
  )
  .option('--local', 'reads the database of `npm start` instead')
  .option('--db-url <url>', 'reads another database instead, as role postgres')
  .option('--check', 'writes nothing, and ends with 1 when the files differ')
  .parse()
  .opts<{ local?: boolean; dbUrl?: string; check?: boolean }>();

try {
  const types = await typesOfChosenDatabase();
  const folder = join(projectRoot, 'types');
  const stale = Object.entries(types).filter(([name, content]) => {
    const file = join(folder, name);
    return !existsSync(file) || readFileSync(file, 'utf8') !== content;
  });
  if (options.check) {
    for (const [name] of stale) console.error(pc.red(`types/${name} does not match the migrations: run \`npm run types\`.`));
    if (stale.length > 0) process.exitCode = 1;
    else console.log('The types match the migrations.');
  } else {
    for (const [name, content] of stale) writeFileSync(join(folder, name), content);
    console.log(
      stale.length > 0
        ? stale.map(([name]) => `${pc.green('✔')} types/${name}`).join('\n')
        : 'The types match the migrations already.',
    );
  }
} catch (error) {
  console.error(pc.red((error as Error).message));
  process.exitCode = 1;
}

async function typesOfChosenDatabase() {
  if (options.dbUrl !== undefined) return generateTypes(options.dbUrl);
  if (!options.local) return withTemporaryDatabase(generateTypes);
  const { passwords } = await loadOrCreateKeys(home().root);
  return generateTypes(`postgresql://postgres:${encodeURIComponent(passwords.postgres)}@127.0.0.1:${ports.database}/postgres`);
}
