-- The account of a unit's people: statements add up, ages come to balances, and nobody reads another's.

begin;
select plan(44);

select setseed(0.4207);
select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_unit('3', 'Alder');
select tests.create_supabase_user('accountant'), tests.create_supabase_user('foreign'), tests.create_supabase_user('ana'), tests.create_supabase_user('tom'), tests.create_supabase_user('kid');
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.create_resident('Tom', 'Alder', tests.email('tom')), tests.create_resident('Kid', 'Alder', tests.email('kid'));
select tests.occupy('Ana', '1', 'owner', current_date - 300), tests.occupy('Tom', '2', 'tenant', current_date - 300), tests.occupy('Kid', '1', 'family', current_date - 300);
select tests.grant_role('accountant', 'accountant', community => 'Alder'), tests.grant_role('foreign', 'manager', community => 'Cedar');
select public.open_books(tests.id('Alder'), current_date - 300);
select tests.keep('fund', f.id) from public.funds f where f.community_id = tests.id('Alder') and f.kind = 'operating';
select tests.keep('reserve', f.id) from public.funds f where f.community_id = tests.id('Alder') and f.kind = 'reserve';

create function pg_temp.charge(fund text, unit text, resident text, amount numeric, days_ago integer, due_days integer) returns uuid language plpgsql as $$
declare
  entry constant uuid := app.post_charges(tests.id('Alder'), tests.kept(fund)::uuid, app.account_for(tests.id('Alder'), tests.kept(fund)::uuid, 'assessment_income'), 'other',
    current_date - days_ago, current_date - days_ago + due_days,
    'Fee of day ' || days_ago, array[row(tests.id(unit), case when resident is not null then tests.id(resident) end, amount, current_date - days_ago, current_date, null, null)::app.charge_line]);
begin
  return (select c.id from public.charges c where c.journal_entry_id = entry);
end;
$$;
create function pg_temp.pay(fund text, unit text, resident text, amount numeric, days_ago integer) returns uuid language sql as $$
  select app.post_entry(tests.id('Alder'), 'payment', current_date - days_ago, 'Payment', array[row(tests.kept(fund)::uuid, bank.id, null,
    app.account_for(tests.id('Alder'), tests.kept(fund)::uuid, 'receivable'),
    app.subaccount_for(tests.id('Alder'), tests.kept(fund)::uuid, 'receivable', tests.id(unit), case when resident is not null then tests.id(resident) end), amount, 'Bank transfer')::app.posting_line])
  from (select a.id from public.accounts a where a.fund_id = tests.kept(fund)::uuid and a.purpose = 'bank' order by a.code limit 1) bank
$$;
create function pg_temp.account(flat text, fund text default 'fund') returns uuid language sql as $$
  select s.id from public.subaccounts s join public.accounts a on a.id = s.account_id and a.purpose = 'receivable'
  where s.unit_id = tests.id(flat) and s.fund_id = tests.kept(fund)::uuid
$$;
create function pg_temp.aged(flat text, day date default null, fund text default 'fund') returns text language sql as $$
  select coalesce((select concat_ws(' ', trim_scale(a.balance), trim_scale(a.not_due), trim_scale(a.days_1_30), trim_scale(a.days_31_60), trim_scale(a.days_61_90), trim_scale(a.days_over_90), trim_scale(a.paid_ahead))
    from public.receivables_aging(tests.id('Alder'), day, tests.kept(fund)::uuid) a where a.unit_id = tests.id(flat)), 'nothing')
$$;

grant execute on function pg_temp.aged(text, date, text), pg_temp.account(text, text) to authenticated;

-- Ages ----------------------------------------------------------------------------------------------------------------------

select tests.keep('old', pg_temp.charge('fund', '1', 'Ana', 100, 200, 10)), tests.keep('middle', pg_temp.charge('fund', '1', 'Ana', 100, 60, 10)), tests.keep('new', pg_temp.charge('fund', '1', 'Ana', 100, 5, 10));
select is(pg_temp.aged('1'), '300 100 0 100 0 100 0', 'what is owed is as old as its due day');
select is(pg_temp.aged('1', current_date - 60), '200 100 0 0 0 100 0', 'as of an earlier day, what was owed then');
select is(pg_temp.aged('1', current_date - 250), 'nothing', 'and before anything was, nothing');
select pg_temp.pay('fund', '1', 'Ana', 130, 3);
select is(pg_temp.aged('1'), '170 100 0 70 0 0 0', 'a payment settles the oldest first');
select is(pg_temp.aged('1', current_date - 4), '300 100 0 100 0 100 0', 'and nothing before its day');
select tests.authenticate_as('accountant');
select tests.keep('credit', public.adjust_charge(tests.kept('new')::uuid, 'credit_note', 'Wrong area', 40));
select is(pg_temp.aged('1'), '130 60 0 70 0 0 0', 'a credit note lowers what it is about, and not the oldest');
select public.reverse_adjustment(tests.kept('credit')::uuid, 'The area was right');
select is(pg_temp.aged('1'), '170 100 0 70 0 0 0', 'and taken back, it is owed as before');
select tests.as_studio();
select pg_temp.pay('fund', '1', 'Ana', 200, 2);
select is(pg_temp.aged('1'), '-30 0 0 0 0 0 -30', 'what is paid ahead is shown as such');
select pg_temp.charge('fund', '2', 'Tom', 55.5, 40, 0), pg_temp.charge('fund', '3', null, 12, 1, 0), pg_temp.charge('reserve', '1', 'Ana', 7, 1, 30);
select is(pg_temp.aged('3'), '12 0 12 0 0 0 0', 'what nobody known owes is not forgotten');

select tests.keep('account', pg_temp.account('1'));

-- Who reads it --------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select is((select string_agg(concat_ws(' ', a.unit, a.resident, a.fund_id = tests.kept('fund')::uuid, trim_scale(a.balance)), ', ' order by a.unit, a.balance) from public.unit_accounts a), '1 Ana t -30, 1 Ana f 7, 2 Tom t 55.5, 3 t 12', 'an accountant sees all accounts');
select is((select count(*) from public.unit_accounts a where a.is_mine), 0::bigint, 'and none of them is the accountant''s own');
select is((select sum(a.balance) from public.receivables_aging(tests.id('Alder')) a), 44.5, 'all of them have an age');
select tests.authenticate_as('ana');
select is(tests.seen('public.unit_accounts', 'balance'), '-30.00, 7.00', 'an owner sees the own accounts');
select is((select string_agg(a.balance::text, ', ' order by a.balance) from public.unit_accounts a where a.is_mine), '-30.00, 7.00', 'which are theirs');
select is((select string_agg(trim_scale(a.balance)::text, ', ' order by a.balance) from public.receivables_aging(tests.id('Alder')) a), '-30, 7', 'and their age');
select is((select count(*) from public.account_statement(pg_temp.account('1'))), 9::bigint, 'and reads the statement: opening, what moved it, closing');
select tests.authenticate_as('tom');
select is(tests.seen('public.unit_accounts', 'balance'), '55.50', 'a tenant the own');
select throws_ok($$select * from public.account_statement(tests.kept('account')::uuid)$$, 'PT404', 'subaccount_not_found', 'and no neighbour''s statement');
select tests.authenticate_as('kid');
select is(tests.seen('public.unit_accounts', 'balance'), 'nothing', 'family sees none');
select is((select count(*) from public.receivables_aging(tests.id('Alder'))), 0::bigint, 'nor any age');
select tests.authenticate_as('foreign');
select is(tests.seen('public.unit_accounts', 'balance'), 'nothing', 'the manager of another community sees none');
select is((select count(*) from public.receivables_aging(tests.id('Alder'))), 0::bigint, 'nor any age');
select throws_ok($$select * from public.account_statement(tests.kept('account')::uuid)$$, 'PT404', 'subaccount_not_found', 'nor a statement');

-- Statements ----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
select is((select string_agg(concat_ws(' ', s.line_kind, trim_scale(s.debit), trim_scale(s.credit), trim_scale(s.balance)), ', ') from public.account_statement(tests.kept('account')::uuid, current_date - 61, current_date - 3) s),
  'opening 100 0 100, line 100 0 200, line 100 0 300, line 0 130 170, closing 170 0 170', 'opening and lines come to the closing');
select is((select string_agg(concat_ws('/', s.entry_kind, s.description, s.due_on = current_date + 5), ', ') from public.account_statement(tests.kept('account')::uuid, current_date - 5, current_date - 3) s where s.line_kind = 'line'),
  'charge/Fee of day 5/t, payment/Bank transfer', 'each line says what it is');
select throws_ok(format($$select * from public.receivables_aging(tests.id('Alder'), %L)$$, v.day), 'PT422', 'invalid_period', 'nothing is so and so old on ' || v.day)
from (values ('infinity'), ('-infinity'), ('5874897-12-31')) v (day);
select throws_ok($$select * from public.account_statement(tests.kept('account')::uuid, current_date, current_date - 1)$$, 'PT422', 'invalid_period', 'a period ends after it begins');
select tests.as_studio();

-- Property: whatever is charged, paid, credited and taken back, in whatever order ---------------------------------------------

do $$
declare
  step integer;
  unit text;
  made uuid[] := '{}';
  noted uuid[] := '{}';
  picked uuid;
begin
  for step in 1 .. 160 loop
    unit := (array['1', '2', '3'])[1 + floor(random() * 3)::integer];
    case floor(random() * 5)::integer
      when 0, 1 then
        made := made || pg_temp.charge('fund', unit, case unit when '1' then 'Ana' when '2' then 'Tom' end, round((random() * 200 + 0.01)::numeric, 2), floor(random() * 200)::integer, floor(random() * 40)::integer);
      when 2 then
        perform pg_temp.pay('fund', unit, case unit when '1' then 'Ana' when '2' then 'Tom' end, round((random() * 150 + 0.01)::numeric, 2), floor(random() * 200)::integer);
      when 3 then
        picked := made[1 + floor(random() * cardinality(made))::integer];
        begin
          noted := noted || public.adjust_charge(picked, (enum_range(null::public.adjustment_kind))[1 + floor(random() * 3)::integer], 'At random', round((random() * 100 + 0.01)::numeric, 2));
        exception when sqlstate 'PT422' or sqlstate 'PT409' or sqlstate 'PT404' then null;
        end;
      else
        picked := made[1 + floor(random() * cardinality(made))::integer];
        begin
          if random() < 0.5 then
            perform public.reverse_adjustment(noted[1 + floor(random() * cardinality(noted))::integer], 'At random');
          else
            perform app.reverse_charges((select c.journal_entry_id from public.charges c where c.id = picked), current_date, 'At random');
          end if;
        exception when sqlstate 'PT409' or sqlstate 'PT404' then null;
        end;
    end case;
  end loop;
end $$;

select is((select count(*) from public.verify_ledger(tests.id('Alder'))), 0::bigint, 'after 160 steps at random the books hold');
select is((select count(*) from generate_series(0, 220, 20) n, public.receivables_aging(tests.id('Alder'), current_date - n) a
    where a.balance <> a.not_due + a.days_1_30 + a.days_31_60 + a.days_61_90 + a.days_over_90 + a.paid_ahead
      or (a.paid_ahead <> 0 and a.not_due + a.days_1_30 + a.days_31_60 + a.days_61_90 + a.days_over_90 <> 0)), 0::bigint, 'on any day the ages of an account come to its balance, and nobody owes and has paid ahead');
select is((select string_agg(format('%s: %s, not %s', n, aged.balance, control.balance), '; ')
    from generate_series(0, 220, 20) n
    cross join lateral (select coalesce(sum(a.balance), 0) as balance from public.receivables_aging(tests.id('Alder'), current_date - n, tests.kept('fund')::uuid) a) aged
    cross join lateral (
      select coalesce(sum(case when p.debit_account_id = r.id then p.amount else 0 end - case when p.credit_account_id = r.id then p.amount else 0 end), 0) as balance
      from (select app.account_for(tests.id('Alder'), tests.kept('fund')::uuid, 'receivable') as id) r
      join public.postings p on r.id in (p.debit_account_id, p.credit_account_id) and p.effective_on <= current_date - n) control
    where aged.balance <> control.balance), null, 'on any day the ages of all come to the control account');
select is((select count(*) from public.subaccounts s
    cross join lateral (select t.balance from public.account_statement(s.id, current_date - 150, current_date + 10) t where t.line_kind = 'closing') c
    where s.community_id = tests.id('Alder') and c.balance <> s.balance), 0::bigint, 'every statement closes with the balance');
select is((select count(*) from public.subaccounts s
    cross join lateral (
      select sum(case t.line_kind when 'closing' then -t.balance when 'opening' then t.balance else t.debit - t.credit end) as difference
      from public.account_statement(s.id, current_date - 150, current_date - 20) t) c
    where s.community_id = tests.id('Alder') and c.difference <> 0), 0::bigint, 'and opening plus activity is closing');
select tests.authenticate_as('ana');
select is((select count(*) from public.receivables_aging(tests.id('Alder')) a where a.unit_id <> tests.id('1')), 0::bigint, 'and still an owner sees nobody else''s');
select tests.as_studio();
select tests.keep('mine', string_agg(a.balance || ' ' || a.not_due || ' ' || a.days_over_90, ', ' order by a.balance)) from public.receivables_aging(tests.id('Alder')) a where a.unit_id = tests.id('1');
select tests.authenticate_as('ana');
select is((select string_agg(a.balance || ' ' || a.not_due || ' ' || a.days_over_90, ', ' order by a.balance) from public.receivables_aging(tests.id('Alder')) a), tests.kept('mine'), 'but the same as the accountant does of hers');

-- Two records of one person ---------------------------------------------------------------------------------------------

select tests.as_studio();
select tests.create_unit('4', 'Alder');
select tests.create_resident(r, 'Alder') from unnest(array['Eva', 'Eva P.', 'Eva Popova']) r;
select tests.keep('oldest', pg_temp.charge('fund', '4', 'Eva', 100, 200, 10)), pg_temp.charge('fund', '4', 'Eva P.', 50, 5, 10);
select lives_ok($$select public.merge_residents(tests.id('Eva P.'), tests.id('Eva'), 'The same person')$$, '(two records of one person become one)');
select is(pg_temp.aged('4'), '150 50 0 0 0 100 0', 'what was owed is as old as it was');
select is(pg_temp.aged('4', current_date - 100), '100 0 0 0 100 0 0', 'as of an earlier day, too');
select pg_temp.pay('fund', '4', 'Eva P.', 60, 1);
select is(pg_temp.aged('4'), '90 50 0 0 0 40 0', 'and is what a payment settles first');
select pg_temp.charge('fund', '4', 'Eva Popova', 10, 40, 0), public.merge_residents(tests.id('Eva Popova'), tests.id('Eva P.'), 'The same person again');
select is(pg_temp.aged('4'), '100 50 0 10 0 40 0', 'however many there were');
select app.reverse_charges((select c.journal_entry_id from public.charges c where c.id = tests.kept('oldest')::uuid), current_date, 'Was never owed');
select is(pg_temp.aged('4'), 'nothing', 'and what is taken back is taken from what it was');
select pg_temp.charge('fund', '4', 'Eva Popova', 5, 100, 0);
select is(pg_temp.aged('4'), '5 5 0 0 0 0 0', '(what is owed still is the newest)');
select is((select count(*) from public.verify_ledger(tests.id('Alder'))), 0::bigint, 'the books are sound');

select * from finish();
rollback;
