import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient, type SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { createFileStore } from '../../../scripts/stack/storage/file-store.ts';
import { startTestStack, type TestStack } from '../../support/stack.ts';

let stack: TestStack;
let admin: SupabaseClient;
let ana: SupabaseClient;
let boris: SupabaseClient;
let nobody: SupabaseClient;
let anaId: string;

beforeAll(async () => {
  stack = await startTestStack();
  await stack.sql(`
    insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types) values
      ('own', 'own', false, 1000, null), ('plans', 'plans', true, null, '{application/pdf,text/plain}'), ('closed', 'closed', false, null, null);
    create policy own_select on storage.objects for select to authenticated
      using (bucket_id = 'own' and (storage.foldername(name))[1] = (select auth.uid())::text);
    create policy own_insert on storage.objects for insert to authenticated
      with check (bucket_id = 'own' and (storage.foldername(name))[1] = (select auth.uid())::text);
    create policy own_update on storage.objects for update to authenticated
      using (bucket_id = 'own' and owner_id = (select auth.uid())::text);
    create policy own_delete on storage.objects for delete to authenticated
      using (bucket_id = 'own' and owner_id = (select auth.uid())::text)`);
  admin = createClient(stack.url, stack.keys.secret, {
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { transport: WebSocket as never },
  });
  ({ id: anaId } = await stack.createUser({ email: 'ana@storage.example' }));
  await stack.createUser({ email: 'boris@storage.example' });
  ana = await stack.client('ana@storage.example');
  boris = await stack.client('boris@storage.example');
  nobody = await stack.client();
});
afterAll(() => stack.stop());

const file = (content: string, type = 'text/plain') => new Blob([content], { type });

describe('a file goes up and comes down', () => {
  test.each([
    ['a blob', () => file('hello'), undefined],
    ['a buffer', () => Buffer.from('hello'), 'text/plain'],
    ['a stream', () => file('hello').stream(), 'text/plain'],
    [
      'a form',
      () => {
        const form = new FormData();
        form.append('file', file('hello'));
        return form;
      },
      undefined,
    ],
  ])('as %s', async (name, content, contentType) => {
    const path = `${anaId}/${name}.txt`;
    const { data, error } = await ana.storage.from('own').upload(path, content(), {
      ...(contentType && { contentType }),
      duplex: 'half',
    });
    expect(error).toBeNull();
    expect(data).toMatchObject({ path, fullPath: `own/${path}`, id: expect.any(String) as string });
    const { data: blob } = await ana.storage.from('own').download(path);
    expect(await blob?.text()).toBe('hello');
    expect(blob?.type).toContain('text/plain');
  });

  test('with what its owner says about it', async () => {
    const path = `${anaId}/Minutes & plans/Floor 1 (copy), 2026.txt`;
    const { error } = await ana.storage.from('own').upload(path, file('план'), { metadata: { floor: 3 }, cacheControl: '60' });
    expect(error).toBeNull();
    expect(await (await ana.storage.from('own').download(path)).data?.text()).toBe('план');
    const { data } = await ana.storage.from('own').info(path);
    expect(data).toMatchObject({
      name: path,
      metadata: { size: 8, mimetype: 'text/plain', cacheControl: 'max-age=60' },
      userMetadata: { floor: 3 },
    });
    expect((await ana.storage.from('own').exists(path)).data).toBe(true);
  });

  test('and its metadata is stored as objects', async () => {
    await ana.storage.from('own').upload(`${anaId}/kinds.txt`, file('x'), { metadata: { a: 1 } });
    expect(
      await stack.sql(
        `select jsonb_typeof(metadata) as system, jsonb_typeof(user_metadata) as own, owner_id from storage.objects where name like '%/kinds.txt'`,
      ),
    ).toEqual([
      { system: 'object', own: 'object', owner_id: anaId },
    ]);
  });

  test('is replaced only if asked for', async () => {
    const path = `${anaId}/twice.txt`;
    await ana.storage.from('own').upload(path, file('first'));
    expect((await ana.storage.from('own').upload(path, file('second'))).error).toMatchObject({ statusCode: '409' });
    expect(await (await ana.storage.from('own').download(path)).data?.text()).toBe('first');
    expect((await ana.storage.from('own').upload(path, file('second'), { upsert: true })).error).toBeNull();
    expect((await ana.storage.from('own').update(path, file('third'))).error).toBeNull();
    expect(await (await ana.storage.from('own').download(path)).data?.text()).toBe('third');
  });

  test('moves, is copied, and goes', async () => {
    const at = (name: string) => `${anaId}/moving/${name}`;
    await ana.storage.from('own').upload(at('a.txt'), file('content'));
    expect((await ana.storage.from('own').move(at('a.txt'), at('b.txt'))).error).toBeNull();
    expect((await ana.storage.from('own').copy(at('b.txt'), at('c.txt'))).error).toBeNull();
    expect((await ana.storage.from('own').download(at('a.txt'))).error).not.toBeNull();
    expect(await (await ana.storage.from('own').download(at('c.txt'))).data?.text()).toBe('content');
    const { data } = await ana.storage.from('own').remove([at('b.txt'), at('c.txt'), at('never.txt')]);
    expect(data?.map(({ name }) => name).sort()).toEqual([at('b.txt'), at('c.txt')]);
    expect((await ana.storage.from('own').list(`${anaId}/moving`)).data).toEqual([]);
  });

  test('under names that Supabase takes, and no others', async () => {
    await ana.storage.from('own').upload(`${anaId}/plain.txt`, file('x'));
    for (const name of ['план.txt', 'schéma.txt', 'a\u0000b.txt', 'tilde~.txt']) {
      const refusal = { statusCode: '400', message: `Invalid key: ${anaId}/${name}` };
      expect((await ana.storage.from('own').upload(`${anaId}/${name}`, file('x'))).error, name).toMatchObject(refusal);
      expect((await ana.storage.from('own').createSignedUploadUrl(`${anaId}/${name}`)).error, name).toMatchObject(refusal);
      for (const step of ['move', 'copy'] as const) {
        expect((await ana.storage.from('own')[step](`${anaId}/plain.txt`, `${anaId}/${name}`)).error, name).toMatchObject(
          refusal,
        );
      }
    }
    expect((await ana.storage.from('own').exists(`${anaId}/plain.txt`)).data).toBe(true);
  });

  test('within the limits of its bucket', async () => {
    expect((await ana.storage.from('own').upload(`${anaId}/big.txt`, file('x'.repeat(1001)))).error).toMatchObject({
      statusCode: '413',
    });
    expect((await admin.storage.from('plans').upload('a.png', file('x', 'image/png'))).error).toMatchObject({
      statusCode: '415',
    });
    expect((await ana.storage.from('own').exists(`${anaId}/big.txt`)).data).toBe(false);
  });
});

describe('a list shows one folder', () => {
  test('files and folders below a prefix, sorted, searched and paged', async () => {
    const base = `${anaId}/list`;
    for (const name of ['b.txt', 'a.txt', 'deeper/c.txt', 'deeper/still/d.txt']) {
      await ana.storage.from('own').upload(`${base}/${name}`, file(name));
    }
    const names = async (path: string, options?: object) =>
      (await ana.storage.from('own').list(path, options)).data?.map(({ name }) => name);
    expect(await names(base)).toEqual(['deeper', 'a.txt', 'b.txt']);
    expect(await names(`${base}/deeper`)).toEqual(['still', 'c.txt']);
    expect(await names(base, { sortBy: { column: 'name', order: 'desc' } })).toEqual(['deeper', 'b.txt', 'a.txt']);
    expect(await names(base, { search: 'b' })).toEqual(['b.txt']);
    expect(await names(base, { limit: 1, offset: 1 })).toEqual(['a.txt']);
    const { data } = await ana.storage.from('own').list(base);
    expect(data?.[0]).toMatchObject({ name: 'deeper', id: null, metadata: null });
    expect(data?.[1]).toMatchObject({ name: 'a.txt', metadata: { size: 5, mimetype: 'text/plain' } });
  });

  test('to whom it belongs, and to nobody else', async () => {
    await ana.storage.from('own').upload(`${anaId}/mine.txt`, file('mine'));
    expect((await boris.storage.from('own').list(anaId)).data).toEqual([]);
    expect((await nobody.storage.from('own').list(anaId)).data).toEqual([]);
    expect((await admin.storage.from('own').list(anaId)).data?.map(({ name }) => name)).toContain('mine.txt');
  });
});

describe('policies decide', () => {
  test('a user may not write where no policy allows it, and nothing is stored', async () => {
    for (const [client, bucket] of [[boris, 'own'], [nobody, 'own'], [ana, 'closed']] as const) {
      const { error } = await client.storage.from(bucket).upload(`${anaId}/intruder.txt`, file('x'));
      expect(error).toMatchObject({ statusCode: '403', message: 'new row violates row-level security policy' });
    }
    expect(await stack.sql(`select from storage.objects where name like '%intruder%'`)).toEqual([]);
  });

  test('a user may not read, replace, move or remove the file of another', async () => {
    const path = `${anaId}/private.txt`;
    await ana.storage.from('own').upload(path, file('private'));
    expect((await boris.storage.from('own').download(path)).error).not.toBeNull();
    expect((await boris.storage.from('own').createSignedUrl(path, 60)).error).not.toBeNull();
    expect((await boris.storage.from('own').update(path, file('stolen'))).error).not.toBeNull();
    expect((await boris.storage.from('own').move(path, `${anaId}/taken.txt`)).error).not.toBeNull();
    expect((await boris.storage.from('own').remove([path])).data).toEqual([]);
    expect(await (await ana.storage.from('own').download(path)).data?.text()).toBe('private');
  });

  test('buckets are for administrators', async () => {
    expect((await ana.storage.createBucket('mine')).error).not.toBeNull();
    expect((await ana.storage.listBuckets()).data).toEqual([]);
    expect((await admin.storage.createBucket('fresh', { public: false })).error).toBeNull();
    expect((await admin.storage.listBuckets()).data?.map(({ id }) => id)).toContain('fresh');
    expect((await admin.storage.deleteBucket('fresh')).error).toBeNull();
  });
});

describe('addresses', () => {
  test('a signed one gives the file to whoever has it, until it expires', async () => {
    const path = `${anaId}/signed.txt`;
    await ana.storage.from('own').upload(path, file('signed'));
    const { data } = await ana.storage.from('own').createSignedUrl(path, 60);
    expect(data?.signedUrl).toMatch(new RegExp(`^${stack.url}/storage/v1/object/sign/own/`));
    expect(await (await fetch(data?.signedUrl ?? '')).text()).toBe('signed');
    const expired = await ana.storage.from('own').createSignedUrl(path, -1);
    const refusal = await fetch(expired.data?.signedUrl ?? '');
    expect([refusal.status, await refusal.json()]).toMatchObject([400, { error: 'InvalidJWT' }]);
    const elsewhere = (data?.signedUrl ?? '').replace('signed', 'private');
    expect((await fetch(elsewhere)).ok).toBe(false);
  });

  test('several are signed at once, and one that is not there is named', async () => {
    await ana.storage.from('own').upload(`${anaId}/one.txt`, file('one'));
    const { data } = await ana.storage.from('own').createSignedUrls([`${anaId}/one.txt`, `${anaId}/none.txt`], 60);
    expect(await (await fetch(data?.[0]?.signedUrl ?? '')).text()).toBe('one');
    expect(data?.[1]).toMatchObject({ path: `${anaId}/none.txt`, signedUrl: null, error: expect.any(String) as string });
  });

  test('a signed upload lets in one file at one place', async () => {
    const path = `${anaId}/by-link.txt`;
    const { data } = await ana.storage.from('own').createSignedUploadUrl(path);
    expect(data?.signedUrl).toMatch(new RegExp(`^${stack.url}/storage/v1/object/upload/sign/own/`));
    const guest = nobody.storage.from('own');
    expect((await guest.uploadToSignedUrl(`${anaId}/elsewhere.txt`, data?.token ?? '', file('x'))).error).not.toBeNull();
    expect((await guest.uploadToSignedUrl(path, data?.token ?? '', file('by link'), { contentType: 'text/plain' })).error)
      .toBeNull();
    expect(await (await ana.storage.from('own').download(path)).data?.text()).toBe('by link');
  });

  test('a public bucket is read without a key, a private one is not', async () => {
    await admin.storage.from('plans').upload('ground floor.txt', file('open'));
    const { data } = nobody.storage.from('plans').getPublicUrl('ground floor.txt');
    expect(await (await fetch(data.publicUrl)).text()).toBe('open');
    await ana.storage.from('own').upload(`${anaId}/not-public.txt`, file('closed'));
    expect((await fetch(nobody.storage.from('own').getPublicUrl(`${anaId}/not-public.txt`).data.publicUrl)).ok).toBe(false);
  });
});

test.each([
  ['POST', 'object/list/own', '{"prefix": "a\\u0000"}', 'application/json'],
  ['POST', 'object/list/own%00', '{}', 'application/json'],
  ['POST', 'object/sign/own/a.txt', '{not json', 'application/json'],
  ['POST', 'object/own/a.txt', 'no form', 'multipart/form-data; boundary=x'],
])('a body that cannot be read is refused: %s %s %s', async (method, path, body, type) => {
  const { data } = await ana.auth.getSession();
  const response = await fetch(`${stack.url}/storage/v1/${path}`, {
    method,
    headers: { apikey: stack.keys.publishable, authorization: `Bearer ${data.session?.access_token}`, 'content-type': type },
    body,
  });
  expect([response.status, await response.json()]).toEqual([400, expect.objectContaining({ error: 'InvalidRequest' })]);
});

test('of an upload that breaks off, or that is refused in the end, nothing is left on the disk', async () => {
  const root = mkdtempSync(join(tmpdir(), 'vicinia-files-'));
  try {
    const files = createFileStore(root, () => Promise.resolve(false));
    const upload = (body: ReadableStream) => files.uploadObject('own', 'a.txt', undefined, body as never, 'text/plain', 'no-cache');
    const broken = new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from('half of it'));
        setImmediate(() => controller.error(new Error('gone')));
      },
    });
    const breaksOff = files.settle(async () => {
      await upload(broken);
      return new Response();
    });
    await expect(breaksOff).rejects.toThrow('gone');
    const refused = await files.settle(async () => {
      await upload(file('whole').stream());
      return new Response(null, { status: 400 });
    });
    expect(refused.status).toBe(400);
    expect(readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())).toEqual([]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
