import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

// What a neighbour owes is nobody's business: not through a table, a view, an RPC, an embedded resource, a count or an error.

let stack: TestStack;
let community: string;
/** Everything by which the neighbour's debt could be recognized. */
const secrets = { amount: '7654.32', half: '3827.16', words: 'Marble for the neighbour', reason: 'The neighbour is broke' };
const ids = { unit: '', resident: '', charge: '', entry: '', subaccount: '', adjustment: '', fund: '', receivable: '' };

beforeAll(async () => {
  stack = await startTestStack();
  const only = async (text: string, params: unknown[] = []): Promise<string> => {
    const [row] = await stack.sql<{ id: string }>(text, params);
    if (!row) throw new Error(`nothing answers: ${text}`);
    return row.id;
  };
  community = await only(`select id from public.communities where slug = 'lipa-court'`);
  await stack.sql(
    `select public.open_books(c.id, current_date - 60) from public.communities c where c.id = $1 and not exists (select from public.ledgers l where l.community_id = c.id)`,
    [community],
  );
  ids.fund = await only(`select id from public.funds where community_id = $1 and kind = 'operating' and deleted_at is null`, [community]);
  ids.receivable = await only(`select app.account_for($1, $2, 'receivable') as id`, [community, ids.fund]);
  ids.unit = await only(`select id from public.units where community_id = $1 and number = '7'`, [community]);
  ids.resident = await only(`select resident_id as id from public.occupancies where community_id = $1 and unit_id = $2 and role = 'owner'`, [community, ids.unit]);
  ids.entry = await only(
    `select app.post_charges($1, $2, app.account_for($1, $2, 'assessment_income'), 'other', app.today_in($1), app.today_in($1) + 10, $3,
       array[row($4, $5, $6, app.today_in($1), app.today_in($1), null, null)::app.charge_line]) as id`,
    [community, ids.fund, secrets.words, ids.unit, ids.resident, secrets.amount],
  );
  ids.charge = await only(`select id from public.charges where journal_entry_id = $1`, [ids.entry]);
  ids.subaccount = await only(`select subaccount_id as id from public.charges where id = $1`, [ids.charge]);
  // What somebody may see of their own, so that "nothing" does not mean that nothing works.
  await stack.sql(
    `select app.post_charges($1, $2, app.account_for($1, $2, 'assessment_income'), 'other', app.today_in($1), app.today_in($1) + 10, 'Own matter',
       array(select row(o.unit_id, r.id, 12.34, app.today_in($1), app.today_in($1), null, null)::app.charge_line
         from public.residents r join public.profiles p on p.id = r.user_id join public.occupancies o on o.resident_id = r.id
         where r.community_id = $1 and o.role in ('owner', 'tenant') and o.deleted_at is null))`,
    [community, ids.fund],
  );
  const manager = await stack.client('manager@demo.example');
  const { data } = await manager.rpc('adjust_charge', { charge_id: ids.charge, kind: 'write_off', reason: secrets.reason, amount: 3827.16 }).throwOnError();
  ids.adjustment = data;
});
afterAll(() => stack.stop());

/** Where something of the neighbour's debt turns up in an answer. */
const leaks = (answer: unknown, allowed: string[] = []): string[] => {
  const told = JSON.stringify(answer) ?? '';
  const looked = { ...secrets, charge: ids.charge, entry: ids.entry, subaccount: ids.subaccount, adjustment: ids.adjustment };
  return Object.entries(looked).flatMap(([what, value]) => (!allowed.includes(what) && told.includes(value) ? [what] : []));
};

const relations = async (): Promise<string[]> =>
  (await stack.sql<{ name: string }>(`select c.relname as name from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'p') order by 1`)).map(({ name }) => name);

/** RPCs that read money, with arguments that aim at the neighbour. */
const questions = (): [string, Record<string, unknown>][] => {
  const [from_day, to_day] = ['2000-01-01', '2099-12-31'];
  return [
    ['trial_balance', { community_id: community, on_day: to_day }],
    ['trial_balance', { community_id: community, on_day: to_day, fund_id: ids.fund }],
    ['balance_sheet', { community_id: community, on_day: to_day }],
    ['income_statement', { community_id: community, from_day, to_day }],
    ['cash_flow', { community_id: community, from_day, to_day }],
    ['fund_report', { community_id: community, from_day, to_day }],
    ['general_ledger', { account_id: ids.receivable, from_day, to_day }],
    ['general_ledger', { account_id: ids.receivable, from_day, to_day, subaccount_id: ids.subaccount }],
    ['account_statement', { subaccount_id: ids.subaccount }],
    ['account_statement', { subaccount_id: ids.subaccount, from_day, to_day }],
    ['receivables_aging', { community_id: community }],
    ['receivables_aging', { community_id: community, on_day: to_day, fund_id: ids.fund }],
    ['verify_ledger', { community_id: community }],
    ['search', { query: secrets.words }],
    ['search', { query: secrets.amount }],
    ['record_history', { table_name: 'adjustments', id: ids.adjustment }],
    ['record_history', { table_name: 'charges', id: ids.charge }],
    ['export_personal_data', {}],
    ['export_personal_data', { resident_id: ids.resident }],
  ];
};

const others = ['owner@demo.example', 'tenant@demo.example', 'family@demo.example', 'guard@demo.example', 'gerente@demo.example'];

describe.each([...others, undefined])('%s', (email) => {
  let client: SupabaseClient;
  beforeAll(async () => {
    client = await stack.client(email);
  });

  test('finds nothing of a neighbour’s debt in any table or view', async () => {
    const names = await relations();
    expect(names).toEqual(expect.arrayContaining(['charges', 'postings', 'journal_entries', 'subaccounts', 'ledger_lines', 'unit_accounts', 'adjustments', 'allocation_lines']));
    const found: string[] = [];
    for (const name of names) {
      const { data } = await client.from(name).select('*').limit(2000);
      found.push(...leaks(data).map((what) => `${name}: ${what}`));
    }
    expect(found).toEqual([]);
  });

  test('nor in what an RPC answers, or refuses', async () => {
    const found: string[] = [];
    for (const [name, args] of questions()) {
      const { data, error } = await client.rpc(name, args);
      found.push(...leaks([data, error?.message, error?.hint, error?.details]).map((what) => `${name}: ${what}`));
    }
    expect(found).toEqual([]);
  });

  test('nor by embedding, filtering or counting', async () => {
    for (const [from, select] of [
      ['units', 'number, charges(*)'], ['units', 'number, subaccounts(*)'], ['residents', 'full_name, subaccounts(balance)'],
      ['funds', 'name, subaccounts(balance, unit_id)'], ['journal_entries', '*, postings(*)'], ['subaccounts', '*, units(number), residents(full_name)'],
    ] as const) {
      const { data } = await client.from(from).select(select);
      expect(leaks(data), `${from}: ${select}`).toEqual([]);
    }
    for (const [from, column, value] of [
      ['charges', 'id', ids.charge], ['charges', 'unit_id', ids.unit], ['charges', 'amount', secrets.amount], ['charges', 'description', secrets.words],
      ['subaccounts', 'id', ids.subaccount], ['subaccounts', 'resident_id', ids.resident], ['postings', 'id', ids.charge], ['postings', 'amount', secrets.amount],
      ['journal_entries', 'id', ids.entry], ['journal_entries', 'total', secrets.amount], ['adjustments', 'charge_id', ids.charge], ['adjustments', 'reason', secrets.reason],
      ['unit_accounts', 'unit_id', ids.unit], ['ledger_lines', 'subaccount_id', ids.subaccount],
    ] as const) {
      const { count } = await client.from(from).select('*', { count: 'exact', head: true }).eq(column, value);
      expect(count ?? 0, `${from}.${column}`).toBe(0);
    }
    for (const estimate of ['planned', 'estimated'] as const) {
      const { count, error } = await client.from('charges').select('id', { count: estimate }).eq('unit_id', ids.unit);
      expect(count).toBeNull();
      expect(error?.message).toBe(email === undefined ? 'permission denied for table charges' : 'count_refused');
    }
  });

  test('and is told the same of the neighbour’s charge as of one that does not exist', async () => {
    const nowhere = '00000000-0000-7000-8000-000000000000';
    for (const [name, args] of [
      ['adjust_charge', (id: string) => ({ charge_id: id === 'real' ? ids.charge : nowhere, kind: 'waiver', reason: 'I say so', amount: 99999 })],
      ['reverse_adjustment', (id: string) => ({ adjustment_id: id === 'real' ? ids.adjustment : nowhere, reason: 'I say so' })],
      ['account_statement', (id: string) => ({ subaccount_id: id === 'real' ? ids.subaccount : nowhere })],
    ] as const) {
      const [real, unreal] = [await client.rpc(name, args('real')), await client.rpc(name, args('unreal'))];
      expect(real.error, name).not.toBeNull();
      expect(real.error, name).toEqual(unreal.error);
    }
  });
});

test('the owner and the tenant see the own account, and the accountant all', async () => {
  for (const email of ['owner@demo.example', 'tenant@demo.example']) {
    const client = await stack.client(email);
    const { data } = await client.from('charges').select('amount, unit_id').eq('description', 'Own matter').throwOnError();
    expect(new Set(data.map(({ amount }) => amount))).toEqual(new Set([12.34]));
    const { data: accounts } = await client.from('unit_accounts').select('id, balance, fund, account').eq('is_mine', true).throwOnError();
    expect(accounts.length).toBeGreaterThan(0);
    expect(accounts.every(({ fund, account }) => fund !== null && account !== null)).toBe(true);
    const { data: statement } = await client.rpc('account_statement', { subaccount_id: accounts[0]?.id }).throwOnError();
    expect(statement.at(-1)).toMatchObject({ line_kind: 'closing', balance: accounts[0]?.balance });
    // What the books began with is one entry about everybody; the own line of it says what it is all the same.
    const whole = await Promise.all(accounts.map(({ id }) => client.rpc('account_statement', { subaccount_id: id, from_day: '2000-01-01' }).throwOnError()));
    const lines = whole.flatMap(({ data }) => data as { line_kind: string; description: string }[]).filter(({ line_kind }) => line_kind === 'line').map(({ description }) => description);
    expect(lines).toContain('Opening balance');
    expect(lines).not.toContain('Posting');
  }
  const accountant = await stack.client('accountant@demo.example');
  const { data: aging } = await accountant.rpc('receivables_aging', { community_id: community }).throwOnError();
  expect(leaks(aging)).toContain('subaccount');
  const { data: family } = await (await stack.client('family@demo.example')).from('unit_accounts').select('*').throwOnError();
  expect(family).toEqual([]);
});

test('whoever sold the flat or lost the role reads nothing on the next request, whatever the token says', async () => {
  const { email, id } = await stack.createUser({ email: 'bookkeeper@test.example' });
  await stack.sql(`select public.grant_role($1, 'accountant', community_id => $2)`, [id, community]);
  const bookkeeper = await stack.client(email);
  const { data: before } = await bookkeeper.from('charges').select('id').eq('id', ids.charge).throwOnError();
  expect(before).toHaveLength(1);
  await stack.sql(`select public.revoke_role(m.id, 'Dismissed') from public.memberships m where m.user_id = $1`, [id]).catch(() =>
    stack.sql(`update public.memberships set deleted_at = now() where user_id = $1`, [id]),
  );
  const { data: after } = await bookkeeper.from('charges').select('id').throwOnError();
  expect(after).toEqual([]);
  expect((await bookkeeper.rpc('adjust_charge', { charge_id: ids.charge, kind: 'waiver', reason: 'Revenge', amount: 1 })).error?.message).toBe('charge_not_found');
});

test('of eight who adjust one charge at once, no more than the charge is adjusted', async () => {
  const accountant = await stack.client('accountant@demo.example');
  const [made] = await stack.sql<{ id: string }>(
    `select app.post_charges($1, $2, app.account_for($1, $2, 'assessment_income'), 'other', app.today_in($1), app.today_in($1), 'Hot charge',
       array[row($3, $4, 100, app.today_in($1), app.today_in($1), null, null)::app.charge_line]) as id`,
    [community, ids.fund, ids.unit, ids.resident],
  );
  const [charge] = await stack.sql<{ id: string }>(`select id from public.charges where journal_entry_id = $1`, [made?.id]);
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, n) => accountant.rpc('adjust_charge', { charge_id: charge?.id, kind: n % 2 ? 'waiver' : 'credit_note', reason: `At once ${n}`, amount: 30 })),
  );
  expect(answers.filter(({ error }) => error === null)).toHaveLength(3);
  expect(new Set(answers.flatMap(({ error }) => (error ? [error.message] : [])))).toEqual(new Set(['adjustment_exceeds']));
  const [left] = await stack.sql<{ open: string; gaps: string }>(
    `select trim_scale(app.charge_open($1, $2))::text as open,
       (select string_agg(kind::text, ', ') from (select kind, max(number) - count(*) as missing from public.adjustments where community_id = $1 group by kind) k where missing <> 0) as gaps`,
    [community, charge?.id],
  );
  expect(left).toEqual({ open: '10', gaps: null });

  // Taking the charge back at the moment when it is adjusted: one of the two happens.
  const [last] = await stack.sql<{ id: string; entry: string }>(`select id, journal_entry_id as entry from public.charges where id = $1`, [ids.charge]);
  await stack.sql(`select public.reverse_adjustment($1, 'For the race')`, [ids.adjustment]);
  const [adjusted, reversed] = await Promise.allSettled([
    accountant.rpc('adjust_charge', { charge_id: last?.id, kind: 'waiver', reason: 'In a race', amount: 1 }).throwOnError(),
    stack.sql(`select app.reverse_charges($1, app.today_in($2), 'In a race')`, [last?.entry, community]),
  ]);
  expect([adjusted.status, reversed.status].sort()).toEqual(['fulfilled', 'rejected']);
  const { data: problems } = await accountant.rpc('verify_ledger', { community_id: community }).throwOnError();
  expect(problems).toEqual([]);
});

test('two records of one person become one account, and not a cent is lost', async () => {
  const manager = await stack.client('manager@demo.example');
  const person = async (name: string) => {
    const [made] = await stack.sql<{ id: string }>('insert into public.residents (community_id, full_name) values ($1, $2) returning id', [community, name]);
    return made?.id as string;
  };
  const [kept, duplicate] = [await person('Two Accounts'), await person('Two Acounts')];
  const [unitOne] = await stack.sql<{ id: string }>(`select id from public.units where community_id = $1 and number = '1'`, [community]);
  await stack.sql(
    `select app.post_charges($1, $2, app.account_for($1, $2, 'assessment_income'), 'other', app.today_in($1), app.today_in($1), 'Of both',
       array[row($3, $5, 70, app.today_in($1), app.today_in($1), null, null), row($3, $6, 30, app.today_in($1), app.today_in($1), null, null),
         row($4, $6, 5, app.today_in($1), app.today_in($1), null, null)]::app.charge_line[])`,
    [community, ids.fund, ids.unit, unitOne?.id, kept, duplicate],
  );
  await manager.rpc('merge_residents', { keep_id: kept, duplicate_id: duplicate, reason: 'The same person' }).throwOnError();
  const accounts = await stack.sql<{ resident: string; balance: string }>(
    `select case resident_id when $1 then 'kept' else 'duplicate' end as resident, trim_scale(balance)::text as balance from public.subaccounts where resident_id in ($1, $2) order by 1, 2`,
    [kept, duplicate],
  );
  expect(accounts).toEqual([{ resident: 'duplicate', balance: '0' }, { resident: 'kept', balance: '100' }, { resident: 'kept', balance: '5' }]);
  const { data: problems } = await manager.rpc('verify_ledger', { community_id: community }).throwOnError();
  expect(problems).toEqual([]);
});
