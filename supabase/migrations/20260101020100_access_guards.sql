-- Access control: guards, shifts and who is on duty.
--
-- Purpose     Who guards, when, and where: so that a booth is addressed by its shift and not by a person.
-- Tables      guards, shifts, shift_assignments
-- RPCs        set_guard_user, set_guard_status, plan_shift, plan_shifts, move_shift, assign_guard, unassign_guard, booth_on_duty
-- Invariants  A guard is on one shift at a time, whoever assigns at once: the times of an assignment are its shift's, by a foreign key
--             that carries them along when the shift moves. A shift is at most a day long (25 hours, when clocks go back). Who was on
--             one that is over is changed by no RPC. A guard who is suspended or has left has no shifts to come, and reads nothing by
--             those that were.

create type public.guard_status as enum ('active', 'suspended', 'left');

select app.define_permission('guards.read', 'community', 'See guards, shifts and who is on duty', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager, community/guard}');
select app.define_permission('guards.manage', 'community', 'Employ guards, plan shifts and assign guards to them', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager}');

-- Guards -------------------------------------------------------------------------------------------------------------

create table public.guards (
  id uuid not null default extensions.uuidv7(),
  full_name text not null,
  community_id uuid not null,
  user_id uuid,
  employee_number text,
  agency text,
  phone text,
  license_number text,
  license_expires_on date,
  status public.guard_status not null default 'active',
  status_reason text,
  like app.row_model including defaults including comments,
  constraint guards_pkey primary key (id),
  constraint guards_community_id_key unique (community_id, id),
  constraint guards_community_fkey foreign key (community_id) references public.communities (id) on delete restrict,
  constraint guards_user_fkey foreign key (user_id) references public.profiles (id) on delete set null (user_id),
  constraint guards_full_name_check check (app.is_name(full_name)),
  constraint guards_employee_number_check check (app.is_name(employee_number) and length(employee_number) <= 40),
  constraint guards_agency_check check (app.is_name(agency)),
  constraint guards_phone_check check (app.is_phone(phone)),
  constraint guards_license_number_check check (app.is_name(license_number) and length(license_number) <= 60),
  constraint guards_license_expires_on_check check (license_expires_on is null or license_number is not null),
  constraint guards_status_reason_check check (app.is_name(status_reason))
);

create unique index guards_user_key on public.guards (user_id, community_id) where deleted_at is null;
create unique index guards_employee_number_key on public.guards (community_id, employee_number) where status <> 'left' and deleted_at is null;
create index guards_community_idx on public.guards (community_id, full_name);

comment on table public.guards is 'Who guards here: as an employee of the community, or of an agency. What a guard may do comes with the community role guard of the user.';
comment on column public.guards.full_name is 'Name in any script, as written.';
comment on column public.guards.user_id is 'The user who signs in as this guard; one per community. Linked by set_guard_user.';
comment on column public.guards.employee_number is 'Number by the employer; unique among those who have not left.';
comment on column public.guards.agency is 'The company that sends the guard; null: the community employs.';
comment on column public.guards.phone is 'Where to reach the guard. At work, the booth has a telephone.';
comment on column public.guards.license_number is 'Number of the licence, where the law wants one.';
comment on column public.guards.license_expires_on is 'The last day on which it counts; nobody is assigned to a shift that begins later.';
comment on column public.guards.status is 'active, suspended, left. Set by set_guard_status.';
comment on column public.guards.status_reason is 'Why.';

select app.track('public.guards');
select app.register_personal_data('public.guards', 'user_id', 'user', on_erase => 'unlink', is_with_resident => false,
  columns => '{"full_name": {"kept": "Who was on duty when somebody was let in answers for it."}, "phone": null, "status_reason": null,
    "license_number": null, "license_expires_on": null, "employee_number": null}',
  kept_because => 'Who was on duty when somebody was let in answers for it; the record is the community''s and loses the link to the account.');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.guards', null, 'active', null, 'Somebody begins to guard here'),
  ('public.guards', 'active', 'suspended', 'guards.manage', 'Take off duty for now'),
  ('public.guards', 'suspended', 'active', 'guards.manage', 'Back on duty'),
  ('public.guards', 'active', 'left', 'guards.manage', 'Guards here no more'),
  ('public.guards', 'suspended', 'left', 'guards.manage', 'Guards here no more'),
  ('public.guards', 'left', 'active', 'guards.manage', 'Guards here again');

select app.state_machine('public.guards', 'status');

create policy guards_select on public.guards for select to authenticated
  using (
    community_id = any ((select app.communities_where('guards.read'))::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('gates.archive'))))
  );
create policy guards_insert on public.guards for insert to authenticated
  with check (community_id = any ((select app.communities_where('guards.manage'))::uuid[]));
create policy guards_update on public.guards for update to authenticated
  using (
    community_id = any ((select app.communities_where('guards.manage'))::uuid[])
    and deleted_at is null
  )
  with check (community_id = any ((select app.communities_where('guards.manage'))::uuid[]));

grant select,
  insert (id, community_id, full_name, employee_number, agency, phone, license_number, license_expires_on),
  update (full_name, employee_number, agency, phone, license_number, license_expires_on)
on public.guards to authenticated;
grant select, insert, update on public.guards to service_role;

-- Shifts -------------------------------------------------------------------------------------------------------------

create table public.shifts (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  community_id uuid not null,
  booth_id uuid not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  needed_guards smallint not null default 1,
  like app.row_model including defaults including comments,
  constraint shifts_pkey primary key (id),
  constraint shifts_community_id_key unique (community_id, id),
  constraint shifts_times_key unique (community_id, id, starts_at, ends_at),
  constraint shifts_start_key unique nulls not distinct (community_id, booth_id, starts_at, name, deleted_at),
  constraint shifts_booth_fkey foreign key (community_id, booth_id) references public.booths (community_id, id) on delete restrict,
  constraint shifts_name_check check (app.is_name(name)),
  constraint shifts_ends_at_check check (ends_at > starts_at and ends_at - starts_at <= interval '25 hours'),
  constraint shifts_needed_guards_check check (needed_guards between 1 and 50)
);

comment on table public.shifts is
  'Shifts of booths. Two may overlap at the handover. Planned by plan_shift and plan_shifts, moved by move_shift, called off by archive.';
comment on column public.shifts.name is 'What people call it: Day, Night.';
comment on column public.shifts.booth_id is 'The booth.';
comment on column public.shifts.starts_at is 'When it begins.';
comment on column public.shifts.ends_at is 'When it ends: at most a day later, 25 hours when clocks go back.';
comment on column public.shifts.needed_guards is 'How many guards it takes.';

create function app.is_over(shift public.shifts)
returns boolean
language sql
stable
set search_path = ''
return shift.ends_at <= now();

comment on function app.is_over(public.shifts) is 'Whether the row is history: a shift that is over does not keep its booth from being archived.';

grant execute on function app.is_over(public.shifts) to authenticated, service_role;

select app.track('public.shifts');
insert into app.archive_rules (table_id, permission_key) values
  ('public.guards', 'gates.archive'),
  ('public.shifts', 'gates.archive');

create policy shifts_select on public.shifts for select to authenticated
  using (
    community_id = any ((select app.communities_where('guards.read'))::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('gates.archive'))))
  );
create policy shifts_update on public.shifts for update to authenticated
  using (
    community_id = any ((select app.communities_where('guards.manage'))::uuid[])
    and deleted_at is null
  )
  with check (community_id = any ((select app.communities_where('guards.manage'))::uuid[]));

grant select, update (name, needed_guards) on public.shifts to authenticated;
grant select, insert, update on public.shifts to service_role;

-- Assignments --------------------------------------------------------------------------------------------------------

create table public.shift_assignments (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  shift_id uuid not null,
  guard_id uuid not null,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  like app.row_model including defaults including comments,
  constraint shift_assignments_pkey primary key (id),
  constraint shift_assignments_shift_fkey foreign key (community_id, shift_id, starts_at, ends_at)
    references public.shifts (community_id, id, starts_at, ends_at) on update cascade on delete cascade,
  constraint shift_assignments_guard_fkey foreign key (community_id, guard_id) references public.guards (community_id, id) on delete restrict,
  constraint shift_assignments_one_at_a_time_excl exclude using gist (
    guard_id with =, tstzrange(starts_at, ends_at) with &&
  ) where (deleted_at is null)
);

create index shift_assignments_shift_idx on public.shift_assignments (community_id, shift_id, starts_at, ends_at);
create index shift_assignments_guard_idx on public.shift_assignments (community_id, guard_id, starts_at);

comment on table public.shift_assignments is 'Which guard is on which shift; nobody on two at once. Made by assign_guard, ended by unassign_guard.';
comment on column public.shift_assignments.shift_id is 'The shift.';
comment on column public.shift_assignments.guard_id is 'The guard.';
comment on column public.shift_assignments.starts_at is 'The shift''s beginning, carried along when the shift moves.';
comment on column public.shift_assignments.ends_at is 'The shift''s end, carried along when the shift moves.';

create function app.is_over(assignment public.shift_assignments)
returns boolean
language sql
stable
set search_path = ''
return assignment.ends_at <= now();

comment on function app.is_over(public.shift_assignments) is 'Whether the row is history: shifts that are over do not keep a guard from being archived.';

grant execute on function app.is_over(public.shift_assignments) to authenticated, service_role;

select app.track('public.shift_assignments');
select app.register_personal_data('public.shift_assignments', 'guard_id', 'parent', parent => 'public.guards',
  kept_because => 'Who was on duty when somebody was let in answers for it.');

create policy shift_assignments_select on public.shift_assignments for select to authenticated
  using (
    community_id = any ((select app.communities_where('guards.read'))::uuid[])
    and deleted_at is null
  );
grant select on public.shift_assignments to authenticated;
grant select, insert, update on public.shift_assignments to service_role;

create function app.tg_shift_assignments__emit()
returns trigger
language plpgsql
security definer -- calls app.emit, which no API role may
set search_path = ''
as $$
begin
  perform app.emit(case when new.deleted_at is null then 'shift.assigned' else 'shift.unassigned' end, new.community_id,
    jsonb_build_object('shift_id', new.shift_id, 'guard_id', new.guard_id, 'starts_at', new.starts_at, 'ends_at', new.ends_at));
  return null;
end;
$$;

comment on function app.tg_shift_assignments__emit() is
  'AFTER INSERT, and AFTER UPDATE that archives, restores or moves an assignment: events shift.assigned, shift.unassigned. Definer: calls app.emit.';

create trigger _600_emit_assigned after insert on public.shift_assignments for each row execute function app.tg_shift_assignments__emit();
create trigger _600_emit_changed after update on public.shift_assignments for each row
  when ((old.deleted_at, old.starts_at, old.ends_at) is distinct from (new.deleted_at, new.starts_at, new.ends_at))
  execute function app.tg_shift_assignments__emit();

-- On duty ------------------------------------------------------------------------------------------------------------

create function app.shift_at(community uuid, access_point uuid, guard_user uuid, moment timestamptz)
returns uuid
language plpgsql
stable
security definer -- reads shifts for devices and residents, who may not
set search_path = ''
as $$
declare
  found_shift uuid;
begin
  if guard_user is not null then
    select s.id into found_shift
    from public.guards g
    join public.shift_assignments a on a.community_id = g.community_id and a.guard_id = g.id and a.deleted_at is null
      and a.starts_at <= moment and a.starts_at > moment - interval '25 hours' and a.ends_at > moment
    join public.shifts s on s.community_id = a.community_id and s.id = a.shift_id
    where g.user_id = guard_user and g.community_id = community and g.status = 'active' and g.deleted_at is null;
  end if;
  if found_shift is null then
    -- At the handover the one that came last.
    select s.id into found_shift
    from public.access_points p
    join public.shifts s on s.community_id = p.community_id and s.booth_id = p.booth_id
    where p.community_id = community and p.id = access_point and s.deleted_at is null
      and s.starts_at <= moment and s.starts_at > moment - interval '25 hours' and s.ends_at > moment
    order by s.starts_at desc, s.id desc
    limit 1;
  end if;
  return found_shift;
end;
$$;

comment on function app.shift_at(uuid, uuid, uuid, timestamptz) is
  'The shift to which a decision at an access point belongs: that on which the guard (a user, or null) is at the moment, wherever its booth, else the one on duty at the point''s booth; null if none is. '
  'Not executable by API roles. Definer: reads shifts for devices and residents, who may not.';

create function app.my_shifts()
returns setof uuid
language plpgsql
stable
security definer -- finds the caller's own shifts before any policy on them is decided
set search_path = ''
as $$
begin
  return query
    select a.shift_id
    from public.guards g
    join public.shift_assignments a on a.community_id = g.community_id and a.guard_id = g.id
    where g.user_id = app.user_id() and g.status = 'active' and g.deleted_at is null and a.deleted_at is null and a.starts_at <= now();
end;
$$;

comment on function app.my_shifts() is
  'The shifts, begun or over, to which the caller is assigned as a guard; none for one who is suspended or has left. Definer: reads guards and assignments.';

grant execute on function app.my_shifts() to authenticated;

create function public.booth_on_duty(booth_id uuid, moment timestamptz default null)
returns table (shift_id uuid, shift_name text, starts_at timestamptz, ends_at timestamptz, guard_id uuid, guard_name text)
language sql
stable
set search_path = ''
as $$
  select s.id, s.name, s.starts_at, s.ends_at, g.id, g.full_name
  from public.booths b
  join public.shifts s on s.community_id = b.community_id and s.booth_id = b.id and s.deleted_at is null
    and s.starts_at <= coalesce(moment, now()) and s.starts_at > coalesce(moment, now()) - interval '25 hours' and s.ends_at > coalesce(moment, now())
  left join public.shift_assignments a on a.community_id = s.community_id and a.shift_id = s.id and a.deleted_at is null
  left join public.guards g on g.community_id = a.community_id and g.id = a.guard_id
  where b.id = booth_on_duty.booth_id
  order by s.starts_at desc, s.id, g.full_name, g.id
$$;

comment on function public.booth_on_duty(uuid, timestamptz) is
  'Who is on duty at a booth now, or at a moment: its shifts, the latest first, each with its guards (a shift without any has one row without a guard). Shows what the caller may see: takes guards.read.';

grant execute on function public.booth_on_duty(uuid, timestamptz) to authenticated, service_role;
