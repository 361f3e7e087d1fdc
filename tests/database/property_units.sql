-- Buildings, entrances and units: what is on the door is unique, an entrance is of the unit's building, parts are counted.

begin;
select plan(27);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_supabase_user('manager'), tests.create_supabase_user('viewer'), tests.create_supabase_user('cedar manager');
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('cedar manager', 'manager', community => 'Cedar');
select tests.grant_role('viewer', 'viewer', organization => 'organization of Alder');

insert into public.buildings (id, community_id, name) values
  (tests.id('East'), tests.id('Alder'), 'East'), (tests.id('West'), tests.id('Alder'), 'West'), (tests.id('Cedar house'), tests.id('Cedar'), 'East');
insert into public.entrances (id, community_id, building_id, name) values
  (tests.id('East A'), tests.id('Alder'), tests.id('East'), 'A'), (tests.id('West A'), tests.id('Alder'), tests.id('West'), 'A');

-- Numbers --------------------------------------------------------------------------------------------------------------

insert into public.units (id, community_id, building_id, number) values (tests.id('East 1'), tests.id('Alder'), tests.id('East'), '1');
select throws_ok($$insert into public.units (community_id, building_id, number) values (tests.id('Alder'), tests.id('East'), '1')$$,
  '23505', null, 'a number is unique in its building');
select lives_ok($$insert into public.units (community_id, building_id, number) values (tests.id('Alder'), tests.id('West'), '1')$$, 'another building has its own');
select lives_ok($$insert into public.units (community_id, number) values (tests.id('Alder'), '1')$$, 'a house that stands in no building too');
select throws_ok($$insert into public.units (community_id, number) values (tests.id('Alder'), '1')$$, '23505', null, 'and among houses a number is unique');
select throws_ok($$insert into public.buildings (community_id, name) values (tests.id('Alder'), 'East')$$, '23505', null, 'a building''s name is unique in its community');
select throws_ok($$insert into public.entrances (community_id, building_id, name) values (tests.id('Alder'), tests.id('East'), 'A')$$, '23505', null,
  'an entrance''s name is unique in its building');

-- One community, one building --------------------------------------------------------------------------------------------

select throws_ok($$insert into public.units (community_id, building_id, number) values (tests.id('Alder'), tests.id('Cedar house'), '9')$$,
  '23503', null, 'a unit does not stand in a building of another community');
select throws_ok($$insert into public.units (community_id, building_id, entrance_id, number) values (tests.id('Alder'), tests.id('East'), tests.id('West A'), '9')$$,
  '23503', null, 'a unit is not reached through an entrance of another building');
select throws_ok($$insert into public.units (community_id, entrance_id, number) values (tests.id('Alder'), tests.id('East A'), '9')$$,
  '23514', null, 'a unit that stands in no building has no entrance');
select throws_ok($$insert into public.entrances (community_id, building_id, name) values (tests.id('Alder'), tests.id('Cedar house'), 'B')$$,
  '23503', null, 'an entrance does not lead into a building of another community');
select lives_ok($$update public.units set entrance_id = tests.id('East A') where id = tests.id('East 1')$$, 'an entrance of the own building will do');

-- Values -----------------------------------------------------------------------------------------------------------------

select throws_ok(format('insert into public.units (community_id, number, %s) values (tests.id(''Alder''), ''9'', %s)', v.name, v.value), '23514', null, v.rule)
from (values
  ('area', '0', 'an area is above 0'), ('ideal_parts', '-1', 'ideal parts are not negative'), ('floor', '301', 'a floor is one a building can have'),
  ('occupant_count', '-1', 'a number of occupants is not negative'), ('intercom_extension', '''call me''', 'an intercom extension can be dialled'),
  ('settings', '''[]''', 'settings are an object'), ('layout', '''''', 'a layout is not empty')
) v (name, value, rule);

-- Who writes ---------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('viewer');
select throws_ok($$insert into public.units (community_id, number) values (tests.id('Alder'), '10')$$, '42501', null, 'who may only read adds no unit');
update public.units set floor = 2 where id = tests.id('East 1');
select tests.authenticate_as('cedar manager');
select throws_ok($$insert into public.units (community_id, number) values (tests.id('Alder'), '10')$$, '42501', null, 'another community''s manager adds no unit');
update public.units set floor = 2 where id = tests.id('East 1');
select throws_ok($$select public.set_unit_maintenance(tests.id('East 1'), true)$$, 'PT403', 'permission_denied', 'nor closes one for works');
select tests.as_studio();
select is((select row(floor, status)::text from public.units where id = tests.id('East 1')), row(null::smallint, 'vacant')::text, 'and the unit is as before');

-- Ideal parts --------------------------------------------------------------------------------------------------------------

select tests.as_studio();
update public.units set ideal_parts = 60 where id = tests.id('East 1');
update public.units set ideal_parts = 30.5 where community_id = tests.id('Alder') and building_id = tests.id('West');
select tests.authenticate_as('manager');
select results_eq(
  'select community, declared, stored, difference, units, units_without from public.ideal_parts_report',
  $$values ('Alder', 100::numeric(14, 6), 90.5::numeric, -9.5::numeric, 3::bigint, 1::bigint)$$,
  'the report tells what the units'' parts sum to, what is missing, and how many units have none');
update public.units set ideal_parts = 9.5 where community_id = tests.id('Alder') and building_id is null;
select is((select difference from public.ideal_parts_report), 0::numeric, 'where they sum to what the community declares, the difference is 0');
select tests.authenticate_as('cedar manager');
select is((select string_agg(community, ', ') from public.ideal_parts_report), 'Cedar', 'the report is for those who may see every unit, of their communities');
select is((select row(stored, units)::text from public.ideal_parts_report), row(0::numeric, 0::bigint)::text, 'a community without units is in it too');

select tests.as_studio();
update public.units set deleted_at = now() where id = tests.id('East 1');
select is((select difference from public.ideal_parts_report where community_id = tests.id('Alder')), -60::numeric, 'an archived unit does not count');

select * from finish();
rollback;
