-- Vehicles with unit and name, what waits for approval first.
select v.plate, v.status, concat_ws(' / ', b.name, u.number) as unit, r.full_name, v.type, v.make, v.model, v.colour, v.tag_number, v.status_reason, v.id
from public.vehicles v
join public.communities c on c.id = v.community_id
left join public.units u on u.community_id = v.community_id and u.id = v.unit_id
left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
left join public.residents r on r.community_id = v.community_id and r.id = v.resident_id
where c.name = 'Lipa Court' and v.deleted_at is null
order by v.status, v.plate;
