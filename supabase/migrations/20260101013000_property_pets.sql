-- Property: pets.
--
-- Purpose     Which animals live here, whose they are, and what they are vaccinated against.
-- Tables      pets, pet_vaccinations
-- RPCs        register_pet, set_pet_status, set_pet_registration, set_pet_photo
-- Invariants  A pet is a resident's in a unit of the same community. A chip number (ISO 11784) is one living pet's of the community.
--             A vaccination is due again after it was given, and neither it nor a birth is in the future. A pet whose owner has left
--             has moved away. What is recorded stays: it is archived, not changed.

create type public.pet_kind as enum ('dog', 'cat', 'bird', 'rabbit', 'rodent', 'reptile', 'fish', 'other');
create type public.pet_sex as enum ('female', 'male');
create type public.pet_status as enum ('living', 'deceased', 'moved_away');

select app.define_permission('pets.read', 'community', 'See which animals live where', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager, community/guard}');
select app.define_permission('pets.manage', 'community', 'Register pets, see their vaccinations, and deal with incidents', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager}');
select app.define_permission('pets.archive', 'community', 'Archive and restore what is recorded of pets', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');
select app.define_permission('pets.read_own', 'unit', 'See the pets of the own unit, of those whom one sees there',
  '{community/owner, community/tenant, community/family, community/authorized}');
select app.define_permission('pets.manage_own', 'unit', 'Register pets of the own unit and their vaccinations',
  '{community/owner, community/tenant, community/family, community/authorized}');

-- Pets ---------------------------------------------------------------------------------------------------------------

create table public.pets (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  community_id uuid not null,
  unit_id uuid not null,
  resident_id uuid not null,
  kind public.pet_kind not null,
  breed text,
  colour text,
  sex public.pet_sex,
  born_on date,
  is_assistance boolean not null default false,
  chip_number text,
  registration_number text,
  registration_authority text,
  photo_file_id uuid,
  status public.pet_status not null default 'living',
  like app.row_model including defaults including comments,
  constraint pets_pkey primary key (id),
  constraint pets_community_id_key unique (community_id, id),
  constraint pets_unit_fkey foreign key (community_id, unit_id) references public.units (community_id, id) on delete restrict,
  constraint pets_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete restrict,
  constraint pets_photo_fkey foreign key (community_id, photo_file_id) references public.files (community_id, id) on delete set null (photo_file_id),
  constraint pets_name_check check (app.is_name(name) and length(name) <= 80),
  constraint pets_breed_check check (app.is_name(breed) and length(breed) <= 80),
  constraint pets_colour_check check (app.is_name(colour) and length(colour) <= 80),
  constraint pets_born_on_check check (born_on >= '1900-01-01' and born_on <= (created_at at time zone 'UTC')::date + 1),
  constraint pets_chip_number_check check (chip_number ~ '^[0-9]{15}$'),
  constraint pets_registration_number_check check (app.is_name(registration_number) and length(registration_number) <= 60),
  constraint pets_registration_authority_check check (app.is_name(registration_authority)),
  constraint pets_registration_check check (registration_authority is null or registration_number is not null)
);

create unique index pets_chip_number_key on public.pets (community_id, chip_number) where status = 'living' and deleted_at is null;
create index pets_unit_idx on public.pets (community_id, unit_id);
create index pets_resident_idx on public.pets (community_id, resident_id);
create index pets_photo_idx on public.pets (community_id, photo_file_id) where photo_file_id is not null;

comment on table public.pets is 'Animals that live in a unit, with the resident who answers for them. Made by register_pet.';
comment on column public.pets.name is 'What it is called.';
comment on column public.pets.unit_id is 'Where it lives.';
comment on column public.pets.resident_id is 'Who answers for it; it moves away with them.';
comment on column public.pets.kind is 'dog, cat, bird, rabbit, rodent, reptile, fish, other.';
comment on column public.pets.breed is 'Breed or species, in the owner''s words.';
comment on column public.pets.colour is 'Colour and marks, in the owner''s words.';
comment on column public.pets.sex is 'female or male; null: unknown.';
comment on column public.pets.born_on is 'Day of birth, as far as it is known.';
comment on column public.pets.is_assistance is 'Whether it assists a person: rules on pets do not keep it out.';
comment on column public.pets.chip_number is 'Number of the transponder (ISO 11784): 15 digits. Unique among the living pets of the community.';
comment on column public.pets.registration_number is 'Number in a public register: of the municipality, the dog tax, the veterinary service.';
comment on column public.pets.registration_authority is 'Who keeps that register.';
comment on column public.pets.photo_file_id is 'What it looks like; a file of the purpose pet.photo.';
comment on column public.pets.status is 'living (here), deceased, moved_away.';

create function app.is_over(pet public.pets)
returns boolean
language sql
immutable
set search_path = ''
return pet.status <> 'living';

comment on function app.is_over(public.pets) is 'Whether the row is history: a pet that is gone does not keep its unit, or its person, from being archived.';

grant execute on function app.is_over(public.pets) to authenticated, service_role;

select app.track('public.pets');
select app.register_personal_data('public.pets', 'resident_id', 'resident', on_erase => 'remove',
  columns => '{"name": null, "breed": null, "colour": null, "born_on": null, "chip_number": null, "registration_number": null, "registration_authority": null}');

-- Taken by set_pet_status, which asks who may; a mistake is set right by the management.
insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.pets', null, 'living', null, 'It is registered'),
  ('public.pets', 'living', 'deceased', null, 'It has died'),
  ('public.pets', 'living', 'moved_away', null, 'It has moved away, or its people have'),
  ('public.pets', 'moved_away', 'deceased', null, 'It has died elsewhere'),
  ('public.pets', 'moved_away', 'living', 'pets.manage', 'It is here again'),
  ('public.pets', 'deceased', 'living', 'pets.manage', 'It was a mistake: the pet lives');

select app.state_machine('public.pets', 'status');

create function app.pets_with_me()
returns setof uuid
language plpgsql
stable
security definer -- looks at units and residents of the caller before any policy on them is decided
set search_path = ''
as $$
begin
  return query
    select p.id
    from app.my_residents() m
    join public.residents r on r.id = m
    join public.pets p on p.community_id = r.community_id and p.resident_id = r.id
    union
    select p.id
    from app.units_with('pets.read_own') w
    join public.units u on u.id = w
    join public.pets p on p.community_id = u.community_id and p.unit_id = u.id
    where p.resident_id in (select app.residents_with_me());
end;
$$;

comment on function app.pets_with_me() is
  'The caller''s own pets, and those that live in the caller''s units with people whom the caller sees there. Definer: reads occupancies and pets.';

grant execute on function app.pets_with_me() to authenticated;

create policy pets_select on public.pets for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('pets.archive'))))
    and (
      (select 'pets.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('pets.read'))
      or id in (select app.pets_with_me())
    )
  );
create policy pets_update on public.pets for update to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (
      (select 'pets.manage' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('pets.manage'))
      or (unit_id in (select app.units_with('pets.manage_own')) and id in (select app.pets_with_me()))
    )
  )
  with check (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and ((select 'pets.manage' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('pets.manage')) or unit_id in (select app.units_with('pets.manage_own')))
  );

grant select, update (name, breed, colour, sex, born_on, is_assistance) on public.pets to authenticated;
grant select, insert, update on public.pets to service_role;

create function app.tg_occupancies__pets()
returns trigger
language plpgsql
security definer -- writes pets of people who have just left, whoever noticed it
set search_path = ''
as $$
declare
  gone uuid[];
begin
  gone := array(
    select p.id
    from new_rows n
    join old_rows o on o.id = n.id
    join public.communities c on c.id = n.community_id
    join public.pets p on p.community_id = n.community_id and p.resident_id = n.resident_id and p.unit_id = n.unit_id
    where ((n.moved_out_at is not null and o.moved_out_at is null) or (n.deleted_at is not null and o.deleted_at is null))
      and p.status = 'living' and p.deleted_at is null
      and not exists (
        select from public.occupancies x
        where x.community_id = p.community_id and x.resident_id = p.resident_id and x.unit_id = p.unit_id and x.deleted_at is null
          and (x.ends_on is null or x.ends_on >= (now() at time zone c.time_zone)::date)));
  if gone <> '{}' then
    perform from public.pets p where p.id = any (gone) order by p.id for no key update;
    update public.pets p set status = 'moved_away' where p.id = any (gone) and p.status = 'living';
  end if;
  return null;
end;
$$;

comment on function app.tg_occupancies__pets() is
  'AFTER an occupancy''s end was noticed, or it was archived: the person''s pets have moved away from the unit. Pets are locked in order of id. Definer: writes pets, whoever noticed the leaving.';

create trigger _550_pets after update on public.occupancies
  referencing old table as old_rows new table as new_rows for each statement execute function app.tg_occupancies__pets();

-- Vaccinations -------------------------------------------------------------------------------------------------------

create table public.pet_vaccinations (
  id uuid not null default extensions.uuidv7(),
  vaccine text not null,
  community_id uuid not null,
  pet_id uuid not null,
  given_on date not null,
  due_on date,
  veterinarian text,
  batch_number text,
  certificate_file_id uuid,
  reminded_at timestamptz,
  like app.row_model including defaults including comments,
  constraint pet_vaccinations_pkey primary key (id),
  constraint pet_vaccinations_given_key unique nulls not distinct (pet_id, vaccine, given_on, deleted_at),
  constraint pet_vaccinations_pet_fkey foreign key (community_id, pet_id) references public.pets (community_id, id) on delete cascade,
  constraint pet_vaccinations_certificate_fkey foreign key (community_id, certificate_file_id) references public.files (community_id, id)
    on delete set null (certificate_file_id),
  constraint pet_vaccinations_vaccine_check check (app.is_name(vaccine) and length(vaccine) <= 120),
  constraint pet_vaccinations_given_on_check check (given_on >= '1900-01-01' and given_on <= (created_at at time zone 'UTC')::date + 1),
  constraint pet_vaccinations_due_on_check check (due_on > given_on),
  constraint pet_vaccinations_veterinarian_check check (app.is_name(veterinarian)),
  constraint pet_vaccinations_batch_number_check check (app.is_name(batch_number) and length(batch_number) <= 60)
);

create index pet_vaccinations_pet_idx on public.pet_vaccinations (community_id, pet_id);
create index pet_vaccinations_certificate_idx on public.pet_vaccinations (community_id, certificate_file_id) where certificate_file_id is not null;
create index pet_vaccinations_due_idx on public.pet_vaccinations (due_on) where reminded_at is null and due_on is not null and deleted_at is null;

comment on table public.pet_vaccinations is 'Vaccinations of a pet, each as it was given. Recorded by record_vaccination; a wrong one is archived and recorded anew.';
comment on column public.pet_vaccinations.vaccine is 'Against what: rabies, DHPP; or the product''s name.';
comment on column public.pet_vaccinations.pet_id is 'The pet.';
comment on column public.pet_vaccinations.given_on is 'The day on which it was given.';
comment on column public.pet_vaccinations.due_on is 'The day by which it is to be given again; null: never.';
comment on column public.pet_vaccinations.veterinarian is 'Who gave it.';
comment on column public.pet_vaccinations.batch_number is 'The batch, as in the pet''s passport.';
comment on column public.pet_vaccinations.certificate_file_id is 'A picture or copy of the certificate; a file of the purpose pet.certificate.';
comment on column public.pet_vaccinations.reminded_at is 'When the event pet.vaccination_due told that it is due. Kept by the database.';

select app.track('public.pet_vaccinations');
select app.register_personal_data('public.pet_vaccinations', 'pet_id', 'parent', parent => 'public.pets', on_erase => 'remove',
  columns => '{"veterinarian": null, "batch_number": null}');

insert into app.archive_rules (table_id, permission_key) values
  ('public.pets', 'pets.archive'),
  ('public.pet_vaccinations', 'pets.archive');

create policy pet_vaccinations_select on public.pet_vaccinations for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('pets.archive'))))
    and (
      (select 'pets.manage' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('pets.manage'))
      or pet_id in (select app.pets_with_me())
    )
  );
grant select on public.pet_vaccinations to authenticated;
grant select, insert, update on public.pet_vaccinations to service_role;

-- Files --------------------------------------------------------------------------------------------------------------

create function app.pet_files_with_me()
returns setof uuid
language plpgsql
stable
security definer -- looks at pets of the caller before any policy on files is decided
set search_path = ''
as $$
begin
  return query
    select f.id
    from app.pets_with_me() m
    join public.pets p on p.id = m
    join public.files f on f.id = p.photo_file_id and f.purpose = 'pet.photo'
    union
    select f.id
    from app.pets_with_me() m
    join public.pets p on p.id = m
    join public.pet_vaccinations v on v.community_id = p.community_id and v.pet_id = p.id and v.deleted_at is null
    join public.files f on f.id = v.certificate_file_id and f.purpose = 'pet.certificate';
end;
$$;

comment on function app.pet_files_with_me() is 'Photos and certificates of the pets that the caller sees as theirs or their household''s (file_purposes.readable_files). Definer: looks at pets.';

select app.define_file_purpose('pet.photo', 'vicinia-images', 'What a pet looks like', '{image/png,image/jpeg,image/webp}', 5242880,
  'files.upload', 'pets.manage', read_permission => 'pets.read', readable_files => 'app.pet_files_with_me');
select app.define_file_purpose('pet.certificate', 'vicinia-documents', 'Certificates of a pet''s vaccinations', '{application/pdf,image/png,image/jpeg,image/webp,image/heic}', 10485760,
  'files.upload', 'pets.manage', read_permission => 'pets.manage', readable_files => 'app.pet_files_with_me');

create function app.check_pet_file(community uuid, file uuid, purpose text)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if file is not null and not exists (
    select from public.files f
    where f.id = file and f.community_id = community and f.purpose = check_pet_file.purpose and f.status = 'stored' and f.deleted_at is null
      and (f.owner_id = app.user_id() or app.is_trusted() or app.can('pets.manage', community)))
  then
    perform app.fail(404, 'file_not_found', format('There is no stored file of the purpose %s with this id that you may use.', purpose));
  end if;
end;
$$;

comment on function app.check_pet_file(uuid, uuid, text) is
  'Refuses (404 file_not_found) a file of another purpose or community, or of somebody else: what is attached to a pet its people may read. Not executable by API roles.';

-- Registering --------------------------------------------------------------------------------------------------------

create function app.fail_chip_taken()
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  perform app.fail(409, 'chip_taken', 'Another pet that lives in this community has this chip number.');
end;
$$;

comment on function app.fail_chip_taken() is 'What the RPCs answer when pets_chip_number_key refuses (409 chip_taken).';

create function app.chip_number(chip text)
returns text
language sql
immutable
parallel safe
set search_path = ''
return nullif(regexp_replace(app.roster_digits(chip), '[ .-]', '', 'g'), '');

comment on function app.chip_number(text) is 'The number of a chip without the spaces, dots and dashes in which it is printed, in ASCII digits.';

create function app.register_pet(
  unit uuid, resident uuid, name text, kind public.pet_kind, breed text, colour text, sex public.pet_sex, born_on date, is_assistance boolean, chip_number text,
  registration_number text, registration_authority text, photo uuid
)
returns uuid
language plpgsql
volatile
security definer -- API roles may not insert pets
set search_path = ''
as $$
declare
  community constant uuid := (select u.community_id from public.units u where u.id = unit and u.deleted_at is null);
  person uuid := resident;
  today date;
  registered uuid;
  refused text;
begin
  if not app.is_trusted() and not app.can('pets.manage', community) then
    if unit is null or unit not in (select app.units_with('pets.manage_own')) then
      perform app.require('pets.manage', community);
    end if;
    person := coalesce(resident, (select re.id from public.residents re where re.community_id = community and re.id in (select app.my_residents())));
    if person not in (select app.residents_with_me()) then
      perform app.fail(404, 'resident_not_found', 'There is no live resident with this id in this unit whom you see.');
    end if;
  end if;
  if community is null then
    perform app.fail(404, 'unit_not_found', 'There is no live unit with this id.');
  elsif not exists (select from public.residents r where r.community_id = community and r.id = person and r.deleted_at is null) then
    perform app.fail(404, 'resident_not_found', 'A pet is a resident''s of this community; there is none with this id.');
  end if;
  select (now() at time zone c.time_zone)::date into today from public.communities c where c.id = community;
  if not exists (
    select from public.occupancies o
    where o.community_id = community and o.resident_id = person and o.unit_id = unit and o.deleted_at is null and (o.ends_on is null or o.ends_on >= today))
  then
    perform app.fail(409, 'not_an_occupant', 'This resident does not occupy the unit, now or later.');
  elsif kind is null then
    perform app.fail(422, 'invalid_value', 'A pet has a kind: dog, cat, bird, rabbit, rodent, reptile, fish or other.');
  elsif name is null then
    perform app.fail(422, 'invalid_value', 'A pet has a name.');
  elsif born_on > today then
    perform app.fail(422, 'invalid_value', 'born_on is not in the future.');
  end if;
  perform app.check_pet_file(community, photo, 'pet.photo');

  insert into public.pets (
    name, community_id, unit_id, resident_id, kind, breed, colour, sex, born_on, is_assistance, chip_number, registration_number, registration_authority, photo_file_id)
  values (
    name, community, unit, person, kind, breed, colour, sex, born_on, coalesce(is_assistance, false), app.chip_number(chip_number),
    registration_number, registration_authority, photo)
  returning id into registered;
  return registered;
exception
  when unique_violation then
    perform app.fail_chip_taken();
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('pets', refused);
end;
$$;

comment on function app.register_pet(uuid, uuid, text, public.pet_kind, text, text, public.pet_sex, date, boolean, text, text, text, uuid) is
  'What public.register_pet does. Definer: no API role may insert pets.';

create function public.register_pet(
  unit_id uuid, name text, kind public.pet_kind, resident_id uuid default null, breed text default null, colour text default null, sex public.pet_sex default null,
  born_on date default null, is_assistance boolean default false, chip_number text default null, registration_number text default null,
  registration_authority text default null, photo_file_id uuid default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$
  select app.register_pet(unit_id, resident_id, name, kind, breed, colour, sex, born_on, is_assistance, chip_number, registration_number, registration_authority, photo_file_id)
$$;

comment on function public.register_pet(uuid, text, public.pet_kind, uuid, text, text, public.pet_sex, date, boolean, text, text, text, uuid) is
  'Registers a pet that lives in a unit with a resident who occupies it: the caller, unless another is named. Takes pets.manage, or pets.manage_own in the unit. Returns its id. '
  'Errors: permission_denied, unit_not_found, resident_not_found, not_an_occupant, chip_taken, file_not_found, invalid_value.';

-- Changing -----------------------------------------------------------------------------------------------------------

create function app.changeable_pet(pet uuid, is_visible boolean)
returns public.pets
language plpgsql
volatile
security definer -- locks a row that some who may change it may not update as a whole
set search_path = ''
as $$
declare
  present public.pets;
begin
  if is_visible then
    select p.* into present from public.pets p where p.id = pet and p.deleted_at is null for no key update;
  end if;
  if present.id is null then
    perform app.fail(404, 'pet_not_found', 'There is no pet with this id.');
  elsif not app.is_trusted() and not app.can('pets.manage', present.community_id)
    and not (present.unit_id in (select app.units_with('pets.manage_own')) and present.id in (select app.pets_with_me()))
  then
    perform app.fail(403, 'permission_denied', 'This takes pets.manage in the community, or pets.manage_own in the pet''s unit.');
  end if;
  return present;
end;
$$;

comment on function app.changeable_pet(uuid, boolean) is
  'The pet, locked, if the caller sees it (is_visible) and manages it or the pets of its unit. Not executable by API roles. Definer: locks a row that its people may not update as a whole.';

create function app.set_pet_status(pet uuid, status public.pet_status, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- status is in no column grant
set search_path = ''
as $$
declare
  present public.pets;
begin
  present := app.changeable_pet(pet, is_visible);
  if set_pet_status.status is null then
    perform app.fail(422, 'invalid_value', 'A pet has a status: living, deceased or moved_away.');
  end if;
  update public.pets p set status = set_pet_status.status where p.id = present.id and p.status <> set_pet_status.status;
exception when unique_violation then
  perform app.fail_chip_taken();
end;
$$;

comment on function app.set_pet_status(uuid, public.pet_status, boolean) is 'What public.set_pet_status does. Definer: no API role may write the status.';

create function public.set_pet_status(pet_id uuid, status public.pet_status)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_pet_status(pet_id, status, app.sees_row('pets', pet_id)) $$;

comment on function public.set_pet_status(uuid, public.pet_status) is
  'A pet has died or moved away; that it lives here again, the management says. Errors: pet_not_found, permission_denied, transition_refused, chip_taken, invalid_value.';

create function app.set_pet_registration(pet uuid, chip_number text, registration_number text, registration_authority text, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- these columns are in no column grant
set search_path = ''
as $$
declare
  present public.pets;
  refused text;
begin
  present := app.changeable_pet(pet, is_visible);
  update public.pets p
  set chip_number = app.chip_number(set_pet_registration.chip_number), registration_number = set_pet_registration.registration_number,
    registration_authority = set_pet_registration.registration_authority
  where p.id = present.id;
exception
  when unique_violation then
    perform app.fail_chip_taken();
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('pets', refused);
end;
$$;

comment on function app.set_pet_registration(uuid, text, text, text, boolean) is 'What public.set_pet_registration does. Definer: the columns are in no column grant.';

create function public.set_pet_registration(pet_id uuid, chip_number text, registration_number text default null, registration_authority text default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_pet_registration(pet_id, chip_number, registration_number, registration_authority, app.sees_row('pets', pet_id)) $$;

comment on function public.set_pet_registration(uuid, text, text, text) is
  'Sets the chip number and the registration of a pet, all as given (null: none). Takes pets.manage, or pets.manage_own in its unit. Errors: pet_not_found, permission_denied, chip_taken, invalid_value.';

create function app.set_pet_photo(pet uuid, file uuid, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- the column is in no column grant
set search_path = ''
as $$
declare
  present public.pets;
begin
  present := app.changeable_pet(pet, is_visible);
  perform app.check_pet_file(present.community_id, file, 'pet.photo');
  update public.pets p set photo_file_id = file where p.id = present.id;
end;
$$;

comment on function app.set_pet_photo(uuid, uuid, boolean) is 'What public.set_pet_photo does. Definer: the column is in no column grant.';

create function public.set_pet_photo(pet_id uuid, file_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_pet_photo(pet_id, file_id, app.sees_row('pets', pet_id)) $$;

comment on function public.set_pet_photo(uuid, uuid) is
  'What the pet looks like: a stored file of the purpose pet.photo, one''s own upload; null: none. Takes pets.manage, or pets.manage_own in its unit. Errors: pet_not_found, permission_denied, file_not_found.';

grant execute on function
  app.register_pet(uuid, uuid, text, public.pet_kind, text, text, public.pet_sex, date, boolean, text, text, text, uuid),
  public.register_pet(uuid, text, public.pet_kind, uuid, text, text, public.pet_sex, date, boolean, text, text, text, uuid),
  app.set_pet_status(uuid, public.pet_status, boolean), public.set_pet_status(uuid, public.pet_status),
  app.set_pet_registration(uuid, text, text, text, boolean), public.set_pet_registration(uuid, text, text, text),
  app.set_pet_photo(uuid, uuid, boolean), public.set_pet_photo(uuid, uuid)
to authenticated, service_role;
