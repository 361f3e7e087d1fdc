import { createClient } from "@supabase/supabase-js";
import { clientOf } from "../_shared/database.ts";
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
  sendMail: (mail) => sendInvitation(authAdministrator(), mail),
});

Deno.serve(app.fetch);

function authAdministrator() {
  const [url, key] = [Deno.env.get("SUPABASE_URL"), Deno.env.get("SUPABASE_SERVICE_ROLE_KEY")];
  if (!url || !key) throw new Error("SUPABASE_URL or SUPABASE_SERVICE_ROLE_KEY is not set");
  return createClient(url, key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });
}
