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
    select s.unit_id, s.resident_id, s.starts_on, s.ends_on, weights[s.place], s.amount
    from app.split_liable(present.community_id, present.starts_on, present.ends_on, kind.liable, true, present.decimals, units, amounts) s
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
