-- What is known of a user's access says what the tables say, or is not used.
--
-- Two organizations: North runs Alder and Birch, South runs Cedar; each community has one unit, called after it.

begin;
select plan(66);

select tests.create_organization('North'), tests.create_organization('South');
select tests.create_community('Alder', 'North'), tests.create_community('Birch', 'North'), tests.create_community('Cedar', 'South');
select tests.create_unit('alder', 'Alder'), tests.create_unit('birch', 'Birch'), tests.create_unit('cedar', 'Cedar');
select tests.create_supabase_user(u) from unnest(array['uniform', 'mixed', 'staff', 'developer', 'admin', 'double', 'owner', 'landlord', 'limited', 'single', 'custom', 'nobody', 'root']) u;

select tests.grant_role('uniform', 'manager', community => c) from unnest(array['Alder', 'Birch']) c;
select tests.grant_role('mixed', 'guard', community => 'Alder'), tests.grant_role('mixed', 'manager', community => 'Birch');
select tests.grant_role('staff', 'staff'), tests.grant_role('root', 'superadmin');
select tests.grant_role('developer', 'developer'), tests.grant_role('developer', 'guard', community => 'Cedar');
select tests.grant_role('admin', 'admin', organization => 'North');
select tests.grant_role('double', 'viewer', organization => 'North'), tests.grant_role('double', 'manager', community => 'Cedar');
select tests.create_resident('Owner', 'Cedar', tests.email('owner')), tests.create_resident('Landlord', 'Alder', tests.email('landlord'));
select tests.occupy('Owner', 'cedar', 'owner'), tests.occupy('Landlord', 'alder', 'owner');
select tests.grant_role('landlord', 'manager', community => 'Birch');
insert into public.memberships (user_id, role_id, community_id, starts_at, restriction)
select tests.id('limited'), r.id, tests.id('Alder'), now() - interval '1 day', jsonb_build_object('units', jsonb_build_array(tests.id('alder')))
from public.roles r where r.key = 'manager' and r.community_id is null and r.organization_id is null;
select tests.grant_role('limited', 'manager', community => 'Birch');
insert into public.user_permissions (permission_key, user_id, community_id, starts_at, reason)
values ('units.manage', tests.id('single'), tests.id('Alder'), now() - interval '1 day', 'Counts the units');
insert into public.roles (id, level, key, name, organization_id) values (tests.id('caretaker'), 'community', 'caretaker', 'Caretaker', tests.id('North'));
insert into public.role_permissions (role_id, permission_key) values (tests.id('caretaker'), 'units.read'), (tests.id('caretaker'), 'communities.read');
select tests.grant_role('custom', 'caretaker', community => 'Alder');

-- As known, and as computed from the tables ------------------------------------------------------------------------------

-- Where each permission is held, and the gate; and the permissions of which that is not one answer in three forms.
create function pg_temp.answers(claims jsonb, out held text, out contradictions text) language plpgsql as $$
begin
  perform tests.authenticate_with(claims);
  select jsonb_object_agg(s.key, s.held)::text || s.gate::text,
    coalesce(string_agg(s.key, ', ' order by s.key) filter (
      where s.level <> 'unit' and (s.held <> s.listed or (s.level = 'community' and not s.held <@ s.gate) or (s.is_everywhere and not s.held @> s.gate) or s.gate <> s.called)), 'none')
  into answers.held, answers.contradictions
  from (
    select p.key, p.level, array(select c from app.communities_with(p.key) c order by c) as held,
      array(select c from unnest(app.communities_where(p.key)) c order by c) as listed, coalesce((select p.key = any (h.permissions) from app.held_everywhere h), false) as is_everywhere,
      array(select c from app.gate g cross join unnest(g.communities) c order by c) as gate,
      array(select c from unnest(app.my_communities()) c order by c) as called
    from public.permissions p
  ) s
  group by s.gate;
end $$;

create function pg_temp.agrees(who text) returns setof text language plpgsql as $$
declare
  known record;
  computed record;
begin
  perform tests.as_studio();
  known := pg_temp.answers(tests.claims(who));
  perform tests.as_studio();
  computed := pg_temp.answers(tests.claims(who, with_hook => false));
  perform tests.as_studio();
  return next is(known.contradictions || ' / ' || computed.contradictions, 'none / none', who || ' holds the same in every form of the question');
  return next is(known.held, computed.held, 'as it is known and as the tables say');
end $$;

select pg_temp.agrees(u) from unnest(array['uniform', 'mixed', 'staff', 'developer', 'admin', 'double', 'owner', 'landlord', 'limited', 'single', 'custom', 'nobody']) u;

-- Whose permission is held everywhere ------------------------------------------------------------------------------------

create function pg_temp.everywhere(who text, permission text) returns boolean language plpgsql as $$
declare
  answer boolean;
begin
  perform tests.authenticate_with(tests.claims(who));
  answer := coalesce((select permission = any (h.permissions) from app.held_everywhere h), false);
  perform tests.as_studio();
  return answer;
end $$;

select is(array(select pg_temp.everywhere(u, 'units.read') from unnest(array['uniform', 'staff', 'admin', 'double']) u), '{t,t,t,t}'::boolean[],
  'one role in all communities, on the site, in an organization, in both: held everywhere');
select is(array(select pg_temp.everywhere(u, 'units.manage') from unnest(array['mixed', 'double', 'developer', 'owner', 'landlord', 'nobody']) u), '{f,f,f,f,f,f}'::boolean[],
  'a role in one place that does not hold it, an occupancy, no role at all: not held everywhere');
select is(array(select pg_temp.everywhere(u, 'units.read') from unnest(array['limited', 'single', 'custom']) u), '{f,f,f}'::boolean[],
  'what is not a plain role of the system is looked up');

-- It is used, and only while it is the live version's and no date has passed ------------------------------------------------

select tests.as_studio();
select tests.keep('token', tests.claims('uniform', with_hook => false));
select app.refresh_access(tests.id('uniform'));
update private.user_access set communities = array[tests.id('Alder')] where user_id = tests.id('uniform');
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'alder', 'what is known is used, whether the token has claims or not');
select tests.as_studio();
update private.user_access set stale_at = now() where user_id = tests.id('uniform');
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'alder, birch', 'not from the moment at which a date changes it');
select tests.as_studio();
update private.user_access set stale_at = 'infinity', version = version + 1 where user_id = tests.id('uniform');
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'alder, birch', 'nor for another version');
select tests.as_studio();
select app.refresh_access(tests.id('uniform'));
select is((select stale_at from private.user_access where user_id = tests.id('uniform')), now() + interval '12 hours', 'nor for longer than half a day');
update public.memberships set ends_at = now() + interval '1 hour' where user_id = tests.id('uniform') and community_id = tests.id('Birch');
select app.refresh_access(tests.id('uniform'));
select is((select stale_at from private.user_access where user_id = tests.id('uniform')), now() + interval '1 hour', 'nor past the end of a role');
delete from auth.sessions where id = (tests.kept('token')::jsonb ->> 'session_id')::uuid;
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'nor with a session that has ended');
select is(app.communities_where('units.read'), '{}'::uuid[], 'in no form of the question');

select tests.as_studio();

-- A role on the site reaches what is made now -----------------------------------------------------------------------------

select tests.keep('token', tests.claims('staff'));
select tests.create_community('Dogwood', 'South'), tests.create_unit('dogwood', 'Dogwood');
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'alder, birch, cedar, dogwood', 'a community is in the gate of a role on the site once it is made');
select tests.as_studio();
select is((select array(select i from unnest(ids) i order by i) from private.all_communities), array(select id from public.communities order by id), 'the list of all communities is that of the table');
insert into public.communities (id, organization_id, name, slug, country_code, currency_code, time_zone)
select gen_random_uuid(), tests.id('South'), n, n, 'BG', 'EUR', 'Europe/Sofia' from unnest(array['elm-1', 'elm-2']) n;
select is((select array(select i from unnest(ids) i order by i) from private.all_communities), array(select id from public.communities order by id), 'after several at once, too');

-- What is kept for a session ------------------------------------------------------------------------------------------------

create function pg_temp.seen_with(token jsonb) returns text language plpgsql as $$
declare
  seen text;
begin
  perform tests.authenticate_with(token);
  seen := tests.seen('public.units', 'number');
  perform tests.as_studio();
  return seen;
end $$;
create function pg_temp.is_kept(token text) returns boolean language sql as $$
  select exists (select from private.session_access k where k.session_key = tests.kept(token)::jsonb ->> 'session_id') $$;

update public.memberships set ends_at = null where user_id = tests.id('uniform');
select tests.keep('phone', tests.claims('uniform')), tests.keep('laptop', tests.claims('uniform')), tests.keep('admin', tests.claims('admin'));
select is(array(select pg_temp.is_kept(t) from unnest(array['phone', 'laptop', 'admin']) t), '{t,t,t}'::boolean[], 'it is kept for each session whose token is minted');
select tests.keep('limited', tests.claims('limited')), tests.keep('single', tests.claims('single'));
select is(array(select pg_temp.is_kept(t) from unnest(array['limited', 'single']) t), '{f,f}'::boolean[], 'not for whoever has more than plain roles: that depends on the hour');

update private.session_access set communities = array[tests.id('Birch')] where session_key = tests.kept('phone')::jsonb ->> 'session_id';
select is(pg_temp.seen_with(tests.kept('phone')::jsonb), 'birch', 'it is what policies ask');
select is(pg_temp.seen_with(tests.kept('laptop')::jsonb), 'alder, birch', 'of their own session alone');
select is(pg_temp.seen_with(tests.kept('phone')::jsonb || jsonb_build_object('sub', tests.id('mixed'))), 'nothing', 'a token of one user in the session of another gives nothing');
select is(pg_temp.seen_with(tests.kept('phone')::jsonb || '{"session_id": "no id"}'), 'nothing', 'nor does one whose session is no id');
update private.session_access set stale_at = now() where session_key = tests.kept('phone')::jsonb ->> 'session_id';
select is(pg_temp.seen_with(tests.kept('phone')::jsonb), 'alder, birch', 'it is not used from the moment at which it is stale');

update auth.sessions set not_after = now() + interval '10 minutes' where id = (tests.kept('phone')::jsonb ->> 'session_id')::uuid;
select is(pg_temp.is_kept('phone'), false, 'it goes when the session is given another end');
select app.access_token(jsonb_build_object('user_id', tests.id('uniform'), 'claims', tests.kept('phone')::jsonb));
select is((select stale_at from private.session_access where session_key = tests.kept('phone')::jsonb ->> 'session_id'), now() + interval '10 minutes', 'and does not outlive the session''s end');
delete from auth.sessions where id = (tests.kept('phone')::jsonb ->> 'session_id')::uuid;
select is(array[pg_temp.is_kept('phone'), pg_temp.is_kept('laptop')], '{f,t}'::boolean[], 'signing out takes it along, and leaves other sessions theirs');

update private.session_access set communities = '{}' where user_id = tests.id('uniform');
update public.memberships set deleted_at = now() where user_id = tests.id('uniform') and community_id = tests.id('Birch');
select is(pg_temp.is_kept('laptop'), false, 'a change of the user''s roles takes it along');
select is(pg_temp.seen_with(tests.kept('laptop')::jsonb), 'alder', 'and the next statement sees by what is true now');

select tests.keep('guard', tests.claims('mixed')), tests.keep('staff', tests.claims('staff'));
select tests.create_community('Elder', 'North'), tests.create_unit('elder', 'Elder');
select is(pg_temp.seen_with(tests.kept('admin')::jsonb), 'alder, birch, elder', 'a new community of an organization is in the gate of its people at once');
select is(array(select pg_temp.is_kept(t) from unnest(array['admin', 'guard', 'staff']) t), '{f,t,t}'::boolean[],
  'what was made from the list of communities goes when it changes; what was not stays, and so does what reads it at every statement');

-- A permission that a system role loses, and gets back, while tokens are out.
select tests.keep('laptop', tests.claims('uniform')), tests.keep('root', tests.claims('root'));
create function pg_temp.everywhere_with(token text, permission text) returns boolean language plpgsql as $$
declare
  answer boolean;
begin
  perform tests.authenticate_with(tests.kept(token)::jsonb);
  answer := coalesce((select permission = any (h.permissions) from app.held_everywhere h), false);
  perform tests.as_studio();
  return answer;
end $$;
select is(array[pg_temp.everywhere_with('laptop', 'units.read'), pg_temp.everywhere_with('laptop', 'leases.manage')], '{t,t}'::boolean[], 'a manager holds everywhere what managers hold');
delete from public.role_permissions where permission_key = 'units.read' and role_id = (select id from public.roles where level = 'community' and key = 'manager' and coalesce(organization_id, community_id) is null);
select is(pg_temp.everywhere_with('laptop', 'units.read'), false, 'and on the next statement no longer what managers lose');
select is(array(select pg_temp.is_kept(t) from unnest(array['laptop', 'root', 'guard', 'staff']) t), '{f,f,f,f}'::boolean[], 'what was made from what roles hold goes when that changes');
select is(pg_temp.seen_with(tests.kept('laptop')::jsonb), 'nothing', 'nor sees anything by it');
delete from public.role_permissions where permission_key = 'communities.read' and role_id = (select id from public.roles where level = 'site' and key = 'superadmin');
select tests.authenticate_with(tests.kept('root')::jsonb);
select is(app.my_communities(), '{}'::uuid[], 'a role on the site that no longer reads communities has none in its gate');
select tests.as_studio();

select table_privs_are('private', 'session_access', 'authenticated', '{}', 'users do not read what is kept');
select table_privs_are('private', 'session_access', 'supabase_auth_admin', '{}', 'nor does Auth');
select function_privs_are('app', 'remember_session', array['uuid', 'text'], 'authenticated', '{}', 'nor do they write it');
select table_privs_are('private', 'access_versions', 'authenticated', '{}', 'nor read what it goes with');
select function_privs_are('app', 'renew_access_version', array['text'], 'authenticated', '{}', 'nor make it go');

-- A second factor that is asked for ----------------------------------------------------------------------------------------

select tests.authenticate_with(tests.assured_claims('root'));
select public.require_assurance('units.read', tests.id('North'));
select tests.as_studio();
select is(pg_temp.everywhere('staff', 'units.read'), false, 'a permission that takes a second factor somewhere is not known to be held everywhere');
select tests.authenticate_as('staff');
select is(array(select c from unnest(app.communities_where('units.read')) c order by c),
  array(select c.id from public.communities c where c.organization_id <> tests.id('North') order by c.id), 'and is not held where it does');
select tests.as_studio();
select is(pg_temp.everywhere('staff', 'residents.read'), true, 'others are');

-- Nobody else writes it ---------------------------------------------------------------------------------------------------

select function_privs_are('app', 'refresh_access', array['uuid'], 'authenticated', '{}', 'users do not compute it');
select table_privs_are('private', 'all_communities', 'authenticated', '{}', 'nor read the list of all communities');

select * from finish();
rollback;
