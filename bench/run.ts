import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import pc from 'picocolors';
import { projectRoot } from '../scripts/stack/paths.ts';
import { access } from './access.ts';
import { archive } from './archive.ts';
import { audit } from './audit.ts';
import { decisions } from './decisions.ts';
import { fees } from './fees.ts';
import { ids } from './ids.ts';
import { ledger } from './ledger.ts';
import { passes } from './passes.ts';
import { search } from './search.ts';
import { start } from './start.ts';
import { statements } from './statements.ts';
import { settings, startBenchCluster } from './support/cluster.ts';
import { measurePace } from './support/pace.ts';
import type { Bench, Figure } from './support/report.ts';

const benches: Bench[] = [access, ids, audit, archive, search, passes, decisions, ledger, statements, fees, start];

const command = new Command('bench')
  .description('Measures Vicinia: each figure a ratio against a floor of the same run. Ends with 1 when a bound is missed.')
  .argument('[names...]', `which to run: ${benches.map(({ name }) => name).join(', ')}; all by default`)
  .option('--quick', 'a small version: for a look, not for the record')
  .option('--record', 'writes the results into bench/results.md')
  .parse();
const { quick = false, record = false } = command.opts<{ quick?: boolean; record?: boolean }>();
const unknown = command.args.filter((name) => !benches.some((bench) => bench.name === name));
if (unknown.length > 0) {
  console.error(`There is no benchmark ${unknown.join(', ')}. There are: ${benches.map(({ name }) => name).join(', ')}.`);
  process.exit(2);
}
const chosen = benches.filter(({ name }) => command.args.length === 0 || command.args.includes(name));

const machine = `${os.cpus().length} cores, ${Math.round(os.totalmem() / 2 ** 30)} GB, ${os.type()} ${os.arch()}, Node.js ${process.versions.node}; PostgreSQL 17 with ${Object.entries(settings).map(([name, value]) => `${name}=${value}`).join(', ')}`;
console.log(pc.dim(machine));

const cluster = await startBenchCluster();
const sections: { bench: Bench; pace: string; figures: Figure[] }[] = [];
try {
  for (const bench of chosen) {
    const pace = await measurePace(cluster);
    console.log(`\n${pc.bold(bench.title)} ${pc.dim(`(${pace})`)}`);
    const figures = await bench.run({ cluster, quick, progress: (what) => console.log(pc.dim(`  ${what} …`)) });
    sections.push({ bench, pace, figures });
    for (const line of table(figures)) console.log(line);
  }
} finally {
  await cluster.stop();
}

if (record) writeResults();
const missed = sections.flatMap(({ figures }) => figures).filter(({ isMet }) => !isMet);
if (missed.length > 0) {
  console.log(`\n${pc.red(`${missed.length} missed:`)} ${missed.map(({ what }) => what).join('; ')}`);
  process.exitCode = 1;
}

function table(figures: Figure[]): string[] {
  return [
    '| what | floor | measured | result | bound | |',
    '|---|---|---|---|---|---|',
    ...figures.map(({ what, floor, measured, result, bound, isMet }) => `| ${what} | ${floor} | ${measured} | ${result} | ${bound ?? ''} | ${bound === undefined ? '' : isMet ? 'met' : '**missed**'} |`),
  ];
}

/** Replaces the sections that ran and leaves the others as they were. */
function writeResults(): void {
  const file = join(projectRoot, 'bench', 'results.md');
  const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const kept = new Map([...before.matchAll(/^## (?<title>.+)\n(?<text>[\s\S]*?)(?=^## |$(?![\s\S]))/gm)].map((section) => [section.groups?.title ?? '', section.groups?.text ?? '']));
  for (const { bench, pace, figures } of sections) kept.set(bench.title, `\n${bench.about}\n\n${table(figures).join('\n')}\n\n${machine}; ${pace}${quick ? ' (quick)' : ''}\n\n`);
  const order = benches.map(({ title }) => title).filter((title) => kept.has(title));
  writeFileSync(file, `# Results\n\nWritten by \`npm run bench -- --record\`. See [README.md](README.md) for what the numbers mean.\n\n${order.map((title) => `## ${title}\n${kept.get(title)}`).join('')}`.replace(/\n+$/, '\n'));
}
