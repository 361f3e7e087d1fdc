-- Books are verified every night, what is found is listed and told, and who rewrites an entry with all that follows from it is found out.
-- Entries are tampered with as the owner of the database could: with the triggers kept still.

begin;
select plan(59);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_resident('Ana', 'Alder');
select tests.create_supabase_user(u) from unnest(array['accountant', 'guard', 'other']) u;
select tests.grant_role('accountant', 'accountant', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'), tests.grant_role('other', 'accountant', community => 'Cedar');
select public.open_books(tests.id('Alder'), '2026-01-01'), public.open_books(tests.id('Cedar'), '2026-01-01');

create function pg_temp.acc(called text) returns uuid language sql stable as $$
  select a.id from public.accounts a join public.funds f on f.id = a.fund_id and f.code = 'OPER' where a.community_id = tests.id('Alder') and a.purpose::text = called order by a.code limit 1
$$;
create function pg_temp.charge(amount numeric) returns uuid language sql volatile as $$
  select public.post_journal_entry(tests.id('Alder'), '2026-02-01', 'Charge', jsonb_build_array(jsonb_build_object(
    'debit_account_id', pg_temp.acc('receivable'), 'debit_unit_id', tests.id('1'), 'debit_resident_id', tests.id('Ana'), 'credit_account_id', pg_temp.acc('assessment_income'), 'amount', amount)))
$$;
create function pg_temp.found() returns text language sql volatile as $$
  select coalesce(string_agg(distinct v.problem, ' ' order by v.problem), 'sound') from public.verify_ledger(tests.id('Alder')) v
$$;
-- What verification tells of a damage, which is undone afterwards.
create function pg_temp.told_of(damage text) returns text language plpgsql as $$
declare
  told text;
begin
  begin
    perform set_config('session_replication_role', 'replica', true);
    execute damage;
    perform set_config('session_replication_role', 'origin', true);
    told := pg_temp.found();
    raise sqlstate 'ROLLB';
  exception when sqlstate 'ROLLB' then
    return told;
  end;
end;
$$;
create function pg_temp.night() returns void language plpgsql as $$
begin
  update private.ledger_verifications set verified_at = verified_at - interval '1 day' where true;
  perform app.job_ledger_verification();
end;
$$;
-- Every row that tells of the amount is rewritten alike.
create function pg_temp.forgery() returns text language sql stable as $$
  select format($f$
    update public.postings set amount = amount + 900 where journal_entry_id = %1$L;
    update public.journal_entries set total = total + 900 where id = %1$L;
    update public.subaccounts set balance = balance + 900 where community_id = %2$L$f$, tests.kept('entry'), tests.id('Alder'))
$$;

-- Sealing ------------------------------------------------------------------------------------------------------------

select tests.keep('entry', pg_temp.charge(100)), pg_temp.charge(50);
select is(pg_temp.found(), 'sound', '(the books are sound)');
select is(pg_temp.told_of(pg_temp.forgery()), 'sound', 'a forgery that is complete agrees with itself');
select is(app.seal_ledger(tests.id('Alder')), 2::bigint, 'entries are sealed');
select is(app.seal_ledger(tests.id('Alder')), 0::bigint, 'once');
select is(app.seal_ledger(tests.id('Cedar')), 0::bigint, 'nothing is no seal');
select is(pg_temp.found(), 'sound', 'what is sealed is sound');
select is(pg_temp.told_of(pg_temp.forgery()), 'entry_rewritten', 'and a complete forgery is found');
select is((select array_agg(distinct v.entry_id) from public.verify_ledger(tests.id('Alder')) v), null, '(undone)');
select is(pg_temp.told_of(format($$update public.journal_entries set description = 'Another' where id = %L$$, tests.kept('entry'))), 'entry_rewritten', 'so are other words');
select is(pg_temp.told_of(format($$update public.postings set memo = 'Another' where journal_entry_id = %L$$, tests.kept('entry'))), 'entry_rewritten', 'a posting''s too');
select is(pg_temp.told_of(format($$update public.journal_entries set booked_by = gen_random_uuid() where id = %L$$, tests.kept('entry'))), 'entry_rewritten', 'another author');
select is(pg_temp.told_of(format($$delete from public.postings where journal_entry_id = %1$L; delete from public.journal_entries where id = %1$L; update public.subaccounts set balance = balance - 100 where community_id = tests.id('Alder')$$, tests.kept('entry'))),
  'entry_rewritten', 'and an entry that is gone without a trace');
select is(pg_temp.told_of($$update private.sealed_entries s set hash = h.hash from app.entry_hashes(tests.id('Alder')) h where h.entry_id = s.entry_id$$), 'sound', '(hashes are the same in every session)');
select is(pg_temp.told_of(pg_temp.forgery() || $$; update private.sealed_entries s set hash = h.hash from app.entry_hashes(tests.id('Alder')) h where h.entry_id = s.entry_id$$), 'seal_broken', 'a new hash breaks the seal');
select tests.create_resident('Boris', 'Alder'), tests.create_unit('2', 'Alder');
select is(pg_temp.told_of(format($$update public.subaccounts set resident_id = %L where community_id = %L$$, tests.id('Boris'), tests.id('Alder'))), 'subaccount_rewritten', 'so is a debt that was made another resident''s');
select is(pg_temp.told_of(format($$update public.subaccounts set resident_id = null where community_id = %L$$, tests.id('Alder'))), 'subaccount_rewritten', 'or nobody''s');
select is(pg_temp.told_of(format($$update public.subaccounts set unit_id = %L where community_id = %L$$, tests.id('2'), tests.id('Alder'))), 'subaccount_rewritten', 'or another unit''s');
select is(pg_temp.told_of(format($$update public.subaccounts set resident_id = %1$L where community_id = %2$L;
  update private.sealed_subaccounts s set hash = app.subaccount_hash(n.id, n.account_id, n.unit_id, n.resident_id) from public.subaccounts n where n.id = s.subaccount_id$$, tests.id('Boris'), tests.id('Alder'))), 'seal_broken', 'whose new hash breaks the seal');
select is(pg_temp.told_of($$delete from private.sealed_subaccounts$$), 'seal_broken', 'as none does');
select is(pg_temp.told_of($$update private.sealed_subaccounts s set hash = app.subaccount_hash(n.id, n.account_id, n.unit_id, n.resident_id) from public.subaccounts n where n.id = s.subaccount_id$$), 'sound', '(the same hash is the same seal)');
create function pg_temp.reseal() returns text language sql immutable as $$ select $f$;
  update private.sealed_entries s set hash = h.hash from app.entry_hashes(tests.id('Alder')) h where h.entry_id = s.entry_id;
  update private.ledger_seals s set entries_hash = (select sha256(string_agg(c.hash, '' order by c.entry_id)) from private.sealed_entries c where c.community_id = s.community_id) where s.community_id = tests.id('Alder');
  update private.ledger_seals s set hash = app.ledger_seal_hash(s) where s.community_id = tests.id('Alder')$f$ $$;
select is(pg_temp.told_of(pg_temp.forgery() || pg_temp.reseal()), 'seal_broken', 'a new seal is not the one that the audit log tells of');
select is(pg_temp.told_of('delete from private.sealed_entries; delete from private.ledger_seals'), 'seal_broken', 'nor is none');
select is((select l.changes::jsonb ->> 'hash' from audit.log l where l.action = 'LEDGER_SEALED' and l.community_id = tests.id('Alder')), (select encode(s.hash, 'hex') from private.ledger_seals s where s.community_id = tests.id('Alder')), 'which is in the chain of the audit log');
select throws_ok(v.sql, 'PT409', 'append_only', v.sql)
from (values ('update private.ledger_seals set entries = 1'), ('delete from private.sealed_entries'), ('truncate private.sealed_entries'), ('delete from private.sealed_subaccounts')) v (sql);
savepoint apart;
select public.merge_residents(tests.id('Boris'), tests.id('Ana'), 'The same person');
select is((select n.resident_id from public.subaccounts n where n.community_id = tests.id('Alder')), tests.id('Boris'), '(two records of one person are merged)');
select is(pg_temp.found(), 'sound', 'a debt that went to the record which stays is sound');
select tests.create_resident('Vera', 'Alder');
select public.merge_residents(tests.id('Vera'), tests.id('Boris'), 'The same person');
select is(pg_temp.found(), 'sound', 'and so on');
select is(pg_temp.told_of(format($$update public.residents set merged_into_id = null where id = %L$$, tests.id('Boris'))), 'subaccount_rewritten', 'as long as they are told to be one');
rollback to apart;
select pg_temp.charge(7);
select is(app.seal_ledger(tests.id('Alder')), 1::bigint, 'what comes later is in a later seal');
select is(pg_temp.found(), 'sound', 'that follows the first');
select is(pg_temp.told_of($$delete from private.sealed_entries where seal_number = 1 and community_id = tests.id('Alder'); delete from private.ledger_seals where number = 1 and community_id = tests.id('Alder')$$), 'seal_broken', 'without which it is not whole');

-- Every night --------------------------------------------------------------------------------------------------------

select ok(app.run_job('ledger-verification'), 'all books are verified by a job');
select is((select count(*) from private.ledger_verifications v where v.community_id in (tests.id('Alder'), tests.id('Cedar')) and v.problems = 0), 2::bigint, 'each community''s');
select is_empty($$select from public.ledger_findings where community_id in (tests.id('Alder'), tests.id('Cedar'))$$, 'of sound books nothing is listed');
select tests.keep('bad', pg_temp.charge(5));
set local session_replication_role = replica;
update public.journal_entries set total = 6 where id = tests.kept('bad')::uuid;
set local session_replication_role = origin;
select app.job_ledger_verification();
select is_empty($$select from public.ledger_findings where community_id = tests.id('Alder')$$, 'once a night');
select pg_temp.night();
select results_eq($$select problem, entry_id, gone_at from public.ledger_findings where community_id = tests.id('Alder')$$, $$values ('total_differs', tests.kept('bad')::uuid, null::timestamptz)$$, 'what is found is listed');
select results_eq($$select payload ->> 'problems', payload ->> 'found', payload ->> 'tell' from app.outbox where topic = 'ledger.unsound' and community_id = tests.id('Alder')$$, $$values ('["total_differs"]', '1', 'ledger.read')$$, 'and told, for whom it concerns');
select is((select count(*) from private.sealed_entries where entry_id = tests.kept('bad')::uuid), 0::bigint, 'an unsound entry is not sealed');
select pg_temp.night();
select is((select count(*) from app.outbox where topic = 'ledger.unsound' and community_id = tests.id('Alder')), 1::bigint, 'told once');
select is((select count(*) from public.ledger_findings where community_id = tests.id('Alder') and seen_at > found_at), 1::bigint, 'and listed once, however often it is found');
select tests.authenticate_as('accountant');
select is(tests.seen('public.ledger_findings', 'problem'), 'total_differs', 'whoever reads the books reads what is wrong with them');
select throws_ok($$update public.ledger_findings set detail = 'Nothing'$$, '42501', null, 'and changes none of it');
select throws_ok($$select app.seal_ledger(tests.id('Alder'))$$, '42501', null, 'nor seals');
select tests.as_studio();
select throws_ok(v.sql, 'PT409', 'balance_derived', v.sql) from (values ('update public.ledger_findings set gone_at = now()'), ('delete from public.ledger_findings')) v (sql);
select tests.authenticate_as('guard');
select is(tests.seen('public.ledger_findings', 'problem'), 'nothing', 'a guard reads none');
select tests.authenticate_as('other');
select is(tests.seen('public.ledger_findings', 'problem'), 'nothing', 'nor the accountant of another community');
select tests.as_studio();
set local session_replication_role = replica;
update public.journal_entries set total = 5 where id = tests.kept('bad')::uuid;
set local session_replication_role = origin;
select pg_temp.night();
select results_eq($$select problem, gone_at is not null from public.ledger_findings where community_id = tests.id('Alder')$$, $$values ('total_differs', true)$$, 'what is found no longer stays listed, as gone');
select is((select count(*) from private.sealed_entries where entry_id = tests.kept('bad')::uuid), 1::bigint, 'and is sealed then');
select is(pg_temp.found(), 'sound', 'the books are sound');

-- Books that cannot be verified --------------------------------------------------------------------------------------

create function app.check_what_fails(community uuid) returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text) language plpgsql stable set search_path = '' as $$
begin
  if community = tests.id('Alder') then
    raise exception 'cannot be read';
  end if;
end;
$$;
select app.define_ledger_check('what_fails', 'app.check_what_fails', 'Nothing.');
delete from app.outbox where topic = 'ledger.unsound';
update private.ledger_verifications set verified_at = case when community_id = tests.id('Alder') then '-infinity'::timestamptz else now() - interval '1 day' end;
select lives_ok('select app.job_ledger_verification()', 'books that cannot be verified do not end the job');
select results_eq($$select problems, failure from private.ledger_verifications where community_id = tests.id('Alder')$$, $$values (null::bigint, 'cannot be read')$$, 'why is kept');
select is((select problems from private.ledger_verifications where community_id = tests.id('Cedar')), 0::bigint, 'the others'' are verified all the same');
select results_eq($$select community_id, payload ->> 'problems' from app.outbox where topic = 'ledger.unsound'$$, $$values (tests.id('Alder'), '["verification_failed"]')$$, 'and it is told');

-- More than is listed ------------------------------------------------------------------------------------------------

create or replace function app.check_what_fails(community uuid) returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text) language sql stable set search_path = '' as $$
  select null::uuid, null::uuid, null::uuid, null::uuid, 'Problem ' || n from generate_series(1, 1200) n where community = tests.id('Alder');
$$;
select tests.keep('late', pg_temp.charge(3));
select is(app.verify_and_seal(tests.id('Alder')), 1000::bigint, 'of very many problems a thousand are listed');
select is((select count(*) from private.sealed_entries where entry_id = tests.kept('late')::uuid), 0::bigint, 'and nothing is sealed while there may be more');

select * from finish();
rollback;
