-- Foundation: state machines.
--
-- Purpose     What may follow what, and who may do it, as rows.
-- Tables      app.state_transitions
-- RPCs        next_states
-- Invariants  A row is made in an initial state of its table and moves only along declared steps. That binds everybody, the
--             secret key and Studio included. A step that names a permission takes it of every user, where the row belongs;
--             one that names none is taken by the database itself, as a consequence of something else.
--
-- A topic declares its machine beside its table: the steps into app.state_transitions, then app.state_machine. The column is in
-- no column grant; users take steps through the RPCs of the topic, and the guard holds whatever an RPC forgets.

create table app.state_transitions (
  id uuid not null default extensions.uuidv7(),
  table_id regclass not null,
  from_state text,
  to_state text not null,
  permission_key text,
  description text not null,
  constraint state_transitions_pkey primary key (id),
  constraint state_transitions_step_key unique nulls not distinct (table_id, from_state, to_state),
  constraint state_transitions_permission_fkey foreign key (permission_key) references public.permissions (key) on delete restrict,
  constraint state_transitions_step_check check (from_state <> to_state)
);

create index state_transitions_permission_idx on app.state_transitions (permission_key);

comment on table app.state_transitions is 'The steps that rows of a table may take from state to state. What is not here is refused.';
comment on column app.state_transitions.id is 'The step''s id.';
comment on column app.state_transitions.table_id is 'The table.';
comment on column app.state_transitions.from_state is 'The state before; null: the row is made in to_state.';
comment on column app.state_transitions.to_state is 'The state after.';
comment on column app.state_transitions.permission_key is
  'What the step takes of a user, looked up where the row belongs. Null: it follows from something else and is taken by the database.';
comment on column app.state_transitions.description is 'What the step is, for a button or a log.';

alter table app.state_transitions enable row level security;
create policy state_transitions_select on app.state_transitions for select to authenticated using (false);

-- The guard ----------------------------------------------------------------------------------------------------------

create function app.tg__state()
returns trigger
language plpgsql
security definer -- reads steps and roles, which the caller may not list
set search_path = ''
as $$
declare
  tracked constant regclass := coalesce(pg_partition_root(tg_relid), tg_relid);
  told constant jsonb := to_jsonb(new);
  wanted constant text := told ->> tg_argv[0];
  present constant text := case when tg_op = 'UPDATE' then to_jsonb(old) ->> tg_argv[0] end;
  step app.state_transitions;
  allowed text;
begin
  if present is null then
    select t.* into step from app.state_transitions t where t.table_id = tracked and t.from_state is null and t.to_state = wanted;
  else
    select t.* into step from app.state_transitions t where t.table_id = tracked and t.from_state = present and t.to_state = wanted;
  end if;

  if step.id is null then
    select string_agg(t.to_state, ', ' order by t.to_state) into allowed
    from app.state_transitions t
    where t.table_id = tracked and t.from_state is not distinct from present;
    perform app.fail(409, 'transition_refused',
      case when present is null then format('A row of %s is not made in the state %s.', tg_table_name, coalesce(wanted, 'null'))
        else format('A row of %s does not go %s → %s.', tg_table_name, present, coalesce(wanted, 'null')) end,
      case when present is null then format('It is made in: %s.', coalesce(allowed, 'nothing'))
        else format('From %s it goes to: %s.', present, coalesce(allowed, 'nothing')) end);
  elsif step.permission_key is not null and not app.is_trusted() and not app.can_for_row(step.permission_key, tracked, told) then
    perform app.refuse_for_row(step.permission_key, tracked, told);
  end if;
  return new;
end;
$$;

comment on function app.tg__state() is
  'BEFORE INSERT, and BEFORE UPDATE that changes the state (the column named by its argument): refuses what is no declared step (409 transition_refused), and users without its permission (403 permission_denied, assurance_required). '
  'Definer: reads steps and roles, which the caller may not list.';

create function app.state_column(tracked regclass)
returns name
language sql
stable
set search_path = ''
return (
  select convert_from(substring(g.tgargs from 1 for position('\x00'::bytea in g.tgargs) - 1), 'UTF8')
  from pg_catalog.pg_trigger g
  where g.tgrelid = tracked and g.tgname = '_300_state_step');

comment on function app.state_column(regclass) is 'The column that holds the state of a table''s rows; null for a table without a state machine.';

create function app.state_machine(tracked regclass, state_column name)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  states constant text[] := array(
    select e.enumlabel::text
    from pg_catalog.pg_attribute a join pg_catalog.pg_enum e on e.enumtypid = a.atttypid
    where a.attrelid = tracked and a.attname = state_column and not a.attisdropped);
  unknown text;
  free_states text;
  free_steps text[];
begin
  if states = '{}' then
    raise exception 'state_machine %: % is no column of an enum', tracked, state_column;
  end if;
  select s.state into unknown
  from app.state_transitions t
  cross join lateral (values (t.from_state), (t.to_state)) s (state)
  where t.table_id = tracked and s.state <> all (states);
  if unknown is not null then
    raise exception 'state_machine %: % is not a state', tracked, unknown;
  elsif not exists (select from app.state_transitions t where t.table_id = tracked and t.from_state is null) then
    raise exception 'state_machine %: no row could be made, because no state is an initial one', tracked;
  end if;

  -- Rows made in a state that takes no permission, which are most, do not wake the guard.
  select string_agg(quote_literal(t.to_state), ', ' order by t.to_state) into free_states
  from app.state_transitions t
  where t.table_id = tracked and t.from_state is null and t.permission_key is null;
  execute format('create or replace trigger _300_state before insert on %s for each row%s execute function app.tg__state(%L)',
    tracked, case when free_states is not null then format(' when (new.%I is null or new.%I not in (%s))', state_column, state_column, free_states) end, state_column);
  -- Nor do such steps. The casts are written: || with what is no text is a function in SQL, which every UPDATE would plan anew.
  select array_agg(t.from_state || '>' || t.to_state order by t.from_state, t.to_state) into free_steps
  from app.state_transitions t
  where t.table_id = tracked and t.from_state is not null and t.permission_key is null;
  execute format('create or replace trigger _300_state_step before update on %s for each row when (old.%I is distinct from new.%I%s) execute function app.tg__state(%L)',
    tracked, state_column, state_column,
    case when free_steps is not null then format(' and (old.%I::text || ''>'' || new.%I::text = any (%L::text[])) is not true', state_column, state_column, free_steps) end, state_column);
end;
$$;

comment on function app.state_machine(regclass, name) is
  'Binds a table''s rows to the steps declared for it in app.state_transitions; the column is of an enum. For migrations; idempotent.';

create function app.tg_state_transitions__bind()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform app.state_machine(c.table_id, app.state_column(c.table_id))
  from (select distinct n.table_id from changed_rows n) c
  where app.state_column(c.table_id) is not null;
  return null;
end;
$$;

comment on function app.tg_state_transitions__bind() is 'AFTER the steps of a table have changed: binds its rows to them as they are now.';

create trigger _500_bind_insert after insert on app.state_transitions
  referencing new table as changed_rows for each statement execute function app.tg_state_transitions__bind();
create trigger _500_bind_update after update on app.state_transitions
  referencing new table as changed_rows for each statement execute function app.tg_state_transitions__bind();
create trigger _500_bind_delete after delete on app.state_transitions
  referencing old table as changed_rows for each statement execute function app.tg_state_transitions__bind();

-- Asking -------------------------------------------------------------------------------------------------------------

create function app.next_states(table_name text, id uuid, is_visible boolean)
returns table (to_state text, description text)
language plpgsql
stable
security definer -- reads steps and roles, which the caller may not list
set search_path = ''
as $$
declare
  tracked constant regclass := to_regclass('public.' || quote_ident(table_name));
  state_column constant name := app.state_column(tracked);
  told jsonb;
begin
  if state_column is null then
    perform app.fail(404, 'table_without_states', format('There is no table %s whose rows have states.', table_name));
  end if;
  if is_visible then
    execute format('select to_jsonb(t) from %s t where t.id = $1', tracked) into told using id;
  end if;
  if told is null then
    perform app.fail(404, 'row_not_found', format('There is no row of %s with this id.', table_name));
  end if;

  return query
    select t.to_state, t.description
    from app.state_transitions t
    where t.table_id = tracked and t.from_state = told ->> state_column and t.permission_key is not null
      and (app.is_trusted() or app.can_for_row(t.permission_key, tracked, told))
    order by t.id;
end;
$$;

comment on function app.next_states(text, uuid, boolean) is
  'What public.next_states does; is_visible says whether the caller sees the row. Definer: reads steps and roles, which the caller may not list.';

create function public.next_states(table_name text, id uuid)
returns table (to_state text, description text)
language sql
stable
set search_path = ''
as $$ select n.to_state, n.description from app.next_states(table_name, id, app.sees_row(table_name, id)) n $$;

comment on function public.next_states(text, uuid) is
  'The steps that the caller may take with a row as it is now: what an app asks before it shows buttons. What the database does by itself is not among them. Errors: table_without_states, row_not_found.';

grant execute on function app.next_states(text, uuid, boolean), public.next_states(text, uuid) to authenticated, service_role;

-- Accounts -----------------------------------------------------------------------------------------------------------
-- Taken by set_account_status.

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.profiles', null, 'active', null, 'Somebody signs up'),
  ('public.profiles', 'active', 'inactive', 'users.manage', 'Put the account aside'),
  ('public.profiles', 'active', 'suspended', 'users.manage', 'Bar the account for a time'),
  ('public.profiles', 'active', 'banned', 'users.manage', 'Bar the account'),
  ('public.profiles', 'suspended', 'banned', 'users.manage', 'Bar the account for good'),
  ('public.profiles', 'banned', 'suspended', 'users.manage', 'Bar the account for a time only'),
  ('public.profiles', 'inactive', 'active', 'users.manage', 'Take the account up again'),
  ('public.profiles', 'suspended', 'active', 'users.manage', 'Let the account in again'),
  ('public.profiles', 'banned', 'active', 'users.manage', 'Let the account in again');

select app.state_machine('public.profiles', 'status');
