-- What changes are called in the audit log, where they came from, and the history of a row.

begin;
select plan(44);

select tests.create_community('Alder'), tests.create_community('Birch');
select tests.create_supabase_user('manager'), tests.create_supabase_user('other manager'), tests.create_supabase_user('guard'), tests.create_supabase_user('fired');
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('other manager', 'manager', community => 'Birch'), tests.grant_role('guard', 'guard', community => 'Alder');
select tests.create_unit('1A', 'Alder'), tests.create_unit('1C', 'Alder'), tests.create_unit('9B', 'Birch');

create function pg_temp.entry(identifier text) returns audit.log language sql as
$$ select l from audit.log l where l.row_id = tests.id(identifier) order by l.id desc limit 1 $$;
create function pg_temp.origin(identifier text) returns audit.origins language sql as
$$ select o from audit.origins o where o.id = (pg_temp.entry(identifier)).origin_id $$;

-- Named actions ------------------------------------------------------------------------------------------------------

select is((select l.action from audit.log l where l.row_id = (select m.id from public.memberships m where m.user_id = tests.id('guard'))), 'ROLE_GRANTED', 'a role that is granted is called so');
select is((pg_temp.entry('1A')).action, null, 'what nobody named has no name');
select public.revoke_role((select m.id from public.memberships m where m.user_id = tests.id('guard')));
select is(
  (select array_agg(l.action order by l.id) from audit.log l where l.row_id = (select m.id from public.memberships m where m.user_id = tests.id('guard'))),
  '{ROLE_GRANTED,ROLE_REVOKED}', 'and so is one that is revoked');
update public.units set floor = 1 where id = tests.id('1A');
select is((pg_temp.entry('1A')).action, null, 'what comes after an RPC in the same transaction is not called what the RPC did');

select public.set_account_status(tests.id('fired'), 'suspended', 'Asked for it.');
select is((pg_temp.entry('fired')).action, 'ACCOUNT_SUSPENDED', 'an account that is suspended is called so');
select public.archive('units', tests.id('1A'));
select is((pg_temp.entry('1A')).action, 'ROW_ARCHIVED', 'a row that is archived is called so');
select public.restore('units', tests.id('1A'));
select is((pg_temp.entry('1A')).action, 'ROW_RESTORED', 'a row that is restored is called so');
select tests.create_unit('1B', 'Alder');
select public.archive('units', tests.id('1B'));
select public.purge('units', tests.id('1B'), 'Never was.');
select is(row((pg_temp.entry('1B')).operation, (pg_temp.entry('1B')).action, (pg_temp.entry('1B')).note)::text, '(delete,ROW_PURGED,"Never was.")', 'a row that is purged is called so');

select app.define_action('TEST_DONE', 'A test did it.');
select is(app.set_action('TEST_DONE'), '', 'naming what follows tells that nothing was named before');
update public.units set floor = 2 where id = tests.id('1A');
select is((pg_temp.entry('1A')).action, 'TEST_DONE', 'what follows has the name');
select is(app.set_action('ROLE_GRANTED'), 'TEST_DONE', 'naming it otherwise tells the name before');
select app.set_action(null);
update public.units set floor = 3 where id = tests.id('1A');
select is((pg_temp.entry('1A')).action, null, 'a name can be taken away');
select throws_ok($$select app.set_action('TEST_UNHEARD_OF')$$, 'PT422', 'unknown_action', 'a name that nobody declared is refused');
select set_config('app.action', 'TEST_UNHEARD_OF', true);
select throws_ok($$update public.units set floor = 4 where id = tests.id('1A')$$, 'PT422', 'unknown_action', 'and so is one that was set past the function');
select set_config('app.action', '', true);
select is((select u.floor from public.units u where u.id = tests.id('1A')), 3::smallint, 'and the row is as before');
select throws_ok($$select app.define_action('lower', 'No.')$$, '23514', null, 'an action is named in capitals');

-- Entries that change no row -------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select throws_ok($$select app.record_action('TEST_DONE')$$, '42501', null, 'no API role writes entries');
select tests.as_studio();
select tests.keep('action', app.record_action('TEST_DONE', community => tests.id('Alder'), tracked => 'public.units', row_id => tests.id('1A'), note => ' Why. ', details => '{"rows": 3}', actor => tests.id('manager')));
select is(
  (select row(l.operation, l.action, l.community_id, l.row_id, l.actor_id, l.actor_label, l.note, l.changes)::text from audit.log l where l.id = tests.kept('action')::bigint),
  row('action'::public.audit_operation, 'TEST_DONE', tests.id('Alder'), tests.id('1A'), tests.id('manager'), null, 'Why.', '{"rows": 3}'::jsonb)::text,
  'an action that changed nothing has an entry: what, where, about what, who, why and details');
select throws_ok($$select app.record_action('TEST_UNHEARD_OF')$$, 'PT422', 'unknown_action', 'an undeclared action has none');

-- From where ---------------------------------------------------------------------------------------------------------

select is((pg_temp.entry('1A')).origin_id, null, 'where there is no request an entry has no origin');
select set_config('request.headers', '{"x-forwarded-for": "192.0.2.7, 10.0.0.1", "user-agent": "Test/1.0", "authorization": "Bearer SECRET"}', true);
select set_config('request.method', 'PATCH', true), set_config('request.path', '/units', true);
select tests.authenticate_as('manager');
update public.units set floor = 5 where id = tests.id('1A');
update public.units set floor = 6 where id = tests.id('1A');
select tests.as_studio();
select is(
  (select row(o.actor_id, o.address, o.user_agent, o.method, o.path, o.location)::text from pg_temp.origin('1A') o),
  row(tests.id('manager'), '192.0.2.7', 'Test/1.0', 'PATCH', '/units', null)::text, 'an entry tells the address, the agent, the method and the path of its request');
select is((select count(*) from audit.origins), 1::bigint, 'a place is written once, however many changes come from there');
select is((select count(*) from audit.origins o where o::text like '%SECRET%'), 0::bigint, 'nothing else of a request is kept');
update public.units set floor = 7 where id = tests.id('1A');
select is((select count(*) from audit.origins where actor_id is null), 1::bigint, 'the same place with another user is another origin');
update public.units set floor = 8 where id = tests.id('1A');
select is((select count(*) from audit.origins), 2::bigint, 'a later request from a known place finds it');
select set_config('request.headers', '{"cf-connecting-ip": "2001:db8::7", "x-forwarded-for": "192.0.2.66", "x-client-location": "42.1,23.3"}', true);
update public.units set floor = 9 where id = tests.id('1A');
select is((select row(o.address, o.location)::text from pg_temp.origin('1A') o), '(2001:db8::7,"42.1,23.3")', 'what the proxy vouches for counts before what the client may have written');
select throws_ok('update audit.origins set address = null', 'PT409', 'append_only', 'an origin stays as it is');
select throws_ok('delete from audit.tables', 'PT409', 'append_only', 'and so does the list of tables');

-- Who sees from where --------------------------------------------------------------------------------------------------

select set_config('request.headers', '{"x-forwarded-for": "198.51.100.9"}', true);
select tests.authenticate_as('other manager');
update public.units set floor = 2 where id = tests.id('9B');
select is((select count(*) from audit.origins o where o.address = '198.51.100.9'), 1::bigint, 'who may read an entry sees from where it came');
select is((select array_agg(distinct o.address) from audit.origins o), '{198.51.100.9}', 'and no other place');
select tests.authenticate_as('manager');
select is_empty($$select from audit.origins o where o.address = '198.51.100.9'$$, 'a place from where only another community was changed is not seen');
select set_eq($$select o.address from audit.origins o$$, $$values ('192.0.2.7'), ('2001:db8::7')$$, 'those of the own community are, whoever acted');
select tests.authenticate_as('guard');
select is_empty('select from audit.origins', 'who reads no entry sees no place');
select tests.authenticate_as_service_role();
update public.units set floor = 3 where id in (tests.id('9B'), tests.id('1C'));
select tests.authenticate_as('manager');
select is((select count(*) from audit.origins o where o.address = '198.51.100.9' and o.actor_id is null), 1::bigint, 'a place that changed both is seen by the readers of both');
select is((select count(*) from audit.origins o where o.address = '198.51.100.9' and o.actor_id is not null), 0::bigint, 'which opens no other place of the same address');
select tests.as_studio();
select set_config('request.headers', '', true), set_config('request.method', '', true), set_config('request.path', '', true);

-- The history of a row -------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select results_eq(
  format($$select h.operation::text, h.action, h.actor_name, h.actor_label, h.before, h.after, h.address from public.record_history('units', %L, page_size => 4) h$$, tests.id('1A')),
  $$values ('update', null, null, 'studio:postgres', '{"floor": 8}'::jsonb, '{"floor": 9}'::jsonb, '2001:db8::7'),
    ('update', null, null, 'studio:postgres', '{"floor": 7}', '{"floor": 8}', '192.0.2.7'),
    ('update', null, null, 'studio:postgres', '{"floor": 6}', '{"floor": 7}', '192.0.2.7'),
    ('update', null, 'manager', null, '{"floor": 5}', '{"floor": 6}', '192.0.2.7')$$,
  'the history of a row: newest first, who, before and after, from where');
select is(
  (select array_agg(h.entry_id) from public.record_history('units', tests.id('1A'), page_size => 200) h),
  (select array_agg(entry_id) from (
    (select h.entry_id from public.record_history('units', tests.id('1A'), page_size => 5) h)
    union all
    (select h.entry_id from public.record_history('units', tests.id('1A'), (select min(h.entry_id) from public.record_history('units', tests.id('1A'), page_size => 5) h), 200) h)) pages),
  'pages follow each other without gap or overlap');
select is((select h.details from public.record_history('units', tests.id('1A'), page_size => 200) h where h.operation = 'action'), '{"rows": 3}', 'actions about the row are part of it');
select is((select h.after from public.record_history('units', tests.id('1A'), page_size => 200) h where h.operation = 'insert') ->> 'number', '1A', 'its beginning tells the values it was made with');
select is((select h.before ->> 'number' from public.record_history('units', tests.id('1B')) h limit 1), '1B', 'a row that was purged has a history too');
select throws_ok($$select * from public.record_history('nothing', extensions.uuidv7())$$, 'PT404', 'table_not_tracked', 'a table that is not logged has none');
select throws_ok(format($$select * from public.record_history('units', %L, page_size => 0)$$, tests.id('1A')), 'PT422', 'invalid_value', 'a page has rows');

select tests.authenticate_as('other manager');
select is_empty(format($$select * from public.record_history('units', %L)$$, tests.id('1A')), 'the manager of another community sees nothing of it');
select tests.authenticate_as('guard');
select is_empty(format($$select * from public.record_history('units', %L)$$, tests.id('1A')), 'nor does a guard, who does not hold audit.read');

select * from finish();
rollback;
