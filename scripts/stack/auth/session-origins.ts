import { AsyncLocalStorage } from 'node:async_hooks';
import { IdentifierNode, type InsertQueryNode, type KyselyPlugin, PrimitiveValueListNode } from 'kysely';

/** Where a request came from, as Supabase Auth writes it into the session it opens. */
export type RequestOrigin = { userAgent: string | null; address: string };

const request = new AsyncLocalStorage<RequestOrigin>();

/** Writes into each session that is opened from where, which @supabase/lite leaves empty. */
const plugin: KyselyPlugin = {
  transformQuery({ node }) {
    const origin = request.getStore();
    return origin && node.kind === 'InsertQueryNode' ? withOrigin(node as InsertQueryNode, origin) : node;
  },
  transformResult: ({ result }) => Promise.resolve(result),
};

export const sessionOrigins = {
  plugin,
  /** Runs `work` so that a session it opens is known to come from `origin`. */
  from: <T>(origin: RequestOrigin, work: () => T): T => request.run(origin, work),
};

function withOrigin(node: InsertQueryNode, origin: RequestOrigin): InsertQueryNode {
  const { into, columns, values } = node;
  if (into?.table.identifier.name !== 'sessions' || values?.kind !== 'ValuesNode') return node;
  const told: Record<string, unknown> = { user_agent: origin.userAgent, ip: origin.address };
  const names = (columns ?? []).map(({ column }) => (IdentifierNode.is(column) ? column.name : ''));
  const rows = (values as unknown as { values: PrimitiveValueListNode[] }).values.map((row) =>
    PrimitiveValueListNode.create(row.values.map((value, index) => told[names[index] ?? ''] ?? value)),
  );
  return { ...node, values: { ...values, values: rows } as typeof values };
}
