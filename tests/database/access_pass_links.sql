-- What somebody without an account gets to see, and what a gate without a line is given: the visitor's link, offline passes, public keys.

begin;
select plan(46);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder');
select tests.create_supabase_user('ana'), tests.create_supabase_user('manager'), tests.create_supabase_user('guard');
select tests.create_resident('Ana', 'Alder', tests.email('ana'));
select tests.occupy('Ana', '1', 'owner', current_date - 100);
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder');
update public.communities c set address = '4 Lipa St', city = 'Sofia' where c.id = tests.id('Alder');
insert into public.visitor_invitations (id, title, community_id, unit_id, host_resident_id, kind, visitor_name, starts_at, ends_at, max_entries)
select tests.id(v.name), 'Coffee', tests.id('Alder'), tests.id('1'), tests.id('Ana'), 'single', 'Vera', v.starts_at, now() + interval '40 hours', 1
from (values ('visit', now() - interval '1 hour'), ('coming', now() + interval '30 hours'), ('offline', now() - interval '1 hour'), ('torn', now() - interval '1 hour')) v (name, starts_at);
insert into public.visitor_invitations (id, title, community_id, unit_id, host_resident_id, kind, visitor_name, starts_at, ends_at, recurrence, daily_from, daily_until)
select tests.id('lessons'), 'Piano', tests.id('Alder'), tests.id('1'), tests.id('Ana'), 'recurring', 'Vera', now() - interval '1 hour', now() + interval '40 days', 'FREQ=DAILY', t.at, t.at + interval '1 hour'
from (select (now() at time zone c.time_zone)::time + interval '12 hours' as at from public.communities c where c.id = tests.id('Alder')) t;

-- The link -------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
select tests.keep(v.name, to_jsonb(i)) from unnest('{visit,coming,lessons}'::text[]) v (name) cross join lateral public.issue_pass(tests.id(v.name)) i;
select tests.clear_authentication();
create function pg_temp.opened(name text) returns jsonb language sql as $$ select to_jsonb(o) from public.open_visitor_pass(tests.kept(name)::jsonb ->> 'link_token') o $$;
select is(pg_temp.opened('visit') ->> 'pass', tests.kept('visit')::jsonb ->> 'pass', 'whoever holds the link, signed in or not, sees the pass that was issued');
select is(pg_temp.opened('visit') - '{pass,starts_at,ends_at}'::text[],
  '{"state": "valid", "place": "Alder", "address": "4 Lipa St, Sofia", "title": "Coffee", "visitor_name": "Vera", "daily_from": null, "daily_until": null, "has_days": false, "time_zone": "UTC", "locale": "en"}'::jsonb,
  'and where it leads, for whom: nothing of the host and the unit');
select is(pg_temp.opened('coming') ->> 'state', 'not_yet_valid', 'before its time it says so');
select isnt(pg_temp.opened('coming') ->> 'pass', null, 'and shows the pass already');
select is(pg_temp.opened('lessons') ->> 'state', 'outside_schedule', 'between two lessons too');
select throws_ok($$select public.open_visitor_pass(repeat('A', 32))$$, 'PT404', 'pass_not_found', 'behind another token there is nothing');
select throws_ok($$select public.open_visitor_pass(null)$$, 'PT404', 'pass_not_found', 'nor behind none');
select throws_ok($$select public.open_visitor_pass(repeat('A', 10240))$$, 'PT404', 'pass_not_found', 'nor behind one of 10 kB');
select throws_ok(format('select public.open_visitor_pass(%L)', tests.kept('visit')::jsonb ->> 'pass'), 'PT404', 'pass_not_found', 'the pass itself is no link');
select throws_ok($$select * from public.passes$$, '42501', null, 'and nobody without an account reads passes');
select throws_ok($$select * from public.pass_public_keys(tests.id('Alder'))$$, 'PT401', 'device_unknown', 'or keys');
select throws_ok($$select * from public.revoked_offline_passes(tests.id('Alder'))$$, 'PT401', 'device_unknown', 'or what was revoked');

select tests.as_studio();
select app.burn_pass((tests.kept('visit')::jsonb ->> 'pass_id')::uuid, null, now());
select tests.clear_authentication();
select is(pg_temp.opened('visit') ->> 'state', 'used', 'once used a link says so');
select is(jsonb_path_query_array(pg_temp.opened('visit'), '$.keyvalue() ? (@.value != null && @.key != "state" && @.key != "place" && @.key != "address" && @.key != "time_zone" && @.key != "locale" && @.key != "starts_at" && @.key != "ends_at").key'), '[]'::jsonb,
  'and shows neither the pass nor whose it was');
select tests.authenticate_as('ana');
select public.revoke_pass((tests.kept('coming')::jsonb ->> 'pass_id')::uuid, 'Ill');
select tests.clear_authentication();
select is(pg_temp.opened('coming') ->> 'state' || coalesce(pg_temp.opened('coming') ->> 'pass', ''), 'revoked', 'nor does that of a revoked pass');
select tests.as_studio();
update public.visitor_invitations i set status = 'cancelled' where i.id = tests.id('lessons');
select tests.clear_authentication();
select is(pg_temp.opened('lessons') ->> 'state' || coalesce(pg_temp.opened('lessons') ->> 'pass', ''), 'cancelled', 'nor that of a cancelled invitation');
select tests.as_studio();
select is((select count(*) from audit.log l where l.changes::text like '%' || (tests.kept('visit')::jsonb ->> 'link_token') || '%'), 0::bigint, 'tokens are in no log');

-- Passes for offline gates ---------------------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
select throws_ok($$select public.issue_pass(tests.id('offline'), is_offline => true)$$, 'PT409', 'pass_key_missing', 'the first offline pass of a community finds no key');
select throws_ok($$select public.add_pass_key(tests.id('offline'), repeat('A', 43) || '=', repeat('A', 43) || '=')$$, '42501', null, 'which no user makes');
select tests.authenticate_as_service_role();
select throws_ok($$select public.add_pass_key(tests.id('offline'), 'AAAA', repeat('A', 43) || '=')$$, 'PT422', 'invalid_value', 'a key has 32 bytes');
select throws_ok($$select public.add_pass_key(tests.id('nothing'), repeat('A', 43) || '=', repeat('A', 43) || '=')$$, 'PT404', 'invitation_not_found', 'and a community');
select tests.keep('kid', public.add_pass_key(tests.id('offline'), encode(decode(repeat('01', 32), 'hex'), 'base64'), encode(decode(repeat('02', 32), 'hex'), 'base64')));
select is(public.add_pass_key(tests.id('offline'), encode(decode(repeat('03', 32), 'hex'), 'base64'), encode(decode(repeat('04', 32), 'hex'), 'base64')), null, 'a community has one that signs');
select tests.authenticate_as('ana');
select tests.keep('unsigned', to_jsonb(i)) from public.issue_pass(tests.id('offline'), is_offline => true) i;
select tests.keep('torn', to_jsonb(i)) from public.issue_pass(tests.id('torn'), is_offline => true) i;
select is(tests.kept('unsigned')::jsonb ->> 'pass', null, 'an offline pass is issued unsigned');
select throws_ok(format('select * from public.pass_signing_key(%L)', tests.kept('unsigned')::jsonb ->> 'pass_id'), '42501', null, 'no user reads the key');
select throws_ok(format('select public.seal_pass(%L, %L, %L)', tests.kept('unsigned')::jsonb ->> 'pass_id', 'v2', 'x'), '42501', null, 'or stores a signature');
select tests.keep('text', (tests.kept('unsigned')::jsonb ->> 'to_sign') || '.' || rpad('', 85, 'Az0-_') || 'A');
select tests.as_studio();
select is((select r.reason from app.read_pass(tests.id('Alder'), tests.kept('text'), now()) r), 'bad_signature', 'before it is signed no text is the pass');
select tests.authenticate_as_service_role();
select is((select k.kid || ' ' || k.secret from public.pass_signing_key((tests.kept('unsigned')::jsonb ->> 'pass_id')::uuid) k), tests.kept('kid') || ' ' || encode(decode(repeat('02', 32), 'hex'), 'base64'),
  'the function that signs is given the key');
select throws_ok(format('select public.seal_pass(%L, %L, %L)', tests.kept('unsigned')::jsonb ->> 'pass_id', tests.kept('text') || 'A', tests.kept('unsigned')::jsonb ->> 'link_token'), 'PT422', 'invalid_value', 'a text of another length is not the pass');
select throws_ok(format('select public.seal_pass(%L, %L, %L)', tests.kept('torn')::jsonb ->> 'pass_id', tests.kept('text'), tests.kept('torn')::jsonb ->> 'link_token'), 'PT422', 'invalid_value', 'nor that of another pass');
select throws_ok(format('select public.seal_pass(%L, %L, %L)', tests.kept('unsigned')::jsonb ->> 'pass_id', tests.kept('text'), repeat('A', 32)), 'PT422', 'invalid_value', 'nor with the link of another');
select lives_ok(format('select public.seal_pass(%L, %L, %L)', tests.kept('unsigned')::jsonb ->> 'pass_id', tests.kept('text'), tests.kept('unsigned')::jsonb ->> 'link_token'), 'the signature is stored');
select throws_ok(format('select public.seal_pass(%L, %L, %L)', tests.kept('unsigned')::jsonb ->> 'pass_id', tests.kept('text'), tests.kept('unsigned')::jsonb ->> 'link_token'), 'PT404', 'pass_not_found', 'once');
select throws_ok(format('select * from public.pass_signing_key(%L)', tests.kept('unsigned')::jsonb ->> 'pass_id'), 'PT404', 'pass_not_found', 'and the key is not told for it again');
select tests.as_studio();
select is((select r.reason from app.read_pass(tests.id('Alder'), tests.kept('text'), now()) r), null, 'the signed text is the pass');
select is((select r.reason from app.read_pass(tests.id('Alder'), overlay(tests.kept('text') placing 'B' from 60 for 1), now()) r), 'bad_signature', 'and no other is');
select is((select count(*) from private.pass_links l where l.sealed::text like '%' || tests.kept('text') || '%'), 0::bigint, 'it is stored encrypted');
select tests.clear_authentication();
select is((select o.pass from public.open_visitor_pass(tests.kept('unsigned')::jsonb ->> 'link_token') o), tests.kept('text'), 'and opens with the token of its link');
select is((select o.state || coalesce(o.pass, '') from public.open_visitor_pass(tests.kept('torn')::jsonb ->> 'link_token') o), 'unsigned', 'the link of one that was never signed shows none');

-- What gates are given -------------------------------------------------------------------------------------------------------

select tests.authenticate_as('guard');
select throws_ok($$select * from public.pass_public_keys(tests.id('Alder'))$$, 'PT403', 'permission_denied', 'a guard is given no keys');
select tests.authenticate_as('manager');
select is((select array_agg(k.kid || ' ' || k.public_key) from public.pass_public_keys(tests.id('Alder')) k), array[tests.kept('kid') || ' ' || 'AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE'], 'a manager is given the public halves');
select is((select count(*) from public.revoked_offline_passes(tests.id('Alder'))), 0::bigint, 'nothing is revoked');
select public.revoke_pass((tests.kept('unsigned')::jsonb ->> 'pass_id')::uuid, 'Lost');
select is((select array_agg(r.pass_id) from public.revoked_offline_passes(tests.id('Alder')) r), array[(tests.kept('unsigned')::jsonb ->> 'pass_id')::uuid], 'what is revoked gates are told');
select throws_ok($$select * from public.pass_public_keys(tests.id('Cedar'))$$, 'PT403', 'permission_denied', 'of the own community alone');
select is(public.rotate_pass_key(tests.id('Alder'), 'ed25519'), null, 'after a rotation the next key is made when it is needed');
select is((select array_agg(k.retired_at is not null) from public.pass_public_keys(tests.id('Alder')) k), '{t}', 'and gates go on verifying with the one before');
select public.revoke_pass_key(tests.kept('kid'), 'Leaked');
select is((select count(*) from public.pass_public_keys(tests.id('Alder'))), 0::bigint, 'not with one that was revoked');

select * from finish();
rollback;
