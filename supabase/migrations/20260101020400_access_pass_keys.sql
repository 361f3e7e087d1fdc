-- Access control: the keys that sign passes.
--
-- Purpose     One signing key per community and algorithm: hs256 (HMAC-SHA256) for passes that the database verifies, ed25519 for
--             passes that a gate without a line verifies and cannot forge.
-- Tables      private.pass_keys
-- RPCs        pass_keys, rotate_pass_key, revoke_pass_key, pass_public_keys; for the function issue-pass: pass_signing_key, add_pass_key
-- Invariants  A key signs for one community. A rotated key signs nothing from then on and verifies what it signed until the last of
--             it has run out, when it is destroyed. A revoked key verifies nothing, and every pass under it is revoked with it.
--             Secrets are in Vault where there is one; no API role reads them, but for the Ed25519 key, which the secret key
--             hands to the function that signs.
--
-- Keys are made when the first pass needs one.

select app.define_permission('passes.read', 'community', 'See passes and the keys that sign them', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager}');
select app.define_permission('passes.manage', 'community', 'Revoke passes, rotate and revoke their keys, give keys to gates that verify offline', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager}');

create type public.pass_algorithm as enum ('hs256', 'ed25519');

select app.define_action('PASS_KEY_MADE', 'A key that signs passes was made.');
select app.define_action('PASS_KEY_ROTATED', 'A key signs passes no longer; what it signed stays valid.');
select app.define_action('PASS_KEY_REVOKED', 'A key that signs passes was revoked, and every pass under it.');

-- Keys ---------------------------------------------------------------------------------------------------------------

create table private.pass_keys (
  kid text not null,
  community_id uuid not null,
  algorithm public.pass_algorithm not null,
  vault_secret_id uuid,
  secret text,
  public_key bytea,
  created_at timestamptz not null default now(),
  retired_at timestamptz,
  revoked_at timestamptz,
  revoked_reason text,
  destroyed_at timestamptz,
  constraint pass_keys_pkey primary key (kid),
  constraint pass_keys_community_key unique (community_id, kid),
  constraint pass_keys_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint pass_keys_kid_check check (kid ~ '^[a-z2-7]+$' and length(kid) = 8),
  constraint pass_keys_secret_check check (num_nonnulls(vault_secret_id, secret) = case when destroyed_at is null then 1 else 0 end),
  constraint pass_keys_public_key_check check ((algorithm = 'ed25519') = (public_key is not null) and octet_length(public_key) = 32),
  constraint pass_keys_revoked_check check ((revoked_at is null) = (revoked_reason is null) and length(revoked_reason) between 1 and 500),
  constraint pass_keys_order_check check (retired_at is not null or num_nonnulls(revoked_at, destroyed_at) = 0)
);

create unique index pass_keys_signing_key on private.pass_keys (community_id, algorithm) where retired_at is null;

comment on table private.pass_keys is 'The keys that sign and verify passes. One signs per community and algorithm; those before it verify until their last pass has run out.';
comment on column private.pass_keys.kid is 'What a pass names its key by: eight random characters of base32. No secret.';
comment on column private.pass_keys.community_id is 'The community whose passes it signs, and no other''s.';
comment on column private.pass_keys.algorithm is 'hs256: HMAC-SHA256, verified by the database. ed25519: verified by anybody with public_key.';
comment on column private.pass_keys.vault_secret_id is 'The secret in Vault: 32 bytes in base64.';
comment on column private.pass_keys.secret is 'The secret, where there is no Vault.';
comment on column private.pass_keys.public_key is 'The public half of an Ed25519 key, 32 bytes.';
comment on column private.pass_keys.created_at is 'When it was made.';
comment on column private.pass_keys.retired_at is 'Since when it signs no more; null for the one that signs.';
comment on column private.pass_keys.revoked_at is 'When it was revoked: nothing that it signed opens anything since.';
comment on column private.pass_keys.revoked_reason is 'Why.';
comment on column private.pass_keys.destroyed_at is 'When its secret was destroyed.';

alter table private.pass_keys enable row level security;
create policy pass_keys_select on private.pass_keys for select to authenticated using (false);

-- Making and reading them --------------------------------------------------------------------------------------------

create function app.new_pass_kid()
returns text
language sql
volatile
set search_path = ''
as $$
  select string_agg(substr('abcdefghijklmnopqrstuvwxyz234567', 1 + (get_byte(r.bytes, n) & 31), 1), '')
  from (select extensions.gen_random_bytes(8) as bytes) r cross join generate_series(0, 7) n
$$;

comment on function app.new_pass_kid() is 'Eight random characters of base32: 40 bits, told apart over the whole installation. Not executable by API roles.';

create function app.make_pass_key(community uuid, algorithm public.pass_algorithm, secret bytea, public_key bytea default null)
returns text
language plpgsql
volatile
set search_path = ''
as $$
declare
  made constant text := app.new_pass_kid();
  told constant text := encode(secret, 'base64');
  in_vault uuid;
begin
  -- The row first, so that of two at once the second finds the first's key and leaves nothing in Vault.
  insert into private.pass_keys as k (kid, community_id, algorithm, secret, public_key) values (made, community, algorithm, told, public_key)
  on conflict do nothing;
  if not found then
    return null;
  end if;
  in_vault := app.keep_secret('vicinia-pass-' || made, 'Signs passes of a community.', told);
  if in_vault is not null then
    update private.pass_keys k set vault_secret_id = in_vault, secret = null where k.kid = made;
  end if;
  perform app.record_action('PASS_KEY_MADE', community, details => jsonb_build_object('kid', made, 'algorithm', algorithm));
  return made;
end;
$$;

comment on function app.make_pass_key(uuid, public.pass_algorithm, bytea, bytea) is
  'Stores a new signing key; null when the community has one already. Not executable by API roles.';

create function app.signing_pass_key(community uuid)
returns text
language plpgsql
volatile
set search_path = ''
as $$
declare
  signing text;
begin
  loop
    -- Whoever rotates waits until what is signed with this key is stored; who waited for a rotation looks again.
    select k.kid into signing from private.pass_keys k where k.community_id = community and k.algorithm = 'hs256' and k.retired_at is null for share;
    if signing is not null then
      return signing;
    end if;
    perform app.make_pass_key(community, 'hs256', extensions.gen_random_bytes(32));
  end loop;
end;
$$;

comment on function app.signing_pass_key(uuid) is
  'The key that signs a community''s passes now (hs256), made if there is none, and kept signing until the transaction ends. Not executable by API roles.';

create function app.pass_secret(key private.pass_keys)
returns bytea
language plpgsql
stable
set search_path = ''
as $$
begin
  return decode(case when key.vault_secret_id is null then key.secret else app.kept_secret(key.vault_secret_id) end, 'base64');
end;
$$;

comment on function app.pass_secret(private.pass_keys) is 'The secret of a key, 32 bytes; null when it was destroyed. Not executable by API roles.';

create function app.destroy_pass_keys(kids text[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform app.destroy_secret(k.vault_secret_id) from private.pass_keys k where k.kid = any (kids);
  update private.pass_keys k set destroyed_at = now(), vault_secret_id = null, secret = null where k.kid = any (kids) and k.destroyed_at is null;
end;
$$;

comment on function app.destroy_pass_keys(text[]) is 'Destroys the secrets of keys that sign no more. Not executable by API roles.';

-- Rotation -----------------------------------------------------------------------------------------------------------

create function app.rotate_pass_key(community uuid, algorithm public.pass_algorithm)
returns text
language plpgsql
volatile
security definer -- no API role reads or writes keys
set search_path = ''
as $$
declare
  old text;
begin
  perform app.require_live_community('passes.manage', community);
  if algorithm is null then
    perform app.fail(422, 'invalid_value', 'algorithm is hs256 or ed25519.');
  end if;
  select k.kid into old
  from private.pass_keys k
  where k.community_id = community and k.algorithm = rotate_pass_key.algorithm and k.retired_at is null
  for no key update;
  -- Locked now: what is being issued under it is stored.
  update private.pass_keys k set retired_at = clock_timestamp() where k.kid = old;
  perform app.record_action('PASS_KEY_ROTATED', community, details => jsonb_build_object('kid', old, 'algorithm', algorithm));
  return case when algorithm = 'hs256' then app.signing_pass_key(community) end;
end;
$$;

comment on function app.rotate_pass_key(uuid, public.pass_algorithm) is
  'What public.rotate_pass_key does. Waits for passes that are being issued under the old key. Definer: no API role reads or writes keys.';

create function app.revoke_pass_key(kid text, reason text)
returns integer
language plpgsql
volatile
security definer -- no API role reads or writes keys
set search_path = ''
as $$
declare
  leaked private.pass_keys;
  revoked integer;
begin
  select k.* into leaked from private.pass_keys k where k.kid = revoke_pass_key.kid for update;
  if leaked.kid is null or not (app.is_trusted() or app.can('passes.read', leaked.community_id)) then
    perform app.fail(404, 'pass_key_not_found', 'There is no key of this kid.');
  end if;
  perform app.require('passes.manage', leaked.community_id);
  if (length(btrim(reason)) between 1 and 500) is not true then
    perform app.fail(422, 'invalid_value', 'A reason says why the key is revoked, in at most 500 characters.');
  elsif leaked.revoked_at is not null then
    return 0;
  end if;
  update private.pass_keys k
  set revoked_at = clock_timestamp(), revoked_reason = btrim(reason), retired_at = coalesce(k.retired_at, clock_timestamp())
  where k.kid = leaked.kid;
  perform app.destroy_pass_keys(array[leaked.kid]);
  revoked := app.revoke_passes_of_key(leaked.community_id, leaked.kid);
  perform app.record_action('PASS_KEY_REVOKED', leaked.community_id, note => reason, details => jsonb_build_object('kid', leaked.kid, 'passes', revoked));
  perform app.emit('pass_key.revoked', leaked.community_id, jsonb_build_object('kid', leaked.kid, 'passes', revoked));
  return revoked;
end;
$$;

comment on function app.revoke_pass_key(text, text) is
  'What public.revoke_pass_key does; locks the key, then its passes in the order of their ids. Definer: no API role reads or writes keys.';

create function public.rotate_pass_key(community_id uuid, algorithm public.pass_algorithm default 'hs256')
returns text
language sql
volatile
set search_path = ''
as $$ select app.rotate_pass_key(community_id, algorithm) $$;

comment on function public.rotate_pass_key(uuid, public.pass_algorithm) is
  'From now on another key signs; passes in pockets stay valid until they run out. Returns the new kid, null for ed25519, whose next key the function issue-pass makes when it needs one. Takes passes.manage. Errors: permission_denied, community_not_found, invalid_value.';

create function public.revoke_pass_key(kid text, reason text)
returns integer
language sql
volatile
set search_path = ''
as $$ select app.revoke_pass_key(kid, reason) $$;

comment on function public.revoke_pass_key(text, text) is
  'For a key that has leaked: nothing that it signed opens anything from now on, its secret is destroyed, another one signs. Returns how many passes were revoked, 0 when it was revoked before. Takes passes.manage. Errors: pass_key_not_found, permission_denied, invalid_value.';

create function app.pass_keys(community uuid)
returns table (kid text, algorithm public.pass_algorithm, created_at timestamptz, retired_at timestamptz, revoked_at timestamptz, revoked_reason text, destroyed_at timestamptz)
language plpgsql
stable
security definer -- no API role reads keys; the secrets are left out
set search_path = ''
as $$
begin
  perform app.require('passes.read', community);
  return query
    select k.kid, k.algorithm, k.created_at, k.retired_at, k.revoked_at, k.revoked_reason, k.destroyed_at
    from private.pass_keys k where k.community_id = community order by k.created_at desc, k.kid;
end;
$$;

comment on function app.pass_keys(uuid) is 'What public.pass_keys does. Definer: no API role reads keys.';

create function public.pass_keys(community_id uuid)
returns table (kid text, algorithm public.pass_algorithm, created_at timestamptz, retired_at timestamptz, revoked_at timestamptz, revoked_reason text, destroyed_at timestamptz)
language sql
stable
set search_path = ''
as $$ select * from app.pass_keys(community_id) $$;

comment on function public.pass_keys(uuid) is 'The keys of a community, newest first, without anything secret: which signs, which still verify, which are revoked. Takes passes.read. Errors: permission_denied.';

grant execute on function
  app.rotate_pass_key(uuid, public.pass_algorithm), public.rotate_pass_key(uuid, public.pass_algorithm),
  app.revoke_pass_key(text, text), public.revoke_pass_key(text, text), app.pass_keys(uuid), public.pass_keys(uuid)
to authenticated, service_role;
