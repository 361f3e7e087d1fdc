import type { SupabaseClient } from '@supabase/supabase-js';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Row } from '../support/database.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';

// The books as an app reaches them, and what must hold while several keep them at once, with real sessions.

let stack: TestStack;
let accountant: SupabaseClient;
let community: string;
const account: Record<string, string> = {};
const fund: Record<string, string> = {};
const subaccounts: string[] = [];
beforeAll(async () => {
  stack = await startTestStack();
  const { id: accountantId } = await stack.createUser({ email: 'books@test.example' });
  const [made] = await stack.sql<{ id: string }>(
    `select public.create_community(o.id, 'Books', 'books', 'BG', 'EUR', 'Europe/Sofia') as id from public.organizations o where o.slug = 'domus-care'`,
  );
  community = made?.id as string;
  await stack.sql(`select public.grant_role($1, 'admin', community_id => $2)`, [accountantId, community]);
  accountant = await stack.client('books@test.example');
  await accountant.rpc('open_books', { community_id: community, opened_on: '2026-01-01' }).throwOnError();
  for (const row of await stack.sql<{ id: string; name: string; fund_id: string; code: string }>(
    `select distinct on (f.code, a.purpose) a.id, lower(f.code) || '.' || a.purpose as name, f.id as fund_id, lower(f.code) as code
     from public.accounts a join public.funds f on f.id = a.fund_id where a.community_id = $1 order by f.code, a.purpose, a.code`,
    [community],
  )) {
    account[row.name] = row.id;
    fund[row.code] = row.fund_id;
  }
  await stack.sql(`insert into public.units (community_id, number) select $1, n::text from generate_series(1, 20) n`, [community]);
  const known = await stack.sql<{ id: string }>(
    `select e.subaccount_id as id from app.ensure_subaccounts($1, $2, 'receivable', array(select u.id from public.units u where u.community_id = $1), array_fill(null::uuid, array[20])) e`,
    [community, fund.oper],
  );
  subaccounts.push(...known.map(({ id }) => id));
});
afterAll(() => stack.stop());

type Posting = Partial<Record<'debit_account_id' | 'debit_subaccount_id' | 'credit_account_id' | 'credit_subaccount_id', string | undefined>> & { amount: number | string };

const income = (amount: number | string): Posting[] => [{ debit_account_id: account['oper.bank'], credit_account_id: account['oper.other_income'], amount }];
const charge = (subaccount: string | undefined, amount: number): Posting => ({
  debit_account_id: account['oper.receivable'],
  debit_subaccount_id: subaccount,
  credit_account_id: account['oper.assessment_income'],
  amount,
});
const payment = (subaccount: string | undefined, amount: number): Posting => ({
  debit_account_id: account['oper.bank'],
  credit_account_id: account['oper.receivable'],
  credit_subaccount_id: subaccount,
  amount,
});
const post = (postings: Posting[], more: Row = {}) =>
  accountant.rpc('post_journal_entry', { community_id: community, effective_on: '2026-06-01', description: 'Entry', postings, ...more });
const told = ({ status, error }: { status: number; error: { message: string } | null }): [number, string | undefined] => [status, error?.message];

/** What the books come to: every fund, every balance against its postings, and all that verify_ledger looks for. */
async function expectSoundBooks(): Promise<void> {
  expect(
    await stack.sql(`select fund_id, sum(coalesce(debit, -credit)) from public.ledger_lines where community_id = $1 group by 1 having sum(coalesce(debit, -credit)) <> 0`, [community]),
    'every fund sums to nothing',
  ).toEqual([]);
  expect(
    await stack.sql(
      `select s.id from public.subaccounts s left join public.ledger_lines l on l.subaccount_id = s.id where s.community_id = $1
       group by s.id having s.balance <> coalesce(sum(coalesce(l.debit, -l.credit)), 0)`,
      [community],
    ),
    'every balance is the sum of its postings',
  ).toEqual([]);
  expect(await stack.sql('select problem, detail from public.verify_ledger($1)', [community]), 'what verify_ledger finds').toEqual([]);
}
const countOfEntries = async (): Promise<number> => Number((await stack.sql(`select count(*) as n from public.journal_entries where community_id = $1`, [community]))[0]?.n);

describe('an app', () => {
  test.each<[string, () => PromiseLike<{ status: number; error: { message: string } | null }>, string]>([
    ['a negative amount', () => post(income(-5)), 'invalid_amount'],
    ['no amount', () => post(income(0)), 'invalid_amount'],
    ['three decimals of a currency of two', () => post(income('1.005')), 'invalid_amount'],
    ['an account of another fund', () => post([{ debit_account_id: account['oper.bank'], credit_account_id: account['res.other_income'], amount: 5 }]), 'account_refused'],
    ['an account of another community', () => post([{ debit_account_id: account['oper.bank'], credit_account_id: foreign, amount: 5 }]), 'account_refused'],
    ['a debit account of another community', () => post([{ debit_account_id: foreign, credit_account_id: account['oper.bank'], amount: 5 }]), 'account_refused'],
    ['a control account that says nobody’s', () => post([charge(undefined, 5)]), 'account_refused'],
    ['a day before the books', () => post(income(5), { effective_on: '2025-12-31' }), 'before_books'],
  ])('is refused %s, and nothing is written', async (_what, ask, token) => {
    const before = await countOfEntries();
    const answer = await ask();
    expect(told(answer)).toEqual([422, token]);
    expect(await countOfEntries()).toBe(before);
  });
  let foreign: string;
  beforeAll(async () => {
    foreign = (await stack.sql<{ id: string }>(`select a.id from public.accounts a where a.community_id <> $1 and a.purpose = 'bank' limit 1`, [community]))[0]?.id as string;
    expect(foreign).toBeDefined();
  });

  test('reads the journal with its postings, and in classic form', async () => {
    const { data: id } = await post([charge(subaccounts[0], 12.5), charge(subaccounts[1], 7.5)], { description: 'Two at once' }).throwOnError();
    const { data: entry } = await accountant.from('journal_entries').select('description, total, postings(amount)').eq('id', id).single().throwOnError();
    expect(entry).toEqual({ description: 'Two at once', total: 20, postings: [{ amount: 12.5 }, { amount: 7.5 }] });
    const { data: postings } = await accountant.from('postings').select('amount, journal_entries(description)').eq('journal_entry_id', id).order('id').throwOnError();
    expect(postings).toEqual([12.5, 7.5].map((amount) => ({ amount, journal_entries: { description: 'Two at once' } })));
    const { data: lines } = await accountant.from('ledger_lines').select('debit, credit').eq('journal_entry_id', id).order('debit').order('credit').throwOnError();
    expect(lines).toEqual([
      { debit: 7.5, credit: null },
      { debit: 12.5, credit: null },
      { debit: null, credit: 7.5 },
      { debit: null, credit: 12.5 },
    ]);
  });

  test('writes to the journal by RPC alone', async () => {
    for (const table of ['journal_entries', 'postings', 'subaccounts', 'account_snapshots', 'ledgers']) {
      expect((await accountant.from(table).update({ community_id: community }).eq('community_id', community)).error?.code).toBe('42501');
      expect((await accountant.from(table).insert({ community_id: community })).error?.code).toBe('42501');
      expect((await accountant.from(table).delete().eq('community_id', community)).error?.code).toBe('42501');
    }
  });
});

describe('at the same time', () => {
  const sessions: pg.Client[] = [];
  /** A session of its own, as role postgres. */
  async function session(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: stack.databaseUrl });
    await client.connect();
    sessions.push(client);
    return client;
  }
  afterEach(async () => {
    await Promise.all(sessions.splice(0).map((client) => client.end()));
  });

  /** Starts a statement and returns when it waits for another session. */
  async function startBlocked(client: pg.Client, text: string, values: unknown[]): Promise<{ outcome: Promise<string> }> {
    const [{ pid }] = (await client.query('select pg_backend_pid() as pid')).rows as [{ pid: number }];
    let settled = false;
    const outcome = client
      .query(text, values)
      .then(() => 'done', (error: unknown) => (error instanceof Error ? error.message : String(error)))
      .finally(() => (settled = true));
    for (;;) {
      const [row] = await stack.sql('select cardinality(pg_blocking_pids($1)) > 0 as waits', [pid]);
      if (row?.waits === true) return { outcome };
      if (settled) throw new Error(`it did not wait: ${await outcome}`);
    }
  }
  const enter = `select app.post_entry($1, 'manual', $2, 'Entry', array[row($3::uuid, $4::uuid, null, $5::uuid, null, 3, null)::app.posting_line])`;
  const entered = (day: string) => [community, day, fund.oper, account['oper.bank'], account['oper.other_income']];

  test('closing waits for who is posting, and counts what they posted', async () => {
    const [writer, closer] = [await session(), await session()];
    await writer.query('begin');
    await writer.query(enter, entered('2026-01-20'));
    const { outcome } = await startBlocked(closer, 'select public.close_period($1, $2)', [community, '2026-01-31']);
    await writer.query('commit');
    expect(await outcome).toBe('done');
    const [snapshot] = await stack.sql(
      `select s.debit_total from public.account_snapshots s join public.accounting_periods p on p.id = s.period_id where s.account_id = $1 and p.ends_on = '2026-01-31'`,
      [account['oper.bank']],
    );
    expect(Number(snapshot?.debit_total)).toBe(3);
    await expectSoundBooks();
  });

  test('who posts while a period is being closed waits, and is refused if it was', async () => {
    const [writer, closer] = [await session(), await session()];
    await closer.query('begin');
    await closer.query('select public.close_period($1, $2)', [community, '2026-02-28']);
    const before = await countOfEntries();
    const { outcome } = await startBlocked(writer, enter, entered('2026-02-15'));
    await closer.query('commit');
    expect(await outcome).toBe('period_closed');
    expect(await countOfEntries()).toBe(before);
    expect(told(await post(income(5), { effective_on: '2026-02-28' }))).toEqual([409, 'period_closed']);
  });

  test('… and posts if it was not', async () => {
    const [writer, closer] = [await session(), await session()];
    await closer.query('begin');
    await closer.query('select public.close_period($1, $2)', [community, '2026-03-31']);
    const { outcome } = await startBlocked(writer, enter, entered('2026-03-15'));
    await closer.query('rollback');
    expect(await outcome).toBe('done');
    await expectSoundBooks();
  });

  test('many post while a month is closed: each entry is in the snapshot or was refused', async () => {
    const outcomes = await Promise.all([
      ...Array.from({ length: 40 }, () => post(income(1), { effective_on: '2026-03-31' }).then(told)),
      accountant.rpc('close_period', { community_id: community, ends_on: '2026-03-31' }).then(told),
      ...Array.from({ length: 40 }, () => post(income(1), { effective_on: '2026-03-31' }).then(told)),
    ]);
    expect(new Set(outcomes.map(([status, token]) => `${status} ${token ?? ''}`.trim()))).toEqual(new Set(['200', '409 period_closed']));
    const [compared] = await stack.sql(
      `select (select s.debit_total from public.account_snapshots s join public.accounting_periods p on p.id = s.period_id where s.account_id = $1 and p.ends_on = '2026-03-31') as kept,
        (select sum(p.amount) from public.postings p where p.debit_account_id = $1 and p.effective_on <= '2026-03-31') as posted`,
      [account['oper.bank']],
    );
    expect(compared?.kept).toBe(compared?.posted);
    await expectSoundBooks();
  });

  test('of eight who close the same month, one does', async () => {
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => accountant.rpc('close_period', { community_id: community, ends_on: '2026-04-30' }).then(told)));
    expect(outcomes.filter(([status]) => status === 200)).toHaveLength(1);
    expect(new Set(outcomes.filter(([status]) => status !== 200).map(([, token]) => token))).toEqual(new Set(['period_order']));
  });

  test('of eight who take one entry back, one does', async () => {
    const { data: id } = await post([charge(subaccounts[3], 40)]).throwOnError();
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => accountant.rpc('reverse_journal_entry', { entry_id: id, reason: 'Twice' }).then(told)));
    expect(outcomes.filter(([status]) => status === 200)).toHaveLength(1);
    expect(new Set(outcomes.filter(([status]) => status !== 200).map(([status, token]) => `${status} ${token}`))).toEqual(new Set(['409 entry_reversed']));
    expect(await stack.sql('select balance::float from public.subaccounts where id = $1', [subaccounts[3]])).toEqual([{ balance: 0 }]);
    await expectSoundBooks();
  });

  test('one request that arrives eight times is one entry, and another with its key is refused', async () => {
    const before = await countOfEntries();
    const answers = await Promise.all(Array.from({ length: 8 }, () => post(income(9), { idempotency_key: 'once' })));
    expect(new Set(answers.map(({ data, error }) => (error ? error.message : data))).size).toBe(1);
    expect(await countOfEntries()).toBe(before + 1);
    const mixed = await Promise.all(Array.from({ length: 8 }, (_, n) => post(income(n < 4 ? 1 : 2), { idempotency_key: 'mixed' })));
    expect(new Set(mixed.flatMap(({ data }) => (data ? [data] : []))).size).toBe(1);
    expect(mixed.filter(({ error }) => error?.message === 'idempotency_conflict')).toHaveLength(4);
    expect(await countOfEntries()).toBe(before + 2);
  });

  test('eight write to one account of one person: no amount is lost', async () => {
    const [start] = await stack.sql(`select balance::float as balance from public.subaccounts where id = $1`, [subaccounts[5]]);
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, async (_, writer) => {
        const done = [];
        for (let n = 0; n < 10; n += 1) done.push(told(await post(writer % 2 ? [payment(subaccounts[5], 1)] : [charge(subaccounts[5], 3)])));
        return done;
      }),
    );
    expect(new Set(outcomes.flat().map(([status]) => status))).toEqual(new Set([200]));
    expect(await stack.sql('select balance::float as balance from public.subaccounts where id = $1', [subaccounts[5]])).toEqual([{ balance: Number(start?.balance) + 40 * 3 - 40 }]);
    await expectSoundBooks();
  });

  test('eight write to the same twenty accounts, each in an order of its own, and nobody deadlocks', async () => {
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, async (_, writer) => {
        const done = [];
        for (let n = 0; n < 5; n += 1) {
          const order = subaccounts.map((id, index) => ({ id, rank: (index * (2 * writer + 3) + n) % 21 })).sort((a, b) => a.rank - b.rank);
          done.push(told(await post(order.map(({ id }, index) => (index % 3 === writer % 3 ? payment(id, 2) : charge(id, 2))))));
        }
        return done;
      }),
    );
    expect(outcomes.flat().filter(([status]) => status !== 200)).toEqual([]);
    await expectSoundBooks();
  });

  test('what is held is paid out once, however many ask for it, and what was moved by hand is told with its author', async () => {
    const { id } = await stack.createUser({ email: 'bookkeeper@test.example' });
    await stack.sql(`select public.grant_role($1, 'accountant', community_id => $2)`, [id, community]);
    const bookkeeper = await stack.client('bookkeeper@test.example');
    const enter = (postings: Posting[], description: string) => bookkeeper.rpc('post_journal_entry', { community_id: community, effective_on: '2026-06-03', description, postings }).then(told);
    const credit = { credit_account_id: account['oper.receivable'], credit_subaccount_id: subaccounts[7] };
    const owed = async () => Number((await stack.sql('select balance from public.subaccounts where id = $1', [subaccounts[7]]))[0]?.balance);
    const before = await owed();
    expect(await enter([{ debit_account_id: account['oper.bank'], credit_account_id: account['oper.suspense'], amount: 3 }], 'From whom?')).toEqual([200, undefined]);
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => enter([{ debit_account_id: account['oper.suspense'], ...credit, amount: 1 }], 'Found out')));
    expect(outcomes.map(([status, token]) => `${status} ${token ?? ''}`.trim()).sort()).toEqual([...Array<string>(3).fill('200'), ...Array<string>(5).fill('403 receivable_by_document')]);
    expect(await enter([{ debit_account_id: account['oper.bad_debt_expense'], ...credit, amount: 1 }], 'Let off')).toEqual([403, 'receivable_by_document']);
    expect(await owed()).toBe(before - 3);
    const { data: moved } = await bookkeeper.rpc('movements_by_hand', { community_id: community, from_day: '2026-06-03', to_day: '2026-06-03' }).eq('booked_by', id).throwOnError();
    expect((moved as Row[]).map(({ movement, amount, description }) => [movement, amount, description])).toEqual([...Array<unknown[]>(3).fill(['applied', 1, 'Found out']), ['received', 3, 'From whom?']]);
    await expectSoundBooks();
  });

  test('two funds lend to each other from eight sides at once, and what one claims the other owes', async () => {
    const transfer = (from: string | undefined, to: string | undefined, amount: number) =>
      accountant.rpc('transfer_between_funds', { from_fund_id: from, to_fund_id: to, amount, effective_on: '2026-06-02', description: 'Lent' }).then(told);
    const outcomes = await Promise.all(Array.from({ length: 16 }, (_, n) => (n % 2 ? transfer(fund.oper, fund.res, 10 + n) : transfer(fund.res, fund.oper, 10))));
    expect(outcomes.filter(([status]) => status !== 200)).toEqual([]);
    const claims = await stack.sql<{ fund_id: string; purpose: string; balance: number }>(
      `select a.fund_id, a.purpose, sum(coalesce(l.debit, -l.credit))::float as balance from public.ledger_lines l join public.accounts a on a.id = l.account_id and a.counter_fund_id is not null
       where l.community_id = $1 group by 1, 2`,
      [community],
    );
    const of = (id: string | undefined, purpose: string) => claims.find((claim) => claim.fund_id === id && claim.purpose === purpose)?.balance ?? 0;
    expect([of(fund.oper, 'due_from') + of(fund.res, 'due_to'), of(fund.res, 'due_from') + of(fund.oper, 'due_to')]).toEqual([0, 0]);
    // Debts are paid back before claims arise: one of the two owes, and not both.
    expect([of(fund.oper, 'due_to'), of(fund.res, 'due_to')].filter((owed) => owed !== 0)).toHaveLength(1);
    await expectSoundBooks();
  });

  test('what needs to see the latest commits is refused where it could not', async () => {
    const writer = await session();
    await writer.query('begin isolation level repeatable read');
    await expect(writer.query(enter, entered('2026-06-01'))).rejects.toThrow('isolation_refused');
    await writer.query('rollback');
  });
});
