import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { testKeys } from '../scripts/stack/keys.ts';
import { projectRoot } from '../scripts/stack/paths.ts';
import { withClient } from '../scripts/stack/postgres.ts';
import { startStack } from '../scripts/stack/stack.ts';
import { readSupabaseConfig } from '../scripts/stack/supabase-config.ts';
import type { BenchContext, Bench, Figure } from './support/report.ts';
import type { DatabaseUrls } from './support/cluster.ts';
import { interleave } from './support/measure.ts';
import { atMostMore, atMostTimes, reported } from './support/report.ts';

/** What a pass costs at the gate: its signature, the text as a whole, and the request of a scanner. */
export const passes: Bench = {
  name: 'passes',
  title: 'Passes',
  about:
    'A visitor\'s pass verified in SQL, per pass: HMAC-SHA256 and the comparison as app.read_pass writes them, and app.read_pass as a whole, against a scan of the same passes; and the function verify-pass over HTTP, granting a device\'s scan and logging it, against an empty function of the same runtime behind the same gateway (medians of single requests in turns): for a resident\'s code, which is what gates see most, and for a visitor, whose visit is written besides, and the one before where nobody saw them leave. Such a scan the function asks of the database itself, in its one session, which the first scans have opened (docs/passes.md), here and on a hosted project; without a session it asks PostgREST through the gateway.',
  run: (context) =>
    context.cluster.withDatabase(async (urls) => {
      await withClient(urls.owner, (client) => client.query(place));
      return [...(await inSql(urls, context)), ...(await overHttp(urls, context))];
    }),
};

const place = `
  insert into public.organizations (name, slug, country_code) values ('Bench', 'bench', 'BG');
  insert into public.communities (organization_id, name, slug, country_code, currency_code, time_zone) select id, 'Bench', 'bench', 'BG', 'EUR', 'Europe/Sofia' from public.organizations;
  insert into public.access_points (name, community_id, kind) select 'Gate', id, 'gate' from public.communities;
  insert into public.visitor_invitations (community_id, kind, plate, starts_at, ends_at) select id, 'vehicle', 'CB 1208 BH', now() - interval '1 hour', now() + interval '1 day' from public.communities;
  create schema bench;
  create table bench.issued as select p.pass, i.community_id from public.visitor_invitations i cross join lateral public.issue_pass(i.id) p;
  insert into public.visitor_invitations (community_id, kind, plate, starts_at, ends_at) select c.id, 'vehicle', 'CB ' || 2000 + n || ' BH', now() - interval '1 hour', now() + interval '1 day' from public.communities c cross join generate_series(1, 600) n;
  create table bench.visitors as select p.pass from public.visitor_invitations i cross join lateral public.issue_pass(i.id) p where i.plate <> 'CB 1208 BH';
  create table bench.passes as
  select p.pass, left(p.pass, -44) as signed, decode(replace(replace(right(p.pass, 43), '-', '+'), '_', '/') || '=', 'base64') as mac, app.pass_secret(k) as secret, k.community_id
  from bench.issued p join private.pass_keys k on k.kid = split_part(p.pass, '.', 2);
  create table bench.shown as select p.* from bench.passes p cross join generate_series(1, 20000);
  insert into public.units (community_id, number) select id, '1' from public.communities;
  insert into public.residents (community_id, full_name) select id, 'Resident ' || n from public.communities cross join generate_series(1, 600) n;
  insert into public.occupancies (community_id, unit_id, resident_id, role, starts_on) select r.community_id, u.id, r.id, 'family', current_date - 10 from public.residents r cross join public.units u;
  insert into public.passes (community_id, kind, resident_id, kid, starts_at, ends_at)
  select r.community_id, 'resident', r.id, app.signing_pass_key(r.community_id), date_trunc('day', now()), date_trunc('day', now()) + interval '9 days' from public.residents r;
  analyze;`;

/** What a resident's app shows now. */
function residentCode({ id, kid, seed }: { id: string; kid: string; seed: string }): string {
  const payload = Buffer.alloc(20);
  payload.write(id.replaceAll('-', ''), 'hex');
  payload.writeUInt32BE(Math.floor(Date.now() / 30_000), 16);
  const signed = `r1.${kid}.${payload.toString('base64url')}`;
  return `${signed}.${createHmac('sha256', Buffer.from(seed, 'base64url')).update(signed).digest('base64url')}`;
}

async function inSql({ owner }: DatabaseUrls, { quick, progress }: BenchContext): Promise<Figure[]> {
  progress('verifying 20,000 passes in SQL');
  const client = new pg.Client({ connectionString: owner });
  await client.connect();
  try {
    const count = async (condition: string, from = '') => {
      const { rows } = await client.query<{ count: number }>(`select count(*)::integer as count from bench.shown s ${from} where ${condition}`);
      if (rows[0]?.count !== 20_000) throw new Error(`${rows[0]?.count} of 20,000 passes are good`);
    };
    const times = await interleave(
      {
        floor: () => count(`octet_length(s.signed) = 46 and octet_length(s.mac) = 32 and octet_length(s.secret) = 32`),
        hmac: () =>
          count(`sha256(extensions.hmac(convert_to(s.signed, 'UTF8'), s.secret, 'sha256')) = sha256(s.mac) and octet_length(s.signed) = 46 and octet_length(s.mac) = 32 and octet_length(s.secret) = 32`),
        whole: () => count(`r.reason is null`, `cross join lateral app.read_pass(s.community_id, s.pass, now()) r`),
      },
      { rounds: quick ? 5 : 21, warmup: 2 },
    );
    const each = (name: 'floor' | 'hmac' | 'whole') => times[name] / 20_000;
    return [
      atMostMore('HMAC-SHA256 of a pass, compared', { floor: each('floor'), measured: each('hmac') }, 3),
      reported('app.read_pass: text, key, signature, window, revocation', { floor: each('floor'), measured: each('whole') }),
    ];
  } finally {
    await client.end();
  }
}

async function overHttp({ owner }: DatabaseUrls, { cluster, quick, progress }: BenchContext): Promise<Figure[]> {
  progress('asking verify-pass and an empty function');
  const { key, gate, pass } = await withClient(owner, async (client) => {
    const { rows } = await client.query<{ key: string; gate: string; pass: string }>(
      `select e.device_key as key, a.id as gate, (select pass from bench.passes) as pass from public.access_points a cross join lateral public.enroll_device(a.id, 'Scanner', 'reader') e`,
    );
    return rows[0]!;
  });
  const visitors = await withClient(owner, async (client) => (await client.query<{ pass: string }>('select pass from bench.visitors')).rows);
  const residents = await withClient(owner, async (client) => (await client.query<{ id: string; kid: string; seed: string }>(`select p.id, p.kid, app.resident_seed(p) as seed from public.passes p where p.kind = 'resident'`)).rows);
  const config = readSupabaseConfig();
  const storageDir = mkdtempSync(join(tmpdir(), 'vicinia-bench-storage-'));
  const stack = await startStack({
    postgres: cluster.server,
    database: new URL(owner).pathname.slice(1),
    port: 0,
    keys: testKeys(),
    functions: true,
    moreFunctions: { empty: join(projectRoot, 'bench/support/empty-function.js') },
    config: { ...config, functions: { ...config.functions, empty: { enabled: true, verify_jwt: false } } },
    storageDir,
  });
  try {
    const call = async (name: string, answer: string, shown = pass) => {
      const response = await fetch(`${stack.url}/functions/v1/${name}`, {
        method: 'POST',
        headers: { 'x-device-key': key, 'content-type': 'application/json' },
        body: JSON.stringify({ access_point_id: gate, pass: shown, direction: 'in' }),
      });
      const text = await response.text();
      if (!response.ok || !text.includes(answer)) throw new Error(`${name} answered ${response.status}: ${text}`);
    };
    const times = await interleave(
      {
        floor: () => call('empty', ''),
        // Each resident once: a code opens once.
        resident: () => call('verify-pass', '"granted"', residentCode(residents.pop()!)),
        // And each visitor: one who was not seen leaving is checked out first, which is another visit written.
        visitor: () => call('verify-pass', '"granted"', visitors.pop()!.pass),
        returning: () => call('verify-pass', '"granted"'),
      },
      { rounds: quick ? 100 : 500, warmup: 30 },
    );
    return [
      atMostTimes('verify-pass: a resident\'s code, granted and logged', { floor: times.floor, measured: times.resident }, 3),
      atMostTimes('verify-pass: a visitor\'s pass, granted, logged, and the visit begun', { floor: times.floor, measured: times.visitor }, 3),
      atMostTimes('verify-pass: a visitor who was not seen leaving, the visit before ended besides', { floor: times.floor, measured: times.returning }, 3),
    ];
  } finally {
    await stack.stop();
    rmSync(storageDir, { recursive: true, force: true });
  }
}
