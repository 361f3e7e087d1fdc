import pg from 'pg';
import { withClient } from '../scripts/stack/postgres.ts';
import { interleave } from './support/measure.ts';
import { atMostTimes, type Bench, type Figure } from './support/report.ts';

/** What a decision at a gate costs, and whether the log stays quick to read when it has grown. */
export const decisions: Bench = {
  name: 'decisions',
  title: 'Decisions at the gate',
  about:
    'decide_access, called by a reader with its key and a nonce, against the insert of one row with the same columns and a primary key. Every call is a transaction of its own that waits for the disk (synchronous_commit on). Then the newest 50 lines of a gate, as a manager reads them through row-level security, in a log a hundred times as long.',
  async run({ cluster, quick, progress }) {
    const figures = await cluster.withDatabase(async (urls) =>
      withClient(urls.superuser, async (client) => {
        progress('setting up a gate');
        const carried = await furnish(client);
        progress('deciding');
        return decide(client, carried, quick);
      }),
    );
    const many = quick ? 500_000 : 5_000_000;
    figures.push(
      await cluster.withDatabase(async (short) =>
        cluster.withDatabase(async (long) =>
          withClient(short.superuser, async (shortClient) =>
            withClient(long.superuser, async (longClient) => {
              const floor = await fillLog(shortClient, 50_000);
              progress(`filling a log with ${many.toLocaleString('en')} lines`);
              const measured = await fillLog(longClient, many);
              const times = await interleave({ floor, measured }, { rounds: quick ? 30 : 100, repeat: 20, warmup: 5 });
              return atMostTimes(`newest 50 lines of a gate among ${many.toLocaleString('en')} (floor: among 50,000)`, times, 1.3);
            }),
          ),
        ),
      ),
    );
    return figures;
  },
};

/** What a reader is shown: numbers of cards, passes, and its own key and gate. */
type Carried = { gate: string; key: string; cards: string[]; passes: string[] };

/** A community with a gate, a reader, a shift on duty, 200 residents with cards, and as many visitors with passes for any number of entries. */
async function furnish(client: pg.Client): Promise<Carried> {
  await client.query(`
    create schema bench;
    create table bench.line (like audit.access_log including defaults);
    alter table bench.line add constraint line_pkey primary key (id);
    create function bench.pass(pass public.passes) returns text language sql as 'select app.pass_text($1)';`);
  const [gate] = (
    await client.query<{ gate: string; key: string; community: string }>(`
      with community as (
        select public.create_community(public.create_organization('Bench', 'bench', 'BG'), 'Bench', 'bench', 'BG', 'EUR', 'Europe/Sofia') as id
      ), booth as (
        insert into public.booths (name, community_id) select 'Booth', c.id from community c returning id, community_id
      ), point as (
        insert into public.access_points (name, community_id, booth_id, kind) select 'Gate', b.community_id, b.id, 'gate' from booth b returning id, community_id
      )
      select p.id as gate, p.community_id as community from point p`)
  ).rows;
  if (!gate) throw new Error('There is no gate.');
  const { rows: keys } = await client.query<{ key: string }>(`select device_key as key from public.enroll_device($1, 'Reader', 'reader')`, [gate.gate]);
  await client.query(`select public.plan_shift(b.id, 'Day', now() - interval '1 hour', now() + interval '7 hours') from public.booths b where b.community_id = $1`, [gate.community]);
  await client.query(
    `with unit as (insert into public.units (community_id, number) select $1, n::text from generate_series(1, 200) n returning id, number),
     resident as (insert into public.residents (community_id, full_name) select $1, 'Resident ' || n from generate_series(1, 200) n returning id, full_name),
     occupancy as (
       insert into public.occupancies (community_id, unit_id, resident_id, role, starts_on)
       select $1, u.id, r.id, 'tenant', '2024-01-01' from unit u join resident r on r.full_name = 'Resident ' || u.number
     ),
     card as (insert into public.access_cards (number, community_id, resident_id) select (10000 + u.number::integer)::text, $1, r.id from unit u join resident r on r.full_name = 'Resident ' || u.number)
     insert into public.visitor_invitations (community_id, unit_id, host_resident_id, kind, provider_name, starts_at, ends_at)
     select $1, u.id, r.id, 'service', 'Firm', now() - interval '1 hour', now() + interval '5 days' from unit u join resident r on r.full_name = 'Resident ' || u.number`,
    [gate.community],
  );
  await client.query(
    `insert into public.passes (community_id, kind, invitation_id, kid, starts_at, ends_at)
     select i.community_id, 'visitor', i.id, app.signing_pass_key(i.community_id), date_trunc('second', i.starts_at), date_trunc('second', i.ends_at) from public.visitor_invitations i`,
  );
  const { rows: cards } = await client.query<{ number: string }>('select number from public.access_cards order by number');
  const { rows: passes } = await client.query<{ text: string }>('select bench.pass(p) as text from public.passes p order by p.id');
  await client.query('vacuum analyze');
  return { gate: gate.gate, key: keys[0]?.key ?? '', cards: cards.map(({ number }) => number), passes: passes.map(({ text }) => text) };
}

/** The decision in four shapes, each against the bare insert. */
async function decide(client: pg.Client, { gate, key, cards, passes }: Carried, quick: boolean): Promise<Figure[]> {
  await client.query(`set synchronous_commit = on`);
  await client.query(`select set_config('request.headers', $1, false), set_config('request.method', 'POST', false), set_config('request.path', '/rpc/decide_access', false)`, [
    JSON.stringify({ 'x-device-key': key, 'user-agent': 'reader/1.0', 'x-real-ip': '192.0.2.7', 'content-type': 'application/json' }),
  ]);
  await client.query('grant usage on schema bench to anon; grant insert on bench.line to anon; set role anon');
  let turn = 0;
  const bare = () =>
    client.query({
      name: 'bare',
      text: `insert into bench.line (scanned_at, community_id, access_point_id, method, direction, outcome, reason, device_id, resident_id, card_id, unit_id, nonce)
             values (now(), $1, $1, 'card', 'in', 'granted', 'admitted', $1, $1, $1, $1, $2)`,
      values: [gate, `b${(turn += 1)}`],
    });
  const ask = (method: string, credentials: string[], direction: () => string, outcome: string) => async () => {
    turn += 1;
    const { rows } = await client.query<{ outcome: string; reason: string }>({
      name: 'decide',
      text: 'select outcome, reason from public.decide_access($1, $2, $3, $4, $5)',
      values: [gate, method, credentials[turn % credentials.length], direction(), `${method} ${direction()} ${turn}`],
    });
    if (rows[0]?.outcome !== outcome) throw new Error(`${method}: ${rows[0]?.outcome} ${rows[0]?.reason}`);
  };
  const alternating = () => (Math.floor(turn / cards.length) % 2 === 0 ? 'in' : 'out');
  const options = { rounds: quick ? 20 : 60, repeat: 10, warmup: 3 };
  const measure = async (what: string, measured: () => Promise<unknown>, { floor = bare, inserts = 1 } = {}): Promise<Figure> => {
    const times = await interleave({ floor, measured }, options);
    const perSecond = (milliseconds: number) => `${Math.round((1000 * inserts) / milliseconds).toLocaleString('en')}/s`;
    const ratio = times.floor / times.measured;
    return { what, floor: perSecond(times.floor), measured: perSecond(times.measured), result: `${ratio.toFixed(2)}×`, bound: '≥ 0.4×', isMet: ratio >= 0.4 };
  };
  const figures = [
    await measure('a resident’s card', ask('card', cards, alternating, 'granted')),
    await measure('a pass that is forged', ask('qr', passes.map((pass) => `${pass.slice(0, -43)}${'A'.repeat(43)}`), () => 'in', 'denied')),
  ];
  const enter = ask('qr', passes, () => 'in', 'granted');
  const leave = ask('qr', passes, () => 'out', 'granted');
  const comeAndGo = async () => {
    await enter();
    turn -= 1;
    await leave();
  };
  const twice = async () => {
    await bare();
    return bare();
  };
  figures.push(await measure('a visitor’s pass, in and out again: pass, entry and visit are written, the visit audited and told of (floor: two inserts)', comeAndGo, { floor: twice, inserts: 2 }));
  await client.query('reset role');
  return figures;
}

/**
 * Fills the log with lines of ten communities of five gates over the last 90 days, and signs a manager in.
 *
 * @returns reads the newest 50 lines of a gate
 */
async function fillLog(client: pg.Client, lines: number): Promise<() => Promise<unknown>> {
  await client.query(`
    do $$
    declare
      first_day date;
    begin
      for month in 1 .. 3 loop
        first_day := date_trunc('month', now() at time zone 'UTC') - make_interval(months => month);
        execute format('create table audit.access_log_%s partition of audit.access_log for values from (%L) to (%L)',
          to_char(first_day, '"y"YYYY"m"MM'), first_day || ' 00:00:00+00', (first_day + interval '1 month')::date || ' 00:00:00+00');
      end loop;
    end $$;
    create schema bench;
    create table bench.gates as
    select c.n, c.id as community_id, gen_random_uuid() as gate_id, g as gate_n
    from (
      select n, public.create_community(public.create_organization('Bench ' || n, 'bench-' || n, 'BG'), 'Bench ' || n, 'bench-' || n, 'BG', 'EUR', 'Europe/Sofia') as id
      from generate_series(0, 9) n
    ) c cross join generate_series(0, 4) g;
    insert into auth.users (id, email, email_confirmed_at, raw_app_meta_data, raw_user_meta_data) values ('00000000-0000-4000-8000-000000000001', 'manager@bench.example', now(), '{}', '{}');
    select public.grant_role('00000000-0000-4000-8000-000000000001', 'manager', community_id => (select g.community_id from bench.gates g where g.n = 3 limit 1));`);
  await client.query(
    `insert into audit.access_log (logged_at, scanned_at, community_id, access_point_id, method, direction, outcome, reason, unit_id, nonce)
     select m.moment, m.moment, g.community_id, g.gate_id, 'card', 'in', case when s.n % 20 = 0 then 'denied' else 'granted' end::public.access_outcome,
       case when s.n % 20 = 0 then 'card_unknown' else 'admitted' end, g.gate_id, s.n::text
     from generate_series(1, $1::integer) s (n)
     cross join lateral (select now() - interval '90 days' * ($1 - s.n) / $1 as moment) m
     join bench.gates g on g.n = s.n % 10 and g.gate_n = s.n / 10 % 5`,
    [lines],
  );
  await client.query('vacuum analyze audit.access_log');
  const { rows } = await client.query<{ claims: unknown; community: string; gate: string }>(`
    select app.access_token(jsonb_build_object('user_id', u.id, 'claims', jsonb_build_object('sub', u.id, 'role', 'authenticated', 'app_metadata', '{}'::jsonb))) -> 'claims' as claims,
      g.community_id as community, g.gate_id as gate
    from auth.users u cross join bench.gates g where u.email = 'manager@bench.example' and g.n = 3 and g.gate_n = 2`);
  const [manager] = rows;
  await client.query(`select set_config('request.jwt.claims', $1, false)`, [JSON.stringify(manager?.claims)]);
  await client.query('set role authenticated');
  return async () => {
    const { rows: seen } = await client.query({
      name: 'newest',
      text: 'select id, logged_at, method, outcome, reason from public.access_log where community_id = $1 and access_point_id = $2 order by logged_at desc limit 50',
      values: [manager?.community, manager?.gate],
    });
    if (seen.length !== 50) throw new Error(`${seen.length} lines were seen.`);
  };
}
