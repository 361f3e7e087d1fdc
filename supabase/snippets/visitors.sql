-- Who is expected, who waits for an answer, who is inside: today's visitors, by the community's clock.
select v.status, v.status_reason, v.expected_at at time zone c.time_zone as expected, v.checked_in_at at time zone c.time_zone as came, v.checked_out_at at time zone c.time_zone as left_again,
  coalesce(v.visitor_name, i.title, i.provider_name, v.plate) as visitor, v.party_size, concat_ws(' / ', b.name, u.number) as unit, r.full_name as host, v.purpose, v.id
from public.visits v
join public.communities c on c.id = v.community_id
left join public.visitor_invitations i on i.community_id = v.community_id and i.id = v.invitation_id
left join public.units u on u.community_id = v.community_id and u.id = v.unit_id
left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
left join public.residents r on r.community_id = v.community_id and r.id = v.host_resident_id
where c.name = 'Lipa Court' and v.deleted_at is null
  and v.expected_at >= date_trunc('day', now() at time zone c.time_zone) at time zone c.time_zone
  and v.expected_at < (date_trunc('day', now() at time zone c.time_zone) + interval '1 day') at time zone c.time_zone
order by v.expected_at, v.id;
