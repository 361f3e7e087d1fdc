-- Recurrence rules: days as RFC 5545 counts them, moments by the clocks of a time zone, and nothing half understood.
-- That any rule names the days it should is tested against a library (tests/api/recurrence.test.ts).

begin;
select plan(47);

create function pg_temp.days(rule text, first_on date, from_on date, to_on date) returns text language sql as
$$ select coalesce(string_agg(to_char(d, 'MM-DD'), ' ' order by d), 'none') from app.recurrence_days(rule, first_on, from_on, to_on) d $$;

select is(pg_temp.days(r.rule, r.first_on::date, '2026-01-01', r.to_on::date), r.days, r.sentence)
from (values
  ('FREQ=DAILY;INTERVAL=3', '2026-01-02', '2026-01-12', '01-02 01-05 01-08 01-11', 'every third day'),
  ('FREQ=WEEKLY;BYDAY=MO,TH', '2026-01-06', '2026-01-16', '01-08 01-12 01-15', 'Mondays and Thursdays, from the first day on'),
  ('FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU', '2026-01-04', '2026-01-20', '01-04 01-05 01-18 01-19', 'a week that begins on Sunday'),
  ('FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO', '2026-01-04', '2026-01-20', '01-04 01-12 01-18', 'and one that begins on Monday'),
  ('FREQ=MONTHLY;BYDAY=-1FR', '2026-01-01', '2026-03-31', '01-30 02-27 03-27', 'the last Friday of a month'),
  ('FREQ=MONTHLY;BYMONTHDAY=-1', '2026-01-01', '2026-03-31', '01-31 02-28 03-31', 'the last day of a month'),
  ('FREQ=MONTHLY', '2026-01-31', '2026-05-31', '01-31 03-31 05-31', 'a month without the day is passed over'),
  ('FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1', '2026-01-01', '2026-02-28', '01-30 02-27', 'the last working day of a month'),
  ('FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU', '2026-01-01', '2026-12-31', '03-29', 'the last Sunday of March'),
  ('FREQ=YEARLY', '2024-02-29', '2026-12-31', 'none', 'a day of leap years alone'),
  ('FREQ=DAILY;COUNT=3', '2025-12-31', '2026-12-31', '01-01 01-02', 'what is counted is counted from the first day'),
  ('FREQ=DAILY;UNTIL=20260102', '2025-12-31', '2026-12-31', '01-01 01-02', 'until a day, that day included')
) r (rule, first_on, to_on, days, sentence);
select ok(app.recurs_on('FREQ=WEEKLY;BYDAY=MO', '2026-01-05', '2126-01-07'), 'a day a hundred years ahead is found without counting there');
select is(pg_temp.days('FREQ=DAILY', '2026-01-01', '2026-01-01', 'infinity'), 'none', 'a rule without an end is not followed to one that never comes');
select is(pg_temp.days('FREQ=DAILY;UNTIL=20260102', '2026-01-01', '-infinity', 'infinity'), '01-01 01-02', 'one with an end is');
select is(pg_temp.days('FREQ=DAILY', 'infinity', '2026-01-01', '2026-12-31'), 'none', 'none begins at the end of all days');

select throws_ok(format('select app.require_recurrence(%L)', rule), 'PT422', 'recurrence_unsupported', format('%s is refused', coalesce(nullif(rule, ''), 'nothing')))
from unnest(array['', 'every Monday', 'INTERVAL=2', 'FREQ=HOURLY', 'FREQ=DAILY;FREQ=DAILY', 'FREQ=DAILY;COUNT=1;UNTIL=20260101', 'FREQ=DAILY;COUNT=0', 'FREQ=DAILY;INTERVAL=0',
  'FREQ=DAILY;UNTIL=20260230', 'FREQ=DAILY;UNTIL=20260101T120000Z', 'FREQ=WEEKLY;BYDAY=1MO', 'FREQ=MONTHLY;BYDAY=6MO', 'FREQ=WEEKLY;BYMONTHDAY=1', 'FREQ=MONTHLY;BYMONTHDAY=32',
  'FREQ=YEARLY;BYWEEKNO=1', 'FREQ=DAILY;BYSETPOS=1', 'FREQ=DAILY;EXDATE=20260101', 'freq=daily', 'FREQ=DAILY;', 'RRULE:FREQ=DAILY']) rule;
select ok(not app.is_recurrence(repeat('FREQ=DAILY;', 100)), 'and so is a long text');

-- Clocks --------------------------------------------------------------------------------------------------------------------

select is(app.wall_moment('2026-03-29 02:30', 'Europe/Sofia'), '2026-03-29T00:30Z', 'before the clocks go forward');
select is(app.wall_moment('2026-03-29 03:30', 'Europe/Sofia'), '2026-03-29T01:30Z', 'a time that they skip is as long after midnight as it would have been');
select is(app.wall_moment('2026-03-29 04:30', 'Europe/Sofia'), '2026-03-29T01:30Z', 'which is what they show then');
select is(app.wall_moment('2026-10-25 03:30', 'Europe/Sofia'), '2026-10-25T00:30Z', 'of a time that they show twice it is the first');
select is(app.wall_moment('2026-10-25 03:30', 'Europe/Sofia', is_last => true), '2026-10-25T01:30Z', 'or, for an end, the last');
select is(app.wall_moment('2026-10-25 05:00', 'Europe/Sofia'), '2026-10-25T03:00Z', 'afterwards there is one');
select is(app.wall_moment('2026-11-01 01:30', 'America/New_York'), '2026-11-01T05:30Z', 'elsewhere on another day');
select is(app.wall_moment('2026-04-05 01:45', 'Australia/Lord_Howe'), '2026-04-04T14:45Z', 'and by half an hour');
select is(app.wall_moment('2026-04-05 01:45', 'Australia/Lord_Howe', is_last => true), '2026-04-04T15:15Z', 'as the last');
select is(app.wall_moment('2026-01-01 12:00', 'UTC'), '2026-01-01T12:00Z', 'where they never change, nothing does');

select * from finish();
rollback;
