-- Vehicles: one plate in all its spellings, active once in a community, and gone with the people who brought it.

begin;
select plan(58);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_unit('9', 'Cedar');
select tests.create_supabase_user('ana'), tests.create_supabase_user('tom'), tests.create_supabase_user('nina'), tests.create_supabase_user('manager'), tests.create_supabase_user('guard');
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.create_resident('Tom', 'Alder', tests.email('tom')),
  tests.create_resident('Nina', 'Alder', tests.email('nina')), tests.create_resident('Cedric', 'Cedar');
select tests.occupy('Ana', '1', 'owner', current_date - 100), tests.occupy('Tom', '1', 'tenant', current_date - 50), tests.occupy('Nina', '2', 'owner', current_date - 100),
  tests.occupy('Cedric', '9', 'owner', current_date - 100);
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder');

-- Plates ------------------------------------------------------------------------------------------------------------------

select is(app.normalized_plate(v.written), 'C812088H', format('%L is one plate with the others', v.written))
from unnest(array['CB 1208 BH', 'cb1208bh', 'CB-1208-BH', 'СВ 1208 ВН', 'св1208вн', 'CB I2O8 8H', 'ＣＢ１２０８ＢＨ']) v (written);
select isnt(app.normalized_plate('CB 1208 BH'), app.normalized_plate('CB 1208 CH'), 'another letter makes another plate');
select is(app.normalized_plate('1กก 1234'), '1กก1234', 'a Thai plate keeps its letters');
select is(app.normalized_plate('बा १ च १२३४'), 'बा1च1234', 'and so does one in Devanagari, its digits aside, which cameras read as these');
select is(app.normalized_plate('ΙΒΑ-1234'), app.normalized_plate('IBA 1234'), 'Greek letters that look Latin are as good as Latin ones');
select ok(not app.is_plate('🚗🚙'), 'pictures are no plate');
select ok(not app.is_plate('AB 🚗 12'), 'nor are they part of one');
select ok(not app.is_plate('---'), 'nor is a plate dashes alone');
select ok(not app.is_plate(repeat('A', 21)), 'nor longer than 20 characters');
select ok(app.is_plate('A') and app.is_plate(repeat('A', 16)) and app.is_plate('A ' || repeat('B', 13) || '-C') and app.is_plate('A B C D E F G H I J'), 'nor than 16 letters and digits, whatever is between them');
select ok(not (app.is_plate(repeat('A', 17)) or app.is_plate('AB ') or app.is_plate(' AB') or app.is_plate('')), 'nor does it begin or end with a space');
select ok(not app.is_plate(E'AB\n12'), 'nor on two lines');

-- Once in a community -------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select tests.keep('car', public.register_vehicle(tests.id('1'), 'CB 1208 BH', resident_id => tests.id('Ana'), tag_number => 'e280-11'));
select is((select v.status || ' ' || v.plate || ' ' || v.tag_number from public.vehicles v where v.id = tests.kept('car')::uuid), 'active CB 1208 BH E280-11',
  'what the management registers is active, its plate as written');
select throws_ok($$select public.register_vehicle(tests.id('2'), 'СВ-1208-ВН')$$, 'PT409', 'plate_taken', 'the same plate in another spelling is taken');
select throws_ok($$select public.register_vehicle(tests.id('2'), 'XX 1', tag_number => 'E280-11')$$, 'PT409', 'tag_taken', 'and so is a tag');
select throws_ok($$select public.register_vehicle(tests.id('2'), '🚗🚙')$$, 'PT422', 'invalid_value', 'a plate of pictures is refused');
select throws_ok($$select public.register_vehicle(tests.id('2'), repeat('A', 21))$$, 'PT422', 'invalid_value', 'and one that is too long');
select throws_ok($$select public.register_vehicle(tests.id('2'))$$, 'PT422', 'invalid_value', 'a car has a plate or a tag');
select lives_ok($$select public.register_vehicle(tests.id('2'), type => 'bicycle')$$, 'a bicycle needs neither');
select throws_ok($$select public.register_vehicle(tests.id('9'), 'XX 1')$$, 'PT403', 'permission_denied', 'a unit of another community is not theirs to register for');
select throws_ok($$select public.register_vehicle(tests.id('1'), 'XX 1', resident_id => tests.id('Cedric'))$$, 'PT404', 'resident_not_found', 'nor does a resident of another community live in the unit');
select throws_ok($$select public.register_vehicle(tests.id('1'), 'XX 1', resident_id => tests.id('Nina'))$$, 'PT409', 'not_an_occupant', 'nor a neighbour');
select throws_ok($$insert into public.vehicles (community_id, unit_id, plate) values (tests.id('Alder'), tests.id('1'), 'XX 1')$$, '42501', null, 'nobody inserts past the RPC');
select tests.as_studio();
select throws_ok($$insert into public.vehicles (community_id, unit_id, plate) values (tests.id('Alder'), tests.id('9'), 'XX 1')$$, '23503', null,
  'not even in SQL does a vehicle mix two communities');
select lives_ok($$select public.register_vehicle(tests.id('9'), 'CB 1208 BH')$$, 'another community has its own vehicles');
select is((select count(*) from public.vehicles v where v.community_id = tests.id('Alder')), 2::bigint, 'what was refused left nothing behind');

-- Approval ------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('tom');
select tests.keep('toms', public.register_vehicle(tests.id('1'), 'PB 7777 MK'));
select is((select v.status || ' ' || (v.resident_id = tests.id('Tom')) from public.vehicles v where v.id = tests.kept('toms')::uuid), 'pending true',
  'what a tenant registers is the tenant''s, and waits for approval');
select is(tests.seen('public.vehicles', 'plate'), 'PB 7777 MK', 'a tenant sees no vehicle of the owner');
select throws_ok($$select public.register_vehicle(tests.id('2'), 'XX 1')$$, 'PT403', 'permission_denied', 'nobody registers for a neighbour''s unit');
select throws_ok($$select public.register_vehicle(tests.id('1'), 'XX 1', resident_id => tests.id('Ana'))$$, 'PT404', 'resident_not_found', 'nor for somebody they do not see');
select throws_ok($$select public.register_vehicle(tests.id('1'), 'XX 1', tag_number => '1')$$, 'PT403', 'permission_denied', 'nor gives themselves a tag');
select throws_ok(format($$select public.set_vehicle_status(%L, 'active')$$, tests.kept('toms')), 'PT403', 'permission_denied', 'nobody approves their own vehicle');
select throws_ok(format($$select public.set_vehicle_status(%L, 'removed')$$, tests.kept('car')), 'PT404', 'vehicle_not_found', 'nor removes one they do not see');

select tests.authenticate_as('nina');
select lives_ok($$select public.register_vehicle(tests.id('2'), 'PB 7777 MK')$$, 'what waits does not hold its plate');
select tests.authenticate_as('manager');
select lives_ok(format($$select public.set_vehicle_status(%L, 'active')$$, tests.kept('toms')), 'the management approves one of the two');
select throws_ok($$select public.set_vehicle_status(v.id, 'active') from public.vehicles v where v.unit_id = tests.id('2') and v.plate = 'PB 7777 MK'$$, 'PT409', 'plate_taken', 'and cannot approve the other');
select public.set_vehicle_status(tests.kept('toms')::uuid, 'suspended', 'Blocks the ramp');
select tests.authenticate_as('tom');
select throws_ok(format($$select public.set_vehicle_status(%L, 'removed')$$, tests.kept('toms')), 'PT403', 'permission_denied', 'a suspended vehicle is not removed by its people, who could register it anew');
select throws_ok($$select public.register_vehicle(tests.id('1'), 'PB 7777 MK')$$, 'PT409', 'plate_taken', 'and keeps its plate');
select tests.authenticate_as('ana');
select is(tests.seen('public.vehicles', 'plate'), 'CB 1208 BH, PB 7777 MK', 'an owner sees whatever is parked in the name of the unit');
select tests.authenticate_as('manager');
select public.set_vehicle_status(tests.kept('toms')::uuid, 'active');
select throws_ok(format($$select public.set_vehicle_status(%L, 'pending')$$, tests.kept('toms')), 'PT409', 'transition_refused', 'nothing goes back to waiting');

select public.set_setting('general.vehicles_per_unit', '2', community_id => tests.id('Alder'), unit_id => tests.id('1'));
select throws_ok($$select public.register_vehicle(tests.id('1'), 'XX 1')$$, 'PT409', 'too_many_vehicles', 'a unit has no more vehicles than its setting says');
select public.set_setting('general.vehicles_per_unit', null, community_id => tests.id('Alder'), unit_id => tests.id('1'));

-- At the gate ---------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('guard');
select is((select f.match || ' ' || f.unit || ' ' || f.resident_name || ' ' || f.is_active from public.find_vehicle(tests.id('Alder'), 'св i2o8 вн') f), 'exact 1 Ana true',
  'a guard finds a vehicle whatever the spelling, with unit and name');
select is((select f.match || ' ' || f.distance || ' ' || f.registered_plate from public.find_vehicle(tests.id('Alder'), 'CB 1203 BH') f), 'near 1 CB 1208 BH',
  'a misread character finds it as near');
select is((select count(*) from public.find_vehicle(tests.id('Alder'), 'CB 9934 BH')), 0::bigint, 'three misread characters find nothing');
select throws_ok($$select * from public.find_vehicle(tests.id('Alder'), '🚗')$$, 'PT422', 'invalid_value', 'a picture is asked for in vain');
select throws_ok($$select * from public.find_vehicle(tests.id('Cedar'), 'CB 1208 BH')$$, 'PT403', 'permission_denied', 'and so is another community''s plate');
select tests.authenticate_as('tom');
select throws_ok($$select * from public.find_vehicle(tests.id('Alder'), 'CB 1208 BH')$$, 'PT403', 'permission_denied', 'residents do not look up their neighbours');

-- Leaving -------------------------------------------------------------------------------------------------------------------

select tests.as_studio();
set local session_replication_role = replica;
update public.occupancies set ends_on = current_date - 1 where id = tests.id('Tom tenant 1');
set local session_replication_role = origin;
select is((select f.is_active::text || ' ' || f.status from public.find_vehicle(tests.id('Alder'), 'PB 7777 MK') f where f.unit = '1'), 'false active',
  'the day after somebody moved out their vehicle is not active, although no job has run');
select lives_ok($$select public.register_vehicle(tests.id('2'), 'PB 7777 MK', resident_id => tests.id('Nina'))$$, 'and does not keep its plate from whoever has bought it');
select is((select v.status || ' ' || v.status_reason from public.vehicles v where v.id = tests.kept('toms')::uuid), 'removed moved_out', 'it is removed, with the reason');
update public.occupancies set ends_on = current_date - 1 where id = tests.id('Ana owner 1');
select is((select v.status::text from public.vehicles v where v.id = tests.kept('car')::uuid), 'active', 'until the end is noticed the row stays');
select app.job_occupancy_dates();
select is((select v.status::text from public.vehicles v where v.id = tests.kept('car')::uuid), 'removed', 'and with the job it becomes history');

select * from finish();
rollback;
