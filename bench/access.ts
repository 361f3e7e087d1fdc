import pg from 'pg';
import { loadCommunities } from '../scripts/load/load.ts';
import { withClient } from '../scripts/stack/postgres.ts';
import type { DatabaseUrls } from './support/cluster.ts';
import { interleave } from './support/measure.ts';
import { atMostMore, atMostTimes, reported, type Bench, type Figure } from './support/report.ts';

const communityCount = 1000;
const sessionCount = 20_000;

/** Who asks, and what may be asked of them: times the floor for lists, counts and inserts. */
export const askers = [
  { name: 'one', label: '1 community', newest: 1.6, count: 1.6 },
  { name: 'fifty', label: '50 communities', newest: 2.2, count: 2.4 },
  { name: 'site', label: 'all, by a site role', newest: 10, count: 10 },
] as const;

type Asker = (typeof askers)[number];

const queries = {
  newest: (table: string) => `select * from ${table} where community_id = $1 and deleted_at is null order by id desc limit 50`,
  count: (table: string) => `select count(*) from ${table} where community_id = $1 and deleted_at is null`,
  point: (table: string) => `select * from ${table} where id = $1 and deleted_at is null`,
  insert: (table: string) => `insert into ${table} (community_id, unit_id, number, amount, issued_on) values ($1, $2, $3, 125.50, '2026-01-31')`,
};

/** Row-level security in the canonical form, against the same rows without a policy. */
export const access: Bench = {
  name: 'access',
  title: 'Row-level security',
  about:
    'A table of invoices with the policy of DESIGN.md, gate and permissions and the live checks of the token’s version and its session, against a copy of it without RLS, both read by role authenticated through prepared statements.',
  async run({ cluster, quick, progress }) {
    return cluster.withDatabase(async (urls) => {
      const rows = quick ? 100_000 : 1_000_000;
      progress(`making ${communityCount} communities and ${rows.toLocaleString('en')} invoices`);
      await prepare(urls.owner, rows);
      const figures: Figure[] = [];
      for (const asker of askers) {
        for (const token of ['with claims', 'without claims'] as const) {
          progress(`asking as a user of ${asker.label}, token ${token}`);
          figures.push(...(await ask(urls, asker, { token, quick })));
        }
      }
      progress(`asking among ${sessionCount.toLocaleString('en')} sessions`);
      await fillSessions(urls.owner);
      figures.push(...(await ask(urls, askers[0], { token: 'with claims', among: `among ${sessionCount.toLocaleString('en')} sessions`, quick })));
      progress('computing access from 50 memberships');
      figures.push(await compute(urls, quick));
      progress('asking as an owner');
      figures.push(...(await askAsOwner(urls, quick)));
      return figures;
    });
  },
};

export async function prepare(owner: string, rows: number): Promise<void> {
  await loadCommunities(owner, { communities: communityCount, units: 20, seed: 1 });
  await withClient(owner, async (client) => {
    await client.query(schema);
    await client.query(
      `insert into bench.invoices (community_id, unit_id, number, amount, issued_on)
       select u.community_id, u.id, n, 100 + n % 50, date '2020-01-01' + (n / 20)::integer
       from generate_series(1, $1 / (select count(*) from public.units)) n cross join public.units u
       order by n, u.number, u.id`,
      [rows],
    );
    await client.query('insert into bench.floor select * from bench.invoices order by id');
    await client.query(users);
  });
  await withClient(owner, async (client) => {
    await client.query('vacuum analyze');
    await client.query('checkpoint').catch(() => undefined);
  });
}

const table = (name: string): string => `
  create table bench.${name} (
    id uuid not null default extensions.uuidv7(),
    community_id uuid not null,
    unit_id uuid not null,
    number integer not null,
    amount numeric(14, 2) not null,
    issued_on date not null,
    like app.row_model including defaults,
    constraint ${name}_pkey primary key (id),
    constraint ${name}_community_id_key unique (community_id, id),
    constraint ${name}_unit_fkey foreign key (community_id, unit_id) references public.units (community_id, id) on delete restrict
  );
  create index ${name}_unit_idx on bench.${name} (community_id, unit_id);
  grant select, insert on bench.${name} to authenticated;`;

const schema = `
  create schema bench;
  grant usage on schema bench to authenticated;
  ${table('floor')}
  ${table('invoices')}
  alter table bench.invoices enable row level security;
  create policy invoices_select on bench.invoices for select to authenticated
    using (
      community_id = any ((select g.communities from app.gate g)::uuid[])
      and deleted_at is null
      and (
        (select 'units.read' = any (h.permissions) from app.held_everywhere h)
        or community_id in (select app.communities_with('units.read'))
        or unit_id in (select app.units_with('units.read_own'))
      )
    );
  create policy invoices_insert on bench.invoices for insert to authenticated
    with check (community_id = any ((select app.communities_where('units.manage'))::uuid[]));`;

const users = `
  create table bench.askers (name text primary key, id uuid not null default gen_random_uuid());
  insert into bench.askers (name) values ('one'), ('fifty'), ('site');
  insert into auth.users (id, email, email_confirmed_at) select id, name || '@bench.example', now() from bench.askers;
  insert into public.memberships (user_id, role_id, community_id)
  select a.id, r.id, c.id
  from bench.askers a
  join public.roles r on r.level = 'community' and r.key = 'manager'
  cross join lateral (
    select c.id from public.communities c where a.name <> 'site' order by md5(c.slug) limit case a.name when 'one' then 1 else 50 end
  ) c;
  insert into public.memberships (user_id, role_id)
  select a.id, r.id from bench.askers a join public.roles r on r.level = 'site' and r.key = 'staff' where a.name = 'site';
  -- An owner of one unit: somebody whom the load gave an account.
  insert into bench.askers (name, id)
  select 'owner', re.user_id
  from public.residents re join public.occupancies o on o.community_id = re.community_id and o.resident_id = re.id
  where re.user_id is not null and o.role = 'owner' and not exists (select from public.memberships m where m.user_id = re.user_id)
  order by re.id limit 1;`;

/** Opens a connection as PostgREST does for a user: role authenticated, the token's claims, made by the hook or without it. */
async function signedIn(urls: DatabaseUrls, name: string, withClaims: boolean): Promise<pg.Client> {
  const claims = await withClient(urls.owner, async (client) => {
    const { rows } = await client.query<{ claims: unknown }>(
      `with session as (
         insert into auth.sessions (id, user_id, aal) select gen_random_uuid(), id, 'aal1' from bench.askers where name = $1 returning id
       )
       select app.access_token(jsonb_build_object('user_id', a.id, 'claims', jsonb_build_object(
         'sub', a.id, 'role', 'authenticated', 'aud', 'authenticated', 'exp', 1893456000, 'iss', 'https://bench.example/auth/v1',
         'email', a.name || '@bench.example', 'aal', 'aal1', 'session_id', s.id,
         'app_metadata', '{"provider": "email", "providers": ["email"]}'::jsonb))) -> 'claims' as claims
       from bench.askers a cross join session s where a.name = $1`,
      [name],
    );
    return rows[0]?.claims as { app_metadata: object };
  });
  if (!withClaims) claims.app_metadata = { provider: 'email', providers: ['email'] };
  const client = new pg.Client({ connectionString: urls.authenticator });
  await client.connect();
  await client.query('set role authenticated; set synchronous_commit = off');
  await client.query(`select set_config('request.jwt.claims', $1, false)`, [JSON.stringify(claims)]);
  return client;
}

/** What a sign-in costs, and every statement whose token cannot be believed. */
async function compute(urls: DatabaseUrls, quick: boolean): Promise<Figure> {
  return withClient(urls.owner, async (client) => {
    const run = (name: string, text: string) => () => client.query({ name, text });
    const { rows } = await client.query<{ id: string }>(`select id from bench.askers where name = 'fifty'`);
    const times = await interleave(
      { floor: run('nothing', 'select 1'), measured: run('compute', `select app.compute_access('${rows[0]?.id}')`) },
      { rounds: quick ? 20 : 100, repeat: 5, warmup: 5 },
    );
    return atMostMore('access computed from 50 memberships', times, 5000);
  });
}

/** As many people signed in: what is kept for a session is found by its index then, where a few are read through. */
async function fillSessions(owner: string): Promise<void> {
  await withClient(owner, async (client) => {
    await client.query(
      `with session as (
         insert into auth.sessions (id, user_id, aal) select gen_random_uuid(), a.id, 'aal1' from bench.askers a, generate_series(1, $1) where a.name = 'one'
         returning user_id, id
       )
       select count(app.remember_session(user_id, id::text)) from session`,
      [sessionCount],
    );
    await client.query('analyze auth.sessions, private.session_access');
  });
}

/** Times every query on both tables in turns. `among`: nothing is bound, and the figures say so. */
export async function ask(
  urls: DatabaseUrls,
  asker: Asker,
  { token, among, quick }: { token: 'with claims' | 'without claims'; among?: string; quick: boolean },
): Promise<Figure[]> {
  const targets = await withClient(urls.owner, async (client) => {
    const { rows } = await client.query<{ community: string; unit: string; invoice: string }>(
      `select i.community_id as community, i.unit_id as unit, i.id as invoice
       from (
         select c.id from public.communities c
         where (select name from bench.askers where name = $1) = 'site'
           or c.id in (select m.community_id from public.memberships m join bench.askers a on a.id = m.user_id and a.name = $1)
         order by c.id limit 50
       ) c
       cross join lateral (select * from bench.invoices i where i.community_id = c.id order by md5(i.id::text) limit 1) i`,
      [asker.name],
    );
    return rows;
  });
  const client = await signedIn(urls, asker.name, token === 'with claims');
  try {
    let turn = 0;
    const timed = async (name: keyof typeof queries, values: (target: (typeof targets)[number]) => unknown[], repeat: number) => {
      const run = (tableName: string) => () => {
        const target = targets[(turn += 1) % targets.length];
        if (!target) throw new Error('There is nothing to ask for.');
        return client.query({ name: `${name} ${tableName}`, text: queries[name](tableName), values: values(target) });
      };
      return interleave({ floor: run('bench.floor'), measured: run('bench.invoices') }, { rounds: quick ? 20 : 100, repeat, warmup: 5 });
    };
    const times = {
      newest: await timed('newest', (target) => [target.community], 20),
      count: await timed('count', (target) => [target.community], 20),
      point: await timed('point', (target) => [target.invoice], 20),
      insert: await timed('insert', (target) => [target.community, target.unit, (turn += 1)], 20),
    };
    const who = `user of ${asker.label}`;
    const condition = among ?? (token === 'without claims' ? 'token without claims' : undefined);
    if (condition) {
      return [
        reported(`newest 50, ${who}, ${condition}`, times.newest),
        reported(`count, ${who}, ${condition}`, times.count),
        reported(`one by id, ${who}, ${condition}`, times.point),
        reported(`insert, ${who}, ${condition}`, times.insert),
      ];
    }
    return [
      atMostTimes(`newest 50 of a community, ${who}`, times.newest, asker.newest),
      atMostTimes(`count of a community, ${who}`, times.count, asker.count),
      atMostMore(`one by id, ${who}`, times.point, 100),
      atMostTimes(`insert, ${who}`, times.insert, 1.7),
    ];
  } finally {
    await client.end();
  }
}

/** What an owner sees of the own unit: the other half of the policy. */
export async function askAsOwner(urls: DatabaseUrls, quick: boolean): Promise<Figure[]> {
  const { rows } = await withClient(urls.owner, (client) =>
    client.query<{ community: string; unit: string }>(
      `select o.community_id as community, o.unit_id as unit
       from bench.askers a join public.residents re on re.user_id = a.id
       join public.occupancies o on o.community_id = re.community_id and o.resident_id = re.id where a.name = 'owner' limit 1`,
    ),
  );
  const client = await signedIn(urls, 'owner', true);
  try {
    const text = (tableName: string) => `select * from ${tableName} where community_id = $1 and unit_id = $2 and deleted_at is null order by id desc limit 50`;
    const run = (tableName: string) => () => client.query({ name: `own ${tableName}`, text: text(tableName), values: [rows[0]?.community, rows[0]?.unit] });
    const times = await interleave({ floor: run('bench.floor'), measured: run('bench.invoices') }, { rounds: quick ? 20 : 100, repeat: 20, warmup: 5 });
    return [reported('newest 50 of the own unit, an owner', times)];
  } finally {
    await client.end();
  }
}
