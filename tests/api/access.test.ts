import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

// The demo community seen through supabase-js, by the people of supabase/seed.sql: what README promises them.

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack();
});
afterAll(() => stack.stop());

/** The values of one column of everything that a client is shown of a table, in order. */
async function seen(client: SupabaseClient, table: string, column: string): Promise<string[]> {
  const { data, error } = await client.from(table).select(column).order(column);
  if (error) throw new Error(`${table}: ${error.code} ${error.message}`);
  return (data as unknown as Record<string, unknown>[]).map((row) => String(row[column]));
}

const countOf = async (table: string, slug: string): Promise<number> => {
  const [row] = await stack.adminSql<{ count: number }>(
    `select count(*)::integer as count from public.${table} t join public.communities c on c.id = t.community_id where c.slug = $1 and t.deleted_at is null`,
    [slug],
  );
  return row?.count ?? 0;
};

describe('a manager', () => {
  test('sees what they manage whole, and nothing else', async () => {
    const manager = await stack.client('manager@demo.example');
    const managed = await stack.sql<{ slug: string }>(
      `select c.slug from public.memberships m join public.profiles p on p.id = m.user_id join public.communities c on c.id = m.community_id
       where p.email = 'manager@demo.example' order by c.slug`,
    );
    const slugs = managed.map(({ slug }) => slug);
    expect(slugs).toContain('lipa-court');
    expect(slugs).not.toContain('los-encinos');
    expect(await seen(manager, 'communities', 'slug')).toEqual(slugs);
    for (const table of ['units', 'residents', 'resident_details', 'occupancies']) {
      const counts = await Promise.all(slugs.map((slug) => countOf(table, slug)));
      expect((await seen(manager, table, 'id')).length, table).toBe(counts.reduce((sum, count) => sum + count, 0));
    }
  });

  test('writes units there, and is refused elsewhere', async () => {
    const manager = await stack.client('manager@demo.example');
    const { data: own } = await manager.from('communities').select('id').eq('slug', 'lipa-court').single();
    const inserted = await manager.from('units').insert({ community_id: own?.id, number: 'T1' }).select('number, created_by').single();
    expect(inserted.error).toBeNull();
    expect(inserted.data?.number).toBe('T1');

    const [foreign] = await stack.sql<{ id: string }>(`select id from public.communities where slug = 'los-encinos'`);
    const refused = await manager.from('units').insert({ community_id: foreign?.id, number: 'T1' });
    expect(refused.status).toBe(403);
    expect(refused.error?.code).toBe('42501');
    expect(await stack.sql(`select from public.units where number = 'T1' and community_id = $1`, [foreign?.id])).toEqual([]);
  });

  test('embeds by the names of foreign keys', async () => {
    const manager = await stack.client('manager@demo.example');
    const { data, error } = await manager
      .from('occupancies')
      .select('role, unit:units!occupancies_unit_fkey(number, building:buildings!units_building_fkey(name)), resident:residents!occupancies_resident_fkey(full_name)')
      .eq('role', 'tenant');
    expect(error).toBeNull();
    expect(data).toEqual([{ role: 'tenant', unit: { number: '3', building: { name: 'Main' } }, resident: { full_name: 'Elena Dimova' } }]);
  });
});

describe('an owner', () => {
  test('sees the own units and everybody in them', async () => {
    const owner = await stack.client('owner@demo.example');
    expect(await seen(owner, 'units', 'number')).toEqual(['2', 'G1']);
    expect(await seen(owner, 'residents', 'full_name')).toEqual(['Анна Петрова', 'Иван Петров', 'Светла Петрова']);
  });

  test('sees no address but the own', async () => {
    const owner = await stack.client('owner@demo.example');
    expect(await seen(owner, 'resident_details', 'email')).toEqual(['owner@demo.example']);
  });

  test('changes nothing: an update finds no row, an insert is refused', async () => {
    const owner = await stack.client('owner@demo.example');
    const { data } = await owner.from('units').update({ layout: 'Castle' }).neq('number', '').select();
    expect(data).toEqual([]);
    expect(await stack.sql(`select from public.units where layout = 'Castle'`)).toEqual([]);
    const [community] = await stack.sql<{ id: string }>(`select id from public.communities where slug = 'lipa-court'`);
    const { status } = await owner.from('units').insert({ community_id: community?.id, number: 'X' });
    expect(status).toBe(403);
  });
});

describe('a tenant', () => {
  test('sees the own unit, and not its owner', async () => {
    const tenant = await stack.client('tenant@demo.example');
    expect(await seen(tenant, 'units', 'number')).toEqual(['3']);
    expect(await seen(tenant, 'residents', 'full_name')).toEqual(['Elena Dimova']);
    const { data } = await tenant.from('units_overview').select('number, owners, living_in');
    expect(data).toEqual([{ number: '3', owners: null, living_in: 'Elena Dimova (tenant)' }]);
  });
});

describe('a guard', () => {
  test('sees who lives where, and neither addresses nor identity numbers', async () => {
    const guard = await stack.client('guard@demo.example');
    expect((await seen(guard, 'residents', 'full_name')).length).toBe(await countOf('residents', 'lipa-court'));
    expect(await seen(guard, 'resident_details', 'email')).toEqual([]);
    const { data } = await guard.from('residents_overview').select('full_name, unit, email, phone').eq('full_name', 'Elena Dimova').single();
    expect(data).toEqual({ full_name: 'Elena Dimova', unit: 'Main / 3', email: null, phone: null });
  });
});

describe('the manager of another community', () => {
  test('sees none of this one', async () => {
    const manager = await stack.client('gerente@demo.example');
    expect(await seen(manager, 'communities', 'slug')).toEqual(['los-encinos']);
    expect((await seen(manager, 'units', 'number')).length).toBe(await countOf('units', 'los-encinos'));
    const [unit] = await stack.sql<{ id: string }>(`select u.id from public.units u join public.communities c on c.id = u.community_id where c.slug = 'lipa-court' limit 1`);
    const { error } = await manager.rpc('set_unit_maintenance', { unit_id: unit?.id, under_maintenance: true });
    expect(error).toMatchObject({ code: 'PT403', message: 'permission_denied' });
  });
});

describe('a user who is banned', () => {
  test('is told so on the next request, with the session of before', async () => {
    const { id } = await stack.createUser({ email: 'banned@test.example' });
    const [community] = await stack.sql<{ id: string }>(`select id from public.communities where slug = 'lipa-court'`);
    await stack.sql(`select public.grant_role($1, 'manager', community_id => $2)`, [id, community?.id]);
    const client = await stack.client('banned@test.example');
    expect(await seen(client, 'communities', 'slug')).toEqual(['lipa-court']);

    const superadmin = await stack.client('superadmin@demo.example');
    const { error } = await superadmin.rpc('set_account_status', { user_id: id, status: 'banned', reason: 'Test' });
    expect(error).toBeNull();
    const answer = await client.from('communities').select('slug');
    expect(answer.status).toBe(403);
    expect(answer.error).toMatchObject({ code: 'PT403', message: 'account_banned' });
  });
});

describe('who is not signed in', () => {
  test('reads nothing', async () => {
    const client = await stack.client();
    const { status, error } = await client.from('units').select('id');
    expect(status).toBe(401);
    expect(error?.code).toBe('42501');
  });
});

describe('a user who signs up', () => {
  test('has no role and sees nothing but the own profile', async () => {
    const { id } = await stack.createUser({ email: 'new@test.example' });
    const client = await stack.client('new@test.example');
    expect(await seen(client, 'communities', 'slug')).toEqual([]);
    expect(await seen(client, 'profiles', 'id')).toEqual([id]);
  });

  test('becomes a resident once the address is confirmed, if the roster names it', async () => {
    const { data: before } = await (await stack.client('manager@demo.example')).from('residents').select('user_id').eq('full_name', 'Georg Weiß').single();
    expect(before?.user_id).toBeNull();
    const { id } = await stack.createUser({ email: 'weiss@lipa.example' });
    const client = await stack.client('weiss@lipa.example');
    expect(await seen(client, 'units', 'number')).toEqual(['8']);
    expect(await seen(client, 'residents', 'user_id')).toEqual([id]);
  });

  test('does not become one by an address that is not confirmed', async () => {
    await stack.createUser({ email: 'marinova@lipa.example', confirmed: false });
    expect(await stack.sql(`select user_id from public.residents where full_name = 'Петя Маринова'`)).toEqual([{ user_id: null }]);
  });
});
