import { withClient } from '../../scripts/stack/postgres.ts';
import type { BenchCluster } from './cluster.ts';
import { median, time, type Work } from './measure.ts';
import { duration } from './report.ts';

/**
 * How fast the machine is just now, in what short floors consist of: a round trip (select 1, prepared), and the wait of a
 * commit for the disk (what one row takes more with synchronous_commit on than off). The longer they are, the less a
 * ratio tells of the work between: figures of two runs compare if these do.
 */
export async function measurePace(cluster: BenchCluster): Promise<string> {
  return cluster.withDatabase(async (urls) =>
    withClient(urls.owner, async (client) => {
      await client.query('create schema pace');
      await client.query('create table pace.row (n integer)');
      const ask = () => client.query({ name: 'pace ask', text: 'select 1' });
      const write = () => client.query({ name: 'pace write', text: 'insert into pace.row (n) values (1)' });
      const medianOf = async (work: Work): Promise<number> => {
        const times: number[] = [];
        for (let call = 0; call < 500; call += 1) times.push(await time(work));
        return median(times.slice(100));
      };
      const roundTrip = await medianOf(ask);
      await client.query('set synchronous_commit = off');
      const unwaited = await medianOf(write);
      await client.query('set synchronous_commit = on');
      const waited = await medianOf(write);
      return `a round trip of ${duration(roundTrip)}, a commit of ${duration(Math.max(0, waited - unwaited))} more`;
    }),
  );
}
