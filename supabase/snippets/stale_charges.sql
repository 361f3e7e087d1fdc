-- Whom fee runs and shared expenses of the last year charged otherwise than they would today, because a sale or a lease was entered later. No row: nobody.
select c.name as community, coalesce(s.fee, s.expense) as charged_for, s.starts_on, s.ends_on, s.unit, s.full_name, s.charged, s.due_now, s.fee_run_id, s.expense_id
from public.ledgers l
join public.communities c on c.id = l.community_id
cross join lateral public.stale_charges(l.community_id) s
order by c.name, s.starts_on, s.fee_run_id, s.expense_id, s.unit, s.due_now;
