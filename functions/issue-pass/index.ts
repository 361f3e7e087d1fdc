import { administrator, clientOf } from "../_shared/database.ts";
import { environment } from "../_shared/environment.ts";
import { fromDatabase } from "../_shared/errors.ts";
import { issuePass } from "./handler.ts";

const app = issuePass({
  async issue(caller, wish) {
    const { data, error } = await clientOf(caller).rpc("issue_pass", wish).single();
    if (error) throw fromDatabase(error);
    return data;
  },
  // The database cannot sign with Ed25519, and no user may hold the key.
  async addKey(invitation_id, key) {
    const { error } = await administrator().rpc("add_pass_key", { invitation_id, ...key });
    if (error) throw fromDatabase(error);
  },
  async signingKey(pass_id) {
    const { data, error } = await administrator().rpc("pass_signing_key", { pass_id }).single();
    if (error) throw fromDatabase(error);
    return data;
  },
  async seal(pass_id, pass, link_token) {
    const { error } = await administrator().rpc("seal_pass", { pass_id, pass, link_token });
    if (error) throw fromDatabase(error);
  },
  visitorPage: `${environment("SUPABASE_URL")}/functions/v1/visitor-pass`,
});

Deno.serve(app.fetch);
