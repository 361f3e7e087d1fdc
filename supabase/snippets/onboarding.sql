-- How far residents have come, and who waits for the management: whose identity is to be checked, who is to be taken up.
select c.name as community, re.onboarding, count(*) as residents,
  count(*) filter (where i.status = 'pending') as identities_to_check,
  count(*) filter (where re.onboarding = 'verified') as to_take_up
from public.residents re
join public.communities c on c.id = re.community_id
left join public.identity_checks i on i.community_id = re.community_id and i.resident_id = re.id and i.deleted_at is null
where re.deleted_at is null
group by c.name, re.onboarding
order by c.name, re.onboarding;
