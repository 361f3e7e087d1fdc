-- Access control: devices.
--
-- Purpose     Readers, cameras, intercoms, tablets and controllers that ask whether to open, and the key by which each is known.
-- Tables      access_devices, private.device_keys
-- RPCs        enroll_device, rotate_device_key, revoke_device, device_health; device_check_in for the device itself
-- Invariants  A device is no user and holds no role: it presents its key in a header, under the publishable key of the API, and may do
--             what it is there for at its own access point. A key is 256 random bits, shown once, kept as a hash, compared as a hash.
--             A revoked device or key gives nothing on the next statement, and is never taken up again.

create type public.access_device_kind as enum ('reader', 'camera', 'intercom', 'tablet', 'controller');
create type public.access_device_status as enum ('active', 'revoked');

select app.define_action('DEVICE_KEY_ROTATED', 'A device at a gate was given a new key.');

create table public.access_devices (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  community_id uuid not null,
  access_point_id uuid not null,
  kind public.access_device_kind not null,
  serial_number text,
  direction public.access_direction,
  status public.access_device_status not null default 'active',
  status_reason text,
  like app.row_model including defaults including comments,
  constraint access_devices_pkey primary key (id),
  constraint access_devices_community_id_key unique (community_id, id),
  constraint access_devices_point_fkey foreign key (community_id, access_point_id) references public.access_points (community_id, id) on delete restrict,
  constraint access_devices_name_check check (app.is_name(name)),
  constraint access_devices_serial_number_check check (app.is_name(serial_number) and length(serial_number) <= 80),
  constraint access_devices_direction_check check (direction <> 'both'),
  constraint access_devices_status_reason_check check (app.is_name(status_reason))
);

create unique index access_devices_name_key on public.access_devices (community_id, access_point_id, name) where status = 'active' and deleted_at is null;
create unique index access_devices_serial_number_key on public.access_devices (community_id, serial_number) where status = 'active' and deleted_at is null;
create index access_devices_point_idx on public.access_devices (community_id, access_point_id);

comment on table public.access_devices is 'Devices at access points. Made by enroll_device, which shows the key; ended by revoke_device.';
comment on column public.access_devices.name is 'What it is called; unique among the active devices of its point.';
comment on column public.access_devices.access_point_id is 'The point it stands at, and decides for.';
comment on column public.access_devices.kind is 'reader, camera, intercom, tablet, controller.';
comment on column public.access_devices.serial_number is 'The maker''s number; unique among the active devices of the community.';
comment on column public.access_devices.direction is 'in or out, for one that faces a single way; null: the point''s.';
comment on column public.access_devices.status is 'active, or revoked for good.';
comment on column public.access_devices.status_reason is 'Why it was revoked: stolen, replaced.';

create function app.is_over(device public.access_devices)
returns boolean
language sql
immutable
set search_path = ''
return device.status = 'revoked';

comment on function app.is_over(public.access_devices) is 'Whether the row is history: a revoked device does not keep its access point from being archived.';

grant execute on function app.is_over(public.access_devices) to authenticated, service_role;

select app.track('public.access_devices');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.access_devices', null, 'active', 'gates.manage', 'Enroll it'),
  ('public.access_devices', 'active', 'revoked', 'gates.manage', 'Revoke it');

select app.state_machine('public.access_devices', 'status');

create policy access_devices_select on public.access_devices for select to authenticated
  using (
    community_id = any ((select app.communities_where('gates.manage'))::uuid[])
    and deleted_at is null
  );
create policy access_devices_update on public.access_devices for update to authenticated
  using (
    community_id = any ((select app.communities_where('gates.manage'))::uuid[])
    and deleted_at is null
  )
  with check (community_id = any ((select app.communities_where('gates.manage'))::uuid[]));

grant select, update (name, access_point_id, serial_number, direction) on public.access_devices to authenticated;
grant select, insert, update on public.access_devices to service_role;

-- Keys ---------------------------------------------------------------------------------------------------------------

create table private.device_keys (
  id uuid not null default gen_random_uuid(),
  device_id uuid not null,
  community_id uuid not null,
  secret_hash bytea not null,
  created_at timestamptz not null default now(),
  revoked_at timestamptz,
  last_used_at timestamptz,
  constraint device_keys_pkey primary key (id),
  constraint device_keys_device_fkey foreign key (community_id, device_id) references public.access_devices (community_id, id) on delete cascade,
  constraint device_keys_secret_hash_check check (octet_length(secret_hash) = 32)
);

create index device_keys_device_idx on private.device_keys (community_id, device_id);

comment on table private.device_keys is 'Keys of devices: vd_<id without dashes>_<secret>. The secret, 32 random bytes in base64url, is shown once and kept as its SHA-256.';
comment on column private.device_keys.id is 'What the key is found by. Random, so that it tells nothing of its neighbours.';
comment on column private.device_keys.device_id is 'Whose key it is.';
comment on column private.device_keys.community_id is 'The device''s community.';
comment on column private.device_keys.secret_hash is 'SHA-256 of the secret as written. A hash of 256 random bits needs no salt and no slowness.';
comment on column private.device_keys.created_at is 'When it was made.';
comment on column private.device_keys.revoked_at is 'From when it opens nothing; in the future while a device is being given its next key.';
comment on column private.device_keys.last_used_at is 'When the device last showed it, to the minute.';

alter table private.device_keys enable row level security;
create policy device_keys_select on private.device_keys for select to authenticated using (false);

create function app.make_device_key(device public.access_devices)
returns text
language plpgsql
volatile
set search_path = ''
as $$
declare
  secret constant text := app.base64url(extensions.gen_random_bytes(32));
  made uuid;
begin
  insert into private.device_keys (device_id, community_id, secret_hash)
  values (device.id, device.community_id, sha256(convert_to(secret, 'UTF8')))
  returning id into made;
  return 'vd_' || replace(made::text, '-', '') || '_' || secret;
end;
$$;

comment on function app.make_device_key(public.access_devices) is 'Makes a key for the device and returns it, the only time. Not executable by API roles.';

-- A view and no function: it becomes a part of the statement that asks, and every decision asks.

create view private.calling_device as
select d.id as device_id, d.community_id, d.access_point_id, d.kind, d.direction, k.id as key_id, k.last_used_at, p as point
from (
  select case
    -- Without counts of repetition in the pattern, which cost a busy gate more than all the rest.
    when length(h.header) = 79 and strpos(substring(h.header from 4), '_') = 33 and h.header ~ '^vd_[0-9a-f]+_[A-Za-z0-9_-]+$'
      -- A request with a user is the user's: app.actor_id(), written out.
      and (auth.uid() is null or not (current_setting('role') in ('authenticated', 'anon', 'service_role') or pg_has_role(session_user, 'postgres', 'member')))
      then h.header end as presented
  from (
    select case when pg_input_is_valid(current_setting('request.headers', true), 'jsonb') then current_setting('request.headers', true)::jsonb ->> 'x-device-key' end as header
    offset 0
  ) h
  offset 0
) h
-- One after the other, whatever is known of how many there are.
cross join lateral (
  -- The key is found by its id, which is no secret. Of the secret only hashes are compared: how long that takes tells nothing.
  -- The clock, not the start of the transaction: what was revoked meanwhile is revoked.
  select k.id, k.community_id, k.device_id, k.last_used_at
  from private.device_keys k
  where k.id = substring(h.presented from 4 for 32)::uuid and k.secret_hash = sha256(convert_to(substring(h.presented from 37), 'UTF8'))
    and (k.revoked_at is null or k.revoked_at > clock_timestamp())
  offset 0
) k
cross join lateral (
  select d.id, d.community_id, d.access_point_id, d.kind, d.direction
  from public.access_devices d
  where d.community_id = k.community_id and d.id = k.device_id and d.status = 'active' and d.deleted_at is null
  offset 0
) d
join public.access_points p on p.community_id = d.community_id and p.id = d.access_point_id
join public.communities c on c.id = d.community_id
where p.deleted_at is null and c.deleted_at is null;

comment on view private.calling_device is
  'The device that makes the request, by its key in the header x-device-key; no row without a live key of an active device at a live point of a live community, and where a user makes the request. Never raises.';
comment on column private.calling_device.device_id is 'The device.';
comment on column private.calling_device.community_id is 'Its community.';
comment on column private.calling_device.access_point_id is 'The point it stands at.';
comment on column private.calling_device.kind is 'reader, camera, intercom, tablet, controller.';
comment on column private.calling_device.direction is 'in or out, for one that faces a single way.';
comment on column private.calling_device.key_id is 'The key that it presented.';
comment on column private.calling_device.last_used_at is 'When it last showed that key, to the minute.';
comment on column private.calling_device.point is 'That point, all of it.';

create function app.calling_device()
returns public.access_devices
language plpgsql
stable
security definer -- reads keys, which nobody else may
set search_path = ''
as $$
declare
  device public.access_devices;
begin
  select d.* into device from private.calling_device c join public.access_devices d on d.community_id = c.community_id and d.id = c.device_id;
  return device;
end;
$$;

comment on function app.calling_device() is
  'The device that makes the request (private.calling_device); all null, so id is null, where none does. Never raises. '
  'Definer: reads keys, which nobody else may.';

grant execute on function app.calling_device() to anon, authenticated, service_role;

create function app.act_as_device(device uuid)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  update private.device_keys k
  set last_used_at = now()
  where k.id = (
    select x.id
    from private.device_keys x
    where x.id = (select c.key_id from private.calling_device c where c.device_id = act_as_device.device)
      and (x.last_used_at is null or x.last_used_at < now() - interval '1 minute')
    for update skip locked);
  perform set_config('app.actor', 'device:' || device, true);
end;
$$;

comment on function app.act_as_device(uuid) is
  'What app.calling_device found is about to write: the audit then tells device:<id>, and the key was seen (to the minute, so that a busy gate writes it once). Waits for nobody. Not executable by API roles.';

-- Enrolling and revoking ---------------------------------------------------------------------------------------------

create function app.fail_device_taken(constraint_name text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  if constraint_name = 'access_devices_serial_number_key' then
    perform app.fail(409, 'serial_number_taken', 'Another active device of this community has this serial number.', 'If it was replaced, revoke it first.');
  end if;
  perform app.fail(409, 'name_taken', 'Another active device of this access point has this name.');
end;
$$;

comment on function app.fail_device_taken(text) is 'What the RPCs answer when a unique index of access_devices refuses: 409 name_taken or serial_number_taken.';

create function app.enroll_device(point uuid, name text, kind public.access_device_kind, serial_number text, direction public.access_direction, is_visible boolean)
returns table (device_id uuid, device_key text)
language plpgsql
volatile
security definer -- API roles may not insert devices, and nobody may write keys
set search_path = ''
as $$
declare
  present public.access_points;
  made public.access_devices;
  refused text;
begin
  if is_visible then
    select p.* into present from public.access_points p where p.id = point and p.deleted_at is null for key share;
  end if;
  if present.id is null then
    perform app.fail(404, 'access_point_not_found', 'There is no access point with this id.');
  end if;
  perform app.require('gates.manage', present.community_id);
  if enroll_device.name is null or enroll_device.kind is null then
    perform app.fail(422, 'invalid_value', 'A device has a name and a kind.');
  end if;
  insert into public.access_devices (name, community_id, access_point_id, kind, serial_number, direction)
  values (enroll_device.name, present.community_id, present.id, enroll_device.kind, enroll_device.serial_number, enroll_device.direction)
  returning * into made;
  return query select made.id, app.make_device_key(made);
exception
  when unique_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_device_taken(refused);
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('access_devices', refused);
end;
$$;

comment on function app.enroll_device(uuid, text, public.access_device_kind, text, public.access_direction, boolean) is
  'What public.enroll_device does. Definer: API roles may not insert devices, and nobody may write keys.';

create function public.enroll_device(
  access_point_id uuid, name text, kind public.access_device_kind, serial_number text default null, direction public.access_direction default null
)
returns table (device_id uuid, device_key text)
language sql
volatile
set search_path = ''
as $$ select e.device_id, e.device_key from app.enroll_device(access_point_id, name, kind, serial_number, direction, app.sees_row('access_points', access_point_id)) e $$;

comment on function public.enroll_device(uuid, text, public.access_device_kind, text, public.access_direction) is
  'Enrolls a device at an access point and returns its id and its key, which is shown this once: the device sends it as x-device-key, beside the publishable key. Takes gates.manage. '
  'Errors: access_point_not_found, permission_denied, name_taken, serial_number_taken, invalid_value.';

create function app.device_to_change(device uuid, is_visible boolean)
returns public.access_devices
language plpgsql
volatile
security definer -- locks a row
set search_path = ''
as $$
declare
  present public.access_devices;
begin
  if is_visible then
    select d.* into present from public.access_devices d where d.id = device and d.deleted_at is null for no key update;
  end if;
  if present.id is null then
    perform app.fail(404, 'device_not_found', 'There is no device with this id.');
  end if;
  perform app.require('gates.manage', present.community_id);
  return present;
end;
$$;

comment on function app.device_to_change(uuid, boolean) is 'The device, locked, if the caller sees it (is_visible) and holds gates.manage. Not executable by API roles. Definer: locks a row.';

create function app.rotate_device_key(device uuid, overlap_minutes integer, is_visible boolean)
returns text
language plpgsql
volatile
security definer -- nobody may write keys
set search_path = ''
as $$
declare
  present public.access_devices;
begin
  present := app.device_to_change(device, is_visible);
  if present.status <> 'active' then
    perform app.fail(409, 'device_revoked', 'This device was revoked.', 'Enroll it anew.');
  elsif overlap_minutes is null or overlap_minutes not between 0 and 10080 then
    perform app.fail(422, 'invalid_value', 'overlap_minutes is a number from 0 to 10080, which is a week.');
  end if;
  update private.device_keys k
  set revoked_at = clock_timestamp() + make_interval(mins => overlap_minutes)
  where k.community_id = present.community_id and k.device_id = present.id
    and (k.revoked_at is null or k.revoked_at > clock_timestamp() + make_interval(mins => overlap_minutes));
  perform app.record_action('DEVICE_KEY_ROTATED', present.community_id, tracked => 'public.access_devices', row_id => present.id,
    details => jsonb_build_object('overlap_minutes', overlap_minutes));
  return app.make_device_key(present);
end;
$$;

comment on function app.rotate_device_key(uuid, integer, boolean) is 'What public.rotate_device_key does. One at a time per device. Definer: nobody may write keys.';

create function public.rotate_device_key(device_id uuid, overlap_minutes integer default 60)
returns text
language sql
volatile
set search_path = ''
as $$ select app.rotate_device_key(device_id, overlap_minutes, app.sees_row('access_devices', device_id)) $$;

comment on function public.rotate_device_key(uuid, integer) is
  'Makes a new key for a device and returns it, this once. Those before go on for overlap_minutes (0: end at once; a week at most), so that nobody stands at a closed gate meanwhile. Takes gates.manage. '
  'Errors: device_not_found, permission_denied, device_revoked, invalid_value.';

create function app.revoke_device(device uuid, reason text, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- status is in no column grant, and nobody may write keys
set search_path = ''
as $$
declare
  present public.access_devices;
  refused text;
begin
  present := app.device_to_change(device, is_visible);
  if present.status = 'revoked' then
    return;
  end if;
  update public.access_devices d set status = 'revoked', status_reason = nullif(btrim(reason), '') where d.id = present.id;
  update private.device_keys k
  set revoked_at = clock_timestamp()
  where k.community_id = present.community_id and k.device_id = present.id and (k.revoked_at is null or k.revoked_at > clock_timestamp());
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('access_devices', refused);
end;
$$;

comment on function app.revoke_device(uuid, text, boolean) is 'What public.revoke_device does. Definer: status is in no column grant, and nobody may write keys.';

create function public.revoke_device(device_id uuid, reason text default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.revoke_device(device_id, reason, app.sees_row('access_devices', device_id)) $$;

comment on function public.revoke_device(uuid, text) is
  'Revokes a device with all its keys, at once and for good; takes gates.manage. Revoked already: nothing happens. Errors: device_not_found, permission_denied, invalid_value.';

create function app.tg_access_devices__emit()
returns trigger
language plpgsql
security definer -- calls app.emit, which no API role may
set search_path = ''
as $$
begin
  perform app.emit(case when tg_op = 'INSERT' then 'device.enrolled' else 'device.' || new.status end, new.community_id,
    jsonb_build_object('device_id', new.id, 'access_point_id', new.access_point_id));
  return null;
end;
$$;

comment on function app.tg_access_devices__emit() is 'AFTER INSERT, and AFTER UPDATE that changes the state: events device.enrolled, device.revoked. Definer: calls app.emit.';

create trigger _600_emit_enrolled after insert on public.access_devices for each row execute function app.tg_access_devices__emit();
create trigger _600_emit_status after update of status on public.access_devices for each row
  when (old.status is distinct from new.status) execute function app.tg_access_devices__emit();

-- Looking ------------------------------------------------------------------------------------------------------------

create function app.device_health(community uuid)
returns table (
  device_id uuid, device_name text, access_point_id uuid, access_point_name text, kind public.access_device_kind,
  last_seen_at timestamptz, key_made_at timestamptz, old_key_ends_at timestamptz
)
language plpgsql
stable
security definer -- reads keys, which nobody else may
set search_path = ''
as $$
begin
  perform app.require('gates.manage', community);
  return query
    select d.id, d.name, p.id, p.name, d.kind, max(k.last_used_at), max(k.created_at), max(k.revoked_at) filter (where k.revoked_at > now())
    from public.access_devices d
    join public.access_points p on p.community_id = d.community_id and p.id = d.access_point_id
    join private.device_keys k on k.community_id = d.community_id and k.device_id = d.id
    where d.community_id = community and d.status = 'active' and d.deleted_at is null
    group by d.id, p.id
    order by p.name, d.name, d.id;
end;
$$;

comment on function app.device_health(uuid) is 'What public.device_health does. Definer: reads keys, which nobody else may.';

create function public.device_health(community_id uuid)
returns table (
  device_id uuid, device_name text, access_point_id uuid, access_point_name text, kind public.access_device_kind,
  last_seen_at timestamptz, key_made_at timestamptz, old_key_ends_at timestamptz
)
language sql
stable
set search_path = ''
as $$
  select h.device_id, h.device_name, h.access_point_id, h.access_point_name, h.kind, h.last_seen_at, h.key_made_at, h.old_key_ends_at
  from app.device_health(community_id) h
$$;

comment on function public.device_health(uuid) is
  'The active devices of a community: when each was last seen (to the minute; null: never), since when it has its newest key, and until when an older one still counts. Takes gates.manage. Errors: permission_denied.';

create function app.device_check_in()
returns table (
  device_id uuid, device_name text, kind public.access_device_kind, direction public.access_direction, community_id uuid, time_zone text,
  access_point_id uuid, access_point_name text, access_point_status public.access_point_status, is_open boolean, server_at timestamptz, key_ends_at timestamptz
)
language plpgsql
volatile
security definer -- reads the device and its point for one that is no user
set search_path = ''
as $$
declare
  device constant public.access_devices := app.calling_device();
begin
  if device.id is null then
    perform app.fail(401, 'device_unknown', 'The header x-device-key holds no live key of a device.', 'Enroll the device, or give it its new key.');
  end if;
  perform app.act_as_device(device.id);
  return query
    select device.id, device.name, device.kind, coalesce(device.direction, p.direction), c.id, c.time_zone,
      p.id, p.name, p.status, app.is_open_at(p, now()), now(),
      (select k.revoked_at from private.calling_device d join private.device_keys k on k.id = d.key_id)
    from public.access_points p
    join public.communities c on c.id = p.community_id
    where p.community_id = device.community_id and p.id = device.access_point_id;
end;
$$;

comment on function app.device_check_in() is 'What public.device_check_in does. Definer: reads the device and its point for one that is no user.';

create function public.device_check_in()
returns table (
  device_id uuid, device_name text, kind public.access_device_kind, direction public.access_direction, community_id uuid, time_zone text,
  access_point_id uuid, access_point_name text, access_point_status public.access_point_status, is_open boolean, server_at timestamptz, key_ends_at timestamptz
)
language sql
volatile
set search_path = ''
as $$
  select d.device_id, d.device_name, d.kind, d.direction, d.community_id, d.time_zone, d.access_point_id, d.access_point_name, d.access_point_status,
    d.is_open, d.server_at, d.key_ends_at
  from app.device_check_in() d
$$;

comment on function public.device_check_in() is
  'For a device, with its key in x-device-key: that it is alive, and what it should know: where it stands, the server''s time, and when its key ends (key_ends_at is not null: it is to be given the next one). Errors: device_unknown.';

grant execute on function
  app.enroll_device(uuid, text, public.access_device_kind, text, public.access_direction, boolean),
  public.enroll_device(uuid, text, public.access_device_kind, text, public.access_direction),
  app.rotate_device_key(uuid, integer, boolean), public.rotate_device_key(uuid, integer),
  app.revoke_device(uuid, text, boolean), public.revoke_device(uuid, text),
  app.device_health(uuid), public.device_health(uuid)
to authenticated, service_role;
grant execute on function app.device_check_in(), public.device_check_in() to anon, authenticated, service_role;
