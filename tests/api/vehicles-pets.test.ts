import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let home: string;
let manager: SupabaseClient;
let owner: SupabaseClient;
let tenant: SupabaseClient;
let guard: SupabaseClient;
const units = new Map<string, string>();

beforeAll(async () => {
  stack = await startTestStack();
  const rows = await stack.sql<{ id: string; number: string; community_id: string }>(
    `select u.id, u.number, u.community_id from public.units u join public.communities c on c.id = u.community_id where c.slug = 'lipa-court'`,
  );
  for (const { id, number } of rows) units.set(number, id);
  home = rows[0]!.community_id;
  manager = await stack.client('manager@demo.example');
  owner = await stack.client('owner@demo.example');
  tenant = await stack.client('tenant@demo.example');
  guard = await stack.client('guard@demo.example');
});
afterAll(() => stack.stop());

type Answer = { error: { message: string; code?: string } | null };
const done = (answers: Answer[]): number => answers.filter(({ error }) => error === null).length;
const refusals = (answers: Answer[]): string[] => [...new Set(answers.flatMap(({ error }) => (error ? [error.message] : [])))];

describe('at once', () => {
  test('one plate, in whatever spelling, is registered by one of many', async () => {
    const spellings = ['CA 9001 KX', 'са9001кх', 'CA-9OO1-KX', 'ＣＡ９００１ＫＸ', 'CA 900I KX', 'СА 9001 КХ'];
    const answers = await Promise.all(
      spellings.flatMap((plate) => ['4', '8'].map((unit) => manager.rpc('register_vehicle', { unit_id: units.get(unit), plate }))),
    );
    expect(done(answers)).toBe(1);
    expect(refusals(answers)).toEqual(['plate_taken']);
    const stored = await stack.sql(`select id from public.vehicles where community_id = $1 and plate_key = 'CA9001KX'`, [home]);
    expect(stored).toHaveLength(1);
  });

  test('a plate for which several wait is approved once', async () => {
    const waiting = await Promise.all([owner.rpc('register_vehicle', { unit_id: units.get('2'), plate: 'TX 1' }), tenant.rpc('register_vehicle', { unit_id: units.get('3'), plate: 'TX-I' })]);
    expect(done(waiting)).toBe(2);
    const answers = await Promise.all(
      [...waiting, ...waiting].map(({ data }) => manager.rpc('set_vehicle_status', { vehicle_id: data as string, status: 'active' })),
    );
    // The winner's second approval finds it active already.
    expect(refusals(answers)).toEqual(['plate_taken']);
    const stored = await stack.sql(`select status from public.vehicles where community_id = $1 and plate_key = 'TX1' order by status`, [home]);
    expect(stored).toEqual([{ status: 'pending' }, { status: 'active' }]);
  });

  test('one tag is given to one of many', async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => manager.rpc('register_vehicle', { unit_id: units.get(index % 2 ? '4' : '9'), plate: `TG ${index}00`, tag_number: 'tag-7' })),
    );
    expect(done(answers)).toBe(1);
    expect(refusals(answers)).toEqual(['tag_taken']);
  });

  test('a unit gets no more vehicles than it may have', async () => {
    await manager.rpc('set_setting', { key: 'general.vehicles_per_unit', value: 3, community_id: home, unit_id: units.get('6') }).throwOnError();
    const answers = await Promise.all(Array.from({ length: 9 }, (_, index) => manager.rpc('register_vehicle', { unit_id: units.get('6'), plate: `LM 77${index}` })));
    expect(done(answers)).toBe(3);
    expect(refusals(answers)).toEqual(['too_many_vehicles']);
  });

  test('one chip is registered by one of many', async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => owner.rpc('register_pet', { unit_id: units.get('2'), name: `Pet ${index}`, kind: 'dog', chip_number: '900 000 000 000 001' })),
    );
    expect(done(answers)).toBe(1);
    expect(refusals(answers)).toEqual(['chip_taken']);
  });

  test('several workers tell once of a vaccination that is due', async () => {
    const before = await stack.sql(`select from app.outbox where topic = 'pet.vaccination_due'`);
    expect(before).toHaveLength(0);
    await Promise.all(Array.from({ length: 4 }, () => stack.sql('select app.job_pet_vaccinations()')));
    const told = await stack.sql(`select payload ->> 'vaccination_id' as vaccination from app.outbox where topic = 'pet.vaccination_due'`);
    expect(told).toHaveLength(1);
  });
});

describe('bad input', () => {
  test.each([
    ['a plate of pictures', { plate: '🚗🚙🚕' }],
    ['a plate that is too long', { plate: 'A'.repeat(21) }],
    ['a plate with too many characters that count', { plate: '1'.repeat(17) }],
    ['a plate on two lines', { plate: 'CB 1\n2' }],
    ['a country that is none', { plate: 'QQ 1', country_code: 'Bulgaria' }],
    ['an end before the beginning', { plate: 'QQ 1', starts_on: '2026-02-01', ends_on: '2026-01-01' }],
    ['nothing to know it by', {}],
  ])('%s is refused, and nothing is stored', async (_what, args) => {
    const before = await stack.sql('select count(*)::integer as count from public.vehicles');
    const { error, status } = await manager.rpc('register_vehicle', { unit_id: units.get('4'), ...args });
    expect([status, error?.message]).toEqual([422, 'invalid_value']);
    expect(await stack.sql('select count(*)::integer as count from public.vehicles')).toEqual(before);
  });

  test('a unit of another community is nobody’s to register for', async () => {
    const [elsewhere] = await stack.sql<{ id: string }>(`select u.id from public.units u join public.communities c on c.id = u.community_id where c.slug = 'los-encinos' limit 1`);
    const answer = await manager.rpc('register_vehicle', { unit_id: elsewhere?.id, plate: 'QQ 1' });
    expect([answer.status, answer.error?.message]).toEqual([403, 'permission_denied']);
    const [resident] = await stack.sql<{ id: string }>(`select r.id from public.residents r join public.communities c on c.id = r.community_id where c.slug = 'los-encinos' limit 1`);
    const mixed = await manager.rpc('register_vehicle', { unit_id: units.get('4'), resident_id: resident?.id, plate: 'QQ 1' });
    expect([mixed.status, mixed.error?.message]).toEqual([404, 'resident_not_found']);
  });
});

describe('photos', () => {
  const upload = async (client: SupabaseClient, purpose: string): Promise<string> => {
    const content = Buffer.from('\x89PNG a red car');
    const { data } = await client.rpc('register_file', { community_id: home, purpose, file_name: 'car.png', content_type: 'image/png', size: content.byteLength }).single().throwOnError();
    const { file_id, bucket, path } = data as { file_id: string; bucket: string; path: string };
    expect((await client.storage.from(bucket).upload(path, content, { contentType: 'image/png' })).error).toBeNull();
    return file_id;
  };

  test('whoever sees the vehicle sees its photo, and nobody attaches a file of somebody else', async () => {
    const { data: vehicle } = await owner.rpc('register_vehicle', { unit_id: units.get('2'), plate: 'FO 700' }).throwOnError();
    const photo = await upload(owner, 'vehicle.photo');
    await owner.rpc('set_vehicle_photos', { vehicle_id: vehicle, file_ids: [photo] }).throwOnError();
    const family = await stack.client('family@demo.example');
    const seen = await Promise.all([owner, family, guard, manager, tenant].map(async (client) => (await client.from('files').select('id').eq('id', photo)).data?.length));
    expect(seen).toEqual([1, 0, 1, 1, 0]);

    const document = await upload(tenant, 'vehicle.photo');
    const nested = await owner.rpc('set_vehicle_photos', { vehicle_id: vehicle, file_ids: [[photo]] });
    expect([nested.status, nested.error?.message]).toEqual([422, 'invalid_value']);
    const other = await owner.rpc('set_vehicle_photos', { vehicle_id: vehicle, file_ids: [photo, document] });
    expect([other.status, other.error?.message]).toEqual([404, 'file_not_found']);
    const own = await tenant.rpc('set_vehicle_photos', { vehicle_id: vehicle, file_ids: [document] });
    expect([own.status, own.error?.message]).toEqual([404, 'vehicle_not_found']);
    const { data: links } = await owner.from('vehicle_photos').select('file_id').eq('vehicle_id', vehicle);
    expect(links).toEqual([{ file_id: photo }]);

    // A photo that is removed is not on the vehicle any more.
    await owner.rpc('remove_file', { file_id: photo }).throwOnError();
    expect((await owner.from('vehicle_photos').select('file_id').eq('vehicle_id', vehicle)).data).toEqual([]);
  });
});

test('a tenant whose tenancy ended yesterday is not let in by their plate', async () => {
  const find = async () => (await guard.rpc('find_vehicle', { community_id: home, plate: 'CB 4411 PK' }).throwOnError()).data as { is_active: boolean; match: string }[];
  expect(await find()).toMatchObject([{ match: 'exact', is_active: true }]);
  await manager.from('occupancies').update({ ends_on: new Date(Date.now() - 2 * 86_400_000).toISOString().slice(0, 10) }).eq('unit_id', units.get('3')).eq('role', 'tenant').throwOnError();
  expect(await find()).toMatchObject([{ match: 'exact', is_active: false }]);
  await stack.sql('select app.job_occupancy_dates()');
  expect(await find()).toEqual([]);
});
