import type { Hono } from "hono";
import { z } from "zod";
import { ApiError } from "../_shared/errors.ts";
import { createApp, parse, parseJson } from "../_shared/http.ts";

/**
 * Who asks: a signed-in guard or resident by their JWT, a device at a gate by its key. A device that was given a legacy key of the
 * project sends that as a JWT besides. The database finds out. From where and with what they ask is for the audit log.
 */
export type Asker = {
  authorization?: string | undefined;
  deviceKey?: string | undefined;
  forwardedFor?: string | undefined;
  userAgent?: string | undefined;
};

/** What is asked, as the database takes it. */
export type Question = {
  access_point_id: string;
  method: "qr" | "code" | "plate" | "card";
  credential: string;
  direction?: "in" | "out" | undefined;
  nonce?: string | undefined;
  scanned_at?: string | undefined;
  photo_file_id?: string | undefined;
  acknowledged_entry_id?: string | undefined;
  note?: string | undefined;
};

export type Dependencies = {
  /** The decision: one row of `decide_access`, as the database wrote it. */
  decide: (asker: Asker, question: Question) => Promise<string>;
};

const methods = { pass: "qr", code: "code", plate: "plate", card: "card" } as const;
// What is no text to the database, JSON can tell nevertheless.
const text = z.string().refine((told) => told.isWellFormed() && !told.includes("\0"), { error: "no text" });
const credential = text.min(1).max(20_000).optional();
const attempt = z.strictObject({
  access_point_id: z.guid(),
  pass: credential,
  code: credential,
  plate: credential,
  card: credential,
  direction: z.enum(["in", "out"]).optional(),
  nonce: text.min(1).max(64).optional(),
  scanned_at: z.iso.datetime({ offset: true }).optional(),
  photo_file_id: z.guid().optional(),
  acknowledged_entry_id: z.guid().optional(),
  note: text.max(2000).optional(),
}).refine((told) => shown(told).length === 1, { path: ["pass"], error: "or code, plate, card: exactly one of them" });

/**
 * POST /verify-pass `{ access_point_id, pass | code | plate | card, direction?, nonce?, scanned_at?, photo_file_id?,
 * acknowledged_entry_id?, note? }` asks whether to open: one scan, one request, one answer.
 *
 * By a guard with `Authorization: Bearer <JWT>`, or by a device with `x-device-key`. What is scanned goes in as it was read; a text
 * that is no pass is denied and logged like any other. With a `nonce` (a number of the attempt that the caller makes up) the same
 * request may be sent again when the line broke: the answer is the same, and nothing is used twice.
 *
 * Answers 200 with the row of the RPC `decide_access`, `{ outcome: "granted" | "denied", reason, log_id, … }`: a denial is an answer.
 *
 * Errors: 400 `invalid_body`, 401 `missing_credentials`, and those of the RPC `decide_access`.
 */
export function verifyPass(dependencies: Dependencies): Hono {
  const app = createApp("verify-pass");

  app.post("/", async (c) => {
    const asker = askerOf(c.req.raw.headers);
    const { pass, code, plate, card, ...more } = parse(attempt, parseJson(await c.req.text()));
    const [kind] = shown({ pass, code, plate, card });
    if (kind === undefined) throw new Error("the schema let a body without a credential through");
    const answer = await dependencies.decide(asker, { ...more, method: methods[kind[0]], credential: kind[1] });
    return c.body(answer, 200, { "content-type": "application/json", "cache-control": "no-store" });
  });

  return app;
}

/** The credentials that a body holds. */
function shown(told: { [kind in keyof typeof methods]?: string | undefined }): [keyof typeof methods, string][] {
  const kinds: (keyof typeof methods)[] = ["pass", "code", "plate", "card"];
  return kinds.flatMap((kind) => told[kind] === undefined ? [] : [[kind, told[kind]]]);
}

/** What of the headers tells who asks; a user's JWT counts before a device's key, in the database. */
function askerOf(headers: Headers): Asker {
  // ASCII: PostgREST does not answer headers that are anything else.
  const said = (name: string, longest: number) => {
    const text = headers.get(name);
    return text !== null && text.length <= longest && /^[ -~]*$/.test(text) ? text : undefined;
  };
  const authorization = said("authorization", Infinity);
  const asker: Asker = {
    authorization: authorization !== undefined && /^Bearer\s+\S+\.\S+\.\S+$/i.test(authorization)
      ? authorization
      : undefined,
    deviceKey: said("x-device-key", 200),
    forwardedFor: said("x-forwarded-for", 200),
    userAgent: said("user-agent", 500),
  };
  if (asker.authorization !== undefined || asker.deviceKey !== undefined) return asker;
  throw new ApiError(
    401,
    "missing_credentials",
    undefined,
    "A guard sends the access token as Authorization: Bearer, a device its key as x-device-key.",
  );
}
