-- Foundation: feature flags, and the two ways to run.
--
-- Purpose     What an installation, an organization or a community may use at all; and whether there may be several of them.
-- Tables      features, feature_values
-- RPCs        features, set_feature
-- Invariants  A feature that is off is refused by the database, to every role: through app.require_feature in RPCs, the trigger
--             app.tg__feature on tables, and app.communities_with_feature in policies. A locked value counts for everything beneath
--             it; otherwise the nearest does: community, organization, site, then the default.
--             In standalone mode there is at most one live organization and one live community, however many sessions try.

select app.define_permission('features.manage', 'site', 'Switch features on and off for the site, organizations and communities, and lock them', '{site/superadmin}');

-- Features -----------------------------------------------------------------------------------------------------------

create table public.features (
  id uuid not null default extensions.uuidv7(),
  key text not null,
  description text not null,
  is_enabled boolean not null,
  is_self_service boolean not null default false,
  like app.row_model including defaults including comments,
  constraint features_pkey primary key (id),
  constraint features_key unique (key),
  constraint features_key_check check (key ~ '^[a-z_]+\.[a-z_]+$'),
  constraint features_description_check check (length(description) between 1 and 500)
);

comment on table public.features is 'What can be switched on and off. Part of the system; each topic declares its own with app.define_feature and enforces it.';
comment on column public.features.key is '<what>.<action>: files.upload. Never changes.';
comment on column public.features.description is 'What it lets people do, in a sentence.';
comment on column public.features.is_enabled is 'Whether it is on where nothing is said.';
comment on column public.features.is_self_service is 'Whether organizations and communities may switch it themselves, unless the site locked it.';

select app.track('public.features');

create trigger _010_frozen_key before update of key on public.features for each row
  when (old.key <> new.key) execute function app.tg__frozen('key');

create policy features_select on public.features for select to authenticated using (deleted_at is null and (select app.user_id()) is not null);
grant select on public.features to authenticated, service_role;

create table public.feature_values (
  id uuid not null default extensions.uuidv7(),
  key text not null,
  organization_id uuid,
  community_id uuid,
  is_enabled boolean not null,
  is_locked boolean not null default false,
  like app.row_model including defaults including comments,
  constraint feature_values_pkey primary key (id),
  constraint feature_values_key unique nulls not distinct (key, organization_id, community_id, deleted_at),
  constraint feature_values_feature_fkey foreign key (key) references public.features (key) on delete restrict,
  constraint feature_values_organization_fkey foreign key (organization_id) references public.organizations (id) on delete cascade,
  constraint feature_values_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint feature_values_scope_check check (num_nonnulls(organization_id, community_id) <= 1)
);

create index feature_values_organization_idx on public.feature_values (organization_id) where organization_id is not null;
create index feature_values_community_idx on public.feature_values (community_id) where community_id is not null;

comment on table public.feature_values is 'What is on or off on the site (both ids null), for an organization, or for a community. Changed by set_feature; archived when unset.';
comment on column public.feature_values.key is 'The feature.';
comment on column public.feature_values.organization_id is 'The organization it is switched for, with all its communities.';
comment on column public.feature_values.community_id is 'The community it is switched for.';
comment on column public.feature_values.is_enabled is 'On or off.';
comment on column public.feature_values.is_locked is 'Whether this also counts where something nearer says otherwise. Set and lifted by holders of features.manage alone.';

select app.track('public.feature_values');

create trigger _010_frozen_scope before update of key, organization_id on public.feature_values for each row
  when (old.key <> new.key or old.organization_id is distinct from new.organization_id) execute function app.tg__frozen('key and scope');

create policy feature_values_select on public.feature_values for select to authenticated
  using (
    deleted_at is null
    and (
      (organization_id is null and community_id is null and (select app.user_id()) is not null)
      or organization_id = any ((select app.my_organizations())::uuid[])
      or community_id = any ((select app.communities_where('communities.read'))::uuid[])
    )
  );
grant select on public.feature_values to authenticated;
grant select, insert, update on public.feature_values to service_role;

create function app.define_feature(key text, description text, is_enabled boolean, is_self_service boolean default false)
returns void
language sql
volatile
set search_path = ''
as $$
  insert into public.features (key, description, is_enabled, is_self_service)
  values (define_feature.key, define_feature.description, define_feature.is_enabled, define_feature.is_self_service)
$$;

comment on function app.define_feature(text, text, boolean, boolean) is 'Declares a feature. For migrations.';

-- Whether it is on ---------------------------------------------------------------------------------------------------

create function app.feature_states(community uuid)
returns table (key text, is_enabled boolean, source text, is_locked boolean)
language sql
stable
security definer -- answers the same whoever asks
set search_path = ''
as $$
  select f.key, coalesce(counts.is_enabled, f.is_enabled), coalesce(counts.source, 'default'), coalesce(counts.is_locked, false)
  from public.features f
  left join lateral (
    select v.is_enabled, v.is_locked, l.source
    from public.feature_values v
    cross join lateral (
      select case when v.community_id is not null then 'community' when v.organization_id is not null then 'organization' else 'site' end as source,
        num_nonnulls(v.organization_id) + 2 * num_nonnulls(v.community_id) as nearness
    ) l
    where v.key = f.key and v.deleted_at is null
      and (v.community_id is null or v.community_id = community)
      and (v.organization_id is null or v.organization_id = (select c.organization_id from public.communities c where c.id = community))
    -- The widest lock first, else the nearest.
    order by v.is_locked desc, case when v.is_locked then l.nearness else - l.nearness end
    limit 1
  ) counts on true
  where f.deleted_at is null
$$;

comment on function app.feature_states(uuid) is
  'Every feature as it is in a community (null: on the site), and what decided it. Definer: answers the same whoever asks.';

create function app.feature_enabled(feature text, community uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  state boolean;
begin
  select s.is_enabled into state from app.feature_states(community) s where s.key = feature;
  if state is null then
    perform app.fail(422, 'unknown_feature', format('There is no feature %s.', coalesce(quote_literal(feature), 'without a key')), 'The table features lists them.');
  end if;
  return state;
end;
$$;

comment on function app.feature_enabled(text, uuid) is 'Whether a feature is on in a community, or on the site (null). One that is not declared is an error (422 unknown_feature).';

create function app.require_feature(feature text, community uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not app.feature_enabled(feature, community) then
    perform app.fail(403, 'feature_disabled', format('%s is switched off here.', feature), 'Ask the administrator.');
  end if;
end;
$$;

comment on function app.require_feature(text, uuid) is
  'For RPCs: refuses (403 feature_disabled) while the feature is off in the community. The secret key and Studio are refused too: who may switch it, switches it on.';

create function app.communities_with_feature(feature text)
returns setof uuid
language plpgsql
stable
security definer -- the caller's communities are known before any policy on them is decided
set search_path = ''
as $$
begin
  return query select c from unnest(app.my_communities()) c where app.feature_enabled(feature, c);
end;
$$;

comment on function app.communities_with_feature(text) is 'The caller''s communities in which a feature is on; for policies. Definer: reads values of levels above the caller''s.';

create function app.tg__feature()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform app.require_feature(tg_argv[0], new.community_id);
  return new;
end;
$$;

comment on function app.tg__feature() is 'BEFORE INSERT on a table of a community: refuses new rows while the feature that the argument names is off there (403 feature_disabled).';

create function app.features(community uuid)
returns table (key text, is_enabled boolean, source text, is_locked boolean)
language plpgsql
stable
security definer -- reads values of levels above the caller's
set search_path = ''
as $$
begin
  if community is not null then
    perform app.require('communities.read', community);
  elsif not app.is_trusted() and app.user_id() is null then
    perform app.fail(403, 'permission_denied', 'Features are told to users who are signed in.');
  end if;
  return query select s.* from app.feature_states(community) s order by s.key;
end;
$$;

comment on function app.features(uuid) is 'What public.features does. Definer: reads the values of the levels above the caller''s.';

create function public.features(community_id uuid default null)
returns table (key text, is_enabled boolean, source text, is_locked boolean)
language sql
stable
set search_path = ''
as $$ select * from app.features(community_id) $$;

comment on function public.features(uuid) is
  'Every feature as it is in a community or on the site: on or off, and whether the community, the organization, the site or the default decided it. What an app asks before it shows a page. Errors: permission_denied.';

create function app.set_feature(key text, is_enabled boolean, organization uuid, community uuid, is_locked boolean)
returns boolean
language plpgsql
volatile
security definer -- API roles may not write values
set search_path = ''
as $$
declare
  may_everything constant boolean := app.is_trusted() or app.can_on_site('features.manage');
  feature public.features;
  present public.feature_values;
begin
  if num_nonnulls(organization, community) > 1 then
    perform app.fail(422, 'invalid_scope', 'A feature is switched for the site, an organization or a community.');
  end if;
  select f.* into feature from public.features f where f.key = set_feature.key and f.deleted_at is null;
  if not may_everything then
    if community is not null then
      perform app.require('communities.update', community);
    elsif organization is null or organization not in (select app.organizations_with('organizations.update')) then
      perform app.refuse(case when organization is null then 'features.manage' else 'organizations.update' end, organization);
    end if;
    if feature.id is not null and not feature.is_self_service or set_feature.is_locked then
      perform app.refuse('features.manage');
    end if;
  end if;
  if feature.id is null then
    perform app.fail(422, 'unknown_feature', format('There is no feature %s.', coalesce(quote_literal(set_feature.key), 'without a key')), 'The table features lists them.');
  elsif community is not null and not exists (select from public.communities c where c.id = community and c.deleted_at is null) then
    perform app.fail(404, 'community_not_found', 'There is no live community with this id.');
  elsif organization is not null and not exists (select from public.organizations o where o.id = organization and o.deleted_at is null) then
    perform app.fail(404, 'organization_not_found', 'There is no live organization with this id.');
  end if;

  select v.* into present
  from public.feature_values v
  where v.key = feature.key and v.organization_id is not distinct from organization and v.community_id is not distinct from community and v.deleted_at is null
  for no key update;
  if present.is_locked and not may_everything then
    perform app.fail(403, 'feature_locked', format('The site has locked %s here.', feature.key));
  elsif set_feature.is_enabled is null then
    update public.feature_values v set deleted_at = clock_timestamp() where v.id = present.id;
  else
    insert into public.feature_values as v (key, organization_id, community_id, is_enabled, is_locked)
    values (feature.key, organization, community, set_feature.is_enabled, coalesce(set_feature.is_locked, false))
    on conflict on constraint feature_values_key do update set is_enabled = excluded.is_enabled, is_locked = excluded.is_locked
    where may_everything or not v.is_locked;
    if not found then
      perform app.fail(403, 'feature_locked', format('The site has locked %s here.', feature.key));
    end if;
  end if;
  return case when organization is null then app.feature_enabled(feature.key, community)
    else coalesce(
      (select v.is_enabled from public.feature_values v where v.key = feature.key and v.deleted_at is null and v.community_id is null
        and (v.organization_id = organization or v.organization_id is null)
        order by v.is_locked desc, (v.organization_id is null) = v.is_locked desc limit 1),
      feature.is_enabled) end;
end;
$$;

comment on function app.set_feature(text, boolean, uuid, uuid, boolean) is 'What public.set_feature does. Definer: no API role may write values.';

create function public.set_feature(
  key text, is_enabled boolean, organization_id uuid default null, community_id uuid default null, is_locked boolean default false
)
returns boolean
language sql
volatile
set search_path = ''
as $$ select app.set_feature(key, is_enabled, organization_id, community_id, is_locked) $$;

comment on function public.set_feature(text, boolean, uuid, uuid, boolean) is
  'Switches a feature for the site (no id), an organization or a community; null unsets it. Returns whether it is on there now. Takes features.manage on the site; '
  'what is self-service and not locked, also organizations.update or communities.update. '
  'Errors: permission_denied, unknown_feature, feature_locked, invalid_scope, community_not_found, organization_not_found.';

grant execute on function
  app.feature_states(uuid), app.feature_enabled(text, uuid), app.require_feature(text, uuid), app.communities_with_feature(text),
  app.features(uuid), public.features(uuid), app.set_feature(text, boolean, uuid, uuid, boolean), public.set_feature(text, boolean, uuid, uuid, boolean)
to authenticated, service_role;

-- Standalone and multi-tenant ----------------------------------------------------------------------------------------

select app.define_setting('general.mode', 'choice', '"multi_tenant"', '{site}',
  'multi_tenant: many organizations with their communities. standalone: one community, of one organization.', options => '{multi_tenant,standalone}');

create function app.mode()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return app.setting('general.mode') #>> '{}';
end;
$$;

comment on function app.mode() is 'How this installation runs: multi_tenant or standalone.';

-- The row that defines general.mode is the lock: whoever makes a tenant in a multi-tenant installation holds it shared, whoever
-- changes the mode, or makes the one tenant of a standalone one, writes it. A written row makes older snapshots fail (40001).

create function app.hold_mode(exclusively boolean)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  if exclusively then
    update public.setting_definitions d set updated_at = now() where d.key = 'general.mode';
  else
    perform from public.setting_definitions d where d.key = 'general.mode' for share;
  end if;
end;
$$;

comment on function app.hold_mode(boolean) is 'Keeps the mode as it is until the transaction ends; exclusively: also waits for everybody else who holds it, and keeps others out.';

create function app.tg__standalone()
returns trigger
language plpgsql
security definer -- counts rows that the caller may not see
set search_path = ''
as $$
declare
  others bigint;
begin
  if app.mode() <> 'standalone' then
    perform app.hold_mode(exclusively => false);
  end if;
  -- Asked again: it may have changed while we waited.
  if app.mode() = 'standalone' then
    perform app.hold_mode(exclusively => true);
    execute format('select count(*) from %I.%I t where t.id <> $1 and t.deleted_at is null', tg_table_schema, tg_table_name) into others using new.id;
    if others > 0 then
      perform app.fail(409, 'standalone_mode', format('This installation runs standalone, and there is a live one of %I already.', tg_table_name),
        'A superadministrator can set general.mode to multi_tenant.');
    end if;
  end if;
  return null;
end;
$$;

comment on function app.tg__standalone() is
  'AFTER INSERT OR UNARCHIVING of an organization or community: in standalone mode refuses a second live one (409 standalone_mode). Definer: counts rows the caller may not see.';

create trigger _300_standalone after insert on public.organizations for each row
  when (new.deleted_at is null) execute function app.tg__standalone();
create trigger _300_standalone_again after update of deleted_at on public.organizations for each row
  when (old.deleted_at is not null and new.deleted_at is null) execute function app.tg__standalone();
create trigger _300_standalone after insert on public.communities for each row
  when (new.deleted_at is null) execute function app.tg__standalone();
create trigger _300_standalone_again after update of deleted_at on public.communities for each row
  when (old.deleted_at is not null and new.deleted_at is null) execute function app.tg__standalone();

create function app.tg_setting_values__mode()
returns trigger
language plpgsql
security definer -- counts organizations and communities that the caller may not see
set search_path = ''
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    -- An older snapshot would count what was there before the wait.
    perform app.fail(409, 'isolation_refused', 'The mode is changed in a transaction that is read committed.');
  end if;
  perform app.hold_mode(exclusively => true);
  if new.deleted_at is null and new.value = '"standalone"' and (
    (select count(*) from public.communities c where c.deleted_at is null) > 1
    or (select count(*) from public.organizations o where o.deleted_at is null) > 1)
  then
    perform app.fail(409, 'several_tenants', 'There are several live organizations or communities: this installation cannot run standalone.',
      'Archive all but one first.');
  end if;
  return new;
end;
$$;

comment on function app.tg_setting_values__mode() is
  'BEFORE a change of general.mode: waits for whoever is making an organization or community, and refuses standalone where there are several (409 several_tenants). Definer: counts rows the caller may not see.';

-- Before _200_valid, which holds the definition shared: two who change the mode shall wait, not deadlock.
create trigger _150_mode before insert or update on public.setting_values for each row
  when (new.key = 'general.mode') execute function app.tg_setting_values__mode();
