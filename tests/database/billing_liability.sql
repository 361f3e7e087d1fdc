-- Who is liable for a unit on a day is found for any stretch of days, and an amount split among them loses nothing.

begin;
select plan(19);

select setseed(0.4203);
select tests.create_community('Alder');
select tests.create_community('Birch');
set local session_replication_role = replica;

-- Random histories ---------------------------------------------------------------------------------------------------
-- 60 units over 90 days: up to four eras of up to three owners (stated shares, unstated ones, thirds), none at times; tenants who come,
-- leave and live elsewhere for a while; appointed payers, a tenant among them now and then.
insert into public.units (id, community_id, number) select extensions.uuidv7(), tests.id('Alder'), n::text from generate_series(1, 60) n;
insert into public.residents (id, community_id, full_name) select extensions.uuidv7(), tests.id('Alder'), 'R' || n from generate_series(1, 2000) n;
insert into public.units (community_id, number) values (tests.id('Birch'), '1');

do $$
declare
  home constant uuid := tests.id('Alder');
  people constant uuid[] := array(select r.id from public.residents r where r.community_id = home order by r.id);
  next_person integer := 0;
  flat record;
  day date;
  last_on date;
  owners integer;
  style integer;
  tenants uuid[];
begin
  for flat in select u.id from public.units u where u.community_id = home order by u.id loop
    day := date '2025-11-01' + (random() * 80)::integer;
    tenants := '{}';
    for era in 1 .. (random() * 4)::integer loop
      last_on := day + (random() * 60)::integer;
      owners := (random() * 3)::integer;
      style := (random() * 2)::integer;
      for n in 1 .. owners loop
        next_person := next_person + 1;
        insert into public.occupancies (community_id, unit_id, resident_id, role, ownership_share, starts_on, ends_on)
        values (home, flat.id, people[next_person], 'owner',
          case when style = 0 then null when style = 1 and n = owners and owners > 1 then null when style = 2 and owners = 3 then 33.333333 else 100.0 / owners end::numeric(9, 6),
          day, case when era = 4 then null else last_on end);
      end loop;
      day := last_on + 1 + case when random() < 0.3 then (random() * 9)::integer else 0 end;
    end loop;
    for n in 1 .. (random() * 3)::integer loop
      next_person := next_person + 1;
      tenants := tenants || people[next_person];
      day := date '2025-12-20' + (random() * 60)::integer;
      last_on := case when random() < 0.7 then day + (random() * 40)::integer end;
      insert into public.occupancies (community_id, unit_id, resident_id, role, starts_on, ends_on, is_living_in, days_lived_in)
      select home, flat.id, people[next_person], 'tenant', day, last_on, upper_inf(d), d
      from (select case (random() * 2)::integer when 0 then '{(,)}'::datemultirange
        when 1 then datemultirange(daterange(null, day + 5), daterange(day + 12, null)) else datemultirange(daterange(null, day + 9)) end as d) x;
    end loop;
    day := date '2025-12-01' + (random() * 60)::integer;
    for n in 1 .. (random() * 2)::integer loop
      next_person := next_person + 1;
      last_on := day + (random() * 30)::integer;
      insert into public.unit_representatives (community_id, unit_id, kind, resident_id, starts_on, ends_on)
      values (home, flat.id, 'payer', case when random() < 0.6 and tenants <> '{}' then tenants[1] else people[next_person] end, day, last_on);
      day := last_on + 2;
    end loop;
  end loop;
end;
$$;
set local session_replication_role = origin;

create temporary view days as select generate_series(date '2026-01-01', date '2026-03-31', '1 day')::date as day;

-- As the function for a single day says, unit by unit, nobody where it names none.
create temporary view payers_by_day as
  with known as (
    select d.day, p.unit_id, p.resident_id, p.share from days d cross join lateral app.representatives_on(tests.id('Alder'), 'payer', d.day) p
  )
  select k.day, k.unit_id, k.resident_id, round(k.share * 100 / sum(k.share) over (partition by k.day, k.unit_id), 9) as share from known k
  union all
  select d.day, u.id, null, 100 from days d cross join public.units u
  where u.community_id = tests.id('Alder') and not exists (select from known k where k.day = d.day and k.unit_id = u.id);
create temporary view occupants_by_day as
  with living as (
    select d.day, o.unit_id, o.resident_id, exists (
      select from public.unit_representatives p where p.unit_id = o.unit_id and p.resident_id = o.resident_id and d.day between p.starts_on and p.ends_on) as pays
    from days d
    join public.occupancies o on o.role = 'tenant' and o.community_id = tests.id('Alder') and o.days_lived_in @> d.day and o.starts_on <= d.day and (o.ends_on is null or o.ends_on >= d.day)
  ),
  counted as (select l.*, bool_or(l.pays) over (partition by l.day, l.unit_id) as one_pays, count(*) over (partition by l.day, l.unit_id) as n from living l)
  select c.day, c.unit_id, c.resident_id, round(case when c.one_pays then 100 else 100.0 / c.n end, 9) as share from counted c where c.pays or not c.one_pays
  union all
  select p.day, p.unit_id, p.resident_id, p.share from payers_by_day p where not exists (select from living l where l.day = p.day and l.unit_id = p.unit_id);
create temporary view payers_by_stretch as
  select d.day, l.unit_id, l.resident_id, round(l.share, 9) as share from app.liability(tests.id('Alder'), '2026-01-01', '2026-03-31', 'payer') l join days d on d.day between l.starts_on and l.ends_on;
create temporary view occupants_by_stretch as
  select d.day, l.unit_id, l.resident_id, round(l.share, 9) as share from app.liability(tests.id('Alder'), '2026-01-01', '2026-03-31', 'occupant') l join days d on d.day between l.starts_on and l.ends_on;

select cmp_ok((select count(*) from app.liability(tests.id('Alder'), '2026-01-01', '2026-03-31', 'occupant')), '>', 150::bigint, 'the histories are varied');
select cmp_ok((select count(*) from payers_by_day p where p.resident_id is null), '>', 50::bigint, 'there are days on which nobody is known');
select is_empty('select * from payers_by_day except select * from payers_by_stretch', 'whoever pays on a day is liable on it, with the same share');
select is_empty('select * from payers_by_stretch except select * from payers_by_day', 'and nobody else');
select is((select count(*) from payers_by_stretch), (select count(*) from payers_by_day), 'nor twice');
select is_empty('select * from occupants_by_day except select * from occupants_by_stretch', 'where the occupant is liable, the tenants who live there are, then who pays');
select is_empty('select * from occupants_by_stretch except select * from occupants_by_day', 'and no other occupants');
select is((select count(*) from occupants_by_stretch), (select count(*) from occupants_by_day), 'none of them twice');
select is_empty(
  $$select unit_id, day from occupants_by_stretch group by unit_id, day having abs(sum(share) - 100) > 0.0000001$$,
  'on every day the shares of a unit are the whole');
select is((select count(distinct (day, unit_id)) from payers_by_stretch), 90 * 60::bigint, 'and no day of a unit is without');
select is_empty(
  $$select a.unit_id from app.liability(tests.id('Alder'), '2026-01-01', '2026-03-31', 'payer') a
    join app.liability(tests.id('Alder'), '2026-01-01', '2026-03-31', 'payer') b on b.unit_id = a.unit_id and b.resident_id = a.resident_id and b.share = a.share and b.starts_on = a.ends_on + 1$$,
  'days on which nothing changes are one row');
select is_empty($$select * from app.liability(tests.id('Alder'), '2026-01-02', '2026-01-01')$$, 'no days, nobody');
select is((select count(*) from app.liability(tests.id('Birch'), '2026-01-01', '2026-01-31')), 1::bigint, 'another community has its own units alone');

-- Splitting ----------------------------------------------------------------------------------------------------------
create temporary table told as
  select u.id as unit_id, row_number() over (order by u.id)::integer as place, (round((random() * 300 - 60)::numeric, 2)) as amount from public.units u where u.community_id = tests.id('Alder');
create temporary table split as
  select s.* from (select array_agg(t.unit_id order by t.place) as units, array_agg(t.amount order by t.place) as amounts from told t) a
  cross join lateral app.split_liable(tests.id('Alder'), '2026-01-01', '2026-03-31', 'occupant', true, 2::smallint, a.units, a.amounts) s;

select is_empty(
  $$select t.place from told t left join split s using (place) group by t.place, t.amount having coalesce(sum(s.amount), 0) <> t.amount$$,
  'the parts of every amount make it up to the cent, of negative ones too');
select is_empty(
  $$select s.place, s.resident_id, s.amount, e.exact
    from split s
    join told t using (place)
    join lateral (
      select sum(o.share) / 100 / 90 * t.amount as exact from occupants_by_day o where o.unit_id = t.unit_id and o.resident_id is not distinct from s.resident_id) e on true
    where abs(s.amount - e.exact) >= 0.01$$,
  'each part is that of the days and shares, less than a cent off');
select is_empty($$select * from split where amount <> round(amount, 2) or amount = 0$$, 'no part has more decimals than the currency, and none is nothing');
select is(
  (select string_agg(s.amount::text, ' ' order by s.amount) from (select u.id from public.units u join public.occupancies o on o.unit_id = u.id and o.role = 'owner' and o.ownership_share = 33.333333 group by u.id limit 1) u
   join public.occupancies o on o.unit_id = u.id and o.ownership_share = 33.333333
   cross join lateral app.split_liable(tests.id('Alder'), o.starts_on, o.starts_on, 'payer', true, 2::smallint, array[u.id], array[100::numeric]) s
   where not exists (select from public.unit_representatives p where p.unit_id = u.id and o.starts_on between p.starts_on and p.ends_on) and o.id = (select min(x.id::text)::uuid from public.occupancies x where x.unit_id = u.id and x.ownership_share = 33.333333)),
  '33.33 33.33 33.34', 'thirds are not lost');
select is_empty(
  $$select s.unit_id from (select array_agg(t.unit_id order by t.place) as units, array_agg(t.amount order by t.place) as amounts from told t) a
    cross join lateral app.split_liable(tests.id('Alder'), '2026-01-01', '2026-03-31', 'payer', false, 2::smallint, a.units, a.amounts) s
    where not exists (select from payers_by_day p where p.day = '2026-01-01' and p.unit_id = s.unit_id and p.resident_id is not distinct from s.resident_id)
      or s.ends_on <> '2026-03-31'$$,
  'what is not prorated is owed by who was liable on the first day, for the whole time');
select is(
  (select sum(s.amount) from app.split_liable(tests.id('Alder'), '2026-01-01', '2026-01-31', 'payer', true, 0::smallint, array[tests.id('nowhere')], array[7::numeric]) s where s.resident_id is null),
  7::numeric, 'what is charged to a unit that is no longer live is nobody''s, and not lost');

select * from finish();
rollback;
