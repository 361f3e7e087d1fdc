-- Pets: a chip is one living animal's, vaccinations make sense, and nobody learns who complained.

begin;
select plan(31);

select tests.create_community('Alder', time_zone => 'Pacific/Kiritimati'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_unit('9', 'Cedar');
select tests.create_supabase_user('ana'), tests.create_supabase_user('nina'), tests.create_supabase_user('manager'), tests.create_supabase_user('guard');
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.create_resident('Nina', 'Alder', tests.email('nina')), tests.create_resident('Cedric', 'Cedar');
select tests.occupy('Ana', '1', 'owner', current_date - 100), tests.occupy('Nina', '2', 'tenant', current_date - 100), tests.occupy('Cedric', '9', 'owner', current_date - 100);
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder');
-- The community's day.
select tests.keep('today', (now() at time zone 'Pacific/Kiritimati')::date);

-- Registering -----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
select tests.keep('rex', public.register_pet(tests.id('1'), 'Рекс', 'dog', chip_number => '100 2340-0000.0001', born_on => date '2020-05-01'));
select is((select p.chip_number || ' ' || (p.resident_id = tests.id('Ana')) from public.pets p), '100234000000001 true', 'a chip is kept as its fifteen digits, and the pet is the caller''s');
select throws_ok($$select public.register_pet(tests.id('1'), 'Twin', 'dog', chip_number => '100234000000001')$$, 'PT409', 'chip_taken', 'two living pets do not share a chip');
select throws_ok($$select public.register_pet(tests.id('1'), 'Rex', 'dog', chip_number => '12345')$$, 'PT422', 'invalid_value', 'a chip number has fifteen digits');
select throws_ok($$select public.register_pet(tests.id('1'), 'Rex', 'dog', born_on => current_date + 3)$$, 'PT422', 'invalid_value', 'a pet is born before it is registered');
select throws_ok($$select public.register_pet(tests.id('2'), 'Rex', 'dog')$$, 'PT403', 'permission_denied', 'nobody registers a pet in a neighbour''s unit');
select throws_ok($$select public.register_pet(tests.id('9'), 'Rex', 'dog')$$, 'PT403', 'permission_denied', 'nor in another community');
select tests.authenticate_as('nina');
select is(tests.seen('public.pets', 'name'), 'nothing', 'a neighbour sees no pet');
select tests.authenticate_as('guard');
select is(tests.seen('public.pets', 'name'), 'Рекс', 'a guard does');
select is(tests.seen('public.pet_vaccinations', 'vaccine'), 'nothing', 'but no vaccination');

-- Vaccinations ----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
select throws_ok($$select public.record_vaccination(tests.kept('rex')::uuid, 'Rabies', tests.kept('today')::date, tests.kept('today')::date - 1)$$, 'PT422', 'invalid_value', 'nothing is due before it was given');
select throws_ok($$select public.record_vaccination(tests.kept('rex')::uuid, 'Rabies', tests.kept('today')::date + 1)$$, 'PT422', 'invalid_value', 'nor given tomorrow');
select lives_ok($$select public.record_vaccination(tests.kept('rex')::uuid, 'Parvo', tests.kept('today')::date)$$, 'today is the community''s day');
select throws_ok($$select public.record_vaccination(tests.kept('rex')::uuid, 'Rabies', date '2020-04-30')$$, 'PT422', 'invalid_value', 'nor before the pet was born');
select is((select count(*) from public.pet_vaccinations), 1::bigint, 'what was refused left nothing behind');
select public.record_vaccination(tests.kept('rex')::uuid, 'Rabies', tests.kept('today')::date - 700, tests.kept('today')::date - 335);
select public.record_vaccination(tests.kept('rex')::uuid, 'rabies', tests.kept('today')::date - 330, tests.kept('today')::date + 14);
select public.record_vaccination(tests.kept('rex')::uuid, 'DHPP', tests.kept('today')::date - 330, tests.kept('today')::date + 15);
select throws_ok($$select public.record_vaccination(tests.kept('rex')::uuid, 'DHPP', tests.kept('today')::date - 330)$$, 'PT409', 'vaccination_recorded', 'one vaccination is recorded once');
select throws_ok($$update public.pet_vaccinations set due_on = null$$, '42501', null, 'and does not change');

select tests.as_studio();
select app.job_pet_vaccinations();
select results_eq(
  $$select v.vaccine from app.outbox o join public.pet_vaccinations v on v.id = (o.payload ->> 'vaccination_id')::uuid
    where o.topic = 'pet.vaccination_due' and o.community_id = tests.id('Alder')$$,
  array['rabies'], 'a reminder goes out fourteen days ahead by the community''s date, not fifteen, and not for what a newer one replaced');
select app.job_pet_vaccinations();
select is((select count(*) from app.outbox o where o.topic = 'pet.vaccination_due' and o.community_id = tests.id('Alder')), 1::bigint, 'and once');
select public.set_setting('notifications.pet_vaccination_days', '15', community_id => tests.id('Alder'));
select app.job_pet_vaccinations();
select is((select count(*) from app.outbox o where o.topic = 'pet.vaccination_due' and o.community_id = tests.id('Alder')), 2::bigint, 'the community says how many days ahead');

-- Incidents -------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('nina');
select tests.keep('bite', public.report_pet_incident(tests.id('Alder'), 'Bit a cyclist at the gate.', pet_id => tests.kept('rex')::uuid, severity => 'grave'));
select is(tests.seen('public.pet_incidents', 'description'), 'Bit a cyclist at the gate.', 'whoever reports sees what they reported');
select throws_ok($$select public.report_pet_incident(tests.id('Cedar'), 'Barked.')$$, 'PT403', 'permission_denied', 'and reports where they live');
select throws_ok($$select public.report_pet_incident(tests.id('Alder'), 'Will bark.', now() + interval '1 hour')$$, 'PT422', 'invalid_value', 'what has happened');
select throws_ok($$select * from public.pet_history(tests.kept('rex')::uuid)$$, 'PT404', 'pet_not_found', 'but not the history of a neighbour''s pet');
select tests.authenticate_as('ana');
select is(tests.seen('public.pet_incidents', 'description'), 'nothing', 'the owner does not see the row with the reporter in it');
select ok(not exists (select from public.pet_history(tests.kept('rex')::uuid) h where to_jsonb(h)::text like '%' || tests.id('nina') || '%'), 'nor learns from the history who reported');
select is((select h.what || ' ' || h.severity from public.pet_history(tests.kept('rex')::uuid) h where h.kind = 'incident'), 'Bit a cyclist at the gate. grave', 'but what happened');
select throws_ok($$select public.settle_pet_incident(tests.kept('bite')::uuid, 'dismissed')$$, 'PT404', 'incident_not_found', 'and does not settle it');
select tests.authenticate_as('manager');
select lives_ok($$select public.settle_pet_incident(tests.kept('bite')::uuid, 'resolved', 'Muzzle ordered.')$$, 'the management does');
select is((select i.reported_by from public.pet_incidents i), tests.id('nina'), 'and knows who reported');

-- Leaving ---------------------------------------------------------------------------------------------------------------------

select tests.as_studio();
update public.occupancies set ends_on = current_date - 2 where id = tests.id('Ana owner 1');
select app.job_occupancy_dates();
select is((select p.status::text from public.pets p where p.id = tests.kept('rex')::uuid), 'moved_away', 'a pet moves away with its people');
select lives_ok($$select public.register_pet(tests.id('2'), 'Rex', 'dog', tests.id('Nina'), chip_number => '100234000000001')$$, 'and its chip may be registered where it lives now');

select * from finish();
rollback;
