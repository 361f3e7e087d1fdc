-- Who is on duty now, booth by booth, and where somebody is missing.
select c.name as community, b.name as booth, s.name as shift, s.starts_at at time zone c.time_zone as starts, s.ends_at at time zone c.time_zone as ends,
  s.needed_guards, count(a.id) as guards, string_agg(g.full_name, ', ' order by g.full_name) as on_duty
from public.booths b
join public.communities c on c.id = b.community_id
left join public.shifts s on s.community_id = b.community_id and s.booth_id = b.id and s.deleted_at is null and s.starts_at <= now() and s.ends_at > now()
left join public.shift_assignments a on a.community_id = s.community_id and a.shift_id = s.id and a.deleted_at is null
left join public.guards g on g.community_id = a.community_id and g.id = a.guard_id
where b.deleted_at is null
group by c.id, b.id, s.id
order by count(a.id) >= coalesce(s.needed_guards, 1), c.name, b.name, s.starts_at;
