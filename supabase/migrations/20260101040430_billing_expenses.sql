-- Billing: expenses.
--
-- Purpose     What the community spends: to whom, for what, on which receipt; entered, submitted, and read by everybody who pays for it.
-- Tables      expenses; file purpose expenses.receipt
-- RPCs        enter_expense, change_expense, set_expense_receipt, submit_expense, reopen_expense
-- Invariants  An expense is of one category and thereby of one fund of its community; amount and decimals fit the books. What was
--             submitted says the same for ever: only a draft changes. It has a number of its community, without gaps. An invoice
--             of a supplier is entered once in each category that it is for. A category out of use takes none. The receipt stays as long as the expense.
--             It is posted exactly while it is approved, partly paid or paid; what is paid of it is what its payments come to, which says
--             which of the three it is; and it is shared out at most once at a time (the topics after this one).

create type public.expense_status as enum ('draft', 'submitted', 'approved', 'rejected', 'partly_paid', 'paid', 'cancelled');

select app.define_setting('billing.expense_four_eyes', 'boolean', 'false', '{site,organization,community}',
  'Whether an expense is approved by somebody other than who entered or submitted it.');

-- Receipts are the community's: an uploader who is erased does not take them along.
select app.define_file_purpose('expenses.receipt', 'vicinia-expenses', 'Invoices and receipts of the community''s expenses',
  '{application/pdf,image/png,image/jpeg,image/webp,image/heic}', 10485760, 'expenses.manage', 'expenses.manage', read_permission => 'expenses.read');

create table public.expenses (
  id uuid not null default extensions.uuidv7(),
  description text not null,
  number bigint not null,
  community_id uuid not null,
  category_id uuid not null,
  fund_id uuid not null,
  decimals smallint not null,
  supplier_name text,
  invoice_number text,
  amount numeric not null,
  incurred_on date not null,
  starts_on date not null,
  ends_on date not null,
  due_on date,
  receipt_file_id uuid,
  status public.expense_status not null default 'draft',
  submitted_at timestamptz,
  submitted_by uuid,
  approved_at timestamptz,
  approved_by uuid,
  rejected_because text,
  paid_amount numeric not null default 0,
  paid_on date,
  paid_at timestamptz,
  paid_by uuid,
  cancelled_at timestamptz,
  cancelled_by uuid,
  cancelled_because text,
  journal_entry_id uuid,
  payment_entry_id uuid,
  reversal_entry_id uuid,
  allocation_id uuid,
  charge_entry_id uuid,
  allocated_at timestamptz,
  allocated_by uuid,
  like app.row_model including defaults including comments,
  constraint expenses_pkey primary key (id),
  constraint expenses_community_id_key unique (community_id, id),
  constraint expenses_number_key unique (community_id, number),
  constraint expenses_category_fkey foreign key (community_id, fund_id, category_id) references public.expense_categories (community_id, fund_id, id) on delete restrict,
  constraint expenses_fund_fkey foreign key (community_id, decimals, fund_id) references public.funds (community_id, decimals, id) on delete restrict,
  constraint expenses_receipt_fkey foreign key (community_id, receipt_file_id) references public.files (community_id, id) on delete restrict,
  constraint expenses_entry_fkey foreign key (community_id, journal_entry_id) references public.journal_entries (community_id, id) on delete restrict,
  constraint expenses_payment_fkey foreign key (community_id, payment_entry_id) references public.journal_entries (community_id, id) on delete restrict,
  constraint expenses_reversal_fkey foreign key (community_id, reversal_entry_id) references public.journal_entries (community_id, id) on delete restrict,
  constraint expenses_charge_entry_fkey foreign key (community_id, charge_entry_id) references public.journal_entries (community_id, id) on delete restrict,
  constraint expenses_allocation_fkey foreign key (community_id, allocation_id) references public.allocations (community_id, id) on delete restrict,
  constraint expenses_description_check check (app.is_name(description)),
  constraint expenses_number_check check (number > 0),
  constraint expenses_supplier_name_check check (app.is_name(supplier_name)),
  constraint expenses_invoice_number_check check (app.is_name(invoice_number) and length(invoice_number) <= 60),
  constraint expenses_amount_check check (amount > 0 and amount < 1e15 and amount = round(amount, decimals)),
  constraint expenses_incurred_on_check check (incurred_on between '1900-01-01' and '2999-12-31'),
  constraint expenses_ends_on_check check (starts_on between '1900-01-01' and '2999-12-31' and ends_on between starts_on and starts_on + 3660),
  constraint expenses_due_on_check check (due_on between '1900-01-01' and '2999-12-31'),
  constraint expenses_submitted_check check (submitted_at is not null or status in ('draft', 'cancelled')),
  constraint expenses_approved_check check (approved_at is not null or journal_entry_id is null),
  constraint expenses_rejected_check check (rejected_because is not null or status <> 'rejected'),
  constraint expenses_rejected_because_check check (length(btrim(rejected_because)) between 1 and 500),
  constraint expenses_posted_check check (
    case when status in ('approved', 'partly_paid', 'paid') then journal_entry_id is not null and reversal_entry_id is null
      when status = 'cancelled' then (journal_entry_id is null) = (reversal_entry_id is null)
      else journal_entry_id is null and reversal_entry_id is null end),
  constraint expenses_paid_amount_check check (
    case status when 'paid' then paid_amount = amount when 'partly_paid' then paid_amount > 0 and paid_amount < amount else paid_amount = 0 end),
  constraint expenses_paid_check check (
    (status = 'paid') = (payment_entry_id is not null) and (status = 'paid') = (paid_on is not null) and (status = 'paid') = (paid_at is not null)),
  constraint expenses_cancelled_check check ((status = 'cancelled') = (cancelled_because is not null) and (status = 'cancelled') = (cancelled_at is not null)),
  constraint expenses_cancelled_because_check check (length(btrim(cancelled_because)) between 1 and 500),
  constraint expenses_allocated_check check (
    (allocation_id is null) = (charge_entry_id is null) and (allocation_id is null) = (allocated_at is null)
    and (allocation_id is null or status in ('approved', 'partly_paid', 'paid'))),
  constraint expenses_archived_check check (deleted_at is null or journal_entry_id is null)
);

create unique index expenses_invoice_key on public.expenses (community_id, lower(supplier_name), lower(invoice_number), category_id)
  where status <> 'cancelled' and deleted_at is null and supplier_name is not null and invoice_number is not null;
create unique index expenses_entry_key on public.expenses (community_id, journal_entry_id) where journal_entry_id is not null;
create unique index expenses_payment_key on public.expenses (community_id, payment_entry_id) where payment_entry_id is not null;
create unique index expenses_reversal_key on public.expenses (community_id, reversal_entry_id) where reversal_entry_id is not null;
create unique index expenses_charge_entry_key on public.expenses (community_id, charge_entry_id) where charge_entry_id is not null;
create unique index expenses_allocation_key on public.expenses (community_id, allocation_id) where allocation_id is not null;
create index expenses_receipt_idx on public.expenses (community_id, receipt_file_id) where receipt_file_id is not null;
create index expenses_category_idx on public.expenses (community_id, fund_id, category_id);
create index expenses_fund_idx on public.expenses (community_id, decimals, fund_id);
create index expenses_incurred_idx on public.expenses (community_id, incurred_on);
create index expenses_open_idx on public.expenses (community_id, due_on) where status in ('draft', 'submitted', 'rejected', 'approved', 'partly_paid');

comment on table public.expenses is 'What the community spends. Entered by enter_expense; goes draft → submitted → approved → partly_paid → paid through the RPCs of its topic, and is shared out by allocate_expense.';
comment on column public.expenses.description is 'What it was for, in a line that every owner may read.';
comment on column public.expenses.number is 'Its number in the community, without gaps. Given by the database.';
comment on column public.expenses.category_id is 'The category: where it is booked, and how it is shared out.';
comment on column public.expenses.fund_id is 'The fund that bears it; the category''s.';
comment on column public.expenses.decimals is 'How many decimals the community''s currency has; the amount has no more.';
comment on column public.expenses.supplier_name is 'Who is paid.';
comment on column public.expenses.invoice_number is 'The supplier''s number of the invoice. Once for each category that the invoice is for, among what is not cancelled.';
comment on column public.expenses.amount is 'What it costs, taxes included; in the community''s currency, greater than zero.';
comment on column public.expenses.incurred_on is 'The date of the invoice: the day on which it is booked, unless the approval names another.';
comment on column public.expenses.starts_on is 'First day of what it is for: by these days quantities are read, and who was liable is charged.';
comment on column public.expenses.ends_on is 'Last day of what it is for.';
comment on column public.expenses.due_on is 'The day by which the supplier wants to be paid.';
comment on column public.expenses.receipt_file_id is 'The invoice or receipt; a file of the purpose expenses.receipt, which cannot be removed as long as the expense names it.';
comment on column public.expenses.status is 'draft, submitted, approved (posted, to be paid), rejected, partly_paid, paid (nothing of it is owed any more), cancelled (whatever was posted is reversed).';
comment on column public.expenses.submitted_at is 'When it was last submitted.';
comment on column public.expenses.submitted_by is 'Who last submitted it. A plain id.';
comment on column public.expenses.approved_at is 'When it was approved.';
comment on column public.expenses.approved_by is 'Who approved it. A plain id.';
comment on column public.expenses.rejected_because is 'Why it was last rejected.';
comment on column public.expenses.paid_amount is 'What is paid of it: what its payments (expense_payments) that stand come to. Kept by the database. While it is posted, the rest is owed.';
comment on column public.expenses.paid_on is 'The day on which nothing was owed any more: the last of its payments''.';
comment on column public.expenses.paid_at is 'When the payment of the rest was recorded.';
comment on column public.expenses.paid_by is 'Who recorded the payment of the rest. A plain id.';
comment on column public.expenses.cancelled_at is 'When it was cancelled.';
comment on column public.expenses.cancelled_by is 'Who cancelled it. A plain id.';
comment on column public.expenses.cancelled_because is 'Why it was cancelled.';
comment on column public.expenses.journal_entry_id is 'The entry that the approval posted: the expense against what is owed to suppliers.';
comment on column public.expenses.payment_entry_id is 'The entry of the payment after which nothing was owed any more; each payment names its own (expense_payments).';
comment on column public.expenses.reversal_entry_id is 'The entry that took the approval''s back.';
comment on column public.expenses.allocation_id is 'How it was shared out among the units.';
comment on column public.expenses.charge_entry_id is 'The entry by which the shares were charged.';
comment on column public.expenses.allocated_at is 'When it was shared out.';
comment on column public.expenses.allocated_by is 'Who shared it out. A plain id.';

create function app.is_over(expense public.expenses)
returns boolean
language sql
immutable
set search_path = ''
return expense.status = 'cancelled' and expense.journal_entry_id is null;

comment on function app.is_over(public.expenses) is 'Whether the row is history: what was cancelled before it was posted keeps neither its receipt nor its category.';

grant execute on function app.is_over(public.expenses) to authenticated, service_role;

select app.track('public.expenses');
select app.register_personal_data('public.expenses', 'supplier_name', 'nobody', kept_because => 'Whom the community paid is part of its books, which the law keeps.');
select app.register_personal_data('public.expenses', c.name, 'actor', kept_because => 'Who took this step answers for it; the id leads to nobody once the account is gone.')
from unnest('{submitted_by,approved_by,paid_by,cancelled_by,allocated_by}'::text[]) c (name);

create trigger _010_frozen_content before update on public.expenses for each row
  when (
    (old.number, old.decimals) is distinct from (new.number, new.decimals)
    or (old.status <> 'draft'
      and (old.description, old.category_id, old.fund_id, old.supplier_name, old.invoice_number, old.amount, old.incurred_on, old.starts_on, old.ends_on, old.due_on)
        is distinct from
        (new.description, new.category_id, new.fund_id, new.supplier_name, new.invoice_number, new.amount, new.incurred_on, new.starts_on, new.ends_on, new.due_on)))
  execute function app.tg__frozen('What was submitted');
create trigger _010_frozen_receipt before update of receipt_file_id on public.expenses for each row
  when (old.status <> 'draft' and old.receipt_file_id is distinct from new.receipt_file_id and (old.receipt_file_id is not null or new.status = 'cancelled'))
  execute function app.tg__frozen('receipt_file_id');
-- What was posted is let go of by the step that takes it back, and by nothing else.
create trigger _010_frozen_entry before update on public.expenses for each row
  when (
    (old.journal_entry_id is not null and old.journal_entry_id is distinct from new.journal_entry_id)
    or (old.reversal_entry_id is not null and old.reversal_entry_id is distinct from new.reversal_entry_id)
    or (old.payment_entry_id is distinct from new.payment_entry_id and old.status = new.status)
    or (old.charge_entry_id is not null and new.charge_entry_id is not null
      and (old.charge_entry_id, old.allocation_id) is distinct from (new.charge_entry_id, new.allocation_id)))
  execute function app.tg__frozen('journal_entry_id');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.expenses', null, 'draft', null, 'It is entered'),
  ('public.expenses', 'draft', 'submitted', 'expenses.manage', 'Submit it for approval'),
  ('public.expenses', 'submitted', 'draft', 'expenses.manage', 'Take it back and change it'),
  ('public.expenses', 'rejected', 'draft', 'expenses.manage', 'Take it up again and change it'),
  ('public.expenses', 'submitted', 'approved', 'expenses.approve', 'Approve it'),
  ('public.expenses', 'submitted', 'rejected', 'expenses.approve', 'Reject it'),
  ('public.expenses', 'approved', 'partly_paid', 'expenses.pay', 'Pay a part of it'),
  ('public.expenses', 'approved', 'paid', 'expenses.pay', 'Pay it'),
  ('public.expenses', 'partly_paid', 'paid', 'expenses.pay', 'Pay the rest'),
  ('public.expenses', 'partly_paid', 'approved', 'expenses.pay', 'Take the only payment back'),
  ('public.expenses', 'paid', 'partly_paid', 'expenses.pay', 'Take one of the payments back'),
  ('public.expenses', 'paid', 'approved', 'expenses.pay', 'Take the payment back'),
  ('public.expenses', 'draft', 'cancelled', 'expenses.manage', 'Cancel it'),
  ('public.expenses', 'submitted', 'cancelled', 'expenses.manage', 'Cancel it'),
  ('public.expenses', 'rejected', 'cancelled', 'expenses.manage', 'Cancel it'),
  ('public.expenses', 'approved', 'cancelled', 'expenses.manage', 'Cancel it and reverse what it posted');

select app.state_machine('public.expenses', 'status');
select app.define_ledger_document('expense', 'public.expenses', '{journal_entry_id,reversal_entry_id,charge_entry_id}');

create policy expenses_select on public.expenses for select to authenticated
  using (
    community_id = any ((select app.communities_where('expenses.read'))::uuid[])
    and deleted_at is null
  );
grant select on public.expenses to authenticated;
grant select, insert, update on public.expenses to service_role;

-- What holds whoever writes ------------------------------------------------------------------------------------------

create function app.tg_expenses__number()
returns trigger
language plpgsql
security definer -- takes the next number, whoever writes
set search_path = ''
as $$
begin
  new.number := app.next_number(new.community_id, 'expense');
  return new;
end;
$$;

comment on function app.tg_expenses__number() is
  'BEFORE INSERT: gives the next number of the community; a transaction that fails leaves no gap. Definer: takes the next number.';

create trigger _200_number before insert on public.expenses for each row execute function app.tg_expenses__number();

create function app.tg_expenses__category()
returns trigger
language plpgsql
security definer -- locks a category, which the writer may be unable to update
set search_path = ''
as $$
begin
  -- Whoever takes it out of use meanwhile waits, or is waited for.
  if (select c.status from public.expense_categories c where c.community_id = new.community_id and c.id = new.category_id for share) <> 'active' then
    perform app.fail(409, 'category_inactive', 'This category of expenses is out of use and takes nothing new.', 'Choose another, or take it into use again.');
  end if;
  return new;
end;
$$;

comment on function app.tg_expenses__category() is
  'BEFORE an expense comes into a category: refuses one that is out of use (409 category_inactive). Definer: locks the category.';

create trigger _210_category before insert on public.expenses for each row execute function app.tg_expenses__category();
create trigger _210_category_changed before update of category_id on public.expenses for each row
  when (old.category_id <> new.category_id) execute function app.tg_expenses__category();

create function app.tg_expenses__four_eyes()
returns trigger
language plpgsql
security definer -- reads the setting, whoever writes
set search_path = ''
as $$
begin
  if app.setting('billing.expense_four_eyes', new.community_id)::boolean
    and (new.approved_by is null or new.approved_by in (new.created_by, new.submitted_by) or new.submitted_by is null)
  then
    perform app.fail(403, 'second_person_required', 'In this community an expense is approved by somebody other than who entered or submitted it.');
  end if;
  return new;
end;
$$;

comment on function app.tg_expenses__four_eyes() is
  'BEFORE an expense is approved: where the setting billing.expense_four_eyes is on, by a user who neither entered nor submitted it (403 second_person_required), whoever writes. Definer: reads the setting.';

create trigger _220_four_eyes before update of status on public.expenses for each row
  when (old.status = 'submitted' and new.status = 'approved') execute function app.tg_expenses__four_eyes();

create function app.tg_expenses__entries()
returns trigger
language plpgsql
security definer -- compares with the journal, whoever may see it
set search_path = ''
as $$
declare
  wrong text;
begin
  select w.called into wrong
  from (values
    ('journal_entry_id', new.journal_entry_id, 'expense'::public.entry_kind, null::uuid),
    ('reversal_entry_id', new.reversal_entry_id, 'reversal', new.journal_entry_id),
    ('charge_entry_id', new.charge_entry_id, 'charge', null)) w (called, entry_id, kind, reverses_id)
  left join public.journal_entries j on j.id = w.entry_id
  where w.entry_id is not null
    and (j.kind, j.document_kind, j.document_id, j.total, j.reverses_id) is distinct from (w.kind, 'expense'::text, new.id, new.amount, w.reverses_id)
  limit 1;
  if wrong is not null then
    perform app.fail(422, 'expense_mismatch', format('%s does not name an entry that this expense made, of its amount.', wrong), 'The RPCs post and name both.');
  end if;
  return null;
end;
$$;

comment on function app.tg_expenses__entries() is
  'AFTER an expense names an entry: it is of the kind that the step posts, in the name of this expense and of its amount (422 expense_mismatch), whoever writes. Definer: compares with the journal, whoever may see it.';

create trigger _500_entries after update of journal_entry_id, reversal_entry_id, charge_entry_id on public.expenses for each row
  when ((old.journal_entry_id, old.reversal_entry_id, old.charge_entry_id) is distinct from (new.journal_entry_id, new.reversal_entry_id, new.charge_entry_id))
  execute function app.tg_expenses__entries();

create function app.tg_expenses__event()
returns trigger
language plpgsql
security definer -- tells of every step, whoever takes it
set search_path = ''
as $$
begin
  perform app.emit('expense.' || new.status, new.community_id, jsonb_build_object('expense_id', new.id, 'from', old.status));
  return null;
end;
$$;

comment on function app.tg_expenses__event() is 'AFTER a step of an expense: the event expense.<state>. Definer: tells of every step, whoever takes it.';

create trigger _600_event after update of status on public.expenses for each row
  when (old.status is distinct from new.status) execute function app.tg_expenses__event();

-- Entering -----------------------------------------------------------------------------------------------------------

create function app.adopt_receipt(community uuid, file uuid)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  if file is not null and not exists (
    select from public.files f
    where f.id = file and f.community_id = community and f.purpose = 'expenses.receipt' and f.status = 'stored' and f.deleted_at is null)
  then
    perform app.fail(404, 'file_not_found', 'There is no stored file of the purpose expenses.receipt with this id in this community.');
  end if;
  update public.files f set owner_id = null where f.id = file and f.owner_id is not null;
end;
$$;

comment on function app.adopt_receipt(uuid, uuid) is
  'Refuses a receipt that is no stored file of the purpose in the community (404 file_not_found), and makes it the community''s own: its uploader neither removes it nor takes it along when erased. '
  'Not executable by API roles.';

create function app.fail_expense(refused text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  if refused = 'expenses_invoice_key' then
    perform app.fail(409, 'invoice_taken', 'An invoice of this supplier with this number was entered already in this category.', 'Cancel the other one if that is wrong.');
  end if;
  perform app.fail_check('expenses', refused);
end;
$$;

comment on function app.fail_expense(text) is 'What the RPCs answer when a constraint of expenses refuses: invoice_taken, or invalid_value with the column.';

create function app.with_decimals(amount numeric, decimals smallint)
returns numeric
language sql
immutable
set search_path = ''
return case when amount = round(amount, decimals) then round(amount, decimals) else amount end;

comment on function app.with_decimals(numeric, smallint) is
  'The amount as it is stored: 1500 as 1500.00. What does not fit stays as it is, for the check to refuse. Not executable by API roles.';

create function app.enter_expense(
  community uuid, category uuid, description text, amount numeric, incurred_on date, supplier_name text, invoice_number text, due_on date,
  starts_on date, ends_on date, receipt uuid
)
returns uuid
language plpgsql
volatile
security definer -- API roles may not insert expenses
set search_path = ''
as $$
declare
  kind public.expense_categories;
  entered uuid;
  refused text;
begin
  perform app.require('expenses.manage', community);
  select c.* into kind from public.expense_categories c where c.id = category and c.community_id = community and c.deleted_at is null;
  if kind.id is null then
    perform app.fail(404, 'category_not_found', 'There is no category of expenses with this id in this community.');
  elsif description is null or amount is null or incurred_on is null then
    perform app.fail(422, 'invalid_value', 'An expense has a description, an amount and a day: incurred_on.');
  end if;
  perform app.adopt_receipt(community, receipt);
  insert into public.expenses (
    description, community_id, category_id, fund_id, decimals, supplier_name, invoice_number, amount, incurred_on, starts_on, ends_on, due_on, receipt_file_id)
  select enter_expense.description, community, kind.id, kind.fund_id, f.decimals, nullif(btrim(enter_expense.supplier_name), ''), nullif(btrim(enter_expense.invoice_number), ''),
    app.with_decimals(enter_expense.amount, f.decimals), enter_expense.incurred_on, coalesce(enter_expense.starts_on, enter_expense.ends_on, enter_expense.incurred_on),
    coalesce(enter_expense.ends_on, enter_expense.starts_on, enter_expense.incurred_on), enter_expense.due_on, receipt
  from public.funds f
  where f.community_id = community and f.id = kind.fund_id
  returning id into entered;
  return entered;
exception when check_violation or unique_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_expense(refused);
end;
$$;

comment on function app.enter_expense(uuid, uuid, text, numeric, date, text, text, date, date, date, uuid) is 'What public.enter_expense does. Definer: no API role may insert expenses.';

create function public.enter_expense(
  community_id uuid, category_id uuid, description text, amount numeric, incurred_on date, supplier_name text default null, invoice_number text default null,
  due_on date default null, starts_on date default null, ends_on date default null, receipt_file_id uuid default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.enter_expense(community_id, category_id, description, amount, incurred_on, supplier_name, invoice_number, due_on, starts_on, ends_on, receipt_file_id) $$;

comment on function public.enter_expense(uuid, uuid, text, numeric, date, text, text, date, date, date, uuid) is
  'Enters an expense as a draft: what for, how much, on which day (incurred_on, the invoice''s), and for which days (starts_on to ends_on; that day alone if not given). Takes expenses.manage. Returns its id. '
  'Errors: permission_denied, category_not_found, category_inactive, file_not_found, invoice_taken, invalid_value.';

create function app.locked_expense(expense uuid, permission text)
returns public.expenses
language plpgsql
volatile
security definer -- locks an expense, which API roles may not update
set search_path = ''
as $$
declare
  present public.expenses;
begin
  select e.* into present from public.expenses e
  where e.id = expense and e.deleted_at is null and (app.is_trusted() or app.can('expenses.read', e.community_id))
  for no key update;
  if present.id is null then
    perform app.fail(404, 'expense_not_found', 'There is no expense with this id.');
  end if;
  perform app.require(permission, present.community_id);
  return present;
end;
$$;

comment on function app.locked_expense(uuid, text) is
  'The expense, locked, if the caller sees it and holds the permission there. Not executable by API roles. Errors: expense_not_found, permission_denied. Definer: locks an expense.';

create function app.refuse_expense_step(present public.expenses, needed text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  perform app.fail(409, 'transition_refused', format('This expense is %s.', present.status), needed);
end;
$$;

comment on function app.refuse_expense_step(public.expenses, text) is 'Refuses a step that the expense''s state does not allow (409 transition_refused), and says what would.';

create function app.change_expense(
  expense uuid, category uuid, description text, amount numeric, incurred_on date, supplier_name text, invoice_number text, due_on date, starts_on date, ends_on date
)
returns void
language plpgsql
volatile
security definer -- API roles may not update expenses
set search_path = ''
as $$
declare
  present constant public.expenses := app.locked_expense(expense, 'expenses.manage');
  kind public.expense_categories;
  refused text;
begin
  if present.status <> 'draft' then
    perform app.refuse_expense_step(present, 'Only a draft changes: reopen_expense makes it one again.');
  end if;
  select c.* into kind from public.expense_categories c where c.id = category and c.community_id = present.community_id and c.deleted_at is null;
  if kind.id is null then
    perform app.fail(404, 'category_not_found', 'There is no category of expenses with this id in this community.');
  elsif description is null or amount is null or incurred_on is null then
    perform app.fail(422, 'invalid_value', 'An expense has a description, an amount and a day: incurred_on.');
  end if;
  update public.expenses e
  set description = change_expense.description, category_id = kind.id, fund_id = kind.fund_id, supplier_name = nullif(btrim(change_expense.supplier_name), ''),
    invoice_number = nullif(btrim(change_expense.invoice_number), ''), amount = app.with_decimals(change_expense.amount, e.decimals), incurred_on = change_expense.incurred_on,
    starts_on = coalesce(change_expense.starts_on, change_expense.ends_on, change_expense.incurred_on),
    ends_on = coalesce(change_expense.ends_on, change_expense.starts_on, change_expense.incurred_on), due_on = change_expense.due_on
  where e.id = present.id;
exception when check_violation or unique_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_expense(refused);
end;
$$;

comment on function app.change_expense(uuid, uuid, text, numeric, date, text, text, date, date, date) is 'What public.change_expense does. Definer: no API role may update expenses.';

create function public.change_expense(
  expense_id uuid, category_id uuid, description text, amount numeric, incurred_on date, supplier_name text default null, invoice_number text default null,
  due_on date default null, starts_on date default null, ends_on date default null
)
returns void
language sql
volatile
set search_path = ''
as $$ select app.change_expense(expense_id, category_id, description, amount, incurred_on, supplier_name, invoice_number, due_on, starts_on, ends_on) $$;

comment on function public.change_expense(uuid, uuid, text, numeric, date, text, text, date, date, date) is
  'Says anew all that a draft says, its receipt apart: what is not given is taken away. Takes expenses.manage. '
  'Errors: expense_not_found, permission_denied, transition_refused, category_not_found, category_inactive, invoice_taken, invalid_value.';

create function app.set_expense_receipt(expense uuid, receipt uuid)
returns void
language plpgsql
volatile
security definer -- API roles may not update expenses
set search_path = ''
as $$
declare
  present constant public.expenses := app.locked_expense(expense, 'expenses.manage');
begin
  if receipt is not distinct from present.receipt_file_id then
    return;
  elsif present.status = 'cancelled' or (present.status <> 'draft' and present.receipt_file_id is not null) then
    perform app.refuse_expense_step(present, 'The receipt of a draft is exchanged; what was submitted without one may get one.');
  end if;
  perform app.adopt_receipt(present.community_id, receipt);
  update public.expenses e set receipt_file_id = receipt where e.id = present.id;
end;
$$;

comment on function app.set_expense_receipt(uuid, uuid) is 'What public.set_expense_receipt does. Definer: no API role may update expenses.';

create function public.set_expense_receipt(expense_id uuid, file_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_expense_receipt(expense_id, file_id) $$;

comment on function public.set_expense_receipt(uuid, uuid) is
  'Attaches a stored file of the purpose expenses.receipt: to a draft, where it replaces another (null: none), or later to an expense that has none. From then on the file is the community''s and stays with the expense. Takes expenses.manage. '
  'Errors: expense_not_found, permission_denied, transition_refused, file_not_found.';

create function app.submit_expense(expense uuid)
returns void
language plpgsql
volatile
security definer -- API roles may not update expenses
set search_path = ''
as $$
declare
  present constant public.expenses := app.locked_expense(expense, 'expenses.manage');
begin
  if present.status <> 'draft' then
    perform app.refuse_expense_step(present, 'A draft is submitted.');
  end if;
  update public.expenses e set status = 'submitted', submitted_at = now(), submitted_by = app.actor_id() where e.id = present.id;
end;
$$;

comment on function app.submit_expense(uuid) is 'What public.submit_expense does. Definer: no API role may update expenses.';

create function public.submit_expense(expense_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.submit_expense(expense_id) $$;

comment on function public.submit_expense(uuid) is
  'Submits a draft for approval; what it says is fixed from then on. Takes expenses.manage. Errors: expense_not_found, permission_denied, transition_refused.';

create function app.reopen_expense(expense uuid)
returns void
language plpgsql
volatile
security definer -- API roles may not update expenses
set search_path = ''
as $$
declare
  present constant public.expenses := app.locked_expense(expense, 'expenses.manage');
begin
  if present.status not in ('submitted', 'rejected') then
    perform app.refuse_expense_step(present, 'What was submitted or rejected becomes a draft again. What is approved is cancelled, and entered anew.');
  end if;
  update public.expenses e set status = 'draft' where e.id = present.id;
end;
$$;

comment on function app.reopen_expense(uuid) is 'What public.reopen_expense does. Definer: no API role may update expenses.';

create function public.reopen_expense(expense_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.reopen_expense(expense_id) $$;

comment on function public.reopen_expense(uuid) is
  'Makes a draft again of what was submitted or rejected, so that it can be changed. Takes expenses.manage. Errors: expense_not_found, permission_denied, transition_refused.';

grant execute on function
  app.enter_expense(uuid, uuid, text, numeric, date, text, text, date, date, date, uuid),
  public.enter_expense(uuid, uuid, text, numeric, date, text, text, date, date, date, uuid),
  app.change_expense(uuid, uuid, text, numeric, date, text, text, date, date, date),
  public.change_expense(uuid, uuid, text, numeric, date, text, text, date, date, date),
  app.set_expense_receipt(uuid, uuid), public.set_expense_receipt(uuid, uuid),
  app.submit_expense(uuid), public.submit_expense(uuid), app.reopen_expense(uuid), public.reopen_expense(uuid)
to authenticated, service_role;
