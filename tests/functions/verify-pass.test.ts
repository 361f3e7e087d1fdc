import assert from "node:assert/strict";
import { type AnonymousSession, anonymousSession } from "../../functions/_shared/anonymous-session.ts";
import { environment } from "../../functions/_shared/environment.ts";
import { ApiError } from "../../functions/_shared/errors.ts";
import { decideBy } from "../../functions/verify-pass/decide.ts";
import { type Asker, type Question, verifyPass } from "../../functions/verify-pass/handler.ts";

const point = "01990000-0000-7000-8000-000000000001";
const jwt = "Bearer header.payload.signature";
const deviceKey = `vd_${"0".repeat(32)}_${"A".repeat(43)}`;
const granted = '{"outcome":"granted","reason":null,"log_id":1}';

/** Says that it is the project itself, and is signed by nobody. */
const unsignedServiceRole = `Bearer ${btoa('{"alg":"none"}')}.${btoa('{"role":"service_role"}')}.`.replaceAll("=", "");

/** What of an asker is known. */
const said = (asker: Asker) => JSON.parse(JSON.stringify(asker)) as Asker;
/** The same without the program that asks. */
const who = ({ userAgent: _, ...asker }: Asker) => said(asker);

type Call = (body: unknown, headers?: Record<string, string>) => Promise<Response>;

/** Serves the function with a fake decision on a port of its own, and calls it over HTTP. Returns what it logged. */
async function withFunction(
  work: (call: Call) => Promise<void>,
  decide: (asker: Asker, question: Question) => Promise<string> = () => Promise.resolve(granted),
): Promise<string> {
  const app = verifyPass({ decide });
  const original = { log: console.log, error: console.error };
  const lines: string[] = [];
  console.log = console.error = (line: string) => void lines.push(line);
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, app.fetch);
  try {
    await work((body, headers = { authorization: jwt }) =>
      fetch(`http://127.0.0.1:${server.addr.port}/verify-pass`, {
        method: "POST",
        headers,
        body: typeof body === "string" ? body : JSON.stringify(body),
      })
    );
  } finally {
    await server.shutdown();
    Object.assign(console, original);
  }
  return lines.join("\n");
}

Deno.test("what was scanned is asked of the database as it was read, by whoever scanned it", async () => {
  const asked: unknown[] = [];
  await withFunction(async (call) => {
    const more = { direction: "in", nonce: "n-1", scanned_at: "2026-12-01T08:00:00+02:00", note: "Red car" };
    await (await call({ access_point_id: point, pass: " not a pass\n", ...more })).body?.cancel();
    await (await call({ access_point_id: point, code: "123456" }, { "x-device-key": deviceKey })).body?.cancel();
    await (await call({ access_point_id: point, plate: "CB 1208 BH" }, {
      authorization: jwt,
      "x-device-key": deviceKey,
    })).body?.cancel();
    await (await call({ access_point_id: point, card: "77" })).body?.cancel();
  }, (asker, question) => Promise.resolve((asked.push([who(asker), question]), granted)));
  assert.deepEqual(asked, [
    [{ authorization: jwt }, {
      access_point_id: point,
      method: "qr",
      credential: " not a pass\n",
      direction: "in",
      nonce: "n-1",
      scanned_at: "2026-12-01T08:00:00+02:00",
      note: "Red car",
    }],
    [{ deviceKey }, { access_point_id: point, method: "code", credential: "123456" }],
    [{ authorization: jwt, deviceKey }, { access_point_id: point, method: "plate", credential: "CB 1208 BH" }],
    [{ authorization: jwt }, { access_point_id: point, method: "card", credential: "77" }],
  ]);
});

Deno.test("a denial is an answer, a text of 10 kB is shown like any other, and neither is logged nor stored", async () => {
  const denied = '{"outcome":"denied","reason":"malformed_pass","log_id":2}';
  const scanned = "A".repeat(10_240);
  const lines = await withFunction(async (call) => {
    const response = await call({ access_point_id: point, pass: scanned });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(await response.text(), denied);
  }, () => Promise.resolve(denied));
  assert.ok(!lines.includes("AAAA"));
});

Deno.test("who shows neither a JWT nor a key of a device asks nothing", async () => {
  let asked = 0;
  await withFunction(async (call) => {
    const strangers: Record<string, string>[] = [
      {},
      { authorization: "Basic YTpi" },
      { authorization: "Bearer sb_publishable_x" },
      { "x-device-key": "A".repeat(7000) },
      { "x-device-key": "vd_\u00e9" },
    ];
    for (const headers of strangers) {
      const response = await call({ access_point_id: point, pass: "x" }, headers);
      assert.equal(response.status, 401);
      assert.equal((await response.json()).message, "missing_credentials");
    }
  }, () => Promise.resolve((asked++, granted)));
  assert.equal(asked, 0);
});

Deno.test("a body that is none is a 400 that names the field, before anybody is asked", async () => {
  let asked = 0;
  await withFunction(async (call) => {
    for (
      const [body, reason] of [
        ["{", /not JSON/],
        [{ pass: "x" }, /access_point_id/],
        [{ access_point_id: "gate", pass: "x" }, /access_point_id/],
        [{ access_point_id: point }, /exactly one/],
        [{ access_point_id: point, pass: "x", code: "1" }, /exactly one/],
        [{ access_point_id: point, pass: "" }, /pass/],
        [{ access_point_id: point, pass: "a\u0000b" }, /pass: no text/],
        [`{"access_point_id":"${point}","code":"\\ud800"}`, /code: no text/],
        [{ access_point_id: point, pass: "x", note: "\u0000" }, /note: no text/],
        [{ access_point_id: point, pass: "x", direction: "both" }, /direction/],
        [{ access_point_id: point, pass: "x", nonce: "n".repeat(65) }, /nonce/],
        [{ access_point_id: point, pass: "x", scanned_at: "yesterday" }, /scanned_at/],
        [{ access_point_id: point, pass: "x", outcome: "granted" }, /outcome/],
      ] as const
    ) {
      const response = await call(body);
      assert.equal(response.status, 400);
      const answer = await response.json();
      assert.equal(answer.message, "invalid_body");
      assert.match(answer.details, reason);
    }
  }, () => Promise.resolve((asked++, granted)));
  assert.equal(asked, 0);
});

Deno.test("a page of another origin may read answers and refusals", async () => {
  await withFunction(async (call) => {
    for (const [body, status] of [[{ access_point_id: point, pass: "x" }, 200], ["{", 400]] as const) {
      const response = await call(body);
      assert.equal(response.status, status);
      assert.equal(response.headers.get("access-control-allow-origin"), "*");
      assert.equal(response.headers.get("access-control-expose-headers"), "content-disposition");
      await response.body?.cancel();
    }
  });
});

Deno.test("what the database refuses keeps its status and token", async () => {
  await withFunction(async (call) => {
    const response = await call({ access_point_id: point, pass: "x" });
    assert.equal(response.status, 403);
    assert.equal((await response.json()).message, "permission_denied");
  }, () => Promise.reject(new ApiError(403, "permission_denied")));
});

Deno.test("from where a gate asks goes along, for the audit log, and makes nobody an asker", async () => {
  const askers: Asker[] = [];
  await withFunction(async (call) => {
    const address = { "x-forwarded-for": "192.0.2.7", "user-agent": "Gate 1.2" };
    await (await call({ access_point_id: point, pass: "x" }, { "x-device-key": deviceKey, ...address })).body?.cancel();
    await (await call({ access_point_id: point, pass: "x" }, {
      "x-device-key": deviceKey,
      "x-forwarded-for": "1".repeat(201),
      "user-agent": "\u00e9".repeat(3),
    }))
      .body?.cancel();
    const nobody = await call({ access_point_id: point, pass: "x" }, address);
    assert.equal(nobody.status, 401);
    await nobody.body?.cancel();
  }, (asker) => Promise.resolve((askers.push(asker), granted)));
  assert.deepEqual(askers.map(said), [{ deviceKey, forwardedFor: "192.0.2.7", userAgent: "Gate 1.2" }, { deviceKey }]);
});

// Both ways lead to the stack of this run.
const anonKey = environment("SUPABASE_ANON_KEY");
const rest = { url: `${environment("SUPABASE_URL")}/rest/v1`, anonKey };
const none: AnonymousSession = { ask: () => Promise.resolve(undefined), close: () => Promise.resolve() };
const question: Question = { access_point_id: point, method: "qr", credential: "x" };

/** A session that is open. */
async function opened(): Promise<AnonymousSession> {
  const session = anonymousSession(environment("SUPABASE_DB_URL"));
  while (await session.ask("select 'x' as answer where current_setting('role') = 'anon'", []) === undefined) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return session;
}

const refused = async (answer: Promise<string>) => {
  const error = await answer.then(() => undefined, (error: unknown) => error);
  assert.ok(error instanceof ApiError, String(error));
  return error.toJSON();
};

Deno.test("PostgREST finds out who asks and refuses strangers", async () => {
  const decide = decideBy({ session: none, rest });
  const refusal = async (asker: Asker) => {
    const { code, message } = await refused(decide(asker, question));
    return [code, message];
  };
  assert.deepEqual(await refusal({ deviceKey }), ["PT401", "device_unknown"]);
  assert.deepEqual(await refusal({ authorization: jwt }), ["PT401", "invalid_jwt"]);
  assert.deepEqual(await refusal({ authorization: jwt, deviceKey }), ["PT401", "invalid_jwt"]);
  assert.deepEqual(await refusal({ authorization: unsignedServiceRole }), ["PT401", "invalid_jwt"]);
  assert.deepEqual(await refusal({}), ["PT401", "device_unknown"]);
});

Deno.test("without an address of the database, or with a wrong one, PostgREST is asked", async () => {
  const original = console.error;
  console.error = () => {};
  try {
    for (const address of [undefined, "postgresql://postgres:x@127.0.0.1:1/postgres"]) {
      const session = anonymousSession(address);
      const decide = decideBy({ session, rest });
      for (let scan = 0; scan < 10; scan += 1) {
        assert.equal((await refused(decide({ deviceKey }, question))).message, "device_unknown");
      }
      await session.close();
    }
  } finally {
    console.error = original;
  }
});

Deno.test("the database itself refuses in the same words as through PostgREST", async () => {
  const session = await opened();
  try {
    // An address where nobody is: what is answered comes from the session.
    const itself = decideBy({ session, rest: { ...rest, url: "http://127.0.0.1:1" } });
    const postgrest = decideBy({ session: none, rest });
    const wrong: [Asker, Partial<Question>][] = [
      [{ deviceKey }, {}],
      [{ deviceKey: "vd_'; select 1 --" }, {}],
      [{ deviceKey, userAgent: 'Gate "7" \\', forwardedFor: "192.0.2.7" }, { nonce: "n" }],
      [{ deviceKey }, { credential: " " }],
      [{ deviceKey }, { nonce: "\u00e9" }],
      [{ deviceKey }, { scanned_at: "2999-01-01T00:00:00Z" }],
    ];
    for (const [asker, more] of wrong) {
      const asked = { ...question, ...more };
      assert.deepEqual(await refused(itself(asker, asked)), await refused(postgrest(asker, asked)));
    }
  } finally {
    await session.close();
  }
});

Deno.test("who brings no user's JWT is answered by the database itself, and by PostgREST where there is no session", async () => {
  const asked: string[] = [];
  const session = (answer?: string): AnonymousSession => ({
    ...none,
    ask(_, [headers]) {
      asked.push(`session ${headers}`);
      return Promise.resolve(answer);
    },
  });
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
    const names = ["apikey", "authorization", "x-device-key", "x-forwarded-for", "user-agent", "accept"];
    const headers = names.flatMap((name) => request.headers.has(name) ? [[name, request.headers.get(name)]] : []);
    assert.deepEqual([request.method, new URL(request.url).pathname], ["POST", "/rpc/decide_access"]);
    assert.deepEqual(await request.json(), question);
    asked.push(`rest ${JSON.stringify(Object.fromEntries(headers))}`);
    return new Response(granted);
  });
  try {
    const to = { url: `http://127.0.0.1:${server.addr.port}`, anonKey };
    const told = { "x-device-key": deviceKey, "x-forwarded-for": "192.0.2.7", "user-agent": "Gate" };
    const device: Asker = { deviceKey, forwardedFor: "192.0.2.7", userAgent: "Gate" };
    const always = { apikey: anonKey, accept: "application/vnd.pgrst.object+json" };
    const logOf = async (session: AnonymousSession, asker: Asker) => {
      assert.equal(await decideBy({ session, rest: to })(asker, question), granted);
      return asked.splice(0).map((line) => [line.split(" ")[0], JSON.parse(line.slice(line.indexOf(" ")))]);
    };
    assert.deepEqual(await logOf(session(granted), device), [["session", told]]);
    // What supabase-js sends for nobody is nobody's.
    const withKey = { ...device, authorization: `Bearer ${anonKey}` };
    assert.deepEqual(await logOf(session(granted), withKey), [["session", told]]);
    assert.deepEqual(await logOf(session(), device), [["session", told], ["rest", { ...always, ...told }]]);
    assert.deepEqual(await logOf(session(granted), { ...device, authorization: jwt }), [
      ["rest", { ...always, ...told, authorization: jwt }],
    ]);
  } finally {
    await server.shutdown();
  }
});
