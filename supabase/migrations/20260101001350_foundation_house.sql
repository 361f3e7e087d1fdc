-- Foundation: how a community presents itself, when it is open, and what its rules are.
--
-- Purpose     Branding, opening hours with their exceptions, house rules in versions and who has acknowledged them.
-- Tables      brandings, opening_hours, opening_exceptions, house_rules, house_rule_acknowledgements
-- RPCs        set_branding, set_opening_hours, set_opening_exception, opening_times, is_open,
--             publish_house_rules, house_rules_on, acknowledge_house_rules
-- Invariants  A logo is a stored file of this community, uploaded as its logo; the paper of the rules is one of its documents. Opening
--             hours of a day never overlap; they are in the community's time zone, whatever the clocks do. A published version of
--             the rules never changes and is never archived but with its community; versions count up, none comes into force
--             before the one it replaces, so there is one in force on every day from the first on.

-- Branding -----------------------------------------------------------------------------------------------------------

create table public.brandings (
  id uuid not null default extensions.uuidv7(),
  display_name text not null,
  community_id uuid not null,
  short_name text,
  primary_color text,
  accent_color text,
  logo_file_id uuid,
  like app.row_model including defaults including comments,
  constraint brandings_pkey primary key (id),
  constraint brandings_community_key unique nulls not distinct (community_id, deleted_at),
  constraint brandings_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint brandings_logo_fkey foreign key (community_id, logo_file_id) references public.files (community_id, id) on delete set null (logo_file_id),
  constraint brandings_display_name_check check (app.is_name(display_name)),
  constraint brandings_short_name_check check (app.is_name(short_name) and length(short_name) <= 12),
  constraint brandings_primary_color_check check (primary_color ~ '^#[0-9a-f]{6}$'),
  constraint brandings_accent_color_check check (accent_color ~ '^#[0-9a-f]{6}$')
);

create index brandings_logo_idx on public.brandings (community_id, logo_file_id) where logo_file_id is not null;

comment on table public.brandings is 'How an app presents a community: names, colours, logo. At most one row per community; changed by set_branding.';
comment on column public.brandings.display_name is 'What stands at the top of the app.';
comment on column public.brandings.short_name is 'Up to 12 characters, as under an icon.';
comment on column public.brandings.primary_color is 'Colour of what matters most, as #rrggbb.';
comment on column public.brandings.accent_color is 'Second colour, as #rrggbb.';
comment on column public.brandings.logo_file_id is 'The logo: a file of purpose community.logo.';

select app.track('public.brandings');

create policy brandings_select on public.brandings for select to authenticated
  using (
    community_id = any ((select app.communities_where('communities.read'))::uuid[])
    and deleted_at is null
  );
grant select on public.brandings to authenticated;
grant select, insert, update on public.brandings to service_role;

create trigger _200_logo before insert or update of logo_file_id on public.brandings for each row
  when (new.logo_file_id is not null) execute function app.tg__stored_file('logo_file_id', 'community.logo');

create function app.require_live_community(permission text, community uuid)
returns void
language plpgsql
volatile
security definer -- locks the community
set search_path = ''
as $$
begin
  perform app.require(permission, community);
  -- One at a time replaces what a community has once.
  perform from public.communities c where c.id = community and c.deleted_at is null for no key update;
  if not found then
    perform app.fail(404, 'community_not_found', 'There is no live community with this id.');
  end if;
end;
$$;

comment on function app.require_live_community(text, uuid) is
  'Refuses without the permission (403 permission_denied) and for an archived community (404 community_not_found), and holds the community until the transaction ends. Definer: locks it.';

create function app.set_branding(community uuid, display_name text, short_name text, primary_color text, accent_color text, logo_file_id uuid)
returns uuid
language plpgsql
volatile
security definer -- API roles may not write brandings
set search_path = ''
as $$
declare
  made uuid;
  refused text;
begin
  perform app.require_live_community('communities.update', community);
  if display_name is null then
    perform app.fail(422, 'invalid_value', 'A community has a display_name.');
  end if;
  insert into public.brandings as b (community_id, display_name, short_name, primary_color, accent_color, logo_file_id)
  values (community, set_branding.display_name, set_branding.short_name, lower(set_branding.primary_color), lower(set_branding.accent_color), set_branding.logo_file_id)
  on conflict on constraint brandings_community_key do update
  set display_name = excluded.display_name, short_name = excluded.short_name, primary_color = excluded.primary_color,
    accent_color = excluded.accent_color, logo_file_id = excluded.logo_file_id
  returning b.id into made;
  return made;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('brandings', refused);
end;
$$;

comment on function app.set_branding(uuid, text, text, text, text, uuid) is 'What public.set_branding does. Definer: no API role may write brandings.';

create function public.set_branding(
  community_id uuid, display_name text, short_name text default null, primary_color text default null, accent_color text default null, logo_file_id uuid default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.set_branding(community_id, display_name, short_name, primary_color, accent_color, logo_file_id) $$;

comment on function public.set_branding(uuid, text, text, text, text, uuid) is
  'Replaces how a community presents itself, and returns the row''s id: what is left out is emptied. Takes communities.update. Errors: permission_denied, community_not_found, invalid_value.';

-- Opening hours ------------------------------------------------------------------------------------------------------

create table public.opening_hours (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  weekday smallint not null,
  opens_at time not null,
  closes_at time not null,
  like app.row_model including defaults including comments,
  constraint opening_hours_pkey primary key (id),
  constraint opening_hours_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint opening_hours_weekday_check check (weekday between 1 and 7),
  constraint opening_hours_closes_at_check check (closes_at > opens_at),
  constraint opening_hours_once_excl exclude using gist (
    community_id with =, weekday with =,
    int4range(extract(epoch from opens_at)::integer, extract(epoch from closes_at)::integer) with &&
  ) where (deleted_at is null)
);

create index opening_hours_community_idx on public.opening_hours (community_id, weekday);

comment on table public.opening_hours is 'When the management is there in an ordinary week, in the community''s time zone; several times a day where it has a break. Changed by set_opening_hours.';
comment on column public.opening_hours.weekday is '1 Monday to 7 Sunday (ISO 8601).';
comment on column public.opening_hours.opens_at is 'From this time on.';
comment on column public.opening_hours.closes_at is 'Until this time; 24:00 is the end of the day. A night is two rows.';

select app.track('public.opening_hours');

create policy opening_hours_select on public.opening_hours for select to authenticated
  using (
    community_id = any ((select app.communities_where('communities.read'))::uuid[])
    and deleted_at is null
  );
grant select on public.opening_hours to authenticated;
grant select, insert, update on public.opening_hours to service_role;

create table public.opening_exceptions (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  community_id uuid not null,
  falls_on date not null,
  opens_at time,
  closes_at time,
  like app.row_model including defaults including comments,
  constraint opening_exceptions_pkey primary key (id),
  constraint opening_exceptions_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint opening_exceptions_name_check check (app.is_name(name)),
  constraint opening_exceptions_closes_at_check check (closes_at > opens_at and (opens_at is null) = (closes_at is null)),
  constraint opening_exceptions_once_excl exclude using gist (
    community_id with =, falls_on with =,
    int4range(coalesce(extract(epoch from opens_at)::integer, 0), coalesce(extract(epoch from closes_at)::integer, 86400)) with &&
  ) where (deleted_at is null)
);

create index opening_exceptions_community_idx on public.opening_exceptions (community_id, falls_on);

comment on table public.opening_exceptions is 'Days on which the ordinary week does not hold: closed, or open at other times. Changed by set_opening_exception.';
comment on column public.opening_exceptions.name is 'Why: Easter Monday, stocktaking.';
comment on column public.opening_exceptions.falls_on is 'The day.';
comment on column public.opening_exceptions.opens_at is 'From this time on; null with closes_at: closed all day.';
comment on column public.opening_exceptions.closes_at is 'Until this time; 24:00 is the end of the day.';

select app.track('public.opening_exceptions');

create policy opening_exceptions_select on public.opening_exceptions for select to authenticated
  using (
    community_id = any ((select app.communities_where('communities.read'))::uuid[])
    and deleted_at is null
  );
grant select on public.opening_exceptions to authenticated;
grant select, insert, update on public.opening_exceptions to service_role;

create function app.set_opening_hours(community uuid, hours jsonb)
returns void
language plpgsql
volatile
security definer -- API roles may not write opening hours
set search_path = ''
as $$
begin
  perform app.require_live_community('communities.update', community);
  if jsonb_typeof(hours) is distinct from 'array' or jsonb_array_length(hours) > 70 then
    perform app.fail(422, 'invalid_value', 'hours is a list of at most 70 {"weekday", "opens_at", "closes_at"}.');
  end if;
  -- What stays as it is, stays the row it is.
  update public.opening_hours h
  set deleted_at = clock_timestamp()
  where h.community_id = community and h.deleted_at is null
    and not exists (
      select from jsonb_to_recordset(hours) n (weekday smallint, opens_at time, closes_at time)
      where n.weekday = h.weekday and n.opens_at = h.opens_at and n.closes_at = h.closes_at);
  insert into public.opening_hours (community_id, weekday, opens_at, closes_at)
  select community, n.weekday, n.opens_at, n.closes_at
  from jsonb_to_recordset(hours) n (weekday smallint, opens_at time, closes_at time)
  where not exists (
    select from public.opening_hours h
    where h.community_id = community and h.deleted_at is null and h.weekday = n.weekday and h.opens_at = n.opens_at and h.closes_at = n.closes_at);
exception
  when check_violation or not_null_violation or invalid_datetime_format or datetime_field_overflow or invalid_text_representation
    or numeric_value_out_of_range or invalid_parameter_value then
    perform app.fail(422, 'invalid_value', 'hours: a weekday is 1 (Monday) to 7, opens_at lies before closes_at, both as "08:30".');
  when exclusion_violation then
    perform app.fail(422, 'hours_overlap', 'hours: two of them overlap on one day.');
end;
$$;

comment on function app.set_opening_hours(uuid, jsonb) is 'What public.set_opening_hours does. Definer: no API role may write opening hours.';

create function public.set_opening_hours(community_id uuid, hours jsonb)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_opening_hours(community_id, hours) $$;

comment on function public.set_opening_hours(uuid, jsonb) is
  'Replaces the ordinary week: [{"weekday": 1, "opens_at": "08:30", "closes_at": "12:00"}, …]; an empty list is never open. Takes communities.update. '
  'Errors: permission_denied, community_not_found, invalid_value, hours_overlap.';

create function app.set_opening_exception(community uuid, falls_on date, name text, hours jsonb)
returns void
language plpgsql
volatile
security definer -- API roles may not write opening hours
set search_path = ''
as $$
declare
  -- Closed all day is one row without times.
  wanted constant jsonb := case when hours = '[]' then '[{}]' else nullif(hours, 'null') end;
  refused text;
begin
  perform app.require_live_community('communities.update', community);
  if falls_on is null or jsonb_typeof(wanted) <> 'array' or jsonb_array_length(wanted) > 10 or (wanted is not null and name is null)
    or (hours <> '[]' and exists (select from jsonb_array_elements(wanted) h where h ->> 'opens_at' is null or h ->> 'closes_at' is null))
  then
    perform app.fail(422, 'invalid_value', 'An exception has falls_on, a name, and hours: at most 10 {"opens_at", "closes_at"}, an empty list for a closed day, null to lift it.');
  end if;
  update public.opening_exceptions e
  set deleted_at = clock_timestamp()
  where e.community_id = community and e.falls_on = set_opening_exception.falls_on and e.deleted_at is null;
  insert into public.opening_exceptions (community_id, falls_on, name, opens_at, closes_at)
  select community, set_opening_exception.falls_on, set_opening_exception.name, n.opens_at, n.closes_at
  from jsonb_to_recordset(wanted) n (opens_at time, closes_at time);
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('opening_exceptions', refused);
  when invalid_datetime_format or datetime_field_overflow or invalid_text_representation or invalid_parameter_value then
    perform app.fail(422, 'invalid_value', 'hours: opens_at lies before closes_at, both as "08:30".');
  when exclusion_violation then
    perform app.fail(422, 'hours_overlap', 'hours: two of them overlap.');
end;
$$;

comment on function app.set_opening_exception(uuid, date, text, jsonb) is 'What public.set_opening_exception does. Definer: no API role may write opening hours.';

create function public.set_opening_exception(community_id uuid, falls_on date, name text, hours jsonb)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_opening_exception(community_id, falls_on, name, hours) $$;

comment on function public.set_opening_exception(uuid, date, text, jsonb) is
  'Says how a single day differs from the ordinary week: hours [{"opens_at": "10:00", "closes_at": "12:00"}], [] for closed, null to lift the exception. Takes communities.update. '
  'Errors: permission_denied, community_not_found, invalid_value, hours_overlap.';

create function app.opening_times(community uuid, first_day date, days integer)
returns table (day date, opens_at timestamptz, closes_at timestamptz, exception text)
language sql
stable
security definer -- answers the same whoever asks
set search_path = ''
as $$
  select d.day, (d.day + t.opens_at) at time zone c.time_zone, (d.day + t.closes_at) at time zone c.time_zone, t.name
  from public.communities c
  cross join lateral (select first_day + n as day from generate_series(0, days - 1) n) d
  cross join lateral (
    select e.opens_at, e.closes_at, e.name
    from public.opening_exceptions e
    where e.community_id = c.id and e.falls_on = d.day and e.deleted_at is null
    union all
    select h.opens_at, h.closes_at, null
    from public.opening_hours h
    where h.community_id = c.id and h.weekday = extract(isodow from d.day) and h.deleted_at is null
      and not exists (select from public.opening_exceptions e where e.community_id = c.id and e.falls_on = d.day and e.deleted_at is null)
  ) t
  where c.id = community
  order by d.day, t.opens_at
$$;

comment on function app.opening_times(uuid, date, integer) is
  'When a community is open on these days, as moments; a day closed by an exception has one row without times. Definer: answers the same whoever asks.';

create function app.is_open(community uuid, moment timestamptz default now())
returns boolean
language sql
stable
security definer -- answers the same whoever asks
set search_path = ''
as $$
  select exists (
    select
    from public.communities c
    cross join lateral app.opening_times(c.id, (moment at time zone c.time_zone)::date, 1) t
    where c.id = community and t.opens_at <= moment and moment < t.closes_at
  )
$$;

comment on function app.is_open(uuid, timestamptz) is 'Whether a community''s management is there at a moment. Definer: answers the same whoever asks.';

create function app.told_opening_times(community uuid, first_day date, days integer)
returns table (day date, opens_at timestamptz, closes_at timestamptz, exception text)
language plpgsql
stable
security definer -- reads the community's time zone
set search_path = ''
as $$
begin
  perform app.require('communities.read', community);
  if days not between 1 and 366 then
    perform app.fail(422, 'invalid_value', 'days is 1 to 366.');
  end if;
  return query select t.* from app.opening_times(
    community, coalesce(first_day, (select (now() at time zone c.time_zone)::date from public.communities c where c.id = community)), coalesce(days, 7)) t;
end;
$$;

comment on function app.told_opening_times(uuid, date, integer) is 'What public.opening_times does. Definer: reads the community''s time zone.';

create function public.opening_times(community_id uuid, first_day date default null, days integer default 7)
returns table (day date, opens_at timestamptz, closes_at timestamptz, exception text)
language sql
stable
set search_path = ''
as $$ select * from app.told_opening_times(community_id, first_day, days) $$;

comment on function public.opening_times(uuid, date, integer) is
  'When the management is there on the days from first_day (today) on, exceptions considered: a day closed by one has a row without times, with its name. Takes communities.read. Errors: permission_denied, invalid_value.';

create function app.told_is_open(community uuid, moment timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  perform app.require('communities.read', community);
  return app.is_open(community, coalesce(moment, now()));
end;
$$;

comment on function app.told_is_open(uuid, timestamptz) is 'What public.is_open does.';

create function public.is_open(community_id uuid, moment timestamptz default null)
returns boolean
language sql
stable
set search_path = ''
as $$ select app.told_is_open(community_id, moment) $$;

comment on function public.is_open(uuid, timestamptz) is 'Whether the management is there now, or at a moment. Takes communities.read. Errors: permission_denied.';

-- House rules --------------------------------------------------------------------------------------------------------

create table public.house_rules (
  id uuid not null default extensions.uuidv7(),
  title text not null,
  community_id uuid not null,
  version integer,
  body text not null,
  file_id uuid,
  published_at timestamptz,
  effective_on date,
  like app.row_model including defaults including comments,
  constraint house_rules_pkey primary key (id),
  constraint house_rules_community_id_key unique (community_id, id),
  constraint house_rules_version_key unique (community_id, version),
  constraint house_rules_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint house_rules_file_fkey foreign key (community_id, file_id) references public.files (community_id, id) on delete restrict,
  constraint house_rules_title_check check (app.is_name(title)),
  constraint house_rules_body_check check (length(btrim(body)) between 1 and 200000),
  constraint house_rules_version_check check (version > 0),
  constraint house_rules_published_check check (num_nonnulls(version, published_at, effective_on) in (0, 3))
);

create index house_rules_file_idx on public.house_rules (community_id, file_id) where file_id is not null;

comment on table public.house_rules is 'The house rules, one row per version; drafts until publish_house_rules. In force on a day is the highest version that is effective by then.';
comment on column public.house_rules.title is 'What people see above them.';
comment on column public.house_rules.version is 'Counts the published versions; null for a draft.';
comment on column public.house_rules.body is 'The rules, as Markdown.';
comment on column public.house_rules.file_id is 'The same as a document, signed perhaps: a stored file of purpose community.document, which cannot be removed as long as they name it.';
comment on column public.house_rules.published_at is 'When the version was published; null for a draft. From then on nothing about it changes.';
comment on column public.house_rules.effective_on is 'The first day on which they hold, in the community''s time zone.';

select app.track('public.house_rules');

create trigger _010_frozen_published before update of title, body, file_id, version, published_at, effective_on on public.house_rules for each row
  when (old.published_at is not null
    and (old.title, old.body, old.file_id, old.version, old.published_at, old.effective_on)
      is distinct from (new.title, new.body, new.file_id, new.version, new.published_at, new.effective_on))
  execute function app.tg__frozen('A published version');

-- Any other file would be kept from its own removal, retention and erasure.
create trigger _200_file before insert or update of file_id on public.house_rules for each row
  when (new.file_id is not null) execute function app.tg__stored_file('file_id', 'community.document');

create policy house_rules_select on public.house_rules for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('communities.update'))))
    and (
      (published_at is not null and community_id in (select app.communities_with('communities.read')))
      or (select 'communities.update' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('communities.update'))
    )
  );
create policy house_rules_insert on public.house_rules for insert to authenticated
  with check (community_id = any ((select app.communities_where('communities.update'))::uuid[]));
create policy house_rules_update on public.house_rules for update to authenticated
  using (
    community_id = any ((select app.communities_where('communities.update'))::uuid[])
    and deleted_at is null
    and published_at is null
  )
  with check (community_id = any ((select app.communities_where('communities.update'))::uuid[]));

grant select, insert (id, community_id, title, body, file_id), update (title, body, file_id) on public.house_rules to authenticated;
grant select, insert, update on public.house_rules to service_role;

create function app.tg_house_rules__publish()
returns trigger
language plpgsql
security definer -- looks at every version
set search_path = ''
as $$
declare
  newest public.house_rules;
begin
  perform from public.communities c where c.id = new.community_id for no key update;
  select r.* into newest from public.house_rules r where r.community_id = new.community_id and r.version is not null order by r.version desc limit 1;
  new.version := coalesce(newest.version, 0) + 1;
  if new.effective_on < newest.effective_on then
    perform app.fail(422, 'invalid_value', format('effective_on: version %s comes into force on %s; these follow it.', newest.version, newest.effective_on));
  end if;
  return new;
end;
$$;

comment on function app.tg_house_rules__publish() is
  'BEFORE a version is published: gives it the next number; it cannot come into force before the one it replaces. Definer: looks at every version.';

create trigger _200_publish_new before insert on public.house_rules for each row
  when (new.published_at is not null) execute function app.tg_house_rules__publish();
create trigger _200_publish before update of published_at on public.house_rules for each row
  when (old.published_at is null and new.published_at is not null) execute function app.tg_house_rules__publish();

create function app.tg_house_rules__keep()
returns trigger
language plpgsql
security definer -- looks at the community, archived or not
set search_path = ''
as $$
begin
  if exists (select from public.communities c where c.id = new.community_id and c.deleted_at is null) then
    perform app.fail(409, 'rules_published', format('Version %s of the house rules is published and stays on record.', new.version), 'Publish a new version.');
  end if;
  return new;
end;
$$;

comment on function app.tg_house_rules__keep() is 'BEFORE a published version is archived: refuses (409 rules_published), unless its community is. Definer: looks at the community.';

create trigger _200_keep before update of deleted_at on public.house_rules for each row
  when (old.published_at is not null and old.deleted_at is null and new.deleted_at is not null) execute function app.tg_house_rules__keep();

create function app.publish_house_rules(rules uuid, effective_on date)
returns integer
language plpgsql
volatile
security definer -- API roles may not publish by writing
set search_path = ''
as $$
declare
  draft public.house_rules;
  today date;
  made integer;
begin
  select r.* into draft from public.house_rules r where r.id = rules and r.deleted_at is null for no key update;
  if draft.id is null or not (app.is_trusted() or app.can('communities.read', draft.community_id) and (draft.published_at is not null or app.can('communities.update', draft.community_id))) then
    perform app.fail(404, 'rules_not_found', 'There are no house rules with this id.');
  end if;
  perform app.require('communities.update', draft.community_id);
  if draft.published_at is not null then
    perform app.fail(409, 'rules_published', format('They are published already, as version %s.', draft.version), 'Write a new draft.');
  end if;
  select (now() at time zone c.time_zone)::date into today from public.communities c where c.id = draft.community_id;
  if publish_house_rules.effective_on < today then
    perform app.fail(422, 'invalid_value', format('effective_on: rules hold from %s on at the earliest, today.', today));
  end if;
  update public.house_rules r
  set published_at = now(), effective_on = coalesce(publish_house_rules.effective_on, today)
  where r.id = rules
  returning r.version into made;
  perform app.emit('house_rules.published', draft.community_id,
    jsonb_build_object('house_rules_id', draft.id, 'version', made, 'effective_on', coalesce(publish_house_rules.effective_on, today)));
  return made;
end;
$$;

comment on function app.publish_house_rules(uuid, date) is 'What public.publish_house_rules does. Definer: no API role may publish by writing.';

create function public.publish_house_rules(house_rules_id uuid, effective_on date default null)
returns integer
language sql
volatile
set search_path = ''
as $$ select app.publish_house_rules(house_rules_id, effective_on) $$;

comment on function public.publish_house_rules(uuid, date) is
  'Publishes a draft, to hold from effective_on (today) on, and returns its version. Takes communities.update. Errors: rules_not_found, permission_denied, rules_published, invalid_value.';

create function public.house_rules_on(community_id uuid, day date default null)
returns setof public.house_rules
language sql
stable
rows 1
set search_path = ''
as $$
  select r.*
  from public.house_rules r
  join public.communities c on c.id = r.community_id
  where r.community_id = house_rules_on.community_id and r.effective_on <= coalesce(house_rules_on.day, (now() at time zone c.time_zone)::date)
  order by r.version desc
  limit 1
$$;

comment on function public.house_rules_on(uuid, date) is 'The house rules in force today, or on a day; no row before the first version. Shows what the caller may see.';

-- Acknowledgements ---------------------------------------------------------------------------------------------------

select app.define_feature('house_rules.acknowledge', 'Acknowledging the house rules', true, is_self_service => true);

create table public.house_rule_acknowledgements (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  house_rules_id uuid not null,
  user_id uuid not null,
  acknowledged_at timestamptz not null default now(),
  like app.row_model including defaults including comments,
  constraint house_rule_acknowledgements_pkey primary key (id),
  constraint house_rule_acknowledgements_once_key unique (house_rules_id, user_id),
  constraint house_rule_acknowledgements_rules_fkey foreign key (community_id, house_rules_id) references public.house_rules (community_id, id) on delete cascade,
  constraint house_rule_acknowledgements_user_fkey foreign key (user_id) references public.profiles (id) on delete cascade
);

create index house_rule_acknowledgements_rules_idx on public.house_rule_acknowledgements (community_id, house_rules_id);
create index house_rule_acknowledgements_user_idx on public.house_rule_acknowledgements (user_id);

comment on table public.house_rule_acknowledgements is 'Who has said to have read which version of the house rules. Made by acknowledge_house_rules.';
comment on column public.house_rule_acknowledgements.house_rules_id is 'The version.';
comment on column public.house_rule_acknowledgements.user_id is 'Who. Goes with the user; the audit log remembers.';
comment on column public.house_rule_acknowledgements.acknowledged_at is 'When.';

select app.track('public.house_rule_acknowledgements');

create trigger _010_frozen_what before update of house_rules_id, user_id, acknowledged_at on public.house_rule_acknowledgements for each row
  when ((old.house_rules_id, old.user_id, old.acknowledged_at) is distinct from (new.house_rules_id, new.user_id, new.acknowledged_at))
  execute function app.tg__frozen('An acknowledgement');
create trigger _050_feature before insert on public.house_rule_acknowledgements for each row execute function app.tg__feature('house_rules.acknowledge');

create policy house_rule_acknowledgements_select on public.house_rule_acknowledgements for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (user_id = (select app.user_id()) or community_id in (select app.communities_with('communities.update')))
  );
grant select on public.house_rule_acknowledgements to authenticated;
grant select, insert, update on public.house_rule_acknowledgements to service_role;

create function app.acknowledge_house_rules(rules uuid)
returns timestamptz
language plpgsql
volatile
security definer -- API roles may not write acknowledgements
set search_path = ''
as $$
declare
  caller constant uuid := app.user_id();
  published public.house_rules;
  noted timestamptz;
begin
  select r.* into published from public.house_rules r where r.id = rules and r.published_at is not null and r.deleted_at is null;
  if caller is null or published.id is null or not app.can('communities.read', published.community_id) then
    perform app.fail(404, 'rules_not_found', 'There are no published house rules with this id.');
  end if;
  insert into public.house_rule_acknowledgements (community_id, house_rules_id, user_id)
  values (published.community_id, published.id, caller)
  on conflict on constraint house_rule_acknowledgements_once_key do nothing;
  select a.acknowledged_at into noted from public.house_rule_acknowledgements a where a.house_rules_id = published.id and a.user_id = caller;
  return noted;
end;
$$;

comment on function app.acknowledge_house_rules(uuid) is 'What public.acknowledge_house_rules does. Definer: no API role may write acknowledgements.';

create function public.acknowledge_house_rules(house_rules_id uuid)
returns timestamptz
language sql
volatile
set search_path = ''
as $$ select app.acknowledge_house_rules(house_rules_id) $$;

comment on function public.acknowledge_house_rules(uuid) is
  'Notes that the caller has read a published version, and returns when it was first noted. Takes communities.read. Errors: rules_not_found, feature_disabled.';

grant execute on function
  app.require_live_community(text, uuid),
  app.set_branding(uuid, text, text, text, text, uuid), public.set_branding(uuid, text, text, text, text, uuid),
  app.set_opening_hours(uuid, jsonb), public.set_opening_hours(uuid, jsonb),
  app.set_opening_exception(uuid, date, text, jsonb), public.set_opening_exception(uuid, date, text, jsonb),
  app.opening_times(uuid, date, integer), app.told_opening_times(uuid, date, integer), public.opening_times(uuid, date, integer),
  app.is_open(uuid, timestamptz), app.told_is_open(uuid, timestamptz), public.is_open(uuid, timestamptz),
  app.publish_house_rules(uuid, date), public.publish_house_rules(uuid, date), public.house_rules_on(uuid, date),
  app.acknowledge_house_rules(uuid), public.acknowledge_house_rules(uuid)
to authenticated, service_role;

insert into app.archive_rules (table_id, permission_key) values ('public.house_rules', 'communities.update');
