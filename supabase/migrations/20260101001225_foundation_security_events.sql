-- Foundation: security events.
--
-- Purpose     What happened to an account: who signed in from where, what failed, what was changed or ended.
-- Tables      audit.security_events (monthly partitions and a default one)
-- Views       public.security_events
-- RPCs        auth_log
-- Invariants  Append-only. Told to its user and to holders of security.read on the site. Nothing here can keep anybody from
--             signing in: what Auth's own statements fire never raises. An attempt that is refused is remembered, because
--             the hook answers "reject" and does not raise. No more attempts fail in a window than the setting allows,
--             however many are made at once. Whole months go when they are older than the setting says; when an account is
--             erased, that something happened stays, and from where does not.

create type public.security_event_kind as enum (
  'signed_in', 'session_registered', 'assurance_changed', 'signed_out', 'session_ended', 'session_expired', 'sign_in_failed', 'sign_in_refused',
  'password_changed', 'email_changed', 'phone_changed', 'mfa_enrolled', 'mfa_removed'
);

select app.define_setting('security.sign_in_failures', 'integer', '10', '{site}',
  'How many wrong passwords of one account are taken within the window before more are refused; 0: any number. Needs the hook password_verification_attempt.', minimum => 0, maximum => 1000);
select app.define_setting('security.sign_in_window_minutes', 'integer', '15', '{site}', 'The minutes in which wrong passwords are counted.', minimum => 1, maximum => 1440);
select app.define_setting('security.event_months', 'integer', '12', '{site}', 'How many whole months security events are kept.', minimum => 1, maximum => 120);

-- The log ------------------------------------------------------------------------------------------------------------

create table audit.security_events (
  id bigint generated always as identity,
  -- Not now(): attempts are counted in the order in which they waited for each other.
  recorded_at timestamptz not null default clock_timestamp(),
  kind public.security_event_kind not null,
  user_id uuid not null,
  session_id uuid,
  address inet,
  user_agent text,
  country text,
  region text,
  city text,
  actor_id uuid,
  actor_label text,
  note text,
  constraint security_events_pkey primary key (recorded_at, id)
) partition by range (recorded_at);

create index security_events_user_idx on audit.security_events (user_id, recorded_at);

comment on table audit.security_events is 'What happened to accounts. Append-only; read it through public.security_events. A plain user id: it outlives the user, until its month goes.';
comment on column audit.security_events.id is 'Counts the events.';
comment on column audit.security_events.recorded_at is 'When it happened.';
comment on column audit.security_events.kind is
  'signed_in: Auth opened a session. session_registered: its app said where from. assurance_changed: a second factor was proved or went (note: the level). signed_out: Auth removed the session. session_ended: by the user or an administrator, here. '
  'session_expired: Auth cleared away what had run out. sign_in_failed: a wrong password. sign_in_refused: after too many of them. The others: what they say.';
comment on column audit.security_events.user_id is 'Whose account.';
comment on column audit.security_events.session_id is 'The session, where there is one.';
comment on column audit.security_events.address is 'The address, as Auth or the gateway saw it; not known of wrong passwords, of which Auth''s hook tells only whose.';
comment on column audit.security_events.user_agent is 'The program, by its own account.';
comment on column audit.security_events.country is 'Approximate: ISO 3166-1 alpha-2, by the header of a proxy.';
comment on column audit.security_events.region is 'Approximate, by the header of a proxy.';
comment on column audit.security_events.city is 'Approximate, by the header of a proxy.';
comment on column audit.security_events.actor_id is 'The user who did it through the API; null when Auth or no user did.';
comment on column audit.security_events.actor_label is 'Who did it when no user did: supabase_auth_admin (Auth), studio:postgres, service_role.';
comment on column audit.security_events.note is 'The reason an administrator gave; the device''s or the factor''s name; the new assurance level.';

alter table audit.security_events enable row level security;
create policy security_events_select on audit.security_events for select to authenticated
  using (user_id = (select app.user_id()) or (select app.can_on_site('security.read')));
grant select on audit.security_events to authenticated, service_role;

create trigger _100_append_only before update or delete or truncate on audit.security_events
  for each statement execute function app.tg__append_only();

select app.ensure_partitions('audit.security_events');

create view public.security_events with (security_invoker = true) as
select
  e.id, e.recorded_at, e.kind, e.user_id, e.session_id, app.device_label(e.user_agent) as device, e.user_agent, host(e.address) as address,
  e.country, e.region, e.city, e.actor_id, e.actor_label, e.note
from audit.security_events e;

comment on view public.security_events is
  'What happened to accounts: the own to everybody, all to holders of security.read on the site. Filter by user_id and order by recorded_at: both are indexed together.';
comment on column public.security_events.id is 'Counts the events.';
comment on column public.security_events.recorded_at is 'When it happened.';
comment on column public.security_events.kind is 'What happened; see audit.security_events.';
comment on column public.security_events.user_id is 'Whose account.';
comment on column public.security_events.session_id is 'The session, where there is one.';
comment on column public.security_events.device is 'What to call the device, by its user agent.';
comment on column public.security_events.user_agent is 'The program, by its own account.';
comment on column public.security_events.address is 'The address, where it is known.';
comment on column public.security_events.country is 'Approximate: ISO 3166-1 alpha-2.';
comment on column public.security_events.region is 'Approximate.';
comment on column public.security_events.city is 'Approximate.';
comment on column public.security_events.actor_id is 'The user who did it through the API.';
comment on column public.security_events.actor_label is 'Who did it when no user did.';
comment on column public.security_events.note is 'The reason given, the device''s or factor''s name, the new assurance level.';

grant select on public.security_events to authenticated, service_role;

-- What Auth does -----------------------------------------------------------------------------------------------------
-- No `when` and no `of` names a column of Auth's tables: Auth could no longer change that column's type.

create function app.tg_auth_sessions__security()
returns trigger
language plpgsql
security definer -- Auth's own role may not write our tables
set search_path = ''
as $$
declare
  ending jsonb;
begin
  if tg_op = 'INSERT' then
    insert into audit.security_events (kind, user_id, session_id, address, user_agent, actor_label)
    values ('signed_in', new.user_id, new.id, new.ip, left(new.user_agent, 500), app.actor_label());
  elsif tg_op = 'UPDATE' then
    if new.aal is distinct from old.aal then
      insert into audit.security_events (kind, user_id, session_id, address, user_agent, actor_id, actor_label, note)
      values ('assurance_changed', new.user_id, new.id, new.ip, left(new.user_agent, 500), auth.uid(), app.actor_label(), new.aal::text);
    end if;
  -- A user who is deleted takes the sessions along, and needs no telling.
  elsif exists (select from auth.users u where u.id = old.user_id) then
    ending := nullif(current_setting('app.session_end', true), '');
    insert into audit.security_events (kind, user_id, session_id, address, user_agent, actor_id, actor_label, note)
    values (
      case when ending is not null then 'session_ended' when old.not_after <= now() then 'session_expired' else 'signed_out' end::public.security_event_kind,
      old.user_id, old.id, old.ip, left(old.user_agent, 500), auth.uid(), app.actor_label(), ending ->> 'reason');
  end if;
  return null;
exception when others then
  raise warning 'a security event of session % was not recorded: %', coalesce(new.id, old.id), sqlerrm;
  return null;
end;
$$;

comment on function app.tg_auth_sessions__security() is
  'AFTER INSERT, UPDATE OR DELETE on auth.sessions: signed in, another assurance level, signed out, ended or expired. Never raises: an error would block signing in. Definer: Auth''s role may not write audit.';

create trigger _600_vicinia_security after insert or update or delete on auth.sessions
  for each row execute function app.tg_auth_sessions__security();

create function app.tg_auth_users__security()
returns trigger
language plpgsql
security definer -- Auth's own role may not write our tables
set search_path = ''
as $$
begin
  insert into audit.security_events (kind, user_id, session_id, actor_id, actor_label)
  select c.kind::public.security_event_kind, new.id, app.session_id(), auth.uid(), app.actor_label()
  from (values
    ('password_changed', coalesce(new.encrypted_password, '') <> coalesce(old.encrypted_password, '')),
    ('email_changed', coalesce(new.email, '') <> coalesce(old.email, '')),
    ('phone_changed', coalesce(new.phone, '') <> coalesce(old.phone, ''))
  ) c (kind, is_so)
  where c.is_so and new.deleted_at is null;
  return null;
exception when others then
  raise warning 'a security event of user % was not recorded: %', new.id, sqlerrm;
  return null;
end;
$$;

comment on function app.tg_auth_users__security() is
  'AFTER UPDATE on auth.users: the password, the address or the number changed; to what, is not repeated here. Never raises: an error would block signing in. Definer: Auth''s role may not write audit.';

create trigger _600_vicinia_security after update on auth.users
  for each row execute function app.tg_auth_users__security();

create function app.tg_auth_mfa_factors__security()
returns trigger
language plpgsql
security definer -- Auth's own role may not write our tables
set search_path = ''
as $$
declare
  was constant boolean := tg_op <> 'INSERT' and old.status::text = 'verified';
  is_now constant boolean := tg_op <> 'DELETE' and new.status::text = 'verified';
begin
  if was is distinct from is_now then
    insert into audit.security_events (kind, user_id, actor_id, actor_label, note)
    select case when is_now then 'mfa_enrolled' else 'mfa_removed' end::public.security_event_kind, u.id, auth.uid(), app.actor_label(),
      concat_ws(': ', coalesce(new.factor_type, old.factor_type)::text, nullif(coalesce(new.friendly_name, old.friendly_name), ''))
    from auth.users u
    where u.id = coalesce(new.user_id, old.user_id);
  end if;
  return null;
exception when others then
  raise warning 'a security event of a factor of user % was not recorded: %', coalesce(new.user_id, old.user_id), sqlerrm;
  return null;
end;
$$;

comment on function app.tg_auth_mfa_factors__security() is
  'AFTER INSERT, UPDATE OR DELETE on auth.mfa_factors: a second factor was verified, or is gone. Never raises: an error would block signing in. Definer: Auth''s role may not write audit.';

create trigger _600_vicinia_security after insert or update or delete on auth.mfa_factors
  for each row execute function app.tg_auth_mfa_factors__security();

create function app.tg_session_origins__registered()
returns trigger
language plpgsql
security definer -- nobody else may write audit
set search_path = ''
as $$
begin
  insert into audit.security_events (kind, user_id, session_id, address, user_agent, country, region, city, actor_id, note)
  values ('session_registered', new.user_id, new.session_id, new.address, new.user_agent, new.country, new.region, new.city, auth.uid(), new.device_name);
  return null;
end;
$$;

comment on function app.tg_session_origins__registered() is 'AFTER INSERT: the app of a new session said where it is. Definer: nobody else may write audit.';

create trigger _600_registered after insert on private.session_origins for each row execute function app.tg_session_origins__registered();

-- Wrong passwords ----------------------------------------------------------------------------------------------------

create function app.password_attempt(event jsonb)
returns jsonb
language plpgsql
volatile
security definer -- Auth's own role reads and writes nothing of ours
set search_path = ''
as $$
declare
  most integer;
  minutes integer;
  failed integer;
  subject uuid;
begin
  subject := event ->> 'user_id'; -- here and not above, where no handler would catch what is no id
  most := app.setting('security.sign_in_failures')::integer;
  minutes := app.setting('security.sign_in_window_minutes')::integer;
  -- One attempt of an account at a time, so that many at once count each other.
  perform pg_advisory_xact_lock(hashtextextended('password attempts of ' || subject, 0));
  select count(*) into failed
  from audit.security_events e
  where e.user_id = subject and e.recorded_at > clock_timestamp() - make_interval(mins => minutes) and e.kind = 'sign_in_failed';

  if most > 0 and failed >= most then
    insert into audit.security_events (kind, user_id, actor_label) values ('sign_in_refused', subject, app.actor_label());
    return jsonb_build_object('decision', 'reject', 'message', format(
      'Too many wrong passwords. Wait up to %s minutes, or sign in by a link sent to your address.', minutes));
  elsif not (event ->> 'valid')::boolean then
    insert into audit.security_events (kind, user_id, actor_label) values ('sign_in_failed', subject, app.actor_label());
  end if;
  return '{"decision": "continue"}';
exception when others then
  raise warning 'an attempt to sign in was not recorded: %', sqlerrm;
  return '{"decision": "continue"}';
end;
$$;

comment on function app.password_attempt(jsonb) is
  'Password verification hook of Auth (Team and Enterprise plans, or self-hosted). In: {"user_id", "valid"}; out: {"decision": "continue"}, or {"decision": "reject", "message"} after too many wrong passwords, right ones included. '
  'Refused attempts do not count, so that the window passes. Never raises. Definer: Auth''s role reads and writes nothing of ours.';

grant execute on function app.password_attempt(jsonb) to supabase_auth_admin;

-- Auth's own log -----------------------------------------------------------------------------------------------------

create function app.auth_log(subject uuid, since timestamptz, most integer)
returns table (recorded_at timestamptz, action text, actor_id uuid, address text, provider text)
language plpgsql
stable
security definer -- reads Auth's log
set search_path = ''
as $$
begin
  if not app.is_trusted() and (subject is null or subject is distinct from app.user_id()) and not app.can_on_site('security.read') then
    perform app.refuse('security.read');
  elsif most < 0 then
    perform app.fail(422, 'invalid_value', 'The value of most is not valid.', 'From 0 to 1000.');
  elsif to_regclass('auth.audit_log_entries') is null then
    return;
  end if;
  return query execute
    $q$
      select l.created_at, l.payload ->> 'action', (l.payload ->> 'actor_id')::uuid, nullif(l.ip_address, '')::text, l.payload -> 'traits' ->> 'provider'
      from auth.audit_log_entries l
      where l.created_at > $2 and ($1 is null or l.payload ->> 'actor_id' = $1::text)
      order by l.created_at desc
      limit $3
    $q$
    using subject, since, least(most, 1000);
end;
$$;

comment on function app.auth_log(uuid, timestamptz, integer) is 'What public.auth_log does. Definer: reads auth.audit_log_entries.';

create function public.auth_log(user_id uuid default null, since timestamptz default now() - interval '30 days', most integer default 100)
returns table (recorded_at timestamptz, action text, actor_id uuid, address text, provider text)
language sql
stable
set search_path = ''
as $$ select * from app.auth_log(user_id, since, most) $$;

comment on function public.auth_log(uuid, timestamptz, integer) is
  'What Auth itself wrote down (login, logout, token_refreshed, user_modified, …), newest first: of one user, the own or with security.read on the site; without a user of everybody, for security.read. '
  'Auth records no wrong password there, and hosted projects may keep the log out of the database: then it is empty. Not indexed by Auth: keep the time short. Errors: permission_denied, invalid_value.';

grant execute on function app.auth_log(uuid, timestamptz, integer), public.auth_log(uuid, timestamptz, integer) to authenticated, service_role;

-- Keeping ------------------------------------------------------------------------------------------------------------

create function app.job_security_event_retention()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  oldest constant text := to_char(now() at time zone 'UTC' - make_interval(months => app.setting('security.event_months')::integer), '"security_events_y"YYYY"m"MM');
  gone name;
begin
  for gone in
    select c.relname
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'audit.security_events'::regclass and c.relname ~ '_y[0-9]{4}m[0-9]{2}$' and c.relname::text collate "C" < oldest
  loop
    execute format('drop table audit.%I', gone);
  end loop;
end;
$$;

comment on function app.job_security_event_retention() is
  'Job security-event-retention: drops the months of security events that are older than security.event_months. They hold addresses, which nobody may keep for ever.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('security-event-retention', '47 3 2 * *', 'app.job_security_event_retention()', 'Drops the months of security events that are kept no longer.');

-- Erasing ------------------------------------------------------------------------------------------------------------

select app.define_action('SECURITY_EVENTS_ERASED', 'Addresses, devices and notes were erased from the security events of an account.');

create function app.erase_security_events(subject uuid, reason text)
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  erased bigint;
begin
  if coalesce(btrim(reason), '') = '' then
    perform app.fail(422, 'reason_required', 'What is erased from the security events is erased for a reason, which the audit log keeps.');
  end if;
  perform set_config('app.erasing', 'audit.security_events'::regclass::oid::text, true);
  update audit.security_events e
  set address = null, user_agent = null, country = null, region = null, city = null, note = case when e.kind = 'assurance_changed' then e.note end
  where e.user_id = subject
    and num_nonnulls(e.address, e.user_agent, e.country, e.region, e.city, case when e.kind <> 'assurance_changed' then e.note end) > 0;
  get diagnostics erased = row_count;
  perform set_config('app.erasing', '', true);
  if erased > 0 then
    perform app.record_action('SECURITY_EVENTS_ERASED', note => reason, details => jsonb_build_object('user_id', subject, 'events', erased));
  end if;
  return erased;
end;
$$;

comment on function app.erase_security_events(uuid, text) is
  'Erases addresses, devices, places and notes from one user''s security events, and returns of how many; what happened and when stays, under an id that leads to nobody once the account is gone. '
  'Leaves an entry in the audit log (SECURITY_EVENTS_ERASED). The one way past the log''s append-only guard; not executable by API roles. Errors: reason_required.';
