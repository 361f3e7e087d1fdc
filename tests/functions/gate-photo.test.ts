import assert from "node:assert/strict";
import { ApiError } from "../../functions/_shared/errors.ts";
import { gatePhoto, type Photo, type Place } from "../../functions/gate-photo/handler.ts";

const key = `vd_${"0".repeat(32)}_${"A".repeat(43)}`;
const place: Place = {
  file_id: "0198c2a0-0000-7000-8000-000000000001",
  bucket: "vicinia-gates",
  path: "home/access.photo/1",
};
const photo: Photo = { content_type: "image/jpeg", size: 4 };

/** What the function answers to a body, and what it asked the database. */
async function ask(body: unknown, headers: Record<string, string> = { "x-device-key": key }) {
  const asked: unknown[] = [];
  const app = gatePhoto({
    register: (deviceKey, told) => {
      asked.push([deviceKey, told]);
      if (told.size > 5_242_880) throw new ApiError(413, "file_too_large");
      return Promise.resolve(place);
    },
    sign: ({ bucket, path }) => Promise.resolve(`https://api.example/${bucket}/${path}?token=t`),
  });
  const original = console.log;
  console.log = () => {};
  try {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    const response = await app.request("/gate-photo", { method: "POST", headers, body: text });
    return { status: response.status, headers: response.headers, body: await response.json(), asked };
  } finally {
    console.log = original;
  }
}

Deno.test("a device is told where its photograph goes, and the answer is stored nowhere", async () => {
  const { status, headers, body, asked } = await ask(photo);
  assert.deepEqual([status, body], [201, {
    file_id: place.file_id,
    upload_url: "https://api.example/vicinia-gates/home/access.photo/1?token=t",
  }]);
  assert.equal(headers.get("cache-control"), "no-store");
  assert.deepEqual(asked, [[key, photo]]);
});

Deno.test("who shows no key of a device is refused before the database is asked", async () => {
  for (
    const headers of [{}, { authorization: "Bearer a.b.c" }, { "x-device-key": "" }, {
      "x-device-key": "x".repeat(201),
    }] as Record<string, string>[]
  ) {
    const { status, body, asked } = await ask(photo, headers);
    assert.deepEqual([status, body.message, asked], [401, "missing_credentials", []]);
  }
});

Deno.test("a body that nobody needs is not read to its end, whether it says its length or not", async () => {
  const long = JSON.stringify({ ...photo, content_type: "a".repeat(200_000) });
  const told = await ask(long);
  assert.deepEqual([told.status, told.body.message, told.asked], [413, "body_too_large", []]);

  const app = gatePhoto({ register: () => Promise.reject(), sign: () => Promise.reject() });
  let sent = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(new Uint8Array(16_384).fill(32));
      sent += 16_384;
    },
  });
  const request = new Request("http://gate/gate-photo", {
    method: "POST",
    headers: { "x-device-key": key },
    body: endless,
  });
  const response = await app.request(request);
  assert.deepEqual([response.status, (await response.json()).message, sent < 1_000_000], [413, "body_too_large", true]);
});

Deno.test("what announces no photograph is a 400 and never reaches the database", async () => {
  const bodies = [
    "",
    "[]",
    "null",
    "{",
    { ...photo, size: 0 },
    { ...photo, size: 1.5 },
    { ...photo, size: "4" },
    { ...photo, size: 1e300 },
    { ...photo, content_type: "" },
    { ...photo, content_type: "image/jpeg\0" },
    { ...photo, sha256: "abc" },
    { ...photo, community_id: "x" },
    '{"content_type":"image/\\ud800","size":4}',
  ];
  for (const body of bodies) {
    const answer = await ask(body);
    assert.deepEqual(
      [answer.status, answer.body.message, answer.asked],
      [400, "invalid_body", []],
      JSON.stringify(body),
    );
  }
});

Deno.test("what the database refuses is refused in its words", async () => {
  const { status, body } = await ask({ ...photo, size: 5_242_881 });
  assert.deepEqual([status, body.message], [413, "file_too_large"]);
});
