-- Runs of fees, newest first: what was charged for which days, to how many, and whether it stands.
select c.name as community, f.name as fee, r.starts_on, r.ends_on, r.due_on, r.charge_count, r.total, r.status, r.reversal_reason, coalesce(p.display_name, r.created_by::text) as run_by, r.created_at
from public.fee_runs r
join public.fees f on f.id = r.fee_id
join public.communities c on c.id = r.community_id
left join public.profiles p on p.id = r.created_by
order by r.created_at desc
limit 200;
