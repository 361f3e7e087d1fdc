import { createHmac, createPublicKey, verify } from 'node:crypto';
import type { SupabaseClient } from '@supabase/supabase-js';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let community: string;
let gate: string;
let unit: string;
let manager: SupabaseClient;
let guard: SupabaseClient;
let tenant: SupabaseClient;
let owner: SupabaseClient;
let elsewhere: SupabaseClient;

beforeAll(async () => {
  stack = await startTestStack({ functions: true });
  const [point] = await stack.sql<{ id: string; community_id: string }>(`select id, community_id from public.access_points where name = 'Main gate'`);
  gate = point!.id;
  community = point!.community_id;
  const [home] = await stack.sql<{ unit_id: string }>(
    `select o.unit_id from public.occupancies o join public.residents r on r.id = o.resident_id where r.full_name = 'Elena Dimova' and o.role = 'tenant'`,
  );
  unit = home!.unit_id;
  // As many visitors as the tests below expect.
  await stack.sql(`select public.set_setting('general.invitations_per_unit', '1000', community_id => $1)`, [community]);
  [manager, guard, tenant, owner, elsewhere] = await Promise.all(
    ['manager', 'guard', 'tenant', 'owner', 'gerente'].map((name) => stack.client(`${name}@demo.example`)),
  ) as [SupabaseClient, SupabaseClient, SupabaseClient, SupabaseClient, SupabaseClient];
});
afterAll(() => stack.stop());

type Pass = { pass_id: string; pass: string; link: string; qr: { version: number; modules: number; svg: string; png: string } };
type Decision = { outcome: 'granted' | 'denied'; reason: string; log_id: string; subject_pass_id: string | null; is_repeated: boolean };
type Seed = { pass_id: string; kid: string; seed: string; step_seconds: number; ends_at: string; server_at: string };

let count = 0;
/** An invitation that lets one visitor in once. */
async function invite(more: object = {}): Promise<string> {
  const { data } = await tenant
    .rpc('invite_visitor', {
      unit_id: unit,
      kind: 'single',
      visitor_name: `Visitor ${(count += 1)}`,
      starts_at: new Date(Date.now() - 60_000).toISOString(),
      ends_at: new Date(Date.now() + 3_600_000).toISOString(),
      ...more,
    })
    .throwOnError();
  return data as unknown as string;
}

async function issue(invitation_id: string, more: object = {}, by = tenant): Promise<Pass> {
  const { data, error } = await by.functions.invoke<Pass>('issue-pass', { method: 'POST', body: { invitation_id, ...more } });
  if (error) throw new Error(await (error as { context: Response }).context.text());
  return data!;
}

/** Shows something at the gate, as its guard's telephone does. */
async function scan(pass: string, more: object = {}, by = guard): Promise<Decision> {
  const { data, error } = await by.functions.invoke<Decision>('verify-pass', { method: 'POST', body: { access_point_id: gate, pass, ...more } });
  if (error) throw new Error(await (error as { context: Response }).context.text());
  return data!;
}

const token = (link: string) => new URL(link).pathname.split('/').at(-1)!;

/** What a resident's app shows in a step. Written from the page on passes, with nothing of the database. */
function residentPass({ pass_id, kid, seed }: Seed, step: number): string {
  const payload = Buffer.alloc(20);
  payload.write(pass_id.replaceAll('-', ''), 'hex');
  payload.writeUInt32BE(step, 16);
  const signed = `r1.${kid}.${payload.toString('base64url')}`;
  return `${signed}.${createHmac('sha256', Buffer.from(seed, 'base64url')).update(signed).digest('base64url')}`;
}

describe('a visitor\'s pass', () => {
  test('is handed out by the host, shown through a link without an account, opens once, and says so afterwards', async () => {
    const invitation = await invite();
    const { pass, pass_id, link, qr } = await issue(invitation);
    expect(pass).toMatch(/^v1\.[a-z2-7]{8}\.[\w-]{34}\.[\w-]{43}$/);
    expect([qr.version, qr.modules]).toEqual([6, 41]);

    const page = await fetch(link, { headers: { accept: 'text/html', 'accept-language': 'en' } });
    expect([page.status, page.headers.get('cache-control')]).toEqual([200, 'no-store']);
    const text = await page.text();
    expect(text).toContain('Show this code at the gate.');
    expect(text).toContain('<svg ');
    const told = (await (await fetch(link, { headers: { accept: 'application/json' } })).json()) as { pass: string; state: string };
    expect(told).toMatchObject({ pass, state: 'valid' });
    expect(JSON.stringify(told)).not.toMatch(/Elena|Dimova|tenant/);

    const first = await scan(pass);
    expect(first).toMatchObject({ outcome: 'granted', subject_pass_id: pass_id, is_repeated: false });
    expect(await scan(pass)).toMatchObject({ outcome: 'denied', reason: 'already_used' });
    const after = await fetch(link, { headers: { accept: 'text/html', 'accept-language': 'en' } });
    expect(after.status).toBe(410);
    expect(await after.text()).toContain('This pass was used.');
    const { data } = await tenant.from('passes_overview').select('state, used_count').eq('pass_id', pass_id).single().throwOnError();
    expect(data).toEqual({ state: 'used', used_count: 1 });
  });

  test('is asked for again with the same nonce when the line broke, and is used once', async () => {
    const { pass } = await issue(await invite());
    const answers = await Promise.all(Array.from({ length: 4 }, () => scan(pass, { nonce: 'attempt-1' })));
    expect(new Set(answers.map(({ outcome, log_id }) => `${outcome} ${log_id}`)).size).toBe(1);
    expect(answers[0]!.outcome).toBe('granted');
    expect(await scan(pass, { nonce: 'attempt-2' })).toMatchObject({ outcome: 'denied', reason: 'already_used' });
  });

  test('opens one of eight gates at once', async () => {
    const { pass, pass_id } = await issue(await invite());
    const answers = await Promise.all(Array.from({ length: 8 }, () => scan(pass)));
    expect(answers.map(({ outcome, reason }) => `${outcome} ${reason}`).filter((answer) => answer.startsWith('granted'))).toHaveLength(1);
    expect(await stack.sql(`select used_count, uses_left from private.pass_uses where pass_id = $1`, [pass_id])).toEqual([{ used_count: 1, uses_left: 0 }]);
  });

  test('is scanned by a device with its key, and by nobody without one', async () => {
    const { data } = await manager.rpc('enroll_device', { access_point_id: gate, name: 'Scanner', kind: 'reader' }).single().throwOnError();
    const { device_id, device_key } = data as { device_id: string; device_key: string };
    const { pass } = await issue(await invite());
    const call = (headers: Record<string, string>) =>
      fetch(`${stack.url}/functions/v1/verify-pass`, { method: 'POST', headers, body: JSON.stringify({ access_point_id: gate, pass }) });
    const stranger = await call({ apikey: stack.keys.publishable, 'x-device-key': `${device_key.slice(0, -1)}_` });
    expect([stranger.status, ((await stranger.json()) as { message: string }).message]).toEqual([401, 'device_unknown']);
    const answer = await call({ 'x-device-key': device_key });
    expect([answer.status, ((await answer.json()) as Decision).outcome]).toEqual([200, 'granted']);
    // With the project's older key, which is a JWT and names no user.
    const legacy = await call({ authorization: `Bearer ${stack.keys.anonJwt}`, 'x-device-key': device_key });
    expect([legacy.status, ((await legacy.json()) as Decision).reason]).toEqual([200, 'already_used']);
    await manager.rpc('revoke_device', { device_id, reason: 'Stolen' }).throwOnError();
    const revoked = await call({ 'x-device-key': device_key });
    expect([revoked.status, ((await revoked.json()) as { message: string }).message]).toEqual([401, 'device_unknown']);
  });

  test('that is no pass is denied, logged and answered, whatever was in the picture', async () => {
    for (const text of ['https://example.org', '👋', 'v1...', 'A'.repeat(10_240), "' or 1=1 --"]) {
      const { outcome, reason, log_id } = await scan(text);
      expect([outcome, reason]).toEqual(['denied', 'malformed_pass']);
      expect(log_id).toBeTruthy();
    }
  });

  test('is revoked by its host while somebody shows it at the gate: either it opened before, or not at all', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { pass, pass_id } = await issue(await invite());
      const [{ error }, ...answers] = await Promise.all([tenant.rpc('revoke_pass', { pass_id, reason: 'Changed my mind' }), ...Array.from({ length: 3 }, () => scan(pass))]);
      expect(error).toBeNull();
      const granted = answers.filter(({ outcome }) => outcome === 'granted').length;
      expect(granted).toBeLessThanOrEqual(1);
      expect(await stack.sql(`select used_count::int from private.pass_uses where pass_id = $1`, [pass_id])).toEqual([{ used_count: granted }]);
      expect(await scan(pass)).toMatchObject({ outcome: 'denied', reason: 'revoked' });
    }
  });

  test('is issued again while the old one is scanned: nobody waits for the other forever', async () => {
    const invitation = await invite({ kind: 'vehicle', plate: 'CB 1208 BH', max_entries: 1000 });
    let current = await issue(invitation);
    for (let round = 0; round < 6; round += 1) {
      const [next, ...answers] = await Promise.all([issue(invitation), ...Array.from({ length: 4 }, () => scan(current.pass))]);
      // Denials have reasons of their own; what counts is that everybody was answered.
      expect(answers.filter(({ outcome, reason }) => outcome === 'denied' && reason !== 'revoked')).toEqual([]);
      current = next;
    }
    expect(await scan(current.pass)).toMatchObject({ outcome: 'granted' });
  });

  test('is one per invitation, however many are asked for at once', async () => {
    const invitation = await invite();
    const passes = await Promise.all(Array.from({ length: 5 }, () => issue(invitation)));
    const live = await stack.sql<{ id: string }>(`select id from public.passes where invitation_id = $1 and revoked_at is null`, [invitation]);
    expect(live).toHaveLength(1);
    for (const { pass, pass_id, link } of passes.filter(({ pass_id }) => pass_id !== live[0]!.id)) {
      expect(pass_id).not.toBe(live[0]!.id);
      expect(await scan(pass)).toMatchObject({ outcome: 'denied', reason: 'revoked' });
      expect((await fetch(link)).status).toBe(410);
    }
  });

  test('is nobody else\'s to hand out, see or revoke', async () => {
    const invitation = await invite();
    const { pass_id, link } = await issue(invitation);
    for (const [client, refusal] of [[guard, 'permission_denied'], [owner, 'invitation_not_found'], [elsewhere, 'invitation_not_found']] as const) {
      await expect(issue(invitation, {}, client)).rejects.toThrow(refusal);
      expect((await client.rpc('revoke_pass', { pass_id, reason: 'Attack' })).error?.message).toBe('pass_not_found');
      expect((await client.from('passes').select('id').eq('id', pass_id)).data).toEqual([]);
      expect((await client.from('passes_overview').select('pass_id').eq('pass_id', pass_id)).data).toEqual([]);
    }
    for (const name of ['add_pass_key', 'pass_signing_key', 'seal_pass']) {
      const args = { add_pass_key: { invitation_id: invitation, public_key: 'A', secret: 'A' }, pass_signing_key: { pass_id }, seal_pass: { pass_id, pass: 'A', link_token: 'A' } }[name];
      expect((await manager.rpc(name, args)).error?.code).toBe('42501');
    }
    expect((await fetch(link)).status).toBe(200);
    // The same answer as an RPC, for an app that draws its own page.
    const { data } = await (await stack.client()).rpc('open_visitor_pass', { token: token(link) }).single().throwOnError();
    expect((data as { state: string }).state).toBe('valid');
  });
});

describe('a resident\'s own pass', () => {
  test('is made by the resident\'s app, new every 30 seconds, and each opens once', async () => {
    const { data } = await tenant.rpc('resident_pass_seed', { community_id: community, label: 'My phone' }).single().throwOnError();
    const seed = data as Seed;
    const step = Math.floor(new Date(seed.server_at).getTime() / 1000 / seed.step_seconds);
    expect(await scan(residentPass(seed, step - 3))).toMatchObject({ outcome: 'denied', reason: 'stale' });
    expect(await scan(residentPass(seed, step + 9))).toMatchObject({ outcome: 'denied', reason: 'stale' });
    expect(await scan(residentPass({ ...seed, seed: Buffer.alloc(32).toString('base64url') }, step))).toMatchObject({ outcome: 'denied', reason: 'bad_signature' });
    const shown = await Promise.all(Array.from({ length: 4 }, () => scan(residentPass(seed, step))));
    expect(shown.filter(({ outcome }) => outcome === 'granted'), JSON.stringify(shown)).toHaveLength(1);
    expect(shown.filter(({ reason }) => reason === 'already_used')).toHaveLength(3);

    const { data: other } = await tenant.rpc('resident_pass_seed', { community_id: community }).single().throwOnError();
    expect(await scan(residentPass(seed, step + 1))).toMatchObject({ outcome: 'denied', reason: 'revoked' });
    expect(await scan(residentPass(other as Seed, step + 1))).toMatchObject({ outcome: 'granted' });
  });

  test('is one per resident, however many telephones ask at once', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => owner.rpc('resident_pass_seed', { community_id: community })));
    expect(answers.map(({ error }) => error)).toEqual(Array.from(answers, () => null));
    expect(await stack.sql(`select from public.passes p join public.residents r on r.id = p.resident_id where r.full_name = 'Иван Петров' and p.revoked_at is null`)).toHaveLength(1);
  });
});

describe('keys', () => {
  test('are rotated while passes are issued and verified, and no pass in a pocket breaks', async () => {
    const pockets: string[] = [];
    let isOver = false;
    const client = async (work: (client: pg.Client) => Promise<void>) => {
      const session = new pg.Client({ connectionString: stack.databaseUrl });
      await session.connect();
      try {
        while (!isOver) await work(session);
      } finally {
        await session.end();
      }
    };
    const [host] = await stack.sql<{ id: string }>(
      `insert into public.visitor_invitations (community_id, unit_id, kind, visitor_name, starts_at, ends_at, max_entries)
       select $1, $2, 'single', 'Pocket ' || n, now() - interval '1 hour', now() + interval '1 day', 1 from generate_series(1, 400) n returning id`,
      [community, unit],
    );
    expect(host).toBeDefined();
    const invitations = (await stack.sql<{ id: string }>(`select id from public.visitor_invitations where visitor_name like 'Pocket %'`)).map(({ id }) => id);
    const wrong: unknown[] = [];
    let verified = 0;
    let rotations = 0;
    const issuing = Array.from({ length: 2 }, () =>
      client(async (session) => {
        const invitation = invitations.pop();
        if (invitation === undefined) {
          // All are issued; it goes on until the others have done enough beside it.
          isOver = rotations > 3 && verified > 100;
          return void (await session.query('select 1'));
        }
        const { rows } = await session.query<{ pass: string }>('select pass from public.issue_pass($1)', [invitation]);
        pockets.push(rows[0]!.pass);
      }),
    );
    const verifying = Array.from({ length: 2 }, () =>
      client(async (session) => {
        if (pockets.length === 0) return void (await session.query('select 1'));
        const { rows } = await session.query('select reason, $2::text as pass from app.read_pass($1, $2, clock_timestamp())', [community, pockets[Math.floor(Math.random() * pockets.length)]]);
        verified += 1;
        if (rows[0]!.reason !== null) wrong.push(rows[0]);
      }),
    );
    const rotating = client(async (session) => {
      await session.query('select public.rotate_pass_key($1)', [community]);
      rotations += 1;
    });
    await Promise.all([...issuing, ...verifying, rotating]);
    expect(wrong).toEqual([]);
    expect(pockets).toHaveLength(400);
    const checked = await stack.sql<{ reason: string | null }>(`select distinct r.reason from unnest($2::text[]) p (pass) cross join lateral app.read_pass($1, p.pass, now()) r`, [community, pockets]);
    expect(checked).toEqual([{ reason: null }]);
    // A pass was signed by the key that signed when it was stored, and one signs now.
    expect(await stack.sql(`select from private.pass_keys where community_id = $1 and algorithm = 'hs256' and retired_at is null`, [community])).toHaveLength(1);
    expect(await stack.sql(
      `select from public.passes p join private.pass_keys k on k.kid = p.kid where p.community_id = $1 and k.retired_at < p.created_at`, [community])).toEqual([]);
  });

  test('that leak are revoked with all that they signed, at once', async () => {
    const { pass } = await issue(await invite());
    const { data } = await manager.rpc('revoke_pass_key', { kid: pass.split('.')[1], reason: 'The backup was stolen' }).throwOnError();
    expect(data).toBeGreaterThan(0);
    expect(await scan(pass)).toMatchObject({ outcome: 'denied', reason: 'key_revoked' });
    const next = await issue(await invite());
    expect(next.pass.split('.')[1]).not.toBe(pass.split('.')[1]);
    expect(await scan(next.pass)).toMatchObject({ outcome: 'granted' });
    const { data: keys } = await manager.rpc('pass_keys', { community_id: community }).throwOnError();
    expect((keys as { kid: string; revoked_reason: string | null }[]).find(({ kid }) => kid === pass.split('.')[1])?.revoked_reason).toBe('The backup was stolen');
    expect((await elsewhere.rpc('revoke_pass_key', { kid: next.pass.split('.')[1], reason: 'Attack' })).error?.message).toBe('pass_key_not_found');
  });
});

describe('a pass for a gate without a line', () => {
  test('is verified with the public key alone, and cannot be forged with it', async () => {
    // Two first ones at once: one key.
    const [one, two] = await Promise.all([issue(await invite(), { is_offline: true }), issue(await invite(), { is_offline: true })]);
    expect(one.pass.split('.')[1]).toBe(two.pass.split('.')[1]);
    expect([one.pass.length, one.qr.version, one.qr.modules]).toEqual([133, 8, 49]);

    const { data } = await manager.rpc('enroll_device', { access_point_id: gate, name: 'Offline gate', kind: 'controller' }).single().throwOnError();
    const device = stack.device((data as { device_key: string }).device_key);
    const { data: keys } = await device.rpc('pass_public_keys').throwOnError();
    const known = new Map((keys as { kid: string; public_key: string }[]).map(({ kid, public_key }) => [kid, public_key]));

    // All that the gate does, without the database.
    const isGood = (pass: string): boolean => {
      const [version, kid, payload, signature] = pass.split('.');
      const x = known.get(kid ?? '');
      if (version !== 'v2' || x === undefined || payload === undefined || signature === undefined) return false;
      const key = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x } });
      if (!verify(null, Buffer.from(`${version}.${kid}.${payload}`), key, Buffer.from(signature, 'base64url'))) return false;
      const [from, until] = [17, 21].map((at) => Buffer.from(payload, 'base64url').readUInt32BE(at) * 1000);
      return from! <= Date.now() && Date.now() < until!;
    };
    expect([isGood(one.pass), isGood(two.pass)]).toEqual([true, true]);
    const swapped = [...one.pass.split('.').slice(0, 3), two.pass.split('.')[3]].join('.');
    expect(isGood(swapped)).toBe(false);
    expect(await scan(swapped)).toMatchObject({ outcome: 'denied', reason: 'bad_signature' });

    // With a line it is a pass like any other.
    expect((await (await fetch(one.link, { headers: { accept: 'application/json' } })).json()) as object).toMatchObject({ pass: one.pass, state: 'valid' });
    expect(await scan(one.pass)).toMatchObject({ outcome: 'granted' });
    expect(await scan(one.pass)).toMatchObject({ outcome: 'denied', reason: 'already_used' });
    await tenant.rpc('revoke_pass', { pass_id: two.pass_id, reason: 'Lost' }).throwOnError();
    const { data: revoked } = await device.rpc('revoked_offline_passes').throwOnError();
    expect((revoked as { pass_id: string }[]).map(({ pass_id }) => pass_id)).toContain(two.pass_id);
    expect((await (await stack.client()).rpc('pass_public_keys')).error?.message).toBe('device_unknown');
    expect((await guard.rpc('pass_public_keys', { community_id: community })).error?.message).toBe('permission_denied');
  });
});
