import { createHash, randomInt, randomUUID } from 'node:crypto';
import bcrypt from 'bcryptjs';
import pg from 'pg';
import { AuthError } from './errors.ts';

type Json = Record<string, unknown>;

/** A row of `auth.users`, as far as we read it. */
export type UserRow = {
  id: string;
  aud: string | null;
  role: string | null;
  email: string | null;
  phone: string | null;
  encrypted_password: string | null;
  email_confirmed_at: Date | null;
  phone_confirmed_at: Date | null;
  confirmed_at: Date | null;
  invited_at: Date | null;
  confirmation_sent_at: Date | null;
  recovery_sent_at: Date | null;
  email_change: string | null;
  email_change_sent_at: Date | null;
  last_sign_in_at: Date | null;
  raw_app_meta_data: Json | null;
  raw_user_meta_data: Json | null;
  banned_until: Date | null;
  deleted_at: Date | null;
  is_anonymous: boolean;
  created_at: Date;
  updated_at: Date;
};

type IdentityRow = {
  id: string;
  provider_id: string;
  user_id: string;
  identity_data: Json;
  provider: string;
  last_sign_in_at: Date | null;
  created_at: Date;
  updated_at: Date;
  email: string | null;
};

/** What an administrator may set on a user; absent fields stay as they are. */
export type UserChanges = {
  email?: string | undefined;
  phone?: string | undefined;
  password?: string | undefined;
  passwordHash?: string | undefined;
  emailConfirmed?: boolean | undefined;
  phoneConfirmed?: boolean | undefined;
  role?: string | undefined;
  /** Merged key by key; null removes a key. */
  appMetadata?: Json | undefined;
  /** Merged key by key; null removes a key. */
  userMetadata?: Json | undefined;
  /** Milliseconds from now; null lifts the ban. */
  banFor?: number | null | undefined;
};

/** The purposes for which a user is sent a code and a link, with the columns that keep them. */
const tokenColumns = {
  confirmation: { token: 'confirmation_token', sentAt: 'confirmation_sent_at' },
  recovery: { token: 'recovery_token', sentAt: 'recovery_sent_at' },
  email_change: { token: 'email_change_token_new', sentAt: 'email_change_sent_at' },
} as const;

export type TokenPurpose = keyof typeof tokenColumns;

/** A code that was issued, and the hash under which it is kept and linked. */
export type IssuedToken = { code: string; hash: string };

/** The users of one database. */
export type Users = ReturnType<typeof createUsers>;

/**
 * Reads and writes `auth.users` and `auth.identities` as Supabase Auth does.
 *
 * @param pool connects as `supabase_auth_admin`
 * @param options.passwordCost rounds of bcrypt as a power of two
 */
export function createUsers(pool: pg.Pool, options: { passwordCost: number; codeLength: number }) {
  const one = async (sql: string, parameters: unknown[], client: pg.Pool | pg.PoolClient = pool) =>
    (await client.query<UserRow>(sql, parameters)).rows[0];
  const hashPassword = (password: string) => bcrypt.hash(checkedPassword(password), options.passwordCost);

  const findById = (
    id: string,
  ) => (isUuid(id) ? one('select * from auth.users where id = $1 and deleted_at is null', [id]) : undefined);
  const findByEmail = (email: string) =>
    one('select * from auth.users where email = lower($1) and not is_sso_user and deleted_at is null', [email]);

  return {
    findById,
    findByEmail,

    /** A page of users, oldest first, and how many there are in all. */
    async list(page: number, perPage: number): Promise<{ users: UserRow[]; total: number }> {
      const { rows } = await pool.query<UserRow>(
        'select * from auth.users where deleted_at is null order by created_at, id limit $1 offset $2',
        [perPage, (page - 1) * perPage],
      );
      const counted = await pool.query<{ total: string }>('select count(*) as total from auth.users where deleted_at is null');
      return { users: rows, total: Number(counted.rows[0]?.total ?? 0) };
    },

    /** @throws AuthError when the address is taken */
    async create(changes: UserChanges & { id?: string | undefined; invited?: boolean }): Promise<UserRow> {
      const id = changes.id ?? randomUUID();
      const email = changes.email?.toLowerCase() ?? null;
      const passwordHash = changes.password !== undefined ? await hashPassword(changes.password) : (changes.passwordHash ?? null);
      const provider = email === null ? 'phone' : 'email';
      const appMetadata = merge({ provider, providers: [provider] }, changes.appMetadata);
      return inTransaction(pool, async (client) => {
        const user = await one(
          `insert into auth.users (id, aud, role, email, phone, encrypted_password, email_confirmed_at, phone_confirmed_at,
             invited_at, raw_app_meta_data, raw_user_meta_data, banned_until)
           values ($1, 'authenticated', $2, $3, $4, $5, case when $6 then now() end, case when $7 then now() end,
             case when $8 then now() end, $9, $10, $11)
           returning *`,
          [
            ...[id, changes.role ?? 'authenticated', email, changes.phone ?? null, passwordHash],
            ...[changes.emailConfirmed ?? false, changes.phoneConfirmed ?? false, changes.invited ?? false],
            ...[appMetadata, merge({}, changes.userMetadata), banUntil(changes.banFor) ?? null],
          ],
          client,
        );
        const identity = {
          sub: id,
          email_verified: changes.emailConfirmed ?? false,
          phone_verified: false,
          ...(email !== null && { email }),
        };
        await client.query(
          `insert into auth.identities (id, provider_id, user_id, identity_data, provider, last_sign_in_at)
           values (gen_random_uuid(), $1::text, $1::uuid, $2, $3, now())`,
          [id, identity, provider],
        );
        return user as UserRow;
      });
    },

    /** @throws AuthError when there is no such user, or the address is taken */
    async update(id: string, changes: UserChanges): Promise<UserRow> {
      const passwordHash = changes.password !== undefined ? await hashPassword(changes.password) : changes.passwordHash;
      return inTransaction(pool, async (client) => {
        const before = isUuid(id)
          ? await one('select * from auth.users where id = $1 and deleted_at is null for update', [id], client)
          : undefined;
        if (!before) throw userNotFound();
        const email = changes.email?.toLowerCase();
        const after = await one(
          `update auth.users set
             email = coalesce($2, email), phone = coalesce($3, phone), encrypted_password = coalesce($4, encrypted_password),
             email_confirmed_at = case when $5 then coalesce(email_confirmed_at, now()) else email_confirmed_at end,
             phone_confirmed_at = case when $6 then coalesce(phone_confirmed_at, now()) else phone_confirmed_at end,
             role = coalesce($7, role), raw_app_meta_data = $8, raw_user_meta_data = $9, banned_until = $10, updated_at = now()
           where id = $1 returning *`,
          [
            ...[id, email ?? null, changes.phone ?? null, passwordHash ?? null],
            ...[changes.emailConfirmed ?? false, changes.phoneConfirmed ?? false, changes.role ?? null],
            ...[merge(before.raw_app_meta_data, changes.appMetadata), merge(before.raw_user_meta_data, changes.userMetadata)],
            changes.banFor === undefined ? before.banned_until : banUntil(changes.banFor),
          ],
          client,
        );
        if (email !== undefined && email !== before.email) {
          await client.query(
            `update auth.identities set identity_data = identity_data || jsonb_build_object('email', $2::text), updated_at = now()
             where user_id = $1 and provider = 'email'`,
            [id, email],
          );
        }
        return after as UserRow;
      });
    },

    /**
     * Deletes a user, or with `soft` keeps the row but nothing that tells who it was.
     *
     * @throws AuthError when there is no such user
     */
    async remove(id: string, soft: boolean): Promise<void> {
      const statement = soft
        ? `update auth.users set deleted_at = now(), updated_at = now(), email = encode(sha256(convert_to(email, 'UTF8')), 'hex'),
             phone = null, encrypted_password = null, raw_app_meta_data = '{}', raw_user_meta_data = '{}',
             confirmation_token = null, recovery_token = null
           where id = $1 and deleted_at is null`
        : 'delete from auth.users where id = $1';
      await inTransaction(pool, async (client) => {
        const { rowCount } = isUuid(id) ? await client.query(statement, [id]) : { rowCount: 0 };
        if (!rowCount) throw userNotFound();
        await client.query('delete from auth.sessions where user_id = $1', [id]);
        await client.query('delete from auth.refresh_tokens where user_id = $1', [id]);
        if (soft) await client.query(`delete from auth.identities where user_id = $1`, [id]);
      });
    },

    /** Issues a code to a user and keeps its hash in the form in which @supabase/lite looks it up. */
    async issueToken(user: UserRow, purpose: TokenPurpose, newEmail?: string): Promise<IssuedToken> {
      const code = String(randomInt(10 ** options.codeLength)).padStart(options.codeLength, '0');
      const address = newEmail ?? user.email ?? '';
      const hash = tokenHash(address, code);
      const { token, sentAt } = tokenColumns[purpose];
      await pool.query(
        `update auth.users set ${token} = $2, ${sentAt} = now(), email_change = coalesce($3, email_change), updated_at = now() where id = $1`,
        [user.id, hash, newEmail?.toLowerCase() ?? null],
      );
      return { code, hash };
    },

    /** The column in which a token waits: what a link of type `email` was sent for. */
    async purposeOf(hash: string): Promise<TokenPurpose | undefined> {
      for (const purpose of Object.keys(tokenColumns) as TokenPurpose[]) {
        const { rowCount } = await pool.query(`select from auth.users where ${tokenColumns[purpose].token} = $1`, [hash]);
        if (rowCount) return purpose;
      }
      return undefined;
    },

    /** A user as the API shows it. */
    async present(user: UserRow): Promise<Json> {
      const { rows } = await pool.query<IdentityRow>('select * from auth.identities where user_id = $1 order by created_at', [
        user.id,
      ]);
      return presentUser(user, rows);
    },
  };
}

export function userNotFound(): AuthError {
  return new AuthError(404, 'user_not_found', 'User not found');
}

/** The hash under which the code sent to an address is kept. */
export function tokenHash(email: string, code: string): string {
  return createHash('sha256').update(`${email.toLowerCase()}${code}`).digest('hex');
}

function presentUser(user: UserRow, identities: IdentityRow[]): Json {
  return {
    id: user.id,
    aud: user.aud ?? 'authenticated',
    role: user.role ?? 'authenticated',
    email: user.email ?? '',
    phone: user.phone ?? '',
    ...present({
      email_confirmed_at: user.email_confirmed_at,
      phone_confirmed_at: user.phone_confirmed_at,
      confirmed_at: user.confirmed_at,
      invited_at: user.invited_at,
      confirmation_sent_at: user.confirmation_sent_at,
      recovery_sent_at: user.recovery_sent_at,
      new_email: user.email_change,
      email_change_sent_at: user.email_change_sent_at,
      last_sign_in_at: user.last_sign_in_at,
      banned_until: user.banned_until,
      deleted_at: user.deleted_at,
    }),
    app_metadata: user.raw_app_meta_data ?? {},
    user_metadata: user.raw_user_meta_data ?? {},
    identities: identities.map(({ id, provider_id, ...identity }) => ({ identity_id: id, id: provider_id, ...identity })),
    created_at: user.created_at,
    updated_at: user.updated_at,
    is_anonymous: user.is_anonymous,
  };
}

function present(fields: Json): Json {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null && value !== ''));
}

function merge(base: Json | null, changes: Json | undefined): Json {
  return Object.fromEntries(Object.entries({ ...base, ...changes }).filter(([, value]) => value !== null));
}

function banUntil(banFor: number | null | undefined): Date | null | undefined {
  return typeof banFor === 'number' ? new Date(Date.now() + banFor) : banFor;
}

function checkedPassword(password: string): string {
  if (Buffer.byteLength(password) > 72) {
    throw new AuthError(422, 'validation_failed', 'Password cannot be longer than 72 characters');
  }
  return password;
}

function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
}

async function inTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    if (error instanceof pg.DatabaseError) throw databaseError(error);
    throw error;
  } finally {
    client.release();
  }
}

function databaseError(error: pg.DatabaseError): AuthError {
  if (error.code === '23505' && error.table === 'users') {
    return error.constraint?.includes('phone')
      ? new AuthError(422, 'phone_exists', 'A user with this phone number has already been registered')
      : new AuthError(422, 'email_exists', 'A user with this email address has already been registered');
  }
  return new AuthError(500, 'unexpected_failure', `Database error saving user: ${error.message}`);
}
