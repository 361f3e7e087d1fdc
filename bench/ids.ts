import pg from 'pg';
import { withClient } from '../scripts/stack/postgres.ts';
import { interleave, median, time } from './support/measure.ts';
import { atMostTimes, duration, type Bench, type Figure } from './support/report.ts';

/** The time-ordered ids against random ones. */
export const ids: Bench = {
  name: 'ids',
  title: 'Ids',
  about:
    'extensions.uuidv7() against gen_random_uuid(): what one costs (the loop around it subtracted), whether they come in order, and what they do to the primary key of a large table.',
  async run({ cluster, quick, progress }) {
    return cluster.withDatabase(async (urls) =>
      withClient(urls.superuser, async (client) => {
        progress('making ids');
        const figures = [await cost(client, quick), await inversions(client)];
        const rows = quick ? 500_000 : 5_000_000;
        progress(`filling two tables with ${rows.toLocaleString('en')} rows`);
        await fill(client, rows);
        progress('adding to them');
        return [...figures, ...(await bulkInsert(client, rows, quick))];
      }),
    );
  },
};

async function cost(client: pg.Client, quick: boolean): Promise<Figure> {
  const calls = 100_000;
  const loop = (expression: string) => () => client.query(`select count(${expression}) from generate_series(1, ${calls}) n`);
  const times = await interleave({ empty: loop('n'), floor: loop('gen_random_uuid()'), measured: loop('extensions.uuidv7()') }, { rounds: quick ? 5 : 21 });
  const each = (milliseconds: number) => (milliseconds - times.empty) / calls;
  const [floor, measured] = [each(times.floor), each(times.measured)];
  const nanoseconds = (milliseconds: number) => `${(milliseconds * 1e6).toFixed(0)} ns`;
  return { ...atMostTimes('one id', { floor, measured }, 2), floor: `${nanoseconds(floor)} (gen_random_uuid)`, measured: nanoseconds(measured) };
}

async function inversions(client: pg.Client): Promise<Figure> {
  const { rows } = await client.query<{ inverted: number }>(`
    with made as materialized (select n, extensions.uuidv7() as id from generate_series(1, 200000) n)
    select count(*) filter (where id <= before)::int as inverted from (select id, lag(id) over (order by n) as before from made) pairs`);
  const inverted = rows[0]?.inverted ?? NaN;
  return { what: '200,000 ids of one session, out of order', floor: '', measured: `${inverted}`, result: `${inverted}`, bound: '0', isMet: inverted === 0 };
}

async function fill(client: pg.Client, rows: number): Promise<void> {
  for (const [name, id] of [['v4', 'gen_random_uuid()'], ['v7', 'extensions.uuidv7()']]) {
    await client.query(`create table public.${name} (id uuid not null default ${id}, number bigint not null)`);
    await client.query(`insert into public.${name} (number) select n from generate_series(1, $1::integer) n`, [rows]);
    await client.query(`alter table public.${name} add constraint ${name}_pkey primary key (id)`);
    await client.query(`vacuum (analyze) public.${name}`);
  }
}

/** A batch into each table in turns, each after a checkpoint, so that pages are logged in full on their first change. */
async function bulkInsert(client: pg.Client, rows: number, quick: boolean): Promise<Figure[]> {
  const batch = Math.round(rows / 50);
  const samples = { v4: { time: [] as number[], wal: [] as number[] }, v7: { time: [] as number[], wal: [] as number[] } };
  const rounds = quick ? 3 : 7;
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? (['v4', 'v7'] as const) : (['v7', 'v4'] as const)) {
      await client.query('checkpoint');
      const before = await walPosition(client);
      samples[name].time.push(await time(() => client.query(`insert into public.${name} (number) select n from generate_series(1, ${batch}) n`)));
      samples[name].wal.push((await walPosition(client)) - before);
    }
  }
  const ratio = (kind: 'time' | 'wal') => median(samples.v4[kind]) / median(samples.v7[kind]);
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const what = `${batch.toLocaleString('en')} rows into a key of ${(rows / 1e6).toLocaleString('en')} million`;
  return [
    {
      what: `${what}: speed`,
      floor: `${duration(median(samples.v4.time))} (v4)`,
      measured: duration(median(samples.v7.time)),
      result: `${ratio('time').toFixed(1)}× faster`,
      bound: '≥ 2×',
      isMet: ratio('time') >= 2,
    },
    {
      what: `${what}: write-ahead log`,
      floor: `${megabytes(median(samples.v4.wal))} (v4)`,
      measured: megabytes(median(samples.v7.wal)),
      result: `1/${ratio('wal').toFixed(1)}`,
      bound: '≤ 1/8',
      isMet: ratio('wal') >= 8,
    },
  ];
}

async function walPosition(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ bytes: string }>(`select pg_current_wal_insert_lsn() - '0/0'::pg_lsn as bytes`);
  return Number(rows[0]?.bytes);
}
