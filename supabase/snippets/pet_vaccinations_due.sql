-- Pets whose latest vaccination of a kind is overdue or due within 30 days.
select distinct on (p.id, lower(v.vaccine)) c.name as community, u.number as unit, p.name as pet, r.full_name, v.vaccine, v.given_on, v.due_on, v.reminded_at
from public.pet_vaccinations v
join public.pets p on p.id = v.pet_id and p.status = 'living' and p.deleted_at is null
join public.communities c on c.id = p.community_id
join public.units u on u.id = p.unit_id
join public.residents r on r.id = p.resident_id
where v.deleted_at is null and v.due_on <= current_date + 30
  and not exists (select from public.pet_vaccinations later where later.pet_id = v.pet_id and lower(later.vaccine) = lower(v.vaccine) and later.given_on > v.given_on and later.deleted_at is null)
order by p.id, lower(v.vaccine), v.given_on desc;
