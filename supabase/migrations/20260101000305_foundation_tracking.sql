-- Foundation: tracking of tables.
--
-- Purpose     What makes a table one that is audited: app.track gives it the triggers of the row model, and a function made from its columns
--             that logs its changes; app.keep is for tables that the database alone writes, which have neither.
-- Tables      none; entries go to audit.log (topic audit)
-- Invariants  Every tracked statement leaves one entry per changed row in the same transaction, or does not happen. It tells the truth
--             whatever became of the columns since the table was tracked.

-- Statement triggers over transition tables, whose function app.track makes for each table from its columns: comparing and telling
-- them by name costs a third of what finding out did which there are.
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

create function app.columns_signature(tracked regclass)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select md5(string_agg(format('%s %s %s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation), ', ' order by a.attnum))
    from pg_catalog.pg_attribute a where a.attrelid = tracked and a.attnum > 0 and not a.attisdropped
  );
end;
$$;

comment on function app.columns_signature(regclass) is 'A hash of the names and types of a table''s columns. Not executable by API roles.';

create function app.is_as_tracked(first_name text, signature text)
returns boolean
language plpgsql
immutable -- asked while a statement is planned, and not each time it runs: a plan is made anew when its table is altered
set search_path = ''
as $$
begin
  return (
    select count(*) = 1 and bool_and(app.columns_signature(t.table_id) = signature)
    from audit.tables t join pg_catalog.pg_class c on c.oid = t.table_id
    where t.name = first_name
  );
end;
$$;

comment on function app.is_as_tracked(text, text) is
  'Whether the table that was first tracked under this name has the columns that it had when its audit function was made. For statements over the table, which are planned anew when it is altered. Not executable by API roles.';

create function app.audit_statement(operation text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return $log$
    insert into audit.log (table_id, operation, row_id, community_id, organization_id, actor_id, actor_label, origin_id, changes, action, note)
    select $1, lower($5)::public.audit_operation, t.id, (t.row ->> $2)::uuid, (t.row ->> $3)::uuid,
      t.actor_id, case when t.actor_id is null then (select app.actor_label()) end, (select app.request_origin()), t.changes,
      (select app.known_action(nullif(current_setting('app.action', true), '')) where current_setting('app.action', true) <> ''),
      nullif(current_setting('app.reason', true), '')
    from ($log$ || case operation
      when 'UPDATE' then $log$
        select n.id, n.updated_by as actor_id, j.after as row, c.changes
        from new_rows n full join old_rows o on o.id = n.id
        cross join lateral (select to_jsonb(n) as after, to_jsonb(o) as before offset 0) j
        cross join lateral (
          select jsonb_object_agg(a.key, case when a.key = any ($4) then '["[redacted]", "[redacted]"]' else jsonb_build_array(j.before -> a.key, a.value) end) as changes
          from jsonb_each(j.after) a
          where a.key not in ('updated_at', 'updated_by') and a.value::text is distinct from (j.before -> a.key)::text
        ) c
        where c.changes is not null$log$
      else format($log$
        select r.id, %s as actor_id, j.row, c.told || app.redacted(c.told, $4) as changes
        from %s r
        cross join lateral (select to_jsonb(r) as row offset 0) j
        cross join lateral (select jsonb_strip_nulls(j.row%s) as told offset 0) c$log$,
        case operation when 'INSERT' then 'r.updated_by' else '(select app.actor_id())' end,
        case operation when 'INSERT' then 'new_rows' else 'old_rows' end,
        case operation when 'INSERT' then ' - ''{id,community_id,created_at,updated_at,created_by,updated_by,deleted_at}''::text[]' else '' end)
    end || $log$
    ) t$log$;
end;
$$;

comment on function app.audit_statement(text) is
  'The statement that logs an INSERT, UPDATE or DELETE of a table whatever columns it has, by the jsonb of its rows: $1 the table, $2 and $3 the columns of community and organization, $4 secret columns, $5 the operation. Not executable by API roles.';

create function app.make_audit(tracked regclass, community_column text, organization_column text, secrets text[])
returns text
language plpgsql
volatile
set search_path = ''
set check_function_bodies = off -- made for a hundred tables; each of them is written by tests
as $$
declare
  first_name constant text := (select t.name from audit.tables t where t.table_id = tracked);
  signature constant text := app.columns_signature(tracked);
  made text;
  origin constant text := 'coalesce((select o.id from audit.origins o where o.hash = audit_place and o.erased_at is null limit 1), case when audit_place is not null then app.request_origin() end)';
  columns record;
  picked text;
  new_rows text;
  old_rows text;
  told text;
  changed text;
  changed_row text;
  changed_rows text;
  entry text;
begin
  -- The function that the table has, or the first free name: tables of two schemas may be called alike.
  select p.oid::regproc::text into made
  from pg_catalog.pg_trigger g join pg_catalog.pg_proc p on p.oid = g.tgfoid
  where g.tgrelid = tracked and g.tgname = '_900_audit_insert';
  if made is null then
    select format('app.%I', free.name) into made
    from generate_series(1, 1000) i
    cross join lateral (select 'tg_' || left(split_part(first_name, '.', 2), 48) || '__audit' || case when i > 1 then '_' || i else '' end as name) free
    where not exists (select from pg_catalog.pg_proc p where p.pronamespace = 'app'::regnamespace and p.proname = free.name)
    order by i
    limit 1;
  end if;

  select
    string_agg(format('%I', c.name), ', ' order by c.number) as names,
    string_agg(format('%L: case when %s then %s end', c.name, c.differs, c.both), ', ' order by c.number) filter (where c.changes) as updated,
    string_agg(c.told, ', ' order by c.number) filter (where c.name not in ('id', 'community_id', 'created_at', 'updated_at', 'created_by', 'updated_by', 'deleted_at')) as inserted,
    string_agg(c.told, ', ' order by c.number) as deleted
  into columns
  from (
    select a.attname as name, a.attnum as number,
      -- The others of the row model change with every row, or never: _010_frozen and _100_touch see to that.
      a.attname not in ('id', 'community_id', 'created_at', 'updated_at', 'created_by', 'updated_by') as changes,
      format(case when a.attname = any (secrets) then '%1$L: case when n.%1$I is not null then ''[redacted]'' end' else '%1$L: n.%1$I' end, a.attname) as told,
      format(case when a.attname = any (secrets) then '''["[redacted]", "[redacted]"]''::json' else 'json_build_array(o.%1$I, n.%1$I)' end, a.attname) as both,
      -- Two values are the same if they read the same. Of some types equal ones do, and to compare these is cheaper.
      format(case
        when t.typtype = 'e' or (t.oid = 'text'::regtype and l.collisdeterministic) or (t.oid = 'numeric'::regtype and a.atttypmod <> -1)
          or t.oid in ('uuid'::regtype, 'boolean'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'date'::regtype, 'timestamptz'::regtype)
        then 'n.%1$I is distinct from o.%1$I'
        else 'n.%1$I::text is distinct from o.%1$I::text'
      end, a.attname) as differs
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_type t on t.oid = a.atttypid
    left join pg_catalog.pg_collation l on l.oid = a.attcollation
    where a.attrelid = tracked and a.attnum > 0 and not a.attisdropped
  ) c;

  -- It is text that is kept: to make jsonb of it first costs a tenth of all.
  -- Columns are named by their order, with spare ones behind them: so the statements can be planned when columns were renamed or dropped.
  -- A plan for others than the function was made for finds nothing to log, and leaves it to app.audit_statement.
  picked := format('r.id, %s, %s, r.updated_by, r.*, null, null, null, null, null, null, null, null',
    coalesce('r.' || quote_ident(nullif(community_column, '')), 'null::uuid'), coalesce('r.' || quote_ident(nullif(organization_column, '')), 'null::uuid'));
  new_rows := format('(select %s from new_rows r) n (audit_row, audit_community, audit_organization, audit_actor, %s)', picked, columns.names);
  old_rows := format('(select %s from old_rows r) o (audit_row, audit_community, audit_organization, audit_actor, %s)', picked, columns.names);
  told := 'json_object(%s absent on null returning text)';
  -- Whether a row changed is seen by what there is to tell of it: comparing its columns once more costs a tenth of an entry.
  changed := 'select n.audit_row, n.audit_community, n.audit_organization, n.audit_actor, ' || format(told, columns.updated) || ' as changes from ' || new_rows;
  changed_row := '(' || changed || ' cross join ' || old_rows || ' offset 0) n';
  changed_rows := '(' || changed || ' full join ' || old_rows || ' on o.audit_row = n.audit_row offset 0) n';
  entry := format($log$
    insert into audit.log (table_id, operation, row_id, community_id, organization_id, actor_id, actor_label, origin_id, changes, action, note)
    select tg_relid, %%L, n.audit_row, n.audit_community, n.audit_organization, %%2$s, audit_label, %%6$s,
      %%3$s,
      case when current_setting('app.action', true) <> '' then (select app.known_action(current_setting('app.action', true))) end, nullif(current_setting('app.reason', true), '')
    from %%4$s
    where %%5$s app.is_as_tracked(%L, %L);$log$, first_name, signature);

  execute format($function$
create or replace function %s()
returns trigger
language plpgsql
security definer
set search_path = ''
as $audit$
#variable_conflict use_column
declare
  claimed constant text := current_setting('app.claims_actor', true);
  headers jsonb;
  audit_label text;
  audit_place bytea;
begin
  -- app.believes_claims(), written out; and then app.tg__touch has read the claims, if a row was written.
  if tg_op <> 'DELETE' and (current_setting('role') in ('authenticated', 'anon', 'service_role') or pg_has_role(session_user, 'postgres', 'member')) then
    -- app.origin_hash, written out.
    headers := nullif(current_setting('request.headers', true), '')::jsonb;
    if headers is not null then
      audit_place := sha256(convert_to(format('%%L %%L %%L %%L %%L %%L', nullif(claimed, '')::uuid,%s), 'UTF8'));
    end if;
    -- app.actor_label(), and of it written out what devices and jobs are.
    if coalesce(claimed, '') = '' then
      audit_label := coalesce(nullif(current_setting('app.actor', true), ''), app.actor_label());
    end if;
  else
    audit_label := app.actor_label();
  end if;
  if tg_op = 'UPDATE' then
    -- One row needs no join; the plan for many must not compare each with each, and keeps them in memory.%s
    if found then
      return null;
    else
      declare
        memory text := current_setting('work_mem');
        widened text;
      begin
        widened := set_config('work_mem', greatest(pg_size_bytes(memory) / 1024, 65536)::text, true);%s
        memory := set_config('work_mem', memory, true);
      end;
    end if;
  elsif tg_op = 'INSERT' then%s
  else%s
  end if;
  if not found then
    if app.columns_signature(tg_relid) <> %L then
      execute app.audit_statement(tg_op) using tg_relid, tg_argv[0], tg_argv[1], tg_argv[2]::text[], tg_op;
    end if;
  end if;
  return null;
end;
$audit$
$function$,
    made,
    app.place_columns(),
    format(entry, 'update', 'n.audit_actor', 'n.changes', changed_row, 'not exists (select from new_rows offset 1) and n.changes <> ''{}'' and', origin),
    format(entry, 'update', 'n.audit_actor', 'n.changes', changed_rows, 'n.changes <> ''{}'' and', format('(select %s)', origin)),
    format(entry, 'insert', 'n.audit_actor', format(told, columns.inserted), new_rows, '', format('(select %s)', origin)),
    format(entry, 'delete', '(select app.actor_id())', format(told, columns.deleted), format('(select %s from old_rows r) n (audit_row, audit_community, audit_organization, audit_actor, %s)', picked, columns.names), '', '(select app.request_origin())'),
    signature);
  execute format('comment on function %s() is %L', made,
    'AFTER INSERT, UPDATE OR DELETE, per statement: one audit.log entry per changed row; an update that changes nothing but updated_at and updated_by is not recorded. '
    'Made by app.track from the table''s columns. Definer, because nobody may write audit.log otherwise.');
  return made;
end;
$$;

comment on function app.make_audit(regclass, text, text, text[]) is
  'Makes the function that logs the changes of a table, or makes it anew, and returns its name. For app.track.';

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
  audited text;
  frozen text;
begin
  execute format('alter table %s enable row level security', tracked);
  insert into audit.tables (table_id, name)
  select tracked, n.nspname || '.' || c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = tracked
  on conflict do nothing;

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

  execute format('create or replace trigger _090_made before update of created_at, created_by on %s for each row when (old.created_at is distinct from new.created_at or old.created_by is distinct from new.created_by) execute function app.tg__made()', tracked);
  execute format('create or replace trigger _100_touch before insert or update on %s for each row execute function app.tg__touch()', tracked);

  if deletable then
    execute format('create or replace trigger _020_delete_refused before truncate on %s for each statement execute function app.tg__delete_refused()', tracked);
  else
    execute format('create or replace trigger _020_delete_refused before delete or truncate on %s for each statement execute function app.tg__delete_refused()', tracked);
  end if;

  audited := format('for each statement execute function %s(%L, %L, %L)',
    app.make_audit(tracked, community_column, organization_column, secrets), community_column, organization_column, secrets);
  execute format('create or replace trigger _900_audit_insert after insert on %s referencing new table as new_rows %s', tracked, audited);
  execute format('create or replace trigger _900_audit_update after update on %s referencing old table as old_rows new table as new_rows %s', tracked, audited);
  execute format('create or replace trigger _900_audit_delete after delete on %s referencing old table as old_rows %s', tracked, audited);

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

create function app.keep(kept regclass, is_append_only boolean default true)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  told record;
begin
  execute format('alter table %s enable row level security', kept);
  if is_append_only then
    execute format('create or replace trigger _100_append_only before update or delete or truncate on %s for each statement execute function app.tg__append_only()', kept);
  end if;
  for told in
    select c.name, c.text
    from (values
      ('id', 'The row''s id, a time-ordered UUID. Never changes.'), ('community_id', 'The community the row belongs to. Never changes.')
    ) c (name, text)
    join pg_catalog.pg_attribute a on a.attrelid = kept and a.attname = c.name and pg_catalog.col_description(kept, a.attnum) is null
  loop
    execute format('comment on column %s.%I is %L', kept, told.name, told.text);
  end loop;
  -- The topic of database roles comes later.
  if to_regprocedure('app.open_to_database_roles(regclass)') is not null then
    perform app.open_to_database_roles(kept);
  end if;
end;
$$;

comment on function app.keep(regclass, boolean) is
  'What app.track is for business tables, for tables of the API that the database alone writes: RLS, and database logins may read them. Append-only: UPDATE, DELETE and TRUNCATE are refused, so each row is its own history; '
  'otherwise (a running balance, a snapshot) the rows follow from others and say nothing that those do not. Such tables have no row model and no audit, and nobody holds INSERT, UPDATE or DELETE on them.';

grant execute on function app.redacted(jsonb, text[]) to service_role;
