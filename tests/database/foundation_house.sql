-- Branding, opening hours and house rules: valid whoever writes them, for the own community alone, on record once published.

begin;
select plan(94);

select tests.create_organization('firm');
select tests.create_community('home', 'firm', 'Europe/Sofia');
select tests.create_community('elsewhere');
select tests.create_supabase_user(u) from unnest('{manager,guest,stranger}'::text[]) u;
select tests.grant_role('manager', 'manager', community => 'home');
select tests.grant_role('guest', 'guest', community => 'home');
select tests.grant_role('stranger', 'manager', community => 'elsewhere');

-- Branding -----------------------------------------------------------------------------------------------------------

create function pg_temp.stored(label text, community text, purpose text, type text) returns void language plpgsql as $$
declare
  made record;
begin
  select * into made from public.register_file(tests.id(community), purpose, 'logo', type, 10);
  insert into storage.objects (bucket_id, name, metadata) values (made.bucket, made.path, jsonb_build_object('mimetype', type, 'size', 10));
  perform tests.keep(label, made.file_id);
end $$;
select pg_temp.stored('logo', 'home', 'community.logo', 'image/png'), pg_temp.stored('far_logo', 'elsewhere', 'community.logo', 'image/png'),
  pg_temp.stored('paper', 'home', 'community.document', 'application/pdf'), pg_temp.stored('far_paper', 'elsewhere', 'community.document', 'application/pdf'),
  pg_temp.stored('photo', 'home', 'access.photo', 'image/png');
select tests.keep('awaited', r.file_id) from public.register_file(tests.id('home'), 'community.document', 'a.pdf', 'application/pdf', 10) r;

select tests.authenticate_as('manager');
select lives_ok($$select public.set_branding(tests.id('home'), 'Lipa Court', 'Lipa', '#1F6FEB', '#ffffff', tests.kept('logo')::uuid)$$, 'a manager sets the branding');
select throws_ok(format('select public.set_branding(tests.id(%L), %L, %s)', 'home', b.name, b.rest), 'PT422', 'invalid_value', b.why || ' is refused')
from (values
  ('', 'null', 'an empty name'), ('Lipa', $$'more than twelve'$$, 'a long short name'), ('Lipa', $$null, 'red'$$, 'a colour by name'), ('Lipa', $$null, '#12345'$$, 'a colour of five digits'),
  ('Lipa', $$null, null, '#12345g'$$, 'a colour of other letters'), ('Lipa', $$null, null, null, tests.kept('far_logo')::uuid$$, 'another community''s logo'),
  ('Lipa', $$null, null, null, tests.kept('paper')::uuid$$, 'a file that is no logo'), ('Lipa', 'null, null, null, gen_random_uuid()', 'a file that does not exist')) b (name, rest, why);
select throws_ok($$select public.set_branding(tests.id('home'), null)$$, 'PT422', 'invalid_value', 'no name is refused');
select throws_ok($$select public.set_branding(tests.id('elsewhere'), 'Mine')$$, 'PT403', 'permission_denied', 'another community''s branding is not set');
select throws_ok($$update public.brandings set display_name = 'Mine'$$, '42501', null, 'nor by writing the table');
select tests.authenticate_as('guest');
select throws_ok($$select public.set_branding(tests.id('home'), 'Mine')$$, 'PT403', 'permission_denied', 'a guest sets none');
select is(
  (select row(b.display_name, b.short_name, b.primary_color, b.accent_color, b.logo_file_id)::text from public.brandings b where b.community_id = tests.id('home')),
  row('Lipa Court', 'Lipa', '#1f6feb', '#ffffff', tests.kept('logo')::uuid)::text, 'and sees it as it was set first');
select tests.authenticate_as('stranger');
select is_empty($$select from public.brandings b where b.community_id = tests.id('home')$$, 'another community''s manager does not see it');

-- Opening hours ------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select lives_ok($$select public.set_opening_hours(tests.id('home'), '[
  {"weekday": 1, "opens_at": "08:30", "closes_at": "12:00"}, {"weekday": 1, "opens_at": "13:00", "closes_at": "17:00"},
  {"weekday": 6, "opens_at": "22:00", "closes_at": "24:00"}, {"weekday": 7, "opens_at": "00:00", "closes_at": "05:00"}]')$$, 'a manager sets the ordinary week');
select is(array(select format('%s %s-%s', h.weekday, h.opens_at, h.closes_at) from public.opening_hours h where h.community_id = tests.id('home') order by 1),
  '{1 08:30:00-12:00:00,1 13:00:00-17:00:00,6 22:00:00-24:00:00,7 00:00:00-05:00:00}'::text[], 'as it was given');
select throws_ok(format('select public.set_opening_hours(tests.id(%L), %L)', 'home', h.hours), 'PT422', h.token, h.why || ' are refused')
from (values
  ('[{"weekday": 1, "opens_at": "08:00", "closes_at": "12:00"}, {"weekday": 1, "opens_at": "11:59", "closes_at": "13:00"}]', 'hours_overlap', 'hours that overlap'),
  ('[{"weekday": 8, "opens_at": "08:00", "closes_at": "12:00"}]', 'invalid_value', 'hours of an eighth day'),
  ('[{"weekday": 1, "opens_at": "12:00", "closes_at": "08:00"}]', 'invalid_value', 'hours that end before they begin'),
  ('[{"weekday": 1, "opens_at": "08:00"}]', 'invalid_value', 'hours without an end'),
  ('[{"weekday": 1, "opens_at": "25:00", "closes_at": "26:00"}]', 'invalid_value', 'hours that no day has'),
  ('[{"weekday": "Monday", "opens_at": "08:00", "closes_at": "12:00"}]', 'invalid_value', 'weekdays in words'),
  ('[7]', 'invalid_value', 'numbers'), ('{}', 'invalid_value', 'objects'), (null, 'invalid_value', 'no hours')) h (hours, token, why);
select is((select count(*) from public.opening_hours h where h.community_id = tests.id('home')), 4::bigint, 'and change nothing');
select throws_ok($$select public.set_opening_hours(tests.id('elsewhere'), '[]')$$, 'PT403', 'permission_denied', 'another community''s week is not set');
select throws_ok($$select public.set_opening_exception(tests.id('elsewhere'), '2027-05-03', 'Easter', '[]')$$, 'PT403', 'permission_denied', 'nor its exceptions');

select lives_ok($$select public.set_opening_exception(tests.id('home'), '2027-05-03', 'Easter Monday', '[]')$$, 'a day can be closed');
select lives_ok($$select public.set_opening_exception(tests.id('home'), '2027-05-10', 'Stocktaking', '[{"opens_at": "10:00", "closes_at": "11:00"}]')$$, 'or open at other times');
select throws_ok(format('select public.set_opening_exception(tests.id(%L), %L, %L, %L)', 'home', e.day, e.name, e.hours), 'PT422', e.token, 'an exception ' || e.why || ' is refused')
from (values
  (null, 'Easter', '[]', 'invalid_value', 'without a day'), ('2027-05-03', null, '[]', 'invalid_value', 'without a name'), ('2027-05-03', 'x', '[{"opens_at": "10:00"}]', 'invalid_value', 'without an end'),
  ('2027-05-03', 'x', '[{}]', 'invalid_value', 'without times'), ('2027-05-03', 'x', '{}', 'invalid_value', 'that is no list'),
  ('2027-05-03', 'x', '[{"opens_at": "10:00", "closes_at": "12:00"}, {"opens_at": "11:00", "closes_at": "13:00"}]', 'hours_overlap', 'that overlaps itself'),
  ('2027-05-03', 'x', '[{"opens_at": "12:00", "closes_at": "10:00"}]', 'invalid_value', 'that ends before it begins')) e (day, name, hours, token, why);

select tests.authenticate_as('guest');
select is(
  (select jsonb_agg(concat_ws(' ', t.day, to_char(t.opens_at at time zone 'Europe/Sofia', 'HH24:MI'), to_char(t.closes_at at time zone 'Europe/Sofia', 'HH24:MI'), t.exception) order by t.day, t.opens_at)
   from public.opening_times(tests.id('home'), '2027-05-01', 17) t),
  '["2027-05-01 22:00 00:00", "2027-05-02 00:00 05:00", "2027-05-03 Easter Monday", "2027-05-08 22:00 00:00", "2027-05-09 00:00 05:00", "2027-05-10 10:00 11:00 Stocktaking",
    "2027-05-15 22:00 00:00", "2027-05-16 00:00 05:00", "2027-05-17 08:30 12:00", "2027-05-17 13:00 17:00"]'::jsonb,
  'everybody in the community is told when it is open, exceptions considered');
select is(public.is_open(tests.id('home'), m.moment::timestamptz), m.open, 'at ' || m.moment || ' it is ' || case when m.open then 'open' else 'closed' end)
from (values
  ('2027-05-17 08:29:59+03', false), ('2027-05-17 08:30+03', true), ('2027-05-17 12:00+03', false), ('2027-05-17 05:30Z', true), ('2027-05-03 09:00+03', false),
  ('2027-05-10 09:00+03', false), ('2027-05-10 10:30+03', true), ('2027-05-01 23:59:59+03', true), ('2027-05-02 00:00+03', true), ('2027-05-02 05:00+03', false),
  -- The clocks go forward at 03:00 on 28 March, and back at 04:00 on 31 October.
  ('2027-03-28 04:30+03', true), ('2027-03-28 05:00+03', false), ('2027-10-31 03:30+03', true), ('2027-10-31 03:30+02', true), ('2027-10-31 04:59+02', true), ('2027-10-31 05:00+02', false)) m (moment, open);
select throws_ok($$select public.is_open(tests.id('elsewhere'))$$, 'PT403', 'permission_denied', 'nobody is told of another community');
select throws_ok($$select * from public.opening_times(tests.id('home'), days => 367)$$, 'PT422', 'invalid_value', 'nobody is told of years on end');
select tests.authenticate_as('manager');
select public.set_opening_exception(tests.id('home'), '2027-05-10', null, null);
select is(public.is_open(tests.id('home'), '2027-05-10 09:00+03'), true, 'an exception that is lifted gives way to the ordinary week');

-- House rules --------------------------------------------------------------------------------------------------------

insert into public.house_rules (id, community_id, title, body) values (tests.id('rules 1'), tests.id('home'), 'House rules', '# Quiet from 22:00');
insert into public.house_rules (id, community_id, title, body, file_id) values (tests.id('rules 2'), tests.id('home'), 'House rules', '# Quiet from 21:00', tests.kept('paper')::uuid);
select throws_ok(format('insert into public.house_rules (community_id, title, body, file_id) values (tests.id(%L), %L, %L, %L)', 'home', 'x', 'x', tests.kept(f.label)), 'PT422', 'invalid_value', f.why || ' is no paper of the rules')
from (values ('photo', 'a photograph from the gate, which they would keep for ever'), ('logo', 'a logo'), ('awaited', 'a file that was never uploaded'), ('far_paper', 'another community''s document')) f (label, why);
select throws_ok($$update public.house_rules set file_id = tests.kept('photo')::uuid where id = tests.id('rules 1')$$, 'PT422', 'invalid_value', 'nor does it become one later');
select throws_ok($$select public.remove_file(tests.kept('paper')::uuid)$$, 'PT409', 'has_live_children', 'the paper stays as long as the rules name it');
select throws_ok($$insert into public.house_rules (community_id, title, body) values (tests.id('elsewhere'), 'Mine', 'Mine')$$, '42501', null, 'nobody writes another community''s rules');
select throws_ok($$update public.house_rules set published_at = now(), version = 1, effective_on = current_date where id = tests.id('rules 1')$$, '42501', null, 'nobody publishes by writing the table');
select tests.authenticate_as('guest');
select is_empty($$select from public.house_rules$$, 'a draft is the management''s alone');
select throws_ok($$select public.publish_house_rules(tests.id('rules 1'))$$, 'PT404', 'rules_not_found', 'who cannot see it cannot publish it');
select throws_ok($$select public.acknowledge_house_rules(tests.id('rules 1'))$$, 'PT404', 'rules_not_found', 'or acknowledge it');
select tests.authenticate_as('manager');
select throws_ok($$select public.publish_house_rules(tests.id('rules 1'), current_date - 2)$$, 'PT422', 'invalid_value', 'rules do not hold in the past');
select is(public.publish_house_rules(tests.id('rules 1')), 1, 'the first version is 1');
select throws_ok($$select public.publish_house_rules(tests.id('rules 1'))$$, 'PT409', 'rules_published', 'and is published once');
select is(public.publish_house_rules(tests.id('rules 2'), current_date + 30), 2, 'the next is announced');
insert into public.house_rules (id, community_id, title, body) values (tests.id('rules 3'), tests.id('home'), 'House rules', 'x');
select throws_ok($$select public.publish_house_rules(tests.id('rules 3'), current_date + 29)$$, 'PT422', 'invalid_value', 'none comes into force before the one it replaces');
with tried as (update public.house_rules set body = 'Anything goes' where version is not null returning 1) select is((select count(*) from tried), 0::bigint, 'a published version is no draft any more');
select tests.as_studio();
select throws_ok($$update public.house_rules set body = 'Anything goes' where id = tests.id('rules 1')$$, 'PT409', 'column_frozen', 'and never changes, in Studio neither');
select throws_ok($$update public.house_rules set deleted_at = now() where id = tests.id('rules 1')$$, 'PT409', 'rules_published', 'nor is it archived');
select throws_ok($$select public.remove_file(tests.kept('paper')::uuid)$$, 'PT409', 'has_live_children', 'nor does its document go');
select tests.authenticate_as('guest');
select is((select array_agg(r.version order by r.version) from public.house_rules r), '{1,2}', 'everybody reads every version');
select is((select r.version from public.house_rules_on(tests.id('home')) r), 1, 'today the first is in force');
select is((select r.version from public.house_rules_on(tests.id('home'), current_date + 31) r), 2, 'in a month the second');
select is_empty($$select from public.house_rules_on(tests.id('home'), current_date - 2)$$, 'and before the first there were none');
select is(public.acknowledge_house_rules(tests.id('rules 1')), now(), 'a guest acknowledges them');
select is(public.acknowledge_house_rules(tests.id('rules 1')), now(), 'once, however often it is said');
select tests.authenticate_as('manager');
select is((select array_agg(a.user_id) from public.house_rule_acknowledgements a), array[tests.id('guest')], 'the management sees who did');
select public.set_feature('house_rules.acknowledge', false, community_id => tests.id('home'));
select throws_ok($$select public.acknowledge_house_rules(tests.id('rules 1'))$$, 'PT403', 'feature_disabled', 'where it is switched off, nobody does');
select tests.authenticate_as('stranger');
select is_empty($$select from public.house_rules$$, 'another community''s manager reads no rules');
select is_empty($$select from public.house_rules_on(tests.id('home'))$$, 'by no way');
select throws_ok($$select public.acknowledge_house_rules(tests.id('rules 1'))$$, 'PT404', 'rules_not_found', 'and acknowledges none');

-- With its community -------------------------------------------------------------------------------------------------

select tests.as_studio();
create function pg_temp.live() returns text language sql as $$
  select concat_ws(' ',
    (select count(*) from public.brandings t where t.community_id = tests.id('home') and t.deleted_at is null),
    (select count(*) from public.opening_hours t where t.community_id = tests.id('home') and t.deleted_at is null),
    (select count(*) from public.house_rules t where t.community_id = tests.id('home') and t.deleted_at is null),
    (select count(*) from public.house_rule_acknowledgements t where t.community_id = tests.id('home') and t.deleted_at is null),
    (select count(*) from public.feature_values t where t.community_id = tests.id('home') and t.deleted_at is null),
    (select count(*) from public.files t where t.community_id = tests.id('home') and t.deleted_at is null)) $$;
select is(pg_temp.live(), '1 4 3 1 1 4', 'a live community has all of it');
select public.archive('communities', tests.id('home'));
select is(pg_temp.live(), '0 0 0 0 0 0', 'an archived one takes it along, published rules and files too');
select throws_ok($$select public.purge('communities', tests.id('home'), 'test')$$, 'PT409', 'file_has_content', 'it is not purged while the content of its files is in Storage, where nobody would find it again');
select public.restore('communities', tests.id('home'));
select is(pg_temp.live(), '1 4 3 1 1 4', 'one that comes back brings it back');
select is((select count(*) from public.opening_exceptions t where t.community_id = tests.id('home') and t.deleted_at is null), 1::bigint, 'and what was lifted before stays lifted');

select * from finish();
rollback;
