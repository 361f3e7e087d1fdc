-- Foundation: what the caller may do.
--
-- Purpose     The helpers that policies and RPCs ask: where does the caller hold this permission?
-- Tables      none; they read what topic access knows of the caller, and private.permission_holders (topic holders). Two of them
--             (my_communities, communities_where) first ask private.session_access alone, which takes half as long as all that is
--             known, and a quarter as long as the roles in a token. The views that policies ask before them stand in topic tenancy.
-- Invariants  A gate (my_communities, my_organizations) says where the caller has anything to do, never what. Where a permission takes
--             an assurance level (topic assurance), it is not held without it. Who is not signed in, is banned, or whose session has
--             ended, holds nothing anywhere.
--
-- The functions read tables of the topics tenancy, roles, holders, assurance and property, which come later: PL/pgSQL binds names
-- when it runs.

-- The helpers of policies --------------------------------------------------------------------------------------------

create function app.roles_with(permission text, level public.access_level)
returns text[]
language plpgsql
stable
security definer -- reads private.permission_holders
set search_path = ''
as $$
declare
  keys text[];
begin
  select case roles_with.level when 'site' then h.site_roles when 'organization' then h.organization_roles when 'community' then h.community_roles end
  into keys
  from private.permission_holders h
  where h.permission_key = permission;
  return coalesce(keys, '{}');
end;
$$;

comment on function app.roles_with(text, public.access_level) is
  'The keys of the system roles of a level that hold the permission; those of custom roles are looked up in their scope. Definer: reads what is derived for speed; not executable by API roles.';

create function app.can_on_site(permission text)
returns boolean
language plpgsql
stable
security definer -- reads roles regardless of who may list them
set search_path = ''
as $$
declare
  access constant jsonb := app.access();
begin
  return access -> 'site_roles' <> '[]' and access -> 'site_roles' ?| app.roles_with(permission, 'site') and (not access ? 'unassured' or app.assurance_lacking(permission) is null);
end;
$$;

comment on function app.can_on_site(text) is
  'Whether a site role of the caller holds the permission everywhere: not if one organization asks for an assurance level that the caller lacks. Definer: reads roles.';

create function app.my_organizations()
returns uuid[]
language plpgsql
stable
security definer -- finds the organizations of the caller's communities, which the caller cannot list before the policy is decided
set search_path = ''
as $$
declare
  access constant jsonb := app.access();
begin
  if access -> 'site_roles' <> '[]' and app.can_on_site('organizations.read') then
    return array(select o.id from public.organizations o);
  end if;
  return array(
    select k::uuid from jsonb_object_keys(access -> 'organizations') k
    union
    select c.organization_id from jsonb_object_keys(access -> 'communities') k join public.communities c on c.id = k::uuid
    union
    select c.organization_id from app.extra_communities(null) e join public.communities c on c.id = e where access ? 'extras'
    union
    select o from app.organizations_with('organizations.read') o where access -> 'site_roles' <> '[]'
  );
end;
$$;

comment on function app.my_organizations() is
  'The organizations the caller has to do with: by a role in them or in one of their communities. A gate, not a permission. Definer: reads communities.';

create function app.organizations_with(permission text)
returns setof uuid
language plpgsql
stable
security definer -- reads roles regardless of who may list them
set search_path = ''
as $$
declare
  access constant jsonb := app.access();
  organizations constant jsonb := access -> 'organizations';
  lacking constant uuid[] := case when access ? 'unassured' then app.assurance_lacking(permission) end;
  holders record;
begin
  if array_position(lacking, null) is not null then
    return;
  elsif access -> 'site_roles' <> '[]' and access -> 'site_roles' ?| app.roles_with(permission, 'site') then
    return query select o.id from public.organizations o where lacking is null or o.id <> all (lacking);
    return;
  end if;

  if access ? 'extras' then
    return query select e from app.extra_organizations(permission) e where lacking is null or e <> all (lacking);
  end if;

  if organizations <> '{}' then
    select p.organization_roles as role_keys, p.has_custom_organization as has_custom into holders from private.permission_holders p where p.permission_key = permission;
    return query
      select h.key::uuid from jsonb_each(organizations) h where h.value ?| holders.role_keys and (lacking is null or h.key::uuid <> all (lacking));
    if holders.has_custom then
      return query
        select h.key::uuid
        from jsonb_each(organizations) h
        where exists (
          select
          from public.roles r
          join public.role_permissions rp on rp.role_id = r.id
          where r.level = 'organization' and r.organization_id = h.key::uuid and r.deleted_at is null and h.value ? r.key
            and rp.permission_key = permission
        )
        and (lacking is null or h.key::uuid <> all (lacking));
    end if;
  end if;
end;
$$;

comment on function app.organizations_with(text) is
  'The organizations in which the caller holds the permission, by a role there or on the site, with the assurance level that is required there. Definer: reads roles.';

create function app.my_communities()
returns uuid[]
language plpgsql
stable
security definer -- finds the communities of the caller's organizations, which the caller cannot list before the policy is decided
set search_path = ''
as $$
declare
  -- app.believes_claims(), written out.
  claims constant jsonb := case when current_setting('role') in ('authenticated', 'anon', 'service_role') or pg_has_role(session_user, 'postgres', 'member')
    then nullif(current_setting('request.jwt.claims', true), '')::jsonb end;
  subject constant text := claims ->> 'sub';
  key constant text := claims ->> 'session_id';
  session uuid;
  known uuid[];
  access jsonb;
begin
  -- Nearly everybody: what is kept for the session.
  known := (
    select case when k.communities is null then (select l.ids from private.all_communities l) else k.communities end
    from private.session_access k
    where k.session_key = key and k.user_id::text = subject and k.stale_at > now());
  if known is not null then
    return known;
  end if;

  -- Else what is known of the caller, and the session.
  session := case when pg_input_is_valid(key, 'uuid') then key end;
  select coalesce(l.ids, a.communities)
  into known
  from private.user_access a
  join private.permission_holders h on h.permission_key = 'communities.read'
  left join private.all_communities l on a.site_roles && h.site_roles
  where a.user_id = subject::uuid and a.known_version = a.version and a.stale_at > now()
    and a.user_id = (select s.user_id from auth.sessions s where s.id = session and (s.not_after is null or s.not_after > now()));
  if known is not null then
    return known;
  end if;

  access := app.access();
  if access -> 'site_roles' <> '[]' and access -> 'site_roles' ?| app.roles_with('communities.read', 'site') then
    return array(select c.id from public.communities c);
  elsif access -> 'organizations' = '{}' and not access ? 'extras' then
    return array(select k::uuid from jsonb_object_keys(access -> 'communities') k);
  end if;
  return array(
    select k::uuid from jsonb_object_keys(access -> 'communities') k
    union
    select c.id from public.communities c
    where c.organization_id = any (array(select k::uuid from jsonb_object_keys(access -> 'organizations') k))
    union
    select e from app.extra_communities(null) e where access ? 'extras'
  );
end;
$$;

comment on function app.my_communities() is
  'The communities the caller has to do with: the gate of every policy, always an index condition. Not a permission: a policy asks communities_with or units_with besides. Definer: reads communities.';

create function app.communities_with(permission text)
returns setof uuid
language plpgsql
stable
security definer -- reads roles regardless of who may list them
set search_path = ''
as $$
declare
  access constant jsonb := app.access();
  lacking constant uuid[] := case when access ? 'unassured' then app.assurance_lacking(permission) end;
  out_of_reach uuid[] := '{}';
  holders record;
begin
  if array_position(lacking, null) is not null then
    return;
  elsif access -> 'site_roles' <> '[]' and access -> 'site_roles' ?| app.roles_with(permission, 'site') then
    return query select c.id from public.communities c where lacking is null or c.organization_id <> all (lacking);
    return;
  end if;

  -- Apart, so that the queries below are planned once and not at every call.
  if lacking is not null then
    out_of_reach := array(select c.id from public.communities c where c.organization_id = any (lacking));
  end if;

  if access -> 'organizations' <> '{}' or access ? 'extras' then
    return query
      select c.id from public.communities c where c.organization_id in (select app.organizations_with(permission));
  end if;

  if access ? 'extras' then
    return query
      select e from app.extra_communities(permission) e where e <> all (out_of_reach);
  end if;

  -- Nearly everybody holds it by a system role, whose key means the same everywhere.
  select p.community_roles as role_keys, p.has_custom_community as has_custom into holders from private.permission_holders p where p.permission_key = permission;
  return query
    select h.key::uuid
    from jsonb_each(access -> 'communities') h
    where h.value ?| holders.role_keys and h.key::uuid <> all (out_of_reach);
  if holders.has_custom then
    return query
      select h.key::uuid
      from jsonb_each(access -> 'communities') h
      where exists (
        select
        from public.role_permissions rp
        join public.roles r on r.id = rp.role_id
        where rp.permission_key = permission and r.level = 'community' and r.deleted_at is null and h.value ? r.key
          and (r.community_id = h.key::uuid
            or r.organization_id = (select c.organization_id from public.communities c where c.id = h.key::uuid))
      )
      and h.key::uuid <> all (out_of_reach);
  end if;
end;
$$;

comment on function app.communities_with(text) is
  'The communities in which the caller holds the permission, by a role there, in their organization or on the site, with the assurance level that is required there. Definer: reads roles.';

create function app.communities_where(permission text)
returns uuid[]
language plpgsql
stable
security definer -- reads what is known of the caller
set search_path = ''
as $$
declare
  claims constant jsonb := case when current_setting('role') in ('authenticated', 'anon', 'service_role') or pg_has_role(session_user, 'postgres', 'member')
    then nullif(current_setting('request.jwt.claims', true), '')::jsonb end;
  subject constant text := claims ->> 'sub';
  key constant text := claims ->> 'session_id';
  session uuid;
  known uuid[];
begin
  known := (
    select case when k.communities is null then (select l.ids from private.all_communities l) else k.communities end
    from private.session_access k
    where k.session_key = key and k.user_id::text = subject and k.stale_at > now() and permission = any (k.held_everywhere));
  if known is not null then
    return known;
  end if;

  session := case when pg_input_is_valid(key, 'uuid') then key end;
  select coalesce(l.ids, case when a.community_roles && h.community_roles then a.communities end)
  into known
  from private.user_access a
  join private.permission_holders h on h.permission_key = permission and not h.is_assured
  left join private.all_communities l on a.site_roles && h.site_roles
  where a.user_id = subject::uuid and a.known_version = a.version and a.stale_at > now()
    and a.user_id = (select s.user_id from auth.sessions s where s.id = session and (s.not_after is null or s.not_after > now()));
  if known is not null then
    return known;
  end if;
  return array(select app.communities_with(permission));
end;
$$;

comment on function app.communities_where(text) is
  'The communities of communities_with, as an array: an index condition, so that it is gate and permission in one where nothing else lets a row be seen, and what a written row is checked with. '
  'Faster, too, for a user who holds the permission in all their communities. Definer: reads what is known of the caller.';

create function app.units_with(permission text)
returns setof uuid
language plpgsql
stable
security definer -- reads the caller's occupancies before any policy on them is decided
set search_path = ''
as $$
declare
  caller constant uuid := app.user_id();
  -- What an occupancy gives is a system role of the same key.
  system_roles constant text[] := app.roles_with(permission, 'community');
begin
  if caller is null then
    return;
  end if;

  return query
    select oc.unit_id
    from public.residents re
    join public.occupancies oc on oc.community_id = re.community_id and oc.resident_id = re.id
    join public.communities c on c.id = re.community_id
    where re.user_id = caller and re.deleted_at is null and re.onboarding <> 'suspended' and oc.deleted_at is null and c.deleted_at is null
      and (
        not exists (
          select from public.assurance_requirements q
          where q.permission_key = permission and (q.organization_id is null or q.organization_id = c.organization_id))
        or (select app.is_assured())
      )
      and oc.starts_on <= (now() at time zone c.time_zone)::date
      and (oc.ends_on is null or oc.ends_on >= (now() at time zone c.time_zone)::date)
      and oc.role::text = any (system_roles);

  if exists (select from public.memberships m where m.user_id = caller and m.restriction is not null) then
    return query select app.extra_units(permission);
  end if;
end;
$$;

comment on function app.units_with(text) is
  'The units in which the caller lives or which the caller owns today (the community''s date) in a role that holds the permission, with the assurance level that is required there, and those to which a restricted membership reaches. '
  'Always from the tables. Definer: reads occupancies.';

create function app.users_of(permission text)
returns setof uuid
language plpgsql
stable
security definer -- reads memberships and residents before any policy on profiles is decided
set search_path = ''
as $$
begin
  return query
    select m.user_id from public.memberships m where m.community_id in (select app.communities_with(permission)) and m.deleted_at is null
    union
    select m.user_id from public.memberships m where m.organization_id in (select app.organizations_with(permission)) and m.deleted_at is null
    union
    select re.user_id from public.residents re
    where re.community_id in (select app.communities_with(permission)) and re.user_id is not null and re.deleted_at is null;
end;
$$;

comment on function app.users_of(text) is
  'The users who have a role or a resident''s record in the communities and organizations where the caller holds the permission. Definer: reads memberships and residents.';

create function app.require_known_user(subject uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not (
    app.is_trusted() or subject = app.user_id() or app.can_on_site('users.read')
    or subject in (select app.users_of('memberships.read')) or subject in (select app.users_of('memberships.manage')))
  then
    perform app.fail(404, 'user_not_found', 'You know no user with this id: nobody who has a role or lives where you see or give roles.', 'Invite them by their address; they decide.');
  end if;
end;
$$;

comment on function app.require_known_user(uuid) is
  'Refuses (404 user_not_found) to give anything to a user whom the caller does not see already: whoever belongs to a place is seen by those who manage it, and so an id alone would show a stranger''s name and address to whoever founds a community. '
  'The same answer whether there is such a user or not. Not executable by API roles.';

grant execute on function
  app.users_of(text), app.user_id(), app.can_on_site(text), app.my_organizations(), app.organizations_with(text), app.my_communities(),
  app.communities_with(text), app.communities_where(text), app.units_with(text)
to authenticated;

-- The helpers of RPCs ------------------------------------------------------------------------------------------------

create function app.can(permission text, community uuid)
returns boolean
language sql
stable
set search_path = ''
return coalesce(community = any (app.communities_where(permission)), false);

comment on function app.can(text, uuid) is 'Whether the caller holds the permission in the community; false for a community that does not exist.';

create function app.needs_assurance(permission text, community uuid)
returns boolean
language plpgsql
volatile
security definer -- asks as if the caller had proved a second factor
set search_path = ''
as $$
declare
  claims constant text := current_setting('request.jwt.claims', true);
  held boolean;
begin
  if app.user_id() is null or app.assurance_lacking(permission) is null then
    return false;
  end if;
  perform set_config('request.jwt.claims', ((claims::jsonb - 'session_id') || '{"aal": "aal2", "on_behalf": true}')::text, true);
  held := app.can(permission, community) or exists (
    select from app.units_with(permission) w join public.units u on u.id = w where u.community_id = community);
  perform set_config('request.jwt.claims', claims, true);
  return held and not app.can(permission, community);
end;
$$;

comment on function app.needs_assurance(text, uuid) is
  'Whether the caller would hold the permission in the community with a second factor, and does not without. Tells nothing to those who would not hold it anyway. Definer: asks the helpers as if the caller had it.';

create function app.fail_unassured(detail text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  perform app.fail(403, 'assurance_required', detail, 'Sign in with a second factor (aal2): supabase.auth.mfa.challengeAndVerify.');
end;
$$;

comment on function app.fail_unassured(text) is 'Refuses a caller who lacks nothing but a second factor (403 assurance_required), and says how to get it.';

create function app.require(permission text, community uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not app.is_trusted() and not app.can(permission, community) then
    if app.needs_assurance(permission, community) then
      perform app.fail_unassured(format('The permission %s takes a second factor here.', permission));
    end if;
    perform app.fail(403, 'permission_denied', format('This takes the permission %s in this community.', permission));
  end if;
end;
$$;

comment on function app.require(text, uuid) is
  'Refuses (403 permission_denied; assurance_required where only a second factor is missing) unless the caller holds the permission in the community or is trusted. Answers the same for a community that does not exist.';

grant execute on function app.can(text, uuid), app.needs_assurance(text, uuid), app.fail_unassured(text), app.require(text, uuid) to authenticated, service_role;

-- What the caller may hand on ----------------------------------------------------------------------------------------

create function app.terms_in(organization uuid, community uuid)
returns table (permission text, held_until timestamptz, given_until timestamptz)
language plpgsql
stable
security definer -- reads the caller's roles, occupancies and single permissions, regardless of who may list them
set search_path = ''
as $$
declare
  caller constant uuid := app.user_id();
  home uuid := organization;
  zone text;
begin
  if community is not null then
    select c.organization_id, c.time_zone into home, zone from public.communities c where c.id = community;
  end if;
  return query
    with sources as (
      select rp.permission_key, tstzrange(m.starts_at, coalesce(m.ends_at, 'infinity')) as during,
        coalesce(m.restriction ? 'hours' or m.restriction #> array['amounts', rp.permission_key] is not null, false) as is_limited
      from public.memberships m
      join public.roles r on r.id = m.role_id and r.deleted_at is null
      join public.role_permissions rp on rp.role_id = m.role_id
      join public.permissions p on p.key = rp.permission_key
      where m.user_id = caller and m.deleted_at is null and (m.level = 'site' or m.organization_id = home or m.community_id = terms_in.community)
        and (m.restriction is null
          or app.restriction_holds_now(m.restriction, zone) and (p.is_kept_when_restricted or not m.restriction ?| '{buildings,units}'))
      union all
      select rp.permission_key, tstzrange(oc.starts_on::timestamp at time zone zone, coalesce((oc.ends_on + 1)::timestamp at time zone zone, 'infinity')), false
      from public.residents re
      join public.occupancies oc on oc.community_id = re.community_id and oc.resident_id = re.id and oc.deleted_at is null
      join public.roles r on r.is_occupancy and r.key = oc.role::text
      join public.role_permissions rp on rp.role_id = r.id
      where re.user_id = caller and re.community_id = terms_in.community and re.deleted_at is null and re.onboarding <> 'suspended'
      union all
      select up.permission_key, tstzrange(up.starts_at, coalesce(up.ends_at, 'infinity')), false
      from public.user_permissions up
      where up.user_id = caller and up.deleted_at is null and (up.organization_id = home or up.community_id = terms_in.community)
    )
    -- What begins where the one before ends prolongs it.
    select h.key,
      (select upper(d) from unnest(range_agg(s.during)) d where d @> now()),
      (select upper(d) from unnest(range_agg(s.during) filter (where not s.is_limited)) d where d @> now())
    from app.permissions_in(organization, community) h (key)
    join sources s on s.permission_key = h.key
    group by h.key;
end;
$$;

comment on function app.terms_in(uuid, uuid) is
  'The permissions of app.permissions_in, each with the moment until which the caller holds it without a break by roles, occupancies and single permissions (infinity: without an end), and the moment until which by those that set no limits: '
  'null for what is held within hours or up to an amount alone, as whoever is given it would hold it without. Definer: reads what gives the caller permissions; not executable by API roles.';

create function app.beyond_own(managing text, given text[], taken text[], organization uuid, community uuid, until timestamptz)
returns table (permission text, is_held boolean, ends_at timestamptz)
language sql
stable
set search_path = ''
as $$
  select w.permission, t.held_until is not null, l.ends_at
  from (
    -- Whoever manages within hours does so within hours: it is not what is given.
    select managing as permission, true as is_used, coalesce(until, 'infinity') as until
    union all select unnest(taken), true, '-infinity'
    union all select unnest(given), false, coalesce(until, 'infinity')
  ) w
  left join app.terms_in(organization, community) t on t.permission = w.permission
  cross join lateral (select case when w.is_used then t.held_until else t.given_until end as ends_at) l
  where w.permission is not null and (l.ends_at < w.until) is not false
  order by t.held_until is null and w.permission = managing desc, l.ends_at nulls first, w.permission
$$;

comment on function app.beyond_own(text, text[], text[], uuid, uuid, timestamptz) is
  'What keeps the caller from giving and taking permissions in a place, the worst first, with whether it is held and, if the end alone is too late (until; null: none), the last moment that it may have. '
  'Giving takes the permission without limits and until then, managing until then, taking only holding it. No row: nothing does. Not executable by API roles.';

create function app.check_own(managing text, given text[], taken text[], organization uuid, community uuid, until timestamptz)
returns void
language plpgsql
volatile
security definer -- locks what gives the caller permissions
set search_path = ''
as $$
declare
  beyond record;
begin
  if app.is_trusted() then
    return;
  elsif until is distinct from '-infinity' then
    -- Whoever ends or shortens what is given from waits until it is given, or is waited for.
    perform from public.memberships m where m.user_id = (select app.user_id()) and m.deleted_at is null order by m.id for share;
    perform from public.user_permissions up where up.user_id = (select app.user_id()) and up.deleted_at is null order by up.id for share;
  end if;
  select b.* into beyond from app.beyond_own(managing, given, taken, organization, community, until) b limit 1;
  if beyond.permission is null then
    return;
  elsif beyond.ends_at is not null then
    perform app.fail(403, 'term_above_own',
      format('You hold %s here until %s, and nobody gives for longer than they have.', beyond.permission, to_char(beyond.ends_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
      'Name an end no later than that, or ask somebody who holds it for longer.');
  elsif beyond.is_held then
    perform app.fail(403, 'role_above_own', format('You hold %s here within limits.', beyond.permission), 'Nobody gives more than they have.');
  elsif beyond.permission = managing then
    perform app.refuse(managing, organization, community);
  end if;
  perform app.fail(403, 'role_above_own', format('You do not hold %s here.', beyond.permission), 'Nobody gives or takes more than they have.');
end;
$$;

comment on function app.check_own(text, text[], text[], uuid, uuid, timestamptz) is
  'Refuses to let the caller give or take more than they hold in the same place, or give it for longer (403 permission_denied, role_above_own, term_above_own): the rule of app.beyond_own, for everybody who is not trusted. '
  'What the caller holds is locked first, so that it is not shortened meanwhile. Definer: locks memberships and single permissions; not executable by API roles.';
