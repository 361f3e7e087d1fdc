-- Foundation: organizations, communities and the profiles of users.
--
-- Purpose     Who runs which community, and whose account may be used at all.
-- Tables      profiles, organizations, communities
-- RPCs        set_account_status, create_organization, create_community
-- Invariants  Every user of Auth has one profile, made by a trigger. A profile that is not active has no access anywhere.
--             Every community belongs to one organization: a management company, or the community's own when it stands alone.

create type public.account_status as enum ('active', 'inactive', 'suspended', 'banned');

-- Profiles -----------------------------------------------------------------------------------------------------------

create table public.profiles (
  id uuid not null,
  display_name text not null,
  username text,
  email text,
  status public.account_status not null default 'active',
  status_reason text,
  locale text,
  time_zone text,
  like app.row_model including defaults including comments,
  constraint profiles_pkey primary key (id),
  constraint profiles_user_fkey foreign key (id) references auth.users (id) on delete cascade,
  constraint profiles_display_name_check check (app.is_name(display_name)),
  constraint profiles_username_check check (username ~ '^[A-Za-z][A-Za-z0-9_]{2,29}$'),
  constraint profiles_status_reason_check check (length(status_reason) <= 2000),
  constraint profiles_locale_check check (app.is_locale(locale)),
  constraint profiles_time_zone_check check (app.is_time_zone(time_zone))
);

create unique index profiles_username_key on public.profiles (lower(username));
create index profiles_email_idx on public.profiles (lower(email)) where email is not null;

comment on table public.profiles is 'One row per user of Auth: how to call the person, and whether the account may be used.';
comment on column public.profiles.id is 'The user''s id in Auth.';
comment on column public.profiles.display_name is 'How to call the person; theirs to change.';
comment on column public.profiles.username is
  'A short name of the user''s choosing, unique in this installation whichever way it is capitalized: 3 to 30 Latin letters, digits and underscores, a letter first.';
comment on column public.profiles.email is 'A copy of the address in Auth, kept by a trigger, so that administrators can tell users apart.';
comment on column public.profiles.status is 'active: in use. inactive: put aside. suspended: barred for a time. banned: barred. All but active lose every access on their next statement.';
comment on column public.profiles.status_reason is 'Why the account is not active. Whoever sees the profile reads it: the user, administrators of the site, and those who may list the members of a place where the user has a role. Say no more than they may know.';
comment on column public.profiles.locale is 'Preferred language (BCP 47); the community''s where null.';
comment on column public.profiles.time_zone is 'Preferred IANA time zone; the community''s where null.';

select app.track('public.profiles');

create function app.tg_profiles__access()
returns trigger
language plpgsql
security definer -- writes private.user_access
set search_path = ''
as $$
begin
  insert into private.user_access (user_id) values (new.id) on conflict do nothing;
  perform app.bump_access(array[new.id]);
  return null;
end;
$$;

comment on function app.tg_profiles__access() is 'AFTER INSERT OR UPDATE OF status: gives the user a live version, or makes the tokens stale. Definer: writes private.user_access.';

create trigger _500_access_new after insert on public.profiles for each row execute function app.tg_profiles__access();
create trigger _500_access after update of status, deleted_at on public.profiles for each row
  when (old.status is distinct from new.status or old.deleted_at is distinct from new.deleted_at) execute function app.tg_profiles__access();

create function app.tg_auth_users__profile()
returns trigger
language plpgsql
security definer -- Auth's own role may not write our tables
set search_path = ''
as $$
declare
  called constant text := left(btrim(regexp_replace(
    coalesce(new.raw_user_meta_data ->> 'full_name', new.raw_user_meta_data ->> 'name', ''), '[[:cntrl:]]+', ' ', 'g')), 200);
begin
  if tg_op = 'INSERT' then
    insert into public.profiles (id, display_name, email)
    values (new.id, coalesce(nullif(btrim(called), ''), nullif(split_part(new.email, '@', 1), ''), nullif(new.phone, ''), 'New user'), new.email)
    on conflict (id) do nothing;
  else
    update public.profiles p set email = new.email where p.id = new.id and p.email is distinct from new.email;
  end if;
  return null;
end;
$$;

comment on function app.tg_auth_users__profile() is
  'AFTER INSERT OR UPDATE OF email on auth.users: makes the profile and keeps its copy of the address. The name a user gives on sign-up is a label and nothing more. Definer: Auth''s role may not write public.';

create trigger _500_vicinia_profile after insert or update of email on auth.users
  for each row execute function app.tg_auth_users__profile();

-- Users who were there before Vicinia.
insert into public.profiles (id, display_name, email)
select u.id, coalesce(nullif(split_part(u.email, '@', 1), ''), 'New user'), u.email from auth.users u
on conflict (id) do nothing;

create policy profiles_select on public.profiles for select to authenticated
  using (
    id = (select app.user_id())
    or id in (select app.users_of('memberships.read'))
    or (select app.can_on_site('users.read'))
  );
create policy profiles_update on public.profiles for update to authenticated
  using (id = (select app.user_id()))
  with check (id = (select app.user_id()));

grant select, update (display_name, username, locale, time_zone) on public.profiles to authenticated;
grant select, update on public.profiles to service_role;

select app.define_action('ACCOUNT_ACTIVATED', 'An account may be used again.');
select app.define_action('ACCOUNT_DEACTIVATED', 'An account is not in use.');
select app.define_action('ACCOUNT_SUSPENDED', 'An account may not be used for now.');
select app.define_action('ACCOUNT_BANNED', 'An account may not be used any more.');

create function app.set_account_status(subject uuid, status public.account_status, reason text)
returns void
language plpgsql
volatile
security definer -- status is in no column grant
set search_path = ''
as $$
declare
  action_before text;
begin
  if not app.is_trusted() and not app.can_on_site('users.manage') then
    perform app.refuse('users.manage');
  elsif subject = auth.uid() then
    perform app.fail(409, 'own_account', 'Nobody changes the status of the own account.');
  end if;
  action_before := app.set_action(case set_account_status.status
    when 'active' then 'ACCOUNT_ACTIVATED' when 'inactive' then 'ACCOUNT_DEACTIVATED' when 'suspended' then 'ACCOUNT_SUSPENDED' when 'banned' then 'ACCOUNT_BANNED' end);
  update public.profiles p
  set status = set_account_status.status, status_reason = case when set_account_status.status = 'active' then null else reason end
  where p.id = subject;
  if not found then
    perform app.fail(404, 'user_not_found', 'There is no user with this id.');
  end if;
  perform app.set_action(action_before);
end;
$$;

comment on function app.set_account_status(uuid, public.account_status, text) is 'What public.set_account_status does. Definer: writes profiles.status, which no API role may.';

create function public.set_account_status(user_id uuid, status public.account_status, reason text default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_account_status(user_id, status, reason) $$;

comment on function public.set_account_status(uuid, public.account_status, text) is
  'Activates, deactivates, suspends or bans an account; takes users.manage on the site. Effective on the user''s next statement. The steps are in app.state_transitions. Errors: permission_denied, own_account, user_not_found, transition_refused.';

grant execute on function app.set_account_status(uuid, public.account_status, text), public.set_account_status(uuid, public.account_status, text)
to authenticated, service_role;

-- Organizations ------------------------------------------------------------------------------------------------------

create table public.organizations (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  slug text not null,
  legal_name text,
  tax_number text,
  country_code text not null,
  like app.row_model including defaults including comments,
  constraint organizations_pkey primary key (id),
  constraint organizations_slug_key unique nulls not distinct (slug, deleted_at),
  constraint organizations_name_check check (app.is_name(name)),
  constraint organizations_slug_check check (app.is_slug(slug)),
  constraint organizations_legal_name_check check (app.is_name(legal_name)),
  constraint organizations_tax_number_check check (length(tax_number) between 2 and 40),
  constraint organizations_country_code_check check (country_code ~ '^[A-Z]{2}$')
);

comment on table public.organizations is 'Management companies, and the communities that manage themselves.';
comment on column public.organizations.name is 'What people call it.';
comment on column public.organizations.slug is 'Short name in URLs; unique among live organizations.';
comment on column public.organizations.legal_name is 'Registered name, where it differs from the name people use.';
comment on column public.organizations.tax_number is 'Tax or company registration number, as the country writes it.';
comment on column public.organizations.country_code is 'ISO 3166-1 alpha-2.';

select app.track('public.organizations');

create policy organizations_select on public.organizations for select to authenticated
  using (
    id = any ((select app.my_organizations())::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and id in (select app.organizations_with('organizations.archive'))))
  );
create policy organizations_update on public.organizations for update to authenticated
  using (id in (select app.organizations_with('organizations.update')) and deleted_at is null)
  with check (id in (select app.organizations_with('organizations.update')));

grant select, update (name, slug, legal_name, tax_number, country_code) on public.organizations to authenticated;
grant select, insert, update on public.organizations to service_role;

create function app.tg_organizations__access()
returns trigger
language plpgsql
security definer -- finds everybody who has a role in the organization
set search_path = ''
as $$
begin
  perform app.bump_access(array(select m.user_id from public.memberships m where m.organization_id = new.id));
  return null;
end;
$$;

comment on function app.tg_organizations__access() is 'AFTER an organization is archived or restored: its members'' tokens go stale. Definer: reads memberships.';

create trigger _500_access after update of deleted_at on public.organizations for each row
  when (old.deleted_at is distinct from new.deleted_at) execute function app.tg_organizations__access();

-- Communities --------------------------------------------------------------------------------------------------------

create table public.communities (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  slug text not null,
  organization_id uuid not null,
  legal_name text,
  tax_number text,
  address text,
  city text,
  postal_code text,
  country_code text not null,
  currency_code text not null,
  time_zone text not null,
  locale text not null default 'en',
  ideal_parts_total numeric(14, 6) not null default 100,
  like app.row_model including defaults including comments,
  constraint communities_pkey primary key (id),
  constraint communities_organization_fkey foreign key (organization_id) references public.organizations (id) on delete restrict,
  constraint communities_organization_id_key unique (organization_id, id),
  -- What the books of a community are kept in (topic books) refers to it: a currency that is used stays.
  constraint communities_currency_key unique (id, currency_code),
  constraint communities_slug_key unique nulls not distinct (slug, deleted_at),
  constraint communities_name_check check (app.is_name(name)),
  constraint communities_slug_check check (app.is_slug(slug)),
  constraint communities_legal_name_check check (app.is_name(legal_name)),
  constraint communities_tax_number_check check (length(tax_number) between 2 and 40),
  constraint communities_address_check check (length(address) <= 500),
  constraint communities_city_check check (app.is_name(city)),
  constraint communities_postal_code_check check (length(postal_code) <= 20),
  constraint communities_country_code_check check (country_code ~ '^[A-Z]{2}$'),
  constraint communities_currency_code_check check (currency_code ~ '^[A-Z]{3}$'),
  constraint communities_time_zone_check check (app.is_time_zone(time_zone)),
  constraint communities_locale_check check (app.is_locale(locale)),
  constraint communities_ideal_parts_total_check check (ideal_parts_total > 0)
);

comment on table public.communities is 'The residential communities: condominiums, apartment buildings, gated villages, HOAs. Every row of a community names it in community_id.';
comment on column public.communities.organization_id is 'Who runs it: a management company, or the community''s own organization.';
comment on column public.communities.name is 'What people call it.';
comment on column public.communities.slug is 'Short name in URLs and on the command line; unique among live communities.';
comment on column public.communities.legal_name is 'Registered name, where it differs.';
comment on column public.communities.tax_number is 'Its own tax or registration number (BULSTAT, RFC, PAN), as the country writes it.';
comment on column public.communities.address is 'Street and number.';
comment on column public.communities.city is 'City or town.';
comment on column public.communities.postal_code is 'As the country writes it.';
comment on column public.communities.country_code is 'ISO 3166-1 alpha-2.';
comment on column public.communities.currency_code is 'ISO 4217; the one currency of its books.';
comment on column public.communities.time_zone is 'IANA zone in which its days begin and end, such as Europe/Sofia.';
comment on column public.communities.locale is 'Language of its notices (BCP 47).';
comment on column public.communities.ideal_parts_total is 'What the units'' ideal parts (coefficients, undivided shares) sum to: 100 for percent, 1000 for per mille, or the number in the deed.';

select app.track('public.communities');

create policy communities_select on public.communities for select to authenticated
  using (
    id = any ((select app.communities_where('communities.read'))::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and id in (select app.communities_with('communities.archive'))))
  );
create policy communities_update on public.communities for update to authenticated
  using (id = any ((select app.communities_where('communities.update'))::uuid[]) and deleted_at is null)
  with check (id = any ((select app.communities_where('communities.update'))::uuid[]));

grant select, update (name, slug, legal_name, tax_number, address, city, postal_code, locale, time_zone, ideal_parts_total) on public.communities to authenticated;
grant select, insert, update on public.communities to service_role;

create function app.tg_communities__access()
returns trigger
language plpgsql
security definer -- finds everybody who has a role in the community
set search_path = ''
as $$
begin
  perform app.bump_access(array(
    select m.user_id from public.memberships m where m.community_id = new.id
    union
    select re.user_id from public.residents re where re.community_id = new.id and re.user_id is not null
  ));
  return null;
end;
$$;

comment on function app.tg_communities__access() is
  'AFTER UPDATE of the time zone or of archiving: both change what its people may do and until when. Definer: reads memberships and residents.';

create trigger _500_access after update of deleted_at, time_zone on public.communities for each row
  when (old.deleted_at is distinct from new.deleted_at or old.time_zone is distinct from new.time_zone)
  execute function app.tg_communities__access();

-- All of them, for whoever reaches all ---------------------------------------------------------------------------------

create table private.all_communities (
  is_all boolean not null default true,
  ids uuid[] not null,
  constraint all_communities_pkey primary key (is_all),
  constraint all_communities_is_all_check check (is_all)
);

alter table private.all_communities alter column ids set storage external;

comment on table private.all_communities is 'One row: the ids of all communities, archived ones included. The gate of a role on the site, which would else be collected for every statement.';
comment on column private.all_communities.is_all is 'True: there is one row.';
comment on column private.all_communities.ids is 'Kept by triggers of public.communities.';

alter table private.all_communities enable row level security;
create policy all_communities_select on private.all_communities for select to authenticated using (false);

insert into private.all_communities (ids) values ('{}');

create function app.tg_communities__all()
returns trigger
language plpgsql
security definer -- writes private.all_communities
set search_path = ''
as $$
begin
  -- From the row as it is once it is ours, and not from the table, which does not show what another transaction is adding.
  if tg_op = 'INSERT' then
    update private.all_communities a set ids = a.ids || array(select n.id from new_rows n);
  elsif tg_op = 'DELETE' then
    update private.all_communities a set ids = array(select i from unnest(a.ids) i where i not in (select o.id from old_rows o));
  end if;
  perform app.renew_access_version('communities');
  return null;
end;
$$;

comment on function app.tg_communities__all() is 'AFTER INSERT, DELETE OR UPDATE of the organization: keeps the list of all communities, and forgets what is kept of it for sessions; who adds one waits for who is adding another. Definer: writes private.all_communities.';

create trigger _500_all_insert after insert on public.communities
  referencing new table as new_rows for each statement execute function app.tg_communities__all();
create trigger _500_all_delete after delete on public.communities
  referencing old table as old_rows for each statement execute function app.tg_communities__all();
create trigger _500_all_moved after update of organization_id on public.communities for each statement execute function app.tg_communities__all();

-- What policies ask first --------------------------------------------------------------------------------------------
-- Views and no functions: they become a part of the plan of the statement, which is looked up as a key is and calls nothing. Every function
-- in them, and every node of their plans, is made ready for each statement, used or not; hence current_timestamp, which is none. What is
-- kept for the session answers nearly always. Not for the API: app is not exposed, and they show a caller nothing but the caller's own.

create view app.gate as
-- Flat, where it is long: else whoever compares row by row unpacks it for each. Last of all, because every step hands on a copy.
select coalesce(
  (
    select coalesce(k.communities, (select l.ids from private.all_communities l))
    from private.session_access k
    -- The claims of the role that all policies are for; whom else to believe, my_communities knows. In a query of its own, to be read once,
    -- and in one within, to be parsed once for both.
    where (k.session_key, k.user_id::text) = (
        select c.claims ->> 'session_id', c.claims ->> 'sub'
        from (select nullif(current_setting('request.jwt.claims', true), '')::jsonb as claims offset 0) c
        where current_user = 'authenticated')
      and k.stale_at > current_timestamp
  ),
  app.my_communities()
) || '{}' as communities;

comment on view app.gate is
  'One row: the communities the caller has to do with, as app.my_communities says, which is called only where nothing is kept for the session. The gate of every policy, always an index condition; not a permission.';
comment on column app.gate.communities is 'The ids of the communities, archived ones included.';

create view app.held_everywhere as
select k.held_everywhere as permissions
from private.session_access k
-- As json, which is faster where one claim is read and not two.
where k.session_key = (select nullif(current_setting('request.jwt.claims', true), '')::json ->> 'session_id')
  and k.stale_at > current_timestamp;

comment on view app.held_everywhere is
  'At most one row: the permissions that the caller is known to hold in every community of app.gate, so that a policy need not make a set of them. What is in it is sure; what is not, communities_with is asked. '
  'Only beside the gate, which asks whose session it is and whether the claims are to be believed.';
comment on column app.held_everywhere.permissions is 'The keys of the permissions.';

grant select on app.gate, app.held_everywhere to authenticated;

-- Making them --------------------------------------------------------------------------------------------------------

create function app.create_organization(name text, slug text, country_code text)
returns uuid
language plpgsql
volatile
security definer -- a new row is in nobody's access yet, so RLS could not return it
set search_path = ''
as $$
declare
  made uuid;
  refused text;
begin
  if not app.is_trusted() and not app.can_on_site('organizations.create') then
    perform app.refuse('organizations.create');
  end if;
  insert into public.organizations (name, slug, country_code)
  values (create_organization.name, create_organization.slug, create_organization.country_code)
  on conflict do nothing
  returning id into made;
  if made is null then
    perform app.fail(409, 'slug_taken', format('Another organization is called %s.', slug), 'Choose another slug.');
  end if;
  return made;
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('organizations', refused);
  when not_null_violation then
    get stacked diagnostics refused = column_name;
    perform app.fail(422, 'invalid_value', format('The value of %s is missing.', refused));
end;
$$;

comment on function app.create_organization(text, text, text) is 'What public.create_organization does. Definer: RLS cannot return a row nobody has access to yet.';

create function public.create_organization(name text, slug text, country_code text)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.create_organization(name, slug, country_code) $$;

comment on function public.create_organization(text, text, text) is
  'Makes an organization and returns its id; takes organizations.create on the site. Errors: permission_denied, slug_taken, invalid_value.';

create function app.create_community(
  organization_id uuid, name text, slug text, country_code text, currency_code text, time_zone text, locale text, ideal_parts_total numeric
)
returns uuid
language plpgsql
volatile
security definer -- a new row is in nobody's access yet, so RLS could not return it
set search_path = ''
as $$
declare
  made uuid;
  refused text;
begin
  if not app.is_trusted() and (create_community.organization_id in (select app.organizations_with('communities.create'))) is not true then
    perform app.refuse('communities.create', create_community.organization_id);
  end if;
  insert into public.communities (organization_id, name, slug, country_code, currency_code, time_zone, locale, ideal_parts_total)
  select o.id, create_community.name, create_community.slug, create_community.country_code, create_community.currency_code,
    create_community.time_zone, create_community.locale, create_community.ideal_parts_total
  from public.organizations o
  where o.id = create_community.organization_id and o.deleted_at is null
  for share
  on conflict do nothing
  returning id into made;
  if made is null and not exists (select from public.organizations o where o.id = create_community.organization_id and o.deleted_at is null) then
    perform app.fail(404, 'organization_not_found', 'There is no live organization with this id.');
  elsif made is null then
    perform app.fail(409, 'slug_taken', format('Another community is called %s.', slug), 'Choose another slug.');
  end if;
  return made;
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('communities', refused);
  when not_null_violation then
    get stacked diagnostics refused = column_name;
    perform app.fail(422, 'invalid_value', format('The value of %s is missing.', refused));
end;
$$;

comment on function app.create_community(uuid, text, text, text, text, text, text, numeric) is
  'What public.create_community does. Definer: RLS cannot return a row nobody has access to yet.';

create function public.create_community(
  organization_id uuid, name text, slug text, country_code text, currency_code text, time_zone text,
  locale text default 'en', ideal_parts_total numeric default 100
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.create_community(organization_id, name, slug, country_code, currency_code, time_zone, locale, ideal_parts_total) $$;

comment on function public.create_community(uuid, text, text, text, text, text, text, numeric) is
  'Makes a community in an organization and returns its id; takes communities.create there. Errors: permission_denied, organization_not_found, slug_taken, invalid_value.';

grant execute on function
  app.create_organization(text, text, text), public.create_organization(text, text, text),
  app.create_community(uuid, text, text, text, text, text, text, numeric), public.create_community(uuid, text, text, text, text, text, text, numeric)
to authenticated, service_role;
