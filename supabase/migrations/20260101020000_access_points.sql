-- Access control: booths and access points.
--
-- Purpose     Where people come in and go out, what watches over it, and when it opens.
-- Tables      booths, access_points
-- RPCs        set_access_point_status
-- Invariants  A point's booth, building and entrance are of its community, an entrance of the point's building. Open hours are in the
--             community's time zone, whatever the clocks do. Only a point in service opens.

create type public.access_point_kind as enum ('gate', 'barrier', 'door', 'turnstile', 'elevator');
create type public.access_direction as enum ('in', 'out', 'both');
create type public.access_point_status as enum ('in_service', 'out_of_service');

select app.define_permission('gates.read', 'community', 'See access points and booths', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager, community/guard,
  community/technician, community/committee, community/owner, community/tenant, community/family, community/authorized}');
select app.define_permission('gates.manage', 'community', 'Set up access points, booths, devices, cards and holds', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager}');
select app.define_permission('gates.archive', 'community', 'Archive and restore what gates consist of', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');

-- Hours --------------------------------------------------------------------------------------------------------------

create function app.are_hours(value jsonb)
returns boolean
language plpgsql
immutable
returns null on null input
set search_path = ''
as $$
begin
  return jsonb_typeof(value) = 'array' and jsonb_array_length(value) between 1 and 20 and not exists (
    select from jsonb_array_elements(value) h
    where jsonb_typeof(h) <> 'object' or h - '{from,to,days}'::text[] <> '{}'
      or not coalesce(h ->> 'from' ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$' and h ->> 'to' ~ '^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$', false)
      or h ->> 'from' = h ->> 'to'
      or (h ? 'days' and not (jsonb_typeof(h -> 'days') = 'array' and jsonb_array_length(h -> 'days') > 0 and h -> 'days' <@ '[1, 2, 3, 4, 5, 6, 7]')));
end;
$$;

comment on function app.are_hours(jsonb) is
  'Whether the JSON tells hours of a week, with nothing else in it: [{"from": "07:00", "to": "22:00", "days": [1, 2, 3, 4, 5]}], days from 1 (Monday) to 7, all where left out; "to" up to 24:00, or before "from": past midnight.';

create function app.within_hours(hours jsonb, local_time timestamp)
returns boolean
language plpgsql
immutable
returns null on null input
set search_path = ''
as $$
declare
  clock constant text := to_char(local_time, 'HH24:MI');
  today constant integer := extract(isodow from local_time);
  yesterday constant integer := (today + 5) % 7 + 1;
begin
  return exists (
    select
    from jsonb_array_elements(hours) h
    where case
      when h ->> 'from' < h ->> 'to' then clock >= h ->> 'from' and clock < h ->> 'to' and (not h ? 'days' or h -> 'days' @> to_jsonb(today))
      else (clock >= h ->> 'from' and (not h ? 'days' or h -> 'days' @> to_jsonb(today)))
        or (clock < h ->> 'to' and (not h ? 'days' or h -> 'days' @> to_jsonb(yesterday)))
    end);
end;
$$;

comment on function app.within_hours(jsonb, timestamp) is
  'Whether a moment, as clocks on the wall show it, lies in hours as app.are_hours describes them. What passes midnight belongs to the day on which it begins; "to" is not within.';

grant execute on function app.are_hours(jsonb), app.within_hours(jsonb, timestamp) to authenticated, service_role, vicinia_maintenance;

-- Booths -------------------------------------------------------------------------------------------------------------

create table public.booths (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  community_id uuid not null,
  phone text,
  intercom_extension text,
  like app.row_model including defaults including comments,
  constraint booths_pkey primary key (id),
  constraint booths_community_id_key unique (community_id, id),
  constraint booths_name_key unique nulls not distinct (community_id, name, deleted_at),
  constraint booths_community_fkey foreign key (community_id) references public.communities (id) on delete restrict,
  constraint booths_name_check check (app.is_name(name)),
  constraint booths_phone_check check (app.is_phone(phone)),
  constraint booths_intercom_extension_check check (app.is_name(intercom_extension) and length(intercom_extension) <= 20)
);

comment on table public.booths is 'Where guards sit: a booth, a lobby desk, a control room. It is addressed by whoever is on shift there, not by a person.';
comment on column public.booths.name is 'What people call it; unique in the community.';
comment on column public.booths.phone is 'The telephone on its desk.';
comment on column public.booths.intercom_extension is 'What a unit dials on the intercom to reach it.';

select app.track('public.booths');
select app.register_personal_data('public.booths', 'phone', 'nobody', kept_because => 'The telephone of a desk, whoever sits there.');
insert into app.archive_rules (table_id, permission_key) values ('public.booths', 'gates.archive');

create policy booths_select on public.booths for select to authenticated
  using (
    community_id = any ((select app.my_communities())::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('gates.archive'))))
    and community_id in (select app.communities_with('gates.read'))
  );
create policy booths_insert on public.booths for insert to authenticated
  with check (community_id = any ((select app.my_communities())::uuid[]) and community_id in (select app.communities_with('gates.manage')));
create policy booths_update on public.booths for update to authenticated
  using (
    community_id = any ((select app.my_communities())::uuid[])
    and deleted_at is null
    and community_id in (select app.communities_with('gates.manage'))
  )
  with check (community_id = any ((select app.my_communities())::uuid[]) and community_id in (select app.communities_with('gates.manage')));

grant select, insert (id, community_id, name, phone, intercom_extension), update (name, phone, intercom_extension) on public.booths to authenticated;
grant select, insert, update on public.booths to service_role;

-- Access points ------------------------------------------------------------------------------------------------------

create table public.access_points (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  community_id uuid not null,
  building_id uuid,
  entrance_id uuid,
  booth_id uuid,
  kind public.access_point_kind not null,
  direction public.access_direction not null default 'both',
  has_anti_passback boolean not null default false,
  is_open_to_residents boolean not null default true,
  open_hours jsonb,
  status public.access_point_status not null default 'in_service',
  status_reason text,
  like app.row_model including defaults including comments,
  constraint access_points_pkey primary key (id),
  constraint access_points_community_id_key unique (community_id, id),
  constraint access_points_name_key unique nulls not distinct (community_id, name, deleted_at),
  constraint access_points_community_fkey foreign key (community_id) references public.communities (id) on delete restrict,
  constraint access_points_building_fkey foreign key (community_id, building_id) references public.buildings (community_id, id) on delete restrict,
  constraint access_points_entrance_fkey foreign key (community_id, building_id, entrance_id) references public.entrances (community_id, building_id, id)
    on delete restrict,
  constraint access_points_booth_fkey foreign key (community_id, booth_id) references public.booths (community_id, id) on delete restrict,
  constraint access_points_name_check check (app.is_name(name)),
  constraint access_points_entrance_id_check check (entrance_id is null or building_id is not null),
  constraint access_points_open_hours_check check (app.are_hours(open_hours)),
  constraint access_points_status_reason_check check (app.is_name(status_reason))
);

create index access_points_building_idx on public.access_points (community_id, building_id, entrance_id) where building_id is not null;
create index access_points_booth_idx on public.access_points (community_id, booth_id) where booth_id is not null;

comment on table public.access_points is 'Gates, barriers, doors, turnstiles and lifts: where somebody is let in or out.';
comment on column public.access_points.name is 'What people call it; unique in the community.';
comment on column public.access_points.building_id is 'The building it leads into; null: into the grounds.';
comment on column public.access_points.entrance_id is 'The entrance of that building at which it stands.';
comment on column public.access_points.booth_id is 'The booth that watches over it: whom to ring there, and whose shift a decision belongs to. Null: none does.';
comment on column public.access_points.kind is 'gate, barrier, door, turnstile, elevator.';
comment on column public.access_points.direction is 'Which way it lets people through: in, out, both.';
comment on column public.access_points.has_anti_passback is 'Whether nobody comes in here again who has not gone out since.';
comment on column public.access_points.is_open_to_residents is 'Whether residents may open it from the app.';
comment on column public.access_points.open_hours is
  'When it opens, in the community''s time zone: [{"from": "07:00", "to": "22:00", "days": [1, 2, 3, 4, 5]}], Monday is 1, every day where left out, past midnight where "to" is before "from". Null: always.';
comment on column public.access_points.status is 'in_service, or out_of_service: opens for nobody. Set by set_access_point_status.';
comment on column public.access_points.status_reason is 'Why it is out of service: what people read at a gate that does not open.';

select app.track('public.access_points');
insert into app.archive_rules (table_id, permission_key) values ('public.access_points', 'gates.archive');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.access_points', null, 'in_service', null, 'It is set up'),
  ('public.access_points', 'in_service', 'out_of_service', 'gates.manage', 'Take it out of service'),
  ('public.access_points', 'out_of_service', 'in_service', 'gates.manage', 'Put it into service again');

select app.state_machine('public.access_points', 'status');

create policy access_points_select on public.access_points for select to authenticated
  using (
    community_id = any ((select app.my_communities())::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('gates.archive'))))
    and community_id in (select app.communities_with('gates.read'))
  );
create policy access_points_insert on public.access_points for insert to authenticated
  with check (community_id = any ((select app.my_communities())::uuid[]) and community_id in (select app.communities_with('gates.manage')));
create policy access_points_update on public.access_points for update to authenticated
  using (
    community_id = any ((select app.my_communities())::uuid[])
    and deleted_at is null
    and community_id in (select app.communities_with('gates.manage'))
  )
  with check (community_id = any ((select app.my_communities())::uuid[]) and community_id in (select app.communities_with('gates.manage')));

grant select,
  insert (id, community_id, name, building_id, entrance_id, booth_id, kind, direction, has_anti_passback, is_open_to_residents, open_hours),
  update (name, building_id, entrance_id, booth_id, kind, direction, has_anti_passback, is_open_to_residents, open_hours)
on public.access_points to authenticated;
grant select, insert, update on public.access_points to service_role;

create function app.is_open_at(point public.access_points, moment timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  if point.status <> 'in_service' or point.deleted_at is not null then
    return false;
  end if;
  return point.open_hours is null
    or app.within_hours(point.open_hours, moment at time zone (select c.time_zone from public.communities c where c.id = point.community_id));
end;
$$;

comment on function app.is_open_at(public.access_points, timestamptz) is
  'Whether the point opens at all at a moment: in service, and within its hours by the clocks of its community. Not executable by API roles.';

create function app.tg_access_points__emit()
returns trigger
language plpgsql
security definer -- calls app.emit, which no API role may
set search_path = ''
as $$
begin
  perform app.emit('access_point.' || new.status, new.community_id, jsonb_build_object('access_point_id', new.id, 'booth_id', new.booth_id));
  return null;
end;
$$;

comment on function app.tg_access_points__emit() is
  'AFTER UPDATE that changes the state: events access_point.in_service, access_point.out_of_service. Definer: calls app.emit.';

create trigger _600_emit_status after update of status on public.access_points for each row
  when (old.status is distinct from new.status) execute function app.tg_access_points__emit();

create function app.set_access_point_status(point uuid, status public.access_point_status, reason text, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- status is in no column grant
set search_path = ''
as $$
declare
  present public.access_points;
  refused text;
begin
  if is_visible then
    select p.* into present from public.access_points p where p.id = point and p.deleted_at is null for no key update;
  end if;
  if present.id is null then
    perform app.fail(404, 'access_point_not_found', 'There is no access point with this id.');
  end if;
  perform app.require('gates.manage', present.community_id);
  if set_access_point_status.status is null then
    perform app.fail(422, 'invalid_value', 'An access point has a status.');
  end if;
  update public.access_points p
  set status = set_access_point_status.status, status_reason = case when set_access_point_status.status = 'out_of_service' then nullif(btrim(reason), '') end
  where p.id = present.id;
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('access_points', refused);
end;
$$;

comment on function app.set_access_point_status(uuid, public.access_point_status, text, boolean) is 'What public.set_access_point_status does. Definer: status is in no column grant.';

create function public.set_access_point_status(access_point_id uuid, status public.access_point_status, reason text default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_access_point_status(access_point_id, status, reason, app.sees_row('access_points', access_point_id)) $$;

comment on function public.set_access_point_status(uuid, public.access_point_status, text) is
  'Takes an access point out of service, for the reason that people then read, or puts it back; takes gates.manage. In that state already: the reason is as given. Errors: access_point_not_found, permission_denied, invalid_value.';

grant execute on function
  app.set_access_point_status(uuid, public.access_point_status, text, boolean), public.set_access_point_status(uuid, public.access_point_status, text)
to authenticated, service_role;
