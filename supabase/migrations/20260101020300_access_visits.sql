-- Access control: visits.
--
-- Purpose     Who is expected, who stands at the gate, who is inside, who has left.
-- Tables      visits
-- Invariants  A visit goes pending → approved → checked in → checked out, or ends as denied or expired; of an approval and a denial
--             at once one counts. Who enters by an invitation takes one of its entries in one statement
--             (private.invitation_uses), in the transaction of the visit: of the last place taken twice one is refused. A guest of a list has one visit.
-- RPCs        announce_visitor, answer_visit and others: topic visit RPCs.

create type public.visit_status as enum ('pending', 'approved', 'checked_in', 'checked_out', 'denied', 'expired');

create table public.visits (
  id uuid not null default extensions.uuidv7(),
  visitor_name text,
  community_id uuid not null,
  unit_id uuid,
  host_resident_id uuid,
  invitation_id uuid,
  guest_id uuid,
  purpose public.visit_purpose not null default 'guest',
  visitor_phone text,
  document_number text,
  plate text,
  provider_name text,
  party_size smallint not null default 1,
  status public.visit_status not null,
  status_reason text,
  expected_at timestamptz not null default now(),
  expires_at timestamptz,
  asked_at timestamptz,
  answer_due_at timestamptz,
  answered_at timestamptz,
  answered_by uuid,
  checked_in_at timestamptz,
  checked_out_at timestamptz,
  entry_point_id uuid,
  exit_point_id uuid,
  anonymized_at timestamptz,
  like app.row_model including defaults including comments,
  constraint visits_pkey primary key (id),
  constraint visits_community_id_key unique (community_id, id),
  constraint visits_community_fkey foreign key (community_id) references public.communities (id) on delete restrict,
  constraint visits_unit_fkey foreign key (community_id, unit_id) references public.units (community_id, id) on delete restrict,
  constraint visits_host_fkey foreign key (community_id, host_resident_id) references public.residents (community_id, id) on delete restrict,
  constraint visits_invitation_fkey foreign key (community_id, invitation_id) references public.visitor_invitations (community_id, id) on delete restrict,
  constraint visits_guest_fkey foreign key (community_id, invitation_id, guest_id) references public.invitation_guests (community_id, invitation_id, id) on delete restrict,
  constraint visits_entry_point_fkey foreign key (community_id, entry_point_id) references public.access_points (community_id, id) on delete set null (entry_point_id),
  constraint visits_exit_point_fkey foreign key (community_id, exit_point_id) references public.access_points (community_id, id) on delete set null (exit_point_id),
  constraint visits_guest_id_check check (guest_id is null or invitation_id is not null),
  -- Who comes without an invitation comes to a unit, and has a name.
  constraint visits_unit_id_check check (unit_id is not null or invitation_id is not null),
  constraint visits_visitor_name_check check ((visitor_name is not null or invitation_id is not null) and app.is_name(visitor_name)),
  constraint visits_visitor_phone_check check (app.is_phone(visitor_phone)),
  constraint visits_document_number_check check (app.is_name(document_number) and length(document_number) <= 40),
  constraint visits_plate_check check (app.is_plate(plate)),
  constraint visits_provider_name_check check (app.is_name(provider_name)),
  constraint visits_party_size_check check (party_size between 1 and 100),
  constraint visits_status_reason_check check ((status_reason is not null or status <> 'denied') and app.is_name(status_reason)),
  constraint visits_asked_at_check check ((asked_at is null) = (answer_due_at is null) and answer_due_at > asked_at and (asked_at is not null or status <> 'pending')),
  constraint visits_answered_at_check check (answered_at is null or asked_at is not null),
  constraint visits_answered_by_check check (answered_by is null or answered_at is not null),
  constraint visits_checked_in_at_check check ((checked_in_at is not null) = (status in ('checked_in', 'checked_out'))),
  constraint visits_checked_out_at_check check ((checked_out_at is not null) = (status = 'checked_out') and checked_out_at >= checked_in_at)
);

create unique index visits_guest_key on public.visits (guest_id) where guest_id is not null and status in ('approved', 'checked_in', 'checked_out');
create unique index visits_expected_key on public.visits (invitation_id) where guest_id is null and status = 'approved' and deleted_at is null;
create index visits_day_idx on public.visits (community_id, expected_at);
-- By the invitation first: a gate asks for who is inside by one; all who are inside are few.
create index visits_inside_idx on public.visits (community_id, invitation_id, checked_in_at) where status = 'checked_in';
create index visits_waiting_idx on public.visits (answer_due_at) where status = 'pending';
create index visits_expiring_idx on public.visits (expires_at) where status = 'approved';
create index visits_unit_idx on public.visits (community_id, unit_id, created_at) where unit_id is not null;
create index visits_host_idx on public.visits (community_id, host_resident_id) where host_resident_id is not null;
create index visits_invitation_idx on public.visits (community_id, invitation_id, guest_id) where invitation_id is not null;
create index visits_entry_point_idx on public.visits (community_id, entry_point_id) where entry_point_id is not null;
create index visits_exit_point_idx on public.visits (community_id, exit_point_id) where exit_point_id is not null;
create index visits_kept_idx on public.visits (community_id, coalesce(checked_out_at, checked_in_at, expires_at, answer_due_at, expected_at)) where anonymized_at is null;

comment on table public.visits is
  'One coming of a visitor: expected by an invitation, or announced by a guard and answered by the unit. Made and moved by the gates (decide_access) and by announce_visitor, answer_visit, check_in_visit and check_out_visit.';
comment on column public.visits.visitor_name is 'Who comes; null for somebody who came by an invitation that names nobody.';
comment on column public.visits.unit_id is 'The unit that is visited; null: the community itself.';
comment on column public.visits.host_resident_id is 'The resident who invited, or who answered for an unexpected visitor.';
comment on column public.visits.invitation_id is 'The invitation by which they come; null: unexpected.';
comment on column public.visits.guest_id is 'Who of the invitation''s list it is.';
comment on column public.visits.purpose is 'guest, delivery, service, other.';
comment on column public.visits.visitor_phone is 'The visitor''s telephone number, as written.';
comment on column public.visits.document_number is 'Number of the document that the visitor showed.';
comment on column public.visits.plate is 'The plate of the visitor''s vehicle, as written.';
comment on column public.visits.provider_name is 'The firm whose people come.';
comment on column public.visits.party_size is 'How many people come.';
comment on column public.visits.status is
  'pending: the unit has been asked. approved: may come in until expires_at. checked_in: inside. checked_out: has left. denied: by the unit, by nobody answering, or because the invitation was taken back. expired: did not come in time.';
comment on column public.visits.status_reason is 'What was said with the answer. Denied: no_answer, invitation_cancelled, denied_by_unit, or in the words of who denied. exit_not_seen: left without being seen.';
comment on column public.visits.expected_at is 'When the visitor is expected; when they came, for those who were not. By this the day''s list is read.';
comment on column public.visits.expires_at is 'Until when an approved visitor may come in.';
comment on column public.visits.asked_at is 'When the unit was asked.';
comment on column public.visits.answer_due_at is 'Until when it can be answered. Who has not been answered by then is denied (no_answer).';
comment on column public.visits.answered_at is 'When it was answered.';
comment on column public.visits.answered_by is 'The user who answered. A plain id: it outlives the user.';
comment on column public.visits.checked_in_at is 'When they came in.';
comment on column public.visits.checked_out_at is 'When they left.';
comment on column public.visits.entry_point_id is 'Where they came in.';
comment on column public.visits.exit_point_id is 'Where they left.';
comment on column public.visits.anonymized_at is 'When what it told of the visitor was removed (general.visitor_data_days after the visit).';

create function app.is_over(visit public.visits)
returns boolean
language sql
immutable
set search_path = ''
return visit.status in ('checked_out', 'denied', 'expired');

comment on function app.is_over(public.visits) is 'Whether the row is history: a visit that is over does not keep its unit, its host or its invitation from being archived.';

grant execute on function app.is_over(public.visits) to authenticated, service_role;

select app.track('public.visits', secrets => '{visitor_name,visitor_phone,document_number,plate,provider_name,status_reason}');

create trigger _010_frozen_visit before update of unit_id, invitation_id, guest_id on public.visits for each row
  when ((old.unit_id, old.invitation_id, old.guest_id) is distinct from (new.unit_id, new.invitation_id, new.guest_id))
  execute function app.tg__frozen('unit, invitation and guest');

select app.register_personal_data('public.visits', 'host_resident_id', 'resident',
  exported => '{id,unit_id,invitation_id,purpose,status,expected_at,answered_at,checked_in_at,checked_out_at}',
  kept_because => 'That somebody came, and when, belongs to the log of the gates; who it was goes with general.visitor_data_days.');
select app.register_personal_data('public.visits', 'answered_by', 'actor', kept_because => 'Who let somebody in, or refused; the id leads to nobody once the account is gone.');
select app.register_personal_data('public.visits', 'visitor_phone', 'nobody', kept_because => 'A visitor has no account; the job visitor-retention removes the number some days after the visit.');
select app.register_personal_data('public.visits', 'plate', 'nobody', kept_because => 'A visitor has no account; the job visitor-retention removes the plate some days after the visit.');

-- Taken by the RPCs of this topic and by the gates, which ask who may: a gate is no user, and holds no permission.
insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.visits', null, 'pending', null, 'A guard announces somebody, and the unit is asked'),
  ('public.visits', null, 'approved', null, 'Somebody is expected'),
  ('public.visits', null, 'checked_in', null, 'Somebody comes in by an invitation'),
  ('public.visits', 'pending', 'approved', null, 'The unit lets them in'),
  ('public.visits', 'pending', 'denied', null, 'The unit does not, or does not answer'),
  ('public.visits', 'approved', 'checked_in', null, 'They come in'),
  ('public.visits', 'approved', 'denied', null, 'It was taken back'),
  ('public.visits', 'approved', 'expired', null, 'They did not come'),
  ('public.visits', 'checked_in', 'checked_out', null, 'They leave');

select app.state_machine('public.visits', 'status');

create function app.visits_with_me()
returns setof uuid
language plpgsql
stable
security definer -- looks at visits of the caller's units before any policy on them is decided
set search_path = ''
as $$
begin
  return query
    select v.id
    from app.my_residents() m
    join public.residents r on r.id = m
    join public.visits v on v.community_id = r.community_id and v.host_resident_id = r.id
    union all -- what is there twice is there
    select v.id
    from app.my_hosting('visits.read_own') h
    join public.visits v on v.community_id = h.community_id and v.unit_id = h.unit_id and v.created_at >= h.since;
end;
$$;

comment on function app.visits_with_me() is
  'The visits to the caller, and those to the caller''s units since they are theirs: not what came before they moved in, and to an owner not what came while the unit was let. Definer: looks at visits before any policy on them is decided.';

grant execute on function app.visits_with_me() to authenticated;

create policy visits_select on public.visits for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (
      (select 'visits.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('visits.read'))
      or id in (select app.visits_with_me())
    )
  );
grant select on public.visits to authenticated;
grant select, insert, update on public.visits to service_role;

-- What follows from an invitation --------------------------------------------------------------------------------------

create function app.tg_visitor_invitations__visits()
returns trigger
language plpgsql
security definer -- API roles may not write visits
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    insert into public.visits (visitor_name, community_id, unit_id, host_resident_id, invitation_id, purpose, visitor_phone, document_number, plate, status, expected_at, expires_at)
    values (new.visitor_name, new.community_id, new.unit_id, new.host_resident_id, new.id, new.purpose, new.visitor_phone, new.document_number, new.plate, 'approved', new.starts_at, new.ends_at);
  elsif new.status = 'cancelled' then
    update public.visits v set status = 'denied', status_reason = 'invitation_cancelled'
    where v.community_id = new.community_id and v.invitation_id = new.id and v.status = 'approved';
  else
    update public.visits v
    set visitor_name = new.visitor_name, purpose = new.purpose, visitor_phone = new.visitor_phone, document_number = new.document_number, plate = new.plate,
      expected_at = new.starts_at, expires_at = new.ends_at
    where v.community_id = new.community_id and v.invitation_id = new.id and v.status = 'approved';
  end if;
  return null;
end;
$$;

comment on function app.tg_visitor_invitations__visits() is
  'AFTER INSERT of a single invitation: its visit is expected. AFTER UPDATE: the visit that is still expected follows; a cancelled invitation takes it along. Definer: no API role writes visits.';

create trigger _500_visits_expected after insert on public.visitor_invitations for each row
  when (new.kind = 'single' and new.status = 'active') execute function app.tg_visitor_invitations__visits();
create trigger _500_visits_follow after update of status, starts_at, ends_at, purpose, visitor_name, visitor_phone, document_number, plate on public.visitor_invitations for each row
  when ((old.status, old.starts_at, old.ends_at, old.purpose, old.visitor_name, old.visitor_phone, old.document_number, old.plate)
    is distinct from (new.status, new.starts_at, new.ends_at, new.purpose, new.visitor_name, new.visitor_phone, new.document_number, new.plate))
  execute function app.tg_visitor_invitations__visits();

create function app.tg_visits__emit()
returns trigger
language plpgsql
security definer -- calls app.emit, which no API role may
set search_path = ''
as $$
declare
  event uuid;
begin
  event := app.emit(
    'visit.' || case when new.status = 'pending' then 'asked' when new.status = 'approved' and tg_op = 'INSERT' then 'expected'
      when tg_op = 'UPDATE' and old.status = 'pending' then 'answered' else new.status::text end,
    new.community_id, jsonb_build_object('visit_id', new.id, 'invitation_id', new.invitation_id, 'status', new.status));
  return null;
end;
$$;

comment on function app.tg_visits__emit() is
  'AFTER INSERT, and AFTER a step: events visit.asked, .expected, .answered, .checked_in, .checked_out, .denied, .expired, with ids alone: neighbours hear them too. Definer: calls app.emit.';

create trigger _600_emit_made after insert on public.visits for each row execute function app.tg_visits__emit();
create trigger _600_emit_step after update of status on public.visits for each row when (old.status <> new.status) execute function app.tg_visits__emit();

-- In and out -----------------------------------------------------------------------------------------------------------

create function app.enter_visit(community uuid, invitation uuid, guest uuid, visit uuid, point uuid, moment timestamptz, out reason text, out visit_id uuid)
language plpgsql
volatile
security definer -- the gates write visits, which no API role may
set search_path = ''
as $$
declare
  given public.visitor_invitations;
  listed public.invitation_guests;
  present public.visits;
  present_id uuid;
  is_inside boolean;
  is_taken boolean;
begin
  if visit is not null then
    select v.invitation_id, v.guest_id into invitation, guest from public.visits v where v.community_id = enter_visit.community and v.id = visit and v.deleted_at is null;
    if not found then
      reason := 'visit_unknown';
      return;
    end if;
  end if;

  -- Locked in this order: the invitation's entries, guest, visit. Who is cancelled meanwhile is so for whoever waited here.
  if invitation is not null then
    update private.invitation_uses u set used_entries = u.used_entries + 1
    from public.visitor_invitations i
    where u.invitation_id = invitation and u.community_id = enter_visit.community and not u.is_dead and (u.places is null or u.used_entries < u.places)
      and i.community_id = u.community_id and i.id = u.invitation_id and i.deleted_at is null
    returning i.* into given;
    is_taken := found;
    if not is_taken then
      select i.* into given from public.visitor_invitations i where i.community_id = enter_visit.community and i.id = invitation and i.deleted_at is null;
    end if;
    if guest is not null then
      select g.* into listed from public.invitation_guests g
      where g.community_id = enter_visit.community and g.invitation_id = given.id and g.id = guest and g.deleted_at is null for no key update;
    end if;
    if guest is null then
      -- The visit that is expected; and whether whoever comes by an invitation of one person is inside. Two indexes, one statement.
      select
        (select v.id from public.visits v
         where v.community_id = enter_visit.community and v.invitation_id = given.id and v.guest_id is null and v.deleted_at is null
           and v.status = 'approved' and (visit is null or v.id = visit)
         for no key update),
        given.kind <> 'event' and exists (
          select from public.visits v where v.community_id = enter_visit.community and v.invitation_id = given.id and v.guest_id is null and v.status = 'checked_in')
      into present_id, is_inside;
    else
      select v.id into present_id from public.visits v
      where v.community_id = enter_visit.community and v.invitation_id = given.id and v.guest_id = guest and v.deleted_at is null
        and v.status = 'approved' and (visit is null or v.id = visit)
      for no key update;
    end if;
    reason := case
      when given.id is null or given.status = 'cancelled' or (guest is not null and (listed.id is null or listed.status = 'cancelled')) then 'invitation_cancelled'
      when listed.status = 'entered' then 'guest_entered'
      when visit is not null and present_id is null then 'visit_over'
      when not is_taken then 'invitation_full' end;
    if reason is not null then
      if is_taken then
        update private.invitation_uses u set used_entries = u.used_entries - 1 where u.invitation_id = given.id;
      end if;
      return;
    end if;

    if listed.id is not null then
      update public.invitation_guests g set status = 'entered', entered_at = moment where g.id = listed.id;
    end if;
    if is_inside then
      -- Whoever comes again by an invitation of one person has left meanwhile, seen or not. The visit before ends and the next begins in
      -- one statement: what guards visits is made ready once. Where nobody is inside the audit of updates would be woken for no row.
      visit_id := extensions.uuidv7();
      merge into public.visits v
      using (values (false), (true)) step (begins)
      on not step.begins and v.community_id = enter_visit.community and v.invitation_id = given.id and v.status = 'checked_in'
      when matched then
        update set status = 'checked_out', status_reason = 'exit_not_seen', checked_out_at = greatest(moment, v.checked_in_at)
      when not matched and step.begins and present_id is null then
        insert (
          id, visitor_name, community_id, unit_id, host_resident_id, invitation_id, purpose, visitor_phone, document_number, plate, provider_name, status,
          expected_at, checked_in_at, entry_point_id)
        values (
          enter_visit.visit_id, given.visitor_name, given.community_id, given.unit_id, given.host_resident_id, given.id, given.purpose,
          given.visitor_phone, given.document_number, given.plate, given.provider_name, 'checked_in', moment, moment, point);
    elsif present_id is null then
      insert into public.visits (
        visitor_name, community_id, unit_id, host_resident_id, invitation_id, guest_id, purpose, visitor_phone, document_number, plate, provider_name, status,
        expected_at, checked_in_at, entry_point_id)
      values (
        coalesce(listed.full_name, given.visitor_name), given.community_id, given.unit_id, given.host_resident_id, given.id, listed.id, given.purpose,
        coalesce(listed.phone, given.visitor_phone), given.document_number, coalesce(listed.plate, given.plate), given.provider_name, 'checked_in', moment, moment, point)
      returning visits.id into visit_id;
    end if;
    if present_id is null then
      return;
    end if;
  else
    select v.* into present from public.visits v where v.community_id = enter_visit.community and v.id = visit for no key update;
    if present.status = 'pending' and present.answer_due_at <= clock_timestamp() then
      update public.visits v set status = 'denied', status_reason = 'no_answer' where v.id = present.id;
      reason := 'no_answer';
    else
      reason := case
        when present.id is null then 'visit_unknown'
        when present.status = 'pending' then 'visit_pending'
        when present.status = 'denied' then case when present.status_reason = 'no_answer' then 'no_answer' else 'visit_denied' end
        when present.status <> 'approved' or present.expires_at <= moment then 'visit_over' end;
    end if;
    if reason is not null then
      visit_id := present.id;
      return;
    end if;
    present_id := present.id;
  end if;

  update public.visits v set status = 'checked_in', checked_in_at = moment, entry_point_id = point where v.id = present_id;
  visit_id := present_id;
end;
$$;

comment on function app.enter_visit(uuid, uuid, uuid, uuid, uuid, timestamptz) is
  'Lets a visitor in by an invitation (and a guest of its list) or by a visit: takes one entry, and answers with the visit that is checked in now and no reason, or with the reason and nothing changed: '
  'invitation_cancelled, invitation_full, guest_entered, visit_unknown, visit_pending, visit_denied, no_answer, visit_over. Whether the invitation counts now, app.invitation_problem says. '
  'Locks the invitation''s row of private.invitation_uses, guest, visit, in this order, until the transaction ends. Definer: the gates write visits; not executable by API roles.';

create function app.leave_visit(community uuid, invitation uuid, guest uuid, visit uuid, point uuid, moment timestamptz)
returns uuid
language plpgsql
volatile
security definer -- the gates write visits, which no API role may
set search_path = ''
as $$
declare
  left_by uuid;
begin
  if visit is not null then
    update public.visits v set status = 'checked_out', checked_out_at = greatest(moment, v.checked_in_at), exit_point_id = point
    where v.id = (
      select i.id from public.visits i
      where i.community_id = leave_visit.community and i.id = visit and i.status = 'checked_in' and i.deleted_at is null
      for no key update skip locked)
    returning v.id into left_by;
  else
    -- Of an event's guests without names any may be meant: each who leaves takes one that no other is taking.
    update public.visits v set status = 'checked_out', checked_out_at = greatest(moment, v.checked_in_at), exit_point_id = point
    where v.id = (
      select i.id from public.visits i
      where i.community_id = leave_visit.community and i.invitation_id = invitation and i.guest_id is not distinct from guest and i.status = 'checked_in' and i.deleted_at is null
      order by i.checked_in_at, i.id
      limit 1
      for no key update skip locked)
    returning v.id into left_by;
  end if;
  return left_by;
end;
$$;

comment on function app.leave_visit(uuid, uuid, uuid, uuid, uuid, timestamptz) is
  'Lets a visitor out: the visit that is named, or one of those inside by the invitation (and guest). Answers with the visit; null when nobody is inside by it. Definer: the gates write visits; not executable by API roles.';
