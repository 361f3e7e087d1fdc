import pg from 'pg';
import { withClient } from '../scripts/stack/postgres.ts';
import { interleave } from './support/measure.ts';
import type { Bench, Figure } from './support/report.ts';

const writers = 8;

/** What an entry costs: balanced, complete, within open periods, with the balance of who owes. */
export const ledger: Bench = {
  name: 'ledger',
  title: 'Posting to the ledger',
  about: `app.post_entry of a charge (two legs: a person's receivable and the income of fees; the person's running balance moves) by ${writers} sessions at once, each call a transaction of its own that waits for the disk (synchronous_commit on), against the insert of three narrow rows with a primary key by the same sessions.`,
  async run({ cluster, quick, progress }) {
    return cluster.withDatabase(async (urls) => {
      progress('opening books');
      const books = await withClient(urls.superuser, openBooks);
      const sessions = await Promise.all(
        Array.from({ length: writers }, async () => {
          const client = new pg.Client({ connectionString: urls.owner });
          await client.connect();
          return client;
        }),
      );
      try {
        progress('posting');
        return await post(sessions, books, quick);
      } finally {
        await Promise.all(sessions.map((client) => client.end()));
      }
    });
  },
};

type Books = { community: string; fund: string; receivable: string; income: string; subaccounts: string[] }[];

/** Books of eight communities, of 500 units each, with some thousand entries, so that plans are made for tables that are not empty. */
async function openBooks(client: pg.Client): Promise<Books> {
  await client.query(`
    create schema bench;
    create table bench.line (id uuid not null default extensions.uuidv7(), entry_id uuid not null, amount numeric not null, constraint line_pkey primary key (id));
    grant usage on schema bench to postgres;
    grant all on bench.line to postgres;
    select public.open_books(c.id, '2026-01-01')
    from (select public.create_community(public.create_organization('Bench ' || n, 'bench-' || n, 'BG'), 'Bench ' || n, 'bench-' || n, 'BG', 'EUR', 'Europe/Sofia') as id from generate_series(1, ${writers}) n) c;
    insert into public.units (community_id, number) select c.id, n::text from public.communities c cross join generate_series(1, 500) n;
    create table bench.books as
    select f.community_id as community, f.id as fund, app.account_for(f.community_id, f.id, 'receivable') as receivable, app.account_for(f.community_id, f.id, 'assessment_income') as income,
      array(select e.subaccount_id from app.ensure_subaccounts(f.community_id, f.id, 'receivable', array(select u.id from public.units u where u.community_id = f.community_id), array_fill(null::uuid, array[500])) e) as subaccounts
    from public.funds f where f.kind = 'operating';
    select app.post_entry(b.community, 'charge', '2026-02-01', 'Fees', array[row(b.fund, b.receivable, s, b.income, null, 12.5, null)::app.posting_line])
    from bench.books b cross join lateral unnest(b.subaccounts) s;`);
  await client.query('vacuum analyze');
  return (await client.query<Books[number]>('select * from bench.books')).rows;
}

async function post(sessions: pg.Client[], books: Books, quick: boolean): Promise<Figure[]> {
  const [hot] = books;
  if (!hot) throw new Error('There are no books.');
  let turn = 0;
  const floor = (client: pg.Client) =>
    client.query({ name: 'bare', text: 'insert into bench.line (entry_id, amount) values ($1, 12.5), ($1, 12.5), ($1, 12.5)', values: [hot.fund] });
  const charge = (client: pg.Client, { community, fund, receivable, income }: Books[number], subaccount: string | undefined) =>
    client.query({
      name: 'charge',
      text: `select app.post_entry($1, 'charge', '2026-03-01', 'Fees', array[row($2::uuid, $3::uuid, $4::uuid, $5::uuid, null, 12.5, null)::app.posting_line])`,
      values: [community, fund, receivable, subaccount, income],
    });
  /** All sessions at once, some calls each. */
  const atOnce = (work: (client: pg.Client, writer: number) => Promise<unknown>) => () =>
    Promise.all(
      sessions.map(async (client, writer) => {
        for (let call = 0; call < calls; call += 1) await work(client, writer);
      }),
    );
  const calls = 25;
  const measure = async (what: string, work: (client: pg.Client, writer: number) => Promise<unknown>, least?: number): Promise<Figure> => {
    const times = await interleave({ floor: atOnce(floor), measured: atOnce(work) }, { rounds: quick ? 8 : 30, warmup: 3 });
    const perSecond = (milliseconds: number) => `${Math.round((1000 * writers * calls) / milliseconds).toLocaleString('en')}/s`;
    const ratio = times.floor / times.measured;
    return {
      what,
      floor: perSecond(times.floor),
      measured: perSecond(times.measured),
      result: `${ratio.toFixed(2)}×`,
      isMet: least === undefined || ratio >= least,
      ...(least !== undefined && { bound: `≥ ${least}×` }),
    };
  };
  const next = ({ subaccounts }: Books[number]) => subaccounts[(turn += 7) % subaccounts.length];
  return [
    await measure('eight sessions, each in another community', (client, writer) => charge(client, books[writer] ?? hot, next(books[writer] ?? hot)), 0.4),
    await measure('eight sessions, one control account and one income account', (client) => charge(client, hot, next(hot)), 0.3),
    await measure('eight sessions, one subaccount: they wait for each other’s disk', (client) => charge(client, hot, hot.subaccounts[0])),
  ];
}
