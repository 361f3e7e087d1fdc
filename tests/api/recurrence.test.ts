import 'temporal-polyfill/global';
import { RRuleTemporal } from 'rrule-temporal';
import { Temporal } from 'temporal-polyfill';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestStack, type TestStack } from '../support/stack.ts';

// Recurrence rules in SQL against a library that knows the whole of RFC 5545.

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack({ template: 'migrated' });
});
afterAll(() => stack.stop());

/** A small generator of the same numbers in every run, so that a failure can be repeated. */
function randomOf(seed: number) {
  let state = seed;
  const next = () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
  const integer = (from: number, to: number) => from + Math.floor(next() * (to - from + 1));
  const some = <T>(values: T[], most: number): T[] => [...new Set(Array.from({ length: integer(1, most) }, () => values[integer(0, values.length - 1)] as T))];
  return { integer, some, chance: (share: number) => next() < share };
}

const weekdays = ['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU'];

function randomRule({ integer, some, chance }: ReturnType<typeof randomOf>, firstOn: Temporal.PlainDate): string {
  const frequency = ['DAILY', 'WEEKLY', 'MONTHLY', 'YEARLY'][integer(0, 3)] as string;
  const parts = [`FREQ=${frequency}`];
  if (chance(0.5)) parts.push(`INTERVAL=${integer(1, frequency === 'DAILY' ? 20 : 4)}`);
  if (chance(0.3)) parts.push(`BYMONTH=${some([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], 4).join()}`);
  const hasMonths = parts.some((part) => part.startsWith('BYMONTH='));
  const numbered = ['MONTHLY', 'YEARLY'].includes(frequency) && chance(0.5);
  const farthest = frequency === 'MONTHLY' || hasMonths ? 5 : 53;
  let hasDays = false;
  if (chance(0.5)) {
    hasDays = true;
    parts.push(`BYDAY=${some(weekdays, 3).map((day) => (numbered ? `${(chance(0.5) ? 1 : -1) * integer(1, chance(0.7) ? 5 : farthest)}${day}` : day)).join()}`);
  }
  if (frequency !== 'WEEKLY' && !(hasDays && numbered) && chance(0.3)) {
    hasDays = true;
    parts.push(`BYMONTHDAY=${some([1, 2, 13, 15, 28, 29, 30, 31, -1, -2, -31], 4).join()}`);
  }
  if (frequency !== 'DAILY' && (hasDays || hasMonths) && chance(0.3)) parts.push(`BYSETPOS=${some([1, 2, 3, -1, -2, 10], 2).join()}`);
  if (chance(0.2)) parts.push(`WKST=${some(weekdays, 1).join()}`);
  if (chance(0.3)) parts.push(`COUNT=${integer(1, 30)}`);
  else if (chance(0.3)) parts.push(`UNTIL=${firstOn.add({ days: integer(0, 900) }).toString().replaceAll('-', '')}`);
  return parts.join(';');
}

test('600 random rules name the days that the library says, from any day on', async () => {
  const random = randomOf(5545);
  const cases = Array.from({ length: 600 }, () => {
    const firstOn = Temporal.PlainDate.from('2024-01-01').add({ days: random.integer(0, 1200) });
    const fromOn = firstOn.add({ days: random.integer(-30, 700) });
    const toOn = fromOn.add({ days: random.integer(0, 500) });
    return { rule: randomRule(random, firstOn), first_on: firstOn.toString(), from_on: fromOn.toString(), to_on: toOn.toString() };
  });
  const told = await stack.sql<{ days: string[]; rule: string; first_on: string; from_on: string; to_on: string }>(
    `select c.*, array(select d::text from app.recurrence_days(c.rule, c.first_on::date, c.from_on::date, c.to_on::date) d) as days
     from jsonb_to_recordset($1::jsonb) c (rule text, first_on text, from_on text, to_on text)`,
    [JSON.stringify(cases)],
  );
  expect(told).toHaveLength(600);
  let days = 0;
  for (const one of told) {
    const zoned = (day: string, time: string) => Temporal.PlainDate.from(day).toZonedDateTime({ timeZone: 'UTC', plainTime: time });
    // The library takes the first day for the pattern's, as calendars do: where the rule itself does not name it, only ours is strict.
    const library = new RRuleTemporal({ rruleString: one.rule, dtstart: zoned(one.first_on, '12:00') })
      .between(zoned(one.from_on, '00:00'), zoned(one.to_on, '23:59'), true)
      .map((moment) => moment.toPlainDate().toString());
    expect({ ...one }, one.rule).toEqual({ ...one, days: library });
    days += library.length;
  }
  expect(days, 'there was something to compare').toBeGreaterThan(5_000);
});
