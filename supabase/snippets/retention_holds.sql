-- Whose data may not be erased, why and until when.
select c.name as community, coalesce(r.full_name, p.display_name) as person, h.reason, h.until_on, h.source_table, h.id as hold_id
from public.retention_holds h
join public.communities c on c.id = h.community_id
left join public.residents r on r.community_id = h.community_id and r.id = h.resident_id
left join public.profiles p on p.id = h.user_id
where h.lifted_at is null and h.deleted_at is null and (h.until_on is null or h.until_on >= current_date)
order by community, h.until_on nulls last, person;
