import pg from 'pg';
import { Parser } from 'tap-parser';
import { splitStatements } from '../../scripts/stack/sql-statements.ts';

/** What came of a script: the lines it wrote and, if a statement failed, where and why. */
export type ScriptRun = { lines: string[]; failure?: string };

/**
 * Runs a script the way psql does under pg_prove: statement by statement, as role `postgres`, stopping at the first error.
 *
 * @returns the rows, columns separated as psql does, and the error with its line if one stopped the script
 */
export async function runStatements(databaseUrl: string, script: string): Promise<ScriptRun> {
  const client = new pg.Client({ connectionString: databaseUrl });
  const lines: string[] = [];
  await client.connect();
  let from = 0;
  try {
    for (const statement of splitStatements(script)) {
      from = script.indexOf(statement, from);
      const result = await client.query({ text: statement, rowMode: 'array' });
      for (const row of result.rows as unknown[][]) lines.push(row.join('|'));
      from += statement.length;
    }
    return { lines };
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    return { lines, failure: describe(error, script, from) };
  } finally {
    await client.end();
  }
}

/** Whether a script is one transaction that is rolled back, whatever happens in it. */
export function leavesNothing(script: string): boolean {
  const words = splitStatements(script).map((statement) => /^(?:\s|--[^\n]*\n|\/\*[^]*?\*\/)*(\w+)/.exec(statement)?.[1]?.toLowerCase());
  const steps = words.flatMap((word, index) => (/^(begin|start|commit|end|abort|rollback|prepare)$/.test(word ?? '') ? [index] : []));
  return words[0] === 'begin' && words.at(-1) === 'rollback' && steps.length === 2;
}

function describe(error: pg.DatabaseError, script: string, statementAt: number): string {
  const start = script.slice(statementAt).search(/^(?!\s*(--|$))/m) + statementAt;
  const at = error.position ? statementAt + Number(error.position) - 1 : start;
  const line = script.slice(0, at).split('\n').length;
  const more = [error.detail && `detail: ${error.detail}`, error.hint && `hint: ${error.hint}`, error.where && `where: ${error.where}`];
  return [`line ${line}: ${error.message} (${error.code})`, ...more.filter(Boolean)].join('\n');
}

/** One line of TAP with what was written about it. */
export type Assertion = { description: string; ok: boolean; skipped: boolean; diagnostics: string };

/** What a test program reported. */
export type TapReport = {
  assertions: Assertion[];
  /** What is wrong with the report as a whole: a plan that does not match, a bail-out. */
  problems: string[];
};

/** Reads TAP, from pgTAP or from Deno. */
export function parseTap(text: string): TapReport {
  const assertions: Assertion[] = [];
  const problems: string[] = [];
  const parser = new Parser();
  parser.on('assert', (result) => {
    assertions.push({
      description: result.name || `test ${result.id}`,
      ok: result.ok || Boolean(result.todo),
      skipped: Boolean(result.skip),
      diagnostics: result.diag ? JSON.stringify(result.diag, null, 2) : '',
    });
  });
  parser.on('comment', (comment) => {
    const last = assertions.at(-1);
    if (last) last.diagnostics += comment.replace(/^# ?/, '');
  });
  parser.on('bailout', (reason) => problems.push(`bailed out: ${reason}`));
  parser.on('complete', (results) => {
    for (const failure of results.failures) {
      if ('tapError' in failure && failure.tapError) problems.push(String(failure.tapError));
    }
    if (results.plan.end !== null && results.plan.end !== assertions.length) problems.push(`planned ${results.plan.end} tests, ran ${assertions.length}`);
    if (assertions.length === 0) problems.push('no test was run');
  });
  parser.end(text);
  return { assertions, problems };
}
