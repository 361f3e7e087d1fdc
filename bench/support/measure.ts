import { performance } from 'node:perf_hooks';

/** Work that is timed; what it returns is ignored. */
export type Work = () => Promise<unknown>;

/** The middle value; of an even number of values, the mean of the middle two. */
export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  if (upper === undefined || lower === undefined) throw new Error('There is no median of nothing.');
  return (lower + upper) / 2;
}

/** How long `work` takes, in milliseconds. */
export async function time(work: Work): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

/**
 * Times two or more pieces of work in turns, so that whatever else the machine does meanwhile hits all of them alike, and
 * which goes first changes from round to round.
 *
 * @param repeat how often each is run for one sample, for work shorter than the clock and the scheduler are exact
 * @returns the median time of one run of each, in milliseconds
 */
export async function interleave<Name extends string>(works: Record<Name, Work>, options: { rounds: number; repeat?: number; warmup?: number }): Promise<Record<Name, number>> {
  const { rounds, repeat = 1, warmup = 1 } = options;
  const names = Object.keys(works) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let round = -warmup; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const milliseconds = await time(async () => {
        for (let run = 0; run < repeat; run += 1) await works[name]();
      });
      if (round >= 0) samples[name].push(milliseconds / repeat);
    }
  }
  return Object.fromEntries(names.map((name) => [name, median(samples[name])])) as Record<Name, number>;
}
