-- Access control: handing out passes and taking them back.
--
-- Purpose     A pass to an invitation with a link for the visitor, who has no account; a resident's own pass; revocation; what gates
--             that work without a line need.
-- Tables      private.pass_links
-- Views       passes_overview
-- RPCs        issue_pass, resident_pass_seed, revoke_pass, open_visitor_pass, pass_public_keys, revoked_offline_passes; for the
--             function issue-pass, with the secret key: add_pass_key, pass_signing_key, seal_pass
-- Invariants  A text, a seed, a link are told once. One pass at a time per invitation (or guest of a list) and per resident: a new one
--             revokes the one before. A pass begins and ends with its invitation. A link shows the pass while it may open, and
--             afterwards only that it does not.

select app.define_setting('security.resident_pass_days', 'integer', '90', '{site,organization,community}',
  'For how many days a resident''s app can make passes before it asks for a new seed.', minimum => 1, maximum => 400);

-- Links --------------------------------------------------------------------------------------------------------------

create table private.pass_links (
  pass_id uuid not null,
  community_id uuid not null,
  token_hash bytea not null,
  sealed bytea,
  constraint pass_links_pkey primary key (pass_id),
  constraint pass_links_token_key unique (token_hash),
  constraint pass_links_pass_fkey foreign key (community_id, pass_id) references public.passes (community_id, id) on delete cascade,
  constraint pass_links_token_hash_check check (octet_length(token_hash) = 32)
);

create index pass_links_pass_idx on private.pass_links (community_id, pass_id);

comment on table private.pass_links is 'The link of each visitor''s pass, as a hash. Removed 30 days after the pass has ended.';
comment on column private.pass_links.pass_id is 'The pass.';
comment on column private.pass_links.community_id is 'Its community.';
comment on column private.pass_links.token_hash is 'SHA-256 of the token, which has 192 random bits: looking it up tells nothing by its time.';
comment on column private.pass_links.sealed is 'Of a pass for offline gates, whose text cannot be made again: the text, encrypted under the token (OpenPGP).';

alter table private.pass_links enable row level security;
create policy pass_links_select on private.pass_links for select to authenticated using (false);

-- Visitors' passes ---------------------------------------------------------------------------------------------------

create function app.issue_pass(invitation uuid, guest uuid, is_offline boolean, is_visible boolean)
returns table (pass_id uuid, pass text, link_token text, starts_at timestamptz, ends_at timestamptz, max_uses integer, to_sign text)
language plpgsql
volatile
security definer -- API roles may not write passes, nor read keys
set search_path = ''
as $$
declare
  given constant public.visitor_invitations := app.changeable_invitation(invitation, is_visible); -- one pass at a time
  first_at timestamptz := date_trunc('second', given.starts_at, 'UTC');
  last_at timestamptz;
  problem text;
  signing text;
  made public.passes;
begin
  if guest is not null and not exists (
    select from public.invitation_guests g where g.community_id = given.community_id and g.invitation_id = given.id and g.id = guest and g.status = 'invited' and g.deleted_at is null)
  then
    perform app.fail(404, 'guest_not_found', 'No guest with this id is still expected at this event.');
  end if;
  -- What the invitation was before today is over; and what a pass says for more than a year, nobody remembers.
  first_at := greatest(first_at, date_trunc('day', now(), 'UTC'));
  last_at := least(date_trunc('second', given.ends_at, 'UTC'), first_at + interval '400 days');
  problem := case when last_at <= first_at then 'expired' else app.invitation_problem(given.id, null, greatest(now(), given.starts_at)) end;
  if problem in ('invitation_cancelled', 'expired', 'host_left') then
    perform app.fail(409, 'invitation_over', format('This invitation lets nobody in any more: %s.', problem), 'Invite again.');
  end if;

  if is_offline then
    select k.kid into signing from private.pass_keys k where k.community_id = given.community_id and k.algorithm = 'ed25519' and k.retired_at is null for share;
    if signing is null then
      perform app.fail(409, 'pass_key_missing', 'The community has no key for offline passes yet.', 'The function issue-pass makes one.');
    end if;
  else
    signing := app.signing_pass_key(given.community_id);
  end if;
  update public.passes p
  set revoked_at = clock_timestamp(), revoked_reason = 'Replaced by a new one.'
  where p.community_id = given.community_id and p.invitation_id = given.id and p.guest_id is not distinct from guest and p.revoked_at is null and p.deleted_at is null;
  insert into public.passes (community_id, kind, invitation_id, guest_id, kid, starts_at, ends_at, max_uses)
  values (given.community_id, 'visitor', given.id, guest, signing, first_at, last_at, case when guest is not null then 1 else coalesce(given.guest_limit, given.max_entries) end)
  returning * into made;
  link_token := app.base64url(extensions.gen_random_bytes(24));
  insert into private.pass_links (pass_id, community_id, token_hash) values (made.id, made.community_id, sha256(convert_to(link_token, 'UTF8')));

  pass_id := made.id;
  starts_at := made.starts_at;
  ends_at := made.ends_at;
  max_uses := made.max_uses;
  if is_offline then
    to_sign := format('v2.%s.%s', made.kid, app.pass_payload(made));
  else
    pass := app.pass_text(made);
  end if;
  return next;
end;
$$;

comment on function app.issue_pass(uuid, uuid, boolean, boolean) is
  'What public.issue_pass does; locks the invitation, then the key. Definer: API roles may not write passes, nor read keys.';

create function public.issue_pass(invitation_id uuid, guest_id uuid default null, is_offline boolean default false)
returns table (pass_id uuid, pass text, link_token text, starts_at timestamptz, ends_at timestamptz, max_uses integer, to_sign text)
language sql
volatile
set search_path = ''
as $$
  select i.pass_id, i.pass, i.link_token, i.starts_at, i.ends_at, i.max_uses, i.to_sign
  from app.issue_pass(invitation_id, guest_id, is_offline, app.sees_row('visitor_invitations', invitation_id)) i
$$;

comment on function public.issue_pass(uuid, uuid, boolean) is
  'Makes the pass to an invitation, or for one guest of its list, and returns its text and the token of the visitor''s link, both this once; the pass before it is revoked. The function issue-pass adds the QR code. '
  'is_offline: returns to_sign in place of the text, which the function issue-pass signs. Takes visits.invite_own in the unit or visits.invite. '
  'Errors: invitation_not_found, permission_denied, guest_not_found, invitation_over, pass_key_missing.';

-- A resident's own pass ----------------------------------------------------------------------------------------------

create function app.resident_pass_seed(community uuid, label text)
returns table (pass_id uuid, kid text, seed text, step_seconds integer, starts_at timestamptz, ends_at timestamptz, server_at timestamptz)
language plpgsql
volatile
security definer -- API roles may not write passes, nor read keys
set search_path = ''
as $$
declare
  resident public.residents;
  made public.passes;
  refused text;
begin
  -- One pass at a time.
  select re.* into resident from public.residents re
  where re.id in (select app.my_residents()) and re.community_id = community and community = any (app.my_communities()) and re.deleted_at is null
  for no key update;
  if resident.id is null or app.has_moved_out(community, resident.id) then
    perform app.fail(404, 'resident_not_found', 'You are no resident of this community, or have moved out.');
  elsif resident.onboarding = 'suspended' then
    perform app.fail(403, 'resident_suspended', 'A resident who is suspended has no pass.');
  end if;
  update public.passes p
  set revoked_at = clock_timestamp(), revoked_reason = 'Replaced by a new one.'
  where p.community_id = community and p.resident_id = resident.id and p.revoked_at is null and p.deleted_at is null;
  insert into public.passes (label, community_id, kind, resident_id, kid, starts_at, ends_at)
  values (nullif(btrim(resident_pass_seed.label), ''), community, 'resident', resident.id, app.signing_pass_key(community), date_trunc('second', now(), 'UTC'),
    date_trunc('second', now(), 'UTC') + make_interval(days => app.setting('security.resident_pass_days', community)::integer))
  returning * into made;
  return query select made.id, made.kid, app.resident_seed(made), 30, made.starts_at, made.ends_at, clock_timestamp();
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('passes', refused);
end;
$$;

comment on function app.resident_pass_seed(uuid, text) is 'What public.resident_pass_seed does; locks the resident, then the key. Definer: API roles may not write passes, nor read keys.';

create function public.resident_pass_seed(community_id uuid, label text default null)
returns table (pass_id uuid, kid text, seed text, step_seconds integer, starts_at timestamptz, ends_at timestamptz, server_at timestamptz)
language sql
volatile
set search_path = ''
as $$ select r.pass_id, r.kid, r.seed, r.step_seconds, r.starts_at, r.ends_at, r.server_at from app.resident_pass_seed(community_id, label) r $$;

comment on function public.resident_pass_seed(uuid, text) is
  'Gives the caller''s app what it makes the own pass from, this once: a new code every 30 seconds, each opening once, until ends_at. The telephone that had one before has none from now on. '
  'server_at tells how far the telephone''s clock is off. Errors: resident_not_found, resident_suspended, invalid_value.';

-- Taking them back ---------------------------------------------------------------------------------------------------

create function app.revoke_pass(pass uuid, reason text, is_visible boolean)
returns boolean
language plpgsql
volatile
security definer -- API roles may not write passes
set search_path = ''
as $$
declare
  unwanted public.passes;
begin
  if is_visible then
    select p.* into unwanted from public.passes p where p.id = pass and p.deleted_at is null for no key update;
  end if;
  if unwanted.id is null then
    perform app.fail(404, 'pass_not_found', 'There is no pass with this id.');
  elsif not coalesce(unwanted.resident_id in (select app.my_residents()), false)
    and not exists (
      select from public.visitor_invitations i join app.my_hosting('visits.invite_own') h on h.unit_id = i.unit_id
      where i.community_id = unwanted.community_id and i.id = unwanted.invitation_id)
  then
    perform app.require('passes.manage', unwanted.community_id);
  end if;
  if (length(btrim(reason)) between 1 and 500) is not true then
    perform app.fail(422, 'invalid_value', 'A reason says why the pass is revoked, in at most 500 characters.');
  elsif unwanted.revoked_at is not null then
    return false;
  end if;
  update public.passes p set revoked_at = clock_timestamp(), revoked_reason = btrim(reason) where p.id = unwanted.id;
  return true;
end;
$$;

comment on function app.revoke_pass(uuid, text, boolean) is 'What public.revoke_pass does. Definer: API roles may not write passes.';

create function public.revoke_pass(pass_id uuid, reason text)
returns boolean
language sql
volatile
set search_path = ''
as $$ select app.revoke_pass(pass_id, reason, app.sees_row('passes', pass_id)) $$;

comment on function public.revoke_pass(uuid, text) is
  'Revokes a pass, at once and for good; false when it was revoked before. The resident''s own, one of the own unit''s visitors, or with passes.manage. Errors: pass_not_found, permission_denied, invalid_value.';

create function app.revoke_passes_of_key(community uuid, kid text)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  revoked integer;
begin
  perform from public.passes p where p.community_id = community and p.kid = revoke_passes_of_key.kid and p.revoked_at is null order by p.id for no key update;
  update public.passes p
  set revoked_at = clock_timestamp(), revoked_reason = 'Its key was revoked.'
  where p.community_id = community and p.kid = revoke_passes_of_key.kid and p.revoked_at is null;
  get diagnostics revoked = row_count;
  return revoked;
end;
$$;

comment on function app.revoke_passes_of_key(uuid, text) is 'Revokes every pass under a key, in the order of their ids; returns how many. Not executable by API roles.';

grant execute on function
  app.issue_pass(uuid, uuid, boolean, boolean), public.issue_pass(uuid, uuid, boolean),
  app.revoke_pass(uuid, text, boolean), public.revoke_pass(uuid, text)
to authenticated, service_role;
grant execute on function app.resident_pass_seed(uuid, text), public.resident_pass_seed(uuid, text) to authenticated;

-- What they are worth, in a list ---------------------------------------------------------------------------------------

create function app.uses_of_pass(pass uuid)
returns private.pass_uses
language plpgsql
stable
security definer -- no API role reads private.pass_uses
set search_path = ''
as $$
declare
  uses private.pass_uses;
begin
  select u.* into uses from private.pass_uses u where u.pass_id = pass;
  return uses;
end;
$$;

comment on function app.uses_of_pass(uuid) is 'How often a pass was used; for the view passes_overview, which shows its reader''s passes alone. Definer: no API role reads private.pass_uses.';

create function app.pass_state(revoked_at timestamptz, starts_at timestamptz, ends_at timestamptz, uses_left integer)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return case
    when revoked_at is not null then 'revoked'
    when ends_at <= now() then 'expired'
    when uses_left = 0 then 'used'
    when starts_at > now() then 'not_yet_valid'
    else 'valid' end;
end;
$$;

comment on function app.pass_state(timestamptz, timestamptz, timestamptz, integer) is 'What a pass is now: revoked, expired, used, not_yet_valid or valid.';

grant execute on function app.uses_of_pass(uuid), app.pass_state(timestamptz, timestamptz, timestamptz, integer) to authenticated, service_role;

create view public.passes_overview with (security_invoker = true) as
select
  p.id as pass_id, p.label, p.community_id, p.kind, app.pass_state(p.revoked_at, p.starts_at, p.ends_at, u.uses_left) as state, p.starts_at, p.ends_at, p.max_uses, u.used_count, u.last_used_at,
  p.invitation_id, p.guest_id, p.resident_id, p.kid, p.digest is not null as is_offline, p.revoked_at, p.revoked_reason, p.created_at, p.created_by
from public.passes p
cross join lateral app.uses_of_pass(p.id) u
where p.deleted_at is null;

comment on view public.passes_overview is 'The passes that their reader sees, with what they are worth now and how often they were used.';
comment on column public.passes_overview.pass_id is 'The pass.';
comment on column public.passes_overview.label is 'What a resident calls the own pass.';
comment on column public.passes_overview.community_id is 'The community.';
comment on column public.passes_overview.kind is 'visitor or resident.';
comment on column public.passes_overview.state is 'revoked, expired, used, not_yet_valid or valid. Whether its invitation still lets in, the invitation says.';
comment on column public.passes_overview.starts_at is 'From when on it opens.';
comment on column public.passes_overview.ends_at is 'From this moment on it opens nothing.';
comment on column public.passes_overview.max_uses is 'How often it opens; null: not counted down.';
comment on column public.passes_overview.used_count is 'How often it has.';
comment on column public.passes_overview.last_used_at is 'When it did last.';
comment on column public.passes_overview.invitation_id is 'The invitation of a visitor''s pass.';
comment on column public.passes_overview.guest_id is 'The guest whose it is.';
comment on column public.passes_overview.resident_id is 'The resident whose own it is.';
comment on column public.passes_overview.kid is 'The key that signed it.';
comment on column public.passes_overview.is_offline is 'Whether gates verify it without a line.';
comment on column public.passes_overview.revoked_at is 'When it was revoked.';
comment on column public.passes_overview.revoked_reason is 'Why.';
comment on column public.passes_overview.created_at is 'When it was issued.';
comment on column public.passes_overview.created_by is 'Who issued it.';

grant select on public.passes_overview to authenticated, service_role;

-- The visitor's link -------------------------------------------------------------------------------------------------

create function app.open_visitor_pass(token text)
returns table (state text, pass text, place text, address text, title text, visitor_name text, starts_at timestamptz, ends_at timestamptz, daily_from time, daily_until time, has_days boolean, time_zone text, locale text)
language plpgsql
stable
security definer -- whoever opens a link has no account, and sees this pass and nothing else
set search_path = ''
as $$
declare
  link private.pass_links;
  found_pass public.passes;
  invited public.visitor_invitations;
  problem text;
begin
  select l.* into link from private.pass_links l where l.token_hash = sha256(convert_to(token, 'UTF8'));
  select p.* into found_pass from public.passes p where p.id = link.pass_id and p.deleted_at is null;
  select i.* into invited from public.visitor_invitations i where i.community_id = found_pass.community_id and i.id = found_pass.invitation_id and i.deleted_at is null;
  if invited.id is null or not app.is_live_place(null, invited.community_id) then
    perform app.fail(404, 'pass_not_found', 'There is no pass behind this link.');
  end if;
  starts_at := found_pass.starts_at;
  ends_at := found_pass.ends_at;
  state := app.pass_state(found_pass.revoked_at, starts_at, ends_at, (select u.uses_left from private.pass_uses u where u.pass_id = found_pass.id));
  if state in ('valid', 'not_yet_valid') then
    problem := app.invitation_problem(invited.id, null, now());
    state := case when problem in ('invitation_cancelled', 'host_left') then 'cancelled' when problem in ('expired', 'not_yet_valid', 'outside_schedule') then problem else state end;
  end if;
  select c.name, nullif(concat_ws(', ', c.address, c.city), ''), c.time_zone, c.locale into place, address, time_zone, locale
  from public.communities c where c.id = invited.community_id;
  if state in ('valid', 'not_yet_valid', 'outside_schedule') then
    pass := case when link.sealed is not null then extensions.pgp_sym_decrypt(link.sealed, token) else app.pass_text(found_pass) end;
    if pass is null then
      state := 'unsigned';
      return next;
      return;
    end if;
    title := invited.title;
    visitor_name := coalesce((select g.full_name from public.invitation_guests g where g.community_id = found_pass.community_id and g.id = found_pass.guest_id), invited.visitor_name);
    daily_from := invited.daily_from;
    daily_until := invited.daily_until;
    has_days := invited.recurrence is not null;
  end if;
  return next;
end;
$$;

comment on function app.open_visitor_pass(text) is 'What public.open_visitor_pass does. Definer: whoever opens a link has no account, and sees this pass and nothing else.';

create function public.open_visitor_pass(token text)
returns table (state text, pass text, place text, address text, title text, visitor_name text, starts_at timestamptz, ends_at timestamptz, daily_from time, daily_until time, has_days boolean, time_zone text, locale text)
language sql
stable
set search_path = ''
as $$
  select o.state, o.pass, o.place, o.address, o.title, o.visitor_name, o.starts_at, o.ends_at, o.daily_from, o.daily_until, o.has_days, o.time_zone, o.locale
  from app.open_visitor_pass(token) o
$$;

comment on function public.open_visitor_pass(text) is
  'What a visitor who opens a link sees: the pass and where it leads, while it may still open (state valid, not_yet_valid, outside_schedule); afterwards only the place and why not (used, expired, revoked, cancelled; unsigned: issued for offline gates and never signed). '
  'Says nothing of the host and the unit. For everybody who holds the link; the function visitor-pass makes a page of it. Errors: pass_not_found.';

grant execute on function app.open_visitor_pass(text), public.open_visitor_pass(text) to anon, authenticated, service_role;
