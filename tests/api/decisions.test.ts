import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { projectRoot } from '../../scripts/stack/paths.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let home: string;
let unit: string;
let manager: SupabaseClient;
let guard: SupabaseClient;
let tenant: SupabaseClient;
let owner: SupabaseClient;
let family: SupabaseClient;
let elsewhere: SupabaseClient;
let gates: string[];
let barriers: string[];

beforeAll(async () => {
  stack = await startTestStack();
  const [place] = await stack.sql<{ home: string; unit: string }>(
    `select c.id as home, u.id as unit from public.communities c join public.units u on u.community_id = c.id and u.number = '3' where c.slug = 'lipa-court'`,
  );
  home = place!.home;
  unit = place!.unit;
  [manager, guard, tenant, owner, family, elsewhere] = await Promise.all(
    ['manager', 'guard', 'tenant', 'owner', 'family', 'gerente'].map((name) => stack.client(`${name}@demo.example`)),
  ) as [SupabaseClient, SupabaseClient, SupabaseClient, SupabaseClient, SupabaseClient, SupabaseClient];
  const point = async (name: string, hasAntiPassback: boolean): Promise<string> => {
    const { data } = await manager.from('access_points').insert({ community_id: home, name, kind: 'gate', has_anti_passback: hasAntiPassback }).select('id').single().throwOnError();
    return (data as { id: string }).id;
  };
  gates = await Promise.all(Array.from({ length: 8 }, (_, n) => point(`Gate ${n}`, false)));
  barriers = await Promise.all(Array.from({ length: 2 }, (_, n) => point(`Barrier ${n}`, true)));
});
afterAll(() => stack.stop());

type Answer = { outcome: string; reason: string; log_id: string; subject_name: string | null; subject_unit: string | null; subject_visit_id: string | null; is_repeated: boolean };
const ask = (client: SupabaseClient, question: Record<string, unknown>) => client.rpc('decide_access', question).single<Answer>();
const decide = async (client: SupabaseClient, question: Record<string, unknown>): Promise<Answer> => {
  const { data } = await ask(client, question).throwOnError();
  return data as Answer;
};
const told = ({ outcome, reason }: Answer): string => `${outcome} ${reason}`;
const count = (answers: Answer[]): Record<string, number> => {
  const counted: Record<string, number> = {};
  for (const answer of answers) counted[told(answer)] = (counted[told(answer)] ?? 0) + 1;
  return counted;
};
const inHours = (hours: number): string => new Date(Date.now() + hours * 3_600_000).toISOString();
const invite = async (more: Record<string, unknown>): Promise<string> => {
  const { data } = await tenant.rpc('invite_visitor', { kind: 'single', unit_id: unit, visitor_name: 'Vera Visitor', ends_at: inHours(8), ...more }).throwOnError();
  return data as string;
};
const issue = async (invitationId: string): Promise<string> => {
  const { data } = await tenant.rpc('issue_pass', { invitation_id: invitationId }).single<{ pass: string }>().throwOnError();
  return data!.pass;
};
const reader = async (accessPointId: string): Promise<SupabaseClient> => {
  const { data } = await manager.rpc('enroll_device', { access_point_id: accessPointId, name: `Reader ${Math.random()}`, kind: 'reader' }).single<{ device_key: string }>().throwOnError();
  return stack.device(data!.device_key);
};
const lines = async (where: string, values: unknown[]): Promise<number> =>
  (await stack.sql<{ n: number }>(`select count(*)::int as n from audit.access_log where ${where}`, values))[0]!.n;

describe('at once', () => {
  test('one single-use pass on eight gates opens one', async () => {
    const invitationId = await invite({});
    const pass = await issue(invitationId);
    const readers = await Promise.all(gates.map(reader));
    const answers = await Promise.all(readers.map((device, n) => decide(device, { access_point_id: gates[n], method: 'qr', credential: pass, nonce: `n${n}` })));
    expect(count(answers)).toEqual({ 'granted admitted': 1, 'denied already_used': 7 });
    expect(await lines('invitation_id = $1', [invitationId])).toBe(8);
    expect(await stack.sql('select status from public.visits where invitation_id = $1', [invitationId])).toEqual([{ status: 'checked_in' }]);
    const again = await decide(guard, { access_point_id: gates[0], method: 'qr', credential: pass });
    expect(told(again)).toBe('denied already_used');
  });

  test('one nonce from many sessions is one answer and one line', async () => {
    const invitationId = await invite({});
    const pass = await issue(invitationId);
    const question = { access_point_id: gates[0], method: 'qr', credential: pass, nonce: 'the-same' };
    const device = await reader(gates[0]!);
    const answers = await Promise.all(Array.from({ length: 10 }, () => decide(device, question)));
    expect(count(answers)).toEqual({ 'granted admitted': 10 });
    expect(new Set(answers.map(({ log_id }) => log_id)).size).toBe(1);
    expect(answers.filter(({ is_repeated }) => !is_repeated).length).toBe(1);
    expect(await lines('invitation_id = $1', [invitationId])).toBe(1);

    // The same number for another pass, at once with the first or later, is another question and is not answered with it.
    const other = await issue(await invite({}));
    const crossed = await Promise.all([...Array.from({ length: 4 }, () => decide(device, question)), ...Array.from({ length: 4 }, () => decide(device, { ...question, credential: other }))]);
    expect(count(crossed)).toEqual({ 'granted admitted': 4, 'denied nonce_reused': 4 });
    const fresh = await Promise.all([pass, other].flatMap((credential) => Array.from({ length: 3 }, () => decide(device, { ...question, credential, nonce: 'fresh' }))));
    expect(fresh.filter(({ outcome }) => outcome === 'granted').every(({ is_repeated }, _n, granted) => granted.length === 3 || is_repeated || granted.length === 0)).toBe(true);
    expect(fresh.some(({ reason }) => reason === 'nonce_reused')).toBe(true);
  });

  test('nobody comes in twice by two gates with anti-passback', async () => {
    const { data: card } = await manager.rpc('issue_access_card', { community_id: home, number: 'A-4711', resident_id: await residentOf('tenant@demo.example') }).throwOnError();
    const readers = await Promise.all(barriers.map(reader));
    // She has been inside since the demo began, and so has her car.
    await manager.rpc('reset_presence', { community_id: home, subject_id: await residentOf('tenant@demo.example'), reason: 'A test begins' }).throwOnError();
    for (const round of [1, 2, 3]) {
      const answers = await Promise.all(Array.from({ length: 8 }, (_, n) => decide(readers[n % 2]!, { access_point_id: barriers[n % 2], method: 'card', credential: 'a4711', direction: 'in', nonce: `${round}.${n}` })));
      expect(count(answers)).toEqual({ 'granted admitted': 1, 'denied anti_passback': 7 });
      expect(told(await decide(readers[0]!, { access_point_id: barriers[0], method: 'card', credential: 'A-4711', direction: 'out' }))).toBe('granted left');
    }
    expect(await lines('card_id = $1', [card])).toBe(27);
  });

  test('the last place of an event is taken once, and no pass is used for a place that was not there', async () => {
    const invitationId = await invite({ kind: 'event', title: 'Party', guest_limit: 3, visitor_name: undefined });
    const pass = await issue(invitationId);
    const readers = await Promise.all(gates.map(reader));
    const answers = await Promise.all(Array.from({ length: 16 }, (_, n) => decide(readers[n % 8]!, { access_point_id: gates[n % 8], method: 'qr', credential: pass })));
    expect(count(answers)['granted admitted']).toBe(3);
    expect(answers.filter(({ outcome }) => outcome === 'denied').every(({ reason }) => ['invitation_full', 'already_used'].includes(reason))).toBe(true);
    expect(await stack.sql('select used_entries from private.invitation_uses where invitation_id = $1', [invitationId])).toEqual([{ used_entries: 3 }]);
    expect(await stack.sql(`select count(*)::int as inside from public.visits where invitation_id = $1 and status = 'checked_in'`, [invitationId])).toEqual([{ inside: 3 }]);
    expect(await stack.sql(`select u.used_count from private.pass_uses u join public.passes p on p.id = u.pass_id where p.invitation_id = $1`, [invitationId])).toEqual([{ used_count: 3 }]);
    expect(await lines('invitation_id = $1', [invitationId])).toBe(16);
  });

  test('many who come and go by the same few things wait for each other, and never in a circle', async () => {
    const invitations = await Promise.all([1, 2, 3].map(() => invite({ max_entries: 40 })));
    const passes = await Promise.all(invitations.map(issue));
    const readers = await Promise.all(barriers.map(reader));
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        ask(readers[n % 2]!, { access_point_id: barriers[n % 2], method: 'qr', credential: passes[(n * 7) % 3], direction: n % 3 === 0 ? 'out' : 'in', nonce: `storm-${n % 45}` }),
      ),
    );
    expect(answers.flatMap(({ error }) => (error ? [`${error.code} ${error.message}`] : []))).toEqual([]);
    for (const id of invitations) {
      const [row] = await stack.sql<{ entries: number; visits: number; inside: number; lines: number }>(
        `select (select used_entries from private.invitation_uses where invitation_id = $1) as entries,
           (select count(*)::int from public.visits where invitation_id = $1) as visits, (select count(*)::int from public.visits where invitation_id = $1 and status = 'checked_in') as inside,
           (select count(*)::int from audit.access_log where invitation_id = $1 and direction = 'in' and outcome = 'granted') as lines`,
        [id],
      );
      expect(row!.entries).toBe(row!.lines);
      expect(row!.inside).toBeLessThanOrEqual(1);
    }
  });
});

describe('who sees it', () => {
  test('a visitor\'s coming is seen by the management, the guard and the host, and by no neighbour', async () => {
    const pass = await issue(await invite({}));
    const answer = await decide(guard, { access_point_id: gates[1], method: 'qr', credential: pass, scanned_at: '2026-11-01T10:00:00Z', note: 'With a dog' });
    expect(answer).toMatchObject({ outcome: 'granted', subject_name: 'Vera Visitor' });
    expect(answer.subject_unit).toContain('3');
    for (const [client, seen] of [[manager, 1], [guard, 1], [tenant, 1], [owner, 0], [family, 0], [elsewhere, 0]] as const) {
      const { data } = await client.from('access_log').select('id, scanned_at, note').eq('id', answer.log_id).throwOnError();
      expect(data!.length).toBe(seen);
    }
    const { data: line } = await manager.from('access_log').select('scanned_at, logged_at').eq('id', answer.log_id).single().throwOnError();
    expect(new Date((line as { scanned_at: string }).scanned_at).toISOString()).toBe('2026-11-01T10:00:00.000Z');
    expect(Date.now() - Date.parse((line as { logged_at: string }).logged_at)).toBeLessThan(600_000);
    const { data: inside } = await tenant.from('people_inside').select('name, kind').throwOnError();
    expect((inside as { kind: string }[]).every(({ kind }) => kind === 'visitor')).toBe(true);
  });

  test('a resident lets themselves in, and is the only one beside the management who sees that', async () => {
    const answer = await decide(tenant, { access_point_id: gates[2], method: 'app' });
    expect(told(answer)).toBe('granted admitted');
    for (const [client, seen] of [[manager, 1], [tenant, 1], [guard, 0], [owner, 0]] as const) {
      const { data } = await client.from('access_log').select('id').eq('id', answer.log_id).throwOnError();
      expect(data!.length).toBe(seen);
    }
    for (const client of [elsewhere, stack.device('vd_nothing'), await stack.client()]) {
      const { data, error, status } = await ask(client, { access_point_id: gates[2], method: 'app' });
      expect([data, [401, 403].includes(status), error === null]).toEqual([null, true, false]);
    }
  });

  test('no line is changed or removed, by anybody, through the API', async () => {
    const [before] = await stack.sql<{ all: string }>('select md5(string_agg(l::text, \'|\' order by l.id)) as all from audit.access_log l');
    const line = { community_id: home, access_point_id: gates[0], method: 'qr', direction: 'in', outcome: 'granted', reason: 'admitted' };
    for (const client of [manager, guard, tenant]) {
      const attempts = await Promise.all([
        client.from('access_log').delete().not('id', 'is', null),
        client.from('access_log').update({ reason: 'left' }).not('id', 'is', null),
        client.from('access_log').insert(line),
      ]);
      expect(attempts.map(({ error }) => error?.code)).toEqual(['42501', '42501', '42501']);
    }
    const secret = { apikey: stack.keys.secret, 'content-type': 'application/json' };
    const url = `${stack.url}/rest/v1/access_log`;
    const answers = await Promise.all([
      fetch(`${url}?id=not.is.null`, { method: 'DELETE', headers: secret }),
      fetch(`${url}?id=not.is.null`, { method: 'PATCH', headers: secret, body: JSON.stringify({ reason: 'left' }) }),
      fetch(url, { method: 'POST', headers: secret, body: JSON.stringify(line) }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403]);
    expect(await stack.sql('select md5(string_agg(l::text, \'|\' order by l.id)) as all from audit.access_log l')).toEqual([before]);
  });
});

describe('bad input', () => {
  test('what is no question is refused with 400 and leaves no line; what is no pass is denied and leaves one', async () => {
    const before = await lines('community_id = $1', [home]);
    const gate = gates[3];
    const malformed = [
      { access_point_id: gate, method: 'qr' },
      { access_point_id: gate, method: 'guard' },
      { access_point_id: gate, method: 'qr', credential: 'x', direction: 'both' },
      { access_point_id: gate, method: 'qr', credential: 'x', nonce: ' ' },
      { access_point_id: gate, method: 'qr', credential: 'x', scanned_at: 'infinity' },
      { access_point_id: gate, method: 'crowbar', credential: 'x' },
      { access_point_id: 'the gate', method: 'qr', credential: 'x' },
      { access_point_id: gate, method: 'qr', credential: 'a\u0000b' },
    ];
    for (const question of malformed) expect([question, (await ask(guard, question)).status]).toEqual([question, 400]);
    expect(await lines('community_id = $1', [home])).toBe(before);

    const pass = await issue(await invite({}));
    const shown = ['', ' ', pass.slice(0, -1), `${pass} `, pass.toUpperCase(), 'A'.repeat(10_240), `${pass}${pass}`, encodeURIComponent(`${pass}=`), '🙂', '../../etc/passwd', "'; drop table audit.access_log; --"];
    for (const credential of shown) {
      const answer = await decide(guard, { access_point_id: gate, method: 'qr', credential });
      expect([credential.slice(0, 20), answer.outcome]).toEqual([credential.slice(0, 20), 'denied']);
    }
    expect(await lines('community_id = $1', [home])).toBe(before + shown.length);
    expect(told(await decide(guard, { access_point_id: gate, method: 'qr', credential: pass }))).toBe('granted admitted');
  });

  test('a thousand wrong codes in a minute find none, each leaves a line, and the gate stays locked for that device', async () => {
    const invitationId = await invite({});
    const { data: issued } = await tenant.rpc('issue_entry_code', { invitation_id: invitationId }).single<{ code: string }>().throwOnError();
    const device = await reader(gates[4]!);
    const before = await lines('access_point_id = $1', [gates[4]]);
    const answers: Answer[] = [];
    for (let from = 0; from < 1000; from += 50) {
      const wrong = Array.from({ length: 50 }, (_, n) => String((Number(issued!.code) + 1 + from + n) % 1_000_000).padStart(6, '0'));
      answers.push(...(await Promise.all(wrong.map((credential) => decide(device, { access_point_id: gates[4], method: 'code', credential })))));
    }
    expect(answers.filter(({ outcome }) => outcome === 'granted')).toEqual([]);
    expect(answers.filter(({ reason }) => reason === 'code_unknown').length).toBeLessThanOrEqual(20);
    expect(await lines('access_point_id = $1', [gates[4]])).toBe(before + 1000);
    expect(told(await decide(device, { access_point_id: gates[4], method: 'code', credential: issued!.code }))).toBe('denied code_locked');
    expect(told(await decide(await reader(gates[5]!), { access_point_id: gates[5], method: 'code', credential: issued!.code }))).toBe('granted admitted');
  });
});

test('a guard\'s photograph is registered first, named by the decision, and uploaded after it', async () => {
  const { data: file } = await guard
    .rpc('register_file', { community_id: home, purpose: 'access.photo', file_name: 'plate.jpg', content_type: 'image/jpeg', size: 4 })
    .single<{ file_id: string; bucket: string; path: string }>()
    .throwOnError();
  const answer = await decide(guard, { access_point_id: gates[6], method: 'guard', note: 'Parcel service', photo_file_id: file!.file_id });
  expect(told(answer)).toBe('granted opened_by_guard');
  const { error } = await guard.storage.from(file!.bucket).upload(file!.path, new Blob([new Uint8Array([255, 216, 255, 217])], { type: 'image/jpeg' }), { contentType: 'image/jpeg' });
  expect(error).toBeNull();
  expect((await manager.storage.from(file!.bucket).download(file!.path)).error).toBeNull();
  for (const client of [tenant, elsewhere]) expect((await client.storage.from(file!.bucket).download(file!.path)).error).not.toBeNull();
  expect((await guard.rpc('remove_file', { file_id: file!.file_id })).error?.message).toBe('file_retained');
});

test('docs/decisions.md lists every reason that the tests have reached, and no other', () => {
  const read = (...path: string[]): string => readFileSync(join(projectRoot, ...path), 'utf8');
  const section = /^## The reasons\n(?<text>.*?)^## /ms.exec(read('docs', 'decisions.md'))?.groups?.text ?? '';
  const documented = [...section.matchAll(/^\| `(?<reason>[a-z_]+)` \|/gm)].map((row) => row.groups!.reason!);
  const [, list = ''] = /string_to_array\(\s*(?<list>'[^)]*?'), ','\), 'every reason was given'/s.exec(read('tests', 'database', 'access_decisions.sql').replaceAll(/,'\n\s*'/g, ',')) ?? [];
  const reached = list.replaceAll("'", '').split(',');
  expect(reached.length).toBeGreaterThan(40);
  expect([...documented].sort()).toEqual([...reached].sort());
});

async function residentOf(email: string): Promise<string> {
  const [row] = await stack.sql<{ id: string }>('select r.id from public.residents r join auth.users u on u.id = r.user_id where u.email = $1 and r.community_id = $2', [email, home]);
  return row!.id;
}

// PostgREST rolls back what it cannot make of an answer what the address asks for, and the caller writes the address.
describe('no attempt is taken back by what is asked of its answer', () => {
  type Told = { status: number; body: { message?: string; outcome?: string; reason?: string } | null };
  const single = { accept: 'application/vnd.pgrst.object+json' };
  const raw = async (headers: Record<string, string>, question: Record<string, unknown>, query = ''): Promise<Told> => {
    const response = await fetch(`${stack.url}/rest/v1/rpc/decide_access${query}`, {
      method: 'POST',
      headers: { apikey: stack.keys.publishable, 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ access_point_id: gates[0], ...question }),
    });
    return { status: response.status, body: (await response.json()) as Told['body'] };
  };
  const as = async (client: SupabaseClient) => ({ authorization: `Bearer ${(await client.auth.getSession()).data.session!.access_token}` });
  const lines = async (): Promise<number> => (await stack.sql<{ n: number }>(`select count(*)::integer as n from audit.access_log`))[0]!.n;

  test('a filter or a cast, whose failure would tell the answer and take the line along, is refused before anything is looked at', async () => {
    const credential = await issue(await invite({ visitor_name: 'Peeked At' }));
    const before = await lines();
    for (const query of ['?select=subject_name::int', '?select=outcome,reason::int', '?select=%22_postgrest_t%22:reason::int', '?outcome=eq.denied', '?outcome=eq.granted', '?and=(outcome.eq.granted,reason.like.x)', '?or=(reason.is.null)']) {
      const told = await raw({ ...(await as(guard)), ...single }, { method: 'qr', credential }, query);
      expect([query, told.status, told.body?.message]).toEqual([query, 400, 'whole_answer_required']);
    }
    const limited = await raw({ ...(await as(guard)), prefer: 'Max-Affected=0' }, { method: 'qr', credential });
    expect([limited.status, limited.body?.message]).toEqual([400, 'whole_answer_required']);
    expect(await lines()).toBe(before);
    expect(told(await decide(guard, { access_point_id: gates[0], method: 'qr', credential }))).toBe('granted admitted');
  });

  test('columns are chosen freely, and a row that is skipped was decided all the same', async () => {
    const credential = await issue(await invite({ visitor_name: 'Chosen' }));
    const before = await lines();
    expect(await raw(await as(guard), { method: 'qr', credential }, '?select=outcome,why:reason')).toEqual({ status: 200, body: { outcome: 'granted', why: 'admitted' } });
    expect(await raw({ ...(await as(guard)), ...single }, { method: 'qr', credential }, '?offset=1')).toEqual({ status: 200, body: null });
    expect(await lines()).toBe(before + 2);
  });

  test('a GET, which cannot write, tells nothing of the answer', async () => {
    const credential = await issue(await invite({ visitor_name: 'Got' }));
    const got = async (shown: string) => {
      const query = new URLSearchParams({ access_point_id: gates[0]!, method: 'qr', credential: shown });
      const response = await fetch(`${stack.url}/rest/v1/rpc/decide_access?${query}`, { headers: { apikey: stack.keys.publishable, ...(await as(guard)) } });
      return { status: response.status, text: await response.text() };
    };
    const [good, bad] = [await got(credential), await got(`${credential.slice(0, -4)}AAAA`)];
    expect(good).toEqual(bad);
    expect([good.status, (JSON.parse(good.text) as { message: string }).message]).toEqual([405, 'post_required']);
  });

  test('a wrong code counts, whatever is asked of the answer', async () => {
    const { data } = await manager.rpc('enroll_device', { access_point_id: gates[0], name: 'Keypad', kind: 'reader' }).single<{ device_key: string }>().throwOnError();
    const key = { 'x-device-key': data.device_key };
    for (const [query, headers] of [['?outcome=eq.granted', single], ['?select=reason::int', {}], ['?offset=1', single], ['', { accept: 'text/csv' }]] as [string, Record<string, string>][]) {
      for (let n = 0; n < 5; n++) await raw({ ...key, ...headers, ...(query === '' && { accept: 'application/json' }) }, { method: 'code', credential: `00000${n}` }, query);
    }
    expect((await raw(key, { method: 'code', credential: '000009' })).body).toMatchObject({ outcome: 'denied', reason: 'code_locked' });
  });
});

test('a guard is asked about every near match, from the nearest on, and lets in once all were looked at', async () => {
  const enter = async (full_name: string) =>
    ((await manager.rpc('add_blacklist_entry', { community_id: home, reason: 'Broke the lamp', full_name }).single<{ entry_id: string }>().throwOnError()).data).entry_id;
  const [near, nearer] = [await enter('Radoslav Listetovich'), await enter('Radoslav Listetov')];
  const credential = await issue(await invite({ visitor_name: 'Radoslav Listeto' }));
  const question = { access_point_id: gates[0], method: 'qr', credential };
  const asked = async (more: Record<string, unknown>) => {
    const { data } = await guard.rpc('decide_access', { ...question, ...more }).single<Answer & { blacklist_entry_id: string }>().throwOnError();
    return [told(data), data.blacklist_entry_id];
  };
  expect(await asked({})).toEqual(['denied blacklist_near', nearer]);
  expect(await asked({ acknowledged_entry_id: nearer })).toEqual(['denied blacklist_near', near]);
  expect(await asked({ acknowledged_entry_id: near })).toEqual(['granted acknowledged', near]);
});
