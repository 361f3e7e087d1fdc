-- Allocations: exact, complete, unchangeable, and recomputed from themselves alone; told in words to whoever pays.

begin;
select plan(69);

create function pg_temp.community(label text, currency text) returns void language plpgsql as $$
begin
  perform tests.create_community(label);
  update public.communities set currency_code = currency where id = tests.id(label);
  perform public.open_books(tests.id(label), '2026-01-01');
end;
$$;
select pg_temp.community('Alder', 'EUR'), pg_temp.community('Yew', 'JPY'), pg_temp.community('Date', 'KWD');
select tests.create_community('Bare');
insert into public.units (id, number, community_id, floor, area, ideal_parts, occupant_count)
select tests.id(c || ' ' || i), i::text, tests.id(c), i - 1, 20 + 7 * i, case i when 3 then 33.4 else 33.3 end, i
from unnest(array['Alder', 'Yew', 'Date', 'Bare']) c cross join generate_series(1, 3) i;
select tests.create_supabase_user(u) from unnest(array['accountant', 'ana', 'boris', 'tom', 'guard', 'yew manager']) u;
select tests.grant_role('accountant', 'accountant', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'), tests.grant_role('yew manager', 'manager', community => 'Yew');
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.create_resident('Boris', 'Alder', tests.email('boris')), tests.create_resident('Tom', 'Alder', tests.email('tom'));
select tests.occupy('Ana', 'Alder 1', 'owner', '2020-01-01'), tests.occupy('Boris', 'Alder 2', 'owner', '2020-01-01'), tests.occupy('Tom', 'Alder 1', 'tenant', '2020-01-01');

create function pg_temp.key(community text, method public.allocation_method, told jsonb default '{}') returns uuid language sql as $$
  select public.create_allocation_key(tests.id(community), coalesce(told ->> 'name', method::text), method, formula => told ->> 'formula', rounding => coalesce(told ->> 'rounding', 'largest_remainder')::public.allocation_rounding,
    parts => coalesce(told -> 'parts', '[]'), exclusions => coalesce(told -> 'exclusions', '[]'), weights => coalesce(told -> 'weights', '[]'))
$$;
select tests.keep(c || '_' || m, pg_temp.key(c, m::public.allocation_method)::text) from unnest(array['Alder', 'Yew', 'Date', 'Bare']) c cross join unnest(array['shares', 'per_unit', 'area', 'per_person']) m;
create function pg_temp.allocate(community text, method text, total numeric, rate numeric default null) returns text language plpgsql as $$
declare
  made uuid;
begin
  made := app.allocate(tests.id(community), tests.kept(community || '_' || method)::uuid, total, '2026-01-01', '2026-01-31', rate);
  perform tests.keep('last', made::text);
  return (select format('%s: %s', a.total, string_agg(l.amount::text, ' ' order by l.place)) from public.allocations a join public.allocation_lines l on l.allocation_id = a.id where a.id = made group by a.id);
exception when others then
  return sqlstate || ' ' || sqlerrm;
end;
$$;

-- Exact ------------------------------------------------------------------------------------------------------------------

select is(pg_temp.allocate('Alder', 'per_unit', 100.00), '100.00: 33.34 33.33 33.33', 'a total is shared out to the cent');
select is(pg_temp.allocate('Alder', 'shares', 1234.57), '1234.57: 411.11 411.11 412.35', 'by ideal parts');
select is(pg_temp.allocate('Alder', 'area', -50.00), '-50.00: -13.23 -16.67 -20.10', 'what is given back too');
select is(pg_temp.allocate('Yew', 'per_unit', 1000), '1000: 334 333 333', 'in yen there are no decimals');
select is(pg_temp.allocate('Yew', 'per_unit', 1000.5), 'PT422 invalid_amount', 'and no half ones');
select is(pg_temp.allocate('Date', 'per_unit', 10.000), '10.000: 3.334 3.333 3.333', 'in dinars there are three');
select is(pg_temp.allocate('Date', 'per_unit', 10.0005), 'PT422 invalid_amount', 'and not four');
select is(pg_temp.allocate('Alder', 'per_person', null, 2.505), '15.04: 2.51 5.01 7.52', 'a rate makes each its amount, rounded half away from zero, and they the total');
select is(pg_temp.allocate('Alder', 'per_unit', 100, 2), 'PT422 invalid_amount', 'either a total or a rate');
select is(pg_temp.allocate('Alder', 'per_unit', null), 'PT422 invalid_amount', 'not neither');
select is(pg_temp.allocate('Alder', 'per_unit', null, -1), 'PT422 invalid_amount', 'no rate is negative');
select is(pg_temp.allocate('Alder', 'per_unit', null, 'NaN'), 'PT422 invalid_amount', 'nor no number');
select is(pg_temp.allocate('Alder', 'per_unit', 'Infinity'), 'PT422 invalid_amount', 'nor a total without end');
select is(pg_temp.allocate('Bare', 'per_unit', 100), 'PT409 books_not_open', 'a community without books has no currency to share out');
select throws_ok(format($$select app.allocate(%L, %L, 100, '2026-01-01', '2026-01-31')$$, tests.id('Yew'), tests.kept('Alder_per_unit')), 'PT404', 'allocation_key_not_found', 'another community''s key shares nothing out');
select throws_ok(format($$select app.allocate(%L, %L, 100, '2026-01-31', '2026-01-01')$$, tests.id('Alder'), tests.kept('Alder_per_unit')), 'PT422', 'invalid_value', 'nor does a period that ends before it begins');
select public.set_allocation_key_status(tests.kept('Alder_per_person')::uuid, 'inactive');
select is(pg_temp.allocate('Alder', 'per_person', 100), 'PT409 allocation_key_inactive', 'nor a key that is out of use');
select tests.keep('Alder_nobody', pg_temp.key('Alder', 'fixed')::text);
select is(pg_temp.allocate('Alder', 'nobody', 100), 'PT422 allocation_no_weight', 'nor weights that are nothing');
select tests.keep('Alder_order', pg_temp.key('Alder', 'per_unit', '{"name": "order", "rounding": "leftovers_first_in_order"}')::text);
select is(pg_temp.allocate('Alder', 'order', 0.02), '0.02: 0.01 0.01 0.00', 'the other policy is the key''s to choose');
select is((select count(*) from public.allocations where community_id = any (tests.communities())), 7::bigint, 'nothing of what was refused is there');

-- A mixture counts in percent of the whole. A third and two thirds have no end, so that they are rounded where they are told, and not where money is shared out.
select tests.keep('Alder_half', pg_temp.key('Alder', 'hybrid', jsonb_build_object('name', 'half', 'parts', '[{"method": "per_unit", "percent": 50}, {"method": "fixed", "percent": 50}]'::jsonb,
  'weights', jsonb_build_array(jsonb_build_object('unit_id', tests.id('Alder 2'), 'weight', 1))))::text);
select is(pg_temp.allocate('Alder', 'half', 0.10), '0.10: 0.02 0.07 0.01', 'a mixture''s cents go by exact fractions: of equal ones to the larger weight, then to the first in order');
select is((select format('%s: %s', a.weight_total, string_agg(l.weight::text, ' ' order by l.place)) from public.allocations a join public.allocation_lines l on l.allocation_id = a.id where a.id = tests.kept('last')::uuid group by a.id),
  '100.000000000000: 16.666666666667 66.666666666667 16.666666666666', 'its weights are told in percent, and make the whole');
select is((select string_agg(unit_number || ' ' || trim_scale(weight), ', ' order by place) from app.preview_allocation(tests.kept('Alder_half')::uuid, 600, '2026-01-01', '2026-01-31', null, true)),
  '1 16.666666666667, 2 66.666666666667, 3 16.666666666666', 'beforehand too');
select pg_temp.key(c, 'hybrid', '{"name": "mixed", "parts": [{"method": "per_unit", "percent": 12.345678}, {"method": "area", "percent": 54.321099}, {"method": "shares", "percent": 33.333223}]}')
from unnest(array['Alder', 'Yew', 'Date']) c;

-- Any total, any key, in any currency, and again from what was kept.
select lives_ok($$
  select app.allocate(k.community_id, k.id, case when i % 4 > 0 then round((random() * 1e6 - 3e5)::numeric, l.decimals) end, '2026-02-01', '2026-02-28', case when i % 4 = 0 then round((random() * 10 + 0.0001)::numeric, 4) end)
  from public.allocation_keys k join public.ledgers l on l.community_id = k.community_id cross join generate_series(1, 20) i
  where k.status = 'active' and k.method <> 'fixed' and k.community_id = any (tests.communities())$$, 'any total and any rate is shared out');
select is_empty($$select a.id from public.allocations a join public.allocation_lines l on l.allocation_id = a.id where a.community_id = any (tests.communities()) group by a.id having sum(l.amount) <> a.total or count(*) <> 3$$, 'every total is made up exactly');
select is_empty($$select l.id from public.allocations a cross join lateral app.recompute_allocation(a.id) r join public.allocation_lines l on l.id = r.line_id where (l.amount, l.weight, l.unit_id) is distinct from (r.amount, r.weight, r.unit_id)$$,
  'and every amount follows again from what was kept');
select is_empty($$select * from app.check_allocations(tests.id('Alder'))$$, 'nothing is wrong with them');

-- What became of key and units since does not matter ---------------------------------------------------------------------

select tests.keep('Alder_mixture', pg_temp.key('Alder', 'hybrid', '{"name": "mixture", "parts": [{"method": "area", "percent": 33.333333}, {"method": "per_unit", "percent": 66.666667}], "exclusions": [{"floor_from": 0, "floor_to": 0, "reason": "No lift"}]}')::text);
select is(pg_temp.allocate('Alder', 'mixture', 100.00), '100.00: 48.44 51.56', 'a mixture with somebody left out');
select tests.keep('mixture', tests.kept('last'));
select public.change_allocation_key(tests.kept('Alder_mixture')::uuid, method => 'per_unit', exclusions => '[]', rounding => 'leftovers_first_in_order');
update public.units set area = 1000, number = number || 'x', floor = 9 where community_id = tests.id('Alder');
select is((select string_agg(r.amount::text, ' ' order by l.place) from app.recompute_allocation(tests.kept('mixture')::uuid) r join public.allocation_lines l on l.id = r.line_id), '48.44 51.56', 'it follows again when key and units are others');
select is((select formula_snapshot - 'parts' from public.allocations where id = tests.kept('mixture')::uuid),
  '{"key": "mixture", "order": "by building, then by number", "method": "hybrid", "version": 1, "currency": "EUR", "rounding": "largest_remainder", "exclusions": [{"reason": "No lift", "floor_to": 0, "floor_from": 0}], "is_normalised": false, "is_missing_zero": false, "ideal_parts_total": 100}'::jsonb,
  'the key as it was is kept with it');
update public.units set area = 20 + 7 * left(number, 1)::integer, number = left(number, 1) where community_id = tests.id('Alder');

-- In words ---------------------------------------------------------------------------------------------------------------

create function pg_temp.words(allocation text, unit text) returns text language sql as $$
  select public.explain_allocation_line(l.id) from public.allocation_lines l where l.allocation_id = tests.kept(allocation)::uuid and l.unit_id = tests.id(unit)
$$;
grant execute on function pg_temp.words(text, text) to authenticated;
select matches(pg_temp.words('mixture', 'Alder 2'), 'without floor 0 \(No lift\).*33.333333 percent by square metres: the unit has 34 of 75\..*This unit got', 'an owner reads how a mixture came about');
select is(pg_temp.allocate('Alder', 'half', 1000.00), '1000.00: 166.67 666.67 166.66', 'whose percents have no end');
select is(pg_temp.words('last', 'Alder 2'), 'Unit 2 bears 666.67 EUR for 2026-01-01 to 2026-01-31.
The key “half” (version 1) shares by several methods, among all units of the community.
50 percent by units: the unit has 1 of 3.
50 percent by fixed weights: the unit has 1 of 1.
Together this is 66.666667 percent of the whole.
Of 1000.00 EUR the unit bears 1000.00 × (50 × 1 ÷ 3 + 50 × 1 ÷ 1) ÷ 100 = 666.66666667.
All parts are rounded down to whole 0.01 EUR; the 2 that remain go one each to the units with the largest fractions cut off. This unit got one of them.', 'and is told as the sum that makes it');
select is(pg_temp.allocate('Alder', 'shares', 100.00), '100.00: 33.30 33.30 33.40', 'what divides exactly');
select is(pg_temp.words('last', 'Alder 1'), 'Unit 1 bears 33.30 EUR for 2026-01-01 to 2026-01-31.
The key “shares” (version 1) shares by ideal parts, among all units of the community.
The unit counts 33.3 of 100, so of 100.00 EUR it bears 100.00 × 33.3 ÷ 100 = 33.3.', 'is told in three sentences');
select is(pg_temp.allocate('Alder', 'per_unit', 100.00), '100.00: 33.34 33.33 33.33', 'what does not');
select is(pg_temp.words('last', 'Alder 1'), 'Unit 1 bears 33.34 EUR for 2026-01-01 to 2026-01-31.
The key “per_unit” (version 1) shares by units, among all units of the community.
The unit counts 1 of 3, so of 100.00 EUR it bears 100.00 × 1 ÷ 3 = 33.33333333.
All parts are rounded down to whole 0.01 EUR; the 1 that remain go one each to the units with the largest fractions cut off. This unit got one of them.', 'says where the cent went');
select is((select public.allocation_line_facts(l.id) -> 'from_leftovers' from public.allocation_lines l where l.allocation_id = tests.kept('last')::uuid and l.place = 1), '0.01'::jsonb, 'and so do the facts');
select is(pg_temp.allocate('Alder', 'area', null, 1.25), '127.50: 33.75 42.50 51.25', 'what is charged at a rate');
select is(pg_temp.words('last', 'Alder 1'), 'Unit 1 bears 33.75 EUR for 2026-01-01 to 2026-01-31.
The key “area” (version 1) shares by square metres, among all units of the community.
27 × 1.25 EUR = 33.75, rounded to 33.75 EUR.', 'is told as weight times rate');

-- Complete and unchangeable ----------------------------------------------------------------------------------------------

select throws_ok($$update public.allocation_lines set amount = amount + 1$$, 'PT409', 'append_only', 'no line is changed');
select throws_ok($$delete from public.allocations$$, 'PT409', 'append_only', 'no allocation is removed');
create function pg_temp.forge(amounts numeric[], total numeric default 100, units text[] default '{Alder 1,Alder 2}', is_new boolean default true) returns text language plpgsql as $$
declare
  made uuid := case when is_new then extensions.uuidv7() else tests.kept('last')::uuid end;
begin
  if is_new then
    insert into public.allocations (id, community_id, allocation_key_id, key_version, method, total, decimals, rounding, starts_on, ends_on, unit_count, weight_total, formula_snapshot)
    values (made, tests.id('Alder'), tests.kept('Alder_per_unit')::uuid, 1, 'per_unit', forge.total, 2, 'largest_remainder', '2026-01-01', '2026-01-31', 2, 2, '{}');
  end if;
  insert into public.allocation_lines (id, community_id, allocation_id, unit_id, place, weight, inputs, amount)
  select extensions.uuidv7(), tests.id('Alder'), made, tests.id(units[i]), i, 1, '{}', amounts[i] from generate_subscripts(amounts, 1) i;
  set constraints all immediate;
  set constraints all deferred;
  return 'stored';
exception when others then
  set constraints all deferred;
  return sqlstate || ' ' || sqlerrm;
end;
$$;
select is(pg_temp.forge('{50,50}'), 'stored', 'lines that make up the total are stored');
select is(pg_temp.forge('{50,49.99}'), 'PT422 allocation_incomplete', 'a cent too little is not');
select is(pg_temp.forge('{50.005,49.995}'), 'PT422 allocation_incomplete', 'nor are halves of cents');
select is(pg_temp.forge('{100}'), 'PT422 allocation_incomplete', 'nor is one line for two units');
select is(pg_temp.forge('{}'), 'PT422 allocation_incomplete', 'nor an allocation without lines');
select is(pg_temp.forge('{50,50}', units => '{Alder 1,Yew 1}'), 'PT422 allocation_incomplete', 'nor another community''s unit');
select matches(pg_temp.forge('{50,50}', units => '{Alder 1,Alder 1}'), '^23505', 'nor a unit twice');
select is(pg_temp.forge('{0,0}', is_new => false, units => '{Yew 1,Yew 2}'), 'PT422 allocation_incomplete', 'nothing is added to one that is complete');

-- A superuser with triggers off is found.
select is_empty($$select * from app.check_allocations(tests.id('Alder'))$$, 'nothing is wrong yet');
select tests.keep('cheated', (select max(id::text) from public.allocation_lines where allocation_id = tests.kept('last')::uuid));
set local session_replication_role = replica;
update public.allocation_lines set amount = amount + 0.01 where id = tests.kept('cheated')::uuid;
set local session_replication_role = origin;
select is((select count(*) from app.check_allocations(tests.id('Alder'))), 2::bigint, 'a cent that was added is found: the amount does not follow, and the total is not made up');
set local session_replication_role = replica;
update public.allocation_lines set amount = amount - 0.01, allocation_id = tests.id('nothing') where id = tests.kept('cheated')::uuid;
set local session_replication_role = origin;
select cmp_ok((select count(*) from app.check_allocations(tests.id('Alder'))), '>=', 2::bigint, 'and so is a line that was torn off');
set local session_replication_role = replica;
update public.allocation_lines set allocation_id = tests.kept('last')::uuid where id = tests.kept('cheated')::uuid;
set local session_replication_role = origin;

-- Who --------------------------------------------------------------------------------------------------------------------

select tests.keep('of_unit', (select id::text from public.allocation_lines where allocation_id = tests.kept('mixture')::uuid and unit_id = tests.id('Alder 2')));
select app.post_charges(tests.id('Alder'), f.id, app.account_for(tests.id('Alder'), f.id, 'assessment_income'), 'fee', '2026-01-31', '2026-02-15', 'Maintenance',
  array[row(tests.id('Alder 2'), tests.id('Boris'), 48.44, '2026-01-01', '2026-01-31', tests.kept('of_unit')::uuid, null)::app.charge_line])
from public.funds f where f.community_id = tests.id('Alder') and f.kind = 'operating';
select tests.authenticate_as('boris');
select is((select string_agg(amount::text, ' ') from public.allocation_lines), '48.44', 'who was charged sees the own line and no other');
select matches(public.explain_allocation_line(tests.kept('of_unit')::uuid), '^Unit 2 bears 48.44 EUR', 'and reads how it came about');
select tests.authenticate_as('ana');
select is((select count(*) from public.allocation_lines), 0::bigint, 'the neighbour sees neither');
select throws_ok(format($$select public.explain_allocation_line(%L)$$, tests.kept('of_unit')), 'PT404', 'allocation_line_not_found', 'nor has it explained');
select cmp_ok((select count(*) from public.allocations), '>', 5::bigint, 'but what the community shared out, by what key');
select throws_ok(format($$select * from public.preview_allocation(%L, '2026-01-01', '2026-01-31', 100)$$, tests.kept('Alder_area')), 'PT403', 'permission_denied', 'and previews nothing');
select tests.authenticate_as('tom');
select is((select count(*) from public.allocations), 0::bigint, 'a tenant sees no cost of the community');
select tests.authenticate_as('yew manager');
select throws_ok(format($$select * from public.preview_allocation(%L, '2026-01-01', '2026-01-31', 100)$$, tests.kept('Alder_area')), 'PT404', 'allocation_key_not_found', 'another community''s manager finds no key to preview by');
select tests.authenticate_as('accountant');
select throws_ok(format($$select * from public.preview_allocation(%L, '2026-01-01', '2026-01-31', %s)$$, tests.kept('Alder_area'), v.amount), 'PT422', 'invalid_amount', 'nothing as large is shared out: ' || v.amount)
from (values ('1e131071'), ('-1e15'), ('rate => 1e131071'), ('rate => 1e15')) v (amount);
select is((select string_agg(unit_number || ' ' || amount, ', ' order by place) from public.preview_allocation(tests.kept('Alder_area')::uuid, '2026-01-01', '2026-01-31', -50.00)), '1 -13.23, 2 -16.67, 3 -20.10',
  'an accountant sees beforehand what would be allocated');

-- Whose part is whose ---------------------------------------------------------------------------------------------------------

select tests.as_studio();
select tests.keep('of_two', (select id::text from public.allocation_lines where allocation_id = tests.kept('last')::uuid and unit_id = tests.id('Alder 1')));
select tests.keep('charged', app.post_charges(tests.id('Alder'), f.id, app.account_for(tests.id('Alder'), f.id, 'assessment_income'), 'fee', '2026-01-31', '2026-02-15', 'Lift',
  array[row(tests.id('Alder 1'), tests.id('Ana'), 1.10, '2026-01-01', '2026-01-15', tests.kept('of_two')::uuid, null)::app.charge_line,
    row(tests.id('Alder 1'), tests.id('Tom'), 2.20, '2026-01-16', '2026-01-31', tests.kept('of_two')::uuid, null)::app.charge_line])::text)
from public.funds f where f.community_id = tests.id('Alder') and f.kind = 'operating';
select tests.authenticate_as('ana');
select is(regexp_replace(public.explain_allocation_line(tests.kept('of_two')::uuid), '^.*?(Of it|$)', '\1'), 'Of it, 1.10 EUR is charged to Ana as “Lift”, for 2026-01-01 to 2026-01-15.',
  'of a unit''s amount that was charged to several, each reads the own part');
select tests.authenticate_as('accountant');
select matches(public.explain_allocation_line(tests.kept('of_two')::uuid), 'Of it, 1.10 EUR is charged to Ana .*Of it, 2.20 EUR is charged to Tom ', 'and an accountant both');
select tests.as_studio();
select app.reverse_entry(tests.kept('charged')::uuid, '2026-02-01', 'Charged by mistake');
select tests.authenticate_as('ana');
select unalike(public.explain_allocation_line(tests.kept('of_two')::uuid), '%Of it,%', 'what was taken back is charged no more');

select * from finish();
rollback;
