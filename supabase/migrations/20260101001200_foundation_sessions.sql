-- Foundation: sessions.
--
-- Purpose     Where a user is signed in, from which device, address and place; and ending a session.
-- Tables      private.session_origins (what a session told of itself after it was opened)
-- RPCs        my_sessions, user_sessions, register_session, end_session, end_other_sessions, end_user_sessions
-- Invariants  A session is a row of auth.sessions. Ending it deletes that row, and with it its refresh tokens; from the next
--             statement on its token gives nothing (app.session_is_live). It ends once, however many people end it at a time.
--             An account that is not active has no session. Addresses and places are told to their user and to holders of
--             security.read on the site, and to nobody in a community: they are personal, and reach beyond it.

select app.define_permission('security.read', 'site', 'See every user''s sessions and security events', '{site/superadmin}');

select app.define_setting('security.require_session', 'boolean', 'false', '{site}',
  'Refuse tokens that belong to no session of Auth (third-party auth): nobody can end them before they run out.');
select app.define_setting('security.location_headers', 'choice', '"cloudflare"', '{site}',
  'Which proxy in front says where a request comes from; its headers are believed, others are not. Hosted projects are behind Cloudflare.',
  options => '{none,cloudflare,cloudfront,vercel,appengine}');

-- Where a request comes from -----------------------------------------------------------------------------------------

create function app.location_headers()
returns table (source text, country text, region text, city text)
language sql
immutable
set search_path = ''
begin atomic
  values
    ('cloudflare', 'cf-ipcountry', 'cf-region', 'cf-ipcity'),
    ('cloudfront', 'cloudfront-viewer-country', 'cloudfront-viewer-country-region-name', 'cloudfront-viewer-city'),
    ('vercel', 'x-vercel-ip-country', 'x-vercel-ip-country-region', 'x-vercel-ip-city'),
    ('appengine', 'x-appengine-country', 'x-appengine-region', 'x-appengine-city');
end;

comment on function app.location_headers() is 'The headers in which each proxy says where a request comes from, as the proxies'' manuals name them: country (ISO 3166-1 alpha-2), region, city.';

create function app.header_text(value text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
declare
  decoded text := value;
begin
  -- Headers hold ASCII, so names of cities are percent-encoded (Vercel) or in Latin-1.
  if value ~ '%[0-9A-Fa-f]{2}' then
    select convert_from(string_agg(case when m[1] ~ '^%..' then decode(substr(m[1], 2), 'hex') else convert_to(m[1], 'UTF8') end, ''::bytea order by n), 'UTF8')
    into decoded
    from regexp_matches(value, '%[0-9A-Fa-f]{2}|.', 'g') with ordinality x (m, n);
  end if;
  return nullif(left(btrim(regexp_replace(decoded, '[[:cntrl:]]+', ' ', 'g')), 100), '');
exception when character_not_in_repertoire or untranslatable_character then
  return null;
end;
$$;

comment on function app.header_text(text) is 'The text of a header, percent-decoded, without control characters, at most 100 characters; null when it holds none.';

create function app.request_location()
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  headers constant jsonb := nullif(current_setting('request.headers', true), '')::jsonb;
  believed constant text := app.setting('security.location_headers') #>> '{}';
  told jsonb;
begin
  select jsonb_build_object(
    -- XX and T1 are what Cloudflare says of unknown addresses and of Tor.
    'country', nullif(substring(upper(headers ->> h.country) from '^[A-Z]{2}$'), 'XX'),
    'region', app.header_text(headers ->> h.region), 'city', app.header_text(headers ->> h.city))
  into told
  from app.location_headers() h
  where h.source = believed;
  return jsonb_strip_nulls(coalesce(told, '{}'));
end;
$$;

comment on function app.request_location() is
  'Where the request comes from, {"country", "region", "city"}, as far as the proxy named by security.location_headers says it. As trustworthy as that proxy: without it in front a client can write the header itself.';

create function app.device_label(user_agent text)
returns text
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
declare
  program constant text := case
    when user_agent ~ 'Edg(A|iOS)?/' then 'Edge'
    when user_agent ~ 'OPR/' then 'Opera'
    when user_agent ~ 'SamsungBrowser/' then 'Samsung Internet'
    when user_agent ~ '(Firefox|FxiOS)/' then 'Firefox'
    when user_agent ~ '(Chrome|CriOS)/' then 'Chrome'
    when user_agent ~ 'Version/[0-9.]+ .*Safari/' then 'Safari'
    -- What calls itself by a name and nothing that browsers say: an app's own HTTP client, a script.
    when user_agent !~ '^Mozilla/' then substring(user_agent from '^[A-Za-z][A-Za-z0-9._-]{0,39}')
  end;
  system constant text := case
    when user_agent ~ 'iPhone' then 'iPhone'
    when user_agent ~ 'iPad' then 'iPad'
    when user_agent ~ 'Android' then 'Android'
    when user_agent ~ 'Windows' then 'Windows'
    when user_agent ~ 'CrOS' then 'ChromeOS'
    when user_agent ~ 'Macintosh|Mac OS X|Darwin' then 'macOS'
    when user_agent ~ 'Linux|X11' then 'Linux'
  end;
begin
  return nullif(concat_ws(' on ', program, system), '');
end;
$$;

comment on function app.device_label(text) is
  'What to call a device by its user agent: "Firefox on Windows". Families only, without versions, which browsers freeze anyway; null when nothing is recognized. A user agent says what it likes: a label, not a proof.';

-- What a session told of itself --------------------------------------------------------------------------------------

create table private.session_origins (
  session_id uuid not null,
  user_id uuid not null,
  device_name text,
  user_agent text,
  address inet,
  country text,
  region text,
  city text,
  registered_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  constraint session_origins_pkey primary key (session_id),
  constraint session_origins_session_fkey foreign key (session_id) references auth.sessions (id) on delete cascade,
  constraint session_origins_user_fkey foreign key (user_id) references auth.users (id) on delete cascade,
  constraint session_origins_device_name_check check (app.is_name(device_name) and length(device_name) <= 100)
);

create index session_origins_user_idx on private.session_origins (user_id);

comment on table private.session_origins is
  'What Auth does not know of a session: the name its app gave the device, and where a request of the app came from. Written by register_session; gone with the session. Read through my_sessions and user_sessions.';
comment on column private.session_origins.session_id is 'The session, in Auth.';
comment on column private.session_origins.user_id is 'Whose session it is.';
comment on column private.session_origins.device_name is 'What the app calls the device: "Ana''s phone".';
comment on column private.session_origins.user_agent is 'The program of the app''s last registration; Auth may have seen a server that signed in for it.';
comment on column private.session_origins.address is 'The address of the app''s last registration.';
comment on column private.session_origins.country is 'Approximate: ISO 3166-1 alpha-2, by the header of a proxy.';
comment on column private.session_origins.region is 'Approximate, by the header of a proxy.';
comment on column private.session_origins.city is 'Approximate, by the header of a proxy.';
comment on column private.session_origins.registered_at is 'When the app first registered the session.';
comment on column private.session_origins.seen_at is 'When the app last registered it.';

alter table private.session_origins enable row level security;
create policy session_origins_select on private.session_origins for select to authenticated using (false);

create function app.session_id()
returns uuid
language plpgsql
stable
set search_path = ''
as $$
begin
  return nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'session_id';
end;
$$;

comment on function app.session_id() is 'The session of Auth that the caller''s token names; null for a token that names none. Whether it still lives, app.session_is_live says.';

create function app.register_session(device_name text)
returns void
language plpgsql
volatile
security definer -- nobody else may write private.session_origins
set search_path = ''
as $$
declare
  caller constant uuid := app.user_id();
  session constant uuid := app.session_id();
  place constant jsonb := app.request_location();
  refused text;
begin
  if caller is null then
    perform app.fail(403, 'permission_denied', 'A session is registered by a user who is signed in.');
  elsif session is null then
    perform app.fail(401, 'session_required', 'This token belongs to no session.');
  end if;
  insert into private.session_origins as o (session_id, user_id, device_name, user_agent, address, country, region, city)
  values (session, caller, register_session.device_name, left(nullif(current_setting('request.headers', true), '')::jsonb ->> 'user-agent', 500),
    app.request_address(), place ->> 'country', place ->> 'region', place ->> 'city')
  on conflict on constraint session_origins_pkey do update
  set device_name = coalesce(excluded.device_name, o.device_name), user_agent = excluded.user_agent, address = excluded.address,
    country = excluded.country, region = excluded.region, city = excluded.city, seen_at = clock_timestamp();
exception
  when foreign_key_violation then
    perform app.fail(401, 'session_ended', 'The session was ended meanwhile.', 'Sign in again.');
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('session_origins', refused);
end;
$$;

comment on function app.register_session(text) is 'What public.register_session does. Definer: no API role may write private.session_origins.';

create function public.register_session(device_name text default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.register_session(device_name) $$;

comment on function public.register_session(text) is
  'Tells, after signing in and at every start of an app, what the device is called, and from where it asks: address, program, and the place that a proxy in front says. Shown by my_sessions. '
  'Errors: permission_denied, session_required, session_ended, invalid_value.';

-- Seeing them --------------------------------------------------------------------------------------------------------

create function app.sessions_of(subject uuid)
returns table (
  session_id uuid, device text, device_name text, user_agent text, address text, country text, region text, city text,
  created_at timestamptz, last_seen_at timestamptz, expires_at timestamptz, aal text, is_current boolean
)
language plpgsql
stable
security definer -- reads Auth's sessions
set search_path = ''
as $$
begin
  if not app.is_trusted() and subject is distinct from app.user_id() and not app.can_on_site('security.read') then
    perform app.refuse('security.read');
  elsif subject is null then
    perform app.fail(403, 'permission_denied', 'Sessions belong to a user who is signed in.');
  end if;
  return query
    select s.id, app.device_label(coalesce(o.user_agent, s.user_agent)), o.device_name, coalesce(o.user_agent, s.user_agent),
      host(coalesce(o.address, s.ip)), o.country, o.region, o.city,
      s.created_at, greatest(s.created_at, s.refreshed_at at time zone 'UTC', o.seen_at), s.not_after, s.aal::text,
      coalesce(s.id = app.session_id(), false)
    from auth.sessions s
    left join private.session_origins o on o.session_id = s.id
    where s.user_id = subject and (s.not_after is null or s.not_after > now())
    order by 10 desc, s.id;
end;
$$;

comment on function app.sessions_of(uuid) is 'What my_sessions and user_sessions answer. Definer: reads auth.sessions and private.session_origins.';

create function public.my_sessions()
returns table (
  session_id uuid, device text, device_name text, user_agent text, address text, country text, region text, city text,
  created_at timestamptz, last_seen_at timestamptz, expires_at timestamptz, aal text, is_current boolean
)
language sql
stable
set search_path = ''
as $$ select * from app.sessions_of(app.user_id()) $$;

comment on function public.my_sessions() is
  'Where the caller is signed in, last seen first: device (a label by the user agent), address, approximate place (where a header gave one), aal, and which of them is this one. Errors: permission_denied.';

create function public.user_sessions(user_id uuid)
returns table (
  session_id uuid, device text, device_name text, user_agent text, address text, country text, region text, city text,
  created_at timestamptz, last_seen_at timestamptz, expires_at timestamptz, aal text, is_current boolean
)
language sql
stable
set search_path = ''
as $$ select * from app.sessions_of(user_id) $$;

comment on function public.user_sessions(uuid) is 'Where a user is signed in, as my_sessions tells it. The own, or with security.read on the site. Errors: permission_denied.';

-- Ending them --------------------------------------------------------------------------------------------------------

create function app.delete_sessions(ids uuid[], reason text)
returns integer
language plpgsql
volatile
security definer -- deletes Auth's sessions
set search_path = ''
as $$
declare
  ended integer;
begin
  -- Told to the trigger that writes the security event.
  perform set_config('app.session_end', jsonb_build_object('reason', reason)::text, true);
  -- In order of id, so that two who end the same sessions at once wait and do not lock each other up.
  perform from auth.sessions s where s.id = any (ids) order by s.id for update;
  with deleted as (
    delete from auth.sessions s where s.id = any (ids) returning s.id, s.user_id
  )
  select coalesce(sum(told.sessions), 0) into ended
  from (
    select cardinality(d.ids) as sessions, app.emit('session.ended', null, jsonb_build_object(
      'user_id', d.user_id, 'session_ids', d.ids, 'ended_by', auth.uid(), 'reason', delete_sessions.reason))
    from (select x.user_id, array_agg(x.id order by x.id) as ids from deleted x group by 1) d
    offset 0
  ) told;
  perform set_config('app.session_end', '', true);
  return ended;
end;
$$;

comment on function app.delete_sessions(uuid[], text) is
  'Ends sessions: their rows go, and their refresh tokens with them; tells of it (session.ended) and returns how many there were to end. Locks them in order of id. Definer: deletes Auth''s sessions; not executable by API roles.';

create function app.end_session(session uuid, reason text)
returns void
language plpgsql
volatile
security definer -- finds the session's user
set search_path = ''
as $$
declare
  subject uuid;
begin
  if length(reason) > 500 then
    perform app.fail(422, 'invalid_value', 'The reason takes at most 500 characters.');
  end if;
  select s.user_id into subject from auth.sessions s where s.id = session;
  -- Answers the same for what is not there and for what is somebody else's.
  if subject is null
    or not (app.is_trusted() or subject = coalesce(app.user_id(), '00000000-0000-0000-0000-000000000000') or app.can_on_site('users.manage'))
    or app.delete_sessions(array[session], reason) = 0
  then
    perform app.fail(404, 'session_not_found', 'There is no session with this id, or it has ended already.');
  end if;
end;
$$;

comment on function app.end_session(uuid, text) is 'What public.end_session does. Definer: finds the session''s user.';

create function public.end_session(session_id uuid, reason text default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.end_session(session_id, reason) $$;

comment on function public.end_session(uuid, text) is
  'Ends a session, on its next statement, and its refresh tokens with it: the own, or anybody''s with users.manage on the site. Errors: session_not_found, invalid_value.';

create function app.end_other_sessions()
returns integer
language plpgsql
volatile
security definer -- finds the caller's other sessions
set search_path = ''
as $$
declare
  caller constant uuid := app.user_id();
  current constant uuid := app.session_id();
begin
  if caller is null then
    perform app.fail(403, 'permission_denied', 'Sessions belong to a user who is signed in.');
  elsif current is null then
    perform app.fail(401, 'session_required', 'This token belongs to no session, so no other could be told from it.');
  end if;
  return app.delete_sessions(array(select s.id from auth.sessions s where s.user_id = caller and s.id <> current), null);
end;
$$;

comment on function app.end_other_sessions() is 'What public.end_other_sessions does. Definer: finds the caller''s other sessions.';

create function public.end_other_sessions()
returns integer
language sql
volatile
set search_path = ''
as $$ select app.end_other_sessions() $$;

comment on function public.end_other_sessions() is 'Ends every session of the caller but this one, and returns how many there were. Errors: permission_denied, session_required.';

create function app.end_user_sessions(subject uuid, reason text)
returns integer
language plpgsql
volatile
security definer -- finds the user's sessions
set search_path = ''
as $$
begin
  if not app.is_trusted() and not app.can_on_site('users.manage') then
    perform app.refuse('users.manage');
  elsif length(btrim(reason)) between 3 and 500 is not true then
    perform app.fail(422, 'reason_required', 'Somebody else''s sessions are ended for a reason of 3 to 500 characters, which the user reads.');
  elsif not exists (select from public.profiles p where p.id = subject) then
    perform app.fail(404, 'user_not_found', 'There is no user with this id.');
  end if;
  return app.delete_sessions(array(select s.id from auth.sessions s where s.user_id = subject), btrim(reason));
end;
$$;

comment on function app.end_user_sessions(uuid, text) is 'What public.end_user_sessions does. Definer: finds the user''s sessions.';

create function public.end_user_sessions(user_id uuid, reason text)
returns integer
language sql
volatile
set search_path = ''
as $$ select app.end_user_sessions(user_id, reason) $$;

comment on function public.end_user_sessions(uuid, text) is
  'Ends every session of a user, on their next statement, and returns how many there were; the user reads the reason among their security events. Takes users.manage on the site. '
  'Errors: permission_denied, reason_required, user_not_found.';

create function app.tg_profiles__end_sessions()
returns trigger
language plpgsql
security definer -- finds the user's sessions
set search_path = ''
as $$
begin
  perform app.delete_sessions(array(select s.id from auth.sessions s where s.user_id = new.id), 'The account was set to ' || new.status || '.');
  return null;
end;
$$;

comment on function app.tg_profiles__end_sessions() is 'AFTER an account was set to another status than active: its sessions end. Definer: finds the user''s sessions.';

create trigger _600_end_sessions after update of status on public.profiles for each row
  when (new.status <> 'active' and new.status <> old.status) execute function app.tg_profiles__end_sessions();

grant execute on function
  app.location_headers(), app.header_text(text), app.request_location(), app.device_label(text), app.session_id(),
  app.register_session(text), public.register_session(text), app.sessions_of(uuid), public.my_sessions(), public.user_sessions(uuid),
  app.end_session(uuid, text), public.end_session(uuid, text), app.end_other_sessions(), public.end_other_sessions(),
  app.end_user_sessions(uuid, text), public.end_user_sessions(uuid, text)
to authenticated, service_role;
