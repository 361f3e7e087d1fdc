-- What the nightly verification found in the books: what stands and nobody has looked at first, what is wrong before what is worth a look; and when each community's were verified last.
select c.name as community, f.is_fault, f.problem, k.description, f.detail, f.found_at, f.seen_at, f.gone_at, f.reviewed_at, coalesce(p.display_name, f.reviewed_by::text) as reviewed_by, f.review_note,
  v.verified_at, v.failure, v.took, f.id as finding_id, f.entry_id, f.posting_id, f.account_id, f.subaccount_id
from private.ledger_verifications v
join public.communities c on c.id = v.community_id
left join public.ledger_findings f on f.community_id = v.community_id
left join app.ledger_checks k on k.problem = f.problem
left join public.profiles p on p.id = f.reviewed_by
order by f.id is null, f.gone_at is not null, f.reviewed_at is not null, f.is_fault desc, f.found_at desc, c.name;
