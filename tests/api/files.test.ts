import { createHash, randomUUID } from 'node:crypto';
import { createClient, type SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { startTestStack, type TestStack } from '../support/stack.ts';

const documents = 'vicinia-documents';
const pdf = (text: string): Buffer => Buffer.from(`%PDF-1.7\n${text}\n%%EOF\n`);

let stack: TestStack;
let home: string;
let elsewhere: string;
let owner: SupabaseClient;
let neighbour: SupabaseClient;
let manager: SupabaseClient;
let stranger: SupabaseClient;
let secret: SupabaseClient;

/** Registers a file and returns where to upload it. */
async function register(client: SupabaseClient, content: Buffer, more: Record<string, unknown> = {}): Promise<{ file_id: string; bucket: string; path: string }> {
  const { data } = await client
    .rpc('register_file', {
      community_id: home,
      purpose: 'member.document',
      file_name: 'договор.pdf',
      content_type: 'application/pdf',
      size: content.byteLength,
      sha256: createHash('sha256').update(content).digest('hex'),
      ...more,
    })
    .single()
    .throwOnError();
  return data as { file_id: string; bucket: string; path: string };
}

const upload = (client: SupabaseClient, path: string, content: Buffer, contentType = 'application/pdf', upsert = false) =>
  client.storage.from(documents).upload(path, content, { contentType, upsert });

async function stored(client: SupabaseClient, text: string): Promise<{ path: string; content: Buffer; file_id: string }> {
  const content = pdf(text);
  const { path, file_id } = await register(client, content);
  const { error } = await upload(client, path, content);
  expect(error).toBeNull();
  return { path, content, file_id };
}

const statusOf = async (path: string): Promise<unknown> => (await stack.sql('select status from public.files where path = $1', [path]))[0]?.status;
const contentOf = async (client: SupabaseClient, path: string): Promise<string | undefined> => {
  const { data } = await client.storage.from(documents).download(path);
  return data ? Buffer.from(await data.arrayBuffer()).toString() : undefined;
};

beforeAll(async () => {
  stack = await startTestStack();
  const community = async (name: string): Promise<string> => {
    const rows = await stack.sql<{ id: string }>(
      `select public.create_community(public.create_organization($1, $2, 'BG'), $1, $2, 'BG', 'EUR', 'Europe/Sofia') as id`,
      [name, `files-${name.toLowerCase()}`],
    );
    return rows[0]!.id;
  };
  home = await community('Home');
  elsewhere = await community('Elsewhere');
  const user = async (name: string, role: string, place: string): Promise<SupabaseClient> => {
    const { id, email } = await stack.createUser({ email: `${name}@files.example` });
    await stack.sql('select public.grant_role($1, $2, community_id => $3)', [id, role, place]);
    return stack.client(email);
  };
  owner = await user('owner', 'guard', home);
  neighbour = await user('neighbour', 'guard', home);
  manager = await user('manager', 'manager', home);
  stranger = await user('stranger', 'manager', elsewhere);
  secret = createClient(stack.url, stack.keys.secret, { auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport: WebSocket as never } });
});
afterAll(() => stack?.stop());

describe('who uploaded a file', () => {
  test('gets it back whole, by download and by a signed address that ends', async () => {
    const { path, content } = await stored(owner, 'mine');
    expect(await contentOf(owner, path)).toBe(content.toString());
    const { data } = await owner.storage.from(documents).createSignedUrl(path, 60);
    const answer = await fetch(data!.signedUrl);
    expect([answer.status, await answer.text()]).toEqual([200, content.toString()]);
    expect(await statusOf(path)).toBe('stored');
  });

  test('finds it in the register, with its name, type, size and hash', async () => {
    const { path, content } = await stored(owner, 'registered');
    const { data } = await owner.from('files').select('name, content_type, size, sha256, status').eq('path', path).single();
    expect(data).toEqual({
      name: 'договор.pdf',
      content_type: 'application/pdf',
      size: content.byteLength,
      sha256: createHash('sha256').update(content).digest('hex'),
      status: 'stored',
    });
  });

  test('may upload through a signed upload address too', async () => {
    const content = pdf('signed');
    const { path } = await register(owner, content);
    const { data, error } = await owner.storage.from(documents).createSignedUploadUrl(path);
    expect(error).toBeNull();
    const nobody = await stack.client();
    const { error: refused } = await nobody.storage.from(documents).uploadToSignedUrl(path, data!.token, content, { contentType: 'application/pdf' });
    expect(refused).toBeNull();
    expect(await contentOf(owner, path)).toBe(content.toString());
  });
});

describe('a neighbour, a guard at the same gate', () => {
  test('neither lists, reads, signs, overwrites, moves, copies nor removes it', async () => {
    const { path, content } = await stored(owner, 'private');
    const folder = `${home}/member.document`;
    const at = neighbour.storage.from(documents);
    const mine = await register(neighbour, content);

    expect((await at.list(home)).data).toEqual([]);
    expect((await at.list(folder)).data).toEqual([]);
    expect((await at.list('')).data).toEqual([]);
    expect(await contentOf(neighbour, path)).toBeUndefined();
    expect((await at.createSignedUrl(path, 60)).error).not.toBeNull();
    expect((await at.createSignedUploadUrl(path, { upsert: true })).error).not.toBeNull();
    expect((await upload(neighbour, path, pdf('forged'), 'application/pdf', true)).error).not.toBeNull();
    expect((await at.update(path, pdf('forged'), { contentType: 'application/pdf' })).error).not.toBeNull();
    expect((await at.move(path, mine.path)).error).not.toBeNull();
    expect((await at.copy(path, mine.path)).error).not.toBeNull();
    expect((await at.remove([path])).data ?? []).toEqual([]);
    expect((await neighbour.from('files').select('id').eq('path', path)).data).toEqual([]);

    expect(await contentOf(owner, path)).toBe(content.toString());
  });

  test('cannot take over a path that awaits its upload', async () => {
    const content = pdf('awaited');
    const { path } = await register(owner, content);
    expect((await upload(neighbour, path, content)).error).not.toBeNull();
    expect((await neighbour.storage.from(documents).createSignedUploadUrl(path)).error).not.toBeNull();
    expect(await statusOf(path)).toBe('registered');
  });
});

test("another community's manager gets nothing in and nothing out", async () => {
  const { path } = await stored(owner, 'ours');
  const at = stranger.storage.from(documents);
  expect((await at.list(home)).data).toEqual([]);
  expect(await contentOf(stranger, path)).toBeUndefined();
  expect((await at.copy(path, `${elsewhere}/member.document/${randomUUID()}`)).error).not.toBeNull();
  const { error } = await stranger.rpc('register_file', { community_id: home, purpose: 'member.document', file_name: 'a.pdf', content_type: 'application/pdf', size: 1 });
  expect(error?.message).toBe('permission_denied');
});

test('the manager reads what members hand in, and the member cannot move it into another community', async () => {
  const { path, content } = await stored(owner, 'for the manager');
  expect(await contentOf(manager, path)).toBe(content.toString());
  expect((await owner.storage.from(documents).move(path, `${elsewhere}/member.document/${randomUUID()}`)).error).not.toBeNull();
  expect((await owner.storage.from(documents).move(path, path.replace('member.document', 'community.document'))).error).not.toBeNull();
  expect(await contentOf(manager, path)).toBe(content.toString());
});

describe('an upload that is not what was registered is refused, and nothing is stored', () => {
  const cases: [string, (path: string) => [path: string, content: Buffer, type?: string]][] = [
    ['a path nobody registered', () => [`${home}/member.document/${randomUUID()}`, pdf('x')]],
    ['a path that climbs', (path) => [`${path}/../../../${elsewhere}/x`, pdf('x')]],
    ['a path that climbs, encoded', (path) => [`${path}/%2e%2e/x`, pdf('x')]],
    ['a longer path', (path) => [`${path}x`, pdf('x')]],
    ['a path of 2000 characters', (path) => [`${path}/${'a'.repeat(2000)}`, pdf('x')]],
    ['more bytes', (path) => [path, pdf('xx')]],
    ['far more bytes', (path) => [path, Buffer.alloc(40_000, 'x')]],
    ['fewer bytes', (path) => [path, Buffer.from('x')]],
    ['another type', (path) => [path, pdf('x'), 'image/png']],
    ['a type that no purpose takes', (path) => [path, pdf('x'), 'text/html']],
  ];
  test.each(cases)('%s', async (_what, attempt) => {
    const { path } = await register(owner, pdf('x'));
    const [target, content, type] = attempt(path);
    const before = await stack.sql('select count(*)::int as objects from storage.objects');
    const { error } = await upload(owner, target, content, type);
    expect(error).not.toBeNull();
    expect(await stack.sql('select count(*)::int as objects from storage.objects')).toEqual(before);
    expect(await statusOf(path)).toBe('registered');
  });

  test('and the registration still stands for the right content', async () => {
    const { path } = await register(owner, pdf('x'));
    expect((await upload(owner, path, pdf('xx'))).error).not.toBeNull();
    expect((await upload(owner, path, pdf('x'))).error).toBeNull();
    expect(await contentOf(owner, path)).toBe(pdf('x').toString());
  });
});

describe('registering answers what is wrong', () => {
  const cases: [string, Record<string, unknown>, number, string][] = [
    ['a way up as a name', { file_name: '../x.pdf' }, 422, 'invalid_value'],
    ['a name with a NUL', { file_name: 'a\0.pdf' }, 400, ''],
    ['a name of 300 characters', { file_name: 'a'.repeat(300) }, 422, 'invalid_value'],
    ['a script', { content_type: 'text/html' }, 415, 'content_type_refused'],
    ['a file that is too large', { size: 10_485_761 }, 413, 'file_too_large'],
    ['a purpose of the management', { purpose: 'community.document' }, 403, 'permission_denied'],
  ];
  test.each(cases)('%s', async (_what, wrong, status, token) => {
    const answer = await owner.rpc('register_file', { community_id: home, purpose: 'member.document', file_name: 'a.pdf', content_type: 'application/pdf', size: 10, ...wrong });
    expect(answer.status).toBe(status);
    if (token) expect(answer.error?.message).toBe(token);
  });
});

describe('the secret key', () => {
  test('stores nothing that is not registered, and overwrites nothing', async () => {
    const { path, content } = await stored(owner, 'kept');
    expect((await upload(secret, `${home}/member.document/${randomUUID()}`, content)).error).not.toBeNull();
    expect((await upload(secret, path, pdf('forged'), 'application/pdf', true)).error).not.toBeNull();
    expect((await secret.storage.from(documents).move(path, `${elsewhere}/member.document/${randomUUID()}`)).error).not.toBeNull();
    expect((await stack.sql('select name from storage.objects where name = $1', [path])).length).toBe(1);
  });

  test('takes the content away once a file is removed, and the register knows', async () => {
    const { path, file_id } = await stored(owner, 'unwanted');
    await owner.rpc('remove_file', { file_id }).throwOnError();
    expect(await contentOf(owner, path)).toBeUndefined();
    expect(await contentOf(manager, path)).toBeUndefined();

    const { data: waiting } = await secret.from('files').select('bucket, path').eq('status', 'removed').is('content_removed_at', null).throwOnError();
    expect(waiting).toContainEqual({ bucket: documents, path });
    await secret.storage.from(documents).remove([path]);
    const rows = await stack.sql('select content_removed_at is not null as gone from public.files where path = $1', [path]);
    expect(rows).toEqual([{ gone: true }]);
  });
});

test('what is kept stays whole when its bucket is emptied', async () => {
  const content = Buffer.from('A face at the gate');
  const { bucket, path } = await register(manager, content, { purpose: 'access.photo', content_type: 'image/png' });
  expect((await manager.storage.from(bucket).upload(path, content, { contentType: 'image/png' })).error).toBeNull();
  expect((await secret.storage.emptyBucket(bucket)).error).not.toBeNull();
  const { data } = await manager.storage.from(bucket).download(path);
  expect(await data?.text()).toBe(content.toString());
});

test('who is not signed in reaches nothing', async () => {
  const { path, content } = await stored(owner, 'closed');
  const nobody = await stack.client();
  expect((await nobody.storage.from(documents).list(home)).data ?? []).toEqual([]);
  expect(await contentOf(nobody, path)).toBeUndefined();
  expect((await nobody.storage.from(documents).createSignedUrl(path, 60)).error).not.toBeNull();
  expect((await upload(nobody, path, content)).error).not.toBeNull();
});

test('a user whose account is suspended reads no file from the next request on', async () => {
  const { id, email } = await stack.createUser({ email: 'gone@files.example' });
  await stack.sql('select public.grant_role($1, $2, community_id => $3)', [id, 'guard', home]);
  const gone = await stack.client(email);
  const { path } = await stored(gone, 'was mine');
  await stack.sql(`select public.set_account_status($1, 'suspended', 'left')`, [id]);
  expect(await contentOf(gone, path)).toBeUndefined();
  expect((await gone.storage.from(documents).list(`${home}/member.document`)).data ?? []).toEqual([]);
});

test('an address that was signed for an upload takes one content, and keeps it when used again', async () => {
  const content = pdf('Invoice 17: 100.00');
  const { path } = await register(manager, content, { purpose: 'community.document' });
  const { data } = await manager.storage.from(documents).createSignedUploadUrl(path, { upsert: true });
  const put = (what: Buffer) => manager.storage.from(documents).uploadToSignedUrl(path, data!.token, what, { contentType: 'application/pdf', upsert: true });
  expect((await put(content)).error).toBeNull();
  expect((await put(pdf('Invoice 17: 900.00'))).error).not.toBeNull();
  expect(await contentOf(manager, path)).toBe(content.toString());
});

test('a manager who was dismissed and lives there still publishes nothing, and removes nothing of the management', async () => {
  const { id, email } = await stack.createUser({ email: 'dismissed@files.example' });
  await stack.sql(`select public.grant_role($1, 'guard', community_id => $2), public.grant_role($1, 'manager', community_id => $2)`, [id, home]);
  const dismissed = await stack.client(email);
  const content = pdf('The meeting is cancelled');
  const kept = await register(dismissed, content, { purpose: 'community.document' });
  expect((await upload(dismissed, kept.path, content)).error).toBeNull();
  const [byToken, byAddress] = [await register(dismissed, content, { purpose: 'community.document' }), await register(dismissed, content, { purpose: 'community.document' })];
  const { data } = await dismissed.storage.from(documents).createSignedUploadUrl(byAddress.path);

  await stack.sql(`select public.revoke_role(m.id) from public.memberships m join public.roles r on r.id = m.role_id where m.user_id = $1 and r.key = 'manager'`, [id]);
  expect((await upload(dismissed, byToken.path, content)).error).not.toBeNull();
  expect((await dismissed.storage.from(documents).uploadToSignedUrl(byAddress.path, data!.token, content, { contentType: 'application/pdf' })).error).not.toBeNull();
  expect((await dismissed.rpc('remove_file', { file_id: kept.file_id })).error?.message).toBe('file_not_found');
  expect([await statusOf(byToken.path), await statusOf(byAddress.path), await statusOf(kept.path)]).toEqual(['registered', 'registered', 'stored']);
  expect(await contentOf(manager, kept.path)).toBe(content.toString());
});

test('somebody whose account is banned uploads nothing by an address that was signed before', async () => {
  const { id, email } = await stack.createUser({ email: 'banned@files.example' });
  await stack.sql('select public.grant_role($1, $2, community_id => $3)', [id, 'manager', home]);
  const banned = await stack.client(email);
  const content = pdf('The meeting is cancelled');
  const { path } = await register(banned, content, { purpose: 'community.document' });
  const { data } = await banned.storage.from(documents).createSignedUploadUrl(path);
  await stack.sql(`select public.set_account_status($1, 'banned', 'A test')`, [id]);
  const { error } = await stranger.storage.from(documents).uploadToSignedUrl(path, data!.token, content, { contentType: 'application/pdf' });
  expect(error).not.toBeNull();
  expect(await statusOf(path)).toBe('registered');
  expect(await contentOf(manager, path)).toBeUndefined();
});
