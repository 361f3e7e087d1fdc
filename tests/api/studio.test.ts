import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack();
});
afterAll(() => stack.stop());

test('a user whom an administrator deletes under Authentication, which Auth does with its own role, leaves what is not theirs', async () => {
  const owner = await stack.client('owner@demo.example');
  const { data: session } = await owner.auth.getUser();
  const id = session.user?.id ?? '';
  expect((await owner.from('units').select('number')).data).not.toHaveLength(0);

  const deleted = await fetch(`${stack.url}/auth/v1/admin/users/${id}`, { method: 'DELETE', headers: { apikey: stack.keys.secret } });
  expect(deleted.status).toBe(200);

  expect(await stack.sql('select id from public.profiles where id = $1', [id])).toEqual([]);
  expect(await stack.sql(`select r.user_id from public.residents r join public.resident_details d on d.resident_id = r.id where d.email = 'owner@demo.example'`)).toEqual([
    { user_id: null },
  ]);
  expect(
    await stack.sql(`select distinct actor_label from public.audit_log where operation = 'delete' and row_id = $1`, [id]),
  ).toEqual([{ actor_label: 'supabase_auth_admin' }]);
  const { status, error } = await owner.from('units').select('number');
  expect([status, error?.message]).toEqual([401, 'account_unknown']);
});
