import pg from 'pg';
import { loadCommunities } from '../scripts/load/load.ts';
import { withClient } from '../scripts/stack/postgres.ts';
import type { DatabaseUrls } from './support/cluster.ts';
import { interleave } from './support/measure.ts';
import { atMostTimes, type Bench, type Figure } from './support/report.ts';

const communityCount = 100;

/** What people type: beginnings, several words, other scripts, slips, plates, doors. */
const queries = ['иван', 'Петрова', 'Ivanov', 'geor', 'Стефан Дим', 'Koleva', 'Ivnov', 'Петрво', 'สมชาย', 'अनिता', 'R-19', '17', 'CB 12', 'СВ 1207', '4417', 'zzgorov'];

/** Search as its callers run it, against the same search by the owner of the tables, whom no permission filters. */
export const search: Bench = {
  name: 'search',
  title: 'Search',
  about:
    'rpc search over people, units and plates by a user of role authenticated, for queries of every kind in turn, against one plain SQL statement that looks for the same in the same community (or, for a site role, everywhere), run by the owner of the tables, whom neither policies nor permissions filter.',
  async run({ cluster, quick, progress }) {
    return cluster.withDatabase(async (urls) => {
      const residents = quick ? 20_000 : 200_000;
      progress(`making ${communityCount} communities and ${residents.toLocaleString('en')} residents`);
      await prepare(urls.owner, residents / communityCount);
      const figures: Figure[] = [];
      for (const asker of ['one', 'site'] as const) {
        progress(`searching as a user of ${asker === 'one' ? '1 community' : 'all, by a site role'}`);
        figures.push(await ask(urls, asker, residents, quick));
      }
      return figures;
    });
  },
};

async function prepare(owner: string, perCommunity: number): Promise<void> {
  await loadCommunities(owner, { communities: communityCount, units: 10, seed: 1 });
  await withClient(owner, async (client) => {
    // Straight into the tables: what is measured is reading.
    await client.query('set session_replication_role = replica');
    await client.query(
      `with names as (
         select array['Иван', 'Георги', 'Стефан', 'Мария', 'Светла', 'Ivan', 'Georg', 'José', 'Anna', 'Petar', 'สมชาย', 'अनिता', 'Lucía', 'Νίκος', 'Elena', 'Димитър'] as given,
           array['Петров', 'Петрова', 'Иванова', 'Колев', 'Димитров', 'Ivanov', 'Petrov', 'Koleva', 'Weiß', 'Hernández', 'Łukasiewicz', 'ใจดี', 'शर्मा', 'Παπαδόπουλος', 'Marinova', 'Stoyanov'] as family
       )
       insert into public.residents (community_id, full_name, reference)
       select c.id,
         format('%s %s%s', given[1 + n % 16], chr(1040 + (n * 7 + hashtext(c.slug) % 5 + 5) % 28), lower(substr(md5(c.slug || n), 1, 4)))
           || ' ' || family[1 + (n / 16) % 16],
         'R-' || n
       from public.communities c cross join names cross join generate_series(1, $1::integer) n`,
      [perCommunity],
    );
    await client.query(`insert into public.units (community_id, number) select c.id, 'U' || n from public.communities c cross join generate_series(1, $1::integer / 4) n`, [perCommunity]);
    await client.query(
      `insert into public.vehicles (community_id, unit_id, plate, status)
       select u.community_id, u.id, format('CB %s KX', substr((hashtext(u.id::text) & 2147483647)::text || '0000', 1, 4)), 'pending' from public.units u where u.number like 'U%'`,
    );
    await client.query('set session_replication_role = origin');
    await client.query(`
      create schema bench;
      create table bench.askers (name text primary key, id uuid not null default gen_random_uuid());
      insert into bench.askers (name) values ('one'), ('site');
      insert into auth.users (id, email, email_confirmed_at) select id, name || '@bench.example', now() from bench.askers;
      insert into public.memberships (user_id, role_id, community_id)
      select a.id, r.id, (select c.id from public.communities c order by c.slug limit 1) from bench.askers a join public.roles r on r.level = 'community' and r.key = 'manager' where a.name = 'one';
      insert into public.memberships (user_id, role_id)
      select a.id, r.id from bench.askers a join public.roles r on r.level = 'site' and r.key = 'staff' where a.name = 'site';`);
  });
  await withClient(owner, (client) => client.query('vacuum analyze'));
}

/** The same question in one statement, as whoever owns the tables would write it. */
const plain = (within: string) => `
  select * from (
    (select 'resident' as kind, t.id, t.label, extensions.word_similarity(t.phrase, t.text) as score
     from (select r.id, r.full_name as label, btrim(app.search_text($1)) as phrase, app.search_text(r.full_name || coalesce(' ' || r.reference, '')) as text
       from public.residents r
       where ${within.replaceAll('x.', 'r.')} and r.deleted_at is null
         and (app.search_text(r.full_name || coalesce(' ' || r.reference, '')) like '% ' || btrim(app.search_text($1)) || '%'
           or btrim(app.search_text($1)) operator(extensions.<%) app.search_text(r.full_name || coalesce(' ' || r.reference, ''))) limit 1000) t)
    union all
    (select 'contact', d.resident_id, d.email, 0.85 from public.resident_details d
     where ${within.replaceAll('x.', 'd.')} and d.deleted_at is null and app.contact_text(d.email, d.phone) like '% ' || btrim(app.search_text($1)) || '%' limit 1000)
    union all
    (select 'unit', u.id, u.number, 1 from public.units u
     where ${within.replaceAll('x.', 'u.')} and u.deleted_at is null and app.search_text(u.number) like '% ' || btrim(app.search_text($1)) || '%' limit 1000)
    union all
    (select 'building', b.id, b.name, 1 from public.buildings b
     where ${within.replaceAll('x.', 'b.')} and b.deleted_at is null and app.search_text(b.name) like '% ' || btrim(app.search_text($1)) || '%' limit 1000)
    union all
    (select 'vehicle', v.id, v.plate, extensions.word_similarity(app.normalized_plate($1), v.plate_key) from public.vehicles v
     where ${within.replaceAll('x.', 'v.')} and v.deleted_at is null
       and (v.plate_key like '%' || app.normalized_plate($1) || '%' or app.normalized_plate($1) operator(extensions.<%) v.plate_key) limit 1000)
  ) h order by score desc, label limit 20`;

async function ask(urls: DatabaseUrls, name: 'one' | 'site', residents: number, quick: boolean): Promise<Figure> {
  const { claims, community } = await withClient(urls.owner, async (client) => {
    const { rows } = await client.query<{ claims: object; community: string }>(
      `select app.access_token(jsonb_build_object('user_id', id, 'claims', jsonb_build_object('sub', id, 'role', 'authenticated', 'app_metadata', '{}'::jsonb))) -> 'claims' as claims,
         (select c.id from public.communities c order by c.slug limit 1) as community
       from bench.askers where name = $1`,
      [name],
    );
    return rows[0]!;
  });
  const owner = new pg.Client({ connectionString: urls.owner });
  const caller = new pg.Client({ connectionString: urls.owner });
  await Promise.all([owner.connect(), caller.connect()]);
  try {
    await owner.query('set pg_trgm.word_similarity_threshold = 0.4');
    await caller.query(`select set_config('request.jwt.claims', $1, false)`, [JSON.stringify(claims)]);
    await caller.query('set role authenticated');
    const perQuery = (run: (query: string) => Promise<unknown>) => async () => {
      for (const query of queries) await run(query);
    };
    const times = await interleave(
      {
        floor: perQuery((query) => (name === 'one' ? owner.query(plain('x.community_id = $2'), [query, community]) : owner.query(plain('true'), [query]))),
        measured: perQuery((query) => caller.query('select * from public.search($1)', [query])),
      },
      { rounds: quick ? 5 : 20, warmup: 2 },
    );
    const one = { floor: times.floor / queries.length, measured: times.measured / queries.length };
    return atMostTimes(`search among ${residents.toLocaleString('en')} residents, user of ${name === 'one' ? '1 community' : 'all, by a site role'}`, one, 5);
  } finally {
    await Promise.all([owner.end(), caller.end()]);
  }
}
