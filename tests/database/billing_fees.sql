-- A fee says all that charging it needs; its periods follow from its rule or its instalments.

begin;
select plan(53);

select tests.create_community('Alder');
select tests.create_community('Birch');
update public.communities set ideal_parts_total = 100 where id = tests.id('Alder');
select tests.create_unit('1', 'Alder');
select public.open_books(tests.id('Alder'), '2026-01-01');
select public.open_books(tests.id('Birch'), '2026-01-01');
select tests.create_supabase_user('mia');
select tests.grant_role('mia', 'manager', community => 'Alder');
select tests.create_supabase_user('cas');
select tests.grant_role('cas', 'committee', community => 'Alder');
select tests.create_supabase_user('gus');
select tests.grant_role('gus', 'guard', community => 'Alder');
select tests.keep('fund', (select f.id from public.funds f where f.community_id = tests.id('Alder') and f.kind = 'operating'));
select tests.keep('reserve', (select f.id from public.funds f where f.community_id = tests.id('Alder') and f.kind = 'reserve'));
select tests.keep('foreign', (select f.id from public.funds f where f.community_id = tests.id('Birch') and f.kind = 'operating'));
select tests.keep('income', app.account_for(tests.id('Alder'), tests.kept('fund')::uuid, 'assessment_income'));
select tests.keep('expense', (select a.id from public.accounts a where a.fund_id = tests.kept('fund')::uuid and a.type = 'expense' limit 1));
select tests.keep('elsewhere', app.account_for(tests.id('Alder'), tests.kept('reserve')::uuid, 'assessment_income'));
select tests.keep('key', public.create_allocation_key(tests.id('Alder'), 'Alike', 'per_unit'));
select tests.keep('foreign_key', public.create_allocation_key(tests.id('Birch'), 'Alike', 'per_unit'));

-- Making -------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('mia');
select tests.keep('fee', public.create_fee(tests.id('Alder'), 'Maintenance', tests.kept('fund')::uuid, tests.kept('key')::uuid, 120.50, '2026-01-01'));
select is((select f.recurrence || ' ' || f.decimals || ' ' || f.liable || ' ' || f.due_days from public.fees f), 'FREQ=MONTHLY;BYMONTHDAY=1 2 payer 14', 'a fee is monthly unless it is told otherwise');
select is((select f.account_id from public.fees f), tests.kept('income')::uuid, 'and credited to the fund''s account of fees');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'Maintenance', tests.kept('fund')::uuid, tests.kept('key')::uuid, 1, '2026-01-01')$$, 'PT409', 'name_taken', 'a name is taken once');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('foreign')::uuid, tests.kept('key')::uuid, 1, '2026-01-01')$$, 'PT404', 'fund_not_found', 'another community''s fund is unknown');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('fund')::uuid, tests.kept('foreign_key')::uuid, 1, '2026-01-01')$$, 'PT404', 'allocation_key_not_found', 'so is its key');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('fund')::uuid, tests.kept('key')::uuid, 1, '2026-01-01', account_id => tests.kept('elsewhere')::uuid)$$, 'PT422', 'account_refused', 'another fund''s account is refused');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('fund')::uuid, tests.kept('key')::uuid, 1, '2026-01-01', account_id => tests.kept('expense')::uuid)$$, 'PT422', 'account_refused', 'an account of expenses too');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('fund')::uuid, tests.kept('key')::uuid, 0, '2026-01-01')$$, 'PT422', 'invalid_value', 'a fee is more than nothing');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('fund')::uuid, tests.kept('key')::uuid, -1, '2026-01-01')$$, 'PT422', 'invalid_value', 'and not less');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('fund')::uuid, tests.kept('key')::uuid, 1.005, '2026-01-01')$$, 'PT422', 'invalid_value', 'a total fits the currency');
select lives_ok($$select public.create_fee(tests.id('Alder'), 'By area', tests.kept('fund')::uuid, tests.kept('key')::uuid, 0.4567, '2026-01-01', 'rate')$$, 'a rate may be finer');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('fund')::uuid, tests.kept('key')::uuid, 1, '2026-01-01', recurrence => 'FREQ=HOURLY')$$, 'PT422', 'recurrence_unsupported', 'a rule that nobody can follow is refused');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('fund')::uuid, tests.kept('key')::uuid, 1, '2026-01-01', kind => 'one_off', recurrence => 'FREQ=DAILY')$$, 'PT422', 'invalid_value', 'what is charged once has no rule');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('fund')::uuid, tests.kept('key')::uuid, 1, null)$$, 'PT422', 'invalid_value', 'a fee has a first day');
select throws_ok($$select public.create_fee(tests.id('Birch'), 'X', tests.kept('foreign')::uuid, tests.kept('foreign_key')::uuid, 1, '2026-01-01')$$, 'PT403', 'permission_denied', 'another community''s fees are made by others');

-- Instalments --------------------------------------------------------------------------------------------------------

select tests.keep('roof', public.create_fee(tests.id('Alder'), 'Roof', tests.kept('reserve')::uuid, tests.kept('key')::uuid, 1000, '2026-03-01', kind => 'special_assessment',
  instalments => '[{"due_on": "2026-03-31", "amount": 333.34}, {"due_on": "2026-04-30", "amount": 333.33}, {"due_on": "2026-05-31", "charged_on": "2026-05-01", "amount": 333.33}]'));
select results_eq($$select i.number::integer, i.charged_on, i.due_on, i.amount from public.fee_instalments i order by 1$$,
  $$values (1, date '2026-03-17', date '2026-03-31', 333.34), (2, '2026-04-16', '2026-04-30', 333.33), (3, '2026-05-01', '2026-05-31', 333.33)$$, 'instalments are charged so many days before they are due, or on the day that is told');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('reserve')::uuid, tests.kept('key')::uuid, 1000, '2026-03-01', kind => 'special_assessment',
  instalments => '[{"due_on": "2026-03-31", "amount": 500}, {"due_on": "2026-04-30", "amount": 499.99}]')$$, 'PT409', 'instalments_not_whole', 'they make up the whole, to the cent');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('reserve')::uuid, tests.kept('key')::uuid, 3, '2026-03-01', 'rate', 'special_assessment',
  instalments => '[{"due_on": "2026-03-31", "percent": 50}, {"due_on": "2026-04-30", "percent": 49.999999}]')$$, 'PT409', 'instalments_not_whole', 'or 100 percent of a rate');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('fund')::uuid, tests.kept('key')::uuid, 1000, '2026-03-01', instalments => '[{"due_on": "2026-03-31", "amount": 1000}]')$$, 'PT409', 'instalments_not_whole', 'only a special assessment has them');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('fund')::uuid, tests.kept('key')::uuid, 1000, '2026-03-01', kind => 'special_assessment', instalments => '[{"due_on": "someday", "amount": 1000}]')$$, 'PT422', 'invalid_instalments', 'a day is a day');
select throws_ok($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('fund')::uuid, tests.kept('key')::uuid, 1000, '2026-03-01', kind => 'special_assessment', instalments => '[{"due_on": "2026-03-31", "amount": 500}, {"due_on": "2026-03-31", "amount": 500}]')$$, 'PT422', 'invalid_instalments', 'two instalments are charged on two days');
select lives_ok($$select public.set_fee_instalments(tests.kept('roof')::uuid, '[{"due_on": "2026-03-31", "amount": 600}, {"due_on": "2026-04-30", "amount": 600}]', 1200)$$, 'instalments and amount change together');
select is((select count(*) || ' ' || sum(i.amount) from public.fee_instalments i), '2 1200', 'and take the place of those before');
select throws_ok($$select public.set_fee_instalments(tests.kept('fee')::uuid, '[]')$$, 'PT422', 'invalid_instalments', 'a regular fee has none to set');
update public.fees set amount = 1300 where id = tests.kept('roof')::uuid;
select throws_ok($$set constraints public._700_instalments_whole immediate$$, 'PT409', 'instalments_not_whole', 'the amount alone does not change');
set constraints public._700_instalments_whole deferred;
update public.fees set amount = 1200 where id = tests.kept('roof')::uuid;

-- Periods ------------------------------------------------------------------------------------------------------------

select results_eq($$select * from public.fee_schedule(tests.kept('fee')::uuid, '2026-01-15', '2026-03-31')$$,
  $$values (date '2026-02-01', date '2026-02-28', date '2026-02-15', null::integer), ('2026-03-01', '2026-03-31', '2026-03-15', null)$$, 'a period lasts until the day before the next');
select results_eq($$select starts_on, number from public.fee_schedule(tests.kept('roof')::uuid, '2026-01-01', '2026-12-31')$$, $$values (date '2026-03-17', 1), ('2026-04-16', 2)$$, 'an instalment is of one day');
update public.fees set recurrence = 'FREQ=MONTHLY;INTERVAL=3;COUNT=2;BYMONTHDAY=1' where id = tests.kept('fee')::uuid;
select results_eq($$select starts_on, ends_on from public.fee_schedule(tests.kept('fee')::uuid, '2026-01-01', '2026-12-31')$$,
  $$values (date '2026-01-01', date '2026-03-31'), ('2026-04-01', '2026-06-30')$$, 'the last period of a rule that ends is as long as the others');
select is(app.recurrence_next('FREQ=YEARLY;UNTIL=20260101', '2026-01-01', '2026-01-01'), date '2027-01-01', 'a year goes on to the next');
update public.fees set last_on = '2026-03-31' where id = tests.kept('fee')::uuid;
select is((select count(*) from public.fee_schedule(tests.kept('fee')::uuid, '2026-01-01', '2026-12-31')), 1::bigint, 'no period begins after the last day');
select throws_ok($$select * from public.fee_schedule(tests.kept('fee')::uuid, '2026-01-01', '2066-12-31')$$, 'PT422', 'invalid_period', 'ten years are enough');
select throws_ok(format($$select * from public.fee_schedule(tests.kept('fee')::uuid, %L, %L)$$, v.from_day, v.to_day), 'PT422', 'invalid_period', format('and begin and end: %s to %s', v.from_day, v.to_day))
from (values ('-infinity', '2026-12-31'), ('2026-01-01', 'infinity'), ('infinity', 'infinity')) v (from_day, to_day);
select throws_ok(format($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('fund')::uuid, tests.kept('key')::uuid, 1, '2026-01-01', kind => 'special_assessment', instalments => '[%s]')$$, v.told),
  'PT422', 'invalid_value', 'an instalment is charged, and due, on some day: ' || v.told)
from (values ('{"due_on": "infinity", "charged_on": "2026-03-01", "amount": 1}'), ('{"due_on": "infinity", "amount": 1}'), ('{"due_on": "-infinity", "amount": 1}'),
  ('{"due_on": "5874897-12-31", "charged_on": "2026-03-01", "amount": 1}'), ('{"due_on": "2026-03-01", "charged_on": "0044-03-15 BC", "amount": 1}')) v (told);
select throws_ok(format($$select public.create_fee(tests.id('Alder'), 'X', tests.kept('fund')::uuid, tests.kept('key')::uuid, 1, '2026-01-01', kind => 'one_off', last_on => %L)$$, v.day), 'PT422', 'invalid_value', 'a fee does not last until ' || v.day)
from (values ('infinity'), ('5874897-12-31'), ('2025-12-31')) v (day);

-- Who may ------------------------------------------------------------------------------------------------------------

select throws_ok($$update public.fees set fund_id = tests.kept('reserve')::uuid$$, '42501', null, 'a manager does not move a fee to another fund');
select lives_ok($$update public.fees set name = 'Upkeep', amount = 130 where id = tests.kept('fee')::uuid$$, 'but names and prices it anew');
select is((select f.amount from public.fees f where f.name = 'Upkeep'), 130::numeric, 'which counts from then on');
select throws_ok($$update public.fees set status = 'inactive'$$, '42501', null, 'the status is set by its RPC');
select is(public.set_fee_status(tests.kept('fee')::uuid, 'inactive'), true, 'set_fee_status takes a fee out of use');
select is(public.set_fee_status(tests.kept('fee')::uuid, 'inactive'), false, 'once');
select tests.authenticate_as('cas');
select is((select count(*) from public.fees), 3::bigint, 'the committee sees the fees');
select throws_ok($$select public.set_fee_status(tests.kept('fee')::uuid, 'active')$$, 'PT403', 'permission_denied', 'and does not change them');
update public.fees set amount = 1;
select tests.authenticate_as('gus');
select is(tests.seen('public.fees', 'name'), 'nothing', 'a guard sees none');
select tests.as_studio();
select is((select f.amount from public.fees f where f.id = tests.kept('fee')::uuid), 130::numeric, 'all are as before');
select throws_ok($$update public.fees set kind = 'one_off', recurrence = null where id = tests.kept('fee')::uuid$$, 'PT409', null, 'how a fee is charged is frozen for everybody');

select * from finish();
rollback;
