-- Property: whom to call when something has happened.
--
-- Purpose     Emergency contacts, in the order in which they are called.
-- Tables      emergency_contacts
-- RPCs        add_emergency_contact, order_emergency_contacts, remove_emergency_contact
-- Invariants  A resident has ten contacts at most, one first, one second and so on, without gaps. The resident, a minor's guardian and
--             holders of emergency.read see them; a housemate does not, and neither does who is guardian of another child.
-- Locks       The resident's row, under which priorities are given.

select app.define_permission('emergency.read', 'community', 'See residents'' emergency contacts', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager, community/guard}');
select app.define_permission('emergency.manage', 'community', 'Keep emergency contacts of residents, and medical notes of residents without an account', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');

-- Contacts -----------------------------------------------------------------------------------------------------------

create table public.emergency_contacts (
  id uuid not null default extensions.uuidv7(),
  full_name text not null,
  community_id uuid not null,
  resident_id uuid not null,
  phone text not null,
  relationship text not null,
  priority smallint not null,
  like app.row_model including defaults including comments,
  constraint emergency_contacts_pkey primary key (id),
  constraint emergency_contacts_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete cascade,
  constraint emergency_contacts_full_name_check check (app.is_name(full_name)),
  constraint emergency_contacts_phone_check check (app.is_phone(phone)),
  constraint emergency_contacts_relationship_check check (app.is_name(relationship) and length(relationship) <= 60),
  constraint emergency_contacts_priority_check check (priority between 1 and 10),
  -- Deferrable and not a unique index, so that one statement can put all in another order.
  constraint emergency_contacts_priority_excl exclude using btree (resident_id with =, priority with =) where (deleted_at is null) deferrable
);

create index emergency_contacts_resident_idx on public.emergency_contacts (community_id, resident_id);

comment on table public.emergency_contacts is 'Whom to call when something has happened to a resident, in which order. The resident, a minor''s guardian and holders of emergency.read see them; a housemate does not.';
comment on column public.emergency_contacts.full_name is 'Name of the contact.';
comment on column public.emergency_contacts.resident_id is 'The resident whose contact it is.';
comment on column public.emergency_contacts.phone is 'Telephone number of the contact, as written.';
comment on column public.emergency_contacts.relationship is 'What the contact is to the resident: daughter, neighbour, doctor.';
comment on column public.emergency_contacts.priority is '1 is called first. One contact each; at most ten. Changed by order_emergency_contacts.';

select app.track('public.emergency_contacts');

create function app.merge_emergency_contacts(keep uuid, duplicate uuid)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  community constant uuid := (select r.community_id from public.residents r where r.id = keep);
begin
  perform from public.emergency_contacts e where e.community_id = community and e.resident_id in (keep, duplicate) order by e.id for update;
  -- The same number is the same contact.
  update public.emergency_contacts e set deleted_at = clock_timestamp()
  where e.community_id = community and e.resident_id = duplicate and e.deleted_at is null and exists (
    select from public.emergency_contacts k
    where k.community_id = community and k.resident_id = keep and k.deleted_at is null
      and regexp_replace(coalesce(app.phone_digits(k.phone), k.phone), '[^0-9]', '', 'g') = regexp_replace(coalesce(app.phone_digits(e.phone), e.phone), '[^0-9]', '', 'g'));
  perform set_config('app.rewriting', 'public.emergency_contacts'::regclass::oid::text, true);
  with places as (
    select e.id, row_number() over (order by e.resident_id <> keep, e.priority) as place
    from public.emergency_contacts e
    where e.community_id = community and e.resident_id in (keep, duplicate) and e.deleted_at is null
  )
  update public.emergency_contacts e
  set resident_id = keep, priority = least(p.place, 10), deleted_at = case when p.place > 10 then clock_timestamp() end
  from places p
  where e.id = p.id and (e.resident_id <> keep or e.priority <> p.place);
  perform set_config('app.rewriting', '', true);
end;
$$;

comment on function app.merge_emergency_contacts(uuid, uuid) is
  'The contacts of a duplicate are called after the survivor''s, in their order; of two with one number one stays, and what is beyond the tenth is archived. For the registry.';

select app.register_personal_data('public.emergency_contacts', 'resident_id', 'resident', on_erase => 'remove', on_merge => 'function', merge_with => 'app.merge_emergency_contacts',
  columns => '{"full_name": null, "phone": null, "relationship": null}');

create policy emergency_contacts_select on public.emergency_contacts for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (
      (select 'emergency.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('emergency.read'))
      or resident_id in (select app.my_residents())
      or resident_id in (select app.my_wards())
    )
  );
create policy emergency_contacts_update on public.emergency_contacts for update to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and ((select 'emergency.manage' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('emergency.manage')) or resident_id in (select app.my_residents()) or resident_id in (select app.my_wards()))
  )
  with check (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and ((select 'emergency.manage' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('emergency.manage')) or resident_id in (select app.my_residents()) or resident_id in (select app.my_wards()))
  );

grant select, update (full_name, phone, relationship) on public.emergency_contacts to authenticated;
grant select, insert, update on public.emergency_contacts to service_role;

create function app.resident_with_own_contacts(resident uuid)
returns public.residents
language plpgsql
volatile
set search_path = ''
as $$
declare
  person public.residents;
begin
  select re.* into person from public.residents re where re.id = resident and re.deleted_at is null for no key update;
  if not coalesce(person.id in (select app.my_residents() union select app.my_wards()) and person.community_id = any (app.my_communities()), false) then
    perform app.require('emergency.manage', person.community_id);
  end if;
  if person.id is null then
    perform app.fail(404, 'resident_not_found', 'There is no live resident with this id.');
  end if;
  return person;
end;
$$;

comment on function app.resident_with_own_contacts(uuid) is
  'Locks a resident for themselves, for a minor''s guardian, or for a holder of emergency.manage: the lock under which priorities are given. Not executable by API roles.';

create function app.add_emergency_contact(resident uuid, full_name text, phone text, relationship text)
returns uuid
language plpgsql
volatile
security definer -- API roles may not choose priorities
set search_path = ''
as $$
declare
  person constant public.residents := app.resident_with_own_contacts(resident);
  last smallint;
  made uuid;
  refused text;
begin
  select coalesce(max(e.priority), 0) into last from public.emergency_contacts e where e.community_id = person.community_id and e.resident_id = person.id and e.deleted_at is null;
  if num_nulls(full_name, phone, relationship) > 0 then
    perform app.fail(422, 'invalid_value', 'A contact has a name, a telephone number and a relationship.');
  elsif last >= 10 then
    perform app.fail(409, 'too_many_contacts', 'There are ten contacts already.', 'Remove one first.');
  end if;
  insert into public.emergency_contacts (full_name, community_id, resident_id, phone, relationship, priority)
  values (btrim(add_emergency_contact.full_name), person.community_id, person.id, btrim(add_emergency_contact.phone), btrim(add_emergency_contact.relationship), last + 1)
  returning id into made;
  return made;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('emergency_contacts', refused);
end;
$$;

comment on function app.add_emergency_contact(uuid, text, text, text) is 'What public.add_emergency_contact does. Definer: no API role chooses priorities.';

create function app.order_emergency_contacts(resident uuid, contacts uuid[])
returns void
language plpgsql
volatile
security definer -- API roles may not choose priorities
set search_path = ''
as $$
declare
  person constant public.residents := app.resident_with_own_contacts(resident);
begin
  if (select array_agg(e.id order by e.id) from public.emergency_contacts e where e.community_id = person.community_id and e.resident_id = person.id and e.deleted_at is null)
    is distinct from (select array_agg(c order by c) from unnest(contacts) c)
  then
    perform app.fail(422, 'invalid_value', 'contact_ids are all contacts of the resident, each once.');
  end if;
  update public.emergency_contacts e
  set priority = c.priority
  from unnest(contacts) with ordinality c (id, priority)
  where e.id = c.id and e.priority <> c.priority;
end;
$$;

comment on function app.order_emergency_contacts(uuid, uuid[]) is 'What public.order_emergency_contacts does. Definer: no API role chooses priorities.';

create function app.remove_emergency_contact(contact uuid)
returns void
language plpgsql
volatile
security definer -- API roles may archive nothing by themselves
set search_path = ''
as $$
declare
  person public.residents;
  gone smallint;
begin
  person := app.resident_with_own_contacts((select e.resident_id from public.emergency_contacts e where e.id = contact and e.deleted_at is null));
  update public.emergency_contacts e set deleted_at = clock_timestamp() where e.id = contact and e.deleted_at is null returning e.priority into gone;
  update public.emergency_contacts e set priority = e.priority - 1
  where e.community_id = person.community_id and e.resident_id = person.id and e.priority > gone and e.deleted_at is null;
end;
$$;

comment on function app.remove_emergency_contact(uuid) is 'What public.remove_emergency_contact does; those after it move up. Definer: no API role archives contacts.';

create function public.add_emergency_contact(resident_id uuid, full_name text, phone text, relationship text)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.add_emergency_contact(resident_id, full_name, phone, relationship) $$;

comment on function public.add_emergency_contact(uuid, text, text, text) is
  'Adds a contact, to be called last; at most ten. One''s own, those of a minor whose guardian one is, or with emergency.manage. Errors: permission_denied, resident_not_found, too_many_contacts, invalid_value.';

create function public.order_emergency_contacts(resident_id uuid, contact_ids uuid[])
returns void
language sql
volatile
set search_path = ''
as $$ select app.order_emergency_contacts(resident_id, contact_ids) $$;

comment on function public.order_emergency_contacts(uuid, uuid[]) is
  'Puts all contacts of a resident in this order. One''s own, those of a minor whose guardian one is, or with emergency.manage. Errors: permission_denied, resident_not_found, invalid_value.';

create function public.remove_emergency_contact(contact_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.remove_emergency_contact(contact_id) $$;

comment on function public.remove_emergency_contact(uuid) is
  'Takes a contact away; those after it move up. One''s own, those of a minor whose guardian one is, or with emergency.manage. Errors: permission_denied, resident_not_found.';

grant execute on function
  app.add_emergency_contact(uuid, text, text, text), public.add_emergency_contact(uuid, text, text, text),
  app.order_emergency_contacts(uuid, uuid[]), public.order_emergency_contacts(uuid, uuid[]),
  app.remove_emergency_contact(uuid), public.remove_emergency_contact(uuid)
to authenticated, service_role;
