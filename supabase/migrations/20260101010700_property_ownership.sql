-- Property: ownership over time.
--
-- Purpose     Who owns which part of a unit on a day, what a sale changes, who lived there on a day.
-- Tables      None of its own; owners are rows of occupancies.
-- RPCs        unit_owners_on, community_owners_on, unit_occupants_on, community_occupants_on, sell_unit, transfer_units, set_ownership_shares
-- Views       units_overview, residents_overview
-- Invariants  On every day on which a unit has an owner, past or to come, its owners own the whole. A unit may have none (not known yet).
--             A share is percent to six decimals, so the whole is reached when the sum of n shares is off by no more than n halves of
--             the last decimal: what the exact parts (thirds, sevenths) would be off by once rounded, and no more. Shares that are not
--             stated are equal parts of what the stated ones leave: all of it for a sole owner.
--             A sale ends shares on the day before and begins the new ones on the day.
-- Locks       Whoever changes owners holds the unit's row until the transaction ends (units in id order), and the sum is taken after
--             that, at commit, from what everybody has committed by then.

-- The whole ----------------------------------------------------------------------------------------------------------

create function app.is_whole(owners bigint, unstated bigint, stated numeric)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
  return case
    when owners = 0 then true
    when unstated = 0 then abs(stated - 100) <= owners * 0.0000005
    else coalesce(stated, 0) + unstated * 0.000001 <= 100
  end;
end;
$$;

comment on function app.is_whole(bigint, bigint, numeric) is
  'Whether so many owners, so many of them without a stated share, own the whole if the stated shares sum to this. The one place of that rule.';

create function app.check_shares(unit_community uuid, owned uuid)
returns void
language plpgsql
volatile
security definer -- sums shares whoever may see them, and locks the unit
set search_path = ''
as $$
declare
  broken record;
begin
  if current_setting('transaction_isolation') = 'repeatable read' then
    perform app.fail(409, 'isolation_refused', 'Owners are changed in a transaction that sees what others have just committed, which this isolation level hides.',
      'Use read committed or serializable.');
  end if;
  perform from public.units u where u.id = owned for no key update;
  select d.day, sum(o.ownership_share) as stated, count(*) - count(o.ownership_share) as unstated into broken
  from (
    select o.starts_on as day
    from public.occupancies o
    where o.community_id = unit_community and o.unit_id = owned and o.role = 'owner' and o.deleted_at is null
    union
    select o.ends_on + 1
    from public.occupancies o
    where o.community_id = unit_community and o.unit_id = owned and o.role = 'owner' and o.deleted_at is null and o.ends_on is not null
  ) d
  join public.occupancies o on o.community_id = unit_community and o.unit_id = owned and o.role = 'owner' and o.deleted_at is null
    and o.starts_on <= d.day and (o.ends_on is null or o.ends_on >= d.day)
  group by d.day
  having not app.is_whole(count(*), count(*) - count(o.ownership_share), sum(o.ownership_share))
  order by d.day
  limit 1;
  if broken.day is not null then
    perform app.fail(409, 'shares_not_whole',
      format('From %s on the owners of unit %s would own %s percent together%s.', broken.day, (select u.number from public.units u where u.id = owned),
        trim_scale(broken.stated), case when broken.unstated > 0 then format(', which leaves nothing to %s without a stated share', broken.unstated) else '' end),
      'Owners own the whole on every day. sell_unit and set_ownership_shares change several shares at once; a third is 33.333333.');
  end if;
end;
$$;

comment on function app.check_shares(uuid, uuid) is
  'Refuses (409 shares_not_whole) a unit whose owners do not own the whole on some day, after locking it. Definer: sums shares whoever may see them.';

create function app.tg_occupancies__shares_whole()
returns trigger
language plpgsql
security definer -- at commit the caller is the API role again
set search_path = ''
as $$
begin
  perform app.check_shares(new.community_id, new.unit_id);
  return null;
end;
$$;

comment on function app.tg_occupancies__shares_whole() is 'At commit, AFTER INSERT OR UPDATE of an owner''s share, days or archiving: the unit''s owners own the whole on every day. Definer: at commit the caller is the API role again, which may not sum shares.';

create constraint trigger _700_shares_whole_insert after insert on public.occupancies
  deferrable initially deferred for each row when (new.role = 'owner') execute function app.tg_occupancies__shares_whole();
create constraint trigger _700_shares_whole_update after update on public.occupancies
  deferrable initially deferred for each row
  when (new.role = 'owner' and (old.ownership_share, old.starts_on, old.ends_on, old.deleted_at)
    is distinct from (new.ownership_share, new.starts_on, new.ends_on, new.deleted_at))
  execute function app.tg_occupancies__shares_whole();

-- As of a day --------------------------------------------------------------------------------------------------------

create function app.owner_shares(unit_community uuid, day date, only_unit uuid default null)
returns table (occupancy_id uuid, unit_id uuid, resident_id uuid, share numeric)
language sql
stable
security definer -- a share may depend on those of co-owners whom the caller does not see
set search_path = ''
as $$
  select o.id, o.unit_id, o.resident_id,
    coalesce(o.ownership_share, round((100 - coalesce(sum(o.ownership_share) over of_unit, 0)) / nullif(count(*) over of_unit - count(o.ownership_share) over of_unit, 0), 6))
  from public.occupancies o
  where o.community_id = unit_community and o.role = 'owner' and o.deleted_at is null
    and (only_unit is null or o.unit_id = only_unit)
    and o.starts_on <= day and (o.ends_on is null or o.ends_on >= day)
  window of_unit as (partition by o.unit_id)
$$;

comment on function app.owner_shares(uuid, date, uuid) is
  'The owners of a community''s units on a day, each with the share in percent, those not stated filled in. For other domains and for the functions below, which show of it what the caller may see. Definer: a share may depend on co-owners whom the caller does not see.';

grant execute on function app.owner_shares(uuid, date, uuid) to authenticated, service_role;

create function app.owners_on(community uuid, day date, only_unit uuid default null)
returns table (unit_id uuid, unit text, resident_id uuid, full_name text, kind public.resident_kind, share numeric, starts_on date, ends_on date, occupancy_id uuid)
language sql
stable
set search_path = ''
as $$
  select u.id, concat_ws(' / ', b.name, u.number), r.id, r.full_name, r.kind, s.share, o.starts_on, o.ends_on, o.id
  from app.owner_shares(owners_on.community, owners_on.day, owners_on.only_unit) s
  join public.occupancies o on o.community_id = owners_on.community and o.id = s.occupancy_id
  join public.residents r on r.community_id = o.community_id and r.id = o.resident_id
  join public.units u on u.community_id = o.community_id and u.id = o.unit_id
  left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
  order by b.name nulls first, u.number, s.share desc, r.full_name
$$;

comment on function app.owners_on(uuid, date, uuid) is 'What community_owners_on and unit_owners_on answer, with the rights of the caller.';

create function app.occupants_on(community uuid, day date, only_unit uuid default null)
returns table (
  unit_id uuid, unit text, resident_id uuid, full_name text, role public.occupancy_role, host text, is_primary_contact boolean, starts_on date, ends_on date,
  occupancy_id uuid
)
language sql
stable
set search_path = ''
as $$
  select u.id, concat_ws(' / ', b.name, u.number), r.id, r.full_name, o.role, h.full_name, o.is_primary_contact, o.starts_on, o.ends_on, o.id
  from public.occupancies o
  join public.residents r on r.community_id = o.community_id and r.id = o.resident_id
  join public.units u on u.community_id = o.community_id and u.id = o.unit_id
  left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
  left join public.residents h on h.community_id = o.community_id and h.id = o.host_id
  where o.community_id = occupants_on.community and (occupants_on.only_unit is null or o.unit_id = occupants_on.only_unit)
    and o.days_lived_in @> occupants_on.day and o.deleted_at is null
    and o.starts_on <= occupants_on.day and (o.ends_on is null or o.ends_on >= occupants_on.day)
  order by b.name nulls first, u.number, o.role, r.full_name
$$;

comment on function app.occupants_on(uuid, date, uuid) is 'What community_occupants_on and unit_occupants_on answer, with the rights of the caller.';

grant execute on function app.owners_on(uuid, date, uuid), app.occupants_on(uuid, date, uuid) to authenticated, service_role;

create function public.community_owners_on(community_id uuid, day date default null)
returns table (unit_id uuid, unit text, resident_id uuid, full_name text, kind public.resident_kind, share numeric, starts_on date, ends_on date, occupancy_id uuid)
language sql
stable
set search_path = ''
as $$ select * from app.owners_on(community_id, coalesce(day, app.today_in(community_id))) $$;

comment on function public.community_owners_on(uuid, date) is
  'Who owned what in a community on a day (today, where none is named), with the share in percent; one that is not stated is an equal part of what the stated ones leave. Shows what the caller may see.';

create function public.unit_owners_on(unit_id uuid, day date default null)
returns table (resident_id uuid, full_name text, kind public.resident_kind, share numeric, starts_on date, ends_on date, occupancy_id uuid)
language sql
stable
set search_path = ''
as $$
  select o.resident_id, o.full_name, o.kind, o.share, o.starts_on, o.ends_on, o.occupancy_id
  from public.units u
  cross join lateral app.owners_on(u.community_id, coalesce(unit_owners_on.day, app.today_in(u.community_id)), u.id) o
  where u.id = unit_owners_on.unit_id
$$;

comment on function public.unit_owners_on(uuid, date) is 'Who owned a unit on a day (today, where none is named), with the share in percent. Shows what the caller may see.';

create function public.community_occupants_on(community_id uuid, day date default null)
returns table (
  unit_id uuid, unit text, resident_id uuid, full_name text, role public.occupancy_role, host text, is_primary_contact boolean, starts_on date, ends_on date,
  occupancy_id uuid
)
language sql
stable
set search_path = ''
as $$ select * from app.occupants_on(community_id, coalesce(day, app.today_in(community_id))) $$;

comment on function public.community_occupants_on(uuid, date) is
  'Who lived where in a community on a day (today, where none is named): owners who lived in, tenants, family, guests. Shows what the caller may see.';

create function public.unit_occupants_on(unit_id uuid, day date default null)
returns table (
  resident_id uuid, full_name text, role public.occupancy_role, host text, is_primary_contact boolean, starts_on date, ends_on date, occupancy_id uuid
)
language sql
stable
set search_path = ''
as $$
  select o.resident_id, o.full_name, o.role, o.host, o.is_primary_contact, o.starts_on, o.ends_on, o.occupancy_id
  from public.units u
  cross join lateral app.occupants_on(u.community_id, coalesce(unit_occupants_on.day, app.today_in(u.community_id)), u.id) o
  where u.id = unit_occupants_on.unit_id
$$;

comment on function public.unit_occupants_on(uuid, date) is 'Who lived in a unit on a day (today, where none is named), owners who lived elsewhere by then excepted. Shows what the caller may see.';

grant execute on function
  public.community_owners_on(uuid, date), public.unit_owners_on(uuid, date), public.community_occupants_on(uuid, date), public.unit_occupants_on(uuid, date)
to authenticated, service_role;

-- Persons of a request -----------------------------------------------------------------------------------------------

create function app.parse_share(told text)
returns numeric
language plpgsql
immutable
set search_path = ''
as $$
declare
  share numeric;
begin
  share := case
    when told ~ '^[0-9]{1,9} */ *[0-9]{1,9}$' then round(100 * split_part(told, '/', 1)::numeric / nullif(split_part(told, '/', 2)::numeric, 0), 6)
    when told ~ '^[0-9]{1,3}(\.[0-9]{1,12})?$' then round(told::numeric, 6)
  end;
  if told is not null and (share is null or share <= 0 or share > 100) then
    perform app.fail(422, 'invalid_value', format('%s is no share: percent (33.333333) or a fraction ("1/3"), above 0 and at most the whole.', left(told, 40)));
  end if;
  return share;
end;
$$;

comment on function app.parse_share(text) is 'A share as percent to six decimals, from percent or a fraction; null from null. Errors: invalid_value.';

create function app.resolve_people(home uuid, people jsonb)
returns jsonb
language plpgsql
volatile
security definer -- enters residents for callers who hold the permission of what they do, and not residents.manage
set search_path = ''
as $$
declare
  bad text;
begin
  if jsonb_typeof(people) is distinct from 'array' or jsonb_array_length(people) not between 1 and 100 then
    perform app.fail(422, 'invalid_people', 'A list of 1 to 100 persons is expected, each {"resident_id"} or {"full_name"}.');
  end if;
  select format('Person %s is neither {"resident_id": "<id>"} nor {"full_name": "<name>"}.', p.n) into bad
  from jsonb_array_elements(people) with ordinality p (person, n)
  where jsonb_typeof(p.person) <> 'object' or num_nonnulls(p.person ->> 'resident_id', p.person ->> 'full_name') <> 1
    or not coalesce(pg_input_is_valid(p.person ->> 'resident_id', 'uuid'), true)
    or coalesce(p.person ->> 'kind', 'person') not in ('person', 'company')
    or not coalesce(pg_input_is_valid(p.person ->> 'born_on', 'date'), true)
  limit 1;
  if bad is not null then
    perform app.fail(422, 'invalid_people', bad);
  end if;
  select format('Person %s is no live resident of this community.', p.n) into bad
  from jsonb_array_elements(people) with ordinality p (person, n)
  where p.person ->> 'resident_id' is not null and not exists (
    select from public.residents r where r.community_id = home and r.id = (p.person ->> 'resident_id')::uuid and r.deleted_at is null)
  limit 1;
  if bad is not null then
    perform app.fail(404, 'resident_not_found', bad);
  end if;
  if (select count(p.person ->> 'resident_id') <> count(distinct (p.person ->> 'resident_id')::uuid) from jsonb_array_elements(people) p (person)) then
    perform app.fail(422, 'invalid_people', 'A person is named twice.');
  end if;

  select jsonb_agg(p.person || case when p.person ->> 'resident_id' is null then jsonb_build_object('resident_id', extensions.uuidv7(), 'is_new', true) else '{"is_new": false}' end order by p.n)
  into people
  from jsonb_array_elements(people) with ordinality p (person, n);
  insert into public.residents (id, community_id, full_name, kind)
  select (p.person ->> 'resident_id')::uuid, home, p.person ->> 'full_name', coalesce(p.person ->> 'kind', 'person')::public.resident_kind
  from jsonb_array_elements(people) with ordinality p (person, n)
  where (p.person ->> 'is_new')::boolean
  order by p.n;
  insert into public.resident_details (community_id, resident_id, email, phone, identity_number, born_on)
  select home, (p.person ->> 'resident_id')::uuid, p.person ->> 'email', p.person ->> 'phone', p.person ->> 'identity_number', (p.person ->> 'born_on')::date
  from jsonb_array_elements(people) with ordinality p (person, n)
  where (p.person ->> 'is_new')::boolean and (p.person ->> 'email', p.person ->> 'phone', p.person ->> 'identity_number', p.person ->> 'born_on') is distinct from (null, null, null, null)
  order by p.n;
  return people;
end;
$$;

comment on function app.resolve_people(uuid, jsonb) is
  'The persons that a request names, each with resident_id: those given by name are entered as residents, with email, phone, identity_number and born_on as details. Errors: invalid_people, resident_not_found. Definer: enters residents; the caller''s permission is checked before.';

-- Sales --------------------------------------------------------------------------------------------------------------

create function app.locked_units(permission text, unit_ids uuid[])
returns uuid
language plpgsql
volatile
security definer -- locks units
set search_path = ''
as $$
declare
  home uuid;
  homes bigint;
begin
  select count(distinct u.community_id), min(u.community_id::text)::uuid into homes, home from public.units u where u.id = any (unit_ids);
  if homes > 1 then
    -- Each is asked for, so that nobody learns of units elsewhere.
    perform app.require(permission, u.community_id) from (select distinct x.community_id from public.units x where x.id = any (unit_ids)) u;
    perform app.fail(422, 'invalid_units', 'The units are of several communities.');
  end if;
  perform app.require(permission, home);
  if coalesce(cardinality(unit_ids), 0) not between 1 and 200 or (select count(distinct t) from unnest(unit_ids) t) <> cardinality(unit_ids) then
    perform app.fail(422, 'invalid_units', 'A list of 1 to 200 different units is expected.');
  end if;
  perform from public.units u where u.id = any (unit_ids) and u.deleted_at is null order by u.id for no key update;
  if (select count(*) from public.units u where u.id = any (unit_ids) and u.deleted_at is null) <> cardinality(unit_ids) then
    perform app.fail(404, 'unit_not_found', 'There is no live unit with this id.');
  end if;
  return home;
end;
$$;

comment on function app.locked_units(text, uuid[]) is
  'The community of the units, after asking for the permission there and locking the units in id order. Errors: permission_denied, invalid_units, unit_not_found. Definer: locks units.';

create function app.sell_units(unit_ids uuid[], sold_on date, buyers jsonb, seller_ids uuid[], moves boolean)
returns table (unit_id uuid, resident_id uuid, full_name text, change text, share numeric, starts_on date, ends_on date, occupancy_id uuid)
language plpgsql
volatile
security definer -- several owners change at once, each row whole or none
set search_path = ''
as $$
#variable_conflict use_column
declare
  home constant uuid := app.locked_units('residents.manage', unit_ids);
  sold uuid;
  door text;
  former jsonb; -- who owns on the day: [{occupancy_id, resident_id, share, starts_on, is_sold}]
  coming jsonb; -- who will: [{n, occupancy_id, resident_id, share, lives_in, is_contact, former_id}]
  given numeric;
  stated numeric;
  unstated bigint;
  off numeric;
  refused_table text;
  refused text;
begin
  if sold_on is null or sold_on not between date '1850-01-01' and date '2200-01-01' then
    perform app.fail(422, 'invalid_period', 'sold_on is the day from which the buyers own.');
  end if;
  perform set_config('app.hosts_wait', 'on', true); -- until it is known who stays
  buyers := app.resolve_people(home, buyers);
  buyers := (
    select jsonb_agg(b.buyer || jsonb_build_object('share', app.parse_share(b.buyer ->> 'share')) order by b.n)
    from jsonb_array_elements(buyers) with ordinality b (buyer, n));
  select coalesce(sum((b.buyer ->> 'share')::numeric), 0), count(*) filter (where b.buyer ->> 'share' is null)
  into stated, unstated
  from jsonb_array_elements(buyers) b (buyer);

  foreach sold in array (select array_agg(u order by u) from unnest(unit_ids) u) loop
    select u.number into door from public.units u where u.id = sold;
    if exists (select from public.occupancies o where o.community_id = home and o.unit_id = sold and o.role = 'owner' and o.deleted_at is null and o.starts_on > sold_on) then
      perform app.fail(409, 'sale_overtaken', format('Somebody owns unit %s from a later day on.', door), 'Sales are entered in their order. Archive the later ones first.');
    end if;
    select coalesce(jsonb_agg(jsonb_build_object('occupancy_id', s.occupancy_id, 'resident_id', s.resident_id, 'share', s.share, 'starts_on', o.starts_on,
      'is_sold', seller_ids is null or s.resident_id = any (seller_ids))), '[]')
    into former
    from app.owner_shares(home, sold_on, sold) s join public.occupancies o on o.id = s.occupancy_id;

    -- What is sold: all there is where all owners sell, whatever rounding left.
    select case when bool_and(f.is_sold) is not false then 100 else sum(f.share) filter (where f.is_sold) end into given
    from jsonb_to_recordset(former) f (share numeric, is_sold boolean);
    if given is null or seller_ids is not null and (
      select count(*) from jsonb_to_recordset(former) f (is_sold boolean) where f.is_sold) <> (select count(distinct s) from unnest(seller_ids) s) then
      perform app.fail(422, 'seller_not_owner', format('Not every seller owns unit %s on %s.', door, sold_on));
    end if;
    if exists (
      select from jsonb_to_recordset(former) f (resident_id uuid, starts_on date, is_sold boolean)
      where f.starts_on = sold_on and (f.is_sold or f.resident_id in (select (b.buyer ->> 'resident_id')::uuid from jsonb_array_elements(buyers) b (buyer)))) then
      perform app.fail(409, 'sale_too_early', format('Who sells unit %s, or buys another part of it, owns it from %s on only: a share lasts a day at least.', door, sold_on),
        'Has this sale been entered already?');
    end if;
    if (case when unstated > 0 then stated + unstated * 0.000001 > given else abs(stated - given) > 0.0000005 * (jsonb_array_length(buyers) + 1) end) then
      perform app.fail(409, 'shares_not_whole', format('The sellers give %s percent of unit %s, the buyers take %s.', trim_scale(given), door, trim_scale(stated)),
        'Shares are percent of the unit, not of what is sold. Who sells a part and keeps the rest is named as a buyer of the rest.');
    end if;

    -- What a buyer owned already and what is bought become one share.
    select jsonb_agg(jsonb_build_object('n', b.n, 'occupancy_id', extensions.uuidv7(), 'resident_id', b.buyer ->> 'resident_id', 'former_id', f.occupancy_id,
      'share', coalesce((b.buyer ->> 'share')::numeric, round((given - stated) / nullif(unstated, 0), 6)) + coalesce(f.share, 0),
      'lives_in', coalesce((b.buyer ->> 'lives_in')::boolean, moves and not exists (
        select from public.occupancies t
        where t.community_id = home and t.unit_id = sold and t.role = 'tenant' and t.deleted_at is null and (t.ends_on is null or t.ends_on >= sold_on))),
      'is_contact', coalesce((b.buyer ->> 'is_primary_contact')::boolean, false)))
    into coming
    from jsonb_array_elements(buyers) with ordinality b (buyer, n)
    left join jsonb_to_recordset(former) f (occupancy_id uuid, resident_id uuid, share numeric, is_sold boolean)
      on f.resident_id = (b.buyer ->> 'resident_id')::uuid and not f.is_sold;

    -- What rounding leaves over, or takes too much, goes to the last buyer.
    select case when app.is_whole(count(*), 0, sum(x.share)) then 0 else 100 - sum(x.share) end into off
    from (
      select c.share from jsonb_to_recordset(coming) c (share numeric)
      union all
      select f.share from jsonb_to_recordset(former) f (occupancy_id uuid, share numeric, is_sold boolean)
      where not f.is_sold and f.occupancy_id not in (select c.former_id from jsonb_to_recordset(coming) c (former_id uuid) where c.former_id is not null)
    ) x;

    return query
      update public.occupancies o
      set ends_on = sold_on - 1
      from jsonb_to_recordset(former) f (occupancy_id uuid, share numeric, is_sold boolean), public.residents r
      where o.id = f.occupancy_id and r.id = o.resident_id
        and (f.is_sold or o.id in (select c.former_id from jsonb_to_recordset(coming) c (former_id uuid)))
      returning sold, o.resident_id, r.full_name, 'ended', f.share, o.starts_on, o.ends_on, o.id;
    return query
      insert into public.occupancies as o (id, community_id, unit_id, resident_id, role, ownership_share, is_living_in, is_primary_contact, starts_on)
      select c.occupancy_id, home, sold, c.resident_id, 'owner', c.share + case when c.n = jsonb_array_length(coming) then off else 0 end, c.lives_in, c.is_contact, sold_on
      from jsonb_to_recordset(coming) c (n integer, occupancy_id uuid, resident_id uuid, share numeric, lives_in boolean, is_contact boolean)
      order by c.n
      returning sold, o.resident_id, (select r.full_name from public.residents r where r.id = o.resident_id), 'begun', o.ownership_share, o.starts_on, o.ends_on, o.id;
    perform app.check_shares(home, sold);
    if not exists (select from jsonb_to_recordset(former) f (is_sold boolean) where not f.is_sold) then
      perform app.end_representatives(home, sold, sold_on - 1);
    end if;
    perform app.emit('unit.sold', home, jsonb_build_object(
      'unit_id', sold, 'sold_on', sold_on,
      'is_complete', not exists (select from jsonb_to_recordset(former) f (is_sold boolean) where not f.is_sold),
      'sellers', (select coalesce(jsonb_agg(f.resident_id), '[]') from jsonb_to_recordset(former) f (resident_id uuid, is_sold boolean) where f.is_sold),
      'buyers', (select jsonb_agg(c.resident_id order by c.n) from jsonb_to_recordset(coming) c (n integer, resident_id uuid))));
  end loop;
  perform set_config('app.hosts_wait', '', true);
  perform app.end_with_hosts(unit_ids);
exception
  when check_violation then
    get stacked diagnostics refused_table = table_name, refused = constraint_name;
    perform app.fail_check(refused_table, refused);
  when exclusion_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail(409, 'occupancy_taken', format('The same is stored for that time already (%s).', refused));
  when invalid_text_representation then
    perform app.fail(422, 'invalid_people', sqlerrm);
end;
$$;

comment on function app.sell_units(uuid[], date, jsonb, uuid[], boolean) is
  'What sell_unit and transfer_units do. Definer: several owners change at once, each row whole or none.';

create function public.sell_unit(unit_id uuid, sold_on date, buyers jsonb, seller_ids uuid[] default null)
returns table (resident_id uuid, full_name text, change text, share numeric, starts_on date, ends_on date, occupancy_id uuid)
language sql
volatile
set search_path = ''
as $$
  select s.resident_id, s.full_name, s.change, s.share, s.starts_on, s.ends_on, s.occupancy_id
  from app.sell_units(array[sell_unit.unit_id], sell_unit.sold_on, sell_unit.buyers, sell_unit.seller_ids, false) s
$$;

comment on function public.sell_unit(uuid, date, jsonb, uuid[]) is
  'Sells a unit, or what the sellers (all owners by default) own of it: their shares end on the day before sold_on, the buyers'' begin on it. '
  'buyers: [{"resident_id"} or {"full_name", "kind", "email", "phone", "identity_number"}, each with "share" (percent of the unit, or "1/3"; equal parts by default), "lives_in", "is_primary_contact"]. '
  'Answers with what ended and what began. Takes residents.manage. Event: unit.sold. '
  'Errors: permission_denied, unit_not_found, invalid_units, invalid_people, invalid_period, invalid_value, resident_not_found, seller_not_owner, sale_too_early, sale_overtaken, shares_not_whole, occupancy_taken.';

create function public.transfer_units(unit_ids uuid[], sold_on date, buyers jsonb, seller_ids uuid[] default null)
returns table (unit_id uuid, resident_id uuid, full_name text, change text, share numeric, starts_on date, ends_on date, occupancy_id uuid)
language sql
volatile
set search_path = ''
as $$ select * from app.sell_units(unit_ids, sold_on, buyers, seller_ids, true) $$;

comment on function public.transfer_units(uuid[], date, jsonb, uuid[]) is
  'sell_unit for several units of one community at once (a flat with its garage), all or none; the buyers, entered once, live in each unit that is not let, unless "lives_in" says otherwise. Errors: those of sell_unit.';

create function app.set_ownership_shares(owned uuid, shares jsonb)
returns void
language plpgsql
volatile
security definer -- several shares change at once
set search_path = ''
as $$
declare
  home constant uuid := app.locked_units('residents.manage', array[owned]);
begin
  if jsonb_typeof(shares) is distinct from 'object' or shares = '{}' then
    perform app.fail(422, 'invalid_value', 'shares is an object: {"<occupancy_id>": 33.333333, "<occupancy_id>": "1/3"}.');
  end if;
  if exists (
    select from jsonb_object_keys(shares) k
    where not exists (
      select from public.occupancies o
      where o.community_id = home and o.unit_id = owned and o.id::text = k and o.role = 'owner' and o.deleted_at is null)) then
    perform app.fail(404, 'occupancy_not_found', 'Not every id is that of an owner''s occupancy of this unit.');
  end if;
  update public.occupancies o
  set ownership_share = app.parse_share(s.value)
  from jsonb_each_text(shares) s
  where o.id = s.key::uuid;
  perform app.check_shares(home, owned);
end;
$$;

comment on function app.set_ownership_shares(uuid, jsonb) is 'What public.set_ownership_shares does. Definer: several shares change at once.';

create function public.set_ownership_shares(unit_id uuid, shares jsonb)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_ownership_shares(unit_id, shares) $$;

comment on function public.set_ownership_shares(uuid, jsonb) is
  'Corrects shares that were entered wrongly, several at once: {"<occupancy_id>": 60, "<occupancy_id>": "2/5"}; null: not stated. Who sells uses sell_unit. Takes residents.manage. '
  'Errors: permission_denied, unit_not_found, invalid_value, occupancy_not_found, shares_not_whole.';

grant execute on function
  app.sell_units(uuid[], date, jsonb, uuid[], boolean), public.sell_unit(uuid, date, jsonb, uuid[]), public.transfer_units(uuid[], date, jsonb, uuid[]),
  app.set_ownership_shares(uuid, jsonb), public.set_ownership_shares(uuid, jsonb)
to authenticated, service_role;

-- Overviews ----------------------------------------------------------------------------------------------------------
-- Database logins read these, and execute no function of ours: the rule of app.owner_shares stands here again.

create view public.units_overview with (security_invoker = true) as
select
  c.name as community, b.name as building, e.name as entrance, u.number, u.type, u.floor, u.area, u.ideal_parts, u.status,
  (select string_agg(format('%s (%s %%)', w.full_name, trim_scale(w.share)), ', ' order by w.full_name)
   from (
     select r.full_name, coalesce(o.ownership_share,
       round((100 - coalesce(sum(o.ownership_share) over (), 0)) / nullif(count(*) over () - count(o.ownership_share) over (), 0), 6)) as share
     from public.occupancies o join public.residents r on r.community_id = o.community_id and r.id = o.resident_id
     where o.community_id = u.community_id and o.unit_id = u.id and o.role = 'owner' and o.deleted_at is null
       and o.starts_on <= t.today and (o.ends_on is null or o.ends_on >= t.today)
   ) w) as owners,
  (select string_agg(r.full_name || ' (' || o.role || ')', ', ' order by o.role, r.full_name)
   from public.occupancies o join public.residents r on r.community_id = o.community_id and r.id = o.resident_id
   where o.community_id = u.community_id and o.unit_id = u.id and o.days_lived_in @> t.today and o.deleted_at is null
     and o.starts_on <= t.today and (o.ends_on is null or o.ends_on >= t.today)) as living_in,
  u.community_id, u.id as unit_id
from public.units u
join public.communities c on c.id = u.community_id
cross join lateral (select (now() at time zone c.time_zone)::date as today) t
left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
left join public.entrances e on e.community_id = u.community_id and e.building_id = u.building_id and e.id = u.entrance_id
where u.deleted_at is null;

comment on view public.units_overview is 'Units with names instead of ids: building, entrance, owners with their shares, who lives there today. Shows what the reader may see.';
comment on column public.units_overview.community is 'Name of the community.';
comment on column public.units_overview.building is 'Name of the building; null for a house.';
comment on column public.units_overview.entrance is 'Name of the entrance.';
comment on column public.units_overview.number is 'What is on the door.';
comment on column public.units_overview.type is 'Kind of unit.';
comment on column public.units_overview.floor is '0 is the ground floor.';
comment on column public.units_overview.area is 'Square metres.';
comment on column public.units_overview.ideal_parts is 'Share of the common parts.';
comment on column public.units_overview.status is 'vacant, occupied, under_maintenance.';
comment on column public.units_overview.owners is 'Owners of today, each with the share owned; one that is not stated is the equal part of what the stated ones leave.';
comment on column public.units_overview.living_in is 'Who lives there today, each with the role.';
comment on column public.units_overview.community_id is 'The community''s id.';
comment on column public.units_overview.unit_id is 'The unit''s id.';

create view public.residents_overview with (security_invoker = true) as
select
  c.name as community, r.full_name, r.kind, o.role, concat_ws(' / ', b.name, u.number) as unit,
  case when o.role = 'owner' then coalesce(o.ownership_share, (
    select round((100 - coalesce(sum(w.ownership_share), 0)) / nullif(count(*) - count(w.ownership_share), 0), 6)
    from public.occupancies w
    where w.community_id = o.community_id and w.unit_id = o.unit_id and w.role = 'owner' and w.deleted_at is null
      and w.starts_on <= nearest.day and (w.ends_on is null or w.ends_on >= nearest.day))) end as ownership_share,
  case when o.role = 'owner' then o.ownership_share is not null end as is_share_stated, o.is_living_in, o.is_primary_contact, o.starts_on, o.ends_on, d.email, d.phone, r.user_id is not null as has_account,
  r.community_id, r.id as resident_id, u.id as unit_id, o.id as occupancy_id
from public.residents r
join public.communities c on c.id = r.community_id
cross join lateral (select (now() at time zone c.time_zone)::date as today) t
left join public.resident_details d on d.community_id = r.community_id and d.resident_id = r.id
left join public.occupancies o on o.community_id = r.community_id and o.resident_id = r.id and o.deleted_at is null
cross join lateral (select greatest(o.starts_on, least(o.ends_on, t.today)) as day) nearest
left join public.units u on u.community_id = o.community_id and u.id = o.unit_id
left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
where r.deleted_at is null;

comment on view public.residents_overview is 'Who is tied to which unit, and how: one row per occupancy, or one for a resident without any. Shows what the reader may see.';
comment on column public.residents_overview.community is 'Name of the community.';
comment on column public.residents_overview.full_name is 'Name of the resident.';
comment on column public.residents_overview.kind is 'person or company.';
comment on column public.residents_overview.role is 'Role in the unit; null for a resident tied to none.';
comment on column public.residents_overview.unit is 'Building and number.';
comment on column public.residents_overview.ownership_share is 'Percent owned: as stated, or else the equal part of what the stated shares leave today (of a stay that is over or to come, on its nearest day).';
comment on column public.residents_overview.is_share_stated is 'Whether that share is stated; null for who owns nothing here.';
comment on column public.residents_overview.is_living_in is 'Whether the resident lives in the unit, or did to the end of the stay.';
comment on column public.residents_overview.is_primary_contact is 'Whom to call about the unit.';
comment on column public.residents_overview.starts_on is 'First day.';
comment on column public.residents_overview.ends_on is 'Last day; null: until further notice.';
comment on column public.residents_overview.email is 'For those who may see details.';
comment on column public.residents_overview.phone is 'For those who may see details.';
comment on column public.residents_overview.has_account is 'Whether a user is linked.';
comment on column public.residents_overview.community_id is 'The community''s id.';
comment on column public.residents_overview.resident_id is 'The resident''s id.';
comment on column public.residents_overview.unit_id is 'The unit''s id.';
comment on column public.residents_overview.occupancy_id is 'The occupancy''s id.';

grant select on public.units_overview, public.residents_overview to authenticated, service_role, vicinia_reporting, vicinia_maintenance;
