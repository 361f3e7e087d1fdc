import postgres, { type Sql } from "postgres";
import { fromDatabase } from "./errors.ts";
import { log } from "./log.ts";

/** A session with the database itself, in which a function acts as nobody. */
export type AnonymousSession = {
  /**
   * What a statement answers in the column `answer` of its one row, by itself in a transaction. Undefined where it was not run:
   * there is no session, or it is busy. PostgREST is there for that.
   *
   * @param statement runs only `where current_setting('role') = 'anon'`
   * @throws what the database refused, as an error for the client
   */
  ask(statement: string, values: (string | null)[]): Promise<string | undefined>;
  close(): Promise<void>;
};

type Patience = {
  /** After how long a session that nobody uses is ended. */
  idleMs: number;
  /** For how long an answer is waited for: longer than the database lets a statement of `anon` run. */
  answerMs: number;
  /** When it is tried again after a session could not be had. */
  retryMs: number;
};

/**
 * What PostgREST is for whoever brings no JWT, without PostgREST: the session has the role `anon` from its first moment on, and
 * what that role is given by `alter role` (its statement_timeout). Nobody waits for it to be opened, it is asked one thing at a
 * time, and there is at most one: what it cannot take at once is for PostgREST. It is opened where a second thing is asked
 * within `idleMs`, and never where `url` leads to a pooler that shares sessions, which drops the role.
 *
 * @param url of the database, as `SUPABASE_DB_URL` tells it; without one, there never is a session
 */
export function anonymousSession(
  url: string | undefined,
  { idleMs, answerMs, retryMs }: Patience = { idleMs: 30_000, answerMs: 10_000, retryMs: 30_000 },
): AnonymousSession {
  let session: Sql | undefined;
  let state: "none" | "opening" | "free" | "busy" = "none";
  let lastAsked = -Infinity;
  let notBefore = -Infinity;
  let endsAt = Infinity; // unless it is used before
  let clock: ReturnType<typeof setInterval> | undefined;

  return {
    async ask(statement, values) {
      const before = lastAsked;
      lastAsked = performance.now();
      if (state === "none" && url && lastAsked - before < idleMs && lastAsked > notBefore) void open(url);
      if (state !== "free" || session === undefined) return undefined;
      const sql = session;
      state = "busy";
      endsAt = lastAsked + answerMs;
      try {
        const [row] = await sql.unsafe<{ answer: string }[]>(statement, values, { prepare: true });
        return row?.answer;
      } catch (error) {
        if (!(error instanceof postgres.PostgresError)) throw error;
        const { code, message, detail, hint } = error;
        throw fromDatabase({ code, message, details: detail, hint });
      } finally {
        if (session === sql) {
          state = "free";
          endsAt = performance.now() + idleMs;
        }
      }
    },
    close: () => session ? end(session) : Promise.resolve(),
  };

  async function open(address: string): Promise<void> {
    state = "opening";
    let sql: Sql | undefined;
    try {
      sql = session = connect(address);
      const [opened] = await sql<{ role: string }[]>`
        select current_setting('role') as role, array(
          select set_config(s.name, substr(c, strpos(c, '=') + 1), false)
          from pg_catalog.pg_roles r
          cross join lateral unnest(r.rolconfig) c
          join pg_catalog.pg_settings s on s.name = split_part(c, '=', 1) and s.context = 'user'
          where r.rolname = current_setting('role')
        )`;
      if (opened?.role !== "anon") {
        throw new Error("SUPABASE_DB_URL leads to a pooler that drops the role of a session");
      }
      if (session !== sql) return;
      state = "free";
      watch(sql);
    } catch (error) {
      notBefore = performance.now() + retryMs;
      log("error", "no_session", { reason: String(error) });
      if (sql) await end(sql);
      else state = "none";
    }
  }

  function connect(address: string): Sql {
    // Said here: what the driver would say has the password in it.
    if (!URL.canParse(address)) throw new Error("SUPABASE_DB_URL is no address");
    const sql: Sql = postgres(address, {
      max: 1,
      ssl: "prefer",
      connect_timeout: 10,
      idle_timeout: 0,
      max_lifetime: 0,
      fetch_types: false,
      onnotice: () => {},
      onclose: () => void end(sql),
      connection: { application_name: "vicinia functions", role: "anon" },
    });
    return sql;
  }

  /** Ends the session once its time is up. One clock looks now and then: two timers a question cost it a tenth of a millisecond. */
  function watch(sql: Sql): void {
    endsAt = performance.now() + idleMs;
    clock = setInterval(() => performance.now() >= endsAt && void end(sql), Math.min(1000, idleMs, answerMs));
  }

  /** Ends a session, and what it is still asked with an error. */
  async function end(sql: Sql): Promise<void> {
    if (session !== sql) return;
    session = undefined;
    state = "none";
    clearInterval(clock);
    await sql.end({ timeout: 0 });
  }
}
