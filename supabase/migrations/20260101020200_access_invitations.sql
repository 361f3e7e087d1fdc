-- Access control: invitations of visitors.
--
-- Purpose     Whom residents, and the management, expect: once, at an event, again and again, by plate, or as a service.
-- Tables      visitor_invitations, private.invitation_uses, invitation_guests, invitation_exceptions, invitation_access_points
-- Invariants  An invitation has what its kind needs. It is worth something only while whoever gave it still receives visitors in the
--             unit: it ends with the day on which they move out, whatever anybody has in the pocket. Of a number of places no more
--             are taken than there are, and a guest of a list enters once. A landlord whose unit is let to others neither
--             sees nor makes the tenants' visits, nor sees them afterwards; nor do the next tenants.
-- RPCs        invite_visitor and others: topic invitation RPCs.

create type public.visitor_invitation_kind as enum ('single', 'event', 'recurring', 'vehicle', 'service');
create type public.visitor_invitation_status as enum ('active', 'cancelled');
create type public.invitation_guest_status as enum ('invited', 'entered', 'cancelled');
create type public.invitation_exception_kind as enum ('skipped', 'added');
create type public.visit_purpose as enum ('guest', 'delivery', 'service', 'other');

select app.define_permission('visits.read', 'community', 'See who is expected, who comes and who goes', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager, community/guard}');
select app.define_permission('visits.manage', 'community', 'Announce visitors who come unexpected, check visitors in and out', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager, community/guard}');
select app.define_permission('visits.invite', 'community', 'Invite visitors to the community, and for residents who ask for it', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager}');
select app.define_permission('visits.read_own', 'unit', 'See the visitors of the own unit',
  '{community/owner, community/tenant, community/family, community/authorized}');
select app.define_permission('visits.invite_own', 'unit', 'Invite visitors to the own unit, and answer for those who come unexpected',
  '{community/owner, community/tenant, community/family, community/authorized}');

select app.define_setting('general.invitation_days', 'integer', '366', '{site,organization,community}',
  'For how many days at most an invitation of a visitor is given.', minimum => 1, maximum => 3660);
select app.define_setting('general.invitations_per_unit', 'integer', '50', '{site,organization,community,building,unit}',
  'How many invitations of visitors a unit may have open at one time.', minimum => 0, maximum => 10000);
select app.define_setting('general.event_guests', 'integer', '100', '{site,organization,community,building,unit}',
  'How many guests an event in a unit may have.', minimum => 0, maximum => 10000);
select app.define_setting('general.visitor_data_days', 'integer', '90', '{site,organization,community}',
  'For how many days after a visit the visitor''s name, telephone, document and plate are kept.', minimum => 1, maximum => 3650);

-- Invitations --------------------------------------------------------------------------------------------------------

create table public.visitor_invitations (
  id uuid not null default extensions.uuidv7(),
  title text,
  community_id uuid not null,
  unit_id uuid,
  host_resident_id uuid,
  kind public.visitor_invitation_kind not null,
  purpose public.visit_purpose not null default 'guest',
  visitor_name text,
  visitor_phone text,
  document_number text,
  plate text,
  plate_key text generated always as (app.normalized_plate(plate)) stored,
  provider_name text,
  starts_at timestamptz not null,
  ends_at timestamptz not null,
  recurrence text,
  daily_from time,
  daily_until time,
  guest_limit integer,
  max_entries integer,
  status public.visitor_invitation_status not null default 'active',
  status_reason text,
  note text,
  anonymized_at timestamptz,
  like app.row_model including defaults including comments,
  constraint visitor_invitations_pkey primary key (id),
  constraint visitor_invitations_community_id_key unique (community_id, id),
  constraint visitor_invitations_community_fkey foreign key (community_id) references public.communities (id) on delete restrict,
  constraint visitor_invitations_unit_fkey foreign key (community_id, unit_id) references public.units (community_id, id) on delete restrict,
  constraint visitor_invitations_host_fkey foreign key (community_id, host_resident_id) references public.residents (community_id, id) on delete restrict,
  constraint visitor_invitations_host_resident_id_check check (host_resident_id is null or unit_id is not null),
  -- What each kind needs.
  constraint visitor_invitations_title_check check ((title is not null or kind <> 'event') and app.is_name(title)),
  constraint visitor_invitations_visitor_name_check check ((visitor_name is not null or kind not in ('single', 'recurring')) and app.is_name(visitor_name)),
  constraint visitor_invitations_plate_check check ((plate is not null or kind <> 'vehicle') and app.is_plate(plate)),
  constraint visitor_invitations_provider_name_check check ((provider_name is not null) = (kind = 'service') and app.is_name(provider_name)),
  constraint visitor_invitations_recurrence_check check (
    (recurrence is not null or kind <> 'recurring') and (recurrence is null or kind not in ('single', 'event')) and app.is_recurrence(recurrence)),
  constraint visitor_invitations_daily_from_check check (
    (daily_from is null) = (daily_until is null) and (daily_from is not null or recurrence is null) and (daily_from is null or kind not in ('single', 'event'))),
  constraint visitor_invitations_guest_limit_check check ((guest_limit is not null) = (kind = 'event') and guest_limit between 1 and 10000),
  constraint visitor_invitations_max_entries_check check ((max_entries is null or kind <> 'event') and (max_entries is not null or kind <> 'single') and max_entries between 1 and 10000),
  constraint visitor_invitations_visitor_phone_check check (app.is_phone(visitor_phone)),
  constraint visitor_invitations_document_number_check check (app.is_name(document_number) and length(document_number) <= 40),
  constraint visitor_invitations_ends_at_check check (ends_at > starts_at and isfinite(starts_at) and isfinite(ends_at)),
  constraint visitor_invitations_status_reason_check check (app.is_name(status_reason)),
  constraint visitor_invitations_note_check check (length(note) between 1 and 1000)
);

create index visitor_invitations_unit_idx on public.visitor_invitations (community_id, unit_id) where unit_id is not null;
create index visitor_invitations_host_idx on public.visitor_invitations (community_id, host_resident_id) where host_resident_id is not null;
create index visitor_invitations_ends_at_idx on public.visitor_invitations (community_id, ends_at);
create index visitor_invitations_plate_idx on public.visitor_invitations (community_id, plate_key) where plate_key is not null and status = 'active' and deleted_at is null;
create index visitor_invitations_hosted_idx on public.visitor_invitations (ends_at) where status = 'active' and host_resident_id is not null and deleted_at is null;
create index visitor_invitations_kept_idx on public.visitor_invitations (ends_at) where anonymized_at is null;

comment on table public.visitor_invitations is
  'Who may come to whom, when, how often, and through which gates. Made by invite_visitor; changed by change_visitor_invitation and cancel_visitor_invitation. What the visitor carries (a pass, a code) points here.';
comment on column public.visitor_invitations.title is 'What it is for: Birthday. An event has one.';
comment on column public.visitor_invitations.unit_id is 'The unit that is visited; null: the community itself, whose management invites.';
comment on column public.visitor_invitations.host_resident_id is 'The resident who invites, and on whose living there it depends; null: the management does.';
comment on column public.visitor_invitations.kind is
  'single: somebody, once. event: a number of guests, with or without a list. recurring: somebody, on the days of a rule. vehicle: whoever sits in the vehicle with this plate. service: a provider''s people.';
comment on column public.visitor_invitations.purpose is 'guest, delivery, service, other.';
comment on column public.visitor_invitations.visitor_name is 'Who comes. Needed for single and recurring.';
comment on column public.visitor_invitations.visitor_phone is 'The visitor''s telephone number, as written.';
comment on column public.visitor_invitations.document_number is 'Number of the document that the visitor is to show.';
comment on column public.visitor_invitations.plate is 'The plate of the visitor''s vehicle, as written. Needed for vehicle.';
comment on column public.visitor_invitations.plate_key is 'The plate as plates are compared (app.normalized_plate). Kept by the database.';
comment on column public.visitor_invitations.provider_name is 'The firm whose people come; of a service, and of nothing else.';
comment on column public.visitor_invitations.starts_at is 'From which moment it counts. A rule begins on this day, in the community''s time zone.';
comment on column public.visitor_invitations.ends_at is 'From this moment on it no longer counts.';
comment on column public.visitor_invitations.recurrence is 'On which days (RFC 5545: FREQ=WEEKLY;BYDAY=MO,TH); null: on every day between starts_at and ends_at.';
comment on column public.visitor_invitations.daily_from is 'From what time on those days, by the community''s clocks; null: all day.';
comment on column public.visitor_invitations.daily_until is 'Until what time; not after daily_from: of the next day.';
comment on column public.visitor_invitations.guest_limit is 'How many people an event has places for.';
comment on column public.visitor_invitations.max_entries is 'How often it lets somebody in; null: as often as they come. 1 for single, unless more is said.';
comment on column public.visitor_invitations.status is 'active, or cancelled. That it is over follows from ends_at; how often it was used, from its visits.';
comment on column public.visitor_invitations.status_reason is 'Why it was cancelled: host_left when whoever invited moved out.';
comment on column public.visitor_invitations.note is 'What the guard is to know.';
comment on column public.visitor_invitations.anonymized_at is 'When what it told of the visitor was removed (general.visitor_data_days after its end).';

create function app.is_over(invitation public.visitor_invitations)
returns boolean
language sql
stable
set search_path = ''
return invitation.status = 'cancelled' or invitation.ends_at <= now();

comment on function app.is_over(public.visitor_invitations) is 'Whether the row is history: an invitation that is over does not keep its unit, or its host, from being archived.';

grant execute on function app.is_over(public.visitor_invitations) to authenticated, service_role;
-- What the check of a rule calls in the name of whoever writes.
grant execute on function app.read_recurrence(text) to vicinia_maintenance;

-- The audit tells that something of a visitor was told or changed, and never what: it outlives the visitor's data.
select app.track('public.visitor_invitations', secrets => '{title,visitor_name,visitor_phone,document_number,plate,plate_key,provider_name,note}');

create trigger _010_frozen_host before update of unit_id, host_resident_id, kind on public.visitor_invitations for each row
  when ((old.unit_id, old.host_resident_id, old.kind) is distinct from (new.unit_id, new.host_resident_id, new.kind))
  execute function app.tg__frozen('unit, host and kind');

select app.register_personal_data('public.visitor_invitations', 'host_resident_id', 'resident', columns => '{"title": "Erased", "note": null}',
  exported => '{id,title,unit_id,kind,purpose,starts_at,ends_at,recurrence,status,note}',
  kept_because => 'That somebody was expected, and when, belongs to the log of the gates; who it was goes with general.visitor_data_days.');
select app.register_personal_data('public.visitor_invitations', 'visitor_phone', 'nobody',
  kept_because => 'A visitor has no account; the job visitor-retention removes the number some days after the visit.');
select app.register_personal_data('public.visitor_invitations', 'plate', 'nobody',
  kept_because => 'A visitor has no account; the job visitor-retention removes the plate some days after the visit.');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.visitor_invitations', null, 'active', null, 'Somebody is invited'),
  ('public.visitor_invitations', 'active', 'cancelled', null, 'Whoever invited takes it back, or has left');

select app.state_machine('public.visitor_invitations', 'status');

-- Entries --------------------------------------------------------------------------------------------------------------

create table private.invitation_uses (
  invitation_id uuid not null,
  community_id uuid not null,
  places integer,
  used_entries integer not null default 0,
  is_dead boolean not null default false,
  constraint invitation_uses_pkey primary key (invitation_id),
  constraint invitation_uses_invitation_fkey foreign key (community_id, invitation_id) references public.visitor_invitations (community_id, id) on delete cascade,
  constraint invitation_uses_used_entries_check check (used_entries >= 0 and used_entries <= places)
)
-- Room for the next version of a row on its page: an entry changes no index.
with (fillfactor = 70);

create index invitation_uses_invitation_idx on private.invitation_uses (community_id, invitation_id);

comment on table private.invitation_uses is
  'How often each invitation let somebody in. Apart from visitor_invitations, so that an entry is one write of a narrow row: what is known of each entry is its visit.';
comment on column private.invitation_uses.invitation_id is 'The invitation.';
comment on column private.invitation_uses.community_id is 'Its community.';
comment on column private.invitation_uses.places is 'Its guest_limit or max_entries; null: as often as they come.';
comment on column private.invitation_uses.used_entries is 'How often it let somebody in. Counted by app.enter_visit.';
comment on column private.invitation_uses.is_dead is 'Whether the invitation is cancelled or archived: here too, so that an entry and a cancellation at once meet in one row.';

alter table private.invitation_uses enable row level security;
create policy invitation_uses_select on private.invitation_uses for select to authenticated using (false);

create function app.tg_visitor_invitations__uses()
returns trigger
language plpgsql
security definer -- no API role writes private.invitation_uses
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    insert into private.invitation_uses (invitation_id, community_id, places, is_dead)
    values (new.id, new.community_id, coalesce(new.guest_limit, new.max_entries), new.status = 'cancelled' or new.deleted_at is not null);
  else
    update private.invitation_uses u set places = coalesce(new.guest_limit, new.max_entries), is_dead = new.status = 'cancelled' or new.deleted_at is not null
    where u.invitation_id = new.id;
  end if;
  return null;
end;
$$;

comment on function app.tg_visitor_invitations__uses() is
  'AFTER INSERT, and AFTER UPDATE of the places, or that cancels, archives or restores: keeps private.invitation_uses, whose check refuses fewer places than were taken. Definer: no API role writes it.';

create trigger _310_uses after insert on public.visitor_invitations for each row execute function app.tg_visitor_invitations__uses();
create trigger _310_uses_follow after update of status, guest_limit, max_entries, deleted_at on public.visitor_invitations for each row
  when ((old.status, old.guest_limit, old.max_entries, old.deleted_at) is distinct from (new.status, new.guest_limit, new.max_entries, new.deleted_at))
  execute function app.tg_visitor_invitations__uses();

-- Who receives visitors, and who sees whose ----------------------------------------------------------------------------

create function app.visit_hosts_in(units uuid[], days date[])
returns table (unit_id uuid, resident_id uuid)
language plpgsql
stable
security definer -- looks at everybody in the units
set search_path = ''
as $$
declare
  hosting constant text[] := app.roles_with('visits.invite_own', 'community');
begin
  return query
    with present as materialized (
      select o.community_id, o.unit_id, o.resident_id, o.role, o.host_id, o.starts_on
      from unnest(units, days) a (unit_id, day)
      join public.units u on u.id = a.unit_id
      -- "any" keeps to the index that was made for this: that of the exclusion constraint takes four times as long.
      join public.occupancies o on o.community_id = u.community_id and o.unit_id = any (array[u.id]) and o.deleted_at is null
        and o.starts_on <= a.day and (o.ends_on is null or o.ends_on >= a.day)
    )
    select distinct p.unit_id, p.resident_id
    from present p
    join public.residents r on r.community_id = p.community_id and r.id = p.resident_id
    where p.role::text = any (hosting) and r.deleted_at is null and r.onboarding <> 'suspended'
      and (
        p.role = 'tenant'
        or p.unit_id not in (select t.unit_id from present t where t.role = 'tenant')
        -- Whose they are: the tenants', if they came by one, or while the unit was let.
        or (p.role in ('family', 'authorized') and case
          when p.host_id is not null then (p.unit_id, p.host_id) in (select t.unit_id, t.resident_id from present t where t.role = 'tenant')
          else exists (
            select from public.occupancies t
            where t.community_id = p.community_id and t.unit_id = p.unit_id and t.role = 'tenant' and t.deleted_at is null
              and t.starts_on <= p.starts_on and (t.ends_on is null or t.ends_on >= p.starts_on))
          end)
      );
end;
$$;

comment on function app.visit_hosts_in(uuid[], date[]) is
  'The residents who receive visitors in units, each on a day: whoever occupies one in a role that holds visits.invite_own; in a unit that is let, the tenants and theirs, and not the owner''s side. Nobody who is suspended. '
  'Definer: looks at everybody in the units; not executable by API roles.';

create function app.visit_hosts_on(unit uuid, day date)
returns setof uuid
language sql
stable
set search_path = ''
as $$ select h.resident_id from app.visit_hosts_in(array[unit], array[day]) h $$;

comment on function app.visit_hosts_on(uuid, date) is 'The residents who receive visitors in a unit on a day (app.visit_hosts_in). Not executable by API roles.';

create function app.my_hosting(permission text)
returns table (community_id uuid, unit_id uuid, since timestamptz)
language plpgsql
stable
rows 10
security definer -- reads occupancies before any policy on visits is decided
set search_path = ''
as $$
declare
  mine constant uuid[] := array(select app.units_with(permission) order by 1);
  days constant date[] := array(
    select (now() at time zone c.time_zone)::date from unnest(mine) with ordinality m (unit_id, n) join public.units u on u.id = m.unit_id join public.communities c on c.id = u.community_id order by m.n);
begin
  return query
    select u.community_id, u.id, (stay.since_on::timestamp at time zone c.time_zone)
    from app.visit_hosts_in(mine, days) h
    join public.units u on u.id = h.unit_id
    join public.communities c on c.id = u.community_id
    cross join lateral (select (now() at time zone c.time_zone)::date as today) d
    cross join lateral (
      select range_agg(daterange(o.starts_on, o.ends_on, '[]')) as spans, bool_or(o.role = 'tenant' and o.starts_on <= d.today and (o.ends_on is null or o.ends_on >= d.today)) as is_tenant
      from public.occupancies o
      -- Of the unit, the resident's: an owner of many units has too many of their own.
      where o.community_id = u.community_id and o.unit_id = any (array[u.id]) and o.resident_id is not distinct from h.resident_id and o.deleted_at is null
    ) own
    cross join lateral (
      -- What was before their own stay is others', and to an owner also what was while the unit was let.
      select greatest(lower(s.span), case when not own.is_tenant then (
        select max(t.ends_on) + 1 from public.occupancies t
        where t.community_id = u.community_id and t.unit_id = any (array[u.id]) and t.role = 'tenant' and t.deleted_at is null and t.ends_on < d.today and t.resident_id <> h.resident_id) end) as since_on
      from unnest(own.spans) s (span)
      where s.span @> d.today
    ) stay
    where h.resident_id in (select app.my_residents())
    union all
    select u.community_id, u.id, '-infinity'::timestamptz
    from app.extra_units(permission) e
    join public.units u on u.id = e;
end;
$$;

comment on function app.my_hosting(text) is
  'The units in which the caller receives visitors (with the permission), and since when what happened there is theirs to see: since they moved in, to an owner since the last tenants left. '
  'And those to which a restricted membership reaches. Definer: reads occupancies; not executable by API roles.';

create function app.visit_units()
returns setof uuid
language plpgsql
stable
security definer -- reads occupancies before any policy on visits is decided
set search_path = ''
as $$
begin
  return query select h.unit_id from app.my_hosting('visits.read_own') h;
end;
$$;

comment on function app.visit_units() is
  'The units whose visitors are the caller''s: who receives visitors there today and holds visits.read_own. Not a landlord''s while the unit is let. Definer: reads occupancies.';

create function app.visitor_invitations_with_me()
returns setof uuid
language plpgsql
stable
security definer -- looks at invitations of the caller's units before any policy on them is decided
set search_path = ''
as $$
begin
  return query
    select i.id
    from app.my_residents() m
    join public.residents r on r.id = m
    join public.visitor_invitations i on i.community_id = r.community_id and i.host_resident_id = r.id
    union all -- what is there twice is there
    select i.id
    from app.my_hosting('visits.read_own') h
    join public.visitor_invitations i on i.community_id = h.community_id and i.unit_id = h.unit_id
    where i.created_at >= h.since;
end;
$$;

comment on function app.visitor_invitations_with_me() is
  'The invitations that the caller gave, and those given in the caller''s units since they are theirs. Definer: looks at invitations before any policy on them is decided.';

grant execute on function app.visit_units(), app.visitor_invitations_with_me() to authenticated;

create policy visitor_invitations_select on public.visitor_invitations for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (
      (select 'visits.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('visits.read'))
      or id in (select app.visitor_invitations_with_me())
    )
  );
grant select on public.visitor_invitations to authenticated;
grant select, insert, update on public.visitor_invitations to service_role;

-- Guests of an event -------------------------------------------------------------------------------------------------

create table public.invitation_guests (
  id uuid not null default extensions.uuidv7(),
  full_name text not null,
  community_id uuid not null,
  invitation_id uuid not null,
  phone text,
  plate text,
  plate_key text generated always as (app.normalized_plate(plate)) stored,
  status public.invitation_guest_status not null default 'invited',
  entered_at timestamptz,
  like app.row_model including defaults including comments,
  constraint invitation_guests_pkey primary key (id),
  constraint invitation_guests_community_id_key unique (community_id, id),
  constraint invitation_guests_invitation_key unique (community_id, invitation_id, id),
  constraint invitation_guests_invitation_fkey foreign key (community_id, invitation_id) references public.visitor_invitations (community_id, id) on delete cascade,
  constraint invitation_guests_full_name_check check (app.is_name(full_name)),
  constraint invitation_guests_phone_check check (app.is_phone(phone)),
  constraint invitation_guests_plate_check check (app.is_plate(plate)),
  constraint invitation_guests_entered_at_check check ((status = 'entered') = (entered_at is not null))
);

create index invitation_guests_plate_idx on public.invitation_guests (community_id, plate_key) where plate_key is not null and status = 'invited' and deleted_at is null;

comment on table public.invitation_guests is 'The list of an event: who is invited by name. Each enters once. Made by invite_visitor and add_invitation_guest.';
comment on column public.invitation_guests.full_name is 'Name of the guest.';
comment on column public.invitation_guests.invitation_id is 'The event''s invitation.';
comment on column public.invitation_guests.phone is 'Telephone number of the guest, as written.';
comment on column public.invitation_guests.plate is 'Plate of the guest''s vehicle, as written.';
comment on column public.invitation_guests.plate_key is 'The plate as plates are compared (app.normalized_plate). Kept by the database.';
comment on column public.invitation_guests.status is 'invited, entered, or cancelled.';
comment on column public.invitation_guests.entered_at is 'When the guest entered.';

select app.track('public.invitation_guests', secrets => '{full_name,phone,plate,plate_key}');
select app.register_personal_data('public.invitation_guests', 'full_name', 'nobody', kept_because => 'A guest has no account; the job visitor-retention removes the name some days after the event.');
select app.register_personal_data('public.invitation_guests', 'phone', 'nobody', kept_because => 'A guest has no account; the job visitor-retention removes the number some days after the event.');
select app.register_personal_data('public.invitation_guests', 'plate', 'nobody', kept_because => 'A guest has no account; the job visitor-retention removes the plate some days after the event.');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.invitation_guests', null, 'invited', null, 'A guest is put on the list'),
  ('public.invitation_guests', 'invited', 'entered', null, 'The guest enters'),
  ('public.invitation_guests', 'invited', 'cancelled', null, 'The guest is taken off the list');

select app.state_machine('public.invitation_guests', 'status');

create policy invitation_guests_select on public.invitation_guests for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (
      (select 'visits.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('visits.read'))
      or invitation_id in (select app.visitor_invitations_with_me())
    )
  );
grant select on public.invitation_guests to authenticated;
grant select, insert, update on public.invitation_guests to service_role;

-- Days apart from the rule ---------------------------------------------------------------------------------------------

create table public.invitation_exceptions (
  id uuid not null default extensions.uuidv7(),
  falls_on date not null,
  community_id uuid not null,
  invitation_id uuid not null,
  kind public.invitation_exception_kind not null,
  like app.row_model including defaults including comments,
  constraint invitation_exceptions_pkey primary key (id),
  constraint invitation_exceptions_day_key unique (invitation_id, falls_on),
  constraint invitation_exceptions_invitation_fkey foreign key (community_id, invitation_id) references public.visitor_invitations (community_id, id) on delete cascade,
  constraint invitation_exceptions_falls_on_check check (falls_on between date '2000-01-01' and date '2200-01-01')
);

create index invitation_exceptions_invitation_idx on public.invitation_exceptions (community_id, invitation_id);

comment on table public.invitation_exceptions is 'Days on which an invitation with a rule does not count, or counts besides. Set by except_invitation_day.';
comment on column public.invitation_exceptions.falls_on is 'The day, in the community''s time zone.';
comment on column public.invitation_exceptions.invitation_id is 'The invitation.';
comment on column public.invitation_exceptions.kind is 'skipped: does not count although the rule names the day. added: counts although it does not.';

select app.track('public.invitation_exceptions', deletable => true);

create policy invitation_exceptions_select on public.invitation_exceptions for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (
      (select 'visits.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('visits.read'))
      or invitation_id in (select app.visitor_invitations_with_me())
    )
  );
grant select on public.invitation_exceptions to authenticated;
grant select, insert, update, delete on public.invitation_exceptions to service_role;

-- Through which gates --------------------------------------------------------------------------------------------------

create table public.invitation_access_points (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  invitation_id uuid not null,
  access_point_id uuid not null,
  like app.row_model including defaults including comments,
  constraint invitation_access_points_pkey primary key (id),
  constraint invitation_access_points_point_key unique (invitation_id, access_point_id),
  constraint invitation_access_points_invitation_fkey foreign key (community_id, invitation_id) references public.visitor_invitations (community_id, id) on delete cascade,
  constraint invitation_access_points_point_fkey foreign key (community_id, access_point_id) references public.access_points (community_id, id) on delete cascade
);

create index invitation_access_points_invitation_idx on public.invitation_access_points (community_id, invitation_id);
create index invitation_access_points_point_idx on public.invitation_access_points (community_id, access_point_id);

comment on table public.invitation_access_points is 'The access points through which an invitation lets in; none: through all.';
comment on column public.invitation_access_points.invitation_id is 'The invitation.';
comment on column public.invitation_access_points.access_point_id is 'The access point.';

select app.track('public.invitation_access_points', deletable => true);

create policy invitation_access_points_select on public.invitation_access_points for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (
      (select 'visits.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('visits.read'))
      or invitation_id in (select app.visitor_invitations_with_me())
    )
  );
grant select on public.invitation_access_points to authenticated;
grant select, insert, update, delete on public.invitation_access_points to service_role;

-- What an invitation is worth ------------------------------------------------------------------------------------------

create function app.invitation_covers(invitation public.visitor_invitations, moment timestamptz)
returns boolean
language plpgsql
stable
security definer -- reads time zones and exceptions for the gates
set search_path = ''
as $$
declare
  zone text;
  today date;
  first_on date;
begin
  if invitation.recurrence is null and invitation.daily_from is null then
    return true;
  end if;
  zone := (select c.time_zone from public.communities c where c.id = invitation.community_id);
  today := (moment at time zone zone)::date;
  first_on := (invitation.starts_at at time zone zone)::date;
  -- A night that began yesterday is yesterday's.
  return exists (
    select
    from (values (today), (today - 1)) d (day)
    left join public.invitation_exceptions e on e.invitation_id = invitation.id and e.falls_on = d.day and e.deleted_at is null
    where moment >= app.wall_moment(d.day + invitation.daily_from, zone)
      and moment < app.wall_moment(d.day + invitation.daily_until + case when invitation.daily_until > invitation.daily_from then interval '0' else interval '1 day' end, zone, is_last => true)
      and case when e.kind is not null then e.kind = 'added' else invitation.recurrence is null or app.recurs_on(invitation.recurrence, first_on, d.day) end);
end;
$$;

comment on function app.invitation_covers(public.visitor_invitations, timestamptz) is
  'Whether the moment is within the hours of a day on which the invitation counts, by the community''s clocks. Asks neither for starts_at and ends_at nor for anything else. Definer: reads time zones and exceptions; not executable by API roles.';

create function app.host_receives(invitation public.visitor_invitations, moment timestamptz)
returns boolean
language plpgsql
stable
security definer -- looks at occupancies for the gates
set search_path = ''
as $$
begin
  if invitation.host_resident_id is null then
    return true;
  end if;
  -- Most hosts rent, or live where nobody rents: app.visit_hosts_in, written out for them.
  if exists (
    select
    from public.communities c
    join public.residents r on r.community_id = c.id
    join public.occupancies o on o.community_id = r.community_id and o.resident_id = any (array[r.id]) and o.unit_id = invitation.unit_id
    where c.id = invitation.community_id and r.id = invitation.host_resident_id and r.deleted_at is null and r.onboarding <> 'suspended'
      and o.deleted_at is null and o.starts_on <= (moment at time zone c.time_zone)::date and (o.ends_on is null or o.ends_on >= (moment at time zone c.time_zone)::date)
      and o.role::text = any (app.roles_with('visits.invite_own', 'community'))
      and (o.role = 'tenant' or not exists (
        select from public.occupancies t
        where t.community_id = o.community_id and t.unit_id = any (array[o.unit_id]) and t.role = 'tenant' and t.deleted_at is null
          and t.starts_on <= (moment at time zone c.time_zone)::date and (t.ends_on is null or t.ends_on >= (moment at time zone c.time_zone)::date))))
  then
    return true;
  end if;
  return exists (
    select
    from public.communities c
    cross join lateral app.visit_hosts_in(array[invitation.unit_id], array[(moment at time zone c.time_zone)::date]) h
    where c.id = invitation.community_id and h.resident_id = invitation.host_resident_id);
end;
$$;

comment on function app.host_receives(public.visitor_invitations, timestamptz) is
  'Whether whoever gave the invitation receives visitors in the unit on the moment''s day; true for the management''s. Definer: looks at occupancies; not executable by API roles.';

create function app.invitation_problem(invitation uuid, point uuid, moment timestamptz)
returns text
language plpgsql
stable
security definer -- reads invitations for the gates
set search_path = ''
as $$
declare
  problem text;
begin
  -- One statement, because every gate asks it: app.host_receives is asked for hosts whom what is written out here does not find,
  -- app.invitation_covers where there are hours.
  select case
      when i.deleted_at is not null or i.status = 'cancelled' then 'invitation_cancelled'
      when moment < i.starts_at then 'not_yet_valid'
      when moment >= i.ends_at then 'expired'
      when i.host_resident_id is not null
        and not exists (
          select
          from public.communities c
          join public.residents r on r.community_id = c.id
          join public.occupancies o on o.community_id = r.community_id and o.resident_id = any (array[r.id]) and o.unit_id = i.unit_id
          where c.id = i.community_id and r.id = i.host_resident_id and r.deleted_at is null and r.onboarding <> 'suspended'
            and o.deleted_at is null and o.starts_on <= (moment at time zone c.time_zone)::date and (o.ends_on is null or o.ends_on >= (moment at time zone c.time_zone)::date)
            -- app.roles_with, written out.
            and o.role::text = any ((select h.community_roles from private.permission_holders h where h.permission_key = 'visits.invite_own')::text[])
            and (o.role = 'tenant' or not exists (
              select from public.occupancies t
              where t.community_id = o.community_id and t.unit_id = any (array[o.unit_id]) and t.role = 'tenant' and t.deleted_at is null
                and t.starts_on <= (moment at time zone c.time_zone)::date and (t.ends_on is null or t.ends_on >= (moment at time zone c.time_zone)::date))))
        and not app.host_receives(i, moment) then 'host_left'
      -- Null where it names no access points: it is for all.
      when point is not null
        and (select bool_or(a.access_point_id = point) from public.invitation_access_points a where a.invitation_id = i.id and a.deleted_at is null) is false then 'wrong_access_point'
      when (i.recurrence is not null or i.daily_from is not null) and not app.invitation_covers(i, moment) then 'outside_schedule' end
  into problem
  from public.visitor_invitations i
  where i.id = invitation;
  if not found then
    return 'invitation_cancelled';
  end if;
  return problem;
end;
$$;

comment on function app.invitation_problem(uuid, uuid, timestamptz) is
  'Why an invitation lets nobody in through an access point at a moment; null when it does: invitation_cancelled (or unknown), not_yet_valid, expired, host_left, wrong_access_point, outside_schedule. '
  'Whether a place is left, app.enter_visit says. Writes nothing. Definer: reads invitations for the gates; not executable by API roles.';

create function app.visitor_by_plate(community uuid, plate_key text, moment timestamptz)
returns table (invitation_id uuid, guest_id uuid)
language plpgsql
stable
security definer -- reads invitations for the gates
set search_path = ''
as $$
begin
  return query
    select i.id, null::uuid
    from public.visitor_invitations i
    where i.community_id = visitor_by_plate.community and i.plate_key = visitor_by_plate.plate_key and i.status = 'active' and i.deleted_at is null
      and i.starts_at <= moment and i.ends_at > moment
    union all
    select g.invitation_id, g.id
    from public.invitation_guests g
    join public.visitor_invitations i on i.community_id = g.community_id and i.id = g.invitation_id
    where g.community_id = visitor_by_plate.community and g.plate_key = visitor_by_plate.plate_key and g.status = 'invited' and g.deleted_at is null
      and i.status = 'active' and i.deleted_at is null and i.starts_at <= moment and i.ends_at > moment
    order by 1, 2;
end;
$$;

comment on function app.visitor_by_plate(uuid, text, timestamptz) is
  'The invitations that count at a moment and name a plate, or a guest with that plate; app.invitation_problem says the rest. Definer: reads invitations for the gates; not executable by API roles.';
