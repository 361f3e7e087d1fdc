-- Property: residents become users, step by step.
--
-- Purpose     How a person of the roster comes to sign in, be checked and be taken up; how one is barred, and what follows by itself.
-- Tables      (invitations, whose target a resident may be; residents.onboarding and residents.photo_file_id)
-- RPCs        invite_resident, activate_resident, suspend_resident, resume_resident, onboarding_steps, set_resident_photo
-- Invariants  A user becomes a resident by an address or a telephone number that Auth has verified, never by one that was typed.
--             A number that several residents of one community share links nobody. A suspended resident has no access by
--             occupancy from the next statement on, and moving out or in does not lift that. moved_out is true of whoever has
--             had occupancies that are all over. Each step is in the audit log, with who and when, and nowhere else.
--
-- Verifying follows from an identity that was checked (topic documents): PL/pgSQL binds names when it runs.

select app.define_permission('residents.suspend', 'community', 'Suspend residents and let them in again', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');
select app.define_permission('residents.upload', 'community', 'Upload photographs and documents of residents, one''s own at least', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager,
  community/owner, community/tenant, community/family, community/authorized}');
select app.define_setting('security.identity_check', 'boolean', 'true', '{site,organization,community}',
  'Whether a resident is active only after the identity was checked.');
select app.define_setting('notifications.in_app', 'boolean', 'true', '{community,user}', 'Whether to be told of things in the app.');
select app.define_setting('notifications.email', 'boolean', 'true', '{community,user}', 'Whether to be told of things by e-mail.');
select app.define_setting('notifications.push', 'boolean', 'true', '{community,user}', 'Whether to be told of things by push messages.');
select app.define_setting('notifications.sms', 'boolean', 'false', '{community,user}', 'Whether to be told of things by text message.');

-- Steps --------------------------------------------------------------------------------------------------------------

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.residents', null, 'entered', null, 'Entered by hand or by a roster'),
  ('public.residents', null, 'registered', null, 'Entered with a user'),
  ('public.residents', 'entered', 'invited', null, 'An invitation was written'),
  ('public.residents', 'invited', 'entered', null, 'The invitation ran out or was revoked'),
  ('public.residents', 'entered', 'registered', null, 'A user verified the address'),
  ('public.residents', 'invited', 'registered', null, 'A user verified the address, or accepted'),
  ('public.residents', 'entered', 'verified', null, 'A user verified the address; the identity had been checked'),
  ('public.residents', 'invited', 'verified', null, 'A user verified the address; the identity had been checked'),
  ('public.residents', 'registered', 'verified', null, 'The identity was checked'),
  ('public.residents', 'verified', 'registered', null, 'The check of the identity was taken back'),
  ('public.residents', 'registered', 'active', 'residents.manage', 'Take the resident up, where identities are not checked'),
  ('public.residents', 'verified', 'active', 'residents.manage', 'Take the resident up'),
  ('public.residents', 'active', 'registered', null, 'The check of the identity was taken back'),
  ('public.residents', 'registered', 'entered', null, 'The user is linked no more'),
  ('public.residents', 'verified', 'entered', null, 'The user is linked no more'),
  ('public.residents', 'active', 'entered', null, 'The user is linked no more'),
  ('public.residents', 'entered', 'suspended', 'residents.suspend', 'Suspend the resident'),
  ('public.residents', 'invited', 'suspended', 'residents.suspend', 'Suspend the resident'),
  ('public.residents', 'registered', 'suspended', 'residents.suspend', 'Suspend the resident'),
  ('public.residents', 'verified', 'suspended', 'residents.suspend', 'Suspend the resident'),
  ('public.residents', 'active', 'suspended', 'residents.suspend', 'Suspend the resident'),
  ('public.residents', 'suspended', 'entered', 'residents.suspend', 'Let the resident in again'),
  ('public.residents', 'suspended', 'registered', 'residents.suspend', 'Let the resident in again'),
  ('public.residents', 'suspended', 'active', 'residents.suspend', 'Let the resident in again'),
  ('public.residents', 'suspended', 'moved_out', 'residents.suspend', 'Lift the suspension of somebody who moved out'),
  ('public.residents', 'entered', 'moved_out', null, 'The last occupancy is over'),
  ('public.residents', 'invited', 'moved_out', null, 'The last occupancy is over'),
  ('public.residents', 'registered', 'moved_out', null, 'The last occupancy is over'),
  ('public.residents', 'verified', 'moved_out', null, 'The last occupancy is over'),
  ('public.residents', 'active', 'moved_out', null, 'The last occupancy is over'),
  ('public.residents', 'moved_out', 'suspended', null, 'Another record of the person was suspended, and the two were merged'),
  ('public.residents', 'moved_out', 'entered', null, 'Moves in again, without a user'),
  ('public.residents', 'moved_out', 'registered', null, 'Moves in again'),
  ('public.residents', 'moved_out', 'verified', null, 'Moves in again; the identity had been checked');

select app.state_machine('public.residents', 'onboarding');

create function app.tg_residents__onboarding()
returns trigger
language plpgsql
security definer -- reads checks of identity, whoever writes
set search_path = ''
as $$
begin
  if new.user_id is not null and new.onboarding in ('entered', 'invited') then
    new.onboarding := case when tg_op = 'UPDATE' and app.is_identity_verified(new.community_id, new.id) then 'verified' else 'registered' end;
  elsif new.user_id is null and new.onboarding in ('registered', 'verified', 'active') then
    new.onboarding := 'entered';
  end if;
  return new;
end;
$$;

comment on function app.tg_residents__onboarding() is
  'BEFORE INSERT OR UPDATE OF user_id: a resident with a user is registered, one who lost the user is not. Definer: reads checks of identity.';

create trigger _200_onboarding_new before insert on public.residents for each row
  when (new.user_id is not null) execute function app.tg_residents__onboarding();
create trigger _200_onboarding before update of user_id on public.residents for each row
  when (old.user_id is distinct from new.user_id) execute function app.tg_residents__onboarding();

create function app.tg_residents__linked()
returns trigger
language plpgsql
security definer -- API roles may not write invitations
set search_path = ''
as $$
begin
  update public.invitations i
  set status = 'accepted', accepted_at = now(), accepted_by = new.user_id
  where i.resident_id = new.id and i.status = 'pending' and i.deleted_at is null;
  perform app.emit('resident.linked', new.community_id, jsonb_build_object('resident_id', new.id, 'user_id', new.user_id));
  return null;
end;
$$;

comment on function app.tg_residents__linked() is
  'AFTER a resident is linked: the invitation to sign up, if one waits, is answered; event resident.linked. Definer: writes invitations.';

create trigger _500_linked after update of user_id on public.residents for each row
  when (new.user_id is not null and old.user_id is distinct from new.user_id) execute function app.tg_residents__linked();

create function app.tg_residents__step()
returns trigger
language plpgsql
security definer -- calls app.emit, which no API role may
set search_path = ''
as $$
begin
  perform app.emit('resident.' || new.onboarding, new.community_id, jsonb_build_object('resident_id', new.id, 'from', old.onboarding));
  return null;
end;
$$;

comment on function app.tg_residents__step() is
  'AFTER a step of onboarding that somebody took or that ends it: events resident.active, .suspended, .moved_out. Definer: calls app.emit.';

create trigger _600_step after update of onboarding on public.residents for each row
  when (old.onboarding <> new.onboarding and new.onboarding in ('active', 'suspended', 'moved_out')) execute function app.tg_residents__step();

create function app.tg_invitations__onboarding()
returns trigger
language plpgsql
security definer -- onboarding is in no column grant
set search_path = ''
as $$
begin
  update public.residents re
  set onboarding = case when new.status = 'pending' then 'invited' else 'entered' end::public.onboarding_state
  where re.community_id = new.community_id and re.id = new.resident_id
    and re.onboarding = case when new.status = 'pending' then 'entered' else 'invited' end::public.onboarding_state;
  return null;
end;
$$;

comment on function app.tg_invitations__onboarding() is
  'AFTER an invitation of a resident is written, sent again, revoked or expired: the resident is invited, or is not. Definer: onboarding is in no column grant.';

create trigger _500_onboarding_new after insert on public.invitations for each row
  when (new.resident_id is not null) execute function app.tg_invitations__onboarding();
create trigger _500_onboarding after update of status on public.invitations for each row
  when (new.resident_id is not null and old.status <> new.status and new.status <> 'accepted') execute function app.tg_invitations__onboarding();

-- Moving out and in --------------------------------------------------------------------------------------------------

create function app.has_moved_out(community uuid, resident uuid)
returns boolean
language sql
stable
set search_path = ''
return (
  select coalesce(bool_and(coalesce(o.ends_on, 'infinity') < (now() at time zone c.time_zone)::date), false)
  from public.occupancies o join public.communities c on c.id = o.community_id
  where o.community_id = community and o.resident_id = resident and o.deleted_at is null);

comment on function app.has_moved_out(uuid, uuid) is 'Whether a resident has had occupancies, and all are over. Not executable by API roles.';

create function app.tg_occupancies__onboarding()
returns trigger
language plpgsql
security definer -- onboarding is in no column grant
set search_path = ''
as $$
declare
  touched uuid[];
begin
  -- Few of those who are written: whoever comes to stay, and is not known as somebody who left, is none of them.
  touched := array(
    select distinct re.id
    from new_rows n
    join public.residents re on re.id = n.resident_id
    join public.communities c on c.id = n.community_id
    where re.onboarding <> 'suspended'
      and (n.deleted_at is not null or (coalesce(n.ends_on, 'infinity') < (now() at time zone c.time_zone)::date) <> (re.onboarding = 'moved_out')));
  if touched = '{}' then
    return null;
  end if;
  -- In order of id: imports and the job of the dates may meet.
  perform from public.residents re where re.id = any (touched) order by re.id for no key update;
  update public.residents re
  set onboarding = case
    when re.onboarding <> 'moved_out' then 'moved_out'
    when re.user_id is null then 'entered'
    when app.is_identity_verified(re.community_id, re.id) then 'verified'
    else 'registered' end::public.onboarding_state
  where re.id = any (touched) and re.onboarding <> 'suspended' and (re.onboarding = 'moved_out') <> app.has_moved_out(re.community_id, re.id);
  return null;
end;
$$;

comment on function app.tg_occupancies__onboarding() is
  'AFTER INSERT OR UPDATE: who has no occupancy left that is not over has moved out; who has one again, has not. Definer: onboarding is in no column grant.';

create trigger _510_onboarding_insert after insert on public.occupancies
  referencing new table as new_rows for each statement execute function app.tg_occupancies__onboarding();
create trigger _510_onboarding_update after update on public.occupancies
  referencing new table as new_rows for each statement execute function app.tg_occupancies__onboarding();

-- Inviting -----------------------------------------------------------------------------------------------------------

-- Residents come after invitations; the table is empty when this runs.
alter table public.invitations
  -- squawk-ignore adding-foreign-key-constraint, constraint-missing-not-valid
  add constraint invitations_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete cascade;
create index invitations_resident_idx on public.invitations (community_id, resident_id) where resident_id is not null;
select app.track('public.invitations');
select app.register_personal_data('public.invitations', 'resident_id', 'resident', on_merge => 'stay',
  columns => '{"email": {"each": "erased-%s@erased.invalid"}, "phone": null}',
  kept_because => 'That somebody was invited, and by whom, stays accountable; the address does not.');

create function app.resident_awaits_user(community uuid, resident uuid)
returns boolean
language sql
stable
set search_path = ''
return exists (
  select from public.residents re
  where re.community_id = community and re.id = resident and re.deleted_at is null and re.kind = 'person' and re.user_id is null and re.erased_at is null
    and re.onboarding in ('entered', 'invited')
    and not app.is_minor_on(community, resident, (select (now() at time zone c.time_zone)::date from public.communities c where c.id = community)));

comment on function app.resident_awaits_user(uuid, uuid) is
  'Whether a resident is a live person of age without a user, neither suspended nor moved out. Not executable by API roles.';

create function app.link_resident(community uuid, resident uuid, subject uuid)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  if exists (select from public.residents x where x.community_id = community and x.user_id = subject and x.deleted_at is null) then
    perform app.fail(409, 'resident_linked', 'You are another resident of this community already.', 'Ask the management to put the two together.');
  end if;
  update public.residents re set user_id = subject where re.community_id = community and re.id = resident and re.user_id is null;
  if not found then
    perform app.fail(409, 'resident_linked', 'Somebody has signed up as this resident meanwhile.');
  end if;
exception when unique_violation then
  perform app.fail(409, 'resident_linked', 'You are another resident of this community already.', 'Ask the management to put the two together.');
end;
$$;

comment on function app.link_resident(uuid, uuid, uuid) is
  'Makes a user the resident (409 resident_linked for one who is another resident there). Who calls it has looked at the verified address. Not executable by API roles.';

create function app.invite_resident(resident uuid, email text, phone text, expires_in_hours integer)
returns table (id uuid, token text, invited text, role_key text, role_name text, place text, expires_at timestamptz)
language plpgsql
volatile
security definer -- API roles may not write invitations
set search_path = ''
as $$
declare
  person public.residents;
  made uuid;
  refused text;
begin
  -- Locked, so that of two who invite at once the second finds the first's invitation.
  select re.* into person from public.residents re where re.id = resident and re.deleted_at is null and re.erased_at is null for no key update;
  perform app.require('memberships.manage', person.community_id), app.require('residents.manage', person.community_id);
  if person.id is null then
    perform app.fail(404, 'resident_not_found', 'There is no live resident with this id.');
  elsif person.user_id is not null then
    perform app.fail(409, 'resident_linked', 'The resident has signed up.');
  elsif not app.resident_awaits_user(person.community_id, person.id) then
    perform app.fail(409, 'resident_not_invitable', case when person.kind <> 'person' then 'A company does not sign in; enter the person who acts for it.'
      when person.onboarding in ('suspended', 'moved_out') then format('The resident is %s.', person.onboarding) else 'The resident is a minor.' end);
  end if;
  if num_nonnulls(email, phone) = 0 then
    select coalesce(lower(d.email), ''), case when d.email is null then d.phone end into email, phone
    from public.resident_details d where d.community_id = person.community_id and d.resident_id = person.id and d.deleted_at is null;
    email := nullif(email, '');
  end if;
  perform app.check_invitation(email, phone, expires_in_hours);
  perform app.check_pending_invitations(null, person.community_id);

  update public.invitations i set status = 'expired'
  where i.resident_id = person.id and i.status = 'pending' and i.deleted_at is null and i.expires_at <= now();
  insert into public.invitations (email, phone, resident_id, community_id, expires_at, invited_by)
  values (lower(btrim(email)), app.phone_digits(btrim(phone)), person.id, person.community_id, now() + make_interval(hours => expires_in_hours), auth.uid())
  on conflict do nothing
  returning invitations.id into made;
  if made is null then
    perform app.fail(409, 'invitation_pending', 'This resident was invited already.', 'Send that invitation again, or revoke it.');
  end if;
  -- The roster is where the address has its home, and links whoever has verified it.
  insert into public.resident_details as d (community_id, resident_id, email, phone)
  values (person.community_id, person.id, btrim(invite_resident.email), btrim(invite_resident.phone))
  on conflict on constraint resident_details_resident_key do update
  set email = coalesce(excluded.email, d.email), phone = coalesce(excluded.phone, d.phone)
  where (lower(d.email), app.phone_digits(d.phone))
    is distinct from (lower(coalesce(excluded.email, d.email)), app.phone_digits(coalesce(excluded.phone, d.phone)));
  return query select * from app.issue_invitation(made);
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('invitations', refused);
end;
$$;

comment on function app.invite_resident(uuid, text, text, integer) is
  'What public.invite_resident does. Definer: no API role may write invitations.';

create function public.invite_resident(resident_id uuid, email text default null, phone text default null, expires_in_hours integer default 168)
returns table (id uuid, token text, invited text, role_key text, role_name text, place text, expires_at timestamptz)
language sql
volatile
set search_path = ''
as $$ select * from app.invite_resident(resident_id, email, phone, expires_in_hours) $$;

comment on function public.invite_resident(uuid, text, text, integer) is
  'Invites a resident to sign up: by the address or number given, which is kept in the details, else by the one there. Returns the invitation with its single-use token; sends no mail (the function invite-member does). '
  'Whoever has verified the address already is linked at once. resend_invitation and revoke_invitation do the rest. Takes memberships.manage and residents.manage. '
  'Errors: permission_denied, resident_not_found, resident_linked, resident_not_invitable, invitation_pending, too_many_invitations, invalid_value, invalid_period.';

grant execute on function app.invite_resident(uuid, text, text, integer), public.invite_resident(uuid, text, text, integer) to authenticated, service_role;

-- Steps that the management takes --------------------------------------------------------------------------------------

create function app.resident_to_change(resident uuid, permission text)
returns public.residents
language plpgsql
volatile
set search_path = ''
as $$
declare
  found_one public.residents;
begin
  select re.* into found_one from public.residents re where re.id = resident and re.deleted_at is null for no key update;
  perform app.require(permission, found_one.community_id);
  if found_one.id is null then
    perform app.fail(404, 'resident_not_found', 'There is no live resident with this id.');
  end if;
  return found_one;
end;
$$;

comment on function app.resident_to_change(uuid, text) is
  'Locks a live resident for somebody who holds the permission in the community (403 permission_denied, 404 resident_not_found). Not executable by API roles.';

create function app.activate_resident(resident uuid)
returns void
language plpgsql
volatile
security definer -- onboarding is in no column grant
set search_path = ''
as $$
declare
  person constant public.residents := app.resident_to_change(resident, 'residents.manage');
begin
  if person.onboarding not in ('registered', 'verified', 'active') then
    perform app.fail(409, 'not_registered', format('The resident is %s.', person.onboarding), 'Who signed up is taken up; a suspension is lifted with resume_resident.');
  elsif person.onboarding = 'registered' and app.setting('security.identity_check', person.community_id)::boolean then
    perform app.fail(409, 'identity_not_verified', 'The identity of this resident has yet to be checked.', 'check_identity, or review an identity document.');
  end if;
  update public.residents re set onboarding = 'active' where re.id = person.id and re.onboarding <> 'active';
end;
$$;

comment on function app.activate_resident(uuid) is 'What public.activate_resident does. Definer: onboarding is in no column grant.';

create function app.suspend_resident(resident uuid, reason text)
returns void
language plpgsql
volatile
security definer -- onboarding is in no column grant
set search_path = ''
as $$
declare
  person constant public.residents := app.resident_to_change(resident, 'residents.suspend');
  before constant text := current_setting('app.reason', true);
begin
  if (length(btrim(reason)) between 1 and 2000) is not true then
    perform app.fail(422, 'reason_required', 'A resident is suspended for a reason, of at most 2000 characters.');
  elsif person.user_id = auth.uid() then
    perform app.fail(409, 'own_account', 'Nobody suspends themselves.');
  elsif person.onboarding = 'moved_out' then
    perform app.fail(409, 'transition_refused', 'Who moved out has no access that could be taken.');
  end if;
  perform set_config('app.reason', btrim(reason), true);
  update public.residents re set onboarding = 'suspended' where re.id = person.id and re.onboarding <> 'suspended';
  perform set_config('app.reason', coalesce(before, ''), true);
end;
$$;

comment on function app.suspend_resident(uuid, text) is 'What public.suspend_resident does. Definer: onboarding is in no column grant.';

create function app.resume_resident(resident uuid)
returns void
language plpgsql
volatile
security definer -- onboarding is in no column grant
set search_path = ''
as $$
declare
  person constant public.residents := app.resident_to_change(resident, 'residents.suspend');
begin
  update public.residents re
  set onboarding = case
    when app.has_moved_out(person.community_id, person.id) then 'moved_out'
    when person.user_id is null then 'entered'
    when app.is_identity_verified(person.community_id, person.id) or not app.setting('security.identity_check', person.community_id)::boolean then 'active'
    else 'registered' end::public.onboarding_state
  where re.id = person.id and re.onboarding = 'suspended';
  if not found then
    perform app.fail(409, 'not_suspended', format('The resident is %s.', person.onboarding));
  end if;
end;
$$;

comment on function app.resume_resident(uuid) is 'What public.resume_resident does. Definer: onboarding is in no column grant.';

create function public.activate_resident(resident_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.activate_resident(resident_id) $$;

comment on function public.activate_resident(uuid) is
  'Takes a resident up who has signed up and whose identity was checked (or need not be: setting security.identity_check). Takes residents.manage. '
  'Errors: permission_denied, resident_not_found, identity_not_verified, not_registered.';

create function public.suspend_resident(resident_id uuid, reason text)
returns void
language sql
volatile
set search_path = ''
as $$ select app.suspend_resident(resident_id, reason) $$;

comment on function public.suspend_resident(uuid, text) is
  'Takes from a resident every access that occupancies give, on the next statement; what roles give stays. Moving out or in does not lift it. The reason goes into the audit log. Takes residents.suspend. '
  'Errors: permission_denied, resident_not_found, reason_required, own_account, transition_refused.';

create function public.resume_resident(resident_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.resume_resident(resident_id) $$;

comment on function public.resume_resident(uuid) is
  'Lifts a suspension: the resident is active again, or as far as identity, user and occupancies let them be. Takes residents.suspend. Errors: permission_denied, resident_not_found, not_suspended.';

create function app.onboarding_steps(resident uuid)
returns table (state text, previous_state text, taken_at timestamptz, taken_by uuid, taken_by_name text, reason text)
language plpgsql
stable
security definer -- the resident, and who manages residents, read these entries of the audit log and no others
set search_path = ''
as $$
declare
  community constant uuid := (select re.community_id from public.residents re where re.id = resident and re.deleted_at is null);
begin
  if not (app.is_trusted() or app.can('residents.manage', community)
    or (resident in (select app.my_residents()) and community = any (app.my_communities())))
  then
    perform app.fail(404, 'resident_not_found', 'There is no such resident whose steps you may see.');
  end if;
  return query
    select s.state, s.previous_state, l.recorded_at, l.actor_id, coalesce(p.display_name, l.actor_label), l.note
    from audit.log l
    cross join lateral (
      select
        case l.operation when 'insert' then l.changes::jsonb ->> 'onboarding' else l.changes::jsonb #>> '{onboarding,1}' end as state,
        case l.operation when 'update' then l.changes::jsonb #>> '{onboarding,0}' end as previous_state) s
    left join public.profiles p on p.id = l.actor_id
    where l.row_id = resident and l.table_id = 'public.residents'::regclass and l.changes::jsonb ? 'onboarding'
    order by l.recorded_at, l.id;
end;
$$;

comment on function app.onboarding_steps(uuid) is
  'What public.onboarding_steps does. Definer: reads those entries of the audit log that tell of this resident''s steps.';

create function public.onboarding_steps(resident_id uuid)
returns table (state text, previous_state text, taken_at timestamptz, taken_by uuid, taken_by_name text, reason text)
language sql
stable
set search_path = ''
as $$ select * from app.onboarding_steps(resident_id) $$;

comment on function public.onboarding_steps(uuid) is
  'The steps of a resident''s onboarding in order, each with who took it, when and why, from the audit log. For the resident and holders of residents.manage. Errors: resident_not_found.';

grant execute on function
  app.activate_resident(uuid), public.activate_resident(uuid), app.suspend_resident(uuid, text), public.suspend_resident(uuid, text),
  app.resume_resident(uuid), public.resume_resident(uuid), app.onboarding_steps(uuid), public.onboarding_steps(uuid)
to authenticated, service_role;

-- A photograph -------------------------------------------------------------------------------------------------------

create function app.resident_photos_with_me()
returns setof uuid
language plpgsql
stable
security definer -- reads residents before the policy on files is decided
set search_path = ''
as $$
begin
  return query select re.photo_file_id from public.residents re where re.id in (select app.residents_with_me()) and re.photo_file_id is not null;
end;
$$;

comment on function app.resident_photos_with_me() is
  'The photographs of the residents whom the caller sees as one of them; who holds residents.read sees all. Definer: reads residents.';

grant execute on function app.resident_photos_with_me() to authenticated;

select app.define_file_purpose('resident.photo', 'vicinia-images', 'A resident''s photograph', '{image/png,image/jpeg,image/webp}', 2097152,
  'residents.upload', 'residents.manage', read_permission => 'residents.read', readable_files => 'app.resident_photos_with_me');

create function app.tg_residents__photo()
returns trigger
language plpgsql
security definer -- API roles may not write the register
set search_path = ''
as $$
begin
  perform app.erase_files(array[old.photo_file_id]);
  return null;
end;
$$;

comment on function app.tg_residents__photo() is
  'AFTER another photograph was set, or none (erasing does that): the old one is removed. Definer: writes the register of files.';

create trigger _500_photo after update of photo_file_id on public.residents for each row
  when (old.photo_file_id is not null and old.photo_file_id is distinct from new.photo_file_id) execute function app.tg_residents__photo();

create function app.set_resident_photo(resident uuid, file uuid)
returns void
language plpgsql
volatile
security definer -- photo_file_id is in no column grant
set search_path = ''
as $$
declare
  person public.residents;
begin
  select re.* into person from public.residents re where re.id = resident and re.deleted_at is null for no key update;
  if not coalesce(person.id in (select app.my_residents()) and person.community_id = any (app.my_communities()), false) then
    perform app.require('residents.manage', person.community_id);
  end if;
  if person.id is null then
    perform app.fail(404, 'resident_not_found', 'There is no live resident with this id.');
  elsif file is not null and not exists (
    select from public.files f
    where f.community_id = person.community_id and f.id = file and f.purpose = 'resident.photo' and f.status = 'stored' and f.deleted_at is null
      and (app.is_trusted() or f.owner_id = auth.uid()))
  then
    perform app.fail(422, 'invalid_value', 'file_id is no stored file of purpose resident.photo that you uploaded to this community.');
  end if;
  update public.residents re set photo_file_id = file where re.id = person.id and re.photo_file_id is distinct from file;
end;
$$;

comment on function app.set_resident_photo(uuid, uuid) is 'What public.set_resident_photo does. Definer: photo_file_id is in no column grant.';

create function public.set_resident_photo(resident_id uuid, file_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_resident_photo(resident_id, file_id) $$;

comment on function public.set_resident_photo(uuid, uuid) is
  'Makes an uploaded file (purpose resident.photo) the resident''s photograph; null takes it away. One''s own, or with residents.manage. Errors: permission_denied, resident_not_found, invalid_value.';

grant execute on function app.set_resident_photo(uuid, uuid), public.set_resident_photo(uuid, uuid) to authenticated, service_role;
