-- Billing: expenses shared out among the units.
--
-- Purpose     Who bears how much of an expense, by the key of its category, and the charges that follow.
-- Tables      none of its own
-- RPCs        preview_expense_allocation, allocate_expense, reverse_expense_allocation
-- Invariants  An expense is shared out as a whole, to the cent, and once at a time: whoever comes second finds it shared out (409
--             expense_allocated). What a unit bears is charged to who was liable for it on the days that the expense is for. The
--             preview computes what is charged by the same functions. Charges are taken back all together, and the expense may be
--             shared out again; both allocations stay. The checks of the ledger compare charges, shares and amount.
--
-- Locks       The expense, then what charging locks.

select app.define_action('EXPENSE_ALLOCATED', 'An expense was shared out and charged.');
select app.define_action('EXPENSE_ALLOCATION_REVERSED', 'The charges of an expense were taken back.');

create function app.allocatable_category(expense public.expenses)
returns public.expense_categories
language plpgsql
stable
set search_path = ''
as $$
declare
  kind public.expense_categories;
begin
  select c.* into kind from public.expense_categories c where c.community_id = expense.community_id and c.id = expense.category_id;
  if kind.allocation_key_id is null then
    perform app.fail(409, 'category_not_shared', 'Expenses of this category are borne by the fund: it has no allocation key.', 'change_expense_category gives it one.');
  end if;
  return kind;
end;
$$;

comment on function app.allocatable_category(public.expenses) is
  'The category of an expense, which has a key by which it is shared out (409 category_not_shared). Not executable by API roles.';

create function app.preview_expense_allocation(expense uuid)
returns table (unit_id uuid, resident_id uuid, starts_on date, ends_on date, weight numeric, amount numeric)
language plpgsql
stable
security definer -- reads who is liable in every unit, having asked for the permission
set search_path = ''
as $$
declare
  present public.expenses;
  kind public.expense_categories;
  units uuid[];
  weights numeric[];
  amounts numeric[];
begin
  select e.* into present from public.expenses e
  where e.id = expense and e.deleted_at is null and (app.is_trusted() or app.can('expenses.read', e.community_id));
  if present.id is null then
    perform app.fail(404, 'expense_not_found', 'There is no expense with this id.');
  end if;
  perform app.require('charges.read', present.community_id);
  kind := app.allocatable_category(present);
  select array_agg(r.unit_id order by r.place), array_agg(r.weight order by r.place), array_agg(r.amount order by r.place)
  into units, weights, amounts
  from app.allocation_rows(present.community_id, kind.allocation_key_id, present.amount, present.starts_on, present.ends_on) r;
  return query
    select s.unit_id, s.resident_id, s.starts_on, s.ends_on, w.weight, s.amount
    from app.split_liable(present.community_id, present.starts_on, present.ends_on, kind.liable, true, present.decimals, units, amounts) s
    join unnest(weights) with ordinality w (weight, place) on w.place = s.place
    where s.amount <> 0
    order by s.place, s.starts_on, s.resident_id;
end;
$$;

comment on function app.preview_expense_allocation(uuid) is
  'What public.preview_expense_allocation does. Definer: reads who is liable in every unit, having asked for the permission.';

create function public.preview_expense_allocation(expense_id uuid)
returns table (unit_id uuid, resident_id uuid, starts_on date, ends_on date, weight numeric, amount numeric)
language sql
stable
set search_path = ''
as $$ select * from app.preview_expense_allocation(expense_id) $$;

comment on function public.preview_expense_allocation(uuid) is
  'What allocate_expense would charge now, to whom (null: nobody is known to be liable) and for which days, with the weight of the unit. In any state of the expense. Takes expenses.read and charges.read. '
  'Errors: expense_not_found, permission_denied, category_not_shared, and those of the allocation key: allocation_no_weight, shares_not_whole, formula_not_evaluated.';

create function app.allocate_expense(expense uuid, due_on date, charged_on date)
returns uuid
language plpgsql
volatile
security definer -- API roles write neither allocations nor charges
set search_path = ''
as $$
declare
  action_before constant text := app.set_action('EXPENSE_ALLOCATED');
  present constant public.expenses := app.locked_expense(expense, 'expenses.manage');
  day constant date := coalesce(allocate_expense.charged_on, app.today_in(present.community_id));
  kind public.expense_categories;
  allocated uuid;
  units uuid[];
  amounts numeric[];
  lines app.charge_line[];
  line_ids uuid[];
  charged uuid;
begin
  if present.allocation_id is not null then
    perform app.fail(409, 'expense_allocated', 'This expense was shared out and charged.', 'reverse_expense_allocation takes the charges back.');
  elsif present.status not in ('approved', 'partly_paid', 'paid') then
    perform app.refuse_expense_step(present, 'What was approved is shared out.');
  elsif due_on is null or due_on < day then
    perform app.fail(422, 'invalid_value', 'due_on, by when the units pay, is not before the day of the charges.');
  end if;
  kind := app.allocatable_category(present);
  allocated := app.allocate(present.community_id, kind.allocation_key_id, present.amount, present.starts_on, present.ends_on);
  select array_agg(l.unit_id order by l.place), array_agg(l.amount order by l.place), array_agg(l.id order by l.place)
  into units, amounts, line_ids
  from public.allocation_lines l
  where l.community_id = present.community_id and l.allocation_id = allocated;
  select array_agg(row(s.unit_id, s.resident_id, s.amount, s.starts_on, s.ends_on, l.id, null)::app.charge_line order by s.place, s.starts_on, s.resident_id)
  into lines
  from app.split_liable(present.community_id, present.starts_on, present.ends_on, kind.liable, true, present.decimals, units, amounts) s
  join unnest(line_ids) with ordinality l (id, place) on l.place = s.place
  where s.amount <> 0;
  charged := app.post_charges(
    present.community_id, present.fund_id, app.account_for(present.community_id, present.fund_id, 'recovery_income'), 'expense', day, due_on, present.description, lines,
    document_kind => 'expense', document_id => present.id);
  update public.expenses e
  set allocation_id = allocated, charge_entry_id = charged, allocated_at = now(), allocated_by = app.actor_id()
  where e.id = present.id;
  perform app.emit('expense.allocated', present.community_id, jsonb_build_object('expense_id', present.id, 'allocation_id', allocated));
  perform app.set_action(action_before);
  return allocated;
end;
$$;

comment on function app.allocate_expense(uuid, date, date) is 'What public.allocate_expense does. Definer: API roles write neither allocations nor charges.';

create function public.allocate_expense(expense_id uuid, due_on date, charged_on date default null)
returns uuid
language sql
volatile
set search_path = ''
set statement_timeout = '60s' -- PostgREST takes it over for the whole call, in place of the role's 8 seconds
as $$ select app.allocate_expense(expense_id, due_on, charged_on) $$;

comment on function public.allocate_expense(uuid, date, date) is
  'Shares an expense that was approved, paid or not, out by the key of its category, for the days that it is for, and charges each unit''s share to who was liable then; on charged_on (today if not given), to be paid by due_on. Returns the allocation''s id. '
  'Takes expenses.manage. Errors: expense_not_found, permission_denied, transition_refused, expense_allocated, category_not_shared, invalid_value, account_missing, period_closed, '
  'and those of the allocation key: allocation_no_weight, shares_not_whole, formula_not_evaluated.';

create function app.reverse_expense_allocation(expense uuid, reason text, effective_on date)
returns uuid
language plpgsql
volatile
security definer -- API roles may neither update expenses nor post
set search_path = ''
as $$
declare
  action_before constant text := app.set_action('EXPENSE_ALLOCATION_REVERSED');
  present constant public.expenses := app.locked_expense(expense, 'expenses.manage');
  posted uuid;
begin
  perform app.checked_reason(reason, 500);
  if present.allocation_id is null then
    perform app.fail(409, 'expense_not_allocated', 'This expense is not shared out.');
  end if;
  posted := app.reverse_charges(present.charge_entry_id, app.reversal_day(present.charge_entry_id, reverse_expense_allocation.effective_on), btrim(reason));
  update public.expenses e set allocation_id = null, charge_entry_id = null, allocated_at = null, allocated_by = null where e.id = present.id;
  perform app.emit('expense.allocation_reversed', present.community_id, jsonb_build_object('expense_id', present.id, 'allocation_id', present.allocation_id));
  perform app.set_action(action_before);
  return posted;
end;
$$;

comment on function app.reverse_expense_allocation(uuid, text, date) is 'What public.reverse_expense_allocation does. Definer: API roles may neither update expenses nor post.';

create function public.reverse_expense_allocation(expense_id uuid, reason text, effective_on date default null)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.reverse_expense_allocation(expense_id, reason, effective_on) $$;

comment on function public.reverse_expense_allocation(uuid, text, date) is
  'Takes all charges of an expense back, today or on another day; it may be shared out again. Returns the reversal''s id. Takes expenses.manage. '
  'Errors: expense_not_found, permission_denied, reason_required, expense_not_allocated, charge_adjusted, and those of the date: period_closed, invalid_period, too_far_ahead.';

grant execute on function
  app.preview_expense_allocation(uuid), public.preview_expense_allocation(uuid), app.allocate_expense(uuid, date, date), public.allocate_expense(uuid, date, date),
  app.reverse_expense_allocation(uuid, text, date), public.reverse_expense_allocation(uuid, text, date)
to authenticated, service_role;

-- What an auditor asks -----------------------------------------------------------------------------------------------

create function app.check_expense_charges(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  -- What is shared out: the allocation's lines and the charges come to the amount, line by line.
  with shared as materialized (
    select e.id, e.community_id, e.number, e.amount, e.allocation_id, e.charge_entry_id
    from public.expenses e where e.community_id = community and e.allocation_id is not null
  ),
  -- Both in one list, line by line: while there are no statistics yet, a join would compare each line with all that was charged.
  lines as (
    select l.id, sum(l.amount) as amount, sum(l.charged) as charged, bool_and(l.amount = l.charged) as agrees
    from (
      select b.id, b.line_id, sum(b.amount) as amount, sum(b.charged) as charged
      from (
        select e.id, l.id as line_id, l.amount, 0::numeric as charged
        from shared e join public.allocation_lines l on l.allocation_id = e.allocation_id and l.community_id = e.community_id
        union all
        select e.id, c.allocation_line_id, 0, c.amount
        from shared e join public.charges c on c.community_id = e.community_id and c.journal_entry_id = e.charge_entry_id
      ) b
      group by b.id, b.line_id
    ) l
    group by l.id
  )
  select e.charge_entry_id, null::uuid, null::uuid, null::uuid,
    format('Expense %s of %s was shared out as %s, its lines come to %s, and %s was charged.', e.number, e.amount, a.total, coalesce(l.amount, 0), coalesce(l.charged, 0))
  from shared e
  left join public.allocations a on a.id = e.allocation_id and a.community_id = e.community_id
  left join public.journal_entries j on j.id = e.charge_entry_id
  left join lines l on l.id = e.id
  where a.total is distinct from e.amount or l.amount is distinct from e.amount or l.agrees is not true or l.charged is distinct from e.amount
    or (j.kind, j.document_kind, j.document_id, j.total) is distinct from ('charge'::public.entry_kind, 'expense'::text, e.id, e.amount)
    or exists (select from public.journal_entries r where r.community_id = e.community_id and r.reverses_id = j.id)
  union all
  -- Charges in the name of an expense that stand, and of which it knows nothing: it was charged twice.
  select j.id, null, null, null, format('These charges stand in the name of expense %s, which knows nothing of them.', coalesce(e.number::text, j.document_id::text))
  from public.journal_entries j
  left join public.expenses e on e.community_id = j.community_id and e.id = j.document_id
  where j.community_id = community and j.document_kind = 'expense' and j.kind = 'charge' and j.id is distinct from e.charge_entry_id
    and not exists (select from public.journal_entries r where r.community_id = j.community_id and r.reverses_id = j.id)
$$;

comment on function app.check_expense_charges(uuid) is
  'Expenses whose allocation, lines and charges do not come to the amount, unit by unit, or were taken back unseen, and charges in the name of an expense that it does not know of. For verify_ledger.';

select app.define_ledger_check('expense_charges_differ', 'app.check_expense_charges', 'What was charged for expenses is what they cost.');
