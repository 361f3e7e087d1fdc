-- Who sees what, whatever the token says: the invariants of topics access and permissions.
--
-- Two organizations: North runs Alder and Birch, South runs Cedar; each community has one unit, called after it. What a user sees
-- of the units tells what access they have.

begin;
select plan(54);

select tests.create_organization('North'), tests.create_organization('South');
select tests.create_community('Alder', 'North'), tests.create_community('Birch', 'North'), tests.create_community('Cedar', 'South');
select tests.create_unit('alder', 'Alder'), tests.create_unit('birch', 'Birch'), tests.create_unit('cedar', 'Cedar');
select tests.create_supabase_user(u) from unnest(array['manager', 'viewer', 'superadmin', 'nobody', 'owner', 'temp', 'caretaker', 'busy']) u;

-- A role reaches as far as its level -----------------------------------------------------------------------------------

select tests.grant_role('manager', 'manager', community => 'Alder');
select tests.grant_role('viewer', 'viewer', organization => 'North');
select tests.grant_role('superadmin', 'superadmin');
select tests.create_resident('Owner', 'Cedar', tests.email('owner'));
select tests.occupy('Owner', 'cedar', 'owner');

select tests.authenticate_as('manager');
select is(tests.seen('public.units', 'number'), 'alder', 'a role in a community reaches that community and no other');
select tests.authenticate_as('viewer');
select is(tests.seen('public.units', 'number'), 'alder, birch', 'a role in an organization reaches its communities and no other');
select tests.authenticate_as('superadmin');
select is(tests.seen('public.units', 'number'), 'alder, birch, cedar', 'a role on the site reaches every community');
select tests.authenticate_as('owner');
select is(tests.seen('public.units', 'number'), 'cedar', 'an occupancy reaches its unit');
select tests.authenticate_as('nobody');
select is(tests.seen('public.units', 'number'), 'nothing', 'a user without a role sees nothing');
select tests.clear_authentication();
select throws_ok('select * from public.units', '42501', null, 'who is not signed in may not even ask');

-- Claims cost speed, never access ------------------------------------------------------------------------------------

select tests.authenticate_without_claims('manager');
select is(tests.seen('public.units', 'number'), 'alder', 'without the hook a manager sees the same');
select tests.authenticate_without_claims('viewer');
select is(tests.seen('public.units', 'number'), 'alder, birch', 'without the hook a viewer of an organization sees the same');
select tests.authenticate_without_claims('superadmin');
select is(tests.seen('public.units', 'number'), 'alder, birch, cedar', 'without the hook a superadministrator sees the same');
select tests.authenticate_without_claims('owner');
select is(tests.seen('public.units', 'number'), 'cedar', 'without the hook an owner sees the same');

select tests.as_studio();
select ok(tests.claims('manager') -> 'app_metadata' -> 'communities' -> tests.id('Alder')::text ? 'manager', 'the hook puts a community role into the token');
select ok(tests.claims('viewer') -> 'app_metadata' -> 'organizations' -> tests.id('North')::text ? 'viewer', 'the hook puts an organization role into the token');
select ok(tests.claims('superadmin') -> 'app_metadata' -> 'site_roles' ? 'superadmin', 'the hook puts a site role into the token');
select ok(tests.claims('owner') -> 'app_metadata' -> 'communities' -> tests.id('Cedar')::text ? 'owner', 'the hook puts the role of an occupancy into the token');
select is(tests.claims('manager') -> 'app_metadata' ->> 'provider', 'email', 'the hook leaves alone what Auth put into app_metadata');

-- Forged or stale claims ---------------------------------------------------------------------------------------------

select tests.keep('forged', jsonb_build_object('site_roles', '["superadmin"]'::jsonb, 'organizations', '{}'::jsonb, 'communities',
  jsonb_build_object(tests.id('Cedar'), '["manager"]'::jsonb), 'valid_until', 'infinity'));

select tests.authenticate_with(jsonb_set(tests.claims('manager'), '{app_metadata}', tests.kept('forged')::jsonb));
select is(tests.seen('public.units', 'number'), 'alder', 'claims without a version are not believed');

select tests.authenticate_with(jsonb_set(tests.claims('manager'), '{app_metadata}', tests.kept('forged')::jsonb || '{"access_version": null}'));
select is(tests.seen('public.units', 'number'), 'alder', 'claims whose version is null are not believed');

select tests.authenticate_with(jsonb_set(tests.claims('nobody'), '{app_metadata}', tests.kept('forged')::jsonb || '{"access_version": 1}'));
select is(tests.seen('public.units', 'number'), 'nothing', 'claims of an older version are not believed');

select tests.authenticate_with(jsonb_set(tests.claims('nobody'), '{app_metadata}', tests.kept('forged')::jsonb || '{"access_version": 9000000000000000000}'));
select is(tests.seen('public.units', 'number'), 'nothing', 'claims of a version to come are not believed');

select tests.authenticate_with(jsonb_set(tests.claims('nobody'), '{user_metadata}', tests.claims('superadmin') -> 'app_metadata'));
select is(tests.seen('public.units', 'number'), 'nothing', 'what a user wrote into user_metadata counts for nothing');

select tests.authenticate_with(jsonb_set(tests.claims('nobody'), '{app_metadata}', tests.kept('forged')::jsonb
  || jsonb_build_object('access_version', tests.claims('nobody') -> 'app_metadata' -> 'access_version', 'valid_until', null)));
select is(tests.seen('public.units', 'number'), 'nothing', 'claims that do not say until when they hold are not believed');

select tests.authenticate_with('{"role": "authenticated"}');
select is(tests.seen('public.units', 'number'), 'nothing', 'a token that names no user sees nothing');

-- What is revoked is gone, what is given is there ----------------------------------------------------------------------

select tests.as_studio();
select tests.keep('token', tests.claims('temp'));
select tests.keep('membership', tests.grant_role('temp', 'manager', community => 'Alder'));
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'alder', 'a new role is there on the next statement, with a token from before');

select tests.as_studio();
select tests.keep('token', tests.claims('temp'));
select public.revoke_role(tests.kept('membership')::uuid);
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'a revoked role is gone on the next statement, with a token from before');

select tests.as_studio();
select tests.keep('token', tests.claims('owner'));
update public.occupancies set ends_on = current_date - 1, starts_on = current_date - 2 where id = tests.id('Owner owner cedar');
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'an occupancy whose last day is set to yesterday is gone on the next statement');

select tests.as_studio();
select tests.keep('token', tests.claims('manager'));
-- With what leans on it, which archiving refuses: access must not depend on that.
alter table public.communities disable trigger _040_archive;
update public.communities set deleted_at = clock_timestamp() where id = tests.id('Alder');
alter table public.communities enable trigger _040_archive;
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'nobody but the site reaches into an archived community');
select tests.as_studio();
update public.communities set deleted_at = null where id = tests.id('Alder');

-- Dates --------------------------------------------------------------------------------------------------------------

insert into public.memberships (user_id, role_id, community_id, starts_at, ends_at)
select tests.id('temp'), r.id, tests.id('Birch'), now() - interval '2 days', now() - interval '1 second' from public.roles r where r.key = 'manager';
select tests.authenticate_as('temp');
select is(tests.seen('public.units', 'number'), 'nothing', 'a role whose end is past gives nothing');

select tests.as_studio();
select tests.grant_role('temp', 'manager', community => 'Cedar', starts_at => now() + interval '1 hour');
select tests.authenticate_as('temp');
select is(tests.seen('public.units', 'number'), 'nothing', 'a role that has yet to begin gives nothing');

select tests.as_studio();
select is((tests.claims('temp') -> 'app_metadata' ->> 'valid_until')::timestamptz, now() + interval '1 hour', 'a token holds until a role begins');
select tests.grant_role('temp', 'manager', community => 'Alder', ends_at => now() + interval '30 minutes');
select is((tests.claims('temp') -> 'app_metadata' ->> 'valid_until')::timestamptz, now() + interval '30 minutes', 'a token holds until the first of several dates');

-- Half an hour passes: what was stored and what was minted lie that much further back, and nothing was written meanwhile.
select tests.keep('token', jsonb_set(tests.claims('temp'), '{app_metadata,valid_until}', to_jsonb(now())));
set local session_replication_role = replica;
update public.memberships set starts_at = starts_at - interval '30 minutes', ends_at = ends_at - interval '30 minutes' where user_id = tests.id('temp');
update private.user_access set stale_at = stale_at - interval '30 minutes' where user_id = tests.id('temp');
update private.session_access set stale_at = stale_at - interval '30 minutes' where user_id = tests.id('temp');
set local session_replication_role = origin;
select is(
  (tests.kept('token')::jsonb #>> '{app_metadata,access_version}')::bigint, (select version from private.user_access where user_id = tests.id('temp')),
  '(the token''s version is still the live one)');
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'a role that ran out is gone at its hour, although the token''s version is live');

-- Too many communities for a token -----------------------------------------------------------------------------------

select tests.as_studio();
select tests.create_community('many ' || n, 'South'), tests.create_unit('many ' || n, 'many ' || n), tests.grant_role('busy', 'technician', community => 'many ' || n)
from generate_series(1, 10) n;
select is(
  (select count(*) from jsonb_object_keys(tests.claims('busy') -> 'app_metadata' -> 'communities')), 10::bigint, 'a token names all communities of whoever has 10');
select is(tests.claims('busy') -> 'app_metadata' -> 'truncated', null, 'and says nothing of leaving something out');
select tests.create_community('many ' || n, 'South'), tests.create_unit('many ' || n, 'many ' || n), tests.grant_role('busy', 'technician', community => 'many ' || n)
from generate_series(11, 51) n;
select is(tests.claims('busy') -> 'app_metadata' -> 'communities', '{}'::jsonb, 'a token names no communities of whoever has more');
select is(tests.claims('busy') -> 'app_metadata' ->> 'truncated', 'true', 'a token that leaves something out says so');
select tests.authenticate_as('busy');
select is((select count(*) from public.units where community_id = any (tests.communities())), 51::bigint, 'a user of more communities than a token names sees them all');

-- Accounts -----------------------------------------------------------------------------------------------------------

select tests.as_studio();
select tests.keep('token', tests.claims('manager'));
select public.set_account_status(tests.id('manager'), 'banned', 'Sold the keys.');
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'a banned user sees nothing on the next statement, with a token from before');
select is_empty('select * from public.profiles', 'a banned user does not even see the own profile');
select throws_ok('select app.pre_request()', 'PT403', 'account_banned', 'a banned user''s request is answered with 403 account_banned');
select tests.authenticate_without_claims('manager');
select is(tests.seen('public.units', 'number'), 'nothing', 'a banned user sees nothing without the hook either');

select tests.as_studio();
select is(tests.claims('manager') -> 'app_metadata' -> 'communities', '{}', 'the hook gives a banned user no roles');
select public.set_account_status(tests.id('manager'), 'suspended');
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'a suspended user sees nothing');
select tests.as_studio();
select public.set_account_status(tests.id('manager'), 'active');
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'a session that ended with the account does not come back with it');
select tests.authenticate_as('manager');
select is(tests.seen('public.units', 'number'), 'alder', 'a user whose account is active again signs in and sees what they saw before');
select lives_ok('select app.pre_request()', 'an active user''s request passes');
set local request.headers = '{"prefer": "return=representation, count=planned"}';
select throws_ok('select app.pre_request()', 'PT403', 'count_refused', 'one for an estimate, which statistics over everybody''s rows would give, does not');
set local request.headers = '{"prefer": "count=estimated"}';
select throws_ok('select app.pre_request()', 'PT403', 'count_refused', 'whenever it would be given');
set local request.headers = '{"prefer": "count=exact", "referer": "https://app.example/?count=planned"}';
select lives_ok('select app.pre_request()', 'one for a count of the rows that are seen does');
set local request.headers = '';

select tests.as_studio();
delete from auth.users where id = tests.id('manager');
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'the token of a deleted user sees nothing');
select throws_ok('select app.pre_request()', 'PT401', 'account_unknown', 'a deleted user''s request is answered with 401 account_unknown');

-- Custom roles of one key --------------------------------------------------------------------------------------------

select tests.as_studio();
insert into public.roles (id, level, key, name, organization_id) values
  (tests.id('caretaker of North'), 'community', 'caretaker', 'Caretaker', tests.id('North')),
  (tests.id('caretaker of South'), 'community', 'caretaker', 'Caretaker', tests.id('South'));
insert into public.role_permissions (role_id, permission_key) values
  (tests.id('caretaker of North'), 'units.read'), (tests.id('caretaker of South'), 'communities.read');
select tests.grant_role('caretaker', 'caretaker', community => c) from unnest(array['Alder', 'Cedar']) c;
select tests.authenticate_as('caretaker');
select is(tests.seen('public.units', 'number'), 'alder', 'a custom role holds what its own organization gave it, not what another gave one of the same key');
select tests.authenticate_without_claims('caretaker');
select is(tests.seen('public.units', 'number'), 'alder', 'and the same without the hook');

select tests.as_studio();
select tests.keep('token', tests.claims('caretaker'));
delete from public.role_permissions where role_id = tests.id('caretaker of North');
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'a permission taken from a role is gone on the next statement');

select * from finish();
rollback;
