-- Who holds which role where, and until when.
select p.display_name, p.email, p.status, m.level, coalesce(c.name, o.name) as place, r.name as role, m.starts_at, m.ends_at
from public.memberships m
join public.profiles p on p.id = m.user_id
join public.roles r on r.id = m.role_id
left join public.communities c on c.id = m.community_id
left join public.organizations o on o.id = m.organization_id
where m.deleted_at is null and (m.ends_at is null or m.ends_at > now())
order by m.level, place, role, p.display_name;
