-- Who comes by somebody goes with them: family, authorized persons, guests; minors; leases; moves.

begin;
select plan(87);

select tests.create_community('Alder', time_zone => 'Europe/Sofia'), tests.create_community('Cedar');
select tests.create_unit(u, 'Alder') from unnest(array['1', '2', '3', '4']) u;
select tests.create_unit('cedar 1', 'Cedar');
select tests.create_supabase_user(u), tests.create_resident(initcap(u), 'Alder', tests.email(u)) from unnest(array['olga', 'theo', 'nora', 'fay']) u;
select tests.create_supabase_user('manager'), tests.create_supabase_user('guard'), tests.create_supabase_user('cedar manager');
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'), tests.grant_role('cedar manager', 'manager', community => 'Cedar');

create function pg_temp.today() returns date language sql as $$ select (now() at time zone 'Europe/Sofia')::date $$;
create function pg_temp.stay(resident text, unit text) returns text language sql security definer as $$
  select string_agg(concat_ws(' ', o.role, o.starts_on - pg_temp.today(), case when o.deleted_at is not null then 'archived' else coalesce((o.ends_on - pg_temp.today())::text, 'open') end), ', ' order by o.starts_on)
  from public.occupancies o join public.residents r on r.id = o.resident_id where r.full_name = resident and o.unit_id = tests.id(unit)
$$;
create function pg_temp.occupancy(resident text) returns uuid language sql security definer as $$
  select o.id from public.occupancies o join public.residents r on r.id = o.resident_id where r.full_name = resident order by o.starts_on desc limit 1
$$;
grant execute on function pg_temp.today(), pg_temp.stay(text, text), pg_temp.occupancy(text) to authenticated;

-- Unit 1: Olga owns it, Theo rents it. Unit 2: Nora owns it and lives in it.
update public.units set settings = '{"general.household_size": 3}' where id = tests.id('2');
select tests.occupy('Olga', '1', 'owner', pg_temp.today() - 1000), tests.occupy('Theo', '1', 'tenant', pg_temp.today() - 100, pg_temp.today() + 100), tests.occupy('Nora', '2', 'owner', pg_temp.today() - 500);
update public.occupancies set is_living_in = false where id = tests.id('Olga owner 1');

-- Until a day ------------------------------------------------------------------------------------------------------------

select tests.occupy('Fay', '1', 'authorized'), tests.occupy('Fay', '2', 'guest');
select throws_ok($$update public.occupancies set ends_on = null where id = tests.id('Fay authorized 1')$$, '23514', null, 'who acts for a unit does so until a day');
select is((select o.ends_on from public.occupancies o where o.id = tests.id('Fay guest 2')), (pg_temp.today() + interval '1 year')::date, 'a year, where nobody says');
update public.occupancies set deleted_at = now() where resident_id = tests.id('Fay');

-- The own household ------------------------------------------------------------------------------------------------------

select tests.authenticate_as('theo');
select lives_ok($$select public.add_household_member(tests.id('1'), 'Theo''s Wife')$$, 'a tenant adds family to the rented unit');
select is(pg_temp.stay('Theo''s Wife', '1'), 'family 0 100', 'who stays as long as the tenant does');
select lives_ok($$select public.add_household_member(tests.id('1'), 'Theo''s Son', born_on => (pg_temp.today() - interval '9 years')::date)$$, 'children too');
select lives_ok($$select public.add_household_member(tests.id('1'), 'Theo''s Cleaner', 'authorized', ends_on => pg_temp.today() + 30)$$, 'and somebody who comes on the tenant''s behalf, until a day');
select lives_ok($$select public.add_household_member(tests.id('1'), 'Theo''s Agent', 'authorized', ends_on => pg_temp.today() + 200)$$, '(longer than the lease)');
select is(pg_temp.stay('Theo''s Agent', '1'), 'authorized 0 100', 'but not for longer than the tenant');
select throws_ok($$select public.add_household_member(tests.id('1'), 'X', 'authorized', ends_on => pg_temp.today() + 400)$$, 'PT422', 'invalid_period', 'nor than the management allows');
select throws_ok($$select public.add_household_member(tests.id('1'), 'X', 'family', starts_on => pg_temp.today() - 1)$$, 'PT422', 'invalid_period', 'nor in the past');
select throws_ok($$select public.add_household_member(tests.id('1'), 'X', 'tenant')$$, 'PT422', 'invalid_value', 'a tenant makes no tenants');
select throws_ok($$select public.add_household_member(tests.id('2'), 'X')$$, 'PT403', 'permission_denied', 'and puts nobody into the neighbour''s unit');
select throws_ok($$select public.add_household_member(tests.id('1'), 'X', host_id => tests.id('Olga'))$$, 'PT403', 'permission_denied', 'nor speaks for another');
select throws_ok($$select public.add_household_member(tests.id('1'), 'X', email => 'x@mail.example')$$, 'PT403', 'permission_denied', 'nor enters an address that would link an account');
select throws_ok(
  format($$select public.add_household_member(tests.id('1'), 'X', phone => %L)$$, number), 'PT403', 'permission_denied', 'nor a number that would: ' || number)
from unnest('{+359 88 555 0177,00359885550177}'::text[]) number;
select lives_ok($$select public.add_household_member(tests.id('1'), 'Theo''s Brother', phone => '088 555 0177')$$, 'one without the country''s code could be anybody''s and is entered');
select public.end_household_member(pg_temp.occupancy('Theo''s Brother'));
select tests.authenticate_as('olga');
select throws_ok($$select public.add_household_member(tests.id('1'), 'X')$$, 'PT409', 'unit_is_let', 'an owner puts nobody into a flat that is let');
select lives_ok($$select public.add_household_member(tests.id('1'), 'Olga''s Agent', 'authorized')$$, 'but may have an agent');
select throws_ok($$select public.end_household_member(pg_temp.occupancy('Theo''s Son'))$$, 'PT403', 'permission_denied', 'and does not end the tenant''s family');
select is(pg_temp.stay('Theo''s Son', '1'), 'family 0 100', '(who stay)');
select tests.authenticate_as('nora');
select throws_ok($$select public.end_household_member(pg_temp.occupancy('Theo''s Son'))$$, 'PT403', 'permission_denied', 'nor does a neighbour');
select public.add_household_member(tests.id('2'), 'N1'), public.add_household_member(tests.id('2'), 'N2'), public.add_household_member(tests.id('2'), 'N3', 'guest', ends_on => pg_temp.today() + 3);
select throws_ok($$select public.add_household_member(tests.id('2'), 'N4')$$, 'PT409', 'household_full', 'a household grows to a limit');
select is(public.end_household_member(pg_temp.occupancy('N3'), pg_temp.today() + 1), pg_temp.today() + 1, 'one''s own guest leaves earlier');
select tests.authenticate_as('guard');
select throws_ok($$select public.add_household_member(tests.id('2'), 'X')$$, 'PT403', 'permission_denied', 'a guard adds nobody');
select tests.authenticate_as('cedar manager');
select throws_ok($$select public.add_household_member(tests.id('2'), 'X')$$, 'PT403', 'permission_denied', 'nor does the manager of another community');

-- Minors -------------------------------------------------------------------------------------------------------------------

select tests.as_studio();
select is((select guardian_id from public.residents where full_name = 'Theo''s Son'), tests.id('Theo'), 'whoever adds a child is its guardian');
select tests.create_supabase_user('son');
update public.resident_details set email = tests.email('son') where resident_id = (select id from public.residents where full_name = 'Theo''s Son');
select is((select user_id from public.residents where full_name = 'Theo''s Son'), null, 'an account is not linked to a child, whatever the address');
select throws_ok($$update public.residents set user_id = tests.id('son') where full_name = 'Theo''s Son'$$, 'PT409', 'resident_is_minor', 'by nobody');
update public.resident_details set born_on = (pg_temp.today() - interval '17 years 364 days')::date where resident_id = tests.id('Fay');
select is((select user_id from public.residents where id = tests.id('Fay')), null, 'who turns out to be a child loses the link');
set local session_replication_role = replica;
update public.resident_details set adult_on = pg_temp.today() where resident_id in (tests.id('Fay'), (select id from public.residents where full_name = 'Theo''s Son'));
set local session_replication_role = origin;
select ok(app.run_job('coming-of-age'), '(a birthday later)');
select is((select string_agg(user_id::text, ' ' order by full_name) from public.residents where full_name in ('Fay', 'Theo''s Son')), tests.id('fay') || ' ' || tests.id('son'), 'on coming of age the account is linked');
select tests.authenticate_as('guard');
select is_empty($$select from public.resident_details$$, 'days of birth are details, which a guard does not see');

-- The host goes --------------------------------------------------------------------------------------------------------------

select tests.as_studio();
update public.occupancies set ends_on = pg_temp.today() + 300 where id = tests.id('Theo tenant 1');
select is(pg_temp.stay('Theo''s Wife', '1') || ', ' || pg_temp.stay('Theo''s Agent', '1'), 'family 0 300, authorized 0 100', 'family stays on with a tenant who does, whoever acts for them does not by itself');
update public.occupancies set ends_on = pg_temp.today() + 10 where id = tests.id('Theo tenant 1');
select is(pg_temp.stay('Theo''s Wife', '1') || ', ' || pg_temp.stay('Theo''s Cleaner', '1') || ', ' || pg_temp.stay('Olga''s Agent', '1'), 'family 0 10, authorized 0 10, authorized 0 ' || (pg_temp.today() + interval '1 year')::date - pg_temp.today(),
  'an end that anybody sets to a tenancy ends those who came by it, and nobody else');
select tests.create_resident('Hostless', 'Alder');
select tests.occupy('Hostless', '1', 'family');
select is(pg_temp.stay('Hostless', '1'), 'family 0 10', 'without a host named, family is the tenant''s where the unit is let');
select throws_ok($$insert into public.occupancies (community_id, unit_id, resident_id, role, host_id) values (tests.id('Alder'), tests.id('2'), tests.id('Hostless'), 'family', tests.id('Theo'))$$, 'PT422', 'host_not_here', 'nobody comes by somebody who is not there');

-- Moves ----------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select results_eq($$select full_name, role::text, change, ends_on - pg_temp.today() from public.move_out(tests.id('1'), pg_temp.today(), array[tests.id('Theo')], 'Notice given')$$,
  $$values ('Theo', 'tenant', 'moved_out', 0), ('Hostless', 'family', 'moved_out', 0), ('Theo''s Son', 'family', 'moved_out', 0), ('Theo''s Wife', 'family', 'moved_out', 0), ('Theo''s Agent', 'authorized', 'moved_out', 0), ('Theo''s Cleaner', 'authorized', 'moved_out', 0)$$,
  'who moves out takes along everybody who came by them, and the answer says whom');
select throws_ok($$select * from public.move_out(tests.id('1'), pg_temp.today(), array[tests.id('Theo')])$$, 'PT404', 'occupancy_not_found', 'nobody moves out twice');
select results_eq($$select full_name, role::text, change from public.move_in(tests.id('1'), '[{"full_name": "Tess"}, {"full_name": "Tim"}, {"full_name": "Tot", "role": "family", "host": 1, "born_on": "2020-05-05"}]', pg_temp.today() + 5)$$,
  $$values ('Tess', 'tenant', 'moved_in'), ('Tim', 'tenant', 'moved_in'), ('Tot', 'family', 'moved_in')$$, 'several move in at once');
select throws_ok($$select * from public.move_in(tests.id('1'), '[{"full_name": "Ok"}, {"full_name": "Bad", "role": "king"}]')$$, 'PT422', 'invalid_people', 'all of them or none');
select throws_ok($$select * from public.move_in(tests.id('1'), '[{"full_name": "Late", "ends_on": "2001-01-01"}]')$$, 'PT422', 'invalid_people', 'nobody moves out before moving in');
select throws_ok($$select * from public.move_in(tests.id('1'), jsonb_build_array(jsonb_build_object('resident_id', tests.id('Nora'), 'role', 'owner')))$$, 'PT422', 'not_an_owner', 'and nobody becomes an owner by moving in');
select is_empty($$select from public.residents where full_name in ('Ok', 'Bad', 'Late')$$, '(nobody was entered)');
select is((select string_agg(full_name || ' ' || change, ', ' order by full_name) from public.move_out(tests.id('1'), pg_temp.today() + 1)), 'Olga''s Agent moved_out, Tess cancelled, Tim cancelled, Tot cancelled', 'everybody but the owners leaves, and who was to come does not');
select is((select string_agg(change, ', ') from public.move_out(tests.id('2'), pg_temp.today(), array[tests.id('Nora')])), 'lives_elsewhere, moved_out, moved_out, moved_out', 'an owner who moves out still owns');
select tests.authenticate_as('guard');
select throws_ok($$select * from public.move_out(tests.id('2'))$$, 'PT403', 'permission_denied', 'a guard moves nobody out');

-- Leases ---------------------------------------------------------------------------------------------------------------------

select tests.as_studio();
select tests.occupy('Theo', '3', 'tenant', pg_temp.today() - 50);
select tests.authenticate_as('manager');
select throws_ok($$select public.sign_lease(tests.id('3'), pg_temp.today(), '[{"full_name": "Xavier"}]')$$, 'PT409', 'lease_overlap', 'a unit that is let is not let to others');
select throws_ok($$select public.sign_lease(tests.id('3'), pg_temp.today(), '[{"full_name": "Xavier"}]', pg_temp.today() - 1)$$, 'PT422', 'invalid_period', 'a lease does not end before it begins');
select throws_ok($$select public.sign_lease(tests.id('cedar 1'), pg_temp.today(), '[{"full_name": "Xavier"}]')$$, 'PT403', 'permission_denied', 'nor is a unit of another community let');
select tests.keep('lease', public.sign_lease(tests.id('3'), pg_temp.today(), jsonb_build_array(jsonb_build_object('resident_id', tests.id('Theo')), jsonb_build_object('full_name', 'Flatmate')), pg_temp.today() + 30, 'L-1', 700));
select is(pg_temp.stay('Theo', '3') || ', ' || pg_temp.stay('Flatmate', '3'), 'tenant -50 30, tenant 0 30', 'who rents already goes on under the contract, together with who joins');
select throws_ok($$select public.sign_lease(tests.id('3'), pg_temp.today() + 30, '[{"full_name": "Xavier"}]')$$, 'PT409', 'lease_overlap', 'the last day counts');
select lives_ok($$select public.sign_lease(tests.id('3'), pg_temp.today() + 100, '[{"full_name": "Next"}]', reference => 'L-2')$$, 'who comes later comes later');
select throws_ok($$select * from public.move_in(tests.id('3'), '[{"full_name": "Xavier"}]')$$, 'PT409', 'lease_overlap', 'nobody rents beside a contract without being in it');
select throws_ok($$select public.extend_lease(tests.kept('lease')::uuid, pg_temp.today() + 100)$$, 'PT409', 'lease_overlap', 'nor is it prolonged into the next one');
select is((select tenants || ' ' || days_left from public.expiring_leases), 'Flatmate, Theo 30', 'what runs out soon is listed');
select tests.as_studio();
select app.run_job('lease-reminders'), app.run_job('lease-reminders');
select is((select count(*) from app.outbox where topic = 'lease.expiring' and community_id = tests.id('Alder')), 1::bigint, 'and told of once');
select tests.authenticate_as('theo');
select is(tests.seen('public.leases', 'reference'), 'L-1', 'a tenant sees the own contract, not the next one''s');
select tests.authenticate_as('guard');
select is(tests.seen('public.leases', 'reference'), 'nothing', 'a guard sees none');
select tests.authenticate_as('manager');
select public.extend_lease(tests.kept('lease')::uuid, pg_temp.today() + 60);
select is(pg_temp.stay('Theo', '3'), 'tenant -50 60', 'a contract is prolonged with its tenants');
select lives_ok($$select public.end_lease(tests.kept('lease')::uuid, pg_temp.today() + 7, 'Both agreed')$$, '(and ended early)');
select is(pg_temp.stay('Theo', '3') || ', ' || pg_temp.stay('Flatmate', '3'), 'tenant -50 7, tenant 0 7', 'with its tenants');
select tests.as_studio();
select is((select string_agg(number || coalesce(' ' || last_lived_in_on - pg_temp.today(), ''), ', ' order by number) from public.vacant_units where community_id = tests.id('Alder')), '4', 'the units in which nobody lives are listed');
select throws_ok($$insert into public.occupancies (community_id, unit_id, resident_id, role, lease_id) values (tests.id('Alder'), tests.id('4'), tests.id('Nora'), 'tenant', tests.kept('lease')::uuid)$$, '23503', null, 'a contract is of its own unit');

-- Who lived there when -------------------------------------------------------------------------------------------------------

select tests.create_unit('5', 'Alder'), tests.create_resident('Vera', 'Alder'), tests.create_resident('Vera again', 'Alder');
create function pg_temp.living(days_ago integer) returns text language sql as $$
  select coalesce(string_agg(full_name, ' ' order by full_name), 'nobody') from public.unit_occupants_on(tests.id('5'), pg_temp.today() - days_ago)
$$;
create function pg_temp.status() returns text language sql as $$ select status::text from public.units where id = tests.id('5') $$;
grant execute on function pg_temp.living(integer), pg_temp.status() to authenticated;
select tests.occupy('Vera', '5', 'owner', pg_temp.today() - 1000);
select tests.authenticate_as('manager');
select public.move_out(tests.id('5'), pg_temp.today() - 400, array[tests.id('Vera')]);
select is(pg_temp.living(400) || ', ' || pg_temp.living(399) || ', ' || pg_temp.living(0), 'Vera, nobody, nobody', 'an owner who moved out lived there up to the last day, and is not forgotten');
select is((select pg_temp.today() - last_lived_in_on from public.vacant_units where unit_id = tests.id('5')), 400, 'since when the unit is vacant is known');
select public.move_in(tests.id('5'), jsonb_build_array(jsonb_build_object('resident_id', tests.id('Vera'), 'role', 'owner')), pg_temp.today() - 100);
select is(pg_temp.living(400) || ', ' || pg_temp.living(101) || ', ' || pg_temp.living(100) || ', ' || pg_temp.living(0), 'Vera, nobody, Vera, Vera', 'who comes back lived there twice');
select is((select ends_on from public.occupancies where id = tests.id('Vera owner 5')), null, '(and owned all along)');
update public.occupancies set is_living_in = false where id = tests.id('Vera owner 5');
select is(pg_temp.living(1) || ', ' || pg_temp.living(0) || ', ' || pg_temp.status(), 'Vera, nobody, vacant', 'a mark that is changed by hand counts from today on');
update public.occupancies set is_living_in = true where id = tests.id('Vera owner 5');
select is(pg_temp.living(0) || ', ' || pg_temp.living(101), 'Vera, nobody', 'both ways');
select throws_ok($$select public.move_out(tests.id('5'), pg_temp.today() + 1, array[tests.id('Vera')])$$, 'PT422', 'invalid_period', 'an owner does not move out on a day to come');
select public.move_out(tests.id('5'), pg_temp.today(), array[tests.id('Vera')]);
select is(pg_temp.living(0) || ', ' || pg_temp.living(-1) || ', ' || pg_temp.status(), 'Vera, nobody, occupied', 'the last day is still a day');
select is((select living_in from public.units_overview where unit_id = tests.id('5')), 'Vera (owner)', 'in the overview too');
select tests.as_studio();
set local session_replication_role = replica;
update public.occupancies set days_lived_in = days_lived_in - datemultirange(daterange(pg_temp.today() - 1, null)) where id = tests.id('Vera owner 5');
set local session_replication_role = origin;
select ok(app.run_job('occupancy-dates'), '(a day later)');
select is(pg_temp.status(), 'vacant', 'the unit is vacant when a day has passed');
select throws_ok($$update public.occupancies set is_living_in = true, days_lived_in = '{[2020-01-01,2020-02-01)}' where id = tests.id('Vera owner 5'); set local session_replication_role = replica; update public.occupancies set is_living_in = true where id = tests.id('Vera owner 5')$$,
  '23514', null, 'the mark and the days cannot disagree');
set local session_replication_role = origin;

-- Two records of one owner, one of them lived there until 300 days ago and the other from 50 days ago on.
select tests.create_unit('6', 'Alder');
insert into public.occupancies (community_id, unit_id, resident_id, role, ownership_share, starts_on, ends_on, is_living_in)
values (tests.id('Alder'), tests.id('6'), tests.id('Vera'), 'owner', 50, pg_temp.today() - 900, null, false), (tests.id('Alder'), tests.id('6'), tests.id('Vera again'), 'owner', 50, pg_temp.today() - 900, null, true);
update public.occupancies set days_lived_in = daterange(null, pg_temp.today() - 300)::datemultirange where unit_id = tests.id('6') and resident_id = tests.id('Vera');
update public.occupancies set days_lived_in = daterange(pg_temp.today() - 50, null)::datemultirange where unit_id = tests.id('6') and resident_id = tests.id('Vera again');
select tests.authenticate_as('manager');
select public.merge_residents(tests.id('Vera'), tests.id('Vera again'), 'Entered twice');
create function pg_temp.lived(days_ago integer) returns bigint language sql as $$ select count(*) from public.unit_occupants_on(tests.id('6'), pg_temp.today() - days_ago) $$;
select is(array[pg_temp.lived(901), pg_temp.lived(900), pg_temp.lived(301), pg_temp.lived(300), pg_temp.lived(51), pg_temp.lived(50), pg_temp.lived(0)], array[0, 1, 1, 0, 0, 1, 1]::bigint[],
  'of two records that are merged, who lived there when is that of both');
select is((select string_agg(is_living_in::text || trim_scale(ownership_share), ' ') from public.occupancies where unit_id = tests.id('6') and deleted_at is null), 'true100', 'in one row');
select tests.authenticate_as('theo');
select is(pg_temp.living(500), 'nobody', 'a neighbour is told of nobody''s past');
select tests.authenticate_as('cedar manager');
select is(pg_temp.living(500), 'nobody', 'nor is the manager of another community');

-- A household stays together when its host turns out to be entered twice ------------------------------------------------------

select tests.as_studio();
select tests.create_unit(u, 'Alder') from unnest(array['7', '8']) u;
select tests.create_resident(r, 'Alder') from unnest(array['Hal', 'Hal again', 'Wife', 'Cleaner', 'Guest', 'Gone']) r;
select tests.occupy('Hal', '7', 'tenant', pg_temp.today() - 100, pg_temp.today() + 300), tests.occupy('Hal again', '7', 'tenant', pg_temp.today() - 50, pg_temp.today() + 100),
  tests.occupy('Hal again', '8', 'owner', pg_temp.today() - 50);
insert into public.occupancies (community_id, unit_id, resident_id, role, host_id, starts_on, ends_on)
select tests.id('Alder'), tests.id(h.unit), tests.id(h.resident), h.role::public.occupancy_role, tests.id('Hal again'), pg_temp.today() - 40, pg_temp.today() + h.days
from (values ('7', 'Wife', 'family', 100), ('7', 'Cleaner', 'authorized', 30), ('8', 'Guest', 'guest', 3)) h (unit, resident, role, days);
insert into public.occupancies (community_id, unit_id, resident_id, role, host_id, starts_on, ends_on)
values (tests.id('Alder'), tests.id('7'), tests.id('Gone'), 'guest', tests.id('Hal again'), pg_temp.today() - 40, pg_temp.today() - 35);
create function pg_temp.household(unit text) returns text language sql as $$
  select string_agg(concat_ws(' ', r.full_name, o.role, o.starts_on - pg_temp.today(), coalesce((o.ends_on - pg_temp.today())::text, 'open'), 'by ' || h.full_name), ', ' order by r.full_name)
  from public.occupancies o join public.residents r on r.id = o.resident_id left join public.residents h on h.id = o.host_id
  where o.unit_id = tests.id(unit) and o.deleted_at is null
$$;
grant execute on function pg_temp.household(text) to authenticated;
select is(pg_temp.household('7'), 'Cleaner authorized -40 30 by Hal again, Gone guest -40 -35 by Hal again, Hal tenant -100 300, Hal again tenant -50 100, Wife family -40 100 by Hal again', '(as it was entered)');
select tests.authenticate_as('manager');
select is(public.merge_residents(tests.id('Hal'), tests.id('Hal again'), 'Entered twice') ->> 'changed', 'true', '(the host is merged)');
select is(pg_temp.household('7'), 'Cleaner authorized -40 30 by Hal, Gone guest -40 -35 by Hal, Hal tenant -100 300, Wife family -40 100 by Hal', 'whoever came by the duplicate comes by the one who stays, and nobody leaves');
select is(pg_temp.household('8'), 'Guest guest -40 3 by Hal, Hal owner -50 open', 'in the other unit too');
select tests.as_studio();
select is((select count(*) from public.occupancies where host_id = tests.id('Hal again') and deleted_at is null), 0::bigint, 'nothing live names the duplicate as host');
select is(coalesce(current_setting('app.hosts_wait', true), ''), '', 'and households follow their hosts again');
update public.occupancies set ends_on = pg_temp.today() + 5 where unit_id = tests.id('7') and resident_id = tests.id('Hal');
select is(pg_temp.household('7'), 'Cleaner authorized -40 5 by Hal, Gone guest -40 -35 by Hal, Hal tenant -100 5, Wife family -40 5 by Hal', 'the end of the one ends theirs');

select * from finish();
rollback;
