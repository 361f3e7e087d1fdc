-- Requests, holds, exports, erasures and merges of people: who may, what is refused, and that a refusal changes nothing.
-- That every registered table is exported, erased and merged is proved table by table in tests/api/privacy-registry.test.ts.

begin;
select plan(100);

select tests.create_community('Alder');
select tests.create_community('Birch');
select tests.create_unit('A1', 'Alder');
select tests.create_unit('A2', 'Alder');
select tests.create_unit('B1', 'Birch');
select tests.create_supabase_user('ana');
select tests.create_supabase_user('boris');
select tests.create_supabase_user('manager');
select tests.create_supabase_user('foreign manager');
select tests.create_supabase_user('guard');
select tests.create_resident('Ana', 'Alder', tests.email('ana'));
select tests.create_resident('Ana in Birch', 'Birch', tests.email('ana'));
select tests.create_resident('Boris', 'Alder', tests.email('boris'));
select tests.occupy('Ana', 'A1', 'owner', '2020-01-01');
select tests.occupy('Boris', 'A1', 'owner', '2020-01-01');
select tests.occupy('Ana in Birch', 'B1', 'tenant', '2020-01-01');
select tests.grant_role('manager', 'manager', community => 'Alder');
select tests.grant_role('foreign manager', 'manager', community => 'Birch');
select tests.grant_role('guard', 'guard', community => 'Alder');
update public.resident_details set phone = '+359 88 111 2222', note = 'Alder note on Ana' where resident_id = tests.id('Ana');
update public.resident_details set note = 'Birch note on Ana' where resident_id = tests.id('Ana in Birch');
update public.resident_details set note = 'Note on Boris' where resident_id = tests.id('Boris');
insert into public.invitations (id, email, role_id, community_id)
select tests.id('invitation of Ana'), tests.email('ana'), r.id, tests.id('Alder') from public.roles r where r.key = 'guard';
insert into public.invitations (id, phone, role_id, community_id)
select tests.id('call to ' || c.name), c.phone, r.id, tests.id('Alder')
from public.roles r cross join (values ('Ana', '359881112222'), ('two', '359881113333')) c (name, phone) where r.key = 'guard';

create function pg_temp.export(resident text default null) returns text language sql as $$ select public.export_personal_data(tests.id(resident))::text $$;
grant execute on function pg_temp.export(text) to authenticated;

-- Requests -----------------------------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
select lives_ok($$select tests.keep('request', public.request_privacy('erase', tests.id('Alder')))$$, 'a resident asks to be erased');
select is((select due_on - current_date from public.privacy_requests where id = tests.kept('request')::uuid), 30, 'and is answered within 30 days');
select throws_ok($$select public.request_privacy('erase', tests.id('Alder'))$$, 'PT409', 'request_open', 'one open request of a kind');
select throws_ok($$select public.request_privacy('rectify', tests.id('Alder'))$$, 'PT422', 'invalid_value', 'a correction says what is wrong');
select throws_ok($$select public.request_privacy('export', resident_id => tests.id('Boris'))$$, 'PT403', 'permission_denied', 'nobody asks for the neighbour');
select throws_ok($$select public.resolve_privacy_request(tests.kept('request')::uuid, 'done')$$, 'PT404', 'request_not_found', 'nobody answers the own request');
select throws_ok($$update public.privacy_requests set status = 'done'$$, '42501', null, 'nor writes its state');

select tests.authenticate_as('boris');
select is(tests.seen('public.privacy_requests', 'kind'), 'nothing', 'a neighbour sees no request');
select throws_ok($$select public.withdraw_privacy_request(tests.kept('request')::uuid)$$, 'PT404', 'request_not_found', 'and withdraws none');
select tests.authenticate_as('manager');
select tests.keep('recorded', public.request_privacy('export', resident_id => tests.id('Ana'), details => 'By letter'));
select tests.authenticate_as('boris');
select throws_ok($$select public.withdraw_privacy_request(tests.kept('recorded')::uuid)$$, 'PT404', 'request_not_found', 'nor one that the management recorded, which names no user');
select tests.authenticate_as('foreign manager');
select throws_ok($$select public.resolve_privacy_request(tests.kept('request')::uuid, 'refused', 'No')$$, 'PT404', 'request_not_found', 'nor does the manager of another community answer it');

select tests.authenticate_as('manager');
select throws_ok($$select public.resolve_privacy_request(tests.kept('request')::uuid, 'refused')$$, 'PT422', 'reason_required', 'a refusal has a reason');
select throws_ok($$select public.resolve_privacy_request(tests.kept('request')::uuid, 'done')$$, 'PT409', 'erasure_outstanding', 'an erasure is not done by saying so');
select throws_ok($$select public.withdraw_privacy_request(tests.kept('request')::uuid)$$, 'PT403', 'permission_denied', 'the management withdraws for nobody who asked themselves');
select tests.as_studio();
select is((select status::text from public.privacy_requests where id = tests.kept('request')::uuid), 'requested', 'and the request is as before');
set local session_replication_role = replica;
update public.privacy_requests set due_on = current_date - 1 where id = tests.kept('request')::uuid;
set local session_replication_role = origin;
select tests.authenticate_as('manager');
select is((select person || ' ' || is_overdue from public.privacy_requests_overview where request_id = tests.kept('request')::uuid), 'Ana true', 'the overview names who waits too long');

-- Exporting ----------------------------------------------------------------------------------------------------------

select tests.authenticate_as('ana');
select tests.keep('own', pg_temp.export());
select ok(tests.kept('own') like '%Alder note on Ana%' and tests.kept('own') like '%Birch note on Ana%' and tests.kept('own') like '%+359 88 111 2222%',
  'one''s own export covers every community');
select ok(tests.kept('own') !~ 'Boris|boris', 'and nothing of the co-owner');
select ok(tests.kept('own')::jsonb -> 'data' @> '[{"table": "resident_details"}]' and tests.kept('own') like '%How to reach a resident%', 'each table is headed by its comment');
select throws_ok($$select public.export_personal_data(tests.id('Boris'))$$, 'PT403', 'permission_denied', 'nobody exports the neighbour');
select tests.authenticate_as('guard');
select throws_ok($$select public.export_personal_data(tests.id('Ana'))$$, 'PT403', 'permission_denied', 'a guard exports nobody');
select tests.authenticate_as('foreign manager');
select throws_ok($$select public.export_personal_data(tests.id('Ana'))$$, 'PT403', 'permission_denied', 'nor does the manager of another community');
select tests.authenticate_as('manager');
select tests.keep('told', pg_temp.export('Ana'));
select ok(tests.kept('told') like '%Alder note on Ana%' and tests.kept('told') !~ 'Birch note|Boris|boris', 'a manager exports a resident of the own community, and nothing from elsewhere');
select tests.as_studio();
select is((select count(*) from audit.log where action = 'PERSONAL_DATA_EXPORTED' and row_id = tests.id('Ana') and actor_id = tests.id('manager')), 1::bigint, 'that it was handed out is logged');

-- Holds --------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select throws_ok($$select public.place_hold('Act', tests.id('Ana in Birch'))$$, 'PT403', 'permission_denied', 'a hold is placed where one manages');
select throws_ok($$select public.place_hold(null, tests.id('Ana'))$$, 'PT422', 'reason_required', 'for a reason');
select throws_ok($$select public.place_hold('Act', null, tests.id('Alder'), tests.id('foreign manager'))$$, 'PT404', 'user_not_found', 'on nobody who has nothing to do with the community');
select tests.keep('hold', public.place_hold('Accounting act, article 12', tests.id('Ana'), until_on => '2099-12-31'));
select throws_ok($$select public.erase_personal_data(tests.id('Ana'), 'Asked for')$$, 'PT409', 'resident_present', 'who owns is not erased');
select tests.as_studio();
update public.occupancies set ends_on = current_date - 1 where resident_id = tests.id('Ana');
select tests.authenticate_as('manager');
select throws_matching($$select public.erase_personal_data(tests.id('Ana'), 'Asked for')$$, 'retention_hold', 'within a hold nobody is erased');
do $do$
declare
  told text;
begin
  perform public.erase_personal_data(tests.id('Ana'), 'Asked for');
exception when sqlstate 'PT409' then
  get stacked diagnostics told = pg_exception_detail;
  perform tests.keep('told_hold', told);
end;
$do$;
select is(tests.kept('told_hold'), 'Accounting act, article 12. Kept until 2099-12-31.', 'and the refusal tells why and until when');
select tests.as_studio();
select is((select full_name || coalesce(erased_at::text, '') from public.residents where id = tests.id('Ana')), 'Ana', 'nothing has changed');
select is((select note from public.resident_details where resident_id = tests.id('Ana')), 'Alder note on Ana', 'nor in the details');
select tests.authenticate_as('ana');
select is((select reason from public.retention_holds), 'Accounting act, article 12', 'the person sees the hold');
select throws_ok($$select public.lift_hold(tests.kept('hold')::uuid, 'Please')$$, 'PT404', 'hold_not_found', 'and does not lift it');
select tests.authenticate_as('boris');
select is(tests.seen('public.retention_holds', 'reason'), 'nothing', 'a neighbour sees none');
select tests.authenticate_as('manager');
select lives_ok($$select public.lift_hold(tests.kept('hold')::uuid, 'Time is up')$$, 'the management lifts it');

-- Erasing ------------------------------------------------------------------------------------------------------------

select throws_ok($$select public.erase_personal_data(tests.id('Ana'), ' ')$$, 'PT422', 'reason_required', 'an erasure has a reason');
select tests.authenticate_as('foreign manager');
select throws_ok($$select public.erase_personal_data(tests.id('Ana'), 'Spite')$$, 'PT403', 'permission_denied', 'the manager of another community erases nobody here');
select tests.authenticate_as('boris');
select throws_ok($$select public.erase_personal_data(tests.id('Ana'), 'Spite')$$, 'PT403', 'permission_denied', 'nor does a neighbour');
select tests.authenticate_as('manager');
select is(public.erase_personal_data(tests.id('Ana'), 'Asked for in writing') ->> 'changed', 'true', 'the management erases who has moved out');
select is(public.erase_personal_data(tests.id('Ana'), 'Asked for in writing') ->> 'changed', 'false', 'once');
select tests.as_studio();
select is((select row(full_name, user_id, reference)::text from public.residents where id = tests.id('Ana')), '("Erased person",,)', 'the record says nothing of anybody, and the account is not linked');
select is((select count(*) from public.resident_details where resident_id = tests.id('Ana')), 0::bigint, 'details are gone');
select is((select count(*) from public.occupancies where resident_id = tests.id('Ana') and deleted_at is null), 1::bigint, 'who owned when can be counted');
select is((select email from public.invitations where id = tests.id('invitation of Ana')), 'erased-' || tests.id('invitation of Ana') || '@erased.invalid', 'an invitation forgets the address, frozen as it is');
select is((select row(email, phone)::text from public.invitations where id = tests.id('call to Ana')), row('erased-' || tests.id('call to Ana') || '@erased.invalid', null)::text, 'and one to a number forgets the number');
select is((select phone from public.invitations where id = tests.id('call to two')), '359881113333', 'but no other');
select is((select count(*) from audit.log where changes::text like '%359881112222%'), 0::bigint, 'nor does the audit remember it');
select is((select status::text from public.privacy_requests where id = tests.kept('request')::uuid), 'done', 'the request is answered');
select is((select count(*) from audit.log where changes::text ~ 'Alder note on Ana|111 2222' or (row_id = tests.id('Ana') and changes::text ~ '"Ana"')), 0::bigint, 'the audit forgets');
select ok((select bool_or(l.changes::jsonb ? 'note') from audit.log l where l.changes::text like '%erased%' and l.table_id = 'public.resident_details'::regclass and l.operation = 'update'),
  'and still tells that something changed');
select throws_ok($$insert into public.resident_details (community_id, resident_id, note) values (tests.id('Alder'), tests.id('Ana'), 'It was Ana')$$, 'PT409', 'resident_erased', 'nothing is written about somebody who was erased');
select throws_ok($$update public.residents set full_name = 'Ana' where id = tests.id('Ana')$$, 'PT409', 'resident_erased', 'nor the name into the record');
select is((select note from public.resident_details where resident_id = tests.id('Ana in Birch')), 'Birch note on Ana', 'the other community''s record is as before');
select is((select count(*) from public.profiles where id = tests.id('ana')), 1::bigint, 'so is the account');
select is((select note from public.resident_details where resident_id = tests.id('Boris')), 'Note on Boris', 'and the neighbour');
select is((select payload from app.outbox where topic = 'resident.erased'), jsonb_build_object('resident_id', tests.id('Ana')), 'an event tells of it by id');

-- What happened to an account --------------------------------------------------------------------------------------------

select tests.as_studio();
insert into auth.sessions (id, user_id, ip, user_agent)
select tests.id('session of ' || u), tests.id(u), case u when 'ana' then '203.0.113.7' else '203.0.113.8' end::inet, 'Agent of ' || u from unnest(array['ana', 'boris']) u;
insert into private.session_origins (session_id, user_id, device_name, address, city)
select tests.id('session of ' || u), tests.id(u), 'Phone of ' || u, case u when 'ana' then '203.0.113.7' else '203.0.113.8' end::inet, 'Town of ' || u from unnest(array['ana', 'boris']) u;
insert into audit.security_events (kind, user_id, actor_id, note) values
  ('session_ended', tests.id('ana'), tests.id('manager'), 'Ended for ana'), ('assurance_changed', tests.id('ana'), null, 'aal2'), ('session_ended', tests.id('boris'), null, 'Ended for boris');
create function pg_temp.told(export text, table_name text) returns text language sql as $$
  select d ->> 'rows' from jsonb_array_elements(export::jsonb -> 'data') d where d ->> 'table' = table_name
$$;
grant execute on function pg_temp.told(text, text) to authenticated;
select tests.authenticate_as('ana');
select tests.keep('own', pg_temp.export());
select ok(pg_temp.told(tests.kept('own'), 'session_origins') like '%Phone of ana%' and pg_temp.told(tests.kept('own'), 'session_origins') like '%Town of ana%', 'a user is told what is known of the own devices');
select ok(pg_temp.told(tests.kept('own'), 'security_events') like '%203.0.113.7%' and pg_temp.told(tests.kept('own'), 'security_events') like '%Agent of ana%' and pg_temp.told(tests.kept('own'), 'security_events') like '%Ended for ana%',
  'and of the security events');
select ok(tests.kept('own') !~ 'of boris|203.0.113.8|for boris' and tests.kept('own') not like '%' || tests.id('manager') || '%', 'and of nobody else''s, nor who ended a session');
select tests.authenticate_as('manager');
select ok(pg_temp.told(pg_temp.export('Boris'), 'residents') like '%Boris%' and pg_temp.export('Boris') !~ 'of boris|203.0.113|for boris', 'a community is told none of it');
select tests.as_studio();
select throws_ok($$select app.erase_security_events(tests.id('ana'), ' ')$$, 'PT422', 'reason_required', 'the log is erased for a reason');
select throws_ok($$update audit.security_events set address = null$$, 'PT409', 'append_only', 'and in no other way');
select is((select count(*) from audit.security_events where user_id = tests.id('ana') and address = '203.0.113.7'), 2::bigint, '(nothing has changed)');
select tests.keep('events', (select count(*) from audit.security_events where user_id = tests.id('ana')));
select tests.keep('of_boris', (select jsonb_agg(to_jsonb(e) order by e.id)::text from audit.security_events e where e.user_id = tests.id('boris')));

-- A number of two ----------------------------------------------------------------------------------------------------

select tests.create_resident(r, 'Alder') from unnest(array['Fay', 'Gil']) r;
insert into public.resident_details (community_id, resident_id, phone) select tests.id('Alder'), tests.id(r), '+359 88 111 3333' from unnest(array['Fay', 'Gil']) r;
select public.erase_personal_data(tests.id('Fay'), 'Asked for');
select is((select phone from public.invitations where id = tests.id('call to two')), '359881113333', 'what went to a number that a housemate has too is not of the one who is erased');
select public.erase_personal_data(tests.id('Gil'), 'Asked for');
select is((select phone from public.invitations where id = tests.id('call to two')), null, 'but of the last who has it');

-- The own account ----------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select throws_ok($$select public.erase_my_account('yes')$$, 'PT422', 'confirmation_differs', 'nobody erases the own account by mistake');
select throws_ok(format('select public.erase_my_account(%L)', tests.email('manager')), 'PT409', 'last_administrator', 'the last administrator stays');
select tests.as_studio();
select is((select count(*) from public.profiles where id = tests.id('manager')), 1::bigint, 'with the account');
select tests.authenticate_as('ana');
select lives_ok(format('select public.erase_my_account(%L)', upper(tests.email('ana'))), 'everybody else may go');
select tests.as_studio();
select is((select count(*) from auth.users where id = tests.id('ana')) + (select count(*) from public.profiles where id = tests.id('ana')), 0::bigint, 'the account is gone');
select is((select row(full_name, user_id)::text from public.residents where id = tests.id('Ana in Birch')), '("Ana in Birch",)', 'the record of a community that was not asked stays, unlinked');
select is((select count(*) from audit.log where table_id = 'public.profiles'::regclass and row_id = tests.id('ana') and changes::text like '%' || tests.email('ana') || '%'), 0::bigint, 'the audit forgets the address');

select is((select count(*) from private.session_origins where user_id = tests.id('ana')), 0::bigint, 'devices go with it');
select is((select count(*) from audit.security_events where user_id = tests.id('ana') and (num_nonnulls(address, user_agent, country, region, city) > 0 or note <> 'aal2')), 0::bigint, 'of security events the addresses, devices and notes');
select ok((select count(*) from audit.security_events where user_id = tests.id('ana')) >= tests.kept('events')::bigint, 'and that they happened stays');
select is((select jsonb_agg(to_jsonb(e) order by e.id)::text from audit.security_events e where e.user_id = tests.id('boris')), tests.kept('of_boris'), 'nobody else''s change');
select is((select row(note, changes::jsonb ->> 'user_id')::text from audit.log where action = 'SECURITY_EVENTS_ERASED'), row('Asked for by the user.', tests.id('ana'))::text, 'the audit log tells that they were erased');
select throws_ok($$delete from audit.security_events$$, 'PT409', 'append_only', 'and the log is append-only again');

-- Merging ------------------------------------------------------------------------------------------------------------

select tests.create_resident('Boris again', 'Alder');
insert into public.resident_details (community_id, resident_id, phone, note) values (tests.id('Alder'), tests.id('Boris again'), '+359 88 333 4444', 'Second note');
select tests.occupy('Boris again', 'A1', 'owner', '2018-01-01', '2022-12-31');
select tests.occupy('Boris again', 'A2', 'owner', '2021-01-01');
select tests.create_unit('A3', 'Alder');
insert into public.occupancies (community_id, unit_id, resident_id, role, ownership_share, starts_on)
select tests.id('Alder'), tests.id('A3'), r.id, 'owner', 50, '2021-01-01' from public.residents r where r.id in (tests.id('Boris'), tests.id('Boris again'));
select tests.authenticate_as('foreign manager');
select throws_ok($$select public.merge_residents(tests.id('Boris'), tests.id('Boris again'), 'Spite')$$, 'PT403', 'permission_denied', 'nobody merges elsewhere');
select tests.authenticate_as('manager');
select throws_ok($$select public.merge_residents(tests.id('Boris'), tests.id('Ana in Birch'), 'Twice')$$, 'PT404', 'resident_not_found', 'two communities'' residents are two');
select throws_ok($$select public.merge_residents(tests.id('Boris'), tests.id('Ana'), 'Twice')$$, 'PT409', 'resident_erased', 'who was erased is nobody');
select is(public.merge_residents(tests.id('Boris'), tests.id('Boris again'), 'Entered twice') ->> 'changed', 'true', 'two records of one person become one');
select tests.as_studio();
select is((select string_agg(u.number || ' ' || o.starts_on || ' ' || coalesce(o.ends_on::text, '-'), ', ' order by u.number)
  from public.occupancies o join public.units u on u.id = o.unit_id where o.resident_id = tests.id('Boris') and o.deleted_at is null),
  'A1 2018-01-01 -, A2 2021-01-01 -, A3 2021-01-01 -', 'history follows, and what was entered twice is one row of all the days');
select is((select ownership_share from public.occupancies where unit_id = tests.id('A3') and deleted_at is null), 100::numeric, 'two halves are the whole');
select is((select phone || ', ' || note || ', ' || email from public.resident_details where resident_id = tests.id('Boris') and deleted_at is null), '+359 88 333 4444, Note on Boris, ' || tests.email('boris'),
  'what the record lacked comes along, what it had stays');
select is((select row(merged_into_id, user_id, deleted_at is null)::text from public.residents where id = tests.id('Boris again')), row(tests.id('Boris'), null, false)::text, 'the duplicate is archived and points to the other');
select throws_ok($$update public.residents set deleted_at = null where id = tests.id('Boris again')$$, 'PT409', 'resident_merged', 'and does not come back');

-- A suspension follows -------------------------------------------------------------------------------------------------

select tests.create_supabase_user('clara');
select tests.create_supabase_user('dora');
select tests.create_supabase_user('clerk');
select tests.create_resident('Clara', 'Alder', tests.email('clara'));
select tests.create_resident('Clara again', 'Alder');
select tests.create_resident('Dora', 'Alder');
select tests.create_resident('Dora again', 'Alder', tests.email('dora'));
select tests.create_resident('Emil', 'Alder');
select tests.create_resident('Emil again', 'Alder');
select tests.occupy('Clara', 'A1', 'tenant', '2024-01-01'), tests.occupy('Dora again', 'A1', 'family', '2024-01-01');
select tests.occupy('Emil', 'A1', 'family', '2020-01-01', '2020-12-31');
insert into public.roles (id, key, name, level, community_id) values (tests.id('clerk'), 'clerk', 'Clerk', 'community', tests.id('Alder'));
insert into public.role_permissions (role_id, permission_key) values (tests.id('clerk'), 'residents.manage'), (tests.id('clerk'), 'residents.archive'), (tests.id('clerk'), 'residents.read');
select tests.grant_role('clerk', 'clerk', community => 'Alder');
select tests.authenticate_as('manager');
select public.suspend_resident(tests.id(r), 'Lends the key to strangers') from unnest(array['Clara again', 'Dora', 'Emil again']) r;
select tests.authenticate_as('clara');
select is(tests.seen('public.units', 'number'), 'A1', '(Clara sees her unit)');
select tests.as_studio();
select tests.keep('token', tests.claims('clara'));
select tests.keep('token_of_dora', tests.claims('dora'));

select tests.authenticate_as('clerk');
select throws_ok($$select public.merge_residents(tests.id('Clara'), tests.id('Clara again'), 'Entered twice')$$, 'PT403', 'permission_denied', 'who may suspend nobody merges no suspension into a record');
select is((select onboarding || ' ' || (merged_into_id is null) from public.residents where id = tests.id('Clara')), 'registered true', 'which is as before');
select is(public.merge_residents(tests.id('Dora'), tests.id('Dora again'), 'Entered twice') ->> 'changed', 'true', 'and merges into one that is suspended');
select tests.authenticate_as('manager');
select is(public.merge_residents(tests.id('Clara'), tests.id('Clara again'), 'Entered twice') ->> 'changed', 'true', 'a suspended duplicate is merged');
select is(public.merge_residents(tests.id('Emil'), tests.id('Emil again'), 'Entered twice') ->> 'changed', 'true', '(also into one who has moved out)');
select is((select string_agg(full_name || ' ' || onboarding, ', ' order by full_name) from public.residents where id in (tests.id('Clara'), tests.id('Dora'), tests.id('Emil'))),
  'Clara suspended, Dora suspended, Emil suspended', 'who was suspended in either record is suspended');
select tests.authenticate_with(tests.kept('token')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'and has no access by the record that stays, with a token from before');
select tests.authenticate_with(tests.kept('token_of_dora')::jsonb);
select is(tests.seen('public.units', 'number'), 'nothing', 'nor by an account that came along');
select tests.as_studio();
select is((select note from audit.log where row_id = tests.id('Clara') and changes::jsonb #>> '{onboarding,1}' = 'suspended'), 'Entered twice', 'the step is in the audit log, with the reason of the merge');
update public.occupancies set ends_on = null where resident_id = tests.id('Emil');
select is((select onboarding::text from public.residents where id = tests.id('Emil')), 'suspended', 'moving in again does not lift it');
select tests.authenticate_as('manager');
select public.resume_resident(tests.id('Clara'));
select tests.authenticate_as('clara');
select is(tests.seen('public.units', 'number'), 'A1', 'resume_resident does');
select tests.as_studio();

select * from finish();
rollback;
