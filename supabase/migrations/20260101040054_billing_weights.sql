-- Billing: weights.
--
-- Purpose     What each unit counts under a key in a period.
-- Tables      None
-- Invariants  Every unit that the key concerns has a weight, zero included. What the method asks for and nobody knows is never taken for
--             zero unless the key says so. Ideal parts make the community's whole, or the key says that they need not.

create function app.fail_missing(units text[], asked text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  perform app.fail(422, 'allocation_input_missing',
    format('%s of %s units not known: %s%s.', asked, cardinality(units), array_to_string(units[1:5], ', '), case when cardinality(units) > 5 then ', …' end),
    'Enter it, leave the units out of the key, or let the key count them as zero (is_missing_zero).');
end;
$$;

comment on function app.fail_missing(text[], text) is 'Refuses to share out before what it goes by is known (422 allocation_input_missing), and names units.';

create function app.plain_weights(key public.allocation_keys, method public.allocation_method, measure text, from_day date, to_day date)
returns table (unit_id uuid, place integer, weight numeric, inputs jsonb)
language plpgsql
stable
security definer -- reads all units of a community
set search_path = ''
set work_mem = '64MB'
as $$
declare
  nothing_else constant jsonb := '{}';
  unknown constant jsonb := '{"unknown": true}';
  missing text[];
begin
  if not key.is_missing_zero then
    if method = 'metered' then
      select array_agg(u.number order by u.place) into missing
      from app.units_of_key(key.id) u
      left join app.quantities_in(key.community_id, measure, from_day, to_day) q on q.unit_id = u.unit_id
      where q.unit_id is null;
    elsif method in ('area', 'shares') and exists (
      select from public.units u
      where u.community_id = key.community_id and u.deleted_at is null and case method when 'area' then u.area else u.ideal_parts end is null)
    then
      select array_agg(u.number order by u.place) into missing
      from app.units_of_key(key.id) u
      where case method when 'area' then u.area else u.ideal_parts end is null;
    end if;
    if missing is not null then
      perform app.fail_missing(missing, case method when 'area' then 'The area' when 'shares' then 'The ideal parts' else format('The quantity (%s)', measure) end);
    end if;
  end if;
  case method
    when 'shares' then
      return query select u.unit_id, u.place, coalesce(u.ideal_parts, 0), case when u.ideal_parts is null then unknown else nothing_else end from app.units_of_key(key.id) u;
    when 'area' then
      return query select u.unit_id, u.place, coalesce(u.area, 0), case when u.area is null then unknown else nothing_else end from app.units_of_key(key.id) u;
    when 'per_unit' then
      return query select u.unit_id, u.place, 1::numeric, nothing_else from app.units_of_key(key.id) u;
    when 'per_person' then
      return query
        select u.unit_id, u.place, coalesce(u.occupant_count, p.persons, 0)::numeric, nothing_else
        from app.units_of_key(key.id) u
        left join app.persons_in(key.community_id, to_day) p on p.unit_id = u.unit_id;
    when 'metered' then
      return query
        select u.unit_id, u.place, coalesce(q.quantity, 0), case when q.unit_id is null then unknown else nothing_else end
        from app.units_of_key(key.id) u
        left join app.quantities_in(key.community_id, measure, from_day, to_day) q on q.unit_id = u.unit_id;
    when 'fixed' then
      return query
        select u.unit_id, u.place, coalesce(w.weight, 0), nothing_else
        from app.units_of_key(key.id) u
        left join public.allocation_key_weights w
          on w.community_id = key.community_id and w.allocation_key_id = key.id and w.unit_id = u.unit_id and w.deleted_at is null;
  end case;
end;
$$;

comment on function app.plain_weights(public.allocation_keys, public.allocation_method, text, date, date) is
  'Weights by one method: a key''s own, or a part''s of a hybrid. The weight is what the method goes by, and needs no inputs to be explained but that it was unknown. Errors: allocation_input_missing. Not executable by API roles. Definer: reads all units of a community.';

create function app.require_shares_whole(key public.allocation_keys, stored numeric)
returns void
language plpgsql
stable
security definer -- reads the community
set search_path = ''
as $$
declare
  declared constant numeric := (select c.ideal_parts_total from public.communities c where c.id = key.community_id);
begin
  if not key.is_normalised and coalesce(stored, 0) <> declared then
    perform app.fail(409, 'shares_not_whole',
      format('The ideal parts under the key “%s” sum to %s, the community''s whole is %s.', key.name, trim_scale(coalesce(stored, 0)), trim_scale(declared)),
      'Correct the units, or let the key take them as the whole (is_normalised), as one for a part of the community does.');
  end if;
end;
$$;

comment on function app.require_shares_whole(public.allocation_keys, numeric) is
  'Refuses ideal parts that do not make the whole (409 shares_not_whole) unless the key normalises them. Not executable by API roles. Definer: reads the community.';

create function app.shares_under(key public.allocation_keys)
returns numeric
language plpgsql
stable
security definer -- reads all units of a community
set search_path = ''
as $$
begin
  -- Of all units, which is nearly every key, without putting them in order.
  if exists (select from public.allocation_key_places p where p.community_id = key.community_id and p.allocation_key_id = key.id and p.deleted_at is null)
    or exists (select from public.allocation_key_exclusions e where e.community_id = key.community_id and e.allocation_key_id = key.id and e.deleted_at is null)
  then
    return (select sum(u.ideal_parts) from app.units_of_key(key.id) u);
  end if;
  return (select sum(u.ideal_parts) from public.units u where u.community_id = key.community_id and u.deleted_at is null);
end;
$$;

comment on function app.shares_under(public.allocation_keys) is 'What the ideal parts of the units that a key concerns sum to. Not executable by API roles. Definer: reads all units of a community.';

create function app.mixture_factors(percents numeric[], sums numeric[])
returns numeric[]
language plpgsql
immutable
set search_path = ''
as $$
declare
  factors numeric[] := percents;
begin
  for part in 1 .. cardinality(percents) loop
    for other in 1 .. cardinality(sums) loop
      factors[part] := factors[part] * case when other = part then 1 else sums[other] end;
    end loop;
  end loop;
  return factors;
end;
$$;

comment on function app.mixture_factors(numeric[], numeric[]) is
  'What a weight of each part of a hybrid is multiplied by: its percent, and the sums of all other parts. So percent × weight ÷ sum, of one part and of all together, have one denominator, and nothing is rounded.';

create function app.unit_weights(key uuid, from_day date, to_day date)
returns table (unit_id uuid, place integer, weight numeric, inputs jsonb)
language plpgsql
stable
security definer -- reads all units of a community
set search_path = ''
set work_mem = '64MB'
as $$
declare
  present public.allocation_keys;
  evaluation public.formula_evaluations;
  part record;
  percents numeric[];
  sums numeric[];
  factors numeric[];
begin
  select k.* into present from public.allocation_keys k where k.id = key and k.deleted_at is null;
  if present.id is null then
    perform app.fail(404, 'allocation_key_not_found', 'There is no allocation key with this id.');
  elsif (from_day <= to_day and isfinite(from_day) and isfinite(to_day)) is not true then
    perform app.fail(422, 'invalid_value', 'A period begins with a day and ends with the same or a later one.');
  end if;

  if present.method = 'formula' then
    select e.* into evaluation
    from public.formula_evaluations e
    where e.community_id = present.community_id and e.allocation_key_id = present.id and e.starts_on = from_day and e.ends_on = to_day
    order by e.id desc limit 1;
    if evaluation.id is null or evaluation.version <> present.version or exists (
      select
      from app.formula_units(present.id, from_day, to_day, present.formula) u
      full join (select w.unit_id, w.inputs from public.formula_weights w where w.community_id = present.community_id and w.evaluation_id = evaluation.id) w
        on w.unit_id = u.unit_id
      where w.inputs is distinct from u.inputs)
    then
      perform app.fail(409, 'formula_not_evaluated', format('The formula of the key “%s” was not evaluated for these days, or what it goes by has changed since.', present.name),
        'Call the function allocate-expense for the key and the days.');
    end if;
    return query
      select u.unit_id, u.place, w.weight, w.inputs
      from app.units_of_key(present.id) u
      join public.formula_weights w on w.community_id = present.community_id and w.evaluation_id = evaluation.id and w.unit_id = u.unit_id;

  elsif present.method = 'hybrid' then
    -- What each part sums to first. A unit then counts, of every part, percent × weight ÷ sum.
    for part in
      select p.method, p.percent, (select sum(w.weight) from app.plain_weights(present, p.method, p.measure, from_day, to_day) w) as total
      from public.allocation_key_parts p
      where p.community_id = present.community_id and p.allocation_key_id = present.id and p.deleted_at is null
      order by p.position
    loop
      if part.method = 'shares' then
        perform app.require_shares_whole(present, part.total);
      end if;
      if coalesce(part.total, 0) = 0 then
        perform app.fail(422, 'allocation_no_weight', format('There is nobody to share %s percent out among (%s): the weights sum to nothing.', trim_scale(part.percent), part.method));
      end if;
      percents := percents || part.percent;
      sums := sums || part.total;
    end loop;
    factors := app.mixture_factors(percents, sums);
    return query
      select w.unit_id, w.place, sum(factors[p.place] * w.weight), jsonb_build_object('parts', jsonb_agg(w.weight order by p.place))
      from (
        select p.method, p.measure, row_number() over (order by p.position) as place
        from public.allocation_key_parts p
        where p.community_id = present.community_id and p.allocation_key_id = present.id and p.deleted_at is null
      ) p
      cross join lateral app.plain_weights(present, p.method, p.measure, from_day, to_day) w
      group by w.unit_id, w.place;

  else
    if present.method = 'shares' and not present.is_normalised then
      perform app.require_shares_whole(present, app.shares_under(present));
    end if;
    return query select w.* from app.plain_weights(present, present.method, present.measure, from_day, to_day) w;
  end if;
end;
$$;

comment on function app.unit_weights(uuid, date, date) is
  'What each unit counts under a key from a day to a day, what that follows from, and the place in which ties are broken; every unit that the key concerns, zero weights included. Of a hybrid: percent × weight ÷ sum of its parts over their common denominator. '
  'Errors: allocation_key_not_found, allocation_input_missing, shares_not_whole, allocation_no_weight, formula_not_evaluated, invalid_value. Not executable by API roles. Definer: reads all units of a community.';
