-- Foundation: finding, exporting, erasing and merging rows of a person by the registry.
--
-- Purpose     The mechanism behind the RPCs of people and property. It knows tables by app.personal_data_registry alone, so that a
--             topic that registers its table is exported, erased and merged without a word here.
-- Types       app.person (who is meant), app.person_rows (rows of one registration)
-- Invariants  Statements are one per registration, never one per row. Rows are locked table by table, those that lean on others first, in
--             id order, so that two erasures or merges wait for each other instead of deadlocking.
--             Everything of a person is found before anything is changed: what an address or a link leads to is still led to.
--
-- None of these functions asks for permission or is executable by API roles: the RPCs ask, and say who is meant.

create type app.person as (residents uuid[], users uuid[], emails text[], phones text[], communities uuid[], is_within boolean);

comment on type app.person is
  'Who is meant: a user with everything (their residents'' records, the communities of those, verified address and number), or, is_within, a resident and what their user has in that community.';

create type app.person_rows as (table_id regclass, person_column text, ids uuid[]);

comment on type app.person_rows is 'Rows that a registration finds for a person.';

-- Finding ------------------------------------------------------------------------------------------------------------

create function app.has_column(tracked regclass, column_name text)
returns boolean
language sql
stable
set search_path = ''
return exists (
  select from pg_catalog.pg_attribute a where a.attrelid = tracked and a.attname = column_name and a.attnum > 0 and not a.attisdropped);

comment on function app.has_column(regclass, text) is 'Whether the table has a column of this name.';

create function app.table_label(tracked regclass)
returns text
language sql
stable
set search_path = ''
return (select c.relname::text from pg_catalog.pg_class c where c.oid = tracked);

comment on function app.table_label(regclass) is 'The table''s name without its schema: what an answer calls it.';

create function app.personal_condition(registered app.personal_data_registry, alias text, is_within boolean)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  named constant text := format('%s.%I', alias, registered.person_column);
  has_community constant boolean := app.has_column(registered.table_id, 'community_id');
  here constant text := case when is_within then format(' and %s.community_id = any (($1).communities)', alias) else '' end;
  parents text;
begin
  if registered.whose in ('resident', 'related') then
    -- The communities of the residents: indexes on tenant tables begin with it.
    return format('%s = any (($1).residents) and %s.community_id = any (($1).communities)', named, alias);
  elsif registered.whose = 'parent' then
    select string_agg(
      format('select %s%s.id from %s %s where %s', case when has_community and app.has_column(g.table_id, 'community_id') then alias || '_p.community_id, ' end,
        alias || '_p', app.qualified(g.table_id), alias || '_p', app.personal_condition(g, alias || '_p', is_within)),
      ' union ' order by g.person_column)
    into parents
    from app.personal_data_registry g
    where g.table_id = registered.parent_id and g.whose in ('resident', 'user', 'email', 'phone', 'parent');
    return format('%s in (%s)',
      case when has_community and app.has_column(registered.parent_id, 'community_id') then format('(%s.community_id, %s)', alias, named) else named end,
      coalesce(parents, case when has_community and app.has_column(registered.parent_id, 'community_id') then 'select null::uuid, null::uuid' else 'select null::uuid' end));
  elsif is_within and not registered.is_with_resident then
    return 'false';
  elsif registered.whose in ('user', 'actor') then
    return format('%s = any (($1).users)%s', named, here);
  elsif registered.whose = 'email' then
    return format('lower(%s) = any (($1).emails)%s', named, here);
  elsif registered.whose = 'phone' then
    return format('%s = any (($1).phones)%s', named, here);
  end if;
  return 'false';
end;
$$;

comment on function app.personal_condition(app.personal_data_registry, text, boolean) is
  'What makes a row (by its alias) one of a person ($1, an app.person), by one registration: a condition that indexes answer. is_within: of the person''s user only what is to be erased with the resident.';

create function app.registrations(whose app.personal_link[])
returns setof app.personal_data_registry
language sql
stable
set search_path = ''
as $$
  select g.*
  from app.personal_data_registry g
  join pg_catalog.pg_class c on c.oid = g.table_id
  where g.whose = any (registrations.whose)
  order by app.reference_depth(g.table_id) desc, c.relname, g.whose, g.person_column
$$;

comment on function app.registrations(app.personal_link[]) is
  'The registrations of these kinds in the order in which their rows are dealt with and locked: tables that lean on others first; of one table whose the rows are before to whom they are tied, so that a host has moved before the guests follow.';

create function app.lock_person_rows(who app.person, whose app.personal_link[])
returns setof app.person_rows
language plpgsql
volatile
set search_path = ''
as $$
declare
  registered app.personal_data_registry;
  found_rows app.person_rows;
begin
  for registered in select * from app.registrations(whose) loop
    continue when not app.has_column(registered.table_id, 'id') or (registered.whose in ('actor', 'related') and registered.on_erase = 'keep');
    found_rows := row(registered.table_id, registered.person_column, null);
    execute format('select array_agg(f.id) from (select t.id from %s t where %s order by t.id for update) f',
      app.qualified(registered.table_id), app.personal_condition(registered, 't', (who).is_within))
    into found_rows.ids using who;
    if found_rows.ids is not null then
      return next found_rows;
    end if;
  end loop;
end;
$$;

comment on function app.lock_person_rows(app.person, app.personal_link[]) is 'The rows of a person by registration, each locked until the transaction ends.';

-- Exporting ----------------------------------------------------------------------------------------------------------

create function app.exported_columns(registered app.personal_data_registry)
returns text[]
language sql
stable
set search_path = ''
return (
  select array_agg(a.attname::text order by a.attnum)
  from pg_catalog.pg_attribute a
  where a.attrelid = registered.table_id and a.attnum > 0 and not a.attisdropped
    and (a.attname = any (registered.exported)
      or registered.exported is null and a.attname not in ('created_by', 'updated_by') and (
        a.attname = registered.person_column or registered.columns ? a.attname::text
        -- What another registration says of somebody else is theirs.
        or not exists (
          select from app.personal_data_registry other
          where other.table_id = registered.table_id and other.person_column <> registered.person_column and other.whose <> 'nobody'
            and (other.person_column = a.attname or other.columns ? a.attname::text)))));

comment on function app.exported_columns(app.personal_data_registry) is 'The columns of a row that the person gets by one registration.';

create function app.export_rows(who app.person)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  registered record;
  told jsonb;
  exported jsonb[] := '{}';
begin
  for registered in
    select g.table_id, c.relname::text as table_name, count(*) as links, pg_catalog.obj_description(g.table_id, 'pg_class') as about,
      string_agg(
        format('select t.%s as id, jsonb_build_object(%s) as row from %s t where %s', case when app.has_column(g.table_id, 'id') then 'id' else 'ctid' end,
          (select string_agg(format('%L, t.%I', e.name, e.name), ', ') from unnest(app.exported_columns(g)) e (name)),
          app.qualified(g.table_id), app.personal_condition(g, 't', (who).is_within)),
        ' union all ' order by g.person_column) as found_rows,
      (select jsonb_object_agg(a.attname, pg_catalog.col_description(g.table_id, a.attnum)) filter (where pg_catalog.col_description(g.table_id, a.attnum) is not null)
       from pg_catalog.pg_attribute a
       where a.attrelid = g.table_id and a.attname in (select unnest(app.exported_columns(o)) from app.personal_data_registry o where o.table_id = g.table_id)) as columns
    from app.personal_data_registry g
    join pg_catalog.pg_class c on c.oid = g.table_id
    where g.whose <> 'nobody' and cardinality(app.exported_columns(g)) > 0
    group by g.table_id, c.relname
    order by c.relname
  loop
    -- One row whichever and however many of its columns name the person.
    execute format('select jsonb_agg(jsonb_strip_nulls(f.row) order by f.id) from (select r.id, %s as row from (%s) r group by r.id) f',
      (select string_agg(format('coalesce((array_agg(r.row))[%s], ''{}'')', n), ' || ') from generate_series(1, registered.links) n), registered.found_rows)
    into told using who;
    if told is not null then
      exported := exported || jsonb_build_object('table', registered.table_name, 'about', registered.about, 'columns', registered.columns, 'rows', told);
    end if;
  end loop;
  return to_jsonb(exported);
end;
$$;

comment on function app.export_rows(app.person) is
  'Everything registered of a person: [{"table", "about": its comment, "columns": {"<column>": its comment}, "rows": [{"<column>": value}]}]. Columns of a row that name or describe somebody else are left out.';

create function app.export_security_events(subject uuid)
returns jsonb
language sql
stable
set search_path = ''
return (
  select jsonb_build_object(
    'table', 'security_events', 'about', pg_catalog.obj_description('audit.security_events'::regclass, 'pg_class'),
    'columns', (
      select jsonb_object_agg(a.attname, pg_catalog.col_description(a.attrelid, a.attnum))
      from pg_catalog.pg_attribute a
      where a.attrelid = 'audit.security_events'::regclass and a.attnum > 0 and not a.attisdropped and a.attname <> 'actor_id'),
    'rows', jsonb_agg(jsonb_strip_nulls(to_jsonb(e) - 'actor_id') order by e.recorded_at, e.id))
  from audit.security_events e
  where e.user_id = subject
  having count(*) > 0);

comment on function app.export_security_events(uuid) is
  'What the log of security events tells of a user, as app.export_rows would; null: nothing. A log is not registered, because its rows are neither changed nor merged; app.erase_security_events erases what it tells.';

-- What forbids erasing -----------------------------------------------------------------------------------------------

create function app.registered_holds(who app.person)
returns table (reason text, until_on date, source text)
language plpgsql
stable
set search_path = ''
as $$
declare
  registered app.personal_data_registry;
begin
  for registered in select * from app.registrations('{resident,user}') r where r.held_by is not null loop
    return query execute format('select h.reason, h.until_on, $2 from unnest($1) p (id) cross join lateral %s(p.id) h', registered.held_by)
      using case when registered.whose = 'resident' then (who).residents when registered.is_with_resident or not (who).is_within then (who).users end,
        app.table_label(registered.table_id);
  end loop;
end;
$$;

comment on function app.registered_holds(app.person) is 'What the registered topics say that forbids erasing the person, each with the last day; null: without end.';

-- Erasing ------------------------------------------------------------------------------------------------------------

create function app.erased_assignments(registered app.personal_data_registry)
returns text
language sql
stable
set search_path = ''
return (
  select string_agg(format('%I = %s', w.name, w.written), ', ' order by w.name)
  from (
    select c.key as name,
      case
        when jsonb_typeof(c.value) = 'null' then 'null'
        when c.value ? 'each' then format('replace(%L, %L, t.id::text)', c.value ->> 'each', '%s')
        when a.atttypid = 'jsonb'::regtype then format('%L::jsonb', c.value)
        else format('%L', c.value #>> '{}')
      end as written
    from jsonb_each(registered.columns) c
    join pg_catalog.pg_attribute a on a.attrelid = registered.table_id and a.attname = c.key
    where jsonb_typeof(c.value) <> 'object' or not c.value ? 'kept'
    union all
    select registered.person_column, 'null' where registered.on_erase = 'unlink' and not registered.columns ? registered.person_column
    union all
    select 'deleted_at', 'coalesce(t.deleted_at, clock_timestamp())' where registered.on_erase = 'archive'
  ) w);

comment on function app.erased_assignments(app.personal_data_registry) is 'What erasing writes into a row t of a registration, as the SET clause of an update; null where it writes nothing.';

create function app.erase_found_rows(registered app.personal_data_registry, ids uuid[], reason text)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  table_name constant text := app.qualified(registered.table_id);
  assignments constant text := app.erased_assignments(registered);
begin
  if registered.on_erase = 'function' then
    perform set_config('app.rewriting', registered.table_id::oid::text, true);
    execute format('select %s($1)', registered.erase_with) using ids;
    perform set_config('app.rewriting', '', true);
  elsif registered.on_erase = 'remove' then
    execute format('update %s t set deleted_at = clock_timestamp() where t.id = any ($1) and t.deleted_at is null', table_name) using ids;
    perform app.purge_rows(registered.table_id, ids, reason);
  elsif registered.on_erase <> 'cascade' and assignments is not null then
    perform set_config('app.rewriting', registered.table_id::oid::text, true);
    execute format('update %s t set %s where t.id = any ($1)', table_name, assignments) using ids;
    perform set_config('app.rewriting', '', true);
  end if;
end;
$$;

comment on function app.erase_found_rows(app.personal_data_registry, uuid[], text) is 'Does to rows what their registration says of erasing.';

create function app.erase_found_audit(registered app.personal_data_registry, who app.person, ids uuid[], reason text)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  forgotten constant text[] := case when registered.on_erase in ('remove', 'cascade') then null else array(
    select c.key from jsonb_each(registered.columns) c where jsonb_typeof(c.value) <> 'object' or not c.value ? 'kept') end;
  named text[] := case registered.whose when 'resident' then (who).residents::text[] when 'email' then (who).emails when 'phone' then (who).phones else (who).users::text[] end;
  gone uuid[];
begin
  if forgotten = '{}' then
    return;
  elsif registered.whose <> 'parent' and (not (who).is_within or registered.whose = 'resident' or registered.is_with_resident) then
    -- Rows that were removed for good before are found by what the log kept of them.
    gone := array(
      select l.row_id from audit.log l
      where l.table_id = registered.table_id and l.operation = 'delete' and lower(l.changes::jsonb ->> registered.person_column) = any (named)
        and (not (who).is_within or l.community_id = any ((who).communities)));
  end if;
  if cardinality(ids || gone) > 0 then
    perform app.erase_audit(registered.table_id, ids || gone, forgotten, reason);
  end if;
end;
$$;

comment on function app.erase_found_audit(app.personal_data_registry, app.person, uuid[], text) is
  'Makes the audit log forget the registered columns of rows, and all of rows that were or are removed.';

create index log_deleted_idx on audit.log (table_id) where operation = 'delete';

create function app.erase_rows(who app.person, reason text)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  kinds constant app.personal_link[] := '{resident,related,user,actor,email,phone,parent}';
  found_rows constant app.person_rows[] := array(select f from app.lock_person_rows(who, kinds) f);
  registered app.personal_data_registry;
  erased jsonb := '{}';
  reason_before constant text := current_setting('app.reason', true);
  refused text;
  ids uuid[];
begin
  perform set_config('app.reason', reason, true);
  for registered in select * from app.registrations(kinds) loop
    select f.ids into ids from unnest(found_rows) f where f.table_id = registered.table_id and f.person_column = registered.person_column;
    if ids is not null then
      begin
        perform app.erase_found_rows(registered, ids, reason);
      exception when integrity_constraint_violation then
        get stacked diagnostics refused = constraint_name;
        perform app.fail(409, 'erasure_refused', format('Rows of %s cannot be erased as they are registered (%s).', app.table_label(registered.table_id), refused));
      end;
      if registered.whose in ('resident', 'user', 'email', 'phone', 'parent') then
        erased := erased || jsonb_build_object(app.table_label(registered.table_id),
          greatest((erased ->> app.table_label(registered.table_id))::bigint, cardinality(ids)));
      end if;
    end if;
  end loop;
  perform set_config('app.reason', coalesce(reason_before, ''), true);
  return jsonb_build_object('rows', erased, 'found', to_jsonb(found_rows));
end;
$$;

comment on function app.erase_rows(app.person, text) is
  'Erases everything registered of a person, and answers {"rows": {"<table>": number}, "found": [app.person_rows]}. The audit is told apart (app.erase_person_audit), when whatever goes along has gone. Errors: erasure_refused.';

create function app.erase_person_audit(who app.person, found_rows jsonb, reason text)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  registered app.personal_data_registry;
begin
  for registered in select * from app.registrations('{resident,user,email,phone,parent}') loop
    perform app.erase_found_audit(registered, who,
      array(
        select i.id
        from jsonb_to_recordset(found_rows) f (table_id text, person_column text, ids uuid[]) cross join lateral unnest(f.ids) i (id)
        where f.table_id::regclass = registered.table_id and f.person_column = registered.person_column),
      reason);
  end loop;
end;
$$;

comment on function app.erase_person_audit(app.person, jsonb, text) is
  'Makes the audit log forget what app.erase_rows found, what was removed before, and what the erasure itself wrote. Last in its transaction.';

-- Merging ------------------------------------------------------------------------------------------------------------

create function app.merge_found_rows(registered app.personal_data_registry, community uuid, keep uuid, duplicate uuid)
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  table_name constant text := app.qualified(registered.table_id);
  is_archivable constant boolean := app.has_column(registered.table_id, 'deleted_at');
  agrees constant text := coalesce((select string_agg(format(' and k.%1$I is not distinct from t.%1$I', c), '') from unnest(registered.clash_on) c), '');
  filled constant text := (
    select string_agg(format('%1$I = coalesce(k.%1$I, t.%1$I)', c), ', ' order by c) from jsonb_object_keys(registered.columns) c);
  lacking constant text := (
    select string_agg(format('k.%1$I is null and t.%1$I is not null', c), ' or ' order by c) from jsonb_object_keys(registered.columns) c);
  clashing uuid[] := '{}';
  moved bigint;
begin
  execute format('select from %s t where t.community_id = $1 and t.%I in ($2, $3) order by t.id for update', table_name, registered.person_column)
    using community, keep, duplicate;
  perform set_config('app.rewriting', registered.table_id::oid::text, true);
  if registered.on_merge in ('archive', 'fill') then
    execute format(
      'with clashing as (
         update %1$s t set deleted_at = clock_timestamp()
         where t.community_id = $1 and t.%2$I = $3 and t.deleted_at is null
           and exists (select from %1$s k where k.community_id = $1 and k.%2$I = $2 and k.deleted_at is null%3$s)
         returning t.id)
       select coalesce(array_agg(c.id), ''{}'') from clashing c', table_name, registered.person_column, agrees)
    into clashing using community, keep, duplicate;
    if registered.on_merge = 'fill' and filled is not null then
      execute format('update %1$s k set %4$s from %1$s t where t.id = any ($4) and k.community_id = $1 and k.%2$I = $2 and k.deleted_at is null%3$s and (%5$s)',
        table_name, registered.person_column, agrees, filled, lacking)
      using community, keep, duplicate, clashing;
    end if;
  end if;
  execute format('update %1$s t set %2$I = $2 where t.community_id = $1 and t.%2$I = $3%3$s',
    table_name, registered.person_column, case when registered.on_merge in ('archive', 'fill') and is_archivable then ' and t.deleted_at is null' end)
  using community, keep, duplicate;
  get diagnostics moved = row_count;
  perform set_config('app.rewriting', '', true);
  return moved + cardinality(clashing);
end;
$$;

comment on function app.merge_found_rows(app.personal_data_registry, uuid, uuid, uuid) is
  'Moves the rows of one registration from the duplicate to the resident who stays, and answers how many. Of rows that clash the duplicate''s is archived, and stays with the duplicate as rows that were archived before do.';

create function app.merge_rows(community uuid, keep uuid, duplicate uuid)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  registered app.personal_data_registry;
  moved bigint;
  merged jsonb := '{}';
  refused text;
begin
  for registered in select * from app.registrations('{resident,related}') r where r.on_merge <> 'stay' loop
    begin
      if registered.on_merge = 'function' then
        execute format('select count(*) from %s t where t.community_id = $1 and t.%I = $2', app.qualified(registered.table_id), registered.person_column)
        into moved using community, duplicate;
        execute format('select %s($1, $2)', registered.merge_with) using keep, duplicate;
      else
        moved := app.merge_found_rows(registered, community, keep, duplicate);
      end if;
    exception when integrity_constraint_violation then
      get stacked diagnostics refused = constraint_name;
      perform app.fail(409, 'merge_refused', format('Rows of both in %s cannot be one person''s (%s).', app.table_label(registered.table_id), refused),
        'Settle these rows first.');
    end;
    if moved > 0 then
      merged := merged || jsonb_build_object(app.table_label(registered.table_id), moved + coalesce((merged ->> app.table_label(registered.table_id))::bigint, 0));
    end if;
  end loop;
  return merged;
end;
$$;

comment on function app.merge_rows(uuid, uuid, uuid) is
  'Moves everything registered from one resident to another of the same community, and answers {"<table>": number}. The caller holds both residents. Errors: merge_refused.';
