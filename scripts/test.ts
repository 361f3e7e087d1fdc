import { Command } from 'commander';
import { createVitest } from 'vitest/node';
import { projectRoot } from './stack/paths.ts';

const { args: filters } = new Command('test')
  .description('Proves everything: the database, the API, the functions, the code. A filter runs the files whose path contains it.')
  .argument('[filter...]', 'parts of file names: foundation_roles, tests/api, lint')
  .parse();

const vitest = await createVitest('test', { root: projectRoot, watch: false, run: true });

let isStopping = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // A second Ctrl-C does not wait; the servers of the run end with us all the same.
    if (isStopping) process.exit(130);
    isStopping = true;
    void vitest.cancelCurrentRun('keyboard-input').then(async () => {
      await vitest.close();
      process.exit(130);
    });
  });
}

let passed = 0;
let failed = 0;
try {
  const { testModules, unhandledErrors } = await vitest.start(filters);
  failed += unhandledErrors.length;
  for (const testModule of testModules) {
    // An error outside of a test (a broken import, a hook that threw) counts as one failure.
    if (testModule.errors().length > 0) failed += 1;
    for (const suite of testModule.children.allSuites()) if (suite.errors().length > 0) failed += 1;
    for (const { state } of [...testModule.children.allTests()].map((test) => test.result())) {
      if (state === 'passed') passed += 1;
      // A test that a failing hook kept from running was counted with the hook.
      if (state === 'failed') failed += 1;
    }
  }
} catch (error) {
  failed += 1;
  console.error(error instanceof Error ? error.message : error);
} finally {
  if (!isStopping) await vitest.close();
}

if (!isStopping) {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed > 0 || passed === 0 ? 1 : 0);
}
