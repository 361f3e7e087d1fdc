-- Which residents' documents ran out, or will within 90 days.
select community, full_name, kind, status, expires_on, days_left
from public.expiring_documents
order by expires_on;
