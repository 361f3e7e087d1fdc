-- Billing: allocation keys.
--
-- Purpose     By what a community shares costs out: by ideal parts, area, persons, meters, fixed weights, a mixture or a formula; in the
--             whole community or in some buildings or entrances; with some units left out.
-- Tables      allocation_keys, allocation_key_parts, allocation_key_places, allocation_key_exclusions, allocation_key_weights
-- RPCs        create_allocation_key, change_allocation_key, set_allocation_key_status
-- Invariants  A key says all that its method needs and nothing else; the parts of a hybrid make 100 percent. Whatever changes what a key
--             computes makes a new version of it, whoever changes it. What was allocated keeps what it was allocated by
--             (topic allocations), so a change never reaches back.

create type public.allocation_method as enum ('shares', 'per_unit', 'area', 'per_person', 'metered', 'fixed', 'hybrid', 'formula');
create type public.allocation_key_status as enum ('active', 'inactive');

-- Keys ---------------------------------------------------------------------------------------------------------------

create table public.allocation_keys (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  community_id uuid not null,
  method public.allocation_method not null,
  measure text,
  formula text,
  is_normalised boolean not null default false,
  is_missing_zero boolean not null default false,
  rounding public.allocation_rounding not null default 'largest_remainder',
  description text,
  version integer not null default 1,
  status public.allocation_key_status not null default 'active',
  like app.row_model including defaults including comments,
  constraint allocation_keys_pkey primary key (id),
  constraint allocation_keys_community_id_key unique (community_id, id),
  constraint allocation_keys_name_key unique nulls not distinct (community_id, name, deleted_at),
  constraint allocation_keys_community_fkey foreign key (community_id) references public.communities (id) on delete restrict,
  constraint allocation_keys_name_check check (app.is_name(name)),
  constraint allocation_keys_measure_check check ((measure is not null) = (method = 'metered') and app.is_measure(measure)),
  constraint allocation_keys_formula_check check ((formula is not null) = (method = 'formula') and length(formula) <= 2000 and btrim(formula) <> ''),
  constraint allocation_keys_is_normalised_check check (not is_normalised or method in ('shares', 'hybrid')),
  constraint allocation_keys_description_check check (length(btrim(description)) between 1 and 4000),
  constraint allocation_keys_version_check check (version > 0)
);

comment on table public.allocation_keys is
  'How costs are shared out among units. Made by create_allocation_key, changed by change_allocation_key. Fees and expense categories name one.';
comment on column public.allocation_keys.name is 'What people call it: Ideal parts, Lift of entrance A; unique in the community.';
comment on column public.allocation_keys.method is
  'shares: by ideal parts. per_unit: alike. area: by square metres. per_person: by who lives there. metered: by what allocation_inputs tell. fixed: by weights that are set. hybrid: by percent of several of these. formula: by the community''s own.';
comment on column public.allocation_keys.measure is 'What is measured; of a metered key.';
comment on column public.allocation_keys.formula is 'The weight of a unit as an expression over what is known of it (docs/allocation.md); of a formula key. Evaluated by the function allocate-expense.';
comment on column public.allocation_keys.is_normalised is
  'Whether ideal parts that do not sum to the community''s whole are taken as the whole all the same: set where a key is for one entrance. Otherwise they are refused.';
comment on column public.allocation_keys.is_missing_zero is
  'Whether a unit of which nobody knows what the method asks for (its area, a reading) bears nothing. Otherwise nothing is allocated before it is known.';
comment on column public.allocation_keys.rounding is 'What becomes of the cents that are left.';
comment on column public.allocation_keys.description is 'Why it is so: the article of the bylaws, the decision of the general meeting.';
comment on column public.allocation_keys.version is 'Counts up with every change of what the key computes. Kept by the database.';
comment on column public.allocation_keys.status is 'active, or inactive: allocates nothing any more. Set by set_allocation_key_status.';

select app.track('public.allocation_keys');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.allocation_keys', null, 'active', null, 'The key is made'),
  ('public.allocation_keys', 'active', 'inactive', 'expenses.manage', 'Allocate nothing by it any more'),
  ('public.allocation_keys', 'inactive', 'active', 'expenses.manage', 'Allocate by it again');

select app.state_machine('public.allocation_keys', 'status');

create function app.tg_allocation_keys__version()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- app.change_allocation_key counts once for all that it changes.
  new.version := greatest(new.version, old.version + 1);
  return new;
end;
$$;

comment on function app.tg_allocation_keys__version() is 'BEFORE UPDATE of what a key computes by: a new version.';

create trigger _200_version before update on public.allocation_keys for each row
  when ((old.method, old.measure, old.formula, old.is_normalised, old.is_missing_zero, old.rounding)
    is distinct from (new.method, new.measure, new.formula, new.is_normalised, new.is_missing_zero, new.rounding))
  execute function app.tg_allocation_keys__version();

create policy allocation_keys_select on public.allocation_keys for select to authenticated
  using (
    community_id = any ((select app.communities_where('expenses.read'))::uuid[])
    and deleted_at is null
  );
grant select on public.allocation_keys to authenticated;
grant select, insert, update on public.allocation_keys to service_role;

create function app.tg__allocation_key_changed()
returns trigger
language plpgsql
security definer -- writes the version, which nobody may
set search_path = ''
as $$
begin
  if tg_op = 'DELETE' then
    update public.allocation_keys k set version = k.version + 1
    where k.id in (select o.allocation_key_id from old_rows o) and k.id::text is distinct from current_setting('app.allocation_key', true);
  else
    update public.allocation_keys k set version = k.version + 1
    where k.id in (select n.allocation_key_id from new_rows n) and k.id::text is distinct from current_setting('app.allocation_key', true);
  end if;
  return null;
end;
$$;

comment on function app.tg__allocation_key_changed() is
  'AFTER INSERT, UPDATE OR DELETE of what belongs to a key: a new version of it, unless app.allocation_key names it: app.change_allocation_key counts once for all. Definer: writes the version, which nobody may.';

create function app.follow_allocation_key(tracked regclass)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  execute format('create trigger _010_frozen_key before update of allocation_key_id on %s for each row when (old.allocation_key_id <> new.allocation_key_id) execute function app.tg__frozen(''allocation_key_id'')', tracked);
  execute format('create trigger _500_key_insert after insert on %s referencing new table as new_rows for each statement execute function app.tg__allocation_key_changed()', tracked);
  execute format('create trigger _500_key_update after update on %s referencing new table as new_rows for each statement execute function app.tg__allocation_key_changed()', tracked);
  execute format('create trigger _500_key_delete after delete on %s referencing old table as old_rows for each statement execute function app.tg__allocation_key_changed()', tracked);
end;
$$;

comment on function app.follow_allocation_key(regclass) is 'Makes every change of a table''s rows a new version of the keys they belong to. For migrations.';

-- What a hybrid is made of -------------------------------------------------------------------------------------------

create table public.allocation_key_parts (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  allocation_key_id uuid not null,
  position smallint not null,
  method public.allocation_method not null,
  measure text,
  percent numeric(9, 6) not null,
  like app.row_model including defaults including comments,
  constraint allocation_key_parts_pkey primary key (id),
  constraint allocation_key_parts_position_key unique (community_id, allocation_key_id, position),
  constraint allocation_key_parts_key_fkey foreign key (community_id, allocation_key_id) references public.allocation_keys (community_id, id) on delete cascade,
  constraint allocation_key_parts_position_check check (position > 0),
  constraint allocation_key_parts_method_check check (method not in ('hybrid', 'formula')),
  constraint allocation_key_parts_measure_check check ((measure is not null) = (method = 'metered') and app.is_measure(measure)),
  constraint allocation_key_parts_percent_check check (percent > 0 and percent < 100)
);

comment on table public.allocation_key_parts is 'What a hybrid key is made of: so many percent by one method, the rest by others.';
comment on column public.allocation_key_parts.allocation_key_id is 'The hybrid key.';
comment on column public.allocation_key_parts.position is 'Its place among the parts, from 1.';
comment on column public.allocation_key_parts.method is 'How this part is shared out.';
comment on column public.allocation_key_parts.measure is 'What is measured; of a metered part.';
comment on column public.allocation_key_parts.percent is 'How much of the whole; the parts make 100.';

select app.track('public.allocation_key_parts', deletable => true);
select app.follow_allocation_key('public.allocation_key_parts');

create policy allocation_key_parts_select on public.allocation_key_parts for select to authenticated
  using (
    community_id = any ((select app.communities_where('expenses.read'))::uuid[])
    and deleted_at is null
  );
grant select on public.allocation_key_parts to authenticated;
grant select, insert, update, delete on public.allocation_key_parts to service_role;

create function app.tg__allocation_key_whole()
returns trigger
language plpgsql
security definer -- reads keys and parts for whoever writes them
set search_path = ''
as $$
declare
  told record;
begin
  select k.method, count(p.id) as many, coalesce(sum(p.percent), 0) as percent into told
  from public.allocation_keys k
  left join public.allocation_key_parts p on p.community_id = k.community_id and p.allocation_key_id = k.id and p.deleted_at is null
  where k.id = case tg_table_name when 'allocation_keys' then (to_jsonb(new) ->> 'id')::uuid else (coalesce(to_jsonb(new), to_jsonb(old)) ->> 'allocation_key_id')::uuid end
  group by k.id;
  if told.method = 'hybrid' and told.percent <> 100 then
    perform app.fail(422, 'parts_not_whole', format('The parts of a hybrid key make 100 percent; these make %s.', trim_scale(told.percent)));
  elsif told.method <> 'hybrid' and told.many > 0 then
    perform app.fail(422, 'parts_not_whole', format('A key of method %s has no parts.', told.method));
  end if;
  return null;
end;
$$;

comment on function app.tg__allocation_key_whole() is 'At commit: the parts of a hybrid make 100 percent, and other keys have none (422 parts_not_whole). Definer: reads for whoever writes.';

create constraint trigger _600_whole after insert or update of method on public.allocation_keys deferrable initially deferred
  for each row execute function app.tg__allocation_key_whole();
create constraint trigger _600_whole after insert or update or delete on public.allocation_key_parts deferrable initially deferred
  for each row execute function app.tg__allocation_key_whole();

-- Where it counts ----------------------------------------------------------------------------------------------------

create table public.allocation_key_places (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  allocation_key_id uuid not null,
  building_id uuid not null,
  entrance_id uuid,
  like app.row_model including defaults including comments,
  constraint allocation_key_places_pkey primary key (id),
  constraint allocation_key_places_place_key unique nulls not distinct (community_id, allocation_key_id, building_id, entrance_id),
  constraint allocation_key_places_key_fkey foreign key (community_id, allocation_key_id) references public.allocation_keys (community_id, id) on delete cascade,
  constraint allocation_key_places_building_fkey foreign key (community_id, building_id) references public.buildings (community_id, id) on delete restrict,
  constraint allocation_key_places_entrance_fkey foreign key (community_id, building_id, entrance_id) references public.entrances (community_id, building_id, id) on delete restrict
);

create index allocation_key_places_building_idx on public.allocation_key_places (community_id, building_id, entrance_id);

comment on table public.allocation_key_places is 'The buildings and entrances whose units a key is for; none: the whole community.';
comment on column public.allocation_key_places.allocation_key_id is 'The key.';
comment on column public.allocation_key_places.building_id is 'The building.';
comment on column public.allocation_key_places.entrance_id is 'The entrance of it; null: the whole building.';

select app.track('public.allocation_key_places', deletable => true);
select app.follow_allocation_key('public.allocation_key_places');

create policy allocation_key_places_select on public.allocation_key_places for select to authenticated
  using (
    community_id = any ((select app.communities_where('expenses.read'))::uuid[])
    and deleted_at is null
  );
grant select on public.allocation_key_places to authenticated;
grant select, insert, update, delete on public.allocation_key_places to service_role;

-- Who is left out ----------------------------------------------------------------------------------------------------

create table public.allocation_key_exclusions (
  id uuid not null default extensions.uuidv7(),
  reason text,
  community_id uuid not null,
  allocation_key_id uuid not null,
  unit_id uuid,
  unit_type public.unit_type,
  floor_from smallint,
  floor_to smallint,
  like app.row_model including defaults including comments,
  constraint allocation_key_exclusions_pkey primary key (id),
  constraint allocation_key_exclusions_what_key unique nulls not distinct (community_id, allocation_key_id, unit_id, unit_type, floor_from, floor_to),
  constraint allocation_key_exclusions_key_fkey foreign key (community_id, allocation_key_id) references public.allocation_keys (community_id, id) on delete cascade,
  constraint allocation_key_exclusions_unit_fkey foreign key (community_id, unit_id) references public.units (community_id, id) on delete cascade,
  constraint allocation_key_exclusions_what_check check (num_nonnulls(unit_id, unit_type, floor_from) = 1),
  constraint allocation_key_exclusions_floor_to_check check ((floor_from is null) = (floor_to is null) and floor_to >= floor_from),
  constraint allocation_key_exclusions_reason_check check (length(btrim(reason)) between 1 and 1000)
);

create index allocation_key_exclusions_unit_idx on public.allocation_key_exclusions (community_id, unit_id) where unit_id is not null;

comment on table public.allocation_key_exclusions is 'Who bears nothing under a key: a unit, all units of a type, or those of some floors (the ground floor pays no lift). A unit whose floor nobody has entered is on none.';
comment on column public.allocation_key_exclusions.reason is 'Why.';
comment on column public.allocation_key_exclusions.allocation_key_id is 'The key.';
comment on column public.allocation_key_exclusions.unit_id is 'The one unit.';
comment on column public.allocation_key_exclusions.unit_type is 'All units of this type.';
comment on column public.allocation_key_exclusions.floor_from is 'The units from this floor on; 0 is the ground floor.';
comment on column public.allocation_key_exclusions.floor_to is 'Up to this floor.';

select app.track('public.allocation_key_exclusions', deletable => true);
select app.follow_allocation_key('public.allocation_key_exclusions');

create policy allocation_key_exclusions_select on public.allocation_key_exclusions for select to authenticated
  using (
    community_id = any ((select app.communities_where('expenses.read'))::uuid[])
    and deleted_at is null
  );
grant select on public.allocation_key_exclusions to authenticated;
grant select, insert, update, delete on public.allocation_key_exclusions to service_role;

-- Fixed weights ------------------------------------------------------------------------------------------------------

create table public.allocation_key_weights (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  allocation_key_id uuid not null,
  unit_id uuid not null,
  weight numeric(20, 6) not null,
  like app.row_model including defaults including comments,
  constraint allocation_key_weights_pkey primary key (id),
  constraint allocation_key_weights_unit_key unique (community_id, allocation_key_id, unit_id),
  constraint allocation_key_weights_key_fkey foreign key (community_id, allocation_key_id) references public.allocation_keys (community_id, id) on delete cascade,
  constraint allocation_key_weights_unit_fkey foreign key (community_id, unit_id) references public.units (community_id, id) on delete cascade,
  constraint allocation_key_weights_weight_check check (weight >= 0 and weight < 'Infinity')
);

create index allocation_key_weights_unit_idx on public.allocation_key_weights (community_id, unit_id);

comment on table public.allocation_key_weights is 'The weights of a fixed key, and of the fixed parts of a hybrid: unit by unit. A unit without one bears nothing.';
comment on column public.allocation_key_weights.allocation_key_id is 'The key.';
comment on column public.allocation_key_weights.unit_id is 'The unit.';
comment on column public.allocation_key_weights.weight is 'Its weight; with a rate of 1, the amount itself.';

select app.track('public.allocation_key_weights', deletable => true);
select app.follow_allocation_key('public.allocation_key_weights');

create policy allocation_key_weights_select on public.allocation_key_weights for select to authenticated
  using (
    community_id = any ((select app.communities_where('charges.read'))::uuid[])
    and deleted_at is null
  );
grant select on public.allocation_key_weights to authenticated;
grant select, insert, update, delete on public.allocation_key_weights to service_role;

-- Making and changing keys -------------------------------------------------------------------------------------------

create function app.fail_key(refused text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  case
    when refused ~ '_unit_fkey$' then perform app.fail(404, 'unit_not_found', 'There is no unit with one of these ids in this community.');
    when refused ~ '_building_fkey$' then perform app.fail(404, 'building_not_found', 'There is no building with one of these ids in this community.');
    when refused ~ '_entrance_fkey$' then perform app.fail(404, 'entrance_not_found', 'There is no entrance with one of these ids in this building.');
    when refused = 'allocation_keys_name_key' then perform app.fail(409, 'name_taken', 'Another key of the community has this name.');
    when refused ~ '_key$' then perform app.fail(422, 'invalid_value', format('Something is told twice (%s).', refused));
    when refused ~ '^allocation_keys_' then perform app.fail_check('allocation_keys', refused);
    else perform app.fail(422, 'invalid_value', format('Something in the lists does not fit (%s).', coalesce(nullif(refused, ''), 'a value is missing')));
  end case;
end;
$$;

comment on function app.fail_key(text) is 'What the RPCs of allocation keys answer when a constraint refuses something.';

create function app.write_allocation_key(key public.allocation_keys, parts jsonb, places jsonb, exclusions jsonb, weights jsonb)
returns void
language plpgsql
volatile
security definer -- no API role may write what keys consist of
set search_path = ''
as $$
declare
  list jsonb;
begin
  foreach list in array array[parts, places, exclusions, weights] loop
    if list is not null and jsonb_typeof(list) <> 'array' then
      perform app.fail(422, 'invalid_value', 'Parts, places, exclusions and weights are arrays.');
    end if;
  end loop;
  if jsonb_array_length(parts) > 20 or jsonb_array_length(places) > 1000 or jsonb_array_length(exclusions) > 10000 or jsonb_array_length(weights) > 100000 then
    perform app.fail(422, 'invalid_value', 'A key has at most 20 parts, 1000 places, 10000 exclusions and 100000 weights.');
  end if;
  if parts is not null then
    delete from public.allocation_key_parts p where p.allocation_key_id = key.id;
    insert into public.allocation_key_parts (community_id, allocation_key_id, position, method, measure, percent)
    select key.community_id, key.id, p.position, p.method, p.measure, p.percent
    from rows from (jsonb_to_recordset(parts) as (method public.allocation_method, measure text, percent numeric)) with ordinality p (method, measure, percent, position);
  end if;
  if places is not null then
    delete from public.allocation_key_places p where p.allocation_key_id = key.id;
    insert into public.allocation_key_places (community_id, allocation_key_id, building_id, entrance_id)
    select key.community_id, key.id, p.building_id, p.entrance_id
    from jsonb_to_recordset(places) p (building_id uuid, entrance_id uuid);
  end if;
  if exclusions is not null then
    delete from public.allocation_key_exclusions e where e.allocation_key_id = key.id;
    insert into public.allocation_key_exclusions (community_id, allocation_key_id, unit_id, unit_type, floor_from, floor_to, reason)
    select key.community_id, key.id, e.unit_id, e.unit_type, e.floor_from, e.floor_to, nullif(btrim(e.reason), '')
    from jsonb_to_recordset(exclusions) e (unit_id uuid, unit_type public.unit_type, floor_from smallint, floor_to smallint, reason text);
  end if;
  if weights is not null then
    delete from public.allocation_key_weights w where w.allocation_key_id = key.id;
    insert into public.allocation_key_weights (community_id, allocation_key_id, unit_id, weight)
    select key.community_id, key.id, w.unit_id, w.weight
    from jsonb_to_recordset(weights) w (unit_id uuid, weight numeric)
    order by w.unit_id;
  end if;
  set constraints public._600_whole immediate;
  set constraints public._600_whole deferred;
exception when invalid_text_representation or numeric_value_out_of_range or invalid_parameter_value then
  perform app.fail(422, 'invalid_value', 'A value in one of the lists is not what it should be: an id, a number, a method or a type of unit.');
end;
$$;

comment on function app.write_allocation_key(public.allocation_keys, jsonb, jsonb, jsonb, jsonb) is
  'Puts lists in the place of what a key consists of; null leaves one as it is. Not executable by API roles. Definer: no API role may write what keys consist of.';

create function app.create_allocation_key(
  community uuid, name text, method public.allocation_method, measure text, formula text, is_normalised boolean, is_missing_zero boolean,
  rounding public.allocation_rounding, description text, parts jsonb, places jsonb, exclusions jsonb, weights jsonb
)
returns uuid
language plpgsql
volatile
security definer -- no API role may write keys
set search_path = ''
as $$
declare
  made public.allocation_keys;
  refused text;
begin
  perform app.require('expenses.manage', community);
  if not exists (select from public.communities c where c.id = community and c.deleted_at is null) then
    perform app.fail(404, 'community_not_found', 'There is no live community with this id.');
  end if;
  insert into public.allocation_keys (community_id, name, method, measure, formula, is_normalised, is_missing_zero, rounding, description)
  values (community, create_allocation_key.name, create_allocation_key.method, create_allocation_key.measure, create_allocation_key.formula,
    create_allocation_key.is_normalised, create_allocation_key.is_missing_zero, create_allocation_key.rounding, nullif(btrim(create_allocation_key.description), ''))
  returning * into made;
  perform set_config('app.allocation_key', made.id::text, true);
  perform app.write_allocation_key(made, parts, places, exclusions, weights);
  perform set_config('app.allocation_key', '', true);
  return made.id;
exception when check_violation or not_null_violation or foreign_key_violation or unique_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_key(refused);
end;
$$;

comment on function app.create_allocation_key(
  uuid, text, public.allocation_method, text, text, boolean, boolean, public.allocation_rounding, text, jsonb, jsonb, jsonb, jsonb
) is 'What public.create_allocation_key does. Definer: no API role may write keys.';

create function public.create_allocation_key(
  community_id uuid, name text, method public.allocation_method, measure text default null, formula text default null, is_normalised boolean default false,
  is_missing_zero boolean default false, rounding public.allocation_rounding default 'largest_remainder', description text default null,
  parts jsonb default '[]', places jsonb default '[]', exclusions jsonb default '[]', weights jsonb default '[]'
)
returns uuid
language sql
volatile
set search_path = ''
as $$
  select app.create_allocation_key(community_id, name, method, measure, formula, is_normalised, is_missing_zero, rounding, description, parts, places, exclusions, weights)
$$;

comment on function public.create_allocation_key(
  uuid, text, public.allocation_method, text, text, boolean, boolean, public.allocation_rounding, text, jsonb, jsonb, jsonb, jsonb
) is
  'Makes a key and returns its id. parts of a hybrid: [{"method": "area", "percent": 60}, {"method": "metered", "measure": "heat", "percent": 40}]; places: [{"building_id": …, "entrance_id": …}], none: everywhere; '
  'exclusions: [{"floor_from": 0, "floor_to": 0, "reason": "No lift"}, {"unit_type": "parking"}, {"unit_id": …}]; weights of a fixed key: [{"unit_id": …, "weight": 12.5}]. '
  'Takes expenses.manage. Errors: permission_denied, community_not_found, name_taken, parts_not_whole, unit_not_found, building_not_found, entrance_not_found, invalid_value.';

create function app.change_allocation_key(
  key uuid, name text, method public.allocation_method, measure text, formula text, is_normalised boolean, is_missing_zero boolean,
  rounding public.allocation_rounding, description text, parts jsonb, places jsonb, exclusions jsonb, weights jsonb, is_visible boolean
)
returns integer
language plpgsql
volatile
security definer -- no API role may write keys
set search_path = ''
as $$
declare
  present public.allocation_keys;
  changed public.allocation_keys;
  refused text;
begin
  if is_visible then
    -- Waits for who allocates by it, and they for this.
    select k.* into present from public.allocation_keys k where k.id = key and k.deleted_at is null for no key update;
  end if;
  if present.id is null then
    perform app.fail(404, 'allocation_key_not_found', 'There is no allocation key with this id.');
  end if;
  perform app.require('expenses.manage', present.community_id);
  changed := present;
  changed.name := coalesce(change_allocation_key.name, present.name);
  changed.description := coalesce(nullif(btrim(change_allocation_key.description), ''), present.description);
  changed.method := coalesce(change_allocation_key.method, present.method);
  changed.rounding := coalesce(change_allocation_key.rounding, present.rounding);
  changed.is_missing_zero := coalesce(change_allocation_key.is_missing_zero, present.is_missing_zero);
  -- What the old method needed goes with it.
  changed.measure := coalesce(change_allocation_key.measure, case when changed.method = present.method then present.measure end);
  changed.formula := coalesce(change_allocation_key.formula, case when changed.method = present.method then present.formula end);
  changed.is_normalised := coalesce(change_allocation_key.is_normalised, changed.method = present.method and present.is_normalised);
  if changed.method <> present.method and present.method = 'hybrid' then
    parts := coalesce(parts, '[]');
  end if;

  perform set_config('app.allocation_key', present.id::text, true);
  update public.allocation_keys k
  set name = changed.name, description = changed.description, method = changed.method, measure = changed.measure, formula = changed.formula,
    is_normalised = changed.is_normalised, is_missing_zero = changed.is_missing_zero, rounding = changed.rounding,
    version = k.version + case when num_nonnulls(parts, places, exclusions, weights) > 0 then 1 else 0 end
  where k.id = present.id
  returning k.* into changed;
  perform app.write_allocation_key(changed, parts, places, exclusions, weights);
  perform set_config('app.allocation_key', '', true);
  return changed.version;
exception when check_violation or not_null_violation or foreign_key_violation or unique_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_key(refused);
end;
$$;

comment on function app.change_allocation_key(
  uuid, text, public.allocation_method, text, text, boolean, boolean, public.allocation_rounding, text, jsonb, jsonb, jsonb, jsonb, boolean
) is 'What public.change_allocation_key does. Definer: no API role may write keys.';

create function public.change_allocation_key(
  key_id uuid, name text default null, method public.allocation_method default null, measure text default null, formula text default null,
  is_normalised boolean default null, is_missing_zero boolean default null, rounding public.allocation_rounding default null, description text default null,
  parts jsonb default null, places jsonb default null, exclusions jsonb default null, weights jsonb default null
)
returns integer
language sql
volatile
set search_path = ''
as $$
  select app.change_allocation_key(key_id, name, method, measure, formula, is_normalised, is_missing_zero, rounding, description, parts, places, exclusions, weights,
    app.sees_row('allocation_keys', key_id))
$$;

comment on function public.change_allocation_key(
  uuid, text, public.allocation_method, text, text, boolean, boolean, public.allocation_rounding, text, jsonb, jsonb, jsonb, jsonb
) is
  'Changes a key: what is null stays, a list takes the place of the former one. Returns the version, which counts up when the key computes otherwise than before; what was allocated stays as it was. '
  'Takes expenses.manage. Errors: allocation_key_not_found, permission_denied, name_taken, parts_not_whole, unit_not_found, building_not_found, entrance_not_found, invalid_value.';

create function app.set_allocation_key_status(key uuid, status public.allocation_key_status, is_visible boolean)
returns boolean
language plpgsql
volatile
security definer -- status is in no column grant
set search_path = ''
as $$
declare
  present public.allocation_keys;
begin
  if is_visible then
    select k.* into present from public.allocation_keys k where k.id = key and k.deleted_at is null for no key update;
  end if;
  if present.id is null then
    perform app.fail(404, 'allocation_key_not_found', 'There is no allocation key with this id.');
  end if;
  perform app.require('expenses.manage', present.community_id);
  update public.allocation_keys k set status = set_allocation_key_status.status
  where k.id = present.id and k.status <> set_allocation_key_status.status;
  return found;
end;
$$;

comment on function app.set_allocation_key_status(uuid, public.allocation_key_status, boolean) is 'What public.set_allocation_key_status does. Definer: status is in no column grant.';

create function public.set_allocation_key_status(key_id uuid, status public.allocation_key_status)
returns boolean
language sql
volatile
set search_path = ''
as $$ select app.set_allocation_key_status(key_id, status, app.sees_row('allocation_keys', key_id)) $$;

comment on function public.set_allocation_key_status(uuid, public.allocation_key_status) is
  'Lets a key allocate, or no more; false: it was so already. Takes expenses.manage. Errors: allocation_key_not_found, permission_denied.';

grant execute on function
  app.create_allocation_key(uuid, text, public.allocation_method, text, text, boolean, boolean, public.allocation_rounding, text, jsonb, jsonb, jsonb, jsonb),
  public.create_allocation_key(uuid, text, public.allocation_method, text, text, boolean, boolean, public.allocation_rounding, text, jsonb, jsonb, jsonb, jsonb),
  app.change_allocation_key(uuid, text, public.allocation_method, text, text, boolean, boolean, public.allocation_rounding, text, jsonb, jsonb, jsonb, jsonb, boolean),
  public.change_allocation_key(uuid, text, public.allocation_method, text, text, boolean, boolean, public.allocation_rounding, text, jsonb, jsonb, jsonb, jsonb),
  app.set_allocation_key_status(uuid, public.allocation_key_status, boolean), public.set_allocation_key_status(uuid, public.allocation_key_status)
to authenticated, service_role;

-- Whom a key concerns ------------------------------------------------------------------------------------------------

create function app.units_of_key(key uuid)
returns table (
  unit_id uuid, place integer, number text, type public.unit_type, floor smallint, area numeric, ideal_parts numeric, occupant_count smallint, entrance_id uuid
)
language plpgsql
stable
security definer -- reads all units of a community
set search_path = ''
set work_mem = '64MB' -- what 100,000 units take to sort
as $$
declare
  home constant uuid := (select k.community_id from public.allocation_keys k where k.id = key);
  buildings uuid[];
  entrances uuid[];
  units uuid[];
  types public.unit_type[];
  floors int4multirange;
begin
  select coalesce(array_agg(p.building_id) filter (where p.entrance_id is null), '{}'), coalesce(array_agg(p.entrance_id) filter (where p.entrance_id is not null), '{}')
  into buildings, entrances
  from public.allocation_key_places p where p.community_id = home and p.allocation_key_id = key and p.deleted_at is null;
  select coalesce(array_agg(e.unit_id) filter (where e.unit_id is not null), '{}'), coalesce(array_agg(e.unit_type) filter (where e.unit_type is not null), '{}'),
    coalesce(range_agg(int4range(e.floor_from, e.floor_to, '[]')) filter (where e.floor_from is not null), '{}')
  into units, types, floors
  from public.allocation_key_exclusions e where e.community_id = home and e.allocation_key_id = key and e.deleted_at is null;
  return query
    select u.id, (row_number() over (
        order by b.name collate pg_catalog."C" nulls first, length(u.number) - length(ltrim(u.number, '0123456789')), u.number collate pg_catalog."C", u.id))::integer,
      u.number, u.type, u.floor, u.area, u.ideal_parts, u.occupant_count, u.entrance_id
    from public.units u
    left join public.buildings b on b.id = u.building_id
    where u.community_id = home and u.deleted_at is null
      and (cardinality(buildings) + cardinality(entrances) = 0 or u.building_id = any (buildings) or u.entrance_id = any (entrances))
      and (cardinality(units) = 0 or u.id <> all (units))
      and (cardinality(types) = 0 or u.type <> all (types))
      and (isempty(floors) or u.floor is null or not floors @> u.floor::integer);
end;
$$;

comment on function app.units_of_key(uuid) is
  'The live units that a key concerns: those of its places without those it leaves out. place is their order, in which ties are broken: by building, then by number (2 before 10). Not executable by API roles. Definer: reads all units of a community.';
