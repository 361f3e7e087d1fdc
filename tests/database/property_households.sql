-- Who sees whom: nobody sees a neighbour, a tenant does not see the owner, an owner sees everybody in the own unit.
--
-- Unit 1: Olga owns it and lives elsewhere; Theo rents it, Fay is his family, Gus his guest, Ari acts for it.
-- Unit 2: Nora owns and lives in it.

begin;
select plan(33);

select tests.create_community('Alder');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder');
select tests.create_supabase_user(u), tests.create_resident(initcap(u), 'Alder', tests.email(u)) from unnest(array['olga', 'theo', 'fay', 'gus', 'ari', 'nora', 'past']) u;
select tests.occupy('Olga', '1', 'owner'), tests.occupy('Theo', '1', 'tenant', is_primary_contact => true), tests.occupy('Fay', '1', 'family'),
  tests.occupy('Gus', '1', 'guest'), tests.occupy('Ari', '1', 'authorized'), tests.occupy('Nora', '2', 'owner');
select tests.occupy('Past', '1', 'tenant', current_date - 400, current_date - 40);
select tests.create_supabase_user(u), tests.grant_role(u, u, community => 'Alder') from unnest(array['manager', 'guard', 'technician', 'cleaning', 'committee', 'accountant']) u;

create function pg_temp.check_all(who text, units text, residents text, addresses text) returns setof text language plpgsql as $$
begin
  perform tests.authenticate_as(who);
  return next extensions.is(tests.seen('public.units', 'number'), units, who || ' sees these units');
  return next extensions.is(tests.seen('public.residents', 'full_name'), residents, who || ' sees these residents');
  return next extensions.is(tests.seen('public.resident_details', 'email'), addresses, who || ' sees these addresses');
  perform tests.as_studio();
end;
$$;

select pg_temp.check_all('olga', '1', 'Ari, Fay, Gus, Olga, Theo', 'olga@test.example');
select pg_temp.check_all('theo', '1', 'Ari, Fay, Gus, Theo', 'theo@test.example');
select pg_temp.check_all('fay', '1', 'Ari, Fay, Gus, Theo', 'fay@test.example');
select pg_temp.check_all('ari', '1', 'Ari', 'ari@test.example');
select pg_temp.check_all('gus', 'nothing', 'Gus', 'gus@test.example');
select pg_temp.check_all('nora', '2', 'Nora', 'nora@test.example');
select pg_temp.check_all('past', 'nothing', 'nothing', 'nothing');
select pg_temp.check_all('guard', '1, 2', 'Ari, Fay, Gus, Nora, Olga, Past, Theo', 'nothing');
select pg_temp.check_all('technician', '1, 2', 'nothing', 'nothing');
select pg_temp.check_all('cleaning', 'nothing', 'nothing', 'nothing');
select pg_temp.check_all('accountant', '1, 2', 'Ari, Fay, Gus, Nora, Olga, Past, Theo',
  'ari@test.example, fay@test.example, gus@test.example, nora@test.example, olga@test.example, past@test.example, theo@test.example');

select * from finish();
rollback;
