-- What changed in the last day, who did it, and from where.
select l.recorded_at, l.table_name, l.operation, l.action, coalesce(p.display_name, l.actor_label) as actor, l.changes, l.note, l.address, l.user_agent, l.row_id
from public.audit_log l
left join public.profiles p on p.id = l.actor_id
where l.recorded_at > now() - interval '1 day'
order by l.recorded_at desc
limit 200;
