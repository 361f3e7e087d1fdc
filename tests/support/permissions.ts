import { idOf, organizationOf, places, type Actor, type Place } from './fixtures.ts';
import type { Row, Sql } from './database.ts';

/** What is true of the fixtures, and which role holds which permission: everything a rule may ask. */
export type World = {
  /**
   * `<level>/<key>` → permissions; custom roles as `<level>/<key> of <organization>`, what a role restricted to units is left with as
   * `<level>/<key> within limits`, and single permissions as `single <permission>`.
   */
  permissions: Map<string, Set<string>>;
  occupancies: { id: string; communityId: string; unitId: string; residentId: string; role: string; isOver: boolean }[];
  residents: { id: string; communityId: string; userId: string | null }[];
  memberships: { userId: string; organizationId: string | null; communityId: string | null }[];
  roles: { id: string; organizationId: string | null; communityId: string | null }[];
  /** Whose account is whose, and what was posted to them. */
  subaccounts: { id: string; communityId: string; fundId: string; residentId: string | null; isOwing: boolean }[];
  postings: { id: string; entryId: string; debit: string | null; credit: string | null }[];
  /** Permissions that take a second factor, which no actor has; null: on the whole site. */
  assured: { permission: string; organizationId: string | null }[];
};

/** Reads the data of permissions, and who lives where, as the superuser: no policy takes part. */
export async function readWorld(sql: Sql): Promise<World> {
  const held = await sql<{ role: string; permission: string }>(
    `select r.level || '/' || r.key || coalesce(' of ' || o.slug, '') as role, rp.permission_key as permission
     from public.role_permissions rp join public.roles r on r.id = rp.role_id left join public.organizations o on o.id = r.organization_id
     where rp.deleted_at is null
     union
     select r.level || '/' || r.key || ' within limits', p.key
     from public.memberships m
     join public.roles r on r.id = m.role_id
     join public.role_permissions rp on rp.role_id = r.id
     join public.permissions p on p.key = rp.permission_key and p.is_kept_when_restricted or p.key = rp.permission_key || '_own'
     where m.restriction is not null
     union
     select 'single ' || permission_key, permission_key from public.user_permissions`,
  );
  const permissions = new Map<string, Set<string>>();
  for (const { role, permission } of held) permissions.set(role, (permissions.get(role) ?? new Set()).add(permission));
  return {
    permissions,
    occupancies: await sql(
      `select id, community_id as "communityId", unit_id as "unitId", resident_id as "residentId", role, ends_on < current_date as "isOver"
       from public.occupancies where deleted_at is null`,
    ).then((rows) => rows.map((row) => ({ ...row, isOver: row.isOver === true }) as World['occupancies'][number])),
    residents: await sql(`select id, community_id as "communityId", user_id as "userId" from public.residents where deleted_at is null`),
    memberships: await sql(`select user_id as "userId", organization_id as "organizationId", community_id as "communityId" from public.memberships where deleted_at is null`),
    roles: await sql(`select id, organization_id as "organizationId", community_id as "communityId" from public.roles`),
    subaccounts: await sql(
      `select s.id, s.community_id as "communityId", s.fund_id as "fundId", s.resident_id as "residentId", s.balance <> 0 and a.purpose = 'receivable' as "isOwing"
       from public.subaccounts s join public.accounts a on a.id = s.account_id`,
    ),
    postings: await sql(`select id, journal_entry_id as "entryId", debit_subaccount_id as debit, credit_subaccount_id as credit from public.postings`),
    assured: await sql(`select permission_key as permission, organization_id as "organizationId" from public.assurance_requirements`),
  };
}

/** Whether an actor may do something with a row. */
export type Rule = (actor: Actor, row: Row, world: World) => boolean;

export const nobody: Rule = () => false;

/** Everybody who is signed in and whose account is in use. */
export const everybody: Rule = (actor) => actor.isActive;

export const any = (...rules: Rule[]): Rule => (actor, row, world) => rules.some((rule) => rule(actor, row, world));
export const all = (...rules: Rule[]): Rule => (actor, row, world) => rules.every((rule) => rule(actor, row, world));

/** Holders of the permission in the community the row belongs to: by a role there, in its organization, or on the site. */
export const inCommunity = (permission: string, column = 'community_id'): Rule => (actor, row, world) =>
  actor.isActive && !isWithheld(world, permission, organizationIdOf(row[column])) && actor.roles.some((held) => holds(world, held.role, permission) && reachesCommunity(held, row[column]));

/** Holders of the permission in the organization the row names: by a role there or on the site. */
export const inOrganization = (permission: string, column = 'organization_id'): Rule => (actor, row, world) =>
  actor.isActive &&
  typeof row[column] === 'string' &&
  !isWithheld(world, permission, row[column]) &&
  actor.roles.some((held) => holds(world, held.role, permission) && (isSite(held) || (held.organization !== undefined && idOf(held.organization) === row[column])));

/** Holders of the permission on the site. */
export const onSite = (permission: string): Rule => (actor, _row, world) =>
  actor.isActive && !world.assured.some((asked) => asked.permission === permission) && actor.roles.some((held) => isSite(held) && holds(world, held.role, permission));

/** Who occupies the unit today in a role that holds the permission. */
export const inOwnUnit = (permission: string, column = 'unit_id'): Rule => (actor, row, world) =>
  actor.isActive && actor.units.some(({ unit, role }) => idOf(unit) === row[column] && holds(world, `community/${role}`, permission));

/** The user whom the row names. */
export const themselves = (column = 'user_id'): Rule => (actor, row) => actor.isActive && row[column] === actor.userId;

/** Who is the resident the row names. */
export const asResident = (column = 'resident_id'): Rule => (actor, row) => actor.isActive && actor.residents.some((resident) => idOf(resident) === row[column]);

/** Who has any role in the community. */
export const involvedInCommunity = (column = 'community_id'): Rule => (actor, row, world) =>
  actor.isActive &&
  typeof row[column] === 'string' &&
  actor.roles.some((held) => (isSite(held) ? holds(world, held.role, 'communities.read') : reachesCommunity(held, row[column])));

/** Who has any role in the organization or in one of its communities. */
export const involvedInOrganization = (column = 'organization_id'): Rule => (actor, row, world) =>
  actor.isActive &&
  typeof row[column] === 'string' &&
  actor.roles.some((held) =>
    isSite(held) ? holds(world, held.role, 'organizations.read') : idOf(held.organization ?? organizationOf[held.community as Place]) === row[column],
  );

export function holds(world: World, role: string, permission: string): boolean {
  return world.permissions.get(role)?.has(permission) ?? false;
}

/** Every permission the actor holds in a community, those of occupied units apart. */
export function permissionsIn(world: World, actor: Actor, place: Place, unitPermissions: Set<string>): string[] {
  const permissions = actor.roles.filter((held) => reachesCommunity(held, idOf(place))).flatMap((held) => [...(world.permissions.get(held.role) ?? [])]);
  const isHeld = (permission: string) => !unitPermissions.has(permission) && !isWithheld(world, permission, idOf(organizationOf[place]));
  return actor.isActive ? [...new Set(permissions)].filter(isHeld).sort() : [];
}

/** Whether the organization asks for a second factor for the permission. */
function isWithheld(world: World, permission: string, organizationId: unknown): boolean {
  return world.assured.some((asked) => asked.permission === permission && (asked.organizationId === null || asked.organizationId === organizationId));
}

function organizationIdOf(communityId: unknown): string | undefined {
  const place = places.find((candidate) => idOf(candidate) === communityId);
  return place && idOf(organizationOf[place]);
}

const isSite = (held: Actor['roles'][number]): boolean => held.organization === undefined && held.community === undefined;

function reachesCommunity(held: Actor['roles'][number], communityId: unknown): boolean {
  const place = places.find((candidate) => idOf(candidate) === communityId);
  if (place === undefined) return false;
  if (held.community !== undefined) return held.community === place;
  return isSite(held) || held.organization === organizationOf[place];
}
