-- Access control: passes.
--
-- Purpose     What somebody shows at a gate: a text of at most 133 characters, mostly as a QR code, signed, with a window of time.
-- Tables      passes, private.pass_uses
-- Functions   for the decision: app.read_pass, app.burn_pass
-- Invariants  One pass, one text: every altered, re-encoded or lengthened text is refused. A text opens nothing by its signature
--             alone: its pass must exist, in this community, under this key, with this window, and not be revoked. A use is counted
--             in one statement that also asks whether there is one left, so that of many at once one gets it.
--
-- The text is ASCII, parts are base64url without padding, numbers are big-endian:
--   v1.<kid>.<payload>.<mac>        payload: byte 1, the pass (16 bytes), not before and expiry (4 bytes each, Unix seconds);
--                                   mac: HMAC-SHA256 under the key of all that stands before its dot
--   v2.<kid>.<payload>.<signature>  the same payload; Ed25519 of all that stands before its dot, verified offline
--   r1.<kid>.<payload>.<mac>        a resident's, new every 30 seconds; payload: the pass (16 bytes) and the step (4 bytes, Unix
--                                   seconds / 30); mac: HMAC-SHA256 under the resident's seed, which follows from key and pass

create type public.pass_kind as enum ('visitor', 'resident');

select app.define_setting('security.pass_clock_skew_seconds', 'integer', '60', '{site,organization,community}',
  'How far clocks may be apart: a pass opens so many seconds before it begins and after it ends. Resident passes allow one step of 30 seconds.', minimum => 0, maximum => 600);

-- Passes -------------------------------------------------------------------------------------------------------------

create table public.passes (
  id uuid not null default extensions.uuidv7(),
  label text,
  community_id uuid not null,
  kind public.pass_kind not null,
  invitation_id uuid,
  guest_id uuid,
  resident_id uuid,
  kid text not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  max_uses integer,
  digest bytea,
  revoked_at timestamptz,
  revoked_reason text,
  like app.row_model including defaults including comments,
  constraint passes_pkey primary key (id),
  constraint passes_community_key unique (community_id, id),
  constraint passes_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint passes_invitation_fkey foreign key (community_id, invitation_id) references public.visitor_invitations (community_id, id) on delete cascade,
  constraint passes_guest_fkey foreign key (community_id, invitation_id, guest_id) references public.invitation_guests (community_id, invitation_id, id) on delete cascade,
  constraint passes_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete cascade,
  -- Keys go with their community alone.
  constraint passes_key_fkey foreign key (community_id, kid) references private.pass_keys (community_id, kid) on delete cascade,
  constraint passes_label_check check (app.is_name(label) and (label is null or kind = 'resident')),
  constraint passes_subject_check check (
    (kind = 'visitor') = (invitation_id is not null) and (kind = 'resident') = (resident_id is not null) and (guest_id is null or invitation_id is not null)),
  constraint passes_window_check check (
    starts_at < ends_at and ends_at <= starts_at + interval '400 days' and starts_at >= timestamptz '2000-01-01 00:00:00+00' and ends_at < timestamptz '2100-01-01 00:00:00+00'
    and starts_at = date_trunc('second', starts_at, 'UTC') and ends_at = date_trunc('second', ends_at, 'UTC')),
  constraint passes_max_uses_check check (max_uses between 1 and 10000 and (max_uses is null or kind = 'visitor')),
  constraint passes_digest_check check (octet_length(digest) = 32 and (digest is null or kind = 'visitor')),
  constraint passes_revoked_check check ((revoked_at is null) = (revoked_reason is null) and length(revoked_reason) between 1 and 500)
);

create unique index passes_resident_key on public.passes (resident_id) where resident_id is not null and revoked_at is null and deleted_at is null;
create unique index passes_invitation_key on public.passes (invitation_id, guest_id) nulls not distinct where invitation_id is not null and revoked_at is null and deleted_at is null;
create index passes_resident_idx on public.passes (community_id, resident_id) where resident_id is not null;
create index passes_invitation_idx on public.passes (community_id, invitation_id, guest_id) where invitation_id is not null;
create index passes_key_idx on public.passes (community_id, kid);
create index passes_newest_idx on public.passes (community_id, starts_at);

comment on table public.passes is
  'The passes that were handed out. Made by issue_pass and resident_pass_seed, revoked by revoke_pass. What a pass reads is not stored: whoever reads the table can show none.';
comment on column public.passes.label is 'What the resident calls it: My telephone. A visitor''s goes by its invitation.';
comment on column public.passes.kind is 'visitor: of an invitation. resident: a resident''s own, which reads differently every 30 seconds.';
comment on column public.passes.invitation_id is 'The invitation that it is a pass to.';
comment on column public.passes.guest_id is 'The guest of the invitation whose it is; null: whoever holds it.';
comment on column public.passes.resident_id is 'Whose own it is.';
comment on column public.passes.kid is 'The key that signed it.';
comment on column public.passes.starts_at is 'From when on it opens. In its signed text too, and so never changed.';
comment on column public.passes.ends_at is 'From this moment on it opens nothing.';
comment on column public.passes.max_uses is 'How often it opens; null: as often as its window, its invitation and its holder''s rights allow.';
comment on column public.passes.digest is 'Of a pass for offline gates: SHA-256 of its whole text. The database cannot check an Ed25519 signature, and accepts this text alone.';
comment on column public.passes.revoked_at is 'When it was revoked; for good.';
comment on column public.passes.revoked_reason is 'Why.';

select app.track('public.passes', secrets => '{digest}');
select app.register_personal_data('public.passes', 'resident_id', 'resident', on_erase => 'remove', on_merge => 'archive', clash_on => '{kind}',
  columns => '{"label": null}', exported => '{label,kind,starts_at,ends_at,revoked_at}');

create trigger _010_frozen_terms before update of kind, invitation_id, guest_id, kid, starts_at, ends_at, max_uses on public.passes for each row
  when ((old.kind, old.invitation_id, old.guest_id, old.kid, old.starts_at, old.ends_at, old.max_uses)
    is distinct from (new.kind, new.invitation_id, new.guest_id, new.kid, new.starts_at, new.ends_at, new.max_uses))
  execute function app.tg__frozen('subject, key, window and uses');

create policy passes_select on public.passes for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (
      (select 'passes.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('passes.read'))
      or resident_id in (select app.my_residents())
      or invitation_id in (select app.visitor_invitations_with_me())
    )
  );
grant select on public.passes to authenticated;
grant select, insert, update on public.passes to service_role;

-- Uses ---------------------------------------------------------------------------------------------------------------

create table private.pass_uses (
  pass_id uuid not null,
  community_id uuid not null,
  uses_left integer,
  used_count integer not null default 0,
  last_step integer,
  last_used_at timestamptz,
  is_dead boolean not null default false,
  constraint pass_uses_pkey primary key (pass_id),
  constraint pass_uses_pass_fkey foreign key (community_id, pass_id) references public.passes (community_id, id) on delete cascade,
  constraint pass_uses_count_check check (used_count >= 0 and uses_left >= 0)
)
-- Room for the next version of a row on its page: a use changes no index.
with (fillfactor = 70);

create index pass_uses_pass_idx on private.pass_uses (community_id, pass_id);

comment on table private.pass_uses is 'How often each pass was used. Apart from passes, so that a use is one write of a narrow row: what is known of each use is in the access log.';
comment on column private.pass_uses.pass_id is 'The pass.';
comment on column private.pass_uses.community_id is 'Its community.';
comment on column private.pass_uses.uses_left is 'How many uses are left; null: they are not counted down.';
comment on column private.pass_uses.used_count is 'How often it was used.';
comment on column private.pass_uses.last_step is 'Of a resident''s pass: the newest step that was used. Neither it nor an older one opens again.';
comment on column private.pass_uses.last_used_at is 'When it was used last.';
comment on column private.pass_uses.is_dead is 'Whether the pass is revoked or archived: here too, so that a use and a revocation at once meet in one row.';

alter table private.pass_uses enable row level security;
create policy pass_uses_select on private.pass_uses for select to authenticated using (false);

create function app.tg_passes__uses()
returns trigger
language plpgsql
security definer -- no API role writes private.pass_uses
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    insert into private.pass_uses (pass_id, community_id, uses_left, is_dead)
    values (new.id, new.community_id, new.max_uses, num_nonnulls(new.revoked_at, new.deleted_at) > 0);
  else
    update private.pass_uses u set is_dead = num_nonnulls(new.revoked_at, new.deleted_at) > 0 where u.pass_id = new.id;
  end if;
  return null;
end;
$$;

comment on function app.tg_passes__uses() is 'AFTER INSERT, and AFTER UPDATE that revokes, archives or restores: keeps private.pass_uses. Definer: no API role writes it.';

create trigger _300_uses after insert on public.passes for each row execute function app.tg_passes__uses();
create trigger _300_uses_dead after update of revoked_at, deleted_at on public.passes for each row
  when ((old.revoked_at, old.deleted_at) is distinct from (new.revoked_at, new.deleted_at)) execute function app.tg_passes__uses();

create function app.tg_passes__emit()
returns trigger
language plpgsql
security definer -- calls app.emit, which no API role may
set search_path = ''
as $$
begin
  perform app.emit('pass.' || case tg_op when 'INSERT' then 'issued' else 'revoked' end, new.community_id,
    jsonb_build_object('pass_id', new.id, 'kind', new.kind, 'invitation_id', new.invitation_id, 'resident_id', new.resident_id));
  return null;
end;
$$;

comment on function app.tg_passes__emit() is 'AFTER INSERT, and AFTER UPDATE that revokes: events pass.issued and pass.revoked, with ids alone. Definer: calls app.emit.';

create trigger _600_emit_issued after insert on public.passes for each row execute function app.tg_passes__emit();
create trigger _600_emit_revoked after update of revoked_at on public.passes for each row
  when (old.revoked_at is null and new.revoked_at is not null) execute function app.tg_passes__emit();

-- Reading and burning ------------------------------------------------------------------------------------------------

create function app.read_pass(
  community uuid, presented text, moment timestamptz, out reason text, out pass_id uuid, out kid text, out step integer,
  out invitation_id uuid, out guest_id uuid, out resident_id uuid
)
language plpgsql
stable
set search_path = ''
as $$
declare
  version constant text := left(presented, 2);
  size constant integer := case version when 'v1' then 34 when 'v2' then 34 when 'r1' then 27 end; -- of the payload, in characters
  payload bytea;
  secret bytea;
  found_by record;
  told_step bigint;
  skew interval;
begin
  -- What it is: letters, three points in their places. Every expression here is made ready anew for each decision, which costs more than the
  -- signature: so there are few, and no helpers.
  -- The bits that the last characters have to spare are zero, or several texts would mean one pass. A visitor's payload begins with the byte 1.
  if (octet_length(presented) <= 200
    and presented like concat('__.________.', repeat('_', size), '.', repeat('_', case version when 'v2' then 86 else 43 end))
    and presented ~ '^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$'
    and case size
      when 27 then strpos('AEIMQUYcgkosw048', substr(presented, 39, 1)) > 0
      else substr(presented, 13, 1) = 'A' and strpos('QRSTUVWXYZabcdef', substr(presented, 14, 1)) > 0 and strpos('AQgw', substr(presented, 46, 1)) > 0 end
    and strpos(case version when 'v2' then 'AQgw' else 'AEIMQUYcgkosw048' end, right(presented, 1)) > 0) is not true
  then
    reason := 'malformed_pass';
    return;
  end if;
  payload := decode(translate(substr(presented, 13, size), '-_', '+/') || case size when 27 then '=' else '==' end, 'base64');
  pass_id := encode(substr(payload, case size when 27 then 1 else 2 end, 16), 'hex')::uuid;

  -- Whose key, and which pass.
  select k.kid, k.community_id, k.algorithm, k.vault_secret_id, k.secret, k.revoked_at as key_revoked_at, k.destroyed_at,
    p.id, p.kind, p.digest, p.starts_at, p.ends_at, num_nonnulls(p.revoked_at, p.deleted_at) > 0 as is_revoked, p.invitation_id, p.guest_id, p.resident_id
  into found_by
  from private.pass_keys k
  left join public.passes p on p.community_id = read_pass.community and p.id = read_pass.pass_id and p.kid = k.kid
  where k.kid = substr(presented, 4, 8);
  kid := found_by.kid;
  if found_by.vault_secret_id is not null and version <> 'v2' then
    select app.pass_secret(k) into secret from private.pass_keys k where k.kid = read_pass.kid;
  end if;

  -- Whether the key signed it. Hashes are compared: comparing bytes ends at the first that differs, and its time says where.
  -- Not true and not unknown: a secret that was lost verifies nothing.
  reason := case
    when found_by.kid is null or (found_by.algorithm = 'ed25519') <> (version = 'v2') then 'unknown_key'
    when found_by.community_id <> community then 'wrong_community'
    when found_by.key_revoked_at is not null then 'key_revoked'
    when version = 'v2' then case when (sha256(convert_to(presented, 'UTF8')) = found_by.digest) is not true then 'bad_signature' end
    when found_by.destroyed_at is not null then 'expired' -- a key is not destroyed before everything under it has
    when (sha256(extensions.hmac(convert_to(left(presented, -44), 'UTF8'),
        case version
          when 'r1' then extensions.hmac(convert_to('resident.' || pass_id, 'UTF8'), coalesce(secret, decode(found_by.secret, 'base64')), 'sha256')
          else coalesce(secret, decode(found_by.secret, 'base64')) end,
        'sha256'))
      = sha256(decode(translate(right(presented, 43), '-_', '+/') || '=', 'base64'))) is not true then 'bad_signature'
    when found_by.id is null then 'unknown_pass' end;
  -- Signed with a key that was stolen: what the key signs here is what was issued, nothing else.
  if reason is null and ((found_by.kind = 'resident') <> (version = 'r1') or (found_by.digest is not null) <> (version = 'v2')
    or (version <> 'r1' and substr(payload, 18, 8) <> int8send((extract(epoch from found_by.starts_at)::bigint << 32) | extract(epoch from found_by.ends_at)::bigint)))
  then
    reason := 'bad_signature';
  end if;
  if reason <> 'expired' then
    return;
  end if;
  -- What a text says of itself is not believed before its signature holds.
  invitation_id := found_by.invitation_id;
  guest_id := found_by.guest_id;
  resident_id := found_by.resident_id;

  -- Whether it opens something now.
  if reason is not null then
    return;
  elsif found_by.is_revoked then
    reason := 'revoked';
  elsif coalesce(moment, now()) < found_by.starts_at or coalesce(moment, now()) >= found_by.ends_at then
    skew := make_interval(secs => app.setting('security.pass_clock_skew_seconds', community)::integer);
    reason := case
      when coalesce(moment, now()) < found_by.starts_at - skew then 'not_yet_valid'
      when coalesce(moment, now()) >= found_by.ends_at + skew then 'expired'
    end;
  end if;
  if reason is null and version = 'r1' then
    told_step := ('x' || encode(substr(payload, 17, 4), 'hex'))::bit(32)::bigint;
    if abs(told_step - floor(extract(epoch from coalesce(moment, now())) / 30)) > 1 then
      reason := 'stale';
    else
      step := told_step;
    end if;
  end if;
end;
$$;

comment on function app.read_pass(uuid, text, timestamptz) is
  'What a presented text is worth in a community at a moment: reason null, or malformed_pass, unknown_key, wrong_community, key_revoked, bad_signature, unknown_pass, revoked, not_yet_valid, expired, stale. '
  'pass_id, kid and step as far as they can be told; a reason before revoked means that they are claims of whoever wrote the text. invitation_id, guest_id and resident_id, of which a pass has some, '
  'once its signature holds. Writes nothing, never raises; the use is burn_pass''s. '
  'Whether the holder may enter (invitation, holds, blacklist) is the decision''s. Not executable by API roles.';

create function app.burn_pass(pass uuid, step integer, moment timestamptz)
returns text
language plpgsql
volatile
set search_path = ''
as $$
begin
  update private.pass_uses u
  set used_count = u.used_count + 1, uses_left = u.uses_left - 1, last_step = coalesce(burn_pass.step, u.last_step), last_used_at = moment
  where u.pass_id = pass and not u.is_dead
    and (u.uses_left is null or u.uses_left > 0)
    and (burn_pass.step is null or u.last_step is null or burn_pass.step > u.last_step);
  if found then
    return null;
  end if;
  return coalesce((select case when u.is_dead then 'revoked' else 'already_used' end from private.pass_uses u where u.pass_id = pass), 'unknown_pass');
end;
$$;

comment on function app.burn_pass(uuid, integer, timestamptz) is
  'Takes one use of a pass, and of a resident''s pass its step, in one statement: null, or already_used, revoked, unknown_pass, and then nothing is written. Of many at once as many succeed as there are uses. Not executable by API roles.';

create function app.pass_window(starts_at timestamptz, ends_at timestamptz)
returns bytea
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
begin
  return int8send((extract(epoch from starts_at)::bigint << 32) | extract(epoch from ends_at)::bigint);
end;
$$;

comment on function app.pass_window(timestamptz, timestamptz) is 'The window of a pass as its text holds it: two times four bytes.';

create function app.pass_payload(pass public.passes)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return app.base64url('\x01'::bytea || decode(replace(pass.id::text, '-', ''), 'hex') || app.pass_window(pass.starts_at, pass.ends_at));
end;
$$;

comment on function app.pass_payload(public.passes) is 'The third part of a visitor''s pass.';

create function app.pass_text(pass public.passes)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  signed constant text := format('v1.%s.%s', pass.kid, app.pass_payload(pass));
  secret bytea;
begin
  select app.pass_secret(k) into secret from private.pass_keys k where k.kid = pass.kid and k.algorithm = 'hs256';
  return signed || '.' || app.base64url(extensions.hmac(convert_to(signed, 'UTF8'), secret, 'sha256'));
end;
$$;

comment on function app.pass_text(public.passes) is 'What a visitor''s pass reads; null for an offline one, which the database cannot sign, and when its key was destroyed. Not executable by API roles.';

create function app.resident_seed(pass public.passes)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  secret bytea;
begin
  select app.pass_secret(k) into secret from private.pass_keys k where k.kid = pass.kid;
  return app.base64url(extensions.hmac(convert_to('resident.' || pass.id, 'UTF8'), secret, 'sha256'));
end;
$$;

comment on function app.resident_seed(public.passes) is 'What a resident''s app makes passes from: one seed per pass, from which the key does not follow. Not executable by API roles.';

create function app.resident_pass_text(pass uuid, kid text, seed text, step integer)
returns text
language plpgsql
immutable
set search_path = ''
as $$
declare
  signed constant text := format('r1.%s.%s', kid, app.base64url(decode(replace(pass::text, '-', '') || lpad(to_hex(step), 8, '0'), 'hex')));
begin
  return signed || '.' || app.base64url(extensions.hmac(convert_to(signed, 'UTF8'), decode(translate(seed, '-_', '+/') || '=', 'base64'), 'sha256'));
end;
$$;

comment on function app.resident_pass_text(uuid, text, text, integer) is
  'What a resident''s pass reads in a step (Unix seconds / 30), as the resident''s app makes it: for tests and for whoever writes such an app.';
