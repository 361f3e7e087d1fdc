-- What every row of a business table keeps to: its columns are the database's, its id and community stay, it is archived.

begin;
select plan(33);

select tests.create_community('Alder'), tests.create_community('Birch');
select tests.create_supabase_user('manager'), tests.create_supabase_user('leaver');
select tests.grant_role('manager', 'manager', community => 'Alder');
select tests.grant_role('manager', 'manager', community => 'Birch');
select tests.create_unit('1A', 'Alder');

-- Touched ------------------------------------------------------------------------------------------------------------

select is((select row(created_at, updated_at, created_by, updated_by)::text from public.units where id = tests.id('1A')), row(now(), now(), null::uuid, null::uuid)::text,
  'a row made by no user is stamped with the time and nobody');

select tests.authenticate_as('manager');
insert into public.units (id, community_id, number) values (tests.id('1B'), tests.id('Alder'), '1B');
select is((select row(created_by, updated_by)::text from public.units where id = tests.id('1B')), row(tests.id('manager'), tests.id('manager'))::text,
  'a row made by a user is stamped with the user');
select throws_ok(
  $$insert into public.units (community_id, number, created_by) values (tests.id('Alder'), '1C', gen_random_uuid())$$, '42501', null,
  'a user cannot say who made a row');
select throws_ok(
  $$update public.units set created_at = now() - interval '1 year' where id = tests.id('1B')$$, '42501', null, 'a user cannot say when a row was made');

select tests.as_studio();
insert into public.units (id, community_id, number, created_at, updated_at) values (tests.id('old'), tests.id('Alder'), 'old', '2020-01-01', '2020-01-01');
select is((select created_at from public.units where id = tests.id('old')), '2020-01-01 00:00:00+00'::timestamptz, 'an import may say when a row was made');
select is((select updated_at from public.units where id = tests.id('old')), now(), 'but not when it last changed');
update public.units set floor = 1, created_at = '2019-01-01', created_by = gen_random_uuid() where id = tests.id('old');
select is((select row(created_at, created_by)::text from public.units where id = tests.id('old')), row('2020-01-01 00:00:00+00'::timestamptz, null::uuid)::text,
  'when and by whom a row was made does not change, whoever tries');
select tests.authenticate_as('manager');
update public.units set floor = 2 where id = tests.id('old');
select tests.as_studio();
select is((select updated_by from public.units where id = tests.id('old')), tests.id('manager'), 'an update is stamped with the user who made it');

-- Frozen -------------------------------------------------------------------------------------------------------------

select throws_ok($$update public.units set id = gen_random_uuid() where id = tests.id('1A')$$, 'PT409', 'column_frozen', 'an id does not change');
select throws_ok($$update public.units set community_id = tests.id('Birch') where id = tests.id('1A')$$, 'PT409', 'column_frozen', 'a row does not move to another community');
select throws_ok($$update public.roles set key = 'boss' where key = 'manager'$$, 'PT409', 'column_frozen', 'a role''s key does not change: tokens carry it');
select lives_ok($$update public.units set id = id, community_id = community_id where id = tests.id('1A')$$, 'writing the same id again is no change');
select tests.authenticate_as('manager');
select throws_ok($$update public.units set community_id = tests.id('Birch') where id = tests.id('1A')$$, '42501', null, 'a manager of both communities may not move a row either');
select tests.as_studio();
select is((select community_id from public.units where id = tests.id('1A')), tests.id('Alder'), 'and the row stays where it was');

-- Archived, not deleted ----------------------------------------------------------------------------------------------

select throws_ok($$delete from public.units where id = tests.id('1A')$$, 'PT409', 'delete_refused', 'the owner of the database may not delete a row');
create function pg_temp.hint(statement text) returns text language plpgsql as $$
declare
  given text;
begin
  execute statement;
  return 'nothing was refused';
exception when others then
  get stacked diagnostics given = pg_exception_hint;
  return given;
end;
$$;
select alike(pg_temp.hint($$delete from public.units where id = tests.id('1A')$$), '%deleted_at%', 'and is told what to do instead');
select throws_ok('delete from public.units where false', 'PT409', 'delete_refused', 'a delete is refused before it looks for rows');
select throws_ok('truncate public.units cascade', 'PT409', 'delete_refused', 'a table may not be emptied');
select tests.authenticate_as_service_role();
select throws_ok($$delete from public.units where id = tests.id('1A')$$, '42501', null, 'the secret key may not delete a row');
select tests.authenticate_as('manager');
select throws_ok($$delete from public.units where id = tests.id('1A')$$, '42501', null, 'a manager may not delete a row');
select tests.as_studio();
select isnt_empty($$select from public.units where id = tests.id('1A')$$, 'and the row is still there');
select throws_ok('truncate public.role_permissions', 'PT409', 'delete_refused', 'not even a table of links may be emptied');

update public.units set deleted_at = now() where id = tests.id('1B');
select tests.authenticate_as('manager');
select is_empty($$select from public.units where id = tests.id('1B')$$, 'an archived row is not shown');
update public.units set floor = 9 where id = tests.id('1B');
select tests.as_studio();
select is((select floor from public.units where id = tests.id('1B')), null, 'nor changed by those who cannot see it');
select lives_ok($$select tests.create_unit('1B again', 'Alder'); update public.units set number = '1B' where id = tests.id('1B again')$$, 'what an archived row was called is free again');
select throws_ok($$update public.units set number = '1A' where id = tests.id('1B again')$$, '23505', null, 'what a live row is called is not');

-- A user who leaves --------------------------------------------------------------------------------------------------

select tests.grant_role('leaver', 'guard', community => 'Alder');
select tests.create_resident('Leaver', 'Alder', tests.email('leaver'));
select is((select user_id from public.residents where id = tests.id('Leaver')), tests.id('leaver'), '(the leaver is linked to a resident)');
select tests.authenticate_as('manager');
update public.residents set full_name = 'L. Eaver' where id = tests.id('Leaver');
select tests.as_studio();
select lives_ok($$delete from auth.users where id = tests.id('leaver')$$, 'a user can be deleted in Auth');
select is_empty($$select from public.profiles where id = tests.id('leaver')$$, 'the profile goes along');
select is_empty($$select from public.memberships where user_id = tests.id('leaver')$$, 'the memberships go along');
select is_empty($$select from private.user_access where user_id = tests.id('leaver')$$, 'the live version goes along');
select is((select row(full_name, user_id)::text from public.residents where id = tests.id('Leaver')), row('L. Eaver', null::uuid)::text, 'the resident stays, without the link');
select isnt_empty($$select from audit.log where row_id = tests.id('leaver') and operation = 'delete'$$, 'and the audit tells of it');

select * from finish();
rollback;
