import type { MiddlewareHandler } from 'hono';

const notFilters = new Set(['select', 'columns', 'order', 'limit', 'offset', 'on_conflict', 'apikey']);

/**
 * Refuses UPDATE and DELETE without a filter, which Supabase's database refuses by an extension (safeupdate) that is
 * missing here.
 */
export const needsWhere: MiddlewareHandler = async (c, next) => {
  const statement = { PATCH: 'UPDATE', DELETE: 'DELETE' }[c.req.method];
  const url = new URL(c.req.url);
  const isFunction = url.pathname.includes('/rpc/');
  if (statement && !isFunction && [...url.searchParams.keys()].every((name) => notFilters.has(name))) {
    return c.json({ code: '21000', details: null, hint: null, message: `${statement} requires a WHERE clause` }, 400);
  }
  return next();
};
