-- Residents and occupancies: whom to call, who owns what, from which day to which, and how a unit's status follows.
-- Who sees whom is in property_households.sql, how users become residents in property_linking.sql.

begin;
select plan(34);

select tests.create_community('Alder', time_zone => 'Pacific/Kiritimati'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_unit('cedar 1', 'Cedar');
select tests.create_resident('Ana', 'Alder'), tests.create_resident('Boris', 'Alder'), tests.create_resident('Cedric', 'Cedar');
select tests.create_supabase_user('manager'), tests.create_supabase_user('guard');
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder');

-- One community ----------------------------------------------------------------------------------------------------------

select throws_ok($$insert into public.occupancies (community_id, unit_id, resident_id, role) values (tests.id('Alder'), tests.id('1'), tests.id('Cedric'), 'owner')$$,
  '23503', null, 'nobody occupies a unit of a community in which they are no resident');
select throws_ok($$insert into public.occupancies (community_id, unit_id, resident_id, role) values (tests.id('Cedar'), tests.id('1'), tests.id('Cedric'), 'owner')$$,
  '23503', null, 'whichever of the two communities is named');
select throws_ok($$insert into public.resident_details (community_id, resident_id) values (tests.id('Alder'), tests.id('Cedric'))$$,
  '23503', null, 'details are of a resident of their community');

-- Once at a time ---------------------------------------------------------------------------------------------------------

select tests.occupy('Ana', '1', 'owner', date '2020-01-01', date '2024-12-31', is_primary_contact => true);
select throws_ok($$insert into public.occupancies (community_id, unit_id, resident_id, role, starts_on) values (tests.id('Alder'), tests.id('1'), tests.id('Ana'), 'owner', '2024-12-31')$$, '23P01', null, 'a resident holds a role in a unit once at a time: the last day counts');
select lives_ok($$insert into public.occupancies (id, community_id, unit_id, resident_id, role, starts_on) values (tests.id('Ana again'), tests.id('Alder'), tests.id('1'), tests.id('Ana'), 'owner', '2025-01-01')$$,
  'and may hold it again from the day after');
select lives_ok($$select tests.occupy('Ana', '1', 'family', date '2024-01-01')$$, 'another role at the same time is another matter');

-- Whom to call -------------------------------------------------------------------------------------------------------------

select throws_ok($$select tests.occupy('Boris', '1', 'tenant', date '2024-12-31', is_primary_contact => true)$$, '23P01', null, 'a unit has one primary contact at a time');
select lives_ok($$select tests.occupy('Boris', '1', 'tenant', date '2025-01-01', is_primary_contact => true)$$, 'and another one from the day after');
select lives_ok($$select tests.occupy('Ana', '2', 'owner', date '2020-01-01', is_primary_contact => true)$$, 'one person may be the contact of two units');
select throws_ok($$update public.occupancies set is_primary_contact = true where id = tests.id('Ana again')$$, '23P01', null, 'nobody becomes a second contact by an update');
select lives_ok($$update public.occupancies set deleted_at = now() where id = tests.id('Boris tenant 1'); update public.occupancies set is_primary_contact = true where id = tests.id('Ana again')$$,
  'an archived contact makes room');

-- Shares -------------------------------------------------------------------------------------------------------------------

select throws_ok($$update public.occupancies set ownership_share = 50 where id = tests.id('Ana family 1')$$, '23514', null, 'only an owner has a share');
select throws_ok($$update public.occupancies set ownership_share = 100.5 where id = tests.id('Ana again')$$, '23514', null, 'a share is at most the whole');
select throws_ok($$update public.occupancies set ownership_share = 0 where id = tests.id('Ana again')$$, '23514', null, 'and more than nothing');
select lives_ok($$update public.occupancies set ownership_share = 33.333333 where id = tests.id('Ana again')$$, 'a third can be written down');

-- Values -------------------------------------------------------------------------------------------------------------------

select throws_ok($$update public.occupancies set ends_on = starts_on - 1 where id = tests.id('Ana again')$$, '23514', null, 'nobody leaves before they come');
select throws_ok($$update public.residents set full_name = ' ' where id = tests.id('Ana')$$, '23514', null, 'a resident has a name');
select lives_ok($$update public.residents set full_name = v.name from (values ('Нг Ѝванова'), ('สมชาย ใจดี'), ('अनिता शर्मा'), ('Ng'), ('José Mª O’Neill-Łukasiewicz')) v (name) where id = tests.id('Ana')$$,
  'in any script');
select throws_ok($$insert into public.resident_details (community_id, resident_id, email) values (tests.id('Alder'), tests.id('Ana'), 'ana at home')$$, '23514', null, 'an address has the form of one');
select throws_ok($$insert into public.resident_details (community_id, resident_id, phone) values (tests.id('Alder'), tests.id('Ana'), 'ask Boris')$$, '23514', null, 'a telephone number has digits');
update public.residents set reference = 'R-1' where id = tests.id('Ana');
select throws_ok($$update public.residents set reference = 'R-1' where id = tests.id('Boris')$$, '23505', null, 'a reference tells two residents of a community apart');
select lives_ok($$update public.residents set reference = 'R-1' where id = tests.id('Cedric')$$, 'another community has its own');

-- Days -----------------------------------------------------------------------------------------------------------------------
-- Kiritimati is 14 hours ahead of UTC: its day is often tomorrow's.

create function pg_temp.status(unit text) returns text language sql as $$ select status::text from public.units where id = tests.id(unit) $$;
create function pg_temp.today() returns date language sql as $$ select (now() at time zone 'Pacific/Kiritimati')::date $$;

update public.occupancies set is_living_in = false where unit_id = tests.id('2');
select is(pg_temp.status('2'), 'vacant', 'a unit whose owner lives elsewhere is vacant');
select tests.occupy('Boris', '2', 'tenant', pg_temp.today(), pg_temp.today());
select is(pg_temp.status('2'), 'occupied', 'a unit is occupied from the tenant''s first day, in the community''s time zone');
update public.occupancies set starts_on = pg_temp.today() - 5, ends_on = pg_temp.today() - 1 where id = tests.id('Boris tenant 2');
select is(pg_temp.status('2'), 'vacant', 'and vacant after the last one');
update public.occupancies set ends_on = pg_temp.today() where id = tests.id('Boris tenant 2');
select is(pg_temp.status('2'), 'occupied', 'the last day is still a day');

-- A day passes without a write: the job notices.
set local session_replication_role = replica;
update public.occupancies set ends_on = pg_temp.today() - 1 where id = tests.id('Boris tenant 2');
set local session_replication_role = origin;
select ok(app.run_job('occupancy-dates'), '(the job of the night runs)');
select is(pg_temp.status('2'), 'vacant', 'who has moved out is moved out on the day after');
select results_eq(
  $$select payload ->> 'occupancy_id', payload ->> 'role' from app.outbox where topic = 'occupancy.ended' and payload ->> 'unit_id' = tests.id('2')::text$$,
  $$values (tests.id('Boris tenant 2')::text, 'tenant')$$, 'and it is told of');
select app.run_job('occupancy-dates');
select is((select count(*) from app.outbox where topic = 'occupancy.ended' and payload ->> 'unit_id' = tests.id('2')::text), 1::bigint, 'once');

-- Works --------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('guard');
select throws_ok($$select public.set_unit_maintenance(tests.id('1'), true)$$, 'PT403', 'permission_denied', 'a guard closes no unit for works');
select tests.authenticate_as('manager');
select public.set_unit_maintenance(tests.id('1'), true);
select tests.as_studio();
select is(pg_temp.status('1'), 'under_maintenance', 'a manager does');
select tests.occupy('Boris', '1', 'guest', pg_temp.today());
select is(pg_temp.status('1'), 'under_maintenance', 'and it stays closed, whoever comes and goes');
select public.set_unit_maintenance(tests.id('1'), false);
select is(pg_temp.status('1'), 'occupied', 'until it is opened, and is what its occupancies say');

select * from finish();
rollback;
