-- What could not have been stored with keys and triggers in force, in the books of every community. No row: all are sound.
select c.name as community, v.problem, k.description, v.detail, v.entry_id, v.posting_id, v.account_id, v.subaccount_id
from public.ledgers l
join public.communities c on c.id = l.community_id
cross join lateral public.verify_ledger(l.community_id) v
join app.ledger_checks k on k.problem = v.problem
order by c.name, v.problem, v.entry_id;
