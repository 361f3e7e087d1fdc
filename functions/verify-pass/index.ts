import type { PostgrestError } from "@supabase/supabase-js";
import { environment } from "../_shared/database.ts";
import { fromDatabase } from "../_shared/errors.ts";
import { verifyPass } from "./handler.ts";

const [address, key] = [`${environment("SUPABASE_URL")}/rest/v1/rpc/decide_access`, environment("SUPABASE_ANON_KEY")];

const app = verifyPass({
  // Straight to PostgREST, without a client: somebody stands at the gate, and the answer is passed on as it comes.
  async decide(asker, question) {
    const response = await fetch(address, {
      method: "POST",
      headers: {
        apikey: key,
        accept: "application/vnd.pgrst.object+json",
        "content-type": "application/json",
        ...(asker.authorization && { authorization: asker.authorization }),
        ...(asker.deviceKey && { "x-device-key": asker.deviceKey }),
      },
      body: JSON.stringify(question),
    });
    const text = await response.text();
    if (response.ok) return text;
    throw fromDatabase(JSON.parse(text) as PostgrestError);
  },
});

Deno.serve(app.fetch);
