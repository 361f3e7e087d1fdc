import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { transform } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { projectRoot } from '../../scripts/stack/paths.ts';
import { withClient } from '../../scripts/stack/postgres.ts';
import { testServer } from '../support/database.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';

const pages = ['README.md', ...readdirSync(join(projectRoot, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];
const read = (page: string): string => readFileSync(join(projectRoot, page), 'utf8');

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack({ functions: true });
});
afterAll(() => stack.stop());

test('README.md leads to every page', () => {
  expect(pages.slice(1).filter((page) => !read('README.md').includes(`(${page})`))).toEqual([]);
});

describe('an example in the documentation prints what the page says', () => {
  const scratch = join(projectRoot, 'node_modules', '.cache', 'vicinia-docs');
  const examples = pages.flatMap((page) =>
    [...read(page).matchAll(/```ts test\n(?<code>[\s\S]*?)```\s*```text\n(?<output>[\s\S]*?)```/g)].map((found, index) => ({
      page,
      title: `${page}, example ${index + 1}`,
      code: found.groups?.code ?? '',
      output: found.groups?.output ?? '',
    })),
  );

  test('there are examples, each with its output', () => {
    const marked = pages.reduce((sum, page) => sum + read(page).split('```ts test').length - 1, 0);
    expect(examples.length).toBe(marked);
    expect(marked).toBeGreaterThanOrEqual(3);
  });

  test.each(examples)('$title', async ({ title, code, output }) => {
    mkdirSync(scratch, { recursive: true });
    // What the README has one do first is done as it says, with tsx; the others are translated here, in a tenth of the time.
    const isFirst = title === 'README.md, example 1';
    const file = join(scratch, `${title.replace(/[^a-z0-9]+/gi, '-')}.${isFirst ? 'mts' : 'mjs'}`);
    writeFileSync(file, isFirst ? code : (await transform(code, { loader: 'ts', format: 'esm' })).code);
    // Node 20 has WebSocket, which supabase-js wants, behind a flag.
    const flags = 'WebSocket' in globalThis ? [] : ['--experimental-websocket'];
    const { stdout } = await promisify(execFile)(process.execPath, [...flags, ...(isFirst ? ['--import', 'tsx'] : []), file], {
      cwd: projectRoot,
      env: { ...process.env, SUPABASE_URL: stack.url, SUPABASE_PUBLISHABLE_KEY: stack.keys.publishable, SUPABASE_SECRET_KEY: stack.keys.secret },
    });
    expect(stdout.trim()).toBe(output.trim());
  });
});

describe('SQL in the documentation runs as role postgres, as it stands', () => {
  const blocks = pages.flatMap((page) => [...read(page).matchAll(/```sql test\n([\s\S]*?)```/g)].map(([, sql], index) => ({ title: `${page}, block ${index + 1}`, sql: sql! })));

  test('there are such blocks', () => {
    expect(blocks.length).toBeGreaterThanOrEqual(5);
  });

  test.each(blocks)('$title', async ({ sql }) => {
    const [home] = await stack.sql(`select id from organizations where slug = 'domus-care'`);
    await withClient(testServer().url(stack.database), async (client) => {
      await client.query('begin');
      await client.query(sql.replaceAll('<organization>', String(home!.id)));
      await client.query('rollback');
    });
  });
});

describe('docs/errors.md lists exactly the tokens that the code raises', () => {
  const listed = new Set([...read('docs/errors.md').matchAll(/^\| (?<tokens>`[a-z_]+`(?:, `[a-z_]+`)*) \| \d/gm)].flatMap((row) => [...(row.groups?.tokens ?? '').matchAll(/`([a-z_]+)`/g)].map((token) => token[1])));
  const migrations = join(projectRoot, 'supabase', 'migrations');
  const sql = readdirSync(migrations).map((name) => readFileSync(join(migrations, name), 'utf8')).join('\n');
  const raised = new Set([...sql.matchAll(/app\.fail\(\s*\d+,\s*'(?<token>[a-z_]+)'(?!\s*\|\|)/g)].map((found) => found.groups?.token));
  for (const status of ['inactive', 'suspended', 'banned']) raised.add(`account_${status}`);
  const functions = readdirSync(join(projectRoot, 'functions'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  for (const name of functions) {
    for (const found of read(`functions/${name}`).matchAll(/(?:new ApiError\(\s*\d+,|parseQuery\([^;]*,)\s*"(?<token>[a-z_]+)"/g)) raised.add(found.groups?.token);
  }

  test('every token in SQL and in the functions is on the page', () => {
    expect([...raised].filter((token) => !listed.has(token))).toEqual([]);
  });

  test('every token on the page is in SQL or in a function', () => {
    expect([...listed].filter((token) => !raised.has(token))).toEqual([]);
  });
});

test('the table of permissions in docs/access.md is what the database holds', async () => {
  const stored = await stack.sql(
    `select rp.permission_key, r.level, r.key, r.is_occupancy
     from public.role_permissions rp join public.roles r on r.id = rp.role_id
     where r.organization_id is null and r.community_id is null`,
    [],
  );
  const inDatabase = stored.map((row) => `${row.permission_key} ${row.level}/${row.key}`).sort();

  const rows = [...read('docs/access.md').matchAll(/^\| (`[a-z_.`, ]+`) \|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\|$/gm)];
  const communityRoles = await stack.sql(`select key, is_occupancy, is_membership from public.roles where level = 'community' and organization_id is null and community_id is null`, []);
  const names = (cell: string | undefined): string[] => (cell ?? '').split(',').map((name) => name.trim()).filter((name) => name !== '');
  const onPage = rows.flatMap(([, keys, site, organization, community, occupancy]) =>
    [...(keys ?? '').matchAll(/`([a-z_.]+)`/g)].flatMap(([, key]) => {
      const everyCommunityRole = names(community).includes('all');
      const held = everyCommunityRole ? communityRoles.map((role) => String(role.key)) : [...names(community), ...names(occupancy)];
      return [
        ...names(site).map((role) => `site/${role}`),
        ...names(organization).map((role) => `organization/${role}`),
        ...held.map((role) => `community/${role}`),
      ].map((role) => `${key} ${role}`);
    }),
  ).sort();
  expect(onPage).toEqual(inDatabase);
});
