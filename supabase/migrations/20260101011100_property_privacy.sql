-- Property: personal data of residents, what forbids erasing it, and what people ask for.
--
-- Purpose     What the registry says of people and property; retention holds; requests to export, erase or rectify, with their due dates.
-- Tables      retention_holds, privacy_requests
-- RPCs        place_hold, lift_hold, request_privacy, resolve_privacy_request, withdraw_privacy_request
-- Views       privacy_requests_overview
-- Invariants  A hold names one person, a reason and a community; while it runs the person is not erased. A request is answered once: done,
--             refused with a reason, or withdrawn; a person has one open request of a kind in a community at a time. A request to be
--             erased is done when the person has been erased, and not by saying so.

select app.define_permission('privacy.manage', 'community', 'Export, erase and merge personal data, answer requests about it, place holds', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');
select app.define_setting('general.privacy_answer_days', 'integer', '30', '{site,organization,community}',
  'Within how many days a request about personal data is answered (GDPR article 12: a month).', minimum => 1, maximum => 90);

-- Whose rows are whose -----------------------------------------------------------------------------------------------

select app.register_personal_data('public.residents', 'id', 'resident', on_merge => 'stay',
  columns => '{"full_name": "Erased person", "reference": null, "locale": null, "photo_file_id": null}',
  kept_because => 'What the unit''s history refers to: that somebody owned and occupied it, without saying who.');
select app.register_personal_data('public.residents', 'user_id', 'user', on_erase => 'unlink', exported => '{}', is_with_resident => true,
  kept_because => 'The record is the community''s; it loses the link to the account.');
select app.register_personal_data('public.residents', 'merged_into_id', 'related', on_merge => 'stay', kept_because => 'Which record stayed of several of one person.');
select app.register_personal_data('public.resident_details', 'resident_id', 'resident', on_erase => 'remove', on_merge => 'fill',
  columns => '{"email": null, "phone": null, "identity_number": null, "postal_address": null, "born_on": null, "adult_on": null, "note": null}');
select app.register_personal_data('public.residents', 'guardian_id', 'related',
  kept_because => 'Who acts for a minor; the row is the minor''s, and the guardian''s name is gone from the own.');
select app.register_personal_data('public.occupancies', 'host_id', 'related',
  kept_because => 'By whom somebody came; the row is about who came, and the host''s name is gone from the own.');
select app.register_personal_data('public.unit_representatives', 'resident_id', 'resident', columns => '{"authority": null}',
  kept_because => 'Who was to pay and to vote on a day, without saying who it was.');
select app.register_personal_data('public.consents', 'resident_id', 'resident', columns => '{"note": null}', on_merge => 'archive', clash_on => '{text_id}',
  kept_because => 'Evidence of what was agreed to and when, without a name.');
select app.register_personal_data('public.consents', 'user_id', 'user', columns => '{"ip_address": null, "user_agent": null, "note": null}',
  kept_because => 'Evidence of what was agreed to and when; the id leads to nobody once the account is gone.');
select app.register_personal_data('public.buildings', 'address', 'nobody', kept_because => 'The address of a building.');

-- Holds --------------------------------------------------------------------------------------------------------------

create table public.retention_holds (
  id uuid not null default extensions.uuidv7(),
  reason text not null,
  community_id uuid not null,
  resident_id uuid,
  user_id uuid,
  until_on date,
  source_table text,
  source_id uuid,
  lifted_at timestamptz,
  lift_reason text,
  like app.row_model including defaults including comments,
  constraint retention_holds_pkey primary key (id),
  constraint retention_holds_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint retention_holds_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete cascade,
  constraint retention_holds_user_fkey foreign key (user_id) references public.profiles (id) on delete cascade,
  constraint retention_holds_person_check check (num_nonnulls(resident_id, user_id) = 1),
  constraint retention_holds_reason_check check (length(btrim(reason)) between 3 and 500),
  constraint retention_holds_source_check check (source_table ~ '^[a-z][a-z_]{1,62}$' and (source_id is null or source_table is not null)),
  constraint retention_holds_lift_reason_check check ((lift_reason is null or lifted_at is not null) and length(lift_reason) <= 500)
);

create unique index retention_holds_source_key on public.retention_holds (source_table, source_id, resident_id, user_id) nulls not distinct
  where source_id is not null and lifted_at is null and deleted_at is null;
create index retention_holds_resident_idx on public.retention_holds (community_id, resident_id) where resident_id is not null;
create index retention_holds_community_idx on public.retention_holds (community_id);
create index retention_holds_user_idx on public.retention_holds (user_id) where user_id is not null;

comment on table public.retention_holds is
  'Why somebody''s data may not be erased yet, and until when: accounting retention, a claim in court. Placed by administrators (place_hold) and by the topics that must keep what they wrote.';
comment on column public.retention_holds.reason is 'The law or the claim, as the person is told it.';
comment on column public.retention_holds.resident_id is 'The resident whose data is held.';
comment on column public.retention_holds.user_id is 'The user whose data is held, if they are no resident.';
comment on column public.retention_holds.until_on is 'The last day on which it is held; null: until it is lifted.';
comment on column public.retention_holds.source_table is 'The table whose row asks for it; null: somebody placed it.';
comment on column public.retention_holds.source_id is 'The row that asks for it: one hold per row and person.';
comment on column public.retention_holds.lifted_at is 'When it was lifted.';
comment on column public.retention_holds.lift_reason is 'Why it was lifted.';

select app.track('public.retention_holds');

create trigger _010_frozen_hold before update of resident_id, user_id, lifted_at on public.retention_holds for each row
  when ((old.resident_id, old.user_id) is distinct from (new.resident_id, new.user_id) or (old.lifted_at is not null and old.lifted_at is distinct from new.lifted_at))
  execute function app.tg__frozen('Whom a hold is about, and that it was lifted,');

create policy retention_holds_select on public.retention_holds for select to authenticated
  using (
    deleted_at is null
    and (
      user_id = (select app.user_id())
      or resident_id in (select app.my_residents())
      or community_id = any ((select app.communities_where('privacy.manage'))::uuid[])
    )
  );
grant select on public.retention_holds to authenticated;
grant select, insert, update on public.retention_holds to service_role;

select app.register_personal_data('public.retention_holds', 'resident_id', 'resident', columns => '{"reason": "Erased", "lift_reason": null}',
  on_erase => 'archive', kept_because => 'That something was held, and until when, explains why the person was not erased before.');
select app.register_personal_data('public.retention_holds', 'user_id', 'user', on_erase => 'remove', columns => '{"reason": null}');

create function app.place_hold(reason text, resident uuid, community uuid, subject uuid, until_on date)
returns uuid
language plpgsql
volatile
security definer -- API roles may not write holds
set search_path = ''
as $$
declare
  place constant uuid := coalesce((select r.community_id from public.residents r where r.id = resident), community);
  held uuid;
  refused text;
begin
  perform app.require('privacy.manage', place);
  if num_nonnulls(resident, subject) <> 1 or (resident is null) <> (community is not null) then
    perform app.fail(422, 'invalid_value', 'A hold is about a resident, or about a user in a community: name the one or the other.');
  -- Waits for an erasure of the person that is under way.
  elsif resident is not null and not exists (select from public.residents r where r.id = resident and r.merged_into_id is null and r.erased_at is null for key share) then
    perform app.fail(404, 'resident_not_found', 'There is no resident with this id whose data could be held.');
  elsif subject is not null and not exists (
    select from public.memberships m where m.user_id = subject and m.community_id = community
    union all
    select from public.residents r where r.user_id = subject and r.community_id = community)
  then
    perform app.fail(404, 'user_not_found', 'There is no user with this id who has, or had, to do with this community.');
  end if;
  insert into public.retention_holds (reason, community_id, resident_id, user_id, until_on)
  values (btrim(place_hold.reason), place, resident, subject, place_hold.until_on)
  returning id into held;
  return held;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('retention_holds', refused);
when not_null_violation then
  perform app.fail(422, 'reason_required', 'A hold has a reason, which the person is told.');
end;
$$;

comment on function app.place_hold(text, uuid, uuid, uuid, date) is 'What public.place_hold does. Definer: no API role may write holds.';

create function public.place_hold(reason text, resident_id uuid default null, community_id uuid default null, user_id uuid default null, until_on date default null)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.place_hold(reason, resident_id, community_id, user_id, until_on) $$;

comment on function public.place_hold(text, uuid, uuid, uuid, date) is
  'Forbids erasing a resident, or a user of a community, until a day, or until it is lifted. Takes privacy.manage. Returns the hold''s id. Errors: permission_denied, resident_not_found, user_not_found, reason_required, invalid_value.';

create function app.lift_hold(hold uuid, reason text)
returns void
language plpgsql
volatile
security definer -- API roles may not write holds
set search_path = ''
as $$
declare
  held public.retention_holds;
begin
  select h.* into held from public.retention_holds h where h.id = hold and h.deleted_at is null for no key update;
  if held.id is null or not (app.is_trusted() or app.can('privacy.manage', held.community_id)) then
    perform app.fail(404, 'hold_not_found', 'There is no hold with this id that you may lift.');
  elsif (length(btrim(reason)) between 3 and 500) is not true then
    perform app.fail(422, 'reason_required', 'A hold is lifted for a reason of 3 to 500 characters.');
  end if;
  update public.retention_holds h set lifted_at = now(), lift_reason = btrim(lift_hold.reason) where h.id = hold and h.lifted_at is null;
end;
$$;

comment on function app.lift_hold(uuid, text) is 'What public.lift_hold does. Definer: no API role may write holds.';

create function public.lift_hold(hold_id uuid, reason text)
returns void
language sql
volatile
set search_path = ''
as $$ select app.lift_hold(hold_id, reason) $$;

comment on function public.lift_hold(uuid, text) is 'Lifts a hold, for a reason; lifted already, nothing changes. Takes privacy.manage. Errors: hold_not_found, reason_required.';

grant execute on function
  app.place_hold(text, uuid, uuid, uuid, date), public.place_hold(text, uuid, uuid, uuid, date), app.lift_hold(uuid, text), public.lift_hold(uuid, text)
to authenticated, service_role;

-- Requests -----------------------------------------------------------------------------------------------------------

create type public.privacy_request_kind as enum ('export', 'erase', 'rectify');
create type public.privacy_request_status as enum ('requested', 'done', 'refused', 'withdrawn');

create table public.privacy_requests (
  id uuid not null default extensions.uuidv7(),
  kind public.privacy_request_kind not null,
  community_id uuid not null,
  resident_id uuid,
  user_id uuid,
  details text,
  status public.privacy_request_status not null default 'requested',
  requested_at timestamptz not null default now(),
  due_on date not null,
  resolved_at timestamptz,
  resolved_by uuid,
  resolution text,
  like app.row_model including defaults including comments,
  constraint privacy_requests_pkey primary key (id),
  constraint privacy_requests_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint privacy_requests_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete cascade,
  constraint privacy_requests_person_check check (num_nonnulls(resident_id, user_id) >= 1),
  constraint privacy_requests_details_check check (length(details) <= 4000),
  constraint privacy_requests_resolved_check check ((status = 'requested') = (resolved_at is null)),
  constraint privacy_requests_resolution_check check (length(resolution) <= 2000 and (status <> 'refused' or length(btrim(resolution)) >= 3))
);

create unique index privacy_requests_open_key on public.privacy_requests (community_id, coalesce(resident_id, user_id), kind)
  where status = 'requested' and deleted_at is null;
create index privacy_requests_resident_idx on public.privacy_requests (community_id, resident_id);
create index privacy_requests_user_idx on public.privacy_requests (user_id) where user_id is not null;
create index privacy_requests_due_idx on public.privacy_requests (due_on) where status = 'requested';

comment on table public.privacy_requests is
  'What people ask of a community about their data: a copy (export), erasure (erase), a correction (rectify). Changed by request_privacy, resolve_privacy_request and withdraw_privacy_request.';
comment on column public.privacy_requests.kind is 'export, erase or rectify.';
comment on column public.privacy_requests.resident_id is 'The resident it is about; null for somebody who has an account and is no resident.';
comment on column public.privacy_requests.user_id is 'The user who asked; null: the management recorded it. A plain id: the request outlives the user.';
comment on column public.privacy_requests.details is 'What is to be corrected; how the request came.';
comment on column public.privacy_requests.status is 'requested: open. done, refused, withdrawn: final.';
comment on column public.privacy_requests.requested_at is 'When it was made.';
comment on column public.privacy_requests.due_on is 'The last day on which it is answered in time (setting general.privacy_answer_days).';
comment on column public.privacy_requests.resolved_at is 'When it was answered or withdrawn.';
comment on column public.privacy_requests.resolved_by is 'The user who answered; null when no user did. A plain id.';
comment on column public.privacy_requests.resolution is 'What was answered; for a refusal, why.';

select app.track('public.privacy_requests');

create trigger _010_frozen_request before update of kind, resident_id, user_id, requested_at, due_on on public.privacy_requests for each row
  when ((old.kind, old.resident_id, old.user_id, old.requested_at, old.due_on) is distinct from (new.kind, new.resident_id, new.user_id, new.requested_at, new.due_on))
  execute function app.tg__frozen('What was asked, by whom and when,');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.privacy_requests', null, 'requested', null, 'Ask'),
  ('public.privacy_requests', 'requested', 'done', 'privacy.manage', 'Answer the request'),
  ('public.privacy_requests', 'requested', 'refused', 'privacy.manage', 'Refuse the request'),
  ('public.privacy_requests', 'requested', 'withdrawn', null, 'Withdrawn by whoever asked');

select app.state_machine('public.privacy_requests', 'status');

create policy privacy_requests_select on public.privacy_requests for select to authenticated
  using (
    deleted_at is null
    and (
      user_id = (select app.user_id())
      or resident_id in (select app.my_residents())
      or community_id = any ((select app.communities_where('privacy.manage'))::uuid[])
    )
  );
grant select on public.privacy_requests to authenticated;
grant select, insert, update on public.privacy_requests to service_role;

select app.register_personal_data('public.privacy_requests', 'resident_id', 'resident', columns => '{"details": null, "resolution": "Erased"}',
  on_merge => 'archive', clash_on => '{kind,status,resolved_at}', kept_because => 'That a request was made and answered in time can be shown to the supervisory authority.');
select app.register_personal_data('public.privacy_requests', 'user_id', 'user', columns => '{"details": null, "resolution": "Erased"}',
  kept_because => 'That a request was made and answered in time can be shown to the supervisory authority.');
select app.register_personal_data('public.privacy_requests', 'resolved_by', 'actor', kept_because => 'Who answered stays accountable.');

create function app.request_privacy(kind public.privacy_request_kind, community uuid, details text, resident uuid)
returns uuid
language plpgsql
volatile
security definer -- API roles may not write requests
set search_path = ''
as $$
declare
  caller constant uuid := app.user_id();
  asked public.residents;
  made uuid;
  refused text;
begin
  if request_privacy.kind is null then
    perform app.fail(422, 'invalid_value', 'What is asked for is export, erase or rectify.');
  elsif resident is not null then
    select r.* into asked from public.residents r where r.id = resident and r.merged_into_id is null;
    if asked.user_id is distinct from caller or caller is null then
      perform app.require('privacy.manage', asked.community_id);
    end if;
    if asked.id is null then
      perform app.fail(404, 'resident_not_found', 'There is no resident with this id.');
    end if;
  else
    select r.* into asked from public.residents r where r.user_id = caller and r.community_id = community and r.merged_into_id is null
    order by r.deleted_at desc nulls first limit 1;
    if caller is null then
      perform app.fail(401, 'account_unknown', 'Whoever asks for themselves is signed in; for a resident, name the resident.');
    elsif asked.id is null and not coalesce(community = any (app.my_communities()), false) then
      perform app.fail(404, 'community_not_found', 'There is no community with this id that knows you.');
    end if;
  end if;
  if request_privacy.kind = 'rectify' and coalesce(btrim(details), '') = '' then
    perform app.fail(422, 'invalid_value', 'Whoever asks for a correction says what is wrong: details.');
  end if;

  insert into public.privacy_requests (kind, community_id, resident_id, user_id, details, due_on)
  select request_privacy.kind, c.id, asked.id, case when asked.id is null or asked.user_id = caller then caller end, btrim(request_privacy.details),
    (now() at time zone c.time_zone)::date + app.setting('general.privacy_answer_days', c.id)::integer
  from public.communities c where c.id = coalesce(asked.community_id, community)
  on conflict do nothing
  returning id into made;
  if made is null then
    perform app.fail(409, 'request_open', 'This was asked for before, and has yet to be answered.');
  end if;
  return made;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('privacy_requests', refused);
end;
$$;

comment on function app.request_privacy(public.privacy_request_kind, uuid, text, uuid) is 'What public.request_privacy does. Definer: no API role may write requests.';

create function public.request_privacy(kind public.privacy_request_kind, community_id uuid default null, details text default null, resident_id uuid default null)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.request_privacy(kind, community_id, details, resident_id) $$;

comment on function public.request_privacy(public.privacy_request_kind, uuid, text, uuid) is
  'Asks a community for a copy of one''s data, for its erasure or its correction; also after moving out. With privacy.manage, records what a resident asked for on paper (resident_id). Returns the request''s id. '
  'Errors: account_unknown, community_not_found, resident_not_found, permission_denied, request_open, invalid_value.';

create function app.resolve_privacy_request(request uuid, outcome public.privacy_request_status, answer text)
returns void
language plpgsql
volatile
security definer -- API roles may not write requests
set search_path = ''
as $$
declare
  asked public.privacy_requests;
begin
  select q.* into asked from public.privacy_requests q where q.id = request and q.deleted_at is null for no key update;
  -- A request that the management recorded names no user.
  if asked.id is null or not (app.is_trusted() or app.can('privacy.manage', asked.community_id)
    or coalesce(outcome = 'withdrawn' and (coalesce(asked.user_id = app.user_id(), false) or asked.resident_id in (select app.my_residents())), false))
  then
    perform app.fail(404, 'request_not_found', 'There is no request with this id that you may answer.');
  elsif outcome = 'withdrawn' and not (app.is_trusted() or asked.user_id is null or asked.user_id = app.user_id()) then
    perform app.fail(403, 'permission_denied', 'A request is withdrawn by whoever made it.');
  elsif (outcome in ('done', 'refused', 'withdrawn')) is not true then
    perform app.fail(422, 'invalid_value', 'A request is answered as done or refused.');
  elsif outcome = 'refused' and (length(btrim(answer)) >= 3) is not true then
    perform app.fail(422, 'reason_required', 'A refusal has a reason, which the person is told.');
  elsif length(answer) > 2000 then
    perform app.fail(422, 'invalid_value', 'The answer is longer than 2000 characters.');
  elsif outcome = 'done' and asked.kind = 'erase' and (
    exists (select from public.residents r where r.id = asked.resident_id and r.erased_at is null)
    or asked.resident_id is null and exists (select from public.profiles p where p.id = asked.user_id))
  then
    perform app.fail(409, 'erasure_outstanding', 'The person has not been erased.', 'erase_personal_data erases, and answers the request.');
  end if;
  update public.privacy_requests q
  set status = outcome, resolved_at = now(), resolved_by = auth.uid(), resolution = nullif(btrim(answer), '')
  where q.id = request and (q.status <> outcome or q.status = 'requested');
end;
$$;

comment on function app.resolve_privacy_request(uuid, public.privacy_request_status, text) is
  'What public.resolve_privacy_request and public.withdraw_privacy_request do. Definer: no API role may write requests.';

create function public.resolve_privacy_request(request_id uuid, outcome public.privacy_request_status, answer text default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.resolve_privacy_request(request_id, case when outcome <> 'withdrawn' then outcome end, answer) $$;

comment on function public.resolve_privacy_request(uuid, public.privacy_request_status, text) is
  'Answers a request: done, or refused with a reason. Takes privacy.manage. Errors: request_not_found, transition_refused, reason_required, erasure_outstanding, invalid_value.';

create function public.withdraw_privacy_request(request_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.resolve_privacy_request(request_id, 'withdrawn', null) $$;

comment on function public.withdraw_privacy_request(uuid) is
  'Takes a request back: one''s own, or one that the management recorded for a resident. Errors: request_not_found, permission_denied, transition_refused.';

grant execute on function
  app.request_privacy(public.privacy_request_kind, uuid, text, uuid), public.request_privacy(public.privacy_request_kind, uuid, text, uuid),
  app.resolve_privacy_request(uuid, public.privacy_request_status, text), public.resolve_privacy_request(uuid, public.privacy_request_status, text),
  public.withdraw_privacy_request(uuid)
to authenticated, service_role;

create view public.privacy_requests_overview with (security_invoker = true) as
select
  c.name as community, coalesce(r.full_name, p.display_name) as person, q.kind, q.status, q.requested_at, q.due_on,
  q.status = 'requested' and q.due_on < (now() at time zone c.time_zone)::date as is_overdue,
  q.details, q.resolution, q.community_id, q.resident_id, q.user_id, q.id as request_id
from public.privacy_requests q
join public.communities c on c.id = q.community_id
left join public.residents r on r.community_id = q.community_id and r.id = q.resident_id
left join public.profiles p on p.id = q.user_id
where q.deleted_at is null;

comment on view public.privacy_requests_overview is 'Requests about personal data with names, and whether they are overdue. Shows what the reader may see.';
comment on column public.privacy_requests_overview.community is 'Name of the community.';
comment on column public.privacy_requests_overview.person is 'Who is meant.';
comment on column public.privacy_requests_overview.kind is 'export, erase or rectify.';
comment on column public.privacy_requests_overview.status is 'requested: open. done, refused, withdrawn: final.';
comment on column public.privacy_requests_overview.requested_at is 'When it was made.';
comment on column public.privacy_requests_overview.due_on is 'The last day on which it is answered in time.';
comment on column public.privacy_requests_overview.is_overdue is 'Whether that day has passed, and it is open.';
comment on column public.privacy_requests_overview.details is 'What was asked.';
comment on column public.privacy_requests_overview.resolution is 'What was answered.';
comment on column public.privacy_requests_overview.community_id is 'The community''s id.';
comment on column public.privacy_requests_overview.resident_id is 'The resident''s id.';
comment on column public.privacy_requests_overview.user_id is 'The user''s id.';
comment on column public.privacy_requests_overview.request_id is 'The request''s id.';

grant select on public.privacy_requests_overview to authenticated, service_role;
