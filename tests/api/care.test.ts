import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

// Residents as an app meets them: invited and linked, their documents in Storage, what is medical of them.

let stack: TestStack;
let manager: SupabaseClient;
let owner: SupabaseClient;
let tenant: SupabaseClient;
let family: SupabaseClient;
let gerente: SupabaseClient;
let community: string;
const resident: Record<string, string> = {};
beforeAll(async () => {
  stack = await startTestStack({ functions: true });
  [manager, owner, tenant, family, gerente] = (await Promise.all(
    ['manager', 'owner', 'tenant', 'family', 'gerente'].map((name) => stack.client(`${name}@demo.example`)),
  )) as [SupabaseClient, SupabaseClient, SupabaseClient, SupabaseClient, SupabaseClient];
  community = String((await stack.sql(`select id from public.communities where slug = 'lipa-court'`))[0]?.id);
  for (const { id, full_name } of await stack.sql<{ id: string; full_name: string }>('select id, full_name from public.residents')) resident[full_name] = id;
});
afterAll(() => stack?.stop());

const stateOf = async (name: string) => (await stack.sql('select onboarding::text as state, user_id from public.residents where id = $1', [resident[name]]))[0];

/** Opens the link of a mail as a browser does, and returns a client with the session and the page it leads to. */
async function follow(link: string): Promise<{ client: SupabaseClient; page: URL }> {
  const response = await fetch(link, { redirect: 'manual' });
  const page = new URL(response.headers.get('location') ?? '');
  const session = new URLSearchParams(page.hash.slice(1));
  const client = await stack.client();
  await client.auth.setSession({ access_token: session.get('access_token') ?? '', refresh_token: session.get('refresh_token') ?? '' });
  return { client, page };
}

describe('a resident who is invited', () => {
  test('gets a mail, is linked by the address that its link verifies, and sees the unit', async () => {
    const { data, error } = await manager.functions.invoke('invite-member', {
      body: { resident_id: resident['Петя Маринова'], redirect_to: 'http://127.0.0.1:3000/join' },
    });
    expect(error).toBeNull();
    expect(data).toMatchObject({ email: 'marinova@lipa.example', role: null, place: 'Lipa Court', mail_sent: true });
    expect(await stateOf('Петя Маринова')).toEqual({ state: 'invited', user_id: null });

    const mail = await stack.mails.waitFor('marinova@lipa.example');
    const { client, page } = await follow(mail.link ?? '');
    expect((await client.from('units').select('number').order('number')).data).toEqual([{ number: '7' }, { number: 'G2' }]);
    expect(await stateOf('Петя Маринова')).toMatchObject({ state: 'registered' });
    expect((await client.rpc('accept_invitation', { token: page.searchParams.get('invitation') })).error?.message).toBe('invitation_used');
  });

  test('by a number gets nothing sent, and is linked once Auth has verified the number', async () => {
    const { data } = await manager.functions.invoke('invite-member', {
      body: { resident_id: resident['Димитър Колев'], redirect_to: 'http://127.0.0.1:3000/join' },
    });
    expect(data).toMatchObject({ phone: '+359885550106', mail_sent: false, share_link: expect.stringMatching(/^http:\/\/127\.0\.0\.1:3000\/join\?invitation=[\w-]{43}$/) });
    const admin = await fetch(`${stack.url}/auth/v1/admin/users`, {
      method: 'POST',
      headers: { apikey: stack.keys.secret, authorization: `Bearer ${stack.keys.secret}`, 'content-type': 'application/json' },
      body: JSON.stringify({ phone: '359885550106', phone_confirm: true, password: 'vicinia-demo' }),
    });
    expect(admin.status).toBe(200);
    expect(await stateOf('Димитър Колев')).toMatchObject({ state: 'registered', user_id: ((await admin.json()) as { id: string }).id });
  });

  test('many times at once is invited once', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => manager.rpc('invite_resident', { resident_id: resident['Мария Стоянова'] })));
    expect(answers.filter(({ error }) => error === null)).toHaveLength(1);
    expect(new Set(answers.flatMap(({ error }) => (error ? [error.message] : [])))).toEqual(new Set(['invitation_pending']));
    expect(await stack.sql(`select count(*)::int as n from public.invitations where resident_id = $1 and status = 'pending'`, [resident['Мария Стоянова']])).toEqual([{ n: 1 }]);
  });

  test('of another community is not invited by a manager who knows the id', async () => {
    const { error } = await gerente.rpc('invite_resident', { resident_id: resident['Georg Weiß'], email: 'mallory@evil.example' });
    expect(error?.message).toBe('permission_denied');
    expect(await stateOf('Georg Weiß')).toEqual({ state: 'entered', user_id: null });
  });
});

describe('a document', () => {
  type Place = { file_id: string; bucket: string; path: string };
  const content = Buffer.from('%PDF-1.7 identity card\n%%EOF\n');
  const register = (client: SupabaseClient, size = content.byteLength, file_name = 'card.pdf') =>
    client.rpc('register_file', { community_id: community, purpose: 'resident.identity', file_name, content_type: 'application/pdf', size }).single<Place>();
  const upload = (client: SupabaseClient, place: Place, path = place.path, body = content) =>
    client.storage.from(place.bucket).upload(path, body, { contentType: 'application/pdf' });
  const handIn = (client: SupabaseClient, file_id: string, name = 'Иван Петров') => client.rpc('add_resident_document', { resident_id: resident[name], file_id, kind: 'identity' });

  test('of 30 MB is refused, whether it is told or not', async () => {
    const told = await register(owner, 30 * 1024 * 1024);
    expect([told.status, told.error?.message]).toEqual([413, 'file_too_large']);
    const { data: place } = await register(owner).throwOnError();
    const { error } = await upload(owner, place, place.path, Buffer.alloc(30 * 1024 * 1024));
    expect(error).not.toBeNull();
    expect((await handIn(owner, place.file_id)).error?.message).toBe('invalid_value');
  });

  test('does not leave its folder: no path with .. is taken', async () => {
    expect((await register(owner, 10, '../../passwd')).error?.message).toBe('invalid_value');
    const { data: place } = await register(owner).throwOnError();
    for (const path of [`${community}/resident.identity/../resident.deed/${place.file_id}`, `../${place.path}`, `${place.path}/..`]) {
      const response = await fetch(`${stack.url}/storage/v1/object/${place.bucket}/${path.split('/').map(encodeURIComponent).join('/').replaceAll('..', '%2e%2e')}`, {
        method: 'POST',
        headers: { apikey: stack.keys.publishable, authorization: `Bearer ${(await owner.auth.getSession()).data.session?.access_token}`, 'content-type': 'application/pdf' },
        body: content,
      });
      expect(response.status, path).toBeGreaterThanOrEqual(400);
    }
    expect(await stack.adminSql(`select name from storage.objects where name like '%..%' or bucket_id = 'vicinia-residents'`)).toEqual([]);
  });

  test('is of a resident of the community, and one\'s own', async () => {
    const { data: place } = await register(owner).throwOnError();
    await upload(owner, place);
    expect((await handIn(owner, place.file_id, 'Rosa Martínez Díaz')).error?.message).toBe('permission_denied');
    expect((await handIn(owner, place.file_id, 'Светла Петрова')).error?.message).toBe('permission_denied');
    expect((await handIn(gerente, place.file_id, 'Rosa Martínez Díaz')).error?.message).toBe('invalid_value');
    expect(await stack.sql('select id from public.resident_documents where file_id = $1', [place.file_id])).toEqual([]);
  });

  test('is read by the person and the management, row and file, and by no housemate', async () => {
    const { data: place } = await register(owner).throwOnError();
    await upload(owner, place);
    const { data: document } = await handIn(owner, place.file_id).throwOnError();
    const reads = async (client: SupabaseClient) => [
      (await client.from('resident_documents').select('id').eq('id', document)).data?.length,
      (await client.from('files').select('id').eq('id', place.file_id)).data?.length,
      (await client.storage.from(place.bucket).download(place.path)).error === null,
      (await client.storage.from(place.bucket).createSignedUrl(place.path, 60)).error === null,
    ];
    const [mine, managers, housemates, strangers] = await Promise.all([owner, manager, family, gerente].map(reads));
    expect(mine).toEqual([1, 1, true, true]);
    expect(managers).toEqual([1, 1, true, true]);
    expect(housemates).toEqual([0, 0, false, false]);
    expect(strangers).toEqual([0, 0, false, false]);
    await owner.rpc('withdraw_resident_document', { document_id: document }).throwOnError();
    expect(await reads(manager)).toEqual([0, 0, false, false]);
  });

  test('that many reviewers look at in one moment gets one outcome', async () => {
    const { data: place } = await register(owner).throwOnError();
    await upload(owner, place);
    const { data: document_id } = await handIn(owner, place.file_id).throwOnError();
    const answers = await Promise.all(Array.from({ length: 6 }, (_, index) => manager.rpc('review_resident_document', { document_id, outcome: index % 2 ? 'verified' : 'rejected' })));
    const [stored] = await stack.sql(
      `select d.status::text as document, i.status::text as identity, r.onboarding::text as state from public.resident_documents d
       join public.identity_checks i on i.resident_id = d.resident_id join public.residents r on r.id = d.resident_id where d.id = $1`,
      [document_id],
    );
    // A verification may be taken back; a rejected document stays rejected.
    expect(stored).toEqual({ document: 'rejected', identity: 'rejected', state: 'registered' });
    expect(answers.every(({ error }) => error === null || error.message === 'transition_refused')).toBe(true);
  });
});

describe('what is medical', () => {
  test('is told to nobody but the person, and every attempt is kept, refusals too', async () => {
    await tenant.rpc('set_medical', { resident_id: resident['Elena Dimova'], medical_conditions: 'Epilepsy', accessibility_needs: null }).throwOnError();
    const read = async (client: SupabaseClient) =>
      (await client.rpc('read_medical', { resident_id: resident['Elena Dimova'] }).single<{ outcome: string; medical_conditions: string | null }>()).data;
    expect(await read(tenant)).toMatchObject({ outcome: 'granted', medical_conditions: 'Epilepsy' });
    for (const client of [manager, owner, family, gerente]) expect(await read(client)).toMatchObject({ outcome: 'refused', medical_conditions: null });
    const { data: reads } = await tenant.rpc('medical_reads').throwOnError();
    expect(reads.slice(0, 6).map(({ action, user_name }: { action: string; user_name: string }) => `${action} ${user_name}`)).toEqual([
      'MEDICAL_REFUSED Lucía Hernández', 'MEDICAL_REFUSED Анна Петрова', 'MEDICAL_REFUSED Иван Петров', 'MEDICAL_REFUSED Maria Koleva', 'MEDICAL_READ Elena Dimova', 'MEDICAL_WRITTEN Elena Dimova',
    ]);
  });

  test('is not read by GET, which could log nothing', async () => {
    const { error, status } = await tenant.rpc('read_medical', { resident_id: resident['Elena Dimova'] }, { get: true });
    expect([status, error?.message]).toEqual([405, 'post_required']);
  });

  test('is not read past the log by a filter or a cast of the answer', async () => {
    const reads = async () => (await stack.sql<{ n: number }>(`select count(*)::integer as n from audit.log where action like 'MEDICAL_R%'`))[0]!.n;
    const before = await reads();
    const { access_token } = (await tenant.auth.getSession()).data.session!;
    const ask = (query: string) =>
      fetch(`${stack.url}/rest/v1/rpc/read_medical${query}`, {
        method: 'POST',
        headers: { apikey: stack.keys.publishable, authorization: `Bearer ${access_token}`, 'content-type': 'application/json', accept: 'application/vnd.pgrst.object+json' },
        body: JSON.stringify({ resident_id: resident['Elena Dimova'] }),
      });
    for (const query of ['?select=medical_conditions::int', '?outcome=eq.refused', '?medical_conditions=like.Epi*']) {
      const response = await ask(query);
      expect([query, response.status, ((await response.json()) as { message: string }).message]).toEqual([query, 400, 'whole_answer_required']);
    }
    expect(await reads()).toBe(before);
    expect([(await ask('?offset=1')).status, await reads()]).toEqual([200, before + 1]);
  });

  test('written by many at once under a key that is rotated meanwhile, opens', async () => {
    await Promise.all([
      ...Array.from({ length: 6 }, (_, index) => tenant.rpc('set_medical', { resident_id: resident['Elena Dimova'], medical_conditions: `Version ${index}`, accessibility_needs: null }).throwOnError()),
      ...Array.from({ length: 3 }, () => stack.sql('select app.rotate_medical_key()')),
    ]);
    const { data } = await tenant.rpc('read_medical', { resident_id: resident['Elena Dimova'] }).single<{ medical_conditions: string }>().throwOnError();
    expect(data.medical_conditions).toMatch(/^Version \d$/);
    expect(await stack.sql('select count(*)::int as n from private.encryption_keys where retired_at is null')).toEqual([{ n: 1 }]);
  });

  test('is closed by the database to the secret key: neither table nor key', async () => {
    const answer = await fetch(`${stack.url}/rest/v1/medical_records`, { headers: { apikey: stack.keys.secret, authorization: `Bearer ${stack.keys.secret}`, 'accept-profile': 'private' } });
    expect(answer.status).toBeGreaterThanOrEqual(400);
  });
});

test('emergency contacts that are ordered and added at once have one place each', async () => {
  const resident_id = resident['Elena Dimova'];
  const add = (name: string) => tenant.rpc('add_emergency_contact', { resident_id, full_name: name, phone: '+359 88 555 0150', relationship: 'friend' });
  await Promise.all(['A', 'B', 'C', 'D', 'E', 'F'].map(add));
  const { data } = await tenant.from('emergency_contacts').select('id, priority').order('priority').throwOnError();
  expect(data?.map(({ priority }) => priority)).toEqual([1, 2, 3, 4, 5, 6]);
  const ids = (data ?? []).map(({ id }) => id as string);
  await Promise.all([
    tenant.rpc('order_emergency_contacts', { resident_id, contact_ids: [...ids].reverse() }),
    tenant.rpc('remove_emergency_contact', { contact_id: ids[2] }),
    add('G'),
  ]);
  const { data: after } = await tenant.from('emergency_contacts').select('priority').order('priority').throwOnError();
  expect(after?.map(({ priority }) => priority)).toEqual([1, 2, 3, 4, 5, 6]);
});
