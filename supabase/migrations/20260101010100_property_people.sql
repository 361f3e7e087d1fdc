-- Property: residents and occupancies.
--
-- Purpose     Who owns, rents and lives in what, since when and until when.
-- Tables      residents, resident_details, occupancies
-- RPCs        set_unit_maintenance
-- Invariants  A resident and the unit of an occupancy are of one community. A unit has at most one primary contact at a time,
--             a resident one occupancy of a kind in a unit at a time. Only owners have shares, which make the whole (topic
--             ownership). Two contracts never let a unit at one time. Who acts for a unit or is its guest has a last day. A user is
--             linked to a resident by an address that Auth has verified, never by one that was only typed, and never to a minor.
--             Since when and until when somebody lived in a unit whom a stay ties to it is kept: days_lived_in.
--             A past ends_on moves the person out: access ends with that day in the community's time zone, by itself.

create type public.resident_kind as enum ('person', 'company');
-- In the order in which they are reached; the topic onboarding declares the steps.
create type public.onboarding_state as enum ('entered', 'invited', 'registered', 'verified', 'active', 'suspended', 'moved_out');
create type public.occupancy_role as enum ('owner', 'tenant', 'family', 'authorized', 'guest');

select app.define_permission('residents.read', 'community', 'See who lives where and who owns what, by name', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor, organization/viewer,
  community/admin, community/manager, community/accountant, community/guard, community/committee}');
select app.define_permission('residents.read_details', 'community', 'See residents'' addresses, telephones and identity numbers', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor,
  community/admin, community/manager, community/accountant}');
select app.define_permission('residents.manage', 'community', 'Add and change residents and occupancies', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager}');
select app.define_permission('residents.archive', 'community', 'Archive and restore residents and occupancies', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');
select app.define_permission('residents.read_own', 'unit', 'See everybody who occupies the own unit', '{community/owner}');
select app.define_permission('residents.read_household', 'unit', 'See who lives in the own unit, its owners excepted', '{community/tenant, community/family}');

-- Residents ----------------------------------------------------------------------------------------------------------

create table public.residents (
  id uuid not null default extensions.uuidv7(),
  full_name text not null,
  community_id uuid not null,
  kind public.resident_kind not null default 'person',
  reference text,
  user_id uuid,
  guardian_id uuid,
  locale text,
  photo_file_id uuid,
  onboarding public.onboarding_state not null default 'entered',
  merged_into_id uuid,
  erased_at timestamptz,
  like app.row_model including defaults including comments,
  constraint residents_pkey primary key (id),
  constraint residents_community_id_key unique (community_id, id),
  constraint residents_community_fkey foreign key (community_id) references public.communities (id) on delete restrict,
  constraint residents_user_fkey foreign key (user_id) references public.profiles (id) on delete set null (user_id),
  constraint residents_photo_fkey foreign key (community_id, photo_file_id) references public.files (community_id, id) on delete set null (photo_file_id),
  constraint residents_guardian_fkey foreign key (community_id, guardian_id) references public.residents (community_id, id) on delete set null (guardian_id),
  constraint residents_guardian_id_check check (guardian_id is null or (guardian_id <> id and kind = 'person')),
  constraint residents_merged_into_fkey foreign key (community_id, merged_into_id) references public.residents (community_id, id) on delete set null (merged_into_id),
  constraint residents_merged_into_id_check check (merged_into_id is null or (merged_into_id <> id and deleted_at is not null)),
  constraint residents_full_name_check check (app.is_name(full_name)),
  constraint residents_reference_check check (app.is_name(reference) and length(reference) <= 80),
  constraint residents_locale_check check (app.is_locale(locale))
);

create unique index residents_reference_key on public.residents (community_id, reference) where deleted_at is null;
create unique index residents_user_key on public.residents (user_id, community_id) where deleted_at is null;
create index residents_photo_idx on public.residents (community_id, photo_file_id) where photo_file_id is not null;
create index residents_guardian_idx on public.residents (community_id, guardian_id) where guardian_id is not null;
create index residents_name_idx on public.residents (community_id, full_name);
create index residents_merged_into_idx on public.residents (community_id, merged_into_id) where merged_into_id is not null;

comment on table public.residents is
  'People and companies of a community: owners, tenants, family, whoever a roster names. One row per person and community, with or without a user.';
comment on column public.residents.full_name is 'Name of the person or company in any script, as written.';
comment on column public.residents.kind is 'person, or company.';
comment on column public.residents.reference is 'The person''s number in the roster or register it came from; tells two people of one name apart. Unique where present.';
comment on column public.residents.user_id is 'The user who signs in as this resident; linked by a verified address, never written by an app.';
comment on column public.residents.guardian_id is 'Who acts for a minor, or for somebody under guardianship: votes where the resident owns. A resident of the same community.';
comment on column public.residents.merged_into_id is 'The record of the same person that stayed when this one was found to be a duplicate (merge_residents). Archived since, and stays so.';
comment on column public.residents.erased_at is 'When the person was erased (erase_personal_data): the row stays, so that the history of its units can be counted, and says nothing about anybody.';
comment on column public.residents.locale is 'Language to write to the person in (BCP 47); the community''s where null.';
comment on column public.residents.photo_file_id is 'A photograph of the person: a file of purpose resident.photo. Set by set_resident_photo.';
comment on column public.residents.onboarding is
  'entered: known to the community. invited: asked to sign up. registered: a user is linked. verified: and the identity was checked. active: and taken up by the management. '
  'suspended: occupancies give no access. moved_out: every occupancy is over. Steps are RPCs, or follow from links and occupancies.';

select app.track('public.residents');

-- Details ------------------------------------------------------------------------------------------------------------
-- Apart from residents, so that who may see names at the gate does not see addresses and identity numbers.

create table public.resident_details (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  resident_id uuid not null,
  email text,
  phone text,
  identity_number text,
  postal_address text,
  born_on date,
  adult_on date,
  note text,
  like app.row_model including defaults including comments,
  constraint resident_details_pkey primary key (id),
  constraint resident_details_resident_key unique (community_id, resident_id),
  constraint resident_details_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete cascade,
  constraint resident_details_email_check check (app.is_email(email)),
  constraint resident_details_phone_check check (app.is_phone(phone)),
  constraint resident_details_identity_number_check check (length(identity_number) between 3 and 40),
  constraint resident_details_postal_address_check check (length(postal_address) <= 500),
  constraint resident_details_born_on_check check (born_on between date '1850-01-01' and date '2200-01-01'),
  constraint resident_details_adult_on_check check (adult_on > born_on),
  constraint resident_details_note_check check (length(note) <= 4000)
);

create index resident_details_phone_idx on public.resident_details (app.phone_digits(phone)) where phone is not null;
create index resident_details_email_idx on public.resident_details (lower(email)) where email is not null;
create index resident_details_adult_on_idx on public.resident_details (adult_on) where adult_on is not null;

comment on table public.resident_details is 'How to reach a resident and by which number authorities know them; one row per resident, for fewer eyes than the name.';
comment on column public.resident_details.resident_id is 'Whose details.';
comment on column public.resident_details.email is 'The address by which a user who verifies it is linked to the resident.';
comment on column public.resident_details.phone is
  'Telephone number, as written; digits, spaces and a leading +. With its country''s code, a user who verifies it is linked to the resident.';
comment on column public.resident_details.identity_number is 'Number of the identity document, or the company''s registration or tax number.';
comment on column public.resident_details.postal_address is 'Where to write to, if not to the unit.';
comment on column public.resident_details.born_on is 'Day of birth. Sets adult_on.';
comment on column public.resident_details.adult_on is 'The day on which a minor comes of age: no user is linked before. Null: an adult, as far as is known. Follows from born_on and the setting general.age_of_majority, or is stated alone.';
comment on column public.resident_details.note is 'What the management noted about the person. The person may ask to see it.';

select app.track('public.resident_details', secrets => '{identity_number}');

-- Occupancies --------------------------------------------------------------------------------------------------------

create table public.occupancies (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  unit_id uuid not null,
  resident_id uuid not null,
  role public.occupancy_role not null,
  host_id uuid,
  lease_id uuid,
  ownership_share numeric(9, 6),
  is_living_in boolean not null default true,
  days_lived_in datemultirange not null default '{(,)}',
  is_primary_contact boolean not null default false,
  starts_on date not null default current_date,
  ends_on date,
  moved_out_at timestamptz,
  like app.row_model including defaults including comments,
  constraint occupancies_pkey primary key (id),
  constraint occupancies_unit_fkey foreign key (community_id, unit_id) references public.units (community_id, id) on delete restrict,
  constraint occupancies_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete restrict,
  constraint occupancies_host_fkey foreign key (community_id, host_id) references public.residents (community_id, id) on delete set null (host_id),
  constraint occupancies_lease_fkey foreign key (community_id, unit_id, lease_id) references public.leases (community_id, unit_id, id) on delete restrict,
  constraint occupancies_host_id_check check (host_id is null or (host_id <> resident_id and role in ('family', 'authorized', 'guest'))),
  constraint occupancies_lease_id_check check (lease_id is null or role = 'tenant'),
  constraint occupancies_last_day_check check (ends_on is not null or role not in ('authorized', 'guest')),
  constraint occupancies_ownership_share_check check (ownership_share > 0 and ownership_share <= 100),
  constraint occupancies_owner_share_check check (ownership_share is null or role = 'owner'),
  constraint occupancies_ends_on_check check (ends_on >= starts_on),
  constraint occupancies_days_lived_in_check check (is_living_in = upper_inf(days_lived_in)),
  constraint occupancies_held_once_excl exclude using gist (
    community_id with =, unit_id with =, resident_id with =, role with =, daterange(starts_on, ends_on, '[]') with &&
  ) where (deleted_at is null),
  constraint occupancies_primary_contact_excl exclude using gist (
    community_id with =, unit_id with =, daterange(starts_on, ends_on, '[]') with &&
  ) where (is_primary_contact and deleted_at is null)
);

create index occupancies_unit_idx on public.occupancies (community_id, unit_id);
create index occupancies_owner_idx on public.occupancies (community_id, unit_id, starts_on) where role = 'owner' and deleted_at is null;
create index occupancies_host_idx on public.occupancies (community_id, host_id) where host_id is not null;
create index occupancies_lease_idx on public.occupancies (community_id, unit_id, lease_id) where lease_id is not null;
create index occupancies_resident_idx on public.occupancies (community_id, resident_id);
create index occupancies_ending_idx on public.occupancies (ends_on) where moved_out_at is null and ends_on is not null;

comment on table public.occupancies is 'What ties a resident to a unit: the role, a share of ownership, and the days from which and to which it holds.';
comment on column public.occupancies.unit_id is 'The unit; of the same community.';
comment on column public.occupancies.resident_id is 'The resident; of the same community.';
comment on column public.occupancies.role is 'owner, tenant, family, authorized (acts for the unit), guest. Gives the role of the same key while it lasts.';
comment on column public.occupancies.host_id is 'Whose family, authorized person or guest it is: an owner or tenant of the unit, with whom it ends. Null: of all who owned or rented the unit when it began.';
comment on column public.occupancies.lease_id is 'The contract of a tenancy; of the same unit. Null: rented, by which contract is not known.';
comment on column public.occupancies.ownership_share is 'Percent of the unit that an owner owns: above 0, at most 100, to six decimals (33.333333 is a third). Null: an equal part of what the stated shares leave.';
comment on column public.occupancies.is_living_in is 'Whether the resident lives in the unit, or uses it as a company does; an owner who lets it does not.';
comment on column public.occupancies.days_lived_in is
  'The days of the stay on which is_living_in held: what came before the first day and comes after the last does not count. Kept by the database, from the day on which is_living_in is changed; a wrong entry is corrected here, in SQL.';
comment on column public.occupancies.is_primary_contact is 'Whom to call about the unit; at most one at a time.';
comment on column public.occupancies.starts_on is 'The first day, in the community''s time zone.';
comment on column public.occupancies.ends_on is 'The last day, in the community''s time zone; null: until further notice. Authorized persons and guests have one.';
comment on column public.occupancies.moved_out_at is 'When the end was noticed and told of (event occupancy.ended). Set by the database.';

create function app.is_over(occupancy public.occupancies)
returns boolean
language sql
immutable
set search_path = ''
return occupancy.moved_out_at is not null;

comment on function app.is_over(public.occupancies) is
  'Whether the row is history: somebody who moved out does not keep the unit, or the person, from being archived.';

grant execute on function app.is_over(public.occupancies) to authenticated, service_role;

select app.track('public.occupancies');

create function app.today_in(community uuid)
returns date
language sql
stable
security definer -- which day it is where somebody lives is no secret
set search_path = ''
return (select (now() at time zone c.time_zone)::date from public.communities c where c.id = community);

comment on function app.today_in(uuid) is 'Today, in the community''s time zone. Definer: which day it is where somebody lives is no secret.';

grant execute on function app.today_in(uuid) to authenticated, service_role;

-- Who sees whom ------------------------------------------------------------------------------------------------------

create function app.my_residents()
returns setof uuid
language plpgsql
stable
security definer -- finds the caller's own records before any policy on them is decided
set search_path = ''
as $$
begin
  return query select re.id from public.residents re where re.user_id = (select app.user_id()) and re.deleted_at is null;
end;
$$;

comment on function app.my_residents() is 'The residents'' records of the caller, one per community. Definer: reads residents.';

create function app.residents_with_me()
returns setof uuid
language plpgsql
stable
security definer -- reads occupancies of the caller's units before any policy on them is decided
set search_path = ''
as $$
begin
  return query
    select app.my_residents()
    union
    select o.resident_id from app.occupancies_with_me() w join public.occupancies o on o.id = w;
end;
$$;

comment on function app.residents_with_me() is
  'The caller as a resident, and the residents with whom the caller shares a unit as far as residents.read_own and residents.read_household go. Definer: reads occupancies.';

create function app.occupancies_with_me()
returns setof uuid
language plpgsql
stable
security definer -- reads occupancies of the caller's units before any policy on them is decided
set search_path = ''
as $$
begin
  return query
    select o.id
    from public.residents re
    join public.occupancies o on o.community_id = re.community_id and o.resident_id = re.id
    where re.user_id = (select app.user_id()) and re.deleted_at is null and o.deleted_at is null
    union
    select o.id
    from app.units_with('residents.read_own') mine
    join public.units u on u.id = mine
    join public.occupancies o on o.community_id = u.community_id and o.unit_id = u.id
    join public.communities c on c.id = u.community_id
    where o.deleted_at is null and (o.ends_on is null or o.ends_on >= (now() at time zone c.time_zone)::date)
    union
    select o.id
    from app.units_with('residents.read_household') mine
    join public.units u on u.id = mine
    join public.occupancies o on o.community_id = u.community_id and o.unit_id = u.id
    join public.communities c on c.id = u.community_id
    where o.deleted_at is null and (o.ends_on is null or o.ends_on >= (now() at time zone c.time_zone)::date) and o.role <> 'owner';
end;
$$;

comment on function app.occupancies_with_me() is
  'The caller''s own occupancies, past ones included, and the present and coming ones of the caller''s units: all where the caller is an owner, without the owners where the caller rents or lives with somebody. Definer: reads occupancies.';

grant execute on function app.my_residents(), app.residents_with_me(), app.occupancies_with_me() to authenticated;

create policy residents_select on public.residents for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('residents.archive'))))
    and (
      (select 'residents.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('residents.read'))
      or id in (select app.residents_with_me())
    )
  );
create policy residents_insert on public.residents for insert to authenticated
  with check (community_id = any ((select app.communities_where('residents.manage'))::uuid[]));
create policy residents_update on public.residents for update to authenticated
  using (
    community_id = any ((select app.communities_where('residents.manage'))::uuid[])
    and deleted_at is null
  )
  with check (community_id = any ((select app.communities_where('residents.manage'))::uuid[]));

grant select,
  insert (id, community_id, full_name, kind, reference, guardian_id, locale),
  update (full_name, kind, reference, guardian_id, locale)
on public.residents to authenticated;
grant select, insert, update on public.residents to service_role;

create policy resident_details_select on public.resident_details for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('residents.archive'))))
    and (
      (select 'residents.read_details' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('residents.read_details'))
      or resident_id in (select app.my_residents())
    )
  );
create policy resident_details_insert on public.resident_details for insert to authenticated
  with check (community_id = any ((select app.communities_where('residents.manage'))::uuid[]));
create policy resident_details_update on public.resident_details for update to authenticated
  using (
    community_id = any ((select app.communities_where('residents.manage'))::uuid[])
    and deleted_at is null
  )
  with check (community_id = any ((select app.communities_where('residents.manage'))::uuid[]));

grant select,
  insert (id, community_id, resident_id, email, phone, identity_number, postal_address, born_on, adult_on, note),
  update (email, phone, identity_number, postal_address, born_on, adult_on, note)
on public.resident_details to authenticated;
grant select, insert, update on public.resident_details to service_role;

create policy occupancies_select on public.occupancies for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('residents.archive'))))
    and (
      (select 'residents.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('residents.read'))
      or id in (select app.occupancies_with_me())
    )
  );
create policy occupancies_insert on public.occupancies for insert to authenticated
  with check (community_id = any ((select app.communities_where('residents.manage'))::uuid[]));
create policy occupancies_update on public.occupancies for update to authenticated
  using (
    community_id = any ((select app.communities_where('residents.manage'))::uuid[])
    and deleted_at is null
  )
  with check (community_id = any ((select app.communities_where('residents.manage'))::uuid[]));

grant select,
  insert (id, community_id, unit_id, resident_id, role, host_id, ownership_share, is_living_in, is_primary_contact, starts_on, ends_on),
  update (host_id, ownership_share, is_living_in, is_primary_contact, starts_on, ends_on)
on public.occupancies to authenticated;
grant select, insert, update on public.occupancies to service_role;

insert into app.archive_rules (table_id, permission_key) values
  ('public.residents', 'residents.archive'),
  ('public.occupancies', 'residents.archive'),
  ('public.leases', 'residents.archive');

-- Access follows -----------------------------------------------------------------------------------------------------

create function app.tg_residents__access()
returns trigger
language plpgsql
security definer -- writes private.user_access
set search_path = ''
as $$
begin
  perform app.bump_access(array_remove(array[old.user_id, new.user_id], null));
  return null;
end;
$$;

comment on function app.tg_residents__access() is 'AFTER a resident is linked, unlinked, suspended, let in again or archived: makes the users'' tokens stale. Definer: writes private.user_access.';

create trigger _500_access_new after insert on public.residents for each row
  when (new.user_id is not null) execute function app.tg_residents__access();
create trigger _500_access after update of user_id, deleted_at, onboarding on public.residents for each row
  when (old.user_id is distinct from new.user_id or old.deleted_at is distinct from new.deleted_at
    or (old.onboarding = 'suspended') <> (new.onboarding = 'suspended'))
  execute function app.tg_residents__access();

create function app.tg_occupancies__reopen()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.moved_out_at := null;
  return new;
end;
$$;

comment on function app.tg_occupancies__reopen() is 'BEFORE UPDATE of the dates of an occupancy that was over: its end has yet to be noticed again.';

create trigger _200_reopen before update of ends_on on public.occupancies for each row
  when (old.moved_out_at is not null and old.ends_on is distinct from new.ends_on) execute function app.tg_occupancies__reopen();

create function app.tg_occupancies__living()
returns trigger
language plpgsql
security definer -- the community's day, whoever writes
set search_path = ''
as $$
declare
  -- move_in and move_out know the day; everybody else means from today on.
  turned constant date := coalesce(nullif(current_setting('app.living_turns_on', true), '')::date, app.today_in(new.community_id));
begin
  if tg_op = 'INSERT' and new.days_lived_in <> '{(,)}' or tg_op = 'UPDATE' and new.days_lived_in <> old.days_lived_in then
    new.is_living_in := upper_inf(new.days_lived_in);
  -- Of a stay that has yet to begin, or is over, it is a correction.
  elsif tg_op = 'INSERT' or new.starts_on >= turned or new.ends_on < turned then
    new.days_lived_in := case when new.is_living_in then '{(,)}' else '{}' end;
  elsif new.is_living_in then
    new.days_lived_in := old.days_lived_in + datemultirange(daterange(turned, null));
  else
    new.days_lived_in := old.days_lived_in - datemultirange(daterange(turned, null));
  end if;
  return new;
end;
$$;

comment on function app.tg_occupancies__living() is
  'BEFORE INSERT, and BEFORE UPDATE of is_living_in or days_lived_in: what was so until the day of the change stays known. Definer: the community''s day, whoever writes.';

create trigger _210_living_insert before insert on public.occupancies for each row
  when (not new.is_living_in or new.days_lived_in <> '{(,)}') execute function app.tg_occupancies__living();
create trigger _210_living before update of is_living_in, days_lived_in on public.occupancies for each row
  when (old.is_living_in <> new.is_living_in or old.days_lived_in <> new.days_lived_in) execute function app.tg_occupancies__living();

create function app.refresh_unit_status(units uuid[])
returns void
language plpgsql
volatile
security definer -- status is in no column grant
set search_path = ''
as $$
begin
  perform from public.units u where u.id = any (units) order by u.id for no key update;
  update public.units u
  set status = s.status
  from (
    select w.id, case when exists (
      select from public.occupancies o
      where o.community_id = w.community_id and o.unit_id = w.id and o.deleted_at is null
        and o.days_lived_in @> (now() at time zone c.time_zone)::date
        and o.starts_on <= (now() at time zone c.time_zone)::date
        and (o.ends_on is null or o.ends_on >= (now() at time zone c.time_zone)::date)
    ) then 'occupied' else 'vacant' end::public.unit_status as status
    from public.units w
    join public.communities c on c.id = w.community_id
    where w.id = any (units)
  ) s
  where u.id = s.id and u.status <> 'under_maintenance' and u.status <> s.status;
end;
$$;

comment on function app.refresh_unit_status(uuid[]) is
  'Sets units to occupied or vacant by who lives there today; leaves those under maintenance. Definer: units.status is in no column grant.';

create function app.tg_occupancies__consequences()
returns trigger
language plpgsql
security definer -- writes private.user_access and units.status
set search_path = ''
as $$
declare
  changed public.occupancies[];
begin
  if tg_op = 'INSERT' then
    changed := array(select n from new_rows n);
  else
    changed := array(select n from new_rows n union all select o from old_rows o);
  end if;
  perform app.bump_access(array(
    select distinct re.user_id
    from unnest(changed) o join public.residents re on re.id = o.resident_id
    where re.user_id is not null));
  perform app.refresh_unit_status(array(select distinct o.unit_id from unnest(changed) o));
  return null;
end;
$$;

comment on function app.tg_occupancies__consequences() is
  'AFTER INSERT OR UPDATE: the residents'' tokens go stale, the units become occupied or vacant. Definer: writes private.user_access and units.status.';

create trigger _500_consequences_insert after insert on public.occupancies
  referencing new table as new_rows for each statement execute function app.tg_occupancies__consequences();
create trigger _500_consequences_update after update on public.occupancies
  referencing old table as old_rows new table as new_rows for each statement execute function app.tg_occupancies__consequences();

create function app.job_occupancy_dates()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  ended uuid[];
begin
  -- Those whose last day is over: told of once.
  with over as (
    update public.occupancies o
    set moved_out_at = now()
    from public.communities c
    where c.id = o.community_id and o.moved_out_at is null and o.deleted_at is null
      and o.ends_on < (now() at time zone c.time_zone)::date
    returning o.id, o.community_id, o.unit_id, o.resident_id, o.role, o.ends_on
  )
  select array_agg(over.unit_id) into ended
  from over,
    lateral app.emit('occupancy.ended', over.community_id, jsonb_build_object(
      'occupancy_id', over.id, 'unit_id', over.unit_id, 'resident_id', over.resident_id, 'role', over.role, 'ends_on', over.ends_on));

  -- Those that began since yesterday, and the units of those that ended.
  perform app.refresh_unit_status(ended || array(
    select o.unit_id
    from public.occupancies o
    join public.units u on u.id = o.unit_id
    where o.starts_on between current_date - 2 and current_date + 1 and o.deleted_at is null and u.status = 'vacant'
    union
    -- Owners who moved out and still own.
    select o.unit_id
    from public.occupancies o
    join public.units u on u.id = o.unit_id
    where not o.is_living_in and upper(o.days_lived_in) between current_date - 1 and current_date + 1 and o.deleted_at is null and u.status = 'occupied'));
end;
$$;

comment on function app.job_occupancy_dates() is
  'Job occupancy-dates: marks the occupancies whose last day is over, tells of each once (occupancy.ended), and sets the units'' status. Access had ended by itself.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('occupancy-dates', '5,35 * * * *', 'app.job_occupancy_dates()', 'Moves people in and out on their day, in every time zone.');

create function app.set_unit_maintenance(unit uuid, under_maintenance boolean)
returns void
language plpgsql
volatile
security definer -- status is in no column grant
set search_path = ''
as $$
begin
  perform app.require('units.manage', (select u.community_id from public.units u where u.id = unit and u.deleted_at is null));
  if not exists (select from public.units u where u.id = unit and u.deleted_at is null) then
    perform app.fail(404, 'unit_not_found', 'There is no live unit with this id.');
  end if;
  update public.units u
  set status = case when under_maintenance then 'under_maintenance' else 'vacant' end::public.unit_status
  where u.id = unit and u.deleted_at is null and (u.status = 'under_maintenance') <> under_maintenance;
  perform app.refresh_unit_status(array[unit]);
end;
$$;

comment on function app.set_unit_maintenance(uuid, boolean) is 'What public.set_unit_maintenance does. Definer: units.status is in no column grant.';

create function public.set_unit_maintenance(unit_id uuid, under_maintenance boolean)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_unit_maintenance(unit_id, under_maintenance) $$;

comment on function public.set_unit_maintenance(uuid, boolean) is
  'Takes a unit out of use for works, or back into it (occupied or vacant, as its occupancies say). Takes units.manage. Errors: permission_denied, unit_not_found.';

grant execute on function app.set_unit_maintenance(uuid, boolean), public.set_unit_maintenance(uuid, boolean) to authenticated, service_role;
