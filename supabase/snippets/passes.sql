-- The passes that open something now or will: whose, how often used, by which key.
select c.name as community, o.kind, o.state, coalesce(r.full_name, i.visitor_name, i.title) as of, o.starts_at, o.ends_at, o.used_count, o.max_uses, o.last_used_at, o.kid, o.pass_id
from public.passes_overview o
join public.communities c on c.id = o.community_id
left join public.residents r on r.community_id = o.community_id and r.id = o.resident_id
left join public.visitor_invitations i on i.community_id = o.community_id and i.id = o.invitation_id
where o.state in ('valid', 'not_yet_valid')
order by c.name, o.ends_at;
