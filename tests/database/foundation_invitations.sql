-- Invitations: who may invite, what a token is worth and to whom, and how an invitation ends.
begin;
select plan(83);

select tests.create_organization('Domus');
select tests.create_community('Lipa', 'Domus');
select tests.create_community('Encinos');
select tests.create_supabase_user(u) from unnest(array['manager', 'second manager', 'guard', 'org owner', 'org admin', 'stranger', 'ana', 'bob', 'eve', 'foreign manager']) u;
select tests.create_supabase_user('carl', confirmed => false);
select tests.grant_role('manager', 'manager', community => 'Lipa');
select tests.grant_role('second manager', 'manager', community => 'Lipa');
select tests.grant_role('guard', 'guard', community => 'Lipa');
select tests.grant_role('org owner', 'owner', organization => 'Domus');
select tests.grant_role('org admin', 'admin', organization => 'Domus');
select tests.grant_role('foreign manager', 'manager', community => 'Encinos');

create function pg_temp.invite(email text, role text default 'guard', community text default 'Lipa', hours integer default 168)
returns text language plpgsql as $$
declare
  made record;
begin
  select * into made from public.invite_member(email, role, community_id => tests.id(community), expires_in_hours => hours);
  perform tests.keep('invitation', made.id);
  perform tests.keep('token', made.token);
  return made.token;
end;
$$;
create function pg_temp.state() returns text language sql security definer as $$
  select concat_ws(' ', i.status, i.resent_count, (select count(*) from public.memberships m where m.user_id = i.accepted_by and m.role_id = i.role_id and m.deleted_at is null))
  from public.invitations i where i.id = tests.kept('invitation')::uuid
$$;
create function pg_temp.memberships_of(member text) returns bigint language sql security definer as $$
  select count(*) from public.memberships m where m.user_id = tests.id(member)
$$;
create function pg_temp.invitations() returns bigint language sql security definer as $$ select count(*) from public.invitations $$;

grant execute on function pg_temp.invite, pg_temp.state, pg_temp.memberships_of, pg_temp.invitations to anon, authenticated, service_role;

-- The token ----------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select matches(pg_temp.invite('Ana@Test.Example '), '^[A-Za-z0-9_-]{43}$', 'a manager invites and is shown a token of 256 bits');
select results_eq(
  $$ select i.email, r.key, i.status::text, i.invited_by, i.expires_at > now() + interval '167 hours'
     from public.invitations i join public.roles r on r.id = i.role_id where i.id = tests.kept('invitation')::uuid $$,
  $$ values ('ana@test.example', 'guard', 'pending', tests.id('manager'), true) $$,
  'the invitation waits for seven days, with the address in small letters and the inviter''s name');
select throws_ok('select * from private.invitation_tokens', '42501', null, 'a user reads no hashes of tokens');
select tests.authenticate_as_service_role();
select throws_ok('select * from private.invitation_tokens', '42501', null, 'the secret key reads no hashes of tokens');

select tests.as_studio();
select is(
  (select t.token_hash from private.invitation_tokens t where t.invitation_id = tests.kept('invitation')::uuid), sha256(convert_to(tests.kept('token'), 'UTF8')),
  'the token is stored as its SHA-256 alone');
select is_empty(
  $$ select l.id from audit.log l where l.changes::text like '%' || tests.kept('token') || '%'
     union all select 0 from app.outbox o where o.payload::text like '%' || tests.kept('token') || '%' or o.payload::text ilike '%ana@%'
     union all select 0 from public.invitations i where i::text like '%' || tests.kept('token') || '%' $$,
  'neither the audit log nor an event nor the invitation holds the token; no event holds the address');

-- Who may invite -----------------------------------------------------------------------------------------------------

select tests.keep('before', pg_temp.invitations());

select tests.authenticate_as('guard');
select throws_ok($$ select pg_temp.invite('new@test.example') $$, 'PT403', 'permission_denied', 'a guard invites nobody');
select tests.authenticate_as('stranger');
select throws_ok($$ select pg_temp.invite('new@test.example') $$, 'PT403', 'permission_denied', 'somebody without a role invites nobody');
select tests.authenticate_as('foreign manager');
select throws_ok($$ select pg_temp.invite('new@test.example') $$, 'PT403', 'permission_denied', 'a manager invites nobody to another community');
select tests.authenticate_as('manager');
select throws_ok(
  $$ select * from public.invite_member('new@test.example', 'guard', community_id => tests.id('nowhere')) $$, 'PT403', 'permission_denied',
  'a community that does not exist answers like a foreign one');
select throws_ok(
  $$ select * from public.invite_member('new@test.example', 'viewer', organization_id => tests.id('Domus')) $$, 'PT403', 'permission_denied',
  'a community''s manager invites nobody to its organization');
select throws_ok($$ select * from public.invite_member('new@test.example', 'guard') $$, 'PT422', 'invalid_scope', 'nobody is invited to the site');
select throws_ok(
  $$ select * from public.invite_member('new@test.example', 'guard', tests.id('Domus'), tests.id('Lipa')) $$, 'PT422', 'invalid_scope',
  'nobody is invited to two places at once');
select throws_ok($$ select pg_temp.invite('new@test.example', 'no_such_role') $$, 'PT404', 'role_not_found', 'a role has to exist');
select throws_ok($$ select pg_temp.invite('new@test.example', 'owner') $$, 'PT409', 'role_not_assignable', 'nobody is invited to own a unit');
select throws_ok($$ select pg_temp.invite('not an address') $$, 'PT422', 'invalid_value', 'an address has to be one');
select throws_ok($$ select pg_temp.invite(null) $$, 'PT422', 'invalid_value', 'an address has to be given');
select throws_ok($$ select pg_temp.invite('new@test.example', null) $$, 'PT422', 'invalid_value', 'a role has to be given');
select throws_ok($$ select pg_temp.invite('new@test.example', hours => 0) $$, 'PT422', 'invalid_period', 'an invitation is open for an hour at least');
select throws_ok($$ select pg_temp.invite('new@test.example', hours => 721) $$, 'PT422', 'invalid_period', 'an invitation is open for thirty days at most');
select throws_ok($$ select pg_temp.invite('new@test.example', hours => null) $$, 'PT422', 'invalid_period', 'an invitation runs out');
select throws_ok($$ select pg_temp.invite(' ANA@test.example') $$, 'PT409', 'invitation_pending', 'an address is invited to a role once at a time, however it is written');
select throws_ok($$ select pg_temp.invite(tests.email('guard')) $$, 'PT409', 'role_already_held', 'who holds the role is not invited to it');

select tests.authenticate_as('org admin');
select throws_ok(
  $$ select * from public.invite_member('new@test.example', 'owner', tests.id('Domus')) $$, 'PT403', 'role_above_own',
  'an administrator of an organization invites no owner: nobody invites above themselves');

select throws_ok(
  $$ insert into public.invitations (email, role_id, organization_id) select 'new@test.example', r.id, tests.id('Domus') from public.roles r where r.level = 'organization' and r.key = 'owner' $$,
  '42501', null, 'no app writes invitations past the RPCs');
select throws_ok($$ update public.invitations set expires_at = 'infinity' $$, '42501', null, 'no app prolongs invitations past the RPCs');
select tests.clear_authentication();
select throws_ok($$ select * from public.invite_member('new@test.example', 'guard', community_id => tests.id('Lipa')) $$, '42501', null, 'nobody invites without signing in');

select is(pg_temp.invitations()::text, tests.kept('before'), 'what was refused left no invitation');

-- Who sees them ------------------------------------------------------------------------------------------------------

select tests.authenticate_as('second manager');
select is((select count(*) from public.invitations), 1::bigint, 'whoever may see memberships sees the invitations of the community');
select tests.authenticate_as('org admin');
select is((select count(*) from public.invitations), 1::bigint, 'and so does an administrator of the organization');
select tests.authenticate_as('guard');
select is_empty('select * from public.invitations', 'a guard sees none');
select tests.authenticate_as('foreign manager');
select is_empty('select * from public.invitations', 'a manager of another community sees none');

select tests.authenticate_as('ana');
select results_eq(
  $$ select role, role_name, place, invited_by, community_id from public.my_invitations() $$,
  $$ values ('guard', 'Guard', 'Lipa', 'manager', tests.id('Lipa')) $$,
  'the invited person sees the role, the place and who invites, before having any access there');
select is_empty('select * from public.invitations', 'but not the table');
select tests.authenticate_as('bob');
select is_empty('select * from public.my_invitations()', 'somebody else sees no invitation');

-- What a leaked token is worth ---------------------------------------------------------------------------------------

select throws_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, 'PT403', 'invitation_other_address', 'a leaked token helps no other account');
select throws_ok(
  $$ select * from public.accept_invitation(invitation_id => tests.kept('invitation')::uuid) $$, 'PT404', 'invitation_not_found',
  'an id that somebody learned does not even tell that there is an invitation');
select throws_ok($$ select * from public.accept_invitation(repeat('A', 43)) $$, 'PT404', 'invitation_not_found', 'an unknown token is unknown');
select throws_ok($$ select * from public.accept_invitation() $$, 'PT422', 'invalid_value', 'a token or an id has to be given');
select throws_ok(
  $$ select * from public.accept_invitation(tests.kept('token'), tests.kept('invitation')::uuid) $$, 'PT422', 'invalid_value', 'and not both');
select tests.clear_authentication();
select throws_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, '42501', null, 'nobody accepts without signing in');
select is(pg_temp.state() || ' ' || pg_temp.memberships_of('bob'), 'pending 0 0 0', 'refusals changed nothing');

-- Invited before signing up ------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select pg_temp.invite(tests.email('carl'), 'technician');
select tests.authenticate_as('carl');
select is_empty('select * from public.my_invitations()', 'an address that was only typed at sign-up is told of no invitation');
select throws_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, 'PT403', 'email_not_verified', 'nor does it accept one, token or not');
select is(pg_temp.state() || ' ' || pg_temp.memberships_of('carl'), 'pending 0 0 0', 'and nothing was given');
select tests.as_studio();
update auth.users set email_confirmed_at = now() where id = tests.id('carl');
select tests.authenticate_as('carl');
select is(
  (select i.id::text from public.my_invitations() i), tests.kept('invitation'),
  'once Auth has verified the address, the invitation is there');
select is(pg_temp.memberships_of('carl'), 0::bigint, 'and waits for the person''s own word');
select is(
  (select a.role from public.accept_invitation(invitation_id => tests.kept('invitation')::uuid) a), 'technician', 'who accepts by its id, without the mail');
select ok(app.can('units.read', tests.id('Lipa')), 'and holds the role on the next statement, with the token signed before');

-- Accepting ----------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select pg_temp.invite(tests.email('eve'), 'guard');
select tests.authenticate_as('eve');
select results_eq(
  $$ select a.role, a.community_id, a.organization_id, a.membership_id is not null from public.accept_invitation(tests.kept('token')) a $$,
  $$ values ('guard', tests.id('Lipa'), null::uuid, true) $$, 'the invited person accepts by the token');
select is(pg_temp.state(), 'accepted 0 1', 'which gives one membership');
select throws_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, 'PT409', 'invitation_used', 'a token is used once');
select is(pg_temp.memberships_of('eve'), 1::bigint, 'and gives no second membership');
select is_empty('select * from public.my_invitations()', 'what was accepted is no longer offered');
select tests.authenticate_as('manager');
select throws_ok($$ select public.revoke_invitation(tests.kept('invitation')::uuid) $$, 'PT409', 'invitation_used', 'what was accepted is not revoked');
select throws_ok($$ select * from public.resend_invitation(tests.kept('invitation')::uuid) $$, 'PT409', 'invitation_used', 'nor sent again');
select tests.as_studio();
select throws_ok(
  $$ update public.invitations set status = 'pending', accepted_at = null, accepted_by = null where id = tests.kept('invitation')::uuid $$, 'PT409', 'transition_refused',
  'not even Studio opens it again');
select throws_ok(
  $$ update public.invitations set email = 'other@test.example' where id = tests.kept('invitation')::uuid $$, 'PT409', 'column_frozen',
  'nor writes it to another address');

select tests.authenticate_as('manager');
select pg_temp.invite(tests.email('bob'), 'accountant');
select tests.as_studio();
select tests.grant_role('bob', 'accountant', community => 'Lipa');
select tests.authenticate_as('bob');
select lives_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, 'who was given the role meanwhile accepts all the same');
select is(pg_temp.state(), 'accepted 0 1', 'and holds it once');

-- Running out, sending again, revoking -------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select pg_temp.invite(tests.email('stranger'), 'guard', hours => 1);
select tests.keep('old_token', tests.kept('token'));
select tests.as_studio();
update public.invitations set expires_at = now() where id = tests.kept('invitation')::uuid;
select tests.authenticate_as('stranger');
select throws_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, 'PT410', 'invitation_expired', 'an invitation ends at its moment, before any job has come by');
select is_empty('select * from public.my_invitations()', 'and is no longer offered');
select tests.as_studio();
select ok(app.run_job('invitations'), 'the job runs');
select is(pg_temp.state(), 'expired 0 0', 'and marks it as expired');

select tests.authenticate_as('second manager');
select tests.keep('token', r.token) from public.resend_invitation(tests.kept('invitation')::uuid) r;
select results_eq(
  $$ select pg_temp.state(), i.invited_by, i.expires_at > now() from public.invitations i where i.id = tests.kept('invitation')::uuid $$,
  $$ values ('pending 1 0', tests.id('second manager'), true) $$, 'who could have sent it sends it again, opens it, and stands behind it from then on');
select tests.authenticate_as('stranger');
select throws_ok($$ select * from public.accept_invitation(tests.kept('old_token')) $$, 'PT404', 'invitation_not_found', 'the old token is dead');
select tests.authenticate_as('guard');
select throws_ok($$ select public.revoke_invitation(tests.kept('invitation')::uuid) $$, 'PT404', 'invitation_not_found', 'who cannot see it cannot revoke it');
select throws_ok($$ select * from public.resend_invitation(tests.kept('invitation')::uuid) $$, 'PT404', 'invitation_not_found', 'nor send it again');
select tests.authenticate_as('manager');
select public.revoke_invitation(tests.kept('invitation')::uuid);
select tests.authenticate_as('stranger');
select throws_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, 'PT410', 'invitation_revoked', 'what was revoked is not accepted');
select is(pg_temp.state() || ' ' || pg_temp.memberships_of('stranger'), 'revoked 1 0 0', 'and gives nothing');
select tests.authenticate_as('manager');
select throws_ok($$ select * from public.resend_invitation(tests.kept('invitation')::uuid) $$, 'PT410', 'invitation_revoked', 'nor sent again');

-- Whoever invited ----------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select pg_temp.invite(tests.email('stranger'), 'guard');
select tests.as_studio();
select public.revoke_role(m.id) from public.memberships m where m.user_id = tests.id('manager');
select tests.authenticate_as('stranger');
select throws_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, 'PT410', 'invitation_void', 'an invitation of somebody who has left since is void');
select is(auth.uid(), tests.id('stranger'), 'and asking what the inviter may do leaves the caller who they are');
select is(pg_temp.state() || ' ' || pg_temp.memberships_of('stranger'), 'pending 0 0 0', 'it gives nothing');
select tests.authenticate_as('second manager');
select tests.keep('token', r.token) from public.resend_invitation(tests.kept('invitation')::uuid) r;
select tests.authenticate_as('stranger');
select lives_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, 'until somebody who may give the role sends it again');

select tests.authenticate_as('second manager');
select pg_temp.invite('late@test.example', 'guard');
select tests.as_studio();
select public.set_account_status(tests.id('second manager'), 'suspended');
select app.run_job('invitations');
select is(pg_temp.state(), 'revoked 0 0', 'the job revokes what nobody stands behind any more, a suspended inviter''s too');

select tests.authenticate_as_service_role();
select pg_temp.invite('late@test.example', 'guard');
select tests.as_studio();
select app.run_job('invitations');
select is(pg_temp.state(), 'pending 0 0', 'what the secret key or Studio invited stands by itself');

-- The role and the place ---------------------------------------------------------------------------------------------

insert into public.roles (id, key, name, level, community_id) values (tests.id('concierge'), 'concierge', 'Concierge', 'community', tests.id('Lipa'));
select tests.authenticate_as_service_role();
select pg_temp.invite(tests.email('ana'), 'concierge');
select tests.as_studio();
update public.roles set deleted_at = now() where id = tests.id('concierge');
select tests.authenticate_as('ana');
select throws_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, 'PT404', 'invitation_not_found', 'a role that is archived takes its invitations along');
select is_empty($$ select * from public.my_invitations() where role = 'concierge' $$, 'which are no longer offered');
select tests.as_studio();
update public.roles set deleted_at = null where id = tests.id('concierge');
update public.communities set deleted_at = now() where id = tests.id('Lipa');
select tests.authenticate_as('ana');
select throws_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, 'PT404', 'invitation_not_found', 'and so does a community');
select is(pg_temp.memberships_of('ana'), 0::bigint, 'nothing is given in it');
select tests.as_studio();
update public.communities set deleted_at = null where id = tests.id('Lipa');
select tests.authenticate_as('ana');
select lives_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, 'restored, they stand');

-- Events -------------------------------------------------------------------------------------------------------------

select tests.as_studio();
select results_eq(
  $$ select o.topic, count(*) from app.outbox o where o.topic like 'invitation.%' and o.created_at = now() group by 1 order by 1 $$,
  $$ values ('invitation.accepted', 5::bigint), ('invitation.created', 9), ('invitation.expired', 1), ('invitation.resent', 2), ('invitation.revoked', 3) $$,
  'every step is told of once');

select * from finish();
rollback;
