-- Foundation: invitations.
--
-- Purpose     How people come to their roles: invited by somebody who holds what the role holds.
-- Tables      invitations, private.invitation_tokens
-- RPCs        invite_member, resend_invitation, revoke_invitation, accept_invitation, my_invitations
-- Invariants  A token is shown once and stored as a hash. An invitation gives one membership, or makes the user one resident, and
--             that to a user whose address or telephone number Auth has verified and to whom it was written; a token that
--             leaked helps nobody else. Nobody invites above themselves, and an invitation is worth what its inviter may give
--             at the moment of acceptance. What is accepted or revoked stays so.
--
-- Residents come later (topic onboarding, which invites them): PL/pgSQL binds names when it runs.

create type public.invitation_status as enum ('pending', 'accepted', 'revoked', 'expired');

-- Invitations --------------------------------------------------------------------------------------------------------

create table public.invitations (
  id uuid not null default extensions.uuidv7(),
  email text,
  phone text,
  role_id uuid,
  resident_id uuid,
  level public.access_level not null generated always as (
    case when community_id is not null then 'community'::public.access_level else 'organization'::public.access_level end) stored,
  organization_id uuid,
  community_id uuid,
  status public.invitation_status not null default 'pending',
  expires_at timestamptz not null default now() + interval '7 days',
  ends_at timestamptz,
  invited_by uuid,
  sent_at timestamptz not null default now(),
  resent_count smallint not null default 0,
  accepted_at timestamptz,
  accepted_by uuid,
  like app.row_model including defaults including comments,
  constraint invitations_pkey primary key (id),
  constraint invitations_role_fkey foreign key (role_id, level) references public.roles (id, level) on delete cascade,
  constraint invitations_organization_fkey foreign key (organization_id) references public.organizations (id) on delete cascade,
  constraint invitations_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint invitations_scope_check check (num_nonnulls(organization_id, community_id) = 1),
  constraint invitations_address_check check (num_nonnulls(email, phone) = 1),
  constraint invitations_email_check check (app.is_email(email) and email = lower(email)),
  constraint invitations_phone_check check (phone ~ '^[1-9][0-9]{6,14}$'),
  constraint invitations_target_check check (num_nonnulls(role_id, resident_id) = 1 and (resident_id is null or community_id is not null)),
  constraint invitations_ends_at_check check (ends_at is null or (ends_at >= expires_at and role_id is not null)),
  constraint invitations_resent_count_check check (resent_count >= 0),
  constraint invitations_accepted_check check (
    (status = 'accepted') = (accepted_at is not null) and (status = 'accepted') = (accepted_by is not null))
);

create unique index invitations_pending_key on public.invitations (coalesce(email, phone), role_id, coalesce(community_id, organization_id))
  where status = 'pending' and role_id is not null and deleted_at is null;
create unique index invitations_pending_resident_key on public.invitations (resident_id)
  where status = 'pending' and resident_id is not null and deleted_at is null;
create index invitations_phone_idx on public.invitations (phone) where phone is not null;
create index invitations_role_idx on public.invitations (role_id, level);
create index invitations_organization_idx on public.invitations (organization_id) where organization_id is not null;
create index invitations_community_idx on public.invitations (community_id) where community_id is not null;
create index invitations_expiring_idx on public.invitations (expires_at) where status = 'pending';

comment on table public.invitations is
  'Who was invited to which role in an organization or a community, or to sign up as which resident. Changed by invite_member, invite_resident, resend_invitation, revoke_invitation and accept_invitation.';
comment on column public.invitations.email is 'The address it was written to, in small letters; whoever accepts must have verified it.';
comment on column public.invitations.phone is 'Or the telephone number, in digits with the country''s code; whoever accepts must have verified it.';
comment on column public.invitations.role_id is 'The role it gives; of the same level.';
comment on column public.invitations.resident_id is 'Or the resident that the user becomes; of the community.';
comment on column public.invitations.level is 'Follows from which id is set; the role must have the same.';
comment on column public.invitations.organization_id is 'The organization it invites to, with all its communities.';
comment on column public.invitations.community_id is 'The community it invites to.';
comment on column public.invitations.status is
  'pending: can be accepted until expires_at. expired: can be sent again. accepted and revoked: final.';
comment on column public.invitations.expires_at is 'From this moment on it cannot be accepted.';
comment on column public.invitations.ends_at is 'When the role that it gives ends; null: when it is revoked.';
comment on column public.invitations.invited_by is
  'The user who invited, or who sent it again last: what they may give decides at acceptance. Null: the secret key or Studio did. A plain id: it outlives the user.';
comment on column public.invitations.sent_at is 'When the token that is valid now was made.';
comment on column public.invitations.resent_count is 'How often it was sent again.';
comment on column public.invitations.accepted_at is 'When it was accepted.';
comment on column public.invitations.accepted_by is 'The user who accepted. A plain id: it outlives the user.';

select app.track('public.invitations');

create trigger _010_frozen_terms before update of email, phone, role_id, resident_id, organization_id, ends_at on public.invitations for each row
  when ((old.email, old.phone, old.role_id, old.resident_id, old.organization_id, old.ends_at)
    is distinct from (new.email, new.phone, new.role_id, new.resident_id, new.organization_id, new.ends_at))
  execute function app.tg__frozen('address, role and its end, resident and scope');
insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.invitations', null, 'pending', 'memberships.manage', 'Invite somebody'),
  ('public.invitations', 'pending', 'accepted', null, 'Accepted by the person it was written to'),
  ('public.invitations', 'pending', 'revoked', 'memberships.manage', 'Revoke the invitation'),
  ('public.invitations', 'pending', 'expired', null, 'It ran out'),
  ('public.invitations', 'expired', 'pending', 'memberships.manage', 'Send the invitation again'),
  ('public.invitations', 'expired', 'revoked', 'memberships.manage', 'Revoke the invitation');

select app.state_machine('public.invitations', 'status');

create policy invitations_select on public.invitations for select to authenticated
  using (
    deleted_at is null
    and (
      community_id = any ((select app.communities_where('memberships.read'))::uuid[])
      or organization_id in (select app.organizations_with('memberships.read'))
    )
  );
grant select on public.invitations to authenticated;
grant select, insert, update on public.invitations to service_role;

-- Tokens -------------------------------------------------------------------------------------------------------------

create table private.invitation_tokens (
  invitation_id uuid not null,
  token_hash bytea not null,
  constraint invitation_tokens_pkey primary key (invitation_id),
  constraint invitation_tokens_hash_key unique (token_hash),
  constraint invitation_tokens_invitation_fkey foreign key (invitation_id) references public.invitations (id) on delete cascade,
  constraint invitation_tokens_hash_check check (octet_length(token_hash) = 32)
);

comment on table private.invitation_tokens is
  'The one valid token of each invitation, as a hash. Stays after acceptance, so that a second use is told apart from an unknown token.';
comment on column private.invitation_tokens.invitation_id is 'The invitation.';
comment on column private.invitation_tokens.token_hash is
  'SHA-256 of the token. The token has 256 random bits, so that a plain hash cannot be searched and looking it up tells nothing by its time.';

alter table private.invitation_tokens enable row level security;
create policy invitation_tokens_select on private.invitation_tokens for select to authenticated using (false);

create function app.issue_invitation(invitation uuid)
returns table (id uuid, token text, invited text, role_key text, role_name text, place text, expires_at timestamptz)
language plpgsql
volatile
set search_path = ''
as $$
begin
  token := app.base64url(extensions.gen_random_bytes(32));
  insert into private.invitation_tokens (invitation_id, token_hash)
  values (invitation, sha256(convert_to(token, 'UTF8')))
  on conflict on constraint invitation_tokens_pkey do update set token_hash = excluded.token_hash;
  return query
    select i.id, issue_invitation.token, coalesce(i.email, '+' || i.phone), r.key, r.name, coalesce(c.name, o.name), i.expires_at
    from public.invitations i
    left join public.roles r on r.id = i.role_id
    left join public.organizations o on o.id = i.organization_id
    left join public.communities c on c.id = i.community_id
    where i.id = invitation;
end;
$$;

comment on function app.issue_invitation(uuid) is
  'Makes a new token for an invitation (32 random bytes, base64url; the one before is worth nothing from then on) and returns it with what a mail says. Not executable by API roles.';

-- Events -------------------------------------------------------------------------------------------------------------

create function app.tg_invitations__emit()
returns trigger
language plpgsql
security definer -- calls app.emit, which no API role may
set search_path = ''
as $$
begin
  perform app.emit(
    'invitation.' || case when tg_op = 'INSERT' then 'created' when new.status = 'pending' then 'resent' else new.status::text end,
    new.community_id,
    jsonb_build_object('invitation_id', new.id, 'role_id', new.role_id, 'resident_id', new.resident_id, 'organization_id', new.organization_id));
  return null;
end;
$$;

comment on function app.tg_invitations__emit() is
  'AFTER INSERT, and AFTER UPDATE that sends it again or ends it: events invitation.created, .resent, .accepted, .revoked and .expired, never with the token or the address. Definer: calls app.emit.';

create trigger _600_emit_created after insert on public.invitations for each row execute function app.tg_invitations__emit();
create trigger _600_emit_changed after update of status, resent_count on public.invitations for each row
  when (old.status <> new.status or old.resent_count <> new.resent_count) execute function app.tg_invitations__emit();

-- What an invitation is worth ----------------------------------------------------------------------------------------

create function app.verified_email(subject uuid)
returns text
language sql
stable
security definer -- reads auth.users
set search_path = ''
return (
  select lower(u.email) from auth.users u
  where u.id = subject and u.email_confirmed_at is not null and u.deleted_at is null and not u.is_anonymous);

comment on function app.verified_email(uuid) is
  'The address, in small letters, that Auth has verified as the user''s; null when it has verified none. Definer: reads auth.users. Not executable by API roles.';

create function app.verified_phone(subject uuid)
returns text
language sql
stable
security definer -- reads auth.users
set search_path = ''
return (
  select ltrim(u.phone, '+') from auth.users u
  where u.id = subject and u.phone_confirmed_at is not null and u.deleted_at is null and not u.is_anonymous);

comment on function app.verified_phone(uuid) is
  'The telephone number, in digits, that Auth has verified as the user''s; null when it has verified none. Definer: reads auth.users. Not executable by API roles.';

create function app.ask_for(subject uuid)
returns text
language plpgsql
volatile
set search_path = ''
as $$
declare
  claims constant text := coalesce(current_setting('request.jwt.claims', true), '');
begin
  perform set_config('request.jwt.claims', jsonb_build_object('sub', subject, 'role', 'authenticated', 'aal', 'aal2', 'on_behalf', true)::text, true);
  return claims;
end;
$$;

comment on function app.ask_for(uuid) is
  'From here on the helpers answer as if another user had sent this request, with claims that say nothing and so are not believed; returns the claims that are to be set again. Not executable by API roles.';

create function app.permissions_of(subject uuid, organization uuid, community uuid)
returns text[]
language plpgsql
volatile
set search_path = ''
as $$
declare
  claims constant text := app.ask_for(subject);
  held constant text[] := array(select app.permissions_in(organization, community));
begin
  perform set_config('request.jwt.claims', claims, true);
  return held;
end;
$$;

comment on function app.permissions_of(uuid, uuid, uuid) is 'The permissions that another user holds in an organization or a community now. Not executable by API roles.';

create function app.may_give_role(giver uuid, role uuid, organization uuid, community uuid, until timestamptz default null)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
declare
  claims constant text := app.ask_for(giver);
  may constant boolean := not exists (
    select from app.beyond_own('memberships.manage', app.permissions_of_role(role), '{}', organization, community, until));
begin
  perform set_config('request.jwt.claims', claims, true);
  return may;
end;
$$;

comment on function app.may_give_role(uuid, uuid, uuid, uuid, timestamptz) is
  'Whether another user may give a role in an organization or a community now, until a moment (null: without an end): the rule of check_role_within for somebody who is not the caller. Not executable by API roles.';

create function app.is_live_place(organization uuid, community uuid)
returns boolean
language sql
stable
set search_path = ''
return exists (
  select from public.organizations o where o.id = organization and o.deleted_at is null
  union all
  select from public.communities c join public.organizations o on o.id = c.organization_id
  where c.id = community and c.deleted_at is null and o.deleted_at is null);

comment on function app.is_live_place(uuid, uuid) is
  'Whether the organization is live, or the community and its organization are. Sees what its caller sees; not executable by API roles.';

create function app.invitation_stands(invitation public.invitations)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
begin
  return app.is_live_place(invitation.organization_id, invitation.community_id) and case
    when invitation.resident_id is not null then
      app.resident_awaits_user(invitation.community_id, invitation.resident_id)
      and (invitation.invited_by is null
        or app.permissions_of(invitation.invited_by, null, invitation.community_id) @> '{memberships.manage,residents.manage}')
    else
      exists (select from public.roles r where r.id = invitation.role_id and r.deleted_at is null)
      and (invitation.invited_by is null
        or app.may_give_role(invitation.invited_by, invitation.role_id, invitation.organization_id, invitation.community_id, invitation.ends_at))
    end;
end;
$$;

comment on function app.invitation_stands(public.invitations) is
  'Whether the role or the resident and the place of an invitation still exist and whoever invited may still give the role, or invite residents, there. Not executable by API roles.';

-- Inviting -----------------------------------------------------------------------------------------------------------

create function app.check_invitation(email text, phone text, expires_in_hours integer)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  if num_nonnulls(email, phone) <> 1 then
    perform app.fail(422, 'invalid_value', 'Somebody is invited by an e-mail address or by a telephone number: name one of the two.');
  elsif phone is not null and app.phone_digits(btrim(phone)) is null then
    perform app.fail(422, 'invalid_value', 'The value of phone is not valid.', 'It begins with + and the country''s code.');
  elsif (expires_in_hours between 1 and 720) is not true then
    perform app.fail(422, 'invalid_period', 'An invitation is open for 1 to 720 hours.');
  end if;
end;
$$;

comment on function app.check_invitation(text, text, integer) is
  'Refuses an invitation without exactly one address, or for too short or too long (422 invalid_value, invalid_period). Not executable by API roles.';

create function app.check_pending_invitations(organization uuid, community uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  most_pending constant integer := 500;
begin
  if most_pending <= (
    select count(*) from public.invitations i
    where (i.community_id = community or i.organization_id = organization) and i.status = 'pending' and i.deleted_at is null)
  then
    perform app.fail(429, 'too_many_invitations', format('%s invitations wait for an answer here.', most_pending), 'Revoke some that nobody will accept.');
  end if;
end;
$$;

comment on function app.check_pending_invitations(uuid, uuid) is
  'Refuses a further invitation where 500 wait for an answer (429 too_many_invitations). Not executable by API roles.';

create function app.invite_member(email text, phone text, role text, organization uuid, community uuid, expires_in_hours integer, ends_at timestamptz)
returns table (id uuid, token text, invited text, role_key text, role_name text, place text, expires_at timestamptz)
language plpgsql
volatile
security definer -- API roles may not write invitations
set search_path = ''
as $$
declare
  address constant text := lower(btrim(email));
  number constant text := app.phone_digits(btrim(phone));
  wanted constant public.access_level := case when community is not null then 'community' else 'organization' end;
  found_role uuid;
  made uuid;
  refused text;
begin
  perform app.check_invitation(email, phone, expires_in_hours);
  if role is null then
    perform app.fail(422, 'invalid_value', 'Somebody is invited to a role: the role has to be named.');
  elsif num_nonnulls(organization, community) <> 1 then
    perform app.fail(422, 'invalid_scope', 'People are invited to an organization or to a community: name one of the two.');
  elsif ends_at <= now() then
    perform app.fail(422, 'invalid_period', 'The role would end before it begins.');
  end if;

  select r.id into found_role
  from public.roles r
  where r.level = wanted and r.key = invite_member.role and r.deleted_at is null
    and (r.community_id is null or r.community_id = community)
    and (r.organization_id is null or r.organization_id = coalesce(
      organization, (select c.organization_id from public.communities c where c.id = community)));
  perform app.check_role_within(found_role, organization, community, invite_member.ends_at);
  if found_role is null then
    perform app.fail(404, 'role_not_found', format('There is no role %s for the level %s here.', role, wanted));
  elsif not exists (select from public.roles r where r.id = found_role and r.is_membership) then
    perform app.fail(409, 'role_not_assignable', format('The role %s comes with the occupancy of a unit.', role), 'Invite the person as a resident instead (invite_resident).');
  elsif not app.is_live_place(organization, community) then
    perform app.fail(404, 'place_not_found', 'There is no live organization or community with this id.');
  elsif exists (
    select
    from public.memberships m
    join auth.users u on u.id = m.user_id
    where m.role_id = found_role and coalesce(m.community_id, m.organization_id) = coalesce(community, organization) and m.deleted_at is null
      and (m.ends_at is null or m.ends_at > now())
      and ((lower(u.email) = address and u.email_confirmed_at is not null) or (ltrim(u.phone, '+') = number and u.phone_confirmed_at is not null)))
  then
    perform app.fail(409, 'role_already_held', 'The user of this address holds this role here already.');
  end if;
  perform app.check_pending_invitations(organization, community);

  -- One that ran out and that the job has not come to yet gives way.
  update public.invitations i
  set status = 'expired'
  where coalesce(i.email, i.phone) = coalesce(address, number) and i.role_id = found_role and coalesce(i.community_id, i.organization_id) = coalesce(community, organization)
    and i.status = 'pending' and i.deleted_at is null and i.expires_at <= now();

  insert into public.invitations (email, phone, role_id, organization_id, community_id, expires_at, ends_at, invited_by)
  values (address, number, found_role, organization, community, least(now() + make_interval(hours => expires_in_hours), invite_member.ends_at), invite_member.ends_at, auth.uid())
  on conflict do nothing
  returning invitations.id into made;
  if made is null then
    perform app.fail(409, 'invitation_pending', 'This address was invited to this role here already.', 'Send that invitation again, or revoke it.');
  end if;
  return query select * from app.issue_invitation(made);
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('invitations', refused);
end;
$$;

comment on function app.invite_member(text, text, text, uuid, uuid, integer, timestamptz) is 'What public.invite_member does. Definer: no API role may write invitations or read addresses in Auth.';

create function public.invite_member(
  email text default null, role text default null, organization_id uuid default null, community_id uuid default null,
  expires_in_hours integer default 168, phone text default null, ends_at timestamptz default null
)
returns table (id uuid, token text, invited text, role_key text, role_name text, place text, expires_at timestamptz)
language sql
volatile
set search_path = ''
as $$ select * from app.invite_member(email, phone, role, organization_id, community_id, expires_in_hours, ends_at) $$;

comment on function public.invite_member(text, text, uuid, uuid, integer, text, timestamptz) is
  'Invites an address, or a telephone number with its country''s code, to a role in an organization or a community until ends_at or until revoked. It is open for 7 days unless told otherwise (1 to 720 hours). Returns the invitation with its single-use token, which is never shown again; sends no mail (the function invite-member does). '
  'Takes memberships.manage there and every permission the role holds, each until ends_at at least. Errors: permission_denied, role_above_own, term_above_own, role_not_found, role_not_assignable, role_already_held, place_not_found, invitation_pending, too_many_invitations, invalid_value, invalid_scope, invalid_period.';

create function app.invitation_to_change(invitation uuid, is_taken boolean default false)
returns public.invitations
language plpgsql
volatile
set search_path = ''
as $$
declare
  found_one public.invitations;
begin
  select i.* into found_one from public.invitations i where i.id = invitation and i.deleted_at is null for no key update;
  if found_one.id is null or not (
    app.is_trusted() or 'memberships.read' in (select app.permissions_in(found_one.organization_id, found_one.community_id)))
  then
    perform app.fail(404, 'invitation_not_found', 'There is no invitation with this id.');
  end if;
  if found_one.resident_id is null then
    perform app.check_role_within(found_one.role_id, found_one.organization_id, found_one.community_id, found_one.ends_at, is_taken);
  else
    perform app.require('memberships.manage', found_one.community_id), app.require('residents.manage', found_one.community_id);
  end if;
  if found_one.status = 'accepted' then
    perform app.fail(409, 'invitation_used', 'The invitation was accepted.', 'Revoke the membership instead.');
  elsif found_one.status = 'revoked' then
    perform app.fail(410, 'invitation_revoked', 'The invitation was revoked.', 'Invite the person again.');
  end if;
  return found_one;
end;
$$;

comment on function app.invitation_to_change(uuid, boolean) is
  'Locks an invitation that is neither accepted nor revoked, for somebody who could have sent it or (is_taken) could take the role from who accepts. Not executable by API roles.';

create function app.resend_invitation(invitation uuid, expires_in_hours integer)
returns table (id uuid, token text, invited text, role_key text, role_name text, place text, expires_at timestamptz)
language plpgsql
volatile
security definer -- API roles may not write invitations
set search_path = ''
as $$
declare
  wanted public.invitations;
begin
  if (expires_in_hours between 1 and 720) is not true then
    perform app.fail(422, 'invalid_period', 'An invitation is open for 1 to 720 hours.');
  end if;
  wanted := app.invitation_to_change(invitation);
  if wanted.ends_at <= now() then
    perform app.fail(422, 'invalid_period', 'The role would have ended already.', 'Invite the person again, until later.');
  end if;
  update public.invitations i
  set status = 'pending', expires_at = least(now() + make_interval(hours => expires_in_hours), i.ends_at), invited_by = auth.uid(), sent_at = now(), resent_count = i.resent_count + 1
  where i.id = wanted.id;
  return query select * from app.issue_invitation(wanted.id);
exception when unique_violation then
  perform app.fail(409, 'invitation_pending', 'This address was invited to this role here again meanwhile.', 'Send that invitation again, or revoke it.');
end;
$$;

comment on function app.resend_invitation(uuid, integer) is 'What public.resend_invitation does. Definer: no API role may write invitations.';

create function public.resend_invitation(invitation_id uuid, expires_in_hours integer default 168)
returns table (id uuid, token text, invited text, role_key text, role_name text, place text, expires_at timestamptz)
language sql
volatile
set search_path = ''
as $$ select * from app.resend_invitation(invitation_id, expires_in_hours) $$;

comment on function public.resend_invitation(uuid, integer) is
  'Opens a pending or expired invitation again, with a new token; the old one is dead, and the caller is the inviter from now on. Takes what inviting takes. '
  'Errors: invitation_not_found, permission_denied, role_above_own, term_above_own, invitation_used, invitation_revoked, invitation_pending, invalid_period.';

create function app.revoke_invitation(invitation uuid)
returns void
language plpgsql
volatile
security definer -- API roles may not write invitations
set search_path = ''
as $$
declare
  unwanted constant uuid := (app.invitation_to_change(invitation, is_taken => true)).id;
begin
  update public.invitations i set status = 'revoked' where i.id = unwanted;
end;
$$;

comment on function app.revoke_invitation(uuid) is 'What public.revoke_invitation does. Definer: no API role may write invitations.';

create function public.revoke_invitation(invitation_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.revoke_invitation(invitation_id) $$;

comment on function public.revoke_invitation(uuid) is
  'Withdraws an invitation that was not accepted, for good. Takes memberships.manage there and every permission the role holds. Errors: invitation_not_found, permission_denied, role_above_own, invitation_used, invitation_revoked.';

grant execute on function
  app.invite_member(text, text, text, uuid, uuid, integer, timestamptz), public.invite_member(text, text, uuid, uuid, integer, text, timestamptz),
  app.resend_invitation(uuid, integer), public.resend_invitation(uuid, integer),
  app.revoke_invitation(uuid), public.revoke_invitation(uuid)
to authenticated, service_role;

-- Accepting ----------------------------------------------------------------------------------------------------------

select app.define_action('INVITATION_ACCEPTED', 'An invitation was accepted, and the role is held.');

create function app.accept_invitation(token text, invitation uuid)
returns table (membership_id uuid, role text, organization_id uuid, community_id uuid, resident_id uuid)
language plpgsql
volatile
security definer -- API roles may not write memberships and invitations, nor read tokens and addresses in Auth
set search_path = ''
as $$
declare
  caller constant uuid := app.user_id();
  address constant text := app.verified_email(caller);
  number constant text := app.verified_phone(caller);
  hash constant bytea := sha256(convert_to(token, 'UTF8'));
  accepted public.invitations;
  action_before constant text := app.set_action('INVITATION_ACCEPTED');
begin
  if num_nonnulls(token, invitation) <> 1 then
    perform app.fail(422, 'invalid_value', 'An invitation is accepted by its token or by its id: name one of the two.');
  elsif caller is null then
    perform app.fail(401, 'account_unknown', 'An invitation is accepted by the user it was written to.', 'Sign in first.');
  elsif address is null and number is null then
    perform app.fail(403, 'email_not_verified', 'This account has no verified e-mail address or telephone number.', 'Confirm the address first, with the link in the mail.');
  end if;

  select i.* into accepted
  from public.invitations i
  where i.id = coalesce(invitation, (select t.invitation_id from private.invitation_tokens t where t.token_hash = hash)) and i.deleted_at is null
  for no key update;
  -- Locked now. A new token may have come while we waited.
  if accepted.id is null
    or (invitation is null and not exists (select from private.invitation_tokens t where t.token_hash = hash and t.invitation_id = accepted.id))
    or (invitation is not null and (accepted.email = address or accepted.phone = number) is not true)
  then
    perform app.fail(404, 'invitation_not_found', 'There is no such invitation for you.', 'If it was sent again, the newest mail has the link that is valid.');
  elsif (accepted.email = address or accepted.phone = number) is not true then
    perform app.fail(403, 'invitation_other_address', 'The invitation was written to another address or number.', 'Sign in with that one.');
  elsif accepted.status = 'accepted' then
    perform app.fail(409, 'invitation_used', 'The invitation was accepted already.');
  elsif accepted.status = 'revoked' then
    perform app.fail(410, 'invitation_revoked', 'The invitation was revoked.');
  elsif accepted.status = 'expired' or accepted.expires_at <= now() then
    perform app.fail(410, 'invitation_expired', 'The invitation has expired.', 'Ask for it to be sent again.');
  elsif not app.invitation_stands(accepted) then
    perform app.fail(410, 'invitation_void', 'Whoever invited you may no longer give this role, or the role is gone.', 'Ask for a new invitation.');
  end if;

  organization_id := accepted.organization_id;
  community_id := accepted.community_id;
  resident_id := accepted.resident_id;
  if resident_id is not null then
    -- The link marks the invitation as accepted.
    perform app.link_resident(community_id, resident_id, caller);
    return next;
    return;
  end if;

  select r.key into role from public.roles r where r.id = accepted.role_id;
  insert into public.memberships (user_id, role_id, organization_id, community_id, ends_at)
  values (caller, accepted.role_id, accepted.organization_id, accepted.community_id, accepted.ends_at)
  on conflict do nothing
  returning memberships.id into membership_id;
  if membership_id is null then
    -- Given by somebody else meanwhile: what the invitation was for is there.
    select m.id into membership_id
    from public.memberships m
    where m.user_id = caller and m.role_id = accepted.role_id and m.deleted_at is null and coalesce(m.ends_at, 'infinity') > now()
      and coalesce(m.community_id, m.organization_id) = coalesce(accepted.community_id, accepted.organization_id)
    order by m.starts_at
    limit 1;
  end if;

  update public.invitations i set status = 'accepted', accepted_at = now(), accepted_by = caller where i.id = accepted.id;
  perform app.set_action(action_before);
  return next;
end;
$$;

comment on function app.accept_invitation(text, uuid) is
  'What public.accept_invitation does. Refusals write nothing: what raises leaves no trace. Definer: reads tokens and Auth''s addresses, writes memberships and invitations.';

create function public.accept_invitation(token text default null, invitation_id uuid default null)
returns table (membership_id uuid, role text, organization_id uuid, community_id uuid, resident_id uuid)
language sql
volatile
set search_path = ''
as $$ select * from app.accept_invitation(token, invitation_id) $$;

comment on function public.accept_invitation(text, uuid) is
  'Accepts an invitation by the token of its mail, or by its id as my_invitations lists it, and returns the membership, or the resident that the caller is from now on. The caller''s verified address or number must be the invited one. '
  'Errors: email_not_verified, resident_linked, invitation_not_found, invitation_other_address, invitation_used, invitation_revoked, invitation_expired, invitation_void, account_unknown, invalid_value.';

create function app.my_invitations()
returns table (id uuid, role text, role_name text, organization_id uuid, community_id uuid, place text, invited_by text, expires_at timestamptz, resident_id uuid, ends_at timestamptz)
language plpgsql
stable
security definer -- the invited cannot see the invitation, the place and the inviter before they accept
set search_path = ''
as $$
begin
  return query
    select i.id, r.key, r.name, i.organization_id, i.community_id, coalesce(c.name, o.name), p.display_name, i.expires_at, i.resident_id, i.ends_at
    from public.invitations i
    left join public.roles r on r.id = i.role_id
    left join public.organizations o on o.id = i.organization_id
    left join public.communities c on c.id = i.community_id
    left join public.profiles p on p.id = i.invited_by
    where (i.email = app.verified_email(app.user_id()) or i.phone = app.verified_phone(app.user_id())) and i.status = 'pending' and i.expires_at > now() and i.deleted_at is null
      and r.deleted_at is null and app.is_live_place(i.organization_id, i.community_id)
    order by i.sent_at desc, i.id;
end;
$$;

comment on function app.my_invitations() is 'What public.my_invitations does. Definer: the invited see nothing of the place before they accept.';

create function public.my_invitations()
returns table (id uuid, role text, role_name text, organization_id uuid, community_id uuid, place text, invited_by text, expires_at timestamptz, resident_id uuid, ends_at timestamptz)
language sql
stable
set search_path = ''
as $$ select * from app.my_invitations() $$;

comment on function public.my_invitations() is
  'The invitations that wait for the caller, found by the address or number that Auth has verified: the role (null where the caller is to become a resident) and when it would end, the name of the place and of the inviter. What an app shows after sign-up. accept_invitation takes the id.';

grant execute on function
  app.accept_invitation(text, uuid), public.accept_invitation(text, uuid), app.my_invitations(), public.my_invitations()
to authenticated;

-- What time does to them ---------------------------------------------------------------------------------------------

create function app.job_invitations()
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  update public.invitations i set status = 'expired' where i.status = 'pending' and i.expires_at <= now();
  update public.invitations i set status = 'revoked' where i.status = 'pending' and i.deleted_at is null and not app.invitation_stands(i);
end;
$$;

comment on function app.job_invitations() is
  'Job invitations: marks those that ran out as expired, and revokes those whose inviter may no longer give the role. Neither could be accepted meanwhile.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('invitations', '23 * * * *', 'app.job_invitations()', 'Expires invitations that ran out, revokes those that nobody stands behind any more.');
