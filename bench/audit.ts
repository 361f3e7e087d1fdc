import pg from 'pg';
import { withClient } from '../scripts/stack/postgres.ts';
import { interleave } from './support/measure.ts';
import { atMostTimes, duration, type Bench, type Figure } from './support/report.ts';

/** What app.track costs. */
export const audit: Bench = {
  name: 'audit',
  title: 'Audit',
  about:
    'A table that app.track keeps (row model, guards, audit log) against the same table without, written with a signed-in user’s claims and the headers of an app’s request. synchronous_commit is off, so that the disk does not hide the work.',
  async run({ cluster, quick, progress }) {
    return cluster.withDatabase(async (urls) =>
      withClient(urls.superuser, async (client) => {
        await client.query('set synchronous_commit = off');
        const rows = quick ? 10_000 : 100_000;
        progress(`filling two tables with ${rows.toLocaleString('en')} rows`);
        await prepare(client, rows);
        progress('writing one row at a time');
        const figures = await single(client, rows, quick);
        progress(`writing ${rows.toLocaleString('en')} rows at a time`);
        figures.push(...(await bulk(client, rows, quick)));
        progress('sealing the log');
        figures.push(await sealing(client, quick));
        progress('weighing the log');
        figures.push(await size(client, quick));
        return figures;
      }),
    );
  },
};

async function prepare(client: pg.Client, rows: number): Promise<void> {
  const table = (name: string): string => `
    create table bench.${name} (
      id uuid not null default extensions.uuidv7(),
      community_id uuid not null,
      number text not null,
      layout text,
      floor smallint,
      area numeric(10, 2),
      ideal_parts numeric(14, 6),
      settings jsonb not null default '{}',
      like app.row_model including defaults,
      constraint ${name}_pkey primary key (id),
      constraint ${name}_community_id_key unique (community_id, id)
    );`;
  await client.query(`
    create schema bench;
    ${table('plain')}
    ${table('tracked')}
    select app.track('bench.tracked');
    create table bench.communities as select n, gen_random_uuid() as id from generate_series(1, 1000) n;
    create unique index on bench.communities (n);`);
  await client.query(
    `select set_config('request.jwt.claims', $1, false), set_config('request.headers', $2, false), set_config('request.method', 'POST', false), set_config('request.path', '/units', false)`,
    [JSON.stringify(claims), JSON.stringify(headers)],
  );
  for (const name of ['plain', 'tracked']) {
    await client.query(insertRows(name), [rows]);
    await client.query(`vacuum analyze bench.${name}`);
  }
}

/** The claims of a manager of one community, as they are in most tokens. */
const claims = {
  sub: '0190a8c2-7c3e-7b1a-9f55-3d6d0c8a4b21',
  role: 'authenticated',
  aud: 'authenticated',
  exp: 1_893_456_000,
  email: 'manager@bench.example',
  app_metadata: {
    provider: 'email',
    providers: ['email'],
    access_version: 1_767_225_600_000_000,
    valid_until: 'infinity',
    site_roles: [],
    organizations: {},
    communities: { '0190a8c2-7c3e-7b1a-9f55-3d6d0c8a4b22': ['manager'] },
  },
};

/** What a request brings along, as PostgREST tells it. */
const headers = {
  host: 'project.supabase.example',
  accept: '*/*',
  'accept-encoding': 'gzip, br',
  'accept-profile': 'public',
  'cf-connecting-ip': '192.0.2.7',
  'cf-ipcountry': 'BG',
  'content-type': 'application/json',
  'user-agent': 'Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36',
  'x-client-info': 'supabase-js-web/2.108.2',
  'x-forwarded-for': '192.0.2.7, 10.0.0.1',
  'x-forwarded-proto': 'https',
};

const insertRows = (name: string): string => `
  insert into bench.${name} (community_id, number, layout, floor, area, ideal_parts)
  select c.id, s.n::text, '2BHK', s.n % 12, 71.50, 0.5 from generate_series(1, $1::integer) s (n) join bench.communities c on c.n = 1 + s.n % 1000`;

async function single(client: pg.Client, rows: number, quick: boolean): Promise<Figure[]> {
  const { rows: ids } = await client.query<{ tracked: string; plain: string }>(
    `select t.id as tracked, p.id as plain from (select id, row_number() over () as n from bench.tracked) t join (select id, row_number() over () as n from bench.plain) p using (n) limit 10000`,
  );
  const { rows: communities } = await client.query<{ id: string }>('select id from bench.communities order by n limit 50');
  let turn = 0;
  const insert = (name: string) => () =>
    client.query({
      name: `insert ${name}`,
      text: `insert into bench.${name} (community_id, number, layout, floor, area, ideal_parts) values ($1, $2, '2BHK', 3, 71.50, 0.5)`,
      values: [communities[(turn += 1) % communities.length]?.id, `${turn}`],
    });
  const update = (name: 'plain' | 'tracked') => () =>
    client.query({
      name: `update ${name}`,
      text: `update bench.${name} set area = $2 where id = $1`,
      values: [ids[((turn += 1) * 7919) % ids.length]?.[name], (turn % 99_991) / 100],
    });
  const options = { rounds: quick ? 20 : 60, repeat: 20, warmup: 5 };
  const inserts = await interleave({ floor: insert('plain'), measured: insert('tracked') }, options);
  const updates = await interleave({ floor: update('plain'), measured: update('tracked') }, options);
  return [throughput('insert of one row', inserts), throughput('update of one column of one row', updates)];
}

function throughput(what: string, { floor, measured }: { floor: number; measured: number }): Figure {
  const perSecond = (milliseconds: number) => `${Math.round(1000 / milliseconds).toLocaleString('en')}/s`;
  return { what, floor: perSecond(floor), measured: perSecond(measured), result: `${(floor / measured).toFixed(2)}×`, bound: '≥ 0.5×', isMet: floor / measured >= 0.5 };
}

/** Statements over many rows, each rolled back, so that every round starts from the same tables. */
async function bulk(client: pg.Client, rows: number, quick: boolean): Promise<Figure[]> {
  const rolledBack = (sql: string, values: unknown[]) => async () => {
    await client.query('begin');
    await client.query(sql, values);
    await client.query('rollback');
  };
  const options = { rounds: quick ? 3 : 5 };
  const settle = async () => {
    await client.query('vacuum bench.plain');
    await client.query('vacuum bench.tracked');
    await client.query('checkpoint');
  };
  await settle();
  const inserts = await interleave({ floor: rolledBack(insertRows('plain'), [rows]), measured: rolledBack(insertRows('tracked'), [rows]) }, options);
  await settle();
  const update = (name: string) => rolledBack(`update bench.${name} set area = area + 1 where id in (select id from bench.${name} limit $1)`, [rows]);
  const updates = await interleave({ floor: update('plain'), measured: update('tracked') }, options);
  const count = rows.toLocaleString('en');
  return [atMostTimes(`insert of ${count} rows`, inserts, 4), atMostTimes(`update of one column of ${count} rows`, updates, 3)];
}

/** All entries there are in one batch, against hashing each of them once and all hashes together. */
async function sealing(client: pg.Client, quick: boolean): Promise<Figure> {
  await client.query('vacuum analyze audit.log');
  const { rows } = await client.query<{ entries: string }>('select count(*)::text as entries from audit.log');
  const entries = Number(rows[0]?.entries);
  const seal = async () => {
    await client.query('begin');
    const { rows: sealed } = await client.query<{ entries: string }>('select app.seal_audit(100000000)::text as entries');
    await client.query('rollback');
    if (Number(sealed[0]?.entries) !== entries) throw new Error(`${sealed[0]?.entries} of ${entries} entries were sealed.`);
  };
  const hash = () => client.query(`select sha256(string_agg(sha256(convert_to(l::text, 'UTF8')), '' order by l.transaction_id, l.id)) from audit.log l`);
  const times = await interleave({ floor: hash, measured: seal }, { rounds: quick ? 3 : 5 });
  return atMostTimes(`sealing ${entries.toLocaleString('en')} entries (floor: hashing them once)`, times, 4);
}

/** Bytes of the log, its indexes included, per row changed by a transaction of its own. */
async function size(client: pg.Client, quick: boolean): Promise<Figure> {
  const changes = quick ? 5000 : 50_000;
  const measure = async () => {
    const { rows } = await client.query<{ bytes: string; entries: string }>(
      `select sum(pg_total_relation_size(inhrelid))::text as bytes, (select count(*) from audit.log)::text as entries from pg_inherits where inhparent = 'audit.log'::regclass`,
    );
    return { bytes: Number(rows[0]?.bytes), entries: Number(rows[0]?.entries) };
  };
  const before = await measure();
  await client.query(`
    do $$
    begin
      for turn in 1 .. ${changes} loop
        update bench.tracked set area = 20 + turn % 977 where id = (select id from bench.tracked where number = (1 + turn * 7919 % 100)::text limit 1);
        commit;
      end loop;
    end $$`);
  const after = await measure();
  const each = (after.bytes - before.bytes) / (after.entries - before.entries);
  return { what: 'one entry of the log for a changed column, indexes included', floor: '', measured: `${each.toFixed(0)} bytes`, result: `${each.toFixed(0)} bytes`, bound: '≤ 250 bytes', isMet: each <= 250 };
}
