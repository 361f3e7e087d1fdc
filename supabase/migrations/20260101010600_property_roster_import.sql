-- Property: bringing in a roster.
--
-- Purpose     One call stores what a file says about a community's units and people, or says why it cannot.
-- Tables      None of its own; writes buildings, entrances, units, residents, resident_details, occupancies
-- RPCs        import_roster
-- Invariants  All or nothing: one refusal, and no row is written. The same file twice writes nothing the second time, not even to the audit.
--             A blank cell takes nothing away, and who is missing in the file stays. Two imports into one community wait for each other.
--             What a dry run finds nothing to refuse in, the import stores, unless somebody changed the community in between.

-- What would change --------------------------------------------------------------------------------------------------

create function app.roster_plan(community uuid, may_read_details boolean)
returns void
language plpgsql
volatile
set search_path = ''
set enable_nestloop = off
as $$
begin
  insert into pg_temp.roster_changes (row, entity, name, action)
  select min(u.unit), 'building'::public.roster_entity, (array_agg(u.building order by u.unit))[1], 'create'
  from pg_temp.roster_units u where u.is_new_building group by u.building_key
  union all
  select min(u.unit), 'entrance', (array_agg(concat_ws(' / ', u.building, u.entrance) order by u.unit))[1], 'create'
  from pg_temp.roster_units u where u.is_new_entrance group by u.entrance_id
  union all
  select u.unit, 'unit', u.label, 'create' from pg_temp.roster_units u where u.is_new
  union all
  select p.person, 'resident', p.label, 'create' from pg_temp.roster_people p where p.is_new
  union all
  select f.occupancy, 'occupancy', format('%s: %s (%s)', u.label, p.label, f.role), 'create'
  from pg_temp.roster_occupancies f
  join pg_temp.roster_units u on u.unit = f.unit
  join pg_temp.roster_people p on p.person = f.person
  where f.is_new;

  insert into pg_temp.roster_changes (row, entity, id, name, action, field, before, after)
  select u.unit, 'unit'::public.roster_entity, u.id, u.label, 'update', v.field, v.before, v.after
  from pg_temp.roster_units u
  join public.units d on d.id = u.id
  left join public.entrances e on e.community_id = d.community_id and e.building_id = d.building_id and e.id = d.entrance_id
  cross join lateral (values
    ('entrance', e.name, case when u.entrance_id = d.entrance_id then e.name else u.entrance end),
    ('unit_type', d.type::text, u.type::text),
    ('layout', d.layout, u.layout),
    ('floor', d.floor::text, u.floor::text),
    ('area', trim_scale(d.area)::text, trim_scale(u.area)::text),
    ('ideal_parts', trim_scale(d.ideal_parts)::text, trim_scale(u.ideal_parts)::text),
    ('occupant_count', d.occupant_count::text, u.occupant_count::text),
    ('intercom_extension', d.intercom_extension, u.intercom_extension),
    ('unit_status', d.status::text, case when 'under_maintenance' in (d.status, u.status) then u.status end::text)
  ) v (field, before, after)
  where not u.is_new and v.after <> coalesce(v.before, '')
  union all
  select p.person, 'resident', p.id, d.full_name, 'update', v.field, v.before, v.after
  from pg_temp.roster_people p
  join public.residents d on d.id = p.id
  left join public.resident_details t on t.community_id = d.community_id and t.resident_id = d.id
  cross join lateral (values
    ('full_name', d.full_name, p.full_name),
    ('person_kind', d.kind::text, case when exists (select from pg_temp.roster_columns c where c.field = 'person_kind') then p.kind end::text),
    ('reference', d.reference, case when app.roster_key(d.reference) = app.roster_key(p.reference) then d.reference else p.reference end),
    ('locale', d.locale, p.locale),
    ('email', t.email, case when lower(t.email) = p.email then t.email else p.email end),
    ('phone', t.phone, p.phone),
    ('identity_number', t.identity_number, case when app.roster_words(t.identity_number) = app.roster_words(p.identity_number) then t.identity_number else p.identity_number end),
    ('postal_address', t.postal_address, p.postal_address),
    ('note', t.note, p.note)
  ) v (field, before, after)
  where not p.is_new and v.after <> coalesce(v.before, '')
  union all
  select coalesce(a.row, a.moved_by), 'occupancy', a.id, format('%s: %s (%s)', a.label, re.full_name, a.role), 'update', v.field, v.before, v.after
  from pg_temp.roster_after a
  join public.occupancies d on d.id = a.id
  join public.residents re on re.id = d.resident_id
  cross join lateral (values
    ('ownership_share', trim_scale(d.ownership_share)::text, trim_scale(a.ownership_share)::text),
    ('lives_in', d.is_living_in::text, a.is_living_in::text),
    ('primary_contact', d.is_primary_contact::text, a.is_primary_contact::text),
    ('since', d.starts_on::text, a.starts_on::text),
    ('until', d.ends_on::text, a.ends_on::text)
  ) v (field, before, after)
  where v.after is distinct from v.before;

  update pg_temp.roster_units u set is_changed = true
  where u.id in (select c.id from pg_temp.roster_changes c where c.entity = 'unit');
  update pg_temp.roster_people p
  set is_changed = c.fields && '{full_name,person_kind,reference,locale}', is_detailed = c.fields && '{email,phone,identity_number,postal_address,note}'
  from (
    select x.id, array_agg(x.field) as fields from pg_temp.roster_changes x where x.entity = 'resident' and x.action = 'update' group by x.id
  ) c
  where c.id = p.id;
  update pg_temp.roster_people p set is_detailed = true
  where p.is_new and coalesce(p.email, p.phone, p.identity_number, p.postal_address, p.note) is not null;

  -- Who may import but not read details learns nothing by importing.
  if not may_read_details then
    update pg_temp.roster_changes c set before = null
    where c.entity = 'resident' and c.field in ('email', 'phone', 'identity_number', 'postal_address', 'note');
  end if;
end;
$$;

comment on function app.roster_plan(uuid, boolean) is 'Step 7: what storing the file would create and change, column by column.';

-- The report ---------------------------------------------------------------------------------------------------------

create function app.roster_findings(dry_run boolean)
returns jsonb
language plpgsql
stable
set search_path = ''
set enable_nestloop = off
as $$
begin
  return (
    with numbered as (
      select p.*, row_number() over (partition by p.is_refusal order by p.row nulls first, p.position, p.reason, p.message) as nth
      from pg_temp.roster_problems p
    ),
    problems as (
      -- What the cell says goes before what was made of it.
      select n.is_refusal, n.nth, jsonb_build_object(
        'row', n.row, 'column', coalesce(n.header, '(column ' || n.position || ')'), 'value', left(coalesce(c.told, n.value), 200), 'reason', n.reason, 'message', n.message) as told
      from numbered n
      left join (select x.header, min(x.position) as position from pg_temp.roster_columns x group by x.header) h on h.header = n.header
      left join pg_temp.roster_cells c on c.row = n.row and c.position = coalesce(n.position, h.position)
      where n.nth <= 200
    )
    select jsonb_build_object(
      'dry_run', dry_run,
      'status', case when exists (select from problems p where p.is_refusal) then 'refused' when dry_run then 'checked' else 'applied' end,
      'rows', (select count(*) from pg_temp.roster_rows),
      'columns', (select coalesce(jsonb_agg(jsonb_build_object('header', c.header, 'field', c.field, 'language', c.language) order by c.position), '[]') from pg_temp.roster_columns c),
      'changes', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'row', c.row, 'entity', c.entity, 'name', c.name, 'action', c.action, 'column', h.header, 'before', c.before, 'after', c.after)
          order by c.row, c.entity, c.name, c.field), '[]')
        from pg_temp.roster_changes c
        left join (
          select f.key, coalesce((select x.header from pg_temp.roster_columns x where x.field = f.key order by x.position limit 1), f.key) as header from public.roster_fields f
        ) h on h.key = c.field),
      'refused', (select count(*) from pg_temp.roster_problems p where p.is_refusal),
      'refusals', (select coalesce(jsonb_agg(p.told order by p.nth), '[]') from problems p where p.is_refusal),
      'warned', (select count(*) from pg_temp.roster_problems p where not p.is_refusal),
      'warnings', (select coalesce(jsonb_agg(p.told order by p.nth), '[]') from problems p where not p.is_refusal)
    )
  );
end;
$$;

comment on function app.roster_findings(boolean) is
  'The part of a report that every import answers: how it understood the columns, what it would change, what it refuses and what it warns of.';

create function app.roster_report(community public.communities, today date, dry_run boolean)
returns jsonb
language plpgsql
stable
set search_path = ''
set enable_nestloop = off
as $$
begin
  return app.roster_findings(dry_run) || (
    with totals as (
      select 1 as nth, 'buildings' as entity,
        count(distinct u.building_key) filter (where u.is_new_building) as made, 0::bigint as changed, count(distinct u.building_key) as all_of
      from pg_temp.roster_units u
      union all
      select 2, 'entrances', count(distinct u.entrance_id) filter (where u.is_new_entrance), 0, count(distinct u.entrance_id) from pg_temp.roster_units u
      union all
      select 3, 'units', count(*) filter (where u.is_new), count(*) filter (where u.is_changed), count(*) from pg_temp.roster_units u
      union all
      select 4, 'residents', count(*) filter (where p.is_new), count(*) filter (where not p.is_new and (p.is_changed or p.is_detailed)), count(*) from pg_temp.roster_people p
      union all
      select 5, 'occupancies', count(*) filter (where f.is_new),
        (select count(distinct c.id) from pg_temp.roster_changes c where c.entity = 'occupancy'),
        (select count(*) from pg_temp.roster_after a where a.row is not null or a.moved_by is not null)
      from pg_temp.roster_occupancies f
    ),
    absent as (
      select 1 as kind, jsonb_build_object('entity', 'unit', 'name', concat_ws(' / ', b.name, u.number)) as told, concat_ws(' / ', b.name, u.number) as name
      from public.units u
      left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
      where u.community_id = community.id and u.deleted_at is null and not exists (select from pg_temp.roster_units x where x.id = u.id)
      union all
      select 2, jsonb_build_object('entity', 'occupancy', 'name', format('%s: %s (%s)', a.label, a.full_name, a.role)), a.label || a.full_name
      from pg_temp.roster_after a
      where a.row is null and (a.ends_on is null or a.ends_on >= today)
    ),
    parts as (
      select coalesce(sum(coalesce(x.ideal_parts, u.ideal_parts)), 0) + coalesce((select sum(n.ideal_parts) from pg_temp.roster_units n where n.is_new), 0) as stored
      from public.units u
      left join pg_temp.roster_units x on x.id = u.id
      where u.community_id = community.id and u.deleted_at is null
    )
    select jsonb_build_object(
      'totals', (select jsonb_object_agg(t.entity, jsonb_build_object('create', t.made, 'update', t.changed, 'unchanged', t.all_of - t.made - t.changed)) from totals t),
      'not_in_file', jsonb_build_object(
        'units', (select count(*) from absent a where a.kind = 1),
        'occupancies', (select count(*) from absent a where a.kind = 2),
        'first', (select coalesce(jsonb_agg(a.told), '[]') from (select * from absent x order by x.kind, x.name limit 200) a)),
      'ideal_parts', (select jsonb_build_object(
        'declared', trim_scale(community.ideal_parts_total), 'stored_after', trim_scale(p.stored), 'difference', trim_scale(p.stored - community.ideal_parts_total)) from parts p)
    )
  );
end;
$$;

comment on function app.roster_report(public.communities, date, boolean) is 'What an import answers. docs/roster-import.md describes it.';

-- Storing ------------------------------------------------------------------------------------------------------------

create function app.roster_write(community uuid, today date)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  emails text[];
  phones text[];
begin
  -- They are joined by their ids with what is stored meanwhile, of which nobody has statistics, and most of their flags were set after the last look.
  create index on pg_temp.roster_units (id);
  create index on pg_temp.roster_people (id);
  create index on pg_temp.roster_changes (id);
  analyze pg_temp.roster_units, pg_temp.roster_people, pg_temp.roster_occupancies, pg_temp.roster_after, pg_temp.roster_changes;

  insert into public.buildings (id, community_id, name)
  select distinct on (u.building_key) u.building_id, community, u.building
  from pg_temp.roster_units u where u.is_new_building order by u.building_key, u.unit;

  insert into public.entrances (id, community_id, building_id, name)
  select distinct on (u.entrance_id) u.entrance_id, community, u.building_id, u.entrance
  from pg_temp.roster_units u where u.is_new_entrance order by u.entrance_id, u.unit;

  insert into public.units (id, community_id, building_id, entrance_id, number, type, layout, floor, area, ideal_parts, occupant_count, intercom_extension, status)
  select u.id, community, u.building_id, u.entrance_id, u.number,
    coalesce(u.type, case when u.building_id is null then 'house' else 'apartment' end::public.unit_type),
    u.layout, u.floor, u.area, u.ideal_parts, u.occupant_count, u.intercom_extension,
    case
      when u.status = 'under_maintenance' then u.status
      when exists (
        select from pg_temp.roster_after a
        where a.unit = u.unit and a.is_living_in and a.starts_on <= today and (a.ends_on is null or a.ends_on >= today)) then 'occupied'
      else 'vacant'
    end
  from pg_temp.roster_units u where u.is_new order by u.unit;

  perform from public.units d join pg_temp.roster_units u on u.id = d.id and u.is_changed order by d.id for no key update of d;
  update public.units d
  set entrance_id = coalesce(u.entrance_id, d.entrance_id), type = coalesce(u.type, d.type), layout = coalesce(u.layout, d.layout),
    floor = coalesce(u.floor, d.floor), area = coalesce(u.area, d.area), ideal_parts = coalesce(u.ideal_parts, d.ideal_parts),
    occupant_count = coalesce(u.occupant_count, d.occupant_count), intercom_extension = coalesce(u.intercom_extension, d.intercom_extension),
    status = case when u.status = 'under_maintenance' then u.status when u.status is not null and d.status = 'under_maintenance' then 'vacant' else d.status end
  from pg_temp.roster_units u
  where u.id = d.id and u.is_changed;

  insert into public.residents (id, community_id, full_name, kind, reference, locale)
  select p.id, community, p.full_name, coalesce(p.kind, 'person'), p.reference, p.locale
  from pg_temp.roster_people p where p.is_new order by p.person;

  perform from public.residents d join pg_temp.roster_people p on p.id = d.id and p.is_changed order by d.id for no key update of d;
  update public.residents d
  set full_name = c.values ->> 'full_name', kind = (c.values ->> 'person_kind')::public.resident_kind, reference = c.values ->> 'reference', locale = c.values ->> 'locale'
  from (
    select p.id, jsonb_build_object('full_name', x.full_name, 'person_kind', x.kind, 'reference', x.reference, 'locale', x.locale) || jsonb_object_agg(h.field, h.after) as values
    from pg_temp.roster_people p
    join public.residents x on x.id = p.id
    join pg_temp.roster_changes h on h.id = p.id
    where p.is_changed
    group by p.id, x.id
  ) c
  where c.id = d.id;

  perform set_config('app.links_wait', 'on', true); -- addresses are locked last, and not for long
  insert into public.resident_details (community_id, resident_id, email, phone, identity_number, postal_address, note)
  select community, p.id, p.email, p.phone, p.identity_number, p.postal_address, p.note
  from pg_temp.roster_people p
  where p.is_detailed and not exists (select from public.resident_details d where d.community_id = community and d.resident_id = p.id)
  order by p.person;
  update public.resident_details d
  set email = coalesce(case when lower(d.email) = p.email then d.email else p.email end, d.email), phone = coalesce(p.phone, d.phone),
    identity_number = case when app.roster_words(d.identity_number) = app.roster_words(p.identity_number) then d.identity_number else coalesce(p.identity_number, d.identity_number) end,
    postal_address = coalesce(p.postal_address, d.postal_address), note = coalesce(p.note, d.note)
  from pg_temp.roster_people p
  where p.is_detailed and not p.is_new and d.community_id = community and d.resident_id = p.id
    and (d.email, d.phone, d.identity_number, d.postal_address, d.note) is distinct from (
      coalesce(case when lower(d.email) = p.email then d.email else p.email end, d.email), coalesce(p.phone, d.phone),
      case when app.roster_words(d.identity_number) = app.roster_words(p.identity_number) then d.identity_number else coalesce(p.identity_number, d.identity_number) end,
      coalesce(p.postal_address, d.postal_address), coalesce(p.note, d.note));

  perform set_config('app.hosts_wait', 'on', true); -- until all of it is stored

  -- First whatever makes room (an earlier end, a later beginning, a primary contact less), then whatever takes it: the constraints look
  -- at each row by itself, so that two neighbours could not change places otherwise.
  update public.occupancies d
  set ownership_share = a.ownership_share, is_living_in = a.is_living_in, is_primary_contact = d.is_primary_contact and a.is_primary_contact,
    starts_on = a.first_on, ends_on = a.last_on
  from (
    -- Where the days of before and those to come do not meet, what makes room is to go there.
    select x.*, case when s.meet then greatest(o.starts_on, x.starts_on) else x.starts_on end as first_on, case when s.meet then least(o.ends_on, x.ends_on) else x.ends_on end as last_on
    from pg_temp.roster_after x
    join public.occupancies o on o.id = x.id
    cross join lateral (select daterange(o.starts_on, o.ends_on, '[]') && daterange(x.starts_on, x.ends_on, '[]') as meet) s
    where x.row is not null or x.moved_by is not null
  ) a
  where a.id = d.id
    and (d.ownership_share, d.is_living_in, d.is_primary_contact, d.starts_on, d.ends_on) is distinct from
      (a.ownership_share, a.is_living_in, d.is_primary_contact and a.is_primary_contact, a.first_on, a.last_on);
  update public.occupancies d
  set is_primary_contact = a.is_primary_contact, starts_on = a.starts_on, ends_on = a.ends_on
  from pg_temp.roster_after a
  where a.id = d.id and (a.row is not null or a.moved_by is not null) and a.role in ('owner', 'tenant')
    and (d.is_primary_contact, d.starts_on, d.ends_on) is distinct from (a.is_primary_contact, a.starts_on, a.ends_on);

  insert into public.occupancies (id, community_id, unit_id, resident_id, role, ownership_share, is_living_in, is_primary_contact, starts_on, ends_on)
  select f.id, community, u.id, p.id, f.role, f.ownership_share, f.is_living_in, f.is_primary_contact, f.starts_on, f.ends_on
  from pg_temp.roster_occupancies f
  join pg_temp.roster_units u on u.unit = f.unit
  join pg_temp.roster_people p on p.person = f.person
  where f.is_new
  order by f.occupancy;

  -- Family last, whom its hosts have kept by now, also where the file says until when.
  update public.occupancies d
  set is_primary_contact = a.is_primary_contact, starts_on = a.starts_on, ends_on = a.ends_on
  from pg_temp.roster_after a
  where a.id = d.id and (a.row is not null or a.moved_by is not null) and a.role in ('family', 'authorized', 'guest')
    and (d.is_primary_contact, d.starts_on, d.ends_on) is distinct from (a.is_primary_contact, a.starts_on, a.ends_on);

  perform set_config('app.hosts_wait', '', true);
  perform app.end_with_hosts(array(select distinct u.id from pg_temp.roster_after a join pg_temp.roster_units u on u.unit = a.unit where a.row is not null));

  -- Units no longer under maintenance are what their people make them.
  perform app.refresh_unit_status(array(
    select u.id from pg_temp.roster_units u
    where u.is_changed and u.status <> 'under_maintenance' and exists (
      select from pg_temp.roster_changes c where c.id = u.id and c.field = 'unit_status')));

  perform set_config('app.links_wait', '', true);
  select array_agg(distinct lower(p.email)) filter (where p.email is not null), array_agg(distinct app.phone_digits(p.phone)) filter (where app.phone_digits(p.phone) is not null)
  into emails, phones
  from pg_temp.roster_people p
  where p.is_detailed;
  perform app.lock_buckets('public.resident_details', emails || phones);
  perform app.link_residents(emails), app.link_residents_by_phone(phones);
end;
$$;

comment on function app.roster_write(uuid, date) is 'Step 8: stores what the plan says, set by set, touching no row that does not change.';

-- The import ---------------------------------------------------------------------------------------------------------

create function app.roster_arguments(headers text[], rows jsonb, mapping jsonb, first_row integer, date_order text, import public.roster_import)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  most_rows constant integer := 20000;
  most_columns constant integer := 200;
  bad text;
begin
  mapping := case when jsonb_typeof(mapping) = 'null' then '{}' else coalesce(mapping, '{}') end;
  if coalesce(cardinality(headers), 0) not between 1 and most_columns or array_ndims(headers) <> 1 then
    perform app.fail(422, 'invalid_headers', format('headers is a list of 1 to %s texts.', most_columns));
  elsif first_row not between 1 and 1000000000 then
    perform app.fail(422, 'invalid_first_row', 'first_row is the number of the first row of data in the file.');
  elsif date_order not in ('dmy', 'mdy') then
    perform app.fail(422, 'invalid_date_order', 'date_order is dmy or mdy.');
  elsif jsonb_typeof(rows) is distinct from 'array' then
    perform app.fail(422, 'invalid_rows', 'rows is an array of arrays: one per row of the file, each with one text, number or null per header.');
  elsif jsonb_array_length(rows) > most_rows then
    perform app.fail(413, 'too_many_rows', format('At most %s rows are imported at once.', most_rows), 'Import the file in parts, each with all rows of its units.');
  end if;
  select format('Row %s is not an array.', first_row + r.n - 1) into bad
  from jsonb_array_elements(rows) with ordinality r (cells, n)
  where jsonb_typeof(r.cells) <> 'array'
  limit 1;
  if bad is null then
    select format('Row %s holds something that is neither text, number nor null.', first_row + r.n - 1) into bad
    from jsonb_array_elements(rows) with ordinality r (cells, n), jsonb_array_elements(r.cells) x (cell)
    where jsonb_typeof(x.cell) in ('object', 'array')
    limit 1;
  end if;
  if bad is not null then
    perform app.fail(422, 'invalid_rows', bad);
  end if;
  if jsonb_typeof(mapping) <> 'object' then
    perform app.fail(422, 'invalid_mapping', 'mapping is an object: {"<header>": "<field>"}, null for a column to leave out.');
  end if;
  select format('%s: there is no field %s.', left(m.key, 100), left(m.value::text, 100)) into bad
  from jsonb_each(mapping) m
  where m.value <> 'null' and not exists (select from public.roster_fields f where to_jsonb(f.key) = m.value and import = any (f.imports))
  limit 1;
  if bad is not null then
    perform app.fail(422, 'invalid_mapping', bad, format('The fields are the rows of roster_fields whose imports name %s.', import));
  end if;
  return mapping;
end;
$$;

comment on function app.roster_arguments(text[], jsonb, jsonb, integer, text, public.roster_import) is
  'Refuses arguments that no import can begin with; returns the mapping, {} where there is none.';

create function app.roster_home(community uuid, dry_run boolean)
returns public.communities
language plpgsql
volatile
set search_path = ''
as $$
declare
  home public.communities;
begin
  if dry_run then
    select c.* into home from public.communities c where c.id = community and c.deleted_at is null;
  else
    -- Whoever comes second waits here, and finds what the first has stored.
    select c.* into home from public.communities c where c.id = community and c.deleted_at is null for no key update;
  end if;
  if home.id is null then
    perform app.fail(404, 'community_not_found', 'There is no live community with this id.');
  end if;
  return home;
end;
$$;

comment on function app.roster_home(uuid, boolean) is 'The community that something is brought into; two imports, those that only look apart, wait here for each other.';

create function app.import_roster(community uuid, headers text[], rows jsonb, mapping jsonb, dry_run boolean, first_row integer, date_order text)
returns jsonb
language plpgsql
volatile
security definer -- units.status is in no column grant, and all of it is stored or nothing
set search_path = ''
set lock_timeout = '60s' -- whoever comes second waits for the first
set jit = off
set work_mem = '32MB'
set default_statistics_target = 10
as $$
declare
  home public.communities;
  today date;
  report jsonb;
  former_reason constant text := current_setting('app.reason', true);
  constraint_broken text;
  table_concerned text;
begin
  perform app.require('roster.import', community);

  dry_run := coalesce(dry_run, true);
  first_row := coalesce(first_row, 2);
  mapping := app.roster_arguments(headers, rows, mapping, first_row, date_order, 'roster');
  home := app.roster_home(community, dry_run);
  today := (now() at time zone home.time_zone)::date;

  perform app.roster_begin();
  perform app.roster_headings(headers, mapping, split_part(home.locale, '-', 1), first_row - 1, 'roster');
  if not exists (select from pg_temp.roster_columns c where c.field = 'unit_number') then
    insert into pg_temp.roster_problems (row, reason, message, is_refusal)
    values (first_row - 1, 'unit_column_missing', 'No column is understood as the number of the unit: name it Unit, or map its header to unit_number.', true);
  else
    perform app.roster_cells(rows, first_row, home.country_code, home.ideal_parts_total, coalesce(date_order, app.roster_date_order(home.country_code)));
    if not exists (select from pg_temp.roster_rows) then
      insert into pg_temp.roster_problems (row, reason, message, is_refusal) values (first_row, 'no_rows', 'The file holds no data below its headers.', true);
    end if;
    perform app.roster_units(home.id, home.name);
    perform app.roster_people(home.id);
    perform app.roster_occupancies(home.id, today, first_row - 1);
    perform app.roster_check(home.id, today);
    perform app.roster_plan(home.id, app.is_trusted() or app.can('residents.read_details', home.id));
    -- As the states of units ask; here, so that a dry run tells.
    if exists (select from pg_temp.roster_units u where u.is_new and u.status = 'under_maintenance')
      or exists (select from pg_temp.roster_changes c where c.entity = 'unit' and c.field = 'unit_status')
    then
      perform app.require('units.manage', home.id);
    end if;
  end if;

  report := app.roster_report(home, today, dry_run);
  if (report #>> '{ideal_parts,difference}')::numeric <> 0 and exists (select from pg_temp.roster_units u where u.ideal_parts is not null) then
    report := jsonb_set(jsonb_set(report, '{warned}', to_jsonb((report ->> 'warned')::integer + 1)), '{warnings}', (report -> 'warnings') || jsonb_build_array(jsonb_build_object(
      'row', null, 'column', app.roster_header('ideal_parts'), 'value', report #>> '{ideal_parts,stored_after}', 'reason', 'ideal_parts_difference',
      'message', format('The ideal parts of the units sum to %s; the community declares %s.', report #>> '{ideal_parts,stored_after}', report #>> '{ideal_parts,declared}'))));
  end if;
  if dry_run then
    return report;
  elsif report ->> 'status' = 'refused' then
    perform app.fail(422, 'roster_refused', (report - 'changes')::text, 'Nothing was stored. The detail is the report, as JSON.');
  elsif report -> 'changes' = '[]' then
    return report;
  end if;

  perform set_config('app.reason', coalesce(nullif(former_reason, ''), 'Roster import'), true);
  perform app.roster_write(home.id, today);
  perform app.emit('roster.imported', home.id, (report -> 'totals') || jsonb_build_object('rows', report -> 'rows'));
  perform set_config('app.reason', coalesce(former_reason, ''), true);
  return report;
exception
  when unique_violation or exclusion_violation or foreign_key_violation then
    get stacked diagnostics constraint_broken = constraint_name;
    perform app.fail(409, 'roster_conflict', format('Somebody changed the community at the same time (%s). Nothing was stored.', constraint_broken), 'Import again.');
  when check_violation then
    get stacked diagnostics constraint_broken = constraint_name, table_concerned = table_name;
    perform app.fail_check(table_concerned, constraint_broken);
end;
$$;

comment on function app.import_roster(uuid, text[], jsonb, jsonb, boolean, integer, text) is
  'What public.import_roster does. Definer: stores the status of units, which no API role may write, and keeps its temporary tables to itself.';

create function public.import_roster(
  community_id uuid, headers text[], rows jsonb, mapping jsonb default null, dry_run boolean default true, first_row integer default 2, date_order text default null
)
returns jsonb
language sql
volatile
set search_path = ''
set statement_timeout = '60s' -- PostgREST takes it over for the whole call, in place of the role's 8 seconds
as $$ select app.import_roster(community_id, headers, rows, mapping, dry_run, first_row, date_order) $$;

comment on function public.import_roster(uuid, text[], jsonb, jsonb, boolean, integer, text) is
  'Brings units and people of a file into a community: headers and rows (an array of arrays of text, number or null) as the file has them. '
  'mapping: {"<header>": "<field>" or null to leave out} where the synonyms do not fit. dry_run (the default): only reports. first_row: its number in the file, for the report. '
  'date_order: dmy or mdy, for 03/04/2019. Returns the report; docs/roster-import.md describes it. Takes roster.import. '
  'Errors: roster_refused (the report as detail), roster_conflict, permission_denied, community_not_found, invalid_headers, invalid_rows, invalid_mapping, invalid_first_row, invalid_date_order, too_many_rows.';

grant execute on function
  app.import_roster(uuid, text[], jsonb, jsonb, boolean, integer, text), public.import_roster(uuid, text[], jsonb, jsonb, boolean, integer, text)
to authenticated, service_role;
