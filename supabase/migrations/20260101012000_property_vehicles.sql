-- Property: vehicles.
--
-- Purpose     Which vehicles belong here, whose they are, and whether they may come in today.
-- Tables      vehicles
-- RPCs        register_vehicle, set_vehicle_status, set_vehicle_marks
-- Invariants  A plate is stored as written and compared by what a camera reads (app.normalized_plate). Of the vehicles of a
--             community that are active or suspended, no two have one plate or one tag. A vehicle belongs to a unit, to a
--             resident, or to a resident in a unit, all of its community. What somebody brought along is theirs no longer than
--             they stay: from the day after they moved out it does not count as active (app.is_active_on looks at the
--             occupancy itself), and becomes removed when their leaving is noticed.
--             What waits for approval does not hold its plate: nobody keeps another's plate by registering it first.

create type public.vehicle_type as enum ('car', 'motorcycle', 'bicycle', 'truck', 'trailer', 'other');
create type public.vehicle_status as enum ('pending', 'active', 'suspended', 'rejected', 'removed');

select app.define_permission('vehicles.read', 'community', 'See every vehicle, by plate, unit and name', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager, community/guard}');
select app.define_permission('vehicles.manage', 'community', 'Register, approve, suspend and remove vehicles', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager}');
select app.define_permission('vehicles.archive', 'community', 'Archive and restore vehicles', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');
select app.define_permission('vehicles.read_own', 'unit', 'See the vehicles of the own unit, of those whom one sees there',
  '{community/owner, community/tenant, community/family, community/authorized}');
select app.define_permission('vehicles.manage_own', 'unit', 'Register and remove vehicles of the own unit',
  '{community/owner, community/tenant, community/authorized}');

select app.define_setting('general.vehicle_approval', 'boolean', 'true', '{site,organization,community,building}',
  'Whether a vehicle that residents register waits until the management approves it.');
select app.define_setting('general.vehicles_per_unit', 'integer', '6', '{site,organization,community,building,unit}',
  'How many vehicles a unit may have, those that wait for approval included.', minimum => 0, maximum => 1000);

-- Plates -------------------------------------------------------------------------------------------------------------

create function app.normalized_plate(plate text)
returns text
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
begin
  -- NFKC first: full-width forms, circled digits and ligatures become what they look like. Then digits of other scripts, then
  -- capitals (by the builtin collation, the same on every system), then what is between the letters.
  -- Cyrillic and Greek letters that look Latin: plates of Bulgaria, Ukraine, Russia and Greece use only those, so that they can
  -- be read abroad, and are typed in either script. 0 and O, 1 and I, 8 and B are what cameras and people confuse most; the
  -- letter O and the digit 0 have one shape in several countries' plate fonts.
  -- Letters of other scripts (กข, बा, 品) stay: nothing Latin looks like them.
  return nullif(translate(
    upper(app.roster_digits(normalize(plate, nfkc)) collate pg_catalog.pg_c_utf8),
    'АВЕКМНОРСТУХІЈЅ' || 'ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ' || 'OIB' || U&' .\00B7\2022\30FB:/-\2010\2011\2012\2013\2014\2212''_\0009\00AD\200B\200C\200D\200E\200F\2060\FEFF',
    'A8EKMH0PCTYX1JS' || 'A8EZH1KMN0PTYX' || '018'), '');
end;
$$;

comment on function app.normalized_plate(text) is
  'By what plates are compared: capitals and digits alone, without spaces and dashes; full-width forms, digits of other scripts and Cyrillic and Greek letters that look Latin as Latin ones; 0 for O, 1 for I, 8 for B. '
  'Null if nothing remains. "св 1208 вн", "CB-I2O8-BH" and "CB1208BH" are one plate.';

create function app.is_plate(plate text)
returns boolean
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
begin
  -- What nearly every plate looks like needs no closer look: a gate writes it with every visit.
  if plate ~ '^[A-Z0-9]([A-Z0-9 -]{0,14}[A-Z0-9])?$' then
    return true;
  end if;
  -- Letters and digits of any script, vowel signs and tone marks of those of South and South-East Asia; no symbols, no pictures.
  return app.is_name(plate) and length(plate) <= 20
    and coalesce(app.normalized_plate(plate), '') ~ U&'^([[:alnum:]]|[\0300-\036F\0900-\109F\1780-\17FF]){1,16}$' collate pg_catalog.pg_c_utf8
    and plate !~ U&'[\+01F000-\+01FAFF\2460-\27BF]';
end;
$$;

comment on function app.is_plate(text) is
  'Whether the text can stand on a plate: up to 20 characters as written, of which 1 to 16 are letters or digits of any script, and the others spaces, dashes, dots, slashes or colons.';

grant execute on function app.normalized_plate(text), app.is_plate(text) to authenticated, service_role, vicinia_maintenance;
grant execute on function app.roster_digits(text) to vicinia_maintenance;

-- Vehicles -----------------------------------------------------------------------------------------------------------

create table public.vehicles (
  id uuid not null default extensions.uuidv7(),
  plate text,
  community_id uuid not null,
  unit_id uuid,
  resident_id uuid,
  plate_key text generated always as (app.normalized_plate(plate)) stored,
  country_code text,
  region text,
  type public.vehicle_type not null default 'car',
  make text,
  model text,
  colour text,
  tag_number text,
  status public.vehicle_status not null default 'pending',
  status_reason text,
  starts_on date,
  ends_on date,
  like app.row_model including defaults including comments,
  constraint vehicles_pkey primary key (id),
  constraint vehicles_community_id_key unique (community_id, id),
  constraint vehicles_unit_fkey foreign key (community_id, unit_id) references public.units (community_id, id) on delete restrict,
  constraint vehicles_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete restrict,
  constraint vehicles_belongs_check check (num_nonnulls(unit_id, resident_id) >= 1),
  constraint vehicles_plate_check check (app.is_plate(plate)),
  constraint vehicles_marked_check check (num_nonnulls(plate, tag_number) >= 1 or type = 'bicycle'),
  constraint vehicles_country_code_check check (country_code ~ '^[A-Z]{2}$'),
  constraint vehicles_region_check check (app.is_name(region) and length(region) <= 80),
  constraint vehicles_make_check check (app.is_name(make) and length(make) <= 60),
  constraint vehicles_model_check check (app.is_name(model) and length(model) <= 60),
  constraint vehicles_colour_check check (app.is_name(colour) and length(colour) <= 40),
  constraint vehicles_tag_number_check check (tag_number ~ '^[0-9A-Z]+([:-][0-9A-Z]+)*$' and length(tag_number) <= 64),
  constraint vehicles_status_reason_check check (app.is_name(status_reason)),
  constraint vehicles_ends_on_check check (ends_on >= starts_on)
);

create unique index vehicles_plate_key on public.vehicles (community_id, plate_key) where status in ('active', 'suspended') and deleted_at is null;
create unique index vehicles_tag_number_key on public.vehicles (community_id, tag_number) where status in ('active', 'suspended') and deleted_at is null;
create unique index vehicles_pending_key on public.vehicles (community_id, plate_key, unit_id, resident_id) nulls not distinct
  where status = 'pending' and plate is not null and deleted_at is null;
-- Look-ups, exact and near, whatever the state.
create index vehicles_lookup_idx on public.vehicles (community_id, plate_key) where plate_key is not null;
create index vehicles_unit_idx on public.vehicles (community_id, unit_id) where unit_id is not null;
create index vehicles_resident_idx on public.vehicles (community_id, resident_id) where resident_id is not null;

comment on table public.vehicles is
  'Vehicles of units and residents: what gates let in, and whom to call about a car in the way. Made by register_vehicle; plate, tag and state change by RPCs.';
comment on column public.vehicles.plate is 'The plate as written, in any script; null for a bicycle, or a vehicle that is known by its tag alone.';
comment on column public.vehicles.unit_id is 'The unit whose parking rights it uses; null for a resident''s vehicle that is tied to none.';
comment on column public.vehicles.resident_id is 'Whose it is: it goes when they move out. Null for a vehicle of the unit, whoever lives there.';
comment on column public.vehicles.plate_key is 'The plate as plates are compared (app.normalized_plate). Kept by the database.';
comment on column public.vehicles.country_code is 'Country of the plate (ISO 3166-1 alpha-2).';
comment on column public.vehicles.region is 'State or province of the plate, where numbers are given out by region: กรุงเทพมหานคร, Querétaro.';
comment on column public.vehicles.type is 'car, motorcycle, bicycle, truck, trailer, other.';
comment on column public.vehicles.make is 'Who made it: Škoda.';
comment on column public.vehicles.model is 'What the maker calls it: Octavia.';
comment on column public.vehicles.colour is 'In the words of whoever registered it.';
comment on column public.vehicles.tag_number is 'Number of the RFID tag or sticker: capitals and digits, inner colons and dashes. Unique among active and suspended vehicles of the community.';
comment on column public.vehicles.status is 'pending: awaits approval. active: may come in, within its dates. suspended: known, kept out. rejected, removed: history.';
comment on column public.vehicles.status_reason is 'Why it is in this state; its people see it.';
comment on column public.vehicles.starts_on is 'The first day on which it may come in, in the community''s time zone; null: from registration on.';
comment on column public.vehicles.ends_on is 'The last day on which it may come in; null: until further notice.';

create function app.is_over(vehicle public.vehicles)
returns boolean
language sql
immutable
set search_path = ''
return vehicle.status in ('rejected', 'removed');

comment on function app.is_over(public.vehicles) is 'Whether the row is history: a vehicle that is gone does not keep its unit, or its person, from being archived.';

grant execute on function app.is_over(public.vehicles) to authenticated, service_role;

select app.track('public.vehicles');

select app.register_personal_data('public.vehicles', 'resident_id', 'resident', on_erase => 'remove',
  columns => '{"plate": null, "tag_number": null, "region": null, "make": null, "model": null, "colour": null, "status_reason": null}');

-- Users take the steps through set_vehicle_status, which also lets residents remove what is theirs.
insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.vehicles', null, 'pending', null, 'Somebody registers it and asks for approval'),
  ('public.vehicles', null, 'active', null, 'The management registers it, or no approval is asked for'),
  ('public.vehicles', 'pending', 'active', 'vehicles.manage', 'Approve'),
  ('public.vehicles', 'pending', 'rejected', 'vehicles.manage', 'Reject'),
  ('public.vehicles', 'active', 'suspended', 'vehicles.manage', 'Keep out for now'),
  ('public.vehicles', 'suspended', 'active', 'vehicles.manage', 'Let in again'),
  ('public.vehicles', 'pending', 'removed', null, 'It is gone, or its people are'),
  ('public.vehicles', 'active', 'removed', null, 'It is gone, or its people are'),
  ('public.vehicles', 'suspended', 'removed', null, 'It is gone, or its people are');

select app.state_machine('public.vehicles', 'status');

insert into app.archive_rules (table_id, permission_key) values ('public.vehicles', 'vehicles.archive');

create function app.vehicles_with_me()
returns setof uuid
language plpgsql
stable
security definer -- looks at units and residents of the caller before any policy on them is decided
set search_path = ''
as $$
begin
  return query
    select v.id
    from app.my_residents() m
    join public.residents r on r.id = m
    join public.vehicles v on v.community_id = r.community_id and v.resident_id = r.id
    union
    select v.id
    from app.units_with('vehicles.read_own') w
    join public.units u on u.id = w
    join public.vehicles v on v.community_id = u.community_id and v.unit_id = u.id
    where v.resident_id is null or v.resident_id in (select app.residents_with_me());
end;
$$;

comment on function app.vehicles_with_me() is
  'The caller''s own vehicles, and those of the caller''s units: the unit''s, and of the people whom the caller sees there (an owner everybody''s, a tenant not the owner''s). Definer: reads occupancies and vehicles.';

grant execute on function app.vehicles_with_me() to authenticated;

create policy vehicles_select on public.vehicles for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('vehicles.archive'))))
    and (
      (select 'vehicles.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('vehicles.read'))
      or id in (select app.vehicles_with_me())
    )
  );
create policy vehicles_update on public.vehicles for update to authenticated
  using (
    community_id = any ((select app.communities_where('vehicles.manage'))::uuid[])
    and deleted_at is null
  )
  with check (community_id = any ((select app.communities_where('vehicles.manage'))::uuid[]));

grant select, update (country_code, region, type, make, model, colour, starts_on, ends_on) on public.vehicles to authenticated;
grant select, insert, update on public.vehicles to service_role;

-- Whose vehicle is it today ------------------------------------------------------------------------------------------

-- In PL/pgSQL, which keeps its plans: every vehicle at a gate comes past them.

create function app.is_entitled_on(vehicle public.vehicles, day date)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return vehicle.resident_id is null or exists (
    select from public.occupancies o
    where o.community_id = vehicle.community_id and o.resident_id = vehicle.resident_id and (vehicle.unit_id is null or o.unit_id = vehicle.unit_id)
      and o.deleted_at is null and o.starts_on <= is_entitled_on.day and (o.ends_on is null or o.ends_on >= is_entitled_on.day));
end;
$$;

comment on function app.is_entitled_on(public.vehicles, date) is
  'Whether the vehicle''s person occupies its unit on the day (or any unit, for a vehicle without one). True for a vehicle of the unit.';

create function app.is_active_on(vehicle public.vehicles, day date)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return vehicle.status = 'active' and vehicle.deleted_at is null
    and (vehicle.starts_on is null or vehicle.starts_on <= is_active_on.day) and (vehicle.ends_on is null or vehicle.ends_on >= is_active_on.day)
    and app.is_entitled_on(vehicle, is_active_on.day);
end;
$$;

comment on function app.is_active_on(public.vehicles, date) is
  'Whether the vehicle may come in on a day of its community: active, within its dates, and its person occupies the unit on that day. What gates ask; waits for no job.';

grant execute on function app.is_entitled_on(public.vehicles, date), app.is_active_on(public.vehicles, date) to service_role;

create function app.remove_orphaned_vehicles(communities uuid[], residents uuid[], plate_key text default null)
returns void
language plpgsql
volatile
security definer -- writes vehicles of people who have just left, whoever noticed it
set search_path = ''
as $$
declare
  orphaned uuid[];
begin
  orphaned := array(
    select v.id
    from public.vehicles v
    join public.communities c on c.id = v.community_id
    where v.community_id = any (communities) and v.status in ('pending', 'active', 'suspended') and v.deleted_at is null
      and (residents is null or v.resident_id = any (residents))
      and (remove_orphaned_vehicles.plate_key is null or v.plate_key = remove_orphaned_vehicles.plate_key)
      and not app.is_entitled_on(v, (now() at time zone c.time_zone)::date)
      -- Somebody who is about to come may have a vehicle already.
      and not exists (
        select from public.occupancies o
        where o.community_id = v.community_id and o.resident_id = v.resident_id and (v.unit_id is null or o.unit_id = v.unit_id)
          and o.deleted_at is null and o.starts_on > (now() at time zone c.time_zone)::date));
  perform from public.vehicles v where v.id = any (orphaned) order by v.id for no key update;
  update public.vehicles v
  set status = 'removed', status_reason = 'moved_out'
  where v.id = any (orphaned) and v.status in ('pending', 'active', 'suspended');
end;
$$;

comment on function app.remove_orphaned_vehicles(uuid[], uuid[], text) is
  'Removes vehicles whose people do not occupy their unit any more (status_reason moved_out): of some residents, or with one plate. Vehicles are locked in order of id. Definer: writes vehicles, whoever noticed the leaving.';

create function app.tg_occupancies__vehicles()
returns trigger
language plpgsql
security definer -- calls app.remove_orphaned_vehicles
set search_path = ''
as $$
begin
  if exists (
    select from new_rows n join old_rows o on o.id = n.id
    where (n.moved_out_at is not null and o.moved_out_at is null) or (n.deleted_at is not null and o.deleted_at is null))
  then
    perform app.remove_orphaned_vehicles(array_agg(distinct n.community_id), array_agg(distinct n.resident_id)) from new_rows n;
  end if;
  return null;
end;
$$;

comment on function app.tg_occupancies__vehicles() is
  'AFTER an occupancy''s end was noticed, or it was archived: what the person brought along is removed. Definer: calls app.remove_orphaned_vehicles.';

create trigger _550_vehicles after update on public.occupancies
  referencing old table as old_rows new table as new_rows for each statement execute function app.tg_occupancies__vehicles();

create function app.tg_vehicles__emit()
returns trigger
language plpgsql
security definer -- calls app.emit, which no API role may
set search_path = ''
as $$
begin
  perform app.emit(case when tg_op = 'INSERT' then 'vehicle.registered' else 'vehicle.' || new.status end, new.community_id,
    jsonb_build_object('vehicle_id', new.id, 'unit_id', new.unit_id, 'resident_id', new.resident_id, 'status', new.status));
  return null;
end;
$$;

comment on function app.tg_vehicles__emit() is
  'AFTER INSERT, and AFTER UPDATE that changes the state: events vehicle.registered, .active, .suspended, .rejected, .removed. Definer: calls app.emit.';

create trigger _600_emit_registered after insert on public.vehicles for each row execute function app.tg_vehicles__emit();
create trigger _600_emit_status after update of status on public.vehicles for each row
  when (old.status is distinct from new.status) execute function app.tg_vehicles__emit();

-- Registering --------------------------------------------------------------------------------------------------------

create function app.fail_vehicle_taken(constraint_name text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  if constraint_name = 'vehicles_tag_number_key' then
    perform app.fail(409, 'tag_taken', 'Another active vehicle of this community has this tag.');
  end if;
  perform app.fail(409, 'plate_taken', 'Another vehicle of this community has this plate.', 'If it is gone, the management removes it first.');
end;
$$;

comment on function app.fail_vehicle_taken(text) is 'What the RPCs answer when a unique index of vehicles refuses: 409 plate_taken or tag_taken.';

create function app.register_vehicle(
  unit uuid, resident uuid, plate text, type public.vehicle_type, country_code text, region text, make text, model text, colour text, tag_number text,
  starts_on date, ends_on date
)
returns uuid
language plpgsql
volatile
security definer -- API roles may not insert vehicles
set search_path = ''
as $$
declare
  community constant uuid := coalesce(
    (select u.community_id from public.units u where u.id = unit and u.deleted_at is null),
    case when unit is null then (select r.community_id from public.residents r where r.id = resident and r.deleted_at is null) end);
  is_manager constant boolean := app.is_trusted() or app.can('vehicles.manage', community);
  person uuid := resident;
  home record;
  most integer;
  registered uuid;
  refused text;
begin
  if not is_manager then
    if unit is null or unit not in (select app.units_with('vehicles.manage_own')) then
      perform app.require('vehicles.manage', community);
    end if;
    person := coalesce(resident, (select re.id from public.residents re where re.community_id = community and re.id in (select app.my_residents())));
    if person not in (select app.residents_with_me()) then
      perform app.fail(404, 'resident_not_found', 'There is no live resident with this id in this unit whom you see.');
    elsif tag_number is not null then
      perform app.fail(403, 'permission_denied', 'Tags are given out by holders of vehicles.manage.');
    end if;
  end if;
  if unit is null and resident is null then
    perform app.fail(422, 'invalid_value', 'A vehicle belongs to a unit, to a resident, or to both.');
  elsif community is null then
    perform app.fail(404, case when unit is null then 'resident_not_found' else 'unit_not_found' end, 'There is no live row with this id.');
  elsif person is not null and not exists (
    select from public.residents r where r.community_id = community and r.id = person and r.deleted_at is null)
  then
    perform app.fail(404, 'resident_not_found', 'There is no live resident with this id in this community.');
  end if;
  select u.building_id, (now() at time zone c.time_zone)::date as today into home
  from public.communities c left join public.units u on u.community_id = c.id and u.id = unit
  where c.id = community;
  if person is not null and not exists (
    select from public.occupancies o
    where o.community_id = community and o.resident_id = person and (unit is null or o.unit_id = unit)
      and o.deleted_at is null and (o.ends_on is null or o.ends_on >= home.today))
  then
    perform app.fail(409, 'not_an_occupant', 'This resident does not occupy the unit, now or later.');
  end if;

  if unit is not null then
    -- One at a time per unit, so that several at once do not exceed what it may have.
    perform from public.units u where u.id = unit for no key update;
    most := app.setting('general.vehicles_per_unit', community, home.building_id, unit)::integer;
    if (select count(*) >= most from public.vehicles v
      where v.community_id = community and v.unit_id = unit and v.status in ('pending', 'active', 'suspended') and v.deleted_at is null)
    then
      perform app.fail(409, 'too_many_vehicles', format('This unit may have %s vehicles.', most), 'Remove one first.');
    end if;
  end if;

  -- Somebody who left, and whose leaving nobody has noticed yet, does not keep a plate.
  if plate is not null then
    perform app.remove_orphaned_vehicles(array[community], null, app.normalized_plate(plate));
    if exists (
      select from public.vehicles v
      where v.community_id = community and v.plate_key = app.normalized_plate(register_vehicle.plate) and v.status in ('active', 'suspended') and v.deleted_at is null)
    then
      perform app.fail_vehicle_taken('vehicles_plate_key');
    end if;
  end if;

  insert into public.vehicles (
    plate, community_id, unit_id, resident_id, country_code, region, type, make, model, colour, tag_number, starts_on, ends_on, status)
  values (
    nullif(btrim(plate), ''), community, unit, person, upper(country_code), region, coalesce(type, 'car'), make, model, colour, upper(tag_number), starts_on, ends_on,
    case when is_manager or not app.setting('general.vehicle_approval', community, home.building_id)::boolean then 'active' else 'pending' end::public.vehicle_status)
  returning id into registered;
  return registered;
exception
  when unique_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_vehicle_taken(refused);
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('vehicles', refused);
end;
$$;

comment on function app.register_vehicle(uuid, uuid, text, public.vehicle_type, text, text, text, text, text, text, date, date) is
  'What public.register_vehicle does. The unit is locked first, then vehicles in order of id. Definer: no API role may insert vehicles.';

create function public.register_vehicle(
  unit_id uuid default null, plate text default null, type public.vehicle_type default 'car', resident_id uuid default null, country_code text default null,
  region text default null, make text default null, model text default null, colour text default null, tag_number text default null,
  starts_on date default null, ends_on date default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.register_vehicle(unit_id, resident_id, plate, type, country_code, region, make, model, colour, tag_number, starts_on, ends_on) $$;

comment on function public.register_vehicle(uuid, text, public.vehicle_type, uuid, text, text, text, text, text, text, date, date) is
  'Registers a vehicle of a unit, of a resident, or of a resident in a unit. With vehicles.manage it is active at once; people of the unit (vehicles.manage_own) register their own and their household''s, '
  'pending where general.vehicle_approval says so. Returns its id. '
  'Errors: permission_denied, unit_not_found, resident_not_found, not_an_occupant, too_many_vehicles, plate_taken, tag_taken, invalid_value.';

-- Changing -----------------------------------------------------------------------------------------------------------

create function app.changeable_vehicle(vehicle uuid, is_visible boolean)
returns public.vehicles
language plpgsql
volatile
security definer -- locks a row that its people may not update
set search_path = ''
as $$
declare
  present public.vehicles;
begin
  if is_visible then
    select v.* into present from public.vehicles v where v.id = vehicle and v.deleted_at is null for no key update;
  end if;
  if present.id is null then
    perform app.fail(404, 'vehicle_not_found', 'There is no vehicle with this id.');
  elsif not app.is_trusted() and not app.can('vehicles.manage', present.community_id)
    and (present.unit_id is null or present.unit_id not in (select app.units_with('vehicles.manage_own')))
  then
    perform app.fail(403, 'permission_denied', 'This takes vehicles.manage in the community, or vehicles.manage_own in the vehicle''s unit.');
  end if;
  return present;
end;
$$;

comment on function app.changeable_vehicle(uuid, boolean) is
  'The vehicle, locked, if the caller sees it (is_visible) and manages it or the vehicles of its unit. Not executable by API roles. Definer: locks a row that its people may not update.';

create function app.set_vehicle_status(vehicle uuid, status public.vehicle_status, reason text, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- status is in no column grant
set search_path = ''
as $$
declare
  present public.vehicles;
  refused text;
begin
  present := app.changeable_vehicle(vehicle, is_visible);
  if set_vehicle_status.status is null then
    perform app.fail(422, 'invalid_value', 'A vehicle has a status.');
  elsif not app.is_trusted() and not app.can('vehicles.manage', present.community_id)
    and (set_vehicle_status.status <> 'removed' or present.status not in ('pending', 'active', 'removed'))
  then
    -- Whoever was kept out would otherwise remove the vehicle and register it anew.
    perform app.fail(403, 'permission_denied', 'People of the unit remove their vehicles; this takes the permission vehicles.manage.');
  elsif present.status = set_vehicle_status.status then
    return;
  end if;
  update public.vehicles v set status = set_vehicle_status.status, status_reason = reason where v.id = present.id;
exception
  when unique_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_vehicle_taken(refused);
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('vehicles', refused);
end;
$$;

comment on function app.set_vehicle_status(uuid, public.vehicle_status, text, boolean) is 'What public.set_vehicle_status does. Definer: no API role may write the status.';

create function public.set_vehicle_status(vehicle_id uuid, status public.vehicle_status, reason text default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_vehicle_status(vehicle_id, status, reason, app.sees_row('vehicles', vehicle_id)) $$;

comment on function public.set_vehicle_status(uuid, public.vehicle_status, text) is
  'Approves (active), rejects, suspends or removes a vehicle; takes vehicles.manage. People of the unit remove their own, unless it is suspended. In that state already: nothing happens. '
  'Errors: vehicle_not_found, permission_denied, transition_refused, plate_taken, tag_taken, invalid_value.';

create function app.set_vehicle_marks(vehicle uuid, plate text, tag_number text, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- plate and tag are in no column grant
set search_path = ''
as $$
declare
  present public.vehicles;
  refused text;
begin
  present := app.changeable_vehicle(vehicle, is_visible);
  perform app.require('vehicles.manage', present.community_id);
  update public.vehicles v
  set plate = nullif(btrim(set_vehicle_marks.plate), ''), tag_number = upper(nullif(btrim(set_vehicle_marks.tag_number), ''))
  where v.id = present.id;
exception
  when unique_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_vehicle_taken(refused);
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('vehicles', refused);
end;
$$;

comment on function app.set_vehicle_marks(uuid, text, text, boolean) is 'What public.set_vehicle_marks does. Definer: plate and tag are in no column grant.';

create function public.set_vehicle_marks(vehicle_id uuid, plate text, tag_number text)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_vehicle_marks(vehicle_id, plate, tag_number, app.sees_row('vehicles', vehicle_id)) $$;

comment on function public.set_vehicle_marks(uuid, text, text) is
  'Sets the plate and the tag of a vehicle, both as given (null: none); takes vehicles.manage. Errors: vehicle_not_found, permission_denied, plate_taken, tag_taken, invalid_value.';

grant execute on function
  app.register_vehicle(uuid, uuid, text, public.vehicle_type, text, text, text, text, text, text, date, date),
  public.register_vehicle(uuid, text, public.vehicle_type, uuid, text, text, text, text, text, text, date, date),
  app.set_vehicle_status(uuid, public.vehicle_status, text, boolean), public.set_vehicle_status(uuid, public.vehicle_status, text),
  app.set_vehicle_marks(uuid, text, text, boolean), public.set_vehicle_marks(uuid, text, text)
to authenticated, service_role;
