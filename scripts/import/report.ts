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
  entity: z.enum(['building', 'entrance', 'unit', 'resident', 'occupancy', 'balance']),
  name: z.string(),
  action: z.enum(['create', 'update']),
  column: z.string().nullable(),
  before: z.string().nullable(),
  after: z.string().nullable(),
});

const count = z.object({ create: z.number(), update: z.number(), unchanged: z.number() });

/** What every import answers. */
const findings = z.object({
  dry_run: z.boolean(),
  status: z.enum(['checked', 'applied', 'refused']),
  rows: z.number(),
  columns: z.array(z.object({ header: z.string(), field: z.string().nullable(), language: z.string().nullable() })),
  // A refused import leaves them out: nothing changes.
  changes: z.array(change).default([]),
  refused: z.number(),
  refusals: z.array(problem),
  warned: z.number(),
  warnings: z.array(problem),
});

const rosterReport = findings.extend({
  totals: z.object({ buildings: count, entrances: count, units: count, residents: count, occupancies: count }),
  not_in_file: z.object({
    units: z.number(),
    occupancies: z.number(),
    first: z.array(z.object({ entity: z.enum(['unit', 'occupancy']), name: z.string() })),
  }),
  ideal_parts: z.object({ declared: z.number(), stored_after: z.number(), difference: z.number() }),
});

const balancesReport = findings.extend({
  opened_on: z.string(),
  currency: z.string(),
  totals: z.object({ balances: count }),
  not_in_file: z.object({ balances: z.number(), first: z.array(z.object({ entity: z.literal('balance'), name: z.string() })) }),
  funds: z.array(z.object({ fund: z.string(), debit: z.number(), credit: z.number(), difference: z.number() })),
  entry_id: z.uuid().optional(),
});

/** What `import_roster` answers; docs/roster-import.md describes it. */
export type RosterReport = z.infer<typeof rosterReport>;
/** What `import_opening_balances` answers; docs/opening-balances.md describes it. */
export type BalancesReport = z.infer<typeof balancesReport>;
export type ImportReport = RosterReport | BalancesReport;
export type RosterProblem = z.infer<typeof problem>;
export type RosterChange = z.infer<typeof change>;

/** Reads a report out of an answer of the API, or out of the detail of the error `roster_refused`. */
export function parseReport(answer: unknown): RosterReport {
  return rosterReport.parse(parsed(answer));
}

/** The same of opening balances, and of the error `balances_refused`. */
export function parseBalancesReport(answer: unknown): BalancesReport {
  return balancesReport.parse(parsed(answer));
}

function parsed(answer: unknown): unknown {
  return typeof answer === 'string' ? JSON.parse(answer) : answer;
}
