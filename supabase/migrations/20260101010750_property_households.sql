-- Property: households.
--
-- Purpose     Family, authorized persons and guests come by an owner or a tenant and go with them; who moves in and out.
-- Tables      None of its own; writes occupancies, residents, resident_details
-- RPCs        add_household_member, end_household_member, move_in, move_out
-- Settings    general.household_size, general.age_of_majority, security.authorization_period
-- Invariants  Nobody who came by somebody stays longer: family, authorized persons and guests end when their host's last ownership
--             or tenancy of the unit does, however it was ended; so do appointments to pay or to vote. Who acts for a unit, or is a
--             guest, does so until a day. No user is linked to a resident who is not of age.
-- For others  Whoever gives access because of an occupancy (vehicles, passes) ends it with it: by a trigger AFTER UPDATE OF ends_on,
--             deleted_at on occupancies, and for what nobody writes on its day by the event occupancy.ended, which is told once.

select app.define_permission('household.manage_own', 'unit', 'Add and end family, authorized persons and guests of the own unit', '{community/owner, community/tenant}');

select app.define_setting('general.household_size', 'integer', '12', '{site,organization,community,building,unit}',
  'How many family members, authorized persons and guests an owner or tenant may have in a unit at one time without asking the management.', minimum => 0, maximum => 200);
select app.define_setting('general.age_of_majority', 'integer', '18', '{site,organization,community}', 'The age in years from which a resident may have an account and vote.',
  minimum => 1, maximum => 30);
select app.define_setting('security.authorization_period', 'duration', '"P1Y"', '{site,organization,community}',
  'For how long authorized persons and guests are entered where nobody says until when, and for how long at most by residents themselves.', minimum => 86400, maximum => 315360000);

-- Until a day --------------------------------------------------------------------------------------------------------

create function app.last_day_by_default(home uuid, first_on date)
returns date
language plpgsql
stable
security definer -- reads the community's time zone and setting for whoever enters somebody
set search_path = ''
as $$
begin
  return (
    select (greatest(first_on, (now() at time zone c.time_zone)::date) + (app.setting('security.authorization_period', c.id) #>> '{}')::interval)::date
    from public.communities c where c.id = home);
end;
$$;

comment on function app.last_day_by_default(uuid, date) is
  'Until when an authorized person or a guest comes if nobody says: security.authorization_period from the first day or today. Definer: reads the community.';

create function app.tg_occupancies__last_day()
returns trigger
language plpgsql
security definer -- reads the setting for whoever enters somebody
set search_path = ''
as $$
begin
  new.ends_on := app.last_day_by_default(new.community_id, new.starts_on);
  return new;
end;
$$;

comment on function app.tg_occupancies__last_day() is 'BEFORE INSERT of an authorized person or a guest without a last day: security.authorization_period from now. Definer: reads the setting for whoever enters somebody.';

create trigger _150_last_day before insert on public.occupancies for each row
  when (new.role in ('authorized', 'guest') and new.ends_on is null) execute function app.tg_occupancies__last_day();

-- Going with the host ------------------------------------------------------------------------------------------------

create function app.end_with_hosts(units uuid[])
returns void
language plpgsql
volatile
security definer -- ends what the caller may not see
set search_path = ''
as $$
begin
  -- Looked up for each dependant by the unit's index: joined as sets, which nobody has statistics of, it took 5 ms a row.
  with dependants as materialized (
    select d.id, d.community_id, d.unit_id, d.starts_on,
      -- Without a host: those who rented the unit on the dependant's first day, or else those who owned it.
      case when d.host_id is not null then array[d.host_id] else (
        select coalesce(array_agg(h.resident_id) filter (where h.role = 'tenant'), array_agg(h.resident_id))
        from public.occupancies h
        where h.community_id = d.community_id and h.unit_id = d.unit_id and h.role in ('owner', 'tenant') and h.deleted_at is null
          and h.starts_on <= d.starts_on and (h.ends_on is null or h.ends_on >= d.starts_on)
      ) end as hosts
    from public.units u
    join public.occupancies d on d.community_id = u.community_id and d.unit_id = u.id and d.role in ('family', 'authorized', 'guest')
      and d.deleted_at is null and d.moved_out_at is null
    where u.id = any (units)
  ),
  -- The first unbroken time of the hosts that ends after the dependant came.
  stays as materialized (
    select d.id, coalesce(s.last_on, (now() at time zone c.time_zone)::date - 1) as last_on
    from dependants d
    join public.communities c on c.id = d.community_id
    left join lateral (
      select coalesce(upper(r.span) - 1, 'infinity') as last_on
      from unnest((
        select range_agg(daterange(h.starts_on, h.ends_on, '[]'))
        from public.occupancies h
        where h.community_id = d.community_id and h.unit_id = d.unit_id and h.role in ('owner', 'tenant') and h.deleted_at is null and h.resident_id = any (d.hosts)
      )) r (span)
      where upper_inf(r.span) or upper(r.span) > d.starts_on
      order by r.span
      limit 1
    ) s on true
    where d.hosts is not null
  )
  update public.occupancies o
  set ends_on = case when s.last_on >= o.starts_on then s.last_on else o.ends_on end, deleted_at = case when s.last_on < o.starts_on then now() end
  from stays s
  where o.id = s.id and s.last_on <> 'infinity' and coalesce(o.ends_on, 'infinity') > s.last_on;

  -- Appointments of those who owned or rented the unit when they were appointed.
  with appointed as (
    select p.id, p.starts_on, (
      select coalesce(upper(r.span) - 1, 'infinity')
      from unnest((
        select range_agg(daterange(h.starts_on, h.ends_on, '[]'))
        from public.occupancies h
        where h.community_id = p.community_id and h.unit_id = p.unit_id and h.role in ('owner', 'tenant') and h.deleted_at is null and h.resident_id = p.resident_id
      )) r (span)
      where r.span @> p.starts_on) as last_on
    from public.units u
    join public.unit_representatives p on p.community_id = u.community_id and p.unit_id = u.id and p.deleted_at is null
    where u.id = any (units)
  )
  update public.unit_representatives p
  set ends_on = a.last_on
  from appointed a
  where p.id = a.id and a.last_on <> 'infinity' and coalesce(p.ends_on, 'infinity') > a.last_on;
end;
$$;

comment on function app.end_with_hosts(uuid[]) is
  'Ends family, authorized persons and guests of units with their hosts, archives those who would come after their host has left, and ends appointments of those who left. '
  'The one place of that rule. Definer: ends what the caller may not see.';

create function app.tg_occupancies__end_with_hosts()
returns trigger
language plpgsql
security definer -- follows the host for whoever ends the host
set search_path = ''
as $$
declare
  units uuid[];
  strange text;
begin
  if tg_op = 'INSERT' then
    units := array(select distinct n.unit_id from new_rows n where n.role in ('family', 'authorized', 'guest') and n.deleted_at is null
      union
      select n.unit_id from new_rows n
      where n.role in ('owner', 'tenant') and exists (
        select from public.occupancies d
        where d.community_id = n.community_id and d.unit_id = n.unit_id and d.role = 'family' and d.deleted_at is null and d.ends_on = n.starts_on - 1));
    if units = '{}' then
      return null;
    end if;
    select r.full_name into strange
    from new_rows n join public.residents r on r.id = n.host_id
    where n.deleted_at is null and not exists (
      select from public.occupancies h
      where h.community_id = n.community_id and h.unit_id = n.unit_id and h.resident_id = n.host_id and h.role in ('owner', 'tenant') and h.deleted_at is null
        and (h.ends_on is null or h.ends_on >= n.starts_on))
    limit 1;
    -- A host who comes again the day after keeps the family.
    update public.occupancies d
    set ends_on = null
    from new_rows n
    where n.role in ('owner', 'tenant') and d.community_id = n.community_id and d.unit_id = n.unit_id and d.role = 'family' and d.deleted_at is null
      and d.ends_on = n.starts_on - 1 and app.is_host_of(n.resident_id, d);
  else
    units := array(
      select distinct n.unit_id from new_rows n join old_rows o on o.id = n.id
      where (n.ends_on, n.starts_on, n.deleted_at, n.host_id) is distinct from (o.ends_on, o.starts_on, o.deleted_at, o.host_id));
    if units = '{}' then
      return null;
    end if;
    select r.full_name into strange
    from new_rows n join old_rows o on o.id = n.id join public.residents r on r.id = n.host_id
    where n.host_id is distinct from o.host_id and n.deleted_at is null and not exists (
      select from public.occupancies h
      where h.community_id = n.community_id and h.unit_id = n.unit_id and h.resident_id = n.host_id and h.role in ('owner', 'tenant') and h.deleted_at is null
        and (h.ends_on is null or h.ends_on >= n.starts_on))
    limit 1;
    -- A host who stays longer keeps the family.
    update public.occupancies d
    set ends_on = null
    from new_rows n join old_rows o on o.id = n.id
    where n.role in ('owner', 'tenant') and n.deleted_at is null and coalesce(n.ends_on, 'infinity') > o.ends_on
      and d.community_id = n.community_id and d.unit_id = n.unit_id and d.role = 'family' and d.deleted_at is null
      and d.ends_on = o.ends_on and app.is_host_of(n.resident_id, d);
  end if;
  if strange is not null then
    perform app.fail(422, 'host_not_here', format('%s neither owns nor rents the unit then.', strange));
  end if;
  if coalesce(current_setting('app.hosts_wait', true), '') = '' then
    perform app.end_with_hosts(units);
  end if;
  return null;
end;
$$;

comment on function app.tg_occupancies__end_with_hosts() is
  'AFTER INSERT OR UPDATE: dependants end with their hosts (app.end_with_hosts), family stays on with a host who stays on; a host must own or rent the unit (422 host_not_here). '
  'A function that changes several owners at once sets app.hosts_wait and ends them itself. Definer: follows the host for whoever ends the host.';

create function app.is_host_of(host uuid, dependant public.occupancies)
returns boolean
language sql
stable
set search_path = ''
return dependant.host_id = host or (dependant.host_id is null and exists (
  select from public.occupancies h
  where h.community_id = dependant.community_id and h.unit_id = dependant.unit_id and h.resident_id = host and h.role in ('owner', 'tenant') and h.deleted_at is null
    and h.starts_on <= dependant.starts_on and (h.ends_on is null or h.ends_on >= dependant.starts_on)));

comment on function app.is_host_of(uuid, public.occupancies) is 'Whether a dependant came by this owner or tenant: named as host, or there on the dependant''s first day where no host is named.';

create trigger _510_end_with_hosts_insert after insert on public.occupancies
  referencing new table as new_rows for each statement execute function app.tg_occupancies__end_with_hosts();
create trigger _510_end_with_hosts_update after update on public.occupancies
  referencing old table as old_rows new table as new_rows for each statement execute function app.tg_occupancies__end_with_hosts();

-- Minors -------------------------------------------------------------------------------------------------------------

create function app.tg_resident_details__adult_on()
returns trigger
language plpgsql
security definer -- reads the setting for whoever enters somebody
set search_path = ''
as $$
begin
  if new.born_on > current_date + 1 then
    perform app.fail(422, 'invalid_value', 'born_on is a day to come.');
  end if;
  if new.born_on is not null and (tg_op = 'INSERT' or new.adult_on is not distinct from old.adult_on) then
    new.adult_on := new.born_on + make_interval(years => app.setting('general.age_of_majority', new.community_id)::integer);
  end if;
  return new;
end;
$$;

comment on function app.tg_resident_details__adult_on() is 'BEFORE INSERT OR UPDATE of born_on: adult_on follows, by the setting general.age_of_majority of the day on which it is entered. Definer: reads the setting for whoever enters somebody.';

create trigger _200_adult_on_insert before insert on public.resident_details for each row
  when (new.born_on is not null) execute function app.tg_resident_details__adult_on();
create trigger _200_adult_on_update before update of born_on on public.resident_details for each row
  when (new.born_on is not null and new.born_on is distinct from old.born_on) execute function app.tg_resident_details__adult_on();

create function app.tg_resident_details__unlink_minor()
returns trigger
language plpgsql
security definer -- writes residents.user_id
set search_path = ''
as $$
begin
  update public.residents re
  set user_id = null
  from public.communities c
  where re.community_id = new.community_id and re.id = new.resident_id and c.id = re.community_id and re.user_id is not null
    and new.adult_on > (now() at time zone c.time_zone)::date;
  return null;
end;
$$;

comment on function app.tg_resident_details__unlink_minor() is 'AFTER INSERT OR UPDATE of adult_on: who turns out not to be of age loses the account''s link. Definer: writes residents.user_id.';

create trigger _600_unlink_minor after insert or update of born_on, adult_on on public.resident_details for each row
  when (new.adult_on is not null) execute function app.tg_resident_details__unlink_minor();

create function app.tg_residents__of_age()
returns trigger
language plpgsql
security definer -- reads a detail for whoever links
set search_path = ''
as $$
begin
  if app.is_minor_on(new.community_id, new.id, (select (now() at time zone c.time_zone)::date from public.communities c where c.id = new.community_id)) then
    perform app.fail(409, 'resident_is_minor', 'Who is not of age has no account.');
  end if;
  return new;
end;
$$;

comment on function app.tg_residents__of_age() is 'BEFORE UPDATE that links a user: only residents of age (409 resident_is_minor), whoever links. Definer: reads a detail for whoever links.';

create trigger _200_of_age before update of user_id on public.residents for each row
  when (new.user_id is not null and old.user_id is distinct from new.user_id) execute function app.tg_residents__of_age();

create function app.job_coming_of_age()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  emails text[];
  phones text[];
begin
  select array_agg(distinct lower(d.email)) filter (where d.email is not null),
    array_agg(distinct app.phone_digits(d.phone)) filter (where app.phone_digits(d.phone) is not null)
  into emails, phones
  from public.resident_details d
  join public.residents r on r.community_id = d.community_id and r.id = d.resident_id
  where d.adult_on between current_date - 30 and current_date + 1 and d.deleted_at is null and r.user_id is null;
  perform app.link_residents(emails), app.link_residents_by_phone(phones);
end;
$$;

comment on function app.job_coming_of_age() is 'Job coming-of-age: links the accounts of residents who came of age.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('coming-of-age', '12,42 * * * *', 'app.job_coming_of_age()', 'Links the accounts of residents who came of age, in every time zone.');

create function app.my_wards()
returns setof uuid
language plpgsql
stable
security definer -- finds the children before any policy on them is decided
set search_path = ''
as $$
begin
  return query
    select ward.id
    from public.residents re
    join public.residents ward on ward.community_id = re.community_id and ward.guardian_id = re.id
    where re.user_id = app.user_id() and re.deleted_at is null and ward.deleted_at is null and re.community_id = any (app.my_communities())
      and app.is_minor_on(ward.community_id, ward.id, app.today_in(ward.community_id));
end;
$$;

comment on function app.my_wards() is
  'The minors whose guardian the caller is, where the caller has to do with the community: until they come of age. Definer: reads residents.';

grant execute on function app.my_wards() to authenticated;

-- The own household --------------------------------------------------------------------------------------------------

create function app.household_host(home uuid, household uuid, today date)
returns uuid
language plpgsql
stable
security definer -- reads the caller's occupancies
set search_path = ''
as $$
begin
  return (
    select o.resident_id
    from public.occupancies o
    join public.residents r on r.community_id = o.community_id and r.id = o.resident_id
    where o.community_id = home and o.unit_id = household and o.role in ('owner', 'tenant') and o.deleted_at is null
      and r.user_id = (select app.user_id()) and r.deleted_at is null and o.starts_on <= today and (o.ends_on is null or o.ends_on >= today)
      and household in (select app.units_with('household.manage_own'))
    limit 1);
end;
$$;

comment on function app.household_host(uuid, uuid, date) is 'The caller as an owner or tenant who may manage the household of the unit; null for everybody else. Definer: reads the caller''s occupancies.';

create function app.is_let_to_others(home uuid, household uuid, host uuid, today date)
returns boolean
language sql
stable
set search_path = ''
return exists (
  select from public.occupancies t
  where t.community_id = home and t.unit_id = household and t.role = 'tenant' and t.deleted_at is null
    and t.starts_on <= today and (t.ends_on is null or t.ends_on >= today)
) and not exists (
  select from public.occupancies t
  where t.community_id = home and t.unit_id = household and t.role = 'tenant' and t.deleted_at is null and t.resident_id = host
    and t.starts_on <= today and (t.ends_on is null or t.ends_on >= today)
);

comment on function app.is_let_to_others(uuid, uuid, uuid, date) is 'Whether tenants live in the unit and the person is none of them: an owner does not put people into a flat that is let.';

create function app.add_household_member(
  household uuid, called text, as_role public.occupancy_role, first_on date, last_on date, born date, telephone text, address text, by_host uuid
)
returns uuid
language plpgsql
volatile
security definer -- residents enter people of their own household without residents.manage
set search_path = ''
as $$
declare
  home constant uuid := (select u.community_id from public.units u where u.id = household and u.deleted_at is null);
  today constant date := (select (now() at time zone c.time_zone)::date from public.communities c where c.id = home);
  is_manager constant boolean := app.is_trusted() or app.can('residents.manage', home);
  host uuid := case when is_manager then by_host else app.household_host(home, household, today) end;
  person uuid;
  made uuid;
  refused_table text;
  refused text;
begin
  if home is null or (not is_manager and (host is null or by_host <> host or num_nonnulls(address, app.phone_digits(telephone)) > 0)) then
    perform app.fail(403, 'permission_denied', case
      when host is not null and address is not null then 'An e-mail address links an account: the management enters it.'
      when host is not null and app.phone_digits(telephone) is not null then 'A telephone number with its country''s code links an account: the management enters it.'
      else 'This takes household.manage_own in this unit, for the own household, or residents.manage.' end);
  end if;
  perform from public.units u where u.id = household for no key update;
  first_on := coalesce(first_on, today);
  if coalesce(as_role, 'owner') not in ('family', 'authorized', 'guest') then
    perform app.fail(422, 'invalid_value', 'role is family, authorized or guest.');
  elsif last_on < first_on or (not is_manager and (first_on < today or last_on > app.last_day_by_default(home, today))) then
    perform app.fail(422, 'invalid_period', 'Residents enter people from today on, the last day not before the first and not later than the management allows.',
      format('At most until %s.', app.last_day_by_default(home, today)));
  end if;
  if not is_manager then
    if as_role <> 'authorized' and app.is_let_to_others(home, household, host, today) then
      perform app.fail(409, 'unit_is_let', 'Tenants live in the unit: its owner may authorize somebody, but not put people into it.');
    elsif app.setting('general.household_size', home, (select u.building_id from public.units u where u.id = household), household)::integer <= (
      select count(*) from public.occupancies o
      where o.community_id = home and o.unit_id = household and o.role in ('family', 'authorized', 'guest') and o.deleted_at is null
        and (o.ends_on is null or o.ends_on >= today) and (o.host_id = host or o.host_id is null)) then
      perform app.fail(409, 'household_full', 'The household has as many members as residents may enter themselves.', 'The management may add more.');
    end if;
  end if;
  if host is not null and not exists (select from public.residents r where r.community_id = home and r.id = host and r.deleted_at is null) then
    perform app.fail(404, 'resident_not_found', 'host_id is no live resident of this community.');
  end if;

  insert into public.residents (community_id, full_name) values (home, called) returning id into person;
  if num_nonnulls(born, telephone, address) > 0 then
    insert into public.resident_details (community_id, resident_id, born_on, phone, email) values (home, person, born, telephone, address);
  end if;
  if host is not null and app.is_minor_on(home, person, today) then
    update public.residents r set guardian_id = host where r.id = person and (select h.kind from public.residents h where h.id = host) = 'person';
  end if;
  insert into public.occupancies (community_id, unit_id, resident_id, role, host_id, is_living_in, starts_on, ends_on)
  values (home, household, person, as_role, host, as_role <> 'authorized', first_on, last_on)
  returning id into made;
  return made;
exception
  when check_violation then
    get stacked diagnostics refused_table = table_name, refused = constraint_name;
    perform app.fail_check(refused_table, refused);
  when not_null_violation then
    perform app.fail(422, 'invalid_value', 'full_name is missing.');
end;
$$;

comment on function app.add_household_member(uuid, text, public.occupancy_role, date, date, date, text, text, uuid) is
  'What public.add_household_member does. Definer: residents enter people of their own household without residents.manage.';

create function public.add_household_member(
  unit_id uuid, full_name text, role public.occupancy_role default 'family', starts_on date default null, ends_on date default null,
  born_on date default null, phone text default null, email text default null, host_id uuid default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.add_household_member(unit_id, full_name, role, starts_on, ends_on, born_on, phone, email, host_id) $$;

comment on function public.add_household_member(uuid, text, public.occupancy_role, date, date, date, text, text, uuid) is
  'Enters a member of a household: family, authorized or guest, from starts_on (today) to ends_on (authorized and guests: security.authorization_period by default). '
  'Owners and tenants (household.manage_own) for themselves, within general.household_size and that period; with residents.manage for host_id. Whoever is not of age gets the host as guardian. '
  'email, and phone with its country''s code, by the management alone: they link an account. Returns the occupancy''s id. '
  'Errors: permission_denied, invalid_value, invalid_period, unit_is_let, household_full, host_not_here, resident_not_found.';

create function app.end_household_member(ended uuid, last_on date)
returns date
language plpgsql
volatile
security definer -- residents end what their own household was given
set search_path = ''
as $$
declare
  member public.occupancies;
  today date;
  host uuid;
begin
  select o.* into member from public.occupancies o
  where o.id = ended and o.deleted_at is null and o.role in ('family', 'authorized', 'guest');
  today := (select (now() at time zone c.time_zone)::date from public.communities c where c.id = member.community_id);
  if not app.is_trusted() and not app.can('residents.manage', member.community_id) then
    host := app.household_host(member.community_id, member.unit_id, today);
    if host is null or member.host_id <> host or (member.host_id is null and app.is_let_to_others(member.community_id, member.unit_id, host, today)) then
      perform app.fail(403, 'permission_denied', 'This takes household.manage_own for the own household, or residents.manage.');
    end if;
  elsif member.id is null then
    perform app.fail(404, 'occupancy_not_found', 'There is no live member of a household with this id.');
  end if;
  perform from public.units u where u.id = member.unit_id for no key update;
  select o.* into member from public.occupancies o where o.id = ended for update;
  last_on := coalesce(last_on, today - 1);
  if last_on >= coalesce(member.ends_on, 'infinity') or (host is not null and last_on < today - 1) then
    perform app.fail(422, 'invalid_period', 'A stay is ended earlier than it would end, from yesterday on.', 'Enter the person again to prolong it.');
  end if;
  if last_on < member.starts_on then
    update public.occupancies o set deleted_at = now() where o.id = ended;
    return null;
  end if;
  update public.occupancies o set ends_on = last_on where o.id = ended;
  return last_on;
end;
$$;

comment on function app.end_household_member(uuid, date) is 'What public.end_household_member does. Definer: residents end what their own household was given.';

create function public.end_household_member(occupancy_id uuid, ends_on date default null)
returns date
language sql
volatile
set search_path = ''
as $$ select app.end_household_member(occupancy_id, ends_on) $$;

comment on function public.end_household_member(uuid, date) is
  'Ends the stay of a family member, authorized person or guest on a day, or at once (yesterday was the last day); who never came is archived and null answered. '
  'Owners and tenants for their own household, or with residents.manage. Errors: permission_denied, occupancy_not_found, invalid_period.';

grant execute on function
  app.add_household_member(uuid, text, public.occupancy_role, date, date, date, text, text, uuid),
  public.add_household_member(uuid, text, public.occupancy_role, date, date, date, text, text, uuid),
  app.end_household_member(uuid, date), public.end_household_member(uuid, date)
to authenticated, service_role;
