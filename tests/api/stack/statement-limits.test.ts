import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../../support/stack.ts';

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack();
  // Instead of any work, a request answers with the limit that it would have.
  await stack.adminSql(`
    create or replace function app.pre_request() returns void language plpgsql set search_path = '' as
    $$ begin raise sqlstate 'PT418' using message = current_setting('statement_timeout'); end $$`);
});
afterAll(() => stack.stop());

const limited = `
  select p.proname as name, to_jsonb(p.proargnames[1:p.pronargs]) as arguments
  from pg_proc p
  where p.pronamespace = 'public'::regnamespace and 'statement_timeout=60s' = any (p.proconfig) and has_function_privilege('authenticated', p.oid, 'execute')
  order by 1`;

test('what may take long has a minute from the first statement on, and everything else the eight seconds of its role', async () => {
  const functions = (await stack.sql(limited)) as { name: string; arguments: string[] }[];
  expect(functions.map(({ name }) => name)).toEqual(expect.arrayContaining(['allocate_expense', 'enter_allocation_inputs', 'import_opening_balances', 'import_roster', 'run_fee']));
  const manager = await stack.client('manager@demo.example');
  const limits: Record<string, string | undefined> = {};
  for (const { name, arguments: names } of functions) {
    const { error } = await manager.rpc(name as never, Object.fromEntries(names.map((argument) => [argument, null])) as never);
    limits[name] = error?.message;
  }
  expect(limits).toEqual(Object.fromEntries(functions.map(({ name }) => [name, '1min'])));
  const { error } = await manager.from('units').select('id');
  expect(error?.message).toBe('8s');
});
