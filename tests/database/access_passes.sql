-- Passes: who hands them out, what they are worth when, each use once, and a revocation that beats the best signature.

begin;
select plan(84);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_unit('9', 'Cedar');
select tests.create_supabase_user(u) from unnest('{ana,tom,nina,gone,manager,guard,stranger}'::text[]) u;
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.create_resident('Tom', 'Alder', tests.email('tom')), tests.create_resident('Nina', 'Alder', tests.email('nina')),
  tests.create_resident('Gone', 'Alder', tests.email('gone')), tests.create_resident('Cedric', 'Cedar');
select tests.occupy('Ana', '1', 'owner', current_date - 100), tests.occupy('Tom', '1', 'tenant', current_date - 50), tests.occupy('Nina', '2', 'owner', current_date - 100),
  tests.occupy('Gone', '2', 'family', current_date - 100, current_date - 10), tests.occupy('Cedric', '9', 'owner', current_date - 100);
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'), tests.grant_role('stranger', 'manager', community => 'Cedar');

insert into public.visitor_invitations (id, title, community_id, unit_id, host_resident_id, kind, visitor_name, starts_at, ends_at, max_entries, guest_limit)
values
  (tests.id('visit'), 'Coffee', tests.id('Alder'), tests.id('1'), tests.id('Tom'), 'single', 'Vera', now() - interval '2 hours', now() + interval '4 hours', 1, null),
  (tests.id('coming'), 'Dinner', tests.id('Alder'), tests.id('1'), tests.id('Tom'), 'single', 'Vera', now() + interval '1 day', now() + interval '2 days', 1, null),
  (tests.id('past'), 'Lunch', tests.id('Alder'), tests.id('1'), tests.id('Tom'), 'single', 'Vera', now() - interval '3 days', now() - interval '2 days', 1, null),
  (tests.id('party'), 'Birthday', tests.id('Alder'), tests.id('2'), tests.id('Nina'), 'event', null, now() - interval '1 hour', now() + interval '1 day', null, 20),
  (tests.id('works'), 'Garden', tests.id('Alder'), null, null, 'single', 'Gardener', now() - interval '1 hour', now() + interval '3000 days', 99, null),
  (tests.id('abroad'), 'Tea', tests.id('Cedar'), tests.id('9'), tests.id('Cedric'), 'single', 'Vera', now() - interval '1 hour', now() + interval '1 day', 1, null);
insert into public.invitation_guests (id, full_name, community_id, invitation_id) values (tests.id('guest'), 'Vera', tests.id('Alder'), tests.id('party'));

create function tests.reason(text, moment timestamptz default now(), community text default 'Alder') returns text language sql security definer set search_path = '' as $$
  select r.reason from app.read_pass(tests.id(community), $1, moment) r $$;
grant execute on function tests.reason(text, timestamptz, text) to authenticated, anon;

-- Handing out ----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('tom');
select tests.keep('issued', to_jsonb(i)) from public.issue_pass(tests.id('visit')) i;
select tests.keep('pass', tests.kept('issued')::jsonb ->> 'pass'), tests.keep('link', tests.kept('issued')::jsonb ->> 'link_token'), tests.keep('pass_id', tests.kept('issued')::jsonb ->> 'pass_id');
select is(tests.reason(tests.kept('pass')), null, 'a tenant hands out a pass, and it is good');
select is((select p.starts_at || ' ' || p.ends_at || ' ' || p.max_uses from public.passes p where p.id = tests.kept('pass_id')::uuid),
  (select date_trunc('second', greatest(i.starts_at, date_trunc('day', now(), 'UTC'))) || ' ' || date_trunc('second', i.ends_at) || ' 1' from public.visitor_invitations i where i.id = tests.id('visit')),
  'it begins, ends and is used up with the invitation');
select is(tests.seen('public.passes_overview', 'state'), 'valid', 'its host sees it');
select is((select count(*) from public.passes p where to_jsonb(p)::text ~ (tests.kept('pass') || '|' || tests.kept('link'))), 0::bigint, 'and not what it reads: that was told once');
select throws_ok($$select * from private.pass_keys$$, '42501', null, 'nobody reads keys');
select throws_ok($$select public.issue_pass(tests.id('party'))$$, 'PT404', 'invitation_not_found', 'nobody hands out a pass to a neighbour''s guests');
select throws_ok($$select public.issue_pass(tests.id('past'))$$, 'PT409', 'invitation_over', 'nor to a visit that is over');
select throws_ok($$select public.issue_pass(tests.id('abroad'))$$, 'PT404', 'invitation_not_found', 'nor in another community');
select throws_ok($$select public.issue_pass(null)$$, 'PT404', 'invitation_not_found', 'nor to nothing');
select throws_ok($$insert into public.passes (community_id, kind, invitation_id, kid, starts_at, ends_at) values (tests.id('Alder'), 'visitor', tests.id('visit'), 'aaaaaaaa', now(), now() + interval '1 day')$$,
  '42501', null, 'nor past the RPC');
select throws_ok($$update public.passes set ends_at = now() + interval '300 days'$$, '42501', null, 'nor makes one last longer');
select tests.authenticate_as('ana');
select throws_ok($$select public.issue_pass(tests.id('visit'))$$, 'PT404', 'invitation_not_found', 'a landlord hands out none to the tenant''s visitors');
select is(tests.seen('public.passes', 'id'), 'nothing', 'and sees none of them');
select tests.authenticate_as('guard');
select throws_ok($$select public.issue_pass(tests.id('visit'))$$, 'PT403', 'permission_denied', 'a guard sees who is invited and hands out no pass');
select throws_ok($$select public.revoke_pass(tests.kept('pass_id')::uuid, 'No')$$, 'PT404', 'pass_not_found', 'nor knows of one');
select throws_ok($$select * from public.pass_keys(tests.id('Alder'))$$, 'PT403', 'permission_denied', 'nor of keys');
select throws_ok($$select * from public.rotate_pass_key(tests.id('Alder'))$$, 'PT403', 'permission_denied', 'nor rotates them');
select tests.authenticate_as('stranger');
select throws_ok($$select public.issue_pass(tests.id('visit'))$$, 'PT404', 'invitation_not_found', 'the manager of another community hands out none here');
select throws_ok($$select public.revoke_pass(tests.kept('pass_id')::uuid, 'No')$$, 'PT404', 'pass_not_found', 'and revokes none');
select tests.clear_authentication();
select throws_ok($$select public.issue_pass(tests.id('visit'))$$, '42501', null, 'whoever is not signed in hands out none');
select tests.as_studio();
select is((select count(*) from public.passes p where p.community_id = tests.id('Alder')), 1::bigint, 'what was refused left nothing behind');
select is((select l.token_hash from private.pass_links l where l.community_id = tests.id('Alder')), sha256(convert_to(tests.kept('link'), 'UTF8')), 'of the link a hash is stored');
select throws_ok($$update public.passes set ends_at = ends_at + interval '1 day'$$, 'PT409', 'column_frozen', 'not even in SQL does a window change once it is signed');
select throws_ok($$insert into public.passes (community_id, kind, invitation_id, kid, starts_at, ends_at) select tests.id('Alder'), 'visitor', tests.id('abroad'), k.kid, date_trunc('day', now()), date_trunc('day', now()) + interval '1 day' from private.pass_keys k where k.community_id = tests.id('Alder')$$,
  '23503', null, 'nor does a pass mix two communities');
select throws_ok($$insert into public.passes (community_id, kind, invitation_id, kid, starts_at, ends_at) select tests.id('Cedar'), 'visitor', tests.id('abroad'), k.kid, date_trunc('day', now()), date_trunc('day', now()) + interval '1 day' from private.pass_keys k where k.community_id = tests.id('Alder')$$,
  '23503', null, 'nor is signed by another community''s key');

select tests.authenticate_as('manager');
select tests.keep('long', to_jsonb(i)) from public.issue_pass(tests.id('works')) i;
select is((tests.kept('long')::jsonb ->> 'ends_at')::timestamptz - (tests.kept('long')::jsonb ->> 'starts_at')::timestamptz, interval '400 days', 'the management hands out passes to whom it invites, for 400 days at most');
select tests.authenticate_as('nina');
select tests.keep('guest', i.pass) from public.issue_pass(tests.id('party'), tests.id('guest')) i;
select tests.keep('shared', i.pass) from public.issue_pass(tests.id('party')) i;
select is((select array_agg(p.max_uses order by p.max_uses) from public.passes p), '{1,20}', 'a guest of a list enters once, an event''s pass lets in as many as there are places');
select is(tests.reason(tests.kept('guest')), null, 'and the one does not replace the other');
select throws_ok($$select public.issue_pass(tests.id('party'), tests.id('nobody'))$$, 'PT404', 'guest_not_found', 'somebody who is on no list has no pass of their own');

-- When it opens --------------------------------------------------------------------------------------------------------------

select tests.as_studio();
create function pg_temp.at(second integer, of_end boolean) returns text language sql as $$
  select tests.reason(tests.kept('pass'), case when of_end then p.ends_at else p.starts_at end + make_interval(secs => second)) from public.passes p where p.id = tests.kept('pass_id')::uuid $$;
select is(pg_temp.at(-61, false), 'not_yet_valid', 'more than a minute before it begins a pass opens nothing');
select is(pg_temp.at(-60, false), null, 'for a minute clocks may be apart');
select is(pg_temp.at(59, true), null, 'at its end too');
select is(pg_temp.at(60, true), 'expired', 'and then it has expired');
select public.set_setting('security.pass_clock_skew_seconds', '0', community_id => tests.id('Alder'));
select is(pg_temp.at(-1, false) || ' ' || pg_temp.at(0, true), 'not_yet_valid expired', 'a community may allow no skew');
select is(coalesce(pg_temp.at(0, false), '') || coalesce(pg_temp.at(-1, true), ''), '', 'which costs it no second of the window');
select is(tests.reason(tests.kept('pass'), now(), 'Cedar'), 'wrong_community', 'at the gate of another community it is of another community');

-- Uses -----------------------------------------------------------------------------------------------------------------------

select is(app.burn_pass(tests.kept('pass_id')::uuid, null, now()), null, 'it opens');
select is(app.burn_pass(tests.kept('pass_id')::uuid, null, now()), 'already_used', 'once');
select is(tests.reason(tests.kept('pass')), null, 'to read it is to use nothing');
select is((select u.used_count || ' ' || u.uses_left from private.pass_uses u where u.pass_id = tests.kept('pass_id')::uuid), '1 0', 'what was refused is not counted');
select is(app.burn_pass(tests.id('no pass'), null, now()), 'unknown_pass', 'what is no pass cannot be used');
select is((select count(*) from (select app.burn_pass(p.id, null, now()) as refused from public.passes p cross join generate_series(1, 30) where p.max_uses = 20 and p.community_id = tests.id('Alder')) x where x.refused is null), 20::bigint,
  'a pass for 20 opens 20 times');
select tests.authenticate_as('tom');
select is(tests.seen('public.passes_overview', 'state'), 'used', 'and its host sees that it was used');

-- Again, and no more ----------------------------------------------------------------------------------------------------------

select tests.keep('again', i.pass) from public.issue_pass(tests.id('visit')) i;
select is(tests.reason(tests.kept('again')), null, 'a second pass to an invitation is good');
select is(tests.reason(tests.kept('pass')), 'revoked', 'and the first is worth nothing from then on');
select throws_ok(format('select public.revoke_pass(%L, %L)', (select p.id from public.passes p where p.revoked_at is null), ' '), 'PT422', 'invalid_value', 'to revoke one takes a reason');
select ok((select public.revoke_pass(p.id, 'Vera is ill') from public.passes p where p.revoked_at is null), 'the host revokes it');
select is(tests.reason(tests.kept('again')), 'revoked', 'and no signature helps');
select ok(not (select public.revoke_pass(p.id, 'Again') from public.passes p where p.revoked_reason = 'Vera is ill'), 'to revoke it again changes nothing');
select tests.as_studio();
select is((select app.burn_pass(p.id, null, now()) from public.passes p where p.revoked_reason = 'Vera is ill'), 'revoked', 'whoever read it before the revocation cannot use it after');
select is((select count(*) from app.outbox o where o.topic = 'pass.revoked' and o.community_id = tests.id('Alder')), 2::bigint, 'others are told of both');
select is((select count(*) from audit.log l where l.changes::text like '%' || tests.kept('pass') || '%'), 0::bigint, 'what a pass reads is in no log');
update public.visitor_invitations i set status = 'cancelled', status_reason = 'Ill' where i.id = tests.id('coming');
select tests.authenticate_as('tom');
select throws_ok($$select public.issue_pass(tests.id('coming'))$$, 'PT409', 'invitation_over', 'a cancelled invitation has no pass');

-- A resident's own -----------------------------------------------------------------------------------------------------------

select tests.keep('own', to_jsonb(r)) from public.resident_pass_seed(tests.id('Alder'), 'My phone') r;
select tests.keep('step', floor(extract(epoch from now()) / 30)::integer);
select tests.as_studio();
create function tests.own(step integer, told text default 'own') returns text language sql security definer set search_path = '' as $$
  select app.resident_pass_text((o ->> 'pass_id')::uuid, o ->> 'kid', o ->> 'seed', tests.kept('step')::integer + step) from (select tests.kept(told)::jsonb as o) x $$;
grant execute on function tests.own(integer, text) to authenticated;
select is((select array_agg(tests.reason(tests.own(s)) order by s) from generate_series(-2, 2) s), '{stale,NULL,NULL,NULL,stale}', 'a resident''s code opens in its 30 seconds and in those beside them');
select is((select array_agg(r.step - tests.kept('step')::integer) from app.read_pass(tests.id('Alder'), tests.own(1), now()) r), '{1}', 'and tells its step');
select is(app.burn_pass((tests.kept('own')::jsonb ->> 'pass_id')::uuid, tests.kept('step')::integer, now()), null, 'it is used once');
select is(app.burn_pass((tests.kept('own')::jsonb ->> 'pass_id')::uuid, tests.kept('step')::integer, now()), 'already_used', 'and not again: whoever looked over the shoulder comes too late');
select is(app.burn_pass((tests.kept('own')::jsonb ->> 'pass_id')::uuid, tests.kept('step')::integer - 1, now()), 'already_used', 'nor is an older code');
select is(app.burn_pass((tests.kept('own')::jsonb ->> 'pass_id')::uuid, tests.kept('step')::integer + 1, now()), null, 'the next one opens again');
select tests.authenticate_as('tom');
select tests.keep('new_phone', to_jsonb(r)) from public.resident_pass_seed(tests.id('Alder')) r;
select is(tests.reason(tests.own(0, 'own')) || ' ' || coalesce(tests.reason(tests.own(0, 'new_phone')), 'good'), 'revoked good', 'a new telephone takes over from the one before');
select isnt(tests.kept('own')::jsonb ->> 'seed', tests.kept('new_phone')::jsonb ->> 'seed', 'with a seed of its own');
select tests.authenticate_as('nina');
select throws_ok(format('select public.revoke_pass(%L, %L)', tests.kept('new_phone')::jsonb ->> 'pass_id', 'No'), 'PT404', 'pass_not_found', 'nobody revokes a neighbour''s');
select tests.authenticate_as('gone');
select throws_ok($$select public.resident_pass_seed(tests.id('Alder'))$$, 'PT404', 'resident_not_found', 'who has moved out has none');
select tests.authenticate_as('manager');
select throws_ok($$select public.resident_pass_seed(tests.id('Alder'))$$, 'PT404', 'resident_not_found', 'nor who is no resident');
select ok(public.revoke_pass((tests.kept('new_phone')::jsonb ->> 'pass_id')::uuid, 'Telephone stolen'), 'the management revokes a resident''s');
select is(tests.reason(tests.own(0, 'new_phone')), 'revoked', 'which ends its codes');

-- Keys -----------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('nina');
select tests.keep('before', i.pass) from public.issue_pass(tests.id('party')) i;
select tests.authenticate_as('manager');
select tests.keep('rotated', public.rotate_pass_key(tests.id('Alder')));
select tests.authenticate_as('nina');
select tests.keep('after', i.pass) from public.issue_pass(tests.id('party'), tests.id('guest')) i;
select is(split_part(tests.kept('after'), '.', 2), tests.kept('rotated'), 'after a rotation another key signs');
select is(tests.reason(tests.kept('before')), null, 'and passes in pockets are good');
select tests.authenticate_as('manager');
select throws_ok($$select public.revoke_pass_key('aaaaaaaa', 'Leaked')$$, 'PT404', 'pass_key_not_found', 'a key that does not exist cannot be revoked');
select is((select array_agg(k.retired_at is null order by k.retired_at) from public.pass_keys(tests.id('Alder')) k), '{f,t}', 'the management sees which key signs');
select cmp_ok(public.revoke_pass_key(split_part(tests.kept('before'), '.', 2), 'A backup was stolen'), '>', 0, 'a key that leaked is revoked');
select is(tests.reason(tests.kept('before')) || ' ' || coalesce(tests.reason(tests.kept('after')), 'good'), 'key_revoked good', 'with all that it signed, and nothing else');
select is(public.revoke_pass_key(split_part(tests.kept('before'), '.', 2), 'Again'), 0, 'to revoke it again changes nothing');
select tests.as_studio();
select is((select count(*) from public.passes p where p.kid = split_part(tests.kept('before'), '.', 2) and p.revoked_at is null), 0::bigint, 'its passes are revoked as well');
select is((select num_nonnulls(k.secret, k.vault_secret_id) from private.pass_keys k where k.kid = split_part(tests.kept('before'), '.', 2)), 0, 'and the secret is gone');
select is((select count(*) from audit.log l where l.action = 'PASS_KEY_REVOKED'), 1::bigint, 'which is in the log');
select tests.authenticate_as('stranger');
select throws_ok(format('select public.revoke_pass_key(%L, %L)', tests.kept('rotated'), 'Mine now'), 'PT404', 'pass_key_not_found', 'the manager of another community revokes none');
select throws_ok($$select public.rotate_pass_key(tests.id('Alder'))$$, 'PT403', 'permission_denied', 'and rotates none');
select tests.as_studio();

-- In Vault, and gone when no pass needs it.
create schema vault;
create table vault.secrets (id uuid primary key default gen_random_uuid(), name text, secret text);
create view vault.decrypted_secrets as select id, name, secret as decrypted_secret from vault.secrets;
create function vault.create_secret(new_secret text, new_name text, new_description text) returns uuid language sql as $$ insert into vault.secrets (name, secret) values (new_name, new_secret) returning id $$;
select public.rotate_pass_key(tests.id('Alder'));
select is((select (k.secret is null) || ' ' || s.name from private.pass_keys k join vault.secrets s on s.id = k.vault_secret_id where k.community_id = tests.id('Alder') and k.retired_at is null and k.algorithm = 'hs256'),
  (select 'true vicinia-pass-' || k.kid from private.pass_keys k where k.community_id = tests.id('Alder') and k.retired_at is null and k.algorithm = 'hs256'), 'where there is a Vault, keys are in it');
select tests.keep('vaulted', (select i.pass from public.issue_pass(tests.id('party'), tests.id('guest')) i));
select is(tests.reason(tests.kept('vaulted')), null, 'and verify from there');
select public.rotate_pass_key(tests.id('Alder'));
set local session_replication_role = replica;
update private.pass_keys k set retired_at = now() - interval '2 days' where k.retired_at is not null;
set local session_replication_role = origin;
select app.job_passes();
select is((select count(*) from vault.secrets), 2::bigint, 'the job keeps a rotated key while a pass under it is good');
set local session_replication_role = replica;
update public.passes p set starts_at = p.starts_at - interval '90 days', ends_at = p.ends_at - interval '90 days' where p.kid = split_part(tests.kept('vaulted'), '.', 2);
set local session_replication_role = origin;
select app.job_passes();
select is((select count(*) || ' ' || (select count(*) from private.pass_links l join public.passes p on p.id = l.pass_id where p.kid = split_part(tests.kept('vaulted'), '.', 2)) from vault.secrets), '1 0',
  'and destroys it, and old links, when there is none');
select is(tests.reason(tests.kept('vaulted')), 'expired', 'what it signed has expired');
select tests.keep('lost', (select i.pass from public.issue_pass(tests.id('party'), tests.id('guest')) i));
delete from vault.secrets;
select is(tests.reason(tests.kept('lost')), 'bad_signature', 'a key that was lost opens nothing, rather than everything');

select * from finish();
rollback;
