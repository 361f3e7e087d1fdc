-- Expenses that wait for somebody: to be submitted, approved or paid (still_owed: how much), and those that are paid and not shared out although their category is.
select c.name as community, e.number, e.status, e.description, e.supplier_name, e.amount, case when e.status in ('approved', 'partly_paid') then e.amount - e.paid_amount end as still_owed,
  e.due_on, k.name as category, e.status in ('approved', 'partly_paid', 'paid') and k.allocation_key_id is not null and e.allocation_id is null as waits_to_be_shared_out,
  coalesce(p.display_name, e.created_by::text) as entered_by
from public.expenses e
join public.communities c on c.id = e.community_id
join public.expense_categories k on k.id = e.category_id
left join public.profiles p on p.id = e.created_by
where e.deleted_at is null
  and (e.status in ('draft', 'submitted', 'rejected', 'approved', 'partly_paid') or (e.status = 'paid' and k.allocation_key_id is not null and e.allocation_id is null))
order by c.name, e.due_on nulls last, e.number;
