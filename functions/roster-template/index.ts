import { z } from "zod";
import { clientOf } from "../_shared/database.ts";
import { fromDatabase } from "../_shared/errors.ts";
import { rosterTemplate } from "./handler.ts";

const rosterHeaders = z.array(z.object({ field: z.string(), header: z.string(), example: z.string() }));

const app = rosterTemplate({
  async rosterHeaders(caller, language, list) {
    const { data, error } = await clientOf(caller).rpc("roster_headers", { language, import: list }, { get: true });
    if (error) throw fromDatabase(error);
    return rosterHeaders.parse(data);
  },
});

Deno.serve(app.fetch);
