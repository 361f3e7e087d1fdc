-- Billing: allocations.
--
-- Purpose     Shares an amount out by a key, once, and keeps how each part of it came about.
-- Tables      allocations, allocation_lines
-- RPCs        preview_allocation, explain_allocation_line, explain_allocation
-- Invariants  The lines of an allocation make up its total, exactly; each unit of the key has one; all are written by one statement, and
--             none is changed or added later. From an allocation and its lines alone every amount follows again, whatever has become of
--             key, units and readings since: app.recompute_allocation does it, and verify_ledger compares.
-- Locks       Shares the key until the transaction ends: nobody changes it meanwhile.
--
-- Lines have no foreign keys of their own: for 100,000 rows each would cost six times the row. A trigger looks for all rows of a statement
-- at once whether they belong to the allocation and to units of the community; what they refer to is neither changed nor removed.

-- Allocations --------------------------------------------------------------------------------------------------------

create table public.allocations (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  allocation_key_id uuid not null,
  key_version integer not null,
  method public.allocation_method not null,
  total numeric not null,
  decimals smallint not null,
  rounding public.allocation_rounding not null,
  rate numeric,
  starts_on date not null,
  ends_on date not null,
  unit_count integer not null,
  weight_total numeric not null,
  formula_snapshot jsonb not null,
  created_at timestamptz not null default now(),
  created_by uuid default app.actor_id(),
  constraint allocations_pkey primary key (id),
  constraint allocations_community_id_key unique (community_id, id),
  constraint allocations_key_fkey foreign key (community_id, allocation_key_id) references public.allocation_keys (community_id, id) on delete restrict,
  constraint allocations_decimals_fkey foreign key (community_id, decimals) references public.ledgers (community_id, decimals) on delete restrict,
  constraint allocations_total_check check (abs(total) < 1e15 and total = round(total, decimals)),
  constraint allocations_rate_check check (rate > 0 and rate < 1e15),
  constraint allocations_ends_on_check check (ends_on >= starts_on and isfinite(starts_on) and isfinite(ends_on)),
  constraint allocations_unit_count_check check (unit_count > 0),
  constraint allocations_weight_total_check check (weight_total >= 0),
  constraint allocations_formula_snapshot_check check (jsonb_typeof(formula_snapshot) = 'object')
);

create index allocations_key_idx on public.allocations (community_id, allocation_key_id);
create index allocations_decimals_idx on public.allocations (community_id, decimals);

comment on table public.allocations is 'An amount that was shared out among units: by what key and for what days. Written by app.allocate, for a run of a fee or an expense. Append-only.';
comment on column public.allocations.allocation_key_id is 'The key. As it was then: formula_snapshot.';
comment on column public.allocations.key_version is 'The version of the key.';
comment on column public.allocations.method is 'Its method.';
comment on column public.allocations.total is 'What was shared out; the lines make it up. Below zero where something is given back.';
comment on column public.allocations.decimals is 'Decimals of the currency.';
comment on column public.allocations.rounding is 'What became of the cents that were left.';
comment on column public.allocations.rate is 'The amount for each 1 of weight, where there is a rate and the total follows; null where the total was given.';
comment on column public.allocations.starts_on is 'The first day that it is for.';
comment on column public.allocations.ends_on is 'The last day that it is for.';
comment on column public.allocations.unit_count is 'How many lines it has.';
comment on column public.allocations.weight_total is 'What all weights sum to.';
comment on column public.allocations.formula_snapshot is
  'All that the amounts follow from, with the lines: name, version, method and parameters of the key, its places and exclusions in words, the community''s whole, the sums of a hybrid''s parts, currency, order of ties.';
comment on column public.allocations.created_at is 'When.';
comment on column public.allocations.created_by is 'The user who had it allocated; null when no user did. A plain id: it outlives the user.';

select app.keep('public.allocations');

create policy allocations_select on public.allocations for select to authenticated
  using (community_id = any ((select app.communities_where('expenses.read'))::uuid[]));
grant select on public.allocations to authenticated, service_role;

-- Lines --------------------------------------------------------------------------------------------------------------

create table public.allocation_lines (
  id uuid not null,
  community_id uuid not null,
  allocation_id uuid not null,
  unit_id uuid not null,
  place integer not null,
  weight numeric not null,
  inputs jsonb not null,
  amount numeric not null,
  constraint allocation_lines_pkey primary key (id),
  constraint allocation_lines_unit_key unique (allocation_id, unit_id),
  constraint allocation_lines_weight_check check (weight >= 0)
);

comment on table public.allocation_lines is
  'What each unit bears of an allocation, zero included, and what it follows from. Append-only. Charges point here, and the owner reads it in words (explain_allocation_line).';
comment on column public.allocation_lines.id is 'The line''s id: that of the allocation, with the line''s place, counted up from 10000000 (hexadecimal), in its last 32 bits. Made so because a new UUID for each of 100,000 lines costs more than all the rest of a line.';
comment on column public.allocation_lines.allocation_id is 'The allocation.';
comment on column public.allocation_lines.unit_id is 'The unit.';
comment on column public.allocation_lines.place is 'Its place among the units of the key: the order in which ties are broken.';
comment on column public.allocation_lines.weight is 'What the unit counts. Of a hybrid: in percent of the whole, to twelve decimals that make 100; the amount follows from the exact fractions (inputs, formula_snapshot).';
comment on column public.allocation_lines.inputs is
  'What the weight follows from, where it is not the very thing that the method goes by: {"parts": [54.25, 3]} in the order of the parts of a hybrid, the values of a formula, {"unknown": true} where nobody knew it and the key says zero. Else {}.';
comment on column public.allocation_lines.amount is 'What it bears.';

select app.keep('public.allocation_lines');

create function app.my_allocation_lines()
returns setof uuid
language plpgsql
stable
security definer -- reads the caller's own charges before any policy on them is decided
set search_path = ''
as $$
begin
  -- Charges come with a later topic of this domain, and are read by nobody before.
  return query
    select c.allocation_line_id
    from app.my_subaccounts() mine
    join public.subaccounts s on s.id = mine
    join public.charges c on c.community_id = s.community_id and c.subaccount_id = s.id
    where c.allocation_line_id is not null;
end;
$$;

comment on function app.my_allocation_lines() is 'The lines by which the caller was charged. Definer: reads the caller''s charges before any policy on them is decided.';

grant execute on function app.my_allocation_lines() to authenticated;

create policy allocation_lines_select on public.allocation_lines for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (
      (select 'charges.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('charges.read'))
      or id in (select app.my_allocation_lines())
    )
  );
grant select on public.allocation_lines to authenticated, service_role;

create function app.tg_allocation_lines__complete()
returns trigger
language plpgsql
security definer -- compares with allocations and units whoever may see them
set search_path = ''
set enable_seqscan = off -- lines are counted by their index, even where the planner knows of one allocation that has them all
as $$
declare
  wrong record;
begin
  -- Units are counted, so that all are joined at once: where one is looked for, the planner hopes to find it early, and looks them up one by one.
  select n.allocation_id, a.total, a.unit_count, n.amount, n.many = n.known as is_known
  into wrong
  from (
    select n.community_id, n.allocation_id, count(*) as many, count(u.id) as known, sum(n.amount) as amount, sum(n.weight) as weight_total, max(min_scale(n.amount)) as decimals
    from new_rows n
    left join public.units u on u.id = n.unit_id and u.community_id = n.community_id
    group by n.community_id, n.allocation_id
  ) n
  left join public.allocations a on a.community_id = n.community_id and a.id = n.allocation_id
  where n.many <> n.known or a.id is null or a.unit_count <> n.many or a.total <> n.amount or n.decimals > a.decimals or a.weight_total <> n.weight_total
    or (select count(*) from public.allocation_lines l where l.allocation_id = n.allocation_id) <> a.unit_count
  order by n.many = n.known
  limit 1;
  if wrong.is_known then
    perform app.fail(422, 'allocation_incomplete',
      format('The lines of allocation %s sum to %s; it has %s lines that make %s.', wrong.allocation_id, wrong.amount, coalesce(wrong.unit_count, 0), coalesce(wrong.total, 0)),
      'app.allocate writes an allocation with all its lines.');
  elsif found then
    perform app.fail(422, 'allocation_incomplete', 'A line is of a unit that the community does not have.');
  end if;
  return null;
end;
$$;

comment on function app.tg_allocation_lines__complete() is
  'AFTER INSERT, per statement: the lines of an allocation are written at once, belong to it and to units of its community, and make up its total, weights and number (422 allocation_incomplete). Definer: compares with allocations and units whoever may see them.';

create trigger _500_complete after insert on public.allocation_lines
  referencing new table as new_rows for each statement execute function app.tg_allocation_lines__complete();

create function app.tg_allocations__written()
returns trigger
language plpgsql
security definer -- looks for lines whoever may see them
set search_path = ''
as $$
begin
  if not exists (select from public.allocation_lines l where l.allocation_id = new.id) then
    perform app.fail(422, 'allocation_incomplete', 'An allocation has lines.', 'app.allocate writes an allocation with all its lines.');
  end if;
  return null;
end;
$$;

comment on function app.tg_allocations__written() is 'AFTER INSERT, at the end of the transaction: an allocation without lines does not commit (422 allocation_incomplete). Definer: looks for lines whoever may see them.';

create constraint trigger _900_written after insert on public.allocations deferrable initially deferred
  for each row execute function app.tg_allocations__written();

-- Allocating ---------------------------------------------------------------------------------------------------------

create type app.allocation_row as (unit_id uuid, place integer, weight numeric, inputs jsonb, amount numeric);

comment on type app.allocation_row is 'A line of an allocation that is to be.';

create function app.allocation_rows(community uuid, key uuid, total numeric, from_day date, to_day date, rate numeric default null)
returns setof app.allocation_row
language plpgsql
stable
security definer -- reads all units of a community
set search_path = ''
set work_mem = '64MB' -- what 100,000 units take to sort
as $$
declare
  present public.allocation_keys;
  places smallint;
  units uuid[];
  weights numeric[];
  mixed numeric[];
  told jsonb[];
begin
  select k.* into present from public.allocation_keys k where k.community_id = community and k.id = key and k.deleted_at is null;
  select l.decimals into places from public.ledgers l where l.community_id = community;
  if present.id is null then
    perform app.fail(404, 'allocation_key_not_found', 'There is no allocation key with this id in this community.');
  elsif present.status <> 'active' then
    perform app.fail(409, 'allocation_key_inactive', format('The key “%s” is inactive.', present.name));
  elsif places is null then
    perform app.fail(409, 'books_not_open', 'This community has no books yet.', 'Open them with open_books.');
  elsif num_nonnulls(total, rate) <> 1 or rate <= 0 or rate >= 1e15 or abs(total) >= 1e15 then
    perform app.fail(422, 'invalid_amount', 'Either a total is shared out, or a rate above zero is taken for each 1 of weight; either is less than 10^15.');
  end if;
  -- Places count the units of the key, from 1.
  select array_agg(w.unit_id order by w.place), array_agg(w.weight order by w.place), array_agg(w.inputs order by w.place) into units, weights, told
  from app.unit_weights(key, from_day, to_day) w;
  if present.method = 'hybrid' then
    mixed := weights;
    weights := app.percents(mixed);
  end if;
  if rate is null then
    return query
      select unnest(units), generate_subscripts(units, 1), unnest(weights), unnest(told), unnest(app.apportioned(total, places, coalesce(mixed, weights), present.rounding));
  elsif units is null then
    perform app.fail(422, 'allocation_no_weight', 'There is nobody to share it out among: the key concerns no unit.');
  else
    return query
      select p.unit_id, p.place, p.weight, p.inputs, round(p.weight * rate, places)
      from (select unnest(units) as unit_id, generate_subscripts(units, 1) as place, unnest(weights) as weight, unnest(told) as inputs) p;
  end if;
end;
$$;

comment on function app.allocation_rows(uuid, uuid, numeric, date, date, numeric) is
  'What app.allocate would write: the total shared out by the key, or each weight times a rate, rounded half away from zero. In the order of the units. Errors: allocation_key_not_found, allocation_key_inactive, books_not_open, '
  'invalid_amount, and those of app.unit_weights and app.apportion. Not executable by API roles: asks for no permission. Definer: reads all units of a community.';

create function app.allocation_snapshot(key public.allocation_keys, from_day date, to_day date)
returns jsonb
language plpgsql
stable
security definer -- reads what the key consists of
set search_path = ''
as $$
begin
  return jsonb_strip_nulls(jsonb_build_object(
    'key', key.name, 'version', key.version, 'method', key.method, 'measure', key.measure, 'formula', key.formula, 'rounding', key.rounding,
    'is_normalised', key.is_normalised, 'is_missing_zero', key.is_missing_zero,
    'order', 'by building, then by number',
    'currency', (select l.currency_code from public.ledgers l where l.community_id = key.community_id),
    'ideal_parts_total', (select trim_scale(c.ideal_parts_total) from public.communities c where c.id = key.community_id and key.method in ('shares', 'hybrid')),
    'parts', (
      select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('method', p.method, 'measure', p.measure, 'percent', trim_scale(p.percent),
        'weight_total', (select sum(w.weight) from app.plain_weights(key, p.method, p.measure, from_day, to_day) w))) order by p.position)
      from public.allocation_key_parts p
      where p.community_id = key.community_id and p.allocation_key_id = key.id and p.deleted_at is null),
    'places', (
      select jsonb_agg(concat_ws(', ', b.name, e.name) order by b.name, e.name)
      from public.allocation_key_places p
      join public.buildings b on b.id = p.building_id
      left join public.entrances e on e.id = p.entrance_id
      where p.community_id = key.community_id and p.allocation_key_id = key.id and p.deleted_at is null),
    'exclusions', (
      select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('unit', u.number, 'unit_type', e.unit_type, 'floor_from', e.floor_from, 'floor_to', e.floor_to, 'reason', e.reason)) order by e.id)
      from public.allocation_key_exclusions e
      left join public.units u on u.id = e.unit_id
      where e.community_id = key.community_id and e.allocation_key_id = key.id and e.deleted_at is null)));
end;
$$;

comment on function app.allocation_snapshot(public.allocation_keys, date, date) is 'What an allocation keeps of its key. Not executable by API roles. Definer: reads what the key consists of.';

create function app.allocate(community uuid, key uuid, total numeric, from_day date, to_day date, rate numeric default null)
returns uuid
language plpgsql
volatile
security definer -- nobody else may write allocations
set search_path = ''
as $$
declare
  made constant uuid := extensions.uuidv7();
  series constant text := left(made::text, 28);
  present public.allocation_keys;
begin
  select k.* into present from public.allocation_keys k where k.community_id = community and k.id = key and k.deleted_at is null for share;
  -- One statement: the total of a rate is known when the lines are.
  with lines as (
    insert into public.allocation_lines (id, community_id, allocation_id, unit_id, place, weight, inputs, amount)
    select (series || to_hex(r.place + 268435456))::uuid, community, made, r.unit_id, r.place, r.weight, r.inputs, r.amount
    from app.allocation_rows(community, key, total, from_day, to_day, rate) r
    returning weight, amount
  )
  insert into public.allocations (
    id, community_id, allocation_key_id, key_version, method, total, decimals, rounding, rate, starts_on, ends_on, unit_count, weight_total, formula_snapshot)
  select made, community, present.id, present.version, present.method, w.amount, l.decimals, present.rounding, allocate.rate, from_day, to_day, w.many, w.weight,
    app.allocation_snapshot(present, from_day, to_day)
  from (select sum(l.amount) as amount, sum(l.weight) as weight, count(*) as many from lines l) w
  join public.ledgers l on l.community_id = community;
  return made;
end;
$$;

comment on function app.allocate(uuid, uuid, numeric, date, date, numeric) is
  'Shares a total out by a key for the days from … to …, or takes a rate for each 1 of weight, and returns the allocation. The lines are what app.allocation_rows says. '
  'For the domains that charge; asks for no permission. Errors as there. Not executable by API roles. Definer: nobody else may write allocations.';

-- Looking before -----------------------------------------------------------------------------------------------------

create function app.preview_allocation(key uuid, total numeric, from_day date, to_day date, rate numeric, is_visible boolean)
returns table (unit_id uuid, unit_number text, place integer, weight numeric, inputs jsonb, amount numeric)
language plpgsql
stable
security definer -- reads all units of a community
set search_path = ''
as $$
declare
  home constant uuid := (select k.community_id from public.allocation_keys k where k.id = key and is_visible and k.deleted_at is null);
begin
  if home is null then
    perform app.fail(404, 'allocation_key_not_found', 'There is no allocation key with this id.');
  end if;
  perform app.require('charges.read', home);
  return query
    select r.unit_id, u.number, r.place, r.weight, r.inputs, r.amount
    from app.allocation_rows(home, key, total, from_day, to_day, rate) r
    join public.units u on u.id = r.unit_id
    order by r.place;
end;
$$;

comment on function app.preview_allocation(uuid, numeric, date, date, numeric, boolean) is 'What public.preview_allocation does. Definer: reads all units of a community.';

create function public.preview_allocation(key_id uuid, starts_on date, ends_on date, total numeric default null, rate numeric default null)
returns table (unit_id uuid, unit_number text, place integer, weight numeric, inputs jsonb, amount numeric)
language sql
stable
set search_path = ''
as $$ select * from app.preview_allocation(key_id, total, starts_on, ends_on, rate, app.sees_row('allocation_keys', key_id)) $$;

comment on function public.preview_allocation(uuid, date, date, numeric, numeric) is
  'What each unit would bear of a total, or at a rate for each 1 of weight, under a key in a period. Writes nothing. Takes charges.read. '
  'Errors: allocation_key_not_found, permission_denied, allocation_key_inactive, books_not_open, allocation_input_missing, shares_not_whole, allocation_no_weight, formula_not_evaluated, invalid_amount, invalid_value.';

grant execute on function
  app.preview_allocation(uuid, numeric, date, date, numeric, boolean), public.preview_allocation(uuid, date, date, numeric, numeric)
to authenticated, service_role;
