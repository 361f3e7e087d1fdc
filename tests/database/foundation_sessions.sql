-- A token lives as long as its session, and sessions are told to nobody but their user and the site.
--
-- Alder is run by a manager; ana owns a unit there, ben is her neighbour; root administers the site.

begin;
select plan(67);

select tests.create_community('Alder');
select tests.create_unit('a1', 'Alder'), tests.create_unit('a2', 'Alder');
select tests.create_supabase_user(u) from unnest(array['ana', 'ben', 'manager', 'root', 'limited', 'single']) u;
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.create_resident('Ben', 'Alder', tests.email('ben'));
select tests.occupy('Ana', 'a1', 'owner'), tests.occupy('Ben', 'a2', 'owner');
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('root', 'superadmin');
insert into public.memberships (user_id, role_id, community_id, restriction)
select tests.id('limited'), r.id, tests.id('Alder'), jsonb_build_object('units', jsonb_build_array(tests.id('a1'))) from public.roles r where r.level = 'community' and r.key = 'manager';
insert into public.user_permissions (permission_key, user_id, community_id, reason) values ('units.read', tests.id('single'), tests.id('Alder'), 'Needs it');

-- What a dead session gives --------------------------------------------------------------------------------------------
-- Each kind of access has a helper of its own: a role, an occupancy, the site, a restricted role, a single permission.

select tests.keep('token_' || u, tests.claims(u)), tests.keep('bare_token_' || u, tests.claims(u, false)) from unnest(array['ana', 'manager', 'root', 'limited', 'single']) u;
select is(
  (select string_agg(sees, ' | ' order by n) from (
    select n, tests.authenticate_with(tests.kept('token_' || u)::jsonb)::text || tests.seen('public.units', 'number') as sees
    from unnest(array['ana', 'manager', 'root', 'limited', 'single']) with ordinality x (u, n)) y),
  'a1 | a1, a2 | a1, a2 | a1 | a1, a2', 'while the sessions live, each sees what is theirs');

select tests.as_studio();
delete from auth.sessions;

create function pg_temp.nothing_left(who text, token text) returns setof text language plpgsql as $$
begin
  perform tests.authenticate_with(tests.kept(token)::jsonb);
  return next is(tests.seen('public.units', 'number'), 'nothing', who || ' reads nothing');
  return next is((select count(*)::integer from public.profiles), 0, who || ' does not see the own profile');
  return next is((select count(*)::integer from public.permissions), 0, who || ' sees nothing that every user sees');
  return next is(app.my_communities() || app.my_organizations(), '{}'::uuid[], who || ' passes no gate');
  return next is(app.can_on_site('users.read'), false, who || ' holds nothing on the site');
  return next throws_ok('select app.pre_request()', 'PT401', 'session_ended', who || ' is told by the API: 401 session_ended');
  perform tests.as_studio();
end $$;

select pg_temp.nothing_left('an owner whose session ended', 'token_ana');
select pg_temp.nothing_left('a manager whose session ended', 'token_manager');
select pg_temp.nothing_left('a superadministrator whose session ended, without claims', 'bare_token_root');
select pg_temp.nothing_left('a restricted manager whose session ended', 'token_limited');
select pg_temp.nothing_left('a holder of a single permission whose session ended', 'bare_token_single');

select tests.authenticate_with(tests.kept('token_manager')::jsonb);
update public.units set floor = 9;
select throws_ok($$insert into public.units (community_id, number) values (tests.id('Alder'), 'a3')$$, '42501', null, 'an ended session writes no row');
select throws_ok($$select public.grant_role(tests.id('ben'), 'guard', null, tests.id('Alder'), null, null)$$, 'PT403', 'permission_denied', 'and calls no RPC');
select tests.as_studio();
select is((select count(*)::integer from public.units u where u.community_id = tests.id('Alder') and u.floor is null), 2, 'and changed nothing');

-- Whose session, until when ------------------------------------------------------------------------------------------

select tests.authenticate_with(tests.claims('manager') || jsonb_build_object('session_id', tests.claims('ben') -> 'session_id'));
select is(tests.seen('public.units', 'number'), 'nothing', 'somebody else''s session does not carry a token');
select tests.authenticate_with(tests.claims('manager') || '{"session_id": "no uuid"}');
select is(tests.seen('public.units', 'number'), 'nothing', 'what is no session id raises nothing and gives nothing');

select tests.as_studio();
select tests.keep('expiring', tests.claims('manager'));
update auth.sessions set not_after = now() - interval '1 second' where id = (tests.kept('expiring')::jsonb ->> 'session_id')::uuid;
select tests.authenticate_with(tests.kept('expiring')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'a session past its not_after gives nothing');

-- Tokens without a session -------------------------------------------------------------------------------------------

select tests.as_studio();
select tests.keep('sessionless', tests.claims('manager') - 'session_id');
select tests.authenticate_with(tests.kept('sessionless')::jsonb);
select is(tests.seen('public.units', 'number'), 'a1, a2', 'a token that names no session counts, because nothing could look it up');
select throws_ok('select public.register_session()', 'PT401', 'session_required', 'but has no session to register');
select throws_ok('select public.end_other_sessions()', 'PT401', 'session_required', 'and none to keep');
select tests.as_studio();
select public.set_setting('security.require_session', 'true');
select tests.authenticate_with(tests.kept('sessionless')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'unless the site takes no such tokens');
select throws_ok('select app.pre_request()', 'PT401', 'session_required', 'and says so: 401 session_required');
select tests.as_studio();
select ok(app.may_give_role(tests.id('manager'), (select r.id from public.roles r where r.level = 'community' and r.key = 'guard'), null, tests.id('Alder')),
  'what the database asks itself about a user is no token');
select public.set_setting('security.require_session', null);

-- Seeing sessions ----------------------------------------------------------------------------------------------------

delete from auth.sessions;
select tests.keep('phone', tests.claims('ana')), tests.keep('laptop', tests.claims('ana'));
update auth.sessions set user_agent = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0', ip = '198.51.100.7', created_at = now() - interval '1 day'
where id = (tests.kept('laptop')::jsonb ->> 'session_id')::uuid;

select tests.authenticate_with(tests.kept('phone')::jsonb);
select set_config('request.headers', '{"x-forwarded-for": "203.0.113.9, 10.0.0.1", "user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1",
  "cf-ipcountry": "BG", "cf-ipcity": "Plovdiv", "x-vercel-ip-country": "US", "x-vercel-ip-city": "Paris"}', true);
select lives_ok($$select public.register_session('Ana''s phone')$$, 'an app registers its session');
select results_eq(
  $$select device, device_name, address, country, city, is_current, aal from public.my_sessions() order by is_current desc$$,
  $$values ('Safari on iPhone', 'Ana''s phone', '203.0.113.9', 'BG', 'Plovdiv', true, 'aal1'), ('Firefox on Windows', null, '198.51.100.7', null, null, false, 'aal1')$$,
  'a user sees device, address and place of each of the own sessions, by the headers of the proxy in front alone');
select lives_ok('select public.register_session()', 'registering again keeps the name');
select is((select s.device_name from public.my_sessions() s where s.is_current), 'Ana''s phone', 'and it is kept');
select throws_ok($$select public.register_session(repeat('x', 101))$$, 'PT422', 'invalid_value', 'a name that is no name is refused');
select throws_ok($$select public.user_sessions(tests.id('ben'))$$, 'PT403', 'permission_denied', 'a neighbour''s sessions are not told');
select tests.authenticate_as('manager');
select throws_ok($$select public.user_sessions(tests.id('ana'))$$, 'PT403', 'permission_denied', 'nor to the manager of their community');
select throws_ok('select * from private.session_origins', '42501', null, 'nor is the table behind it');
select tests.authenticate_as('root');
select is((select count(*)::integer from public.user_sessions(tests.id('ana'))), 2, 'an administrator of the site sees them');

-- Ending them --------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select throws_ok(format('select public.end_session(%L)', tests.kept('phone')::jsonb ->> 'session_id'), 'PT404', 'session_not_found', 'a manager ends no resident''s session');
select throws_ok($$select public.end_user_sessions(tests.id('ana'), 'Because')$$, 'PT403', 'permission_denied', 'nor all of them');
select tests.authenticate_with(tests.kept('phone')::jsonb);
select is(public.end_other_sessions(), 1, 'a user ends every other session');
select tests.authenticate_with(tests.kept('laptop')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'which is out on the next statement');
select tests.authenticate_with(tests.kept('phone')::jsonb);
select is(tests.seen('public.units', 'number'), 'a1', 'and this one is not');
select tests.authenticate_as('root');
select throws_ok($$select public.end_user_sessions(tests.id('ana'), ' ')$$, 'PT422', 'reason_required', 'an administrator gives a reason');
select is(public.end_user_sessions(tests.id('ana'), 'Stolen phone'), 1, 'and ends what is left');
select is(public.end_user_sessions(tests.id('ana'), 'Stolen phone'), 0, 'once');
select tests.as_studio();
select is((select count(*)::integer from private.session_origins), 0, 'what a session told of itself goes with it');
select is((select count(*)::integer from app.outbox o where o.topic = 'session.ended' and o.payload ->> 'user_id' = tests.id('ana')::text), 2, 'each ending is told of once');
select tests.keep('suspended', tests.claims('ben'));
select public.set_account_status(tests.id('ben'), 'suspended', 'Abuse');
select is((select count(*)::integer from auth.sessions s where s.user_id = tests.id('ben')), 0, 'suspending an account ends its sessions');

-- Labels -------------------------------------------------------------------------------------------------------------

select is(
  array(select coalesce(app.device_label(a), 'unknown') from unnest(array[
    'Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0', 'Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36',
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/19.0 Safari/605.1.15', 'Vicinia/3 CFNetwork/1500 Darwin/24.0', 'node', '', null]) with ordinality x (a, n) order by n),
  array['Edge on Windows', 'Chrome on Android', 'Safari on macOS', 'Vicinia on macOS', 'node', 'unknown', 'unknown'], 'a device is called by families of browser and system, or not at all');

select set_config('request.headers', '{"cf-ipcountry": "T1", "x-vercel-ip-country": "mx", "x-vercel-ip-city": "San%20Luis%20Potos%C3%AD", "x-vercel-ip-country-region": "%FF"}', true);
select is(app.request_location(), '{}', 'what Cloudflare says of Tor is no country, and headers of another proxy are not read');
select public.set_setting('security.location_headers', '"vercel"');
select is(app.request_location(), '{"country": "MX", "city": "San Luis Potosí"}', 'the setting says which proxy is believed; its encoding is undone, and what is no text left out');
select public.set_setting('security.location_headers', '"none"');
select is(app.request_location(), '{}', 'or that none is');

select * from finish();
rollback;
