import pg from 'pg';
import { readSupabaseConfig } from '../../scripts/stack/supabase-config.ts';
import type { Row, Sql } from './database.ts';

/** Who asks: the claims of a verified token, and what the request says besides. */
export type Asker = { claims: Row; headers?: Record<string, string> };

/** One thing to ask of the API. */
export type Attack = {
  asker: Asker;
  /** Whether what it did is undone afterwards, as with `Prefer: tx=rollback`. */
  isUndone?: boolean;
} & (
  | { verb: 'select'; name: string; columns: string[] }
  | { verb: 'insert'; name: string; body: Row }
  | { verb: 'update'; name: string; body: Row; targets: Record<string, string>[] }
  | { verb: 'delete'; name: string; targets: Record<string, string>[] }
  | { verb: 'call'; name: string; body: Row }
);

/** What PostgREST answers: its status, the rows it sends (all of them, where an app would read page by page), code and message of an error. */
export type Answer = { status: number; rows: Row[]; message: string };

/** The rows of what PostgREST answers: a function that returns one value of a composite type answers with the row itself. */
export const rowsIn = (content: unknown): Row[] => (Array.isArray(content) ? (content as Row[]) : typeof content === 'object' && content !== null ? [content as Row] : []);

/**
 * Asks as PostgREST does, without PostgREST: a connection of its role `authenticator` that takes the role and the claims of
 * the caller, runs `db_pre_request`, and then statements of the same shape, prepared once. What PostgREST adds to each
 * request (HTTP, a transaction, five round trips) costs more than most answers do. Many attacks go in one round trip;
 * each is a subtransaction of its own.
 *
 * @param url connects as role `authenticator`
 * @param adminSql makes the schema `attacks`, of which PostgREST knows nothing
 */
export async function createAttackSession(url: string, adminSql: Sql): Promise<{ ask(attacks: Attack[]): Promise<Answer[]>; end(): Promise<void> }> {
  await adminSql(attacker);
  const catalog = await readCatalog(adminSql);
  const { schemas, extra_search_path: more } = readSupabaseConfig().api;
  const searchPath = [...schemas, ...more].map((schema) => pg.escapeIdentifier(schema)).join(', ');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  // The time that the login gives a statement is for one request, and not for a test's.
  await client.query('set plan_cache_mode = force_generic_plan; set statement_timeout = 0');

  // What is asked alike is one prepared statement. One that could not be prepared is tried again, and answers the same.
  const statements = new Map<string, { called: string; isPrepared: boolean }>();
  const callOf = (attack: Attack): { called: string; prepare?: string; execute: string } => {
    const { text, types, values } = statementOf(attack, catalog);
    const known = statements.get(text) ?? { called: `attack_${statements.size}`, isPrepared: false };
    statements.set(text, known);
    const given = values.map((value) => pg.escapeLiteral(value)).join(', ');
    return {
      called: known.called,
      ...(!known.isPrepared && { prepare: `prepare ${known.called}${types.length > 0 ? ` (${types.join(', ')})` : ''} as ${text}` }),
      execute: `execute ${known.called}${values.length > 0 ? ` (${given})` : ''}`,
    };
  };

  return {
    async ask(attacks) {
      let before: Asker | undefined;
      const calls = new Set<string>();
      const asked = attacks.map((attack) => {
        const { asker, isUndone = false } = attack;
        const { called, prepare, execute } = callOf(attack);
        const isSame = asker === before;
        before = asker;
        const isFirst = prepare !== undefined && !calls.has(called);
        calls.add(called);
        return {
          called,
          ...(!isSame && { claims: asker.claims, headers: asker.headers ?? {} }),
          ...(isFirst && { prepare }),
          execute,
          is_undone: isUndone,
        };
      });
      const { rows } = await client.query<{ code: string | null; message: string | null; content: unknown; is_prepared: boolean }>({
        name: 'attack',
        text: 'select code, message, content, is_prepared from attacks.attack($1, $2)',
        values: [JSON.stringify(asked), searchPath],
      });
      const prepared = new Set(rows.flatMap(({ is_prepared: isPrepared }, index) => (isPrepared ? [asked[index]?.called] : [])));
      for (const statement of statements.values()) if (prepared.has(statement.called)) statement.isPrepared = true;
      return rows.map(({ code, message, content }, index) => ({
        status: code === null ? (attacks[index]?.verb === 'insert' ? 201 : 200) : statusOf(code),
        rows: code === null ? rowsIn(content) : [],
        message: code === null ? '' : `${code} ${message}`,
      }));
    },
    end: () => client.end(),
  };
}

// A refusal is an error, and undoes its subtransaction; so does what is to be undone, after constraints that would wait for the commit.
const attacker = `
  create schema attacks;
  grant usage on schema attacks to authenticated, authenticator;
  create function attacks.attack(asked jsonb, search_path text)
  returns table (code text, message text, content json, is_prepared boolean)
  language plpgsql
  as $$
  declare
    attack jsonb;
    refused text;
    reason text;
  begin
    for attack in select a from jsonb_array_elements(asked) a loop
      code := null; message := null; content := null; is_prepared := false;
      if attack ? 'claims' then
        perform set_config('search_path', search_path, true), set_config('role', attack #>> '{claims,role}', true), set_config('request.jwt.claims', attack ->> 'claims', true),
          set_config('request.headers', attack ->> 'headers', true), set_config('request.cookies', '{}', true), set_config('request.method', 'POST', true), set_config('request.path', '/', true);
        refused := null; reason := null;
        begin
          execute format('select %s()', current_setting('pgrst.db_pre_request'));
        exception when others then
          get stacked diagnostics refused = returned_sqlstate, reason = message_text;
        end;
      end if;
      if refused is not null then
        code := refused; message := reason;
      else
        begin
          if attack ? 'prepare' then
            execute attack ->> 'prepare';
          end if;
          is_prepared := true;
          execute attack ->> 'execute' into content;
          if (attack ->> 'is_undone')::boolean then
            set constraints all immediate;
            raise exception using errcode = 'UNDO0';
          end if;
        exception
          when sqlstate 'UNDO0' then null;
          when others then get stacked diagnostics code = returned_sqlstate, message = message_text;
        end;
      end if;
      return next;
    end loop;
  end;
  $$`;

type Catalog = {
  /** Table → column → type. */
  columns: Map<string, Record<string, string>>;
  functions: { name: string; args: string[]; types: string[]; required: number; isSet: boolean; isVoid: boolean }[];
};

async function readCatalog(sql: Sql): Promise<Catalog> {
  const relations = await sql<{ name: string; columns: Record<string, string> }>(
    `select c.relname as name, jsonb_object_agg(a.attname, format_type(a.atttypid, null)) as columns
     from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') group by c.oid, c.relname`,
  );
  const functions = await sql<Catalog['functions'][number]>(
    `select p.proname as name, coalesce(p.proargnames[:p.pronargs], '{}')::text[] as args, p.pronargs - p.pronargdefaults as required, p.proretset as "isSet",
       p.prorettype = 'void'::regtype as "isVoid",
       array(select format_type(t, null) from unnest(p.proargtypes::oid[]) with ordinality u (t, place) order by place) as types
     from pg_proc p where p.pronamespace = 'public'::regnamespace`,
  );
  return { columns: new Map(relations.map(({ name, columns }) => [name, columns])), functions };
}

type Statement = { text: string; types: string[]; values: string[] };

/** The statement that PostgREST makes of a request: one column with the rows as JSON. */
function statementOf(attack: Attack, catalog: Catalog): Statement {
  const named = pg.escapeIdentifier;
  const relation = `public.${named(attack.name)}`;
  const values: string[] = [];
  const types: string[] = [];
  const given = (value: string, type: string) => (types.push(type), `$${values.push(value)}`);
  const typeOf = (column: string) => catalog.columns.get(attack.name)?.[column] ?? 'text';
  // The body as a row of those of its keys, in the types of what they are for.
  const bodyAs = (body: Row, typeOfKey: (key: string) => string) =>
    `json_to_record(${given(JSON.stringify(body), 'json')}) b (${Object.keys(body).map((key) => `${named(key)} ${typeOfKey(key)}`).join(', ')})`;
  const aimed = (targets: Record<string, string>[]) =>
    targets.map((target) => `(${Object.entries(target).map(([column, value]) => `t.${named(column)} = ${given(value, typeOf(column))}`).join(' and ')})`).join(' or ');
  const changed = (change: string) => `with changed as (${change}) select coalesce(json_agg(c), '[]') from changed c`;

  switch (attack.verb) {
    case 'select': {
      const list = attack.columns.map((column) => `t.${named(column)}`).join(', ');
      return { text: `select coalesce(json_agg(r), '[]') from (select ${list} from ${relation} t order by ${list}) r`, types, values };
    }
    case 'insert': {
      const keys = Object.keys(attack.body);
      const source = bodyAs(attack.body, typeOf);
      const text = `with added as (insert into ${relation} (${keys.map(named).join(', ')}) select ${keys.map((key) => `b.${named(key)}`).join(', ')} from ${source} returning 1) select to_json(count(*)) from added`;
      return { text, types, values };
    }
    case 'update': {
      const source = bodyAs(attack.body, typeOf);
      const set = Object.keys(attack.body).map((key) => `${named(key)} = b.${named(key)}`).join(', ');
      return { text: changed(`update ${relation} t set ${set} from ${source} where ${aimed(attack.targets)} returning t.*`), types, values };
    }
    case 'delete':
      return { text: changed(`delete from ${relation} t where ${aimed(attack.targets)} returning t.*`), types, values };
    case 'call': {
      const keys = Object.keys(attack.body);
      const called = catalog.functions.filter(
        ({ name, args, required }) => name === attack.name && keys.every((key) => args.includes(key)) && args.slice(0, required).every((arg) => keys.includes(arg)),
      );
      const [{ args, types: argTypes, isSet, isVoid }] = called.length === 1 ? (called as [Catalog['functions'][number]]) : fail(`${attack.name}(${keys.join(', ')}) is not one function`);
      const source = keys.length === 0 ? '' : `${bodyAs(attack.body, (key) => argTypes[args.indexOf(key)] as string)}, lateral `;
      const answer = isSet ? `coalesce(json_agg(f), '[]')` : isVoid ? 'to_json(f::text)' : 'to_json(f)';
      return { text: `select ${answer} from ${source}${relation}(${keys.map((key) => `${named(key)} => b.${named(key)}`).join(', ')}) f`, types, values };
    }
  }
}

function fail(reason: string): never {
  throw new Error(reason);
}

/** The status with which PostgREST tells a signed-in user of an error: https://postgrest.org/en/v12/references/errors.html. */
function statusOf(code: string): number {
  if (code.startsWith('PT')) return Number(code.slice(2));
  const exact: Record<string, number> = { '23503': 409, '23505': 409, '25006': 405, '42501': 403, '42883': 404, '42P01': 404, '42P17': 500, '53400': 500, '57P01': 503, P0001: 400 };
  const classes: Record<string, number> = { '08': 503, '09': 500, '0L': 403, '0P': 403, '25': 500, '28': 403, '2D': 500, '38': 500, '39': 500, '3B': 500, '40': 500, '53': 503, '54': 500, '55': 500, '57': 500, '58': 500, F0: 500, HV: 500, P0: 500, XX: 500 };
  return exact[code] ?? classes[code.slice(0, 2)] ?? 400;
}
