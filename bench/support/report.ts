import type { BenchCluster } from './cluster.ts';

/** One line of the results. */
export type Figure = {
  /** What was measured, and for whom. */
  what: string;
  /** What it is compared with, with its unit. */
  floor: string;
  /** What was measured, with its unit. */
  measured: string;
  /** How the two compare: 1.42×, +32 µs. */
  result: string;
  /** What the result must not pass; absent where it is only reported. */
  bound?: string;
  isMet: boolean;
};

/** What a benchmark is given. */
export type BenchContext = {
  cluster: BenchCluster;
  /** A small version: for a look, not for the record. */
  quick: boolean;
  /** Tells the person who waits what is being done. */
  progress(what: string): void;
};

/** A benchmark: `npm run bench -- <name>`. */
export type Bench = {
  name: string;
  title: string;
  /** What is measured, for the reader of the results. */
  about: string;
  run(context: BenchContext): Promise<Figure[]>;
};

/** Two times in milliseconds, measured in turns. */
type Times = { floor: number; measured: number };

/** A figure that must be at most so many times its floor. */
export function atMostTimes(what: string, times: Times, most: number): Figure {
  return { ...timesFigure(what, times), bound: `≤ ${most}×`, isMet: times.measured / times.floor <= most };
}

/** A figure that may take at most so many microseconds more than its floor. */
export function atMostMore(what: string, times: Times, microseconds: number): Figure {
  const more = (times.measured - times.floor) * 1000;
  return { ...timesFigure(what, times), result: `+${more.toFixed(0)} µs`, bound: `≤ +${microseconds} µs`, isMet: more <= microseconds };
}

/** A figure without a bound. */
export function reported(what: string, times: Times): Figure {
  return timesFigure(what, times);
}

function timesFigure(what: string, { floor, measured }: Times): Figure {
  return { what, floor: duration(floor), measured: duration(measured), result: `${(measured / floor).toFixed(2)}×`, isMet: true };
}

/** Milliseconds in the unit that reads best. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1) return `${(milliseconds * 1000).toFixed(0)} µs`;
  return milliseconds < 1000 ? `${milliseconds.toFixed(milliseconds < 10 ? 2 : 0)} ms` : `${(milliseconds / 1000).toFixed(2)} s`;
}
