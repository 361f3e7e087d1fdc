-- Custom roles, single permissions, restrictions, the last administrator, and the explanation of access.
begin;
select plan(89);

select tests.create_organization('Domus');
select tests.create_organization('Rival');
select tests.create_community('North', 'Domus');
select tests.create_community('South', 'Domus');
select tests.create_community('Foreign', 'Rival');
select tests.create_supabase_user(name) from unnest(array['boss', 'admin', 'second', 'manager', 'worker', 'guard', 'rival boss']) name;
select tests.make_known(name, 'North') from unnest('{worker, guard}'::text[]) name;
select tests.grant_role('boss', 'owner', organization => 'Domus');
select tests.grant_role('rival boss', 'owner', organization => 'Rival');
select tests.grant_role('admin', 'admin', community => 'North');
select tests.grant_role('manager', 'manager', community => 'North');
insert into public.buildings (id, name, community_id) values (tests.id('Tower'), 'Tower', tests.id('North')), (tests.id('Annex'), 'Annex', tests.id('North'));
insert into public.units (id, number, community_id, building_id) values
  (tests.id('T1'), 'T1', tests.id('North'), tests.id('Tower')), (tests.id('T2'), 'T2', tests.id('North'), tests.id('Tower')),
  (tests.id('A1'), 'A1', tests.id('North'), tests.id('Annex')), (tests.id('F1'), 'F1', tests.id('Foreign'), null);

-- Custom roles -------------------------------------------------------------------------------------------------------

select tests.authenticate_as('boss');
select tests.keep('concierge', public.create_role('concierge', 'Concierge', '{communities.read, units.read}', organization_id => tests.id('Domus')));
select is((select r.name from public.roles r where r.key = 'concierge'), 'Concierge', 'an organization''s owner builds a custom role');
select throws_ok(
  format($$select public.create_role('concierge', 'Again', '{units.read}', organization_id => %L)$$, tests.id('Domus')),
  'PT409', 'role_key_taken', 'a key is taken once in an organization');
select throws_ok(
  format($$select public.create_role('concierge', 'Again', '{units.read}', community_id => %L)$$, tests.id('North')),
  'PT409', 'role_key_taken', 'a community''s role cannot shadow its organization''s');
select throws_ok(
  format($$select public.create_role('guard', 'Other guard', '{units.read}', community_id => %L)$$, tests.id('North')),
  'PT409', 'role_key_taken', 'a custom role cannot shadow a system role');
select throws_ok(
  format($$select public.create_role('spy', 'Spy', '{users.manage}', organization_id => %L)$$, tests.id('Domus')),
  'PT403', 'role_above_own', 'a role cannot hold what its maker does not hold');
select throws_ok(
  format($$select public.create_role('spy', 'Spy', '{no.such}', organization_id => %L)$$, tests.id('Domus')),
  'PT422', 'permission_unknown', 'a role cannot hold a permission that does not exist');
select throws_ok(
  format($$select public.create_role('spy', 'Spy', '{units.read}', organization_id => %L)$$, tests.id('Rival')),
  'PT403', 'permission_denied', 'nobody builds roles in another organization');
select throws_ok($$select public.create_role('spy', 'Spy', '{units.read}')$$, 'PT422', 'invalid_scope', 'a custom role belongs somewhere');
select throws_ok(
  format($$select public.create_role('Spy!', 'Spy', '{units.read}', organization_id => %L)$$, tests.id('Domus')),
  'PT422', 'invalid_value', 'a key has its form');
select throws_ok(
  format($$select public.create_role(%s, '{units.read}', organization_id => %L)$$, named, tests.id('Domus')), 'PT422', 'invalid_value', 'a role has a key and a name: ' || named)
from unnest(array[$$null, 'Nameless'$$, $$'nameless', null$$]) named;
select throws_ok(format('select public.set_role_permissions(%L, null)', tests.kept('concierge')), 'PT422', 'invalid_value', 'and permissions, be they none');

select tests.authenticate_as('rival boss');
select lives_ok(
  format($$select public.create_role('concierge', 'Their concierge', '{communities.read, residents.read}', organization_id => %L)$$, tests.id('Rival')),
  'two organizations have roles of one key');
select is((select count(*) from public.roles r where r.key = 'concierge'), 1::bigint, 'and each sees its own alone');
select throws_ok(
  format($$select public.set_role_permissions(%L, '{units.read}')$$, tests.kept('concierge')),
  'PT403', 'permission_denied', 'nobody changes the roles of another organization');

select tests.as_studio();
select public.grant_role(tests.id('worker'), 'concierge', community_id => tests.id('South'));
select public.grant_role(tests.id('worker'), 'concierge', community_id => tests.id('Foreign'));
select tests.authenticate_as('worker');
select results_eq(
  $$select c from app.communities_with('units.read') c$$, array[tests.id('South')], 'a custom role means in each organization what that organization says');
select results_eq(
  $$select c from app.communities_with('residents.read') c$$, array[tests.id('Foreign')], 'and the other organization''s role of that key what the other says');
select tests.authenticate_without_claims('worker');
select results_eq($$select c from app.communities_with('units.read') c$$, array[tests.id('South')], 'without claims too');

select tests.authenticate_as('worker');
select tests.keep('worker_token', current_setting('request.jwt.claims'));
select tests.authenticate_as('boss');
select public.set_role_permissions(tests.kept('concierge')::uuid, '{communities.read}');
select tests.authenticate_with(tests.kept('worker_token')::jsonb);
select is_empty($$select c from app.communities_with('units.read') c$$, 'a permission taken from a role is gone on the next statement');
select tests.authenticate_as('manager');
select throws_ok(
  format($$select public.create_role('helper', 'Helper', '{units.read}', community_id => %L)$$, tests.id('North')),
  'PT403', 'permission_denied', 'a manager builds no roles');
select throws_ok(
  format($$select public.set_role_permissions((select r.id from public.roles r where r.key = 'guard'), '{units.manage}')$$),
  'PT404', 'role_not_found', 'system roles do not change');

-- Single permissions -------------------------------------------------------------------------------------------------

select tests.authenticate_as('admin');
select tests.keep('grant', public.grant_permission(tests.id('worker'), 'audit.read', 'helps with the yearly review', community_id => tests.id('North')));
select throws_ok(
  format($$select public.grant_permission(%L, 'communities.create', 'for fun', community_id => %L)$$, tests.id('worker'), tests.id('North')),
  'PT403', 'role_above_own', 'nobody gives a permission they do not hold');
select throws_ok(
  format($$select public.grant_permission(%L, 'audit.read', 'for fun', community_id => %L)$$, tests.id('worker'), tests.id('Foreign')),
  'PT403', 'permission_denied', 'nor one elsewhere');
select throws_ok(
  format($$select public.grant_permission(%L, 'audit.read', '', community_id => %L)$$, tests.id('worker'), tests.id('North')),
  'PT422', 'invalid_value', 'nor one without a reason');
select throws_ok(
  format($$select public.grant_permission(%L, 'audit.read', 'to see who it is', community_id => %L)$$, stranger, tests.id('North')),
  'PT404', 'user_not_found', 'nor one to a user whom they do not know, be there one or not')
from unnest(array[tests.id('rival boss'), gen_random_uuid()]) stranger;

select tests.authenticate_as('worker');
select ok(app.can('audit.read', tests.id('North')), 'a single permission is held');
select ok(not app.can('units.read', tests.id('North')), 'and no other');
select ok(tests.id('North') = any (app.my_communities()), 'and opens the gate of its community');
select ok(not (auth.jwt() -> 'app_metadata' -> 'communities') ? tests.id('North')::text, 'it is not in the token, which only says that there is something');
select tests.keep('worker_token', current_setting('request.jwt.claims'));
select tests.authenticate_as('admin');
select public.revoke_permission(tests.kept('grant')::uuid);
select tests.authenticate_with(tests.kept('worker_token')::jsonb);
select ok(not app.can('audit.read', tests.id('North')), 'revoked, it is gone on the next statement, whatever the token says');

-- Restrictions -------------------------------------------------------------------------------------------------------

select tests.authenticate_as('admin');
select tests.keep('guarding', public.grant_role(tests.id('guard'), 'guard', community_id => tests.id('North')));
select tests.authenticate_as('guard');
select is((select count(*) from public.units), 3::bigint, 'an unrestricted guard sees every unit');
select tests.keep('guard_token', current_setting('request.jwt.claims'));
select tests.authenticate_as('admin');
select public.restrict_role(tests.kept('guarding')::uuid, jsonb_build_object('buildings', jsonb_build_array(tests.id('Annex'))));
select tests.authenticate_with(tests.kept('guard_token')::jsonb);
select results_eq($$select number from public.units$$, array['A1'], 'a guard restricted to a building sees its units alone, on the next statement');
select results_eq($$select name from public.communities$$, array['North'], 'and still the community''s name');
select tests.authenticate_as('guard');
select results_eq($$select number from public.units$$, array['A1'], 'with a new token too');

select tests.authenticate_as('admin');
select public.restrict_role(tests.kept('guarding')::uuid, jsonb_build_object('hours', jsonb_build_object(
  'from', to_char(now() at time zone 'UTC' + interval '2 hours', 'HH24:MI'), 'to', to_char(now() at time zone 'UTC' + interval '3 hours', 'HH24:MI'))));
select tests.authenticate_as('guard');
select is_empty($$select number from public.units$$, 'outside the hours of a restriction the role is not held');
select tests.authenticate_as('admin');
select public.restrict_role(tests.kept('guarding')::uuid, jsonb_build_object('hours', jsonb_build_object(
  'from', to_char(now() at time zone 'UTC' - interval '2 hours', 'HH24:MI'), 'to', to_char(now() at time zone 'UTC' + interval '3 hours', 'HH24:MI'))));
select tests.authenticate_as('guard');
select is((select count(*) from public.units), 3::bigint, 'within them it is, past midnight too');
select tests.authenticate_as('admin');
select public.restrict_role(tests.kept('guarding')::uuid, '{"amounts": {"units.read": 500}}');
select tests.authenticate_as('guard');
select is(app.amount_limit('units.read', tests.id('North')), 500::numeric, 'an amount limits what may be done at once');
select is(app.amount_limit('audit.read', tests.id('North')), 0::numeric, 'what is not held at all has the limit 0');
select tests.authenticate_as('admin');
select is(app.amount_limit('units.read', tests.id('North')), null, 'an unrestricted role has none');
select throws_ok(
  format($$select public.restrict_role(%L, '{"planets": ["Mars"]}')$$, tests.kept('guarding')), 'PT422', 'invalid_restriction', 'a restriction has its form');
select throws_ok(
  format($$select public.restrict_role(%L, '{"units": ["%s"]}')$$, tests.kept('guarding'), tests.id('F1')),
  'PT422', 'invalid_restriction', 'a restriction names units of its community');
select tests.authenticate_as('guard');
select throws_ok(format($$select public.restrict_role(%L, null)$$, tests.kept('guarding')), 'PT404', 'membership_not_found', 'nobody lifts the own limits');

-- What is held within limits is not handed on ------------------------------------------------------------------------

select tests.as_studio();
select tests.create_supabase_user(name) from unnest(array['capped', 'friend', 'nightly']) name;
select tests.make_known(name, 'North') from unnest('{capped, friend, nightly}'::text[]) name;
select tests.authenticate_as('admin');
select tests.keep('capped', public.grant_role(tests.id('capped'), 'manager', community_id => tests.id('North')));
select public.restrict_role(tests.kept('capped')::uuid, '{"amounts": {"expenses.approve": 100}}');
select throws_ok(
  format($$select public.restrict_role(%L, '{"amounts": {"expenses.approve": "%s"}}')$$, tests.kept('capped'), amount),
  'PT422', 'invalid_restriction', 'an amount is a number, not ' || amount)
from unnest('{NaN,Infinity,-1}'::text[]) amount;
select tests.keep('boundless', public.create_role('boundless', 'Boundless', '{communities.read, expenses.approve}', community_id => tests.id('North')));

select tests.authenticate_as('capped');
select throws_ok(
  format($$select public.grant_permission(%L, 'expenses.approve', 'More for me', community_id => %L)$$, tests.id('capped'), tests.id('North')),
  'PT403', 'role_above_own', 'whoever may approve up to an amount does not give themselves the permission without one');
select throws_ok(
  format($$select public.grant_role(%L, %L, community_id => %L)$$, tests.id(who), role, tests.id('North')),
  'PT403', 'role_above_own', format('nor the role %s to %s', role, who))
from (values ('capped', 'boundless'), ('friend', 'boundless'), ('friend', 'manager')) t (who, role);
select throws_ok(
  format($$select public.invite_member('friend@elsewhere.example', 'manager', community_id => %L)$$, tests.id('North')),
  'PT403', 'role_above_own', 'nor to whom they invite');
select is(app.amount_limit('expenses.approve', tests.id('North')), 100::numeric, 'and the limit is as before');
select lives_ok(
  format($$select public.grant_role(%L, 'guard', community_id => %L)$$, tests.id('friend'), tests.id('North')),
  'what the limits do not speak of may be given');

select tests.authenticate_as('admin');
select tests.keep('nightly', public.grant_role(tests.id('nightly'), 'manager', community_id => tests.id('North')));
select tests.authenticate_as('nightly');
select tests.keep('invitation', (select i.id from public.invite_member('helper@elsewhere.example', 'technician', community_id => tests.id('North')) i));
select tests.authenticate_as('admin');
select public.restrict_role(tests.kept('nightly')::uuid, jsonb_build_object('hours', jsonb_build_object(
  'from', to_char(now() at time zone 'UTC' - interval '2 hours', 'HH24:MI'), 'to', to_char(now() at time zone 'UTC' + interval '3 hours', 'HH24:MI'))));
select tests.authenticate_as('nightly');
select ok(app.can('memberships.manage', tests.id('North')), 'within the hours of a role its permissions are held');
select throws_ok(
  format($$select public.grant_permission(%L, 'units.manage', 'At all hours', community_id => %L)$$, tests.id('nightly'), tests.id('North')),
  'PT403', 'role_above_own', 'but not given, as they would be held at all hours');
select tests.as_studio();
select ok(not app.invitation_stands(i), 'nor does an invitation from before stand') from public.invitations i where i.id = tests.kept('invitation')::uuid;

-- Another role that holds the permission elsewhere, or at another hour, lifts no limit.
select public.grant_role(tests.id('capped'), 'boundless', community_id => tests.id('North'));
select tests.keep('second', (select m.id from public.memberships m where m.user_id = tests.id('capped') and m.role_id = tests.kept('boundless')::uuid));
select public.restrict_role(tests.kept('second')::uuid, jsonb_build_object('hours', jsonb_build_object(
  'from', to_char(now() at time zone 'UTC' + interval '2 hours', 'HH24:MI'), 'to', to_char(now() at time zone 'UTC' + interval '3 hours', 'HH24:MI'))));
select tests.authenticate_as('capped');
select is(app.amount_limit('expenses.approve', tests.id('North')), 100::numeric, 'a role that is not held at this hour lifts no limit');
select tests.as_studio();
select public.restrict_role(tests.kept('second')::uuid, jsonb_build_object('buildings', jsonb_build_array(tests.id('Annex'))));
select tests.authenticate_as('capped');
select is(app.amount_limit('expenses.approve', tests.id('North')), 100::numeric, 'nor does one of another building');
select tests.as_studio();
select public.restrict_role(tests.kept('second')::uuid, null);
select tests.authenticate_as('capped');
select is(app.amount_limit('expenses.approve', tests.id('North')), null, 'one without limits does');
select tests.as_studio();
select public.revoke_role(m.id) from public.memberships m where m.user_id in (tests.id('capped'), tests.id('friend'), tests.id('nightly'));
-- In whatever way ---------------------------------------------------------------------------------------------------

select tests.as_studio();
select tests.keep('limited', public.grant_role(tests.id('second'), 'admin', community_id => tests.id('North')));
select public.restrict_role(tests.kept('limited')::uuid, '{"amounts": {"expenses.approve": 5000}}');
create function pg_temp.handing_on(way text) returns text language sql as $$
  select format(case way
    when 'permission' then 'select public.grant_permission(%1$L, %2$L, %3$L, community_id => %4$L)'
    when 'role' then 'select public.grant_role(%1$L, %5$L, community_id => %4$L)'
    when 'custom role' then 'select public.create_role(%6$L, %7$L, %8$L, community_id => %4$L)'
    when 'invitation' then 'select public.invite_member(%9$L, %5$L, community_id => %4$L)'
  end, tests.id('second'), 'expenses.approve', 'because I can', tests.id('North'), 'manager', 'spender', 'Spender', '{expenses.approve}', 'friend@test.example');
$$;
grant execute on function pg_temp.handing_on(text) to authenticated;
select tests.authenticate_as('second');
select is(app.amount_limit('expenses.approve', tests.id('North')), 5000::numeric, 'a limited administrator spends within the limit');
select throws_ok(pg_temp.handing_on(way), 'PT403', 'role_above_own', 'and hands on nothing without it: ' || way)
from unnest('{permission, role, custom role, invitation}'::text[]) way;
select is(app.amount_limit('expenses.approve', tests.id('North')), 5000::numeric, 'so that the limit is what it was');
select is((select count(*) from public.roles r where r.key = 'spender') + (select count(*) from public.user_permissions up where up.user_id = tests.id('second')), 0::bigint, 'and nothing was made');
select tests.as_studio();
select tests.keep('spending', public.grant_permission(tests.id('worker'), 'expenses.approve', 'helps', community_id => tests.id('North')));
select tests.authenticate_as('second');
select lives_ok(format('select public.revoke_permission(%L)', tests.kept('spending')), 'what others hold is still theirs to take');
select tests.as_studio();
select tests.keep('committee', public.grant_role(tests.id('second'), 'committee', community_id => tests.id('North')));
select public.restrict_role(tests.kept('committee')::uuid, jsonb_build_object('units', jsonb_build_array(tests.id('T1'))));
select tests.authenticate_as('second');
select is(app.amount_limit('expenses.approve', tests.id('North')), 5000::numeric, 'a second role, for one unit, lifts no limit');
select tests.as_studio();
select public.restrict_role(tests.kept('committee')::uuid, jsonb_build_object('hours', jsonb_build_object(
  'from', to_char(now() at time zone 'UTC' + interval '2 hours', 'HH24:MI'), 'to', to_char(now() at time zone 'UTC' + interval '3 hours', 'HH24:MI'))));
select tests.authenticate_as('second');
select is(app.amount_limit('expenses.approve', tests.id('North')), 5000::numeric, 'nor does one outside its hours');
select tests.as_studio();
select public.revoke_role(tests.kept('limited')::uuid);
select public.grant_role(tests.id('second'), 'admin', community_id => tests.id('North'));
select tests.authenticate_as('second');
select lives_ok(pg_temp.handing_on('permission'), 'who holds it without limits, by another role, hands it on');

select tests.authenticate_as('boss');
select throws_ok(format($$select public.create_role(%s, organization_id => %L)$$, told, tests.id('Domus')), 'PT422', 'invalid_value', 'a role lacks nothing: ' || told)
from unnest(array[$$null, 'Nameless', '{units.read}'$$, $$'nameless', null, '{units.read}'$$, $$'nameless', 'Nameless', null$$, $$'nameless', 'Nameless', '{units.read}', level => null$$]) told;
select throws_ok(format($$select public.set_role_permissions(%L, null)$$, tests.kept('concierge')), 'PT422', 'invalid_value', 'nor when its permissions change');
select tests.as_studio();
update public.memberships set deleted_at = now() where user_id = tests.id('second') and deleted_at is null;

-- The last administrator ---------------------------------------------------------------------------------------------

select tests.as_studio();
select tests.keep('manager_membership', (select m.id from public.memberships m where m.user_id = tests.id('manager')));
select tests.keep('admin_membership', (select m.id from public.memberships m where m.user_id = tests.id('admin')));
select tests.authenticate_as('admin');
select lives_ok(format('select public.revoke_role(%L)', tests.kept('manager_membership')), 'an administrator removes another');
select throws_ok(format('select public.revoke_role(%L)', tests.kept('admin_membership')), 'PT409', 'last_administrator', 'the last one cannot leave');
select tests.authenticate_as('boss');
select throws_ok(format('select public.revoke_role(%L)', tests.kept('admin_membership')), 'PT409', 'last_administrator', 'nor be removed');
select ok(tests.id('North') in (select app.communities_with('memberships.manage')), 'and is still there');
select tests.keep('chief', public.create_role('chief', 'Chief', '{communities.read, memberships.read, memberships.manage}', organization_id => tests.id('Domus')));
select public.grant_role(tests.id('worker'), 'chief', community_id => tests.id('South'));
select throws_ok(
  format($$select public.set_role_permissions(%L, '{communities.read}')$$, tests.kept('chief')),
  'PT409', 'last_administrator', 'nor is the role of the last one made another');
select is((select count(*) from public.role_permissions rp where rp.role_id = tests.kept('chief')::uuid), 3::bigint, 'it holds what it held');
select lives_ok(format($$select public.set_role_permissions(%L, '{memberships.manage}')$$, tests.kept('chief')), 'while it still grants roles, it changes');
select tests.as_studio();
select public.grant_role(tests.id('manager'), 'manager', community_id => tests.id('South'));
select tests.authenticate_as('boss');
select lives_ok(format($$select public.set_role_permissions(%L, '{communities.read}')$$, tests.kept('chief')), 'and once there is another it may be anything');

-- Nor is the permission taken from the role by which the last one holds it.
select tests.as_studio();
select tests.keep('chair', public.create_role('chair', 'Chair', '{communities.read, memberships.manage}', community_id => tests.id('North')));
select public.grant_role(tests.id('admin'), 'chair', community_id => tests.id('North'));
select lives_ok(format($$select public.set_role_permissions(%L, '{communities.read}')$$, tests.kept('chair')), 'a role loses memberships.manage while others hold it');
select public.set_role_permissions(tests.kept('chair')::uuid, '{communities.read, memberships.manage}');
select lives_ok(format('select public.revoke_role(%L)', tests.kept('admin_membership')), 'an administrator by a custom role is one');
select throws_ok(
  format($$select public.set_role_permissions(%L, '{communities.read}')$$, tests.kept('chair')),
  'PT409', 'last_administrator', 'the role of the last one does not lose it');
select is(
  (select count(*) from public.role_permissions rp where rp.role_id = tests.kept('chair')::uuid), 2::bigint, 'and holds what it held');

-- Why ----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('guard');
select is(
  (select row(e ->> 'allowed', e #>> '{roles,0,role}', e #>> '{roles,0,holds_it}')::text from public.explain_access('units.manage', tests.id('North')) e),
  row('false', 'guard', 'false')::text, 'explain_access names the roles and that they do not hold it');
select throws_ok(format($$select public.explain_access('no.such', %L)$$, tests.id('North')), 'PT422', 'permission_unknown', 'and refuses what does not exist');

select * from finish();
rollback;
