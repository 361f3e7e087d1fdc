-- A permission for which a second factor is required is not held without one, whichever way it comes.
--
-- North runs Alder and Birch, South runs Cedar; each has one unit, called after it.

begin;
select plan(60);

select tests.create_organization('North'), tests.create_organization('South');
select tests.create_community('Alder', 'North'), tests.create_community('Birch', 'North'), tests.create_community('Cedar', 'South');
select tests.create_unit('alder', 'Alder'), tests.create_unit('birch', 'Birch'), tests.create_unit('cedar', 'Cedar');
select tests.create_supabase_user(u) from unnest(array['manager', 'admin', 'staff', 'owner', 'single', 'single in organization', 'limited', 'stranger', 'root']) u;
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('admin', 'admin', organization => 'North'), tests.grant_role('staff', 'staff'),
  tests.grant_role('root', 'superadmin'), tests.grant_role('manager', 'manager', community => 'Cedar');
select tests.create_resident('Owner', 'Alder', tests.email('owner'));
select tests.occupy('Owner', 'alder', 'owner');
insert into public.user_permissions (permission_key, user_id, community_id, reason) values ('units.read', tests.id('single'), tests.id('Alder'), 'Needs it');
insert into public.user_permissions (permission_key, user_id, organization_id, reason) values ('units.read', tests.id('single in organization'), tests.id('North'), 'Needs it');
insert into public.memberships (user_id, role_id, community_id, restriction)
select tests.id('limited'), r.id, tests.id('Alder'), jsonb_build_object('units', jsonb_build_array(tests.id('alder'))) from public.roles r where r.level = 'community' and r.key = 'manager';

-- Who may require it -------------------------------------------------------------------------------------------------

select tests.authenticate_as('admin');
select throws_ok($$select public.require_assurance('units.read', tests.id('North'))$$, 'PT403', 'assurance_required', 'who asks others for a second factor has one');
select tests.authenticate_with(tests.assured_claims('stranger'));
select throws_ok($$select public.require_assurance('units.read', tests.id('North'))$$, 'PT403', 'permission_denied', 'a stranger requires nothing');
select tests.authenticate_with(tests.assured_claims('manager'));
select throws_ok($$select public.require_assurance('units.read', tests.id('North'))$$, 'PT403', 'permission_denied', 'nor does a manager');
select tests.authenticate_with(tests.assured_claims('admin'));
select throws_ok($$select public.require_assurance('units.read', tests.id('South'))$$, 'PT403', 'permission_denied', 'nor an administrator in another organization');
select throws_ok($$select public.require_assurance('units.read')$$, 'PT403', 'permission_denied', 'nor on the whole site');
select throws_ok($$select public.require_assurance('no.such', tests.id('North'))$$, 'PT422', 'permission_unknown', 'what does not exist is not required');
select throws_ok($$select public.require_assurance('users.manage', tests.id('North'))$$, 'PT409', 'permission_level', 'nor by an organization what is held on the site');
select throws_ok($$select public.require_assurance('units.read', tests.id('North'), null)$$, 'PT422', 'invalid_value', 'nor perhaps');
select is((select count(*)::integer from public.assurance_requirements), 0, 'and nothing was written');
select lives_ok($$select public.require_assurance(p, tests.id('North')) from unnest(array['units.read', 'units.read_own', 'units.read']) p$$, 'an administrator requires it, twice if need be');
select is((select count(*)::integer from public.assurance_requirements), 2, 'once');

-- Who holds it then --------------------------------------------------------------------------------------------------

create function pg_temp.sees(who text, claims text) returns text language plpgsql as $$
begin
  perform tests.authenticate_with(case claims
    when 'aal1' then tests.claims(who) when 'aal1 without claims' then tests.claims(who, false)
    when 'aal2' then tests.assured_claims(who) when 'no aal' then tests.claims(who) - 'aal' end);
  return tests.seen('public.units', 'number');
end $$;

select is(pg_temp.sees('manager', 'aal1'), 'cedar', 'a manager without a second factor holds it where it is not required, and not where it is');
select is(pg_temp.sees('manager', 'aal1 without claims'), 'cedar', 'nor with a token that names no roles');
select is(pg_temp.sees('manager', 'no aal'), 'cedar', 'nor with a token that does not say how sure it is');
select is(pg_temp.sees('manager', 'aal2'), 'alder, cedar', 'with a second factor, in both');
select is(pg_temp.sees('admin', 'aal1'), 'nothing', 'an administrator of the organization does not hold it without');
select is(pg_temp.sees('admin', 'aal2'), 'alder, birch', 'but with it');
select is(pg_temp.sees('staff', 'aal1'), 'cedar', 'a role on the site does not reach into the organization without');
select is(pg_temp.sees('staff', 'aal2'), 'alder, birch, cedar', 'but with it');
select is(pg_temp.sees('owner', 'aal1'), 'nothing', 'an owner does not see the own unit without');
select is(pg_temp.sees('owner', 'aal2'), 'alder', 'but with it');
select is(pg_temp.sees('single', 'aal1') || ' / ' || pg_temp.sees('single', 'aal2'), 'nothing / alder', 'nor does a single permission count without');
select is(pg_temp.sees('single in organization', 'aal1') || ' / ' || pg_temp.sees('single in organization', 'aal2'), 'nothing / alder, birch', 'nor one in the organization');
select is(pg_temp.sees('limited', 'aal1') || ' / ' || pg_temp.sees('limited', 'aal2'), 'nothing / alder', 'nor a restricted role');

-- Not a token from before the factor was removed -----------------------------------------------------------------------

select tests.as_studio();
select tests.keep('assured', tests.assured_claims('manager'));
update auth.sessions set aal = 'aal1' where id = (tests.kept('assured')::jsonb ->> 'session_id')::uuid;
select tests.authenticate_with(tests.kept('assured')::jsonb);
select is(tests.seen('public.units', 'number'), 'cedar', 'a session whose second factor went is not assured, whatever its token says');
select tests.authenticate_with(tests.claims('manager') || '{"aal": "aal2"}');
select is(tests.seen('public.units', 'number'), 'cedar', 'nor is a token that says more than its session');

-- What is told -------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select throws_ok($$select app.require('units.read', tests.id('Alder'))$$, 'PT403', 'assurance_required', 'who would hold it is told what is missing');
select is(tests.seen('public.units', 'number'), 'cedar', '(and holds no more for having asked)');
select throws_ok($$select app.require('roles.manage', tests.id('Alder'))$$, 'PT403', 'permission_denied', 'who would not, is not');
select is(public.explain_access('units.read', tests.id('Alder')) -> 'assurance', '{"has_second_factor": false, "needs_second_factor": true}', 'explain_access says so');
select is(public.explain_access('units.read', tests.id('Alder')) -> 'allowed', 'false', 'and that it is not held');
select is('units.read' = any (array(select public.my_permissions(tests.id('Alder')))), false, 'my_permissions leaves it out');
select tests.authenticate_as('stranger');
select throws_ok($$select app.require('units.read', tests.id('Alder'))$$, 'PT403', 'permission_denied', 'a stranger is not told');
select is((select count(*)::integer from public.assurance_requirements), 0, 'and does not see what another organization requires');
select tests.authenticate_as('owner');
select is((select count(*)::integer from public.assurance_requirements), 2, 'whoever has to do with it, does');
select throws_ok($$insert into public.assurance_requirements (permission_key) values ('units.manage')$$, '42501', null, 'and writes nothing');
select tests.authenticate_as_service_role();
select lives_ok($$select app.require('units.read', tests.id('Alder'))$$, 'the secret key is not asked');

-- On the whole site, and no longer -------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select ok(tests.id('Alder') = any (app.my_communities()), 'what is left of the role is still a way in');
select tests.authenticate_with(tests.assured_claims('root'));
select public.require_assurance('units.read');
select is(pg_temp.sees('manager', 'aal1') || ' / ' || pg_temp.sees('staff', 'aal1') || ' / ' || pg_temp.sees('manager', 'aal2'), 'nothing / nothing / alder, cedar', 'the site asks for it everywhere');
select tests.authenticate_as('staff');
select is(app.can_on_site('units.read'), false, 'and a role on the site holds it nowhere without');
select tests.authenticate_with(tests.assured_claims('root'));
select public.require_assurance('units.read', required => false), public.require_assurance(p, tests.id('North'), false) from unnest(array['units.read', 'units.read_own']) p;
select is(pg_temp.sees('manager', 'aal1') || ' / ' || pg_temp.sees('owner', 'aal1'), 'alder, cedar / alder', 'lifted, it is held again');
select tests.as_studio();
select is((select count(*)::integer from audit.log l where l.table_id = 'public.assurance_requirements'::regclass), 6, 'and each change is in the audit log');
select is((select count(*)::integer from audit.log l where l.table_id = 'public.assurance_requirements'::regclass and l.actor_id is null), 0, 'with who made it');

-- Where an RPC asks for an organization, the site or a row ----------------------------------------------------------------

select public.require_assurance(p, tests.id('North')) from unnest(array['communities.create', 'organizations.update', 'memberships.manage', 'roles.manage', 'units.archive', 'organizations.archive']) p;
select public.require_assurance(p) from unnest(array['users.manage', 'records.purge', 'security.read', 'settings.manage']) p;
create table pg_temp.refusals (what text, call text, of_whom text);
insert into pg_temp.refusals values
  ('founding a community', $$select public.create_community(tests.id('North'), 'Elm', 'test-elm', 'BG', 'EUR', 'Europe/Sofia', 'bg', 1000)$$, 'admin'),
  ('a setting of the organization', $$select public.set_setting('general.privacy_answer_days', '20', organization_id => tests.id('North'))$$, 'admin'),
  ('a feature of the organization', $$select public.set_feature('directory', true, organization_id => tests.id('North'))$$, 'admin'),
  ('giving a role there', $$select public.grant_role(tests.id('stranger'), 'viewer', tests.id('North'))$$, 'admin'),
  ('giving a permission there', $$select public.grant_permission(tests.id('stranger'), 'units.read', 'Needs it', tests.id('North'))$$, 'admin'),
  ('archiving a row', $$select public.archive('units', tests.id('alder'))$$, 'admin'),
  ('an account', $$select public.set_account_status(tests.id('stranger'), 'suspended', 'Left')$$, 'root'),
  ('removing for good', $$select public.purge('units', tests.id('alder'), 'Gone')$$, 'root'),
  ('somebody''s sessions', $$select * from public.user_sessions(tests.id('manager'))$$, 'root'),
  ('a setting of the site', $$select public.set_setting('general.privacy_answer_days', '20')$$, 'root');
create function pg_temp.refused(who text, call text) returns text language plpgsql as $$
begin
  execute call;
  return 'done';
exception when others then
  return sqlerrm;
end;
$$;
grant execute on function pg_temp.refused(text, text) to authenticated;
select tests.keep('refusals', (select jsonb_agg(r) from pg_temp.refusals r));
create function pg_temp.answers(who text) returns text language sql as $$
  select string_agg(distinct answer, ', ' order by answer) from (
    select pg_temp.refused(who, r.call) as answer from jsonb_to_recordset(tests.kept('refusals')::jsonb) r (call text, of_whom text) where r.of_whom = who or who = 'stranger' offset 0) a
$$;
grant execute on function pg_temp.answers(text) to authenticated;
select tests.authenticate_as('admin');
select is(pg_temp.refused('admin', r.call), 'assurance_required', r.what || ': only a second factor is missing, and that is said') from jsonb_to_recordset(tests.kept('refusals')::jsonb) r (what text, call text, of_whom text) where r.of_whom = 'admin';
select tests.authenticate_as('root');
select is(pg_temp.refused('root', r.call), 'assurance_required', r.what || ': on the site too') from jsonb_to_recordset(tests.kept('refusals')::jsonb) r (what text, call text, of_whom text) where r.of_whom = 'root';
select is(current_setting('request.jwt.claims')::jsonb ->> 'aal', 'aal1', '(the claims are as before)');
select tests.authenticate_as('stranger');
select is(pg_temp.answers('stranger'), 'permission_denied, row_not_found', 'a stranger is not told');
select tests.authenticate_with(tests.assured_claims('stranger'));
select is(pg_temp.answers('stranger'), 'permission_denied, row_not_found', 'nor one with a second factor');
select tests.as_studio();
select is((select row(u.deleted_at, p.status)::text from public.units u, public.profiles p where u.id = tests.id('alder') and p.id = tests.id('stranger')), '(,active)', '(nothing was done)');
select is((select count(*) from public.memberships where user_id = tests.id('stranger')) + (select count(*) from public.user_permissions where user_id = tests.id('stranger')) + (select count(*) from public.communities where slug = 'test-elm'), 0::bigint, '(nor given or founded)');
select tests.authenticate_with(tests.assured_claims('admin'));
select is(pg_temp.answers('admin') !~ 'assurance_required|permission_denied', true, 'with a second factor it is done');
select tests.authenticate_with(tests.assured_claims('root'));
select is(pg_temp.answers('root') !~ 'assurance_required|permission_denied', true, 'on the site too');

select * from finish();
rollback;
