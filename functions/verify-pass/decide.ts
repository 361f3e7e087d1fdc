import type { PostgrestError } from "@supabase/supabase-js";
import type { Rest } from "../_shared/database.ts";
import { fromDatabase } from "../_shared/errors.ts";
import type { Asker, Question } from "./handler.ts";

/** Asks the RPC `decide_access`, without a client: somebody stands at the gate, and the answer is passed on as it comes. */
export function decideAt({ url, headers }: Rest): (asker: Asker, question: Question) => Promise<string> {
  const address = `${url}/rpc/decide_access`;
  return async (asker, question) => {
    const response = await fetch(address, {
      method: "POST",
      headers: {
        ...headers,
        accept: "application/vnd.pgrst.object+json",
        "content-type": "application/json",
        ...(asker.authorization && { authorization: asker.authorization }),
        ...(asker.deviceKey && { "x-device-key": asker.deviceKey }),
        ...(asker.forwardedFor && { "x-forwarded-for": asker.forwardedFor }),
      },
      body: JSON.stringify(question),
    });
    const text = await response.text();
    if (response.ok) return text;
    throw fromDatabase(JSON.parse(text) as PostgrestError);
  };
}
