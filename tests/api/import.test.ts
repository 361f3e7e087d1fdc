import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseReport, type RosterReport } from '../../scripts/import/report.ts';
import type { Cell } from '../../scripts/import/table.ts';
import { projectRoot } from '../../scripts/stack/paths.ts';
import { bundle, type Bundle } from '../support/command-line.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let commandLine: Bundle;
const folder = mkdtempSync(join(tmpdir(), 'vicinia-import-'));
beforeAll(async () => {
  [stack, commandLine] = await Promise.all([startTestStack(), bundle('import.ts')]);
});
afterAll(async () => {
  commandLine.remove();
  await stack.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Makes a community that a test has for itself. */
async function community(slug: string, country = 'BG', locale = 'bg', idealParts = 100): Promise<string> {
  const [made] = await stack.sql<{ id: string }>(
    `select public.create_community(o.id, $1, $1, $2, 'EUR', 'Europe/Sofia', $3, $4) as id from public.organizations o where o.slug = 'domus-care'`,
    [slug, country, locale, idealParts],
  );
  return made?.id ?? '';
}

/** A manager of the community, signed in. */
async function managerOf(communityId: string): Promise<SupabaseClient> {
  const email = `manager-${communityId}@demo.example`;
  const { id } = await stack.createUser({ email });
  await stack.sql(`select public.grant_role($1, 'manager', community_id => $2)`, [id, communityId]);
  return stack.client(email);
}

type Call = { community_id: string; headers: string[]; rows: Cell[][]; dry_run?: boolean };

async function bringIn(client: SupabaseClient, call: Call): Promise<{ status: number; token: string; report?: RosterReport }> {
  const { data, error, status } = await client.rpc('import_roster', call);
  if (!error) return { status, token: 'ok', report: parseReport(data) };
  return { status, token: error.message, ...(error.message === 'roster_refused' && { report: parseReport(error.details) }) };
}

const stored = async (communityId: string): Promise<Record<string, number>> => {
  const [counts] = await stack.sql<Record<string, number>>(
    `select
       (select count(*)::int from public.buildings where community_id = $1) as buildings,
       (select count(*)::int from public.entrances where community_id = $1) as entrances,
       (select count(*)::int from public.units where community_id = $1) as units,
       (select count(*)::int from public.residents where community_id = $1) as residents,
       (select count(*)::int from public.occupancies where community_id = $1) as occupancies,
       (select count(*)::int from audit.log where community_id = $1) as entries`,
    [communityId],
  );
  return counts ?? {};
};

/** Runs the command line against this file's stack unless told otherwise. */
async function run(args: string[], { local = true, env = {} }: { local?: boolean; env?: NodeJS.ProcessEnv } = {}): Promise<{ code: number | null; output: string }> {
  return outcome(commandLine.start([...args, ...(local ? ['--url', stack.url, '--key', stack.keys.secret] : [])], env));
}

async function outcome(child: ChildProcess): Promise<{ code: number | null; output: string }> {
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, output };
}

const roster = (name: string): string => join(projectRoot, 'data/rosters', name);

describe('the shipped rosters', () => {
  test.each([
    { file: 'sofia-lozenets.csv', country: 'BG', locale: 'bg', declared: 100, units: 324, warnings: ['building_assumed', ...Array<string>(5).fill('until_assumed')] },
    { file: 'queretaro-los-encinos.xlsx', country: 'MX', locale: 'es-MX', declared: 100, units: 102, warnings: [] },
    { file: 'bengaluru-palm-meadows.csv', country: 'IN', locale: 'en', declared: 100, units: 154, warnings: [] },
    { file: 'chiang-mai-doi-view.csv', country: 'TH', locale: 'th', declared: 10000, units: 24, warnings: [] },
  ])('$file is checked, stored, and changes nothing the second time', async ({ file, country, locale, declared, units, warnings }) => {
    const slug = `shipped-${country.toLowerCase()}`;
    const id = await community(slug, country, locale, declared);
    const report = join(folder, `${slug}.json`);
    const last = (): RosterReport => parseReport(readFileSync(report, 'utf8'));

    const dry = await run([roster(file), '--community', slug, '--dry-run', '--report', report]);
    expect(dry, dry.output).toMatchObject({ code: 0 });
    expect(last()).toMatchObject({ status: 'checked', refused: 0, ideal_parts: { declared, stored_after: declared, difference: 0 } });
    const warned = last().warnings.map(({ reason }) => reason);
    expect(await stored(id)).toMatchObject({ units: 0, residents: 0, entries: 1 });
    const promised = last().totals;

    const first = await run([roster(file), '--community', slug, '--yes', '--report', report]);
    expect(first, first.output).toMatchObject({ code: 0 });
    expect(last()).toMatchObject({ status: 'applied', totals: promised });
    const after = await stored(id);
    expect(after).toMatchObject({ units, residents: promised.residents.create, occupancies: promised.occupancies.create });
    // A flat whose lease has run out since the file was written is let no longer, whatever the file says.
    const [leases] = await stack.sql<{ over: number }>(
      `select count(distinct o.unit_id)::int as over from public.occupancies o join public.communities c on c.id = o.community_id
       where c.id = $1 and o.role = 'tenant' and o.ends_on < (now() at time zone c.time_zone)::date`,
      [id],
    );
    const isOfStatus = (reason: string): boolean => reason === 'status_follows_people';
    expect(warned.filter((reason) => !isOfStatus(reason))).toEqual(warnings);
    expect(warned.filter(isOfStatus).length).toBeLessThanOrEqual(leases?.over ?? 0);

    const second = await run([roster(file), '--community', slug, '--yes', '--report', report]);
    expect(second, second.output).toMatchObject({ code: 0 });
    expect(second.output).toContain('Nothing changed.');
    expect(last().changes).toEqual([]);
    expect(await stored(id)).toEqual(after);
    const [parts] = await stack.sql<{ difference: string; vacant: number; companies: number; shared: number }>(
      `select r.difference::float8 as difference,
         (select count(*)::int from public.units u where u.community_id = $1 and u.status = 'vacant') as vacant,
         (select count(*)::int from public.residents re where re.community_id = $1 and re.kind = 'company') as companies
       from public.ideal_parts_report r where r.community_id = $1`,
      [id],
    );
    expect(parts?.difference).toBe(0);
    expect(parts?.vacant).toBeGreaterThan(0);
    expect(parts?.companies).toBeGreaterThan(0);
  });

  test('what its units owed, and what its funds had, comes into the books of the block in Sofia, and balances', async () => {
    const slug = 'shipped-balances';
    const id = await community(slug);
    expect(await run([roster('sofia-lozenets.csv'), '--community', slug, '--yes'])).toMatchObject({ code: 0 });
    await stack.sql(`select public.open_books($1, '2026-01-01')`, [id]);
    const report = join(folder, `${slug}.json`);
    const list = ['balances', join(projectRoot, 'data/balances/sofia-lozenets.csv'), '--community', slug, '--yes', '--report', report];
    const first = await run(list);
    expect(first, first.output).toMatchObject({ code: 0 });
    expect(JSON.parse(readFileSync(report, 'utf8'))).toMatchObject({
      status: 'applied', refused: 0, totals: { balances: { create: 60, update: 0, unchanged: 0 } }, warnings: [{ reason: 'fund_assumed' }], funds: [{ difference: 0 }, { difference: 0 }],
    });
    expect(await run(list)).toMatchObject({ code: 0, output: expect.stringContaining('Nothing changed.') });
  }, 60_000);

  test('whoever verified an address of the roster sees their own unit and nobody else\'s', async () => {
    const id = await community('seen');
    const manager = await managerOf(id);
    await stack.createUser({ email: 'rada@seen.example' });
    const before = await stack.client('rada@seen.example');
    expect((await before.from('units').select('number').eq('community_id', id)).data).toEqual([]);
    const { report } = await bringIn(manager, {
      community_id: id,
      headers: ['Unit', 'Name', 'Role', 'Email'],
      rows: [['1', 'Rada', 'owner', 'Rada@seen.example'], ['1', 'Simeon', 'family', null], ['2', 'Toma', 'owner', 'toma@seen.example']],
      dry_run: false,
    });
    expect(report?.status).toBe('applied');
    // The token she holds was minted before: access follows the tables.
    expect((await before.from('units').select('number').eq('community_id', id)).data).toEqual([{ number: '1' }]);
    expect((await before.from('residents').select('full_name').eq('community_id', id).order('full_name')).data).toEqual([{ full_name: 'Rada' }, { full_name: 'Simeon' }]);
    await stack.createUser({ email: 'toma@seen.example' });
    expect((await (await stack.client('toma@seen.example')).from('units').select('number')).data).toEqual([{ number: '2' }]);
  });

  test.each(['en', 'es', 'bg', 'hi', 'th'])('a template in %s, filled in as it shows, is a roster', async (language) => {
    const id = await community(`template-${language}`, 'BG', language);
    const manager = await managerOf(id);
    const { data } = await manager.rpc('roster_headers', { language });
    const columns = data as { field: string; header: string; example: string }[];
    const { report } = await bringIn(manager, { community_id: id, headers: columns.map(({ header }) => header), rows: [columns.map(({ example }) => example)] });
    expect(report).toMatchObject({ status: 'checked', refusals: [] });
    expect(report?.columns.map(({ field }) => field)).toEqual(columns.map(({ field }) => field));
    expect(report?.totals).toMatchObject({ units: { create: 1 }, residents: { create: 1 }, occupancies: { create: 1 } });
  });

  test('there is no template in a language that nobody has added', async () => {
    const client = await stack.client('manager@demo.example');
    expect(await client.rpc('roster_headers', { language: 'tlh' })).toMatchObject({ status: 422, error: { message: 'unknown_language', code: 'PT422' } });
    expect((await (await stack.client()).rpc('roster_headers', { language: 'en' })).status).toBe(401);
  });
});

describe('the command line', () => {
  const csv = (name: string, content: string | Uint8Array): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };

  test('a refused roster names row, column and reason, and ends with 1', async () => {
    const id = await community('refused');
    const { code, output } = await run([csv('bad.csv', 'Unit,Area,Name,Role\n1,70,Ana,owner\n2,big,Boris,king\n'), '--community', 'refused']);
    expect(code, output).toBe(1);
    expect(output).toMatch(/3 +Area +big +This is not a number\. not_a_number/);
    expect(output).toMatch(/3 +Role +king +No such role is known.* unknown_value/);
    expect(output).toContain('nothing was stored');
    expect(await stored(id)).toMatchObject({ units: 0 });
  });

  test('what a file holds moves no cursor and repaints no line', async () => {
    await community('quiet');
    const { code, output } = await run([csv('escapes.csv', 'Unit,\u001b[2JNote,Name\n1,x,\u001b]0;title\u0007Ana\u001b[8m\n'), '--community', 'quiet', '--dry-run']);
    expect(code, output).toBe(1);
    expect(output).toContain('\ufffd[2JNote');
    expect(output).toContain('invalid_text');
    expect(output).not.toMatch(/\u001b\[2J|\u001b\]0;|\u0007|\u001b\[8m/);
    const { output: unread } = await run([roster('queretaro-los-encinos.xlsx'), '--community', 'quiet', '--sheet', '\u001b[2J']);
    expect(unread).toMatch(/has no sheet \ufffd\[2J/);
  });

  test('it is what npm run import starts', async () => {
    const child = spawn('npm', ['run', '--silent', 'import', '--', csv('npm.csv', 'Unit\n1\n'), '--community', 'nowhere', '--url', stack.url, '--key', stack.keys.secret], { cwd: projectRoot });
    expect(await outcome(child)).toMatchObject({ code: 2, output: expect.stringContaining('There is no community nowhere') });
  });

  test('a file that cannot be read is refused as well', async () => {
    const { code, output } = await run([csv('cp1251.csv', Buffer.from([0xc0, 0xef, 0x2c, 0xc8, 0x0a])), '--community', 'lipa-court']);
    expect({ code, output }).toMatchObject({ code: 1, output: expect.stringContaining('not in UTF-8') });
  });

  test('a mapping says what a header means', async () => {
    const id = await community('mapped');
    const mapping = csv('mapping.json', '{"Door": "unit_number", "Pets": null}');
    const { code, output } = await run([csv('mapped.csv', 'Door,Pets,Name,Role\n1,dog,Ana,owner\n'), '--community', 'mapped', '--mapping', mapping]);
    expect(code, output).toBe(0);
    expect(await stored(id)).toMatchObject({ units: 1, residents: 1 });
    expect(await run([csv('m.csv', 'Door,Name\n1,Ana\n'), '--community', 'mapped', '--mapping', csv('no.json', '[1]')])).toMatchObject({ code: 2 });
  });

  test('a correction shows what was and what is', async () => {
    const { code, output } = await run([csv('correction.csv', 'Unit;Area;Name;Role\n1;71,5;Ana;owner\n'), '--community', 'mapped', '--yes']);
    expect(code, output).toBe(0);
    expect(output).toMatch(/2 +unit +1 +Area: nothing → 71\.5/);
  });

  test('a user imports what the user may', async () => {
    const user = ['--url', stack.url, '--key', stack.keys.publishable, '--password', 'vicinia-demo', '--dry-run'];
    const file = csv('user.csv', 'Building,Unit,Name,Role\nMain,1,New Person,family\n');
    expect(await run([file, '--community', 'lipa-court', ...user, '--email', 'manager@demo.example'], { local: false })).toMatchObject({ code: 0 });
    const guard = await run([file, '--community', 'lipa-court', ...user, '--email', 'guard@demo.example'], { local: false });
    expect(guard).toMatchObject({ code: 2, output: expect.stringContaining('permission_denied') });
    const stranger = await run([file, '--community', 'los-encinos', ...user, '--email', 'manager@demo.example'], { local: false });
    expect(stranger).toMatchObject({ code: 2, output: expect.stringContaining('There is no community los-encinos that manager@demo.example may see. There are: lipa-court') });
    expect(await run([file, '--community', 'lipa-court', ...user, '--email', 'nobody@demo.example'], { local: false })).toMatchObject({ code: 2, output: expect.stringContaining('cannot sign in') });
  });

  test('a report that cannot be written is said before anything is stored', async () => {
    const id = await community('unreported');
    const { code, output } = await run([csv('unreported.csv', 'Unit\n1\n'), '--community', 'unreported', '--yes', '--report', join(folder, 'nowhere/report.json')]);
    expect({ code, output }).toMatchObject({ code: 2, output: expect.stringContaining('The report cannot be written') });
    expect(await stored(id)).toMatchObject({ units: 0 });
  });

  test('whatever keeps it from beginning is said in a sentence, and ends with 2', async () => {
    const file = csv('fine.csv', 'Unit\n1\n');
    expect(await run([file])).toMatchObject({ code: 2, output: expect.stringContaining('--community') });
    expect(await run([file, '--community', 'x', '--date-order', 'ymd'])).toMatchObject({ code: 2 });
    expect(await run([file, '--community', 'x', '--delimiter', ';;'])).toMatchObject({ code: 2 });
    const nothing = { VICINIA_HOME: join(folder, 'nothing-here') };
    expect(await run([file, '--community', 'x'], { local: false, env: nothing })).toMatchObject({ code: 2, output: expect.stringContaining('run `npm start` first') });
    const port = await closedPort();
    expect(await run([file, '--community', 'x', '--url', `http://127.0.0.1:${port}`, '--key', 'sb_secret_x'], { local: false })).toMatchObject({ code: 2, output: expect.stringContaining('Nothing answers at') });
  });
});

describe('through the API', () => {
  test('what is no roster is answered with a 4xx and a token', async () => {
    const [lipa] = await stack.sql<{ id: string }>(`select id from public.communities where slug = 'lipa-court'`);
    const before = await stored(lipa?.id ?? '');
    const client = await stack.client('manager@demo.example');
    const { data } = await client.auth.getSession();
    const call = async (body: unknown): Promise<string> => {
      const answer = await fetch(`${stack.url}/rest/v1/rpc/import_roster`, {
        method: 'POST',
        headers: { apikey: stack.keys.publishable, authorization: `Bearer ${data.session?.access_token}`, 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify({ community_id: lipa?.id, headers: ['Unit'], rows: [['1']], ...(body as object) }),
      });
      const { message } = (await answer.json()) as { message?: string };
      return `${answer.status} ${message}`;
    };
    expect(await call({ rows: {} })).toBe('422 invalid_rows');
    expect(await call({ rows: null })).toBe('422 invalid_rows');
    expect(await call({ rows: [['1', { a: 1 }]] })).toBe('422 invalid_rows');
    expect(await call({ headers: [] })).toBe('422 invalid_headers');
    expect(await call({ headers: null })).toBe('422 invalid_headers');
    expect(await call({ mapping: ['x'] })).toBe('422 invalid_mapping');
    expect(await call({ first_row: -1 })).toBe('422 invalid_first_row');
    expect(await call({ date_order: 'dd' })).toBe('422 invalid_date_order');
    expect(await call({ rows: Array.from({ length: 20_001 }, () => ['1']) })).toBe('413 too_many_rows');
    expect(await call({ community_id: '00000000-0000-0000-0000-000000000000' })).toBe('403 permission_denied');
    expect(await call({ community_id: null })).toBe('403 permission_denied');
    for (const body of [{ community_id: 'x' }, { headers: 'Unit' }, { headers: { a: 1 } }, { first_row: 'two' }, { dry_run: 'perhaps' }, { first_row: 1e12 }, { rows: [['a\u0000b']] }, '{', '[]', '"x"', '']) {
      expect(await call(body)).toMatch(/^4\d\d /);
    }
    expect(await stored(lipa?.id ?? '')).toEqual(before);
  });

  test('an importer who may not read details does not learn them by importing', async () => {
    const id = await community('discreet');
    const manager = await managerOf(id);
    const headers = ['Unit', 'Name', 'Role', 'Email', 'Phone', 'ID number', 'Note'];
    expect((await bringIn(manager, { community_id: id, headers, rows: [['1', 'Ana', 'owner', 'ana@secret.example', '088 555 0101', 'AB123456', 'secret']], dry_run: false })).token).toBe('ok');
    const [role] = await stack.sql<{ id: string }>(`insert into public.roles (level, key, name, community_id) values ('community', 'typist', 'Typist', $1) returning id`, [id]);
    await stack.sql(`insert into public.role_permissions (role_id, permission_key) values ($1, 'roster.import')`, [role?.id]);
    const { id: typist } = await stack.createUser({ email: 'typist@demo.example' });
    await stack.sql(`select public.grant_role($1, 'typist', community_id => $2)`, [typist, id]);
    const { report } = await bringIn(await stack.client('typist@demo.example'), { community_id: id, headers, rows: [['1', 'Ana', 'owner', 'x@new.example', '088 555 0102', 'AB123457', 'new']] });
    expect(report?.status).toBe('checked');
    expect(JSON.stringify(report)).not.toMatch(/secret|0101|AB123456/);
    const own = await bringIn(manager, { community_id: id, headers, rows: [['1', 'Ana', 'owner', 'x@new.example', null, null, null]] });
    expect(own.report?.changes).toMatchObject([{ column: 'Email', before: 'ana@secret.example', after: 'x@new.example' }]);
  });

  test('imports of one roster at the same time store it once, and none fails', async () => {
    const id = await community('raced');
    const manager = await managerOf(id);
    const headers = ['Building', 'Entrance', 'Unit', 'Name', 'Role', 'Email', 'Reference'];
    const rows = Array.from({ length: 60 }, (_, n) => ['Main', n % 2 ? 'A' : 'B', String(n + 1), `Owner ${n}`, 'owner', `owner${n}@raced.example`, n % 3 ? `R-${n}` : null]);
    const answers = await Promise.all(Array.from({ length: 8 }, () => bringIn(manager, { community_id: id, headers, rows, dry_run: false })));
    expect(answers.map(({ token }) => token)).toEqual(Array(8).fill('ok'));
    expect(answers.map(({ report }) => report?.totals.units.create).sort((a = 0, b = 0) => b - a)).toEqual([60, ...Array(7).fill(0)]);
    expect(await stored(id)).toMatchObject({ buildings: 1, entrances: 2, units: 60, residents: 60, occupancies: 60 });
  });

  test('imports of two rosters that share units and people, at the same time, make nothing twice', async () => {
    const id = await community('raced-two');
    const manager = await managerOf(id);
    const headers = ['Building', 'Unit', 'Name', 'Role', 'Email'];
    const part = (from: number, to: number): Cell[][] => Array.from({ length: to - from }, (_, n) => ['Main', String(from + n), `Owner ${from + n}`, 'owner', `owner${from + n}@raced.example`]);
    const answers = await Promise.all([part(0, 40), part(20, 60), part(10, 50), part(0, 60)].map((rows) => bringIn(manager, { community_id: id, headers, rows, dry_run: false })));
    expect(answers.map(({ token }) => token)).toEqual(Array(4).fill('ok'));
    expect(await stored(id)).toMatchObject({ buildings: 1, units: 60, residents: 60, occupancies: 60 });
  });

  test('whatever a file holds: never a 5xx, all or nothing, a dry run tells the truth, and again changes nothing', { timeout: 180_000 }, async () => {
    const random = mulberry32(20_260_101);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
    const id = await community('fuzzed');
    const manager = await managerOf(id);
    let applied = 0;
    let refused = 0;
    for (let round = 0; round < 60; round += 1) {
      // One file in three is sound: each unit once, and whoever is named has a role.
      const isSound = round % 3 === 0;
      const columns = isSound ? ['Building', 'Unit', 'Name', 'Role', 'Area'] : Object.keys(vocabulary).filter((header) => header === 'Unit' || random() < 0.6);
      const wildness = random() * 0.06;
      const rows = Array.from({ length: 1 + Math.floor(random() * 12) }, (_, n) =>
        isSound
          ? ['Main', `${round}-${n}`, pick((vocabulary.Name ?? []).filter((name) => name !== null)), 'owner', pick(vocabulary.Area ?? [null])]
          : columns.map((header) => (random() < wildness ? pick(nonsense) : pick(vocabulary[header] ?? [null]))),
      );
      const story = JSON.stringify({ round, columns, rows });
      const call = { community_id: id, headers: columns, rows };
      const before = await stored(id);
      const dry = await bringIn(manager, { ...call, dry_run: true });
      expect(dry.status, story).toBe(200);
      expect(await stored(id), story).toEqual(before);
      const real = await bringIn(manager, { ...call, dry_run: false });
      if (dry.report?.status === 'refused') {
        refused += 1;
        expect(real, story).toMatchObject({ status: 422, token: 'roster_refused' });
        expect(real.report?.refusals, story).toEqual(dry.report.refusals);
        expect(await stored(id), story).toEqual(before);
        continue;
      }
      applied += 1;
      expect(real, story).toMatchObject({ status: 200, token: 'ok' });
      expect(real.report?.totals, story).toEqual(dry.report?.totals);
      const after = await stored(id);
      for (const what of ['buildings', 'entrances', 'units', 'residents', 'occupancies'] as const) {
        expect((after[what] ?? 0) - (before[what] ?? 0), `${what} in ${story}`).toBe(real.report?.totals[what].create);
      }
      const again = await bringIn(manager, { ...call, dry_run: false });
      expect(again.report?.changes, story).toEqual([]);
      expect(await stored(id), story).toEqual(after);
    }
    expect({ applied: applied > 8, refused: refused > 8 }, `${applied} applied, ${refused} refused`).toEqual({ applied: true, refused: true });
  });
});

/** Cells that belong together often enough for units and people to meet again. */
const vocabulary: Record<string, readonly Cell[]> = {
  Building: ['Main', 'main', 'Side', null],
  Entrance: ['A', 'B', null, null, null],
  Unit: ['1', '2', '3', '12A', '12 a', 7],
  Type: ['apartment', 'къща', 'local', null, null],
  Floor: ['1', 'PB', null, null],
  Area: [71.5, null, null, null],
  'Ideal parts': ['1,25', null, null],
  Status: ['vacant', 'occupied', 'under maintenance', null, null, null],
  Name: ['Ivan Petrov', 'IVAN PETROV', 'Мария', 'Invest EOOD', 'สมชาย', 'José', null],
  Kind: ['person', null, null, null],
  Role: ['owner', 'owner', 'tenant', 'family', null],
  Share: [null, null, '25', '1/4', '10 %'],
  'Lives in': ['yes', 'no', null],
  'Primary contact': [null, null, null, 'yes', 'no'],
  Since: ['2020-01-01', '01.06.2021', null, null, '2030-01-01'],
  Until: [null, null, null, '2024-12-31', '2031-12-31'],
  Email: ['a@mail.example', 'b@mail.example', null, null],
  Phone: ['088 555 0101', null, null, null],
  'ID number': [null, null, null, 'AB123', 'CD456'],
  Reference: [null, null, null, 'R-1', 'R-2', 'r1'],
  Language: ['bg', null],
  Note: ['has a dog', null, null],
};

const nonsense: readonly Cell[] = [
  '', ' ', '-', '?', '\u0001', 'a\u0090b', '\u202e', 'क्\u200dष', '😀', 'x'.repeat(600), "'; drop table units; --", '<b>', '1e400', -1, 0, 1e15, 0.1, true, false, 'null', '99/99/9999', '1.234', '½', '100000000000', 'NaN', '{', '\\', '%',
];

/** A closed port: one that was free a moment ago. */
async function closedPort(): Promise<number> {
  const server = createServer();
  const port = await new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)));
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Numbers that are random and the same in every run. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
