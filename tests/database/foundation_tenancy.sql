-- Profiles, organizations and communities: every user has a profile, every community an organization, slugs are taken once.

begin;
select plan(45);

select tests.create_organization('North'), tests.create_organization('South');
select tests.create_supabase_user(u) from unnest(array['superadmin', 'staff', 'org admin', 'manager', 'somebody']) u;
select tests.grant_role('superadmin', 'superadmin'), tests.grant_role('staff', 'staff');
select tests.grant_role('org admin', 'admin', organization => 'North');
select tests.create_community('Alder', 'North'), tests.create_community('Cedar', 'South');
select tests.grant_role('manager', 'manager', community => 'Alder');

-- Profiles -------------------------------------------------------------------------------------------------------------

insert into auth.users (id, email, raw_user_meta_data) values (tests.id('named'), 'n@test.example', jsonb_build_object('full_name', e'  Ана \n\t Петрова  '));
select is((select display_name from public.profiles where id = tests.id('named')), 'Ана   Петрова', 'a profile is called what the user said on signing up, without control characters');
insert into auth.users (id, email, raw_user_meta_data) values (tests.id('long'), 'l@test.example', jsonb_build_object('name', repeat('x', 500)));
select is((select length(display_name) from public.profiles where id = tests.id('long')), 200, 'a name that is too long is cut short: signing up never fails for it');
insert into auth.users (id, email) values (tests.id('unnamed'), 'some.body@test.example');
select is((select display_name from public.profiles where id = tests.id('unnamed')), 'some.body', 'who says nothing is called by the address');
insert into auth.users (id, phone) values (tests.id('phone'), '359888555010');
select is((select display_name from public.profiles where id = tests.id('phone')), '359888555010', 'or the telephone number');
insert into auth.users (id) values (tests.id('bare'));
select is((select display_name from public.profiles where id = tests.id('bare')), 'New user', 'or just New user');
update auth.users set email = 'other@test.example' where id = tests.id('named');
select is((select email from public.profiles where id = tests.id('named')), 'other@test.example', 'a profile keeps a copy of the address');

select tests.authenticate_as('somebody');
update public.profiles set display_name = 'Some Body', locale = 'bg', time_zone = 'Europe/Sofia';
select is((select string_agg(display_name, ', ') from public.profiles), 'Some Body', 'users change their own profile, and see no other');
select throws_ok($$update public.profiles set status = 'active'$$, '42501', null, 'but not their status');
select throws_ok($$update public.profiles set email = 'root@test.example'$$, '42501', null, 'nor the copy of their address');
select throws_ok($$update public.profiles set time_zone = 'Europe/Atlantis'$$, '23514', null, 'a time zone is one that exists');
select throws_ok($$update public.profiles set locale = 'Klingon!'$$, '23514', null, 'a locale is a language tag');
select tests.as_studio();
select is((select count(*) from public.profiles where display_name = 'Some Body'), 1::bigint, 'and nobody else is called Some Body now');

select tests.authenticate_as('manager');
select is_empty($$select from public.profiles where id = tests.id('somebody')$$, 'a manager does not see users who have nothing to do with the community');
select tests.authenticate_as('staff');
select isnt_empty($$select from public.profiles where id = tests.id('somebody')$$, 'who holds users.read on the site sees every user');

-- Accounts -------------------------------------------------------------------------------------------------------------

select throws_ok($$select public.set_account_status(tests.id('somebody'), 'banned')$$, 'PT403', 'permission_denied', 'who may only read bans nobody');
select tests.authenticate_as('somebody');
select throws_ok($$select public.set_account_status(tests.id('somebody'), 'active')$$, 'PT403', 'permission_denied', 'nobody lifts a ban on themselves');
select tests.as_studio();
select is((select status::text from public.profiles where id = tests.id('somebody')), 'active', '(and the account is active)');
select tests.authenticate_as('superadmin');
select throws_ok($$select public.set_account_status(tests.id('superadmin'), 'banned')$$, 'PT409', 'own_account', 'no superadministrator locks themselves out');
select throws_ok($$select public.set_account_status(gen_random_uuid(), 'banned')$$, 'PT404', 'user_not_found', 'a user who does not exist is not found');
select public.set_account_status(tests.id('somebody'), 'suspended', 'Noise.');
select is((select row(status, status_reason)::text from public.profiles where id = tests.id('somebody')), row('suspended', 'Noise.')::text, 'an account is suspended with its reason');
select public.set_account_status(tests.id('somebody'), 'active', 'ignored');
select is((select status_reason from public.profiles where id = tests.id('somebody')), null, 'an active account has no reason to be otherwise');

-- Making organizations and communities -----------------------------------------------------------------------------------

select tests.keep('organization', public.create_organization('West', 'west-test', 'BG'));
select is((select name from public.organizations where id = tests.kept('organization')::uuid), 'West', 'who holds organizations.create makes an organization');
select throws_ok($$select public.create_organization('West again', 'west-test', 'BG')$$, 'PT409', 'slug_taken', 'a slug is taken once');
select throws_ok($$select public.create_organization('West', 'not a slug', 'BG')$$, 'PT422', 'invalid_value', 'a slug has the form of one');
select throws_ok($$select public.create_organization('West', 'west-2', 'Bulgaria')$$, 'PT422', 'invalid_value', 'a country is a code of two letters');
select throws_ok(format('select public.create_organization(%s)', arguments), 'PT422', 'invalid_value', 'an organization has a name, a slug and a country: ' || arguments)
from unnest(array[$$null, 'west-3', 'BG'$$, $$'West', null, 'BG'$$, $$'West', 'west-3', null$$]) arguments;

select tests.authenticate_as('org admin');
select throws_ok($$select public.create_organization('Mine', 'mine-test', 'BG')$$, 'PT403', 'permission_denied', 'who administers one organization makes no other');
select tests.keep('community', public.create_community(tests.id('North'), 'Dogwood', 'dogwood-test', 'BG', 'EUR', 'Europe/Sofia'));
select throws_ok(
  format('select public.create_community(tests.id(''North''), %s)', arguments), 'PT422', 'invalid_value', 'a community has a name, a slug, a country, a currency and a time zone: ' || arguments)
from unnest(array[
  $$null, 'dog-2', 'BG', 'EUR', 'Europe/Sofia'$$, $$'Dog', null, 'BG', 'EUR', 'Europe/Sofia'$$, $$'Dog', 'dog-2', null, 'EUR', 'Europe/Sofia'$$,
  $$'Dog', 'dog-2', 'BG', null, 'Europe/Sofia'$$, $$'Dog', 'dog-2', 'BG', 'EUR', null$$]) arguments;
select is((select row(name, locale, ideal_parts_total)::text from public.communities where id = tests.kept('community')::uuid), row('Dogwood', 'en', 100.000000)::text,
  'but makes communities in it, and sees them at once');
select throws_ok($$select public.create_community(tests.id('South'), 'Elm', 'elm-test', 'BG', 'EUR', 'UTC')$$, 'PT403', 'permission_denied', 'and in no other organization');
select throws_ok($$select public.create_community(tests.id('North'), 'Dogwood', 'dogwood-test', 'BG', 'EUR', 'UTC')$$, 'PT409', 'slug_taken', 'a community''s slug is taken once');
select throws_ok($$select public.create_community(tests.id('North'), 'Elm', 'elm-test', 'BG', 'euro', 'UTC')$$, 'PT422', 'invalid_value', 'a currency is a code of three letters');
select throws_ok($$select public.create_community(tests.id('North'), 'Elm', 'elm-test', 'BG', 'EUR', 'Mars/Olympus')$$, 'PT422', 'invalid_value', 'a time zone is one that exists');
select throws_ok($$select public.create_community(tests.id('North'), 'Elm', 'elm-test', 'BG', 'EUR', 'UTC', ideal_parts_total => 0)$$, 'PT422', 'invalid_value', 'ideal parts sum to more than nothing');
select throws_ok($$select public.create_community(null, 'Elm', 'elm-test', 'BG', 'EUR', 'UTC')$$, 'PT403', 'permission_denied', 'a community belongs to an organization');
select throws_ok($$insert into public.communities (organization_id, name, slug, country_code, currency_code, time_zone) values (tests.id('North'), 'Elm', 'elm-test', 'BG', 'EUR', 'UTC')$$,
  '42501', null, 'nobody makes one past the function');

-- Changing them ----------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
update public.communities set city = 'Sofia';
update public.organizations set name = 'Conquered';
select tests.as_studio();
select is((select string_agg(name, ', ' order by name) from public.communities where city = 'Sofia' and id = any (tests.communities())), 'Alder', 'a manager changes the own community and no other');
select is((select count(*) from public.organizations where name = 'Conquered'), 0::bigint, 'and no organization');
select throws_ok($$delete from public.organizations where id = tests.id('North')$$, 'PT409', 'delete_refused', 'an organization is archived, not deleted');

select * from finish();
rollback;
