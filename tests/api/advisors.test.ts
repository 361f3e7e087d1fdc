import { beforeAll, describe, expect, test } from 'vitest';
import { connect, createDatabaseFromTemplate, testServer } from '../support/database.ts';
import { supabaseCli } from '../support/supabase-cli.ts';

// Splinter, the linter behind Studio's advisors, as `supabase db advisors` runs it.

type Finding = { name: string; level: string; detail: string };

async function advise(database: string): Promise<string[]> {
  const { stdout, stderr } = await supabaseCli(['db', 'advisors', '--level', 'info', '--type', 'all', '--output-format', 'json'], testServer().url(database));
  const answer = JSON.parse(stdout) as { results?: Finding[] };
  if (!answer.results) throw new Error(`The advisors did not answer: ${stdout} ${stderr}`);
  // An index is unused until somebody has used it: on a new database every one is.
  return answer.results.filter(({ name }) => name !== 'unused_index').map(({ name, level, detail }) => `${level} ${name}: ${detail}`);
}

let database: string;
beforeAll(async () => {
  database = await createDatabaseFromTemplate('migrated');
});

test('the advisors find nothing', async () => {
  expect(await advise(database)).toEqual([]);
});

describe('they do look', () => {
  test('a planted violation of security and one of performance are found', async () => {
    const { sql, end } = connect(testServer().url(database));
    await sql(`create view public.everybody as select id, email from auth.users`);
    await sql(`grant select on public.everybody to anon`);
    await sql(`create table public.notes (id uuid primary key, unit_id uuid references public.units (id))`);
    await sql(`grant select on public.notes to anon`);
    await end();
    const found = (await advise(database)).join('\n');
    expect(found).toMatch(/auth_users_exposed/);
    expect(found).toMatch(/rls_disabled_in_public: .*notes/);
    expect(found).toMatch(/unindexed_foreign_keys: .*notes/);
  });
});
