-- The roles of a Supabase project, once per cluster, run as the superuser supabase_admin. Running it again changes
-- nothing. Passwords are set by shapeCluster.

do $$
declare
  wanted record;
begin
  for wanted in
    select * from (values
      ('postgres',               'login inherit createrole createdb replication bypassrls'),
      ('anon',                   'nologin noinherit'),
      ('authenticated',          'nologin noinherit'),
      ('service_role',           'nologin noinherit bypassrls'),
      ('authenticator',          'login noinherit'),
      ('dashboard_user',         'nologin createrole createdb replication'),
      ('supabase_auth_admin',    'login noinherit createrole'),
      ('supabase_storage_admin', 'login noinherit createrole'),
      ('supabase_realtime_admin', 'nologin noinherit'),
      ('supabase_read_only_user', 'nologin bypassrls')
    ) as roles (name, attributes)
  loop
    if not exists (select from pg_roles where rolname = wanted.name) then
      execute format('create role %I %s', wanted.name, wanted.attributes);
    end if;
  end loop;
end $$;

-- Who may become whom. The gateway's roles switch to the caller's; migrations may hand out the API roles.
grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role, authenticator to postgres with admin option, inherit true;
grant authenticator to supabase_storage_admin with inherit false;
grant anon, authenticated, service_role to supabase_storage_admin with inherit false;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres with admin option, inherit true;
grant pg_create_subscription to postgres;
grant pg_read_all_data to supabase_read_only_user;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_admin set search_path = "$user", public, auth, extensions;
alter role supabase_auth_admin set search_path = auth;
alter role supabase_auth_admin set idle_in_transaction_session_timeout = '60s';
alter role supabase_storage_admin set search_path = storage;

-- Parameters that Supabase lets postgres set although it is not a superuser.
grant set on parameter
  session_replication_role,
  pgrst.db_pre_request,
  pgrst.db_schemas,
  pgrst.db_extra_search_path,
  pgrst.db_max_rows,
  pgrst.db_aggregates_enabled,
  pgrst.db_plan_enabled,
  pgrst.openapi_mode
to postgres;

alter database postgres owner to postgres;
