import { afterAll, beforeAll, expect, test } from 'vitest';
import { withClient } from '../../scripts/stack/postgres.ts';
import { startTestStack, type TestStack } from '../support/stack.ts';

// Personal data as an app reaches it, and what must hold while several erase and merge at once.

let stack: TestStack;
let communityId: string;
beforeAll(async () => {
  stack = await startTestStack();
  const [community] = await stack.sql<{ id: string }>(`select id from public.communities where slug = 'lipa-court'`);
  communityId = community?.id as string;
});
afterAll(() => stack.stop());

const newResident = async (name: string): Promise<string> => {
  const [made] = await stack.sql<{ id: string }>('insert into public.residents (community_id, full_name) values ($1, $2) returning id', [communityId, name]);
  return made?.id as string;
};
const newText = async (version: string): Promise<string> => {
  const [made] = await stack.sql<{ id: string }>(
    `insert into public.consent_texts (purpose, version, locale, title, body, community_id) values ('newsletter', $1, 'en', 'Newsletter', 'I want it.', $2) returning id`,
    [version, communityId],
  );
  return made?.id as string;
};
/** Every refusal must be one of ours: no deadlock, no serialization failure, no raw constraint. */
const messages = (answers: { error: { message: string } | null }[]): string[] => answers.flatMap(({ error }) => (error ? [error.message] : []));

test('a signed-in owner gets a copy of their own data, and no name of a neighbour', async () => {
  const owner = await stack.client('owner@demo.example');
  const { data, error } = await owner.rpc('export_personal_data');
  expect(error).toBeNull();
  const tables = data.data.map(({ table }: { table: string }) => table);
  expect(tables).toEqual(expect.arrayContaining(['profiles', 'residents', 'resident_details', 'occupancies']));
  const told = JSON.stringify(data);
  expect(told).toContain('owner@demo.example');
  const { data: own } = await owner.auth.getUser();
  const others = await stack.sql<{ full_name: string; email: string | null }>(
    'select r.full_name, d.email from public.residents r left join public.resident_details d on d.resident_id = r.id where r.user_id is distinct from $1',
    [own.user?.id],
  );
  const [self] = await stack.sql<{ full_name: string }>('select full_name from public.residents where user_id = $1 limit 1', [own.user?.id]);
  expect(others.length).toBeGreaterThan(3);
  expect(others.filter(({ full_name, email }) => (full_name !== self?.full_name && told.includes(full_name)) || (email !== null && told.includes(email)))).toEqual([]);
});

test('nobody gets a copy past the audit log: no filter, no cast of the answer', async () => {
  const manager = await stack.client('manager@demo.example');
  const { access_token } = (await manager.auth.getSession()).data.session!;
  const resident_id = await newResident('Copied In Secret');
  const copies = async () => (await stack.sql<{ n: number }>(`select count(*)::integer as n from audit.log where action = 'PERSONAL_DATA_EXPORTED'`))[0]!.n;
  const before = await copies();
  for (const query of ['?select=pgrst_scalar:pgrst_scalar->>data::int', '?pgrst_scalar->>format=eq.x', '?and=(pgrst_scalar->>format.neq.x)']) {
    const response = await fetch(`${stack.url}/rest/v1/rpc/export_personal_data${query}`, {
      method: 'POST',
      headers: { apikey: stack.keys.publishable, authorization: `Bearer ${access_token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ resident_id }),
    });
    const told = await response.text();
    expect([query, response.status, (JSON.parse(told) as { message: string }).message]).toEqual([query, 400, 'whole_answer_required']);
    expect(told).not.toContain('Copied In Secret');
  }
  expect(await copies()).toBe(before);
});

test('a resident with years of rows is exported within the time that a request has', async () => {
  const id = await newResident('Long Standing');
  const text = await newText('years');
  // Twenty thousand rows at once, without twenty thousand events.
  await withClient(stack.adminUrl, async (client) => {
    await client.query('set session_replication_role = replica');
    await client.query(
      `insert into public.consents (purpose, text_id, resident_id, community_id, channel, given_at, withdrawn_at, note)
       select 'newsletter', $1, $2, $3, 'paper', now() - n * interval '1 hour', now() - n * interval '1 hour', 'note ' || n from generate_series(1, 20000) n`,
      [text, id, communityId],
    );
  });
  const manager = await stack.client('manager@demo.example');
  const { data, error } = await manager.rpc('export_personal_data', { resident_id: id });
  expect(error).toBeNull();
  expect(data.data.find(({ table }: { table: string }) => table === 'consents').rows).toHaveLength(20000);
});

test('of six who erase one person at once, one does, and all are answered', async () => {
  const id = await newResident('Erased Often');
  const manager = await stack.client('manager@demo.example');
  const answers = await Promise.all(Array.from({ length: 6 }, () => manager.rpc('erase_personal_data', { resident_id: id, reason: 'Asked for' })));
  expect(messages(answers)).toEqual([]);
  expect(answers.filter(({ data }) => data.changed === true)).toHaveLength(1);
});

test('what is written about a person while they are erased is erased, or refused', async () => {
  const manager = await stack.client('manager@demo.example');
  for (let round = 0; round < 4; round += 1) {
    const id = await newResident(`Raced ${round}`);
    const texts = await Promise.all(Array.from({ length: 4 }, (_, index) => newText(`race ${round}.${index}`)));
    const answers = await Promise.all([
      ...texts.slice(0, 2).map((text_id) => manager.rpc('record_consent', { resident_id: id, text_id, note: `racedword${round}` })),
      manager.rpc('erase_personal_data', { resident_id: id, reason: 'Asked for' }),
      ...texts.slice(2).map((text_id) => manager.rpc('record_consent', { resident_id: id, text_id, note: `racedword${round}` })),
    ]);
    expect(answers[2]?.error).toBeNull();
    expect(messages(answers).filter((message) => !['resident_erased', 'resident_not_found'].includes(message))).toEqual([]);
    const [left] = await stack.sql<{ n: number }>(`select count(*)::int as n from public.consents where resident_id = $1 and note like 'racedword%'`, [id]);
    expect(left?.n, 'nothing is written about somebody who was erased').toBe(0);
  }
});

test('whoever writes about somebody whose erasure is under way waits for it, and is refused', async () => {
  const id = await newResident('Being Erased');
  await withClient(stack.adminUrl, (erasing) =>
    withClient(stack.adminUrl, async (writing) => {
      await erasing.query('begin');
      await erasing.query(`select public.erase_personal_data(resident_id => $1, reason => 'Asked for')`, [id]);
      const { rows } = await writing.query<{ pid: number }>('select pg_backend_pid() as pid');
      let isSettled = false;
      const outcome = writing
        .query('select app.refuse_erased(array[$1]::uuid[])', [id])
        .then(() => 'written', (error: Error) => error.message)
        .finally(() => (isSettled = true));
      for (let isWaiting = false; !isWaiting && !isSettled; ) {
        [{ isWaiting }] = (await stack.sql('select cardinality(pg_blocking_pids($1)) > 0 as "isWaiting"', [rows[0]?.pid])) as [{ isWaiting: boolean }];
      }
      expect(isSettled, 'it waits').toBe(false);
      await erasing.query('commit');
      expect(await outcome).toBe('resident_erased');
    }),
  );
});

test('merges that cross end in one record, with everything of both', async () => {
  const manager = await stack.client('manager@demo.example');
  for (let round = 0; round < 4; round += 1) {
    const [first, second, third] = [await newResident(`Twice ${round}`), await newResident(`Twice ${round}`), await newResident(`Twice ${round}`)];
    const ids = [first, second, third] as string[];
    for (const [index, resident_id] of ids.entries()) {
      await stack.sql(`insert into public.consents (text_id, resident_id, community_id, channel) values ($1, $2, $3, 'paper')`, [await newText(`merge ${round}.${index}`), resident_id, communityId]);
    }
    const merge = (keep_id?: string, duplicate_id?: string) => manager.rpc('merge_residents', { keep_id, duplicate_id, reason: 'Entered twice' });
    const answers = await Promise.all([merge(first, second), merge(second, first), merge(second, third), merge(third, first), merge(first, third), merge(third, second)]);
    expect(messages(answers).filter((message) => message !== 'resident_merged')).toEqual([]);
    const live = await stack.sql<{ id: string }>('select id from public.residents where id = any ($1) and deleted_at is null', [ids]);
    expect(live).toHaveLength(1);
    const [kept] = await stack.sql<{ n: number }>('select count(*)::int as n from public.consents where resident_id = $1 and deleted_at is null', [live[0]?.id]);
    expect(kept?.n).toBe(3);
  }
});

test('who merges two residents waits for whoever is ending the stay of one, and is waited for by nobody then', async () => {
  const [unit] = await stack.sql<{ id: string }>(`insert into public.units (community_id, number) values ($1, 'Merge 1') returning id`, [communityId]);
  const [kept, duplicate] = [await newResident('Stays Twice'), await newResident('Stays Twice')];
  const [stay] = await stack.sql<{ id: string }>(
    `insert into public.occupancies (community_id, unit_id, resident_id, role, starts_on) values ($1, $2, $3, 'tenant', current_date - 9) returning id`,
    [communityId, unit?.id, duplicate],
  );
  await withClient(stack.adminUrl, (ending) =>
    withClient(stack.adminUrl, async (merging) => {
      await ending.query('begin');
      // What a sale, a move or the end of a lease holds before it comes to the stays and then to the people.
      await ending.query('select from public.units where id = $1 for no key update', [unit?.id]);
      const { rows } = await merging.query<{ pid: number }>('select pg_backend_pid() as pid');
      const outcome = merging
        .query(`select public.merge_residents($1, $2, 'Entered twice')`, [kept, duplicate])
        .then(() => 'merged', (error: Error) => error.message);
      for (let isWaiting = false; !isWaiting; ) {
        [{ isWaiting }] = (await stack.sql('select cardinality(pg_blocking_pids($1)) > 0 as "isWaiting"', [rows[0]?.pid])) as [{ isWaiting: boolean }];
      }
      await ending.query('update public.occupancies set ends_on = current_date - 1 where id = $1', [stay?.id]);
      await ending.query('commit');
      expect(await outcome).toBe('merged');
    }),
  );
  const after = await stack.sql('select resident_id, ends_on is not null as "isOver" from public.occupancies where id = $1', [stay?.id]);
  expect(after).toEqual([{ resident_id: kept, isOver: true }]);
});
