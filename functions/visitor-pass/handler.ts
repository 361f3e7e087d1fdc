import type { Context, Hono } from "hono";
import { z } from "zod";
import { ApiError } from "../_shared/errors.ts";
import { createApp, parseQuery } from "../_shared/http.ts";
import { qrCode } from "../_shared/qr.ts";
import { passPage } from "./page.ts";

/** A pass as a visitor's link shows it. What is null is not to be shown any more. */
export type OpenedPass = {
  state: string;
  pass: string | null;
  place: string;
  address: string | null;
  title: string | null;
  visitor_name: string | null;
  starts_at: string;
  ends_at: string;
  daily_from: string | null;
  daily_until: string | null;
  has_days: boolean | null;
  time_zone: string;
  locale: string;
};

export type Dependencies = {
  /** As nobody: the link is all that a visitor has. Undefined when there is no pass behind it. */
  open: (token: string) => Promise<OpenedPass | undefined>;
};

const query = z.object({ format: z.enum(["html", "json", "png", "svg"]).optional() });

/**
 * GET /visitor-pass/:token shows a pass to a visitor who has no account: the QR code, the place, the hours, and whether it opens.
 *
 * `?format=` html (the page; the default for browsers), json (`Accept: application/json`; for an app that draws its own page), svg or
 * png (the QR code alone). 200 while the pass may open, 410 once it does not any more, 404 `pass_not_found` for any other link.
 *
 * Nothing is kept: no store, no index, no referrer, no script, and the token is written to no log.
 */
export function visitorPass(dependencies: Dependencies): Hono {
  const app = createApp("visitor-pass");

  app.use(async (c, next) => {
    await next();
    c.header("cache-control", "no-store");
    c.header("referrer-policy", "no-referrer");
    c.header("x-robots-tag", "noindex, nofollow");
    c.header("x-content-type-options", "nosniff");
    c.header("x-frame-options", "DENY");
    if (!c.res.headers.has("content-security-policy")) {
      c.header("content-security-policy", "default-src 'none'; frame-ancestors 'none'");
    }
  });

  app.get("/:token", async (c) => {
    const { format } = parseQuery(query, c.req.query(), "invalid_query");
    const token = c.req.param("token");
    const opened = /^[A-Za-z0-9_-]{32}$/.test(token) ? await dependencies.open(token) : undefined;
    const wanted = format ?? (c.req.header("accept")?.includes("text/html") === false ? "json" : "html");
    if (wanted === "html") return page(c, opened);
    if (opened === undefined) throw new ApiError(404, "pass_not_found", "There is no pass behind this link.");

    const status = opened.pass === null ? 410 : 200;
    if (wanted === "json") return c.json(opened, status);
    if (opened.pass === null) throw new ApiError(410, "pass_over", `The pass opens nothing any more: ${opened.state}.`);
    const { svg, png } = qrCode(opened.pass);
    return wanted === "svg"
      ? c.body(svg, 200, { "content-type": "image/svg+xml" })
      : c.body(new Uint8Array(png), 200, { "content-type": "image/png" });
  });

  return app;
}

async function page(c: Context, opened: OpenedPass | undefined): Promise<Response> {
  const nonce = crypto.randomUUID();
  const status = opened === undefined ? 404 : opened.pass === null ? 410 : 200;
  const body = await passPage({
    opened,
    qr: opened?.pass ? qrCode(opened.pass).svg : undefined,
    nonce,
    languages: c.req.header("accept-language"),
  });
  return c.html(body, status, {
    "content-security-policy":
      `default-src 'none'; style-src 'nonce-${nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  });
}
