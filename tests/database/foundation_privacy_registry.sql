-- What is declared in the registry of personal data can be carried out; what cannot is an error of the migration that declares it.

begin;
select plan(23);

create table public.tests_pets (
  id uuid not null default extensions.uuidv7() primary key,
  community_id uuid not null,
  resident_id uuid not null,
  keeper_id uuid references public.profiles (id) on delete cascade,
  chip text not null,
  weight numeric not null,
  note text,
  size text generated always as (chip || '!') stored,
  deleted_at timestamptz
);

create function pg_temp.declare(arguments text) returns text language sql as $$ select format('select app.register_personal_data(''public.tests_pets'', %s)', arguments) $$;
create function pg_temp.refuses(arguments text, problem text, property text) returns text language sql as $$
  select extensions.throws_like(pg_temp.declare(arguments), problem, property) $$;

select pg_temp.refuses($$'chief_id', 'resident', kept_because => 'because of a reason'$$, '%no column chief_id', 'the column exists');
select pg_temp.refuses($$'chip', 'resident', kept_because => 'because of a reason'$$, '%cannot name a person as resident', 'a person is named by an id');
select pg_temp.refuses($$'resident_id', 'resident'$$, '%kept_because_check%', 'what stays has a reason');
select pg_temp.refuses($$'resident_id', 'resident', on_erase => 'unlink', kept_because => 'because of a reason'$$, '%cannot be null%', 'what cannot be null cannot be unlinked');
select pg_temp.refuses($$'resident_id', 'resident', on_erase => 'cascade'$$, '%do not go with the user%', 'a resident''s row does not go by itself');
select pg_temp.refuses($$'resident_id', 'resident', kept_because => 'because of a reason', columns => '{"colour": null}'$$, '%no column colour', 'a personal column exists');
select pg_temp.refuses($$'resident_id', 'resident', kept_because => 'because of a reason', columns => '{"chip": null}'$$, '%chip cannot be null%', 'null is written where it may be');
select pg_temp.refuses($$'resident_id', 'resident', kept_because => 'because of a reason', columns => '{"size": null}'$$, '%follows from other columns%', 'a generated column is not written');
select throws_ok(pg_temp.declare($$'resident_id', 'resident', kept_because => 'because of a reason', columns => '{"weight": "heavy"}'$$), '22P02', null, 'a constant is of the column''s type');
select pg_temp.refuses($$'resident_id', 'resident', kept_because => 'because of a reason', columns => '{"weight": {"each": "w-%s"}}'$$, '%is not text%', 'only a text can be of each row''s own');
select pg_temp.refuses($$'resident_id', 'resident', kept_because => 'because of a reason', columns => '{"note": {"kept": ""}}'$$, '%what is written into note?%', 'a kept column says why');
select pg_temp.refuses($$'resident_id', 'resident', kept_because => 'because of a reason', columns => '{"note": 5}'$$, '%what is written into note?%', 'a way of erasing is one of four');
select pg_temp.refuses($$'resident_id', 'resident', kept_because => 'because of a reason', exported => '{colour}'$$, '%no column colour', 'what is exported exists');
select pg_temp.refuses($$'resident_id', 'resident', on_erase => 'function', erase_with => 'app.no_such'$$, '%no function app.no_such%', 'a function that erases exists');
select pg_temp.refuses($$'resident_id', 'resident', kept_because => 'because of a reason', on_merge => 'function', merge_with => 'app.erase_files'$$, '%no function app.erase_files%', 'a function that merges takes two ids');
select pg_temp.refuses($$'resident_id', 'resident', kept_because => 'because of a reason', on_merge => 'repoint', clash_on => '{chip}'$$, '%clash_on_check%', 'what clashes is said where it matters');
select pg_temp.refuses($$'keeper_id', 'user', kept_because => 'because of a reason', on_merge => 'fill'$$, '%merge_check%', 'only residents are merged');
select pg_temp.refuses($$'keeper_id', 'actor', kept_because => 'because of a reason', columns => '{"note": null}'$$, '%names no person whose data%', 'of who acted nothing else is erased');
select pg_temp.refuses($$'resident_id', 'related', on_erase => 'archive', kept_because => 'because of a reason'$$, '%names no person whose data%', 'a row that is about somebody else is not archived for one who is tied to them');
select pg_temp.refuses($$'keeper_id', 'parent', on_erase => 'remove', parent => 'public.units'$$, '%not registered', 'a part follows a registered table');

select app.register_personal_data('public.tests_pets', 'resident_id', 'resident', kept_because => 'because of a reason', columns => '{"note": null}');
select app.register_personal_data('public.tests_pets', 'resident_id', 'resident', on_erase => 'remove', columns => '{"chip": null}');
select results_eq($$select on_erase::text, on_merge::text, columns::text, is_with_resident from app.personal_data_registry where table_id = 'public.tests_pets'::regclass$$,
  $$values ('remove', 'repoint', '{"chip": null}', false)$$, 'declaring again replaces; columns of rows that go are what the audit forgets');
select app.register_personal_data('public.tests_pets', 'keeper_id', 'user', kept_because => 'because of a reason', columns => '{"note": null}', on_erase => 'unlink');
select is((select is_with_resident from app.personal_data_registry where table_id = 'public.tests_pets'::regclass and person_column = 'keeper_id'), true,
  'a user''s rows in a community go with the resident unless told otherwise');
select throws_ok($$set local role authenticated; select * from app.personal_data_registry$$, '42501', null, 'no API role reads the registry');

select * from finish();
rollback;
