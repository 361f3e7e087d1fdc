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
