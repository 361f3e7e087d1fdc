import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../types/supabase.ts";
import type { Caller } from "./auth.ts";
import { environment } from "./environment.ts";

/** A client of this project's API. */
export type Client = SupabaseClient<Database>;

/** A client that acts as the caller: row-level security applies as if they had asked the database themselves. */
export const clientOf = (caller: Caller): Client =>
  clientWith("SUPABASE_ANON_KEY", { authorization: `Bearer ${caller.jwt}` });

/** A client that acts as nobody: for what whoever holds a link may do. */
export const anybody = (): Client => clientWith("SUPABASE_ANON_KEY");

/** A client that acts as a device at a gate: as nobody, with the device's key. */
export const ofDevice = (key: string): Client => clientWith("SUPABASE_ANON_KEY", { "x-device-key": key });

/** A client with the secret key, which no policy concerns: for what no user may do. */
export const administrator = (): Client => clientWith("SUPABASE_SERVICE_ROLE_KEY");

function clientWith(key: string, headers: Record<string, string> = {}): Client {
  return createClient<Database>(environment("SUPABASE_URL"), environment(key), {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { headers },
  });
}
