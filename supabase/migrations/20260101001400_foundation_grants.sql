-- Foundation: custom roles, single permissions, restrictions, and why the caller may or may not.
--
-- Purpose     What system roles do not fit: an organization's own roles, one permission for one person, a role within limits.
-- Tables      user_permissions
-- RPCs        create_role, set_role_permissions, grant_permission, revoke_permission, restrict_role, explain_access
-- Invariants  Nobody builds, widens or hands out more than they hold in the same place. A restricted membership never
--             reaches beyond its limits: it gives nothing community-wide but what survives a restriction, and what is held
--             within hours or up to an amount is not handed on, as it would be held without; nor is what is held for a time for
--             longer than that. A community that had an administrator always has one.

select app.define_permission('roles.manage', 'community', 'Build custom roles', '{
  site/superadmin, organization/owner, organization/admin, community/admin}');

-- Single permissions -------------------------------------------------------------------------------------------------

create table public.user_permissions (
  id uuid not null default extensions.uuidv7(),
  permission_key text not null,
  user_id uuid not null,
  organization_id uuid,
  community_id uuid,
  starts_at timestamptz not null default now(),
  ends_at timestamptz,
  reason text not null,
  like app.row_model including defaults including comments,
  constraint user_permissions_pkey primary key (id),
  constraint user_permissions_permission_fkey foreign key (permission_key) references public.permissions (key) on delete restrict,
  constraint user_permissions_user_fkey foreign key (user_id) references public.profiles (id) on delete cascade,
  constraint user_permissions_organization_fkey foreign key (organization_id) references public.organizations (id) on delete cascade,
  constraint user_permissions_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint user_permissions_scope_check check (num_nonnulls(organization_id, community_id) = 1),
  constraint user_permissions_ends_at_check check (ends_at > starts_at),
  constraint user_permissions_reason_check check (length(btrim(reason)) between 3 and 500)
);

create index user_permissions_user_idx on public.user_permissions (user_id);
create index user_permissions_permission_idx on public.user_permissions (permission_key);
create index user_permissions_organization_idx on public.user_permissions (organization_id) where organization_id is not null;
create index user_permissions_community_idx on public.user_permissions (community_id) where community_id is not null;

comment on table public.user_permissions is
  'Single permissions given to one user in an organization or a community, beside roles. Who gave it is in created_by. Changed by grant_permission and revoke_permission.';
comment on column public.user_permissions.permission_key is 'The permission.';
comment on column public.user_permissions.user_id is 'Who holds it.';
comment on column public.user_permissions.organization_id is 'The organization it is held in, with all its communities.';
comment on column public.user_permissions.community_id is 'The community it is held in.';
comment on column public.user_permissions.starts_at is 'From this moment on it is held.';
comment on column public.user_permissions.ends_at is 'From this moment on it is gone; null: until revoked.';
comment on column public.user_permissions.reason is 'Why this person needs it beside their roles.';

select app.track('public.user_permissions');

create policy user_permissions_select on public.user_permissions for select to authenticated
  using (
    deleted_at is null
    and (
      user_id = (select app.user_id())
      or community_id = any ((select app.communities_where('memberships.read'))::uuid[])
      or organization_id in (select app.organizations_with('memberships.read'))
    )
  );
grant select on public.user_permissions to authenticated;
grant select, insert, update on public.user_permissions to service_role;

create trigger _500_access_insert after insert on public.user_permissions
  referencing new table as new_rows for each statement execute function app.tg__user_access();
create trigger _500_access_update after update on public.user_permissions
  referencing old table as old_rows new table as new_rows for each statement execute function app.tg__user_access();
create trigger _500_access_delete after delete on public.user_permissions
  referencing old table as old_rows for each statement execute function app.tg__user_access();

create function app.tg_user_permissions__level()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  level public.access_level;
begin
  select p.level into level from public.permissions p where p.key = new.permission_key;
  if level = 'unit' or level < (case when new.community_id is null then 'organization' else 'community' end)::public.access_level then
    perform app.fail(409, 'permission_level', format('The permission %s is not held there.', new.permission_key));
  end if;
  return new;
end;
$$;

comment on function app.tg_user_permissions__level() is
  'BEFORE INSERT OR UPDATE: a single permission is given on its own level or a wider one (409 permission_level); never what occupancy alone gives.';

create trigger _200_level before insert or update of permission_key, organization_id, community_id on public.user_permissions
  for each row execute function app.tg_user_permissions__level();

-- What the helpers of policies look up beside roles ---------------------------------------------------------------------

create function app.has_extras(subject uuid)
returns boolean
language sql
stable
security definer -- reads other people's memberships
set search_path = ''
return exists (
  select from public.user_permissions up where up.user_id = subject and up.deleted_at is null and (up.ends_at is null or up.ends_at > now())
) or exists (
  select from public.memberships m
  where m.user_id = subject and m.restriction is not null and m.deleted_at is null and (m.ends_at is null or m.ends_at > now())
);

comment on function app.has_extras(uuid) is
  'Whether a user holds, now or later, a single permission or a restricted membership. Definer: reads other people''s memberships; not executable by API roles.';

create function app.extra_organizations(permission text)
returns setof uuid
language plpgsql
stable
security definer -- reads what the caller was given before any policy on it is decided
set search_path = ''
as $$
begin
  -- In PL/pgSQL, which keeps its plan: a function in SQL would be planned anew by each of the helpers that ask, which takes milliseconds.
  return query
  select up.organization_id
  from public.user_permissions up
  where up.user_id = (select app.user_id()) and up.permission_key = extra_organizations.permission and up.organization_id is not null
    and up.deleted_at is null and up.starts_at <= now() and (up.ends_at is null or up.ends_at > now());
end;
$$;

comment on function app.extra_organizations(text) is
  'Organizations in which the caller was given this one permission. Definer: reads user_permissions; not executable by API roles.';

create function app.extra_communities(permission text)
returns setof uuid
language plpgsql
stable
security definer -- reads what the caller was given before any policy on it is decided
set search_path = ''
as $$
begin
  -- In PL/pgSQL too, for the same reason.
  return query
  select up.community_id
  from public.user_permissions up
  where up.user_id = (select app.user_id()) and (extra_communities.permission is null or up.permission_key = extra_communities.permission)
    and up.community_id is not null and up.deleted_at is null and up.starts_at <= now() and (up.ends_at is null or up.ends_at > now())
  union
  select c.id
  from public.user_permissions up
  join public.communities c on c.organization_id = up.organization_id
  where up.user_id = (select app.user_id()) and extra_communities.permission is null
    and up.deleted_at is null and up.starts_at <= now() and (up.ends_at is null or up.ends_at > now())
  union
  select m.community_id
  from public.memberships m
  join public.communities c on c.id = m.community_id
  join public.roles r on r.id = m.role_id
  where m.user_id = (select app.user_id()) and m.restriction is not null and m.deleted_at is null and r.deleted_at is null and c.deleted_at is null
    and m.starts_at <= now() and (m.ends_at is null or m.ends_at > now())
    and app.restriction_holds_now(m.restriction, c.time_zone)
    and (extra_communities.permission is null or exists (
      select
      from public.role_permissions rp
      join public.permissions p on p.key = rp.permission_key
      where rp.role_id = m.role_id and rp.permission_key = extra_communities.permission
        and (p.is_kept_when_restricted or not (m.restriction ? 'buildings' or m.restriction ? 'units'))
    ));
end;
$$;

comment on function app.extra_communities(text) is
  'Communities in which the caller holds the permission by a single grant or by a restricted membership as far as its limits allow; with null: where the caller has any such. Definer: reads user_permissions and memberships; not executable by API roles.';

create function app.extra_units(permission text)
returns setof uuid
language plpgsql
stable
security definer -- reads what the caller was given before any policy on it is decided
set search_path = ''
as $$
declare
  lacking constant uuid[] := app.assurance_lacking(permission) || app.assurance_lacking(regexp_replace(permission, '_own$', ''));
begin
  if array_position(lacking, null) is not null then
    return;
  end if;
  return query
  select u.id
  from public.memberships m
  join public.communities c on c.id = m.community_id
  join public.roles r on r.id = m.role_id
  join public.role_permissions rp on rp.role_id = m.role_id and rp.permission_key || '_own' = extra_units.permission
  join public.units u on u.community_id = m.community_id
    and (m.restriction -> 'units' ? u.id::text or m.restriction -> 'buildings' ? u.building_id::text)
  where m.user_id = (select app.user_id()) and m.restriction is not null and m.deleted_at is null and r.deleted_at is null and c.deleted_at is null
    and m.starts_at <= now() and (m.ends_at is null or m.ends_at > now())
    and (lacking is null or c.organization_id <> all (lacking))
    and app.restriction_holds_now(m.restriction, c.time_zone);
end;
$$;

comment on function app.extra_units(text) is
  'For a permission <x>_own: the units to which the caller''s restricted memberships reach, where the role holds <x>. Definer: reads memberships; not executable by API roles.';

-- Custom roles -------------------------------------------------------------------------------------------------------

create function app.change_role(role uuid, key text, name text, description text, level public.access_level, permissions text[], organization uuid, community uuid)
returns uuid
language plpgsql
volatile
security definer -- API roles may not write roles
set search_path = ''
as $$
declare
  known public.roles;
  given text[];
  taken text[];
  unknown text;
  refused text;
begin
  if role is not null then
    select r.* into known from public.roles r where r.id = role and num_nonnulls(r.organization_id, r.community_id) = 1 and r.deleted_at is null for no key update;
    if known.id is null then
      perform app.fail(404, 'role_not_found', 'There is no custom role with this id.', 'System roles do not change.');
    end if;
    organization := known.organization_id;
    community := known.community_id;
  elsif num_nonnulls(organization, community) <> 1 then
    perform app.fail(422, 'invalid_scope', 'A custom role belongs to one organization or to one community.');
  end if;

  -- What is added must be the caller's to give, what is taken away the caller's. A role has no end: what is added to it is given for ever to
  -- whoever holds it. A new one is held by nobody yet.
  given := array(
    select p.key from public.permissions p
    where p.key = any (permissions) and not exists (select from public.role_permissions rp where rp.role_id = role and rp.permission_key = p.key));
  taken := array(select rp.permission_key from public.role_permissions rp where rp.role_id = role and rp.permission_key <> all (permissions));
  perform app.check_own('roles.manage', given, taken, organization, community, case when role is null or given = '{}' then '-infinity' else 'infinity' end::timestamptz);

  select x.permission into unknown from unnest(permissions) x (permission) where not exists (select from public.permissions p where p.key = x.permission) order by 1 limit 1;
  if unknown is not null then
    perform app.fail(422, 'permission_unknown', format('There is no permission %s.', unknown));
  elsif permissions is null or array_position(permissions, null) is not null or (role is null and (key is null or name is null or level is null)) then
    perform app.fail(422, 'invalid_value', 'A role has a key, a name, a level and a list of permissions, which may be empty.');
  end if;

  if role is null then
    insert into public.roles (key, name, description, level, organization_id, community_id)
    values (change_role.key, change_role.name, change_role.description, change_role.level, organization, community)
    returning id into role;
  end if;
  delete from public.role_permissions rp where rp.role_id = change_role.role and rp.permission_key <> all (permissions);
  insert into public.role_permissions (role_id, permission_key) select change_role.role, p from unnest(permissions) p on conflict do nothing;
  return role;
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('roles', refused);
  when not_null_violation then
    get stacked diagnostics refused = column_name;
    perform app.fail(422, 'invalid_value', format('The value of %s is missing.', refused));
end;
$$;

comment on function app.change_role(uuid, text, text, text, public.access_level, text[], uuid, uuid) is
  'What create_role (role null) and set_role_permissions do. Definer: no API role may write roles.';

create function public.create_role(
  key text, name text, permissions text[], organization_id uuid default null, community_id uuid default null,
  level public.access_level default 'community', description text default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.change_role(null, key, name, description, level, permissions, organization_id, community_id) $$;

comment on function public.create_role(text, text, text[], uuid, uuid, public.access_level, text) is
  'Builds a custom role of an organization (level organization: held in it; level community: held in any of its communities) or of one community, and returns its id. '
  'Takes roles.manage there and every permission given. Errors: permission_denied, role_above_own, role_key_taken, permission_unknown, permission_level, invalid_scope, invalid_value.';

create function public.set_role_permissions(role_id uuid, permissions text[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  if role_id is null then
    perform app.fail(404, 'role_not_found', 'There is no custom role with this id.', 'System roles do not change.');
  elsif permissions is null then
    perform app.fail(422, 'invalid_value', 'The permissions of a role are a list; an empty one takes all of them.');
  end if;
  perform app.change_role(role_id, null, null, null, null, permissions, null, null);
end;
$$;

comment on function public.set_role_permissions(uuid, text[]) is
  'Makes these the permissions of a custom role, for everybody who holds it, on their next statement. Takes roles.manage and every permission added or taken; adding takes both without an end. '
  'Errors: role_not_found, permission_denied, role_above_own, term_above_own, permission_unknown, permission_level, last_administrator, invalid_value.';

-- Single permissions and restrictions --------------------------------------------------------------------------------

select app.define_action('PERMISSION_GRANTED', 'A user was given a single permission.');
select app.define_action('PERMISSION_REVOKED', 'A single permission was ended.');
select app.define_action('ROLE_RESTRICTED', 'The limits of a user''s role were set or lifted.');

create function app.grant_permission(subject uuid, permission text, organization uuid, community uuid, ends_at timestamptz, reason text)
returns uuid
language plpgsql
volatile
security definer -- API roles may not write user_permissions
set search_path = ''
as $$
declare
  refused text;
  made uuid;
  action_before constant text := app.set_action('PERMISSION_GRANTED');
begin
  if num_nonnulls(organization, community) <> 1 then
    perform app.fail(422, 'invalid_scope', 'A permission is given in one organization or in one community.');
  end if;
  perform app.check_own('memberships.manage', array[permission], '{}', organization, community, grant_permission.ends_at);
  if not exists (select from public.permissions p where p.key = permission) then
    perform app.fail(422, 'permission_unknown', format('There is no permission %s.', permission));
  elsif ends_at <= now() then
    perform app.fail(422, 'invalid_period', 'The permission would end before it begins.');
  end if;
  perform app.require_known_user(subject);
  insert into public.user_permissions (permission_key, user_id, organization_id, community_id, ends_at, reason)
  values (permission, subject, organization, community, grant_permission.ends_at, grant_permission.reason)
  returning id into made;
  perform app.set_action(action_before);
  return made;
exception
  when foreign_key_violation or not_null_violation then
    perform app.fail(404, 'user_not_found', 'There is no user, organization or community with this id, or the reason is missing.');
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('user_permissions', refused);
end;
$$;

comment on function app.grant_permission(uuid, text, uuid, uuid, timestamptz, text) is 'What public.grant_permission does. Definer: no API role may write user_permissions.';

create function public.grant_permission(
  user_id uuid, permission text, reason text, organization_id uuid default null, community_id uuid default null, ends_at timestamptz default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.grant_permission(user_id, permission, organization_id, community_id, ends_at, reason) $$;

comment on function public.grant_permission(uuid, text, text, uuid, uuid, timestamptz) is
  'Gives one user one permission in an organization or a community, beside their roles, until ends_at or until revoked, and returns the grant''s id. '
  'Takes memberships.manage and the permission itself, each until ends_at at least. Errors: permission_denied, role_above_own, term_above_own, permission_unknown, permission_level, user_not_found, invalid_scope, invalid_period, invalid_value.';

create function app.revoke_permission(given uuid)
returns void
language plpgsql
volatile
security definer -- API roles may not write user_permissions
set search_path = ''
as $$
declare
  held public.user_permissions;
  action_before constant text := app.set_action('PERMISSION_REVOKED');
begin
  select up.* into held
  from public.user_permissions up
  where up.id = given and up.deleted_at is null and (up.ends_at is null or up.ends_at > now())
  for no key update;
  if held.id is null or not (
    app.is_trusted() or held.user_id = app.user_id()
    or 'memberships.manage' in (select app.permissions_in(held.organization_id, held.community_id)))
  then
    perform app.fail(404, 'grant_not_found', 'There is no running grant with this id.');
  end if;
  update public.user_permissions up
  set ends_at = case when up.starts_at < now() then now() else up.ends_at end,
    deleted_at = case when up.starts_at < now() then up.deleted_at else now() end
  where up.id = given;
  perform app.set_action(action_before);
end;
$$;

comment on function app.revoke_permission(uuid) is 'What public.revoke_permission does. Definer: no API role may write user_permissions.';

create function public.revoke_permission(grant_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.revoke_permission(grant_id) $$;

comment on function public.revoke_permission(uuid) is
  'Ends a single permission now, effective on the user''s next statement. One''s own, or with memberships.manage. Errors: grant_not_found.';

create function app.restrict_role(membership uuid, restriction jsonb)
returns void
language plpgsql
volatile
security definer -- API roles may not write memberships
set search_path = ''
as $$
declare
  held public.memberships;
  action_before constant text := app.set_action('ROLE_RESTRICTED');
begin
  -- With what the caller gives from, which is locked too (app.check_own), in one order: two may restrict each other.
  perform from public.memberships m where (m.id = membership or m.user_id = (select app.user_id())) and m.deleted_at is null order by m.id for no key update;
  select m.* into held
  from public.memberships m
  where m.id = membership and m.deleted_at is null and (m.ends_at is null or m.ends_at > now());
  if held.id is null or not (app.is_trusted() or 'memberships.read' in (select app.permissions_in(held.organization_id, held.community_id))) then
    perform app.fail(404, 'membership_not_found', 'There is no running membership with this id.');
  end if;
  -- Whoever sets limits to a role without any takes from it; else they may be wider than they were.
  perform app.check_role_within(held.role_id, held.organization_id, held.community_id, held.ends_at, is_taken => held.restriction is null);
  if held.user_id = auth.uid() and held.restriction is not null then
    perform app.fail(409, 'own_restriction', 'Nobody widens the own limits.');
  elsif restriction is not null and (held.community_id is null or not app.is_restriction(restriction)) then
    perform app.fail(422, 'invalid_restriction', 'A restriction narrows a role in a community by buildings, units, hours or amounts.');
  elsif exists (
    select from jsonb_array_elements_text(coalesce(restriction -> 'buildings', '[]')) b
    where not exists (select from public.buildings x where x.community_id = held.community_id and x.id = b::uuid)
    union all
    select from jsonb_array_elements_text(coalesce(restriction -> 'units', '[]')) u
    where not exists (select from public.units x where x.community_id = held.community_id and x.id = u::uuid)
  ) then
    perform app.fail(422, 'invalid_restriction', 'A building or unit of the restriction is not in this community.');
  end if;
  update public.memberships m set restriction = restrict_role.restriction where m.id = membership;
  perform app.set_action(action_before);
end;
$$;

comment on function app.restrict_role(uuid, jsonb) is 'What public.restrict_role does. Definer: no API role may write memberships.';

create function public.restrict_role(membership_id uuid, restriction jsonb)
returns void
language sql
volatile
set search_path = ''
as $$ select app.restrict_role(membership_id, restriction) $$;

comment on function public.restrict_role(uuid, jsonb) is
  'Narrows a membership in a community to buildings, units, hours or amounts (shape: memberships.restriction), or lifts the limits with null. '
  'Takes memberships.manage and every permission the role holds; changing or lifting limits takes them until the membership''s end at least. Errors: membership_not_found, permission_denied, role_above_own, term_above_own, own_restriction, invalid_restriction.';

create function app.amount_limit(permission text, community uuid)
returns numeric
language plpgsql
stable
security definer -- reads the caller's limits
set search_path = ''
as $$
begin
  if app.is_trusted() then
    return null;
  elsif app.needs_assurance(permission, community) then
    return 0;
  end if;
  -- Without one where any role or grant says nothing of amounts for it.
  return (
    select case when count(*) = 0 then 0 when bool_and(coalesce(l.limits -> 'amounts' ? permission, false)) then max((l.limits #>> array['amounts', permission])::numeric) end
    from app.limits_of(permission, community) l (limits));
end;
$$;

comment on function app.amount_limit(text, uuid) is
  'The largest amount for which the caller may use the permission in the community at once; null: any, 0: none. Definer: reads memberships.';

-- The last administrator ---------------------------------------------------------------------------------------------

create function app.check_administrator(community uuid, besides uuid, at timestamptz)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  if not exists (
    select
    from public.memberships m
    join public.role_permissions rp on rp.role_id = m.role_id and rp.permission_key = 'memberships.manage'
    join public.roles r on r.id = m.role_id and r.deleted_at is null
    join public.profiles p on p.id = m.user_id and p.status = 'active'
    where m.community_id = check_administrator.community and m.id is distinct from besides and m.restriction is null and m.deleted_at is null
      and m.starts_at <= now() and (m.ends_at is null or m.ends_at > check_administrator.at))
  then
    perform app.fail(409, 'last_administrator', 'The community would be left without anybody who may grant roles.', 'Grant such a role to somebody else first.');
  end if;
end;
$$;

comment on function app.check_administrator(uuid, uuid, timestamptz) is
  'Refuses (409 last_administrator) unless the role of somebody in a community, other than by the membership besides, holds memberships.manage at a moment. Not executable by API roles.';

create function app.tg_memberships__last_administrator()
returns trigger
language plpgsql
security definer -- counts administrators the caller may be unable to see
set search_path = ''
as $$
begin
  -- One change of administrators at a time: two who remove each other are two who ask for this row.
  perform from public.communities c where c.id = old.community_id and c.deleted_at is null for no key update;
  -- Where there is none the community itself is archived, and its memberships with it.
  if found and exists (
    select from public.role_permissions rp where rp.role_id = old.role_id and rp.permission_key = 'memberships.manage')
  then
    perform app.check_administrator(old.community_id, old.id, coalesce(new.ends_at, now()));
  end if;
  return new;
end;
$$;

comment on function app.tg_memberships__last_administrator() is
  'BEFORE a membership in a community is ended, archived or restricted: somebody whose role holds memberships.manage must remain (409 last_administrator). Definer: counts other people''s memberships.';

create trigger _300_last_administrator before update of ends_at, deleted_at, restriction, role_id, user_id on public.memberships for each row
  when (
    old.community_id is not null and old.restriction is null and old.deleted_at is null
    and (
      new.deleted_at is not null or new.restriction is not null or new.role_id <> old.role_id or new.user_id <> old.user_id
      or (new.ends_at is not null and new.ends_at is distinct from old.ends_at)
    )
  )
  execute function app.tg_memberships__last_administrator();

create function app.tg_role_permissions__last_administrator()
returns trigger
language plpgsql
security definer -- counts administrators the caller may be unable to see
set search_path = ''
as $$
declare
  community uuid;
begin
  -- In the order of their ids: whoever ends a membership asks for one of these rows.
  for community in
    select c.id
    from public.communities c
    where c.deleted_at is null and c.id in (
      select m.community_id
      from public.memberships m
      where m.role_id = old.role_id and m.restriction is null and m.deleted_at is null
        and m.starts_at <= now() and (m.ends_at is null or m.ends_at > now()))
    order by c.id
    for no key update
  loop
    perform app.check_administrator(community, null, now());
  end loop;
  return null;
end;
$$;

comment on function app.tg_role_permissions__last_administrator() is
  'AFTER memberships.manage is taken from a role: in every community where somebody holds the role, somebody who may grant roles must remain (409 last_administrator). Definer: counts other people''s memberships.';

create trigger _300_last_administrator after delete on public.role_permissions for each row
  when (old.permission_key = 'memberships.manage') execute function app.tg_role_permissions__last_administrator();

-- Why, or why not ----------------------------------------------------------------------------------------------------

create function app.explain_access(permission text, community uuid)
returns jsonb
language plpgsql
stable
security definer -- reads the caller's own memberships, roles and claims
set search_path = ''
as $$
declare
  claims constant jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb -> 'app_metadata';
  caller constant uuid := auth.uid();
  known public.permissions;
  answer jsonb;
begin
  select p.* into known from public.permissions p where p.key = permission;
  if known.id is null then
    perform app.fail(422, 'permission_unknown', format('There is no permission %s.', permission));
  end if;
  answer := jsonb_build_object(
    'permission', permission,
    'allowed', app.can(permission, community),
    'level', known.level,
    'account', (select p.status from public.profiles p where p.id = caller),
    'token', jsonb_build_object(
      'has_claims', claims ? 'access_version',
      'is_current', (claims ->> 'access_version')::bigint is not distinct from (select a.version from private.user_access a where a.user_id = caller),
      'valid_until', claims -> 'valid_until',
      'truncated', claims ? 'truncated'),
    'assurance', jsonb_build_object('has_second_factor', app.is_assured(), 'needs_second_factor', app.needs_assurance(permission, community)),
    'roles', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'role', r.key, 'level', m.level, 'holds_it', rp.id is not null, 'restriction', m.restriction,
        'from', m.starts_at, 'until', m.ends_at) order by m.level, r.key), '[]')
      from public.memberships m
      join public.roles r on r.id = m.role_id and r.deleted_at is null
      left join public.role_permissions rp on rp.role_id = r.id and rp.permission_key = permission
      where m.user_id = caller and m.deleted_at is null and (m.ends_at is null or m.ends_at > now())
        and (m.level = 'site' or m.community_id = community
          or m.organization_id = (select c.organization_id from public.communities c where c.id = community))),
    'occupancies', (
      select coalesce(jsonb_agg(jsonb_build_object('unit', u.number, 'role', o.role, 'holds_it', exists (
          select from public.role_permissions rp join public.roles r on r.id = rp.role_id
          where r.is_occupancy and r.key = o.role::text and rp.permission_key = permission),
        'from', o.starts_on, 'until', o.ends_on, 'suspended', re.onboarding = 'suspended') order by u.number), '[]')
      from public.residents re
      join public.occupancies o on o.community_id = re.community_id and o.resident_id = re.id and o.deleted_at is null
      join public.units u on u.id = o.unit_id
      where re.user_id = caller and re.community_id = community and re.deleted_at is null),
    'grants', (
      select coalesce(jsonb_agg(jsonb_build_object('from', up.starts_at, 'until', up.ends_at, 'reason', up.reason)), '[]')
      from public.user_permissions up
      where up.user_id = caller and up.permission_key = permission and up.deleted_at is null
        and (up.community_id = community or up.organization_id = (select c.organization_id from public.communities c where c.id = community))));
  if known.level = 'unit' then
    answer := answer || jsonb_build_object('units', (
      select count(*) from app.units_with(permission) w join public.units u on u.id = w where u.community_id = community));
    answer := answer || jsonb_build_object('allowed', (answer ->> 'units')::bigint > 0);
  end if;
  return answer;
end;
$$;

comment on function app.explain_access(text, uuid) is 'What public.explain_access does. Definer: reads the caller''s own memberships, whatever policies say.';

create function public.explain_access(permission text, community_id uuid)
returns jsonb
language sql
stable
set search_path = ''
as $$ select app.explain_access(permission, community_id) $$;

comment on function public.explain_access(text, uuid) is
  'Why the caller holds a permission in a community, or does not: {"allowed", "account", "token", "assurance", "roles", "occupancies", "grants"}, each role with whether it holds the permission and within which limits. Errors: permission_unknown.';

grant execute on function
  app.change_role(uuid, text, text, text, public.access_level, text[], uuid, uuid),
  public.create_role(text, text, text[], uuid, uuid, public.access_level, text), public.set_role_permissions(uuid, text[]),
  app.grant_permission(uuid, text, uuid, uuid, timestamptz, text), public.grant_permission(uuid, text, text, uuid, uuid, timestamptz),
  app.revoke_permission(uuid), public.revoke_permission(uuid), app.restrict_role(uuid, jsonb), public.restrict_role(uuid, jsonb),
  app.amount_limit(text, uuid), app.explain_access(text, uuid), public.explain_access(text, uuid)
to authenticated, service_role;
