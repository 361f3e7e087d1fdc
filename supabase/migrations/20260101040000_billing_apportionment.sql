-- Billing: apportionment.
--
-- Purpose     Shares an amount out among many by their weights, so that the parts are amounts of the currency and make up the whole.
-- Tables      None
-- Invariants  The parts sum to the total, exactly. Nobody's part differs from the exact quota by a whole unit of the last decimal, by
--             largest remainder; a weight of zero bears nothing; a negative total gives the parts of the positive one, negated. Equal
--             arguments give equal parts: ties are broken by weight, then by the order in which the keys are told.

create type public.allocation_rounding as enum ('largest_remainder', 'leftovers_first_in_order');

comment on type public.allocation_rounding is
  'What becomes of the units of the last decimal (cents) that are left when every part is rounded down. largest_remainder: one each to the largest fractions that were cut off; '
  'of equal fractions to the larger weight, then to the one that comes first. leftovers_first_in_order: one each to the first in order that have a weight.';

create function app.apportioned(total numeric, decimals smallint, weights numeric[], rounding public.allocation_rounding)
returns numeric[]
language plpgsql
immutable
parallel safe
set search_path = ''
set work_mem = '64MB' -- what 100,000 parts take to sort
as $$
declare
  tick constant numeric := round(10::numeric ^ -decimals::integer, decimals) * case when total < 0 then -1 else 1 end;
  units numeric;
  weight_total numeric;
  least_weight numeric;
  most_weight numeric;
  many bigint;
  -- The same in 64 bits.
  scaled numeric;
  wholes bigint[];
  whole_units bigint;
  whole_total bigint;
  leftover bigint;
  last record;
begin
  -- Arrays are read by unnest in the list of what is selected, here and wherever there may be 100,000: in FROM each would be copied first.
  if total is null or decimals is null or decimals not between 0 and 12 or abs(total) = 'Infinity' or total = 'NaN' or total <> round(total, decimals) then
    perform app.fail(422, 'invalid_amount', format('%s is no amount with %s decimals.', coalesce(total::text, 'null'), coalesce(decimals::text, 'null')));
  end if;
  -- NaN is greater than any number, and a missing weight is not counted.
  select sum(w.weight), min(w.weight), max(w.weight), count(w.weight), 10::numeric ^ max(scale(w.weight)) into weight_total, least_weight, most_weight, many, scaled
  from (select unnest(weights) as weight) w;
  if many <> coalesce(cardinality(weights), 0) or least_weight < 0 or most_weight >= 'Infinity' then
    perform app.fail(422, 'invalid_weight', 'Every key has one weight: a number, and not a negative one.');
  elsif coalesce(weight_total, 0) = 0 then
    perform app.fail(422, 'allocation_no_weight', 'There is nobody to share it out among: the weights sum to nothing.');
  end if;

  -- Counted in units of the last decimal, all that follows is arithmetic of whole numbers and exact remainders.
  units := total / tick;
  if units <= 9e18 and weight_total * scaled <= 9e18 and units * most_weight * scaled <= 9e18 then
    -- As nearly always, weights are whole numbers of their last decimal, and everything fits 64 bits: two thirds of the time. Whoever
    -- stands before the last who gets one of the leftovers, or is that one, gets one.
    whole_units := units;
    whole_total := weight_total * scaled;
    wholes := array(select (w.weight * scaled)::bigint from (select unnest(weights) as weight) w);
    select whole_units - sum(whole_units * w.weight / whole_total) into leftover from (select unnest(wholes) as weight) w;
    if rounding = 'largest_remainder' then
      select whole_units * w.weight % whole_total as rest, w.weight, w.place into last
      from (select unnest(wholes) as weight, generate_subscripts(wholes, 1) as place) w
      order by 1 desc, 2 desc, 3
      offset greatest(leftover - 1, 0) limit case when leftover > 0 then 1 else 0 end;
    else
      select 0::bigint as rest, 0::bigint as weight, w.place into last
      from (select unnest(wholes) as weight, generate_subscripts(wholes, 1) as place) w
      where w.weight > 0
      order by 3
      offset greatest(leftover - 1, 0) limit case when leftover > 0 then 1 else 0 end;
    end if;
    return array(
      select (k.quota / whole_total + case
        when leftover = 0 or k.whole = 0 then 0
        when rounding = 'leftovers_first_in_order' then (k.place <= last.place)::integer
        when k.rest > last.rest or k.rest = last.rest and (k.whole > last.weight or k.whole = last.weight and k.place <= last.place) then 1
        else 0
      end) * tick
      from (
        select u.place, u.whole, u.quota, u.quota % whole_total as rest
        from (
          select w.place, w.whole, whole_units * w.whole as quota
          from (select unnest(wholes) as whole, generate_subscripts(wholes, 1) as place) w
          offset 0 -- computed once
        ) u
        offset 0
      ) k);
  else
    return array(
      select case when r.rank <= r.leftover then r.whole + 1 else r.whole end * tick
      from (
        select w.place, w.whole, units - sum(w.whole) over () as leftover,
          row_number() over (order by w.first_by desc, w.then_by desc, w.place) as rank
        from (
          select q.place, q.whole,
            case rounding when 'largest_remainder' then q.quota - q.whole * weight_total else sign(q.weight) end as first_by,
            case rounding when 'largest_remainder' then q.weight end as then_by
          from (
            select k.weight, k.place, units * k.weight as quota, div(units * k.weight, weight_total) as whole
            from (select unnest(weights) as weight, generate_subscripts(weights, 1) as place) k
            offset 0 -- computed once
          ) q
          offset 0
        ) w
      ) r
      order by r.place);
  end if;
end;
$$;

comment on function app.apportioned(numeric, smallint, numeric[], public.allocation_rounding) is
  'The parts of a total by weights, in their order: what app.apportion says of keys. Errors: invalid_amount, invalid_weight, allocation_no_weight.';

create function app.percents(weights numeric[])
returns numeric[]
language sql
immutable
parallel safe
set search_path = ''
return app.apportioned(100, 12::smallint, weights, 'largest_remainder');

comment on function app.percents(numeric[]) is
  'What each weight is in percent of them all, in their order: to twelve decimals, and together exactly 100. To be read, and for rates; amounts are shared out by the weights themselves. Errors: invalid_weight, allocation_no_weight.';

create function app.apportion(
  total numeric, decimals smallint, keys uuid[], weights numeric[], rounding public.allocation_rounding default 'largest_remainder'
)
returns table (key uuid, weight numeric, amount numeric)
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
begin
  if coalesce(cardinality(keys), 0) <> coalesce(cardinality(weights), 0) then
    perform app.fail(422, 'invalid_weight', 'Every key has one weight: a number, and not a negative one.');
  end if;
  return query select k.key, k.weight, k.amount from unnest(keys, weights, app.apportioned(total, decimals, weights, rounding)) k (key, weight, amount);
end;
$$;

comment on function app.apportion(numeric, smallint, uuid[], numeric[], public.allocation_rounding) is
  'Shares a total with so many decimals out among keys by weights, and returns the parts in the order of the keys, which is the order of ties: every part is rounded down, '
  'and the units of the last decimal that are left go one each to whom public.allocation_rounding says. Exact for weights of any precision. Errors: invalid_amount, invalid_weight, allocation_no_weight.';

grant execute on function
  app.apportioned(numeric, smallint, numeric[], public.allocation_rounding), app.percents(numeric[]), app.apportion(numeric, smallint, uuid[], numeric[], public.allocation_rounding)
to authenticated, service_role;
