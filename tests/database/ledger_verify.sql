-- Whatever wrong state somebody stores with keys and triggers switched off, verify_ledger finds; in sound books it finds nothing.

begin;
select plan(76);

alter default privileges grant execute on functions to public; -- so that whoever is signed in may use the helpers of this file

create function pg_temp.account(fund text, code text, community text default 'Alder') returns uuid language sql stable as $$
  select a.id from public.accounts a join public.funds f on f.id = a.fund_id where a.community_id = tests.id(community) and f.code = fund and a.code = account.code
$$;
create function pg_temp.fund(code text, community text default 'Alder') returns uuid language sql stable as $$
  select f.id from public.funds f where f.community_id = tests.id(community) and f.code = fund.code
$$;
create function pg_temp.line(fund text, debit text, credit text, amount numeric, debit_sub uuid default null, credit_sub uuid default null, community text default 'Alder') returns app.posting_line language sql stable as $$
  select row(pg_temp.fund(fund, community), pg_temp.account(fund, debit, community), debit_sub, pg_temp.account(fund, credit, community), credit_sub, amount, null)::app.posting_line
$$;
-- What is found once somebody has done this with every key and trigger switched off; then it is as before.
create function pg_temp.found(plant text, community text default 'Alder') returns text language plpgsql as $$
declare
  answer text;
begin
  perform set_config('session_replication_role', 'replica', true);
  execute plant;
  perform set_config('session_replication_role', 'origin', true);
  select string_agg(p.problem, ', ' order by p.problem) into answer
  from (select v.problem || case when count(*) > 1 then ' ' || count(*) else '' end as problem from public.verify_ledger(tests.id(community)) v group by v.problem) p;
  raise exception using errcode = 'ZZ001', message = coalesce(answer, 'nothing');
exception when sqlstate 'ZZ001' then
  return sqlerrm;
end;
$$;
create function pg_temp.entry(name text) returns uuid language sql stable as $$ select tests.kept(name)::uuid $$;
create function pg_temp.posting(name text) returns uuid language sql stable as $$ select p.id from public.postings p where p.journal_entry_id = tests.kept(name)::uuid order by p.id limit 1 $$;

-- Sound books ----------------------------------------------------------------------------------------------------------

select tests.create_community('Alder'), tests.create_community('Birch'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_resident('Ana', 'Alder');
select tests.create_unit('b1', 'Birch'), tests.create_resident('Boris', 'Birch');
select public.open_books(tests.id(c), '2026-01-01') from unnest(array['Alder', 'Birch']) c;
select tests.keep('sub', app.subaccount_for(tests.id('Alder'), pg_temp.fund('OPER'), 'receivable', tests.id('1'), tests.id('Ana')));
select tests.keep('other_sub', app.subaccount_for(tests.id('Alder'), pg_temp.fund('OPER'), 'receivable', tests.id('2'), null));
select tests.keep('deposit', app.subaccount_for(tests.id('Alder'), pg_temp.fund('OPER'), 'deposits_held', tests.id('1'), tests.id('Ana')));
select tests.keep('birch_sub', app.subaccount_for(tests.id('Birch'), pg_temp.fund('OPER', 'Birch'), 'receivable', tests.id('b1'), tests.id('Boris')));
insert into public.accounts (code, name, community_id, fund_id, decimals, type, purpose, counter_fund_id)
select x.code, x.code, f.community_id, f.id, f.decimals, x.type::public.account_type, x.purpose::public.account_purpose, c.id
from public.funds f join public.funds c on c.community_id = f.community_id and c.id <> f.id
join (values ('OPER', 'FROM', 'asset', 'due_from'), ('RES', 'TO', 'liability', 'due_to')) x (fund, code, type, purpose) on x.fund = f.code
where f.community_id = tests.id('Alder');

select tests.keep('charge', app.post_entry(tests.id('Alder'), 'manual', '2026-01-10', 'Fees', array[
  pg_temp.line('OPER', '1100', '4000', 50, tests.kept('sub')::uuid), pg_temp.line('OPER', '1100', '4000', 30.25, tests.kept('other_sub')::uuid)]));
select tests.keep('payment', app.post_entry(tests.id('Alder'), 'manual', '2026-01-20', 'Paid', array[pg_temp.line('OPER', '1000', '1100', 50, null, tests.kept('sub')::uuid)]));
select tests.keep('wrong', app.post_entry(tests.id('Alder'), 'manual', '2026-01-21', 'Wrong', array[pg_temp.line('OPER', '5000', '1000', 12)]));
select tests.keep('reversal', app.reverse_entry(tests.kept('wrong')::uuid, '2026-01-22', 'It was wrong'));
select tests.keep('transfer', app.post_entry(tests.id('Alder'), 'transfer', '2026-01-25', 'Lent', array[pg_temp.line('OPER', 'FROM', '1000', 7), pg_temp.line('RES', '1000', 'TO', 7)]));
select tests.keep('birch', app.post_entry(tests.id('Birch'), 'manual', '2026-01-10', 'Fees', array[pg_temp.line('OPER', '1100', '4000', 50, tests.kept('birch_sub')::uuid, community => 'Birch')]));
set constraints all immediate;

select is_empty($$select * from public.verify_ledger(tests.id('Alder'))$$, 'sound books give no line');
select is_empty($$select * from public.verify_ledger(tests.id('Cedar'))$$, 'nor do none');
select is(pg_temp.found('select 1'), 'nothing', '(planting nothing finds nothing)');

-- Entries and postings -------------------------------------------------------------------------------------------------

select is(pg_temp.found($$delete from public.journal_entries where id = pg_temp.entry('payment')$$), 'orphan_posting', 'a posting without its entry');
select is(pg_temp.found($$delete from public.postings where id = pg_temp.posting('payment')$$), 'posting_count_differs, wrong_balance', 'an entry without postings');
select is(pg_temp.found($$delete from public.postings where id = pg_temp.posting('charge')$$), 'posting_count_differs, total_differs, wrong_balance', 'an entry without one of its postings');
select is(pg_temp.found($$insert into public.postings (journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, credit_account_id, amount)
  select journal_entry_id, community_id, fund_id, decimals, effective_on, pg_temp.account('OPER', '1010'), pg_temp.account('OPER', '1000'), 5 from public.postings where id = pg_temp.posting('payment')$$),
  'posting_count_differs, total_differs', 'an entry with one more');
select is(pg_temp.found($$update public.postings set amount = 51 where id = pg_temp.posting('payment')$$), 'total_differs, wrong_balance', 'an amount that was changed');
select is(pg_temp.found($$update public.postings set amount = amount + 1 where id = pg_temp.posting('payment'); update public.journal_entries set total = total + 1 where id = pg_temp.entry('payment')$$),
  'wrong_balance', 'also where the entry was changed with it');
select is(pg_temp.found($$update public.postings set effective_on = '2026-01-19' where id = pg_temp.posting('payment')$$), 'date_differs', 'a posting of another day than its entry');
select is(pg_temp.found($$update public.postings set community_id = tests.id('Birch') where id = pg_temp.posting('wrong')$$), 'foreign_posting, posting_count_differs', 'a posting that was moved to another community');
select is(pg_temp.found($$update public.postings set community_id = tests.id('Birch') where id = pg_temp.posting('wrong')$$, 'Birch'), 'foreign_posting, wrong_account 2', 'as seen from there');
select is(pg_temp.found($$update public.postings set amount = -50 where id = pg_temp.posting('payment')$$),
  'invalid_amount, total_differs, wrong_balance', 'an amount below zero');
select is(pg_temp.found($$update public.postings set amount = 'NaN' where id = pg_temp.posting('payment')$$),
  'invalid_amount, total_differs, wrong_balance', 'an amount that is no number');

-- Decimals -------------------------------------------------------------------------------------------------------------

select is(pg_temp.found($$update public.postings set decimals = 3, amount = 50.005 where id = pg_temp.posting('payment')$$), 'total_differs, wrong_balance, wrong_decimals', 'an amount with more decimals than the currency');
select is(pg_temp.found($$
  update public.postings set amount = amount + case when id = pg_temp.posting('charge') then 0.001 else -0.001 end where journal_entry_id = pg_temp.entry('charge');
  update public.subaccounts set balance = 0.001 where id = tests.kept('sub')::uuid; update public.subaccounts set balance = 30.249 where id = tests.kept('other_sub')::uuid$$),
  'wrong_decimals 2', 'also where all sums are right');
select is(pg_temp.found($$update public.accounts set decimals = 0 where id = pg_temp.account('OPER', '1000')$$), 'wrong_decimals', 'an account with other decimals');
select is(pg_temp.found($$update public.funds set decimals = 0 where id = pg_temp.fund('RES')$$), 'wrong_decimals', 'a fund');
select is(pg_temp.found($$update public.journal_entries set decimals = 3 where id = pg_temp.entry('payment')$$), 'wrong_decimals', 'an entry');
select is(pg_temp.found($$update public.ledgers set decimals = 3 where community_id = tests.id('Alder')$$), 'wrong_decimals', 'books');
select is(pg_temp.found($$update public.communities set currency_code = 'JPY' where id = tests.id('Alder')$$) ~ '^wrong_decimals [0-9]+$', true, 'a currency that was changed under them');

-- Accounts and subaccounts ---------------------------------------------------------------------------------------------

select is(pg_temp.found($$update public.postings set credit_account_id = pg_temp.account('RES', '1000') where id = pg_temp.posting('wrong')$$), 'no_mirror, wrong_account', 'an account of another fund');
select is(pg_temp.found($$update public.postings set fund_id = pg_temp.fund('RES') where id = pg_temp.posting('wrong')$$), 'no_mirror, wrong_account 2', 'a posting that was moved to another fund');
select is(pg_temp.found($$update public.postings set credit_account_id = pg_temp.account('OPER', '1000', 'Birch') where id = pg_temp.posting('wrong')$$), 'no_mirror, wrong_account', 'an account of another community');
select is(pg_temp.found($$delete from public.accounts where id = pg_temp.account('OPER', '4000')$$), 'wrong_account 2', 'an account that is gone');
select is(pg_temp.found($$delete from public.funds where id = pg_temp.fund('RES')$$) ~ '^interfund_unmatched|^wrong_account [0-9]+$', true, 'a fund that is gone');
select is(pg_temp.found($$update public.postings set credit_subaccount_id = null where id = pg_temp.posting('payment')$$), 'wrong_balance, wrong_subaccount', 'a control account that was moved without a subaccount');
select is(pg_temp.found($$update public.postings set debit_subaccount_id = tests.kept('sub')::uuid where id = pg_temp.posting('payment')$$), 'wrong_balance, wrong_subaccount', 'another account with one');
select is(pg_temp.found($$update public.postings set credit_subaccount_id = tests.kept('deposit')::uuid where id = pg_temp.posting('payment')$$), 'wrong_balance 2, wrong_subaccount', 'the subaccount of another account');
select is(pg_temp.found($$update public.postings set credit_subaccount_id = tests.kept('birch_sub')::uuid where id = pg_temp.posting('payment')$$), 'wrong_balance, wrong_subaccount', 'or of another community');
select is(pg_temp.found($$update public.postings set credit_subaccount_id = gen_random_uuid() where id = pg_temp.posting('payment')$$), 'wrong_balance, wrong_subaccount', 'or one that does not exist');
select is(pg_temp.found($$delete from public.subaccounts where id = tests.kept('other_sub')::uuid$$), 'wrong_subaccount', 'a subaccount that is gone');
select is(pg_temp.found($$update public.subaccounts set unit_id = tests.id('b1') where id = tests.kept('sub')::uuid$$), 'wrong_subaccount', 'a subaccount of a foreign unit');
select is(pg_temp.found($$update public.subaccounts set resident_id = tests.id('Boris') where id = tests.kept('sub')::uuid$$), 'wrong_subaccount', 'or of a foreign person');
select is(pg_temp.found($$update public.subaccounts set account_id = pg_temp.account('OPER', '2200'), resident_id = null where id = tests.kept('sub')::uuid$$), 'wrong_subaccount 2', 'or of another account than its postings');
select is(pg_temp.found($$update public.subaccounts set balance = 0.01 where id = tests.kept('sub')::uuid$$), 'wrong_balance', 'a running balance that is a cent off');
select is(pg_temp.found($$update public.subaccounts set balance = 5 where id = tests.kept('deposit')::uuid$$), 'wrong_balance', 'a balance without a posting');
select is(pg_temp.found($$update public.postings set debit_account_id = credit_account_id where id = pg_temp.posting('wrong')$$),
  'no_mirror, same_sides', 'a posting whose sides are one');
select is(pg_temp.found($$update public.postings set debit_account_id = credit_account_id, debit_subaccount_id = credit_subaccount_id where id = pg_temp.posting('payment')$$),
  'same_sides, wrong_balance', 'also within one subaccount');

-- Reversals and claims -------------------------------------------------------------------------------------------------

select is(pg_temp.found($$drop index public.journal_entries_reverses_key;
  insert into public.journal_entries (id, description, community_id, decimals, kind, effective_on, reverses_id, posting_count, total)
  values (tests.id('again'), 'Again', tests.id('Alder'), 2, 'reversal', '2026-01-23', pg_temp.entry('wrong'), 1, 12);
  insert into public.postings (journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, credit_account_id, amount)
  select tests.id('again'), community_id, fund_id, decimals, '2026-01-23', credit_account_id, debit_account_id, amount from public.postings where id = pg_temp.posting('wrong')$$),
  'reversed_twice', 'an entry that was reversed twice');
select is(pg_temp.found($$update public.postings set credit_account_id = pg_temp.account('OPER', '5700') where id = pg_temp.posting('reversal')$$), 'no_mirror', 'a reversal that is no mirror');
select is(pg_temp.found($$update public.postings set amount = 11 where id = pg_temp.posting('reversal'); update public.journal_entries set total = 11 where id = pg_temp.entry('reversal')$$), 'no_mirror', 'nor one of another amount');
select is(pg_temp.found($$update public.postings set debit_account_id = credit_account_id, credit_account_id = debit_account_id where id = pg_temp.posting('reversal')$$), 'no_mirror', 'nor one the wrong way round');
select is(pg_temp.found($$update public.journal_entries set reverses_id = gen_random_uuid() where id = pg_temp.entry('reversal')$$), 'no_mirror', 'a reversal of nothing');
select is(pg_temp.found($$update public.journal_entries set reverses_id = pg_temp.entry('birch') where id = pg_temp.entry('reversal')$$), 'no_mirror', 'or of an entry elsewhere');
select is(pg_temp.found($$update public.journal_entries set effective_on = '2026-01-20' where id = pg_temp.entry('reversal'); update public.postings set effective_on = '2026-01-20' where id = pg_temp.posting('reversal')$$), 'no_mirror', 'or before there was anything to reverse');
select is(pg_temp.found($$update public.journal_entries set kind = 'manual' where id = pg_temp.entry('reversal')$$), 'no_mirror', 'a reversal that says it is none');
select is(pg_temp.found($$update public.postings set amount = 6 where journal_entry_id = pg_temp.entry('transfer') and fund_id = pg_temp.fund('RES'); update public.journal_entries set total = 13 where id = pg_temp.entry('transfer')$$),
  'interfund_unmatched', 'a claim on another fund that this one does not owe');
select is(pg_temp.found($$update public.postings set credit_account_id = pg_temp.account('RES', '2000') where journal_entry_id = pg_temp.entry('transfer') and fund_id = pg_temp.fund('RES')$$), 'interfund_unmatched', 'or owes to somebody else');

-- Periods --------------------------------------------------------------------------------------------------------------

select tests.create_community('Dogwood');
select public.open_books(tests.id('Dogwood'), '2024-01-01');
set constraints all deferred;
select tests.keep('earned', app.post_entry(tests.id('Dogwood'), 'manual', '2024-03-10', 'Earned', array[pg_temp.line('OPER', '1000', '4900', 100, community => 'Dogwood')]));
select tests.keep('spent', app.post_entry(tests.id('Dogwood'), 'manual', '2024-11-10', 'Spent', array[pg_temp.line('OPER', '5000', '1000', 40, community => 'Dogwood')]));
select tests.keep('later', app.post_entry(tests.id('Dogwood'), 'manual', '2025-01-10', 'Spent', array[pg_temp.line('OPER', '5000', '1000', 1, community => 'Dogwood')]));
select tests.keep('first', public.close_period(tests.id('Dogwood'), '2024-06-30'));
select tests.keep('second', public.close_period(tests.id('Dogwood'), '2024-12-31'));
select tests.keep('third', public.close_period(tests.id('Dogwood'), '2025-01-31'));
set constraints all immediate;
create function pg_temp.found_there(plant text) returns text language sql as $$ select pg_temp.found(plant, 'Dogwood') $$;
select is(pg_temp.found_there('select 1'), 'nothing', 'closed periods are sound');
select is(pg_temp.found_there($$update public.account_snapshots set debit_total = debit_total + 1 where period_id = tests.kept('first')::uuid and account_id = pg_temp.account('OPER', '1000', 'Dogwood')$$), 'wrong_snapshot', 'a snapshot that says something else');
select is(pg_temp.found_there($$update public.account_snapshots set closing_credit_total = 1 where period_id = tests.kept('second')::uuid and account_id = pg_temp.account('OPER', '3000', 'Dogwood')$$), 'wrong_snapshot', 'or something else of closing entries');
select is(pg_temp.found_there($$delete from public.account_snapshots where period_id = tests.kept('first')::uuid and account_id = pg_temp.account('OPER', '1000', 'Dogwood')$$), 'wrong_snapshot', 'a snapshot that is missing');
select is(pg_temp.found_there($$insert into public.account_snapshots (community_id, account_id, period_id, debit_total, credit_total) values (tests.id('Dogwood'), pg_temp.account('RES', '1000', 'Dogwood'), tests.kept('first')::uuid, 1, 0)$$), 'wrong_snapshot', 'or of nothing');
select is(pg_temp.found_there($$insert into public.journal_entries (id, description, community_id, decimals, kind, effective_on, booked_at, posting_count, total) values (tests.id('late'), 'Late', tests.id('Dogwood'), 2, 'manual', '2024-03-11', clock_timestamp(), 1, 5);
  insert into public.postings (journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, credit_account_id, amount)
  select tests.id('late'), community_id, fund_id, decimals, '2024-03-11', debit_account_id, credit_account_id, 5 from public.postings where id = pg_temp.posting('earned')$$),
  'booked_after_closing, wrong_snapshot 6, year_not_closed', 'an entry that came into a closed period');
select is(pg_temp.found_there($$update public.postings set amount = 99 where id = pg_temp.posting('later'); update public.journal_entries set total = 99 where id = pg_temp.entry('later')$$), 'wrong_snapshot 2', 'an amount of a closed period that was changed, and its entry with it');
select is(pg_temp.found_there($$update public.journal_entries set effective_on = '2023-12-30' where id = pg_temp.entry('earned'); update public.postings set effective_on = '2023-12-30' where id = pg_temp.posting('earned')$$), 'before_books', 'an entry from before the books');
select is(pg_temp.found_there($$update public.ledgers set closed_through = '2024-12-31' where community_id = tests.id('Dogwood')$$), 'wrong_periods', 'books that are closed through another day than their periods');
select is(pg_temp.found_there($$update public.ledgers set closed_through = null where community_id = tests.id('Dogwood')$$), 'wrong_periods', 'or not at all');
select is(pg_temp.found_there($$update public.accounting_periods set starts_on = '2025-01-02' where id = tests.kept('third')::uuid$$), 'wrong_periods', 'a gap between periods');
select is(pg_temp.found_there($$update public.accounting_periods set status = 'open', closed_at = null where id = tests.kept('first')::uuid; delete from public.account_snapshots where period_id = tests.kept('first')::uuid$$), 'wrong_periods', 'an open period before a closed one');
select is(pg_temp.found_there($$update public.accounting_periods set closing_entry_id = null where id = tests.kept('second')::uuid$$), 'year_not_closed', 'a closing entry that no period names');
select is(pg_temp.found_there($$delete from public.postings p using public.accounting_periods c where c.id = tests.kept('second')::uuid and p.journal_entry_id = c.closing_entry_id;
  delete from public.journal_entries e using public.accounting_periods c where c.id = tests.kept('second')::uuid and e.id = c.closing_entry_id;
  update public.accounting_periods set closing_entry_id = null where id = tests.kept('second')::uuid$$),
  'wrong_snapshot 6, year_not_closed 2', 'a year that was closed without an entry');

-- Documents ------------------------------------------------------------------------------------------------------------

create table public.test_documents (id uuid primary key, community_id uuid not null, journal_entry_id uuid);
select app.define_ledger_document('test_document', 'public.test_documents');
set constraints all deferred;
select tests.keep('documented', app.post_entry(tests.id('Alder'), 'manual', '2026-01-28', 'By a document', array[pg_temp.line('OPER', '1000', '4900', 3)],
  document_kind => 'test_document', document_id => tests.id('document')));
insert into public.test_documents values (tests.id('document'), tests.id('Alder'), tests.kept('documented')::uuid);
set constraints all immediate;
select is_empty($$select * from public.verify_ledger(tests.id('Alder'))$$, 'a document and its entry that name each other are sound');
select is(pg_temp.found($$delete from public.test_documents$$), 'document_missing', 'an entry without its document');
select is(pg_temp.found($$update public.test_documents set community_id = tests.id('Birch')$$), 'document_missing', 'or with a document elsewhere');
select is(pg_temp.found($$delete from public.postings where journal_entry_id = pg_temp.entry('documented'); delete from public.journal_entries where id = pg_temp.entry('documented')$$), 'document_without_entry', 'a document without its entry');
select is(pg_temp.found($$update public.test_documents set journal_entry_id = pg_temp.entry('payment')$$), 'document_without_entry', 'or with the entry of something else');
select is(pg_temp.found($$update public.journal_entries set document_kind = 'invented' where id = pg_temp.entry('documented')$$), 'document_missing, document_without_entry', 'a kind of document that nobody has defined');

-- Who may --------------------------------------------------------------------------------------------------------------

select tests.create_supabase_user(u) from unnest(array['manager', 'accountant', 'committee', 'guard', 'owner', 'stranger']) u;
select tests.grant_role(u, u, community => 'Alder') from unnest(array['manager', 'accountant', 'committee', 'guard']) u;
select tests.grant_role('stranger', 'manager', community => 'Birch');
select lives_ok($$select * from public.verify_ledger(tests.id('Alder'))$$, u || ' may verify') from unnest(array['manager', 'accountant']) u, lateral tests.authenticate_as(u);
select throws_ok($$select * from public.verify_ledger(tests.id('Alder'))$$, 'PT403', 'permission_denied', u || ' may not')
from unnest(array['committee', 'guard', 'owner', 'stranger']) u, lateral tests.authenticate_as(u);
select throws_ok($$select * from app.check_balances(tests.id('Alder'))$$, '42501', null, 'nor ask a check by itself');

select * from finish();
rollback;
