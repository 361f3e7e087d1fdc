import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SupabaseClient } from '@supabase/supabase-js';
import { compile } from '../../functions/allocate-expense/formula.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let community: string;
let accountant: SupabaseClient;
const january = { starts_on: '2026-01-01', ends_on: '2026-01-31' };

beforeAll(async () => {
  stack = await startTestStack({ functions: true });
  [community] = (await stack.sql<{ id: string }>(`select id from communities where slug = 'lipa-court'`)).map(({ id }) => id) as [string];
  await stack.sql(`select open_books($1, '2026-01-01') where not exists (select from ledgers where community_id = $1)`, [community]);
  accountant = await stack.client('accountant@demo.example');
});
afterAll(() => stack.stop());

async function makeKey(told: Record<string, unknown>, by = accountant): Promise<string> {
  const { data, error } = await by.rpc('create_allocation_key', { community_id: community, ...told });
  if (error) throw new Error(error.message);
  return data as string;
}
const evaluate = async (client: SupabaseClient, body: unknown): Promise<{ status: number; told: Record<string, unknown> }> => {
  const { data, error } = await client.functions.invoke('allocate-expense', { body: body as Record<string, unknown> });
  if (!error) return { status: 200, told: data as Record<string, unknown> };
  const response = (error as { context: Response }).context;
  return { status: response.status, told: (await response.json()) as Record<string, unknown> };
};
const count = async (table: string): Promise<number> => Number((await stack.sql(`select count(*) from ${table}`))[0]?.count);

// Exact ---------------------------------------------------------------------------------------------------------------

/** Largest remainder in whole numbers: weights in millionths, the total in units of the last decimal. */
function shareOut(total: bigint, weights: bigint[]): bigint[] {
  const whole = weights.reduce((sum, weight) => sum + weight, 0n);
  const size = total < 0n ? -total : total;
  const parts = weights.map((weight) => (size * weight) / whole);
  let left = size - parts.reduce((sum, part) => sum + part, 0n);
  const order = weights.map((weight, place) => ({ place, weight, rest: (size * weight) % whole }));
  order.sort((a, b) => (a.rest !== b.rest ? (a.rest > b.rest ? -1 : 1) : a.weight !== b.weight ? (a.weight > b.weight ? -1 : 1) : a.place - b.place));
  for (const { place } of order) {
    if (left === 0n) break;
    parts[place] = (parts[place] ?? 0n) + 1n;
    left -= 1n;
  }
  return parts.map((part) => (total < 0n ? -part : part));
}

test('any total is shared out by any weights as it is in whole numbers, in currencies of no, two and three decimals', async () => {
  let seed = 20260101;
  const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
  const cases = Array.from({ length: 400 }, (_, number) => {
    const decimals = [0, 2, 3][number % 3] ?? 2;
    const weights = Array.from({ length: 1 + random(60) }, () => (random(6) === 0 ? 0n : random(4) === 0 ? 1_500_000n : BigInt(random(1_000_000_000))));
    return { decimals, total: BigInt(random(2_000_000_000)) - 500_000_000n, weights: [...weights, 1n] };
  });
  for (const { decimals, total, weights } of cases) {
    const expected = shareOut(total, weights);
    const [row] = await stack.sql<{ parts: string[] }>(
      `select array_agg((p.amount * 10::numeric ^ $2::integer)::bigint::text order by p.place) as parts
       from app.apportion($1::numeric / 10::numeric ^ $2::integer, $2::smallint, array(select gen_random_uuid() from unnest($3::numeric[])), (select array_agg(w / 1000000 order by i) from unnest($3::numeric[]) with ordinality u (w, i)))
         with ordinality p (key, weight, amount, place)`,
      [String(total), decimals, weights.map(String)],
    );
    expect(row?.parts.map(BigInt)).toEqual(expected);
  }
});

test('ten thousand units are shared out in one call, exactly', async () => {
  const [{ home } = { home: '' }] = await stack.sql<{ home: string }>(
    `insert into communities (organization_id, name, slug, country_code, currency_code, time_zone, ideal_parts_total)
     select organization_id, 'Large', 'large', 'BG', 'EUR', 'UTC', 10000 from communities where id = $1 returning id as home`,
    [community],
  );
  await stack.sql(`select open_books($1, '2026-01-01')`, [home]);
  await stack.sql(`insert into units (community_id, number, area, ideal_parts) select $1, i::text, round((20 + random() * 100)::numeric, 2), 1 from generate_series(1, 10000) i`, [home]);
  await stack.sql(`select create_allocation_key($1, m, m::allocation_method) from unnest(array['shares', 'area', 'per_unit']) m`, [home]);
  await stack.sql(`select app.allocate($1, k.id, 98765.43, '2026-01-01', '2026-01-31') from allocation_keys k where k.community_id = $1`, [home]);
  const rows = await stack.sql<{ total: string; amount: string; most: string; many: string }>(
    `select a.total, sum(l.amount) as amount, max(abs(l.amount * a.weight_total - a.total * l.weight) / a.weight_total) as most, count(*) as many
     from allocations a join allocation_lines l on l.allocation_id = a.id where a.community_id = $1 group by a.id`,
    [home],
  );
  expect(rows).toHaveLength(3);
  for (const { total, amount, most, many } of rows) {
    expect([amount, many]).toEqual([total, '10000']);
    expect(Number(most)).toBeLessThan(0.01);
  }
  expect(await stack.sql(`select * from app.check_allocations($1)`, [home])).toEqual([]);
});

// Formulas ------------------------------------------------------------------------------------------------------------

test('a formula is evaluated for every unit, previewed, allocated by, and every weight follows again from what was kept', async () => {
  const formula = 'round(area * (floor > 0 ? 1 + floor * 0.15 : 1)) + 2 * max(persons, 1) + is_shop * 12.5';
  const key = await makeKey({ name: 'By formula', method: 'formula', formula });
  const before = await accountant.rpc('preview_allocation', { key_id: key, ...january, total: 100 });
  expect([before.status, before.error?.message]).toEqual([409, 'formula_not_evaluated']);

  const { status, told } = await evaluate(accountant, { allocation_key_id: key, ...january });
  expect([status, told.unit_count, told.version]).toEqual([200, 12, 1]);
  const { data: previewed } = await accountant.rpc('preview_allocation', { key_id: key, ...january, total: 1234.56 });
  expect(previewed.reduce((sum: number, { amount }: { amount: number }) => sum + Math.round(amount * 100), 0)).toBe(123456);

  const [{ id } = { id: '' }] = await stack.sql<{ id: string }>(`select app.allocate($1, $2, 1234.56, '2026-01-01', '2026-01-31') as id`, [community, key]);
  const kept = await stack.sql<{ weight: string; inputs: Record<string, number | null>; told: string; amount: number; unit_id: string }>(
    `select trim_scale(l.weight)::text as weight, l.inputs, a.formula_snapshot ->> 'formula' as told, l.amount, l.unit_id from allocations a join allocation_lines l on l.allocation_id = a.id where a.id = $1`,
    [id],
  );
  expect(kept).toHaveLength(12);
  for (const { weight, inputs, told: snapshot } of kept) expect(compile(snapshot).evaluate({ id: '', number: '', inputs }, { isMissingZero: false })).toBe(weight);
  for (const { unit_id, amount } of previewed as { unit_id: string; amount: number }[]) {
    expect(Number(kept.find((line) => line.unit_id === unit_id)?.amount)).toBe(amount);
  }
  const [evaluation] = await stack.sql<{ email: string }>(`select u.email from formula_evaluations e join auth.users u on u.id = e.created_by where e.allocation_key_id = $1`, [key]);
  expect(evaluation?.email).toBe('accountant@demo.example');

  // Whoever changes a unit has it evaluated again.
  await stack.sql(`update units set area = area + 1 where community_id = $1 and number = '4'`, [community]);
  expect((await accountant.rpc('preview_allocation', { key_id: key, ...january, total: 100 })).error?.message).toBe('formula_not_evaluated');
  await evaluate(accountant, { allocation_key_id: key, ...january });
  expect((await accountant.rpc('preview_allocation', { key_id: key, ...january, total: 100 })).error).toBeNull();
});

test.each([
  ['process.exit()', 422, 'formula_invalid'],
  [`constructor.constructor('return process')()`, 422, 'formula_invalid'],
  ['area.constructor.constructor(1)', 422, 'formula_invalid'],
  ['globalThis', 422, 'formula_invalid'],
  ['rent * 2', 422, 'formula_invalid'],
  ['area +', 422, 'formula_invalid'],
  ['area / (floor - floor)', 422, 'formula_failed'],
  ['9 ** 9 ** 9 ** 9', 422, 'formula_failed'],
  ['10 ** 10 * 10 ** 10', 422, 'formula_failed'],
  ['0 - area', 422, 'formula_failed'],
  ['meter_never_read', 422, 'allocation_input_missing'],
  ['('.repeat(500) + '1' + ')'.repeat(500), 422, 'formula_too_complex'],
  ['1'.repeat(2001), 422, 'formula_too_complex'],
])('the formula %.40s is answered with a clear error, and nothing is written', async (formula, expected, token) => {
  const written = [await count('formula_evaluations'), await count('formula_weights'), await count('allocations')];
  const key = (await stack.sql<{ id: string }>(`select id from allocation_keys where name = 'Rubbish'`))[0]?.id;
  const tried = await evaluate(accountant, { allocation_key_id: key, ...january, formula });
  expect([tried.status, tried.told.message]).toEqual([expected, token]);
  if (formula.length <= 2000) {
    // The same, kept in a key.
    const bad = await makeKey({ name: `Bad ${token} ${formula.length} ${formula.slice(0, 10)}`.trim(), method: 'formula', formula });
    const kept = await evaluate(accountant, { allocation_key_id: bad, ...january });
    expect([kept.status, kept.told.message]).toEqual([expected, token]);
  } else {
    const { status, error } = await accountant.rpc('create_allocation_key', { community_id: community, name: 'Too long', method: 'formula', formula });
    expect([status, error?.message]).toEqual([422, 'invalid_value']);
  }
  expect([await count('formula_evaluations'), await count('formula_weights'), await count('allocations')]).toEqual(written);
});

test('nobody evaluates another community\'s key, or one that they may only see', async () => {
  const key = (await stack.sql<{ id: string }>(`select id from allocation_keys where name = 'Rubbish'`))[0]?.id;
  const written = await count('formula_evaluations');
  const elsewhere = await stack.createUser({ email: 'manager.of.nothing@mail.example' });
  for (const [email, expected] of [
    ['owner@demo.example', [403, 'permission_denied']],
    ['tenant@demo.example', [404, 'allocation_key_not_found']],
    ['guard@demo.example', [404, 'allocation_key_not_found']],
    [elsewhere.email, [404, 'allocation_key_not_found']],
  ] as const) {
    const { status, told } = await evaluate(await stack.client(email), { allocation_key_id: key, ...january });
    expect([status, told.message], email).toEqual(expected);
  }
  const { status: unsigned, told } = await evaluate(await stack.client(), { allocation_key_id: key, ...january });
  expect([unsigned, told.message]).toEqual([403, 'not_allowed']);
  const { status, error } = await accountant.rpc('store_formula_weights', { key_id: key, version: 1, ...january, digest: '', weights: [] });
  expect([status, error?.code]).toEqual([403, '42501']);
  expect(await count('formula_evaluations')).toBe(written);
});

// Races ---------------------------------------------------------------------------------------------------------------

test('while a key is changed, everything is allocated by one version or the other, whole', async () => {
  const key = await makeKey({ name: 'Contested', method: 'per_unit' });
  const change = async (round: number) => {
    const { error } = await accountant.rpc('change_allocation_key', {
      key_id: key,
      method: round % 2 === 0 ? 'area' : 'per_unit',
      exclusions: round % 2 === 0 ? [{ floor_from: -5, floor_to: 0 }] : [],
    });
    expect(error).toBeNull();
  };
  const allocate = () => stack.sql(`select app.allocate($1, $2, 100, '2026-01-01', '2026-01-31')`, [community, key]);
  await Promise.all([0, 1, 2, 3].flatMap((round) => [change(round), allocate(), allocate(), allocate()]));
  const made = await stack.sql<{ method: string; version: number; snapshot: string; lines: string; amount: string }>(
    `select a.method, a.key_version as version, a.formula_snapshot ->> 'method' as snapshot, count(*) as lines, sum(l.amount) as amount
     from allocations a join allocation_lines l on l.allocation_id = a.id where a.allocation_key_id = $1 group by a.id`,
    [key],
  );
  expect(made).toHaveLength(12);
  for (const { method, snapshot, lines, amount } of made) {
    expect([snapshot, lines, Number(amount)]).toEqual([method, method === 'area' ? '8' : '12', 100]);
  }
});

test('two evaluations at once leave one that counts, whole', async () => {
  const key = await makeKey({ name: 'Evaluated twice', method: 'formula', formula: 'persons + 1' });
  const answers = await Promise.all(Array.from({ length: 4 }, () => evaluate(accountant, { allocation_key_id: key, ...january })));
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  const { data } = await accountant.rpc('preview_allocation', { key_id: key, ...january, total: 50 });
  expect(data).toHaveLength(12);
});

test('the same quantity entered by two at once is entered once', async () => {
  const [{ id: unit } = { id: '' }] = await stack.sql<{ id: string }>(`select id from units where community_id = $1 and number = '2'`, [community]);
  const enter = (quantity: number) => accountant.rpc('enter_allocation_inputs', { community_id: community, measure: 'gas', ...january, quantities: [{ unit_id: unit, quantity }] });
  const answers = await Promise.all([1, 2, 3, 4, 5, 6].map(enter));
  expect(answers.map(({ status, error }) => [status, error?.message])).toEqual(answers.map(() => [200, undefined]));
  expect(await count(`allocation_inputs where measure = 'gas' and deleted_at is null`)).toBe(1);
});

// Last, because whoever sends too much is cut off, and with it whatever shares the connection.
test('a formula of a megabyte is refused before it is read, and nothing is written', async () => {
  const written = [await count('formula_evaluations'), await count('formula_weights'), await count('allocation_keys')];
  const formula = `${'1+'.repeat(500_000)}1`;
  const key = (await stack.sql<{ id: string }>(`select id from allocation_keys where name = 'Rubbish'`))[0]?.id;
  const { status, error } = await accountant.rpc('create_allocation_key', { community_id: community, name: 'Too long', method: 'formula', formula });
  expect([status, error?.message]).toEqual([422, 'invalid_value']);
  const tried = await evaluate(accountant, { allocation_key_id: key, ...january, formula });
  expect([tried.status, tried.told.message]).toEqual([413, 'body_too_large']);
  expect([await count('formula_evaluations'), await count('formula_weights'), await count('allocation_keys')]).toEqual(written);
});
