-- Who has a login of the database, how far it reaches, and until when. docs/database-roles.md says how to make and end one.
select
  l.name, l.purpose, coalesce(o.name, 'all organizations') as reaches, l.is_detailed, l.ends_at,
  l.ends_at <= now() as is_over, r.rolname is null as role_is_missing, l.made_by, l.made_at
from app.database_logins l
left join public.organizations o on o.id = l.organization_id
left join pg_catalog.pg_roles r on r.rolname = l.name
order by l.name;
