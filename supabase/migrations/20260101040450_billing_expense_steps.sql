-- Billing: what becomes of an expense.
--
-- Purpose     Approving posts it, cancelling takes that back, with a reason. What is paid of it is the next topic.
-- Tables      none of its own
-- RPCs        approve_expense, reject_expense, cancel_expense
-- Invariants  Each step holds the expense while it looks and posts, so that of two at once one finds the step taken (409
--             transition_refused): an expense is posted once. Step and entry are one transaction. Approving debits the category's account
--             and credits what the fund owes its suppliers. Nothing is taken back but by a reversal. The checks of the ledger compare both sides.
--
-- Locks       The expense, then what the journal locks.

select app.define_action('EXPENSE_APPROVED', 'An expense was approved, and posted.');
select app.define_action('EXPENSE_REJECTED', 'An expense was rejected.');
select app.define_action('EXPENSE_CANCELLED', 'An expense was cancelled; what it had posted was reversed.');

create function app.check_amount_limit(permission text, community uuid, amount numeric)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  most constant numeric := app.amount_limit(permission, community);
begin
  if amount > most then
    perform app.fail(403, 'amount_above_limit', format('The permission %s was given to you up to %s.', permission, most), 'Ask somebody who may more.');
  end if;
end;
$$;

comment on function app.check_amount_limit(text, uuid, numeric) is
  'Refuses an amount above the one up to which the caller''s memberships are restricted for the permission (403 amount_above_limit).';

-- Approving ----------------------------------------------------------------------------------------------------------

create function app.approve_expense(expense uuid, effective_on date)
returns uuid
language plpgsql
volatile
security definer -- API roles may neither update expenses nor post
set search_path = ''
as $$
declare
  action_before constant text := app.set_action('EXPENSE_APPROVED');
  present constant public.expenses := app.locked_expense(expense, 'expenses.approve');
  posted uuid;
begin
  perform app.check_amount_limit('expenses.approve', present.community_id, present.amount);
  if present.status <> 'submitted' then
    perform app.refuse_expense_step(present, 'What was submitted is approved.');
  end if;
  posted := app.post_entry(
    present.community_id, 'expense', coalesce(approve_expense.effective_on, present.incurred_on), present.description,
    array[(
      select row(present.fund_id, c.account_id, null, app.account_for(present.community_id, present.fund_id, 'payable'), null, present.amount,
        nullif(concat_ws(', ', present.supplier_name, present.invoice_number), ''))::app.posting_line
      from public.expense_categories c
      where c.id = present.category_id)],
    document_kind => 'expense', document_id => present.id);
  update public.expenses e
  set status = 'approved', approved_at = now(), approved_by = app.actor_id(), journal_entry_id = posted
  where e.id = present.id;
  perform app.set_action(action_before);
  return posted;
end;
$$;

comment on function app.approve_expense(uuid, date) is 'What public.approve_expense does. Definer: API roles may neither update expenses nor post.';

create function public.approve_expense(expense_id uuid, effective_on date default null)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.approve_expense(expense_id, effective_on) $$;

comment on function public.approve_expense(uuid, date) is
  'Approves what was submitted and posts it, on the day it was incurred or another (where that one is closed): debit the category''s account, credit what the fund owes. Returns the entry''s id. '
  'Takes expenses.approve; where the setting billing.expense_four_eyes is on, of somebody who neither entered nor submitted it. '
  'Errors: expense_not_found, permission_denied, second_person_required, amount_above_limit, transition_refused, account_missing, account_inactive, and those of the date: period_closed, before_books, too_far_ahead.';

create function app.reject_expense(expense uuid, reason text)
returns void
language plpgsql
volatile
security definer -- API roles may not update expenses
set search_path = ''
as $$
declare
  action_before constant text := app.set_action('EXPENSE_REJECTED');
  present constant public.expenses := app.locked_expense(expense, 'expenses.approve');
begin
  perform app.checked_reason(reason, 500);
  if present.status <> 'submitted' then
    perform app.refuse_expense_step(present, 'What was submitted is rejected.');
  end if;
  update public.expenses e set status = 'rejected', rejected_because = btrim(reason) where e.id = present.id;
  perform app.set_action(action_before);
end;
$$;

comment on function app.reject_expense(uuid, text) is 'What public.reject_expense does. Definer: API roles may not update expenses.';

create function public.reject_expense(expense_id uuid, reason text)
returns void
language sql
volatile
set search_path = ''
as $$ select app.reject_expense(expense_id, reason) $$;

comment on function public.reject_expense(uuid, text) is
  'Rejects what was submitted, and says why; reopen_expense makes it a draft again. Takes expenses.approve. Errors: expense_not_found, permission_denied, reason_required, transition_refused.';

-- Cancelling ---------------------------------------------------------------------------------------------------------

create function app.cancel_expense(expense uuid, reason text, effective_on date)
returns uuid
language plpgsql
volatile
security definer -- API roles may neither update expenses nor post
set search_path = ''
as $$
declare
  action_before constant text := app.set_action('EXPENSE_CANCELLED');
  present constant public.expenses := app.locked_expense(expense, 'expenses.manage');
  posted uuid;
begin
  perform app.checked_reason(reason, 500);
  if present.status in ('partly_paid', 'paid', 'cancelled') then
    perform app.refuse_expense_step(present, 'What was paid is cancelled after reverse_expense_payment; what was cancelled stays so.');
  elsif present.allocation_id is not null then
    perform app.fail(409, 'expense_allocated', 'This expense was shared out and charged.', 'reverse_expense_allocation takes the charges back.');
  end if;
  if present.journal_entry_id is not null then
    posted := app.reverse_entry(present.journal_entry_id, app.reversal_day(present.journal_entry_id, cancel_expense.effective_on), btrim(reason));
  end if;
  update public.expenses e
  set status = 'cancelled', cancelled_at = now(), cancelled_by = app.actor_id(), cancelled_because = btrim(reason), reversal_entry_id = posted
  where e.id = present.id;
  perform app.set_action(action_before);
  return posted;
end;
$$;

comment on function app.cancel_expense(uuid, text, date) is 'What public.cancel_expense does. Definer: API roles may neither update expenses nor post.';

create function public.cancel_expense(expense_id uuid, reason text, effective_on date default null)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.cancel_expense(expense_id, reason, effective_on) $$;

comment on function public.cancel_expense(uuid, text, date) is
  'Cancels an expense for good, and says why. What it had posted is reversed, today or on another day; returns that reversal''s id, or null. Takes expenses.manage. '
  'Errors: expense_not_found, permission_denied, reason_required, transition_refused, expense_allocated, and those of the date: period_closed, invalid_period, too_far_ahead.';

grant execute on function
  app.approve_expense(uuid, date), public.approve_expense(uuid, date), app.reject_expense(uuid, text), public.reject_expense(uuid, text),
  app.cancel_expense(uuid, text, date), public.cancel_expense(uuid, text, date)
to authenticated, service_role;

-- What an auditor asks -----------------------------------------------------------------------------------------------

create function app.check_expense_entries(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  -- The entry that each expense ought to have made, and whether there is one that moves its amount between the right accounts.
  select w.journal_entry_id, null::uuid, null::uuid, null::uuid,
    format('Expense %s is %s, and its entry is %s.', w.number, w.status,
      case when j.id is null then 'missing'
        when (j.kind, j.document_kind, j.document_id) is distinct from ('expense'::public.entry_kind, 'expense'::text, w.id) then 'another document''s or of another kind'
        else 'of another amount or between other accounts' end)
  from public.expenses w
  left join public.journal_entries j on j.id = w.journal_entry_id
  where w.community_id = community and (w.status in ('approved', 'partly_paid', 'paid') or w.journal_entry_id is not null)
    and (j.id is null or (j.kind, j.document_kind, j.document_id) is distinct from ('expense'::public.entry_kind, 'expense'::text, w.id) or not exists (
      select
      from public.postings p
      join public.accounts k on k.id = p.credit_account_id
      join public.expense_categories c on c.id = w.category_id and c.account_id = p.debit_account_id
      where p.journal_entry_id = j.id and p.fund_id = w.fund_id and p.amount = w.amount and j.total = w.amount and j.posting_count = 1 and k.purpose = 'payable'))
  union all
  -- Every entry in the name of an expense that stands, and whether it is the one that the expense knows of.
  select j.id, null, null, null, format('This entry stands in the name of expense %s, which knows nothing of it.', coalesce(e.number::text, j.document_id::text))
  from public.journal_entries j
  left join public.expenses e on e.community_id = j.community_id and e.id = j.document_id
  where j.community_id = community and j.document_kind = 'expense' and j.kind in ('expense', 'payment')
    and not exists (select from public.journal_entries r where r.community_id = j.community_id and r.reverses_id = j.id)
    and (e.id is null or e.status = 'cancelled' or j.id is distinct from e.journal_entry_id)
  union all
  -- What was cancelled, and whether its entry was taken back.
  select e.journal_entry_id, null, null, null, format('Expense %s was cancelled, and its entry was not reversed.', e.number)
  from public.expenses e
  where e.community_id = community and e.status = 'cancelled' and e.journal_entry_id is not null
    and not exists (select from public.journal_entries r where r.community_id = e.community_id and r.reverses_id = e.journal_entry_id and r.id = e.reversal_entry_id)
$$;

comment on function app.check_expense_entries(uuid) is
  'Expenses whose entries are missing, of another amount or between other accounts, entries in the name of an expense that it does not know of, and cancelled ones that stand. For verify_ledger.';

select app.define_ledger_check('expense_differs', 'app.check_expense_entries', 'Expenses and the entries in their name say the same.');
