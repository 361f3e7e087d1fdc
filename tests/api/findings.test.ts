import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

// What the nightly verification found in the demo community, as whoever looks at it does.

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack();
});
afterAll(() => stack.stop());

test('of ten who look at a finding one says what came of it, and whoever may not read the books learns nothing', async () => {
  const accountant = await stack.client('accountant@demo.example');
  const { data: finding } = await accountant.from('ledger_findings').select('id, reviewed_at').single().throwOnError();
  expect(finding?.reviewed_at).toBeNull();
  for (const who of ['owner@demo.example', 'tenant@demo.example', 'guard@demo.example', 'gerente@demo.example', undefined]) {
    const { status, error } = await (await stack.client(who)).rpc('review_finding', { finding_id: finding?.id, note: 'Fine' });
    expect([who, who ? [status, error?.message] : error?.code]).toEqual([who, who ? [404, 'finding_not_found'] : '42501']);
  }
  const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => accountant.rpc('review_finding', { finding_id: finding?.id, note: `Look ${index}` })));
  const done = answers.flatMap(({ error }, index) => (error ? [] : [index]));
  expect(done).toHaveLength(1);
  expect(new Set(answers.flatMap(({ error }) => (error ? [error.message] : [])))).toEqual(new Set(['finding_reviewed']));
  const { data: after } = await accountant.from('ledger_findings').select('review_note, gone_at').eq('id', finding?.id).single().throwOnError();
  expect(after).toEqual({ review_note: `Look ${done[0]}`, gone_at: null });
  expect(await stack.sql(`select note from public.audit_log where action = 'LEDGER_FINDING_REVIEWED'`)).toEqual([{ note: `Look ${done[0]}` }]);
});
