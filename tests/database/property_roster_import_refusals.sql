-- Whatever is wrong with a roster is named by row, column and reason; what is only odd is warned of.

begin;
select plan(74);

create function pg_temp.rows(file text) returns jsonb language sql as $$
  select coalesce(jsonb_agg(to_jsonb(string_to_array(btrim(line), '|', '')) order by n), '[]') from string_to_table(btrim(file, E'\n'), E'\n') with ordinality x (line, n)
$$;
create function pg_temp.problems(report jsonb, kind text) returns text language sql as $$
  select coalesce(string_agg(concat_ws(' ', p ->> 'row', p ->> 'column', p ->> 'reason'), ', ' order by n), 'none') from jsonb_array_elements(report -> kind) with ordinality x (p, n)
$$;
create function pg_temp.import(headers text, file text, mapping jsonb default null) returns jsonb language sql as $$
  select public.import_roster(tests.id('Alder'), string_to_array(headers, '|'), pg_temp.rows(file), mapping, dry_run => false)
$$;
-- A dry run and the import itself: both must say the same, and what is refused must leave nothing.
create function pg_temp.refused(headers text, file text, mapping jsonb default null) returns text language plpgsql as $$
declare
  dry constant jsonb := public.import_roster(tests.id('Alder'), string_to_array(headers, '|'), pg_temp.rows(file), mapping);
  entries constant bigint := (select count(*) from audit.log);
  detail text;
begin
  begin
    perform pg_temp.import(headers, file, mapping);
    return 'stored';
  exception when others then
    get stacked diagnostics detail = pg_exception_detail;
    if sqlstate <> 'PT422' or sqlerrm <> 'roster_refused' then
      return sqlstate || ' ' || sqlerrm;
    elsif detail::jsonb -> 'refusals' <> dry -> 'refusals' or dry ->> 'status' <> 'refused' then
      return 'the dry run says otherwise';
    elsif (select count(*) from audit.log) <> entries then
      return 'something was stored';
    end if;
  end;
  return pg_temp.problems(dry, 'refusals');
end;
$$;
create function pg_temp.warned(headers text, file text, mapping jsonb default null) returns text language sql as $$
  select case r ->> 'status' when 'checked' then '' else 'refused, ' end || pg_temp.problems(r, 'warnings')
  from public.import_roster(tests.id('Alder'), string_to_array(headers, '|'), pg_temp.rows(file), mapping) r
$$;

select tests.create_community('Alder');
select is(pg_temp.import('Building|Entrance|Unit|Name|Role|Share|Primary contact|Since|Until|Email|Reference', $$
  Main|A|1|Ana Kirova|owner|100|yes|2020-01-01||ana@mail.example|R-1
  Main|A|2|Boris Lazov|owner|50|yes|2020-01-01||boris@mail.example|
  Main|A|2|Clara Lazova|owner|50|no|2020-01-01|||
  Main|A|3|Dan Mitev|tenant||yes|2020-01-01|2020-12-31||
  Main|A|3|Dan Mitev|tenant||yes|2022-01-01|||
  Side||1|Eva Neva|owner|100|yes|2020-01-01|||
$$) ->> 'status', 'applied', '(a community with two buildings)');

-- The file -------------------------------------------------------------------------------------------------------------

select is(pg_temp.refused('Foo|Name', 'x|Ana'), '1 unit_column_missing', 'a roster has a column for the number of the unit');
select is(pg_temp.refused('Unit|Name', ''), '2 no_rows', 'and rows');
select is(pg_temp.refused('Unit|Flat no|Name', '9|9|Ana'), '1 Flat no duplicate_column', 'and one column per field');
select is(pg_temp.warned('Unit|Flat no|Name|Role', '9|9|Ana|owner', '{"Flat no": null}'), 'none', 'unless one is left out by the mapping');
select is(pg_temp.refused('Unit', '9|10|11'), '2 (column 2) extra_cells', 'a row has no more cells than there are headers');
select is(pg_temp.refused('Building|Unit|Name|Role', E'Main|9|Ana|owner\nMain||Boris|owner'), '3 Unit unit_missing', 'every row says which unit it is about');
select is(pg_temp.warned('Unit|Shoe size', '9|43'), '1 Shoe size unmapped_column', 'a header that nobody knows is warned of');
select is(pg_temp.warned('Unit|Shoe size', '9|'), 'none', 'unless its column is empty');
select is(pg_temp.warned('Unit|Shoe size', '9|43', '{"shoe SIZE": "occupant_count", "Hat size": null}'), '1 Hat size mapping_unused', 'the mapping says what it means; a header of the mapping that the file lacks is warned of');

-- Cells ----------------------------------------------------------------------------------------------------------------

select is(pg_temp.refused('Building|Unit|Type|Floor|Area|Ideal parts|Residents|Intercom|Status', 'Main|9|boat|roof|big|-1|2.5|12!|weird'),
  '2 Type unknown_value, 2 Floor not_a_floor, 2 Area not_a_number, 2 Ideal parts out_of_range, 2 Residents not_a_number, 2 Intercom invalid_intercom, 2 Status unknown_value', 'what is told of a unit has to make sense');
select is(pg_temp.refused('Building|Unit|Name|Kind|Role|Share|Lives in|Primary contact|Since|Until|Email|Phone|ID number|Language', 'Main|9|Ana|robot|king|200|perhaps|maybe|soon|later|a@|1|x|Klingon'),
  '2 Kind unknown_value, 2 Role unknown_value, 2 Share out_of_range, 2 Lives in unknown_value, 2 Primary contact unknown_value, 2 Since not_a_date, 2 Until not_a_date, 2 Email invalid_email, 2 Phone invalid_phone, 2 ID number too_short, 2 Language invalid_locale',
  'and what is told of people too, all in one report');
select is(pg_temp.refused('Building|Unit|Name|Role', format('%s|%s|%s|owner', repeat('b', 201), repeat('1', 41), repeat('n', 201))), '2 Building too_long, 2 Unit too_long, 2 Name too_long', 'texts have their lengths');
select is(pg_temp.refused('Unit|Name|Role', E'9|A\x01na|owner'), '2 Name invalid_text', 'and no control characters');
select is(pg_temp.refused('Unit|Name|Role', '9|#REF!|owner'), '2 Name invalid_text', 'nor what a spreadsheet shows where a formula failed');
select is(pg_temp.refused('Unit|Area|Ideal parts', E'11|71,5|1,5\n12|71.5|1,5\n13|1.234|1.234'), '4 Area ambiguous_number', 'a number that could mean two things is refused where its column uses both marks, not where another column does');
select is(pg_temp.warned('Unit|Ideal parts|Area', E'11|1.234567|70\n12|1.2345678|71.555'), '3 Ideal parts rounded, 3 Area rounded, Ideal parts ideal_parts_difference' , 'what has more decimals than are stored is rounded, with one warning per column');
select is(pg_temp.warned('Unit|Name|Role|Share', E'9|Ana|owner|0.5\n9|Boris|owner|0,5'), '1 Share shares_as_fractions', 'shares none of which exceeds 1 are parts of one');
select is(pg_temp.refused('Unit|Name|Role|Share', E'9|Ana|owner|0.5 %\n9|Boris|owner|0,5'), '3 Share shares_not_whole', 'unless one has a percent sign');
select is(pg_temp.warned('Unit|Name|Role|Email|Phone', '9|Ana|owner|a@b.example, c@d.example|088 555 0101; 02 555 0101'), '2 Email several_values, 2 Phone several_values', 'of two addresses the first is kept, with a warning');
select is(pg_temp.warned('Unit|Name|Role|Share|Area', E'9|n/a|-|—|няма\n10|VACANT|||'), 'none', 'dashes and words for nothing are nothing, and so is "vacant" for a name');

-- Units ----------------------------------------------------------------------------------------------------------------

select is(pg_temp.refused('Building|Unit|Area|Floor', E'Main|9|70|1\nMain|9||\nmain|9|71|1'), '4 Area contradiction', 'rows of one unit must not contradict each other; blanks do not');
select is(pg_temp.refused('Building|Entrance|Unit', E'Main|A|9\nMain|B|9'), '3 Entrance contradiction', 'a unit has one entrance');
select is(pg_temp.refused('Entrance|Unit', 'A|9'), '2 Entrance building_missing', 'an entrance belongs to a building, which has to be named where there are two');
select is(pg_temp.refused('Unit|Area', '1|70'), '2 Unit building_missing', 'a number that two buildings have does not say which');
select is(pg_temp.warned('Unit|Area', E'2|70\n3|70'), 'none', 'one that only one building has does');
select is(pg_temp.warned('Building|Unit|Name|Role', E'Main|2|Boris Lazov|owner\n|2|Clara Lazova|owner'), 'none', 'a blank building is that of the row above, if the unit is');
select is(pg_temp.warned('Building|Entrance|Unit', E'Main|A|7\nMain|А|8\nMаin|A|9'), '3 Entrance looks_alike, 4 Building looks_alike', 'Cyrillic А and Latin A are two letters, and warned of');

-- People ---------------------------------------------------------------------------------------------------------------

select is(pg_temp.refused('Building|Unit|Name|Role|Share', E'Main|9||owner|\nMain|10|||50'), '2 Role name_missing, 3 Share name_missing', 'a role or a share is somebody''s');
select is(pg_temp.refused('Building|Unit|Name|Role|Email', 'Main|9||owner|x@mail.example'), '2 Name name_missing', 'a new person has a name');
select is(pg_temp.refused('Building|Unit|Name|Role', 'Main|9|Ana|'), '2 Role role_missing', 'and a role in the unit, where the file has a column for it');
select is(pg_temp.warned('Building|Unit|Name', 'Main|9|Ana'), '1 role_assumed', 'where it has none, whoever is new is an owner');
select is(pg_temp.warned('Building|Unit|Name|Role|Note', 'Main|9|||leaking'), '2 Note not_stored', 'a note is about somebody');
select is(pg_temp.refused('Building|Unit|Name|Role|Email|Phone', E'Main|9|Ana|owner|a@mail.example|088 555 0101\nMain|9|Ana|family|b@mail.example|088 555 0101'), '3 Email contradiction', 'rows of one person must not contradict each other');
select is(pg_temp.refused('Building|Unit|Name|Role|Reference', E'Main|9|Ana|owner|7\nMain|10|Maria|owner|7'), '3 Name contradiction', 'a reference is one person''s');
select is(pg_temp.refused('Building|Unit|Name|Role|Reference', E'Main|9|Ivan|owner|7\nMain|9|Ivan|owner|8\nMain|9|Ivan|tenant|'), '4 Name ambiguous_person', 'who could be either of two is refused');
select is(pg_temp.warned('Building|Unit|Name|Role', E'Main|9|Ivan Ivanov|owner\nMain|10|IVAN IVANOV|owner'), '3 Name same_name', 'two people of one name in two units are warned of');
select is(pg_temp.warned('Building|Unit|Name|Role|Email', E'Main|9|Ivan Ivanov|owner|a@mail.example\nMain|10|Ivan Ivanov|owner|b@mail.example'), 'none', 'unless something tells them apart');
select is(pg_temp.warned('Building|Unit|Name|Role|Email', 'Main|2|Boris Lazof|family|boris@mail.example'), '2 Name renamed', 'a new name at a known address of the same unit is warned of');

-- Occupancies ----------------------------------------------------------------------------------------------------------

select is(pg_temp.refused('Building|Unit|Name|Role|Since|Until', 'Main|9|Ana|tenant|2022-01-01|2021-12-31'), '2 Until until_before_since', 'nobody leaves before coming');
select is(pg_temp.refused('Building|Unit|Name|Role|Until', 'Main|2|Boris Lazov|owner|2019-12-31'), '2 Until until_before_since', 'also as the records have it');
select is(pg_temp.refused('Building|Unit|Name|Role|Since|Until', E'Main|9|Ana|tenant|2020-01-01|2020-12-31\nMain|9|Ana|tenant|2020-06-01|'), '3 Since occupancy_overlap', 'nobody is a tenant twice at a time');
select is(pg_temp.refused('Building|Unit|Name|Role|Since', 'Main|3|Dan Mitev|tenant|2020-06-01'), 'stored', 'a first day that is corrected belongs to the time it lies in');
select is(pg_temp.refused('Building|Unit|Name|Role|Since', 'Main|3|Dan Mitev|tenant|2021-06-01'), 'stored', 'or to the nearest');
select is(
  (select string_agg(o.starts_on || coalesce(' ' || o.ends_on, ''), ', ' order by o.starts_on) from public.occupancies o join public.residents r on r.id = o.resident_id where r.full_name = 'Dan Mitev'),
  '2020-06-01 2020-12-31, 2021-06-01', '(and moves nothing else)');
select is(pg_temp.refused('Building|Unit|Name|Role|Since|Until', 'Main|3|Dan Mitev|tenant|2019-01-01|2022-12-31'), '2 Since occupancy_overlap', 'one that would swallow another is refused');
select is(pg_temp.refused('Building|Unit|Name|Role|Since', E'Main|9|Ana|tenant|2018-01-01\nMain|9|Ana|tenant|2022-01-01\nMain|9|Ana|tenant|'), '3 Since occupancy_overlap, 4 Since since_missing', 'which of two times is meant has to be said');
select is(pg_temp.refused('Building|Unit|Name|Role|Share', 'Main|9|Ana|tenant|50'), '2 Share share_not_owner', 'only owners have shares');
select is(pg_temp.warned('Building|Unit|Name|Role|Share', 'Main|9|Ana|tenant|0'), 'none', 'a tenant''s 0 is none');
select is(pg_temp.refused('Building|Unit|Name|Role|Share', 'Main|9|Ana|owner|0'), '2 Share out_of_range', 'an owner''s is not');
select is(pg_temp.refused('Building|Unit|Name|Role|Share', E'Main|9|Ana|owner|60\nMain|9|Boris|owner|50'), '3 Share shares_not_whole', 'owners own the whole together, not more');
select is(pg_temp.refused('Building|Unit|Name|Role|Share', 'Main|1|New Owner|owner|100'), '2 Share shares_not_whole', 'with those whom the file does not name');
select is(pg_temp.warned('Building|Unit|Name|Role|Share|Since|Until', E'Main|1|Ana Kirova|owner|||2023-12-31\nMain|1|New Owner|owner|100|2024-01-01|'), 'none', 'unless they have left');
select is(pg_temp.refused('Building|Unit|Name|Role|Share|Since', E'Main|9|Ana|owner|100|2020-01-01\nMain|9|Boris|owner|100|2199-01-01'), '3 Share shares_not_whole', 'on every day to come');
select is(pg_temp.warned('Building|Unit|Name|Role|Share', E'Main|9|Ana|owner|1/3\nMain|9|Boris|owner|1/3\nMain|9|Clara|owner|1/3'), 'none', 'three thirds are a whole');
select is(pg_temp.warned('Building|Unit|Name|Role|Share', (select string_agg(format('Main|9|Owner %s|owner|1/6', i), E'\n') from generate_series(1, 6) i)), 'none', 'and so are six sixths');
select is(pg_temp.refused('Building|Unit|Name|Role|Share', E'Main|9|Ana|owner|50\nMain|9|Boris|owner|25'), '3 Share shares_not_whole', 'nor less');
select is(pg_temp.refused('Building|Unit|Name|Role|Share', E'Main|9|Ana|owner|50\nMain|9|Boris|owner|50.01'), '3 Share shares_not_whole', 'not even by a hundredth of a percent');
select is(pg_temp.refused('Building|Unit|Name|Role|Share|Since', E'Main|9|Ana|owner|50|2020-01-01\nMain|9|Boris|owner|50|2020-02-01'), '2 Share shares_not_whole', 'nor in a month of the past');
select is(pg_temp.refused('Building|Unit|Name|Role|Until', 'Main|2|Clara Lazova|owner|2024-12-31'), '2 ownership_share shares_not_whole', 'nor after somebody has left');
select is(pg_temp.warned('Building|Unit|Name|Role|Share', E'Main|9|Ana|owner|33.33\nMain|9|Boris|owner|33.33\nMain|9|Clara|owner|33.33'), '4 Share shares_rounded', 'thirds that were rounded are thirds');
select is(pg_temp.warned('Building|Unit|Name|Role|Share', E'Main|9|Ana|owner|60\nMain|9|Boris|owner|'), '3 Share shares_assumed', 'a share that is not stated is what the others leave, with a warning');
select is(pg_temp.warned('Building|Unit|Name|Role', 'Main|9|Ana|owner'), 'none', 'a sole owner owns the whole');
select is(pg_temp.warned('Building|Unit|Name|Role|Until', E'Main|9|Ana|authorized|'), '2 Until until_assumed', 'who acts for a unit does so until a day, which is assumed where it is not told');
select is(pg_temp.warned('Building|Unit|Name|Role|Since|Until', E'Main|9|Ana|tenant|2020-01-01|2020-12-31\nMain|9|Fay|family|2020-01-01|2021-06-30\nMain|9|Gus|guest|2020-06-01|'), '3 Until ends_with_host, 4 Until ends_with_host', 'family and guests go with their hosts, whatever the file says or was assumed, with a warning');
select is(pg_temp.refused('Building|Unit|Name|Role|Primary contact', E'Main|9|Ana|owner|yes\nMain|9|Boris|owner|yes'), '3 Primary contact two_primary_contacts', 'a unit has one primary contact at a time');
select is(pg_temp.warned('Building|Unit|Name|Role|Primary contact', 'Main|2|Clara Lazova|owner|yes'), '2 Primary contact primary_contact_moved', 'naming another moves it, with a warning');
select is(pg_temp.warned('Building|Unit|Name|Role|Primary contact|Since|Until', E'Main|9|Ana|tenant|yes|2020-01-01|2020-12-31\nMain|9|Boris|tenant|yes|2021-01-01|'), 'none', 'one after the other is fine');

-- What the units say ---------------------------------------------------------------------------------------------------

select is(pg_temp.warned('Building|Unit|Status', E'Main|1|vacant\nMain|9|occupied\nMain|10|vacant'), '2 Status status_follows_people, 3 Status status_follows_people', 'who lives there decides whether a unit is vacant, not the file');
select is(pg_temp.warned('Building|Unit|Ideal parts', 'Main|1|40'), 'Ideal parts ideal_parts_difference', 'ideal parts that do not sum to what the community declares are warned of');
select is((pg_temp.import('Building|Unit|Ideal parts|Status', E'Main|1|40 %|under maintenance\nMain|2|600‰|') -> 'ideal_parts') || '{}', '{"declared": 100, "stored_after": 100, "difference": 0}', 'they may stand as percent or per mille');
select is((select status::text from public.units where community_id = tests.id('Alder') and number = '1' and ideal_parts = 40), 'under_maintenance', 'a file can say that a unit is under maintenance');
select is(pg_temp.refused('Building|Unit|Status', 'Main|1|occupied'), 'stored', '(and again)');
select is((select status::text from public.units where community_id = tests.id('Alder') and number = '1' and ideal_parts = 40), 'occupied', 'or no longer');

select * from finish();
rollback;
