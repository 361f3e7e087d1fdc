import type { AuthError, SupabaseClient } from "@supabase/supabase-js";
import type { InvitationMail } from "./handler.ts";

/** The part of Auth that sends mails, with the secret key. */
export type AuthMails = {
  auth: {
    admin: Pick<SupabaseClient["auth"]["admin"], "inviteUserByEmail">;
    signInWithOtp: (credentials: {
      email: string;
      options: { shouldCreateUser: boolean; emailRedirectTo?: string };
    }) => Promise<{ error: AuthError | null }>;
  };
};

/**
 * Sends an invitation through Auth: to people without an account Auth's mail "Invite user", whose link makes the account and
 * verifies the address; to people with one the mail "Magic link", whose link signs them in. The first can say where the person is
 * invited to: `{{ .Data.invited_to }}`, `{{ .Data.invited_as }}`.
 *
 * @throws what Auth refused, too many mails at once for instance
 */
export async function sendInvitation(
  client: AuthMails,
  { to, place, roleName, leadsTo }: InvitationMail,
): Promise<void> {
  const { error } = await client.auth.admin.inviteUserByEmail(to, {
    data: { invited_to: place, invited_as: roleName },
    ...(leadsTo !== undefined && { redirectTo: leadsTo }),
  });
  if (error?.code !== "email_exists") {
    if (error) throw error;
    return;
  }
  const again = await client.auth.signInWithOtp({
    email: to,
    options: { shouldCreateUser: false, ...(leadsTo !== undefined && { emailRedirectTo: leadsTo }) },
  });
  if (again.error) throw again.error;
}
