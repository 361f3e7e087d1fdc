import { administrator, clientOf } from "../_shared/database.ts";
import { fromDatabase } from "../_shared/errors.ts";
import { inviteMember } from "./handler.ts";
import { sendInvitation } from "./mail.ts";

const app = inviteMember({
  async invite(caller, wish) {
    const { data, error } = await clientOf(caller).rpc("invite_member", wish).single();
    if (error) throw fromDatabase(error);
    return data;
  },
  async inviteResident(caller, wish) {
    const { data, error } = await clientOf(caller).rpc("invite_resident", wish).single();
    if (error) throw fromDatabase(error);
    return data;
  },
  async resend(caller, invitation_id, expires_in_hours) {
    const { data, error } = await clientOf(caller).rpc("resend_invitation", { invitation_id, expires_in_hours })
      .single();
    if (error) throw fromDatabase(error);
    return data;
  },
  // Only Auth's administrator may write to somebody who has no account yet.
  sendMail: (mail) => sendInvitation(administrator(), mail),
});

Deno.serve(app.fetch);
