-- Features that are off are refused by the database; a standalone installation has one community.

begin;
select plan(50);

select tests.create_organization('firm');
select tests.create_community('home', 'firm');
select tests.create_community('sister', 'firm');
select tests.create_community('elsewhere');
select tests.create_supabase_user(u) from unnest('{root,boss,manager,stranger,guard}'::text[]) u;
select tests.grant_role('root', 'superadmin');
select tests.grant_role('boss', 'owner', organization => 'firm');
select tests.grant_role('manager', 'manager', community => 'home');
select tests.grant_role('guard', 'guard', community => 'home');
select tests.grant_role('stranger', 'manager', community => 'elsewhere');
select app.define_feature('tests.chosen', 'What a community chooses', true, is_self_service => true);
select app.define_feature('tests.sold', 'What the site hands out', false);

create function pg_temp.state(feature text, community text) returns text language sql as $$
  select case when s.is_enabled then 'on' else 'off' end || ' by ' || s.source || case when s.is_locked then ', locked' else '' end
  from app.feature_states(tests.id(community)) s where s.key = feature $$;
grant execute on function pg_temp.state(text, text) to authenticated;

-- Which value counts -------------------------------------------------------------------------------------------------

select tests.authenticate_as('root');
select is(pg_temp.state('tests.sold', 'home'), 'off by default', 'where nothing is said, the default counts');
select is(public.set_feature('tests.sold', true), true, 'the site switches a feature on');
select is(pg_temp.state('tests.sold', 'home'), 'on by site', 'everywhere');
select is(public.set_feature('tests.sold', false, organization_id => tests.id('firm')), false, 'and off for one organization');
select is(pg_temp.state('tests.sold', 'home') || '; ' || pg_temp.state('tests.sold', 'elsewhere'), 'off by organization; on by site', 'with its communities, and no other');
select is(public.set_feature('tests.sold', true, community_id => tests.id('home')), true, 'and on again for one community of it');
select is(pg_temp.state('tests.sold', 'home') || '; ' || pg_temp.state('tests.sold', 'sister'), 'on by community; off by organization', 'and no other');
select is(public.set_feature('tests.sold', false, organization_id => tests.id('firm'), is_locked => true), false, 'a locked value');
select is(pg_temp.state('tests.sold', 'home'), 'off by organization, locked', 'counts for everything beneath it');
select is(public.set_feature('tests.sold', true, is_locked => true), true, 'and of two locks');
select is(pg_temp.state('tests.sold', 'home'), 'on by site, locked', 'the wider one counts');
select is(public.set_feature('tests.sold', null, organization_id => tests.id('firm')), true, 'an organization without a value has the site''s');
select is(public.set_feature('tests.sold', null), false, 'and a site without one the default');
select is(pg_temp.state('tests.sold', 'home'), 'on by community', 'what is unset leaves the rest in place');
select throws_ok($$select public.set_feature('tests.unheard_of', true)$$, 'PT422', 'unknown_feature', 'a feature nobody declared is not switched');
select throws_ok($$select public.set_feature('tests.sold', true, tests.id('firm'), tests.id('home'))$$, 'PT422', 'invalid_scope', 'a feature is switched in one place at a time');

-- Who switches -------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select is(public.set_feature('tests.chosen', false, community_id => tests.id('home')), false, 'a manager switches what is self-service');
select throws_ok($$select public.set_feature('tests.sold', true, community_id => tests.id('home'))$$, 'PT403', 'permission_denied', 'not what the site hands out');
select throws_ok($$select public.set_feature('tests.chosen', true, community_id => tests.id('home'), is_locked => true)$$, 'PT403', 'permission_denied', 'and locks nothing');
select throws_ok($$select public.set_feature('tests.chosen', true, community_id => tests.id('elsewhere'))$$, 'PT403', 'permission_denied', 'not elsewhere');
select throws_ok($$select public.set_feature('tests.chosen', true, organization_id => tests.id('firm'))$$, 'PT403', 'permission_denied', 'not for the organization');
select throws_ok($$select public.set_feature('tests.chosen', true)$$, 'PT403', 'permission_denied', 'not for the site');
select throws_ok($$insert into public.feature_values (key, community_id, is_enabled) values ('tests.sold', tests.id('home'), true)$$, '42501', null, 'nor by writing the table');
select throws_ok($$select public.set_feature('tests.unheard_of', true)$$, 'PT403', 'permission_denied', 'and learns nothing about what the site could');
select tests.authenticate_as('boss');
select is(public.set_feature('tests.chosen', false, organization_id => tests.id('firm')), false, 'an organization''s owner switches it for all its communities');
select tests.authenticate_as('root');
select is(public.set_feature('tests.chosen', true, organization_id => tests.id('firm'), is_locked => true), true, 'until the site locks it');
select tests.authenticate_as('boss');
select throws_ok($$select public.set_feature('tests.chosen', false, organization_id => tests.id('firm'))$$, 'PT403', 'feature_locked', 'then the owner does not change it');
select throws_ok($$select public.set_feature('tests.chosen', null, organization_id => tests.id('firm'))$$, 'PT403', 'feature_locked', 'nor unset it');
select is(pg_temp.state('tests.chosen', 'home'), 'on by organization, locked', 'and it is as the site said');
select tests.authenticate_as('guard');
select throws_ok($$select public.set_feature('tests.chosen', true, community_id => tests.id('home'))$$, 'PT403', 'permission_denied', 'a guard switches nothing');
select is((select f.is_enabled from public.features(tests.id('home')) f where f.key = 'tests.chosen'), true, 'and reads what is on');
select throws_ok($$select * from public.features(tests.id('elsewhere'))$$, 'PT403', 'permission_denied', 'in the own communities alone');
select is_empty($$select from public.feature_values v where v.community_id = tests.id('elsewhere')$$, 'rows included');

-- Enforced -----------------------------------------------------------------------------------------------------------

select tests.as_studio();
create table public.gated (id uuid primary key default extensions.uuidv7(), community_id uuid not null);
create trigger _050_feature before insert on public.gated for each row execute function app.tg__feature('tests.sold');
grant insert, select on public.gated to authenticated, service_role;
select throws_ok($$insert into public.gated (community_id) values (tests.id('sister'))$$, 'PT403', 'feature_disabled', 'a table behind a feature that is off takes no row, from Studio neither');
select tests.authenticate_as_service_role();
select throws_ok($$insert into public.gated (community_id) values (tests.id('sister'))$$, 'PT403', 'feature_disabled', 'nor with the secret key');
select tests.authenticate_as('manager');
select lives_ok($$insert into public.gated (community_id) values (tests.id('home'))$$, 'where it is on, it takes rows');
select throws_ok($$select app.require_feature('tests.sold', tests.id('sister'))$$, 'PT403', 'feature_disabled', 'an RPC that asks refuses in the same way');
select is(array(select app.communities_with_feature('tests.sold')), array[tests.id('home')], 'a policy gets the caller''s communities in which it is on');
select tests.as_studio();
select is((select count(*) from public.gated), 1::bigint, 'what was refused was not stored');

-- Standalone ---------------------------------------------------------------------------------------------------------

select throws_ok($$select public.set_setting('general.mode', '"standalone"')$$, 'PT409', 'several_tenants', 'an installation of several communities cannot become standalone');
select is(app.mode(), 'multi_tenant', 'and stays what it was');
select throws_ok($$insert into public.setting_values (key, value) values ('general.mode', '"standalone"')$$, 'PT409', 'several_tenants', 'nor by writing the table');
-- Whatever else the database holds is archived, without asking what leans on it.
set local session_replication_role = replica;
update public.communities set deleted_at = now() where id <> tests.id('home') and deleted_at is null;
update public.organizations set deleted_at = now() where id <> tests.id('firm') and deleted_at is null;
set local session_replication_role = origin;
select tests.authenticate_as('manager');
select throws_ok($$select public.set_setting('general.mode', '"standalone"')$$, 'PT403', 'permission_denied', 'a manager does not choose the mode');
select tests.authenticate_as('root');
select is(public.set_setting('general.mode', '"standalone"'), '"standalone"', 'with one live community of one live organization it can');
select throws_ok($$select public.create_community(tests.id('firm'), 'Second', 'second', 'BG', 'EUR', 'UTC')$$, 'PT409', 'standalone_mode', 'then no second community is made');
select throws_ok($$select public.create_organization('Second', 'second', 'BG')$$, 'PT409', 'standalone_mode', 'and no second organization');
select tests.as_studio();
select throws_ok($$update public.communities set deleted_at = null where id = tests.id('sister')$$, 'PT409', 'standalone_mode', 'nor is an archived one brought back');
select is((select count(*) from public.communities c where c.deleted_at is null), 1::bigint, 'there is one');
select tests.authenticate_as('root');
select is(public.set_setting('general.mode', '"multi_tenant"'), '"multi_tenant"', 'the mode can be set back');
select lives_ok($$select public.create_community(tests.id('firm'), 'Second', 'second', 'BG', 'EUR', 'UTC')$$, 'and then there may be a second');

select * from finish();
rollback;
