-- Residents become users step by step; a suspension takes access on the next statement; moving out follows by itself.

begin;
select plan(68);

select tests.create_community('Alder'), tests.create_community('Birch');
select tests.create_supabase_user(u) from unnest(array['manager', 'guard', 'foreign manager', 'ana', 'eve']) u;
select tests.grant_role('manager', 'manager', community => 'Alder');
select tests.grant_role('guard', 'guard', community => 'Alder');
select tests.grant_role('foreign manager', 'manager', community => 'Birch');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder');

create function pg_temp.state(resident text) returns text language sql security definer as $$
  select concat_ws(' ', re.onboarding, case when re.user_id is not null then 'linked' end) from public.residents re where re.id = tests.id(resident) $$;
create function pg_temp.invite(resident text, email text default null, phone text default null, hours integer default 168) returns text language plpgsql as $$
declare
  made record;
begin
  select * into made from public.invite_resident(tests.id(resident), email, phone, hours);
  perform tests.keep('invitation', made.id), tests.keep('token', made.token);
  return made.invited;
end $$;
create function pg_temp.phone_user(identifier text, phone text, confirmed boolean default true) returns uuid language plpgsql as $$
begin
  perform tests.create_supabase_user(identifier);
  update auth.users set email = null, email_confirmed_at = null, phone = phone_user.phone, phone_confirmed_at = case when confirmed then now() end where id = tests.id(identifier);
  return tests.id(identifier);
end $$;
grant execute on function pg_temp.state, pg_temp.invite to authenticated, service_role;

-- Inviting -----------------------------------------------------------------------------------------------------------

select tests.create_resident('Ana', 'Alder');
select tests.occupy('Ana', '1', 'owner');
select is(pg_temp.state('Ana'), 'entered', 'a resident is entered');
select tests.authenticate_as('guard');
select throws_ok($$ select pg_temp.invite('Ana', 'ana@new.example') $$, 'PT403', 'permission_denied', 'a guard invites no resident');
select tests.authenticate_as('foreign manager');
select throws_ok($$ select pg_temp.invite('Ana', 'ana@new.example') $$, 'PT403', 'permission_denied', 'nor the manager of another community');
select is(pg_temp.state('Ana'), 'entered', 'and the resident is as before');
select tests.authenticate_as('manager');
select throws_ok($$ select pg_temp.invite('Ana') $$, 'PT422', 'invalid_value', 'without any address nobody can be invited');
select throws_ok($$ select pg_temp.invite('Ana', 'ana') $$, 'PT422', 'invalid_value', 'what is no address is refused');
select throws_ok($$ select pg_temp.invite('Ana', phone => '0888 123456') $$, 'PT422', 'invalid_value', 'and so is a number without its country');
select is(pg_temp.invite('Ana', 'Ana@New.example'), 'ana@new.example', 'a manager invites a resident by an address');
select is(pg_temp.state('Ana'), 'invited', 'who is invited then');
select is((select email from public.resident_details where resident_id = tests.id('Ana')), 'Ana@New.example', 'and whose details keep the address');
select throws_ok($$ select pg_temp.invite('Ana', 'ana@other.example') $$, 'PT409', 'invitation_pending', 'nobody is invited twice');
select tests.as_studio();
select is((select t.token_hash from private.invitation_tokens t where t.invitation_id = tests.kept('invitation')::uuid), sha256(convert_to(tests.kept('token'), 'UTF8')),
  'the token is stored as its hash');

select tests.authenticate_as('guard');
select throws_ok($$ select public.revoke_invitation(tests.kept('invitation')::uuid) $$, 'PT404', 'invitation_not_found', 'a guard knows of no invitation');
select tests.authenticate_as('manager');
select public.revoke_invitation(tests.kept('invitation')::uuid);
select is(pg_temp.state('Ana'), 'entered', 'a revoked invitation leaves nobody invited');
select pg_temp.invite('Ana');
select tests.authenticate_as('eve');
select throws_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, 'PT403', 'invitation_other_address', 'a token that leaked helps nobody else');
select tests.as_studio();
select is(pg_temp.state('Ana'), 'invited', '(and Ana is as before)');
update auth.users set email = 'ana@new.example' where id = tests.id('ana');
select is(pg_temp.state('Ana'), 'registered linked', 'who signs up with the address and verifies it is registered');
select is((select status::text || ' ' || (accepted_by = tests.id('ana')) from public.invitations where id = tests.kept('invitation')::uuid), 'accepted true', 'and the invitation is answered');

-- An invitation tells apart those who share an address.
select tests.create_supabase_user('couple', 'couple@mail.example');
select tests.create_resident('Bo', 'Alder', 'couple@mail.example');
update public.residents set user_id = null where id = tests.id('Bo');
select tests.create_resident('Cy', 'Alder');
select tests.occupy('Cy', '1', 'tenant');
select tests.authenticate_as('manager');
select pg_temp.invite('Cy', 'cy@mail.example');
select tests.as_studio();
-- As if the address had been verified in the very moment in which nobody looked.
set local session_replication_role = replica;
select tests.create_supabase_user('cy', 'cy@mail.example');
insert into public.profiles (id, display_name, email) values (tests.id('cy'), 'Cy', 'cy@mail.example');
insert into private.user_access (user_id) values (tests.id('cy'));
set local session_replication_role = origin;
select tests.authenticate_as('cy');
select results_eq('select role, resident_id, place from public.my_invitations()', $$ values (null::text, tests.id('Cy'), 'Alder') $$, 'the invited see which resident they are to become');
select results_eq($$ select membership_id, resident_id from public.accept_invitation(tests.kept('token')) $$, $$ values (null::uuid, tests.id('Cy')) $$, 'and become it with the token');
select is(tests.seen('public.units', 'number'), '1', 'with what occupancy gives, on the next statement');
select throws_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, 'PT409', 'invitation_used', 'once');
select tests.as_studio();

select tests.create_resident('Dee', 'Alder');
select tests.authenticate_as('manager');
select pg_temp.invite('Dee', 'dee@wrong.example');
update public.resident_details set email = 'dee@right.example' where resident_id = tests.id('Dee');
select is((select status::text from public.invitations where id = tests.kept('invitation')::uuid), 'revoked', 'an address that is corrected takes the invitation to the wrong one along');
select is(pg_temp.state('Dee'), 'entered', '(and who was invited wrongly is not)');
select pg_temp.invite('Dee', hours => 1);
select tests.as_studio();
set local session_replication_role = replica;
update public.invitations set expires_at = now() - interval '1 second' where id = tests.kept('invitation')::uuid;
set local session_replication_role = origin;
select app.job_invitations();
select is(pg_temp.state('Dee'), 'entered', 'an invitation that ran out leaves nobody invited');

-- By telephone -------------------------------------------------------------------------------------------------------

select is(app.phone_digits('+359 (0)88 555-0102'), '359885550102', 'a number is compared by its digits');
select is(app.phone_digits('00359 88 555 0102'), '359885550102', 'however the country''s code is written');
select is(app.phone_digits('088 555 0102'), null, 'a number without one could be anybody''s');

select tests.create_resident('Fay', 'Alder'), tests.create_resident('Gil', 'Alder'), tests.create_resident('Hal', 'Alder'), tests.create_resident('Ida', 'Alder');
insert into public.resident_details (community_id, resident_id, phone)
select tests.id('Alder'), tests.id(p.name), p.phone from (values ('Fay', '+359 88 555 0001'), ('Gil', '+359 88 555 0002'), ('Hal', '00359 88 555 0002')) p (name, phone);
select pg_temp.phone_user('fay', '359885550001', confirmed => false);
select is(pg_temp.state('Fay'), 'entered', 'a number that was only typed links nobody');
update auth.users set phone_confirmed_at = now() where id = tests.id('fay');
select is(pg_temp.state('Fay'), 'registered linked', 'one that is verified does');
select pg_temp.phone_user('gil', '359885550002');
select is(pg_temp.state('Gil') || ', ' || pg_temp.state('Hal'), 'entered, entered', 'a number that two residents share links neither');
select tests.authenticate_as('manager');
select is(pg_temp.invite('Ida', phone => '+359 88 555 0003'), '+359885550003', 'a resident is invited by a number too');
select tests.as_studio();
select pg_temp.phone_user('ida', '359885550003');
select is(pg_temp.state('Ida'), 'registered linked', 'and linked to who verifies it');
update public.resident_details set email = 'fay@mail.example' where resident_id = tests.id('Fay');
select is(pg_temp.state('Fay'), 'registered linked', 'an address that is added leaves who was linked by the number');
update public.resident_details set phone = '+359 88 555 0009' where resident_id = tests.id('Fay');
select is(pg_temp.state('Fay'), 'entered', 'a number that is corrected takes the link from the wrong user');

-- A minor signs in as nobody.
select tests.create_resident('Jim', 'Alder');
insert into public.resident_details (community_id, resident_id, phone, adult_on) values (tests.id('Alder'), tests.id('Jim'), '+359 88 555 0004', current_date + 400);
select pg_temp.phone_user('jim', '359885550004');
select is(pg_temp.state('Jim'), 'entered', 'a minor is not linked by a number, and Auth verifies it all the same');
select tests.authenticate_as('manager');
select throws_ok($$ select pg_temp.invite('Jim') $$, 'PT409', 'resident_not_invitable', 'nor invited');
select tests.as_studio();

-- A guard is invited by a number as well.
select tests.authenticate_as('manager');
select tests.keep('token', i.token) from public.invite_member(role => 'guard', community_id => tests.id('Alder'), phone => '+359 88 555 0077') i;
select tests.as_studio();
select pg_temp.phone_user('pia', '359885550077');
select tests.authenticate_as('pia');
select results_eq($$ select role from public.accept_invitation(tests.kept('token')) $$, $$ values ('guard') $$, 'a guard invited by a number accepts once it is verified');
select tests.authenticate_as('manager');
select throws_ok($$ select * from public.invite_member('x@mail.example', 'guard', community_id => tests.id('Alder'), phone => '+359885550078') $$, 'PT422', 'invalid_value', 'by one of the two');

-- Taken up, suspended, let in again ----------------------------------------------------------------------------------

select throws_ok($$ select public.activate_resident(tests.id('Ana')) $$, 'PT409', 'identity_not_verified', 'nobody is active before the identity was checked');
select tests.authenticate_as('ana');
select throws_ok($$ select public.activate_resident(tests.id('Ana')) $$, 'PT403', 'permission_denied', 'nobody takes themselves up');
select throws_ok($$ update public.residents set onboarding = 'active' where id = tests.id('Ana') $$, '42501', null, 'or writes the state');
select tests.authenticate_as('manager');
select public.check_identity(tests.id('Ana'), 'verified', note => 'Came with her passport');
select is(pg_temp.state('Ana'), 'verified linked', 'a checked identity makes the resident verified');
select public.activate_resident(tests.id('Ana'));
select is(pg_temp.state('Ana'), 'active linked', 'and the management takes her up');
select throws_ok($$ update public.residents set onboarding = 'moved_out' where id = tests.id('Ana') $$, '42501', null, 'a manager writes no state either');

select tests.as_studio();
select tests.keep('claims', tests.claims('ana'));
select tests.authenticate_with(tests.kept('claims')::jsonb);
select is(tests.seen('public.units', 'number'), '1', '(Ana sees her unit)');
select tests.authenticate_as('manager');
select throws_ok($$ select public.suspend_resident(tests.id('Ana'), ' ') $$, 'PT422', 'reason_required', 'a suspension has a reason');
select public.suspend_resident(tests.id('Ana'), 'Broke the lift');
select tests.authenticate_with(tests.kept('claims')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'who is suspended sees nothing on the next statement, with a token from before');
select is(tests.seen('public.residents', 'full_name'), 'nothing', 'not even the own record');
select throws_ok($$ select public.register_file(tests.id('Alder'), 'member.document', 'a.png', 'image/png', 10) $$, 'PT403', 'permission_denied', 'and does nothing');
select tests.authenticate_without_claims('ana');
select is(tests.seen('public.units', 'number'), 'nothing', 'nor where the hook is off');
select tests.as_studio();
update public.occupancies set ends_on = current_date - 1, starts_on = current_date - 9 where resident_id = tests.id('Ana');
update public.occupancies set ends_on = null where resident_id = tests.id('Ana');
select is(pg_temp.state('Ana'), 'suspended linked', 'moving out and in does not lift a suspension');
select tests.authenticate_as('guard');
select throws_ok($$ select public.resume_resident(tests.id('Ana')) $$, 'PT403', 'permission_denied', 'a guard lets nobody in again');
select tests.authenticate_as('manager');
select throws_ok($$ select public.activate_resident(tests.id('Ana')) $$, 'PT409', 'not_registered', 'a suspension is not lifted by taking somebody up');
select public.resume_resident(tests.id('Ana'));
select is(pg_temp.state('Ana'), 'active linked', 'who is let in again is active again');
select throws_ok($$ select public.resume_resident(tests.id('Ana')) $$, 'PT409', 'not_suspended', 'once');
select tests.authenticate_with(tests.kept('claims')::jsonb);
select is(tests.seen('public.units', 'number'), '1', 'and sees the unit again');

select results_eq(
  $$ select state, previous_state, taken_by, reason from public.onboarding_steps(tests.id('Ana')) where state in ('verified', 'active', 'suspended') $$,
  $$ values ('verified', 'registered', tests.id('manager'), null), ('active', 'verified', tests.id('manager'), null),
     ('suspended', 'active', tests.id('manager'), 'Broke the lift'), ('active', 'suspended', tests.id('manager'), null) $$,
  'the resident reads each step with who took it and why');
select tests.authenticate_as('eve');
select throws_ok($$ select * from public.onboarding_steps(tests.id('Ana')) $$, 'PT404', 'resident_not_found', 'and nobody else does');
select tests.as_studio();

-- Moving out ---------------------------------------------------------------------------------------------------------

update public.occupancies set starts_on = current_date - 9, ends_on = current_date where resident_id = tests.id('Ana');
select is(pg_temp.state('Ana'), 'active linked', 'on the last day a resident lives there');
set local session_replication_role = replica;
update public.occupancies set ends_on = current_date - 1 where resident_id = tests.id('Ana');
set local session_replication_role = origin;
select app.job_occupancy_dates();
select is(pg_temp.state('Ana'), 'moved_out linked', 'and has moved out on the next, by itself');
select tests.authenticate_as('manager');
select throws_ok($$ select public.suspend_resident(tests.id('Ana'), 'Late') $$, 'PT409', 'transition_refused', 'who moved out is not suspended');
select tests.as_studio();
select tests.occupy('Ana', '2', 'tenant');
select is(pg_temp.state('Ana'), 'verified linked', 'who moves in again is as far as identity and user let them be');
update public.residents set user_id = null where id = tests.id('Ana');
select is(pg_temp.state('Ana'), 'entered', 'who loses the user is only entered');

-- The profile --------------------------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
update public.profiles set username = 'Ana_1' where id = tests.id('ana');
select tests.authenticate_as('eve');
select throws_ok($$ update public.profiles set username = 'aNA_1' where id = tests.id('eve') $$, '23505', null, 'a username is one person''s, however it is capitalized');
select throws_ok($$ update public.profiles set username = 'аna' where id = tests.id('eve') $$, '23514', null, 'and has no letters that look like others');
select is((select username from public.profiles where id = tests.id('eve')), null, '(and stays unset)');
select is(public.set_preference('notifications.email', 'false'), 'false', 'the channels somebody prefers are preferences');

select * from finish();
rollback;
