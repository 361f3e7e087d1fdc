-- Expenses: entered, submitted, approved, paid, taken back; what each step posts, who takes it, and that nothing is half done.

begin;
select plan(128);

select tests.create_community('Alder'), tests.create_community('Cedar');
-- A fiscal year that began nine months ago.
select public.open_books(tests.id(c.name), b.day, fiscal_year_start_month => extract(month from b.day)::integer)
from unnest('{Alder,Cedar}'::text[]) c (name) cross join (select (date_trunc('month', current_date) - interval '9 months')::date) b (day);
select tests.create_supabase_user(u) from unnest('{manager,admin,accountant,committee,capped,owner,tenant,family,guard,foreign}'::text[]) u;
select tests.create_unit('1', 'Alder');
select tests.create_resident(initcap(r), 'Alder', tests.email(r)), tests.occupy(initcap(r), '1', r::public.occupancy_role, current_date - 100) from unnest('{owner,tenant,family}'::text[]) r;
select tests.grant_role(u, u, community => 'Alder') from unnest('{manager,admin,accountant,committee,guard}'::text[]) u;
select tests.grant_role('foreign', 'manager', community => 'Cedar');
select public.restrict_role(tests.grant_role('capped', 'manager', community => 'Alder'), '{"amounts": {"expenses.approve": 100, "expenses.pay": 50}}');

create function pg_temp.fund(community text, kind public.fund_kind) returns uuid language sql stable security definer as $$
  select f.id from public.funds f where f.community_id = tests.id(community) and f.kind = fund.kind order by f.id limit 1
$$;
create function pg_temp.account(community text, kind public.fund_kind, purpose public.account_purpose) returns uuid language sql stable security definer as $$
  select a.id from public.accounts a where a.community_id = tests.id(community) and a.fund_id = pg_temp.fund(community, kind) and a.purpose = account.purpose order by a.code limit 1
$$;
create function pg_temp.expense_account(community text, kind public.fund_kind) returns uuid language sql stable security definer as $$
  select a.id from public.accounts a where a.community_id = tests.id(community) and a.fund_id = pg_temp.fund(community, kind) and a.type = 'expense' and a.purpose in ('expense', 'general') order by a.code limit 1
$$;
-- What has been posted in a community: purpose or type of both accounts and the amount.
create function pg_temp.posted(community text) returns text language sql stable security definer as $$
  select coalesce(string_agg(format('%s: %s %s to %s', j.kind, p.amount, case when k.type = 'expense' then 'expense' else k.purpose::text end, case when d.type = 'expense' then 'expense' else d.purpose::text end), '; ' order by j.id, p.id), 'nothing')
  from public.journal_entries j
  join public.postings p on p.journal_entry_id = j.id
  join public.accounts d on d.id = p.debit_account_id join public.accounts k on k.id = p.credit_account_id
  where j.community_id = tests.id(community)
$$;
-- What the accounts of a community come to, those that come to nothing apart.
create function pg_temp.left_over(community text) returns text language sql stable security definer as $$
  select coalesce(string_agg(format('%s %s', a.code, b.amount), '; ' order by a.code), 'nothing')
  from (
    select l.account_id, sum(coalesce(l.debit, 0) - coalesce(l.credit, 0)) as amount from public.ledger_lines l where l.community_id = tests.id(community) group by l.account_id
  ) b
  join public.accounts a on a.id = b.account_id
  where b.amount <> 0
$$;
create function pg_temp.state(expense text) returns text language sql stable security definer as $$ select e.status::text from public.expenses e where e.id = tests.kept(expense)::uuid $$;
create function pg_temp.seen_by(who text) returns text language plpgsql as $$
begin
  perform tests.authenticate_as(who);
  return tests.seen('public.expenses', 'description');
end $$;
create function pg_temp.receipt(name text, community text, purpose text default 'expenses.receipt', status public.file_status default 'stored', owner text default null) returns uuid language sql volatile as $$
  insert into public.files (id, name, community_id, purpose, bucket, content_type, size, status, stored_at, owner_id)
  select tests.id(receipt.name), receipt.name, tests.id(community), p.key, p.bucket, 'application/pdf', 10, receipt.status, case when receipt.status = 'stored' then now() end, tests.id(owner)
  from public.file_purposes p where p.key = receipt.purpose returning id
$$;
do $$ begin execute format('grant execute on all functions in schema %I to anon, authenticated, service_role', pg_my_temp_schema()::regnamespace); end $$;

select tests.keep(c || '_category', public.create_expense_category(tests.id(c), 'LIFT', 'Lift', pg_temp.expense_account(c, 'operating'))) from unnest('{Alder,Cedar}'::text[]) c;
select tests.keep('reserve_category', public.create_expense_category(tests.id('Alder'), 'ROOF', 'Roof', pg_temp.expense_account('Alder', 'reserve')));
select pg_temp.receipt('receipt', 'Alder', owner => 'manager'), pg_temp.receipt('second receipt', 'Alder'), pg_temp.receipt('foreign receipt', 'Cedar'),
  pg_temp.receipt('logo', 'Alder', 'community.document'), pg_temp.receipt('unstored receipt', 'Alder', status => 'registered');

-- Entering --------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select tests.keep('lift', public.enter_expense(tests.id('Alder'), tests.kept('Alder_category')::uuid, 'Lift repair', 1200.50, current_date - 10, ' Lift OOD ', 'F-17', current_date + 20, receipt_file_id => tests.id('receipt')));
select is(
  (select row(e.number, e.status, e.amount, e.decimals, e.fund_id, e.supplier_name, e.starts_on, e.ends_on, e.created_by)::text from public.expenses e where e.id = tests.kept('lift')::uuid),
  row(1, 'draft', 1200.50, 2, pg_temp.fund('Alder', 'operating'), 'Lift OOD', current_date - 10, current_date - 10, tests.id('manager'))::text,
  'an expense is entered as a draft, with the next number, of the fund of its category, for the day on which it was incurred');
select is((select f.owner_id from public.files f where f.id = tests.id('receipt')), null, 'its receipt is the community''s from then on');

select throws_ok(format('select public.enter_expense(%s)', r.arguments), r.state, r.token, r.why)
from (values
  (format('%L, %L, %L, 0, current_date', tests.id('Alder'), tests.kept('Alder_category'), 'x'), 'PT422', 'invalid_value', 'nothing costs nothing'),
  (format('%L, %L, %L, -5, current_date', tests.id('Alder'), tests.kept('Alder_category'), 'x'), 'PT422', 'invalid_value', 'or less'),
  (format('%L, %L, %L, 1.005, current_date', tests.id('Alder'), tests.kept('Alder_category'), 'x'), 'PT422', 'invalid_value', 'or half a cent'),
  (format('%L, %L, %L, ''NaN'', current_date', tests.id('Alder'), tests.kept('Alder_category'), 'x'), 'PT422', 'invalid_value', 'or what is no number'),
  (format('%L, %L, %L, ''Infinity'', current_date', tests.id('Alder'), tests.kept('Alder_category'), 'x'), 'PT422', 'invalid_value', 'or without end'),
  (format('%L, %L, %L, 1e15, current_date', tests.id('Alder'), tests.kept('Alder_category'), 'x'), 'PT422', 'invalid_value', 'or more than there is'),
  (format('%L, %L, %L, null, current_date', tests.id('Alder'), tests.kept('Alder_category'), 'x'), 'PT422', 'invalid_value', 'an amount is given'),
  (format('%L, %L, %L, 5, null', tests.id('Alder'), tests.kept('Alder_category'), 'x'), 'PT422', 'invalid_value', 'and a day'),
  (format('%L, %L, %L, 5, ''infinity''', tests.id('Alder'), tests.kept('Alder_category'), 'x'), 'PT422', 'invalid_value', 'that comes'),
  (format('%L, %L, %L, 5, current_date, starts_on => current_date, ends_on => current_date - 1', tests.id('Alder'), tests.kept('Alder_category'), 'x'), 'PT422', 'invalid_value', 'it is for days that end after they begin'),
  (format('%L, %L, %L, 5, current_date', tests.id('Alder'), tests.kept('Alder_category'), '  '), 'PT422', 'invalid_value', 'and says what for'),
  (format('%L, %L, %L, 5, current_date', tests.id('Alder'), tests.kept('Cedar_category'), 'x'), 'PT404', 'category_not_found', 'the category is of the same community'),
  (format('%L, null, %L, 5, current_date', tests.id('Alder'), 'x'), 'PT404', 'category_not_found', 'and is named'),
  (format('%L, %L, %L, 5, current_date, receipt_file_id => %L', tests.id('Alder'), tests.kept('Alder_category'), 'x', tests.id('foreign receipt')), 'PT404', 'file_not_found', 'the receipt of another community is none'),
  (format('%L, %L, %L, 5, current_date, receipt_file_id => %L', tests.id('Alder'), tests.kept('Alder_category'), 'x', tests.id('logo')), 'PT404', 'file_not_found', 'nor is a file for something else'),
  (format('%L, %L, %L, 5, current_date, receipt_file_id => %L', tests.id('Alder'), tests.kept('Alder_category'), 'x', tests.id('unstored receipt')), 'PT404', 'file_not_found', 'nor one that was never uploaded'),
  (format('%L, %L, %L, 5, current_date, ''lift ood'', ''f-17''', tests.id('Alder'), tests.kept('Alder_category'), 'x'), 'PT409', 'invoice_taken', 'one invoice is not entered twice in a category'),
  (format('%L, %L, %L, 5, current_date', tests.id('Cedar'), tests.kept('Cedar_category'), 'x'), 'PT403', 'permission_denied', 'a manager enters none elsewhere')) r (arguments, state, token, why);
select is((select count(*) from public.expenses), 1::bigint, 'of what was refused nothing is stored');
select tests.keep('roof', public.enter_expense(tests.id('Alder'), tests.kept('reserve_category')::uuid, 'Roof', 90, current_date - 10, 'Lift OOD', 'F-17', starts_on => current_date - 40, ends_on => current_date - 10));
select is((select e.number from public.expenses e where e.id = tests.kept('roof')::uuid), 2::bigint, 'an invoice is split among categories, and no number is lost by what was refused');

-- Changing --------------------------------------------------------------------------------------------------------------

select lives_ok(format('select public.change_expense(%L, %L, %L, 1200, current_date - 9, %L, %L, starts_on => current_date - 30, ends_on => current_date - 1)', tests.kept('lift'), tests.kept('Alder_category'), 'Lift repair', 'Lift OOD', 'F-17'), 'a draft is changed');
select is((select row(e.amount, e.incurred_on, e.starts_on, e.ends_on, e.due_on, e.receipt_file_id)::text from public.expenses e where e.id = tests.kept('lift')::uuid),
  row(1200.00, current_date - 9, current_date - 30, current_date - 1, null::date, tests.id('receipt'))::text, 'as a whole, but for its receipt');
select throws_ok(format('select public.change_expense(%L, %L, %L, 0.001, current_date)', tests.kept('lift'), tests.kept('Alder_category'), 'x'), 'PT422', 'invalid_value', 'the same holds of what it is changed to');
select throws_ok(format('select public.change_expense(%L, %L, %L, 1, current_date)', tests.kept('lift'), tests.kept('Cedar_category'), 'x'), 'PT404', 'category_not_found', 'of its category too');
select lives_ok(format('select public.set_expense_receipt(%L, %L)', tests.kept('lift'), tests.id('second receipt')), 'the receipt of a draft is exchanged');
select throws_ok(format('select public.set_expense_receipt(%L, %L)', tests.kept('lift'), tests.id('foreign receipt')), 'PT404', 'file_not_found', 'for one of the community');
select throws_ok(format('select public.remove_file(%L)', tests.id('second receipt')), 'PT409', 'has_live_children', 'what an expense names cannot be removed');
select lives_ok(format('select public.remove_file(%L)', tests.id('receipt')), 'what it named before can');
select throws_ok(format('update public.expenses set amount = 1 where id = %L', tests.kept('lift')), '42501', null, 'nobody writes past the RPCs');

-- Submitting ------------------------------------------------------------------------------------------------------------

select throws_ok(format('select public.approve_expense(%L)', tests.kept('lift')), 'PT409', 'transition_refused', 'a draft is not approved');
select throws_ok(format('select public.pay_expense(%L)', tests.kept('lift')), 'PT409', 'transition_refused', 'nor paid');
select lives_ok(format('select public.submit_expense(%L)', tests.kept('lift')), 'it is submitted');
select throws_ok(format('select public.submit_expense(%L)', tests.kept('lift')), 'PT409', 'transition_refused', 'once');
select throws_ok(format('select public.change_expense(%L, %L, %L, 1, current_date)', tests.kept('lift'), tests.kept('Alder_category'), 'x'), 'PT409', 'transition_refused', 'and does not change any more');
select throws_ok(format('select public.set_expense_receipt(%L, null)', tests.kept('lift')), 'PT409', 'transition_refused', 'nor loses its receipt');
select tests.as_studio();
select throws_ok(format('update public.expenses set amount = 1 where id = %L', tests.kept('lift')), 'PT409', 'column_frozen', 'for an administrator with SQL neither');
select throws_ok(format('update public.expenses set receipt_file_id = null where id = %L', tests.kept('lift')), 'PT409', 'column_frozen', 'nor does its receipt go');
select throws_ok(format('update public.expenses set status = ''approved'', approved_at = now() where id = %L', tests.kept('lift')), '23514', null, 'nor is it approved without an entry');
select throws_ok(format('update public.expenses set status = ''paid'' where id = %L', tests.kept('lift')), 'PT409', 'transition_refused', 'nor paid unapproved');
select throws_ok(format('update public.files set status = ''removed'', deleted_at = now() where id = %L', tests.id('second receipt')), 'PT409', 'has_live_children', 'nor is its receipt removed');

-- Rejecting -------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select throws_ok(format('select public.reject_expense(%L, ''No'')', tests.kept('lift')), 'PT403', 'permission_denied', 'an accountant rejects nothing');
select throws_ok(format('select public.approve_expense(%L)', tests.kept('lift')), 'PT403', 'permission_denied', 'and approves nothing');
select tests.authenticate_as('committee');
select throws_ok(format('select public.reject_expense(%L, '' '')', tests.kept('lift')), 'PT422', 'reason_required', 'what is rejected is rejected for a reason');
select lives_ok(format('select public.reject_expense(%L, ''Too dear'')', tests.kept('lift')), 'a member of the committee rejects');
select is((select row(e.status, e.rejected_because)::text from public.expenses e where e.id = tests.kept('lift')::uuid), '(rejected,"Too dear")', 'and it says why');
select throws_ok(format('select public.approve_expense(%L)', tests.kept('lift')), 'PT409', 'transition_refused', 'what was rejected is not approved');
select throws_ok(format('select public.reopen_expense(%L)', tests.kept('lift')), 'PT403', 'permission_denied', 'who approves does not change what was entered');
select tests.authenticate_as('manager');
select lives_ok(format('select public.reopen_expense(%L)', tests.kept('lift')), 'it is taken up again');
select lives_ok(format('select public.submit_expense(%L)', tests.kept('lift')), 'and submitted again');
select is(pg_temp.posted('Alder'), 'nothing', 'until now nothing was posted');

-- Approving -------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('capped');
select throws_ok(format('select public.approve_expense(%L)', tests.kept('lift')), 'PT403', 'amount_above_limit', 'whose role goes up to an amount approves no more');
select tests.authenticate_as('committee');
select throws_ok(format('select public.approve_expense(%L, current_date - 500)', tests.kept('lift')), 'PT422', 'before_books', 'nothing is booked before the books were opened');
select is(pg_temp.state('lift') || ', ' || pg_temp.posted('Alder'), 'submitted, nothing', 'and then nothing is half done');
select tests.keep('entry', public.approve_expense(tests.kept('lift')::uuid));
select is(pg_temp.posted('Alder'), 'expense: 1200.00 payable to expense', 'approved, the expense stands against what is owed');
select is(
  (select row(e.status, e.approved_by, e.journal_entry_id)::text from public.expenses e where e.id = tests.kept('lift')::uuid),
  row('approved', tests.id('committee'), tests.kept('entry'))::text, 'and the expense names its entry, and who approved');
select tests.as_studio();
select is((select row(j.kind, j.effective_on, j.document_kind, j.document_id, j.booked_by, j.description)::text from public.journal_entries j where j.id = tests.kept('entry')::uuid),
  row('expense', current_date - 9, 'expense', tests.kept('lift'), tests.id('committee'), 'Lift repair')::text, 'the entry names the expense, on its day');
select is((select l.action from public.audit_log l where l.row_id = tests.kept('lift')::uuid order by l.id desc limit 1), 'EXPENSE_APPROVED', 'the audit log calls it by its name');
select is((select o.payload ->> 'expense_id' from app.outbox o where o.topic = 'expense.approved' and o.community_id = tests.id('Alder')), tests.kept('lift'), 'and an event tells of it');
select throws_ok(format('update public.expenses set status = ''paid'', paid_on = current_date, paid_at = now(), paid_amount = amount, payment_entry_id = journal_entry_id where id = %L', tests.kept('lift')), 'PT422', 'expense_mismatch',
  'an administrator with SQL does not pass the approval off as the payment');
select throws_ok(format('update public.expenses set journal_entry_id = null where id = %L', tests.kept('lift')), 'PT409', 'column_frozen', 'the entry is not let go of');
select throws_ok(format('update public.expenses set deleted_at = now() where id = %L', tests.kept('lift')), '23514', null, 'and what was posted is not archived');
select tests.authenticate_as('committee');
select throws_ok(format('select public.approve_expense(%L)', tests.kept('lift')), 'PT409', 'transition_refused', 'an expense is approved once');
select throws_ok(format('select public.pay_expense(%L)', tests.kept('lift')), 'PT403', 'permission_denied', 'who approves does not pay');
select tests.authenticate_as('manager');
select throws_ok(format('select public.reverse_journal_entry(%L, ''Past the document'')', tests.kept('entry')), 'PT409', 'entry_has_document', 'the entry of a document is reversed through it');
select throws_ok(format('select public.reopen_expense(%L)', tests.kept('lift')), 'PT409', 'transition_refused', 'what is approved is no draft any more');

-- Paying ----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('capped');
select throws_ok(format('select public.pay_expense(%L)', tests.kept('lift')), 'PT403', 'amount_above_limit', 'whose role goes up to an amount pays no more');
select tests.authenticate_as('accountant');
select throws_ok(format('select public.pay_expense(%L, account_id => %L)', tests.kept('lift'), a.id), 'PT404', 'account_not_found', a.why)
from (values
  (pg_temp.account('Alder', 'reserve', 'bank'), 'another fund does not pay for it'),
  (pg_temp.account('Cedar', 'operating', 'bank'), 'nor does another community'),
  (pg_temp.account('Alder', 'operating', 'payable'), 'nor what is no bank and no cash')) a (id, why);
select throws_ok(format('select public.pay_expense(%L, current_date + 1000)', tests.kept('lift')), 'PT422', 'too_far_ahead', 'nothing is paid in three years');
select is(pg_temp.state('lift') || ', ' || pg_temp.posted('Alder'), 'approved, expense: 1200.00 payable to expense', 'and then nothing is half done');
select tests.keep('payment', public.pay_expense(tests.kept('lift')::uuid, current_date - 1));
select is(pg_temp.posted('Alder'), 'expense: 1200.00 payable to expense; payment: 1200.00 bank to payable', 'paid, the bank has paid what was owed');
select is((select row(e.status, e.paid_on, e.paid_by, e.payment_entry_id)::text from public.expenses e where e.id = tests.kept('lift')::uuid),
  row('paid', current_date - 1, tests.id('accountant'), tests.kept('payment'))::text, 'and the expense says when, by whom and by which entry');
select throws_ok(format('select public.pay_expense(%L)', tests.kept('lift')), 'PT409', 'transition_refused', 'an expense is paid once');
select throws_ok(format('select public.cancel_expense(%L, ''Wrong'')', tests.kept('lift')), 'PT409', 'transition_refused', 'what is paid is not cancelled');

-- Taking back -----------------------------------------------------------------------------------------------------------

select throws_ok(format('select public.reverse_expense_payment(%L, '''')', tests.kept('lift')), 'PT422', 'reason_required', 'a payment is taken back for a reason');
select tests.keep('returned', public.reverse_expense_payment(tests.kept('lift')::uuid, 'The bank returned it'));
select is((select row(e.status, e.paid_on, e.payment_entry_id)::text from public.expenses e where e.id = tests.kept('lift')::uuid), '(approved,,)', 'the expense is to be paid again');
select is((select j.reverses_id from public.journal_entries j where j.id = tests.kept('returned')::uuid), tests.kept('payment')::uuid, 'and the payment was reversed');
select throws_ok(format('select public.reverse_expense_payment(%L, ''Again'')', tests.kept('lift')), 'PT409', 'transition_refused', 'once');
select lives_ok(format('select public.pay_expense(%L)', tests.kept('lift')), 'it is paid again');
select lives_ok(format('select public.reverse_expense_payment(%L, ''Once more'')', tests.kept('lift')), 'and taken back again');
select throws_ok(format('select public.cancel_expense(%L, repeat(''x'', 501))', tests.kept('lift')), 'PT422', 'invalid_value', 'a reason is short');
select tests.keep('reversal', public.cancel_expense(tests.kept('lift')::uuid, 'Another building''s'));
select is((select row(e.status, e.cancelled_because, e.journal_entry_id, e.reversal_entry_id)::text from public.expenses e where e.id = tests.kept('lift')::uuid),
  row('cancelled', 'Another building''s', tests.kept('entry'), tests.kept('reversal'))::text, 'what is cancelled is reversed, and says why');
select is(pg_temp.left_over('Alder'), 'nothing', 'and nothing is left of it in the books');
select throws_ok(format('select public.cancel_expense(%L, ''Again'')', tests.kept('lift')), 'PT409', 'transition_refused', 'once');
select throws_ok(format('select public.pay_expense(%L)', tests.kept('lift')), 'PT409', 'transition_refused', 'and for good');
select throws_ok(format('select public.set_expense_receipt(%L, null)', tests.kept('lift')), 'PT409', 'transition_refused', 'its receipt stays');
select throws_ok(format('select public.remove_file(%L)', tests.id('second receipt')), 'PT409', 'has_live_children', 'for as long as the books');
select lives_ok(format('select public.enter_expense(%L, %L, %L, 1200, current_date, %L, %L, receipt_file_id => %L)', tests.id('Alder'), tests.kept('Alder_category'), 'Lift repair', 'Lift OOD', 'F-17', tests.id('second receipt')),
  'the invoice may be entered anew, with the same receipt');
select is(public.cancel_expense(tests.kept('roof')::uuid, 'Not ours'), null, 'cancelling a draft reverses nothing');
select is(pg_temp.state('roof'), 'cancelled', 'but cancels it');

-- Periods ---------------------------------------------------------------------------------------------------------------

select tests.keep('old', public.enter_expense(tests.id('Alder'), tests.kept('Alder_category')::uuid, 'Found late', 10, current_date - 100));
select public.submit_expense(tests.kept('old')::uuid);
select tests.authenticate_as('admin');
select public.close_period(tests.id('Alder'), (date_trunc('month', current_date - 40) - interval '1 day')::date);
select throws_ok(format('select public.approve_expense(%L)', tests.kept('old')), 'PT409', 'period_closed', 'nothing is booked in a closed period');
select is(pg_temp.state('old'), 'submitted', 'and nothing is half done');
select lives_ok(format('select public.approve_expense(%L, current_date)', tests.kept('old')), 'it is booked on an open day');
select throws_ok(format('select public.pay_expense(%L, current_date - 100)', tests.kept('old')), 'PT409', 'period_closed', 'nothing is paid in a closed period');
select throws_ok(format('select public.cancel_expense(%L, ''x'', current_date - 100)', tests.kept('old')), 'PT422', 'invalid_period', 'and nothing reversed before its own day');
select is(pg_temp.state('old'), 'approved', 'and nothing is half done there either');

-- Four eyes -------------------------------------------------------------------------------------------------------------

select public.set_setting('billing.expense_four_eyes', 'true', community_id => tests.id('Alder'));
select tests.authenticate_as('manager');
select tests.keep('eyes', public.enter_expense(tests.id('Alder'), tests.kept('Alder_category')::uuid, 'Garden', 20, current_date));
select public.submit_expense(tests.kept('eyes')::uuid);
select throws_ok(format('select public.approve_expense(%L)', tests.kept('eyes')), 'PT403', 'second_person_required', 'with four eyes nobody approves what they entered');
select public.reopen_expense(tests.kept('eyes')::uuid);
select tests.authenticate_as('admin');
select public.submit_expense(tests.kept('eyes')::uuid);
select throws_ok(format('select public.approve_expense(%L)', tests.kept('eyes')), 'PT403', 'second_person_required', 'or submitted');
select tests.authenticate_as('manager');
select throws_ok(format('select public.approve_expense(%L)', tests.kept('eyes')), 'PT403', 'second_person_required', 'nor entered, whoever submitted it');
select tests.as_studio();
select throws_ok(format('select public.approve_expense(%L)', tests.kept('eyes')), 'PT403', 'second_person_required', 'nor does somebody who is nobody');
select is(pg_temp.state('eyes'), 'submitted', 'and nothing was done');
select tests.authenticate_as('committee');
select lives_ok(format('select public.approve_expense(%L)', tests.kept('eyes')), 'somebody else does');

-- Erasing ---------------------------------------------------------------------------------------------------------------

select tests.as_studio();
select pg_temp.receipt('receipt of accountant', 'Alder', owner => 'accountant'), pg_temp.receipt('unused receipt', 'Alder', owner => 'accountant');
select tests.authenticate_as('accountant');
select tests.keep('erased', public.enter_expense(tests.id('Alder'), tests.kept('Alder_category')::uuid, 'Erased', 5, current_date, receipt_file_id => tests.id('receipt of accountant')));
select lives_ok(format('select public.erase_my_account(%L)', tests.email('accountant')), 'who entered expenses may have the account erased');
select tests.as_studio();
select is((select string_agg(f.name || ' ' || f.status, ', ' order by f.name) from public.files f where f.id in (tests.id('receipt of accountant'), tests.id('unused receipt'))), 'erased removed, receipt of accountant stored',
  'the receipts that expenses name stay with the community');
select is((select e.status from public.expenses e where e.id = tests.kept('erased')::uuid), 'draft', 'and so do the expenses');
select public.cancel_expense(tests.kept('erased')::uuid, 'Test');

-- Who -------------------------------------------------------------------------------------------------------------------

select is(pg_temp.seen_by(u.who), 'Erased, Found late, Garden, Lift repair, Roof', u.who || ' sees every expense')
from (values ('manager'), ('admin'), ('committee'), ('owner')) u (who);
select is(pg_temp.seen_by(u.who), 'nothing', u.who || ' sees none')
from (values ('tenant'), ('family'), ('guard'), ('foreign')) u (who);
select tests.authenticate_as('owner');
select is((select string_agg(f.name, ', ' order by f.name) from public.files f where f.purpose = 'expenses.receipt'), 'receipt of accountant, second receipt', 'an owner reads the receipts');
select throws_ok(format('select public.%s', c.call), 'PT403', 'permission_denied', 'an owner, who sees it, does not ' || c.name)
from (values ('submit', format('submit_expense(%L)', tests.kept('eyes'))), ('pay', format('pay_expense(%L)', tests.kept('eyes'))), ('cancel', format('cancel_expense(%L, ''x'')', tests.kept('eyes')))) c (name, call);
select tests.authenticate_as('foreign');
select is((select count(*) from public.files f where f.purpose = 'expenses.receipt' and f.community_id = tests.id('Alder')), 0::bigint, 'the manager of another community reads none');
select throws_ok(format('select public.%s', c.call), 'PT404', 'expense_not_found', 'nor learns by ' || c.name || ' that it is there')
from (values ('submit_expense', format('submit_expense(%L)', tests.kept('eyes'))), ('approve_expense', format('approve_expense(%L)', tests.kept('eyes'))), ('pay_expense', format('pay_expense(%L)', tests.kept('eyes'))),
  ('cancel_expense', format('cancel_expense(%L, ''x'')', tests.kept('eyes'))), ('set_expense_receipt', format('set_expense_receipt(%L, null)', tests.kept('eyes')))) c (name, call);
select tests.as_studio();
select is(pg_temp.state('eyes'), 'approved', 'and everything is as it was');
select is_empty(format('select * from app.check_expense_entries(%L)', tests.id('Alder')), 'the books and the expenses agree');

select * from finish();
rollback;
