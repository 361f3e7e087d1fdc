-- Property: buildings, entrances and units.
--
-- Purpose     What a community consists of.
-- Tables      buildings, entrances, units
-- Views       ideal_parts_report
-- Invariants  A unit's number is unique in its building (or among the community's houses that stand in none). An entrance
--             belongs to the unit's own building. Buildings and units hold declared settings alone. The units' ideal parts are
--             reported against what the community declares.

create type public.unit_type as enum ('house', 'apartment', 'shop', 'storage', 'office', 'parking');
create type public.unit_status as enum ('vacant', 'occupied', 'under_maintenance');

select app.define_permission('units.read', 'community', 'See every unit, building and entrance', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor, organization/viewer,
  community/admin, community/manager, community/accountant, community/guard, community/technician, community/committee}');
select app.define_permission('units.manage', 'community', 'Add and change units, buildings and entrances', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager}');
select app.define_permission('units.archive', 'community', 'Archive and restore units, buildings and entrances', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');
select app.define_permission('units.read_own', 'unit', 'See the own unit',
  '{community/owner, community/tenant, community/family, community/authorized}');

-- Buildings ----------------------------------------------------------------------------------------------------------

create table public.buildings (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  community_id uuid not null,
  address text,
  floor_count smallint,
  settings jsonb not null default '{}',
  like app.row_model including defaults including comments,
  constraint buildings_pkey primary key (id),
  constraint buildings_community_id_key unique (community_id, id),
  constraint buildings_name_key unique nulls not distinct (community_id, name, deleted_at),
  constraint buildings_community_fkey foreign key (community_id) references public.communities (id) on delete restrict,
  constraint buildings_name_check check (app.is_name(name)),
  constraint buildings_address_check check (length(address) <= 500),
  constraint buildings_floor_count_check check (floor_count between 1 and 300),
  constraint buildings_settings_check check (jsonb_typeof(settings) = 'object')
);

comment on table public.buildings is 'Buildings, blocks, towers or streets of houses.';
comment on column public.buildings.name is 'What people call it; unique in the community.';
comment on column public.buildings.address is 'Where it differs from the community''s.';
comment on column public.buildings.floor_count is 'Floors above ground.';
comment on column public.buildings.settings is 'Settings of this building alone, {"key": value}, each as its definition says. Changed by set_setting.';

select app.track('public.buildings');

create trigger _200_settings_valid before insert or update of settings on public.buildings
  for each row when (new.settings <> '{}') execute function app.tg__settings_valid('building');

create policy buildings_select on public.buildings for select to authenticated
  using (
    community_id = any ((select app.communities_where('communities.read'))::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('units.archive'))))
  );
create policy buildings_insert on public.buildings for insert to authenticated
  with check (community_id = any ((select app.communities_where('units.manage'))::uuid[]));
create policy buildings_update on public.buildings for update to authenticated
  using (
    community_id = any ((select app.communities_where('units.manage'))::uuid[])
    and deleted_at is null
  )
  with check (community_id = any ((select app.communities_where('units.manage'))::uuid[]));

grant select, insert (id, community_id, name, address, floor_count), update (name, address, floor_count) on public.buildings to authenticated;
grant select, insert, update on public.buildings to service_role;

-- Entrances ----------------------------------------------------------------------------------------------------------

create table public.entrances (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  community_id uuid not null,
  building_id uuid not null,
  has_intercom boolean not null default false,
  has_elevator boolean not null default false,
  like app.row_model including defaults including comments,
  constraint entrances_pkey primary key (id),
  constraint entrances_building_id_key unique (community_id, building_id, id),
  constraint entrances_name_key unique nulls not distinct (building_id, name, deleted_at),
  constraint entrances_building_fkey foreign key (community_id, building_id) references public.buildings (community_id, id) on delete restrict,
  constraint entrances_name_check check (app.is_name(name))
);

comment on table public.entrances is 'Entrances (stairwells, lobbies) of a building; each serves some of its units.';
comment on column public.entrances.building_id is 'The building it leads into.';
comment on column public.entrances.name is 'What people call it: A, 1, North; unique in the building.';
comment on column public.entrances.has_intercom is 'Whether a visitor can ring a unit from here.';
comment on column public.entrances.has_elevator is 'Whether its units share a lift, and its costs.';

select app.track('public.entrances');

create policy entrances_select on public.entrances for select to authenticated
  using (
    community_id = any ((select app.communities_where('communities.read'))::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('units.archive'))))
  );
create policy entrances_insert on public.entrances for insert to authenticated
  with check (community_id = any ((select app.communities_where('units.manage'))::uuid[]));
create policy entrances_update on public.entrances for update to authenticated
  using (
    community_id = any ((select app.communities_where('units.manage'))::uuid[])
    and deleted_at is null
  )
  with check (community_id = any ((select app.communities_where('units.manage'))::uuid[]));

grant select, insert (id, community_id, building_id, name, has_intercom, has_elevator), update (name, has_intercom, has_elevator)
on public.entrances to authenticated;
grant select, insert, update on public.entrances to service_role;

-- Units --------------------------------------------------------------------------------------------------------------

create table public.units (
  id uuid not null default extensions.uuidv7(),
  number text not null,
  community_id uuid not null,
  building_id uuid,
  entrance_id uuid,
  type public.unit_type not null default 'apartment',
  layout text,
  floor smallint,
  area numeric(10, 2),
  ideal_parts numeric(14, 6),
  occupant_count smallint,
  intercom_extension text,
  status public.unit_status not null default 'vacant',
  settings jsonb not null default '{}',
  like app.row_model including defaults including comments,
  constraint units_pkey primary key (id),
  constraint units_community_id_key unique (community_id, id),
  constraint units_number_key unique nulls not distinct (community_id, building_id, number, deleted_at),
  constraint units_community_fkey foreign key (community_id) references public.communities (id) on delete restrict,
  constraint units_building_fkey foreign key (community_id, building_id) references public.buildings (community_id, id) on delete restrict,
  constraint units_entrance_fkey foreign key (community_id, building_id, entrance_id) references public.entrances (community_id, building_id, id) on delete restrict,
  constraint units_entrance_check check (entrance_id is null or building_id is not null),
  constraint units_number_check check (app.is_name(number) and length(number) <= 40),
  constraint units_layout_check check (app.is_name(layout) and length(layout) <= 40),
  constraint units_floor_check check (floor between -20 and 300),
  constraint units_area_check check (area > 0),
  constraint units_ideal_parts_check check (ideal_parts >= 0),
  constraint units_occupant_count_check check (occupant_count between 0 and 1000),
  constraint units_intercom_extension_check check (intercom_extension ~ '^[0-9*#A-Z]{1,12}$'),
  constraint units_settings_check check (jsonb_typeof(settings) = 'object')
);

create index units_building_idx on public.units (community_id, building_id, entrance_id);

comment on table public.units is 'What is owned or let as one: houses, apartments, shops, storage rooms, offices, parking places.';
comment on column public.units.building_id is 'Its building; null for a house that stands in none.';
comment on column public.units.entrance_id is 'The entrance that leads to it; of the same building.';
comment on column public.units.number is 'What is on the door, as written; unique in the building.';
comment on column public.units.type is 'house (casa), apartment (departamento), shop (local), storage (bodega), office, parking.';
comment on column public.units.layout is 'Rooms, as the market says it: 2BHK, studio, 3+1.';
comment on column public.units.floor is '0 is the ground floor, negative below ground.';
comment on column public.units.area is 'Square metres, by which fees may be allocated.';
comment on column public.units.ideal_parts is 'Its share of the common parts (ideal parts, coefficient, undivided share), in the unit that communities.ideal_parts_total declares.';
comment on column public.units.occupant_count is 'Persons who live there as declared, by which fees may be allocated. May exceed the persons known by name.';
comment on column public.units.intercom_extension is 'What to dial at the entrance: digits, *, # and capital letters.';
comment on column public.units.status is 'occupied while somebody lives there (kept by the database), vacant otherwise; under_maintenance by set_unit_maintenance.';
comment on column public.units.settings is 'Settings of this unit alone, {"key": value}, each as its definition says. Changed by set_setting.';

select app.track('public.units');

create trigger _200_settings_valid before insert or update of settings on public.units
  for each row when (new.settings <> '{}') execute function app.tg__settings_valid('unit');

create policy units_select on public.units for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('units.archive'))))
    and (
      (select 'units.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('units.read'))
      or id in (select app.units_with('units.read_own'))
    )
  );
create policy units_insert on public.units for insert to authenticated
  with check (community_id = any ((select app.communities_where('units.manage'))::uuid[]));
create policy units_update on public.units for update to authenticated
  using (
    community_id = any ((select app.communities_where('units.manage'))::uuid[])
    and deleted_at is null
  )
  with check (community_id = any ((select app.communities_where('units.manage'))::uuid[]));

grant select,
  insert (id, community_id, building_id, entrance_id, number, type, layout, floor, area, ideal_parts, occupant_count, intercom_extension),
  update (building_id, entrance_id, number, type, layout, floor, area, ideal_parts, occupant_count, intercom_extension)
on public.units to authenticated;
grant select, insert, update on public.units to service_role;

-- Who lives there is noticed by app.refresh_unit_status; works are begun and ended by set_unit_maintenance.
insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.units', null, 'vacant', null, 'The unit is entered'),
  ('public.units', null, 'occupied', null, 'The unit is entered together with who lives there'),
  ('public.units', null, 'under_maintenance', 'units.manage', 'The unit is entered while there are works'),
  ('public.units', 'vacant', 'occupied', null, 'Somebody moves in'),
  ('public.units', 'occupied', 'vacant', null, 'The last one moves out'),
  ('public.units', 'vacant', 'under_maintenance', 'units.manage', 'Take the unit out of use for works'),
  ('public.units', 'occupied', 'under_maintenance', 'units.manage', 'Take the unit out of use for works'),
  ('public.units', 'under_maintenance', 'vacant', 'units.manage', 'Take the unit into use again');

select app.state_machine('public.units', 'status');

insert into app.archive_rules (table_id, permission_key) values
  ('public.buildings', 'units.archive'),
  ('public.entrances', 'units.archive'),
  ('public.units', 'units.archive');

-- Ideal parts --------------------------------------------------------------------------------------------------------

create view public.ideal_parts_report with (security_invoker = true) as
select
  c.name as community, c.id as community_id, c.ideal_parts_total as declared,
  coalesce(sum(u.ideal_parts), 0) as stored,
  coalesce(sum(u.ideal_parts), 0) - c.ideal_parts_total as difference,
  count(u.id) as units,
  count(u.id) filter (where u.ideal_parts is null) as units_without
from public.communities c
left join public.units u on u.community_id = c.id and u.deleted_at is null
where c.id in (select app.communities_with('units.read')) or app.is_trusted()
group by c.id, c.name, c.ideal_parts_total;

comment on view public.ideal_parts_report is
  'What the ideal parts of the units sum to, against what the community declares: difference is 0 where they agree. For holders of units.read.';
comment on column public.ideal_parts_report.community is 'Name of the community.';
comment on column public.ideal_parts_report.community_id is 'Its id.';
comment on column public.ideal_parts_report.declared is 'What the community declares (ideal_parts_total).';
comment on column public.ideal_parts_report.stored is 'What the live units sum to.';
comment on column public.ideal_parts_report.units is 'Live units.';
comment on column public.ideal_parts_report.difference is 'stored − declared: negative where parts are missing, positive where too many are given out.';
comment on column public.ideal_parts_report.units_without is 'Units whose ideal parts nobody has entered.';

grant select on public.ideal_parts_report to authenticated, service_role;
