-- Billing: who is liable for a unit, on which days, for which part.
--
-- Purpose     A charge follows who was liable when: from a day to a day, for all units of a community at once, and an amount per unit
--             split among them to the cent.
-- Tables      None of its own; reads occupancies and unit_representatives.
-- Invariants  On every day of the time a unit has parties whose shares make up the whole: the appointed payer, or else its owners, each
--             with the own share, as app.representatives_on answers for that day; where the occupant is liable, the tenants who live
--             there come before them. Where nobody is known the whole is nobody's (resident_id null), so that nothing is lost.
--             The parts of an amount make up the amount.

create type public.fee_liability as enum ('payer', 'occupant');

comment on type public.fee_liability is
  'Who owes what is charged to a unit. payer: the appointed payer, or else the owners. occupant: the tenants who live there, or else the payer.';

create function app.liability(community uuid, from_day date, to_day date, liable public.fee_liability default 'payer', only_units uuid[] default null)
returns table (unit_id uuid, resident_id uuid, starts_on date, ends_on date, share numeric)
language sql
stable
security definer -- whom a share falls to may depend on co-owners and tenants whom the caller does not see
set search_path = ''
set work_mem = '64MB' -- what 100,000 units take to hash
as $$
  with parties as (
    select o.unit_id, o.resident_id, 3 as precedence, o.ownership_share as share,
      greatest(o.starts_on, from_day) as starts_on, least(o.ends_on, to_day) as ends_on
    from public.occupancies o
    where o.community_id = community and o.role = 'owner' and o.deleted_at is null and o.starts_on <= to_day and (o.ends_on is null or o.ends_on >= from_day)
      and (only_units is null or o.unit_id in (select unnest(only_units)))
    union all
    select p.unit_id, p.resident_id, 2, null, greatest(p.starts_on, from_day), least(p.ends_on, to_day)
    from public.unit_representatives p
    where p.community_id = community and p.kind = 'payer' and p.deleted_at is null and p.starts_on <= to_day and (p.ends_on is null or p.ends_on >= from_day)
      and (only_units is null or p.unit_id in (select unnest(only_units)))
    union all
    select t.unit_id, t.resident_id, 1, null, lower(d.days), upper(d.days) - 1
    from public.occupancies t
    cross join lateral unnest(t.days_lived_in * datemultirange(daterange(greatest(t.starts_on, from_day), least(t.ends_on, to_day), '[]'))) d (days)
    where liable = 'occupant' and t.community_id = community and t.role = 'tenant' and t.deleted_at is null
      and t.starts_on <= to_day and (t.ends_on is null or t.ends_on >= from_day)
      and (only_units is null or t.unit_id in (select unnest(only_units)))
  ),
  -- Most units have one party, all the time, or none. The others are looked at for each stretch of days on which nothing changes.
  changing as materialized (
    select p.unit_id from parties p group by p.unit_id having count(*) > 1 or min(p.starts_on) > from_day or max(p.ends_on) < to_day
  ),
  several as materialized (
    select p.*
    from changing c
    join public.units u on u.id = c.unit_id and u.community_id = community and u.deleted_at is null
    join parties p on p.unit_id = u.id
    where from_day <= to_day
  ),
  stretches as (
    select b.unit_id, b.day as starts_on, lead(b.day, 1, to_day + 1) over (partition by b.unit_id order by b.day) - 1 as ends_on
    from (
      select p.unit_id, from_day as day from several p
      union
      select p.unit_id, b.day
      from several p
      cross join lateral (values (p.starts_on), (p.ends_on + 1)) b (day)
      where b.day <= to_day
    ) b
  ),
  -- A tenant who is also the appointed payer goes before the other tenants.
  present as (
    select s.unit_id, s.starts_on, s.ends_on, p.resident_id, p.share, p.precedence,
      case when p.precedence = 1 and bool_or(p.precedence = 2) over (partition by s.unit_id, s.starts_on, p.resident_id) then 0 else p.precedence end as rank
    from stretches s
    left join several p on p.unit_id = s.unit_id and p.starts_on <= s.starts_on and p.ends_on >= s.starts_on
  ),
  foremost as (
    select f.unit_id, f.starts_on, f.ends_on, f.resident_id, coalesce(f.share,
      round((100 - coalesce(sum(f.share) over stretch, 0)) / nullif(count(*) over stretch - count(f.share) over stretch, 0), 6)) as share
    from (select p.*, min(p.rank) over (partition by p.unit_id, p.starts_on) as first_rank from present p) f
    where f.rank is not distinct from f.first_rank
    window stretch as (partition by f.unit_id, f.starts_on)
  ),
  whole as (
    select f.unit_id, f.resident_id, f.starts_on, f.ends_on, f.share * 100 / sum(f.share) over (partition by f.unit_id, f.starts_on) as share
    from foremost f
  ),
  -- Stretches on which a party's part stays the same are one.
  begun as (
    select w.*, (lag(w.ends_on) over party = w.starts_on - 1 and lag(w.share) over party = w.share) is not true as is_new
    from whole w
    window party as (partition by w.unit_id, w.resident_id order by w.starts_on)
  ),
  numbered as (
    select b.*, count(*) filter (where b.is_new) over (partition by b.unit_id, b.resident_id order by b.starts_on) as n
    from begun b
  )
  select u.id, p.resident_id, from_day, to_day, 100::numeric
  from public.units u
  left join parties p on p.unit_id = u.id
  where u.community_id = community and u.deleted_at is null and from_day <= to_day and (only_units is null or u.id in (select unnest(only_units)))
    and u.id not in (select c.unit_id from changing c)
  union all
  select n.unit_id, n.resident_id, min(n.starts_on), max(n.ends_on), min(n.share) from numbered n group by n.unit_id, n.resident_id, n.n
$$;

comment on function app.liability(uuid, date, date, public.fee_liability, uuid[]) is
  'Who was liable for each live unit of a community from a day to a day: rows of days on which a party''s share (percent, exact) stays the same; on each day the shares of a unit make up 100. '
  'payer: the appointed payer, else the owners (app.representatives_on). occupant: the tenants who live there, in equal parts, or the one of them who is the appointed payer, else the payer. '
  'Nobody known: resident_id null. only_units: of these alone. For other domains; set-based. Definer: whom a share falls to may depend on co-owners and tenants whom the caller does not see.';

-- Splitting ----------------------------------------------------------------------------------------------------------

create function app.split_liable(
  community uuid, from_day date, to_day date, liable public.fee_liability, is_prorated boolean, decimals smallint, unit_ids uuid[], amounts numeric[]
)
returns table (place integer, unit_id uuid, resident_id uuid, starts_on date, ends_on date, amount numeric)
language sql
stable
set search_path = ''
set enable_mergejoin = off -- would put both sides in order
as $$
  -- Kept as they come: a row that is handed on whole is copied, and not made anew.
  with parties as materialized (
    select l.* from app.liability(community, from_day, case when is_prorated then to_day else from_day end, liable, case when cardinality(unit_ids) <= 10000 then unit_ids end) l
  ),
  parts as (
    select u.place, u.unit_id, u.amount as whole, l.resident_id, min(l.starts_on) as starts_on, case when is_prorated then max(l.ends_on) else to_day end as ends_on,
      sum(l.share * (l.ends_on - l.starts_on + 1)) as weight
    from (select unnest(unit_ids) as unit_id, unnest(amounts) as amount, generate_subscripts(unit_ids, 1) as place) u
    join parties l on l.unit_id = u.unit_id
    where not (l.share = 100 and (not is_prorated or l.starts_on = from_day and l.ends_on = to_day))
    group by u.place, u.unit_id, u.amount, l.resident_id
  ),
  exact as (
    select p.*, abs(p.whole) * p.weight / sum(p.weight) over (partition by p.place) as quota
    from parts p
  ),
  -- Largest remainder: what cutting off leaves over goes, cent by cent, to the largest fractions; of equal ones to the larger weight, then to the earlier party.
  cut as (
    select e.*, trunc(e.quota, decimals) as floored,
      row_number() over (partition by e.place order by e.quota - trunc(e.quota, decimals) desc, e.weight desc, e.starts_on, e.resident_id) as turn
    from exact e
  ),
  shared as (
    select c.*, (abs(c.whole) - sum(c.floored) over (partition by c.place)) * (10 ^ decimals)::numeric as left_over from cut c
  )
  -- The unit is its party's alone, or nobody's, all the time.
  select u.place, u.unit_id, l.resident_id, from_day, to_day, u.amount
  from (select unnest(unit_ids) as unit_id, unnest(amounts) as amount, generate_subscripts(unit_ids, 1) as place) u
  left join parties l on l.unit_id = u.unit_id
  where u.amount <> 0 and (l.unit_id is null or l.share = 100 and (not is_prorated or l.starts_on = from_day and l.ends_on = to_day))
  union all
  select s.place, s.unit_id, s.resident_id, s.starts_on, s.ends_on, a.amount
  from shared s
  cross join lateral (select sign(s.whole) * (s.floored + case when s.turn <= s.left_over then (10 ^ -decimals)::numeric else 0 end) as amount) a
  where a.amount <> 0
$$;

comment on function app.split_liable(uuid, date, date, public.fee_liability, boolean, smallint, uuid[], numeric[]) is
  'Splits an amount for each unit (place: its position in the arrays) among who was liable from a day to a day: by days and shares, or, not prorated, by the shares of the first day. '
  'The parts make up the amount: largest remainder, then larger weight, then who was first. starts_on and ends_on: from the party''s first day to its last. Parts of nothing are left out. Amounts have the currency''s decimals: the caller has seen to it. For other domains; set-based.';

grant execute on function app.liability(uuid, date, date, public.fee_liability, uuid[]), app.split_liable(uuid, date, date, public.fee_liability, boolean, smallint, uuid[], numeric[]) to service_role;
