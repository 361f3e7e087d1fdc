-- Access control: entry codes.
--
-- Purpose     A few digits for a visitor who has nothing else in hand.
-- Tables      private.entry_code_keys, private.entry_codes, private.entry_code_attempts
-- RPCs        issue_entry_code, revoke_entry_code
-- Invariants  A code is shown once and stored as a keyed hash. Of the codes that count at one time in a community no two are equal: a
--             constraint refuses it. A wrong code is remembered and never raises: per device (or guard) and access point, a few
--             within a time lock it, the right code included, for longer each time.

select app.define_setting('security.entry_code_length', 'integer', '6', '{site,organization,community}',
  'How many digits an entry code has.', minimum => 6, maximum => 8);
select app.define_setting('security.entry_code_attempts', 'integer', '5', '{site,organization,community}',
  'How many wrong entry codes within security.entry_code_lock_minutes a device or guard may enter at one access point before none is taken.', minimum => 1, maximum => 50);
select app.define_setting('security.entry_code_lock_minutes', 'integer', '15', '{site,organization,community}',
  'For how many minutes no entry code is taken there; twice as long each time within a day.', minimum => 1, maximum => 1440);

-- Keys -----------------------------------------------------------------------------------------------------------------

create table private.entry_code_keys (
  community_id uuid not null,
  vault_secret_id uuid,
  secret text,
  constraint entry_code_keys_pkey primary key (community_id),
  constraint entry_code_keys_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint entry_code_keys_place_check check (num_nonnulls(vault_secret_id, secret) = 1)
);

comment on table private.entry_code_keys is 'Under which key a community''s entry codes are hashed: a pointer into Vault, or where there is no Vault the key itself. A million codes are soon tried; without the key their hashes say nothing.';
comment on column private.entry_code_keys.community_id is 'The community.';
comment on column private.entry_code_keys.vault_secret_id is 'The secret in Vault.';
comment on column private.entry_code_keys.secret is 'The key, where there is no Vault.';

alter table private.entry_code_keys enable row level security;
create policy entry_code_keys_select on private.entry_code_keys for select to authenticated using (false);

create function app.entry_code_hash(community uuid, code text)
returns bytea
language plpgsql
volatile
set search_path = ''
as $$
declare
  fresh constant text := encode(extensions.gen_random_bytes(32), 'hex');
  known private.entry_code_keys;
  in_vault uuid;
begin
  select k.* into known from private.entry_code_keys k where k.community_id = community;
  if known.community_id is null then
    -- One of two that come at once makes the key.
    perform pg_advisory_xact_lock(hashtextextended('entry_code_key:' || community, 0));
    select k.* into known from private.entry_code_keys k where k.community_id = community;
  end if;
  if known.community_id is null then
    in_vault := app.keep_secret('vicinia-entry-codes-' || community, 'Hashes a community''s entry codes.', fresh);
    insert into private.entry_code_keys (community_id, vault_secret_id, secret) values (community, in_vault, case when in_vault is null then fresh end)
    returning * into known;
  end if;
  return extensions.hmac(
    convert_to(code, 'UTF8'), decode(case when known.vault_secret_id is null then known.secret else app.kept_secret(known.vault_secret_id) end, 'hex'), 'sha256');
end;
$$;

comment on function app.entry_code_hash(uuid, text) is 'A code under the community''s key, which is made when first needed. Not executable by API roles.';

-- Codes ----------------------------------------------------------------------------------------------------------------

create table private.entry_codes (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  invitation_id uuid not null,
  guest_id uuid,
  code_hash bytea not null,
  during tstzrange not null,
  issued_at timestamptz not null default now(),
  revoked_at timestamptz,
  constraint entry_codes_pkey primary key (id),
  constraint entry_codes_invitation_fkey foreign key (community_id, invitation_id) references public.visitor_invitations (community_id, id) on delete cascade,
  constraint entry_codes_guest_fkey foreign key (community_id, invitation_id, guest_id) references public.invitation_guests (community_id, invitation_id, id) on delete cascade,
  constraint entry_codes_hash_check check (octet_length(code_hash) = 32),
  constraint entry_codes_during_check check (not isempty(during) and not lower_inf(during) and not upper_inf(during)),
  constraint entry_codes_code_excl exclude using gist (community_id with =, code_hash with =, during with &&) where (revoked_at is null)
);

create unique index entry_codes_holder_key on private.entry_codes (invitation_id, guest_id) nulls not distinct where revoked_at is null;
create index entry_codes_invitation_idx on private.entry_codes (community_id, invitation_id, guest_id);

comment on table private.entry_codes is 'Codes of visitors, as keyed hashes. An invitation, and each guest of its list, has one that counts.';
comment on column private.entry_codes.id is 'The code''s id.';
comment on column private.entry_codes.community_id is 'The community.';
comment on column private.entry_codes.invitation_id is 'The invitation for which it stands.';
comment on column private.entry_codes.guest_id is 'Who of the invitation''s list it is for.';
comment on column private.entry_codes.code_hash is 'HMAC-SHA256 of the digits under the community''s key.';
comment on column private.entry_codes.during is 'The time of the invitation, within which no other code of the community is the same.';
comment on column private.entry_codes.issued_at is 'When it was made.';
comment on column private.entry_codes.revoked_at is 'When it was taken back: by a new one, or with its invitation.';

alter table private.entry_codes enable row level security;
create policy entry_codes_select on private.entry_codes for select to authenticated using (false);

create function app.store_entry_code(invitation uuid, guest uuid, code text)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
begin
  insert into private.entry_codes (community_id, invitation_id, guest_id, code_hash, during)
  select i.community_id, i.id, guest, app.entry_code_hash(i.community_id, code), tstzrange(greatest(i.starts_at, now()), i.ends_at)
  from public.visitor_invitations i where i.id = invitation
  on conflict do nothing;
  return found;
end;
$$;

comment on function app.store_entry_code(uuid, uuid, text) is
  'Keeps a code for an invitation or a guest; false when another that counts at the same time has the same digits. Two that come at once wait for each other. Not executable by API roles.';

create function app.issue_entry_code(invitation uuid, guest uuid, is_visible boolean)
returns table (code text, starts_at timestamptz, ends_at timestamptz)
language plpgsql
volatile
security definer -- API roles may neither read nor write codes
set search_path = ''
as $$
declare
  given public.visitor_invitations;
  digits integer;
begin
  given := app.changeable_invitation(invitation, is_visible);
  if app.is_over(given) then
    perform app.fail(409, 'invitation_over', 'The invitation was cancelled, or is over.');
  elsif guest is not null and not exists (
    select from public.invitation_guests g where g.community_id = given.community_id and g.invitation_id = given.id and g.id = guest and g.status = 'invited' and g.deleted_at is null)
  then
    perform app.fail(404, 'guest_not_found', 'There is no guest with this id on the list who has yet to come.');
  end if;
  digits := app.setting('security.entry_code_length', given.community_id)::integer;
  update private.entry_codes c set revoked_at = now() where c.invitation_id = given.id and c.guest_id is not distinct from guest and c.revoked_at is null;
  for attempt in 1 .. 100 loop
    -- 48 random bits: what is left of the division favours no digit that anybody could notice.
    code := lpad((('x' || encode(extensions.gen_random_bytes(6), 'hex'))::bit(48)::bigint % (10::bigint ^ digits)::bigint)::text, digits, '0');
    if app.store_entry_code(given.id, guest, code) then
      starts_at := given.starts_at;
      ends_at := given.ends_at;
      return next;
      return;
    end if;
  end loop;
  perform app.fail(409, 'codes_exhausted', 'There are too many codes at this time for one that no other has.', 'Raise security.entry_code_length.');
end;
$$;

comment on function app.issue_entry_code(uuid, uuid, boolean) is 'What public.issue_entry_code does. Definer: no API role reads or writes codes.';

create function public.issue_entry_code(invitation_id uuid, guest_id uuid default null)
returns table (code text, starts_at timestamptz, ends_at timestamptz)
language sql
volatile
set search_path = ''
as $$ select * from app.issue_entry_code(invitation_id, guest_id, app.sees_row('visitor_invitations', invitation_id)) $$;

comment on function public.issue_entry_code(uuid, uuid) is
  'Makes the entry code of an invitation, or of a guest of its list, and tells it once; the one before counts no more. Takes visits.invite, or visits.invite_own in the unit. '
  'Errors: invitation_not_found, permission_denied, invitation_over, guest_not_found, codes_exhausted.';

create function app.revoke_entry_code(invitation uuid, guest uuid, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- API roles may not write codes
set search_path = ''
as $$
declare
  given constant public.visitor_invitations := app.changeable_invitation(invitation, is_visible);
begin
  update private.entry_codes c set revoked_at = now() where c.invitation_id = given.id and c.guest_id is not distinct from guest and c.revoked_at is null;
end;
$$;

comment on function app.revoke_entry_code(uuid, uuid, boolean) is 'What public.revoke_entry_code does. Definer: no API role writes codes.';

create function public.revoke_entry_code(invitation_id uuid, guest_id uuid default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.revoke_entry_code(invitation_id, guest_id, app.sees_row('visitor_invitations', invitation_id)) $$;

comment on function public.revoke_entry_code(uuid, uuid) is
  'Takes back the entry code of an invitation, or of a guest; if there is none, nothing happens. Takes visits.invite, or visits.invite_own in the unit. Errors: invitation_not_found, permission_denied.';

grant execute on function
  app.issue_entry_code(uuid, uuid, boolean), public.issue_entry_code(uuid, uuid), app.revoke_entry_code(uuid, uuid, boolean), public.revoke_entry_code(uuid, uuid)
to authenticated, service_role;

create function app.tg_visitor_invitations__codes()
returns trigger
language plpgsql
security definer -- API roles may not write codes
set search_path = ''
as $$
begin
  update private.entry_codes c
  set revoked_at = case when new.status = 'cancelled' then now() end, during = case when new.status = 'cancelled' then c.during else tstzrange(new.starts_at, new.ends_at) end
  where c.community_id = new.community_id and c.invitation_id = new.id and c.revoked_at is null;
  return null;
exception when exclusion_violation then
  perform app.fail(409, 'entry_code_taken', 'In that time another visitor has the same entry code.', 'Take the code back, change the time, and make a new one.');
  return null;
end;
$$;

comment on function app.tg_visitor_invitations__codes() is
  'AFTER an invitation is cancelled or moved: its codes go, or move along (409 entry_code_taken where another has the same digits then). Definer: no API role writes codes.';

create trigger _510_codes_follow after update of status, starts_at, ends_at on public.visitor_invitations for each row
  when ((old.status, old.starts_at, old.ends_at) is distinct from (new.status, new.starts_at, new.ends_at))
  execute function app.tg_visitor_invitations__codes();

create function app.tg_invitation_guests__codes()
returns trigger
language plpgsql
security definer -- API roles may not write codes
set search_path = ''
as $$
begin
  update private.entry_codes c set revoked_at = now() where c.community_id = new.community_id and c.invitation_id = new.invitation_id and c.guest_id = new.id and c.revoked_at is null;
  return null;
end;
$$;

comment on function app.tg_invitation_guests__codes() is 'AFTER a guest is taken off the list: the guest''s code goes. Definer: no API role writes codes.';

create trigger _510_codes_follow after update of status on public.invitation_guests for each row
  when (old.status <> 'cancelled' and new.status = 'cancelled') execute function app.tg_invitation_guests__codes();

-- At the gate ----------------------------------------------------------------------------------------------------------

create table private.entry_code_attempts (
  scope uuid not null,
  access_point_id uuid not null,
  community_id uuid not null,
  failures integer not null default 0,
  counting_began_at timestamptz not null,
  failed_at timestamptz,
  locks integer not null default 0,
  unlocks_at timestamptz,
  constraint entry_code_attempts_pkey primary key (scope, access_point_id),
  constraint entry_code_attempts_point_fkey foreign key (community_id, access_point_id) references public.access_points (community_id, id) on delete cascade
);

create index entry_code_attempts_point_idx on private.entry_code_attempts (community_id, access_point_id);

comment on table private.entry_code_attempts is 'How many wrong entry codes were entered by whom at which access point. A right one forgives none.';
comment on column private.entry_code_attempts.scope is 'The device, or the user, that enters codes.';
comment on column private.entry_code_attempts.access_point_id is 'The access point.';
comment on column private.entry_code_attempts.community_id is 'The community.';
comment on column private.entry_code_attempts.failures is 'Wrong codes since counting_began_at.';
comment on column private.entry_code_attempts.counting_began_at is 'Since when is counted.';
comment on column private.entry_code_attempts.failed_at is 'When the last wrong code came.';
comment on column private.entry_code_attempts.locks is 'How often it was locked lately; forgotten after a day without wrong codes.';
comment on column private.entry_code_attempts.unlocks_at is 'Until when no code is taken.';

alter table private.entry_code_attempts enable row level security;
create policy entry_code_attempts_select on private.entry_code_attempts for select to authenticated using (false);

create function app.count_wrong_code(seen private.entry_code_attempts, moment timestamptz)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  most constant integer := app.setting('security.entry_code_attempts', seen.community_id)::integer;
  minutes constant integer := app.setting('security.entry_code_lock_minutes', seen.community_id)::integer;
  is_new constant boolean := seen.counting_began_at <= moment - make_interval(mins => minutes);
  wrong constant integer := case when is_new then 0 else seen.failures end + 1;
  locked_before constant integer := case when seen.failed_at <= moment - interval '1 day' then 0 else seen.locks end;
begin
  update private.entry_code_attempts a
  set failures = case when wrong >= most then 0 else wrong end,
    counting_began_at = case when is_new then moment else a.counting_began_at end,
    failed_at = moment,
    locks = locked_before + case when wrong >= most then 1 else 0 end,
    unlocks_at = case when wrong >= most then moment + least(make_interval(mins => minutes) * 2 ^ least(locked_before, 12), interval '1 day') end
  where a.scope = seen.scope and a.access_point_id = seen.access_point_id;
end;
$$;

comment on function app.count_wrong_code(private.entry_code_attempts, timestamptz) is 'Counts a wrong code for whoever holds the lock on the row, and locks when there were too many. Not executable by API roles.';

create function app.check_entry_code(community uuid, code text, point uuid, device uuid, caller uuid, moment timestamptz)
returns table (reason text, invitation_id uuid, guest_id uuid)
language plpgsql
volatile
security definer -- reads codes and counts wrong ones for the gates
set search_path = ''
as $$
declare
  seen private.entry_code_attempts;
  hash bytea;
  known private.entry_codes;
begin
  -- One code at a time per device and access point: a thousand at once are counted one by one.
  insert into private.entry_code_attempts as a (scope, access_point_id, community_id, counting_began_at)
  values (coalesce(device, caller), point, check_entry_code.community, moment)
  on conflict on constraint entry_code_attempts_pkey do update set scope = a.scope
  returning a.* into seen;
  if seen.unlocks_at > moment then
    return query select 'code_locked', null::uuid, null::uuid;
    return;
  end if;

  if code ~ '^[0-9]{6,8}$' then
    hash := app.entry_code_hash(check_entry_code.community, code);
    select c.* into known from private.entry_codes c
    where c.community_id = check_entry_code.community and c.code_hash = hash and c.during @> moment and c.revoked_at is null;
  end if;
  if known.id is not null then
    return query select null::text, known.invitation_id, known.guest_id;
    return;
  end if;
  perform app.count_wrong_code(seen, moment);
  return query select 'code_unknown', null::uuid, null::uuid;
end;
$$;

comment on function app.check_entry_code(uuid, text, uuid, uuid, uuid, timestamptz) is
  'Whose entry code it is; reason is null, code_unknown (counted, whatever else becomes of the transaction that commits), or code_locked: too many wrong ones by this device (or caller) at this access point. '
  'Never raises for a wrong code. moment is the server''s. Definer: reads codes and counts wrong ones for the gates; not executable by API roles.';
