import { rest } from "../_shared/database.ts";
import { decideAt } from "./decide.ts";
import { verifyPass } from "./handler.ts";

const app = verifyPass({ decide: decideAt(rest()) });

Deno.serve(app.fetch);
