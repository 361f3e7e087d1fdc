-- An amount shared out by weights: exact to the last decimal, by largest remainder or leftovers first in order, whatever the numbers.

begin;
select plan(35);

-- n keys, the same in every run.
create function pg_temp.keys(n integer) returns uuid[] language sql as $$
  select array_agg(('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid order by i) from generate_series(1, n) i
$$;
create function pg_temp.parts(total numeric, decimals integer, weights numeric[], rounding public.allocation_rounding default 'largest_remainder') returns text language sql as $$
  select array_to_string(array(select p.amount from app.apportion(total, decimals::smallint, pg_temp.keys(cardinality(weights)), weights, rounding) p), ' ')
$$;
-- The same by another way, one unit of the last decimal at a time, in whole numbers of the common denominator.
create function pg_temp.one_by_one(total numeric, decimals integer, weights numeric[]) returns text language plpgsql as $$
declare
  units constant numeric := abs(total) * 10::numeric ^ decimals;
  whole constant numeric := (select sum(w) from unnest(weights) w);
  parts numeric[] := array(select trunc(units * w / whole + 1e-30, 0) from unnest(weights) w);
  best integer;
begin
  -- A quotient that was rounded up is taken back.
  for i in 1 .. cardinality(weights) loop
    while parts[i] * whole > units * weights[i] loop parts[i] := parts[i] - 1; end loop;
  end loop;
  while (select sum(p) from unnest(parts) p) < units loop
    best := null;
    for i in 1 .. cardinality(weights) loop
      if parts[i] * whole < units * weights[i] and parts[i] = div(units * weights[i], whole)
        and (best is null or units * weights[i] - parts[i] * whole > units * weights[best] - parts[best] * whole
          or (units * weights[i] - parts[i] * whole = units * weights[best] - parts[best] * whole and weights[i] > weights[best]))
      then
        best := i;
      end if;
    end loop;
    parts[best] := parts[best] + 1;
  end loop;
  return array_to_string(array(select round(p * sign(total) / 10::numeric ^ decimals, decimals) from unnest(parts) with ordinality u (p, i) order by i), ' ');
end;
$$;

-- By hand ----------------------------------------------------------------------------------------------------------------

select is(pg_temp.parts(100, 2, '{1,1,1}'), '33.34 33.33 33.33', 'of equal weights the first gets the cent that is left');
select is(pg_temp.parts(100, 2, '{1,2}'), '33.33 66.67', 'the largest remainder gets it');
select is(pg_temp.parts(100.01, 2, '{1,2}'), '33.34 66.67', 'whatever the total');
select is(pg_temp.parts(99.99, 2, '{1,2}'), '33.33 66.66', 'what divides exactly leaves nothing');
select is(pg_temp.parts(10, 2, '{1,1}'), '5.00 5.00', 'nor do halves');
select is(pg_temp.parts(0.01, 2, '{1,3,3}'), '0.00 0.01 0.00', 'of equal remainders the first');
select is(pg_temp.parts(0.01, 2, '{1,1,2}'), '0.00 0.00 0.01', 'one cent goes to the largest weight');
select is(pg_temp.parts(1.00, 2, '{0.5,1.5,2.5,3.5}'), '0.06 0.19 0.31 0.44', 'of equal remainders the larger weight goes first, before the order');
select is(pg_temp.parts(0.05, 2, '{1,2,3,4}'), '0.00 0.01 0.02 0.02', 'halves of a cent go to the larger weight');
select is(pg_temp.parts(100, 2, '{1,0,1,0,1}'), '33.34 0.00 33.33 0.00 33.33', 'a weight of zero bears nothing');
select is(pg_temp.parts(100, 2, '{1,1,1}', 'leftovers_first_in_order'), '33.34 33.33 33.33', 'leftovers first in order: the first');
select is(pg_temp.parts(100, 2, '{1,2}', 'leftovers_first_in_order'), '33.34 66.66', 'whatever its remainder');
select is(pg_temp.parts(100, 2, '{0,1,2}', 'leftovers_first_in_order'), '0.00 33.34 66.66', 'if it has a weight');
select is(pg_temp.parts(99.99, 2, '{1,2}', 'leftovers_first_in_order'), '33.33 66.66', 'and if there are any');
select is(pg_temp.parts(-100, 2, '{1,1,1}'), '-33.34 -33.33 -33.33', 'what is given back is what was taken');
select is(pg_temp.parts(0, 2, '{1,2}'), '0.00 0.00', 'nothing is shared out as nothing');
select is(pg_temp.parts(1000, 0, '{1,1,1}'), '334 333 333', 'yen have no decimals');
select is(pg_temp.parts(10, 3, '{1,1,1}'), '3.334 3.333 3.333', 'dinars have three');
select is(pg_temp.parts(100, 2, '{7}'), '100.00', 'one bears it all');
select is(pg_temp.parts(999999999999999.99, 2, '{0.333333333333,0.333333333333,0.333333333334}'), '333333333333000.00 333333333333000.00 333333333333999.99',
  'beyond 64 bits it is as exact');
select is(pg_temp.parts(100, 2, '{1e-20,2e-20}'), '33.33 66.67', 'small weights count as large ones do');

-- Any numbers ------------------------------------------------------------------------------------------------------------
-- Weights of two, six and twenty decimals, zeros and equal ones among them; totals above and below zero, of none, two and three decimals.

create temp table cases as
select i as number, d.decimals, (case when random() < 0.3 then -1 else 1 end) * round((random() * 10 ^ (random() * 9))::numeric, d.decimals) as total,
  array(
    select case when random() < 0.1 then 0 when random() < 0.3 then 1.5 else round((random() * 100)::numeric + 0.000001, (array[2, 6, 20])[1 + i % 3]) end
    from generate_series(1, 1 + (i * 7) % 40) n where n + i > 0
  ) || 1.25 as weights
from generate_series(1, 600) i
cross join lateral (select (array[0, 2, 3])[1 + (i / 3) % 3] as decimals) d;

create temp table answers as
select c.number, c.total, c.decimals, r.rounding, p.place, p.amount, p.weight,
  sum(p.weight) over (partition by c.number, r.rounding) as whole
from cases c
cross join unnest(enum_range(null::public.allocation_rounding)) r (rounding)
cross join lateral app.apportion(c.total, c.decimals::smallint, pg_temp.keys(cardinality(c.weights)), c.weights, r.rounding) with ordinality p (key, weight, amount, place);

select is_empty($$select number, rounding from answers group by number, rounding, total having sum(amount) <> total$$, 'the parts make up the total, exactly');
-- In order, a leftover may fall to somebody whose part was exact: that one is off by a unit, and by no more.
select is_empty($$select number from answers where abs(amount * whole - total * weight) - case rounding when 'leftovers_first_in_order' then 1e-30 else 0 end >= whole * 10::numeric ^ -decimals$$, 'nobody is off by a whole unit of the last decimal');
select is_empty($$select number from answers where amount <> round(amount, decimals)$$, 'nobody bears a fraction of it');
select is_empty($$select number from answers where weight = 0 and amount <> 0$$, 'nor anything without a weight');
select is_empty($$select number from answers where sign(amount) = -sign(total) and amount <> 0$$, 'nobody is given anything where something is taken');
select is_empty($$
  select a.number from answers a join answers b on (b.number, b.rounding) = (a.number, a.rounding) and b.weight > a.weight and abs(b.amount) < abs(a.amount)
  where a.rounding = 'largest_remainder'$$, 'who counts more bears no less');
select is_empty($$
  select c.number from cases c where pg_temp.parts(c.total, c.decimals, c.weights) <> pg_temp.one_by_one(c.total, c.decimals, c.weights)$$,
  'the cents go where they go when they are given out one by one');
select is_empty($$
  select c.number from cases c where pg_temp.parts(-c.total, c.decimals, c.weights) <> array_to_string(array(
    select -p.amount from app.apportion(c.total, c.decimals::smallint, pg_temp.keys(cardinality(c.weights)), c.weights) p), ' ')$$,
  'a total below zero gives the same parts, negated');
select is_empty($$
  select c.number from cases c
  where pg_temp.parts(c.total, c.decimals, c.weights) <> pg_temp.parts(c.total, c.decimals, array(select w * 1e30::numeric from unnest(c.weights) with ordinality u (w, i) order by i))$$,
  'counted in 64 bits or beyond them, the parts are the same');
select is_empty($$
  select c.number from cases c
  where pg_temp.parts(c.total, c.decimals, c.weights, 'leftovers_first_in_order')
    <> pg_temp.parts(c.total, c.decimals, array(select w * 1e30::numeric from unnest(c.weights) with ordinality u (w, i) order by i), 'leftovers_first_in_order')$$,
  'by the other policy too');

-- What cannot be shared out ----------------------------------------------------------------------------------------------

create function pg_temp.refusal(total numeric, decimals integer, weights numeric[], keys integer default null) returns text language plpgsql as $$
begin
  perform app.apportion(total, decimals::smallint, pg_temp.keys(coalesce(keys, cardinality(weights))), weights);
  return 'shared out';
exception when others then
  return sqlstate || ' ' || sqlerrm;
end;
$$;

select is_empty($$select t from unnest('{null,NaN,Infinity,-Infinity,0.001,12.345}'::numeric[]) t where pg_temp.refusal(t, 2, '{1}') <> 'PT422 invalid_amount'$$,
  'no amount that the currency does not have');
select is_empty($$select w from (values ('{1,-1}'::numeric[]), ('{1,null}'), ('{1,NaN}'), ('{1,Infinity}')) v (w) where pg_temp.refusal(1, 2, w) <> 'PT422 invalid_weight'$$,
  'nobody counts less than nothing, or something unheard of');
select is(pg_temp.refusal(1, 2, '{1,2}', 3), 'PT422 invalid_weight', 'everybody has a weight');
select is(pg_temp.refusal(1, 2, '{0,0}') || ', ' || pg_temp.refusal(0, 2, '{}', 0), 'PT422 allocation_no_weight, PT422 allocation_no_weight', 'somebody has one');
select * from finish();
rollback;
