-- Access control: the RPCs of invitations.
--
-- Purpose     Residents invite, change and take back; so does the management, for them and for the community itself.
-- Tables      none
-- RPCs        invite_visitor, change_visitor_invitation, cancel_visitor_invitation, add_invitation_guest, remove_invitation_guest,
--             except_invitation_day, visitor_invitation_days
-- Invariants  Whoever invites to a unit receives visitors there (app.my_hosting), or holds visits.invite. Nothing is half made: an invitation
--             comes with its guests and gates, or not at all. Of a list no more are invited than the event has places.

create function app.changeable_invitation(invitation uuid, is_visible boolean)
returns public.visitor_invitations
language plpgsql
volatile
security definer -- locks a row that its people may not update
set search_path = ''
as $$
declare
  present public.visitor_invitations;
begin
  if is_visible then
    select i.* into present from public.visitor_invitations i where i.id = invitation and i.deleted_at is null for no key update;
  end if;
  if present.id is null then
    perform app.fail(404, 'invitation_not_found', 'There is no invitation with this id.');
  elsif not app.is_trusted() and not app.can('visits.invite', present.community_id)
    and (present.unit_id is null or present.unit_id not in (select h.unit_id from app.my_hosting('visits.invite_own') h))
  then
    perform app.fail(403, 'permission_denied', 'This takes visits.invite in the community, or visits.invite_own in the unit, by who receives visitors there.');
  end if;
  return present;
end;
$$;

comment on function app.changeable_invitation(uuid, boolean) is
  'The invitation, locked, if the caller sees it (is_visible) and may change it. Not executable by API roles. Definer: locks a row that its people may not update.';

create function app.set_invitation_points(given public.visitor_invitations, points uuid[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  if cardinality(points) > 200 or array_ndims(points) > 1 or array_position(points, null) is not null then
    perform app.fail(422, 'invalid_value', 'access_point_ids are at most 200 ids; none: through all.');
  elsif exists (
    select from unnest(points) p
    where not exists (select from public.access_points a where a.community_id = given.community_id and a.id = p and a.deleted_at is null))
  then
    perform app.fail(404, 'access_point_not_found', 'There is no live access point with one of these ids in this community.');
  end if;
  delete from public.invitation_access_points a where a.invitation_id = given.id and a.access_point_id <> all (points);
  insert into public.invitation_access_points (community_id, invitation_id, access_point_id)
  select distinct given.community_id, given.id, p from unnest(points) p
  on conflict on constraint invitation_access_points_point_key do nothing;
end;
$$;

comment on function app.set_invitation_points(public.visitor_invitations, uuid[]) is 'The access points of an invitation from now on. Not executable by API roles.';

create function app.put_on_list(given public.visitor_invitations, guests jsonb)
returns setof uuid
language plpgsql
volatile
set search_path = ''
as $$
declare
  listed bigint;
begin
  if jsonb_typeof(guests) is distinct from 'array' or exists (select from jsonb_array_elements(guests) g where jsonb_typeof(g) <> 'object' or g ->> 'full_name' is null) then
    perform app.fail(422, 'invalid_value', 'guests are a list of {"full_name", "phone", "plate"}, with a name each.');
  elsif guests = '[]' then
    return;
  elsif given.kind <> 'event' then
    perform app.fail(422, 'invalid_value', 'Only an event has a list of guests.');
  end if;
  -- The caller holds the invitation: two lists are not filled side by side.
  select count(*) into listed from public.invitation_guests g where g.community_id = given.community_id and g.invitation_id = given.id and g.status <> 'cancelled' and g.deleted_at is null;
  if listed + jsonb_array_length(guests) > given.guest_limit then
    perform app.fail(409, 'too_many_guests', format('The event has %s places, and %s are on the list.', given.guest_limit, listed));
  end if;
  return query
    insert into public.invitation_guests (full_name, community_id, invitation_id, phone, plate)
    select btrim(g.full_name), given.community_id, given.id, nullif(btrim(g.phone), ''), nullif(btrim(g.plate), '')
    from jsonb_to_recordset(guests) g (full_name text, phone text, plate text)
    returning id;
end;
$$;

comment on function app.put_on_list(public.visitor_invitations, jsonb) is
  'Puts guests on the list of an event that the caller has locked, and answers with their ids. Errors: invalid_value, too_many_guests. Not executable by API roles.';

create function app.check_invitation_terms(given public.visitor_invitations, is_manager boolean)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  days constant integer := app.setting('general.invitation_days', given.community_id)::integer;
  guests constant integer := app.setting('general.event_guests', given.community_id, unit => given.unit_id)::integer;
begin
  if given.recurrence is not null then
    perform app.require_recurrence(given.recurrence);
  end if;
  if (given.ends_at > given.starts_at and given.ends_at > now() and given.ends_at - given.starts_at <= make_interval(days => days)) is not true then
    perform app.fail(422, 'invalid_period', format('An invitation ends after it begins, in the future, and lasts at most %s days.', days));
  elsif not is_manager and given.guest_limit > guests then
    perform app.fail(409, 'too_many_guests', format('An event in this unit has at most %s guests.', guests));
  end if;
end;
$$;

comment on function app.check_invitation_terms(public.visitor_invitations, boolean) is
  'Refuses what an invitation may not say where it is given: too long, over already, too many guests, a rule that is none. Errors: recurrence_unsupported, invalid_period, too_many_guests. Not executable by API roles.';

create function app.invite_visitor(home uuid, given public.visitor_invitations, guests jsonb, points uuid[])
returns uuid
language plpgsql
volatile
security definer -- API roles may not write invitations
set search_path = ''
as $$
declare
  is_manager boolean;
  today date;
  refused text;
  broken text;
begin
  if given.unit_id is not null then
    home := (select u.community_id from public.units u where u.id = given.unit_id and u.deleted_at is null);
  end if;
  is_manager := app.is_trusted() or app.can('visits.invite', home);
  if given.unit_id is null or given.unit_id not in (select h.unit_id from app.my_hosting('visits.invite_own') h) then
    perform app.require('visits.invite', home);
  end if;
  if home is null or not exists (select from public.communities c where c.id = home and c.deleted_at is null) then
    perform app.fail(404, 'unit_not_found', 'There is no live unit, or community, with this id.');
  end if;
  today := (select (now() at time zone c.time_zone)::date from public.communities c where c.id = home);
  given.id := extensions.uuidv7();
  given.community_id := home;
  given.host_resident_id := (
    select m from app.my_residents() m join public.residents r on r.id = m
    where r.community_id = home and m in (select app.visit_hosts_on(given.unit_id, today)));
  given.max_entries := coalesce(given.max_entries, case when given.kind = 'single' then 1 end);
  perform app.check_invitation_terms(given, is_manager);

  -- One invitation at a time per unit, so that nobody gives more than may be open.
  perform from public.units u where u.id = given.unit_id for no key update;
  if not is_manager and (
    select count(*) from public.visitor_invitations i
    where i.community_id = home and i.unit_id = given.unit_id and i.status = 'active' and i.ends_at > now() and i.deleted_at is null
  ) >= app.setting('general.invitations_per_unit', home, unit => given.unit_id)::integer then
    perform app.fail(409, 'too_many_invitations', 'The unit has as many open invitations as it may have.', 'Cancel those that are no longer needed.');
  end if;

  insert into public.visitor_invitations (
    id, title, community_id, unit_id, host_resident_id, kind, purpose, visitor_name, visitor_phone, document_number, plate, provider_name, starts_at, ends_at,
    recurrence, daily_from, daily_until, guest_limit, max_entries, note)
  values (
    given.id, given.title, given.community_id, given.unit_id, given.host_resident_id, given.kind, given.purpose, given.visitor_name, given.visitor_phone,
    given.document_number, given.plate, given.provider_name, given.starts_at, given.ends_at,
    given.recurrence, given.daily_from, given.daily_until, given.guest_limit, given.max_entries, given.note);
  perform app.put_on_list(given, guests);
  perform app.set_invitation_points(given, points);
  return given.id;
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name, broken = table_name;
    perform app.fail_check(broken, refused);
  when not_null_violation then
    get stacked diagnostics refused = column_name;
    perform app.fail(422, 'invalid_value', format('An invitation has a value for %s.', refused));
end;
$$;

comment on function app.invite_visitor(uuid, public.visitor_invitations, jsonb, uuid[]) is
  'What public.invite_visitor does, with what is given as a row. Locks the unit. Definer: no API role writes invitations.';

create function public.invite_visitor(
  kind public.visitor_invitation_kind, ends_at timestamptz, starts_at timestamptz default null, unit_id uuid default null, community_id uuid default null,
  purpose public.visit_purpose default 'guest', title text default null, visitor_name text default null, visitor_phone text default null, document_number text default null,
  plate text default null, provider_name text default null, recurrence text default null, daily_from time default null, daily_until time default null,
  guest_limit integer default null, max_entries integer default null, note text default null, guests jsonb default '[]', access_point_ids uuid[] default '{}'
)
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
declare
  given public.visitor_invitations;
begin
  given.kind := invite_visitor.kind;
  given.purpose := coalesce(invite_visitor.purpose, 'guest');
  given.unit_id := invite_visitor.unit_id;
  given.title := nullif(btrim(invite_visitor.title), '');
  given.visitor_name := nullif(btrim(invite_visitor.visitor_name), '');
  given.visitor_phone := nullif(btrim(invite_visitor.visitor_phone), '');
  given.document_number := nullif(btrim(invite_visitor.document_number), '');
  given.plate := nullif(btrim(invite_visitor.plate), '');
  given.provider_name := nullif(btrim(invite_visitor.provider_name), '');
  given.starts_at := coalesce(invite_visitor.starts_at, now());
  given.ends_at := invite_visitor.ends_at;
  given.recurrence := invite_visitor.recurrence;
  given.daily_from := invite_visitor.daily_from;
  given.daily_until := invite_visitor.daily_until;
  given.guest_limit := invite_visitor.guest_limit;
  given.max_entries := invite_visitor.max_entries;
  given.note := nullif(btrim(invite_visitor.note), '');
  return app.invite_visitor(invite_visitor.community_id, given, coalesce(guests, '[]'), coalesce(access_point_ids, '{}'));
end;
$$;

comment on function public.invite_visitor(
  public.visitor_invitation_kind, timestamptz, timestamptz, uuid, uuid, public.visit_purpose, text, text, text, text, text, text, text, time, time, integer, integer, text, jsonb, uuid[]) is
  'Invites to a unit (visits.invite_own there, by who receives visitors in it; visits.invite for others) or to the community (community_id; visits.invite), from starts_at (now) to ends_at. '
  'single needs visitor_name; event title and guest_limit; recurring visitor_name, recurrence, daily_from and daily_until; vehicle plate; service provider_name. guests: [{"full_name", "phone", "plate"}] of an event. '
  'Returns the invitation''s id. Errors: permission_denied, assurance_required, unit_not_found, invalid_value, invalid_period, recurrence_unsupported, too_many_invitations, too_many_guests, access_point_not_found.';

create function app.change_visitor_invitation(invitation uuid, changes jsonb, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- API roles may not write invitations
set search_path = ''
as $$
declare
  given public.visitor_invitations;
  unknown text;
  refused text;
  broken text;
begin
  given := app.changeable_invitation(invitation, is_visible);
  if app.is_over(given) then
    perform app.fail(409, 'invitation_over', 'The invitation was cancelled, or is over.', 'Give a new one.');
  elsif jsonb_typeof(changes) is distinct from 'object' then
    perform app.fail(422, 'invalid_value', 'changes is an object of columns and their new values.');
  end if;
  select k into unknown from jsonb_object_keys(changes) k
  where k <> all ('{title,purpose,visitor_name,visitor_phone,document_number,plate,provider_name,starts_at,ends_at,recurrence,daily_from,daily_until,guest_limit,max_entries,note,access_point_ids}')
  limit 1;
  if unknown is not null then
    perform app.fail(422, 'invalid_value', format('%s of an invitation does not change.', unknown));
  end if;
  select e.key into unknown from jsonb_each(changes) e where e.key <> 'access_point_ids' and jsonb_typeof(e.value) in ('object', 'array') limit 1;
  if unknown is not null then
    perform app.fail(422, 'invalid_value', format('%s of an invitation is one value.', unknown));
  end if;
  given := jsonb_populate_record(given, changes - 'access_point_ids');
  if changes ?| '{starts_at,ends_at,recurrence,guest_limit}' then
    perform app.check_invitation_terms(given, app.is_trusted() or app.can('visits.invite', given.community_id));
  end if;
  update public.visitor_invitations i
  set title = given.title, purpose = given.purpose, visitor_name = given.visitor_name, visitor_phone = given.visitor_phone, document_number = given.document_number,
    plate = given.plate, provider_name = given.provider_name, starts_at = given.starts_at, ends_at = given.ends_at, recurrence = given.recurrence,
    daily_from = given.daily_from, daily_until = given.daily_until, guest_limit = given.guest_limit, max_entries = given.max_entries, note = given.note
  where i.id = given.id;
  if changes ? 'access_point_ids' then
    perform app.set_invitation_points(given, array(select p::uuid from jsonb_array_elements_text(nullif(changes -> 'access_point_ids', 'null')) p));
  end if;
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name, broken = table_name;
    perform app.fail_check(broken, refused);
  when not_null_violation then
    get stacked diagnostics refused = column_name;
    perform app.fail(422, 'invalid_value', format('An invitation has a value for %s.', refused));
  when data_exception then
    get stacked diagnostics refused = message_text;
    perform app.fail(422, 'invalid_value', refused);
end;
$$;

comment on function app.change_visitor_invitation(uuid, jsonb, boolean) is 'What public.change_visitor_invitation does. Locks the invitation. Definer: no API role writes invitations.';

create function public.change_visitor_invitation(invitation_id uuid, changes jsonb)
returns void
language sql
volatile
set search_path = ''
as $$ select app.change_visitor_invitation(invitation_id, changes, app.sees_row('visitor_invitations', invitation_id)) $$;

comment on function public.change_visitor_invitation(uuid, jsonb) is
  'Changes what is named of an invitation that is not over: {"ends_at": "…", "note": null, "access_point_ids": []}. Passes and codes go on counting, within the new time. Takes what giving it takes. '
  'Errors: invitation_not_found, permission_denied, invitation_over, entry_code_taken, and those of invite_visitor.';

create function app.cancel_visitor_invitation(invitation uuid, reason text, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- API roles may not write invitations
set search_path = ''
as $$
declare
  given public.visitor_invitations;
  refused text;
begin
  given := app.changeable_invitation(invitation, is_visible);
  update public.visitor_invitations i set status = 'cancelled', status_reason = nullif(btrim(reason), '') where i.id = given.id and i.status = 'active';
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('visitor_invitations', refused);
end;
$$;

comment on function app.cancel_visitor_invitation(uuid, text, boolean) is 'What public.cancel_visitor_invitation does. Locks the invitation. Definer: no API role writes invitations.';

create function public.cancel_visitor_invitation(invitation_id uuid, reason text default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.cancel_visitor_invitation(invitation_id, reason, app.sees_row('visitor_invitations', invitation_id)) $$;

comment on function public.cancel_visitor_invitation(uuid, text) is
  'Takes an invitation back, with its codes and the visit that is expected by it; whoever is inside stays so. Cancelled already: nothing happens. Takes what giving it takes. Errors: invitation_not_found, permission_denied, invalid_value.';

-- Lists and days -------------------------------------------------------------------------------------------------------

create function app.add_invitation_guest(invitation uuid, guest jsonb, is_visible boolean)
returns uuid
language plpgsql
volatile
security definer -- API roles may not write lists
set search_path = ''
as $$
declare
  given public.visitor_invitations;
  refused text;
begin
  given := app.changeable_invitation(invitation, is_visible);
  if app.is_over(given) then
    perform app.fail(409, 'invitation_over', 'The invitation was cancelled, or is over.');
  end if;
  return (select g from app.put_on_list(given, jsonb_build_array(guest)) g);
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('invitation_guests', refused);
end;
$$;

comment on function app.add_invitation_guest(uuid, jsonb, boolean) is 'What public.add_invitation_guest does. Locks the invitation. Definer: no API role writes lists.';

create function public.add_invitation_guest(invitation_id uuid, full_name text, phone text default null, plate text default null)
returns uuid
language sql
volatile
set search_path = ''
as $$
  select app.add_invitation_guest(invitation_id, jsonb_build_object('full_name', full_name, 'phone', phone, 'plate', plate), app.sees_row('visitor_invitations', invitation_id))
$$;

comment on function public.add_invitation_guest(uuid, text, text, text) is
  'Puts somebody on the list of an event; takes what giving the invitation takes. Returns the guest''s id. Errors: invitation_not_found, permission_denied, invitation_over, too_many_guests, invalid_value.';

create function app.remove_invitation_guest(guest uuid)
returns void
language plpgsql
volatile
security definer -- API roles may not write lists
set search_path = ''
as $$
declare
  listed public.invitation_guests;
begin
  select g.* into listed from public.invitation_guests g where g.id = guest and g.deleted_at is null;
  if listed.id is null or not (app.is_trusted() or app.can('visits.read', listed.community_id) or listed.invitation_id in (select app.visitor_invitations_with_me())) then
    perform app.fail(404, 'guest_not_found', 'There is no guest with this id.');
  end if;
  perform app.changeable_invitation(listed.invitation_id, true);
  select g.* into listed from public.invitation_guests g where g.id = guest for no key update;
  if listed.status = 'entered' then
    perform app.fail(409, 'guest_entered', 'The guest has come already.');
  end if;
  update public.invitation_guests g set status = 'cancelled' where g.id = guest and g.status = 'invited';
end;
$$;

comment on function app.remove_invitation_guest(uuid) is 'What public.remove_invitation_guest does. Locks invitation and guest. Definer: no API role writes lists.';

create function public.remove_invitation_guest(guest_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.remove_invitation_guest(guest_id) $$;

comment on function public.remove_invitation_guest(uuid) is
  'Takes somebody who has not come yet off the list of an event, with their code; off it already: nothing happens. Takes what giving the invitation takes. Errors: guest_not_found, permission_denied, guest_entered.';

create function app.except_invitation_day(invitation uuid, day date, kind public.invitation_exception_kind, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- API roles may not write exceptions
set search_path = ''
as $$
declare
  given public.visitor_invitations;
begin
  given := app.changeable_invitation(invitation, is_visible);
  if app.is_over(given) then
    perform app.fail(409, 'invitation_over', 'The invitation was cancelled, or is over.');
  elsif day is null or day not between date '2000-01-01' and date '2200-01-01' then
    perform app.fail(422, 'invalid_value', 'falls_on is a day.');
  elsif given.daily_from is null then
    perform app.fail(422, 'invalid_value', 'The invitation has no days of its own: it counts from its beginning to its end.');
  elsif kind is null then
    delete from public.invitation_exceptions e where e.invitation_id = given.id and e.falls_on = day;
  else
    insert into public.invitation_exceptions as e (falls_on, community_id, invitation_id, kind) values (day, given.community_id, given.id, except_invitation_day.kind)
    on conflict on constraint invitation_exceptions_day_key do update set kind = excluded.kind where e.kind <> excluded.kind;
  end if;
end;
$$;

comment on function app.except_invitation_day(uuid, date, public.invitation_exception_kind, boolean) is 'What public.except_invitation_day does. Locks the invitation. Definer: no API role writes exceptions.';

create function public.except_invitation_day(invitation_id uuid, falls_on date, kind public.invitation_exception_kind default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.except_invitation_day(invitation_id, falls_on, kind, app.sees_row('visitor_invitations', invitation_id)) $$;

comment on function public.except_invitation_day(uuid, date, public.invitation_exception_kind) is
  'Skips a day of an invitation that has days, adds one, or (kind null) leaves it to the rule again. Takes what giving it takes. Errors: invitation_not_found, permission_denied, invitation_over, invalid_value.';

create function public.visitor_invitation_days(invitation_id uuid, from_on date, to_on date)
returns table (falls_on date, starts_at timestamptz, ends_at timestamptz)
language plpgsql
stable
set search_path = ''
as $$
declare
  given public.visitor_invitations;
  zone text;
  first_on date;
begin
  select i.* into given from public.visitor_invitations i where i.id = visitor_invitation_days.invitation_id;
  if given.id is null then
    perform app.fail(404, 'invitation_not_found', 'There is no invitation with this id.');
  elsif (to_on - from_on between 0 and 366) is not true then
    perform app.fail(422, 'invalid_period', 'At most 366 days are told at once, from a day to a later one.');
  end if;
  select c.time_zone into zone from public.communities c where c.id = given.community_id;
  first_on := (given.starts_at at time zone zone)::date;
  return query
    select d.day, greatest(w.starts_at, given.starts_at), least(w.ends_at, given.ends_at)
    from (
      select r as day from app.recurrence_days(coalesce(given.recurrence, 'FREQ=DAILY'), first_on, from_on, to_on) r
      where not exists (select from public.invitation_exceptions e where e.invitation_id = given.id and e.falls_on = r and e.kind = 'skipped')
      union
      select e.falls_on from public.invitation_exceptions e where e.invitation_id = given.id and e.falls_on between from_on and to_on and e.kind = 'added'
    ) d
    cross join lateral (
      select app.wall_moment(d.day + coalesce(given.daily_from, '00:00'), zone) as starts_at,
        app.wall_moment(d.day + coalesce(given.daily_until, '00:00') + case when given.daily_until > given.daily_from then interval '0' else interval '1 day' end, zone, is_last => true) as ends_at
    ) w
    where w.ends_at > given.starts_at and w.starts_at < given.ends_at
    order by d.day;
end;
$$;

comment on function public.visitor_invitation_days(uuid, date, date) is
  'On which days, from when to when, an invitation counts: what a calendar shows. For whoever sees the invitation; at most 366 days. Errors: invitation_not_found, invalid_period.';

grant execute on function
  app.invite_visitor(uuid, public.visitor_invitations, jsonb, uuid[]),
  public.invite_visitor(
    public.visitor_invitation_kind, timestamptz, timestamptz, uuid, uuid, public.visit_purpose, text, text, text, text, text, text, text, time, time, integer, integer, text, jsonb, uuid[]),
  app.change_visitor_invitation(uuid, jsonb, boolean), public.change_visitor_invitation(uuid, jsonb),
  app.cancel_visitor_invitation(uuid, text, boolean), public.cancel_visitor_invitation(uuid, text),
  app.add_invitation_guest(uuid, jsonb, boolean), public.add_invitation_guest(uuid, text, text, text),
  app.remove_invitation_guest(uuid), public.remove_invitation_guest(uuid),
  app.except_invitation_day(uuid, date, public.invitation_exception_kind, boolean), public.except_invitation_day(uuid, date, public.invitation_exception_kind),
  public.visitor_invitation_days(uuid, date, date)
to authenticated, service_role;
