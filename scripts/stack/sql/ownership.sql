-- On Supabase, role postgres may put policies and triggers on Auth's and Storage's tables although it does not own
-- them: an extension (supautils) allows those statements, and those alone. PostgreSQL by itself asks for ownership, so
-- here postgres inherits the owners' rights without being able to become them, and an event trigger refuses what
-- Supabase refuses. Run as supabase_admin.

grant supabase_auth_admin, supabase_storage_admin to postgres with inherit true, set false;

create or replace function extensions.vicinia_guard_platform_schemas() returns event_trigger language plpgsql set search_path = '' as $$
declare
  touched record;
begin
  -- Every statement of every migration comes by here: most are let go without a look at what they did.
  if tg_tag in ('CREATE POLICY', 'ALTER POLICY', 'CREATE TRIGGER', 'GRANT', 'REVOKE')
    or current_user in ('supabase_admin', 'supabase_auth_admin', 'supabase_storage_admin') then
    return;
  end if;
  select object_type, object_identity, schema_name, command_tag into touched
  from pg_event_trigger_ddl_commands()
  where command_tag not in ('CREATE POLICY', 'ALTER POLICY', 'CREATE TRIGGER', 'GRANT', 'REVOKE')
    and (schema_name in ('auth', 'storage', 'graphql_public')
      or object_type = 'schema' and object_identity in ('auth', 'storage', 'graphql_public'))
  limit 1;
  if found then
    raise exception using
      errcode = '42501',
      message = format('must be owner of %s %s', touched.object_type, touched.object_identity),
      detail = format('Schema %s belongs to Supabase, where %s by role %s is refused.', touched.schema_name, touched.command_tag, current_user);
  end if;
end $$;

create or replace function extensions.vicinia_guard_platform_drops() returns event_trigger language plpgsql set search_path = '' as $$
declare
  dropped record;
begin
  if current_user in ('supabase_admin', 'supabase_auth_admin', 'supabase_storage_admin') then
    return;
  end if;
  for dropped in
    select object_type, object_identity
    from pg_event_trigger_dropped_objects()
    where object_type not in ('policy', 'trigger')
      and (schema_name in ('auth', 'storage', 'graphql_public')
        or object_type = 'schema' and object_identity in ('auth', 'storage', 'graphql_public'))
  loop
    raise exception using errcode = '42501', message = format('must be owner of %s %s', dropped.object_type, dropped.object_identity);
  end loop;
end $$;

drop event trigger if exists vicinia_guard_platform_schemas;
create event trigger vicinia_guard_platform_schemas on ddl_command_end execute function extensions.vicinia_guard_platform_schemas();
drop event trigger if exists vicinia_guard_platform_drops;
create event trigger vicinia_guard_platform_drops on sql_drop execute function extensions.vicinia_guard_platform_drops();
