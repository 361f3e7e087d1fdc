-- Property: what happens to pets, and through them.
--
-- Purpose     Vaccinations as they are given and fall due, incidents as they are reported and dealt with, and the history of both.
-- Tables      pet_incidents
-- RPCs        record_vaccination, report_pet_incident, settle_pet_incident, pet_history
-- Invariants  A pet is vaccinated after it was born and not in the future. Of a vaccination that falls due its people are told
--             once (event pet.vaccination_due), so many days ahead as the community says, unless the pet is gone or was given
--             the same vaccine again. Whoever reports an incident is known to the management, and not to the pet's people:
--             these read the incident through pet_history, which names nobody.

select app.define_permission('pets.report', 'community', 'Report incidents with animals', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor,
  community/admin, community/manager, community/accountant, community/guard, community/technician, community/cleaning, community/committee,
  community/owner, community/tenant, community/family, community/authorized}');
select app.define_setting('notifications.pet_vaccination_days', 'integer', '14', '{site,organization,community}',
  'How many days before a pet''s vaccination is due its people are reminded.', minimum => 0, maximum => 180);

-- Vaccinations -------------------------------------------------------------------------------------------------------

create function app.record_vaccination(pet uuid, vaccine text, given_on date, due_on date, veterinarian text, batch_number text, certificate uuid, is_visible boolean)
returns uuid
language plpgsql
volatile
security definer -- API roles may not insert vaccinations
set search_path = ''
as $$
declare
  present public.pets;
  today date;
  recorded uuid;
  refused text;
begin
  present := app.changeable_pet(pet, is_visible);
  select (now() at time zone c.time_zone)::date into today from public.communities c where c.id = present.community_id;
  if vaccine is null or record_vaccination.given_on is null then
    perform app.fail(422, 'invalid_value', 'A vaccination has a vaccine and the day on which it was given (given_on).');
  elsif record_vaccination.given_on > today then
    perform app.fail(422, 'invalid_value', 'given_on is not in the future.');
  elsif record_vaccination.given_on < present.born_on then
    perform app.fail(422, 'invalid_value', 'given_on is not before the pet was born.');
  end if;
  perform app.check_pet_file(present.community_id, certificate, 'pet.certificate');
  insert into public.pet_vaccinations (vaccine, community_id, pet_id, given_on, due_on, veterinarian, batch_number, certificate_file_id)
  values (vaccine, present.community_id, present.id, given_on, due_on, veterinarian, batch_number, certificate)
  returning id into recorded;
  return recorded;
exception
  when unique_violation then
    perform app.fail(409, 'vaccination_recorded', 'This vaccination of this day is recorded already.');
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('pet_vaccinations', refused);
end;
$$;

comment on function app.record_vaccination(uuid, text, date, date, text, text, uuid, boolean) is 'What public.record_vaccination does. Definer: no API role may insert vaccinations.';

create function public.record_vaccination(
  pet_id uuid, vaccine text, given_on date, due_on date default null, veterinarian text default null, batch_number text default null, certificate_file_id uuid default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.record_vaccination(pet_id, vaccine, given_on, due_on, veterinarian, batch_number, certificate_file_id, app.sees_row('pets', pet_id)) $$;

comment on function public.record_vaccination(uuid, text, date, date, text, text, uuid) is
  'Records a vaccination of a pet. Takes pets.manage, or pets.manage_own in its unit. Returns its id. '
  'Errors: pet_not_found, permission_denied, vaccination_recorded, file_not_found, invalid_value (given before birth or in the future, due before it was given).';

create function app.job_pet_vaccinations()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  told integer;
begin
  with due as (
    update public.pet_vaccinations v
    set reminded_at = now()
    from public.pets p, public.communities c
    where p.id = v.pet_id and c.id = v.community_id
      and v.reminded_at is null and v.deleted_at is null and p.status = 'living' and p.deleted_at is null and c.deleted_at is null
      -- By the index first: nothing is due longer ahead than the setting may say.
      and v.due_on <= current_date + 181
      and v.due_on <= (now() at time zone c.time_zone)::date + app.setting('notifications.pet_vaccination_days', c.id)::integer
      and not exists (
        select from public.pet_vaccinations later
        where later.pet_id = v.pet_id and app.roster_words(later.vaccine) = app.roster_words(v.vaccine) and later.deleted_at is null and later.given_on > v.given_on)
    returning v.id, v.community_id, v.pet_id, p.unit_id, p.resident_id, v.due_on
  )
  select count(*) into told
  from due,
    lateral app.emit('pet.vaccination_due', due.community_id, jsonb_build_object(
      'vaccination_id', due.id, 'pet_id', due.pet_id, 'unit_id', due.unit_id, 'resident_id', due.resident_id, 'due_on', due.due_on));
end;
$$;

comment on function app.job_pet_vaccinations() is
  'Job pet-vaccinations: tells once of each vaccination that is due within the days of notifications.pet_vaccination_days, by the community''s date (event pet.vaccination_due).';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('pet-vaccinations', '41 * * * *', 'app.job_pet_vaccinations()', 'Tells of pets'' vaccinations that are due, as the day begins in each time zone.');

-- Incidents ----------------------------------------------------------------------------------------------------------

create type public.incident_severity as enum ('minor', 'serious', 'grave');
create type public.pet_incident_status as enum ('open', 'resolved', 'dismissed');

create table public.pet_incidents (
  id uuid not null default extensions.uuidv7(),
  description text not null,
  community_id uuid not null,
  pet_id uuid,
  happened_at timestamptz not null,
  place text,
  severity public.incident_severity not null default 'minor',
  status public.pet_incident_status not null default 'open',
  resolution text,
  reported_by uuid,
  like app.row_model including defaults including comments,
  constraint pet_incidents_pkey primary key (id),
  constraint pet_incidents_community_fkey foreign key (community_id) references public.communities (id) on delete restrict,
  constraint pet_incidents_pet_fkey foreign key (community_id, pet_id) references public.pets (community_id, id) on delete set null (pet_id),
  constraint pet_incidents_description_check check (length(btrim(description)) between 1 and 4000),
  constraint pet_incidents_happened_at_check check (happened_at <= created_at + interval '15 minutes' and happened_at > created_at - interval '10 years'),
  constraint pet_incidents_place_check check (app.is_name(place)),
  constraint pet_incidents_resolution_check check (length(resolution) <= 4000)
);

create index pet_incidents_pet_idx on public.pet_incidents (community_id, pet_id) where pet_id is not null;
create index pet_incidents_community_idx on public.pet_incidents (community_id, happened_at);
create index pet_incidents_reporter_idx on public.pet_incidents (reported_by) where reported_by is not null;

comment on table public.pet_incidents is 'Bites, noise, dirt, runaways: what was reported, and how it ended. For the management and whoever reported; the pet''s people read pet_history.';
comment on column public.pet_incidents.description is 'What happened, as reported. The pet''s people read it: say what was done, not who tells it.';
comment on column public.pet_incidents.pet_id is 'The pet; null while nobody knows whose it was.';
comment on column public.pet_incidents.happened_at is 'When it happened.';
comment on column public.pet_incidents.place is 'Where it happened: the playground.';
comment on column public.pet_incidents.severity is 'minor: a nuisance. serious: damage, fright. grave: somebody was hurt.';
comment on column public.pet_incidents.status is 'open, resolved, or dismissed (nothing in it).';
comment on column public.pet_incidents.resolution is 'What was done about it.';
comment on column public.pet_incidents.reported_by is 'The user who reported it; hidden from the pet''s people. A plain id: it outlives the user.';

select app.track('public.pet_incidents');
select app.register_personal_data('public.pet_incidents', 'pet_id', 'parent', parent => 'public.pets', columns => '{"description": "Erased", "resolution": null}',
  kept_because => 'That something happened, and how grave it was, stays on the community''s record without saying with whose animal.');
select app.register_personal_data('public.pet_incidents', 'reported_by', 'actor', kept_because => 'Who reported answers for it; the id leads to nobody once the account is gone.');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.pet_incidents', null, 'open', null, 'Somebody reports it'),
  ('public.pet_incidents', 'open', 'resolved', 'pets.manage', 'It is settled'),
  ('public.pet_incidents', 'open', 'dismissed', 'pets.manage', 'There was nothing in it'),
  ('public.pet_incidents', 'resolved', 'open', 'pets.manage', 'Take it up again'),
  ('public.pet_incidents', 'dismissed', 'open', 'pets.manage', 'Take it up again');

select app.state_machine('public.pet_incidents', 'status');

insert into app.archive_rules (table_id, permission_key) values ('public.pet_incidents', 'pets.archive');

create policy pet_incidents_select on public.pet_incidents for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('pets.archive'))))
    and (
      (select 'pets.manage' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('pets.manage'))
      or reported_by = (select app.user_id())
    )
  );
grant select on public.pet_incidents to authenticated;
grant select, insert, update on public.pet_incidents to service_role;

create function app.tg_pet_incidents__emit()
returns trigger
language plpgsql
security definer -- calls app.emit, which no API role may
set search_path = ''
as $$
begin
  perform app.emit(case when tg_op = 'INSERT' then 'pet.incident_reported' else 'pet.incident_' || new.status end, new.community_id,
    jsonb_build_object('incident_id', new.id, 'pet_id', new.pet_id, 'severity', new.severity));
  return null;
end;
$$;

comment on function app.tg_pet_incidents__emit() is
  'AFTER INSERT, and AFTER UPDATE that changes the state: events pet.incident_reported, _resolved, _dismissed, _open; none names the reporter. Definer: calls app.emit.';

create trigger _600_emit_reported after insert on public.pet_incidents for each row execute function app.tg_pet_incidents__emit();
create trigger _600_emit_settled after update of status on public.pet_incidents for each row
  when (old.status is distinct from new.status) execute function app.tg_pet_incidents__emit();

create function app.report_pet_incident(community uuid, description text, happened_at timestamptz, pet uuid, severity public.incident_severity, place text)
returns uuid
language plpgsql
volatile
security definer -- API roles may not insert incidents, and reporters need not see the pet
set search_path = ''
as $$
declare
  reported uuid;
  refused text;
begin
  perform app.require('pets.report', community);
  if not exists (select from public.communities c where c.id = community and c.deleted_at is null) then
    perform app.fail(404, 'community_not_found', 'There is no live community with this id.');
  elsif description is null then
    perform app.fail(422, 'invalid_value', 'A report has a description.');
  elsif pet is not null and not exists (select from public.pets p where p.community_id = community and p.id = pet and p.deleted_at is null) then
    perform app.fail(404, 'pet_not_found', 'There is no pet with this id in this community.', 'Leave it out: the management finds out whose it was.');
  end if;
  insert into public.pet_incidents (description, community_id, pet_id, happened_at, place, severity, reported_by)
  values (btrim(description), community, pet, coalesce(happened_at, now()), place, coalesce(severity, 'minor'), auth.uid())
  returning id into reported;
  return reported;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('pet_incidents', refused);
end;
$$;

comment on function app.report_pet_incident(uuid, text, timestamptz, uuid, public.incident_severity, text) is
  'What public.report_pet_incident does. Definer: no API role may insert incidents, and reporters need not see the pet.';

create function public.report_pet_incident(
  community_id uuid, description text, happened_at timestamptz default null, pet_id uuid default null, severity public.incident_severity default 'minor', place text default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.report_pet_incident(community_id, description, happened_at, pet_id, severity, place) $$;

comment on function public.report_pet_incident(uuid, text, timestamptz, uuid, public.incident_severity, text) is
  'Reports an incident with an animal, known or not; takes pets.report, which everybody who lives or works in the community holds. The pet''s people never learn who reported. Returns its id. '
  'Errors: permission_denied, community_not_found, pet_not_found, invalid_value.';

create function app.settle_pet_incident(incident uuid, status public.pet_incident_status, resolution text, pet uuid, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- API roles may not update incidents
set search_path = ''
as $$
declare
  present public.pet_incidents;
  refused text;
begin
  if is_visible then
    select i.* into present from public.pet_incidents i where i.id = incident and i.deleted_at is null for no key update;
  end if;
  if present.id is null then
    perform app.fail(404, 'incident_not_found', 'There is no incident with this id.');
  end if;
  perform app.require('pets.manage', present.community_id);
  if settle_pet_incident.status is null then
    perform app.fail(422, 'invalid_value', 'An incident is open, resolved or dismissed.');
  elsif pet is not null and not exists (select from public.pets p where p.community_id = present.community_id and p.id = pet and p.deleted_at is null) then
    perform app.fail(404, 'pet_not_found', 'There is no pet with this id in this community.');
  end if;
  update public.pet_incidents i
  set status = settle_pet_incident.status, resolution = coalesce(settle_pet_incident.resolution, i.resolution), pet_id = coalesce(pet, i.pet_id)
  where i.id = present.id;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('pet_incidents', refused);
end;
$$;

comment on function app.settle_pet_incident(uuid, public.pet_incident_status, text, uuid, boolean) is 'What public.settle_pet_incident does. Definer: no API role may update incidents.';

create function public.settle_pet_incident(incident_id uuid, status public.pet_incident_status, resolution text default null, pet_id uuid default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.settle_pet_incident(incident_id, status, resolution, pet_id, app.sees_row('pet_incidents', incident_id)) $$;

comment on function public.settle_pet_incident(uuid, public.pet_incident_status, text, uuid) is
  'Resolves or dismisses an incident, or takes it up again (open), and says which pet it was once that is known; what is null stays. Takes pets.manage. '
  'Errors: incident_not_found, permission_denied, pet_not_found, transition_refused, invalid_value.';

-- History ------------------------------------------------------------------------------------------------------------

create function app.pet_history(pet uuid, is_visible boolean)
returns table (kind text, id uuid, happened_on date, what text, due_on date, severity public.incident_severity, status public.pet_incident_status, outcome text)
language plpgsql
stable
security definer -- tells the pet's people of incidents whose rows, with the reporter in them, they do not see
set search_path = ''
as $$
declare
  present public.pets;
begin
  if is_visible then
    select p.* into present from public.pets p where p.id = pet;
  end if;
  if present.id is null then
    perform app.fail(404, 'pet_not_found', 'There is no pet with this id.');
  elsif not app.is_trusted() and not app.can('pets.manage', present.community_id) and present.id not in (select app.pets_with_me()) then
    perform app.fail(403, 'permission_denied', 'Its history is told to its people, and to holders of pets.manage.');
  end if;
  return query
    select 'vaccination', v.id, v.given_on, v.vaccine, v.due_on, null::public.incident_severity, null::public.pet_incident_status, v.veterinarian
    from public.pet_vaccinations v
    where v.community_id = present.community_id and v.pet_id = present.id and v.deleted_at is null
    union all
    select 'incident', i.id, (i.happened_at at time zone c.time_zone)::date, i.description, null, i.severity, i.status, i.resolution
    from public.pet_incidents i
    join public.communities c on c.id = i.community_id
    where i.community_id = present.community_id and i.pet_id = present.id and i.deleted_at is null
    order by 3 desc, 2;
end;
$$;

comment on function app.pet_history(uuid, boolean) is 'What public.pet_history does. Definer: tells the pet''s people of incidents whose rows they do not see.';

create function public.pet_history(pet_id uuid)
returns table (kind text, id uuid, happened_on date, what text, due_on date, severity public.incident_severity, status public.pet_incident_status, outcome text)
language sql
stable
set search_path = ''
as $$ select * from app.pet_history(pet_id, app.sees_row('pets', pet_id)) $$;

comment on function public.pet_history(uuid) is
  'What happened to a pet and through it, newest first: kind vaccination (what is the vaccine, outcome who gave it) or incident (what happened, outcome what was done). Names no reporter. '
  'For the pet''s people and holders of pets.manage. Errors: pet_not_found, permission_denied.';

grant execute on function
  app.record_vaccination(uuid, text, date, date, text, text, uuid, boolean), public.record_vaccination(uuid, text, date, date, text, text, uuid),
  app.report_pet_incident(uuid, text, timestamptz, uuid, public.incident_severity, text),
  public.report_pet_incident(uuid, text, timestamptz, uuid, public.incident_severity, text),
  app.settle_pet_incident(uuid, public.pet_incident_status, text, uuid, boolean), public.settle_pet_incident(uuid, public.pet_incident_status, text, uuid),
  app.pet_history(uuid, boolean), public.pet_history(uuid)
to authenticated, service_role;
