-- Foundation: settings and preferences.
--
-- Purpose     Configuration as declared keys with types, defaults and bounds; and what is set where.
-- Tables      setting_definitions, setting_values, user_preferences
--             (a building's and a unit's own values stand in buildings.settings and units.settings)
-- RPCs        settings, set_setting, set_preference
-- Invariants  A value belongs to a declared key, has its type, keeps its bounds, and is set on a level the key allows, whoever
--             writes it and through which table. A definition cannot change so that a stored value no longer fits it.
--             The nearest value counts: user, unit, building, community, organization, site, then the default.
--
-- The functions read buildings and units, which come later: PL/pgSQL binds names when it runs.

create type public.setting_category as enum ('billing', 'security', 'notifications', 'general', 'maintenance');
create type public.setting_type as enum ('boolean', 'integer', 'numeric', 'text', 'choice', 'json', 'time', 'duration');
-- From the widest to the nearest: this order decides which value counts.
create type public.setting_level as enum ('site', 'organization', 'community', 'building', 'unit', 'user');

select app.define_permission('settings.manage', 'site', 'Change the settings of the site', '{site/superadmin}');

-- Definitions --------------------------------------------------------------------------------------------------------

create table public.setting_definitions (
  id uuid not null default extensions.uuidv7(),
  key text not null,
  category public.setting_category not null,
  type public.setting_type not null,
  default_value jsonb,
  levels public.setting_level[] not null,
  description text not null,
  minimum numeric,
  maximum numeric,
  pattern text,
  options text[],
  kept_in text,
  like app.row_model including defaults including comments,
  constraint setting_definitions_pkey primary key (id),
  constraint setting_definitions_key unique (key),
  constraint setting_definitions_key_check check (key ~ '^[a-z]+(\.[a-z][a-z0-9_]*)+$' and split_part(key, '.', 1) = category::text),
  constraint setting_definitions_levels_check check (cardinality(levels) > 0),
  constraint setting_definitions_description_check check (length(description) between 1 and 500),
  constraint setting_definitions_minimum_check check (minimum is null or type in ('integer', 'numeric', 'text', 'duration')),
  constraint setting_definitions_maximum_check check ((maximum is null or type in ('integer', 'numeric', 'text', 'duration')) and maximum >= minimum),
  constraint setting_definitions_pattern_check check (pattern is null or type = 'text'),
  constraint setting_definitions_options_check check ((type = 'choice') = (options is not null) and options <> '{}'),
  constraint setting_definitions_kept_in_check check (kept_in is null or (kept_in in ('locale', 'time_zone') and type = 'text' and levels = '{community,user}'))
);

comment on table public.setting_definitions is 'What can be set: keys with type, bounds, default and levels. Part of the system; each topic declares its own with app.define_setting.';
comment on column public.setting_definitions.key is '<category>.<name>: security.signed_url_seconds. Never changes.';
comment on column public.setting_definitions.category is 'billing, security, notifications, general, maintenance.';
comment on column public.setting_definitions.type is
  'boolean, integer, numeric (JSON number), text, choice (one of options), json (object or array), time ("07:30"), duration (ISO 8601: "PT15M", "P10Y").';
comment on column public.setting_definitions.default_value is 'What counts where nothing is set; null: nothing does.';
comment on column public.setting_definitions.levels is 'Where it may be set: site, organization, community, building, unit, user.';
comment on column public.setting_definitions.description is 'What it does, in a sentence.';
comment on column public.setting_definitions.minimum is 'Least number; for a text the fewest characters, for a duration the fewest seconds.';
comment on column public.setting_definitions.maximum is 'Greatest number; for a text the most characters, for a duration the most seconds.';
comment on column public.setting_definitions.pattern is 'Regular expression that a text matches.';
comment on column public.setting_definitions.options is 'What a choice is one of.';
comment on column public.setting_definitions.kept_in is 'The column of communities and profiles that holds the value, for what every row has anyway: locale, time_zone.';

select app.track('public.setting_definitions');

create trigger _010_frozen_key before update of key, kept_in on public.setting_definitions for each row
  when (old.key <> new.key or old.kept_in is distinct from new.kept_in) execute function app.tg__frozen('key');

create policy setting_definitions_select on public.setting_definitions for select to authenticated
  using (deleted_at is null and (select app.user_id()) is not null);
grant select on public.setting_definitions to authenticated, service_role;

create function app.setting_problem(definition public.setting_definitions, value jsonb)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  told constant text := value #>> '{}';
  measured numeric;
  unit constant text := case definition.type when 'text' then ' characters' when 'duration' then ' seconds' else '' end;
begin
  case definition.type
    when 'boolean' then
      return case when jsonb_typeof(value) is distinct from 'boolean' then 'is true or false' end;
    when 'integer', 'numeric' then
      if jsonb_typeof(value) is distinct from 'number' then
        return 'is a number';
      end if;
      measured := told::numeric;
      if definition.type = 'integer' and (measured <> trunc(measured) or abs(measured) > 9007199254740991) then
        return 'is a whole number';
      end if;
    when 'choice' then
      return case when jsonb_typeof(value) is distinct from 'string' or told <> all (definition.options)
        then 'is one of ' || array_to_string(definition.options, ', ') end;
    when 'json' then
      return case
        when value is null or jsonb_typeof(value) not in ('object', 'array') then 'is a JSON object or array'
        when octet_length(value::text) > 20000 then 'is at most 20000 bytes of JSON' end;
    when 'text' then
      if jsonb_typeof(value) is distinct from 'string' then
        return 'is a text';
      elsif length(told) > 10000 then
        return 'is at most 10000 characters';
      elsif told !~ definition.pattern then
        return format('matches %s', definition.pattern);
      end if;
      measured := length(told);
    when 'time' then
      return case when jsonb_typeof(value) is distinct from 'string' or told !~ '^([01][0-9]|2[0-3]):[0-5][0-9]$' then 'is a time of day such as "07:30"' end;
    when 'duration' then
      if jsonb_typeof(value) is distinct from 'string'
        or told !~ '^P(?!$)([0-9]{1,4}Y)?([0-9]{1,4}M)?([0-9]{1,4}W)?([0-9]{1,5}D)?(T(?=[0-9])([0-9]{1,5}H)?([0-9]{1,5}M)?([0-9]{1,6}S)?)?$' then
        return 'is a duration of ISO 8601 such as "PT15M" or "P10Y"';
      end if;
      measured := extract(epoch from told::interval);
  end case;
  return case
    when measured < definition.minimum then format('is at least %s%s', definition.minimum, unit)
    when measured > definition.maximum then format('is at most %s%s', definition.maximum, unit) end;
end;
$$;

comment on function app.setting_problem(public.setting_definitions, jsonb) is
  'What is wrong with a value, to be read after the key ("is at least 30"); null when nothing is.';

create function app.tg_setting_definitions__fits()
returns trigger
language plpgsql
security definer -- looks at the values of everybody
set search_path = ''
as $$
declare
  problem text;
  misfits bigint;
begin
  problem := case when new.default_value is not null then app.setting_problem(new, new.default_value) end;
  if problem is not null then
    perform app.fail(422, 'invalid_value', format('The default of %s %s.', new.key, problem));
  end if;
  if tg_op = 'UPDATE' then
    -- The row is locked; whoever sets a value holds it shared until their commit (app.check_setting).
    select count(*) into misfits
    from (
      select case when v.community_id is not null then 'community' when v.organization_id is not null then 'organization' else 'site' end::public.setting_level as level, v.value
      from public.setting_values v where v.key = new.key and v.deleted_at is null
      union all
      select 'building', b.settings -> new.key from public.buildings b where b.settings ? new.key
      union all
      select 'unit', u.settings -> new.key from public.units u where u.settings ? new.key
      union all
      select 'user', p.value from public.user_preferences p where p.key = new.key and p.deleted_at is null
    ) stored
    where new.deleted_at is not null or stored.level <> all (new.levels) or app.setting_problem(new, stored.value) is not null;
    if misfits > 0 then
      perform app.fail(409, 'setting_in_use', format('%s stored values of %s would no longer fit.', misfits, new.key), 'Change or unset them first.');
    end if;
  end if;
  return new;
end;
$$;

comment on function app.tg_setting_definitions__fits() is
  'BEFORE INSERT OR UPDATE: the default fits its own definition (422 invalid_value), and no change leaves a stored value behind that does not (409 setting_in_use). Definer: looks at the values of everybody.';

create trigger _200_fits before insert or update of category, type, default_value, levels, minimum, maximum, pattern, options, deleted_at
  on public.setting_definitions for each row execute function app.tg_setting_definitions__fits();

create function app.define_setting(
  key text, type public.setting_type, default_value jsonb, levels public.setting_level[], description text,
  minimum numeric default null, maximum numeric default null, pattern text default null, options text[] default null, kept_in text default null
)
returns void
language sql
volatile
set search_path = ''
as $$
  insert into public.setting_definitions (key, category, type, default_value, levels, description, minimum, maximum, pattern, options, kept_in)
  values (define_setting.key, split_part(define_setting.key, '.', 1)::public.setting_category, define_setting.type, define_setting.default_value,
    define_setting.levels, define_setting.description, define_setting.minimum, define_setting.maximum, define_setting.pattern, define_setting.options,
    define_setting.kept_in)
$$;

comment on function app.define_setting(text, public.setting_type, jsonb, public.setting_level[], text, numeric, numeric, text, text[], text) is
  'Declares a setting, in the category its key begins with. For migrations.';

create function app.setting_definition(key text)
returns public.setting_definitions
language plpgsql
stable
security definer -- definitions are declared for everybody; who may list them is another question
set search_path = ''
as $$
declare
  found_definition public.setting_definitions;
begin
  select d.* into found_definition from public.setting_definitions d where d.key = setting_definition.key and d.deleted_at is null;
  if found_definition.id is null then
    perform app.fail(422, 'unknown_setting', format('There is no setting %s.', coalesce(quote_literal(setting_definition.key), 'without a key')), 'The table setting_definitions lists them.');
  end if;
  return found_definition;
end;
$$;

comment on function app.setting_definition(text) is 'The definition of a key (422 unknown_setting). Definer: answers jobs and policies alike.';

create function app.check_setting_level(definition public.setting_definitions, level public.setting_level)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  if check_setting_level.level <> all (definition.levels) then
    perform app.fail(422, 'setting_level', format('%s cannot be set on the level %s.', definition.key, check_setting_level.level),
      format('It is set on: %s.', array_to_string(definition.levels, ', ')));
  end if;
end;
$$;

comment on function app.check_setting_level(public.setting_definitions, public.setting_level) is 'Refuses a level on which the setting cannot be set (422 setting_level).';

create function app.check_setting(key text, level public.setting_level, value jsonb)
returns void
language plpgsql
volatile
security definer -- locks the definition
set search_path = ''
as $$
declare
  definition public.setting_definitions;
  problem text;
begin
  -- Nobody changes the definition until this value is stored.
  perform from public.setting_definitions d where d.key = check_setting.key for share;
  definition := app.setting_definition(check_setting.key);
  perform app.check_setting_level(definition, check_setting.level);
  problem := app.setting_problem(definition, check_setting.value);
  if problem is not null then
    perform app.fail(422, 'invalid_value', format('%s %s.', definition.key, problem));
  end if;
end;
$$;

comment on function app.check_setting(text, public.setting_level, jsonb) is
  'Refuses a value that its definition does not allow on this level (422 unknown_setting, setting_level, invalid_value), and keeps the definition as it is until the transaction ends. Definer: locks the definition.';

-- Values of the site, of organizations and of communities ------------------------------------------------------------

create table public.setting_values (
  id uuid not null default extensions.uuidv7(),
  key text not null,
  organization_id uuid,
  community_id uuid,
  value jsonb not null,
  like app.row_model including defaults including comments,
  constraint setting_values_pkey primary key (id),
  constraint setting_values_key unique nulls not distinct (key, organization_id, community_id, deleted_at),
  constraint setting_values_definition_fkey foreign key (key) references public.setting_definitions (key) on delete restrict,
  constraint setting_values_organization_fkey foreign key (organization_id) references public.organizations (id) on delete cascade,
  constraint setting_values_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint setting_values_scope_check check (num_nonnulls(organization_id, community_id) <= 1),
  constraint setting_values_key_check check (key not in ('general.language', 'general.time_zone'))
);

create index setting_values_organization_idx on public.setting_values (organization_id) where organization_id is not null;
create index setting_values_community_idx on public.setting_values (community_id) where community_id is not null;

comment on table public.setting_values is 'What is set on the site (both ids null), for an organization, or for a community. Changed by set_setting; archived when unset.';
comment on column public.setting_values.key is 'The setting. Language and time zone have columns of their own.';
comment on column public.setting_values.organization_id is 'The organization it is set for, with all its communities.';
comment on column public.setting_values.community_id is 'The community it is set for.';
comment on column public.setting_values.value is 'The value, as JSON of the setting''s type.';

select app.track('public.setting_values');

create policy setting_values_select on public.setting_values for select to authenticated
  using (
    deleted_at is null
    and (
      (organization_id is null and community_id is null and (select app.user_id()) is not null)
      or organization_id = any ((select app.my_organizations())::uuid[])
      or community_id = any ((select app.communities_where('communities.read'))::uuid[])
    )
  );
grant select on public.setting_values to authenticated;
grant select, insert, update on public.setting_values to service_role;

create function app.tg_setting_values__valid()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if new.deleted_at is null then
    perform app.check_setting(new.key,
      case when new.community_id is not null then 'community' when new.organization_id is not null then 'organization' else 'site' end::public.setting_level,
      new.value);
  end if;
  return new;
end;
$$;

comment on function app.tg_setting_values__valid() is 'BEFORE INSERT OR UPDATE: the value fits its definition and its level.';

create trigger _200_valid before insert or update on public.setting_values for each row execute function app.tg_setting_values__valid();

create trigger _010_frozen_scope before update of key, organization_id on public.setting_values for each row
  when (old.key <> new.key or old.organization_id is distinct from new.organization_id) execute function app.tg__frozen('key and scope');

create function app.tg__settings_valid()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  own record;
begin
  if jsonb_typeof(new.settings) is distinct from 'object' then
    return new; -- the table's check refuses it
  end if;
  for own in
    select n.key, n.value
    from jsonb_each(new.settings) n
    where tg_op = 'INSERT' or old.settings -> n.key is distinct from n.value
    order by n.key
  loop
    perform app.check_setting(own.key, tg_argv[0]::public.setting_level, own.value);
  end loop;
  return new;
end;
$$;

comment on function app.tg__settings_valid() is
  'BEFORE INSERT OR UPDATE OF settings, where a row keeps its own values in a column settings {"key": value}: each fits its definition on the level that the argument names.';

-- Preferences --------------------------------------------------------------------------------------------------------

create table public.user_preferences (
  id uuid not null default extensions.uuidv7(),
  key text not null,
  user_id uuid not null,
  value jsonb not null,
  like app.row_model including defaults including comments,
  constraint user_preferences_pkey primary key (id),
  constraint user_preferences_key unique nulls not distinct (user_id, key, deleted_at),
  constraint user_preferences_user_fkey foreign key (user_id) references public.profiles (id) on delete cascade,
  constraint user_preferences_definition_fkey foreign key (key) references public.setting_definitions (key) on delete restrict,
  constraint user_preferences_key_check check (key not in ('general.language', 'general.time_zone'))
);

create index user_preferences_definition_idx on public.user_preferences (key);

comment on table public.user_preferences is 'What users set for themselves, wherever they are. Changed by set_preference; archived when unset. Goes with the user.';
comment on column public.user_preferences.key is 'The setting; one with the level user. Language and time zone are in profiles.';
comment on column public.user_preferences.user_id is 'Whose preference.';
comment on column public.user_preferences.value is 'The value, as JSON of the setting''s type.';

select app.track('public.user_preferences');

create trigger _010_frozen_key before update of key, user_id on public.user_preferences for each row
  when (old.key <> new.key or old.user_id <> new.user_id) execute function app.tg__frozen('key and user');

create policy user_preferences_select on public.user_preferences for select to authenticated
  using (user_id = (select app.user_id()) and deleted_at is null);
grant select on public.user_preferences to authenticated;
grant select, insert, update on public.user_preferences to service_role;

create function app.tg_user_preferences__valid()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if new.deleted_at is null then
    perform app.check_setting(new.key, 'user', new.value);
  end if;
  return new;
end;
$$;

comment on function app.tg_user_preferences__valid() is 'BEFORE INSERT OR UPDATE: the value fits its definition, which allows users to set it.';

create trigger _200_valid before insert or update on public.user_preferences for each row execute function app.tg_user_preferences__valid();

-- Which value counts -------------------------------------------------------------------------------------------------

create function app.setting_sources(key text, community uuid, building uuid, unit uuid, subject uuid)
returns table (level public.setting_level, value jsonb)
language plpgsql
stable
security definer -- answers the same whoever asks
set search_path = ''
as $$
declare
  definition constant public.setting_definitions := app.setting_definition(setting_sources.key);
  wanted constant text := definition.key;
  organization constant uuid := (select c.organization_id from public.communities c where c.id = community);
  around constant uuid := coalesce(building, (select u.building_id from public.units u where u.community_id = community and u.id = unit));
begin
  if definition.kept_in is not null then
    return query
      select 'user'::public.setting_level, to_jsonb(case definition.kept_in when 'locale' then p.locale when 'time_zone' then p.time_zone end)
      from public.profiles p where p.id = subject
      union all
      select 'community', to_jsonb(case definition.kept_in when 'locale' then c.locale when 'time_zone' then c.time_zone end)
      from public.communities c where c.id = community;
    return;
  end if;
  return query
    select 'user'::public.setting_level, p.value from public.user_preferences p where p.user_id = subject and p.key = wanted and p.deleted_at is null
    union all
    select 'unit', u.settings -> wanted from public.units u where u.community_id = community and u.id = unit
    union all
    select 'building', b.settings -> wanted from public.buildings b where b.community_id = community and b.id = around
    union all
    select
      case when v.community_id is not null then 'community' when v.organization_id is not null then 'organization' else 'site' end::public.setting_level,
      v.value
    from public.setting_values v
    where v.key = wanted and v.deleted_at is null
      and case when v.community_id is not null then v.community_id = community when v.organization_id is not null then v.organization_id = organization else true end
    union all
    select null, definition.default_value;
end;
$$;

comment on function app.setting_sources(text, uuid, uuid, uuid, uuid) is
  'The values of a setting that reach a place and a user, one per level where there is one (null where there is none), and the default with a null level. Definer: answers the same whoever asks.';

create function app.setting(key text, community uuid default null, building uuid default null, unit uuid default null, subject uuid default null)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select s.value
  from app.setting_sources(setting.key, setting.community, setting.building, setting.unit, setting.subject) s
  where s.value is not null
  order by s.level desc nulls last
  limit 1
$$;

comment on function app.setting(text, uuid, uuid, uuid, uuid) is
  'The value that counts in a community, a building or a unit, for a user if one is given; for functions and policies. '
  'Cast it: app.setting(…)::integer, (app.setting(…) #>> ''{}'')::interval. A key that is not declared is an error (422 unknown_setting).';

create function app.settings(community uuid, building uuid, unit uuid)
returns table (key text, category public.setting_category, value jsonb, source text)
language plpgsql
stable
security definer -- reads definitions and values of levels above the caller's
set search_path = ''
as $$
begin
  if community is not null then
    perform app.require('communities.read', community);
  elsif building is not null or unit is not null then
    perform app.fail(422, 'invalid_scope', 'A building or a unit is named together with its community.');
  elsif not app.is_trusted() and app.user_id() is null then
    perform app.fail(403, 'permission_denied', 'Settings are told to users who are signed in.');
  end if;
  if unit is not null and not exists (
    select from public.units u
    where u.community_id = community and u.id = settings.unit and u.deleted_at is null
      and (app.is_trusted() or app.can('units.read', community) or u.id in (select app.units_with('units.read_own'))))
  then
    perform app.fail(404, 'unit_not_found', 'There is no live unit with this id in this community.');
  elsif building is not null and not exists (
    select from public.buildings b where b.community_id = community and b.id = settings.building and b.deleted_at is null)
  then
    perform app.fail(404, 'building_not_found', 'There is no live building with this id in this community.');
  end if;
  return query
    select d.key, d.category, nearest.value, coalesce(nearest.level::text, 'default')
    from public.setting_definitions d
    left join lateral (
      select s.level, s.value
      from app.setting_sources(d.key, settings.community, settings.building, settings.unit, app.user_id()) s
      where s.value is not null
      order by s.level desc nulls last
      limit 1
    ) nearest on true
    where d.deleted_at is null
    order by d.key;
end;
$$;

comment on function app.settings(uuid, uuid, uuid) is 'What public.settings does. Definer: reads the values of the levels above the caller''s.';

create function public.settings(community_id uuid default null, building_id uuid default null, unit_id uuid default null)
returns table (key text, category public.setting_category, value jsonb, source text)
language sql
stable
set search_path = ''
as $$ select * from app.settings(community_id, building_id, unit_id) $$;

comment on function public.settings(uuid, uuid, uuid) is
  'Every setting as it counts for the caller on the site, in a community, a building or a unit, and the level it comes from (user, unit, building, community, organization, site, default). '
  'In a community takes communities.read. Errors: permission_denied, invalid_scope, unit_not_found, building_not_found.';

-- Setting ------------------------------------------------------------------------------------------------------------

create function app.set_setting(key text, value jsonb, organization uuid, community uuid, building uuid, unit uuid)
returns jsonb
language plpgsql
volatile
security definer -- API roles may not write values
set search_path = ''
as $$
declare
  wanted constant jsonb := nullif(set_setting.value, 'null');
  level constant public.setting_level := case
    when unit is not null then 'unit' when building is not null then 'building' when community is not null then 'community'
    when organization is not null then 'organization' else 'site' end;
  definition public.setting_definitions;
  refused text;
begin
  if num_nonnulls(organization, community) > 1 or num_nonnulls(building, unit) > 1 or (num_nonnulls(building, unit) > 0 and community is null) then
    perform app.fail(422, 'invalid_scope', 'A value is set for one place: the site, an organization, a community, or a building or unit together with its community.');
  elsif community is not null then
    perform app.require('communities.update', community);
    if not exists (select from public.communities c where c.id = community and c.deleted_at is null) then
      perform app.fail(404, 'community_not_found', 'There is no live community with this id.');
    end if;
  elsif organization is not null then
    if not app.is_trusted() and organization not in (select app.organizations_with('organizations.update')) then
      perform app.refuse('organizations.update', organization);
    elsif not exists (select from public.organizations o where o.id = organization and o.deleted_at is null) then
      perform app.fail(404, 'organization_not_found', 'There is no live organization with this id.');
    end if;
  elsif not app.is_trusted() and not app.can_on_site('settings.manage') then
    perform app.refuse('settings.manage');
  end if;

  definition := app.setting_definition(set_setting.key);
  perform app.check_setting_level(definition, level);
  if level = 'unit' then
    update public.units u
    set settings = case when wanted is null then u.settings - definition.key else u.settings || jsonb_build_object(definition.key, wanted) end
    where u.community_id = community and u.id = unit and u.deleted_at is null;
    if not found then
      perform app.fail(404, 'unit_not_found', 'There is no live unit with this id in this community.');
    end if;
  elsif level = 'building' then
    update public.buildings b
    set settings = case when wanted is null then b.settings - definition.key else b.settings || jsonb_build_object(definition.key, wanted) end
    where b.community_id = community and b.id = building and b.deleted_at is null;
    if not found then
      perform app.fail(404, 'building_not_found', 'There is no live building with this id in this community.');
    end if;
  elsif definition.kept_in is not null and level = 'community' then
    if wanted is null then
      perform app.fail(422, 'invalid_value', format('%s of a community cannot be unset.', definition.key));
    end if;
    perform app.check_setting(definition.key, level, wanted);
    update public.communities c
    set locale = case definition.kept_in when 'locale' then wanted #>> '{}' else c.locale end,
      time_zone = case definition.kept_in when 'time_zone' then wanted #>> '{}' else c.time_zone end
    where c.id = community;
  elsif wanted is null then
    update public.setting_values v
    set deleted_at = clock_timestamp()
    where v.key = definition.key and v.organization_id is not distinct from organization and v.community_id is not distinct from community and v.deleted_at is null;
  else
    insert into public.setting_values as v (key, organization_id, community_id, value)
    values (definition.key, organization, community, wanted)
    on conflict on constraint setting_values_key do update set value = excluded.value where v.value <> excluded.value;
  end if;
  return case when level = 'organization'
    then coalesce(wanted, (select v.value from public.setting_values v where v.key = definition.key and coalesce(v.organization_id, v.community_id) is null and v.deleted_at is null), definition.default_value)
    else app.setting(definition.key, community, building, unit) end;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('communities', refused);
end;
$$;

comment on function app.set_setting(text, jsonb, uuid, uuid, uuid, uuid) is 'What public.set_setting does. Definer: no API role may write values.';

create function public.set_setting(
  key text, value jsonb, organization_id uuid default null, community_id uuid default null, building_id uuid default null, unit_id uuid default null
)
returns jsonb
language sql
volatile
set search_path = ''
as $$ select app.set_setting(key, value, organization_id, community_id, building_id, unit_id) $$;

comment on function public.set_setting(text, jsonb, uuid, uuid, uuid, uuid) is
  'Sets a value for the site (no id), an organization, a community, or a building or unit of a community; null unsets it, so that the next wider one counts. Returns what counts there now. '
  'Takes settings.manage on the site, organizations.update, or communities.update. '
  'Errors: permission_denied, unknown_setting, setting_level, invalid_value, invalid_scope, community_not_found, organization_not_found, building_not_found, unit_not_found.';

create function app.set_preference(key text, value jsonb)
returns jsonb
language plpgsql
volatile
security definer -- API roles may not write values
set search_path = ''
as $$
declare
  caller constant uuid := app.user_id();
  wanted constant jsonb := nullif(set_preference.value, 'null');
  definition public.setting_definitions;
  refused text;
begin
  if caller is null then
    perform app.fail(403, 'permission_denied', 'Preferences belong to a user who is signed in.');
  end if;
  definition := app.setting_definition(set_preference.key);
  perform app.check_setting_level(definition, 'user');
  if definition.kept_in is not null then
    if wanted is not null then
      perform app.check_setting(definition.key, 'user', wanted);
    end if;
    update public.profiles p
    set locale = case definition.kept_in when 'locale' then wanted #>> '{}' else p.locale end,
      time_zone = case definition.kept_in when 'time_zone' then wanted #>> '{}' else p.time_zone end
    where p.id = caller;
  elsif wanted is null then
    update public.user_preferences p set deleted_at = clock_timestamp() where p.user_id = caller and p.key = definition.key and p.deleted_at is null;
  else
    insert into public.user_preferences as p (key, user_id, value)
    values (definition.key, caller, wanted)
    on conflict on constraint user_preferences_key do update set value = excluded.value where p.value <> excluded.value;
  end if;
  return app.setting(definition.key, subject => caller);
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('profiles', refused);
end;
$$;

comment on function app.set_preference(text, jsonb) is 'What public.set_preference does. Definer: no API role may write values.';

create function public.set_preference(key text, value jsonb)
returns jsonb
language sql
volatile
set search_path = ''
as $$ select app.set_preference(key, value) $$;

comment on function public.set_preference(text, jsonb) is
  'Sets a preference of the caller; null unsets it. Returns what counts now outside of any community. Errors: permission_denied, unknown_setting, setting_level, invalid_value.';

grant execute on function
  app.setting(text, uuid, uuid, uuid, uuid), app.setting_sources(text, uuid, uuid, uuid, uuid), app.setting_definition(text),
  app.setting_problem(public.setting_definitions, jsonb), app.check_setting_level(public.setting_definitions, public.setting_level), app.check_setting(text, public.setting_level, jsonb),
  app.settings(uuid, uuid, uuid), public.settings(uuid, uuid, uuid),
  app.set_setting(text, jsonb, uuid, uuid, uuid, uuid), public.set_setting(text, jsonb, uuid, uuid, uuid, uuid),
  app.set_preference(text, jsonb), public.set_preference(text, jsonb)
to authenticated, service_role;

-- The settings of the foundation -------------------------------------------------------------------------------------

select app.define_setting('general.language', 'text', null, '{community,user}', 'Language to write in (BCP 47).',
  pattern => '^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$', kept_in => 'locale');
select app.define_setting('general.time_zone', 'text', null, '{community,user}', 'IANA time zone in which times are shown; a community''s days begin and end in its own.',
  pattern => '^(UTC|[A-Za-z_]+(/[A-Za-z0-9_+-]+)+)$', kept_in => 'time_zone');
select app.define_setting('general.theme', 'choice', '"system"', '{site,organization,community,user}', 'Light or dark, or as the device says.',
  options => '{system,light,dark}');
select app.define_setting('general.contact_email', 'text', null, '{site,organization,community,building}', 'Where people write to when they need help.',
  maximum => 254, pattern => '^[^[:space:]@"(),:;<>\\]+@[^[:space:]@.]+(\.[^[:space:]@.]+)+$');
select app.define_setting('maintenance.notice', 'text', null, '{site,community,building}', 'What apps show at the top while works are going on.',
  minimum => 1, maximum => 500);
select app.define_setting('security.signed_url_seconds', 'integer', '300', '{site,organization,community}', 'How long apps let a signed address of a file live.',
  minimum => 10, maximum => 3600);
select app.define_setting('security.audit_retention_months', 'integer', null, '{site}', 'How many months the audit log is kept after the present one; for ever while it is not set.',
  minimum => 3, maximum => 600);
