-- A roster is stored as a whole or not at all, by whoever may, and storing it again changes nothing.

begin;
select plan(57);

alter default privileges grant execute on functions to public; -- so that whoever is signed in may use the helpers of this file

-- Importing reads like a file: headers and rows with | between cells, nothing between two of them meaning blank.
create function pg_temp.rows(file text) returns jsonb language sql as $$
  select coalesce(jsonb_agg(to_jsonb(string_to_array(btrim(line), '|', '')) order by n), '[]') from string_to_table(btrim(file, E'\n'), E'\n') with ordinality x (line, n)
$$;
create function pg_temp.import(headers text, file text, dry_run boolean default false, mapping jsonb default null, community text default 'Alder') returns jsonb language sql as $$
  select public.import_roster(tests.id(community), string_to_array(headers, '|'), pg_temp.rows(file), mapping, dry_run)
$$;
create function pg_temp.totals(report jsonb) returns text language sql as $$
  select string_agg(format('%s %s+%s~%s=', e.key, e.value ->> 'create', e.value ->> 'update', e.value ->> 'unchanged'), ' ' order by array_position('{buildings,entrances,units,residents,occupancies}', e.key))
  from jsonb_each(report -> 'totals') e
$$;
create function pg_temp.reasons(problems jsonb) returns text language sql as $$
  select coalesce(string_agg(concat_ws(' ', p ->> 'row', p ->> 'column', p ->> 'reason'), ', ' order by n), 'none') from jsonb_array_elements(problems) with ordinality x (p, n)
$$;
create function pg_temp.changes(report jsonb) returns text language sql as $$
  select coalesce(string_agg(format('%s %s %s: %s %s -> %s', p ->> 'row', p ->> 'entity', p ->> 'name', p ->> 'column', coalesce(p ->> 'before', 'null'), p ->> 'after'), '; ' order by n), 'none')
  from jsonb_array_elements(report -> 'changes') with ordinality x (p, n) where p ->> 'action' = 'update'
$$;
create function pg_temp.stored() returns text language sql security definer as $$
  select concat_ws(' ', (select count(*) from public.buildings where community_id = any (tests.communities())), (select count(*) from public.entrances where community_id = any (tests.communities())),
    (select count(*) from public.units where community_id = any (tests.communities())), (select count(*) from public.residents where community_id = any (tests.communities())),
    (select count(*) from public.resident_details where community_id = any (tests.communities())), (select count(*) from public.occupancies where community_id = any (tests.communities())))
$$;
create function pg_temp.audited() returns bigint language sql security definer as $$ select count(*) from audit.log $$;

select tests.create_community('Alder', time_zone => 'Europe/Sofia'), tests.create_community('Birch');
select tests.create_supabase_user(u) from unnest(array['manager', 'admin', 'stranger', 'guard', 'accountant', 'committee', 'technician']) u;
select tests.grant_role(u, u, community => 'Alder') from unnest(array['manager', 'admin', 'guard', 'accountant', 'committee', 'technician']) u;
select tests.grant_role('stranger', 'manager', community => 'Birch');
select tests.create_supabase_user('ivan', 'ivan@mail.example');
select tests.keep('headers', 'Building|Entrance|Unit|Type|Layout|Floor|Area|Ideal parts|Residents|Intercom|Name|Role|Share|Lives in|Primary contact|Since|Until|Email|Phone|ID number|Reference|Language|Address|Note'::text);
select tests.keep('file', $file$
  Main|A|1|shop||0|64.20|30|0|101|Biliana OOD|owner|100|yes|yes|2019-03-01||office@biliana.example|+359 2 555 0101|201234567||||
  Main|A|2|flat|2BHK|1|71.50|40|2|102|Ivan Petrov|owner|60|yes|yes|2018-06-15||ivan@mail.example|+359 88 555 0102||R-1|bg|5 Lime Street|has a dog
  Main|A|2||||||||Svetla Petrova|owner|40|no|no|2018-06-15|||||||
  Main|B|3|parking||-1|18|30|||Ivan Petrov|owner|100|yes|yes|2018-06-15||ivan@mail.example|||R-1|||
$file$::text);

-- Who may --------------------------------------------------------------------------------------------------------------

select tests.keep('before', pg_temp.stored());
select throws_ok($$select pg_temp.import(tests.kept('headers'), tests.kept('file'))$$, 'PT403', 'permission_denied', u || ' may not import')
from unnest(array['stranger', 'guard', 'accountant', 'committee', 'technician', 'ivan']) u, lateral tests.authenticate_as(u);
select tests.authenticate_as('guard');
select throws_ok($$select pg_temp.import(tests.kept('headers'), tests.kept('file'), dry_run => true)$$, 'PT403', 'permission_denied', 'nor even try it dry');
select tests.authenticate_as('manager');
select throws_ok($$select public.import_roster(gen_random_uuid(), '{Unit}', '[]')$$, 'PT403', 'permission_denied', 'a community that does not exist is refused like a foreign one');
select throws_ok($$select public.import_roster(null, '{Unit}', '[]')$$, 'PT403', 'permission_denied', 'and so is none');
select tests.clear_authentication();
select throws_ok($$select public.import_roster(tests.id('Alder'), '{Unit}', '[["1"]]')$$, '42501', null, 'nobody imports without signing in');
select tests.as_studio();
select is(pg_temp.stored(), tests.kept('before'), '(nothing was stored)');
select throws_ok($$select public.import_roster(gen_random_uuid(), '{Unit}', '[]')$$, 'PT404', 'community_not_found', 'the trusted are told that there is no such community');

-- A dry run ------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select tests.keep('report', pg_temp.import(tests.kept('headers'), tests.kept('file'), dry_run => true));
select is(tests.kept('report')::jsonb ->> 'status', 'checked', 'a manager may import: a dry run only checks');
select is(pg_temp.totals(tests.kept('report')::jsonb), 'buildings 1+0~0= entrances 2+0~0= units 3+0~0= residents 3+0~0= occupancies 4+0~0=', 'and says how much it would create');
select is(
  (select string_agg(concat_ws(' ', c ->> 'row', c ->> 'entity', c ->> 'name', c ->> 'action'), '; ' order by n) from jsonb_array_elements(tests.kept('report')::jsonb -> 'changes') with ordinality x (c, n)),
  '2 building Main create; 2 entrance Main / A create; 2 unit Main / 1 create; 2 resident Biliana OOD create; 2 occupancy Main / 1: Biliana OOD (owner) create; '
  '3 unit Main / 2 create; 3 resident Ivan Petrov create; 3 occupancy Main / 2: Ivan Petrov (owner) create; 4 resident Svetla Petrova create; '
  '4 occupancy Main / 2: Svetla Petrova (owner) create; 5 entrance Main / B create; 5 unit Main / 3 create; 5 occupancy Main / 3: Ivan Petrov (owner) create',
  'and what, by the rows of the file, the header being row 1');
select is(tests.kept('report')::jsonb #>> '{columns,0}', '{"field": "building", "header": "Building", "language": "en"}', 'and how it understood each column');
select is(tests.kept('report')::jsonb -> 'ideal_parts', '{"declared": 100, "stored_after": 100, "difference": 0}', 'and what the ideal parts would sum to');
select is(pg_temp.reasons(tests.kept('report')::jsonb -> 'warnings'), 'none', 'there is nothing to warn of');
select tests.as_studio();
select is(pg_temp.stored(), tests.kept('before'), 'nothing was stored');

-- The import -----------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select tests.keep('report', pg_temp.import(tests.kept('headers'), tests.kept('file')));
select is(tests.kept('report')::jsonb ->> 'status', 'applied', 'the same without dry_run stores it');
select is(
  (select string_agg(concat_ws(' ', u.number, b.name, e.name, u.type, u.layout, u.floor, u.area, trim_scale(u.ideal_parts), u.occupant_count, u.intercom_extension, u.status), '; ' order by u.number)
   from public.units u left join public.buildings b on b.id = u.building_id left join public.entrances e on e.id = u.entrance_id where u.community_id = tests.id('Alder')),
  '1 Main A shop 0 64.20 30 0 101 occupied; 2 Main A apartment 2BHK 1 71.50 40 2 102 occupied; 3 Main B parking -1 18.00 30 occupied', 'units are as the file says, and occupied by those who live there');
select is(
  (select string_agg(concat_ws(' ', r.full_name, r.kind, r.reference, r.locale, d.email, d.phone, d.identity_number, d.postal_address, d.note), '; ' order by r.full_name)
   from public.residents r left join public.resident_details d on d.resident_id = r.id where r.community_id = tests.id('Alder')),
  'Biliana OOD company office@biliana.example +359 2 555 0101 201234567; Ivan Petrov person R-1 bg ivan@mail.example +359 88 555 0102 5 Lime Street has a dog; Svetla Petrova person', 'people are as the file says');
select is(
  (select string_agg(concat_ws(' ', u.number, r.full_name, o.role, trim_scale(o.ownership_share), o.is_living_in, o.is_primary_contact, o.starts_on, o.ends_on), '; ' order by u.number, r.full_name)
   from public.occupancies o join public.units u on u.id = o.unit_id join public.residents r on r.id = o.resident_id where o.community_id = tests.id('Alder')),
  '1 Biliana OOD owner 100 t t 2019-03-01; 2 Ivan Petrov owner 60 t t 2018-06-15; 2 Svetla Petrova owner 40 f f 2018-06-15; 3 Ivan Petrov owner 100 t t 2018-06-15', 'and so is who owns what');
select tests.as_studio();
select is((select user_id from public.residents where reference = 'R-1' and community_id = tests.id('Alder')), tests.id('ivan'), 'a user who has verified an address of the file is linked');
select is((select string_agg(distinct concat_ws(' ', actor_id, note), ', ') from audit.log where community_id = tests.id('Alder') and operation = 'insert' and table_id in ('public.units'::regclass, 'public.occupancies'::regclass)),
  tests.id('manager') || ' Roster import', 'the audit says who did it, and that it was an import');
select is((select count(*) || ' ' || min(payload ->> 'rows') from app.outbox where topic = 'roster.imported' and community_id = tests.id('Alder')), '1 4', 'an event tells others');

-- Again ----------------------------------------------------------------------------------------------------------------

select tests.keep('audited', pg_temp.audited());
select tests.keep('versions', (select string_agg(xmin::text, ' ' order by id) from public.units where community_id = tests.id('Alder')));
select tests.authenticate_as('admin');
select tests.keep('report', pg_temp.import(tests.kept('headers'), tests.kept('file')));
select is(pg_temp.totals(tests.kept('report')::jsonb), 'buildings 0+0~1= entrances 0+0~2= units 0+0~3= residents 0+0~3= occupancies 0+0~4=', 'the same file again changes nothing');
select tests.as_studio();
select is(pg_temp.audited()::text, tests.kept('audited'), 'nothing at all: the audit has no new entry');
select is((select string_agg(xmin::text, ' ' order by id) from public.units where community_id = tests.id('Alder')), tests.kept('versions'), 'and no row was written');
select is((select count(*) from app.outbox where topic = 'roster.imported' and community_id = tests.id('Alder')), 1::bigint, 'nor is there an event');

-- Corrections ----------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select tests.keep('report', pg_temp.import('Building|Unit|Area|Floor|Name|Role|Since|Email|Reference|Share', $file$
  main|1|65,2|
  MAIN|2|71,5|1|Ivan P. Petrov|owner|2018-06-01|ivan.petrov@mail.example|R-1|
  Main|2|||Svetla Petrova|owner|2018-06-01|svetla@mail.example||
$file$));
select is(pg_temp.changes(tests.kept('report')::jsonb),
  '2 unit Main / 1: Area 64.2 -> 65.2; 3 resident Ivan Petrov: Email ivan@mail.example -> ivan.petrov@mail.example; 3 resident Ivan Petrov: Name Ivan Petrov -> Ivan P. Petrov; '
  '3 occupancy Main / 2: Ivan Petrov (owner): Since 2018-06-15 -> 2018-06-01; 4 resident Svetla Petrova: Email null -> svetla@mail.example; 4 occupancy Main / 2: Svetla Petrova (owner): Since 2018-06-15 -> 2018-06-01', 'a corrected value updates, cell by cell, and the report says from what to what');
select is(pg_temp.totals(tests.kept('report')::jsonb), 'buildings 0+0~1= entrances 0+0~0= units 0+1~1= residents 0+2~0= occupancies 0+2~0=', 'and nothing is made twice');
select is(
  (select string_agg(concat_ws(' ', r.full_name, r.reference, r.locale, d.email, d.phone, d.postal_address, d.note), '; ' order by r.full_name)
   from public.residents r join public.resident_details d on d.resident_id = r.id where r.community_id = tests.id('Alder') and r.full_name like '%Petrov%'),
  'Ivan P. Petrov R-1 bg ivan.petrov@mail.example +359 88 555 0102 5 Lime Street has a dog; Svetla Petrova svetla@mail.example', 'a blank cell, or a column that is missing, takes nothing away');
select is(tests.kept('report')::jsonb -> 'not_in_file', '{"units": 1, "occupancies": 1, "first": [{"entity": "unit", "name": "Main / 3"}, {"entity": "occupancy", "name": "Main / 1: Biliana OOD (owner)"}]}',
  'who and what the file does not name is listed');
select is((select count(*) from public.occupancies o where o.community_id = tests.id('Alder') and o.ends_on is null), 4::bigint, 'and stays');

select tests.keep('report', pg_temp.import('Building|Unit|Name|Role|Share|Lives in|Since|Until', $file$
  Main|2|Svetla Petrova|owner|||2018-06-01|2020-12-31
  Main|2|Elena Dimova|owner|40|no|2021-01-01|
  Main|2|Elena Dimova|tenant|||2020-01-01|2020-12-31
$file$));
select is(pg_temp.totals(tests.kept('report')::jsonb), 'buildings 0+0~1= entrances 0+0~0= units 0+0~1= residents 1+0~1= occupancies 2+1~0=', 'a last day ends an occupancy, a new role is an addition');
select is(
  (select string_agg(concat_ws(' ', r.full_name, o.role, o.starts_on, o.ends_on), '; ' order by o.starts_on, r.full_name)
   from public.occupancies o join public.residents r on r.id = o.resident_id join public.units u on u.id = o.unit_id where u.number = '2' and o.community_id = tests.id('Alder')),
  'Ivan P. Petrov owner 2018-06-01; Svetla Petrova owner 2018-06-01 2020-12-31; Elena Dimova tenant 2020-01-01 2020-12-31; Elena Dimova owner 2021-01-01', 'and history stays');
select is(pg_temp.reasons((pg_temp.import('Building|Unit|Name|Role', 'Main|2|Svetla Petrova|owner') -> 'warnings')), '2 Name occupancy_ended', 'a file that names somebody who has left is stored, with a warning');

-- All or nothing -------------------------------------------------------------------------------------------------------

select tests.keep('stored', pg_temp.stored());
select tests.keep('report', pg_temp.import('Building|Unit|Area|Name|Role', E'New|1|50|Ana|owner\nNew|2|many|Boris|owner\nNew|3|50|Clara|boss', dry_run => true));
select is(tests.kept('report')::jsonb ->> 'status', 'refused', 'a dry run says that the file would be refused');
select is(pg_temp.reasons(tests.kept('report')::jsonb -> 'refusals'), '3 Area not_a_number, 4 Role unknown_value', 'naming row, column and reason of each refusal');
select is(tests.kept('report')::jsonb #> '{refusals,0}', '{"row": 3, "column": "Area", "value": "many", "reason": "not_a_number", "message": "This is not a number."}', 'with the value and a sentence for people');
select throws_ok($$select pg_temp.import('Building|Unit|Area|Name|Role', E'New|1|50|Ana|owner\nNew|2|many|Boris|owner')$$, 'PT422', 'roster_refused', 'the import refuses it');
create function pg_temp.refusal(headers text, file text) returns jsonb language plpgsql as $$
declare
  told text;
begin
  perform pg_temp.import(headers, file);
  return null;
exception when others then
  get stacked diagnostics told = pg_exception_detail;
  return told;
end;
$$;
select is(pg_temp.reasons(pg_temp.refusal('Building|Unit|Area', E'New|1|50\nNew|2|many') -> 'refusals'), '3 Area not_a_number', 'with the report as the error''s detail');
select is(pg_temp.stored(), tests.kept('stored'), 'and stores nothing of it, the good rows included');
select is(
  jsonb_array_length(pg_temp.refusal('Unit|Area', (select string_agg(i || '|x', E'\n') from generate_series(1, 300) i)) -> 'refusals')
    || ' of ' || (pg_temp.refusal('Unit|Area', (select string_agg(i || '|x', E'\n') from generate_series(1, 300) i)) ->> 'refused'),
  '200 of 300', 'the report lists the first 200 refusals and counts all');

-- What the file says is text -------------------------------------------------------------------------------------------

select tests.keep('report', pg_temp.import('Unit|Name|Role|Note', E'X-1|Robert''); drop table residents;--|owner|<script>alert(1)</script>\nX-2|=cmd()|owner|{"a": "\\u0000"}\nX-3|%s %I $$ \\1|owner|${x}'));
select is((select string_agg(r.full_name || ' / ' || d.note, '; ' order by r.full_name) from public.residents r join public.resident_details d on d.resident_id = r.id where d.note ~ '[<{]'),
  E'%s %I $$ \\1 / ${x}; =cmd() / {"a": "\\u0000"}; Robert''); drop table residents;-- / <script>alert(1)</script>', 'whatever looks like code is stored as it is written');

-- What is not a roster -------------------------------------------------------------------------------------------------

create function pg_temp.answer(call text) returns text language plpgsql as $$
begin
  execute 'select public.import_roster(tests.id(''Alder''), ' || call || ')';
  return 'stored';
exception when others then
  return sqlstate || ' ' || sqlerrm;
end;
$$;
select is(pg_temp.answer($$null, '[]'$$) || ', ' || pg_temp.answer($$'{}', '[]'$$) || ', ' || pg_temp.answer($$'{{a,b},{c,d}}', '[]'$$) || ', ' || pg_temp.answer($$array_fill('Unit'::text, array[201]), '[]'$$),
  array_to_string(array_fill('PT422 invalid_headers'::text, array[4]), ', '), 'headers are a list of texts, not too many');
select is(
  (select string_agg(pg_temp.answer(format('''{Unit}'', %L', r)), ', ') from unnest(array[null, '{}', '"x"', '1', 'null', '[1]', '[{"Unit": 1}]', '["1"]', '[[["1"]]]', '[[{"a": 1}]]']) r),
  array_to_string(array_fill('PT422 invalid_rows'::text, array[10]), ', '), 'rows are an array of arrays of cells');
select is(pg_temp.answer($$'{Unit}', (select jsonb_agg(jsonb_build_array(i::text)) from generate_series(1, 20001) i)$$), 'PT413 too_many_rows', 'not too many of them');
select is(
  (select string_agg(pg_temp.answer(format('''{Unit}'', ''[["1"]]'', %L', m)), ', ') from unnest(array['[]', '"unit_number"', '{"Unit": "door"}', '{"Unit": 1}', '{"Unit": {}}']) m),
  array_to_string(array_fill('PT422 invalid_mapping'::text, array[5]), ', '), 'a mapping names fields that exist');
select is(pg_temp.answer($$'{Unit}', '[["1"]]', first_row => 0$$) || ', ' || pg_temp.answer($$'{Unit}', '[["1"]]', date_order => 'ymd'$$), 'PT422 invalid_first_row, PT422 invalid_date_order', 'first_row and date_order are what they can be');
select is(public.import_roster(tests.id('Alder'), '{Unit,Area,Lives in}', '[["9", 71.5, false], [10, 1.234, null], [null, null, null], []]', dry_run => true) -> 'refused', '0', 'cells may be numbers and yes or no, rows may be short or empty');
select is(pg_temp.reasons(public.import_roster(tests.id('Alder'), '{Unit}', jsonb_build_array(jsonb_build_array(repeat('9', 10001)))) -> 'refusals'), '2 Unit too_long', 'a cell of 10,001 characters is refused like any other');

-- Buildings whose names differ in case alone ---------------------------------------------------------------------------

select tests.as_studio();
insert into public.buildings (community_id, name) values (tests.id('Alder'), 'Twin'), (tests.id('Alder'), 'TWIN');
insert into public.units (community_id, building_id, number) select b.community_id, b.id, '1' from public.buildings b where b.community_id = tests.id('Alder') and lower(b.name) = 'twin' order by b.id desc limit 1;
select tests.authenticate_as('manager');
select is(pg_temp.totals(pg_temp.import('Building|Entrance|Unit|Area', 'twin|A|1|50')), 'buildings 0+0~1= entrances 1+0~0= units 0+1~0= residents 0+0~0= occupancies 0+0~0=', 'the one in which the unit is gets the entrance');
select is((select count(*) from public.units u join public.entrances e on e.id = u.entrance_id and e.building_id = u.building_id join public.buildings b on b.id = u.building_id where lower(b.name) = 'twin' and u.area = 50), 1::bigint, '(as is stored)');

-- What takes another permission ----------------------------------------------------------------------------------------

select tests.as_studio();
select tests.create_supabase_user('typist');
insert into public.roles (level, key, name, community_id) values ('community', 'typist', 'Typist', tests.id('Alder'));
insert into public.role_permissions (role_id, permission_key) select r.id, 'roster.import' from public.roles r where r.community_id = tests.id('Alder') and r.key = 'typist';
select tests.grant_role('typist', 'typist', community => 'Alder');
select tests.authenticate_as('typist');
select throws_ok($$select pg_temp.import('Building|Unit|Status', 'New|1|under maintenance', dry_run => true)$$, 'PT403', 'permission_denied', 'who may not close units for maintenance learns it from a dry run');
select is(pg_temp.import('Building|Unit|Status', 'New|1|vacant', dry_run => true) ->> 'status', 'checked', 'and may import everything else');

select * from finish();
rollback;
