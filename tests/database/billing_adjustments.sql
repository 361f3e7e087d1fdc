-- Credit notes, waivers and write-offs: never more than the charge, never without a reason, and never changed.

begin;
select plan(67);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_unit('9', 'Cedar');
select tests.create_supabase_user('accountant'), tests.create_supabase_user('manager'), tests.create_supabase_user('foreign'), tests.create_supabase_user('ana'), tests.create_supabase_user('tom');
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.create_resident('Tom', 'Alder', tests.email('tom'));
select tests.occupy('Ana', '1', 'owner', current_date - 100), tests.occupy('Tom', '2', 'owner', current_date - 100);
select tests.grant_role('accountant', 'accountant', community => 'Alder'), tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('foreign', 'manager', community => 'Cedar');
select public.open_books(tests.id('Alder'), current_date - 90), public.open_books(tests.id('Cedar'), current_date - 90);
select tests.keep('fund', f.id) from public.funds f where f.community_id = tests.id('Alder') and f.kind = 'operating';
select tests.keep('income', app.account_for(tests.id('Alder'), tests.kept('fund')::uuid, 'assessment_income'));

create function pg_temp.charge(unit text, resident text, amount numeric, days_ago integer) returns uuid language plpgsql as $$
declare
  entry constant uuid := app.post_charges(tests.id('Alder'), tests.kept('fund')::uuid, tests.kept('income')::uuid, 'other', current_date - days_ago, current_date - days_ago + 10,
    'Maintenance ' || unit, array[row(tests.id(unit), tests.id(resident), amount, current_date - days_ago, current_date, null, null)::app.charge_line]);
begin
  return (select c.id from public.charges c where c.journal_entry_id = entry);
end;
$$;
create function pg_temp.owed(resident text) returns numeric language sql as $$
  select trim_scale(coalesce(sum(s.balance), 0)) from public.subaccounts s where s.resident_id = tests.id(resident)
$$;

select tests.keep('charge', pg_temp.charge('1', 'Ana', 100, 30)), tests.keep('other', pg_temp.charge('2', 'Tom', 40, 30));

-- Posting -----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select tests.keep('credit', public.adjust_charge(tests.kept('charge')::uuid, 'credit_note', 'Billed for a lift that was out of order', 30));
select tests.keep('waiver', public.adjust_charge(tests.kept('charge')::uuid, 'waiver', 'Hardship', 20.5, current_date - 5, 'waiver-1'));
select is(public.adjust_charge(tests.kept('charge')::uuid, 'waiver', 'Hardship', 20.5, current_date - 5, 'waiver-1'), tests.kept('waiver')::uuid, 'the same request again is the same waiver');
select throws_ok($$select public.adjust_charge(tests.kept('charge')::uuid, 'waiver', 'Hardship', 21, current_date - 5, 'waiver-1')$$, 'PT409', 'idempotency_conflict', 'with another amount it is refused');
select throws_ok($$select public.adjust_charge(tests.kept('other')::uuid, 'waiver', 'Hardship', 20.5, current_date - 5, 'waiver-1')$$, 'PT409', 'idempotency_conflict', 'and for another charge');
select throws_ok($$select public.adjust_charge(tests.kept('charge')::uuid, 'write_off', 'Will never pay')$$, 'PT403', 'permission_denied', 'an accountant writes nothing off');
select tests.as_studio();
select is(pg_temp.owed('Ana'), 49.5, 'what is owed is lowered by both');
select is((select string_agg(format('%s %s %s %s', a.kind, a.number, trim_scale(a.amount), a.status), ', ' order by a.kind) from public.adjustments a where a.community_id = tests.id('Alder')),
  'credit_note 1 30 posted, waiver 1 20.5 posted', 'each kind has numbers of its own');
select is((select string_agg(format('%s→%s %s', d.purpose, c.purpose, trim_scale(p.amount)), ', ' order by p.amount)
    from public.journal_entries e
    join public.postings p on p.journal_entry_id = e.id
    join public.accounts d on d.id = p.debit_account_id join public.accounts c on c.id = p.credit_account_id
    where e.community_id = tests.id('Alder') and e.kind = 'adjustment'),
  'waiver_expense→receivable 20.5, assessment_income→receivable 30', 'a credit note takes income back, a waiver is a cost');
select is((select count(*) from public.journal_entries e join public.adjustments a on a.id = e.document_id and a.journal_entry_id = e.id where e.document_kind = 'adjustment' and e.community_id = tests.id('Alder')), 2::bigint,
  'entry and document name each other');

-- Bad input ---------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select throws_ok(format($$select public.adjust_charge(tests.kept('charge')::uuid, 'waiver', 'Hardship', %L)$$, v.amount), 'PT422', v.token, v.what)
from (values
  ('0', 'invalid_amount', 'nothing is no amount'), ('-5', 'invalid_amount', 'nor is less than nothing'), ('1.005', 'invalid_amount', 'nor are three decimals of two'),
  ('NaN', 'invalid_amount', 'nor is what is no number'), ('Infinity', 'invalid_amount', 'nor what is without end'),
  ('49.51', 'adjustment_exceeds', 'no more than what is left is waived')) v (amount, token, what);
select throws_ok(format($$select public.adjust_charge(tests.kept('charge')::uuid, 'waiver', %L, 1)$$, v), 'PT422', 'invalid_value', 'a reason is given, and not ' || quote_nullable(left(v, 5)))
from unnest(array[null, '', '   ', 'ab', repeat('x', 1001)]) v;
select throws_ok($$select public.adjust_charge(tests.kept('charge')::uuid, null, 'Hardship', 1)$$, 'PT422', 'invalid_value', 'a kind is named');
select throws_ok($$select public.adjust_charge(tests.kept('charge')::uuid, 'waiver', 'Hardship', 1, current_date - 31)$$, 'PT422', 'invalid_value', 'no charge is adjusted before it was made');
select throws_ok($$select public.adjust_charge(tests.id('no charge'), 'waiver', 'Hardship', 1)$$, 'PT404', 'charge_not_found', 'what is not there is not found');
select tests.authenticate_as('foreign');
select throws_ok($$select public.adjust_charge(tests.kept('charge')::uuid, 'waiver', 'Hardship', 1)$$, 'PT404', 'charge_not_found', 'nor is it by the manager of another community');
select throws_ok($$select public.reverse_adjustment(tests.kept('waiver')::uuid, 'Never mind')$$, 'PT404', 'adjustment_not_found', 'who takes none back either');
select tests.authenticate_as('ana');
select throws_ok($$select public.adjust_charge(tests.kept('charge')::uuid, 'waiver', 'I say so', 1)$$, 'PT403', 'permission_denied', 'who owes does not waive');
select throws_ok($$select public.reverse_adjustment(tests.kept('waiver')::uuid, 'Never mind')$$, 'PT403', 'permission_denied', 'nor take back');
select is(tests.seen('public.adjustments', 'amount'), '20.5, 30', 'but sees what was done for them');
select tests.authenticate_as('tom');
select is(tests.seen('public.adjustments', 'amount'), 'nothing', 'a neighbour sees nothing of it');
select throws_ok($$select public.adjust_charge(tests.kept('charge')::uuid, 'waiver', 'Hardship', 1)$$, 'PT404', 'charge_not_found', 'not even that there is a charge');
select tests.as_studio();
select is(pg_temp.owed('Ana'), 49.5, 'what was refused moved nothing');
select is((select count(*) from public.adjustments a where a.community_id = tests.id('Alder')), 2::bigint, 'and stored nothing');

-- Writing off, taking back --------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select tests.keep('write_off', public.adjust_charge(tests.kept('charge')::uuid, 'write_off', 'Bankrupt'));
select throws_ok($$select public.adjust_charge(tests.kept('charge')::uuid, 'write_off', 'Bankrupt')$$, 'PT422', 'adjustment_exceeds', 'nothing is left to write off twice');
select tests.as_studio();
select is(pg_temp.owed('Ana'), 0.0, 'a write-off without an amount is of all that is left');
select is((select amount from public.adjustments where id = tests.kept('write_off')::uuid), 49.5, 'and says how much that was');
select throws_ok($$update public.adjustments set amount = 1 where id = tests.kept('waiver')::uuid$$, 'PT409', 'column_frozen', 'nobody changes one, Studio included');
select throws_ok($$update public.adjustments set status = 'reversed' where id = tests.kept('waiver')::uuid$$, '23514', null, 'or calls it reversed without an entry');
select throws_ok($$delete from public.adjustments where id = tests.kept('waiver')::uuid$$, 'PT409', 'delete_refused', 'or deletes it');
select throws_ok($$insert into public.adjustments (number, community_id, kind, charge_id, amount, decimals, effective_on, reason, journal_entry_id)
    select 99, a.community_id, 'waiver', a.charge_id, 1, 2, current_date, 'Too much', a.journal_entry_id from public.adjustments a where a.id = tests.kept('waiver')::uuid$$,
  'PT422', 'adjustment_exceeds', 'more than the charge is not stored, whoever writes');
select throws_ok($$update public.adjustments set deleted_at = now() where id = tests.kept('waiver')::uuid$$, '23514', null, 'nobody archives one, so that its charge could be waived again');
select is(app.charge_open(tests.id('Alder'), tests.kept('charge')::uuid), 0::numeric, 'it stands');
select tests.keep('fifth', pg_temp.charge('2', 'Tom', 5, 30));
select throws_ok(format($$insert into public.adjustments (id, number, community_id, kind, charge_id, amount, decimals, effective_on, reason, journal_entry_id)
    select tests.id('forged'), 99, tests.id('Alder'), %s, tests.kept('fifth')::uuid, 5, 2, current_date, 'Forged', %s$$, v.kind, v.entry), 'PT422', 'adjustment_mismatch', v.what)
from (values
  ($$'waiver'$$, $$(select c.journal_entry_id from public.charges c where c.id = tests.kept('fifth')::uuid)$$, 'an adjustment names an entry that it posted'),
  ($$'waiver'$$, $$app.post_entry(tests.id('Alder'), 'adjustment', current_date, 'x', array[row(tests.kept('fund')::uuid, app.account_for(tests.id('Alder'), tests.kept('fund')::uuid, 'waiver_expense'), null,
      app.account_for(tests.id('Alder'), tests.kept('fund')::uuid, 'receivable'), app.subaccount_for(tests.id('Alder'), tests.kept('fund')::uuid, 'receivable', tests.id('2'), tests.id('Tom')), 4, null)::app.posting_line],
      document_kind => 'adjustment', document_id => tests.id('forged'))$$, 'of its amount'),
  ($$'write_off'$$, $$app.post_entry(tests.id('Alder'), 'adjustment', current_date, 'x', array[row(tests.kept('fund')::uuid, app.account_for(tests.id('Alder'), tests.kept('fund')::uuid, 'waiver_expense'), null,
      app.account_for(tests.id('Alder'), tests.kept('fund')::uuid, 'receivable'), app.subaccount_for(tests.id('Alder'), tests.kept('fund')::uuid, 'receivable', tests.id('2'), tests.id('Tom')), 5, null)::app.posting_line],
      document_kind => 'adjustment', document_id => tests.id('forged'))$$, 'between accounts of its kind'),
  ($$'waiver'$$, $$app.post_entry(tests.id('Alder'), 'adjustment', current_date, 'x', array[row(tests.kept('fund')::uuid, app.account_for(tests.id('Alder'), tests.kept('fund')::uuid, 'waiver_expense'), null,
      app.account_for(tests.id('Alder'), tests.kept('fund')::uuid, 'receivable'), app.subaccount_for(tests.id('Alder'), tests.kept('fund')::uuid, 'receivable', tests.id('1'), tests.id('Ana')), 5, null)::app.posting_line],
      document_kind => 'adjustment', document_id => tests.id('forged'))$$, 'and lowers what its own charge says')
) v (kind, entry, what);
select throws_ok(format($$update public.adjustments set status = 'reversed', reversal_reason = 'Forged', reversal_entry_id = journal_entry_id where id = tests.kept('waiver')::uuid$$), 'PT422', 'adjustment_mismatch',
  'nor is it called reversed by an entry that does not take it back');
select is(app.charge_open(tests.id('Alder'), tests.kept('fifth')::uuid), 5::numeric, 'nothing came of it');
select throws_ok(format($$select app.reverse_charges(%L, current_date, 'Wrong')$$, (select c.journal_entry_id from public.charges c where c.id = tests.kept('charge')::uuid)),
  'PT409', 'charge_adjusted', 'a charge that is adjusted is not taken back beside it');
select tests.authenticate_as('accountant');
select throws_ok($$select public.reverse_adjustment(tests.kept('write_off')::uuid, 'Paid after all')$$, 'PT403', 'permission_denied', 'an accountant takes no write-off back');
select throws_ok($$select public.reverse_adjustment(tests.kept('waiver')::uuid, '  ')$$, 'PT422', 'invalid_value', 'taking back takes a reason');
select isnt(public.reverse_adjustment(tests.kept('waiver')::uuid, 'Granted by mistake'), null, 'a waiver is taken back by an entry');
select throws_ok($$select public.reverse_adjustment(tests.kept('waiver')::uuid, 'Granted by mistake')$$, 'PT409', 'adjustment_reversed', 'once');
select tests.as_studio();
select is(pg_temp.owed('Ana'), 20.5, 'and is owed again');
select is(app.charge_open(tests.id('Alder'), tests.kept('charge')::uuid), 20.5, 'and may be adjusted again');
select throws_ok($$update public.adjustments set reversal_reason = 'Another' where id = tests.kept('waiver')::uuid$$, 'PT409', 'column_frozen', 'what was taken back stays so');

-- Up to an amount ----------------------------------------------------------------------------------------------------------

select tests.create_supabase_user('capped');
select public.restrict_role(tests.grant_role('capped', 'manager', community => 'Alder'), '{"amounts": {"charges.write_off": 5, "charges.adjust": 10, "fees.run": 20}}');
select tests.keep('twelve', pg_temp.charge('2', 'Tom', 12, 30));
select tests.authenticate_as('capped');
select throws_ok(format($$select public.%s$$, v.call), 'PT403', 'amount_above_limit', v.what)
from (values
  ($$adjust_charge(tests.kept('twelve')::uuid, 'waiver', 'Hardship', 10.01)$$, 'whoever forgives up to an amount forgives no more'),
  ($$adjust_charge(tests.kept('twelve')::uuid, 'credit_note', 'Hardship')$$, 'nor all of it, unsaid'),
  ($$adjust_charge(tests.kept('twelve')::uuid, 'write_off', 'Will never pay', 5.01)$$, 'each permission has its own'),
  ($$charge_unit(tests.id('2'), tests.kept('fund')::uuid, 20.01, 'Keys')$$, 'and whoever charges, too')) v (call, what);
select is((select count(*) from public.adjustments a where a.charge_id = tests.kept('twelve')::uuid), 0::bigint, 'nothing came of it');
select lives_ok($$select public.adjust_charge(tests.kept('twelve')::uuid, 'waiver', 'Hardship', 10), public.adjust_charge(tests.kept('twelve')::uuid, 'write_off', 'Gone', 2)$$, 'as much may be');
select tests.as_studio();

-- Long words ----------------------------------------------------------------------------------------------------------------

select tests.keep('long_entry', app.post_charges(tests.id('Alder'), tests.kept('fund')::uuid, tests.kept('income')::uuid, 'other', current_date - 20, current_date - 10,
  repeat('w', 500), array[row(tests.id('1'), tests.id('Ana'), 10, current_date - 20, current_date, null, null)::app.charge_line]));
select tests.authenticate_as('accountant');
select lives_ok($$select tests.keep('of_long', public.adjust_charge((select c.id from public.charges c where c.journal_entry_id = tests.kept('long_entry')::uuid), 'credit_note', repeat('y', 1000), 1))$$,
  'a charge whose description is as long as can be is adjusted');
select lives_ok($$select public.reverse_adjustment(tests.kept('of_long')::uuid, repeat('z', 1000))$$, 'and that is taken back for as long a reason');
select tests.as_studio();

-- A closed period, a charge that was taken back, the books ------------------------------------------------------------------

select app.reverse_charges((select c.journal_entry_id from public.charges c where c.id = tests.kept('other')::uuid), current_date, 'Wrong flat');
select tests.authenticate_as('accountant');
select throws_ok($$select public.adjust_charge(tests.kept('other')::uuid, 'waiver', 'Hardship', 1)$$, 'PT409', 'charge_reversed', 'what was taken back is not adjusted');
select is((select count(*) from public.verify_ledger(tests.id('Alder'))), 0::bigint, 'the books hold');
select tests.as_studio();
set local session_replication_role = replica;
update public.adjustments set amount = 29 where id = tests.kept('credit')::uuid;
set local session_replication_role = origin;
select tests.authenticate_as('accountant');
select matches((select string_agg(v.problem || ': ' || v.detail, '; ') from public.verify_ledger(tests.id('Alder')) v), 'adjustment_differs: credit_note 1: 29 in the document, 30', 'a document that was tampered with is found');
select tests.as_studio();
set local session_replication_role = replica;
update public.adjustments set amount = 30, kind = 'waiver', number = 77 where id = tests.kept('credit')::uuid;
set local session_replication_role = origin;
select tests.authenticate_as('accountant');
select matches((select string_agg(v.problem || ': ' || v.detail, '; ') from public.verify_ledger(tests.id('Alder')) v), 'adjustment_differs: waiver 77: debits another', 'so is one that became another kind');
select tests.as_studio();
set local session_replication_role = replica;
update public.adjustments set kind = 'credit_note', number = 1, effective_on = effective_on + 1 where id = tests.kept('credit')::uuid;
set local session_replication_role = origin;
select tests.authenticate_as('accountant');
select matches((select string_agg(v.problem || ': ' || v.detail, '; ') from public.verify_ledger(tests.id('Alder')) v), 'adjustment_differs: credit_note 1: .* in the document', 'or of another day');

select * from finish();
rollback;
