-- Foundation: the audit log, and tracking of tables.
--
-- Purpose     Who changed what, when, from where, and how it was before.
-- Tables      audit.log (monthly partitions and a default one), audit.origins, audit.tables, app.audit_actions
-- Views       public.audit_log
-- RPCs        record_history
-- Invariants  Append-only: UPDATE, DELETE and TRUNCATE are refused for everybody, the owner included.
--             Every tracked statement leaves one entry per changed row in the same transaction, or does not happen.
--             An entry names an action that is declared, or none.

create type public.audit_operation as enum ('insert', 'update', 'delete', 'action');

create table audit.log (
  id bigint generated always as identity,
  recorded_at timestamptz not null default now(),
  table_id regclass,
  operation public.audit_operation not null,
  row_id uuid,
  community_id uuid,
  organization_id uuid,
  actor_id uuid,
  actor_label text,
  transaction_id xid8 not null default pg_current_xact_id(),
  origin_id integer,
  changes text not null,
  action text,
  note text,
  payload_hash bytea,
  constraint log_pkey primary key (recorded_at, id) with (fillfactor = 100),
  constraint log_changes_check check (changes is json object)
) partition by range (recorded_at);

-- Small, because every change pays for them: one key per changed row however often it changed; communities in order of
-- time (read backwards for the newest first), which lets pages fill up: wholly, because what is logged comes at the end. Not partial: a condition is prepared anew for every
-- statement, which costs more than the few entries that it would leave out.
create index log_row_idx on audit.log (row_id);
create index log_community_idx on audit.log (community_id, recorded_at) with (fillfactor = 100);
-- What was changed together, and what came after a transaction: entries lie in about that order, so block ranges find them.
create index log_transaction_idx on audit.log using brin ((transaction_id::text::bigint)) with (pages_per_range = 32);
-- Which entries came from a place: says who may see it, and when nobody needs it any more. Few keys, so that it stays small.
create index log_origin_idx on audit.log (origin_id);

comment on table audit.log is 'One entry per changed row of a tracked table, and one per action that changed none. Append-only; read it through public.audit_log.';
comment on column audit.log.id is 'Counts the entries; entries of one transaction in the order they were written.';
comment on column audit.log.recorded_at is 'When the transaction of the change began.';
comment on column audit.log.table_id is 'The table, by its catalog id: it follows renames. Null for an action that is about no table.';
comment on column audit.log.operation is 'insert, update or delete; action: nothing was changed.';
comment on column audit.log.row_id is 'The changed row''s id.';
comment on column audit.log.community_id is 'The community the row belongs to, if it belongs to one.';
comment on column audit.log.organization_id is 'The organization the row belongs to, if it names one.';
comment on column audit.log.actor_id is 'The user who made the change; null when no user did.';
comment on column audit.log.actor_label is 'Who made the change when no user did: service_role, studio:postgres, job:<name>.';
comment on column audit.log.transaction_id is 'Changes with the same id were made together.';
comment on column audit.log.changes is
  'JSON as text: half the bytes of jsonb where values are few, as they are in most entries. Cast it to jsonb to ask it. insert: {"column": value, …}, nulls left out. update: {"column": [before, after], …}, changed columns only. delete: as insert, the row as it was. action: its details. Secret columns read "[redacted]", erased values "[erased]".';
comment on column audit.log.origin_id is 'Where the request came from (audit.origins); null where there was no request. No foreign key: every change would pay for it, and nothing leaves audit.origins.';
comment on column audit.log.action is 'What the change was (app.audit_actions), where a topic names it: app.set_action before it.';
comment on column audit.log.note is 'The reason given for the change: set_config(''app.reason'', …, true) before it.';
comment on column audit.log.payload_hash is 'The hash of changes and note as they were written, kept when some of it was erased (app.erase_audit); null until then.';

alter table audit.log enable row level security;
create policy log_select on audit.log for select to authenticated
  using (
    community_id = any ((select app.communities_where('audit.read'))::uuid[])
    or organization_id in (select app.organizations_with('audit.read'))
    or (select app.can_on_site('audit.read'))
  );
grant select on audit.log to authenticated, service_role;

create trigger _100_append_only before update or delete or truncate on audit.log
  for each statement execute function app.tg__append_only();

-- Tables by their first names -----------------------------------------------------------------------------------------

create table audit.tables (
  table_id regclass not null,
  name text not null,
  constraint tables_pkey primary key (table_id)
);

comment on table audit.tables is 'Every table that was ever tracked, by the name it had first: what a seal covers outlives renaming, dropping, and restoring into a cluster that numbers its catalog otherwise.';
comment on column audit.tables.table_id is 'The table, by its catalog id.';
comment on column audit.tables.name is 'schema.name when it was first tracked. Never changes.';

alter table audit.tables enable row level security;
create policy tables_select on audit.tables for select to authenticated using ((select app.user_id()) is not null);
grant select on audit.tables to authenticated, service_role;

create trigger _100_append_only before update or delete or truncate on audit.tables
  for each statement execute function app.tg__append_only();

-- From where ----------------------------------------------------------------------------------------------------------

create table audit.origins (
  id integer generated always as identity,
  actor_id uuid,
  address text,
  user_agent text,
  method text,
  path text,
  location text,
  first_used_at timestamptz not null default now(),
  erased_at timestamptz,
  hash bytea not null,
  constraint origins_pkey primary key (id)
);

-- Not unique: of two first requests from one place neither waits for the other, and the place is written twice.
create index origins_hash_idx on audit.origins (hash) where erased_at is null;
create index origins_actor_idx on audit.origins (actor_id) where erased_at is null;

comment on table audit.origins is
  'From where requests that changed something came: each combination of user and place once, or a few times. The log refers to it, so that addresses stand in one place and cost an entry four bytes.';
comment on column audit.origins.id is 'What entries refer to.';
comment on column audit.origins.actor_id is 'The user of the request; null when it was made with a key.';
comment on column audit.origins.address is 'The client''s network address, as the proxy in front tells it: cf-connecting-ip, else x-real-ip, else the first of x-forwarded-for.';
comment on column audit.origins.user_agent is 'The header user-agent, at most 300 characters of it.';
comment on column audit.origins.method is 'POST, PATCH …';
comment on column audit.origins.path is 'What was called: /units, /rpc/grant_role. Without the query.';
comment on column audit.origins.location is 'The header x-client-location that an app may send, else the country that the proxy tells (cf-ipcountry).';
comment on column audit.origins.first_used_at is 'When the first change from there began.';
comment on column audit.origins.erased_at is 'When address, agent and location were erased (app.erase_audit_origins).';
comment on column audit.origins.hash is 'Finds the row of a request, and is what seals cover. Granted to nobody: who reads it could try addresses.';

alter table audit.origins enable row level security;
-- Whoever may read an entry may know from where it came. The log's own policy says who that is.
create policy origins_select on audit.origins for select to authenticated
  using (exists (select from audit.log l where l.origin_id = origins.id and l.recorded_at >= origins.first_used_at));
grant select (id, actor_id, address, user_agent, method, path, location, first_used_at, erased_at) on audit.origins to authenticated, service_role;

create trigger _100_append_only before update or delete or truncate on audit.origins
  for each statement execute function app.tg__append_only();

create function app.origin_hash(origin audit.origins)
returns bytea
language plpgsql
immutable
set search_path = ''
as $$
begin
  return sha256(convert_to(format('%L %L %L %L %L %L', origin.actor_id, origin.address, origin.user_agent, origin.method, origin.path, origin.location), 'UTF8'));
end;
$$;

comment on function app.origin_hash(audit.origins) is 'The hash of what an origin tells. Not executable by API roles.';

-- Which header tells what, as an expression and no function: it becomes a part of what writes the log, which costs a single row a fifth of
-- what calls did.

create function app.place_columns()
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return $place$
      left(btrim(coalesce(headers ->> 'cf-connecting-ip', headers ->> 'x-real-ip', split_part(headers ->> 'x-forwarded-for', ',', 1))), 64),
      left(headers ->> 'user-agent', 300),
      nullif(current_setting('request.method', true), ''),
      left(nullif(current_setting('request.path', true), ''), 300),
      left(coalesce(headers ->> 'x-client-location', headers ->> 'cf-ipcountry'), 200)$place$;
end;
$$;

comment on function app.place_columns() is
  'From where a request comes, by its headers (jsonb): address, user agent, method, path and location, as audit.origins has them. SQL, and the one place that says which header tells what; app.track makes it a part of each table''s audit. '
  'Whatever the headers say: an address need not be one. Not executable by API roles.';

create function app.request_place()
returns text[]
language plpgsql
stable
set search_path = ''
as $$
declare
  place text[];
begin
  if app.believes_claims() and current_setting('request.headers', true) <> '' then
    execute format('select array[%s] from (select current_setting(''request.headers'', true)::jsonb as headers offset 0) h', app.place_columns()) into place;
  end if;
  return place;
end;
$$;

comment on function app.request_place() is
  'From where the request comes that is being answered: {address, user agent, method, path, location}; null outside of requests. Not executable by API roles.';

create function app.request_origin()
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  place constant text[] := app.request_place();
  request audit.origins;
  origin integer;
begin
  if place is null then
    return null;
  end if;
  request.actor_id := app.actor_id();
  request.address := place[1];
  request.user_agent := place[2];
  request.method := place[3];
  request.path := place[4];
  request.location := place[5];
  request.hash := app.origin_hash(request);
  select o.id into origin from audit.origins o where o.hash = request.hash and o.erased_at is null limit 1;
  if origin is null then
    insert into audit.origins (actor_id, address, user_agent, method, path, location, hash)
    values (request.actor_id, request.address, request.user_agent, request.method, request.path, request.location, request.hash)
    returning id into origin;
  end if;
  return origin;
end;
$$;

comment on function app.request_origin() is
  'The row of audit.origins that tells from where the request comes, written if there is none yet; null outside of requests. Called by what writes the log, once it has something to write. Not executable by API roles.';

create function app.request_address()
returns inet
language plpgsql
stable
security definer -- what else is known of a request is for the log alone
set search_path = ''
as $$
begin
  return (app.request_place())[1]::inet;
exception when invalid_text_representation then
  return null;
end;
$$;

comment on function app.request_address() is
  'The network address the request came from (app.place_columns says which header tells it); null outside of requests and where it is none. Definer: what else is known of a request is for the log alone.';

grant execute on function app.request_address() to authenticated, service_role;

-- What it was called ---------------------------------------------------------------------------------------------------

create table app.audit_actions (
  key text not null,
  description text not null,
  constraint audit_actions_pkey primary key (key),
  constraint audit_actions_key_check check (key ~ '^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$')
);

comment on table app.audit_actions is 'What changes and reads are called in the audit log. Part of the system; each topic declares its own with app.define_action.';
comment on column app.audit_actions.key is 'What happened to what: TICKET_ASSIGNED.';
comment on column app.audit_actions.description is 'What it means, in a sentence.';

alter table app.audit_actions enable row level security;
create policy audit_actions_select on app.audit_actions for select to authenticated using (false);

create function app.define_action(key text, description text)
returns void
language sql
volatile
set search_path = ''
as $$ insert into app.audit_actions (key, description) values (define_action.key, define_action.description) $$;

comment on function app.define_action(text, text) is 'Declares a named action of the audit log: WHAT_HAPPENED, and what it means. For migrations.';

create function app.known_action(action text)
returns text
language plpgsql
stable
security definer -- actions are declared for everybody
set search_path = ''
as $$
begin
  if not exists (select from app.audit_actions a where a.key = action) then
    perform app.fail(422, 'unknown_action', format('There is no action %s.', coalesce(quote_literal(action), 'without a name')), 'app.define_action declares one.');
  end if;
  return action;
end;
$$;

comment on function app.known_action(text) is 'The action, if it is declared (422 unknown_action). Definer: answers whoever writes.';

create function app.set_action(action text)
returns text
language plpgsql
volatile
set search_path = ''
as $$
declare
  before constant text := coalesce(current_setting('app.action', true), '');
begin
  perform set_config('app.action', case when action <> '' then app.known_action(action) else '' end, true);
  return before;
end;
$$;

comment on function app.set_action(text) is
  'Names what the changes that follow in this transaction are; '''' or null: nothing in particular. Returns what they were called before: an RPC gives that back when it is done, because another may have called it. Errors: unknown_action.';

grant execute on function app.known_action(text), app.set_action(text) to authenticated, service_role;

create function app.record_action(
  action text, community uuid default null, organization uuid default null, tracked regclass default null, row_id uuid default null,
  note text default null, details jsonb default '{}', actor uuid default null
)
returns bigint
language sql
volatile
security definer -- writes audit.log, which nobody else may write
set search_path = ''
as $$
  insert into audit.log (table_id, operation, row_id, community_id, organization_id, actor_id, actor_label, origin_id, changes, action, note)
  values (
    tracked, 'action', record_action.row_id, community, organization, coalesce(actor, auth.uid()), case when actor is null then app.actor_label() end,
    app.request_origin(), coalesce(details, '{}'), app.known_action(record_action.action),
    coalesce(nullif(btrim(record_action.note), ''), nullif(current_setting('app.reason', true), '')))
  returning id
$$;

comment on function app.record_action(text, uuid, uuid, regclass, uuid, text, jsonb, uuid) is
  'Writes an entry about something that changed no row: an export, a look at what is confidential, a failed code. Where it belongs says who reads it: community, organization, else the site. '
  'tracked and row_id: the row it is about; details: what else is to be known, no secrets; actor: the user, if it is not the caller. Returns the entry''s id. '
  'Not in a read-only request (GET). Errors: unknown_action. Definer: nobody else may write audit.log; not executable by API roles.';

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
    string_agg(c.differs, ' or ' order by c.number) filter (where c.changes) as changed,
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
  entry := format($log$
    insert into audit.log (table_id, operation, row_id, community_id, organization_id, actor_id, actor_label, origin_id, changes, action, note)
    select tg_relid, %%L, n.audit_row, n.audit_community, n.audit_organization, %%2$s, audit_label, %%6$s,
      json_object(%%3$s absent on null returning text),
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
  -- app.believes_claims(), written out; and then app.tg__touch has read the claims, if a row was written.
  believes constant boolean := tg_op <> 'DELETE' and (current_setting('role') in ('authenticated', 'anon', 'service_role') or pg_has_role(session_user, 'postgres', 'member'));
  headers constant jsonb := case when believes then nullif(current_setting('request.headers', true), '')::jsonb end;
  audit_label constant text := case when believes and current_setting('app.claims_actor', true) <> '' then null else app.actor_label() end;
  -- app.origin_hash, written out.
  audit_place constant bytea := case when headers is not null then sha256(convert_to(format('%%L %%L %%L %%L %%L %%L', nullif(current_setting('app.claims_actor', true), '')::uuid,%s), 'UTF8')) end;
begin
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
    format(entry, 'update', 'n.audit_actor', columns.updated, new_rows || ' cross join ' || old_rows,
      format('not exists (select from new_rows offset 1) and (%s) and', columns.changed), origin),
    format(entry, 'update', 'n.audit_actor', columns.updated, new_rows || ' full join ' || old_rows || ' on o.audit_row = n.audit_row', format('(%s) and', columns.changed), format('(select %s)', origin)),
    format(entry, 'insert', 'n.audit_actor', columns.inserted, new_rows, '', format('(select %s)', origin)),
    format(entry, 'delete', '(select app.actor_id())', columns.deleted, format('(select %s from old_rows r) n (audit_row, audit_community, audit_organization, audit_actor, %s)', picked, columns.names), '', '(select app.request_origin())'),
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

-- Reading ------------------------------------------------------------------------------------------------------------

create view public.audit_log with (security_invoker = true) as
select
  l.id, l.recorded_at, coalesce(c.relname::text, split_part(t.name, '.', 2)) as table_name, l.operation, l.action, l.row_id, l.community_id, l.organization_id,
  l.actor_id, l.actor_label, l.transaction_id::text as transaction_id, l.changes::jsonb as changes, l.note, o.address, o.user_agent, o.method, o.path, o.location
from audit.log l
left join pg_catalog.pg_class c on c.oid = l.table_id
left join audit.tables t on t.table_id = l.table_id
left join audit.origins o on o.id = l.origin_id;

comment on view public.audit_log is
  'Who changed what, and from where; for holders of audit.read. Filter by community_id and recorded_at, or by row_id: both are indexed. rpc record_history tells it of one row.';
comment on column public.audit_log.id is 'Counts the entries.';
comment on column public.audit_log.recorded_at is 'When the transaction of the change began.';
comment on column public.audit_log.table_name is 'Name of the table; null for an action that is about none.';
comment on column public.audit_log.operation is 'insert, update or delete; action: nothing was changed.';
comment on column public.audit_log.action is 'What it was, where it has a name: ROLE_GRANTED.';
comment on column public.audit_log.row_id is 'Id of the changed row.';
comment on column public.audit_log.community_id is 'The community the row belongs to, if any.';
comment on column public.audit_log.organization_id is 'The organization the row names, if any.';
comment on column public.audit_log.actor_id is 'The user who made the change.';
comment on column public.audit_log.actor_label is 'Who made it when no user did.';
comment on column public.audit_log.transaction_id is 'Changes with the same id were made together.';
comment on column public.audit_log.changes is 'See audit.log: the row, [before, after] of each changed column, or the details of an action.';
comment on column public.audit_log.note is 'The reason given.';
comment on column public.audit_log.address is 'The network address the request came from.';
comment on column public.audit_log.user_agent is 'The app or browser that made it.';
comment on column public.audit_log.method is 'The method of the request.';
comment on column public.audit_log.path is 'What was called.';
comment on column public.audit_log.location is 'The place or country that the request told.';

grant select on public.audit_log to authenticated, service_role;

create function public.record_history(table_name text, id uuid, before_entry bigint default null, page_size integer default 50)
returns table (
  entry_id bigint, recorded_at timestamptz, operation public.audit_operation, action text, actor_id uuid, actor_name text, actor_label text,
  before jsonb, after jsonb, details jsonb, note text, address text, user_agent text, method text, path text, location text
)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
declare
  asked constant text := record_history.table_name;
  asked_id constant uuid := record_history.id;
  -- Under its name now or its first one: a table may have been renamed or dropped.
  ids constant oid[] := array(
    select t.table_id from audit.tables t where t.name = 'public.' || asked
    union
    select t.table_id from audit.tables t where t.table_id = to_regclass('public.' || quote_ident(asked)));
begin
  if ids = '{}' then
    perform app.fail(404, 'table_not_tracked', format('There is no table %s whose changes are logged.', asked));
  elsif page_size is null or page_size not between 1 and 200 then
    perform app.fail(422, 'invalid_value', 'page_size is a number from 1 to 200.');
  end if;
  return query
    select l.id, l.recorded_at, l.operation, l.action, l.actor_id, p.display_name, l.actor_label,
      case l.operation
        when 'update' then (select jsonb_object_agg(c.key, c.value -> 0) from jsonb_each(l.changes::jsonb) c)
        when 'delete' then l.changes::jsonb
      end,
      case l.operation
        when 'update' then (select jsonb_object_agg(c.key, c.value -> 1) from jsonb_each(l.changes::jsonb) c)
        when 'insert' then l.changes::jsonb
      end,
      case l.operation when 'action' then l.changes::jsonb end,
      l.note, o.address, o.user_agent, o.method, o.path, o.location
    from audit.log l
    left join audit.origins o on o.id = l.origin_id
    left join public.profiles p on p.id = l.actor_id
    where l.row_id = asked_id and l.table_id = any (ids) and l.id < coalesce(before_entry, 9223372036854775807)
    order by l.id desc
    limit page_size;
end;
$$;

comment on function public.record_history(text, uuid, bigint, integer) is
  'What happened to one row, newest first: who (actor_name where the caller sees the profile, actor_label where no user did it), the changed columns before and after, why, and from where. '
  'Rows that are archived or gone have a history too. For holders of audit.read where the row belongs; nothing for others. The next page begins before the last entry_id of this one. '
  'Errors: table_not_tracked, invalid_value.';

grant execute on function public.record_history(text, uuid, bigint, integer) to authenticated, service_role;
