-- Property: the people of rosters.
--
-- Purpose     Which rows are about the same person, and whom the community knows already; which ties of people to units are meant.
-- Functions   app.roster_people, app.roster_occupancies, app.roster_households, app.roster_check: steps of an import, after those of the topic before.
-- Invariants  The same rules find a person within the file and in the database, from strong to weak: reference, identity number, e-mail and
--             name, telephone and name, a company's name, the name within the unit. Two different references, or identity numbers, are two
--             people. Where a rule finds two people, the row is refused, not guessed. A blank cell takes nothing away.

create function app.roster_people(community uuid)
returns void
language plpgsql
volatile
set search_path = ''
set enable_nestloop = off
as $$
begin
  -- A row is about a person if it says which; what else it says needs one.
  update pg_temp.roster_rows r set person = r.row
  where coalesce(r.full_name, r.reference, r.identity_number, r.email, r.phone) is not null;
  if exists (select from pg_temp.roster_rows r where r.person is null) then
    insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
    select distinct on (c.row) c.row, app.roster_header(c.field), c.told,
      case when c.field in ('note', 'postal_address') then 'not_stored' else 'name_missing' end,
      case when c.field in ('note', 'postal_address') then 'The row names nobody whom this could be stored with.' else 'The row names nobody whom this could be true of.' end,
      c.field not in ('note', 'postal_address')
    from pg_temp.roster_cells c
    join pg_temp.roster_rows r on r.row = c.row and r.person is null
    join public.roster_fields f on f.key = c.field and f.entity in ('resident', 'occupancy')
    where c.value is not null and c.value <> 'false' and c.field not in ('full_name', 'family_name')
      and not exists (select from pg_temp.roster_cells x where x.row = c.row and x.field in ('full_name', 'family_name', 'reference', 'identity_number') and x.reason is not null)
    order by c.row, c.field in ('note', 'postal_address'), c.position;
  end if;

  -- By what each row, and each resident, can be recognized.
  insert into pg_temp.roster_keys (row, strength, key)
  select r.row, k.strength, k.key
  from pg_temp.roster_rows r
  left join pg_temp.roster_units u on u.unit = r.unit
  cross join lateral (values
    (1, r.reference_key), (2, r.identity_key), (3, r.email || ' ' || r.name_key), (4, r.phone_key || ' ' || r.name_key),
    (5, case when r.kind = 'company' then r.name_key end), (6, u.id || ' ' || r.name_key)
  ) k (strength, key)
  where r.person is not null and k.key is not null;

  create temporary table roster_known on commit drop as
  select re.id, re.kind, re.reference, app.roster_key(re.reference) as reference_key, app.roster_words(re.full_name) as name_key,
    d.identity_number, app.roster_words(d.identity_number) as identity_key, lower(d.email) as email,
    right(regexp_replace(d.phone, '[^0-9]', '', 'g'), 9) as phone_key
  from public.residents re
  left join public.resident_details d on d.community_id = re.community_id and d.resident_id = re.id and d.deleted_at is null
  where re.community_id = community and re.deleted_at is null;
  insert into pg_temp.roster_keys (resident_id, strength, key)
  select r.id, k.strength, k.key
  from pg_temp.roster_known r
  cross join lateral (values
    (1, r.reference_key), (2, r.identity_key), (3, r.email || ' ' || r.name_key), (4, r.phone_key || ' ' || r.name_key),
    (5, case when r.kind = 'company' then r.name_key end)
  ) k (strength, key)
  where k.key is not null
  union
  select r.id, 6, o.unit_id || ' ' || r.name_key
  from pg_temp.roster_known r
  join public.occupancies o on o.community_id = community and o.resident_id = r.id and o.deleted_at is null;
  create index on pg_temp.roster_keys (strength, key);
  analyze pg_temp.roster_keys;

  -- Rows of one person, from the strongest sign to the weakest. Those joined carry the number of their first row.
  for pass in 1 .. 6 loop
    loop
      with people as materialized (
        select r.person, max(r.reference_key) as reference_key, max(r.identity_key) as identity_key
        from pg_temp.roster_rows r where r.person is not null group by r.person
      ),
      signs as materialized (
        select distinct k.key, r.person from pg_temp.roster_keys k join pg_temp.roster_rows r on r.row = k.row where k.strength = pass
      ),
      shared as (
        select s.key, min(s.person) as first_person,
          count(distinct p.reference_key) > 1 or (pass > 1 and count(distinct p.identity_key) > 1) as is_split
        from signs s join people p on p.person = s.person
        group by s.key having count(*) > 1
      ),
      unsure as (
        insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
        select s.person, app.roster_header('full_name'), (select r.full_name from pg_temp.roster_rows r where r.row = s.person), 'ambiguous_person',
          format('This could be the person of row %s or another of that name: give each a reference.', h.first_person), true
        from shared h
        join signs s on s.key = h.key
        join people p on p.person = s.person
        where h.is_split and p.reference_key is null and p.identity_key is null
          and not exists (select from pg_temp.roster_problems x where x.row = s.person and x.reason = 'ambiguous_person')
      ),
      moves as (
        select s.person, min(h.first_person) as target
        from shared h join signs s on s.key = h.key
        where not h.is_split and h.first_person < s.person
        group by s.person
      )
      update pg_temp.roster_rows r set person = m.target from moves m where m.person = r.person;
      exit when not found;
    end loop;
  end loop;

  -- Two signs of one strength led to two people.
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select x.person, app.roster_header('full_name'), min(x.full_name), 'ambiguous_person',
    format('Rows %s name one person by some signs and different people by others: give each a reference.', string_agg(x.row::text, ', ' order by x.row)), true
  from pg_temp.roster_rows x
  where x.person is not null
  group by x.person
  having count(distinct x.reference_key) > 1 or (count(x.reference_key) = 0 and count(distinct x.identity_key) > 1);

  -- One line per person, with the first value told of each field; notes add up.
  insert into pg_temp.roster_people (person, id, is_new, name_key, full_name, kind, reference, locale, email, phone, identity_number, postal_address, note)
  select r.person, extensions.uuidv7(), true,
    (array_agg(r.name_key order by r.row) filter (where r.name_key is not null))[1],
    (array_agg(r.full_name order by r.row) filter (where r.full_name is not null))[1],
    (array_agg(r.kind order by r.row) filter (where r.kind is not null))[1],
    (array_agg(r.reference order by r.row) filter (where r.reference is not null))[1],
    (array_agg(r.locale order by r.row) filter (where r.locale is not null))[1],
    (array_agg(r.email order by r.row) filter (where r.email is not null))[1],
    (array_agg(r.phone order by r.row) filter (where r.phone is not null))[1],
    (array_agg(r.identity_number order by r.row) filter (where r.identity_number is not null))[1],
    (array_agg(r.postal_address order by r.row) filter (where r.postal_address is not null))[1],
    left((select string_agg(n.note, '; ' order by n.row) from (
      select x.note, min(x.row) as row from unnest(array_agg(r.note), array_agg(r.row)) x (note, row) where x.note is not null group by x.note) n), 4000)
  from pg_temp.roster_rows r
  where r.person is not null
  group by r.person;
  create unique index on pg_temp.roster_people (person);
  analyze pg_temp.roster_people;

  -- Whom the community knows already: each resident is found once, by the strongest sign; between several, who is in the same unit.
  for pass in 1 .. 6 loop
    with found as materialized (
      select distinct p.person, b.resident_id
      from pg_temp.roster_people p
      join pg_temp.roster_rows r on r.person = p.person
      join pg_temp.roster_keys a on a.row = r.row and a.strength = pass
      join pg_temp.roster_keys b on b.strength = pass and b.key = a.key and b.resident_id is not null
      join pg_temp.roster_known k on k.id = b.resident_id
      where p.is_new
        and not exists (select from pg_temp.roster_people x where x.id = b.resident_id)
        and (pass = 1 or p.reference is null or k.reference is null or app.roster_key(p.reference) = k.reference_key)
        and (pass <= 2 or p.identity_number is null or k.identity_number is null or app.roster_words(p.identity_number) = k.identity_key)
    ),
    rivals as materialized (
      select f.person, f.resident_id from found f where f.person in (select x.person from found x group by x.person having count(*) > 1)
    ),
    neighbours as materialized (
      select distinct f.person, f.resident_id
      from rivals f
      join pg_temp.roster_rows r on r.person = f.person
      join pg_temp.roster_units u on u.unit = r.unit and not u.is_new
      join public.occupancies o on o.community_id = community and o.unit_id = u.id and o.resident_id = f.resident_id and o.deleted_at is null
    ),
    candidates as (
      select f.person, f.resident_id, n.person is not null as is_neighbour
      from found f left join neighbours n on n.person = f.person and n.resident_id = f.resident_id
    ),
    best as (
      select distinct on (c.person) c.person, c.resident_id, count(*) over (partition by c.person, c.is_neighbour) as rivals
      from candidates c
      order by c.person, c.is_neighbour desc, c.resident_id
    ),
    unsure as (
      insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
      select p.person, app.roster_header('full_name'), p.full_name, 'ambiguous_person',
        format('This could be any of %s residents: give the person a reference, there and here.', b.rivals), true
      from best b join pg_temp.roster_people p on p.person = b.person
      where b.rivals > 1 and not exists (select from pg_temp.roster_problems x where x.row = p.person and x.reason = 'ambiguous_person')
    ),
    chosen as (
      select distinct on (b.resident_id) b.person, b.resident_id from best b where b.rivals = 1 order by b.resident_id, b.person
    )
    update pg_temp.roster_people p set id = c.resident_id, is_new = false from chosen c where c.person = p.person;
  end loop;

  -- Nor is a record made anew that was merged into another: its name, with what tells that one, or its reference.
  with recursive merged as (
    select m.id, m.merged_into_id as kept_id from public.residents m where m.community_id = community and m.merged_into_id is not null
    union all
    select m.id, k.merged_into_id from merged m join public.residents k on k.community_id = community and k.id = m.kept_id and k.merged_into_id is not null
  ),
  known as materialized (
    select k.id, k.email, k.phone_key, re.full_name, x.kind, app.roster_key(x.reference) as reference_key, app.roster_words(x.full_name) as name_key
    from merged m
    join public.residents x on x.community_id = community and x.id = m.id
    join pg_temp.roster_known k on k.id = m.kept_id
    join public.residents re on re.community_id = community and re.id = k.id
  )
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select distinct on (p.person) p.person,
    app.roster_header(case when r.full_name is null then 'reference' else 'full_name' end), coalesce(r.full_name, r.reference), 'person_merged',
    format('This was found to be %s: write the file so.', k.full_name), true
  from pg_temp.roster_people p
  join pg_temp.roster_rows r on r.person = p.person
  left join pg_temp.roster_units u on u.unit = r.unit
  join known k on r.reference_key = k.reference_key or r.name_key = k.name_key and (r.reference_key is null or k.reference_key is null) and (
    r.email = k.email or r.phone_key = k.phone_key or k.kind = 'company' and r.kind = 'company'
    or exists (select from public.occupancies o where o.community_id = community and o.unit_id = u.id and o.resident_id = k.id and o.deleted_at is null))
  where p.is_new
  order by p.person, r.row, k.id;

  update pg_temp.roster_people p set label = coalesce(p.full_name, re.full_name, '?')
  from pg_temp.roster_people x left join public.residents re on re.id = x.id
  where x.person = p.person;

  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select p.person,
    app.roster_header(case
      when exists (select from pg_temp.roster_columns c where c.field = 'full_name') then 'full_name'
      when p.reference is not null then 'reference' when p.identity_number is not null then 'identity_number' when p.email is not null then 'email' else 'phone'
    end),
    coalesce(p.reference, p.identity_number, p.email, p.phone), 'name_missing', 'Nobody is known by this, and the row says no name.', true
  from pg_temp.roster_people p
  where p.is_new and p.full_name is null
    and not exists (select from pg_temp.roster_cells c where c.row = p.person and c.field in ('full_name', 'family_name') and c.reason is not null);
end;
$$;

comment on function app.roster_people(uuid) is
  'Step 4: which rows are about one person, and which resident that is. A person nobody knows gets a new id.';

-- Occupancies --------------------------------------------------------------------------------------------------------

create function app.roster_occupancies(community uuid, today date, header_row integer)
returns void
language plpgsql
volatile
set search_path = ''
set enable_nestloop = off
as $$
declare
  has_roles constant boolean := exists (select from pg_temp.roster_columns c where c.field = 'role');
begin
  -- A row without a role means the one that the person has in the unit: in the file, else in the database; where no column tells, owner.
  update pg_temp.roster_rows r
  set role = coalesce(f.role, d.role, case when not has_roles then 'owner' end::public.occupancy_role)
  from pg_temp.roster_rows x
  left join lateral (
    select y.role from pg_temp.roster_rows y where y.person = x.person and y.unit = x.unit and y.role is not null order by y.row limit 1
  ) f on true
  left join lateral (
    select o.role
    from public.occupancies o
    join pg_temp.roster_units u on u.unit = x.unit and u.id = o.unit_id
    join pg_temp.roster_people p on p.person = x.person and p.id = o.resident_id
    where o.community_id = community and o.deleted_at is null
    order by o.starts_on desc, o.id
    limit 1
  ) d on true
  where x.row = r.row and x.role is null and x.person is not null and x.unit is not null
    and not exists (select from pg_temp.roster_cells c where c.row = x.row and c.field = 'role' and c.reason is not null);
  if not has_roles and exists (select from pg_temp.roster_rows r where r.person is not null) then
    insert into pg_temp.roster_problems (row, reason, message, is_refusal)
    values (header_row, 'role_assumed', 'No column says who is an owner and who a tenant: whoever is new in a unit becomes its owner.', false);
  end if;
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select r.row, app.roster_header('role'), null, 'role_missing', 'Is the person an owner, a tenant, of the family, authorized or a guest?', true
  from pg_temp.roster_rows r
  where r.role is null and r.person is not null and r.unit is not null
    and not exists (select from pg_temp.roster_cells c where c.row = r.row and c.field = 'role' and c.reason is not null);

  -- Only owners have shares; a tenant's 0 says as much.
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select r.row, app.roster_header('ownership_share'), trim_scale(r.ownership_share)::text,
    case when r.role = 'owner' then 'out_of_range' else 'share_not_owner' end,
    case when r.role = 'owner' then 'A share is above 0 and at most 100 percent.' else format('Only owners have shares, and this is a %s.', r.role) end, true
  from pg_temp.roster_rows r
  where r.role is not null and (r.role = 'owner') = (r.ownership_share = 0) and r.ownership_share is not null;
  update pg_temp.roster_rows r set ownership_share = null where r.ownership_share = 0 or r.role <> 'owner';

  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select r.row, app.roster_header('until'), r.until::text, 'until_before_since', format('This is before the first day, %s.', r.since), true
  from pg_temp.roster_rows r
  where r.until < r.since;
  update pg_temp.roster_rows r set until = null where r.until < r.since;

  -- Rows of one unit, person and role are one occupancy, unless their first days differ; a row without one joins the only one there is.
  with sinces as (
    select r.unit, r.person, r.role, count(distinct r.since) as times, min(r.since) as since
    from pg_temp.roster_rows r
    where r.unit is not null and r.person is not null and r.role is not null
    group by r.unit, r.person, r.role
  ),
  vague as (
    insert into pg_temp.roster_problems (row, header, reason, message, is_refusal)
    select r.row, app.roster_header('since'), 'since_missing', 'Other rows tell of several times of this person here in this role: say when this one began.', true
    from pg_temp.roster_rows r
    join sinces s on s.unit = r.unit and s.person = r.person and s.role = r.role
    where s.times > 1 and r.since is null
  ),
  grouped as (
    select r.row, min(r.row) over (partition by r.unit, r.person, r.role, coalesce(r.since, s.since)) as occupancy
    from pg_temp.roster_rows r
    join sinces s on s.unit = r.unit and s.person = r.person and s.role = r.role
    where s.times <= 1 or r.since is not null
  )
  update pg_temp.roster_rows r set occupancy = g.occupancy from grouped g where g.row = r.row;

  insert into pg_temp.roster_occupancies (occupancy, id, is_new, unit, person, role, since, until, ownership_share, is_living_in, is_primary_contact)
  select r.occupancy, extensions.uuidv7(), true, min(r.unit), min(r.person), min(r.role),
    (array_agg(r.since order by r.row) filter (where r.since is not null))[1],
    (array_agg(r.until order by r.row) filter (where r.until is not null))[1],
    (array_agg(r.ownership_share order by r.row) filter (where r.ownership_share is not null))[1],
    (array_agg(r.is_living_in order by r.row) filter (where r.is_living_in is not null))[1],
    (array_agg(r.is_primary_contact order by r.row) filter (where r.is_primary_contact is not null))[1]
  from pg_temp.roster_rows r
  where r.occupancy is not null
  group by r.occupancy;
  analyze pg_temp.roster_occupancies;

  -- Which of them exist: that which began the same day, else of those that the told days meet the one in which the first day lies, or the
  -- nearest to it; where no first day is told, the latest.
  for pass in 1 .. 2 loop
    with candidates as (
      select distinct on (f.occupancy) f.occupancy, o.id
      from pg_temp.roster_occupancies f
      join pg_temp.roster_units u on u.unit = f.unit and not u.is_new
      join pg_temp.roster_people p on p.person = f.person and not p.is_new
      join public.occupancies o on o.community_id = community and o.unit_id = u.id and o.resident_id = p.id and o.role = f.role and o.deleted_at is null
      where f.is_new
        and not exists (select from pg_temp.roster_occupancies x where x.id = o.id)
        and case when pass = 1 then o.starts_on = f.since else f.since is null or (f.since <= coalesce(o.ends_on, 'infinity') and coalesce(f.until, 'infinity') >= o.starts_on) end
      order by f.occupancy, f.since between o.starts_on and coalesce(o.ends_on, 'infinity') desc nulls last, abs(o.starts_on - f.since), o.starts_on desc, o.id
    ),
    chosen as (
      select distinct on (c.id) c.id, c.occupancy from candidates c order by c.id, c.occupancy
    )
    update pg_temp.roster_occupancies f set id = c.id, is_new = false from chosen c where c.occupancy = f.occupancy;
  end loop;

  update pg_temp.roster_occupancies f
  set starts_on = coalesce(f.since, o.starts_on, least(today, f.until)), ends_on = coalesce(f.until, o.ends_on)
  from pg_temp.roster_occupancies x
  left join public.occupancies o on o.id = x.id
  where x.occupancy = f.occupancy;

  -- Who acts for a unit, or is a guest, does so until a day.
  with assumed as (
    update pg_temp.roster_occupancies f
    set ends_on = app.last_day_by_default(community, f.starts_on)
    where f.role in ('authorized', 'guest') and f.ends_on is null
    returning f.occupancy, f.role, f.person, f.ends_on
  )
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select a.occupancy, app.roster_header('until'), a.ends_on::text, 'until_assumed',
    format('The file does not say until when %s is %s: until %s is assumed.', p.label, a.role, a.ends_on), false
  from assumed a join pg_temp.roster_people p on p.person = a.person;

  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select f.occupancy, app.roster_header(case when f.until is null then 'since' else 'until' end), coalesce(f.until, f.since)::text, 'until_before_since',
    format('The last day, %s, would be before the first, %s.', f.ends_on, f.starts_on), true
  from pg_temp.roster_occupancies f
  where f.ends_on < f.starts_on;

  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select f.occupancy, app.roster_header('full_name'), p.label, 'occupancy_ended',
    format('The file names the person in %s, which ended on %s: if they are back, say since when.', u.label, f.ends_on), false
  from pg_temp.roster_occupancies f
  join pg_temp.roster_people p on p.person = f.person
  join pg_temp.roster_units u on u.unit = f.unit
  where not f.is_new and f.until is null and f.ends_on < today;
end;
$$;

comment on function app.roster_occupancies(uuid, date, integer) is
  'Step 5: which ties of people to units the file tells of, and which of them exist.';

-- Households ---------------------------------------------------------------------------------------------------------

create function app.roster_households(today date)
returns void
language plpgsql
volatile
set search_path = ''
set enable_nestloop = off
as $$
begin
  -- Family of whom the file tells no last day stays on with a host who stays on, or comes again the day after.
  update pg_temp.roster_after a
  set ends_on = null, moved_by = s.row
  from (
    select d.id, max(h.row) as row
    from pg_temp.roster_after d
    join public.occupancies o on o.id = d.id and o.ends_on is not null
    join pg_temp.roster_after h on h.unit = d.unit and h.role in ('owner', 'tenant') and h.row is not null
    left join public.occupancies was on was.id = h.id
    where d.role = 'family' and not exists (select from pg_temp.roster_occupancies f where f.id = d.id and f.until is not null)
      and case when was.id is null then h.starts_on - 1 = o.ends_on else was.ends_on = o.ends_on and h.ends_on > was.ends_on end
      and case when o.host_id is not null then o.host_id = h.resident_id else exists (
        select from pg_temp.roster_after x
        where x.unit = d.unit and x.resident_id = h.resident_id and x.role in ('owner', 'tenant') and d.starts_on between x.starts_on and coalesce(x.ends_on, 'infinity')) end
    group by d.id
  ) s
  where s.id = a.id;

  -- Nobody stays longer than the hosts.
  with dependants as materialized (
    select d.id, d.unit, d.starts_on, case when o.host_id is not null then array[o.host_id] else (
      select coalesce(array_agg(h.resident_id) filter (where h.role = 'tenant'), array_agg(h.resident_id))
      from pg_temp.roster_after h
      where h.unit = d.unit and h.role in ('owner', 'tenant') and d.starts_on between h.starts_on and coalesce(h.ends_on, 'infinity')) end as hosts
    from pg_temp.roster_after d
    left join public.occupancies o on o.id = d.id
    where d.role in ('family', 'authorized', 'guest') and (o.moved_out_at is null or o.ends_on is distinct from d.ends_on)
  ),
  stays as materialized (
    select d.id, coalesce(s.last_on, today - 1) as last_on, (select max(h.row) from pg_temp.roster_after h where h.unit = d.unit and h.resident_id = any (d.hosts)) as host_row
    from dependants d
    left join lateral (
      select coalesce(upper(r.span) - 1, 'infinity') as last_on
      from unnest((
        select range_agg(daterange(h.starts_on, h.ends_on, '[]')) from pg_temp.roster_after h
        where h.unit = d.unit and h.role in ('owner', 'tenant') and h.resident_id = any (d.hosts))) r (span)
      where upper_inf(r.span) or upper(r.span) > d.starts_on
      order by r.span
      limit 1
    ) s on true
    where d.hosts is not null
  ),
  ended as (
    update pg_temp.roster_after a
    set ends_on = greatest(s.last_on, a.starts_on), moved_by = coalesce(s.host_row, a.unit)
    from stays s
    where s.id = a.id and coalesce(a.ends_on, 'infinity') > s.last_on
    returning a.row, a.moved_by, a.label, a.full_name, s.last_on, s.last_on < a.starts_on as is_late
  ),
  told as (
    insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
    select coalesce(e.row, e.moved_by), app.roster_header('until'), case when not e.is_late then e.last_on end::text, 'ends_with_host',
      case when e.is_late then format('%s would come to %s when the hosts have left.', e.full_name, e.label) else format('%s goes from %s with the hosts, on %s.', e.full_name, e.label, e.last_on) end, e.is_late
    from ended e
    where e.row is not null or e.is_late
  )
  delete from pg_temp.roster_problems p
  using ended e
  where p.row = e.row and p.reason = 'until_assumed';
end;
$$;

comment on function app.roster_households(date) is
  'Part of step 6: family, authorized persons and guests go and stay with their hosts, by the rule of app.end_with_hosts and the triggers of occupancies, so that the plan says what will be stored.';

-- Checks -------------------------------------------------------------------------------------------------------------

create function app.roster_check(community uuid, today date)
returns void
language plpgsql
volatile
set search_path = ''
set enable_nestloop = off
as $$
begin
  insert into pg_temp.roster_problems (row, header, reason, message, is_refusal)
  select r.row, app.roster_header('unit_number'), 'unit_missing', 'The row says nothing about which unit it is.', true
  from pg_temp.roster_rows r
  where r.unit_key is null
    and not exists (select from pg_temp.roster_cells c where c.row = r.row and c.field = 'unit_number' and c.reason is not null);

  -- The same name twice, and nothing to tell whether it is one person.
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select s.person, app.roster_header('full_name'), s.full_name, 'same_name',
    format('Rows %s and %s have the same name: without an e-mail, telephone, reference or identity number in both they are taken as two people.', s.first_person, s.person), false
  from (
    select p.*, first_value(p.person) over w as first_person,
      bool_or(coalesce(p.reference, p.identity_number, p.email, p.phone) is null) over (partition by p.name_key) as is_doubtful
    from pg_temp.roster_people p
    where p.name_key is not null
    window w as (partition by p.name_key order by p.person)
  ) s
  where s.person <> s.first_person and s.is_doubtful;

  -- A new person with the address of somebody in the same unit whom the file does not name: likely a new spelling of the name.
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select distinct on (p.person) p.person, app.roster_header('full_name'), p.full_name, 'renamed',
    format('%s, of the same unit and e-mail address, is not in the file: if this is a new spelling of the name, change the name there first, or give both a reference.', re.full_name), false
  from pg_temp.roster_people p
  join pg_temp.roster_known k on k.email = p.email
  join public.residents re on re.id = k.id
  join pg_temp.roster_rows r on r.person = p.person
  join pg_temp.roster_units u on u.unit = r.unit
  join public.occupancies o on o.community_id = community and o.unit_id = u.id and o.resident_id = k.id and o.deleted_at is null
  where p.is_new and not exists (select from pg_temp.roster_people x where x.id = k.id)
  order by p.person, k.id;

  -- Rows about one thing must not contradict each other.
  with several as (
    select r.*,
      count(*) over (partition by r.unit) as of_unit, count(*) over (partition by r.person) as of_person, count(*) over (partition by r.occupancy) as of_occupancy
    from pg_temp.roster_rows r
  ),
  cells as (
    select c.row, c.position, c.field, c.told, f.entity,
      case f.entity when 'resident' then r.person when 'occupancy' then r.occupancy else r.unit end as thing,
      case c.field
        when 'full_name' then r.name_key when 'reference' then r.reference_key when 'identity_number' then r.identity_key when 'phone' then r.phone_key
        when 'entrance' then r.entrance_key when 'layout' then app.roster_words(c.value) else c.value
      end collate "C" as value
    from pg_temp.roster_cells c
    join public.roster_fields f on f.key = c.field
    join several r on r.row = c.row
    where 1 < case f.entity when 'resident' then r.of_person when 'occupancy' then r.of_occupancy else r.of_unit end
      and c.value is not null and c.field not in ('building', 'unit_number', 'family_name', 'role', 'note')
  ),
  told as (
    select c.*, first_value(c.row) over w as first_row, first_value(c.value) over w as first_value, first_value(c.told) over w as first_told
    from cells c
    where c.thing is not null
    window w as (partition by c.entity, c.thing, c.field order by c.row)
  )
  insert into pg_temp.roster_problems (row, position, header, value, reason, message, is_refusal)
  select t.row, t.position, app.roster_header(t.field), t.told, 'contradiction',
    format('Row %s says %s of the same %s.', t.first_row, left(t.first_told, 100), case t.entity when 'resident' then 'person' when 'occupancy' then 'person in the unit' else 'unit' end), true
  from told t
  where t.value <> t.first_value;

  -- How things would be: what the file says, and what it does not name.
  insert into pg_temp.roster_after (row, id, unit, label, resident_id, full_name, role, ownership_share, is_living_in, told_primary, is_primary_contact, starts_on, ends_on)
  select f.occupancy, f.id, u.unit, u.label, p.id, p.label, f.role,
    coalesce(f.ownership_share, o.ownership_share), coalesce(f.is_living_in, o.is_living_in),
    f.is_primary_contact, coalesce(f.is_primary_contact, o.is_primary_contact, false), f.starts_on, f.ends_on
  from pg_temp.roster_occupancies f
  join pg_temp.roster_units u on u.unit = f.unit
  join pg_temp.roster_people p on p.person = f.person
  left join public.occupancies o on o.id = f.id
  where f.starts_on <= coalesce(f.ends_on, 'infinity')
  union all
  select null, o.id, u.unit, u.label, o.resident_id, re.full_name, o.role, o.ownership_share, o.is_living_in, null, o.is_primary_contact, o.starts_on, o.ends_on
  from pg_temp.roster_units u
  join public.occupancies o on o.community_id = community and o.unit_id = u.id and o.deleted_at is null
  join public.residents re on re.community_id = community and re.id = o.resident_id
  where not u.is_new and not exists (select from pg_temp.roster_occupancies f where f.id = o.id);
  create index on pg_temp.roster_after (unit);
  create index on pg_temp.roster_after (id); -- what stores joins by it when nobody has statistics of the rows just inserted
  analyze pg_temp.roster_after;
  perform app.roster_households(today);

  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select distinct on (a.row) a.row, app.roster_header('since'), a.starts_on::text, 'occupancy_overlap',
    format('%s is %s of %s already from %s to %s%s.', b.full_name, b.role, b.label, b.starts_on, coalesce(b.ends_on::text, 'further notice'), coalesce(' (row ' || b.row || ')', '')), true
  from pg_temp.roster_after a
  join pg_temp.roster_after b on b.unit = a.unit and b.resident_id = a.resident_id and b.role = a.role and b.id <> a.id
  where a.row is not null and coalesce(b.row, 0) < a.row
    and daterange(a.starts_on, a.ends_on, '[]') && daterange(b.starts_on, b.ends_on, '[]')
  order by a.row, b.row;

  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select distinct on (a.row) a.row, app.roster_header('since'), a.starts_on::text, 'lease_overlap',
    format('%s rents %s by contract from %s to %s: two contracts do not let a unit at one time.', b.full_name, b.label, b.starts_on, coalesce(b.ends_on::text, 'further notice')), true
  from pg_temp.roster_after a
  join pg_temp.roster_after b on b.unit = a.unit and b.role = 'tenant' and b.id <> a.id
  join public.occupancies d on d.id = b.id and d.lease_id is not null
  where a.row is not null and a.role = 'tenant'
    and d.lease_id is distinct from (select o.lease_id from public.occupancies o where o.id = a.id)
    and daterange(a.starts_on, a.ends_on, '[]') && daterange(b.starts_on, b.ends_on, '[]')
  order by a.row, b.starts_on;

  -- Whoever is not told to live in the unit does, but for who only acts for it, and owners of what is vacant or let.
  update pg_temp.roster_after a
  set is_living_in = a.role <> 'authorized' and not (a.role = 'owner' and (
    u.status is not distinct from 'vacant'
    or exists (select from pg_temp.roster_after t where t.unit = a.unit and t.role = 'tenant' and t.is_living_in is not false
      and daterange(t.starts_on, t.ends_on, '[]') && daterange(greatest(a.starts_on, today), null, '[]') and (a.ends_on is null or a.ends_on >= t.starts_on))))
  from pg_temp.roster_units u
  where u.unit = a.unit and a.is_living_in is null;

  -- One primary contact at a time: naming another moves it, naming two is refused.
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select distinct on (a.row) a.row, app.roster_header('primary_contact'), a.full_name, 'two_primary_contacts',
    format('%s is the primary contact of %s at the same time%s.', b.full_name, b.label, coalesce(' (row ' || b.row || ')', '')), true
  from pg_temp.roster_after a
  join pg_temp.roster_after b on b.unit = a.unit and b.id <> a.id and b.is_primary_contact
  where a.is_primary_contact and a.row is not null and a.told_primary is not distinct from b.told_primary and (a.resident_id, a.role) <> (b.resident_id, b.role)
    and (coalesce(b.row, 0) < a.row)
    and daterange(a.starts_on, a.ends_on, '[]') && daterange(b.starts_on, b.ends_on, '[]')
  order by a.row, b.row;
  with moved as (
    update pg_temp.roster_after b
    set is_primary_contact = false, moved_by = a.row
    from pg_temp.roster_after a
    where a.unit = b.unit and a.id <> b.id and a.told_primary and b.is_primary_contact and b.told_primary is null
      and daterange(a.starts_on, a.ends_on, '[]') && daterange(b.starts_on, b.ends_on, '[]')
    returning a.row, a.unit, b.full_name, b.id
  )
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select m.row, app.roster_header('primary_contact'), m.full_name, 'primary_contact_moved',
    format('%s is the primary contact of %s no longer.', m.full_name, u.label), false
  from moved m join pg_temp.roster_units u on u.unit = m.unit;

  -- Equal shares that were cut to two decimals (33.33 three times) are taken as the equal parts that they stand for, where all who own
  -- the unit own it at one time.
  with rounded as (
    select a.unit, max(a.row) as row, min(a.label) as label, sum(a.ownership_share) as total,
      coalesce(sum(a.ownership_share) filter (where a.row is null), 0) as kept, sum(a.ownership_share) filter (where a.row is not null) as told
    from pg_temp.roster_after a
    join (select x.unit, count(*) as owners from pg_temp.roster_after x where x.role = 'owner' group by x.unit) n on n.unit = a.unit
    where a.role = 'owner'
    group by a.unit
    having count(*) = count(a.ownership_share) and max(a.starts_on) <= min(coalesce(a.ends_on, 'infinity')) and max(a.row) is not null
      and bool_and(trunc(a.ownership_share, 2) in (trunc(100.0 / n.owners, 2), round(100.0 / n.owners, 2))) and not app.is_whole(count(*), 0, sum(a.ownership_share))
  ),
  refined as (
    update pg_temp.roster_after a
    set ownership_share = round(a.ownership_share * (100 - r.kept) / r.told, 6)
    from rounded r
    where a.unit = r.unit and a.role = 'owner' and a.row is not null
  )
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select r.row, app.roster_header('ownership_share'), trim_scale(r.total)::text, 'shares_rounded',
    format('The shares in %s sum to %s percent: they are taken as equal parts of the whole.', r.label, trim_scale(r.total)), false
  from rounded r;

  -- What owners own together, on every day on which something begins or ends.
  with days as (
    select a.unit, a.starts_on as day from pg_temp.roster_after a where a.role = 'owner'
    union
    select a.unit, a.ends_on + 1 from pg_temp.roster_after a where a.role = 'owner' and a.ends_on is not null
  ),
  sums as (
    select d.unit, d.day, sum(a.ownership_share) as total, count(*) as owners, count(*) - count(a.ownership_share) as unstated, max(a.row) as row, min(a.label) as label,
      string_agg(format('%s %s%s', a.full_name, coalesce(trim_scale(a.ownership_share) || '%', 'not stated'), case when a.row is null then ' (not in the file)' end), ', ' order by a.row, a.full_name, a.ownership_share) as list
    from days d
    join pg_temp.roster_after a on a.unit = d.unit and a.role = 'owner' and a.starts_on <= d.day and (a.ends_on is null or a.ends_on >= d.day)
    group by d.unit, d.day
  ),
  -- Days on which none of the file's rows holds concern the file where one of them ended.
  concerned as (
    select s.unit, s.day, s.total, s.owners, s.unstated, s.label, s.list,
      coalesce(s.row, (select max(a.row) from pg_temp.roster_after a where a.unit = s.unit and a.role = 'owner' and a.ends_on + 1 = s.day)) as row
    from sums s
  ),
  refused as (
    insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
    select distinct on (s.unit) s.row, app.roster_header('ownership_share'), trim_scale(s.total)::text, 'shares_not_whole',
      format('From %s on the owners of %s would own %s percent together, and own the whole on every day: %s. Who has sold needs a row with the last day.',
        s.day, s.label, trim_scale(s.total), s.list), true
    from concerned s
    where s.row is not null and not app.is_whole(s.owners, s.unstated, s.total)
    order by s.unit, s.day
  )
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select distinct on (s.unit) s.row, app.roster_header('ownership_share'), null, 'shares_assumed',
    format('Not every share in %s is stated (%s): those that are not count as equal parts of what the others leave.', s.label, s.list), false
  from concerned s
  where s.row is not null and s.unstated > 0 and s.owners > 1 and s.day <= today and app.is_whole(s.owners, s.unstated, s.total)
  order by s.unit, s.day desc;

  -- The status follows who lives there; the file can only say that the unit is under maintenance, or no longer.
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select u.unit, app.roster_header('unit_status'), u.status::text, 'status_follows_people',
    case u.status when 'vacant' then 'Somebody lives in the unit according to the file or the records: it stays occupied.'
      else 'Nobody is known to live in the unit: it stays vacant until the file or the records name somebody.' end, false
  from pg_temp.roster_units u
  where u.status in ('vacant', 'occupied')
    and (u.status = 'vacant') = exists (
      select from pg_temp.roster_after a
      where a.unit = u.unit and a.is_living_in and a.starts_on <= today and (a.ends_on is null or a.ends_on >= today));

  update pg_temp.roster_occupancies f
  set is_living_in = a.is_living_in, is_primary_contact = a.is_primary_contact, ownership_share = a.ownership_share, ends_on = a.ends_on
  from pg_temp.roster_after a
  where a.id = f.id and a.row is not null;
end;
$$;

comment on function app.roster_check(uuid, date) is
  'Step 6: what would be wrong, or odd, if the file were stored: rows about no unit, one name or address for two people, contradictions, overlaps, shares that are not the whole, two primary contacts. Leaves in roster_after how the occupancies of the units would be.';
