-- What people type into rosters is read as they mean it, in the scripts they type it in; what could mean two things is refused.

begin;
select plan(34);

create function pg_temp.read(field text, cell text, decimal_mark text default '.', date_order text default 'dmy') returns text language sql as $$
  select coalesce(r.value, r.reason) || coalesce(' [' || r.remark || ']', '')
  from public.roster_fields f cross join lateral app.roster_read(f, app.roster_clean(cell), false, decimal_mark, date_order) r
  where f.key = field
$$;
create function pg_temp.read_all(field text, variadic cells text[]) returns text language sql as $$
  select string_agg(pg_temp.read(field, c), ' | ' order by n) from unnest(cells) with ordinality x (c, n)
$$;

-- Texts ----------------------------------------------------------------------------------------------------------------

select is(app.roster_clean(E'\ufeff  Иван\u00a0 \t Петров\u200b '), 'Иван Петров', 'a cell is stored without invisible characters and outer blanks, runs of white space being one space');
select is(app.roster_clean(E'Jose\u0301'), E'Jos\u00e9', 'letters are stored composed (NFC)');
select is(app.roster_clean(E'क्\u200dष'), E'क्\u200dष', 'a joiner belongs to the spelling of a Hindi name and stays');
select is(app.roster_clean(E' \u00a0\u3000 '), null, 'blanks of any kind are nothing');
select is(app.roster_words('  Teléfono (móvil) №: '), 'telefonomovilno', 'headers are compared without case, accents, spaces and punctuation');
select is(app.roster_words('ชื่อ-นามสกุล'), 'ชื่อนามสกุล', 'vowel signs are letters: Thai keeps them');
select isnt(app.roster_words('की'), app.roster_words('का'), 'and so does Hindi');
select is(app.roster_key(' 12 А/१ '), app.roster_key('12а/1'), 'numbers of units are compared without case, spaces and script of the digits');
select isnt(app.roster_key('1-2'), app.roster_key('12'), 'but with their punctuation');

-- Numbers --------------------------------------------------------------------------------------------------------------

select is(
  pg_temp.read_all('area', '71.5', '71,5', '1.234,56', '1,234.56', '1 234,56', E'1\u00a0234,56', E'1\u202f234,5', '1''234.5', '12,34,567.8', '१२३.५', '๗๑,๕', '71,5 кв.м', '71.5 m²', '34.5 ตร.ม.'),
  '71.5 | 71.5 | 1234.56 | 1234.56 | 1234.56 | 1234.56 | 1234.5 | 1234.5 | 1234567.8 | 123.5 | 71.5 | 71.5 | 71.5 | 34.5',
  'numbers are read with decimal comma and point, any thousands separator, any script''s digits, and their unit');
select is(pg_temp.read_all('area', '1,850 sq ft', '100 ft2') || ' | ' || pg_temp.read('area_sq_ft', '1850'), '171.87 | 9.29 | 171.87', 'square feet become square metres');
select is(pg_temp.read_all('area', 'big', '12 5', '71 km', '1.2.3', '5-6', '0', '-1', '1e3', '100000000'),
  'not_a_number | not_a_number | not_a_number | not_a_number | not_a_number | out_of_range | out_of_range | not_a_number | out_of_range',
  'what is no number, or no area, is not read as one');
select is(pg_temp.read('area', '1.234', '.') || ' ' || pg_temp.read('area', '1.234', ',') || ' ' || pg_temp.read('area', '1.234', null), '1.23 [rounded] 1234 ambiguous_number',
  'a lone 1.234 is read as the column is, and refused where the column does not tell');
select is(pg_temp.read_all('area', '0.875', '12.345678', '1234.567'), '0.88 [rounded] | 12.35 [rounded] | 1234.57 [rounded]', 'three digits behind a mark are decimals where they cannot be thousands');
select is(pg_temp.read_all('ownership_share', '50', '50 %', '33,3333333', '1/2', '1 / 3', '½', '500‰', '0', '100', '101', '-5', '1/0', 'half'),
  '50 | 50 [percent] | 33.333333 [rounded] | 50 [percent] | 33.333333 [percent] | 50 [percent] | 50 [percent] | 0 | 100 | out_of_range | out_of_range | not_a_number | not_a_number',
  'a share is a percentage, or a fraction');
select is(pg_temp.read_all('occupant_count', '3', '3.0', '२', '2.5', '1001', 'two'), '3 | 3 | 2 | not_a_number | out_of_range | not_a_number', 'people are counted in whole numbers');

-- Floors ---------------------------------------------------------------------------------------------------------------

select is(
  pg_temp.read_all('floor', '3', '-1', E'\u22121', '3rd floor', '3º', 'ет. 3', '3-ти', 'PB', 'planta baja', 'партер', 'Ground Floor', 'ชั้นล่าง', 'ชั้น 4', 'भूतल', 'मंजिल २', 'B2', 'sótano 1', 'сутерен'),
  '3 | -1 | -1 | 3 | 3 | 3 | 3 | 0 | 0 | 0 | 0 | 0 | 4 | 0 | 2 | -2 | -1 | -1', 'floors are read by number and by name');
select is(pg_temp.read_all('floor', '5-6', 'roof', '301', '1.5'), 'not_a_floor | not_a_floor | out_of_range | not_a_floor', 'a floor is one floor');

-- Dates ----------------------------------------------------------------------------------------------------------------

select is(
  pg_temp.read_all('since', '2019-03-01', '2019-03-01T00:00:00.000Z', '2019/3/1', '1.3.2019', '01.03.2019 г.', '01/03/2019', '1-3-2019', '1 March 2019', '1-Mar-2019', '1 de marzo de 2019', 'March 1, 2019', '1 март 2019', '1 मार्च 2019', '1 มี.ค. 2562', '01/03/2562', '๐๑/๐๓/๒๕๖๒'),
  array_to_string(array_fill('2019-03-01'::text, array[16]), ' | '), 'dates are read in the order of the country, by the name of the month, and in the Buddhist era');
select is(pg_temp.read('since', '03/04/2019', date_order => 'mdy'), '2019-03-04', 'the month comes first if the caller says so');
select is(pg_temp.read('since', '03/04/2019', date_order => null) || ' ' || pg_temp.read('since', '13/04/2019', date_order => null) || ' ' || pg_temp.read('since', '03.04.2019', date_order => null),
  'ambiguous_date 2019-04-13 2019-04-03', 'without an order, only what has one meaning is read');
select is(pg_temp.read('since', '25/12/2019', date_order => 'mdy'), 'not_a_date', 'a date against the order of the file is not turned round');
select is(pg_temp.read_all('since', '29.02.2019', '31.04.2020', '29.02.2020', '1.3.19', '43525', 'soon', '00.00.2000', '1.1.1500', '9999-12-31'),
  'not_a_date | not_a_date | 2020-02-29 | not_a_date | not_a_date | not_a_date | not_a_date | out_of_range | out_of_range', 'what the calendar does not know is no date; nor is a year of two digits');
select is(app.roster_date_order('BG') || app.roster_date_order('US') || coalesce(app.roster_date_order('PH'), '?'), 'dmymdy?', 'the country of the community decides the order, where it has one');

-- Terms ----------------------------------------------------------------------------------------------------------------

select is(pg_temp.read_all('unit_type', 'Departamento', 'АПАРТАМЕНТ', ' магазин ', 'Town-house', 'बंगला', 'ที่จอดรถ', 'bodega', 'spaceship'),
  'apartment | apartment | shop | house | house | parking | storage | unknown_value', 'types of units are known by their names in five languages');
select is(pg_temp.read_all('role', 'Co-owner', 'propietaria', 'наемател', 'मालिक', 'ผู้เช่า', 'hijo', 'boss'),
  'owner | owner | tenant | owner | tenant | family | unknown_value', 'so are roles');
select is(pg_temp.read_all('lives_in', 'Yes', 'sí', 'ДА', 'हाँ', 'ใช่', 'x', '✓', '1', 'TRUE', 'no', 'не', '0', 'ไม่', 'perhaps'),
  'true | true | true | true | true | true | true | true | true | false | false | false | false | unknown_value', 'and yes and no');
select is(pg_temp.read_all('locale', 'bg', 'ES_mx', 'zh-hant-tw', 'Español', 'हिन्दी', 'Klingon'), 'bg | es-MX | zh-Hant-TW | es | hi | invalid_locale', 'languages are known by code and by name');

-- How to reach people --------------------------------------------------------------------------------------------------

select is(pg_temp.read_all('email', 'Ivan.Petrov@Mail.example', 'Ivan <ivan@mail.example>', 'mailto:a@b.example', 'a@b.example; c@d.example', 'иван@поща.example', 'ivan@', 'a b@c.example'),
  'ivan.petrov@mail.example | ivan@mail.example | a@b.example | a@b.example [c@d.example] | иван@поща.example | invalid_email | invalid_email',
  'an address is read in lower case, without what mail programs put around it; of two the first is kept, with a remark');
select is(pg_temp.read_all('phone', '+359 88 555 0101', '(02) 981 11 22', '+359 (0) 88 555 0101', '०८०-५५५०१०१', '๐๘๑-๕๕๕-๐๑๐๑', E'\u200b088 555 0101\u200b', 'GSM: 0888/123-456', '0888 123 456, 02 123 456', '0888123456/0899123456', '12', 'none of your business'),
  '+359 88 555 0101 | 02 981 11 22 | +359 88 555 0101 | 080-5550101 | 081-555-0101 | 088 555 0101 | 0888/123-456 | 0888 123 456 [02 123 456] | 0888123456 [0899123456] | invalid_phone | invalid_phone',
  'a telephone number is read in digits of 0 to 9, whatever they were typed in');
select is(pg_temp.read_all('intercom_extension', '12 a', '#101', '๑๒', 'twelve!', '1234567890123'), '12A | #101 | 12 | invalid_intercom | invalid_intercom', 'an extension is what can be dialled');

-- Never an error -------------------------------------------------------------------------------------------------------

create function pg_temp.raised(field text) returns text language plpgsql as $$
declare
  cell text;
begin
  foreach cell in array array['', ' ', '-', '%', '/', '1/', '/2', '.', ',', '+', '--', '9999999999999999999999999999999999999999999', '1e400', '''; drop table units; --', '<script>', '\', '[', '(', '*', E'\u202e', '😀', '٣', 'NaN', 'Infinity', '-0', '2019-13-45', '0/0/0000', repeat('9', 300), repeat('a', 3000)] loop
    perform pg_temp.read(field, cell), pg_temp.read(field, cell, null, null);
  end loop;
  return null;
exception when others then
  return format('%s raises on %s: %s', field, left(cell, 40), sqlerrm);
end;
$$;
select is(string_agg(pg_temp.raised(f.key), '; '), null, 'no reader raises, whatever it is given') from public.roster_fields f;
select is(
  string_agg(distinct r.reason, ' '), null, 'every reason has a sentence for people')
from public.roster_fields f
cross join unnest(array['too_long', 'too_short', 'invalid_text', 'unknown_value', 'not_a_number', 'ambiguous_number', 'out_of_range', 'not_a_floor', 'not_a_date', 'ambiguous_date', 'invalid_email', 'invalid_phone', 'invalid_intercom', 'invalid_locale']) r (reason)
where app.roster_sentence(r.reason, f) in ('The value is not valid.', '') or app.roster_sentence(r.reason, f) is null;
select is(
  (select string_agg(v.value, ' ') from public.roster_value_synonyms v where not app.is_roster_term(v.vocabulary, v.value)), null, 'every synonym stands for a value that exists');

select * from finish();
rollback;
