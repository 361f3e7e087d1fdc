import assert from "node:assert/strict";
import { environment, type Rest, rest } from "../../functions/_shared/database.ts";
import { ApiError } from "../../functions/_shared/errors.ts";
import { decideAt } from "../../functions/verify-pass/decide.ts";
import { type Asker, type Question, verifyPass } from "../../functions/verify-pass/handler.ts";

const point = "01990000-0000-7000-8000-000000000001";
const jwt = "Bearer header.payload.signature";
const deviceKey = `vd_${"0".repeat(32)}_${"A".repeat(43)}`;
const granted = '{"outcome":"granted","reason":null,"log_id":1}';

/** Says that it is the project itself, and is signed by nobody. */
const unsignedServiceRole = `Bearer ${btoa('{"alg":"none"}')}.${btoa('{"role":"service_role"}')}.`.replaceAll("=", "");

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
  }, (asker, question) => Promise.resolve((asked.push([asker, question]), granted)));
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
    const address = { "x-forwarded-for": "192.0.2.7" };
    await (await call({ access_point_id: point, pass: "x" }, { "x-device-key": deviceKey, ...address })).body?.cancel();
    await (await call({ access_point_id: point, pass: "x" }, {
      "x-device-key": deviceKey,
      "x-forwarded-for": "1".repeat(201),
    }))
      .body?.cancel();
    const nobody = await call({ access_point_id: point, pass: "x" }, address);
    assert.equal(nobody.status, 401);
    await nobody.body?.cancel();
  }, (asker) => Promise.resolve((askers.push(asker), granted)));
  assert.deepEqual(askers, [{ deviceKey, forwardedFor: "192.0.2.7" }, { deviceKey }]);
});

// Each way leads to the stack of this run.
const straight: Rest = { url: environment("POSTGREST_URL"), headers: {} };
const throughGateway: Rest = {
  url: `${environment("SUPABASE_URL")}/rest/v1`,
  headers: { apikey: environment("SUPABASE_ANON_KEY") },
};

Deno.test("PostgREST is asked straight where the installation says where it is, and through the gateway where it does not", () => {
  assert.deepEqual(rest(), straight);
  Deno.env.delete("POSTGREST_URL");
  try {
    assert.deepEqual(rest(), throughGateway);
  } finally {
    Deno.env.set("POSTGREST_URL", straight.url);
  }
});

for (const [way, to] of Object.entries({ straight, "through the gateway": throughGateway })) {
  Deno.test(`the database, asked ${way}, finds out who asks and refuses strangers`, async () => {
    const question: Question = { access_point_id: point, method: "qr", credential: "x" };
    const refusal = async (asker: Asker) => {
      const error = await decideAt(to)(asker, question).then(() => undefined, (error: unknown) => error);
      assert.ok(error instanceof ApiError, String(error));
      return [error.status, error.message];
    };
    assert.deepEqual(await refusal({ deviceKey }), [401, "device_unknown"]);
    assert.deepEqual(await refusal({ authorization: jwt }), [401, "invalid_jwt"]);
    assert.deepEqual(await refusal({ authorization: jwt, deviceKey }), [401, "invalid_jwt"]);
    assert.deepEqual(await refusal({ authorization: unsignedServiceRole }), [401, "invalid_jwt"]);
    assert.deepEqual(await refusal({}), [401, "device_unknown"]);
  });

  Deno.test(`what is asked ${way} is what was shown, by whom, from where, and nothing more`, async () => {
    const seen: unknown[] = [];
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
      const names = ["apikey", "authorization", "x-device-key", "x-forwarded-for", "accept"];
      const headers = names.flatMap((name) => request.headers.has(name) ? [[name, request.headers.get(name)]] : []);
      seen.push([request.method, new URL(request.url).pathname, Object.fromEntries(headers), await request.json()]);
      return new Response(granted);
    });
    try {
      const question: Question = { access_point_id: point, method: "code", credential: "123456", nonce: "n-1" };
      const ask = decideAt({ ...to, url: `http://127.0.0.1:${server.addr.port}` });
      assert.equal(await ask({ deviceKey, forwardedFor: "192.0.2.7" }, question), granted);
      assert.equal(await ask({ authorization: jwt }, question), granted);
      const always = { ...to.headers, accept: "application/vnd.pgrst.object+json" };
      assert.deepEqual(seen, [
        [
          "POST",
          "/rpc/decide_access",
          { ...always, "x-device-key": deviceKey, "x-forwarded-for": "192.0.2.7" },
          question,
        ],
        ["POST", "/rpc/decide_access", { ...always, authorization: jwt }, question],
      ]);
    } finally {
      await server.shutdown();
    }
  });
}
