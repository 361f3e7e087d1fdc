-- Billing: formulas.
--
-- Purpose     What the weights of a formula key came to. A formula is evaluated outside of the database (the function allocate-expense), where
--             nothing but arithmetic is within its reach, and never by SQL.
-- Tables      formula_evaluations, formula_weights
-- RPCs        formula_inputs, store_formula_weights
-- Invariants  An evaluation has one weight for every unit that its key concerns, and the very values it was computed from. It counts while
--             key and values are as they were: whoever changes either, evaluates again.

-- Evaluations --------------------------------------------------------------------------------------------------------

create table public.formula_evaluations (
  id uuid not null default extensions.uuidv7(),
  formula text not null,
  community_id uuid not null,
  allocation_key_id uuid not null,
  version integer not null,
  starts_on date not null,
  ends_on date not null,
  unit_count integer not null,
  created_at timestamptz not null default now(),
  created_by uuid,
  constraint formula_evaluations_pkey primary key (id),
  constraint formula_evaluations_community_id_key unique (community_id, id),
  constraint formula_evaluations_key_fkey foreign key (community_id, allocation_key_id) references public.allocation_keys (community_id, id) on delete restrict,
  constraint formula_evaluations_ends_on_check check (ends_on >= starts_on and isfinite(starts_on) and isfinite(ends_on)),
  constraint formula_evaluations_unit_count_check check (unit_count > 0)
);

create index formula_evaluations_key_idx on public.formula_evaluations (community_id, allocation_key_id, starts_on, ends_on, id);

comment on table public.formula_evaluations is 'When a formula was evaluated for a period, by whom. Written by store_formula_weights; the last one of a period counts.';
comment on column public.formula_evaluations.formula is 'The formula, as it was.';
comment on column public.formula_evaluations.allocation_key_id is 'The key whose formula it is.';
comment on column public.formula_evaluations.version is 'The version of the key.';
comment on column public.formula_evaluations.starts_on is 'The first day of the period.';
comment on column public.formula_evaluations.ends_on is 'The last day of the period.';
comment on column public.formula_evaluations.unit_count is 'For how many units.';
comment on column public.formula_evaluations.created_at is 'When.';
comment on column public.formula_evaluations.created_by is 'The user who had it evaluated. A plain id: it outlives the user.';

select app.keep('public.formula_evaluations');

create policy formula_evaluations_select on public.formula_evaluations for select to authenticated
  using (community_id = any ((select app.communities_where('expenses.read'))::uuid[]));
grant select on public.formula_evaluations to authenticated, service_role;

-- Weights ------------------------------------------------------------------------------------------------------------

create table public.formula_weights (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  evaluation_id uuid not null,
  unit_id uuid not null,
  weight numeric not null,
  inputs jsonb not null,
  constraint formula_weights_pkey primary key (id),
  constraint formula_weights_unit_key unique (community_id, evaluation_id, unit_id),
  constraint formula_weights_evaluation_fkey foreign key (community_id, evaluation_id) references public.formula_evaluations (community_id, id) on delete restrict,
  constraint formula_weights_weight_check check (weight >= 0 and weight <= 1e15 and scale(weight) <= 9)
);

comment on table public.formula_weights is 'What a formula came to for each unit.';
comment on column public.formula_weights.evaluation_id is 'The evaluation.';
comment on column public.formula_weights.unit_id is 'The unit.';
comment on column public.formula_weights.weight is 'Its weight.';
comment on column public.formula_weights.inputs is 'The values that the formula used: {"area": 54.25, "floor": 3}.';

select app.keep('public.formula_weights');

create policy formula_weights_select on public.formula_weights for select to authenticated
  using (community_id = any ((select app.communities_where('charges.read'))::uuid[]));
grant select on public.formula_weights to authenticated, service_role;

-- What a formula may ask ---------------------------------------------------------------------------------------------

create function app.persons_in(community uuid, on_day date)
returns table (unit_id uuid, persons integer)
language plpgsql
stable
security definer -- counts who lives where
set search_path = ''
as $$
begin
  return query
    select o.unit_id, count(distinct o.resident_id)::integer
    from public.occupancies o
    -- By the id alone: with the community, which is the same by key, all of its people would be read for each while there are no statistics yet.
    join public.residents r on r.id = o.resident_id and r.kind = 'person'
    where o.community_id = community and o.deleted_at is null and o.role in ('owner', 'tenant', 'family')
      and o.starts_on <= on_day and (o.ends_on is null or o.ends_on >= on_day) and o.days_lived_in @> on_day
    group by o.unit_id;
end;
$$;

comment on function app.persons_in(uuid, date) is
  'How many owners, tenants and family members are known to live in each unit on a day; units where nobody does are left out. Not executable by API roles. Definer: counts who lives where.';

create function app.quantities_in(community uuid, measure text, from_day date, to_day date)
returns table (unit_id uuid, quantity numeric)
language plpgsql
stable
security definer -- reads quantities of all units
set search_path = ''
as $$
begin
  return query
    select i.unit_id, sum(i.quantity)
    from public.allocation_inputs i
    where i.community_id = community and i.measure = quantities_in.measure and i.ends_on between from_day and to_day and i.deleted_at is null
    group by i.unit_id;
end;
$$;

comment on function app.quantities_in(uuid, text, date, date) is
  'What each unit used of a measure in a period: the quantities whose last day lies in it. Not executable by API roles. Definer: reads quantities of all units.';

create function app.formula_units(key uuid, from_day date, to_day date, formula text)
returns table (unit_id uuid, place integer, number text, inputs jsonb)
language plpgsql
stable
security definer -- reads all units of a community
set search_path = ''
set work_mem = '64MB'
as $$
declare
  home constant uuid := (select k.community_id from public.allocation_keys k where k.id = key);
  asked constant text[] := array(select distinct w[1] from regexp_matches(formula_units.formula, '\m([A-Za-z][A-Za-z0-9_]*)', 'g') w);
  flags constant text[] := array(select 'is_' || t from unnest(enum_range(null::public.unit_type)) t);
  unasked constant text[] := array(select n from unnest(array['area', 'shares', 'floor', 'persons', 'has_elevator'] || flags) n where n <> all (asked));
begin
  return query
    with read as materialized (
      select a as name, q.unit_id, q.quantity
      from unnest(asked) a
      cross join lateral app.quantities_in(home, substring(a from 7), from_day, to_day) q
      where a like 'meter\_%'
    ),
    meters as materialized (select r.unit_id, jsonb_object_agg(r.name, r.quantity) as told from read r group by r.unit_id),
    unread as materialized (select coalesce(jsonb_object_agg(a, null), '{}') as told from unnest(asked) a where a like 'meter\_%'),
    types as materialized (
      select t.type, (select jsonb_object_agg(f, (f = 'is_' || t.type)::integer) from unnest(flags) f) - unasked as told
      from unnest(enum_range(null::public.unit_type)) t (type)
    ),
    people as materialized (select p.unit_id, p.persons from app.persons_in(home, to_day) p where 'persons' = any (asked))
    select u.unit_id, u.place, u.number,
      jsonb_build_object(
        'area', u.area, 'shares', u.ideal_parts, 'floor', u.floor, 'persons', coalesce(u.occupant_count, p.persons, 0),
        'has_elevator', coalesce(e.has_elevator, false)::integer) - unasked
      || t.told || n.told || coalesce(m.told, '{}')
    from app.units_of_key(key) u
    cross join unread n
    join types t on t.type = u.type
    left join public.entrances e on e.id = u.entrance_id
    left join people p on p.unit_id = u.unit_id
    left join meters m on m.unit_id = u.unit_id;
end;
$$;

comment on function app.formula_units(uuid, date, date, text) is
  'The units of a key with what a formula asks of them: area, shares, floor, persons, has_elevator, is_<type of unit> (1 or 0), meter_<measure>; null where nobody knows it. Not executable by API roles. Definer: reads all units of a community.';

create function app.require_formula_key(key uuid, is_visible boolean)
returns public.allocation_keys
language plpgsql
volatile
security definer -- locks the key
set search_path = ''
as $$
declare
  present public.allocation_keys;
begin
  if is_visible then
    select k.* into present from public.allocation_keys k where k.id = key and k.deleted_at is null;
  end if;
  if present.id is null then
    perform app.fail(404, 'allocation_key_not_found', 'There is no allocation key with this id.');
  end if;
  perform app.require('expenses.manage', present.community_id);
  if present.method <> 'formula' then
    perform app.fail(422, 'allocation_key_without_formula', format('The key “%s” is of method %s.', present.name, present.method));
  elsif present.status <> 'active' then
    perform app.fail(409, 'allocation_key_inactive', format('The key “%s” is inactive.', present.name));
  end if;
  return present;
end;
$$;

comment on function app.require_formula_key(uuid, boolean) is 'The key whose formula is to be evaluated, or a refusal. Not executable by API roles. Definer: reads keys.';

create function app.formula_inputs(key uuid, from_day date, to_day date, formula text, is_visible boolean)
returns jsonb
language plpgsql
volatile
security definer -- reads all units of a community
set search_path = ''
as $$
declare
  present constant public.allocation_keys := app.require_formula_key(key, is_visible);
  asked constant text := coalesce(formula_inputs.formula, present.formula);
begin
  if (from_day <= to_day and isfinite(from_day) and isfinite(to_day)) is not true then
    perform app.fail(422, 'invalid_value', 'A period begins with a day and ends with the same or a later one.');
  elsif length(asked) > 2000 then
    perform app.fail(422, 'formula_too_complex', 'A formula has at most 2000 characters.');
  end if;
  return (
    select jsonb_build_object(
      'version', present.version, 'formula', asked, 'is_missing_zero', present.is_missing_zero, 'caller', app.user_id(),
      'digest', md5(string_agg(u.unit_id::text || u.inputs::text, ',' order by u.place)),
      'units', coalesce(jsonb_agg(jsonb_build_array(u.unit_id, u.number, u.inputs) order by u.place), '[]'))
    from app.formula_units(present.id, from_day, to_day, asked) u);
end;
$$;

comment on function app.formula_inputs(uuid, date, date, text, boolean) is 'What public.formula_inputs does. Definer: reads all units of a community.';

create function public.formula_inputs(key_id uuid, starts_on date, ends_on date, formula text default null)
returns jsonb
language sql
volatile
set search_path = ''
as $$ select app.formula_inputs(key_id, starts_on, ends_on, formula, app.sees_row('allocation_keys', key_id)) $$;

comment on function public.formula_inputs(uuid, date, date, text) is
  'What the function allocate-expense evaluates a formula with: {"version", "formula", "is_missing_zero", "caller", "digest", "units": [[id, number, {"area": 54.25}], …]}, of the key''s formula or of another that is tried out. '
  'Takes expenses.manage. Errors: allocation_key_not_found, permission_denied, allocation_key_without_formula, allocation_key_inactive, formula_too_complex, invalid_value.';

grant execute on function app.formula_inputs(uuid, date, date, text, boolean), public.formula_inputs(uuid, date, date, text) to authenticated, service_role;

-- What it came to ----------------------------------------------------------------------------------------------------

create function app.store_formula_weights(key uuid, version integer, from_day date, to_day date, digest text, weights jsonb, evaluated_by uuid)
returns uuid
language plpgsql
volatile
security definer -- no API role may write evaluations
set search_path = ''
as $$
declare
  present public.allocation_keys;
  made uuid;
  many integer;
  units uuid[];
  told jsonb[];
  known text;
begin
  -- Nobody changes the key until this is stored.
  select k.* into present from public.allocation_keys k where k.id = key and k.deleted_at is null for share;
  if present.id is null then
    perform app.fail(404, 'allocation_key_not_found', 'There is no allocation key with this id.');
  end if;
  select array_agg(u.unit_id order by u.place), array_agg(u.inputs order by u.place), md5(string_agg(u.unit_id::text || u.inputs::text, ',' order by u.place))
  into units, told, known
  from app.formula_units(present.id, from_day, to_day, present.formula) u;
  if present.version <> store_formula_weights.version or present.method <> 'formula' or known is distinct from digest then
    perform app.fail(409, 'formula_inputs_changed', 'The key, or a unit, was changed while the formula was evaluated.', 'Evaluate it again.');
  end if;
  insert into public.formula_evaluations (formula, community_id, allocation_key_id, version, starts_on, ends_on, unit_count, created_by)
  values (present.formula, present.community_id, present.id, present.version, from_day, to_day, cardinality(units), evaluated_by)
  returning id into made;
  insert into public.formula_weights (community_id, evaluation_id, unit_id, weight, inputs)
  select present.community_id, made, u.unit_id, w.weight, u.inputs
  from unnest(units, told) u (unit_id, inputs)
  join jsonb_to_recordset(weights) w (unit_id uuid, weight numeric) on w.unit_id = u.unit_id;
  get diagnostics many = row_count;
  if many <> jsonb_array_length(weights) or many <> cardinality(units) then
    perform app.fail(422, 'invalid_value', 'There is not one weight for each unit.');
  end if;
  return made;
exception when check_violation or not_null_violation or unique_violation or invalid_text_representation or numeric_value_out_of_range then
  perform app.fail(422, 'invalid_value', 'The weights of units are numbers, not negative, of at most 9 decimals, up to 10^15, one for each unit.');
end;
$$;

comment on function app.store_formula_weights(uuid, integer, date, date, text, jsonb, uuid) is 'What public.store_formula_weights does. Definer: no API role may write evaluations.';

create function public.store_formula_weights(key_id uuid, version integer, starts_on date, ends_on date, digest text, weights jsonb, evaluated_by uuid default null)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.store_formula_weights(key_id, version, starts_on, ends_on, digest, weights, evaluated_by) $$;

comment on function public.store_formula_weights(uuid, integer, date, date, text, jsonb, uuid) is
  'Stores what a formula came to, [{"unit_id": …, "weight": …}] for every unit, and returns the evaluation''s id. For the function allocate-expense, with the secret key, in the name of a user whom formula_inputs has let in: what it computed with (version, digest) must be as it was. '
  'Errors: allocation_key_not_found, formula_inputs_changed, invalid_value.';

grant execute on function app.store_formula_weights(uuid, integer, date, date, text, jsonb, uuid), public.store_formula_weights(uuid, integer, date, date, text, jsonb, uuid)
to service_role;
