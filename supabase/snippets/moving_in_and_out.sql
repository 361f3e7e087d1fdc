-- Who moves in or out within 30 days.
select community, unit, full_name, role, starts_on, ends_on
from public.residents_overview
where starts_on between current_date and current_date + 30 or ends_on between current_date - 1 and current_date + 30
order by coalesce(ends_on, starts_on);
