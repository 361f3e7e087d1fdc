import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { functionNames, lastChangeOf } from '../../../scripts/stack/functions-runtime.ts';
import { functionsDir, projectRoot } from '../../../scripts/stack/paths.ts';
import { readSupabaseConfig } from '../../../scripts/stack/supabase-config.ts';
import { startTestStack, type TestStack } from '../../support/stack.ts';

const run = promisify(execFile);

describe('a function is served under /functions/v1', () => {
  let stack: TestStack;
  beforeAll(async () => {
    stack = await startTestStack({ functions: true });
    await stack.createUser({ email: 'caller@functions.example' });
  });
  afterAll(() => stack.stop());

  /** The first of the stack's processes is PostgREST. */
  const functionPids = () => stack.pids().slice(1);
  const address = () => `${stack.url}/functions/v1/roster-template?language=bg`;

  test('to a user, through supabase-js', async () => {
    const client = await stack.client('caller@functions.example');
    const { data, error } = await client.functions.invoke<string>('roster-template?language=bg', { method: 'GET' });
    expect(error).toBeNull();
    expect(data).toMatch(/^\ufeff?[^\r\n]*[а-я][^\r\n]*\r\n[^\r\n]+\r\n$/i);
  });

  test('with its own headers and status', async () => {
    const client = await stack.client('caller@functions.example');
    const token = (await client.auth.getSession()).data.session?.access_token ?? '';
    const headers = { apikey: stack.keys.publishable, authorization: `Bearer ${token}` };
    const found = await fetch(address(), { headers });
    expect([found.status, found.headers.get('content-type')]).toEqual([200, 'text/csv; charset=utf-8']);
    const refused = await fetch(`${stack.url}/functions/v1/roster-template?language=fr`, { headers });
    expect([refused.status, await refused.json()]).toMatchObject([400, { message: 'unknown_language' }]);
  });

  test('not to who brings no JWT, or a forged one', async () => {
    expect((await fetch(address())).status).toBe(401);
    const forged = await fetch(address(), { headers: { apikey: stack.keys.publishable, authorization: 'Bearer a.b.c' } });
    expect([forged.status, await forged.json()]).toEqual([401, { code: 401, message: 'Invalid JWT' }]);
  });

  test('and the database refuses whom it does not let ask', async () => {
    const response = await fetch(address(), { headers: { apikey: stack.keys.publishable } });
    expect([response.status, await response.json()]).toMatchObject([403, { message: 'not_allowed' }]);
  });

  test('a page of another origin may ask first', async () => {
    const response = await fetch(address(), {
      method: 'OPTIONS',
      headers: {
        origin: 'https://app.example',
        'access-control-request-method': 'GET',
        'access-control-request-headers': 'authorization,apikey',
      },
    });
    expect(response.ok).toBe(true);
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
  });

  test('one that does not exist is a 404', async () => {
    const response = await fetch(`${stack.url}/functions/v1/nothing`, { headers: { apikey: stack.keys.publishable } });
    expect([response.status, await response.json()]).toMatchObject([404, { code: 'NOT_FOUND' }]);
  });

  test('one that has died, or whose code has changed, is started anew', async () => {
    const call = async () => (await fetch(address(), { headers: { apikey: stack.keys.secret } })).status;
    expect(await call()).toBe(200);
    const [first] = functionPids();
    process.kill(first ?? 0, 'SIGKILL');
    await vi.waitFor(() => expect(functionPids()).toEqual([]), { timeout: 30_000 });
    expect(await Promise.all(Array.from({ length: 8 }, call))).toEqual(Array<number>(8).fill(200));
    const [second, ...more] = functionPids();
    expect([second === first, more]).toEqual([false, []]);
    const now = new Date();
    // Its own code, and not what all functions share: that would start those anew that other tests are asking now.
    utimesSync(join(functionsDir, 'roster-template/index.ts'), now, now);
    expect(await call()).toBe(200);
    expect(functionPids()).not.toContain(second);
  });

  test('and its code is also what all functions share, not what is another’s', () => {
    const all = mkdtempSync(join(tmpdir(), 'vicinia-functions-'));
    const seconds: Record<string, number> = { 'one/index.ts': 1000, '_shared/deep/log.ts': 2000, 'another/index.ts': 3000 };
    for (const [file, second] of Object.entries(seconds)) {
      mkdirSync(join(all, file, '..'), { recursive: true });
      writeFileSync(join(all, file), '');
      utimesSync(join(all, file), second, second);
    }
    for (const folder of ['one', '_shared', '_shared/deep', 'another']) utimesSync(join(all, folder), 1, 1);
    expect(lastChangeOf('one', all)).toBe(2_000_000);
    utimesSync(join(all, 'one/index.ts'), 4000, 4000);
    expect(lastChangeOf('one', all)).toBe(4_000_000);
    rmSync(all, { recursive: true });
  });

  test('none runs after the stack has stopped', async () => {
    const other = await startTestStack({ functions: true });
    await fetch(`${other.url}/functions/v1/roster-template`, { headers: { apikey: other.keys.publishable } });
    const pids = other.pids();
    expect(pids).toHaveLength(2);
    await other.stop();
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  });
});

describe('every function deploys', () => {
  test('config.toml names each one, its entrypoint and its imports', () => {
    const config = readFileSync(join(projectRoot, 'supabase/config.toml'), 'utf8');
    expect(Object.keys(readSupabaseConfig().functions).sort()).toEqual(functionNames());
    for (const name of functionNames()) {
      expect(config).toContain(`entrypoint = "../functions/${name}/index.ts"`);
      expect(config).toContain(`import_map = "../functions/${name}/deno.json"`);
    }
  });

  test('it pins the versions that are tested here', () => {
    const versions =
      (JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { devDependencies: Record<string, string> })
        .devDependencies;
    for (const file of ['deno.json', ...functionNames().map((name) => `functions/${name}/deno.json`)]) {
      const { imports } = JSON.parse(readFileSync(join(projectRoot, file), 'utf8')) as { imports: Record<string, string> };
      for (const [name, target] of Object.entries(imports)) {
        expect(target, `${file}: ${name}`).toBe(`npm:${name}@${versions[name]}`);
      }
    }
  });

  test('with all files it needs, as `supabase functions deploy` sends them', { timeout: 120_000 }, async () => {
    const uploads = new Map<string, { files: string[]; metadata: Record<string, unknown> }>();
    const api = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const body = Buffer.concat(chunks).toString();
        const slug = new URL(request.url ?? '', 'http://localhost').searchParams.get('slug');
        if (slug) {
          uploads.set(slug, {
            files: [...body.matchAll(/name="file"; filename="([^"]+)"/g)].map(([, file]) => file ?? ''),
            metadata: JSON.parse(/name="metadata"\s+(\{.*\})/.exec(body)?.[1] ?? '{}') as Record<string, unknown>,
          });
        }
        response.writeHead(request.method === 'POST' ? 201 : 200, { 'content-type': 'application/json' });
        response.end(
          request.method === 'GET' ? '[]' : JSON.stringify(request.method === 'PUT' ? { functions: [] } : { id: slug, slug, name: slug, status: 'ACTIVE', version: 1 }),
        );
      });
    });
    await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
    const scratch = mkdtempSync(join(tmpdir(), 'vicinia-deploy-'));
    try {
      const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
      writeFileSync(
        join(scratch, 'profile.yaml'),
        `name: test\napi_url: ${url}\ndashboard_url: ${url}\nproject_host: localhost\n`,
      );
      await run(join(projectRoot, 'node_modules/.bin/supabase'), [
        'functions',
        'deploy',
        '--use-api',
        '--project-ref',
        'abcdefghijklmnopqrst',
        '--profile',
        join(scratch, 'profile.yaml'),
      ], {
        cwd: projectRoot,
        env: { ...process.env, SUPABASE_ACCESS_TOKEN: `sbp_${'0'.repeat(40)}` },
      });
    } finally {
      api.close();
      rmSync(scratch, { recursive: true, force: true });
    }
    expect([...uploads.keys()].sort()).toEqual(functionNames());
    for (const [name, { files, metadata }] of uploads) {
      expect(metadata).toMatchObject({
        name,
        entrypoint_path: `functions/${name}/index.ts`,
        import_map_path: `functions/${name}/deno.json`,
        verify_jwt: readSupabaseConfig().functions[name]?.verify_jwt,
      });
      for (const file of readdirSync(join(functionsDir, name)).map((entry) => `functions/${name}/${entry}`)) {
        expect(files).toContain(file);
      }
      for (const file of files) expect(existsSync(join(projectRoot, file)), file).toBe(true);
    }
  });
});
