import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack();
});
afterAll(() => stack.stop());

test('smoke', async () => {
  const user = await stack.createUser({ email: 'x@test.example' });
  const client = await stack.client('x@test.example');
  const { data, error } = await client.from('profiles').select('*');
  console.log(data, error);
  expect(data).toHaveLength(1);
  expect(data?.[0].id).toBe(user.id);
});
