-- Measured quantities: one for any day, whoever enters it; nobody writes over what the metering said.

begin;
select plan(28);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit(u, 'Alder') from unnest(array['1', '2', '3']) u;
select tests.create_unit('cedar 1', 'Cedar');
select tests.create_supabase_user(u) from unnest(array['accountant', 'guard', 'cedar manager']) u;
select tests.grant_role('accountant', 'accountant', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'),
  tests.grant_role('cedar manager', 'manager', community => 'Cedar');

create function pg_temp.told(unit text, quantity text) returns jsonb language sql as $$ select jsonb_build_object('unit_id', tests.id(unit), 'quantity', quantity::numeric) $$;
create function pg_temp.enter(starts_on date, ends_on date, variadic told jsonb[]) returns text language plpgsql as $$
begin
  return public.enter_allocation_inputs(tests.id('Alder'), 'water_cold', starts_on, ends_on, to_jsonb(told))::text;
exception when others then
  return sqlstate || ' ' || sqlerrm;
end;
$$;
create function pg_temp.stored() returns text language sql as $$
  select coalesce(string_agg(format('%s %s–%s %s', u.number, extract(day from i.starts_on), extract(day from i.ends_on), trim_scale(i.quantity)), ', ' order by u.number, i.starts_on), 'nothing')
  from public.allocation_inputs i join public.units u on u.id = i.unit_id where i.deleted_at is null and i.community_id = tests.id('Alder')
$$;

grant execute on function pg_temp.told(text, text), pg_temp.enter(date, date, jsonb[]), pg_temp.stored() to authenticated;

-- Entering ---------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select is(pg_temp.enter('2026-01-01', '2026-01-31', pg_temp.told('1', '12.5'), pg_temp.told('2', '0')), '2', 'many are entered at once, nothing used among them');
select is(pg_temp.enter('2026-01-01', '2026-01-31', pg_temp.told('1', '13')), '1', 'what was entered for the same days is replaced');
select tests.as_studio();
select is(pg_temp.stored(), '1 1–31 13, 2 1–31 0', 'and the rest stays');
select tests.authenticate_as('accountant');
select is(pg_temp.enter('2026-01-15', '2026-02-15', pg_temp.told('3', '1'), pg_temp.told('1', '1')), 'PT409 input_overlaps', 'a day is not counted twice');
select is(pg_temp.enter('2026-01-01', '2026-01-31', pg_temp.told('2', null)), '1', 'what was entered is taken back');
select is(pg_temp.enter('2026-01-15', '2026-02-15', pg_temp.told('2', '4')), '1', 'and other days are free then');
select tests.as_studio();
select is(pg_temp.stored(), '1 1–31 13, 2 15–15 4', 'nothing of what was refused is stored');

-- Refusing ---------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select is(pg_temp.enter('2026-03-01', '2026-03-31', pg_temp.told('1', '-1')), 'PT422 invalid_value', 'no quantity is negative');
select is(pg_temp.enter('2026-03-01', '2026-03-31', pg_temp.told('1', 'NaN')), 'PT422 invalid_value', 'nor no number');
select is(pg_temp.enter('2026-03-31', '2026-03-01', pg_temp.told('1', '1')), 'PT422 invalid_value', 'no period ends before it begins');
select is(pg_temp.enter('2026-03-01', 'infinity', pg_temp.told('1', '1')), 'PT422 invalid_value', 'nor never');
select is(pg_temp.enter('2026-03-01', '5874897-12-31', pg_temp.told('1', '1')), 'PT422 invalid_value', 'nor on a day after which there is none');
select is(pg_temp.enter('0044-03-15 BC', '2026-03-31', pg_temp.told('1', '1')), 'PT422 invalid_value', 'and none began in antiquity');
select is(pg_temp.enter('2026-03-01', '2026-03-31', pg_temp.told('1', '1'), pg_temp.told('1', '2')), 'PT422 invalid_value', 'no unit is told twice');
select is(pg_temp.enter('2026-03-01', '2026-03-31', pg_temp.told('1', '1'), pg_temp.told('cedar 1', '1')), 'PT404 unit_not_found', 'no unit is of another community');
select is(pg_temp.enter('2026-03-01', '2026-03-31', '{"unit_id": "nonsense", "quantity": 1}'), 'PT422 invalid_value', 'an id is an id');
select is(pg_temp.enter('2026-03-01', '2026-03-31', '{"quantity": 1}'), 'PT422 invalid_value', 'and is told');
select throws_ok(format($$select public.enter_allocation_inputs(%L, 'Water; drop', '2026-03-01', '2026-03-31', '[%s]')$$, tests.id('Alder'), pg_temp.told('1', '1')),
  'PT422', 'invalid_value', 'a measure has a plain name');
select throws_ok(format($$select public.enter_allocation_inputs(%L, 'heat', '2026-03-01', '2026-03-31', '{}')$$, tests.id('Alder')), 'PT422', 'invalid_value', 'quantities are a list');
select tests.authenticate_as('guard');
select is(pg_temp.enter('2026-03-01', '2026-03-31', pg_temp.told('1', '1')), 'PT403 permission_denied', 'a guard enters nothing');
select is((select count(*) from public.allocation_inputs), 0::bigint, 'and sees nothing');
select tests.authenticate_as('cedar manager');
select is(pg_temp.enter('2026-03-01', '2026-03-31', pg_temp.told('1', '1')), 'PT403 permission_denied', 'nor does another community''s manager');
select is((select count(*) from public.allocation_inputs), 0::bigint, 'who sees nothing either');
select tests.as_studio();
select is((select count(*) from public.allocation_inputs where starts_on = '2026-03-01'), 0::bigint, 'nothing came of it');

-- The metering -------------------------------------------------------------------------------------------------------------

select is(app.put_allocation_inputs(tests.id('Alder'), 'metering', 'water_cold', '2026-04-01', '2026-04-30', array[tests.id('1')], '{7}'), 1, 'a domain that measures enters in its own name');
select tests.authenticate_as('accountant');
select is(pg_temp.enter('2026-04-01', '2026-04-30', pg_temp.told('1', '1')), 'PT409 input_overlaps', 'and nobody writes over it by hand');
select tests.as_studio();
select is((select quantity from public.allocation_inputs where source = 'metering'), 7::numeric, 'it is as it was');
select lives_ok($$update public.units set deleted_at = now() where id = tests.id('3')$$, 'what was used does not keep a unit from being archived');

select * from finish();
rollback;
