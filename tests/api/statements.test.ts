import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseBalancesReport, type BalancesReport } from '../../scripts/import/report.ts';
import type { Cell } from '../../scripts/import/table.ts';
import { bundle, type Bundle } from '../support/command-line.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let commandLine: Bundle;
const folder = mkdtempSync(join(tmpdir(), 'vicinia-balances-'));
beforeAll(async () => {
  [stack, commandLine] = await Promise.all([startTestStack(), bundle('import.ts')]);
});
afterAll(async () => {
  commandLine.remove();
  await stack.stop();
  rmSync(folder, { recursive: true, force: true });
});

const headers = ['Building', 'Unit', 'Name', 'Fund', 'Account', 'Balance'];
const list: Cell[][] = [
  ['Main', '1', 'Ana Petrova', null, null, '120.50'],
  ['Main', '2', 'Boris Iliev', null, null, -30],
  ['Main', '2', 'Boris Iliev', 'RES', null, 7.25],
  [null, null, null, 'OPER', '1000', 1000],
  [null, null, null, 'OPER', '3000', 1090.5],
];

/** Makes a community with books, two units and their owners, that a test has for itself. */
async function community(slug: string): Promise<string> {
  const [made] = await stack.sql<{ id: string }>(
    `select public.create_community(o.id, $1, $1, 'BG', 'EUR', 'Europe/Sofia', 'bg', 100) as id from public.organizations o where o.slug = 'domus-care'`,
    [slug],
  );
  const id = made!.id;
  await stack.sql(`select public.import_roster($1, '{Building,Unit,Name,Role,Since}', $2, dry_run => false)`, [
    id,
    JSON.stringify([['Main', '1', 'Ana Petrova', 'owner', '2020-01-01'], ['Main', '2', 'Boris Iliev', 'owner', '2020-01-01']]),
  ]);
  await stack.sql(`select public.open_books($1, '2025-01-01')`, [id]);
  return id;
}

/** Somebody who holds a role in the community, signed in. */
async function as(role: string, communityId: string): Promise<SupabaseClient> {
  const email = `${role}-${communityId}@demo.example`;
  const { id } = await stack.createUser({ email });
  await stack.sql('select public.grant_role($1, $2, community_id => $3)', [id, role, communityId]);
  return stack.client(email);
}

type Call = { community_id: string; headers: string[]; rows: Cell[][]; opened_on?: string; dry_run?: boolean };

async function bringIn(client: SupabaseClient, call: Call): Promise<{ status: number; token: string; report?: BalancesReport }> {
  const { data, error, status } = await client.rpc('import_opening_balances', call);
  if (!error) return { status, token: 'ok', report: parseBalancesReport(data) };
  return { status, token: error.message, ...(error.message === 'balances_refused' && { report: parseBalancesReport(error.details) }) };
}

const stored = async (communityId: string): Promise<string> => {
  const rows = await stack.sql<{ told: string }>(
    `select (select count(*) from public.journal_entries e where e.community_id = $1) || ' entries; ' ||
       coalesce(string_agg(s.unit_id || ' ' || s.balance, ', ' order by s.unit_id, s.id) filter (where s.balance <> 0), '') as told
     from public.subaccounts s where s.community_id = $1`,
    [communityId],
  );
  return rows[0]!.told;
};

describe('statements', () => {
  const statements = (id: string, account: string): [string, Record<string, unknown>][] => [
    ['trial_balance', { community_id: id, on_day: '2025-12-31' }],
    ['balance_sheet', { community_id: id, on_day: '2025-12-31' }],
    ['income_statement', { community_id: id, from_day: '2025-01-01', to_day: '2025-12-31' }],
    ['cash_flow', { community_id: id, from_day: '2025-01-01', to_day: '2025-12-31' }],
    ['fund_report', { community_id: id, from_day: '2025-01-01', to_day: '2025-12-31' }],
    ['general_ledger', { account_id: account, from_day: '2025-01-01', to_day: '2025-12-31' }],
    ['verify_ledger', { community_id: id }],
  ];

  test('managers and accountants get every statement, everybody else none of them', async () => {
    const id = await community('stated');
    const elsewhere = await community('stated-elsewhere');
    const [account] = await stack.sql<{ id: string }>(`select id from public.accounts where community_id = $1 and purpose = 'receivable' order by code limit 1`, [id]);
    expect((await bringIn(await as('accountant', id), { community_id: id, headers, rows: list, dry_run: false })).token).toBe('ok');
    await stack.createUser({ email: 'ana@stated.example' });
    await stack.sql(
      `update public.residents r set user_id = u.id from auth.users u where u.email = 'ana@stated.example' and r.community_id = $1 and r.full_name = 'Ana Petrova'`,
      [id],
    );
    for (const client of [await as('manager', id), await as('admin', id)]) {
      for (const [name, args] of statements(id, account!.id)) {
        const { data, status } = await client.rpc(name, args);
        expect({ name, status }).toEqual({ name, status: 200 });
        expect({ name, isEmpty: (data as unknown[]).length === 0 }).toEqual({ name, isEmpty: name === 'verify_ledger' });
      }
    }
    const refused = [await as('guard', id), await as('committee', id), await as('technician', id), await stack.client('ana@stated.example'), await as('manager', elsewhere)];
    for (const client of refused) {
      for (const [name, args] of statements(id, account!.id)) {
        const { data, error, status } = await client.rpc(name, args);
        expect({ name, data, status, token: error?.message }).toEqual(
          name === 'general_ledger' && error?.message === 'account_not_found'
            ? { name, data: null, status: 404, token: 'account_not_found' }
            : { name, data: null, status: 403, token: 'permission_denied' },
        );
        expect(JSON.stringify(error)).not.toMatch(/120|Petrova/);
      }
    }
    for (const [name, args] of statements(id, account!.id)) expect({ name, status: (await (await stack.client()).rpc(name, args)).status }).toEqual({ name, status: 401 });
  });

  test('the ledger of an account comes in pages, each line with the balance after it', async () => {
    const id = await community('paged');
    const manager = await as('manager', id);
    const [account] = await stack.sql<{ id: string }>(`select a.id from public.accounts a join public.funds f on f.id = a.fund_id where a.community_id = $1 and f.code = 'OPER' and a.code = '1000'`, [id]);
    await stack.sql(
      `select app.post_entry($1, 'manual', '2025-02-01'::date + n, 'Day ' || n, array[row(a.fund_id, a.id, null, o.id, null, 10.01, null)::app.posting_line])
       from generate_series(1, 30) n, public.accounts a join public.accounts o on o.fund_id = a.fund_id and o.code = '4900' where a.id = $2`,
      [id, account!.id],
    );
    const ask = async (after?: string) => {
      const { data } = await manager
        .rpc('general_ledger', { account_id: account!.id, from_day: '2025-02-11', to_day: '2025-12-31', ...(after !== undefined && { after_id: after }) })
        .limit(8)
        .throwOnError();
      return data as { posting_id: string; description: string; balance: number }[];
    };
    const lines = await ask();
    while (true) {
      const more = await ask(lines.at(-1)!.posting_id);
      if (more.length === 0) break;
      lines.push(...more);
    }
    expect(lines.map(({ description, balance }) => [description, balance])).toEqual([
      [null, 90.09],
      ...Array.from({ length: 21 }, (_, n) => [`Day ${n + 10}`, Math.round((n + 10) * 1001) / 100]),
    ]);
  });

  test('no page loses one side of what moves between two people', async () => {
    const id = await community('paged-pairs');
    const manager = await as('manager', id);
    const [account] = await stack.sql<{ id: string }>(`select a.id from public.accounts a join public.funds f on f.id = a.fund_id where a.community_id = $1 and f.code = 'OPER' and a.purpose = 'receivable'`, [id]);
    await stack.sql(
      `select app.post_entry($1, 'manual', '2025-02-01'::date + n, 'Day ' || n, array[row(a.fund_id, a.id, s.one, a.id, s.other, 1, null)::app.posting_line])
       from public.accounts a
       cross join lateral (select app.subaccount_for($1, a.fund_id, 'receivable', u.id, null) as one, app.subaccount_for($1, a.fund_id, 'receivable', v.id, null) as other
         from public.units u join public.units v on v.community_id = $1 and v.number = '2' where u.community_id = $1 and u.number = '1') s
       cross join generate_series(1, 5) n where a.id = $2`,
      [id, account!.id],
    );
    type Line = { posting_id: string | null; debit: number | null; credit: number | null };
    const ask = async (last?: Line) => {
      const { data } = await manager
        .rpc('general_ledger', {
          account_id: account!.id,
          from_day: '2025-02-01',
          to_day: '2025-12-31',
          ...(last && { after_id: last.posting_id, after_credit: last.credit !== null }),
        })
        .limit(2)
        .throwOnError();
      return data as Line[];
    };
    const lines = await ask();
    while (true) {
      const more = await ask(lines.at(-1)!);
      if (more.length === 0) break;
      lines.push(...more);
    }
    expect(lines.map(({ debit, credit }) => [debit, credit])).toEqual([[null, null], ...Array.from({ length: 10 }, (_, n) => (n % 2 ? [null, 1] : [1, null]))]);
  });

  test('what is no period, fund or book is answered with a 4xx and a token', async () => {
    const id = await community('asked');
    const manager = await as('manager', id);
    const call = async (name: string, args: Record<string, unknown>): Promise<string> => {
      const { error, status } = await manager.rpc(name, { community_id: id, ...args });
      return `${status} ${error?.message}`;
    };
    expect(await call('income_statement', { from_day: '2025-02-01', to_day: '2025-01-31' })).toBe('422 invalid_period');
    expect(await call('cash_flow', { from_day: null, to_day: '2025-01-31' })).toBe('422 invalid_period');
    expect(await call('trial_balance', { on_day: 'infinity' })).toBe('422 invalid_period');
    expect(await call('balance_sheet', { on_day: '9999-12-31' })).toBe('422 invalid_period');
    expect(await call('fund_report', { from_day: '-infinity', to_day: '2025-01-31' })).toBe('422 invalid_period');
    expect(await call('trial_balance', { on_day: '2025-01-31', fund_id: '00000000-0000-4000-8000-000000000000' })).toBe('404 fund_not_found');
    expect(await call('trial_balance', { on_day: 'yesterday week' })).toMatch(/^400 /);
    await stack.sql(`select public.create_community(o.id, 'bookless', 'bookless', 'BG', 'EUR', 'Europe/Sofia', 'bg', 100) from public.organizations o where o.slug = 'domus-care'`);
    const [bookless] = await stack.sql<{ id: string }>(`select id from public.communities where slug = 'bookless'`);
    const other = await as('manager', bookless!.id);
    const { error } = await other.rpc('trial_balance', { community_id: bookless!.id, on_day: '2025-01-31' });
    expect(error).toMatchObject({ message: 'books_not_open', code: 'PT409' });
  });
});

describe('opening balances', () => {
  test('lists of the same balances at the same time are posted once, and none fails', async () => {
    const id = await community('raced-balances');
    const manager = await as('manager', id);
    const answers = await Promise.all(Array.from({ length: 8 }, () => bringIn(manager, { community_id: id, headers, rows: list, dry_run: false })));
    expect(answers.map(({ token }) => token)).toEqual(Array(8).fill('ok'));
    expect(answers.map(({ report }) => report?.totals.balances.create).sort((a = 0, b = 0) => b - a)).toEqual([5, ...Array(7).fill(0)]);
    expect(await stored(id)).toMatch(/^1 entries; /);
    expect((await manager.rpc('verify_ledger', { community_id: id })).data).toEqual([]);
  });

  test('different lists at the same time leave what one of them says, each balance whole', async () => {
    const id = await community('raced-lists');
    const manager = await as('manager', id);
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) => bringIn(manager, { community_id: id, headers, rows: [['Main', '1', 'Ana Petrova', null, null, n + 1]], dry_run: false })),
    );
    expect(answers.map(({ token }) => token)).toEqual(Array(8).fill('ok'));
    const rows = await stack.sql<{ balance: string }>('select balance from public.subaccounts where community_id = $1', [id]);
    expect(rows).toHaveLength(1);
    expect(['1', '2', '3', '4', '5', '6', '7', '8']).toContain(String(Number(rows[0]!.balance)));
    expect((await manager.rpc('verify_ledger', { community_id: id })).data).toEqual([]);
  });

  test('whatever a list holds: never a 5xx, all or nothing, a dry run tells the truth, and again posts nothing', { timeout: 180_000 }, async () => {
    const random = mulberry32(6);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
    const id = await community('fuzzed-balances');
    const manager = await as('manager', id);
    let applied = 0;
    let refused = 0;
    for (let round = 0; round < 45; round += 1) {
      // One list in three is sound: a unit or an account a row, each once, with an amount.
      const isSound = round % 3 === 0;
      const columns = isSound ? ['Unit', 'Name', 'Fund', 'Account', 'Balance'] : ['Unit', ...Object.keys(vocabulary).filter((header) => header !== 'Unit' && random() < 0.7)];
      const wildness = random() * 0.06;
      const rows = isSound
        ? sound.filter(() => random() < 0.5).map((row) => [...row, pick(vocabulary.Balance!)])
        : Array.from({ length: 1 + Math.floor(random() * 4) }, () => columns.map((header) => (random() < wildness ? pick(nonsense) : pick(vocabulary[header]!))));
      const story = JSON.stringify({ round, columns, rows });
      const call = { community_id: id, headers: columns, rows };
      const before = await stored(id);
      const dry = await bringIn(manager, { ...call, dry_run: true });
      expect(dry.status, story).toBe(200);
      expect(await stored(id), story).toBe(before);
      const real = await bringIn(manager, { ...call, dry_run: false });
      if (dry.report?.status === 'refused') {
        refused += 1;
        expect(real, story).toMatchObject({ status: 422, token: 'balances_refused' });
        expect(real.report?.refusals, story).toEqual(dry.report.refusals);
        expect(await stored(id), story).toBe(before);
        continue;
      }
      applied += 1;
      expect(real, story).toMatchObject({ status: 200, token: 'ok' });
      expect(real.report?.totals, story).toEqual(dry.report?.totals);
      expect(real.report?.funds, story).toEqual(dry.report?.funds);
      const after = await stored(id);
      const again = await bringIn(manager, { ...call, dry_run: false });
      expect(again.report?.changes, story).toEqual([]);
      expect(await stored(id), story).toBe(after);
    }
    expect({ applied: applied > 8, refused: refused > 8 }, `${applied} applied, ${refused} refused`).toEqual({ applied: true, refused: true });
    expect((await manager.rpc('verify_ledger', { community_id: id })).data).toEqual([]);
    // What was put down to the funds in the end is what the balance sheet of the first day says.
    const { data } = await manager.rpc('balance_sheet', { community_id: id, on_day: '2025-01-01' });
    expect((data as { amount: number; is_total: boolean }[]).at(-1)).toMatchObject({ amount: 0, is_total: true });
  });

  test.each(['en', 'es', 'bg', 'hi', 'th'])('a template in %s is understood as it is', async (language) => {
    const id = await community(`balances-${language}`);
    const manager = await as('manager', id);
    const { data } = await manager.rpc('roster_headers', { language, import: 'balances' });
    const columns = data as { field: string; header: string; example: string }[];
    const { report } = await bringIn(manager, { community_id: id, headers: columns.map(({ header }) => header), rows: [columns.map(({ example }) => example)] });
    expect(report?.columns.map(({ field }) => field)).toEqual(columns.map(({ field }) => field));
    expect(columns.map(({ field }) => field)).toEqual(expect.arrayContaining(['building', 'unit_number', 'full_name', 'fund', 'balance']));
    // The unit of the example is not there; all else is understood.
    expect(report?.refusals.map(({ reason }) => reason).filter((reason) => !['unknown_unit', 'unknown_person'].includes(reason))).toEqual([]);
  });

  describe('the command line', () => {
    const csv = (name: string, content: string): string => {
      const path = join(folder, name);
      writeFileSync(path, content);
      return path;
    };
    async function run(args: string[]): Promise<{ code: number | null; output: string }> {
      const child = commandLine.start(['balances', ...args, '--url', stack.url, '--key', stack.keys.secret]);
      let output = '';
      child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
      child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
      const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
      return { code, output };
    }

    test('a list is checked, posted, and posts nothing the second time', async () => {
      const id = await community('by-command');
      const file = csv('balances.csv', 'Unit;Name;Fund;Account;Balance\n1;Ana Petrova;;;120,50\n;;OPER;1000;1.000,00\n;;OPER;Fund balance;1.120,50\n');
      const dry = await run([file, '--community', 'by-command', '--dry-run', '--opened-on', '2025-01-01']);
      expect(dry, dry.output).toMatchObject({ code: 0 });
      expect(dry.output).toMatch(/2 +balance +Main \/ 1: Ana Petrova \(Operating fund\) +new 120\.50/);
      expect(dry.output).toMatch(/Operating fund +EUR.1,120\.50 +EUR.1,120\.50 +EUR.0\.00/);
      expect(await stored(id)).toMatch(/^0 entries/);
      expect(await run([file, '--community', 'by-command', '--yes'])).toMatchObject({ code: 0, output: expect.stringContaining('Stored in by-command') });
      const again = await run([file, '--community', 'by-command', '--yes']);
      expect(again.output).toContain('Nothing changed.');
      expect(await stored(id)).toMatch(/^1 entries/);
    });

    test('a refused list names row, column and reason, and ends with 1', async () => {
      await community('by-command-refused');
      const { code, output } = await run([csv('bad.csv', 'Unit,Name,Balance\n1,Ana Petrova,much\n99,Ana Petrova,1\n'), '--community', 'by-command-refused']);
      expect(code, output).toBe(1);
      expect(output).toMatch(/2 +Balance +much +This is not a number\. not_a_number/);
      expect(output).toMatch(/3 +Unit +99 +.* unknown_unit/);
      expect(output).toContain('list of balances is refused: nothing was stored');
    });

    test('the balances of another day end with 2', async () => {
      await community('by-command-day');
      const file = csv('day.csv', 'Unit,Balance\n1,5\n');
      expect(await run([file, '--community', 'by-command-day', '--opened-on', '2024-01-01'])).toMatchObject({ code: 2, output: expect.stringContaining('opening_day_differs') });
    });
  });
});

/** What balances can be of: whom and what. */
const sound: Cell[][] = [
  ['1', 'Ana Petrova', null, null],
  ['2', null, null, null],
  ['2', 'Boris Iliev', 'ремонт', null],
  ['1', 'Ana Petrova', null, 'Deposits held'],
  [null, null, 'OPER', '1000'],
  [null, null, 'RES', 'Fund balance'],
];

/** Cells that belong together often enough for units and people to meet again. */
const vocabulary: Record<string, readonly Cell[]> = {
  Building: ['Main', 'main', null],
  Unit: ['1', '2', '1', '2', null],
  Name: ['Ana Petrova', 'Boris Iliev', 'BORIS ILIEV', null, null],
  Fund: ['OPER', 'Reserve fund', 'ремонт', 'roof', null, null],
  Account: [null, null, null, null, '1000', '2000 Payables', '2200', 'Deposits held', '5000'],
  Balance: [0, 5, 12.5, '120,50', '-7.25', '(3)', '1 000.00', '€ 9'],
  Debit: [null, 5, '7,5'],
  Credit: [null, null, 0, '3.10'],
};

const nonsense: readonly Cell[] = [
  '', ' ', '-', '?', '\u0001', '\u202e', '😀', 'x'.repeat(600), "'; drop table postings; --", '1e400', -1, 0, 1e15, 0.1, 0.001, true, false, 'null', '1.234', '½', '100000000000', 'NaN', 'Infinity', '{', '\\', '%', '3900', 'FROM',
];

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
