import { afterEach, describe, expect, test, vi } from 'vitest';
import { type JobRunner, startJobRunner } from '../../../scripts/stack/jobs.ts';
import { connect, createEmptyDatabase, type Sql, testServer } from '../../support/database.ts';

let runner: JobRunner | undefined;
let end: (() => Promise<void>) | undefined;
afterEach(async () => {
  await runner?.stop();
  await end?.();
});

const patience = { timeout: 45_000, interval: 50 };

/** A job runner on an empty database, and what it logs. */
async function start(prepare?: (sql: Sql) => Promise<unknown>) {
  const url = testServer().url(await createEmptyDatabase());
  const connection = connect(url);
  end = connection.end;
  await prepare?.(connection.sql);
  const logs: string[] = [];
  const events: string[] = [];
  runner = await startJobRunner({
    databaseUrl: url,
    onLog: (line) => logs.push(line),
    onEvent: (payload) => events.push(payload),
  });
  return { sql: connection.sql, logs, events };
}

const jobs = (schedule: string) => (sql: Sql) =>
  sql(`
    create schema app;
    create table app.runs (job text, at timestamptz default clock_timestamp());
    create table app.scheduled_jobs (name text primary key, schedule text, is_enabled boolean);
    create function app.run_job(job text) returns void language plpgsql as $$
      begin
        if job = 'broken' then raise exception 'no such thing'; end if;
        insert into app.runs (job) values (job);
      end $$;
    insert into app.scheduled_jobs values ('tick', '${schedule}', true), ('off', '${schedule}', false), ('broken', '${schedule}', true)`);

const outbox = (sql: Sql) =>
  sql(`
    create schema app;
    create table app.queue (id int);
    insert into app.queue select generate_series(1, 250);
    create function app.run_outbox(most integer) returns integer language sql as $$
      with taken as (delete from app.queue where id in (select id from app.queue order by id limit most) returning 1)
      select count(*)::integer from taken $$`);

describe('the job runner', () => {
  test('waits quietly for a database that has nothing for it yet', async () => {
    const { sql, logs } = await start();
    await outbox(sql);
    await vi.waitFor(async () => expect(await sql('select from app.queue')).toEqual([]), patience);
    expect(logs).toEqual([]);
  });

  test('runs enabled jobs by their schedules, and a failing one stops no other', async () => {
    const { sql, logs } = await start(jobs('* * * * * *'));
    await vi.waitFor(
      async () => expect((await sql(`select from app.runs where job = 'tick'`)).length).toBeGreaterThan(1),
      patience,
    );
    await vi.waitFor(() => expect(logs.join('\n')).toMatch(/Job broken failed: .*no such thing/), patience);
    expect(await sql(`select from app.runs where job <> 'tick'`)).toEqual([]);
  });

  test('names a schedule that it cannot read', async () => {
    const { logs } = await start(jobs('every full moon'));
    expect(logs.join('\n')).toMatch(/Job tick has a schedule that cannot be read \(every full moon\)/);
  });

  test('empties the outbox, all of it, once a second', async () => {
    const { sql } = await start(outbox);
    await vi.waitFor(async () => expect(await sql('select from app.queue')).toEqual([]), patience);
    await sql('insert into app.queue values (1)');
    await vi.waitFor(async () => expect(await sql('select from app.queue')).toEqual([]), patience);
  });

  test('says once that the outbox fails, and goes on when it works again', async () => {
    const { sql, logs } = await start(async (ask) => {
      await outbox(ask);
      await ask('alter table app.queue rename to hidden');
    });
    await vi.waitFor(() => expect(logs).toHaveLength(1), patience);
    await sql('alter table app.hidden rename to queue');
    await vi.waitFor(async () => expect(await sql('select from app.queue')).toEqual([]), patience);
    expect(logs).toHaveLength(1);
  });

  test('hears what is broadcast', async () => {
    const { sql, events } = await start();
    await sql(`select pg_notify('vicinia_events', '{"topic": "visit.granted"}')`);
    await vi.waitFor(() => expect(events).toEqual(['{"topic": "visit.granted"}']), patience);
  });
});
