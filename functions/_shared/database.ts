import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import type { Database } from "../../types/supabase.ts";
import type { Caller } from "./auth.ts";

/** A client of this project's API. */
export type Client = SupabaseClient<Database>;

/** A client that acts as the caller: row-level security applies as if they had asked the database themselves. */
export const clientOf = (caller: Caller): Client =>
  clientWith("SUPABASE_ANON_KEY", { authorization: `Bearer ${caller.jwt}` });

/** A client that acts as nobody: for what whoever holds a link may do. */
export const anybody = (): Client => clientWith("SUPABASE_ANON_KEY");

/** A client with the secret key, which no policy concerns: for what no user may do. */
export const administrator = (): Client => clientWith("SUPABASE_SERVICE_ROLE_KEY");

function clientWith(key: string, headers: Record<string, string> = {}): Client {
  return createClient<Database>(environment("SUPABASE_URL"), environment(key), {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    global: { headers },
  });
}

/** Where PostgREST is, and what it takes to be let in as nobody. */
export type Rest = { url: string; headers: Record<string, string> };

/**
 * PostgREST without a client, for who cannot wait. Where the installation says where it is (`POSTGREST_URL`: PostgREST itself, on a
 * network of its own), the gateway is left out: PostgREST verifies JWTs itself, and who brings none is nobody. A hosted project
 * says no such thing, and is asked through its gateway.
 */
export function rest(): Rest {
  const url = Deno.env.get("POSTGREST_URL");
  if (url) return { url, headers: {} };
  return { url: `${environment("SUPABASE_URL")}/rest/v1`, headers: { apikey: environment("SUPABASE_ANON_KEY") } };
}

/** What the runtime tells a function; an error when it does not. */
export function environment(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`${name} is not set`);
  return value;
}
