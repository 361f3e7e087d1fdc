-- Access control: planning shifts.
--
-- Purpose     What a manager does with guards and shifts. The rules are the tables' (see the topic before).
-- RPCs        set_guard_user, set_guard_status, plan_shift, plan_shifts, move_shift, assign_guard, unassign_guard
-- Invariants  Locks are taken shift first, then guards in order of id. So two assignments of one guard come one after the other, and the
--             second is refused instead of both waiting for each other.

-- Guards -------------------------------------------------------------------------------------------------------------

create function app.guard_to_change(guard uuid, is_visible boolean)
returns public.guards
language plpgsql
volatile
security definer -- locks a row
set search_path = ''
as $$
declare
  present public.guards;
begin
  if is_visible then
    select g.* into present from public.guards g where g.id = guard and g.deleted_at is null for no key update;
  end if;
  if present.id is null then
    perform app.fail(404, 'guard_not_found', 'There is no guard with this id.');
  end if;
  perform app.require('guards.manage', present.community_id);
  return present;
end;
$$;

comment on function app.guard_to_change(uuid, boolean) is 'The guard, locked, if the caller sees it (is_visible) and holds guards.manage. Not executable by API roles. Definer: locks a row.';

create function app.set_guard_user(guard uuid, subject uuid, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- user_id is in no column grant, and memberships may be hidden from the caller
set search_path = ''
as $$
declare
  present public.guards;
begin
  present := app.guard_to_change(guard, is_visible);
  if subject is not null and not exists (
    select
    from public.memberships m
    where m.user_id = subject and m.community_id = present.community_id and m.deleted_at is null and m.starts_at <= now() and (m.ends_at is null or m.ends_at > now()))
  then
    perform app.fail(409, 'not_a_member', 'This user holds no role in the community.', 'Grant the role guard first: grant_role.');
  end if;
  update public.guards g set user_id = subject where g.id = present.id;
exception when unique_violation then
  perform app.fail(409, 'user_taken', 'This user is another guard of this community.');
end;
$$;

comment on function app.set_guard_user(uuid, uuid, boolean) is 'What public.set_guard_user does. Definer: user_id is in no column grant, and memberships may be hidden from the caller.';

create function public.set_guard_user(guard_id uuid, user_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_guard_user(guard_id, user_id, app.sees_row('guards', guard_id)) $$;

comment on function public.set_guard_user(uuid, uuid) is
  'Says which user signs in as a guard; null: none does. The user holds a role in the community; what it may do comes with that role. Takes guards.manage. Errors: guard_not_found, permission_denied, not_a_member, user_taken.';

create function app.set_guard_status(guard uuid, status public.guard_status, reason text, is_visible boolean)
returns integer
language plpgsql
volatile
security definer -- status is in no column grant, assignments in none
set search_path = ''
as $$
declare
  present public.guards;
  unassigned integer := 0;
  refused text;
begin
  present := app.guard_to_change(guard, is_visible);
  if set_guard_status.status is null then
    perform app.fail(422, 'invalid_value', 'A guard has a status.');
  end if;
  update public.guards g set status = set_guard_status.status, status_reason = nullif(btrim(reason), '') where g.id = present.id;
  if set_guard_status.status <> 'active' then
    update public.shift_assignments a
    set deleted_at = clock_timestamp()
    where a.community_id = present.community_id and a.guard_id = present.id and a.deleted_at is null and a.starts_at > now();
    get diagnostics unassigned = row_count;
  end if;
  return unassigned;
exception
  when unique_violation then
    perform app.fail(409, 'employee_number_taken', 'Another guard of this community has this employee number.');
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('guards', refused);
end;
$$;

comment on function app.set_guard_status(uuid, public.guard_status, text, boolean) is 'What public.set_guard_status does. Definer: status is in no column grant.';

create function public.set_guard_status(guard_id uuid, status public.guard_status, reason text default null)
returns integer
language sql
volatile
set search_path = ''
as $$ select app.set_guard_status(guard_id, status, reason, app.sees_row('guards', guard_id)) $$;

comment on function public.set_guard_status(uuid, public.guard_status, text) is
  'Suspends a guard, says that one has left, or takes one up again; takes guards.manage. Whoever is not active is taken off the shifts that have not begun, and reads nothing by those that were; returns how many shifts lack a guard now. '
  'The role guard of the user is taken with revoke_role. Errors: guard_not_found, permission_denied, transition_refused, employee_number_taken, invalid_value.';

-- Assigning ----------------------------------------------------------------------------------------------------------

create function app.assign_guards(community uuid, shifts uuid[], guards uuid[])
returns void
language plpgsql
volatile
security definer -- nobody may write assignments directly
set search_path = ''
as $$
declare
  problem record;
begin
  perform from public.guards g where g.community_id = community and g.id = any (guards) order by g.id for no key update;
  select g.* into problem
  from unnest(guards) w (id)
  left join public.guards g on g.community_id = community and g.id = w.id and g.deleted_at is null
  order by g.id is not null, g.status = 'active'
  limit 1;
  if found and problem.id is null then
    perform app.fail(404, 'guard_not_found', 'There is no guard with this id in this community.');
  elsif problem.status <> 'active' then
    perform app.fail(409, 'guard_not_active', format('%s is %s.', problem.full_name, problem.status));
  end if;
  select g.full_name, g.license_expires_on into problem
  from public.guards g
  join public.communities c on c.id = g.community_id
  where g.community_id = community and g.id = any (guards) and g.license_expires_on < (
    select max((s.starts_at at time zone c.time_zone)::date) from public.shifts s where s.community_id = community and s.id = any (shifts))
  limit 1;
  if found then
    perform app.fail(409, 'license_expired', format('The licence of %s ends on %s.', problem.full_name, problem.license_expires_on));
  end if;
  insert into public.shift_assignments (community_id, shift_id, guard_id, starts_at, ends_at)
  select s.community_id, s.id, g, s.starts_at, s.ends_at
  from public.shifts s
  cross join (select distinct u from unnest(guards) u) w (g)
  where s.community_id = community and s.id = any (shifts)
    and not exists (
      select from public.shift_assignments a where a.community_id = s.community_id and a.shift_id = s.id and a.guard_id = g and a.deleted_at is null)
  order by g, s.starts_at;
exception when exclusion_violation then
  perform app.fail(409, 'guard_busy', 'A guard is on another shift at that time.');
end;
$$;

comment on function app.assign_guards(uuid, uuid[], uuid[]) is
  'Assigns every guard to every shift, all or nothing; one who is on it already stays. The caller has locked the shifts; guards are locked in order of id. Not executable by API roles. Definer: nobody may write assignments directly.';

create function app.shift_to_change(shift uuid, is_visible boolean)
returns public.shifts
language plpgsql
volatile
security definer -- locks a row
set search_path = ''
as $$
declare
  present public.shifts;
begin
  if is_visible then
    select s.* into present from public.shifts s where s.id = shift and s.deleted_at is null for no key update;
  end if;
  if present.id is null then
    perform app.fail(404, 'shift_not_found', 'There is no shift with this id.');
  end if;
  perform app.require('guards.manage', present.community_id);
  if app.is_over(present) then
    perform app.fail(409, 'shift_over', 'This shift is over: who was on duty stays as it was.');
  end if;
  return present;
end;
$$;

comment on function app.shift_to_change(uuid, boolean) is
  'The shift, locked, if the caller sees it (is_visible), holds guards.manage, and it is not over (409 shift_over). Not executable by API roles. Definer: locks a row.';

create function app.assign_guard(shift uuid, guard uuid, is_visible boolean)
returns uuid
language plpgsql
volatile
security definer -- nobody may write assignments directly
set search_path = ''
as $$
declare
  present public.shifts;
begin
  present := app.shift_to_change(shift, is_visible);
  perform app.assign_guards(present.community_id, array[present.id], array[guard]);
  return (
    select a.id from public.shift_assignments a
    where a.community_id = present.community_id and a.shift_id = present.id and a.guard_id = assign_guard.guard and a.deleted_at is null);
end;
$$;

comment on function app.assign_guard(uuid, uuid, boolean) is 'What public.assign_guard does. Definer: nobody may write assignments directly.';

create function public.assign_guard(shift_id uuid, guard_id uuid)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.assign_guard(shift_id, guard_id, app.sees_row('shifts', shift_id)) $$;

comment on function public.assign_guard(uuid, uuid) is
  'Puts a guard on a shift that is not over, and returns the assignment''s id; on it already: the same id. Takes guards.manage. '
  'Errors: shift_not_found, permission_denied, shift_over, guard_not_found, guard_not_active, license_expired, guard_busy.';

create function app.unassign_guard(shift uuid, guard uuid, is_visible boolean)
returns boolean
language plpgsql
volatile
security definer -- nobody may write assignments directly
set search_path = ''
as $$
declare
  present public.shifts;
begin
  present := app.shift_to_change(shift, is_visible);
  update public.shift_assignments a
  set deleted_at = clock_timestamp()
  where a.community_id = present.community_id and a.shift_id = present.id and a.guard_id = unassign_guard.guard and a.deleted_at is null;
  return found;
end;
$$;

comment on function app.unassign_guard(uuid, uuid, boolean) is 'What public.unassign_guard does. Definer: nobody may write assignments directly.';

create function public.unassign_guard(shift_id uuid, guard_id uuid)
returns boolean
language sql
volatile
set search_path = ''
as $$ select app.unassign_guard(shift_id, guard_id, app.sees_row('shifts', shift_id)) $$;

comment on function public.unassign_guard(uuid, uuid) is
  'Takes a guard off a shift that is not over; false: was not on it. Takes guards.manage. Errors: shift_not_found, permission_denied, shift_over.';

-- Planning -----------------------------------------------------------------------------------------------------------

create function app.booth_to_staff(booth uuid, is_visible boolean)
returns public.booths
language plpgsql
volatile
security definer -- locks a row
set search_path = ''
as $$
declare
  present public.booths;
begin
  if is_visible then
    select b.* into present from public.booths b where b.id = booth and b.deleted_at is null for key share;
  end if;
  if present.id is null then
    perform app.fail(404, 'booth_not_found', 'There is no booth with this id.');
  end if;
  perform app.require('guards.manage', present.community_id);
  return present;
end;
$$;

comment on function app.booth_to_staff(uuid, boolean) is
  'The booth, kept from being archived, if the caller sees it (is_visible) and holds guards.manage. Not executable by API roles. Definer: locks a row.';

create function app.plan_shift(booth uuid, name text, starts_at timestamptz, ends_at timestamptz, needed_guards integer, guards uuid[], is_visible boolean)
returns uuid
language plpgsql
volatile
security definer -- nobody may insert shifts directly
set search_path = ''
as $$
declare
  present public.booths;
  planned uuid;
  refused text;
begin
  present := app.booth_to_staff(booth, is_visible);
  if plan_shift.name is null or plan_shift.starts_at is null or plan_shift.ends_at is null then
    perform app.fail(422, 'invalid_value', 'A shift has a name, a beginning and an end.');
  elsif plan_shift.ends_at <= now() then
    perform app.fail(409, 'shift_over', 'This shift would be over already.');
  end if;
  insert into public.shifts (name, community_id, booth_id, starts_at, ends_at, needed_guards)
  values (plan_shift.name, present.community_id, present.id, plan_shift.starts_at, plan_shift.ends_at, coalesce(plan_shift.needed_guards, 1))
  returning id into planned;
  perform app.assign_guards(present.community_id, array[planned], coalesce(guards, '{}'));
  return planned;
exception
  when unique_violation then
    perform app.fail(409, 'shift_planned', 'This booth has a shift of this name that begins at this time.');
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('shifts', refused);
  when numeric_value_out_of_range then
    perform app.fail_check('shifts', 'shifts_needed_guards_check');
end;
$$;

comment on function app.plan_shift(uuid, text, timestamptz, timestamptz, integer, uuid[], boolean) is 'What public.plan_shift does. Definer: nobody may insert shifts directly.';

create function public.plan_shift(
  booth_id uuid, name text, starts_at timestamptz, ends_at timestamptz, needed_guards integer default 1, guard_ids uuid[] default '{}'
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.plan_shift(booth_id, name, starts_at, ends_at, needed_guards, guard_ids, app.sees_row('booths', booth_id)) $$;

comment on function public.plan_shift(uuid, text, timestamptz, timestamptz, integer, uuid[]) is
  'Plans one shift of a booth, with its guards if they are known, and returns its id; all or nothing. Takes guards.manage. '
  'Errors: booth_not_found, permission_denied, shift_over, shift_planned, guard_not_found, guard_not_active, license_expired, guard_busy, invalid_value.';

create function app.plan_shifts(
  booth uuid, name text, first_on date, last_on date, starts_at time, ends_at time, weekdays integer[], needed_guards integer, guards uuid[], is_visible boolean
)
returns integer
language plpgsql
volatile
security definer -- nobody may insert shifts directly
set search_path = ''
as $$
declare
  present public.booths;
  planned uuid[];
  made integer;
  refused text;
begin
  present := app.booth_to_staff(booth, is_visible);
  if num_nulls(plan_shifts.name, first_on, last_on, plan_shifts.starts_at, plan_shifts.ends_at) > 0 then
    perform app.fail(422, 'invalid_value', 'Shifts have a name, a first and a last day, a beginning and an end.');
  elsif last_on < first_on or last_on - first_on > 366 then
    perform app.fail(422, 'invalid_value', 'last_on is first_on or a day of the year after it.');
  elsif not coalesce(weekdays, '{1}') <@ '{1,2,3,4,5,6,7}' or cardinality(weekdays) = 0 then
    perform app.fail(422, 'invalid_value', 'weekdays are numbers from 1 (Monday) to 7.');
  end if;
  with days as (
    select d::date as day, c.time_zone
    from public.communities c
    cross join generate_series(first_on::timestamp, last_on::timestamp, interval '1 day') d
    where c.id = present.community_id and (weekdays is null or extract(isodow from d)::integer = any (weekdays))
  ),
  times as (
    -- By the clocks on the wall: a night of the change of clocks is an hour longer or shorter.
    select (day + plan_shifts.starts_at) at time zone time_zone as begins,
      (case when plan_shifts.ends_at > plan_shifts.starts_at then day else day + 1 end + plan_shifts.ends_at) at time zone time_zone as ends
    from days
  ),
  added as (
    insert into public.shifts as s (name, community_id, booth_id, starts_at, ends_at, needed_guards)
    select plan_shifts.name, present.community_id, present.id, t.begins, t.ends, coalesce(plan_shifts.needed_guards, 1)
    from times t
    where t.ends > now()
    order by t.begins
    on conflict on constraint shifts_start_key do nothing
    returning s.id
  )
  select array_agg(a.id), count(*) into planned, made from added a;
  perform app.assign_guards(present.community_id, planned, coalesce(guards, '{}'));
  return made;
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('shifts', refused);
  when numeric_value_out_of_range then
    perform app.fail_check('shifts', 'shifts_needed_guards_check');
end;
$$;

comment on function app.plan_shifts(uuid, text, date, date, time, time, integer[], integer, uuid[], boolean) is 'What public.plan_shifts does. Definer: nobody may insert shifts directly.';

create function public.plan_shifts(
  booth_id uuid, name text, first_on date, last_on date, starts_at time, ends_at time, weekdays integer[] default null, needed_guards integer default 1,
  guard_ids uuid[] default '{}'
)
returns integer
language sql
volatile
set search_path = ''
as $$ select app.plan_shifts(booth_id, name, first_on, last_on, starts_at, ends_at, weekdays, needed_guards, guard_ids, app.sees_row('booths', booth_id)) $$;

comment on function public.plan_shifts(uuid, text, date, date, time, time, integer[], integer, uuid[]) is
  'Plans a shift of a booth for each day from first_on to last_on (weekdays: 1 is Monday; null: all), by the clocks of the community; one that ends no later than it begins ends on the next day. '
  'With guards, all of them are on each. Days that have this shift are left as they are, those that are over are left out; returns how many were planned. At most a year; all or nothing. Takes guards.manage. '
  'Errors: booth_not_found, permission_denied, guard_not_found, guard_not_active, license_expired, guard_busy, invalid_value.';

create function app.move_shift(shift uuid, starts_at timestamptz, ends_at timestamptz, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- the times are in no column grant
set search_path = ''
as $$
declare
  present public.shifts;
  refused text;
begin
  present := app.shift_to_change(shift, is_visible);
  if move_shift.starts_at is null or move_shift.ends_at is null then
    perform app.fail(422, 'invalid_value', 'A shift has a beginning and an end.');
  elsif move_shift.ends_at <= now() then
    perform app.fail(409, 'shift_over', 'This shift would be over already.');
  end if;
  perform from public.guards g
  where g.id in (select a.guard_id from public.shift_assignments a where a.community_id = present.community_id and a.shift_id = present.id and a.deleted_at is null)
  order by g.id for no key update;
  update public.shifts s set starts_at = move_shift.starts_at, ends_at = move_shift.ends_at where s.id = present.id;
exception
  when exclusion_violation then
    perform app.fail(409, 'guard_busy', 'A guard of this shift is on another one at that time.');
  when unique_violation then
    perform app.fail(409, 'shift_planned', 'This booth has a shift of this name that begins at this time.');
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('shifts', refused);
end;
$$;

comment on function app.move_shift(uuid, timestamptz, timestamptz, boolean) is
  'What public.move_shift does. The shift is locked first, then its guards in order of id. Definer: the times are in no column grant.';

create function public.move_shift(shift_id uuid, starts_at timestamptz, ends_at timestamptz)
returns void
language sql
volatile
set search_path = ''
as $$ select app.move_shift(shift_id, starts_at, ends_at, app.sees_row('shifts', shift_id)) $$;

comment on function public.move_shift(uuid, timestamptz, timestamptz) is
  'Moves a shift that is not over, and its guards with it; refused if one of them is busy then. Takes guards.manage. Errors: shift_not_found, permission_denied, shift_over, shift_planned, guard_busy, invalid_value.';

grant execute on function
  app.set_guard_user(uuid, uuid, boolean), public.set_guard_user(uuid, uuid),
  app.set_guard_status(uuid, public.guard_status, text, boolean), public.set_guard_status(uuid, public.guard_status, text),
  app.assign_guard(uuid, uuid, boolean), public.assign_guard(uuid, uuid),
  app.unassign_guard(uuid, uuid, boolean), public.unassign_guard(uuid, uuid),
  app.plan_shift(uuid, text, timestamptz, timestamptz, integer, uuid[], boolean), public.plan_shift(uuid, text, timestamptz, timestamptz, integer, uuid[]),
  app.plan_shifts(uuid, text, date, date, time, time, integer[], integer, uuid[], boolean),
  public.plan_shifts(uuid, text, date, date, time, time, integer[], integer, uuid[]),
  app.move_shift(uuid, timestamptz, timestamptz, boolean), public.move_shift(uuid, timestamptz, timestamptz)
to authenticated, service_role;
