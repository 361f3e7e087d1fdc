import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { z } from 'zod';
import { supabaseDir } from './paths.ts';

const hookSchema = z.object({ enabled: z.boolean(), uri: z.string() });

const configSchema = z.object({
  api: z.object({
    schemas: z.array(z.string()),
    extra_search_path: z.array(z.string()),
    max_rows: z.number(),
    auto_expose_new_tables: z.boolean().optional(),
  }),
  storage: z.object({ file_size_limit: z.string() }),
  auth: z.object({
    site_url: z.string(),
    additional_redirect_urls: z.array(z.string()),
    jwt_expiry: z.number(),
    enable_refresh_token_rotation: z.boolean(),
    enable_signup: z.boolean(),
    minimum_password_length: z.number(),
    email: z.object({
      enable_signup: z.boolean(),
      enable_confirmations: z.boolean(),
      otp_length: z.number(),
      otp_expiry: z.number(),
    }),
    hook: z.object({ custom_access_token: hookSchema.optional(), password_verification_attempt: hookSchema.optional() }).optional(),
  }),
  functions: z.record(z.string(), z.object({ enabled: z.boolean().default(true), verify_jwt: z.boolean().default(true) }))
    .default({}),
});

/** The part of `supabase/config.toml` that the local stack follows, in the file's own names. */
export type SupabaseConfig = z.infer<typeof configSchema>;

/** Reads `supabase/config.toml`, so that a setting holds here, under `npx supabase start` and on a hosted project. */
export function readSupabaseConfig(file = join(supabaseDir, 'config.toml')): SupabaseConfig {
  const parsed = configSchema.safeParse(parse(readFileSync(file, 'utf8')));
  if (!parsed.success) throw new Error(`${file}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** A SQL function that Auth calls. */
export type HookFunction = { schema: string; name: string };

/**
 * The SQL function that the address of one of Auth's hooks names, or undefined when the hook is off.
 *
 * @returns its schema and name, for `pg-functions://postgres/<schema>/<name>`
 */
export function hookFunction(
  config: SupabaseConfig,
  name: 'custom_access_token' | 'password_verification_attempt',
): HookFunction | undefined {
  const hook = config.auth.hook?.[name];
  if (!hook?.enabled) return undefined;
  const [, schema, functionName] = /^pg-functions:\/\/[^/]+\/([^/]+)\/([^/]+)$/.exec(hook.uri) ?? [];
  if (!schema || !functionName) {
    throw new Error(
      `supabase/config.toml: the hook ${name}, ${
        JSON.stringify(hook.uri)
      }, is not of the form pg-functions://postgres/<schema>/<function>.`,
    );
  }
  return { schema, name: functionName };
}
