-- The outbox and the scheduled jobs: told once in the transaction that caused it, tried again when it fails, done once.
-- Two workers at once are in tests/api/races.test.ts: that takes two sessions.

begin;
select plan(45);

create function pg_temp.take(event app.outbox) returns void language plpgsql as $$
begin
  perform set_config('tests.taken', concat_ws(',', nullif(current_setting('tests.taken', true), ''), event.topic), true);
end;
$$;
create function pg_temp.refuse(event app.outbox) returns void language plpgsql as $$
begin
  raise exception 'not today';
end;
$$;

-- The consumers of the installation have their own tests.
update app.outbox_consumers set is_enabled = false;
delete from app.outbox;
insert into app.outbox_consumers (name, topics, handler, description) values
  ('all', 'test.%', pg_my_temp_schema()::regnamespace || '.take(app.outbox)', 'Takes every event of the test.'),
  ('none', 'test.refused', pg_my_temp_schema()::regnamespace || '.refuse(app.outbox)', 'Fails at every event.');

-- Told in the transaction of the change --------------------------------------------------------------------------------

select is(app.run_outbox(), 0, '(nothing is due)');
savepoint change;
select tests.keep('undone', app.emit('test.undone', null, '{}'));
rollback to change;
select is_empty($$select from app.outbox where topic = 'test.undone'$$, 'an event whose change is rolled back was never told');

select tests.keep('event', app.emit('test.happened', null, '{"unit_id": 1}'));
select is((select payload from app.outbox where id = tests.kept('event')::uuid), '{"unit_id": 1}', 'an event is told in the transaction that caused it');
select is((select consumers from app.outbox where id = tests.kept('event')::uuid), array['all'], 'for every consumer whose topics fit');
select throws_ok($$select app.emit('shouting', null, '{}')$$, '23514', null, 'a topic is <what>.<happened>');

-- Delivered once -------------------------------------------------------------------------------------------------------

select is(app.run_outbox(), 1, 'what is due is delivered');
select is(current_setting('tests.taken', true), 'test.happened', 'the consumer got the event');
select is((select row(status, attempts, delivered_at)::text from app.outbox_deliveries where event_id = tests.kept('event')::uuid), row('delivered', 1, now())::text, 'and it is written down');
select is(app.run_outbox(), 0, 'and not again');

update app.outbox_consumers set is_enabled = false where name = 'all';
select app.emit('test.unheard', null, '{}');
update app.outbox_consumers set is_enabled = true where name = 'all';
select is(app.run_outbox(), 0, 'a consumer is not told of what happened while it was switched off');

-- Tried again ----------------------------------------------------------------------------------------------------------

select tests.keep('event', app.emit('test.refused', null, '{}'));
select is(app.run_outbox(), 2, 'a consumer that fails keeps no other from the event');
select is((select status::text from app.outbox_deliveries where event_id = tests.kept('event')::uuid and consumer = 'all'), 'delivered', '(the other took it)');
select is((select row(status, attempts, last_error)::text from app.outbox_deliveries where event_id = tests.kept('event')::uuid and consumer = 'none'),
  row('pending', 1, 'not today')::text, 'a delivery that failed is still due, and says why');
select is(app.run_outbox(), 0, 'but not at once');

create temporary table delays (attempt integer, seconds numeric);
create function pg_temp.fail_again() returns void language plpgsql as $$
begin
  insert into delays select d.attempts, extract(epoch from d.next_attempt_at - now()) from app.outbox_deliveries d where d.consumer = 'none';
  update app.outbox_deliveries set next_attempt_at = now() where consumer = 'none';
  perform app.run_outbox();
end;
$$;
select pg_temp.fail_again() from generate_series(1, 8);
select is((select count(*) from delays), 8::bigint, '(eight more tries)');
select is_empty('select * from delays where seconds not between 10 * 2 ^ (attempt - 1) and 15 * 2 ^ (attempt - 1)', 'the wait doubles from 10 seconds, each up to half as long again');
select is((select status::text from app.outbox_deliveries where consumer = 'none'), 'pending', 'after nine tries it is tried once more');
select pg_temp.fail_again();
select is((select row(status, attempts)::text from app.outbox_deliveries where consumer = 'none'), row('dead', 10)::text, 'after ten it rests');
update app.outbox_deliveries set next_attempt_at = now() where consumer = 'none';
select is(app.run_outbox(), 0, 'and is not tried any more');

-- Replayed -------------------------------------------------------------------------------------------------------------

select app.replay_delivery(tests.kept('event')::uuid, 'none');
select is(app.run_outbox(), 1, 'a dead delivery that is replayed is tried again');
select is((select row(status, attempts)::text from app.outbox_deliveries where consumer = 'none'), row('pending', 1)::text, 'from the start');
select app.replay_delivery(tests.kept('event')::uuid, 'all');
select is(app.run_outbox(), 1, 'a delivery that was made can be made again');
select throws_ok($$select app.replay_delivery(gen_random_uuid(), 'all')$$, 'PT404', 'delivery_not_found', 'there must have been one');

-- What a handler did is undone when it fails ---------------------------------------------------------------------------

create function pg_temp.half(event app.outbox) returns void language plpgsql as $$
begin
  perform tests.create_organization('half done');
  raise exception 'and then it broke';
end;
$$;
insert into app.outbox_consumers (name, topics, handler, description) values
  ('half', 'half.done', pg_my_temp_schema()::regnamespace || '.half(app.outbox)', 'Breaks half-way.');
select app.emit('half.done', null, '{}');
select app.run_outbox();
select is_empty($$select from public.organizations where id = tests.id('half done')$$, 'what a consumer did before it failed is undone');

-- Events of memberships ------------------------------------------------------------------------------------------------

select tests.create_community('Alder'), tests.create_supabase_user('ana');
select tests.keep('membership', tests.grant_role('ana', 'guard', community => 'Alder', starts_at => now() - interval '1 day'));
select results_eq(
  $$select topic, community_id, payload ->> 'user_id' from app.outbox where payload ->> 'membership_id' = tests.kept('membership')$$,
  $$values ('membership.granted', tests.id('Alder'), tests.id('ana')::text)$$, 'a role that is given is told of');
delete from app.outbox where topic = 'membership.granted';
select public.revoke_role(tests.kept('membership')::uuid);
select results_eq(
  $$select topic, community_id, payload ->> 'user_id' from app.outbox where payload ->> 'membership_id' = tests.kept('membership')$$,
  $$values ('membership.revoked', tests.id('Alder'), tests.id('ana')::text)$$, 'a role that is taken is told of');

select throws_ok($$insert into app.outbox_consumers (name, topics, handler, description) values ('ghost', '%', 'app.no_such_function(app.outbox)', 'Nobody.')$$,
  '23514', null, 'a consumer is a function that exists');
select throws_ok($$insert into app.scheduled_jobs (name, schedule, handler, description) values ('ghost', '* * * * *', 'app.no_such_function()', 'Nothing.')$$,
  '23514', null, 'and so is a job');

-- Nobody else tells or listens -----------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
select throws_ok($$select app.emit('test.forged', null, '{}')$$, '42501', null, 'users tell of nothing');
select throws_ok('select * from app.outbox', '42501', null, 'users read no events');
select throws_ok('select app.run_job(''outbox'')', '42501', null, 'users run no jobs');
select tests.as_studio();

-- Jobs -----------------------------------------------------------------------------------------------------------------

create function pg_temp.work() returns void language plpgsql as $$ begin perform set_config('tests.worked', current_setting('app.actor'), true); end; $$;
create function pg_temp.fail() returns void language plpgsql as $$ begin perform tests.create_organization('by a job'); raise exception 'no luck'; end; $$;
insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('test-work', '0 0 1 1 *', pg_my_temp_schema()::regnamespace || '.work()', 'Works.'),
  ('test-fail', '0 0 1 1 *', pg_my_temp_schema()::regnamespace || '.fail()', 'Fails.');
select ok(app.run_job('test-work'), 'a job that works says so');
select is(current_setting('tests.worked', true), 'job:test-work', 'and acts under its name');
select ok(not app.run_job('test-fail'), 'a job that fails says so');
select is((select last_error from app.scheduled_jobs where name = 'test-fail'), 'no luck', 'and why');
select is_empty($$select from public.organizations where id = tests.id('by a job')$$, 'and what it had done is undone');
update app.scheduled_jobs set is_enabled = false where name = 'test-work';
select ok(not app.run_job('test-work'), 'a job that is switched off does not run');

-- Who listens ----------------------------------------------------------------------------------------------------------
-- A model of what Realtime installs: it asks this policy, as the user, when a private channel is joined.

select ok(not app.open_realtime(), 'where Realtime is not installed there is nothing to open');
create schema realtime;
create table realtime.messages (topic text not null, extension text not null, payload jsonb);
alter table realtime.messages enable row level security;
create function realtime.topic() returns text language sql stable as $$ select nullif(current_setting('realtime.topic', true), '') $$;
grant usage on schema realtime to authenticated, anon;
grant execute on function realtime.topic() to authenticated, anon;
grant select, insert on realtime.messages to authenticated, anon;
select ok(app.open_realtime() and app.open_realtime(), 'where it is, the channels of communities are opened, once');
select tests.create_organization('Heard');
select tests.create_community('Listening', 'Heard');
select tests.create_community('Deaf', 'Heard');
select tests.create_supabase_user(name) from unnest(array['listening manager', 'listening guard', 'deaf manager']) name;
select tests.grant_role('listening manager', 'manager', community => 'Listening');
select tests.grant_role('listening guard', 'guard', community => 'Listening');
select tests.grant_role('deaf manager', 'manager', community => 'Deaf');
insert into realtime.messages (topic, extension) select 'community:' || tests.id('Listening'), e from unnest(array['broadcast', 'presence']) e;
create function pg_temp.hears(who text, topic text) returns text language plpgsql as $$
begin
  perform set_config('realtime.topic', topic, true);
  perform tests.authenticate_as(who);
  return (select string_agg(m.extension, ' ') from realtime.messages m);
end;
$$;
select is(pg_temp.hears('listening manager', 'community:' || tests.id('Listening')), 'broadcast', 'who may read of every change hears of it');
select throws_ok($$insert into realtime.messages (topic, extension) values ('community:' || tests.id('Listening'), 'broadcast')$$, '42501', null, 'and sends nothing');
select tests.as_studio();
select is(pg_temp.hears('listening manager', 'community:' || tests.id('Deaf')), null, 'not in another community');
select tests.as_studio();
select is(pg_temp.hears('listening manager', 'community:'), null, 'nor in none');
select tests.as_studio();
select is(pg_temp.hears('deaf manager', 'community:' || tests.id('Listening')), null, 'nor does the manager of the other hear this one');
select tests.as_studio();
select is(pg_temp.hears('listening guard', 'community:' || tests.id('Listening')), null, 'nor whoever else is in it');
select tests.as_studio();

select * from finish();
rollback;
