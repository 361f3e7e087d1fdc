-- Foundation: recurrence rules.
--
-- Purpose     On which days something comes round: rules of RFC 5545 (iCalendar's RRULE), evaluated as calendar days.
-- Tables      None
-- Invariants  What app.is_recurrence takes can be evaluated; whatever else the standard knows is refused and not half understood.
--             A rule counts days, not moments. Which moments of a day are meant is the business of whoever has the rule, in the
--             community's time zone (app.wall_moment), so that a change of clocks moves nothing.
--
-- Understood: FREQ=DAILY, WEEKLY, MONTHLY, YEARLY; INTERVAL; COUNT or UNTIL (a day: 20261231); BYDAY (MO, 1MO, -1FR), BYMONTHDAY
-- (also from the end: -1), BYMONTH, BYSETPOS, WKST. The first day counts if the rule names it, as in rrule.js and rrule-temporal.

create type app.recurrence as (
  problem text,
  frequency text,
  step integer,
  most integer,
  until_on date,
  months integer[],
  month_days integer[],
  weekdays integer[],
  ordinals integer[],
  positions integer[],
  week_start integer
);

comment on type app.recurrence is 'A rule, taken apart. weekdays: 1 (Monday) to 7; ordinals: of each the how manieth of the month or year, 0: every.';

create function app.read_recurrence(rule text)
returns app.recurrence
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
declare
  read app.recurrence;
  names text[];
  part text;
  name text;
  value text;
  number constant text := '-?[1-9][0-9]{0,2}';
begin
  read.step := 1;
  read.week_start := 1;
  if rule is null or rule !~ '^[A-Z]+=[A-Z0-9,+-]+(;[A-Z]+=[A-Z0-9,+-]+)*$' or length(rule) > 500 then
    read.problem := 'A rule is NAME=VALUE, separated by semicolons, in capitals: FREQ=WEEKLY;BYDAY=MO,WE.';
    return read;
  end if;
  foreach part in array string_to_array(rule, ';') loop
    name := split_part(part, '=', 1);
    value := replace(split_part(part, '=', 2), '+', '');
    if name = any (names) then
      read.problem := format('%s stands twice.', name);
      return read;
    end if;
    names := names || name;
    case
      when name = 'FREQ' and value in ('DAILY', 'WEEKLY', 'MONTHLY', 'YEARLY') then
        read.frequency := value;
      when name = 'INTERVAL' and value ~ '^[1-9][0-9]{0,2}$' then
        read.step := value::integer;
      when name = 'COUNT' and value ~ '^[1-9][0-9]{0,2}$' then
        read.most := value::integer;
      when name = 'UNTIL' and value ~ '^[12][0-9]{7}$' and pg_catalog.pg_input_is_valid(value, 'date') then
        read.until_on := value::date;
      when name = 'BYMONTH' and value ~ '^(1[0-2]|[1-9])(,(1[0-2]|[1-9]))*$' then
        read.months := string_to_array(value, ',')::integer[];
      when name = 'BYMONTHDAY' and value ~ '^-?(3[01]|[12][0-9]|[1-9])(,-?(3[01]|[12][0-9]|[1-9]))*$' then
        read.month_days := string_to_array(value, ',')::integer[];
      when name = 'BYSETPOS' and value ~ format('^%1$s(,%1$s)*$', number) then
        read.positions := string_to_array(value, ',')::integer[];
      when name = 'BYDAY' and value ~ '^(-?[1-9][0-9]?)?(MO|TU|WE|TH|FR|SA|SU)(,(-?[1-9][0-9]?)?(MO|TU|WE|TH|FR|SA|SU))*$' then
        select array_agg(array_position('{MO,TU,WE,TH,FR,SA,SU}', right(d, 2))), array_agg(coalesce(nullif(left(d, -2), '')::integer, 0))
        into read.weekdays, read.ordinals
        from unnest(string_to_array(value, ',')) d;
      when name = 'WKST' and value in ('MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU') then
        read.week_start := array_position('{MO,TU,WE,TH,FR,SA,SU}', value);
      else
        read.problem := format('%s is not understood.', part);
        return read;
    end case;
  end loop;

  read.problem := case
    when read.frequency is null then 'FREQ is missing: DAILY, WEEKLY, MONTHLY or YEARLY.'
    when read.most is not null and read.until_on is not null then 'A rule ends by COUNT or by UNTIL, not by both.'
    when read.frequency = 'WEEKLY' and read.month_days is not null then 'A weekly rule has no BYMONTHDAY.'
    when read.frequency in ('DAILY', 'WEEKLY') and exists (select from unnest(read.ordinals) o where o <> 0) then 'Only monthly and yearly rules number their weekdays.'
    when exists (select from unnest(read.ordinals) o where abs(o) > case when read.frequency = 'MONTHLY' or read.months is not null then 5 else 53 end)
      then 'There is no such weekday in a month, or a year.'
    when read.month_days is not null and exists (select from unnest(read.ordinals) o where o <> 0) then 'Numbered weekdays and BYMONTHDAY exclude each other.'
    when read.positions is not null and num_nonnulls(read.months, read.month_days, read.weekdays) = 0 then 'BYSETPOS chooses among what another BY part lists.'
    when exists (select from unnest(read.positions) p where abs(p) > 366) then 'BYSETPOS is at most 366.' end;
  return read;
end;
$$;

comment on function app.read_recurrence(text) is 'Takes a rule apart; problem says what is wrong with it, or what of the standard is not understood.';

create function app.is_recurrence(rule text)
returns boolean
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
begin
  return (app.read_recurrence(rule)).problem is null;
end;
$$;

comment on function app.is_recurrence(text) is 'Whether the text is a recurrence rule that can be evaluated; for checks.';

create function app.require_recurrence(rule text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
declare
  problem constant text := (app.read_recurrence(rule)).problem;
begin
  if problem is not null then
    perform app.fail(422, 'recurrence_unsupported', problem, 'FREQ=WEEKLY;BYDAY=MO,WE;UNTIL=20261231: days, as in RFC 5545.');
  end if;
end;
$$;

comment on function app.require_recurrence(text) is 'Refuses (422 recurrence_unsupported) what is no recurrence rule, and says why.';

create function app.recurrence_set(read app.recurrence, first_on date, starts_on date, ends_on date)
returns date[]
language sql
immutable
parallel safe
set search_path = ''
as $$
  with days as (
    select d.day::date as day, extract(day from d.day)::integer as month_day, extract(month from d.day)::integer as month,
      extract(isodow from d.day)::integer as weekday, extract(doy from d.day)::integer as year_day,
      extract(day from date_trunc('month', d.day) + interval '1 month -1 day')::integer as month_length,
      extract(doy from date_trunc('year', d.day) + interval '1 year -1 day')::integer as year_length
    from generate_series(starts_on::timestamp, ends_on::timestamp, '1 day') d (day)
  ),
  chosen as (
    select d.day, row_number() over (order by d.day) as from_start, row_number() over (order by d.day desc) as from_end
    from days d
    where (read.months is null or d.month = any (read.months))
      and (read.month_days is null or d.month_day = any (read.month_days) or d.month_day - d.month_length - 1 = any (read.month_days))
      and (read.weekdays is null or exists (
        select from unnest(read.weekdays, read.ordinals) w (weekday, ordinal)
        where w.weekday = d.weekday and (
          w.ordinal = 0
          or case when read.frequency = 'MONTHLY' or read.months is not null
            then w.ordinal in ((d.month_day + 6) / 7, -((d.month_length - d.month_day) / 7 + 1))
            else w.ordinal in ((d.year_day + 6) / 7, -((d.year_length - d.year_day) / 7 + 1)) end)))
      -- Where the rule does not say which day, it is the one on which it began.
      and (num_nonnulls(read.weekdays, read.month_days) > 0 or case read.frequency
        when 'DAILY' then true
        when 'WEEKLY' then d.weekday = extract(isodow from first_on)
        when 'MONTHLY' then d.month_day = extract(day from first_on)
        else d.month_day = extract(day from first_on) and (read.months is not null or d.month = extract(month from first_on)) end)
  )
  select coalesce(array_agg(c.day order by c.day), '{}')
  from chosen c
  where read.positions is null or c.from_start = any (read.positions) or -c.from_end = any (read.positions)
$$;

comment on function app.recurrence_set(app.recurrence, date, date, date) is
  'The days that a rule which began on first_on chooses within one of its periods (a day, week, month or year, from starts_on to ends_on). Not cut to first_on, COUNT and UNTIL.';

create function app.recurrence_days(rule text, first_on date, from_on date, to_on date)
returns setof date
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
declare
  read constant app.recurrence := app.read_recurrence(rule);
  last_on constant date := least(to_on, read.until_on);
  -- The first day of the period in which the rule begins.
  anchor constant date := case read.frequency
    when 'DAILY' then first_on
    when 'WEEKLY' then first_on - (extract(isodow from first_on)::integer - read.week_start + 7) % 7
    when 'MONTHLY' then date_trunc('month', first_on)::date
    else date_trunc('year', first_on)::date end;
  unit constant interval := case read.frequency when 'DAILY' then '1 day' when 'WEEKLY' then '7 days' when 'MONTHLY' then '1 month' else '1 year' end;
  period integer := 0;
  starts_on date;
  day date;
  told integer := 0;
begin
  if read.problem is not null then
    perform app.require_recurrence(rule);
  -- Between what is no day (null, infinity) there are none.
  elsif (isfinite(first_on) and from_on <= last_on and isfinite(last_on)) is not true then
    return;
  end if;
  -- Only a rule that is counted has to be followed from its beginning.
  if read.most is null and from_on > first_on then
    period := case read.frequency
      when 'DAILY' then from_on - anchor
      when 'WEEKLY' then (from_on - anchor) / 7
      when 'MONTHLY' then (extract(year from from_on) - extract(year from anchor)) * 12 + extract(month from from_on) - extract(month from anchor)
      else extract(year from from_on) - extract(year from anchor) end / read.step;
  end if;
  loop
    starts_on := (anchor + period * read.step * unit)::date;
    exit when starts_on > last_on;
    foreach day in array app.recurrence_set(read, first_on, starts_on, (starts_on + unit - interval '1 day')::date) loop
      continue when day < first_on;
      exit when day > last_on or told = read.most;
      told := told + 1;
      if day >= from_on then
        return next day;
      end if;
    end loop;
    exit when told = read.most;
    period := period + 1;
  end loop;
end;
$$;

comment on function app.recurrence_days(text, date, date, date) is
  'The days from from_on to to_on on which a rule that began on first_on comes round, in order. Errors: recurrence_unsupported.';

create function app.recurs_on(rule text, first_on date, day date)
returns boolean
language sql
immutable
parallel safe
set search_path = ''
as $$ select exists (select from app.recurrence_days(rule, first_on, day, day)) $$;

comment on function app.recurs_on(text, date, date) is 'Whether a rule that began on first_on comes round on the day. Errors: recurrence_unsupported.';

-- Days and moments ---------------------------------------------------------------------------------------------------

create function app.wall_moment(wall timestamp, time_zone text, is_last boolean default false)
returns timestamptz
language plpgsql
stable
parallel safe
set search_path = ''
as $$
declare
  -- PostgreSQL takes a time that the clocks skip by the offset before the change, as RFC 5545 does, and of one that they show twice the later.
  later constant timestamptz := wall at time zone time_zone;
  before constant timestamptz := later - interval '1 day';
  -- What it would be if the clocks had not changed since a day before.
  earlier constant timestamptz := before + (wall - (before at time zone time_zone));
begin
  return case when not is_last and earlier < later and earlier at time zone time_zone = wall then earlier else later end;
end;
$$;

comment on function app.wall_moment(timestamp, text, boolean) is
  'When the clocks of a time zone show this. A time that they skip is as long after midnight as it would have been; of one that they show twice it is the first, or (is_last, for ends) the last.';

grant execute on function
  app.read_recurrence(text), app.is_recurrence(text), app.require_recurrence(text), app.recurrence_set(app.recurrence, date, date, date),
  app.recurrence_days(text, date, date, date), app.recurs_on(text, date, date), app.wall_moment(timestamp, text, boolean)
to authenticated, service_role;
