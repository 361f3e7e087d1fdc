-- Who may let somebody owe less by entries made by hand, and take money out.

begin;
select plan(73);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_resident('Ana', 'Alder'), tests.create_resident('Tom', 'Alder');
select tests.create_supabase_user(u) from unnest(array['accountant', 'manager', 'other', 'limited', 'clerk']) u;
select tests.grant_role('accountant', 'accountant', community => 'Alder'), tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('other', 'manager', community => 'Cedar'),
  tests.grant_role('limited', 'accountant', community => 'Alder');
select public.grant_permission(tests.id('clerk'), p, 'Enters what was paid', community_id => tests.id('Alder'))
from unnest('{ledger.post,ledger.read}'::text[]) p;
select public.open_books(tests.id('Alder'), '2026-01-01'), public.open_books(tests.id('Cedar'), '2026-01-01');

create function pg_temp.acc(called text) returns uuid language sql stable security definer set search_path = '' as $$
  select a.id from public.accounts a join public.funds f on f.id = a.fund_id
  where f.code = 'OPER' and f.community_id = tests.id('Alder') and a.purpose::text = called order by a.code limit 1
$$;
create function pg_temp.whose(side text, account text, resident text) returns jsonb language sql stable set search_path = '' as $$
  select case when account in ('receivable', 'deposits_held') then jsonb_build_object(side || '_unit_id', tests.id('1'), side || '_resident_id', tests.id(resident)) else '{}' end
$$;
create function pg_temp.line(debit text, credit text, amount numeric, debited text default 'Tom', credited text default 'Ana') returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_object('debit_account_id', pg_temp.acc(debit), 'credit_account_id', pg_temp.acc(credit), 'amount', amount)
    || pg_temp.whose('debit', debit, debited) || pg_temp.whose('credit', credit, credited)
$$;
create function pg_temp.post(debit text, credit text, amount numeric, debited text default 'Tom', key text default null) returns uuid language sql volatile set search_path = '' as $$
  select public.post_journal_entry(tests.id('Alder'), '2026-02-01', 'By hand', jsonb_build_array(pg_temp.line(debit, credit, amount, debited)), key)
$$;
create function pg_temp.entries() returns bigint language sql stable security definer set search_path = '' as $$
  select count(*) from public.journal_entries e where e.community_id = tests.id('Alder')
$$;
create function pg_temp.owed() returns numeric language sql stable security definer set search_path = '' as $$
  select s.balance from public.subaccounts s join public.accounts a on a.id = s.account_id and a.purpose = 'receivable' where s.resident_id = tests.id('Ana')
$$;
grant execute on function pg_temp.acc(text), pg_temp.whose(text, text, text), pg_temp.line(text, text, numeric, text, text), pg_temp.post(text, text, numeric, text, text), pg_temp.entries(), pg_temp.owed() to authenticated;

select tests.authenticate_as('accountant');
select lives_ok($$select pg_temp.post('receivable', 'assessment_income', 100, 'Ana')$$, 'an accountant charges by hand');
select lives_ok(format($$select pg_temp.post(%L, 'receivable', 5)$$, v.purpose), 'and enters what was paid: ' || v.purpose)
from (values ('bank'), ('cash')) v (purpose);
select is(pg_temp.owed(), 90.00, 'which is owed no longer');
select tests.keep('before', pg_temp.entries());
select throws_ok(format($$select pg_temp.post(%L, 'receivable', 5)$$, v.purpose), 'PT403', 'receivable_by_document', 'but lets nobody owe less otherwise: ' || v.purpose)
from (values ('assessment_income'), ('other_income'), ('expense'), ('bad_debt_expense'), ('waiver_expense'), ('fund_balance'), ('payable'), ('receivable')) v (purpose);
select is((pg_temp.owed(), pg_temp.entries()::text), (90.00, tests.kept('before')), '(who owes as before, and nothing is posted)');

-- What is held -------------------------------------------------------------------------------------------------------

select throws_ok(format($$select pg_temp.post(%L, 'receivable', 5, 'Ana')$$, v.purpose), 'PT403', 'receivable_by_document', 'nothing pays out of where nothing is held: ' || v.purpose)
from (values ('suspense'), ('prepayment'), ('deposits_held')) v (purpose);
select lives_ok(format($$select pg_temp.post('bank', %L, 8)$$, v.purpose), 'money is held: ' || v.purpose) from (values ('suspense'), ('prepayment'), ('deposits_held')) v (purpose);
select lives_ok(format($$select pg_temp.post(%L, 'receivable', 5, 'Ana', %1$L)$$, v.purpose), 'and pays: ' || v.purpose) from (values ('suspense'), ('prepayment'), ('deposits_held')) v (purpose);
select is(pg_temp.owed(), 75.00, 'what it pays is owed no longer');
select throws_ok(format($$select pg_temp.post(%L, 'receivable', 3.01, 'Ana')$$, v.purpose), 'PT403', 'receivable_by_document', 'as far as it goes: ' || v.purpose)
from (values ('suspense'), ('prepayment'), ('deposits_held')) v (purpose);
select lives_ok($$select pg_temp.post('suspense', 'receivable', 3)$$, '(to the cent)');
select is(pg_temp.post('suspense', 'receivable', 5, 'Ana', 'suspense'), (select e.id from public.journal_entries e where e.idempotency_key = 'suspense'), 'the same request is the same entry, though nothing is held any more');
select throws_ok($$select public.post_journal_entry(tests.id('Alder'), '2026-02-01', 'Twice', jsonb_build_array(pg_temp.line('prepayment', 'receivable', 2), pg_temp.line('prepayment', 'receivable', 2)))$$,
  'PT403', 'receivable_by_document', 'nor further in two postings of an entry');
select lives_ok($$select public.post_journal_entry(tests.id('Alder'), '2026-02-01', 'Deposit', jsonb_build_array(pg_temp.line('bank', 'deposits_held', 50, 'Tom', 'Tom')))$$, '(another''s deposit is held)');
select throws_ok($$select pg_temp.post('deposits_held', 'receivable', 5, 'Tom')$$, 'PT403', 'receivable_by_document', 'another''s deposit pays nobody''s debt');
select throws_ok(format($$select pg_temp.post(%L, %L, 5, 'Tom')$$, v.debit, v.credit), 'PT403', 'receivable_by_document', format('what is held comes of money: not of %s, for %s', v.debit, v.credit))
from (values ('expense', 'suspense'), ('other_income', 'prepayment'), ('fund_balance', 'deposits_held'), ('deposits_held', 'suspense'), ('receivable', 'suspense')) v (debit, credit);
select lives_ok($$select pg_temp.post('suspense', 'bank', 20)$$, 'what nobody can explain yet was paid');
select lives_ok($$select pg_temp.post('expense', 'suspense', 20)$$, 'and is explained');
select lives_ok($$select public.post_journal_entry(tests.id('Alder'), '2026-02-01', 'Paid ahead', jsonb_build_array(pg_temp.line('bank', 'receivable', 30, 'Ana', 'Tom')))$$, '(somebody pays ahead)');
select throws_ok($$select pg_temp.post('receivable', 'receivable', 5, 'Tom')$$, 'PT403', 'receivable_by_document', 'for the own flat, and nobody else''s');
select lives_ok($$select public.post_journal_entry(tests.id('Alder'), '2026-02-01', 'The other flat', jsonb_build_array(
  pg_temp.line('receivable', 'receivable', 30, 'Tom', 'Tom') || jsonb_build_object('credit_unit_id', tests.id('2'))))$$, 'what was paid ahead pays for another flat of the same person');
select throws_ok($$select public.post_journal_entry(tests.id('Alder'), '2026-02-01', 'The other flat', jsonb_build_array(
  pg_temp.line('receivable', 'receivable', 1, 'Tom', 'Tom') || jsonb_build_object('credit_unit_id', tests.id('2'))))$$, 'PT403', 'receivable_by_document', 'once');

-- Round about --------------------------------------------------------------------------------------------------------

select throws_ok($$select public.post_journal_entry(tests.id('Alder'), '2026-02-01', 'In and out', jsonb_build_array(pg_temp.line('bank', 'receivable', 30), pg_temp.line('expense', 'cash', 30)))$$,
  'PT403', 'receivable_by_document', 'what an entry takes out of the bank it has not received');
select lives_ok($$select public.post_journal_entry(tests.id('Alder'), '2026-02-01', 'Two things', jsonb_build_array(pg_temp.line('bank', 'receivable', 1), pg_temp.line('bank', 'other_income', 9), pg_temp.line('cash', 'bank', 4)))$$,
  'it may receive more, and carry it on');
select throws_ok($$select public.transfer_between_funds((select f.id from public.funds f where f.community_id = tests.id('Alder') and f.code = 'RES'), (select f.id from public.funds f where f.community_id = tests.id('Alder') and f.code = 'OPER'),
  5, '2026-02-01', 'Round about', to_account_id => pg_temp.acc('suspense'))$$, 'PT422', 'account_refused', 'nothing but money is transferred between funds');
select tests.keep('charge', pg_temp.post('receivable', 'assessment_income', 7, 'Ana')), tests.keep('paid', pg_temp.post('bank', 'receivable', 2));
select tests.keep('owed', (pg_temp.owed() + 2));
select lives_ok(format($$select public.reverse_journal_entry(%L, 'It bounced')$$, tests.kept('paid')), 'what was paid is taken back');
select lives_ok($$select public.import_opening_balances(tests.id('Alder'), '{Unit,Balance}', '[["2", "40"], ["1", "-10"]]', dry_run => false)$$, 'an accountant brings in opening balances');
select tests.authenticate_as('clerk');
select throws_ok(format($$select public.reverse_journal_entry(%L, 'Never owed')$$, tests.kept('charge')), 'PT403', 'receivable_by_document', 'a charge by hand is not taken back by whoever may only post');
select throws_ok($$select public.reverse_journal_entry((select e.id from public.journal_entries e where e.kind = 'opening' and e.community_id = tests.id('Alder')), 'Never owed')$$, 'PT403', 'receivable_by_document', 'nor are opening balances');
select is((select public.import_opening_balances(tests.id('Alder'), '{Unit,Balance}', v.rows) -> 'refusals' -> 0 ->> 'reason'), v.reason, v.told)
from (values ('[["2", "41"], ["1", "-12"]]'::jsonb, null, 'which are corrected'), ('[["2", "39"], ["1", "-10"]]', 'owed_less', 'and not lowered')) v (rows, reason, told);
select is(pg_temp.owed()::text, tests.kept('owed'), '(it is owed as before)');
select tests.authenticate_as('accountant');
select is((select public.import_opening_balances(tests.id('Alder'), '{Unit,Balance}', '[["2", "39"]]') ->> 'refused'), '0', 'whoever may adjust charges lowers what a list said');
select lives_ok(format($$select public.reverse_journal_entry(%L, 'Never owed')$$, tests.kept('charge')), 'and takes a charge by hand back, which is a credit note without a number');

-- Money leaves -------------------------------------------------------------------------------------------------------

select lives_ok($$select pg_temp.post('expense', 'bank', 60)$$, 'an accountant enters what the bank charged');
select tests.authenticate_as('clerk');
select lives_ok($$select pg_temp.post('bank', 'receivable', 1)$$, 'whoever may only post enters what was paid');
select throws_ok($$select pg_temp.post('expense', 'bank', 1)$$, 'PT403', 'permission_denied', 'and takes no money out');
select tests.as_studio();
select public.restrict_role((select m.id from public.memberships m where m.user_id = tests.id('limited')), '{"amounts": {"expenses.pay": 50}}');
select tests.authenticate_as('limited');
select lives_ok($$select pg_temp.post('expense', 'bank', 50)$$, 'whoever pays up to an amount takes out as much by hand');
select throws_ok($$select pg_temp.post('expense', 'cash', 50.01)$$, 'PT403', 'amount_above_limit', 'and no more');

-- Whoever may write off ----------------------------------------------------------------------------------------------

select tests.authenticate_as('other');
select throws_ok($$select pg_temp.post('bad_debt_expense', 'receivable', 5)$$, 'PT403', 'permission_denied', 'nor does whoever writes off in another community');
select tests.authenticate_as('manager');
select tests.keep('owed', pg_temp.owed());
select lives_ok($$select pg_temp.post('bad_debt_expense', 'receivable', 5)$$, 'who may write off, may by hand');
select tests.as_studio();
select lives_ok($$select pg_temp.post('other_income', 'receivable', 10)$$, 'so may Studio');
select is(pg_temp.owed(), tests.kept('owed')::numeric - 15, 'and it counts');

-- Up to an amount ---------------------------------------------------------------------------------------------------

select tests.create_supabase_user('capped');
select public.restrict_role(tests.grant_role('capped', 'manager', community => 'Alder'), '{"amounts": {"charges.write_off": 10, "charges.adjust": 10, "ledger.post": 40}}');
select tests.keep('owed', pg_temp.owed()), tests.keep('before', pg_temp.entries());
select tests.authenticate_as('capped');
select throws_ok(format('select %s', v.call), 'PT403', v.token, v.what)
from (values
  ('pg_temp.post(''bad_debt_expense'', ''receivable'', 10.01)', 'amount_above_limit', 'whoever writes off up to an amount lets nobody off more by hand'),
  ('public.post_journal_entry(tests.id(''Alder''), ''2026-02-01'', ''x'', jsonb_build_array(pg_temp.line(''bad_debt_expense'', ''receivable'', 6), pg_temp.line(''waiver_expense'', ''receivable'', 6)))', 'amount_above_limit', 'in two postings neither'),
  ('public.post_journal_entry(tests.id(''Alder''), ''2026-02-01'', ''In and out'', jsonb_build_array(pg_temp.line(''bank'', ''receivable'', 15), pg_temp.line(''expense'', ''cash'', 15)))', 'amount_above_limit', 'nor by money that goes as it comes'),
  ('pg_temp.post(''suspense'', ''receivable'', 5)', 'receivable_by_document', 'nor out of what is not held'),
  ('pg_temp.post(''bank'', ''other_income'', 40.01)', 'amount_above_limit', 'whoever posts up to an amount posts no more'),
  ('public.transfer_between_funds((select f.id from public.funds f where f.community_id = tests.id(''Alder'') and f.kind = ''operating''), (select f.id from public.funds f where f.community_id = tests.id(''Alder'') and f.kind = ''reserve''), 40.01, ''2026-02-01'', ''x'')', 'amount_above_limit', 'nor moves more between funds'),
  ('public.import_opening_balances(tests.id(''Alder''), ''{Unit,Balance}'', ''[["2", "500"]]'', dry_run => false)', 'amount_above_limit', 'nor brings more in')) v (call, token, what);
select is((pg_temp.owed(), pg_temp.entries()::text), (tests.kept('owed')::numeric, tests.kept('before')), '(who owes as before, and nothing is posted)');
select lives_ok($$select pg_temp.post('bad_debt_expense', 'receivable', 10)$$, 'as much may be');
select is(pg_temp.owed(), tests.kept('owed')::numeric - 10, 'and counts');

select * from finish();
rollback;
