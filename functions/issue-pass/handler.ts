import type { Hono } from "hono";
import { z } from "zod";
import { type Caller, callerOf } from "../_shared/auth.ts";
import { ApiError } from "../_shared/errors.ts";
import { createApp, parse, parseJson } from "../_shared/http.ts";
import { qrCode } from "../_shared/qr.ts";
import { base64, type KeyPair, makeKeyPair, signPass } from "./sign.ts";

/** To which invitation, and for which guest of its list. */
export type Wish = { invitation_id: string; guest_id?: string | undefined; is_offline: boolean };

/** A pass as the database hands it out; of an offline one, what is to be signed in place of the text. */
export type IssuedPass = {
  pass_id: string;
  pass: string | null;
  link_token: string;
  starts_at: string;
  ends_at: string;
  max_uses: number | null;
  to_sign: string | null;
};

export type Dependencies = {
  /** With the caller's own rights. */
  issue: (caller: Caller, wish: Wish) => Promise<IssuedPass>;
  /** With the secret key: stores a key for the community of an invitation, unless it has one. */
  addKey: (invitationId: string, key: { public_key: string; secret: string }) => Promise<void>;
  /** With the secret key: the key of a pass that waits for its signature. */
  signingKey: (passId: string) => Promise<{ public_key: string; secret: string }>;
  /** With the secret key: stores what a signed pass reads. */
  seal: (passId: string, pass: string, linkToken: string) => Promise<void>;
  /** Where visitors' links lead unless the caller says so. */
  visitorPage: string;
};

const wish = z.strictObject({
  invitation_id: z.guid(),
  guest_id: z.guid().optional(),
  is_offline: z.boolean().default(false),
  page: z.url({ protocol: /^https?$/ }).max(500).optional(),
});

/**
 * POST /issue-pass `{ invitation_id, guest_id?, is_offline?, page? }` makes the pass to an invitation of a visitor, or for one
 * guest of its list, with the caller's own rights. A pass made before for the same is worth nothing from then on.
 *
 * Answers 201 `{ pass_id, pass, link, starts_at, ends_at, max_uses, qr: { version, modules, error_correction, svg, png } }`. `pass`
 * is the text that gates read and the QR code shows, `png` a data URL, `link` a page that shows the pass to the visitor without an
 * account: the function visitor-pass, or `page` with the token as its fragment, which no server sees. None of them is shown again.
 *
 * `is_offline`: the pass is signed with Ed25519, so that a gate verifies it without a line (`pass_public_keys`).
 *
 * Errors: 400 `invalid_body`, 401 `missing_jwt`, and those of the RPC `issue_pass`.
 */
export function issuePass(dependencies: Dependencies): Hono {
  const app = createApp("issue-pass");

  app.post("/", async (c) => {
    const caller = callerOf(c.req.header("authorization"));
    const { page, ...wanted } = parse(wish, parseJson(await c.req.text()));
    const issued = await issue(caller, wanted);
    const pass = issued.pass ?? await sign(issued);
    const { png, ...qr } = qrCode(pass);
    return c.json({
      pass_id: issued.pass_id,
      pass,
      link: page === undefined
        ? `${dependencies.visitorPage}/${issued.link_token}`
        : withFragment(page, issued.link_token),
      starts_at: issued.starts_at,
      ends_at: issued.ends_at,
      max_uses: issued.max_uses,
      qr: { ...qr, png: `data:image/png;base64,${base64(png)}` },
    }, 201);
  });

  return app;

  /** The community's first offline pass finds no key: it is made, and the pass is asked for again. */
  async function issue(caller: Caller, wanted: Wish): Promise<IssuedPass> {
    try {
      return await dependencies.issue(caller, wanted);
    } catch (error) {
      if (!(error instanceof ApiError) || error.token !== "pass_key_missing") throw error;
    }
    await dependencies.addKey(wanted.invitation_id, told(await makeKeyPair()));
    return await dependencies.issue(caller, wanted);
  }

  async function sign({ pass_id, to_sign, link_token }: IssuedPass): Promise<string> {
    if (to_sign === null) throw new Error("a pass has neither a text nor what is to be signed");
    const { public_key, secret } = await dependencies.signingKey(pass_id);
    const pass = await signPass(to_sign, { publicKey: bytes(public_key), secret: bytes(secret) });
    await dependencies.seal(pass_id, pass, link_token);
    return pass;
  }
}

function withFragment(page: string, token: string): string {
  const url = new URL(page);
  url.hash = token;
  return url.toString();
}

const told = ({ publicKey, secret }: KeyPair) => ({ public_key: base64(publicKey), secret: base64(secret) });
const bytes = (text: string) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
