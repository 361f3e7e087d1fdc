-- A charge is the document of one posting, and agrees with it whoever writes.

begin;
select plan(54);

select tests.create_community('Alder');
select tests.create_community('Birch');
select tests.create_unit('1', 'Alder');
select tests.create_unit('2', 'Alder');
select tests.create_unit('9', 'Birch');
select tests.create_resident('Ann', 'Alder', 'ann@charges.example');
select tests.create_resident('Bob', 'Alder', 'bob@charges.example');
select tests.create_resident('Cid', 'Alder');
select tests.create_resident('Zoe', 'Birch');
insert into public.occupancies (community_id, unit_id, resident_id, role, ownership_share, starts_on) values
  (tests.id('Alder'), tests.id('1'), tests.id('Ann'), 'owner', 33.333333, '2020-01-01'),
  (tests.id('Alder'), tests.id('1'), tests.id('Cid'), 'owner', 66.666667, '2020-01-01');
select tests.occupy('Bob', '2', 'owner', '2020-01-01');
select tests.create_supabase_user('ann', 'ann@charges.example');
select tests.create_supabase_user('bob', 'bob@charges.example');
update public.residents set user_id = tests.id('ann') where id = tests.id('Ann');
update public.residents set user_id = tests.id('bob') where id = tests.id('Bob');
select tests.create_supabase_user('mia');
select tests.grant_role('mia', 'manager', community => 'Alder');
select tests.create_supabase_user('gus');
select tests.grant_role('gus', 'guard', community => 'Alder');
select tests.keep('books', public.open_books(tests.id('Alder'), '2026-01-01'));
select public.open_books(tests.id('Birch'), '2026-01-01');
select tests.keep('fund', (select f.id from public.funds f where f.community_id = tests.id('Alder') and f.kind = 'operating'));
select tests.keep('reserve', (select f.id from public.funds f where f.community_id = tests.id('Alder') and f.kind = 'reserve'));
select tests.keep('foreign', (select f.id from public.funds f where f.community_id = tests.id('Birch') and f.kind = 'operating'));
select tests.keep('income', app.account_for(tests.id('Alder'), tests.kept('fund')::uuid, 'assessment_income'));

-- Charging by hand ---------------------------------------------------------------------------------------------------

select tests.authenticate_as('mia');
select results_eq(
  $$select liable_resident_id, charged_amount from public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 100.00, 'A lost key', '2026-02-10', '2026-02-20', idempotency_key => 'key 1')$$,
  $$values (tests.id('Cid'), 66.67), (tests.id('Ann'), 33.33)$$, 'a charge is owed by the owners, by their shares, to the cent');
select is(
  (select string_agg(current_setting('enable_' || n), ' ') from unnest('{nestloop,hashjoin,mergejoin,seqscan,hashagg}'::text[]) n), 'on on on on on',
  'how balances are moved in order leaves the planner as it was');
select is((select count(*) from public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 100.00, 'A lost key', '2026-02-10', '2026-02-20', idempotency_key => 'key 1')), 2::bigint, 'the same key answers with the same charges');
select is((select count(*) from public.charges), 2::bigint, 'and charges once');
select throws_ok($$select public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 101, 'A lost key', '2026-02-10', '2026-02-20', idempotency_key => 'key 1')$$, 'PT409', 'idempotency_conflict', 'for something else the key is refused');
select is((select r.liable_resident_id from public.charge_unit(tests.id('1'), tests.kept('reserve')::uuid, 5, 'Cards', '2026-02-11', resident_id => tests.id('Bob')) r), tests.id('Bob'), 'somebody named owes it alone');
select throws_ok($$select public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 0, 'x', '2026-02-10')$$, 'PT422', 'invalid_amount', 'nothing is not charged');
select throws_ok($$select public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, -5, 'x', '2026-02-10')$$, 'PT422', 'invalid_amount', 'nor less than nothing');
select throws_ok($$select public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 5.005, 'x', '2026-02-10', resident_id => tests.id('Ann'))$$, 'PT422', 'invalid_amount', 'nor half a cent');
select throws_ok($$select public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 5.005, 'x', '2026-02-10')$$, 'PT422', 'invalid_amount', 'nor half a cent shared out');
select throws_ok($$select public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 5, 'x', '2026-02-10', '2026-02-09')$$, 'PT422', 'invalid_value', 'a charge is not due before it is made');
select throws_ok($$select public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 5, null, '2026-02-10')$$, 'PT422', 'invalid_value', 'and it is for something');
select throws_ok($$select public.charge_unit(tests.id('1'), tests.kept('foreign')::uuid, 5, 'x', '2026-02-10')$$, 'PT404', 'fund_not_found', 'another community''s fund is unknown');
select throws_ok($$select public.charge_unit(tests.id('9'), tests.kept('foreign')::uuid, 5, 'x', '2026-02-10')$$, 'PT403', 'permission_denied', 'another community''s unit is not charged');
select throws_ok($$select public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 5, 'x', '2026-02-10', resident_id => tests.id('Zoe'))$$, 'PT404', 'resident_not_found', 'another community''s resident is unknown');
select throws_ok($$select public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 5, 'x', '2025-12-31')$$, 'PT422', 'before_books', 'nothing is charged before the books');
select throws_ok(format($$select public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 5, 'x', %L)$$, v.day), 'PT422', v.token, 'nor on a day of no calendar: ' || v.day)
from (values ('infinity', 'invalid_value'), ('-infinity', 'invalid_value'), ('5874897-12-31', 'invalid_value'), ('2999-12-31', 'too_far_ahead')) v (day, token);
select throws_ok(format($$select public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 5, 'x', '2026-02-10', %L)$$, v.day), 'PT422', 'invalid_value', 'and it is due some day: ' || v.day)
from (values ('infinity'), ('5874897-12-31'), ('-infinity')) v (day);
select throws_ok(format($$select public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 5, 'x', '2026-02-10', idempotency_key => %L)$$, v.key), 'PT422', 'invalid_value', 'a key has 1 to 200 characters, not ' || length(v.key))
from (values (''), (repeat('k', 201)), (repeat('k', 1000000))) v (key);
select tests.authenticate_as('gus');
select throws_ok($$select public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 5, 'x', '2026-02-10')$$, 'PT403', 'permission_denied', 'a guard charges nobody');
select is(tests.seen('public.charges', 'description'), 'nothing', 'nor sees what others owe');
select tests.authenticate_as('ann');
select is((select string_agg(c.amount::text, ' ') from public.charges c), '33.33', 'an owner sees what is charged to the own account, not the co-owner''s part');
select tests.authenticate_as('bob');
select is((select string_agg(c.amount::text, ' ') from public.charges c), '5.00', 'a neighbour sees the own alone');
select throws_ok($$update public.charges set amount = 1$$, '42501', null, 'nobody changes a charge');

-- Whoever writes -----------------------------------------------------------------------------------------------------

select tests.as_studio();
select is((select count(*) from public.charges where amount = 5), 1::bigint, 'which is as before');
select throws_ok($$update public.charges set amount = 1$$, 'PT409', 'append_only', 'an administrator with SQL neither');
select is_empty(
  $$select c.id from public.charges c left join public.postings p on p.id = c.id where (p.amount, p.debit_subaccount_id, p.journal_entry_id) is distinct from (c.amount, c.subaccount_id, c.journal_entry_id)$$,
  'each charge is its posting');
select is(
  (select string_agg(p.memo, ' ') from public.postings p join public.charges c on c.id = p.id), null, 'what the entry says of all its charges, their postings do not repeat');
select tests.keep('other', (select c.id from public.charges c where c.amount = 5));
select throws_ok(
  $$insert into public.charges select extensions.uuidv7(), c.description, c.community_id, c.unit_id, c.subaccount_id, c.fund_id, c.decimals, c.journal_entry_id, c.source, null, c.starts_on, c.ends_on, c.charged_on, c.due_on, c.amount
    from public.charges c where c.id = tests.kept('other')::uuid$$, 'PT422', 'charge_mismatch', 'a charge without a posting is refused');
select is((select sum(s.balance) from public.subaccounts s where s.community_id = tests.id('Alder')), 105.00, 'the balances are what was charged');

-- Reversing ----------------------------------------------------------------------------------------------------------

select lives_ok($$select app.reverse_charges((select c.journal_entry_id from public.charges c where c.amount = 66.67), '2026-03-01', 'Wrong unit')$$, 'an entry of charges is reversed whole');
select is((select sum(s.balance) from public.subaccounts s where s.community_id = tests.id('Alder')), 5.00, 'and is no longer owed');
select throws_ok($$select app.reverse_charges((select c.journal_entry_id from public.charges c where c.amount = 66.67), '2026-03-01', 'Again')$$, 'PT409', 'charge_reversed', 'once');
select is(
  (select array_agg(distinct p.memo) from public.postings p join public.journal_entries e on e.id = p.journal_entry_id where e.kind = 'reversal'),
  array['A lost key'], 'what is taken back, the postings say, since the entry says why');
select tests.authenticate_as('ann');
select is(
  (select string_agg(s.description, ', ' order by s.posting_id) from public.account_statement((select id from public.subaccounts where unit_id = tests.id('1') limit 1), '2026-01-01', '2026-12-31') s where s.line_kind = 'line'),
  'A lost key, A lost key', 'so does the statement of whoever was charged');
select tests.as_studio();

-- Very many ----------------------------------------------------------------------------------------------------------

-- More than a thousand are looked at as a whole. One of them, the last, is as the case says.
select tests.as_studio();
create function pg_temp.many(cents integer default 0, unit text default '1', account text default 'Ann', count_of integer default 1200, is_last_late boolean default false) returns void language plpgsql as $$
begin
  insert into public.journal_entries (id, description, community_id, kind, effective_on, posting_count, total)
  values (tests.id('many'), 'Many', tests.id('Alder'), 'charge', '2026-03-02', 1200, 1200);
  insert into public.postings (journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, debit_subaccount_id, credit_account_id, amount)
  select tests.id('many'), tests.id('Alder'), s.fund_id, 2, '2026-03-02', s.account_id, s.id, tests.kept('income')::uuid, 1
  from generate_series(1, 1200), public.subaccounts s where s.fund_id = tests.kept('fund')::uuid and s.resident_id = tests.id('Ann') and s.unit_id = tests.id('1');
  insert into public.charges (id, description, community_id, unit_id, subaccount_id, fund_id, decimals, journal_entry_id, source, starts_on, ends_on, charged_on, due_on, amount)
  select p.id, 'Many', p.community_id, case when p.place = 1200 then tests.id(unit) else tests.id('1') end,
    case when p.place = 1200 then (select s.id from public.subaccounts s where s.fund_id = p.fund_id and s.resident_id = tests.id(account)) else p.debit_subaccount_id end,
    p.fund_id, 2, p.journal_entry_id, 'other', '2026-03-02', '2026-03-02', case when p.place = 1200 and is_last_late then date '2026-03-03' else '2026-03-02' end, '2026-03-09',
    p.amount + case when p.place = 1200 then cents * 0.01 else 0 end
  from (select p.*, row_number() over (order by p.id) as place from public.postings p where p.journal_entry_id = tests.id('many')) p
  where p.place <= count_of;
end;
$$;
select throws_ok(v.sql, 'PT422', 'charge_mismatch', v.what)
from (values
  ('select pg_temp.many(cents => 1)', 'of many charges none is of another amount than its posting'),
  ('select pg_temp.many(unit => ''2'')', 'or of another unit than its account'),
  ('select pg_temp.many(account => ''Cid'')', 'or of another account than its posting'),
  ('select pg_temp.many(is_last_late => true)', 'or of another day'),
  ('select pg_temp.many(count_of => 1199)', 'or missing')
) v (sql, what);
select lives_ok($$select pg_temp.many()$$, 'all that agree are charged');
select is((select s.balance from public.subaccounts s where s.fund_id = tests.kept('fund')::uuid and s.resident_id = tests.id('Ann')), 1200.00, 'and owed');

-- A repeated request after its day was closed ---------------------------------------------------------------------------

select tests.authenticate_as('mia');
select public.close_period(tests.id('Alder'), '2026-03-31');
select is((select count(*) from public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 100.00, 'A lost key', '2026-02-10', '2026-02-20', idempotency_key => 'key 1')), 2::bigint,
  'whoever asks again after the month was closed is answered as before');
select throws_ok($$select public.charge_unit(tests.id('1'), tests.kept('fund')::uuid, 100.00, 'A lost key', '2026-02-10', '2026-02-20', idempotency_key => 'key 2')$$, 'PT409', 'period_closed',
  'and nobody charges anew');

-- A repeated request after its unit was sold, on another day ------------------------------------------------------------

select tests.keep('today', (select array_agg(c.charge_id order by c.charge_id) from public.charge_unit(tests.id('2'), tests.kept('fund')::uuid, 9, 'Paint', idempotency_key => 'key 3') c)::text);
select tests.as_studio();
-- Where it is another day already.
update public.communities set time_zone = case when (now() at time zone 'Pacific/Kiritimati')::date <> app.today_in(id) then 'Pacific/Kiritimati' else 'Pacific/Pago_Pago' end where id = tests.id('Alder');
update public.occupancies set ends_on = current_date - 5 where resident_id = tests.id('Bob');
select tests.occupy('Ann', '2', 'owner', current_date - 4);
select tests.authenticate_as('mia');
select is(
  (select array_agg(c.charge_id order by c.charge_id) from public.charge_unit(tests.id('2'), tests.kept('fund')::uuid, 9.00, 'Paint', idempotency_key => 'key 3') c)::text, tests.kept('today'),
  'whoever asks again tomorrow, after the sale, and writes 9.00 for 9, is answered as before');
select is((select string_agg(c.amount::text, ' ') from public.charges c where c.description = 'Paint'), '9.00', 'and has charged once');
select throws_ok($$select public.charge_unit(tests.id('2'), tests.kept('fund')::uuid, 9, 'Varnish', idempotency_key => 'key 3')$$, 'PT409', 'idempotency_conflict', 'something else is another request');

select * from finish();
rollback;
