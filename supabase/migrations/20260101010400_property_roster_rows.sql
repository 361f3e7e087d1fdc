-- Property: the rows of rosters.
--
-- Purpose     From an array of cells to lines that say which unit they are about.
-- Functions   app.roster_begin, app.roster_headings, app.roster_cells, app.roster_units: the first steps of an import, in this order, each a
--             few set-based statements over temporary tables that live as long as the import. People and occupancies follow in the next
--             topic, the import itself in the one after.
-- Invariants  Nothing is written here but those tables. A row that could be about two units is refused, not guessed.
--
-- Rows, units, people and occupancies are numbered by the row of the file that names them first. The steps join sets of thousands of rows of
-- whose size the planner knows nothing yet: without `enable_nestloop = off` it takes them for one row, and the square of it for little.

create function app.roster_begin()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  left_over name;
begin
  -- A second import in the same transaction begins afresh.
  for left_over in
    select c.relname from pg_catalog.pg_class c where c.relnamespace = pg_catalog.pg_my_temp_schema() and c.relname like 'roster\_%' and c.relkind = 'r'
  loop
    execute format('drop table pg_temp.%I', left_over);
  end loop;
  create temporary table roster_columns (
    position integer not null, header text not null, key text not null, field text, language text, is_mapped boolean not null default false, decimal_mark text
  ) on commit drop;
  create temporary table roster_told (
    row integer not null, position integer not null, field text, told text collate "C" not null, is_number boolean not null, reason text
  ) on commit drop;
  create temporary table roster_cells (
    row integer not null, position integer not null, field text not null, told text collate "C" not null, value text collate "C", reason text, remark text
  ) on commit drop;
  create temporary table roster_rows (
    row integer not null, unit integer, person integer, occupancy integer,
    building text, building_key text, entrance text, entrance_key text, unit_number text, unit_key text, unit_type public.unit_type, layout text,
    floor smallint, area numeric, ideal_parts numeric, occupant_count smallint, intercom_extension text, unit_status public.unit_status,
    full_name text, name_key text, kind public.resident_kind, reference text, reference_key text, identity_number text, identity_key text,
    email text, phone text, phone_key text, locale text, postal_address text, note text,
    role public.occupancy_role, ownership_share numeric, is_living_in boolean, is_primary_contact boolean, since date, until date
  ) on commit drop;
  create temporary table roster_units (
    unit integer not null, id uuid not null, is_new boolean not null, building_key text, building_id uuid, is_new_building boolean,
    entrance_key text, entrance_id uuid, is_new_entrance boolean, label text not null,
    building text, entrance text, number text, type public.unit_type, layout text, floor smallint, area numeric, ideal_parts numeric,
    occupant_count smallint, intercom_extension text, status public.unit_status, is_changed boolean not null default false
  ) on commit drop;
  create temporary table roster_people (
    person integer not null, id uuid not null, is_new boolean not null, label text, name_key text, full_name text, kind public.resident_kind, reference text, locale text,
    email text, phone text, identity_number text, postal_address text, note text, is_changed boolean not null default false, is_detailed boolean not null default false
  ) on commit drop;
  create temporary table roster_occupancies (
    occupancy integer not null, id uuid not null, is_new boolean not null, unit integer not null, person integer not null, role public.occupancy_role not null,
    since date, until date, ownership_share numeric, is_living_in boolean, is_primary_contact boolean,
    starts_on date, ends_on date, is_changed boolean not null default false
  ) on commit drop;
  create temporary table roster_keys (row integer, resident_id uuid, strength smallint not null, key text not null) on commit drop;
  create temporary table roster_after (
    row integer, moved_by integer, id uuid not null, unit integer not null, label text not null, resident_id uuid not null, full_name text, role public.occupancy_role not null,
    ownership_share numeric, is_living_in boolean, told_primary boolean, is_primary_contact boolean not null, starts_on date not null, ends_on date
  ) on commit drop;
  create temporary table roster_problems (
    row integer, position integer, header text, value text, reason text not null, message text not null, is_refusal boolean not null
  ) on commit drop;
  create temporary table roster_changes (
    row integer not null, entity public.roster_entity not null, id uuid, name text not null, action text not null, field text, before text, after text
  ) on commit drop;
end;
$$;

comment on function app.roster_begin() is 'Makes the temporary tables of an import. They belong to the definer, so no caller can read or prepare them.';

create function app.roster_header(field text)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return coalesce((select c.header from pg_temp.roster_columns c where c.field = roster_header.field order by c.position limit 1), field);
end;
$$;

comment on function app.roster_header(text) is 'What the file calls a field; the field''s own name where the file has no such column.';

-- Columns ------------------------------------------------------------------------------------------------------------

create function app.roster_headings(headers text[], mapping jsonb, language text, header_row integer, import public.roster_import)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  insert into pg_temp.roster_columns (position, header, key)
  select h.n, coalesce(app.roster_clean(left(h.header, 200)), format('(column %s)', h.n)), coalesce(app.roster_words(left(h.header, 200)), '')
  from unnest(headers) with ordinality h (header, n);

  -- What the caller says comes first, null meaning: leave it out.
  update pg_temp.roster_columns c
  set field = m.value, is_mapped = true
  from jsonb_each_text(mapping) m
  where c.header = app.roster_clean(m.key) or (c.key <> '' and c.key = app.roster_words(m.key));

  insert into pg_temp.roster_problems (row, header, reason, message, is_refusal)
  select header_row, m.key, 'mapping_unused', 'The mapping names a header that the file does not have.', false
  from jsonb_object_keys(mapping) m (key)
  where not exists (
    select from pg_temp.roster_columns c where c.header = app.roster_clean(m.key) or (c.key <> '' and c.key = app.roster_words(m.key)));

  -- Then the synonyms: of the whole header; without a "№" behind it; without what stands in brackets behind it, unless that could be a
  -- unit of area, which has to be a known one, since square feet are not square metres.
  with known as (
    select s.header_key, s.field, s.language
    from public.roster_header_synonyms s
    join public.roster_fields f on f.key = s.field and import = any (f.imports)
    where s.deleted_at is null
  ),
  units_of_area as (
    select distinct s.term_key, s.value from public.roster_value_synonyms s where s.vocabulary = 'area_unit' and s.deleted_at is null
  ),
  named as (
    select c.position, k.field, k.language, 1 as rank from pg_temp.roster_columns c join known k on k.header_key = c.key
    union all
    select c.position, case u.value when 'ft2' then 'area_sq_ft' else k.field end, k.language, 2
    from pg_temp.roster_columns c
    join units_of_area u on right(c.key, length(u.term_key)) = u.term_key
    join known k on k.field = 'area' and k.header_key = left(c.key, -length(u.term_key))
    union all
    select c.position, k.field, k.language, 3
    from pg_temp.roster_columns c
    join known k on k.header_key = left(c.key, -2) and right(c.key, 2) = 'no'
    union all
    select c.position, k.field, k.language, 4
    from pg_temp.roster_columns c
    join known k on k.header_key = app.roster_words(regexp_replace(c.header, '[(\[].*$', '')) and k.field not like 'area%'
  ),
  weighed as (
    select n.*, n.language = roster_headings.language as is_own, count(*) over (partition by n.language) as weight from named n
  ),
  chosen as (
    select distinct on (w.position) w.position, w.field, w.language from weighed w order by w.position, w.rank, w.is_own desc, w.weight desc, w.language
  )
  update pg_temp.roster_columns c
  set field = s.field, language = s.language
  from chosen s
  where s.position = c.position and not c.is_mapped;

  -- A family name may stand in several columns; everything else in one.
  insert into pg_temp.roster_problems (row, position, header, reason, message, is_refusal)
  select header_row, c.position, c.header, 'duplicate_column',
    format('This column and "%s" both mean %s: leave one out by mapping it to null.', f.header, c.field), true
  from pg_temp.roster_columns c
  cross join lateral (select x.header from pg_temp.roster_columns x where x.field = c.field and x.position < c.position order by x.position limit 1) f
  where c.field <> 'family_name';
  update pg_temp.roster_columns c
  set field = null
  where c.field <> 'family_name' and exists (select from pg_temp.roster_columns x where x.field = c.field and x.position < c.position);
end;
$$;

comment on function app.roster_headings(text[], jsonb, text, integer, public.roster_import) is
  'Step 1: which column holds which field of the import, by the mapping, then by the synonyms; the language of the community, then the commonest one of the file, decides between languages.';

-- Cells --------------------------------------------------------------------------------------------------------------

create function app.roster_cells(rows jsonb, first_row integer, country_code text, ideal_parts_total numeric, date_order text)
returns void
language plpgsql
volatile
set search_path = ''
set enable_nestloop = off
as $$
declare
  vacant constant text[] := array(
    select s.term_key from public.roster_value_synonyms s where s.vocabulary = 'unit_status' and s.value = 'vacant' and s.deleted_at is null);
  blanks constant text[] := array(select s.term_key from public.roster_value_synonyms s where s.vocabulary = 'blank' and s.deleted_at is null);
  signs constant text[] := array(select s.term_key from public.roster_value_synonyms s where s.vocabulary = 'flag' and s.deleted_at is null);
  width constant integer := (select count(*) from pg_temp.roster_columns);
begin
  insert into pg_temp.roster_told (row, position, field, told, is_number, reason)
  select first_row + e.row_n - 1, e.cell_n, c.field, e.told, e.is_number, e.reason
  from (
    select x.row_n, x.cell_n, x.is_number, case when length(x.cell) > 10000 then left(x.cell, 200) when x.cell ~ '^[!-~]+( [!-~]+)*$' then x.cell else app.roster_clean(x.cell) end as told,
      case when length(x.cell) > 10000 then 'too_long' end as reason
    from (
      select r.n as row_n, c.n as cell_n, jsonb_typeof(c.cell) = 'number' as is_number, c.cell #>> '{}' as cell
      from jsonb_array_elements(rows) with ordinality r (cells, n)
      cross join lateral jsonb_array_elements(r.cells) with ordinality c (cell, n)
      offset 0
    ) x
    where x.cell <> ''
    offset 0
  ) e
  left join pg_temp.roster_columns c on c.position = e.cell_n
  where e.told is not null;

  insert into pg_temp.roster_problems (row, position, value, reason, message, is_refusal)
  select distinct on (t.row) t.row, t.position, t.told, 'extra_cells', 'The row has more cells than there are headers.', true
  from pg_temp.roster_told t
  where t.position > width
  order by t.row, t.position;
  insert into pg_temp.roster_problems (row, position, header, reason, message, is_refusal)
  select first_row - 1, h.position, h.header, 'unmapped_column', 'Nobody has said what this header means: the column is left out.', false
  from pg_temp.roster_columns h
  where h.field is null and not h.is_mapped and exists (select from pg_temp.roster_told t where t.position = h.position);

  -- The decimal mark: what the column shows, else what the file shows, else the country's. A column that shows both has none.
  with shown as (
    select t.position, app.roster_decimal_mark(case f.kind when 'amount' then (app.roster_amount(t.told)).figures else t.told end) as mark
    from pg_temp.roster_told t
    join public.roster_fields f on f.key = t.field and f.kind in ('number', 'share', 'amount')
    where not t.is_number and t.reason is null and t.told ~ '[.,]'
    group by 1, t.told, f.kind
  ),
  marks as (
    select s.position, array_agg(distinct s.mark) filter (where s.mark <> '?') as marks from shown s group by s.position
  ),
  file as (
    select case when count(distinct m.mark) = 1 then min(m.mark) else app.roster_country_mark(country_code) end as mark
    from marks s cross join unnest(s.marks) m (mark)
  )
  update pg_temp.roster_columns h
  set decimal_mark = case cardinality(s.marks) when 1 then s.marks[1] when 2 then null else file.mark end
  from pg_temp.roster_columns x
  cross join file
  left join marks s on s.position = x.position
  where x.position = h.position;

  -- Each different cell of a column is read once. Dashes and words such as "n/a" stand for nothing; texts stand for themselves.
  analyze pg_temp.roster_told;
  with different as materialized (
    select d.*, f.kind, f.max_length
    from (
      select t.position, t.field, t.told, t.is_number, t.reason, case when length(t.told) <= 20 and t.told !~ '[0-9@]|^[^ ]+ [^ ]+ [^ ]+ ' then app.roster_words(t.told) end as words
      from (select x.position, x.field, x.told, x.is_number, x.reason from pg_temp.roster_told x where x.field is not null group by 1, 2, 3, 4, 5) t
    ) d
    join public.roster_fields f on f.key = d.field
    where (d.words = any (blanks)) is not true and (d.words = '' and d.told <> all (signs)) is not true
  ),
  read as materialized (
    select d.position, d.field, d.told, d.is_number, d.told as value, null::text as remark, case
      when d.reason is not null then d.reason
      when length(d.told) > d.max_length then 'too_long'
      when d.told ~ ('[[:cntrl:]]' collate pg_catalog."default") or d.told ~ '^#(REF!|DIV/0!|VALUE!|NAME\?|NUM!|NULL!|SPILL!|CALC!)$' then 'invalid_text'
      when d.field = 'identity_number' and length(d.told) < 3 then 'too_short'
    end as reason
    from different d
    where d.kind = 'text'
    union all
    select d.position, d.field, d.told, d.is_number, r.value, r.remark, coalesce(d.reason, r.reason)
    from different d
    join public.roster_fields f on f.key = d.field
    join pg_temp.roster_columns h on h.position = d.position
    cross join lateral app.roster_read(f, d.told, d.is_number, h.decimal_mark, date_order) r
    where d.kind <> 'text'
  )
  insert into pg_temp.roster_cells (row, position, field, told, value, reason, remark)
  select t.row, r.position, r.field, r.told, case when r.reason is null then r.value end, r.reason, r.remark
  from pg_temp.roster_told t
  join read r on r.position = t.position and r.told = t.told and r.is_number = t.is_number;
  analyze pg_temp.roster_cells;

  -- Shares all at most 1, without a sign, are parts of one; ideal parts with a sign are parts of what the community declares.
  if (select bool_and(c.value::numeric <= 1 and c.remark is distinct from 'percent') and bool_or(c.value::numeric > 0)
      from pg_temp.roster_cells c where c.field = 'ownership_share' and c.value is not null) then
    update pg_temp.roster_cells c set value = trim_scale(c.value::numeric * 100)::text where c.field = 'ownership_share' and c.value is not null;
    insert into pg_temp.roster_problems (row, header, reason, message, is_refusal)
    values (first_row - 1, app.roster_header('ownership_share'), 'shares_as_fractions', 'No share exceeds 1: they are read as parts of one, 1 being the whole unit.', false);
  end if;
  update pg_temp.roster_cells c
  set value = trim_scale(round(c.value::numeric * ideal_parts_total / case c.remark when 'percent' then 100 else 1000 end, 6))::text
  where c.field = 'ideal_parts' and c.remark in ('percent', 'permille') and c.value is not null;

  -- What could not be read, and what was read with a remark.
  with sentences as materialized (
    select w.field, w.reason, app.roster_sentence(w.reason, f) as message
    from (select distinct c.field, c.reason from pg_temp.roster_cells c where c.reason is not null) w
    join public.roster_fields f on f.key = w.field
  )
  insert into pg_temp.roster_problems (row, position, header, value, reason, message, is_refusal)
  select c.row, c.position, h.header, c.told, c.reason, s.message, true
  from pg_temp.roster_cells c
  join pg_temp.roster_columns h on h.position = c.position
  join sentences s on s.field = c.field and s.reason = c.reason;
  insert into pg_temp.roster_problems (row, position, header, value, reason, message, is_refusal)
  select c.row, c.position, h.header, c.told, 'several_values', format('Only the first is kept; left out: %s.', c.remark), false
  from pg_temp.roster_cells c
  join pg_temp.roster_columns h on h.position = c.position
  where c.field in ('email', 'phone') and c.remark is not null and c.reason is null;
  insert into pg_temp.roster_problems (row, position, header, value, reason, message, is_refusal)
  select min(c.row), c.position, h.header, min(c.told), 'rounded',
    format('%s cells of this column have more decimals than are stored, and are rounded.', count(*)), false
  from pg_temp.roster_cells c
  join pg_temp.roster_columns h on h.position = c.position
  where c.remark = 'rounded' and c.reason is null and c.field <> 'area_sq_ft'
  group by c.position, h.header;

  -- One line per row that says anything.
  insert into pg_temp.roster_rows
  select r.row, null, null, null,
    r.building, app.roster_key(r.building), r.entrance, app.roster_key(r.entrance), r.unit_number, app.roster_key(r.unit_number),
    r.unit_type::public.unit_type, r.layout, r.floor::smallint, coalesce(r.area, r.area_sq_ft)::numeric, r.ideal_parts::numeric,
    r.occupant_count::smallint, r.intercom_extension, coalesce(r.unit_status, case when k.is_vacant then 'vacant' end)::public.unit_status,
    case when not k.is_vacant then n.full_name end, case when not k.is_vacant then n.name_key end, r.person_kind::public.resident_kind, r.reference, app.roster_key(r.reference),
    r.identity_number, app.roster_words(r.identity_number), r.email, r.phone, right(regexp_replace(r.phone, '[^0-9]', '', 'g'), 9),
    r.locale, r.postal_address, r.note,
    r.role::public.occupancy_role, r.ownership_share::numeric, r.lives_in::boolean, r.primary_contact::boolean, r.since::date, r.until::date
  from (
    select c.row,
      max(c.value) filter (where c.field = 'building') as building,
      max(c.value) filter (where c.field = 'entrance') as entrance,
      max(c.value) filter (where c.field = 'unit_number') as unit_number,
      max(c.value) filter (where c.field = 'unit_type') as unit_type,
      max(c.value) filter (where c.field = 'layout') as layout,
      max(c.value) filter (where c.field = 'floor') as floor,
      max(c.value) filter (where c.field = 'area') as area,
      max(c.value) filter (where c.field = 'area_sq_ft') as area_sq_ft,
      max(c.value) filter (where c.field = 'ideal_parts') as ideal_parts,
      max(c.value) filter (where c.field = 'occupant_count') as occupant_count,
      max(c.value) filter (where c.field = 'intercom_extension') as intercom_extension,
      max(c.value) filter (where c.field = 'unit_status') as unit_status,
      max(c.value) filter (where c.field = 'full_name') as full_name,
      max(c.value) filter (where c.field = 'person_kind') as person_kind,
      max(c.value) filter (where c.field = 'role') as role,
      max(c.value) filter (where c.field = 'ownership_share') as ownership_share,
      max(c.value) filter (where c.field = 'lives_in') as lives_in,
      max(c.value) filter (where c.field = 'primary_contact') as primary_contact,
      max(c.value) filter (where c.field = 'since') as since,
      max(c.value) filter (where c.field = 'until') as until,
      max(c.value) filter (where c.field = 'email') as email,
      max(c.value) filter (where c.field = 'phone') as phone,
      max(c.value) filter (where c.field = 'identity_number') as identity_number,
      max(c.value) filter (where c.field = 'reference') as reference,
      max(c.value) filter (where c.field = 'locale') as locale,
      max(c.value) filter (where c.field = 'postal_address') as postal_address,
      max(c.value) filter (where c.field = 'note') as note
    from pg_temp.roster_cells c
    group by c.row
  ) r
  left join (
    select c.row, string_agg(c.value, ' ' order by c.position) as family_name from pg_temp.roster_cells c where c.field = 'family_name' group by c.row
  ) y on y.row = r.row
  cross join lateral (
    select x.full_name, app.roster_words(x.full_name) as name_key
    from (
      select case
        when y.family_name is null or right(r.full_name, length(y.family_name)) = y.family_name then r.full_name
        else left(concat_ws(' ', r.full_name, y.family_name), 200)
      end as full_name
      offset 0
    ) x
    offset 0
  ) n
  -- "Vacant" in the place of a name says that there is nobody.
  cross join lateral (select coalesce(n.name_key = any (vacant), false) as is_vacant) k;

  -- A legal form makes a name a company's. One of two letters has to stand in capitals.
  with forms as (
    select s.term, lower(s.term collate pg_catalog.pg_c_utf8) as form, s.value as place, s.language = 'th' as is_glued
    from public.roster_value_synonyms s where s.vocabulary = 'legal_form' and s.deleted_at is null
  ),
  names as (
    select d.full_name, d.bare, lower(d.bare collate pg_catalog.pg_c_utf8) as lowered
    from (
      select r.full_name, btrim(regexp_replace(regexp_replace(normalize(r.full_name, nfkc), '[.,"''„“”«»()]', '', 'g'), ' +', ' ', 'g')) as bare
      from pg_temp.roster_rows r where r.full_name is not null and r.kind is null group by 1
    ) d
  ),
  companies as (
    select distinct n.full_name
    from names n
    join forms f on case f.place
      when 'after' then right(n.lowered, length(f.form) + 1) = ' ' || f.form or (f.is_glued and right(n.lowered, length(f.form)) = f.form)
      else starts_with(n.lowered, f.form || ' ') or (f.is_glued and starts_with(n.lowered, f.form))
    end
    where length(f.form) > 2
      or case f.place when 'after' then right(n.bare, length(f.form)) else left(n.bare, length(f.form)) end = upper(f.form collate pg_catalog.pg_c_utf8)
  )
  update pg_temp.roster_rows r set kind = 'company' from companies c where c.full_name = r.full_name and r.kind is null;

  create unique index on pg_temp.roster_rows (row);
  create index on pg_temp.roster_rows (unit);
  create index on pg_temp.roster_rows (person);
  analyze pg_temp.roster_rows;
end;
$$;

comment on function app.roster_cells(jsonb, integer, text, numeric, text) is
  'Step 2: every cell read as its column demands, and one line per row. What cannot be read becomes a refusal and counts as blank for the steps that follow, so that one report names everything.';

-- Units --------------------------------------------------------------------------------------------------------------

create function app.roster_units(community uuid, community_name text)
returns void
language plpgsql
volatile
set search_path = ''
set enable_nestloop = off
as $$
declare
  home text;
begin
  -- A blank building is that of the row above, if the row above is about a unit of the same number.
  with steps as (
    select r.row, r.building, r.building_key, r.unit_key, r.unit_key is distinct from lag(r.unit_key) over (order by r.row) as is_other
    from pg_temp.roster_rows r
  ),
  runs as (
    select s.*, count(*) filter (where s.is_other) over (order by s.row) as run from steps s
  ),
  told as (
    select s.*, count(s.building_key) over (partition by s.run order by s.row) as nth from runs s
  ),
  filled as (
    select t.row, first_value(t.building) over w as building, first_value(t.building_key) over w as building_key
    from told t where t.nth > 0 window w as (partition by t.run, t.nth order by t.row)
  )
  update pg_temp.roster_rows r
  set building = f.building, building_key = f.building_key
  from filled f
  where f.row = r.row and r.building_key is null;

  create temporary table roster_known_units on commit drop as
  select u.id, u.building_id, b.name as building, app.roster_key(b.name) as building_key, u.number, app.roster_key(u.number) as unit_key
  from public.units u
  left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
  where u.community_id = community and u.deleted_at is null;
  create index on pg_temp.roster_known_units (unit_key, building_key);
  analyze pg_temp.roster_known_units;

  if not exists (select from pg_temp.roster_rows r where r.building_key is not null) then
    -- A file without buildings: a number that the community knows once is that unit …
    with known as (
      select k.unit_key, count(*) as times, bool_or(k.building_key is null) as has_bare,
        min(k.building) as building, string_agg(k.building, ', ' order by k.building) as buildings
      from pg_temp.roster_known_units k group by k.unit_key
    ),
    found as (
      update pg_temp.roster_rows r
      set building = k.building, building_key = app.roster_key(k.building)
      from known k
      where k.unit_key = r.unit_key and k.times = 1
    )
    insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
    select r.row, app.roster_header('unit_number'), r.unit_number, 'building_missing', format('A unit of this number is in %s: say which is meant.', k.buildings), true
    from pg_temp.roster_rows r join known k on k.unit_key = r.unit_key and k.times > 1 and not k.has_bare;

    -- … and new units belong to the community's only building, if none stands outside it; where there is no building at all and the file
    -- names entrances, to one called as the community.
    select case
      when count(*) = 0 and exists (select from pg_temp.roster_rows r where r.entrance_key is not null) then community_name
      when count(*) = 1 and not exists (select from pg_temp.roster_known_units k where k.building_id is null) then min(b.name)
    end into home
    from public.buildings b where b.community_id = community and b.deleted_at is null;
    if home is not null and exists (
      select from pg_temp.roster_rows r
      where r.unit_key is not null and r.building_key is null and not exists (select from pg_temp.roster_known_units k where k.unit_key = r.unit_key))
    then
      update pg_temp.roster_rows r
      set building = home, building_key = app.roster_key(home)
      where r.unit_key is not null and r.building_key is null and not exists (select from pg_temp.roster_known_units k where k.unit_key = r.unit_key);
      insert into pg_temp.roster_problems (row, value, reason, message, is_refusal)
      values (null, home, 'building_assumed', 'The file names no building: new units belong to this one.', false);
    end if;
  end if;

  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select r.row, app.roster_header('entrance'), r.entrance, 'building_missing', 'An entrance belongs to a building: say which.', true
  from pg_temp.roster_rows r
  where r.entrance_key is not null and r.building_key is null and r.unit_key is not null;

  update pg_temp.roster_rows r
  set unit = s.unit
  from (
    select x.row, min(x.row) over (partition by x.unit_key, x.building_key) as unit from pg_temp.roster_rows x
    where x.unit_key is not null and not exists (
      select from pg_temp.roster_problems p where p.row = x.row and p.reason = 'building_missing')
  ) s
  where s.row = r.row;

  insert into pg_temp.roster_units (
    unit, id, is_new, building_key, building, entrance_key, entrance, number, type, layout, floor, area, ideal_parts, occupant_count, intercom_extension, status, label)
  select s.unit, coalesce(k.id, extensions.uuidv7()), k.id is null, s.building_key, s.building, s.entrance_key, s.entrance, s.number,
    s.type, s.layout, s.floor, s.area, s.ideal_parts, s.occupant_count, s.intercom_extension, s.status,
    concat_ws(' / ', coalesce(k.building, s.building), coalesce(k.number, s.number))
  from (
    select r.unit, min(r.unit_key) as unit_key, min(r.building_key) as building_key,
      (array_agg(r.building order by r.row))[1] as building,
      (array_agg(r.entrance_key order by r.row) filter (where r.entrance_key is not null))[1] as entrance_key,
      (array_agg(r.entrance order by r.row) filter (where r.entrance is not null))[1] as entrance,
      (array_agg(r.unit_number order by r.row))[1] as number,
      (array_agg(r.unit_type order by r.row) filter (where r.unit_type is not null))[1] as type,
      (array_agg(r.layout order by r.row) filter (where r.layout is not null))[1] as layout,
      (array_agg(r.floor order by r.row) filter (where r.floor is not null))[1] as floor,
      (array_agg(r.area order by r.row) filter (where r.area is not null))[1] as area,
      (array_agg(r.ideal_parts order by r.row) filter (where r.ideal_parts is not null))[1] as ideal_parts,
      (array_agg(r.occupant_count order by r.row) filter (where r.occupant_count is not null))[1] as occupant_count,
      (array_agg(r.intercom_extension order by r.row) filter (where r.intercom_extension is not null))[1] as intercom_extension,
      (array_agg(r.unit_status order by r.row) filter (where r.unit_status is not null))[1] as status
    from pg_temp.roster_rows r
    where r.unit is not null
    group by r.unit
  ) s
  left join lateral (
    select x.id, x.building, x.number from pg_temp.roster_known_units x
    where x.unit_key = s.unit_key and x.building_key is not distinct from s.building_key
    order by x.number = s.number desc, x.id limit 1
  ) k on true;
  analyze pg_temp.roster_units;

  -- Buildings and entrances, found or to be made: one id for all units that name them.
  with known as (
    select distinct on (b.key) b.key, b.id
    from (select app.roster_key(x.name) as key, x.id from public.buildings x where x.community_id = community and x.deleted_at is null) b
    order by b.key, b.id
  ),
  named as (
    select n.building_key, coalesce(k.id, extensions.uuidv7()) as id, k.id is null as is_new
    from (select distinct u.building_key from pg_temp.roster_units u where u.building_key is not null) n
    left join known k on k.key = n.building_key
  )
  update pg_temp.roster_units u set building_id = n.id, is_new_building = n.is_new from named n where n.building_key = u.building_key;
  -- Of buildings whose names differ in case alone, the one in which the unit is.
  update pg_temp.roster_units u set building_id = k.building_id from pg_temp.roster_known_units k where k.id = u.id and k.building_id <> u.building_id;
  with known as (
    select distinct on (e.building_id, e.key) e.building_id, e.key, e.id
    from (select x.building_id, app.roster_key(x.name) as key, x.id from public.entrances x where x.community_id = community and x.deleted_at is null) e
    order by e.building_id, e.key, e.id
  ),
  named as (
    select n.building_id, n.entrance_key, coalesce(k.id, extensions.uuidv7()) as id, k.id is null as is_new
    from (select distinct u.building_id, u.entrance_key from pg_temp.roster_units u where u.entrance_key is not null) n
    left join known k on k.building_id = n.building_id and k.key = n.entrance_key
  )
  update pg_temp.roster_units u
  set entrance_id = n.id, is_new_entrance = n.is_new
  from named n where n.building_id = u.building_id and n.entrance_key = u.entrance_key;

  -- А and A look alike and are two letters.
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select s.row, app.roster_header(s.field), s.told, 'looks_alike',
    format('This looks like the value of row %s, but is written with other letters (Cyrillic and Latin): they are taken as two.', s.other_row), false
  from (
    select x.*, first_value(x.row) over w as other_row, first_value(x.key) over w as other_key
    from (
      select min(u.unit) as row, t.field, min(t.told) as told, t.scope, t.key, translate(t.key, 'авекмнорстухіѕј', 'abekmhopctyxisj') as look
      from pg_temp.roster_units u
      cross join lateral (values
        ('building', u.building, '', u.building_key),
        ('entrance', u.entrance, u.building_key, u.entrance_key),
        ('unit_number', u.number, u.building_key, app.roster_key(u.number))
      ) t (field, told, scope, key)
      where t.key is not null
      group by t.field, t.scope, t.key
    ) x
    window w as (partition by x.field, x.scope, x.look order by x.row)
  ) s
  where s.key <> s.other_key;
end;
$$;

comment on function app.roster_units(uuid, text) is
  'Step 3: which unit each row is about, by building and number, and whether the community has it already; the first value told of each of its fields.';
