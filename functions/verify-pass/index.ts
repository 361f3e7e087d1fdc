import { anonymousSession } from "../_shared/anonymous-session.ts";
import { environment } from "../_shared/environment.ts";
import { decideBy } from "./decide.ts";
import { verifyPass } from "./handler.ts";

const app = verifyPass({
  decide: decideBy({
    session: anonymousSession(Deno.env.get("SUPABASE_DB_URL")),
    rest: { url: `${environment("SUPABASE_URL")}/rest/v1`, anonKey: environment("SUPABASE_ANON_KEY") },
  }),
});

Deno.serve(app.fetch);
