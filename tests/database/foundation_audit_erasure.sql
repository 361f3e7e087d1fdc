-- Erasing from the audit log: values go, that something changed stays.

begin;
select plan(25);

select tests.create_community('Alder'), tests.create_community('Birch');
select tests.create_supabase_user('manager'), tests.create_supabase_user('superadmin');
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('superadmin', 'superadmin');
select tests.create_resident('Ana', 'Alder'), tests.create_resident('Boris', 'Alder');
select set_config('app.reason', 'Ana married.', true);
update public.residents set full_name = 'Ana M.' where id = tests.id('Ana');
select set_config('app.reason', '', true);
insert into public.resident_details (id, community_id, resident_id, phone, identity_number) values (tests.id('details'), tests.id('Alder'), tests.id('Ana'), '+359 2 555 0101', 'SECRET');

create function pg_temp.told(identifier text) returns text language sql as
$$ select string_agg(l.changes::text, ' ' order by l.id) from audit.log l where l.row_id = tests.id(identifier) and l.operation <> 'action' $$;
select tests.keep('boris', pg_temp.told('Boris'));

-- Columns ------------------------------------------------------------------------------------------------------------

select is(app.erase_audit('public.residents', array[tests.id('Ana')], '{full_name}', 'Asked by letter.'), 2::bigint, 'erasing a column answers how many entries told it');
select is(
  (select array_agg(l.changes::jsonb ->> 'full_name' order by l.id) from audit.log l where l.row_id = tests.id('Ana') and l.operation <> 'action'),
  array['[erased]', '["[erased]", "[erased]"]'], 'its values read [erased], before and after');
select is((select l.changes::jsonb ? 'kind' from audit.log l where l.row_id = tests.id('Ana') and l.operation = 'insert'), true, 'other columns are told as before');
select is((select l.note from audit.log l where l.row_id = tests.id('Ana') and l.operation = 'update'), 'Ana married.', 'and so is the note');
select is(pg_temp.told('Boris'), tests.kept('boris'), 'entries of other rows are as they were');
select is(
  (select row(l.operation, l.note, l.actor_label, l.community_id, l.changes::jsonb - 'digest')::text from audit.log l where l.action = 'AUDIT_ERASED'),
  row('action'::public.audit_operation, 'Asked by letter.', 'studio:postgres', tests.id('Alder'), '{"entries": 2, "columns": ["full_name"]}'::jsonb)::text,
  'the erasure is told: who, why, what and how much');
select is(
  (select l.changes::jsonb ->> 'digest' from audit.log l where l.action = 'AUDIT_ERASED'),
  (select app.erasure_digest(l.id) from audit.log l where l.action = 'AUDIT_ERASED'), 'and what it left, by its hash');
select is(app.erase_audit('public.residents', array[tests.id('Ana')], '{full_name}', 'Again.'), 0::bigint, 'erasing again erases nothing');
select is((select count(*) from audit.log l where l.action = 'AUDIT_ERASED'), 1::bigint, 'and leaves no entry');

-- Everything ---------------------------------------------------------------------------------------------------------

select is(app.erase_audit('public.residents', array[tests.id('Ana')], null, 'All of it.'), 2::bigint, 'without columns everything is erased');
select is((select count(*) from audit.log l cross join jsonb_each(l.changes::jsonb) c where l.row_id = tests.id('Ana') and l.operation <> 'action' and c.value::text !~ '\[erased\]'), 0::bigint, 'every value');
select is((select l.note from audit.log l where l.row_id = tests.id('Ana') and l.operation = 'update'), '[erased]', 'and the note');
select is(
  (select count(*) from audit.log l where l.row_id = tests.id('Ana') and l.action = 'AUDIT_ERASED' and l.note <> '[erased]' and l.changes::jsonb ? 'digest'), 2::bigint, 'but not what erasures told of themselves');
select is(app.erase_audit('public.resident_details', array[tests.id('details')], null, 'All of it.'), 1::bigint, 'several tables are erased one by one');
select is((select l.changes::jsonb ->> 'identity_number' from audit.log l where l.row_id = tests.id('details') and l.operation = 'insert'), '[redacted]', 'what was never told stays redacted');

-- Who and how --------------------------------------------------------------------------------------------------------

select throws_ok($$select app.erase_audit('public.residents', array[tests.id('Boris')], null, ' ')$$, 'PT422', 'reason_required', 'an erasure has a reason');
select throws_ok($$select app.erase_audit(null, array[tests.id('Boris')], null, 'No table.')$$, 'PT422', 'invalid_value', 'and a table');
select throws_ok($$update audit.log set note = 'x'$$, 'PT409', 'append_only', 'after an erasure the log is as closed as before');
select tests.authenticate_as('superadmin');
select throws_ok($$select app.erase_audit('public.residents', array[tests.id('Boris')], null, 'Mine.')$$, '42501', null, 'not even a superadministrator erases through the API');
select throws_ok($$select app.erase_audit_origins(tests.id('manager'), 'Mine.')$$, '42501', null, 'nor addresses');
select throws_ok('select from private.audit_salt', '42501', null, 'nor reads the salt');
select throws_ok('select hash from audit.origins', '42501', null, 'nor the hash of an address, which could be guessed from it');
select tests.as_studio();
select is(pg_temp.told('Boris'), tests.kept('boris'), 'and what was refused is as before');

-- From where ---------------------------------------------------------------------------------------------------------

select set_config('request.headers', '{"x-forwarded-for": "192.0.2.7", "user-agent": "Test/1.0"}', true), set_config('request.path', '/residents', true);
select tests.authenticate_as('manager');
update public.residents set full_name = 'Boris B.' where id = tests.id('Boris');
select tests.authenticate_as('superadmin');
update public.residents set full_name = 'Boris C.' where id = tests.id('Boris');
select tests.as_studio();
select set_config('request.headers', '', true), set_config('request.path', '', true);
select is(app.erase_audit_origins(tests.id('manager'), 'Asked by letter.'), 1::bigint, 'erasing from where a user''s changes came answers how many places');
select results_eq(
  'select o.address, o.user_agent, o.path, o.erased_at is not null from audit.origins o order by o.id',
  $$values (null, null, '/residents', true), ('192.0.2.7', 'Test/1.0', '/residents', false)$$, 'and leaves those of others');

select * from finish();
rollback;
