-- Foundation: schemas, extensions, default privileges and ids.
--
-- Purpose     The ground every later topic stands on.
-- Schemas     public   what apps use: tables, views, RPCs (everything here is in the API)
--             app      policy helpers, trigger functions, definer functions (not in the API)
--             private  what no API role reads: access versions, hashes, delivery state
--             audit    the append-only audit log and its partitions
-- Invariants  Nothing is granted by default: every table, sequence and function names its grantees itself, so that a
--             project whose defaults still expose new tables ends in the same state as one whose defaults do not.

create schema app;
create schema private;
create schema audit;

comment on schema app is 'Policy helpers, trigger functions and definer functions. Not exposed by the API.';
comment on schema private is 'What no API role may read: access versions, hashes of secrets, delivery state.';
comment on schema audit is 'The append-only audit log, in monthly partitions.';

create extension if not exists pgcrypto with schema extensions;
create extension if not exists btree_gist with schema extensions;
create extension if not exists pg_trgm with schema extensions;
create extension if not exists hstore with schema extensions;

-- Default privileges -------------------------------------------------------------------------------------------------
-- Older projects grant everything on new objects in public to the API roles, newer ones still grant TRUNCATE, REFERENCES,
-- TRIGGER and MAINTAIN. EXECUTE comes to everybody through PUBLIC, and only the form without `in schema` takes it away.

alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;
alter default privileges revoke execute on functions from public;

grant usage on schema app to anon, authenticated, service_role, supabase_auth_admin;
grant usage on schema audit to authenticated, service_role;

-- Ids ----------------------------------------------------------------------------------------------------------------
-- From the inside: the time since 1970 in 4096ths of a millisecond, as 60 bits; after the first 48 of them, the whole
-- milliseconds, the four bits of the version; after these eight bytes the last eight of a random UUID, which begin with its
-- variant. Bits and bytes, because overlay() of text counts characters; tstzrange_subdiff(), the seconds between two times,
-- because date_part() looks up the name of its field: together a quarter of what an id costs more than a random one.

create function extensions.uuidv7()
returns uuid
language sql
volatile
parallel safe
as $$
  select encode(
    int8send(overlay((tstzrange_subdiff(clock_timestamp(), 'epoch'::timestamptz) * 4096000)::bigint::bit(60) placing b'0111' from 49 for 0)::bigint)
    || substring(uuid_send(gen_random_uuid()) from 9),
    'hex'
  )::uuid
$$;

comment on function extensions.uuidv7() is
  'A time-ordered UUID (RFC 9562 version 7): 48 bits of milliseconds, 12 bits of the fraction of a millisecond, 62 random bits. '
  'One expression and no search_path setting, so that PostgreSQL inlines it into defaults. Stands in for uuidv7() of PostgreSQL 18.';

grant execute on function extensions.uuidv7() to anon, authenticated, service_role, supabase_auth_admin;
