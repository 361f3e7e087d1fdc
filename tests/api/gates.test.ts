import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let home: string;
let manager: SupabaseClient;
let guard: SupabaseClient;
let tenant: SupabaseClient;
let elsewhere: SupabaseClient;
let gate: string;
let booth: string;

beforeAll(async () => {
  stack = await startTestStack();
  const [point] = await stack.sql<{ id: string; booth_id: string; community_id: string }>(`select id, booth_id, community_id from public.access_points where name = 'Main gate'`);
  gate = point!.id;
  booth = point!.booth_id;
  home = point!.community_id;
  manager = await stack.client('manager@demo.example');
  guard = await stack.client('guard@demo.example');
  tenant = await stack.client('tenant@demo.example');
  elsewhere = await stack.client('gerente@demo.example');
});
afterAll(() => stack.stop());

type Answer = { error: { message: string; code?: string } | null };
const done = (answers: Answer[]): number => answers.filter(({ error }) => error === null).length;
const refusals = (answers: Answer[]): string[] => [...new Set(answers.flatMap(({ error }) => (error ? [error.message] : [])))].sort();

const device = (key: string): SupabaseClient => stack.device(key);
const enroll = async (name: string, point = gate, by = manager): Promise<{ device_id: string; device_key: string }> => {
  const { data } = await by.rpc('enroll_device', { access_point_id: point, name, kind: 'reader' }).single().throwOnError();
  return data as { device_id: string; device_key: string };
};

describe('a device', () => {
  test('is known by its key alone, and does nothing but what a device does', async () => {
    const { device_id, device_key } = await enroll('Known');
    const reader = device(device_key);
    const { data } = await reader.rpc('device_check_in').single().throwOnError();
    expect(data).toMatchObject({ device_id, access_point_id: gate, community_id: home, time_zone: 'Europe/Sofia', is_open: true, key_ends_at: null });
    const { data: health } = await manager.rpc('device_health', { community_id: home }).throwOnError();
    expect((health as { device_id: string; last_seen_at: string | null }[]).find((one) => one.device_id === device_id)?.last_seen_at).not.toBeNull();

    for (const table of ['access_points', 'access_devices', 'guards', 'shifts', 'access_cards', 'access_holds', 'residents', 'units']) {
      const { data: rows, error } = await reader.from(table).select();
      expect([table, rows, error?.code]).toEqual([table, null, '42501']);
    }
    const refused = await Promise.all([
      reader.rpc('enroll_device', { access_point_id: gate, name: 'Friend', kind: 'reader' }),
      reader.rpc('rotate_device_key', { device_id }),
      reader.rpc('set_access_point_status', { access_point_id: gate, status: 'out_of_service' }),
      reader.rpc('booth_on_duty', { booth_id: booth }),
      reader.rpc('place_access_hold', { community_id: home, reason: 'attack' }),
    ]);
    expect(refused.map(({ error }) => error?.code)).toEqual(Array.from(refused, () => '42501'));
    expect(await stack.sql(`select from public.access_devices where name = 'Friend'`)).toEqual([]);
  });

  test('is not let in with a key that is none, however it is written', async () => {
    const { device_key } = await enroll('Forged');
    const forged = [
      '',
      'vd_',
      device_key.slice(0, -1),
      `${device_key}A`,
      `${device_key.slice(0, -1)}${device_key.endsWith('A') ? 'B' : 'A'}`,
      device_key.toUpperCase(),
      device_key.repeat(130),
      "vd_' or '1'='1",
      `vd_${'0'.repeat(32)}_${'A'.repeat(43)}`,
      encodeURIComponent('vd_\u0000'),
    ];
    for (const key of forged) {
      const answer = await device(key).rpc('device_check_in');
      expect([key.slice(0, 40), answer.status, answer.error?.message]).toEqual([key.slice(0, 40), 401, 'device_unknown']);
    }
    expect((await device(device_key).rpc('device_check_in')).error).toBeNull();
  });

  test('of a stranger is one of that stranger’s community', async () => {
    const [community] = await stack.sql<{ id: string }>(`select id from public.communities where slug = 'los-encinos'`);
    const { data: point } = await elsewhere.from('access_points').insert({ community_id: community!.id, name: 'Portón', kind: 'gate' }).select('id').single().throwOnError();
    const theirs = await enroll('Lector', point!.id as string, elsewhere);
    const { data } = await device(theirs.device_key).rpc('device_check_in').single().throwOnError();
    expect(data).toMatchObject({ community_id: community!.id, access_point_name: 'Portón' });
    const answers = await Promise.all([manager.rpc('revoke_device', { device_id: theirs.device_id }), manager.rpc('rotate_device_key', { device_id: theirs.device_id })]);
    expect(answers.map(({ status, error }) => [status, error?.message])).toEqual([[404, 'device_not_found'], [404, 'device_not_found']]);
    expect((await device(theirs.device_key).rpc('device_check_in')).error).toBeNull();
  });

  test('whose user is signed in is that user, not a device', async () => {
    const { device_key } = await enroll('Borrowed');
    const both = await stack.client('tenant@demo.example');
    const { data } = await both.auth.getSession();
    const answer = await fetch(`${stack.url}/rest/v1/rpc/device_check_in`, {
      method: 'POST',
      headers: { apikey: stack.keys.publishable, authorization: `Bearer ${data.session?.access_token}`, 'x-device-key': device_key, 'content-type': 'application/json' },
      body: '{}',
    });
    expect([answer.status, ((await answer.json()) as { message: string }).message]).toEqual([401, 'device_unknown']);
  });

  test('keeps its gate from being archived until it is revoked, and opens nothing then', async () => {
    const { data: point } = await manager.from('access_points').insert({ community_id: home, name: 'Back gate', kind: 'gate' }).select('id').single().throwOnError();
    const { device_id, device_key } = await enroll('Last', point!.id as string);
    const archive = () => manager.rpc('archive', { table_name: 'access_points', id: point!.id });
    expect((await archive()).error?.message).toBe('has_live_children');
    await manager.rpc('revoke_device', { device_id, reason: 'Taken down' }).throwOnError();
    expect((await archive()).error).toBeNull();
    expect((await device(device_key).rpc('device_check_in')).error?.message).toBe('device_unknown');
  });
});

describe('the key of a device that is in use', () => {
  /** Checks in again and again with both keys while the key is rotated, and then as often again. */
  const rotateInUse = async (name: string, overlap_minutes: number) => {
    const { device_id, device_key } = await enroll(name);
    const old = device(device_key);
    const seen: { begunAt: number; ok: boolean; message?: string | undefined }[] = [];
    let isRotated = false;
    let after = 0;
    const use = async () => {
      while (after < 40) {
        const begunAt = performance.now();
        if (isRotated) after += 1;
        const { error } = await old.rpc('device_check_in');
        seen.push({ begunAt, ok: error === null, message: error?.message });
      }
    };
    const users = Array.from({ length: 4 }, use);
    while (seen.length < 20) await Promise.race([new Promise(setImmediate), ...users]);
    const { data: next } = await manager.rpc('rotate_device_key', { device_id, overlap_minutes }).throwOnError();
    const rotatedAt = performance.now();
    isRotated = true;
    const fresh = await Promise.all(Array.from({ length: 10 }, () => device(next as string).rpc('device_check_in')));
    await Promise.all(users);
    expect(done(fresh)).toBe(10);
    const before = seen.filter(({ begunAt }) => begunAt < rotatedAt);
    expect(before.filter(({ ok }) => ok).length).toBeGreaterThanOrEqual(10);
    return { device_id, late: seen.filter(({ begunAt }) => begunAt > rotatedAt), all: seen };
  };

  test('goes on for as long as was said: no attempt fails while it is changed', async () => {
    const { all, device_id } = await rotateInUse('Overlap', 60);
    expect(all.filter(({ ok }) => !ok)).toEqual([]);
    expect(await stack.sql(`select count(*)::integer as count from private.device_keys where device_id = $1`, [device_id])).toEqual([{ count: 2 }]);
  });

  test('gives nothing from the next request on if it was to end at once', async () => {
    const { late } = await rotateInUse('At once', 0);
    expect(late.length).toBeGreaterThanOrEqual(40);
    expect([...new Set(late.map(({ message }) => message))]).toEqual(['device_unknown']);
  });

  test('is never left alive by a rotation that races a revocation', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { device_id } = await enroll(`Contested ${round}`);
      const answers = await Promise.all([
        manager.rpc('rotate_device_key', { device_id }),
        manager.rpc('revoke_device', { device_id, reason: 'Stolen' }),
        manager.rpc('rotate_device_key', { device_id }),
      ]);
      expect(answers[1].error).toBeNull();
      expect(['device_revoked', undefined]).toContain(refusals(answers)[0]);
      const alive = await stack.sql(`select from private.device_keys where device_id = $1 and (revoked_at is null or revoked_at > now())`, [device_id]);
      expect(alive).toEqual([]);
    }
  });
});

describe('at once', () => {
  const someone = async (full_name: string): Promise<string> => {
    const { data } = await manager.from('guards').insert({ community_id: home, full_name }).select('id').single().throwOnError();
    return data!.id as string;
  };
  const plan = async (name: string, starts_at: string, ends_at: string): Promise<string> => {
    const { data } = await manager.rpc('plan_shift', { booth_id: booth, name, starts_at, ends_at }).throwOnError();
    return data as string;
  };
  const busyTwice = (guard_id: string) =>
    stack.sql(
      `select from public.shift_assignments a join public.shift_assignments b on b.guard_id = a.guard_id and b.id > a.id and tstzrange(a.starts_at, a.ends_at) && tstzrange(b.starts_at, b.ends_at)
       where a.guard_id = $1 and a.deleted_at is null and b.deleted_at is null`,
      [guard_id],
    );

  test('one guard is assigned to one of several shifts that overlap', async () => {
    const guard_id = await someone('Wanted by many');
    const shifts = await Promise.all(Array.from({ length: 8 }, (_, hour) => plan(`Overlap ${hour}`, `2031-01-01T0${hour}:00:00Z`, `2031-01-01T1${hour}:00:00Z`)));
    const answers = await Promise.all(shifts.map((shift_id) => manager.rpc('assign_guard', { shift_id, guard_id })));
    expect(done(answers)).toBe(1);
    expect(refusals(answers)).toEqual(['guard_busy']);
    expect(await busyTwice(guard_id)).toEqual([]);
  });

  test('assigning one guard to one shift many times makes one assignment', async () => {
    const guard_id = await someone('Assigned again');
    const shift_id = await plan('Once', '2031-02-01T08:00:00Z', '2031-02-01T16:00:00Z');
    const answers = await Promise.all(Array.from({ length: 8 }, () => manager.rpc('assign_guard', { shift_id, guard_id }).throwOnError()));
    expect(new Set(answers.map(({ data }) => data as string)).size).toBe(1);
  });

  test('a shift that moves and a guard who is assigned never meet on two shifts', async () => {
    for (let round = 1; round <= 5; round += 1) {
      const guard_id = await someone(`Mover ${round}`);
      const day = `2031-03-0${round}`;
      const moving = await plan('Moving', `${day}T00:00:00Z`, `${day}T06:00:00Z`);
      const staying = await plan('Staying', `${day}T10:00:00Z`, `${day}T16:00:00Z`);
      await manager.rpc('assign_guard', { shift_id: moving, guard_id }).throwOnError();
      const answers = await Promise.all([
        manager.rpc('move_shift', { shift_id: moving, starts_at: `${day}T12:00:00Z`, ends_at: `${day}T18:00:00Z` }),
        manager.rpc('assign_guard', { shift_id: staying, guard_id }),
      ]);
      expect(done(answers)).toBe(1);
      expect(refusals(answers)).toEqual(['guard_busy']);
      expect(await busyTwice(guard_id)).toEqual([]);
    }
  });

  test('two shifts that swap their times with the same guards deadlock nobody', async () => {
    const guards = [await someone('Swapped one'), await someone('Swapped two')];
    const rota = { booth_id: booth, guard_ids: guards };
    const early = (await manager.rpc('plan_shift', { ...rota, name: 'Early', starts_at: '2031-04-01T00:00:00Z', ends_at: '2031-04-01T06:00:00Z' }).throwOnError()).data as string;
    const late = (await manager.rpc('plan_shift', { ...rota, name: 'Late', starts_at: '2031-04-01T12:00:00Z', ends_at: '2031-04-01T18:00:00Z', guard_ids: [...guards].reverse() }).throwOnError())
      .data as string;
    const answers = await Promise.all(
      Array.from({ length: 6 }, (_, index) =>
        manager.rpc('move_shift', index % 2 ? { shift_id: early, starts_at: '2031-04-01T07:00:00Z', ends_at: '2031-04-01T11:00:00Z' } : { shift_id: late, starts_at: '2031-04-01T08:00:00Z', ends_at: '2031-04-01T10:00:00Z' }),
      ),
    );
    expect(refusals(answers)).toEqual(['guard_busy']);
    expect(await Promise.all(guards.map(busyTwice))).toEqual([[], []]);
  });

  test('a rota that is planned by several is planned once', async () => {
    const rota = { booth_id: booth, name: 'Rota', first_on: '2031-05-01', last_on: '2031-05-30', starts_at: '20:00', ends_at: '06:00' };
    const answers = await Promise.all(Array.from({ length: 4 }, () => manager.rpc('plan_shifts', rota)));
    expect(refusals(answers)).toEqual([]);
    expect(answers.reduce((sum, { data }) => sum + (data as number), 0)).toBe(30);
    expect(await stack.sql(`select count(*)::integer as count from public.shifts where name = 'Rota'`)).toEqual([{ count: 30 }]);
  });

  test('one card is handed to one of many', async () => {
    const residents = await stack.sql<{ id: string }>(`select id from public.residents where community_id = $1 order by full_name limit 6`, [home]);
    const answers = await Promise.all(residents.map(({ id }, index) => manager.rpc('issue_access_card', { community_id: home, number: index % 2 ? 'AA:BB:CC' : 'aabbcc', resident_id: id })));
    expect(done(answers)).toBe(1);
    expect(refusals(answers)).toEqual(['card_taken']);
  });

  test('a hold that many place for one reason is one hold', async () => {
    const [resident] = await stack.sql<{ id: string }>(`select id from public.residents where community_id = $1 limit 1`, [home]);
    const answers = await Promise.all(Array.from({ length: 8 }, () => manager.rpc('place_access_hold', { community_id: home, reason: 'under_investigation', resident_id: resident?.id }).throwOnError()));
    expect(new Set(answers.map(({ data }) => data as string)).size).toBe(1);
    const lifted = await Promise.all(Array.from({ length: 4 }, () => manager.rpc('lift_access_hold', { hold_id: answers[0]!.data as string }).throwOnError()));
    expect(lifted.filter(({ data }) => data === true)).toHaveLength(1);
  });
});

describe('who sees what', () => {
  test('a guard sees who is on duty, and a resident the booth to ring', async () => {
    const { data: onDuty } = await guard.rpc('booth_on_duty', { booth_id: booth }).throwOnError();
    expect((onDuty as { guard_name: string }[]).map(({ guard_name }) => guard_name)).toContain('Georgi Stoev');
    const { data: hidden } = await tenant.rpc('booth_on_duty', { booth_id: booth }).throwOnError();
    expect(hidden).toEqual([]);
    const { data: booths } = await tenant.from('booths').select('name, intercom_extension').throwOnError();
    expect(booths).toEqual([{ name: 'Портал', intercom_extension: '100' }]);
  });

  test('points and shifts embed their booth, assignments their guard', async () => {
    const { data: points } = await tenant.from('access_points').select('name, booth:booths!access_points_booth_fkey(name)').eq('name', 'Main gate').single().throwOnError();
    expect(points).toEqual({ name: 'Main gate', booth: { name: 'Портал' } });
    const { data: shifts } = await guard
      .from('shifts')
      .select('name, assignments:shift_assignments!shift_assignments_shift_fkey(guard:guards!shift_assignments_guard_fkey(full_name))')
      .eq('name', 'Night')
      .order('starts_at', { ascending: false })
      .limit(1)
      .single()
      .throwOnError();
    expect(shifts).toEqual({ name: 'Night', assignments: [{ guard: { full_name: 'Стефан Радев' } }] });
  });

  test('nobody writes past the functions', async () => {
    const attempts = await Promise.all([
      manager.from('access_points').update({ status: 'out_of_service' }).eq('id', gate),
      manager.from('access_devices').update({ status: 'revoked' }).eq('access_point_id', gate),
      manager.from('guards').update({ user_id: null }).eq('community_id', home),
      manager.from('shifts').update({ starts_at: '2031-01-01T00:00:00Z' }).eq('community_id', home),
      manager.from('access_cards').update({ number: '1' }).eq('community_id', home),
      manager.from('access_holds').update({ lifted_at: '2031-01-01T00:00:00Z' }).eq('community_id', home),
    ]);
    expect(attempts.map(({ error }) => error?.code)).toEqual(Array.from(attempts, () => '42501'));
  });
});
