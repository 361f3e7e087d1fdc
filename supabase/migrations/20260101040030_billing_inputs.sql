-- Billing: measured quantities.
--
-- Purpose     What units consumed in a period, by which costs are shared out: water, heat, anything that is metered.
-- Tables      allocation_inputs
-- RPCs        enter_allocation_inputs
-- Invariants  Of one measure a unit has one quantity for any day, whoever entered it. A quantity is never negative. What the metering
--             entered, nobody writes over by hand.
-- For others  A domain that measures calls app.put_allocation_inputs with a source of its own.

-- The permissions of expenses and charges begin here, where they are first asked for.
select app.define_permission('charges.read', 'community', 'See every charge, allocation and adjustment, and who owes what', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor, organization/viewer,
  community/admin, community/manager, community/accountant}');
select app.define_permission('expenses.read', 'community', 'See every expense with its receipt, and how it is allocated', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor, organization/viewer,
  community/admin, community/manager, community/accountant, community/committee, community/owner}');
select app.define_permission('expenses.manage', 'community', 'Enter expenses and decide how they are allocated', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor,
  community/admin, community/manager, community/accountant}');

create function app.is_measure(value text)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
  return value ~ '^[a-z][a-z0-9_]{0,39}$';
end;
$$;

comment on function app.is_measure(text) is 'Whether the text can name what is measured: water_cold, heat; 1 to 40 lowercase letters, digits and _.';

grant execute on function app.is_measure(text) to authenticated, service_role;

create table public.allocation_inputs (
  id uuid not null default extensions.uuidv7(),
  measure text not null,
  community_id uuid not null,
  unit_id uuid not null,
  starts_on date not null,
  ends_on date not null,
  quantity numeric(18, 6) not null,
  source text not null default 'management',
  note text,
  like app.row_model including defaults including comments,
  constraint allocation_inputs_pkey primary key (id),
  constraint allocation_inputs_unit_fkey foreign key (community_id, unit_id) references public.units (community_id, id) on delete restrict,
  constraint allocation_inputs_measure_check check (app.is_measure(measure)),
  constraint allocation_inputs_ends_on_check check (starts_on >= date '1900-01-01' and ends_on between starts_on and date '2999-12-31'),
  constraint allocation_inputs_quantity_check check (quantity >= 0 and quantity < 'Infinity'),
  constraint allocation_inputs_source_check check (source ~ '^[a-z][a-z0-9]*(_[a-z0-9]+)*$' and length(source) <= 60),
  constraint allocation_inputs_note_check check (length(btrim(note)) between 1 and 1000),
  constraint allocation_inputs_once_excl exclude using gist (
    community_id with =, measure with =, unit_id with =, daterange(starts_on, ends_on, '[]') with &&
  ) where (deleted_at is null)
);

create index allocation_inputs_period_idx on public.allocation_inputs (community_id, measure, ends_on);
create index allocation_inputs_unit_idx on public.allocation_inputs (community_id, unit_id);

comment on table public.allocation_inputs is
  'How much of something a unit used in a period, by which costs are shared out. Entered by enter_allocation_inputs, or by the metering. An allocation of a period takes every quantity whose last day lies in it, so that consecutive periods take each of them once.';
comment on column public.allocation_inputs.measure is 'What was measured: water_cold, water_hot, heat. Keys of method metered name it.';
comment on column public.allocation_inputs.unit_id is 'The unit that used it.';
comment on column public.allocation_inputs.starts_on is 'The first day of the use.';
comment on column public.allocation_inputs.ends_on is 'The last day of the use.';
comment on column public.allocation_inputs.quantity is 'How much, in the unit in which the measure is told: m³, kWh.';
comment on column public.allocation_inputs.source is 'Who entered it: management, or the domain that measures.';
comment on column public.allocation_inputs.note is 'What else is to be known: read by phone, estimated.';

create function app.is_over(input public.allocation_inputs)
returns boolean
language sql
immutable
set search_path = ''
return input.ends_on is not null;

comment on function app.is_over(public.allocation_inputs) is 'What was used is history from the first: it does not keep its unit from being archived.';

grant execute on function app.is_over(public.allocation_inputs) to authenticated, service_role;

select app.track('public.allocation_inputs');

create trigger _010_frozen_use before update of measure, unit_id, starts_on, ends_on, source on public.allocation_inputs for each row
  when ((old.measure, old.unit_id, old.starts_on, old.ends_on, old.source) is distinct from (new.measure, new.unit_id, new.starts_on, new.ends_on, new.source))
  execute function app.tg__frozen('measure, unit, days and source');

create policy allocation_inputs_select on public.allocation_inputs for select to authenticated
  using (
    community_id = any ((select app.communities_where('charges.read'))::uuid[])
    and deleted_at is null
  );
grant select on public.allocation_inputs to authenticated;
grant select, insert, update on public.allocation_inputs to service_role;

create function app.put_allocation_inputs(
  community uuid, source text, measure text, starts_on date, ends_on date, unit_ids uuid[], quantities numeric[], note text default null
)
returns integer
language plpgsql
volatile
security definer -- no API role may write inputs
set search_path = ''
set enable_nestloop = off -- which compares all with all while there are no statistics yet
as $$
declare
  many integer;
  changed integer;
begin
  -- Who enters the same measure at the same time waits, and finds what was entered.
  perform pg_advisory_xact_lock(hashtextextended(community || measure, 7312));
  if cardinality(unit_ids) <> (select count(distinct u) from unnest(unit_ids) u) then
    perform app.fail(422, 'invalid_value', 'A unit is told twice.');
  elsif exists (
    select from unnest(unit_ids) i
    where (select u.community_id = community and u.deleted_at is null from public.units u where u.id = i) is not true)
  then
    perform app.fail(404, 'unit_not_found', 'There is no live unit with one of these ids in this community.');
  end if;
  -- In the order of the units, as everybody who writes many.
  perform from public.allocation_inputs i
  where i.community_id = community and i.measure = put_allocation_inputs.measure and i.unit_id = any (unit_ids) and i.deleted_at is null
    and i.starts_on = put_allocation_inputs.starts_on and i.ends_on = put_allocation_inputs.ends_on
  order by i.unit_id for no key update;
  update public.allocation_inputs i
  set quantity = coalesce(n.quantity, i.quantity), note = coalesce(put_allocation_inputs.note, i.note), deleted_at = case when n.quantity is null then now() end
  from unnest(unit_ids, quantities) n (unit_id, quantity)
  where i.community_id = community and i.measure = put_allocation_inputs.measure and i.unit_id = n.unit_id and i.deleted_at is null
    and i.starts_on = put_allocation_inputs.starts_on and i.ends_on = put_allocation_inputs.ends_on and i.source = put_allocation_inputs.source;
  get diagnostics changed = row_count;
  insert into public.allocation_inputs (measure, community_id, unit_id, starts_on, ends_on, quantity, source, note)
  select put_allocation_inputs.measure, community, n.unit_id, put_allocation_inputs.starts_on, put_allocation_inputs.ends_on, n.quantity, put_allocation_inputs.source, put_allocation_inputs.note
  from unnest(unit_ids, quantities) n (unit_id, quantity)
  where n.quantity is not null and not exists (
    select from public.allocation_inputs i
    where i.community_id = community and i.measure = put_allocation_inputs.measure and i.unit_id = n.unit_id and i.deleted_at is null
      and i.starts_on = put_allocation_inputs.starts_on and i.ends_on = put_allocation_inputs.ends_on and i.source = put_allocation_inputs.source)
  order by n.unit_id;
  get diagnostics many = row_count;
  return many + changed;
end;
$$;

comment on function app.put_allocation_inputs(uuid, text, text, date, date, uuid[], numeric[], text) is
  'Enters quantities of units in the name of a source, or changes what it entered for exactly these days; null takes it back. Returns how many rows changed. A quantity of another source, or for other days that overlap, is not written over (the exclusion constraint allocation_inputs_once_excl). '
  'Not executable by API roles. Definer: no API role may write inputs.';

create function app.enter_allocation_inputs(community uuid, measure text, starts_on date, ends_on date, quantities jsonb, note text)
returns integer
language plpgsql
volatile
security definer -- no API role may write inputs
set search_path = ''
as $$
declare
  refused text;
  unit_ids uuid[];
  amounts numeric[];
begin
  perform app.require('expenses.manage', community);
  if jsonb_typeof(quantities) is distinct from 'array' or jsonb_array_length(quantities) not between 1 and 100000 or measure is null
    or enter_allocation_inputs.starts_on is null or enter_allocation_inputs.ends_on is null
  then
    perform app.fail(422, 'invalid_value', 'Quantities are an array of {"unit_id": …, "quantity": …}, 1 to 100000 of them, of a measure, for a first and a last day.');
  end if;
  select array_agg(q.unit_id order by q.unit_id), array_agg(q.quantity order by q.unit_id) into unit_ids, amounts
  from jsonb_to_recordset(quantities) q (unit_id uuid, quantity numeric);
  return app.put_allocation_inputs(community, 'management', measure, enter_allocation_inputs.starts_on, enter_allocation_inputs.ends_on, unit_ids, amounts, nullif(btrim(note), ''));
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('allocation_inputs', refused);
  when exclusion_violation then
    perform app.fail(409, 'input_overlaps', 'A quantity is known already for some of these days, of other days or from another source.', 'Take that one back first.');
  when invalid_text_representation or numeric_value_out_of_range or invalid_parameter_value then
    perform app.fail(422, 'invalid_value', 'Quantities are an array of {"unit_id": <id>, "quantity": <number or null>}.');
end;
$$;

comment on function app.enter_allocation_inputs(uuid, text, date, date, jsonb, text) is 'What public.enter_allocation_inputs does. Definer: no API role may write inputs.';

create function public.enter_allocation_inputs(community_id uuid, measure text, starts_on date, ends_on date, quantities jsonb, note text default null)
returns integer
language sql
volatile
set search_path = ''
set statement_timeout = '60s' -- PostgREST takes it over for the whole call, in place of the role's 8 seconds
as $$ select app.enter_allocation_inputs(community_id, measure, starts_on, ends_on, quantities, note) $$;

comment on function public.enter_allocation_inputs(uuid, text, date, date, jsonb, text) is
  'Enters how much units used of a measure from a day to a day: [{"unit_id": …, "quantity": 12.5}, …]. Told again for the same days it replaces what was entered by hand; a quantity of null takes it back. '
  'Returns how many quantities were entered, changed or taken back. Takes expenses.manage. Errors: permission_denied, unit_not_found, input_overlaps, invalid_value.';

grant execute on function
  app.enter_allocation_inputs(uuid, text, date, date, jsonb, text), public.enter_allocation_inputs(uuid, text, date, date, jsonb, text)
to authenticated, service_role;
