-- Foundation: second factors.
--
-- Purpose     An organization, or the site, asks for a second factor (aal2) for some permissions.
-- Tables      assurance_requirements
-- RPCs        require_assurance
-- Invariants  While it is required, a permission is not held without aal2: by no role, occupancy or single grant, in no policy
--             and no RPC, because the helpers of topic access ask app.assurance_lacking. Whoever changes a requirement has
--             proved a second factor, so nobody locks themselves out unknowingly. The database's owner and the secret key
--             are not asked.

select app.define_permission('assurance.manage', 'organization', 'Require a second factor for permissions',
  '{site/superadmin, organization/owner, organization/admin}');

create table public.assurance_requirements (
  id uuid not null default extensions.uuidv7(),
  permission_key text not null,
  organization_id uuid,
  like app.row_model including defaults including comments,
  constraint assurance_requirements_pkey primary key (id),
  constraint assurance_requirements_key unique nulls not distinct (permission_key, organization_id),
  constraint assurance_requirements_permission_fkey foreign key (permission_key) references public.permissions (key) on delete cascade,
  constraint assurance_requirements_organization_fkey foreign key (organization_id) references public.organizations (id) on delete cascade
);

create index assurance_requirements_organization_idx on public.assurance_requirements (organization_id) where organization_id is not null;

comment on table public.assurance_requirements is
  'Which permissions take a second factor (aal2), in an organization with all its communities or on the whole site. A link: rows are inserted and deleted by require_assurance, and count on the next statement.';
comment on column public.assurance_requirements.permission_key is 'The permission.';
comment on column public.assurance_requirements.organization_id is 'The organization that asks for it; null: the whole site.';

select app.track('public.assurance_requirements', deletable => true);

-- Everybody whom it concerns may know before they are refused.
create policy assurance_requirements_select on public.assurance_requirements for select to authenticated
  using (
    (organization_id is null and (select app.user_id()) is not null)
    or organization_id = any ((select app.my_organizations())::uuid[])
  );
grant select on public.assurance_requirements to authenticated;
grant select, insert, delete on public.assurance_requirements to service_role;

create function app.tg_assurance_requirements__level()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if new.organization_id is not null and exists (select from public.permissions p where p.key = new.permission_key and p.level = 'site') then
    perform app.fail(409, 'permission_level', format('The permission %s is held on the site alone.', new.permission_key));
  end if;
  return new;
end;
$$;

comment on function app.tg_assurance_requirements__level() is 'BEFORE INSERT OR UPDATE: an organization asks for a second factor for what is held in it, not for what is held on the site (409 permission_level).';

create trigger _200_level before insert or update on public.assurance_requirements
  for each row execute function app.tg_assurance_requirements__level();

create function app.refuse_without(permission text, place text, organization uuid, community uuid, tracked regclass, told jsonb)
returns void
language plpgsql
volatile
security definer -- asks as if the caller had proved a second factor
set search_path = ''
as $$
declare
  claims constant text := current_setting('request.jwt.claims', true);
  would_hold boolean := false;
begin
  if app.user_id() is not null and not app.is_assured() and app.assurance_lacking(permission) is not null then
    perform set_config('request.jwt.claims', ((claims::jsonb - 'session_id') || '{"aal": "aal2", "on_behalf": true}')::text, true);
    would_hold := case
      when told is not null then app.can_for_row(permission, tracked, told)
      when community is not null then app.can(permission, community)
      when organization is not null then organization in (select app.organizations_with(permission))
      else app.can_on_site(permission)
    end;
    perform set_config('request.jwt.claims', claims, true);
  end if;
  if would_hold then
    perform app.fail_unassured(format('The permission %s takes a second factor here.', permission));
  end if;
  perform app.fail(403, 'permission_denied', format('This takes the permission %s %s.', permission, place));
end;
$$;

comment on function app.refuse_without(text, text, uuid, uuid, regclass, jsonb) is
  'What app.refuse and app.refuse_for_row do. Definer: asks the helpers as if the caller had proved a second factor; not executable by API roles.';

create function app.refuse(permission text, organization uuid default null, community uuid default null)
returns void
language sql
volatile
set search_path = ''
as $$
  select app.refuse_without(permission,
    case when community is not null then 'in this community' when organization is not null then 'in this organization' else 'on the site' end, organization, community, null, null)
$$;

comment on function app.refuse(text, uuid, uuid) is
  'Refuses a caller who does not hold the permission in the community, the organization or (neither) on the site: 403 permission_denied, or assurance_required where only a second factor is missing. '
  'For functions that have asked app.organizations_with or app.can_on_site; app.require asks and refuses in one. Not executable by API roles.';

create function app.refuse_for_row(permission text, tracked regclass, told jsonb)
returns void
language sql
volatile
set search_path = ''
as $$ select app.refuse_without(permission, 'where the row belongs', null, null, tracked, told) $$;

comment on function app.refuse_for_row(text, regclass, jsonb) is 'As app.refuse, for functions that have asked app.can_for_row. Not executable by API roles.';

create function app.tg_assurance_requirements__holders()
returns trigger
language plpgsql
security definer -- nobody else may write private.permission_holders
set search_path = ''
as $$
declare
  changed text[];
begin
  if tg_op = 'INSERT' then
    changed := array(select n.permission_key from new_rows n);
  elsif tg_op = 'DELETE' then
    changed := array(select o.permission_key from old_rows o);
  else
    changed := array(select n.permission_key from new_rows n union select o.permission_key from old_rows o);
  end if;
  -- One at a time per permission, in order of the keys, as app.refresh_permission_holders.
  perform from public.permissions p where p.key = any (changed) order by p.key for no key update;
  update private.permission_holders h
  set is_assured = exists (select from public.assurance_requirements q where q.permission_key = h.permission_key)
  where h.permission_key = any (changed);
  return null;
end;
$$;

comment on function app.tg_assurance_requirements__holders() is
  'AFTER every change of what takes a second factor: says so beside the holders of the permission, for the helpers of policies. Definer: nobody else may write private.permission_holders.';

create trigger _500_holders_insert after insert on public.assurance_requirements
  referencing new table as new_rows for each statement execute function app.tg_assurance_requirements__holders();
create trigger _500_holders_update after update on public.assurance_requirements
  referencing old table as old_rows new table as new_rows for each statement execute function app.tg_assurance_requirements__holders();
create trigger _500_holders_delete after delete on public.assurance_requirements
  referencing old table as old_rows for each statement execute function app.tg_assurance_requirements__holders();

create function app.require_assurance(permission text, organization uuid, required boolean)
returns void
language plpgsql
volatile
security definer -- API roles may not write requirements
set search_path = ''
as $$
begin
  if not app.is_trusted() then
    -- While assurance.manage takes a second factor itself, nobody holds it without: they are told which of the two is missing.
    if app.assurance_lacking('assurance.manage') is null
      and not (case when organization is null then app.can_on_site('assurance.manage') else organization in (select app.organizations_with('assurance.manage')) end)
    then
      perform app.fail(403, 'permission_denied', 'This takes the permission assurance.manage here.');
    elsif not app.is_assured() then
      perform app.fail_unassured('Who asks others for a second factor signs in with one.');
    end if;
  end if;
  if not exists (select from public.permissions p where p.key = permission) then
    perform app.fail(422, 'permission_unknown', format('There is no permission %s.', permission));
  elsif organization is not null and not exists (select from public.organizations o where o.id = organization and o.deleted_at is null) then
    perform app.fail(404, 'organization_not_found', 'There is no live organization with this id.');
  elsif required is null then
    perform app.fail(422, 'invalid_value', 'A second factor is required, or it is not.');
  end if;
  if required then
    insert into public.assurance_requirements (permission_key, organization_id) values (permission, organization)
    on conflict on constraint assurance_requirements_key do nothing;
  else
    delete from public.assurance_requirements q where q.permission_key = permission and q.organization_id is not distinct from organization;
  end if;
end;
$$;

comment on function app.require_assurance(text, uuid, boolean) is 'What public.require_assurance does. Definer: no API role may write requirements.';

create function public.require_assurance(permission text, organization_id uuid default null, required boolean default true)
returns void
language sql
volatile
set search_path = ''
as $$ select app.require_assurance(permission, organization_id, required) $$;

comment on function public.require_assurance(text, uuid, boolean) is
  'Asks for a second factor for a permission in an organization and its communities, or on the whole site, or no longer; for everybody, from their next statement on. Done already, it does nothing. '
  'Takes assurance.manage there, and a second factor. Errors: permission_denied, assurance_required, permission_unknown, permission_level, organization_not_found, invalid_value.';

grant execute on function app.is_assured(), app.require_assurance(text, uuid, boolean), public.require_assurance(text, uuid, boolean)
to authenticated, service_role;
