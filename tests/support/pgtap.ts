import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { test } from 'vitest';
import { projectRoot } from '../../scripts/stack/paths.ts';
import { createDatabaseFromTemplate, testServer } from './database.ts';
import { leavesNothing, parseTap, runStatements, type TapReport } from './pgtap-run.ts';

// What the files leave nothing behind in serves them one after the other, as it does under pg_prove.
let shared: Promise<string> | undefined;

/** Runs a pgTAP file, alone in its database, and defines one test for every line of TAP it wrote. */
export async function runPgtapFile(file: string): Promise<void> {
  const script = readFileSync(file, 'utf8');
  const database = await (leavesNothing(script) ? (shared ??= createDatabaseFromTemplate('pgtap')) : createDatabaseFromTemplate('pgtap'));
  const { lines, failure } = await runStatements(testServer().url(database), script);
  const report = parseTap(lines.join('\n'));
  // A script that broke off cannot keep its plan; the error says it better.
  const problems = failure ? [failure] : report.problems;
  defineTests(relative(projectRoot, file), { ...report, problems });
}

/** Defines one test for every assertion, and one that fails if the report as a whole is not right. */
export function defineTests(source: string, { assertions, problems }: TapReport): void {
  for (const { description, ok, skipped, diagnostics } of assertions) {
    test(description, () => {
      if (skipped) throw new AssertionFailure('skipped: what is not looked at is not proved');
      if (!ok) throw new AssertionFailure(diagnostics.trimEnd() || description);
    });
  }
  if (problems.length > 0) {
    test(`${source} runs to the end of its plan`, () => {
      throw new AssertionFailure(problems.join('\n'));
    });
  }
}

/** A failure whose message says everything: where in our runner it was raised helps nobody. */
class AssertionFailure extends Error {
  override name = 'AssertionFailure';
  constructor(message: string) {
    super(message);
    this.stack = '';
  }
}
