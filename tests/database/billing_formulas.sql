-- Formulas: what they are evaluated with, who may have it done, and that what they came to counts only while nothing has changed.

begin;
select plan(40);

select tests.create_community('Alder'), tests.create_community('Cedar');
insert into public.buildings (id, name, community_id) values (tests.id('A'), 'A', tests.id('Alder'));
insert into public.entrances (id, name, community_id, building_id, has_elevator) values (tests.id('A1'), '1', tests.id('Alder'), tests.id('A'), true);
insert into public.units (id, number, community_id, building_id, entrance_id, type, floor, area, ideal_parts, occupant_count)
select tests.id(u.id), u.id, tests.id('Alder'), tests.id('A'), tests.id(u.entrance), u.type::public.unit_type, u.floor, u.area, 50, u.persons
from (values ('1', 'A1', 'apartment', 0, 40.5, 2), ('2', null, 'shop', 1, null, null)) u (id, entrance, type, floor, area, persons);
select tests.create_supabase_user(u) from unnest(array['accountant', 'guard', 'cedar manager', 'ana']) u;
select tests.grant_role('accountant', 'accountant', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'), tests.grant_role('cedar manager', 'manager', community => 'Cedar');
select tests.create_resident('Ana', 'Alder', tests.email('ana'));
select tests.occupy('Ana', '1', 'owner', '2020-01-01');

select tests.keep('key', public.create_allocation_key(tests.id('Alder'), 'Ours', 'formula', formula => 'floor + persons')::text);
select tests.keep('plain', public.create_allocation_key(tests.id('Alder'), 'Plain', 'area')::text);

create function pg_temp.told(formula text default null) returns jsonb language plpgsql as $$
begin
  return public.formula_inputs(tests.kept('key')::uuid, '2026-01-01', '2026-01-31', formula);
exception when others then
  return to_jsonb(sqlstate || ' ' || sqlerrm);
end;
$$;
create function pg_temp.store(told jsonb, weights jsonb, first date default '2026-01-01') returns text language plpgsql as $$
begin
  perform public.store_formula_weights(tests.kept('key')::uuid, (told ->> 'version')::integer, first, '2026-01-31', told ->> 'digest', weights, (told ->> 'caller')::uuid);
  return 'stored';
exception when others then
  return sqlstate || ' ' || sqlerrm;
end;
$$;
create function pg_temp.come_to(one text, two text) returns jsonb language sql as $$
  select jsonb_build_array(jsonb_build_object('unit_id', tests.id('1'), 'weight', one::numeric), jsonb_build_object('unit_id', tests.id('2'), 'weight', two::numeric))
$$;
create function pg_temp.weights() returns text language plpgsql as $$
begin
  return (select string_agg(u.number || '=' || trim_scale(w.weight) || ' ' || w.inputs, ', ' order by w.place)
    from app.unit_weights(tests.kept('key')::uuid, '2026-01-01', '2026-01-31') w join public.units u on u.id = w.unit_id);
exception when others then
  return sqlstate || ' ' || sqlerrm;
end;
$$;
grant execute on function pg_temp.told(text), pg_temp.store(jsonb, jsonb, date), pg_temp.come_to(text, text), pg_temp.weights() to authenticated, service_role;

-- What it is evaluated with ----------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select is(pg_temp.told() - 'digest', jsonb_build_object('version', 1, 'formula', 'floor + persons', 'is_missing_zero', false, 'caller', tests.id('accountant'), 'units', jsonb_build_array(
  jsonb_build_array(tests.id('1'), '1', '{"floor": 0, "persons": 2}'::jsonb), jsonb_build_array(tests.id('2'), '2', '{"floor": 1, "persons": 0}'::jsonb))),
  'what the formula asks of every unit, in order, and for whom');
select is(pg_temp.told('area * shares + has_elevator + is_shop + is_apartment') -> 'units' -> 0 -> 2,
  '{"area": 40.50, "shares": 50.000000, "has_elevator": 1, "is_shop": 0, "is_apartment": 1}'::jsonb, 'another formula is told what it asks for');
select is(pg_temp.told('area') -> 'units' -> 1 -> 2, '{"area": null}'::jsonb, 'what nobody knows is told as unknown');
select is(pg_temp.told('meter_heat + 1') -> 'units' -> 0 -> 2, '{"meter_heat": null}'::jsonb, 'what nobody measured too');
select public.enter_allocation_inputs(tests.id('Alder'), 'heat', '2026-01-01', '2026-01-31', jsonb_build_array(jsonb_build_object('unit_id', tests.id('1'), 'quantity', 7.5)));
select is(pg_temp.told('meter_heat') -> 'units' -> 0 -> 2, '{"meter_heat": 7.500000}'::jsonb, 'what was measured is told');
select is(pg_temp.told('constructor + process + password') -> 'units' -> 0 -> 2, '{}'::jsonb, 'what is nothing of a unit is not');
select is(pg_temp.told(repeat('1', 2001)), '"PT422 formula_too_complex"', 'a long formula is refused');
select throws_ok(format($$select public.formula_inputs(%L, '2026-01-31', '2026-01-01')$$, tests.kept('key')), 'PT422', 'invalid_value', 'and a period that ends before it begins');
select throws_ok(format($$select public.formula_inputs(%L, '2026-01-01', 'infinity')$$, tests.kept('key')), 'PT422', 'invalid_value', 'or never');
select throws_ok(format($$select public.formula_inputs(%L, '2026-01-01', '2026-01-31')$$, tests.kept('plain')), 'PT422', 'allocation_key_without_formula', 'a key without a formula has nothing to evaluate');
select tests.keep('told', pg_temp.told()::text);

-- Who --------------------------------------------------------------------------------------------------------------------

select is(pg_temp.store(tests.kept('told')::jsonb, pg_temp.come_to('2', '1')), '42501 permission denied for function store_formula_weights', 'no user says what a formula came to');
select tests.authenticate_as('guard');
select is(pg_temp.told(), '"PT404 allocation_key_not_found"', 'a guard asks for nothing');
select tests.authenticate_as('ana');
select is(pg_temp.told(), '"PT403 permission_denied"', 'an owner may see the key and not have it evaluated');
select tests.authenticate_as('cedar manager');
select is(pg_temp.told(), '"PT404 allocation_key_not_found"', 'another community''s manager finds no such key');
select tests.clear_authentication();
select throws_ok(format($$select public.formula_inputs(%L, '2026-01-01', '2026-01-31')$$, tests.kept('key')), '42501', null, 'whoever is not signed in may not even ask');
select tests.as_studio();
select is((select count(*) from public.formula_evaluations), 0::bigint, 'nothing was stored');
select is(pg_temp.weights(), 'PT409 formula_not_evaluated', 'and nothing can be shared out');

-- What it came to --------------------------------------------------------------------------------------------------------

select tests.authenticate_as_service_role();
select is(pg_temp.store(tests.kept('told')::jsonb, pg_temp.come_to('2.5', '-1')), 'PT422 invalid_value', 'no weight is negative');
select is(pg_temp.store(tests.kept('told')::jsonb, pg_temp.come_to('2.5', 'NaN')), 'PT422 invalid_value', 'or no number');
select is(pg_temp.store(tests.kept('told')::jsonb, pg_temp.come_to('2.5', 'Infinity')), 'PT422 invalid_value', 'or endless');
select is(pg_temp.store(tests.kept('told')::jsonb, pg_temp.come_to('2.5', '1e16')), 'PT422 invalid_value', 'or huge');
select is(pg_temp.store(tests.kept('told')::jsonb, pg_temp.come_to('2.5', '0.0000000001')), 'PT422 invalid_value', 'or finer than nine decimals');
select is(pg_temp.store(tests.kept('told')::jsonb, jsonb_build_array(jsonb_build_object('unit_id', tests.id('1'), 'weight', 1))), 'PT422 invalid_value', 'every unit has one');
select is(pg_temp.store(tests.kept('told')::jsonb, pg_temp.come_to('1', '1') || pg_temp.come_to('1', '1')), 'PT422 invalid_value', 'and only one');
select is(pg_temp.store(tests.kept('told')::jsonb || '{"version": 2}', pg_temp.come_to('1', '1')), 'PT409 formula_inputs_changed', 'of the version that there is');
select is(pg_temp.store(tests.kept('told')::jsonb || '{"digest": "other"}', pg_temp.come_to('1', '1')), 'PT409 formula_inputs_changed', 'from the values that there are');
select is((select count(*) from public.formula_evaluations), 0::bigint, 'nothing of what was refused is stored');
select is(pg_temp.store(tests.kept('told')::jsonb, pg_temp.come_to('2', '1')), 'stored', 'what it came to is stored');
select tests.as_studio();
select is((select format('%s %s %s %s', formula, version, unit_count, created_by = tests.id('accountant')) from public.formula_evaluations), 'floor + persons 1 2 t', 'in the name of who had it evaluated');
select is(pg_temp.weights(), '1=2 {"floor": 0, "persons": 2}, 2=1 {"floor": 1, "persons": 0}', 'and counts, with what it came from');
select throws_ok($$update public.formula_weights set weight = 9$$, 'PT409', 'append_only', 'nobody changes it');
select tests.authenticate_as('ana');
select is((select count(*) from public.formula_weights), 0::bigint, 'an owner sees no neighbour''s');

-- Until something changes ------------------------------------------------------------------------------------------------

select tests.as_studio();
update public.units set area = 99 where id = tests.id('2');
select is(pg_temp.weights(), '1=2 {"floor": 0, "persons": 2}, 2=1 {"floor": 1, "persons": 0}', 'what the formula does not ask for may change');
update public.units set floor = 3 where id = tests.id('2');
select is(pg_temp.weights(), 'PT409 formula_not_evaluated', 'what it asks for may not');
update public.units set floor = 1 where id = tests.id('2');
select is(pg_temp.weights(), '1=2 {"floor": 0, "persons": 2}, 2=1 {"floor": 1, "persons": 0}', 'as it was, it counts again');
select tests.create_unit('3', 'Alder');
select is(pg_temp.weights(), 'PT409 formula_not_evaluated', 'nor may a unit come');
update public.units set deleted_at = now() where id = tests.id('3');
select is((select count(*) from app.unit_weights(tests.kept('key')::uuid, '2026-01-01', '2026-01-31')), 2::bigint, 'unless it goes again');
select throws_ok(format($$select app.unit_weights(%L, '2026-01-01', '2026-02-28')$$, tests.kept('key')), 'PT409', 'formula_not_evaluated', 'another period is another matter');
select public.change_allocation_key(tests.kept('key')::uuid, formula => 'floor * 2');
select is(pg_temp.weights(), 'PT409 formula_not_evaluated', 'another formula is too');
select public.set_allocation_key_status(tests.kept('key')::uuid, 'inactive');
select tests.authenticate_as('accountant');
select is(pg_temp.told(), '"PT409 allocation_key_inactive"', 'a key out of use is not evaluated');

select * from finish();
rollback;
