import { idOf, kidOf, linkOf, offlineKidOf, organizationOf, places, tokenOf, type Actor, type Place } from './fixtures.ts';
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
  /** Who of them sees archived rows too, when asking for them; nobody by default. */
  archived?: Rule;
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
// Every community has one lease: its tenant's.
const seesLease: Rule = all(
  involvedInCommunity(),
  any(inCommunity('leases.read'), inOwnUnit('leases.read_own'), (actor, row) =>
    actor.isActive && places.some((place) => [row.id, row.lease_id].includes(idOf(`${place} lease`)) && actor.residents.includes(`${place} tenant`)),
  ),
);
const seesDetails: Rule = all(involvedInCommunity(), any(inCommunity('residents.read_details'), asResident()));
const seesRole: Rule = any(
  all(everybody, (_actor, row) => row.organization_id === null && row.community_id === null),
  involvedInOrganization(),
  involvedInCommunity(),
);
const ofItsRole = (rule: Rule): Rule => (actor, row, world) => world.roles.some((role) => role.id === row.role_id && rule(actor, scope(role), world));
const seesAudit: Rule = any(inCommunity('audit.read'), inOrganization('audit.read'), onSite('audit.read'));

/** What the site says, and what an organization or a community says to those who have to do with it. */
const saidTo = (inCommunity: Rule): Rule => any(all(everybody, isOfSite), involvedInOrganization(), inCommunity);
const isOfSite: Rule = (_actor, row) => row.organization_id === null && row.community_id === null;
/** Holders of the permission where the row belongs: in the community, in the organization, on the site. */
const where = (permission: string): Rule => any(inCommunity(permission), inOrganization(permission), all(isOfSite, onSite(permission)));
const inState = (column: string, value: unknown): Rule => (_actor, row) => row[column] === value;
const isPublished: Rule = (_actor, row) => row.published_at !== null;

// Household: the people of the own unit whom one sees there.
const seesAsHousehold: Rule = (actor, row, world) =>
  world.occupancies.some(
    (occupancy) =>
      occupancy.residentId === row.resident_id &&
      any(asResident(), all(isPresent, inOwnUnit('residents.read_own')), all(isPresent, (_actor, one) => one.role !== 'owner', inOwnUnit('residents.read_household')))(
        actor,
        occupancyRow(occupancy),
        world,
      ),
  );
const isOfTheUnit: Rule = (_actor, row) => row.resident_id === null;
const isTheirVehicle: Rule = all(involvedInCommunity(), any(asResident(), all(inOwnUnit('vehicles.read_own'), any(isOfTheUnit, seesAsHousehold))));
const seesVehicle: Rule = any(inCommunity('vehicles.read'), isTheirVehicle);
const isTheirPet: Rule = all(involvedInCommunity(), any(asResident(), all(inOwnUnit('pets.read_own'), seesAsHousehold)));
const seesPet: Rule = any(inCommunity('pets.read'), isTheirPet);
const changesPet: Rule = any(inCommunity('pets.manage'), all(isTheirPet, inOwnUnit('pets.manage_own')));
/** Whoever occupies a unit here today, and is a resident by more than a name. */
const livesHere: Rule = (actor, row) =>
  actor.isActive &&
  actor.units.some(({ unit, role }) => unit.startsWith(`${placeOf(row)} `) && role !== 'guard within limits') &&
  actor.residents.some((resident) => resident.startsWith(`${placeOf(row)} `));
/** What the fixtures have of a person in the first unit: asked of the row that it belongs to. */
const ofPersonIn = (names: Record<string, string>, column: string, rule: Rule): Rule => (actor, row, world) =>
  places.some((place) =>
    Object.entries(names).some(
      ([name, resident]) =>
        row[column] === idOf(`${place} ${name}`) &&
        rule(actor, { id: row[column], community_id: idOf(place), unit_id: idOf(`${place} unit 1`), resident_id: idOf(`${place} ${resident}`) }, world),
    ),
  );
const petsOf = { pet: 'tenant', 'pet of owner': 'owner' };

// Who receives visitors: whoever occupies the unit, but not the owner of one that is let, as the first units of the fixtures are.
const receives = (permission: string): Rule =>
  all(involvedInCommunity(), inOwnUnit(permission), (actor, row) =>
    actor.units.some(({ unit, role }) => idOf(unit) === row.unit_id && (role !== 'owner' || !unit.endsWith('unit 1'))),
  );
const isTheirVisit: Rule = any(all(involvedInCommunity(), asResident('host_resident_id')), receives('visits.read_own'));
const seesVisit: Rule = any(inCommunity('visits.read'), isTheirVisit);
/** Asked of what the tenant of the first unit has given. */
const ofTenantsInvitation = (rule: Rule): Rule => (actor, row, world) =>
  rule(actor, { community_id: row.community_id, unit_id: idOf(`${placeOf(row)} unit 1`), host_resident_id: idOf(`${placeOf(row)} tenant`) }, world);

/** A rule asked of something that the fixtures call by this name in every community. */
const ofNamed = (name: string, rule: Rule, column = 'id'): Rule => (actor, row, world) => rule(actor, { ...row, [column]: idOf(`${placeOf(row)} ${name}`) }, world);

// The books: their keepers see all, whoever owes or has paid sees the own account.
const isTheirs = (actor: Actor, world: World, subaccount: unknown): boolean =>
  actor.isActive && world.subaccounts.some(({ id, residentId }) => id === subaccount && actor.residents.some((resident) => idOf(resident) === residentId));
const owesToFund = (column: string): Rule => (actor, row, world) => world.subaccounts.some(({ id, fundId }) => fundId === row[column] && isTheirs(actor, world, id));
const isTheirPosting = (actor: Actor, world: World, { debit, credit }: World['postings'][number]): boolean => isTheirs(actor, world, debit) || isTheirs(actor, world, credit);
const keepsBooksOr = (own: Rule): Rule => any(inCommunity('ledger.read'), all(involvedInCommunity(), own));
const movesTheirAccount = (column: string): Rule => (actor, row, world) => world.postings.some((posting) => posting.id === row[column] && isTheirPosting(actor, world, posting));
/** Of an entry that others share, the total would tell of them. */
const isTheirEntry: Rule = (actor, row, world) => world.postings.filter(({ entryId }) => entryId === row.id).every((posting) => isTheirPosting(actor, world, posting));

const seesPass = (): Rule =>
  any(inCommunity('passes.read'), all(involvedInCommunity(), asResident()), all((_actor, row) => row.invitation_id !== null, ofTenantsInvitation(isTheirVisit)));

// Who carries what is held against them, in the fixtures.
const heldFrom = { 'hold at the gate': 'tenant', 'hold of vehicle': 'owner', 'hold of card': 'tenant' };

const readsFilesOf: Record<string, string> = {
  'community.logo': 'communities.read',
  'community.document': 'communities.read',
  'member.document': 'communities.update',
  'vehicle.photo': 'vehicles.read',
  'pet.photo': 'pets.read',
  'pet.certificate': 'pets.manage',
  'resident.photo': 'residents.read',
  'resident.identity': 'documents.read',
  'access.photo': 'access_log.read',
  'access.evidence': 'blacklist.manage',
  'expenses.receipt': 'expenses.read',
};
const readsFile: Rule = any(
  (actor, row, world) => inCommunity(readsFilesOf[row.purpose as string] ?? 'nothing')(actor, row, world),
  ofPersonIn({ 'vehicle photo': 'tenant' }, 'id', isTheirVehicle),
  ofPersonIn({ 'pet photo': 'tenant', 'pet certificate': 'tenant' }, 'id', isTheirPet),
  // What names a resident in the fixtures: the own documents, and the photographs of whom one sees.
  (actor, row, world) =>
    world.residents.some(({ id, communityId }) => {
      const place = placeOf({ community_id: communityId });
      const name = fixedNames.find((candidate) => idOf(`${place} ${candidate}`) === id);
      if (name === undefined || communityId !== row.community_id) return false;
      if (row.id === idOf(`${place} card of ${name}`)) return asResident('id')(actor, { id }, world);
      return row.id === idOf(`${place} photo of ${name}`) && seesResident(actor, { id, community_id: communityId }, world);
    }),
);
const fixedNames = ['tenant', 'owner', 'past tenant', 'suspended owner', 'barred owner'];
/** What is about a resident and for few: the own, and with a permission. */
const ownOr = (permission: string): Rule => all(involvedInCommunity(), any(inCommunity(permission), asResident()));

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
    archived: inOrganization('organizations.archive', 'id'),
    target: (place) => ({ id: idOf(organizationOf[place]) }),
    change: { legal_name: 'Changed' },
    row: () => ({ id: idOf('new'), name: 'New', slug: 'new', country_code: 'BG' }),
  },
  communities: {
    belongsTo: 'communities',
    select: inCommunity('communities.read', 'id'),
    update: inCommunity('communities.update', 'id'),
    archived: inCommunity('communities.archive', 'id'),
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
    archived: where('roles.archive'),
    target: inPlace('gardener'),
    change: { name: 'Changed' },
    row: (place) => ({ id: idOf('new'), level: 'community', key: 'new', name: 'New', community_id: idOf(place) }),
  },
  role_permissions: {
    belongsTo: 'system',
    select: ofItsRole(seesRole),
    archived: ofItsRole(where('roles.archive')),
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
    archived: inCommunity('units.archive'),
    target: inPlace('building'),
    change: { address: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), name: 'New' }),
  },
  entrances: {
    belongsTo: 'communities',
    select: inCommunity('communities.read'),
    insert: inCommunity('units.manage'),
    update: inCommunity('units.manage'),
    archived: inCommunity('units.archive'),
    target: inPlace('entrance'),
    change: { has_elevator: true },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), building_id: idOf(`${place} building`), name: 'New' }),
  },
  units: {
    belongsTo: 'communities',
    select: seesUnit,
    insert: inCommunity('units.manage'),
    update: inCommunity('units.manage'),
    archived: inCommunity('units.archive'),
    target: inPlace('unit 1'),
    change: { layout: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), number: 'new' }),
  },
  residents: {
    belongsTo: 'communities',
    select: seesResident,
    insert: inCommunity('residents.manage'),
    update: inCommunity('residents.manage'),
    archived: inCommunity('residents.archive'),
    target: inPlace('tenant'),
    change: { full_name: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), full_name: 'New' }),
  },
  resident_details: {
    belongsTo: 'communities',
    select: seesDetails,
    insert: inCommunity('residents.manage'),
    update: all(inCommunity('residents.manage'), inCommunity('residents.read_details')),
    archived: inCommunity('residents.archive'),
    target: inPlace('tenant details'),
    change: { note: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), resident_id: idOf(`${place} resident without details`) }),
  },
  occupancies: {
    belongsTo: 'communities',
    select: seesOccupancy,
    insert: inCommunity('residents.manage'),
    update: inCommunity('residents.manage'),
    archived: inCommunity('residents.archive'),
    target: inPlace('tenant occupancy'),
    change: { is_living_in: false },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), unit_id: idOf(`${place} unit 2`), resident_id: idOf(`${place} tenant`), role: 'guest' }),
  },

  vehicles: {
    belongsTo: 'communities',
    select: seesVehicle,
    update: inCommunity('vehicles.manage'),
    archived: inCommunity('vehicles.archive'),
    target: inPlace('vehicle'),
    change: { colour: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), unit_id: idOf(`${place} unit 1`), plate: 'NEW 1' }),
  },
  vehicle_photos: {
    belongsTo: 'communities',
    select: any(inCommunity('vehicles.read'), ofPersonIn({ vehicle: 'tenant' }, 'vehicle_id', isTheirVehicle)),
    target: inPlace('vehicle photo link'),
    change: { position: 2 },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), vehicle_id: idOf(`${place} vehicle of owner`), file_id: idOf(`${place} vehicle photo`), position: 1 }),
  },
  pets: {
    belongsTo: 'communities',
    select: seesPet,
    update: changesPet,
    archived: inCommunity('pets.archive'),
    target: inPlace('pet'),
    change: { colour: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), unit_id: idOf(`${place} unit 1`), resident_id: idOf(`${place} tenant`), name: 'New', kind: 'dog' }),
  },
  pet_vaccinations: {
    belongsTo: 'communities',
    select: any(inCommunity('pets.manage'), ofPersonIn(petsOf, 'pet_id', isTheirPet)),
    archived: inCommunity('pets.archive'),
    target: inPlace('vaccination'),
    change: { veterinarian: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), pet_id: idOf(`${place} pet`), vaccine: 'New', given_on: '2026-01-01' }),
  },
  // Not even the pet's people see the row, which tells who reported it.
  pet_incidents: {
    belongsTo: 'communities',
    select: all(involvedInCommunity(), any(inCommunity('pets.manage'), themselves('reported_by'))),
    archived: inCommunity('pets.archive'),
    target: inPlace('pet incident'),
    change: { description: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), description: 'New', happened_at: '2026-01-01' }),
  },
  booths: {
    belongsTo: 'communities',
    select: inCommunity('gates.read'),
    insert: inCommunity('gates.manage'),
    update: inCommunity('gates.manage'),
    archived: inCommunity('gates.archive'),
    target: inPlace('booth'),
    change: { intercom_extension: '9' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), name: 'New' }),
  },
  access_points: {
    belongsTo: 'communities',
    select: inCommunity('gates.read'),
    insert: inCommunity('gates.manage'),
    update: inCommunity('gates.manage'),
    archived: inCommunity('gates.archive'),
    target: inPlace('gate'),
    change: { is_open_to_residents: false },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), name: 'New', kind: 'door' }),
  },
  access_devices: {
    belongsTo: 'communities',
    select: inCommunity('gates.manage'),
    update: inCommunity('gates.manage'),
    target: inPlace('device'),
    change: { serial_number: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), access_point_id: idOf(`${place} gate`), name: 'New', kind: 'reader' }),
  },
  guards: {
    belongsTo: 'communities',
    select: inCommunity('guards.read'),
    insert: inCommunity('guards.manage'),
    update: inCommunity('guards.manage'),
    archived: inCommunity('gates.archive'),
    target: inPlace('guard'),
    change: { agency: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), full_name: 'New' }),
  },
  shifts: {
    belongsTo: 'communities',
    select: inCommunity('guards.read'),
    update: inCommunity('guards.manage'),
    archived: inCommunity('gates.archive'),
    target: inPlace('shift'),
    change: { needed_guards: 2 },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), booth_id: idOf(`${place} booth`), name: 'New', starts_at: '2030-01-01T08:00:00Z', ends_at: '2030-01-01T16:00:00Z' }),
  },
  shift_assignments: {
    belongsTo: 'communities',
    select: inCommunity('guards.read'),
    target: inPlace('assignment'),
    change: { guard_id: idOf('new') },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), shift_id: idOf(`${place} shift`), guard_id: idOf(`${place} second guard`), starts_at: '2030-01-01T08:00:00Z', ends_at: '2030-01-01T16:00:00Z' }),
  },
  // The number of a card is enough to copy it: guards look cards up one by one, through decisions.
  access_cards: {
    belongsTo: 'communities',
    select: all(involvedInCommunity(), any(inCommunity('gates.manage'), asResident())),
    update: inCommunity('gates.manage'),
    archived: inCommunity('gates.archive'),
    target: inPlace('key card of tenant'),
    change: { label: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), number: '9999', resident_id: idOf(`${place} tenant`) }),
  },
  access_holds: {
    belongsTo: 'communities',
    select: all(involvedInCommunity(), any(inCommunity('gates.manage'), ofPersonIn(heldFrom, 'id', asResident()))),
    target: inPlace('hold at the gate'),
    change: { note: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), reason: 'new', resident_id: idOf(`${place} owner`) }),
  },
  visitor_invitations: {
    belongsTo: 'communities',
    select: seesVisit,
    target: inPlace('visitor invitation'),
    change: { max_entries: 100 },
    row: (place) => ({
      id: idOf('new'),
      community_id: idOf(place),
      unit_id: idOf(`${place} unit 1`),
      kind: 'vehicle',
      plate: 'NEW 1',
      starts_at: '2030-01-01T08:00:00Z',
      ends_at: '2030-01-01T16:00:00Z',
    }),
  },
  invitation_guests: {
    belongsTo: 'communities',
    select: ofTenantsInvitation(seesVisit),
    target: inPlace('invitation guest'),
    change: { full_name: 'Changed' },
    row: (place) => ({ id: idOf('new'), full_name: 'New', community_id: idOf(place), invitation_id: idOf(`${place} visitor invitation`) }),
  },
  invitation_exceptions: {
    belongsTo: 'communities',
    select: ofTenantsInvitation(seesVisit),
    target: inPlace('invitation exception'),
    change: { kind: 'added' },
    row: (place) => ({ id: idOf('new'), falls_on: '2030-01-01', community_id: idOf(place), invitation_id: idOf(`${place} recurring invitation`), kind: 'added' }),
  },
  invitation_access_points: {
    belongsTo: 'communities',
    select: ofTenantsInvitation(seesVisit),
    target: inPlace('invitation point'),
    change: { access_point_id: idOf('alder gate') },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), invitation_id: idOf(`${place} recurring invitation`), access_point_id: idOf(`${place} gate`) }),
  },
  visits: {
    belongsTo: 'communities',
    select: seesVisit,
    target: inPlace('walk-in'),
    change: { status: 'approved' },
    row: (place) => ({ id: idOf('new'), visitor_name: 'New', community_id: idOf(place), unit_id: idOf(`${place} unit 1`), status: 'approved' }),
  },
  // The tenant's own, and one to the tenant's invitation.
  passes: {
    belongsTo: 'communities',
    select: seesPass(),
    target: inPlace('visitor pass'),
    change: { ends_at: '2099-01-01' },
    row: (place) => ({
      id: idOf('new'),
      community_id: idOf(place),
      kind: 'visitor',
      invitation_id: idOf(`${place} recurring invitation`),
      kid: kidOf(place),
      starts_at: '2030-01-01T00:00:00Z',
      ends_at: '2030-01-02T00:00:00Z',
    }),
  },
  passes_overview: {
    belongsTo: 'communities',
    key: ['pass_id'],
    select: seesPass(),
    target: (place) => ({ pass_id: idOf(`${place} visitor pass`) }),
    change: { max_uses: 100 },
    row: (place) => ({ community_id: idOf(place), kind: 'visitor' }),
  },
  // Who rents sees the own contract, past ones included; who owns the unit, the present and coming ones.
  leases: {
    belongsTo: 'communities',
    select: seesLease,
    target: inPlace('lease'),
    change: { reference: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), unit_id: idOf(`${place} unit 2`), starts_on: '2030-01-01' }),
  },
  unit_representatives: {
    belongsTo: 'communities',
    select: all(involvedInCommunity(), any(inCommunity('residents.read'), asResident(), inOwnUnit('residents.read_own'))),
    archived: inCommunity('residents.archive'),
    target: inPlace('payer'),
    change: { authority: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), unit_id: idOf(`${place} unit 2`), kind: 'voter', resident_id: idOf(`${place} tenant`), starts_on: '2030-01-01' }),
  },
  vacant_units: {
    belongsTo: 'communities',
    key: ['unit_id'],
    select: all(inCommunity('communities.read'), (actor, row, world) => seesUnit(actor, { ...row, id: row.unit_id }, world)),
    target: (place) => ({ unit_id: idOf(`${place} empty unit`) }),
    change: { number: 'Changed' },
    row: (place) => ({ community_id: idOf(place), number: 'new' }),
  },
  expiring_leases: {
    belongsTo: 'communities',
    key: ['lease_id'],
    select: all(inCommunity('communities.read'), (actor, row, world) => seesUnit(actor, { ...row, id: row.unit_id }, world), seesLease),
    target: (place) => ({ lease_id: idOf(`${place} lease`) }),
    change: { reference: 'Changed' },
    row: (place) => ({ community_id: idOf(place), reference: 'new' }),
  },

  // Residents see their own coming, and visitors to them; the guard's own decisions are on no shift of theirs here.
  access_log: {
    belongsTo: 'communities',
    select: all(
      involvedInCommunity(),
      any(
        inCommunity('access_log.read'),
        all(inCommunity('access_log.read_shift'), themselves('caller_id')),
        asResident(),
        all((_actor, row) => row.visit_id !== null, receives('visits.read_own')),
      ),
    ),
    target: inPlace('log line'),
    change: { reason: 'left' },
    row: (place) => ({
      id: idOf('new'),
      community_id: idOf(place),
      access_point_id: idOf(`${place} gate`),
      method: 'qr',
      direction: 'in',
      outcome: 'granted',
      reason: 'admitted',
      scanned_at: '2026-01-01',
      logged_at: '2026-01-01',
    }),
  },
  adjustments: {
    belongsTo: 'communities',
    select: any(inCommunity('charges.read'), all(involvedInCommunity(), ofNamed('tenant', asResident('id')))),
    target: inPlace('adjustment'),
    change: { amount: 1 },
    row: (place) => ({
      id: idOf('new'),
      number: 99,
      community_id: idOf(place),
      kind: 'waiver',
      charge_id: idOf(`${place} adjusted charge`),
      amount: 1,
      decimals: 2,
      effective_on: '2026-01-01',
      reason: 'Attack',
      journal_entry_id: idOf(`${place} adjusted entry`),
    }),
  },
  unit_accounts: {
    belongsTo: 'communities',
    select: keepsBooksOr((actor, row, world) => isTheirs(actor, world, row.id)),
    columns: [{ names: ['resident'], rule: (actor, row, world) => seesResident(actor, { community_id: row.community_id, id: row.resident_id }, world) }],
    target: inPlace('subaccount'),
    change: { balance: 0 },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place) }),
  },
  currencies: {
    belongsTo: 'system',
    key: ['code'],
    select: everybody,
    target: () => ({ code: 'EUR' }),
    change: { decimals: 3 },
    row: () => ({ code: 'QQQ', name: 'New', decimals: 2 }),
  },
  ledgers: {
    belongsTo: 'communities',
    select: inCommunity('ledger.read'),
    target: (place) => ({ community_id: idOf(place) }),
    change: { closed_through: null },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), currency_code: 'EUR', decimals: 2, opened_on: '2026-01-01' }),
  },
  funds: {
    belongsTo: 'communities',
    select: keepsBooksOr(owesToFund('id')),
    update: inCommunity('ledger.manage'),
    target: inPlace('fund'),
    change: { name: 'Changed' },
    row: (place) => ({ id: idOf('new'), name: 'New', code: 'NEW', community_id: idOf(place), decimals: 2, kind: 'special' }),
  },
  // What one owes to a fund stands in its control accounts.
  accounts: {
    belongsTo: 'communities',
    select: keepsBooksOr(all(inState('is_control', true), owesToFund('fund_id'))),
    update: inCommunity('ledger.manage'),
    target: inPlace('fund bank'),
    change: { name: 'Changed' },
    row: (place) => ({ id: idOf('new'), code: 'NEW', name: 'New', community_id: idOf(place), fund_id: idOf(`${place} fund`), decimals: 2, type: 'asset' }),
  },
  subaccounts: {
    belongsTo: 'communities',
    select: keepsBooksOr((actor, row, world) => isTheirs(actor, world, row.id)),
    target: inPlace('subaccount'),
    change: { balance: 0 },
    row: (place) => ({
      id: idOf('new'),
      community_id: idOf(place),
      fund_id: idOf(`${place} fund`),
      account_id: idOf(`${place} fund receivable`),
      decimals: 2,
      unit_id: idOf(`${place} unit 1`),
    }),
  },
  journal_entries: {
    belongsTo: 'communities',
    select: keepsBooksOr(isTheirEntry),
    target: inPlace('charge entry'),
    change: { total: 1 },
    row: (place) => ({ id: idOf('new'), description: 'New', community_id: idOf(place), kind: 'manual', effective_on: '2026-02-01', posting_count: 1, total: 1 }),
  },
  postings: {
    belongsTo: 'communities',
    select: keepsBooksOr(movesTheirAccount('id')),
    target: inPlace('posting of charge entry'),
    change: { amount: 1 },
    row: (place) => ({
      id: idOf('new'),
      journal_entry_id: idOf(`${place} journal entry`),
      community_id: idOf(place),
      fund_id: idOf(`${place} fund`),
      decimals: 2,
      effective_on: '2025-11-15',
      debit_account_id: idOf(`${place} fund bank`),
      credit_account_id: idOf(`${place} fund other_income`),
      amount: 1,
    }),
  },
  ledger_lines: {
    belongsTo: 'communities',
    key: ['posting_id', 'account_id'],
    select: keepsBooksOr(movesTheirAccount('posting_id')),
    target: (place) => ({ posting_id: idOf(`${place} posting of charge entry`) }),
    change: { debit: 1 },
    row: (place) => ({ posting_id: idOf('new'), community_id: idOf(place), debit: 1 }),
  },
  accounting_periods: {
    belongsTo: 'communities',
    select: inCommunity('ledger.read'),
    target: inPlace('period'),
    change: { status: 'open' },
    row: (place) => ({ id: idOf('new'), name: 'New', community_id: idOf(place), starts_on: '2025-12-01', ends_on: '2025-12-31', closed_at: '2026-01-01' }),
  },
  account_snapshots: {
    belongsTo: 'communities',
    select: inCommunity('ledger.read'),
    target: (place) => ({ period_id: idOf(`${place} period`), account_id: idOf(`${place} fund bank`) }),
    change: { debit_total: 1 },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), account_id: idOf(`${place} other fund bank`), period_id: idOf(`${place} period`), debit_total: 1, credit_total: 1 }),
  },
  ledger_findings: {
    belongsTo: 'communities',
    select: inCommunity('ledger.read'),
    target: inPlace('ledger finding'),
    change: { detail: 'Nothing.' },
    row: (place) => ({ id: idOf('new'), problem: 'total_differs', community_id: idOf(place), detail: 'New' }),
  },
  blacklist_entries: {
    belongsTo: 'communities',
    select: inCommunity('blacklist.read'),
    archived: inCommunity('blacklist.manage'),
    target: inPlace('blacklist entry'),
    change: { ends_at: '2026-01-01' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), full_name: 'New', protocol_number: 'new', reason: 'New' }),
  },
  blacklist_evidence: {
    belongsTo: 'communities',
    select: inCommunity('blacklist.manage'),
    target: inPlace('evidence'),
    change: { file_id: idOf('new') },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), entry_id: idOf(`${place} archived blacklist entry`), file_id: idOf(`${place} evidence file`) }),
  },
  // Billing: expenses.
  expense_categories: {
    belongsTo: 'communities',
    select: inCommunity('expenses.read'),
    archived: inCommunity('expenses.manage'),
    target: inPlace('expense category'),
    change: { name: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), name: 'New', code: 'NEW', fund_id: idOf('new'), account_id: idOf(`${place} expense account`) }),
  },
  // Fees, and what was charged.
  fees: {
    belongsTo: 'communities',
    select: inCommunity('fees.read'),
    archived: inCommunity('fees.manage'),
    update: inCommunity('fees.manage'),
    target: inPlace('fee'),
    change: { amount: 13 },
    row: (place) => ({
      id: idOf('new'),
      name: 'New',
      community_id: idOf(place),
      fund_id: idOf(`${place} fund`),
      decimals: 2,
      account_id: idOf(`${place} fund assessment_income`),
      allocation_key_id: idOf(`${place} key per unit`),
      kind: 'one_off',
      basis: 'total',
      amount: 1,
      first_on: '2026-01-01',
    }),
  },
  fee_instalments: {
    belongsTo: 'communities',
    select: inCommunity('fees.read'),
    target: inPlace('instalment'),
    change: { due_on: '2099-01-01' },
    row: (place) => ({ id: idOf('new'), number: 2, community_id: idOf(place), fee_id: idOf(`${place} assessment`), charged_on: '2026-04-01', due_on: '2026-04-01', amount: 1 }),
  },
  fee_runs: {
    belongsTo: 'communities',
    select: inCommunity('fees.read'),
    target: inPlace('fee run'),
    change: { total: 1 },
    row: (place) => ({
      id: idOf('new'),
      community_id: idOf(place),
      fee_id: idOf(`${place} fee`),
      starts_on: '2026-01-01',
      ends_on: '2026-01-31',
      charged_on: '2026-01-01',
      due_on: '2026-01-15',
      allocation_id: idOf(`${place} allocation`),
      charge_count: 0,
      total: 0,
    }),
  },
  charges: {
    belongsTo: 'communities',
    select: any(inCommunity('charges.read'), all(involvedInCommunity(), (actor, row, world) => isTheirs(actor, world, row.subaccount_id))),
    target: inPlace('posting of charge entry'),
    change: { amount: 1 },
    row: (place) => ({
      id: idOf('new'),
      description: 'New',
      community_id: idOf(place),
      unit_id: idOf(`${place} unit 1`),
      subaccount_id: idOf(`${place} subaccount`),
      fund_id: idOf(`${place} fund`),
      decimals: 2,
      journal_entry_id: idOf(`${place} charge entry`),
      source: 'other',
      starts_on: '2026-01-01',
      ends_on: '2026-01-01',
      charged_on: '2026-01-01',
      due_on: '2026-01-01',
      amount: 1,
    }),
  },
  expenses: {
    belongsTo: 'communities',
    select: inCommunity('expenses.read'),
    target: inPlace('approved expense'),
    change: { status: 'paid' },
    row: (place) => ({
      id: idOf('new'),
      community_id: idOf(place),
      description: 'New',
      category_id: idOf(`${place} expense category`),
      fund_id: idOf('new'),
      decimals: 2,
      amount: 1,
      incurred_on: '2026-01-01',
      starts_on: '2026-01-01',
      ends_on: '2026-01-01',
    }),
  },
  expense_payments: {
    belongsTo: 'communities',
    select: inCommunity('expenses.read'),
    target: (place) => ({ expense_id: idOf(`${place} paid expense`) }),
    change: { amount: 1 },
    row: (place) => ({
      id: idOf('new'),
      number: 99,
      community_id: idOf(place),
      expense_id: idOf(`${place} approved expense`),
      amount: 1,
      decimals: 2,
      paid_on: '2026-01-01',
      account_id: idOf(`${place} fund bank`),
      journal_entry_id: idOf(`${place} entry`),
    }),
  },
  people_inside: {
    belongsTo: 'communities',
    key: ['subject_id'],
    select: any(inCommunity('access.decide'), all(inState('kind', 'visitor'), seesVisit)),
    columns: [{ names: ['name'], rule: any((_actor, row) => row.subject_id === idOf(`${placeOf(row)} visit inside`), inCommunity('residents.read')) }],
    target: (place) => ({ subject_id: idOf(`${place} tenant`) }),
    change: { name: 'Changed' },
    row: (place) => ({ community_id: idOf(place), kind: 'resident', subject_id: idOf(`${place} owner`) }),
  },
  visits_today: {
    belongsTo: 'communities',
    key: ['visit_id'],
    select: all(inCommunity('communities.read'), seesVisit),
    columns: [{ names: ['unit'], rule: (actor, row, world) => seesUnit(actor, { ...row, id: row.unit_id }, world) }],
    target: (place) => ({ visit_id: idOf(`${place} visit inside`) }),
    change: { visitor_name: 'Changed' },
    row: (place) => ({ community_id: idOf(place), visitor_name: 'New' }),
  },
  denials_by_reason: {
    belongsTo: 'communities',
    key: ['community_id', 'access_point_id', 'reason'],
    select: all(inCommunity('communities.read'), inCommunity('access_log.read')),
    target: (place) => ({ access_point_id: idOf(`${place} gate`), reason: 'malformed_pass' }),
    change: { denials: 0 },
    row: (place) => ({ community_id: idOf(place), denials: 1 }),
  },
  busiest_hours: {
    belongsTo: 'communities',
    key: ['community_id', 'access_point_id'],
    select: all(inCommunity('communities.read'), inCommunity('access_log.read')),
    target: (place) => ({ access_point_id: idOf(`${place} gate`) }),
    change: { entries: 0 },
    row: (place) => ({ community_id: idOf(place), entries: 1 }),
  },

  audit_log: {
    belongsTo: 'communities',
    select: seesAudit,
    target: (place) => ({ row_id: idOf(place) }),
    change: { note: 'Changed' },
    row: () => ({ table_name: 'units', operation: 'insert', changes: {} }),
  },
  security_events: {
    belongsTo: 'users',
    select: any(themselves(), onSite('security.read')),
    target: (place) => ({ session_id: idOf(`${place} session`) }),
    change: { note: 'Changed' },
    row: (place) => ({ kind: 'signed_in', user_id: idOf(`${place} target user`) }),
  },
  assurance_requirements: {
    belongsTo: 'organizations',
    select: involvedInOrganization(),
    target: (place) => ({ id: idOf(`${organizationOf[place]} requirement`) }),
    change: { permission_key: 'units.read' },
    row: (place) => ({ id: idOf('new'), permission_key: 'units.manage', organization_id: idOf(organizationOf[place]) }),
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

  user_permissions: {
    belongsTo: 'communities',
    select: any(themselves(), inCommunity('memberships.read'), inOrganization('memberships.read')),
    target: inPlace('grant'),
    change: { ends_at: '2099-01-01' },
    row: (place) => ({ id: idOf('new'), permission_key: 'units.read', user_id: idOf('user without a role'), community_id: idOf(place), reason: 'Attack' }),
  },
  invitations: {
    belongsTo: 'communities',
    select: any(inCommunity('memberships.read'), inOrganization('memberships.read')),
    target: inPlace('invitation'),
    change: { expires_at: '2099-01-01' },
    row: (place) => ({ id: idOf('new'), email: 'new@test.example', role_id: idOf(`${place} gardener`), community_id: idOf(place) }),
  },

  setting_definitions: {
    belongsTo: 'system',
    select: everybody,
    target: system({ key: 'general.theme' }),
    change: { description: 'Changed' },
    row: () => ({ id: idOf('new'), key: 'general.new', category: 'general', type: 'boolean', levels: ['site'], description: 'New' }),
  },
  setting_values: {
    belongsTo: 'communities',
    select: saidTo(inCommunity('communities.read')),
    target: inPlace('setting'),
    change: { value: 'light' },
    row: (place) => ({ id: idOf('new'), key: 'security.signed_url_seconds', community_id: idOf(place), value: 60 }),
  },
  user_preferences: {
    belongsTo: 'users',
    select: themselves(),
    target: inPlace('preference'),
    change: { value: 'dark' },
    row: (place) => ({ id: idOf('new'), key: 'general.theme', user_id: idOf(`${place} target user`), value: 'dark' }),
  },
  features: {
    belongsTo: 'system',
    select: everybody,
    target: system({ key: 'files.upload' }),
    change: { is_enabled: false },
    row: () => ({ id: idOf('new'), key: 'new.feature', description: 'New', is_enabled: true }),
  },
  feature_values: {
    belongsTo: 'communities',
    select: saidTo(inCommunity('communities.read')),
    target: inPlace('feature'),
    change: { is_enabled: false },
    row: (place) => ({ id: idOf('new'), key: 'files.upload', community_id: idOf(place), is_enabled: false }),
  },

  file_purposes: {
    belongsTo: 'system',
    select: everybody,
    target: system({ key: 'member.document' }),
    change: { read_permission: 'communities.read' },
    row: () => ({
      id: idOf('new'),
      key: 'new.purpose',
      description: 'New',
      bucket: 'vicinia-new',
      content_types: ['image/png'],
      max_bytes: 10,
      upload_permission: 'communities.read',
      manage_permission: 'communities.read',
    }),
  },
  files: {
    belongsTo: 'communities',
    // Who has nothing to do with the community any more has nothing to do with its files either.
    select: all(involvedInCommunity(), any(themselves('owner_id'), all(inState('status', 'stored'), readsFile))),
    target: inPlace('file'),
    change: { name: 'Changed' },
    row: (place) => ({
      id: idOf('new'),
      name: 'New',
      community_id: idOf(place),
      purpose: 'member.document',
      bucket: 'vicinia-documents',
      content_type: 'image/png',
      size: 10,
    }),
  },

  brandings: {
    belongsTo: 'communities',
    select: inCommunity('communities.read'),
    target: inPlace('branding'),
    change: { display_name: 'Changed' },
    row: (place) => ({ id: idOf('new'), display_name: 'New', community_id: idOf(place) }),
  },
  opening_hours: {
    belongsTo: 'communities',
    select: inCommunity('communities.read'),
    target: inPlace('opening hours'),
    change: { closes_at: '13:00' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), weekday: 2, opens_at: '08:00', closes_at: '12:00' }),
  },
  opening_exceptions: {
    belongsTo: 'communities',
    select: inCommunity('communities.read'),
    target: inPlace('opening exception'),
    change: { name: 'Changed' },
    row: (place) => ({ id: idOf('new'), name: 'New', community_id: idOf(place), falls_on: '2026-12-31' }),
  },
  house_rules: {
    belongsTo: 'communities',
    select: any(all(isPublished, inCommunity('communities.read')), inCommunity('communities.update')),
    insert: inCommunity('communities.update'),
    update: all((_actor, row) => row.published_at === null, inCommunity('communities.update')),
    target: inPlace('draft'),
    change: { body: 'Changed' },
    row: (place) => ({ id: idOf('new'), title: 'New', community_id: idOf(place), body: 'New' }),
  },
  house_rule_acknowledgements: {
    belongsTo: 'communities',
    select: all(involvedInCommunity(), any(themselves(), inCommunity('communities.update'))),
    target: inPlace('acknowledgement'),
    change: { acknowledged_at: '2026-01-01' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), house_rules_id: idOf(`${place} rules`), user_id: idOf('user without a role') }),
  },

  consent_texts: {
    belongsTo: 'communities',
    select: saidTo(involvedInCommunity()),
    insert: where('consents.manage'),
    update: where('consents.manage'),
    target: inPlace('consent text'),
    change: { retired_at: '2099-01-01' },
    row: (place) => ({ id: idOf('new'), purpose: 'newsletter', version: '2', locale: 'en', title: 'New', body: 'New', community_id: idOf(place) }),
  },
  consents: {
    belongsTo: 'communities',
    select: any(themselves(), asResident(), where('consents.manage')),
    target: inPlace('consent of tenant'),
    change: { note: 'Changed' },
    row: (place) => ({ id: idOf('new'), text_id: idOf(`${place} consent text`), user_id: idOf('user without a role') }),
  },

  resident_documents: {
    belongsTo: 'communities',
    select: ownOr('documents.read'),
    target: inPlace('document of tenant'),
    change: { number: 'Changed' },
    row: (place) => ({ id: idOf('new'), kind: 'identity', community_id: idOf(place), resident_id: idOf(`${place} tenant`), file_id: idOf(`${place} photo of tenant`) }),
  },
  identity_checks: {
    belongsTo: 'communities',
    select: ownOr('documents.read'),
    target: inPlace('identity of tenant'),
    change: { note: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), resident_id: idOf(`${place} resident without details`) }),
  },
  emergency_contacts: {
    belongsTo: 'communities',
    select: ownOr('emergency.read'),
    update: ownOr('emergency.manage'),
    target: inPlace('contact of tenant'),
    change: { relationship: 'Changed' },
    row: (place) => ({ id: idOf('new'), full_name: 'New', community_id: idOf(place), resident_id: idOf(`${place} tenant`), phone: '+359 88 555 0102', relationship: 'Brother', priority: 2 }),
  },
  directory_choices: {
    belongsTo: 'communities',
    select: all(involvedInCommunity(), asResident()),
    target: inPlace('choice of tenant'),
    change: { is_phone_shown: true },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), resident_id: idOf(`${place} resident without details`), is_name_shown: true }),
  },
  expiring_documents: {
    belongsTo: 'communities',
    key: ['document_id'],
    select: all(inCommunity('communities.read'), ownOr('documents.read')),
    target: (place) => ({ document_id: idOf(`${place} document of tenant`) }),
    change: { kind: 'deed' },
    row: (place) => ({ community_id: idOf(place), kind: 'deed' }),
  },
  retention_holds: {
    belongsTo: 'communities',
    select: any(themselves(), asResident(), inCommunity('privacy.manage')),
    target: inPlace('hold'),
    change: { until_on: '2020-01-01' },
    row: (place) => ({ id: idOf('new'), reason: 'Attack', community_id: idOf(place), resident_id: idOf(`${place} tenant`) }),
  },
  privacy_requests: {
    belongsTo: 'communities',
    select: any(themselves(), asResident(), inCommunity('privacy.manage')),
    target: inPlace('request of tenant'),
    change: { status: 'done' },
    row: (place) => ({ id: idOf('new'), kind: 'export', community_id: idOf(place), user_id: idOf('user without a role'), due_on: '2099-12-31' }),
  },
  privacy_requests_overview: {
    belongsTo: 'communities',
    key: ['request_id'],
    // Whoever moved out sees the request, and no longer the community whose name is part of it.
    select: all(any(themselves(), asResident(), inCommunity('privacy.manage')), inCommunity('communities.read')),
    target: (place) => ({ request_id: idOf(`${place} request of tenant`) }),
    change: { details: 'Changed' },
    row: (place) => ({ kind: 'export', community_id: idOf(place) }),
  },

  // Allocation: owners see by what costs are shared out, and nobody but the books' keepers what the others bear.
  allocation_inputs: {
    belongsTo: 'communities',
    select: inCommunity('charges.read'),
    target: inPlace('input'),
    change: { quantity: 1 },
    row: (place) => ({ id: idOf('new'), measure: 'heat', community_id: idOf(place), unit_id: idOf(`${place} unit 1`), starts_on: '2026-02-01', ends_on: '2026-02-28', quantity: 1 }),
  },
  allocation_keys: {
    belongsTo: 'communities',
    select: inCommunity('expenses.read'),
    target: inPlace('fixed key'),
    change: { description: 'Changed' },
    row: (place) => ({ id: idOf('new'), name: 'New', community_id: idOf(place), method: 'area' }),
  },
  allocation_key_parts: {
    belongsTo: 'communities',
    select: inCommunity('expenses.read'),
    target: inPlace('key part'),
    change: { percent: 1 },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), allocation_key_id: idOf(`${place} hybrid key`), position: 3, method: 'area', percent: 1 }),
  },
  allocation_key_places: {
    belongsTo: 'communities',
    select: inCommunity('expenses.read'),
    target: inPlace('key place'),
    change: { entrance_id: idOf('alder entrance') },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), allocation_key_id: idOf(`${place} key per unit`), building_id: idOf(`${place} building`) }),
  },
  allocation_key_exclusions: {
    belongsTo: 'communities',
    select: inCommunity('expenses.read'),
    target: inPlace('key exclusion'),
    change: { reason: 'Changed' },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), allocation_key_id: idOf(`${place} fixed key`), unit_id: idOf(`${place} unit 1`) }),
  },
  allocation_key_weights: {
    belongsTo: 'communities',
    select: inCommunity('charges.read'),
    target: inPlace('key weight'),
    change: { weight: 0 },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), allocation_key_id: idOf(`${place} fixed key`), unit_id: idOf(`${place} unit 2`), weight: 1 }),
  },
  formula_evaluations: {
    belongsTo: 'communities',
    select: inCommunity('expenses.read'),
    target: inPlace('evaluation'),
    change: { formula: '1' },
    row: (place) => ({
      id: idOf('new'),
      formula: '1',
      community_id: idOf(place),
      allocation_key_id: idOf(`${place} formula key`),
      version: 1,
      starts_on: '2026-02-01',
      ends_on: '2026-02-28',
      unit_count: 1,
    }),
  },
  formula_weights: {
    belongsTo: 'communities',
    select: inCommunity('charges.read'),
    target: inPlace('formula weight'),
    change: { weight: 0 },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), evaluation_id: idOf(`${place} evaluation`), unit_id: idOf(`${place} unit 2`), weight: 1, inputs: {} }),
  },
  allocations: {
    belongsTo: 'communities',
    select: inCommunity('expenses.read'),
    target: inPlace('allocation'),
    change: { total: 1 },
    row: (place) => ({
      id: idOf('new'),
      community_id: idOf(place),
      allocation_key_id: idOf(`${place} fixed key`),
      key_version: 1,
      method: 'fixed',
      total: 1,
      decimals: 2,
      rounding: 'largest_remainder',
      starts_on: '2026-01-01',
      ends_on: '2026-01-31',
      unit_count: 1,
      weight_total: 1,
      formula_snapshot: {},
    }),
  },
  // And whoever was charged by a line, that line: tests/database/billing_allocations.sql. Nobody was by this one.
  allocation_lines: {
    belongsTo: 'communities',
    select: inCommunity('charges.read'),
    target: inPlace('allocation line'),
    change: { amount: 0 },
    row: (place) => ({ id: idOf('new'), community_id: idOf(place), allocation_id: idOf(`${place} allocation`), unit_id: idOf(`${place} unit 2`), place: 2, weight: 1, inputs: {}, amount: 1 }),
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
  /** What the answer may tell whoever may call it: of its rows, and as it must be. */
  told?: { of: (row: Row) => unknown; expected: (actor: Actor, row: Row, world: World) => string[] };
  /** Whether whoever is not signed in may call it too. */
  isPublic?: boolean;
};

// A role is given and taken by who may manage memberships there and holds everything the role holds.
const mayHandOut = (role: string, held: (permission: string) => Rule = inCommunity): Rule => (actor: Actor, row: Row, world: World) =>
  held('memberships.manage')(actor, row, world) &&
  [...(world.permissions.get(role) ?? [])].every((permission) => held(permission)(actor, row, world) || !holds(world, role, permission));

const placeOf = (row: Row): Place => places.find((place) => idOf(place) === row.community_id) as Place;
const called = (name: string): Rule => (actor) => actor.isActive && actor.name === name;
const seesTarget: Rule = ofNamed('target user', (actor, row, world) => (matrix.profiles as RelationRules).select(actor, row, world));

const inUnitOne = (permission: string): Rule => ofNamed('unit 1', inOwnUnit(permission, 'id'));
/** A rule asked of what the fixtures call by this name: the tenant's, in the first unit. */
const ofTenant = (name: string, rule: Rule): Rule => (actor, row, world) =>
  ofPersonIn({ [name]: 'tenant' }, 'id', rule)(actor, { ...row, id: idOf(`${placeOf(row)} ${name}`) }, world);
const changesVehicle: Rule = any(inCommunity('vehicles.manage'), all(isTheirVehicle, inOwnUnit('vehicles.manage_own')));
const invitesToUnitOne: Rule = ofNamed('unit 1', receives('visits.invite_own'), 'unit_id');
const changesInvitation: Rule = any(inCommunity('visits.invite'), invitesToUnitOne);
type Occupancy = World['occupancies'][number];
const isOwner = ({ role }: Occupancy): boolean => role === 'owner';
const isPayer = ({ role, unitId }: Occupancy): boolean => role === (places.some((place) => unitId === idOf(`${place} unit 1`)) ? 'tenant' : 'owner');
const seesOccupied: Rule = all((actor, row, world) => seesUnit(actor, { ...row, id: row.unit_id }, world), seesOccupancy);
const seesRepresentative: Rule = all(
  (actor, row, world) => seesUnit(actor, { ...row, id: row.unit_id }, world),
  (actor, row, world) => seesResident(actor, { ...row, id: row.resident_id }, world),
  any(inCommunity('residents.read'), inOwnUnit('residents.read_own'), asResident()),
);
/** Who is told of a community's or a unit's people on a day on which all of the fixtures' present ones were there. */
const onDay = (isMeant: (occupancy: Occupancy) => boolean, sees: Rule, unit?: string): FunctionRules => ({
  call: everybody,
  args: (place) => ({ ...(unit === undefined ? { community_id: idOf(place) } : { unit_id: idOf(`${place} ${unit}`) }), day: '2025-06-01' }),
  told: {
    of: (row) => row.resident_id,
    expected: (actor, row, world) =>
      world.occupancies
        .filter((occupancy) => occupancy.communityId === row.community_id && !occupancy.isOver && isMeant(occupancy))
        .filter(({ unitId }) => unit === undefined || unitId === idOf(`${placeOf(row)} ${unit}`))
        .filter((occupancy) => sees(actor, occupancyRow(occupancy), world))
        .map(({ residentId }) => residentId),
  },
});

export const functions: Record<string, FunctionRules | FunctionRules[]> = {
  set_account_status: {
    call: onSite('users.manage'),
    args: (place) => ({ user_id: idOf(`${place} target user`), status: 'banned', reason: 'Attack' }),
  },
  create_organization: { call: onSite('organizations.create'), args: () => ({ name: 'New', slug: 'new', country_code: 'BG' }) },
  create_community: {
    call: inOrganization('communities.create'),
    args: (place) => ({ organization_id: idOf(organizationOf[place]), name: 'New', slug: 'new', country_code: 'BG', currency_code: 'EUR', time_zone: 'UTC' }),
  },
  found_community: {
    call: everybody,
    args: () => ({
      organization_name: 'New',
      organization_slug: 'new',
      community_name: 'New',
      community_slug: 'new',
      country_code: 'BG',
      currency_code: 'EUR',
      time_zone: 'UTC',
    }),
  },
  my_places: {
    call: everybody,
    args: () => ({}),
    told: {
      of: (row) => row.community_id,
      expected: (actor, _row, world) => places.filter((place) => involvedInCommunity()(actor, { community_id: idOf(place) }, world)).map(idOf),
    },
  },

  my_sessions: {
    call: everybody,
    args: () => ({}),
    told: {
      of: (row) => row.session_id,
      expected: (actor) => (actor.name === 'user without a role' ? [idOf('session of the user without a role')] : []),
    },
  },
  // Addresses and places are for the site alone, not for who manages a community.
  user_sessions: { call: onSite('security.read'), args: (place) => ({ user_id: idOf(`${place} target user`) }) },
  auth_log: [
    { call: onSite('security.read'), args: () => ({}) },
    { call: onSite('security.read'), args: (place) => ({ user_id: idOf(`${place} target user`) }) },
  ],
  // The actors' tokens name no session.
  register_session: { call: nobody, args: () => ({ device_name: 'Attack' }) },
  end_other_sessions: { call: nobody, args: () => ({}) },
  end_session: { call: onSite('users.manage'), args: (place) => ({ session_id: idOf(`${place} session`), reason: 'Attack' }) },
  end_user_sessions: { call: onSite('users.manage'), args: (place) => ({ user_id: idOf(`${place} target user`), reason: 'Attack' }) },
  // It takes a second factor.
  require_assurance: [
    { call: nobody, args: (place) => ({ permission: 'units.read', organization_id: idOf(organizationOf[place]) }) },
    { call: nobody, args: (place) => ({ permission: 'assurance.manage', organization_id: idOf(organizationOf[place]), required: false }) },
    { call: nobody, args: () => ({ permission: 'units.read' }) },
  ],

  grant_role: [
    {
      call: mayHandOut('community/guard'),
      args: (place) => ({ user_id: idOf(`${place} target user`), role: 'guard', community_id: idOf(place) }),
    },
    // Whom the giver does not see is given nothing.
    {
      call: all(onSite('users.read'), mayHandOut('community/guard')),
      args: (place) => ({ user_id: idOf('user without a role'), role: 'guard', community_id: idOf(place) }),
    },
  ],
  revoke_role: { call: mayHandOut('community/cleaning'), args: (place) => ({ membership_id: idOf(`${place} membership`) }) },
  restrict_role: {
    call: mayHandOut('community/cleaning'),
    args: (place) => ({ membership_id: idOf(`${place} membership`), restriction: { units: [idOf(`${place} unit 1`)] } }),
  },
  create_role: [
    {
      call: all(inCommunity('roles.manage'), inCommunity('units.read')),
      args: (place) => ({ key: 'new', name: 'New', permissions: ['units.read'], community_id: idOf(place) }),
    },
    {
      call: all(inOrganization('roles.manage'), inOrganization('units.read')),
      args: (place) => ({ key: 'new', name: 'New', permissions: ['units.read'], organization_id: idOf(organizationOf[place]) }),
    },
    // Nobody builds more than they hold.
    {
      call: all(inCommunity('roles.manage'), inCommunity('communities.archive'), inCommunity('residents.read_details')),
      args: (place) => ({ key: 'new', name: 'New', permissions: ['communities.archive', 'residents.read_details'], community_id: idOf(place) }),
    },
  ],
  set_role_permissions: {
    call: all(inCommunity('roles.manage'), inCommunity('units.read')),
    args: (place) => ({ role_id: idOf(`${place} gardener`), permissions: ['communities.read', 'units.read'] }),
  },
  grant_permission: [
    {
      call: all(inCommunity('memberships.manage'), inCommunity('units.read')),
      args: (place) => ({ user_id: idOf(`${place} target user`), permission: 'units.read', reason: 'Attack', community_id: idOf(place) }),
    },
    {
      call: all(onSite('users.read'), inCommunity('memberships.manage'), inCommunity('units.read')),
      args: (place) => ({ user_id: idOf('user without a role'), permission: 'units.read', reason: 'Attack', community_id: idOf(place) }),
    },
    {
      call: all(inOrganization('memberships.manage'), inOrganization('communities.archive')),
      args: (place) => ({ user_id: idOf(`${place} target user`), permission: 'communities.archive', reason: 'Attack', organization_id: idOf(organizationOf[place]) }),
    },
    {
      call: all(inCommunity('memberships.manage'), inCommunity('communities.archive')),
      args: (place) => ({ user_id: idOf(`${place} target user`), permission: 'communities.archive', reason: 'Attack', community_id: idOf(place) }),
    },
  ],
  revoke_permission: [
    { call: inCommunity('memberships.manage'), args: (place) => ({ grant_id: idOf(`${place} grant`) }) },
    { call: inOrganization('memberships.manage'), args: (place) => ({ grant_id: idOf(`${organizationOf[place]} grant`) }) },
  ],
  my_permissions: { call: everybody, args: (place) => ({ community_id: idOf(place) }) },
  explain_access: { call: everybody, args: (place) => ({ permission: 'units.manage', community_id: idOf(place) }) },

  invite_member: [
    { call: mayHandOut('community/guard'), args: (place) => ({ email: 'new@test.example', role: 'guard', community_id: idOf(place) }) },
    {
      call: mayHandOut('organization/viewer', inOrganization),
      args: (place) => ({ email: 'new@test.example', role: 'viewer', organization_id: idOf(organizationOf[place]) }),
    },
  ],
  resend_invitation: { call: mayHandOut('community/cleaning'), args: (place) => ({ invitation_id: idOf(`${place} invitation`) }) },
  revoke_invitation: [
    { call: mayHandOut('community/cleaning'), args: (place) => ({ invitation_id: idOf(`${place} invitation`) }) },
    { call: mayHandOut('organization/viewer', inOrganization), args: (place) => ({ invitation_id: idOf(`${organizationOf[place]} invitation`) }) },
  ],
  // A token that leaked, and an id that was seen, help nobody else.
  accept_invitation: [
    { call: called('user without a role'), args: (place) => ({ token: tokenOf(place) }) },
    { call: called('user without a role'), args: (place) => ({ invitation_id: idOf(`${place} invitation of an actor`) }) },
  ],
  my_invitations: {
    call: everybody,
    args: () => ({}),
    told: {
      of: (row) => row.id,
      expected: (actor) => (actor.name === 'user without a role' ? places.map((place) => idOf(`${place} invitation of an actor`)) : []),
    },
  },

  archive: [
    { call: inCommunity('residents.archive'), args: (place) => ({ table_name: 'residents', id: idOf(`${place} resident without details`) }) },
    { call: inCommunity('roles.archive'), args: (place) => ({ table_name: 'roles', id: idOf(`${place} gardener`) }) },
    { call: inCommunity('communities.update'), args: (place) => ({ table_name: 'house_rules', id: idOf(`${place} draft`) }) },
    // Memberships end, and are not archived.
    { call: nobody, args: (place) => ({ table_name: 'memberships', id: idOf(`${place} membership`) }) },
  ],
  restore: [
    { call: inCommunity('units.archive'), args: (place) => ({ table_name: 'buildings', id: idOf(`${place} archived building`) }) },
    { call: inCommunity('residents.archive'), args: (place) => ({ table_name: 'residents', id: idOf(`${place} archived resident`) }) },
    { call: inCommunity('roles.archive'), args: (place) => ({ table_name: 'roles', id: idOf(`${place} archived gardener`) }) },
  ],
  purge: { call: onSite('records.purge'), args: (place) => ({ table_name: 'buildings', id: idOf(`${place} archived building`), reason: 'Attack' }) },

  statement_statistics: { call: onSite('operations.read'), args: () => ({ most: 3 }) },
  verify_audit: { call: onSite('audit.read'), args: () => ({}) },
  record_history: {
    call: everybody,
    args: (place) => ({ table_name: 'units', id: idOf(`${place} unit 1`) }),
    told: {
      of: (row) => (row.operation === 'insert' ? row.operation : null),
      expected: (actor, row, world) => (inCommunity('audit.read')(actor, row, world) ? ['insert'] : []),
    },
  },

  next_states: [
    { call: ofNamed('unit 1', seesUnit), args: (place) => ({ table_name: 'units', id: idOf(`${place} unit 1`) }) },
    { call: seesTarget, args: (place) => ({ table_name: 'profiles', id: idOf(`${place} target user`) }) },
    { call: inCommunity('memberships.read'), args: (place) => ({ table_name: 'invitations', id: idOf(`${place} invitation`) }) },
  ],

  settings: [
    { call: everybody, args: () => ({}) },
    { call: inCommunity('communities.read'), args: (place) => ({ community_id: idOf(place) }) },
    {
      call: all(inCommunity('communities.read'), ofNamed('unit 1', seesUnit)),
      args: (place) => ({ community_id: idOf(place), unit_id: idOf(`${place} unit 1`) }),
    },
  ],
  set_setting: [
    { call: onSite('settings.manage'), args: () => ({ key: 'general.theme', value: 'dark' }) },
    { call: inOrganization('organizations.update'), args: (place) => ({ key: 'general.theme', value: 'dark', organization_id: idOf(organizationOf[place]) }) },
    { call: inCommunity('communities.update'), args: (place) => ({ key: 'general.theme', value: null, community_id: idOf(place) }) },
    { call: inCommunity('communities.update'), args: (place) => ({ key: 'general.language', value: 'de', community_id: idOf(place) }) },
    {
      call: inCommunity('communities.update'),
      args: (place) => ({ key: 'maintenance.notice', value: 'Attack', community_id: idOf(place), building_id: idOf(`${place} building`) }),
    },
  ],
  set_preference: { call: everybody, args: () => ({ key: 'general.theme', value: 'dark' }) },
  features: [
    { call: everybody, args: () => ({}) },
    { call: inCommunity('communities.read'), args: (place) => ({ community_id: idOf(place) }) },
  ],
  set_feature: [
    {
      call: any(onSite('features.manage'), inCommunity('communities.update')),
      args: (place) => ({ key: 'house_rules.acknowledge', is_enabled: false, community_id: idOf(place) }),
    },
    {
      call: any(onSite('features.manage'), inOrganization('organizations.update')),
      args: (place) => ({ key: 'house_rules.acknowledge', is_enabled: false, organization_id: idOf(organizationOf[place]) }),
    },
    { call: onSite('features.manage'), args: (place) => ({ key: 'files.upload', is_enabled: false, community_id: idOf(place) }) },
    { call: onSite('features.manage'), args: (place) => ({ key: 'house_rules.acknowledge', is_enabled: true, is_locked: true, community_id: idOf(place) }) },
    { call: onSite('features.manage'), args: () => ({ key: 'house_rules.acknowledge', is_enabled: false }) },
  ],

  register_file: [
    {
      call: inCommunity('communities.update'),
      args: (place) => ({ community_id: idOf(place), purpose: 'community.document', file_name: 'New.pdf', content_type: 'application/pdf', size: 10 }),
    },
    {
      call: inCommunity('files.upload'),
      args: (place) => ({ community_id: idOf(place), purpose: 'member.document', file_name: 'New.pdf', content_type: 'application/pdf', size: 10 }),
    },
  ],
  remove_file: [
    { call: inCommunity('communities.update'), args: (place) => ({ file_id: idOf(`${place} file`) }) },
    { call: inCommunity('communities.update'), args: (place) => ({ file_id: idOf(`${place} document`) }) },
  ],

  set_branding: { call: inCommunity('communities.update'), args: (place) => ({ community_id: idOf(place), display_name: 'Attack' }) },
  set_opening_hours: { call: inCommunity('communities.update'), args: (place) => ({ community_id: idOf(place), hours: [] }) },
  set_opening_exception: {
    call: inCommunity('communities.update'),
    args: (place) => ({ community_id: idOf(place), falls_on: '2026-01-01', name: 'Attack', hours: [] }),
  },
  opening_times: { call: inCommunity('communities.read'), args: (place) => ({ community_id: idOf(place) }) },
  is_open: { call: inCommunity('communities.read'), args: (place) => ({ community_id: idOf(place) }) },
  house_rules_on: {
    call: everybody,
    args: (place) => ({ community_id: idOf(place), day: '2026-01-01' }),
    told: {
      of: (row) => row.id,
      expected: (actor, row, world) => (inCommunity('communities.read')(actor, row, world) ? [idOf(`${placeOf(row)} rules`)] : []),
    },
  },
  publish_house_rules: { call: inCommunity('communities.update'), args: (place) => ({ house_rules_id: idOf(`${place} draft`) }) },
  acknowledge_house_rules: [
    { call: inCommunity('communities.read'), args: (place) => ({ house_rules_id: idOf(`${place} rules`) }) },
    { call: nobody, args: (place) => ({ house_rules_id: idOf(`${place} draft`) }) },
  ],

  give_consent: [
    { call: involvedInCommunity(), args: (place) => ({ text_id: idOf(`${place} consent text`) }) },
    { call: involvedInOrganization(), args: (place) => ({ text_id: idOf(`${organizationOf[place]} consent text`) }) },
    { call: everybody, args: () => ({ text_id: idOf('site consent text') }) },
    { call: nobody, args: (place) => ({ text_id: idOf(`${place} retired consent text`) }) },
  ],
  record_consent: {
    call: inCommunity('consents.manage'),
    args: (place) => ({ resident_id: idOf(`${place} resident without details`), text_id: idOf(`${place} consent text`) }),
  },
  withdraw_consent: [
    { call: any(inCommunity('consents.manage'), ofNamed('tenant', asResident('id'))), args: (place) => ({ consent_id: idOf(`${place} consent of tenant`) }) },
    // What users said themselves, nobody takes back for them.
    { call: nobody, args: (place) => ({ consent_id: idOf(`${place} consent`) }) },
  ],

  invite_resident: {
    call: all(inCommunity('memberships.manage'), inCommunity('residents.manage')),
    args: (place) => ({ resident_id: idOf(`${place} resident without details`), email: 'new@test.example' }),
  },
  activate_resident: { call: inCommunity('residents.manage'), args: (place) => ({ resident_id: idOf(`${place} applicant`) }) },
  suspend_resident: { call: inCommunity('residents.suspend'), args: (place) => ({ resident_id: idOf(`${place} applicant`), reason: 'Attack' }) },
  resume_resident: { call: inCommunity('residents.suspend'), args: (place) => ({ resident_id: idOf(`${place} barred owner`) }) },
  onboarding_steps: { call: any(inCommunity('residents.manage'), ofNamed('tenant', asResident('id'))), args: (place) => ({ resident_id: idOf(`${place} tenant`) }) },
  set_resident_photo: {
    call: any(inCommunity('residents.manage'), ofNamed('tenant', asResident('id'))),
    args: (place) => ({ resident_id: idOf(`${place} tenant`), file_id: null }),
  },
  // A file that somebody else uploaded is nobody's to hand in.
  add_resident_document: { call: nobody, args: (place) => ({ resident_id: idOf(`${place} tenant`), file_id: idOf(`${place} file`), kind: 'other' }) },
  review_resident_document: { call: inCommunity('documents.verify'), args: (place) => ({ document_id: idOf(`${place} document of tenant`), outcome: 'rejected' }) },
  withdraw_resident_document: {
    call: any(inCommunity('documents.verify'), ofNamed('tenant', asResident('id'))),
    args: (place) => ({ document_id: idOf(`${place} document of tenant`) }),
  },
  add_emergency_contact: {
    call: any(inCommunity('emergency.manage'), ofNamed('tenant', asResident('id'))),
    args: (place) => ({ resident_id: idOf(`${place} tenant`), full_name: 'New', phone: '+359 88 555 0102', relationship: 'Brother' }),
  },
  order_emergency_contacts: {
    call: any(inCommunity('emergency.manage'), ofNamed('tenant', asResident('id'))),
    args: (place) => ({ resident_id: idOf(`${place} tenant`), contact_ids: [idOf(`${place} contact of tenant`)] }),
  },
  remove_emergency_contact: {
    call: any(inCommunity('emergency.manage'), ofNamed('tenant', asResident('id'))),
    args: (place) => ({ contact_id: idOf(`${place} contact of tenant`) }),
  },
  set_medical: [
    { call: inCommunity('emergency.manage'), args: (place) => ({ resident_id: idOf(`${place} resident without details`), medical_conditions: 'Attack', accessibility_needs: null }) },
    // Who has an account tells this themselves.
    { call: nobody, args: (place) => ({ resident_id: idOf(`${place} applicant`), medical_conditions: 'Attack', accessibility_needs: null }) },
  ],
  // Everybody is answered: what is refused is in the audit log.
  read_medical: {
    call: everybody,
    args: (place) => ({ resident_id: idOf(`${place} tenant`) }),
    told: {
      of: (row) => (row.outcome === 'granted' ? 'granted' : null),
      expected: (actor, row, world) => (ofNamed('tenant', asResident('id'))(actor, row, world) ? ['granted'] : []),
    },
  },
  medical_reads: { call: everybody, args: () => ({}) },
  set_directory_choice: { call: all(involvedInCommunity(), (actor, row) => actor.residents.some((resident) => resident.startsWith(`${placeOf(row)} `))), args: (place) => ({ community_id: idOf(place), show_name: true }) },
  directory: {
    call: (actor, row, world) =>
      actor.isActive && actor.units.some(({ unit, role }) => unit.startsWith(`${placeOf(row)} `) && holds(world, `community/${role}`, 'directory.read')),
    args: (place) => ({ community_id: idOf(place) }),
    told: {
      of: (row) => row.resident_id,
      // Who has no account, moved out, or is barred, vanishes whatever they chose.
      expected: (_actor, row) => (placeOf(row) === 'alder' ? ['tenant', 'owner'] : []).map((name) => idOf(`${placeOf(row)} ${name}`)),
    },
  },
  check_identity: { call: inCommunity('documents.verify'), args: (place) => ({ resident_id: idOf(`${place} resident without details`), outcome: 'verified' }) },

  unit_owners_on: onDay(isOwner, seesOccupied, 'unit 1'),
  community_owners_on: onDay(isOwner, seesOccupied),
  unit_occupants_on: onDay(() => true, seesOccupied, 'unit 1'),
  community_occupants_on: onDay(() => true, seesOccupied),
  // The tenant pays for unit 1.
  unit_payer_on: onDay(isPayer, seesRepresentative, 'unit 1'),
  community_payers_on: onDay(isPayer, seesRepresentative),
  unit_voters_on: onDay(isOwner, seesRepresentative, 'unit 1'),
  community_voters_on: onDay(isOwner, seesRepresentative),
  sell_unit: { call: inCommunity('residents.manage'), args: (place) => ({ unit_id: idOf(`${place} unit 1`), sold_on: '2025-01-01', buyers: [{ full_name: 'New' }] }) },
  transfer_units: {
    call: inCommunity('residents.manage'),
    args: (place) => ({ unit_ids: [idOf(`${place} unit 1`), idOf(`${place} empty unit`)], sold_on: '2025-01-01', buyers: [{ full_name: 'New' }] }),
  },
  set_ownership_shares: {
    call: inCommunity('residents.manage'),
    args: (place) => ({ unit_id: idOf(`${place} unit 1`), shares: { [idOf(`${place} owner occupancy`)]: 100 } }),
  },
  set_unit_representative: {
    call: inCommunity('residents.manage'),
    args: (place) => ({ unit_id: idOf(`${place} unit 1`), kind: 'payer', resident_id: idOf(`${place} owner`), starts_on: '2025-01-01' }),
  },
  sign_lease: { call: inCommunity('leases.manage'), args: (place) => ({ unit_id: idOf(`${place} empty unit`), starts_on: '2025-01-01', tenants: [{ full_name: 'New' }] }) },
  extend_lease: { call: inCommunity('leases.manage'), args: (place) => ({ lease_id: idOf(`${place} lease`), ends_on: '2099-01-01' }) },
  end_lease: { call: inCommunity('leases.manage'), args: (place) => ({ lease_id: idOf(`${place} lease`), ends_on: '2025-01-01' }) },
  move_in: { call: inCommunity('residents.manage'), args: (place) => ({ unit_id: idOf(`${place} empty unit`), movers: [{ full_name: 'New' }] }) },
  move_out: { call: inCommunity('residents.manage'), args: (place) => ({ unit_id: idOf(`${place} unit 1`), last_on: '2025-01-01' }) },
  add_household_member: {
    call: any(inCommunity('residents.manage'), ofNamed('unit 1', inOwnUnit('household.manage_own'), 'unit_id')),
    args: (place) => ({ unit_id: idOf(`${place} unit 1`), full_name: 'New', role: 'authorized' }),
  },
  // The family in unit 1 is the tenant's, not the owner's.
  end_household_member: {
    call: any(inCommunity('residents.manage'), ofNamed('tenant', asResident('id'))),
    args: (place) => ({ occupancy_id: idOf(`${place} family occupancy`) }),
  },
  place_hold: { call: inCommunity('privacy.manage'), args: (place) => ({ reason: 'Attack', resident_id: idOf(`${place} tenant`) }) },
  lift_hold: { call: inCommunity('privacy.manage'), args: (place) => ({ hold_id: idOf(`${place} hold`), reason: 'Attack' }) },
  request_privacy: [
    { call: any(involvedInCommunity(), ofNamed('past tenant', asResident('id')), ofNamed('barred owner', asResident('id'))), args: (place) => ({ kind: 'export', community_id: idOf(place) }) },
    { call: any(inCommunity('privacy.manage'), ofNamed('tenant', asResident('id'))), args: (place) => ({ kind: 'erase', resident_id: idOf(`${place} tenant`) }) },
  ],
  resolve_privacy_request: {
    call: inCommunity('privacy.manage'),
    args: (place) => ({ request_id: idOf(`${place} request of tenant`), outcome: 'refused', answer: 'Attack' }),
  },
  withdraw_privacy_request: {
    call: any(inCommunity('privacy.manage'), ofNamed('tenant', asResident('id'))),
    args: (place) => ({ request_id: idOf(`${place} request of tenant`) }),
  },
  export_personal_data: [
    { call: any(inCommunity('privacy.manage'), ofNamed('tenant', asResident('id'))), args: (place) => ({ resident_id: idOf(`${place} tenant`) }) },
    { call: everybody, args: () => ({}) },
  ],
  erase_personal_data: { call: inCommunity('privacy.manage'), args: (place) => ({ resident_id: idOf(`${place} resident without details`), reason: 'Attack' }) },
  // Nobody erases an account by mistake, not even the own.
  erase_my_account: { call: nobody, args: () => ({ confirmation: 'yes' }) },
  merge_residents: {
    call: all(inCommunity('residents.manage'), inCommunity('residents.archive')),
    args: (place) => ({ keep_id: idOf(`${place} tenant`), duplicate_id: idOf(`${place} resident without details`), reason: 'Attack' }),
  },

  set_unit_maintenance: { call: inCommunity('units.manage'), args: (place) => ({ unit_id: idOf(`${place} unit 1`), under_maintenance: true }) },
  import_roster: {
    call: inCommunity('roster.import'),
    args: (place) => ({ community_id: idOf(place), headers: ['Unit', 'Name', 'Role'], rows: [['new', 'New Person', 'owner']], dry_run: false }),
  },
  roster_headers: { call: everybody, args: () => ({}) },

  // Statements, and what the books begin with.
  trial_balance: { call: inCommunity('ledger.read'), args: (place) => ({ community_id: idOf(place), on_day: '2026-06-30' }) },
  balance_sheet: { call: inCommunity('ledger.read'), args: (place) => ({ community_id: idOf(place), on_day: '2026-06-30' }) },
  income_statement: { call: inCommunity('ledger.read'), args: (place) => ({ community_id: idOf(place), from_day: '2026-01-01', to_day: '2026-06-30' }) },
  cash_flow: { call: inCommunity('ledger.read'), args: (place) => ({ community_id: idOf(place), from_day: '2026-01-01', to_day: '2026-06-30' }) },
  fund_report: { call: inCommunity('ledger.read'), args: (place) => ({ community_id: idOf(place), from_day: '2026-01-01', to_day: '2026-06-30' }) },
  general_ledger: { call: inCommunity('ledger.read'), args: (place) => ({ account_id: idOf(`${place} stated account`), from_day: '2026-01-01', to_day: '2026-06-30' }) },
  verify_ledger: { call: inCommunity('ledger.read'), args: (place) => ({ community_id: idOf(place) }) },
  review_finding: { call: inCommunity('ledger.review'), args: (place) => ({ finding_id: idOf(`${place} ledger finding`), note: 'Attack' }) },
  movements_by_hand: { call: inCommunity('ledger.read'), args: (place) => ({ community_id: idOf(place), from_day: '2026-01-01', to_day: '2026-06-30' }) },
  import_opening_balances: {
    call: inCommunity('ledger.post'),
    // The first month is closed: it may be asked, and would be refused.
    args: (place) => ({ community_id: idOf(place), headers: ['Account', 'Balance'], rows: [['STATED', '25']], dry_run: true }),
  },

  register_vehicle: [
    { call: any(inCommunity('vehicles.manage'), inUnitOne('vehicles.manage_own')), args: (place) => ({ unit_id: idOf(`${place} unit 1`), plate: 'NEW 1234' }) },
    // For somebody else: whom one sees in the own unit.
    {
      call: any(inCommunity('vehicles.manage'), all(inUnitOne('vehicles.manage_own'), (actor, row, world) => ofPersonIn({ owner: 'owner' }, 'id', seesAsHousehold)(actor, { ...row, id: idOf(`${placeOf(row)} owner`) }, world))),
      args: (place) => ({ unit_id: idOf(`${place} unit 1`), resident_id: idOf(`${place} owner`), plate: 'NEW 1234' }),
    },
    { call: inCommunity('vehicles.manage'), args: (place) => ({ unit_id: idOf(`${place} unit 1`), resident_id: idOf(`${place} tenant`), plate: 'NEW 1234', tag_number: '77' }) },
  ],
  set_vehicle_status: [
    { call: ofTenant('vehicle', changesVehicle), args: (place) => ({ vehicle_id: idOf(`${place} vehicle`), status: 'removed' }) },
    { call: inCommunity('vehicles.manage'), args: (place) => ({ vehicle_id: idOf(`${place} vehicle`), status: 'suspended' }) },
    { call: inCommunity('vehicles.manage'), args: (place) => ({ vehicle_id: idOf(`${place} pending vehicle`), status: 'active' }) },
  ],
  set_vehicle_marks: { call: inCommunity('vehicles.manage'), args: (place) => ({ vehicle_id: idOf(`${place} vehicle`), plate: 'NEW 1234', tag_number: null }) },
  set_vehicle_photos: { call: ofTenant('vehicle', changesVehicle), args: (place) => ({ vehicle_id: idOf(`${place} vehicle`), file_ids: [idOf(`${place} vehicle photo`)] }) },
  find_vehicle: {
    call: inCommunity('vehicles.read'),
    args: (place) => ({ community_id: idOf(place), plate: 'cb-i234-ab' }),
    told: { of: (row) => row.vehicle_id, expected: (_actor, row) => [idOf(`${placeOf(row)} vehicle`)] },
  },

  set_access_point_status: { call: inCommunity('gates.manage'), args: (place) => ({ access_point_id: idOf(`${place} gate`), status: 'out_of_service', reason: 'Attack' }) },
  enroll_device: { call: inCommunity('gates.manage'), args: (place) => ({ access_point_id: idOf(`${place} gate`), name: 'New', kind: 'reader' }) },
  rotate_device_key: { call: inCommunity('gates.manage'), args: (place) => ({ device_id: idOf(`${place} device`), overlap_minutes: 0 }) },
  revoke_device: { call: inCommunity('gates.manage'), args: (place) => ({ device_id: idOf(`${place} device`), reason: 'Attack' }) },
  device_health: {
    call: inCommunity('gates.manage'),
    args: (place) => ({ community_id: idOf(place) }),
    told: { of: (row) => row.device_id, expected: (_actor, row) => [idOf(`${placeOf(row)} device`)] },
  },
  // For devices, and no user is one.
  device_check_in: { call: nobody, args: () => ({}) },
  register_device_photo: { call: nobody, args: () => ({ content_type: 'image/jpeg', size: 4 }) },
  set_guard_user: { call: inCommunity('guards.manage'), args: (place) => ({ guard_id: idOf(`${place} guard`), user_id: null }) },
  set_guard_status: { call: inCommunity('guards.manage'), args: (place) => ({ guard_id: idOf(`${place} guard`), status: 'left', reason: 'Attack' }) },
  plan_shift: {
    call: inCommunity('guards.manage'),
    args: (place) => ({ booth_id: idOf(`${place} booth`), name: 'New', starts_at: '2030-01-01T08:00:00Z', ends_at: '2030-01-01T16:00:00Z', guard_ids: [idOf(`${place} second guard`)] }),
  },
  plan_shifts: {
    call: inCommunity('guards.manage'),
    args: (place) => ({ booth_id: idOf(`${place} booth`), name: 'New', first_on: '2030-01-01', last_on: '2030-01-02', starts_at: '08:00', ends_at: '16:00' }),
  },
  move_shift: {
    call: inCommunity('guards.manage'),
    args: (place) => ({ shift_id: idOf(`${place} shift`), starts_at: '2030-01-01T08:00:00Z', ends_at: '2030-01-01T16:00:00Z' }),
  },
  assign_guard: { call: inCommunity('guards.manage'), args: (place) => ({ shift_id: idOf(`${place} shift`), guard_id: idOf(`${place} second guard`) }) },
  unassign_guard: { call: inCommunity('guards.manage'), args: (place) => ({ shift_id: idOf(`${place} shift`), guard_id: idOf(`${place} guard`) }) },
  booth_on_duty: {
    call: everybody,
    args: (place) => ({ booth_id: idOf(`${place} booth`) }),
    told: { of: (row) => row.guard_id, expected: (actor, row, world) => (inCommunity('guards.read')(actor, row, world) ? [idOf(`${placeOf(row)} guard`)] : []) },
  },
  issue_access_card: { call: inCommunity('gates.manage'), args: (place) => ({ community_id: idOf(place), number: '9999', resident_id: idOf(`${place} tenant`) }) },
  set_access_card_status: [
    { call: inCommunity('gates.manage'), args: (place) => ({ card_id: idOf(`${place} key card of tenant`), status: 'blocked' }) },
    {
      call: all(involvedInCommunity(), any(inCommunity('gates.manage'), ofNamed('tenant', asResident('id')))),
      args: (place) => ({ card_id: idOf(`${place} key card of tenant`), status: 'lost' }),
    },
  ],
  place_access_hold: { call: inCommunity('gates.manage'), args: (place) => ({ community_id: idOf(place), reason: 'attack', resident_id: idOf(`${place} owner`) }) },
  lift_access_hold: { call: inCommunity('gates.manage'), args: (place) => ({ hold_id: idOf(`${place} hold at the gate`), reason: 'Attack' }) },

  invite_visitor: [
    {
      call: any(inCommunity('visits.invite'), invitesToUnitOne),
      args: (place) => ({ kind: 'single', unit_id: idOf(`${place} unit 1`), visitor_name: 'New', ends_at: '2030-01-02T00:00:00Z', starts_at: '2030-01-01T00:00:00Z' }),
    },
    {
      call: inCommunity('visits.invite'),
      args: (place) => ({ kind: 'service', community_id: idOf(place), provider_name: 'New', ends_at: '2030-01-02T00:00:00Z', starts_at: '2030-01-01T00:00:00Z' }),
    },
  ],
  change_visitor_invitation: { call: changesInvitation, args: (place) => ({ invitation_id: idOf(`${place} visitor invitation`), changes: { note: 'Attack' } }) },
  cancel_visitor_invitation: { call: changesInvitation, args: (place) => ({ invitation_id: idOf(`${place} visitor invitation`), reason: 'Attack' }) },
  add_invitation_guest: { call: changesInvitation, args: (place) => ({ invitation_id: idOf(`${place} visitor invitation`), full_name: 'New' }) },
  remove_invitation_guest: { call: changesInvitation, args: (place) => ({ guest_id: idOf(`${place} invitation guest`) }) },
  except_invitation_day: { call: changesInvitation, args: (place) => ({ invitation_id: idOf(`${place} recurring invitation`), falls_on: '2030-01-01', kind: 'skipped' }) },
  issue_entry_code: [
    { call: changesInvitation, args: (place) => ({ invitation_id: idOf(`${place} visitor invitation`) }) },
    { call: changesInvitation, args: (place) => ({ invitation_id: idOf(`${place} visitor invitation`), guest_id: idOf(`${place} invitation guest`) }) },
  ],
  revoke_entry_code: { call: changesInvitation, args: (place) => ({ invitation_id: idOf(`${place} visitor invitation`) }) },
  visitor_invitation_days: {
    call: ofTenantsInvitation(seesVisit),
    args: (place) => ({ invitation_id: idOf(`${place} recurring invitation`), from_on: '2026-01-01', to_on: '2026-01-10' }),
    told: { of: (row) => row.falls_on, expected: () => ['2026-01-08'] },
  },
  announce_visitor: { call: inCommunity('visits.manage'), args: (place) => ({ unit_id: idOf(`${place} unit 1`), visitor_name: 'New' }) },
  answer_visit: { call: invitesToUnitOne, args: (place) => ({ visit_id: idOf(`${place} walk-in`), approve: true }) },
  visit_answer: { call: ofNamed('unit 1', seesVisit, 'unit_id'), args: (place) => ({ visit_id: idOf(`${place} walk-in`) }) },
  check_in_visit: [
    { call: inCommunity('visits.manage'), args: (place) => ({ visit_id: idOf(`${place} approved visit`) }) },
    { call: inCommunity('visits.manage'), args: (place) => ({ invitation_id: idOf(`${place} visitor invitation`), guest_id: idOf(`${place} invitation guest`) }) },
  ],
  check_out_visit: { call: inCommunity('visits.manage'), args: (place) => ({ visit_id: idOf(`${place} visit inside`) }) },
  decide_access: [
    { call: inCommunity('access.decide'), args: (place) => ({ access_point_id: idOf(`${place} gate`), method: 'qr', credential: 'nothing' }) },
    { call: inCommunity('access.decide'), args: (place) => ({ access_point_id: idOf(`${place} gate`), method: 'guard', note: 'Attack' }) },
    // Residents for themselves, where they live.
    { call: livesHere, args: (place) => ({ access_point_id: idOf(`${place} gate`), method: 'app' }) },
    // What the landlord or a neighbour asks about the tenant's visitor is asked about no visit.
    {
      call: any(inCommunity('access.decide'), all(livesHere, ofNamed('unit 1', receives('visits.read_own'), 'unit_id'))),
      args: (place) => ({ access_point_id: idOf(`${place} gate`), method: 'intercom', visit_id: idOf(`${place} approved visit`) }),
    },
  ],
  reset_presence: { call: inCommunity('access.decide'), args: (place) => ({ community_id: idOf(place), subject_id: idOf(`${place} tenant`), reason: 'Attack' }) },
  // Billing: expenses.
  create_expense_category: { call: inCommunity('expenses.manage'), args: (place) => ({ community_id: idOf(place), code: 'NEW', name: 'New', account_id: idOf(`${place} expense account`) }) },
  change_expense_category: { call: inCommunity('expenses.manage'), args: (place) => ({ category_id: idOf(`${place} expense category`), code: 'ATTACK', name: 'Attack' }) },
  set_expense_category_status: { call: inCommunity('expenses.manage'), args: (place) => ({ category_id: idOf(`${place} expense category`), status: 'inactive' }) },
  enter_expense: {
    call: inCommunity('expenses.manage'),
    args: (place) => ({ community_id: idOf(place), category_id: idOf(`${place} expense category`), description: 'Attack', amount: 1, incurred_on: '2026-01-01', receipt_file_id: idOf(`${place} receipt`) }),
  },
  change_expense: {
    call: inCommunity('expenses.manage'),
    args: (place) => ({ expense_id: idOf(`${place} draft expense`), category_id: idOf(`${place} expense category`), description: 'Attack', amount: 1, incurred_on: '2026-01-01' }),
  },
  set_expense_receipt: { call: inCommunity('expenses.manage'), args: (place) => ({ expense_id: idOf(`${place} draft expense`), file_id: idOf(`${place} receipt`) }) },
  submit_expense: { call: inCommunity('expenses.manage'), args: (place) => ({ expense_id: idOf(`${place} draft expense`) }) },
  reopen_expense: { call: inCommunity('expenses.manage'), args: (place) => ({ expense_id: idOf(`${place} submitted expense`) }) },
  approve_expense: { call: inCommunity('expenses.approve'), args: (place) => ({ expense_id: idOf(`${place} submitted expense`) }) },
  reject_expense: { call: inCommunity('expenses.approve'), args: (place) => ({ expense_id: idOf(`${place} submitted expense`), reason: 'Attack' }) },
  pay_expense: { call: inCommunity('expenses.pay'), args: (place) => ({ expense_id: idOf(`${place} approved expense`), amount: 1 }) },
  reverse_expense_payment: { call: inCommunity('expenses.pay'), args: (place) => ({ expense_id: idOf(`${place} paid expense`), reason: 'Attack' }) },
  payables_aging: { call: all(inCommunity('ledger.read'), inCommunity('expenses.read')), args: (place) => ({ community_id: idOf(place) }) },
  cancel_expense: { call: inCommunity('expenses.manage'), args: (place) => ({ expense_id: idOf(`${place} approved expense`), reason: 'Attack' }) },
  preview_expense_allocation: {
    call: inCommunity('charges.read'),
    args: (place) => ({ expense_id: idOf(`${place} approved expense`) }),
    told: { of: (row) => row.unit_id, expected: (_actor, row) => [idOf(`${placeOf(row)} empty unit`)] },
  },
  allocate_expense: { call: inCommunity('expenses.manage'), args: (place) => ({ expense_id: idOf(`${place} approved expense`), due_on: '2099-01-01' }) },
  reverse_expense_allocation: { call: inCommunity('expenses.manage'), args: (place) => ({ expense_id: idOf(`${place} allocated expense`), reason: 'Attack' }) },
  adjust_charge: [
    { call: inCommunity('charges.adjust'), args: (place) => ({ charge_id: idOf(`${place} adjusted charge`), kind: 'credit_note', reason: 'Attack', amount: 1 }) },
    { call: inCommunity('charges.write_off'), args: (place) => ({ charge_id: idOf(`${place} adjusted charge`), kind: 'write_off', reason: 'Attack' }) },
  ],
  reverse_adjustment: { call: inCommunity('charges.adjust'), args: (place) => ({ adjustment_id: idOf(`${place} adjustment`), reason: 'Attack' }) },
  account_statement: {
    call: any(inCommunity('ledger.read'), all(involvedInCommunity(), ofNamed('tenant', asResident('id')))),
    args: (place) => ({ subaccount_id: idOf(`${place} subaccount`) }),
  },
  receivables_aging: {
    call: everybody,
    args: (place) => ({ community_id: idOf(place) }),
    told: {
      of: (row) => row.subaccount_id,
      expected: (actor, row, world) =>
        world.subaccounts.filter(({ id, communityId, isOwing }) => communityId === row.community_id && isOwing && keepsBooksOr(() => isTheirs(actor, world, id))(actor, row, world)).map(({ id }) => id),
    },
  },
  // They are open everywhere: who may open them, the tests of the database tell.
  open_books: { call: nobody, args: (place) => ({ community_id: idOf(place), opened_on: '2026-01-01' }) },
  create_fund: { call: inCommunity('ledger.manage'), args: (place) => ({ community_id: idOf(place), name: 'New', code: 'NEW', kind: 'special' }) },
  create_account: { call: inCommunity('ledger.manage'), args: (place) => ({ fund_id: idOf(`${place} fund`), code: 'NEW', name: 'New', type: 'expense' }) },
  set_ledger_account_status: { call: inCommunity('ledger.manage'), args: (place) => ({ account_id: idOf(`${place} fund bank`), status: 'inactive' }) },
  post_journal_entry: {
    call: inCommunity('ledger.post'),
    args: (place) => ({
      community_id: idOf(place),
      effective_on: '2026-02-01',
      description: 'Attack',
      postings: [{ debit_account_id: idOf(`${place} fund bank`), credit_account_id: idOf(`${place} fund other_income`), amount: 5 }],
    }),
  },
  reverse_journal_entry: [
    { call: inCommunity('ledger.post'), args: (place) => ({ entry_id: idOf(`${place} journal entry`), reason: 'Attack' }) },
    { call: inCommunity('ledger.post'), args: (place) => ({ entry_id: idOf(`${place} charge entry`), reason: 'Attack' }) },
  ],
  transfer_between_funds: {
    call: inCommunity('ledger.post'),
    args: (place) => ({ from_fund_id: idOf(`${place} fund`), to_fund_id: idOf(`${place} other fund`), amount: 5, effective_on: '2026-02-01', description: 'Attack' }),
  },
  close_period: { call: inCommunity('ledger.close'), args: (place) => ({ community_id: idOf(place), ends_on: '2025-12-31' }) },
  reopen_period: { call: inCommunity('ledger.reopen'), args: (place) => ({ period_id: idOf(`${place} period`), reason: 'Attack' }) },
  add_blacklist_entry: { call: inCommunity('blacklist.manage'), args: (place) => ({ community_id: idOf(place), reason: 'Attack', full_name: 'Enemy' }) },
  change_blacklist_entry: { call: inCommunity('blacklist.manage'), args: (place) => ({ entry_id: idOf(`${place} blacklist entry`), ends_at: '2099-01-01' }) },
  lift_blacklist_entry: { call: inCommunity('blacklist.manage'), args: (place) => ({ entry_id: idOf(`${place} blacklist entry`), reason: 'Attack' }) },
  add_blacklist_evidence: { call: inCommunity('blacklist.manage'), args: (place) => ({ entry_id: idOf(`${place} blacklist entry`), file_id: idOf(`${place} evidence file`) }) },
  check_blacklist: {
    call: inCommunity('blacklist.read'),
    args: (place) => ({ community_id: idOf(place), full_name: 'Petar Listed' }),
    told: { of: (row) => row.entry_id, expected: (_actor, row) => [idOf(`${placeOf(row)} blacklist entry`)] },
  },

  issue_pass: [
    { call: changesInvitation, args: (place) => ({ invitation_id: idOf(`${place} visitor invitation`) }) },
    { call: changesInvitation, args: (place) => ({ invitation_id: idOf(`${place} visitor invitation`), guest_id: idOf(`${place} invitation guest`) }) },
    // For gates without a line: the key is there.
    { call: changesInvitation, args: (place) => ({ invitation_id: idOf(`${place} recurring invitation`), is_offline: true }) },
  ],
  revoke_pass: [
    { call: any(inCommunity('passes.manage'), invitesToUnitOne), args: (place) => ({ pass_id: idOf(`${place} visitor pass`), reason: 'Attack' }) },
    { call: any(inCommunity('passes.manage'), ofNamed('tenant', all(involvedInCommunity(), asResident('id')))), args: (place) => ({ pass_id: idOf(`${place} resident pass`), reason: 'Attack' }) },
  ],
  resident_pass_seed: {
    call: all(involvedInCommunity(), (actor, row) => actor.residents.some((resident) => resident.startsWith(`${placeOf(row)} `))),
    args: (place) => ({ community_id: idOf(place) }),
  },
  pass_keys: {
    call: inCommunity('passes.read'),
    args: (place) => ({ community_id: idOf(place) }),
    told: { of: (row) => row.kid, expected: (_actor, row) => [kidOf(placeOf(row)), offlineKidOf(placeOf(row))] },
  },
  rotate_pass_key: { call: inCommunity('passes.manage'), args: (place) => ({ community_id: idOf(place) }) },
  revoke_pass_key: { call: inCommunity('passes.manage'), args: (place) => ({ kid: kidOf(place), reason: 'Attack' }) },
  pass_public_keys: {
    call: inCommunity('passes.manage'),
    args: (place) => ({ community_id: idOf(place) }),
    told: { of: (row) => row.kid, expected: (_actor, row) => [offlineKidOf(placeOf(row))] },
  },
  revoked_offline_passes: { call: inCommunity('passes.manage'), args: (place) => ({ community_id: idOf(place) }), told: { of: (row) => row.pass_id, expected: () => [] } },
  // Whoever has the link needs no account.
  open_visitor_pass: {
    call: everybody,
    args: (place) => ({ token: linkOf(place) }),
    told: { of: (row) => row.state, expected: () => ['valid'] },
    isPublic: true,
  },
  // For the function that signs, with the secret key.
  add_pass_key: { call: nobody, args: (place) => ({ invitation_id: idOf(`${place} visitor invitation`), public_key: `${'A'.repeat(43)}=`, secret: `${'A'.repeat(43)}=` }) },
  pass_signing_key: { call: nobody, args: (place) => ({ pass_id: idOf(`${place} unsigned pass`) }) },
  seal_pass: { call: nobody, args: (place) => ({ pass_id: idOf(`${place} unsigned pass`), pass: 'v2', link_token: linkOf(place) }) },

  search: {
    call: everybody,
    args: () => ({ query: 'tenant', kinds: ['resident'], most: 100 }),
    told: {
      of: (row) => row.id,
      expected: (actor, _row, world) =>
        [...places.map((place) => `${place} tenant`), 'alder past tenant'].map(idOf).filter((id) => {
          const resident = world.residents.find((one) => one.id === id);
          return seesResident(actor, { id, community_id: resident?.communityId }, world);
        }),
    },
  },

  register_pet: {
    call: any(inCommunity('pets.manage'), all(inUnitOne('pets.manage_own'), ofTenant('pet', seesAsHousehold))),
    args: (place) => ({ unit_id: idOf(`${place} unit 1`), resident_id: idOf(`${place} tenant`), name: 'New', kind: 'cat' }),
  },
  set_pet_status: [
    { call: ofTenant('pet', changesPet), args: (place) => ({ pet_id: idOf(`${place} pet`), status: 'moved_away' }) },
    { call: inCommunity('pets.manage'), args: (place) => ({ pet_id: idOf(`${place} pet that moved away`), status: 'living' }) },
  ],
  set_pet_registration: { call: ofTenant('pet', changesPet), args: (place) => ({ pet_id: idOf(`${place} pet`), chip_number: '999000000000001' }) },
  set_pet_photo: { call: ofTenant('pet', changesPet), args: (place) => ({ pet_id: idOf(`${place} pet`), file_id: null }) },
  record_vaccination: { call: ofTenant('pet', changesPet), args: (place) => ({ pet_id: idOf(`${place} pet`), vaccine: 'New', given_on: '2026-01-01' }) },
  report_pet_incident: { call: inCommunity('pets.report'), args: (place) => ({ community_id: idOf(place), description: 'New', pet_id: idOf(`${place} pet`) }) },
  settle_pet_incident: { call: inCommunity('pets.manage'), args: (place) => ({ incident_id: idOf(`${place} pet incident`), status: 'resolved' }) },
  pet_history: {
    call: ofTenant('pet', any(inCommunity('pets.manage'), isTheirPet)),
    args: (place) => ({ pet_id: idOf(`${place} pet`) }),
    told: { of: (row) => row.id, expected: (_actor, row) => [idOf(`${placeOf(row)} vaccination`), idOf(`${placeOf(row)} pet incident`)] },
  },

  // Fees and charges. What a run answers differs from call to call, and who may look at it beforehand sees every unit.
  charge_unit: {
    call: inCommunity('fees.run'),
    args: (place) => ({ unit_id: idOf(`${place} unit 1`), fund_id: idOf(`${place} fund`), amount: 5, description: 'Attack', charged_on: '2026-02-01', due_on: '2026-02-01' }),
  },
  create_fee: {
    call: inCommunity('fees.manage'),
    args: (place) => ({ community_id: idOf(place), name: 'Attack', fund_id: idOf(`${place} fund`), allocation_key_id: idOf(`${place} key per unit`), amount: 1, first_on: '2026-01-01' }),
  },
  set_fee_status: { call: inCommunity('fees.manage'), args: (place) => ({ fee_id: idOf(`${place} fee`), status: 'inactive' }) },
  set_fee_instalments: { call: inCommunity('fees.manage'), args: (place) => ({ fee_id: idOf(`${place} assessment`), instalments: [] }) },
  fee_schedule: { call: inCommunity('fees.read'), args: (place) => ({ fee_id: idOf(`${place} fee`), from_day: '2026-01-01', to_day: '2026-12-31' }) },
  preview_fee_run: { call: inCommunity('fees.run'), args: (place) => ({ fee_id: idOf(`${place} fee`), day: '2026-02-01' }) },
  stale_charges: { call: inCommunity('charges.read'), args: (place) => ({ community_id: idOf(place), from_day: '2026-01-01', to_day: '2026-03-31' }) },
  run_fee: { call: inCommunity('fees.run'), args: (place) => ({ fee_id: idOf(`${place} fee`), day: '2026-02-01' }) },
  run_fees: { call: inCommunity('fees.run'), args: (place) => ({ community_id: idOf(place), day: '2026-02-01' }) },
  reverse_fee_run: { call: inCommunity('fees.run'), args: (place) => ({ fee_run_id: idOf(`${place} fee run`), reason: 'Attack', effective_on: '2026-02-01' }) },

  // Allocation.
  enter_allocation_inputs: {
    call: inCommunity('expenses.manage'),
    args: (place) => ({ community_id: idOf(place), measure: 'heat', starts_on: '2026-03-01', ends_on: '2026-03-31', quantities: [{ unit_id: idOf(`${place} unit 1`), quantity: 1 }] }),
  },
  create_allocation_key: { call: inCommunity('expenses.manage'), args: (place) => ({ community_id: idOf(place), name: 'Attack', method: 'per_unit' }) },
  change_allocation_key: { call: inCommunity('expenses.manage'), args: (place) => ({ key_id: idOf(`${place} fixed key`), description: 'Attack' }) },
  set_allocation_key_status: { call: inCommunity('expenses.manage'), args: (place) => ({ key_id: idOf(`${place} fixed key`), status: 'inactive' }) },
  formula_inputs: { call: inCommunity('expenses.manage'), args: (place) => ({ key_id: idOf(`${place} formula key`), starts_on: '2026-01-01', ends_on: '2026-01-31' }) },
  // The function that evaluates formulas alone, with the secret key.
  store_formula_weights: {
    call: nobody,
    args: (place) => ({ key_id: idOf(`${place} formula key`), version: 1, starts_on: '2026-01-01', ends_on: '2026-01-31', digest: '', weights: [] }),
  },
  preview_allocation: { call: inCommunity('charges.read'), args: (place) => ({ key_id: idOf(`${place} key per unit`), starts_on: '2026-01-01', ends_on: '2026-01-31', total: 100 }) },
  allocation_line_facts: { call: inCommunity('charges.read'), args: (place) => ({ line_id: idOf(`${place} allocation line`) }) },
  explain_allocation_line: { call: inCommunity('charges.read'), args: (place) => ({ line_id: idOf(`${place} allocation line`) }) },
};

/** The attacks on a function. */
export const attacksOn = (name: string): FunctionRules[] => [functions[name] ?? []].flat();
