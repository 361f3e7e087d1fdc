-- Foundation: the register of files.
--
-- Purpose     What is stored in Supabase Storage, whose it is, who may read it, and until when it is kept.
-- Tables      file_purposes, files; buckets vicinia-* and policies on storage.objects
-- RPCs        register_file, remove_file
-- Invariants  An object in a bucket of ours has a row in files, and its path is made from that row: <community>/<purpose>/<id>. So it
--             cannot stand in another community, be moved, or be overwritten, with the secret key neither.
--             What is stored has the type and the size that were registered, and the purpose allows both.
--             Who may read the row may read the object. Later topics add purposes, never policies.
--             Who registered a file uploads it while they may still upload such files; what is the community's is theirs no more.
--             A file is not removed before the day until which it is kept.

create type public.file_status as enum ('registered', 'stored', 'removed');

select app.define_permission('files.upload', 'community', 'Upload files of one''s own', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor,
  community/admin, community/manager, community/accountant, community/guard, community/technician, community/cleaning, community/committee,
  community/owner, community/tenant, community/authorized}');
select app.define_feature('files.upload', 'Uploading files', true);

-- Purposes -----------------------------------------------------------------------------------------------------------

create table public.file_purposes (
  id uuid not null default extensions.uuidv7(),
  key text not null,
  description text not null,
  bucket text not null,
  content_types text[] not null,
  max_bytes bigint not null,
  upload_permission text not null,
  read_permission text,
  manage_permission text not null,
  readable_files text,
  kept_for interval,
  removed_after interval,
  is_of_community boolean not null default false,
  like app.row_model including defaults including comments,
  constraint file_purposes_pkey primary key (id),
  constraint file_purposes_key unique (key),
  constraint file_purposes_upload_permission_fkey foreign key (upload_permission) references public.permissions (key) on delete restrict,
  constraint file_purposes_read_permission_fkey foreign key (read_permission) references public.permissions (key) on delete restrict,
  constraint file_purposes_manage_permission_fkey foreign key (manage_permission) references public.permissions (key) on delete restrict,
  constraint file_purposes_key_check check (key ~ '^[a-z_]+\.[a-z_]+$' and length(key) <= 80),
  constraint file_purposes_description_check check (length(description) between 1 and 500),
  constraint file_purposes_bucket_check check (bucket ~ '^vicinia-[a-z]{1,40}$'),
  constraint file_purposes_content_types_check check (
    cardinality(content_types) > 0 and array_to_string(content_types, ' ', '?') ~ '^[a-z]+/[a-z0-9.+-]+( [a-z]+/[a-z0-9.+-]+)*$'),
  constraint file_purposes_max_bytes_check check (max_bytes between 1 and 5368709120),
  constraint file_purposes_readable_files_check check (readable_files ~ '^app\.[a-z_]+$'),
  constraint file_purposes_kept_for_check check (kept_for > '0'),
  constraint file_purposes_removed_after_check check (removed_after > '0' and (kept_for is null or removed_after >= kept_for))
);

create index file_purposes_upload_permission_idx on public.file_purposes (upload_permission);
create index file_purposes_read_permission_idx on public.file_purposes (read_permission) where read_permission is not null;
create index file_purposes_manage_permission_idx on public.file_purposes (manage_permission);

comment on table public.file_purposes is 'What files are for, and the rules of each purpose. Part of the system; each topic declares its own with app.define_file_purpose.';
comment on column public.file_purposes.key is '<what>.<kind>: community.logo. A folder in every path of it; never changes.';
comment on column public.file_purposes.description is 'What the files are, in a sentence.';
comment on column public.file_purposes.bucket is 'The private bucket they are in: vicinia-<name>.';
comment on column public.file_purposes.content_types is 'The media types that are taken.';
comment on column public.file_purposes.max_bytes is 'The largest file that is taken.';
comment on column public.file_purposes.upload_permission is 'What it takes in the community to upload one.';
comment on column public.file_purposes.read_permission is 'What it takes in the community to read all of them; null: only their owners do, and whom readable_files adds.';
comment on column public.file_purposes.manage_permission is 'What it takes in the community to remove those of others.';
comment on column public.file_purposes.readable_files is 'A function f() returning setof uuid: the files of this purpose that the caller may read besides.';
comment on column public.file_purposes.kept_for is 'For how long they may not be removed, from the day they were stored; null: they may be at any time.';
comment on column public.file_purposes.removed_after is 'After how long they are removed, from the day they were stored; null: they stay.';
comment on column public.file_purposes.is_of_community is
  'Whether a stored file is the community''s: it has no owner any more, so that who uploaded it neither reads nor removes it by that alone, and does not take it along when erased.';

select app.track('public.file_purposes');

create trigger _010_frozen_key before update of key on public.file_purposes for each row
  when (old.key <> new.key) execute function app.tg__frozen('key');

create policy file_purposes_select on public.file_purposes for select to authenticated
  using (deleted_at is null and (select app.user_id()) is not null);
grant select on public.file_purposes to authenticated, service_role;

create function app.sync_buckets()
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  synced integer := 0;
begin
  if to_regclass('storage.buckets') is not null then
    insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
    select p.bucket, p.bucket, false, max(p.max_bytes), array_agg(distinct t order by t)
    from public.file_purposes p cross join unnest(p.content_types) t
    where p.deleted_at is null
    group by p.bucket
    on conflict (id) do update
    set public = false, file_size_limit = excluded.file_size_limit, allowed_mime_types = excluded.allowed_mime_types;
    get diagnostics synced = row_count;
  end if;
  return synced;
end;
$$;

comment on function app.sync_buckets() is
  'Makes the private buckets that the purposes name, each with the largest size and all types among its purposes: Storage''s own limit before ours. Does nothing, and returns 0, where Storage is not installed.';

create function app.tg_file_purposes__buckets()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  missing text;
begin
  select p.readable_files into missing from public.file_purposes p where to_regprocedure(p.readable_files || '()') is null and p.readable_files is not null;
  if missing is not null then
    perform app.fail(422, 'invalid_value', format('readable_files: there is no function %s().', missing));
  end if;
  perform app.sync_buckets();
  return null;
end;
$$;

comment on function app.tg_file_purposes__buckets() is 'AFTER purposes are added or changed: brings the buckets up to date; refuses a function that does not exist.';

create trigger _500_buckets after insert or update on public.file_purposes for each statement execute function app.tg_file_purposes__buckets();

create function app.define_file_purpose(
  key text, bucket text, description text, content_types text[], max_bytes bigint, upload_permission text, manage_permission text,
  read_permission text default null, readable_files text default null, kept_for interval default null, removed_after interval default null,
  is_of_community boolean default false
)
returns void
language sql
volatile
set search_path = ''
as $$
  insert into public.file_purposes (key, bucket, description, content_types, max_bytes, upload_permission, manage_permission, read_permission, readable_files, kept_for, removed_after, is_of_community)
  values (define_file_purpose.key, define_file_purpose.bucket, define_file_purpose.description, define_file_purpose.content_types,
    define_file_purpose.max_bytes, define_file_purpose.upload_permission, define_file_purpose.manage_permission, define_file_purpose.read_permission,
    define_file_purpose.readable_files, define_file_purpose.kept_for, define_file_purpose.removed_after, define_file_purpose.is_of_community)
$$;

comment on function app.define_file_purpose(text, text, text, text[], bigint, text, text, text, text, interval, interval, boolean) is 'Declares a purpose of files. For migrations.';

-- The register -------------------------------------------------------------------------------------------------------

create function app.is_file_name(value text)
returns boolean
language sql
immutable
parallel safe
set search_path = ''
-- No separators, no control characters, none that turn the direction of writing: "annex\u202Efdp.exe" reads "annexexe.pdf".
return app.is_name(value) and value !~ '[/\\]' and value !~ '^\.*$' and value !~ U&'[\200B-\200F\2028-\202E\2066-\2069\FEFF]';

comment on function app.is_file_name(text) is
  'Whether the text can name a file: 1 to 200 characters of any script, no slashes, no control characters, none that hide or turn what follows, and not dots alone.';

grant execute on function app.is_file_name(text) to authenticated, service_role;

create table public.files (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  community_id uuid not null,
  purpose text not null,
  bucket text not null,
  path text not null generated always as (community_id::text || '/' || purpose || '/' || id::text) stored,
  content_type text not null,
  size bigint not null,
  sha256 text,
  owner_id uuid,
  status public.file_status not null default 'registered',
  stored_at timestamptz,
  removable_on date,
  expires_on date,
  content_removed_at timestamptz,
  like app.row_model including defaults including comments,
  constraint files_pkey primary key (id),
  constraint files_community_id_key unique (community_id, id),
  constraint files_path_key unique (bucket, path),
  constraint files_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint files_purpose_fkey foreign key (purpose) references public.file_purposes (key) on delete restrict,
  constraint files_owner_fkey foreign key (owner_id) references public.profiles (id) on delete set null (owner_id),
  constraint files_name_check check (app.is_file_name(name)),
  constraint files_content_type_check check (content_type ~ '^[a-z]+/[a-z0-9.+-]+$'),
  constraint files_size_check check (size > 0),
  constraint files_sha256_check check (sha256 ~ '^[0-9a-f]{64}$'),
  constraint files_stored_at_check check (status <> 'stored' or stored_at is not null),
  constraint files_removed_check check (status <> 'removed' or deleted_at is not null)
);

create index files_purpose_idx on public.files (purpose, community_id, id);
create index files_owner_idx on public.files (owner_id) where owner_id is not null;
create index files_open_idx on public.files (created_at) where status = 'registered' and deleted_at is null;
create index files_expiring_idx on public.files (expires_on) where status = 'stored' and expires_on is not null;

comment on table public.files is 'Every stored object: what it is, whose, where, and until when. Made by register_file before the upload; the row decides who may read the object.';
comment on column public.files.name is 'What its owner calls it; names the download, never the path.';
comment on column public.files.purpose is 'What it is for; decides who may read it, and what it may be.';
comment on column public.files.bucket is 'The bucket in Storage.';
comment on column public.files.path is 'The path in the bucket: <community>/<purpose>/<id>. Follows from the row.';
comment on column public.files.content_type is 'Media type, as registered; the upload must have it.';
comment on column public.files.size is 'Bytes, as registered; the upload must have as many.';
comment on column public.files.sha256 is 'SHA-256 of the content in hexadecimal, as its uploader computed it; who downloads can compare.';
comment on column public.files.owner_id is 'The user who uploaded it and may always read it; null for what the system stored, for what is the community''s (file_purposes.is_of_community), or when the user is gone.';
comment on column public.files.status is 'registered: awaits its upload, for a day. stored: uploaded. removed: nobody reads it, the content goes as soon as the worker comes by.';
comment on column public.files.stored_at is 'When the upload was complete.';
comment on column public.files.removable_on is 'Kept until then: from this day on it may be removed; null: at any time.';
comment on column public.files.expires_on is 'The day on which it is removed by itself; null: never.';
comment on column public.files.content_removed_at is 'When the content was removed from Storage.';

select app.track('public.files');

create trigger _010_frozen_content before update of purpose, bucket, content_type, size, sha256 on public.files for each row
  when ((old.purpose, old.bucket, old.content_type, old.size, old.sha256) is distinct from (new.purpose, new.bucket, new.content_type, new.size, new.sha256))
  execute function app.tg__frozen('What was registered');

create function app.tg_files__content()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if old.stored_at is not null and old.content_removed_at is null then
    perform app.fail(409, 'file_has_content', format('The object %s is still in the bucket %s.', old.path, old.bucket), 'Remove it through the Storage API first.');
  end if;
  return old;
end;
$$;

comment on function app.tg_files__content() is 'BEFORE DELETE (a purge): refuses while the content is in Storage, where nobody would find it again (409 file_has_content).';

create trigger _040_content before delete on public.files for each row execute function app.tg_files__content();

create function app.tg__stored_file()
returns trigger
language plpgsql
security definer -- reads files whoever may read them
set search_path = ''
as $$
begin
  if not exists (
    select from public.files f
    where f.community_id = new.community_id and f.id = (to_jsonb(new) ->> tg_argv[0])::uuid and f.purpose = tg_argv[1] and f.status = 'stored' and f.deleted_at is null)
  then
    perform app.fail(422, 'invalid_value', format('%s is no stored file of purpose %s of this community.', tg_argv[0], tg_argv[1]));
  end if;
  return new;
end;
$$;

comment on function app.tg__stored_file() is
  'BEFORE INSERT OR UPDATE of the column that the first argument names, where it is not null: it must be a stored file of this community, for the purpose that the second names (422 invalid_value). Definer: reads files.';

create function app.file_folders_with_me()
returns setof text
language plpgsql
stable
security definer -- asks for many permissions at once
set search_path = ''
as $$
begin
  return query
    select c.id || '/' || p.key
    from (select distinct read_permission as permission from public.file_purposes where read_permission is not null) r
    cross join lateral app.communities_with(r.permission) c (id)
    join public.file_purposes p on p.read_permission = r.permission;
end;
$$;

comment on function app.file_folders_with_me() is 'The folders <community>/<purpose> in which the caller may read every file. Definer: asks for many permissions at once.';

create function app.files_with_me()
returns setof uuid
language plpgsql
stable
security definer -- calls functions that look at memberships of the caller before any policy is decided
set search_path = ''
as $$
declare
  reader text;
begin
  for reader in select distinct p.readable_files from public.file_purposes p where p.readable_files is not null loop
    return query execute format(
      'select f.id from %s() r (id) join public.files f on f.id = r.id join public.file_purposes p on p.key = f.purpose where p.readable_files = $1',
      to_regprocedure(reader || '()')::oid::regproc) using reader;
  end loop;
end;
$$;

comment on function app.files_with_me() is 'The files that the purposes'' own functions (file_purposes.readable_files) let the caller read, of these purposes alone: what a row names may be a file for something else. Definer: calls them whatever the caller may execute.';

grant execute on function app.file_folders_with_me(), app.files_with_me() to authenticated;

create policy files_select on public.files for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (
      owner_id = (select app.user_id())
      or (status = 'stored' and (
        (community_id::text || '/' || purpose) in (select app.file_folders_with_me())
        or id in (select app.files_with_me())))
    )
  );
grant select on public.files to authenticated;
grant select, insert, update on public.files to service_role;

-- Registering --------------------------------------------------------------------------------------------------------

create function app.add_file(community uuid, rules public.file_purposes, file_name text, content_type text, size bigint, sha256 text, owner uuid, open_uploads bigint)
returns table (file_id uuid, bucket text, path text)
language plpgsql
volatile
set search_path = ''
as $$
declare
  most_open constant integer := 50;
  told_type constant text := lower(btrim(split_part(add_file.content_type, ';', 1)));
  refused text;
begin
  perform app.require_feature('files.upload', community);
  if not exists (select from public.communities c where c.id = community and c.deleted_at is null) then
    perform app.fail(404, 'community_not_found', 'There is no live community with this id.');
  elsif file_name is null or add_file.size is null then
    perform app.fail(422, 'invalid_value', 'A file has a name and a size in bytes.');
  elsif told_type is null or told_type <> all (rules.content_types) then
    perform app.fail(415, 'content_type_refused', format('%s is not taken for %s.', coalesce(nullif(told_type, ''), 'A file without a type'), rules.key),
      format('Taken are: %s.', array_to_string(rules.content_types, ', ')));
  elsif add_file.size > rules.max_bytes then
    perform app.fail(413, 'file_too_large', format('%s bytes are more than the %s that are taken for %s.', add_file.size, rules.max_bytes, rules.key));
  elsif open_uploads >= most_open then
    perform app.fail(429, 'too_many_uploads', format('%s files are registered already and await their upload.', most_open), 'Upload or remove them first.');
  end if;

  return query
    insert into public.files as f (name, community_id, purpose, bucket, content_type, size, sha256, owner_id)
    values (file_name, community, rules.key, rules.bucket, told_type, add_file.size, lower(add_file.sha256), owner)
    returning f.id, f.bucket, f.path;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('files', refused);
end;
$$;

comment on function app.add_file(uuid, public.file_purposes, text, text, bigint, text, uuid, bigint) is
  'Writes the row of a file that is about to be uploaded, if its purpose takes it. Whether who asks may, the caller of this has found out; open_uploads: how many of theirs wait already. Not executable by API roles.';

create function app.register_file(community uuid, purpose text, file_name text, content_type text, size bigint, sha256 text)
returns table (file_id uuid, bucket text, path text)
language plpgsql
volatile
security definer -- API roles may not write the register
set search_path = ''
as $$
declare
  rules public.file_purposes;
begin
  perform app.require('communities.read', community);
  select p.* into rules from public.file_purposes p where p.key = register_file.purpose and p.deleted_at is null;
  if rules.id is null then
    perform app.fail(422, 'unknown_purpose', format('There is no purpose %s of files.', coalesce(quote_literal(register_file.purpose), 'without a key')), 'The table file_purposes lists them.');
  end if;
  perform app.require(rules.upload_permission, community);
  return query
    select a.file_id, a.bucket, a.path
    from app.add_file(community, rules, register_file.file_name, register_file.content_type, register_file.size, register_file.sha256, auth.uid(), (
      select count(*) from public.files f
      where f.owner_id = auth.uid() and f.status = 'registered' and f.deleted_at is null and f.created_at > now() - interval '1 day')) a;
end;
$$;

comment on function app.register_file(uuid, text, text, text, bigint, text) is 'What public.register_file does. Definer: no API role may write the register.';

create function public.register_file(community_id uuid, purpose text, file_name text, content_type text, size bigint, sha256 text default null)
returns table (file_id uuid, bucket text, path text)
language sql
volatile
set search_path = ''
as $$ select * from app.register_file(community_id, purpose, file_name, content_type, size, sha256) $$;

comment on function public.register_file(uuid, text, text, text, bigint, text) is
  'Announces an upload and answers where to: bucket and path, for a day. The upload must have this type and as many bytes. Takes what the purpose says. '
  'Errors: permission_denied, unknown_purpose, feature_disabled, community_not_found, invalid_value, content_type_refused (415), file_too_large (413), too_many_uploads (429).';

create function app.remove_file(file uuid)
returns void
language plpgsql
volatile
security definer -- API roles may not write the register
set search_path = ''
as $$
declare
  present public.files;
  today date;
begin
  select f.* into present
  from public.files f
  join public.file_purposes p on p.key = f.purpose
  where f.id = file and f.deleted_at is null
    and (app.is_trusted()
      or (f.owner_id = app.user_id() and f.community_id = any (app.my_communities()))
      or app.can(p.manage_permission, f.community_id))
  for no key update of f;
  if present.id is null then
    perform app.fail(404, 'file_not_found', 'There is no file with this id that you may remove.');
  end if;
  select (now() at time zone c.time_zone)::date into today from public.communities c where c.id = present.community_id;
  if present.removable_on > today then
    perform app.fail(409, 'file_retained', format('This file is kept until %s.', present.removable_on));
  end if;
  update public.files f set status = 'removed', deleted_at = clock_timestamp() where f.id = file;
  perform app.emit('file.removed', present.community_id, jsonb_build_object('file_id', present.id, 'bucket', present.bucket, 'path', present.path));
end;
$$;

comment on function app.remove_file(uuid) is 'What public.remove_file does. Definer: no API role may write the register.';

create function public.remove_file(file_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.remove_file(file_id) $$;

comment on function public.remove_file(uuid) is
  'Removes a file: from the next statement on nobody reads it; the content follows (event file.removed). One''s own, or with the permission that the purpose names. Errors: file_not_found, file_retained.';

grant execute on function
  app.register_file(uuid, text, text, text, bigint, text), public.register_file(uuid, text, text, text, bigint, text),
  app.remove_file(uuid), public.remove_file(uuid)
to authenticated, service_role;

create function app.job_file_retention()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  expired record;
begin
  update public.files f set status = 'removed', deleted_at = clock_timestamp()
  where f.status = 'registered' and f.deleted_at is null and f.created_at < now() - interval '1 day';

  for expired in
    update public.files f set status = 'removed', deleted_at = clock_timestamp()
    from public.communities c
    where c.id = f.community_id and f.status = 'stored' and f.deleted_at is null and f.expires_on <= (now() at time zone c.time_zone)::date
    returning f.id, f.community_id, f.bucket, f.path
  loop
    perform app.emit('file.removed', expired.community_id, jsonb_build_object('file_id', expired.id, 'bucket', expired.bucket, 'path', expired.path));
  end loop;
end;
$$;

comment on function app.job_file_retention() is 'Job file-retention: removes files whose day has come, and registrations that nobody uploaded to within a day.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('file-retention', '27 * * * *', 'app.job_file_retention()', 'Removes files whose day has come.');

-- Storage ------------------------------------------------------------------------------------------------------------
-- Storage tries every upload as the caller, whom the policies below answer, before it takes the content; then it writes the object
-- with its true size as its own role, whom the trigger answers. It passes SQLSTATE 42501 on as 403, and anything of ours as 500.

create function app.refuse_object(token text, detail text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  raise exception using errcode = '42501', message = token, detail = detail;
end;
$$;

comment on function app.refuse_object(text, text) is 'Refuses what Storage is about to write, in the one way it answers with 403.';

create function app.tg_storage_objects__register()
returns trigger
language plpgsql
security definer -- writes the register, whoever uploads
set search_path = ''
as $$
declare
  file public.files;
  rules public.file_purposes;
  today date;
  -- What is tried before an upload is signed tells of that request, not of the file.
  is_signing constant boolean := not coalesce(new.metadata, '{}') ? 'size' and coalesce(current_setting('storage.operation', true), '') like '%sign%';
begin
  if tg_op = 'UPDATE' and (old.name, old.bucket_id) is distinct from (new.name, new.bucket_id) then
    perform app.refuse_object('file_moved', 'A file stays where it was registered.');
  end if;

  if tg_op = 'DELETE' then
    select f.* into file from public.files f where f.bucket = old.bucket_id and f.path = old.name for no key update;
    select (now() at time zone c.time_zone)::date into today from public.communities c where c.id = file.community_id;
    if file.removable_on > today then
      perform app.refuse_object('file_retained', format('This file is kept until %s.', file.removable_on));
    end if;
    update public.files f
    set status = 'removed', deleted_at = coalesce(f.deleted_at, clock_timestamp()), content_removed_at = now()
    where f.id = file.id;
    return null;
  end if;

  select f.* into file from public.files f where f.bucket = new.bucket_id and f.path = new.name for no key update;
  if file.id is null then
    perform app.refuse_object('file_not_registered', 'Objects are uploaded to a path that register_file gave.');
  elsif file.status <> 'registered' or file.deleted_at is not null then
    perform app.refuse_object('file_stored', 'A file is not overwritten: register a new one.');
  elsif not is_signing and lower(btrim(split_part(new.metadata ->> 'mimetype', ';', 1))) <> file.content_type then
    perform app.refuse_object('file_differs', format('It was registered as %s.', file.content_type));
  -- The form around a file weighs a little, in what an upload announces about itself.
  elsif (new.metadata ->> 'contentLength')::bigint > file.size + 16384 or (new.metadata ->> 'size')::bigint <> file.size then
    perform app.refuse_object('file_differs', format('It was registered with %s bytes.', file.size));
  end if;

  -- A registration, and an address signed for its upload, outlive the role and the account of whoever has them.
  select p.* into rules from public.file_purposes p where p.key = file.purpose;
  if file.owner_id is not null and rules.upload_permission <> all (app.permissions_of(file.owner_id, null, file.community_id)) then
    perform app.refuse_object('file_owner_barred', format('Whoever registered this file does not hold %s in this community any more.', rules.upload_permission));
  end if;

  if new.metadata ? 'size' then
    select (now() at time zone c.time_zone)::date into today from public.communities c where c.id = file.community_id;
    update public.files f
    set status = 'stored', stored_at = now(), removable_on = (today + rules.kept_for)::date, expires_on = (today + rules.removed_after)::date,
      owner_id = case when not rules.is_of_community then f.owner_id end
    where f.id = file.id;
  end if;
  return null;
end;
$$;

comment on function app.tg_storage_objects__register() is
  'AFTER an object of ours is written or removed: it must be registered, by a user who may still upload such files, of the registered type and size, and neither moved nor overwritten, whoever writes; keeps files.status. Definer: writes the register.';

create function app.attach_storage()
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
begin
  if to_regclass('storage.objects') is null then
    return false;
  end if;

  drop policy if exists vicinia_files_select on storage.objects;
  create policy vicinia_files_select on storage.objects for select to authenticated
    using (
      bucket_id like 'vicinia-%'
      and split_part(name, '/', 1) = any ((select app.my_communities())::uuid[]::text[])
      -- Under the policy of files: who may read the row may read the object.
      and exists (select from public.files f where f.bucket = objects.bucket_id and f.path = objects.name)
    );

  drop policy if exists vicinia_files_insert on storage.objects;
  create policy vicinia_files_insert on storage.objects for insert to authenticated
    with check (
      bucket_id like 'vicinia-%'
      and split_part(name, '/', 1) = any ((select app.my_communities())::uuid[]::text[])
      and exists (
        select from public.files f
        where f.bucket = objects.bucket_id and f.path = objects.name and f.owner_id = (select app.user_id())
          and f.status = 'registered' and f.created_at > now() - interval '1 day')
    );

  if not exists (select from pg_catalog.pg_trigger t where t.tgrelid = 'storage.objects'::regclass and t.tgname = '_500_vicinia_register') then
    create trigger _500_vicinia_register after insert or update of name, bucket_id, version, metadata on storage.objects for each row
      when (new.bucket_id like 'vicinia-%') execute function app.tg_storage_objects__register();
    create trigger _500_vicinia_register_moved after update of bucket_id on storage.objects for each row
      when (old.bucket_id like 'vicinia-%' and new.bucket_id not like 'vicinia-%') execute function app.tg_storage_objects__register();
    create trigger _500_vicinia_register_removed after delete on storage.objects for each row
      when (old.bucket_id like 'vicinia-%') execute function app.tg_storage_objects__register();
  end if;
  perform app.sync_buckets();
  return true;
end;
$$;

comment on function app.attach_storage() is
  'Puts our policies and triggers on storage.objects and makes our buckets. Idempotent; false where Storage is not installed: call it again once it is.';

select app.define_file_purpose('community.logo', 'vicinia-images', 'The community''s logo',
  '{image/png,image/jpeg,image/webp}', 2097152, 'communities.update', 'communities.update', read_permission => 'communities.read', is_of_community => true);
select app.define_file_purpose('community.document', 'vicinia-documents', 'What the management publishes to everybody in the community',
  '{application/pdf,image/png,image/jpeg}', 20971520, 'communities.update', 'communities.update', read_permission => 'communities.read', is_of_community => true);
select app.define_file_purpose('member.document', 'vicinia-documents', 'What somebody hands in to the management: a contract, a proof, a photograph',
  '{application/pdf,image/png,image/jpeg,image/webp,image/heic}', 10485760, 'files.upload', 'communities.update', read_permission => 'communities.update');

select app.attach_storage();
