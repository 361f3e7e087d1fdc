-- What rosters call their columns and values is kept as rows: who adds one changes what the next import understands.

begin;
select plan(29);

select tests.create_community('Alder');
select tests.create_supabase_user('manager'), tests.create_supabase_user('nobody');
select tests.grant_role('manager', 'manager', community => 'Alder');

create function pg_temp.fields(variadic headers text[]) returns text language sql as $$
  select string_agg(coalesce(c ->> 'field', '-'), ' ' order by n)
  from jsonb_array_elements(public.import_roster(tests.id('Alder'), headers, jsonb_build_array(to_jsonb(array_fill('1'::text, array[cardinality(headers)])))) -> 'columns') with ordinality x (c, n)
$$;

-- Headers --------------------------------------------------------------------------------------------------------------

select is(pg_temp.fields('Unit', 'Apt. No.', 'FLAT #', 'House number', 'Door-No'), 'unit_number - - - -', '(one column per field: the first)');
select is(pg_temp.fields('№ на апартамент', 'Етаж', 'Площ (кв. м)', 'Идеални части, %', 'Име и фамилия', 'E-mail', 'ГСМ'), 'unit_number floor area ideal_parts full_name email phone', 'headers are understood in Bulgarian');
select is(pg_temp.fields('CASA', 'superficie m²', 'Núm. de habitantes', 'Teléfono móvil', 'correo electronico', 'INDIVISO (%)'), 'unit_number area - phone email ideal_parts', 'in Spanish, with and without accents');
select is(pg_temp.fields('फ्लैट नंबर', 'मंज़िल', 'क्षेत्रफल (वर्ग फुट)', 'निवासी का नाम', 'भूमिका', 'मोबाइल'), 'unit_number floor area_sq_ft full_name role phone', 'in Hindi');
select is(pg_temp.fields('เลขที่ห้อง', 'ชั้น', 'พื้นที่ (ตร.ม.)', 'ชื่อ-นามสกุล', 'เบอร์โทร'), 'unit_number floor area full_name phone', 'in Thai');
select is(pg_temp.fields('Unit', E'\ufeffBuilding', E' Floor\u00a0', 'ΕΜΑΙL', 'Ｎａｍｅ'), 'unit_number building floor - full_name', 'with marks of the file, odd blanks and full-width letters; but not with letters that only look alike');
select is(pg_temp.fields('Unit', 'Carpet area (sq. ft.)') || ', ' || pg_temp.fields('Unit', 'Area, sqm') || ', ' || pg_temp.fields('Unit', 'Area (sq yd)'), 'unit_number area_sq_ft, unit_number area, unit_number -', 'square feet are not square metres, and a unit of area that nobody knows is neither');
select is(pg_temp.fields('Unit', 'Since (dd.mm.yyyy)', 'Name [as in the deed]', 'Phone №'), 'unit_number since full_name phone', 'what stands in brackets is a remark');
select is(pg_temp.fields('Unit', '', null), 'unit_number - -', 'a column without a header is left out');

-- Adding a synonym -----------------------------------------------------------------------------------------------------

insert into public.roster_header_synonyms (header, field, language) values ('Top Nr.', 'unit_number', 'de'), ('Stiege', 'entrance', 'de');
select is(pg_temp.fields('TOP-NR', 'Stiege'), 'unit_number entrance', 'a header that is added is understood, in a language of its own');
insert into public.roster_value_synonyms (term, vocabulary, value, language) values ('Wohnung', 'unit_type', 'apartment', 'de');
select is(public.import_roster(tests.id('Alder'), '{Unit,Type}', '[["1", "wohnung"], ["2", "Garten"]]') #>> '{refusals,0,value}', 'Garten', 'and so is a term');
update public.roster_header_synonyms set deleted_at = now() where header = 'Stiege';
select is(pg_temp.fields('Top Nr', 'Stiege'), 'unit_number -', 'one that is archived is not');

select throws_ok($$insert into public.roster_header_synonyms (header, field, language) values ('telefono', 'email', 'it')$$, '23P01', null, 'a header cannot mean two fields, whatever the language');
select throws_ok($$insert into public.roster_value_synonyms (term, vocabulary, value, language) values ('PROPIETARIO', 'role', 'tenant', 'it')$$, '23P01', null, 'nor a term two values of one vocabulary');
select lives_ok($$insert into public.roster_value_synonyms (term, vocabulary, value, language) values ('Propietario', 'role', 'owner', 'it')$$, 'it may mean the same in another language');
select throws_ok($$insert into public.roster_value_synonyms (term, vocabulary, value, language) values ('boss', 'role', 'king', 'en')$$, '23514', null, 'a term stands for a value that exists');
select throws_ok($$insert into public.roster_header_synonyms (header, field, language) values ('Pets', 'pets', 'en')$$, '23503', null, 'and a header for a field');
select throws_ok($$insert into public.roster_header_synonyms (header, field, language) values ('***', 'note', 'en')$$, '23514', null, 'a header has letters');
select throws_ok($$insert into public.roster_header_synonyms (header, field, language, example) values ('Remarks of all kinds', 'note', 'en', 'x')$$, '23505', null, 'a template has one header per field');
select throws_ok($$delete from public.roster_header_synonyms where header = 'Stiege'$$, 'PT409', 'delete_refused', 'synonyms are archived, not deleted');

-- Who may --------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('nobody');
select ok((select count(*) > 500 from public.roster_header_synonyms) and (select count(*) > 500 from public.roster_value_synonyms) and (select count(*) = 28 from public.roster_fields f where 'roster' = any (f.imports)), 'whoever is signed in may read fields and synonyms, to offer a mapping');
select is((select count(*) from public.roster_header_synonyms where header = 'Stiege'), 0::bigint, 'those that live');
select tests.authenticate_as('manager');
select throws_ok($$insert into public.roster_header_synonyms (header, field, language) values ('Türe', 'unit_number', 'de')$$, '42501', null, 'not even a manager may add any');
select throws_ok($$update public.roster_value_synonyms set value = 'owner' where term = 'tenant'$$, '42501', null, 'or change them');
select tests.authenticate_as_service_role();
select lives_ok($$insert into public.roster_header_synonyms (header, field, language) values ('Türe', 'unit_number', 'de')$$, 'the secret key may');
select tests.clear_authentication();
select throws_ok($$select * from public.roster_headers('en')$$, '42501', null, 'nobody reads them without signing in');
select tests.as_studio();

-- Templates ------------------------------------------------------------------------------------------------------------

select is((select string_agg(field, ' ') from (select field from public.roster_headers('bg') limit 4) x), 'building entrance unit_number unit_type', 'a template has the fields in their order');
select results_eq($$select * from public.roster_headers('es-MX')$$, $$select * from public.roster_headers('ES')$$, 'a language may come with its region');
select throws_ok($$select * from public.roster_headers('xx')$$, 'PT422', 'unknown_language', 'a language without a template is refused');

select * from finish();
rollback;
