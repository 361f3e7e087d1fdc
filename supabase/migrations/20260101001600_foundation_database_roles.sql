-- Foundation: people with SQL.
--
-- Purpose     Logins of the database itself, for whoever reports or repairs with SQL and shall not have the password of postgres.
-- Tables      app.database_logins
-- Roles       vicinia_reporting     reads the rows of one organization; personal details only where the login has been given them
--             vicinia_maintenance   reads and writes the rows of communities, of one organization or of all; deletes nothing
-- RPCs        statement_statistics
-- Invariants  What such a login sees follows from the name with which the session began (session_user) and its row in
--             app.database_logins: neither `set role` nor `set request.jwt.claims` changes it. It is over when the row is gone
--             or its day has come, in open sessions too.
--             Neither role executes an RPC, reads auth, private or audit, or writes what decides who may do what.
--             Neither makes objects, temporary ones included.
--             Its changes are in the audit log as login:<name>.
--
-- Tables come to both roles by app.track, views by a grant beside them. docs/database-roles.md lists every GRANT and REVOKE.

-- The roles ----------------------------------------------------------------------------------------------------------
-- Roles belong to the cluster, not to the database: another database of it may have made them, or be making them now. Who
-- comes second waits for the first at the name's uniqueness, and takes the role as it is.

do $$
declare
  wanted text;
begin
  foreach wanted in array array['vicinia_reporting', 'vicinia_maintenance'] loop
    begin
      if not exists (select from pg_catalog.pg_roles r where r.rolname = wanted) then
        execute format('create role %I nologin', wanted);
      end if;
    exception when duplicate_object or unique_violation then
      null;
    end;
  end loop;
end;
$$;

grant usage on schema public to vicinia_reporting, vicinia_maintenance;
grant usage on schema app to vicinia_reporting, vicinia_maintenance;

create function app.close_temporary_schema()
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  if has_database_privilege('public', current_database(), 'temporary') then
    execute format('revoke temporary on database %I from public', current_database());
    execute format('grant temporary on database %I to %s', current_database(), (
      select string_agg(quote_ident(r.rolname), ', ')
      from pg_catalog.pg_roles r
      where not r.rolsuper and (r.rolname in ('anon', 'authenticated', 'service_role', 'authenticator', 'dashboard_user', 'pgbouncer') or r.rolname like 'supabase\_%')));
  end if;
end;
$$;

comment on function app.close_temporary_schema() is
  'Lets nobody but the owner of the database, Supabase''s own roles and those of the API, which have no SQL of their own, make temporary objects. Names of types are looked up among those first, whatever the search_path: with a type of its own called text '
  'a login would run what it likes in every definer function that says text, as the owner. Called where logins are made too, because a copy of a database does not have its privileges.';

select app.close_temporary_schema();

-- The logins ---------------------------------------------------------------------------------------------------------

create type app.login_purpose as enum ('reporting', 'maintenance');

create table app.database_logins (
  name text not null,
  purpose app.login_purpose not null,
  organization_id uuid,
  is_detailed boolean not null default false,
  ends_at timestamptz,
  made_by text not null default session_user,
  made_at timestamptz not null default now(),
  constraint database_logins_pkey primary key (name),
  constraint database_logins_organization_fkey foreign key (organization_id) references public.organizations (id) on delete cascade,
  constraint database_logins_name_check check (name ~ '^[a-z][a-z0-9_]{2,62}$'),
  constraint database_logins_organization_check check (purpose = 'maintenance' or organization_id is not null)
);

create index database_logins_organization_idx on app.database_logins (organization_id);

comment on table app.database_logins is
  'Logins of the database for people with SQL, and how far each reaches. Made by app.create_reporting_login and app.create_maintenance_login, ended by app.drop_database_login.';
comment on column app.database_logins.name is 'The role that logs in.';
comment on column app.database_logins.purpose is 'reporting: reads. maintenance: reads and writes.';
comment on column app.database_logins.organization_id is 'The organization whose communities it reaches; null: all (maintenance only).';
comment on column app.database_logins.is_detailed is 'Whether a reporting login reads tables with addresses, telephone and identity numbers too.';
comment on column app.database_logins.ends_at is 'From this moment on it sees nothing and cannot log in; null: until dropped.';
comment on column app.database_logins.made_by is 'The database role that made it.';
comment on column app.database_logins.made_at is 'When it was made.';

alter table app.database_logins enable row level security;
create policy database_logins_select on app.database_logins for select to authenticated using (false);

create function app.tg_database_logins__until()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- A role that another has made is that other's to change.
  if exists (select from pg_catalog.pg_roles r where r.rolname = new.name and pg_has_role(r.oid, 'member with admin option')) then
    execute format('alter role %I valid until %L', new.name, coalesce(new.ends_at, 'infinity'));
  end if;
  return null;
end;
$$;

comment on function app.tg_database_logins__until() is 'AFTER UPDATE of ends_at: the password of the login is good until then, and no shorter.';

select app.define_action('DATABASE_LOGIN_MADE', 'Somebody was given a login of the database.');
select app.define_action('DATABASE_LOGIN_CHANGED', 'A login of the database reaches further, less far, or until another day.');
select app.define_action('DATABASE_LOGIN_ENDED', 'A login of the database was ended.');

create function app.tg_database_logins__audit()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  -- The row after the change, and before it.
  told constant jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  former constant jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
begin
  perform app.record_action(
    case tg_op when 'INSERT' then 'DATABASE_LOGIN_MADE' when 'UPDATE' then 'DATABASE_LOGIN_CHANGED' else 'DATABASE_LOGIN_ENDED' end,
    organization => coalesce(told ->> 'organization_id', former ->> 'organization_id')::uuid,
    details => jsonb_strip_nulls(coalesce(told, former)) || case when tg_op = 'UPDATE' then jsonb_build_object('before', jsonb_strip_nulls(former)) else '{}' end);
  return null;
end;
$$;

comment on function app.tg_database_logins__audit() is 'AFTER every change: an entry in the audit log of who may read or write with SQL, for the organization that it reaches, or the site.';

create trigger _900_audit after insert or update or delete on app.database_logins for each row execute function app.tg_database_logins__audit();

create trigger _500_until after update of ends_at on app.database_logins for each row
  when (old.ends_at is distinct from new.ends_at) execute function app.tg_database_logins__until();

-- How far a login reaches --------------------------------------------------------------------------------------------

create function app.reporting_organizations(detailed boolean default false)
returns uuid[]
language plpgsql
stable
security definer -- looks up the login, which may not read app.database_logins
set search_path = ''
as $$
begin
  return array(
    select l.organization_id from app.database_logins l
    where l.name = session_user and l.purpose = 'reporting' and (l.is_detailed or not detailed)
      and (l.ends_at is null or l.ends_at > statement_timestamp()));
end;
$$;

comment on function app.reporting_organizations(boolean) is
  'The organization whose rows the session''s login may read (detailed: personal details too); none for anybody else. Asks session_user, which nobody but a superuser can change. Definer: looks up the login.';

create function app.reporting_communities(detailed boolean default false)
returns uuid[]
language plpgsql
stable
security definer -- finds the communities before the policy on them is decided
set search_path = ''
as $$
begin
  return array(select c.id from public.communities c where c.organization_id = any (app.reporting_organizations(detailed)));
end;
$$;

comment on function app.reporting_communities(boolean) is
  'The communities of that organization. Definer: finds them before the policy on communities is decided.';

create function app.maintained_organizations()
returns uuid[]
language plpgsql
stable
security definer -- looks up the login, which may not read app.database_logins
set search_path = ''
as $$
begin
  return array(
    select o.id
    from app.database_logins l
    join public.organizations o on o.id = l.organization_id or l.organization_id is null
    where l.name = session_user and l.purpose = 'maintenance' and (l.ends_at is null or l.ends_at > statement_timestamp()));
end;
$$;

comment on function app.maintained_organizations() is
  'The organizations whose rows the session''s login maintains; none for anybody else. Definer: looks up the login.';

create function app.maintained_communities()
returns uuid[]
language plpgsql
stable
security definer -- finds the communities before the policy on them is decided
set search_path = ''
as $$
begin
  return array(select c.id from public.communities c where c.organization_id = any (app.maintained_organizations()));
end;
$$;

comment on function app.maintained_communities() is
  'The communities of those organizations. Definer: finds them before the policy on communities is decided.';

grant execute on function app.reporting_organizations(boolean), app.reporting_communities(boolean) to vicinia_reporting;
grant execute on function app.maintained_organizations(), app.maintained_communities() to vicinia_maintenance;

-- What a writing statement runs with the writer's rights: checks and triggers that are no definers, and what they call.
grant execute on function
  extensions.uuidv7(), app.fail(integer, text, text, text), app.fail_check(text, text), app.phone_digits(text), app.actor_id(), app.actor_label(), app.believes_claims(),
  app.check_setting(text, public.setting_level, jsonb), app.require_feature(text, uuid),
  app.feature_enabled(text, uuid), app.feature_states(uuid), app.refuse_erased(uuid[])
to vicinia_maintenance;

-- Tables -------------------------------------------------------------------------------------------------------------

create function app.open_to_database_roles(tracked regclass)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  table_name constant name := (select c.relname from pg_catalog.pg_class c where c.oid = tracked);
  secrets constant text[] := coalesce((
    select convert_from((string_to_array(encode(g.tgargs, 'escape'), '\000'))[3]::bytea, 'UTF8')::text[]
    from pg_catalog.pg_trigger g where g.tgrelid = tracked and g.tgname = '_900_audit_insert'), '{}');
  columns text[];
  is_community boolean;
  -- What the database alone writes (app.keep) is read only, and so is the register of files, which says who reads what is stored.
  is_tracked constant boolean := table_name <> 'files' and exists (select from pg_catalog.pg_trigger g where g.tgrelid = tracked and g.tgname = '_100_touch');
  has_details boolean;
  scope text;
  condition text;
  verbs text := 'select';
  -- Which user a row is about follows from a verified address or an invitation: whoever could write it would see as that person.
  written text := '';
  former record;
  called record;
begin
  if not exists (select from pg_catalog.pg_class c where c.oid = tracked and c.relnamespace = 'public'::regnamespace) then
    return;
  end if;
  select array_agg(a.attname::text order by a.attnum), coalesce(bool_or(a.attname = 'community_id' and a.attnotnull), false)
  into columns, is_community
  from pg_catalog.pg_attribute a where a.attrelid = tracked and a.attnum > 0 and not a.attisdropped;
  -- How to reach a management is no detail, how to reach a person is.
  has_details := secrets <> '{}'
    or (table_name not in ('organizations', 'communities') and exists (select from unnest(columns) c where c ~ '(^|_)(email|phone)(_|$)'));

  -- %1$s stands for the kind of login, %2$s for what its helper is told.
  scope := case
    when table_name = 'organizations' then 'id = any ((select app.%1$s_organizations(%2$s))::uuid[])'
    else (
      select string_agg(format('%I = any ((select app.%%1$s_%s(%%2$s))::uuid[])', s.column_name, s.helper), ' or ' order by s.column_name)
      from (values ('community_id', 'communities'), ('organization_id', 'organizations')) s (column_name, helper)
      -- A row that belongs to a community need not be asked for its organization; a community is, so that none is given away.
      where s.column_name = any (columns) and (s.column_name = 'community_id' or not is_community))
  end;
  if scope is null then
    return;
  end if;

  -- What an earlier call left. A statement that finds nothing to do costs as much as one that does, so what is not there is not dropped.
  for former in
    select p.polname as policy from pg_catalog.pg_policy p
    where p.polrelid = tracked and p.polname = any (array(select table_name || o.suffix from unnest('{_select_reporting,_select_maintenance,_update_maintenance,_insert_maintenance}'::text[]) o (suffix)))
  loop
    execute format('drop policy %I on %s', former.policy, tracked);
  end loop;
  if has_any_column_privilege('vicinia_reporting', tracked, 'select') then
    execute format('revoke select on %s from vicinia_reporting', tracked);
  end if;
  if has_any_column_privilege('vicinia_maintenance', tracked, 'update') then
    execute format('revoke insert, update on %s from vicinia_maintenance', tracked);
  end if;
  if 'user_id' = any (columns) then
    written := (select format(' (%s)', string_agg(quote_ident(c), ', ')) from unnest(columns) c where c <> 'user_id');
  end if;

  condition := format(scope, 'reporting', case when has_details then 'true' else '' end);
  execute format('create policy %I on %s for select to vicinia_reporting using (%s)', table_name || '_select_reporting', tracked, condition);
  execute format('grant select%s on %s to vicinia_reporting',
    (select format(' (%s)', string_agg(quote_ident(c), ', ')) from unnest(columns) c where c <> all (secrets) having secrets <> '{}'), tracked);

  condition := format(scope, 'maintained', '');
  execute format('create policy %I on %s for select to vicinia_maintenance using (%s)', table_name || '_select_maintenance', tracked, condition);
  -- What may belong to the site or to an organization decides who may do what, or how the whole is set up: it is read only.
  if (is_community and is_tracked) or table_name in ('organizations', 'communities') then
    execute format('create policy %I on %s for update to vicinia_maintenance using (%s) with check (%s)', table_name || '_update_maintenance', tracked, condition, condition);
    verbs := verbs || ', update' || written;
  end if;
  if is_community and is_tracked then
    execute format('create policy %I on %s for insert to vicinia_maintenance with check (%s)', table_name || '_insert_maintenance', tracked, condition);
    verbs := verbs || ', insert' || written;
  end if;
  execute format('grant %s on %s to vicinia_maintenance', verbs, tracked);

  -- Checks and the conditions of triggers are evaluated with the writer's rights.
  for called in
    select distinct p.oid::regprocedure as function
    from (
      select 'pg_catalog.pg_constraint'::regclass as catalog, k.oid from pg_catalog.pg_constraint k where k.conrelid = tracked and k.contype = 'c'
      union all
      select 'pg_catalog.pg_trigger'::regclass, g.oid from pg_catalog.pg_trigger g where g.tgrelid = tracked
    ) w
    join pg_catalog.pg_depend d on d.classid = w.catalog and d.objid = w.oid and d.refclassid = 'pg_catalog.pg_proc'::regclass
    join pg_catalog.pg_proc p on p.oid = d.refobjid
    where p.pronamespace = 'app'::regnamespace and p.prorettype <> 'trigger'::regtype
  loop
    execute format('grant execute on function %s to vicinia_maintenance', called.function);
  end loop;
end;
$$;

comment on function app.open_to_database_roles(regclass) is
  'Lets vicinia_reporting read and vicinia_maintenance read and write a tracked table of the API, by policies of their own. Called by app.track; by app.keep for what both may only read, as they do files. '
  'A table whose rows belong to no community and no organization stays closed. user_id is not granted for writing. Columns marked secret are not granted for reporting, and a table that has some, or an e-mail address or telephone number, only to logins with details.';

select app.open_to_database_roles(g.tgrelid)
from pg_catalog.pg_trigger g
where g.tgname = '_900_audit_insert'
order by g.tgrelid;

-- Words that rows of the others refer to; the same for everybody.
create policy permissions_select_reporting on public.permissions for select to vicinia_reporting
  using (cardinality((select app.reporting_organizations())::uuid[]) > 0);
grant select on public.permissions to vicinia_reporting;

-- Making and ending logins -------------------------------------------------------------------------------------------

create function app.create_database_login(
  login text, purpose app.login_purpose, organization uuid, is_detailed boolean, ends_at timestamptz, password text)
returns text
language plpgsql
volatile
set search_path = ''
as $$
declare
  secret constant text := coalesce(password, app.base64url(extensions.gen_random_bytes(24)));
begin
  if login is null or login !~ '^[a-z][a-z0-9_]{2,62}$' then
    perform app.fail(422, 'invalid_value', 'The value of name is not valid.', 'Three to 63 lowercase letters, digits and underscores, a letter first.');
  elsif length(secret) < 16 then
    perform app.fail(422, 'invalid_value', 'The value of password is not valid.', 'At least 16 characters, or none at all: then one is made.');
  elsif ends_at <= now() then
    perform app.fail(422, 'invalid_period', 'The login would have ended already.');
  elsif exists (select from pg_catalog.pg_roles r where r.rolname = login) then
    perform app.fail(409, 'login_taken', 'There is a role of this name in the cluster.', 'Take another name, or drop the login first.');
  elsif (organization is not null or purpose = 'reporting')
    and not exists (select from public.organizations o where o.id = organization and o.deleted_at is null)
  then
    perform app.fail(404, 'organization_not_found', 'There is no organization with this id.');
  end if;

  perform app.close_temporary_schema();
  if has_database_privilege('vicinia_' || purpose, current_database(), 'temporary') then
    perform app.fail(409, 'temporary_objects_open', 'Everybody may make temporary objects in this database: with these a login could act as its owner.',
      format('As the owner of the database: revoke temporary on database %I from public', current_database()));
  end if;

  insert into app.database_logins (name, purpose, organization_id, is_detailed, ends_at)
  values (login, purpose, organization, is_detailed, ends_at);

  execute format('create role %I login inherit connection limit 5 password %L valid until %L', login, secret, coalesce(ends_at, 'infinity'));
  execute format('grant %I to %I with inherit true, set false, admin false', 'vicinia_' || purpose, login);
  -- Settings of a group are not inherited, so each login has its own. They are manners and no fences: a session may change them.
  execute format('alter role %I set statement_timeout = %L', login, case purpose when 'reporting' then '60s' else '30s' end);
  execute format('alter role %I set idle_in_transaction_session_timeout = ''60s''', login);
  execute format('alter role %I set lock_timeout = ''5s''', login);
  if purpose = 'reporting' then
    execute format('alter role %I set default_transaction_read_only = on', login);
  end if;
  return secret;
end;
$$;

comment on function app.create_database_login(text, app.login_purpose, uuid, boolean, timestamptz, text) is
  'What create_reporting_login and create_maintenance_login have in common.';

create function app.create_reporting_login(name text, organization uuid, ends_at timestamptz default null, is_detailed boolean default false, password text default null)
returns text
language sql
volatile
set search_path = ''
as $$ select app.create_database_login(name, 'reporting', organization, is_detailed, ends_at, password) $$;

comment on function app.create_reporting_login(text, uuid, timestamptz, boolean, text) is
  'Makes a login that reads the rows of one organization, and returns its password, which is shown once. is_detailed: with addresses, telephone and identity numbers. For role postgres. Errors: invalid_value, invalid_period, login_taken, organization_not_found, temporary_objects_open.';

create function app.create_maintenance_login(name text, organization uuid default null, ends_at timestamptz default null, password text default null)
returns text
language sql
volatile
set search_path = ''
as $$ select app.create_database_login(name, 'maintenance', organization, true, ends_at, password) $$;

comment on function app.create_maintenance_login(text, uuid, timestamptz, text) is
  'Makes a login that reads and writes the rows of communities, of one organization or (null) of all, and returns its password, which is shown once. For role postgres. Errors: invalid_value, invalid_period, login_taken, organization_not_found, temporary_objects_open.';

create function app.drop_database_login(login text)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  delete from app.database_logins l where l.name = login;
  if not found then
    perform app.fail(404, 'login_not_found', 'There is no database login of this name.', 'select name from app.database_logins');
  end if;
  if not exists (select from pg_catalog.pg_roles r where r.rolname = login) then
    return;
  end if;
  execute format('alter role %I nologin password null', login);
  -- A role that owns something cannot be dropped, and any may own large objects and default privileges, in other databases of the cluster too.
  begin
    execute format('grant %I to %I with inherit true', login, current_user);
    execute format('drop owned by %I', login);
    execute format('drop role %I', login);
  exception when dependent_objects_still_exist then
    execute format('revoke %s from %I', (
      select string_agg(quote_ident(g.rolname), ', ') from pg_catalog.pg_roles g where g.rolname in ('vicinia_reporting', 'vicinia_maintenance')), login);
    raise warning 'login % is ended; its role stays, because it owns something in another database', login;
  end;
end;
$$;

comment on function app.drop_database_login(text) is
  'Ends a login: it cannot connect any more, and what it has open sees nothing from the next statement on. What it has made goes along; with something in another database the role stays, without login and rights. For role postgres. Errors: login_not_found.';

-- What the database spends its time on -------------------------------------------------------------------------------

create function app.statement_statistics(most integer)
returns table (query text, calls bigint, total_ms numeric, mean_ms numeric, max_ms numeric, rows_returned bigint, cache_hit_ratio numeric, role_name text, query_id text)
language plpgsql
stable
security definer -- reads what pg_stat_statements tells members of pg_monitor
set search_path = ''
as $$
declare
  home name;
begin
  if not app.is_trusted() and not app.can_on_site('operations.read') then
    perform app.refuse('operations.read');
  elsif most is null or most not between 1 and 500 then
    perform app.fail(422, 'invalid_value', 'The value of most is not valid.', 'From 1 to 500.');
  end if;

  select n.nspname into home
  from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace
  where e.extname = 'pg_stat_statements';
  if home is null then
    perform app.fail(501, 'statistics_unavailable', 'The extension pg_stat_statements is not installed.', 'create extension pg_stat_statements with schema extensions');
  end if;
  return query execute format($sql$
    select left(s.query, 4000), s.calls, round(s.total_exec_time::numeric, 3), round(s.mean_exec_time::numeric, 3), round(s.max_exec_time::numeric, 3),
      s.rows, round(s.shared_blks_hit / nullif(s.shared_blks_hit + s.shared_blks_read, 0)::numeric, 4),
      pg_get_userbyid(s.userid)::text, s.queryid::text
    from %I.pg_stat_statements s
    where s.dbid = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
      -- Their constants are parameters. Those of other commands are not, and may be passwords.
      and s.query ~* '^(\s|--[^\n]*\n|/\*.*?\*/)*(with|select|insert|update|delete|merge)\M'
    order by s.total_exec_time desc
    limit $1$sql$, home)
  using most;
exception when object_not_in_prerequisite_state then
  perform app.fail(501, 'statistics_unavailable', 'The server does not load pg_stat_statements.', 'Add it to shared_preload_libraries.');
end;
$$;

comment on function app.statement_statistics(integer) is 'What public.statement_statistics does. Definer: reads what pg_stat_statements tells members of pg_monitor.';

create function public.statement_statistics(most integer default 50)
returns table (query text, calls bigint, total_ms numeric, mean_ms numeric, max_ms numeric, rows_returned bigint, cache_hit_ratio numeric, role_name text, query_id text)
language sql
stable
set search_path = ''
as $$ select * from app.statement_statistics(most) $$;

comment on function public.statement_statistics(integer) is
  'The statements that the database has spent most time on since its statistics began: how often each ran, how long in all, on average and at worst (milliseconds), and how much of what it read was in memory. Constants are left out. Takes operations.read on the site. '
  'Errors: permission_denied, invalid_value, statistics_unavailable (the extension is not there).';

grant execute on function app.statement_statistics(integer), public.statement_statistics(integer) to authenticated, service_role;
