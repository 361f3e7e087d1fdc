import { afterAll, beforeAll, expect, test } from 'vitest';
import pg from 'pg';
import { createDatabaseFromTemplate, testServer } from '../support/database.ts';

// What is done for all units of a community at once goes through a few rows for each, also while the planner knows nothing: the rows are of
// the same transaction, and no table was ever analyzed. A plan that compares all with all goes through n² of them. They are counted in the
// plans of every statement that ran, within functions and triggers too, so that how busy the machine is does not matter.

// So many that small tables, which are read whole for good reason, are none of it.
const units = 1000;
const mostPerUnit = 60;

type Plan = { 'Actual Rows'?: number; 'Actual Loops'?: number; Plans?: Plan[] } & Record<string, unknown>;

/** The rows that all nodes of a plan went through, those that they threw away included. */
function rowsOf(plan: Plan): number {
  const each = Object.entries(plan).reduce((sum, [name, value]) => (name === 'Actual Rows' || name.startsWith('Rows Removed by') ? sum + Number(value) : sum), 0);
  return each * (plan['Actual Loops'] ?? 0) + (plan.Plans ?? []).reduce((sum, part) => sum + rowsOf(part), 0);
}

let client: pg.Client;
let explained: string[] = [];

beforeAll(async () => {
  client = new pg.Client({ connectionString: testServer().url(await createDatabaseFromTemplate('migrated'), 'supabase_admin') });
  await client.connect();
  client.on('notice', ({ message }) => {
    if (message?.startsWith('duration: ')) explained.push(message.slice(message.indexOf('{')));
  });
  await client.query(`
    begin;
    select public.create_community(public.create_organization('Many', 'many', 'BG'), 'Many', 'many', 'BG', 'EUR', 'Europe/Sofia');
    create temporary table home as select id from public.communities where slug = 'many';
    update public.communities set ideal_parts_total = ${units} where slug = 'many';
    insert into public.units (number, community_id, ideal_parts, area) select n, (select id from home), 1, 40 + n % 50 from generate_series(1, ${units}) n;
    insert into public.residents (full_name, community_id) select 'Owner ' || n, (select id from home) from generate_series(1, ${units}) n;
    insert into public.occupancies (community_id, unit_id, resident_id, role, starts_on)
    select (select id from home), u.id, r.id, 'owner', '2020-01-01'
    from (select id, row_number() over (order by id) as n from public.units) u join (select id, row_number() over (order by id) as n from public.residents) r using (n);
    select public.open_books((select id from home), current_date - 400);
    create temporary table fund as select f.id from public.funds f where f.kind = 'operating';
    create function pg_temp.account(wanted public.account_purpose) returns uuid language sql as $$ select a.id from public.accounts a where a.fund_id = (select id from fund) and a.purpose = wanted order by a.code limit 1 $$;
    create temporary sequence numbers;
    create function pg_temp.expense(key uuid) returns uuid language plpgsql as $$
    declare
      made uuid := public.enter_expense((select id from home), public.create_expense_category((select id from home), 'C' || nextval('numbers'), key::text, pg_temp.account('expense'), key), 'Repairs', 1234.56,
        current_date - 1, starts_on => current_date - 30, ends_on => current_date - 1);
    begin
      perform public.submit_expense(made), public.approve_expense(made);
      return made;
    end $$;
    create temporary table fee as select public.create_fee((select id from home), 'Maintenance', (select id from fund),
      public.create_allocation_key((select id from home), 'Ideal parts', 'shares'), ${units * 49}.37, current_date - 300) as id;
    load 'auto_explain';
    set local auto_explain.log_nested_statements = on;
    set local auto_explain.log_analyze = on;
    set local auto_explain.log_timing = off;
    set local auto_explain.log_buffers = off;
    set local auto_explain.log_format = json;
    set local auto_explain.log_level = notice;
    set local client_min_messages = notice;
    set local auto_explain.log_parameter_max_length = 0;
  `);
});
afterAll(() => client.end());

/** Runs a statement, and returns those within it that went through more rows than so many for each of its units, all their executions together. */
async function excessive(statement: string, concerned = units): Promise<string[]> {
  explained = [];
  await client.query('set local auto_explain.log_min_duration = 0');
  await client.query(statement);
  await client.query('set local auto_explain.log_min_duration = -1');
  const rows = new Map<string, number>();
  for (const text of explained) {
    const { 'Query Text': query, Plan: plan } = JSON.parse(text) as { 'Query Text': string; Plan: Plan };
    rows.set(query, (rows.get(query) ?? 0) + rowsOf(plan));
  }
  expect(rows.size).toBeGreaterThan(1);
  return [...rows].filter(([, many]) => many > concerned * mostPerUnit).map(([query, many]) => `${Math.round(many / concerned)} rows a unit: ${query.trim().slice(0, 300)}`);
}

const charge = (month: number): string => `select public.run_fee((select id from fee), (current_date - 290 + make_interval(months => ${month}))::date)`;
const allocate = (method: string, more = ''): string =>
  `select public.allocate_expense(pg_temp.expense(public.create_allocation_key((select id from home), 'By ${method}', '${method}'${more})), current_date + 30)`;

test('a plan that compares all with all is noticed', async () => {
  const all = await excessive(`set local enable_hashjoin = off; set local enable_mergejoin = off; set local enable_material = off;
    select app.today_in((select id from home)), count(*) from public.units u join public.residents r on r.full_name || '' = 'Owner ' || u.number`);
  await client.query('reset enable_hashjoin; reset enable_mergejoin; reset enable_material');
  expect(all).toHaveLength(1);
});

test('a first run of a fee, which makes the accounts of all owners, and the next one', async () => {
  expect(await excessive(`select count(*) from public.preview_fee_run((select id from fee), current_date - 290)`)).toEqual([]);
  expect(await excessive(charge(0))).toEqual([]);
  const { rows } = await client.query<{ many: number; whole: boolean }>(
    `select count(*)::integer as many, sum(balance) = ${units * 49}.37 as whole from public.subaccounts where community_id = (select id from home)`,
  );
  expect(rows).toEqual([{ many: units, whole: true }]);
  expect(await excessive(charge(1))).toEqual([]);
});

test('the instalments of a special assessment, each by what the others left', async () => {
  await client.query(`create temporary table levy as select public.create_fee((select id from home), 'Lift', (select id from fund), (select id from public.allocation_keys where name = 'Ideal parts'), 9000,
    current_date - 200, kind => 'special_assessment', instalments => (select jsonb_agg(jsonb_build_object('due_on', current_date - 150 + n, 'charged_on', current_date - 200 + n, 'amount', 3000)) from unnest('{0,30,60}'::integer[]) n)) as id`);
  for (const days of [200, 170, 140]) expect(await excessive(`select public.run_fee((select id from levy), current_date - ${days})`)).toEqual([]);
  const { rows } = await client.query<{ many: number; whole: number }>(`select count(*)::integer as many, sum(r.total)::integer as whole from public.fee_runs r where r.fee_id = (select id from levy)`);
  expect(rows).toEqual([{ many: 3, whole: 9000 }]);
});

test('adjustments of many charges, one by one', async () => {
  expect(await excessive(`select public.adjust_charge(c.id, 'waiver', 'for a test', 1) from (select id from public.charges order by id limit 250) c`, 250)).toEqual([]);
});

test('an expense by ideal parts, without a tenth of the units', async () => {
  const left = `(select jsonb_agg(jsonb_build_object('unit_id', u.id)) from public.units u where u.number::integer % 10 = 0)`;
  expect(await excessive(allocate('shares', `, is_normalised => true, exclusions => ${left}`))).toEqual([]);
});

test('an expense by what was measured, which is entered before', async () => {
  const quantities = (used: number) => `(select jsonb_agg(jsonb_build_object('unit_id', u.id, 'quantity', ${used})) from public.units u)`;
  const enter = (used: number) => `select public.enter_allocation_inputs((select id from home), 'heat', current_date - 30, current_date - 1, ${quantities(used)})`;
  expect(await excessive(enter(3.5))).toEqual([]);
  expect(await excessive(enter(4.5))).toEqual([]);
  expect(await excessive(allocate('metered', `, measure => 'heat'`))).toEqual([]);
});

test('an expense by persons and area', async () => {
  expect(await excessive(allocate('hybrid', `, parts => '[{"method": "area", "percent": 60}, {"method": "per_person", "percent": 40}]'`))).toEqual([]);
});

test('an expense by a formula, which is evaluated before', async () => {
  await client.query(`create temporary table own as select public.create_allocation_key((select id from home), 'Own', 'formula', formula => 'area + persons') as key`);
  expect(await excessive(`create temporary table told as select public.formula_inputs((select key from own), current_date - 30, current_date - 1) as inputs`)).toEqual([]);
  expect(
    await excessive(`select public.store_formula_weights((select key from own), (inputs ->> 'version')::integer, current_date - 30, current_date - 1, inputs ->> 'digest',
      (select jsonb_agg(jsonb_build_object('unit_id', u ->> 0, 'weight', 7)) from jsonb_array_elements(inputs -> 'units') u)) from told`),
  ).toEqual([]);
  expect(await excessive(`select public.allocate_expense(pg_temp.expense((select key from own)), current_date + 30)`)).toEqual([]);
});

test('an expense by fixed weights, and all of it taken back', async () => {
  const weights = `(select jsonb_agg(jsonb_build_object('unit_id', u.id, 'weight', 2)) from public.units u)`;
  expect(await excessive(allocate('fixed', `, weights => ${weights}`))).toEqual([]);
  expect(await excessive(`select count(*) from public.preview_expense_allocation((select id from public.expenses order by id desc limit 1))`)).toEqual([]);
  expect(await excessive(`select public.reverse_expense_allocation((select id from public.expenses order by id desc limit 1), 'for a test')`)).toEqual([]);
});

test('the last run of a fee taken back', async () => {
  expect(await excessive(`select public.reverse_fee_run((select id from public.fee_runs where fee_id = (select id from levy) order by id desc limit 1), 'for a test')`)).toEqual([]);
});

test('charges that have become stale', async () => {
  const { rows } = await client.query<{ many: number }>('select count(*)::integer as many from public.charges');
  expect(await excessive(`select count(*) from public.stale_charges((select id from home))`, rows[0]?.many)).toEqual([]);
});

test('units whose charge falls to several: co-owners, of whom one has bought, tenants who have moved in, and payers', async () => {
  await client.query(`
    insert into public.residents (full_name, community_id) select 'Further ' || n, (select id from home) from generate_series(1, ${units}) n;
    create temporary table further as
    select u.id as unit_id, r.id as resident_id, u.n
    from (select id, row_number() over (order by id) as n from public.units) u join (select id, row_number() over (order by id) as n from public.residents where full_name like 'Further %') r using (n);
    insert into public.occupancies (community_id, unit_id, resident_id, role, starts_on) select (select id from home), unit_id, resident_id, 'owner', current_date - 280 from further where n % 3 = 0;
    insert into public.occupancies (community_id, unit_id, resident_id, role, starts_on) select (select id from home), unit_id, resident_id, 'tenant', current_date - 275 from further where n % 3 = 1;
    insert into public.unit_representatives (community_id, unit_id, resident_id, kind, starts_on) select (select id from home), unit_id, resident_id, 'payer', current_date - 270 from further where n % 3 = 2;
    create temporary table occupied as select public.create_fee((select id from home), 'Water', (select id from fund), (select id from public.allocation_keys where name = 'Ideal parts'), 9000.01, current_date - 300, liable => 'occupant') as id;
  `);
  // What was charged before they were known is not what would be charged now, which is about as many again.
  const { rows } = await client.query<{ many: number }>('select 2 * count(*)::integer as many from public.charges');
  expect(await excessive(`create temporary table stale as select * from public.stale_charges((select id from home))`, rows[0]?.many)).toEqual([]);
  expect((await client.query('select from stale limit 1')).rowCount).toBe(1);
  // A unit has up to four parties and as many stretches of days, each looked at by a dozen steps.
  expect(await excessive(`select public.run_fee((select id from occupied), current_date - 290)`, 5 * units)).toEqual([]);
});

test('everything above, verified', async () => {
  // Nearly all is in charges, each with its posting.
  const { rows } = await client.query<{ many: number }>('select count(*)::integer as many from public.postings');
  expect(await excessive(`create temporary table wrong as select * from public.verify_ledger((select id from home))`, rows[0]?.many)).toEqual([]);
  expect((await client.query('select * from wrong')).rows).toEqual([]);
});

test('opening balances of all units, and other ones', async () => {
  const bring = (owed: number) =>
    `select public.import_opening_balances((select id from home), '{Unit,Balance}', (select jsonb_agg(jsonb_build_array(u.number, '${owed}')) from public.units u), dry_run => false)`;
  expect(await excessive(bring(12.5))).toEqual([]);
  expect(await excessive(bring(13.5))).toEqual([]);
});
