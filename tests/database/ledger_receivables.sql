-- Who may let somebody owe less by an entry made by hand.

begin;
select plan(20);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_resident('Ana', 'Alder'), tests.create_resident('Tom', 'Alder');
select tests.create_supabase_user(u) from unnest(array['accountant', 'manager', 'other']) u;
select tests.grant_role('accountant', 'accountant', community => 'Alder'), tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('other', 'manager', community => 'Cedar');
select public.open_books(tests.id('Alder'), '2026-01-01'), public.open_books(tests.id('Cedar'), '2026-01-01');

create function pg_temp.acc(called text) returns uuid language sql stable security definer set search_path = '' as $$
  select a.id from public.accounts a join public.funds f on f.id = a.fund_id
  where f.code = 'OPER' and f.community_id = tests.id('Alder') and a.purpose::text = called order by a.code limit 1
$$;
create function pg_temp.whose(side text, account text, resident text) returns jsonb language sql stable set search_path = '' as $$
  select case when account in ('receivable', 'deposits_held') then jsonb_build_object(side || '_unit_id', tests.id('1'), side || '_resident_id', tests.id(resident)) else '{}' end
$$;
create function pg_temp.post(debit text, credit text, amount numeric, debited text default 'Tom') returns uuid language sql volatile set search_path = '' as $$
  select public.post_journal_entry(tests.id('Alder'), '2026-02-01', 'By hand', jsonb_build_array(
    jsonb_build_object('debit_account_id', pg_temp.acc(debit), 'credit_account_id', pg_temp.acc(credit), 'amount', amount)
      || pg_temp.whose('debit', debit, debited) || pg_temp.whose('credit', credit, 'Ana')))
$$;
create function pg_temp.owed() returns numeric language sql stable security definer set search_path = '' as $$
  select s.balance from public.subaccounts s join public.accounts a on a.id = s.account_id and a.purpose = 'receivable' where s.resident_id = tests.id('Ana')
$$;
grant execute on function pg_temp.acc(text), pg_temp.whose(text, text, text), pg_temp.post(text, text, numeric, text), pg_temp.owed() to authenticated;

select tests.authenticate_as('accountant');
select lives_ok($$select pg_temp.post('receivable', 'assessment_income', 100, 'Ana')$$, 'an accountant charges by hand');
select lives_ok(format($$select pg_temp.post(%L, 'receivable', 5)$$, v.purpose), 'and enters what was paid: ' || v.purpose)
from (values ('bank'), ('cash'), ('suspense'), ('prepayment'), ('deposits_held')) v (purpose);
select is(pg_temp.owed(), 75.00, 'which is owed no longer');
select throws_ok(format($$select pg_temp.post(%L, 'receivable', 5)$$, v.purpose), 'PT403', 'receivable_by_document', 'but lets nobody owe less otherwise: ' || v.purpose)
from (values ('assessment_income'), ('other_income'), ('expense'), ('bad_debt_expense'), ('waiver_expense'), ('fund_balance'), ('payable'), ('receivable')) v (purpose);
select is(pg_temp.owed(), 75.00, '(who owes as before)');
select tests.authenticate_as('other');
select throws_ok($$select pg_temp.post('bad_debt_expense', 'receivable', 5)$$, 'PT403', 'permission_denied', 'nor does whoever writes off in another community');
select tests.authenticate_as('manager');
select lives_ok($$select pg_temp.post('bad_debt_expense', 'receivable', 5)$$, 'who may write off, may by hand');
select tests.as_studio();
select lives_ok($$select pg_temp.post('other_income', 'receivable', 10)$$, 'so may Studio');
select is(pg_temp.owed(), 60.00, 'and it counts');

select * from finish();
rollback;
