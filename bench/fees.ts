import type pg from 'pg';
import { withClient } from '../scripts/stack/postgres.ts';
import { median, time } from './support/measure.ts';
import { atMostTimes, reported, type Bench, type Figure } from './support/report.ts';

type Times = { floor: number; measured: number };

/** What charging costs: many charges at once, and a run of a fee over a large community. */
export const fees: Bench = {
  name: 'fees',
  title: 'Fees and charges',
  about:
    'app.post_charges with 10,000 charges (entry, postings, charges, running balances), against the insert of 30,000 narrow rows (an id, whose, how much) into a table without keys. Then run_fee, which allocates a fee by ideal parts among 100,000 units of as many owners, splits it by who was liable and posts it, against a copy of the rows it writes (allocation lines, charges, postings) into tables without keys, indexes and triggers; and the same run asked for again. Each month is another run; the accounts of the owners exist. And the first run, which makes them, in a community that was settled just now and never analyzed.',
  async run({ cluster, quick, progress }) {
    const units = quick ? 10_000 : 100_000;
    const rounds = quick ? 1 : 3;
    const firstRuns: Times[] = [];
    for (let round = 1; round <= rounds; round += 1) {
      progress(`running a fee for the first time, ${round} of ${rounds}`);
      firstRuns.push(await cluster.withDatabase(async (urls) => withClient(urls.superuser, (client) => runFirst(client, units))));
    }
    return cluster.withDatabase(async (urls) =>
      withClient(urls.superuser, async (client) => {
        progress(`settling ${units.toLocaleString('en')} units`);
        await settle(client, units);
        await client.query('analyze');
        progress('charging 10,000 units at once');
        const figures = [await charge(client, quick ? 3 : 7)];
        progress(`running a fee over ${units.toLocaleString('en')} units`);
        figures.push(...(await run(client, quick ? 3 : 5, units)));
        figures.push(
          reported(`the first run, which makes ${units.toLocaleString('en')} accounts (floor: a copy of the rows, the accounts too)`, {
            floor: median(firstRuns.map(({ floor }) => floor)),
            measured: median(firstRuns.map(({ measured }) => measured)),
          }),
        );
        return figures;
      }),
    );
  },
};

const community = "(select id from public.communities where slug = 'bench')";

/** A community with so many units, each with one owner of its own, open books, a key and a fee. Made without triggers, which are not what is measured. */
async function settle(client: pg.Client, units: number): Promise<void> {
  await client.query(`
    create schema bench;
    select public.create_community(public.create_organization('Bench', 'bench', 'BG'), 'Bench', 'bench', 'BG', 'EUR', 'Europe/Sofia');
    update public.communities set ideal_parts_total = ${units} where slug = 'bench';
    set session_replication_role = replica;
    insert into public.units (number, community_id, ideal_parts) select n, ${community}, 1 from generate_series(1, ${units}) n;
    insert into public.residents (full_name, community_id) select 'Owner ' || n, ${community} from generate_series(1, ${units}) n;
    insert into public.occupancies (community_id, unit_id, resident_id, role, starts_on)
    select ${community}, u.id, r.id, 'owner', '2020-01-01'
    from (select id, row_number() over (order by id) as n from public.units) u join (select id, row_number() over (order by id) as n from public.residents) r using (n);
    set session_replication_role = origin;
    select public.open_books(${community}, '2025-01-01');
    create table bench.subject as
      select f.community_id, f.id as fund_id, app.account_for(f.community_id, f.id, 'assessment_income') as account_id,
        public.create_allocation_key(f.community_id, 'Ideal parts', 'shares') as key_id
      from public.funds f where f.kind = 'operating';
    alter table bench.subject add fee_id uuid;
    update bench.subject set fee_id = public.create_fee(community_id, 'Maintenance', fund_id, key_id, ${units * 49}.37, '2025-01-01');
    create table bench.narrow (id uuid not null, whose uuid not null, amount numeric not null);
    create table bench.lines as select o.unit_id, o.resident_id from public.occupancies o order by o.id limit 10000;
  `);
}

async function charge(client: pg.Client, rounds: number): Promise<Figure> {
  const charge = () =>
    client.query(`
      select app.post_charges(s.community_id, s.fund_id, s.account_id, 'other', '2025-02-01', '2025-02-15', 'Bench', l.lines)
      from bench.subject s cross join (
        select array_agg(row(l.unit_id, l.resident_id, 12.34, date '2025-02-01', date '2025-02-01', null, null)::app.charge_line) as lines from bench.lines l) l`);
  const floor = () => client.query(`insert into bench.narrow select extensions.uuidv7(), l.unit_id, 12.34 from bench.lines l cross join generate_series(1, 3)`);
  // The accounts of those who are charged for the first time are made before.
  await charge();
  await client.query('analyze');
  const times = { floor: [] as number[], measured: [] as number[] };
  for (let round = 0; round < rounds; round += 1) {
    times.floor.push(await time(floor));
    times.measured.push(await time(charge));
  }
  return atMostTimes('10,000 charges in one call (floor: 30,000 narrow rows)', { floor: median(times.floor), measured: median(times.measured) }, 12);
}

/** Charges the fee for the month that is so many months after January. */
const runOf = (client: pg.Client, month: number) => () =>
  client.query(`select public.run_fee(s.fee_id, (date '2025-01-10' + make_interval(months => ${month}))::date) from bench.subject s`);

/** What copies the rows of the one run there is, table by table, into tables without anything. */
async function bareCopy(client: pg.Client, tables: Record<string, string>): Promise<() => Promise<void>> {
  for (const [table, ofRun] of Object.entries(tables)) {
    await client.query(`
      create table bench.${table} (like public.${table});
      create table bench.${table}_of_run as select t.* from public.${table} t join public.fee_runs r on ${ofRun}`);
  }
  return async () => {
    await client.query('begin');
    for (const table of Object.keys(tables)) await client.query(`insert into bench.${table} select * from bench.${table}_of_run`);
    await client.query('commit');
  };
}

const rowsOfRun = { allocation_lines: 't.allocation_id = r.allocation_id', charges: 't.journal_entry_id = r.journal_entry_id', postings: 't.journal_entry_id = r.journal_entry_id' };

async function runFirst(client: pg.Client, units: number): Promise<Times> {
  await settle(client, units);
  const measured = await time(runOf(client, 0));
  const floor = await bareCopy(client, { ...rowsOfRun, subaccounts: 't.community_id = r.community_id' });
  await floor();
  await client.query('truncate bench.allocation_lines, bench.charges, bench.postings, bench.subaccounts');
  return { floor: await time(floor), measured };
}

async function run(client: pg.Client, rounds: number, units: number): Promise<Figure[]> {
  await runOf(client, 0)();
  await client.query('analyze');
  const floor = await bareCopy(client, rowsOfRun);
  await floor();
  const times = { floor: [] as number[], measured: [] as number[], again: [] as number[] };
  for (let round = 1; round <= rounds; round += 1) {
    await client.query('truncate bench.allocation_lines, bench.charges, bench.postings');
    times.floor.push(await time(floor));
    times.measured.push(await time(runOf(client, round)));
    times.again.push(await time(runOf(client, round)));
  }
  const measured = median(times.measured);
  return [
    atMostTimes(`a fee run over ${units.toLocaleString('en')} units (floor: a copy of the rows)`, { floor: median(times.floor), measured }, 12),
    atMostTimes('the same run again (floor: the run)', { floor: measured, measured: median(times.again) }, 0.25),
  ];
}
