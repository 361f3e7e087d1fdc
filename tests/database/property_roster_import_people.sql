-- A person is found again by reference, identity number, e-mail, telephone, company name, or the name within the unit: in the
-- file and in the database by the same rules. Whoever cannot be told apart is refused; whoever is not found is new.

begin;
select plan(61);

create function pg_temp.rows(file text) returns jsonb language sql as $$
  select coalesce(jsonb_agg(to_jsonb(string_to_array(btrim(line), '|', '')) order by n), '[]') from string_to_table(btrim(file, E'\n'), E'\n') with ordinality x (line, n)
$$;
-- What an import did to people and occupancies: created+updated~unchanged.
create function pg_temp.import(headers text, file text, community text) returns text language plpgsql as $$
declare
  r jsonb;
begin
  r := public.import_roster(tests.id(community), string_to_array(headers, '|'), pg_temp.rows(file), dry_run => false);
  return (select string_agg(format('%s+%s~%s', x ->> 'create', x ->> 'update', x ->> 'unchanged'), ' ' order by n)
    from unnest(array[r #> '{totals,residents}', r #> '{totals,occupancies}']) with ordinality y (x, n));
exception when sqlstate 'PT422' then
  declare
    told text;
  begin
    get stacked diagnostics told = pg_exception_detail;
    return (select string_agg(concat_ws(' ', p ->> 'row', p ->> 'column', p ->> 'reason'), ', ' order by n) from jsonb_array_elements(told::jsonb -> 'refusals') with ordinality y (p, n));
  end;
end;
$$;
create function pg_temp.people(community text) returns text language sql as $$
  select string_agg(concat_ws(' ', r.full_name, r.kind, r.reference, d.email, d.phone, d.identity_number,
    (select '[' || string_agg(u.number || ' ' || o.role, ', ' order by u.number, o.role) || ']' from public.occupancies o join public.units u on u.id = o.unit_id where o.resident_id = r.id)), '; ' order by r.full_name, r.id)
  from public.residents r left join public.resident_details d on d.resident_id = r.id where r.community_id = tests.id(community)
$$;
select tests.create_community(c) from unnest(array['By reference', 'By identity', 'By email', 'By phone', 'Companies', 'By name', 'Doubles', 'Names', 'Kinds', 'Roles', 'Contacts', 'Neighbour', 'Houses', 'Merged', 'Block', 'Shuffle', 'Notes', 'Households']) c;

-- Reference ------------------------------------------------------------------------------------------------------------

select is(pg_temp.import('Unit|Name|Role|Reference|Email', E'1|Ivan Petrov|owner|R-1|ivan@mail.example\n2|Ivan Petrov|owner|R-1|\n3|Ivan Petrov|owner|R-2|', 'By reference'), '2+0~0 3+0~0', 'one reference is one person, two are two, whatever the names');
select is(pg_temp.import('Unit|Name|Role|Reference|Email', E'1|Ivan P. Petroff|owner|r-1|new@mail.example\n4|Somebody|tenant|R-3|', 'By reference'), '1+1~0 1+0~1', 'a reference finds the person again, with another name and address');
select is(pg_temp.import('Unit|Role|Reference', E'5|tenant|R-2\n6|tenant|R-9', 'By reference'), '3 Reference name_missing', 'a row may name a person by reference alone, if there is one');
select is(pg_temp.import('Unit|Role|Reference', '5|tenant|R-2', 'By reference'), '0+0~1 1+0~0', '(as there is here)');
select is(pg_temp.people('By reference'), 'Ivan P. Petroff person R-1 new@mail.example [1 owner, 2 owner]; Ivan Petrov person R-2 [3 owner, 5 tenant]; Somebody person R-3 [4 tenant]', 'nobody is there twice');

-- Identity number ------------------------------------------------------------------------------------------------------

select is(pg_temp.import('Unit|Name|Role|ID number', E'1|Ana|owner|AB 123-456\n2|Ana K.|owner|ab123456\n3|Ana|owner|AB 999', 'By identity'), '3 Name contradiction', 'one identity number is one person, who has one name');
select is(pg_temp.import('Unit|Name|Role|ID number', E'1|Ana|owner|AB 123-456\n2|Ana|owner|ab123456\n3|Ana|owner|AB 999', 'By identity'), '2+0~0 3+0~0', 'written with other spaces it is the same');
select is(pg_temp.import('Unit|Name|Role|ID number|Reference', '1|Ana Kirova|owner|AB123456|R-1', 'By identity'), '0+1~0 0+0~1', 'it finds the person again, who may get a reference then');
select is(pg_temp.people('By identity'), 'Ana person AB 999 [3 owner]; Ana Kirova person R-1 AB 123-456 [1 owner, 2 owner]', '(as is seen)');
select is(pg_temp.import('Unit|Name|Role|ID number', '3|Ana|owner|AB 998', 'By identity'), '1+0~0 1+0~0', 'another number is another person, of the same name and in the same unit');

-- E-mail and telephone -------------------------------------------------------------------------------------------------

select is(pg_temp.import('Unit|Name|Role|Email', E'1|Ana|owner|family@mail.example\n1|Boris|owner|family@mail.example\n2|ANA|owner|Family@mail.example', 'By email'), '2+0~0 3+0~0', 'an address and a name are one person; a couple may share the address');
select is(pg_temp.import('Unit|Name|Role|Email', '3|Ana|owner|family@mail.example', 'By email'), '0+0~1 1+0~0', 'they find the person again, in another unit');
select is(pg_temp.import('Unit|Name|Role|Email', '3|Ana|owner|ana@mail.example', 'By email'), '0+1~0 0+0~1', 'a new address is a correction, where the unit tells who it is');
select is(pg_temp.import('Unit|Name|Role|Phone', E'1|Ana|owner|+359 88 555 0101\n2|Ana|owner|088 555 01 01\n3|Ana|owner|088 555 0102', 'By phone'), '2+0~0 3+0~0', 'a telephone and a name are one person, with or without the country''s code');
select is(pg_temp.import('Unit|Name|Role|Phone|Email', '4|Ana|owner|00359885550101|ana@mail.example', 'By phone'), '0+1~0 1+0~0', 'they find the person again, who may get an address then');

-- Companies and names --------------------------------------------------------------------------------------------------

select is(pg_temp.import('Unit|Name|Role', E'1|"Инвест Дом" ЕООД|owner\n2|Инвест Дом ЕООД|owner\n3|Ivan Ivanov|owner\n4|Ivan Ivanov|owner', 'Companies'), '3+0~0 4+0~0', 'a company is one wherever its name stands; two people of one name in two units stay two');
select is(pg_temp.import('Unit|Name|Role', E'5|ИНВЕСТ ДОМ ЕООД|owner\n3|IVAN IVANOV|owner', 'Companies'), '0+2~0 1+0~1', 'and so in the database: a name finds a company anywhere and a person in the own unit');
select is(pg_temp.import('Unit|Name|Role', E'1|José Pérez|owner\n1|Jose Perez|tenant', 'By name'), '1+0~0 2+0~0', 'within a unit a name is one person, with and without accents, in two roles');
select is(pg_temp.import('Unit|Name|Role|Email', '1|Jose Perez|owner|jose@mail.example', 'By name'), '0+1~0 0+0~1', 'who is found again by it');
select is(pg_temp.import('Unit|Name|Role', E'1|Biliana OOD|owner\n2|ЕТ Иван Петров|owner\n3|Abarrotes Lupita S.A. de C.V.|owner\n4|บริษัท เชียงใหม่ จำกัด|owner\n5|Palm Estates Pvt. Ltd.|owner\n6|Maria Sá|owner\n7|Ет Иванова|owner\n8|Limited Edition Smith|owner\n9|शर्मा एंड संस प्राइवेट लिमिटेड|owner', 'Kinds'),
  '9+0~0 9+0~0', '(companies and people)');
select is(
  (select string_agg(r.full_name || ' ' || r.kind, ', ' order by n.number) from public.units n join public.occupancies o on o.unit_id = n.id join public.residents r on r.id = o.resident_id where n.community_id = tests.id('Kinds')),
  'Biliana OOD company, ЕТ Иван Петров company, Abarrotes Lupita S.A. de C.V. company, บริษัท เชียงใหม่ จำกัด company, Palm Estates Pvt. Ltd. company, Maria Sá person, Ет Иванова person, Limited Edition Smith person, शर्मा एंड संस प्राइवेट लिमिटेड company',
  'a legal form makes a company, in the place and the letters in which it is one');
select is(pg_temp.import('Unit|Name|Role|Kind', '1|Biliana OOD|owner|person', 'Kinds'), '0+1~0 0+0~1', 'a column that says so decides');

-- Who cannot be told apart ---------------------------------------------------------------------------------------------

select is(pg_temp.import('Unit|Name|Role|Reference', E'1|Ivan Petrov|owner|R-1\n1|Ivan Petrov|family|R-2', 'Doubles'), '2+0~0 2+0~0', 'a father and a son of one name and unit, told apart by references');
select is(pg_temp.import('Unit|Name|Role', '1|Ivan Petrov|owner', 'Doubles'), '2 Name ambiguous_person', 'without one it could be either, and is refused');
select is(pg_temp.import('Unit|Name|Role|Reference|Phone', E'1|Ivan Petrov|owner|R-1|088 555 0101\n1|Ivan Petrov|family|R-2|088 555 0102', 'Doubles'), '0+2~0 0+0~2', '(with them everything is clear)');
select is(pg_temp.import('Unit|Name|Role|Phone', '1|Ivan Petrov|family|088 555 0102', 'Doubles'), '0+0~1 0+0~1', 'a telephone tells them apart as well');
select is(pg_temp.import('Unit|Name|Role|Reference', E'7|Ivan Petrov|owner|R-1\n7|Ivan Petrov|owner|\n7|Ivan Petrov|family|R-2', 'Doubles'), '3 Name ambiguous_person', 'also within the file');

-- Names in parts -------------------------------------------------------------------------------------------------------

select is(pg_temp.import('Unidad|Nombre|Apellido paterno|Apellido materno|Calidad', E'1|Rosa|Martínez|Díaz|propietaria\n2|Jorge Ruiz|Ruiz||inquilino\n3||Solís||propietario', 'Names'), '3+0~0 3+0~0', 'a name may stand in several columns');
select is(pg_temp.people('Names'), 'Jorge Ruiz person [2 tenant]; Rosa Martínez Díaz person [1 owner]; Solís person [3 owner]', 'and is put together once');

-- Roles and who lives there --------------------------------------------------------------------------------------------

select is(pg_temp.import('Unit|Name|Role|Status', E'1|Ana|owner|\n2|Boris|owner|\n2|Clara|tenant|\n3|Dan|owner|vacant\n4|Eva|authorized|\n5|Filip|family|\n6|Gina|guest|', 'Roles'), '7+0~0 7+0~0', '(units owned, let, vacant, represented, lived in)');
select is((select string_agg(r.full_name || ' ' || o.is_living_in || ' ' || u.status, ', ' order by r.full_name) from public.occupancies o join public.residents r on r.id = o.resident_id join public.units u on u.id = o.unit_id where o.community_id = tests.id('Roles')),
  'Ana true occupied, Boris false occupied, Clara true occupied, Dan false vacant, Eva false vacant, Filip true occupied, Gina true occupied', 'who is not told to live in the unit does, but owners who let it or leave it vacant and those who only act for it');
select is(pg_temp.import('Unit|Name|Phone', E'2|Clara|088 555 0101\n1|Ana|088 555 0102', 'Roles'), '0+2~0 0+0~2', 'a list without roles keeps those that people have');

-- Primary contacts and periods that change places ----------------------------------------------------------------------

select is(pg_temp.import('Unit|Name|Role|Primary contact|Since|Until', E'1|Ana|owner|yes|2020-01-01|2022-12-31\n1|Boris|owner|yes|2023-01-01|', 'Contacts'), '2+0~0 2+0~0', '(two primary contacts, one after the other)');
select is(pg_temp.import('Unit|Name|Role|Primary contact|Since|Until', E'1|Ana|owner|yes|2020-01-01|2023-12-31\n1|Boris|owner|yes|2024-01-01|', 'Contacts'), '0+0~2 0+2~0', 'the day between them moves, in whichever order the rows are written');
select is(pg_temp.import('Unit|Name|Role|Primary contact|Since|Until', E'1|Boris|owner|yes|2023-06-01|\n1|Ana|owner|yes|2020-01-01|2023-05-31', 'Contacts'), '0+0~2 0+2~0', 'and back');
select is(pg_temp.import('Unit|Name|Role|Since|Until', E'1|Ana|tenant|2010-01-01|2011-12-31\n1|Ana|tenant|2012-01-01|2013-12-31', 'Shuffle'), '1+0~0 2+0~0', '(two times of one tenant)');
select is(pg_temp.import('Unit|Name|Role|Since|Until', E'1|Ana|tenant|2010-01-01|2010-12-31\n1|Ana|tenant|2011-01-01|2013-12-31', 'Shuffle'), '0+0~1 0+2~0', 'one grows into what the other leaves');

-- Where units stand ----------------------------------------------------------------------------------------------------

select is(pg_temp.import('Entrance|Unit|Name|Role', E'A|1|Ana|owner\nB|2|Boris|owner\n|3|Clara|owner', 'Block'), '3+0~0 3+0~0', '(entrances without a building)');
select is((select string_agg(concat_ws(' ', b.name, e.name, u.number, u.type), ', ' order by u.number) from public.units u left join public.buildings b on b.id = u.building_id left join public.entrances e on e.id = u.entrance_id where u.community_id = tests.id('Block')),
  'Block A 1 apartment, Block B 2 apartment, Block 3 apartment', 'a file with entrances and no building is about one, called as the community');
select is(pg_temp.import('Unit|Name|Role', E'1|Ana|owner\n12|Boris|tenant', 'Houses'), '2+0~0 2+0~0', '(houses)');
select is((select string_agg(concat_ws(' ', u.building_id is null, u.type), ', ') from public.units u where u.community_id = tests.id('Houses')), 't house, t house', 'a file with neither is about houses');

-- Households -----------------------------------------------------------------------------------------------------------

create function pg_temp.stays() returns text language sql as $$
  select string_agg(concat_ws(' ', r.full_name, o.ends_on), ', ' order by r.full_name)
  from public.occupancies o join public.residents r on r.id = o.resident_id where o.community_id = tests.id('Households') and o.deleted_at is null
$$;
select is(pg_temp.import('Unit|Name|Role|Since|Until', E'1|Tom|tenant|2020-01-01|2022-12-31\n1|Fay|family|2020-01-01|2031-12-31\n1|Gus|guest|2021-01-01|', 'Households'), '3+0~0 3+0~0', '(a tenant, family that the file lets stay longer, and a guest of whom it does not say)');
select is(pg_temp.stays(), 'Fay 2022-12-31, Gus 2022-12-31, Tom 2022-12-31', 'nobody stays longer than the host');
select is(pg_temp.import('Unit|Name|Role|Since|Until', E'1|Tom|tenant|2020-01-01|2022-12-31\n1|Fay|family|2020-01-01|2031-12-31\n1|Gus|guest|2021-01-01|', 'Households'), '0+0~3 0+0~3', 'and the same file again changes nothing');
select is(pg_temp.import('Unit|Name|Role|Until', '1|Tom|tenant|2023-06-30', 'Households') || ': ' || pg_temp.stays(), '0+0~1 0+2~0: Fay 2023-06-30, Gus 2022-12-31, Tom 2023-06-30', 'family stays on with the host, and is told of');
select is(pg_temp.import('Unit|Name|Role|Until', '1|Tom|tenant|2022-06-30', 'Households') || ': ' || pg_temp.stays(), '0+0~1 0+3~0: Fay 2022-06-30, Gus 2022-06-30, Tom 2022-06-30', 'all go with the host, and are told of, though the file does not name them');
select is(pg_temp.import('Unit|Name|Role|Until', E'1|Tom|tenant|2022-12-31\n1|Fay|family|2022-06-30', 'Households') || ': ' || pg_temp.stays(), '0+0~2 0+1~1: Fay 2022-06-30, Gus 2022-06-30, Tom 2022-12-31', 'but not where the file says until when');
select is(pg_temp.import('Unit|Name|Role|Since|Until', E'2|Olga|owner|2020-06-30|2020-07-01\n2|Guy|guest|2023-12-31|', 'Households'), '2+0~0 2+0~0', '(a guest without a host)');
select is(pg_temp.import('Unit|Name|Role|Since|Until', '2|Guy|guest|2020-06-30|2024-06-30', 'Households'), '0+0~1 0+1~0', 'who came earlier, by a host who left earlier');
select is((select concat_ws(' ', o.starts_on, o.ends_on) from public.occupancies o join public.residents r on r.id = o.resident_id where r.full_name = 'Guy' and o.community_id = tests.id('Households')), '2020-06-30 2020-07-01', 'gets days that do not meet those of before');
select is(pg_temp.import('Unit|Name|Role|Since|Until', E'3|Tina|tenant|2080-01-01|\n3|Finn|family|2090-01-01|', 'Households'), '2+0~0 2+0~0', '(family that comes later than the tenant)');
update public.occupancies o set host_id = h.resident_id
from public.occupancies h
where o.community_id = tests.id('Households') and o.starts_on = '2090-01-01' and h.community_id = o.community_id and h.starts_on = '2080-01-01';
select is(pg_temp.import('Unit|Name|Role|Until', E'3|Tina|tenant|2085-12-31\n3|Finn|family|', 'Households'), '3 Until ends_with_host', 'whoever would come when the host has left is refused');
select is(pg_temp.import('Unit|Name|Role|Until', '3|Tina|tenant|2085-12-31', 'Households'), '2 Until ends_with_host', 'also where the file does not name them');

-- Merged ---------------------------------------------------------------------------------------------------------------

select is(pg_temp.import('Unit|Name|Role|Share|Reference', E'1|Ivan Petrov|owner|50|\n1|Ivan Petroff|owner|50|R-7\n2|Ivan Petroff|tenant||R-7', 'Merged'), '2+0~0 3+0~0', '(one person by two names)');
create temporary table named as select full_name, id from public.residents where community_id = tests.id('Merged');
select public.merge_residents((select id from named where full_name = 'Ivan Petrov'), (select id from named where full_name = 'Ivan Petroff'), 'one person');
create function pg_temp.live() returns text language sql as $$ select string_agg(full_name, ', ' order by full_name) from public.residents where community_id = tests.id('Merged') and deleted_at is null $$;
select is(pg_temp.import('Unit|Name|Role', E'1|Ivan Petrov|owner\n1|Ivan Petroff|owner', 'Merged'), '3 Name person_merged, 3 ownership_share shares_not_whole', 'a record that was merged into another is not made anew by its name in the unit');
select is(pg_temp.import('Unit|Name|Role', '2|Ivan Petroff|tenant', 'Merged'), '2 Name person_merged', 'nor in the unit that it brought along');
select is(pg_temp.live(), 'Ivan Petrov', 'and there is one person as before');
update public.residents set reference = 'R-1' where id = (select id from named where full_name = 'Ivan Petrov');
select is(pg_temp.import('Unit|Role|Reference|Name', '9|tenant|R-7|Somebody', 'Merged'), '2 Name person_merged', 'nor by its reference');
select is(pg_temp.import('Unit|Name|Role', '9|Ivan Petroff|owner', 'Merged'), '1+0~0 1+0~0', 'somebody of that name elsewhere is somebody else');
select is(pg_temp.live(), 'Ivan Petroff, Ivan Petrov', 'whom there is now');
select is(pg_temp.import('Unit|Name|Role', '1|Ivan Petrov|owner', 'Merged'), '0+0~1 0+0~1', 'who stayed is found as ever');

select * from finish();
rollback;
