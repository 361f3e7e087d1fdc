import { Command } from 'commander';
import pc from 'picocolors';
import { checks, runCheck } from './lint/checks.ts';

new Command('lint').description('Looks at the code without running it: migrations (squawk), functions (deno check, lint, fmt), TypeScript (tsc).').parse();

const results = await Promise.all(checks.map(async (check) => ({ check, ...(await runCheck(check)) })));
for (const { check, ok, output } of results) {
  console.log(`${ok ? pc.green('✔') : pc.red('✘')} ${check.title}`);
  if (ok) continue;
  console.log(output.replace(/^/gm, '  '));
  if (check.remedy !== undefined) console.log(pc.dim(`  \`${check.remedy}\` puts it right.`));
  process.exitCode = 1;
}
