import pg from 'pg';
import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createFixtures, idOf, throwOut, type Actor } from '../support/fixtures.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';

type Hit = { kind: string; id: string; label: string; detail: string | null; match: string };

describe('for every kind of user, search finds exactly what they may see', async () => {
  let actors: Actor[] = [];
  const stack = await startTestStack({
    template: 'migrated',
    prepare: async ({ databaseUrl, sql }) => {
      actors = await createFixtures(databaseUrl, sql);
    },
  });
  const client = new pg.Client({ connectionString: stack.databaseUrl });
  await client.connect();
  afterAll(async () => {
    await client.end();
    await stack.stop();
  });

  const claims = new Map<Actor, { withHook: object; without: object }>();
  for (const actor of actors) {
    const told = { sub: actor.userId, role: 'authenticated', app_metadata: { provider: 'email' } };
    const [minted] = await stack.sql<{ claims: object }>(`select app.access_token($1) -> 'claims' as claims`, [{ user_id: actor.userId, claims: told }]);
    claims.set(actor, { withHook: minted!.claims, without: told });
  }
  await throwOut(stack.sql);
  // What everything anybody could look for begins with, archived rows included.
  const beginnings = (
    await stack.adminSql<{ label: string }>(`
      select full_name as label from public.residents union select number from public.units union select plate from public.vehicles
      union select email from public.resident_details where email is not null union select name from public.buildings`)
  ).map(({ label }) => label.slice(0, 6));
  const labels = [...new Set(beginnings)];

  const seenBy = async (token: object): Promise<{ found: string[]; visible: string[] }> => {
    await client.query('begin');
    try {
      await client.query(`select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)`, [JSON.stringify(token)]);
      const found = await client.query<{ key: string }>(
        `select distinct h.kind || ' ' || h.id as key from unnest($1::text[]) q cross join lateral public.search(q, most => 100) h order by 1`,
        [labels],
      );
      const visible = await client.query<{ key: string }>(
        `select 'resident ' || id as key from public.residents where deleted_at is null
         union all select 'unit ' || id from public.units where deleted_at is null
         union all select 'vehicle ' || id from public.vehicles where deleted_at is null and status in ('pending', 'active', 'suspended')
         order by 1`,
      );
      return { found: found.rows.map(({ key }) => key), visible: visible.rows.map(({ key }) => key) };
    } finally {
      await client.query('rollback');
    }
  };

  const counts = new Map<string, number>();
  test.each(actors.map((actor) => [actor.name, actor] as const))('%s', async (_name, actor) => {
    for (const token of Object.values(claims.get(actor)!)) {
      const { found, visible } = await seenBy(token);
      expect(found).toEqual(visible);
      counts.set(actor.name, found.length);
    }
  });

  test('the comparison is of something: some see all, some a part, some nothing', () => {
    expect(counts.size).toBe(actors.length);
    expect(counts.get('site superadmin')).toBeGreaterThan(counts.get('community manager')!);
    expect(counts.get('community manager')).toBeGreaterThan(counts.get('owner by occupancy')!);
    expect(counts.get('owner by occupancy')).toBeGreaterThan(counts.get('tenant by occupancy')!);
    expect(counts.get('tenant by occupancy')).toBeGreaterThan(1);
    expect(counts.get('banned manager')).toBe(0);
    expect(counts.get('tenant who moved out')).toBe(0);
  });

  test('an address leads to a person only for who may read it', async () => {
    const look = async (name: string): Promise<string[]> => {
      const actor = actors.find((one) => one.name === name)!;
      await client.query('begin');
      await client.query(`select set_config('role', 'authenticated', true), set_config('request.jwt.claims', $1, true)`, [JSON.stringify(claims.get(actor)!.withHook)]);
      const { rows } = await client.query<Hit>(`select * from public.search('alder.second.owner@mail.example') where match = 'contact'`);
      await client.query('rollback');
      return rows.map(({ id }) => id);
    };
    expect(await look('community manager')).toEqual([idOf('alder second owner')]);
    expect(await look('owner here and manager there')).toEqual([idOf('alder second owner')]);
    expect(await look('community guard')).toEqual([]);
    expect(await look('owner by occupancy')).toEqual([]);
    expect(await look('manager of a foreign community')).toEqual([]);
  });
});

describe('what is typed', () => {
  let stack: TestStack;
  let manager: SupabaseClient;
  let home: string;

  beforeAll(async () => {
    stack = await startTestStack();
    manager = await stack.client('manager@demo.example');
    home = (await manager.from('communities').select('id').eq('slug', 'lipa-court').single().throwOnError()).data.id;
    await manager
      .from('residents')
      .insert(
        ['สมชาย ใจดี', 'अनिता शर्मा', '王伟', '김민수', 'Ιωάννης Παπαδόπουλος', 'Łukasz Wójcik', 'Йордан Ёлкин', 'José Ángel Núñez'].map((full_name) => ({ community_id: home, full_name })),
      )
      .throwOnError();
  });
  afterAll(() => stack.stop());

  const find = async (query: string, more: object = {}): Promise<Hit[]> => (await manager.rpc('search', { query, ...more }).throwOnError()).data as Hit[];

  test.each([
    ['a beginning', 'ива', 'Иван Петров'],
    ['the beginning of a later word', 'Петро', 'Иван Петров'],
    ['capitals that do not matter', 'ELENA DIM', 'Elena Dimova'],
    ['words in another order', 'Dimova Elena', 'Elena Dimova'],
    ['a letter too few', 'Димитр Клев', 'Димитър Колев'],
    ['two letters swapped', 'Dimvoa', 'Elena Dimova'],
    ['ss for ß', 'weiss', 'Georg Weiß'],
    ['no accents', 'angel nunez', 'José Ángel Núñez'],
    ['no strokes', 'lukasz woj', 'Łukasz Wójcik'],
    ['е for ё', 'елкин', 'Йордан Ёлкин'],
    ['Greek without accents', 'ιωαννης παπ', 'Ιωάννης Παπαδόπουλος'],
    ['Thai', 'สมช', 'สมชาย ใจดี'],
    ['the middle of a Thai name', 'ชาย', 'สมชาย ใจดี'],
    ['Devanagari', 'शर्म', 'अनिता शर्मा'],
    ['one Chinese character', '伟', '王伟'],
    ['a Korean given name', '민수', '김민수'],
    ['an address', 'marinova@lipa', 'Петя Маринова'],
    ['a telephone with other separators', '088 555-0104', 'Elena Dimova'],
    ['a plate in Latin', 'cb1208', 'СВ 1208 ВН'],
    ['the digits of a plate', '4411', 'CB 4411 PK'],
    ['a plate misread', 'CB 4417 PK', 'CB 4411 PK'],
    ['a unit by its building', 'main 7', 'Main / 7'],
    ['a parking place', 'g1', 'Main / G1'],
  ])('%s: %s', async (_what, query, label) => {
    expect((await find(query)).map((hit) => hit.label)).toContain(label);
  });

  test('what begins with the query comes before what resembles it, and an exact number first', async () => {
    const ranked = await find('петров', { kinds: ['resident'] });
    expect(ranked.map(({ match }) => match)).toEqual([...ranked.map(({ match }) => match)].sort());
    expect((await find('1', { kinds: ['unit'] }))[0]?.label).toBe('Main / 1');
  });

  test('kinds, communities and most narrow it', async () => {
    expect(new Set((await find('петр', { kinds: ['resident'] })).map(({ kind }) => kind))).toEqual(new Set(['resident']));
    expect(await find('rosa')).toEqual([]);
    const [elsewhere] = await stack.sql<{ id: string }>(`select id from public.communities where slug = 'los-encinos'`);
    expect(await find('rosa', { communities: [elsewhere?.id] })).toEqual([]);
    const superadmin = await stack.client('superadmin@demo.example');
    const { data } = await superadmin.rpc('search', { query: 'rosa', communities: [elsewhere?.id] }).throwOnError();
    expect(data).toMatchObject([{ label: 'Rosa Martínez Díaz' }]);
    expect((await superadmin.rpc('search', { query: 'rosa', communities: [home] }).throwOnError()).data).toEqual([]);
    expect(await find('м', { most: 1 })).toHaveLength(1);
  });

  test('a resident appears once, however many ways lead to them', async () => {
    const hits = await find('marinova');
    expect(new Set(hits.map(({ id }) => id)).size).toBe(hits.length);
  });

  test.each([
    ['nothing', { query: '' }],
    ['blanks', { query: '   ' }],
    ['signs that mean something in patterns', { query: '%_\\' }],
    ['an unknown kind', { query: 'a', kinds: ['invoice'] }],
    ['too many', { query: 'a', most: 1000 }],
    ['none', { query: 'a', most: 0 }],
  ])('%s is refused', async (_what, args) => {
    const { error, status } = await manager.rpc('search', args);
    expect([status, error?.message]).toEqual([422, 'invalid_value']);
  });

  test('quotes and patterns are letters like others', async () => {
    expect(await find("' or true --%")).toEqual([]);
    expect(await find('x'.repeat(5000))).toEqual([]);
  });
});
