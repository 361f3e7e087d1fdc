import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../scripts/stack/ports.ts';
import { projectRoot } from '../scripts/stack/paths.ts';
import { median } from './support/measure.ts';
import type { Bench } from './support/report.ts';

type Run = { seconds: number; megabytes: number };

/** What a newcomer waits for. */
export const start: Bench = {
  name: 'start',
  title: 'Starting',
  about:
    'npm start on an empty folder (data folder, migrations, demo) and on one that is there, from the command to the line that says it runs; and the memory of all parts right after, shared pages counted once.',
  async run({ quick, progress }) {
    const rounds = quick ? 1 : 3;
    const cold: Run[] = [];
    const warm: Run[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const home = mkdtempSync(join(tmpdir(), 'vicinia-bench-start-'));
      try {
        progress(`starting from empty, ${round + 1} of ${rounds}`);
        cold.push(await once(home));
        warm.push(await once(home), await once(home));
      } finally {
        rmSync(home, { recursive: true, force: true });
      }
    }
    const seconds = (runs: Run[]) => median(runs.map((run) => run.seconds));
    const memory = median([...cold, ...warm].map((run) => run.megabytes));
    const within = (what: string, value: number, most: number, unit: string) => ({
      what, floor: '', measured: `${value.toFixed(unit === 's' ? 1 : 0)} ${unit}`, result: '', bound: `≤ ${most} ${unit}`, isMet: value <= most,
    });
    return [within('first start', seconds(cold), 10, 's'), within('later starts', seconds(warm), 3, 's'), within('memory of all parts', memory, 300, 'MB')];
  },
};

/** Starts everything in the folder `home`, and stops it again. */
async function once(home: string): Promise<Run> {
  const [api, database] = [await freePort(), await freePort()];
  const child = spawn(process.execPath, ['scripts/run.mjs', 'scripts/start.ts', '--exit'], {
    cwd: projectRoot,
    env: { ...process.env, VICINIA_HOME: join(home, 'data'), VICINIA_PORT: `${api}`, VICINIA_DB_PORT: `${database}`, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await new Promise((resolve) => child.once('close', resolve));
  const told = /running after (?<seconds>[\d.]+) s, in (?<megabytes>[\d.]+) MB/.exec(output);
  if (!told?.groups) throw new Error(`npm start did not come up:\n${output}`);
  return { seconds: Number(told.groups.seconds), megabytes: Number(told.groups.megabytes) };
}
