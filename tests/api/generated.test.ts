import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { projectRoot } from '../../scripts/stack/paths.ts';
import { connect, createDatabaseFromTemplate, testServer, type Row } from '../support/database.ts';

// types/ and docs/schema/ are what `npm run generate` writes: nobody edits them by hand, and nobody forgets them.

// Each check is a program of its own, which a busy machine takes its time for.
vi.setConfig({ testTimeout: 300_000 });

const check = (databaseUrl: string, ...what: ('types' | 'docs')[]) =>
  promisify(execFile)(process.execPath, ['scripts/run.mjs', 'scripts/generate.ts', ...what, '--check', '--db-url', databaseUrl], { cwd: projectRoot }).then(
    ({ stdout, stderr }) => ({ code: 0, output: stdout + stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({ code: error.code, output: error.stdout + error.stderr }),
  );

async function ask<T extends Row>(text: string): Promise<T[]> {
  const { sql, end } = connect(testServer().url(await createDatabaseFromTemplate('migrated')));
  const rows = await sql<T>(text);
  await end();
  return rows;
}

/** What a function makes of a text, made once for each. */
function once<T>(make: (text: string) => T): (text: string) => T {
  const made = new Map<string, T>();
  return (text) => {
    if (!made.has(text)) made.set(text, make(text));
    return made.get(text) as T;
  };
}

test('types/ and docs/schema/ match the migrations', async () => {
  const url = testServer().url(await createDatabaseFromTemplate('migrated'));
  expect(await check(url)).toMatchObject({ code: 0, output: expect.not.stringContaining('npm run') });
});

// Each drawing takes seconds: both are planted at once, and each is told by files of its own.
test('a column and a relation that they do not know are noticed', async () => {
  const url = testServer().url(await createDatabaseFromTemplate('migrated'));
  const { sql, end } = connect(url);
  await sql('alter table public.units add column colour text');
  await sql('alter table public.residents add constraint residents_home_fkey foreign key (community_id, id) references public.units (community_id, id) on delete restrict');
  await end();
  const { code, output } = await check(url);
  expect(code).toBe(1);
  expect(output).toMatch(/types\/database\.ts/);
  expect(output).toMatch(/types\/supabase\.ts/);
  expect(output).toMatch(/docs\/schema\/property\.md/);
  expect(output).toMatch(/docs\/schema\/property\.dot/);
  expect(output).toMatch(/docs\/schema\/property\.svg/);
  expect(output).not.toMatch(/docs\/schema\/foundation/);
});

describe('the schema reference', () => {
  const folder = join(projectRoot, 'docs', 'schema');
  const files = readdirSync(folder);
  const read = once((file: string): string => readFileSync(join(projectRoot, file), 'utf8'));
  const pages = files.filter((file) => file.endsWith('.md')).map((file) => `docs/schema/${file}`);

  /** The anchors of a page as GitHub makes them: lower case, letters, digits, hyphens and underscores; repeated ones are counted. */
  const anchors = once((file: string): Set<string> => {
    const seen: Record<string, number> = {};
    return new Set(
      [...read(file).matchAll(/^#+ (.+)$/gm)].map(([, title]) => {
        const slug = [...title!.toLowerCase()].filter((letter) => /[a-z0-9_ -]/.test(letter)).join('').replaceAll(' ', '-');
        seen[slug] = (seen[slug] ?? -1) + 1;
        return seen[slug] === 0 ? slug : `${slug}-${seen[slug]}`;
      }),
    );
  });

  test('has a heading for every table and view of the API, and for every RPC', async () => {
    const headings = new Set(pages.flatMap((page) => [...read(page).matchAll(/^### (.+)$/gm)].map(([, title]) => title)));
    const objects = await ask<{ name: string }>(`
      select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v') and not relispartition
      union all select proname || '()' from pg_proc where pronamespace = 'public'::regnamespace`);
    expect(objects.length).toBeGreaterThan(50);
    expect(objects.filter(({ name }) => !headings.has(name))).toEqual([]);
  });

  test('points nowhere in vain', () => {
    const broken: string[] = [];
    let links = 0;
    for (const page of pages) {
      for (const [, target, anchor] of read(page).matchAll(/\]\(([^)#\s]*)(?:#([^)\s]+))?\)/g)) {
        links += 1;
        const file = target === '' ? page : normalize(join(dirname(page), target!));
        try {
          if (anchor !== undefined && !anchors(file).has(anchor)) broken.push(`${page}: ${file}#${anchor}`);
          else read(file);
        } catch {
          broken.push(`${page}: ${file}`);
        }
      }
    }
    expect(links).toBeGreaterThan(200);
    expect(broken).toEqual([]);
  });

  test('draws every table and says its source, and every reference between two of a domain', async () => {
    const tables = await ask<{ name: string }>(`
      select c.relname as name from pg_class c
      where c.relnamespace in ('public'::regnamespace, 'app'::regnamespace, 'private'::regnamespace, 'audit'::regnamespace)
        and c.relkind in ('r', 'p') and not c.relispartition and c.relname <> 'row_model'`);
    const pictures = files.filter((file) => file.endsWith('.svg')).map((file) => read(`docs/schema/${file}`));
    expect(files.filter((file) => file.endsWith('.dot')).length).toBe(pictures.length);
    const drawn = pictures.join('\n');
    expect(tables.filter(({ name }) => !new RegExp(`>(?:[a-z]+\\.)?${name}</text>`).test(drawn))).toEqual([]);
    expect(drawn).toMatch(/occupancies_lease_fkey/);
    expect(drawn).toMatch(/units_entrance_fkey/);
  });

  test('names the permissions that policies ask for, the columns granted, and the errors', () => {
    const property = read('docs/schema/property.md');
    expect(property).toMatch(/\| `authenticated` \| select \| all \| \[`units\.read`\]\(#unitsread\) in the community; .*archived rows, when asked for, with \[`units\.archive`\]/);
    expect(property).toMatch(/\| `authenticated` \| update \| `number`, `building_id`/);
    expect(property).toMatch(/Errors: \[`permission_denied`\]\(\.\.\/errors\.md\), \[`unit_not_found`\]/);
  });
});
