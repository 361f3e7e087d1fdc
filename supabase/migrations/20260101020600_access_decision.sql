-- Access control: the decision.
--
-- Purpose     One question at the gate, one answer: granted or denied, why, and a line in the log, in one transaction.
-- Types       app.access_caller, app.access_subject, app.access_answer
-- RPCs        decide_access
-- Invariants  What is denied burns nothing, and leaves its line all the same. What is raised is no attempt: a question without a gate, or a
--             caller who has no business at it. Every attempt has one line, however often it is asked (nonce): the answer is
--             kept, and another question under the same nonce is denied and not answered with it. Whatever is used up is
--             used up last, by one statement each: of eight gates asked at once for the last use, one opens.
--             Who comes in is looked at: window, home, schedule, holds, blacklist, anti-passback. Who goes out is let out with
--             anything genuine, however old: a gate locks nobody in.
--             Locks, in this order: the caller's nonce, the counter of wrong codes, the person or thing (presence), pass, invitation, visit.

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
    join public.occupancies o on o.community_id = r.community_id and o.resident_id = r.id
    where r.community_id = community and r.id = resident and r.deleted_at is null and r.onboarding <> 'suspended'
      and o.deleted_at is null and (not living_in or o.is_living_in)
      and o.starts_on <= (moment at time zone c.time_zone)::date and (o.ends_on is null or o.ends_on >= (moment at time zone c.time_zone)::date)
    order by o.is_living_in desc, o.starts_on, o.unit_id
    limit 1);
end;
$$;

comment on function app.resident_home(uuid, uuid, timestamptz, boolean) is
  'The unit that a resident occupies at a moment, one where they live before others; living_in: only such a one. Null for who has none, left, or is suspended. Asks no permission; not executable by API roles.';

create function app.access_caller(point public.access_points, method public.access_method, moment timestamptz)
returns app.access_caller
language plpgsql
volatile
set search_path = ''
as $$
declare
  device constant public.access_devices := app.calling_device();
  caller app.access_caller;
begin
  if device.id is not null then
    -- A device decides at its own point, a tablet at every point of its booth.
    if point.id is null or device.community_id <> point.community_id or (device.access_point_id <> point.id and not (
      device.kind = 'tablet' and exists (
        select from public.access_points p where p.id = device.access_point_id and p.booth_id = point.booth_id)))
    then
      perform app.fail(404, 'access_point_not_found', 'This is not an access point of this device.');
    elsif method in ('app', 'guard') then
      perform app.fail(400, 'malformed_request', format('A device does not ask by the method %s.', method));
    end if;
    perform app.act_as_device(device.id);
    caller.scope_id := device.id;
    caller.device_id := device.id;
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
  caller.shift_id := app.shift_at(point.community_id, point.id, caller.user_id, moment);
  return caller;
end;
$$;

comment on function app.access_caller(public.access_points, public.access_method, timestamptz) is
  'Who asks for a decision at a point (all null: there is none with the id that was given), or why they may not: 401 device_unknown, 403 permission_denied, 404 access_point_not_found, 400 malformed_request. Not executable by API roles.';

-- Who is it about ----------------------------------------------------------------------------------------------------

create type app.access_subject as (
  reason text, pass_id uuid, step integer, invitation_id uuid, guest_id uuid, visit_id uuid, resident_id uuid, vehicle_id uuid, card_id uuid, unit_id uuid,
  full_name text, phone text, document_number text, plate text, is_open boolean
);

comment on type app.access_subject is
  'Whom an attempt is about, as far as what was shown tells, and in reason why it shows nothing that counts (null: it does). is_open: opened by hand, for nobody in particular.';

create function app.subject_by_pass(point public.access_points, credential text, moment timestamptz)
returns app.access_subject
language plpgsql
stable
set search_path = ''
as $$
declare
  subject app.access_subject;
begin
  select r.reason, p.id, r.step, p.invitation_id, p.guest_id, p.resident_id
  into subject.reason, subject.pass_id, subject.step, subject.invitation_id, subject.guest_id, subject.resident_id
  from app.read_pass(point.community_id, credential, moment) r
  -- What a text says of itself is not believed, nor logged, before its signature holds.
  left join public.passes p on p.community_id = point.community_id and p.id = r.pass_id and p.kid = r.kid
    and (r.reason is null or r.reason in ('revoked', 'not_yet_valid', 'expired', 'stale'));
  return subject;
end;
$$;

comment on function app.subject_by_pass(public.access_points, text, timestamptz) is
  'Whom a pass stands for. Reasons: those of app.read_pass. Writes nothing; not executable by API roles.';

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
  card := app.card_by_number(point.community_id, credential);
  if card.id is not null then
    subject.card_id := card.id;
    subject.resident_id := card.resident_id;
    subject.reason := app.card_problem(card, moment);
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
  is_suspended boolean;
begin
  case method
    when 'qr' then subject := app.subject_by_pass(point, credential, moment);
    when 'card' then subject := app.subject_by_card(point, credential, moment);
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
      and (caller.is_attended or caller.device_id is not null or v.unit_id = caller.unit_id);
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
    select r.full_name, r.onboarding = 'suspended' into subject.full_name, is_suspended
    from public.residents r where r.community_id = point.community_id and r.id = subject.resident_id;
    if not found then
      perform app.fail(404, 'resident_not_found', 'There is no resident with this id.');
    end if;
    subject.unit_id := coalesce(subject.unit_id, app.resident_home(point.community_id, subject.resident_id, moment, false));
    if subject.unit_id is null then
      subject.reason := coalesce(subject.reason, case when is_suspended then 'holder_suspended' else 'holder_left' end);
    end if;
  end if;
  return subject;
end;
$$;

comment on function app.access_subject(public.access_points, app.access_caller, public.access_method, text, public.access_direction, uuid, uuid, uuid, uuid, timestamptz) is
  'Whom an attempt is about. Only wrong codes are written down, by app.check_entry_code. Not executable by API roles. Errors: visit_not_found, invitation_not_found, resident_not_found.';

-- Deciding -----------------------------------------------------------------------------------------------------------

create type app.access_answer as (
  outcome public.access_outcome, reason text, log_id uuid, logged_at timestamptz, log_direction public.access_direction, detail text,
  subject_kind text, subject_name text, subject_unit text, subject_unit_id uuid, subject_visit_id uuid, subject_invitation_id uuid, subject_pass_id uuid,
  subject_resident_id uuid, subject_vehicle_id uuid, subject_card_id uuid, blacklist_entry_id uuid, blacklist_match text, is_repeated boolean
);

comment on type app.access_answer is 'What decide_access answers; its comment says what the fields are.';

create function app.entry_problem(point public.access_points, caller app.access_caller, subject app.access_subject, method public.access_method, moment timestamptz)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  problem text;
  subject_id constant uuid := coalesce(subject.vehicle_id, subject.resident_id, subject.card_id);
begin
  if point.open_hours is not null and not (method = 'guard' and caller.is_attended) and not app.is_open_at(point, moment) then
    return 'closed';
  elsif method in ('app', 'intercom') and caller.resident_id is not null and not caller.is_attended and not point.is_open_to_residents then
    return 'not_open_to_residents';
  elsif subject.reason is not null then
    return subject.reason;
  elsif subject.invitation_id is not null then
    problem := app.invitation_problem(subject.invitation_id, point.id, moment);
  end if;
  if problem is null and subject_id is not null and app.holds_against(point.community_id, subject.resident_id, subject.vehicle_id, subject.card_id, moment) is not null then
    return 'on_hold';
  end if;
  return problem;
end;
$$;

comment on function app.entry_problem(public.access_points, app.access_caller, app.access_subject, public.access_method, timestamptz) is
  'Why whom an attempt is about does not come in, the blacklist, anti-passback and what is used up apart. Writes nothing; not executable by API roles.';

create function app.check_access_question(
  point uuid, method public.access_method, credential text, direction public.access_direction, nonce text, scanned_at timestamptz,
  visit uuid, invitation uuid, guest uuid, resident uuid, note text
)
returns void
language plpgsql
immutable
set search_path = ''
as $$
declare
  problem constant text := case
    when point is null or method is null then 'A question names an access point and a method.'
    when direction = 'both' then 'Somebody comes in or goes out: direction is in, out, or left out.'
    when nonce !~ '^[!-~]{1,64}$' then 'nonce has 1 to 64 letters, digits and signs of ASCII.'
    when method in ('qr', 'card', 'code', 'plate') and credential is null then format('The method %s takes a credential.', method)
    when method not in ('qr', 'card', 'code', 'plate') and credential is not null then format('The method %s takes no credential.', method)
    when octet_length(credential) > 65536 then 'credential has at most 65536 bytes.'
    when method not in ('guard', 'intercom') and num_nonnulls(visit, invitation, guest, resident) > 0 then format('The method %s takes none of visit_id, invitation_id, guest_id and resident_id.', method)
    when num_nonnulls(visit, invitation, resident) > 1 then 'An attempt is about one visit, one invitation, or one resident.'
    when guest is not null and invitation is null then 'A guest (guest_id) is named with the invitation (invitation_id).'
    when method = 'intercom' and num_nonnulls(invitation, resident) > 0 then 'The intercom opens for a visit (visit_id).'
    when method = 'guard' and num_nonnulls(visit, invitation, resident, nullif(btrim(note), '')) = 0 then
      'A guard opens for a visit (visit_id), for who is on the list (invitation_id), for a resident (resident_id), or says why (note).'
    when scanned_at not between timestamptz '2000-01-01 00:00:00+00' and timestamptz '2100-01-01 00:00:00+00' then 'scanned_at is a moment of this century.'
    when length(note) > 500 then 'note has at most 500 characters.' end;
begin
  if problem is not null then
    perform app.fail(400, 'malformed_request', problem);
  end if;
end;
$$;

comment on function app.check_access_question(uuid, public.access_method, text, public.access_direction, text, timestamptz, uuid, uuid, uuid, uuid, text) is
  'Refuses what is no question (400 malformed_request). A credential that means nothing is one, and is denied. Not executable by API roles.';

create function app.take_entry(point public.access_points, subject app.access_subject, moment timestamptz, out problem text, out visit uuid)
language plpgsql
volatile
set search_path = ''
as $$
declare
  is_visitor constant boolean := num_nonnulls(subject.invitation_id, subject.visit_id) > 0;
begin
  if is_visitor and subject.pass_id is not null then
    -- Before the pass, as issue_pass does, which replaces passes under its lock.
    perform from public.visitor_invitations i where i.community_id = point.community_id and i.id = subject.invitation_id for no key update;
    begin
      problem := app.burn_pass(subject.pass_id, subject.step, moment);
      if problem is null then
        select e.reason, e.visit_id into problem, visit
        from app.enter_visit(point.community_id, subject.invitation_id, subject.guest_id, subject.visit_id, point.id, moment) e;
        if problem is not null then
          -- Undoes the use of the pass, and nothing else.
          raise exception using errcode = 'VA001';
        end if;
      end if;
    exception when sqlstate 'VA001' then
      visit := null;
    end;
  elsif is_visitor then
    select e.reason, e.visit_id into problem, visit
    from app.enter_visit(point.community_id, subject.invitation_id, subject.guest_id, subject.visit_id, point.id, moment) e;
  elsif subject.pass_id is not null then
    problem := app.burn_pass(subject.pass_id, subject.step, moment);
  end if;
end;
$$;

comment on function app.take_entry(public.access_points, app.access_subject, timestamptz) is
  'Uses up what an entry uses up: the pass, then a place of the invitation, or neither. problem: why there was none left. visit: the visit that began. Not executable by API roles.';

create function app.is_visitor_inside(community uuid, invitation uuid, guest uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (
    select from public.visits v
    join public.visitor_invitations i on i.community_id = v.community_id and i.id = v.invitation_id
    where v.community_id = community and v.invitation_id = invitation and v.guest_id is not distinct from guest and v.status = 'checked_in' and v.deleted_at is null
      -- An event's guests without names share one invitation.
      and (i.kind <> 'event' or guest is not null));
end;
$$;

comment on function app.is_visitor_inside(uuid, uuid, uuid) is 'Whether whoever comes by an invitation (and guest) came in and has not left. Not executable by API roles.';

create function app.tell_answer(answer app.access_answer, point public.access_points, caller app.access_caller, subject app.access_subject)
returns app.access_answer
language plpgsql
stable
set search_path = ''
as $$
begin
  answer.is_repeated := false;
  answer.detail := case answer.reason
    when 'out_of_service' then point.status_reason
    when 'on_hold' then app.holds_against(point.community_id, subject.resident_id, subject.vehicle_id, subject.card_id, answer.logged_at) end;
  answer.subject_kind := case
    when num_nonnulls(subject.visit_id, subject.invitation_id) > 0 then 'visitor'
    when subject.vehicle_id is not null then 'vehicle'
    when subject.resident_id is not null then 'resident'
    when subject.card_id is not null then 'guard' end;
  -- A reader on the wall, and whoever finds a card, learns whether it opens.
  if caller.is_told or subject.resident_id = caller.resident_id then
    answer.subject_name := subject.full_name;
    answer.subject_unit_id := subject.unit_id;
    answer.subject_visit_id := subject.visit_id;
    answer.subject_invitation_id := subject.invitation_id;
    answer.subject_pass_id := subject.pass_id;
    answer.subject_resident_id := subject.resident_id;
    answer.subject_vehicle_id := subject.vehicle_id;
    answer.subject_card_id := subject.card_id;
    if subject.unit_id is not null then
      select concat_ws(' / ', b.name, u.number) into answer.subject_unit
      from public.units u
      left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
      where u.community_id = point.community_id and u.id = subject.unit_id;
    end if;
  else
    answer.detail := case when answer.reason = 'out_of_service' then answer.detail end;
    answer.blacklist_entry_id := null;
    answer.blacklist_match := null;
  end if;
  return answer;
end;
$$;

comment on function app.tell_answer(app.access_answer, public.access_points, app.access_caller, app.access_subject) is
  'The answer with what the caller is told of whom it was about. Not executable by API roles.';

create function app.decide_access(
  access_point uuid, method public.access_method, credential text, direction public.access_direction, nonce text, scanned_at timestamptz,
  visit uuid, invitation uuid, guest uuid, resident uuid, photo_file uuid, acknowledged_entry uuid, note text
)
returns app.access_answer
language plpgsql
volatile
security definer -- reads what a device may not, writes the log, uses up passes
set search_path = ''
as $$
declare
  moment constant timestamptz := clock_timestamp();
  -- When it was scanned is no part of the question: a device that asks again may say so anew.
  question constant bytea := case when nonce is not null then sha256(convert_to(
    row(access_point, method, credential, direction, visit, invitation, guest, resident, acknowledged_entry, photo_file, note)::text, 'UTF8')) end;
  point public.access_points;
  caller app.access_caller;
  subject app.access_subject;
  answer app.access_answer;
  kept private.access_answers;
  subject_id uuid;
  passed_by uuid;
  problem text;
  is_listed boolean;
begin
  perform app.check_access_question(access_point, method, credential, direction, nonce, scanned_at, visit, invitation, guest, resident, note);
  select p.* into point
  from public.access_points p
  join public.communities c on c.id = p.community_id
  where p.id = access_point and p.deleted_at is null and c.deleted_at is null;
  caller := app.access_caller(point, method, moment);
  if method = 'intercom' and visit is null and caller.resident_id is null then
    perform app.fail(400, 'malformed_request', 'A guard or a device opens by the intercom for a visit (visit_id).');
  elsif photo_file is not null and not exists (
    select from public.files f
    where f.id = photo_file and f.community_id = point.community_id and f.purpose = 'access.photo' and f.status in ('registered', 'stored') and f.deleted_at is null
      and (f.owner_id = caller.user_id or (caller.user_id is null and caller.device_id is null)))
  then
    perform app.fail(404, 'file_not_found', 'There is no file of the purpose access.photo with this id that you registered.');
  end if;

  -- Asked before? Whoever asks at the same time waits here.
  if nonce is not null then
    perform pg_advisory_xact_lock(hashtextextended(format('access %s %s', caller.scope_id, nonce), 0));
    select a.* into kept from private.access_answers a
    where a.community_id = point.community_id and a.scope_id = caller.scope_id and a.nonce = decide_access.nonce;
    if kept.question = question then
      answer := jsonb_populate_record(answer, kept.answer);
      answer.is_repeated := true;
      return answer;
    elsif kept.question is not null then
      problem := 'nonce_reused';
    end if;
  end if;

  answer.log_direction := coalesce(direction, caller.direction, nullif(point.direction, 'both'), 'in');
  problem := coalesce(problem, case
    when point.status <> 'in_service' then 'out_of_service'
    when answer.log_direction <> nullif(point.direction, 'both') or answer.log_direction <> caller.direction then 'wrong_direction' end);
  if problem is null then
    subject := app.access_subject(point, caller, method, credential, answer.log_direction, visit, invitation, guest, resident, moment);
    problem := case
      when answer.log_direction = 'in' then app.entry_problem(point, caller, subject, method, moment)
      -- Genuine, and not good for coming in any more: good for going out. What a forged pass says of itself is not genuine.
      when subject.reason in ('not_yet_valid', 'expired', 'revoked', 'holder_left', 'holder_suspended', 'card_blocked', 'card_lost', 'vehicle_suspended', 'vehicle_inactive')
        and (method <> 'qr' or subject.pass_id is not null) then null
      else subject.reason end;
  end if;
  passed_by := coalesce(subject.vehicle_id, subject.resident_id, subject.card_id);
  subject_id := coalesce(passed_by, subject.guest_id, subject.invitation_id);

  if problem is null and answer.log_direction = 'in' then
    -- Visitors by all that is known of them, residents' vehicles by their plates. Residents themselves are held, not listed.
    if num_nonnulls(subject.visit_id, subject.invitation_id, subject.vehicle_id) > 0 then
      select b.entry_id, b.matched, case when b.is_exact then 'blacklisted' when b.entry_id = acknowledged_entry and caller.is_attended then null else 'blacklist_near' end
      into answer.blacklist_entry_id, answer.blacklist_match, problem
      from app.blacklist_match(point.community_id, case when passed_by is null then subject.full_name end, subject.document_number, subject.phone, subject.plate, moment) b
      order by b.is_exact desc, (b.entry_id = acknowledged_entry) is true desc, b.similarity desc, b.entry_id
      limit 1;
    end if;
    if problem is null and point.has_anti_passback and subject_id is not null then
      perform pg_advisory_xact_lock(hashtextextended('presence of ' || subject_id, 0));
      if exists (select from private.presences p where p.community_id = point.community_id and p.subject_id = passed_by)
        or (passed_by is null and subject.visit_id is null and app.is_visitor_inside(point.community_id, subject.invitation_id, subject.guest_id))
      then
        problem := 'anti_passback';
      end if;
    end if;
    if problem is null then
      select t.problem, coalesce(t.visit, subject.visit_id) into problem, subject.visit_id from app.take_entry(point, subject, moment) t;
    end if;
  elsif problem is null then
    if subject.step is not null then
      problem := app.burn_pass(subject.pass_id, subject.step, moment);
    end if;
    if problem is null and num_nonnulls(subject.visit_id, subject.invitation_id) > 0 then
      subject.visit_id := coalesce(app.leave_visit(point.community_id, subject.invitation_id, subject.guest_id, subject.visit_id, point.id, moment), subject.visit_id);
    end if;
  end if;

  if problem is null and passed_by is not null and point.kind <> 'elevator' then
    if answer.log_direction = 'in' then
      insert into private.presences as p (community_id, subject_id, kind, access_point_id, entered_at)
      values (point.community_id, passed_by,
        case passed_by when subject.vehicle_id then 'vehicle' when subject.resident_id then 'resident' else 'card' end::public.presence_kind, point.id, moment)
      on conflict on constraint presences_pkey do update set access_point_id = excluded.access_point_id, entered_at = excluded.entered_at;
    else
      delete from private.presences p where p.community_id = point.community_id and p.subject_id = passed_by;
    end if;
  end if;

  answer.outcome := case when problem is null then 'granted' else 'denied' end;
  answer.reason := coalesce(problem, case
    when subject.is_open and caller.resident_id is not null and not caller.is_attended then 'opened_by_resident'
    when subject.is_open then 'opened_by_guard'
    when answer.log_direction = 'out' then 'left'
    when answer.blacklist_entry_id is not null then 'acknowledged'
    else 'admitted' end);
  answer.log_id := extensions.uuidv7();
  answer.logged_at := moment;
  insert into audit.access_log (
    id, logged_at, scanned_at, community_id, access_point_id, method, direction, outcome, reason, device_id, caller_id, guard_id, shift_id,
    visit_id, invitation_id, guest_id, pass_id, resident_id, vehicle_id, card_id, unit_id, plate, photo_file_id, blacklist_entry_id, nonce, note)
  values (
    answer.log_id, moment, coalesce(decide_access.scanned_at, moment), point.community_id, point.id, method, answer.log_direction, answer.outcome, answer.reason,
    caller.device_id, caller.user_id, caller.guard_id, caller.shift_id,
    subject.visit_id, subject.invitation_id, subject.guest_id, subject.pass_id, subject.resident_id, subject.vehicle_id, subject.card_id, subject.unit_id,
    case method when 'plate' then left(credential, 40) end, photo_file, answer.blacklist_entry_id, decide_access.nonce, nullif(btrim(decide_access.note), ''));

  is_listed := answer.blacklist_match is not null;
  answer := app.tell_answer(answer, point, caller, subject);
  if nonce is not null and problem is distinct from 'nonce_reused' then
    insert into private.access_answers (community_id, scope_id, nonce, question, answer)
    values (point.community_id, caller.scope_id, decide_access.nonce, question, to_jsonb(answer));
  end if;
  if problem is not null then
    perform app.emit('access.denied', point.community_id, jsonb_strip_nulls(jsonb_build_object(
      'log_id', answer.log_id, 'reason', problem, 'access_point_id', point.id, 'booth_id', point.booth_id, 'shift_id', caller.shift_id,
      'unit_id', subject.unit_id, 'visit_id', subject.visit_id, 'invitation_id', subject.invitation_id, 'resident_id', subject.resident_id)));
  end if;
  if is_listed then
    perform app.emit('blacklist.matched', point.community_id, jsonb_strip_nulls(jsonb_build_object(
      'log_id', answer.log_id, 'reason', answer.reason, 'access_point_id', point.id, 'booth_id', point.booth_id, 'shift_id', caller.shift_id)));
  end if;
  return answer;
end;
$$;

comment on function app.decide_access(uuid, public.access_method, text, public.access_direction, text, timestamptz, uuid, uuid, uuid, uuid, uuid, uuid, text) is
  'What public.decide_access does. Definer: reads what a device may not, writes the log, uses up passes.';

create function public.decide_access(
  access_point_id uuid, method public.access_method, credential text default null, direction public.access_direction default null, nonce text default null,
  scanned_at timestamptz default null, visit_id uuid default null, invitation_id uuid default null, guest_id uuid default null, resident_id uuid default null,
  photo_file_id uuid default null, acknowledged_entry_id uuid default null, note text default null
)
returns table (
  outcome public.access_outcome, reason text, log_id uuid, logged_at timestamptz, log_direction public.access_direction, detail text,
  subject_kind text, subject_name text, subject_unit text, subject_unit_id uuid, subject_visit_id uuid, subject_invitation_id uuid, subject_pass_id uuid,
  subject_resident_id uuid, subject_vehicle_id uuid, subject_card_id uuid, blacklist_entry_id uuid, blacklist_match text, is_repeated boolean
)
language plpgsql
volatile
rows 1
set search_path = ''
as $$
begin
  return query
    select d.*
    from app.decide_access(
      access_point_id, method, credential, direction, nonce, scanned_at, visit_id, invitation_id, guest_id, resident_id, photo_file_id, acknowledged_entry_id, note) d;
end;
$$;

comment on function public.decide_access(uuid, public.access_method, text, public.access_direction, text, timestamptz, uuid, uuid, uuid, uuid, uuid, uuid, text) is
$$The decision at a gate: one row, granted or denied with a reason (docs/decisions.md lists them), and one line in the access log.

By a device of the point (header x-device-key), by a user who holds access.decide, and for themselves, with the method app, by residents where they live.
qr, card, code and plate take a credential; guard takes visit_id, invitation_id (and guest_id), resident_id or a note; app takes nothing; intercom takes visit_id, or nothing from a resident.
direction: in or out; the device's or the point's where left out. nonce: the caller's number of the attempt; asked again, the answer is the same (is_repeated),
nothing is used up or logged twice, for a day. photo_file_id: a file of the purpose access.photo that the caller registered.
acknowledged_entry_id: the entry of the blacklist that the guard has looked at, after the answer blacklist_near named it.
The subject (name, unit, ids) and the entry are told to users who decide and to tablets, to residents about themselves.
detail: why the point is out of service, what holds somebody.
Errors, which leave no line: malformed_request (400), device_unknown (401), permission_denied (403), access_point_not_found, visit_not_found, invitation_not_found,
resident_not_found, file_not_found (404).$$;

grant execute on function
  app.decide_access(uuid, public.access_method, text, public.access_direction, text, timestamptz, uuid, uuid, uuid, uuid, uuid, uuid, text),
  public.decide_access(uuid, public.access_method, text, public.access_direction, text, timestamptz, uuid, uuid, uuid, uuid, uuid, uuid, text)
to anon, authenticated, service_role;
