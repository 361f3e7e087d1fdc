-- Foundation: which roles hold a permission, derived.
--
-- Purpose     Every policy asks which roles hold a permission; here the answer stands in one row.
-- Tables      private.permission_holders
-- Invariants  The rows say what role_permissions and roles say, in the same transaction and whoever changed them: two who change
--             one permission wait for each other, and the second sees what the first has done.

create table private.permission_holders (
  permission_key text not null,
  site_roles text[] not null,
  organization_roles text[] not null,
  community_roles text[] not null,
  has_custom_organization boolean not null,
  has_custom_community boolean not null,
  is_assured boolean not null default false,
  constraint permission_holders_pkey primary key (permission_key),
  constraint permission_holders_permission_fkey foreign key (permission_key) references public.permissions (key) on delete cascade
);

comment on table private.permission_holders is
  'Which roles hold a permission, derived from role_permissions for the helpers of policies, in one row. Written by app.refresh_permission_holders alone, is_assured by a trigger of topic assurance.';
comment on column private.permission_holders.permission_key is 'The permission.';
comment on column private.permission_holders.site_roles is 'The keys of the live system roles of the site that hold it.';
comment on column private.permission_holders.organization_roles is 'The keys of the live system roles of organizations that hold it.';
comment on column private.permission_holders.community_roles is 'The keys of the live system roles of communities that hold it.';
comment on column private.permission_holders.has_custom_organization is 'Whether a live custom role of organizations holds it: then the roles of the place have to be looked up.';
comment on column private.permission_holders.has_custom_community is 'Whether a live custom role of communities holds it: then the roles of the place have to be looked up.';
comment on column private.permission_holders.is_assured is 'Whether somebody asks for a second factor for it: then who asks has to be looked up.';

alter table private.permission_holders enable row level security;
create policy permission_holders_select on private.permission_holders for select to authenticated using (false);

create function app.tg_permission_holders__version()
returns trigger
language plpgsql
security definer -- forgets what is kept for sessions
set search_path = ''
as $$
begin
  perform app.renew_access_version('holders');
  return null;
end;
$$;

comment on function app.tg_permission_holders__version() is
  'AFTER a permission appears, disappears, changes its system roles, or takes a second factor or no longer: what sessions are known to hold was made before it, and is forgotten. Definer: renews the version.';

create trigger _500_version_new after insert or delete on private.permission_holders for each row execute function app.tg_permission_holders__version();
create trigger _500_version after update on private.permission_holders for each row
  when ((old.site_roles, old.organization_roles, old.community_roles, old.is_assured) is distinct from (new.site_roles, new.organization_roles, new.community_roles, new.is_assured))
  execute function app.tg_permission_holders__version();

create function app.refresh_permission_holders(permissions text[])
returns void
language plpgsql
volatile
security definer -- nobody else may write private.permission_holders
set search_path = ''
as $$
begin
  -- One at a time per permission, in order of the keys; whoever waited sees what the one before has done.
  perform from public.permissions p where p.key = any (permissions) order by p.key for no key update;
  insert into private.permission_holders as h (permission_key, site_roles, organization_roles, community_roles, has_custom_organization, has_custom_community)
  select p.key,
    coalesce(array_agg(r.key order by r.key) filter (where r.level = 'site'), '{}'),
    coalesce(array_agg(r.key order by r.key) filter (where r.level = 'organization' and not r.is_custom), '{}'),
    coalesce(array_agg(r.key order by r.key) filter (where r.level = 'community' and not r.is_custom), '{}'),
    coalesce(bool_or(r.level = 'organization' and r.is_custom), false),
    coalesce(bool_or(r.level = 'community' and r.is_custom), false)
  from public.permissions p
  left join (
    select rp.permission_key, x.key, x.level, num_nonnulls(x.organization_id, x.community_id) > 0 as is_custom
    from public.role_permissions rp join public.roles x on x.id = rp.role_id and x.deleted_at is null
  ) r on r.permission_key = p.key
  where p.key = any (permissions)
  group by p.key
  on conflict on constraint permission_holders_pkey do update
  set site_roles = excluded.site_roles, organization_roles = excluded.organization_roles, community_roles = excluded.community_roles,
    has_custom_organization = excluded.has_custom_organization, has_custom_community = excluded.has_custom_community
  where (h.site_roles, h.organization_roles, h.community_roles, h.has_custom_organization, h.has_custom_community)
    is distinct from (excluded.site_roles, excluded.organization_roles, excluded.community_roles, excluded.has_custom_organization, excluded.has_custom_community);
end;
$$;

comment on function app.refresh_permission_holders(text[]) is
  'Derives private.permission_holders anew for these permissions. Called by triggers; rows of permissions are locked in order of their keys. Definer: nobody else may write what is derived.';

create function app.tg_role_permissions__holders()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    perform app.refresh_permission_holders(array(select distinct n.permission_key from new_rows n));
  elsif tg_op = 'DELETE' then
    perform app.refresh_permission_holders(array(select distinct o.permission_key from old_rows o));
  else
    perform app.refresh_permission_holders(array(select n.permission_key from new_rows n union select o.permission_key from old_rows o));
  end if;
  return null;
end;
$$;

comment on function app.tg_role_permissions__holders() is 'AFTER every change of what roles hold: brings private.permission_holders up to date.';

create trigger _500_holders_insert after insert on public.role_permissions
  referencing new table as new_rows for each statement execute function app.tg_role_permissions__holders();
create trigger _500_holders_update after update on public.role_permissions
  referencing old table as old_rows new table as new_rows for each statement execute function app.tg_role_permissions__holders();
create trigger _500_holders_delete after delete on public.role_permissions
  referencing old table as old_rows for each statement execute function app.tg_role_permissions__holders();

create function app.tg_roles__holders()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform app.refresh_permission_holders(array(select rp.permission_key from public.role_permissions rp where rp.role_id = new.id));
  return null;
end;
$$;

comment on function app.tg_roles__holders() is 'AFTER a role is archived or restored: brings private.permission_holders up to date.';

create trigger _500_holders after update of deleted_at on public.roles for each row
  when (old.deleted_at is distinct from new.deleted_at) execute function app.tg_roles__holders();

-- What the roles of the system hold already.
select app.refresh_permission_holders(array(select p.key from public.permissions p));
