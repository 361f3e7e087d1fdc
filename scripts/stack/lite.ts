import { App, type EmailDriver, setExperimental } from '@supabase/lite';
import { createPostgresConnection } from '@supabase/lite/postgres';
import type { StackKeys } from './keys.ts';
import { sessionOrigins } from './auth/session-origins.ts';
import { createFileStore } from './storage/file-store.ts';
import type { SupabaseConfig } from './supabase-config.ts';

/** Auth or Storage of @supabase/lite: answers requests below its path. */
export type LiteService = { fetch(request: Request): Promise<Response>; close(): Promise<void> };

/** Sign-up, sign-in, refresh, verification and recovery. What is missing or differs is in `auth/`. */
export function liteAuth(
  options: { databaseUrl: string; keys: StackKeys; config: SupabaseConfig; email: EmailDriver },
): LiteService {
  const { auth } = options.config;
  const connection = connect(options.databaseUrl, 5);
  // It would open sessions without saying from where.
  Object.assign(connection, { kysely: connection.kysely.withPlugin(sessionOrigins.plugin) });
  const app = new App({
    connection,
    auth: {
      enabled: true,
      jwt_secret: options.keys.jwtSecret,
      jwt_expiry: auth.jwt_expiry,
      site_url: auth.site_url,
      additional_redirect_urls: auth.additional_redirect_urls,
      enable_signup: auth.enable_signup,
      enable_refresh_token_rotation: auth.enable_refresh_token_rotation,
      minimum_password_length: auth.minimum_password_length,
      email: {
        enable_signup: auth.email.enable_signup,
        enable_confirmations: auth.email.enable_confirmations,
        // It sends the second of the two mails to nobody, so one confirmation has to do here.
        double_confirm_changes: false,
        otp_length: auth.email.otp_length,
        otp_expiry: auth.email.otp_expiry,
      },
    },
    options: { drivers: { email: options.email } },
  });
  return { fetch: (request) => app.fetch(request), close: () => connection.close() };
}

/** Buckets and objects under row-level security. What differs is in `storage/`. */
export async function liteStorage(
  options: { databaseUrl: string; keys: StackKeys; config: SupabaseConfig; directory: string },
): Promise<LiteService> {
  // What it does in its own name it does in this role, as Supabase's does, and it alone deletes objects.
  const connection = connect(options.databaseUrl, 4, { role: 'service_role', 'storage.allow_delete_query': 'true' });
  const app = new App({
    connection,
    auth: { enabled: false, jwt_secret: options.keys.jwtSecret },
    storage: { enabled: true, file_size_limit: options.config.storage.file_size_limit },
  });
  const files = createFileStore(options.directory, async (bucket, key) => {
    const objects = connection.kysely.selectFrom('storage.objects').select('id');
    return (await objects.where('bucket_id', '=', bucket).where('name', '=', key).executeTakeFirst()) !== undefined;
  });
  app._storageAdapter = files;
  // In this order, or it warns in the terminal that Storage is experimental.
  await app.init();
  setExperimental('storage', true);
  return { fetch: (request) => files.settle(() => app.fetch(request)), close: () => connection.close() };
}

function connect(url: string, max: number, parameters: Record<string, string> = {}) {
  const connection = createPostgresConnection({
    url,
    postgresOptions: {
      max,
      idle_timeout: 60,
      onnotice: () => undefined,
      connection: parameters,
      types: { json: jsonType(114), jsonb: jsonType(3802), timestamptz: isoTimestamp },
    },
  });
  // Otherwise the first request would grant everything in every schema to the API roles. The property is private, but
  // there is no other way to say that row-level security is set up already.
  Object.assign(connection, { rlsState: 'active' });
  return connection;
}

/** It hands over JSON as text; serialized once more, as it asks its driver to, it would be stored as a string. */
function jsonType(oid: number) {
  return {
    to: oid,
    from: [oid],
    serialize: (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value)),
    parse: (text: string) => JSON.parse(text) as unknown,
  };
}

/** Times as Supabase's APIs write them, which every browser can read. */
const isoTimestamp = {
  to: 1184,
  from: [1184],
  serialize: (value: unknown) => (value instanceof Date ? value.toISOString() : String(value)),
  parse: (text: string) => new Date(text).toISOString(),
};
