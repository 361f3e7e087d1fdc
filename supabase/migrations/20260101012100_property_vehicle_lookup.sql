-- Property: vehicles at the gate.
--
-- Purpose     Which vehicle has this plate, what it looks like, and whether it may come in today.
-- Tables      vehicle_photos
-- RPCs        find_vehicle, set_vehicle_photos
-- Invariants  A photo is a stored file of the purpose vehicle.photo, of the vehicle's community. Whoever sees the vehicle sees its
--             photos. What a camera may have misread is told as near, never as found.

create extension if not exists fuzzystrmatch with schema extensions;

-- Photos -------------------------------------------------------------------------------------------------------------

create table public.vehicle_photos (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  vehicle_id uuid not null,
  file_id uuid not null,
  position smallint not null,
  like app.row_model including defaults including comments,
  constraint vehicle_photos_pkey primary key (id),
  constraint vehicle_photos_file_key unique (vehicle_id, file_id),
  constraint vehicle_photos_vehicle_fkey foreign key (community_id, vehicle_id) references public.vehicles (community_id, id) on delete cascade,
  constraint vehicle_photos_file_fkey foreign key (community_id, file_id) references public.files (community_id, id) on delete cascade,
  constraint vehicle_photos_position_check check (position between 1 and 10)
);

create index vehicle_photos_vehicle_idx on public.vehicle_photos (community_id, vehicle_id);
create index vehicle_photos_file_idx on public.vehicle_photos (community_id, file_id);

comment on table public.vehicle_photos is 'What a vehicle looks like: links to files, set by set_vehicle_photos. A link goes with its file and with its vehicle.';
comment on column public.vehicle_photos.vehicle_id is 'The vehicle.';
comment on column public.vehicle_photos.file_id is 'The photo; of the purpose vehicle.photo.';
comment on column public.vehicle_photos.position is '1 is shown first.';

select app.track('public.vehicle_photos', deletable => true);
select app.register_personal_data('public.vehicle_photos', 'vehicle_id', 'parent', parent => 'public.vehicles', on_erase => 'remove');

create policy vehicle_photos_select on public.vehicle_photos for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (
      (select 'vehicles.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('vehicles.read'))
      or vehicle_id in (select app.vehicles_with_me())
    )
  );
grant select on public.vehicle_photos to authenticated;
grant select, insert, update, delete on public.vehicle_photos to service_role;

create function app.vehicle_files_with_me()
returns setof uuid
language plpgsql
stable
security definer -- looks at vehicles of the caller before any policy on files is decided
set search_path = ''
as $$
begin
  return query
    select p.file_id
    from app.vehicles_with_me() w
    join public.vehicles v on v.id = w
    join public.vehicle_photos p on p.community_id = v.community_id and p.vehicle_id = v.id
    join public.files f on f.id = p.file_id
    where f.purpose = 'vehicle.photo' and p.deleted_at is null;
end;
$$;

comment on function app.vehicle_files_with_me() is 'The photos of vehicles that the caller sees as theirs or their household''s (file_purposes.readable_files). Definer: looks at vehicles.';

select app.define_file_purpose('vehicle.photo', 'vicinia-images', 'What a vehicle looks like', '{image/png,image/jpeg,image/webp}', 5242880,
  'files.upload', 'vehicles.manage', read_permission => 'vehicles.read', readable_files => 'app.vehicle_files_with_me');

create function app.set_vehicle_photos(vehicle uuid, files uuid[], is_visible boolean)
returns void
language plpgsql
volatile
security definer -- API roles may not write links
set search_path = ''
as $$
declare
  present public.vehicles;
begin
  present := app.changeable_vehicle(vehicle, is_visible);
  if files is null or cardinality(files) > 10 or array_ndims(files) > 1 or array_position(files, null) is not null then
    perform app.fail(422, 'invalid_value', 'A vehicle has at most ten photos, in the order in which they are given.');
  elsif exists (
    select from unnest(files) given
    where not exists (
      select from public.files f
      where f.id = given and f.community_id = present.community_id and f.purpose = 'vehicle.photo' and f.status = 'stored' and f.deleted_at is null
        -- One's own upload, one the management may use, or one that is on the vehicle already.
        and (f.owner_id = app.user_id() or app.is_trusted() or app.can('vehicles.manage', f.community_id)
          or exists (select from public.vehicle_photos p where p.vehicle_id = present.id and p.file_id = f.id))))
  then
    perform app.fail(404, 'file_not_found', 'There is no stored photo of a vehicle with one of these ids that you may use.');
  end if;
  delete from public.vehicle_photos p where p.vehicle_id = present.id and p.file_id <> all (files);
  insert into public.vehicle_photos as p (community_id, vehicle_id, file_id, position)
  select present.community_id, present.id, g.file, min(g.position)
  from unnest(files) with ordinality g (file, position)
  group by g.file
  on conflict on constraint vehicle_photos_file_key do update set position = excluded.position where p.position <> excluded.position;
end;
$$;

comment on function app.set_vehicle_photos(uuid, uuid[], boolean) is 'What public.set_vehicle_photos does. Definer: no API role may write links.';

create function public.set_vehicle_photos(vehicle_id uuid, file_ids uuid[])
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_vehicle_photos(vehicle_id, file_ids, app.sees_row('vehicles', vehicle_id)) $$;

comment on function public.set_vehicle_photos(uuid, uuid[]) is
  'The photos of a vehicle from now on, in this order; stored files of the purpose vehicle.photo. Takes vehicles.manage, or vehicles.manage_own in its unit. '
  'Errors: vehicle_not_found, permission_denied, file_not_found, invalid_value.';

-- Finding ------------------------------------------------------------------------------------------------------------

create function app.vehicles_by_plate(community uuid, plate text)
returns table (vehicle_id uuid, is_exact boolean, distance integer, is_active boolean)
language plpgsql
stable
set search_path = ''
as $$
declare
  wanted constant text := app.normalized_plate(plate);
  -- What one misread character, or two, may have been; of short plates almost every other would be near.
  farthest constant integer := case when length(wanted) >= 6 then 2 when length(wanted) >= 4 then 1 else 0 end;
  today constant date := (select (now() at time zone c.time_zone)::date from public.communities c where c.id = community);
begin
  if app.is_plate(plate) is not true then
    perform app.fail(422, 'invalid_value', 'The value of plate is not valid.', 'A plate has 1 to 16 letters or digits, and spaces and dashes between them.');
  end if;
  return query
    select v.id, true, 0, app.is_active_on(v, today)
    from public.vehicles v
    where v.community_id = community and v.plate_key = wanted and v.status in ('pending', 'active', 'suspended') and v.deleted_at is null
    order by 4 desc, v.status, v.id;
  if found or farthest = 0 then
    return;
  end if;
  return query
    select n.id, false, n.distance, app.is_active_on(v, today)
    from (
      select v.id, extensions.levenshtein_less_equal(v.plate_key, wanted, farthest) as distance
      from public.vehicles v
      where v.community_id = community and v.plate_key is not null and v.status in ('pending', 'active', 'suspended') and v.deleted_at is null
        and length(v.plate_key) between length(wanted) - farthest and length(wanted) + farthest
    ) n
    join public.vehicles v on v.id = n.id
    where n.distance <= farthest
    order by n.distance, 4 desc, n.id
    limit 5;
end;
$$;

comment on function app.vehicles_by_plate(uuid, text) is
  'The live vehicles of a community with this plate, or, if there is none, up to five whose plate differs by one character (from four characters on) or two (from six on), nearest first. '
  'For gates: is_active says whether the vehicle may come in today. Asks no permission. Errors: invalid_value.';

create function app.find_vehicle(community uuid, plate text)
returns table (
  vehicle_id uuid, registered_plate text, match text, distance integer, is_active boolean, status public.vehicle_status, type public.vehicle_type, make text, model text, colour text,
  tag_number text, unit_id uuid, unit text, resident_id uuid, resident_name text
)
language plpgsql
stable
security definer -- tells the number of the unit and the name to guards who see little else of them
set search_path = ''
as $$
declare
  tells_names constant boolean := app.is_trusted() or app.can('residents.read', community);
begin
  perform app.require('vehicles.read', community);
  return query
    select v.id, v.plate, case when f.is_exact then 'exact' else 'near' end, f.distance, f.is_active, v.status, v.type, v.make, v.model, v.colour,
      v.tag_number, v.unit_id, nullif(concat_ws(' / ', b.name, u.number), ''), v.resident_id, case when tells_names then r.full_name end
    from app.vehicles_by_plate(community, find_vehicle.plate) with ordinality f (vehicle_id, is_exact, distance, is_active, place)
    join public.vehicles v on v.id = f.vehicle_id
    left join public.units u on u.community_id = v.community_id and u.id = v.unit_id
    left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
    left join public.residents r on r.community_id = v.community_id and r.id = v.resident_id
    order by f.place;
end;
$$;

comment on function app.find_vehicle(uuid, text) is 'What public.find_vehicle does. Definer: tells unit and name, and no more, to guards.';

create function public.find_vehicle(community_id uuid, plate text)
returns table (
  vehicle_id uuid, registered_plate text, match text, distance integer, is_active boolean, status public.vehicle_status, type public.vehicle_type, make text, model text, colour text,
  tag_number text, unit_id uuid, unit text, resident_id uuid, resident_name text
)
language sql
stable
set search_path = ''
as $$ select * from app.find_vehicle(community_id, plate) $$;

comment on function public.find_vehicle(uuid, text) is
  'What a guard or a camera asks: the vehicles with this plate, however it is written (match exact), or those a misreading away (match near, with the number of characters that differ). '
  'is_active: may come in today. Takes vehicles.read; names take residents.read. Errors: permission_denied, invalid_value.';

grant execute on function app.vehicles_by_plate(uuid, text) to service_role;
grant execute on function
  app.set_vehicle_photos(uuid, uuid[], boolean), public.set_vehicle_photos(uuid, uuid[]),
  app.find_vehicle(uuid, text), public.find_vehicle(uuid, text)
to authenticated, service_role;
