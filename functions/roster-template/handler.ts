import type { Hono } from "hono";
import { z } from "zod";
import { type Caller, callerOf } from "../_shared/auth.ts";
import { createApp, parseQuery } from "../_shared/http.ts";

/** Which list it is a template of: units and people, or what they owed when the books began. */
export type List = "roster" | "balances";

/** A column of such a list: its field, what it is called in a language, and what may stand in it. */
export type RosterHeader = { field: string; header: string; example: string };

export type Dependencies = {
  /** The columns of a list in a language, as the database knows them. */
  rosterHeaders: (caller: Caller, language: string, list: List) => Promise<RosterHeader[]>;
};

const query = z.object({ language: z.enum(["en", "es", "bg", "hi", "th"]) });
const whatList = z.object({ list: z.enum(["roster", "balances"]).default("roster") });

/**
 * GET /roster-template?language=en|es|bg|hi|th&list=roster|balances answers with a CSV file to fill in and import, a roster or
 * (balances) a list of opening balances: the headers in that language, and one line of examples. UTF-8 with a byte order mark, without which Excel takes the headers for Latin letters.
 *
 * Errors: 400 `unknown_language`, `invalid_value` (list), 401 `missing_jwt`.
 */
export function rosterTemplate(dependencies: Dependencies): Hono {
  const app = createApp("roster-template");

  app.get("/", async (c) => {
    const caller = callerOf(c.req.header("authorization"));
    const { language } = parseQuery(query, c.req.query(), "unknown_language");
    const { list } = parseQuery(whatList, c.req.query(), "invalid_value");
    const headers = await dependencies.rosterHeaders(caller, language, list);
    const lines = [headers.map(({ header }) => header), headers.map(({ example }) => example)];
    return c.body(`\ufeff${lines.map(csvLine).join("")}`, 200, {
      "content-type": "text/csv; charset=utf-8",
      "content-disposition": `attachment; filename="${list}-${language}.csv"`,
      "cache-control": "private, max-age=300",
    });
  });

  return app;
}

/** A line as RFC 4180 has it. */
function csvLine(cells: string[]): string {
  const quoted = cells.map((cell) => /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return `${quoted.join(",")}\r\n`;
}
