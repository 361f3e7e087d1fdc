import { loadCommunities } from '../scripts/load/load.ts';
import { withClient } from '../scripts/stack/postgres.ts';
import { interleave } from './support/measure.ts';
import { reported, type Bench } from './support/report.ts';

/** What archiving costs, which looks for live children and writes the audit log. */
export const archive: Bench = {
  name: 'archive',
  title: 'Archiving',
  about:
    'A unit that nobody occupies is archived and restored through the RPCs, among 200 communities of 50 units with their people, against two updates of deleted_at in a copy of the table without triggers. Both are done by the secret key’s role, with synchronous_commit off.',
  async run({ cluster, quick, progress }) {
    return cluster.withDatabase(async (urls) => {
      progress('making 200 communities');
      await loadCommunities(urls.owner, { communities: 200, units: 50, seed: 1 });
      return withClient(urls.superuser, async (client) => {
        await client.query(`
          create schema bench;
          insert into public.units (community_id, number) select c.id, 'bench ' || n from public.communities c cross join generate_series(1, 5) n;
          create table bench.plain (like public.units including defaults including indexes);
          insert into bench.plain select * from public.units;
          grant usage on schema bench to service_role;
          grant select, update on bench.plain to service_role;`);
        await client.query('vacuum analyze');
        const { rows: units } = await client.query<{ id: string }>(`select id from public.units where number like 'bench %' order by md5(id::text)`);
        await client.query('set role service_role; set synchronous_commit = off');
        let turn = 0;
        const next = () => units[(turn += 1) % units.length]?.id;
        const updated = async () => {
          const id = next();
          await client.query({ name: 'archive plain', text: 'update bench.plain set deleted_at = clock_timestamp() where id = $1', values: [id] });
          await client.query({ name: 'restore plain', text: 'update bench.plain set deleted_at = null where id = $1', values: [id] });
        };
        const archived = async () => {
          const id = next();
          await client.query({ name: 'archive', text: `select public.archive('units', $1)`, values: [id] });
          await client.query({ name: 'restore', text: `select public.restore('units', $1)`, values: [id] });
        };
        progress('archiving and restoring');
        const times = await interleave({ floor: updated, measured: archived }, { rounds: quick ? 20 : 100, repeat: 5, warmup: 5 });
        return [reported('archive and restore one unit', times)];
      });
    });
  },
};
