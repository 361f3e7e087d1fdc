-- Access control: the access log, and who is inside.
--
-- Purpose     Every attempt to pass a gate, granted or denied: where, how, who, decided by whom, and why. Who came in and has not left.
-- Tables      audit.access_log (monthly partitions and a default one), private.device_photos, private.access_answers, private.presences
-- Types       public.access_answer
-- Views       public.access_log
-- RPCs        reset_presence, register_device_photo
-- Invariants  Append-only: UPDATE, DELETE and TRUNCATE are refused for everybody, the owner included, each partition by itself. Only
--             app.decide_access writes (a later topic). One line an attempt: a repeated question (nonce) is answered from
--             access_answers and writes none. Residents see their own comings and goings and their unit's visitors, guards
--             what was decided on their shifts and by themselves, managers all. Nobody sees another's.
--             Whole months go when they are older than the setting says; plates and notes of visitors earlier.

create type public.access_method as enum ('app', 'card', 'code', 'plate', 'qr', 'guard', 'intercom');
create type public.access_outcome as enum ('granted', 'denied');
create type public.presence_kind as enum ('resident', 'vehicle', 'card');

select app.define_permission('access_log.read', 'community', 'See every attempt to pass a gate', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager}');
-- Whoever makes somebody a guard holds what a guard holds.
select app.define_permission('access_log.read_shift', 'community', 'See the attempts of one''s own shifts', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager, community/guard}');
select app.define_permission('access.decide', 'community', 'Decide at the gate who comes in', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager, community/guard}');

select app.define_setting('security.access_log_months', 'integer', '24', '{site}', 'How many whole months the access log is kept.', minimum => 1, maximum => 240);

-- The log ------------------------------------------------------------------------------------------------------------

create table audit.access_log (
  id uuid not null default extensions.uuidv7(),
  logged_at timestamptz not null default clock_timestamp(),
  scanned_at timestamptz not null,
  community_id uuid not null,
  access_point_id uuid not null,
  method public.access_method not null,
  direction public.access_direction not null,
  outcome public.access_outcome not null,
  reason text not null,
  device_id uuid,
  caller_id uuid,
  guard_id uuid,
  shift_id uuid,
  visit_id uuid,
  invitation_id uuid,
  guest_id uuid,
  pass_id uuid,
  resident_id uuid,
  vehicle_id uuid,
  card_id uuid,
  unit_id uuid,
  plate text,
  photo_file_id uuid,
  blacklist_entry_id uuid,
  nonce text,
  note text,
  constraint access_log_pkey primary key (id, logged_at),
  constraint access_log_direction_check check (direction in ('in', 'out')),
  constraint access_log_reason_check check (length(reason) between 1 and 40)
) partition by range (logged_at);

-- Few and small, because every decision pays for them: what a gate, a community, a resident, a visit or a shift asks for.
create index access_log_point_idx on audit.access_log (community_id, access_point_id, logged_at);
create index access_log_community_idx on audit.access_log (community_id, logged_at);
create index access_log_resident_idx on audit.access_log (resident_id, logged_at) where resident_id is not null;
create index access_log_visit_idx on audit.access_log (visit_id) where visit_id is not null;
create index access_log_invitation_idx on audit.access_log (invitation_id) where invitation_id is not null;
create index access_log_shift_idx on audit.access_log (shift_id, logged_at) where shift_id is not null;

comment on table audit.access_log is
  'One line per attempt to pass an access point. Append-only; read it through public.access_log. No foreign keys: every decision would pay for them, and a line outlives what it names; '
  'app.decide_access, which alone writes, takes every id from the point''s own community.';
comment on column audit.access_log.id is 'The line''s id, a time-ordered UUID: what decide_access answers as log_id.';
comment on column audit.access_log.logged_at is 'When the attempt arrived here, by the database''s clock; what was decided, was decided for this moment.';
comment on column audit.access_log.scanned_at is 'When it was scanned, by the device''s own account; the moment of arrival where it told none.';
comment on column audit.access_log.community_id is 'The community.';
comment on column audit.access_log.access_point_id is 'The gate, barrier, door …';
comment on column audit.access_log.method is 'app: a resident opened it from the app. card: card, fob, sticker or tag. code: digits. plate: read by a camera or typed. qr: a pass. guard: let in by a guard. intercom: opened from upstairs.';
comment on column audit.access_log.direction is 'in or out.';
comment on column audit.access_log.outcome is 'granted or denied.';
comment on column audit.access_log.reason is 'Why, in a stable word; docs/decisions.md lists them.';
comment on column audit.access_log.device_id is 'The device that asked; null when a user did.';
comment on column audit.access_log.caller_id is 'The user who asked; null when a device did. A plain id: it outlives the user.';
comment on column audit.access_log.guard_id is 'The guard''s record of that user.';
comment on column audit.access_log.shift_id is 'The shift on duty at the point''s booth.';
comment on column audit.access_log.visit_id is 'The visit that began, ended or was refused.';
comment on column audit.access_log.invitation_id is 'The invitation that was shown.';
comment on column audit.access_log.guest_id is 'The guest of the invitation''s list.';
comment on column audit.access_log.pass_id is 'The pass that was shown; null where none could be told.';
comment on column audit.access_log.resident_id is 'The resident who came or went.';
comment on column audit.access_log.vehicle_id is 'The vehicle of a resident or a unit.';
comment on column audit.access_log.card_id is 'The card.';
comment on column audit.access_log.unit_id is 'Whom it was about: the visited unit, or the resident''s.';
comment on column audit.access_log.plate is 'The plate as it was read. Forgotten after general.visitor_data_days.';
comment on column audit.access_log.photo_file_id is 'A photograph of the attempt (files of purpose access.photo).';
comment on column audit.access_log.blacklist_entry_id is 'The entry of the blacklist that matched, or that the guard had looked at and let pass.';
comment on column audit.access_log.nonce is 'What the caller numbered the attempt with.';
comment on column audit.access_log.note is 'The guard''s remark. Forgotten after general.visitor_data_days.';

alter table audit.access_log enable row level security;
create policy access_log_select on audit.access_log for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (
      (select 'access_log.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('access_log.read'))
      or (community_id in (select app.communities_with('access_log.read_shift'))
        and (shift_id in (select app.my_shifts()) or caller_id = (select app.user_id())))
      -- A neighbour in the same flat comes and goes unobserved; who visits the flat does not.
      or resident_id in (select app.my_residents())
      or visit_id in (select app.visits_with_me())
      or invitation_id in (select app.visitor_invitations_with_me())
      or (caller_id = (select app.user_id()) and method in ('app', 'intercom'))
    )
  );
grant select on audit.access_log to authenticated, service_role;

create trigger _100_append_only before update or delete or truncate on audit.access_log
  for each statement execute function app.tg__append_only();

select app.ensure_partitions('audit.access_log');

create view public.access_log with (security_invoker = true) as
select
  l.id, l.logged_at, l.scanned_at, l.community_id, l.access_point_id, l.method, l.direction, l.outcome, l.reason, l.device_id, l.caller_id, l.guard_id,
  l.shift_id, l.visit_id, l.invitation_id, l.guest_id, l.pass_id, l.resident_id, l.vehicle_id, l.card_id, l.unit_id, l.plate, l.photo_file_id,
  l.blacklist_entry_id, l.nonce, l.note
from audit.access_log l;

comment on view public.access_log is
  'Every attempt to pass a gate: managers see all, guards what was decided on their shifts or by them, residents their own and their unit''s visitors''. '
  'Filter by community_id, and by access_point_id, and order by logged_at: that is one index, however old the log is.';
do $$
declare
  told record;
begin
  for told in
    select a.attname, pg_catalog.col_description(a.attrelid, a.attnum) as text
    from pg_catalog.pg_attribute a where a.attrelid = 'audit.access_log'::regclass and a.attnum > 0
  loop
    execute format('comment on column public.access_log.%I is %L', told.attname, told.text);
  end loop;
end;
$$;

grant select on public.access_log to authenticated, service_role;

-- The person may have it all; what is left after an erasure is ids that lead to nobody.

create function app.erase_access_log(ids uuid[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform set_config('app.erasing', 'audit.access_log'::regclass::oid::text, true);
  update audit.access_log l set plate = null, note = null where l.id = any (ids) and num_nonnulls(l.plate, l.note) > 0;
  perform set_config('app.erasing', '', true);
end;
$$;

comment on function app.erase_access_log(uuid[]) is 'Takes plates and remarks out of lines of the access log; that somebody came and went stays. For the registry; not executable by API roles.';

select app.register_personal_data('audit.access_log', 'resident_id', 'resident', on_erase => 'function', erase_with => 'app.erase_access_log', on_merge => 'stay',
  columns => '{"plate": null, "note": null}',
  exported => '{id,logged_at,scanned_at,access_point_id,method,direction,outcome,reason,vehicle_id,card_id,unit_id,plate,note}',
  kept_because => 'That a gate was opened or stayed shut is kept for as long as the log is; the ids lead to nobody.');
select app.register_personal_data('audit.access_log', 'caller_id', 'actor', kept_because => 'Who opened a gate stays accountable.');
-- Nobody who was erased has a card, a pass or a home any more: looking again would cost every decision as much as the line itself.
drop trigger _035_not_erased on audit.access_log;
drop trigger _035_not_erased_again on audit.access_log;

create function app.job_access_log_retention()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  kept constant integer := app.setting('security.access_log_months')::integer;
  oldest constant text := to_char(date_trunc('month', now() at time zone 'UTC') - make_interval(months => kept), '"access_log_y"YYYY"m"MM');
  gone name;
begin
  for gone in
    select c.relname
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'audit.access_log'::regclass and c.relname ~ '_y[0-9]{4}m[0-9]{2}$' and c.relname::text collate "C" < oldest
  loop
    execute format('drop table audit.%I', gone);
  end loop;
  perform set_config('app.erasing', 'audit.access_log'::regclass::oid::text, true);
  with due as materialized (
    select c.id, now() - make_interval(days => app.setting('general.visitor_data_days', c.id)::integer) as before from public.communities c
  )
  update audit.access_log l set plate = null, note = null
  from due d
  -- A fortnight, in case the job did not run for some days; what is older was seen to before.
  where l.community_id = d.id and l.logged_at < d.before and l.logged_at >= d.before - interval '14 days' and num_nonnulls(l.plate, l.note) > 0;
  perform set_config('app.erasing', '', true);
end;
$$;

comment on function app.job_access_log_retention() is
  'Job access-log-retention: drops the months that are older than security.access_log_months, and takes plates and remarks out of lines older than general.visitor_data_days.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('access-log-retention', '57 3 * * *', 'app.job_access_log_retention()', 'Drops old months of the access log, and forgets old plates.');

-- Photographs --------------------------------------------------------------------------------------------------------

create function app.access_files_with_me()
returns setof uuid
language plpgsql
stable
security definer -- looks at the log before any policy on files is decided
set search_path = ''
as $$
begin
  return query
    select l.photo_file_id
    from audit.access_log l
    where l.photo_file_id is not null and l.shift_id in (select app.my_shifts()) and l.community_id in (select app.communities_with('access_log.read_shift'));
end;
$$;

comment on function app.access_files_with_me() is
  'The photographs of attempts that were decided on the caller''s shifts (file_purposes.readable_files). Residents get none: a photograph may show a document of their visitor. Definer: looks at the log.';

select app.define_file_purpose('access.photo', 'vicinia-gates', 'What a guard photographed at the gate: a face, a plate, a parcel', '{image/png,image/jpeg,image/webp}', 5242880,
  'access.decide', 'access_log.read', read_permission => 'access_log.read', readable_files => 'app.access_files_with_me',
  kept_for => interval '30 days', removed_after => interval '90 days');

create table private.device_photos (
  file_id uuid not null,
  community_id uuid not null,
  device_id uuid not null,
  constraint device_photos_pkey primary key (file_id),
  constraint device_photos_file_fkey foreign key (community_id, file_id) references public.files (community_id, id) on delete cascade,
  constraint device_photos_device_fkey foreign key (community_id, device_id) references public.access_devices (community_id, id) on delete cascade
);

create index device_photos_file_idx on private.device_photos (community_id, file_id);
create index device_photos_device_idx on private.device_photos (community_id, device_id);

comment on table private.device_photos is 'Which device registered a photograph: files have owners, and a device is no user. It may name its own in a question, and nobody else''s.';
comment on column private.device_photos.file_id is 'The file, of the purpose access.photo.';
comment on column private.device_photos.community_id is 'The community.';
comment on column private.device_photos.device_id is 'The device.';

alter table private.device_photos enable row level security;
create policy device_photos_select on private.device_photos for select to authenticated using (false);

create function app.tg_files__device()
returns trigger
language plpgsql
security definer -- reads devices, whoever uploads
set search_path = ''
as $$
begin
  if exists (
    select from private.device_photos p
    join public.access_devices d on d.community_id = p.community_id and d.id = p.device_id
    where p.file_id = new.id and (d.status <> 'active' or d.deleted_at is not null))
  then
    perform app.refuse_object('file_owner_barred', 'The device that registered this photograph is revoked.');
  end if;
  return new;
end;
$$;

comment on function app.tg_files__device() is
  'BEFORE a photograph is stored: the address signed for it outlives the device that registered it, so the device must still be active. Definer: reads devices.';

create trigger _200_device before update of status on public.files for each row
  when (old.status = 'registered' and new.status = 'stored' and new.purpose = 'access.photo') execute function app.tg_files__device();

create function app.register_device_photo(content_type text, size bigint, sha256 text)
returns table (file_id uuid, bucket text, path text)
language plpgsql
volatile
security definer -- a device reads and writes no table
set search_path = ''
as $$
declare
  device constant public.access_devices := app.calling_device();
  rules public.file_purposes;
begin
  if device.id is null then
    perform app.fail(401, 'device_unknown', 'The header x-device-key holds no live key of a device.');
  elsif device.kind not in ('camera', 'tablet', 'intercom') then
    perform app.fail(403, 'permission_denied', format('A %s takes no photographs.', device.kind));
  end if;
  perform app.act_as_device(device.id);
  -- Of many at once none passes the limit unseen.
  perform pg_advisory_xact_lock(hashtextextended('photos of ' || device.id, 0));
  select p.* into rules from public.file_purposes p where p.key = 'access.photo';
  select a.* into file_id, bucket, path
  from app.add_file(device.community_id, rules, 'Gate', register_device_photo.content_type, register_device_photo.size, register_device_photo.sha256, null, (
    select count(*) from private.device_photos d join public.files f on f.id = d.file_id
    where d.community_id = device.community_id and d.device_id = device.id and f.status = 'registered' and f.deleted_at is null and f.created_at > now() - interval '1 day')) a;
  insert into private.device_photos (file_id, community_id, device_id) values (register_device_photo.file_id, device.community_id, device.id);
  return next;
end;
$$;

comment on function app.register_device_photo(text, bigint, text) is 'What public.register_device_photo does. Definer: a device reads and writes no table.';

create function public.register_device_photo(content_type text, size bigint, sha256 text default null)
returns table (file_id uuid, bucket text, path text)
language sql
volatile
set search_path = ''
as $$ select * from app.register_device_photo(content_type, size, sha256) $$;

comment on function public.register_device_photo(text, bigint, text) is
  'For a camera, a tablet or an intercom, with its key in x-device-key: announces a photograph (purpose access.photo), which decide_access then takes as photo_file_id from that device. The edge function gate-photo '
  'calls it and answers where to upload. Errors: device_unknown, permission_denied, feature_disabled, invalid_value, content_type_refused (415), file_too_large (413), too_many_uploads (429).';

grant execute on function app.register_device_photo(text, bigint, text), public.register_device_photo(text, bigint, text) to anon, authenticated, service_role;

-- Answers ------------------------------------------------------------------------------------------------------------

create type public.access_answer as (
  outcome public.access_outcome, reason text, log_id uuid, logged_at timestamptz, log_direction public.access_direction, detail text,
  subject_kind text, subject_name text, subject_unit text, subject_unit_id uuid, subject_visit_id uuid, subject_invitation_id uuid, subject_pass_id uuid,
  subject_resident_id uuid, subject_vehicle_id uuid, subject_card_id uuid, blacklist_entry_id uuid, blacklist_match text, is_repeated boolean
);

comment on type public.access_answer is 'What decide_access answers; its comment says what the fields are.';

create table private.access_answers (
  community_id uuid not null,
  scope_id uuid not null,
  nonce text not null,
  question bytea not null,
  answer public.access_answer not null,
  created_at timestamptz not null default now(),
  constraint access_answers_pkey primary key (community_id, scope_id, nonce)
);

comment on table private.access_answers is 'What was answered to which question: a caller that asks again with the same nonce gets the same answer, and nothing is burnt or logged twice. For a day.';
comment on column private.access_answers.community_id is 'The community.';
comment on column private.access_answers.scope_id is 'Whose nonce it is: the device or the user; the community''s own id for what is trusted.';
comment on column private.access_answers.nonce is 'The caller''s number of the attempt.';
comment on column private.access_answers.question is 'SHA-256 of what was asked: another question with this nonce gets no answer of this one.';
comment on column private.access_answers.answer is 'What decide_access answered.';
comment on column private.access_answers.created_at is 'When.';

alter table private.access_answers enable row level security;
create policy access_answers_select on private.access_answers for select to authenticated using (false);

-- Who is inside ------------------------------------------------------------------------------------------------------

create table private.presences (
  community_id uuid not null,
  subject_id uuid not null,
  kind public.presence_kind not null,
  access_point_id uuid not null,
  entered_at timestamptz not null,
  constraint presences_pkey primary key (community_id, subject_id)
) with (fillfactor = 80);

comment on table private.presences is
  'Residents, vehicles and cards that came in and have not been seen leaving. Of visitors their visit tells. Kept by app.decide_access; read it through people_inside. '
  'No foreign keys: all gates of a community would lock its one row; the job access-answers removes what belongs to none.';
comment on column private.presences.community_id is 'The community.';
comment on column private.presences.subject_id is 'The resident, vehicle or card.';
comment on column private.presences.kind is 'What the subject is.';
comment on column private.presences.access_point_id is 'Where they came in last.';
comment on column private.presences.entered_at is 'When.';

alter table private.presences enable row level security;
create policy presences_select on private.presences for select to authenticated using (false);

create function app.job_access_answers()
returns void
language sql
volatile
set search_path = ''
as $$
  delete from private.access_answers a where a.created_at < now() - interval '1 day';
  delete from private.presences p where not exists (select from public.communities c where c.id = p.community_id);
$$;

comment on function app.job_access_answers() is 'Job access-answers: forgets answers of yesterday, and who was inside where there is no community any more.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('access-answers', '11 * * * *', 'app.job_access_answers()', 'Forgets the answers of yesterday''s attempts.');

select app.define_action('PRESENCE_RESET', 'Somebody who counted as inside was said to be outside.');

create function app.reset_presence(community uuid, subject uuid, reason text)
returns boolean
language plpgsql
volatile
security definer -- nobody else may write presences
set search_path = ''
as $$
begin
  perform app.require('access.decide', community);
  if coalesce(btrim(reason), '') = '' then
    perform app.fail(422, 'reason_required', 'That somebody is not inside any more is said for a reason, which the audit log keeps.');
  end if;
  delete from private.presences p where p.community_id = community and p.subject_id = subject;
  if not found then
    return false;
  end if;
  perform app.record_action('PRESENCE_RESET', community, row_id => subject, note => reason);
  return true;
end;
$$;

comment on function app.reset_presence(uuid, uuid, text) is 'What public.reset_presence does. Definer: nobody else may write presences.';

create function public.reset_presence(community_id uuid, subject_id uuid, reason text)
returns boolean
language sql
volatile
set search_path = ''
as $$ select app.reset_presence(community_id, subject_id, reason) $$;

comment on function public.reset_presence(uuid, uuid, text) is
  'Says that a resident, a vehicle or a card is outside after all: they left unseen, and anti-passback would keep them out. Takes access.decide; the audit log keeps who and why. '
  'False if they did not count as inside. Errors: permission_denied, reason_required.';

grant execute on function app.reset_presence(uuid, uuid, text), public.reset_presence(uuid, uuid, text) to authenticated, service_role;
