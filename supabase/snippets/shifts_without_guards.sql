-- Shifts of the next 14 days that lack guards.
select c.name as community, b.name as booth, s.name as shift, s.starts_at at time zone c.time_zone as starts, s.needed_guards - count(a.id) as missing
from public.shifts s
join public.communities c on c.id = s.community_id
join public.booths b on b.community_id = s.community_id and b.id = s.booth_id
left join public.shift_assignments a on a.community_id = s.community_id and a.shift_id = s.id and a.deleted_at is null
where s.deleted_at is null and s.ends_at > now() and s.starts_at < now() + interval '14 days'
group by s.id, c.id, b.id
having count(a.id) < s.needed_guards
order by s.starts_at, c.name;
