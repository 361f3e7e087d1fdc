-- Foundation: the audit log, and tracking of tables.
--
-- Purpose     Who changed what, when, and how it was before.
-- Tables      audit.log (monthly partitions and a default one)
-- Views       public.audit_log
-- Invariants  Append-only: UPDATE, DELETE and TRUNCATE are refused for everybody, the owner included.
--             Every tracked statement leaves one entry per changed row in the same transaction, or does not happen.

create type public.audit_operation as enum ('insert', 'update', 'delete');

create table audit.log (
  id bigint generated always as identity,
  recorded_at timestamptz not null default now(),
  table_id regclass not null,
  operation public.audit_operation not null,
  row_id uuid,
  community_id uuid,
  organization_id uuid,
  actor_id uuid,
  actor_label text,
  transaction_id xid8 not null default pg_current_xact_id(),
  changes jsonb not null,
  note text,
  constraint log_pkey primary key (recorded_at, id)
) partition by range (recorded_at);

-- Small, because every change pays for them: one key per changed row however often it changed; communities in order of
-- time (read backwards for the newest first), which lets pages fill up.
create index log_row_idx on audit.log (row_id);
create index log_community_idx on audit.log (community_id, recorded_at) where community_id is not null;

comment on table audit.log is 'One entry per changed row of a tracked table. Append-only; read it through public.audit_log.';
comment on column audit.log.id is 'Counts the entries; entries of one transaction in the order they were written.';
comment on column audit.log.recorded_at is 'When the transaction of the change began.';
comment on column audit.log.table_id is 'The table, by its catalog id: it follows renames.';
comment on column audit.log.operation is 'insert, update or delete.';
comment on column audit.log.row_id is 'The changed row''s id.';
comment on column audit.log.community_id is 'The community the row belongs to, if it belongs to one.';
comment on column audit.log.organization_id is 'The organization the row belongs to, if it names one.';
comment on column audit.log.actor_id is 'The user who made the change; null when no user did.';
comment on column audit.log.actor_label is 'Who made the change when no user did: service_role, studio:postgres, job:<name>.';
comment on column audit.log.transaction_id is 'Changes with the same id were made together.';
comment on column audit.log.changes is
  'insert: {"column": value, …}, nulls left out. update: {"column": [before, after], …}, changed columns only. delete: as insert, the row as it was. Secret columns read "[redacted]".';
comment on column audit.log.note is 'The reason given for the change: set_config(''app.reason'', …, true) before it.';

alter table audit.log enable row level security;
create policy log_select on audit.log for select to authenticated
  using (
    (community_id = any ((select app.my_communities())::uuid[]) and community_id in (select app.communities_with('audit.read')))
    or organization_id in (select app.organizations_with('audit.read'))
    or (select app.can_on_site('audit.read'))
  );
grant select on audit.log to authenticated, service_role;

create trigger _100_append_only before update or delete or truncate on audit.log
  for each statement execute function app.tg__append_only();

-- Partitions ---------------------------------------------------------------------------------------------------------

create function app.ensure_partitions(parent regclass, months_ahead integer default 3)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  parent_schema name;
  parent_name name;
  partition_key text;
  first_day date;
  partition_name text;
  bounds text;
  blocked boolean;
  made integer := 0;
begin
  select n.nspname, c.relname, a.attname into parent_schema, parent_name, partition_key
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_partitioned_table p on p.partrelid = c.oid
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = p.partattrs[0]
  where c.oid = parent;

  -- Two installs or two jobs at once make each partition once.
  perform pg_catalog.pg_advisory_xact_lock(parent::oid::bigint);

  for month in -1 .. months_ahead loop
    first_day := case when month >= 0 then (date_trunc('month', now() at time zone 'UTC') + make_interval(months => month))::date end;
    partition_name := parent_name || case when month < 0 then '_default' else to_char(first_day, '"_y"YYYY"m"MM') end;
    continue when pg_catalog.to_regclass(format('%I.%I', parent_schema, partition_name)) is not null;

    if month < 0 then
      bounds := 'default';
    else
      bounds := format('for values from (%L) to (%L)',
        first_day::text || ' 00:00:00+00', (first_day + interval '1 month')::date::text || ' 00:00:00+00');
      -- Rows that already fell into the default partition stay there; a partition for their month would clash with them.
      execute format('select exists (select from %I.%I where %I >= %L and %I < %L)',
        parent_schema, parent_name || '_default',
        partition_key, first_day::text || ' 00:00:00+00', partition_key, (first_day + interval '1 month')::date::text || ' 00:00:00+00')
      into blocked;
      if blocked then
        raise warning 'partition % not made: the default partition already holds rows of that month', partition_name;
        continue;
      end if;
    end if;

    execute format('create table %I.%I partition of %I.%I %s', parent_schema, partition_name, parent_schema, parent_name, bounds);
    execute format('comment on table %I.%I is %L', parent_schema, partition_name, format('A partition of %I.%I; read the parent.', parent_schema, parent_name));
    execute format('alter table %I.%I enable row level security', parent_schema, partition_name);
    execute format('create policy %I on %I.%I for select to authenticated using (false)', partition_name || '_select', parent_schema, partition_name);
    execute format('create trigger _100_append_only before update or delete or truncate on %I.%I for each statement execute function app.tg__append_only()',
      parent_schema, partition_name);
    made := made + 1;
  end loop;
  return made;
end;
$$;

comment on function app.ensure_partitions(regclass, integer) is
  'Makes the monthly partitions (UTC months) of an append-only log from this month to `months_ahead` months on, and the default one, each closed to the API. Returns how many were made; calling it again makes none.';

select app.ensure_partitions('audit.log');

-- Tracking -----------------------------------------------------------------------------------------------------------
-- Statement triggers over transition tables; hstore finds the changed columns in one C call per row, jsonb keeps their types.
-- Trigger arguments: [0] column that names the community, [1] column that names the organization, [2] secret columns.

create function app.redacted(told jsonb, secrets text[])
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  return (select coalesce(jsonb_object_agg(k, '[redacted]'::text), '{}') from unnest(secrets) k where told ? k);
end;
$$;

comment on function app.redacted(jsonb, text[]) is 'The secret columns that occur in an audit entry, each replaced by "[redacted]".';

create function app.changed_values(before jsonb, after jsonb, changed text[], secrets text[])
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  return (
    select jsonb_object_agg(k, case when k = any (secrets) then '["[redacted]", "[redacted]"]' else jsonb_build_array(before -> k, after -> k) end)
    from unnest(changed) k
  );
end;
$$;

comment on function app.changed_values(jsonb, jsonb, text[], text[]) is
  'What an audit entry tells of an update: each changed column with its value before and after, secret ones redacted.';

create function app.tg__audit()
returns trigger
language plpgsql
security definer -- writes audit.log, which nobody else may write
set search_path = ''
as $$
-- A tracked table may have columns of any name.
#variable_conflict use_variable
begin
  -- updated_by names the user, because _100_touch has set it; who else acts is looked up once, and only if nobody is named.
  if tg_op = 'UPDATE' then
    insert into audit.log (table_id, operation, row_id, community_id, organization_id, actor_id, actor_label, changes, note)
    select tg_relid, 'update', c.id, (c.after ->> tg_argv[0])::uuid, (c.after ->> tg_argv[1])::uuid,
      c.updated_by, case when c.updated_by is null then (select app.actor_label()) end,
      -- Most updates change one column, and most tables have no secrets.
      case when cardinality(c.changed) = 1 and tg_argv[2] = '{}'
        then jsonb_build_object(c.changed[1], jsonb_build_array(c.before -> c.changed[1], c.after -> c.changed[1]))
        else app.changed_values(c.before, c.after, c.changed, tg_argv[2]::text[])
      end,
      nullif(current_setting('app.reason', true), '')
    from (
      select n.id, n.updated_by, to_jsonb(o) as before, to_jsonb(n) as after,
        extensions.akeys(
          (extensions.hstore(n) operator(extensions.-) extensions.hstore(o)) operator(extensions.-) '{updated_at,updated_by}'::text[]) as changed
      -- Full, because that is never a nested loop: the plan made for one row is kept, and used for a hundred thousand.
      from new_rows n full join old_rows o on o.id = n.id
      offset 0
    ) c
    where c.changed <> '{}';
  elsif tg_op = 'INSERT' then
    insert into audit.log (table_id, operation, row_id, community_id, organization_id, actor_id, actor_label, changes, note)
    select tg_relid, 'insert', r.id, (r.row ->> tg_argv[0])::uuid, (r.row ->> tg_argv[1])::uuid,
      r.updated_by, case when r.updated_by is null then (select app.actor_label()) end,
      case when tg_argv[2] = '{}' then r.told else r.told || app.redacted(r.told, tg_argv[2]::text[]) end,
      nullif(current_setting('app.reason', true), '')
    from (
      select n.id, n.updated_by, j.row,
        jsonb_strip_nulls(j.row - '{id,community_id,created_at,updated_at,created_by,updated_by,deleted_at}'::text[]) as told
      from new_rows n cross join lateral (select to_jsonb(n) as row offset 0) j
      offset 0
    ) r;
  else
    insert into audit.log (table_id, operation, row_id, community_id, organization_id, actor_id, actor_label, changes, note)
    select tg_relid, 'delete', r.id, (r.row ->> tg_argv[0])::uuid, (r.row ->> tg_argv[1])::uuid,
      (select app.actor_id()), (select app.actor_label()),
      case when tg_argv[2] = '{}' then r.told else r.told || app.redacted(r.told, tg_argv[2]::text[]) end,
      nullif(current_setting('app.reason', true), '')
    from (
      select o.id, j.row, jsonb_strip_nulls(j.row) as told
      from old_rows o cross join lateral (select to_jsonb(o) as row offset 0) j
      offset 0
    ) r;
  end if;
  return null;
end;
$$;

comment on function app.tg__audit() is
  'AFTER INSERT, UPDATE OR DELETE, per statement: one audit.log entry per changed row. Definer, because nobody may write audit.log otherwise. '
  'An update that changes nothing but updated_at and updated_by is not recorded.';

create function app.track(tracked regclass, secrets text[] default '{}', deletable boolean default false)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  columns constant text[] := array(
    select a.attname::text from pg_catalog.pg_attribute a where a.attrelid = tracked and a.attnum > 0 and not a.attisdropped);
  community_column constant text := case when tracked::text in ('communities', 'public.communities') then 'id' when 'community_id' = any (columns) then 'community_id' else '' end;
  organization_column constant text := case when tracked::text in ('organizations', 'public.organizations') then 'id' when 'organization_id' = any (columns) then 'organization_id' else '' end;
  frozen text;
begin
  execute format('alter table %s enable row level security', tracked);

  -- Every table has these two, and they mean the same everywhere.
  if pg_catalog.col_description(tracked, 1) is null then
    execute format('comment on column %s.id is %L', tracked, 'The row''s id, a time-ordered UUID. Never changes.');
  end if;
  if community_column = 'community_id' and pg_catalog.col_description(tracked, array_position(columns, 'community_id')) is null then
    execute format('comment on column %s.community_id is %L', tracked, 'The community the row belongs to. Never changes.');
  end if;

  foreach frozen in array array['id', 'community_id'] loop
    if frozen = any (columns) then
      execute format(
        'create or replace trigger %I before update of %I on %s for each row when (old.%I is distinct from new.%I) execute function app.tg__frozen(%L)',
        '_010_frozen_' || frozen, frozen, tracked, frozen, frozen, frozen);
    end if;
  end loop;

  execute format('create or replace trigger _100_touch before insert or update on %s for each row execute function app.tg__touch()', tracked);

  if deletable then
    execute format('create or replace trigger _020_delete_refused before truncate on %s for each statement execute function app.tg__delete_refused()', tracked);
  else
    execute format('create or replace trigger _020_delete_refused before delete or truncate on %s for each statement execute function app.tg__delete_refused()', tracked);
  end if;

  execute format('create or replace trigger _900_audit_insert after insert on %s referencing new table as new_rows for each statement execute function app.tg__audit(%L, %L, %L)',
    tracked, community_column, organization_column, secrets);
  execute format('create or replace trigger _900_audit_update after update on %s referencing old table as old_rows new table as new_rows for each statement execute function app.tg__audit(%L, %L, %L)',
    tracked, community_column, organization_column, secrets);
  execute format('create or replace trigger _900_audit_delete after delete on %s referencing old table as old_rows for each statement execute function app.tg__audit(%L, %L, %L)',
    tracked, community_column, organization_column, secrets);

  -- The topic of archiving comes later, and guards the tables tracked before it by itself.
  if to_regprocedure('app.guard_archiving(regclass)') is not null then
    perform app.guard_archiving(tracked);
  end if;
  -- So does the topic of database roles.
  if to_regprocedure('app.open_to_database_roles(regclass)') is not null then
    perform app.open_to_database_roles(tracked);
  end if;
end;
$$;

comment on function app.track(regclass, text[], boolean) is
  'Attaches to a table what every business table has: RLS, the row model''s triggers, ids and communities that never change, refusal of DELETE and TRUNCATE, the audit, the guards of archiving, and the policies of database logins. '
  'Idempotent; call it again when a foreign key was added. `secrets`: columns whose values the audit never holds. `deletable`: a plain link table whose rows are really deleted.';

grant execute on function app.redacted(jsonb, text[]) to service_role;

-- Reading ------------------------------------------------------------------------------------------------------------

create view public.audit_log with (security_invoker = true) as
select
  l.id, l.recorded_at, c.relname::text as table_name, l.operation, l.row_id, l.community_id, l.organization_id,
  l.actor_id, l.actor_label, l.transaction_id::text as transaction_id, l.changes, l.note
from audit.log l
join pg_catalog.pg_class c on c.oid = l.table_id;

comment on view public.audit_log is
  'Who changed what, newest last; for holders of audit.read. Filter by community_id and recorded_at, or by row_id: both are indexed.';
comment on column public.audit_log.id is 'Counts the entries.';
comment on column public.audit_log.recorded_at is 'When the transaction of the change began.';
comment on column public.audit_log.table_name is 'Name of the table.';
comment on column public.audit_log.operation is 'insert, update or delete.';
comment on column public.audit_log.row_id is 'Id of the changed row.';
comment on column public.audit_log.community_id is 'The community the row belongs to, if any.';
comment on column public.audit_log.organization_id is 'The organization the row names, if any.';
comment on column public.audit_log.actor_id is 'The user who made the change.';
comment on column public.audit_log.actor_label is 'Who made it when no user did.';
comment on column public.audit_log.transaction_id is 'Changes with the same id were made together.';
comment on column public.audit_log.changes is 'See audit.log: the row, or [before, after] of each changed column.';
comment on column public.audit_log.note is 'The reason given.';

grant select on public.audit_log to authenticated, service_role;
