import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

// A camera has no user, and Storage knows users only: how its photographs come to the line in the log (docs/decisions.md).

let stack: TestStack;
let manager: SupabaseClient;
let gate: string;
let camera: Device;

type Device = { device_id: string; device_key: string };
type Told = { file_id: string; upload_url: string; message: string };

const jpeg = new Uint8Array([255, 216, 255, 217]);
const photo = { content_type: 'image/jpeg', size: jpeg.length };

beforeAll(async () => {
  stack = await startTestStack({ functions: true });
  const [point] = await stack.sql<{ id: string }>(`select id from public.access_points where name = 'Main gate'`);
  gate = point!.id;
  manager = await stack.client('manager@demo.example');
  camera = await enroll('Camera', 'camera');
});
afterAll(() => stack.stop());

async function enroll(name: string, kind: string): Promise<Device> {
  const { data } = await manager.rpc('enroll_device', { access_point_id: gate, name, kind }).single().throwOnError();
  return data as Device;
}

async function announce(key: string, body: object = photo): Promise<{ status: number; told: Told }> {
  const response = await fetch(`${stack.url}/functions/v1/gate-photo`, { method: 'POST', headers: { 'x-device-key': key }, body: JSON.stringify(body) });
  return { status: response.status, told: (await response.json()) as Told };
}

const upload = async (url: string, content: Uint8Array, type = 'image/jpeg'): Promise<number> =>
  (await fetch(url, { method: 'PUT', headers: { 'content-type': type }, body: new Blob([new Uint8Array(content)]) })).status;

const askWith = (key: string, photo_file_id: string, more: object = {}) =>
  stack.device(key).rpc('decide_access', { access_point_id: gate, method: 'plate', credential: 'CB 4444 PK', photo_file_id, ...more });

const statusOf = async (fileId: string): Promise<string> => (await stack.sql<{ status: string }>(`select status::text from public.files where id = $1`, [fileId]))[0]!.status;

test('a camera names the photograph of an attempt before it is there, and uploads it without an account', async () => {
  const { status, told } = await announce(camera.device_key);
  expect(status).toBe(201);
  const { data: answer } = await askWith(camera.device_key, told.file_id).throwOnError();
  expect(answer).toMatchObject({ outcome: 'denied', reason: 'plate_unknown' });
  expect(await upload(told.upload_url, jpeg)).toBe(200);

  const { data: line } = await manager.from('access_log').select('device_id, photo_file_id').eq('id', (answer as { log_id: string }).log_id).single().throwOnError();
  expect(line).toEqual({ device_id: camera.device_id, photo_file_id: told.file_id });
  const { data: file } = await manager.from('files').select('bucket, path, purpose, owner_id').eq('id', told.file_id).single().throwOnError();
  expect(file).toMatchObject({ bucket: 'vicinia-gates', purpose: 'access.photo', owner_id: null });
  const { data: content } = await manager.storage.from(file!.bucket as string).download(file!.path as string);
  expect(new Uint8Array(await content!.arrayBuffer())).toEqual(jpeg);
  for (const email of ['tenant@demo.example', 'gerente@demo.example']) {
    const other = await stack.client(email);
    expect((await other.storage.from(file!.bucket as string).download(file!.path as string)).data, email).toBeNull();
  }
});

test('the address takes what was announced, once, and nothing else', async () => {
  const { told } = await announce(camera.device_key);
  const [file] = await stack.sql<{ path: string }>(`select path from public.files where id = $1`, [told.file_id]);
  const { told: another } = await announce(camera.device_key);
  expect(await upload(told.upload_url, new Uint8Array(9))).toBeGreaterThanOrEqual(400);
  expect(await upload(told.upload_url, jpeg, 'image/png')).toBeGreaterThanOrEqual(400);
  expect(await upload(told.upload_url.replace(file!.path, file!.path.replace(told.file_id, another.file_id)), jpeg)).toBeGreaterThanOrEqual(400);
  expect([await statusOf(told.file_id), await statusOf(another.file_id)]).toEqual(['registered', 'registered']);
  expect(await upload(told.upload_url, jpeg)).toBe(200);
  expect(await upload(told.upload_url, new Uint8Array([1, 2, 3, 4]))).toBeGreaterThanOrEqual(400);
  expect(await statusOf(told.file_id)).toBe('stored');
});

test("nobody attaches another's photograph: no other device, no guard, no camera of elsewhere", async () => {
  const { told } = await announce(camera.device_key);
  const other = await enroll('Another camera', 'camera');
  const guard = await stack.client('guard@demo.example');
  const before = await stack.sql(`select count(*) from audit.access_log`);
  expect((await askWith(other.device_key, told.file_id)).error).toMatchObject({ message: 'file_not_found' });
  expect((await guard.rpc('decide_access', { access_point_id: gate, method: 'plate', credential: 'CB 4444 PK', photo_file_id: told.file_id })).error).toMatchObject({ message: 'file_not_found' });
  const { data: own } = await guard
    .rpc('register_file', { community_id: (await manager.from('access_points').select('community_id').eq('id', gate).single()).data!.community_id as string, purpose: 'access.photo', file_name: 'a.jpg', content_type: 'image/jpeg', size: 4 })
    .single<{ file_id: string }>()
    .throwOnError();
  expect((await askWith(camera.device_key, own!.file_id)).error).toMatchObject({ message: 'file_not_found' });
  expect(await stack.sql(`select count(*) from audit.access_log`)).toEqual(before);
});

test('a reader, a revoked camera and whoever has no key announce none', async () => {
  const [reader, stolen] = [await enroll('Blind reader', 'reader'), await enroll('Stolen camera', 'camera')];
  await manager.rpc('revoke_device', { device_id: stolen.device_id }).throwOnError();
  const files = () => stack.sql(`select count(*) from public.files`);
  const before = await files();
  expect(await announce(reader.device_key)).toMatchObject({ status: 403, told: { message: 'permission_denied' } });
  expect(await announce(stolen.device_key)).toMatchObject({ status: 401, told: { message: 'device_unknown' } });
  const guard = await stack.client('guard@demo.example');
  expect((await guard.rpc('register_device_photo', photo)).error).toMatchObject({ message: 'device_unknown' });
  expect(await announce(camera.device_key, { content_type: 'image/svg+xml', size: 4 })).toMatchObject({ status: 415, told: { message: 'content_type_refused' } });
  expect(await announce(camera.device_key, { content_type: 'image/png', size: 5_242_881 })).toMatchObject({ status: 413, told: { message: 'file_too_large' } });
  expect(await files()).toEqual(before);
});

test('an address that was signed for a camera takes nothing once the camera is revoked', async () => {
  const stolen = await enroll('Camera in a bag', 'camera');
  const { told } = await announce(stolen.device_key);
  await manager.rpc('revoke_device', { device_id: stolen.device_id }).throwOnError();
  expect(await upload(told.upload_url, jpeg)).toBeGreaterThanOrEqual(400);
  expect(await statusOf(told.file_id)).toBe('registered');
});

test('of many announced at once by one device fifty wait for their content', async () => {
  const flood = await enroll('Mad camera', 'camera');
  const answers = await Promise.all(Array.from({ length: 60 }, () => stack.device(flood.device_key).rpc('register_device_photo', photo)));
  expect(answers.filter(({ error }) => error === null)).toHaveLength(50);
  expect(new Set(answers.flatMap(({ error }) => (error ? [error.message] : [])))).toEqual(new Set(['too_many_uploads']));
  expect(await stack.sql(`select count(*)::integer as n from private.device_photos where device_id = $1`, [flood.device_id])).toEqual([{ n: 50 }]);
});
