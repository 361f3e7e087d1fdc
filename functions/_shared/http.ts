import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { z } from "zod";
import { ApiError } from "./errors.ts";
import { log } from "./log.ts";

const allowOrigin = "*";
const exposeHeaders = "content-disposition";
const preflight = cors({
  origin: allowOrigin,
  allowHeaders: ["authorization", "apikey", "content-type", "x-client-info", "x-device-key"],
  exposeHeaders: [exposeHeaders],
});

// Far more than any function is told. Some are asked by whoever can reach them, and a body is read before it says who that is.
const longestBody = 128 * 1024;
const limit = bodyLimit({
  maxSize: longestBody,
  onError: () => {
    throw new ApiError(413, "body_too_large", `A body has at most ${longestBody} bytes.`);
  },
});

/**
 * The app of one function: reachable at /<name> as Supabase routes it, from any origin, with every request logged, every
 * error mapped, and no body read that is longer than 128 KiB (413 `body_too_large`).
 */
export function createApp(name: string): Hono {
  const app = new Hono().basePath(`/${name}`);
  app.use(async (c, next) => {
    if (c.req.method === "OPTIONS") return preflight(c, next);
    const startedAt = performance.now();
    await next();
    // On the answer as it is: what is said before there is one makes Hono copy it.
    c.res.headers.set("access-control-allow-origin", allowOrigin);
    c.res.headers.set("access-control-expose-headers", exposeHeaders);
    log("info", "request", {
      function: name,
      method: c.req.method,
      status: c.res.status,
      milliseconds: Math.round(performance.now() - startedAt),
    });
  });
  app.use(limit);
  app.onError((error, c) => {
    if (error instanceof ApiError) {
      return c.json(error.toJSON(), error.status as ContentfulStatusCode);
    }
    const id = crypto.randomUUID();
    log("error", "failure", { function: name, id, reason: error.stack ?? error.message });
    return c.json(new ApiError(500, "internal_error", `Reported as ${id}.`).toJSON(), 500);
  });
  app.notFound((c) => c.json(new ApiError(404, "not_found").toJSON(), 404));
  return app;
}

/** A body of JSON (400 `invalid_body` for any other). */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(400, "invalid_body", "The body is not JSON.");
  }
}

/** What a body told, as a schema describes it (400 `invalid_body` naming each field and why). */
export function parse<T extends z.ZodType>(schema: T, told: unknown): z.output<T> {
  const parsed = schema.safeParse(told);
  if (parsed.success) return parsed.data;
  const reasons = parsed.error.issues.map((issue) => [...issue.path, issue.message].join(": "));
  throw new ApiError(400, "invalid_body", reasons.join("; "));
}

/**
 * A query string as a schema describes it.
 *
 * @param token the stable token of the 400 that answers anything else
 * @throws {ApiError} naming each field and why
 */
export function parseQuery<T extends z.ZodType>(
  schema: T,
  query: Record<string, string>,
  token: string,
): z.output<T> {
  const parsed = schema.safeParse(query);
  if (parsed.success) return parsed.data;
  const reasons = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new ApiError(400, token, reasons.join("; "));
}
