-- Foundation: founding a community, and the places of a user.
--
-- Purpose     The administrator's own path, from signing up to an organization with a community; and what a user may switch between.
-- RPCs        found_community, my_places
-- Settings    security.self_service, security.founded_organizations
-- Invariants  Founding makes an organization, its community and their administrator together, or nothing. It takes a verified
--             address and a site that permits it, and nobody founds more than a few organizations by themselves.

select app.define_setting('security.self_service', 'boolean', 'true', '{site}',
  'Whether everybody with a verified address may found an organization with a community (found_community). False: administrators of the site make them.');
select app.define_setting('security.founded_organizations', 'integer', '3', '{site}', 'How many organizations one user may found.',
  minimum => 1, maximum => 1000);

-- The administrator's own path ---------------------------------------------------------------------------------------

create function app.found_community(
  organization_name text, organization_slug text, community_name text, community_slug text,
  country_code text, currency_code text, time_zone text, locale text, ideal_parts_total numeric
)
returns table (organization_id uuid, community_id uuid)
language plpgsql
volatile
security definer -- makes what create_organization, create_community and grant_role refuse to a user without roles
set search_path = ''
as $$
declare
  most constant integer := app.setting('security.founded_organizations')::integer;
  caller constant uuid := app.user_id();
  refused_table text;
  refused text;
begin
  if caller is null then
    perform app.fail(401, 'account_unknown', 'A community is founded by a user.', 'Sign in first.');
  elsif not app.setting('security.self_service')::boolean then
    perform app.fail(403, 'self_service_off', 'On this site its administrators make communities.', 'Ask them for one.');
  elsif app.verified_email(caller) is null then
    perform app.fail(403, 'email_not_verified', 'This account has no verified e-mail address.', 'Confirm the address first, with the link in the mail.');
  end if;

  -- One at a time per user, so that two sessions cannot found one too many.
  perform from public.profiles p where p.id = caller for no key update;
  if most <= (select count(*) from public.organizations o where o.created_by = caller) then
    perform app.fail(409, 'too_many_organizations', format('You have founded %s organizations.', most), 'Add the community to one of them, or ask the administrator of the site.');
  end if;

  insert into public.organizations (name, slug, country_code)
  values (organization_name, organization_slug, found_community.country_code)
  on conflict do nothing
  returning id into organization_id;
  if organization_id is null then
    perform app.fail(409, 'slug_taken', format('Another organization is called %s.', organization_slug), 'Choose another organization_slug.');
  end if;

  insert into public.communities (organization_id, name, slug, country_code, currency_code, time_zone, locale, ideal_parts_total)
  values (
    found_community.organization_id, community_name, community_slug, found_community.country_code, found_community.currency_code,
    found_community.time_zone, found_community.locale, found_community.ideal_parts_total)
  on conflict do nothing
  returning id into community_id;
  if community_id is null then
    perform app.fail(409, 'slug_taken', format('Another community is called %s.', community_slug), 'Choose another community_slug.');
  end if;

  insert into public.memberships (user_id, role_id, organization_id, community_id)
  select caller, r.id, case r.level when 'organization' then found_community.organization_id end, case r.level when 'community' then found_community.community_id end
  from public.roles r
  where (r.level, r.key) in (('organization', 'owner'), ('community', 'admin')) and coalesce(r.organization_id, r.community_id) is null and r.deleted_at is null;
  return next;
exception
  when check_violation then
    get stacked diagnostics refused_table = table_name, refused = constraint_name;
    perform app.fail_check(refused_table, refused);
  when not_null_violation then
    get stacked diagnostics refused = column_name;
    perform app.fail(422, 'invalid_value', format('The value of %s is missing.', refused));
end;
$$;

comment on function app.found_community(text, text, text, text, text, text, text, text, numeric) is
  'What public.found_community does. Definer: a user without any role may make nothing otherwise.';

create function public.found_community(
  organization_name text, organization_slug text, community_name text, community_slug text,
  country_code text, currency_code text, time_zone text, locale text default 'en', ideal_parts_total numeric default 100
)
returns table (organization_id uuid, community_id uuid)
language sql
volatile
set search_path = ''
as $$
  select * from app.found_community(
    organization_name, organization_slug, community_name, community_slug, country_code, currency_code, time_zone, locale, ideal_parts_total)
$$;

comment on function public.found_community(text, text, text, text, text, text, text, text, numeric) is
  'The way from signing up to one''s own community: makes an organization with a community in it, and the caller its owner and administrator. For every user with a verified address where the site lets people found communities themselves; at most 3 organizations each, unless the site''s settings say otherwise. '
  'Errors: self_service_off, email_not_verified, too_many_organizations, slug_taken, invalid_value, account_unknown.';

grant execute on function
  app.found_community(text, text, text, text, text, text, text, text, numeric), public.found_community(text, text, text, text, text, text, text, text, numeric)
to authenticated;

-- Where a user belongs -----------------------------------------------------------------------------------------------

create function app.my_places()
returns table (
  level public.access_level, organization_id uuid, organization text, community_id uuid, community text, slug text, roles text[]
)
language plpgsql
stable
security definer -- reads the caller's memberships, occupancies and places, each regardless of who may list them
set search_path = ''
as $$
begin
  return query
    with held as materialized (
      select m.level, m.organization_id, m.community_id, r.key
      from public.memberships m
      join public.roles r on r.id = m.role_id and r.deleted_at is null
      where m.user_id = (select app.user_id()) and m.deleted_at is null and m.starts_at <= now() and (m.ends_at is null or m.ends_at > now())
      union
      select 'community', null, c.id, oc.role::text
      from public.residents re
      join public.occupancies oc on oc.community_id = re.community_id and oc.resident_id = re.id
      join public.communities c on c.id = re.community_id
      where re.user_id = (select app.user_id()) and re.deleted_at is null and oc.deleted_at is null
        and oc.starts_on <= (now() at time zone c.time_zone)::date
        and (oc.ends_on is null or oc.ends_on >= (now() at time zone c.time_zone)::date)
    )
    select 'organization'::public.access_level, o.id, o.name, null::uuid, null::text, o.slug, array(
      select h.level || '/' || h.key from held h
      where h.level = 'site' or h.organization_id = o.id
      order by h.level desc, h.key)
    from public.organizations o
    where o.id in (select app.organizations_with('organizations.read')) and o.deleted_at is null
    union all
    select 'community', o.id, o.name, c.id, c.name, c.slug, array(
      select h.level || '/' || h.key from held h
      where h.level = 'site' or h.organization_id = o.id or h.community_id = c.id
      order by h.level desc, h.key)
    from public.communities c
    join public.organizations o on o.id = c.organization_id
    where c.id = any (app.my_communities()) and c.deleted_at is null and o.deleted_at is null
    order by 3, 1, 5;
end;
$$;

comment on function app.my_places() is 'What public.my_places does. Definer: a resident may be unable to see the organization that runs the community.';

create function public.my_places()
returns table (
  level public.access_level, organization_id uuid, organization text, community_id uuid, community text, slug text, roles text[]
)
language sql
stable
set search_path = ''
as $$ select * from app.my_places() $$;

comment on function public.my_places() is
  'The organizations and communities the caller has to do with, by name, each with the roles that lead there (<level>/<key>, the narrowest first): what an app offers for switching. '
  'A switch is a filter by these ids, not a new login.';

grant execute on function app.my_places(), public.my_places() to authenticated;
