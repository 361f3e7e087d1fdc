-- The access token hook never blocks signing in, and the live version only grows.

begin;
select plan(9);

select tests.create_supabase_user('ana');

-- Whatever it is given, the hook returns an event.
select lives_ok($$select app.access_token('{}')$$, 'an event without a user does not make the hook raise');
select lives_ok($$select app.access_token('{"user_id": "nobody", "claims": {}}')$$, 'an event whose user is no id does not make the hook raise');
select is(
  app.access_token('{"user_id": "nobody", "claims": {"sub": "nobody", "app_metadata": {"access_version": 1}}}') #> '{claims,app_metadata,access_version}',
  null, 'an event the hook cannot read comes back without a version, so that the tables are read');
select is(
  app.access_token(jsonb_build_object('user_id', gen_random_uuid(), 'claims', '{"aud": "authenticated"}'::jsonb)) #>> '{claims,aud}', 'authenticated',
  'a user without a profile gets a token');
select is(
  (app.access_token(jsonb_build_object('user_id', tests.id('ana'), 'claims', '{"app_metadata": {"site_roles": ["superadmin"], "truncated": true, "plan": "x"}}'::jsonb))
    #> '{claims,app_metadata}') - '{access_version,valid_until}'::text[],
  '{"plan": "x", "site_roles": [], "organizations": {}, "communities": {}}', 'the hook replaces every claim of its own and keeps the others');

select function_privs_are('app', 'access_token', array['jsonb'], 'supabase_auth_admin', array['EXECUTE'], 'Auth may call the hook');
select function_privs_are('app', 'access_token', array['jsonb'], 'authenticated', '{}', 'users may not call the hook');

select tests.keep('version', (select version from private.user_access where user_id = tests.id('ana')));
select cmp_ok(tests.kept('version')::bigint, '>', 1767225600000000, 'a version begins with the time, so that a restored database does not hand one out twice');
select app.bump_access(array[tests.id('ana')]), app.bump_access(array[tests.id('ana')]);
select cmp_ok((select version from private.user_access where user_id = tests.id('ana')), '>=', tests.kept('version')::bigint + 2, 'every change makes the version grow');

select * from finish();
rollback;
