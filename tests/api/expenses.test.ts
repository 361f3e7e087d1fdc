import type { SupabaseClient } from '@supabase/supabase-js';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

// Expenses as an app meets them: the whole way with a receipt, who reads what, and what holds while several do something at once.

let stack: TestStack;
let home: string;
let elsewhere: string;
const clients = new Map<string, SupabaseClient>();
const as = (who: string): SupabaseClient => clients.get(who) as SupabaseClient;

const one = async <T>(text: string, params: unknown[] = []): Promise<T> => (await stack.sql<{ value: T }>(text, params))[0]?.value as T;
const day = (offset: number): Promise<string> => one(`select (current_date + $1::integer)::text as value`, [offset]);

/** Enters an expense as the manager and takes it as far as is asked. */
async function expense(category: string, more: { amount?: number; upTo?: 'draft' | 'submitted' | 'approved' | 'paid'; [field: string]: unknown } = {}): Promise<string> {
  const { amount = 100, upTo = 'approved', ...fields } = more;
  const { data: id } = await as('manager')
    .rpc('enter_expense', { community_id: home, category_id: category, description: 'Expense', amount, incurred_on: await day(-1), ...fields })
    .throwOnError();
  const steps = { draft: [], submitted: ['submit_expense'], approved: ['submit_expense', 'approve_expense'], paid: ['submit_expense', 'approve_expense', 'pay_expense'] }[upTo];
  for (const step of steps) await as('manager').rpc(step, { expense_id: id }).throwOnError();
  return id as string;
}

const account = (purpose: string): Promise<string> =>
  one(`select a.id as value from public.accounts a join public.funds f on f.id = a.fund_id where a.community_id = $1 and f.kind = 'operating' and a.purpose = $2::public.account_purpose order by a.code limit 1`, [
    home,
    purpose,
  ]);

let codes = 0;
async function category(key: Record<string, unknown> | null): Promise<string> {
  codes += 1;
  const keyId = key && (await as('manager').rpc('create_allocation_key', { community_id: home, name: `Key ${codes}`, ...key }).throwOnError()).data;
  const { data } = await as('manager')
    .rpc('create_expense_category', { community_id: home, code: `C${codes}`, name: `Category ${codes}`, account_id: await account('expense'), allocation_key_id: keyId })
    .throwOnError();
  return data as string;
}

/** The entries of a kind that an expense has made, and its payments. */
const entriesOf = (expenseId: string, kind: string) =>
  stack.sql(
    `select id from public.journal_entries where document_id in (select $1::uuid union select p.id from public.expense_payments p where p.expense_id = $1) and kind = $2::public.entry_kind`,
    [expenseId, kind],
  );
const paymentsOf = (expenseId: string) =>
  stack.sql<{ id: string; amount: string; status: string }>(`select id, amount, status from public.expense_payments where expense_id = $1 order by number`, [expenseId]);
const rowOf = async (expenseId: string) => (await stack.sql<Record<string, unknown>>('select * from public.expenses where id = $1', [expenseId]))[0] ?? {};
const problems = () => stack.sql('select problem, detail from public.verify_ledger($1)', [home]);
/** What several tried at once: how many did it, and what the others were told. */
const outcome = (answers: { error: { message: string } | null }[]) => ({
  done: answers.filter(({ error }) => error === null).length,
  refused: [...new Set(answers.flatMap(({ error }) => (error ? [error.message] : [])))],
});

beforeAll(async () => {
  stack = await startTestStack({ functions: true });
  const community = (name: string) =>
    one<string>(`select public.create_community(public.create_organization($1, $2, 'BG'), $1, $2, 'BG', 'EUR', 'Europe/Sofia') as value`, [name, `expenses-${name.toLowerCase()}`]);
  [home, elsewhere] = [await community('Alder'), await community('Cedar')];
  for (const id of [home, elsewhere]) await stack.sql(`select public.open_books($1, current_date - 400)`, [id]);
  const building = await one<string>(`insert into public.buildings (community_id, name) values ($1, 'Main') returning id as value`, [home]);
  for (const name of ['A', 'B']) await stack.sql(`insert into public.entrances (community_id, building_id, name, has_elevator) values ($1, $2, $3, true)`, [home, building, name]);
  await stack.sql(
    `insert into public.units (number, community_id, building_id, entrance_id, floor, area, ideal_parts, occupant_count)
     select u.number, e.community_id, e.building_id, e.id, u.floor, u.area, u.parts, u.persons
     from (values ('A1', 0, 50, 10, 1), ('A2', 1, 70, 20, 2), ('A3', 2, 33.33, 20, 4), ('B1', 0, 50, 15, 0), ('B2', 1, 40, 20, 3), ('B3', 2, 60, 15, 1)) u (number, floor, area, parts, persons)
     join public.entrances e on e.community_id = $1 and e.name = left(u.number, 1)`,
    [home],
  );
  for (const [who, role, place] of [
    ['manager', 'manager', home],
    ['committee', 'committee', home],
    ['accountant', 'accountant', home],
    ['foreign', 'manager', elsewhere],
  ] as const) {
    const { id } = await stack.createUser({ email: `${who}@expenses.example` });
    await stack.sql(`select public.grant_role($1, $2, community_id => $3)`, [id, role, place]);
  }
  for (const [who, unit] of [['owner', 'A1'], ['neighbour', 'A2'], ['tenant', 'A3'], ['family', 'A3']] as const) {
    const email = `${who}@expenses.example`;
    await stack.createUser({ email });
    await stack.sql(
      `with r as (insert into public.residents (community_id, full_name) values ($1, $2) returning id),
         d as (insert into public.resident_details (community_id, resident_id, email) select $1, r.id, $3 from r)
       insert into public.occupancies (community_id, unit_id, resident_id, role, starts_on)
       select $1, u.id, r.id, $4::public.occupancy_role, current_date - 300 from r cross join public.units u where u.community_id = $1 and u.number = $5`,
      [home, who, email, who === 'neighbour' ? 'owner' : who, unit],
    );
  }
  for (const who of ['manager', 'committee', 'accountant', 'foreign', 'owner', 'neighbour', 'tenant', 'family']) clients.set(who, await stack.client(`${who}@expenses.example`));
});
afterAll(() => stack.stop());

describe('the way of an expense', () => {
  test('goes from a receipt to a paid invoice, and whoever owns here follows it', async () => {
    const content = Buffer.from('%PDF-1.7\nInvoice F-17\n%%EOF\n');
    const manager = as('manager');
    const register = { community_id: home, purpose: 'expenses.receipt', file_name: 'фактура.pdf', content_type: 'application/pdf', size: content.byteLength };
    const { data: place } = await manager.rpc('register_file', register).single<{ file_id: string; bucket: string; path: string }>().throwOnError();
    expect((await manager.storage.from(place.bucket).upload(place.path, content, { contentType: 'application/pdf' })).error).toBeNull();
    const id = await expense(await category(null), { upTo: 'submitted', amount: 1500, supplier_name: 'Lift OOD', invoice_number: 'F-17', receipt_file_id: place.file_id });

    const { data: steps } = await as('committee').rpc('next_states', { table_name: 'expenses', id }).throwOnError();
    expect(steps.map(({ to_state }: { to_state: string }) => to_state).sort()).toEqual(['approved', 'rejected']);
    const { data: entry } = await as('committee').rpc('approve_expense', { expense_id: id }).throwOnError();
    const { data: payment } = await as('accountant').rpc('pay_expense', { expense_id: id, reference: 'F-17' }).throwOnError();

    const seen = 'description, amount, status, supplier_name, journal_entry_id, payment_entry_id, category:expense_categories!expenses_category_fkey(name), receipt:files!expenses_receipt_fkey(name, bucket, path)';
    for (const who of ['owner', 'neighbour', 'committee', 'accountant', 'manager']) {
      const { data } = await as(who).from('expenses').select(seen).eq('id', id).single().throwOnError();
      expect(data).toMatchObject({ amount: 1500, status: 'paid', journal_entry_id: entry, payment_entry_id: payment, receipt: { name: 'фактура.pdf' } });
      const { data: receipt } = await as(who).storage.from(place.bucket).download(place.path);
      expect(receipt && Buffer.from(await receipt.arrayBuffer()).equals(content)).toBe(true);
    }
    for (const who of ['tenant', 'family', 'foreign']) {
      for (const table of ['expenses', 'expense_categories']) {
        const { data, count } = await as(who).from(table).select('*', { count: 'exact' }).eq('community_id', home).throwOnError();
        expect([who, table, data, count]).toEqual([who, table, [], 0]);
      }
      expect((await as(who).storage.from(place.bucket).download(place.path)).data).toBeNull();
      expect((await as(who).from('files').select('id').eq('id', place.file_id).throwOnError()).data).toEqual([]);
    }
    // The receipt is the community's: who uploaded it takes it back no more, through Storage neither.
    expect((await manager.rpc('remove_file', { file_id: place.file_id })).error?.message).toBe('has_live_children');
    await manager.storage.from(place.bucket).remove([place.path]);
    expect((await as('owner').storage.from(place.bucket).download(place.path)).data).not.toBeNull();
    expect(await problems()).toEqual([]);
  });

  test('is paid in parts from bank and cash, and whoever owns here follows each, one that was returned too', async () => {
    const id = await expense(await category(null), { amount: 900, supplier_name: 'Roof OOD', invoice_number: 'R-1' });
    const accountant = as('accountant');
    const { data: entry } = await accountant.rpc('pay_expense', { expense_id: id, amount: 300, reference: 'Deposit' }).throwOnError();
    await accountant.rpc('pay_expense', { expense_id: id, amount: 100, account_id: await account('cash'), paid_on: await day(-1) }).throwOnError();
    const { data: steps } = await accountant.rpc('next_states', { table_name: 'expenses', id }).throwOnError();
    expect(steps.map(({ to_state }: { to_state: string }) => to_state).sort()).toEqual(['approved', 'paid']);
    const { data: payment } = await accountant.from('expense_payments').select('id').eq('journal_entry_id', entry).single().throwOnError();
    await accountant.rpc('reverse_expense_payment', { expense_id: id, reason: 'Wrong account number', payment_id: payment?.id }).throwOnError();

    const seen = 'status, amount, paid_amount, payments:expense_payments!expense_payments_expense_fkey(number, amount, reference, status, reversal_reason)';
    for (const who of ['owner', 'neighbour', 'committee', 'accountant', 'manager']) {
      const { data } = await as(who).from('expenses').select(seen).eq('id', id).order('number', { referencedTable: 'expense_payments' }).single().throwOnError();
      expect(data).toMatchObject({
        status: 'partly_paid',
        amount: 900,
        paid_amount: 100,
        payments: [
          { amount: 300, reference: 'Deposit', status: 'reversed', reversal_reason: 'Wrong account number' },
          { amount: 100, reference: null, status: 'posted', reversal_reason: null },
        ],
      });
    }
    for (const who of ['tenant', 'family', 'foreign']) {
      const { data, count } = await as(who).from('expense_payments').select('*', { count: 'exact' }).eq('expense_id', id).throwOnError();
      expect([who, data, count]).toEqual([who, [], 0]);
      const { status, error } = await as(who).rpc('reverse_expense_payment', { expense_id: id, reason: 'Mine', payment_id: payment?.id });
      expect([who, status, error?.message]).toEqual([who, 404, 'expense_not_found']);
    }
    const refused = async (body: Record<string, unknown>) => {
      const { status, error } = await accountant.rpc('pay_expense', { expense_id: id, ...body });
      return [status, error?.message];
    };
    expect(await refused({ amount: 800.01 })).toEqual([422, 'payment_exceeds']);
    expect(await refused({ amount: 'NaN' })).toEqual([422, 'invalid_amount']);
    expect(await refused({ amount: 1, reference: 'x'.repeat(501) })).toEqual([422, 'invalid_value']);
    expect(await refused({ amount: 1, account_id: await account('payable') })).toEqual([404, 'account_not_found']);
    expect(await rowOf(id)).toMatchObject({ status: 'partly_paid', paid_amount: '100.00' });
    expect(await problems()).toEqual([]);
  });

  test('what is wrong is refused with a token, and nothing is half written', async () => {
    const kind = await category({ method: 'per_unit' });
    const manager = as('manager');
    const foreign = await one<string>(
      `insert into public.files (name, community_id, purpose, bucket, content_type, size, status, stored_at)
       select 'receipt', $1, p.key, p.bucket, 'image/png', 10, 'stored', now() from public.file_purposes p where p.key = 'expenses.receipt' returning id as value`,
      [elsewhere],
    );
    const [before] = await stack.sql('select count(*) from public.expenses');
    const enter = async (fields: Record<string, unknown>) =>
      manager.rpc('enter_expense', { community_id: home, category_id: kind, description: 'Wrong', amount: 1, incurred_on: await day(0), ...fields }).then(({ status, error }) => [status, error?.message]);
    expect(await enter({ amount: 0 })).toEqual([422, 'invalid_value']);
    expect(await enter({ amount: -1 })).toEqual([422, 'invalid_value']);
    expect(await enter({ amount: 1.005 })).toEqual([422, 'invalid_value']);
    expect(await enter({ amount: '1e300' })).toEqual([422, 'invalid_value']);
    expect(await enter({ category_id: await one(`select gen_random_uuid() as value`) })).toEqual([404, 'category_not_found']);
    expect(await enter({ receipt_file_id: foreign })).toEqual([404, 'file_not_found']);
    expect(await enter({ incurred_on: '9999-12-31' })).toEqual([422, 'invalid_value']);
    expect((await as('owner').rpc('enter_expense', { community_id: home, category_id: kind, description: 'Mine', amount: 1, incurred_on: await day(0) })).status).toBe(403);
    expect((await stack.sql('select count(*) from public.expenses'))[0]).toEqual(before);

    const id = await expense(kind, { upTo: 'draft' });
    for (const call of ['approve_expense', 'pay_expense', 'reopen_expense']) {
      const { status, error } = await manager.rpc(call, { expense_id: id });
      expect([call, status, error?.message]).toEqual([call, 409, 'transition_refused']);
    }
    expect((await manager.from('expenses').update({ status: 'paid' }).eq('id', id)).error?.code).toBe('42501');
    expect((await manager.from('expenses').insert({ community_id: home, description: 'x' })).error?.code).toBe('42501');
    expect(await rowOf(id)).toMatchObject({ status: 'draft', journal_entry_id: null });
  });
});

describe('at once', () => {
  test('of ten who approve an expense one does, and it is posted once', async () => {
    const id = await expense(await category(null), { upTo: 'submitted' });
    const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => as(index % 2 ? 'manager' : 'committee').rpc('approve_expense', { expense_id: id })));
    expect(outcome(answers)).toEqual({ done: 1, refused: ['transition_refused'] });
    expect(await entriesOf(id, 'expense')).toEqual([{ id: (await rowOf(id)).journal_entry_id }]);
  });

  test('of ten who pay it one does, and the bank pays once', async () => {
    const id = await expense(await category(null));
    const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => as(index % 2 ? 'manager' : 'accountant').rpc('pay_expense', { expense_id: id })));
    expect(outcome(answers)).toEqual({ done: 1, refused: ['transition_refused'] });
    expect(await entriesOf(id, 'payment')).toEqual([{ id: (await rowOf(id)).payment_entry_id }]);
    const back = await Promise.all(Array.from({ length: 10 }, () => as('accountant').rpc('reverse_expense_payment', { expense_id: id, reason: 'The bank returned it' })));
    expect(outcome(back)).toEqual({ done: 1, refused: ['transition_refused'] });
    expect(await entriesOf(id, 'reversal')).toHaveLength(1);
  });

  test('of ten parts at once so many are paid as the expense has room for, and the bank pays no cent more', async () => {
    const id = await expense(await category(null), { amount: 100 });
    const payOf = (amount: number) => (index: number) => as(index % 2 ? 'manager' : 'accountant').rpc('pay_expense', { expense_id: id, amount, reference: `Part ${index}` });
    const parts = await Promise.all(Array.from({ length: 10 }, (_, index) => payOf(30)(index)));
    expect(outcome(parts)).toEqual({ done: 3, refused: ['payment_exceeds'] });
    expect(await rowOf(id)).toMatchObject({ status: 'partly_paid', paid_amount: '90.00', payment_entry_id: null, paid_on: null });
    // Of the rest, each alone would fit.
    const rests = await Promise.all([payOf(6)(0), payOf(7)(1), as('manager').rpc('pay_expense', { expense_id: id })]);
    const { done, refused } = outcome(rests);
    expect([done, refused.filter((token) => !['payment_exceeds', 'transition_refused'].includes(token))]).toEqual([rests[2].error === null && done === 2 ? 2 : 1, []]);
    const payments = await paymentsOf(id);
    const [{ paid } = {}] = await stack.sql<{ paid: string }>(
      `select sum(p.amount)::text as paid from public.expense_payments e join public.postings p on p.journal_entry_id = e.journal_entry_id where e.expense_id = $1`,
      [id],
    );
    expect(Number(paid)).toBe(payments.reduce((sum, { amount }) => sum + Number(amount), 0));
    expect(Number(paid)).toBeLessThanOrEqual(100);
    expect(Number((await rowOf(id)).paid_amount)).toBe(Number(paid));
    expect(await problems()).toEqual([]);
  });

  test('of two sessions that hold the expense at once, the second waits and is told what is left', async () => {
    const id = await expense(await category(null), { amount: 100 });
    const sessions = await Promise.all(
      [1, 2].map(async () => {
        const session = new pg.Client({ connectionString: stack.databaseUrl });
        await session.connect();
        return session;
      }),
    );
    const [first, second] = sessions as [pg.Client, pg.Client];
    try {
      const [{ pid }] = (await second.query('select pg_backend_pid() as pid')).rows as [{ pid: number }];
      await first.query('begin');
      await first.query('select public.pay_expense($1, amount => 60)', [id]);
      let settled = false;
      const waiting = second
        .query('select public.pay_expense($1, amount => 60)', [id])
        .then(() => 'paid', (error: unknown) => (error instanceof Error ? error.message : String(error)))
        .finally(() => (settled = true));
      while (!settled && !(await one<boolean>('select cardinality(pg_blocking_pids($1)) > 0 as value', [pid])));
      expect(settled, 'it waits for the first').toBe(false);
      await first.query('commit');
      expect(await waiting).toBe('payment_exceeds');
      expect(await rowOf(id)).toMatchObject({ status: 'partly_paid', paid_amount: '60.00' });
    } finally {
      await Promise.all(sessions.map((session) => session.end()));
    }
  });

  test('one request that is sent ten times is one payment, and one reversal', async () => {
    const id = await expense(await category(null), { amount: 100 });
    const pay = { expense_id: id, amount: 40, reference: 'Once', idempotency_key: 'once' };
    const answers = await Promise.all(Array.from({ length: 10 }, () => as('accountant').rpc('pay_expense', pay)));
    expect(outcome(answers)).toEqual({ done: 10, refused: [] });
    expect(new Set(answers.map(({ data }) => data)).size).toBe(1);
    await as('manager').rpc('pay_expense', { expense_id: id }).throwOnError();
    const [payment] = await paymentsOf(id);
    const back = await Promise.all(
      Array.from({ length: 10 }, () => as('accountant').rpc('reverse_expense_payment', { expense_id: id, reason: 'Returned', payment_id: payment?.id, idempotency_key: 'back' })),
    );
    expect(outcome(back)).toEqual({ done: 10, refused: [] });
    expect(new Set(back.map(({ data }) => data)).size).toBe(1);
    expect(await entriesOf(id, 'reversal')).toHaveLength(1);
    expect((await paymentsOf(id)).map(({ amount, status }) => `${amount} ${status}`)).toEqual(['40.00 reversed', '60.00 posted']);
    // A key that another expense takes at the same time is refused, and pays nothing.
    const others = await Promise.all([1, 2, 3, 4].map(async () => expense(await category(null))));
    const clash = await Promise.all(others.map((expense_id) => as('manager').rpc('pay_expense', { expense_id, idempotency_key: 'clash' })));
    expect(outcome(clash)).toEqual({ done: 1, refused: ['idempotency_conflict'] });
    expect((await Promise.all(others.map(rowOf))).map(({ status }) => status).sort()).toEqual(['approved', 'approved', 'approved', 'paid']);
    expect(await problems()).toEqual([]);
  });

  test('who pays parts, takes them back and cancels at once leaves books in which suppliers are owed what is approved and not paid', async () => {
    const kind = await category(null);
    for (let round = 0; round < 4; round += 1) {
      const id = await expense(kind, { amount: 100 });
      await as('manager').rpc('pay_expense', { expense_id: id, amount: 25 }).throwOnError();
      const [first] = await paymentsOf(id);
      await Promise.all([
        ...[25, 50, 75].map((amount) => as('accountant').rpc('pay_expense', { expense_id: id, amount })),
        as('accountant').rpc('reverse_expense_payment', { expense_id: id, reason: 'Returned', payment_id: first?.id }).throwOnError(),
        as('manager').rpc('cancel_expense', { expense_id: id, reason: 'Wrong' }),
      ]);
      const standing = (await paymentsOf(id)).filter(({ status }) => status === 'posted').reduce((sum, { amount }) => sum + Number(amount), 0);
      const { status, paid_amount } = await rowOf(id);
      expect(Number(paid_amount)).toBe(standing);
      expect(status).toBe(standing === 100 ? 'paid' : standing > 0 ? 'partly_paid' : status === 'cancelled' ? 'cancelled' : 'approved');
    }
    const [owed] = await stack.sql(
      `select (select sum(e.amount - e.paid_amount) from public.expenses e where e.community_id = $1 and e.status in ('approved', 'partly_paid')) as expenses,
        (select sum(coalesce(l.credit, 0) - coalesce(l.debit, 0)) from public.ledger_lines l join public.accounts a on a.id = l.account_id where l.community_id = $1 and a.purpose = 'payable') as books`,
      [home],
    );
    expect(owed?.expenses).toBe(owed?.books);
    expect(await problems()).toEqual([]);
  });

  test('of ten who share it out one does, and every unit is charged once; taken back alike', async () => {
    const id = await expense(await category({ method: 'shares' }), { amount: 99.99 });
    const due = await day(14);
    const answers = await Promise.all(Array.from({ length: 10 }, () => as('manager').rpc('allocate_expense', { expense_id: id, due_on: due })));
    expect(outcome(answers)).toEqual({ done: 1, refused: ['expense_allocated'] });
    const charges = await stack.sql(`select c.unit_id, c.amount from public.charges c join public.journal_entries e on e.id = c.journal_entry_id where e.document_id = $1`, [id]);
    expect(new Set(charges.map(({ unit_id }) => unit_id)).size).toBe(6);
    expect(charges.reduce((sum, { amount }) => sum + Math.round(Number(amount) * 100), 0)).toBe(9999);
    expect(await stack.sql(`select from public.allocations where total = 99.99`)).toHaveLength(1);
    const back = await Promise.all(Array.from({ length: 10 }, () => as('manager').rpc('reverse_expense_allocation', { expense_id: id, reason: 'Wrong key' })));
    expect(outcome(back)).toEqual({ done: 1, refused: ['expense_not_allocated'] });
    expect(await entriesOf(id, 'reversal')).toHaveLength(1);
  });

  test('who pays, cancels and shares out the same expense leaves one story', async () => {
    const kind = await category({ method: 'per_unit' });
    const due = await day(14);
    for (let round = 0; round < 6; round += 1) {
      const id = await expense(kind);
      const [paid, cancelled, allocated] = await Promise.all([
        as('accountant').rpc('pay_expense', { expense_id: id }),
        as('manager').rpc('cancel_expense', { expense_id: id, reason: 'Wrong' }),
        as('manager').rpc('allocate_expense', { expense_id: id, due_on: due }),
      ]);
      const row = await rowOf(id);
      expect([paid.error === null, cancelled.error === null, allocated.error === null]).toEqual([row.status === 'paid', row.status === 'cancelled', row.allocation_id !== null]);
      // Cancelling excludes both others; they do not exclude each other.
      expect(cancelled.error === null).toBe(!(paid.error === null || allocated.error === null));
    }
    expect(await problems()).toEqual([]);
  });

  test('numbers have no gap, whatever was refused in between', async () => {
    const kind = await category(null);
    const incurred_on = await day(0);
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, index) =>
        as('manager').rpc('enter_expense', { community_id: home, category_id: kind, description: 'At once', amount: index % 3 === 0 ? 0 : 10, incurred_on }),
      ),
    );
    expect(outcome(answers)).toEqual({ done: 16, refused: ['invalid_value'] });
    const [numbers] = await stack.sql(`select count(*)::integer as many, max(number)::integer as last, count(distinct number)::integer as different from public.expenses where community_id = $1`, [home]);
    expect(numbers).toEqual({ many: numbers?.last, last: numbers?.last, different: numbers?.last });
  });

  test('one invoice is entered once', async () => {
    const kind = await category(null);
    const invoice = { community_id: home, category_id: kind, description: 'Invoice', amount: 10, incurred_on: await day(0), supplier_name: 'Once OOD', invoice_number: '1' };
    const answers = await Promise.all(Array.from({ length: 8 }, () => as('manager').rpc('enter_expense', invoice)));
    expect(outcome(answers)).toEqual({ done: 1, refused: ['invoice_taken'] });
  });

  test('a category that is taken out of use takes none from then on', async () => {
    const kind = await category(null);
    const enter = { community_id: home, category_id: kind, description: 'Late', amount: 10, incurred_on: await day(0) };
    const [closing, ...answers] = await Promise.all([
      as('manager').rpc('set_expense_category_status', { category_id: kind, status: 'inactive' }),
      ...Array.from({ length: 10 }, () => as('manager').rpc('enter_expense', enter)),
    ]);
    expect(closing.error).toBeNull();
    const { done, refused } = outcome(answers);
    expect(refused.filter((token) => token !== 'category_inactive')).toEqual([]);
    expect(await stack.sql('select from public.expenses where category_id = $1', [kind])).toHaveLength(done);
    expect((await as('manager').rpc('enter_expense', enter)).error?.message).toBe('category_inactive');
  });
});

test('an expense comes cent for cent to what it charged, and the preview had said so, whatever the key', async () => {
  // Numbers that look random and are the same in every run.
  let state = 20_260_101;
  const random = (below: number) => (state = (state * 48_271) % 2_147_483_647) % below;
  const entrance = await stack.sql<{ id: string; building_id: string }>(`select id, building_id from public.entrances where community_id = $1 and name = 'A'`, [home]);
  const units = await stack.sql<{ id: string }>(`select id from public.units where community_id = $1 order by number`, [home]);
  const [from, to] = [await day(-31), await day(-2)];
  await as('manager')
    .rpc('enter_allocation_inputs', { community_id: home, measure: 'heat', starts_on: from, ends_on: to, quantities: units.map(({ id }, index) => ({ unit_id: id, quantity: index === 3 ? 0 : random(9000) / 100 })) })
    .throwOnError();
  const keys = [
    { method: 'shares' },
    { method: 'area', rounding: 'leftovers_first_in_order' },
    { method: 'metered', measure: 'heat' },
    { method: 'per_person' },
    { method: 'hybrid', parts: [{ method: 'metered', measure: 'heat', percent: 70 }, { method: 'area', percent: 30 }] },
    { method: 'shares', is_normalised: true, places: [{ building_id: entrance[0]?.building_id, entrance_id: entrance[0]?.id }], exclusions: [{ floor_from: 0, floor_to: 0, reason: 'No lift' }] },
  ];
  const due = await day(20);
  for (const key of keys) {
    const kind = await category(key);
    for (let round = 0; round < 3; round += 1) {
      const cents = 1 + random(500_000);
      const id = await expense(kind, { amount: cents / 100, starts_on: from, ends_on: to });
      const { data: preview } = await as('accountant').rpc('preview_expense_allocation', { expense_id: id }).throwOnError();
      await as('accountant').rpc('allocate_expense', { expense_id: id, due_on: due }).throwOnError();
      const charges = await stack.sql<{ unit_id: string; resident_id: string | null; amount: string }>(
        `select c.unit_id, s.resident_id, c.amount::text
         from public.expenses e join public.charges c on c.journal_entry_id = e.charge_entry_id join public.subaccounts s on s.id = c.subaccount_id where e.id = $1`,
        [id],
      );
      const list = (rows: { unit_id: string; resident_id: string | null; amount: string | number }[]) => rows.map((row) => `${row.unit_id} ${row.resident_id} ${Math.round(Number(row.amount) * 100)}`).sort();
      expect(list(charges)).toEqual(list(preview));
      expect(charges.reduce((sum, { amount }) => sum + Math.round(Number(amount) * 100), 0), `${JSON.stringify(key)} of ${cents}`).toBe(cents);
      const ground = await stack.sql(`select from public.expenses e join public.charges c on c.journal_entry_id = e.charge_entry_id join public.units u on u.id = c.unit_id where e.id = $1 and (u.floor = 0 or u.number like 'B%')`, [id]);
      if ('exclusions' in key) expect(ground, 'the ground floor and the other entrance pay for no lift').toEqual([]);
    }
  }
  expect(await problems()).toEqual([]);
});

test('a formula that the function has evaluated is charged, to the cent, and one that fails charges nobody', async () => {
  const kind = await category({ method: 'formula', formula: 'area * (floor + 1)' });
  const [starts_on, ends_on, due_on] = [await day(-31), await day(-2), await day(14)];
  const id = await expense(kind, { amount: 777.77, starts_on, ends_on });
  const allocation_key_id = await one<string>(`select allocation_key_id as value from public.expense_categories where id = $1`, [kind]);
  expect((await as('manager').rpc('allocate_expense', { expense_id: id, due_on })).error?.message).toBe('formula_not_evaluated');
  const { error } = await as('manager').functions.invoke('allocate-expense', { body: { allocation_key_id, starts_on, ends_on } });
  expect(error).toBeNull();
  await as('manager').rpc('allocate_expense', { expense_id: id, due_on }).throwOnError();
  const [charged] = await stack.sql(`select sum(c.amount)::text as amount, count(*)::integer as many from public.expenses e join public.charges c on c.journal_entry_id = e.charge_entry_id where e.id = $1`, [id]);
  expect(charged).toEqual({ amount: '777.77', many: 6 });

  await as('manager').rpc('change_allocation_key', { key_id: allocation_key_id, formula: 'area / (floor - 1)' }).throwOnError();
  const other = await expense(kind, { amount: 10, starts_on, ends_on });
  expect((await as('manager').functions.invoke('allocate-expense', { body: { allocation_key_id, starts_on, ends_on } })).error).not.toBeNull();
  expect((await as('manager').rpc('allocate_expense', { expense_id: other, due_on })).error?.message, 'what another version came to does not count').toBe('formula_not_evaluated');
  expect(await rowOf(other)).toMatchObject({ allocation_id: null, charge_entry_id: null });
});

test('whoever is charged reads the own share and how it came about, and nobody a neighbour\'s', async () => {
  const id = await expense(await category({ method: 'shares' }), { amount: 1000 });
  await as('manager').rpc('allocate_expense', { expense_id: id, due_on: await day(14) }).throwOnError();
  const entry = (await rowOf(id)).charge_entry_id;
  const read = async (who: string) => (await as(who).from('charges').select('amount, allocation_line_id').eq('journal_entry_id', entry).throwOnError()).data;
  expect(await read('owner')).toMatchObject([{ amount: 100 }]);
  expect(await read('neighbour')).toMatchObject([{ amount: 200 }]);
  expect(await read('tenant')).toEqual([]);
  expect(await read('family')).toEqual([]);
  expect(await read('committee')).toEqual([]);
  expect(await read('foreign')).toEqual([]);
  expect(await read('manager')).toHaveLength(6);
  const lines = async (who: string) => (await as(who).from('allocation_lines').select('amount').eq('allocation_id', (await rowOf(id)).allocation_id).throwOnError()).data;
  expect(await lines('owner')).toEqual([{ amount: 100 }]);
  expect(await lines('committee')).toEqual([]);
});

test('who is entered late is liable for what was shared out, and whoever reads charges is told', async () => {
  const id = await expense(await category({ method: 'shares' }), { amount: 100, incurred_on: await day(-10), starts_on: await day(-19), ends_on: await day(-10) });
  await as('manager').rpc('allocate_expense', { expense_id: id, due_on: await day(14) }).throwOnError();
  const stale = async (who: string) => as(who).rpc('stale_charges', { community_id: home }).eq('expense_id', id);
  expect(await stale('manager')).toMatchObject({ error: null, data: [] });
  await stack.sql(
    `with r as (insert into public.residents (community_id, full_name) values ($1, 'Late') returning id)
     insert into public.occupancies (community_id, unit_id, resident_id, role, starts_on) select $1, u.id, r.id, 'owner', current_date - 15 from r cross join public.units u where u.community_id = $1 and u.number = 'B3'`,
    [home],
  );
  const { data } = await stale('accountant');
  expect((data as Record<string, unknown>[]).map(({ expense: told, fee, unit, full_name, charged, due_now }) => ({ told, fee, unit, full_name, charged, due_now }))).toEqual([
    { told: (await rowOf(id)).description, fee: null, unit: 'Main / B3', full_name: null, charged: 15, due_now: 6 },
    { told: (await rowOf(id)).description, fee: null, unit: 'Main / B3', full_name: 'Late', charged: 0, due_now: 9 },
  ]);
  for (const who of ['owner', 'committee', 'foreign']) expect((await stale(who)).error?.message).toBe('permission_denied');
  await as('manager').rpc('reverse_expense_allocation', { expense_id: id, reason: 'Known late' }).throwOnError();
  await as('manager').rpc('allocate_expense', { expense_id: id, due_on: await day(14) }).throwOnError();
  expect((await stale('manager')).data).toEqual([]);
  expect(await problems()).toEqual([]);
});
