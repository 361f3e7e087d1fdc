import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startTestStack, type TestStack } from '../../support/stack.ts';

let stack: TestStack;
const asService = () => ({ apikey: stack.keys.secret, 'content-type': 'application/json' });

beforeAll(async () => {
  stack = await startTestStack();
  await stack.sql(`
    create table public.shelves (id integer primary key, label text not null);
    insert into public.shelves select n, 'shelf ' || n from generate_series(1, 20000) n;
    grant all on public.shelves to service_role;
    grant select on public.shelves to anon;
    create function public.refuse() returns void language plpgsql set search_path = '' as
      $$ begin raise exception using errcode = 'PT409', message = 'booking_overlap', detail = 'taken', hint = 'try later'; end $$;
    grant execute on function public.refuse() to anon`);
  await vi.waitFor(
    async () => expect((await fetch(`${stack.url}/rest/v1/rpc/refuse`, { headers: asService() })).status).not.toBe(404),
    { timeout: 45_000 },
  );
});
afterAll(() => stack.stop());

describe('the database API passes through the gateway unchanged', () => {
  test('status, headers and body of an answer', async () => {
    const response = await fetch(`${stack.url}/rest/v1/shelves?select=id&limit=2&order=id`, {
      headers: { ...asService(), prefer: 'count=exact' },
    });
    expect(response.status).toBe(206);
    expect(response.headers.get('content-range')).toBe('0-1/20000');
    expect(await response.json()).toEqual([{ id: 1 }, { id: 2 }]);
  });

  test('bodies of requests, and answers without one', async () => {
    const insert = await fetch(`${stack.url}/rest/v1/shelves`, {
      method: 'POST',
      headers: asService(),
      body: '{"id": -1, "label": "Ж"}',
    });
    expect(insert.status).toBe(201);
    const remove = await fetch(`${stack.url}/rest/v1/shelves?id=eq.-1`, { method: 'DELETE', headers: asService() });
    expect(remove.status).toBe(204);
    const head = await fetch(`${stack.url}/rest/v1/shelves?limit=1`, { method: 'HEAD', headers: asService() });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  test.each([10, 65_536, 1_000_000])('requests and answers of %d bytes and more, pieces and all', async (length) => {
    const label = 'Ж'.repeat(length / 2);
    const response = await fetch(`${stack.url}/rest/v1/shelves?select=label`, {
      method: 'POST',
      headers: { ...asService(), prefer: 'return=representation' },
      body: JSON.stringify({ id: -2, label }),
    });
    expect(response.status).toBe(201);
    expect(await response.json()).toEqual([{ label }]);
    await stack.sql('delete from public.shelves where id = -2');
  });

  test('a body without a length', async () => {
    const pieces = ['{"id": -3, ', '"label": "in pieces"}'].map((piece) => new TextEncoder().encode(piece));
    const body = new ReadableStream({ pull: (controller) => (pieces.length > 0 ? controller.enqueue(pieces.shift()) : controller.close()) });
    const response = await fetch(`${stack.url}/rest/v1/shelves`, { method: 'POST', headers: asService(), body, duplex: 'half' } as RequestInit);
    expect(response.status).toBe(201);
    expect(await stack.sql('delete from public.shelves where id = -3 returning label')).toEqual([{ label: 'in pieces' }]);
  });

  test('what a page of another origin may read of answers and of refusals', async () => {
    const answers = await Promise.all([
      fetch(`${stack.url}/rest/v1/shelves?limit=1`, { headers: asService() }),
      fetch(`${stack.url}/rest/v1/shelves?limit=1`),
      fetch(`${stack.url}/rest/v1/shelves`, { method: 'DELETE', headers: asService() }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([200, 401, 400]);
    for (const { headers } of answers) {
      expect(headers.get('access-control-allow-origin')).toBe('*');
      expect(headers.get('access-control-expose-headers')).toContain('Content-Range');
    }
  });

  test('an error keeps its token, and the status in its code', async () => {
    const response = await fetch(`${stack.url}/rest/v1/rpc/refuse`, {
      method: 'POST',
      headers: { apikey: stack.keys.publishable },
    });
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({ message: 'booking_overlap', details: 'taken', hint: 'try later' });
  });

  test('at most as many rows as config.toml allows', async () => {
    const response = await fetch(`${stack.url}/rest/v1/shelves`, { headers: asService() });
    expect(await response.json()).toHaveLength(1000);
  });

  test('a page of another origin may call, with any header', async () => {
    const response = await fetch(`${stack.url}/rest/v1/shelves`, {
      method: 'OPTIONS',
      headers: {
        origin: 'https://app.example',
        'access-control-request-method': 'PATCH',
        'access-control-request-headers': 'apikey,authorization,prefer,x-anything',
      },
    });
    expect(response.ok).toBe(true);
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    expect(response.headers.get('access-control-allow-methods')).toContain('PATCH');
    expect(response.headers.get('access-control-allow-headers')).toContain('x-anything');
  });
});

describe('what Supabase refuses by an extension is refused here as well', () => {
  test.each([
    ['PATCH', '', 'UPDATE requires a WHERE clause'],
    ['PATCH', '?select=id&order=id', 'UPDATE requires a WHERE clause'],
    ['PATCH', '?apikey=/rpc/', 'UPDATE requires a WHERE clause'],
    ['DELETE', '', 'DELETE requires a WHERE clause'],
  ])('%s of everything (%s)', async (method, search, message) => {
    const before = await stack.sql('select count(*), min(label) from public.shelves');
    const response = await fetch(`${stack.url}/rest/v1/shelves${search}`, {
      method,
      headers: asService(),
      ...(method === 'PATCH' && { body: '{"label": "lost"}' }),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: '21000', message });
    expect(await stack.sql('select count(*), min(label) from public.shelves')).toEqual(before);
  });
});

describe('what is not here says so in one sentence', () => {
  test.each([
    ['/realtime/v1/websocket', 'Realtime'],
    ['/graphql/v1', 'GraphQL'],
  ])('%s', async (path, what) => {
    const response = await fetch(stack.url + path, { headers: asService() });
    expect(response.status).toBe(501);
    expect((await response.json()) as { message: string }).toMatchObject({
      message: expect.stringMatching(new RegExp(`^${what} is not part of the local stack`)) as string,
    });
  });

  test('a channel reports an error and does not wait for ever', async () => {
    const client = await stack.client();
    const status = await new Promise<string>((resolve) => client.channel('gate').subscribe((state) => resolve(state)));
    await client.removeAllChannels();
    expect(status).toBe('CHANNEL_ERROR');
  });
});

test.each([
  '/rest/v1/shelves%00', '/rest/v1/%zz', '/auth/v1/%zz', '/storage/v1/object/list/%zz', '/functions/v1/%zz',
])('an address that cannot be read is refused: %s', async (path) => {
  const response = await fetch(stack.url + path, { method: 'POST', headers: asService(), body: '{}' });
  expect([response.status, await response.json()]).toEqual([400, { message: 'The address is malformed.' }]);
});

test('an emulator or a tunnel may call this machine by another name', async () => {
  const { request } = await import('node:http');
  const { port } = new URL(stack.url);
  const ask = (path: string) =>
    new Promise((resolve, reject) =>
      request({ port, host: '127.0.0.1', path, headers: { host: '10.0.2.2:54321', ...asService() } }, (response) => resolve(response.resume().statusCode))
        .on('error', reject)
        .end()
    );
  expect(await Promise.all(['/rest/v1/shelves?limit=1', '/auth/v1/settings', '/storage/v1/bucket', '/functions/v1/none'].map(ask))).toEqual([200, 200, 200, 404]);
});

test('the landing page says where everything is', async () => {
  const response = await fetch(stack.url);
  expect(await response.json()).toMatchObject({
    status: 'running',
    rest: `${stack.url}/rest/v1`,
    auth: `${stack.url}/auth/v1`,
    mail: `${stack.url}/mail`,
  });
});
