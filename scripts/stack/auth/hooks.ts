import pg from 'pg';
import type { HookFunction } from '../supabase-config.ts';

/** Calls SQL functions that config.toml names as hooks of Auth. */
export type Hooks = {
  /**
   * Runs a hook in a transaction of its own, within the 2 seconds that Supabase gives it.
   *
   * @returns its answer, or undefined while the function does not exist
   */
  call(hook: HookFunction, event: object): Promise<unknown>;
};

/** @param pool connects as `supabase_auth_admin`, the role under which hooks run on Supabase */
export function createHooks(pool: pg.Pool): Hooks {
  return {
    async call({ schema, name }, event) {
      const client = await pool.connect();
      try {
        const exists = await client.query<{ found: string | null }>('select to_regprocedure($1) as found', [`${schema}.${name}(jsonb)`]);
        if (!exists.rows[0]?.found) return undefined;
        await client.query(`begin; set local statement_timeout = '2s'`);
        const { rows } = await client.query<{ answer: unknown }>(
          `select ${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}($1) as answer`,
          [event],
        );
        await client.query('commit');
        return rows[0]?.answer;
      } catch (error) {
        await client.query('rollback').catch(() => undefined);
        throw error;
      } finally {
        client.release();
      }
    },
  };
}
