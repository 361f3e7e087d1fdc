-- Completes the tables that @supabase/lite brings to what Supabase Auth has: columns, tables that stay empty here,
-- functions, row-level security and grants. Run as supabase_auth_admin, after getAuthSchemaSql().

alter table auth.users
  add column if not exists instance_id uuid default '00000000-0000-0000-0000-000000000000',
  add column if not exists is_super_admin boolean,
  alter column phone set default null,
  alter column phone_change set default '',
  alter column phone_change_token set default '',
  alter column email_change_token_current set default '',
  alter column reauthentication_token set default '';
comment on table auth.users is 'Auth: Stores user login data within a secure schema.';
alter table auth.identities alter column id set default gen_random_uuid();

create table if not exists auth.mfa_factors (
  id uuid primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  friendly_name text,
  factor_type text not null,
  status text not null,
  secret text,
  phone text,
  last_challenged_at timestamptz unique,
  created_at timestamptz not null,
  updated_at timestamptz not null
);
create table if not exists auth.mfa_amr_claims (
  id uuid primary key,
  session_id uuid not null references auth.sessions (id) on delete cascade,
  authentication_method text not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  unique (session_id, authentication_method)
);
create table if not exists auth.mfa_challenges (
  id uuid primary key,
  factor_id uuid not null references auth.mfa_factors (id) on delete cascade,
  ip_address inet not null,
  otp_code text,
  verified_at timestamptz,
  created_at timestamptz not null
);
create table if not exists auth.one_time_tokens (
  id uuid primary key,
  user_id uuid not null references auth.users (id) on delete cascade,
  token_type text not null,
  token_hash text not null check (char_length(token_hash) > 0),
  relates_to text not null,
  created_at timestamp not null default now(),
  updated_at timestamp not null default now(),
  unique (user_id, token_type)
);
create table if not exists auth.instances (
  id uuid primary key,
  uuid uuid,
  raw_base_config text,
  created_at timestamptz,
  updated_at timestamptz
);
alter table auth.refresh_tokens add column if not exists instance_id uuid;
alter table auth.audit_log_entries add column if not exists instance_id uuid;

-- The claims of the caller, as every request of PostgREST and Storage sets them.
create or replace function auth.uid() returns uuid language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
  )::uuid
$$;

create or replace function auth.role() returns text language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.role', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role')
  )::text
$$;

create or replace function auth.email() returns text language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.email', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email')
  )::text
$$;

create or replace function auth.jwt() returns jsonb language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;

do $$
declare
  tab record;
begin
  for tab in select oid::regclass as name from pg_class where relnamespace = 'auth'::regnamespace and relkind = 'r' loop
    execute format('alter table %s enable row level security', tab.name);
    execute format('grant all on table %s to dashboard_user, postgres', tab.name);
    execute format('grant select on table %s to postgres with grant option', tab.name);
  end loop;
end $$;
grant all on all routines in schema auth to postgres, dashboard_user;
