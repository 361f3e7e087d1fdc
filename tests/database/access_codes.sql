-- Entry codes: shown once, never two alike at one time, and not to be guessed.

begin;
select plan(41);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_unit('9', 'Cedar');
select tests.create_supabase_user(u) from unnest(array['tom', 'nina', 'guard', 'cedric']) u;
select tests.create_resident('Tom', 'Alder', tests.email('tom')), tests.create_resident('Nina', 'Alder', tests.email('nina')), tests.create_resident('Cedric', 'Cedar', tests.email('cedric'));
select tests.occupy('Tom', '1', 'tenant'), tests.occupy('Nina', '2', 'owner'), tests.occupy('Cedric', '9', 'owner');
select tests.grant_role('guard', 'guard', community => 'Alder');
insert into public.access_points (id, name, community_id, kind) values (tests.id('gate'), 'Gate', tests.id('Alder'), 'gate'), (tests.id('garage'), 'Garage', tests.id('Alder'), 'barrier');
insert into public.visitor_invitations (id, title, community_id, unit_id, host_resident_id, kind, starts_at, ends_at, guest_limit, max_entries, visitor_name) values
  (tests.id('fair'), 'Fair', tests.id('Alder'), tests.id('1'), tests.id('Tom'), 'event', now(), now() + interval '1 day', 10, null, null),
  (tests.id('next'), null, tests.id('Alder'), tests.id('1'), tests.id('Tom'), 'single', now() + interval '1 day', now() + interval '2 days', null, 1, 'Vera'),
  (tests.id('same'), null, tests.id('Alder'), tests.id('1'), tests.id('Tom'), 'single', now(), now() + interval '2 hours', null, 1, 'Vito'),
  (tests.id('there'), null, tests.id('Cedar'), tests.id('9'), tests.id('Cedric'), 'single', now(), now() + interval '1 day', null, 1, 'Vic');
insert into public.invitation_guests (id, full_name, community_id, invitation_id) values (tests.id('gil'), 'Gil', tests.id('Alder'), tests.id('fair'));

create function pg_temp.try(code text, point text default 'gate', device text default 'phone', moment timestamptz default now()) returns text language sql as
$$ select coalesce(c.reason, case when c.guest_id is not null then 'guest' else 'in' end) from app.check_entry_code(tests.id('Alder'), code, tests.id(point), tests.id(device), null, moment) c $$;
create function pg_temp.wrong(times integer, device text, point text default 'gate', moment timestamptz default now()) returns text language sql as
$$ select string_agg(distinct pg_temp.try('99999' || (n % 10), point, device, moment), ' ') from generate_series(1, times) n $$;

-- Issuing -------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('tom');
select tests.keep('fair', (select c.code from public.issue_entry_code(tests.id('fair')) c));
select matches(tests.kept('fair'), '^[0-9]{6}$', 'a code is six digits');
select tests.keep('gils', (select c.code from public.issue_entry_code(tests.id('fair'), tests.id('gil')) c));
select isnt(tests.kept('gils'), tests.kept('fair'), 'a guest has one of their own');
select throws_ok($$select public.issue_entry_code(tests.id('fair'), tests.id('tom'))$$, 'PT404', 'guest_not_found', 'who is on the list');
select throws_ok($$select * from private.entry_codes$$, '42501', null, 'nobody reads codes');
select tests.authenticate_as('nina');
select throws_ok($$select public.issue_entry_code(tests.id('fair'))$$, 'PT404', 'invitation_not_found', 'a neighbour issues none');
select tests.authenticate_as('guard');
select throws_ok($$select public.issue_entry_code(tests.id('fair'))$$, 'PT403', 'permission_denied', 'nor does a guard');
select throws_ok($$select public.revoke_entry_code(tests.id('fair'))$$, 'PT403', 'permission_denied', 'or takes one back');
select throws_ok($$select * from app.check_entry_code(tests.id('Alder'), '123456', tests.id('gate'), null, tests.id('guard'), now())$$, '42501', null, 'codes are tried at gates alone');
select tests.as_studio();
select is((select count(*) from private.entry_codes c where encode(c.code_hash, 'escape') ~ tests.kept('fair') or c.code_hash = sha256(convert_to(tests.kept('fair'), 'UTF8'))), 0::bigint, 'what is stored is no plain hash');

-- One of a kind -------------------------------------------------------------------------------------------------------------

select is(app.store_entry_code(tests.id('same'), null, tests.kept('fair')), false, 'two codes that count at one time are not alike');
select is(app.store_entry_code(tests.id('next'), null, tests.kept('fair')), true, 'one that counts afterwards may be');
select is(app.store_entry_code(tests.id('there'), null, tests.kept('fair')), true, 'and so may one of another community');
select throws_ok($$insert into private.entry_codes (community_id, invitation_id, code_hash, during)
  select c.community_id, tests.id('same'), c.code_hash, c.during from private.entry_codes c where c.invitation_id = tests.id('fair') and c.guest_id is null$$, '23P01', null, 'not even in SQL are two alike');
select isnt((select c.code_hash from private.entry_codes c where c.invitation_id = tests.id('next')), (select c.code_hash from private.entry_codes c where c.invitation_id = tests.id('there')),
  'the same digits look different in another community');
select throws_ok($$update public.visitor_invitations set starts_at = now() where id = tests.id('next')$$, 'PT409', 'entry_code_taken', 'an invitation does not move into the time of a code like its own');
select is((select i.starts_at from public.visitor_invitations i where i.id = tests.id('next')), now() + interval '1 day', 'and stays where it was');

-- At the gate ---------------------------------------------------------------------------------------------------------------

select is(pg_temp.try(tests.kept('fair')) || ' ' || pg_temp.try(tests.kept('gils')), 'in guest', 'a code says for whom it stands');
select is((select c.invitation_id from app.check_entry_code(tests.id('Alder'), tests.kept('fair'), tests.id('gate'), tests.id('phone'), null, now() + interval '25 hours') c), tests.id('next'), 'the same digits tomorrow for another');
select is(pg_temp.try(tests.kept('gils'), moment => now() + interval '25 hours'), 'code_unknown', 'one whose time is over for nobody');
select is(pg_temp.try(null) || ' ' || pg_temp.try('') || ' ' || pg_temp.try(repeat('1', 10000)), 'code_unknown code_unknown code_unknown', 'what is no code is a wrong one, and nothing is raised');
select tests.authenticate_as('tom');
select tests.keep('second', (select c.code from public.issue_entry_code(tests.id('fair')) c));
select lives_ok($$select public.remove_invitation_guest(tests.id('gil'))$$, 'a guest is taken off the list');
select tests.as_studio();
delete from private.entry_code_attempts;
select is(pg_temp.try(tests.kept('second')), 'in', 'a new code counts');
select is(pg_temp.try(tests.kept('fair'), 'garage') || ' ' || pg_temp.try(tests.kept('gils'), 'garage'), 'code_unknown code_unknown', 'the one before, and the guest''s, do not');
select is(pg_temp.try(tests.kept('second'), moment => now() + interval '1 day'), 'code_unknown', 'nor does one whose time is over');

-- Guessing ------------------------------------------------------------------------------------------------------------------

delete from private.entry_code_attempts;
select is(pg_temp.wrong(4, 'keypad'), 'code_unknown', 'four wrong codes are wrong codes');
select is(pg_temp.try(tests.kept('second'), device => 'keypad'), 'in', 'a right one is right');
select is(pg_temp.wrong(1, 'keypad'), 'code_unknown', 'and forgives nothing: the fifth wrong one');
select is(pg_temp.try(tests.kept('second'), device => 'keypad'), 'code_locked', 'locks, the right code included');
select is(pg_temp.wrong(1000, 'keypad'), 'code_locked', 'a thousand more change nothing');
select is((select a.failures || ' ' || a.locks || ' ' || (a.unlocks_at - now()) from private.entry_code_attempts a where a.scope = tests.id('keypad') and a.access_point_id = tests.id('gate')), '0 1 00:15:00', 'and it is remembered, for a quarter of an hour');
select is(pg_temp.try(tests.kept('second'), device => 'phone') || ' ' || pg_temp.try(tests.kept('second'), 'garage', 'keypad'), 'in in', 'another device, and another gate, go on');
select is(pg_temp.try(tests.kept('second'), device => 'keypad', moment => now() + interval '16 minutes'), 'in', 'then codes are taken again');
select is(pg_temp.wrong(5, 'keypad', moment => now() + interval '17 minutes'), 'code_unknown', 'five more wrong ones');
select is((select a.locks || ' ' || (a.unlocks_at - now()) from private.entry_code_attempts a where a.scope = tests.id('keypad') and a.access_point_id = tests.id('gate')), '2 00:47:00', 'lock for twice as long');
select is(pg_temp.wrong(4, 'slow') || ' ' || pg_temp.wrong(4, 'slow', moment => now() + interval '16 minutes') || ' ' || pg_temp.try(tests.kept('second'), device => 'slow', moment => now() + interval '17 minutes'), 'code_unknown code_unknown in',
  'who mistypes now and then is not locked out');
select is((select c.reason from app.check_entry_code(tests.id('Alder'), '000000', tests.id('gate'), null, tests.id('guard'), now()) c), 'code_unknown', 'a guard''s guesses are the guard''s');
select is((select count(*) from private.entry_code_attempts a where a.scope = tests.id('guard') and a.failures = 1), 1::bigint, 'and counted as such');

-- Taking back ---------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('tom');
select lives_ok($$select public.revoke_entry_code(tests.id('fair'))$$, 'who issued a code takes it back');
select tests.keep('third', (select c.code from public.issue_entry_code(tests.id('fair')) c));
select lives_ok($$select public.cancel_visitor_invitation(tests.id('fair'))$$, 'and the invitation with it');
select throws_ok($$select public.issue_entry_code(tests.id('fair'))$$, 'PT409', 'invitation_over', 'for which no other is made');
select tests.as_studio();
select is(pg_temp.try(tests.kept('second'), 'garage', 'other') || ' ' || pg_temp.try(tests.kept('third'), 'garage', 'other'), 'code_unknown code_unknown', 'neither counts any more');

select * from finish();
rollback;
