import { createClient } from "@supabase/supabase-js";
import type { Database } from "../../types/supabase.ts";
import { environment } from "../_shared/database.ts";
import { ApiError, fromDatabase } from "../_shared/errors.ts";
import { visitorPass } from "./handler.ts";

// As nobody: the link is all that a visitor has.
const client = createClient<Database>(environment("SUPABASE_URL"), environment("SUPABASE_ANON_KEY"), {
  auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
});

const app = visitorPass({
  async open(token) {
    // POST: an address would be written down on its way.
    const { data, error } = await client.rpc("open_visitor_pass", { token }).single();
    if (!error) return data;
    const refused = fromDatabase(error);
    if (refused instanceof ApiError && refused.token === "pass_not_found") return undefined;
    throw refused;
  },
});

Deno.serve(app.fetch);
