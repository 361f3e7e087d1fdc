-- The rules of the house that the catalog can tell, each a function that returns what breaks it.
--
-- A rule is a function tests.catalog__<rule>() returning (object, problem), one row per violation; its comment is the
-- rule in a sentence. foundation_catalog.sql asks every rule, foundation_catalog_bites.sql breaks every rule and sees it
-- noticed. To add one: write the function here and plant a violation there. Like 000_helpers.sql, this file stays.

-- What the rules look at ---------------------------------------------------------------------------------------------

create or replace function tests.our_relations()
returns table (oid oid, object text, schema name, name name, kind "char", is_partition boolean) language sql stable set search_path = ''
as $$
  select c.oid, n.nspname || '.' || c.relname, n.nspname, c.relname, c.relkind, c.relispartition
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname in ('public', 'app', 'private', 'audit') and c.relkind in ('r', 'p', 'v', 'm')
    and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
$$;
comment on function tests.our_relations() is 'Tables, partitions and views of Vicinia''s schemas.';

create or replace function tests.our_tables()
returns table (oid oid, object text, schema name, name name, is_partition boolean) language sql stable set search_path = ''
as $$ select r.oid, r.object, r.schema, r.name, r.is_partition from tests.our_relations() r where r.kind in ('r', 'p') $$;
comment on function tests.our_tables() is 'Tables of Vicinia''s schemas, partitions included.';

create or replace function tests.business_tables()
returns table (oid oid, object text, name name, is_deletable boolean) language sql stable set search_path = ''
as $$
  select t.oid, t.object, t.name, not exists (
    select from pg_catalog.pg_trigger g where g.tgrelid = t.oid and g.tgname = '_020_delete_refused' and g.tgtype & 8 = 8)
  from tests.our_tables() t
  where t.schema = 'public' and not t.is_partition
$$;
comment on function tests.business_tables() is 'Tables of the API, and whether they are plain links whose rows are really deleted (app.track with deletable).';

create or replace function tests.kept_tables()
returns table (oid oid, object text) language sql stable set search_path = ''
as $$
  select t.oid, t.object
  from tests.business_tables() t
  where exists (
    select from pg_catalog.pg_trigger g join pg_catalog.pg_proc p on p.oid = g.tgfoid
    -- per statement, before, on update, delete and truncate (and on insert, maybe)
    where g.tgrelid = t.oid and g.tgenabled = 'O' and g.tgtype & ~4 = 2 + 8 + 16 + 32
      and ((g.tgname = '_100_append_only' and p.proname = 'tg__append_only') or (g.tgname = '_020_derived' and p.proname in ('tg__derived', 'tg_' || t.name || '__derived'))))
$$;
comment on function tests.kept_tables() is
  'Tables of the API that the database alone writes (app.keep): append-only, or derived from others. A trigger refuses UPDATE, DELETE and TRUNCATE of either, so each row is its own history, or says nothing that others do not.';

create or replace function tests.our_columns()
returns table (relation oid, object text, schema name, table_name name, number smallint, name name, type oid, is_not_null boolean) language sql stable set search_path = ''
as $$
  select t.oid, t.object || '.' || a.attname, t.schema, t.name, a.attnum, a.attname, a.atttypid, a.attnotnull
  from tests.our_tables() t join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
  where not t.is_partition
$$;
comment on function tests.our_columns() is 'Columns of Vicinia''s tables; a partition has its parent''s.';

create or replace function tests.our_functions()
returns table (oid oid, object text, schema name, name name) language sql stable set search_path = ''
as $$
  select p.oid, p.oid::regprocedure::text, n.nspname, p.proname
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where (n.nspname in ('public', 'app', 'private', 'audit') or (n.nspname, p.proname) = ('extensions', 'uuidv7'))
    and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
$$;
comment on function tests.our_functions() is 'Functions of Vicinia''s schemas, and extensions.uuidv7.';

create or replace function tests.our_policies()
returns table (relation oid, object text, table_name name, name name, command text, is_permissive boolean, roles name[], expression text) language sql stable set search_path = ''
as $$
  select t.oid, t.object || ', ' || p.policyname, t.name, p.policyname, lower(p.cmd), p.permissive = 'PERMISSIVE', p.roles, concat_ws(' / ', p.qual, p.with_check)
  from tests.our_tables() t join pg_catalog.pg_policies p on p.schemaname = t.schema and p.tablename = t.name
$$;
comment on function tests.our_policies() is 'Policies of Vicinia''s tables.';

create or replace function tests.our_grants()
returns table (object text, schema name, name name, column_name name, grantee text, privilege text) language sql stable set search_path = ''
as $$
  select r.object || coalesce('.' || g.attname, ''), r.schema, r.name, g.attname,
    case when g.grantee = 0 then 'public' else g.grantee::regrole::text end, lower(g.privilege_type)
  from tests.our_relations() r
  join (
    select c.oid, null::name as attname, x.grantee, x.privilege_type
    from pg_catalog.pg_class c cross join lateral pg_catalog.aclexplode(c.relacl) x
    union all
    select a.attrelid, a.attname, x.grantee, x.privilege_type
    from pg_catalog.pg_attribute a cross join lateral pg_catalog.aclexplode(a.attacl) x
    where a.attacl is not null
  ) g on g.oid = r.oid
$$;
comment on function tests.our_grants() is 'What is granted on tables, views and columns of Vicinia''s schemas, and to whom.';

-- Row-level security -------------------------------------------------------------------------------------------------

create or replace function tests.catalog__rls_enabled() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select t.object, 'has no row-level security' from tests.our_tables() t join pg_catalog.pg_class c on c.oid = t.oid where not c.relrowsecurity
$$;
comment on function tests.catalog__rls_enabled() is 'Every table has row-level security, in every schema.';

create or replace function tests.catalog__policies_exist() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select t.object, 'has no policy' from tests.our_tables() t where not exists (select from tests.our_policies() p where p.relation = t.oid)
$$;
comment on function tests.catalog__policies_exist() is 'Every table says who may read it; one that nobody may read has a policy that says false.';

create or replace function tests.catalog__policies_named() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select p.object, format('should be called %s_%s%s, for one command', p.table_name, p.command, e.ending)
  from tests.our_policies() p
  cross join lateral (values (case p.roles when '{vicinia_reporting}' then '_reporting' when '{vicinia_maintenance}' then '_maintenance' else '' end)) e (ending)
  where p.name <> p.table_name || '_' || p.command || e.ending or p.command = 'all'
$$;
comment on function tests.catalog__policies_named() is 'A policy is for one command and called <table>_<command>, those of database logins <table>_<command>_{reporting,maintenance}.';

create or replace function tests.catalog__policies_single() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select min(p.object), format('is one of %s permissive policies for %s', count(*), p.command)
  from tests.our_policies() p where p.is_permissive group by p.relation, p.command, p.roles having count(*) > 1
$$;
comment on function tests.catalog__policies_single() is 'A table has at most one permissive policy per command and role.';

create or replace function tests.catalog__policies_for_authenticated() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select p.object, 'is to ' || array_to_string(p.roles, ', ')
  from tests.our_policies() p where p.roles not in ('{authenticated}', '{vicinia_reporting}', '{vicinia_maintenance}')
$$;
comment on function tests.catalog__policies_for_authenticated() is 'Policies are to authenticated, or to one kind of database login.';

create or replace function tests.catalog__policies_call_once() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select p.object, format('calls %s for each row: wrap it in (select …)', call[1])
  from tests.our_policies() p
  cross join lateral regexp_matches(
    p.expression, '(?<!SELECT )\m((?:(?:app|auth|public|private|extensions)\.[a-z_0-9]+|current_setting)\()', 'g') call
$$;
comment on function tests.catalog__policies_call_once() is 'Helpers in policies are wrapped in (select …), so that they run once per statement and not once per row.';

create or replace function tests.catalog__policies_gate() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select p.object, 'has no gate: community_id = any ((select g.communities from app.gate g)::uuid[]), or app.communities_where(permission) instead'
  from tests.our_policies() p
  where p.expression <> 'false' and p.roles = '{authenticated}'
    and (p.relation = 'public.communities'::regclass
      or exists (select from pg_catalog.pg_attribute a where a.attrelid = p.relation and a.attname = 'community_id' and not a.attisdropped))
    and p.expression !~ '\m(community_id|id) = ANY \(\( SELECT (g\.communities\s+FROM app\.gate g\)|app\.communities_where\()'
$$;
comment on function tests.catalog__policies_gate() is 'The policies of a table with a community_id begin with the gate, which is an index condition.';

create or replace function tests.catalog__policies_everywhere_gated() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select p.object, 'asks held_everywhere without the gate around it, which alone asks whose session it is'
  from tests.our_policies() p
  join pg_catalog.pg_policies g on g.schemaname || '.' || g.tablename || ', ' || g.policyname = p.object
  cross join lateral (values (g.qual), (g.with_check)) e (expression)
  where e.expression ~ '\mapp\.held_everywhere\M'
    and e.expression !~ '^\(\((community_id|id) = ANY \(\( SELECT g\.communities\s+FROM app\.gate g\)(::uuid\[\])?\)\) AND '
$$;
comment on function tests.catalog__policies_everywhere_gated() is 'A policy that asks app.held_everywhere demands the gate first: app.gate, of which alone it says anything.';

create or replace function tests.catalog__policies_check_updates() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select p.object, 'has no with check of its own'
  from tests.our_policies() p join pg_catalog.pg_policy c on c.polrelid = p.relation and c.polname = p.name
  where p.command = 'update' and c.polwithcheck is null
$$;
comment on function tests.catalog__policies_check_updates() is 'A policy for update says what a row must be like before (using) and after (with check).';

-- Database logins ----------------------------------------------------------------------------------------------------

create or replace function tests.catalog__logins_by_session() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select p.object, 'lets a database login say for itself who it is: its helpers ask session_user'
  from tests.our_policies() p
  cross join lateral (values (case p.roles when '{vicinia_reporting}' then 'reporting' else 'maintained' end)) k (kind)
  where p.roles <> '{authenticated}'
    and (p.expression !~ ('\( SELECT app\.' || k.kind || '_(communities|organizations)\(')
      or regexp_replace(p.expression, '\mapp\.' || k.kind || '_(communities|organizations)\(', '', 'g') ~ '\m(app|auth|public|private)\.|current_setting|current_user')
$$;
comment on function tests.catalog__logins_by_session() is 'Policies of database logins ask the helpers that go by session_user, and nothing that a session can set.';

create or replace function tests.catalog__logins_reach_tables() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select t.object, 'has no policy for ' || r.name || ': select app.track(…)'
  from tests.business_tables() t
  cross join (values ('vicinia_reporting'), ('vicinia_maintenance')) r (name)
  where (t.name in ('organizations', 'communities') or exists (select from tests.our_columns() c where c.relation = t.oid and c.name in ('community_id', 'organization_id')))
    and not exists (select from tests.our_policies() p where p.relation = t.oid and p.command = 'select' and p.roles = array[r.name]::name[])
$$;
comment on function tests.catalog__logins_reach_tables() is 'Every table whose rows belong to a community or an organization is open to database logins, for the rows of theirs.';

create or replace function tests.catalog__logins_granted() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select g.object, format('%s holds %s', g.grantee, g.privilege)
  from tests.our_grants() g
  where g.grantee in ('vicinia_reporting', 'vicinia_maintenance')
    and (g.schema <> 'public' or g.privilege not in ('select', 'insert', 'update') or (g.grantee = 'vicinia_reporting' and g.privilege <> 'select')
      -- What decides who may do what is not written by hand.
      or (g.privilege <> 'select' and g.name not in ('organizations', 'communities')
        and not exists (select from tests.our_columns() c where c.schema = 'public' and c.table_name = g.name and c.name = 'community_id' and c.is_not_null)))
$$;
comment on function tests.catalog__logins_granted() is 'Reporting reads public alone; maintenance also inserts and updates rows of communities there. Neither deletes.';

create or replace function tests.catalog__logins_execute() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select f.object, 'may be executed by ' || x.grantee::regrole
  from tests.our_functions() f
  join pg_catalog.pg_proc p on p.oid = f.oid
  cross join lateral pg_catalog.aclexplode(p.proacl) x
  where (x.grantee = 'vicinia_reporting'::regrole and f.object !~ '^app\.reporting_')
    or (x.grantee = 'vicinia_maintenance'::regrole and (f.schema not in ('app', 'extensions')
      or (p.prosecdef and f.object !~ '^app\.(maintained_|check_setting\(|feature_states\(|refuse_erased\()')))
$$;
comment on function tests.catalog__logins_execute() is 'Database logins execute no RPC, and no definer function but the helpers of their policies and what checks a value.';

create or replace function tests.catalog__logins_write() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  with recursive called (oid, since) as (
    select p.oid, t.object
    from tests.business_tables() t
    join pg_catalog.pg_trigger g on g.tgrelid = t.oid and not g.tgisinternal
    join pg_catalog.pg_proc p on p.oid = g.tgfoid and not p.prosecdef
    where t.oid not in (select k.oid from tests.kept_tables() k) and exists (select from tests.our_columns() c where c.relation = t.oid and c.name = 'community_id' and c.is_not_null)
    union
    select d.refobjid, t.object
    from tests.business_tables() t
    cross join lateral (
      select 'pg_catalog.pg_constraint'::regclass as catalog, k.oid from pg_catalog.pg_constraint k where k.conrelid = t.oid and k.contype = 'c'
      union all
      select 'pg_catalog.pg_trigger'::regclass, g.oid from pg_catalog.pg_trigger g where g.tgrelid = t.oid
      union all
      select 'pg_catalog.pg_class'::regclass, i.indexrelid from pg_catalog.pg_index i where i.indrelid = t.oid
    ) w
    join pg_catalog.pg_depend d on d.classid = w.catalog and d.objid = w.oid and d.refclassid = 'pg_catalog.pg_proc'::regclass
    where t.oid not in (select k.oid from tests.kept_tables() k)
      and exists (select from tests.our_columns() c where c.relation = t.oid and c.name = 'community_id' and c.is_not_null)
    union
    select q.oid, k.since
    from called k
    join pg_catalog.pg_proc p on p.oid = k.oid and not p.prosecdef
    cross join lateral regexp_matches(p.prosrc, '\mapp\.([a-z_]+)\(', 'g') name
    join pg_catalog.pg_proc q on q.pronamespace = 'app'::regnamespace and q.proname = name[1]
  )
  select distinct on (k.oid) k.oid::regprocedure::text, format('runs when vicinia_maintenance writes %s: grant it EXECUTE', k.since)
  from called k
  join pg_catalog.pg_proc p on p.oid = k.oid and p.prorettype <> 'trigger'::regtype
  where not pg_catalog.has_function_privilege('vicinia_maintenance', k.oid, 'execute')
$$;
comment on function tests.catalog__logins_write() is 'Vicinia_maintenance may execute what checks, triggers and indexes of the tables it writes call in its name.';

-- Comments -----------------------------------------------------------------------------------------------------------

create or replace function tests.catalog__relations_commented() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select r.object, 'has no comment' from tests.our_relations() r where pg_catalog.obj_description(r.oid, 'pg_class') is null
$$;
comment on function tests.catalog__relations_commented() is 'Every table and view has a comment.';

create or replace function tests.catalog__columns_commented() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select r.object || '.' || a.attname, 'has no comment'
  from tests.our_relations() r join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  where not r.is_partition and pg_catalog.col_description(r.oid, a.attnum) is null
$$;
comment on function tests.catalog__columns_commented() is 'Every column of every table and view has a comment.';

create or replace function tests.catalog__functions_commented() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select f.object, 'has no comment' from tests.our_functions() f where pg_catalog.obj_description(f.oid, 'pg_proc') is null
$$;
comment on function tests.catalog__functions_commented() is 'Every function has a comment.';

-- Names and types ----------------------------------------------------------------------------------------------------

create or replace function tests.catalog__primary_keys() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select t.object, 'has no primary key called ' || t.name || '_pkey'
  from tests.our_tables() t
  where not exists (select from pg_catalog.pg_constraint k where k.conrelid = t.oid and k.contype = 'p' and k.conname = t.name || '_pkey')
$$;
comment on function tests.catalog__primary_keys() is 'Every table has a primary key, called <table>_pkey.';

create or replace function tests.catalog__constraints_named() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select t.object || ', ' || k.conname, 'should be called ' || t.name || '_<what>_' || e.ending
  from tests.our_tables() t
  join pg_catalog.pg_constraint k on k.conrelid = t.oid
  join (values ('p', 'pkey'), ('f', 'fkey'), ('u', 'key'), ('c', 'check'), ('x', 'excl')) e (type, ending) on e.type = k.contype
  -- A partition's checks are its parent's, by name too.
  where k.conname !~ ('^' || t.name || '_([a-z0-9_]+_)?' || e.ending || '$') and (k.contype <> 'c' or k.conislocal)
$$;
comment on function tests.catalog__constraints_named() is 'Constraints are called <table>_<what>_{pkey,fkey,key,check,excl}: it is what a client embeds by or sees in an error.';

create or replace function tests.catalog__indexes_named() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select t.object || ', ' || i.relname, 'should be called ' || t.name || '_<what>_' || case when x.indisunique then 'key' else 'idx' end
  from tests.our_tables() t
  join pg_catalog.pg_index x on x.indrelid = t.oid
  join pg_catalog.pg_class i on i.oid = x.indexrelid
  where not exists (select from pg_catalog.pg_constraint k where k.conindid = i.oid and k.conrelid = t.oid)
    and i.relname !~ ('^' || t.name || '_[a-z0-9_]+_' || case when x.indisunique then 'key' else 'idx' end || '$')
$$;
comment on function tests.catalog__indexes_named() is 'Indexes are called <table>_<what>_idx, unique ones <table>_<what>_key.';

create or replace function tests.catalog__triggers_named() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select t.object || ', ' || g.tgname, 'should be called _<number>_<task>, and call app.tg__<task> or app.tg_<table>__<task>'
  from tests.our_tables() t
  join pg_catalog.pg_trigger g on g.tgrelid = t.oid and not g.tgisinternal
  join pg_catalog.pg_proc p on p.oid = g.tgfoid
  where g.tgname !~ '^_[0-9]{3}_[a-z0-9_]+$' or p.pronamespace <> 'app'::regnamespace
    or p.proname !~ ('^tg_(' || t.name || '_)?_[a-z0-9_]+$')
$$;
comment on function tests.catalog__triggers_named() is 'Triggers are called _<number>_<task>, where the number is the firing order; their functions app.tg__<task> or app.tg_<table>__<task>.';

create or replace function tests.catalog__columns_named() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select c.object, format('is %s: should be called %s', y.typname, e.form)
  from tests.our_columns() c
  join pg_catalog.pg_type y on y.oid = c.type
  join (values ('bool', '^(is|has)_', 'is_… or has_…'), ('timestamptz', '_at$', '…_at'), ('date', '_(on|through)$', '…_on or …_through')) e (type, pattern, form) on e.type = y.typname
  where c.name !~ e.pattern
$$;
comment on function tests.catalog__columns_named() is 'Booleans are called is_… or has_…, times …_at, dates …_on (or …_through: that day too).';

create or replace function tests.catalog__columns_typed() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select c.object, format('is %s', pg_catalog.format_type(c.type, null))
  from tests.our_columns() c
  where c.type in ('timestamp'::regtype, 'timetz'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'json'::regtype, 'money'::regtype)
$$;
comment on function tests.catalog__columns_typed() is 'Times are timestamptz and texts are text with a check: no timestamp, varchar, char, json or money.';

create or replace function tests.catalog__enums_in_public() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select distinct y.oid::regtype::text, 'is an enum outside of public, used by ' || c.object
  from tests.our_columns() c join pg_catalog.pg_type y on y.oid = c.type
  where c.schema = 'public' and y.typtype = 'e' and y.typnamespace <> 'public'::regnamespace
$$;
comment on function tests.catalog__enums_in_public() is 'An enum that a table of the API uses is in public, where generated types find it.';

-- Foreign keys -------------------------------------------------------------------------------------------------------

create or replace function tests.catalog__foreign_keys_indexed() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select t.object || ', ' || k.conname, 'has no index on its columns'
  from tests.our_tables() t
  join pg_catalog.pg_constraint k on k.conrelid = t.oid and k.contype = 'f'
  where not exists (
    select
    from pg_catalog.pg_index x
    where x.indrelid = k.conrelid and x.indisvalid
      and (
        (string_to_array(x.indkey::text, ' ')::smallint[])[1:cardinality(k.conkey)] @> k.conkey
        -- Where one of the columns alone tells which row is meant, what begins with it is as good.
        or exists (
          select
          from unnest(k.conkey, k.confkey) c (here, there)
          join pg_catalog.pg_index p on p.indrelid = k.confrelid and p.indisunique and p.indpred is null and p.indnkeyatts = 1 and p.indkey[0] = c.there
          where x.indkey[0] = c.here))
      -- A partial index serves where all it leaves out is nulls, or archived rows.
      and (x.indpred is null or pg_catalog.pg_get_expr(x.indpred, x.indrelid) ~ '^\((deleted_at IS NULL|[a-z_]+ IS NOT NULL)\)$')
  )
$$;
comment on function tests.catalog__foreign_keys_indexed() is 'Every foreign key has an index that begins with its columns, or with the one of them that alone tells the row.';

create or replace function tests.catalog__foreign_keys_on_delete() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select t.object || ', ' || k.conname, case k.confdeltype when 'a' then 'does not say what happens on delete' else 'sets null or a default without naming its columns' end
  from tests.our_tables() t
  join pg_catalog.pg_constraint k on k.conrelid = t.oid and k.contype = 'f'
  where k.confdeltype = 'a' or (k.confdeltype in ('n', 'd') and k.confdelsetcols is null)
$$;
comment on function tests.catalog__foreign_keys_on_delete() is 'Every foreign key says what happens on delete, and which columns are set null.';

create or replace function tests.catalog__foreign_keys_composite() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select t.object || ', ' || k.conname, 'does not include community_id on both sides'
  from tests.our_tables() t
  join pg_catalog.pg_constraint k on k.conrelid = t.oid and k.contype = 'f'
  join pg_catalog.pg_attribute here on here.attrelid = k.conrelid and here.attname = 'community_id' and here.attnotnull
  join pg_catalog.pg_attribute there on there.attrelid = k.confrelid and there.attname = 'community_id' and there.attnotnull
  where array_position(k.conkey, here.attnum) is distinct from array_position(k.confkey, there.attnum) or not here.attnum = any (k.conkey)
$$;
comment on function tests.catalog__foreign_keys_composite() is 'A foreign key between two tables of a community includes community_id, so that a row which mixes two communities cannot be stored.';

create or replace function tests.catalog__communities_named() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select c.object, 'is tied to no community by a foreign key'
  from tests.our_columns() c
  where c.schema = 'public' and c.name = 'community_id'
    and not exists (select from pg_catalog.pg_constraint k where k.conrelid = c.relation and k.contype = 'f' and c.number = any (k.conkey))
    -- after insert, per statement
    and not exists (
      select from pg_catalog.pg_trigger g join pg_catalog.pg_proc p on p.oid = g.tgfoid
      where g.tgrelid in (select k.oid from tests.kept_tables() k) and g.tgrelid = c.relation and g.tgenabled = 'O' and g.tgtype = 4 and g.tgnewtable is not null
        and p.proname ~ ('^tg_' || c.table_name || '__') and p.prosrc ~ '\mcommunity_id\M')
$$;
comment on function tests.catalog__communities_named() is
  'A community_id in the API is part of a foreign key; in what the database alone writes, and writes many at once, a trigger may compare it for all rows of a statement instead.';

-- Rows ---------------------------------------------------------------------------------------------------------------

create or replace function tests.catalog__row_model_last() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select t.object, 'does not end with the columns of app.row_model'
  from tests.business_tables() t
  where t.oid not in (select k.oid from tests.kept_tables() k) and (
      select array_agg(x.name order by x.number)
      from (select c.name::text, c.number from tests.our_columns() c where c.relation = t.oid order by c.number desc limit 5) x
    ) is distinct from array['created_at', 'updated_at', 'created_by', 'updated_by', 'deleted_at']
$$;
comment on function tests.catalog__row_model_last() is 'Every table of the API ends with the row model, so that Studio shows names first; except those that the database alone writes.';

create or replace function tests.catalog__tracked() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select t.object, 'lacks the trigger ' || w.name || ': select app.track(…)'
  from tests.business_tables() t
  cross join lateral (values
    ('_100_touch', 'tg__touch', null), ('_090_made', 'tg__made', null), ('_020_delete_refused', 'tg__delete_refused', null),
    ('_010_frozen_id', 'tg__frozen', 'id'), ('_010_frozen_community_id', 'tg__frozen', 'community_id'),
    ('_900_audit_insert', 'tg_' || t.name || '__audit', null), ('_900_audit_update', 'tg_' || t.name || '__audit', null), ('_900_audit_delete', 'tg_' || t.name || '__audit', null)
  ) w (name, function, column_name)
  where (w.column_name is null or exists (select from tests.our_columns() c where c.relation = t.oid and c.name = w.column_name))
    and t.oid not in (select k.oid from tests.kept_tables() k)
    and not exists (
      select
      from pg_catalog.pg_trigger g join pg_catalog.pg_proc p on p.oid = g.tgfoid
      where g.tgrelid = t.oid and g.tgname = w.name and p.proname = w.function and g.tgenabled = 'O')
$$;
comment on function tests.catalog__tracked() is 'Every table of the API is tracked: touched, frozen, kept from deletion, audited; except those that the database alone writes.';

create or replace function tests.catalog__kept_by_database() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select k.object, format('is written by the database alone, and %s holds %s', g.grantee, g.privilege)
  from tests.kept_tables() k
  join pg_catalog.pg_class c on c.oid = k.oid
  join tests.our_grants() g on g.schema = 'public' and g.name = c.relname
  where g.privilege in ('insert', 'update', 'delete') and g.grantee <> c.relowner::regrole::text
  union all
  select p.object, 'is a policy for ' || p.command || ' on what the database alone writes'
  from tests.our_policies() p
  where p.relation in (select k.oid from tests.kept_tables() k) and p.command <> 'select'
  union all
  select k.object, 'is written by the database alone and has columns of the row model, which nothing keeps'
  from tests.kept_tables() k
  join tests.our_columns() c on c.relation = k.oid and c.name in ('updated_at', 'updated_by', 'deleted_at')
$$;
comment on function tests.catalog__kept_by_database() is
  'What is append-only or derived has no row model and no audit because its owner alone, and nobody else, may write it.';

create or replace function tests.catalog__logs_append_only() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select t.object, 'lacks the trigger _100_append_only'
  from tests.our_tables() t
  where t.schema = 'audit'
    and not exists (
      select from pg_catalog.pg_trigger g join pg_catalog.pg_proc p on p.oid = g.tgfoid
      -- per statement, before, on delete, update and truncate
      where g.tgrelid = t.oid and p.proname = 'tg__append_only' and g.tgenabled = 'O' and g.tgtype = 2 + 8 + 16 + 32)
$$;
comment on function tests.catalog__logs_append_only() is 'Every table of audit refuses UPDATE, DELETE and TRUNCATE, each partition too.';

-- Functions ----------------------------------------------------------------------------------------------------------

create or replace function tests.catalog__functions_search_path() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select f.object, 'does not set search_path = '''''
  from tests.our_functions() f join pg_catalog.pg_proc p on p.oid = f.oid
  -- extensions.uuidv7 goes without, to be inlined.
  where f.schema <> 'extensions' and not coalesce(p.proconfig, '{}') @> array['search_path=""']
$$;
comment on function tests.catalog__functions_search_path() is 'Every function sets search_path = ''''.';

create or replace function tests.catalog__functions_invoker() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select f.object, 'is a definer function in the API: put it into app and call it'
  from tests.our_functions() f join pg_catalog.pg_proc p on p.oid = f.oid
  where f.schema = 'public' and p.prosecdef
$$;
comment on function tests.catalog__functions_invoker() is 'No function of the API is SECURITY DEFINER.';

create or replace function tests.catalog__definers_justified() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select f.object, 'is a definer function whose comment does not say why: "Definer: …"'
  from tests.our_functions() f join pg_catalog.pg_proc p on p.oid = f.oid
  where p.prosecdef and coalesce(pg_catalog.obj_description(f.oid, 'pg_proc'), '') !~ '\mDefiner[:,] \w+'
$$;
comment on function tests.catalog__definers_justified() is 'The comment of every definer function says why it is one.';

create or replace function tests.open_to_anon()
returns setof text language sql immutable set search_path = ''
as $$
  values
    -- Every request passes it.
    ('app.pre_request()'),
    -- Ids are no secret.
    ('extensions.uuidv7()'),
    -- Devices at gates sign in with a key of their own.
    ('app.calling_device()'),
    ('app.device_check_in()'), ('public.device_check_in()'),
    -- And decide at their own.
    ('app.decide_access(uuid,public.access_method,text,public.access_direction,text,timestamp with time zone,uuid,uuid,uuid,uuid,uuid,uuid,text)'),
    ('public.decide_access(uuid,public.access_method,text,public.access_direction,text,timestamp with time zone,uuid,uuid,uuid,uuid,uuid,uuid,text)'),
    -- Cameras announce what they are about to upload.
    ('app.register_device_photo(text,bigint,text)'), ('public.register_device_photo(text,bigint,text)'),
    -- And ask for what they need to verify passes without a line.
    ('app.pass_public_keys(uuid)'), ('public.pass_public_keys(uuid)'), ('app.revoked_offline_passes(uuid)'), ('public.revoked_offline_passes(uuid)'),
    -- A visitor has a link and no account.
    ('app.open_visitor_pass(text)'), ('public.open_visitor_pass(text)')
$$;
comment on function tests.open_to_anon() is 'The functions that whoever has the publishable key may call.';

create or replace function tests.catalog__functions_granted() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select f.object, 'may be executed by ' || case when x.grantee = 0 then 'everybody' else x.grantee::regrole::text end
  from tests.our_functions() f
  join pg_catalog.pg_proc p on p.oid = f.oid
  cross join lateral pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) x
  where x.grantee = 0
    or (x.grantee = 'anon'::regrole and f.object not in (select tests.open_to_anon()))
    -- Nobody calls a trigger function.
    or (p.prorettype = 'trigger'::regtype and x.grantee <> p.proowner)
$$;
comment on function tests.catalog__functions_granted() is 'No function may be executed by everybody, by anon only what tests.open_to_anon() lists, a trigger function by nobody.';

create or replace function tests.catalog__functions_volatility() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select declared[1], 'does not say whether it is volatile, stable or immutable'
  from supabase_migrations.schema_migrations m
  cross join lateral unnest(m.statements) statement
  cross join lateral regexp_match(statement, '^(?:\s*--[^\n]*\n|\s)*create (?:or replace )?function ([a-z_0-9.]+)(.*?)(?:\mas \$|\mreturn\M|\mbegin atomic\M)', 'i') declared
  where declared is not null and declared[2] !~* '\mreturns trigger\M' and declared[2] !~* '\m(volatile|stable|immutable)\M'
$$;
comment on function tests.catalog__functions_volatility() is 'Every function says whether it is volatile, stable or immutable (trigger functions apart, which are always volatile).';

create or replace function tests.catalog__signatures() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select f.object, format('has %s in its signature, which generated types call unknown', y.oid::regtype)
  from tests.our_functions() f
  join pg_catalog.pg_proc p on p.oid = f.oid
  cross join lateral unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]) || p.prorettype) t
  join pg_catalog.pg_type y on y.oid = t
  where f.schema = 'public' and y.typtype in ('d', 'r', 'm')
$$;
comment on function tests.catalog__signatures() is 'RPC signatures use base types: no domain and no range.';

-- Grants -------------------------------------------------------------------------------------------------------------

create or replace function tests.catalog__grants_beyond_rows() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select g.object, format('%s holds %s', g.grantee, g.privilege)
  from tests.our_grants() g
  where g.grantee in ('public', 'anon', 'authenticated', 'service_role') and g.privilege in ('truncate', 'references', 'trigger', 'maintain')
$$;
comment on function tests.catalog__grants_beyond_rows() is 'No API role holds TRUNCATE, REFERENCES, TRIGGER or MAINTAIN.';

create or replace function tests.catalog__grants_to_anon() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select g.object, format('%s holds %s', g.grantee, g.privilege) from tests.our_grants() g where g.grantee in ('public', 'anon')
$$;
comment on function tests.catalog__grants_to_anon() is 'Whoever is not signed in holds nothing on any table, view or column.';

create or replace function tests.catalog__answers_whole() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select f.object, case
    when not begins then 'writes down who reads, and is read without that where PostgREST fails over the answer: begin with app.require_whole_answer'
    else 'leaves a trace and returns a set, of which ?offset=1 skips the row and the trace: return one value of a composite type' end
  from tests.our_functions() f
  join pg_catalog.pg_proc p on p.oid = f.oid
  cross join lateral (
    select p.prosrc ~ 'app\.require_whole_answer\(' or exists (
        select from tests.our_functions() d join pg_catalog.pg_proc q on q.oid = d.oid
        where f.schema = 'public' and d.schema = 'app' and d.name = f.name and q.prosrc ~ 'app\.require_whole_answer\(') as begins,
      p.prosrc ~ 'record_action\([^;]*_(READ|EXPORTED)''' as tells) x
  where (begins and p.proretset) or (tells and not begins)
$$;
comment on function tests.catalog__answers_whole() is 'What is not to be asked without a trace refuses to have its answer filtered or cast (app.require_whole_answer), and returns no set.';

create or replace function tests.catalog__grants_delete() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select g.object, format('%s may delete', g.grantee)
  from tests.our_grants() g
  where g.privilege = 'delete' and g.grantee in ('authenticated', 'service_role')
    and not exists (select from tests.business_tables() t where t.object = g.object and t.is_deletable)
$$;
comment on function tests.catalog__grants_delete() is 'API roles may delete nothing but plain links: business rows are archived.';

create or replace function tests.catalog__grants_closed_schemas() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select g.object, format('%s holds %s', g.grantee, g.privilege)
  from tests.our_grants() g
  where g.grantee in ('authenticated', 'service_role')
    and (g.schema in ('app', 'private') or (g.schema = 'audit' and g.privilege <> 'select'))
    -- What policies ask, in the plan of whoever reads.
    and (g.object, g.grantee, g.privilege) not in (('app.gate', 'authenticated', 'select'), ('app.held_everywhere', 'authenticated', 'select'))
$$;
comment on function tests.catalog__grants_closed_schemas() is
  'API roles hold nothing on tables of app and private, but what policies read of the caller, and may at most read audit.';

create or replace function tests.catalog__grants_list_columns() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select g.object, format('authenticated holds %s on %s', g.privilege, coalesce('this column', 'the whole table'))
  from tests.our_grants() g
  where g.grantee = 'authenticated' and g.schema = 'public' and g.privilege in ('insert', 'update')
    and (g.column_name is null
      or g.column_name in ('created_at', 'updated_at', 'created_by', 'updated_by', 'deleted_at', 'status')
      or (g.privilege = 'update' and g.column_name in ('id', 'community_id', 'organization_id')))
$$;
comment on function tests.catalog__grants_list_columns() is 'Users write listed columns: never the row model''s, never status, and ids only once.';

create or replace function tests.catalog__grants_service_role() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select r.object, 'is not granted to service_role'
  from tests.our_relations() r
  where r.schema = 'public' and not r.is_partition
    and not exists (select from tests.our_grants() g where g.object = r.object and g.grantee = 'service_role' and g.privilege = 'select')
$$;
comment on function tests.catalog__grants_service_role() is 'Every table and view of the API is granted to service_role by name: nothing comes by default.';

-- Views --------------------------------------------------------------------------------------------------------------

create or replace function tests.catalog__views_invoker() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select r.object, case r.kind when 'm' then 'is a materialized view, which knows no row-level security' else 'is not security_invoker' end
  from tests.our_relations() r join pg_catalog.pg_class c on c.oid = r.oid
  where r.schema = 'public' and (r.kind = 'm' or (r.kind = 'v' and not coalesce(c.reloptions, '{}') && '{security_invoker=true,security_invoker=on}'))
$$;
comment on function tests.catalog__views_invoker() is 'A view of the API shows what its reader may see (security_invoker), and is not materialized.';

-- Personal data ------------------------------------------------------------------------------------------------------

create or replace function tests.catalog__personal_data_registered() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select c.object, 'names a person and is not registered: select app.register_personal_data(…)'
  from tests.our_columns() c
  where c.schema in ('public', 'private')
    and c.name not in ('created_by', 'updated_by')
    and c.type not in ('bool'::regtype, 'timestamptz'::regtype)
    -- What is generated goes with the columns it is made of.
    and not exists (select from pg_catalog.pg_attribute a where a.attrelid = c.relation and a.attnum = c.number and a.attgenerated <> '')
    and (
      c.name ~ ('(^|_)(email|phone|mobile|full_name|display_name|first_name|last_name|identity_number|tax_number|passport|birth|born|address|'
        || 'ip_address|user_agent|iban|plate|driver|latitude|longitude|user_id|resident_id|profile_id|owner_id)(_|$)|_by$')
      or exists (
        select from pg_catalog.pg_constraint k
        where k.conrelid = c.relation and k.contype = 'f' and c.number = any (k.conkey) and c.name <> 'community_id'
          and k.confrelid in ('public.profiles'::regclass, 'public.residents'::regclass, 'auth.users'::regclass))
    )
    and not exists (
      select from app.personal_data_registry g
      where g.table_id = c.relation and (g.person_column = c.name or g.columns ? c.name))
$$;
comment on function tests.catalog__personal_data_registered() is
  'A column that names a person (refers to a resident or a user, is called ..._by, holds an address, a number or a name of somebody) is in the registry of personal data.';

create or replace function tests.catalog_rules()
returns table (rule name, sentence text) language sql stable set search_path = ''
as $$
  select p.proname, pg_catalog.obj_description(p.oid, 'pg_proc') from pg_catalog.pg_proc p
  where p.pronamespace = 'tests'::regnamespace and p.proname like 'catalog\_\_%' order by p.proname
$$;
comment on function tests.catalog_rules() is 'All rules.';

begin;
select plan(2);
select cmp_ok((select count(*) from tests.catalog_rules()), '>=', 30::bigint, 'the rules are in place');
select is_empty('select rule from tests.catalog_rules() where sentence is null', 'every rule is told in a sentence');
select * from finish();
rollback;
