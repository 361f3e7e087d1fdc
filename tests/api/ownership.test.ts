import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

// Sales, leases and households as apps reach them, and what must hold when several change one unit at once.

type Owner = { full_name: string; share: number; starts_on: string; ends_on: string | null };

let stack: TestStack;
let communityId: string;
beforeAll(async () => {
  stack = await startTestStack();
  communityId = (await stack.sql<{ id: string }>(`select id from public.communities where slug = 'lipa-court'`))[0]?.id as string;
});
afterAll(() => stack.stop());

/** A unit of Lipa Court that this test alone uses, with its owners of equal parts since 2020. */
async function newUnit(number: string, owners: number): Promise<{ unit: string; residents: string[]; occupancies: string[] }> {
  const rows = await stack.sql<{ unit: string; resident: string; occupancy: string }>(
    `with u as (insert into public.units (community_id, number) values ($1, $2) returning id),
       r as (insert into public.residents (community_id, full_name) select $1, $2 || ' owner ' || n from generate_series(1, $3::integer) n returning id),
       o as (
         insert into public.occupancies (community_id, unit_id, resident_id, role, ownership_share, starts_on)
         select $1, u.id, r.id, 'owner', 100.0 / $3::integer, '2020-01-01' from u cross join r returning id, unit_id, resident_id)
     select o.unit_id as unit, o.resident_id as resident, o.id as occupancy from o`,
    [communityId, number, owners],
  );
  return { unit: rows[0]?.unit as string, residents: rows.map(({ resident }) => resident), occupancies: rows.map(({ occupancy }) => occupancy) };
}

/** Every day on which the owners of a unit do not own the whole, in exact arithmetic over its boundaries. */
const brokenDays = (unit: string) =>
  stack.sql(
    `select d.day, sum(o.ownership_share) as owned, count(*) as owners
     from (select starts_on as day from public.occupancies where unit_id = $1 and role = 'owner' and deleted_at is null
           union select ends_on + 1 from public.occupancies where unit_id = $1 and role = 'owner' and deleted_at is null and ends_on is not null) d
     join public.occupancies o on o.unit_id = $1 and o.role = 'owner' and o.deleted_at is null and d.day between o.starts_on and coalesce(o.ends_on, 'infinity')
     group by d.day having abs(sum(o.ownership_share) - 100) > count(*) * 0.0000005`,
    [unit],
  );

describe('through the API', () => {
  test('owners that do not make the whole are refused at commit, with a token', async () => {
    const { unit } = await newUnit('whole', 1);
    const manager = await stack.client('manager@demo.example');
    const { data: resident } = await manager.from('residents').insert({ community_id: communityId, full_name: 'One too many' }).select('id').single();
    const { error, status } = await manager.from('occupancies').insert({ community_id: communityId, unit_id: unit, resident_id: resident?.id, role: 'owner', ownership_share: 0.01, starts_on: '2021-01-01' });
    expect({ status, code: error?.code, message: error?.message }).toEqual({ status: 409, code: 'PT409', message: 'shares_not_whole' });
    expect(error?.details).toContain('100.01 percent');
    expect(await stack.sql('select from public.occupancies where unit_id = $1', [unit])).toHaveLength(1);
  });

  test('the former owner loses access with the day of the sale, with a token from before, and the new one has it', async () => {
    const former = await stack.createUser({ email: 'former@test.example' });
    await stack.createUser({ email: 'coming@test.example' });
    const { unit, residents } = await newUnit('handover', 1);
    await stack.sql(`insert into public.resident_details (community_id, resident_id, email) values ($1, $2, 'former@test.example')`, [communityId, residents[0]]);
    const [linked] = await stack.sql<{ user: string }>(`select user_id as "user" from public.residents where id = $1`, [residents[0]]);
    expect(linked?.user).toBe(former.id);
    const [before, manager] = [await stack.client('former@test.example'), await stack.client('manager@demo.example')];
    expect((await before.from('units').select('number')).data).toEqual([{ number: 'handover' }]);

    const [today] = await stack.sql<{ day: string }>(`select (now() at time zone 'Europe/Sofia')::date::text as day`);
    const { data, error } = await manager.rpc('sell_unit', { unit_id: unit, sold_on: today?.day, buyers: [{ full_name: 'Coming Owner', email: 'coming@test.example' }] });
    expect(error).toBeNull();
    expect((data as { change: string }[]).map(({ change }) => change)).toEqual(['ended', 'begun']);
    expect((await before.from('units').select('number')).data).toEqual([]);
    expect((await (await stack.client('coming@test.example')).from('units').select('number')).data).toEqual([{ number: 'handover' }]);
  });

  test('who owned and lived where on a day is told to each as far as they may see', async () => {
    const [unit] = await stack.sql<{ id: string }>(`select id from public.units where community_id = $1 and number = '3'`, [communityId]);
    const ask = async (email: string) => {
      const client = await stack.client(email);
      const names = async (name: string) => ((await client.rpc(name, { unit_id: unit?.id, day: '2025-10-01' })).data as Owner[]).map(({ full_name }) => full_name);
      return { owners: await names('unit_owners_on'), occupants: await names('unit_occupants_on') };
    };
    expect(await ask('manager@demo.example')).toEqual({ owners: ['Николай Ангелов'], occupants: ['Elena Dimova'] });
    expect(await ask('tenant@demo.example'), 'a tenant does not see the owner').toEqual({ owners: [], occupants: ['Elena Dimova'] });
    expect(await ask('owner@demo.example'), 'a neighbour sees nothing').toEqual({ owners: [], occupants: [] });
    expect(await ask('gerente@demo.example'), 'nor does the manager of another community').toEqual({ owners: [], occupants: [] });
  });

  test('a sale of a hundred kinds of parts is always whole', async () => {
    const manager = await stack.client('manager@demo.example');
    const { unit } = await newUnit('parts', 1);
    // Fractions of all denominators up to 12, sold on and on: by one owner, to several.
    let day = new Date('2021-01-01');
    for (let round = 1; round <= 12; round += 1) {
      day = new Date(day.getTime() + 86_400_000 * 30);
      const sold_on = day.toISOString().slice(0, 10);
      const { data: owners } = (await manager.rpc('unit_owners_on', { unit_id: unit, day: sold_on })) as { data: (Owner & { resident_id: string })[] };
      const seller = owners[round % owners.length]?.resident_id;
      const { error } = await manager.rpc('sell_unit', {
        unit_id: unit, sold_on, seller_ids: [seller],
        buyers: Array.from({ length: 1 + (round * 7) % 5 }, (_, n) => ({ full_name: `Buyer ${round}.${n}` })),
      });
      expect(error).toBeNull();
    }
    expect(await brokenDays(unit)).toEqual([]);
  });
});

describe('at once', () => {
  test('of ten sales of one unit on one day, one is made', async () => {
    const { unit } = await newUnit('race', 1);
    const manager = await stack.client('manager@demo.example');
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) => manager.rpc('sell_unit', { unit_id: unit, sold_on: '2024-05-01', buyers: [{ full_name: `Racer ${n}` }] })),
    );
    expect(answers.filter(({ error }) => error === null)).toHaveLength(1);
    expect(new Set(answers.flatMap(({ error }) => (error ? [error.message] : [])))).toEqual(new Set(['sale_too_early']));
    expect(await brokenDays(unit)).toEqual([]);
    const racers = await stack.sql(`select from public.residents where full_name like 'Racer %'`);
    expect(racers, 'and only its buyer was entered').toHaveLength(1);
  });

  test('two co-owners who sell at once do not sell the same', async () => {
    const { unit, residents } = await newUnit('co-owners', 3);
    const manager = await stack.client('manager@demo.example');
    const answers = await Promise.all(
      residents.flatMap((seller) => [0, 1].map((n) => manager.rpc('sell_unit', { unit_id: unit, sold_on: '2024-05-01', seller_ids: [seller], buyers: [{ full_name: `Buyer ${seller} ${n}` }] }))),
    );
    expect(answers.filter(({ error }) => error === null), 'each share once').toHaveLength(3);
    expect(await brokenDays(unit)).toEqual([]);
  });

  test('two sessions that each add the missing half wait for each other, whichever way they write', async () => {
    const { unit, occupancies } = await newUnit('absence', 2);
    // Each archives one half and enters another in its place; neither sees the other's.
    const sessions = await Promise.all(['Left', 'Right'].map(async () => {
      const client = new pg.Client({ connectionString: stack.databaseUrl });
      await client.connect();
      return client;
    }));
    const outcomes = await Promise.allSettled(sessions.map(async (client, n) => {
      await client.query('begin');
      await client.query(
        `with r as (insert into public.residents (community_id, full_name) values ($1, $2) returning id)
         insert into public.occupancies (community_id, unit_id, resident_id, role, ownership_share, starts_on) select $1, $3, id, 'owner', 50, '2020-01-01' from r`,
        [communityId, `Half ${n}`, unit]);
      // Both replace the same half.
      await client.query('update public.occupancies set deleted_at = now() where id = $1 and deleted_at is null', [occupancies[0]]);
      await client.query('commit');
    }));
    await Promise.all(sessions.map((client) => client.end()));
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [(outcome.reason as Error).message] : []))).toEqual(['shares_not_whole']);
    expect(await brokenDays(unit)).toEqual([]);
  });

  test('a session whose snapshot hides what others committed changes no owner', async () => {
    const { occupancies } = await newUnit('snapshot', 2);
    const client = new pg.Client({ connectionString: stack.databaseUrl });
    await client.connect();
    await client.query('begin isolation level repeatable read');
    await client.query(`update public.occupancies set ownership_share = case id when $1 then 40 else 60 end where id = any ($2)`, [occupancies[0], occupancies]);
    await expect(client.query('commit')).rejects.toMatchObject({ code: 'PT409', message: 'isolation_refused' });
    await client.end();
  });

  test('of ten contracts for one flat at once, one is signed', async () => {
    const { unit } = await newUnit('let', 1);
    const manager = await stack.client('manager@demo.example');
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) => manager.rpc('sign_lease', { unit_id: unit, starts_on: '2026-01-01', ends_on: '2026-12-31', tenants: [{ full_name: `Tenant ${n}` }] })),
    );
    expect(answers.filter(({ error }) => error === null)).toHaveLength(1);
    expect(new Set(answers.flatMap(({ error }) => (error ? [error.message] : [])))).toEqual(new Set(['lease_overlap']));
  });

  test('a household does not grow beyond its limit, however many are added at once', async () => {
    const [unit] = await stack.sql<{ id: string }>(`select id from public.units where community_id = $1 and number = '3'`, [communityId]);
    await stack.sql(`select public.set_setting('general.household_size', '4', community_id => $1, unit_id => $2)`, [communityId, unit?.id]);
    const tenant = await stack.client('tenant@demo.example');
    const before = await stack.sql(`select from public.occupancies where unit_id = $1 and role in ('family', 'authorized', 'guest') and deleted_at is null`, [unit?.id]);
    const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => tenant.rpc('add_household_member', { unit_id: unit?.id, full_name: `Member ${n}` })));
    expect(answers.filter(({ error }) => error === null)).toHaveLength(4 - before.length);
    expect(new Set(answers.flatMap(({ error }) => (error ? [error.message] : [])))).toEqual(new Set(['household_full']));
  });
});
