-- Make an organization, a community in it, and its manager (who has signed up before).
with community as (
  select public.create_community(
    public.create_organization('My organization', 'my-organization', 'BG'),
    'My community', 'my-community', 'BG', 'EUR', 'Europe/Sofia', 'bg', 100) as id
)
select public.grant_role((select u.id from auth.users u where u.email = 'manager@example.com'), 'manager', community_id => community.id)
from community;
