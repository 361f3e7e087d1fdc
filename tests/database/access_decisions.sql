-- The decision at the gate: every reason it can give, what it writes, and what it leaves alone.

begin;
select plan(156);

-- Two communities, a booth with a gate, a barrier with anti-passback, a staff door; a flat that is let, one that is not.
select tests.create_community('Alder', time_zone => 'Europe/Sofia'), tests.create_community('Cedar', time_zone => 'Europe/Sofia');
select tests.create_supabase_user(u) from unnest('{manager,guard,second guard,fired,owner,tenant,neighbour,foreign guard,landlord}'::text[]) u;
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_unit('3', 'Cedar');
select tests.create_resident('Owner', 'Alder', tests.email('owner')), tests.create_resident('Tenant', 'Alder', tests.email('tenant')),
  tests.create_resident('Neighbour', 'Alder', tests.email('neighbour')), tests.create_resident('Gone', 'Alder'), tests.create_resident('Landlord', 'Alder', tests.email('landlord')), tests.create_resident('Barred', 'Alder'), tests.create_resident('Far', 'Cedar');
select tests.occupy('Owner', '1', 'owner', current_date - 100), tests.occupy('Tenant', '2', 'tenant', current_date - 100), tests.occupy('Neighbour', '1', 'family', current_date - 100),
  tests.occupy('Gone', '2', 'tenant', current_date - 300, current_date - 200), tests.occupy('Barred', '2', 'family', current_date - 100), tests.occupy('Far', '3', 'owner', current_date - 100),
  tests.occupy('Landlord', '2', 'owner', current_date - 400);
update public.occupancies set is_living_in = true where resident_id in (tests.id('Owner'), tests.id('Tenant'), tests.id('Neighbour'));
select public.suspend_resident(tests.id('Barred'), 'Broke the lift');
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'), tests.grant_role('fired', 'guard', community => 'Alder'),
  tests.grant_role('second guard', 'guard', community => 'Alder'),
  tests.grant_role('foreign guard', 'guard', community => 'Cedar');

insert into public.booths (id, name, community_id) values (tests.id('Booth'), 'Booth', tests.id('Alder'));
insert into public.access_points (id, name, community_id, booth_id, kind, direction, has_anti_passback, is_open_to_residents, open_hours) values
  (tests.id('Gate'), 'Gate', tests.id('Alder'), tests.id('Booth'), 'gate', 'both', false, true, null),
  (tests.id('Barrier'), 'Barrier', tests.id('Alder'), tests.id('Booth'), 'barrier', 'both', true, true, null),
  (tests.id('Exit'), 'Exit', tests.id('Alder'), tests.id('Booth'), 'turnstile', 'out', false, true, null),
  (tests.id('Staff door'), 'Staff door', tests.id('Alder'), null, 'door', 'both', false, false, null),
  (tests.id('Night gate'), 'Night gate', tests.id('Alder'), null, 'gate', 'both', false, true,
    jsonb_build_array(jsonb_build_object('from', to_char((now() + interval '2 hours') at time zone 'Europe/Sofia', 'HH24:MI'), 'to', to_char((now() + interval '3 hours') at time zone 'Europe/Sofia', 'HH24:MI')))),
  (tests.id('Broken gate'), 'Broken gate', tests.id('Alder'), null, 'gate', 'both', false, true, null),
  (tests.id('Cedar gate'), 'Cedar gate', tests.id('Cedar'), null, 'gate', 'both', false, true, null);
select public.set_access_point_status(tests.id('Broken gate'), 'out_of_service', 'The motor is broken');
insert into public.guards (id, full_name, community_id, user_id) values (tests.id('Guard'), 'Guard', tests.id('Alder'), tests.id('guard')), (tests.id('Fired'), 'Fired', tests.id('Alder'), tests.id('fired'));
select tests.keep('shift', public.plan_shift(tests.id('Booth'), 'Day', now() - interval '1 hour', now() + interval '7 hours', guard_ids => array[tests.id('Guard')]));

select tests.keep('reader', e.device_key), tests.keep('reader_id', e.device_id) from public.enroll_device(tests.id('Gate'), 'Reader', 'reader') e;
select tests.keep('tablet', e.device_key) from public.enroll_device(tests.id('Gate'), 'Tablet', 'tablet') e;
select tests.keep('cedar_reader', e.device_key) from public.enroll_device(tests.id('Cedar gate'), 'Reader', 'reader') e;
select tests.keep('fired_token', tests.claims('fired'));

-- Invitations, by kind and state; a pass of each that needs one.
insert into public.visitor_invitations (id, title, community_id, unit_id, host_resident_id, kind, visitor_name, plate, starts_at, ends_at, recurrence, daily_from, daily_until, guest_limit, max_entries, provider_name)
select tests.id(i.name), case i.kind when 'event' then 'Party' end, tests.id('Alder'), tests.id(i.unit), tests.id(i.host), i.kind::public.visitor_invitation_kind,
  case when i.kind in ('single', 'recurring') then i.name end, i.plate, now() + i.since::interval, now() + i.until::interval,
  case i.kind when 'recurring' then 'FREQ=DAILY' end,
  case i.kind when 'recurring' then ((now() + interval '2 hours') at time zone 'Europe/Sofia')::time end,
  case i.kind when 'recurring' then ((now() + interval '3 hours') at time zone 'Europe/Sofia')::time end,
  case i.kind when 'event' then 2 end, case i.kind when 'single' then 2 end, null
from (values
  ('Vera Visitor', '2', 'Tenant', 'single', null, '-1 hour', '5 hours'), ('Used', '2', 'Tenant', 'single', null, '-1 hour', '5 hours'),
  ('Early', '2', 'Tenant', 'single', null, '2 hours', '5 hours'), ('Late', '2', 'Tenant', 'single', null, '-5 hours', '-2 hours'),
  ('Cancelled', '2', 'Tenant', 'single', null, '-1 hour', '5 hours'), ('Elsewhere', '2', 'Tenant', 'single', null, '-1 hour', '5 hours'),
  ('Weekly', '2', 'Tenant', 'recurring', null, '-3 days', '30 days'), ('Party', '2', 'Tenant', 'event', null, '-1 hour', '5 hours'),
  ('Driver', '2', 'Tenant', 'vehicle', 'CB 7777 AB', '-1 hour', '5 hours'), ('Petar Listed', '2', 'Tenant', 'single', null, '-1 hour', '5 hours'),
  ('Petar Listet', '2', 'Tenant', 'single', null, '-1 hour', '5 hours'), ('Of who left', '2', 'Gone', 'single', null, '-1 hour', '5 hours'),
  ('Owner guest', '1', 'Owner', 'single', null, '-1 hour', '5 hours'), ('revoked', '2', 'Tenant', 'single', null, '-1 hour', '5 hours'),
  ('out of hours', '2', 'Tenant', 'single', null, '-1 hour', '5 hours'), ('too early', '2', 'Tenant', 'single', null, '-1 hour', '5 hours')
) i (name, unit, host, kind, plate, since, until);
insert into public.invitation_guests (id, full_name, community_id, invitation_id) values (tests.id('Gosho'), 'Gosho', tests.id('Alder'), tests.id('Party'));
insert into public.invitation_access_points (community_id, invitation_id, access_point_id) values (tests.id('Alder'), tests.id('Elsewhere'), tests.id('Barrier'));
update public.visitor_invitations set status = 'cancelled' where id = tests.id('Cancelled');
create temporary table carried (name text primary key, credential text);
grant select on carried to authenticated, anon, service_role;

insert into public.passes (id, community_id, kind, invitation_id, guest_id, resident_id, kid, starts_at, ends_at, max_uses)
select tests.id('pass of ' || p.name), c.community_id, case when p.host then 'resident' else 'visitor' end::public.pass_kind,
  case when not p.host then tests.id(coalesce(p.invitation, p.name)) end, case when p.name = 'Gosho' then tests.id('Gosho') end, case when p.host then tests.id(p.name) end,
  app.signing_pass_key(c.community_id), date_trunc('second', now() + p.since::interval), date_trunc('second', now() + p.until::interval), p.most
from (values
  ('Vera Visitor', null, false, '-1 hour', '5 hours', 1), ('Used', null, false, '-1 hour', '5 hours', 1), ('Early', null, false, '2 hours', '5 hours', 1),
  ('Late', null, false, '-5 hours', '-2 hours', 1), ('Cancelled', null, false, '-1 hour', '5 hours', 1), ('Elsewhere', null, false, '-1 hour', '5 hours', 1),
  ('Weekly', null, false, '-3 days', '30 days', null), ('Gosho', 'Party', false, '-1 hour', '5 hours', 5), ('crowd', 'Party', false, '-1 hour', '5 hours', null),
  ('Petar Listed', null, false, '-1 hour', '5 hours', 1), ('Petar Listet', null, false, '-1 hour', '5 hours', 1), ('Of who left', null, false, '-1 hour', '5 hours', 1),
  ('revoked', null, false, '-1 hour', '5 hours', 1), ('Owner guest', null, false, '-1 hour', '5 hours', null),
  ('out of hours', null, false, '-5 hours', '-4 hours', 1), ('too early', null, false, '2 hours', '4 hours', 1),
  ('Tenant', null, true, '-1 hour', '5 days', null), ('Gone', null, true, '-1 hour', '5 days', null)
) p (name, invitation, host, since, until, most)
cross join (values (tests.id('Alder'))) c (community_id);
insert into carried
select replace(replace(p.id::text, '-', ''), '', ''), app.pass_text(p) from public.passes p where p.community_id = tests.id('Alder') and p.kind = 'visitor';
insert into carried
select 'of nobody', app.pass_text(jsonb_populate_record(p, jsonb_build_object('id', tests.id('never issued')))) from public.passes p where p.id = tests.id('pass of Vera Visitor');
insert into carried
select p.resident_id::text || s, app.resident_pass_text(p.id, p.kid, app.resident_seed(p), floor(extract(epoch from now()) / 30)::integer + s)
from public.passes p cross join generate_series(-5, 1) s where p.community_id = tests.id('Alder') and p.kind = 'resident';
update public.passes set revoked_at = now(), revoked_reason = 'Lost' where id = tests.id('pass of revoked');

create function pg_temp.pass(name text) returns text language sql stable as $$ select c.credential from carried c where c.name = replace(tests.id('pass of ' || pass.name)::text, '-', '') $$;
create function pg_temp.rotating(name text, step integer default 0) returns text language sql stable as $$ select c.credential from carried c where c.name = tests.id(rotating.name)::text || step $$;
-- A decision, as "outcome reason".
create function pg_temp.decide(point text, method public.access_method, credential text default null, direction public.access_direction default 'in', nonce text default null, visit uuid default null,
  resident uuid default null, acknowledged uuid default null, note text default null)
returns text language sql volatile as $$
  select d.outcome || ' ' || d.reason from public.decide_access(tests.id(point), method, credential, direction, nonce, null, visit, null, null, resident, null, acknowledged, note) d
$$;
create function pg_temp.as_device(key text) returns void language sql volatile as $$
  select tests.clear_authentication();
  select set_config('request.headers', jsonb_build_object('x-device-key', tests.kept(key))::text, true);
$$;
-- What an attempt may use up or move.
create function pg_temp.log_of(reason text) returns setof audit.access_log language sql stable security definer as $$
  select l.* from audit.access_log l where l.community_id = tests.id('Alder') and l.reason = log_of.reason order by l.id desc
$$;
create function pg_temp.state() returns text language sql stable security definer as $$
  select md5(concat(
    (select string_agg(u::text, ',' order by u.pass_id) from private.pass_uses u), (select string_agg(i::text, ',' order by i.invitation_id) from private.invitation_uses i),
    (select string_agg(g.id || g.status::text, ',' order by g.id) from public.invitation_guests g), (select string_agg(v.id || v.status::text, ',' order by v.id) from public.visits v),
    (select string_agg(p::text, ',' order by p.subject_id) from private.presences p)))
$$;
create function pg_temp.lines() returns bigint language sql stable security definer as $$ select count(*) from audit.access_log l where l.community_id in (tests.id('Alder'), tests.id('Cedar')) $$;
do $$ begin execute format('grant execute on all functions in schema %I to anon, authenticated, service_role', pg_my_temp_schema()::regnamespace); end $$;

-- Vehicles, cards, holds, the blacklist.
insert into public.vehicles (id, plate, community_id, unit_id, resident_id, status, tag_number) values
  (tests.id('car'), 'CB 1234 AB', tests.id('Alder'), tests.id('2'), tests.id('Tenant'), 'active', 'E280-1'),
  (tests.id('second car'), 'CB 1235 AB', tests.id('Alder'), tests.id('2'), tests.id('Tenant'), 'active', null),
  (tests.id('suspended car'), 'CB 2222 AB', tests.id('Alder'), tests.id('2'), tests.id('Tenant'), 'active', null),
  (tests.id('old car'), 'CB 3333 AB', tests.id('Alder'), tests.id('2'), tests.id('Gone'), 'active', null),
  (tests.id('held car'), 'CB 4444 AB', tests.id('Alder'), tests.id('2'), tests.id('Tenant'), 'active', null),
  (tests.id('listed car'), 'CB 5555 AB', tests.id('Alder'), tests.id('2'), null, 'active', null);
select public.set_vehicle_status(tests.id('suspended car'), 'suspended', 'Leaks oil');
insert into public.access_cards (id, number, community_id, resident_id, guard_id, expires_on) values
  (tests.id('card'), '1001', tests.id('Alder'), tests.id('Tenant'), null, null), (tests.id('blocked card'), '1002', tests.id('Alder'), tests.id('Tenant'), null, null),
  (tests.id('lost card'), '1003', tests.id('Alder'), tests.id('Tenant'), null, null), (tests.id('old card'), '1004', tests.id('Alder'), tests.id('Tenant'), null, current_date - 2),
  (tests.id('card of who left'), '1005', tests.id('Alder'), tests.id('Gone'), null, null), (tests.id('card of barred'), '1006', tests.id('Alder'), tests.id('Barred'), null, null),
  (tests.id('staff card'), '1007', tests.id('Alder'), null, tests.id('Guard'), null);
select public.set_access_card_status(tests.id('blocked card'), 'blocked'), public.set_access_card_status(tests.id('lost card'), 'lost');
select public.place_access_hold(tests.id('Alder'), 'unpaid_fine', vehicle_id => tests.id('held car'));
select tests.keep('entry', e.entry_id) from public.add_blacklist_entry(tests.id('Alder'), 'Stole parcels', 'Petar Listed') e;
select public.add_blacklist_entry(tests.id('Alder'), 'Drove over the lawn', plate => 'CB 5555 AB');

-- Visits of who came unannounced.
insert into public.visits (id, visitor_name, community_id, unit_id, status, status_reason, asked_at, answer_due_at, created_at)
select tests.id(v.name), v.name, tests.id('Alder'), tests.id('2'), 'pending', null, now() - interval '2 minutes', now() + v.answer_by::interval, now()
from (values ('approved visit', '5 minutes'), ('pending visit', '5 minutes'), ('denied visit', '5 minutes'), ('unanswered visit', '-1 minute')) v (name, answer_by);
update public.visits set status = 'approved', answered_at = now() where id = tests.id('approved visit');
update public.visits set status = 'denied', status_reason = 'refused', answered_at = now() where id = tests.id('denied visit');

select tests.keep('state', pg_temp.state());

-- Who may ask ---------------------------------------------------------------------------------------------------------

select tests.clear_authentication();
select throws_ok($$select pg_temp.decide('Gate', 'qr', 'x')$$, 'PT401', 'device_unknown', 'nobody asks without a device''s key or a user');
select set_config('request.headers', '{"x-device-key": "vd_00000000000000000000000000000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}', true);
select throws_ok($$select pg_temp.decide('Gate', 'qr', 'x')$$, 'PT401', 'device_unknown', 'nor with a key that nobody has');
select pg_temp.as_device('cedar_reader');
select throws_ok($$select pg_temp.decide('Gate', 'qr', 'x')$$, 'PT404', 'access_point_not_found', 'a device of another community decides nothing here');
select pg_temp.as_device('reader');
select throws_ok($$select pg_temp.decide('Barrier', 'qr', 'x')$$, 'PT404', 'access_point_not_found', 'nor a reader at another gate');
select throws_ok($$select pg_temp.decide('Gate', 'guard', note => 'Let me in')$$, 'PT400', 'malformed_request', 'a device does not act as a guard');
select throws_ok($$select pg_temp.decide('Gate', 'app')$$, 'PT400', 'malformed_request', 'nor as a resident');
select set_config('request.headers', '', true);
select tests.authenticate_as('foreign guard');
select throws_ok($$select pg_temp.decide('Gate', 'qr', 'x')$$, 'PT403', 'permission_denied', 'a guard of another community decides nothing here');
select throws_ok($$select public.decide_access(tests.id('nowhere'), 'qr', 'x')$$, 'PT403', 'permission_denied', 'nor at a gate that does not exist, which is answered alike');
select tests.authenticate_as('neighbour');
select throws_ok($$select pg_temp.decide('Gate', 'qr', 'x')$$, 'PT403', 'permission_denied', 'a resident checks nobody''s pass');
select throws_ok($$select pg_temp.decide('Gate', 'guard', note => 'Let me in')$$, 'PT403', 'permission_denied', 'and is no guard');
select throws_ok($$select pg_temp.decide('Cedar gate', 'app')$$, 'PT403', 'permission_denied', 'and opens no gate where they do not live');
select throws_ok($$select pg_temp.decide('Gate', 'intercom', visit => tests.id('approved visit'))$$, 'PT404', 'visit_not_found', 'nor lets in a neighbour''s visitor');
select tests.authenticate_as('guard');
select throws_ok($$select pg_temp.decide('Gate', 'app')$$, 'PT403', 'permission_denied', 'a guard who lives elsewhere is no resident');
select tests.as_studio();
select public.revoke_role(m.id) from public.memberships m where m.user_id = tests.id('fired');
select tests.authenticate_with(tests.kept('fired_token')::jsonb);
select throws_ok($$select pg_temp.decide('Gate', 'guard', note => 'Old friends')$$, 'PT403', 'permission_denied', 'a fired guard whose token still lives opens nothing');
select tests.as_studio();
select is(pg_temp.lines(), 0::bigint, 'a stranger''s call is no attempt at the gate: no line');

-- What is no question ---------------------------------------------------------------------------------------------------

select tests.authenticate_as('guard');
select throws_ok(q.text, 'PT400', 'malformed_request', 'malformed: ' || q.why)
from (values
  ($$select public.decide_access(null, 'qr', 'x')$$, 'no gate'),
  ($$select public.decide_access(tests.id('Gate'), null, 'x')$$, 'no method'),
  ($$select pg_temp.decide('Gate', 'qr')$$, 'a method without its credential'),
  ($$select pg_temp.decide('Gate', 'guard', 'x', note => 'n')$$, 'a credential without its method'),
  ($$select pg_temp.decide('Gate', 'qr', 'x', 'both')$$, 'both directions'),
  ($$select pg_temp.decide('Gate', 'qr', 'x', nonce => '')$$, 'an empty nonce'),
  ($$select pg_temp.decide('Gate', 'qr', 'x', nonce => repeat('n', 65))$$, 'a nonce of 65 characters'),
  ($$select pg_temp.decide('Gate', 'qr', 'x', nonce => 'ж')$$, 'a nonce beyond ASCII'),
  ($$select pg_temp.decide('Gate', 'qr', repeat('x', 65537))$$, 'a credential of more than 64 kB'),
  ($$select pg_temp.decide('Gate', 'qr', 'x', visit => tests.id('approved visit'))$$, 'a pass and a visit'),
  ($$select pg_temp.decide('Gate', 'guard')$$, 'a guard who opens and does not say for whom or why'),
  ($$select pg_temp.decide('Gate', 'guard', visit => tests.id('approved visit'), resident => tests.id('Tenant'))$$, 'two subjects'),
  ($$select pg_temp.decide('Gate', 'intercom')$$, 'a guard at the intercom, for nobody'),
  ($$select public.decide_access(tests.id('Gate'), 'qr', 'x', scanned_at => 'infinity')$$, 'scanned at the end of time'),
  ($$select pg_temp.decide('Gate', 'guard', note => repeat('n', 501))$$, 'a note of more than 500 characters')
) q (text, why);
select throws_ok($$select pg_temp.decide('Gate', 'guard', visit => tests.id('nowhere'))$$, 'PT404', 'visit_not_found', 'a visit that is none');
select throws_ok($$select pg_temp.decide('Gate', 'guard', resident => tests.id('Far'))$$, 'PT404', 'resident_not_found', 'a resident of another community');
select throws_ok($$select public.decide_access(tests.id('Gate'), 'guard', note => 'n', photo_file_id => tests.id('nowhere'))$$, 'PT404', 'file_not_found', 'a photograph that nobody registered');
select tests.as_studio();
select is(pg_temp.lines(), 0::bigint, 'what is malformed leaves no line');

-- Denials: each has its line, and uses up nothing -------------------------------------------------------------------------

select tests.authenticate_as('guard');
select is(pg_temp.decide(d.point, d.method::public.access_method, d.credential, d.direction::public.access_direction, visit => d.visit, resident => d.resident), 'denied ' || d.reason, d.why)
from (values
  ('Broken gate', 'qr', pg_temp.pass('Vera Visitor'), 'in', null::uuid, null::uuid, 'out_of_service', 'a gate out of service opens for nobody'),
  ('Exit', 'qr', pg_temp.pass('Vera Visitor'), 'in', null, null, 'wrong_direction', 'nobody comes in by the way out'),
  ('Night gate', 'qr', pg_temp.pass('Vera Visitor'), 'in', null, null, 'closed', 'a gate is closed outside of its hours'),
  ('Gate', 'qr', 'hello', 'in', null, null, 'malformed_pass', 'what is no pass'),
  ('Gate', 'qr', repeat('A', 10240), 'in', null, null, 'malformed_pass', 'a pass of 10 kB'),
  ('Gate', 'qr', overlay(pg_temp.pass('Vera Visitor') placing 'aaaaaaaa' from 4 for 8), 'in', null, null, 'unknown_key', 'a pass under a key that nobody has'),
  ('Gate', 'qr', left(pg_temp.pass('Vera Visitor'), -43) || repeat('A', 43), 'in', null, null, 'bad_signature', 'a forged pass'),
  ('Gate', 'qr', (select c.credential from carried c where c.name = 'of nobody'), 'in', null, null, 'unknown_pass', 'a pass that was never issued, under a key that leaked'),
  ('Gate', 'qr', pg_temp.pass('revoked'), 'in', null, null, 'revoked', 'a revoked pass, whose signature is genuine'),
  ('Gate', 'qr', pg_temp.pass('out of hours'), 'in', null, null, 'expired', 'an expired pass'),
  ('Gate', 'qr', pg_temp.pass('too early'), 'in', null, null, 'not_yet_valid', 'a pass whose time has not come'),
  ('Gate', 'qr', pg_temp.rotating('Tenant', -5), 'in', null, null, 'stale', 'a photograph of a resident''s pass, minutes old'),
  ('Gate', 'qr', pg_temp.rotating('Gone'), 'in', null, null, 'holder_left', 'the pass of a resident who moved out'),
  ('Gate', 'qr', pg_temp.pass('Cancelled'), 'in', null, null, 'invitation_cancelled', 'a pass whose invitation was taken back'),
  ('Gate', 'qr', pg_temp.pass('Elsewhere'), 'in', null, null, 'wrong_access_point', 'an invitation for another gate'),
  ('Gate', 'qr', pg_temp.pass('Weekly'), 'in', null, null, 'outside_schedule', 'an invitation for other hours'),
  ('Gate', 'qr', pg_temp.pass('Of who left'), 'in', null, null, 'host_left', 'an invitation of somebody who moved out'),
  ('Gate', 'qr', pg_temp.pass('Petar Listed'), 'in', null, null, 'blacklisted', 'who is on the blacklist'),
  ('Gate', 'qr', pg_temp.pass('Petar Listet'), 'in', null, null, 'blacklist_near', 'who may be on the blacklist'),
  ('Gate', 'card', '9999', 'in', null, null, 'card_unknown', 'a card that nobody has'),
  ('Gate', 'card', '1002', 'in', null, null, 'card_blocked', 'a blocked card'),
  ('Gate', 'card', '1003', 'in', null, null, 'card_lost', 'a lost card'),
  ('Gate', 'card', '1004', 'in', null, null, 'expired', 'an expired card'),
  ('Gate', 'card', '1005', 'in', null, null, 'holder_left', 'the card of somebody who moved out'),
  ('Gate', 'card', '1006', 'in', null, null, 'holder_suspended', 'the card of a suspended resident'),
  ('Gate', 'plate', '???', 'in', null, null, 'plate_unreadable', 'a plate that a camera could not read'),
  ('Gate', 'plate', 'CB 9999 ZZ', 'in', null, null, 'plate_unknown', 'a plate that nobody knows'),
  ('Gate', 'plate', 'cb2222ab', 'in', null, null, 'vehicle_suspended', 'a suspended vehicle'),
  ('Gate', 'plate', 'CB 3333 AB', 'in', null, null, 'vehicle_inactive', 'the vehicle of somebody who moved out'),
  ('Gate', 'plate', 'CB 4444 AB', 'in', null, null, 'on_hold', 'a vehicle that is held'),
  ('Gate', 'plate', 'CB 5555 AB', 'in', null, null, 'blacklisted', 'a vehicle whose plate is on the blacklist'),
  ('Gate', 'code', '000000', 'in', null, null, 'code_unknown', 'a wrong code'),
  ('Gate', 'guard', null, 'in', tests.id('pending visit'), null, 'visit_pending', 'a visitor whom nobody has answered for yet'),
  ('Gate', 'guard', null, 'in', tests.id('denied visit'), null, 'visit_denied', 'a visitor whom the resident does not receive'),
  ('Gate', 'guard', null, 'in', null, tests.id('Gone'), 'holder_left', 'a former resident whom the guard knows'),
  ('Gate', 'guard', null, 'in', null, tests.id('Barred'), 'holder_suspended', 'a suspended resident whom the guard knows')
) d (point, method, credential, direction, visit, resident, reason, why);
select tests.as_studio();
select is(pg_temp.state(), tests.kept('state'), 'of all that was denied nothing was used up, nobody counts as inside, no visit moved');
select is(pg_temp.lines(), 36::bigint, 'and every attempt has one line');
select is((select count(*) from audit.access_log l where l.community_id = tests.id('Alder') and l.pass_id is null and l.method = 'qr' and l.reason in ('malformed_pass', 'unknown_key', 'bad_signature')), 4::bigint,
  'what a forged pass says of itself is not in the log');
select is((select count(*) from app.outbox o where o.topic = 'access.denied' and o.community_id = tests.id('Alder')), 29::bigint, 'denials are told of, but of garbage and strangers');
select is((select count(*) from app.outbox o where o.topic = 'blacklist.matched' and o.community_id = tests.id('Alder') and o.payload ->> 'booth_id' = tests.id('Booth')::text), 3::bigint,
  'so are matches of the blacklist, to the booth');
select tests.authenticate_as('guard');
select is(pg_temp.decide('Gate', 'guard', visit => tests.id('unanswered visit')), 'denied no_answer', 'a visitor whom nobody answered for in time');
select is((select v.status::text from public.visits v where v.id = tests.id('unanswered visit')), 'denied', 'and the visit is settled');
select tests.authenticate_as('foreign guard');
select is(pg_temp.decide('Cedar gate', 'qr', pg_temp.pass('Vera Visitor')), 'denied wrong_community', 'a pass opens nothing in another community');
select tests.authenticate_as('tenant');
select is(pg_temp.decide('Staff door', 'app'), 'denied not_open_to_residents', 'residents do not open a staff door from the app');
select is(pg_temp.decide('Staff door', 'app', direction => 'out'), 'denied not_open_to_residents', 'nor by saying that they go out');
select is(pg_temp.decide('Staff door', 'intercom', direction => 'out'), 'denied not_open_to_residents', 'nor by the intercom');

-- One use, one answer ---------------------------------------------------------------------------------------------------

select tests.authenticate_as('guard');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('Vera Visitor'), nonce => 'n1'), 'granted admitted', 'a good pass lets in');
select tests.keep('answer', (select l.id from pg_temp.log_of('admitted') l limit 1));
select results_eq($$select l.visit_id is not null, l.guard_id, l.shift_id, l.caller_id, l.unit_id, l.device_id, l.direction::text from public.access_log l where l.id = tests.kept('answer')::uuid$$,
  $$values (true, tests.id('Guard'), tests.kept('shift')::uuid, tests.id('guard'), tests.id('2'), null::uuid, 'in')$$, 'the line names visit, unit, guard and shift');
select tests.as_studio();
select is((select u.used_count from private.pass_uses u where u.pass_id = tests.id('pass of Vera Visitor')), 1, 'the pass is used once');
select tests.keep('state', pg_temp.state()), tests.keep('lines', pg_temp.lines());
select tests.authenticate_as('guard');
select results_eq(
  $$select d.outcome::text, d.reason, d.log_id, d.subject_name, d.is_repeated from public.decide_access(tests.id('Gate'), 'qr', pg_temp.pass('Vera Visitor'), 'in', 'n1', now()) d$$,
  $$values ('granted', 'admitted', tests.kept('answer')::uuid, 'Vera Visitor', true)$$, 'asked again with the same nonce, the answer is the same');
select tests.as_studio();
select is(pg_temp.state() || pg_temp.lines(), tests.kept('state') || tests.kept('lines'), 'and nothing is used up or logged twice');
select tests.authenticate_as('guard');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('Used'), nonce => 'n1'), 'denied nonce_reused', 'another pass gets no answer by a nonce that was used');
select is(pg_temp.decide('Barrier', 'qr', pg_temp.pass('Vera Visitor'), nonce => 'n1'), 'denied nonce_reused', 'nor does the same pass at another gate');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('Vera Visitor'), nonce => 'n1'), 'granted admitted', 'and the first question keeps its answer');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('Vera Visitor')), 'denied already_used', 'without a nonce it is another attempt: the pass is used');
select tests.authenticate_as('second guard');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('Vera Visitor'), nonce => 'n1'), 'denied already_used', 'another guard''s nonce is another question');
select pg_temp.as_device('reader');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('Vera Visitor'), nonce => 'n1'), 'denied already_used', 'and so is a device''s');
select tests.as_studio();
select is(pg_temp.state(), tests.kept('state'), 'none of them used anything up');
select is(pg_temp.lines(), tests.kept('lines')::bigint + 5, 'each has its line');
select is((select l.device_id from pg_temp.log_of('already_used') l limit 1), tests.kept('reader_id')::uuid, 'which names the device');

-- Who goes out --------------------------------------------------------------------------------------------------------

select pg_temp.as_device('reader');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('Vera Visitor'), 'out'), 'granted left', 'a used pass lets out');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('out of hours'), 'out'), 'granted left', 'so does an expired one');
select is(pg_temp.decide('Gate', 'card', '1002', 'out'), 'granted left', 'so does a blocked card');
select is(pg_temp.decide('Gate', 'qr', left(pg_temp.pass('Vera Visitor'), -43) || repeat('A', 43), 'out'), 'denied bad_signature', 'a forged pass does not');
select is(pg_temp.decide('Gate', 'plate', 'CB 9999 ZZ', 'out'), 'denied plate_unknown', 'nor does a plate that nobody knows');
select set_config('request.headers', '', true);
select tests.as_studio();
select is((select v.status::text from public.visits v where v.invitation_id = tests.id('Vera Visitor')), 'checked_out', 'the visit is over');
select is((select u.used_count from private.pass_uses u where u.pass_id = tests.id('pass of Vera Visitor')), 1, 'going out uses nothing up');

-- Events, the blacklist, residents' passes ------------------------------------------------------------------------------

select tests.authenticate_as('guard');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('Gosho')), 'granted admitted', 'a guest of the list');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('Gosho')), 'denied guest_entered', 'enters once');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('crowd')), 'granted admitted', 'the last place of the event');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('crowd')), 'denied invitation_full', 'and none after it');
select tests.as_studio();
select is((select array_agg(u.used_count order by u.used_count) from private.pass_uses u where u.pass_id in (tests.id('pass of Gosho'), tests.id('pass of crowd'))), '{1,1}'::integer[],
  'a pass is not used for a place that was not there');

select tests.authenticate_as('guard');
select results_eq($$select d.reason, d.blacklist_entry_id, d.blacklist_match from public.decide_access(tests.id('Gate'), 'qr', pg_temp.pass('Petar Listet')) d$$,
  $$values ('blacklist_near', tests.kept('entry')::uuid, 'name')$$, 'a near match names the entry to the guard');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('Petar Listed'), acknowledged => tests.kept('entry')::uuid), 'denied blacklisted', 'no guard lets in who is on the list');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('Petar Listet'), acknowledged => tests.id('another entry')), 'denied blacklist_near', 'another entry is not the one to be looked at');
select tests.authenticate_as('manager');
select tests.keep('farther', e.entry_id) from public.add_blacklist_entry(tests.id('Alder'), 'Broke the lamp', 'Petar Listetovich') e;
select tests.authenticate_as('guard');
select results_eq($$select d.reason, d.blacklist_entry_id from public.decide_access(tests.id('Gate'), 'qr', pg_temp.pass('Petar Listet'), acknowledged_entry_id => tests.kept('entry')::uuid) d$$,
  $$values ('blacklist_near', tests.kept('farther')::uuid)$$, 'who has looked at the nearest has not looked at the next, and is asked about it');
select tests.authenticate_as('manager');
select public.lift_blacklist_entry(tests.kept('farther')::uuid, 'Paid for it');
select pg_temp.as_device('reader');
select is((select concat_ws(', ', d.reason, d.subject_name, d.blacklist_entry_id) from public.decide_access(tests.id('Gate'), 'qr', pg_temp.pass('Petar Listet'), acknowledged_entry_id => tests.kept('entry')::uuid) d),
  'blacklist_near', 'a device looks at nobody, and a reader on the wall is told no names');
select set_config('request.headers', '', true);
select tests.authenticate_as('guard');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('Petar Listet'), acknowledged => tests.kept('entry')::uuid), 'granted acknowledged', 'a guard who has looked lets in');
select is((select l.blacklist_entry_id from pg_temp.log_of('acknowledged') l), tests.kept('entry')::uuid, 'which the log tells');

select is(pg_temp.decide('Gate', 'qr', pg_temp.rotating('Tenant')), 'granted admitted', 'a resident''s pass of this half minute');
select is(pg_temp.decide('Gate', 'qr', pg_temp.rotating('Tenant')), 'denied already_used', 'over the shoulder, in the same half minute: no');
select is(pg_temp.decide('Gate', 'qr', pg_temp.rotating('Tenant', 1)), 'granted admitted', 'the next one');

-- Vehicles, anti-passback ----------------------------------------------------------------------------------------------

select pg_temp.as_device('tablet');
select is((select concat_ws(', ', d.outcome, d.reason, d.subject_kind, d.subject_unit) from public.decide_access(tests.id('Barrier'), 'plate', 'cb-i234-ab') d), 'granted, admitted, vehicle, 2',
  'a plate, as a camera reads it, at a gate of the tablet''s booth');
select is(pg_temp.decide('Barrier', 'plate', 'CB 1234 AB'), 'denied anti_passback', 'nobody comes in twice');
select is(pg_temp.decide('Barrier', 'plate', 'CB 1235 AB'), 'granted admitted', 'another vehicle does');
select is(pg_temp.decide('Barrier', 'plate', 'CB 1234 AB', 'out'), 'granted left', 'who goes out');
select is(pg_temp.decide('Barrier', 'card', 'e280-1'), 'granted admitted', 'comes in again, by the tag this time');
select is(pg_temp.decide('Gate', 'plate', 'CB 1234 AB'), 'granted admitted', 'where there is no anti-passback, nobody asks');
select is(pg_temp.decide('Gate', 'plate', 'CB 7777 AB'), 'granted admitted', 'a visitor by the plate that was announced');
select is(pg_temp.decide('Gate', 'plate', 'CB 7777 AB', 'out'), 'granted left', 'and out again');
select is(pg_temp.decide('Barrier', 'qr', pg_temp.pass('Owner guest')), 'granted admitted', 'a visitor');
select is(pg_temp.decide('Barrier', 'qr', pg_temp.pass('Owner guest')), 'denied anti_passback', 'hands no pass back over the fence');
select set_config('request.headers', '', true);
select tests.authenticate_as('neighbour');
select throws_ok($$select public.reset_presence(tests.id('Alder'), tests.id('car'), 'Mine now')$$, 'PT403', 'permission_denied', 'a resident says of nobody that they are outside');
select tests.authenticate_as('guard');
select throws_ok($$select public.reset_presence(tests.id('Alder'), tests.id('car'), ' ')$$, 'PT422', 'reason_required', 'nor does a guard without a reason');
select is(public.reset_presence(tests.id('Alder'), tests.id('car'), 'Was towed') || ' ' || public.reset_presence(tests.id('Alder'), tests.id('car'), 'Was towed'), 'true false', 'a guard does, once');
select is(pg_temp.decide('Barrier', 'plate', 'CB 1234 AB'), 'granted admitted', 'and then it may come in');

-- Cards, residents, by hand, codes ---------------------------------------------------------------------------------------

select is(pg_temp.decide('Gate', 'card', '1001'), 'granted admitted', 'a resident''s card');
select is(pg_temp.decide('Gate', 'card', '1007'), 'granted admitted', 'a guard''s card');
select is(pg_temp.decide('Gate', 'guard', resident => tests.id('Tenant')), 'granted admitted', 'a resident whom the guard knows');
select is(pg_temp.decide('Gate', 'guard', note => 'Ambulance'), 'granted opened_by_guard', 'a guard opens for a reason');
select is(pg_temp.decide('Night gate', 'guard', note => 'Ambulance'), 'granted opened_by_guard', 'at night too');
select is((select d.outcome || ' ' || d.reason from public.decide_access(tests.id('Gate'), 'guard', invitation_id => tests.id('Used')) d), 'granted admitted', 'who is on the list and shows nothing');
select throws_ok($$select public.decide_access(tests.id('Gate'), 'guard', invitation_id => tests.id('Used'), guest_id => tests.id('Gosho'))$$, 'PT404', 'invitation_not_found', 'a guest is of the invitation''s list');
select tests.authenticate_as('tenant');
select is((select concat_ws(', ', d.reason, d.subject_name, d.subject_unit) from public.decide_access(tests.id('Gate'), 'app') d), 'admitted, Tenant, 2', 'a resident lets themselves in by the app');
select is(pg_temp.decide('Gate', 'intercom', visit => tests.id('approved visit')), 'granted admitted', 'and their visitor by the intercom');
select is(pg_temp.decide('Gate', 'intercom'), 'granted opened_by_resident', 'or whoever rang');
select tests.authenticate_as('guard');
select is(pg_temp.decide('Gate', 'guard', visit => tests.id('approved visit')), 'denied visit_over', 'a visit begins once');
select tests.keep('noted', public.check_in_visit(invitation_id => tests.id('revoked'), access_point_id => tests.id('Gate')));
select public.check_out_visit(tests.kept('noted')::uuid, tests.id('Exit'));
select results_eq($$select l.method::text, l.direction::text, l.access_point_id, l.guard_id from public.access_log l where l.visit_id = tests.kept('noted')::uuid order by l.logged_at$$,
  $$values ('guard', 'in', tests.id('Gate'), tests.id('Guard')), ('guard', 'out', tests.id('Exit'), tests.id('Guard'))$$, 'what a guard notes by hand has its lines');
select throws_ok($$select public.check_in_visit(invitation_id => tests.id('Petar Listed'), access_point_id => tests.id('Gate'))$$, 'PT409', 'visit_refused', 'and lets in nobody who is on the blacklist');
select tests.as_studio();
select tests.keep('code', (select e.code from public.issue_entry_code(tests.id('Driver')) e));
select pg_temp.as_device('reader');
select is(pg_temp.decide('Gate', 'code', tests.kept('code')), 'granted admitted', 'an entry code');
select results_eq($$select distinct pg_temp.decide('Gate', 'code', lpad(n::text, 6, '9')) from generate_series(1, 40) n order by 1$$, $$values ('denied code_locked'), ('denied code_unknown')$$,
  'wrong codes are denied, then locked');
select is(pg_temp.decide('Gate', 'code', tests.kept('code')), 'denied code_locked', 'the right one too, at that device');
select set_config('request.headers', '', true);
select tests.as_studio();
select public.revoke_pass_key(k.kid, 'It leaked') from private.pass_keys k where k.community_id = tests.id('Alder');
select tests.authenticate_as('guard');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('Weekly')), 'denied key_revoked', 'a pass whose key was revoked');
select is(pg_temp.decide('Gate', 'qr', pg_temp.pass('Weekly'), 'out'), 'denied key_revoked', 'of which nothing can be believed, not even on the way out');

-- What the log and the audit tell of visits ------------------------------------------------------------------------------

select tests.as_studio();
create function pg_temp.audited(visit uuid) returns text language sql stable security definer as $$
  select coalesce(string_agg(concat_ws(' ', l.operation, l.changes::jsonb -> 'status' ->> 1), ', ' order by l.id), 'nothing') from audit.log l where l.row_id = audited.visit and l.operation <> 'insert'
$$;
select tests.keep('visit', v.id) from public.visits v where v.invitation_id = tests.id('Vera Visitor');
select is(pg_temp.audited(tests.kept('visit')::uuid), 'update checked_in, update checked_out', 'that a visit began and ended by decisions is audited');
select results_eq($$
  select l.direction::text, case l.direction when 'in' then v.checked_in_at else v.checked_out_at end = l.logged_at, case l.direction when 'in' then v.entry_point_id else v.exit_point_id end = l.access_point_id,
    (l.invitation_id, l.unit_id, l.pass_id) = (v.invitation_id, v.unit_id, tests.id('pass of Vera Visitor')), l.caller_id, l.device_id
  from audit.access_log l join public.visits v on v.id = l.visit_id where v.id = tests.kept('visit')::uuid and l.outcome = 'granted' order by l.logged_at$$,
  $$values ('in', true, true, true, tests.id('guard'), null::uuid), ('out', true, true, true, null, tests.kept('reader_id')::uuid)$$, 'its lines tell all of it: when, where, by what, asked by whom');
select is((select string_agg(o.topic, ' ' order by o.id) from app.outbox o where o.payload ->> 'visit_id' = tests.kept('visit')), 'visit.expected visit.checked_in visit.checked_out', 'others are told of it, once');
select is(pg_temp.audited(tests.id('unanswered visit')), 'update denied', 'whom a decision denied because nobody had answered is audited as well');
select tests.authenticate_as('guard');
select is(pg_temp.decide('Gate', 'guard', visit => tests.kept('visit')::uuid), 'denied visit_over', 'a visit is over whoever asks');
select is(current_setting('app.deciding'), '', 'and a decision leaves nothing behind');

select tests.as_studio();
select is((select array_agg(distinct l.reason order by l.reason) from audit.access_log l where l.community_id in (tests.id('Alder'), tests.id('Cedar'))), string_to_array(
  'acknowledged,admitted,already_used,anti_passback,bad_signature,blacklist_near,blacklisted,card_blocked,card_lost,card_unknown,closed,code_locked,code_unknown,expired,guest_entered,'
  'holder_left,holder_suspended,host_left,invitation_cancelled,invitation_full,key_revoked,left,malformed_pass,no_answer,nonce_reused,not_open_to_residents,not_yet_valid,on_hold,'
  'opened_by_guard,opened_by_resident,out_of_service,outside_schedule,plate_unknown,plate_unreadable,revoked,stale,unknown_key,unknown_pass,vehicle_inactive,vehicle_suspended,'
  'visit_denied,visit_over,visit_pending,wrong_access_point,wrong_community,wrong_direction', ','), 'every reason was given');

select * from finish();
rollback;
