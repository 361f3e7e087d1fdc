import { anybody } from "../_shared/database.ts";
import { ApiError, fromDatabase } from "../_shared/errors.ts";
import { visitorPass } from "./handler.ts";

// The link is all that a visitor has.
const client = anybody();

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
