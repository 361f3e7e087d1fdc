import { performance } from 'node:perf_hooks';
import { withClient } from '../stack/postgres.ts';
import { places } from './places.ts';
import { batchSteps, organizationSteps, preparation, type Step } from './statements.ts';

export type LoadOptions = {
  /** How many communities. */
  communities: number;
  /** How many units each has. */
  units: number;
  /** The same seed makes the same communities; another one makes others beside them. */
  seed: number;
  /** Lets every user that is made sign in with it; without, nobody signs in as one. */
  password?: string;
  /** Called as batches are done, with communities done so far. */
  onProgress?: (done: number) => void;
};

export type LoadResult = {
  /** Whether communities were made, or the seed had been loaded before and nothing was changed. */
  outcome: 'loaded' | 'already';
  /** Rows by what they are called: communities, units, residents … Of what is there already, communities and units. */
  counts: Record<string, number>;
  milliseconds: number;
};

/** So many units at a time: large enough for set-based inserts to pay, small enough for the bar to move. */
const unitsPerBatch = 2000;

/**
 * Makes synthetic communities: organizations, buildings, units, residents, occupancies, users and roles in a realistic
 * mix, named `load-<seed>-<number>` (slug). All or nothing: one transaction. The same seed loads once.
 *
 * @param databaseUrl connects as role `postgres`
 */
export async function loadCommunities(databaseUrl: string, options: LoadOptions): Promise<LoadResult> {
  const { communities, units, seed, password, onProgress } = options;
  const startedAt = performance.now();
  return withClient(databaseUrl, async (client) => {
    const counts: Record<string, number> = {};
    const run = async ({ sql, counts: name }: Step): Promise<void> => {
      const { rowCount } = await client.query(sql);
      if (name) counts[name] = (counts[name] ?? 0) + (rowCount ?? 0);
    };

    await client.query('begin');
    await client.query(`set local search_path = ''; set local statement_timeout = 0; select pg_advisory_xact_lock(hashtext('load'))`);
    const { rows } = await client.query<{ communities: number; units: number }>(
      `select count(*)::int as communities, (select count(*) from public.units u where u.community_id = any (array_agg(c.id)))::int as units
       from public.communities c where c.slug ~ ('^load-' || $1::integer || '-[0-9]+$')`,
      [seed],
    );
    if (rows[0]?.communities) {
      await client.query('rollback');
      return { outcome: 'already', counts: rows[0], milliseconds: performance.now() - startedAt };
    }

    await client.query(`select set_config('app.actor', 'job:load', true)`);
    await client.query(preparation(seed));
    for (const [n, place] of places.entries()) {
      await client.query('insert into pg_temp.load_places values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)', [
        ...[n, place.countryCode, place.currencyCode, place.timeZone, place.locale, place.idealPartsTotal, place.cities],
        ...[place.communityNames, place.givenNames, place.familyNames, place.companyNames, place.layouts, place.buildingName, place.phonePrefix],
      ]);
    }
    await client.query(
      `insert into pg_temp.load_input (communities, units, password_hash) values ($1, $2, extensions.crypt($3, extensions.gen_salt('bf', 8)))`,
      [communities, units, password],
    );
    for (const step of organizationSteps(seed)) await run(step);

    const batch = Math.max(1, Math.floor(unitsPerBatch / units));
    for (let first = 1; first <= communities; first += batch) {
      const last = Math.min(first + batch - 1, communities);
      await client.query('update pg_temp.load_input set first = $1, last = $2', [first, last]);
      for (const step of batchSteps) await run(step);
      onProgress?.(last);
    }
    await client.query('commit');
    return { outcome: 'loaded', counts, milliseconds: performance.now() - startedAt };
  });
}
