import { idOf, organizationOf, type Actor, type Place } from './fixtures.ts';
import {
  all,
  any,
  asResident,
  everybody,
  holds,
  inCommunity,
  inOrganization,
  inOwnUnit,
  involvedInCommunity,
  involvedInOrganization,
  nobody,
  onSite,
  themselves,
  type Rule,
  type World,
} from './permissions.ts';
import type { Row } from './database.ts';

/**
 * Who may do what with a table or view of the API: which permission opens which verb. Written from what the product
 * promises, never from the policies. What is not named nobody may do.
 */
export type RelationRules = {
  /** What its rows belong to. Rows of communities must exist in each of them, rows of organizations in each of those. */
  belongsTo: 'communities' | 'organizations' | 'users' | 'system';
  select: Rule;
  insert?: Rule;
  update?: Rule;
  delete?: Rule;
  /** Columns that tell rows apart; `id` by default. */
  key?: string[];
  /** Columns that only some of those who see the row may see filled. */
  columns?: { names: string[]; rule: Rule }[];
  /** Rows that only some readers get, besides those that the owner of the database sees. */
  alsoPossible?: (rows: Row[]) => Row[];
  /** The row that attacks aim at in a community. */
  target: (place: Place) => Record<string, string>;
  /** What an update tries to write. */
  change: Row;
  /** What an insert tries to store. */
  row: (place: Place) => Row;
};

// Who sees whom: everybody in a unit one owns, everybody but the owners in a unit one rents or lives in as family; the own
// past, and nobody else's.
const isPresent: Rule = (_actor, row, world) => world.occupancies.some(({ id, isOver }) => id === row.id && !isOver);
const seesOccupancy: Rule = all(
  involvedInCommunity(),
  any(
    inCommunity('residents.read'),
    asResident(),
    all(isPresent, inOwnUnit('residents.read_own')),
    all(isPresent, (_actor, row) => row.role !== 'owner', inOwnUnit('residents.read_household')),
  ),
);
const seesResident: Rule = all(
  involvedInCommunity(),
  any(inCommunity('residents.read'), asResident('id'), (actor, row, world) =>
    world.occupancies.some((occupancy) => occupancy.residentId === row.id && seesOccupancy(actor, occupancyRow(occupancy), world)),
  ),
);
const seesUnit: Rule = any(inCommunity('units.read'), inOwnUnit('units.read_own', 'id'));
const seesDetails: Rule = all(involvedInCommunity(), any(inCommunity('residents.read_details'), asResident()));
const seesRole: Rule = any(
  all(everybody, (_actor, row) => row.organization_id === null && row.community_id === null),
  involvedInOrganization(),
  involvedInCommunity(),
);
const seesAudit: Rule = any(inCommunity('audit.read'), inOrganization('audit.read'), onSite('audit.read'));

const occupancyRow = ({ id, communityId, unitId, residentId, role }: World['occupancies'][number]): Row => ({
  id,
  community_id: communityId,
  unit_id: unitId,
  resident_id: residentId,
  role,
});

const inPlace = (name: string) => (place: Place) => ({ id: idOf(`${place} ${name}`) });
const system = (row: Record<string, string>) => () => row;

export const matrix: Record<string, RelationRules> = {
  profiles: {
    belongsTo: 'users',
    // Managers of roles see those who hold roles or live in their communities.
    select: any(themselves('id'), onSite('users.read'), (actor, row, world) =>
      world.memberships.some((held) => held.userId === row.id && any(inCommunity('memberships.read'), inOrganization('memberships.read'))(actor, scope(held), world)) ||
      world.residents.some((resident) => resident.userId === row.id && inCommunity('memberships.read')(actor, scope(resident), world)),
    ),
    update: themselves('id'),
    target: (place) => ({ id: idOf(`${place} target user`) }),
    change: { locale: 'en' },
    row: () => ({ id: idOf('new'), display_name: 'New' }),
  },
  organizations: {
    belongsTo: 'organizations',
    select: involvedInOrganization('id'),
    update: inOrganization('organizations.update', 'id'),
    target: (place) => ({ id: idOf(organizationOf[place]) }),
    change: { legal_name: 'Changed' },
    row: () => ({ id: idOf('new'), name: 'New', slug: 'new', country_code: 'BG' }),
  },
  communities: {
    belongsTo: 'communities',
    select: inCommunity('communities.read', 'id'),
    update: inCommunity('communities.update', 'id'),
    target: (place) => ({ id: idOf(place) }),
    change: { city: 'Changed' },
    row: (place) => ({ id: idOf('new'), organization_id: idOf(organizationOf[place]), name: 'New', slug: 'new', country_code: 'BG', currency_code: 'EUR', time_zone: 'UTC' }),
  },
  permissions: {
    belongsTo: 'system',
    select: everybody,
    target: system({ key: 'units.read' }),
    change: { description: 'Changed' },
    row: () => ({ id: idOf('new'), key: 'new.permission', level: 'community', description: 'New' }),
  },
  roles: {
    belongsTo: 'communities',
    select: seesRole,
    target: inPlace('gardener'),
    change: { name: 'Changed' },
    row: (place) => ({ id: idOf('new'), level: 'community', key: 'new', name: 'New', community_id: idOf(place) }),
  },
  role_permissions: {
    belongsTo: 'system',
    select: (actor, row, world) => {
      const role = world.roles.find(({ id }) => id === row.role_id);
      return role !== undefined && seesRole(actor, scope(role), world);
    },
    target: inPlace('gardener permission'),
    change: { permission_key: 'units.manage' },
    row: (place) => ({ id: idOf('new'), role_id: idOf(`${place} gardener`), permission_key: 'units.manage' }),
  },
  memberships: {
    belongsTo: 'communities',
    select: any(themselves(), inCommunity('memberships.read'), inOrganization('memberships.read'), onSite('memberships.read')),
    target: inPlace('membership'),
    change: { ends_at: '2099-01-01' },
    row: (place) => ({ id: idOf('new'), user_id: idOf('user without a role'), role_id: idOf(`${place} gardener`), community_id: idOf(place) }),
  },
  buildings: {
    belongsTo: 'communities',
    select: inCommunity('communities.read'),
    insert: inCommunity('units.manage'),
    update: inCommunity('units.manage'),
    target: inPlace('building'),
    change: { address: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), name: 'New' }),
  },
  entrances: {
    belongsTo: 'communities',
    select: inCommunity('communities.read'),
    insert: inCommunity('units.manage'),
    update: inCommunity('units.manage'),
    target: inPlace('entrance'),
    change: { has_elevator: true },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), building_id: idOf(`${place} building`), name: 'New' }),
  },
  units: {
    belongsTo: 'communities',
    select: seesUnit,
    insert: inCommunity('units.manage'),
    update: inCommunity('units.manage'),
    target: inPlace('unit 1'),
    change: { layout: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), number: 'new' }),
  },
  residents: {
    belongsTo: 'communities',
    select: seesResident,
    insert: inCommunity('residents.manage'),
    update: inCommunity('residents.manage'),
    target: inPlace('tenant'),
    change: { full_name: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), full_name: 'New' }),
  },
  resident_details: {
    belongsTo: 'communities',
    select: seesDetails,
    insert: inCommunity('residents.manage'),
    update: all(inCommunity('residents.manage'), inCommunity('residents.read_details')),
    target: inPlace('tenant details'),
    change: { note: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), resident_id: idOf(`${place} resident without details`) }),
  },
  occupancies: {
    belongsTo: 'communities',
    select: seesOccupancy,
    insert: inCommunity('residents.manage'),
    update: inCommunity('residents.manage'),
    target: inPlace('tenant occupancy'),
    change: { is_living_in: false },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), unit_id: idOf(`${place} unit 2`), resident_id: idOf(`${place} tenant`), role: 'guest' }),
  },

  audit_log: {
    belongsTo: 'communities',
    select: seesAudit,
    target: (place) => ({ row_id: idOf(place) }),
    change: { note: 'Changed' },
    row: () => ({ table_name: 'units', operation: 'insert', changes: {} }),
  },
  ideal_parts_report: {
    belongsTo: 'communities',
    key: ['community_id'],
    select: all(inCommunity('communities.read'), inCommunity('units.read')),
    target: (place) => ({ community_id: idOf(place) }),
    change: { declared: 1 },
    row: (place) => ({ community_id: idOf(place) }),
  },
  units_overview: {
    belongsTo: 'communities',
    key: ['unit_id'],
    select: all(inCommunity('communities.read'), (actor, row, world) => seesUnit(actor, { ...row, id: row.unit_id }, world)),
    target: (place) => ({ unit_id: idOf(`${place} unit 1`) }),
    change: { number: 'Changed' },
    row: (place) => ({ community_id: idOf(place), number: 'new' }),
  },
  residents_overview: {
    belongsTo: 'communities',
    key: ['resident_id', 'occupancy_id'],
    select: all(
      inCommunity('communities.read'),
      (actor, row, world) => seesResident(actor, { ...row, id: row.resident_id }, world),
      (actor, row, world) => {
        // One row per occupancy the reader may see, or one without an occupancy where there is none to see.
        const ofResident = world.occupancies.filter((occupancy) => occupancy.residentId === row.resident_id);
        const seen = ofResident.filter((occupancy) => seesOccupancy(actor, occupancyRow(occupancy), world));
        return row.occupancy_id === null ? seen.length === 0 : seen.some((occupancy) => occupancy.id === row.occupancy_id);
      },
    ),
    alsoPossible: (rows) => rows.filter((row) => row.occupancy_id !== null).map((row) => ({ ...row, occupancy_id: null, unit_id: null })),
    columns: [
      { names: ['email', 'phone'], rule: seesDetails },
      { names: ['unit_id', 'unit'], rule: (actor, row, world) => seesUnit(actor, { ...row, id: row.unit_id }, world) },
    ],
    target: (place) => ({ resident_id: idOf(`${place} tenant`) }),
    change: { full_name: 'Changed' },
    row: (place) => ({ community_id: idOf(place), full_name: 'New' }),
  },

  roster_fields: {
    belongsTo: 'system',
    select: everybody,
    target: system({ key: 'unit_number' }),
    change: { description: 'Changed' },
    row: () => ({ id: idOf('new'), key: 'new', position: 99, entity: 'unit', kind: 'text', description: 'New' }),
  },
  roster_header_synonyms: {
    belongsTo: 'system',
    select: everybody,
    target: system({ language: 'en', header: 'Building' }),
    change: { header: 'Changed' },
    row: () => ({ id: idOf('new'), header: 'New', field: 'unit_number', language: 'en' }),
  },
  roster_value_synonyms: {
    belongsTo: 'system',
    select: everybody,
    target: system({ language: 'en', term: 'apartment', vocabulary: 'unit_type' }),
    change: { term: 'Changed' },
    row: () => ({ id: idOf('new'), term: 'New', vocabulary: 'role', value: 'owner', language: 'en' }),
  },
};

function scope(row: { organizationId?: string | null; communityId: string | null }): Row {
  return { organization_id: row.organizationId ?? null, community_id: row.communityId };
}

/** Who may call a function of the API, and with what the attacks call it. */
export type FunctionRules = {
  call: Rule;
  /** Arguments aimed at a community. */
  args: (place: Place) => Row;
};

// A role is given and taken by who may manage memberships there and holds everything the role holds.
const mayHandOut = (role: string): Rule => (actor: Actor, row: Row, world: World) =>
  inCommunity('memberships.manage')(actor, row, world) &&
  [...(world.permissions.get(role) ?? [])].every((permission) => inCommunity(permission)(actor, row, world) || !holds(world, role, permission));

export const functions: Record<string, FunctionRules> = {
  set_account_status: {
    call: onSite('users.manage'),
    args: (place) => ({ user_id: idOf(`${place} target user`), status: 'banned', reason: 'Attack' }),
  },
  create_organization: { call: onSite('organizations.create'), args: () => ({ name: 'New', slug: 'new', country_code: 'BG' }) },
  create_community: {
    call: inOrganization('communities.create'),
    args: (place) => ({ organization_id: idOf(organizationOf[place]), name: 'New', slug: 'new', country_code: 'BG', currency_code: 'EUR', time_zone: 'UTC' }),
  },
  grant_role: {
    call: mayHandOut('community/guard'),
    args: (place) => ({ user_id: idOf('user without a role'), role: 'guard', community_id: idOf(place) }),
  },
  revoke_role: { call: mayHandOut('community/cleaning'), args: (place) => ({ membership_id: idOf(`${place} membership`) }) },
  my_permissions: { call: everybody, args: (place) => ({ community_id: idOf(place) }) },
  set_unit_maintenance: { call: inCommunity('units.manage'), args: (place) => ({ unit_id: idOf(`${place} unit 1`), under_maintenance: true }) },
  import_roster: {
    call: inCommunity('roster.import'),
    args: (place) => ({ community_id: idOf(place), headers: ['Unit', 'Name', 'Role'], rows: [['new', 'New Person', 'owner']], dry_run: false }),
  },
  roster_headers: { call: everybody, args: () => ({}) },
};
