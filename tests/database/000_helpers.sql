-- Helpers of the database tests, in a schema of their own.
--
-- pg_prove runs files in the order of their names, so `supabase test db tests/database` runs this one first and the others find
-- what it leaves; `npm test` runs it once, on the template that every file's database is copied from. It is the one kind
-- of file that commits: run it again and it replaces what it left. `drop schema tests cascade` takes everything away.
--
-- Who    tests.create_supabase_user('ana'), tests.authenticate_as('ana'), tests.authenticate_without_claims('ana'),
--        tests.authenticate_with(claims), tests.authenticate_as_service_role(), tests.clear_authentication() (anon),
--        tests.as_studio() (role postgres, as Studio and migrations work)
-- What   tests.create_organization, create_community, create_unit, create_resident, occupy, grant_role: one row each, with
--        what a test does not care about filled in
-- Names  Everything is called by an identifier: tests.id('ana') is the user's id, tests.id('A1') the unit's.

set client_min_messages = warning;

create extension if not exists pgtap with schema extensions;
drop schema if exists tests cascade;
create schema tests;

create function tests.id(identifier text) returns uuid language sql immutable set search_path = ''
return md5('vicinia test ' || identifier)::uuid;
comment on function tests.id(text) is 'The id of whatever was made under this identifier; the same in every run.';

create function tests.email(identifier text) returns text language sql immutable set search_path = ''
return replace(identifier, ' ', '-') || '@test.example';
comment on function tests.email(text) is 'The address of the user made under this identifier, unless another was given.';

-- Who ----------------------------------------------------------------------------------------------------------------

create function tests.create_supabase_user(identifier text, email text default null, confirmed boolean default true)
returns uuid language sql volatile set search_path = ''
as $$
  insert into auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
  values (
    '00000000-0000-0000-0000-000000000000', tests.id(identifier), 'authenticated', 'authenticated',
    coalesce(email, tests.email(identifier)), '', case when confirmed then now() end,
    '{"provider": "email", "providers": ["email"]}', jsonb_build_object('full_name', identifier), now(), now())
  returning id
$$;
comment on function tests.create_supabase_user(text, text, boolean) is 'Makes a user as Auth would after sign-up and, unless told otherwise, after the address was confirmed.';

create function tests.claims(identifier text, with_hook boolean default true)
returns jsonb language plpgsql volatile security definer set search_path = ''
as $$
declare
  event jsonb;
  session uuid;
begin
  insert into auth.sessions (id, user_id, aal, created_at, updated_at)
  select gen_random_uuid(), u.id, 'aal1', now(), now() from auth.users u where u.id = tests.id(identifier)
  returning id into session;
  select jsonb_build_object('user_id', u.id, 'authentication_method', 'password', 'claims', jsonb_build_object(
    'iss', 'http://127.0.0.1:54321/auth/v1', 'aud', 'authenticated', 'role', 'authenticated', 'sub', u.id, 'email', u.email, 'phone', '',
    'aal', 'aal1', 'session_id', session, 'is_anonymous', false,
    'iat', extract(epoch from now())::bigint, 'exp', extract(epoch from now())::bigint + 3600,
    'app_metadata', u.raw_app_meta_data, 'user_metadata', u.raw_user_meta_data))
  into event
  from auth.users u
  where u.id = tests.id(identifier);
  if event is null then
    raise exception 'there is no user %', identifier;
  end if;
  if with_hook then
    event := app.access_token(event);
  else
    update private.user_access set known_version = null where user_id = tests.id(identifier);
  end if;
  return event -> 'claims';
end;
$$;
comment on function tests.claims(text, boolean) is
  'What the user''s token says if it is minted now: as Auth makes it, in a new session, with the access token hook or without; without, nothing is known of the user''s access either. Definer: works while another user is signed in.';

create function tests.assured_claims(identifier text)
returns jsonb language plpgsql volatile security definer set search_path = ''
as $$
declare
  claims constant jsonb := tests.claims(identifier);
begin
  update auth.sessions set aal = 'aal2' where id = (claims ->> 'session_id')::uuid;
  return claims || '{"aal": "aal2"}';
end;
$$;
comment on function tests.assured_claims(text) is 'What the user''s token says after a second factor was proved in its session. Definer: works while another user is signed in.';

create function tests.authenticate_with(claims jsonb)
returns void language plpgsql volatile set search_path = ''
as $$
begin
  perform set_config('role', claims ->> 'role', true), set_config('request.jwt.claims', claims::text, true);
end;
$$;
comment on function tests.authenticate_with(jsonb) is 'The rest of the transaction is a request with this token, however old it is.';

create function tests.authenticate_as(identifier text)
returns void language plpgsql volatile set search_path = ''
as $$
begin
  perform tests.authenticate_with(tests.claims(identifier));
end;
$$;
comment on function tests.authenticate_as(text) is 'The rest of the transaction is a request of this user with a token minted now.';

create function tests.authenticate_without_claims(identifier text)
returns void language plpgsql volatile set search_path = ''
as $$
begin
  perform tests.authenticate_with(tests.claims(identifier, with_hook => false));
end;
$$;
comment on function tests.authenticate_without_claims(text) is 'As authenticate_as, in an installation that forgot to switch the hook on.';

create function tests.authenticate_as_service_role()
returns void language plpgsql volatile set search_path = ''
as $$
begin
  perform tests.authenticate_with('{"role": "service_role"}');
end;
$$;
comment on function tests.authenticate_as_service_role() is 'The rest of the transaction is a request with the secret key.';

create function tests.clear_authentication()
returns void language plpgsql volatile set search_path = ''
as $$
begin
  perform tests.authenticate_with('{"role": "anon"}');
end;
$$;
comment on function tests.clear_authentication() is 'The rest of the transaction is a request with the publishable key and nobody signed in.';

create function tests.as_studio()
returns void language plpgsql volatile set search_path = ''
as $$
begin
  perform set_config('role', 'none', true), set_config('request.jwt.claims', '', true);
end;
$$;
comment on function tests.as_studio() is 'The rest of the transaction is done by role postgres, as in Studio, in migrations and in jobs.';

-- What ---------------------------------------------------------------------------------------------------------------

create function tests.slug(identifier text) returns text language sql immutable set search_path = ''
return 'test-' || left(md5(identifier), 16);
comment on function tests.slug(text) is 'A slug that nothing else has.';

create function tests.create_organization(identifier text)
returns uuid language sql volatile set search_path = ''
as $$
  insert into public.organizations (id, name, slug, country_code) values (tests.id(identifier), identifier, tests.slug(identifier), 'BG') returning id
$$;
comment on function tests.create_organization(text) is 'Makes an organization.';

create function tests.create_community(identifier text, organization text default null, time_zone text default 'UTC')
returns uuid language plpgsql volatile set search_path = ''
as $$
begin
  if organization is null then
    perform tests.create_organization('organization of ' || identifier);
  end if;
  insert into public.communities (id, organization_id, name, slug, country_code, currency_code, time_zone)
  values (tests.id(identifier), tests.id(coalesce(organization, 'organization of ' || identifier)), identifier, tests.slug(identifier), 'BG', 'EUR', create_community.time_zone);
  return tests.id(identifier);
end;
$$;
comment on function tests.create_community(text, text, text) is 'Makes a community, in an organization that exists or in one of its own.';

create function tests.create_unit(identifier text, community text)
returns uuid language sql volatile set search_path = ''
as $$
  insert into public.units (id, community_id, number) values (tests.id(identifier), tests.id(community), left(identifier, 40)) returning id
$$;
comment on function tests.create_unit(text, text) is 'Makes a unit that stands in no building; its number is the identifier.';

create function tests.create_resident(identifier text, community text, email text default null)
returns uuid language plpgsql volatile set search_path = ''
as $$
begin
  insert into public.residents (id, community_id, full_name) values (tests.id(identifier), tests.id(community), identifier);
  if email is not null then
    insert into public.resident_details (community_id, resident_id, email) values (tests.id(community), tests.id(identifier), create_resident.email);
  end if;
  return tests.id(identifier);
end;
$$;
comment on function tests.create_resident(text, text, text) is 'Makes a resident; with the address of a confirmed user, that user''s.';

create function tests.occupy(resident text, unit text, role public.occupancy_role, starts_on date default null, ends_on date default null, is_primary_contact boolean default false)
returns uuid language sql volatile set search_path = ''
as $$
  insert into public.occupancies (id, community_id, unit_id, resident_id, role, starts_on, ends_on, is_primary_contact)
  select tests.id(concat_ws(' ', resident, role, unit)), u.community_id, u.id, tests.id(resident), occupy.role,
    coalesce(occupy.starts_on, (now() at time zone c.time_zone)::date), occupy.ends_on, occupy.is_primary_contact
  from public.units u join public.communities c on c.id = u.community_id
  where u.id = tests.id(unit)
  returning id
$$;
comment on function tests.occupy(text, text, public.occupancy_role, date, date, boolean) is
  'Ties a resident to a unit, by default from today; the occupancy''s identifier is "<resident> <role> <unit>".';

create function tests.make_known(member text, community text)
returns void language sql volatile set search_path = ''
as $$
  insert into public.residents (community_id, full_name, user_id) values (tests.id(community), member, tests.id(member))
$$;
comment on function tests.make_known(text, text) is 'Records a user as a resident of a community, where nobody lives without a unit: known to those who manage it, and permitted nothing.';

create function tests.grant_role(
  member text, role text, organization text default null, community text default null, starts_at timestamptz default null, ends_at timestamptz default null
)
returns uuid language sql volatile set search_path = ''
as $$ select public.grant_role(tests.id(member), role, tests.id(organization), tests.id(community), starts_at, ends_at) $$;
comment on function tests.grant_role(text, text, text, text, timestamptz, timestamptz) is
  'public.grant_role by identifiers: on the site unless an organization or a community is named. Returns the membership''s id.';

create function tests.communities()
returns uuid[] language sql stable security definer set search_path = ''
as $$ select coalesce(array_agg(c.id), '{}') from public.communities c where c.slug like 'test-%' $$;
comment on function tests.communities() is 'The communities that tests made. Definer: the caller may be unable to see them.';

create function tests.seen(relation regclass, label name)
returns text language plpgsql stable set search_path = ''
as $$
declare
  labels text;
begin
  execute format('select string_agg(distinct %1$I::text, '', '' order by %1$I::text) from %2$s where community_id = any ($1)', label, relation)
  into labels using tests.communities();
  return coalesce(labels, 'nothing');
end;
$$;
comment on function tests.seen(regclass, name) is
  'What the caller sees of a table, in the communities that tests made: the values of one column, in order; or "nothing".';

-- What a test keeps for later ----------------------------------------------------------------------------------------

create function tests.keep(name text, value anyelement)
returns void language plpgsql volatile set search_path = ''
as $$
begin
  perform set_config('tests.' || name, value::text, true);
end;
$$;
comment on function tests.keep(text, anyelement) is 'Keeps a value until the transaction ends, whoever is signed in then.';

create function tests.kept(name text) returns text language sql stable set search_path = ''
return current_setting('tests.' || name);
comment on function tests.kept(text) is 'A value that tests.keep kept.';

grant usage on schema tests to anon, authenticated, service_role;
grant execute on all functions in schema tests to anon, authenticated, service_role;

begin;
select plan(6);

select tests.create_supabase_user('helper');
select is((select p.display_name from public.profiles p where p.id = tests.id('helper')), 'helper', 'a user made by a helper has a profile');

select tests.authenticate_as('helper');
select is(
  row(current_user::text, auth.uid(), auth.jwt() -> 'app_metadata' ? 'access_version')::text, row('authenticated', tests.id('helper'), true)::text,
  'tests.authenticate_as signs in with a token that the hook has seen');

select tests.authenticate_without_claims('helper');
select is(
  row(current_user::text, auth.uid(), auth.jwt() -> 'app_metadata' ? 'access_version')::text, row('authenticated', tests.id('helper'), false)::text,
  'tests.authenticate_without_claims signs in with a token that no hook has seen');

select tests.authenticate_as_service_role();
select is(row(current_user::text, auth.uid())::text, row('service_role', null)::text, 'tests.authenticate_as_service_role uses the secret key');

select tests.clear_authentication();
select is(row(current_user::text, auth.uid())::text, row('anon', null)::text, 'tests.clear_authentication signs out');

select tests.as_studio();
select is(row(current_user, auth.uid())::text, row(session_user, null)::text, 'tests.as_studio works as the role that connected');

select * from finish();
rollback;
