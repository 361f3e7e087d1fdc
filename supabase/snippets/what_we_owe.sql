-- What each community owes its suppliers today: to whom, how much and how old it is, by the day it was due. paid_ahead: paid before it is booked; without_expense: entered by hand.
select c.name as community, coalesce(a.supplier_name, '(no supplier named)') as supplier, a.fund, a.balance, a.not_due, a.days_1_30, a.days_31_60, a.days_61_90, a.days_over_90,
  a.paid_ahead, a.without_expense, a.expenses, l.currency_code
from public.ledgers l
join public.communities c on c.id = l.community_id
cross join lateral public.payables_aging(l.community_id) a
order by c.name, a.balance desc;
