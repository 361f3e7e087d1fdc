-- Active devices at gates that have not been seen for a day, and those whose old key still counts.
select c.name as community, p.name as access_point, d.name as device, d.kind, d.serial_number, max(k.last_used_at) as last_seen_at,
  max(k.created_at) as newest_key_at, max(k.revoked_at) filter (where k.revoked_at > now()) as old_key_until
from public.access_devices d
join public.communities c on c.id = d.community_id
join public.access_points p on p.community_id = d.community_id and p.id = d.access_point_id
join private.device_keys k on k.community_id = d.community_id and k.device_id = d.id
where d.status = 'active' and d.deleted_at is null
group by c.id, p.id, d.id
having coalesce(max(k.last_used_at), '-infinity') < now() - interval '1 day' or max(k.revoked_at) filter (where k.revoked_at > now()) is not null
order by max(k.last_used_at) nulls first, c.name, p.name;
