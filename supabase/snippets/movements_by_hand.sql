-- What entries by hand moved in the last year: what is said to have been received, what was let off, what left the bank; by whom, and what answers to what.
select c.name as community, m.effective_on, m.movement, m.amount, m.full_name, m.unit, m.account, m.description, coalesce(m.booked_by_name, m.booked_as) as who, m.booked_at, m.reversed_on, m.entry_id, m.paired_entry_id
from public.ledgers l
join public.communities c on c.id = l.community_id
cross join lateral public.movements_by_hand(l.community_id) m
order by c.name, m.effective_on desc, m.booked_at desc;
