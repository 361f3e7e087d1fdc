-- A permission for which a second factor is required is not held without one, whichever way it comes.
--
-- North runs Alder and Birch, South runs Cedar; each has one unit, called after it.

begin;
select plan(43);

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

select * from finish();
rollback;
