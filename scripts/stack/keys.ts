import { createHmac, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import type { Home } from './paths.ts';

const passwordsSchema = z.object({
  /** Role `postgres`: migrations, Studio, psql. */
  postgres: z.string(),
  /** Role `supabase_admin`, the superuser. */
  supabase_admin: z.string(),
  /** Roles of the services: `authenticator`, `supabase_auth_admin`, `supabase_storage_admin`. */
  services: z.string(),
});

const keysSchema = z.object({
  publishable: z.string().startsWith('sb_publishable_'),
  secret: z.string().startsWith('sb_secret_'),
  anonJwt: z.string(),
  serviceRoleJwt: z.string(),
  jwtSecret: z.string().min(32),
  passwords: passwordsSchema,
});

/** Everything secret about one installation, in the shapes Supabase hands them out. */
export type StackKeys = z.infer<typeof keysSchema>;

/** Passwords of the database roles that may log in. */
export type DatabasePasswords = StackKeys['passwords'];

const tenYears = 10 * 365 * 24 * 3600;

/**
 * The keys of an installation, generated on first use and kept in `keys.json`, which only its owner may read.
 *
 * @throws in one sentence when they are damaged, or lost while the database that knows them is there
 */
export function loadOrCreateKeys(home: Home): StackKeys {
  const file = home.keys;
  const remedy = 'restore it, or start from empty with `npm run reset`.';
  if (existsSync(file)) {
    const keys = parseKeys(readFileSync(file, 'utf8'));
    if (!keys) throw new Error(`${file} is damaged: ${remedy}`);
    return keys;
  }
  if (home.exists()) throw new Error(`${file}, with the passwords of the database in ${home.postgres}, is missing: ${remedy}`);
  mkdirSync(home.root, { recursive: true });
  const keys = createKeys(() => randomBytes(24).toString('base64url'));
  // Whole or not at all: a full disk leaves no half of it.
  const draft = `${file}.new`;
  writeFileSync(draft, `${JSON.stringify(keys, null, 2)}\n`, { mode: 0o600 });
  renameSync(draft, file);
  return keys;
}

function parseKeys(text: string): StackKeys | undefined {
  try {
    return keysSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Fixed keys for tests: the same on every machine, and worth nothing on any. */
export function testKeys(): StackKeys {
  return createKeys((label) => createHmac('sha256', 'vicinia tests').update(label).digest('base64url').slice(0, 32));
}

function createKeys(random: (label: string) => string): StackKeys {
  const jwtSecret = `${random('jwt')}${random('jwt, second half')}`;
  return {
    publishable: `sb_publishable_${random('publishable')}`,
    secret: `sb_secret_${random('secret')}`,
    anonJwt: legacyKey('anon', jwtSecret),
    serviceRoleJwt: legacyKey('service_role', jwtSecret),
    jwtSecret,
    passwords: { postgres: random('postgres'), supabase_admin: random('supabase_admin'), services: random('services') },
  };
}

/** An API key of the older kind: a JWT that names a role and lasts ten years. */
function legacyKey(role: 'anon' | 'service_role', secret: string): string {
  const issuedAt = Date.UTC(2026, 0, 1) / 1000;
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${encode({ alg: 'HS256', typ: 'JWT' })}.${
    encode({ iss: 'supabase', role, iat: issuedAt, exp: issuedAt + tenYears })
  }`;
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
}
