-- Let another key sign the passes of every community; those in pockets stay good. A key that leaked: public.revoke_pass_key(kid, reason).
select c.name as community, public.rotate_pass_key(c.id) as kid
from public.communities c
where c.deleted_at is null
order by c.name;
