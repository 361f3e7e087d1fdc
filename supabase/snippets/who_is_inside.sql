-- Who came in and has not been seen leaving: what the fire brigade asks first.
select i.kind, i.name, concat_ws(' / ', b.name, u.number) as unit, i.party_size, i.access_point, i.entered_at, now() - i.entered_at as since
from public.people_inside i
join public.communities c on c.id = i.community_id
left join public.units u on u.id = i.unit_id
left join public.buildings b on b.id = u.building_id
where c.name = 'Lipa Court'
order by i.entered_at;
