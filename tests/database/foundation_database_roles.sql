-- People with SQL: what the two kinds of login reach. tests/api/database-roles.test.ts connects with real ones.
--
-- Role postgres plays the login here: session_user is what the helpers ask, and nobody but a superuser changes it.

begin;
select plan(34);

grant vicinia_reporting, vicinia_maintenance to postgres with set true;

select tests.create_organization('Maple');
select tests.create_community('Alder', 'Maple');
select tests.create_community('Birch', 'Maple');
select tests.create_organization('Pine');
select tests.create_community('Cedar', 'Pine');
select tests.create_unit('A1', 'Alder');
select tests.create_unit('B1', 'Birch');
select tests.create_unit('C1', 'Cedar');
select tests.create_resident('Ana', 'Alder', 'ana@test.example');
select tests.create_supabase_user('boss');
select tests.grant_role('boss', 'manager', community => 'Cedar');

create function pg_temp.told(role name, query text) returns text language plpgsql as $$
declare
  answer text;
begin
  perform set_config('role', role, true);
  execute query into answer;
  perform set_config('role', 'none', true);
  return answer;
end;
$$;
create function pg_temp.reads(query text) returns text language sql as $$ select pg_temp.told('vicinia_reporting', query) $$;
create function pg_temp.maintains(query text) returns text language sql as $$ select pg_temp.told('vicinia_maintenance', query) $$;
create function pg_temp.numbers() returns text language sql as $$ select $q$select string_agg(number, ' ' order by number) from public.units where number ~ '^[A-C]1$'$q$ $$;

-- Nobody registered -----------------------------------------------------------------------------------------------------

select is(pg_temp.reads(pg_temp.numbers()), null, 'membership of the group alone shows nothing');
select is(pg_temp.reads('select count(*) from public.permissions'), '0', 'not even the permissions');
select is(pg_temp.maintains(pg_temp.numbers()), null, 'nor does that of the other');

-- Reporting -------------------------------------------------------------------------------------------------------------

insert into app.database_logins (name, purpose, organization_id) values ('postgres', 'reporting', tests.id('Maple'));
select is(pg_temp.reads(pg_temp.numbers()), 'A1 B1', 'a reporting login reads the units of its organization, and no others');
select is(pg_temp.reads($$select string_agg(name, ' ' order by name) from public.communities$$), 'Alder Birch', 'and its communities');
select is(pg_temp.reads('select string_agg(name, $$ $$) from public.organizations'), 'Maple', 'and the organization');
select cmp_ok(pg_temp.reads('select count(*) from public.permissions')::integer, '>', 10, 'and what there is to permit');
select is(pg_temp.reads('select count(*) from public.memberships'), '0', 'no membership elsewhere');
select is(pg_temp.reads('select string_agg(full_name, $$ $$) from public.residents'), 'Ana', 'residents by name');
select is(pg_temp.reads('select count(email) from public.resident_details'), '0', 'no addresses');
select throws_ok($$select pg_temp.reads('select identity_number from public.resident_details')$$, '42501', null, 'no identity numbers');
select throws_ok($$select pg_temp.reads('select display_name from public.profiles')$$, '42501', null, 'no profiles');
select throws_ok($$select pg_temp.reads('select changes from public.audit_log')$$, '42501', null, 'no audit');
select throws_ok($$select pg_temp.reads('select name from app.database_logins')$$, '42501', null, 'not who else has a login');
select throws_ok($$select pg_temp.reads('update public.units set floor = 5')$$, '42501', null, 'it changes nothing');
select is((select count(*) from public.units where floor = 5), 0::bigint, 'no unit');
select throws_ok($$select pg_temp.reads('select public.my_places()')$$, '42501', null, 'it calls no RPC');
do $$ begin perform set_config('request.jwt.claims', jsonb_build_object('sub', tests.id('boss'), 'role', 'authenticated')::text, true); end $$;
select is(pg_temp.reads(pg_temp.numbers()), 'A1 B1', 'claims change nothing of that');
select tests.as_studio();

update app.database_logins set is_detailed = true where name = 'postgres';
select is(pg_temp.reads('select string_agg(email, $$ $$) from public.resident_details'), 'ana@test.example', 'with details, addresses too');
select throws_ok($$select pg_temp.reads('select identity_number from public.resident_details')$$, '42501', null, 'secret columns never');

update app.database_logins set ends_at = now() - interval '1 second' where name = 'postgres';
select is(pg_temp.reads(pg_temp.numbers()), null, 'a login whose day has come sees nothing');
select throws_ok($$insert into app.database_logins (name, purpose) values ('reads_all', 'reporting')$$, '23514', null, 'no reporting login reaches all organizations');

-- Maintenance -----------------------------------------------------------------------------------------------------------

update app.database_logins set purpose = 'maintenance', organization_id = null, ends_at = null where name = 'postgres';
select is(pg_temp.maintains(pg_temp.numbers()), 'A1 B1 C1', 'a maintenance login without an organization reaches all');
update app.database_logins set organization_id = tests.id('Maple') where name = 'postgres';
select is(pg_temp.maintains(pg_temp.numbers()), 'A1 B1', 'one with an organization reaches that');
select is(pg_temp.maintains('with changed as (update public.units set layout = $$Loft$$ returning number) select string_agg(number, $$ $$ order by number) from changed'), 'A1 B1', 'and changes it');
select is((select string_agg(number, ' ') from public.units where number ~ '^[A-C]1$' and layout is null), 'C1', 'but no other');
select throws_ok(format('select pg_temp.maintains(%L)', format('insert into public.units (community_id, number) values (%L, $$C2$$)', tests.id('Cedar'))), '42501', null, 'nor adds to another');
select throws_ok($$select pg_temp.maintains('delete from public.units')$$, '42501', null, 'it deletes nothing');
select throws_ok($$select pg_temp.maintains('update public.memberships set ends_at = now()')$$, '42501', null, 'it changes nobody''s access');
select throws_ok(format('select pg_temp.maintains(%L)', format('update public.communities set organization_id = %L', tests.id('Pine'))), '42501', null, 'it gives no community away');
select is((select count(*) from public.communities where organization_id = tests.id('Maple')), 2::bigint, 'both are where they were');
select is((select count(*) from public.units where number ~ '^[A-C]1$'), 3::bigint, 'and so are the units');

-- Tracked again -----------------------------------------------------------------------------------------------------------

select tests.keep('policies', (select string_agg(p::text, ' ' order by p.policyname) from pg_policies p where p.tablename = 'units'));
select app.track('public.units', secrets => '{layout}');
update app.database_logins set purpose = 'reporting', is_detailed = true where name = 'postgres';
select throws_ok($$select pg_temp.reads('select layout from public.units')$$, '42501', null, 'a column that became secret is taken back');
select app.track('public.units');
select is((select string_agg(p::text, ' ' order by p.policyname) from pg_policies p where p.tablename = 'units'), tests.kept('policies'), 'tracking again leaves the policies as they were');

select * from finish();
rollback;
