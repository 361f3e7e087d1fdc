-- Foundation: the registry of personal data.
--
-- Purpose     For every column that names a person: whose it is, what of the row is exported, how it is erased, and how the row
--             follows when two records of one person are merged. Exporting, erasing and merging are driven by it (see the next topic).
-- Tables      app.personal_data_registry
-- Invariants  A column of public or private that names a person is in the registry, or the catalog test fails: one that refers to
--             a resident or a user, is called ..._by, or holds an address, a number or a name by which somebody is known.
--             What is registered can be carried out: columns, types, constants and functions exist.
--
-- One rule covers what is not registered one by one: created_by and updated_by of the row model, audit.log.actor_id and the ids in
-- events are plain ids of users. They say who acted, outlive the user, and lead to nobody once the account is erased.

create type app.personal_link as enum ('resident', 'related', 'user', 'actor', 'email', 'phone', 'parent', 'nobody');
create type app.erasing as enum ('keep', 'archive', 'unlink', 'remove', 'cascade', 'function');
create type app.merging as enum ('repoint', 'archive', 'fill', 'stay', 'function');

-- The registry -------------------------------------------------------------------------------------------------------

create table app.personal_data_registry (
  table_id regclass not null,
  person_column text not null,
  whose app.personal_link not null,
  parent_id regclass,
  columns jsonb not null default '{}',
  exported text[],
  on_erase app.erasing not null,
  erase_with text,
  is_with_resident boolean not null,
  on_merge app.merging not null,
  clash_on text[] not null default '{}',
  merge_with text,
  held_by text,
  kept_because text,
  constraint personal_data_registry_pkey primary key (table_id, person_column),
  constraint personal_data_registry_columns_check check (jsonb_typeof(columns) = 'object'),
  constraint personal_data_registry_parent_check check ((whose = 'parent') = (parent_id is not null)),
  constraint personal_data_registry_erase_with_check check ((on_erase = 'function') = (erase_with is not null)),
  constraint personal_data_registry_merge_with_check check ((on_merge = 'function') = (merge_with is not null)),
  constraint personal_data_registry_merge_check check (on_merge in ('stay', 'repoint') or whose in ('resident', 'related')),
  constraint personal_data_registry_clash_on_check check (clash_on = '{}' or on_merge in ('archive', 'fill')),
  constraint personal_data_registry_kept_because_check check (
    length(kept_because) between 10 and 500 and (kept_because is not null or on_erase in ('remove', 'cascade', 'function')))
);

create index personal_data_registry_parent_idx on app.personal_data_registry (parent_id) where parent_id is not null;

comment on table app.personal_data_registry is
  'For every column that names a person, whose data the row is and what becomes of it. Part of the system; each topic declares its own with app.register_personal_data, whose comment explains the columns.';
comment on column app.personal_data_registry.table_id is 'The table.';
comment on column app.personal_data_registry.person_column is 'The column that names the person, or (parent) the row of which this one is a part.';
comment on column app.personal_data_registry.whose is 'resident, related, user, actor, email, phone, parent or nobody: what the column holds.';
comment on column app.personal_data_registry.parent_id is 'The registered table whose persons are this row''s.';
comment on column app.personal_data_registry.columns is 'The personal columns of the row, each with what erasing writes into it.';
comment on column app.personal_data_registry.exported is 'What of the row is exported; null: all but what is somebody else''s.';
comment on column app.personal_data_registry.on_erase is 'What becomes of the row when the person is erased.';
comment on column app.personal_data_registry.erase_with is 'The function f(ids uuid[]) that erases the rows.';
comment on column app.personal_data_registry.is_with_resident is 'Whether rows of a user go when the resident who is linked to the user is erased in the row''s community.';
comment on column app.personal_data_registry.on_merge is 'How rows of a resident follow into another record of the same person.';
comment on column app.personal_data_registry.clash_on is 'The columns in which two rows of one person may not agree, besides the person.';
comment on column app.personal_data_registry.merge_with is 'The function f(keep uuid, duplicate uuid) that merges the rows.';
comment on column app.personal_data_registry.held_by is 'The function f(person uuid) returning table (reason text, until_on date): what forbids erasing.';
comment on column app.personal_data_registry.kept_because is 'Why the row, or what is left of it, stays.';

alter table app.personal_data_registry enable row level security;
create policy personal_data_registry_select on app.personal_data_registry for select to authenticated using (false);

-- Declaring ----------------------------------------------------------------------------------------------------------

create function app.check_erased_column(tracked regclass, column_name text, written jsonb)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  attribute pg_catalog.pg_attribute;
begin
  select a.* into attribute from pg_catalog.pg_attribute a
  where a.attrelid = tracked and a.attname = column_name and a.attnum > 0 and not a.attisdropped;
  if attribute.attnum is null then
    raise exception 'personal data of %: there is no column %', tracked, column_name;
  elsif attribute.attgenerated <> '' then
    raise exception 'personal data of %: % follows from other columns; register those', tracked, column_name;
  elsif written = 'null' then
    if attribute.attnotnull then
      raise exception 'personal data of %: % cannot be null; name a constant or {"each": "erased-%%s"}', tracked, column_name;
    end if;
  elsif jsonb_typeof(written) = 'object' and (select count(*) from jsonb_object_keys(written)) = 1 and length(written ->> 'kept') >= 10 then
    null;
  elsif jsonb_typeof(written) = 'object' and (select count(*) from jsonb_object_keys(written)) = 1 and written ->> 'each' like '%\%s%' then
    if attribute.atttypid <> 'text'::regtype then
      raise exception 'personal data of %: % is not text, so that no word of each row''s own fits it', tracked, column_name;
    end if;
  elsif jsonb_typeof(written) = 'string' or attribute.atttypid = 'jsonb'::regtype then
    execute format('select ($1 #>> %L)::%s', '{}', pg_catalog.format_type(attribute.atttypid, attribute.atttypmod)) using written;
  else
    raise exception 'personal data of %: what is written into %? null, a text, {"each": "…%%s…"} or {"kept": "<why>"}', tracked, column_name;
  end if;
end;
$$;

comment on function app.check_erased_column(regclass, text, jsonb) is
  'Refuses a way of erasing a column that cannot be carried out: no such column, null where it may not be, a constant that is not of its type.';

create function app.refuse_erased(residents uuid[])
returns void
language plpgsql
volatile
security definer -- looks at residents whom the caller may be unable to see
set search_path = ''
as $$
declare
  erased uuid;
begin
  -- An erasure that is under way holds the resident, and is waited for.
  select r.id into erased
  -- "offset 0" keeps the condition outside: all are locked, and asked as they are then.
  from (select r.id, r.erased_at from public.residents r where r.id = any (residents) order by r.id offset 0 for key share) r
  where r.erased_at is not null
  limit 1;
  if found then
    perform app.fail(409, 'resident_erased', format('The resident %s was erased, and nothing is written about them any more.', erased));
  end if;
end;
$$;

comment on function app.refuse_erased(uuid[]) is
  'Refuses to write about a resident who was erased (409 resident_erased). Definer: looks at residents whom the caller may be unable to see. Not executable by API roles.';

create function app.tg__not_erased()
returns trigger
language plpgsql
security definer -- calls app.refuse_erased, whoever writes
set search_path = ''
as $$
declare
  named uuid[];
begin
  if tg_level = 'ROW' then
    named := array[(to_jsonb(new) ->> tg_argv[0])::uuid];
  else
    -- Of one row, which is the rule, its jsonb costs less than planning a query for the column; of many rows more.
    select array_agg((to_jsonb(n.row) ->> tg_argv[0])::uuid) into named from (select r as row from new_rows r limit 2) n;
    if array_length(named, 1) > 1 then
      execute format('select array_agg(distinct n.%1$I) from new_rows n where n.%1$I is not null', tg_argv[0]) into named;
    end if;
  end if;
  if named[1] is not null then
    perform app.refuse_erased(named);
  end if;
  return null;
end;
$$;

comment on function app.tg__not_erased() is
  'AFTER INSERT, and AFTER UPDATE of the column that names the resident (its argument): refuses rows about somebody who was erased (409 resident_erased). Attached by app.register_personal_data. Definer: calls app.refuse_erased, whoever writes.';

create function app.register_personal_data(
  tracked regclass, person_column text, whose app.personal_link, columns jsonb default '{}', on_erase app.erasing default null,
  on_merge app.merging default null, kept_because text default null, exported text[] default null, clash_on text[] default '{}',
  merge_with text default null, erase_with text default null, held_by text default null, parent regclass default null, is_with_resident boolean default null
)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  attribute pg_catalog.pg_attribute;
  has_community constant boolean := exists (
    select from pg_catalog.pg_attribute a where a.attrelid = tracked and a.attname = 'community_id' and not a.attisdropped);
  has_id constant boolean := exists (
    select from pg_catalog.pg_attribute a where a.attrelid = tracked and a.attname = 'id' and a.atttypid = 'uuid'::regtype and not a.attisdropped);
  is_archivable constant boolean := exists (
    select from pg_catalog.pg_attribute a where a.attrelid = tracked and a.attname = 'deleted_at' and not a.attisdropped);
  is_person constant boolean := whose in ('resident', 'user', 'email', 'phone', 'parent');
  erased constant app.erasing := coalesce(on_erase, 'keep');
  merged constant app.merging := coalesce(on_merge, case when whose in ('resident', 'related') then 'repoint' else 'stay' end::app.merging);
  missing text;
begin
  select a.* into attribute from pg_catalog.pg_attribute a
  where a.attrelid = tracked and a.attname = person_column and a.attnum > 0 and not a.attisdropped;
  if attribute.attnum is null then
    raise exception 'personal data of %: there is no column %', tracked, person_column;
  elsif whose <> 'nobody' and attribute.atttypid <> (case when whose in ('email', 'phone') then 'text' else 'uuid' end)::regtype then
    raise exception 'personal data of %: % cannot name a person as %', tracked, person_column, whose;
  elsif whose in ('resident', 'related') and not has_community then
    raise exception 'personal data of %: a resident is named within a community_id', tracked;
  elsif whose in ('actor', 'related', 'nobody') and (columns <> '{}' or erased not in ('keep', 'unlink') or kept_because is null) then
    raise exception 'personal data of %: % names no person whose data the row is; it is kept, or unlinked, and kept_because says why', tracked, person_column;
  elsif is_person and not has_id and erased <> 'cascade' then
    raise exception 'personal data of %: the rows have no id', tracked;
  elsif erased = 'unlink' and attribute.attnotnull then
    raise exception 'personal data of %: % cannot be null, so that nothing can be unlinked', tracked, person_column;
  elsif erased in ('archive', 'remove') and not is_archivable then
    raise exception 'personal data of %: the rows cannot be archived', tracked;
  elsif erased = 'cascade' and not (whose = 'user' and exists (
    select from pg_catalog.pg_constraint k
    where k.conrelid = tracked and k.contype = 'f' and k.confdeltype = 'c' and k.conkey = array[attribute.attnum]
      and k.confrelid in ('auth.users'::regclass, 'public.profiles'::regclass)))
  then
    raise exception 'personal data of %: the rows do not go with the user: % is not on delete cascade', tracked, person_column;
  elsif whose = 'parent' and not exists (
    select from app.personal_data_registry g where g.table_id = parent and g.whose in ('resident', 'user', 'email', 'phone', 'parent') and g.table_id <> tracked)
  then
    raise exception 'personal data of %: the parent % is not registered', tracked, parent;
  elsif merged in ('archive', 'fill') and not is_archivable then
    raise exception 'personal data of %: a row that clashes cannot be archived', tracked;
  end if;

  select c into missing from unnest(coalesce(exported, '{}') || clash_on) c
  where not exists (select from pg_catalog.pg_attribute a where a.attrelid = tracked and a.attname = c and a.attnum > 0 and not a.attisdropped);
  if missing is not null then
    raise exception 'personal data of %: there is no column %', tracked, missing;
  end if;
  select f.called into missing
  from (values (merge_with, 'uuid,uuid'), (erase_with, 'uuid[]'), (held_by, 'uuid')) f (called, arguments)
  where f.called is not null and to_regprocedure(format('%s(%s)', f.called, f.arguments)) is null;
  if missing is not null then
    raise exception 'personal data of %: there is no function % of the arguments it would be called with', tracked, missing;
  end if;

  -- Rows that go need no erasing beforehand; the columns say what the audit forgets.
  perform app.check_erased_column(tracked, c.key, c.value) from jsonb_each(columns) c where erased not in ('remove', 'cascade');
  select c into missing from jsonb_object_keys(columns) c
  where not exists (select from pg_catalog.pg_attribute a where a.attrelid = tracked and a.attname = c and a.attnum > 0 and not a.attisdropped);
  if missing is not null then
    raise exception 'personal data of %: there is no column %', tracked, missing;
  end if;

  insert into app.personal_data_registry as g (
    table_id, person_column, whose, parent_id, columns, exported, on_erase, erase_with, is_with_resident, on_merge, clash_on, merge_with, held_by, kept_because)
  values (
    tracked, register_personal_data.person_column, register_personal_data.whose, parent, register_personal_data.columns,
    coalesce(register_personal_data.exported,
      case when register_personal_data.whose = 'nobody' then '{}'
        when register_personal_data.whose in ('actor', 'related') then array_remove(array[case when has_id then 'id' end, register_personal_data.person_column], null) end),
    erased, register_personal_data.erase_with,
    coalesce(register_personal_data.is_with_resident,
      has_community and erased <> 'cascade' and register_personal_data.whose in ('user', 'email', 'phone')),
    merged, register_personal_data.clash_on, register_personal_data.merge_with, register_personal_data.held_by, register_personal_data.kept_because)
  on conflict on constraint personal_data_registry_pkey do update
  set whose = excluded.whose, parent_id = excluded.parent_id, columns = excluded.columns, exported = excluded.exported, on_erase = excluded.on_erase,
    erase_with = excluded.erase_with, is_with_resident = excluded.is_with_resident, on_merge = excluded.on_merge, clash_on = excluded.clash_on,
    merge_with = excluded.merge_with, held_by = excluded.held_by, kept_because = excluded.kept_because;

  -- Whoever was erased is written about no more. The record itself is guarded beside its table.
  if whose = 'resident' and person_column <> 'id' then
    execute format('create or replace trigger _035_not_erased after insert on %s referencing new table as new_rows for each statement execute function app.tg__not_erased(%L)',
      tracked, person_column);
    execute format(
      'create or replace trigger _035_not_erased_again after update of %1$I on %2$s for each row when (new.%1$I is not null and old.%1$I is distinct from new.%1$I) execute function app.tg__not_erased(%3$L)',
      person_column, tracked, person_column);
  end if;
end;
$$;

comment on function app.register_personal_data(
  regclass, text, app.personal_link, jsonb, app.erasing, app.merging, text, text[], text[], text, text, text, regclass, boolean) is
$$Declares that a column names a person. For migrations, beside the table, after app.track; once per table and column that names somebody. Calling it again replaces the declaration; what cannot be carried out is an error.

  select app.register_personal_data('public.vehicles', 'resident_id', 'resident',
    columns => '{"plate": {"each": "erased-%s"}, "model": null, "note": null}', on_erase => 'archive',
    kept_because => 'Entries of the access log name the vehicle by its id.');
  select app.register_personal_data('public.vehicle_photos', 'vehicle_id', 'parent', parent => 'public.vehicles', on_erase => 'remove');
  select app.register_personal_data('public.vehicles', 'approved_by', 'actor', kept_because => 'Who decided stays accountable.');

person_column, whose: what the column holds.
  resident  a residents.id, within the row's community_id: the row is about that person
  related   a residents.id, within the row's community_id: the row is about somebody else, to whom that person is tied (guardian_id, host_id).
            Exported: the id of the row and no more; repointed in a merge; when erased, on_erase keep or unlink
  user      a user's id: the row is about, or belongs to, that user
  actor     a user's id: who did something (approved_by); the row is not about them. Exported: the id of the row and no more
  email     an address (text): the row is about whoever has it
  phone     a telephone number in digits with the country's code, as app.phone_digits writes it (text): the row is about whoever has it alone
  parent    the id of a row of a registered table (parent => …): a part, of the same person. Register the parent first
  nobody    looks like a person's but is not (communities.address): kept_because says whose it is instead
columns: every personal column of the row, with what erasing writes; the audit log forgets the same columns.
  null           set null
  "Erased"       this constant
  {"each": "erased-%s"}   text in which %s is the row's id, where the value must be unique or is checked
  {"kept": "why"}         stays, audit included, for a reason in law that is said here
on_erase: what becomes of the row.
  keep      (default) stays, with its columns erased; kept_because says why
  archive   the same, and is archived
  unlink    stays, columns erased, person_column set null
  remove    is removed for good; columns name what the audit forgets
  cascade   whose user, on delete cascade: goes with the account; columns as for remove
  function  erase_with f(ids uuid[]) returns void does it: where other things must happen too
on_merge: whose resident or related; how rows of the duplicate follow into the record that stays.
  repoint   (default) they become the survivor's. Two rows that then clash with a constraint refuse the merge (409 merge_refused)
  archive   as repoint; a live row that agrees with a live one of the survivor in clash_on ('{}': one row per person) is archived instead
  fill      as archive; the survivor's row first takes what it lacks (null) in the registered columns
  stay      they stay with the duplicate, which keeps its id and points to the survivor: logs
  function  merge_with f(keep uuid, duplicate uuid) returns void does it
exported: the columns of the row that the person gets. Default: all but created_by, updated_by and what another registration of the same table
  says of somebody else; '{}': none, because the row is exported through another column.
held_by: f(person uuid) returns table (reason text, until_on date), given the id in person_column: while it returns rows, erasing is refused.
is_with_resident: for user, email and phone, whether rows in a community go when the user's resident is erased there; default: yes where the table has a community_id.$$;

-- What the foundation holds ------------------------------------------------------------------------------------------

select app.register_personal_data('public.profiles', 'id', 'user', on_erase => 'cascade',
  columns => '{"display_name": "Erased person", "username": null, "email": null, "status_reason": null, "locale": null, "time_zone": null}');
select app.register_personal_data('private.user_access', 'user_id', 'user', on_erase => 'cascade', exported => '{}');
select app.register_personal_data('private.session_access', 'user_id', 'user', on_erase => 'cascade', exported => '{}');
select app.register_personal_data('private.session_origins', 'user_id', 'user', on_erase => 'cascade',
  columns => '{"device_name": null, "user_agent": null, "address": null, "country": null, "region": null, "city": null}');
select app.register_personal_data('public.memberships', 'user_id', 'user', on_erase => 'cascade');
select app.register_personal_data('public.user_permissions', 'user_id', 'user', on_erase => 'cascade', columns => '{"reason": null}');
select app.register_personal_data('public.user_preferences', 'user_id', 'user', on_erase => 'cascade', columns => '{"value": null}');
select app.register_personal_data('public.house_rule_acknowledgements', 'user_id', 'user', on_erase => 'remove');

select app.register_personal_data('public.invitations', 'email', 'email', columns => '{"email": {"each": "erased-%s@erased.invalid"}, "phone": null}',
  kept_because => 'Who was invited to which role by whom stays accountable; the address does not.');
select app.register_personal_data('public.invitations', 'phone', 'phone', columns => '{"email": {"each": "erased-%s@erased.invalid"}, "phone": null}',
  kept_because => 'Who was invited to which role by whom stays accountable; the number does not.');
select app.register_personal_data('public.invitations', 'accepted_by', 'user', columns => '{"email": {"each": "erased-%s@erased.invalid"}, "phone": null}', is_with_resident => false,
  kept_because => 'That the invitation was used stays accountable; the id leads to nobody once the account is gone.');
select app.register_personal_data('public.invitations', 'invited_by', 'actor', kept_because => 'Who invited stays accountable.');

create function app.erase_files(ids uuid[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  removed record;
begin
  for removed in
    update public.files f
    set name = 'erased', owner_id = null, sha256 = null, status = 'removed', deleted_at = coalesce(f.deleted_at, clock_timestamp())
    from (select p.id, p.deleted_at from public.files p where p.id = any (ids) order by p.id for no key update) before
    where f.id = before.id
    returning f.id, f.community_id, f.bucket, f.path, before.deleted_at is null as was_there
  loop
    if removed.was_there then
      perform app.emit('file.removed', removed.community_id, jsonb_build_object('file_id', removed.id, 'bucket', removed.bucket, 'path', removed.path));
    end if;
  end loop;
end;
$$;

comment on function app.erase_files(uuid[]) is
  'Erases files of a person: the content goes (event file.removed, as remove_file tells), the register forgets name, fingerprint and owner. Locks in id order.';

create function app.file_holds(person uuid)
returns table (reason text, until_on date)
language sql
stable
set search_path = ''
as $$
  select format('Files for the purpose %s are kept.', f.purpose), max(f.removable_on)
  from public.files f
  where f.owner_id = person and f.status = 'stored' and f.removable_on > current_date
  group by f.purpose
$$;

comment on function app.file_holds(uuid) is 'The files of a user that may not be removed yet, by purpose, with the last day on which one is kept. For the registry.';

select app.register_personal_data('public.files', 'owner_id', 'user', columns => '{"name": "erased", "sha256": null, "owner_id": null}',
  on_erase => 'function', erase_with => 'app.erase_files', held_by => 'app.file_holds');

select app.register_personal_data('public.organizations', 'tax_number', 'nobody', kept_because => 'The number of an organization.');
select app.register_personal_data('public.communities', 'tax_number', 'nobody', kept_because => 'The number of a community.');
select app.register_personal_data('public.communities', 'address', 'nobody', kept_because => 'The address of a community.');
select app.register_personal_data('public.brandings', 'display_name', 'nobody', kept_because => 'What a community is called.');
