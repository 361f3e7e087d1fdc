-- What was charged before a sale was entered is named; nothing else is, and nothing is written.

begin;
select plan(36);

select tests.create_community('Alder'), tests.create_community('Birch');
select public.open_books(tests.id('Alder'), '2026-01-01');
select tests.create_unit(u, 'Alder') from unnest(array['1', '2', '3']) u;
select tests.create_resident(r, 'Alder') from unnest(array['Ann', 'Bob', 'Cid']) r;
select tests.occupy('Ann', '1', 'owner', '2020-01-01'), tests.occupy('Bob', '2', 'owner', '2020-01-01');
select tests.create_supabase_user(u) from unnest(array['mia', 'ann', 'ben']) u;
update public.residents set user_id = tests.id('ann') where id = tests.id('Ann');
select tests.grant_role('mia', 'manager', community => 'Alder'), tests.grant_role('ben', 'manager', community => 'Birch');

create function pg_temp.stale(from_day date default '2026-01-01', to_day date default '2026-12-31') returns text language sql as $$
  select coalesce(string_agg(concat_ws(' ', to_char(s.starts_on, 'MM'), s.unit, coalesce(s.full_name, 'nobody'), s.charged, s.due_now), ', ' order by s.starts_on, s.unit, s.due_now, s.full_name), 'nothing')
  from public.stale_charges(tests.id('Alder'), from_day, to_day) s
$$;
grant execute on function pg_temp.stale(date, date) to authenticated;
select tests.keep('fee', public.create_fee(tests.id('Alder'), 'Upkeep', (select f.id from public.funds f where f.community_id = tests.id('Alder') and f.kind = 'operating'),
  public.create_allocation_key(tests.id('Alder'), 'alike', 'per_unit'), 31, '2026-01-01', 'rate'));
select tests.keep('january', public.run_fee(tests.kept('fee')::uuid, '2026-01-20')), tests.keep('february', public.run_fee(tests.kept('fee')::uuid, '2026-02-20'));
select tests.authenticate_as('mia');
select is(pg_temp.stale(), 'nothing', 'a run that nothing came in between names nothing');
select tests.keep('stored', (select string_agg(e.id::text, '') from public.journal_entries e where e.community_id = tests.id('Alder')));
select lives_ok($$select * from public.sell_unit(tests.id('2'), '2026-01-11', '[{"full_name": "Dan"}]')$$, '(a sale is entered late)');
select is(pg_temp.stale(), '01 2 Bob 31.00 10.00, 01 2 Dan 0.00 21.00, 02 2 Bob 31.00 0.00, 02 2 Dan 0.00 31.00', 'who sold was charged for days that are the buyer''s');
select is(pg_temp.stale('2026-02-01', '2026-02-28'), '02 2 Bob 31.00 0.00, 02 2 Dan 0.00 31.00', 'of the days that are asked for');
select is(pg_temp.stale('2026-03-01', '2026-12-31'), 'nothing', '(of others, nothing)');
select is((select array_agg(distinct s.fee) from public.stale_charges(tests.id('Alder'), '2026-01-01', '2026-12-31') s), '{Upkeep}', 'by the name of the fee');
select is((select array_agg(distinct s.fee_run_id order by s.fee_run_id) from public.stale_charges(tests.id('Alder'), '2026-01-01', '2026-12-31') s), array[tests.kept('january')::uuid, tests.kept('february')::uuid], 'and the run');
select is((select string_agg(e.id::text, '') from public.journal_entries e where e.community_id = tests.id('Alder')), tests.kept('stored'), 'nothing is posted by looking');
select lives_ok(format($$select public.reverse_fee_run(%L, 'Sold on the 11th of January')$$, tests.kept('february')), '(the run is taken back)');
select is(pg_temp.stale('2026-02-01', '2026-02-28'), 'nothing', 'a run that was taken back is not stale');
select lives_ok(format($$select public.run_fee(%L, '2026-02-20')$$, tests.kept('fee')), '(and made again)');
select is(pg_temp.stale('2026-02-01', '2026-02-28'), 'nothing', 'nor is one made since');
select is(pg_temp.stale('2026-01-01', '2026-01-31'), '01 2 Bob 31.00 10.00, 01 2 Dan 0.00 21.00', 'the other still is');
select tests.as_studio();
select tests.occupy('Cid', '3', 'owner', '2026-02-01');
select tests.authenticate_as('mia');
select is(pg_temp.stale('2026-02-01', '2026-02-28'), '02 3 nobody 31.00 0.00, 02 3 Cid 0.00 31.00', 'whom nobody knew, and who is known now');
select throws_ok($$select pg_temp.stale('2026-02-01', '2026-01-01')$$, 'PT422', 'invalid_period', 'days follow one another');
select throws_ok($$select pg_temp.stale('2001-01-01', '2026-01-01')$$, 'PT422', 'invalid_period', 'and are ten years at most');
select throws_ok(format($$select pg_temp.stale(%L, %L)$$, v.from_day, v.to_day), 'PT422', 'invalid_period', format('and begin and end: %s to %s', v.from_day, v.to_day))
from (values ('-infinity', '2026-01-01'), ('2026-01-01', 'infinity'), ('infinity', 'infinity')) v (from_day, to_day);
select tests.authenticate_as('ann');
select throws_ok($$select pg_temp.stale()$$, 'PT403', 'permission_denied', 'a resident is told of nobody''s charges');
select tests.authenticate_as('ben');
select throws_ok($$select pg_temp.stale()$$, 'PT403', 'permission_denied', 'nor is the manager of another community');
select tests.as_studio();
select is((select count(*) from public.stale_charges(tests.id('Birch'))), 0::bigint, 'where there are no books, nothing is stale');

-- Expenses -----------------------------------------------------------------------------------------------------------

create function pg_temp.stale_expense() returns text language sql as $$
  select coalesce(string_agg(concat_ws(' ', s.expense, s.unit, coalesce(s.full_name, 'nobody'), s.charged, s.due_now), ', ' order by s.expense, s.unit, s.due_now, s.full_name), 'nothing')
  from public.stale_charges(tests.id('Alder'), '2026-03-01', '2026-12-31') s where s.expense_id is not null
$$;
create function pg_temp.spend(described text, category text, amount numeric) returns uuid language plpgsql as $$
declare
  made uuid := public.enter_expense(tests.id('Alder'), tests.kept(category)::uuid, described, amount, '2026-03-31', starts_on => '2026-03-01', ends_on => '2026-03-31');
begin
  perform public.submit_expense(made), public.approve_expense(made), public.allocate_expense(made, '2026-04-30', '2026-04-01');
  return made;
end;
$$;
grant execute on function pg_temp.stale_expense() to authenticated;
select tests.keep('lift', public.create_expense_category(tests.id('Alder'), 'LIFT', 'Lift', (select a.id from public.accounts a join public.funds f on f.id = a.fund_id and f.kind = 'operating' where a.community_id = tests.id('Alder') and a.code = '5400'),
  (select k.id from public.allocation_keys k where k.community_id = tests.id('Alder')))),
  tests.keep('water', public.create_expense_category(tests.id('Alder'), 'WATER', 'Water', (select a.id from public.accounts a join public.funds f on f.id = a.fund_id and f.kind = 'operating' where a.community_id = tests.id('Alder') and a.code = '5200'),
  (select k.id from public.allocation_keys k where k.community_id = tests.id('Alder')), 'occupant'));
select tests.keep('repair', pg_temp.spend('Repair', 'lift', 93)), tests.keep('meters', pg_temp.spend('Meters', 'water', 93));
select is(pg_temp.stale_expense(), 'nothing', 'an expense that nothing came in between is not stale');
select tests.authenticate_as('mia');
select lives_ok($$select * from public.sell_unit(tests.id('1'), '2026-03-11', '[{"full_name": "Eve"}]')$$, '(another sale is entered late)');
select is(pg_temp.stale_expense(), 'Meters 1 Ann 31.00 10.00, Meters 1 Eve 0.00 21.00, Repair 1 Ann 31.00 10.00, Repair 1 Eve 0.00 21.00', 'what was shared out falls to another, for the days that it is for');
select is((select array_agg(distinct s.expense_id order by s.expense_id) from public.stale_charges(tests.id('Alder'), '2026-03-01', '2026-12-31') s), array[tests.kept('repair')::uuid, tests.kept('meters')::uuid], 'by the expense');
select is((select count(*) from public.stale_charges(tests.id('Alder'), '2026-03-01', '2026-12-31') s where s.fee_run_id is not null or s.fee is not null), 0::bigint, 'which is no run of a fee');
select tests.as_studio();
select tests.create_resident('Tea', 'Alder'), tests.occupy('Tea', '3', 'tenant', '2026-03-22');
select is(pg_temp.stale_expense(), 'Meters 1 Ann 31.00 10.00, Meters 1 Eve 0.00 21.00, Meters 3 Tea 0.00 10.00, Meters 3 Cid 31.00 21.00, Repair 1 Ann 31.00 10.00, Repair 1 Eve 0.00 21.00', 'a tenant who is entered late bears what occupants bear');
select tests.authenticate_as('mia');
select lives_ok(format($$select public.reverse_expense_allocation(%L, 'Sold on the 11th of March')$$, tests.kept('repair')), '(the charges are taken back)');
select is(pg_temp.stale_expense(), 'Meters 1 Ann 31.00 10.00, Meters 1 Eve 0.00 21.00, Meters 3 Tea 0.00 10.00, Meters 3 Cid 31.00 21.00', 'what was taken back is not stale');
select lives_ok(format($$select public.allocate_expense(%L, '2026-04-30', '2026-04-01')$$, tests.kept('repair')), '(and shared out again)');
select is(pg_temp.stale_expense(), 'Meters 1 Ann 31.00 10.00, Meters 1 Eve 0.00 21.00, Meters 3 Tea 0.00 10.00, Meters 3 Cid 31.00 21.00', 'nor is what was shared out since');
select tests.authenticate_as('ann');
select throws_ok($$select pg_temp.stale_expense()$$, 'PT403', 'permission_denied', 'a resident is told of none of it');
select tests.as_studio();

-- All at once, and one by one ----------------------------------------------------------------------------------------

-- What each run would charge by the function that previews it, against what stands.
create function pg_temp.one_by_one() returns table (run uuid, unit uuid, resident uuid, charged numeric, due_now numeric) language sql as $$
  select r.id, x.unit_id, x.resident_id, sum(x.charged), sum(x.due_now)
  from public.fee_runs r
  join public.fees f on f.id = r.fee_id
  cross join lateral (
    select c.unit_id, s.resident_id, c.amount as charged, 0 as due_now from public.charges c join public.subaccounts s on s.id = c.subaccount_id where c.journal_entry_id = r.journal_entry_id
    union all
    select w.unit_id, w.resident_id, 0, w.amount from unnest(app.fee_run_lines(f, r.starts_on, r.ends_on, r.instalment_id, r.allocation_id)) w) x
  where r.community_id = tests.id('Elm') and r.status = 'posted'
  group by 1, 2, 3
  having sum(x.charged) <> sum(x.due_now)
$$;
select setseed(0.17);
select tests.create_community('Elm'), public.open_books(tests.id('Elm'), '2026-01-01');
insert into public.units (community_id, number) select tests.id('Elm'), n::text from generate_series(1, 60) n;
insert into public.residents (community_id, full_name) select tests.id('Elm'), 'Elm ' || n from generate_series(1, 40) n;
create function pg_temp.anybody() returns uuid language sql volatile as $$ select r.id from public.residents r where r.community_id = tests.id('Elm') order by random() limit 1 $$;
create function pg_temp.histories(every_nth integer) returns void language plpgsql as $$
declare
  home record;
begin
  for home in select u.id, u.number::integer as n from public.units u where u.community_id = tests.id('Elm') and u.number::integer % every_nth = 0 loop
    begin
      insert into public.occupancies (community_id, unit_id, resident_id, role, starts_on, ends_on, ownership_share)
      select tests.id('Elm'), home.id, pg_temp.anybody(), (array['owner', 'owner', 'tenant'])[1 + floor(random() * 3)::integer]::public.occupancy_role,
        date '2026-01-01' + floor(random() * 80)::integer, case when random() < 0.3 then date '2026-04-01' + floor(random() * 30)::integer end, null;
    exception when others then null; -- what may not be, is not
    end;
  end loop;
end;
$$;
select pg_temp.histories(1), pg_temp.histories(2);
select public.create_fee(tests.id('Elm'), v.name, (select f.id from public.funds f where f.community_id = tests.id('Elm') and f.kind = 'operating'),
  public.create_allocation_key(tests.id('Elm'), v.name, 'per_unit'), 31.07, '2026-01-01', 'rate', liable => v.liable::public.fee_liability, is_prorated => v.is_prorated)
from (values ('Payers', 'payer', true), ('Occupants', 'occupant', true), ('First day', 'payer', false)) v (name, liable, is_prorated);
select count(public.run_fee(f.id, m.day)) from public.fees f cross join (values (date '2026-01-05'), ('2026-02-05'), ('2026-03-05')) m (day) where f.community_id = tests.id('Elm');
select is_empty($$select * from public.stale_charges(tests.id('Elm'), '2026-01-01', '2026-12-31')$$, 'of nine runs none is stale at first');
select pg_temp.histories(3), pg_temp.histories(2);
select cmp_ok((select count(*) from pg_temp.one_by_one()), '>', 50::bigint, '(much has changed)');
select set_eq($$select s.fee_run_id, s.unit_id, s.resident_id, s.charged, s.due_now from public.stale_charges(tests.id('Elm'), '2026-01-01', '2026-12-31') s$$, 'select * from pg_temp.one_by_one()', 'what is found all at once is what each run would charge');

select * from finish();
rollback;
