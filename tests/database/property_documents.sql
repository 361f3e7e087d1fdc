-- Documents of residents: who reads them, who verifies them, and what time does to them.

begin;
select plan(57);

select tests.create_community('Alder', time_zone => 'Pacific/Kiritimati'), tests.create_community('Birch');
select tests.create_supabase_user(u) from unnest(array['manager', 'editor', 'guard', 'foreign manager', 'ana', 'bob', 'kid']) u;
select tests.grant_role('manager', 'manager', community => 'Alder');
select tests.grant_role('guard', 'guard', community => 'Alder');
select tests.grant_role('editor', 'editor', organization => 'organization of Alder');
select tests.grant_role('foreign manager', 'manager', community => 'Birch');
select tests.create_unit('1', 'Alder');
select tests.create_resident('Ana', 'Alder', 'ana@test.example'), tests.create_resident('Bob', 'Alder', 'bob@test.example'), tests.create_resident('Kid', 'Alder', 'kid@test.example'),
  tests.create_resident('Far', 'Birch');
select tests.occupy('Ana', '1', 'owner'), tests.occupy('Bob', '1', 'owner'), tests.occupy('Kid', '1', 'family');

-- A file as Storage would have stored it, uploaded by a user.
create function pg_temp.file(identifier text, uploader text, purpose text default 'resident.identity', community text default 'Alder') returns uuid language sql security definer as $$
  insert into public.files (id, name, community_id, purpose, bucket, content_type, size, owner_id, status, stored_at)
  select tests.id(identifier), identifier, tests.id(community), p.key, p.bucket, 'application/pdf', 10, tests.id(uploader), 'stored', now() from public.file_purposes p where p.key = purpose
  returning id $$;
create function pg_temp.add(identifier text, resident text, kind public.resident_document_kind default 'identity', expires_on date default null, number text default 'AB-4711') returns uuid language plpgsql as $$
begin
  perform tests.keep(identifier, public.add_resident_document(tests.id(resident), tests.id(identifier), kind, number, expires_on => expires_on));
  return tests.kept(identifier)::uuid;
end $$;
create function pg_temp.status(identifier text) returns text language sql security definer as $$
  select concat_ws(' ', d.status, case when d.deleted_at is not null then 'archived' end) from public.resident_documents d where d.file_id = tests.id(identifier) $$;
create function pg_temp.seen() returns text language sql as $$
  select concat_ws(' / ', (select string_agg(d.kind::text, ', ' order by d.id) from public.resident_documents d), (select string_agg(f.name, ', ' order by f.name) from public.files f)) $$;
create function pg_temp.today() returns date language sql as $$ select (now() at time zone 'Pacific/Kiritimati')::date $$;
grant execute on all functions in schema pg_temp to authenticated, service_role;

-- Handing in ---------------------------------------------------------------------------------------------------------

select pg_temp.file('card', 'ana'), pg_temp.file('card of bob', 'bob'), pg_temp.file('deed', 'ana', 'resident.deed'), pg_temp.file('elsewhere', 'foreign manager', community => 'Birch');
update public.files set owner_id = tests.id('ana') where id = tests.id('elsewhere');
select tests.authenticate_as('ana');
select throws_ok($$ select public.register_file(tests.id('Alder'), 'resident.identity', 'card.pdf', 'application/pdf', 31457280) $$, 'PT413', 'file_too_large', 'a document of 30 MB is refused');
select throws_ok($$ select public.register_file(tests.id('Alder'), 'resident.identity', '../card.pdf', 'application/pdf', 10) $$, 'PT422', 'invalid_value', 'a name that climbs out of its folder is refused');
select throws_ok($$ select public.register_file(tests.id('Alder'), 'resident.identity', 'card.exe', 'application/x-msdownload', 10) $$, 'PT415', 'content_type_refused', 'a program is no document');
select throws_ok($$ select pg_temp.add('card', 'Bob') $$, 'PT403', 'permission_denied', 'nobody hands in a document of somebody else');
select throws_ok($$ select pg_temp.add('card', 'Far') $$, 'PT403', 'permission_denied', 'or of a resident of another community');
select throws_ok($$ select pg_temp.add('card of bob', 'Ana') $$, 'PT422', 'invalid_value', 'nor somebody else''s file');
select throws_ok($$ select pg_temp.add('deed', 'Ana') $$, 'PT422', 'invalid_value', 'a file is of its purpose');
select throws_ok($$ select pg_temp.add('elsewhere', 'Ana') $$, 'PT422', 'invalid_value', 'and of the resident''s community');
select throws_ok($$ select pg_temp.add('card', 'Ana', expires_on => pg_temp.today() - 1) $$, 'PT422', 'document_expired', 'what ran out is not handed in');
select throws_ok($$ select public.add_resident_document(tests.id('Ana'), tests.id('card'), 'identity', issued_on => pg_temp.today() + 1) $$, 'PT422', 'invalid_value', 'nor what is yet to be issued');
select is((select count(*) from public.resident_documents), 0::bigint, '(nothing was stored)');
select is((select owner_id from public.files where id = tests.id('card')), tests.id('ana'), '(and the file is still hers alone)');
select throws_ok($$ insert into public.resident_documents (kind, community_id, resident_id, file_id) values ('deed', tests.id('Alder'), tests.id('Ana'), tests.id('deed')) $$, '42501', null, 'no row is written by hand');

select pg_temp.add('card', 'Ana', expires_on => pg_temp.today() + 20);
select is(pg_temp.status('card'), 'uploaded', 'a resident hands in a document');
select is((select status::text from public.identity_checks), 'pending', 'and an identity card asks for a check');
select throws_ok($$ select pg_temp.add('card', 'Ana') $$, 'PT422', 'invalid_value', 'a file is one document');
select pg_temp.add('deed', 'Ana', 'deed');
select is(pg_temp.seen(), 'identity, deed / card, deed', 'she reads her documents and their files');

select tests.as_studio();
select throws_ok($$ insert into public.resident_documents (kind, community_id, resident_id, file_id) values ('identity', tests.id('Birch'), tests.id('Ana'), tests.id('elsewhere')) $$, '23503', null,
  'a document of one community is of no resident of another, whoever writes it');

-- Reading ------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('bob');
select is(pg_temp.seen(), 'card of bob', 'a co-owner reads none of them');
select is((select count(*) from public.identity_checks), 0::bigint, 'nor whether she was checked');
select tests.authenticate_as('guard');
select is(pg_temp.seen(), '', 'a guard reads none');
select tests.authenticate_as('editor');
select is(pg_temp.seen(), '', 'whoever edits residents without the permission reads none');
select tests.authenticate_as('foreign manager');
select is(pg_temp.seen(), 'elsewhere', 'the manager of another community reads what is there, and none of these');
select throws_ok($$ select public.review_resident_document(tests.kept('card')::uuid, 'verified') $$, 'PT404', 'document_not_found', 'who may not know of it either');
select tests.authenticate_as('manager');
select is(pg_temp.seen(), 'identity, deed / card, card of bob, deed', 'who holds documents.read reads them');
select is((select number from public.resident_documents where kind = 'identity'), 'AB-4711', 'with their numbers');
select tests.as_studio();
select is_empty($$ select from audit.log l where l.changes::text like '%4711%' $$, 'which the audit never holds');
select is((select count(*) from public.files where id in (tests.id('card'), tests.id('deed')) and owner_id is null), 2::bigint, 'a document''s file has no owner but the document');

-- Reviewing ----------------------------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
select throws_ok($$ select public.review_resident_document(tests.kept('card')::uuid, 'verified') $$, 'PT403', 'permission_denied', 'nobody verifies the own document');
select throws_ok($$ select public.check_identity(tests.id('Ana'), 'verified') $$, 'PT403', 'permission_denied', 'or identity');
select tests.authenticate_as('guard');
select throws_ok($$ select public.check_identity(tests.id('Ana'), 'verified') $$, 'PT403', 'permission_denied', 'a guard checks no identity');
select tests.as_studio();
select is((select onboarding::text from public.residents where id = tests.id('Ana')), 'registered', '(she is as before)');
select tests.authenticate_as('manager');
select throws_ok($$ select public.review_resident_document(tests.kept('card')::uuid, 'expired') $$, 'PT422', 'invalid_value', 'a review verifies or rejects');
select public.review_resident_document(tests.kept('card')::uuid, 'verified');
select results_eq($$ select status::text, document_id, checked_by from public.identity_checks $$, $$ values ('verified', tests.kept('card')::uuid, tests.id('manager')) $$,
  'a verified identity card verifies the identity: who, when, by which document');
select is((select onboarding::text from public.residents where id = tests.id('Ana')), 'verified', 'and the resident');
select throws_ok($$ select public.check_identity(tests.id('Ana'), 'verified', tests.kept('deed')::uuid) $$, 'PT404', 'document_not_found', 'a deed says nothing of an identity');
select throws_ok($$ select public.check_identity(tests.id('Bob'), 'verified', tests.kept('card')::uuid) $$, 'PT404', 'document_not_found', 'nor does somebody else''s card');
select throws_ok($$ update public.resident_documents set status = 'rejected' where id = tests.kept('card')::uuid $$, '42501', null, 'a state is not written by hand');
select public.review_resident_document(tests.kept('card')::uuid, 'rejected', 'A forgery');
select is((select onboarding::text from public.residents where id = tests.id('Ana')), 'registered', 'what is found out later takes the verification back');
select throws_ok($$ select public.review_resident_document(tests.kept('card')::uuid, 'verified') $$, 'PT409', 'transition_refused', 'a rejected document stays rejected');
-- A manager who lives there.
select tests.as_studio();
select tests.create_resident('Manager', 'Alder', 'manager@test.example');
select tests.occupy('Manager', '1', 'tenant');
select tests.authenticate_as('manager');
select throws_ok($$ select public.check_identity(tests.id('Manager'), 'verified') $$, 'PT409', 'own_account', 'not even who verifies verifies themselves');

-- Withdrawing --------------------------------------------------------------------------------------------------------

select public.review_resident_document(tests.kept('deed')::uuid, 'verified');
select tests.authenticate_as('ana');
select throws_ok($$ select public.withdraw_resident_document(tests.kept('deed')::uuid) $$, 'PT409', 'document_verified', 'a resident does not withdraw what was verified');
select public.withdraw_resident_document(tests.kept('card')::uuid);
select is(pg_temp.status('card'), 'rejected archived', 'but anything else');
select is(pg_temp.seen(), 'deed / deed', 'and neither row nor file is there any more');
select tests.authenticate_as('bob');
select throws_ok($$ select public.withdraw_resident_document(tests.kept('deed')::uuid) $$, 'PT404', 'document_not_found', 'nobody withdraws somebody else''s');
select tests.authenticate_as('manager');
select public.remove_file(tests.id('deed'));
select is(pg_temp.status('deed'), 'verified archived', 'a file that is removed takes its document along');

-- What time does -----------------------------------------------------------------------------------------------------

select tests.as_studio();
select pg_temp.file('lease', 'ana', 'resident.lease'), pg_temp.file('passport', 'kid'), pg_temp.file('late', 'ana', 'resident.other');
select tests.authenticate_as('ana');
select pg_temp.add('lease', 'Ana', 'lease', pg_temp.today() + 31), pg_temp.add('late', 'Ana', 'other', pg_temp.today() + 2);
select tests.authenticate_as('kid');
select pg_temp.add('passport', 'Kid', expires_on => pg_temp.today() + 30);
select is(pg_temp.status('passport'), 'uploaded', 'who lives in a family hands in documents too');
select tests.as_studio();
select app.run_job('resident-documents'), app.run_job('resident-documents');
select results_eq($$ select o.payload ->> 'kind' from app.outbox o where o.topic = 'resident_document.expiring' order by 1 $$, $$ values ('identity'), ('other') $$,
  'documents that run out within thirty days are told of, once');
select public.set_setting('general.document_reminder_days', '31', community_id => tests.id('Alder'));
select app.job_resident_documents();
select is((select count(*) from app.outbox o where o.topic = 'resident_document.expiring'), 3::bigint, 'or as early as the community wants');
set local session_replication_role = replica;
update public.resident_documents set issued_on = null, expires_on = pg_temp.today() where id = tests.kept('late')::uuid;
set local session_replication_role = origin;
select app.job_resident_documents();
select is(pg_temp.status('late'), 'uploaded', 'on its last day, the community''s, a document is valid');
set local session_replication_role = replica;
update public.resident_documents set expires_on = pg_temp.today() - 1 where id = tests.kept('late')::uuid;
set local session_replication_role = origin;
select app.job_resident_documents();
select is(pg_temp.status('late'), 'expired', 'and expired on the next');
select tests.authenticate_as('manager');
select throws_ok($$ select public.review_resident_document(tests.kept('late')::uuid, 'verified') $$, 'PT422', 'document_expired', 'an expired document is not verified');
select results_eq($$ select full_name, kind::text, status::text, days_left from public.expiring_documents order by days_left $$,
  $$ values ('Ana', 'other', 'expired', -1), ('Kid', 'identity', 'uploaded', 30), ('Ana', 'lease', 'uploaded', 31) $$, 'the management sees what runs out, by name');
select tests.authenticate_as('kid');
select results_eq('select full_name from public.expiring_documents', $$ values ('Kid') $$, 'and everybody their own');
select tests.as_studio();
update public.residents set onboarding = 'moved_out' where id = tests.id('Kid');
select is((select count(*) from public.expiring_documents where resident_id = tests.id('Kid')), 0::bigint, 'nobody waits for documents of who moved out');

-- Erasing ------------------------------------------------------------------------------------------------------------

select app.erase_resident_documents(array[tests.kept('lease')::uuid]);
select results_eq($$ select d.number, d.deleted_at is not null, f.status::text, f.name from public.resident_documents d join public.files f on f.id = d.file_id where d.id = tests.kept('lease')::uuid $$,
  $$ values (null::text, true, 'removed', 'erased') $$, 'erasing takes file and number');
select throws_ok($$ delete from public.resident_documents $$, 'PT409', 'delete_refused', 'nothing is simply deleted');

select * from finish();
rollback;
