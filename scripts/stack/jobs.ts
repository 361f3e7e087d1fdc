import { Cron } from 'croner';
import pg from 'pg';

/** What pg_cron does on Supabase, done from outside. */
export type JobRunner = { stop(): Promise<void> };

type ScheduledJob = { name: string; schedule: string };

const outboxBatch = 100;
const rereadEveryMs = 30_000;

/**
 * Runs the jobs of `app.scheduled_jobs` when their schedules say, one run of a job at a time, and empties the outbox once
 * a second. Both wait quietly for migrations that bring their functions. Events on channel `vicinia_events` are shown.
 *
 * @param options.databaseUrl connects as role `postgres`
 * @param options.onEvent called with the payload of each event
 */
export async function startJobRunner(options: {
  databaseUrl: string;
  onLog: (line: string) => void;
  onEvent?: (payload: string) => void;
}): Promise<JobRunner> {
  const { onLog, onEvent } = options;
  const pool = new pg.Pool({ connectionString: options.databaseUrl, max: 2, application_name: 'vicinia jobs' });
  pool.on('error', (error) => onLog(`The job runner lost a database connection: ${error.message}`));
  const crons = new Map<string, { schedule: string; cron: Cron }>();
  let isStopping = false;

  const reread = everyInterval(rereadEveryMs, async () => {
    const jobs = (await hasJobs())
      ? (await pool.query<ScheduledJob>('select name, schedule from app.scheduled_jobs where is_enabled')).rows
      : [];
    for (const [name, { cron }] of crons) {
      if (jobs.some((job) => job.name === name && job.schedule === crons.get(name)?.schedule)) continue;
      cron.stop();
      crons.delete(name);
    }
    for (const { name, schedule } of jobs) if (!crons.has(name)) plan(name, schedule);
  });

  const empty = everyInterval(1000, async () => {
    if (!(await functionExists('app.run_outbox(integer)'))) return;
    let delivered = outboxBatch;
    while (delivered >= outboxBatch && !isStopping) {
      const { rows } = await pool.query<{ delivered: number }>('select app.run_outbox($1) as delivered', [outboxBatch]);
      delivered = rows[0]?.delivered ?? 0;
    }
  });

  const listener = onEvent ? await listenForEvents(options.databaseUrl, onEvent) : undefined;
  await reread.now();

  return {
    async stop() {
      isStopping = true;
      for (const { cron } of crons.values()) cron.stop();
      await Promise.all([reread.stop(), empty.stop()]);
      await listener?.end();
      await pool.end();
    },
  };

  function plan(name: string, schedule: string): void {
    try {
      const cron = new Cron(schedule, {
        name,
        protect: true,
        timezone: 'UTC',
        unref: true,
        catch: (error) => onLog(`Job ${name} failed: ${String(error)}`),
      }, async () => {
        if (!isStopping) await pool.query('select app.run_job($1)', [name]);
      });
      crons.set(name, { schedule, cron });
    } catch (error) {
      onLog(`Job ${name} has a schedule that cannot be read (${schedule}): ${(error as Error).message}`);
    }
  }

  async function hasJobs(): Promise<boolean> {
    const { rows } = await pool.query<{ found: boolean }>(
      `select to_regclass('app.scheduled_jobs') is not null and to_regprocedure('app.run_job(text)') is not null as found`,
    );
    return rows[0]?.found ?? false;
  }

  async function functionExists(signature: string): Promise<boolean> {
    const { rows } = await pool.query<{ found: boolean }>('select to_regprocedure($1) is not null as found', [signature]);
    return rows[0]?.found ?? false;
  }

  /** Repeats `work` with a pause between the runs, says once when it begins to fail, and can wait for the last run. */
  function everyInterval(milliseconds: number, work: () => Promise<void>) {
    let current: Promise<void> = Promise.resolve();
    let lastFailure = '';
    const run = async () => {
      try {
        await work();
        lastFailure = '';
      } catch (error) {
        const { message } = error as Error;
        if (message !== lastFailure && !isStopping) onLog(`The job runner failed: ${message}`);
        lastFailure = message;
      }
    };
    let timer: NodeJS.Timeout | undefined;
    const next = () => {
      timer = setTimeout(() => {
        current = run().then(() => {
          if (!isStopping) next();
        });
      }, milliseconds);
      timer.unref();
    };
    next();
    return {
      now: run,
      stop: () => {
        clearTimeout(timer);
        return current;
      },
    };
  }
}

async function listenForEvents(databaseUrl: string, onEvent: (payload: string) => void): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'vicinia events' });
  client.on('error', () => undefined);
  client.on('notification', ({ payload }) => onEvent(payload ?? ''));
  await client.connect();
  await client.query('listen vicinia_events');
  return client;
}
