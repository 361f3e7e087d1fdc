-- Devices: known by a key of their own, which is nobody's to read, ends when it is told to, and gives nothing but what a device does.

begin;
select plan(47);

create function tests.present(headers text) returns void language sql volatile set search_path = ''
as $$ select tests.clear_authentication(), set_config('request.headers', headers, true) $$;
create function tests.present_key(key text) returns void language sql volatile set search_path = ''
as $$ select tests.present(jsonb_build_object('x-device-key', key)::text) $$;
create function tests.device_name() returns text language sql volatile set search_path = ''
as $$ select coalesce((app.calling_device()).name, 'nobody') $$;
create function tests.known_by(key text) returns text language plpgsql volatile set search_path = ''
as $$ begin perform tests.present_key(key); return tests.device_name(); end $$;
grant execute on all functions in schema tests to anon, authenticated, service_role;

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_supabase_user('manager'), tests.create_supabase_user('guard'), tests.create_supabase_user('foreign');
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'), tests.grant_role('foreign', 'manager', community => 'Cedar');
insert into public.access_points (id, name, community_id, kind) values
  (tests.id('Gate'), 'Gate', tests.id('Alder'), 'gate'), (tests.id('Door'), 'Door', tests.id('Alder'), 'door'), (tests.id('Cedar gate'), 'Cedar gate', tests.id('Cedar'), 'gate');

-- Enrolling ---------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
with made as materialized (select * from public.enroll_device(tests.id('Gate'), 'Reader', 'reader', 'SN-1', 'in'))
select tests.keep('reader', m.device_id), tests.keep('key', m.device_key) from made m;
with made as materialized (select * from public.enroll_device(tests.id('Door'), 'Tablet', 'tablet'))
select tests.keep('tablet', m.device_id), tests.keep('tablet_key', m.device_key) from made m;
select matches(tests.kept('key'), '^vd_[0-9a-f]{32}_[A-Za-z0-9_-]{43}$', 'whoever enrolls a device is shown its key');
select throws_ok($$select * from public.enroll_device(tests.id('Gate'), 'Reader', 'camera')$$, 'PT409', 'name_taken', 'two devices of one gate have two names');
select throws_ok($$select * from public.enroll_device(tests.id('Door'), 'Other', 'camera', 'SN-1')$$, 'PT409', 'serial_number_taken', 'and two of a community two serial numbers');
select throws_ok($$select * from public.enroll_device(tests.id('Gate'), ' ', 'camera')$$, 'PT422', 'invalid_value', 'a name of blanks is refused');
select throws_ok($$select * from public.enroll_device(tests.id('Gate'), null, 'camera')$$, 'PT422', 'invalid_value', 'and none at all');
select throws_ok($$select * from public.enroll_device(tests.id('Gate'), 'Other', 'camera', direction => 'both')$$, 'PT422', 'invalid_value', 'a device that faces a way faces one');
select throws_ok($$select * from public.enroll_device(tests.id('Cedar gate'), 'Spy', 'camera')$$, 'PT404', 'access_point_not_found', 'nobody enrolls a device at a gate of others');
select throws_ok($$insert into public.access_devices (name, community_id, access_point_id, kind) values ('Spy', tests.id('Alder'), tests.id('Gate'), 'camera')$$, '42501', null, 'nor past the RPC');
select throws_ok($$select * from private.device_keys$$, '42501', null, 'the manager reads no key');
select tests.authenticate_as('guard');
select throws_ok($$select * from public.enroll_device(tests.id('Gate'), 'Spy', 'camera')$$, 'PT403', 'permission_denied', 'a guard enrolls no device');
select is(tests.seen('public.access_devices', 'name'), 'nothing', 'and sees none');
select tests.authenticate_as_service_role();
select throws_ok($$select * from private.device_keys$$, '42501', null, 'nor does the secret key read keys');
select tests.as_studio();
select is((select string_agg(d.name || ' ' || d.status, ', ' order by d.name) from public.access_devices d where d.community_id in (tests.id('Alder'), tests.id('Cedar'))), 'Reader active, Tablet active',
  'what was refused left nothing behind');
select is((select count(*) from private.device_keys k where strpos(encode(k.secret_hash, 'escape'), right(tests.kept('key'), 43)) > 0 or octet_length(k.secret_hash) <> 32), 0::bigint, 'of a secret the database keeps a hash');
select is((select count(*) from audit.log l where l.changes::text like '%' || right(tests.kept('key'), 43) || '%'), 0::bigint, 'and the audit nothing');

-- Being known -------------------------------------------------------------------------------------------------------------

select tests.present_key(tests.kept('key'));
select is(tests.device_name(), 'Reader', 'a device is known by its key');
select is((select row(c.device_name, c.direction, c.access_point_name, c.is_open, c.key_ends_at)::text from public.device_check_in() c), '(Reader,in,Gate,t,)', 'and learns where it stands');
select throws_ok($$select * from public.access_points$$, '42501', null, 'it reads no table');
select throws_ok($$select * from public.enroll_device(tests.id('Gate'), 'Spy', 'camera')$$, '42501', null, 'and calls no other function');
select is(tests.known_by(v.key), 'nobody', 'nobody is known by ' || v.what)
from (values
  ('another secret', left(tests.kept('key'), 36) || translate(substring(tests.kept('key') from 37), 'ABCDEFGHIJKLMabcdefghijklm0123', 'BCDEFGHIJKLMAbcdefghijklma1230')),
  ('a key whose last letter differs', left(tests.kept('key'), 78) || case right(tests.kept('key'), 1) when 'A' then 'B' else 'A' end),
  ('the id of one key and the secret of another', left(tests.kept('key'), 36) || right(tests.kept('tablet_key'), 43)),
  ('a key in capitals', upper(tests.kept('key'))),
  ('a key with a line after it', tests.kept('key') || E'\n'),
  ('half a key', left(tests.kept('key'), 40)),
  ('10 kB', repeat(tests.kept('key'), 130)),
  ('nothing', ''),
  ('a quote', $$vd_' or true --$$)
) v (what, key);
select tests.present('not JSON at all');
select is(tests.device_name(), 'nobody', 'headers that are no JSON raise nothing');
select tests.present('["x-device-key"]');
select is(tests.device_name(), 'nobody', 'nor do those that are no object');
select throws_ok($$select * from public.device_check_in()$$, 'PT401', 'device_unknown', 'whoever is not known is told so');
select tests.authenticate_as('manager');
select set_config('request.headers', jsonb_build_object('x-device-key', tests.kept('key'))::text, true);
select is(tests.device_name(), 'nobody', 'a request with a user is the user''s, whatever key it shows');
select set_config('request.headers', '', true);
select is((select string_agg(h.device_name || ' ' || (h.last_seen_at is not null), ', ' order by h.device_name) from public.device_health(tests.id('Alder')) h), 'Reader true, Tablet false',
  'the manager sees which devices have been seen');
select throws_ok($$select * from public.device_health(tests.id('Cedar'))$$, 'PT403', 'permission_denied', 'of the own community');
select tests.as_studio();
select tests.present_key(tests.kept('tablet_key'));
select is((select c.access_point_name from public.device_check_in() c), 'Door', 'each device has its own place');
select tests.as_studio();
select app.act_as_device(tests.kept('tablet')::uuid);
select is(app.actor_label(), 'device:' || tests.kept('tablet'), 'what a device writes is on record as its doing');
select set_config('app.actor', '', true);

-- The next key ------------------------------------------------------------------------------------------------------------

select set_config('request.headers', '', true);
select tests.authenticate_as('manager');
select tests.keep('next_key', public.rotate_device_key(tests.kept('reader')::uuid));
select throws_ok(format($$select public.rotate_device_key(%L, 10081)$$, tests.kept('reader')), 'PT422', 'invalid_value', 'an old key goes on for a week at most');
select tests.present_key(tests.kept('key'));
select is((select c.device_name || ' ' || (c.key_ends_at > now() + interval '59 minutes') from public.device_check_in() c), 'Reader true', 'the old key goes on for an hour, and the device is told so');
select tests.present_key(tests.kept('next_key'));
select is(tests.device_name(), 'Reader', 'the new one counts at once');
select set_config('request.headers', '', true);
select tests.authenticate_as('manager');
select tests.keep('last_key', public.rotate_device_key(tests.kept('reader')::uuid, 0));
select tests.present_key(tests.kept('key'));
select is(tests.device_name(), 'nobody', 'without an overlap the one before the last ends at once');
select tests.present_key(tests.kept('next_key'));
select is(tests.device_name(), 'nobody', 'and so does the last');

-- The end -----------------------------------------------------------------------------------------------------------------

select set_config('request.headers', '', true);
select tests.authenticate_as('guard');
select throws_ok(format($$select public.revoke_device(%L)$$, tests.kept('reader')), 'PT404', 'device_not_found', 'a guard revokes no device');
select tests.authenticate_as('foreign');
select throws_ok(format($$select public.rotate_device_key(%L)$$, tests.kept('reader')), 'PT404', 'device_not_found', 'nor does a manager of another community get its key');
select tests.authenticate_as('manager');
select public.revoke_device(tests.kept('reader')::uuid, 'Stolen');
select throws_ok(format($$select public.rotate_device_key(%L)$$, tests.kept('reader')), 'PT409', 'device_revoked', 'a revoked device gets no new key');
select tests.present_key(tests.kept('last_key'));
select is(tests.device_name(), 'nobody', 'a revoked device is known no more');
select tests.as_studio();
select throws_ok(format($$update public.access_devices set status = 'active' where id = %L$$, tests.kept('reader')), 'PT409', 'transition_refused', 'and is not taken up again, not even in SQL');
-- As whoever switches triggers off may leave it.
set local session_replication_role = replica;
update public.access_points set deleted_at = now() where id = tests.id('Door');
set local session_replication_role = origin;
select tests.present_key(tests.kept('tablet_key'));
select is(tests.device_name(), 'nobody', 'nor is a device at an archived gate');

select * from finish();
rollback;
