import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { projectRoot } from '../../scripts/stack/paths.ts';
import { withClient } from '../../scripts/stack/postgres.ts';
import { testServer } from '../support/database.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';

// What docs/upgrading.md promises of an adopter's own table, which its example makes.

let stack: TestStack;
beforeAll(async () => {
  const page = readFileSync(join(projectRoot, 'docs', 'upgrading.md'), 'utf8');
  const example = /```sql test\n(create schema acme;[\s\S]*?)```/.exec(page)?.[1] ?? '';
  expect(example).toMatch(/app\.track\('acme\.pets'\)/);
  stack = await startTestStack({ prepare: async ({ sql }) => void (await sql(example)) });
  await stack.sql(`insert into acme.pets (name, community_id, unit_id) select 'Rex', community_id, id from units where number = '3' and community_id = (select id from communities where slug = 'lipa-court')`);
});
afterAll(() => stack.stop());

test('a row that mixes two communities cannot be stored', async () => {
  const mixed = stack.sql(`insert into acme.pets (name, community_id, unit_id) select 'Max', c.id, u.id from units u join communities c on c.id <> u.community_id limit 1`);
  await expect(mixed).rejects.toMatchObject({ code: '23503' });
});

test('its rows are audited, kept from deletion, and keep their unit from being archived', async () => {
  expect(await stack.sql(`select operation::text, actor_label from audit.log where table_id = 'acme.pets'::regclass`)).toEqual([{ operation: 'insert', actor_label: 'studio:postgres' }]);
  await expect(stack.sql(`delete from acme.pets`)).rejects.toMatchObject({ code: 'PT409', message: 'delete_refused' });
  const manager = await stack.client('manager@demo.example');
  const [unit] = await stack.sql<{ id: string }>(`select unit_id as id from acme.pets`);
  await stack.sql(`update occupancies set deleted_at = now() where unit_id = $1`, [unit!.id]);
  const { error } = await manager.rpc('archive', { table_name: 'units', id: unit!.id });
  expect(error).toMatchObject({ code: 'PT409', message: 'has_live_children' });
  expect(error?.details).toMatch(/pets/);
  expect((await stack.sql(`select from acme.pets`)).length).toBe(1);
});

test('its policy shows it to whom its permission was given, and to nobody of another community', async () => {
  const seenBy = async (email: string): Promise<number> => {
    const [user] = await stack.sql<{ id: string }>(`select id from auth.users where email = $1`, [email]);
    return withClient(testServer().url(stack.database), async (client) => {
      await client.query('begin');
      await client.query(`select set_config('request.jwt.claims', $1, true), set_config('role', 'authenticated', true)`, [JSON.stringify({ sub: user!.id, role: 'authenticated' })]);
      const { rowCount } = await client.query(`select id from acme.pets`);
      await client.query('rollback');
      return rowCount ?? 0;
    });
  };
  expect(await seenBy('manager@demo.example')).toBe(1);
  expect(await seenBy('guard@demo.example')).toBe(1);
  expect(await seenBy('accountant@demo.example')).toBe(0);
  expect(await seenBy('gerente@demo.example')).toBe(0);
});
