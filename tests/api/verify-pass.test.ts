import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

// What a device at a gate asks verify-pass, the function asks the database itself, in a session of its own (docs/passes.md): here over HTTP.

type Decision = Record<string, unknown> & { outcome: 'granted' | 'denied'; reason: string; log_id: string; logged_at: string; is_repeated: boolean };
type Device = { device_id: string; device_key: string };

let stack: TestStack;
let manager: SupabaseClient;
let gate: string;
let community: string;
let reader: Device;

beforeAll(async () => {
  stack = await startTestStack({ functions: true });
  const [point] = await stack.sql<{ id: string; community_id: string }>(`select id, community_id from public.access_points where name = 'Main gate'`);
  gate = point!.id;
  community = point!.community_id;
  manager = await stack.client('manager@demo.example');
  reader = await enroll('Reader');
  await opened();
});
afterAll(() => stack.stop());

async function enroll(name: string, access_point_id = gate, kind = 'reader'): Promise<Device> {
  const { data } = await manager.rpc('enroll_device', { access_point_id, name, kind }).single().throwOnError();
  return data as Device;
}

/** Passes of visitors who may come in once, by plates that resemble none of the demo's blacklist: a device lets nobody in whom a guard had to look at. */
async function passes(count: number): Promise<string[]> {
  const issued = await stack.sql<{ pass: string }>(
    `with i as (
       insert into public.visitor_invitations (community_id, kind, max_entries, plate, starts_at, ends_at)
       select $1, 'vehicle', 1, 'CB ' || 1000 + n || ' PK', now() - interval '1 hour', now() + interval '1 day' from generate_series(1, $2) n returning id)
     select p.pass from i cross join lateral public.issue_pass(i.id) p`,
    [community, count],
  );
  return issued.map(({ pass }) => pass);
}

type Answer = { status: number; text: string; body: Decision & { message?: string; code?: string; details?: string | null } };

async function scan(question: object, headers: Record<string, string> = { 'x-device-key': reader.device_key }): Promise<Answer> {
  const response = await fetch(`${stack.url}/functions/v1/verify-pass`, { method: 'POST', headers, body: JSON.stringify({ access_point_id: gate, ...question }) });
  const text = await response.text();
  return { status: response.status, text, body: JSON.parse(text) as Answer['body'] };
}

/** The function's sessions with the database, and when each was last asked. */
const sessions = () => stack.sql<{ pid: number; asked: Date; state: string }>(`select pid, query_start as asked, state from pg_stat_activity where datname = current_database() and application_name = 'vicinia functions'`);

/** Waits for the session that the function opens once it is asked more than now and then. */
async function opened(): Promise<void> {
  await vi.waitFor(async () => {
    await scan({ pass: 'x' });
    const asked = await sessions();
    await scan({ pass: 'x' });
    const [after] = await sessions();
    expect(after?.asked.getTime()).toBeGreaterThan(asked[0]?.asked.getTime() ?? Infinity);
  }, { timeout: 30_000 });
}

/** What is scanned by `work` is asked of the database itself. */
async function itself<T>(work: () => Promise<T>): Promise<T> {
  if ((await sessions()).length === 0) await opened();
  const [before] = await sessions();
  const result = await work();
  const [after] = await sessions();
  expect(after!.pid).toBe(before!.pid);
  expect(after!.asked.getTime()).toBeGreaterThan(before!.asked.getTime());
  return result;
}

describe('a device is answered', () => {
  test('with the row that PostgREST would have written', async () => {
    const [one, other] = await passes(2);
    const answer = await itself(() => scan({ pass: one, direction: 'in' }));
    expect([answer.status, answer.body.outcome, answer.body.reason]).toEqual([200, 'granted', 'admitted']);
    const response = await fetch(`${stack.url}/rest/v1/rpc/decide_access`, {
      method: 'POST',
      headers: { apikey: stack.keys.publishable, 'x-device-key': reader.device_key, 'content-type': 'application/json', accept: 'application/vnd.pgrst.object+json' },
      body: JSON.stringify({ access_point_id: gate, method: 'qr', credential: other, direction: 'in' }),
    });
    // Byte for byte, but for the line in the log and its moment.
    const alike = (text: string) => text.replace(/"[0-9a-f-]{36}"/g, 'id').replace(/"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?[+-]\d\d:\d\d"/g, 'moment');
    expect(alike(answer.text)).toBe(alike(await response.text()));
    expect(answer.text).toContain('"logged_at":');
  });

  test('as what it is: the line and the audit name it, and from where it asked', async () => {
    const [pass] = await passes(1);
    const { body } = await itself(() => scan({ pass }, { 'x-device-key': reader.device_key, 'user-agent': 'Gate 1.2' }));
    expect(await stack.sql(`select device_id, caller_id, outcome::text from audit.access_log where id = $1 and logged_at = $2`, [body.log_id, body.logged_at])).toEqual([
      { device_id: reader.device_id, caller_id: null, outcome: 'granted' },
    ]);
    const trace = await stack.sql(
      `select distinct l.actor_label, l.actor_id, o.address, o.user_agent, o.method, o.path
       from audit.log l join audit.origins o on o.id = l.origin_id
       where l.table_id = 'public.visits'::regclass and l.operation = 'insert' and l.row_id = (select a.visit_id from audit.access_log a where a.id = $1 and a.logged_at = $2)`,
      [body.log_id, body.logged_at],
    );
    expect(trace).toEqual([
      { actor_label: `device:${reader.device_id}`, actor_id: null, address: '127.0.0.1', user_agent: 'Gate 1.2', method: 'POST', path: '/rpc/decide_access' },
    ]);
  });

  test('the same when it asks again with the same number, and a denial when it has a new one', async () => {
    const [pass] = await passes(1);
    const first = await itself(() => scan({ pass, nonce: 'attempt-1' }));
    const again = await itself(() => scan({ pass, nonce: 'attempt-1' }));
    expect([first.body.outcome, first.body.is_repeated, again.body.log_id, again.body.is_repeated]).toEqual(['granted', false, first.body.log_id, true]);
    const anew = await itself(() => scan({ pass, nonce: 'attempt-2' }));
    expect([anew.status, anew.body.outcome, anew.body.reason]).toEqual([200, 'denied', 'already_used']);
    const other = await itself(() => scan({ pass: 'another question', nonce: 'attempt-1' }));
    expect([other.body.outcome, other.body.reason]).toEqual(['denied', 'nonce_reused']);
    expect(await stack.sql(`select count(*)::integer as count from audit.access_log where nonce = 'attempt-1'`)).toEqual([{ count: 2 }]);
  });

  test('a denial for a text that is no pass', async () => {
    for (const text of ['https://example.org', '👋', 'A'.repeat(10_240), "' or 1=1 --", '$1', '\\']) {
      const { status, body } = await itself(() => scan({ pass: text }));
      expect([status, body.outcome, body.reason]).toEqual([200, 'denied', 'malformed_pass']);
    }
  });
});

describe('a device is refused', () => {
  const lines = async () => (await stack.sql<{ count: number }>(`select count(*)::integer as count from audit.access_log`))[0]!.count;

  test('in the words of PostgREST, and leaves no line', async () => {
    const [elsewhere] = await stack.sql<{ id: string }>(`select p.id from public.access_points p where p.community_id <> $1 limit 1`, [community]);
    const [sibling] = await stack.sql<{ id: string }>(`select p.id from public.access_points p where p.community_id = $1 and p.id <> $2 limit 1`, [community, gate]);
    const forged = `${reader.device_key.slice(0, -1)}${reader.device_key.endsWith('A') ? 'B' : 'A'}`;
    const before = await lines();
    const cases: [string, object, string?][] = [
      ['a forged key', {}, forged],
      ['a key that was never one', {}, `vd_${'0'.repeat(32)}_${'A'.repeat(43)}`],
      ['a point that is none', { access_point_id: '01990000-0000-7000-8000-000000000001' }],
      ['a point next to it', { access_point_id: sibling!.id }],
      ...(elsewhere ? [['a point of another community', { access_point_id: elsewhere.id }] satisfies [string, object]] : []),
      ['a number that is no text of ours', { nonce: 'é' }],
      ['a file that is none of its', { photo_file_id: '01990000-0000-7000-8000-000000000001' }],
    ];
    for (const [what, more, key = reader.device_key] of cases) {
      const { status, body } = await itself(() => scan({ pass: 'x', ...more }, { 'x-device-key': key }));
      const rpc = await stack.device(key).rpc('decide_access', { access_point_id: gate, method: 'qr', credential: 'x', ...more });
      expect([what, status, body.code, body.message, body.details]).toEqual([what, rpc.status, rpc.error?.code, rpc.error?.message, rpc.error?.details]);
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(500);
    }
    expect(await lines()).toBe(before);
  });

  test('once its key is revoked, or its question is none', async () => {
    const stolen = await enroll('Stolen');
    expect((await itself(() => scan({ pass: 'x' }, { 'x-device-key': stolen.device_key }))).status).toBe(200);
    await manager.rpc('revoke_device', { device_id: stolen.device_id, reason: 'Stolen' }).throwOnError();
    const revoked = await itself(() => scan({ pass: 'x' }, { 'x-device-key': stolen.device_key }));
    expect([revoked.status, revoked.body.message]).toEqual([401, 'device_unknown']);
    const none = await scan({ pass: 'x', outcome: 'granted' });
    expect([none.status, none.body.message]).toEqual([400, 'invalid_body']);
  });

  test('and leaves nothing of itself to whoever asks next in the same session', async () => {
    const [one, other] = await passes(2);
    expect((await itself(() => scan({ pass: one }))).body.outcome).toBe('granted');
    const stranger = await itself(() => scan({ pass: other }, { 'x-device-key': 'vd_' }));
    expect([stranger.status, stranger.body.message]).toEqual([401, 'device_unknown']);
    const second = await enroll('Second');
    const { body } = await itself(() => scan({ pass: other }, { 'x-device-key': second.device_key }));
    expect(await stack.sql(`select device_id from audit.access_log where id = $1`, [body.log_id])).toEqual([{ device_id: second.device_id }]);
  });
});

describe('the session of the function', () => {
  test('is one, however many ask at once', async () => {
    const shown = await passes(20);
    const answers = await itself(() => Promise.all(shown.map((pass) => scan({ pass }))));
    expect(answers.map(({ status, body }) => `${status} ${body.outcome}`)).toEqual(Array(20).fill('200 granted'));
    expect(new Set(answers.map(({ body }) => body.log_id)).size).toBe(20);
    expect(await sessions()).toHaveLength(1);
  });

  test('lets one pass open once, whichever way each of many asks takes', async () => {
    const [pass] = await passes(1);
    const answers = await Promise.all(Array.from({ length: 8 }, () => scan({ pass })));
    expect(answers.filter(({ body }) => body.outcome === 'granted')).toHaveLength(1);
  });

  test('is not for a user, whom PostgREST has to know', async () => {
    const guard = await stack.client('guard@demo.example');
    const [before] = await sessions();
    const { data } = await guard.functions.invoke<Decision>('verify-pass', { method: 'POST', body: { access_point_id: gate, pass: 'x' } });
    expect(data).toMatchObject({ outcome: 'denied', reason: 'malformed_pass' });
    expect(await sessions()).toMatchObject([{ pid: before!.pid, asked: before!.asked }]);
  });

  test('is opened again when the database was restarted between two scans', async () => {
    const [pass] = await passes(1);
    const [before] = await sessions();
    await stack.adminSql(`select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and (application_name = 'vicinia functions' or usename = 'authenticator')`);
    const first = await vi.waitFor(async () => {
      const answer = await scan({ pass, nonce: 'restarted' });
      expect(answer.status).toBe(200);
      return answer.body;
    }, { timeout: 30_000 });
    expect(first.outcome).toBe('granted');
    await opened();
    expect((await sessions())[0]!.pid).not.toBe(before!.pid);
    expect((await itself(() => scan({ pass, nonce: 'restarted' }))).body).toMatchObject({ log_id: first.log_id, is_repeated: true });
  });
});
