-- Books: opened once, in a currency that stays, by who may; funds and accounts of one community, whose nature never changes.

begin;
select plan(56);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_unit('9', 'Cedar');
select tests.create_supabase_user('manager'), tests.create_supabase_user('accountant'), tests.create_supabase_user('guard'), tests.create_supabase_user('ana'), tests.create_supabase_user('tom'), tests.create_supabase_user('cedric');
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.create_resident('Tom', 'Alder', tests.email('tom')), tests.create_resident('Cedric', 'Cedar', tests.email('cedric'));
select tests.occupy('Ana', '1', 'owner', current_date - 100), tests.occupy('Tom', '2', 'tenant', current_date - 50), tests.occupy('Cedric', '9', 'owner', current_date - 100);
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('accountant', 'accountant', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder');

-- Opening ----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('guard');
select throws_ok($$select public.open_books(tests.id('Alder'), '2026-01-01')$$, 'PT403', 'permission_denied', 'a guard opens no books');
select tests.authenticate_as('manager');
select throws_ok($$select public.open_books(tests.id('Cedar'), '2026-01-01')$$, 'PT403', 'permission_denied', 'nor does the manager of another community');
select throws_ok($$select public.open_books(tests.id('Alder'), null)$$, 'PT422', 'invalid_value', 'books begin on a day');
select throws_ok($$select public.open_books(tests.id('Alder'), '1789-01-01')$$, 'PT422', 'invalid_value', 'of this age');
select throws_ok($$select public.open_books(tests.id('Alder'), '2026-01-01', 'palace')$$, 'PT404', 'chart_not_found', 'with a chart that is known');
select throws_ok($$select public.open_books(tests.id('Alder'), '2026-01-01', fiscal_year_start_month => 13)$$, 'PT422', 'invalid_value', 'and in a month that there is');
select throws_ok($$select public.create_fund(tests.id('Alder'), 'Roof', 'ROOF', 'special')$$, 'PT409', 'books_not_open', 'a fund needs books');
select tests.as_studio();
select is_empty($$select from public.ledgers where community_id = tests.id('Alder') union all select from public.funds where community_id = tests.id('Alder')$$, 'what was refused left nothing behind');
select tests.authenticate_as('accountant');
select lives_ok($$select public.open_books(tests.id('Alder'), '2026-01-01')$$, 'the accountant opens the books');
select throws_ok($$select public.open_books(tests.id('Alder'), '2026-01-01')$$, 'PT409', 'books_open', 'once');
select results_eq($$select code, kind::text from public.funds order by code$$, $$values ('OPER', 'operating'), ('RES', 'reserve')$$, 'with an operating and a reserve fund');
select is((select count(*) from public.accounts a join public.funds f on f.id = a.fund_id where f.code = 'RES' and a.purpose = 'cash'), 0::bigint, 'a reserve fund has no till');
select tests.as_studio();
select is_empty($$
  select f.code, p.purpose from public.funds f cross join unnest('{bank,receivable,payable,suspense,fund_balance,opening_balance,assessment_income,recovery_income}'::public.account_purpose[]) p (purpose)
  where f.community_id = tests.id('Alder') and app.account_for(f.community_id, f.id, p.purpose) is null$$, 'each has what charges, expenses, opening balances and the end of a year need');
select throws_ok($$update public.communities set currency_code = 'USD' where id = tests.id('Alder')$$, '23503', null, 'the currency of open books stays');
select throws_ok($$update public.ledgers set currency_code = 'USD' where community_id = tests.id('Alder')$$, 'PT409', 'column_frozen', 'in the books too');
select throws_ok($$update public.currencies set decimals = 3 where code = 'EUR'$$, 'PT409', 'append_only', 'a currency keeps its decimals');
select throws_ok($$update public.ledgers set deleted_at = now() where community_id = tests.id('Alder')$$, '23514', null, 'books are not archived');
select throws_ok($$delete from public.funds$$, 'PT409', 'delete_refused', 'nor are funds deleted');
update public.communities set currency_code = 'JPY' where id = tests.id('Cedar');
select lives_ok($$select public.open_books(tests.id('Cedar'), '2026-01-01')$$, 'other books are in another currency');
select is((select l.decimals from public.ledgers l where l.community_id = tests.id('Cedar')), 0::smallint, 'with its decimals');
select tests.create_community('Dune');
update public.communities set currency_code = 'ZZZ' where id = tests.id('Dune');
select throws_ok($$select public.open_books(tests.id('Dune'), '2026-01-01')$$, 'PT409', 'currency_unknown', 'no books are kept in a currency nobody knows');

-- Funds and accounts -----------------------------------------------------------------------------------------------------

select tests.keep('oper', (select f.id from public.funds f where f.community_id = tests.id('Alder') and f.code = 'OPER'));
select tests.keep('cedar', (select f.id from public.funds f where f.community_id = tests.id('Cedar') and f.code = 'OPER'));
select tests.authenticate_as('accountant');
select lives_ok($$select public.create_fund(tests.id('Alder'), 'Roof', 'ROOF', 'special')$$, 'a fund is added');
select throws_ok($$select public.create_fund(tests.id('Alder'), 'Roof', 'R2', 'special')$$, 'PT409', 'fund_taken', 'under a name of its own');
select throws_ok($$select public.create_fund(tests.id('Alder'), 'Roof 2', 'roof', 'special')$$, 'PT422', 'invalid_value', 'with a code that is one');
select throws_ok($$select public.create_fund(tests.id('Alder'), null, 'X', 'special')$$, 'PT422', 'invalid_value', 'and a name');
select throws_ok($$select public.create_fund(tests.id('Cedar'), 'Roof', 'ROOF', 'special')$$, 'PT403', 'permission_denied', 'in the own community');
select lives_ok(format($$select tests.keep('lawyer', public.create_account(%L, '5550', 'Lawyer', 'expense', 'expense'))$$, tests.kept('oper')), 'and an account');
select throws_ok(format($$select public.create_account(%L, '5550', 'Other', 'expense')$$, tests.kept('oper')), 'PT409', 'account_taken', 'under a number of its own');
select throws_ok(format($$select public.create_account(%L, '1101', 'More receivables', 'asset', 'receivable')$$, tests.kept('oper')), 'PT409', 'account_taken', 'what is found by its purpose is there once');
select throws_ok(format($$select public.create_account(%L, '5551', 'Odd', 'income', 'expense')$$, tests.kept('oper')), 'PT422', 'invalid_value', 'of a type that fits its purpose');
select throws_ok(format($$select public.create_account(%L, '1801', 'Odd', 'asset', 'due_from')$$, tests.kept('oper')), 'PT422', 'invalid_value', 'a claim on a fund is on one');
select throws_ok(format($$select public.create_account(%L, '5552', 'Lawyer', 'expense')$$, tests.kept('cedar')), 'PT404', 'fund_not_found', 'a fund of another community is none');
select is_empty(format($$select from public.accounts where fund_id = %L$$, tests.kept('cedar')), 'and its chart is not seen');
select lives_ok(format($$update public.accounts set name = 'Lawyers' where id = %L$$, tests.kept('lawyer')), 'an account is renamed');
select throws_ok(format($$update public.accounts set type = 'income' where id = %L$$, tests.kept('lawyer')), '42501', null, 'what it counts is in no column grant');
select throws_ok(format($$update public.accounts set status = 'inactive' where id = %L$$, tests.kept('lawyer')), '42501', null, 'nor is its status');
select lives_ok(format($$select public.set_ledger_account_status(%L, 'inactive')$$, tests.kept('lawyer')), 'which is set by an RPC');
select throws_ok(format($$select public.set_ledger_account_status((select a.id from public.accounts a where a.fund_id = %L limit 1), 'inactive')$$, tests.kept('cedar')), 'PT404', 'account_not_found', 'in the own community');
select tests.as_studio();
select throws_ok(format($$update public.accounts set %s where id = %L$$, v, tests.kept('lawyer')), 'PT409', 'column_frozen', v || ': the nature of an account stays, in SQL too')
from unnest(array['type = ''income'', purpose = ''general''', 'purpose = ''general''', 'community_id = tests.id(''Cedar'')']) v;
select is((select name || ' ' || type || ' ' || purpose || ' ' || status from public.accounts where id = tests.kept('lawyer')::uuid), 'Lawyers expense expense inactive', 'it is as it was');
select throws_ok(format($$insert into public.accounts (code, name, community_id, fund_id, decimals, type) values ('1', 'Mixed', tests.id('Alder'), %L, 2, 'asset')$$, tests.kept('cedar')), '23503', null,
  'an account of a fund of another community cannot be stored');

-- Subaccounts ------------------------------------------------------------------------------------------------------------

select tests.keep('ana', app.subaccount_for(tests.id('Alder'), tests.kept('oper')::uuid, 'receivable', tests.id('1'), tests.id('Ana')));
select is(app.subaccount_for(tests.id('Alder'), tests.kept('oper')::uuid, 'receivable', tests.id('1'), tests.id('Ana')), tests.kept('ana')::uuid, 'a person has one account of a unit in a fund');
select isnt(app.subaccount_for(tests.id('Alder'), tests.kept('oper')::uuid, 'receivable', tests.id('1'), null), tests.kept('ana')::uuid, 'another is for whoever is not known yet');
select is(app.subaccount_for(tests.id('Alder'), tests.kept('oper')::uuid, 'receivable', tests.id('1'), null), app.subaccount_for(tests.id('Alder'), tests.kept('oper')::uuid, 'receivable', tests.id('1'), null), 'one too');
select isnt(app.subaccount_for(tests.id('Alder'), tests.kept('oper')::uuid, 'deposits_held', tests.id('1'), tests.id('Ana')), tests.kept('ana')::uuid, 'a deposit is not what is owed');
select throws_ok(format($$select app.subaccount_for(tests.id('Alder'), %L, 'receivable', tests.id('9'), null)$$, tests.kept('oper')), '23503', null, 'a unit of another community has none');
select throws_ok(format($$select app.subaccount_for(tests.id('Alder'), %L, 'receivable', tests.id('1'), tests.id('Cedric'))$$, tests.kept('oper')), '23503', null, 'nor has a person of another community');
select throws_ok(format($$insert into public.subaccounts (community_id, fund_id, account_id, decimals, unit_id) select community_id, fund_id, id, decimals, tests.id('2') from public.accounts where id = %L$$, tests.kept('lawyer')), '23503', null,
  'nor has an account that is no control account');
select throws_ok($$update public.subaccounts set balance = 5$$, 'PT409', 'balance_derived', 'a balance is not set by hand');
select throws_ok($$insert into public.subaccounts (community_id, fund_id, account_id, decimals, unit_id, balance) select community_id, fund_id, account_id, decimals, tests.id('2'), 7 from public.subaccounts limit 1$$, 'PT409', 'balance_derived', 'not even at first');
select throws_ok($$delete from public.subaccounts$$, 'PT409', 'balance_derived', 'nor is a subaccount deleted');
select tests.authenticate_as('ana');
select is((select count(*) from public.subaccounts), 2::bigint, 'a person sees the own accounts');
select tests.authenticate_as('tom');
select is((select count(*) from public.subaccounts) + (select count(*) from public.funds) + (select count(*) from public.ledgers), 0::bigint, 'a neighbour sees none of them');
select tests.authenticate_as('cedric');
select is((select count(*) from public.subaccounts) + (select count(*) from public.accounts where community_id = tests.id('Alder')), 0::bigint, 'nor does anybody elsewhere');

select * from finish();
rollback;
