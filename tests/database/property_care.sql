-- Emergency contacts; and what is medical: encrypted, read by the person and by the responders of a running alert, and every reading logged.

begin;
select plan(88);

select tests.create_community('Alder'), tests.create_community('Birch');
select tests.create_supabase_user(u) from unnest(array['manager', 'guard', 'second guard', 'foreign guard', 'superadmin', 'ana', 'bob']) u;
select tests.grant_role('manager', 'manager', community => 'Alder');
select tests.grant_role('guard', 'guard', community => 'Alder'), tests.grant_role('second guard', 'guard', community => 'Alder');
select tests.grant_role('foreign guard', 'guard', community => 'Birch');
select tests.grant_role('superadmin', 'superadmin');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder');
select tests.create_resident('Ana', 'Alder', 'ana@test.example'), tests.create_resident('Bob', 'Alder', 'bob@test.example'), tests.create_resident('Old', 'Alder'), tests.create_resident('Far', 'Birch');
select tests.occupy('Ana', '1', 'owner'), tests.occupy('Bob', '1', 'family'), tests.occupy('Old', '2', 'tenant');

create function pg_temp.contacts(resident text) returns text language sql as $$
  select string_agg(e.priority || ' ' || e.full_name, ', ' order by e.priority) from public.emergency_contacts e where e.resident_id = tests.id(resident) and e.deleted_at is null $$;
create function pg_temp.add(identifier text, resident text) returns uuid language plpgsql as $$
begin
  perform tests.keep(replace(identifier, ' ', '_'), public.add_emergency_contact(tests.id(resident), identifier, '+359 88 555 0101', 'sister'));
  return tests.kept(replace(identifier, ' ', '_'))::uuid;
end $$;
create function pg_temp.reads(resident text) returns text language sql as $$
  select outcome || coalesce(': ' || medical_conditions, '') || coalesce(', ' || accessibility_needs, '') from public.read_medical(tests.id(resident), 'Test') $$;
create function pg_temp.logged() returns text language sql security definer as $$
  select string_agg(l.action || ' ' || coalesce(p.display_name, l.actor_label), ', ' order by l.id) from audit.log l left join public.profiles p on p.id = l.actor_id
  where l.action in ('MEDICAL_READ', 'MEDICAL_REFUSED') and l.id > tests.kept('since')::bigint $$;
create function pg_temp.forget_log() returns void language sql security definer as $$ select tests.keep('since', (select coalesce(max(l.id), 0) from audit.log l)) $$;
grant execute on all functions in schema pg_temp to authenticated, service_role;

-- Contacts -----------------------------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
select pg_temp.add('Mira', 'Ana'), pg_temp.add('Nora', 'Ana'), pg_temp.add('Olga', 'Ana');
select is(pg_temp.contacts('Ana'), '1 Mira, 2 Nora, 3 Olga', 'a resident names whom to call, in order');
select public.order_emergency_contacts(tests.id('Ana'), array[tests.kept('Olga'), tests.kept('Mira'), tests.kept('Nora')]::uuid[]);
select is(pg_temp.contacts('Ana'), '1 Olga, 2 Mira, 3 Nora', 'and puts them in another order in one step');
select throws_ok($$ select public.order_emergency_contacts(tests.id('Ana'), array[tests.kept('Olga'), tests.kept('Olga'), tests.kept('Nora')]::uuid[]) $$, 'PT422', 'invalid_value', 'naming each once');
select throws_ok($$ select public.add_emergency_contact(tests.id('Ana'), 'Petra', 'call me', 'sister') $$, 'PT422', 'invalid_value', 'what is no telephone number is refused');
select throws_ok($$ select public.add_emergency_contact(tests.id('Bob'), 'Petra', '+359 88 555 0101', 'sister') $$, 'PT403', 'permission_denied', 'nobody names contacts of a housemate');
select throws_ok($$ select public.add_emergency_contact(tests.id('Far'), 'Petra', '+359 88 555 0101', 'sister') $$, 'PT403', 'permission_denied', 'or of a resident elsewhere');
select throws_ok($$ update public.emergency_contacts set priority = 1 $$, '42501', null, 'an order is not written by hand');
update public.emergency_contacts set phone = '+359 88 555 0199' where id = tests.kept('Mira')::uuid;
select public.remove_emergency_contact(tests.kept('Olga')::uuid);
select is(pg_temp.contacts('Ana'), '1 Mira, 2 Nora', 'those after one who is removed move up');
select is((select phone from public.emergency_contacts where id = tests.kept('Mira')::uuid), '+359 88 555 0199', 'a number is corrected');
select count(pg_temp.add('Contact ' || i, 'Ana')) from generate_series(3, 10) i;
select throws_ok($$ select pg_temp.add('Eleven', 'Ana') $$, 'PT409', 'too_many_contacts', 'ten are enough');

select tests.authenticate_as('bob');
select is(pg_temp.contacts('Ana'), null, 'a housemate does not see them');
select throws_ok($$ select public.remove_emergency_contact(tests.kept('Mira')::uuid) $$, 'PT403', 'permission_denied', 'nor takes one away');
update public.emergency_contacts set phone = '+359 88 555 0666' where id = tests.kept('Mira')::uuid;
select tests.authenticate_as('foreign guard');
select is(pg_temp.contacts('Ana'), null, 'nor does the guard of another community');
select tests.authenticate_as('guard');
select is((select count(*) from public.emergency_contacts), 10::bigint, 'the guard sees whom to call');
update public.emergency_contacts set phone = '+359 88 555 0666' where id = tests.kept('Mira')::uuid;
select is((select phone from public.emergency_contacts where id = tests.kept('Mira')::uuid), '+359 88 555 0199', 'and changes nothing');
select tests.authenticate_as('manager');
select pg_temp.add('Niece', 'Old');
select is(pg_temp.contacts('Old'), '1 Niece', 'the management keeps them for who has no account');
select tests.as_studio();
select throws_ok($$ insert into public.emergency_contacts (full_name, community_id, resident_id, phone, relationship, priority) values ('X', tests.id('Alder'), tests.id('Old'), '+359 88 555 0101', 'x', 1) $$,
  '23P01', null, 'two contacts are not first, whoever writes them');

-- What is medical ----------------------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
select public.set_medical(tests.id('Ana'), 'Diabetes type 1', 'Wheelchair');
select pg_temp.forget_log();
select is(pg_temp.reads('Ana'), 'granted: Diabetes type 1, Wheelchair', 'the person reads what they told');
select is(pg_temp.logged(), 'MEDICAL_READ ana', 'and that is logged');
select throws_ok($$ select public.set_medical(tests.id('Ana'), repeat('x', 8001), null) $$, 'PT422', 'invalid_value', 'a text that is too long is refused');
select throws_ok($$ select public.set_medical(tests.id('Bob'), 'Nothing', null) $$, 'PT403', 'permission_denied', 'nobody writes it for somebody else');
select throws_ok('select * from private.medical_records', '42501', null, 'no user reads the ciphertext');

select tests.as_studio();
select is((select position('Diabetes' in convert_from(decode(regexp_replace(encode(ciphertext, 'escape'), '\\[0-7]{3}|\\\\', '', 'g'), 'escape'), 'SQL_ASCII')) from private.medical_records where resident_id = tests.id('Ana')), 0,
  'what is stored does not tell');
select ok((select extensions.pgp_key_id(ciphertext) = 'SYMKEY' from private.medical_records where resident_id = tests.id('Ana')), 'it is an OpenPGP message for a key');
select is_empty($$ select l.id from audit.log l where l::text ~ 'Diabetes|Wheelchair' union all select 0 from app.outbox o where o.payload::text ~ 'Diabetes|Wheelchair' $$, 'neither the audit log nor an event tells it');

-- Nobody else --------------------------------------------------------------------------------------------------------

select pg_temp.forget_log();
select tests.authenticate_as('bob');
select is(pg_temp.reads('Ana'), 'refused', 'a housemate is refused');
select tests.authenticate_as('guard');
select is(pg_temp.reads('Ana'), 'refused', 'a guard is, without an alert');
select tests.authenticate_as('manager');
select is(pg_temp.reads('Ana'), 'refused', 'the manager is');
select throws_ok($$ select public.set_medical(tests.id('Ana'), 'Nothing', null) $$, 'PT403', 'permission_denied', 'and does not write over what somebody with an account told');
select public.set_medical(tests.id('Old'), 'Heart', null);
select is(pg_temp.reads('Old'), 'refused', 'nor reads what the management wrote for somebody without');
select tests.authenticate_as('superadmin');
select is(pg_temp.reads('Ana'), 'refused', 'the superadministrator is refused');
select tests.authenticate_as_service_role();
select is(pg_temp.reads('Ana'), 'refused', 'the secret key is');
select throws_ok('select * from private.encryption_keys', '42501', null, 'and reads no key');
select throws_ok($$ select app.open_emergency_access(gen_random_uuid(), tests.id('Alder'), '{}', array[tests.id('Ana')], '{}', now() + interval '1 hour') $$, '42501', null, 'nor opens an emergency');
select tests.as_studio();
select is(pg_temp.reads('Ana'), 'refused', 'Studio is, by this door');
select is(pg_temp.logged(), 'MEDICAL_REFUSED bob, MEDICAL_REFUSED guard, MEDICAL_REFUSED manager, MEDICAL_REFUSED manager, MEDICAL_REFUSED superadmin, MEDICAL_REFUSED service_role, MEDICAL_REFUSED studio:postgres',
  'each refusal is logged with who it was');
select tests.authenticate_as('guard');
select is(pg_temp.reads('nobody at all'), 'refused', 'a resident who does not exist is answered in the same way');

-- While an alert runs ------------------------------------------------------------------------------------------------

select tests.as_studio();
select throws_ok($$ select app.open_emergency_access(tests.id('alert'), tests.id('Alder'), '{}', array[tests.id('Far')], '{}', now() + interval '1 hour') $$, 'PT422', 'invalid_value', 'an alert is about residents of its community');
select throws_ok($$ select app.open_emergency_access(tests.id('alert'), tests.id('Alder'), '{}', '{}', '{}', now() + interval '1 hour') $$, 'PT422', 'invalid_value', 'and about somebody');
select throws_ok($$ select app.open_emergency_access(tests.id('alert'), tests.id('Alder'), '{}', array[tests.id('Ana')], '{}', now() + interval '2 days') $$, 'PT422', 'invalid_value', 'for a day at most');
select app.open_emergency_access(tests.id('alert'), tests.id('Alder'), array[tests.id('1')], '{}', array[tests.id('guard'), tests.id('foreign guard')], now() + interval '1 hour');
select throws_ok($$ select app.open_emergency_access(tests.id('alert'), tests.id('Alder'), array[tests.id('1')], '{}', '{}', now() + interval '1 hour') $$, 'PT409', 'emergency_opened', 'once');
select tests.authenticate_as('guard');
select is(pg_temp.reads('Ana'), 'granted: Diabetes type 1, Wheelchair', 'a responder reads of who lives in the unit');
select is(pg_temp.reads('Bob'), 'granted', 'also that somebody told nothing');
select is(pg_temp.reads('Old'), 'refused', 'and of nobody else');
select tests.authenticate_as('second guard');
select is(pg_temp.reads('Ana'), 'refused', 'a guard who does not respond is refused');
select tests.authenticate_as('foreign guard');
select is(pg_temp.reads('Ana'), 'refused', 'and so is a responder who has nothing to do with the community');
select tests.as_studio();
select app.add_emergency_responder(tests.id('alert'), tests.id('second guard'));
select tests.authenticate_as('second guard');
select is(pg_temp.reads('Ana'), 'granted: Diabetes type 1, Wheelchair', 'until made a responder');
select tests.as_studio();
select app.close_emergency_access(tests.id('alert'));
select tests.authenticate_as('guard');
select is(pg_temp.reads('Ana'), 'refused', 'once the alert is closed, nobody reads');
select tests.as_studio();
select app.open_emergency_access(tests.id('second alert'), tests.id('Alder'), '{}', array[tests.id('Ana')], array[tests.id('guard')], now() + interval '1 hour');
update private.emergency_access set opened_at = now() - interval '2 hours', ends_at = now() - interval '1 second' where alert_id = tests.id('second alert');
select tests.authenticate_as('guard');
select is(pg_temp.reads('Ana'), 'refused', 'nor when it has run out');

select tests.authenticate_as('ana');
select results_eq($$ select user_name, reason from public.medical_reads() where action = 'MEDICAL_READ' and alert_id = tests.id('alert') order by user_name $$,
  $$ values ('guard', 'Test'), ('second guard', 'Test') $$, 'the person sees who read, why, and in which alert');
select tests.authenticate_as('bob');
select is((select string_agg(distinct resident_id::text, ', ') from public.medical_reads()), tests.id('Bob')::text, 'and nobody sees who read of somebody else');

-- Keys ---------------------------------------------------------------------------------------------------------------

select tests.as_studio();
select tests.keep('ciphertext', (select ciphertext from private.medical_records where resident_id = tests.id('Ana')));
update private.medical_records set ciphertext = (select m.ciphertext from private.medical_records m where m.resident_id = tests.id('Old')) where resident_id = tests.id('Ana');
select tests.authenticate_as('ana');
select throws_ok($$ select pg_temp.reads('Ana') $$, 'PT409', 'medical_unreadable', 'a record that was swapped with another''s opens for nobody');
select tests.as_studio();
update private.medical_records set ciphertext = tests.kept('ciphertext')::bytea where resident_id = tests.id('Ana');

-- A Vault as Supabase has it: a function, a table, a view.
create schema vault;
create table vault.secrets (id uuid primary key default gen_random_uuid(), name text, secret text);
create view vault.decrypted_secrets as select id, name, secret as decrypted_secret from vault.secrets;
create function vault.create_secret(new_secret text, new_name text, new_description text) returns uuid language sql as $$ insert into vault.secrets (name, secret) values (new_name, new_secret) returning id $$;
select is(app.rotate_medical_key(), (select count(*)::integer from private.medical_records), 'a rotation encrypts every record anew');
select results_eq('select count(*), count(secret), count(vault_secret_id), count(retired_at) from private.encryption_keys', 'values (2::bigint, 0::bigint, 1::bigint, 1::bigint)',
  'under a key that is in Vault alone; the old one is destroyed');
select app.rotate_medical_key();
select is((select count(*) from vault.secrets), 1::bigint, 'in Vault too');
select tests.authenticate_as('ana');
select is(pg_temp.reads('Ana'), 'granted: Diabetes type 1, Wheelchair', 'and the person reads as before');
select public.set_medical(tests.id('Ana'), ' ', null);
select tests.as_studio();
select is((select count(*) from private.medical_records where resident_id = tests.id('Ana')), 0::bigint, 'what is taken away is gone');

-- Minors -------------------------------------------------------------------------------------------------------------------
-- Ana is guardian of Kim, Bob lives with them. Zoe is a neighbour and guardian of Max.

select tests.create_supabase_user('zoe', 'zoe@test.example');
select tests.create_resident('Zoe', 'Alder', 'zoe@test.example'), tests.create_resident('Kim', 'Alder'), tests.create_resident('Max', 'Alder');
select tests.occupy('Zoe', '2', 'owner'), tests.occupy('Kim', '1', 'family'), tests.occupy('Max', '2', 'family');
insert into public.resident_details (community_id, resident_id, born_on) select tests.id('Alder'), tests.id(r), current_date - 3000 from unnest(array['Kim', 'Max']) r;
update public.residents set guardian_id = tests.id('Ana') where id = tests.id('Kim');
update public.residents set guardian_id = tests.id('Zoe') where id = tests.id('Max');
select tests.authenticate_as('ana');
select pg_temp.add('Granny', 'Kim'), pg_temp.add('Uncle', 'Kim');
select public.order_emergency_contacts(tests.id('Kim'), array[tests.kept('Uncle'), tests.kept('Granny')]::uuid[]);
update public.emergency_contacts set phone = '+359 88 555 0177' where id = tests.kept('Granny')::uuid;
select is(pg_temp.contacts('Kim'), '1 Uncle, 2 Granny', 'a guardian keeps a minor''s contacts');
select is((select phone from public.emergency_contacts where id = tests.kept('Granny')::uuid), '+359 88 555 0177', 'and corrects them');
select public.set_medical(tests.id('Kim'), 'Asthma', null);
select is(pg_temp.reads('Kim'), 'granted: Asthma', 'and what is medical of the minor');
select is(pg_temp.reads('Max'), 'refused', 'but not of another child');
select throws_ok($$ select public.set_medical(tests.id('Max'), 'Nothing', null) $$, 'PT403', 'permission_denied', 'nor writes it');
select tests.authenticate_as('bob');
select is(pg_temp.contacts('Kim'), null, 'who lives with a child and is not the guardian sees no contacts');
select throws_ok($$ select public.add_emergency_contact(tests.id('Kim'), 'Petra', '+359 88 555 0101', 'sister') $$, 'PT403', 'permission_denied', 'adds none');
select throws_ok($$ select public.remove_emergency_contact(tests.kept('Uncle')::uuid) $$, 'PT403', 'permission_denied', 'takes none away');
update public.emergency_contacts set phone = '+359 88 555 0666' where id = tests.kept('Granny')::uuid;
select throws_ok($$ select public.set_medical(tests.id('Kim'), 'Nothing', null) $$, 'PT403', 'permission_denied', 'writes nothing of the health');
select is(pg_temp.reads('Kim'), 'refused', 'and reads nothing of it');
select tests.authenticate_as('zoe');
select is(pg_temp.reads('Kim') || coalesce(pg_temp.contacts('Kim'), ''), 'refused', 'nor does a neighbour who is guardian of another child');
select tests.authenticate_as('manager');
select is(pg_temp.reads('Kim'), 'refused', 'nor does the management');
select tests.authenticate_as('ana');
select is((select string_agg(action || ' ' || coalesce(user_name, '?'), ', ' order by at, user_name) from public.medical_reads() where resident_id = tests.id('Kim') and user_id in (tests.id('bob'), tests.id('zoe'))),
  'MEDICAL_REFUSED bob, MEDICAL_REFUSED zoe', 'the guardian sees who tried');
select is((select count(*) from public.medical_reads() where resident_id = tests.id('Max')), 0::bigint, 'of the own child alone');
select tests.as_studio();
select is((select string_agg(priority || ' ' || full_name || ' ' || phone, ', ' order by priority) from public.emergency_contacts where resident_id = tests.id('Kim') and deleted_at is null),
  '1 Uncle +359 88 555 0101, 2 Granny +359 88 555 0177', '(the contacts are as the guardian left them)');

-- A guardian who is barred, and a child who comes of age.
update public.residents set onboarding = 'suspended' where id = tests.id('Ana');
select tests.authenticate_as('ana');
select is(pg_temp.reads('Kim') || coalesce(pg_temp.contacts('Kim'), ''), 'refused', 'a guardian who is suspended reads nothing');
select throws_ok($$ select public.add_emergency_contact(tests.id('Kim'), 'Petra', '+359 88 555 0101', 'sister') $$, 'PT403', 'permission_denied', 'and adds nobody');
select tests.as_studio();
update public.residents set onboarding = 'registered' where id = tests.id('Ana');
select tests.authenticate_as('ana');
select is(pg_temp.reads('Kim'), 'granted: Asthma', '(let in again, the guardian does)');
select tests.as_studio();
set local session_replication_role = replica;
update public.resident_details set adult_on = (now() at time zone (select time_zone from public.communities where id = tests.id('Alder')))::date where resident_id = tests.id('Kim');
set local session_replication_role = origin;
select tests.authenticate_as('ana');
select is(pg_temp.reads('Kim') || coalesce(pg_temp.contacts('Kim'), ''), 'refused', 'on the day of coming of age what is theirs is theirs');
select throws_ok($$ select public.set_medical(tests.id('Kim'), 'Nothing', null) $$, 'PT403', 'permission_denied', 'nothing is written over it');
select throws_ok($$ select public.remove_emergency_contact(tests.kept('Uncle')::uuid) $$, 'PT403', 'permission_denied', 'and no contact is taken away');
select tests.as_studio();
select is((select app.decrypt_medical(m) ->> 'medical_conditions' from private.medical_records m where m.resident_id = tests.id('Kim')), 'Asthma', '(which stays)');

-- Two records of one person ----------------------------------------------------------------------------------------------

select tests.create_resident('Old again', 'Alder'), tests.create_resident('Old thrice', 'Alder');
select tests.authenticate_as('manager');
select public.add_emergency_contact(tests.id('Old again'), 'Niece again', '00359 (0)88 555-0101', 'niece'), public.add_emergency_contact(tests.id('Old again'), 'Doctor', '+359 2 555 0102', 'doctor');
select public.add_emergency_contact(tests.id('Old thrice'), 'Friend ' || n, '+359 88 777 01' || n, 'friend') from generate_series(10, 19) n;
select public.set_medical(tests.id('Old again'), 'Pacemaker', 'Wheelchair');
select public.merge_residents(tests.id('Old'), tests.id('Old again'), 'Entered twice');
select is(pg_temp.contacts('Old'), '1 Niece, 2 Doctor', 'of two records that are merged the contacts of both are called, one number once');
select public.merge_residents(tests.id('Old'), tests.id('Old thrice'), 'Entered again');
select is(pg_temp.contacts('Old'), '1 Niece, 2 Doctor, ' || (select string_agg(n - 7 || ' Friend ' || n, ', ' order by n) from generate_series(10, 17) n), 'ten at most');
select tests.as_studio();
select is((select string_agg(full_name, ', ' order by full_name) from public.emergency_contacts where resident_id = tests.id('Old') and deleted_at is not null), 'Friend 18, Friend 19', 'the others are archived');
select is((select app.decrypt_medical(m) from private.medical_records m where m.resident_id = tests.id('Old')), '{"medical_conditions": "Heart\nPacemaker", "accessibility_needs": "Wheelchair"}', 'what is medical of both is kept');
select is((select count(*) from private.medical_records where resident_id = tests.id('Old again')), 0::bigint, 'in one record');

-- Erasing ------------------------------------------------------------------------------------------------------------------

select is((select count(*) from audit.log where table_id = 'public.emergency_contacts'::regclass and changes::text ~ 'Doctor|Niece again|Friend'), 12::bigint, '(the audit log knows the contacts)');
update public.occupancies set starts_on = current_date - 9, ends_on = current_date - 2 where resident_id = tests.id('Old');
select tests.authenticate_as('manager');
select is(public.erase_personal_data(tests.id('Old'), 'Asked for') ->> 'changed', 'true', '(the person is erased)');
select tests.as_studio();
select is((select count(*) from public.emergency_contacts where resident_id = any (array[tests.id('Old'), tests.id('Old again'), tests.id('Old thrice')]))
  + (select count(*) from private.medical_records where resident_id = tests.id('Old')), 0::bigint, 'contacts and what is medical are gone, those of the duplicates too');
select is((select count(*) from audit.log where changes::text ~ 'Doctor|Niece|Friend'), 0::bigint, 'and the audit log forgets them');

select * from finish();
rollback;
