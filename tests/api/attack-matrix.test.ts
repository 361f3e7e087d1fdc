import pg from 'pg';
import { afterAll, describe, expect, test } from 'vitest';
import { attacksOn, functions, matrix, type RelationRules } from '../support/attack-matrix.ts';
import { createAttackSession, rowsIn, type Answer, type Asker, type Attack } from '../support/attack-session.ts';
import { testServer, type Row } from '../support/database.ts';
import { createFixtures, idOf, mintToken, organizationOf, places, throwOut, type Actor, type Place } from '../support/fixtures.ts';
import { permissionsIn, readWorld } from '../support/permissions.ts';
import { createPipeline } from '../support/pipeline.ts';
import { startTestStack } from '../support/stack.ts';

// Every table and view of the API × verb × user, in the own community and in foreign ones; and every function. What is
// expected is in tests/support/attack-matrix.ts. A table or function is attacked by existing: one that is not in the matrix
// fails, and so does one without rows where it should have some.
//
// Asked in a session like PostgREST's (tests/support/attack-session.ts); and every table, view and function by some of the
// users through PostgREST too, which has to give the same answers. Whoever is not signed in asks PostgREST alone.

/** So many users ask of each thing through PostgREST too: others of the next thing, and everyone of many. */
const throughPostgrest = 2;

const methods = { insert: 'POST', update: 'PATCH', delete: 'DELETE' } as const;

let actors: Actor[] = [];
const stack = await startTestStack({
  template: 'migrated',
  // Each connection plans each of a thousand statements for itself, so few of them, and once.
  restConnections: 1,
  prepare: async ({ databaseUrl, sql, adminSql }) => {
    actors = await createFixtures(databaseUrl, sql);
    // Lets a request that is allowed be tried and undone: `Prefer: tx=rollback`. What must be refused is never undone.
    for (const setting of [`pgrst.db_tx_end = 'commit-allow-override'`, 'plan_cache_mode = force_generic_plan']) {
      await adminSql(`do $do$ begin execute format('alter role authenticator in database %I set ${setting.replaceAll("'", "''")}', current_database()); end $do$`);
    }
  },
});
const rest = createPipeline(stack.postgrestUrl, 2);
const session = await createAttackSession(testServer().url(stack.database, 'authenticator'), stack.adminSql);
afterAll(async () => {
  rest.close();
  await session.end();
  await looker.end();
  await stack.stop();
});
const { sql, adminSql, keys } = stack;

/** Who asks, with the token that says so. */
type Signed = Asker & { token: string };
const signedIn = async (actor: Actor, withHook: boolean): Promise<Signed> => {
  const token = await mintToken(sql, keys.jwtSecret, actor.userId, withHook);
  return { token, claims: JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Row };
};
const askers = new Map<Actor, { withClaims: Signed; withoutClaims: Signed; withArchived: Signed }>();
for (const actor of actors) {
  const withClaims = await signedIn(actor, true);
  askers.set(actor, { withClaims, withoutClaims: await signedIn(actor, false), withArchived: { ...withClaims, headers: { 'x-archived': 'include' } } });
}
// Only now, with tokens in everybody's hands, some are thrown out.
await throwOut(sql);
const world = await readWorld(adminSql);

type Verb = keyof typeof methods;
type Relation = { name: string; isTable: boolean; isUpdatable: boolean; granted: Verb[]; columns: Record<string, string> };
const relations = await adminSql<Relation>(
  `select c.relname as name, c.relkind in ('r', 'p') as "isTable", pg_relation_is_updatable(c.oid, false) <> 0 as "isUpdatable", array(
     select verb from unnest(array['insert', 'update', 'delete']) verb
     where has_table_privilege('authenticated', c.oid, verb) or verb <> 'delete' and has_any_column_privilege('authenticated', c.oid, verb)) as granted, (
     select jsonb_object_agg(a.attname, format_type(a.atttypid, null)) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
   from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition order by c.relname`,
);
const columnType = (name: string, column: string): string => relations.find((relation) => relation.name === name)?.columns[column] ?? 'text';
const functionNames = (
  await adminSql<{ name: string }>(
    `select distinct proname as name from pg_proc p where pronamespace = 'public'::regnamespace and prorettype <> 'trigger'::regtype
       and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e') order by 1`,
  )
).map(({ name }) => name);
const rowsOf = new Map<string, Row[]>();
const sumsOf = new Map<string, string>();
// Prepared once, on a connection of its own.
const looker = new pg.Client({ connectionString: stack.adminUrl });
await looker.connect();
const sumOf = async (name: string): Promise<string> => {
  const { rows } = await looker.query<{ sum: string }>({ name, text: `select format('%s rows %s', count(*), sum(hashtextextended(t::text, 0))) as sum from public.${name} t` });
  return rows[0]?.sum ?? '';
};
const readRows = async () => {
  for (const { name, isTable } of relations) {
    rowsOf.set(name, (await adminSql<{ row: Row }>(`select to_jsonb(t) as row from public.${name} t`)).map(({ row }) => row));
    if (isTable) sumsOf.set(name, await sumOf(name));
  }
};
await readRows();
const unitPermissions = new Set((await adminSql<{ key: string }>(`select key from public.permissions where level = 'unit'`)).map(({ key }) => key));
const fingerprint = async (): Promise<Row> => {
  const sums = relations.filter(({ isTable }) => isTable).map(({ name }) => `(select sum(hashtextextended(t::text, 0)) from public.${name} t) as ${name}`);
  return (await adminSql<Row>(`select ${sums.join(', ')}`))[0] ?? {};
};
const before = await fingerprint();
let latest = before;

describe('the matrix covers what exists', () => {
  test('every table and view of the API is in it', () => {
    expect(relations.map(({ name }) => name)).toEqual(Object.keys(matrix).sort());
  });

  test('every function of the API is in it', () => {
    expect(functionNames).toEqual(Object.keys(functions).sort());
  });

  test.each(Object.entries(matrix))('%s has rows to attack', (name, { belongsTo, target }) => {
    const rows = rowsOf.get(name) ?? [];
    expect(rows.length).toBeGreaterThan(0);
    const column = name === 'communities' ? 'id' : 'community_id';
    const missing = belongsTo === 'communities' ? places.filter((place) => !rows.some((row) => row[column] === idOf(place))) : [];
    expect(missing, 'communities without a row').toEqual([]);
    const aimless = places.filter((place) => rows.filter((row) => matches(row, target(place))).length === 0);
    expect(aimless, 'communities in which the target does not exist').toEqual([]);
  });

  test('every permission is held by an actor, and every system role is played', () => {
    const played = new Set(actors.flatMap(({ roles }) => roles.map(({ role }) => role)));
    expect([...world.permissions.keys()].filter((role) => !played.has(role) && !/gardener|of south/.test(role))).toEqual([]);
  });
});

describe.each(actors.map((actor, index) => [actor.name, actor, index] as const))('%s', (_name, actor, actorIndex) => {
  const { withClaims, withoutClaims, withArchived } = askers.get(actor) as { withClaims: Signed; withoutClaims: Signed; withArchived: Signed };
  const asksPostgrest = (names: string[], name: string) => (names.indexOf(name) + actorIndex) % Math.floor(actors.length / throughPostgrest) === 0;

  test.each(Object.keys(matrix))('reads of %s what is theirs to see, with claims and without', async (name) => {
    const rules = matrix[name] as RelationRules;
    const key = rules.key ?? ['id'];
    const stored = rowsOf.get(name) ?? [];
    const isArchived = (row: Row) => row.deleted_at != null;
    const theirs = [...stored, ...(rules.alsoPossible?.(stored) ?? [])].filter((row) => rules.select(actor, row, world));
    const whole = (row: Row): Row => ({ ...stored.find((one) => key.every((column) => one[column] === row[column])), ...row });
    const columns = [...new Set([...key, ...(rules.columns ?? []).flatMap(({ names }) => names), ...(rules.columns ? ['community_id'] : [])])];
    const read = (asker: Signed) => ({ verb: 'select', name, columns, asker }) as const;
    const answers = await ask([read(withClaims), read(withoutClaims), read(withArchived)], asksPostgrest(Object.keys(matrix), name));
    for (const [index, seen] of answers.entries()) {
      // A list is a list of live rows, but for those who ask for the archived ones and may archive.
      const expected = theirs.filter((row) => !isArchived(row) || (index === 2 && rules.archived?.(actor, row, world)));
      if (!actor.isActive) expect(seen.status, 'an account that is not active is told so').toBe(403);
      expect(identify(seen.rows, key)).toEqual(identify(expected, key));
      for (const { names, rule } of rules.columns ?? []) {
        const leaked = seen.rows.filter((row) => names.some((column) => row[column] !== null && row[column] !== '') && !rule(actor, whole(row), world));
        expect(leaked, `${names.join(', ')} shown to who may not see them`).toEqual([]);
      }
    }
  });

  test.each(Object.keys(matrix))('changes of %s what is theirs to change, and nothing else', async (name) => {
    const rules = matrix[name] as RelationRules;
    const stored = rowsOf.get(name) ?? [];
    const isThroughPostgrest = asksPostgrest(Object.keys(matrix), name);
    const wrong: string[] = [];
    const targetIn = (place: Place) => stored.find((row) => matches(row, rules.target(place))) as Row;
    // What belongs to no community is aimed at once, and so is what no user has a privilege for: it is refused before any row is looked at.
    const relation = relations.find((one) => one.name === name);
    const aimsOf = (verb: Verb) => (rules.belongsTo === 'system' || !relation?.granted.includes(verb) ? places.slice(0, 1) : places);
    const aims = (['update', 'delete', 'insert'] as const).flatMap((verb) =>
      aimsOf(verb).map((place) => ({ verb, place, isAllowed: rules[verb]?.(actor, verb === 'insert' ? rules.row(place) : targetIn(place), world) ?? false })),
    );
    const attackOn = ({ verb, place, isAllowed }: (typeof aims)[number]): SignedAttack => {
      const targets = [rules.target(place)];
      const body = verb === 'insert' ? rules.row(place) : rules.change;
      return { verb, name, body, targets, asker: withClaims, isUndone: isAllowed };
    };
    // Updates that must all find nothing are one statement: rows are refused one by one. Unless it ends in an error, which may be that of one row.
    const updates = aims.filter(({ verb, isAllowed }) => verb === 'update' && !isAllowed);
    const areOne = updates.length > 1 && !isThroughPostgrest;
    const single = areOne ? aims.filter((aim) => !updates.includes(aim)) : aims;
    const together: SignedAttack[] = areOne ? [{ verb: 'update', name, body: rules.change, targets: updates.map(({ place }) => rules.target(place)), asker: withClaims }] : [];
    const [atOnce, answers] = await ask([...together, ...single.map(attackOn)], isThroughPostgrest).then((all) => [all.slice(0, together.length), all.slice(together.length)] as const);
    if (atOnce.some(({ status, rows }) => status >= 400 || rows.length > 0)) {
      single.push(...updates);
      answers.push(...(await ask(updates.map(attackOn))));
    }

    for (const [index, { verb, place, isAllowed }] of single.entries()) {
      const { status, rows, message } = answers[index] as Answer;
      const told = `${verb} in ${place}: ${status} ${message}`;
      if (isAllowed) {
        const isDone = verb === 'insert' ? status === 201 : status === 200 && rows.length === 1;
        if (!isDone) wrong.push(`${told} (is allowed)`);
        continue;
      }
      // An update of rows one cannot see finds none of them, and says so with success.
      if (verb !== 'update' && status < 400) wrong.push(`${told} (is not allowed)`);
      if (rows.length > 0) wrong.push(`${told} (is not allowed, and answered with ${rows.length} rows)`);
    }

    // What is allowed was undone, so every row of a table is as it was; of a view, which may tell the time, the targets and their number.
    if (!relation?.isTable || !(await isAsItWas(name))) {
      const now = await storedNow(name, places.map((place) => rules.target(place)));
      const known = wrong.length;
      for (const [index, place] of places.entries()) {
        if (JSON.stringify(now.rows[index]) !== JSON.stringify(targetIn(place))) wrong.push(`the target in ${place} was changed, which is not allowed`);
      }
      if (now.count !== stored.length) wrong.push(`there were ${stored.length} rows and now are ${now.count}`);
      if (relation?.isTable && wrong.length === known) wrong.push('another row than the targets was changed, which is not allowed');
    }
    if (wrong.length > 0) await takeStockAgain(name);
    expect(wrong).toEqual([]);
  });

  test.each(Object.keys(functions))('calls %s where they may, and nowhere else', async (name) => {
    const wrong: string[] = [];
    // What is the same wherever it is aimed is asked once.
    const asked = new Map<string, SignedAttack>();
    const aims = attacksOn(name).flatMap(({ call, args, told }, index) =>
      places.map((place) => {
        const scope = { community_id: idOf(place), organization_id: idOf(organizationOf[place]) };
        const isAllowed = call(actor, scope, world);
        const body = args(place);
        const key = JSON.stringify([index, body, isAllowed]);
        asked.set(key, { verb: 'call', name, body, asker: withClaims, isUndone: isAllowed });
        return { index, place, scope, isAllowed, told, key };
      }),
    );
    const answers = await ask([...asked.values()], asksPostgrest(Object.keys(functions), name));
    const answerTo = new Map([...asked.keys()].map((key, index) => [key, answers[index] as Answer]));
    for (const { index, place, scope, isAllowed, told, key } of aims) {
      const { status, message, rows } = answerTo.get(key) as Answer;
      if (isAllowed !== status < 300) wrong.push(`attack ${index + 1} in ${place}: ${status} ${message} (${isAllowed ? 'is allowed' : 'is not allowed'})`);
      if (isAllowed && name === 'my_permissions') expect([...rows].sort()).toEqual(permissionsIn(world, actor, place, unitPermissions));
      if (isAllowed && told) {
        const answered = rows.map(told.of).filter((value) => value !== null);
        expect(answered.sort(), 'what it tells').toEqual(told.expected(actor, scope, world).sort());
      }
    }
    expect(wrong).toEqual([]);
  });

  test('leaves every row as it was by calls that are refused', async () => {
    const expected = latest;
    latest = await fingerprint();
    expect(latest).toEqual(expected);
  });
});

describe('whoever is not signed in', () => {
  test.each(Object.keys(matrix))('reads and changes nothing of %s', async (name) => {
    const rules = matrix[name] as RelationRules;
    const where = query(rules.target('alder'));
    const answers = [
      await send({ method: 'GET', path: `${name}?select=*` }),
      await send({ method: 'PATCH', path: `${name}?${where}`, body: rules.change }),
      await send({ method: 'DELETE', path: `${name}?${where}` }),
      await send({ method: 'POST', path: name, body: rules.row('alder') }),
    ];
    // PostgreSQL says of a view over several tables that it cannot be written before it says to whom.
    const refused = relations.find((relation) => relation.name === name)?.isUpdatable ? 401 : 500;
    expect(answers.map(({ status }) => status)).toEqual([401, refused, refused, refused]);
  });

  test.each(Object.keys(functions))('may not call %s, but for what is public', async (name) => {
    for (const { args, isPublic } of attacksOn(name)) {
      const { status } = await send({ method: 'POST', path: `rpc/${name}`, body: args('alder') });
      expect(status).toBe(isPublic ? 200 : 401);
    }
  });
});

describe('after all attacks', () => {
  test('every row of every table is as it was', async () => {
    expect(await fingerprint()).toEqual(before);
  });
});

/** After an attack that succeeded: the next ones are measured by what there is now, so that one hole is one failure. */
async function takeStockAgain(name: string): Promise<void> {
  const { isTable, columns } = relations.find((relation) => relation.name === name) ?? { isTable: false, columns: {} };
  if (isTable && 'id' in columns) {
    await adminSql(`set session_replication_role = replica; delete from public.${name} where id = '${idOf('new')}'; reset session_replication_role`);
  }
  await readRows();
  latest = await fingerprint();
}

type SignedAttack = Attack & { asker: Signed };

/** Asks in the session, and through PostgREST too if told so: the answers must be the same. */
async function ask(attacks: SignedAttack[], isThroughPostgrest = false): Promise<Answer[]> {
  const answers = await session.ask(attacks);
  if (isThroughPostgrest) {
    const essence = ({ status, message, rows }: Answer) => ({ status: status < 300 ? 'done' : status, message, rows: rows.length });
    expect((await Promise.all(attacks.map(sendAttack))).map(essence), 'what PostgREST answers').toEqual(answers.map(essence));
  }
  return answers;
}

/** Asks through PostgREST. */
function sendAttack(attack: SignedAttack): Promise<Answer> {
  const { verb, name, asker, isUndone = false } = attack;
  if (verb === 'select') return readAll(name, attack.columns, asker);
  if (verb === 'call') return send({ method: 'POST', path: `rpc/${name}`, body: attack.body, asker, isUndone });
  if (verb === 'insert') return send({ method: methods.insert, path: name, body: attack.body, asker, isUndone });
  const path = `${name}?${query(attack.targets[0] ?? {})}`;
  return send({ method: methods[verb], path, ...(verb === 'update' && { body: attack.body }), asker, isUndone });
}

/** Sends a request as the gateway passes an app's on to PostgREST, without the detour; `isUndone` has what it did undone. */
async function send(request: { method: string; path: string; body?: Row; asker?: Signed; isUndone?: boolean; range?: string }): Promise<Answer> {
  const { method, path, body, asker, isUndone = false, range } = request;
  const wantsRows = method === 'PATCH' || method === 'DELETE';
  const headers = {
    ...(asker && { authorization: `Bearer ${asker.token}`, ...asker.headers }),
    ...(body && { 'content-type': 'application/json' }),
    ...(range !== undefined && { range }),
    prefer: [`tx=${isUndone ? 'rollback' : 'commit'}`, `return=${wantsRows ? 'representation' : 'minimal'}`].join(', '),
  };
  const answer = await rest.send(method, `/${path}`, headers, body && JSON.stringify(body));
  const isFine = answer.status >= 200 && answer.status < 300;
  const content: unknown = answer.text === '' ? null : JSON.parse(answer.text);
  const error = isFine ? {} : (content as { code?: string; message?: string });
  return {
    status: answer.status,
    rows: isFine ? rowsIn(content) : [],
    message: [error.code, error.message].filter(Boolean).join(' '),
  };
}

/** Reads a table to its end, page by page. */
async function readAll(name: string, columns: string[], asker: Signed): Promise<Answer> {
  const pageSize = 1000;
  const select = columns.join(',');
  const answer: Answer = { status: 200, rows: [], message: '' };
  for (let from = 0; ; from += pageSize) {
    const page = await send({ method: 'GET', path: `${name}?select=${select}&order=${select}`, asker, range: `${from}-${from + pageSize - 1}` });
    if (page.status >= 400) return { ...page, rows: [] };
    answer.rows.push(...page.rows);
    if (page.rows.length < pageSize) return answer;
  }
}

/** Whether a table holds what it held when stock was taken: all of its rows, told by their sum. */
async function isAsItWas(name: string): Promise<boolean> {
  return (await sumOf(name)) === sumsOf.get(name);
}

/** Some rows and the number of all, as the superuser sees them now. */
async function storedNow(name: string, wanted: Record<string, string>[]): Promise<{ rows: (Row | null)[]; count: number }> {
  const values: string[] = [];
  const found = wanted.map((one) => {
    const condition = Object.entries(one).map(([column, value]) => `t.${column} = ($${values.push(value)}::text)::${columnType(name, column)}`).join(' and ');
    return `(select to_jsonb(t) from public.${name} t where ${condition} limit 1)`;
  });
  const [answer] = await adminSql<{ rows: (Row | null)[]; count: number }>(
    `select jsonb_build_array(${found.join(', ')}) as rows, (select count(*)::integer from public.${name}) as count`,
    values,
  );
  return answer ?? { rows: [], count: 0 };
}

function query(wanted: Record<string, string>): string {
  return Object.entries(wanted)
    .map(([column, value]) => `${column}=eq.${encodeURIComponent(value)}`)
    .join('&');
}

function matches(row: Row, wanted: Record<string, string>): boolean {
  return Object.entries(wanted).every(([column, value]) => row[column] === value);
}

function identify(rows: Row[], key: string[]): string[] {
  return [...new Set(rows.map((row) => key.map((column) => String(row[column])).join(' ')))].sort();
}
