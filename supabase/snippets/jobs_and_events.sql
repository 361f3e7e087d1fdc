-- Jobs whose last run failed, and events that some consumer could not be told of.
select 'job' as what, j.name, j.last_started_at as at, j.last_error as problem
from app.scheduled_jobs j
where j.last_error is not null
union all
select 'event for ' || d.consumer, o.topic, o.created_at, d.status || ' after ' || d.attempts || ' tries: ' || d.last_error
from app.outbox_deliveries d
join app.outbox o on o.id = d.event_id
where d.status = 'dead' or (d.status = 'pending' and d.attempts > 0)
order by at desc;
