-- Foundation: which roles hold a permission, derived.
--
-- Purpose     Every policy asks which roles hold a permission; here the answer stands in one row.
-- Tables      private.permission_holders
-- Invariants  The rows say what role_permissions and roles say, in the same transaction and whoever changed them: two who change
--             one permission wait for each other, and the second sees what the first has done.

create table private.permission_holders (
  permission_key text not null,
  level public.access_level not null,
  role_keys text[] not null,
  has_custom boolean not null,
  constraint permission_holders_pkey primary key (permission_key, level),
  constraint permission_holders_permission_fkey foreign key (permission_key) references public.permissions (key) on delete cascade
);

comment on table private.permission_holders is
  'Which roles of a level hold a permission, derived from role_permissions for the helpers of policies. Written by app.refresh_permission_holders alone.';
comment on column private.permission_holders.permission_key is 'The permission.';
comment on column private.permission_holders.level is 'The level of the roles.';
comment on column private.permission_holders.role_keys is 'The keys of the live system roles of this level that hold it.';
comment on column private.permission_holders.has_custom is 'Whether a live custom role of this level holds it: then the roles of the place have to be looked up.';

alter table private.permission_holders enable row level security;
create policy permission_holders_select on private.permission_holders for select to authenticated using (false);

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
  insert into private.permission_holders as h (permission_key, level, role_keys, has_custom)
  select p.key, l.level,
    coalesce(array_agg(r.key order by r.key) filter (where r.id is not null and num_nonnulls(r.organization_id, r.community_id) = 0), '{}'),
    coalesce(bool_or(num_nonnulls(r.organization_id, r.community_id) > 0), false)
  from public.permissions p
  cross join (values ('site'::public.access_level), ('organization'), ('community')) l (level)
  left join (public.role_permissions rp join public.roles r on r.id = rp.role_id and r.deleted_at is null)
    on rp.permission_key = p.key and r.level = l.level
  where p.key = any (permissions)
  group by p.key, l.level
  on conflict on constraint permission_holders_pkey do update set role_keys = excluded.role_keys, has_custom = excluded.has_custom
  where (h.role_keys, h.has_custom) is distinct from (excluded.role_keys, excluded.has_custom);
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
security definer -- finds everybody who has the role
set search_path = ''
as $$
begin
  perform app.refresh_permission_holders(array(select rp.permission_key from public.role_permissions rp where rp.role_id = new.id));
  -- Its key may come to mean another role.
  perform app.bump_access(array(select m.user_id from public.memberships m where m.role_id = new.id));
  return null;
end;
$$;

comment on function app.tg_roles__holders() is
  'AFTER a role is archived or restored: brings private.permission_holders up to date, and makes the tokens of whoever has it stale. Definer: reads memberships.';

create trigger _500_holders after update of deleted_at on public.roles for each row
  when (old.deleted_at is distinct from new.deleted_at) execute function app.tg_roles__holders();

-- What the roles of the system hold already.
select app.refresh_permission_holders(array(select p.key from public.permissions p));
