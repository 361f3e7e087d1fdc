import type { Hono } from "hono";
import { z } from "zod";
import { type Caller, callerOf } from "../_shared/auth.ts";
import { ApiError } from "../_shared/errors.ts";
import { createApp, parse, parseJson } from "../_shared/http.ts";
import { log } from "../_shared/log.ts";

/** How long, and by which address or number. */
type Address = {
  email?: string | undefined;
  phone?: string | undefined;
  expires_in_hours?: number | undefined;
};

/** Whom to invite to which role, as the database takes it. */
export type Wish = Address & {
  role: string;
  organization_id?: string | undefined;
  community_id?: string | undefined;
  /** When the role ends. */
  ends_at?: string | undefined;
};

/** Which resident to invite to sign up; without an address by the one in the roster. */
export type ResidentWish = Address & { resident_id: string };

/** An invitation as the database hands it out, with the token that is never shown again. */
export type IssuedInvitation = {
  id: string;
  token: string;
  invited: string;
  /** Null for a resident, whom occupancies give their roles. */
  role_key: string | null;
  role_name: string | null;
  place: string;
  expires_at: string;
};

/** What is written to somebody, and the page of the app that the mail's link leads to in the end. */
export type InvitationMail = { to: string; place: string; roleName: string | null; leadsTo: string | undefined };

export type Dependencies = {
  invite: (caller: Caller, wish: Wish) => Promise<IssuedInvitation>;
  inviteResident: (caller: Caller, wish: ResidentWish) => Promise<IssuedInvitation>;
  resend: (caller: Caller, invitationId: string, expiresInHours: number | undefined) => Promise<IssuedInvitation>;
  /** Sends the mail, to people with and without an account; throws when it could not be sent. */
  sendMail: (mail: InvitationMail) => Promise<void>;
};

const delivery = {
  expires_in_hours: z.int().optional(),
  redirect_to: z.url().optional(),
};
const address = { email: z.string().max(254).optional(), phone: z.string().max(31).optional() };
const wish = z.strictObject({
  ...address,
  role: z.string().max(63),
  organization_id: z.guid().optional(),
  community_id: z.guid().optional(),
  ends_at: z.iso.datetime({ offset: true }).optional(),
  ...delivery,
}).refine(({ email, phone }) => (email === undefined) !== (phone === undefined), {
  path: ["email"],
  error: "or phone: one of the two",
});
const residentWish = z.strictObject({ ...address, resident_id: z.guid(), ...delivery });
const again = z.strictObject(delivery);

/**
 * POST /invite-member `{ email | phone, role, organization_id | community_id, ends_at?, expires_in_hours?, redirect_to? }` invites
 * somebody to a role (until `ends_at`), `{ resident_id, email? | phone?, expires_in_hours?, redirect_to? }` a resident to sign up,
 * and sends the mail.
 * POST /invite-member/:id/resend `{ expires_in_hours?, redirect_to? }` sends it again with a new token.
 *
 * Both are done with the caller's own rights. The mail's link signs the person in and leads to `redirect_to` with
 * `invitation=<token>` in its query, where the app calls `accept_invitation`; the token goes nowhere else. `redirect_to` must be
 * among Auth's redirect URLs; without one the link leads to Auth's site URL, where the app asks `my_invitations`.
 *
 * Answers 201 (200 for a resend) `{ id, email, role, role_name, place, expires_at, mail_sent }`, the same for addresses with and
 * without an account. `mail_sent: false`: the invitation stands, the mail did not go out; send it again. Nothing is sent to a
 * telephone number: the answer has `phone` in place of `email`, and with `redirect_to` a `share_link` for the caller to hand over.
 *
 * Errors: 400 `invalid_body`, 401 `missing_jwt`, and those of the RPCs `invite_member`, `invite_resident` and `resend_invitation`.
 */
export function inviteMember(dependencies: Dependencies): Hono {
  const app = createApp("invite-member");

  app.post("/", async (c) => {
    const caller = callerOf(c.req.header("authorization"));
    const body = parseJson(await c.req.text());
    if (typeof body === "object" && body !== null && "resident_id" in body) {
      const { redirect_to, ...wanted } = parse(residentWish, body);
      return c.json(await send(await dependencies.inviteResident(caller, wanted), redirect_to), 201);
    }
    const { redirect_to, ...wanted } = parse(wish, body);
    return c.json(await send(await dependencies.invite(caller, wanted), redirect_to), 201);
  });

  app.post("/:id/resend", async (c) => {
    const caller = callerOf(c.req.header("authorization"));
    const { redirect_to, expires_in_hours } = parse(again, parseJson(await c.req.text() || "{}"));
    const id = z.guid().safeParse(c.req.param("id"));
    if (!id.success) throw new ApiError(404, "invitation_not_found", "There is no invitation with this id.");
    return c.json(await send(await dependencies.resend(caller, id.data, expires_in_hours), redirect_to));
  });

  return app;

  async function send(issued: IssuedInvitation, redirectTo: string | undefined) {
    const { id, token, invited, role_key, role_name, place, expires_at } = issued;
    if (!invited.includes("@")) {
      const shareLink = redirectTo && withToken(redirectTo, token);
      return {
        id,
        phone: invited,
        role: role_key,
        role_name,
        place,
        expires_at,
        mail_sent: false,
        share_link: shareLink ?? null,
      };
    }
    const mail = { to: invited, place, roleName: role_name, leadsTo: redirectTo && withToken(redirectTo, token) };
    const mailSent = await dependencies.sendMail(mail).then(() => true, (error: unknown) => {
      log("error", "mail not sent", { function: "invite-member", invitation: id, reason: String(error) });
      return false;
    });
    return { id, email: invited, role: role_key, role_name, place, expires_at, mail_sent: mailSent };
  }
}

/** The app's page, told which invitation the person comes for. */
function withToken(page: string, token: string): string {
  const url = new URL(page);
  url.searchParams.set("invitation", token);
  return url.toString();
}
