import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@supabase/supabase-js';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import WebSocket from 'ws';
import { type Home, homeAt, projectRoot } from '../../../scripts/stack/paths.ts';
import { freePort } from '../../../scripts/stack/ports.ts';
import { listProcesses } from '../../../scripts/stack/process-table.ts';

let home: Home;
let environment: NodeJS.ProcessEnv;
let url: string;
const started: ChildProcess[] = [];

beforeAll(async () => {
  const root = mkdtempSync(join(tmpdir(), 'vicinia-start-'));
  // Whoever runs PostgreSQL in place of root has to be able to enter.
  chmodSync(root, 0o755);
  home = homeAt(join(root, 'home'));
  const [api, database] = [await freePort(), await freePort()];
  url = `http://127.0.0.1:${api}`;
  environment = {
    ...process.env,
    VICINIA_HOME: home.root,
    VICINIA_PORT: String(api),
    VICINIA_DB_PORT: String(database),
    NO_COLOR: '1',
  };
});
afterEach(async () => {
  for (const child of started.splice(0)) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  await vi.waitFor(() => expect(leftovers()).toEqual([]), { timeout: 45_000 });
});
afterAll(() => rmSync(join(home.root, '..'), { recursive: true, force: true }));

type Run = { child: ChildProcess; output: () => string; ended: Promise<number | string> };

/** Runs a script as npm does. */
function script(name: string, args: string[] = [], overrides: NodeJS.ProcessEnv = {}): Run {
  const child = spawn(process.execPath, [join(projectRoot, 'scripts/run.mjs'), join(projectRoot, 'scripts', name), ...args], {
    cwd: projectRoot,
    env: { ...environment, ...overrides },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.push(child);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise<number | string>((resolve) =>
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'))
  );
  return { child, output: () => output, ended };
}

/** Starts everything and waits until it says so. */
async function start(name = 'start.ts'): Promise<Run> {
  const run = script(name);
  const failed = run.ended.then((code) => {
    throw new Error(`${name} ended with ${code}:\n${run.output()}`);
  });
  const up = vi.waitFor(() => expect(run.output()).toContain('Ctrl-C stops everything'), { timeout: 50_000, interval: 50 });
  await Promise.race([up, failed]);
  failed.catch(() => undefined);
  up.catch(() => undefined);
  return run;
}

/** Processes of this installation that run at the moment. */
const leftovers = () =>
  listProcesses()
    .filter(({ command }) => command.includes(home.root))
    .map(({ command }) => command);

const childrenOf = (run: Run) => listProcesses().filter(({ parent }) => parent === run.child.pid);
const childNamed = (run: Run, name: string) => childrenOf(run).find(({ command }) => command.includes(name))?.pid ?? 0;

/** Ends it, and sees that it does so in order: nothing keeps running, nothing stays locked. */
async function endsInOrder(run: Run, signal: NodeJS.Signals): Promise<void> {
  const pids = childrenOf(run).map(({ pid }) => pid);
  expect(pids.length).toBeGreaterThanOrEqual(2);
  run.child.kill(signal);
  expect(await run.ended).toBe(0);
  await vi.waitFor(() => expect(listProcesses().filter(({ pid }) => pids.includes(pid))).toEqual([]), { timeout: 30_000 });
  expect(existsSync(home.lock)).toBe(false);
  expect(existsSync(join(home.postgres, 'postmaster.pid'))).toBe(false);
}

/** A second start, and a reset, name the first and leave it alone. */
async function othersAreToldOf(run: Run): Promise<void> {
  for (
    const [name, message] of [
      ['start.ts', `Vicinia is running here already, at ${url} (process ${run.child.pid})`],
      ['reset.ts', `Vicinia is running at ${url} (process ${run.child.pid}): stop it first`],
    ] as const
  ) {
    const second = script(name);
    expect(await second.ended).toBe(1);
    expect(second.output()).toContain(message);
  }
  expect((await fetch(url)).status).toBe(200);
}

/** A process of whoever runs PostgreSQL that has nothing to do with us, though a word of its command says otherwise. */
function bystander(): number {
  const { uid, gid } = statSync(home.postgres);
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', 'start.ts'], { uid, gid, cwd: '/', stdio: 'ignore' });
  started.push(child);
  return child.pid as number;
}

// A start is dear: each way to end ends one that was made for something else.
describe('npm start', () => {
  test('says that PostgreSQL crashed while it was migrated, and where to read on', async () => {
    const run = script('start.ts');
    await vi.waitFor(() => expect(run.output()).toContain('20260101000100_'), { timeout: 50_000, interval: 10 });
    process.kill(childNamed(run, 'bin/postgres'), 'SIGKILL');
    expect(await run.ended).toBe(1);
    expect(run.output()).toContain(`PostgreSQL ended unexpectedly (signal SIGKILL): ${join(home.logs, 'postgres.log')} has its last words.`);
    expect(run.output()).not.toContain('    at ');
  });

  test('says where everything is, and everything is there; ends in order on SIGINT', async () => {
    const run = await start();
    expect(run.output()).toContain(url);
    const keys = JSON.parse(readFileSync(home.keys, 'utf8')) as { publishable: string; secret: string };
    expect(run.output()).toContain(keys.publishable);
    expect(run.output()).toContain(keys.secret);
    const client = createClient(url, keys.secret, {
      auth: { persistSession: false },
      realtime: { transport: WebSocket as never },
    });
    const { data, error } = await client.auth.admin.listUsers();
    expect(error).toBeNull();
    expect(data.users.length).toBeGreaterThan(3);
    for (const { email } of data.users) expect(run.output()).toMatch(new RegExp(`${email} +[a-z]+ of `));
    await endsInOrder(run, 'SIGINT');
  });

  test('keeps its secrets and mails from other users of the machine', () => {
    expect(statSync(home.keys).mode & 0o077).toBe(0);
    for (const folder of [home.mails, home.storage, home.logs, home.postgres]) {
      expect(statSync(folder).mode & 0o077, folder).toBe(0);
    }
  });

  test('may be told to end while it is starting', async () => {
    const run = script('start.ts');
    await vi.waitFor(() => expect(run.output()).toContain('PostgreSQL'), { timeout: 60_000, interval: 10 });
    run.child.kill('SIGINT');
    expect(await run.ended).toBe(0);
  });

  test('leaves nothing running when it is killed, starts again after that, and ends in order on SIGHUP', async () => {
    const run = await start();
    run.child.kill('SIGKILL');
    expect(await run.ended).toBe('SIGKILL');
    await vi.waitFor(() => expect(leftovers()).toEqual([]), { timeout: 45_000 });
    // Meanwhile the system has given the ids that are in the notes of those killed to another program.
    const pid = bystander();
    writeFileSync(home.lock, JSON.stringify({ pid, birth: 'earlier', url, databasePort: 1, startedAt: new Date().toISOString() }));
    writeFileSync(join(home.postgres, 'postmaster.pid'), `${pid}\n${home.postgres}\n`);
    await endsInOrder(await start(), 'SIGHUP');
  });

  test.skipIf(process.platform !== 'linux')('starts again though a killed PostgreSQL left a statement at work', async () => {
    const run = await start();
    const { passwords } = JSON.parse(readFileSync(home.keys, 'utf8')) as { passwords: { postgres: string } };
    const client = new pg.Client({ connectionString: `postgresql://postgres:${passwords.postgres}@127.0.0.1:${environment.VICINIA_DB_PORT}/postgres` });
    client.on('error', () => undefined);
    await client.connect();
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const backend = rows[0]?.pid;
    client.query('select count(*) from generate_series(1, 100000000000)').catch(() => undefined);
    process.kill(childNamed(run, 'bin/postgres'), 'SIGKILL');
    await run.ended;
    expect(listProcesses().map(({ pid }) => pid)).toContain(backend);
    await endsInOrder(await start(), 'SIGINT');
    expect(listProcesses().map(({ pid }) => pid)).not.toContain(backend);
  });

  test.each([
    ['PostgREST', 'postgrest'],
    ['PostgreSQL', 'bin/postgres'],
  ])('stops everything and says so when %s crashes', async (name, program) => {
    const run = await start();
    process.kill(childNamed(run, program), 'SIGKILL');
    expect(await run.ended).toBe(1);
    expect(run.output()).toMatch(new RegExp(`${name} ended unexpectedly \\(signal SIGKILL\\)`));
    await vi.waitFor(() => expect(leftovers()).toEqual([]), { timeout: 45_000 });
  });

  test('a second one, and a reset, say that the first is running, which ends in order on SIGTERM', async () => {
    const run = await start();
    await othersAreToldOf(run);
    // What works on the database finds it on the port on which it runs.
    const migrating = script('migrate.ts', [], { VICINIA_DB_PORT: '1' });
    expect(await migrating.ended).toBe(0);
    expect(migrating.output()).toContain('Up to date');
    await endsInOrder(run, 'SIGTERM');
  });

  test.each(['VICINIA_PORT', 'VICINIA_DB_PORT'])('names a port that is taken (%s)', async (variable) => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
    const address = blocker.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const run = script('start.ts', [], { [variable]: String(port) });
    expect(await run.ended).toBe(1);
    expect(run.output()).toContain(
      `Port ${port} is already taken by another program: free it, or choose another with ${variable}.`,
    );
    blocker.close();
  });

  test.each([
    ['abc', 'VICINIA_PORT is "abc", but a port is a whole number from 1 to 65535.'],
    ['54322', 'VICINIA_PORT and VICINIA_DB_PORT are both 54322: choose two ports.'],
  ])('says what is wrong with port %s', async (port, message) => {
    const run = script('start.ts', [], { VICINIA_PORT: port, VICINIA_DB_PORT: '54322' });
    expect(await run.ended).toBe(1);
    expect(run.output()).toContain(message);
    expect(run.output()).not.toContain('    at ');
  });

  test('ends without a word when nobody reads what it says, as of npm start | head', async () => {
    const run = script('start.ts');
    run.child.stdout?.destroy();
    expect(await run.ended).toBe(1);
    expect(run.output()).toBe('');
    expect(existsSync(home.lock)).toBe(false);
  });

  test('says when the keys of its database are damaged or gone, and makes no others', async () => {
    const keys = readFileSync(home.keys);
    try {
      writeFileSync(home.keys, '');
      const damaged = script('start.ts');
      expect(await damaged.ended).toBe(1);
      expect(damaged.output()).toContain(`${home.keys} is damaged: restore it`);
      rmSync(home.keys);
      const gone = script('start.ts');
      expect(await gone.ended).toBe(1);
      expect(gone.output()).toContain(`${home.keys}, with the passwords of the database in ${home.postgres}, is missing: restore it`);
      expect(existsSync(home.keys)).toBe(false);
    } finally {
      writeFileSync(home.keys, keys, { mode: 0o600 });
    }
  });

  test('says what is missing when PostgREST is not there', async () => {
    const run = script('start.ts', [], { POSTGREST_BIN: '/nowhere/postgrest' });
    expect(await run.ended).toBe(1);
    expect(run.output()).toContain('POSTGREST_BIN names /nowhere/postgrest, which is not a program.');
  });
});

describe('npm run reset', () => {
  test('deletes everything, so that new secrets are made; what it starts is as safe from others as what npm start does', async () => {
    const before = readFileSync(home.keys, 'utf8');
    const run = await start('reset.ts');
    expect(readFileSync(home.keys, 'utf8')).not.toBe(before);
    await othersAreToldOf(run);
    await endsInOrder(run, 'SIGINT');
  });

  test('only deletes when it is told so', async () => {
    mkdirSync(home.root, { recursive: true });
    const reset = script('reset.ts', ['--no-start']);
    expect(await reset.ended).toBe(0);
    expect(existsSync(home.root)).toBe(false);
  });
});
