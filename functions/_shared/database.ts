import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../types/supabase.ts";
import type { Caller } from "./auth.ts";

/** A client of this project's API. */
export type Client = SupabaseClient<Database>;

/** A client that acts as the caller: row-level security applies as if they had asked the database themselves. */
export function clientOf(caller: Caller): Client {
  return createClient<Database>(environment("SUPABASE_URL"), environment("SUPABASE_ANON_KEY"), {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { headers: { authorization: `Bearer ${caller.jwt}` } },
  });
}

/** A client with the secret key, which no policy concerns: for what no user may do. */
export function administrator(): Client {
  return createClient<Database>(environment("SUPABASE_URL"), environment("SUPABASE_SERVICE_ROLE_KEY"), {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
  });
}

/** What the runtime tells a function; an error when it does not. */
export function environment(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`${name} is not set`);
  return value;
}
