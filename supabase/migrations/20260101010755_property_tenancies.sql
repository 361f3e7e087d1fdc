-- Property: tenancies and moves.
--
-- Purpose     Letting a unit by contract, prolonging and ending it; many people moving in or out at once; what is vacant or about to be.
-- Tables      None of its own; writes leases, occupancies, residents
-- RPCs        sign_lease, extend_lease, end_lease, move_in, move_out
-- Views       vacant_units, expiring_leases
-- Settings    notifications.lease_reminder_days
-- Invariants  A contract and its tenancies are made, prolonged and ended together. A move is stored whole or not at all. Who moves out
--             takes along the own family, authorized persons and guests (app.end_with_hosts), and keeps no stay to come in the unit.
--             A contract that runs out is told of once per last day (event lease.expiring).
-- Locks       The unit's row, before anything is read.

select app.define_setting('notifications.lease_reminder_days', 'integer', '60', '{site,organization,community}',
  'How many days before its last day a lease is told of (event lease.expiring); 0: not at all.', minimum => 0, maximum => 730);

-- Leases -------------------------------------------------------------------------------------------------------------

-- Not an exclusion constraint: several tenants take over one contract in one statement, and a deferrable constraint would forbid
-- ON CONFLICT on the table.
create function app.tg_occupancies__one_contract()
returns trigger
language plpgsql
security definer -- looks at tenancies that the caller may not see, and locks units
set search_path = ''
as $$
declare
  units uuid[] := array(select distinct n.unit_id from new_rows n where n.role = 'tenant' and n.deleted_at is null);
begin
  if units = '{}' then
    return null;
  end if;
  perform from public.units u where u.id = any (units) order by u.id for no key update;
  if exists (
    select
    from public.units u
    join public.occupancies a on a.community_id = u.community_id and a.unit_id = u.id and a.lease_id is not null and a.deleted_at is null
    join public.occupancies b on b.community_id = u.community_id and b.unit_id = u.id and b.role = 'tenant' and b.deleted_at is null and b.lease_id is distinct from a.lease_id
      and daterange(b.starts_on, b.ends_on, '[]') && daterange(a.starts_on, a.ends_on, '[]')
    where u.id = any (units)) then
    perform app.fail(409, 'lease_overlap', 'The unit is let by contract within that time, and who rents together is in one contract.', 'sign_lease enters a contract with all its tenants.');
  end if;
  return null;
end;
$$;

comment on function app.tg_occupancies__one_contract() is
  'AFTER INSERT OR UPDATE: tenancies of a unit that overlap are of one contract, or all of none (409 lease_overlap). Locks units in id order. Definer: looks at tenancies that the caller may not see.';

create trigger _520_one_contract_insert after insert on public.occupancies
  referencing new table as new_rows for each statement execute function app.tg_occupancies__one_contract();
create trigger _520_one_contract_update after update on public.occupancies
  referencing new table as new_rows for each statement execute function app.tg_occupancies__one_contract();

create function app.sign_lease(let uuid, first_on date, last_on date, tenants jsonb, called text, rent numeric, document uuid)
returns uuid
language plpgsql
volatile
security definer -- a contract and its tenancies are stored together
set search_path = ''
as $$
declare
  home constant uuid := app.locked_units('leases.manage', array[let]);
  lease constant uuid := extensions.uuidv7();
  refused_table text;
  refused text;
begin
  if first_on is null or first_on not between date '1850-01-01' and date '2200-01-01' or last_on < first_on then
    perform app.fail(422, 'invalid_period', 'A lease has a first day, and its last one is not before.');
  end if;
  tenants := app.resolve_people(home, tenants);
  insert into public.leases (id, reference, community_id, unit_id, starts_on, ends_on, monthly_rent, document_file_id)
  values (lease, called, home, let, first_on, last_on, rent, document);
  -- Who rents already, by no contract that is known or by one that this one follows on the same day, goes on under this one.
  update public.occupancies o
  set lease_id = lease, ends_on = last_on
  from jsonb_array_elements(tenants) t (tenant)
  where o.community_id = home and o.unit_id = let and o.role = 'tenant' and o.deleted_at is null and o.lease_id is null
    and o.resident_id = (t.tenant ->> 'resident_id')::uuid
    and o.starts_on <= coalesce(last_on, 'infinity') and (o.ends_on is null or o.ends_on >= first_on);
  insert into public.occupancies (community_id, unit_id, resident_id, role, lease_id, is_living_in, is_primary_contact, starts_on, ends_on)
  select home, let, (t.tenant ->> 'resident_id')::uuid, 'tenant', lease, coalesce((t.tenant ->> 'lives_in')::boolean, true),
    coalesce((t.tenant ->> 'is_primary_contact')::boolean, false), first_on, last_on
  from jsonb_array_elements(tenants) with ordinality t (tenant, n)
  where not exists (
    select from public.occupancies o
    where o.community_id = home and o.unit_id = let and o.lease_id = lease and o.resident_id = (t.tenant ->> 'resident_id')::uuid)
  order by t.n;
  perform app.emit('lease.signed', home, jsonb_build_object('lease_id', lease, 'unit_id', let, 'starts_on', first_on, 'ends_on', last_on));
  return lease;
exception
  when check_violation then
    get stacked diagnostics refused_table = table_name, refused = constraint_name;
    perform app.fail_check(refused_table, refused);
  when exclusion_violation then
    get stacked diagnostics refused = constraint_name;
    if refused = 'leases_one_at_a_time_excl' then
      perform app.fail(409, 'lease_overlap', 'The unit is let to others within that time.', 'End that tenancy first; who rents together is in one lease.');
    end if;
    perform app.fail(409, 'occupancy_taken', format('The same is stored for that time already (%s).', refused));
  when invalid_text_representation then
    perform app.fail(422, 'invalid_people', sqlerrm);
end;
$$;

comment on function app.sign_lease(uuid, date, date, jsonb, text, numeric, uuid) is 'What public.sign_lease does. Definer: a contract and its tenancies are stored together.';

create function public.sign_lease(
  unit_id uuid, starts_on date, tenants jsonb, ends_on date default null, reference text default null, monthly_rent numeric default null, document_file_id uuid default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.sign_lease(unit_id, starts_on, ends_on, tenants, reference, monthly_rent, document_file_id) $$;

comment on function public.sign_lease(uuid, date, jsonb, date, text, numeric, uuid) is
  'Enters a contract with its tenants, all of them together: [{"resident_id"} or {"full_name", "email", "phone" …}, with "lives_in", "is_primary_contact"]. '
  'Who rents the unit already without a contract goes on under this one. Returns the lease''s id. Takes leases.manage. Event: lease.signed. '
  'Errors: permission_denied, unit_not_found, invalid_period, invalid_people, invalid_value, resident_not_found, lease_overlap, occupancy_taken.';

create function app.locked_lease(contract uuid)
returns public.leases
language plpgsql
volatile
security definer -- reads and locks leases
set search_path = ''
as $$
declare
  lease public.leases;
begin
  select l.* into lease from public.leases l where l.id = contract and l.deleted_at is null;
  perform app.require('leases.manage', lease.community_id);
  if lease.id is null then
    perform app.fail(404, 'lease_not_found', 'There is no live lease with this id.');
  end if;
  perform from public.units u where u.id = lease.unit_id for no key update;
  select l.* into lease from public.leases l where l.id = contract and l.deleted_at is null for no key update;
  return lease;
end;
$$;

comment on function app.locked_lease(uuid) is 'A live lease, after asking for leases.manage and locking its unit. Errors: permission_denied, lease_not_found. Definer: reads and locks leases.';

create function app.extend_lease(contract uuid, last_on date, rent numeric)
returns void
language plpgsql
volatile
security definer -- a contract and its tenancies change together
set search_path = ''
as $$
declare
  lease constant public.leases := app.locked_lease(contract);
  refused_table text;
  refused text;
begin
  if last_on < lease.starts_on or coalesce(last_on, 'infinity') <= coalesce(lease.ends_on, 'infinity') then
    perform app.fail(422, 'invalid_period', 'A lease is prolonged beyond its last day.', 'end_lease ends it earlier.');
  end if;
  update public.leases l
  set ends_on = last_on, monthly_rent = coalesce(rent, l.monthly_rent), reminded_at = null
  where l.id = contract;
  -- Tenants who left before stay gone.
  update public.occupancies o
  set ends_on = last_on
  where o.community_id = lease.community_id and o.unit_id = lease.unit_id and o.lease_id = contract and o.deleted_at is null and o.ends_on is not distinct from lease.ends_on;
exception
  when check_violation then
    get stacked diagnostics refused_table = table_name, refused = constraint_name;
    perform app.fail_check(refused_table, refused);
  when exclusion_violation then
    perform app.fail(409, 'lease_overlap', 'The unit is let to others within that time.');
end;
$$;

comment on function app.extend_lease(uuid, date, numeric) is 'What public.extend_lease does. Definer: a contract and its tenancies change together.';

create function public.extend_lease(lease_id uuid, ends_on date, monthly_rent numeric default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.extend_lease(lease_id, ends_on, monthly_rent) $$;

comment on function public.extend_lease(uuid, date, numeric) is
  'Prolongs a lease to a later last day (null: until further notice), with its tenants and their family. Takes leases.manage. '
  'Errors: permission_denied, lease_not_found, invalid_period, invalid_value, lease_overlap.';

create function app.end_lease(contract uuid, last_on date, why text)
returns void
language plpgsql
volatile
security definer -- a contract and its tenancies end together
set search_path = ''
as $$
declare
  lease constant public.leases := app.locked_lease(contract);
  refused_table text;
  refused text;
begin
  if last_on is null or last_on < lease.starts_on or last_on > lease.ends_on then
    perform app.fail(422, 'invalid_period', 'A lease ends between its first day and its last.', 'One that is not to begin at all is archived.');
  end if;
  update public.leases l set ends_on = last_on, ended_early_reason = why where l.id = contract;
  update public.occupancies o
  set ends_on = greatest(last_on, o.starts_on), deleted_at = case when o.starts_on > last_on then now() end
  where o.community_id = lease.community_id and o.unit_id = lease.unit_id and o.lease_id = contract and o.deleted_at is null and coalesce(o.ends_on, 'infinity') > last_on;
  perform app.emit('lease.ended', lease.community_id, jsonb_build_object('lease_id', contract, 'unit_id', lease.unit_id, 'ends_on', last_on));
exception
  when check_violation then
    get stacked diagnostics refused_table = table_name, refused = constraint_name;
    perform app.fail_check(refused_table, refused);
end;
$$;

comment on function app.end_lease(uuid, date, text) is 'What public.end_lease does. Definer: a contract and its tenancies end together.';

create function public.end_lease(lease_id uuid, ends_on date, reason text default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.end_lease(lease_id, ends_on, reason) $$;

comment on function public.end_lease(uuid, date, text) is
  'Ends a lease early, with its tenants and their family, authorized persons and guests. Takes leases.manage. Event: lease.ended. '
  'Errors: permission_denied, lease_not_found, invalid_period, invalid_value.';

grant execute on function
  app.sign_lease(uuid, date, date, jsonb, text, numeric, uuid), public.sign_lease(uuid, date, jsonb, date, text, numeric, uuid),
  app.extend_lease(uuid, date, numeric), public.extend_lease(uuid, date, numeric), app.end_lease(uuid, date, text), public.end_lease(uuid, date, text)
to authenticated, service_role;

create function app.job_lease_reminders()
returns void
language sql
volatile
set search_path = ''
as $$
  with due as (
    update public.leases l
    set reminded_at = now()
    from public.communities c
    where c.id = l.community_id and l.deleted_at is null and l.reminded_at is null
      and l.ends_on between (now() at time zone c.time_zone)::date
        and (now() at time zone c.time_zone)::date + app.setting('notifications.lease_reminder_days', c.id)::integer
      and app.setting('notifications.lease_reminder_days', c.id)::integer > 0
    returning l.id, l.community_id, l.unit_id, l.ends_on
  )
  select app.emit('lease.expiring', d.community_id, jsonb_build_object('lease_id', d.id, 'unit_id', d.unit_id, 'ends_on', d.ends_on)) from due d
$$;

comment on function app.job_lease_reminders() is 'Job lease-reminders: tells of leases that run out within notifications.lease_reminder_days, each once per last day (event lease.expiring).';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('lease-reminders', '20 5 * * *', 'app.job_lease_reminders()', 'Tells of leases that run out.');

-- Moves --------------------------------------------------------------------------------------------------------------

create function app.move_in(entered uuid, movers jsonb, first_on date)
returns table (resident_id uuid, full_name text, role public.occupancy_role, change text, starts_on date, ends_on date, occupancy_id uuid)
language plpgsql
volatile
security definer -- several people move at once, each row whole or none
set search_path = ''
as $$
#variable_conflict use_column
declare
  home constant uuid := app.locked_units('residents.manage', array[entered]);
  today constant date := (select (now() at time zone c.time_zone)::date from public.communities c where c.id = home);
  bad text;
  refused_table text;
  refused text;
begin
  first_on := coalesce(first_on, today);
  if first_on not between date '1850-01-01' and date '2200-01-01' then
    perform app.fail(422, 'invalid_period', 'moved_in_on is the first day.');
  end if;
  movers := app.resolve_people(home, movers);
  select format('Person %s: role is owner, tenant, family, authorized or guest; host is the number of another person of the list; ends_on is a day from the first on.', m.n) into bad
  from jsonb_array_elements(movers) with ordinality m (mover, n)
  where coalesce(m.mover ->> 'role', 'tenant') not in ('owner', 'tenant', 'family', 'authorized', 'guest')
    or not coalesce(pg_input_is_valid(m.mover ->> 'host', 'integer') and (m.mover ->> 'host')::integer between 1 and jsonb_array_length(movers) and (m.mover ->> 'host')::integer <> m.n, true)
    or not coalesce(pg_input_is_valid(m.mover ->> 'host_id', 'uuid'), true)
    or not coalesce(pg_input_is_valid(m.mover ->> 'ends_on', 'date') and (m.mover ->> 'ends_on')::date >= first_on, true)
  limit 1;
  if bad is not null then
    perform app.fail(422, 'invalid_people', bad);
  end if;

  -- An owner owns already, and comes to live here.
  if exists (
    select from jsonb_array_elements(movers) m (mover)
    where m.mover ->> 'role' = 'owner' and (first_on > today or not exists (
      select from public.occupancies o
      where o.community_id = home and o.unit_id = entered and o.role = 'owner' and o.deleted_at is null and o.resident_id = (m.mover ->> 'resident_id')::uuid
        and o.starts_on <= today and (o.ends_on is null or o.ends_on >= today)))) then
    perform app.fail(422, 'not_an_owner', 'Who moves in as an owner owns the unit today, and the day is not one to come.', 'sell_unit makes owners.');
  end if;
  perform set_config('app.living_turns_on', first_on::text, true);
  return query
    update public.occupancies o
    set is_living_in = true
    from jsonb_array_elements(movers) m (mover), public.residents r
    where m.mover ->> 'role' = 'owner' and o.community_id = home and o.unit_id = entered and o.role = 'owner' and o.deleted_at is null
      and o.resident_id = (m.mover ->> 'resident_id')::uuid and r.id = o.resident_id and o.starts_on <= today and (o.ends_on is null or o.ends_on >= today)
    returning o.resident_id, r.full_name, o.role, 'lives_in', o.starts_on, o.ends_on, o.id;
  perform set_config('app.living_turns_on', '', true);
  -- First those whom others come by.
  for pass in 1 .. 2 loop
    return query
      insert into public.occupancies as o (community_id, unit_id, resident_id, role, host_id, is_living_in, is_primary_contact, starts_on, ends_on)
      select home, entered, (m.mover ->> 'resident_id')::uuid, m.role,
        coalesce((m.mover ->> 'host_id')::uuid, (movers -> (m.mover ->> 'host')::integer - 1 ->> 'resident_id')::uuid),
        coalesce((m.mover ->> 'lives_in')::boolean, m.role <> 'authorized'), coalesce((m.mover ->> 'is_primary_contact')::boolean, false),
        first_on, (m.mover ->> 'ends_on')::date
      from (
        select x.mover, x.n, coalesce(x.mover ->> 'role', 'tenant')::public.occupancy_role as role from jsonb_array_elements(movers) with ordinality x (mover, n)
      ) m
      where m.role <> 'owner' and (m.role = 'tenant') = (pass = 1)
      order by m.n
      returning o.resident_id, (select r.full_name from public.residents r where r.id = o.resident_id), o.role, 'moved_in', o.starts_on, o.ends_on, o.id;
  end loop;
exception
  when check_violation then
    get stacked diagnostics refused_table = table_name, refused = constraint_name;
    perform app.fail_check(refused_table, refused);
  when exclusion_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail(409, 'occupancy_taken', format('The same is stored for that time already (%s).', refused));
  when foreign_key_violation then
    perform app.fail(404, 'resident_not_found', 'host_id is no resident of this community.');
  when invalid_text_representation then
    perform app.fail(422, 'invalid_people', sqlerrm);
end;
$$;

comment on function app.move_in(uuid, jsonb, date) is 'What public.move_in does. Definer: several people move at once, each row whole or none.';

create function public.move_in(unit_id uuid, movers jsonb, moved_in_on date default null)
returns table (resident_id uuid, full_name text, role public.occupancy_role, change text, starts_on date, ends_on date, occupancy_id uuid)
language sql
volatile
set search_path = ''
as $$ select * from app.move_in(move_in.unit_id, move_in.movers, move_in.moved_in_on) $$;

comment on function public.move_in(uuid, jsonb, date) is
  'Moves people into a unit from a day on, today by default, all or none: [{"resident_id"} or {"full_name", "email", "phone", "born_on" …}, each with "role" (tenant by default), "ends_on", "lives_in", "is_primary_contact", '
  'and for family, authorized and guests "host_id", or "host": the number of a person in this list]. An owner (role owner) owns already and comes to live there. '
  'Answers with one row each. Takes residents.manage. Errors: permission_denied, unit_not_found, invalid_people, invalid_period, invalid_value, resident_not_found, not_an_owner, host_not_here, lease_overlap, occupancy_taken.';

create function app.move_out(left_unit uuid, last_on date, resident_ids uuid[], why text)
returns table (resident_id uuid, full_name text, role public.occupancy_role, change text, starts_on date, ends_on date, occupancy_id uuid)
language plpgsql
volatile
security definer -- several people move at once, with their contract and whoever came by them
set search_path = ''
as $$
#variable_conflict use_column
declare
  home constant uuid := app.locked_units('residents.manage', array[left_unit]);
  today constant date := (select (now() at time zone c.time_zone)::date from public.communities c where c.id = home);
  before jsonb;
  movers uuid[];
  empties boolean; -- an owner leaves, and no owner or tenant is left
begin
  last_on := coalesce(last_on, today);
  select coalesce(jsonb_object_agg(o.id, jsonb_build_object('ends_on', o.ends_on, 'lives_in', o.is_living_in)), '{}'),
    array_agg(distinct o.resident_id) filter (where o.role <> 'owner' and (o.ends_on is null or o.ends_on > last_on))
  into before, movers
  from public.occupancies o
  where o.community_id = home and o.unit_id = left_unit and o.deleted_at is null;
  movers := coalesce(resident_ids, movers, '{}');
  if movers = '{}' or exists (
    select from unnest(movers) m
    where not exists (
      select from public.occupancies o
      where o.community_id = home and o.unit_id = left_unit and o.deleted_at is null and o.resident_id = m
        and (case when o.role = 'owner' then o.is_living_in and (o.ends_on is null or o.ends_on >= today) else o.ends_on is null or o.ends_on > last_on end))) then
    perform app.fail(404, 'occupancy_not_found', 'Not all of them would live in the unit after that day.');
  end if;
  if last_on > today and exists (
    select from public.occupancies o
    where o.community_id = home and o.unit_id = left_unit and o.deleted_at is null and o.role = 'owner' and o.is_living_in and o.resident_id = any (movers)) then
    perform app.fail(422, 'invalid_period', 'An owner moves out and still owns: on a day that has come, not on one to come.');
  end if;
  if why is not null then
    perform set_config('app.reason', left(why, 500), true);
  end if;

  empties := exists (
    select from public.occupancies o
    where o.community_id = home and o.unit_id = left_unit and o.deleted_at is null and o.role = 'owner' and o.is_living_in and o.resident_id = any (movers)
  ) and not exists (
    select from public.occupancies o
    where o.community_id = home and o.unit_id = left_unit and o.deleted_at is null and o.role in ('owner', 'tenant') and o.is_living_in and o.resident_id <> all (movers)
      and (o.ends_on is null or o.ends_on > last_on));
  perform set_config('app.living_turns_on', (last_on + 1)::text, true);
  update public.occupancies o
  set is_living_in = false
  where o.community_id = home and o.unit_id = left_unit and o.deleted_at is null and o.role = 'owner' and o.is_living_in and o.resident_id = any (movers)
    and (o.ends_on is null or o.ends_on >= today);
  perform set_config('app.living_turns_on', '', true);
  update public.occupancies o
  set ends_on = case when o.starts_on <= last_on then last_on else o.ends_on end, deleted_at = case when o.starts_on > last_on then now() end
  where o.community_id = home and o.unit_id = left_unit and o.deleted_at is null and (o.ends_on is null or o.ends_on > last_on)
    and ((o.role <> 'owner' and o.resident_id = any (movers))
      -- Family and guests of an owner who leaves: owning does not end, so that the rule of hosts does not see it. Where no host is named,
      -- once no owner or tenant is left.
      or (o.role in ('family', 'guest') and case when o.host_id is not null then o.host_id = any (movers) else empties end));
  -- A contract under which nobody is left.
  update public.leases l
  set ends_on = last_on, ended_early_reason = coalesce(why, 'Moved out')
  where l.community_id = home and l.unit_id = left_unit and l.deleted_at is null and l.starts_on <= last_on and (l.ends_on is null or l.ends_on > last_on)
    and not exists (
      select from public.occupancies o
      where o.community_id = home and o.unit_id = left_unit and o.lease_id = l.id and o.deleted_at is null and (o.ends_on is null or o.ends_on > last_on));

  return query
    select o.resident_id, r.full_name, o.role,
      case when o.deleted_at is not null then 'cancelled' when o.role = 'owner' then 'lives_elsewhere' else 'moved_out' end, o.starts_on, o.ends_on, o.id
    from jsonb_each(before) b
    join public.occupancies o on o.id = b.key::uuid
    join public.residents r on r.community_id = home and r.id = o.resident_id
    where o.deleted_at is not null or o.ends_on is distinct from (b.value ->> 'ends_on')::date or o.is_living_in <> (b.value ->> 'lives_in')::boolean
    order by o.role, r.full_name, o.starts_on;
end;
$$;

comment on function app.move_out(uuid, date, uuid[], text) is
  'What public.move_out does. Definer: several people move at once, with their contract and whoever came by them.';

create function public.move_out(unit_id uuid, last_on date default null, resident_ids uuid[] default null, reason text default null)
returns table (resident_id uuid, full_name text, role public.occupancy_role, change text, starts_on date, ends_on date, occupancy_id uuid)
language sql
volatile
set search_path = ''
as $$ select * from app.move_out(move_out.unit_id, move_out.last_on, move_out.resident_ids, move_out.reason) $$;

comment on function public.move_out(uuid, date, uuid[], text) is
  'Moves people out of a unit after a last day, today by default: those named, or everybody but its owners. With them go their family, authorized persons and guests, their lease if nobody is left in it, and stays to come. '
  'An owner who is named lives elsewhere from now on and still owns. Answers with one row per stay that changed: moved_out, cancelled (had yet to begin) or lives_elsewhere. Takes residents.manage. '
  'Errors: permission_denied, unit_not_found, occupancy_not_found, invalid_period.';

grant execute on function
  app.move_in(uuid, jsonb, date), public.move_in(uuid, jsonb, date), app.move_out(uuid, date, uuid[], text), public.move_out(uuid, date, uuid[], text)
to authenticated, service_role;

-- Views --------------------------------------------------------------------------------------------------------------

create view public.vacant_units with (security_invoker = true) as
select
  u.community, u.building, u.entrance, u.number, u.type, u.floor, u.area, u.owners,
  (select max(least(o.ends_on, upper(o.days_lived_in) - 1)) from public.occupancies o
   where o.community_id = u.community_id and o.unit_id = u.unit_id and o.deleted_at is null and o.days_lived_in && datemultirange(daterange(o.starts_on, o.ends_on, '[]'))
     and o.starts_on < t.today and least(o.ends_on, upper(o.days_lived_in) - 1) < t.today) as last_lived_in_on,
  (select min(o.starts_on) from public.occupancies o
   where o.community_id = u.community_id and o.unit_id = u.unit_id and o.is_living_in and o.deleted_at is null and o.starts_on > t.today) as next_lived_in_on,
  u.community_id, u.unit_id
from public.units_overview u
cross join lateral (select app.today_in(u.community_id) as today) t
where u.status = 'vacant' and u.type in ('house', 'apartment', 'shop', 'office');

comment on view public.vacant_units is 'Houses, flats, shops and offices in which nobody lives or works, with their owners, since when and until when. Shows what the reader may see.';
comment on column public.vacant_units.community is 'Name of the community.';
comment on column public.vacant_units.building is 'Name of the building; null for a house.';
comment on column public.vacant_units.entrance is 'Name of the entrance.';
comment on column public.vacant_units.number is 'What is on the door.';
comment on column public.vacant_units.type is 'Kind of unit.';
comment on column public.vacant_units.floor is '0 is the ground floor.';
comment on column public.vacant_units.area is 'Square metres.';
comment on column public.vacant_units.owners is 'Owners of today.';
comment on column public.vacant_units.last_lived_in_on is 'The last day on which somebody lived there, if it is known.';
comment on column public.vacant_units.next_lived_in_on is 'The day on which somebody comes to live there, if it is known.';
comment on column public.vacant_units.community_id is 'The community''s id.';
comment on column public.vacant_units.unit_id is 'The unit''s id.';

create view public.expiring_leases with (security_invoker = true) as
select
  c.name as community, concat_ws(' / ', b.name, u.number) as unit, l.reference,
  (select string_agg(r.full_name, ', ' order by r.full_name)
   from public.occupancies o join public.residents r on r.community_id = o.community_id and r.id = o.resident_id
   where o.community_id = l.community_id and o.unit_id = l.unit_id and o.lease_id = l.id and o.deleted_at is null) as tenants,
  l.starts_on, l.ends_on, l.ends_on - t.today as days_left, l.monthly_rent, l.reminded_at, l.community_id, l.unit_id, l.id as lease_id
from public.leases l
join public.communities c on c.id = l.community_id
cross join lateral (select (now() at time zone c.time_zone)::date as today) t
join public.units u on u.community_id = l.community_id and u.id = l.unit_id
left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
where l.deleted_at is null and l.ends_on between t.today and t.today + 180;

comment on view public.expiring_leases is 'Leases whose last day is within half a year, with names. Shows what the reader may see.';
comment on column public.expiring_leases.community is 'Name of the community.';
comment on column public.expiring_leases.unit is 'Building and number.';
comment on column public.expiring_leases.reference is 'The contract''s number.';
comment on column public.expiring_leases.tenants is 'Who rents by it.';
comment on column public.expiring_leases.starts_on is 'First day.';
comment on column public.expiring_leases.ends_on is 'Last day.';
comment on column public.expiring_leases.days_left is 'Days until the last one; 0 is today.';
comment on column public.expiring_leases.monthly_rent is 'What is agreed per month.';
comment on column public.expiring_leases.reminded_at is 'When it was told of.';
comment on column public.expiring_leases.community_id is 'The community''s id.';
comment on column public.expiring_leases.unit_id is 'The unit''s id.';
comment on column public.expiring_leases.lease_id is 'The lease''s id.';

grant select on public.vacant_units, public.expiring_leases to authenticated, service_role;
