-- Cards that are out and open nothing any more, because their holder has left or their last day is over: whom to ask for them.
select c.name as community, k.number, k.kind, k.label, coalesce(r.full_name, g.full_name) as holder, p.problem, k.updated_at, k.id
from public.access_cards k
join public.communities c on c.id = k.community_id
left join public.residents r on r.community_id = k.community_id and r.id = k.resident_id
left join public.guards g on g.community_id = k.community_id and g.id = k.guard_id
cross join lateral (select app.card_problem(k, now()) as problem) p
where k.status in ('active', 'blocked') and k.deleted_at is null and p.problem in ('expired', 'holder_left')
order by c.name, holder;
