-- What happens in Studio, which works as role postgres: a user is deleted, a CSV is imported, a cell is edited.
begin;
select plan(53);

select is(session_user::text, 'postgres', 'these tests work as the role that Studio works as');

select tests.create_community('Lipa');
select tests.create_community('Encinos');
select tests.create_supabase_user(u) from unnest(array['manager', 'ana', 'boris']) u;
select tests.grant_role('manager', 'manager', community => 'Lipa');
select tests.create_unit('L1', 'Lipa');
select tests.create_resident('Ana', 'Lipa', tests.email('ana'));
select tests.occupy('Ana', 'L1', 'owner');

-- A user is deleted --------------------------------------------------------------------------------------------------

insert into public.consent_texts (id, purpose, version, locale, title, body) values (tests.id('terms'), 'newsletter', '1', 'en', 'Newsletter', 'We write to you.');
select tests.authenticate_as('manager');
select tests.keep('token', i.token) from public.invite_member(tests.email('ana'), 'committee', community_id => tests.id('Lipa')) i;
select tests.authenticate_as('ana');
select tests.keep('membership', a.membership_id) from public.accept_invitation(tests.kept('token')) a;
select public.give_consent(tests.id('terms'));
select public.set_preference('general.theme', '"dark"');
select tests.keep('claims', tests.claims('ana'));

select tests.as_studio();
select public.grant_permission(tests.id('ana'), 'audit.read', 'Helps with the books', community_id => tests.id('Lipa'));
insert into public.units (community_id, number, created_by) values (tests.id('Lipa'), 'made by ana', tests.id('ana'));
select lives_ok($$ delete from auth.users where id = tests.id('ana') $$, 'a user can be deleted');

select is_empty($$ select id from public.profiles where id = tests.id('ana') $$, 'the profile goes');
select is_empty($$ select id from public.memberships where user_id = tests.id('ana') $$, 'the memberships go');
select is_empty($$ select id from public.user_permissions where user_id = tests.id('ana') $$, 'the single permissions go');
select is_empty($$ select id from public.user_preferences where user_id = tests.id('ana') $$, 'the preferences go');
select is_empty($$ select user_id from private.user_access where user_id = tests.id('ana') $$, 'the version of the access goes');
select results_eq(
  $$ select r.full_name, r.user_id, d.email from public.residents r join public.resident_details d on d.resident_id = r.id where r.id = tests.id('Ana') $$,
  $$ values ('Ana', null::uuid, 'ana@test.example') $$, 'the resident stays, with details, and is linked to nobody');
select results_eq(
  $$ select role::text, ends_on from public.occupancies where resident_id = tests.id('Ana') $$, $$ values ('owner', null::date) $$, 'who owns what stays');
select is((select i.accepted_by from public.invitations i where i.email = tests.email('ana')), tests.id('ana'), 'an invitation keeps the id of who accepted it');
select is((select c.user_id from public.consents c), tests.id('ana'), 'a consent keeps the id of who gave it');
select is((select u.created_by from public.units u where u.number = 'made by ana'), tests.id('ana'), 'rows keep the id of who made them');
select isnt_empty($$ select id from public.audit_log where actor_id = tests.id('ana') $$, 'the audit log keeps what the user did');
select results_eq(
  $$ select l.table_name collate "default", l.actor_id, l.actor_label from public.audit_log l where l.operation = 'delete' and l.row_id = tests.kept('membership')::uuid $$,
  $$ values ('memberships', null::uuid, 'studio:postgres') $$, 'and that Studio took the roles away');

select tests.authenticate_with(tests.kept('claims')::jsonb);
select is(app.user_id(), null, 'a token that is still around is nobody''s');
select is_empty('select * from public.communities', 'and shows nothing');
select throws_ok('select app.pre_request()', 'PT401', 'account_unknown', 'the API says that the account no longer exists');

select tests.as_studio();
select tests.create_supabase_user('ana again', tests.email('ana'));
select is((select r.user_id from public.residents r where r.id = tests.id('Ana')), tests.id('ana again'), 'who signs up again with the same address is the same resident');
select is_empty($$ select id from public.memberships where user_id = tests.id('ana again') $$, 'but holds no role that the deleted user held');

select tests.authenticate_as('manager');
select tests.keep('token', i.token) from public.invite_member(tests.email('boris'), 'guard', community_id => tests.id('Lipa')) i;
select tests.as_studio();
delete from auth.users where id = tests.id('manager');
select tests.authenticate_as('boris');
select throws_ok($$ select * from public.accept_invitation(tests.kept('token')) $$, 'PT410', 'invitation_void', 'what a deleted user invited to is void');

-- A CSV is imported --------------------------------------------------------------------------------------------------
-- Studio turns the rows into INSERTs, empty cells into nulls, and leaves columns that the file lacks to their defaults.

select tests.as_studio();
insert into public.buildings (id, community_id, name) values (tests.id('A'), tests.id('Lipa'), 'A'), (tests.id('other'), tests.id('Encinos'), 'A');

create function pg_temp.import(rows jsonb, target text default 'units') returns void language plpgsql as $$
begin
  execute format(
    'insert into public.%1$I (%2$s) select %2$s from jsonb_populate_recordset(null::public.%1$I, $1)',
    target, (select string_agg(quote_ident(k), ', ') from jsonb_object_keys(rows -> 0) k))
  using rows;
end;
$$;
create function pg_temp.lipa(rows text) returns jsonb language sql as $$
  select jsonb_agg(jsonb_build_object('community_id', tests.id('Lipa')) || r order by n) from jsonb_array_elements(rows::jsonb) with ordinality e (r, n)
$$;

select lives_ok(
  $$ select pg_temp.import(pg_temp.lipa('[{"number": "1", "type": "apartment", "area": "71.50"}, {"number": "2", "type": "shop", "area": null}]')) $$, 'units are imported');
select results_eq(
  $$ select u.number, u.type::text, u.area, u.status::text, u.id is not null from public.units u where u.community_id = tests.id('Lipa') and u.number in ('1', '2') order by 1 $$,
  $$ values ('1', 'apartment', 71.50, 'vacant', true), ('2', 'shop', null, 'vacant', true) $$, 'and get ids and defaults');
select results_eq(
  $$ select l.operation::text, l.actor_label, l.community_id from public.audit_log l join public.units u on u.id = l.row_id where u.community_id = tests.id('Lipa') and u.number in ('1', '2') $$,
  $$ values ('insert', 'studio:postgres', tests.id('Lipa')), ('insert', 'studio:postgres', tests.id('Lipa')) $$, 'each row is in the audit log');

select tests.keep('before', (select count(*) from public.units));
select throws_matching($$ select pg_temp.import('[{"number": "3"}]') $$, '"community_id" of relation "units" violates not-null', 'a file without community_id is refused by the name of the column');
select throws_matching($$ select pg_temp.import(pg_temp.lipa('[{"number": null}]')) $$, '"number" of relation "units" violates not-null', 'a unit has a number');
select throws_matching($$ select pg_temp.import(pg_temp.lipa('[{"number": " 3"}]')) $$, 'units_number_check', 'without blanks around it');
select throws_matching($$ select pg_temp.import(pg_temp.lipa('[{"number": "3", "type": "flat"}]')) $$, 'invalid input value for enum .*unit_type: "flat"', 'a type that is none is refused by name');
select throws_matching($$ select pg_temp.import(pg_temp.lipa('[{"number": "3", "area": "71,5"}]')) $$, 'invalid input syntax for type numeric: "71,5"', 'a number with a comma is none');
select throws_matching($$ select pg_temp.import(pg_temp.lipa('[{"number": "3", "area": "-1"}]')) $$, 'units_area_check', 'an area is above zero');
select throws_matching($$ select pg_temp.import(pg_temp.lipa('[{"number": "3", "floor": "9000"}]')) $$, 'units_floor_check', 'a floor is within reason');
select throws_matching(
  $$ select pg_temp.import(pg_temp.lipa(format('[{"number": "3", "building_id": "%s"}]', tests.id('other')))) $$, 'units_building_fkey', 'a building of another community is refused');
select throws_matching($$ select pg_temp.import(pg_temp.lipa('[{"number": "1"}]')) $$, 'units_number_key', 'a number is there once');
select throws_matching(
  $$ select pg_temp.import(pg_temp.lipa('[{"number": "3"}, {"number": "4"}, {"number": "1"}]')) $$, 'units_number_key', 'one wrong row refuses the whole file');
select throws_matching(
  $$ select pg_temp.import(jsonb_build_array(jsonb_build_object('id', u.id, 'community_id', u.community_id, 'number', '5'))) from public.units u where u.community_id = tests.id('Lipa') and u.number = '1' $$,
  'units_pkey', 'an exported file that is imported again overwrites nothing');
select is((select count(*)::text from public.units), tests.kept('before'), 'what was refused left nothing behind');

select throws_matching($$ select pg_temp.import('[{"full_name": "Vera"}]', 'residents') $$, '"community_id" of relation "residents" violates not-null', 'residents belong to a community as well');
select throws_matching($$ select pg_temp.import(pg_temp.lipa('[{"full_name": ""}]'), 'residents') $$, 'residents_full_name_check', 'and have a name');
select throws_matching($$ select pg_temp.import(pg_temp.lipa('[{"full_name": "Vera", "kind": "woman"}]'), 'residents') $$, 'invalid input value for enum .*resident_kind', 'of a person or a company');
select lives_ok($$ select pg_temp.import(pg_temp.lipa(format('[{"id": "%s", "full_name": "Boris"}]', tests.id('Boris'))), 'residents') $$, 'ids may come along');
select throws_matching(
  $$ select pg_temp.import(pg_temp.lipa(format('[{"resident_id": "%s", "email": "boris(at)test.example"}]', tests.id('Boris'))), 'resident_details') $$,
  'resident_details_email_check', 'an address has to be one');
select throws_matching(
  $$ select pg_temp.import(jsonb_build_array(jsonb_build_object('community_id', tests.id('Encinos'), 'resident_id', tests.id('Boris'), 'email', 'x@test.example')), 'resident_details') $$,
  'resident_details_resident_fkey', 'details are of a resident of the same community');
select pg_temp.import(pg_temp.lipa(format('[{"resident_id": "%s", "email": "Boris@Test.Example"}]', tests.id('Boris'))), 'resident_details');
select is((select r.user_id from public.residents r where r.id = tests.id('Boris')), tests.id('boris'), 'an imported address links the user who has verified it');

-- A cell is edited ---------------------------------------------------------------------------------------------------

select set_config('app.reason', 'Measured again, report 12/2026', true);
update public.units set area = 72.10 where id = tests.id('L1');
select set_config('app.reason', '', true);
update public.units set floor = 3 where id = tests.id('L1');
select results_eq(
  $$ select l.actor_id, l.actor_label, l.changes, l.note from public.audit_log l where l.row_id = tests.id('L1') and l.operation = 'update' and not l.changes ? 'status' order by l.id $$,
  $$ values
    (null::uuid, 'studio:postgres', '{"area": [null, 72.10]}'::jsonb, 'Measured again, report 12/2026'),
    (null, 'studio:postgres', '{"floor": [null, 3]}', null) $$,
  'an edit is in the audit log with the value before and after, as Studio''s, with the reason if one was given');
select throws_ok($$ update public.units set id = tests.id('L2') where id = tests.id('L1') $$, 'PT409', 'column_frozen', 'an id does not change');
select throws_ok($$ update public.units set community_id = tests.id('Encinos') where id = tests.id('L1') $$, 'PT409', 'column_frozen', 'nor does the community');
update public.units set created_at = 'epoch', created_by = tests.id('boris'), updated_at = 'epoch' where id = tests.id('L1');
select results_eq(
  $$ select created_at = now(), created_by, updated_at = now() from public.units where id = tests.id('L1') $$, $$ values (true, null::uuid, true) $$,
  'what the database keeps about a row is as it was, whatever is typed');
select throws_ok($$ update public.units set area = 0 where id = tests.id('L1') $$, '23514', null, 'constraints answer an edit as they answer an import');

select throws_ok($$ delete from public.units where id = tests.id('L1') $$, 'PT409', 'delete_refused', 'a row is not deleted');
create function pg_temp.hint_of(statement text) returns text language plpgsql as $$
declare
  hint text;
begin
  execute statement;
  return null;
exception when others then
  get stacked diagnostics hint = pg_exception_hint;
  return hint;
end;
$$;
select matches(pg_temp.hint_of($$ delete from public.units where id = tests.id('L1') $$), 'deleted_at', 'and the hint says how to archive it instead');
set constraints all immediate; -- what commit would have done
select throws_ok('truncate public.units cascade', 'PT409', 'delete_refused', 'nor is a table emptied');
select throws_ok('delete from public.communities', 'PT409', 'delete_refused', 'nor a community removed with all that is in it');
select throws_ok('delete from audit.log', 'PT409', 'append_only', 'the audit log is not even Studio''s to change');
select is((select u.area from public.units u where u.id = tests.id('L1')), 72.10, 'the row is as it was');

select * from finish();
rollback;
