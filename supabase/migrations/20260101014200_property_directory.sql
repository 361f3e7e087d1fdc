-- Property: the directory.
--
-- Purpose     What residents of a community see of each other: what each of them chose to show, and nothing by default.
-- Tables      directory_choices
-- RPCs        set_directory_choice, directory
-- Invariants  Nobody else chooses for a resident. Only who lives or owns there today reads the directory, and only who does, has an
--             active account and is not suspended stands in it. A choice that is withdrawn counts on the next statement.
--             Who shows nothing by name is not in it at all.

select app.define_permission('directory.read', 'unit', 'Read the directory of the unit''s community', '{
  community/owner, community/tenant, community/family, community/authorized}');
select app.define_feature('residents.directory', 'The directory in which residents show each other what they choose', true, is_self_service => true);

create table public.directory_choices (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  resident_id uuid not null,
  is_name_shown boolean not null default false,
  is_unit_shown boolean not null default false,
  is_phone_shown boolean not null default false,
  is_email_shown boolean not null default false,
  like app.row_model including defaults including comments,
  constraint directory_choices_pkey primary key (id),
  constraint directory_choices_resident_key unique nulls not distinct (community_id, resident_id, deleted_at),
  constraint directory_choices_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete cascade,
  constraint directory_choices_name_check check (is_name_shown or not (is_unit_shown or is_phone_shown or is_email_shown))
);

comment on table public.directory_choices is 'What a resident shows the others of the community; no row: nothing. Changed by the person with set_directory_choice.';
comment on column public.directory_choices.resident_id is 'Whose choice.';
comment on column public.directory_choices.is_name_shown is 'The name; without it nothing is shown.';
comment on column public.directory_choices.is_unit_shown is 'The units the person occupies, with their buildings.';
comment on column public.directory_choices.is_phone_shown is 'The telephone number in the details.';
comment on column public.directory_choices.is_email_shown is 'The address in the details.';

select app.track('public.directory_choices');
select app.register_personal_data('public.directory_choices', 'resident_id', 'resident', on_erase => 'remove', on_merge => 'archive');

create policy directory_choices_select on public.directory_choices for select to authenticated
  using (community_id = any ((select g.communities from app.gate g)::uuid[]) and deleted_at is null and resident_id in (select app.my_residents()));

grant select on public.directory_choices to authenticated;
grant select, insert, update on public.directory_choices to service_role;

create function app.set_directory_choice(community uuid, show_name boolean, show_unit boolean, show_phone boolean, show_email boolean)
returns void
language plpgsql
volatile
security definer -- API roles may not write choices
set search_path = ''
as $$
declare
  own uuid;
  refused text;
begin
  select re.id into own from public.residents re
  where re.community_id = community and re.id in (select app.my_residents()) and re.community_id = any (app.my_communities());
  if own is null then
    perform app.fail(404, 'resident_not_found', 'You are no resident of this community.');
  elsif num_nulls(show_name, show_unit, show_phone, show_email) > 0 then
    perform app.fail(422, 'invalid_value', 'Each of show_name, show_unit, show_phone and show_email is true or false.');
  end if;
  insert into public.directory_choices as d (community_id, resident_id, is_name_shown, is_unit_shown, is_phone_shown, is_email_shown)
  values (community, own, show_name, show_unit, show_phone, show_email)
  on conflict on constraint directory_choices_resident_key do update
  set is_name_shown = excluded.is_name_shown, is_unit_shown = excluded.is_unit_shown, is_phone_shown = excluded.is_phone_shown, is_email_shown = excluded.is_email_shown;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('directory_choices', refused);
end;
$$;

comment on function app.set_directory_choice(uuid, boolean, boolean, boolean, boolean) is 'What public.set_directory_choice does. Definer: no API role writes choices.';

create function public.set_directory_choice(
  community_id uuid, show_name boolean default false, show_unit boolean default false, show_phone boolean default false, show_email boolean default false
)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_directory_choice(community_id, show_name, show_unit, show_phone, show_email) $$;

comment on function public.set_directory_choice(uuid, boolean, boolean, boolean, boolean) is
  'What the caller shows the other residents of a community from the next statement on; what is not named is hidden. Nothing is shown without the name. Errors: resident_not_found, invalid_value.';

create function app.reads_directory(community uuid)
returns boolean
language plpgsql
stable
security definer -- reads the caller's units before any policy on them is decided
set search_path = ''
as $$
begin
  return exists (select from app.units_with('directory.read') w join public.units u on u.id = w where u.community_id = community);
end;
$$;

comment on function app.reads_directory(uuid) is 'Whether the caller lives or owns in the community in a role that reads its directory. Definer: reads units.';

create function app.directory_entries(community uuid)
returns table (resident_id uuid, full_name text, units text[], phone text, email text)
language sql
stable
security definer -- shows of every resident what they chose, and reads the rest to decide it
set search_path = ''
as $$
  select re.id, re.full_name,
    case when d.is_unit_shown then array_agg(distinct concat_ws(' / ', b.name, u.number) order by concat_ws(' / ', b.name, u.number)) end,
    case when d.is_phone_shown then x.phone end,
    case when d.is_email_shown then x.email end
  from public.directory_choices d
  join public.communities c on c.id = d.community_id
  join public.residents re on re.community_id = d.community_id and re.id = d.resident_id
  join public.profiles p on p.id = re.user_id and p.status = 'active'
  join public.occupancies o on o.community_id = re.community_id and o.resident_id = re.id and o.deleted_at is null
    and o.starts_on <= (now() at time zone c.time_zone)::date and (o.ends_on is null or o.ends_on >= (now() at time zone c.time_zone)::date)
  join public.units u on u.community_id = o.community_id and u.id = o.unit_id and u.deleted_at is null
  left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
  left join public.resident_details x on x.community_id = re.community_id and x.resident_id = re.id and x.deleted_at is null
  where d.community_id = community and d.is_name_shown and d.deleted_at is null and re.deleted_at is null and re.onboarding not in ('suspended', 'moved_out')
    and app.reads_directory(community)
    and app.feature_enabled('residents.directory', community)
  group by re.id, re.full_name, d.is_unit_shown, d.is_phone_shown, x.phone, d.is_email_shown, x.email
$$;

comment on function app.directory_entries(uuid) is
  'The directory of a community as the caller may read it; empty where they may not, or where it is switched off. For directory and for searches that include it. '
  'Definer: reads of every resident what decides whether and what they show.';

create function app.directory(community uuid, search text)
returns table (resident_id uuid, full_name text, units text[], phone text, email text)
language plpgsql
stable
set search_path = ''
as $$
begin
  if not app.reads_directory(community) then
    perform app.fail(403, 'permission_denied', 'The directory is for those who live or own here (directory.read).');
  end if;
  perform app.require_feature('residents.directory', community);
  return query
    select e.* from app.directory_entries(community) e
    where search is null or strpos(lower(concat_ws(' ', e.full_name, array_to_string(e.units, ' '))), lower(btrim(search))) > 0
    order by e.full_name, e.resident_id;
end;
$$;

comment on function app.directory(uuid, text) is 'What public.directory does.';

create function public.directory(community_id uuid, search text default null)
returns table (resident_id uuid, full_name text, units text[], phone text, email text)
language sql
stable
set search_path = ''
as $$ select * from app.directory(community_id, search) $$;

comment on function public.directory(uuid, text) is
  'Who of the community shows what to the other residents: the name, and units, telephone and address where the person chose to. search finds a part of a shown name or unit. '
  'For those who live or own there today (directory.read); the management has residents_overview. Errors: permission_denied, feature_disabled.';

grant execute on function
  app.set_directory_choice(uuid, boolean, boolean, boolean, boolean), public.set_directory_choice(uuid, boolean, boolean, boolean, boolean),
  app.reads_directory(uuid), app.directory_entries(uuid), app.directory(uuid, text), public.directory(uuid, text)
to authenticated;
