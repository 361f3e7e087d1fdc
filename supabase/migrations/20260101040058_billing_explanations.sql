-- Billing: explanations.
--
-- Purpose     How an amount came about: for whoever pays it in words, for an app as JSON, for an auditor by doing the sum again.
-- Tables      None
-- RPCs        explain_allocation_line, allocation_line_facts
-- Invariants  All of it follows from the allocation and its lines alone, whatever has become of the key, the units and their readings.

create function app.counted(allocation uuid)
returns table (line_id uuid, unit_id uuid, place integer, weight numeric)
language plpgsql
stable
security definer -- reads all lines of an allocation
set search_path = ''
as $$
declare
  told public.allocations;
  factors numeric[];
begin
  select a.* into told from public.allocations a where a.id = allocation;
  if told.method <> 'hybrid' then
    return query select l.id, l.unit_id, l.place, l.weight from public.allocation_lines l where l.allocation_id = told.id;
    return;
  end if;
  select app.mixture_factors(array_agg((p.told ->> 'percent')::numeric order by p.place), array_agg((p.told ->> 'weight_total')::numeric order by p.place)) into factors
  from jsonb_array_elements(told.formula_snapshot -> 'parts') with ordinality p (told, place);
  return query
    select l.id, l.unit_id, l.place, (
      select sum(factors[p.place] * (p.weight #>> '{}')::numeric) from jsonb_array_elements(l.inputs -> 'parts') with ordinality p (weight, place))
    from public.allocation_lines l
    where l.allocation_id = told.id;
end;
$$;

comment on function app.counted(uuid) is
  'What each line of an allocation was shared out by: its weight, or, of a hybrid, whose weights are told in percent, the exact fraction over the common denominator of its parts. Not executable by API roles. Definer: reads all lines of an allocation.';

create function app.recompute_allocation(allocation uuid)
returns table (line_id uuid, unit_id uuid, weight numeric, amount numeric)
language plpgsql
stable
security definer -- reads all lines of an allocation
set search_path = ''
as $$
declare
  told public.allocations;
  lines uuid[];
  units uuid[];
  counted numeric[];
  weights numeric[];
begin
  select a.* into told from public.allocations a where a.id = allocation;
  -- What a hybrid counts follows from its parts; what a formula came to is evaluated by the function that evaluates formulas.
  select array_agg(c.line_id order by c.place), array_agg(c.unit_id order by c.place), array_agg(c.weight order by c.place) into lines, units, counted
  from app.counted(told.id) c;
  weights := case when told.method = 'hybrid' then app.percents(counted) else counted end;
  if told.rate is not null then
    return query
      select r.line_id, r.unit_id, r.weight, round(r.weight * told.rate, told.decimals)
      from unnest(lines, units, weights) r (line_id, unit_id, weight);
  else
    return query
      select r.line_id, r.unit_id, r.weight, r.amount
      from unnest(lines, units, weights, app.apportioned(told.total, told.decimals, counted, told.rounding)) r (line_id, unit_id, weight, amount);
  end if;
end;
$$;

comment on function app.recompute_allocation(uuid) is
  'Every amount of an allocation again, from what it keeps and from nothing else. Not executable by API roles. Definer: reads all lines of an allocation.';

create function app.check_allocations(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select null::uuid, null::uuid, null::uuid, null::uuid,
    format('Allocation %s: unit %s bears %s, and %s follows from what the allocation keeps.', a.id, coalesce(l.unit_id, r.unit_id), coalesce(l.amount::text, 'nothing'), coalesce(r.amount::text, 'nothing'))
  from public.allocations a
  cross join lateral (
    select l.unit_id, l.weight, l.amount from public.allocation_lines l where l.allocation_id = a.id
  ) l
  join lateral app.recompute_allocation(a.id) r on r.unit_id = l.unit_id
  where a.community_id = community and (l.amount, l.weight) is distinct from (r.amount, r.weight)
  union all
  select null, null, null, null, format('Allocation %s: its lines make %s, it is of %s.', a.id, coalesce(s.amount, 0), a.total)
  from public.allocations a
  left join lateral (
    select sum(l.amount) as amount, count(*) as many, sum(l.weight) as weight, bool_and(u.id is not null) as are_known
    from public.allocation_lines l
    left join public.units u on u.community_id = l.community_id and u.id = l.unit_id
    where l.allocation_id = a.id and l.community_id = a.community_id
  ) s on true
  where a.community_id = community and (s.amount, s.many, s.weight, s.are_known) is distinct from (a.total, a.unit_count::bigint, a.weight_total, true)
  union all
  select null, null, null, null, format('Line %s belongs to no allocation of its community.', l.id)
  from public.allocation_lines l
  where l.community_id = community and not exists (select from public.allocations a where a.community_id = l.community_id and a.id = l.allocation_id)
$$;

comment on function app.check_allocations(uuid) is
  'What is wrong with the allocations of a community: amounts that do not follow from what is kept, lines that do not make up the total, lines of nothing. For verify_ledger. Not executable by API roles.';

select app.define_ledger_check('allocation_unexplained', 'app.check_allocations', 'An amount of an allocation does not follow from what the allocation keeps, or its lines do not make up its total.');

-- In words -----------------------------------------------------------------------------------------------------------

create function app.allocation_line_facts(line uuid, is_visible boolean, visible_charges uuid[])
returns jsonb
language plpgsql
stable
security definer -- the caller may see the line, and need not see the whole allocation
set search_path = ''
as $$
declare
  told public.allocation_lines;
  whole public.allocations;
  ticks numeric; -- the total in units of the last decimal
  counted numeric;
  counted_total numeric;
  exact numeric;
  floored numeric;
  leftovers numeric;
begin
  if is_visible then
    select l.* into told from public.allocation_lines l where l.id = line;
  end if;
  if told.id is null then
    perform app.fail(404, 'allocation_line_not_found', 'There is no line with this id.');
  end if;
  select a.* into whole from public.allocations a where a.id = told.allocation_id;
  if whole.rate is null then
    ticks := abs(whole.total) * 10::numeric ^ whole.decimals;
    -- Of all lines, read once.
    with c as materialized (select k.line_id, k.weight from app.counted(whole.id) k),
    t as (select sum(c.weight) filter (where c.line_id = told.id) as own, sum(c.weight) as total from c)
    select t.own, t.total, ticks - (select sum(div(ticks * c.weight, t.total)) from c) into counted, counted_total, leftovers from t;
    exact := whole.total * counted / counted_total;
    -- Exactly, where the quotient is rounded.
    floored := sign(whole.total) * div(ticks * counted, counted_total) / 10::numeric ^ whole.decimals;
  end if;
  return jsonb_strip_nulls(jsonb_build_object(
    'unit', (select concat_ws(', ', b.name, u.number) from public.units u left join public.buildings b on b.id = u.building_id where u.id = told.unit_id),
    'amount', told.amount, 'total', whole.total, 'currency', whole.formula_snapshot -> 'currency', 'decimals', whole.decimals,
    'starts_on', whole.starts_on, 'ends_on', whole.ends_on,
    'key', whole.formula_snapshot -> 'key', 'version', whole.key_version, 'method', whole.method, 'measure', whole.formula_snapshot -> 'measure',
    'formula', whole.formula_snapshot -> 'formula', 'parts', whole.formula_snapshot -> 'parts', 'places', whole.formula_snapshot -> 'places',
    'exclusions', whole.formula_snapshot -> 'exclusions', 'rate', whole.rate, 'rounding', whole.rounding,
    'weight', trim_scale(told.weight), 'weight_total', trim_scale(whole.weight_total), 'units', whole.unit_count, 'inputs', nullif(told.inputs, '{}'),
    'exact', trim_scale(round(case when whole.rate is null then exact else told.weight * whole.rate end, whole.decimals + 6)),
    'rounded_down', round(floored, whole.decimals), 'from_leftovers', case when whole.rate is null then told.amount - round(floored, whole.decimals) end,
    'leftovers', round(leftovers),
    'charges', (
      select jsonb_agg(jsonb_build_object('description', c.description, 'amount', c.amount, 'resident', r.full_name, 'starts_on', c.starts_on, 'ends_on', c.ends_on) order by c.charged_on, c.id)
      from public.charges c
      join public.subaccounts s on s.community_id = c.community_id and s.id = c.subaccount_id
      left join public.residents r on r.community_id = s.community_id and r.id = s.resident_id
      where c.id = any (visible_charges) and c.allocation_line_id = line and not exists (select from public.journal_entries e where e.community_id = c.community_id and e.reverses_id = c.journal_entry_id))));
end;
$$;

comment on function app.allocation_line_facts(uuid, boolean, uuid[]) is
  'What public.allocation_line_facts does, with those charges by the line that the caller sees. Definer: the caller may see the line, and need not see the whole allocation.';

create function public.allocation_line_facts(line_id uuid)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return app.allocation_line_facts(line_id, app.sees_row('allocation_lines', line_id), array(
    select c.id
    from public.allocation_lines l
    join public.subaccounts s on s.community_id = l.community_id and s.unit_id = l.unit_id
    join public.charges c on c.community_id = s.community_id and c.subaccount_id = s.id and c.allocation_line_id = l.id
    where l.id = line_id));
end;
$$;

comment on function public.allocation_line_facts(uuid) is
  'All that an amount follows from: total, key and version, method, the unit''s weight of all weights, what it follows from, the exact share, how it was rounded; and the charges by it that the caller sees. '
  'Whoever sees the line: holders of charges.read, and who was charged by it. Errors: allocation_line_not_found.';

create function app.money(amount numeric, decimals integer, currency text)
returns text
language sql
immutable
set search_path = ''
return concat_ws(' ', round(amount, decimals)::text, currency);

comment on function app.money(numeric, integer, text) is 'An amount as people read it in a sentence: 45.67 EUR.';

create function app.method_words(method text, measure text)
returns text
language sql
immutable
set search_path = ''
return case method
  when 'shares' then 'ideal parts' when 'area' then 'square metres' when 'per_person' then 'persons' when 'per_unit' then 'units'
  when 'metered' then format('the quantity of %s', measure) when 'fixed' then 'fixed weights' when 'hybrid' then 'several methods' else 'a formula' end;

comment on function app.method_words(text, text) is 'By what a key, or a part of a hybrid, shares out, as people read it in a sentence: square metres, the quantity of water_cold.';

create function public.explain_allocation_line(line_id uuid)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  f constant jsonb := public.allocation_line_facts(line_id);
  places constant integer := f -> 'decimals';
  currency constant text := f ->> 'currency';
  amount constant text := app.money((f -> 'amount')::numeric, places, currency);
  total constant text := app.money((f -> 'total')::numeric, places, currency);
  tick constant text := app.money(10::numeric ^ -places, places, currency);
  bears text := format('The unit counts %1$s of %2$s, so of %3$s it bears %4$s × %1$s ÷ %2$s', f ->> 'weight', f ->> 'weight_total', total, f ->> 'total');
  mixed text[];
  lines text[];
begin
  lines := array[
    format('Unit %s bears %s for %s to %s.', f ->> 'unit', amount, f ->> 'starts_on', f ->> 'ends_on'),
    format('The key “%s” (version %s) shares by %s%s%s.', f ->> 'key', f ->> 'version', app.method_words(f ->> 'method', f ->> 'measure'),
      case when f ? 'places' then format(', among the units of %s', (select string_agg(p, '; ') from jsonb_array_elements_text(f -> 'places') p)) else ', among all units of the community' end,
      case when f ? 'exclusions' then format(', without %s', (
        select string_agg(concat_ws(', ',
          case when e ? 'unit' then format('unit %s', e ->> 'unit')
            when e ? 'unit_type' then format('units of type %s', e ->> 'unit_type')
            when e -> 'floor_from' = e -> 'floor_to' then format('floor %s', e ->> 'floor_from')
            else format('floors %s to %s', e ->> 'floor_from', e ->> 'floor_to') end || coalesce(' (' || (e ->> 'reason') || ')', '')), '; ')
        from jsonb_array_elements(f -> 'exclusions') e)) else '' end)];
  if f ->> 'method' = 'formula' then
    lines := lines || format('The formula is %s. For this unit it comes to %s%s.', f ->> 'formula', f ->> 'weight',
      (select ' with ' || string_agg(format('%s = %s', i.key, coalesce(i.value #>> '{}', 'unknown')), ', ' order by i.key) from jsonb_each(f -> 'inputs') i));
  elsif f ->> 'method' = 'hybrid' then
    select array_agg(format('%s percent by %s: the unit has %s of %s.', p.told ->> 'percent', app.method_words(p.told ->> 'method', p.told ->> 'measure'), p.weight, p.sum)),
      format('Of %s the unit bears %s × (%s) ÷ 100', total, f ->> 'total', string_agg(format('%s × %s ÷ %s', p.told ->> 'percent', p.weight, p.sum), ' + '))
    into mixed, bears
    from (
      select m.told, trim_scale((m.weight #>> '{}')::numeric) as weight, trim_scale((m.told ->> 'weight_total')::numeric) as sum
      from rows from (jsonb_array_elements(f -> 'parts'), jsonb_array_elements(f -> 'inputs' -> 'parts')) m (told, weight)
    ) p;
    lines := lines || mixed || format('Together this is %s percent of the whole.', trim_scale(round((f -> 'weight')::numeric, 6)));
  elsif f -> 'inputs' -> 'unknown' = 'true' then
    lines := lines || 'What the unit counts is not known, which the key takes for nothing.'::text;
  end if;
  if f ? 'rate' then
    lines := lines || format('%s × %s = %s, rounded to %s.', f ->> 'weight', app.money((f -> 'rate')::numeric, scale((f -> 'rate')::numeric), currency), f ->> 'exact', amount);
  else
    lines := lines || format('%s = %s.', bears, f ->> 'exact');
    if (f -> 'exact')::numeric <> (f -> 'amount')::numeric or (f -> 'from_leftovers')::numeric <> 0 then
      lines := lines || format('All parts are rounded down to whole %s; the %s that remain go one each to %s. %s',
        tick, f ->> 'leftovers', case f ->> 'rounding' when 'largest_remainder' then 'the units with the largest fractions cut off' else 'the first units in order' end,
        case when (f -> 'from_leftovers')::numeric = 0 then 'This unit got none of them.' else 'This unit got one of them.' end);
    end if;
  end if;
  -- The unit's amount is one person's whole charge, or it was charged to several, or in instalments.
  if jsonb_array_length(f -> 'charges') > 1 or (f #> '{charges,0,amount}')::numeric <> (f -> 'amount')::numeric then
    lines := lines || (
      select array_agg(format('Of it, %s is charged to %s as “%s”, for %s to %s.', app.money((c ->> 'amount')::numeric, places, currency), coalesce(c ->> 'resident', 'nobody who is known'), c ->> 'description',
        c ->> 'starts_on', c ->> 'ends_on'))
      from jsonb_array_elements(f -> 'charges') c);
  end if;
  return array_to_string(lines, E'\n');
end;
$$;

comment on function public.explain_allocation_line(uuid) is
  'How an amount came about, in plain words, one sentence a line: for whoever has to pay it. The same as JSON: allocation_line_facts. Whoever sees the line. Errors: allocation_line_not_found.';

grant execute on function
  app.allocation_line_facts(uuid, boolean, uuid[]), public.allocation_line_facts(uuid), app.money(numeric, integer, text), app.method_words(text, text), public.explain_allocation_line(uuid)
to authenticated, service_role;
