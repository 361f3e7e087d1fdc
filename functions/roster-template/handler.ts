import type { Hono } from "hono";
import { z } from "zod";
import { type Caller, callerOf } from "../_shared/auth.ts";
import { createApp, parseQuery } from "../_shared/http.ts";

/** A column of the roster import: its field, what it is called in a language, and what may stand in it. */
export type RosterHeader = { field: string; header: string; example: string };

export type Dependencies = {
  /** The columns in a language, as the database knows them. */
  rosterHeaders: (caller: Caller, language: string) => Promise<RosterHeader[]>;
};

const query = z.object({ language: z.enum(["en", "es", "bg", "hi", "th"]) });

/**
 * GET /roster-template?language=en|es|bg|hi|th answers with a CSV file to fill in and import: the headers in that language,
 * and one line of examples. UTF-8 with a byte order mark, without which Excel takes the headers for Latin letters.
 *
 * Errors: 400 `unknown_language`, 401 `missing_jwt`.
 */
export function rosterTemplate(dependencies: Dependencies): Hono {
  const app = createApp("roster-template");

  app.get("/", async (c) => {
    const caller = callerOf(c.req.header("authorization"));
    const { language } = parseQuery(query, c.req.query(), "unknown_language");
    const headers = await dependencies.rosterHeaders(caller, language);
    const lines = [headers.map(({ header }) => header), headers.map(({ example }) => example)];
    return c.body(`\ufeff${lines.map(csvLine).join("")}`, 200, {
      "content-type": "text/csv; charset=utf-8",
      "content-disposition": `attachment; filename="roster-${language}.csv"`,
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
