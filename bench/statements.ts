import pg from 'pg';
import { withClient } from '../scripts/stack/postgres.ts';
import { interleave, time } from './support/measure.ts';
import { duration, reported, type Bench, type Figure } from './support/report.ts';

/** What it takes to say what the books say. */
export const statements: Bench = {
  name: 'statements',
  title: 'Statements',
  about:
    'The books of one community with two funds, 2,000 subaccounts and 1,000,000 postings of three years, none of them closed, so that no snapshot helps: each statement is the sum of all postings. Asked by a manager, through row-level security, against one plain statement of the owner that sums the amounts of a bare copy by their accounts.',
  async run({ cluster, quick, progress }) {
    return cluster.withDatabase(async (urls) => {
      const postings = quick ? 100_000 : 1_000_000;
      progress(`posting ${postings.toLocaleString('en')} times`);
      const { claims, community } = await withClient(urls.superuser, (client) => prepare(client, postings));
      const owner = new pg.Client({ connectionString: urls.owner });
      const caller = new pg.Client({ connectionString: urls.owner });
      await Promise.all([owner.connect(), caller.connect()]);
      try {
        await caller.query(`select set_config('request.jwt.claims', $1, false)`, [JSON.stringify(claims)]);
        await caller.query('set role authenticated');
        const ask = (text: string) => () => caller.query(text, [community]);
        progress('asking for statements');
        const times = await interleave(
          {
            floor: () => owner.query('select p.debit_account_id, p.credit_account_id, sum(p.amount) from bench.postings p where p.effective_on <= $1 group by 1, 2', [lastDay]),
            trial: ask(`select * from public.trial_balance($1, '${lastDay}')`),
            sheet: ask(`select * from public.balance_sheet($1, '${lastDay}')`),
            income: ask(`select * from public.income_statement($1, '2024-01-01', '${lastDay}')`),
            cash: ask(`select * from public.cash_flow($1, '2024-12-01', '${lastDay}')`),
            fund: ask(`select * from public.fund_report($1, '2024-01-01', '${lastDay}')`),
          },
          { rounds: 5, warmup: 1 },
        );
        const among = `over ${postings.toLocaleString('en')} postings`;
        const figures = [
          atMostSecond(`trial balance ${among}`, times.floor, times.trial),
          reported(`balance sheet ${among}`, { floor: times.floor, measured: times.sheet }),
          reported(`income statement of the third year ${among}`, { floor: times.floor, measured: times.income }),
          reported(`cash flow of the last month ${among}`, { floor: times.floor, measured: times.cash }),
          reported(`fund report of the third year ${among}`, { floor: times.floor, measured: times.fund }),
        ];
        progress('verifying the books');
        const found = await caller.query('select * from public.verify_ledger($1)', [community]);
        if (found.rows.length > 0) throw new Error(`The books of the benchmark are not sound: ${JSON.stringify(found.rows[0])}`);
        figures.push(reported(`verify_ledger ${among}`, { floor: times.floor, measured: await time(ask('select * from public.verify_ledger($1)')) }));
        progress('sealing them, and verifying again');
        await owner.query('select app.seal_ledger($1)', [community]);
        await withClient(urls.superuser, (client) => client.query('analyze private.sealed_entries'));
        const forged = await caller.query('select * from public.verify_ledger($1)', [community]);
        if (forged.rows.length > 0) throw new Error(`The seals of the benchmark are not sound: ${JSON.stringify(forged.rows[0])}`);
        figures.push(reported(`verify_ledger ${among}, all of them sealed`, { floor: times.floor, measured: await time(ask('select * from public.verify_ledger($1)')) }));
        progress('closing two years');
        await withClient(urls.owner, (client) => client.query(`select public.close_period($1, y::date) from unnest(array['2022-12-31', '2023-12-31']) y`, [community]));
        const closed = await interleave(
          { floor: () => owner.query('select count(*) from bench.postings p where p.effective_on > $1', ['2023-12-31']), trial: ask(`select * from public.trial_balance($1, '${lastDay}')`) },
          { rounds: 5, warmup: 1 },
        );
        figures.push(reported('trial balance once two of the three years are closed, against counting the third', { floor: closed.floor, measured: closed.trial }));
        return figures;
      } finally {
        await Promise.all([owner.end(), caller.end()]);
      }
    });
  },
};

const lastDay = '2024-12-31';

function atMostSecond(what: string, floor: number, measured: number): Figure {
  return { what, floor: duration(floor), measured: duration(measured), result: duration(measured), bound: '≤ 1 s', isMet: measured <= 1000 };
}

/** Fills the books past the triggers, which would take minutes: entries of two postings each, charges and what is paid. */
async function prepare(client: pg.Client, postings: number): Promise<{ claims: object; community: string }> {
  await client.query('set role postgres');
  const { rows } = await client.query<{ community: string; user: string }>(
    `with manager as (insert into auth.users (id, email, email_confirmed_at) values (gen_random_uuid(), 'manager@bench.example', now()) returning id)
     select public.create_community(public.create_organization('Bench', 'bench', 'BG'), 'Bench', 'bench', 'BG', 'EUR', 'Europe/Sofia', 'bg', 100) as community, manager.id as user from manager`,
  );
  const { community, user } = rows[0]!;
  await client.query(`select public.grant_role($1, 'manager', community_id => $2)`, [user, community]);
  await client.query(`select public.open_books($1, '2022-01-01')`, [community]);
  await client.query(`insert into public.units (community_id, number) select $1, n::text from generate_series(1, 1000) n`, [community]);
  await client.query(
    `select app.ensure_subaccounts(f.community_id, f.id, 'receivable', array(select u.id from public.units u where u.community_id = f.community_id order by u.id), array_fill(null::uuid, array[1000]))
     from public.funds f where f.community_id = $1`,
    [community],
  );
  await client.query('reset role; set session_replication_role = replica');
  await client.query(
    `create schema bench;
     create temporary table plan as
     select e as id, extensions.uuidv7() as entry, date '2022-01-01' + (e * 1096::bigint / (select max(x) from generate_series(1, ${postings / 2}) x))::int % 1096 as day, e % 2 as fund, e % 1000 as unit
     from generate_series(1, ${postings / 2}) e`,
  );
  await client.query(
    `insert into public.journal_entries (id, description, community_id, decimals, kind, effective_on, posting_count, total)
     select p.entry, 'Bench', $1, 2, 'manual', p.day, 2, 151 + 2 * (p.id % 400) from plan p`,
    [community],
  );
  // One charge to a unit, and one expense paid from the bank.
  await client.query(
    `with chart as (
       select row_number() over (order by f.code) - 1 as fund, f.id as fund_id,
         (select a.id from public.accounts a where a.fund_id = f.id and a.purpose = 'receivable') as receivable, (select a.id from public.accounts a where a.fund_id = f.id and a.purpose = 'bank') as bank,
         (select a.id from public.accounts a where a.fund_id = f.id and a.purpose = 'assessment_income') as fees, (select a.id from public.accounts a where a.fund_id = f.id and a.code = '5000') as expense
       from public.funds f where f.community_id = $1
     ),
     units as (
       select s.id, s.account_id, row_number() over (partition by s.account_id order by s.id) - 1 as unit from public.subaccounts s where s.community_id = $1
     )
     insert into public.postings (journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, debit_subaccount_id, credit_account_id, credit_subaccount_id, amount)
     select p.entry, $1, c.fund_id, 2, p.day, s.debit, s.debit_subaccount, s.credit, s.credit_subaccount, s.amount
     from plan p
     join chart c on c.fund = p.fund
     join units u on u.account_id = c.receivable and u.unit = p.unit
     cross join lateral (values (c.receivable, u.id, c.fees, null::uuid, 101.00 + p.id % 400), (c.expense, null::uuid, c.bank, null::uuid, 50.00 + p.id % 400)) s (debit, debit_subaccount, credit, credit_subaccount, amount)`,
    [community],
  );
  await client.query(
    `update public.subaccounts s set balance = p.amount
     from (select debit_subaccount_id, sum(amount) as amount from public.postings where debit_subaccount_id is not null group by 1) p where p.debit_subaccount_id = s.id`,
  );
  await client.query('create table bench.postings as select journal_entry_id, fund_id, effective_on, debit_account_id, credit_account_id, amount from public.postings; grant usage on schema bench to postgres; grant select on bench.postings to postgres');
  await client.query('set session_replication_role = origin');
  await client.query('vacuum analyze');
  const { rows: tokens } = await client.query<{ claims: object }>(
    `select app.access_token(jsonb_build_object('user_id', $1::uuid, 'claims', jsonb_build_object('sub', $1::uuid, 'role', 'authenticated', 'app_metadata', '{}'::jsonb))) -> 'claims' as claims`,
    [user],
  );
  return { claims: tokens[0]!.claims, community };
}
