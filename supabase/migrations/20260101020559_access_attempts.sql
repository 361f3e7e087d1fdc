-- Access control: attempts.
--
-- Purpose     Who asks at a gate, and whom it is about: what the decision (next topic) begins with.
-- Types       app.access_caller, app.access_subject
-- Invariants  A device asks at its own point, a tablet at those of its booth; a user who decides, in a community where they do; a resident for
--             themselves, where they live. Nobody else asks: that is an error, and no attempt.
--             Whatever is shown has a subject or a reason why it shows none. What a pass says of itself counts once its signature holds.
--             Nothing is written here but the count of wrong codes. Nothing is executable by API roles.

-- Who asks -----------------------------------------------------------------------------------------------------------

create type app.access_caller as (
  scope_id uuid, device_id uuid, direction public.access_direction, user_id uuid, guard_id uuid, shift_id uuid, resident_id uuid, unit_id uuid,
  is_attended boolean, is_told boolean
);

comment on type app.access_caller is
  'Who asks for a decision: a device, a user who decides (is_attended), or a resident at the app. is_told: names and reasons of others are for them. scope_id: whose nonces they are.';

create function app.resident_home(community uuid, resident uuid, moment timestamptz, living_in boolean)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select o.unit_id
    from public.residents r
    join public.communities c on c.id = r.community_id
    -- "any" keeps to the index that was made for this: that of the exclusion constraint takes four times as long.
    join public.occupancies o on o.community_id = r.community_id and o.resident_id = any (array[r.id])
    where r.community_id = community and r.id = resident and r.deleted_at is null and r.onboarding <> 'suspended'
      and o.deleted_at is null and (not living_in or o.is_living_in)
      and o.starts_on <= (moment at time zone c.time_zone)::date and (o.ends_on is null or o.ends_on >= (moment at time zone c.time_zone)::date)
    order by o.is_living_in desc, o.starts_on, o.unit_id
    limit 1);
end;
$$;

comment on function app.resident_home(uuid, uuid, timestamptz, boolean) is
  'The unit that a resident occupies at a moment, one where they live before others; living_in: only such a one. Null for who has none, left, or is suspended. Asks no permission; not executable by API roles.';

create function app.access_caller(device private.calling_device, point public.access_points, method public.access_method, moment timestamptz)
returns app.access_caller
language plpgsql
volatile
set search_path = ''
as $$
declare
  caller app.access_caller;
  acts text;
begin
  if device.device_id is not null then
    -- A device decides at its own point, a tablet at every point of its booth.
    if (device.community_id = point.community_id and (device.access_point_id = point.id or (device.kind = 'tablet' and (device.point).booth_id = point.booth_id))) is not true then
      perform app.fail(404, 'access_point_not_found', 'This is not an access point of this device.');
    elsif method in ('app', 'guard') then
      perform app.fail(400, 'malformed_request', format('A device does not ask by the method %s.', method));
    end if;
    if device.last_used_at >= now() - interval '1 minute' then
      acts := set_config('app.actor', 'device:' || device.device_id, true); -- app.act_as_device, which has nothing to note
    else
      perform app.act_as_device(device.device_id);
    end if;
    caller.scope_id := device.device_id;
    caller.device_id := device.device_id;
    caller.direction := device.direction;
    caller.is_attended := false;
    caller.is_told := device.kind = 'tablet';
  elsif app.is_trusted() then
    if point.id is null then
      perform app.fail(404, 'access_point_not_found', 'There is no access point with this id.');
    end if;
    caller.scope_id := point.community_id;
    caller.is_attended := true;
    caller.is_told := true;
  elsif auth.uid() is null then
    perform app.fail(401, 'device_unknown', 'The header x-device-key holds no live key of a device, and nobody is signed in.');
  else
    caller.user_id := app.user_id();
    caller.scope_id := caller.user_id;
    caller.is_attended := app.can('access.decide', point.community_id);
    caller.is_told := caller.is_attended;
    if method in ('app', 'intercom') and point.id is not null then
      select r.id, app.resident_home(r.community_id, r.id, moment, true) into caller.resident_id, caller.unit_id
      from public.residents r
      where r.community_id = point.community_id and r.user_id = caller.user_id and r.deleted_at is null;
    end if;
    if not caller.is_attended and caller.unit_id is null then
      perform app.require('access.decide', point.community_id);
    elsif method = 'app' and caller.unit_id is null then
      perform app.fail(403, 'permission_denied', 'By the app, residents let themselves in where they live.');
    end if;
  end if;
  if caller.user_id is not null then
    select g.id into caller.guard_id
    from public.guards g
    where g.community_id = point.community_id and g.user_id = caller.user_id and g.status = 'active' and g.deleted_at is null;
  end if;
  if caller.user_id is not null then
    caller.shift_id := app.shift_at(point.community_id, point.id, caller.user_id, moment);
  elsif point.booth_id is not null then
    -- app.shift_at, for no guard, written out.
    select s.id into caller.shift_id
    from public.shifts s
    where s.community_id = point.community_id and s.booth_id = point.booth_id and s.deleted_at is null
      and s.starts_at <= moment and s.starts_at > moment - interval '25 hours' and s.ends_at > moment
    order by s.starts_at desc, s.id desc
    limit 1;
  end if;
  return caller;
end;
$$;

comment on function app.access_caller(private.calling_device, public.access_points, public.access_method, timestamptz) is
  'Who asks for a decision: the device, or else the user, at a point (all null: there is none with the id that was given), or why they may not: 401 device_unknown, 403 permission_denied, 404 access_point_not_found, 400 malformed_request. Not executable by API roles.';

-- Who is it about ----------------------------------------------------------------------------------------------------

create type app.access_subject as (
  reason text, pass_id uuid, step integer, invitation_id uuid, guest_id uuid, visit_id uuid, resident_id uuid, vehicle_id uuid, card_id uuid, unit_id uuid,
  full_name text, phone text, document_number text, plate text, is_open boolean
);

comment on type app.access_subject is
  'Whom an attempt is about, as far as what was shown tells, and in reason why it shows nothing that counts (null: it does). is_open: opened by hand, for nobody in particular.';

create function app.subject_by_card(point public.access_points, credential text, moment timestamptz)
returns app.access_subject
language plpgsql
stable
set search_path = ''
as $$
declare
  subject app.access_subject;
  card public.access_cards;
  vehicle public.vehicles;
begin
  -- app.card_by_number, written out.
  select c.* into card
  from public.access_cards c
  where c.community_id = point.community_id and c.number_key = app.card_key(credential) and c.status <> 'returned' and c.deleted_at is null;
  if card.id is not null then
    subject.card_id := card.id;
    subject.resident_id := card.resident_id;
    -- Nearly every card is good, and whoever has a home is neither gone nor suspended: nothing else is left to ask.
    if card.status = 'active' and card.expires_on is null then
      subject.unit_id := app.resident_home(point.community_id, card.resident_id, moment, false);
    end if;
    if subject.unit_id is null then
      subject.reason := app.card_problem(card, moment);
    end if;
    return subject;
  end if;
  -- The tag of a vehicle is read by the same antennas.
  select v.* into vehicle from public.vehicles v
  where v.community_id = point.community_id and v.tag_number = upper(btrim(credential)) and v.status in ('active', 'suspended') and v.deleted_at is null;
  if vehicle.id is null then
    subject.reason := 'card_unknown';
    return subject;
  end if;
  return app.subject_by_vehicle(vehicle, moment);
end;
$$;

comment on function app.subject_by_card(public.access_points, text, timestamptz) is
  'Whose card, or vehicle''s tag, has this number. Reasons: those of app.card_problem, vehicle_suspended, vehicle_inactive. Not executable by API roles.';

create function app.subject_by_vehicle(vehicle public.vehicles, moment timestamptz)
returns app.access_subject
language plpgsql
stable
set search_path = ''
as $$
declare
  subject app.access_subject;
begin
  subject.vehicle_id := vehicle.id;
  subject.resident_id := vehicle.resident_id;
  subject.unit_id := vehicle.unit_id;
  subject.plate := vehicle.plate;
  subject.full_name := nullif(concat_ws(' ', vehicle.colour, vehicle.make, vehicle.model), '');
  subject.reason := case
    when vehicle.status = 'suspended' then 'vehicle_suspended'
    when not app.is_active_on(vehicle, (moment at time zone (select c.time_zone from public.communities c where c.id = vehicle.community_id))::date) then 'vehicle_inactive' end;
  return subject;
end;
$$;

comment on function app.subject_by_vehicle(public.vehicles, timestamptz) is 'Whom a vehicle stands for. Reasons: vehicle_suspended, vehicle_inactive. Not executable by API roles.';

create function app.subject_by_plate(point public.access_points, credential text, direction public.access_direction, moment timestamptz)
returns app.access_subject
language plpgsql
stable
set search_path = ''
as $$
declare
  subject app.access_subject;
  wanted constant text := case when app.is_plate(credential) then app.normalized_plate(credential) end;
  vehicle public.vehicles;
begin
  if wanted is null then
    subject.reason := 'plate_unreadable';
    return subject;
  end if;
  select v.* into vehicle from public.vehicles v
  where v.community_id = point.community_id and v.plate_key = wanted and v.status in ('active', 'suspended') and v.deleted_at is null;
  if vehicle.id is not null then
    subject := app.subject_by_vehicle(vehicle, moment);
  end if;
  if vehicle.id is null or subject.reason = 'vehicle_inactive' then
    -- Somebody who moved out may come back as a visitor. Of several invitations one that lets in.
    if direction = 'out' then
      select v.invitation_id, v.guest_id, v.id into subject.invitation_id, subject.guest_id, subject.visit_id
      from public.visits v
      where v.community_id = point.community_id and v.status = 'checked_in' and v.deleted_at is null and app.normalized_plate(v.plate) = wanted
      order by v.checked_in_at desc
      limit 1;
    end if;
    if subject.visit_id is null then
      select p.invitation_id, p.guest_id into subject.invitation_id, subject.guest_id
      from app.visitor_by_plate(point.community_id, wanted, moment) p
      order by app.invitation_problem(p.invitation_id, point.id, moment) nulls first
      limit 1;
    end if;
    if num_nonnulls(subject.visit_id, subject.invitation_id) > 0 then
      subject.reason := null;
      subject.vehicle_id := null;
      subject.resident_id := null;
      subject.full_name := null;
      subject.unit_id := null;
    elsif subject.vehicle_id is null then
      subject.reason := 'plate_unknown';
    end if;
  end if;
  subject.plate := credential;
  return subject;
end;
$$;

comment on function app.subject_by_plate(public.access_points, text, public.access_direction, timestamptz) is
  'Whom a plate stands for: a vehicle of residents, else a visitor who was announced with it. Reasons: plate_unreadable, plate_unknown, vehicle_suspended, vehicle_inactive. Not executable by API roles.';

create function app.access_subject(
  point public.access_points, caller app.access_caller, method public.access_method, credential text, direction public.access_direction,
  visit uuid, invitation uuid, guest uuid, resident uuid, moment timestamptz
)
returns app.access_subject
language plpgsql
volatile
set search_path = ''
as $$
declare
  subject app.access_subject;
  shown record;
  is_suspended boolean;
begin
  if method = 'card' then
    subject := app.subject_by_card(point, credential, moment);
    -- Who has a home exists. A reader on the wall is told no name, and nothing else needs it.
    if subject.unit_id is not null and not caller.is_told then
      return subject;
    end if;
  end if;
  case method
    when 'qr' then
      shown := app.read_pass(point.community_id, credential, moment);
      subject.reason := shown.reason;
      -- What a text says of itself is not believed, nor logged, before its signature holds.
      if num_nonnulls(shown.invitation_id, shown.resident_id) > 0 then
        subject := row(shown.reason, shown.pass_id, shown.step, shown.invitation_id, shown.guest_id, null, shown.resident_id, null, null, null, null, null, null, null, null);
      end if;
    when 'card' then null; -- above: what gates are asked most
    when 'plate' then subject := app.subject_by_plate(point, credential, direction, moment);
    when 'code' then
      select c.reason, c.invitation_id, c.guest_id into subject.reason, subject.invitation_id, subject.guest_id
      from app.check_entry_code(point.community_id, credential, point.id, caller.device_id, caller.scope_id, moment) c;
    when 'app' then
      subject.resident_id := caller.resident_id;
      subject.unit_id := caller.unit_id;
    else
      -- By hand: for a visit, for who is on the list, for a resident whom the guard knows, or for nobody in particular.
      subject.visit_id := visit;
      subject.invitation_id := invitation;
      subject.guest_id := guest;
      subject.resident_id := resident;
      if num_nonnulls(visit, invitation, resident) = 0 then
        subject.is_open := true;
        subject.unit_id := caller.unit_id;
      end if;
  end case;
  if subject.visit_id is not null then
    select v.visitor_name, v.visitor_phone, v.document_number, v.plate, v.unit_id, v.invitation_id, v.guest_id
    into subject.full_name, subject.phone, subject.document_number, subject.plate, subject.unit_id, subject.invitation_id, subject.guest_id
    from public.visits v
    where v.community_id = point.community_id and v.id = subject.visit_id and v.deleted_at is null
      and (caller.is_attended or caller.device_id is not null or v.unit_id in (select app.visit_units()));
    if not found then
      perform app.fail(404, 'visit_not_found', 'There is no visit with this id.');
    end if;
  elsif subject.invitation_id is not null then
    select coalesce(g.full_name, i.visitor_name), coalesce(g.phone, case when g.id is null then i.visitor_phone end),
      case when g.id is null then i.document_number end, coalesce(subject.plate, g.plate, case when g.id is null then i.plate end), i.unit_id
    into subject.full_name, subject.phone, subject.document_number, subject.plate, subject.unit_id
    from public.visitor_invitations i
    left join public.invitation_guests g on g.community_id = i.community_id and g.invitation_id = i.id and g.id = subject.guest_id
    where i.community_id = point.community_id and i.id = subject.invitation_id and (subject.guest_id is null or g.id is not null);
    if not found then
      perform app.fail(404, 'invitation_not_found', 'There is no invitation with this id, or no such guest on its list.');
    end if;
  elsif subject.resident_id is not null and subject.vehicle_id is null then
    if subject.unit_id is null then
      subject.unit_id := app.resident_home(point.community_id, subject.resident_id, moment, false);
    end if;
    -- Who has a home exists. A reader on the wall is told no name, and nothing else needs it.
    if subject.unit_id is null or caller.is_told or caller.resident_id is not null then
      select r.full_name, r.onboarding = 'suspended' into subject.full_name, is_suspended
      from public.residents r where r.community_id = point.community_id and r.id = subject.resident_id;
      if not found then
        perform app.fail(404, 'resident_not_found', 'There is no resident with this id.');
      elsif subject.unit_id is null then
        subject.reason := coalesce(subject.reason, case when is_suspended then 'holder_suspended' else 'holder_left' end);
      end if;
    end if;
  end if;
  return subject;
end;
$$;

comment on function app.access_subject(public.access_points, app.access_caller, public.access_method, text, public.access_direction, uuid, uuid, uuid, uuid, timestamptz) is
  'Whom an attempt is about. Only wrong codes are written down, by app.check_entry_code. Not executable by API roles. Errors: visit_not_found, invitation_not_found, resident_not_found.';
