import type { Context } from 'hono';
import { jwtVerify } from 'jose';
import pg from 'pg';
import { z } from 'zod';
import { bearerOf } from '../gateway/caller.ts';

type Claims = Record<string, unknown>;

const listing = z.object({
  prefix: z.string().default(''),
  limit: z.number().int().positive().default(100),
  offset: z.number().int().nonnegative().default(0),
  search: z.string().default(''),
  sortBy: z
    .object({
      column: z.enum(['name', 'updated_at', 'created_at', 'last_accessed_at']).default('name'),
      order: z.enum(['asc', 'desc']).default('asc'),
    })
    .default({ column: 'name', order: 'asc' }),
});

/**
 * Answers with the objects and folders directly below a prefix that the caller may see, as Supabase Storage lists them;
 * @supabase/lite lists everything below it.
 *
 * @param pool connects as `supabase_storage_admin`
 */
export function folderListing(pool: pg.Pool, jwtSecret: string) {
  const secret = new TextEncoder().encode(jwtSecret);

  return async (c: Context, bucket: string): Promise<Response> => {
    const claims = await callerClaims(c);
    if (!claims) return c.json({ statusCode: '401', error: 'InvalidJWT', message: 'Invalid JWT' }, 400);
    const parsed = listing.safeParse(await c.req.json().catch(() => ({})));
    if (!parsed.success) {
      return c.json({ statusCode: '400', error: 'InvalidRequest', message: z.prettifyError(parsed.error) }, 400);
    }
    const { prefix, limit, offset, search, sortBy } = parsed.data;
    const folder = prefix.replace(/^\/+|\/+$/g, '');
    const above = folder === '' ? '' : `${folder}/`;
    const order = `${sortBy.column} ${sortBy.order}`;
    const entries = await asCaller(claims, (client) =>
      client.query(
        `with visible as (
           select *, substr(name, length($2) + 1) as rest from storage.objects
           where bucket_id = $1 and starts_with(name, $2) and name <> $2 and substr(name, length($2) + 1) ilike $3
         ), entries as (
           select rest as name, id, updated_at, created_at, last_accessed_at, metadata from visible where position('/' in rest) = 0
           union all
           select distinct split_part(rest, '/', 1), null::uuid, null::timestamptz, null::timestamptz, null::timestamptz, null::jsonb
           from visible where position('/' in rest) > 0
         )
         select * from entries order by id is not null, ${order} nulls first limit $4 offset $5`,
        [bucket, above, `${search.replace(/[\\%_]/g, '\\$&')}%`, limit, offset],
      ));
    return c.json(entries.rows);
  };

  async function callerClaims(c: Context): Promise<Claims | undefined> {
    const bearer = bearerOf(c);
    if (!bearer) return { role: 'anon' };
    return jwtVerify(bearer, secret, { algorithms: ['HS256'] }).then(({ payload }) => ({ ...payload }), () => undefined);
  }

  /** Runs a query with the caller's role and claims, so that policies apply. */
  async function asCaller<T>(claims: Claims, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect();
    try {
      await client.query('begin read only');
      await client.query(`set local role ${pg.escapeIdentifier(String(claims.role ?? 'anon'))}`);
      await client.query(
        `select set_config('request.jwt.claims', $1, true), set_config('storage.operation', 'storage.object.list', true)`,
        [JSON.stringify(claims)],
      );
      return await work(client);
    } finally {
      await client.query('rollback').catch(() => undefined);
      client.release();
    }
  }
}
