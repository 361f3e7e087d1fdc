-- Findings of the nightly verification are looked at by somebody, once and for good; they stay listed, and come again if they are found anew.

begin;
select plan(33);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_resident('Ana', 'Alder', tests.email('owner'));
select tests.create_supabase_user(u) from unnest('{accountant,manager,viewer,owner,guard,foreign}'::text[]) u;
select tests.occupy('Ana', '1', 'owner', '2026-01-01');
select tests.grant_role(u, u, community => 'Alder') from unnest('{accountant,manager,guard}'::text[]) u;
select tests.grant_role('viewer', 'viewer', organization => 'organization of Alder'), tests.grant_role('foreign', 'manager', community => 'Cedar');
select public.open_books(tests.id('Alder'), '2026-01-01'), public.open_books(tests.id('Cedar'), '2026-01-01');

create function pg_temp.acc(called text) returns uuid language sql stable security definer as $$
  select a.id from public.accounts a join public.funds f on f.id = a.fund_id and f.code = 'OPER' where a.community_id = tests.id('Alder') and a.purpose::text = called order by a.code limit 1
$$;
create function pg_temp.let_off(amount numeric) returns uuid language sql volatile as $$
  select public.post_journal_entry(tests.id('Alder'), '2026-02-01', 'Let off', jsonb_build_array(jsonb_build_object(
    'debit_account_id', pg_temp.acc('bad_debt_expense'), 'credit_account_id', pg_temp.acc('receivable'), 'credit_unit_id', tests.id('1'), 'credit_resident_id', tests.id('Ana'), 'amount', amount)))
$$;
create function pg_temp.finding(entry text) returns uuid language sql stable security definer as $$
  select f.id from public.ledger_findings f where f.entry_id = tests.kept(entry)::uuid order by f.found_at desc, f.id desc limit 1
$$;
create function pg_temp.told(entry text) returns text language sql stable security definer as $$
  select coalesce(string_agg(format('%s %s %s', f.problem, case when f.gone_at is null then 'stands' else 'gone' end, coalesce(f.review_note, 'not looked at')), '; ' order by f.found_at, f.id), 'nothing')
  from public.ledger_findings f where f.entry_id = tests.kept(entry)::uuid
$$;
do $$ begin execute format('grant execute on all functions in schema %I to anon, authenticated, service_role', pg_my_temp_schema()::regnamespace); end $$;

select tests.authenticate_as('manager');
select tests.keep('entry', pg_temp.let_off(5));
select tests.as_studio();
select app.verify_and_seal(tests.id('Alder'));
select is(pg_temp.told('entry'), 'owed_less_by_hand stands not looked at', 'what is found has been looked at by nobody');

-- Who -----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select throws_ok(format('select public.review_finding(%L, %L)', pg_temp.finding('entry'), 'Fine'), 'PT403', 'second_person_required', 'who booked the entry does not say that it is in order');
select tests.authenticate_as('viewer');
select throws_ok(format('select public.review_finding(%L, %L)', pg_temp.finding('entry'), 'Fine'), 'PT403', 'permission_denied', 'nor does who only reads the books');
select throws_ok(format('select public.review_finding(%L, %L)', pg_temp.finding('entry'), 'Fine'), 'PT404', 'finding_not_found', u || ' does not learn that it is there')
from unnest('{owner,guard,foreign}'::text[]) u cross join lateral (select tests.authenticate_as(u)) a;
select tests.authenticate_as('accountant');
select throws_ok(format('select public.review_finding(%L, %L)', r.finding, r.note), r.state, r.token, r.why)
from (values
  (pg_temp.finding('entry'), '  ', 'PT422', 'reason_required', 'what came of it is said'),
  (pg_temp.finding('entry'), null, 'PT422', 'reason_required', 'in words'),
  (pg_temp.finding('entry'), repeat('x', 1001), 'PT422', 'invalid_value', 'of which there are not too many'),
  (tests.id('nothing'), 'Fine', 'PT404', 'finding_not_found', 'of something that was found')) r (finding, note, state, token, why);
select throws_ok($$update public.ledger_findings set review_note = 'Fine'$$, '42501', null, 'and not past the RPC');
select is(pg_temp.told('entry'), 'owed_less_by_hand stands not looked at', 'nothing of that was noted');

-- Once ----------------------------------------------------------------------------------------------------------------

select lives_ok(format('select public.review_finding(%L, %L)', pg_temp.finding('entry'), ' Agreed in the meeting of 3 March '), 'somebody else looks at it');
select is((select row(f.reviewed_by, f.review_note, f.reviewed_at is not null, f.gone_at)::text from public.ledger_findings f where f.id = pg_temp.finding('entry')),
  row(tests.id('accountant'), 'Agreed in the meeting of 3 March', true, null)::text, 'it says who had, when, and what came of it');
select throws_ok(format('select public.review_finding(%L, %L)', pg_temp.finding('entry'), 'Or not'), 'PT409', 'finding_reviewed', 'once');
select tests.as_studio();
select is((select row(l.action, l.note, l.actor_id)::text from public.audit_log l where l.community_id = tests.id('Alder') and l.action = 'LEDGER_FINDING_REVIEWED'),
  row('LEDGER_FINDING_REVIEWED', 'Agreed in the meeting of 3 March', tests.id('accountant'))::text, 'the audit log keeps it');
select throws_ok(v.sql, 'PT409', 'balance_derived', v.sql)
from (values ('update public.ledger_findings set review_note = ''Other'''), ('update public.ledger_findings set reviewed_at = null, reviewed_by = null, review_note = null'), ('delete from public.ledger_findings')) v (sql);
select is(pg_temp.told('entry'), 'owed_less_by_hand stands Agreed in the meeting of 3 March', 'and it stands as it was said');

-- Found anew ----------------------------------------------------------------------------------------------------------

delete from app.outbox where topic in ('ledger.noticed', 'ledger.unsound');
select app.verify_and_seal(tests.id('Alder'));
select is(pg_temp.told('entry'), 'owed_less_by_hand stands Agreed in the meeting of 3 March', 'the next night lists it as before');
select is_empty($$select from app.outbox where topic = 'ledger.noticed'$$, 'and tells nobody again');
set local session_replication_role = replica;
update public.postings set amount = 6 where journal_entry_id = tests.kept('entry')::uuid;
update public.journal_entries set total = 6 where id = tests.kept('entry')::uuid;
set local session_replication_role = origin;
select app.verify_and_seal(tests.id('Alder'));
select matches(pg_temp.told('entry'), 'owed_less_by_hand gone Agreed in the meeting of 3 March', 'what was looked at is gone once the entry says something else');
select matches(pg_temp.told('entry'), 'owed_less_by_hand stands not looked at', 'and what is found instead has been looked at by nobody');
select matches(pg_temp.told('entry'), 'entry_rewritten stands not looked at', 'nor has what is wrong now');
select isnt_empty($$select from app.outbox where topic = 'ledger.noticed'$$, 'of which is told');
set local session_replication_role = replica;
update public.postings set amount = 5 where journal_entry_id = tests.kept('entry')::uuid;
update public.journal_entries set total = 5 where id = tests.kept('entry')::uuid;
set local session_replication_role = origin;
select app.verify_and_seal(tests.id('Alder'));
select is((select f.reviewed_at from public.ledger_findings f where f.id = pg_temp.finding('entry')), null, 'what is found again after it was gone has been looked at by nobody either');
select tests.authenticate_as('accountant');
select lives_ok(format('select public.review_finding(%L, %L)', pg_temp.finding('entry'), 'Restored'), 'and is looked at anew');

-- Entries of nobody, and readers -------------------------------------------------------------------------------------------

select tests.as_studio();
select tests.keep('script', pg_temp.let_off(7));
select app.verify_and_seal(tests.id('Alder'));
select lives_ok(format('select public.review_finding(%L, %L)', pg_temp.finding('script'), 'Carried over'), 'an administrator with SQL looks at one');
select is((select row(f.reviewed_by, f.review_note)::text from public.ledger_findings f where f.id = pg_temp.finding('script')), row(null::uuid, 'Carried over')::text, 'which says that no user did');
select tests.authenticate_as('viewer');
select matches(tests.seen('public.ledger_findings', 'review_note'), 'Carried over', 'whoever reads the books reads what came of it');
select tests.authenticate_as('owner');
select is(tests.seen('public.ledger_findings', 'review_note'), 'nothing', 'an owner does not');
select tests.authenticate_as('foreign');
select is(tests.seen('public.ledger_findings', 'review_note'), 'nothing', 'nor the manager of another community');

select * from finish();
rollback;
