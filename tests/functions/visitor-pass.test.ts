import assert from "node:assert/strict";
import { decode } from "fast-png";
import { type OpenedPass, visitorPass } from "../../functions/visitor-pass/handler.ts";

const token = "tokenTokenTokenTokenTokenTokenTo";
const pass = "v1.abcdefgh.AQGiGvpbUnGhqn8bMTn1u11rCPRQawpF0A.XMDP0eILCVR8pPCvipVL0IXdiuJguZ7GlSNEXTSJnEc";
const opened: OpenedPass = {
  state: "valid",
  pass,
  place: "Lipa Court",
  address: "4 Lipa St, Sofia",
  title: "Coffee <script>alert(1)</script>",
  visitor_name: "Vera",
  starts_at: "2026-12-01T08:00:00+00:00",
  ends_at: "2026-12-01T18:00:00+00:00",
  daily_from: "09:00:00",
  daily_until: "12:30:00",
  has_days: true,
  time_zone: "Europe/Sofia",
  locale: "bg",
};
const over = (state: string): OpenedPass => ({
  ...opened,
  state,
  pass: null,
  title: null,
  visitor_name: null,
  daily_from: null,
  daily_until: null,
  has_days: null,
});

type Get = (path: string, headers?: Record<string, string>) => Promise<Response>;

/** Serves the function in front of one pass, and asks for it over HTTP. Returns what it logged. */
async function withPass(
  told: OpenedPass | undefined,
  work: (get: Get) => Promise<void>,
  asked: string[] = [],
): Promise<string> {
  const app = visitorPass({
    open: (given) => Promise.resolve((asked.push(given), given === token ? told : undefined)),
  });
  const original = { log: console.log, error: console.error };
  const lines: string[] = [];
  console.log = console.error = (line: string) => void lines.push(line);
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, app.fetch);
  try {
    await work((path, headers = { accept: "text/html" }) =>
      fetch(`http://127.0.0.1:${server.addr.port}/visitor-pass/${path}`, { headers })
    );
  } finally {
    await server.shutdown();
    Object.assign(console, original);
  }
  return lines.join("\n");
}

Deno.test("the page shows the code, the place and the hours, by the community's clocks, and escapes what people wrote", async () => {
  const lines = await withPass(opened, async (get) => {
    const response = await get(token, { accept: "text/html", "accept-language": "en-GB,bg;q=0.5" });
    assert.equal(response.status, 200);
    const page = await response.text();
    assert.match(page, /<svg /);
    assert.match(page, /Lipa Court/);
    assert.match(page, /Vera/);
    assert.match(page, /10:00/, "08:00 UTC is ten o'clock in Sofia");
    assert.match(page, /09:00–12:30/);
    assert.match(page, /Coffee &lt;script&gt;/);
    assert.doesNotMatch(page, /<script/);
    assert.doesNotMatch(page, new RegExp(token), "the page does not repeat its own address");
  });
  assert.doesNotMatch(lines, new RegExp(token), "the token is in no log");
});

Deno.test("no page is stored, indexed, framed, or tells another site where it came from; nothing runs in it", async () => {
  await withPass(opened, async (get) => {
    for (const path of [token, `${token}?format=json`, `${token}?format=png`, "nothing", `${token}?format=exe`]) {
      const response = await get(path);
      await response.body?.cancel();
      assert.equal(response.headers.get("cache-control"), "no-store", path);
      assert.equal(response.headers.get("referrer-policy"), "no-referrer", path);
      assert.equal(response.headers.get("x-robots-tag"), "noindex, nofollow", path);
      assert.equal(response.headers.get("x-content-type-options"), "nosniff", path);
      const policy = response.headers.get("content-security-policy") ?? "";
      assert.match(policy, /^default-src 'none'; /, path);
      assert.match(policy, /frame-ancestors 'none'/, path);
      assert.doesNotMatch(policy, /script|unsafe/, path);
    }
    const [first, second] = await Promise.all([get(token), get(token)]);
    assert.notEqual(
      first.headers.get("content-security-policy"),
      second.headers.get("content-security-policy"),
      "the nonce is new each time",
    );
    assert.match(
      await first.text(),
      new RegExp(`nonce="${/nonce-([^']+)/.exec(first.headers.get("content-security-policy") ?? "")?.[1]}"`),
    );
    await second.body?.cancel();
  });
});

Deno.test("a pass that opens nothing any more is a 410 that says why, without a code", async () => {
  for (
    const [state, sentence] of [
      ["used", /was used/],
      ["expired", /has expired/],
      ["revoked", /was revoked/],
      ["cancelled", /was cancelled/],
    ] as const
  ) {
    await withPass(over(state), async (get) => {
      const response = await get(token, { accept: "text/html", "accept-language": "en" });
      assert.equal(response.status, 410);
      const page = await response.text();
      assert.match(page, sentence);
      assert.doesNotMatch(page, /<svg/);
      const picture = await get(`${token}?format=png`);
      assert.equal(picture.status, 410);
      assert.equal((await picture.json()).message, "pass_over");
    });
  }
});

Deno.test("before its time a pass shows its code and says so", async () => {
  for (const [state, sentence] of [["not_yet_valid", /Not yet/], ["outside_schedule", /Not now/]] as const) {
    await withPass({ ...opened, state }, async (get) => {
      const page = await (await get(token, { accept: "text/html", "accept-language": "en" })).text();
      assert.match(page, sentence);
      assert.match(page, /<svg /);
    });
  }
});

Deno.test("an app draws its own page from JSON, SVG or PNG", async () => {
  await withPass(opened, async (get) => {
    assert.deepEqual(await (await get(token, { accept: "application/json" })).json(), opened);
    const svg = await get(`${token}?format=svg`);
    assert.equal(svg.headers.get("content-type"), "image/svg+xml");
    assert.match(await svg.text(), /^<svg /);
    const png = await get(`${token}?format=png`);
    assert.equal(png.headers.get("content-type"), "image/png");
    assert.equal(decode(new Uint8Array(await png.arrayBuffer())).width, 49 * 8);
  });
});

Deno.test("the page speaks the browser's language, else the community's, else English", async () => {
  for (
    const [accepted, locale, language] of [
      ["de, es;q=0.8", "bg", "es"],
      ["de", "bg-BG", "bg"],
      ["", "ja", "en"],
    ] as const
  ) {
    await withPass({ ...opened, locale }, async (get) => {
      const page = await (await get(token, { accept: "text/html", "accept-language": accepted })).text();
      assert.match(page, new RegExp(`<html lang="${language}">`));
    });
  }
});

Deno.test("another link is a 404, and one that cannot be a link is not even looked up", async () => {
  const asked: string[] = [];
  await withPass(opened, async (get) => {
    for (const path of ["A".repeat(32), "nothing", "A".repeat(33), "A".repeat(7000), "%27or%201=1"]) {
      const response = await get(path);
      assert.equal(response.status, 404);
      assert.match(await response.text(), /<html/);
    }
    const response = await get("A".repeat(32), { accept: "application/json" });
    assert.equal(response.status, 404);
    assert.equal((await response.json()).message, "pass_not_found");
  }, asked);
  assert.deepEqual(asked, ["A".repeat(32), "A".repeat(32)]);
});
