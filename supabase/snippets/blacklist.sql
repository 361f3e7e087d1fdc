-- The blacklist: what is in force first, with what each entry rests on and how often it matched.
select e.protocol_number, e.full_name, e.document_number, e.phone, e.plate, e.reason, e.starts_at, e.ends_at, e.lifted_at, e.lifted_because,
  (select count(*) from public.blacklist_evidence v where v.entry_id = e.id) as files,
  (select count(*) from audit.access_log l where l.community_id = e.community_id and l.blacklist_entry_id = e.id) as matches, e.id
from public.blacklist_entries e
join public.communities c on c.id = e.community_id
where c.name = 'Lipa Court' and e.deleted_at is null
order by e.lifted_at is null and (e.ends_at is null or e.ends_at > now()) desc, e.protocol_number desc;
