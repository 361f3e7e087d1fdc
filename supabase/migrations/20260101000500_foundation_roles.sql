-- Foundation: permissions, roles and memberships.
--
-- Purpose     Who may do what, as rows. No policy names a role.
-- Tables      permissions, roles, role_permissions, memberships
-- RPCs        grant_role, revoke_role, my_permissions
-- Invariants  A role holds only permissions of its own level or a narrower one. A custom role's key is taken by no other role
--             that resolves in the same place. A membership names a role of its own level and scope, and a user holds
--             a role in a place once at a time. Nobody grants or revokes a role that holds more than they hold themselves, nor
--             grants one for longer than they hold it.

-- Permissions --------------------------------------------------------------------------------------------------------

create table public.permissions (
  id uuid not null default extensions.uuidv7(),
  key text not null,
  level public.access_level not null,
  description text not null,
  is_kept_when_restricted boolean not null default false,
  like app.row_model including defaults including comments,
  constraint permissions_pkey primary key (id),
  constraint permissions_key_key unique (key),
  constraint permissions_key_check check (key ~ '^[a-z_]+\.[a-z_]+$')
);

comment on table public.permissions is 'What can be permitted: <what>.<action>. Part of the system; each topic declares its own with app.define_permission.';
comment on column public.permissions.key is '<what>.<action>: units.manage.';
comment on column public.permissions.level is
  'Where the permission is looked up. A role on a wider level carries it to everything beneath; unit: only what occupancy of that unit gives.';
comment on column public.permissions.description is 'What it permits, in a sentence.';
comment on column public.permissions.is_kept_when_restricted is
  'Whether a membership restricted to some buildings or units still gives it for the whole community: harmless things such as seeing the community''s name.';

select app.track('public.permissions');

create policy permissions_select on public.permissions for select to authenticated using ((select app.user_id()) is not null);
grant select on public.permissions to authenticated, service_role;

-- Roles --------------------------------------------------------------------------------------------------------------

create table public.roles (
  id uuid not null default extensions.uuidv7(),
  key text not null,
  name text not null,
  level public.access_level not null,
  description text,
  organization_id uuid,
  community_id uuid,
  is_occupancy boolean not null default false,
  is_membership boolean not null default true,
  like app.row_model including defaults including comments,
  constraint roles_pkey primary key (id),
  constraint roles_key_key unique nulls not distinct (level, key, organization_id, community_id, deleted_at),
  constraint roles_level_key unique (id, level),
  constraint roles_organization_fkey foreign key (organization_id) references public.organizations (id) on delete cascade,
  constraint roles_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint roles_key_check check (key ~ '^[a-z][a-z0-9_]{1,62}$'),
  constraint roles_name_check check (app.is_name(name)),
  constraint roles_level_check check (level <> 'unit'),
  constraint roles_scope_check check (
    num_nonnulls(organization_id, community_id) <= 1
    and (level <> 'site' or num_nonnulls(organization_id, community_id) = 0)
    and (level <> 'organization' or community_id is null)
  ),
  constraint roles_occupancy_check check (not is_occupancy or (level = 'community' and num_nonnulls(organization_id, community_id) = 0))
);

create index roles_organization_idx on public.roles (organization_id) where organization_id is not null;
create index roles_community_idx on public.roles (community_id) where community_id is not null;

comment on table public.roles is 'Named sets of permissions. System roles belong to nobody; custom ones to one organization or one community.';
comment on column public.roles.level is 'Where the role is held: on the site, in an organization (and so in all its communities), or in a community.';
comment on column public.roles.key is 'What claims carry. Never changes.';
comment on column public.roles.name is 'What people call it.';
comment on column public.roles.description is 'What it is for.';
comment on column public.roles.organization_id is 'The organization whose custom role this is; with level community it can be held in any community of it.';
comment on column public.roles.community_id is 'The community whose custom role this is.';
comment on column public.roles.is_occupancy is 'Given by an occupancy of a unit, with the same key.';
comment on column public.roles.is_membership is 'Can be given by a membership.';

select app.track('public.roles');

create trigger _010_frozen_key before update of key, level, organization_id on public.roles for each row
  when (old.key <> new.key or old.level <> new.level or old.organization_id is distinct from new.organization_id)
  execute function app.tg__frozen('key, level and scope');

create policy roles_select on public.roles for select to authenticated
  using (
    (
      deleted_at is null
      or ((select app.shows_archived()) and (
        organization_id in (select app.organizations_with('roles.archive')) or community_id in (select app.communities_with('roles.archive'))))
    )
    and (select app.user_id()) is not null
    and (
      (organization_id is null and community_id is null)
      or organization_id = any ((select app.my_organizations())::uuid[])
      or community_id = any ((select g.communities from app.gate g)::uuid[])
    )
  );
grant select on public.roles to authenticated;
grant select, insert, update on public.roles to service_role;

create function app.tg_roles__key_is_free()
returns trigger
language plpgsql
security definer -- must see every role that resolves in the same place
set search_path = ''
as $$
declare
  home constant uuid := coalesce(new.organization_id, (select c.organization_id from public.communities c where c.id = new.community_id));
begin
  -- One custom role at a time per organization, so that two sessions cannot take one key in two scopes.
  perform from public.organizations o where o.id = home for no key update;
  if exists (
    select
    from public.roles r
    left join public.communities c on c.id = r.community_id
    where r.id <> new.id and r.level = new.level and r.key = new.key and r.deleted_at is null
      and (
        coalesce(r.organization_id, r.community_id) is null
        or home is null
        or r.organization_id = home and (new.community_id is not null or new.organization_id is not null)
        or new.organization_id is not null and c.organization_id = home
        or r.community_id = new.community_id
      )
  ) then
    perform app.fail(409, 'role_key_taken', format('A role %s already means something here.', new.key), 'Choose another key.');
  end if;
  return new;
end;
$$;

comment on function app.tg_roles__key_is_free() is
  'BEFORE INSERT OR UNARCHIVING: a key must resolve to one role in every place (409 role_key_taken). Definer: looks at roles of other scopes.';

create trigger _200_key_is_free before insert on public.roles for each row execute function app.tg_roles__key_is_free();
create trigger _200_key_is_free_again before update of deleted_at on public.roles for each row
  when (old.deleted_at is not null and new.deleted_at is null) execute function app.tg_roles__key_is_free();

-- What a role permits ------------------------------------------------------------------------------------------------

create table public.role_permissions (
  id uuid not null default extensions.uuidv7(),
  role_id uuid not null,
  permission_key text not null,
  like app.row_model including defaults including comments,
  constraint role_permissions_pkey primary key (id),
  constraint role_permissions_key unique (role_id, permission_key),
  constraint role_permissions_role_fkey foreign key (role_id) references public.roles (id) on delete cascade,
  constraint role_permissions_permission_fkey foreign key (permission_key) references public.permissions (key) on delete restrict
);

create index role_permissions_permission_idx on public.role_permissions (permission_key, role_id);

comment on table public.role_permissions is 'Which role holds which permission. A link: rows are inserted and deleted, and take effect on the next statement.';
comment on column public.role_permissions.role_id is 'The role.';
comment on column public.role_permissions.permission_key is 'The permission it holds.';

select app.track('public.role_permissions', deletable => true);

create policy role_permissions_select on public.role_permissions for select to authenticated
  using (role_id in (select r.id from public.roles r));
grant select on public.role_permissions to authenticated;
grant select, insert, delete on public.role_permissions to service_role;

create function app.tg_role_permissions__level()
returns trigger
language plpgsql
security definer -- reads roles regardless of who may list them
set search_path = ''
as $$
begin
  if exists (
    select
    from public.roles r
    cross join public.permissions p
    where r.id = new.role_id and p.key = new.permission_key and (p.level < r.level or (p.level = 'unit' and not r.is_occupancy))
  ) then
    perform app.fail(409, 'permission_level', format('The permission %s does not fit the level of this role.', new.permission_key));
  end if;
  return new;
end;
$$;

comment on function app.tg_role_permissions__level() is
  'BEFORE INSERT OR UPDATE: a role holds permissions of its level or a narrower one; what is looked up per unit, only roles of occupancy hold (409 permission_level). Definer: reads roles.';

create trigger _200_level before insert or update on public.role_permissions for each row execute function app.tg_role_permissions__level();

create function app.define_permission(key text, level public.access_level, description text, holders text[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  unknown text;
begin
  select h into unknown
  from unnest(holders) h
  where not exists (
    select from public.roles r
    where r.level::text || '/' || r.key = h and coalesce(r.organization_id, r.community_id) is null and r.deleted_at is null);
  if unknown is not null then
    raise exception 'define_permission %: there is no system role %', key, unknown;
  end if;
  insert into public.permissions (key, level, description) values (define_permission.key, define_permission.level, define_permission.description);
  insert into public.role_permissions (role_id, permission_key)
  select r.id, define_permission.key
  from public.roles r
  where r.level::text || '/' || r.key = any (holders) and coalesce(r.organization_id, r.community_id) is null and r.deleted_at is null;
end;
$$;

comment on function app.define_permission(text, public.access_level, text, text[]) is
  'Declares a permission and the system roles that hold it, each as <level>/<key>. For migrations; a role that does not exist is an error.';

-- System roles -------------------------------------------------------------------------------------------------------

insert into public.roles (level, key, name, description, is_occupancy, is_membership) values
  ('site', 'superadmin', 'Superadministrator', 'Everything, everywhere.', false, true),
  ('site', 'staff', 'Staff', 'Reads and edits everywhere, archives and deletes nothing.', false, true),
  ('site', 'accountant', 'Site accountant', 'Reads every community and keeps its books.', false, true),
  ('site', 'developer', 'Developer', 'Sees jobs and events; no personal data.', false, true),
  ('site', 'resident', 'User', 'Nothing beyond what occupancy gives.', false, true),
  ('organization', 'owner', 'Organization owner', 'Everything in the organization.', false, true),
  ('organization', 'admin', 'Organization administrator', 'Everything but deleting the organization.', false, true),
  ('organization', 'editor', 'Editor', 'Reads and edits the organization''s communities.', false, true),
  ('organization', 'viewer', 'Viewer', 'Reads the organization''s communities, without personal details.', false, true),
  ('community', 'admin', 'Administrator', 'Everything in the community.', false, true),
  ('community', 'manager', 'Manager', 'Runs the community day by day.', false, true),
  ('community', 'accountant', 'Accountant', 'Keeps the community''s books.', false, true),
  ('community', 'guard', 'Guard', 'Works at the gates; sees who lives where.', false, true),
  ('community', 'technician', 'Technician', 'Repairs; sees units, not people.', false, true),
  ('community', 'cleaning', 'Cleaning company', 'Cleans; sees the community alone.', false, true),
  ('community', 'committee', 'Committee member', 'Oversees the community for its owners.', false, true),
  ('community', 'owner', 'Owner', 'Owns a unit, or a share of it.', true, false),
  ('community', 'tenant', 'Tenant', 'Rents a unit.', true, false),
  ('community', 'family', 'Family member', 'Lives with an owner or a tenant.', true, false),
  ('community', 'authorized', 'Authorized person', 'Acts for a unit without living there.', true, false),
  ('community', 'guest', 'Guest', 'Stays for a while; reads notices.', true, true);

select app.define_permission('organizations.create', 'site', 'Make organizations', '{site/superadmin}');
select app.define_permission('users.read', 'site', 'See every user''s profile', '{site/superadmin, site/staff}');
select app.define_permission('users.manage', 'site', 'Activate, suspend and ban accounts', '{site/superadmin}');
select app.define_permission('records.purge', 'site', 'Remove archived records for good', '{site/superadmin}');
select app.define_permission('operations.read', 'site', 'See jobs, events and the statistics of statements', '{site/superadmin, site/developer}');

select app.define_permission('organizations.read', 'organization', 'See the organization',
  '{site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor, organization/viewer}');
select app.define_permission('organizations.update', 'organization', 'Change the organization''s particulars',
  '{site/superadmin, organization/owner, organization/admin}');
select app.define_permission('organizations.archive', 'organization', 'Archive the organization', '{site/superadmin, organization/owner}');
select app.define_permission('communities.create', 'organization', 'Make communities in the organization',
  '{site/superadmin, organization/owner, organization/admin}');

select app.define_permission('communities.read', 'community', 'See the community', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor, organization/viewer,
  community/admin, community/manager, community/accountant, community/guard, community/technician, community/cleaning, community/committee,
  community/owner, community/tenant, community/family, community/authorized, community/guest}');
update public.permissions set is_kept_when_restricted = true where key = 'communities.read';
select app.define_permission('communities.update', 'community', 'Change the community''s settings', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');
select app.define_permission('memberships.read', 'community', 'See who holds which role', '{
  site/superadmin, site/staff, organization/owner, organization/admin, community/admin, community/manager}');
select app.define_permission('memberships.manage', 'community', 'Grant and revoke roles', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');
select app.define_permission('audit.read', 'community', 'See who changed what', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');

create function app.is_restriction(value jsonb)
returns boolean
language plpgsql
immutable
returns null on null input
set search_path = ''
as $$
begin
  return jsonb_typeof(value) = 'object' and value <> '{}'
    and value - '{buildings,units,hours,amounts}'::text[] = '{}'
    and (not value ? 'buildings' or (jsonb_typeof(value -> 'buildings') = 'array'
      and not exists (select from jsonb_array_elements_text(value -> 'buildings') b where b::uuid is null)))
    and (not value ? 'units' or (jsonb_typeof(value -> 'units') = 'array'
      and not exists (select from jsonb_array_elements_text(value -> 'units') u where u::uuid is null)))
    and (not value ? 'hours' or (
      (value #>> '{hours,from}')::time is not null and (value #>> '{hours,to}')::time is not null
      and (value -> 'hours') - '{from,to,days}'::text[] = '{}'
      and not exists (select from jsonb_array_elements_text(coalesce(value #> '{hours,days}', '[]')) d where d::integer not between 1 and 7)))
    and (not value ? 'amounts' or (jsonb_typeof(value -> 'amounts') = 'object'
      and not exists (select from jsonb_each_text(value -> 'amounts') a where a.value::numeric is null or not (a.value::numeric >= 0 and a.value::numeric < 'Infinity'))));
exception when others then
  return false;
end;
$$;

comment on function app.is_restriction(jsonb) is 'Whether the JSON is a restriction as memberships.restriction describes it, with nothing else in it.';

create function app.restriction_holds_now(restriction jsonb, time_zone text)
returns boolean
language sql
stable
set search_path = ''
return restriction -> 'hours' is null or (
  case
    when (restriction #>> '{hours,from}')::time <= (restriction #>> '{hours,to}')::time
      then (now() at time zone time_zone)::time between (restriction #>> '{hours,from}')::time and (restriction #>> '{hours,to}')::time
    -- A night shift: from 22:00 to 06:00.
    else (now() at time zone time_zone)::time >= (restriction #>> '{hours,from}')::time
      or (now() at time zone time_zone)::time <= (restriction #>> '{hours,to}')::time
  end
  and (
    coalesce(jsonb_array_length(restriction #> '{hours,days}'), 0) = 0
    or restriction #> '{hours,days}' @> to_jsonb(extract(isodow from now() at time zone time_zone)::integer)
  )
);

comment on function app.restriction_holds_now(jsonb, text) is
  'Whether now is within a restriction''s hours in the time zone; true where it has none. A span past midnight counts its days by the day it is.';

-- Memberships --------------------------------------------------------------------------------------------------------

create table public.memberships (
  id uuid not null default extensions.uuidv7(),
  user_id uuid not null,
  role_id uuid not null,
  level public.access_level not null generated always as (
    case
      when community_id is not null then 'community'::public.access_level
      when organization_id is not null then 'organization'::public.access_level
      else 'site'::public.access_level
    end) stored,
  organization_id uuid,
  community_id uuid,
  starts_at timestamptz not null default now(),
  ends_at timestamptz,
  restriction jsonb,
  like app.row_model including defaults including comments,
  constraint memberships_pkey primary key (id),
  constraint memberships_user_fkey foreign key (user_id) references public.profiles (id) on delete cascade,
  constraint memberships_role_fkey foreign key (role_id, level) references public.roles (id, level) on delete restrict,
  constraint memberships_organization_fkey foreign key (organization_id) references public.organizations (id) on delete cascade,
  constraint memberships_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint memberships_scope_check check (num_nonnulls(organization_id, community_id) <= 1),
  constraint memberships_ends_at_check check (ends_at > starts_at),
  constraint memberships_restriction_check check (app.is_restriction(restriction)),
  constraint memberships_restriction_level_check check (restriction is null or community_id is not null),
  constraint memberships_held_once_excl exclude using gist (
    user_id with =, role_id with =, (coalesce(community_id, organization_id, '00000000-0000-0000-0000-000000000000')) with =,
    tstzrange(starts_at, ends_at) with &&
  ) where (deleted_at is null)
);

create index memberships_user_idx on public.memberships (user_id);
create index memberships_restricted_idx on public.memberships (user_id) where restriction is not null;
create index memberships_role_idx on public.memberships (role_id, level);
create index memberships_organization_idx on public.memberships (organization_id) where organization_id is not null;
create index memberships_community_idx on public.memberships (community_id) where community_id is not null;

comment on table public.memberships is
  'Which user holds which role where and when: on the site (both ids null), in an organization, or in a community. Changed by grant_role and revoke_role.';
comment on column public.memberships.user_id is 'Who holds the role.';
comment on column public.memberships.role_id is 'The role; of the same level and scope.';
comment on column public.memberships.level is 'Follows from which id is set; the role must have the same.';
comment on column public.memberships.organization_id is 'The organization it is held in, with all its communities.';
comment on column public.memberships.community_id is 'The community it is held in.';
comment on column public.memberships.starts_at is 'From this moment on the role is held.';
comment on column public.memberships.restriction is
  'Limits within which the role is held; null: none. {"buildings": [ids], "units": [ids], "hours": {"from": "08:00", "to": "18:00", "days": [1, 2, 3, 4, 5]}, "amounts": {"<permission>": 5000}}: '
  'buildings and units: only there; hours: only then, in the community''s time zone, days by ISO (1 is Monday); amounts: at most so much at once.';
comment on column public.memberships.ends_at is 'From this moment on the role is gone; null: until revoked.';

select app.track('public.memberships');

create policy memberships_select on public.memberships for select to authenticated
  using (
    deleted_at is null
    and (
      user_id = (select app.user_id())
      or community_id = any ((select app.communities_where('memberships.read'))::uuid[])
      or organization_id in (select app.organizations_with('memberships.read'))
      or (select app.can_on_site('memberships.read'))
    )
  );
grant select on public.memberships to authenticated;
grant select, insert, update on public.memberships to service_role;

create function app.tg_memberships__role_in_scope()
returns trigger
language plpgsql
security definer -- reads roles regardless of who may list them
set search_path = ''
as $$
declare
  role public.roles;
begin
  select r.* into role from public.roles r where r.id = new.role_id and r.deleted_at is null;
  if role.id is null or not role.is_membership
    or (role.community_id is not null and role.community_id is distinct from new.community_id)
    or (role.organization_id is not null and role.organization_id is distinct from coalesce(
      new.organization_id, (select c.organization_id from public.communities c where c.id = new.community_id)))
  then
    perform app.fail(409, 'role_not_assignable', format('The role %s cannot be held here by a membership.', coalesce(role.key, new.role_id::text)));
  end if;
  return new;
end;
$$;

comment on function app.tg_memberships__role_in_scope() is
  'BEFORE INSERT OR UPDATE: a custom role is held in its own organization or community alone, a role of occupancy not by membership (409 role_not_assignable). Definer: reads roles.';

create trigger _200_role_in_scope before insert or update of role_id, organization_id, community_id on public.memberships
  for each row execute function app.tg_memberships__role_in_scope();

create function app.tg__user_access()
returns trigger
language plpgsql
security definer -- writes private.user_access
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    perform app.bump_access(array(select n.user_id from new_rows n));
  elsif tg_op = 'UPDATE' then
    perform app.bump_access(array(select n.user_id from new_rows n union select o.user_id from old_rows o));
  else
    perform app.bump_access(array(select o.user_id from old_rows o));
  end if;
  return null;
end;
$$;

comment on function app.tg__user_access() is 'AFTER every change: makes the tokens of the users concerned stale. Definer: writes private.user_access.';

create trigger _500_access_insert after insert on public.memberships
  referencing new table as new_rows for each statement execute function app.tg__user_access();
create trigger _500_access_update after update on public.memberships
  referencing old table as old_rows new table as new_rows for each statement execute function app.tg__user_access();
create trigger _500_access_delete after delete on public.memberships
  referencing old table as old_rows for each statement execute function app.tg__user_access();

-- Granting and revoking ----------------------------------------------------------------------------------------------

select app.define_action('ROLE_GRANTED', 'A user was given a role.');
select app.define_action('ROLE_REVOKED', 'A user''s role was ended.');

create function app.permissions_in(organization uuid, community uuid)
returns setof text
language plpgsql
stable
security definer -- reads roles regardless of who may list them
set search_path = ''
as $$
declare
  access constant jsonb := app.access();
  home constant uuid := coalesce((select c.organization_id from public.communities c where c.id = community), organization);
  -- The caller's roles that reach here: none of another permission need be asked about.
  reaching constant text[] := array(
    select jsonb_array_elements_text(access -> 'site_roles')
    union select jsonb_array_elements_text(access -> 'organizations' -> home::text)
    union select jsonb_array_elements_text(access -> 'communities' -> community::text));
  candidates constant text[] := array(
    select rp.permission_key from public.roles r join public.role_permissions rp on rp.role_id = r.id where r.key = any (reaching));
begin
  return query
    select p.key
    from public.permissions p
    where p.level <> 'unit' and case
      when not access ? 'extras' and p.key <> all (candidates) then false
      when community is not null then app.can(p.key, community)
      when organization is not null then organization in (select app.organizations_with(p.key))
      else app.can_on_site(p.key)
    end;
end;
$$;

comment on function app.permissions_in(uuid, uuid) is
  'The permissions the caller holds in a community, in an organization (community null), or on the site (both null). Definer: reads roles.';

create function app.limits_of(permission text, community uuid)
returns setof jsonb
language plpgsql
stable
security definer -- reads the caller's roles and grants, regardless of who may list them
set search_path = ''
as $$
begin
  return query
    select coalesce(m.restriction, '{}')
    from public.communities c
    join public.memberships m on m.community_id = c.id or m.organization_id = c.organization_id or m.level = 'site'
    join public.roles r on r.id = m.role_id and r.deleted_at is null
    join public.role_permissions rp on rp.role_id = m.role_id and rp.permission_key = limits_of.permission
    join public.permissions p on p.key = rp.permission_key
    where c.id = limits_of.community and m.user_id = (select app.user_id()) and m.deleted_at is null and m.starts_at <= now() and (m.ends_at is null or m.ends_at > now())
      and (m.restriction is null
        or app.restriction_holds_now(m.restriction, c.time_zone) and (p.is_kept_when_restricted or not m.restriction ?| '{buildings,units}'))
    union all
    select '{}'::jsonb
    from public.communities c
    join public.user_permissions up on up.community_id = c.id or up.organization_id = c.organization_id
    where c.id = limits_of.community and up.user_id = (select app.user_id()) and up.permission_key = limits_of.permission and up.deleted_at is null
      and up.starts_at <= now() and (up.ends_at is null or up.ends_at > now());
end;
$$;

comment on function app.limits_of(text, uuid) is
  'The limits within which the caller holds a permission for a whole community now, one row for each role and grant that gives it: {} where there are none, no row where it is not held. '
  'Definer: reads memberships and single permissions; not executable by API roles.';

create function app.permissions_of_role(role uuid)
returns text[]
language sql
stable
set search_path = ''
return array(
  select rp.permission_key
  from public.role_permissions rp
  join public.permissions p on p.key = rp.permission_key
  where rp.role_id = role and p.level <> 'unit');

comment on function app.permissions_of_role(uuid) is 'What whoever gives or takes a role has to hold: its permissions, but for those that are looked up per unit. Not executable by API roles.';

create function app.check_role_within(role uuid, organization uuid, community uuid, until timestamptz, is_taken boolean default false)
returns void
language sql
volatile
set search_path = ''
as $$
  select app.check_own('memberships.manage',
    case when is_taken then '{}' else app.permissions_of_role(role) end, case when is_taken then app.permissions_of_role(role) else '{}' end,
    organization, community, case when is_taken then '-infinity' else until end)
$$;

comment on function app.check_role_within(uuid, uuid, uuid, timestamptz, boolean) is
  'Refuses to let the caller give a role until a moment (null: without an end), or take it, if it holds more than the caller holds in the same place: the rule of app.check_own. Not executable by API roles.';

create function app.grant_role(subject uuid, role text, organization uuid, community uuid, starts_at timestamptz, ends_at timestamptz)
returns uuid
language plpgsql
volatile
security definer -- API roles may not write memberships
set search_path = ''
as $$
declare
  wanted public.access_level := case when community is not null then 'community' when organization is not null then 'organization' else 'site' end;
  found_role uuid;
  made uuid;
  action_before constant text := app.set_action('ROLE_GRANTED');
begin
  if subject is null or role is null then
    perform app.fail(422, 'invalid_value', 'A role is given to a user: both have to be named.');
  elsif num_nonnulls(organization, community) > 1 then
    perform app.fail(422, 'invalid_scope', 'A role is held in an organization or in a community, not in both.');
  elsif ends_at <= coalesce(starts_at, now()) then
    perform app.fail(422, 'invalid_period', 'The role would end before it begins.');
  end if;

  select r.id into found_role
  from public.roles r
  where r.level = wanted and r.key = grant_role.role and r.deleted_at is null
    and (r.community_id is null or r.community_id = community)
    and (r.organization_id is null or r.organization_id = coalesce(
      organization, (select c.organization_id from public.communities c where c.id = community)));
  perform app.check_role_within(found_role, organization, community, grant_role.ends_at);
  if found_role is null then
    perform app.fail(404, 'role_not_found', format('There is no role %s for the level %s here.', role, wanted));
  end if;
  perform app.require_known_user(subject);

  insert into public.memberships (user_id, role_id, organization_id, community_id, starts_at, ends_at)
  values (subject, found_role, organization, community, coalesce(grant_role.starts_at, now()), grant_role.ends_at)
  on conflict do nothing
  returning id into made;
  if made is null then
    perform app.fail(409, 'role_already_held', 'The user holds this role here at that time already.');
  end if;
  perform app.set_action(action_before);
  return made;
exception when foreign_key_violation then
  perform app.fail(404, 'user_not_found', 'There is no user, organization or community with this id.');
end;
$$;

comment on function app.grant_role(uuid, text, uuid, uuid, timestamptz, timestamptz) is 'What public.grant_role does. Definer: no API role may write memberships.';

create function public.grant_role(
  user_id uuid, role text, organization_id uuid default null, community_id uuid default null,
  starts_at timestamptz default null, ends_at timestamptz default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.grant_role(user_id, role, organization_id, community_id, starts_at, ends_at) $$;

comment on function public.grant_role(uuid, text, uuid, uuid, timestamptz, timestamptz) is
  'Gives a user a role in a community, in an organization, or (both null) on the site, from now or starts_at until revoked or ends_at. Returns the membership''s id. '
  'Takes memberships.manage there and every permission the role holds, each until ends_at at least. Errors: permission_denied, role_above_own, term_above_own, role_not_found, role_not_assignable, role_already_held, user_not_found, invalid_value, invalid_scope, invalid_period.';

create function app.revoke_role(membership uuid)
returns void
language plpgsql
volatile
security definer -- API roles may not write memberships
set search_path = ''
as $$
declare
  held public.memberships;
  action_before constant text := app.set_action('ROLE_REVOKED');
begin
  select m.* into held
  from public.memberships m
  -- By the clock and not by now(): another transaction that began after this one may have ended the membership while we waited for it.
  where m.id = membership and m.deleted_at is null and (m.ends_at is null or m.ends_at > clock_timestamp())
  for no key update;
  if held.id is null or not (
    app.is_trusted() or held.user_id = app.user_id()
    or 'memberships.read' in (select app.permissions_in(held.organization_id, held.community_id)))
  then
    perform app.fail(404, 'membership_not_found', 'There is no running membership with this id.');
  elsif held.user_id is distinct from app.user_id() then
    perform app.check_role_within(held.role_id, held.organization_id, held.community_id, null, is_taken => true);
  end if;

  update public.memberships m
  set ends_at = case when m.starts_at < now() then now() else m.ends_at end,
    deleted_at = case when m.starts_at < now() then m.deleted_at else now() end
  where m.id = membership;
  perform app.set_action(action_before);
end;
$$;

comment on function app.revoke_role(uuid) is 'What public.revoke_role does. Definer: no API role may write memberships.';

create function public.revoke_role(membership_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.revoke_role(membership_id) $$;

comment on function public.revoke_role(uuid) is
  'Ends a membership now (one that has not begun is archived), effective on the user''s next statement. One''s own, or with memberships.manage and every permission the role holds. '
  'Errors: membership_not_found, permission_denied, role_above_own.';

create function public.my_permissions(organization_id uuid default null, community_id uuid default null)
returns setof text
language sql
stable
set search_path = ''
as $$ select app.permissions_in(organization_id, community_id) $$;

comment on function public.my_permissions(uuid, uuid) is
  'The permissions the caller holds in a community, in an organization, or (both null) on the site: what an app asks before it shows a button.';

grant execute on function
  app.is_restriction(jsonb), app.permissions_in(uuid, uuid),
  app.grant_role(uuid, text, uuid, uuid, timestamptz, timestamptz), public.grant_role(uuid, text, uuid, uuid, timestamptz, timestamptz),
  app.revoke_role(uuid), public.revoke_role(uuid), public.my_permissions(uuid, uuid)
to authenticated, service_role;
