-- Requests about personal data that wait for an answer, the most overdue first.
select q.community, q.person, q.kind, q.requested_at::date as requested_on, q.due_on, q.is_overdue, q.details, q.request_id
from public.privacy_requests_overview q
where q.status = 'requested'
order by q.due_on, q.requested_at;
