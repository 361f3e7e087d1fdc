import { z } from 'zod';

const problem = z.object({
  row: z.number().nullable(),
  column: z.string().nullable(),
  value: z.string().nullable(),
  reason: z.string(),
  message: z.string(),
});

const change = z.object({
  row: z.number(),
  entity: z.enum(['building', 'entrance', 'unit', 'resident', 'occupancy']),
  name: z.string(),
  action: z.enum(['create', 'update']),
  column: z.string().nullable(),
  before: z.string().nullable(),
  after: z.string().nullable(),
});

const count = z.object({ create: z.number(), update: z.number(), unchanged: z.number() });

const reportSchema = z.object({
  dry_run: z.boolean(),
  status: z.enum(['checked', 'applied', 'refused']),
  rows: z.number(),
  columns: z.array(z.object({ header: z.string(), field: z.string().nullable(), language: z.string().nullable() })),
  totals: z.object({ buildings: count, entrances: count, units: count, residents: count, occupancies: count }),
  // A refused import leaves them out: nothing changes.
  changes: z.array(change).default([]),
  refused: z.number(),
  refusals: z.array(problem),
  warned: z.number(),
  warnings: z.array(problem),
  not_in_file: z.object({
    units: z.number(),
    occupancies: z.number(),
    first: z.array(z.object({ entity: z.enum(['unit', 'occupancy']), name: z.string() })),
  }),
  ideal_parts: z.object({ declared: z.number(), stored_after: z.number(), difference: z.number() }),
});

/** What `import_roster` answers; docs/roster-import.md describes it. */
export type RosterReport = z.infer<typeof reportSchema>;
export type RosterProblem = z.infer<typeof problem>;
export type RosterChange = z.infer<typeof change>;

/** Reads a report out of an answer of the API, or out of the detail of the error `roster_refused`. */
export function parseReport(answer: unknown): RosterReport {
  return reportSchema.parse(typeof answer === 'string' ? JSON.parse(answer) : answer);
}
