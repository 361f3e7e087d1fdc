-- Access points and booths: of one community, open in its hours, and closed where the management says so.

begin;
select plan(43);

select tests.create_community('Alder', time_zone => 'Europe/Sofia'), tests.create_community('Cedar');
select tests.create_supabase_user('manager'), tests.create_supabase_user('guard'), tests.create_supabase_user('ana'), tests.create_supabase_user('foreign'), tests.create_supabase_user('fired');
select tests.create_unit('1', 'Alder');
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.occupy('Ana', '1', 'owner', current_date - 10);
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'), tests.grant_role('foreign', 'manager', community => 'Cedar'),
  tests.grant_role('fired', 'manager', community => 'Alder');
select tests.keep('token_of_fired', tests.claims('fired'));
insert into public.buildings (id, name, community_id) values (tests.id('Tower'), 'Tower', tests.id('Alder')), (tests.id('Other tower'), 'Other tower', tests.id('Alder')),
  (tests.id('Cedar tower'), 'Cedar tower', tests.id('Cedar'));
insert into public.entrances (id, name, community_id, building_id) values (tests.id('Entrance'), 'Entrance', tests.id('Alder'), tests.id('Tower'));

-- Hours -------------------------------------------------------------------------------------------------------------------

select ok(app.are_hours(v::jsonb), v || ' are hours')
from unnest(array['[{"from": "07:00", "to": "22:00"}]', '[{"from": "22:00", "to": "06:00", "days": [5, 6]}]', '[{"from": "00:00", "to": "24:00", "days": [1]}]']) v;
select ok(not app.are_hours(v::jsonb), v || ' are not')
from unnest(array['{}', '[]', '[{"from": "07:00"}]', '[{"from": "7:00", "to": "22:00"}]', '[{"from": "07:00", "to": "25:00"}]', '[{"from": "07:00", "to": "07:00"}]', '["07:00"]',
  '[{"from": "07:00", "to": "22:00", "days": [8]}]', '[{"from": "07:00", "to": "22:00", "days": []}]', '[{"from": "07:00", "to": "22:00", "note": "x"}]',
  '[{"from": 7, "to": "22:00"}]']) v;
-- The 27th of November 2026 is a Friday.
select is(app.within_hours('[{"from": "07:00", "to": "22:00", "days": [1, 2, 3, 4, 5]}]', v.at), v.is_within, 'working hours, ' || v.at)
from (values (timestamp '2026-11-27 06:59:59', false), ('2026-11-27 07:00', true), ('2026-11-27 21:59:59', true), ('2026-11-27 22:00', false), ('2026-11-28 12:00', false)) v (at, is_within);
select is(app.within_hours('[{"from": "22:00", "to": "06:00", "days": [5]}]', v.at), v.is_within, 'the night that begins on Friday, ' || v.at)
from (values (timestamp '2026-11-27 05:00', false), ('2026-11-27 22:00', true), ('2026-11-28 05:59:59', true), ('2026-11-28 06:00', false), ('2026-11-28 23:00', false)) v (at, is_within);

-- Points ------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
insert into public.booths (id, name, community_id) values (tests.id('Booth'), 'Booth', tests.id('Alder'));
insert into public.access_points (id, name, community_id, booth_id, kind, open_hours) values
  (tests.id('Gate'), 'Gate', tests.id('Alder'), tests.id('Booth'), 'barrier', '[{"from": "07:00", "to": "22:00"}]');
select throws_ok($$insert into public.access_points (name, community_id, building_id, entrance_id, kind) values ('Door', tests.id('Alder'), tests.id('Other tower'), tests.id('Entrance'), 'door')$$,
  '23503', null, 'an entrance is of the point''s building');
select throws_ok($$insert into public.access_points (name, community_id, entrance_id, kind) values ('Door', tests.id('Alder'), tests.id('Entrance'), 'door')$$, '23514', null, 'and does not go without it');
select throws_ok($$insert into public.access_points (name, community_id, building_id, kind) values ('Door', tests.id('Alder'), tests.id('Cedar tower'), 'door')$$, '23503', null,
  'no point mixes two communities');
select throws_ok($$insert into public.access_points (name, community_id, kind) values ('Door', tests.id('Cedar'), 'door')$$, '42501', null, 'a manager sets up no gate of another community');
select throws_ok($$update public.access_points set status = 'out_of_service' where id = tests.id('Gate')$$, '42501', null, 'the state is not written past the RPC');
select lives_ok($$select public.set_access_point_status(tests.id('Gate'), 'out_of_service', 'The motor is broken')$$, 'the management takes a gate out of service');

select tests.authenticate_as('ana');
select is(tests.seen('public.access_points', 'status_reason'), 'The motor is broken', 'residents read why a gate does not open');
update public.access_points set name = 'Mine' where id = tests.id('Gate');
select throws_ok($$select public.set_access_point_status(tests.id('Gate'), 'in_service')$$, 'PT403', 'permission_denied', 'and do not put it into service');
select tests.authenticate_as('guard');
select throws_ok($$select public.set_access_point_status(tests.id('Gate'), 'in_service')$$, 'PT403', 'permission_denied', 'nor do guards');
select tests.authenticate_as('foreign');
select is(tests.seen('public.access_points', 'name') || ', ' || tests.seen('public.booths', 'name'), 'nothing, nothing', 'a manager of another community sees neither gate nor booth');
select throws_ok($$select public.set_access_point_status(tests.id('Gate'), 'in_service')$$, 'PT404', 'access_point_not_found', 'and finds nothing to put into service');
select tests.as_studio();
select public.revoke_role(m.id) from public.memberships m where m.user_id = tests.id('fired');
select tests.authenticate_with(tests.kept('token_of_fired')::jsonb);
select throws_ok($$select public.set_access_point_status(tests.id('Gate'), 'in_service')$$, 'PT404', 'access_point_not_found', 'nor does a fired administrator whose token still lives');

select tests.as_studio();
select is((select row(p.name, p.status, p.status_reason)::text from public.access_points p where p.id = tests.id('Gate')), '(Gate,out_of_service,"The motor is broken")',
  'all this left the gate as it was');
select is((select count(*) from app.outbox o where o.topic = 'access_point.out_of_service' and o.payload ->> 'access_point_id' = tests.id('Gate')::text), 1::bigint, 'who wants to know is told once');
select tests.authenticate_as('manager');
select public.set_access_point_status(tests.id('Gate'), 'in_service');
select tests.as_studio();
-- Clocks in Sofia are two hours ahead of UTC in winter.
select is(app.is_open_at(p, v.at), v.is_open, 'the gate, ' || v.at) from public.access_points p
cross join (values (timestamptz '2026-11-27 04:59:59Z', false), ('2026-11-27 05:00Z', true), ('2026-11-27 19:59:59Z', true), ('2026-11-27 20:00Z', false)) v (at, is_open)
where p.id = tests.id('Gate');
select throws_ok($$select public.archive('booths', tests.id('Booth'))$$, 'PT409', 'has_live_children', 'a booth that watches over a gate is not archived');

select * from finish();
rollback;
