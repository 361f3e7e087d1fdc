-- Payments of expenses: in parts, from several accounts, never more than what is owed, each taken back on its own; and what is owed is what the books owe suppliers.

begin;
select plan(113);

select tests.create_community('Alder'), tests.create_community('Cedar');
select public.open_books(tests.id(c.name), b.day, fiscal_year_start_month => extract(month from b.day)::integer)
from unnest('{Alder,Cedar}'::text[]) c (name) cross join (select (date_trunc('month', current_date) - interval '9 months')::date) b (day);
select tests.create_supabase_user(u) from unnest('{manager,admin,accountant,committee,capped,owner,tenant,family,guard,foreign}'::text[]) u;
select tests.create_unit('1', 'Alder');
select tests.create_resident(initcap(r), 'Alder', tests.email(r)), tests.occupy(initcap(r), '1', r::public.occupancy_role, current_date - 100) from unnest('{owner,tenant,family}'::text[]) r;
select tests.grant_role(u, u, community => 'Alder') from unnest('{manager,admin,accountant,committee,guard}'::text[]) u;
select tests.grant_role('foreign', 'manager', community => 'Cedar');
select public.restrict_role(tests.grant_role('capped', 'manager', community => 'Alder'), '{"amounts": {"expenses.approve": 100, "expenses.pay": 50}}');

create function pg_temp.account(community text, kind public.fund_kind, purpose public.account_purpose) returns uuid language sql stable security definer as $$
  select a.id from public.accounts a join public.funds f on f.id = a.fund_id
  where a.community_id = tests.id(community) and f.kind = account.kind and a.purpose = account.purpose order by a.code limit 1
$$;
create function pg_temp.fund(community text) returns uuid language sql stable security definer as $$ select f.id from public.funds f where f.community_id = tests.id(community) and f.kind = 'operating' $$;
create function pg_temp.expense_account(community text, kind public.fund_kind) returns uuid language sql stable security definer as $$
  select a.id from public.accounts a join public.funds f on f.id = a.fund_id
  where a.community_id = tests.id(community) and f.kind = expense_account.kind and a.type = 'expense' and a.purpose in ('expense', 'general') order by a.code limit 1
$$;
-- What an expense says of itself: its state, what is paid of it, and when it was.
create function pg_temp.state(expense text) returns text language sql stable security definer as $$
  select concat_ws(' ', e.status, trim_scale(e.paid_amount), current_date - e.paid_on) from public.expenses e where e.id = tests.kept(expense)::uuid
$$;
-- Its payments: number, amount, from what, how many days ago, and whether they stand.
create function pg_temp.payments(expense text) returns text language sql stable security definer as $$
  select coalesce(string_agg(format('%s: %s %s %s %s', p.number, trim_scale(p.amount), a.purpose, current_date - p.paid_on, p.status), ', ' order by p.number), 'none')
  from public.expense_payments p join public.accounts a on a.id = p.account_id where p.expense_id = tests.kept(expense)::uuid
$$;
create function pg_temp.payment(expense text, amount numeric) returns uuid language sql stable security definer as $$
  select p.id from public.expense_payments p where p.expense_id = tests.kept(expense)::uuid and p.amount = payment.amount order by p.number desc limit 1
$$;
-- What is approved and not paid, beside what the accounts of payables come to.
create function pg_temp.owed() returns text language sql stable security definer as $$
  select format('%s = %s',
    (select trim_scale(coalesce(sum(e.amount - e.paid_amount), 0)) from public.expenses e where e.community_id = tests.id('Alder') and e.status in ('approved', 'partly_paid')),
    (select trim_scale(coalesce(sum(coalesce(l.credit, 0) - coalesce(l.debit, 0)), 0)) from public.ledger_lines l join public.accounts a on a.id = l.account_id
      where l.community_id = tests.id('Alder') and a.purpose = 'payable'))
$$;
create function pg_temp.found() returns text language sql stable security definer as $$
  select coalesce(string_agg(distinct v.problem, ', '), 'nothing') from public.verify_ledger(tests.id('Alder')) v
$$;
create function pg_temp.seen_by(who text) returns text language plpgsql as $$
begin
  perform tests.authenticate_as(who);
  return tests.seen('public.expense_payments', 'reference');
end $$;
create function pg_temp.approved(called text, category text, amount numeric, days_ago integer) returns text language plpgsql security definer as $$
begin
  perform tests.keep(called, public.enter_expense(tests.id('Alder'), tests.kept(category)::uuid, called, amount, current_date - days_ago, 'Lift OOD', called));
  perform public.submit_expense(tests.kept(called)::uuid), public.approve_expense(tests.kept(called)::uuid);
  return called;
end $$;
do $$ begin execute format('grant execute on all functions in schema %I to anon, authenticated, service_role', pg_my_temp_schema()::regnamespace); end $$;

select tests.keep(c || '_category', public.create_expense_category(tests.id(c), 'LIFT', 'Lift', pg_temp.expense_account(c, 'operating'))) from unnest('{Alder,Cedar}'::text[]) c;
select pg_temp.approved('lift', 'Alder_category', 1000, 20), pg_temp.approved('clean', 'Alder_category', 60, 5);
select tests.keep('draft', public.enter_expense(tests.id('Alder'), tests.kept('Alder_category')::uuid, 'Draft', 10, current_date));

-- In parts ----------------------------------------------------------------------------------------------------------------

select is(pg_temp.owed(), '1060 = 1060', 'what is approved is owed to suppliers, and the books say the same');
select tests.authenticate_as('accountant');
select tests.keep('first', public.pay_expense(tests.kept('lift')::uuid, current_date - 15, pg_temp.account('Alder', 'operating', 'bank'), ' Part 1 ', 400));
select is(pg_temp.state('lift'), 'partly_paid 400', 'a part is paid');
select is((select row(p.number, p.amount, p.paid_on, p.reference, p.journal_entry_id, p.created_by, p.status)::text from public.expense_payments p where p.expense_id = tests.kept('lift')::uuid),
  row(1, 400.00, current_date - 15, 'Part 1', tests.kept('first'), tests.id('accountant'), 'posted')::text, 'by a payment of its own, which says how much, when, by whom, and by which entry');
select tests.as_studio();
select is((select row(j.kind, j.effective_on, j.document_kind, j.document_id, j.total, p.memo, d.purpose, k.purpose)::text
    from public.journal_entries j join public.postings p on p.journal_entry_id = j.id join public.accounts d on d.id = p.debit_account_id join public.accounts k on k.id = p.credit_account_id
    where j.id = tests.kept('first')::uuid),
  row('payment', current_date - 15, 'expense_payment', pg_temp.payment('lift', 400), 400.00, 'Part 1', 'payable', 'bank')::text, 'the entry names the payment, and moves its amount from the bank to what is owed');
select is(pg_temp.owed(), '660 = 660', 'the rest is owed');
select is((select l.action from public.audit_log l where l.row_id = tests.kept('lift')::uuid order by l.id desc limit 1), 'EXPENSE_PAID', 'the audit log calls it by its name');
select is((select string_agg(o.topic || coalesce(' from ' || (o.payload ->> 'from'), ''), ', ' order by o.topic) from app.outbox o
    where o.community_id = tests.id('Alder') and o.payload ->> 'expense_id' = tests.kept('lift') and o.topic in ('expense.partly_paid', 'expense.payment_posted')),
  'expense.partly_paid from approved, expense.payment_posted', 'events tell of the payment and of the step');
select tests.authenticate_as('manager');
select throws_ok(format('select public.cancel_expense(%L, ''Wrong'')', tests.kept('lift')), 'PT409', 'transition_refused', 'what is paid in part is not cancelled');
select is((select string_agg(s.to_state, ', ' order by s.to_state) from public.next_states('expenses', tests.kept('lift')::uuid) s), 'approved, paid', 'from here it is paid, or the payment is taken back');
select lives_ok(format('select public.pay_expense(%L, account_id => %L, amount => 100, paid_on => current_date - 16)', tests.kept('lift'), pg_temp.account('Alder', 'operating', 'cash')), 'another part goes in cash, on another day');
select is(pg_temp.state('lift'), 'partly_paid 500', 'and both are paid of it');
select tests.keep('last', public.pay_expense(tests.kept('lift')::uuid, current_date - 17));
select is(pg_temp.state('lift'), 'paid 1000 15', 'without an amount the rest is paid: the expense is, since the last of its payments');
select is((select row(e.payment_entry_id, e.paid_by)::text from public.expenses e where e.id = tests.kept('lift')::uuid), row(tests.kept('last'), tests.id('manager'))::text, 'and says by which entry nothing was left, and who recorded it');
select is(pg_temp.payments('lift'), '1: 400 bank 15 posted, 2: 100 cash 16 posted, 3: 500 bank 17 posted', 'numbers follow one another');
select is(pg_temp.owed(), '60 = 60', 'nothing of it is owed');
select is((select p.memo from public.postings p where p.journal_entry_id = tests.kept('last')::uuid), 'Lift OOD, lift', 'a payment without a reference names supplier and invoice');

-- Never more ----------------------------------------------------------------------------------------------------------------

select throws_ok(format('select public.pay_expense(%L, amount => %s)', tests.kept(e.name), e.amount), e.state, e.token, e.why)
from (values
  ('lift', '1', 'PT409', 'transition_refused', 'of what is paid nothing is paid'),
  ('clean', '60.01', 'PT422', 'payment_exceeds', 'no more is paid than is owed'),
  ('clean', '0', 'PT422', 'invalid_amount', 'nothing is no payment'),
  ('clean', '-10', 'PT422', 'invalid_amount', 'nor is less than nothing'),
  ('clean', '1.005', 'PT422', 'invalid_amount', 'nor are three decimals of two'),
  ('clean', '''NaN''', 'PT422', 'invalid_amount', 'nor is what is no number'),
  ('clean', '''Infinity''', 'PT422', 'invalid_amount', 'nor what has no end'),
  ('clean', '1e300', 'PT422', 'invalid_amount', 'nor more than there is'),
  ('draft', '10', 'PT409', 'transition_refused', 'what is not approved is not paid')) e (name, amount, state, token, why);
select throws_ok(format('select public.pay_expense(%L, %s)', tests.kept('clean'), a.arguments), a.state, a.token, a.why)
from (values
  (format('account_id => %L, amount => 1', pg_temp.account('Alder', 'reserve', 'bank')), 'PT404', 'account_not_found', 'another fund pays no part of it'),
  (format('account_id => %L, amount => 1', pg_temp.account('Alder', 'operating', 'payable')), 'PT404', 'account_not_found', 'nor does what is no bank and no cash'),
  (format('account_id => %L, amount => 1', pg_temp.account('Cedar', 'operating', 'bank')), 'PT404', 'account_not_found', 'nor another community'),
  ('current_date + 1000, amount => 1', 'PT422', 'too_far_ahead', 'nothing is paid in three years'),
  ('current_date - 500, amount => 1', 'PT422', 'before_books', 'nor before the books were opened'),
  ('''infinity'', amount => 1', 'PT422', 'too_far_ahead', 'nor at the end of time'),
  ('reference => repeat(''x'', 501), amount => 1', 'PT422', 'invalid_value', 'a reference is short'),
  ('idempotency_key => '''', amount => 1', 'PT422', 'invalid_value', 'a key is no empty text'),
  ('idempotency_key => repeat(''x'', 201), amount => 1', 'PT422', 'invalid_value', 'and short')) a (arguments, state, token, why);
select is(concat_ws(', ', pg_temp.state('clean'), pg_temp.payments('clean'), pg_temp.owed()), 'approved 0, none, 60 = 60', 'and nothing is half done');

-- The same request --------------------------------------------------------------------------------------------------------

select tests.keep('keyed', public.pay_expense(tests.kept('clean')::uuid, current_date - 1, reference => 'Part', amount => 20, idempotency_key => 'k1'));
select is(public.pay_expense(tests.kept('clean')::uuid, current_date - 1, reference => 'Part', amount => 20, idempotency_key => 'k1'), tests.kept('keyed')::uuid, 'the same request again is the same payment');
select throws_ok(format('select public.pay_expense(%L, reference => %L, idempotency_key => ''k1'', %s)', tests.kept(c.expense), c.reference, c.more), 'PT409', 'idempotency_conflict', c.why)
from (values
  ('clean', 'Part', 'amount => 21', 'with another amount it is refused'),
  ('clean', 'Part', 'amount => 20, paid_on => current_date', 'and of another day'),
  ('clean', 'Other', 'amount => 20', 'and with another reference'),
  ('clean', 'Part', format('amount => 20, account_id => %L', pg_temp.account('Alder', 'operating', 'cash')), 'and from another account'),
  ('lift', 'Part', 'amount => 20', 'and for another expense')) c (expense, reference, more, why);
select is(pg_temp.payments('clean') || ', ' || pg_temp.state('clean'), '4: 20 bank 1 posted, partly_paid 20', 'it is paid once, and no number is lost by what was refused');

-- Up to an amount -----------------------------------------------------------------------------------------------------------

select tests.authenticate_as('capped');
select throws_ok(format('select public.pay_expense(%L, amount => 30.01)', tests.kept('clean')), 'PT403', 'amount_above_limit', 'whose role goes up to an amount pays, with what was paid before, no more of an expense');
select throws_ok(format('select public.pay_expense(%L)', tests.kept('clean')), 'PT403', 'amount_above_limit', 'the rest alone would not be above it');
select lives_ok(format('select public.pay_expense(%L, amount => 30)', tests.kept('clean')), 'up to it they pay');
select throws_ok(format('select public.pay_expense(%L, amount => 0.01)', tests.kept('clean')), 'PT403', 'amount_above_limit', 'and then not a cent: parts go no further than the whole would');
select is(pg_temp.state('clean'), 'partly_paid 50', 'and nothing more was paid');

-- Taking one back -----------------------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select throws_ok(format('select public.reverse_expense_payment(%L, ''Which?'')', tests.kept('lift')), 'PT409', 'payment_ambiguous', 'of several payments the one is named that is taken back');
select throws_ok(format('select public.reverse_expense_payment(%L, ''No'', payment_id => %L)', tests.kept('lift'), p.id), 'PT404', 'payment_not_found', p.why)
from (values (pg_temp.payment('clean', 20), 'it is a payment of the expense'), (tests.id('nothing'), 'and there is one')) p (id, why);
select throws_ok(format('select public.reverse_expense_payment(%L, '' '', payment_id => %L)', tests.kept('lift'), pg_temp.payment('lift', 400)), 'PT422', 'reason_required', 'for a reason');
select throws_ok(format('select public.reverse_expense_payment(%L, ''x'', current_date - 30, %L)', tests.kept('lift'), pg_temp.payment('lift', 400)), 'PT422', 'invalid_period', 'not before its day');
select throws_ok(format('select public.reverse_expense_payment(%L, repeat(''x'', 501), payment_id => %L)', tests.kept('lift'), pg_temp.payment('lift', 400)), 'PT422', 'invalid_value', 'in some words');
select is(pg_temp.state('lift'), 'paid 1000 15', 'and nothing is half done');
select tests.keep('back', public.reverse_expense_payment(tests.kept('lift')::uuid, ' The bank returned it ', payment_id => pg_temp.payment('lift', 400), idempotency_key => 'r1'));
select is(pg_temp.state('lift') || ', ' || pg_temp.owed(), 'partly_paid 600, 410 = 410', 'so much is owed again');
select is((select row(p.status, p.reversal_reason, p.reversal_entry_id)::text from public.expense_payments p where p.id = pg_temp.payment('lift', 400)),
  row('reversed', 'The bank returned it', tests.kept('back'))::text, 'the payment says that it was taken back, why and by which entry');
select is((select row(e.paid_on, e.paid_at, e.paid_by, e.payment_entry_id)::text from public.expenses e where e.id = tests.kept('lift')::uuid), '(,,,)', 'and the expense no longer that it is paid');
select is(public.reverse_expense_payment(tests.kept('lift')::uuid, 'The bank returned it', payment_id => pg_temp.payment('lift', 400), idempotency_key => 'r1'), tests.kept('back')::uuid, 'the same request again is the same reversal');
select throws_ok(format('select public.reverse_expense_payment(%L, ''The bank returned it'', payment_id => %L, idempotency_key => ''r1'')', tests.kept('lift'), pg_temp.payment('lift', 100)), 'PT409', 'idempotency_conflict', 'of another payment it is refused');
select throws_ok(format('select public.reverse_expense_payment(%L, ''Again'', payment_id => %L)', tests.kept('lift'), pg_temp.payment('lift', 400)), 'PT409', 'payment_reversed', 'a payment is taken back once');
select tests.authenticate_as('manager');
select throws_ok(format('select public.reverse_journal_entry(%L, ''Past the document'')', tests.kept('last')), 'PT409', 'entry_has_document', 'and through the expense alone');
select lives_ok(format('select public.pay_expense(%L)', tests.kept('lift')), 'what is owed again is paid again');
select is(pg_temp.payments('lift'), '1: 400 bank 15 reversed, 2: 100 cash 16 posted, 3: 500 bank 17 posted, 6: 400 bank 0 posted', 'by a payment of its own');
select public.reverse_expense_payment(tests.kept('lift')::uuid, 'Another invoice''s', payment_id => p.id)
from (select p.id from public.expense_payments p where p.expense_id = tests.kept('lift')::uuid and p.status = 'posted') p;
select is(pg_temp.state('lift') || ', ' || pg_temp.owed(), 'approved 0, 1010 = 1010', 'once all are taken back it is as it was approved');
select lives_ok(format('select public.cancel_expense(%L, ''Not ours'')', tests.kept('lift')), 'and can be cancelled');
select is(pg_temp.state('lift') || ', ' || pg_temp.owed() || ', ' || pg_temp.found(), 'cancelled 0, 10 = 10, nothing', 'of which nothing is left in the books, which are sound');

-- Periods -------------------------------------------------------------------------------------------------------------------

select pg_temp.approved('old', 'Alder_category', 100, 100);
select public.pay_expense(tests.kept('old')::uuid, current_date - 95, amount => 30);
select tests.authenticate_as('admin');
select public.close_period(tests.id('Alder'), (date_trunc('month', current_date - 40) - interval '1 day')::date);
select throws_ok(format('select public.pay_expense(%L, current_date - 95, amount => 10)', tests.kept('old')), 'PT409', 'period_closed', 'no part is paid in a closed period');
select throws_ok(format('select public.reverse_expense_payment(%L, ''x'', current_date - 95)', tests.kept('old')), 'PT409', 'period_closed', 'or taken back there');
select is(pg_temp.state('old'), 'partly_paid 30', 'and nothing is half done');
select lives_ok(format('select public.reverse_expense_payment(%L, ''Returned'')', tests.kept('old')), 'what was paid in a period that is closed is taken back today');
select lives_ok(format('select public.pay_expense(%L, amount => 100)', tests.kept('old')), 'and paid');

-- How old it is -------------------------------------------------------------------------------------------------------------

create function pg_temp.aged(day date default null) returns text language sql as $$
  select coalesce(string_agg(concat_ws(' ', coalesce(a.supplier_name, '-'), a.fund, trim_scale(a.balance) || ':', trim_scale(a.not_due), trim_scale(a.days_1_30), trim_scale(a.days_31_60), trim_scale(a.days_61_90),
    trim_scale(a.days_over_90), 'ahead', trim_scale(a.paid_ahead), 'other', trim_scale(a.without_expense), 'of', a.expenses), '; ' order by a.supplier_name), 'nothing')
  from public.payables_aging(tests.id('Alder'), day) a
$$;
select is(pg_temp.aged(), 'Lift OOD Operating fund 10: 0 10 0 0 0 ahead 0 other 0 of 1', 'what is owed is told by supplier, and how old it is');
select is(pg_temp.aged(current_date - 96), 'Lift OOD Operating fund 100: 0 100 0 0 0 ahead 0 other 0 of 1', 'as it was on any day');
select is(pg_temp.aged(current_date - 60), 'Lift OOD Operating fund 70: 0 0 70 0 0 ahead 0 other 0 of 1', 'after what had been paid until then');
select is(pg_temp.aged(current_date - 101), 'nothing', 'before anything was bought nothing was owed');
select tests.keep('soon', public.enter_expense(tests.id('Alder'), tests.kept('Alder_category')::uuid, 'Soon', 40, current_date, 'LIFT ood', 'S-1', current_date + 14));
select public.submit_expense(tests.kept('soon')::uuid), public.approve_expense(tests.kept('soon')::uuid);
select public.post_journal_entry(tests.id('Alder'), current_date, 'By hand', jsonb_build_array(jsonb_build_object('debit_account_id', pg_temp.expense_account('Alder', 'operating'), 'credit_account_id', pg_temp.account('Alder', 'operating', 'payable'), 'amount', 7)));
select public.pay_expense(tests.kept('soon')::uuid, current_date - 1, amount => 5);
select is(pg_temp.aged(), 'LIFT ood Operating fund 45: 35 10 0 0 0 ahead 0 other 0 of 2; - Operating fund 7: 0 0 0 0 0 ahead 0 other 7 of 0', 'one supplier is one, however it is written, and what was entered by hand stands by itself');
select is(pg_temp.aged(current_date - 1), 'LIFT ood Operating fund 105: 0 40 0 0 70 ahead -5 other 0 of 3', 'what was paid before it is booked was paid ahead');
select is_empty($$
  select d.day
  from generate_series(current_date - 110, current_date + 10, interval '5 days') d (day)
  where (select coalesce(sum(a.balance), 0) from public.payables_aging(tests.id('Alder'), d.day::date) a)
    is distinct from (select coalesce(sum(b.credit - b.debit), 0) from public.trial_balance(tests.id('Alder'), d.day::date) b join public.accounts k on k.id = b.account_id and k.purpose = 'payable')
    or exists (select from public.payables_aging(tests.id('Alder'), d.day::date) a
      where a.balance <> a.not_due + a.days_1_30 + a.days_31_60 + a.days_61_90 + a.days_over_90 + a.paid_ahead + a.without_expense)$$,
  'on every day it comes to what the trial balance says is owed to suppliers, column by column');
select throws_ok(format('select public.payables_aging(%L)', tests.id('Cedar')), 'PT403', 'permission_denied', 'of another community nobody is told');
select throws_ok(format('select public.payables_aging(%L, fund_id => %L)', tests.id('Alder'), pg_temp.fund('Cedar')), 'PT404', 'fund_not_found', 'nor of its funds');
select tests.authenticate_as('owner');
select throws_ok(format('select public.payables_aging(%L)', tests.id('Alder')), 'PT403', 'permission_denied', 'an owner, who sees the expenses, does not read the books');
select tests.authenticate_as('admin');
select public.reverse_journal_entry(j.id, 'Test') from public.journal_entries j where j.description = 'By hand';
select public.reverse_expense_payment(tests.kept('soon')::uuid, 'Test', current_date), public.cancel_expense(tests.kept('soon')::uuid, 'Test');

-- Past the RPCs -------------------------------------------------------------------------------------------------------------

select throws_ok(format('update public.expense_payments set amount = 1 where expense_id = %L', tests.kept('clean')), '42501', null, 'nobody writes past the RPCs');
select tests.as_studio();
select throws_ok(format('update public.expense_payments set %s where id = %L', c.change, pg_temp.payment('clean', 20)), 'PT409', c.token, c.why)
from (values
  ('amount = 1', 'column_frozen', 'an administrator with SQL changes no amount'),
  (format('expense_id = %L', tests.kept('old')), 'column_frozen', 'nor of what it pays'),
  ('idempotency_key = null', 'column_frozen', 'nor its key')) c (change, token, why);
select throws_ok(format('update public.expense_payments set status = ''reversed'', reversal_reason = ''x'', reversal_entry_id = journal_entry_id where id = %L', pg_temp.payment('clean', 20)), 'PT422', 'expense_mismatch',
  'nor takes one back without an entry that does');
select throws_ok(format('update public.expense_payments set deleted_at = now() where id = %L', pg_temp.payment('clean', 20)), '23514', null, 'nor puts one away');
select throws_ok(format('update public.expenses set %s where id = %L', c.change, tests.kept('clean')), c.state, c.token, c.why)
from (values
  ('paid_amount = 40', 'PT422', 'expense_mismatch', 'nor says that more or less was paid'),
  ('paid_amount = 60, status = ''paid'', paid_on = current_date, paid_at = now(), payment_entry_id = journal_entry_id', 'PT422', 'expense_mismatch', 'nor that all was'),
  ('status = ''approved''', '23514', null, 'nor that nothing was')) c (change, state, token, why);
select throws_ok(format(
  'insert into public.expense_payments (number, community_id, expense_id, amount, decimals, paid_on, account_id, journal_entry_id) select 99, e.community_id, e.id, 1, 2, current_date, %L, %s from public.expenses e where e.id = %L',
  pg_temp.account('Alder', 'operating', 'bank'), c.entry, tests.kept('clean')), c.state, c.token, c.why)
from (values
  ('e.journal_entry_id', 'PT422', 'expense_mismatch', 'nor passes the approval off as a payment'),
  (quote_literal(tests.kept('last')), '23505', null, 'nor one payment''s entry as two')) c (entry, state, token, why);
select is(pg_temp.state('clean') || ', ' || pg_temp.found(), 'partly_paid 50, nothing', 'and everything is as it was');

-- What an auditor finds -----------------------------------------------------------------------------------------------------

savepoint sound;
set local session_replication_role = replica;
update public.expense_payments set amount = 21 where id = pg_temp.payment('clean', 20);
select is(pg_temp.found(), 'expense_payment_differs', 'an amount that was changed is found');
rollback to sound; set local session_replication_role = replica;
update public.expense_payments set account_id = pg_temp.account('Alder', 'operating', 'cash') where id = pg_temp.payment('clean', 20);
select is(pg_temp.found(), 'expense_payment_differs', 'and an account');
rollback to sound; set local session_replication_role = replica;
update public.expenses set paid_amount = 49 where id = tests.kept('clean')::uuid;
select is(pg_temp.found(), 'expense_payment_differs', 'and an expense that says something else is paid');
rollback to sound; set local session_replication_role = replica;
delete from public.expense_payments where id = pg_temp.payment('clean', 20);
select matches(pg_temp.found(), 'expense_payment_differs', 'and a payment that is missing');
rollback to sound;
set local session_replication_role = origin;
select lives_ok(format('select app.reverse_entry(%L, current_date, ''Past the payment'')', (select p.journal_entry_id from public.expense_payments p where p.id = pg_temp.payment('clean', 20))), 'an entry is taken back behind the back of its payment');
select is(pg_temp.found(), 'expense_payment_differs', 'which is found');
rollback to sound;

-- Who -----------------------------------------------------------------------------------------------------------------------

select is(pg_temp.seen_by(u.who), 'Part, Part 1', u.who || ' sees every payment')
from (values ('manager'), ('admin'), ('committee'), ('accountant'), ('owner')) u (who);
select is(pg_temp.seen_by(u.who), 'nothing', u.who || ' sees none')
from (values ('tenant'), ('family'), ('guard'), ('foreign')) u (who);
select tests.authenticate_as('owner');
select throws_ok(format('select public.%s', c.call), 'PT403', 'permission_denied', 'an owner, who sees it, ' || c.name)
from (values ('pays no part', format('pay_expense(%L, amount => 1)', tests.kept('clean'))), ('takes none back', format('reverse_expense_payment(%L, ''x'', payment_id => %L)', tests.kept('clean'), pg_temp.payment('clean', 20)))) c (name, call);
select tests.authenticate_as('foreign');
select throws_ok(format('select public.%s', c.call), 'PT404', 'expense_not_found', 'the manager of another community ' || c.name)
from (values ('pays no part', format('pay_expense(%L, amount => 1)', tests.kept('clean'))), ('takes none back', format('reverse_expense_payment(%L, ''x'', payment_id => %L)', tests.kept('clean'), pg_temp.payment('clean', 20)))) c (name, call);
select tests.as_studio();
select is(pg_temp.state('clean') || ', ' || pg_temp.owed(), 'partly_paid 50, 10 = 10', 'and what is owed is as it was');

select * from finish();
rollback;
