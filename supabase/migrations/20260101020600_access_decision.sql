-- Access control: the decision.
--
-- Purpose     One question at the gate, one answer: granted or denied, why, and a line in the log, in one transaction.
-- RPCs        decide_access
-- Invariants  What is denied burns nothing, and leaves its line all the same. What is raised is no attempt: a question without a gate, or a
--             caller who has no business at it. Every attempt has one line, however often it is asked (nonce): the answer is
--             kept, and another question under the same nonce is denied and not answered with it. Whatever is used up is
--             used up last, by one statement each: of eight gates asked at once for the last use, one opens.
--             Who comes in is looked at: window, home, schedule, holds, blacklist, anti-passback. Who goes out is let out with
--             anything genuine, however old: a gate locks nobody in.
--             What a guard notes by hand (check_in_visit) at a gate has its line too.
--             Locks, in this order: the caller's nonce, the counter of wrong codes, the person or thing (presence), pass, entries of the invitation, guest, visit.

-- Deciding -----------------------------------------------------------------------------------------------------------

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
  elsif subject.reason is not null then
    return subject.reason;
  elsif subject.invitation_id is not null then
    problem := app.invitation_problem(subject.invitation_id, point.id, moment);
  end if;
  if problem is null and subject_id is not null then
    -- app.holds_against, written out.
    perform from public.access_holds h
    where h.community_id = point.community_id and (h.resident_id = subject.resident_id or h.vehicle_id = subject.vehicle_id or h.card_id = subject.card_id)
      and h.lifted_at is null and h.deleted_at is null and h.starts_at <= moment and (h.ends_at is null or h.ends_at > moment);
    if found then
      return 'on_hold';
    end if;
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
    when length(nonce) > 64 or nonce ~ '[^ -~]' or btrim(nonce) = '' then 'nonce has 1 to 64 letters, digits and signs of ASCII.'
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
  entered record;
begin
  if is_visitor and subject.pass_id is not null then
    begin
      problem := app.burn_pass(subject.pass_id, subject.step, moment);
      if problem is null then
        entered := app.enter_visit(point.community_id, subject.invitation_id, subject.guest_id, subject.visit_id, point.id, moment);
        problem := entered.reason;
        visit := entered.visit_id;
        if problem is not null then
          -- Undoes the use of the pass, and nothing else.
          raise exception using errcode = 'VA001';
        end if;
      end if;
    exception when sqlstate 'VA001' then
      visit := null;
    end;
  elsif is_visitor then
    entered := app.enter_visit(point.community_id, subject.invitation_id, subject.guest_id, subject.visit_id, point.id, moment);
    problem := entered.reason;
    visit := entered.visit_id;
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

create function app.tell_answer(answer public.access_answer, point public.access_points, subject app.access_subject)
returns public.access_answer
language plpgsql
stable
set search_path = ''
as $$
begin
  answer.detail := case answer.reason
    when 'out_of_service' then point.status_reason
    when 'on_hold' then app.holds_against(point.community_id, subject.resident_id, subject.vehicle_id, subject.card_id, answer.logged_at) end;
  answer.subject_kind := case
    when num_nonnulls(subject.visit_id, subject.invitation_id) > 0 then 'visitor'
    when subject.vehicle_id is not null then 'vehicle'
    when subject.resident_id is not null then 'resident'
    when subject.card_id is not null then 'guard' end;
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
  return answer;
end;
$$;

comment on function app.tell_answer(public.access_answer, public.access_points, app.access_subject) is
  'The answer with whom it was about, for who may be told: a reader on the wall, and whoever finds a card, learns whether it opens. Not executable by API roles.';

create function app.decide_access(
  access_point uuid, method public.access_method, credential text, direction public.access_direction, nonce text, scanned_at timestamptz,
  visit uuid, invitation uuid, guest uuid, resident uuid, photo_file uuid, acknowledged_entry uuid, note text
)
returns public.access_answer
language plpgsql
volatile
security definer -- reads what a device may not, writes the log, uses up passes
set search_path = ''
-- Everything is looked up by its key. A plan that was made while a table was nearly empty is kept by the session, and would read it whole.
set enable_seqscan = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
  moment constant timestamptz := clock_timestamp();
  -- When it was scanned is no part of the question: a device that asks again may say so anew.
  question constant bytea := case when nonce is not null then sha256(convert_to(
    row(access_point, method, credential, direction, visit, invitation, guest, resident, acknowledged_entry, photo_file, note)::text, 'UTF8')) end;
  header constant text := case when current_setting('request.headers', true) is json object then current_setting('request.headers', true)::json ->> 'x-device-key' end;
  device private.calling_device;
  on_duty uuid;
  point public.access_points;
  caller app.access_caller;
  subject app.access_subject;
  answer public.access_answer;
  kept private.access_answers;
  subject_id uuid;
  shown record;
  is_known boolean;
  is_held boolean; -- a card
  taken record;
  passed_by uuid;
  problem text;
  is_listed boolean;
  is_deciding text; -- said to the triggers of visits
  listed_entry uuid;
  event uuid;
  acts text;
  locked text;
begin
  -- No attempt without its line. What verify-pass and SQL ask needs no look at its text.
  if strpos(current_query(), 'pgrst_source') > 0 then
    perform app.require_whole_answer();
  end if;
  -- What nearly every question looks like needs no closer look.
  if access_point is null or method is null or (credential is null) = (method in ('qr', 'card', 'code', 'plate')) or direction = 'both' or length(nonce) not between 1 and 64
    or nonce ~ '[^ -~]' or btrim(nonce) = '' or octet_length(credential) > 256 or num_nonnulls(scanned_at, visit, invitation, guest, resident, note) > 0 or method in ('guard', 'intercom')
  then
    perform app.check_access_question(access_point, method, credential, direction, nonce, scanned_at, visit, invitation, guest, resident, note);
  end if;
  -- private.calling_device, written out, and with it the shift on duty at its booth (app.shift_at, for no guard): the first thing that every decision asks.
  -- A live device has a live point, and a live point a live community: nothing is archived under which something lives.
  if length(header) = 79 and strpos(substring(header from 4), '_') = 33 and header ~ '^vd_[0-9a-f]+_[A-Za-z0-9_-]+$'
    and (auth.uid() is null or not (current_setting('role') in ('authenticated', 'anon', 'service_role') or pg_has_role(session_user, 'postgres', 'member')))
  then
    select d.id, d.community_id, d.access_point_id, d.kind, d.direction, k.id, k.last_used_at, p, (
        select s.id
        from public.shifts s
        where s.community_id = p.community_id and s.booth_id = p.booth_id and s.deleted_at is null
          and s.starts_at <= moment and s.starts_at > moment - interval '25 hours' and s.ends_at > moment
        order by s.starts_at desc, s.id desc
        limit 1)
    into device.device_id, device.community_id, device.access_point_id, device.kind, device.direction, device.key_id, device.last_used_at, device.point, on_duty
    from private.device_keys k
    join public.access_devices d on d.community_id = k.community_id and d.id = k.device_id
    join public.access_points p on p.community_id = d.community_id and p.id = d.access_point_id
    where k.id = substring(header from 4 for 32)::uuid and k.secret_hash = sha256(convert_to(substring(header from 37), 'UTF8'))
      and (k.revoked_at is null or k.revoked_at > clock_timestamp()) and d.status = 'active' and d.deleted_at is null and p.deleted_at is null;
  end if;
  if device.access_point_id = access_point and device.last_used_at >= now() - interval '1 minute' and method not in ('app', 'guard') then
    -- app.access_caller, for a device at its own point that was seen a moment ago.
    point := device.point;
    caller := row(device.device_id, device.device_id, device.direction, null, null, on_duty, null, null, false, device.kind = 'tablet');
    acts := set_config('app.actor', 'device:' || device.device_id, true);
  else
    select p.* into point
    from public.access_points p
    join public.communities c on c.id = p.community_id
    where p.id = access_point and p.deleted_at is null and c.deleted_at is null;
    caller := app.access_caller(device, point, method, moment);
  end if;
  if method = 'intercom' and visit is null and caller.resident_id is null then
    perform app.fail(400, 'malformed_request', 'A guard or a device opens by the intercom for a visit (visit_id).');
  end if;
  if photo_file is not null then
    perform from public.files f
    where f.id = photo_file and f.community_id = point.community_id and f.purpose = 'access.photo' and f.status in ('registered', 'stored') and f.deleted_at is null
      and (f.owner_id = caller.user_id or (caller.user_id is null and caller.device_id is null)
        or (caller.device_id is not null and exists (select from private.device_photos d where d.file_id = f.id and d.device_id = caller.device_id)));
    if not found then
      perform app.fail(404, 'file_not_found', 'There is no file of the purpose access.photo with this id that you registered.');
    end if;
  end if;

  -- Asked before? Whoever asks at the same time waits here.
  if nonce is not null then
    locked := pg_advisory_xact_lock(hashtextextended(format('access %s %s', caller.scope_id, nonce), 0))::text;
    select a.* into kept from private.access_answers a
    where a.community_id = point.community_id and a.scope_id = caller.scope_id and a.nonce = decide_access.nonce;
    if kept.question = question then
      answer := kept.answer;
      answer.is_repeated := true;
      return answer;
    elsif kept.question is not null then
      problem := 'nonce_reused';
    end if;
  end if;

  answer.log_direction := coalesce(direction, caller.direction, nullif(point.direction, 'both'), 'in');
  problem := coalesce(problem, case
    when point.status <> 'in_service' then 'out_of_service'
    when answer.log_direction <> nullif(point.direction, 'both') or answer.log_direction <> caller.direction then 'wrong_direction'
    -- Out too: from where they ask nobody sees, and whoever is inside has a door that is theirs.
    when method in ('app', 'intercom') and caller.resident_id is not null and not caller.is_attended and not point.is_open_to_residents then 'not_open_to_residents' end);
  if problem is null then
    -- What gates are asked most is written out: a card of somebody who has a home, at a reader, which is told no name; and a visitor's pass.
    if method = 'card' and not caller.is_told then
      select c.id, c.resident_id, home.unit_id, answer.log_direction = 'in' and exists (
          select from public.access_holds h -- app.holds_against
          where h.community_id = c.community_id and (h.resident_id = c.resident_id or h.card_id = c.id)
            and h.lifted_at is null and h.deleted_at is null and h.starts_at <= moment and (h.ends_at is null or h.ends_at > moment))
      into subject.card_id, subject.resident_id, subject.unit_id, is_held
      from public.access_cards c
      join public.communities k on k.id = c.community_id
      join public.residents r on r.community_id = c.community_id and r.id = c.resident_id and r.deleted_at is null and r.onboarding <> 'suspended'
      cross join lateral (
        select o.unit_id
        from public.occupancies o
        where o.community_id = r.community_id and o.resident_id = any (array[r.id]) and o.deleted_at is null
          and o.starts_on <= (moment at time zone k.time_zone)::date and (o.ends_on is null or o.ends_on >= (moment at time zone k.time_zone)::date)
        order by o.is_living_in desc, o.starts_on, o.unit_id
        limit 1) home
      where c.community_id = point.community_id and c.number_key = app.card_key(credential) and c.status = 'active' and c.expires_on is null and c.deleted_at is null;
      is_known := found;
    elsif method = 'qr' and credential not like 'r1%' then
      shown := app.read_pass(point.community_id, credential, moment);
      -- What a text says of itself is not believed, nor logged, before its signature holds.
      subject.reason := shown.reason;
      if shown.invitation_id is not null then
        select shown.pass_id, i.id, shown.guest_id, coalesce(g.full_name, i.visitor_name), coalesce(g.phone, case when g.id is null then i.visitor_phone end),
          case when g.id is null then i.document_number end, coalesce(g.plate, case when g.id is null then i.plate end), i.unit_id
        into subject.pass_id, subject.invitation_id, subject.guest_id, subject.full_name, subject.phone, subject.document_number, subject.plate, subject.unit_id
        from public.visitor_invitations i
        left join public.invitation_guests g on g.community_id = i.community_id and g.invitation_id = i.id and g.id = shown.guest_id
        where i.community_id = point.community_id and i.id = shown.invitation_id;
      end if;
      is_known := true;
    end if;
    if is_known is not true then
      subject := app.access_subject(point, caller, method, credential, answer.log_direction, visit, invitation, guest, resident, moment);
    end if;
    passed_by := coalesce(subject.vehicle_id, subject.resident_id, subject.card_id);
    if answer.log_direction = 'in' then
      if point.open_hours is not null or method in ('app', 'intercom') then
        problem := app.entry_problem(point, caller, subject, method, moment);
      elsif subject.reason is not null then
        problem := subject.reason;
      elsif subject.invitation_id is not null then
        problem := app.invitation_problem(subject.invitation_id, point.id, moment);
      elsif is_held is not null then
        problem := case when is_held then 'on_hold' end;
      elsif passed_by is not null then
        -- app.entry_problem, for a point that is always open.
        perform from public.access_holds h
        where h.community_id = point.community_id and (h.resident_id = subject.resident_id or h.vehicle_id = subject.vehicle_id or h.card_id = subject.card_id)
          and h.lifted_at is null and h.deleted_at is null and h.starts_at <= moment and (h.ends_at is null or h.ends_at > moment);
        problem := case when found then 'on_hold' end;
      end if;
    -- Genuine, and not good for coming in any more: good for going out. What a forged pass says of itself is not genuine.
    elsif subject.reason is not null
      and (subject.reason in ('not_yet_valid', 'expired', 'revoked', 'holder_left', 'holder_suspended', 'card_blocked', 'card_lost', 'vehicle_suspended', 'vehicle_inactive')
        and (method <> 'qr' or subject.pass_id is not null)) is not true
    then
      problem := subject.reason;
    end if;
  end if;
  subject_id := coalesce(passed_by, subject.guest_id, subject.invitation_id);

  if problem is null and answer.log_direction = 'in' then
    -- Visitors by all that is known of them, residents' vehicles by their plates. Residents themselves are held, not listed.
    if num_nonnulls(subject.visit_id, subject.invitation_id, subject.vehicle_id) > 0 and app.has_blacklist(point.community_id, moment) then
      -- A guard is asked about the nearest first: who has looked at one has looked at those that are nearer, and not at the others.
      with matches as materialized (
        select m.*
        from app.blacklist_match(point.community_id, case when passed_by is null then subject.full_name end, subject.document_number, subject.phone, subject.plate, moment) m
      )
      select b.entry_id, b.matched, case when b.is_exact then 'blacklisted' when b.is_looked_at then null else 'blacklist_near' end
      into answer.blacklist_entry_id, answer.blacklist_match, problem
      from (
        select m.*, caller.is_attended and exists (
            select from matches a where a.entry_id = acknowledged_entry and (m.similarity, a.entry_id) >= (a.similarity, m.entry_id)) as is_looked_at
        from matches m
      ) b
      order by b.is_exact desc, b.is_looked_at, (b.entry_id = acknowledged_entry) is true desc, b.similarity desc, b.entry_id
      limit 1;
    end if;
    if problem is null and point.has_anti_passback and subject_id is not null then
      locked := pg_advisory_xact_lock(hashtextextended('presence of ' || subject_id, 0))::text;
      if exists (select from private.presences p where p.community_id = point.community_id and p.subject_id = passed_by)
        or (passed_by is null and subject.visit_id is null and app.is_visitor_inside(point.community_id, subject.invitation_id, subject.guest_id))
      then
        problem := 'anti_passback';
      end if;
    end if;
    if problem is null and num_nonnulls(subject.pass_id, subject.invitation_id, subject.visit_id) > 0 then
      is_deciding := set_config('app.deciding', 'on', true);
      taken := app.take_entry(point, subject, moment);
      problem := taken.problem;
      subject.visit_id := coalesce(taken.visit, subject.visit_id);
      is_deciding := set_config('app.deciding', '', true);
    end if;
  elsif problem is null then
    if subject.step is not null then
      problem := app.burn_pass(subject.pass_id, subject.step, moment);
    end if;
    if problem is null and num_nonnulls(subject.visit_id, subject.invitation_id) > 0 then
      is_deciding := set_config('app.deciding', 'on', true);
      subject.visit_id := coalesce(app.leave_visit(point.community_id, subject.invitation_id, subject.guest_id, subject.visit_id, point.id, moment), subject.visit_id);
      is_deciding := set_config('app.deciding', '', true);
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
  answer.is_repeated := false;
  is_listed := answer.blacklist_match is not null;
  listed_entry := answer.blacklist_entry_id;
  if caller.is_told or subject.resident_id = caller.resident_id then
    answer := app.tell_answer(answer, point, subject);
  elsif listed_entry is not null then
    answer.blacklist_entry_id := null;
    answer.blacklist_match := null;
  end if;
  -- The line and the answer, in one statement.
  with kept_answer as (
    insert into private.access_answers (community_id, scope_id, nonce, question, answer)
    select point.community_id, caller.scope_id, decide_access.nonce, question, answer
    where decide_access.nonce is not null and problem is distinct from 'nonce_reused'
  )
  insert into audit.access_log (
    id, logged_at, scanned_at, community_id, access_point_id, method, direction, outcome, reason, device_id, caller_id, guard_id, shift_id,
    visit_id, invitation_id, guest_id, pass_id, resident_id, vehicle_id, card_id, unit_id, plate, photo_file_id, blacklist_entry_id, nonce, note)
  values (
    answer.log_id, moment, coalesce(decide_access.scanned_at, moment), point.community_id, point.id, method, answer.log_direction, answer.outcome, answer.reason,
    caller.device_id, caller.user_id, caller.guard_id, caller.shift_id,
    subject.visit_id, subject.invitation_id, subject.guest_id, subject.pass_id, subject.resident_id, subject.vehicle_id, subject.card_id, subject.unit_id,
    case method when 'plate' then left(credential, 40) end, photo_file, listed_entry, decide_access.nonce, nullif(btrim(decide_access.note), ''));

  -- Of garbage and of strangers there is nobody to tell: the log has them.
  if problem not in ('malformed_pass', 'unknown_key', 'card_unknown', 'code_unknown', 'plate_unknown', 'plate_unreadable', 'nonce_reused') then
    event := app.emit('access.denied', point.community_id, jsonb_strip_nulls(jsonb_build_object(
      'log_id', answer.log_id, 'reason', problem, 'access_point_id', point.id, 'booth_id', point.booth_id, 'shift_id', caller.shift_id,
      'unit_id', subject.unit_id, 'visit_id', subject.visit_id, 'invitation_id', subject.invitation_id, 'resident_id', subject.resident_id)));
  end if;
  if is_listed then
    event := app.emit('blacklist.matched', point.community_id, jsonb_strip_nulls(jsonb_build_object(
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
returns public.access_answer
language plpgsql
volatile
set search_path = ''
as $$
begin
  return app.decide_access(
    access_point_id, method, credential, direction, nonce, scanned_at, visit_id, invitation_id, guest_id, resident_id, photo_file_id, acknowledged_entry_id, note);
end;
$$;

comment on function public.decide_access(uuid, public.access_method, text, public.access_direction, text, timestamptz, uuid, uuid, uuid, uuid, uuid, uuid, text) is
$$The decision at a gate: one answer, granted or denied with a reason (docs/decisions.md lists them), and one line in the access log.

By a device of the point (header x-device-key), by a user who holds access.decide, and for themselves, with the method app, by residents where they live.
qr, card, code and plate take a credential; guard takes visit_id, invitation_id (and guest_id), resident_id or a note; app takes nothing; intercom takes visit_id, or nothing from a resident.
direction: in or out; the device's or the point's where left out. nonce: the caller's number of the attempt; asked again, the answer is the same (is_repeated),
nothing is used up or logged twice, for a day. photo_file_id: a file of the purpose access.photo that the caller registered.
acknowledged_entry_id: the entry of the blacklist that the guard has looked at, after the answer blacklist_near named it.
The subject (name, unit, ids) and the entry are told to users who decide and to tablets, to residents about themselves.
detail: why the point is out of service, what holds somebody.
Errors, which leave no line: malformed_request, whole_answer_required (400), post_required (405), device_unknown (401), permission_denied (403), access_point_not_found, visit_not_found, invitation_not_found,
resident_not_found, file_not_found (404).$$;

grant execute on function
  app.decide_access(uuid, public.access_method, text, public.access_direction, text, timestamptz, uuid, uuid, uuid, uuid, uuid, uuid, text),
  public.decide_access(uuid, public.access_method, text, public.access_direction, text, timestamptz, uuid, uuid, uuid, uuid, uuid, uuid, text)
to anon, authenticated, service_role;

-- What is noted by hand ------------------------------------------------------------------------------------------------

create function app.tg_visits__log()
returns trigger
language plpgsql
security definer -- nobody else may write the log, nor look at the whole blacklist
set search_path = ''
as $$
declare
  is_entry constant boolean := new.status = 'checked_in';
  point constant uuid := case when is_entry then new.entry_point_id else new.exit_point_id end;
  moment constant timestamptz := clock_timestamp();
  caller constant uuid := app.actor_id();
begin
  if new.status not in ('checked_in', 'checked_out') or (tg_op = 'UPDATE' and old.status = new.status) then
    return null;
  end if;
  if is_entry and exists (
    select from app.blacklist_match(new.community_id, new.visitor_name, new.document_number, new.visitor_phone, new.plate, moment) b where b.is_exact)
  then
    perform app.fail(409, 'visit_refused', 'The visitor does not come in: blacklisted.');
  end if;
  if point is not null then
    insert into audit.access_log (
      logged_at, scanned_at, community_id, access_point_id, method, direction, outcome, reason, caller_id, guard_id, shift_id, visit_id, invitation_id, guest_id, unit_id)
    values (
      moment, moment, new.community_id, point, 'guard', case when is_entry then 'in' else 'out' end::public.access_direction, 'granted', case when is_entry then 'admitted' else 'left' end,
      caller, (select g.id from public.guards g where g.community_id = new.community_id and g.user_id = caller and g.status = 'active' and g.deleted_at is null),
      app.shift_at(new.community_id, point, caller, moment), new.id, new.invitation_id, new.guest_id, new.unit_id);
  end if;
  return null;
end;
$$;

comment on function app.tg_visits__log() is
  'AFTER a visitor came in or left without a decision (check_in_visit, check_out_visit): the line that it has at the gate that was named. Refuses (409 visit_refused) who is on the blacklist. '
  'Definer: nobody else may write the log, nor look at the whole blacklist.';

-- A condition is read and planned by every statement that asks it: what is longer than a word about the decision, the function asks.
create trigger _550_log_new after insert on public.visits for each row
  when (current_setting('app.deciding', true) is distinct from 'on') execute function app.tg_visits__log();
create trigger _550_log after update of status on public.visits for each row
  when (current_setting('app.deciding', true) is distinct from 'on') execute function app.tg_visits__log();
