import pg from 'pg';

/** What the reference tells of a database, read from its catalog and from the rows by which topics declare things. */
export type Catalog = {
  migrations: Migration[];
  relations: Relation[];
  functions: Func[];
  enums: { name: string; values: string[]; comment: string | null }[];
  permissions: { key: string; level: string; description: string; holders: string[] }[];
  settings: { key: string; type: string; levels: string[]; default_value: string | null; bounds: string | null; description: string }[];
  features: { key: string; description: string; is_enabled: boolean; is_self_service: boolean }[];
  filePurposes: {
    key: string; bucket: string; description: string; content_types: string[]; max_bytes: string;
    upload_permission: string; manage_permission: string | null; read_permission: string | null;
  }[];
  jobs: { name: string; schedule: string; handler: string; description: string }[];
  consumers: { name: string; topics: string; handler: string; description: string }[];
};

export type Migration = { version: string; name: string; sql: string };

export type Column = { name: string; type: string; is_not_null: boolean; default_value: string | null; comment: string | null };

export type Constraint = {
  name: string; type: 'p' | 'u' | 'f' | 'c' | 'x'; definition: string; columns: string[];
  /** Of a foreign key: the table referred to, whether every column is filled, whether its columns are unique on this side. */
  target: string | null; is_required: boolean; is_unique: boolean;
};

export type Policy = { name: string; command: 'select' | 'insert' | 'update' | 'delete'; roles: string[]; using: string | null; check: string | null };

/** A privilege, on all columns when none are named. */
export type Grant = { grantee: string; privilege: string; columns: string[] | null };

export type Relation = {
  schema: string; name: string; kind: 'table' | 'view'; comment: string | null; definition: string | null;
  columns: Column[]; constraints: Constraint[]; indexes: { name: string; definition: string }[];
  triggers: { name: string; function: string; comment: string | null }[];
  policies: Policy[]; grants: Grant[];
  states: { from_state: string | null; to_state: string; permission_key: string | null; description: string }[];
};

export type Func = {
  schema: string; name: string; arguments: string; result: string; comment: string | null; volatility: 'volatile' | 'stable' | 'immutable';
  is_trigger: boolean; grantees: string[]; source: string;
};

/** Reads the catalog, in an order that depends on nothing but names. */
export async function readCatalog(databaseUrl: string): Promise<Catalog> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    // One state of the database, and names with their schemas.
    await client.query(`begin isolation level repeatable read read only; set local search_path = ''`);
    const rows = async <T>(text: string): Promise<T[]> => (await client.query(`select to_jsonb(x) as row from (${text}) x`)).rows.map(({ row }) => row as T);
    return {
      migrations: await rows<Migration>(migrations),
      relations: await rows<Relation>(relations),
      functions: await rows<Func>(functions),
      enums: await rows(enums),
      permissions: await rows(permissions),
      settings: await rows(settings),
      features: await rows(`select key, description, is_enabled, is_self_service from public.features where deleted_at is null order by key collate "C"`),
      filePurposes: await rows(`
        select key, bucket, description, content_types, max_bytes::text, upload_permission, manage_permission, read_permission
        from public.file_purposes where deleted_at is null order by key collate "C"`),
      jobs: await rows(`select name, schedule, handler, description from app.scheduled_jobs order by name collate "C"`),
      consumers: await rows(`select name, topics, handler, description from app.outbox_consumers order by name collate "C"`),
    };
  } finally {
    await client.end();
  }
}

const ours = `in ('public', 'app', 'private', 'audit')`;

/** An object that an extension brought along is not ours to describe. */
const notOfExtension = (catalog: string, oid: string) =>
  `not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.${catalog}'::regclass and d.objid = ${oid} and d.deptype = 'e')`;

const migrations = `
  select m.version, m.name, array_to_string(m.statements, ';' || chr(10)) as sql
  from supabase_migrations.schema_migrations m order by m.version`;

const relations = `
  select n.nspname as schema, c.relname as name, case c.relkind when 'v' then 'view' when 'm' then 'view' else 'table' end as kind,
    pg_catalog.obj_description(c.oid, 'pg_class') as comment,
    case when c.relkind in ('v', 'm') then pg_catalog.pg_get_viewdef(c.oid, true) end as definition,
    coalesce((
      select jsonb_agg(jsonb_build_object('name', a.attname, 'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'is_not_null', a.attnotnull,
          'default_value', case a.attgenerated when 's' then 'generated: ' else '' end || pg_catalog.pg_get_expr(f.adbin, f.adrelid),
          'comment', pg_catalog.col_description(c.oid, a.attnum)) order by a.attnum)
      from pg_catalog.pg_attribute a left join pg_catalog.pg_attrdef f on f.adrelid = c.oid and f.adnum = a.attnum
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '[]') as columns,
    coalesce((
      select jsonb_agg(jsonb_build_object('name', k.conname, 'type', k.contype, 'definition', pg_catalog.pg_get_constraintdef(k.oid, true),
          'columns', (select jsonb_agg(a.attname order by u.position) from unnest(k.conkey) with ordinality u (number, position)
            join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = u.number),
          'target', (select tn.nspname || '.' || t.relname from pg_catalog.pg_class t join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace where t.oid = k.confrelid),
          'is_required', not exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum = any (k.conkey) and not a.attnotnull),
          'is_unique', exists (
            select from pg_catalog.pg_index x where x.indrelid = c.oid and x.indisunique and x.indexprs is null
              and (x.indpred is null or pg_catalog.pg_get_expr(x.indpred, c.oid) = '(deleted_at IS NULL)')
              and (string_to_array(x.indkey::text, ' ')::smallint[])[1:x.indnkeyatts]
                <@ (k.conkey || array(select a.attnum from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = 'deleted_at')))
        ) order by position(k.contype::text in 'pufxc'), k.conname collate "C")
      from pg_catalog.pg_constraint k where k.conrelid = c.oid and k.contype in ('p', 'u', 'f', 'x', 'c')), '[]') as constraints,
    coalesce((
      select jsonb_agg(jsonb_build_object('name', i.relname, 'definition', pg_catalog.pg_get_indexdef(i.oid)) order by i.relname collate "C")
      from pg_catalog.pg_index x join pg_catalog.pg_class i on i.oid = x.indexrelid
      where x.indrelid = c.oid and not exists (select from pg_catalog.pg_constraint k where k.conindid = i.oid and k.conrelid = c.oid)), '[]') as indexes,
    coalesce((
      select jsonb_agg(jsonb_build_object('name', g.tgname, 'function', pn.nspname || '.' || p.proname, 'comment', pg_catalog.obj_description(p.oid, 'pg_proc')) order by g.tgname collate "C")
      from pg_catalog.pg_trigger g join pg_catalog.pg_proc p on p.oid = g.tgfoid join pg_catalog.pg_namespace pn on pn.oid = p.pronamespace
      where g.tgrelid = c.oid and not g.tgisinternal), '[]') as triggers,
    coalesce((
      select jsonb_agg(jsonb_build_object('name', p.policyname, 'command', lower(p.cmd), 'roles', p.roles, 'using', p.qual, 'check', p.with_check)
        order by position(left(p.cmd, 1) in 'SIUD'), p.policyname collate "C")
      from pg_catalog.pg_policies p where p.schemaname = n.nspname and p.tablename = c.relname), '[]') as policies,
    coalesce((
      select jsonb_agg(jsonb_build_object('grantee', g.grantee, 'privilege', lower(g.privilege), 'columns', g.columns) order by g.grantee collate "C", position(left(g.privilege, 1) in 'SIUD'))
      from (
        select x.grantee::regrole::text as grantee, x.privilege_type as privilege, null::jsonb as columns
        from pg_catalog.aclexplode(c.relacl) x where x.grantee <> c.relowner and x.grantee <> 0
        union all
        select x.grantee::regrole::text, x.privilege_type, jsonb_agg(a.attname order by a.attnum)
        from pg_catalog.pg_attribute a cross join lateral pg_catalog.aclexplode(a.attacl) x
        where a.attrelid = c.oid and a.attacl is not null and x.grantee <> c.relowner and x.grantee <> 0
        group by 1, 2
      ) g), '[]') as grants,
    coalesce((
      select jsonb_agg(jsonb_build_object('from_state', s.from_state, 'to_state', s.to_state, 'permission_key', s.permission_key, 'description', s.description) order by s.from_state collate "C" nulls first, s.to_state collate "C")
      from app.state_transitions s where s.table_id = c.oid), '[]') as states
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname ${ours} and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition and ${notOfExtension('pg_class', 'c.oid')}
  order by position(n.nspname in 'public app private audit'), c.relname collate "C"`;

const functions = `
  select n.nspname as schema, p.proname as name, pg_catalog.pg_get_function_arguments(p.oid) as arguments, pg_catalog.pg_get_function_result(p.oid) as result,
    pg_catalog.obj_description(p.oid, 'pg_proc') as comment,
    case p.provolatile when 'v' then 'volatile' when 's' then 'stable' else 'immutable' end as volatility,
    p.prorettype = 'trigger'::regtype as is_trigger,
    coalesce((select jsonb_agg(x.grantee::regrole::text order by x.grantee::regrole::text collate "C") from pg_catalog.aclexplode(p.proacl) x where x.grantee <> p.proowner and x.grantee <> 0), '[]') as grantees,
    p.prosrc as source
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where n.nspname ${ours} and ${notOfExtension('pg_proc', 'p.oid')}
  order by n.nspname collate "C", p.proname collate "C", pg_catalog.pg_get_function_arguments(p.oid) collate "C"`;

const enums = `
  select n.nspname || '.' || y.typname as name, pg_catalog.obj_description(y.oid, 'pg_type') as comment,
    (select jsonb_agg(e.enumlabel order by e.enumsortorder) from pg_catalog.pg_enum e where e.enumtypid = y.oid) as values
  from pg_catalog.pg_type y join pg_catalog.pg_namespace n on n.oid = y.typnamespace
  where y.typtype = 'e' and n.nspname ${ours}
  order by y.typname collate "C"`;

// Roles that organizations and communities build themselves are data, not the system.
const permissions = `
  select p.key, p.level, p.description, coalesce((
    select jsonb_agg(r.level || '/' || r.key order by r.level, r.key collate "C")
    from public.role_permissions rp join public.roles r on r.id = rp.role_id
    where rp.permission_key = p.key and r.organization_id is null and r.community_id is null), '[]') as holders
  from public.permissions p where p.deleted_at is null order by p.key collate "C"`;

const settings = `
  select key, type, levels, default_value::text as default_value, description,
    nullif(concat_ws(', ', 'from ' || minimum::text, 'to ' || maximum::text, array_to_string(options, ', '), pattern), '') as bounds
  from public.setting_definitions where deleted_at is null order by key collate "C"`;
