-- Foundation: the audit log.
--
-- Purpose     Who changed what, when, from where, and how it was before.
-- Tables      audit.log (monthly partitions and a default one), audit.origins, audit.tables, app.audit_actions
-- Views       public.audit_log
-- RPCs        record_history
-- Invariants  Append-only: UPDATE, DELETE and TRUNCATE are refused for everybody, the owner included.
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
  execute format('lock table %s in share update exclusive mode', parent);

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
