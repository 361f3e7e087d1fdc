import assert from "node:assert/strict";
import { ApiError } from "../../functions/_shared/errors.ts";
import { type Asker, type Question, verifyPass } from "../../functions/verify-pass/handler.ts";

const point = "01990000-0000-7000-8000-000000000001";
const jwt = "Bearer header.payload.signature";
const deviceKey = `vd_${"0".repeat(32)}_${"A".repeat(43)}`;
const granted = '{"outcome":"granted","reason":null,"log_id":1}';

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

Deno.test("what the database refuses keeps its status and token", async () => {
  await withFunction(async (call) => {
    const response = await call({ access_point_id: point, pass: "x" });
    assert.equal(response.status, 403);
    assert.equal((await response.json()).message, "permission_denied");
  }, () => Promise.reject(new ApiError(403, "permission_denied")));
});
