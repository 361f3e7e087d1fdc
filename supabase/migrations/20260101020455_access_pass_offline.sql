-- Access control: passes for gates without a line, and what time does to passes and keys.
--
-- Purpose     A gate that cannot ask the database verifies an Ed25519 pass with the public halves of the community's keys, and can forge
--             none. The database cannot sign with Ed25519: the function issue-pass makes keys and signatures, with the secret key.
-- RPCs        pass_public_keys, revoked_offline_passes: for gates; add_pass_key, pass_signing_key, seal_pass: for the function issue-pass
-- Invariants  A pass for offline gates opens nothing before its signature is stored, and then by that one text alone.

-- For the function that signs ------------------------------------------------------------------------------------------

create function app.add_pass_key(invitation uuid, public_key text, secret text)
returns text
language plpgsql
volatile
security definer -- no API role writes keys
set search_path = ''
as $$
declare
  community uuid;
begin
  select i.community_id into community from public.visitor_invitations i where i.id = invitation;
  if community is null then
    perform app.fail(404, 'invitation_not_found', 'There is no invitation with this id.');
  elsif (public_key ~ '^[A-Za-z0-9+/]+=$' and length(public_key) = 44 and secret ~ '^[A-Za-z0-9+/]+=$' and length(secret) = 44) is not true then
    perform app.fail(422, 'invalid_value', 'Both halves of the key are 32 bytes in base64.');
  end if;
  return app.make_pass_key(community, 'ed25519', decode(secret, 'base64'), decode(public_key, 'base64'));
end;
$$;

comment on function app.add_pass_key(uuid, text, text) is 'What public.add_pass_key does. Definer: no API role writes keys.';

create function public.add_pass_key(invitation_id uuid, public_key text, secret text)
returns text
language sql
volatile
set search_path = ''
as $$ select app.add_pass_key(invitation_id, public_key, secret) $$;

comment on function public.add_pass_key(uuid, text, text) is
  'With the secret key, for the function issue-pass: stores an Ed25519 key (both halves 32 bytes in base64) for the community of an invitation; returns its kid, null when the community has a signing one already. Errors: invitation_not_found, invalid_value.';

create function app.pass_signing_key(pass uuid)
returns table (kid text, public_key text, secret text)
language plpgsql
stable
security definer -- no API role reads keys
set search_path = ''
as $$
begin
  return query
    select k.kid, encode(k.public_key, 'base64'), encode(app.pass_secret(k), 'base64')
    from public.passes p
    join private.pass_keys k on k.community_id = p.community_id and k.kid = p.kid
    where p.id = pass and p.digest is null and p.revoked_at is null and p.deleted_at is null and k.algorithm = 'ed25519' and k.revoked_at is null;
  if not found then
    perform app.fail(404, 'pass_not_found', 'There is no pass with this id that waits for its signature.');
  end if;
end;
$$;

comment on function app.pass_signing_key(uuid) is 'What public.pass_signing_key does. Definer: no API role reads keys.';

create function public.pass_signing_key(pass_id uuid)
returns table (kid text, public_key text, secret text)
language sql
stable
set search_path = ''
as $$ select k.kid, k.public_key, k.secret from app.pass_signing_key(pass_id) k $$;

comment on function public.pass_signing_key(uuid) is
  'With the secret key, for the function issue-pass: the Ed25519 key (both halves 32 bytes in base64) of a pass that waits for its signature. Errors: pass_not_found.';

create function app.seal_pass(pass uuid, signed_text text, link_token text)
returns void
language plpgsql
volatile
security definer -- no API role writes private.pass_links
set search_path = ''
as $$
declare
  waiting public.passes;
begin
  select p.* into waiting
  from public.passes p join private.pass_keys k on k.community_id = p.community_id and k.kid = p.kid
  where p.id = pass and p.digest is null and p.revoked_at is null and p.deleted_at is null and k.algorithm = 'ed25519' and k.revoked_at is null
  for no key update of p;
  if waiting.id is null then
    perform app.fail(404, 'pass_not_found', 'There is no pass with this id that waits for its signature.');
  elsif (length(signed_text) = 133 and signed_text !~ '[^A-Za-z0-9_.-]' and starts_with(signed_text, format('v2.%s.%s.', waiting.kid, app.pass_payload(waiting)))) is not true then
    perform app.fail(422, 'invalid_value', 'The text is not that of this pass.');
  end if;
  update private.pass_links l
  set sealed = extensions.pgp_sym_encrypt(signed_text, link_token, 'cipher-algo=aes256')
  where l.pass_id = waiting.id and l.token_hash = sha256(convert_to(link_token, 'UTF8'));
  if not found then
    perform app.fail(422, 'invalid_value', 'The token is not that of the link of this pass.');
  end if;
  update public.passes p set digest = sha256(convert_to(signed_text, 'UTF8')) where p.id = waiting.id;
end;
$$;

comment on function app.seal_pass(uuid, text, text) is 'What public.seal_pass does. Definer: no API role writes private.pass_links.';

create function public.seal_pass(pass_id uuid, pass text, link_token text)
returns void
language sql
volatile
set search_path = ''
as $$ select app.seal_pass(pass_id, pass, link_token) $$;

comment on function public.seal_pass(uuid, text, text) is
  'With the secret key, for the function issue-pass: stores what a signed offline pass reads, as a hash, and for its link encrypted under the link''s token. Once per pass. Errors: pass_not_found, invalid_value.';

grant execute on function
  app.add_pass_key(uuid, text, text), public.add_pass_key(uuid, text, text), app.pass_signing_key(uuid), public.pass_signing_key(uuid),
  app.seal_pass(uuid, text, text), public.seal_pass(uuid, text, text)
to service_role;

-- For gates ----------------------------------------------------------------------------------------------------------

create function app.community_of_gate(community uuid)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
  device constant public.access_devices := app.calling_device();
begin
  if device.id is not null then
    if community <> device.community_id then
      perform app.fail(403, 'permission_denied', 'A device asks for its own community.');
    end if;
    return device.community_id;
  elsif app.actor_id() is null and not app.is_trusted() then
    perform app.fail(401, 'device_unknown', 'The header x-device-key holds no live key of a device.', 'Enroll the device, or give it its new key.');
  end if;
  perform app.require('passes.manage', community);
  return community;
end;
$$;

comment on function app.community_of_gate(uuid) is
  'The community of the device that asks, or the one that is named, for holders of passes.manage (401 device_unknown, 403 permission_denied). Not executable by API roles.';

create function app.pass_public_keys(community uuid)
returns table (kid text, public_key text, retired_at timestamptz)
language plpgsql
stable
security definer -- no API role reads keys; public halves alone
set search_path = ''
as $$
begin
  return query
    select k.kid, app.base64url(k.public_key), k.retired_at
    from private.pass_keys k
    where k.community_id = app.community_of_gate(community) and k.algorithm = 'ed25519' and k.revoked_at is null and k.destroyed_at is null
    order by k.created_at desc, k.kid;
end;
$$;

comment on function app.pass_public_keys(uuid) is 'What public.pass_public_keys does. Definer: no API role reads keys.';

create function public.pass_public_keys(community_id uuid default null)
returns table (kid text, public_key text, retired_at timestamptz)
language sql
stable
set search_path = ''
as $$ select k.kid, k.public_key, k.retired_at from app.pass_public_keys(community_id) k $$;

comment on function public.pass_public_keys(uuid) is
  'What an offline gate verifies with: the public halves (base64url) of the Ed25519 keys of a device''s community, or of community_id with passes.manage. Whoever has them can forge nothing. Errors: device_unknown, permission_denied.';

create function app.revoked_offline_passes(community uuid)
returns table (pass_id uuid, revoked_at timestamptz)
language plpgsql
stable
security definer -- a device has no role by which it could read passes
set search_path = ''
as $$
begin
  return query
    select p.id, p.revoked_at
    from public.passes p
    where p.community_id = app.community_of_gate(community) and p.digest is not null and p.revoked_at is not null and p.ends_at > now() - interval '1 day'
    order by p.revoked_at, p.id;
end;
$$;

comment on function app.revoked_offline_passes(uuid) is 'What public.revoked_offline_passes does. Definer: a device has no role by which it could read passes.';

create function public.revoked_offline_passes(community_id uuid default null)
returns table (pass_id uuid, revoked_at timestamptz)
language sql
stable
set search_path = ''
as $$ select r.pass_id, r.revoked_at from app.revoked_offline_passes(community_id) r $$;

comment on function public.revoked_offline_passes(uuid) is
  'What an offline gate refuses although its signature is good: passes revoked before their end, of a device''s community, or of community_id with passes.manage. Fetched as often as there is a line. Errors: device_unknown, permission_denied.';

grant execute on function
  app.pass_public_keys(uuid), public.pass_public_keys(uuid), app.revoked_offline_passes(uuid), public.revoked_offline_passes(uuid)
to anon, authenticated, service_role;

-- What time does to them ---------------------------------------------------------------------------------------------

create function app.job_passes()
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform app.destroy_pass_keys(array(
    select k.kid from private.pass_keys k
    where k.retired_at < now() - interval '1 day' and k.destroyed_at is null
      and not exists (select from public.passes p where p.community_id = k.community_id and p.kid = k.kid and p.revoked_at is null and p.ends_at > now() - interval '1 day')
    order by k.kid));
  delete from private.pass_links l using public.passes p
  where p.community_id = l.community_id and p.id = l.pass_id and p.ends_at < now() - interval '30 days';
end;
$$;

comment on function app.job_passes() is
  'Job passes: destroys rotated keys once the last pass under them has been over for a day, and removes links 30 days after their pass.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('passes', '41 3 * * *', 'app.job_passes()', 'Destroys keys that no pass needs any more, removes old links.');
