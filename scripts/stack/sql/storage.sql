-- Completes the tables that @supabase/lite brings to what Supabase Storage has, run as supabase_storage_admin after
-- getStorageSchemaSql().

alter table storage.buckets
  add column if not exists avif_autodetection boolean default false;
comment on column storage.buckets.owner is 'Field is deprecated, use owner_id instead';
comment on column storage.objects.owner is 'Field is deprecated, use owner_id instead';

create or replace function storage.protect_delete() returns trigger language plpgsql set search_path = '' as $$
begin
  if current_user <> 'supabase_storage_admin'
    and coalesce(current_setting('storage.allow_delete_query', true), 'false') <> 'true'
    and coalesce(current_setting('storage.operation', true), '') = '' then
    raise exception using
      errcode = '42501',
      message = 'Direct deletion from storage tables is not allowed. Use the Storage API instead.',
      hint = 'This prevents accidental data loss from orphaned objects.';
  end if;
  return null;
end $$;

create or replace trigger protect_buckets_delete before delete on storage.buckets
  for each statement execute function storage.protect_delete();
create or replace trigger protect_objects_delete before delete on storage.objects
  for each statement execute function storage.protect_delete();

create or replace function storage.update_updated_at_column() returns trigger language plpgsql set search_path = '' as $$
begin
  new.updated_at = now();
  return new;
end $$;

create or replace trigger update_objects_updated_at before update on storage.objects
  for each row execute function storage.update_updated_at_column();

grant all on storage.buckets, storage.objects to anon, authenticated, service_role;
grant all on storage.buckets, storage.objects to postgres with grant option;
grant all on all routines in schema storage to postgres, anon, authenticated, service_role;
