-- Settings: declared keys alone, of their type and on their levels; the nearest value counts; only who may, sets them.

begin;
select plan(72);

select tests.create_organization('firm');
select tests.create_community('home', 'firm', 'Europe/Sofia');
select tests.create_community('sister', 'firm');
select tests.create_community('elsewhere');
select tests.create_unit('flat', 'home');
select tests.create_unit('garage', 'home');
select tests.create_unit('far flat', 'elsewhere');
insert into public.buildings (id, community_id, name) values (tests.id('tower'), tests.id('home'), 'Tower'), (tests.id('far tower'), tests.id('elsewhere'), 'Far tower');
update public.units set building_id = tests.id('tower') where id = tests.id('flat');

select tests.create_supabase_user(u) from unnest('{root,boss,manager,stranger,guard,tenant}'::text[]) u;
select tests.grant_role('root', 'superadmin');
select tests.grant_role('boss', 'admin', organization => 'firm');
select tests.grant_role('manager', 'manager', community => 'home');
select tests.grant_role('stranger', 'manager', community => 'elsewhere');
select tests.grant_role('guard', 'guard', community => 'home');
select tests.create_resident('tenant of flat', 'home', tests.email('tenant'));
select tests.occupy('tenant of flat', 'flat', 'tenant');

-- One key of every type.
select app.define_setting('general.test_boolean', 'boolean', 'false', '{site,organization,community,building,unit,user}', 'Test');
select app.define_setting('general.test_integer', 'integer', '5', '{site,community,unit}', 'Test', minimum => 1, maximum => 10);
select app.define_setting('billing.test_numeric', 'numeric', '2.5', '{community}', 'Test', minimum => 0, maximum => 100);
select app.define_setting('notifications.test_text', 'text', null, '{community,building}', 'Test', minimum => 2, maximum => 5, pattern => '^[a-z]+$');
select app.define_setting('security.test_choice', 'choice', '"low"', '{community}', 'Test', options => '{low,high}');
select app.define_setting('general.test_json', 'json', '{}', '{community}', 'Test');
select app.define_setting('notifications.test_time', 'time', '"22:00"', '{community,user}', 'Test');
select app.define_setting('maintenance.test_duration', 'duration', '"PT1H"', '{community}', 'Test', minimum => 60, maximum => 86400);

create temporary table refused (key text, value jsonb, why text);
insert into refused values
  ('general.test_boolean', '"true"', 'a text for a boolean'),
  ('general.test_integer', '3.5', 'a fraction for a whole number'),
  ('general.test_integer', '"3"', 'a text for a number'),
  ('general.test_integer', '0', 'a number below the minimum'),
  ('general.test_integer', '11', 'a number above the maximum'),
  ('general.test_integer', '1e400', 'a number beyond all measure'),
  ('billing.test_numeric', '100.01', 'an amount above the maximum'),
  ('notifications.test_text', '"a"', 'a text that is too short'),
  ('notifications.test_text', '"abcdef"', 'a text that is too long'),
  ('notifications.test_text', '"ABC"', 'a text that does not match'),
  ('notifications.test_text', '7', 'a number for a text'),
  ('security.test_choice', '"medium"', 'what is not an option'),
  ('security.test_choice', '["low"]', 'a list for a choice'),
  ('general.test_json', '"{}"', 'a text for JSON'),
  ('notifications.test_time', '"24:00"', 'a time that no day has'),
  ('notifications.test_time', '"7:30"', 'a time without its zero'),
  ('maintenance.test_duration', '"1 hour"', 'a duration in words'),
  ('maintenance.test_duration', '"P"', 'an empty duration'),
  ('maintenance.test_duration', '"PT"', 'a duration of no time'),
  ('maintenance.test_duration', '"PT59S"', 'a duration below the minimum'),
  ('maintenance.test_duration', '"P2D"', 'a duration above the maximum');
grant select on refused to authenticated;

select tests.authenticate_as('manager');
select throws_ok(
  format('select public.set_setting(%L, %L, community_id => tests.id(%L))', r.key, r.value, 'home'), 'PT422', 'invalid_value',
  r.key || ' refuses ' || r.why)
from refused r;
select is_empty('select from public.setting_values v where v.community_id = tests.id(''home'')', 'what was refused was not stored');

create temporary table accepted (key text, value jsonb);
insert into accepted values
  ('general.test_boolean', 'true'), ('general.test_integer', '10'), ('billing.test_numeric', '0.25'), ('notifications.test_text', '"abc"'),
  ('security.test_choice', '"high"'), ('general.test_json', '{"a": [1, null]}'), ('notifications.test_time', '"07:30"'), ('maintenance.test_duration', '"PT1H30M"');
select is(
  (select jsonb_object_agg(a.key, public.set_setting(a.key, a.value, community_id => tests.id('home'))) from accepted a),
  (select jsonb_object_agg(a.key, a.value) from accepted a),
  'a value of every type is stored and answered as it was given');
select is(
  (select jsonb_object_agg(s.key, s.value) from public.settings(tests.id('home')) s where s.source = 'community' and s.key like '%.test_%'),
  (select jsonb_object_agg(a.key, a.value) from accepted a),
  'settings tells them all, and that they come from the community');
select is((select count(*) from public.settings(tests.id('home')) s), (select count(*) from public.setting_definitions), 'settings tells every declared key');

-- Nobody writes a value past the rules -------------------------------------------------------------------------------

select throws_ok($$insert into public.setting_values (key, community_id, value) values ('general.test_integer', tests.id('home'), '7')$$, '42501', null, 'no user inserts values directly');
select throws_ok($$update public.units set settings = '{"general.test_integer": 7}' where id = tests.id('flat')$$, '42501', null, 'no user writes the settings of a unit directly');
select tests.authenticate_as_service_role();
select throws_ok($$insert into public.setting_values (key, community_id, value) values ('general.test_integer', tests.id('sister'), '99')$$, 'PT422', 'invalid_value', 'the secret key cannot store a wrong value');
select throws_ok($$insert into public.setting_values (key, community_id, value) values ('general.unheard_of', tests.id('sister'), '99')$$, 'PT422', 'unknown_setting', 'nor a key that is not declared');
select throws_ok($$insert into public.setting_values (key, organization_id, value) values ('general.test_integer', tests.id('firm'), '7')$$, 'PT422', 'setting_level', 'nor a key on a level where it is not set');
select tests.as_studio();
select throws_ok($$update public.units set settings = '{"general.test_integer": 70}' where id = tests.id('flat')$$, 'PT422', 'invalid_value', 'Studio cannot give a unit a wrong value');
select throws_ok($$update public.units set settings = '{"general.test_text": 1}' where id = tests.id('flat')$$, 'PT422', 'unknown_setting', 'nor a key that is not declared');
select throws_ok($$insert into public.buildings (community_id, name, settings) values (tests.id('home'), 'New', '{"general.test_integer": 7}')$$, 'PT422', 'setting_level', 'nor a building a key that buildings do not have');
select throws_ok($$insert into public.units (community_id, number, settings) values (tests.id('home'), 'x', '[]')$$, '23514', null, 'settings of a unit are an object');
select throws_ok($$insert into public.setting_values (key, community_id, value) values ('general.language', tests.id('home'), '"bg"')$$, '23514', null, 'a language has one home, the column of the community');
select throws_ok($$select app.define_setting('general.test_bad', 'integer', '50', '{site}', 'Test', maximum => 10)$$, 'PT422', 'invalid_value', 'a default fits its own definition');

-- The nearest value counts -------------------------------------------------------------------------------------------

create function pg_temp.nearest(unit uuid) returns text language sql as $$
  select s.value::text || ' from ' || s.source from public.settings(tests.id('home'), unit_id => unit) s where s.key = 'general.test_boolean' $$;
grant execute on function pg_temp.nearest(uuid) to authenticated;
select tests.authenticate_as('root');
select public.set_setting('general.test_boolean', null, community_id => tests.id('home'));
select is(pg_temp.nearest(tests.id('flat')), 'false from default', 'where nothing is set, the default counts');
select public.set_setting('general.test_boolean', 'true');
select is(pg_temp.nearest(tests.id('flat')), 'true from site', 'the site''s value counts before the default');
select public.set_setting('general.test_boolean', 'false', organization_id => tests.id('firm'));
select is(pg_temp.nearest(tests.id('flat')), 'false from organization', 'the organization''s before the site''s');
select public.set_setting('general.test_boolean', 'true', community_id => tests.id('home'));
select is(pg_temp.nearest(tests.id('flat')), 'true from community', 'the community''s before the organization''s');
select public.set_setting('general.test_boolean', 'false', community_id => tests.id('home'), building_id => tests.id('tower'));
select is(pg_temp.nearest(tests.id('flat')), 'false from building', 'the building''s before the community''s, found through the unit');
select is(pg_temp.nearest(tests.id('garage')), 'true from community', 'and not for a unit that stands elsewhere');
select public.set_setting('general.test_boolean', 'true', community_id => tests.id('home'), unit_id => tests.id('flat'));
select is(pg_temp.nearest(tests.id('flat')), 'true from unit', 'the unit''s before the building''s');
select public.set_preference('general.test_boolean', 'false');
select is(pg_temp.nearest(tests.id('flat')), 'false from user', 'the user''s own before all');
select is(app.setting('general.test_boolean', tests.id('home'), unit => tests.id('flat')), 'true', 'functions ask without a user unless they name one');
select is(app.setting('general.test_boolean', tests.id('elsewhere'), unit => tests.id('flat')), 'true', 'a unit of another community lends nothing: the site''s value counts');
select public.set_preference('general.test_boolean', null);
select is(public.set_setting('general.test_boolean', 'null', community_id => tests.id('home'), unit_id => tests.id('flat')), 'false', 'what is unset gives way to the next wider value');
select throws_ok($$select app.setting('general.unheard_of')$$, 'PT422', 'unknown_setting', 'a function that asks for a key nobody declared is told so');

-- A definition cannot leave its values behind ------------------------------------------------------------------------

select tests.as_studio();
update public.units set settings = '{"general.test_integer": 9}' where id = tests.id('garage');
select throws_ok($$update public.setting_definitions set maximum = 8 where key = 'general.test_integer'$$, 'PT409', 'setting_in_use', 'bounds are not narrowed past a stored value');
select throws_ok($$update public.setting_definitions set levels = '{site,community}' where key = 'general.test_integer'$$, 'PT409', 'setting_in_use', 'a level is not taken away while it is used');
select throws_ok($$update public.setting_definitions set key = 'general.other' where key = 'general.test_integer'$$, 'PT409', 'column_frozen', 'a key keeps its name');
select lives_ok($$update public.setting_definitions set maximum = 100 where key = 'general.test_integer'$$, 'bounds may be widened');

-- Who may set what ---------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select throws_ok($$select public.set_setting('general.theme', '"dark"')$$, 'PT403', 'permission_denied', 'a manager does not set the site');
select throws_ok($$select public.set_setting('general.theme', '"dark"', organization_id => tests.id('firm'))$$, 'PT403', 'permission_denied', 'nor the organization');
select throws_ok($$select public.set_setting('general.theme', '"dark"', community_id => tests.id('elsewhere'))$$, 'PT403', 'permission_denied', 'nor another community');
select throws_ok($$select public.set_setting('general.test_boolean', 'true', community_id => tests.id('home'), unit_id => tests.id('far flat'))$$, 'PT404', 'unit_not_found', 'nor a unit of another community by way of the own');
select throws_ok($$select public.set_setting('general.test_boolean', 'true', unit_id => tests.id('flat'))$$, 'PT422', 'invalid_scope', 'a unit is named together with its community');
select tests.authenticate_as('boss');
select is(public.set_setting('general.theme', '"dark"', organization_id => tests.id('firm')), '"dark"', 'an organization''s administrator sets the organization');
select tests.authenticate_as('guard');
select throws_ok($$select public.set_setting('general.theme', '"dark"', community_id => tests.id('home'))$$, 'PT403', 'permission_denied', 'a guard sets nothing');
select is((select s.value::text || ' ' || s.source from public.settings(tests.id('home')) s where s.key = 'general.theme'), '"dark" organization', 'and reads everything');
select tests.authenticate_as('tenant');
select is((select s.value from public.settings(tests.id('home'), unit_id => tests.id('flat')) s where s.key = 'general.test_integer'), '10', 'a tenant reads the settings of the own unit');
select throws_ok($$select * from public.settings(tests.id('home'), unit_id => tests.id('garage'))$$, 'PT404', 'unit_not_found', 'and of no other');
select throws_ok($$select * from public.settings(tests.id('elsewhere'))$$, 'PT403', 'permission_denied', 'nor of another community');
select is_empty($$select from public.setting_values v where v.community_id = tests.id('elsewhere')$$, 'nor its rows');

-- Preferences --------------------------------------------------------------------------------------------------------

select is(public.set_preference('general.language', '"bg"'), '"bg"', 'a language is a preference like any other');
select is((select p.locale from public.profiles p where p.id = tests.id('tenant')), 'bg', 'and stands in the profile');
select throws_ok($$select public.set_preference('general.language', '"Bulgarian"')$$, 'PT422', 'invalid_value', 'one that is no language is refused');
select throws_ok($$select public.set_preference('general.time_zone', '"Europe/Atlantis"')$$, 'PT422', 'invalid_value', 'so is a time zone that is none');
select throws_ok($$select public.set_preference('general.test_integer', '3')$$, 'PT422', 'setting_level', 'what is not for users to set is not set by them');
select public.set_preference('general.theme', '"light"');
select tests.authenticate_as('guard');
select is((select count(*) from public.user_preferences), 0::bigint, 'nobody sees another''s preferences');
select is((select s.value::text || ' ' || s.source from public.settings(tests.id('home')) s where s.key = 'general.theme'), '"dark" organization', 'or is subject to them');
select tests.clear_authentication();
select throws_ok($$select public.set_preference('general.theme', '"dark"')$$, '42501', null, 'who is not signed in has none');

select * from finish();
rollback;
