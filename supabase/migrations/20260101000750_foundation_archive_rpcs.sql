-- Foundation: archiving, restoring and purging, for those who may.
--
-- Purpose     What an app calls. The rules are the guards' (see the topic before); here are permissions and answers.
-- Tables      app.archive_rules
-- RPCs        archive, restore, purge
-- Invariants  Archiving and restoring take the permission that the table's rule names, where the row belongs. Only what is archived
--             can be removed, by app.purge_rows alone, and the audit keeps the row and the reason.

create table app.archive_rules (
  table_id regclass not null,
  permission_key text not null,
  constraint archive_rules_pkey primary key (table_id),
  constraint archive_rules_permission_fkey foreign key (permission_key) references public.permissions (key) on delete restrict
);

create index archive_rules_permission_idx on app.archive_rules (permission_key);

comment on table app.archive_rules is
  'Which permission it takes to archive and restore rows of a table. A table without a rule is not archived through the RPCs: its rows are parts of others, or end in another way.';
comment on column app.archive_rules.table_id is 'The table, in public.';
comment on column app.archive_rules.permission_key is 'The permission, looked up in the row''s community, else in its organization, else on the site.';

alter table app.archive_rules enable row level security;
create policy archive_rules_select on app.archive_rules for select to authenticated using (false);

-- Where a row belongs -------------------------------------------------------------------------------------------------

create function app.can_for_row(permission text, tracked regclass, told jsonb)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  community constant uuid := told ->> case when app.qualified(tracked) = 'public.communities' then 'id' else 'community_id' end;
  organization constant uuid := told ->> case when app.qualified(tracked) = 'public.organizations' then 'id' else 'organization_id' end;
  unit constant uuid := told ->> case when app.qualified(tracked) = 'public.units' then 'id' else 'unit_id' end;
  level constant public.access_level := (select p.level from public.permissions p where p.key = permission);
begin
  if unit is not null and unit in (select app.units_with(permission)) then
    return true;
  elsif level = 'unit' then
    return false;
  elsif level = 'site' or num_nonnulls(community, organization) = 0 then
    return app.can_on_site(permission);
  elsif community is not null then
    return app.can(permission, community);
  end if;
  return organization in (select app.organizations_with(permission));
end;
$$;

comment on function app.can_for_row(text, regclass, jsonb) is
  'Whether the caller holds the permission where the row (as jsonb) belongs: for its unit or in its community, else in its organization, else on the site. False for a permission that does not exist. Not executable by API roles.';

create function app.sees_row(table_name text, id uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  asked constant regclass := to_regclass('public.' || quote_ident(table_name));
  seen boolean := false;
begin
  if exists (select from pg_catalog.pg_class c where c.oid = asked and c.relkind in ('r', 'p')) and has_table_privilege(asked, 'select') then
    execute format('select exists (select from %s t where t.id = $1)', asked) into seen using id;
  end if;
  return seen;
end;
$$;

comment on function app.sees_row(text, uuid) is
  'Whether the caller, under row-level security, sees the row. An RPC asks before it calls its definer function, so that what the caller may not see is answered as what does not exist.';

grant execute on function app.sees_row(text, uuid) to authenticated, service_role;

-- Archiving and restoring ---------------------------------------------------------------------------------------------

create function app.name_of(tracked regclass, told jsonb)
returns text
language sql
stable
set search_path = ''
return (
  select told ->> a.attname from pg_catalog.pg_attribute a
  where a.attrelid = tracked and a.attnum = 2 and a.atttypid = 'text'::regtype and not a.attisdropped);

comment on function app.name_of(regclass, jsonb) is 'What names a row, by the rule that it stands right after the id: number, full_name, slug. Null for a row without a name.';

create function app.count_parts(tracked regclass, id uuid, archived_at timestamptz)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  reference record;
  found_parts bigint;
  parts jsonb := '{}';
begin
  for reference in
    select r.child_id, r.parent_id, r.condition, c.relname
    from app.row_references r join pg_catalog.pg_class c on c.oid = r.child_id
    where r.parent_id = tracked and r.is_part
    order by r.name
  loop
    execute format('select count(*) from %s c join %s p on %s where p.id = $1 and c.deleted_at = $2',
      app.qualified(reference.child_id), app.qualified(reference.parent_id), format(reference.condition, 'c', 'p'))
    into found_parts using id, archived_at;
    if found_parts > 0 then
      parts := parts || jsonb_build_object(reference.relname, found_parts + coalesce((parts -> reference.relname::text)::bigint, 0));
    end if;
  end loop;
  return parts;
end;
$$;

comment on function app.count_parts(regclass, uuid, timestamptz) is 'How many parts of a row, by table, were archived together with it.';

select app.define_action('ROW_ARCHIVED', 'A row was archived, with its parts.');
select app.define_action('ROW_RESTORED', 'An archived row was restored, with its parts.');
select app.define_action('ROW_PURGED', 'An archived row was removed for good, with its parts.');

create function app.set_archived(table_name text, id uuid, archived boolean, reason text, is_visible boolean)
returns jsonb
language plpgsql
volatile
security definer -- deleted_at is in no column grant, and what leans on a row may be hidden from the caller
set search_path = ''
as $$
declare
  rule app.archive_rules;
  told jsonb;
  was timestamptz;
  becomes constant timestamptz := case when archived then clock_timestamp() end;
  is_change boolean;
  parts jsonb := '{}';
  reason_before constant text := current_setting('app.reason', true);
  action_before text;
  refused text;
begin
  select r.* into rule from app.archive_rules r where r.table_id = to_regclass('public.' || quote_ident(table_name));
  if rule.table_id is null then
    perform app.fail(404, 'table_not_archivable', format('There is no table %s whose rows are archived.', table_name));
  elsif length(reason) > 2000 then
    perform app.fail(422, 'invalid_value', 'The reason is longer than 2000 characters.');
  end if;

  execute format('select to_jsonb(t) from %s t where t.id = $1', rule.table_id) into told using id;
  if told is not null and not app.is_trusted() and not app.can_for_row(rule.permission_key, rule.table_id, told) then
    if is_visible then
      perform app.refuse_for_row(rule.permission_key, rule.table_id, told);
    end if;
    told := null;
  end if;
  if told is not null then
    -- Whoever is writing a child holds the row. Waiting for them here holds nothing that they may want next.
    execute format('select to_jsonb(t) from %s t where t.id = $1 for update', rule.table_id) into told using id;
  end if;
  if told is null then
    perform app.fail(404, 'row_not_found', format('There is no row of %s with this id.', table_name));
  end if;

  was := told ->> 'deleted_at';
  is_change := (was is not null) is distinct from archived;
  if is_change then
    if not archived then
      parts := app.count_parts(rule.table_id, id, was);
    end if;
    if btrim(reason) <> '' then
      perform set_config('app.reason', btrim(reason), true);
    end if;
    action_before := app.set_action(case when archived then 'ROW_ARCHIVED' else 'ROW_RESTORED' end);
    begin
      execute format('update %s t set deleted_at = $2 where t.id = $1', rule.table_id) using id, becomes;
    exception when unique_violation or exclusion_violation then
      get stacked diagnostics refused = constraint_name;
      perform app.fail(409, 'value_taken', format('A live row has taken what must be unique (%s) while this one was archived.', refused),
        'Change the live row, or leave this one archived.');
    end;
    perform set_config('app.reason', coalesce(reason_before, ''), true), app.set_action(action_before);
    if archived then
      parts := app.count_parts(rule.table_id, id, becomes);
    end if;
  end if;

  return jsonb_build_object(
    'table', table_name, 'id', id, 'name', app.name_of(rule.table_id, told),
    'changed', is_change, 'deleted_at', case when is_change then becomes else was end, 'parts', parts);
end;
$$;

comment on function app.set_archived(text, uuid, boolean, text, boolean) is
  'What public.archive and public.restore do; is_visible says which refusal hides nothing. Definer: deleted_at is in no column grant, and what leans on a row may be hidden from the caller.';

create function public.archive(table_name text, id uuid, reason text default null)
returns jsonb
language sql
volatile
set search_path = ''
as $$ select app.set_archived(table_name, id, true, reason, app.sees_row(table_name, id)) $$;

comment on function public.archive(text, uuid, text) is
  'Archives a row with its parts, and says so: {"table", "id", "name", "changed", "deleted_at", "parts": {"<table>": number}}. Archived already: changed is false. '
  'The reason goes to the audit log. Errors: table_not_archivable, row_not_found, permission_denied, has_live_children, invalid_value.';

create function public.restore(table_name text, id uuid, reason text default null)
returns jsonb
language sql
volatile
set search_path = ''
as $$ select app.set_archived(table_name, id, false, reason, app.sees_row(table_name, id)) $$;

comment on function public.restore(text, uuid, text) is
  'Brings an archived row back with the parts that were archived with it; answers as archive does. '
  'Errors: table_not_archivable, row_not_found, permission_denied, parent_archived, value_taken, invalid_value.';

-- Purging ------------------------------------------------------------------------------------------------------------

create function app.purge_rows(tracked regclass, ids uuid[], reason text)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  reference record;
  part_ids uuid[];
  removed jsonb := '{}';
  gone bigint;
  leaning text;
  reason_before constant text := current_setting('app.reason', true);
  action_before constant text := app.set_action('ROW_PURGED');
begin
  -- Parts first, each in the same way; of parts that lean on each other, the one that leans.
  for reference in
    select r.child_id, r.parent_id, r.condition
    from app.row_references r
    where r.parent_id = tracked and r.is_part and r.child_id <> tracked
    order by app.reference_depth(r.child_id) desc, r.name
  loop
    execute format('select array_agg(c.id) from %s c join %s p on %s where p.id = any ($1) and p.deleted_at is not null',
      app.qualified(reference.child_id), app.qualified(reference.parent_id), format(reference.condition, 'c', 'p'))
    into part_ids using ids;
    select jsonb_object_agg(t.key, t.total) into removed
    from (
      select e.key, sum(e.value::bigint) as total
      from (select * from jsonb_each_text(removed) union all select * from jsonb_each_text(app.purge_rows(reference.child_id, part_ids, reason))) e
      group by e.key
    ) t;
  end loop;

  perform set_config('app.purging', tracked::oid::text, true), set_config('app.reason', reason, true);
  begin
    execute format('delete from %s t where t.id = any ($1) and t.deleted_at is not null', tracked) using ids;
    get diagnostics gone = row_count;
  exception when foreign_key_violation then
    get stacked diagnostics leaning = table_name;
    perform app.fail(409, 'has_children', format('Rows of %s still lean on it.', leaning), 'Purge those first.');
  end;
  perform set_config('app.purging', '', true), set_config('app.reason', coalesce(reason_before, ''), true), app.set_action(action_before);
  return removed || jsonb_build_object((select c.relname from pg_catalog.pg_class c where c.oid = tracked), gone);
end;
$$;

comment on function app.purge_rows(regclass, uuid[], text) is
  'Removes archived rows and their parts for good, and answers how many of which table; live rows stay. The audit keeps each row as it was, and the reason. '
  'The one way past app.tg__delete_refused; for public.purge and retention jobs. Errors: has_children.';

create function app.purge(table_name text, id uuid, reason text)
returns jsonb
language plpgsql
volatile
security definer -- nobody may delete rows
set search_path = ''
as $$
declare
  tracked regclass;
  told jsonb;
  removed jsonb;
begin
  if not app.is_trusted() and not app.can_on_site('records.purge') then
    perform app.refuse('records.purge');
  elsif coalesce(btrim(reason), '') = '' then
    perform app.fail(422, 'reason_required', 'What is removed for good is removed for a reason, which the audit log keeps.');
  elsif length(reason) > 2000 then
    perform app.fail(422, 'invalid_value', 'The reason is longer than 2000 characters.');
  end if;
  select r.table_id into tracked from app.archive_rules r where r.table_id = to_regclass('public.' || quote_ident(table_name));
  if tracked is null then
    perform app.fail(404, 'table_not_archivable', format('There is no table %s whose rows are archived.', table_name));
  end if;
  execute format('select to_jsonb(t) from %s t where t.id = $1 for update', tracked) into told using id;
  if told is null then
    perform app.fail(404, 'row_not_found', format('There is no row of %s with this id.', table_name));
  elsif told ->> 'deleted_at' is null then
    perform app.fail(409, 'not_archived', format('The row of %s is live.', table_name), 'Archive it first.');
  end if;

  removed := app.purge_rows(tracked, array[id], btrim(reason));
  return jsonb_build_object(
    'table', table_name, 'id', id, 'name', app.name_of(tracked, told), 'changed', true, 'deleted_at', told ->> 'deleted_at',
    'parts', (select coalesce(jsonb_object_agg(e.key, e.value), '{}') from jsonb_each(removed - table_name) e where e.value <> '0'));
end;
$$;

comment on function app.purge(text, uuid, text) is 'What public.purge does. Definer: nobody may delete rows.';

create function public.purge(table_name text, id uuid, reason text)
returns jsonb
language sql
volatile
set search_path = ''
as $$ select app.purge(table_name, id, reason) $$;

comment on function public.purge(text, uuid, text) is
  'Removes an archived row and its parts for good; takes records.purge on the site, and a reason, which the audit log keeps with the row as it was. Answers as archive does. '
  'Errors: permission_denied, reason_required, invalid_value, table_not_archivable, row_not_found, not_archived, has_children.';

grant execute on function
  app.set_archived(text, uuid, boolean, text, boolean), public.archive(text, uuid, text), public.restore(text, uuid, text),
  app.purge(text, uuid, text), public.purge(text, uuid, text)
to authenticated, service_role;

-- What the foundation archives -----------------------------------------------------------------------------------------
-- Later topics declare their own beside their tables. Memberships end (revoke_role) and profiles are put aside
-- (set_account_status); with what they are part of they are archived all the same.

select app.define_permission('communities.archive', 'community', 'Archive and restore the community',
  '{site/superadmin, organization/owner, organization/admin}');
select app.define_permission('roles.archive', 'community', 'Archive and restore custom roles', '{
  site/superadmin, organization/owner, organization/admin, community/admin}');

insert into app.archive_rules (table_id, permission_key) values
  ('public.organizations', 'organizations.archive'),
  ('public.communities', 'communities.archive'),
  ('public.roles', 'roles.archive');
