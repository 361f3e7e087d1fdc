-- Granting and revoking: nobody gives or takes more than they have, a role is held where it belongs, and once.

begin;
select plan(60);

-- vault.open is held by administrators and not by managers, so that there is something above a manager.
select app.define_permission('vault.open', 'community', 'Open the vault', '{site/superadmin, organization/owner, organization/admin, community/admin}');

select tests.create_organization('North'), tests.create_organization('South');
select tests.create_community('Alder', 'North'), tests.create_community('Birch', 'North'), tests.create_community('Cedar', 'South');
select tests.create_supabase_user(u) from unnest(array['superadmin', 'staff', 'org owner', 'org admin', 'admin', 'manager', 'guard', 'cedar manager', 'somebody', 'stranger']) u;
select tests.grant_role('superadmin', 'superadmin'), tests.grant_role('staff', 'staff');
select tests.grant_role('org owner', 'owner', organization => 'North'), tests.grant_role('org admin', 'admin', organization => 'North');
select tests.keep('admin', tests.grant_role('admin', 'admin', community => 'Alder'));
select tests.keep('manager', tests.grant_role('manager', 'manager', community => 'Alder'));
select tests.grant_role('guard', 'guard', community => 'Alder');
select tests.keep('cedar', tests.grant_role('cedar manager', 'manager', community => 'Cedar'));

create temporary table held_before as select id, user_id, role_id, ends_at, deleted_at from public.memberships;
grant select on held_before to authenticated;

-- Giving -------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select throws_ok($$select tests.grant_role('manager', 'admin', community => 'Alder')$$, 'PT403', 'role_above_own', 'nobody gives themselves more than they have');
select throws_ok($$select tests.grant_role('somebody', 'admin', community => 'Alder')$$, 'PT403', 'role_above_own', 'nobody gives others more than they have');
select throws_ok($$select tests.grant_role('somebody', 'guard', community => 'Birch')$$, 'PT403', 'permission_denied', 'nobody gives roles in another community');
select throws_ok($$select tests.grant_role('somebody', 'viewer', organization => 'North')$$, 'PT403', 'permission_denied', 'a manager gives no role in the organization');
select throws_ok($$select tests.grant_role('somebody', 'staff')$$, 'PT403', 'permission_denied', 'a manager gives no role on the site');
select throws_ok($$select public.grant_role(tests.id('somebody'), 'guard', community_id => gen_random_uuid())$$, 'PT403', 'permission_denied',
  'a community that does not exist answers as one in which nothing is permitted');
select throws_ok($$select tests.grant_role('somebody', 'king', community => 'Alder')$$, 'PT404', 'role_not_found', 'a role that does not exist is not found');

select tests.authenticate_as('guard');
select throws_ok($$select tests.grant_role('guard', 'manager', community => 'Alder')$$, 'PT403', 'permission_denied', 'who may not grant grants nothing');
select tests.authenticate_as('staff');
select throws_ok($$select tests.grant_role('somebody', 'guard', community => 'Alder')$$, 'PT403', 'permission_denied', 'who may read everything still grants nothing');
select tests.authenticate_as('org admin');
select throws_ok($$select tests.grant_role('org admin', 'owner', organization => 'North')$$, 'PT403', 'role_above_own', 'an administrator of the organization does not become its owner');
select throws_ok($$select tests.grant_role('somebody', 'manager', community => 'Cedar')$$, 'PT403', 'permission_denied', 'a role in one organization gives no role in another''s community');
select tests.clear_authentication();
select throws_ok($$select public.grant_role(gen_random_uuid(), 'guard')$$, '42501', null, 'who is not signed in may not even ask');

select tests.as_studio();
select set_eq('select id, user_id, role_id, ends_at, deleted_at from public.memberships', 'table held_before', 'and nothing changed');

-- Nobody is given anything by somebody who does not know them, and the answer does not tell whether they exist.
select tests.authenticate_as('manager');
select throws_ok($$select tests.grant_role('somebody', 'guard', community => 'Alder')$$, 'PT404', 'user_not_found', 'a manager gives no role to a stranger, of whom they know an id alone');
select throws_ok($$select tests.grant_role('cedar manager', 'guard', community => 'Alder')$$, 'PT404', 'user_not_found', 'nor to whoever manages elsewhere');
select throws_ok($$select public.grant_role(gen_random_uuid(), 'guard', community_id => tests.id('Alder'))$$, 'PT404', 'user_not_found', 'nor to nobody');
select is_empty($$select from public.profiles p where p.id = tests.id('somebody')$$, 'and sees nothing of them');
select tests.authenticate_as('org admin');
select throws_ok($$select tests.grant_role('cedar manager', 'admin', organization => 'North')$$, 'PT404', 'user_not_found', 'nor does an administrator of the organization');
select tests.as_studio();
select set_eq('select id, user_id, role_id, ends_at, deleted_at from public.memberships', 'table held_before', 'which changed nothing either');
select tests.make_known('somebody', 'Alder');

select tests.authenticate_as('manager');
select lives_ok($$select tests.grant_role('somebody', 'guard', community => 'Alder')$$, 'a manager gives what a manager has');
select tests.authenticate_as('org admin');
select lives_ok($$select tests.grant_role('somebody', 'manager', community => 'Birch')$$, 'an administrator of the organization gives roles in its communities');
select lives_ok($$select tests.grant_role('somebody', 'admin', organization => 'North')$$, 'and in the organization');
select tests.authenticate_as('superadmin');
select lives_ok($$select tests.grant_role('somebody', 'staff')$$, 'a superadministrator gives roles on the site');
select tests.as_studio();
select lives_ok($$select tests.grant_role('somebody', 'superadmin')$$, 'Studio gives any role');
select is(
  (select row(starts_at, ends_at, created_by)::text from public.memberships where user_id = tests.id('somebody') and community_id = tests.id('Alder')),
  row(now(), null::timestamptz, tests.id('manager'))::text, 'a role is held from now on, until further notice');

-- What is asked for must make sense ------------------------------------------------------------------------------------

select throws_ok($$select public.grant_role(null, 'guard', community_id => tests.id('Alder'))$$, 'PT422', 'invalid_value', 'a role is given to somebody');
select throws_ok($$select public.grant_role(tests.id('guard'), null, community_id => tests.id('Alder'))$$, 'PT422', 'invalid_value', 'somebody is given a role');
select throws_ok($$select tests.grant_role('guard', 'guard', organization => 'North', community => 'Alder')$$, 'PT422', 'invalid_scope', 'a role is held in one place');
select throws_ok($$select tests.grant_role('stranger', 'guard', community => 'Alder', ends_at => now() - interval '1 hour')$$, 'PT422', 'invalid_period', 'a role ends after it begins');
select throws_ok($$select public.grant_role(gen_random_uuid(), 'guard', community_id => tests.id('Alder'))$$, 'PT404', 'user_not_found', 'a user who does not exist is not found');

-- A role is held where it belongs --------------------------------------------------------------------------------------

insert into public.roles (id, level, key, name, organization_id, community_id) values
  (tests.id('cedar gardener'), 'community', 'gardener', 'Gardener', null, tests.id('Cedar')),
  (tests.id('south porter'), 'community', 'porter', 'Porter', tests.id('South'), null);
select throws_ok($$select tests.grant_role('guard', 'gardener', community => 'Alder')$$, 'PT404', 'role_not_found', 'a custom role is unknown outside of its community');
select throws_ok($$select tests.grant_role('guard', 'porter', community => 'Alder')$$, 'PT404', 'role_not_found', 'a custom role is unknown outside of its organization');
select throws_ok($$insert into public.memberships (user_id, role_id, community_id) values (tests.id('guard'), tests.id('cedar gardener'), tests.id('Alder'))$$,
  'PT409', 'role_not_assignable', 'not even SQL gives a custom role outside of its community');
select throws_ok($$insert into public.memberships (user_id, role_id, community_id) values (tests.id('guard'), tests.id('south porter'), tests.id('Alder'))$$,
  'PT409', 'role_not_assignable', 'nor outside of its organization');
select lives_ok($$select tests.grant_role('guard', 'porter', community => 'Cedar')$$, 'an organization''s custom role is held in its communities');
select throws_ok($$insert into public.memberships (user_id, role_id) select tests.id('guard'), r.id from public.roles r where r.key = 'technician'$$,
  '23503', null, 'a role of a community is not held on the site');
select throws_ok($$select tests.grant_role('guard', 'tenant', community => 'Alder')$$, 'PT409', 'role_not_assignable', 'who is a tenant is told by an occupancy, not by a membership');

-- One meaning per key --------------------------------------------------------------------------------------------------

select throws_ok($$insert into public.roles (level, key, name, organization_id) values ('community', 'manager', 'Ours', tests.id('North'))$$,
  'PT409', 'role_key_taken', 'a custom role does not take a system role''s key');
select throws_ok($$insert into public.roles (level, key, name, organization_id) values ('community', 'gardener', 'Ours', tests.id('South'))$$,
  'PT409', 'role_key_taken', 'an organization does not take a key of one of its communities');
select throws_ok($$insert into public.roles (level, key, name, community_id) values ('community', 'porter', 'Ours', tests.id('Cedar'))$$,
  'PT409', 'role_key_taken', 'a community does not take a key of its organization');
select lives_ok($$insert into public.roles (level, key, name, organization_id) values ('community', 'gardener', 'Ours', tests.id('North'))$$, 'two organizations may use one key');

-- A role holds what fits its level -------------------------------------------------------------------------------------

select throws_ok($$insert into public.role_permissions (role_id, permission_key) values (tests.id('cedar gardener'), 'organizations.update')$$,
  'PT409', 'permission_level', 'a role of a community holds no permission of the organization');
select throws_ok($$insert into public.role_permissions (role_id, permission_key) values (tests.id('cedar gardener'), 'users.manage')$$,
  'PT409', 'permission_level', 'nor of the site');
select throws_ok($$insert into public.role_permissions (role_id, permission_key) values (tests.id('cedar gardener'), 'units.read_own')$$,
  'PT409', 'permission_level', 'what depends on the own unit only roles of occupancy hold');

-- Once at a time -------------------------------------------------------------------------------------------------------

select throws_ok($$select tests.grant_role('guard', 'guard', community => 'Alder')$$, 'PT409', 'role_already_held', 'a role is held once at a time');
select throws_ok($$insert into public.memberships (user_id, role_id, community_id) select m.user_id, m.role_id, m.community_id from public.memberships m where m.id = tests.kept('manager')::uuid$$,
  '23P01', null, 'not even SQL gives it twice');
select lives_ok($$select tests.grant_role('guard', 'guard', community => 'Birch')$$, 'the same role elsewhere is another');
select public.revoke_role(tests.grant_role('stranger', 'guard', community => 'Alder', starts_at => now() - interval '1 day'));
select lives_ok($$select tests.grant_role('stranger', 'guard', community => 'Alder')$$, 'a role that ended can be given again');

-- Taking ---------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select throws_ok($$select public.revoke_role(tests.kept('admin')::uuid)$$, 'PT403', 'role_above_own', 'nobody takes more than they have');
select throws_ok($$select public.revoke_role(tests.kept('cedar')::uuid)$$, 'PT404', 'membership_not_found', 'a membership in another community is not found');
select throws_ok($$select public.revoke_role(gen_random_uuid())$$, 'PT404', 'membership_not_found', 'nor one that does not exist');
select throws_ok($$update public.memberships set ends_at = now()$$, '42501', null, 'nobody writes memberships past the functions');
select throws_ok($$insert into public.memberships (user_id, role_id) select tests.id('manager'), r.id from public.roles r where r.key = 'superadmin'$$, '42501', null, 'nor into them');
select throws_ok($$insert into public.role_permissions (role_id, permission_key) select r.id, 'vault.open' from public.roles r where r.key = 'manager'$$, '42501', null,
  'nobody gives a role a permission through the API');
select tests.as_studio();
select is((select count(*) from public.memberships where id in (tests.kept('admin')::uuid, tests.kept('cedar')::uuid) and ends_at is null), 2::bigint, 'and both are held as before');

select tests.authenticate_as('manager');
select lives_ok($$select public.revoke_role(tests.kept('manager')::uuid)$$, 'everybody may lay down a role of their own');
select is_empty($$select public.my_permissions(community_id => tests.id('Alder'))$$, 'and then holds nothing any more');
select throws_ok($$select public.revoke_role(tests.kept('manager')::uuid)$$, 'PT404', 'membership_not_found', 'what has ended does not end again');

select tests.as_studio();
select tests.keep('coming', tests.grant_role('stranger', 'technician', community => 'Alder', starts_at => now() + interval '1 day'));
select public.revoke_role(tests.kept('coming')::uuid);
select is((select row(ends_at, deleted_at)::text from public.memberships where id = tests.kept('coming')::uuid), row(null::timestamptz, now())::text, 'a role that had yet to begin is archived');

-- Asking ---------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('guard');
select set_eq($$select public.my_permissions(community_id => tests.id('Alder'))$$,
  $$select rp.permission_key from public.role_permissions rp join public.roles r on r.id = rp.role_id where r.level = 'community' and r.key = 'guard'$$,
  'my_permissions tells what the caller''s roles hold');

select * from finish();
rollback;
