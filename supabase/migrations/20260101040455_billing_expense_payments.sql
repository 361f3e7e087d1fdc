-- Billing: what is paid of an expense.
--
-- Purpose     A supplier is paid at once or in parts, each from an account of its own, on its own day; and a payment is taken back.
-- Tables      expense_payments
-- RPCs        pay_expense, reverse_expense_payment, payables_aging
-- Invariants  A payment is a document: it has a number of its community without gaps, a day, an amount, a bank or cash account of the
--             expense's fund, and the one entry that it posted: debit what the approval credited to suppliers, credit that account. It
--             never changes; it is taken back as a whole, by the reversal of its entry, for a reason. All that stand of an expense come to
--             no more than it costs (422 payment_exceeds), and to its paid_amount, whoever writes: approved (nothing is paid), partly_paid
--             and paid follow from that, and are written by the payments alone. So what is approved and not paid is what the fund's
--             account of payables owes suppliers, whatever was entered there by hand apart: payables_aging reads both from the postings of
--             those accounts, so that its columns come to them on any day. Whose membership goes up to an amount pays of one expense, with what was paid
--             before, no more than that: parts go no further than the whole would.
--
-- Locks       The expense, then what the journal locks. Of two payments at once of which one fits, the other finds too little left.

create type public.expense_payment_status as enum ('posted', 'reversed');

select app.define_action('EXPENSE_PAID', 'An expense was paid, or a part of it, and the payment posted.');
select app.define_action('EXPENSE_PAYMENT_REVERSED', 'A payment of an expense was taken back.');

create table public.expense_payments (
  id uuid not null default extensions.uuidv7(),
  number bigint not null,
  community_id uuid not null,
  expense_id uuid not null,
  amount numeric not null,
  decimals smallint not null,
  paid_on date not null,
  account_id uuid not null,
  reference text,
  journal_entry_id uuid not null,
  status public.expense_payment_status not null default 'posted',
  reversal_reason text,
  reversal_entry_id uuid,
  idempotency_key text,
  reversal_idempotency_key text,
  like app.row_model including defaults including comments,
  constraint expense_payments_pkey primary key (id),
  constraint expense_payments_community_id_key unique (community_id, id),
  constraint expense_payments_number_key unique (community_id, number),
  constraint expense_payments_entry_key unique (community_id, journal_entry_id),
  constraint expense_payments_idempotency_key unique (community_id, idempotency_key),
  constraint expense_payments_reversal_idempotency_key unique (community_id, reversal_idempotency_key),
  constraint expense_payments_ledger_fkey foreign key (community_id, decimals) references public.ledgers (community_id, decimals) on delete restrict,
  constraint expense_payments_expense_fkey foreign key (community_id, expense_id) references public.expenses (community_id, id) on delete restrict,
  constraint expense_payments_account_fkey foreign key (community_id, account_id) references public.accounts (community_id, id) on delete restrict,
  constraint expense_payments_entry_fkey foreign key (community_id, journal_entry_id) references public.journal_entries (community_id, id) on delete restrict,
  constraint expense_payments_reversal_fkey foreign key (community_id, reversal_entry_id) references public.journal_entries (community_id, id) on delete restrict,
  constraint expense_payments_number_check check (number > 0),
  constraint expense_payments_amount_check check (amount > 0 and amount < 1e15 and amount = round(amount, decimals)),
  constraint expense_payments_reference_check check (length(reference) between 1 and 500 and reference = btrim(reference)),
  constraint expense_payments_reversal_reason_check check (length(btrim(reversal_reason)) between 1 and 500),
  constraint expense_payments_reversal_check check (
    (status = 'reversed') = (reversal_entry_id is not null) and (reversal_entry_id is null) = (reversal_reason is null)
    and (reversal_idempotency_key is null or status = 'reversed')),
  constraint expense_payments_idempotency_key_check check (length(idempotency_key) between 1 and 200),
  constraint expense_payments_reversal_idempotency_key_check check (length(reversal_idempotency_key) between 1 and 200),
  constraint expense_payments_deleted_at_check check (deleted_at is null)
);

create index expense_payments_ledger_idx on public.expense_payments (community_id, decimals);
create index expense_payments_expense_idx on public.expense_payments (community_id, expense_id);
create index expense_payments_account_idx on public.expense_payments (community_id, account_id);
create index expense_payments_paid_idx on public.expense_payments (community_id, paid_on);
create unique index expense_payments_reversal_key on public.expense_payments (community_id, reversal_entry_id) where reversal_entry_id is not null;

comment on table public.expense_payments is 'What was paid of expenses, whole or in parts. Posted by pay_expense, taken back by reverse_expense_payment, never changed.';
comment on column public.expense_payments.number is 'Its number: 1, 2, 3 … without a gap in each community.';
comment on column public.expense_payments.expense_id is 'The expense of which it pays something.';
comment on column public.expense_payments.amount is 'How much; in the community''s currency, greater than zero.';
comment on column public.expense_payments.decimals is 'The decimals of the community''s currency.';
comment on column public.expense_payments.paid_on is 'The day on which the money went, and on which it is booked.';
comment on column public.expense_payments.account_id is 'The bank or cash account of the expense''s fund from which it went.';
comment on column public.expense_payments.reference is 'What the bank statement says.';
comment on column public.expense_payments.journal_entry_id is 'The entry it posted: what is owed to suppliers against that account.';
comment on column public.expense_payments.status is 'posted, or reversed.';
comment on column public.expense_payments.reversal_reason is 'Why it was taken back. Whoever reads expenses reads it.';
comment on column public.expense_payments.reversal_entry_id is 'The entry that took it back.';
comment on column public.expense_payments.idempotency_key is 'The caller''s own name for the request: asked for again, it is not paid again.';
comment on column public.expense_payments.reversal_idempotency_key is 'The same of the request that took it back.';

select app.track('public.expense_payments');

create trigger _010_frozen_content before update on public.expense_payments for each row
  when ((old.number, old.expense_id, old.amount, old.decimals, old.paid_on, old.account_id, old.reference, old.journal_entry_id, old.idempotency_key)
    is distinct from (new.number, new.expense_id, new.amount, new.decimals, new.paid_on, new.account_id, new.reference, new.journal_entry_id, new.idempotency_key))
  execute function app.tg__frozen('What a payment says');
create trigger _010_frozen_reversal before update on public.expense_payments for each row
  when (old.status = 'reversed'
    and (old.reversal_reason, old.reversal_entry_id, old.reversal_idempotency_key) is distinct from (new.reversal_reason, new.reversal_entry_id, new.reversal_idempotency_key))
  execute function app.tg__frozen('How a payment was taken back');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.expense_payments', null, 'posted', null, 'Pay'),
  ('public.expense_payments', 'posted', 'reversed', 'expenses.pay', 'Take it back');

select app.state_machine('public.expense_payments', 'status');
select app.define_ledger_document('expense_payment', 'public.expense_payments', '{journal_entry_id,reversal_entry_id}');

create policy expense_payments_select on public.expense_payments for select to authenticated
  using (
    community_id = any ((select app.communities_where('expenses.read'))::uuid[])
    and deleted_at is null
  );
grant select on public.expense_payments to authenticated;
grant select, insert, update on public.expense_payments to service_role;

-- What holds whoever writes ------------------------------------------------------------------------------------------

create function app.has_its_entry(payment public.expense_payments)
returns boolean
language sql
stable
set search_path = ''
return exists (
  select
  from public.journal_entries j
  join public.postings p on p.journal_entry_id = j.id and p.community_id = j.community_id
  join public.accounts k on k.id = p.credit_account_id
  join public.expenses e on e.community_id = j.community_id and e.id = payment.expense_id
  -- What the approval owed is what the payment pays, in the account in which it stands.
  join public.postings o on o.journal_entry_id = e.journal_entry_id and o.community_id = e.community_id and o.credit_account_id = p.debit_account_id
  where j.id = payment.journal_entry_id and j.community_id = payment.community_id and j.kind = 'payment' and j.effective_on = payment.paid_on
    and j.document_kind = 'expense_payment' and j.document_id = payment.id and j.posting_count = 1 and p.amount = payment.amount
    and k.id = payment.account_id and k.purpose in ('bank', 'cash'));

comment on function app.has_its_entry(public.expense_payments) is
  'Whether the entry that a payment names is its own, of its day and amount, from its account to the account in which the expense is owed. Not executable by API roles.';

create function app.paid_status(amount numeric, paid numeric)
returns public.expense_status
language sql
immutable
set search_path = ''
return case when paid = amount then 'paid' when paid > 0 then 'partly_paid' else 'approved' end::public.expense_status;

comment on function app.paid_status(numeric, numeric) is 'The state of a posted expense of an amount of which so much is paid. Not executable by API roles.';

create function app.tg_expense_payments__settle()
returns trigger
language plpgsql
security definer -- locks and adds up what the writer may be unable to see
set search_path = ''
as $$
declare
  owed public.expenses;
  total numeric;
  last_on date;
  paid_whole boolean;
begin
  select e.* into owed from public.expenses e where e.community_id = new.community_id and e.id = new.expense_id for no key update;
  if tg_op = 'INSERT' and not app.has_its_entry(new) or new.status = 'reversed' and not exists (
    select from public.journal_entries r where r.community_id = new.community_id and r.id = new.reversal_entry_id and r.reverses_id = new.journal_entry_id)
  then
    perform app.fail(422, 'expense_mismatch', 'The payment does not name an entry that it made, of its day and amount, between its accounts.', 'The RPCs post and name both.');
  end if;
  select coalesce(sum(p.amount), 0), max(p.paid_on) into total, last_on
  from public.expense_payments p
  where p.community_id = new.community_id and p.expense_id = new.expense_id and p.status = 'posted';
  paid_whole := total = owed.amount;
  if total > owed.amount then
    perform app.fail(422, 'payment_exceeds', format('Of the expense, %s is still owed.', owed.amount - total + new.amount), 'Pay less, or leave the amount out for all that is owed.');
  end if;
  update public.expenses e
  set paid_amount = total, status = app.paid_status(owed.amount, total), paid_on = case when paid_whole then last_on end, paid_at = case when paid_whole then now() end,
    paid_by = case when paid_whole then app.actor_id() end, payment_entry_id = case when paid_whole then new.journal_entry_id end
  where e.id = owed.id;
  perform app.emit(case new.status when 'posted' then 'expense.payment_posted' else 'expense.payment_reversed' end, new.community_id,
    jsonb_build_object('expense_id', new.expense_id, 'payment_id', new.id));
  return null;
end;
$$;

comment on function app.tg_expense_payments__settle() is
  'AFTER a payment is made or taken back: its entry is its own (422 expense_mismatch), all that stand come to no more than the expense (422 payment_exceeds), and the expense says what is paid of it; tells of it by expense.payment_posted, expense.payment_reversed. '
  'Locks the expense, so that two at once wait for each other. Definer: locks and adds up what the writer may be unable to see.';

create trigger _400_settle_posted after insert on public.expense_payments for each row execute function app.tg_expense_payments__settle();
create trigger _400_settle_reversed after update of status on public.expense_payments for each row
  when (old.status is distinct from new.status) execute function app.tg_expense_payments__settle();

create function app.tg_expenses__paid()
returns trigger
language plpgsql
security definer -- adds up payments, whoever may see them
set search_path = ''
as $$
declare
  total numeric;
  last_on date;
  is_named boolean;
begin
  select coalesce(sum(p.amount), 0), max(p.paid_on), coalesce(bool_or(p.journal_entry_id = new.payment_entry_id), false) into total, last_on, is_named
  from public.expense_payments p
  where p.community_id = new.community_id and p.expense_id = new.id and p.status = 'posted';
  if new.paid_amount <> total or (new.status = 'paid' and (new.paid_on is distinct from last_on or not is_named)) then
    perform app.fail(422, 'expense_mismatch', format('What is said to be paid of the expense is not what its payments come to, which is %s.', total), 'pay_expense and reverse_expense_payment write it.');
  end if;
  return null;
end;
$$;

comment on function app.tg_expenses__paid() is
  'AFTER what is paid of an expense changes: it is what its payments come to, on the day of the last (422 expense_mismatch), whoever writes. Definer: adds up payments, whoever may see them.';

create trigger _510_paid after update on public.expenses for each row
  when ((old.paid_amount, old.payment_entry_id, old.paid_on) is distinct from (new.paid_amount, new.payment_entry_id, new.paid_on))
  execute function app.tg_expenses__paid();

-- Paying -------------------------------------------------------------------------------------------------------------

create function app.paying_account(expense public.expenses, account uuid)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
begin
  if account is null then
    return app.account_for(expense.community_id, expense.fund_id, 'bank');
  elsif not exists (
    select from public.accounts a
    where a.id = account and a.community_id = expense.community_id and a.fund_id = expense.fund_id and a.purpose in ('bank', 'cash') and a.status = 'active')
  then
    perform app.fail(404, 'account_not_found', 'There is no bank or cash account in use with this id in the fund of the expense.');
  end if;
  return account;
end;
$$;

comment on function app.paying_account(public.expenses, uuid) is
  'The account that pays: the named bank or cash account of the expense''s fund (404 account_not_found), or else its only bank account (409 account_missing, account_ambiguous). Not executable by API roles.';

create function app.fail_expense_payment(refused text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  if refused in ('expense_payments_idempotency_key', 'expense_payments_reversal_idempotency_key') then
    perform app.fail(409, 'idempotency_conflict', 'Something else was done under this idempotency_key.', 'Use a new key for a new request.');
  elsif refused like 'expense_payments_%' then
    perform app.fail_check('expense_payments', replace(refused, 'reversal_idempotency', 'idempotency'));
  end if;
  perform app.fail_posting(refused);
end;
$$;

comment on function app.fail_expense_payment(text) is
  'What the RPCs answer when a constraint of expense_payments or of the journal refuses: idempotency_conflict, or invalid_value with the column. Not executable by API roles.';

create function app.pay_expense(expense uuid, paid_on date, account uuid, reference text, amount numeric, idempotency_key text)
returns uuid
language plpgsql
volatile
security definer -- API roles may neither write payments nor post
set search_path = ''
as $$
declare
  action_before constant text := app.set_action('EXPENSE_PAID');
  present constant public.expenses := app.locked_expense(expense, 'expenses.pay');
  made constant uuid := extensions.uuidv7();
  day constant date := coalesce(pay_expense.paid_on, app.today_in(present.community_id));
  says constant text := nullif(btrim(pay_expense.reference), '');
  wanted constant numeric := coalesce(app.with_decimals(pay_expense.amount, present.decimals), present.amount - present.paid_amount);
  earlier public.expense_payments;
  paying uuid;
  posted uuid;
  refused text;
begin
  -- Before anything else: a repeated request is answered, whatever has become of the expense.
  select p.* into earlier
  from public.expense_payments p
  where p.community_id = present.community_id and p.idempotency_key = pay_expense.idempotency_key;
  if found then
    if (earlier.expense_id, earlier.reference) is distinct from (present.id, says) or earlier.amount <> coalesce(pay_expense.amount, earlier.amount)
      or earlier.paid_on <> coalesce(pay_expense.paid_on, earlier.paid_on) or earlier.account_id <> coalesce(account, earlier.account_id)
    then
      perform app.fail_expense_payment('expense_payments_idempotency_key');
    end if;
    perform app.set_action(action_before);
    return earlier.journal_entry_id;
  elsif present.status not in ('approved', 'partly_paid') then
    perform app.refuse_expense_step(present, 'What was approved is paid, until nothing of it is owed.');
  elsif not (wanted > 0 and wanted < 1e15 and wanted = round(wanted, present.decimals)) then
    perform app.fail(422, 'invalid_amount', format('amount: above 0, with at most %s decimals.', present.decimals));
  elsif wanted > present.amount - present.paid_amount then
    perform app.fail(422, 'payment_exceeds', format('Of the expense, %s is still owed.', present.amount - present.paid_amount), 'Pay less, or leave the amount out for all that is owed.');
  end if;
  perform app.check_amount_limit('expenses.pay', present.community_id, present.paid_amount + wanted);

  paying := app.paying_account(present, account);
  posted := app.post_entry(
    present.community_id, 'payment', day, present.description,
    array[(
      select row(present.fund_id, p.credit_account_id, null, paying, null, wanted,
        coalesce(says, nullif(concat_ws(', ', present.supplier_name, present.invoice_number), '')))::app.posting_line
      from public.postings p
      where p.journal_entry_id = present.journal_entry_id and p.community_id = present.community_id)],
    document_kind => 'expense_payment', document_id => made);
  insert into public.expense_payments (id, number, community_id, expense_id, amount, decimals, paid_on, account_id, reference, journal_entry_id, idempotency_key)
  values (
    made, app.next_number(present.community_id, 'expense_payment'), present.community_id, present.id, wanted, present.decimals, day, paying, says, posted,
    pay_expense.idempotency_key);
  perform app.set_action(action_before);
  return posted;
exception when check_violation or unique_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_expense_payment(refused);
end;
$$;

comment on function app.pay_expense(uuid, date, uuid, text, numeric, text) is 'What public.pay_expense does. Definer: API roles may neither write payments nor post.';

create function public.pay_expense(
  expense_id uuid, paid_on date default null, account_id uuid default null, reference text default null, amount numeric default null, idempotency_key text default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.pay_expense(expense_id, paid_on, account_id, reference, amount, idempotency_key) $$;

comment on function public.pay_expense(uuid, date, uuid, text, numeric, text) is
  'Records that what was approved is paid, today or on another day, from a bank or cash account of its fund (the only bank account if none is named): debit what the fund owes, credit that account. amount: a part of it; left out, all that is still owed. '
  'reference: what the bank statement says. Returns the entry''s id; the payment is the row of expense_payments that names it. The same idempotency_key again: the same id, and nothing is paid. '
  'Takes expenses.pay; where that was given up to an amount, all that is paid of the expense comes to no more. '
  'Errors: expense_not_found, permission_denied, amount_above_limit, transition_refused, invalid_amount, payment_exceeds, account_not_found, account_missing, account_ambiguous, account_inactive, invalid_value, idempotency_conflict, '
  'and those of the date: period_closed, before_books, too_far_ahead.';

create function app.reverse_expense_payment(expense uuid, reason text, effective_on date, payment uuid, idempotency_key text)
returns uuid
language plpgsql
volatile
security definer -- API roles may neither write payments nor post
set search_path = ''
as $$
declare
  action_before constant text := app.set_action('EXPENSE_PAYMENT_REVERSED');
  present constant public.expenses := app.locked_expense(expense, 'expenses.pay');
  why constant text := app.checked_reason(reason, 500);
  known public.expense_payments;
  standing bigint;
  posted uuid;
  refused text;
begin
  select p.* into known
  from public.expense_payments p
  where p.community_id = present.community_id and p.reversal_idempotency_key = reverse_expense_payment.idempotency_key;
  if found then
    if (known.expense_id, known.id, known.reversal_reason) is distinct from (present.id, coalesce(payment, known.id), why) then
      perform app.fail_expense_payment('expense_payments_reversal_idempotency_key');
    end if;
    perform app.set_action(action_before);
    return known.reversal_entry_id;
  end if;

  if payment is not null then
    select p.* into known from public.expense_payments p where p.community_id = present.community_id and p.expense_id = present.id and p.id = payment;
    if known.id is null then
      perform app.fail(404, 'payment_not_found', 'The expense has no payment with this id.');
    elsif known.status = 'reversed' then
      perform app.fail(409, 'payment_reversed', 'The payment was taken back already.');
    end if;
  elsif present.status not in ('partly_paid', 'paid') then
    perform app.refuse_expense_step(present, 'The payment of what was paid is taken back.');
  else
    select count(*) into standing from public.expense_payments p where p.community_id = present.community_id and p.expense_id = present.id and p.status = 'posted';
    if standing > 1 then
      perform app.fail(409, 'payment_ambiguous', format('The expense has %s payments.', standing), 'Say which one is meant: payment_id.');
    end if;
    select p.* into known from public.expense_payments p where p.community_id = present.community_id and p.expense_id = present.id and p.status = 'posted';
  end if;
  posted := app.reverse_entry(known.journal_entry_id, app.reversal_day(known.journal_entry_id, reverse_expense_payment.effective_on), why);
  update public.expense_payments p
  set status = 'reversed', reversal_reason = why, reversal_entry_id = posted, reversal_idempotency_key = reverse_expense_payment.idempotency_key
  where p.id = known.id;
  perform app.set_action(action_before);
  return posted;
exception when check_violation or unique_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_expense_payment(refused);
end;
$$;

comment on function app.reverse_expense_payment(uuid, text, date, uuid, text) is 'What public.reverse_expense_payment does. Definer: API roles may neither write payments nor post.';

create function public.reverse_expense_payment(
  expense_id uuid, reason text, effective_on date default null, payment_id uuid default null, idempotency_key text default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.reverse_expense_payment(expense_id, reason, effective_on, payment_id, idempotency_key) $$;

comment on function public.reverse_expense_payment(uuid, text, date, uuid, text) is
  'Takes a payment back (the bank returned it, it was another invoice''s): reverses its entry, today or on another day, and the expense is to be paid again, as far as it was. payment_id: which of its payments; the only one, if none is named. '
  'Returns the reversal''s id. The same idempotency_key again: the same id, and nothing is taken back. Takes expenses.pay. '
  'Errors: expense_not_found, permission_denied, reason_required, transition_refused, payment_not_found, payment_reversed, payment_ambiguous, idempotency_conflict, invalid_value, and those of the date: period_closed, invalid_period, too_far_ahead.';

grant execute on function
  app.pay_expense(uuid, date, uuid, text, numeric, text), public.pay_expense(uuid, date, uuid, text, numeric, text),
  app.reverse_expense_payment(uuid, text, date, uuid, text), public.reverse_expense_payment(uuid, text, date, uuid, text)
to authenticated, service_role;

-- What is owed, and how old it is ------------------------------------------------------------------------------------

create function app.payables_aging(community uuid, day date, only_fund uuid)
returns table (
  supplier_name text, fund text, balance numeric, not_due numeric, days_1_30 numeric, days_31_60 numeric, days_61_90 numeric, days_over_90 numeric, paid_ahead numeric,
  without_expense numeric, expenses bigint, payable_fund_id uuid
)
language plpgsql
stable
security definer -- counts whole books, having asked for the permissions
set search_path = ''
as $$
begin
  perform app.require_books(community, day, day, only_fund);
  perform app.require('expenses.read', community);
  return query
    with moved as (
      select a.fund_id, m.journal_entry_id, m.amount
      from public.accounts a
      cross join lateral (
        select p.journal_entry_id, p.amount from public.postings p where p.credit_account_id = a.id and p.effective_on <= day
        union all
        select p.journal_entry_id, -p.amount from public.postings p where p.debit_account_id = a.id and p.effective_on <= day
      ) m
      where a.community_id = community and a.purpose = 'payable' and (only_fund is null or a.fund_id = only_fund)
    ),
    -- Of each expense, what its approval, its payments and their reversals leave; of no expense, what was entered by hand or at the opening.
    items as (
      select m.fund_id, coalesce(p.expense_id, case j.document_kind when 'expense' then j.document_id end) as expense_id, sum(m.amount) as amount
      from moved m
      join public.journal_entries j on j.id = m.journal_entry_id and j.community_id = community
      left join public.expense_payments p on p.id = j.document_id and p.community_id = community and j.document_kind = 'expense_payment'
      group by 1, 2
    ),
    aged as (
      select i.fund_id, e.supplier_name, i.expense_id, i.amount, day - coalesce(e.due_on, e.incurred_on) as days
      from items i
      left join public.expenses e on e.id = i.expense_id and e.community_id = community
      where i.amount <> 0
    )
    -- A supplier is one, however it is written; it is called as it was written last.
    select (array_agg(g.supplier_name order by g.expense_id desc))[1], f.name, sum(g.amount),
      coalesce(sum(g.amount) filter (where g.amount > 0 and g.days <= 0), 0),
      coalesce(sum(g.amount) filter (where g.amount > 0 and g.days between 1 and 30), 0),
      coalesce(sum(g.amount) filter (where g.amount > 0 and g.days between 31 and 60), 0),
      coalesce(sum(g.amount) filter (where g.amount > 0 and g.days between 61 and 90), 0),
      coalesce(sum(g.amount) filter (where g.amount > 0 and g.days > 90), 0),
      coalesce(sum(g.amount) filter (where g.amount < 0 and g.days is not null), 0),
      coalesce(sum(g.amount) filter (where g.days is null), 0),
      count(g.days), g.fund_id
    from aged g
    join public.funds f on f.id = g.fund_id and f.community_id = community
    group by g.fund_id, f.name, lower(g.supplier_name)
    order by f.name, sum(g.amount) desc, lower(g.supplier_name);
end;
$$;

comment on function app.payables_aging(uuid, date, uuid) is
  'What public.payables_aging answers. Definer: counts whole books, having asked for the permissions.';

create function public.payables_aging(community_id uuid, on_day date default null, fund_id uuid default null)
returns table (
  supplier_name text, fund text, balance numeric, not_due numeric, days_1_30 numeric, days_31_60 numeric, days_61_90 numeric, days_over_90 numeric, paid_ahead numeric,
  without_expense numeric, expenses bigint, payable_fund_id uuid
)
language sql
stable
set search_path = ''
as $$
  select a.* from app.payables_aging(payables_aging.community_id, coalesce(on_day, app.today_in(payables_aging.community_id)), payables_aging.fund_id) a
$$;

comment on function public.payables_aging(uuid, date, uuid) is
  'What a community owes its suppliers as of a day (today, where none is named): a row for each supplier and fund, of all funds or one, by how many days past the day it was due (the invoice''s, where it has none); expenses: of how many. '
  'paid_ahead is below 0: what was paid before the day on which its expense is booked. without_expense: what stands in the accounts of payables by entries of no expense. The columns come to balance, and the balances of a fund to its accounts of payables. '
  'Takes ledger.read and expenses.read. Errors: permission_denied, books_not_open, fund_not_found, invalid_period.';

grant execute on function app.payables_aging(uuid, date, uuid), public.payables_aging(uuid, date, uuid) to authenticated, service_role;

-- What an auditor asks -----------------------------------------------------------------------------------------------

create function app.check_expense_payments(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  -- Every payment: whether it has its entry, and one that took it back exactly if it says so.
  select p.journal_entry_id, null::uuid, p.account_id, null::uuid, format('Payment %s of expense %s: %s.', p.number, coalesce(e.number::text, p.expense_id::text), x.problem)
  from public.expense_payments p
  left join public.expenses e on e.community_id = p.community_id and e.id = p.expense_id
  left join public.journal_entries r on r.community_id = p.community_id and r.reverses_id = p.journal_entry_id
  cross join lateral (
    select 'its entry is missing, another document''s, of another day or amount, or between other accounts' where not app.has_its_entry(p)
    union all select 'it says that it was taken back, and its entry stands' where p.status = 'reversed' and r.id is null
    union all select 'it was taken back by another entry than it says' where r.id is not null and r.id is distinct from p.reversal_entry_id
  ) x (problem)
  where p.community_id = community
  union all
  -- Every expense: whether it says of itself what its payments come to.
  select e.journal_entry_id, null, null, null,
    format('Expense %s of %s is %s, with %s said to be paid, and its payments come to %s.', e.number, e.amount, e.status, e.paid_amount, s.paid)
  from public.expenses e
  cross join lateral (
    select coalesce(sum(p.amount), 0) as paid, bool_or(p.journal_entry_id = e.payment_entry_id) as is_named
    from public.expense_payments p
    where p.community_id = e.community_id and p.expense_id = e.id and p.status = 'posted') s
  where e.community_id = community
    and (e.paid_amount <> s.paid or s.paid > e.amount or (e.status = 'paid') <> (s.is_named is true)
      or case when s.paid = 0 then e.status in ('partly_paid', 'paid') else e.status <> app.paid_status(e.amount, s.paid) end)
  union all
  -- Every entry in the name of a payment: whether the payment knows of it.
  select j.id, null, null, null, format('This entry stands in the name of payment %s of an expense, which knows nothing of it.', coalesce(p.number::text, j.document_id::text))
  from public.journal_entries j
  left join public.expense_payments p on p.community_id = j.community_id and p.id = j.document_id
  where j.community_id = community and j.document_kind = 'expense_payment' and j.kind <> 'reversal' and j.id is distinct from p.journal_entry_id
$$;

comment on function app.check_expense_payments(uuid) is
  'Payments of expenses whose entry is missing, of another day or amount, between other accounts or taken back unseen, expenses that say something else of what is paid, and entries in the name of a payment that it does not know of. For verify_ledger.';

select app.define_ledger_check('expense_payment_differs', 'app.check_expense_payments', 'Payments of expenses, their entries and what the expenses say is paid agree.');
