-- Allocation keys: what they weigh, whom they concern, and that every change of what they compute makes a new version.

begin;
select plan(69);

select tests.create_community('Alder'), tests.create_community('Cedar');
insert into public.buildings (id, name, community_id) values (tests.id('B'), 'B', tests.id('Alder')), (tests.id('A'), 'A', tests.id('Alder')), (tests.id('C'), 'C', tests.id('Cedar'));
insert into public.entrances (id, name, community_id, building_id) values (tests.id('A1'), '1', tests.id('Alder'), tests.id('A')), (tests.id('A2'), '2', tests.id('Alder'), tests.id('A'));
insert into public.units (id, number, community_id, building_id, entrance_id, type, floor, area, ideal_parts, occupant_count)
select tests.id(u.id), u.number, tests.id('Alder'), tests.id(u.building), tests.id(u.entrance), u.type::public.unit_type, u.floor, u.area, u.parts, u.persons
from (values
  ('a10', '10', 'A', 'A2', 'apartment', 2, 50.5, 20, 0),
  ('a2', '2', 'A', 'A1', 'apartment', 0, 40, 15, 2),
  ('a1', '1', 'A', 'A1', 'shop', 0, 60, 25, null),
  ('b1', '1', 'B', null, 'apartment', 1, 70, 30, 4),
  ('house', '1', null, null, 'house', null, 100, 10, 3)
) u (id, number, building, entrance, type, floor, area, parts, persons);
select tests.create_unit('cedar 1', 'Cedar');
select tests.create_supabase_user(u) from unnest(array['accountant', 'committee', 'guard', 'ana', 'cedar manager']) u;
select tests.grant_role('accountant', 'accountant', community => 'Alder'), tests.grant_role('committee', 'committee', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'),
  tests.grant_role('cedar manager', 'manager', community => 'Cedar');
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.create_resident('Boris', 'Alder'), tests.create_resident('Clara', 'Alder');
select tests.occupy('Ana', 'a1', 'owner', '2020-01-01'), tests.occupy('Boris', 'a1', 'tenant', '2020-01-01', '2026-01-20'), tests.occupy('Clara', 'a1', 'guest', '2020-01-01', '2030-01-01');

create function pg_temp.make(name text, method public.allocation_method, told jsonb default '{}') returns uuid language sql as $$
  select public.create_allocation_key(tests.id('Alder'), make.name, make.method, told ->> 'measure', told ->> 'formula', coalesce((told -> 'is_normalised')::boolean, false),
    coalesce((told -> 'is_missing_zero')::boolean, false), parts => coalesce(told -> 'parts', '[]'), places => coalesce(told -> 'places', '[]'),
    exclusions => coalesce(told -> 'exclusions', '[]'), weights => coalesce(told -> 'weights', '[]'))
$$;
create function pg_temp.key(name text) returns uuid language sql stable as $$ select k.id from public.allocation_keys k where k.name = key.name $$;
create function pg_temp.version(name text) returns integer language sql stable as $$ select k.version from public.allocation_keys k where k.name = version.name $$;
create function pg_temp.refused(name text, method public.allocation_method, told jsonb default '{}') returns text language plpgsql as $$
begin
  perform pg_temp.make(name, method, told);
  return 'made';
exception when others then
  return sqlstate || ' ' || sqlerrm;
end;
$$;
-- unit=weight, in the order of ties
create function pg_temp.weights(name text) returns text language plpgsql as $$
begin
  return (
    select string_agg(coalesce(b.name || '/', '') || u.number || '=' || trim_scale(w.weight), ' ' order by w.place)
    from app.unit_weights(pg_temp.key(weights.name), '2026-01-01', '2026-01-31') w join public.units u on u.id = w.unit_id left join public.buildings b on b.id = u.building_id);
exception when others then
  return sqlstate || ' ' || sqlerrm;
end;
$$;

grant execute on function pg_temp.make(text, public.allocation_method, jsonb), pg_temp.key(text), pg_temp.version(text) to authenticated;

-- What each method counts ------------------------------------------------------------------------------------------------

select pg_temp.make('shares', 'shares'), pg_temp.make('area', 'area'), pg_temp.make('units', 'per_unit'), pg_temp.make('persons', 'per_person'),
  pg_temp.make('water', 'metered', '{"measure": "water"}'),
  pg_temp.make('fixed', 'fixed', jsonb_build_object('weights', jsonb_build_array(jsonb_build_object('unit_id', tests.id('a10'), 'weight', 12.5), jsonb_build_object('unit_id', tests.id('b1'), 'weight', 7)))),
  pg_temp.make('hybrid', 'hybrid', '{"parts": [{"method": "area", "percent": 60}, {"method": "per_unit", "percent": 40}]}');
select is(pg_temp.weights('units'), '1=1 A/1=1 A/2=1 A/10=1 B/1=1', 'per unit: alike, and the order is by building, then by number, 2 before 10');
select is(pg_temp.weights('shares'), '1=10 A/1=25 A/2=15 A/10=20 B/1=30', 'by ideal parts');
select is(pg_temp.weights('area'), '1=100 A/1=60 A/2=40 A/10=50.5 B/1=70', 'by square metres');
select is(pg_temp.weights('persons'), '1=3 A/1=1 A/2=2 A/10=0 B/1=4', 'by persons as declared, or as known to live there on the last day: guests are none, and the tenant has left');
select is(pg_temp.weights('fixed'), '1=0 A/1=0 A/2=0 A/10=12.5 B/1=7', 'by weights that were set');
-- By area of 320.5, and 5 units: 60 × area ÷ 320.5 + 40 × 1 ÷ 5, over the common denominator.
select is(pg_temp.weights('hybrid'), '1=42820 A/1=30820 A/2=24820 A/10=27970 B/1=33820', 'of each part of a mixture what the unit has of it');
select is((select sum(w.weight) from app.unit_weights(pg_temp.key('hybrid'), '2026-01-01', '2026-01-31') w), 100 * 320.5 * 5, 'together the whole, and nothing is rounded');

select is(pg_temp.weights('water'), 'PT422 allocation_input_missing', 'nobody bears nothing because nobody read the meter');
select public.enter_allocation_inputs(tests.id('Alder'), 'water', s.first, s.last, jsonb_agg(jsonb_build_object('unit_id', tests.id(u), 'quantity', s.quantity)))
from unnest(array['a1', 'a2', 'a10', 'b1']) u
cross join (values (date '2025-12-15', date '2026-01-02', 3), ('2026-01-03', '2026-01-31', 4), ('2026-02-01', '2026-02-28', 50), ('2025-11-01', '2025-12-14', 70)) s (first, last, quantity)
group by s.first, s.last;
select is(pg_temp.weights('water'), 'PT422 allocation_input_missing', 'not even one unit');
select public.change_allocation_key(pg_temp.key('water'), exclusions => jsonb_build_array(jsonb_build_object('unit_id', tests.id('house'), 'reason', 'Has a well')));
select is(pg_temp.weights('water'), 'A/1=7 A/2=7 A/10=7 B/1=7', 'metered: every quantity whose last day lies in the period, and no other');
select pg_temp.make('water or nothing', 'metered', '{"measure": "water", "is_missing_zero": true}');
select is(pg_temp.weights('water or nothing'), '1=0 A/1=7 A/2=7 A/10=7 B/1=7', 'unless the key says that unknown is nothing');
update public.units set area = null where id = tests.id('a2');
select is(pg_temp.weights('area'), 'PT422 allocation_input_missing', 'an area that nobody entered is not zero');
update public.units set area = 40 where id = tests.id('a2');

-- Whom it concerns -------------------------------------------------------------------------------------------------------

select pg_temp.make('lift', 'area', '{"exclusions": [{"floor_from": -3, "floor_to": 0, "reason": "No lift"}]}');
select is(pg_temp.weights('lift'), '1=100 A/10=50.5 B/1=70', 'the ground floor pays no lift; a house without a floor is on none');
select pg_temp.make('flats', 'area', '{"exclusions": [{"unit_type": "shop"}, {"unit_type": "house"}]}');
select is(pg_temp.weights('flats'), 'A/2=40 A/10=50.5 B/1=70', 'types of units are left out');
select pg_temp.make('building', 'area', jsonb_build_object('places', jsonb_build_array(jsonb_build_object('building_id', tests.id('A')))));
select is(pg_temp.weights('building'), 'A/1=60 A/2=40 A/10=50.5', 'one building alone');
select pg_temp.make('entrance', 'area', jsonb_build_object('places', jsonb_build_array(jsonb_build_object('building_id', tests.id('A'), 'entrance_id', tests.id('A1')))));
select is(pg_temp.weights('entrance'), 'A/1=60 A/2=40', 'one entrance alone');
select pg_temp.make('two places', 'area', jsonb_build_object(
  'places', jsonb_build_array(jsonb_build_object('building_id', tests.id('A'), 'entrance_id', tests.id('A2')), jsonb_build_object('building_id', tests.id('B'))),
  'exclusions', jsonb_build_array(jsonb_build_object('unit_id', tests.id('b1')))));
select is(pg_temp.weights('two places'), 'A/10=50.5', 'several places, and a unit left out of them');
update public.units set deleted_at = now() where id = tests.id('a10');
select is(pg_temp.weights('two places'), null, 'who is archived counts no more');
select is(pg_temp.weights('fixed'), '1=0 A/1=0 A/2=0 B/1=7', 'nor with the weight that was set');
update public.units set deleted_at = null where id = tests.id('a10');
select is(pg_temp.weights('fixed'), '1=0 A/1=0 A/2=0 A/10=12.5 B/1=7', 'which comes back with the unit');

-- The whole --------------------------------------------------------------------------------------------------------------

select pg_temp.make('shares of A', 'shares', jsonb_build_object('places', jsonb_build_array(jsonb_build_object('building_id', tests.id('A')))));
select is(pg_temp.weights('shares of A'), 'PT409 shares_not_whole', 'ideal parts of a part of the community are not the whole');
select throws_matching($$select app.unit_weights(pg_temp.key('shares of A'), '2026-01-01', '2026-01-31')$$, 'shares_not_whole', 'and are refused');
select is(public.change_allocation_key(pg_temp.key('shares of A'), is_normalised => true), 2, 'unless the key takes them as the whole');
select is(pg_temp.weights('shares of A'), 'A/1=25 A/2=15 A/10=20', 'then they are');
update public.units set ideal_parts = 29.999999 where id = tests.id('b1');
select is(pg_temp.weights('shares'), 'PT409 shares_not_whole', 'a millionth too little is not the whole');
select is(pg_temp.weights('shares of A'), 'A/1=25 A/2=15 A/10=20', 'which does not concern who normalises');
update public.units set ideal_parts = 30.000001 where id = tests.id('b1');
select is(pg_temp.weights('shares'), 'PT409 shares_not_whole', 'nor is a millionth too much');
update public.units set ideal_parts = 30 where id = tests.id('b1');
select pg_temp.make('mixture with shares', 'hybrid', jsonb_build_object('parts', '[{"method": "shares", "percent": 50}, {"method": "per_unit", "percent": 50}]'::jsonb,
  'places', jsonb_build_array(jsonb_build_object('building_id', tests.id('A')))));
select is(pg_temp.weights('mixture with shares'), 'PT409 shares_not_whole', 'a part by ideal parts is no exception');
select pg_temp.make('mixture of nothing', 'hybrid', '{"parts": [{"method": "fixed", "percent": 50}, {"method": "per_unit", "percent": 50}]}');
select is(pg_temp.weights('mixture of nothing'), 'PT422 allocation_no_weight', 'nor may a part have no weight at all');

-- What a key is made of --------------------------------------------------------------------------------------------------

select is(pg_temp.refused('x', 'metered'), 'PT422 invalid_value', 'a metered key says of what');
select is(pg_temp.refused('x', 'area', '{"measure": "water"}'), 'PT422 invalid_value', 'others do not');
select is(pg_temp.refused('x', 'formula'), 'PT422 invalid_value', 'a formula key has one');
select is(pg_temp.refused('x', 'area', '{"formula": "area"}'), 'PT422 invalid_value', 'others have not');
select is(pg_temp.refused('x', 'formula', jsonb_build_object('formula', repeat('1+', 500000) || '1')), 'PT422 invalid_value', 'of a megabyte it is none');
select is(pg_temp.refused('x', 'area', '{"is_normalised": true}'), 'PT422 invalid_value', 'what is normalised are ideal parts');
select is(pg_temp.refused('area', 'area'), 'PT409 name_taken', 'a name is taken once');
select is(pg_temp.refused(' x', 'area'), 'PT422 invalid_value', 'and is a name');
select is(pg_temp.refused('x', 'hybrid'), 'PT422 parts_not_whole', 'a hybrid has parts');
select is(pg_temp.refused('x', 'hybrid', '{"parts": [{"method": "area", "percent": 60}, {"method": "per_unit", "percent": 39.999999}]}'), 'PT422 parts_not_whole', 'that make the whole');
select is(pg_temp.refused('x', 'hybrid', '{"parts": [{"method": "hybrid", "percent": 50}, {"method": "per_unit", "percent": 50}]}'), 'PT422 invalid_value', 'and are no hybrids');
select is(pg_temp.refused('x', 'hybrid', '{"parts": [{"method": "area", "percent": -50}, {"method": "per_unit", "percent": 150}]}'), 'PT422 invalid_value', 'nor less than nothing');
select is(pg_temp.refused('x', 'hybrid', '{"parts": [{"method": "weight", "percent": 50}]}'), 'PT422 invalid_value', 'by methods that there are');
select is(pg_temp.refused('x', 'area', '{"parts": [{"method": "per_unit", "percent": 40}]}'), 'PT422 parts_not_whole', 'others have none');
select is(pg_temp.refused('x', 'area', '{"parts": {"method": "per_unit"}}'), 'PT422 invalid_value', 'lists are lists');
select is(pg_temp.refused('x', 'area', '{"exclusions": [{}]}'), 'PT422 invalid_value', 'what is left out is something');
select is(pg_temp.refused('x', 'area', '{"exclusions": [{"floor_from": 3, "floor_to": 1}]}'), 'PT422 invalid_value', 'floors go up');
select is(pg_temp.refused('x', 'area', jsonb_build_object('exclusions', jsonb_build_array(jsonb_build_object('unit_id', tests.id('cedar 1'))))), 'PT404 unit_not_found', 'units are of the community');
select is(pg_temp.refused('x', 'fixed', jsonb_build_object('weights', jsonb_build_array(jsonb_build_object('unit_id', tests.id('cedar 1'), 'weight', 1)))), 'PT404 unit_not_found', 'with their weights');
select is(pg_temp.refused('x', 'area', jsonb_build_object('places', jsonb_build_array(jsonb_build_object('building_id', tests.id('C'))))), 'PT404 building_not_found', 'buildings too');
select is(pg_temp.refused('x', 'area', jsonb_build_object('places', jsonb_build_array(jsonb_build_object('building_id', tests.id('B'), 'entrance_id', tests.id('A1'))))), 'PT404 entrance_not_found', 'entrances of the building');
select is(pg_temp.refused('x', 'fixed', jsonb_build_object('weights', jsonb_build_array(jsonb_build_object('unit_id', tests.id('a1'), 'weight', -1)))), 'PT422 invalid_value', 'a weight is not negative');
select is((select count(*) from public.allocation_keys where name in ('x', ' x')), 0::bigint, 'nothing of what was refused is there');

-- Versions ---------------------------------------------------------------------------------------------------------------

select is(pg_temp.version('hybrid'), 1, 'a key begins with version 1, whatever it is made of');
select is(public.change_allocation_key(pg_temp.key('hybrid'), description => 'Article 12'), 1, 'what it is called or for makes none');
select is(public.change_allocation_key(pg_temp.key('hybrid'), is_missing_zero => true, parts => '[{"method": "area", "percent": 50}, {"method": "per_unit", "percent": 50}]',
  exclusions => '[{"unit_type": "shop"}]'), 2, 'whatever is changed at once makes one');
select is(public.change_allocation_key(pg_temp.key('hybrid'), method => 'area'), 3, 'another method makes one, and takes the parts along');
select is((select count(*) from public.allocation_key_parts where allocation_key_id = pg_temp.key('hybrid')), 0::bigint, 'there are none left');
update public.allocation_keys set rounding = 'leftovers_first_in_order' where name = 'hybrid';
select is(pg_temp.version('hybrid'), 4, 'a change in SQL makes one too');
delete from public.allocation_key_exclusions where allocation_key_id = pg_temp.key('hybrid');
select is(pg_temp.version('hybrid'), 5, 'of what it consists of, likewise');
update public.allocation_key_weights set weight = 8 where allocation_key_id = pg_temp.key('fixed') and unit_id = tests.id('b1');
select is(pg_temp.version('fixed'), 4, 'and of a single weight, even where its unit was archived and came back');

-- Who --------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
select cmp_ok((select count(*) from public.allocation_keys), '>', 10::bigint, 'an owner sees the keys');
select is((select count(*) from public.allocation_key_weights), 0::bigint, 'but no neighbour''s weight');
select throws_ok(format($$select public.change_allocation_key(%L, description => 'Mine')$$, pg_temp.key('area')), 'PT403', 'permission_denied', 'and changes none');
select tests.authenticate_as('guard');
select is((select count(*) from public.allocation_keys), 0::bigint, 'a guard sees none');
select tests.as_studio();
select tests.keep('area', pg_temp.key('area')::text), tests.keep('version', pg_temp.version('area')::text);
select tests.authenticate_as('cedar manager');
select throws_ok(format($$select public.change_allocation_key(%L, method => 'per_unit')$$, tests.kept('area')), 'PT404', 'allocation_key_not_found', 'another community''s manager finds none');
select throws_ok(format($$select public.set_allocation_key_status(%L, 'inactive')$$, tests.kept('area')), 'PT404', 'allocation_key_not_found', 'to switch off either');
select throws_ok(format($$select public.create_allocation_key(%L, 'Mine', 'per_unit')$$, tests.id('Alder')), 'PT403', 'permission_denied', 'and makes none here');
select tests.authenticate_as('accountant');
select is(public.set_allocation_key_status(tests.kept('area')::uuid, 'inactive'), true, 'the accountant does');
select tests.as_studio();
select is((select format('%s %s %s', method, status, version) from public.allocation_keys where id = tests.kept('area')::uuid), 'area inactive ' || tests.kept('version'), 'nothing else came of it');

select * from finish();
rollback;
