-- Foundation: what leans on what, and the guards of archiving.
--
-- Purpose     Nothing is archived while something live leans on it, and nothing live comes to lean on what is archived.
-- Tables      private.archive_lines
-- Views       app.row_references
-- Invariants  A live row never refers to an archived one: archiving waits for children that are being written and then looks for
--             live ones; writing a child looks whether its parents live. Whoever comes second is refused.
--             Only history may lean on what is archived: a row of which app.is_over says so.
--             A part of a row (a foreign key with ON DELETE CASCADE) is archived and comes back with it.
--             All of this stands in triggers, so it holds for the secret key, in SQL and in Studio too.

-- What leans on what -------------------------------------------------------------------------------------------------

create view app.row_references as
select
  con.conrelid::regclass as child_id,
  con.confrelid::regclass as parent_id,
  con.conname as name,
  con.confdeltype = 'c' as is_part,
  con.condeferrable as is_deferrable,
  (select array_agg(a.attname order by k.ord)
   from unnest(con.conkey) with ordinality k (attnum, ord)
   join pg_catalog.pg_attribute a on a.attrelid = con.conrelid and a.attnum = k.attnum) as child_columns,
  (select array_agg(a.attname order by k.ord)
   from unnest(con.confkey) with ordinality k (attnum, ord)
   join pg_catalog.pg_attribute a on a.attrelid = con.confrelid and a.attnum = k.attnum) as parent_columns,
  (select array_agg(a.attname order by k.ord)
   from unnest(con.conkey) with ordinality k (attnum, ord)
   join pg_catalog.pg_attribute a on a.attrelid = con.conrelid and a.attnum = k.attnum
   where not a.attnotnull) as nullable_columns,
  (select string_agg(format('%%1$s.%I = %%2$s.%I', ca.attname, pa.attname), ' and ' order by k.ord)
   from unnest(con.conkey, con.confkey) with ordinality k (child_attnum, parent_attnum, ord)
   join pg_catalog.pg_attribute ca on ca.attrelid = con.conrelid and ca.attnum = k.child_attnum
   join pg_catalog.pg_attribute pa on pa.attrelid = con.confrelid and pa.attnum = k.parent_attnum) as condition
from pg_catalog.pg_constraint con
where con.contype = 'f' and con.conparentid = 0 and con.confdeltype in ('a', 'r', 'c')
  and exists (select from pg_catalog.pg_trigger t where t.tgrelid = con.conrelid and t.tgname = '_100_touch')
  and exists (select from pg_catalog.pg_trigger t where t.tgrelid = con.confrelid and t.tgname = '_100_touch')
  and not exists (select from pg_catalog.pg_trigger t where t.tgrelid = con.conrelid and t.tgname = '_100_append_only');

comment on view app.row_references is
  'The foreign keys between tracked tables by which a row leans on another. A key that sets null on delete is a link that may be lost and does not count, nor do logs, which tell what was.';
comment on column app.row_references.child_id is 'The table whose rows refer.';
comment on column app.row_references.parent_id is 'The table they refer to.';
comment on column app.row_references.name is 'The constraint.';
comment on column app.row_references.is_part is 'Whether the child is a part of its parent (ON DELETE CASCADE): archived, restored and purged with it.';
comment on column app.row_references.is_deferrable is 'Whether the reference may be checked as late as at commit.';
comment on column app.row_references.child_columns is 'The columns that refer.';
comment on column app.row_references.parent_columns is 'The columns they refer to, in the same order.';
comment on column app.row_references.nullable_columns is 'Those of the columns that refer that may be null: if one is, the row refers to nothing.';
comment on column app.row_references.condition is 'A template for format(): what joins the child %1$s to its parent %2$s.';

-- These look things up in PL/pgSQL, which keeps the plans of its queries: in SQL each call would be planned anew, and a migration calls
-- them hundreds of times.

create function app.qualified(tracked regclass)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select format('%I.%I', n.nspname, c.relname)
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid = tracked);
end;
$$;

comment on function app.qualified(regclass) is 'The table''s name with its schema, quoted where it needs to be.';

create function app.reference_depth(tracked regclass)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    with recursive above (table_id) as (
      select con.confrelid from pg_catalog.pg_constraint con where con.conrelid = tracked and con.contype = 'f' and con.confdeltype in ('a', 'r', 'c')
      union
      select p.confrelid
      from above a
      -- Table by table, so that the index is used: the whole catalog is read otherwise.
      cross join lateral (
        select con.confrelid from pg_catalog.pg_constraint con where con.conrelid = a.table_id and con.contype = 'f' and con.confdeltype in ('a', 'r', 'c') offset 0
      ) p
    )
    select count(*) from above
  );
end;
$$;

comment on function app.reference_depth(regclass) is
  'How many tables a table leans on, directly or through others: of two tables, the one that leans on the other has the higher number. Gives the order in which parts are dealt with.';

-- Refusals -----------------------------------------------------------------------------------------------------------

create function app.some_of(many bigint, table_name text)
returns text
language sql
immutable
set search_path = ''
return case when many >= 1000 then format('%s (1000 or more)', table_name) when many > 0 then format('%s (%s)', table_name, many) end;

comment on function app.some_of(bigint, text) is 'How a refusal names the rows that stand in the way: occupancies (2). Null for none.';

create function app.fail_has_live_children(table_name text, live text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  perform app.fail(409, 'has_live_children', format('Live rows lean on this row of %s: %s.', table_name, live), 'Archive those first, or move them elsewhere.');
end;
$$;

comment on function app.fail_has_live_children(text, text) is 'Refuses to archive a row on which live ones lean (409 has_live_children).';

create function app.fail_parent_archived(table_name text, parent text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  perform app.fail(409, 'parent_archived', format('This row of %s would lean on a row of %s that is archived.', table_name, parent), 'Restore that one first, or choose another.');
end;
$$;

comment on function app.fail_parent_archived(text, text) is 'Refuses a live row under an archived one (409 parent_archived).';

create function app.require_read_committed()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
    perform app.fail(409, 'isolation_refused', 'Archiving looks for rows that others have just committed, which this isolation level hides.',
      'Archive in a transaction that is read committed.');
  end if;
end;
$$;

comment on function app.require_read_committed() is 'Refuses to look for live children from a snapshot that is older than the lock on their parent (409 isolation_refused).';

-- The guards ---------------------------------------------------------------------------------------------------------
-- Two trigger functions per table, written from its foreign keys, so that each is one statement with a plan that is kept:
--   app.tg_<table>__parents_live   whoever inserts, moves or restores a row: are the rows it leans on live?
--   app.tg_<table>__archive        whoever archives or restores a row: what leans on it, and what are its parts?
-- Which comes first does not matter. A foreign key holds its parent (FOR KEY SHARE) before parents_live looks; archiving takes
-- the row (FOR UPDATE, which waits for those holders and stops new ones) before it looks for children.

create function app.parents_to_check(tracked regclass)
returns table (name name, parent_name name, parent text, condition text, is_deferrable boolean, only_if text)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
begin
  -- Every key is read once: the view asks the catalog about each.
  return query
  with own as materialized (
    select * from app.row_references r where r.child_id = tracked
  ), above as materialized (
    select b.child_id, b.parent_id, b.child_columns, b.parent_columns
    from app.row_references b
    where b.child_id in (select o.parent_id from own o) and b.parent_id in (select o.parent_id from own o)
  ), depths as materialized (
    select c.oid as parent_id, c.relname as parent, t.name as parent_name, app.reference_depth(c.oid) as depth,
      to_regprocedure(format('app.is_over(%s)', t.name)) is not null as may_be_over
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    cross join lateral (select format('%I.%I', n.nspname, c.relname) as name) t
    where c.oid in (select o.parent_id from own o)
  )
  select r.name, d.parent, d.parent_name, r.condition, r.is_deferrable,
    nullif(concat_ws(' and ', (select string_agg(format('%%1$s.%I is not null', n.name), ' and ') from unnest(r.nullable_columns) n (name)), i.no_other), '')
  from own r
  join depths d on d.parent_id = r.parent_id
  cross join lateral (
    select
      coalesce(bool_or(coalesce(other.nullable_columns, '{}') <@ coalesce(r.nullable_columns, '{}')), false) as always_implied,
      string_agg(
        (select format(case when count(*) = 1 then '%s' else '(%s)' end, string_agg(format('%%1$s.%I is null', n.name), ' or '))
         from unnest(other.nullable_columns) n (name)
         where n.name <> all (coalesce(r.nullable_columns, '{}'))),
        ' and ' order by other.name) as no_other
    from own other
    join above between_them on between_them.child_id = other.parent_id and between_them.parent_id = r.parent_id
    join depths other_depth on other_depth.parent_id = other.parent_id
    where other.name <> r.name
      and other_depth.depth > d.depth
      and not other_depth.may_be_over
      and not exists (
        select
        from unnest(between_them.child_columns, between_them.parent_columns) m (other_column, parent_column)
        where other.child_columns[array_position(other.parent_columns, m.other_column)]
          is distinct from r.child_columns[array_position(r.parent_columns, m.parent_column)])
  ) i
  where not i.always_implied;
end;
$$;

comment on function app.parents_to_check(regclass) is
  'The references of a table at which parents_live looks, each only_if it refers to something. A parent on which another parent of the same row leans (the building of the row''s entrance) is live if that other one is, and is looked at only where there is none.';

create function app.parents_live_body(tracked regclass)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  names text;
  inserted text;
  changed text;
begin
  -- A subquery for each parent, not a join: an index lookup per row, however many rows there were when the plan was made.
  select
    string_agg(format('        when %s(select p.deleted_at from %s p where %s%s) is not null then %L',
      format(r.only_if, 'n') || ' and ', r.parent, format(r.condition, 'n', 'p'), case when r.is_deferrable then ' for key share' end, r.parent_name), E'\n' order by r.name),
    string_agg(format('      when %s(select p.deleted_at from %s p where %s for key share) is not null then %L',
      format(r.only_if, 'new') || ' and ', r.parent, format(r.condition, 'new', 'p'), r.parent_name), E'\n' order by r.name)
  into inserted, changed
  from app.parents_to_check(tracked) r;
  select string_agg(r.name, ', ' order by r.name) into names from app.row_references r where r.child_id = tracked;

  return case when names is not null then format($body$
declare
  archived text;
begin
  -- Written by app.guard_archiving from %1$s.
  if tg_op = 'INSERT' then
    select l.archived into archived
    from (
      select case
%2$s
      end as archived
      from new_rows n
      where n.deleted_at is null
      offset 0 -- or what is looked up would be prepared twice, for the condition and for the answer
    ) l
    where l.archived is not null
    limit 1;
  else
    archived := case
%3$s
    end;
  end if;
  if archived is not null then
    perform app.fail_parent_archived(tg_table_name, archived);
  end if;
  return null;
end;
$body$, names, inserted, changed) end;
end;
$$;

comment on function app.parents_live_body(regclass) is
  'The body of app.tg_<table>__parents_live as the foreign keys are now; null for a table that leans on none. A test compares it with what is attached.';

create table private.archive_lines (
  child_id regclass not null,
  name name not null,
  parent_id regclass not null,
  is_part boolean not null,
  depth bigint not null,
  line text not null,
  constraint archive_lines_pkey primary key (child_id, name)
);

comment on table private.archive_lines is
  'What each foreign key adds to the guard of the table it leads to: with a table that is new, only its own keys are read from the catalog, and not those of all tables that lean on the same parents. Kept by app.guard_archiving.';
comment on column private.archive_lines.child_id is 'The table whose rows refer.';
comment on column private.archive_lines.name is 'The constraint.';
comment on column private.archive_lines.parent_id is 'The table they refer to.';
comment on column private.archive_lines.is_part is 'Whether the child is a part of its parent.';
comment on column private.archive_lines.depth is 'app.reference_depth of the child, if it is a part: parts that lean on others go first.';
comment on column private.archive_lines.line is 'The expression or statement in app.tg_<parent>__archive.';

create index archive_lines_parent_idx on private.archive_lines (parent_id);

alter table private.archive_lines enable row level security;
create policy archive_lines_select on private.archive_lines for select to authenticated using (false);

create function app.archive_lines(tracked regclass)
returns setof private.archive_lines
language plpgsql
stable
set search_path = ''
as $$
begin
  -- Every key is read once: the view asks the catalog about each.
  return query
  with keys as materialized (
    select k.child_id, k.parent_id, k.name, k.is_part, format(k.condition, 'c', 'new') as condition, c.relname as child, format('%I.%I', n.nspname, c.relname) as child_name
    from app.row_references k
    join pg_catalog.pg_class c on c.oid = k.child_id
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where k.child_id = tracked or k.parent_id = tracked
  ), depths as materialized (
    select p.child_id, app.reference_depth(p.child_id) as depth from (select distinct k.child_id from keys k where k.is_part) p
  )
  select k.child_id, k.name, k.parent_id, k.is_part, case when k.is_part then d.depth else 0 end,
    case
      when k.is_part then format('    update %s c set deleted_at = new.deleted_at where %s and c.deleted_at is not distinct from old.deleted_at;', k.child_name, k.condition)
      else format('      (select app.some_of(count(*), %L) from (select from %s c where %s and c.deleted_at is null%s limit 1000) f)', k.child, k.child_name, k.condition,
        case when to_regprocedure(format('app.is_over(%s)', k.child_name)) is null then '' else ' and not app.is_over(c)' end)
    end
  from keys k
  left join depths d on d.child_id = k.child_id;
end;
$$;

comment on function app.archive_lines(regclass) is 'private.archive_lines of the keys of a table and of those that lead to it, as they are now.';

create function app.archive_text(tracked regclass, lines private.archive_lines[])
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  names text;
  children text;
  parts text[];
begin
  select
    string_agg(l.name, ', ' order by l.name),
    string_agg(l.line, E',\n' order by l.name) filter (where not l.is_part),
    array_agg(l.line order by l.depth, l.name) filter (where l.is_part)
  into names, children, parts
  from unnest(lines) l;

  return concat(
    format($body$
declare
  live text;
begin
  -- Written by app.guard_archiving from %1$s.
  if tg_when = 'BEFORE' then
    perform app.require_read_committed();
    perform from %2$s t where t.id = old.id for update;
    return new;
  end if;
$body$, coalesce(names, 'no foreign key: nothing leans on this table'), app.qualified(tracked)),
    case when children is not null then format($body$
  if old.deleted_at is null then
    live := concat_ws(', ',
%1$s
    );
    if live <> '' then
      perform app.fail_has_live_children(tg_table_name, live);
    end if;
  end if;
$body$, children) end,
    -- Of parts that lean on each other, the one that leans goes first and comes back last.
    case when parts is not null then format($body$
  if new.deleted_at is null then
%1$s
  else
%2$s
  end if;
$body$, array_to_string(parts, E'\n'), (select string_agg(u.part, E'\n' order by u.ord desc) from unnest(parts) with ordinality u (part, ord))) end,
    $body$
  return null;
end;
$body$);
end;
$$;

comment on function app.archive_text(regclass, private.archive_lines[]) is 'The body of app.tg_<table>__archive for the keys that lead to the table.';

create function app.archive_body(tracked regclass)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return app.archive_text(tracked, array(select l from app.archive_lines(tracked) l where l.parent_id = tracked));
end;
$$;

comment on function app.archive_body(regclass) is 'The body of app.tg_<table>__archive as the foreign keys are now. A test compares it with what is attached.';

create function app.guard_name(tracked regclass, task text)
returns name
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select format('tg_%s%s__%s', case when n.nspname <> 'public' then n.nspname || '_' end, c.relname, task)
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.oid = tracked);
end;
$$;

comment on function app.guard_name(regclass, text) is 'What a trigger function written for one table is called: tg_<table>__<task>.';

create function app.over_condition(tracked regclass, row_name text)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select coalesce(
      replace(regexp_replace(pg_catalog.pg_get_function_sqlbody(p.oid), '^RETURN ', ''), format('(%I).', p.proargnames[1]), row_name || '.'),
      format('app.is_over(%s)', row_name))
    from pg_catalog.pg_proc p
    where p.oid = to_regprocedure(format('app.is_over(%s)', app.qualified(tracked))));
end;
$$;

comment on function app.over_condition(regclass, text) is
  'What app.is_over says of a row of a table, written out: a call in a WHEN clause would plan it anew with every UPDATE. Null for a table whose rows are never history. A test compares it with what is attached.';

create function app.guard_parents(tracked regclass)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  body constant text := app.parents_live_body(tracked);
  called constant name := app.guard_name(tracked, 'parents_live');
  table_name constant text := app.qualified(tracked);
  was_over constant text := app.over_condition(tracked, 'old');
  is_over constant text := app.over_condition(tracked, 'new');
  columns text[];
begin
  if body is null then
    if to_regprocedure(format('app.%I()', called)) is not null then
      execute format('drop function app.%I() cascade', called);
    end if;
    return;
  end if;
  execute format('create or replace function app.%I() returns trigger language plpgsql security definer set search_path = '''' as %L', called, body);
  execute format('comment on function app.%I() is %L', called,
    'AFTER INSERT, and after a row is moved or restored: refuses a live row that leans on an archived one (409 parent_archived). Written by app.guard_archiving. '
    'Definer: looks at rows that the caller may be unable to see.');

  select array_agg(distinct c.name order by c.name) into columns
  from app.row_references r
  cross join unnest(r.child_columns) c (name)
  where r.child_id = tracked
    and not exists (select from pg_catalog.pg_trigger t where t.tgrelid = tracked and t.tgname = '_010_frozen_' || c.name);

  execute format('create or replace trigger _030_parents_live after insert on %s referencing new table as new_rows for each statement execute function app.%I()', table_name, called);
  execute format(
    'create or replace trigger _030_parents_live_again after update of %s on %s for each row when (new.deleted_at is null and (old.deleted_at is not null%s)) execute function app.%I()',
    (select string_agg(format('%I', c.name), ', ') from unnest('{deleted_at}' || columns) c (name)),
    table_name,
    (select string_agg(format(' or old.%1$I is distinct from new.%1$I', c.name), '') from unnest(columns) c (name)),
    called);
  -- What makes a row history, or no longer, may be any column: this is asked of every UPDATE, and so by itself.
  if is_over is not null then
    execute format(
      'create or replace trigger _030_parents_live_reopened after update on %s for each row when (new.deleted_at is null and %s is true and %s is not true) execute function app.%I()',
      table_name, was_over, is_over, called);
  elsif exists (select from pg_catalog.pg_trigger t where t.tgrelid = tracked and t.tgname = '_030_parents_live_reopened') then
    execute format('drop trigger _030_parents_live_reopened on %s', table_name);
  end if;
end;
$$;

comment on function app.guard_parents(regclass) is 'Writes app.tg_<table>__parents_live from the foreign keys of the table and attaches it. Called by app.guard_archiving.';

create function app.guard_children(tracked regclass)
returns void
language plpgsql
volatile
set search_path = ''
-- What is written here has been written before, but for a line: to read all of it again would take longer than to write it.
set check_function_bodies = off
as $$
declare
  called constant name := app.guard_name(tracked, 'archive');
  table_name constant text := app.qualified(tracked);
begin
  execute format('create or replace function app.%I() returns trigger language plpgsql security definer set search_path = '''' as %L', called, app.archive_text(tracked, array(
    select l
    from private.archive_lines l
    -- A key that went with its table, unannounced, leads nowhere.
    where l.parent_id = tracked and exists (select from pg_catalog.pg_constraint con where con.conrelid = l.child_id and con.contypid = 0 and con.conname = l.name))));
  -- The function changes with every child; what it is for, and that it is called, do not.
  if exists (
    select from pg_catalog.pg_trigger t
    where t.tgrelid = tracked and t.tgname = '_040_archive' and t.tgfoid = to_regprocedure(format('app.%I()', called))
  ) then
    return;
  end if;
  execute format('comment on function app.%I() is %L', called,
    'BEFORE a row is archived: takes it, so that nobody writes a child meanwhile. AFTER it is archived or restored: refuses while live rows lean on it (409 has_live_children), '
    'takes its parts along. Written by app.guard_archiving. Definer: looks at rows that the caller may be unable to see.');
  execute format('create or replace trigger _030_archive_taken before update of deleted_at on %s for each row when (old.deleted_at is null and new.deleted_at is not null) execute function app.%I()',
    table_name, called);
  execute format('create or replace trigger _040_archive after update of deleted_at on %s for each row when (old.deleted_at is distinct from new.deleted_at) execute function app.%I()',
    table_name, called);
end;
$$;

comment on function app.guard_children(regclass) is 'Writes app.tg_<table>__archive from private.archive_lines and attaches it. Called by app.guard_archiving.';

create function app.guard_archiving(tracked regclass)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  delete from private.archive_lines l where l.child_id = tracked or l.parent_id = tracked;
  insert into private.archive_lines select * from app.archive_lines(tracked);
  perform app.guard_parents(t) from (select tracked as t union select l.child_id from private.archive_lines l where l.parent_id = tracked) g;
  perform app.guard_children(t) from (select tracked as t union select l.parent_id from private.archive_lines l where l.child_id = tracked) g;
end;
$$;

comment on function app.guard_archiving(regclass) is
  'Attaches the guards of archiving to a table, and brings those of the tables it is tied to up to date. Part of app.track; idempotent. Call it for both tables after a foreign key was added or dropped, and after app.is_over was defined.';

-- Memberships that have ended are history: they do not keep a role from being archived.
create function app.is_over(membership public.memberships)
returns boolean
language sql
stable
set search_path = ''
return coalesce(membership.ends_at <= now(), false);

comment on function app.is_over(public.memberships) is
  'Whether the row is history, and so may lean on what is archived. A table has such a function or none; it never answers null.';

grant execute on function app.is_over(public.memberships) to authenticated, service_role;

-- The tables that were tracked before this page.
insert into private.archive_lines
select l.* from pg_catalog.pg_trigger t cross join lateral app.archive_lines(t.tgrelid) l where t.tgname = '_100_touch' and l.child_id = t.tgrelid;
select app.guard_parents(t.tgrelid), app.guard_children(t.tgrelid) from pg_catalog.pg_trigger t where t.tgname = '_100_touch' order by t.tgrelid;
