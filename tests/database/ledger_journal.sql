-- The journal: every entry balances, is complete, is never changed, and is refused whole or stored whole.

begin;
select plan(139);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_unit('9', 'Cedar');
select tests.create_supabase_user('accountant'), tests.create_supabase_user('viewer'), tests.create_supabase_user('ana'), tests.create_supabase_user('tom'), tests.create_supabase_user('other');
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.create_resident('Tom', 'Alder', tests.email('tom'));
select tests.occupy('Ana', '1', 'owner', current_date - 100), tests.occupy('Tom', '2', 'tenant', current_date - 50);
select tests.grant_role('accountant', 'accountant', community => 'Alder'), tests.grant_role('other', 'accountant', community => 'Cedar');
select tests.grant_role('viewer', 'viewer', organization => 'organization of Alder');
select public.open_books(tests.id('Alder'), '2026-01-01'), public.open_books(tests.id('Cedar'), '2026-01-01');

-- oper.bank, res.bank, cedar.bank …: accounts by fund and purpose.
create function pg_temp.acc(called text) returns uuid language sql stable security definer set search_path = '' as $$
  select a.id from public.accounts a join public.funds f on f.id = a.fund_id
  where f.code = upper(case split_part(called, '.', 1) when 'cedar' then 'oper' else split_part(called, '.', 1) end)
    and f.community_id = tests.id(case split_part(called, '.', 1) when 'cedar' then 'Cedar' else 'Alder' end) and a.purpose::text = split_part(called, '.', 2)
  order by a.code limit 1
$$;
create function pg_temp.line(debit text, credit text, amount text, more jsonb default '{}') returns jsonb language sql stable set search_path = '' as $$
  select jsonb_build_array(jsonb_build_object('debit_account_id', pg_temp.acc(debit), 'credit_account_id', pg_temp.acc(credit), 'amount', amount) || more)
$$;
create function pg_temp.post(postings jsonb, day date default '2026-02-01', key text default null, description text default 'Entry', community text default 'Alder') returns uuid language sql volatile set search_path = '' as $$
  select public.post_journal_entry(tests.id(community), day, description, postings, key)
$$;
create function pg_temp.stored() returns text language sql stable security definer set search_path = '' as $$
  select format('%s entries, %s postings, %s accounts of %s', (select count(*) from public.journal_entries e where e.community_id in (tests.id('Alder'), tests.id('Cedar'))),
    (select count(*) from public.postings p where p.community_id in (tests.id('Alder'), tests.id('Cedar'))), count(*), coalesce(sum(s.balance), 0)::numeric(12, 2))
  from public.subaccounts s where s.community_id in (tests.id('Alder'), tests.id('Cedar'))
$$;
grant execute on function pg_temp.acc(text), pg_temp.line(text, text, text, jsonb), pg_temp.post(jsonb, date, text, text, text) to authenticated;
select tests.keep(code, id::text) from public.funds where community_id = tests.id('Alder');

-- By hand --------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select lives_ok($$select tests.keep('first', pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '1500')))$$, 'the accountant posts');
select is((select amount::text from public.postings), '1500.00', '1500 reads 1500.00');
select is((select e.total::text || ' ' || e.kind || ' ' || e.booked_by from public.journal_entries e), '1500.00 manual ' || tests.id('accountant'), 'by whom, the database says');
select results_eq($$select account_id, debit, credit from public.ledger_lines order by debit nulls last$$,
  $$values (pg_temp.acc('oper.bank'), 1500.00, null::numeric), (pg_temp.acc('oper.other_income'), null, 1500.00)$$, 'it looks like a debit and a credit');
select throws_ok(format($$select pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', %L))$$, v.amount), 'PT422', v.token, v.amount || ' is no amount')
from (values ('0', 'invalid_amount'), ('-5', 'invalid_amount'), ('1.005', 'invalid_amount'), ('NaN', 'invalid_amount'), ('Infinity', 'invalid_amount'), ('1000000000000000', 'invalid_amount'), ('five', 'invalid_value'), ('', 'invalid_value')) v (amount, token);
select lives_ok($$select pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '2.50000'))$$, '2.50000 is one');
select throws_ok($$select pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '5') || pg_temp.line('oper.bank', 'oper.other_income', '0'))$$, 'PT422', 'invalid_amount', 'one bad posting of several refuses all');
select throws_ok(format($$select pg_temp.post(%s)$$, v.postings), 'PT422', v.token, v.what)
from (values
  ('null', 'invalid_value', 'an entry has postings'),
  ('''[]''', 'invalid_value', 'at least one'),
  ('''{}''', 'invalid_value', 'in an array'),
  ('''[null]''', 'invalid_value', 'of postings, not of anything'),
  ('''[{"amount": 5}]''', 'account_refused', 'between accounts'),
  ('pg_temp.line(''oper.bank'', ''oper.other_income'', null)', 'invalid_amount', 'an amount'),
  ('pg_temp.line(''oper.bank'', ''oper.bank'', ''5'')', 'same_account', 'not from an account to itself'),
  ('pg_temp.line(''oper.bank'', ''res.other_income'', ''5'')', 'account_refused', 'not between funds'),
  ('pg_temp.line(''res.bank'', ''oper.other_income'', ''5'')', 'account_refused', 'in neither direction'),
  ('pg_temp.line(''cedar.bank'', ''oper.other_income'', ''5'')', 'account_refused', 'not from another community'),
  ('pg_temp.line(''oper.bank'', ''cedar.other_income'', ''5'')', 'account_refused', 'nor to one'),
  ('pg_temp.line(''oper.receivable'', ''oper.other_income'', ''5'')', 'account_refused', 'a control account says whose'),
  ('pg_temp.line(''oper.bank'', ''oper.other_income'', ''5'', jsonb_build_object(''debit_subaccount_id'', gen_random_uuid()))', 'account_refused', 'and no other account does'),
  ('pg_temp.line(''oper.receivable'', ''oper.other_income'', ''5'', jsonb_build_object(''debit_subaccount_id'', gen_random_uuid()))', 'subaccount_refused', 'whose there is'),
  ('pg_temp.line(''oper.receivable'', ''oper.other_income'', ''5'', jsonb_build_object(''debit_unit_id'', tests.id(''9'')))', 'subaccount_refused', 'in this community'),
  ('pg_temp.line(''oper.bank'', ''oper.other_income'', ''5'', ''{"credit_subaccount_id": "x"}'')', 'invalid_value', 'ids are ids')
) v (postings, token, what);
select throws_ok($$select pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '5'), day => '2025-12-31')$$, 'PT422', 'before_books', 'nothing is before the books');
select throws_ok($$select pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '5'), day => current_date + 500)$$, 'PT422', 'too_far_ahead', 'nor years ahead');
select throws_ok($$select pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '5'), day => null)$$, 'PT422', 'invalid_value', 'every entry has a day');
select throws_ok($$select pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '5'), description => ' ')$$, 'PT422', 'invalid_value', 'and says what happened');
select throws_ok($$select pg_temp.post(pg_temp.line('cedar.bank', 'cedar.other_income', '5'), community => 'Cedar')$$, 'PT403', 'permission_denied', 'in the own community');
select tests.authenticate_as('viewer');
select throws_ok($$select pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '5'))$$, 'PT403', 'permission_denied', 'who only reads posts nothing');
select is((select count(*) from public.journal_entries), 2::bigint, 'and reads');
select tests.as_studio();
select is(pg_temp.stored(), '2 entries, 2 postings, 0 accounts of 0.00', 'what was refused left nothing behind, no subaccount either');

-- Whose ----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select lives_ok($$select tests.keep('charge', pg_temp.post(pg_temp.line('oper.receivable', 'oper.assessment_income', '40', jsonb_build_object('debit_unit_id', tests.id('1'), 'debit_resident_id', tests.id('Ana')))))$$, 'a unit and a person are charged');
select lives_ok($$select tests.keep('both', pg_temp.post(
  pg_temp.line('oper.receivable', 'oper.assessment_income', '10', jsonb_build_object('debit_unit_id', tests.id('1'), 'debit_resident_id', tests.id('Ana'), 'memo', 'Ana''s'))
  || pg_temp.line('oper.receivable', 'oper.assessment_income', '20', jsonb_build_object('debit_unit_id', tests.id('2'), 'debit_resident_id', tests.id('Tom')))))$$, 'two at once');
select lives_ok($$select pg_temp.post(pg_temp.line('oper.bank', 'oper.receivable', '15', jsonb_build_object('credit_unit_id', tests.id('1'), 'credit_resident_id', tests.id('Ana'))))$$, 'and one pays');
select results_eq($$select r.full_name, s.balance from public.subaccounts s join public.residents r on r.id = s.resident_id order by 1$$, $$values ('Ana', 35.00), ('Tom', 20.00)$$, 'the balance is the sum');
select tests.authenticate_as('ana');
select is((select string_agg(coalesce(debit, -credit)::text, ' ' order by debit) from public.ledger_lines where subaccount_id is not null), '10.00 40.00 -15.00', 'Ana sees what is hers');
select is((select count(*) from public.journal_entries), 2::bigint, 'and the entries that are hers alone: the total of the other would tell of Tom''s');
select is((select memo from public.postings where amount = 10), 'Ana''s', 'what it was, the posting says');
select throws_ok($$insert into public.postings (journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, credit_account_id, amount) values (gen_random_uuid(), tests.id('Alder'), gen_random_uuid(), 2, '2026-02-01', gen_random_uuid(), gen_random_uuid(), 1)$$,
  '42501', null, 'nobody writes the journal');
select throws_ok($$select pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '5'))$$, 'PT403', 'permission_denied', 'nor posts to it');
select tests.authenticate_as('tom');
select is((select string_agg(debit::text, ' ') from public.ledger_lines where subaccount_id is not null), '20.00', 'Tom sees what is his');
select is((select count(*) from public.journal_entries), 0::bigint, 'and no entry with Ana''s');
select tests.authenticate_as('other');
select is((select count(*) from public.postings), 0::bigint, 'another community''s accountant sees nothing');
select tests.authenticate_as_service_role();
select throws_ok($$insert into public.journal_entries (description, community_id, kind, effective_on, posting_count, total) values ('X', tests.id('Alder'), 'manual', '2026-02-01', 1, 1)$$, '42501', null, 'the secret key writes no entry');
select throws_ok($$update public.subaccounts set balance = 0$$, '42501', null, 'and no balance');

-- What SQL cannot do -----------------------------------------------------------------------------------------------------

select tests.as_studio();
create function pg_temp.raw(id text, many integer, total numeric, kind public.entry_kind default 'manual', key text default null) returns void language sql volatile as $$
  insert into public.journal_entries (id, description, community_id, kind, effective_on, posting_count, total, idempotency_key) values (tests.id(id), id, tests.id('Alder'), kind, '2026-02-01', many, total, key)
$$;
create function pg_temp.raw_line(id text, amount numeric, debit text default 'oper.bank', credit text default 'oper.other_income', fund text default 'OPER', day date default '2026-02-01', places integer default 2) returns void language sql volatile as $$
  insert into public.postings (journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, credit_account_id, amount)
  values (tests.id(id), tests.id('Alder'), tests.kept(fund)::uuid, places, day, pg_temp.acc(debit), pg_temp.acc(credit), amount)
$$;
create function pg_temp.whole(statements text) returns void language plpgsql volatile as $$ begin execute statements; set constraints all immediate; set constraints all deferred; end $$;
select throws_ok(format($$select pg_temp.whole(%L)$$, v.sql), v.state, v.token, v.what)
from (values
  ('select pg_temp.raw(''empty'', 1, 5)', 'PT422', 'entry_incomplete', 'an entry without postings does not commit'),
  ('select pg_temp.raw(''e'', 2, 5); select pg_temp.raw_line(''e'', 5)', 'PT422', 'entry_incomplete', 'nor one with fewer than it announces'),
  ('select pg_temp.raw(''e'', 1, 6); select pg_temp.raw_line(''e'', 5)', 'PT422', 'entry_incomplete', 'or of another sum'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_line(''e'', 5); select pg_temp.raw_line(''e'', 5)', 'PT409', 'entry_sealed', 'none is added to a complete one'),
  ('select pg_temp.raw_line(''nothing'', 5)', '23503', null, 'a posting has an entry'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_line(''e'', 5, day => ''2026-02-02'')', '23503', null, 'of its own day'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_line(''e'', 5, places => 3)', '23503', null, 'and decimals'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_line(''e'', 5, fund => ''RES'')', 'PT422', 'account_refused', 'accounts are of the posting''s fund'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_line(''e'', 5, debit => ''cedar.bank'')', 'PT422', 'account_refused', 'and community'),
  ('select pg_temp.raw(''e'', 1, 5, ''reversal'')', '23514', null, 'a reversal reverses something'),
  ('select pg_temp.raw(''e'', 1, 5, key => ''k'')', '23514', null, 'a key stands for a request'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_line(''e'', -5)', '23514', null, 'an amount is above zero'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_line(''e'', ''NaN'')', '23514', null, 'and a number'),
  ('select pg_temp.raw(''e'', 1, 1e15); select pg_temp.raw_line(''e'', 1e15)', '23514', null, 'below 10^15'),
  ('select pg_temp.raw(''e'', 1, 5.001); select pg_temp.raw_line(''e'', 5.001)', '23514', null, 'of the decimals of the books'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_line(''e'', 5, credit => ''oper.bank'')', '23514', null, 'between two accounts'),
  ('select pg_temp.raw('' padded '', 1, 5)', '23514', null, 'an entry says what happened, without spaces around it'),
  ('select pg_temp.raw(repeat(''x'', 501), 1, 5)', '23514', null, 'in 500 characters'),
  ('insert into public.journal_entries (description, community_id, kind, effective_on, posting_count, total, document_kind) values (''Half'', tests.id(''Alder''), ''manual'', ''2026-02-01'', 1, 1, ''expense'')', '23514', null, 'a document has a kind and an id')
) v (sql, state, token, what);
select throws_ok(format($$select pg_temp.raw_line(%L, 5)$$, 'x'), '23503', null, 'a later statement finds no way in either');
select throws_ok($$insert into public.postings (journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, credit_account_id, amount) select journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, credit_account_id, amount from public.postings where journal_entry_id = tests.kept('first')::uuid$$,
  'PT409', 'entry_sealed', 'what was posted takes no more');
select throws_ok(v.sql, 'PT409', 'append_only', v.sql)
from (values ('update public.postings set amount = 1'), ('delete from public.postings'), ('update public.journal_entries set total = 1'), ('delete from public.journal_entries')) v (sql);

-- The same where a balance moves: one posting by itself, which is the most common, and several.
create function pg_temp.raw_charge(id text, amount numeric, debit text default 'oper.receivable', subaccount_of text default 'Ana', credit text default 'oper.assessment_income', fund text default 'OPER', memo text default null, day date default '2026-02-01', places integer default 2) returns void language sql volatile as $$
  insert into public.postings (journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, debit_subaccount_id, credit_account_id, amount, memo)
  values (tests.id(id), tests.id('Alder'), tests.kept(fund)::uuid, places, day, pg_temp.acc(debit), (select s.id from public.subaccounts s where s.resident_id = tests.id(subaccount_of)), pg_temp.acc(credit), amount, memo)
$$;
select throws_ok(format($$select pg_temp.whole(%L)$$, v.sql), v.state, v.token, v.what)
from (values
  ('select pg_temp.raw(''e'', 2, 5); select pg_temp.raw_charge(''e'', 5)', 'PT422', 'entry_incomplete', 'a charge of fewer postings than announced moves no balance'),
  ('select pg_temp.raw(''e'', 1, 6); select pg_temp.raw_charge(''e'', 5)', 'PT422', 'entry_incomplete', 'nor does one of another sum'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_charge(''e'', 5); select pg_temp.raw_charge(''e'', 5)', 'PT409', 'entry_sealed', 'or one more than announced'),
  ('select pg_temp.raw_charge(''nothing'', 5)', '23503', null, 'or one without an entry'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_charge(''e'', 5, day => ''2026-02-02'')', '23503', null, 'or of another day than the entry''s'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_charge(''e'', 5, places => 3)', '23503', null, 'or of other decimals'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_charge(''e'', 5, debit => ''oper.deposits_held'')', 'PT422', 'subaccount_refused', 'or of another account than the subaccount''s'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_charge(''e'', 5, debit => ''oper.bank'')', 'PT422', 'account_refused', 'or of an account that has none'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_charge(''e'', 5, credit => ''oper.deposits_held'')', 'PT422', 'account_refused', 'against a control account, without saying whose'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_charge(''e'', 5, credit => ''res.assessment_income'')', 'PT422', 'account_refused', 'against another fund'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_charge(''e'', 5, credit => ''cedar.assessment_income'')', 'PT422', 'account_refused', 'or another community'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_charge(''e'', 5, fund => ''RES'')', 'PT422', 'account_refused', 'in a fund that is not the account''s'),
  ('select pg_temp.raw(''e'', 1, 0); select pg_temp.raw_charge(''e'', 0)', '23514', null, 'of nothing'),
  ('select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_charge(''e'', 5, memo => '''')', '23514', null, 'or with an empty memo'),
  ('select pg_temp.raw(''e'', 1, 5.001); select pg_temp.raw_charge(''e'', 5.001)', '23514', null, 'or of more decimals than the books have'),
  ('select pg_temp.raw(''e'', 1, 1e15); select pg_temp.raw_charge(''e'', 1e15)', '23514', null, 'or too large'),
  ('select pg_temp.raw(''e'', 1, ''NaN''); select pg_temp.raw_charge(''e'', ''NaN'')', '23514', null, 'or of no number'),
  ('update public.accounts set status = ''inactive'' where id = pg_temp.acc(''oper.receivable''); select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_charge(''e'', 5)', 'PT409', 'account_inactive', 'out of use, on its own side'),
  ('update public.accounts set status = ''inactive'' where id = pg_temp.acc(''oper.assessment_income''); select pg_temp.raw(''e'', 1, 5); select pg_temp.raw_charge(''e'', 5)', 'PT409', 'account_inactive', 'or on the other'),
  ('insert into public.journal_entries (id, description, community_id, kind, effective_on, posting_count, total) values (tests.kept(''charge'')::uuid, ''Again'', tests.id(''Cedar''), ''manual'', ''2026-02-01'', 1, 40)', 'PT422', 'entry_incomplete', 'an entry of another community that takes an id which there is finds no postings'),
  ('insert into public.journal_entries (id, description, community_id, kind, effective_on, posting_count, total) values (tests.kept(''charge'')::uuid, ''Again'', tests.id(''Cedar''), ''manual'', ''2026-02-01'', 1, 40);
    insert into public.postings (journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, credit_account_id, amount)
    select tests.kept(''charge'')::uuid, tests.id(''Cedar''), a.fund_id, 2, ''2026-02-01'', a.id, pg_temp.acc(''cedar.other_income''), 40 from public.accounts a where a.id = pg_temp.acc(''cedar.bank'')', 'PT409', 'entry_sealed', 'and takes none'),
  ('update public.subaccounts set unit_id = tests.id(''2'')', 'PT409', 'column_frozen', 'whose a balance is does not change'),
  ('update public.subaccounts set balance = balance + 1', 'PT409', 'balance_derived', 'nor does a balance, by itself'),
  ('delete from public.subaccounts', 'PT409', 'balance_derived', 'nor does it go')
) v (sql, state, token, what);
select is(pg_temp.stored(), '5 entries, 6 postings, 2 accounts of 55.00', 'and no balance has moved');
savepoint written;
select pg_temp.raw('one', 1, 5), pg_temp.raw_charge('one', 5);
select pg_temp.raw('two', 1, 3), pg_temp.raw('three', 1, 4);
insert into public.postings (journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, debit_subaccount_id, credit_account_id, amount)
select tests.id(e.id), p.community_id, p.fund_id, p.decimals, '2026-02-01', p.debit_account_id, p.debit_subaccount_id, p.credit_account_id, e.amount
from public.postings p cross join (values ('two', 3), ('three', 4)) e (id, amount) where p.journal_entry_id = tests.id('one');
set constraints all immediate;
select is((select s.balance from public.subaccounts s where s.resident_id = tests.id('Ana')), 47.00, 'what SQL does write whole moves it: one posting, and two of two entries by one INSERT');
set constraints all deferred;
rollback to savepoint written;
set constraints all immediate;
select throws_ok('truncate public.postings, public.journal_entries cascade', 'PT409', null, 'nor is the journal emptied');
set constraints all deferred;
select is(pg_temp.stored(), '5 entries, 6 postings, 2 accounts of 55.00', 'the books are as they were');

-- Once -------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select tests.keep('keyed', pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '7'), key => 'k1'));
select is(pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '7'), key => 'k1'), tests.kept('keyed')::uuid, 'the same request is the same entry');
select is(pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '7.00'), key => 'k1'), tests.kept('keyed')::uuid, 'also where it writes 7.00 for 7');
select throws_ok($$select pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '8'), key => 'k1')$$, 'PT409', 'idempotency_conflict', 'another one with its key is refused');
select throws_ok($$select pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '8'), key => '')$$, 'PT422', 'invalid_value', 'a key is not empty');
select lives_ok(format($$select tests.keep('reversal', public.reverse_journal_entry(%L, 'Typed twice', '2026-02-03'))$$, tests.kept('both')), 'an entry is taken back');
select results_eq($$select r.full_name, s.balance from public.subaccounts s join public.residents r on r.id = s.resident_id order by 1$$, $$values ('Ana', 25.00), ('Tom', 0.00)$$, 'and moves everything back');
select throws_ok(format($$select public.reverse_journal_entry(%L, 'Again')$$, tests.kept('both')), 'PT409', 'entry_reversed', 'once');
select throws_ok(format($$select public.reverse_journal_entry(%L, 'Back')$$, tests.kept('reversal')), 'PT409', 'entry_is_reversal', 'a reversal is not taken back');
select throws_ok(format($$select public.reverse_journal_entry(%L, ' ')$$, tests.kept('first')), 'PT422', 'reason_required', 'it takes a reason');
select throws_ok(format($$select public.reverse_journal_entry(%L, 'Why', '2026-01-15')$$, tests.kept('first')), 'PT422', 'invalid_period', 'and is not before its own day');
select throws_ok($$select public.reverse_journal_entry(gen_random_uuid(), 'Why')$$, 'PT404', 'entry_not_found', 'what is not there is not taken back');
select tests.authenticate_as('ana');
select throws_ok(format($$select public.reverse_journal_entry(%L, 'I do not owe it')$$, tests.kept('charge')), 'PT403', 'permission_denied', 'who owes it does not take it back');
select tests.authenticate_as('tom');
select throws_ok(format($$select public.reverse_journal_entry(%L, 'Why')$$, tests.kept('charge')), 'PT404', 'entry_not_found', 'to a neighbour it does not exist');
select tests.as_studio();
select tests.keep('document', app.post_entry(tests.id('Alder'), 'expense', '2026-02-05', 'Lamp', array[row(tests.kept('OPER')::uuid, pg_temp.acc('oper.expense'), null, pg_temp.acc('oper.payable'), null, 9, null)::app.posting_line], document_kind => 'lamp', document_id => tests.id('lamp')));
select tests.keep('between', app.post_entry(tests.id('Alder'), 'manual', '2026-02-05', 'Tom broke the door', array[row(tests.kept('OPER')::uuid,
  pg_temp.acc('oper.receivable'), app.subaccount_for(tests.id('Alder'), tests.kept('OPER')::uuid, 'receivable', tests.id('2'), tests.id('Tom')),
  pg_temp.acc('oper.receivable'), app.subaccount_for(tests.id('Alder'), tests.kept('OPER')::uuid, 'receivable', tests.id('1'), tests.id('Ana')), 2, null)::app.posting_line]));
select tests.authenticate_as('ana');
select is((select count(*) from public.postings where journal_entry_id = tests.kept('between')::uuid) || ' ' || (select count(*) from public.journal_entries where id = tests.kept('between')::uuid), '1 0',
  'what moves a debt to a neighbour shows whose it was the posting, and not what it says of the neighbour');
select is((select count(*) from public.ledger_lines where journal_entry_id = tests.kept('between')::uuid and (unit_id is not null or resident_id is not null)), 1::bigint, 'nor who that is');
select tests.as_studio();
select app.reverse_entry(tests.kept('between')::uuid, '2026-02-05', 'It was not Tom');
select tests.authenticate_as('accountant');
select throws_ok(format($$select public.reverse_journal_entry(%L, 'Why')$$, tests.kept('document')), 'PT409', 'entry_has_document', 'a document''s entry is taken back through the document');

-- Between funds, and out of use ------------------------------------------------------------------------------------------

select lives_ok(format($$select public.transfer_between_funds(%L, %L, 100, '2026-02-10', 'Lent')$$, tests.kept('OPER'), tests.kept('RES')), 'one fund lends to the other');
select lives_ok(format($$select public.transfer_between_funds(%L, %L, 130.5, '2026-02-11', 'Paid back, and more', idempotency_key => 'back')$$, tests.kept('RES'), tests.kept('OPER')), 'which pays back more');
select is(public.transfer_between_funds(tests.kept('RES')::uuid, tests.kept('OPER')::uuid, 130.5, '2026-02-11', 'Paid back, and more', idempotency_key => 'back'), (select id from public.journal_entries where idempotency_key = 'back'), 'once, however often it asks');
select results_eq($$select f.code || ' ' || a.purpose, sum(coalesce(l.debit, -l.credit)) from public.ledger_lines l join public.accounts a on a.id = l.account_id and a.counter_fund_id is not null join public.funds f on f.id = a.fund_id group by 1 order by 1$$,
  $$values ('OPER due_from', 0.00), ('OPER due_to', -30.50), ('RES due_from', 30.50), ('RES due_to', 0.00)$$, 'what one claims the other owes');
select is(public.transfer_between_funds(tests.kept('RES')::uuid, tests.kept('OPER')::uuid, 130.50, '2026-02-11', 'Paid back, and more', idempotency_key => 'back'), (select id from public.journal_entries where idempotency_key = 'back'), 'and however its amount is written');
select throws_ok($$select pg_temp.post(pg_temp.line('oper.due_from', 'oper.bank', '5'))$$, 'PT422', 'interfund_unmatched', 'a claim without a debt is none');
select throws_ok($$select pg_temp.post(pg_temp.line('oper.due_from', 'oper.bank', '5') || pg_temp.line('res.bank', 'res.due_to', '6'))$$, 'PT422', 'interfund_unmatched', 'nor is one of another amount');
select throws_ok(format($$select public.transfer_between_funds(%L, %L, %s, '2026-02-10', 'X')$$, tests.kept('OPER'), tests.kept(v.fund), v.amount), 'PT422', v.token, v.amount || ' to ' || v.fund)
from (values ('RES', '0', 'invalid_amount'), ('RES', '-1', 'invalid_amount'), ('RES', '1.005', 'invalid_amount'), ('OPER', '5', 'same_account')) v (fund, amount, token);
select throws_ok(format($$select public.transfer_between_funds(%L, gen_random_uuid(), 5, '2026-02-10', 'X')$$, tests.kept('OPER')), 'PT404', 'fund_not_found', 'to a fund that there is');
select public.set_ledger_account_status(pg_temp.acc('oper.other_income'), 'inactive');
select throws_ok($$select pg_temp.post(pg_temp.line('oper.bank', 'oper.other_income', '5'))$$, 'PT409', 'account_inactive', 'an account out of use takes no entry');
select lives_ok(format($$select public.reverse_journal_entry(%L, 'Never came')$$, tests.kept('first')), 'but what takes one back');

-- Whatever happens -------------------------------------------------------------------------------------------------------

select tests.as_studio();
select public.set_ledger_account_status(pg_temp.acc('oper.other_income'), 'active');
do $$
declare
  names constant text[] := '{bank,cash,other_income,expense,payable,receivable,deposits_held}';
  postings jsonb;
  side text[];
  taken integer := 0;
begin
  perform setseed(0.42);
  for n in 1 .. 300 loop
    begin
      if random() < 0.2 then
        perform public.reverse_journal_entry((select e.id from public.journal_entries e where e.community_id = tests.id('Alder') order by md5(e.id::text || n) limit 1), 'Random', '2026-03-01');
      else
        postings := '[]';
        for m in 1 .. 1 + floor(random() * 4)::integer loop
          side := array[names[1 + floor(random() * 7)::integer], names[1 + floor(random() * 7)::integer]];
          postings := postings || pg_temp.line('oper.' || side[1], case when random() < 0.05 then 'res.' else 'oper.' end || side[2], (floor(random() * 10000) / 100)::text,
            case when side[1] in ('receivable', 'deposits_held') then jsonb_build_object('debit_unit_id', tests.id((1 + floor(random() * 2))::integer::text)) else '{}' end
            || case when side[2] in ('receivable', 'deposits_held') then jsonb_build_object('credit_unit_id', tests.id((1 + floor(random() * 2))::integer::text), 'credit_resident_id', tests.id('Ana')) else '{}' end);
        end loop;
        perform pg_temp.post(postings, day => '2026-02-01'::date + floor(random() * 100)::integer);
      end if;
      taken := taken + 1;
    exception when sqlstate 'PT422' or sqlstate 'PT409' then
      null;
    end;
  end loop;
  perform tests.keep('taken', taken::text);
end;
$$;
set constraints all immediate;
select cmp_ok(tests.kept('taken')::integer, '>', 100, 'random entries and reversals, some refused:');
select is_empty($$select f.code, sum(coalesce(l.debit, -l.credit)) from public.ledger_lines l join public.funds f on f.id = l.fund_id where l.community_id = tests.id('Alder') group by 1 having sum(coalesce(l.debit, -l.credit)) <> 0$$, 'every fund sums to nothing');
select is_empty($$select s.id from public.subaccounts s left join public.ledger_lines l on l.subaccount_id = s.id where s.community_id = tests.id('Alder') group by s.id having s.balance <> coalesce(sum(coalesce(l.debit, -l.credit)), 0)$$, 'every balance is the sum of its postings');
select is_empty($$select * from public.verify_ledger(tests.id('Alder')) v where v.problem <> 'document_missing'$$, 'and verify_ledger finds nothing');

select * from finish();
rollback;
