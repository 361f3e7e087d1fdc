-- Property: who pays for a unit, and who votes for it.
--
-- Purpose     Neither need be the owner: the tenant pays, a company pays, a spouse holds a written proxy. With days, so that a charge
--             of day D and a vote on day D find who was meant.
-- Tables      unit_representatives
-- RPCs        set_unit_representative, unit_payer_on, unit_voters_on, community_payers_on, community_voters_on
-- Invariants  A unit has one appointed payer and one appointed voter at a time. Where none is appointed its owners pay and vote, each
--             with the own share; for an owner who is not of age the guardian votes. An appointment ends with the sale of the unit by
--             all its owners, a payer who is the tenant excepted, and with the tenancy or ownership of whoever was appointed.

create type public.representative_kind as enum ('payer', 'voter');

create table public.unit_representatives (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  unit_id uuid not null,
  kind public.representative_kind not null,
  resident_id uuid not null,
  starts_on date not null,
  ends_on date,
  authority text,
  like app.row_model including defaults including comments,
  constraint unit_representatives_pkey primary key (id),
  constraint unit_representatives_unit_fkey foreign key (community_id, unit_id) references public.units (community_id, id) on delete restrict,
  constraint unit_representatives_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete restrict,
  constraint unit_representatives_ends_on_check check (ends_on >= starts_on),
  constraint unit_representatives_authority_check check (length(btrim(authority)) between 3 and 500),
  constraint unit_representatives_one_at_a_time_excl exclude using gist (
    community_id with =, unit_id with =, kind with =, daterange(starts_on, ends_on, '[]') with &&
  ) where (deleted_at is null)
);

create index unit_representatives_unit_idx on public.unit_representatives (community_id, unit_id);
create index unit_representatives_resident_idx on public.unit_representatives (community_id, resident_id);

comment on table public.unit_representatives is 'Who was appointed to pay or to vote for a unit, and for which days. Where nobody is, the owners do. Written by set_unit_representative.';
comment on column public.unit_representatives.unit_id is 'The unit.';
comment on column public.unit_representatives.kind is 'payer: invoices go to them. voter: casts the unit''s vote, whole.';
comment on column public.unit_representatives.resident_id is 'Who is appointed: an owner, a tenant, a company, somebody with a proxy. A resident of the community, living there or not.';
comment on column public.unit_representatives.starts_on is 'The first day.';
comment on column public.unit_representatives.ends_on is 'The last day; null: until further notice.';
comment on column public.unit_representatives.authority is 'By what: the proxy, its date and its notary, the agreement. Required of a voter who is no owner.';

create function app.is_over(representative public.unit_representatives)
returns boolean
language sql
stable
set search_path = ''
-- A day later than the last, so that it is over in every time zone.
return coalesce(representative.ends_on < (now() at time zone 'UTC')::date - 1, false);

comment on function app.is_over(public.unit_representatives) is 'Whether the appointment is history, which keeps neither the unit nor the person from being archived.';

grant execute on function app.is_over(public.unit_representatives) to authenticated, service_role;

select app.track('public.unit_representatives');

create policy unit_representatives_select on public.unit_representatives for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('residents.archive'))))
    and (
      (select 'residents.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('residents.read'))
      or resident_id in (select app.my_residents())
      -- Owners see whom they appointed, not whom those before them did.
      or (unit_id in (select app.units_with('residents.read_own')) and (ends_on is null or ends_on >= current_date - 1))
    )
  );

grant select on public.unit_representatives to authenticated;
grant select, insert, update on public.unit_representatives to service_role;

insert into app.archive_rules (table_id, permission_key) values ('public.unit_representatives', 'residents.archive');

create function app.is_minor_on(home uuid, person uuid, day date)
returns boolean
language sql
stable
security definer -- reads a detail that fewer may see than the answer
set search_path = ''
return exists (
  select from public.resident_details d where d.community_id = home and d.resident_id = person and d.deleted_at is null and d.adult_on > day);

comment on function app.is_minor_on(uuid, uuid, date) is 'Whether a resident was not of age on a day, as far as is known. Definer: reads resident_details.';

-- Appointing ---------------------------------------------------------------------------------------------------------

create function app.set_unit_representative(
  represented uuid, appointed_as public.representative_kind, appointed uuid, first_on date, last_on date, by_what text
)
returns uuid
language plpgsql
volatile
security definer -- an earlier appointment ends and the new one begins, both or neither
set search_path = ''
as $$
declare
  home constant uuid := app.locked_units('residents.manage', array[represented]);
  today constant date := (select (now() at time zone c.time_zone)::date from public.communities c where c.id = home);
  made uuid;
  refused_table text;
  refused text;
begin
  first_on := coalesce(first_on, today);
  if first_on not between date '1850-01-01' and date '2200-01-01' or last_on < first_on or (appointed is null and last_on is not null) then
    perform app.fail(422, 'invalid_period', 'The last day is not before the first.');
  elsif appointed_as is null then
    perform app.fail(422, 'invalid_value', 'kind is payer or voter.');
  elsif appointed is not null and not exists (select from public.residents r where r.community_id = home and r.id = appointed and r.deleted_at is null) then
    perform app.fail(404, 'resident_not_found', 'There is no live resident of this community with this id.');
  elsif appointed_as = 'voter' and app.is_minor_on(home, appointed, first_on) then
    perform app.fail(409, 'resident_is_minor', 'Who is not of age does not vote; the guardian does.');
  elsif appointed_as = 'voter' and by_what is null and appointed is not null and not exists (
    select from app.owner_shares(home, first_on, represented) s where s.resident_id = appointed) then
    perform app.fail(422, 'authority_required', 'Who votes without owning does so by a written authority: say which.', 'authority: "Proxy of 12 March 2026, notary Ivanova".');
  end if;
  if exists (
    select from public.unit_representatives p
    where p.community_id = home and p.unit_id = represented and p.kind = appointed_as and p.deleted_at is null
      and p.starts_on >= first_on and p.starts_on <= coalesce(last_on, 'infinity') and appointed is not null) then
    perform app.fail(409, 'representative_taken', 'Somebody is appointed from a day within this time.', 'Archive that appointment first, or end this one the day before.');
  end if;

  update public.unit_representatives p
  set ends_on = first_on - 1
  where p.community_id = home and p.unit_id = represented and p.kind = appointed_as and p.deleted_at is null
    and p.starts_on < first_on and (p.ends_on is null or p.ends_on >= first_on);
  if appointed is null then
    update public.unit_representatives p
    set deleted_at = now()
    where p.community_id = home and p.unit_id = represented and p.kind = appointed_as and p.deleted_at is null and p.starts_on >= first_on;
    return null;
  end if;
  insert into public.unit_representatives (community_id, unit_id, kind, resident_id, starts_on, ends_on, authority)
  values (home, represented, appointed_as, appointed, first_on, last_on, by_what)
  returning id into made;
  return made;
exception
  when check_violation then
    get stacked diagnostics refused_table = table_name, refused = constraint_name;
    perform app.fail_check(refused_table, refused);
end;
$$;

comment on function app.set_unit_representative(uuid, public.representative_kind, uuid, date, date, text) is
  'What public.set_unit_representative does. Definer: an earlier appointment ends and the new one begins, both or neither.';

create function public.set_unit_representative(
  unit_id uuid, kind public.representative_kind, resident_id uuid, starts_on date default null, ends_on date default null, authority text default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.set_unit_representative(unit_id, kind, resident_id, starts_on, ends_on, authority) $$;

comment on function public.set_unit_representative(uuid, public.representative_kind, uuid, date, date, text) is
  'Appoints who pays (payer) or votes (voter) for a unit from a day on, today by default; whoever was before ends the day before. resident_id null: from that day on the owners do. '
  'Returns the appointment''s id. Takes residents.manage. '
  'Errors: permission_denied, unit_not_found, resident_not_found, resident_is_minor, authority_required, representative_taken, invalid_period, invalid_value.';

create function app.end_representatives(home uuid, represented uuid, last_on date)
returns void
language sql
volatile
set search_path = ''
as $$
  update public.unit_representatives p
  set ends_on = greatest(last_on, p.starts_on), deleted_at = case when p.starts_on > last_on then now() end
  where p.community_id = home and p.unit_id = represented and p.deleted_at is null and (p.ends_on is null or p.ends_on > last_on)
    and not (p.kind = 'payer' and exists (
      select from public.occupancies t
      where t.community_id = home and t.unit_id = represented and t.resident_id = p.resident_id and t.role = 'tenant' and t.deleted_at is null
        and t.starts_on <= last_on + 1 and (t.ends_on is null or t.ends_on > last_on)))
$$;

comment on function app.end_representatives(uuid, uuid, date) is 'Ends whom the former owners of a unit appointed, but for a tenant who pays.';

grant execute on function
  app.set_unit_representative(uuid, public.representative_kind, uuid, date, date, text),
  public.set_unit_representative(uuid, public.representative_kind, uuid, date, date, text)
to authenticated, service_role;

-- As of a day --------------------------------------------------------------------------------------------------------

create function app.representatives_on(home uuid, wanted public.representative_kind, day date, only_unit uuid default null)
returns table (unit_id uuid, resident_id uuid, share numeric, source text, on_behalf_of uuid)
language sql
stable
security definer -- whom the owners' share falls to may depend on what the caller does not see
set search_path = ''
as $$
  with appointed as (
    select p.unit_id, p.resident_id
    from public.unit_representatives p
    where p.community_id = home and p.kind = wanted and p.deleted_at is null and (only_unit is null or p.unit_id = only_unit)
      and p.starts_on <= day and (p.ends_on is null or p.ends_on >= day)
  )
  select a.unit_id, a.resident_id, 100::numeric, 'appointed', null from appointed a
  union all
  select s.unit_id, case when m.is_minor then r.guardian_id else s.resident_id end, s.share, case when m.is_minor then 'guardian' else 'owner' end,
    case when m.is_minor then s.resident_id end
  from app.owner_shares(home, day, only_unit) s
  join public.residents r on r.community_id = home and r.id = s.resident_id
  left join public.resident_details d on d.community_id = home and d.resident_id = s.resident_id and d.deleted_at is null
  cross join lateral (select wanted = 'voter' and coalesce(d.adult_on > day, false) as is_minor) m
  where not exists (select from appointed a where a.unit_id = s.unit_id) and not (m.is_minor and r.guardian_id is null)
$$;

comment on function app.representatives_on(uuid, public.representative_kind, date, uuid) is
  'Who pays, or votes, for the units of a community on a day, with percent of the unit, for other domains: source is appointed, owner, or guardian (on_behalf_of whom). '
  'A minor owner without a guardian votes not at all. Definer: reads ages and co-owners whom the caller may not see; the RPCs show of it what the caller may.';

create function app.named_representatives_on(home uuid, wanted public.representative_kind, day date, only_unit uuid default null)
returns table (unit_id uuid, unit text, resident_id uuid, full_name text, share numeric, source text, on_behalf_of text)
language sql
stable
set search_path = ''
as $$
  select u.id, concat_ws(' / ', b.name, u.number), r.id, r.full_name, p.share, p.source, w.full_name
  from app.representatives_on(home, wanted, day, only_unit) p
  join public.units u on u.community_id = home and u.id = p.unit_id
  join public.residents r on r.community_id = home and r.id = p.resident_id
  left join public.buildings b on b.community_id = home and b.id = u.building_id
  left join public.residents w on w.community_id = home and w.id = p.on_behalf_of
  where home in (select app.communities_with('residents.read')) or app.is_trusted()
    or u.id in (select app.units_with('residents.read_own')) or p.resident_id in (select app.my_residents())
  order by b.name nulls first, u.number, p.share desc, r.full_name
$$;

comment on function app.named_representatives_on(uuid, public.representative_kind, date, uuid) is 'What the four RPCs below answer, with the rights of the caller: all to who may read residents, their own units to owners, themselves to everybody.';

grant execute on function
  app.representatives_on(uuid, public.representative_kind, date, uuid), app.named_representatives_on(uuid, public.representative_kind, date, uuid)
to authenticated, service_role;

create function public.community_payers_on(community_id uuid, day date)
returns table (unit_id uuid, unit text, resident_id uuid, full_name text, share numeric, source text)
language sql
stable
set search_path = ''
as $$ select p.unit_id, p.unit, p.resident_id, p.full_name, p.share, p.source from app.named_representatives_on(community_id, 'payer', day) p $$;

comment on function public.community_payers_on(uuid, date) is 'Who paid for each unit of a community on a day, and for how many percent of it: the appointed payer (source appointed), else the owners (owner). Shows what the caller may see.';

create function public.community_voters_on(community_id uuid, day date)
returns table (unit_id uuid, unit text, resident_id uuid, full_name text, share numeric, source text, on_behalf_of text)
language sql
stable
set search_path = ''
as $$ select * from app.named_representatives_on(community_id, 'voter', day) $$;

comment on function public.community_voters_on(uuid, date) is
  'Who voted for each unit of a community on a day, with how many percent of it: the appointed voter, else the owners, guardians for those not of age. Shows what the caller may see.';

create function public.unit_payer_on(unit_id uuid, day date)
returns table (resident_id uuid, full_name text, share numeric, source text)
language sql
stable
set search_path = ''
as $$
  select p.resident_id, p.full_name, p.share, p.source
  from public.units u cross join lateral app.named_representatives_on(u.community_id, 'payer', unit_payer_on.day, u.id) p
  where u.id = unit_payer_on.unit_id
$$;

comment on function public.unit_payer_on(uuid, date) is 'Who paid for a unit on a day: one who was appointed, or each owner with the own share. Shows what the caller may see.';

create function public.unit_voters_on(unit_id uuid, day date)
returns table (resident_id uuid, full_name text, share numeric, source text, on_behalf_of text)
language sql
stable
set search_path = ''
as $$
  select p.resident_id, p.full_name, p.share, p.source, p.on_behalf_of
  from public.units u cross join lateral app.named_representatives_on(u.community_id, 'voter', unit_voters_on.day, u.id) p
  where u.id = unit_voters_on.unit_id
$$;

comment on function public.unit_voters_on(uuid, date) is 'Who voted for a unit on a day: one who was appointed, or each owner, or the owner''s guardian. Shows what the caller may see.';

grant execute on function
  public.community_payers_on(uuid, date), public.community_voters_on(uuid, date), public.unit_payer_on(uuid, date), public.unit_voters_on(uuid, date)
to authenticated, service_role;
