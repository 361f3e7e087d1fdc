-- A run posts what its preview showed, once; the charge follows who was liable when, and nothing is lost.

begin;
select plan(61);

select setseed(0.17);
select tests.create_community('Alder');
select tests.create_community('Birch');
update public.communities set ideal_parts_total = 100 where id = tests.id('Alder');
select public.open_books(tests.id('Alder'), '2026-01-01');
select tests.keep('fund', (select f.id from public.funds f where f.community_id = tests.id('Alder') and f.kind = 'operating'));
select tests.create_unit('1', 'Alder');
select tests.create_unit('2', 'Alder');
select tests.create_unit('3', 'Alder');
select tests.create_unit('4', 'Alder');
update public.units u set area = x.area, ideal_parts = x.parts, occupant_count = x.persons, floor = x.floor
from (values ('1', 40.5, 20, 1, 0), ('2', 60, 30, 2, 1), ('3', 55.25, 27.5, 0, 2), ('4', 44.25, 22.5, 3, 3)) x (number, area, parts, persons, floor)
where u.community_id = tests.id('Alder') and u.number = x.number;
select tests.create_resident('Ann', 'Alder', 'ann@runs.example');
select tests.create_resident('Bob', 'Alder');
select tests.create_resident('Cid', 'Alder');
select tests.create_resident('Dan', 'Alder');
select tests.create_resident('Tom', 'Alder', 'tom@runs.example');
select tests.occupy('Ann', '1', 'owner', '2020-01-01');
-- Unit 2 is sold on 11 January: ten days are Bob's, 21 are Cid's.
select tests.occupy('Bob', '2', 'owner', '2020-01-01', '2026-01-10');
select tests.occupy('Cid', '2', 'owner', '2026-01-11');
select tests.occupy('Dan', '3', 'owner', '2020-01-01');
-- Unit 3 is let from the 16th. Of unit 4 nobody knows the owner.
select tests.occupy('Tom', '3', 'tenant', '2026-01-16');
select tests.create_supabase_user('ann', 'ann@runs.example');
select tests.create_supabase_user('tom', 'tom@runs.example');
update public.residents set user_id = tests.id('ann') where id = tests.id('Ann');
update public.residents set user_id = tests.id('tom') where id = tests.id('Tom');
select tests.create_supabase_user('mia');
select tests.grant_role('mia', 'manager', community => 'Alder');
select tests.create_supabase_user('ben');
select tests.grant_role('ben', 'manager', community => 'Birch');

create function pg_temp.key(called text, method public.allocation_method, parts jsonb default '[]', exclusions jsonb default '[]', weights jsonb default '[]') returns uuid language sql as
  $$select public.create_allocation_key(tests.id('Alder'), called, method, parts => parts, exclusions => exclusions, weights => weights, is_normalised => method = 'hybrid')$$;
create function pg_temp.fee(called text, key uuid, amount numeric, basis public.fee_basis default 'total', liable public.fee_liability default 'payer', is_prorated boolean default true) returns uuid language sql as
  $$select public.create_fee(tests.id('Alder'), called, tests.kept('fund')::uuid, key, amount, '2026-01-01', basis, liable => liable, is_prorated => is_prorated)$$;
create function pg_temp.charged(run uuid) returns text language sql as $$
  select string_agg(concat_ws(' ', u.number, coalesce(p.full_name, 'nobody'), to_char(c.starts_on, 'DD') || '-' || to_char(c.ends_on, 'DD'), c.amount), ', ' order by u.number, c.starts_on, p.full_name)
  from public.fee_runs r
  join public.charges c on c.journal_entry_id = r.journal_entry_id
  join public.units u on u.id = c.unit_id
  join public.subaccounts s on s.id = c.subaccount_id
  left join public.residents p on p.id = s.resident_id
  where r.id = run
$$;

-- How a fee is shared out --------------------------------------------------------------------------------------------

select is(pg_temp.charged(public.run_fee(pg_temp.fee('Fixed', pg_temp.key('alike', 'per_unit'), 31, 'rate'), '2026-01-20')),
  '1 Ann 01-31 31.00, 2 Bob 01-10 10.00, 2 Cid 11-31 21.00, 3 Dan 01-31 31.00, 4 nobody 01-31 31.00', 'a fixed fee, split by days where a flat is sold');
select tests.keep('key', pg_temp.key('parts', 'shares'));
select tests.keep('fee', pg_temp.fee('Coefficient', tests.kept('key')::uuid, 100.01));
select tests.authenticate_as('mia');
create temporary table previewed as select * from public.preview_fee_run(tests.kept('fee')::uuid, '2026-01-20');
select tests.keep('run', public.run_fee(tests.kept('fee')::uuid, '2026-01-20'));
select tests.as_studio();
select is(pg_temp.charged(tests.kept('run')::uuid), '1 Ann 01-31 20.00, 2 Bob 01-10 9.68, 2 Cid 11-31 20.33, 3 Dan 01-31 27.50, 4 nobody 01-31 22.50', 'by coefficient, exact to the cent');
select is_empty(
  $$select unit_id, resident_id, starts_on, ends_on, due_on, amount from previewed
    except select c.unit_id, s.resident_id, c.starts_on, c.ends_on, c.due_on, c.amount from public.charges c join public.subaccounts s on s.id = c.subaccount_id
      join public.fee_runs r on r.journal_entry_id = c.journal_entry_id where r.id = tests.kept('run')::uuid$$, 'what was previewed is posted');
select is((select count(*) from previewed), (select r.charge_count::bigint from public.fee_runs r where r.id = tests.kept('run')::uuid), 'and nothing else');
select is(pg_temp.charged(public.run_fee(pg_temp.fee('Area', pg_temp.key('by area', 'area'), 0.5, 'rate', 'payer', false), '2026-01-20')),
  '1 Ann 01-31 20.25, 2 Bob 01-31 30.00, 3 Dan 01-31 27.63, 4 nobody 01-31 22.13', 'by area; not prorated, who is liable on the first day owes all');
select is(pg_temp.charged(public.run_fee(pg_temp.fee('Persons', pg_temp.key('by persons', 'per_person'), 10, 'rate'), '2026-01-20')),
  '1 Ann 01-31 10.00, 2 Bob 01-10 6.45, 2 Cid 11-31 13.55, 4 nobody 01-31 30.00', 'per person; who counts none owes none');
select is(pg_temp.charged(public.run_fee(pg_temp.fee('Hybrid', pg_temp.key('mixed', 'hybrid', '[{"method": "shares", "percent": 50}, {"method": "per_unit", "percent": 50}]'), 200), '2026-01-20')),
  '1 Ann 01-31 45.00, 2 Bob 01-10 17.74, 2 Cid 11-31 37.26, 3 Dan 01-31 52.50, 4 nobody 01-31 47.50', 'half by coefficient, half alike');
select is(pg_temp.charged(public.run_fee(pg_temp.fee('Lift', pg_temp.key('upstairs', 'per_unit', exclusions => '[{"floor_from": 0, "floor_to": 0, "reason": "No lift"}]'), 10, 'rate', 'occupant'), '2026-01-20')),
  '2 Bob 01-10 3.23, 2 Cid 11-31 6.77, 3 Dan 01-15 4.84, 3 Tom 16-31 5.16, 4 nobody 01-31 10.00', 'the ground floor pays no lift; the tenant owes from the day of moving in');

-- Once -----------------------------------------------------------------------------------------------------------------

select tests.keep('entries', (select count(*) from public.journal_entries));
select tests.authenticate_as('mia');
select is(public.run_fee(tests.kept('fee')::uuid, '2026-01-31'), tests.kept('run')::uuid, 'run again, on any day of the period, it is the same run');
select tests.as_studio();
select tests.create_supabase_user('capped');
select public.restrict_role(tests.grant_role('capped', 'manager', community => 'Alder'), '{"amounts": {"fees.run": 100}}');
select tests.authenticate_as('capped');
select throws_ok($$select public.run_fee(tests.kept('fee')::uuid, '2026-02-10')$$, 'PT403', 'amount_above_limit', 'whoever charges up to an amount charges no fee that comes to more');
select throws_ok($$select public.reverse_fee_run(tests.kept('run')::uuid, 'Too dear')$$, 'PT403', 'amount_above_limit', 'nor takes one back');
select tests.as_studio();
select is((select count(*)::text from public.journal_entries), tests.kept('entries'), 'and nothing is posted');
select throws_ok($$select public.run_fee(tests.kept('fee')::uuid, '2025-12-31')$$, 'PT422', 'fee_not_due', 'before it begins there is nothing to charge');
select throws_ok($$select public.run_fee(tests.kept('fee')::uuid, 'infinity')$$, 'PT422', 'fee_not_due', 'nor on a day that never comes');
select throws_ok(format('select public.%s', v.call), 'PT422', v.token, format('no day is so far away that it is no answer: %s', v.call))
from (values
  ('run_fee(tests.kept(''fee'')::uuid, ''5874897-12-31'')', 'too_far_ahead'), ('run_fee(tests.kept(''fee'')::uuid, ''2999-12-31'', ''2026-01-20'')', 'too_far_ahead'),
  ('run_fee(tests.kept(''fee'')::uuid, ''4713-01-01 BC'')', 'fee_not_due'), ('preview_fee_run(tests.kept(''fee'')::uuid, ''5874897-12-31'')', 'too_far_ahead'),
  ('run_fees(tests.id(''Alder''), ''5874897-12-31'')', 'too_far_ahead'), ('run_fees(tests.id(''Alder''), ''4713-01-01 BC'')', 'fee_not_due')) v (call, token);
update public.fees set recurrence = 'FREQ=MONTHLY;BYMONTHDAY=15' where id = tests.kept('fee')::uuid;
select throws_ok($$select public.run_fee(tests.kept('fee')::uuid, '2026-01-20')$$, 'PT409', 'fee_period_charged', 'a rule that was changed charges no day twice');
create function pg_temp.due() returns text language sql as $$
  select coalesce(string_agg(concat_ws(' ', d.starts_on, d.ends_on, d.is_overlapped), ', ' order by d.starts_on), 'nothing') from app.due_fee_periods(tests.id('Alder'), '2026-02-20') d where d.fee_id = tests.kept('fee')::uuid
$$;
select is(pg_temp.due(), '2026-01-15 2026-02-14 t, 2026-02-15 2026-03-14 f', 'a period that was charged in part is told of, so that the rest is not forgotten');
savepoint told;
update public.fees f set status = 'inactive' where f.community_id = tests.id('Alder') and f.id <> tests.kept('fee')::uuid;
select results_eq($$select fee_run_id is null, starts_on from public.run_fees(tests.id('Alder'), '2026-02-20')$$, $$values (true, date '2026-01-15'), (false, '2026-02-15')$$, 'and keeps nothing else from being charged');
rollback to savepoint told;
update public.fees set recurrence = 'FREQ=WEEKLY;BYDAY=MO', last_on = '2026-01-20' where id = tests.kept('fee')::uuid;
select is(pg_temp.due(), 'nothing', 'periods that were charged whole are not');
update public.fees set recurrence = 'FREQ=MONTHLY;BYMONTHDAY=1', last_on = null where id = tests.kept('fee')::uuid;
select is(pg_temp.due(), '2026-02-01 2026-02-28 f', '(the rule as it was)');
select throws_ok(
  $$insert into public.fee_runs (community_id, fee_id, starts_on, ends_on, charged_on, due_on, allocation_id, charge_count, total)
    select r.community_id, r.fee_id, '2026-01-31', '2026-02-01', r.charged_on, r.due_on, r.allocation_id, 0, 0 from public.fee_runs r where r.id = tests.kept('run')::uuid$$,
  '23P01', null, 'nor could an administrator with SQL');
select throws_ok($$update public.fee_runs set total = 1$$, 'PT409', null, 'what a run has charged is frozen');
select public.set_fee_status(tests.kept('fee')::uuid, 'inactive');
select throws_ok($$select public.run_fee(tests.kept('fee')::uuid, '2026-02-20')$$, 'PT409', 'fee_inactive', 'an inactive fee is not charged');
select public.set_fee_status(tests.kept('fee')::uuid, 'active');

-- Reversed and run again -------------------------------------------------------------------------------------------------

select tests.authenticate_as('ben');
select throws_ok($$select public.run_fee(tests.kept('fee')::uuid, '2026-02-20')$$, 'PT404', 'fee_not_found', 'to another community''s manager there is no such fee');
select throws_ok($$select public.preview_fee_run(tests.kept('fee')::uuid, '2026-02-20')$$, 'PT404', 'fee_not_found', 'not even to look');
select throws_ok($$select public.reverse_fee_run(tests.kept('run')::uuid, 'Mischief')$$, 'PT404', 'fee_run_not_found', 'nor such a run');
select tests.authenticate_as('ann');
select is((select count(*) from public.fee_runs), 6::bigint, 'an owner sees the runs');
select is((select count(distinct c.subaccount_id) from public.charges c), 1::bigint, 'and the own charges alone');
select throws_ok($$select public.preview_fee_run(tests.kept('fee')::uuid, '2026-02-20')$$, 'PT403', 'permission_denied', 'an owner is not shown what others would owe');
select throws_ok($$select public.run_fee(tests.kept('fee')::uuid, '2026-02-20')$$, 'PT403', 'permission_denied', 'and charges nobody');
select tests.authenticate_as('tom');
select is((select string_agg(c.amount::text, ' ') from public.charges c), '5.16', 'a tenant sees what the tenant owes');
select is(tests.seen('public.fee_runs', 'status'), 'nothing', 'and no runs');
select tests.authenticate_as('mia');
select throws_ok($$select public.reverse_fee_run(tests.kept('run')::uuid, '')$$, 'PT422', 'reason_required', 'a run is taken back for a reason');
select lives_ok($$select public.reverse_fee_run(tests.kept('run')::uuid, 'The buyer of flat 2 came on the 21st')$$, 'a run is taken back');
select throws_ok($$select public.reverse_fee_run(tests.kept('run')::uuid, 'Twice')$$, 'PT409', 'fee_run_reversed', 'once');
select tests.as_studio();
select is((select count(*) from app.due_fee_periods(tests.id('Alder'), '2026-01-31')), 0::bigint, 'what was reversed is not charged by itself');
update public.occupancies set ends_on = '2026-01-20' where id = tests.id('Bob owner 2');
update public.occupancies set starts_on = '2026-01-21' where id = tests.id('Cid owner 2');
select tests.keep('again', public.run_fee(tests.kept('fee')::uuid, '2026-01-20'));
select is(pg_temp.charged(tests.kept('again')::uuid), '1 Ann 01-31 20.00, 2 Bob 01-20 19.36, 2 Cid 21-31 10.65, 3 Dan 01-31 27.50, 4 nobody 01-31 22.50', 'and run again, as things are by then');
select is(
  (select sum(case when p.debit_subaccount_id is not null then p.amount else -p.amount end) from public.fee_runs r
   join public.journal_entries e on e.document_kind = 'fee_run' and e.document_id = r.id join public.postings p on p.journal_entry_id = e.id
   where r.fee_id = tests.kept('fee')::uuid), 100.01, 'what is owed for the period is owed once');
select throws_ok($$select public.reverse_fee_run(tests.kept('again')::uuid, 'Before its day', '2025-12-31')$$, 'PT422', 'invalid_period', 'not before its own day');

-- Instalments ------------------------------------------------------------------------------------------------------------

select tests.keep('roof', public.create_fee(tests.id('Alder'), 'Roof', tests.kept('fund')::uuid, tests.kept('key')::uuid, 1000.03, '2026-02-01', kind => 'special_assessment',
  instalments => '[{"due_on": "2026-02-15", "amount": 333.35}, {"due_on": "2026-03-15", "amount": 333.34}, {"due_on": "2026-04-15", "amount": 333.34}]'));
create temporary view by_unit as
  select r.instalment_id, r.starts_on, u.number, sum(c.amount) as amount from public.fee_runs r join public.charges c on c.journal_entry_id = r.journal_entry_id join public.units u on u.id = c.unit_id
  where r.fee_id = tests.kept('roof')::uuid and r.status = 'posted' group by r.id, u.number;
create temporary table second as select * from public.preview_fee_run(tests.kept('roof')::uuid, '2026-03-01');
select is((select sum(s.amount) from second s), 333.34, 'an instalment is shared out to the cent, whichever comes first');
select public.run_fee(tests.kept('roof')::uuid, '2026-02-01');
select tests.keep('middle', public.run_fee(tests.kept('roof')::uuid, '2026-03-01'));
select public.run_fee(tests.kept('roof')::uuid, '2026-04-01');
select results_eq($$select sum(b.amount) from by_unit b group by b.starts_on order by b.starts_on$$, $$values (333.35), (333.34), (333.34)$$, 'each instalment is its amount');
select results_eq($$select b.number, sum(b.amount) from by_unit b group by b.number order by 1$$,
  $$select u.number, l.amount from public.fee_runs r join public.allocation_lines l on l.allocation_id = r.allocation_id join public.units u on u.id = l.unit_id where r.id = tests.kept('middle')::uuid order by 1$$,
  'and all of them are, for each unit, its part of the whole');
select throws_ok($$select public.set_fee_instalments(tests.kept('roof')::uuid, '[]')$$, 'PT409', 'fee_charged', 'what is charged is not divided anew');
select public.reverse_fee_run(tests.kept('middle')::uuid, 'A mistake', '2026-03-01');
select public.run_fee(tests.kept('roof')::uuid, '2026-03-05');
select is((select sum(b.amount) from by_unit b), 1000.03, 'an instalment that is charged anew takes its own place');
select is((select string_agg(distinct c.description, '; ' order by c.description) from public.charges c join public.fee_runs r on r.journal_entry_id = c.journal_entry_id where r.fee_id = tests.kept('roof')::uuid),
  'Roof, 1/3; Roof, 2/3; Roof, 3/3', 'the statement says which');
select is(pg_temp.charged(public.run_fee(public.create_fee(tests.id('Alder'), 'Keys', tests.kept('fund')::uuid, tests.kept('key')::uuid, 40, '2026-02-10', kind => 'one_off'), '2026-02-12')),
  '1 Ann 10-10 8.00, 2 Cid 10-10 12.00, 3 Dan 10-10 11.00, 4 nobody 10-10 9.00', 'a fee for one time is owed by who is liable on its day');

-- Any history ------------------------------------------------------------------------------------------------------------
-- 40 more units with owners who change, at times nobody; fees of random amounts: the sum is the fee, and each part that of the days.
set local session_replication_role = replica;
insert into public.units (community_id, number, area) select tests.id('Birch'), n::text, round((20 + random() * 100)::numeric, 2) from generate_series(1, 40) n;
insert into public.residents (community_id, full_name) select tests.id('Birch'), 'R' || n from generate_series(1, 400) n;
with numbered as (select r.id, row_number() over (order by r.id) as n from public.residents r where r.community_id = tests.id('Birch')),
starts as (
  select u.id as unit_id, row_number() over () as n, date '2025-12-20' + (e - 1) * 25 + (random() * 10)::integer as starts_on, random() < 0.8 as is_known
  from public.units u cross join generate_series(1, 5) e where u.community_id = tests.id('Birch')),
eras as (select s.*, lead(s.starts_on) over (partition by s.unit_id order by s.starts_on) - 1 as ends_on from starts s)
insert into public.occupancies (community_id, unit_id, resident_id, role, starts_on, ends_on)
select tests.id('Birch'), e.unit_id, p.id, 'owner', e.starts_on, e.ends_on
from eras e cross join generate_series(0, 1) half join numbered p on p.n = e.n * 2 - half where e.is_known and (half = 0 or random() < 0.5);
set local session_replication_role = origin;
select public.open_books(tests.id('Birch'), '2026-01-01');
select tests.keep('birch_key', public.create_allocation_key(tests.id('Birch'), 'Area', 'area'));
select public.create_fee(tests.id('Birch'), 'F' || n, f.id, tests.kept('birch_key')::uuid, round((random() * 5000 + 1)::numeric, 2), date '2026-01-01' + n,
  recurrence => (array['FREQ=MONTHLY;BYMONTHDAY=1', 'FREQ=WEEKLY;INTERVAL=2', 'FREQ=MONTHLY;INTERVAL=2;BYDAY=1MO', 'FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-1'])[n])
from generate_series(1, 4) n join public.funds f on f.community_id = tests.id('Birch') and f.kind = 'operating';
select tests.authenticate_as('ben');
select cmp_ok((select count(*) from public.run_fees(tests.id('Birch'), '2026-04-30')), '>=', 13::bigint, 'run_fees charges all that is due');
select is_empty($$select * from public.run_fees(tests.id('Birch'), '2026-04-30')$$, 'and then nothing more');
select is_empty($$select r.id from public.fee_runs r join public.fees f on f.id = r.fee_id where r.total <> f.amount and f.community_id = tests.id('Birch')$$, 'every run charges its fee, to the cent');
select tests.as_studio();
select is_empty(
  $$select r.id, l.unit_id from public.fee_runs r join public.allocation_lines l on l.allocation_id = r.allocation_id
    left join public.charges c on c.allocation_line_id = l.id and c.journal_entry_id = r.journal_entry_id
    where r.community_id = tests.id('Birch') group by r.id, l.unit_id, l.amount having sum(c.amount) is distinct from l.amount$$, 'the charges of a unit make up its part');
select is_empty(
  $$with days as (
      select r.id as run, d::date as day, r.ends_on - r.starts_on + 1 as length from public.fee_runs r cross join generate_series(r.starts_on, r.ends_on, '1 day') d where r.community_id = tests.id('Birch')),
    exact as (
      select d.run, l.unit_id, p.resident_id, sum(l.amount * coalesce(p.share / s.shares, 1) / d.length) as amount
      from days d join public.fee_runs r on r.id = d.run join public.allocation_lines l on l.allocation_id = r.allocation_id
      left join lateral (select sum(x.share) as shares from app.representatives_on(tests.id('Birch'), 'payer', d.day, l.unit_id) x) s on true
      left join lateral app.representatives_on(tests.id('Birch'), 'payer', d.day, l.unit_id) p on true
      where r.starts_on < '2026-01-20'
      group by d.run, l.unit_id, p.resident_id)
    select e.* from exact e
    join public.fee_runs r on r.id = e.run
    left join (select c.*, s.resident_id from public.charges c join public.subaccounts s on s.id = c.subaccount_id) c
      on c.journal_entry_id = r.journal_entry_id and c.unit_id = e.unit_id and c.resident_id is not distinct from e.resident_id
    where abs(coalesce(c.amount, 0) - e.amount) >= 0.01$$, 'each person owes the days and shares that were the person''s, less than a cent off');
select is_empty($$select * from app.check_charges(tests.id('Birch')) union all select * from app.check_fee_runs(tests.id('Birch')) union all select * from app.check_charges(tests.id('Alder')) union all select * from app.check_fee_runs(tests.id('Alder'))$$,
  'the books agree with the documents');
set local session_replication_role = replica;
update public.fee_runs set total = total + 1 where id = tests.kept('again')::uuid;
delete from public.charges c using public.fee_runs r where r.id = tests.kept('again')::uuid and c.journal_entry_id = r.journal_entry_id and c.amount = 20.00;
set local session_replication_role = origin;
select is((select count(*) from app.check_fee_runs(tests.id('Alder'))) || ' ' || (select count(*) from app.check_charges(tests.id('Alder'))), '1 1', 'and what was tampered with is found');
savepoint tampered;
set local session_replication_role = replica;
update public.charges c set due_on = c.due_on + 100 from public.fee_runs r where r.id = tests.kept('again')::uuid and c.journal_entry_id = r.journal_entry_id and c.amount <> 20.00;
set local session_replication_role = origin;
select is((select count(*) from app.check_fee_runs(tests.id('Alder'))), 2::bigint, 'so are charges that are due on another day than their run');
rollback to savepoint tampered;
set local session_replication_role = replica;
update public.charges c set allocation_line_id = (select l.id from public.allocation_lines l where l.unit_id <> c.unit_id limit 1)
from public.fee_runs r where r.id = tests.kept('again')::uuid and c.journal_entry_id = r.journal_entry_id;
set local session_replication_role = origin;
select is((select count(*) from app.check_charges(tests.id('Alder'))), 1 + (select count(*) from public.charges c join public.fee_runs r on r.id = tests.kept('again')::uuid and c.journal_entry_id = r.journal_entry_id),
  'and charges that are explained by another unit''s line');
select throws_ok($$update public.fee_runs set deleted_at = now() where id = tests.kept('again')::uuid$$, '23514', null, 'no run is archived');

select * from finish();
rollback;
