-- What entries by hand moved is listed for whoever compares it with the bank; what is worth a look, every night.

begin;
select plan(32);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_resident('Ana', 'Alder'), tests.create_resident('Tom', 'Alder');
select tests.create_supabase_user(u) from unnest(array['accountant', 'manager', 'other', 'guard', 'ana']) u;
update public.residents set user_id = tests.id('ana') where id = tests.id('Ana');
select tests.grant_role('accountant', 'accountant', community => 'Alder'), tests.grant_role('manager', 'manager', community => 'Alder'),
  tests.grant_role('guard', 'guard', community => 'Alder'), tests.grant_role('other', 'manager', community => 'Cedar');
select public.open_books(tests.id('Alder'), '2026-01-01'), public.open_books(tests.id('Cedar'), '2026-01-01');
update public.profiles set display_name = initcap(v.u) from unnest(array['accountant', 'manager']) v (u) where id = tests.id(v.u);

create function pg_temp.acc(called text) returns uuid language sql stable security definer set search_path = '' as $$
  select a.id from public.accounts a join public.funds f on f.id = a.fund_id
  where f.code = 'OPER' and f.community_id = tests.id('Alder') and a.purpose::text = called order by a.code limit 1
$$;
create function pg_temp.post(debit text, credit text, amount numeric, described text, on_day date default '2026-02-01', who text default 'Ana') returns uuid language sql volatile set search_path = '' as $$
  select public.post_journal_entry(tests.id('Alder'), on_day, described, jsonb_build_array(
    jsonb_build_object('debit_account_id', pg_temp.acc(debit), 'credit_account_id', pg_temp.acc(credit), 'amount', amount)
      || case when debit in ('receivable', 'deposits_held') then jsonb_build_object('debit_unit_id', tests.id('1'), 'debit_resident_id', tests.id(who)) else '{}' end
      || case when credit in ('receivable', 'deposits_held') then jsonb_build_object('credit_unit_id', tests.id('1'), 'credit_resident_id', tests.id(who)) else '{}' end))
$$;
create function pg_temp.listed() returns text language sql stable set search_path = '' as $$
  select coalesce(string_agg(concat_ws(' ', m.movement, m.amount, m.full_name, '|', m.account, '|', coalesce(m.booked_by_name, m.booked_as), '|', m.description), ', ' order by m.posting_id), 'nothing')
  from public.movements_by_hand(tests.id('Alder'), '2026-01-01', '2026-12-31') m
$$;
create function pg_temp.night() returns void language plpgsql as $$
begin
  update private.ledger_verifications set verified_at = verified_at - interval '1 day' where true;
  perform app.job_ledger_verification();
end;
$$;
create function pg_temp.standing() returns text language sql stable as $$
  select coalesce(string_agg(f.problem || ' ' || e.description, ', ' order by f.id), 'nothing')
  from public.ledger_findings f join public.journal_entries e on e.id = f.entry_id where f.community_id = tests.id('Alder') and f.gone_at is null
$$;
grant execute on function pg_temp.acc(text), pg_temp.post(text, text, numeric, text, date, text), pg_temp.listed() to authenticated;

-- Documents, and what is no more than bookkeeping, are not listed.
select tests.authenticate_as('accountant');
select pg_temp.post('receivable', 'assessment_income', 300, 'Charge'), pg_temp.post('expense', 'payable', 9, 'Owed'), pg_temp.post('cash', 'bank', 50, 'Cash'), pg_temp.post('bank', 'other_income', 4, 'Interest');
select public.charge_unit(tests.id('1'), (select f.id from public.funds f where f.community_id = tests.id('Alder') and f.code = 'OPER'), 20, 'A key', '2026-02-01', '2026-03-01', tests.id('Ana'));
select public.adjust_charge(c.id, 'waiver', 'The board decided so', 1) from public.charges c where c.community_id = tests.id('Alder');
select is(pg_temp.listed(), 'nothing', 'charges, what is spent and not paid, carried from bank to cash, and documents are no movements by hand');

select tests.keep('paid', pg_temp.post('bank', 'receivable', 40, 'Paid in January')), pg_temp.post('cash', 'suspense', 12, 'From whom?'), pg_temp.post('suspense', 'receivable', 12, 'From Ana');
select tests.authenticate_as('manager');
select pg_temp.post('bad_debt_expense', 'receivable', 30, 'Settled in court');
select tests.authenticate_as('accountant');
select pg_temp.post('expense', 'bank', 7.5, 'Account fee');
select is(pg_temp.listed(), 'received 40.00 Ana | 1000 Bank | Accountant | Paid in January, received 12.00 | 1010 Cash | Accountant | From whom?, applied 12.00 Ana | 2900 Suspense | Accountant | From Ana, '
  'owed_less 30.00 Ana | 5900 Bad debts | Manager | Settled in court, taken_out 7.50 | 5000 Maintenance and repairs | Accountant | Account fee', 'what was moved by hand is listed: of whom, out of what, by whom and why');
select is((select count(*) from public.movements_by_hand(tests.id('Alder'), '2026-02-02', '2026-12-31')), 0::bigint, 'of the days that are asked for');
select throws_ok($$select * from public.movements_by_hand(tests.id('Alder'), '2026-02-02', '5874897-12-31')$$, 'PT422', 'invalid_period', 'which a calendar knows');
select is((select count(*) from public.movements_by_hand(tests.id('Alder')) m where m.paired_entry_id is not null), 0::bigint, '(nothing answers to anything)');

-- Let off round about: as if paid, and as if spent.
select tests.keep('in', pg_temp.post('bank', 'receivable', 75, 'Paid by Ana', '2026-03-02')), tests.keep('out', pg_temp.post('expense', 'bank', 75, 'Plumber', '2026-03-20'));
select is((select m.paired_entry_id::text from public.movements_by_hand(tests.id('Alder'), '2026-03-01', '2026-03-31') m where m.movement = 'received'), tests.kept('out'), 'what is said to have come, and left by hand, is told together');
select tests.as_studio();
select pg_temp.night();
select is(pg_temp.standing(), 'owed_less_by_hand Settled in court, received_and_taken_out Paid by Ana', 'what is worth a look is listed every night');
select ok(bool_and(not f.is_fault), 'as no fault') from public.ledger_findings f where f.community_id = tests.id('Alder');
select results_eq($$select f.entry_id, f.detail from public.ledger_findings f where f.problem = 'received_and_taken_out' and f.community_id = tests.id('Alder')$$,
  $$values (tests.kept('in')::uuid, 'By an entry by hand 75.00 was received on 2026-03-02; by another one, as much was taken out on 2026-03-20 for 5000 Maintenance and repairs.')$$, 'in words that name nobody');
select is((select count(*) from public.verify_ledger(tests.id('Alder'))), 0::bigint, 'the books are sound');
select is((select v.problems from private.ledger_verifications v where v.community_id = tests.id('Alder')), 0::bigint, '(and verified as sound)');
select is((select count(*) from private.sealed_entries s where s.entry_id in (tests.kept('in')::uuid, tests.kept('out')::uuid)), 2::bigint, 'and sealed');
select results_eq($$select topic, payload ->> 'problems', payload ->> 'found' from app.outbox where topic like 'ledger.%' and community_id = tests.id('Alder')$$, $$values ('ledger.noticed', '["owed_less_by_hand", "received_and_taken_out"]', '2')$$, 'it is told, and not as unsound');
select pg_temp.night();
select is((select count(*) from app.outbox where topic = 'ledger.noticed' and community_id = tests.id('Alder')), 1::bigint, 'once');

-- What explains itself.
select tests.authenticate_as('accountant');
select public.reverse_journal_entry(tests.kept('out')::uuid, 'Was never here', '2026-03-21');
select is((select m.paired_entry_id from public.movements_by_hand(tests.id('Alder'), '2026-03-01', '2026-03-31') m where m.movement = 'received'), null, 'what was taken back answers to nothing');
select is((select m.reversed_on from public.movements_by_hand(tests.id('Alder'), '2026-03-01', '2026-03-31') m where m.movement = 'taken_out'), '2026-03-21', 'and stays listed as such');
select tests.as_studio();
select pg_temp.night();
select is(pg_temp.standing(), 'owed_less_by_hand Settled in court', 'the finding is gone');
select is((select count(*) from public.ledger_findings f where f.problem = 'received_and_taken_out' and f.community_id = tests.id('Alder') and f.gone_at is not null), 1::bigint, 'and stays listed');
select tests.authenticate_as('accountant');
select pg_temp.post('receivable', 'bank', 75, 'Bounced', '2026-03-22');
select is((select count(*) from public.movements_by_hand(tests.id('Alder')) m where m.paired_entry_id is not null), 0::bigint, 'what bounced was the same person''s');
select pg_temp.post('receivable', 'bank', 40, 'Paid to another', '2026-02-20', 'Tom');
select is((select m.description from public.movements_by_hand(tests.id('Alder')) m where m.paired_entry_id is not null), 'Paid in January', 'what another person was paid is not');
select pg_temp.post('expense', 'bank', 12, 'After two months', '2026-04-02');
select is((select count(*) from public.movements_by_hand(tests.id('Alder')) m where m.paired_entry_id is not null), 1::bigint, 'nor does it answer to what came more than a month before');

-- What takes back.
select tests.keep('fee', pg_temp.post('receivable', 'other_income', 5, 'A fee')), tests.keep('interest', pg_temp.post('bank', 'other_income', 6, 'Interest', '2026-05-02'));
select public.reverse_journal_entry(tests.kept('fee')::uuid, 'Never owed', '2026-05-03'), public.reverse_journal_entry(tests.kept('interest')::uuid, 'Was no interest', '2026-05-04');
select results_eq($$select m.movement::text, m.amount, m.description from public.movements_by_hand(tests.id('Alder'), '2026-05-01', '2026-05-31') m order by m.posting_id$$,
  $$values ('owed_less', 5.00, 'Never owed'), ('taken_out', 6.00, 'Was no interest')$$, 'what takes an entry back moves by hand, too');
select pg_temp.post('bank', 'receivable', 6, 'Paid by Ana', '2026-05-04');
select is((select count(*) from public.movements_by_hand(tests.id('Alder'), '2026-05-01', '2026-05-31') m where m.paired_entry_id is not null), 1::bigint, 'interest that becomes a payment is found');

-- Lists of opening balances.
select public.import_opening_balances(tests.id('Alder'), '{Unit,Balance}', '[["1", "-10"]]', dry_run => false);
select is((select count(*) from public.movements_by_hand(tests.id('Alder'), '2025-12-01', '2025-12-31')), 0::bigint, 'what a first list says is no movement');
select public.import_opening_balances(tests.id('Alder'), '{Unit,Balance}', '[["1", "50"]]', dry_run => false), public.import_opening_balances(tests.id('Alder'), '{Unit,Balance}', '[["1", "45"]]', dry_run => false);
select results_eq($$select m.movement::text, m.amount, m.account from public.movements_by_hand(tests.id('Alder'), '2025-12-01', '2025-12-31') m$$, $$values ('owed_less', 5.00, '3900 Opening balances')$$, 'what a later one lowers is');

-- Who reads it.
select throws_ok($$select * from public.movements_by_hand(tests.id('Alder'), '2026-02-01', '2026-01-01')$$, 'PT422', 'invalid_period', 'days follow one another');
select tests.authenticate_as('ana');
select throws_ok($$select pg_temp.listed()$$, 'PT403', 'permission_denied', 'a resident is told of nobody''s payments');
select tests.authenticate_as('guard');
select throws_ok($$select pg_temp.listed()$$, 'PT403', 'permission_denied', 'nor a guard');
select tests.authenticate_as('other');
select throws_ok($$select pg_temp.listed()$$, 'PT403', 'permission_denied', 'nor the manager of another community');
select throws_ok($$select * from app.hand_postings(tests.id('Alder'))$$, '42501', null, 'and nobody round about');
select throws_ok($$select * from app.ledger_problems(tests.id('Alder'), false)$$, '42501', null, 'by either way');
select tests.as_studio();
select is((select count(*) from public.movements_by_hand(tests.id('Cedar'))), 0::bigint, 'where nothing was posted, nothing is listed');

select * from finish();
rollback;
