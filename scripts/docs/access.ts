import type { Func, Grant, Policy, Relation } from './catalog.ts';
import { code, link, table } from './markdown.ts';

const verbs = ['select', 'insert', 'update', 'delete'] as const;
type Verb = (typeof verbs)[number];

/** Helpers of policies that take a permission, and where each looks for it. */
const places: Record<string, string> = {
  communities_with: 'in the community',
  communities_where: 'in the community',
  organizations_with: 'in the organization',
  can_on_site: 'on the site',
  units_with: 'in units of their own',
  users_of: 'where the user belongs',
};

/** Helpers that decide nothing by themselves: the gates, and the wish to see archived rows. */
const silent = new Set(['my_communities', 'my_organizations', 'shows_archived']);

/**
 * Who may do what with a table or view: what grants allow, and what the policies ask for besides. The permissions are read
 * out of the policies as PostgreSQL stores them; the policies stand beside, because only they say the whole of it.
 */
export function accessTable(relation: Relation): string[] {
  const grantees = [...new Set(relation.grants.map(({ grantee }) => grantee))].filter((name) => !['postgres', 'supabase_admin'].includes(name));
  // What is alike for several verbs stands in one row.
  const rows = new Map<string, { grantee: string; verbs: Verb[]; columns: string; condition: string }>();
  for (const grantee of grantees) {
    for (const verb of verbs) {
      const grants = relation.grants.filter((grant) => grant.grantee === grantee && grant.privilege === verb);
      if (grants.length === 0) continue;
      const policy = relation.policies.find((one) => one.command === verb && one.roles.includes(grantee));
      const row = { grantee, verbs: [] as Verb[], columns: grantedColumns(grants), condition: condition(relation, grantee, policy, verb) };
      const key = [grantee, row.columns, row.condition].join(' ');
      rows.set(key, rows.get(key) ?? row);
      rows.get(key)!.verbs.push(verb);
    }
  }
  if (rows.size === 0) return ['Granted to no role of the API.', ''];
  return table(['who', 'may', 'columns', 'if'], [...rows.values()].map((row) => [code(row.grantee), row.verbs.join(', '), row.columns, row.condition]));
}

function grantedColumns(grants: Grant[]): string {
  if (grants.some(({ columns }) => columns === null)) return 'all';
  return grants.flatMap(({ columns }) => columns ?? []).map(code).join(', ');
}

function condition(relation: Relation, grantee: string, policy: Policy | undefined, verb: Verb): string {
  if (isLogin(grantee) && relation.kind === 'table') return policy === undefined ? 'never: no policy' : `[rows of its organization](../database-roles.md)${/_organizations\(true\)|_communities\(true\)/.test(policy.using ?? '') ? ', made with details' : ''}`;
  if (grantee === 'service_role') return 'always: passes row-level security';
  if (relation.kind === 'view') return relation.schema === 'app' ? 'always: it tells of the reader alone' : 'its tables show the rows to the reader';
  if (policy === undefined) return 'never: no policy';
  const asked = [policy.using, policy.check].filter((part) => part !== null).join(' AND ');
  if (asked === 'false') return 'never';
  if (/^\(*true\)*$/.test(asked)) return 'always';

  const archived = new Set([...asked.matchAll(/shows_archived\) AND [^']*?'([a-z_.]+)'/g)].map(([, key]) => key!));
  const permissions = [...asked.matchAll(/app\.([a-z_]+)\('([a-z_.]+)'::text/g)].map(([, helper, key]) => ({ helper: helper!, key: key! }));
  const sentences = permissions
    .filter(({ key }) => !archived.has(key))
    .map(({ helper, key }) => `${permission(key)} ${places[helper] ?? `by ${code(`app.${helper}`)}`}`);
  for (const [, helper] of asked.matchAll(/app\.([a-z_]+)\(\)/g)) {
    if (helper === 'user_id') sentences.push(`it names the caller`);
    else if (!silent.has(helper!)) sentences.push(code(`app.${helper}()`));
  }
  if (verb === 'select') for (const key of archived) sentences.push(`archived rows, when asked for, with ${permission(key)}`);
  return sentences.length === 0 ? 'the policy below' : [...new Set(sentences)].join('; ');
}

const permission = (key: string): string => link(`permission ${key}`, code(key));

/** Database logins have the same policies everywhere: the table says enough. */
const isLogin = (role: string): boolean => role.startsWith('vicinia_');

/** The policies of the API, as SQL. */
export function policySource({ schema, name, policies }: Relation): string[] {
  return policies.filter(({ roles }) => !roles.every(isLogin)).flatMap((policy) => [
    `create policy ${policy.name} on ${schema}.${name} for ${policy.command} to ${policy.roles.join(', ')}`,
    ...[
      ['using', policy.using],
      ['with check', policy.check],
    ].flatMap(([word, expression]) => (expression ? [`  ${word} ${readable(expression)}`] : [])),
    '',
  ]);
}

/** An expression as its author wrote it: without what PostgreSQL adds to literals and sub-selects. */
function readable(expression: string): string {
  const plain = expression
    .replace(/\n\s+/g, ' ')
    .replace(/ AS [a-z_]+\)/g, ')')
    .replace(/\( SELECT /g, '(select ')
    .replace(/'::text/g, "'")
    .replace(/\b(AND|OR|NOT|IS|NULL|IN|ANY|SELECT|FROM|WHERE|EXISTS)\b/g, (word) => word.toLowerCase());
  return plain.startsWith('(') ? plain : `(${plain})`;
}

/** Whom a function lets itself be called by. */
export const callers = ({ grantees }: Func): string => (grantees.length === 0 ? 'its owner alone' : grantees.map(code).join(', '));
