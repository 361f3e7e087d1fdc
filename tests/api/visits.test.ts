import type { SupabaseClient } from '@supabase/supabase-js';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testServer } from '../support/database.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let home: string;
let gate: string;
let owner: SupabaseClient;
let family: SupabaseClient;
let tenant: SupabaseClient;
let landlord: SupabaseClient;
let manager: SupabaseClient;
let guard: SupabaseClient;
const units = new Map<string, string>();

beforeAll(async () => {
  stack = await startTestStack();
  const rows = await stack.sql<{ id: string; number: string; community_id: string }>(
    `select u.id, u.number, u.community_id from public.units u join public.communities c on c.id = u.community_id where c.slug = 'lipa-court'`,
  );
  for (const { id, number } of rows) units.set(number, id);
  home = rows[0]!.community_id;
  gate = (await stack.sql<{ id: string }>(`select id from public.access_points where community_id = $1 and kind = 'barrier'`, [home]))[0]!.id;
  // Николай Ангелов lets flat 3 to the tenant.
  await stack.createUser({ email: 'angelov@lipa.example' });
  [owner, family, tenant, landlord, manager, guard] = (await Promise.all(
    ['owner@demo.example', 'family@demo.example', 'tenant@demo.example', 'angelov@lipa.example', 'manager@demo.example', 'guard@demo.example'].map((email) => stack.client(email)),
  )) as [SupabaseClient, SupabaseClient, SupabaseClient, SupabaseClient, SupabaseClient, SupabaseClient];
});
afterAll(() => stack.stop());

const tomorrow = () => new Date(Date.now() + 86_400_000).toISOString();
type Answer = { data: unknown; error: { message: string } | null };
const said = ({ data, error }: Answer): string => error?.message ?? String(data);
const tally = (words: string[]): Record<string, number> => Object.fromEntries([...new Set(words)].sort().map((word) => [word, words.filter((other) => other === word).length]));

/** Runs one statement in many sessions of role postgres at once, each in a transaction of its own. */
async function inSessions<Row extends object>(many: number, text: string, params: (index: number) => unknown[]): Promise<Row[]> {
  const clients = await Promise.all(
    Array.from({ length: many }, async () => {
      const client = new pg.Client({ connectionString: testServer().url(stack.database) });
      await client.connect();
      return client;
    }),
  );
  try {
    return (await Promise.all(clients.map((client, index) => client.query<Row & pg.QueryResultRow>(text, params(index))))).flatMap(({ rows }) => rows);
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

const announce = async (unit: string): Promise<string> => {
  const { data } = await guard.rpc('announce_visitor', { unit_id: units.get(unit), visitor_name: 'Walt', access_point_id: gate }).single<{ visit_id: string }>().throwOnError();
  return data.visit_id;
};
const invite = async (client: SupabaseClient, unit: string, more: Record<string, unknown> = { kind: 'single', visitor_name: 'Vera' }): Promise<string> => {
  const { data } = await client.rpc('invite_visitor', { unit_id: units.get(unit), ends_at: tomorrow(), ...more }).throwOnError();
  return data as string;
};

describe('an app', () => {
  test('embeds who is expected, by whom and where', async () => {
    const invitation = await invite(tenant, '3');
    const { data } = await guard
      .from('visits')
      .select('visitor_name, status, unit:units!visits_unit_fkey(number), host:residents!visits_host_fkey(full_name), invitation:visitor_invitations!visits_invitation_fkey(kind)')
      .eq('invitation_id', invitation)
      .throwOnError();
    expect(data).toEqual([{ visitor_name: 'Vera', status: 'approved', unit: { number: '3' }, host: { full_name: 'Elena Dimova' }, invitation: { kind: 'single' } }]);
  });

  test('is told which field is wrong, and nothing is stored', async () => {
    const before = await stack.sql('select from public.visitor_invitations');
    const { error, status } = await tenant.rpc('invite_visitor', { unit_id: units.get('3'), ends_at: tomorrow(), kind: 'event', title: 'Birthday' });
    expect([status, error?.message, error?.details]).toEqual([422, 'invalid_value', 'The value of guest_limit is not valid.']);
    const late = await tenant.rpc('invite_visitor', { unit_id: units.get('3'), ends_at: tomorrow(), kind: 'event', title: 'Birthday', guest_limit: 1, guests: [{ full_name: 'A' }, { full_name: 'B' }] });
    expect([late.status, late.error?.message]).toEqual([409, 'too_many_guests']);
    expect(await stack.sql('select from public.visitor_invitations')).toHaveLength(before.length);
  });

  test('of a landlord sees no visitor of the tenant, invites nobody and answers for nobody', async () => {
    const visit = await announce('3');
    await invite(tenant, '3');
    for (const table of ['visits', 'visitor_invitations', 'invitation_guests', 'invitation_exceptions']) {
      const { data } = await landlord.from(table).select('id').throwOnError();
      expect(data, table).toEqual([]);
    }
    expect(said(await landlord.rpc('invite_visitor', { kind: 'single', unit_id: units.get('3'), visitor_name: 'Vera', ends_at: tomorrow() }))).toBe('permission_denied');
    expect(said(await landlord.rpc('answer_visit', { visit_id: visit, approve: true }))).toBe('visit_not_found');
    expect(said(await owner.rpc('answer_visit', { visit_id: visit, approve: true }))).toBe('visit_not_found');
    expect(said(await tenant.rpc('answer_visit', { visit_id: visit, approve: true }))).toBe('approved');
  });

  test('of who moved out yesterday invites nobody, and their guest stays outside, with the token and the invitation of before', async () => {
    const person = await stack.createUser({ email: 'stoyanova@lipa.example' });
    const leaver = await stack.client('stoyanova@lipa.example');
    const invitation = await invite(leaver, '4', {
      kind: 'recurring', visitor_name: 'Vesna', recurrence: 'FREQ=DAILY', daily_from: '00:00', daily_until: '00:00', ends_at: new Date(Date.now() + 90 * 86_400_000).toISOString(),
    });
    expect(said(await guard.rpc('check_in_visit', { invitation_id: invitation }))).toMatch(/^[0-9a-f-]{36}$/);
    await stack.sql(
      `update public.occupancies o set ends_on = (now() at time zone 'Europe/Sofia')::date - 1 from public.residents r where r.id = o.resident_id and r.user_id = $1`,
      [person.id],
    );
    const { error } = await guard.rpc('check_in_visit', { invitation_id: invitation });
    expect([error?.message, error?.details]).toEqual(['visit_refused', 'The visitor does not come in: host_left.']);
    expect(said(await leaver.rpc('invite_visitor', { kind: 'single', unit_id: units.get('4'), visitor_name: 'Vera', ends_at: tomorrow() }))).toBe('permission_denied');
    expect(said(await leaver.rpc('change_visitor_invitation', { invitation_id: invitation, changes: { note: 'Open' } }))).toMatch(/invitation_not_found|permission_denied/);
    await stack.sql('select app.job_hosts_left()');
    expect(await stack.sql('select status, status_reason from public.visitor_invitations where id = $1', [invitation])).toEqual([{ status: 'cancelled', status_reason: 'host_left' }]);
  });
});

describe('at once', () => {
  test('of approvals and denials one counts, and whoever said the contrary is told', async () => {
    for (let round = 0; round < 5; round += 1) {
      const visit = await announce('2');
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, index) => (index % 2 ? owner : family).rpc('answer_visit', { visit_id: visit, approve: index % 2 === 0 })),
      );
      const [stored] = await stack.sql<{ status: string; events: number }>(
        `select v.status, (select count(*)::integer from app.outbox o where o.topic = 'visit.answered' and o.payload ->> 'visit_id' = v.id::text) as events from public.visits v where v.id = $1`,
        [visit],
      );
      expect(stored?.events, 'answered once').toBe(1);
      expect(tally(answers.map(said))).toEqual({ [stored!.status]: 5, visit_answered: 5 });
    }
  });

  test('an answer and the end of waiting leave one result', async () => {
    for (let round = 0; round < 5; round += 1) {
      const visit = await announce('2');
      await stack.adminSql(
        `begin; set local session_replication_role = replica; update public.visits set asked_at = now() - interval '1 minute', answer_due_at = clock_timestamp() + interval '30 milliseconds' where id = '${visit}'; commit`,
      );
      const [answer] = await Promise.all([
        owner.rpc('answer_visit', { visit_id: visit, approve: true }),
        ...Array.from({ length: 4 }, () => guard.rpc('visit_answer', { visit_id: visit })),
        stack.sql('select app.job_visits()'),
      ]);
      await stack.sql('select app.settle_visit($1)', [visit]);
      const [stored] = await stack.sql<{ status: string; status_reason: string | null }>('select status, status_reason from public.visits where id = $1', [visit]);
      if (said(answer as Answer) === 'approved') expect(stored?.status).toBe('approved');
      else expect([said(answer as Answer), stored?.status_reason === 'no_answer' || stored?.status === 'pending']).toEqual(['visit_answer_late', true]);
    }
  });

  test('the last places of an event are taken once each', async () => {
    const invitation = await invite(owner, '2', { kind: 'event', title: 'Fair', guest_limit: 5 });
    const taken = await inSessions<{ reason: string | null }>(16, 'select * from app.enter_visit($1, $2, null, null, $3, now())', () => [home, invitation, gate]);
    expect(tally(taken.map(({ reason }) => reason ?? 'in'))).toEqual({ in: 5, invitation_full: 11 });
    const visits = await stack.sql(`select id from public.visits where invitation_id = $1 and status = 'checked_in'`, [invitation]);
    expect(visits).toHaveLength(5);
    expect(await stack.sql('select used_entries from private.invitation_uses where invitation_id = $1', [invitation])).toEqual([{ used_entries: 5 }]);

    const left = await inSessions<{ leave_visit: string | null }>(8, 'select app.leave_visit($1, $2, null, null, $3, now())', () => [home, invitation, gate]);
    const leaving = left.flatMap(({ leave_visit }) => leave_visit ?? []);
    expect(new Set(leaving).size, 'nobody leaves twice').toBe(leaving.length);
  });

  test('a guest of the list comes in by one of many gates', async () => {
    const invitation = await invite(owner, '2', { kind: 'event', title: 'Fair', guest_limit: 5, guests: [{ full_name: 'Gil' }] });
    const [guest] = await stack.sql<{ id: string }>('select id from public.invitation_guests where invitation_id = $1', [invitation]);
    const taken = await inSessions<{ reason: string | null }>(8, 'select * from app.enter_visit($1, $2, $3, null, $4, now())', () => [home, invitation, guest!.id, gate]);
    expect(tally(taken.map(({ reason }) => reason ?? 'in'))).toEqual({ guest_entered: 7, in: 1 });
  });

  test('the last place on the list is given once', async () => {
    const invitation = await invite(owner, '2', { kind: 'event', title: 'Fair', guest_limit: 3, guests: [{ full_name: 'Gil' }] });
    const answers = await Promise.all(Array.from({ length: 8 }, (_, index) => (index % 2 ? owner : family).rpc('add_invitation_guest', { invitation_id: invitation, full_name: `Guest ${index}` })));
    expect(answers.filter(({ error }) => error === null)).toHaveLength(2);
    expect(new Set(answers.flatMap(({ error }) => error?.message ?? []))).toEqual(new Set(['too_many_guests']));
  });

  test('a unit gives no more invitations than it may have open', async () => {
    const open = await stack.sql(`select from public.visitor_invitations where unit_id = $1 and status = 'active' and ends_at > now()`, [units.get('2')]);
    await stack.sql(`select public.set_setting('general.invitations_per_unit', $1, community_id => $2)`, [JSON.stringify(open.length + 2), home]);
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => (index % 2 ? owner : family).rpc('invite_visitor', { kind: 'single', unit_id: units.get('2'), visitor_name: 'Vera', ends_at: tomorrow() })),
    );
    await stack.sql(`select public.set_setting('general.invitations_per_unit', '50', community_id => $1)`, [home]);
    expect(answers.filter(({ error }) => error === null)).toHaveLength(2);
    expect(new Set(answers.flatMap(({ error }) => error?.message ?? []))).toEqual(new Set(['too_many_invitations']));
  });
});

describe('entry codes', () => {
  test('of many that are the same and count at one time, one is kept', async () => {
    const invitations = await Promise.all(Array.from({ length: 8 }, () => invite(tenant, '3')));
    const kept = await inSessions<{ store_entry_code: boolean }>(8, `select app.store_entry_code($1, null, '246810')`, (index) => [invitations[index]]);
    expect(kept.filter(({ store_entry_code }) => store_entry_code)).toHaveLength(1);
  });

  test('asked for side by side all differ, and each opens for its own', async () => {
    const invitations = await Promise.all(Array.from({ length: 12 }, () => invite(tenant, '3')));
    const answers = await Promise.all(invitations.map((invitation_id) => tenant.rpc('issue_entry_code', { invitation_id }).single<{ code: string }>().throwOnError()));
    const codes = answers.map(({ data }) => data.code);
    expect(new Set(codes).size).toBe(12);
    const known = await stack.sql<{ invitation_id: string }>(
      `select c.invitation_id from unnest($1::text[]) with ordinality t (code, n) cross join lateral app.check_entry_code($2, t.code, $3, gen_random_uuid(), null, now()) c order by t.n`,
      [codes, home, gate],
    );
    expect(known.map(({ invitation_id }) => invitation_id)).toEqual(invitations);
  });

  test('guessed a thousand times at one keypad, from eight sessions, are tried five times and then not at all; which is remembered', async () => {
    const device = '00000000-0000-4000-8000-00000000c0de';
    const { data: right } = await tenant.rpc('issue_entry_code', { invitation_id: await invite(tenant, '3') }).single<{ code: string }>().throwOnError();
    const guess = `select c.reason from generate_series(1, 125) n cross join lateral app.check_entry_code($1, lpad((n * 7919 + $4)::text, 6, '9'), $2, $3, null, now()) c`;
    const told = await inSessions<{ reason: string }>(8, guess, (index) => [home, gate, device, index]);
    expect(tally(told.map(({ reason }) => reason))).toEqual({ code_locked: 995, code_unknown: 5 });
    expect(await stack.sql(`select c.reason from app.check_entry_code($1, $2, $3, $4, null, now()) c`, [home, right.code, gate, device])).toEqual([{ reason: 'code_locked' }]);
    expect(await stack.sql(`select locks, unlocks_at > now() as is_locked from private.entry_code_attempts where scope = $1`, [device])).toEqual([{ locks: 1, is_locked: true }]);
  });

  test('are no business of the API', async () => {
    const { data } = await tenant.rpc('issue_entry_code', { invitation_id: await invite(tenant, '3') }).single<{ code: string }>().throwOnError();
    for (const client of [tenant, manager, guard]) {
      const { error } = await client.rpc('check_entry_code', { community: home, code: data.code });
      expect(error?.code).toBe('PGRST202');
    }
    const [logged] = await stack.sql<{ count: number }>(`select count(*)::integer as count from audit.log where changes::text like '%' || $1 || '%'`, [data.code]);
    expect(logged?.count, 'the log does not know it').toBe(0);
  });
});
