-- Consents: what was agreed to stays what it was, and taking it back is remembered.
begin;
select plan(52);

select tests.create_organization('Domus');
select tests.create_community('Lipa', 'Domus');
select tests.create_community('Encinos');
select tests.create_supabase_user(u) from unnest(array['superadmin', 'manager', 'guard', 'ana', 'bob', 'foreign manager']) u;
select tests.grant_role('superadmin', 'superadmin');
select tests.grant_role('manager', 'manager', community => 'Lipa');
select tests.grant_role('guard', 'guard', community => 'Lipa');
select tests.grant_role('foreign manager', 'manager', community => 'Encinos');
select tests.create_unit('L1', 'Lipa');
select tests.create_resident('Ana', 'Lipa', tests.email('ana'));
select tests.create_resident('Old Boris', 'Lipa');
select tests.occupy('Ana', 'L1', 'owner');

create function pg_temp.publish(identifier text, purpose text, version text, community text default null, organization text default null)
returns uuid language sql as $$
  insert into public.consent_texts (id, purpose, version, locale, title, body, organization_id, community_id)
  values (tests.id(identifier), purpose, version, 'en', 'About ' || purpose, 'We use it so.', tests.id(organization), tests.id(community))
  returning id
$$;
create function pg_temp.consents() returns text language sql security definer as $$
  select concat_ws(' ', count(*), count(*) filter (where c.withdrawn_at is null)) from public.consents c
$$;
grant execute on function pg_temp.publish, pg_temp.consents to authenticated, service_role;

-- Texts --------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('superadmin');
select lives_ok($$ select pg_temp.publish('terms', 'newsletter', '1') $$, 'an administrator of the site publishes a text for all users');
select tests.authenticate_as('manager');
select lives_ok($$ select pg_temp.publish('cameras', 'camera_images', '1', community => 'Lipa') $$, 'a manager publishes one for the community');
select throws_ok($$ select pg_temp.publish('x', 'newsletter', '2') $$, '42501', null, 'but none for the site');
select throws_ok($$ select pg_temp.publish('x', 'newsletter', '2', organization => 'Domus') $$, '42501', null, 'none for the organization');
select throws_ok($$ select pg_temp.publish('x', 'newsletter', '2', community => 'Encinos') $$, '42501', null, 'and none for another community');
select throws_ok($$ select pg_temp.publish('x', 'camera_images', '1', community => 'Lipa') $$, '23505', null, 'a version is published once');
select tests.authenticate_as('guard');
select throws_ok($$ select pg_temp.publish('x', 'camera_images', '2', community => 'Lipa') $$, '42501', null, 'a guard publishes nothing');
select tests.authenticate_as('manager');
select throws_ok($$ update public.consent_texts set body = 'We use it otherwise.' where id = tests.id('cameras') $$, '42501', null, 'no app changes a text');
select tests.as_studio();
select throws_ok(
  $$ update public.consent_texts set body = 'We use it otherwise.' where id = tests.id('cameras') $$, 'PT409', 'column_frozen',
  'nor does Studio: other words are another version');
select is((select t.body from public.consent_texts t where t.id = tests.id('cameras')), 'We use it so.', 'the text is as it was');

select tests.authenticate_as('ana');
select results_eq('select purpose from public.consent_texts order by 1', $$ values ('camera_images'), ('newsletter') $$, 'people see the texts of the site and of their community');
select tests.authenticate_as('foreign manager');
select results_eq('select purpose from public.consent_texts', $$ values ('newsletter') $$, 'and not those of others');

-- Giving -------------------------------------------------------------------------------------------------------------

select throws_ok($$ select public.give_consent(tests.id('cameras')) $$, 'PT404', 'consent_text_not_found', 'nobody agrees to a text they cannot see');
select throws_ok($$ insert into public.consents (text_id, user_id) values (tests.id('terms'), tests.id('ana')) $$, '42501', null, 'nobody consents for somebody else');
select is(pg_temp.consents(), '0 0', 'nothing was recorded');

select tests.authenticate_as('ana');
select set_config('request.headers', '{"x-forwarded-for": "203.0.113.7, 10.0.0.1", "user-agent": "Vicinia/1.0"}', true);
select tests.keep('consent', public.give_consent(tests.id('cameras')));
select results_eq(
  $$ select purpose, text_id, user_id, community_id, organization_id, channel::text, given_at = now(), withdrawn_at, host(ip_address), user_agent from public.consents $$,
  $$ values ('camera_images', tests.id('cameras'), tests.id('ana'), tests.id('Lipa'), null::uuid, 'app', true, null::timestamptz, '203.0.113.7', 'Vicinia/1.0') $$,
  'a consent says who agreed to which text, when, how, and from where');
select is(public.give_consent(tests.id('cameras'))::text, tests.kept('consent'), 'given twice it is the same consent');
select lives_ok($$ select public.give_consent(tests.id('terms')) $$, 'texts of the site are agreed to without a community');
select set_config('request.headers', '{"x-forwarded-for": "nonsense"}', true);
select is(app.request_address(), null, 'an address that is none is left out');
select set_config('request.headers', '', true);
select throws_ok($$ update public.consents set withdrawn_at = null $$, '42501', null, 'no app writes consents past the RPCs');

select tests.as_studio();
select is_empty($$ select l.id from audit.log l where l.changes::text like '%203.0.113.7%' $$, 'the audit log does not repeat the address');
select throws_ok($$ update public.consents set given_at = now() - interval '1 year' $$, 'PT409', 'column_frozen', 'not even Studio dates a consent back');
select throws_ok($$ update public.consents set text_id = tests.id('terms') where id = tests.kept('consent')::uuid $$, 'PT409', 'column_frozen', 'or moves it to other words');
select throws_ok($$ delete from public.consents $$, 'PT409', 'delete_refused', 'or deletes it');
select throws_ok(
  $$ insert into public.consents (text_id, user_id, resident_id, community_id) values (tests.id('terms'), tests.id('bob'), tests.id('Ana'), tests.id('Lipa')) $$, '23514', null,
  'a consent is of one person');

-- Who sees them ------------------------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
select is((select count(*) from public.consents), 2::bigint, 'people see their own consents');
select tests.authenticate_as('manager');
select results_eq('select purpose from public.consents', $$ values ('camera_images') $$, 'a manager sees those of the community');
select tests.authenticate_as('superadmin');
select is((select count(*) from public.consents), 2::bigint, 'an administrator of the site those of the site too');
select tests.authenticate_as('guard');
select is_empty('select * from public.consents', 'a guard none');
select tests.authenticate_as('foreign manager');
select is_empty('select * from public.consents', 'and other communities none');

-- Withdrawing --------------------------------------------------------------------------------------------------------

select throws_ok($$ select public.withdraw_consent(tests.kept('consent')::uuid) $$, 'PT404', 'consent_not_found', 'nobody withdraws what they cannot see');
select tests.authenticate_as('manager');
select throws_ok($$ select public.withdraw_consent(tests.kept('consent')::uuid) $$, 'PT404', 'consent_not_found', 'and no manager what a user gave');
select throws_ok($$ select public.withdraw_consent(null) $$, 'PT404', 'consent_not_found', 'a consent has to be named');
select is(pg_temp.consents(), '2 2', 'everything holds as before');

select lives_ok($$ select pg_temp.publish('cameras 2', 'camera_images', '2', community => 'Lipa') $$, 'a new version comes');
select tests.authenticate_as('ana');
select public.give_consent(tests.id('cameras 2'));
select is(public.withdraw_consent(tests.kept('consent')::uuid), 2, 'withdrawing ends every version of the purpose');
select results_eq(
  'select purpose, withdrawn_at is null from public.consents order by 1, 2',
  $$ values ('camera_images', false), ('camera_images', false), ('newsletter', true) $$, 'and no other purpose');
select is(public.withdraw_consent(tests.kept('consent')::uuid), 0, 'withdrawing again changes nothing');
select isnt(public.give_consent(tests.id('cameras'))::text, tests.kept('consent'), 'giving it again is a new consent');
select is((select count(*) from public.consents where text_id = tests.id('cameras')), 2::bigint, 'and the history stays');
select tests.as_studio();
select throws_ok($$ update public.consents set withdrawn_at = null where id = tests.kept('consent')::uuid $$, 'PT409', 'column_frozen', 'what was withdrawn stays withdrawn');

select tests.authenticate_as('manager');
update public.consent_texts set retired_at = now() where id = tests.id('cameras 2');
select tests.authenticate_as('guard');
select throws_ok($$ select public.give_consent(tests.id('cameras 2')) $$, 'PT404', 'consent_text_not_found', 'nobody agrees to a text that was retired');

-- On paper -----------------------------------------------------------------------------------------------------------

select throws_ok($$ select public.record_consent(tests.id('Old Boris'), tests.id('cameras')) $$, 'PT403', 'permission_denied', 'a guard records no consents');
select tests.authenticate_as('manager');
select tests.keep('paper', public.record_consent(tests.id('Old Boris'), tests.id('cameras'), 'paper', '2026-01-15 10:00+02', 'Folder 3'));
select results_eq(
  $$ select user_id, resident_id, community_id, channel::text, given_at, note, created_by from public.consents where resident_id is not null $$,
  $$ values (null::uuid, tests.id('Old Boris'), tests.id('Lipa'), 'paper', timestamptz '2026-01-15 10:00+02', 'Folder 3', tests.id('manager')) $$,
  'the management records what a resident signed on paper, when, and where the paper is');
select throws_ok($$ select public.record_consent(tests.id('Old Boris'), tests.id('cameras')) $$, 'PT409', 'consent_running', 'once');
select throws_ok($$ select public.record_consent(tests.id('Old Boris'), tests.id('terms'), 'app') $$, 'PT422', 'invalid_value', 'and never as if the resident had done it in an app');
select throws_ok(
  $$ select public.record_consent(tests.id('Old Boris'), tests.id('terms'), 'phone', now() + interval '1 day') $$, 'PT422', 'invalid_value', 'or for a day to come');
select tests.as_studio();
select pg_temp.publish('elsewhere', 'camera_images', '1', community => 'Encinos');
select throws_ok(
  $$ insert into public.consents (text_id, community_id, resident_id, channel) values (tests.id('elsewhere'), tests.id('Lipa'), tests.id('Old Boris'), 'paper') $$,
  'PT409', 'consent_text_elsewhere', 'to the text of another community nobody here agrees');
select tests.authenticate_as('manager');
select public.record_consent(tests.id('Ana'), tests.id('terms'), 'phone');
select tests.authenticate_as('ana');
select is((select count(*) from public.consents where resident_id = tests.id('Ana')), 1::bigint, 'a resident with an account sees what was recorded');
select is(public.withdraw_consent((select id from public.consents where resident_id = tests.id('Ana'))), 2, 'and withdraws it, together with the same given in the app');
select tests.authenticate_as('manager');
select is(public.withdraw_consent(tests.kept('paper')::uuid), 1, 'the management withdraws for a resident what it recorded');

-- Events -------------------------------------------------------------------------------------------------------------

select tests.as_studio();
select results_eq(
  $$ select o.topic, count(*) from app.outbox o where o.topic like 'consent.%' group by 1 order by 1 $$,
  $$ values ('consent.given', 6::bigint), ('consent.withdrawn', 5) $$, 'each step is told of');

select * from finish();
rollback;
