-- Foundation: events and schedules.
--
-- Purpose     What others care about, told in the same transaction; what time brings about, done once.
-- Tables      app.outbox, app.outbox_consumers, app.outbox_deliveries, app.scheduled_jobs
-- Invariants  An event exists if and only if its change was committed. Each consumer gets each event at least once; a delivery
--             that fails is tried again, later each time, and after ten tries rests as dead until replayed.
--             Two workers never hold one delivery, two runners never run one job at once.

create type app.delivery_status as enum ('pending', 'delivered', 'dead');

-- Outbox -------------------------------------------------------------------------------------------------------------

create table app.outbox (
  id uuid not null default extensions.uuidv7(),
  topic text not null,
  community_id uuid,
  payload jsonb not null,
  consumers text[],
  created_at timestamptz not null default now(),
  constraint outbox_pkey primary key (id),
  constraint outbox_topic_check check (topic ~ '^[a-z_]+(\.[a-z_]+)+$'),
  constraint outbox_payload_check check (jsonb_typeof(payload) = 'object')
);

create index outbox_fresh_idx on app.outbox (id) where consumers is not null;

comment on table app.outbox is 'Events, written in the transaction that caused them: app.emit. What they tell never changes; the retention job alone removes them.';
comment on column app.outbox.id is 'The event''s id; time-ordered.';
comment on column app.outbox.topic is '<what>.<happened>: occupancy.ended.';
comment on column app.outbox.community_id is 'The community it happened in, if in one. A plain id: an event outlives what it tells of.';
comment on column app.outbox.payload is 'Ids and what changed; personal data only as ids.';
comment on column app.outbox.consumers is
  'Who is to be told, as it was when it happened; null once app.run_outbox has made their deliveries, or for nobody. Whoever causes an event waits for one row and not for one per consumer.';
comment on column app.outbox.created_at is 'When the transaction of the change began.';

create table app.outbox_consumers (
  name text not null,
  topics text not null,
  handler text not null,
  description text not null,
  is_enabled boolean not null default true,
  constraint outbox_consumers_pkey primary key (name),
  constraint outbox_consumers_name_check check (app.is_slug(name)),
  constraint outbox_consumers_handler_check check (to_regprocedure(handler) is not null)
);

comment on table app.outbox_consumers is 'Who is told of events. Each topic of the system registers its own.';
comment on column app.outbox_consumers.name is 'Short name, in deliveries and logs.';
comment on column app.outbox_consumers.topics is 'LIKE pattern of the topics it is told of: % for all, occupancy.% for a family.';
comment on column app.outbox_consumers.handler is 'A function f(app.outbox) returning void, as schema.name(argument types); raising means: try again later. Text, because pg_upgrade cannot carry regprocedure.';
comment on column app.outbox_consumers.description is 'What it does with what it is told.';
comment on column app.outbox_consumers.is_enabled is 'Whether it is told of new events; while false, its pending deliveries wait.';

create table app.outbox_deliveries (
  event_id uuid not null,
  consumer text not null,
  status app.delivery_status not null default 'pending',
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  delivered_at timestamptz,
  last_error text,
  constraint outbox_deliveries_pkey primary key (event_id, consumer),
  constraint outbox_deliveries_event_fkey foreign key (event_id) references app.outbox (id) on delete cascade,
  constraint outbox_deliveries_consumer_fkey foreign key (consumer) references app.outbox_consumers (name) on delete cascade,
  constraint outbox_deliveries_delivered_check check ((status = 'delivered') = (delivered_at is not null))
);

create index outbox_deliveries_due_idx on app.outbox_deliveries (next_attempt_at) where status = 'pending';
create index outbox_deliveries_consumer_idx on app.outbox_deliveries (consumer);

comment on table app.outbox_deliveries is 'Which consumer has yet to be told of which event.';
comment on column app.outbox_deliveries.event_id is 'The event.';
comment on column app.outbox_deliveries.consumer is 'Who is to be told.';
comment on column app.outbox_deliveries.status is 'pending: due at next_attempt_at. dead: ten tries failed; app.replay_delivery tries again.';
comment on column app.outbox_deliveries.attempts is 'How often it was tried.';
comment on column app.outbox_deliveries.next_attempt_at is 'Not before this moment is it tried (again).';
comment on column app.outbox_deliveries.delivered_at is 'When the consumer took it.';
comment on column app.outbox_deliveries.last_error is 'What the last try failed with; null after success.';

alter table app.outbox enable row level security;
alter table app.outbox_consumers enable row level security;
alter table app.outbox_deliveries enable row level security;
create policy outbox_select on app.outbox for select to authenticated using (false);
create policy outbox_consumers_select on app.outbox_consumers for select to authenticated using (false);
create policy outbox_deliveries_select on app.outbox_deliveries for select to authenticated using (false);

-- In PL/pgSQL, which keeps its plans: gates emit with every denial.

create function app.emit(topic text, community_id uuid, payload jsonb)
returns uuid
language plpgsql
volatile
security definer -- no role may write the outbox directly
set search_path = ''
as $$
declare
  event uuid;
begin
  insert into app.outbox (topic, community_id, payload, consumers)
  values (emit.topic, emit.community_id, emit.payload, nullif(array(select c.name from app.outbox_consumers c where emit.topic like c.topics and c.is_enabled), '{}'))
  returning id into event;
  return event;
end;
$$;

comment on function app.emit(text, uuid, jsonb) is
  'Tells of a change, in its transaction; returns the event''s id. Definer: no role may write the outbox. Called by triggers and definer functions only.';

create function app.run_outbox(most integer default 100)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  due record;
  problem text;
  handled integer := 0;
begin
  with fresh as (
    select o.id, o.consumers from app.outbox o where o.consumers is not null order by o.id limit most for no key update skip locked
  ),
  noted as (
    update app.outbox o set consumers = null from fresh f where o.id = f.id
  )
  insert into app.outbox_deliveries (event_id, consumer)
  select f.id, c.name from fresh f join app.outbox_consumers c on c.name = any (f.consumers);
  for due in
    select d.event_id, d.consumer, d.attempts, c.handler, o as event
    from app.outbox_deliveries d
    join app.outbox o on o.id = d.event_id
    join app.outbox_consumers c on c.name = d.consumer
    where d.status = 'pending' and d.next_attempt_at <= now() and c.is_enabled
    order by d.next_attempt_at, d.event_id
    limit most
    for no key update of d skip locked
  loop
    begin
      execute format('select %s($1)', due.handler::regprocedure::oid::regproc) using due.event;
      update app.outbox_deliveries d
      set status = 'delivered', delivered_at = now(), attempts = d.attempts + 1, last_error = null
      where d.event_id = due.event_id and d.consumer = due.consumer;
    exception when others then
      get stacked diagnostics problem = message_text;
      -- 10 s, 20 s, 40 s … 85 min, each up to half as long again, so that what failed together does not return together.
      update app.outbox_deliveries d
      set attempts = d.attempts + 1, last_error = left(problem, 1000),
        status = case when d.attempts + 1 >= 10 then 'dead' else 'pending' end::app.delivery_status,
        next_attempt_at = now() + make_interval(secs => 10 * 2 ^ d.attempts * (1 + random() / 2))
      where d.event_id = due.event_id and d.consumer = due.consumer;
    end;
    handled := handled + 1;
  end loop;
  return handled;
end;
$$;

comment on function app.run_outbox(integer) is
  'Makes the deliveries of up to `most` new events, hands up to `most` due ones to their consumers, and returns how many it tried. Any number of workers may call it at once: each takes what no other holds.';

create function app.replay_delivery(event_id uuid, consumer text)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  update app.outbox_deliveries d
  set status = 'pending', attempts = 0, next_attempt_at = now(), delivered_at = null
  where d.event_id = replay_delivery.event_id and d.consumer = replay_delivery.consumer;
  if not found then
    perform app.fail(404, 'delivery_not_found', 'This consumer was never to be told of this event.');
  end if;
end;
$$;

comment on function app.replay_delivery(uuid, text) is 'Delivers an event to a consumer again, a dead delivery or a made one. Errors: delivery_not_found.';

create function app.deliver_broadcast(event app.outbox)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  told constant jsonb := jsonb_build_object('id', event.id, 'topic', event.topic, 'community_id', event.community_id, 'payload', event.payload);
begin
  if to_regprocedure('realtime.send(jsonb, text, text, boolean)') is not null and event.community_id is not null then
    execute 'select realtime.send($1, $2, $3, true)' using told, event.topic, 'community:' || event.community_id;
  end if;
  -- Workers that listen get the id alone: a notification holds at most 8000 bytes.
  perform pg_notify('vicinia_events', jsonb_build_object('id', event.id, 'topic', event.topic)::text);
end;
$$;

comment on function app.deliver_broadcast(app.outbox) is
  'Consumer "broadcast": sends the event to the private realtime channel community:<id> where Realtime exists, and its id and topic to LISTEN vicinia_events everywhere.';

create function app.open_realtime()
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
begin
  if to_regclass('realtime.messages') is null or to_regprocedure('realtime.topic()') is null then
    return false;
  end if;
  execute 'drop policy if exists vicinia_events_select on realtime.messages';
  -- For reading alone: nobody sends into a community's channel but the database.
  execute $policy$
    create policy vicinia_events_select on realtime.messages for select to authenticated
      using (
        extension = 'broadcast'
        and (select realtime.topic()) = any ((select array(select 'community:' || c from unnest(app.communities_where('audit.read')) c))::text[])
      )
  $policy$;
  return true;
exception when insufficient_privilege then
  -- An older project, whose Realtime lets nobody else say who listens: nobody does, as before.
  return false;
end;
$$;

comment on function app.open_realtime() is
  'Lets holders of audit.read, who may read of every change anyway, listen to the private channel of their community; nobody else, and nobody sends. False where Realtime is not installed, or lets nobody else say who listens: call it again when it is and does.';

select app.open_realtime();

insert into app.outbox_consumers (name, topics, handler, description) values
  ('broadcast', '%', 'app.deliver_broadcast(app.outbox)', 'Tells apps that listen to a community''s realtime channel, and local workers.');

-- Schedules ----------------------------------------------------------------------------------------------------------

create table app.scheduled_jobs (
  name text not null,
  schedule text not null,
  handler text not null,
  description text not null,
  is_enabled boolean not null default true,
  last_started_at timestamptz,
  last_finished_at timestamptz,
  last_error text,
  constraint scheduled_jobs_pkey primary key (name),
  constraint scheduled_jobs_name_check check (app.is_slug(name)),
  constraint scheduled_jobs_handler_check check (to_regprocedure(handler) is not null),
  constraint scheduled_jobs_schedule_check check (schedule ~ '^([0-9*,/-]+ ){4}[0-9*,/-]+$')
);

comment on table app.scheduled_jobs is 'What is done on a schedule: by pg_cron where it exists (app.sync_jobs), by the local scheduler where it does not.';
comment on column app.scheduled_jobs.name is 'Short name; pg_cron knows the job as vicinia:<name>.';
comment on column app.scheduled_jobs.schedule is 'Five cron fields, UTC: minute hour day month weekday.';
comment on column app.scheduled_jobs.handler is 'A function f() that may run twice without harm, as schema.name(). Text, because pg_upgrade cannot carry regprocedure.';
comment on column app.scheduled_jobs.description is 'What it does, in a sentence.';
comment on column app.scheduled_jobs.is_enabled is 'Whether the schedule starts it.';
comment on column app.scheduled_jobs.last_started_at is 'When the last run began.';
comment on column app.scheduled_jobs.last_finished_at is 'When the last run ended.';
comment on column app.scheduled_jobs.last_error is 'What the last run failed with; null when it succeeded.';

alter table app.scheduled_jobs enable row level security;
create policy scheduled_jobs_select on app.scheduled_jobs for select to authenticated using (false);

create function app.run_job(job text)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
declare
  handler regprocedure;
  problem text;
begin
  select j.handler into handler from app.scheduled_jobs j where j.name = job and j.is_enabled for no key update skip locked;
  if handler is null then
    return false;
  end if;
  perform set_config('app.actor', 'job:' || job, true);
  begin
    execute format('select %s()', handler::oid::regproc);
  exception when others then
    get stacked diagnostics problem = message_text;
  end;
  update app.scheduled_jobs j
  set last_started_at = now(), last_finished_at = clock_timestamp(), last_error = left(problem, 1000)
  where j.name = job;
  return problem is null;
end;
$$;

comment on function app.run_job(text) is
  'Runs a job now and records how it went; what it did is undone if it failed. False when it failed, is switched off, unknown, or running elsewhere.';

create function app.sync_jobs()
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  job record;
  synced integer := 0;
begin
  if to_regnamespace('cron') is null then
    return 0;
  end if;
  execute $cron$
    select cron.unschedule(c.jobid) from cron.job c
    where c.jobname like 'vicinia:%' and not exists (select from app.scheduled_jobs j where 'vicinia:' || j.name = c.jobname and j.is_enabled)
  $cron$;
  for job in select j.name, j.schedule from app.scheduled_jobs j where j.is_enabled order by j.name loop
    execute 'select cron.schedule($1, $2, $3)' using 'vicinia:' || job.name, job.schedule, format('select app.run_job(%L)', job.name);
    synced := synced + 1;
  end loop;
  return synced;
end;
$$;

comment on function app.sync_jobs() is
  'Registers the enabled jobs with pg_cron and removes the others. Does nothing, and returns 0, where pg_cron is not installed. Called when jobs change.';

create function app.tg_scheduled_jobs__sync()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform app.sync_jobs();
  return null;
end;
$$;

comment on function app.tg_scheduled_jobs__sync() is 'AFTER a job is added, changed or removed: brings pg_cron up to date.';

create trigger _500_sync after insert or delete or update of schedule, handler, is_enabled on app.scheduled_jobs
  for each statement execute function app.tg_scheduled_jobs__sync();

-- The jobs of the foundation -----------------------------------------------------------------------------------------

create function app.job_outbox()
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  -- The local scheduler empties the outbox every second; pg_cron does it through this job, several batches a minute.
  for batch in 1 .. 50 loop
    exit when app.run_outbox(200) = 0;
  end loop;
end;
$$;

comment on function app.job_outbox() is 'Job outbox: delivers what is due.';

create function app.job_outbox_retention()
returns void
language sql
volatile
set search_path = ''
as $$
  delete from app.outbox o
  where o.created_at < now() - interval '30 days' and o.consumers is null
    and not exists (select from app.outbox_deliveries d where d.event_id = o.id and d.status <> 'delivered')
$$;

comment on function app.job_outbox_retention() is 'Job outbox-retention: removes events older than 30 days that every consumer was told of.';

create function app.job_partitions()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  parent regclass;
begin
  for parent in
    select p.partrelid
    from pg_catalog.pg_partitioned_table p
    join pg_catalog.pg_class c on c.oid = p.partrelid
    where c.relnamespace in ('audit'::regnamespace, 'public'::regnamespace) and p.partstrat = 'r'
    order by p.partrelid
  loop
    perform app.ensure_partitions(parent);
  end loop;
end;
$$;

comment on function app.job_partitions() is 'Job partitions: makes the coming months'' partitions of every log.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('outbox', '* * * * *', 'app.job_outbox()', 'Delivers events to their consumers.'),
  ('outbox-retention', '17 3 * * *', 'app.job_outbox_retention()', 'Removes old delivered events.'),
  ('partitions', '7 2 * * *', 'app.job_partitions()', 'Makes the partitions of the coming months.');

-- Events of the foundation -------------------------------------------------------------------------------------------

create function app.tg_memberships__emit()
returns trigger
language plpgsql
security definer -- calls app.emit, which no API role may
set search_path = ''
as $$
begin
  perform app.emit(case when tg_op = 'INSERT' then 'membership.granted' else 'membership.revoked' end, new.community_id,
    jsonb_build_object('membership_id', new.id, 'user_id', new.user_id, 'role_id', new.role_id, 'organization_id', new.organization_id));
  return null;
end;
$$;

comment on function app.tg_memberships__emit() is 'AFTER INSERT, and AFTER UPDATE that ends or archives: events membership.granted and membership.revoked. Definer: calls app.emit.';

create trigger _600_emit_granted after insert on public.memberships for each row execute function app.tg_memberships__emit();
create trigger _600_emit_revoked after update of ends_at, deleted_at on public.memberships for each row
  when ((new.ends_at is not null and old.ends_at is distinct from new.ends_at) or (new.deleted_at is not null and old.deleted_at is null))
  execute function app.tg_memberships__emit();
