-- Security events: what happened to an account, told to its user and the site, kept as it was written.

begin;
select plan(35);

select tests.create_supabase_user(u) from unnest(array['ana', 'ben', 'root']) u;
select tests.grant_role('root', 'superadmin');
create function pg_temp.kinds(who text) returns text language sql as $$
  select string_agg(e.kind::text, ' ' order by e.id) from audit.security_events e where e.user_id = tests.id(who)
$$;

-- What Auth does -----------------------------------------------------------------------------------------------------

select tests.keep('session', tests.claims('ana') ->> 'session_id');
select is(pg_temp.kinds('ana'), 'signed_in', 'a session that is opened is remembered');
update auth.sessions set refreshed_at = now() where id = tests.kept('session')::uuid;
select is(pg_temp.kinds('ana'), 'signed_in', 'one that is renewed is not');
update auth.sessions set aal = 'aal2' where id = tests.kept('session')::uuid;
select is((select e.note from audit.security_events e where e.kind = 'assurance_changed' and e.user_id = tests.id('ana')), 'aal2', 'a proved second factor is');
delete from auth.sessions where id = tests.kept('session')::uuid;
select is(pg_temp.kinds('ana'), 'signed_in assurance_changed signed_out', 'a session that Auth removes is a sign-out');

insert into auth.sessions (id, user_id, not_after) values (gen_random_uuid(), tests.id('ana'), now() - interval '1 day');
delete from auth.sessions where user_id = tests.id('ana');
select is(pg_temp.kinds('ana'), 'signed_in assurance_changed signed_out signed_in session_expired', 'and one that had run out, an expiry');

update auth.users set encrypted_password = 'other', last_sign_in_at = now() where id = tests.id('ben');
update auth.users set email = 'new@test.example' where id = tests.id('ben');
update auth.users set last_sign_in_at = now() where id = tests.id('ben');
select is(pg_temp.kinds('ben'), 'password_changed email_changed', 'a changed password and a changed address are remembered, and nothing else of the user');
select is((select count(*)::integer from audit.security_events e where e.user_id = tests.id('ben') and e::text ~ 'other|new@'), 0, 'and neither of them is written down');
insert into auth.mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at) values (tests.id('factor'), tests.id('ben'), 'Phone', 'totp', 'unverified', now(), now());
select is(pg_temp.kinds('ben'), 'password_changed email_changed', 'a factor that was begun is none yet');
update auth.mfa_factors set status = 'verified' where id = tests.id('factor');
delete from auth.mfa_factors where id = tests.id('factor');
select is(pg_temp.kinds('ben'), 'password_changed email_changed mfa_enrolled mfa_removed', 'a second factor is remembered when it is verified, and when it goes');
select is((select e.note from audit.security_events e where e.kind = 'mfa_removed'), 'totp: Phone', 'by its kind and name');

-- What the user and administrators do -------------------------------------------------------------------------------------

select tests.keep('token', tests.claims('ana'));
select tests.authenticate_as('root');
select public.end_user_sessions(tests.id('ana'), 'Stolen phone');
select tests.as_studio();
select results_eq(
  $$select e.kind::text, e.note, e.actor_id from audit.security_events e where e.user_id = tests.id('ana') order by e.id desc limit 1$$,
  $$values ('session_ended', 'Stolen phone', tests.id('root'))$$, 'what an administrator ended says who and why');
select is(current_setting('app.session_end', true), '', 'and the next sign-out is a sign-out again');

-- Nothing here keeps anybody from signing in ---------------------------------------------------------------------------

alter table audit.security_events rename to security_events_gone;
select lives_ok($$insert into auth.sessions (id, user_id) values (tests.id('s'), tests.id('ana'))$$, 'a session opens although its event cannot be written');
select lives_ok($$delete from auth.sessions where id = tests.id('s')$$, 'and is removed');
select lives_ok($$update auth.users set encrypted_password = 'third' where id = tests.id('ana')$$, 'a password is changed');
select is(app.password_attempt(jsonb_build_object('user_id', tests.id('ana'), 'valid', false)), '{"decision": "continue"}', 'and the hook lets everybody pass');
alter table audit.security_events_gone rename to security_events;
select is(app.password_attempt('{"user_id": "no uuid", "valid": false}'), '{"decision": "continue"}', 'as it does with what it does not understand');
delete from auth.users where id = tests.id('ben');
select pass('a user is deleted with sessions and factors');

-- Wrong passwords ----------------------------------------------------------------------------------------------------

select public.set_setting('security.sign_in_failures', '3');
create function pg_temp.attempt(valid boolean) returns text language sql as $$ select app.password_attempt(jsonb_build_object('user_id', tests.id('ana'), 'valid', valid)) ->> 'decision' $$;
select is(array(select pg_temp.attempt(false) from generate_series(1, 4)), '{continue,continue,continue,reject}', 'after as many wrong passwords as the setting allows, more are refused');
select is(pg_temp.attempt(true), 'reject', 'the right one too: a guess that hits must not be told apart');
select is((select string_agg(e.kind::text, ' ' order by e.id) from audit.security_events e where e.user_id = tests.id('ana') and e.kind::text ~ 'sign_in'),
  'sign_in_failed sign_in_failed sign_in_failed sign_in_refused sign_in_refused', 'each is remembered, the refused ones apart');
select is(app.password_attempt(jsonb_build_object('user_id', tests.id('root'), 'valid', true)) ->> 'decision', 'continue', 'another account is not concerned');
set local session_replication_role = replica;
update audit.security_events set recorded_at = recorded_at - interval '16 minutes' where kind = 'sign_in_failed';
set local session_replication_role = origin;
select is(pg_temp.attempt(true), 'continue', 'when the window has passed, the password is taken again');
select public.set_setting('security.sign_in_failures', '0');
select is(array(select distinct pg_temp.attempt(false) from generate_series(1, 20)), '{continue}', '0 refuses nobody');

-- Who reads them, and for how long --------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
select is(array(select distinct e.user_id from public.security_events e), array[tests.id('ana')], 'a user sees the own events');
select throws_ok($$insert into audit.security_events (kind, user_id) values ('signed_in', tests.id('ana'))$$, '42501', null, 'and writes none');
select throws_ok($$select * from public.auth_log(tests.id('root'))$$, 'PT403', 'permission_denied', 'nor reads what Auth wrote of others');
select throws_ok('select * from public.auth_log()', 'PT403', 'permission_denied', 'or of everybody');
select lives_ok($$select * from public.auth_log(tests.id('ana'))$$, 'but the own');
select tests.authenticate_as('root');
select ok((select count(distinct e.user_id) from public.security_events e) >= 2, 'an administrator of the site sees everybody''s');
select throws_ok('select * from public.auth_log(most => -1)', 'PT422', 'invalid_value', 'and asks for no fewer entries than none');
select tests.as_studio();
select throws_ok($$delete from audit.security_events$$, 'PT409', 'append_only', 'nobody removes one');

create table audit.security_events_y2020m01 partition of audit.security_events for values from ('2020-01-01 00:00:00+00') to ('2020-02-01 00:00:00+00');
insert into audit.security_events (recorded_at, kind, user_id) values ('2020-01-15', 'signed_in', tests.id('ana'));
select lives_ok('select app.job_security_event_retention()', 'the job runs');
select is(to_regclass('audit.security_events_y2020m01'), null, 'and whole months that are too old are gone');
select ok((select count(*) from audit.security_events e where e.recorded_at > now() - interval '1 hour') > 0, 'and no other');

select * from finish();
rollback;
