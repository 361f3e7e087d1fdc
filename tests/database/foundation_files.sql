-- Files: nothing is stored that was not registered, and nobody reads, lists, moves or overwrites what is not theirs.

begin;
select plan(81);

select tests.create_organization('firm');
select tests.create_community('home', 'firm', 'Europe/Sofia');
select tests.create_community('elsewhere');
select tests.create_unit('flat', 'home');
select tests.create_unit('next door', 'home');
select tests.create_supabase_user(u) from unnest('{root,manager,stranger,owner,neighbour,family}'::text[]) u;
select tests.grant_role('root', 'superadmin');
select tests.grant_role('manager', 'manager', community => 'home');
select tests.grant_role('stranger', 'manager', community => 'elsewhere');
select tests.create_resident('owner of flat', 'home', tests.email('owner'));
select tests.create_resident('family in flat', 'home', tests.email('family'));
select tests.create_resident('owner next door', 'home', tests.email('neighbour'));
select tests.occupy('owner of flat', 'flat', 'owner');
select tests.occupy('family in flat', 'flat', 'family');
select tests.occupy('owner next door', 'next door', 'owner');
select app.define_file_purpose('tests.invoice', 'vicinia-documents', 'Kept for ten years', '{application/pdf}', 1000, 'communities.update', 'communities.update',
  kept_for => '10 years', removed_after => '11 years');
select app.define_file_purpose('tests.proof', 'vicinia-documents', 'The management''s', '{application/pdf}', 1000, 'communities.update', 'communities.update',
  read_permission => 'communities.update', is_of_community => true);

-- Registers a file as whoever is signed in and keeps its path and id under a name.
create function pg_temp.register(label text, community text, purpose text, size bigint default 1000, type text default 'application/pdf', file_name text default 'Договор №1.pdf')
returns text language plpgsql as $$
declare
  made record;
begin
  select * into made from public.register_file(tests.id(community), purpose, file_name, type, size);
  perform tests.keep(label, made.path), tests.keep(label || '_id', made.file_id);
  return made.path;
end $$;

-- What Storage does: tries the upload as the caller, then writes the object as its own role (here: postgres).
create function pg_temp.try(bucket text, path text, metadata jsonb default '{"mimetype": "application/pdf", "contentLength": 1000}') returns void language plpgsql as $$
begin
  insert into storage.objects (bucket_id, name, owner_id, metadata) values (bucket, path, auth.uid()::text, metadata);
  raise sqlstate 'ROLLB';
exception when sqlstate 'ROLLB' then
  return;
end $$;
create function pg_temp.complete(bucket text, path text, size bigint default 1000, type text default 'application/pdf') returns void language plpgsql as $$
begin
  insert into storage.objects (bucket_id, name, version, metadata) values (bucket, path, 'v1', jsonb_build_object('mimetype', type, 'size', size, 'eTag', '"x"'));
end $$;
grant execute on function pg_temp.register(text, text, text, bigint, text, text), pg_temp.try(text, text, jsonb) to authenticated, service_role, anon;

-- Registering --------------------------------------------------------------------------------------------------------

select is(array(select b.id from storage.buckets b where b.id like 'vicinia-%' and b.public order by 1), '{}', 'no bucket of ours is public');
select is_empty(
  'select from public.file_purposes p left join storage.buckets b on b.id = p.bucket where (b.file_size_limit >= p.max_bytes and b.allowed_mime_types @> p.content_types) is not true',
  'a bucket takes what its purposes take');

select tests.authenticate_as('owner');
select is(pg_temp.register('contract', 'home', 'member.document'), tests.id('home') || '/member.document/' || tests.kept('contract_id'), 'a path is made of the community, the purpose and the file');
select throws_ok($$select pg_temp.register('x', 'elsewhere', 'member.document')$$, 'PT403', 'permission_denied', 'nobody registers in another community');
select throws_ok($$select pg_temp.register('x', 'nowhere', 'member.document')$$, 'PT403', 'permission_denied', 'or in one that does not exist');
select throws_ok($$select pg_temp.register('x', 'home', 'community.document')$$, 'PT403', 'permission_denied', 'or for a purpose that takes more than they have');
select throws_ok($$select pg_temp.register('x', 'home', 'member.secret')$$, 'PT422', 'unknown_purpose', 'or for one that nobody declared');
select throws_ok($$select pg_temp.register('x', 'home', null)$$, 'PT422', 'unknown_purpose', 'or for none');
select throws_ok($$select pg_temp.register('x', 'home', 'member.document', type => 'text/html')$$, 'PT415', 'content_type_refused', 'a type that the purpose does not take is refused');
select throws_ok($$select pg_temp.register('x', 'home', 'member.document', type => null)$$, 'PT415', 'content_type_refused', 'so is none');
select throws_ok($$select pg_temp.register('x', 'home', 'member.document', size => 10485761)$$, 'PT413', 'file_too_large', 'one byte too many is refused');
select throws_ok(format('select pg_temp.register(%L, %L, %L, size => %s)', 'x', 'home', 'member.document', s.size), 'PT422', 'invalid_value', 'a size of ' || s.size || ' is refused')
from (values ('0'), ('-1'), ('null')) s (size);
select throws_ok(format('select pg_temp.register(%L, %L, %L, file_name => %L)', 'x', 'home', 'member.document', n.name), 'PT422', 'invalid_value', n.why || ' is no file name')
from (values
  ('..', 'a way up'), ('../../etc/passwd', 'a path'), ('a\b.pdf', 'a path of another system'), ('', 'nothing'), (' a.pdf', 'one with a blank in front'),
  (E'a\nb.pdf', 'one of two lines'), (U&'annex\202Efdp.exe', 'one that turns its end around'), (repeat('a', 201), 'one of 201 characters'), (null, 'null')) n (name, why);
select throws_ok($$select * from public.register_file(tests.id('home'), 'member.document', 'a.pdf', 'application/pdf', 5, 'abc')$$, 'PT422', 'invalid_value', 'a hash that is none is refused');
select throws_ok($$insert into public.files (name, community_id, purpose, bucket, content_type, size) values ('a', tests.id('home'), 'community.document', 'vicinia-documents', 'application/pdf', 1)$$, '42501', null, 'nobody writes the register directly');
select throws_ok($$update public.files set owner_id = tests.id('neighbour')$$, '42501', null, 'or changes it');
select tests.authenticate_as('family');
select throws_ok($$select pg_temp.register('x', 'home', 'member.document')$$, 'PT403', 'permission_denied', 'family uploads nothing');
select tests.authenticate_as('root');
select public.set_feature('files.upload', false, community_id => tests.id('home'));
select tests.authenticate_as('owner');
select throws_ok($$select pg_temp.register('x', 'home', 'member.document')$$, 'PT403', 'feature_disabled', 'where uploading is switched off, nobody registers');
select tests.authenticate_as('root');
select public.set_feature('files.upload', null, community_id => tests.id('home'));
select tests.as_studio();
select is((select count(*) from public.files f where f.community_id = tests.id('home')), 1::bigint, 'what was refused left nothing behind');

-- Uploading ----------------------------------------------------------------------------------------------------------

select tests.authenticate_as('owner');
select lives_ok($$select pg_temp.try('vicinia-documents', tests.kept('contract'))$$, 'the owner uploads to the registered path');
select throws_ok($$select pg_temp.try('vicinia-documents', tests.kept('contract') || '/../../x')$$, '42501', null, 'and to no other that begins alike');
select throws_ok($$select pg_temp.try('vicinia-documents', tests.id('home') || '/member.document/' || gen_random_uuid())$$, '42501', null, 'nor to one nobody registered');
select throws_ok($$select pg_temp.try('vicinia-documents', tests.id('elsewhere') || '/member.document/' || tests.kept('contract_id'))$$, '42501', null, 'nor to the same in another community');
select throws_ok($$select pg_temp.try('vicinia-images', tests.kept('contract'))$$, '42501', null, 'nor to the same in another bucket');
select throws_ok($$select pg_temp.try('vicinia-documents', tests.kept('contract'), '{"mimetype": "text/html", "contentLength": 1000}')$$, '42501', 'file_differs', 'not as another type');
select throws_ok($$select pg_temp.try('vicinia-documents', tests.kept('contract'), '{"mimetype": "application/pdf", "contentLength": 900000}')$$, '42501', 'file_differs', 'not with more than was registered');
select tests.authenticate_as('neighbour');
select throws_ok($$select pg_temp.try('vicinia-documents', tests.kept('contract'))$$, '42501', null, 'a neighbour does not upload to somebody else''s path');
select tests.authenticate_as('manager');
select throws_ok($$select pg_temp.try('vicinia-documents', tests.kept('contract'))$$, '42501', null, 'nor does the manager');
select tests.clear_authentication();
select throws_ok($$select pg_temp.try('vicinia-documents', tests.kept('contract'))$$, '42501', null, 'nor who is not signed in');
select tests.authenticate_as_service_role();
select throws_ok($$select pg_temp.try('vicinia-documents', tests.id('home') || '/member.document/' || gen_random_uuid())$$, '42501', 'file_not_registered', 'the secret key stores nothing that is not registered either');

select tests.as_studio();
select throws_ok($$select pg_temp.complete('vicinia-documents', tests.kept('contract'), 999)$$, '42501', 'file_differs', 'a byte too few is refused when the upload ends');
select throws_ok($$select pg_temp.complete('vicinia-documents', tests.kept('contract'), 1001)$$, '42501', 'file_differs', 'so is a byte too many');
select throws_ok($$select pg_temp.complete('vicinia-documents', tests.kept('contract'), 1000, 'image/png')$$, '42501', 'file_differs', 'so is another type');
select is((select f.status from public.files f where f.path = tests.kept('contract')), 'registered', 'and the file still awaits its upload');
select pg_temp.complete('vicinia-documents', tests.kept('contract'));
select is((select f.status from public.files f where f.path = tests.kept('contract')), 'stored', 'an upload as it was registered is stored');
select throws_ok($$update storage.objects set version = 'v2', metadata = '{"size": 1000, "mimetype": "application/pdf"}' where name = tests.kept('contract')$$, '42501', 'file_stored', 'what is stored is not overwritten, by nobody');
select throws_ok($$update storage.objects set name = tests.id('elsewhere') || '/member.document/x' where name = tests.kept('contract')$$, '42501', 'file_moved', 'nor moved');
select throws_ok($$update storage.objects set bucket_id = 'vicinia-images' where name = tests.kept('contract')$$, '42501', 'file_moved', 'nor into another bucket');

-- Reading ------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select pg_temp.register('notice', 'home', 'community.document');
select pg_temp.register('invoice', 'home', 'tests.invoice');
select tests.as_studio();
select pg_temp.complete('vicinia-documents', tests.kept('notice')), pg_temp.complete('vicinia-documents', tests.kept('invoice'));

create function pg_temp.readable() returns text language sql as $$
  select coalesce(string_agg(n.label, ', ' order by n.label), '')
  from unnest('{contract,invoice,notice}'::text[]) n (label)
  where exists (select from storage.objects o where o.bucket_id = 'vicinia-documents' and o.name = tests.kept(n.label))
    and exists (select from public.files f where f.path = tests.kept(n.label)) $$;
grant execute on function pg_temp.readable() to authenticated, anon;

select tests.authenticate_as('owner');
select is(pg_temp.readable(), 'contract, notice', 'an owner reads the own file, and what is for all');
select tests.authenticate_as('neighbour');
select is(pg_temp.readable(), 'notice', 'a neighbour what is for all');
select is((select count(*) from storage.objects o where o.name like tests.id('home') || '/member.document/%'), 0::bigint, 'and lists nothing of the rest');
select tests.authenticate_as('manager');
select is(pg_temp.readable(), 'contract, invoice, notice', 'the manager reads what the purposes give to the management');
select tests.authenticate_as('stranger');
select is(pg_temp.readable(), '', 'another community''s manager reads nothing');
select is((select count(*) from storage.objects), 0::bigint, 'and lists nothing');
select tests.clear_authentication();
select is((select count(*) from storage.objects), 0::bigint, 'nor does who is not signed in');

select tests.authenticate_as('neighbour');
with tried as (update storage.objects set metadata = '{}' where true returning 1) select is((select count(*) from tried), 0::bigint, 'a reader changes no object');
set local storage.allow_delete_query = 'true';
with tried as (delete from storage.objects where true returning 1) select is((select count(*) from tried), 0::bigint, 'and deletes none');

select tests.as_studio();
create function app.tests_readable() returns setof uuid language sql stable set search_path = '' as $$ select unnest(array[tests.kept('contract_id'), tests.kept('invoice_id')]::uuid[]) where auth.uid() = tests.id('neighbour') $$;
update public.file_purposes set readable_files = 'app.tests_readable' where key = 'member.document';
select tests.authenticate_as('neighbour');
select is(pg_temp.readable(), 'contract, notice', 'a later topic lets more people read through a function of its own, without a policy, and files of its own purposes alone');
select tests.as_studio();
select throws_ok($$update public.file_purposes set readable_files = 'app.nothing' where key = 'member.document'$$, 'PT422', 'invalid_value', 'one that exists');

-- Whose it is --------------------------------------------------------------------------------------------------------

select is((select f.owner_id from public.files f where f.path = tests.kept('contract')), tests.id('owner'), 'what somebody hands in stays theirs');
select is((select f.owner_id from public.files f where f.path = tests.kept('notice')), null, 'what the management stores is the community''s');
select tests.grant_role('neighbour', 'manager', community => 'home');
select tests.authenticate_as('neighbour');
select pg_temp.register('proof', 'home', 'tests.proof'), pg_temp.register('announcement', 'home', 'community.document'), pg_temp.register('own_paper', 'home', 'member.document');
select lives_ok($$select pg_temp.try('vicinia-documents', tests.kept('announcement'))$$, 'a manager uploads what the management publishes');
select tests.as_studio();
select pg_temp.complete('vicinia-documents', tests.kept('proof'));
select tests.authenticate_as('neighbour');
select isnt_empty($$select from public.files f where f.path = tests.kept('proof')$$, 'and reads what is the community''s');
select tests.as_studio();
select public.revoke_role(m.id) from public.memberships m where m.user_id = tests.id('neighbour');
select tests.authenticate_as('neighbour');
select is_empty($$select from public.files f where f.path = tests.kept('proof')$$, 'who was manager, and lives there still, reads it no more');
select throws_ok($$select public.remove_file(tests.kept('proof_id')::uuid)$$, 'PT404', 'file_not_found', 'nor removes it');
select throws_ok($$select pg_temp.try('vicinia-documents', tests.kept('announcement'))$$, '42501', 'file_owner_barred', 'and publishes nothing that was registered in office');
select tests.as_studio();
select throws_ok($$select pg_temp.complete('vicinia-documents', tests.kept('announcement'))$$, '42501', 'file_owner_barred', 'by an address that was signed in office neither');
select is((select string_agg(f.status::text, ', ' order by f.path = tests.kept('announcement')) from public.files f where f.path in (tests.kept('announcement'), tests.kept('proof'))), 'stored, registered',
  'so that the one stays and the other never was');
select lives_ok($$select pg_temp.complete('vicinia-documents', tests.kept('own_paper'))$$, 'but hands in papers like everybody else');

-- Keeping and removing -----------------------------------------------------------------------------------------------

select tests.authenticate_as('neighbour');
select throws_ok($$select public.remove_file(tests.kept('contract_id')::uuid)$$, 'PT404', 'file_not_found', 'a reader removes nothing');
select tests.authenticate_as('manager');
select throws_ok($$select public.remove_file(tests.kept('invoice_id')::uuid)$$, 'PT409', 'file_retained', 'what is kept for years is not removed before');
select tests.as_studio();
select throws_ok($$delete from storage.objects where name = tests.kept('invoice')$$, '42501', 'file_retained', 'with the secret key neither');
select is((select f.removable_on - (now() at time zone 'Europe/Sofia')::date between 3650 and 3654 from public.files f where f.path = tests.kept('invoice')), true, 'it is kept for ten years of the community''s days');
select tests.authenticate_as('owner');
select lives_ok($$select public.remove_file(tests.kept('contract_id')::uuid)$$, 'the owner removes the own file');
select is(pg_temp.readable(), 'notice', 'and at once it is gone for the owner');
select tests.authenticate_as('manager');
select is(pg_temp.readable(), 'invoice, notice', 'and for everybody');
select tests.as_studio();
delete from storage.objects where name = tests.kept('contract');
select is((select row(f.status, f.content_removed_at is not null)::text from public.files f where f.path = tests.kept('contract')), '(removed,t)', 'the register notes when the content is gone');
select is((select count(*) from app.outbox o where o.topic = 'file.removed' and o.payload ->> 'path' = tests.kept('contract')), 1::bigint, 'whoever removes the content is told once');

set local session_replication_role = replica;
update public.files set expires_on = (now() at time zone 'Europe/Sofia')::date where path = tests.kept('notice');
set local session_replication_role = origin;
select tests.authenticate_as('owner');
select pg_temp.register('late', 'home', 'member.document');
select tests.as_studio();
set local session_replication_role = replica;
update public.files set created_at = now() - interval '25 hours' where path = tests.kept('late');
set local session_replication_role = origin;
select tests.authenticate_as('owner');
select throws_ok($$select pg_temp.try('vicinia-documents', tests.kept('late'))$$, '42501', null, 'a registration ends after a day');
select tests.as_studio();
select app.job_file_retention();
select is(
  (select array_agg(f.status order by f.path = tests.kept('late')) from public.files f where f.path in (tests.kept('notice'), tests.kept('late'))), '{removed,removed}'::public.file_status[],
  'the job removes what has expired, and registrations that nobody uploaded to');

select tests.authenticate_as('owner');
select pg_temp.register('open_' || n, 'home', 'member.document') from generate_series(1, 50) n;
select throws_ok($$select pg_temp.register('x', 'home', 'member.document')$$, 'PT429', 'too_many_uploads', 'nobody registers without end');

select * from finish();
rollback;
