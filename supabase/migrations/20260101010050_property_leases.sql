-- Property: leases.
--
-- Purpose     The contracts by which units are let: for how long, for how much, by which paper. Who rents by one is an occupancy
--             (topic people) that names it.
-- Tables      leases
-- Invariants  A unit has one contract at a time; tenants who rent together share one. The paper is a stored file of this community.
--             A contract is made, prolonged and ended together with its tenancies, by the RPCs of topic tenancies.

select app.define_permission('leases.read', 'community', 'See leases: who rents what, for how long and for how much', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor,
  community/admin, community/manager, community/accountant}');
select app.define_permission('leases.manage', 'community', 'Enter, prolong and end leases', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager}');
select app.define_permission('leases.read_own', 'unit', 'See the leases of the unit one owns', '{community/owner}');

select app.define_file_purpose('lease.document', 'vicinia-documents', 'The contract of a lease, scanned',
  '{application/pdf,image/png,image/jpeg}', 20971520, 'leases.manage', 'leases.manage', read_permission => 'leases.read', is_of_community => true);

create table public.leases (
  id uuid not null default extensions.uuidv7(),
  reference text,
  community_id uuid not null,
  unit_id uuid not null,
  starts_on date not null,
  ends_on date,
  monthly_rent numeric(15, 3),
  document_file_id uuid,
  ended_early_reason text,
  reminded_at timestamptz,
  like app.row_model including defaults including comments,
  constraint leases_pkey primary key (id),
  constraint leases_unit_id_key unique (community_id, unit_id, id),
  constraint leases_unit_fkey foreign key (community_id, unit_id) references public.units (community_id, id) on delete restrict,
  constraint leases_document_fkey foreign key (community_id, document_file_id) references public.files (community_id, id) on delete set null (document_file_id),
  constraint leases_reference_check check (app.is_name(reference) and length(reference) <= 80),
  constraint leases_ends_on_check check (ends_on >= starts_on),
  constraint leases_monthly_rent_check check (monthly_rent >= 0),
  constraint leases_ended_early_reason_check check (length(btrim(ended_early_reason)) between 3 and 500),
  constraint leases_one_at_a_time_excl exclude using gist (
    community_id with =, unit_id with =, daterange(starts_on, ends_on, '[]') with &&
  ) where (deleted_at is null)
);

create index leases_document_idx on public.leases (community_id, document_file_id) where document_file_id is not null;
create index leases_ending_idx on public.leases (community_id, ends_on) where ends_on is not null and deleted_at is null;

comment on table public.leases is 'Contracts by which units are let. A unit has one at a time; its tenants are the occupancies that name it. Written by sign_lease, extend_lease and end_lease.';
comment on column public.leases.reference is 'The contract''s number, as the parties call it.';
comment on column public.leases.unit_id is 'What is let.';
comment on column public.leases.starts_on is 'The first day, in the community''s time zone.';
comment on column public.leases.ends_on is 'The last day; null: until further notice.';
comment on column public.leases.monthly_rent is 'What is agreed per month, in the community''s currency. For the record: rent is between owner and tenant.';
comment on column public.leases.document_file_id is 'The contract: a stored file of purpose lease.document.';
comment on column public.leases.ended_early_reason is 'Why end_lease ended it on another day than was agreed.';
comment on column public.leases.reminded_at is 'When the event lease.expiring was told for the last day that it has now. Set by the job lease-reminders.';

create function app.is_over(lease public.leases)
returns boolean
language sql
stable
set search_path = ''
-- A day later than the last, so that it is over in every time zone.
return coalesce(lease.ends_on < (now() at time zone 'UTC')::date - 1, false);

comment on function app.is_over(public.leases) is 'Whether the contract is history, which does not keep the unit from being archived.';

grant execute on function app.is_over(public.leases) to authenticated, service_role;

select app.track('public.leases');

create trigger _200_document before insert or update of document_file_id on public.leases for each row
  when (new.document_file_id is not null) execute function app.tg__stored_file('document_file_id', 'lease.document');

create function app.leases_with_me()
returns setof uuid
language plpgsql
stable
security definer -- reads the caller's occupancies before any policy on them is decided
set search_path = ''
as $$
begin
  return query
    select o.lease_id
    from public.residents re
    join public.occupancies o on o.community_id = re.community_id and o.resident_id = re.id
    where re.user_id = (select app.user_id()) and re.deleted_at is null and o.deleted_at is null and o.lease_id is not null
    union
    select l.id
    from app.units_with('leases.read_own') u
    join public.leases l on l.unit_id = u
    join public.communities c on c.id = l.community_id
    where l.deleted_at is null and (l.ends_on is null or l.ends_on >= (now() at time zone c.time_zone)::date);
end;
$$;

comment on function app.leases_with_me() is
  'The contracts by which the caller rents or rented, and the present and coming ones of the units that the caller owns. Definer: reads occupancies.';

grant execute on function app.leases_with_me() to authenticated;

create policy leases_select on public.leases for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('residents.archive'))))
    and (
      (select 'leases.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('leases.read'))
      or id in (select app.leases_with_me())
    )
  );

grant select on public.leases to authenticated;
grant select, insert, update on public.leases to service_role;
