-- Foundation: who the caller is, and what is known of their access.
--
-- Purpose     The caller of a request, their session, and their roles: as last computed, as the token tells, or as the tables have
--             them. The helpers that policies ask stand on it (topic permissions).
-- Tables      private.user_access (each user's live version, and the access known for one), private.session_access (the same as policies ask
--             for it, by the session of the token), private.access_versions (what else that was made from)
-- Invariants  What is known of a user's access is used only while (1) it was computed for the live version and (2) no date has
--             changed the access since. So are the claims in a token, unless something was left out of them (`truncated`). In
--             every other case, a missing hook included, the tables are read. It makes things fast; it cannot make them wrong.
--             What is not a plain role (a single permission, a restricted membership) is in neither: they only say that
--             there is some (`extras`), and it is looked up.
--             What is known is written under the row's lock, by a statement that sees all that was committed before the lock
--             was had; whatever changes a user's access raises the version afterwards. So nothing old is ever taken for new.
--             What is kept for a session goes with it, and with the user's version, in the transaction that ends either; and so with the
--             version of what roles hold, and of the list of communities, as far as it was made from them. So a row that is there is true.
--             A user whose account is not active has no access, whatever the token says; nor has a token whose session in Auth is
--             gone: signed out, ended or expired. Where an assurance level is required (topic assurance), a permission is not
--             held without it.
--
-- The functions read tables of the topics tenancy, roles, assurance and property, which come later: PL/pgSQL binds names when it
-- runs.
-- Claims, in `app_metadata`:
--   {"access_version": 1767225600000000, "valid_until": "2026-12-31T00:00:00+00:00", "site_roles": ["superadmin"],
--    "organizations": {"<id>": ["admin"]}, "communities": {"<id>": ["manager", "owner"]}}

create type public.access_level as enum ('site', 'organization', 'community', 'unit');

create table private.user_access (
  user_id uuid not null,
  version bigint not null default (date_part('epoch', clock_timestamp()) * 1000000)::bigint,
  known_version bigint,
  stale_at timestamptz,
  access jsonb,
  communities uuid[],
  site_roles text[],
  organization_roles text[],
  community_roles text[],
  constraint user_access_pkey primary key (user_id),
  constraint user_access_user_fkey foreign key (user_id) references auth.users (id) on delete cascade
);

-- Read by every statement: not to be packed and unpacked.
alter table private.user_access alter column communities set storage external;

comment on table private.user_access is
  'The live version of each user''s access, and the access itself as it was last computed: by app.refresh_access, when a token is minted. A token of another version is not believed, nor is what is known for another version used.';
comment on column private.user_access.user_id is 'The user.';
comment on column private.user_access.version is
  'Grows with every change. Begins with the time in microseconds, so that a database restored from a backup does not hand out a version twice.';
comment on column private.user_access.known_version is 'The version that the columns beneath were computed for; with any other than the live one they are not used.';
comment on column private.user_access.stale_at is 'From this moment on it is not used: a date changes the access, or half a day has passed since it was computed.';
comment on column private.user_access.access is 'What app.compute_access said.';
comment on column private.user_access.communities is 'The communities in which the user has roles; null for whoever has others besides, by an organization or by what is not a plain role.';
comment on column private.user_access.site_roles is 'The roles on the site; null: none.';
comment on column private.user_access.organization_roles is 'The roles held in every organization in which the user has any; null: there is no such organization.';
comment on column private.user_access.community_roles is
  'The roles held in every community in which the user has any; null: there is no such community. Empty for whoever has more than plain roles.';

alter table private.user_access enable row level security;
create policy user_access_select on private.user_access for select to authenticated using (false);

create table private.access_versions (
  version bigint not null generated always as identity,
  source text not null,
  constraint access_versions_pkey primary key (version),
  constraint access_versions_source_key unique (source),
  constraint access_versions_source_check check (source in ('communities', 'holders'))
);

comment on table private.access_versions is
  'What is kept for sessions was made from two things that belong to no user; here is the version of each. A change takes the row and everything that refers to it (app.renew_access_version), so that whoever reads what is kept need not compare.';
comment on column private.access_versions.version is 'Never used twice.';
comment on column private.access_versions.source is
  'communities: which there are, and of which organization. holders: which system roles hold a permission, and for which of these a second factor is asked (private.permission_holders).';

alter table private.access_versions enable row level security;
create policy access_versions_select on private.access_versions for select to authenticated using (false);

insert into private.access_versions (source) values ('communities'), ('holders');

create function app.renew_access_version(source text)
returns void
language plpgsql
volatile
security definer -- nobody else may write private.access_versions
set search_path = ''
as $$
declare
  ended bigint;
begin
  -- One at a time; the statements after this one see what the one before has made.
  perform from private.all_communities for no key update;
  -- Waits for whoever is minting a token by the version; who comes later does not wait, and keeps nothing (app.remember_session).
  select v.version into ended from private.access_versions v where v.source = renew_access_version.source for update;
  -- What goes with it, in the order in which app.bump_access locks it.
  perform from private.session_access k where k.holders_version = ended or k.communities_version = ended order by k.session_id for update;
  delete from private.access_versions v where v.version = ended;
  insert into private.access_versions (source) values (renew_access_version.source);
end;
$$;

comment on function app.renew_access_version(text) is
  'A new version of that source, and nothing kept any more that was made from the one before. Called by triggers; locks the row of private.all_communities and then that of the version. Definer: nobody else may write private.access_versions.';

create table private.session_access (
  session_id uuid not null,
  session_key text collate "C" not null generated always as (session_id::text) stored,
  user_id uuid not null,
  stale_at timestamptz not null,
  communities uuid[],
  communities_version bigint,
  held_everywhere text[] not null,
  holders_version bigint not null,
  constraint session_access_pkey primary key (session_id),
  constraint session_access_session_fkey foreign key (session_id) references auth.sessions (id) on delete cascade,
  constraint session_access_user_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint session_access_communities_version_fkey foreign key (communities_version) references private.access_versions (version) on delete cascade,
  constraint session_access_holders_version_fkey foreign key (holders_version) references private.access_versions (version) on delete cascade
) with (toast_tuple_target = 8160);

create index session_access_user_idx on private.session_access (user_id);
create index session_access_communities_version_idx on private.session_access (communities_version) where communities_version is not null;
create index session_access_holders_version_idx on private.session_access (holders_version);

-- One for each session, as the id is. By hash: a scan of a B-tree keeps 27 kB while it lasts, and there are two in every statement.
create index session_access_key_idx on private.session_access using hash (session_key);

-- Read by every statement, as above; rows stay whole as long as a page holds them.
alter table private.session_access alter column communities set storage external;

comment on table private.session_access is
  'What policies ask first, by the session that a token names, so that one row answers whether it lives, whose it is and what is held. Written by app.remember_session when a token is minted; goes with the session, with the user''s live version, and with the versions of what else it was made from.';
comment on column private.session_access.session_id is 'The session in Auth.';
comment on column private.session_access.session_key is 'The same as a token has it: found without asking whether the text is an id.';
comment on column private.session_access.user_id is 'The user whose session it is.';
comment on column private.session_access.stale_at is 'From this moment on the row is not used: what is known of the user is stale, or the session has expired.';
comment on column private.session_access.communities is 'The gate, my_communities; null: all there are (private.all_communities).';
comment on column private.session_access.communities_version is 'The version of the list of all communities that the gate was made from; the row goes with it. Null: it does not depend on it.';
comment on column private.session_access.held_everywhere is 'The permissions that are held in every community of the gate, and in no other.';
comment on column private.session_access.holders_version is 'The version of private.permission_holders that the row was made from; the row goes with it.';

alter table private.session_access enable row level security;
create policy session_access_select on private.session_access for select to authenticated using (false);

create function app.bump_access(users uuid[])
returns void
language plpgsql
volatile
security definer -- nobody else may write private.user_access
set search_path = ''
as $$
begin
  perform from private.user_access a where a.user_id = any (users) order by a.user_id for no key update;
  update private.user_access a
  set version = greatest(a.version + 1, (date_part('epoch', clock_timestamp()) * 1000000)::bigint)
  where a.user_id = any (users);
  perform from private.session_access k where k.user_id = any (users) order by k.session_id for update;
  delete from private.session_access k where k.user_id = any (users);
end;
$$;

comment on function app.bump_access(uuid[]) is
  'Makes the tokens of these users stale from the commit on, and forgets what is kept for their sessions. Called by the triggers of every table that access is computed from; rows are locked in order of id. Definer: nobody else may write private.user_access.';

-- Whose access -------------------------------------------------------------------------------------------------------

create function app.session_is_live(claims jsonb)
returns boolean
language plpgsql
stable
security definer -- reads Auth's sessions
set search_path = ''
as $$
declare
  session constant text := claims ->> 'session_id';
begin
  if session is null then
    -- Nothing tells whether such a token was taken back. Looked up directly, because these tokens ask with every helper.
    return claims -> 'on_behalf' is not null or not exists (
      select from public.setting_values v
      where v.key = 'security.require_session' and v.organization_id is null and v.community_id is null and v.deleted_at is null and v.value = 'true');
  end if;
  return pg_input_is_valid(session, 'uuid') and exists (
    select from auth.sessions s
    where s.id = session::uuid and s.user_id = (claims ->> 'sub')::uuid and (s.not_after is null or s.not_after > now()));
end;
$$;

comment on function app.session_is_live(jsonb) is
  'Whether the session that a token names still exists in Auth, is this user''s and has not expired. A token without a session_id (third-party auth) counts, because nothing could tell '
  'otherwise, unless the setting security.require_session refuses it. The claim on_behalf marks a question that the database asks itself about a user; Auth issues no such token. '
  'The two helpers that every statement calls look the session up in a query of their own, which costs a tenth of this call. Definer: reads auth.sessions; not executable by API roles.';

create function app.user_id()
returns uuid
language plpgsql
stable
security definer -- reads the account's status, which the caller may be unable to see
set search_path = ''
as $$
declare
  -- app.believes_claims(), written out.
  claims constant jsonb := case when current_setting('role') in ('authenticated', 'anon', 'service_role') or pg_has_role(session_user, 'postgres', 'member')
    then nullif(current_setting('request.jwt.claims', true), '')::jsonb end;
  caller constant uuid := claims ->> 'sub';
  session constant text := claims ->> 'session_id';
  is_live boolean;
begin
  -- A query for each: one for both would be planned anew at every call.
  if session is null then
    is_live := exists (select from public.profiles p where p.id = caller and p.status = 'active') and app.session_is_live(claims);
  else
    is_live := exists (
      select
      from public.profiles p
      join auth.sessions s on s.user_id = p.id
      where p.id = caller and p.status = 'active'
        and s.id = case when pg_input_is_valid(session, 'uuid') then session::uuid end and (s.not_after is null or s.not_after > now()));
  end if;
  return case when is_live then caller end;
end;
$$;

comment on function app.user_id() is
  'The caller, if the account is active and the session live, else null. Policies on a user''s own rows ask this and not auth.uid(), so that a banned user and an ended session are out on the next statement. '
  'Definer: reads profiles.status.';

create function app.compute_access(subject uuid)
returns jsonb
language plpgsql
stable
security definer -- reads memberships and occupancies of any user
set search_path = ''
as $$
declare
  result jsonb;
begin
  if not exists (select from public.profiles p where p.id = subject and p.status = 'active') then
    return '{"site_roles": [], "organizations": {}, "communities": {}, "valid_until": "infinity"}';
  end if;

  with held as materialized (
    select m.organization_id, m.community_id, r.key as role_key, m.starts_at, coalesce(m.ends_at, 'infinity') as ends_at
    from public.memberships m
    join public.roles r on r.id = m.role_id
    left join public.communities c on c.id = m.community_id
    left join public.organizations o on o.id = m.organization_id
    where m.user_id = subject and m.restriction is null and m.deleted_at is null and r.deleted_at is null
      and c.deleted_at is null and o.deleted_at is null
      and coalesce(m.ends_at, 'infinity') > now()
    union all
    select null, c.id, oc.role::text,
      oc.starts_on::timestamp at time zone c.time_zone, coalesce((oc.ends_on + 1)::timestamp at time zone c.time_zone, 'infinity')
    from public.residents re
    join public.occupancies oc on oc.community_id = re.community_id and oc.resident_id = re.id
    join public.communities c on c.id = re.community_id
    where re.user_id = subject and re.deleted_at is null and re.onboarding <> 'suspended' and oc.deleted_at is null and c.deleted_at is null
      and coalesce((oc.ends_on + 1)::timestamp at time zone c.time_zone, 'infinity') > now()
  ),
  current_roles as (
    select distinct organization_id, community_id, role_key from held where starts_at <= now()
  )
  select jsonb_build_object(
    'site_roles', coalesce((
      select jsonb_agg(role_key order by role_key) from current_roles where organization_id is null and community_id is null), '[]'),
    'organizations', coalesce((
      select jsonb_object_agg(g.organization_id, g.keys)
      from (select organization_id, jsonb_agg(role_key order by role_key) as keys from current_roles where organization_id is not null group by 1) g), '{}'),
    'communities', coalesce((
      select jsonb_object_agg(g.community_id, g.keys)
      from (select community_id, jsonb_agg(role_key order by role_key) as keys from current_roles where community_id is not null group by 1) g), '{}'),
    'valid_until', coalesce((
      select min(t.moment) from held cross join lateral (values (starts_at), (ends_at)) t (moment) where t.moment > now()), 'infinity')
  ) into result;
  if app.has_extras(subject) then
    result := result || '{"extras": true}';
  end if;
  return result;
end;
$$;

comment on function app.compute_access(uuid) is
  'A user''s roles on the site, in organizations and in communities as the tables have them now, and the next moment at which a date changes them. Shape: the claims. Definer: reads other people''s memberships; not executable by API roles.';

create function app.refresh_access(subject uuid)
returns jsonb
language plpgsql
volatile
security definer -- nobody else may write private.user_access
set search_path = ''
as $$
declare
  live bigint;
  told jsonb;
  is_plain boolean;
begin
  -- Who changes somebody's access holds this row until the end: then there is nothing to compute yet, and signing in waits for nobody.
  select a.version into live from private.user_access a where a.user_id = subject for no key update skip locked;
  if live is null then
    return null;
  end if;
  -- A statement of its own: it sees whatever was committed until the row was ours.
  told := app.compute_access(subject);
  is_plain := not told ? 'extras';
  update private.user_access a
  set known_version = live,
    stale_at = least((told ->> 'valid_until')::timestamptz, now() + interval '12 hours'),
    access = told,
    communities = case when is_plain and told -> 'organizations' = '{}' then array(select k::uuid from jsonb_object_keys(told -> 'communities') k) end,
    site_roles = nullif(array(select jsonb_array_elements_text(told -> 'site_roles')), '{}'),
    organization_roles = case when told -> 'organizations' <> '{}' then app.common_roles(told -> 'organizations') end,
    community_roles = case when not is_plain then '{}' when told -> 'communities' <> '{}' then app.common_roles(told -> 'communities') end
  where a.user_id = subject;
  return told || jsonb_build_object('access_version', live);
end;
$$;

comment on function app.refresh_access(uuid) is
  'Computes a user''s access and keeps it for the helpers of policies; returns it, with its version, or null where another transaction has the row. Called when a token is minted. Definer: nobody else may write private.user_access; not executable by API roles.';

create function app.remember_session(subject uuid, session text)
returns void
language plpgsql
volatile
security definer -- nobody else may write private.session_access
set search_path = ''
as $$
declare
  of_holders bigint;
  of_communities bigint;
begin
  if not pg_input_is_valid(session, 'uuid') then
    return;
  end if;
  -- Whoever changes what roles hold, or the list of communities, has taken the version already or waits for us; the statement after these
  -- sees whatever was committed before.
  select v.version into of_holders from private.access_versions v where v.source = 'holders' for key share skip locked;
  if of_holders is null then
    return;
  end if;
  select v.version into of_communities from private.access_versions v where v.source = 'communities' for key share skip locked;
  -- One statement, and so one moment: what is known, who holds what, and which communities there are.
  insert into private.session_access (session_id, user_id, stale_at, communities, communities_version, held_everywhere, holders_version)
  select s.id, a.user_id, least(a.stale_at, s.not_after),
    case
      when w.reaches_all then null
      when w.is_of_organizations then array(
        select c.id from public.communities c where c.organization_id in (select o::uuid from jsonb_object_keys(a.access -> 'organizations') o)
        union
        select c::uuid from jsonb_object_keys(a.access -> 'communities') c)
      else a.communities
    end,
    case when w.is_of_organizations and not w.reaches_all then of_communities end,
    array(
      select h.permission_key
      from private.permission_holders h
      where not h.is_assured and case
        -- By a role on the site it is held in all communities: not only in those of the gate, if these are not all.
        when a.site_roles && h.site_roles then w.reaches_all
        else (a.community_roles is not null or a.organization_roles is not null)
          and coalesce(a.community_roles && h.community_roles, true)
          and coalesce(a.organization_roles && h.organization_roles, true)
      end),
    of_holders
  from private.user_access a
  join auth.sessions s on s.user_id = a.user_id
  cross join lateral (
    select a.access -> 'organizations' <> '{}' as is_of_organizations,
      exists (select from private.permission_holders h where h.permission_key = 'communities.read' and a.site_roles && h.site_roles) as reaches_all
  ) w
  where a.user_id = subject and a.known_version = a.version and s.id = session::uuid and (w.reaches_all or not a.access ? 'extras')
    and (w.reaches_all or not w.is_of_organizations or of_communities is not null)
  for share of s skip locked
  on conflict on constraint session_access_pkey do update
  set stale_at = excluded.stale_at, communities = excluded.communities, communities_version = excluded.communities_version,
    held_everywhere = excluded.held_everywhere, holders_version = excluded.holders_version;
end;
$$;

comment on function app.remember_session(uuid, text) is
  'Keeps what app.refresh_access has just found, under its lock, for the session of the token that is being minted; nothing for a session that another transaction is ending, nor while one changes what it is made from, nor for whoever has more than plain roles: '
  'that depends on the hour. Definer: nobody else may write private.session_access; not executable by API roles.';

create function app.tg_sessions__access()
returns trigger
language plpgsql
security definer -- Auth's role may not write private.session_access
set search_path = ''
as $$
begin
  delete from private.session_access k where k.session_id = new.id;
  return null;
end;
$$;

comment on function app.tg_sessions__access() is 'AFTER UPDATE of a session''s end: forgets what is kept for the session, with the end that it had. Definer: writes private.session_access.';

create trigger _500_vicinia_access after update of not_after, user_id on auth.sessions for each row
  when (old.not_after is distinct from new.not_after or old.user_id <> new.user_id) execute function app.tg_sessions__access();

create function app.common_roles(places jsonb)
returns text[]
language sql
immutable
set search_path = ''
begin atomic
  select coalesce(array_agg(r.role_key order by r.role_key), '{}')
  from (
    select k as role_key
    from jsonb_each(places) p cross join lateral jsonb_array_elements_text(p.value) k
    group by 1
    having count(*) = (select count(*) from jsonb_object_keys(places))
  ) r;
end;

comment on function app.common_roles(jsonb) is 'Of {"<place>": ["<role>", …], …}: the roles that are held in every place.';

create function app.access()
returns jsonb
language plpgsql
stable
security definer -- reads private.user_access
set search_path = ''
as $$
declare
  -- app.believes_claims(), written out.
  claims constant jsonb := case when current_setting('role') in ('authenticated', 'anon', 'service_role') or pg_has_role(session_user, 'postgres', 'member')
    then nullif(current_setting('request.jwt.claims', true), '')::jsonb end;
  told constant jsonb := claims -> 'app_metadata';
  caller constant uuid := claims ->> 'sub';
  session constant text := claims ->> 'session_id';
  live bigint;
  is_live boolean;
  is_asked boolean;
  result jsonb;
begin
  select
    a.version,
    case when a.known_version = a.version and now() < a.stale_at then a.access end,
    exists (
      select from auth.sessions s
      where s.id = case when pg_input_is_valid(session, 'uuid') then session::uuid end and s.user_id = caller and (s.not_after is null or s.not_after > now())),
    exists (select from public.assurance_requirements)
  into live, result, is_live, is_asked
  from (values (caller)) c (id)
  left join private.user_access a on a.user_id = c.id;

  if session is null then
    is_live := app.session_is_live(claims);
  end if;
  if not is_live then
    return app.compute_access(null);
  end if;

  if result is null then
    if live = (told ->> 'access_version')::bigint and now() < (told ->> 'valid_until')::timestamptz and told -> 'truncated' is null then
      result := told;
    else
      result := app.compute_access(caller);
    end if;
  end if;
  if is_asked and not app.is_assured() then
    result := result || '{"unassured": true}';
  end if;
  return result;
end;
$$;

comment on function app.access() is
  'The caller''s roles: as they are known, or from the token, while either can be believed, else from the tables; none once the session is gone. "unassured" stands beside them for a caller without a second factor while anybody on the site asks for one. Definer: reads the live version; not executable by API roles, who ask the helpers below.';

-- How sure Auth is of the caller -------------------------------------------------------------------------------------

create function app.is_assured()
returns boolean
language plpgsql
stable
security definer -- reads Auth's sessions
set search_path = ''
as $$
declare
  claims constant jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
begin
  if coalesce(claims ->> 'aal', '') not in ('aal2', 'aal3') then
    return false;
  elsif claims ->> 'session_id' is null then
    return true;
  end if;
  -- The session too, because a second factor that was removed lowers it at once, and the token only when it is renewed.
  return exists (select from auth.sessions s where s.id = (claims ->> 'session_id')::uuid and s.aal::text in ('aal2', 'aal3'));
end;
$$;

comment on function app.is_assured() is
  'Whether the caller has proved a second factor (aal2) in this session: the token says so and the session, where it names one, still does. Definer: reads auth.sessions.';

create function app.assurance_lacking(permission text)
returns uuid[]
language plpgsql
stable
security definer -- reads requirements of every organization
set search_path = ''
as $$
begin
  if app.is_assured() then
    return null;
  end if;
  return (select array_agg(q.organization_id) from public.assurance_requirements q where q.permission_key = permission);
end;
$$;

comment on function app.assurance_lacking(text) is
  'The organizations that ask for aal2 for the permission while the caller has not got it; null among them stands for the whole site. Null for almost everybody: nothing is required, or it is there. '
  'Definer: reads assurance_requirements; not executable by API roles.';

-- Before every request -----------------------------------------------------------------------------------------------

create function app.pre_request()
returns void
language plpgsql
stable
security definer -- reads the account's status
set search_path = ''
as $$
declare
  headers constant text := current_setting('request.headers', true);
  claims jsonb;
  caller_status text;
begin
  if current_setting('role') <> 'authenticated' then
    return;
  end if;
  claims := nullif(current_setting('request.jwt.claims', true), '');
  select p.status::text into caller_status from public.profiles p where p.id = (claims ->> 'sub')::uuid;
  if caller_status is null then
    perform app.fail(401, 'account_unknown', 'The account of this token no longer exists.');
  elsif caller_status <> 'active' then
    perform app.fail(403, 'account_' || caller_status, format('This account is %s.', caller_status), 'Ask the administrator of the site.');
  elsif not app.session_is_live(claims) then
    if claims ->> 'session_id' is null then
      perform app.fail(401, 'session_required', 'This token belongs to no session, and this site takes only tokens that do.');
    end if;
    perform app.fail(401, 'session_ended', 'The session of this token was ended, signed out, or has expired.', 'Sign in again.');
  -- Policies do not hide what the planner estimates: its statistics are of everybody's rows.
  elsif strpos(headers, 'count=') > 0 and headers::jsonb ->> 'prefer' ~ 'count=(planned|estimated)' then
    perform app.fail(403, 'count_refused', 'An estimate would tell of rows that are not the caller''s to see.', 'Ask for count=exact.');
  end if;
end;
$$;

comment on function app.pre_request() is
  'Runs before every API request (db_pre_request) and tells a user whose account is not active, or whose session has ended, so, instead of answering with empty lists. The policies hold without it. '
  'Refuses counts that are estimates, which no policy can. Definer: reads profiles.status.';

grant execute on function app.pre_request() to anon, authenticated, service_role;

alter role authenticator set pgrst.db_pre_request = 'app.pre_request';
notify pgrst, 'reload config';

-- The access token hook ----------------------------------------------------------------------------------------------

create function app.access_token(event jsonb)
returns jsonb
language plpgsql
volatile
security definer -- Auth's own role reads nothing of ours
set search_path = ''
as $$
declare
  most constant integer := 10; -- every statement reads the token
  subject uuid;
  access jsonb;
  told jsonb;
begin
  subject := event ->> 'user_id'; -- here and not above, where no handler would catch what is no id
  if current_setting('transaction_read_only') = 'off' then
    access := app.refresh_access(subject);
    if access is not null then
      perform app.remember_session(subject, event #>> '{claims,session_id}');
    end if;
  end if;
  if access is null then
    access := app.compute_access(subject) || jsonb_build_object(
      'access_version', (select a.version from private.user_access a where a.user_id = subject));
  end if;

  if (select count(*) from jsonb_object_keys(access -> 'communities')) > most then
    -- All or none: a part of them is no use to an app, and the database believes no token that leaves something out.
    access := access || '{"communities": {}, "truncated": true}';
  end if;

  told := coalesce(event #> '{claims,app_metadata}', '{}') - '{access_version,valid_until,site_roles,organizations,communities,truncated,extras}'::text[];
  return jsonb_set(event, '{claims,app_metadata}', told || access);
exception when others then
  -- An error here would block signing in. Without claims the tables are read.
  return event #- '{claims,app_metadata,access_version}';
end;
$$;

comment on function app.access_token(jsonb) is
  'Custom access token hook of Auth: puts the caller''s access into app_metadata, and keeps it (app.refresh_access, app.remember_session). In: {"user_id", "claims", "authentication_method"}; out: the event with claims. '
  'Of more than 10 communities it names none, and is marked truncated. Never raises. Definer: reads memberships and versions.';

grant execute on function app.access_token(jsonb) to supabase_auth_admin;
