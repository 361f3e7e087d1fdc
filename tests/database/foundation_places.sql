-- The administrator's own path, and where a user belongs.
begin;
select plan(35);

select tests.create_supabase_user(u) from unnest(array['founder', 'second founder', 'member', 'resident', 'restless', 'superadmin', 'nobody']) u;
select tests.create_supabase_user('unverified', confirmed => false);
select tests.grant_role('superadmin', 'superadmin');

create function pg_temp.found(slug text, currency text default 'EUR') returns void language plpgsql as $$
declare
  made record;
begin
  select * into made from public.found_community(
    organization_name => 'Org ' || slug, organization_slug => slug, community_name => 'Community ' || slug, community_slug => slug,
    country_code => 'BG', currency_code => currency, time_zone => 'Europe/Sofia');
  perform tests.keep('organization', made.organization_id), tests.keep('community', made.community_id);
end;
$$;
create function pg_temp.places() returns text language sql security definer as $$
  select concat_ws(' ', (select count(*) from public.organizations), (select count(*) from public.communities), (select count(*) from public.memberships))
$$;
grant execute on function pg_temp.found, pg_temp.places to anon, authenticated;

-- Founding -----------------------------------------------------------------------------------------------------------

select tests.authenticate_as('founder');
select is_empty('select * from public.my_places()', 'who has just signed up belongs nowhere');
select lives_ok($$ select pg_temp.found('linden') $$, 'who has just signed up founds a community in one call');
select results_eq(
  $$ select c.id, c.name, o.id, o.name from public.communities c join public.organizations o on o.id = c.organization_id $$,
  $$ values (tests.kept('community')::uuid, 'Community linden', tests.kept('organization')::uuid, 'Org linden') $$,
  'and sees it, and its organization, with the token signed before');
select results_eq(
  $$ select r.level::text, r.key, coalesce(m.organization_id, m.community_id) from public.memberships m join public.roles r on r.id = m.role_id order by 1 $$,
  $$ values ('community', 'admin', tests.kept('community')::uuid), ('organization', 'owner', tests.kept('organization')::uuid) $$,
  'as the organization''s owner and the community''s administrator');
select lives_ok(
  $$ insert into public.units (community_id, number) values (tests.kept('community')::uuid, '1') $$, 'who enters units at once');
select lives_ok(
  $$ select * from public.invite_member('neighbour@test.example', 'manager', community_id => tests.kept('community')::uuid) $$, 'and invites people');
select lives_ok(
  $$ select public.create_community(tests.kept('organization')::uuid, 'Second', 'second-of-linden', 'BG', 'EUR', 'Europe/Sofia') $$,
  'and adds communities to the organization');
select ok(not app.can_on_site('communities.read'), 'but has nothing on the site');

select tests.authenticate_as('second founder');
select is_empty('select * from public.communities', 'somebody else who founds nothing sees nothing of it');
select tests.keep('before', pg_temp.places());
select throws_ok($$ select pg_temp.found('linden') $$, 'PT409', 'slug_taken', 'a slug is taken once');
select throws_ok(
  $$ select * from public.found_community('Org', 'org-free', 'Community', 'linden', 'BG', 'EUR', 'Europe/Sofia') $$, 'PT409', 'slug_taken',
  'for communities as for organizations');
select throws_ok($$ select pg_temp.found('Not A Slug') $$, 'PT422', 'invalid_value', 'a slug has to be one');
select throws_ok($$ select pg_temp.found('poplar', 'euro') $$, 'PT422', 'invalid_value', 'a currency has to be one');
select throws_ok($$ select pg_temp.found(null) $$, 'PT422', 'invalid_value', 'what is missing is refused');
select is(pg_temp.places(), tests.kept('before'), 'and each time nothing is made: no organization without its community and its owner');

select tests.authenticate_as('unverified');
select throws_ok($$ select pg_temp.found('poplar') $$, 'PT403', 'email_not_verified', 'an address that was only typed founds nothing');
select tests.clear_authentication();
select throws_ok($$ select pg_temp.found('poplar') $$, '42501', null, 'nor does somebody who has not signed in');
select is(pg_temp.places(), tests.kept('before'), 'nothing was made');

select tests.authenticate_as('restless');
select pg_temp.found('one'), pg_temp.found('two'), pg_temp.found('three');
select tests.keep('before', pg_temp.places());
select throws_ok($$ select pg_temp.found('four') $$, 'PT409', 'too_many_organizations', 'nobody founds organizations without end');
select is(pg_temp.places(), tests.kept('before'), 'the fourth was not made');
select tests.as_studio();
select public.set_setting('security.founded_organizations', '4');
select tests.authenticate_as('restless');
select lives_ok($$ select pg_temp.found('four') $$, 'unless the site permits more');
select tests.as_studio();
select public.set_account_status(tests.id('restless'), 'banned');
select tests.authenticate_as('restless');
select throws_ok($$ select pg_temp.found('four') $$, 'PT401', 'account_unknown', 'a banned user founds nothing');

select tests.as_studio();
select public.set_setting('security.self_service', 'false');
select tests.keep('before', pg_temp.places());
select tests.authenticate_as('second founder');
select throws_ok($$ select pg_temp.found('poplar') $$, 'PT403', 'self_service_off', 'where the site does not permit it, nobody founds anything');
select throws_ok($$ select public.set_setting('security.self_service', 'true') $$, 'PT403', 'permission_denied', 'nor permits it to themselves');
select is(pg_temp.places(), tests.kept('before'), 'nothing was made');

-- Where a user belongs -----------------------------------------------------------------------------------------------

select tests.as_studio();
select tests.create_organization('Alder Care');
select tests.create_community('Alder One', 'Alder Care');
select tests.create_community('Alder Two', 'Alder Care');
select tests.create_community('Birch');
select tests.create_unit('B1', 'Birch');
select tests.create_resident('resident', 'Birch', tests.email('resident'));
select tests.occupy('resident', 'B1', 'owner');
select tests.grant_role('member', 'viewer', organization => 'Alder Care');
select tests.grant_role('member', 'guard', community => 'Alder Two');
select tests.grant_role('member', 'guard', community => 'Birch', starts_at => now() - interval '1 hour');
select tests.grant_role('resident', 'committee', community => 'Birch');

select tests.authenticate_as('member');
select results_eq(
  $$ select level::text, organization, community, roles from public.my_places() $$,
  $$ values
    ('organization', 'Alder Care', null, '{organization/viewer}'::text[]),
    ('community', 'Alder Care', 'Alder One', '{organization/viewer}'),
    ('community', 'Alder Care', 'Alder Two', '{community/guard,organization/viewer}'),
    ('community', 'organization of Birch', 'Birch', '{community/guard}') $$,
  'an organization comes before its communities, each with the roles that lead there');
select results_eq(
  $$ select p.community_id from public.my_places() p where p.community_id is not null order by 1 $$, 'select c.id from public.communities c order by 1',
  'and they are the very communities whose rows the user sees');
select tests.authenticate_as('resident');
select results_eq(
  $$ select level::text, community, roles from public.my_places() $$, $$ values ('community', 'Birch', '{community/committee,community/owner}'::text[]) $$,
  'who lives in a community belongs there, by occupancy and by membership');
select tests.authenticate_without_claims('member');
select is((select count(*) from public.my_places()), 4::bigint, 'the answer does not depend on what the token says');
select tests.authenticate_as('superadmin');
select is(
  (select count(*) from public.my_places()), (select count(*) from public.communities) + (select count(*) from public.organizations),
  'an administrator of the site switches between all');
select ok((select bool_and(p.roles = '{site/superadmin}') from public.my_places() p), 'by the role on the site');
select tests.authenticate_as('nobody');
select is_empty('select * from public.my_places()', 'who has no role belongs nowhere');

select tests.as_studio();
update public.memberships set ends_at = now() where user_id = tests.id('member') and community_id = tests.id('Birch');
select tests.authenticate_as('member');
select is((select count(*) from public.my_places()), 3::bigint, 'a role that ended leads nowhere');
select tests.as_studio();
select public.set_account_status(tests.id('member'), 'banned');
select tests.authenticate_as('member');
select is_empty('select * from public.my_places()', 'nor does any role of a banned user');
select tests.clear_authentication();
select throws_ok('select * from public.my_places()', '42501', null, 'without signing in there is no answer');

select * from finish();
rollback;
