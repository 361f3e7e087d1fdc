-- Invitations of visitors: what each kind needs, whom they depend on, who sees them, when they count.

begin;
select plan(107);

select tests.create_community('Alder'), tests.create_community('Cedar'), tests.create_community('Sofia', time_zone => 'Europe/Sofia');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_unit('9', 'Cedar'), tests.create_unit('5', 'Sofia');
select tests.create_supabase_user(u) from unnest(array['ana', 'agent', 'tom', 'fay', 'paul', 'nina', 'manager', 'guard', 'stranger', 'sofi']) u;
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.create_resident('Agent', 'Alder', tests.email('agent')), tests.create_resident('Tom', 'Alder', tests.email('tom')),
  tests.create_resident('Fay', 'Alder', tests.email('fay')), tests.create_resident('Paul', 'Alder', tests.email('paul')), tests.create_resident('Nina', 'Alder', tests.email('nina')),
  tests.create_resident('Cedric', 'Cedar'), tests.create_resident('Sofi', 'Sofia', tests.email('sofi'));
-- Unit 1 is Ana's, who has let it to Tom since a fortnight; Fay is Tom's family, the agent acts for Ana; Paul rented it before.
select tests.occupy('Ana', '1', 'owner', current_date - 900), tests.occupy('Agent', '1', 'authorized', current_date - 30, current_date + 300),
  tests.occupy('Paul', '1', 'tenant', current_date - 300, current_date + 30), tests.occupy('Nina', '2', 'owner', current_date - 100), tests.occupy('Cedric', '9', 'owner', current_date - 100),
  tests.occupy('Sofi', '5', 'owner', date '2024-01-01');
update public.occupancies set host_id = tests.id('Ana') where resident_id = tests.id('Agent');
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'), tests.grant_role('stranger', 'manager', community => 'Cedar');
insert into public.access_points (id, name, community_id, kind) values
  (tests.id('gate'), 'Gate', tests.id('Alder'), 'gate'), (tests.id('garage'), 'Garage', tests.id('Alder'), 'barrier'), (tests.id('far gate'), 'Gate', tests.id('Cedar'), 'gate');

create function pg_temp.problem(invitation text, moment timestamptz default now(), point text default null) returns text language sql as
$$ select coalesce(app.invitation_problem(tests.kept(invitation)::uuid, tests.id(point), moment), 'none') $$;
create function pg_temp.invite(unit text, visitor text) returns uuid language sql as
$$ select public.invite_visitor('single', now() + interval '1 day', unit_id => tests.id(unit), visitor_name => visitor) $$;
grant execute on function pg_temp.invite(text, text) to authenticated;

-- What each kind needs ------------------------------------------------------------------------------------------------------

select throws_ok(
  format($$insert into public.visitor_invitations (community_id, unit_id, kind, starts_at, ends_at, max_entries, visitor_name, title, guest_limit, recurrence, daily_from, daily_until, plate, provider_name)
    select tests.id('Alder'), tests.id('1'), (g).kind, now(), now() + interval '1 day', (g).max_entries, (g).visitor_name, (g).title, (g).guest_limit, (g).recurrence, (g).daily_from, (g).daily_until, (g).plate, (g).provider_name
    from jsonb_populate_record(null::public.visitor_invitations, %L) g$$, given),
  '23514', null, sentence)
from (values
  ('{"kind": "single", "max_entries": 1}', 'a single visitor has a name'),
  ('{"kind": "single", "visitor_name": "Vera"}', 'and comes a number of times'),
  ('{"kind": "event", "title": "Birthday"}', 'an event has a number of places'),
  ('{"kind": "event", "guest_limit": 10}', 'and a title'),
  ('{"kind": "event", "title": "Birthday", "guest_limit": 10, "recurrence": "FREQ=DAILY", "daily_from": "08:00", "daily_until": "09:00"}', 'and no rule'),
  ('{"kind": "recurring", "visitor_name": "Vera", "daily_from": "08:00", "daily_until": "09:00"}', 'who comes again and again does so by a rule'),
  ('{"kind": "recurring", "visitor_name": "Vera", "recurrence": "FREQ=DAILY"}', 'at hours'),
  ('{"kind": "recurring", "visitor_name": "Vera", "recurrence": "FREQ=DAILY", "daily_from": "08:00"}', 'that end'),
  ('{"kind": "recurring", "visitor_name": "Vera", "recurrence": "every day", "daily_from": "08:00", "daily_until": "09:00"}', 'by a rule that is one'),
  ('{"kind": "recurring", "recurrence": "FREQ=DAILY", "daily_from": "08:00", "daily_until": "09:00"}', 'and has a name'),
  ('{"kind": "vehicle"}', 'a vehicle has a plate'),
  ('{"kind": "service"}', 'a service has a provider'),
  ('{"kind": "vehicle", "plate": "CB 1 A", "provider_name": "Rohr AG"}', 'and nothing else has one')
) k (given, sentence);
select throws_ok($$insert into public.visitor_invitations (community_id, unit_id, kind, starts_at, ends_at, plate) values (tests.id('Alder'), tests.id('9'), 'vehicle', now(), now() + interval '1 day', 'CB 1 A')$$,
  '23503', null, 'not even in SQL does an invitation mix two communities');
select throws_ok($$insert into public.visitor_invitations (community_id, unit_id, kind, starts_at, ends_at, plate) values (tests.id('Alder'), tests.id('1'), 'vehicle', now(), now(), 'CB 1 A')$$,
  '23514', null, 'nor ends before it begins');
select is((select count(*) from public.visitor_invitations), (select count(*) from public.visitor_invitations where community_id <> tests.id('Alder')), 'and nothing of all this was stored');

-- Giving --------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('paul');
select tests.keep('pauls', pg_temp.invite('1', 'Pia'));
select is((select i.host_resident_id || ' ' || i.max_entries || ' ' || i.status from public.visitor_invitations i where i.id = tests.kept('pauls')::uuid), tests.id('Paul') || ' 1 active',
  'a tenant invites somebody, once');
select is((select v.status || ' ' || v.visitor_name || ' ' || (v.expected_at = now()) from public.visits v where v.invitation_id = tests.kept('pauls')::uuid), 'approved Pia true', 'who is expected from then on');
select tests.keep('party', public.invite_visitor('event', now() + interval '1 day', unit_id => tests.id('1'), title => 'Party', guest_limit => 2, guests => '[{"full_name": "Gil", "plate": "PB 1 AA"}, {"full_name": "Gus"}]'));
select is(tests.seen('public.invitation_guests', 'full_name'), 'Gil, Gus', 'an event comes with its list');
select throws_ok($$select public.add_invitation_guest(tests.kept('party')::uuid, 'One more')$$, 'PT409', 'too_many_guests', 'which holds no more than the event has places');
select lives_ok($$select public.remove_invitation_guest(g.id) from public.invitation_guests g where g.full_name = 'Gus'$$, 'whoever is taken off');
select lives_ok($$select public.add_invitation_guest(tests.kept('party')::uuid, 'Gina', '+359 88 555 0101')$$, 'leaves the place to somebody else');
select throws_ok(call, 'PT422', token, sentence) from (values
  ($$select public.invite_visitor('single', now() + interval '1 day', unit_id => tests.id('1'))$$, 'invalid_value', 'what a kind lacks is told as a field'),
  ($$select public.invite_visitor('single', now() - interval '1 day', unit_id => tests.id('1'), visitor_name => 'Vera', starts_at => now() - interval '2 days')$$, 'invalid_period', 'nobody is invited to yesterday'),
  ($$select public.invite_visitor('single', now() + interval '2 years', unit_id => tests.id('1'), visitor_name => 'Vera')$$, 'invalid_period', 'nor for years'),
  ($$select public.invite_visitor('single', 'infinity', unit_id => tests.id('1'), visitor_name => 'Vera')$$, 'invalid_period', 'nor for ever'),
  ($$select public.invite_visitor('single', null, unit_id => tests.id('1'), visitor_name => 'Vera')$$, 'invalid_period', 'nor without an end'),
  ($$select public.invite_visitor('recurring', now() + interval '9 days', unit_id => tests.id('1'), visitor_name => 'Vera', recurrence => 'FREQ=HOURLY', daily_from => '08:00', daily_until => '09:00')$$, 'recurrence_unsupported',
    'nor by a rule that is not understood'),
  ($$select public.invite_visitor('single', now() + interval '1 day', unit_id => tests.id('1'), visitor_name => 'Vera', guests => '[{"full_name": "Gil"}]')$$, 'invalid_value', 'only an event has a list'),
  ($$select public.invite_visitor('event', now() + interval '1 day', unit_id => tests.id('1'), title => 'Party', guest_limit => 2, guests => '[{"phone": "1"}]')$$, 'invalid_value', 'of people with names')
) c (call, token, sentence);
select throws_ok($$select public.invite_visitor('single', now() + interval '1 day', unit_id => tests.id('1'), visitor_name => 'Vera', access_point_ids => array[tests.id('far gate')])$$, 'PT404', 'access_point_not_found',
  'a gate of another community lets nobody in here');
select throws_ok($$select public.invite_visitor('single', now() + interval '1 day', unit_id => tests.id('1'), visitor_name => 'Vera', access_point_ids => array[[tests.id('gate')]])$$, 'PT422', 'invalid_value', 'nor through a list of lists');
select throws_ok($$select public.invite_visitor('event', now() + interval '1 day', unit_id => tests.id('1'), title => 'Fair', guest_limit => 101)$$, 'PT409', 'too_many_guests', 'a unit has so many guests and no more');
select throws_ok($$select pg_temp.invite('2', 'Vera')$$, 'PT403', 'permission_denied', 'nobody invites to a neighbour''s unit');
select throws_ok($$select public.invite_visitor('single', now() + interval '1 day', community_id => tests.id('Alder'), visitor_name => 'Vera')$$, 'PT403', 'permission_denied', 'nor to the community');
select throws_ok($$insert into public.visitor_invitations (community_id, unit_id, kind, starts_at, ends_at, plate) values (tests.id('Alder'), tests.id('1'), 'vehicle', now(), now() + interval '1 day', 'CB 1 A')$$,
  '42501', null, 'nobody inserts past the RPC');
select throws_ok($$update public.visitor_invitations set max_entries = 100$$, '42501', null, 'or updates');
select is((select count(*) from public.visitor_invitations i where i.community_id = tests.id('Alder')), 2::bigint, 'what was refused left nothing behind');

select tests.authenticate_as('ana');
select throws_ok($$select pg_temp.invite('1', 'Vera')$$, 'PT403', 'permission_denied', 'a landlord does not invite to the flat that is let');
select is(tests.seen('public.visitor_invitations', 'visitor_name'), 'nothing', 'nor sees whom the tenant invites');
select is(tests.seen('public.visits', 'visitor_name'), 'nothing', 'nor who visits');
select is(tests.seen('public.invitation_guests', 'full_name'), 'nothing', 'nor the list');
select throws_ok($$select public.cancel_visitor_invitation(tests.kept('pauls')::uuid)$$, 'PT404', 'invitation_not_found', 'nor cancels what there is');
select tests.authenticate_as('agent');
select is(tests.seen('public.visitor_invitations', 'visitor_name'), 'nothing', 'and neither does who acts for the landlord');
select throws_ok($$select pg_temp.invite('1', 'Vera')$$, 'PT403', 'permission_denied', 'in whose place nobody invites');
select tests.authenticate_as('nina');
select is(tests.seen('public.visitor_invitations', 'visitor_name') || tests.seen('public.visits', 'visitor_name'), 'nothingnothing', 'a neighbour sees nothing');
select throws_ok($$select public.cancel_visitor_invitation(tests.kept('pauls')::uuid)$$, 'PT404', 'invitation_not_found', 'and cancels nothing');
select tests.authenticate_as('stranger');
select is(tests.seen('public.visitor_invitations', 'visitor_name'), 'nothing', 'nor does the manager of another community');
select throws_ok($$select pg_temp.invite('1', 'Vera')$$, 'PT403', 'permission_denied', 'who invites nobody here');
select tests.clear_authentication();
select throws_ok($$select count(*) from public.visitor_invitations$$, '42501', null, 'nor does who is not signed in');

select tests.authenticate_as('guard');
select is(tests.seen('public.visitor_invitations', 'visitor_name'), 'Pia', 'a guard sees who is invited');
select throws_ok($$select pg_temp.invite('1', 'Vera')$$, 'PT403', 'permission_denied', 'and invites nobody');
select throws_ok($$select public.cancel_visitor_invitation(tests.kept('pauls')::uuid)$$, 'PT403', 'permission_denied', 'nor uninvites');
select throws_ok($$select public.change_visitor_invitation(tests.kept('pauls')::uuid, '{"max_entries": 9}')$$, 'PT403', 'permission_denied', 'nor changes');
select tests.authenticate_as('manager');
select lives_ok($$select tests.keep('lift', public.invite_visitor('service', now() + interval '30 days', community_id => tests.id('Alder'), provider_name => 'Lift AD', purpose => 'service'))$$,
  'the management invites to the community');
select is((select i.unit_id is null and i.host_resident_id is null and i.max_entries is null from public.visitor_invitations i where i.id = tests.kept('lift')::uuid), true, 'which is no unit, and whose guest comes as often as needed');
select lives_ok($$select pg_temp.invite('1', 'Vera')$$, 'and for those who ask for it');
select throws_ok($$select pg_temp.invite('9', 'Vera')$$, 'PT403', 'permission_denied', 'but not elsewhere');

-- Changing ------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('paul');
select lives_ok($$select public.change_visitor_invitation(tests.kept('pauls')::uuid, jsonb_build_object('ends_at', now() + interval '2 days', 'visitor_name', 'Pina', 'note', 'Tall', 'access_point_ids', jsonb_build_array(tests.id('gate'))))$$,
  'an invitation is changed');
select is((select i.visitor_name || ' ' || i.note || ' ' || (i.ends_at = now() + interval '2 days') from public.visitor_invitations i where i.id = tests.kept('pauls')::uuid), 'Pina Tall true', 'in what is named');
select is((select v.visitor_name || ' ' || (v.expires_at = now() + interval '2 days') from public.visits v where v.invitation_id = tests.kept('pauls')::uuid), 'Pina true', 'and who is expected with it');
select throws_ok(format('select public.change_visitor_invitation(tests.kept(''pauls'')::uuid, %L)', changes), 'PT422', token, sentence) from (values
  ('{"unit_id": null}', 'invalid_value', 'to another unit it does not move'), ('{"used_entries": 0}', 'invalid_value', 'what was used stays used'), ('{"status": "active"}', 'invalid_value', 'nor are steps taken so'),
  ('{"ends_at": "tomorrow-ish"}', 'invalid_value', 'a moment is one'), ('{"visitor_name": null}', 'invalid_value', 'what the kind needs stays'), ('{"visitor_name": {"a": 1}}', 'invalid_value', 'a name is a text and no object'), ('[1]', 'invalid_value', 'changes are an object'),
  ('{"ends_at": "2020-01-01"}', 'invalid_period', 'it is not moved into the past'), ('{"access_point_ids": ["x"]}', 'invalid_value', 'gates are named by ids')
) c (changes, token, sentence);
select tests.as_studio();
select is(pg_temp.problem('pauls'), 'none', 'it counts');
select is(pg_temp.problem('pauls', point => 'gate') || ' ' || pg_temp.problem('pauls', point => 'garage'), 'none wrong_access_point', 'through the gate that it names and no other');
select is(pg_temp.problem('party', point => 'garage'), 'none', 'one that names none through all');
select is(pg_temp.problem('pauls', now() - interval '1 second') || ' ' || pg_temp.problem('pauls', now() + interval '2 days'), 'not_yet_valid expired', 'from its beginning, and up to its end');
select is(app.invitation_problem(gen_random_uuid(), null, now()), 'invitation_cancelled', 'one that does not exist counts for nothing');
select is((select string_agg(coalesce(g.full_name, 'invitation'), ' ') from app.visitor_by_plate(tests.id('Alder'), app.normalized_plate('pb-1-aa'), now()) p left join public.invitation_guests g on g.id = p.guest_id), 'Gil',
  'a guest is found by the plate');
select is_empty($$select from app.visitor_by_plate(tests.id('Cedar'), app.normalized_plate('pb-1-aa'), now())$$, 'in the own community alone');
select is((select string_agg(l.changes::text, ' ') from audit.log l where l.table_id = 'public.visitor_invitations'::regclass and l.row_id = tests.kept('pauls')::uuid) ~ 'Pia|Pina|Tall', false,
  'the audit tells that something was changed, and of nobody who it was');

-- Moving out, moving in -----------------------------------------------------------------------------------------------------
-- Paul moves out yesterday; Tom and Fay move in today.

select tests.occupy('Tom', '1', 'tenant'), tests.occupy('Fay', '1', 'family');
update public.occupancies set host_id = tests.id('Tom') where resident_id = tests.id('Fay');
select tests.keep('token', tests.claims('paul'));
set local session_replication_role = replica;
update public.occupancies set ends_on = current_date - 1 where resident_id = tests.id('Paul');
update public.visitor_invitations set created_at = now() - interval '5 days' where community_id = tests.id('Alder') and unit_id is not null;
update public.visits set created_at = now() - interval '5 days' where community_id = tests.id('Alder');
set local session_replication_role = origin;
select is(pg_temp.problem('pauls'), 'host_left', 'whose host has moved out is let in by nobody, from the first moment');
select tests.authenticate_with(tests.kept('token')::jsonb);
select throws_ok($$select pg_temp.invite('1', 'Vera')$$, 'PT403', 'permission_denied', 'with a live token from before nobody is invited');
select throws_ok($$select public.change_visitor_invitation(tests.kept('party')::uuid, '{"ends_at": "2026-12-31"}')$$, 'PT403', 'permission_denied', 'nor an invitation made longer');
select tests.authenticate_as('tom');
select is(tests.seen('public.visitor_invitations', 'status') || ' ' || tests.seen('public.visits', 'status'), 'nothing nothing', 'the next tenants do not see whom the last ones invited');
select tests.keep('cleaner', public.invite_visitor('recurring', now() + interval '90 days', unit_id => tests.id('1'), visitor_name => 'Mila', recurrence => 'FREQ=WEEKLY;BYDAY=MO', daily_from => '08:00', daily_until => '12:00'));
select tests.authenticate_as('fay');
select is(tests.seen('public.visitor_invitations', 'visitor_name'), 'Mila', 'family sees whom the tenant invites');
select lives_ok($$select public.except_invitation_day(tests.kept('cleaner')::uuid, current_date + 1, 'added')$$, 'and may change it');
select tests.keep('fays', pg_temp.invite('1', 'Flo'));
select tests.authenticate_as('ana');
select is(tests.seen('public.visitor_invitations', 'visitor_name'), 'nothing', 'the landlord still sees nothing');
select tests.as_studio();
select is(pg_temp.problem('cleaner', (current_date + 1 + time '09:00') at time zone 'UTC'), 'none', 'a day that was added counts');
select app.job_hosts_left();
select is((select string_agg(i.status || ' ' || coalesce(i.status_reason, '-'), ', ' order by i.id) from public.visitor_invitations i where i.id in (tests.kept('pauls')::uuid, tests.kept('cleaner')::uuid)), 'cancelled host_left, active -',
  'the job cancels what the gates refuse, and nothing else');
select is((select v.status || ' ' || v.status_reason from public.visits v where v.invitation_id = tests.kept('pauls')::uuid), 'denied invitation_cancelled', 'and nobody is expected by it any more');
set local session_replication_role = replica;
update public.occupancies set starts_on = current_date - 9, ends_on = current_date - 1 where resident_id in (tests.id('Tom'), tests.id('Fay'));
update public.visitor_invitations set created_at = now() - interval '2 days' where id in (tests.kept('cleaner')::uuid, tests.kept('fays')::uuid);
set local session_replication_role = origin;
select tests.authenticate_as('ana');
select lives_ok($$select pg_temp.invite('1', 'Aunt')$$, 'when the tenants have left the owner invites again');
select is(tests.seen('public.visitor_invitations', 'visitor_name'), 'Aunt', 'and sees none of whom they had invited');
select tests.as_studio();
select public.suspend_resident(tests.id('Ana'), 'Broke the lift');
select is(app.invitation_problem(i.id, null, now()), 'host_left', 'of who is suspended nobody is let in') from public.visitor_invitations i where i.visitor_name = 'Aunt';

-- Days and clocks -----------------------------------------------------------------------------------------------------------

insert into public.visitor_invitations (id, community_id, unit_id, kind, starts_at, ends_at, visitor_name, recurrence, daily_from, daily_until, plate) values
  (tests.id('nurse'), tests.id('Sofia'), tests.id('5'), 'recurring', '2026-03-01T00:00+02', '2026-12-31T00:00+02', 'Nurse', 'FREQ=WEEKLY;BYDAY=SA,SU', '22:00', '03:30', null),
  (tests.id('morning'), tests.id('Sofia'), tests.id('5'), 'recurring', '2026-03-01T00:00+02', '2026-12-31T00:00+02', 'Baker', 'FREQ=DAILY', '08:00', '09:00', null);
insert into public.invitation_exceptions (falls_on, community_id, invitation_id, kind) values ('2026-03-07', tests.id('Sofia'), tests.id('nurse'), 'skipped'), ('2026-03-11', tests.id('Sofia'), tests.id('nurse'), 'added');
select is(coalesce(app.invitation_problem(tests.id(m.who), null, m.moment::timestamptz), 'none'), m.told, m.sentence)
from (values
  ('nurse', '2026-03-14T21:59+02', 'outside_schedule', 'before the hours'),
  ('nurse', '2026-03-14T22:00+02', 'none', 'from the first minute'),
  ('nurse', '2026-03-15T03:29+02', 'none', 'past midnight it is the evening''s night'),
  ('nurse', '2026-03-15T03:30+02', 'outside_schedule', 'until the last minute'),
  ('nurse', '2026-03-13T23:00+02', 'outside_schedule', 'on another weekday not'),
  ('nurse', '2026-03-08T01:00+02', 'outside_schedule', 'nor in the night of a day that is skipped'),
  ('nurse', '2026-03-12T01:00+02', 'none', 'but in that of one that was added'),
  ('nurse', '2026-03-29T04:29+03', 'none', 'where the clocks skip the end, the night is as long as any'),
  ('nurse', '2026-10-25T03:29+02', 'none', 'where they show it twice, it ends with the second'),
  ('nurse', '2026-10-25T03:30+02', 'outside_schedule', 'and not later'),
  ('morning', '2026-03-28T08:00+02', 'none', 'eight is eight in winter'),
  ('morning', '2026-03-29T08:00+03', 'none', 'and in summer'),
  ('morning', '2026-03-29T08:00+02', 'outside_schedule', 'when it is nine')
) m (who, moment, told, sentence);
select tests.authenticate_as('sofi');
select is((select string_agg(to_char(d.starts_at at time zone 'UTC', 'DD HH24:MI') || '-' || to_char(d.ends_at at time zone 'UTC', 'HH24:MI'), ', ') from public.visitor_invitation_days(tests.id('nurse'), '2026-03-28', '2026-04-04') d),
  '28 20:00-01:30, 29 19:00-00:30, 04 19:00-00:30', 'a calendar is told the moments');
select throws_ok($$select public.visitor_invitation_days(tests.id('nurse'), '2026-01-01', '2028-01-01')$$, 'PT422', 'invalid_period', 'of a year at most');
select throws_ok($$select public.visitor_invitation_days(tests.kept('cleaner')::uuid, '2026-01-01', '2026-01-02')$$, 'PT404', 'invitation_not_found', 'and of what one sees');

select * from finish();
rollback;
