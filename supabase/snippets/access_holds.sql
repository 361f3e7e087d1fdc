-- Who and what is kept out at the moment, and by whom.
select c.name as community, h.reason, h.source, r.full_name, v.plate, k.number as card, h.note, h.starts_at, h.ends_at, h.created_by, h.id
from public.access_holds h
join public.communities c on c.id = h.community_id
left join public.residents r on r.community_id = h.community_id and r.id = h.resident_id
left join public.vehicles v on v.community_id = h.community_id and v.id = h.vehicle_id
left join public.access_cards k on k.community_id = h.community_id and k.id = h.card_id
where h.lifted_at is null and h.deleted_at is null and (h.ends_at is null or h.ends_at > now())
order by c.name, h.starts_at;
