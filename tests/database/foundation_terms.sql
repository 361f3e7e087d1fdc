-- What is held for a time is handed on for that time at most, in whatever way, and by nobody for longer.
begin;
select plan(70);

select tests.create_organization('Domus');
select tests.create_community('North', 'Domus', 'Europe/Sofia');
select tests.create_community('South', 'Domus');
select tests.create_supabase_user(name) from unnest(array['admin', 'substitute', 'deputy', 'bookkeeper', 'second account', 'friend', 'root', 'renewed', 'interrupted', 'chair', 'nightly', 'guard', 'other guard', 'leaving']) name;
select tests.grant_role('admin', 'admin', community => 'North'), tests.grant_role('leaving', 'manager', community => 'North');
select tests.make_known(name, 'North') from unnest('{second account, friend, renewed, interrupted, nightly, guard, other guard}'::text[]) name;
create function pg_temp.day(n integer) returns timestamptz language sql stable return date_trunc('second', now()) + make_interval(days => n);
create function pg_temp.refusal(statement text) returns text language plpgsql as $$
declare
  told text;
begin
  execute statement;
  return 'done';
exception when others then
  get stacked diagnostics told = pg_exception_detail;
  return concat_ws(': ', sqlerrm, nullif(told, ''));
end;
$$;
create function pg_temp.handed_on() returns text language sql security definer as $$
  select concat_ws(' ',
    (select count(*) from public.memberships m where m.user_id in (tests.id('friend'), tests.id('second account'))),
    (select count(*) from public.user_permissions up where up.community_id = tests.id('North')), (select count(*) from public.invitations i where i.community_id = tests.id('North')))
$$;
create function pg_temp.until(member text, role text) returns interval language sql security definer as $$
  select coalesce(max(m.ends_at), 'infinity') - pg_temp.day(0)
  from public.memberships m join public.roles r on r.id = m.role_id
  where m.user_id = tests.id(member) and r.key = role and m.deleted_at is null
$$;
grant execute on function pg_temp.day, pg_temp.refusal, pg_temp.handed_on, pg_temp.until to authenticated, service_role;
select tests.keep('term', tests.grant_role('substitute', 'manager', community => 'North', ends_at => pg_temp.day(14)));

-- In every way -------------------------------------------------------------------------------------------------------

create function pg_temp.handing_on(way text, subject text, until timestamptz) returns text language sql as $$
  select format(case way
    when 'role' then 'select public.grant_role(%1$L, %2$L, community_id => %3$L, ends_at => %4$L)'
    when 'permission' then 'select public.grant_permission(%1$L, %5$L, %6$L, community_id => %3$L, ends_at => %4$L)'
    when 'invitation' then 'select public.invite_member(%7$L, %8$L, community_id => %3$L, ends_at => %4$L)'
  end, tests.id(subject), 'technician', tests.id('North'), until, 'units.read', 'while I am here', tests.email(subject), 'cleaning');
$$;
grant execute on function pg_temp.handing_on to authenticated;

select tests.authenticate_as('substitute');
select throws_ok(pg_temp.handing_on(way, subject, until), 'PT403', 'term_above_own', format('a manager of two weeks leaves no accomplice: %s for %s until %s', way, subject, coalesce(until - pg_temp.day(0) || '', 'revoked')))
from unnest('{role, permission, invitation}'::text[]) way,
  unnest('{friend, second account}'::text[]) subject,
  unnest(array[null, 'infinity', pg_temp.day(14) + interval '1 second']::timestamptz[]) until;
select is(pg_temp.handed_on(), '0 0 0', 'and nothing was made');
select is(
  pg_temp.refusal(pg_temp.handing_on('role', 'friend', null)),
  format('term_above_own: You hold communities.read here until %s, and nobody gives for longer than they have.', to_char(pg_temp.day(14) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
  'the refusal names the latest moment');
select lives_ok(pg_temp.handing_on(way, 'friend', pg_temp.day(14)), 'until that moment it is given: ' || way) from unnest('{role, permission, invitation}'::text[]) way;
select is(pg_temp.handed_on(), '1 1 1', 'each was made');
select throws_ok(
  format($$select public.grant_role(%L, 'manager', community_id => %L, starts_at => %L, ends_at => %L)$$, tests.id(who), tests.id('North'), pg_temp.day(14), pg_temp.day(28)),
  'PT403', 'term_above_own', 'nobody prolongs what they hold: ' || who)
from unnest('{substitute, second account}'::text[]) who;
select lives_ok(
  format($$select public.grant_role(%L, 'guard', community_id => %L, starts_at => %L, ends_at => %L)$$, tests.id('friend'), tests.id('North'), pg_temp.day(3), pg_temp.day(7)),
  'a week within the two weeks is given');
select throws_ok($$update public.memberships set ends_at = null$$, '42501', null, 'and no app writes dates past the RPCs');

-- What others hold for longer is theirs to take, and not to widen -------------------------------------------------------

select tests.as_studio();
select tests.keep('guard', tests.grant_role('guard', 'guard', community => 'North'));
select tests.keep('other_guard', tests.grant_role('other guard', 'guard', community => 'North', ends_at => pg_temp.day(14)));
select tests.authenticate_as('substitute');
select lives_ok(format($$select public.restrict_role(%L, '{"amounts": {"units.read": 5}}')$$, tests.kept(who)), 'a manager for a time sets limits to a role: ' || who)
from unnest('{guard, other_guard}'::text[]) who;
select throws_ok(format('select public.restrict_role(%L, %L)', tests.kept('guard'), wider), 'PT403', 'term_above_own', 'and does not lift or change those of one that lasts longer: ' || coalesce(wider, 'none'))
from unnest(array[null, '{"amounts": {"units.read": 9}}']) wider;
select is((select m.restriction #>> '{amounts,units.read}' from public.memberships m where m.id = tests.kept('guard')::uuid), '5', 'which are as before');
select lives_ok(format('select public.restrict_role(%L, null)', tests.kept('other_guard')), 'only of one that does not');
select lives_ok(format('select public.revoke_role(%L)', tests.kept('guard')), 'and takes any');

-- Invitations --------------------------------------------------------------------------------------------------------

select tests.authenticate_as('leaving');
select tests.keep('open', (select i.id from public.invite_member(tests.email('second account'), 'guard', community_id => tests.id('North')) i));
select tests.authenticate_as('substitute');
select throws_ok(format('select public.resend_invitation(%L)', tests.kept('open')), 'PT403', 'term_above_own', 'whoever sends an invitation again stands behind it, and so not for longer than they may');
select tests.authenticate_as('friend');
select is((select i.ends_at from public.my_invitations() i), pg_temp.day(14), 'the invited see until when');
select tests.as_studio();
select public.revoke_role(m.id) from public.memberships m where m.user_id = tests.id('friend');
select tests.keep('invitation', (select i.id from public.invitations i where i.email = tests.email('friend')));
update public.memberships set ends_at = pg_temp.day(10) where id = tests.kept('term')::uuid;
select tests.authenticate_as('friend');
select throws_ok(format('select public.accept_invitation(invitation_id => %L)', tests.kept('invitation')), 'PT410', 'invitation_void', 'an invitation does not stand for longer than the inviter may give when it is accepted');
select tests.as_studio();
update public.memberships set ends_at = pg_temp.day(20) where id = tests.kept('term')::uuid;
select tests.authenticate_as('friend');
select lives_ok(format('select public.accept_invitation(invitation_id => %L)', tests.kept('invitation')), 'while it does it is accepted');
select is(pg_temp.until('friend', 'cleaning'), interval '14 days', 'and the role ends when it said');
select tests.as_studio();
update public.memberships set ends_at = pg_temp.day(30) where user_id = tests.id('leaving');
select tests.authenticate_as('second account');
select throws_ok(format('select public.accept_invitation(invitation_id => %L)', tests.kept('open')), 'PT410', 'invitation_void', 'nor does one without an end, from somebody whose role has got one');
select tests.authenticate_as('substitute');
select lives_ok(format('select public.revoke_invitation(%L)', tests.kept('open')), 'withdrawn it is by whoever could take the role');
select throws_ok(
  format('select public.invite_member(%L, %L, community_id => %L, ends_at => %L)', 'new@test.example', 'guard', tests.id('North'), now()), 'PT422', 'invalid_period', 'nobody is invited to a role that has ended');
select is(
  (select i.expires_at from public.invite_member('new@test.example', 'guard', community_id => tests.id('North'), ends_at => pg_temp.day(2)) i), pg_temp.day(2),
  'an invitation is open until the role would end');
select tests.as_studio();
select throws_ok($$update public.invitations set ends_at = null where email = 'new@test.example'$$, 'PT409', 'column_frozen', 'what is offered does not change');

-- By each permission, whichever lasts longest ------------------------------------------------------------------------

select tests.grant_role('bookkeeper', 'accountant', community => 'North'), tests.grant_role('bookkeeper', 'manager', community => 'North', ends_at => pg_temp.day(14));
select tests.authenticate_as('bookkeeper');
select throws_ok(
  format($$select public.grant_role(%L, 'accountant', community_id => %L)$$, tests.id('second account'), tests.id('North')), 'PT403', 'term_above_own',
  'whoever grants for a time grants for that time, be it what they hold themselves for ever');
select tests.as_studio();
select public.create_role('chair', 'Chair', '{communities.read, memberships.read, memberships.manage}', community_id => tests.id('North'));
select tests.grant_role('bookkeeper', 'chair', community => 'North');
select tests.authenticate_as('bookkeeper');
select lives_ok(format($$select public.grant_role(%L, 'accountant', community_id => %L)$$, tests.id('second account'), tests.id('North')), 'another role that suffices and lasts sets no term');
select throws_ok(
  format($$select public.grant_role(%L, 'guard', community_id => %L)$$, tests.id('second account'), tests.id('North')), 'PT403', 'term_above_own', 'for what it holds, and no more');
select lives_ok(format($$select public.grant_role(%L, 'guard', community_id => %L, ends_at => %L)$$, tests.id('second account'), tests.id('North'), pg_temp.day(14)), 'which is given for its own time');
select tests.as_studio();
select tests.grant_role('bookkeeper', 'owner', organization => 'Domus');
select tests.authenticate_as('bookkeeper');
select lives_ok(format($$select public.grant_role(%L, 'manager', community_id => %L)$$, tests.id('second account'), tests.id('North')), 'a role in the organization that lasts sets none in its communities');

-- Renewed: without a break it is one term, with one it is not.
select tests.as_studio();
select tests.grant_role('renewed', 'manager', community => 'North', ends_at => pg_temp.day(5)), tests.grant_role('renewed', 'manager', community => 'North', starts_at => pg_temp.day(5), ends_at => pg_temp.day(9));
select tests.grant_role('interrupted', 'manager', community => 'North', ends_at => pg_temp.day(5)), tests.grant_role('interrupted', 'manager', community => 'North', starts_at => pg_temp.day(6), ends_at => pg_temp.day(9));
select tests.authenticate_as('renewed');
select lives_ok(format($$select public.grant_role(%L, 'cleaning', community_id => %L, ends_at => %L)$$, tests.id('guard'), tests.id('North'), pg_temp.day(9)), 'a role that was renewed lasts until it ends at last');
select tests.authenticate_as('interrupted');
select throws_ok(
  format($$select public.grant_role(%L, 'cleaning', community_id => %L, ends_at => %L)$$, tests.id('other guard'), tests.id('North'), pg_temp.day(9)), 'PT403', 'term_above_own', 'one that is interrupted, until it is');

-- Held by an occupancy, until its last day is over in the community.
select tests.as_studio();
select tests.create_unit('1', 'North'), tests.create_resident('chair', 'North', tests.email('chair'));
select tests.occupy('chair', '1', 'owner', ends_on => (now() at time zone 'Europe/Sofia')::date + 3);
select tests.grant_role('chair', 'chair', community => 'North');
select public.create_role('overseer', 'Overseer', '{fees.read}', community_id => tests.id('North'));
select tests.keep('midnight', (((now() at time zone 'Europe/Sofia')::date + 4)::timestamp at time zone 'Europe/Sofia')::text);
select tests.authenticate_as('chair');
select ok(app.can('fees.read', tests.id('North')), 'what an occupancy gives is held');
select throws_ok(
  format($$select public.grant_role(%L, 'overseer', community_id => %L, ends_at => %L)$$, tests.id('guard'), tests.id('North'), tests.kept('midnight')::timestamptz + interval '1 second'),
  'PT403', 'term_above_own', 'and given no longer than it lasts');
select lives_ok(format($$select public.grant_role(%L, 'overseer', community_id => %L, ends_at => %L)$$, tests.id('guard'), tests.id('North'), tests.kept('midnight')), 'which is to the end of its last day');

-- Held for ever within limits, and without for a time.
select tests.as_studio();
select public.restrict_role(tests.grant_role('nightly', 'admin', community => 'North'), '{"amounts": {"expenses.approve": 100}}');
select tests.grant_role('nightly', 'manager', community => 'North', ends_at => pg_temp.day(5));
select tests.authenticate_as('nightly');
select throws_ok(
  format($$select public.grant_permission(%L, 'expenses.approve', 'for long', community_id => %L)$$, tests.id('guard'), tests.id('North')), 'PT403', 'term_above_own',
  'what is held without limits for a time is given for that time, although it is held longer within limits');
select lives_ok(
  format($$select public.grant_permission(%L, 'expenses.approve', 'for a while', community_id => %L, ends_at => %L)$$, tests.id('guard'), tests.id('North'), pg_temp.day(5)), 'and for that time it is');

-- Roles have no end --------------------------------------------------------------------------------------------------

select tests.as_studio();
select tests.keep('helper', public.create_role('helper', 'Helper', '{communities.read, units.read}', community_id => tests.id('North')));
select tests.grant_role('deputy', 'admin', community => 'North', ends_at => pg_temp.day(14)), tests.grant_role('deputy', 'helper', community => 'North');
select tests.authenticate_as('deputy');
select throws_ok(
  format($$select public.set_role_permissions(%L, '{communities.read, units.read, memberships.manage}')$$, tests.kept('helper')), 'PT403', 'term_above_own',
  'whoever builds roles for a time adds nothing to one that they keep');
select throws_ok(
  format($$select public.set_role_permissions(%L, '{communities.read, memberships.manage}')$$, tests.kept('helper')), 'PT403', 'term_above_own', 'nor while they take something from it');
select is((select count(*) from public.role_permissions rp where rp.role_id = tests.kept('helper')::uuid), 2::bigint, 'it holds what it held');
select lives_ok(format($$select public.set_role_permissions(%L, '{communities.read}')$$, tests.kept('helper')), 'they take from it');
select lives_ok(format($$select public.create_role('relief', 'Relief', '{memberships.manage, units.manage}', community_id => %L)$$, tests.id('North')), 'and build new ones, which nobody holds');
select throws_ok(
  format($$select public.grant_role(%L, 'relief', community_id => %L)$$, tests.id('deputy'), tests.id('North')), 'PT403', 'term_above_own', 'nor they for ever');
select tests.authenticate_as('admin');
select lives_ok(
  format($$select public.set_role_permissions(%L, '{communities.read, memberships.manage}')$$, tests.kept('helper')), 'whoever holds both without an end adds to a role');
select tests.as_studio();
select public.grant_permission(tests.id('admin'), 'communities.archive', 'until the merger', community_id => tests.id('North'), ends_at => pg_temp.day(14));
select tests.authenticate_as('admin');
select throws_ok(
  format($$select public.set_role_permissions(%L, '{communities.read, memberships.manage, communities.archive}')$$, tests.kept('helper')), 'PT403', 'term_above_own',
  'but not a permission that they were given for a time');

-- On the site and in organizations -------------------------------------------------------------------------------------

select tests.as_studio();
select tests.grant_role('root', 'superadmin', ends_at => pg_temp.day(14));
select tests.authenticate_as('root');
select throws_ok(format($$select public.grant_role(%L, %s)$$, tests.id('second account'), place), 'PT403', 'term_above_own', 'whoever holds the site for a time gives for that time: ' || place)
from unnest(array[$$'staff'$$, format($$'viewer', organization_id => %L$$, tests.id('Domus')), format($$'guard', community_id => %L$$, tests.id('South'))]) place;
select lives_ok(format($$select public.grant_role(%L, 'staff', ends_at => %L)$$, tests.id('second account'), pg_temp.day(14)), 'and so it is given');

-- Whoever is trusted holds nothing, and gives without a term.
select tests.authenticate_as_service_role();
select lives_ok(format($$select public.grant_role(%L, 'guard', community_id => %L)$$, tests.id('second account'), tests.id('South')), 'the secret key sets no term');

select * from finish();
rollback;
