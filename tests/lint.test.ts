import { expect, test } from 'vitest';
import { checks, runCheck } from '../scripts/lint/checks.ts';

// What `npm run lint` looks at.

for (const check of checks) {
  test.concurrent(check.title, async () => {
    const { ok, output } = await runCheck(check);
    if (!ok) expect.fail(output);
  });
}
