import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SupabaseClient } from '@supabase/supabase-js';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let manager: SupabaseClient;
let community: string;
let fund: string;
let key: string;

beforeAll(async () => {
  stack = await startTestStack();
  manager = await stack.client('manager@demo.example');
  const [home] = await stack.sql<{ community: string; fund: string; key: string }>(
    `select c.id as community, f.id as fund, k.id as key from communities c
     join funds f on f.community_id = c.id and f.kind = 'operating' join allocation_keys k on k.community_id = c.id and k.name = 'Ideal parts' where c.slug = 'lipa-court'`,
  );
  if (!home) throw new Error('The demo has no books.');
  ({ community, fund, key } = home);
});
afterAll(() => stack.stop());

// The demo's books are open since the last year began.
const lastYear = new Date().getUTCFullYear() - 1;
const inLastYear = (day: string): string => `${lastYear}-${day}`;

async function createFee(name: string, more: Record<string, unknown> = {}): Promise<string> {
  const { data, error } = await manager.rpc('create_fee', { community_id: community, name, fund_id: fund, allocation_key_id: key, amount: 100.01, first_on: inLastYear('01-01'), ...more });
  if (error) throw new Error(`${error.message}: ${error.details}`);
  return data as string;
}
const number = async (sql: string, values: unknown[] = []): Promise<number> => Number(Object.values((await stack.sql(sql, values))[0] ?? {})[0]);
const countedRuns = (fee: string): Promise<number> => number(`select count(*) from fee_runs where fee_id = $1`, [fee]);

test('a preview shows the very rows that a run posts', async () => {
  const fee = await createFee('Previewed');
  const { data: preview } = await manager.rpc('preview_fee_run', { fee_id: fee, day: inLastYear('10-07') });
  expect(await countedRuns(fee)).toBe(0);
  const { data: run } = await manager.rpc('run_fee', { fee_id: fee, day: inLastYear('10-07') });
  const posted = await stack.sql(
    `select c.unit_id, s.resident_id, c.starts_on::text, c.ends_on::text, c.due_on::text, c.amount::float8 from charges c join subaccounts s on s.id = c.subaccount_id
     join fee_runs r on r.journal_entry_id = c.journal_entry_id where r.id = $1`,
    [run],
  );
  const told = (preview as Record<string, unknown>[]).map(({ unit: _unit, full_name: _name, ...row }) => row);
  const sorted = (rows: Record<string, unknown>[]) => rows.map((row) => JSON.stringify(Object.entries(row).sort())).sort();
  expect(sorted(told)).toEqual(sorted(posted));
  expect(posted.length).toBeGreaterThan(12);
});

test('a run that eight start at once posts once, and all get its id', async () => {
  const fee = await createFee('Raced');
  const before = await number(`select count(*) from journal_entries`);
  const answers = await Promise.all(Array.from({ length: 8 }, () => manager.rpc('run_fee', { fee_id: fee, day: inLastYear('10-01') })));
  expect(answers.map(({ error }) => error)).toEqual(Array.from({ length: 8 }, () => null));
  expect(new Set(answers.map(({ data }) => data as string)).size).toBe(1);
  expect(await countedRuns(fee)).toBe(1);
  expect(await number(`select count(*) from journal_entries`)).toBe(before + 1);
  expect(await number(`select sum(c.amount) from charges c join fee_runs r on r.journal_entry_id = c.journal_entry_id where r.fee_id = $1`, [fee])).toBe(100.01);
});

test('run_fees, started twice at once, charges every period once', async () => {
  const fee = await createFee('Weekly', { recurrence: 'FREQ=WEEKLY', first_on: inLastYear('09-01'), last_on: inLastYear('10-31') });
  const answers = await Promise.all([1, 2, 3].map(() => manager.rpc('run_fees', { community_id: community, day: inLastYear('10-31') })));
  expect(answers.map(({ error }) => error)).toEqual([null, null, null]);
  expect(await countedRuns(fee)).toBe(9);
  expect(await number(`select count(distinct starts_on) from fee_runs where fee_id = $1`, [fee])).toBe(9);
});

test('a run is reversed once, by whoever comes first, and run again', async () => {
  const fee = await createFee('Reversed');
  const { data: run } = await manager.rpc('run_fee', { fee_id: fee, day: inLastYear('10-01') });
  const answers = await Promise.all([1, 2, 3, 4].map(() => manager.rpc('reverse_fee_run', { fee_run_id: run, reason: 'Charged by mistake' })));
  expect(answers.filter(({ error }) => error === null)).toHaveLength(1);
  expect(answers.flatMap(({ error }) => (error ? [error.message] : []))).toEqual(['fee_run_reversed', 'fee_run_reversed', 'fee_run_reversed']);
  const { data: again } = await manager.rpc('run_fee', { fee_id: fee, day: inLastYear('10-01') });
  expect(again).not.toBe(run);
  expect(await number(`select count(*) from fee_runs where fee_id = $1 and status = 'posted'`, [fee])).toBe(1);
});

test('a run and its reversal at once leave one of two states: charged again, or not', async () => {
  const fee = await createFee('Both');
  const { data: run } = await manager.rpc('run_fee', { fee_id: fee, day: inLastYear('10-01') });
  await Promise.all([manager.rpc('reverse_fee_run', { fee_run_id: run, reason: 'Charged by mistake' }), manager.rpc('run_fee', { fee_id: fee, day: inLastYear('10-01') })]);
  const standing = await number(`select count(*) from fee_runs where fee_id = $1 and status = 'posted'`, [fee]);
  const owed = await number(
    `select coalesce(sum(case when p.debit_subaccount_id is not null then p.amount else -p.amount end), 0) from fee_runs r
     join journal_entries e on e.document_kind = 'fee_run' and e.document_id = r.id join postings p on p.journal_entry_id = e.id where r.fee_id = $1`,
    [fee],
  );
  expect(owed).toBe(standing * 100.01);
});

test('one charge by hand, asked for by eight with one key, is one charge', async () => {
  const [unit] = await stack.sql<{ id: string }>(`select id from units where community_id = $1 and number = '4'`, [community]);
  const answers = await Promise.all(
    Array.from({ length: 8 }, () =>
      manager.rpc('charge_unit', { unit_id: unit?.id, fund_id: fund, amount: 12.5, description: 'A key', charged_on: inLastYear('10-02'), due_on: inLastYear('10-20'), idempotency_key: 'key of flat 4' }),
    ),
  );
  expect(answers.map(({ error }) => error?.message)).toEqual(Array.from({ length: 8 }, () => undefined));
  expect(new Set(answers.map(({ data }) => JSON.stringify(data))).size).toBe(1);
  expect(await number(`select count(*) from charges where description = 'A key'`)).toBe(1);
});

test('owner and tenant see what they owe, the family nothing, and nobody a neighbour', async () => {
  await createFee('Seen').then((fee) => manager.rpc('run_fee', { fee_id: fee, day: inLastYear('10-01') }));
  for (const [email, name] of [['owner@demo.example', 'Иван Петров'], ['tenant@demo.example', 'Elena Dimova'], ['family@demo.example', null]] as const) {
    const client = await stack.client(email);
    const { data, count } = await client.from('charges').select('id', { count: 'exact' });
    const expected = await number(
      `select count(*) from charges c join subaccounts s on s.id = c.subaccount_id join residents r on r.id = s.resident_id where r.full_name = $1`,
      [name],
    );
    expect([email, data?.length, count]).toEqual([email, expected, expected]);
    if (name) expect(expected).toBeGreaterThan(0);
  }
  const tenant = await stack.client('tenant@demo.example');
  expect((await tenant.from('fees').select('id')).data).toEqual([]);
  expect((await tenant.from('fee_runs').select('id')).data).toEqual([]);
});

test('a sale that is entered late makes charges stale, and whoever reads charges is told whose', async () => {
  const fee = await createFee('Sold late');
  const { data: run } = await manager.rpc('run_fee', { fee_id: fee, day: inLastYear('11-01') });
  const stale = async (client: SupabaseClient) => client.rpc('stale_charges', { community_id: community, from_day: inLastYear('11-01'), to_day: inLastYear('11-30') }).eq('fee_run_id', run);
  expect(await stale(manager)).toMatchObject({ error: null, data: [] });
  const [sold] = await stack.sql<{ id: string; unit: string; full_name: string }>(
    `select u.id, u.number as unit, min(r.full_name) as full_name
     from charges c join fee_runs f on f.journal_entry_id = c.journal_entry_id join units u on u.id = c.unit_id join subaccounts s on s.id = c.subaccount_id join residents r on r.id = s.resident_id
     where f.id = $1 group by u.id, u.number having count(*) = 1 order by u.number limit 1`,
    [run],
  );
  const { error } = await manager.rpc('sell_unit', { unit_id: sold?.id, sold_on: inLastYear('11-11'), buyers: [{ full_name: 'Late Buyer' }] });
  expect(error).toBeNull();
  const { data } = await stale(manager);
  const rows = data as { unit_id: string; full_name: string; charged: number; due_now: number }[];
  expect(rows.map(({ unit_id, full_name }) => [unit_id, full_name])).toEqual([[sold?.id, sold?.full_name], [sold?.id, 'Late Buyer']]);
  const [before, after] = [rows.reduce((sum, row) => sum + row.charged, 0), rows.reduce((sum, row) => sum + row.due_now, 0)];
  expect(after, 'what the unit owes is what it owed').toBeCloseTo(before, 6);
  expect(rows[1]).toMatchObject({ charged: 0 });
  expect((await stale(await stack.client('owner@demo.example'))).error?.message).toBe('permission_denied');
  await manager.rpc('reverse_fee_run', { fee_run_id: run, reason: 'The sale of the 11th' });
  await manager.rpc('run_fee', { fee_id: fee, day: inLastYear('11-01') });
  expect((await manager.rpc('stale_charges', { community_id: community, from_day: inLastYear('11-01'), to_day: inLastYear('11-30') }).eq('fee', 'Sold late')).data).toEqual([]);
});

test('the books say nothing else', async () => {
  const { data, error } = await manager.rpc('verify_ledger', { community_id: community });
  expect(error).toBeNull();
  expect(data).toEqual([]);
});
