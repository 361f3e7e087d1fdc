-- The last 200 attempts at the gates of a community, with whom they were about.
select l.logged_at at time zone c.time_zone as at, p.name as gate, l.direction, l.method, l.outcome, l.reason, coalesce(v.visitor_name, r.full_name) as who,
  concat_ws(' / ', b.name, u.number) as unit, l.plate, coalesce(d.name, g.full_name) as decided_by, l.note, l.scanned_at - l.logged_at as device_clock, l.id
from audit.access_log l
join public.communities c on c.id = l.community_id
left join public.access_points p on p.id = l.access_point_id
left join public.access_devices d on d.id = l.device_id
left join public.guards g on g.id = l.guard_id
left join public.visits v on v.id = l.visit_id
left join public.residents r on r.id = l.resident_id
left join public.units u on u.id = l.unit_id
left join public.buildings b on b.id = u.building_id
where c.name = 'Lipa Court'
order by l.logged_at desc
limit 200;
