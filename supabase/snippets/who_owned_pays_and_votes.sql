-- Who owned what on a day, who paid and who voted.
select o.unit, o.full_name, o.share, o.starts_on, o.ends_on
from public.communities c cross join lateral public.community_owners_on(c.id, date '2026-01-01') o
where c.slug = 'lipa-court';
select p.unit, p.full_name, p.share, p.source
from public.communities c cross join lateral public.community_payers_on(c.id, date '2026-01-01') p
where c.slug = 'lipa-court';
select v.unit, v.full_name, v.share, v.source, v.on_behalf_of
from public.communities c cross join lateral public.community_voters_on(c.id, date '2026-01-01') v
where c.slug = 'lipa-court';
