-- What residents see of each other is their choice, and off by default.

begin;
select plan(24);

select tests.create_community('Alder'), tests.create_community('Birch');
select tests.create_supabase_user(u) from unnest(array['manager', 'ana', 'bob', 'cat', 'guest', 'far']) u;
select tests.grant_role('manager', 'manager', community => 'Alder');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_unit('3', 'Birch');
select tests.create_resident('Ana', 'Alder', 'ana@test.example'), tests.create_resident('Bob', 'Alder', 'bob@test.example'), tests.create_resident('Cat', 'Alder', 'cat@test.example'),
  tests.create_resident('Guest', 'Alder', 'guest@test.example'), tests.create_resident('Far', 'Birch', 'far@test.example');
update public.resident_details set phone = '+359 88 555 0101' where resident_id = tests.id('Ana');
select tests.occupy('Ana', '1', 'owner'), tests.occupy('Ana', '2', 'owner'), tests.occupy('Bob', '2', 'tenant'), tests.occupy('Guest', '2', 'guest'), tests.occupy('Far', '3', 'owner');
select tests.occupy('Cat', '2', 'family', current_date - 9);

create function pg_temp.choose(n boolean, u boolean default false, p boolean default false, e boolean default false) returns void language sql as $$
  select public.set_directory_choice(tests.id('Alder'), n, u, p, e) $$;
create function pg_temp.directory(search text default null) returns text language sql as $$
  select string_agg(concat_ws(' ', d.full_name, d.units::text, d.phone, d.email), '; ') from public.directory(tests.id('Alder'), search) d $$;
grant execute on all functions in schema pg_temp to authenticated, service_role;

select tests.authenticate_as('bob');
select is(pg_temp.directory(), null, 'by default nobody shows anything');
select tests.authenticate_as('ana');
select throws_ok($$ select pg_temp.choose(false, true) $$, 'PT422', 'invalid_value', 'nothing is shown without the name');
select throws_ok($$ select pg_temp.choose(null) $$, 'PT422', 'invalid_value', 'a choice is yes or no');
select throws_ok($$ select public.set_directory_choice(tests.id('Birch'), true) $$, 'PT404', 'resident_not_found', 'one chooses where one lives');
select pg_temp.choose(true);
select tests.authenticate_as('bob');
select is(pg_temp.directory(), 'Ana', 'the others see the name of who chose to show it');
select is(tests.seen('public.directory_choices', 'resident_id'), 'nothing', 'and not what was chosen');
select throws_ok($$ insert into public.directory_choices (community_id, resident_id, is_name_shown) values (tests.id('Alder'), tests.id('Cat'), true) $$, '42501', null, 'nobody chooses for somebody else');
select tests.authenticate_as('ana');
select pg_temp.choose(true, true, true, true);
select tests.authenticate_as('bob');
select is(pg_temp.directory(), 'Ana {1,2} +359 88 555 0101 ana@test.example', 'and units, number and address of who chose to show those');
select is(pg_temp.directory('aN'), 'Ana {1,2} +359 88 555 0101 ana@test.example', 'a part of the name finds her');
select is(pg_temp.directory('555'), null, 'a number finds nobody');
select tests.authenticate_as('ana');
select pg_temp.choose(true, false, true);
select tests.authenticate_as('bob');
select is(pg_temp.directory(), 'Ana +359 88 555 0101', 'what is withdrawn is gone at once');
select is(pg_temp.directory('1'), null, 'from the search too');

-- Who reads it -------------------------------------------------------------------------------------------------------

select tests.authenticate_as('guest');
select throws_ok('select pg_temp.directory()', 'PT403', 'permission_denied', 'a guest reads no directory');
select tests.authenticate_as('far');
select throws_ok('select pg_temp.directory()', 'PT403', 'permission_denied', 'nor does a resident of another community');
select is_empty($$ select * from app.directory_entries(tests.id('Alder')) $$, 'by the helper neither');
select tests.authenticate_as('manager');
select throws_ok('select pg_temp.directory()', 'PT403', 'permission_denied', 'the management has lists of its own');

-- Who stands in it ---------------------------------------------------------------------------------------------------

select tests.authenticate_as('cat');
select pg_temp.choose(true);
select tests.as_studio();
update public.occupancies set ends_on = current_date - 1 where resident_id = tests.id('Cat');
select tests.authenticate_as('bob');
select is(pg_temp.directory(), 'Ana +359 88 555 0101', 'who moved out vanishes');
select tests.authenticate_as('cat');
select throws_ok('select pg_temp.directory()', 'PT403', 'permission_denied', 'and reads it no more');
select tests.authenticate_as('manager');
select public.suspend_resident(tests.id('Ana'), 'Noise');
select tests.authenticate_as('bob');
select is(pg_temp.directory(), null, 'who is suspended vanishes');
select tests.authenticate_as('ana');
select throws_ok('select pg_temp.directory()', 'PT403', 'permission_denied', 'and reads it no more');
select tests.authenticate_as('manager');
select public.resume_resident(tests.id('Ana'));
select tests.as_studio();
update public.profiles set status = 'banned' where id = tests.id('ana');
select tests.authenticate_as('bob');
select is(pg_temp.directory(), null, 'whose account is barred vanishes');
select tests.as_studio();
update public.profiles set status = 'active' where id = tests.id('ana');
select tests.authenticate_as('bob');
select is(pg_temp.directory(), 'Ana +359 88 555 0101', '(and is there again)');

select tests.authenticate_as('manager');
select public.set_feature('residents.directory', false, community_id => tests.id('Alder'));
select tests.authenticate_as('bob');
select throws_ok('select pg_temp.directory()', 'PT403', 'feature_disabled', 'a community switches its directory off');
select is_empty($$ select * from app.directory_entries(tests.id('Alder')) $$, 'for every search');

select * from finish();
rollback;
