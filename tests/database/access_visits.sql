-- Visits: a walk-in is answered once and in time, by the unit; who enters takes a place that is there; visitors are forgotten.

begin;
select plan(89);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_unit('9', 'Cedar');
select tests.create_supabase_user(u) from unnest(array['ana', 'tom', 'fay', 'gus', 'nina', 'manager', 'guard', 'stranger']) u;
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.create_resident('Tom', 'Alder', tests.email('tom')), tests.create_resident('Fay', 'Alder', tests.email('fay')),
  tests.create_resident('Gus', 'Alder', tests.email('gus')), tests.create_resident('Nina', 'Alder', tests.email('nina')), tests.create_resident('Cedric', 'Cedar');
select tests.occupy('Ana', '1', 'owner', current_date - 900), tests.occupy('Tom', '1', 'tenant', current_date - 30), tests.occupy('Fay', '1', 'family', current_date - 30),
  tests.occupy('Gus', '1', 'guest', current_date - 1, current_date + 9), tests.occupy('Nina', '2', 'owner', current_date - 100), tests.occupy('Cedric', '9', 'owner', current_date - 100);
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'), tests.grant_role('stranger', 'guard', community => 'Cedar');
insert into public.access_points (id, name, community_id, kind) values (tests.id('gate'), 'Gate', tests.id('Alder'), 'gate'), (tests.id('far gate'), 'Gate', tests.id('Cedar'), 'gate');

create function pg_temp.visit(visit text) returns text language sql security definer as
$$ select v.status || coalesce(' ' || v.status_reason, '') from public.visits v where v.id = tests.kept(visit)::uuid $$;
create function pg_temp.announce(visit text, unit text default '1') returns void language sql as
$$ select tests.keep(visit, (select a.visit_id from public.announce_visitor(tests.id(unit), 'Walt', plate => 'PB 5 AA', access_point_id => tests.id('gate')) a)) $$;
create function pg_temp.late(visit text) returns void language plpgsql security definer as $$
begin
  set local session_replication_role = replica;
  update public.visits set asked_at = now() - interval '5 minutes', answer_due_at = now() - interval '3 minutes' where id = tests.kept(visit)::uuid;
  set local session_replication_role = origin;
end $$;
grant execute on function pg_temp.visit(text), pg_temp.announce(text, text) to authenticated;

-- What cannot be stored -----------------------------------------------------------------------------------------------------

create function pg_temp.refused_by(columns text, given text) returns text language plpgsql set search_path = '' as $$
declare
  refused text;
begin
  execute format('insert into public.visits (community_id, unit_id, status, visitor_name, %s) values (tests.id(''Alder''), tests.id(''1''), ''approved'', ''Vera'', %s)', columns, given);
  return 'nothing';
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  return refused;
end $$;

select throws_ok(format('insert into public.visits (community_id, %s) values (tests.id(''Alder''), %s)', columns, given), '23514',
  format('new row for relation "visits" violates check constraint "visits_%s_check"', refused), sentence)
from (values
  ('unit_id, status, visitor_name', $$tests.id('1'), 'pending', 'Vera'$$, 'asked_at', 'nobody waits for an answer that is not due'),
  ('unit_id, status, visitor_name', $$tests.id('1'), 'checked_in', 'Vera'$$, 'checked_in_at', 'who is inside came in at some time'),
  ('unit_id, status', $$tests.id('1'), 'approved'$$, 'visitor_name', 'who has no invitation has a name'),
  ('status, visitor_name', $$'approved', 'Vera'$$, 'unit_id', 'and comes to a unit'),
  ('unit_id, status, visitor_name, party_size', $$tests.id('1'), 'approved', 'Vera', 0$$, 'party_size', 'somebody comes'),
  ('unit_id, status, visitor_name, checked_in_at, checked_out_at', $$tests.id('1'), 'checked_in', 'Vera', now(), now()$$, 'checked_out_at', 'who is inside has not left')
) k (columns, given, refused, sentence);
select is(pg_temp.refused_by(columns, given), format('visits_%s_check', refused), sentence)
from (values
  ('guest_id', 'gen_random_uuid()', 'guest_id', 'a guest is of an invitation'),
  ('visitor_phone', $$'none'$$, 'visitor_phone', 'a telephone number is one'),
  ('document_number', $$repeat('1', 41)$$, 'document_number', 'a document''s number is short'),
  ('plate', $$'🚗'$$, 'plate', 'a plate is one'),
  ('provider_name', $$' '$$, 'provider_name', 'a firm has a name'),
  ('status_reason', $$' '$$, 'status_reason', 'a reason says something'),
  ('asked_at, answer_due_at', 'now(), now()', 'asked_at', 'who is asked has time to answer'),
  ('answered_at', 'now()', 'answered_at', 'nobody answers who was not asked'),
  ('asked_at, answer_due_at, answered_by', $$now(), now() + interval '1 minute', gen_random_uuid()$$, 'answered_by', 'nor without a moment')
) k (columns, given, refused, sentence);
select throws_ok($$insert into public.visits (community_id, unit_id, status, visitor_name, status_reason) values (tests.id('Alder'), tests.id('1'), 'denied', 'Vera', 'no')$$, 'PT409', 'transition_refused', 'no visit begins with its end');
select throws_ok($$insert into public.visits (community_id, unit_id, status, visitor_name) values (tests.id('Alder'), tests.id('9'), 'approved', 'Vera')$$, '23503', null, 'no visit mixes two communities');

-- Asking and answering ------------------------------------------------------------------------------------------------------

select tests.authenticate_as('guard');
select pg_temp.announce('walk');
select is(pg_temp.visit('walk'), 'pending', 'a guard asks the unit');
select is((select asked_residents from public.announce_visitor(tests.id('1'), 'Walt', 'delivery', 2)), 2, 'and is told how many can answer: the tenants, not their guest and not the landlord');
select is((select answer_due_at - now() from public.announce_visitor(tests.id('1'), 'Walt', answer_seconds => 30)), interval '30 seconds', 'and until when');
select throws_ok(call, state, token, sentence) from (values
  ($$select public.announce_visitor(tests.id('9'), 'Walt')$$, 'PT403', 'permission_denied', 'no unit of another community is asked'),
  ($$select public.announce_visitor(gen_random_uuid(), 'Walt')$$, 'PT403', 'permission_denied', 'nor one that does not exist'),
  ($$select public.announce_visitor(tests.id('1'), ' ')$$, 'PT422', 'invalid_value', 'nor for nobody'),
  ($$select public.announce_visitor(tests.id('1'), 'Walt', party_size => 70000)$$, 'PT422', 'invalid_value', 'nor for a crowd'),
  ($$select public.announce_visitor(tests.id('1'), 'Walt', plate => '🚗')$$, 'PT422', 'invalid_value', 'nor with a plate that is none'),
  ($$select public.announce_visitor(tests.id('1'), 'Walt', answer_seconds => 1)$$, 'PT422', 'invalid_value', 'nor with no time to answer'),
  ($$select public.announce_visitor(tests.id('1'), 'Walt', access_point_id => tests.id('far gate'))$$, 'PT404', 'access_point_not_found', 'nor from another community''s gate'),
  ($$select public.answer_visit(tests.kept('walk')::uuid, true)$$, 'PT403', 'permission_denied', 'and the guard does not answer'),
  ($$select public.check_in_visit(tests.kept('walk')::uuid)$$, 'PT409', 'visit_refused', 'nor lets in who waits for the answer')
) c (call, state, token, sentence);
select tests.authenticate_as('nina');
select throws_ok($$select public.answer_visit(tests.kept('walk')::uuid, true)$$, 'PT404', 'visit_not_found', 'a neighbour does not answer for another flat');
select is(tests.seen('public.visits', 'visitor_name'), 'nothing', 'nor learns that somebody is there');
select tests.authenticate_as('ana');
select throws_ok($$select public.answer_visit(tests.kept('walk')::uuid, true)$$, 'PT404', 'visit_not_found', 'nor does the landlord');
select tests.authenticate_as('gus');
select throws_ok($$select public.answer_visit(tests.kept('walk')::uuid, true)$$, 'PT404', 'visit_not_found', 'nor a guest of the house');
select tests.authenticate_as('stranger');
select throws_ok($$select public.answer_visit(tests.kept('walk')::uuid, true)$$, 'PT404', 'visit_not_found', 'nor the guard of another community');
select throws_ok($$select public.check_in_visit(tests.kept('walk')::uuid)$$, 'PT403', 'permission_denied', 'who lets nobody in here');
select tests.authenticate_as('manager');
select throws_ok($$select public.answer_visit(tests.kept('walk')::uuid, true)$$, 'PT403', 'permission_denied', 'nor the management, which sees it');
select is(pg_temp.visit('walk'), 'pending', 'and all of that changed nothing');
select tests.authenticate_as('fay');
select throws_ok($$update public.visits set status = 'approved' where id = tests.kept('walk')::uuid$$, '42501', null, 'nobody writes past the RPC');
select is(public.answer_visit(tests.kept('walk')::uuid, true), 'approved', 'family answers');
select is(public.answer_visit(tests.kept('walk')::uuid, true), 'approved', 'and may say so twice');
select throws_ok($$select public.answer_visit(tests.kept('walk')::uuid, false)$$, 'PT409', 'visit_answered', 'but not the contrary');
select is((select v.host_resident_id || ' ' || v.answered_by || ' ' || (v.expires_at - now()) from public.visits v where v.id = tests.kept('walk')::uuid),
  tests.id('Fay') || ' ' || tests.id('fay') || ' 02:00:00', 'who answered is the host, and the visitor has two hours to come in');
select tests.authenticate_as('guard');
select is((select a.status::text from public.visit_answer(tests.kept('walk')::uuid) a), 'approved', 'the guard sees the answer');
select is(public.check_in_visit(tests.kept('walk')::uuid, access_point_id => tests.id('gate')), tests.kept('walk')::uuid, 'and lets them in');
select throws_ok($$select public.check_in_visit(tests.kept('walk')::uuid)$$, 'PT409', 'visit_refused', 'once');
select throws_ok($$select public.check_in_visit()$$, 'PT422', 'invalid_value', 'somebody in particular');
select throws_ok($$select public.check_in_visit(gen_random_uuid())$$, 'PT403', 'permission_denied', 'who is known');
select lives_ok($$select public.check_out_visit(tests.kept('walk')::uuid)$$, 'and out');
select lives_ok($$select public.check_out_visit(tests.kept('walk')::uuid)$$, 'where they may be twice');
select is(pg_temp.visit('walk'), 'checked_out', 'and that was it');

select pg_temp.announce('refused');
select tests.authenticate_as('tom');
select is(public.answer_visit(tests.kept('refused')::uuid, false, 'Not at home'), 'denied', 'a tenant refuses');
select tests.authenticate_as('guard');
select is((select a.status || ' ' || a.reason from public.visit_answer(tests.kept('refused')::uuid) a), 'denied Not at home', 'with a reason that the guard reads');
select throws_ok($$select public.check_in_visit(tests.kept('refused')::uuid)$$, 'PT409', 'visit_refused', 'and who was refused does not come in');
select throws_ok($$select public.check_out_visit(tests.kept('refused')::uuid)$$, 'PT409', 'visit_not_inside', 'nor out');

select pg_temp.announce('late');
select tests.as_studio();
select pg_temp.late('late');
select tests.authenticate_as('tom');
select throws_ok($$select public.answer_visit(tests.kept('late')::uuid, true)$$, 'PT409', 'visit_answer_late', 'an answer that comes late is none');
select is(pg_temp.visit('late'), 'pending', 'and a refusal remembers nothing');
select tests.authenticate_as('guard');
select is((select a.status || ' ' || a.reason from public.visit_answer(tests.kept('late')::uuid) a), 'denied no_answer', 'the guard is told on the spot');
select tests.authenticate_as('tom');
select throws_ok($$select public.answer_visit(tests.kept('late')::uuid, true)$$, 'PT409', 'visit_answer_late', 'and then it stays so');
select tests.authenticate_as('guard');
select pg_temp.announce('unheard');
select tests.as_studio();
select pg_temp.late('unheard');
select app.job_visits();
select is(pg_temp.visit('unheard'), 'denied no_answer', 'the job settles what no guard asked about');
select is((select string_agg(o.topic, ' ' order by o.id) from app.outbox o where o.payload ->> 'visit_id' = tests.kept('walk')), 'visit.asked visit.answered visit.checked_in visit.checked_out', 'every step is told');
select is_empty($$select from app.outbox o where o.topic like 'visit.%' and o.payload::text ~ 'Walt|PB 5|unit'$$, 'without saying of whom, or where');

select public.set_setting('general.visits_answered_by_phone', 'true', community_id => tests.id('Alder'));
select tests.authenticate_as('guard');
select pg_temp.announce('rung');
select throws_ok($$select public.answer_visit(tests.kept('rung')::uuid, true)$$, 'PT422', 'reason_required', 'where answers by telephone count, the guard notes who gave it');
select is(public.answer_visit(tests.kept('rung')::uuid, true, 'Fay, by intercom'), 'approved', 'and enters it');
select tests.as_studio();
set local session_replication_role = replica;
update public.visits set expires_at = now() - interval '1 minute' where id = tests.kept('rung')::uuid;
set local session_replication_role = origin;
select is((select e.reason from app.enter_visit(tests.id('Alder'), null, null, tests.kept('rung')::uuid, tests.id('gate'), now()) e), 'visit_over', 'who does not come in time does not come in');
select app.job_visits();
select is(pg_temp.visit('rung'), 'expired Fay, by intercom', 'and is expected no longer');

-- Coming in by an invitation ------------------------------------------------------------------------------------------------

select tests.authenticate_as('tom');
select tests.keep('once', public.invite_visitor('single', now() + interval '1 day', unit_id => tests.id('1'), visitor_name => 'Vera'));
select tests.keep('fair', public.invite_visitor('event', now() + interval '1 day', unit_id => tests.id('1'), title => 'Fair', guest_limit => 3, guests => '[{"full_name": "Gil"}]'));
select tests.keep('daily', public.invite_visitor('vehicle', now() + interval '9 days', unit_id => tests.id('1'), plate => 'PB 9 XX', visitor_phone => '+359 88 555 0199'));
select tests.as_studio();
select tests.keep('gil', g.id) from public.invitation_guests g where g.full_name = 'Gil';
create function pg_temp.by(invitation text, guest text default null) returns text language sql as
$$ select coalesce(e.reason, 'in') from app.enter_visit(tests.id('Alder'), tests.kept(invitation)::uuid, case when guest is not null then tests.kept(guest)::uuid end, null, tests.id('gate'), now()) e $$;
select is(pg_temp.by('once') || ' ' || pg_temp.by('once'), 'in invitation_full', 'a single visitor comes in once');
select is((select count(*) || ' ' || min(v.status::text) from public.visits v where v.invitation_id = tests.kept('once')::uuid), '1 checked_in', 'and it is the visit that was expected');
select is(pg_temp.by('fair', 'gil') || ' ' || pg_temp.by('fair', 'gil'), 'in guest_entered', 'a guest of the list comes in once');
select is(pg_temp.by('fair') || ' ' || pg_temp.by('fair') || ' ' || pg_temp.by('fair'), 'in in invitation_full', 'an event takes as many as it has places');
select is((select i.used_entries from private.invitation_uses i where i.invitation_id = tests.kept('fair')::uuid), 3, 'and what is refused takes none');
select throws_ok($$update public.visitor_invitations i set guest_limit = 2 where i.id = tests.kept('fair')::uuid$$, '23514', null, 'fewer places than were taken there are not');
select is((select i.places || ' ' || i.used_entries from private.invitation_uses i where i.invitation_id = tests.kept('fair')::uuid), '3 3', 'and the places are as before');
select is((select string_agg(v.visitor_name, ' ') from public.visits v where v.invitation_id = tests.kept('fair')::uuid), 'Gil', 'guests without a name have none');
select is(pg_temp.by('daily') || ' ' || pg_temp.by('daily'), 'in in', 'a vehicle comes again');
select is((select string_agg(v.status || coalesce(' ' || v.status_reason, ''), ', ' order by v.id) from public.visits v where v.invitation_id = tests.kept('daily')::uuid), 'checked_out exit_not_seen, checked_in', 'and has left meanwhile, seen or not');
select is(
  (select string_agg(l.operation || ' ' || v.status, ', ' order by l.id) from audit.log l join public.visits v on v.id = l.row_id where l.table_id = 'public.visits'::regclass and v.invitation_id = tests.kept('daily')::uuid),
  'insert checked_out, update checked_out, insert checked_in', 'which the audit tells of both visits');
select is(
  (select string_agg(o.topic || ' ' || v.status, ', ' order by o.id) from app.outbox o join public.visits v on v.id = (o.payload ->> 'visit_id')::uuid where o.topic like 'visit.%' and v.invitation_id = tests.kept('daily')::uuid),
  'visit.checked_in checked_out, visit.checked_out checked_out, visit.checked_in checked_in', 'and so do the events');
select is((select e.reason from app.enter_visit(tests.id('Cedar'), tests.kept('daily')::uuid, null, null, null, now()) e), 'invitation_cancelled', 'but not into another community');
select ok(app.leave_visit(tests.id('Alder'), tests.kept('daily')::uuid, null, null, tests.id('gate'), now()) is not null, 'who is inside leaves');
select ok(app.leave_visit(tests.id('Alder'), tests.kept('daily')::uuid, null, null, tests.id('gate'), now()) is null, 'and who is not, does not');
select throws_ok($$insert into public.visits (community_id, unit_id, invitation_id, guest_id, status, checked_in_at) values (tests.id('Alder'), tests.id('1'), tests.kept('fair')::uuid, tests.kept('gil')::uuid, 'checked_in', now())$$,
  '23505', null, 'not even in SQL does a guest come twice');
select tests.authenticate_as('guard');
select throws_ok($$select public.check_in_visit(invitation_id => tests.kept('fair')::uuid)$$, 'PT409', 'visit_refused', 'nor does a guard''s hand add a place');
select is(tests.seen('public.visits', 'visitor_name'), 'Gil, Vera, Walt', 'a guard sees who comes and goes');

-- Being forgotten -----------------------------------------------------------------------------------------------------------

select tests.as_studio();
select app.job_visitor_retention();
select is((select count(*) from public.visits v where v.community_id = tests.id('Alder') and v.anonymized_at is not null), 0::bigint, 'what is recent is kept');
set local session_replication_role = replica;
update public.visits v set checked_in_at = checked_in_at - interval '91 days', checked_out_at = checked_out_at - interval '91 days', expires_at = expires_at - interval '91 days',
  asked_at = asked_at - interval '91 days', answer_due_at = answer_due_at - interval '91 days', expected_at = expected_at - interval '91 days' where v.community_id = tests.id('Alder');
update public.visitor_invitations i set starts_at = starts_at - interval '101 days', ends_at = ends_at - interval '101 days' where i.community_id = tests.id('Alder') and i.id <> tests.kept('once')::uuid;
set local session_replication_role = origin;
select app.job_visitor_retention();
select is((select string_agg(distinct concat_ws(' ', v.visitor_name, v.visitor_phone, v.document_number, v.plate, v.provider_name), ', ') from public.visits v where v.community_id = tests.id('Alder')), 'Erased visitor',
  'after ninety days nobody can be told from the visits');
select is((select string_agg(distinct v.status_reason, ', ' order by v.status_reason) from public.visits v where v.community_id = tests.id('Alder')), 'denied_by_unit, exit_not_seen, no_answer', 'nor what was said of them');
select is((select string_agg(concat_ws(' ', i.title, i.visitor_name, i.visitor_phone, i.plate), ', ' order by i.id) from public.visitor_invitations i where i.community_id = tests.id('Alder')), 'Vera, Erased, ERASED',
  'nor from the invitations that are over');
select is((select string_agg(g.full_name, ', ') from public.invitation_guests g where g.community_id = tests.id('Alder')), 'Erased visitor', 'nor from their lists');
select is_empty($$select from audit.log l where l.community_id = tests.id('Alder') and l.table_id::regclass::text ~ 'visit|invitation_guests' and l.changes::text ~ 'Walt|Vera|Gil|PB|0199|Not at home|intercom'$$, 'and the audit never knew');

select * from finish();
rollback;
