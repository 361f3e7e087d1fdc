import assert from "node:assert/strict";
import postgres from "postgres";
import { type AnonymousSession, anonymousSession } from "../../functions/_shared/anonymous-session.ts";
import { environment } from "../../functions/_shared/environment.ts";
import { ApiError } from "../../functions/_shared/errors.ts";

// With the database of this run.
const url = environment("SUPABASE_DB_URL");
const guarded = (expression: string) => `select (${expression})::text as answer where current_setting('role') = 'anon'`;
const patience = { idleMs: 30_000, answerMs: 10_000, retryMs: 30_000 };

/** Asks until the session answers. */
async function until(session: AnonymousSession, statement: string, values: (string | null)[] = []): Promise<string> {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; await new Promise((r) => setTimeout(r, 5))) {
    const answer = await session.ask(statement, values);
    if (answer !== undefined) return answer;
  }
  throw new Error("the session never answered");
}

async function withSession(
  work: (session: AnonymousSession) => Promise<void>,
  { to, ...more }: Partial<typeof patience> & { to?: string | undefined } = { to: url },
): Promise<void> {
  const session = anonymousSession(to, { ...patience, ...more });
  try {
    await work(session);
  } finally {
    await session.close();
  }
}

/** Runs SQL as the owner of the database. */
async function asOwner<T>(work: (sql: postgres.Sql) => Promise<T>): Promise<T> {
  const sql = postgres(url, { max: 1, fetch_types: false });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}

/** Takes away what it logs. */
async function quietly(work: () => Promise<void>): Promise<string> {
  const original = console.error;
  const lines: string[] = [];
  console.error = (line: string) => void lines.push(line);
  try {
    await work();
  } finally {
    console.error = original;
  }
  return lines.join("\n");
}

Deno.test("a session is nobody's: the role anon, its time limit, no rights but its own, and no user", async () => {
  await withSession(async (session) => {
    const who = `json_build_array(current_user, current_setting('role'), auth.uid(), app.calling_device() is null)`;
    assert.deepEqual(JSON.parse(await until(session, guarded(who))), ["anon", "anon", null, true]);
    const limit = await asOwner(async (sql) => {
      const [row] =
        await sql`select c from pg_roles, unnest(rolconfig) c where rolname = 'anon' and c ~ '^statement_timeout='`;
      return row?.c as string;
    });
    assert.equal(`statement_timeout=${await until(session, guarded("current_setting('statement_timeout')"))}`, limit);
    for (
      const forbidden of [
        "(select count(*) from private.device_keys)",
        "(select count(*) from auth.users)",
        "(select count(*) from audit.access_log)",
      ]
    ) {
      const error = await until(session, guarded(forbidden)).then(() => undefined, (refused: unknown) => refused);
      assert.ok(error instanceof ApiError, String(error));
      assert.deepEqual([error.status, error.token], [403, "not_allowed"]);
    }
    assert.equal(
      await until(session, guarded("(select count(*) from public.residents)")).catch((e) => e.token),
      "not_allowed",
    );
  });
});

Deno.test("what a request is told with is gone with it, whether it was answered or refused", async () => {
  const said = "coalesce(nullif(current_setting('request.headers', true), ''), 'nothing')";
  const tell = (then: string) =>
    `select (${then})::text as answer from (select set_config('request.headers', $1, true) offset 0) r where current_setting('role') = 'anon'`;
  await withSession(async (session) => {
    assert.equal(await until(session, tell(said), ['{"x-device-key":"one"}']), '{"x-device-key":"one"}');
    assert.equal(await session.ask(guarded(said), []), "nothing");
    await assert.rejects(session.ask(tell("1 / (select 0)"), ['{"x-device-key":"two"}']));
    assert.equal(await session.ask(guarded(said), []), "nothing");
    assert.equal(await session.ask(guarded("current_setting('role')"), []), "anon");
  });
});

Deno.test("nobody waits for a session, nor for another's answer", async () => {
  await withSession(async (session) => {
    assert.equal(await session.ask(guarded("1"), []), undefined);
    const opened = () =>
      asOwner((sql) =>
        sql`select from pg_stat_activity where datname = current_database() and application_name = 'vicinia functions'`
      );
    assert.equal((await opened()).length, 0, "one question alone opens no session");
    await until(session, guarded("1"));
    assert.equal((await opened()).length, 1);
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => session.ask(guarded(`${n}`), [])));
    assert.deepEqual(answers, ["0", ...Array<undefined>(19).fill(undefined)]);
    assert.equal((await opened()).length, 1);
  });
});

Deno.test("a session that was ended by the database is opened anew", async () => {
  await withSession(async (session) => {
    const first = await until(session, guarded("pg_backend_pid()"));
    await asOwner((sql) => sql`select pg_terminate_backend(${first}::integer, 10000)`);
    const second = await until(session, guarded("pg_backend_pid()"));
    assert.notEqual(second, first);
  });
});

Deno.test("one that is not used is ended, and so is one that does not answer, with an error to who asked", async () => {
  const sessions = () =>
    asOwner(async (sql) =>
      (await sql`select from pg_stat_activity where datname = current_database() and application_name = 'vicinia functions'`)
        .length
    );
  const ended = async () => {
    while (await sessions() > 0) await new Promise((r) => setTimeout(r, 5));
  };
  await withSession(
    async (session) => {
      await until(session, guarded("1"));
      await ended();
      await until(session, guarded("1"));
    },
    { to: url, idleMs: 200 },
  );
  await withSession(
    async (session) => {
      await until(session, guarded("1"));
      await assert.rejects(session.ask(guarded("pg_sleep(2)"), []), /CONNECTION_DESTROYED/);
      await until(session, guarded("1"));
    },
    { to: url, answerMs: 200 },
  );
});

Deno.test("without an address, with one where nobody listens, or that lets nobody in, nothing is ever sent", async () => {
  const wrongPassword = new URL(url);
  wrongPassword.password = "wrong";
  for (
    const to of [
      undefined,
      "",
      "postgresql://postgres:x@[/",
      "postgresql://postgres:x@127.0.0.1:1/postgres",
      wrongPassword.href,
    ]
  ) {
    const lines = await quietly(() =>
      withSession(async (session) => {
        for (let round = 0; round < 40; round += 1) {
          assert.equal(await session.ask(guarded("1"), []), undefined);
          await new Promise((r) => setTimeout(r, 5));
        }
      }, { to })
    );
    assert.equal(lines.split("\n").filter((line) => line.includes("no_session")).length, to ? 1 : 0, lines);
    assert.ok(!lines.includes("wrong@") && !lines.includes(":x@"));
  }
});

Deno.test("a pooler that drops the role is found out before it is asked anything", async () => {
  const asked: string[] = [];
  const lines = await quietly(() =>
    withPooler(async (address, seen) => {
      await withSession(async (session) => {
        for (let round = 0; round < 60; round += 1) {
          assert.equal(await session.ask(guarded("'never'"), []), undefined);
          await new Promise((r) => setTimeout(r, 5));
        }
      }, { to: address });
      asked.push(seen());
    })
  );
  assert.match(lines, /drops the role/);
  assert.ok(asked.every((text) => text.includes("current_setting('role')") && !text.includes("never")));
});

/** A server between a session and the database that forgets the role it is asked to begin with, as poolers do. */
async function withPooler(work: (address: string, seen: () => string) => Promise<void>): Promise<void> {
  const target = new URL(url);
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let seen = "";
  const serving = (async () => {
    for await (const client of listener) {
      const database = await Deno.connect({ hostname: target.hostname, port: Number(target.port) });
      const down = database.readable.pipeTo(client.writable).catch(() => undefined);
      const up = client.readable.pipeThrough(
        new TransformStream<Uint8Array, Uint8Array>({
          transform(chunk, controller) {
            const text = new TextDecoder("latin1").decode(chunk);
            seen += text;
            const at = text.indexOf("role\0anon\0");
            if (at < 0) return controller.enqueue(chunk);
            const rest = new Uint8Array([...chunk.slice(0, at), ...chunk.slice(at + 10)]);
            new DataView(rest.buffer).setInt32(0, rest.length);
            controller.enqueue(rest);
          },
        }),
      ).pipeTo(database.writable).catch(() => undefined);
      void Promise.all([down, up]);
    }
  })();
  const address = new URL(url);
  address.port = String((listener.addr as Deno.NetAddr).port);
  try {
    await work(address.href, () => seen);
  } finally {
    listener.close();
    await serving.catch(() => undefined);
  }
}
