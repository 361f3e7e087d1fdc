-- What each fund of each community had at the beginning of the year, what came and went, and what it has now.
select c.name as community, r.fund_name, r.opening, r.income, r.expense, r.transfers, r.other, r.closing, r.claims, r.net_assets, l.currency_code
from public.ledgers l
join public.communities c on c.id = l.community_id
cross join lateral public.fund_report(l.community_id, date_trunc('year', current_date)::date, current_date) r
where not r.is_total
order by c.name, r.fund_code;
