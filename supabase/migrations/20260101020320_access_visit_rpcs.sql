-- Access control: the RPCs of visits.
--
-- Purpose     A guard announces who comes unexpected, the unit answers, the guard sees the answer; visitors are checked in and out by hand.
-- Tables      none
-- RPCs        announce_visitor, answer_visit, visit_answer, check_in_visit, check_out_visit
-- Invariants  A walk-in is answered once, in time, by somebody who receives visitors in that unit; who is not answered in time is denied.
--             What is decided late is decided where it is remembered: visit_answer and the job visits settle it, a late answer is only refused.

select app.define_setting('general.visit_answer_seconds', 'integer', '120', '{site,organization,community}',
  'Within how many seconds a unit answers for a visitor who comes unexpected; then the visitor is denied.', minimum => 15, maximum => 3600);
select app.define_setting('general.visit_entry_minutes', 'integer', '120', '{site,organization,community}',
  'For how many minutes a visitor may come in whom the unit has let in.', minimum => 1, maximum => 1440);
select app.define_setting('general.visits_answered_by_phone', 'boolean', 'false', '{site,organization,community}',
  'Whether a guard may enter the answer that a unit gave by telephone or intercom, with a note of who gave it.');

create function app.require_point(home uuid, point uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if point is not null and not exists (select from public.access_points a where a.community_id = home and a.id = point and a.deleted_at is null) then
    perform app.fail(404, 'access_point_not_found', 'There is no live access point with this id in this community.');
  end if;
end;
$$;

comment on function app.require_point(uuid, uuid) is 'Refuses an access point of elsewhere (404 access_point_not_found); null is none. Not executable by API roles.';

-- Walk-ins -------------------------------------------------------------------------------------------------------------

create function app.announce_visitor(given public.visits, point uuid, answer_seconds integer)
returns table (visit_id uuid, answer_due_at timestamptz, asked_residents integer)
language plpgsql
volatile
security definer -- API roles may not write visits
set search_path = ''
as $$
declare
  home constant uuid := (select u.community_id from public.units u where u.id = given.unit_id and u.deleted_at is null);
  refused text;
begin
  perform app.require('visits.manage', home);
  if home is null then
    perform app.fail(404, 'unit_not_found', 'There is no live unit with this id.');
  elsif given.visitor_name is null then
    perform app.fail(422, 'invalid_value', 'Who comes unexpected has a name.');
  elsif answer_seconds not between 15 and 3600 then
    perform app.fail(422, 'invalid_value', 'answer_seconds is between 15 and 3600.');
  end if;
  perform app.require_point(home, point);
  answer_due_at := now() + make_interval(secs => coalesce(answer_seconds, app.setting('general.visit_answer_seconds', home)::integer));
  insert into public.visits (
    visitor_name, community_id, unit_id, purpose, visitor_phone, document_number, plate, provider_name, party_size, status, asked_at, answer_due_at, entry_point_id)
  values (
    given.visitor_name, home, given.unit_id, given.purpose, given.visitor_phone, given.document_number, given.plate, given.provider_name, given.party_size,
    'pending', now(), announce_visitor.answer_due_at, point)
  returning visits.id into visit_id;
  -- Who can answer in an app. Nobody: the guard rings.
  asked_residents := (
    select count(*) from app.visit_hosts_on(given.unit_id, (now() at time zone (select c.time_zone from public.communities c where c.id = home))::date) h
    join public.residents r on r.id = h and r.user_id is not null);
  return next;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('visits', refused);
end;
$$;

comment on function app.announce_visitor(public.visits, uuid, integer) is 'What public.announce_visitor does, with what is given as a row. Definer: no API role writes visits.';

create function public.announce_visitor(
  unit_id uuid, visitor_name text, purpose public.visit_purpose default 'guest', party_size integer default 1, visitor_phone text default null,
  document_number text default null, plate text default null, provider_name text default null, access_point_id uuid default null, answer_seconds integer default null
)
returns table (visit_id uuid, answer_due_at timestamptz, asked_residents integer)
language plpgsql
volatile
set search_path = ''
as $$
declare
  given public.visits;
begin
  if party_size not between 1 and 100 then
    perform app.fail(422, 'invalid_value', 'party_size is between 1 and 100.');
  end if;
  given.unit_id := announce_visitor.unit_id;
  given.visitor_name := nullif(btrim(announce_visitor.visitor_name), '');
  given.purpose := coalesce(announce_visitor.purpose, 'guest');
  given.party_size := coalesce(announce_visitor.party_size, 1);
  given.visitor_phone := nullif(btrim(announce_visitor.visitor_phone), '');
  given.document_number := nullif(btrim(announce_visitor.document_number), '');
  given.plate := nullif(btrim(announce_visitor.plate), '');
  given.provider_name := nullif(btrim(announce_visitor.provider_name), '');
  return query select a.visit_id, a.answer_due_at, a.asked_residents from app.announce_visitor(given, access_point_id, announce_visitor.answer_seconds) a;
end;
$$;

comment on function public.announce_visitor(uuid, text, public.visit_purpose, integer, text, text, text, text, uuid, integer) is
  'Asks a unit whether somebody who stands at the gate may come in (event visit.asked); takes visits.manage. Returns the visit, until when it can be answered, and how many residents of the unit have an account to answer with. '
  'Errors: permission_denied, unit_not_found, access_point_not_found, invalid_value.';

create function app.settle_visit(visit uuid)
returns public.visits
language plpgsql
volatile
set search_path = ''
as $$
declare
  present public.visits;
begin
  select v.* into present from public.visits v where v.id = visit and v.deleted_at is null for no key update;
  -- The clock, not the beginning of the transaction: whoever waited for the lock is as late as they are.
  if present.status = 'pending' and present.answer_due_at <= clock_timestamp() then
    update public.visits v set status = 'denied', status_reason = 'no_answer' where v.id = visit returning v.* into present;
  elsif present.status = 'approved' and present.expires_at <= clock_timestamp() then
    update public.visits v set status = 'expired' where v.id = visit returning v.* into present;
  end if;
  return present;
end;
$$;

comment on function app.settle_visit(uuid) is 'Locks a visit, and denies it if nobody answered in time, or expires it if nobody came. Not executable by API roles.';

create function app.answer_visit(visit uuid, approve boolean, reason text, is_visible boolean)
returns public.visit_status
language plpgsql
volatile
security definer -- API roles may not write visits
set search_path = ''
as $$
declare
  present public.visits;
  wanted constant public.visit_status := case when approve then 'approved' else 'denied' end;
  said constant text := nullif(btrim(reason), '');
  home uuid;
  host uuid;
  is_relayed boolean;
  refused text;
begin
  if is_visible then
    select v.* into present from public.visits v where v.id = visit and v.deleted_at is null for no key update;
  end if;
  home := present.community_id;
  is_relayed := present.unit_id is null or present.unit_id not in (select h.unit_id from app.my_hosting('visits.invite_own') h);
  if home is null then
    perform app.fail(404, 'visit_not_found', 'There is no visit with this id.');
  elsif is_relayed and not (app.is_trusted() or (app.can('visits.manage', home) and app.setting('general.visits_answered_by_phone', home) = 'true')) then
    perform app.fail(403, 'permission_denied', 'Who receives visitors in the unit answers.');
  elsif approve is null then
    perform app.fail(422, 'invalid_value', 'approve is true or false.');
  elsif is_relayed and said is null then
    perform app.fail(422, 'reason_required', 'Who gave the answer, and how, is noted in the reason.');
  elsif present.status = wanted and present.answered_at is not null then
    return present.status;
  elsif present.status_reason = 'no_answer' or (present.status = 'pending' and present.answer_due_at <= clock_timestamp()) then
    perform app.fail(409, 'visit_answer_late', 'Nobody answered in time, and the visitor was denied.', 'The guard may ask again.');
  elsif present.status <> 'pending' then
    perform app.fail(409, 'visit_answered', format('The visit is %s already.', present.status));
  end if;
  if not is_relayed then
    host := (
      select m from app.my_residents() m
      where m in (select app.visit_hosts_on(present.unit_id, (now() at time zone (select c.time_zone from public.communities c where c.id = home))::date)));
  end if;
  update public.visits v
  set status = wanted, status_reason = coalesce(said, case when wanted = 'denied' then 'denied_by_unit' end), answered_at = clock_timestamp(), answered_by = app.actor_id(),
    host_resident_id = host, expires_at = case when wanted = 'approved' then now() + make_interval(mins => app.setting('general.visit_entry_minutes', home)::integer) end
  where v.id = visit;
  return wanted;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('visits', refused);
end;
$$;

comment on function app.answer_visit(uuid, boolean, text, boolean) is 'What public.answer_visit does. Locks the visit: of two answers at once the second meets the first. Definer: no API role writes visits.';

create function public.answer_visit(visit_id uuid, approve boolean, reason text default null)
returns public.visit_status
language sql
volatile
set search_path = ''
as $$ select app.answer_visit(visit_id, approve, reason, app.sees_row('visits', visit_id)) $$;

comment on function public.answer_visit(uuid, boolean, text) is
  'Lets in, or refuses, somebody who waits at the gate for the caller''s unit; takes visits.invite_own there, by who receives visitors. Where general.visits_answered_by_phone says so, a guard enters what was answered by telephone, with a reason. '
  'The same answer again changes nothing. Returns approved or denied. Errors: visit_not_found, permission_denied, visit_answer_late, visit_answered, reason_required, invalid_value.';

create function app.visit_answer(visit uuid, is_visible boolean)
returns table (status public.visit_status, reason text, answered_at timestamptz, answer_due_at timestamptz, expires_at timestamptz)
language plpgsql
volatile
security definer -- settles what nobody answered; API roles may not write visits
set search_path = ''
as $$
declare
  present public.visits;
begin
  if is_visible then
    present := app.settle_visit(visit);
  end if;
  if present.id is null then
    perform app.fail(404, 'visit_not_found', 'There is no visit with this id.');
  end if;
  return query select present.status, present.status_reason, present.answered_at, present.answer_due_at, present.expires_at;
end;
$$;

comment on function app.visit_answer(uuid, boolean) is 'What public.visit_answer does. Locks the visit. Definer: settles what nobody answered.';

create function public.visit_answer(visit_id uuid)
returns table (status public.visit_status, reason text, answered_at timestamptz, answer_due_at timestamptz, expires_at timestamptz)
language sql
volatile
set search_path = ''
as $$ select * from app.visit_answer(visit_id, app.sees_row('visits', visit_id)) $$;

comment on function public.visit_answer(uuid) is
  'How it stands with a visitor who was announced, for whoever sees the visit: pending until answer_due_at, then denied (no_answer), on the spot. What a guard''s screen asks while the event visit.answered has not come. Errors: visit_not_found.';

-- By hand --------------------------------------------------------------------------------------------------------------

create function app.check_in_visit(visit uuid, invitation uuid, guest uuid, point uuid)
returns uuid
language plpgsql
volatile
security definer -- API roles may not write visits
set search_path = ''
as $$
declare
  home uuid;
  problem text;
  entered uuid;
begin
  if num_nonnulls(visit, invitation) <> 1 or (guest is not null and invitation is null) then
    perform app.fail(422, 'invalid_value', 'Name a visit, or an invitation and perhaps a guest of its list.');
  elsif visit is not null then
    select v.community_id, v.invitation_id into home, invitation from public.visits v where v.id = visit and v.deleted_at is null;
  else
    select i.community_id into home from public.visitor_invitations i where i.id = invitation and i.deleted_at is null;
  end if;
  perform app.require('visits.manage', home);
  if home is null then
    perform app.fail(404, 'visit_not_found', 'There is no such visit, or invitation.');
  end if;
  perform app.require_point(home, point);
  if invitation is not null then
    problem := app.invitation_problem(invitation, point, now());
  end if;
  if problem is null then
    select e.reason, e.visit_id into problem, entered from app.enter_visit(home, case when visit is null then invitation end, guest, visit, point, now()) e;
  end if;
  if problem is not null then
    perform app.fail(409, 'visit_refused', format('The visitor does not come in: %s.', problem));
  end if;
  return entered;
end;
$$;

comment on function app.check_in_visit(uuid, uuid, uuid, uuid) is 'What public.check_in_visit does. Definer: no API role writes visits.';

create function public.check_in_visit(visit_id uuid default null, invitation_id uuid default null, guest_id uuid default null, access_point_id uuid default null)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.check_in_visit(visit_id, invitation_id, guest_id, access_point_id) $$;

comment on function public.check_in_visit(uuid, uuid, uuid, uuid) is
  'Notes by hand that somebody came in: an approved visit, or by an invitation (and a guest of its list) that counts now. Takes visits.manage. Returns the visit. '
  'At a gate decide_access does this and more: it looks at holds and the blacklist, and leaves a line in the log. Errors: permission_denied, visit_not_found, access_point_not_found, visit_refused (the detail names the reason), invalid_value.';

create function app.check_out_visit(visit uuid, point uuid)
returns void
language plpgsql
volatile
security definer -- API roles may not write visits
set search_path = ''
as $$
declare
  present public.visits;
begin
  perform app.require('visits.manage', (select v.community_id from public.visits v where v.id = visit and v.deleted_at is null));
  select v.* into present from public.visits v where v.id = visit and v.deleted_at is null for no key update;
  if present.id is null then
    perform app.fail(404, 'visit_not_found', 'There is no visit with this id.');
  elsif present.status = 'checked_out' then
    return;
  elsif present.status <> 'checked_in' then
    perform app.fail(409, 'visit_not_inside', format('The visit is %s.', present.status));
  end if;
  perform app.require_point(present.community_id, point);
  perform app.leave_visit(present.community_id, present.invitation_id, present.guest_id, present.id, point, now());
end;
$$;

comment on function app.check_out_visit(uuid, uuid) is 'What public.check_out_visit does. Locks the visit. Definer: no API role writes visits.';

create function public.check_out_visit(visit_id uuid, access_point_id uuid default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.check_out_visit(visit_id, access_point_id) $$;

comment on function public.check_out_visit(uuid, uuid) is
  'Notes by hand that somebody left; has left already: nothing happens. Takes visits.manage. Errors: permission_denied, visit_not_found, visit_not_inside, access_point_not_found.';

grant execute on function
  app.announce_visitor(public.visits, uuid, integer), public.announce_visitor(uuid, text, public.visit_purpose, integer, text, text, text, text, uuid, integer),
  app.answer_visit(uuid, boolean, text, boolean), public.answer_visit(uuid, boolean, text),
  app.visit_answer(uuid, boolean), public.visit_answer(uuid),
  app.check_in_visit(uuid, uuid, uuid, uuid), public.check_in_visit(uuid, uuid, uuid, uuid),
  app.check_out_visit(uuid, uuid), public.check_out_visit(uuid, uuid)
to authenticated, service_role;

-- What time does to them -----------------------------------------------------------------------------------------------

create function app.job_visits()
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform app.settle_visit(v.id)
  from (
    select w.id from public.visits w where w.status = 'pending' and w.answer_due_at <= now() and w.deleted_at is null
    union all
    select w.id from public.visits w where w.status = 'approved' and w.expires_at <= now() and w.deleted_at is null
    order by 1
  ) v;
end;
$$;

comment on function app.job_visits() is 'Job visits: denies whom nobody answered for in time, expires who did not come. Takes visits in the order of their ids.';

create function app.job_hosts_left()
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  -- Whoever is suspended, or has let the unit, may receive visitors again; who has moved out does not come back to it.
  update public.visitor_invitations i
  set status = 'cancelled', status_reason = 'host_left'
  from (
    select w.id
    from public.visitor_invitations w
    join public.communities c on c.id = w.community_id
    where w.status = 'active' and w.host_resident_id is not null and w.ends_at > now() and w.deleted_at is null
      and not exists (
        select from public.occupancies o
        where o.community_id = w.community_id and o.unit_id = w.unit_id and o.resident_id = w.host_resident_id and o.deleted_at is null
          and (o.ends_on is null or o.ends_on >= (now() at time zone c.time_zone)::date))
    order by w.id
    for no key update of w
  ) gone
  where i.id = gone.id;
end;
$$;

comment on function app.job_hosts_left() is
  'Job hosts-left: cancels the invitations of who has moved out, so that their codes and lists are gone too. The gates refuse them from the first moment (host_left), whether the job has run or not.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('visits', '* * * * *', 'app.job_visits()', 'Denies visitors whom nobody answered for in time, expires who did not come.'),
  ('hosts-left', '41 * * * *', 'app.job_hosts_left()', 'Cancels the invitations of visitors by who has moved out.');
