-- A user becomes a resident by an address that Auth has verified, never by one that was only typed.

begin;
select plan(16);

select tests.create_community('Alder'), tests.create_community('Birch');
create function pg_temp.linked(resident text) returns uuid language sql as $$ select user_id from public.residents where id = tests.id(resident) $$;

select tests.create_resident('Ana', 'Alder', 'ana@mail.example');
select tests.create_supabase_user('ana', 'ana@mail.example', confirmed => false);
select is(pg_temp.linked('Ana'), null, 'an address that was only typed links nobody');
update auth.users set email_confirmed_at = now() where id = tests.id('ana');
select is(pg_temp.linked('Ana'), tests.id('ana'), 'once it is confirmed it links the resident');

select tests.create_supabase_user('boris', 'Boris@Mail.example');
select tests.create_resident('Boris', 'Alder', 'boris@mail.EXAMPLE');
select is(pg_temp.linked('Boris'), tests.id('boris'), 'a resident entered later is linked at once, in whichever case the address was typed');
select tests.create_resident('Boris in Birch', 'Birch', 'boris@mail.example');
select is(pg_temp.linked('Boris in Birch'), tests.id('boris'), 'one user may be a resident of several communities');
select tests.create_resident('Boris twice', 'Alder', 'boris@mail.example');
select is(pg_temp.linked('Boris twice'), null, 'but one resident of each');

insert into public.residents (id, community_id, full_name, kind) values (tests.id('Firm'), tests.id('Alder'), 'Firm', 'company');
insert into public.resident_details (community_id, resident_id, email) values (tests.id('Alder'), tests.id('Firm'), 'boris@mail.example');
select is(pg_temp.linked('Firm'), null, 'a company is nobody''s account');

-- A change of address --------------------------------------------------------------------------------------------------

select tests.create_resident('Clara', 'Alder', 'clara@new.example');
select tests.create_supabase_user('clara', 'clara@old.example');
select is(pg_temp.linked('Clara'), null, '(Clara signs in with another address)');
update auth.users set email_change = 'clara@new.example' where id = tests.id('clara');
select is(pg_temp.linked('Clara'), null, 'an address that is yet to be confirmed links nobody');
update auth.users set email = 'clara@new.example', email_change = '' where id = tests.id('clara');
select is(pg_temp.linked('Clara'), tests.id('clara'), 'a change that is confirmed links');

update public.resident_details set email = 'somebody.else@mail.example' where resident_id = tests.id('Clara');
select is(pg_temp.linked('Clara'), null, 'an address that was a mistake and is corrected takes the link from the wrong user');

select tests.create_supabase_user('mallory', 'mallory@mail.example');
update auth.users set raw_user_meta_data = '{"email": "ana@mail.example", "email_verified": true}' where id = tests.id('mallory');
select is(pg_temp.linked('Ana'), tests.id('ana'), 'what a user claims about the own address counts for nothing');

-- Nobody links by hand ---------------------------------------------------------------------------------------------------

select tests.create_supabase_user('manager');
select tests.grant_role('manager', 'manager', community => 'Alder');
select tests.authenticate_as('manager');
select throws_ok($$update public.residents set user_id = tests.id('manager') where id = tests.id('Ana')$$, '42501', null, 'not even a manager links a user by hand');
select throws_ok($$insert into public.residents (community_id, full_name, user_id) values (tests.id('Alder'), 'X', tests.id('mallory'))$$, '42501', null, 'nor enters one linked');
select tests.as_studio();

-- A link is access -------------------------------------------------------------------------------------------------------

select tests.create_unit('1', 'Alder');
select tests.occupy('Ana', '1', 'owner');
select tests.keep('token', tests.claims('ana'));
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), '1', '(Ana sees her unit)');
select tests.as_studio();
-- With the occupancy, which archiving refuses: access must not depend on that.
alter table public.residents disable trigger _040_archive;
update public.residents set deleted_at = now() where id = tests.id('Ana');
alter table public.residents enable trigger _040_archive;
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'a resident who is archived has no access, with a token from before');
select tests.as_studio();
update public.residents set deleted_at = null where id = tests.id('Ana');
delete from auth.users where id = tests.id('ana');
select is((select row(full_name, user_id, deleted_at)::text from public.residents where id = tests.id('Ana')), row('Ana', null::uuid, null::timestamptz)::text,
  'a user who deletes the account stays a resident');

select * from finish();
rollback;
