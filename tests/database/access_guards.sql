-- Guards and shifts: nobody on two shifts at once, a booth addressed by its shift, and what is over as it was.

begin;
select plan(67);

select tests.create_community('Alder', time_zone => 'Europe/Sofia'), tests.create_community('Cedar');
select tests.create_supabase_user('manager'), tests.create_supabase_user('georgi'), tests.create_supabase_user('stefan'), tests.create_supabase_user('ana'), tests.create_supabase_user('foreign');
select tests.create_unit('1', 'Alder');
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.occupy('Ana', '1', 'owner', current_date - 10);
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('georgi', 'guard', community => 'Alder'), tests.grant_role('stefan', 'guard', community => 'Alder'),
  tests.grant_role('foreign', 'manager', community => 'Cedar');
insert into public.booths (id, name, community_id) values (tests.id('Booth'), 'Booth', tests.id('Alder')), (tests.id('Lobby'), 'Lobby', tests.id('Alder')), (tests.id('Cedar booth'), 'Cedar booth', tests.id('Cedar'));
insert into public.access_points (id, name, community_id, booth_id, kind) values
  (tests.id('Gate'), 'Gate', tests.id('Alder'), tests.id('Booth'), 'gate'), (tests.id('Door'), 'Door', tests.id('Alder'), tests.id('Lobby'), 'door'), (tests.id('Side door'), 'Side door', tests.id('Alder'), null, 'door');
insert into public.guards (id, full_name, community_id) values (tests.id('Cedar guard'), 'Cedar guard', tests.id('Cedar'));

-- Guards ------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
insert into public.guards (id, full_name, community_id, employee_number, license_number, license_expires_on) values
  (tests.id('Georgi'), 'Georgi', tests.id('Alder'), '17', 'L-17', current_date + 30),
  (tests.id('Stefan'), 'Stefan', tests.id('Alder'), '18', null, null);
select throws_ok($$insert into public.guards (full_name, community_id, employee_number) values ('Third', tests.id('Alder'), '17')$$, '23505', null, 'two guards have two employee numbers');
select throws_ok($$insert into public.guards (full_name, community_id, user_id) values ('Third', tests.id('Alder'), tests.id('ana'))$$, '42501', null, 'nobody is linked past the RPC');
select lives_ok($$select public.set_guard_user(tests.id('Georgi'), tests.id('georgi')), public.set_guard_user(tests.id('Stefan'), tests.id('stefan'))$$, 'guards are linked to users with a role in the community');
select throws_ok($$select public.set_guard_user(tests.id('Stefan'), tests.id('foreign'))$$, 'PT409', 'not_a_member', 'not to those without one');
select throws_ok($$select public.set_guard_user(tests.id('Stefan'), tests.id('georgi'))$$, 'PT409', 'user_taken', 'and a user to one guard');
select throws_ok($$select public.set_guard_user(tests.id('Cedar guard'), tests.id('georgi'))$$, 'PT404', 'guard_not_found', 'guards of another community are not there');
select tests.authenticate_as('ana');
select is(concat_ws(', ', tests.seen('public.guards', 'full_name'), tests.seen('public.shifts', 'name'), tests.seen('public.shift_assignments', 'shift_id')), 'nothing, nothing, nothing', 'residents see neither guards nor shifts');
select throws_ok($$select public.set_guard_status(tests.id('Georgi'), 'left')$$, 'PT404', 'guard_not_found', 'and dismiss nobody');

-- Planning ----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select tests.keep('now', public.plan_shift(tests.id('Booth'), 'Now', now() - interval '1 hour', now() + interval '7 hours', guard_ids => array[tests.id('Georgi')]));
select tests.keep('next', public.plan_shift(tests.id('Booth'), 'Next', now() + interval '7 hours', now() + interval '15 hours', 2));
select tests.keep('lobby', public.plan_shift(tests.id('Lobby'), 'Lobby', now() - interval '2 hours', now() + interval '2 hours'));
select throws_ok($$select public.plan_shift(tests.id('Booth'), 'Now', now() - interval '1 hour', now() + interval '5 hours')$$, 'PT409', 'shift_planned', 'one shift is planned once');
select throws_ok($$select public.plan_shift(tests.id('Booth'), 'Long', now(), now() + interval '26 hours')$$, 'PT422', 'invalid_value', 'none is longer than a day');
select throws_ok($$select public.plan_shift(tests.id('Booth'), 'Odd', now() + interval '2 hours', now() + interval '1 hour')$$, 'PT422', 'invalid_value', 'or ends before it begins');
select throws_ok($$select public.plan_shift(tests.id('Booth'), 'Odd', now(), now() + interval '1 hour', 0)$$, 'PT422', 'invalid_value', 'or takes nobody');
select throws_ok($$select public.plan_shift(tests.id('Booth'), 'Odd', now(), now() + interval '1 hour', 100000)$$, 'PT422', 'invalid_value', 'or an army');
select throws_ok($$select public.plan_shift(tests.id('Booth'), 'Past', now() - interval '2 hours', now() - interval '1 hour')$$, 'PT409', 'shift_over', 'none is planned when it is over');
select throws_ok($$select public.plan_shift(tests.id('Cedar booth'), 'Spy', now(), now() + interval '1 hour')$$, 'PT404', 'booth_not_found', 'nor for a booth of others');
select throws_ok($$select public.plan_shift(tests.id('Booth'), 'Mixed', now(), now() + interval '1 hour', guard_ids => array[tests.id('Cedar guard')])$$, 'PT404', 'guard_not_found', 'nor with guards of others');
select throws_ok($$select public.plan_shift(tests.id('Lobby'), 'Twice', now(), now() + interval '1 hour', guard_ids => array[tests.id('Stefan'), tests.id('Georgi')])$$, 'PT409', 'guard_busy', 'nor with a guard who is elsewhere');
select is(tests.seen('public.shifts', 'name'), 'Lobby, Next, Now', 'what was refused left no shift behind');
select throws_ok($$insert into public.shifts (name, community_id, booth_id, starts_at, ends_at) values ('X', tests.id('Alder'), tests.id('Booth'), now(), now() + interval '1 hour')$$, '42501', null, 'nobody plans past the RPC');
select throws_ok($$insert into public.shift_assignments (community_id, shift_id, guard_id, starts_at, ends_at) select s.community_id, s.id, tests.id('Stefan'), s.starts_at, s.ends_at from public.shifts s limit 1$$, '42501', null, 'or assigns');

-- Clocks go back in Sofia on the last Sunday of October 2027, the 31st, and forward on the 26th of March 2028.
select is(public.plan_shifts(tests.id('Booth'), 'Night', '2032-10-29', '2032-10-31', '22:00', '06:00', weekdays => '{5,6,7}', guard_ids => array[tests.id('Stefan')]), 3, 'a rota is planned in one call');
select is((select string_agg((s.ends_at - s.starts_at)::text, ' ' order by s.starts_at) from public.shifts s where s.name = 'Night'), '08:00:00 09:00:00 08:00:00', 'by the clocks on the wall: one night is an hour longer');
select is(public.plan_shifts(tests.id('Booth'), 'Night', '2032-10-28', '2032-10-31', '22:00', '06:00'), 1, 'what is planned already stays');
select is(public.plan_shifts(tests.id('Booth'), 'Round the clock', '2032-10-30', '2032-10-30', '08:00', '08:00'), 1, 'a day''s shift may span the change of clocks');
select is(public.plan_shifts(tests.id('Booth'), 'Over', '2020-01-01', '2020-01-05', '08:00', '16:00'), 0, 'days that are over are left out');
select throws_ok($$select public.plan_shifts(tests.id('Booth'), 'X', '2032-01-01', '2033-12-31', '08:00', '16:00')$$, 'PT422', 'invalid_value', 'a rota is a year long at most');
select throws_ok($$select public.plan_shifts(tests.id('Booth'), 'X', '2032-01-01', '2032-01-02', '08:00', '16:00', weekdays => '{0}')$$, 'PT422', 'invalid_value', 'weekdays count from 1');
select throws_ok($$select public.plan_shifts(tests.id('Lobby'), 'X', '2032-10-29', '2032-10-31', '20:00', '23:00', guard_ids => array[tests.id('Stefan')])$$, 'PT409', 'guard_busy', 'and no guard is on two rotas');
select is((select count(*) from public.shifts s where s.name = 'X'), 0::bigint, 'of which nothing is left');

-- Assigning ---------------------------------------------------------------------------------------------------------------

select tests.keep('assigned', public.assign_guard(tests.kept('next')::uuid, tests.id('Stefan')));
select is(public.assign_guard(tests.kept('next')::uuid, tests.id('Stefan')), tests.kept('assigned')::uuid, 'assigning again is answered with the same assignment');
select lives_ok(format($$select public.assign_guard(%L, tests.id('Georgi'))$$, tests.kept('next')), 'one shift may follow the other at once');
select throws_ok(format($$select public.assign_guard(%L, tests.id('Georgi'))$$, tests.kept('lobby')), 'PT409', 'guard_busy', 'no guard is on two shifts at once');
select throws_ok(format($$select public.assign_guard(%L, null)$$, tests.kept('lobby')), 'PT404', 'guard_not_found', 'nobody is no guard');
select throws_ok($$select public.assign_guard(s.id, tests.id('Georgi')) from public.shifts s where s.name = 'Round the clock'$$, 'PT409', 'license_expired', 'nor is one assigned whose licence will have ended');
select throws_ok(format($$select public.move_shift(%L, now() + interval '6 hours', now() + interval '12 hours')$$, tests.kept('next')), 'PT409', 'guard_busy', 'a shift does not move into another of its guards');
select lives_ok(format($$select public.move_shift(%L, now() + interval '8 hours', now() + interval '16 hours')$$, tests.kept('next')), 'it moves where they are free');
select is((select bool_and(a.starts_at = now() + interval '8 hours' and a.ends_at = now() + interval '16 hours') from public.shift_assignments a where a.shift_id = tests.kept('next')::uuid), true, 'and takes them along');
select is(public.unassign_guard(tests.kept('next')::uuid, tests.id('Georgi')), true, 'a guard is taken off a shift');
select is(public.unassign_guard(tests.kept('next')::uuid, tests.id('Georgi')), false, 'once');
select tests.authenticate_as('georgi');
select throws_ok(format($$select public.assign_guard(%L, tests.id('Georgi'))$$, tests.kept('next')), 'PT403', 'permission_denied', 'a guard assigns nobody');
select throws_ok(format($$select public.unassign_guard(%L, tests.id('Stefan'))$$, tests.kept('next')), 'PT403', 'permission_denied', 'and takes nobody off');
select tests.as_studio();
select throws_ok($$insert into public.shift_assignments (community_id, shift_id, guard_id, starts_at, ends_at) select s.community_id, s.id, tests.id('Georgi'), s.starts_at, s.ends_at from public.shifts s where s.id = tests.kept('lobby')::uuid$$,
  '23P01', null, 'not even in SQL is a guard on two shifts at once');
select throws_ok($$insert into public.shift_assignments (community_id, shift_id, guard_id, starts_at, ends_at) select s.community_id, s.id, tests.id('Georgi'), s.starts_at + interval '1 day', s.ends_at + interval '1 day' from public.shifts s where s.id = tests.kept('lobby')::uuid$$,
  '23503', null, 'nor at other times than the shift''s');

-- On duty -----------------------------------------------------------------------------------------------------------------

select is(app.shift_at(tests.id('Alder'), tests.id(v.point), tests.id(v.guard), now() + v.later), tests.kept(v.shift)::uuid, v.what)
from (values
  ('Gate', null, interval '0', 'now', 'what a reader decides belongs to the shift on duty at its booth'),
  ('Door', null, '0', 'lobby', 'at every booth its own'),
  ('Door', 'georgi', '0', 'now', 'what a guard decides belongs to the guard''s shift, wherever that is'),
  ('Gate', 'stefan', '0', 'now', 'that of one who is off duty to the booth''s'),
  ('Gate', null, '9 hours', 'next', 'and later to the next')
) v (point, guard, later, shift, what);
select is(app.shift_at(tests.id('Alder'), tests.id('Side door'), null, now()), null, 'a door without a booth has none');
select is(app.shift_at(tests.id('Alder'), tests.id('Gate'), null, now() + interval '7 hours 30 minutes'), null, 'nor has an empty booth');
select tests.authenticate_as('georgi');
select is((select string_agg(d.shift_name || ' ' || d.guard_name, ', ') from public.booth_on_duty(tests.id('Booth')) d), 'Now Georgi', 'a guard sees who is on duty');
select is((select array_agg(s::text) from app.my_shifts() s), array[tests.kept('now')], 'a guard''s shifts are those that have begun');
select tests.authenticate_as('stefan');
select is((select count(*) from app.my_shifts()), 0::bigint, 'not those to come');
select tests.authenticate_as('ana');
select is((select count(*) from public.booth_on_duty(tests.id('Booth'))), 0::bigint, 'residents are not told who is on duty');

-- Over --------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select is(public.set_guard_status(tests.id('Stefan'), 'suspended', 'Slept'), 4, 'whoever is suspended is taken off the shifts to come');
select throws_ok(format($$select public.assign_guard(%L, tests.id('Stefan'))$$, tests.kept('next')), 'PT409', 'guard_not_active', 'and put on none');
select is(public.set_guard_status(tests.id('Georgi'), 'left'), 0, 'whoever leaves during a shift was on it');
select tests.authenticate_as('georgi');
select is((select count(*) from app.my_shifts()), 0::bigint, 'but reads nothing by it any more');
select tests.as_studio();
set local session_replication_role = replica;
update public.shifts set starts_at = now() - interval '9 hours', ends_at = now() - interval '1 hour' where id = tests.kept('now')::uuid;
update public.shift_assignments set starts_at = now() - interval '9 hours', ends_at = now() - interval '1 hour' where shift_id = tests.kept('now')::uuid;
set local session_replication_role = origin;
select tests.authenticate_as('manager');
select throws_ok(format($$select public.unassign_guard(%L, tests.id('Georgi'))$$, tests.kept('now')), 'PT409', 'shift_over', 'who was on a shift that is over stays on record');
select throws_ok(format($$select public.move_shift(%L, now(), now() + interval '1 hour')$$, tests.kept('now')), 'PT409', 'shift_over', 'and it does not move');
select throws_ok($$select public.archive('booths', tests.id('Booth'))$$, 'PT409', 'has_live_children', 'a booth with shifts to come is not archived');
select is(public.archive('shifts', tests.kept('lobby')::uuid) ->> 'changed', 'true', 'a shift is called off');
select throws_ok(format($$select public.assign_guard(%L, tests.id('Georgi'))$$, tests.kept('lobby')), 'PT404', 'shift_not_found', 'and nobody assigned to it');

-- Gone --------------------------------------------------------------------------------------------------------------------

insert into public.guards (id, full_name, community_id, phone, license_number, license_expires_on) values (tests.id('Boris'), 'Boris', tests.id('Alder'), '+359 88 555 0177', 'L-1', '2099-12-31');
select public.plan_shift(tests.id('Booth'), 'Boris', now() + interval '1 day', now() + interval '30 hours', guard_ids => array[tests.id('Boris')]);
select throws_ok($$select public.archive('guards', tests.id('Boris'))$$, 'PT409', 'has_live_children', 'a guard with shifts to come is not archived');
select public.set_guard_status(tests.id('Boris'), 'left');
select is(public.archive('guards', tests.id('Boris')) ->> 'changed', 'true', 'one without is');
select tests.as_studio();
update public.guards set phone = '+359 88 555 0178', license_number = 'L-18', license_expires_on = '2099-12-31' where id = tests.id('Stefan');
select lives_ok($$select app.erase_account(tests.id('stefan'), 'Asked for it')$$, 'the account of a guard is erased');
select is((select row(g.full_name, g.user_id, g.phone, g.license_number, g.license_expires_on, g.employee_number)::text from public.guards g where g.id = tests.id('Stefan')), '(Stefan,,,,,)',
  'of the record the name remains, because who was on duty answers for it');

select * from finish();
rollback;
