-- Which periods of active fees have begun and were never charged, and which runs were taken back and not run again.
select c.name as community, f.name as fee, d.starts_on, d.ends_on, 'never charged' as state, null::text as reason
from public.communities c
cross join lateral app.due_fee_periods(c.id, app.today_in(c.id)) d
join public.fees f on f.id = d.fee_id
union all
select c.name, f.name, r.starts_on, r.ends_on, 'taken back', r.reversal_reason
from public.fee_runs r
join public.fees f on f.id = r.fee_id
join public.communities c on c.id = r.community_id
where r.status = 'reversed'
  and not exists (select from public.fee_runs x where x.fee_id = r.fee_id and x.status = 'posted' and x.starts_on <= r.ends_on and x.ends_on >= r.starts_on)
order by community, starts_on, fee;
