import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadCommunities } from '../../scripts/load/load.ts';
import { connect, createDatabaseFromTemplate, testServer, type Sql } from '../support/database.ts';
import { demoPassword, startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;

/** Everything that was loaded, by what it is called: ids and times differ from run to run. */
const content = `
  select md5(string_agg(line, e'\\n' order by line)) as digest
  from (
    select concat_ws('|', c.slug, c.name, c.time_zone, o.slug, b.name, e.name, u.number, u.type, u.layout, u.floor, u.area, u.ideal_parts, u.status) as line
    from public.units u
    join public.communities c on c.id = u.community_id
    join public.organizations o on o.id = c.organization_id
    left join public.buildings b on b.id = u.building_id
    left join public.entrances e on e.id = u.entrance_id
    union all
    select concat_ws('|', c.slug, u.number, r.full_name, r.kind, p.email, d.email, d.phone, oc.role, oc.ownership_share, oc.is_living_in, oc.is_primary_contact, oc.starts_on, oc.ends_on)
    from public.occupancies oc
    join public.communities c on c.id = oc.community_id
    join public.units u on u.id = oc.unit_id
    join public.residents r on r.id = oc.resident_id
    left join public.resident_details d on d.resident_id = r.id
    left join public.profiles p on p.id = r.user_id
    union all
    select concat_ws('|', p.email, p.display_name, ro.key, coalesce(c.slug, o.slug))
    from public.memberships m
    join public.profiles p on p.id = m.user_id
    join public.roles ro on ro.id = m.role_id
    left join public.communities c on c.id = m.community_id
    left join public.organizations o on o.id = m.organization_id
  ) lines`;

beforeAll(async () => {
  stack = await startTestStack({ template: 'migrated' });
  const { outcome } = await loadCommunities(stack.databaseUrl, { communities: 6, units: 40, seed: 7, password: demoPassword });
  expect(outcome).toBe('loaded');
});

afterAll(() => stack.stop());

describe('loaded communities', () => {
  test('are as many and as large as was asked for, and marked', async () => {
    const communities = await stack.sql<{ slug: string; units: number }>(
      `select c.slug, count(u.id)::int as units from public.communities c left join public.units u on u.community_id = c.id group by c.slug order by c.slug`,
    );
    expect(communities).toEqual([1, 2, 3, 4, 5, 6].map((n) => ({ slug: `load-7-${n}`, units: 40 })));
  });

  test('add up: ideal parts to what is declared, ownership of every unit to 100 %', async () => {
    expect(await stack.sql('select community from public.ideal_parts_report where difference <> 0 or units_without > 0')).toEqual([]);
    const owned = await stack.sql<{ share: string }>(
      `select distinct coalesce(sum(o.ownership_share), 0)::text as share
       from public.units u left join public.occupancies o on o.unit_id = u.id and o.role = 'owner' and o.ends_on is null
       group by u.id`,
    );
    expect(owned.map(({ share }) => Number(share))).toEqual([100]);
  });

  test('hold the mix that screens and benchmarks need', async () => {
    const [mix] = await stack.sql<Record<string, number>>(
      `select
         (select count(distinct type)::int from public.units) as types,
         (select count(distinct status)::int from public.units) as statuses,
         (select count(distinct time_zone)::int from public.communities) as zones,
         (select count(distinct role)::int from public.occupancies) as roles,
         (select count(*)::int from public.occupancies where ends_on is not null) as past,
         (select count(*)::int from public.residents where kind = 'company') as companies,
         (select count(*)::int from public.residents where user_id is not null) as users`,
    );
    expect(mix).toMatchObject({ statuses: 2, zones: 2, roles: 4 });
    for (const count of Object.values(mix ?? {})) expect(count).toBeGreaterThanOrEqual(2);
  });

  test('have staff who sign in and see their own communities alone', async () => {
    const manager = await stack.client('manager@load-7-company-1.example');
    const { data } = await manager.from('communities').select('slug').order('slug');
    const own = await stack.sql<{ slug: string }>(
      `select c.slug from public.communities c join public.organizations o on o.id = c.organization_id where o.slug = 'load-7-company-1' order by c.slug`,
    );
    expect(own.length).toBeGreaterThan(0);
    expect(own.length).toBeLessThan(6);
    expect(data).toEqual(own);
  });
});

describe('the same seed', () => {
  test('makes the same communities in another database', async () => {
    const url = testServer().url(await createDatabaseFromTemplate('migrated'));
    await loadCommunities(url, { communities: 6, units: 40, seed: 7 });
    const other = connect(url);
    try {
      expect(await other.sql(content)).toEqual(await stack.sql(content));
    } finally {
      await other.end();
    }
  });

  test('changes nothing the second time, and says so', async () => {
    const before = await everything(stack.sql);
    const { outcome, counts } = await loadCommunities(stack.databaseUrl, { communities: 9, units: 10, seed: 7 });
    expect(outcome).toBe('already');
    expect(counts).toEqual({ communities: 6, units: 240 });
    expect(await everything(stack.sql)).toEqual(before);
  });
});

test('another seed makes other communities beside them', async () => {
  const { outcome, counts } = await loadCommunities(stack.databaseUrl, { communities: 1, units: 3, seed: 8 });
  expect(outcome).toBe('loaded');
  expect(counts).toMatchObject({ communities: 1, units: 3 });
  expect(await stack.sql(`select slug from public.communities where slug like 'load-8-%'`)).toEqual([{ slug: 'load-8-1' }]);
});

async function everything(sql: Sql): Promise<unknown> {
  const entries = await sql('select count(*) as entries from audit.log');
  return [entries, await sql(content), await sql('select count(*) as users from auth.users')];
}
