import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withClient } from '../../scripts/stack/postgres.ts';
import { connect, createDatabaseFromTemplate, testServer, type Sql } from '../support/database.ts';
import { createFixtures, idOf } from '../support/fixtures.ts';

// What the registry of personal data says is what happens, in every table that is registered, whichever topic it came with: the fixtures
// have a row in every table, here they become one person's, and every personal column of them says something that nothing else says.

type Registration = {
  tableName: string;
  personColumn: string;
  whose: 'resident' | 'user' | 'email' | 'parent';
  columns: Record<string, unknown>;
  onErase: string;
  onMerge: string;
  isExported: boolean;
  isWithResident: boolean;
  hasCommunity: boolean;
  columnTypes: Record<string, string>;
};
type Planted = Registration & { id: string; words: string[]; short: string[] };

const place = 'alder';
const person = { resident: idOf('alder tenant'), user: idOf('tenant by occupancy'), email: 'planted.person@planted.example', word: 'plantedword' };
const neighbour = { resident: idOf('alder owner'), user: idOf('owner by occupancy'), email: 'other.person@other.example', word: 'otherword' };

let sql: Sql;
let admin: Sql;
let end: () => Promise<unknown>;
let adminUrl: string;
beforeAll(async () => {
  ({ sql, admin, end, adminUrl } = await newDatabase());
});
afterAll(() => end());

async function newDatabase() {
  const database = await createDatabaseFromTemplate('migrated');
  const owner = connect(testServer().url(database));
  const superuser = connect(testServer().url(database, 'supabase_admin'));
  await createFixtures(testServer().url(database), owner.sql);
  return { sql: owner.sql, admin: superuser.sql, adminUrl: testServer().url(database, 'supabase_admin'), end: () => Promise.all([owner.end(), superuser.end()]) };
}

async function registrations(run: Sql): Promise<Registration[]> {
  return run<Registration>(`
    select app.qualified(g.table_id) as "tableName", g.person_column as "personColumn", g.whose::text as whose, g.columns, g.on_erase::text as "onErase",
      g.on_merge::text as "onMerge", cardinality(app.exported_columns(g)) > 0 as "isExported", g.is_with_resident as "isWithResident",
      app.has_column(g.table_id, 'community_id') as "hasCommunity",
      (select jsonb_object_agg(a.attname, format_type(a.atttypid, null)) from pg_attribute a where a.attrelid = g.table_id and a.attnum > 0 and not a.attisdropped) as "columnTypes"
    from app.personal_data_registry g where g.whose in ('resident', 'user', 'email', 'parent') and app.has_column(g.table_id, 'id')
    order by app.reference_depth(g.table_id), g.table_id::text, g.person_column`);
}

/** Makes one row of a registration the person's, and fills every personal column of it with words of theirs. Triggers keep still meanwhile. */
async function plant(run: Sql, url: string, registration: Registration, who: typeof person, taken: string[]): Promise<Planted | undefined> {
  const { tableName, personColumn, whose, hasCommunity } = registration;
  if (whose === 'parent') return undefined;
  const inPlace = hasCommunity ? `and community_id = '${idOf(place)}'` : '';
  const isKey = personColumn === 'id';
  const rows = await run<{ id: string }>(
    `select id from ${tableName} where ${isKey ? `id = '${who[whose]}'` : 'true'} ${inPlace} and id <> all ($1)
     order by (${personColumn} is not null) desc, ${tableName === 'public.residents' ? `id = '${who.resident}' desc,` : ''} (${personColumn}::text = '${who[whose]}') desc, id limit 1`,
    [taken],
  );
  const id = rows[0]?.id;
  if (id === undefined) throw new Error(`the fixtures have no row of ${tableName} whose ${personColumn} names somebody`);
  taken.push(id);
  const words: string[] = [];
  const short: string[] = [];
  await withClient(url, async (client) => {
    await client.query(`set session_replication_role = replica`);
    if (tableName === 'public.invitations' && personColumn === 'accepted_by') await client.query(`update ${tableName} set status = 'accepted', accepted_at = now(), accepted_by = $1 where id = $2`, [who[whose], id]);
    if (!isKey) await client.query(`update ${tableName} set ${personColumn} = $1 where id = $2`, [who[whose], id]);
    // Nothing that is over keeps the person from being erased.
    if (['public.retention_holds', 'public.access_holds'].includes(tableName)) await client.query(`update ${tableName} set lifted_at = now(), lift_reason = 'Lifted' where id = $1`, [id]);
    if (tableName === 'public.occupancies') await client.query(`update ${tableName} set starts_on = '2019-01-01', ends_on = '2019-12-31' where id = $1`, [id]);
    for (const column of Object.keys(registration.columns)) {
      if (column === personColumn || typeof registration.columns[column] === 'object' && registration.columns[column] !== null && 'kept' in (registration.columns[column] as object)) continue;
      const word = `${who.word}${tableName.replace(/\W/g, '')}${column}`.replaceAll('_', '').toLowerCase();
      const type = registration.columnTypes[column];
      // Ids and numbers say nothing that could be searched for.
      if (!['text', 'jsonb', 'inet', 'date'].includes(type ?? '')) continue;
      // An invitation went to an address or to a number, never to both.
      if (tableName === 'public.invitations' && column === 'phone') continue;
      const candidates =
        type === 'jsonb' ? [JSON.stringify(word)] : type === 'inet' ? [who === person ? '203.0.113.77' : '198.51.100.66'] : type === 'date' ? [who === person ? '1931-02-03' : '1932-03-04'] : [word, `${word}@planted.example`, word.slice(-40), word.slice(-20), `+359 88 ${who.word.length}77 1234`, `qtz-Qaaa-${who === person ? 997 : 998}`, createHash('sha256').update(word).digest('hex'), `+35988${digits(word, 7)}`, digits(word, 15), digits(word, 10), `Q${digits(word, 7)}`, 'XK', 'QZ1', `Antarctica/${who === person ? 'Vostok' : 'Troll'}`];
      let planted = false;
      for (const candidate of candidates) {
        try {
          await client.query(`update ${tableName} set ${column} = $1 where id = $2`, [candidate, id]);
          // What is too short to be anybody's word is looked at in its own row.
          if (candidate.length >= 8) words.push(type === 'jsonb' ? word : candidate);
          else short.push(column);
          planted = true;
          break;
        } catch (error) {
          if ((error as { code?: string }).code !== '23514') throw error;
        }
      }
      if (!planted && type === 'text') throw new Error(`nothing that is tried fits ${tableName}.${column}`);
    }
    // As the audit would have kept it.
    await client.query(
      `insert into audit.log (table_id, operation, row_id, community_id, changes)
       select $1::regclass, 'insert', $2, (to_jsonb(t) ->> 'community_id')::uuid, jsonb_strip_nulls(to_jsonb(t)) from ${tableName} t where t.id = $2`,
      [tableName, id],
    );
    await client.query(`set session_replication_role = origin`);
  });
  return { ...registration, id, words, short };
}

const digits = (word: string, length: number): string => (BigInt(`0x${createHash('sha256').update(word).digest('hex').slice(0, 24)}`) + 10n ** 20n).toString().slice(-length);

/** Columns too narrow for a word of their own that still say what was planted. */
async function leftInRows(run: Sql, planted: Planted[]): Promise<string[]> {
  const left: string[] = [];
  for (const { tableName, id, short } of planted) {
    for (const column of short) {
      const rows = await run(`select from ${tableName} where id = $1 and ${column}::text in ('XK', 'QZ1')`, [id]);
      if (rows.length > 0) left.push(`${tableName}.${column}`);
    }
  }
  return left;
}

/** Every text, jsonb and inet column of every table of every schema of ours and of Auth, partitions included, that contains one of the words. */
async function findAnywhere(run: Sql, words: string[]): Promise<string[]> {
  const columns = await run<{ tableName: string; name: string }>(`
    select format('%I.%I', n.nspname, c.relname) as "tableName", quote_ident(a.attname) as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relkind = 'r' and n.nspname in ('public', 'app', 'private', 'audit', 'auth', 'storage')
      and a.atttypid::regtype::text in ('text', 'jsonb', 'json', 'inet', 'character varying', 'text[]', 'date')`);
  expect(columns.length).toBeGreaterThan(100);
  const found: string[] = [];
  for (const { tableName, name } of columns) {
    const hits = await run<{ value: string }>(`select t.${name}::text as value from ${tableName} t where exists (select from unnest($1::text[]) w (word) where position(w.word in t.${name}::text) > 0)`, [words]);
    found.push(...hits.map(({ value }) => `${tableName}.${name}: ${value.slice(0, 200)}`));
  }
  return found;
}

const isOfResident = (registration: Registration): boolean => registration.whose === 'resident' || registration.isWithResident;

test('an export tells what is the person\'s in every registered table, and nothing of the neighbour; erased, no word of it is left anywhere', async () => {
  const all = await registrations(sql);
  expect(all.length).toBeGreaterThan(10);
  const theirs: Planted[] = [];
  const others: Planted[] = [];
  const taken: string[] = [];
  await sql(`update public.residents set user_id = null where user_id in ($1, $2)`, [person.user, neighbour.user]);
  await sql(`update public.residents set user_id = case id when $1 then $2::uuid when $3 then $4::uuid end where id in ($1, $3)`, [person.resident, person.user, neighbour.resident, neighbour.user]);
  await admin(`update auth.users set email = $1 where id = $2`, [person.email, person.user]);
  await admin(`update auth.users set email = $1 where id = $2`, [neighbour.email, neighbour.user]);
  for (const registration of all.filter(isOfResident)) {
    const planted = await plant(admin, adminUrl, registration, person, registration.tableName === 'public.residents' ? [] : taken);
    if (planted) theirs.push(planted);
  }
  for (const registration of all.filter(isOfResident)) {
    try {
      const planted = await plant(admin, adminUrl, registration, neighbour, registration.tableName === 'public.residents' ? [] : taken);
      if (planted) others.push(planted);
    } catch (error) {
      // The fixtures have no second row that could be a neighbour's.
      if (!/have no row|nothing that is tried/.test(String(error)) && !['23505', '23514'].includes((error as { code?: string }).code ?? '')) throw error;
    }
  }
  const words = theirs.flatMap((planted) => planted.words);
  const foreign = others.flatMap((planted) => planted.words);
  expect(words.length).toBeGreaterThan(8);
  expect(foreign.length).toBeGreaterThan(4);
  // One live occupancy of the person is left by the fixtures if the planted one was another's.
  await admin(`update public.occupancies set ends_on = '2024-12-31' where resident_id = $1 and ends_on is null`, [person.resident]);

  const [before] = await sql<{ told: unknown }>('select public.export_personal_data($1) as told', [person.resident]);
  const exported = JSON.stringify(before?.told);
  expect(theirs.filter(({ isExported }) => isExported).flatMap((planted) => planted.words.filter((word) => !exported.includes(word)).map((word) => `${planted.tableName}: ${word}`))).toEqual([]);
  expect(foreign.filter((word) => exported.includes(word))).toEqual([]);
  expect(exported).not.toContain(neighbour.email);

  expect((await findAnywhere(admin, words)).length, 'the search finds what is there').toBeGreaterThanOrEqual(words.length);
  const foreignBefore = await findAnywhere(admin, foreign);

  await sql(`select public.erase_personal_data($1, 'Asked for in writing')`, [person.resident]);
  expect(await findAnywhere(admin, words)).toEqual([]);
  expect(await leftInRows(admin, theirs)).toEqual([]);
  expect((await findAnywhere(admin, foreign)).sort(), 'the neighbour is as before').toEqual(foreignBefore.sort());
  // The account is another matter: it is not the community's.
  expect((await findAnywhere(admin, [person.email])).filter((hit) => !/^(auth|public\.profiles|audit)/.test(hit))).toEqual([]);
  const [after] = await sql<{ n: number }>('select count(*)::int as n from public.occupancies where resident_id = $1', [person.resident]);
  expect(after?.n, 'the history can still be counted').toBeGreaterThan(0);
});

test('an account that is erased leaves no word in any registered table, nor in Auth or the audit log', async () => {
  const own = await newDatabase();
  try {
    const taken: string[] = [];
    const planted: Planted[] = [];
    await own.admin(`update auth.users set email = $1 where id = $2`, [person.email, person.user]);
    for (const registration of (await registrations(own.sql)).filter(({ whose }) => whose === 'user' || whose === 'email')) {
      if (registration.tableName === 'public.profiles' || registration.tableName === 'public.residents') continue;
      const one = await plant(own.admin, own.adminUrl, registration, person, taken);
      if (one) planted.push(one);
    }
    await own.sql(`update public.profiles set display_name = 'plantedword of the profile' where id = $1`, [person.user]);
    const words = [...planted.flatMap((one) => one.words), 'plantedword of the profile', person.email];
    expect((await findAnywhere(own.admin, words)).length).toBeGreaterThan(words.length);
    await own.sql(`select app.erase_account($1, 'Asked for by the user')`, [person.user]);
    expect(await findAnywhere(own.admin, words)).toEqual([]);
    expect(await leftInRows(own.admin, planted)).toEqual([]);
    const [resident] = await own.sql<{ user_id: string | null; full_name: string }>('select user_id, full_name from public.residents where id = $1', [person.resident]);
    expect(resident, 'the record is the community\'s and stays').toEqual({ user_id: null, full_name: 'alder tenant' });
  } finally {
    await own.end();
  }
});

test('a merge moves the rows of every registered table, and leaves nothing live with the duplicate', async () => {
  const own = await newDatabase();
  try {
    const duplicate = { ...person, resident: idOf('alder guest') };
    const keep = idOf('alder resident without details');
    const taken: string[] = [];
    const planted: Planted[] = [];
    await own.sql(`update public.residents set user_id = null where id = $1`, [duplicate.resident]);
    for (const registration of (await registrations(own.sql)).filter(({ whose, personColumn }) => whose === 'resident' && personColumn !== 'id')) {
      const one = await plant(own.admin, own.adminUrl, registration, duplicate, taken);
      if (one) planted.push(one);
    }
    await own.sql(`select public.merge_residents($1, $2, 'The same person twice')`, [keep, duplicate.resident]);
    expect(planted.length).toBeGreaterThan(3);
    const [merged] = await own.sql<{ merged: string; live: boolean }>('select merged_into_id as merged, deleted_at is null as live from public.residents where id = $1', [duplicate.resident]);
    expect(merged).toEqual({ merged: keep, live: false });
    for (const { tableName, personColumn, onMerge, id } of planted) {
      const live = await own.sql<{ id: string }>(`select t.id from ${tableName} t where t.${personColumn} = $1 and to_jsonb(t) ->> 'deleted_at' is null`, [duplicate.resident]);
      if (onMerge !== 'stay') expect(live, `${tableName} has live rows of the duplicate`).toEqual([]);
      const [row] = await own.sql<{ owner: string }>(`select ${personColumn} as owner from ${tableName} where id = $1`, [id]);
      expect(row?.owner, `${tableName} moved`).toBe(onMerge === 'stay' ? duplicate.resident : keep);
    }
    // Erasing who stayed erases what the duplicate still says.
    await own.admin(`update public.occupancies set starts_on = '2019-01-01', ends_on = '2019-12-31' where resident_id = $1 and ends_on is null`, [keep]);
    await own.sql(`select public.erase_personal_data($1, 'Asked for in writing')`, [keep]);
    expect(await findAnywhere(own.admin, [...planted.flatMap((one) => one.words), 'alder guest'].filter((word) => word !== 'alder guest'))).toEqual([]);
    const [erased] = await own.sql<{ n: number }>(`select count(*)::int as n from public.residents where id in ($1, $2) and full_name = 'Erased person' and erased_at is not null`, [keep, duplicate.resident]);
    expect(erased?.n).toBe(2);
  } finally {
    await own.end();
  }
});
