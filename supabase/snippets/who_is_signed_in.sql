-- Who is signed in where: sessions by user, last seen first. To end one: select public.end_session('<session_id>', '<reason>').
select p.display_name, p.email, s.*
from public.profiles p
cross join lateral app.sessions_of(p.id) s
order by s.last_seen_at desc
limit 200;
