-- The access log: who sees which lines, that none can be removed or changed, and when it forgets; who is inside; the reports.

begin;
select plan(56);

select tests.create_community('Alder', time_zone => 'Europe/Sofia'), tests.create_community('Cedar', time_zone => 'Europe/Sofia');
select tests.create_supabase_user(u) from unnest('{manager,guard,other guard,fired,owner,tenant,family,past tenant,landlord,foreign}'::text[]) u;
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder');
select tests.create_resident('Owner', 'Alder', tests.email('owner')), tests.create_resident('Tenant', 'Alder', tests.email('tenant')), tests.create_resident('Family', 'Alder', tests.email('family')),
  tests.create_resident('Past', 'Alder', tests.email('past tenant')), tests.create_resident('Landlord', 'Alder', tests.email('landlord'));
select tests.occupy('Owner', '1', 'owner', current_date - 100), tests.occupy('Tenant', '2', 'tenant', current_date - 50), tests.occupy('Family', '2', 'family', current_date - 50),
  tests.occupy('Past', '2', 'tenant', current_date - 300, current_date - 200), tests.occupy('Landlord', '2', 'owner', current_date - 400);
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'), tests.grant_role('other guard', 'guard', community => 'Alder'),
  tests.grant_role('fired', 'guard', community => 'Alder'), tests.grant_role('foreign', 'manager', community => 'Cedar');
insert into public.booths (id, name, community_id) values (tests.id('Booth'), 'Booth', tests.id('Alder')), (tests.id('Back'), 'Back', tests.id('Alder'));
insert into public.access_points (id, name, community_id, booth_id, kind) values (tests.id('Gate'), 'Gate', tests.id('Alder'), tests.id('Booth'), 'gate'),
  (tests.id('Back gate'), 'Back gate', tests.id('Alder'), tests.id('Back'), 'gate'), (tests.id('Cedar gate'), 'Cedar gate', tests.id('Cedar'), null, 'gate');
insert into public.guards (id, full_name, community_id, user_id) values (tests.id('Guard'), 'Guard', tests.id('Alder'), tests.id('guard')),
  (tests.id('Other'), 'Other', tests.id('Alder'), tests.id('other guard')), (tests.id('Fired'), 'Fired', tests.id('Alder'), tests.id('fired'));
select tests.keep('front', public.plan_shift(tests.id('Booth'), 'Front', now() - interval '1 hour', now() + interval '7 hours', guard_ids => array[tests.id('Guard'), tests.id('Fired')])),
  tests.keep('back', public.plan_shift(tests.id('Back'), 'Back', now() - interval '1 hour', now() + interval '7 hours', guard_ids => array[tests.id('Other')]));
select tests.keep('fired_token', tests.claims('fired'));

insert into public.vehicles (id, plate, community_id, unit_id, resident_id, status) values (tests.id('car'), 'CB 1234 AB', tests.id('Alder'), tests.id('2'), tests.id('Tenant'), 'active');
insert into public.visitor_invitations (id, community_id, unit_id, host_resident_id, kind, visitor_name, starts_at, ends_at, max_entries, created_at) values
  (tests.id('Vera'), tests.id('Alder'), tests.id('2'), tests.id('Tenant'), 'single', 'Vera', now() - interval '1 hour', now() + interval '5 hours', 1, now()),
  (tests.id('Old friend'), tests.id('Alder'), tests.id('2'), tests.id('Past'), 'single', 'Old friend', now() - interval '250 days', now() - interval '249 days', 1, now() - interval '250 days');

-- Lines, as decisions of these people; what the past tenant's visitor did, from before.
select tests.authenticate_as('tenant');
select public.decide_access(tests.id('Gate'), 'app', direction => 'in');
select tests.authenticate_as('owner');
select public.decide_access(tests.id('Gate'), 'app', direction => 'in');
select tests.authenticate_as('guard');
select public.decide_access(tests.id('Gate'), 'guard', invitation_id => tests.id('Vera'), direction => 'in');
select public.decide_access(tests.id('Gate'), 'plate', 'CB 1234 AB', 'in');
select public.decide_access(tests.id('Gate'), 'guard', note => 'Ambulance', direction => 'in');
select tests.authenticate_as('other guard');
select public.decide_access(tests.id('Back gate'), 'qr', 'nothing', 'in');
select tests.as_studio();
insert into audit.access_log (id, logged_at, scanned_at, community_id, access_point_id, method, direction, outcome, reason, invitation_id, unit_id, plate, note) values
  (tests.id('old line'), now() - interval '95 days', now() - interval '95 days', tests.id('Alder'), tests.id('Gate'), 'plate', 'in', 'granted', 'admitted', tests.id('Old friend'), tests.id('2'), 'CB 9999 ZZ', 'In a hurry'),
  (tests.id('Cedar line'), now(), now(), tests.id('Cedar'), tests.id('Cedar gate'), 'qr', 'in', 'denied', 'malformed_pass', null, null, null, null);
create function pg_temp.seen() returns text language sql stable as $$
  select coalesce(string_agg(l.method || ' ' || l.reason, ', ' order by l.method, l.reason, l.logged_at), 'nothing') from public.access_log l
$$;
do $$ begin execute format('grant execute on all functions in schema %I to anon, authenticated, service_role', pg_my_temp_schema()::regnamespace); end $$;

-- Who sees what ---------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select is(pg_temp.seen(), 'app admitted, app admitted, plate admitted, plate admitted, qr malformed_pass, guard admitted, guard opened_by_guard',
  'managers see every line of their community, and none of another');
select tests.authenticate_as('guard');
select is(pg_temp.seen(), 'app admitted, app admitted, plate admitted, guard admitted, guard opened_by_guard', 'a guard sees what was decided on their shift');
select tests.authenticate_as('other guard');
select is(pg_temp.seen(), 'qr malformed_pass', 'a guard of another gate''s shift does not, but their own');
select tests.authenticate_as('tenant');
select is(pg_temp.seen(), 'app admitted, plate admitted, guard admitted', 'a tenant sees their own comings, their vehicle''s, and their visitor''s');
select tests.authenticate_as('family');
select is(pg_temp.seen(), 'guard admitted', 'who lives with them sees the visitor, and not when the tenant comes home');
select tests.authenticate_as('owner');
select is(pg_temp.seen(), 'app admitted', 'a neighbour sees their own line alone');
select is((select count(*) from public.access_log l where l.resident_id = tests.id('Tenant')), 0::bigint, 'and nothing by asking for another''s');
select tests.authenticate_as('landlord');
select is(pg_temp.seen(), 'nothing', 'a landlord does not see the tenants'' visitors');
select tests.authenticate_as('past tenant');
select is(pg_temp.seen(), 'nothing', 'who moved out sees nothing any more');
select tests.authenticate_as('foreign');
select is(pg_temp.seen(), 'qr malformed_pass', 'a manager of another community sees theirs');
select tests.as_studio();
select public.revoke_role(m.id) from public.memberships m where m.user_id = tests.id('fired');
select tests.authenticate_with(tests.kept('fired_token')::jsonb);
select is(pg_temp.seen(), 'nothing', 'a fired guard whose token still lives sees nothing of the shift');
select tests.clear_authentication();
select throws_ok('select count(*) from public.access_log', '42501', null, 'nobody looks without signing in');

-- None can be removed ---------------------------------------------------------------------------------------------------

select tests.as_studio();
select tests.keep('lines', (select md5(string_agg(l::text, '|' order by l.id)) from audit.access_log l));
select throws_ok(format(q.text, t.name), 'PT409', 'append_only', 'the owner of the database: ' || format(q.text, t.name))
from (values ('delete from %s'), ('update %s set reason = ''left'''), ('truncate %s')) q (text)
cross join (values ('audit.access_log'), ('audit.access_log_default'), (to_char(now() at time zone 'UTC', '"audit.access_log_y"YYYY"m"MM'))) t (name);
select throws_ok('delete from public.access_log', 'PT409', 'append_only', 'nor through the view');
select tests.authenticate_as_service_role();
select throws_ok(format(q.text, t.name), '42501', null, 'the secret key: ' || format(q.text, t.name))
from (values ('delete from %s'), ('update %s set reason = ''left''')) q (text) cross join (values ('audit.access_log'), ('public.access_log')) t (name);
select throws_ok('truncate audit.access_log', '42501', null, 'the secret key: truncate');
select throws_ok($$insert into public.access_log (community_id, access_point_id, method, direction, outcome, reason, scanned_at) values (tests.id('Alder'), tests.id('Gate'), 'qr', 'in', 'granted', 'admitted', now())$$,
  '42501', null, 'and it writes no line past the decision');
select tests.authenticate_as('manager');
select throws_ok('delete from public.access_log', '42501', null, 'a manager');
select throws_ok('update public.access_log set reason = ''left''', '42501', null, 'changes none either');
select tests.authenticate_as('guard');
select throws_ok('delete from public.access_log', '42501', null, 'a guard');
select tests.as_studio();
select is((select md5(string_agg(l::text, '|' order by l.id)) from audit.access_log l), tests.kept('lines'), 'every line is as before');
select is((select count(*) from pg_catalog.pg_inherits i where i.inhparent = 'audit.access_log'::regclass), 5::bigint, 'this month, three ahead, and a default');
select is(app.ensure_partitions('audit.access_log'), 0, 'which are made once');

-- Photographs -------------------------------------------------------------------------------------------------------------

insert into public.files (id, name, community_id, purpose, bucket, content_type, size, status, stored_at, owner_id)
select tests.id(f.name), f.name, tests.id('Alder'), p.key, p.bucket, 'image/jpeg', 10, 'stored', now(), tests.id(f.owner)
from public.file_purposes p cross join (values ('plate.jpg', 'guard'), ('back.jpg', 'other guard')) f (name, owner) where p.key = 'access.photo';
select tests.authenticate_as('guard');
select throws_ok($$select public.decide_access(tests.id('Gate'), 'guard', note => 'x', photo_file_id => tests.id('back.jpg'))$$, 'PT404', 'file_not_found', 'a guard names no photograph of another''s');
select is((select d.outcome from public.decide_access(tests.id('Gate'), 'guard', note => 'Parcel', photo_file_id => tests.id('plate.jpg')) d), 'granted', 'but their own');
select tests.as_studio();
update public.files set owner_id = null where id = tests.id('plate.jpg');
select tests.authenticate_as('guard');
select is(tests.seen('public.files', 'name'), 'plate.jpg', 'guards see the photographs of their shift');
select tests.authenticate_as('manager');
select is(tests.seen('public.files', 'name'), 'back.jpg, plate.jpg', 'managers all');
select tests.authenticate_as('tenant');
select is(tests.seen('public.files', 'name'), 'nothing', 'residents none');

-- Reports -----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select is((select string_agg(i.kind || ' ' || i.name, ', ' order by i.kind, i.name) from public.people_inside i), 'resident Owner, resident Tenant, vehicle CB 1234 AB, visitor Vera', 'managers see who is inside');
select is((select string_agg(v.visitor_name || ' ' || v.status, ', ') from public.visits_today v), 'Vera checked_in', 'and whom today brings');
select is((select sum(d.denials) from public.denials_by_reason d where d.reason = 'malformed_pass'), 1::numeric, 'why gates stayed shut');
select is((select sum(b.entries) || ' ' || sum(b.denials) from public.busiest_hours b), '6 1', 'and when they are busy');
select tests.authenticate_as('guard');
select is((select count(*) from public.people_inside), 4::bigint, 'so do guards, of who is inside');
select is((select count(*) from public.denials_by_reason), 0::bigint, 'but no counts of a log they do not read');
select tests.authenticate_as('tenant');
select is((select string_agg(i.kind || ' ' || i.name, ', ') from public.people_inside i), 'visitor Vera', 'a resident sees the own visitor inside, and nobody else');
select tests.authenticate_as('owner');
select is((select count(*) from public.people_inside) + (select count(*) from public.visits_today) + (select count(*) from public.busiest_hours), 0::bigint, 'a neighbour nothing');
select tests.authenticate_as_service_role();
select is((select count(*) from public.people_inside i where i.community_id = tests.id('Alder')), 4::bigint, 'the secret key reads reports');

-- Forgetting --------------------------------------------------------------------------------------------------------------

select tests.as_studio();
create table audit.access_log_y2020m02 partition of audit.access_log for values from ('2020-02-01 00:00:00+00') to ('2020-03-01 00:00:00+00');
select lives_ok('select app.job_access_log_retention()', 'the retention job');
select results_eq($$select l.plate, l.note, l.unit_id from audit.access_log l where l.id = tests.id('old line')$$, $$values (null::text, null::text, tests.id('2'))$$, 'forgets old plates and remarks, not the lines');
select is((select count(*) from audit.access_log l where l.plate is not null and l.community_id = tests.id('Alder')), 1::bigint, 'and no plate of today');
select is(to_regclass('audit.access_log_y2020m02'), null, 'a month that is over goes as a whole');
select throws_ok('delete from audit.access_log', 'PT409', 'append_only', 'after which the log is closed again');
insert into private.access_answers (community_id, scope_id, nonce, question, answer, created_at) values
  (tests.id('Alder'), tests.id('guard'), 'yesterday', '\x00', jsonb_populate_record(null::public.access_answer, '{"reason": "left"}'), now() - interval '25 hours'), (tests.id('Alder'), tests.id('guard'), 'today', '\x00', jsonb_populate_record(null::public.access_answer, '{"reason": "left"}'), now());
select lives_ok('select app.job_access_answers()', 'answers');
select is((select string_agg(a.nonce, ', ') from private.access_answers a where a.community_id = tests.id('Alder')), 'today', 'are kept for a day');
update public.occupancies set ends_on = current_date - 1 where resident_id = tests.id('Tenant');
select public.erase_personal_data(tests.id('Tenant'), 'Asked for in writing');
select is((select count(*) from audit.access_log l where l.resident_id = tests.id('Tenant') and l.plate is null and l.note is null), 2::bigint, 'of who was erased the plates go, and that somebody came stays');

select * from finish();
rollback;
