import assert from "node:assert/strict";
import { decode } from "fast-png";
import jsqr from "jsqr";
import { ApiError } from "../../functions/_shared/errors.ts";
import { qrCode } from "../../functions/_shared/qr.ts";
import { type Dependencies, type IssuedPass, issuePass } from "../../functions/issue-pass/handler.ts";
import { base64, makeKeyPair, signPass } from "../../functions/issue-pass/sign.ts";

const kid = "abcdefgh";
const payload = "AQGiGvpbUnGhqn8bMTn1u11rCPRQawpF0A";
const pass = `v1.${kid}.${payload}.${"XMDP0eILCVR8pPCvipVL0IXdiuJguZ7GlSNEXTSJnEc"}`;
const token = "tokenTokenTokenTokenTokenTokenTo";
const invitation = "01990000-0000-7000-8000-000000000001";
const issued: IssuedPass = {
  pass_id: "01990000-0000-7000-8000-000000000002",
  pass,
  link_token: token,
  starts_at: "2026-12-01T00:00:00+00:00",
  ends_at: "2026-12-02T00:00:00+00:00",
  max_uses: 1,
  to_sign: null,
};
const unsigned: IssuedPass = { ...issued, pass: null, to_sign: `v2.${kid}.${payload}` };
const signedIn = { authorization: "Bearer header.payload.signature" };

type Call = (body?: unknown, headers?: Record<string, string>) => Promise<Response>;

/** Serves the function with a fake database on a port of its own, and calls it over HTTP. Returns what it logged. */
async function withFunction(work: (call: Call) => Promise<void>, fakes: Partial<Dependencies> = {}): Promise<string> {
  const app = issuePass({
    issue: () => Promise.resolve(issued),
    addKey: () => Promise.reject(new Error("no key is to be made")),
    signingKey: () => Promise.reject(new Error("nothing is to be signed")),
    seal: () => Promise.reject(new Error("nothing is to be sealed")),
    visitorPage: "https://api.example/functions/v1/visitor-pass",
    ...fakes,
  });
  const original = { log: console.log, error: console.error };
  const lines: string[] = [];
  console.log = console.error = (line: string) => void lines.push(line);
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, app.fetch);
  try {
    await work((body, headers = signedIn) =>
      fetch(`http://127.0.0.1:${server.addr.port}/issue-pass`, {
        method: "POST",
        headers,
        body: typeof body === "string" ? body : JSON.stringify(body ?? { invitation_id: invitation }),
      })
    );
  } finally {
    await server.shutdown();
    Object.assign(console, original);
  }
  return lines.join("\n");
}

/** What a camera reads from a PNG. */
function scan(png: Uint8Array): string | undefined {
  const { data, width, height } = decode(png);
  const pixels = new Uint8ClampedArray(width * height * 4);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const bit = (data[y * Math.ceil(width / 8) + (x >> 3)] ?? 0) >> (7 - (x & 7)) & 1;
      pixels.fill(bit * 255, (y * width + x) * 4, (y * width + x) * 4 + 3);
      pixels[(y * width + x) * 4 + 3] = 255;
    }
  }
  return jsqr.default(pixels, width, height)?.data;
}

/** The modules that an SVG of ours draws, as rows of dark and light. */
function modulesOf(svg: string): string[] {
  const size = Number(/viewBox="0 0 (\d+)/.exec(svg)?.[1]);
  const rows = Array.from({ length: size }, () => Array.from({ length: size }, () => "."));
  for (const [, x, y, run] of svg.matchAll(/M(\d+) (\d+)h(\d+)v1H\d+z/g)) {
    rows[Number(y)]?.fill("#", Number(x), Number(x) + Number(run));
  }
  return rows.map((row) => row.join(""));
}

Deno.test("a pass comes with its text, its link and its QR code, and none of them is logged", async () => {
  const lines = await withFunction(async (call) => {
    const response = await call();
    assert.equal(response.status, 201);
    const { qr, ...answer } = await response.json();
    assert.deepEqual(answer, {
      pass_id: issued.pass_id,
      pass,
      link: `https://api.example/functions/v1/visitor-pass/${token}`,
      starts_at: issued.starts_at,
      ends_at: issued.ends_at,
      max_uses: 1,
    });
    assert.deepEqual([qr.version, qr.modules, qr.error_correction], [6, 41, "M"]);
    const png = Uint8Array.from(atob(qr.png.replace("data:image/png;base64,", "")), (c) => c.charCodeAt(0));
    assert.equal(scan(png), pass, "a camera reads the pass from the PNG");
  });
  assert.doesNotMatch(lines, new RegExp(`${token}|${pass}`));
});

Deno.test("QR codes of every kind of pass are read back, small, and the same in SVG and PNG", () => {
  const tail = (length: number) => "Az09-_bC".repeat(20).slice(0, length);
  for (
    const [text, version, modules] of [
      [pass, 6, 41],
      [`v2.${kid}.${payload}.${tail(86)}`, 8, 49],
      [`r1.${kid}.${tail(27)}.${tail(43)}`, 5, 37],
    ] as const
  ) {
    const code = qrCode(text);
    assert.deepEqual([code.version, code.modules], [version, modules]);
    assert.equal(scan(code.png), text);
    const drawn = modulesOf(code.svg);
    assert.equal(drawn.length, modules + 8, "with a quiet zone of four modules");
    const { data, width } = decode(code.png);
    const bit = (x: number, y: number) => (data[(y * 8) * Math.ceil(width / 8) + x] ?? 0) === 0 ? "#" : ".";
    assert.deepEqual(drawn, drawn.map((row, y) => [...row].map((_, x) => bit(x, y)).join("")));
    assert.ok(code.png.length < 4096 && code.svg.length < 20_000);
  }
});

Deno.test("with a page of the app the token is its fragment, which no server sees", async () => {
  await withFunction(async (call) => {
    const { link } = await (await call({ invitation_id: invitation, page: "https://app.example/pass?lang=bg#top" }))
      .json();
    assert.equal(link, `https://app.example/pass?lang=bg#${token}`);
  });
});

Deno.test("the database is asked with the caller's own JWT", async () => {
  const asked: unknown[] = [];
  await withFunction(async (call) => {
    await (await call({ invitation_id: invitation, guest_id: issued.pass_id })).body?.cancel();
  }, { issue: (caller, wanted) => Promise.resolve((asked.push([caller.jwt, wanted]), issued)) });
  assert.deepEqual(asked, [["header.payload.signature", {
    invitation_id: invitation,
    guest_id: issued.pass_id,
    is_offline: false,
  }]]);
});

Deno.test("an offline pass is signed with the community's key, which anybody can verify and nobody forge", async () => {
  const key = await makeKeyPair();
  const sealed: unknown[] = [];
  await withFunction(async (call) => {
    const { pass: text, qr } = await (await call({ invitation_id: invitation, is_offline: true })).json();
    assert.deepEqual(sealed, [[issued.pass_id, text, token]]);
    assert.equal(text.length, 133);
    assert.equal(qr.modules, 49);
    const [signed, signature] = [text.slice(0, -87), text.slice(-86)];
    assert.equal(signed, unsigned.to_sign);
    const bytes = Uint8Array.from(
      atob(signature.replaceAll("-", "+").replaceAll("_", "/")),
      (c: string) => c.charCodeAt(0),
    );
    const gate = await crypto.subtle.importKey("raw", new Uint8Array(key.publicKey), "Ed25519", false, ["verify"]);
    const verify = (message: string | null) =>
      crypto.subtle.verify("Ed25519", gate, bytes, new TextEncoder().encode(message ?? ""));
    assert.equal(await verify(signed), true);
    assert.equal(await verify(`${signed}`.replace("AQ", "AR")), false);
  }, {
    issue: (_, { is_offline }) => Promise.resolve(is_offline ? unsigned : issued),
    signingKey: () => Promise.resolve({ public_key: base64(key.publicKey), secret: base64(key.secret) }),
    seal: (...told) => Promise.resolve(void sealed.push(told)),
  });
});

Deno.test("the first offline pass of a community makes its key, and is asked for again", async () => {
  const made: { public_key: string; secret: string }[] = [];
  let asked = 0;
  await withFunction(async (call) => {
    const response = await call({ invitation_id: invitation, is_offline: true });
    assert.equal(response.status, 201);
    await response.body?.cancel();
  }, {
    issue: () => {
      asked += 1;
      return made.length === 0 ? Promise.reject(new ApiError(409, "pass_key_missing")) : Promise.resolve(unsigned);
    },
    addKey: (id, key) => Promise.resolve(void (assert.equal(id, invitation), made.push(key))),
    signingKey: () => Promise.resolve(made[0]!),
    seal: () => Promise.resolve(),
  });
  assert.equal(asked, 2);
  assert.deepEqual(made.map(({ public_key, secret }) => [public_key.length, secret.length]), [[44, 44]]);
});

Deno.test("halves of a key that do not belong together are noticed before anybody relies on the signature", async () => {
  const [one, other] = await Promise.all([makeKeyPair(), makeKeyPair()]);
  await assert.rejects(signPass("v2.a.b", { publicKey: one.publicKey, secret: other.secret }));
  let sealed = 0;
  const lines = await withFunction(async (call) => {
    const response = await call({ invitation_id: invitation, is_offline: true });
    assert.equal(response.status, 500);
    assert.equal((await response.json()).message, "internal_error");
  }, {
    issue: () => Promise.resolve(unsigned),
    signingKey: () => Promise.resolve({ public_key: base64(one.publicKey), secret: base64(other.secret) }),
    seal: () => Promise.resolve(void sealed++),
  });
  assert.equal(sealed, 0);
  assert.ok(!lines.includes(base64(other.secret)), "the secret is in no log");
});

Deno.test("a body that is none is a 400 that names the field, before anybody is asked; so is a caller without a JWT", async () => {
  let asked = 0;
  await withFunction(async (call) => {
    for (
      const [body, reason] of [
        ["{", /not JSON/],
        [{}, /invitation_id/],
        [{ invitation_id: "party" }, /invitation_id/],
        [{ invitation_id: invitation, guest_id: 7 }, /guest_id/],
        [{ invitation_id: invitation, is_offline: "yes" }, /is_offline/],
        [{ invitation_id: invitation, page: "javascript:alert(1)" }, /page/],
        [{ invitation_id: invitation, offline: true }, /offline/],
      ] as const
    ) {
      const response = await call(body);
      assert.equal(response.status, 400);
      const answer = await response.json();
      assert.equal(answer.message, "invalid_body");
      assert.match(answer.details, reason);
    }
    const response = await call({ invitation_id: invitation }, {});
    assert.equal(response.status, 401);
    assert.equal((await response.json()).message, "missing_jwt");
  }, { issue: () => Promise.resolve((asked++, issued)) });
  assert.equal(asked, 0);
});

Deno.test("what the database refuses keeps its status and token", async () => {
  await withFunction(async (call) => {
    const response = await call();
    assert.equal(response.status, 409);
    assert.equal((await response.json()).message, "invitation_over");
  }, { issue: () => Promise.reject(new ApiError(409, "invitation_over")) });
});
