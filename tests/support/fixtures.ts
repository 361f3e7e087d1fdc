import { createHash } from 'node:crypto';
import { SignJWT } from 'jose';
import { withClient } from '../../scripts/stack/postgres.ts';
import type { Sql } from './database.ts';

/** The id of whatever the fixtures call by this name; the same in every run. */
export function idOf(name: string): string {
  const known = ids.get(name);
  if (known !== undefined) return known;
  const hash = createHash('md5').update(`vicinia test ${name}`).digest('hex');
  const id = hash.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  ids.set(name, id);
  return id;
}
// Rules ask for the same few hundred thousands of times.
const ids = new Map<string, string>();

/** The communities: two of one organization, and one of another. */
export const places = ['alder', 'birch', 'cedar'] as const;
export type Place = (typeof places)[number];
export const organizationOf: Record<Place, string> = { alder: 'north', birch: 'north', cedar: 'south' };

/** A role that somebody holds: `<level>/<key>`, and where; or a permission that was given to them alone: `single <permission>`. */
export type Held = { role: string; organization?: string; community?: Place };

/** A user and what the fixtures gave them. What they may see and do follows from this and from `public.role_permissions`. */
export type Actor = {
  name: string;
  userId: string;
  /** Roles in force, those of occupancies included. */
  roles: Held[];
  /** Units occupied today, each with the role. */
  units: { unit: string; role: string }[];
  /** The actor's residents' records, by name. */
  residents: string[];
  /** Whether the account may be used at all. */
  isActive: boolean;
};

const occupancyRoles = ['owner', 'tenant', 'family', 'authorized', 'guest'] as const;

/**
 * Fills a migrated database with two organizations and three communities that have a row in every table, and one user per role:
 * every system role where it is held, every role of occupancy, neighbours of other communities, and those who must be out.
 *
 * @returns the users; what they hold is written here, not read from the database
 */
export async function createFixtures(databaseUrl: string, sql: Sql): Promise<Actor[]> {
  const systemRoles = await sql<{ level: 'site' | 'organization' | 'community'; key: string }>(
    `select level, key from public.roles where is_membership and organization_id is null and community_id is null order by level, key`,
  );
  const actors: Actor[] = [];
  const act = (name: string, more: Partial<Actor> = {}): Actor => {
    const actor = { name, userId: idOf(name), roles: [], units: [], residents: [], isActive: true, ...more };
    actors.push(actor);
    return actor;
  };

  // Everybody who holds one role, where it is held.
  for (const { level, key } of systemRoles) {
    if (level === 'site') act(`site ${key}`, { roles: [{ role: `site/${key}` }] });
    if (level === 'organization') act(`organization ${key}`, { roles: [{ role: `organization/${key}`, organization: 'north' }] });
    if (level === 'community') act(`community ${key}`, { roles: [{ role: `community/${key}`, community: 'alder' }] });
  }
  for (const role of occupancyRoles) {
    act(`${role} by occupancy`, { roles: [{ role: `community/${role}`, community: 'alder' }], units: [{ unit: 'alder unit 1', role }], residents: [`alder ${role}`] });
  }
  act('holder of a custom role', { roles: [{ role: 'community/caretaker of north', community: 'alder' }] });
  act('holder of single permissions', { roles: [{ role: 'single residents.read', community: 'alder' }, { role: 'single residents.read', organization: 'south' }] });
  act('guard of one unit', { roles: [{ role: 'community/guard within limits', community: 'alder' }], units: [{ unit: 'alder unit 1', role: 'guard within limits' }] });

  // Neighbours.
  act('manager of another community of the organization', { roles: [{ role: 'community/manager', community: 'birch' }] });
  act('manager of a foreign community', { roles: [{ role: 'community/manager', community: 'cedar' }] });
  act('administrator of another organization', { roles: [{ role: 'organization/admin', organization: 'south' }] });
  act('owner in a foreign community', { roles: [{ role: 'community/owner', community: 'cedar' }], units: [{ unit: 'cedar unit 1', role: 'owner' }], residents: ['cedar owner'] });
  act('owner here and manager there', {
    roles: [{ role: 'community/owner', community: 'alder' }, { role: 'community/manager', community: 'cedar' }],
    units: [{ unit: 'alder unit 2', role: 'owner' }],
    residents: ['alder second owner'],
  });

  // Those who must be out.
  act('user without a role');
  act('manager whose role was revoked');
  act('manager whose role ran out');
  act('manager whose role has yet to begin');
  act('tenant who moved out', { residents: ['alder past tenant'] });
  act('banned manager', { isActive: false });
  act('suspended owner', { isActive: false, residents: ['alder suspended owner'] });
  act('owner who was suspended as a resident', { residents: ['alder barred owner'] });

  await withClient(databaseUrl, async (client) => {
    const run = (text: string, params: unknown[] = []) => client.query(text, params);
    await run('begin');
    for (const { name, userId } of actors) {
      await run(
        `insert into auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
         values ('00000000-0000-0000-0000-000000000000', $1, 'authenticated', 'authenticated', $2, '', now(),
           '{"provider": "email", "providers": ["email"]}', jsonb_build_object('full_name', $3::text), now(), now())`,
        [userId, emailOf(name), name],
      );
    }
    for (const organization of new Set(Object.values(organizationOf))) {
      await run(`insert into public.organizations (id, name, slug, country_code) values ($1, $2, $2, 'BG')`, [idOf(organization), organization]);
      await run(`insert into public.roles (id, level, key, name, organization_id) values ($1, 'community', 'caretaker', 'Caretaker', $2)`, [idOf(`caretaker of ${organization}`), idOf(organization)]);
      // The same key, and another permission in each organization.
      await run(`insert into public.role_permissions (role_id, permission_key) values ($1, $2)`, [idOf(`caretaker of ${organization}`), organization === 'north' ? 'units.read' : 'units.manage']);
    }
    for (const place of places) {
      await createCommunity(run, place);
      await furnishCommunity(run, place);
      await shareOut(run, place);
      await stateBooks(run, place);
      await adjustDebts(run, place);
      await chargeFees(run, place);
      await closeMonth(run, place);
      await findInBooks(run, place);
    }
    await furnishOrganizations(run);
    await run(
      `insert into public.memberships (user_id, role_id, community_id, starts_at, restriction)
       select $1, r.id, $2, now() - interval '1 day', jsonb_build_object('units', jsonb_build_array($3::text)) from public.roles r where r.key = 'guard'`,
      [idOf('guard of one unit'), idOf('alder'), idOf('alder unit 1')],
    );

    for (const { userId, roles, units } of actors) {
      for (const { role, organization, community } of roles) {
        if (units.some((held) => `community/${held.role}` === role && held.unit.startsWith(`${community}`))) continue;
        if (role.startsWith('single ')) {
          await run(`insert into public.user_permissions (permission_key, user_id, organization_id, community_id, reason) values ($1, $2, $3, $4, 'Needs it')`, [
            role.replace('single ', ''),
            userId,
            organization ? idOf(organization) : null,
            community ? idOf(community) : null,
          ]);
          continue;
        }
        const [level, key] = role.replace(/ of .*/, '').split('/');
        await run(
          `insert into public.memberships (user_id, role_id, organization_id, community_id, starts_at)
           select $1, r.id, $4, $5, now() - interval '1 day' from public.roles r
           where r.level::text = $2 and r.key = $3 and r.community_id is null and (r.organization_id is null or r.organization_id = $6)`,
          [userId, level, key, organization ? idOf(organization) : null, community ? idOf(community) : null, idOf('north')],
        );
      }
    }

    // The managers who are out: one whose role is revoked later, with a token in hand; the others never were in.
    const manage = (name: string, from: string, to: string) =>
      run(
        `insert into public.memberships (id, user_id, role_id, community_id, starts_at, ends_at)
         select $1, $2, r.id, $3, now() + $4::interval, now() + $5::interval from public.roles r where r.key = 'manager'`,
        [idOf(`membership of ${name}`), idOf(name), idOf('alder'), from, to],
      );
    await manage('manager whose role was revoked', '-1 day', '1 day');
    await manage('banned manager', '-1 day', '1 year');
    await manage('manager whose role ran out', '-2 days', '-1 second');
    await manage('manager whose role has yet to begin', '1 day', '2 days');
    await run('commit');
  });
  return actors;
}

/** What happens after everybody has got a token: a role is revoked, accounts are closed. */
export async function throwOut(sql: Sql): Promise<void> {
  await sql('select public.revoke_role($1)', [idOf('membership of manager whose role was revoked')]);
  await sql(`select public.set_account_status($1, 'banned')`, [idOf('banned manager')]);
  await sql(`select public.set_account_status($1, 'suspended')`, [idOf('suspended owner')]);
  for (const place of places) await sql(`select public.suspend_resident($1, 'Broke the lift')`, [idOf(`${place} barred owner`)]);
}

/** A community with a row in every table of the API that belongs to communities. */
async function createCommunity(run: Run, place: Place): Promise<void> {
  const community = idOf(place);
  const named = (name: string) => idOf(`${place} ${name}`);
  await run(
    `insert into public.communities (id, organization_id, name, slug, country_code, currency_code, time_zone) values ($1, $2, $3, $3, 'BG', 'EUR', 'Europe/Sofia')`,
    [community, idOf(organizationOf[place]), place],
  );
  await run(`insert into public.roles (id, level, key, name, community_id) values ($1, 'community', $2, 'Gardener', $3)`, [named('gardener'), `gardener_${place}`, community]);
  await run(`insert into public.role_permissions (id, role_id, permission_key) values ($1, $2, 'communities.read')`, [named('gardener permission'), named('gardener')]);
  await run(`insert into public.buildings (id, community_id, name) values ($1, $2, 'House')`, [named('building'), community]);
  await run(`insert into public.entrances (id, community_id, building_id, name) values ($1, $2, $3, 'A')`, [named('entrance'), community, named('building')]);
  await run(
    `insert into public.units (id, community_id, building_id, entrance_id, number, ideal_parts) values ($1, $2, $3, $4, '1', 50), ($5, $2, null, null, '2', 50)`,
    [named('unit 1'), community, named('building'), named('entrance'), named('unit 2')],
  );
  await run(`insert into public.residents (id, community_id, full_name) values ($1, $2, $3)`, [named('resident without details'), community, `${place} resident without details`]);
  // A membership that the attacks aim at, of somebody who is nobody else.
  await run(`insert into auth.users (id, email, raw_app_meta_data, raw_user_meta_data) values ($1, $2, '{}', '{}')`, [named('target user'), emailOf(`${place} target`)]);
  await run(
    `insert into public.memberships (id, user_id, role_id, community_id, starts_at) select $1, $2, r.id, $3, now() - interval '1 day' from public.roles r where r.key = 'cleaning'`,
    [named('membership'), named('target user'), community],
  );

  const people: { name: string; unit: string; role: string; user?: string; dates?: [string, string] }[] = occupancyRoles.map((role) => ({
    name: role,
    unit: 'unit 1',
    role,
    ...(place === 'alder' && { user: `${role} by occupancy` }),
    ...(place === 'cedar' && role === 'owner' && { user: 'owner in a foreign community' }),
  }));
  people.push({ name: 'barred owner', unit: 'unit 2', role: 'owner', ...(place === 'alder' && { user: 'owner who was suspended as a resident' }) });
  if (place === 'alder') {
    people.push(
      { name: 'second owner', unit: 'unit 2', role: 'owner', user: 'owner here and manager there' },
      { name: 'past tenant', unit: 'unit 1', role: 'tenant', user: 'tenant who moved out', dates: ['2020-01-01', '2020-12-31'] },
      { name: 'suspended owner', unit: 'unit 2', role: 'owner', user: 'suspended owner' },
    );
  }
  for (const { name, unit, role, user, dates } of people) {
    await run(`insert into public.residents (id, community_id, full_name, user_id) values ($1, $2, $3, $4)`, [named(name), community, `${place} ${name}`, user ? idOf(user) : null]);
    await run(`insert into public.resident_details (id, community_id, resident_id, email, identity_number) values ($1, $2, $3, $4, 'ID-12345')`, [
      named(`${name} details`),
      community,
      named(name),
      `${place}.${name.replaceAll(' ', '.')}@mail.example`,
    ]);
    await run(`insert into public.occupancies (id, community_id, unit_id, resident_id, role, starts_on, ends_on) values ($1, $2, $3, $4, $5, $6, $7)`, [
      named(`${name} occupancy`),
      community,
      named(unit),
      named(name),
      role,
      dates?.[0] ?? '2024-01-01',
      dates?.[1] ?? null,
    ]);
  }
}

/** What a community has besides people and units: what it set, how it presents itself, what it keeps, whom it invited. */
async function furnishCommunity(run: Run, place: Place): Promise<void> {
  const community = idOf(place);
  const named = (name: string) => idOf(`${place} ${name}`);
  const target = named('target user');

  // The tenant's contract, which runs out soon; the tenant pays for the unit. And a unit that nobody owns or lives in.
  await run(`insert into public.leases (id, reference, community_id, unit_id, starts_on, ends_on) values ($1, 'L-1', $2, $3, '2024-01-01', current_date + 90)`, [
    named('lease'),
    community,
    named('unit 1'),
  ]);
  await run(`update public.occupancies set lease_id = $1 where id = $2`, [named('lease'), named('tenant occupancy')]);
  await run(`insert into public.unit_representatives (id, community_id, unit_id, kind, resident_id, starts_on) values ($1, $2, $3, 'payer', $4, '2024-01-01')`, [
    named('payer'),
    community,
    named('unit 1'),
    named('tenant'),
  ]);
  await run(`insert into public.units (id, community_id, number, type) values ($1, $2, 'empty', 'house')`, [named('empty unit'), community]);

  await run(`insert into public.user_permissions (id, permission_key, user_id, community_id, reason) values ($1, 'residents.read', $2, $3, 'Needs it')`, [named('grant'), target, community]);
  await run(
    `insert into public.invitations (id, email, role_id, community_id)
     select i.id, i.email, r.id, $1 from (values ($2::uuid, $3), ($4::uuid, $5)) i (id, email) cross join public.roles r where r.key = 'cleaning'`,
    [community, named('invitation'), emailOf(`${place} invited`), named('invitation of an actor'), emailOf('user without a role')],
  );
  await run(`insert into private.invitation_tokens (invitation_id, token_hash) values ($1, sha256(convert_to($2, 'UTF8')))`, [named('invitation of an actor'), tokenOf(place)]);

  await run(`insert into auth.sessions (id, user_id, aal) values ($1, $2, 'aal1')`, [named('session'), target]);
  await run(`insert into public.setting_values (id, key, community_id, value) values ($1, 'general.theme', $2, '"dark"')`, [named('setting'), community]);
  await run(`insert into public.feature_values (id, key, community_id, is_enabled) values ($1, 'house_rules.acknowledge', $2, true)`, [named('feature'), community]);
  await run(`insert into public.user_preferences (id, key, user_id, value) values ($1, 'general.theme', $2, '"light"')`, [named('preference'), target]);

  const files: [name: string, purpose: string, status: string, owner: string | null][] = [
    ['logo', 'community.logo', 'stored', null],
    ['document', 'community.document', 'stored', null],
    ['file', 'member.document', 'stored', target],
    ['file on its way', 'member.document', 'registered', target],
    ['document on its way', 'community.document', 'registered', target],
    ['vehicle photo', 'vehicle.photo', 'stored', null],
    ['pet photo', 'pet.photo', 'stored', null],
    ['pet certificate', 'pet.certificate', 'stored', null],
  ];
  if (place === 'alder') {
    files.push(
      ['file of family', 'member.document', 'stored', idOf('family by occupancy')],
      ['file on its way of family', 'member.document', 'registered', idOf('family by occupancy')],
      ['file of who moved out', 'member.document', 'stored', idOf('tenant who moved out')],
      ['file of a banned manager', 'member.document', 'stored', idOf('banned manager')],
    );
  }
  for (const [name, purpose, status, owner] of files) {
    await run(
      `insert into public.files (id, name, community_id, purpose, bucket, content_type, size, owner_id, status, stored_at)
       select $1, $2, $3, p.key, p.bucket, 'image/png', 10, $5, $6::public.file_status, case when $6 = 'stored' then now() end from public.file_purposes p where p.key = $4`,
      [named(name), name, community, purpose, owner, status],
    );
  }

  // What residents handed in about themselves. The applicant is a user whose identity was checked and whom nobody has taken up yet.
  await run(`insert into public.residents (id, community_id, full_name, user_id) values ($1, $2, 'Applicant', $3)`, [named('applicant'), community, target]);
  await run(`insert into public.identity_checks (community_id, resident_id, status, checked_at) values ($1, $2, 'verified', now())`, [community, named('applicant')]);
  for (const resident of ['tenant', 'owner', 'guest']) {
    await run(
      `insert into private.medical_records (resident_id, community_id, key_id, ciphertext)
       select $1, $2, k, app.encrypt_medical($1, k, '{"medical_conditions": "Asthma"}') from app.make_encryption_key() k`,
      [named(resident), community],
    );
  }
  for (const resident of ['family', 'authorized', 'guest']) {
    await run(`insert into public.invitations (id, email, resident_id, community_id) values ($1, $2, $3, $4)`, [
      named(`invitation of ${resident}`),
      emailOf(`${place} invited ${resident}`),
      named(resident),
      community,
    ]);
  }
  for (const resident of ['tenant', ...(place === 'alder' ? ['owner', 'past tenant', 'suspended owner', 'barred owner'] : [])]) {
    for (const [name, purpose] of [[`card of ${resident}`, 'resident.identity'], [`photo of ${resident}`, 'resident.photo']] as const) {
      await run(
        `insert into public.files (id, name, community_id, purpose, bucket, content_type, size, status, stored_at)
         select $1, $2, $3, p.key, p.bucket, 'image/png', 10, 'stored', now() from public.file_purposes p where p.key = $4`,
        [named(name), name, community, purpose],
      );
    }
    await run(`update public.residents set photo_file_id = $2 where id = $1`, [named(resident), named(`photo of ${resident}`)]);
    await run(
      `insert into public.resident_documents (id, kind, community_id, resident_id, file_id, number, expires_on) values ($1, 'identity', $2, $3, $4, 'ID-12345', current_date + 30)`,
      [named(`document of ${resident}`), community, named(resident), named(`card of ${resident}`)],
    );
    await run(`insert into public.identity_checks (id, community_id, resident_id, document_id) values ($1, $2, $3, $4)`, [
      named(`identity of ${resident}`),
      community,
      named(resident),
      named(`document of ${resident}`),
    ]);
    await run(`insert into public.emergency_contacts (id, full_name, community_id, resident_id, phone, relationship, priority) values ($1, 'Contact', $2, $3, '+359 88 555 0101', 'Sister', 1)`, [
      named(`contact of ${resident}`),
      community,
      named(resident),
    ]);
    await run(`insert into public.directory_choices (id, community_id, resident_id, is_name_shown) values ($1, $2, $3, true)`, [named(`choice of ${resident}`), community, named(resident)]);
  }

  await run(`insert into public.brandings (id, display_name, community_id, logo_file_id) values ($1, $2, $3, $4)`, [named('branding'), place, community, named('logo')]);
  await run(`insert into public.opening_hours (id, community_id, weekday, opens_at, closes_at) values ($1, $2, 1, '08:00', '12:00')`, [named('opening hours'), community]);
  await run(`insert into public.opening_exceptions (id, name, community_id, falls_on) values ($1, 'Holiday', $2, '2026-01-01')`, [named('opening exception'), community]);
  await run(
    `insert into public.house_rules (id, title, community_id, body, published_at, effective_on)
     values ($1, 'House rules', $3, 'Quiet from 22:00 on.', now(), '2026-01-01'), ($2, 'House rules, draft', $3, 'Quiet from 23:00 on.', null, null)`,
    [named('rules'), named('draft'), community],
  );
  const readers = [target, ...(place === 'alder' ? ['tenant by occupancy', 'tenant who moved out', 'suspended owner'].map(idOf) : [])];
  for (const [index, reader] of readers.entries()) {
    await run(`insert into public.house_rule_acknowledgements (id, community_id, house_rules_id, user_id) values ($1, $2, $3, $4)`, [
      named(index === 0 ? 'acknowledgement' : `acknowledgement ${index}`),
      community,
      named('rules'),
      reader,
    ]);
  }

  await run(
    `insert into public.consent_texts (id, purpose, version, locale, title, body, community_id, retired_at)
     values ($1, 'newsletter', '1', 'en', 'Newsletter', 'I want it.', $3, null), ($2, 'newsletter', '0', 'en', 'Newsletter', 'I want it.', $3, now())`,
    [named('consent text'), named('retired consent text'), community],
  );
  const agreed = [target, ...(place === 'alder' ? ['owner by occupancy', 'tenant who moved out', 'banned manager'].map(idOf) : [])];
  for (const [index, user] of agreed.entries()) {
    await run(`insert into public.consents (id, text_id, user_id) values ($1, $2, $3)`, [named(index === 0 ? 'consent' : `consent ${index}`), named('consent text'), user]);
  }
  for (const resident of ['tenant', ...(place === 'alder' ? ['past tenant'] : [])]) {
    await run(`insert into public.consents (id, text_id, resident_id, community_id, channel) values ($1, $2, $3, $4, 'paper')`, [
      named(`consent of ${resident}`),
      named('consent text'),
      named(resident),
      community,
    ]);
  }

  await run(`insert into public.retention_holds (id, reason, community_id, resident_id, until_on) values ($1, 'Accounting act', $2, $3, '2099-12-31')`, [named('hold'), community, named('owner')]);
  await run(`insert into public.retention_holds (reason, community_id, user_id) values ('A claim in court', $1, $2)`, [community, target]);
  await run(`insert into public.privacy_requests (id, kind, community_id, resident_id, details, due_on) values ($1, 'rectify', $2, $3, 'The name is misspelt', '2099-12-31')`, [
    named('request of tenant'),
    community,
    named('tenant'),
  ]);
  const askers = [target, ...(place === 'alder' ? ['tenant who moved out', 'banned manager'].map(idOf) : [])];
  for (const asker of askers) {
    await run(`insert into public.privacy_requests (kind, community_id, user_id, due_on) values ('rectify', $1, $2, '2099-12-31')`, [community, asker]);
  }

  await bringVehiclesAndPets(run, place);
  await buildGate(run, place);
  await expectVisitors(run, place);
  await handOutPasses(run, place);
  await keepBooks(run, place);
  await decideAtGate(run, place);
  await spendMoney(run, place);

  // What was archived.
  await run(`insert into public.buildings (id, community_id, name) values ($1, $2, 'Old house')`, [named('archived building'), community]);
  await run(`insert into public.units (id, community_id, number) values ($1, $2, 'old')`, [named('archived unit'), community]);
  await run(`insert into public.residents (id, community_id, full_name) values ($1, $2, 'Gone')`, [named('archived resident'), community]);
  await run(`insert into public.resident_details (id, community_id, resident_id) values ($1, $2, $3)`, [named('archived resident details'), community, named('archived resident')]);
  await run(`insert into public.roles (id, level, key, name, community_id) values ($1, 'community', $2, 'Gardener', $3)`, [named('archived gardener'), `former_gardener_${place}`, community]);
  await run(`insert into public.role_permissions (role_id, permission_key) values ($1, 'communities.read')`, [named('archived gardener')]);
  for (const [table, name] of [['buildings', 'building'], ['units', 'unit'], ['residents', 'resident'], ['roles', 'gardener']]) {
    await run(`update public.${table} set deleted_at = now() where id = $1`, [named(`archived ${name}`)]);
  }
}

/** Vehicles and pets: of the tenant, of the owner, of nobody in particular, and of who is gone. */
async function bringVehiclesAndPets(run: Run, place: Place): Promise<void> {
  const community = idOf(place);
  const named = (name: string) => idOf(`${place} ${name}`);
  const vehicles: [name: string, plate: string, unit: string, resident: string | null, status: string][] = [
    ['vehicle', 'CB 1234 AB', 'unit 1', 'tenant', 'active'],
    ['vehicle of owner', 'CB 1111 AB', 'unit 1', 'owner', 'active'],
    ['vehicle of the unit', 'CB 2222 AB', 'unit 1', null, 'active'],
    ['pending vehicle', 'CB 3333 AB', 'unit 2', null, 'pending'],
    ['archived vehicle', 'CB 4444 AB', 'unit 1', 'tenant', 'active'],
  ];
  if (place === 'alder') {
    vehicles.push(['vehicle of second owner', 'CB 5555 AB', 'unit 2', 'second owner', 'active'], ['vehicle of past tenant', 'CB 6666 AB', 'unit 1', 'past tenant', 'active']);
  }
  for (const [name, plate, unit, resident, status] of vehicles) {
    await run(`insert into public.vehicles (id, plate, community_id, unit_id, resident_id, status) values ($1, $2, $3, $4, $5, $6)`, [
      named(name),
      plate,
      community,
      named(unit),
      resident && named(resident),
      status,
    ]);
  }
  await run(`insert into public.vehicle_photos (id, community_id, vehicle_id, file_id, position) values ($1, $2, $3, $4, 1)`, [
    named('vehicle photo link'),
    community,
    named('vehicle'),
    named('vehicle photo'),
  ]);

  for (const [name, resident] of [['pet', 'tenant'], ['pet of owner', 'owner'], ['pet that moved away', 'tenant'], ['archived pet', 'tenant']] as const) {
    await run(`insert into public.pets (id, name, community_id, unit_id, resident_id, kind, photo_file_id) values ($1, $2, $3, $4, $5, 'dog', $6)`, [
      named(name),
      name,
      community,
      named('unit 1'),
      named(resident),
      name === 'pet' ? named('pet photo') : null,
    ]);
  }
  await run(`update public.pets set status = 'moved_away' where id = $1`, [named('pet that moved away')]);
  await run(
    `insert into public.pet_vaccinations (id, vaccine, community_id, pet_id, given_on, due_on, certificate_file_id)
     values ($1, 'rabies', $2, $3, '2026-01-01', '2027-01-01', $4), ($5, 'rabies', $2, $6, '2026-01-01', '2027-01-01', null)`,
    [named('vaccination'), community, named('pet'), named('pet certificate'), named('vaccination of owner'), named('pet of owner')],
  );
  await run(`insert into public.pet_incidents (id, description, community_id, pet_id, happened_at, reported_by) values ($1, 'Barked all night.', $2, $3, now() - interval '1 day', $4)`, [
    named('pet incident'),
    community,
    named('pet'),
    named('target user'),
  ]);
  if (place === 'alder') {
    for (const reporter of ['family by occupancy', 'tenant who moved out']) {
      await run(`insert into public.pet_incidents (id, description, community_id, happened_at, reported_by) values ($1, 'Ran about.', $2, now() - interval '1 day', $3)`, [
        named(`pet incident of ${reporter}`),
        community,
        idOf(reporter),
      ]);
    }
  }
  for (const [table, name] of [['vehicles', 'vehicle'], ['pets', 'pet']]) {
    await run(`update public.${table} set deleted_at = now() where id = $1`, [named(`archived ${name}`)]);
  }
}

/** A gate with its booth, devices, guards and shifts, and who carries which card. */
async function buildGate(run: Run, place: Place): Promise<void> {
  const community = idOf(place);
  const named = (name: string) => idOf(`${place} ${name}`);
  await run(`insert into public.booths (id, name, community_id) values ($1, 'Booth', $3), ($2, 'Old booth', $3)`, [named('booth'), named('archived booth'), community]);
  await run(
    `insert into public.access_points (id, name, community_id, booth_id, kind) values ($1, 'Gate', $3, $4, 'gate'), ($2, 'Old gate', $3, null, 'gate')`,
    [named('gate'), named('archived gate'), community, named('booth')],
  );
  await run(`insert into public.access_devices (id, name, community_id, access_point_id, kind) values ($1, 'Reader', $2, $3, 'reader')`, [named('device'), community, named('gate')]);
  await run(`insert into private.device_keys (device_id, community_id, secret_hash) values ($1, $2, sha256('secret'))`, [named('device'), community]);
  await run(
    `insert into public.guards (id, full_name, community_id, user_id) values ($1, 'Guard', $4, $5), ($2, 'Second guard', $4, null), ($3, 'Old guard', $4, null)`,
    [named('guard'), named('second guard'), named('archived guard'), community, named('target user')],
  );
  await run(
    `insert into public.shifts (id, name, community_id, booth_id, starts_at, ends_at)
     values ($1, 'Now', $3, $4, now() - interval '1 hour', now() + interval '8 hours'), ($2, 'Called off', $3, $4, now() + interval '1 day', now() + interval '32 hours')`,
    [named('shift'), named('archived shift'), community, named('booth')],
  );
  await run(
    `insert into public.shift_assignments (id, community_id, shift_id, guard_id, starts_at, ends_at) select $1, s.community_id, s.id, $2, s.starts_at, s.ends_at from public.shifts s where s.id = $3`,
    [named('assignment'), named('guard'), named('shift')],
  );
  for (const [name, number, resident] of [['key card of tenant', '0001', 'tenant'], ['key card of owner', '0002', 'owner'], ['archived key card', '0003', 'tenant']] as const) {
    await run(`insert into public.access_cards (id, number, community_id, resident_id) values ($1, $2, $3, $4)`, [named(name), number, community, named(resident)]);
  }
  await run(`insert into public.access_cards (id, number, community_id, guard_id) values ($1, '0004', $2, $3)`, [named('key card of guard'), community, named('guard')]);
  await run(
    `insert into public.access_holds (id, reason, community_id, resident_id, vehicle_id, card_id)
     values ($1, 'investigation', $4, $5, null, null), ($2, 'insurance_expired', $4, null, $6, null), ($3, 'device_lost', $4, null, null, $7)`,
    [named('hold at the gate'), named('hold of vehicle'), named('hold of card'), community, named('tenant'), named('vehicle of owner'), named('key card of tenant')],
  );
  for (const [table, name] of [['booths', 'booth'], ['access_points', 'gate'], ['guards', 'guard'], ['shifts', 'shift'], ['access_cards', 'key card']]) {
    await run(`update public.${table} set deleted_at = now() where id = $1`, [named(`archived ${name}`)]);
  }
}

/** Whom the tenant, the landlord, the management and a neighbour expect; who waits at the gate, who is inside. */
async function expectVisitors(run: Run, place: Place): Promise<void> {
  const community = idOf(place);
  const named = (name: string) => idOf(`${place} ${name}`);
  await run(
    `insert into public.visitor_invitations (id, title, community_id, unit_id, host_resident_id, kind, starts_at, ends_at, guest_limit) values ($1, 'Birthday', $2, $3, $4, 'event', now(), '2099-01-01', 20)`,
    [named('visitor invitation'), community, named('unit 1'), named('tenant')],
  );
  await run(`insert into public.invitation_guests (id, full_name, community_id, invitation_id) values ($1, 'Guest', $2, $3)`, [named('invitation guest'), community, named('visitor invitation')]);
  await run(`insert into public.invitation_access_points (id, community_id, invitation_id, access_point_id) values ($1, $2, $3, $4)`, [
    named('invitation point'),
    community,
    named('visitor invitation'),
    named('gate'),
  ]);
  await run(
    `insert into public.visitor_invitations (id, community_id, unit_id, host_resident_id, kind, visitor_name, starts_at, ends_at, recurrence, daily_from, daily_until)
     values ($1, $2, $3, $4, 'recurring', 'Nurse', '2026-01-01', '2099-01-01', 'FREQ=WEEKLY', '08:00', '12:00')`,
    [named('recurring invitation'), community, named('unit 1'), named('tenant')],
  );
  await run(`insert into public.invitation_exceptions (id, falls_on, community_id, invitation_id, kind) values ($1, '2026-01-01', $2, $3, 'skipped')`, [
    named('invitation exception'),
    community,
    named('recurring invitation'),
  ]);
  // The landlord's, given before the unit was let; the management's; and where there is one, a neighbour's and one of who moved out.
  const single: [unit: string | null, host: string | null][] = [['unit 1', 'owner'], [null, null]];
  if (place === 'alder') single.push(['unit 2', 'second owner'], ['unit 1', 'past tenant']);
  for (const [unit, host] of single) {
    await run(
      `insert into public.visitor_invitations (community_id, unit_id, host_resident_id, kind, visitor_name, starts_at, ends_at, max_entries) values ($1, $2, $3, 'single', 'Visitor', now(), '2099-01-01', 1)`,
      [community, unit && named(unit), host && named(host)],
    );
  }
  for (const [name, status, columns, values] of [
    ['walk-in', 'pending', 'asked_at, answer_due_at', `now(), '2099-01-01'`],
    ['approved visit', 'approved', 'expires_at', `'2099-01-01'`],
    ['visit inside', 'checked_in', 'checked_in_at', 'now()'],
  ] as const) {
    await run(`insert into public.visits (id, visitor_name, community_id, unit_id, status, ${columns}) values ($1, 'Visitor', $2, $3, $4, ${values})`, [named(name), community, named('unit 1'), status]);
  }
}

/** Who came and went by that gate, who is inside, and who is not let in. */
async function decideAtGate(run: Run, place: Place): Promise<void> {
  const community = idOf(place);
  const named = (name: string) => idOf(`${place} ${name}`);
  const lines: [name: string, reason: string, subject: Record<string, string>][] = [
    ['log line', 'malformed_pass', {}],
    ['log line of tenant', 'admitted', { resident_id: named('tenant'), unit_id: named('unit 1') }],
    ['log line of owner', 'admitted', { resident_id: named('owner'), unit_id: named('unit 1') }],
    ['log line of visit', 'admitted', { visit_id: named('visit inside'), unit_id: named('unit 1') }],
    ['log line of vehicle', 'admitted', { vehicle_id: named('vehicle of the unit'), unit_id: named('unit 1') }],
    ['log line of decider', 'opened_by_guard', { caller_id: place === 'alder' ? idOf('community guard') : named('target user') }],
  ];
  for (const [name, reason, subject] of lines) {
    await run(
      `insert into audit.access_log (id, logged_at, scanned_at, community_id, access_point_id, method, direction, outcome, reason, resident_id, visit_id, vehicle_id, unit_id, caller_id)
       values ($1, now(), now(), $2, $3, 'qr', 'in', case when $4 = 'malformed_pass' then 'denied' else 'granted' end::public.access_outcome, $4, $5, $6, $7, $8, $9)`,
      [named(name), community, named('gate'), reason, ...['resident_id', 'visit_id', 'vehicle_id', 'unit_id', 'caller_id'].map((column) => subject[column] ?? null)],
    );
  }
  await run(`insert into private.presences (community_id, subject_id, kind, access_point_id, entered_at) values ($1, $2, 'resident', $3, now())`, [community, named('tenant'), named('gate')]);
  await run(
    `insert into public.blacklist_entries (id, full_name, community_id, protocol_number, reason) values ($1, 'Petar Listed', $3, '1', 'Stole parcels'), ($2, 'Long Ago', $3, '2', 'Broke the gate')`,
    [named('blacklist entry'), named('archived blacklist entry'), community],
  );
  for (const [name, purpose] of [['evidence file', 'access.evidence'], ['gate photo', 'access.photo']] as const) {
    await run(
      `insert into public.files (id, name, community_id, purpose, bucket, content_type, size, status, stored_at)
       select $1, $2, $3, p.key, p.bucket, 'image/png', 10, 'stored', now() from public.file_purposes p where p.key = $4`,
      [named(name), name, community, purpose],
    );
  }
  await run(`insert into public.blacklist_evidence (id, community_id, entry_id, file_id) values ($1, $2, $3, $4)`, [named('evidence'), community, named('blacklist entry'), named('evidence file')]);
  await run(`update public.blacklist_entries set deleted_at = now() where id = $1`, [named('archived blacklist entry')]);
}

/** Fees: a regular one, a special assessment with an instalment, one that was run, and a run whose charge is the tenant's. */
async function chargeFees(run: Run, place: Place): Promise<void> {
  const community = idOf(place);
  const named = (name: string) => idOf(`${place} ${name}`);
  await run(
    `insert into public.fees (id, name, community_id, fund_id, decimals, account_id, allocation_key_id, kind, basis, amount, recurrence, first_on)
     select f.id, f.name, a.community_id, a.fund_id, a.decimals, a.id, $5, f.kind::public.fee_kind, 'total', 12, f.recurrence, '2025-12-01'
     from (values ($1::uuid, 'Maintenance', 'regular', 'FREQ=MONTHLY;BYMONTHDAY=1'), ($2::uuid, 'Roof', 'special_assessment', null), ($3::uuid, 'Keys', 'one_off', null)) f (id, name, kind, recurrence)
     join public.accounts a on a.fund_id = $4 and a.purpose = 'assessment_income'`,
    [named('fee'), named('assessment'), named('fee once'), named('fund'), named('key per unit')],
  );
  await run(
    `insert into public.fee_instalments (id, number, community_id, fee_id, charged_on, due_on, amount) values ($1, 1, $2, $3, '2026-03-01', '2026-03-15', 12)`,
    [named('instalment'), community, named('assessment')],
  );
  await run(
    `insert into public.charges (id, description, community_id, unit_id, subaccount_id, fund_id, decimals, journal_entry_id, source, starts_on, ends_on, charged_on, due_on, amount)
     select p.id, 'Keys', p.community_id, s.unit_id, s.id, p.fund_id, p.decimals, p.journal_entry_id, 'fee', p.effective_on, p.effective_on, p.effective_on, p.effective_on, p.amount
     from public.postings p join public.subaccounts s on s.id = p.debit_subaccount_id where p.id = $1`,
    [named('posting of charge entry')],
  );
  await run(
    `insert into public.fee_runs (id, community_id, fee_id, starts_on, ends_on, charged_on, due_on, allocation_id, journal_entry_id, charge_count, total)
     values ($1, $2, $3, '2025-12-01', '2025-12-01', '2025-12-01', '2025-12-01', $4, $5, 1, 12)`,
    [named('fee run'), community, named('fee once'), named('allocation'), named('charge entry')],
  );
}

/** What the community spends, in each state. What is shared out falls to the unit that nobody owns or lives in. */
async function spendMoney(run: Run, place: Place): Promise<void> {
  const community = idOf(place);
  const named = (name: string) => idOf(`${place} ${name}`);
  await run(
    `insert into public.accounts (id, code, name, community_id, fund_id, decimals, type, purpose)
     select $1, 'EXP', 'Expenses of the fixtures', f.community_id, f.id, f.decimals, 'expense', 'expense' from public.funds f where f.community_id = $2 and f.kind = 'operating'`,
    [named('expense account'), community],
  );
  await run(`insert into public.allocation_keys (id, name, community_id, method) values ($1, 'Expenses of the fixtures', $2, 'fixed')`, [named('expense key'), community]);
  await run(`insert into public.allocation_key_weights (community_id, allocation_key_id, unit_id, weight) values ($1, $2, $3, 1)`, [community, named('expense key'), named('empty unit')]);
  for (const name of ['expense category', 'archived expense category']) {
    await run(
      `insert into public.expense_categories (id, name, code, community_id, fund_id, account_id, allocation_key_id)
       select $1, $2, case when $2 like 'archived%' then 'OLD' else 'EXP' end, a.community_id, a.fund_id, a.id, $3 from public.accounts a where a.id = $4`,
      [named(name), name, named('expense key'), named('expense account')],
    );
  }
  await run(`update public.expense_categories set deleted_at = now() where id = $1`, [named('archived expense category')]);
  await run(
    `insert into public.files (id, name, community_id, purpose, bucket, content_type, size, status, stored_at)
     select $1, 'receipt', $2, p.key, p.bucket, 'image/png', 10, 'stored', now() from public.file_purposes p where p.key = 'expenses.receipt'`,
    [named('receipt'), community],
  );
  const steps = {
    'draft expense': [],
    'submitted expense': ['submit_expense($1)'],
    'approved expense': ['submit_expense($1)', 'approve_expense($1)'],
    'paid expense': ['submit_expense($1)', 'approve_expense($1)', 'pay_expense($1)'],
    'allocated expense': ['submit_expense($1)', 'approve_expense($1)', 'allocate_expense($1, current_date + 14)'],
  };
  for (const [name, calls] of Object.entries(steps)) {
    await run(
      `insert into public.expenses (id, description, community_id, category_id, fund_id, decimals, amount, incurred_on, starts_on, ends_on)
       select $1, $2, c.community_id, c.id, c.fund_id, f.decimals, 10, current_date, current_date, current_date
       from public.expense_categories c join public.funds f on f.id = c.fund_id where c.id = $3`,
      [named(name), name, named('expense category')],
    );
    for (const call of calls) await run(`select public.${call}`, [named(name)]);
  }
}

/** The books: two funds whose accounts are called by what they are for (`fund bank`), a charge of the tenant's and an entry by hand. */
async function keepBooks(run: Run, place: Place): Promise<void> {
  const community = idOf(place);
  const named = (name: string) => idOf(`${place} ${name}`);
  await run(`select public.open_books($1, '2025-11-01')`, [community]);
  for (const [fund, code] of [['fund', 'FIX'], ['other fund', 'FIX2']] as const) {
    await run(`insert into public.funds (id, name, code, community_id, decimals, kind) select $1, $2, $3, l.community_id, l.decimals, 'special' from public.ledgers l where l.community_id = $4`, [
      named(fund),
      `The ${fund}`,
      code,
      community,
    ]);
    await run(
      `insert into public.accounts (id, code, name, community_id, fund_id, decimals, type, purpose)
       select case when t.purpose not in ('expense', 'general') then md5(format('vicinia test %s %s', $2::text, t.purpose))::uuid else extensions.uuidv7() end, t.code, t.name, f.community_id, f.id, f.decimals, t.type, t.purpose
       from public.funds f join app.chart_templates t on t.template = 'condominium' and t.fund_kind = f.kind where f.id = $1`,
      [named(fund), `${place} ${fund}`],
    );
  }
  await run(
    `insert into public.subaccounts (id, community_id, fund_id, account_id, decimals, unit_id, resident_id)
     select $1, a.community_id, a.fund_id, a.id, a.decimals, $2, $3 from public.accounts a where a.fund_id = $4 and a.purpose = 'receivable'`,
    [named('subaccount'), named('unit 1'), named('tenant'), named('fund')],
  );
  for (const [name, kind, debit, credit, subaccount] of [
    ['journal entry', 'manual', 'bank', 'other_income', null],
    ['charge entry', 'charge', 'receivable', 'assessment_income', named('subaccount')],
  ]) {
    await run(
      `with entry as (
         insert into public.journal_entries (id, description, community_id, kind, effective_on, posting_count, total) values ($1, 'Entry', $2, $3, '2025-11-15', 1, 12) returning id, decimals
       )
       insert into public.postings (id, journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, debit_subaccount_id, credit_account_id, amount)
       select $4, e.id, $2, $5, e.decimals, '2025-11-15', d.id, $6, c.id, 12
       from entry e join public.accounts d on d.fund_id = $5 and d.purpose = $7 join public.accounts c on c.fund_id = $5 and c.purpose = $8`,
      [named(name ?? ''), community, kind, named(`posting of ${name}`), named('fund'), subaccount, debit, credit],
    );
  }
}

/** The first month of the books, closed. */
async function closeMonth(run: Run, place: Place): Promise<void> {
  const community = idOf(place);
  const named = (name: string) => idOf(`${place} ${name}`);
  await run(`insert into public.accounting_periods (id, name, community_id, starts_on, ends_on, closed_at) values ($1, '2025-11', $2, '2025-11-01', '2025-11-30', now())`, [named('period'), community]);
  // In one transaction.
  await run(`
    select set_config('app.rewriting', 'public.account_snapshots'::regclass::oid::text, true);
    insert into public.account_snapshots (community_id, account_id, period_id, debit_total, credit_total)
    select '${community}', t.account_id, '${named('period')}', t.debit_total, t.credit_total from app.account_totals('${community}', '2025-11-30') t;`);
}

/** Something that a night found, as if it had. */
async function findInBooks(run: Run, place: Place): Promise<void> {
  // In one transaction.
  await run(`
    select set_config('app.rewriting', 'public.ledger_findings'::regclass::oid::text, true);
    insert into public.ledger_findings (id, problem, community_id, detail) values ('${idOf(`${place} ledger finding`)}', 'total_differs', '${idOf(place)}', 'The entry announces 2, its postings sum to 1.');`);
}

/** The community's keys, and a pass of each kind; one for offline gates waits for its signature. */
async function handOutPasses(run: Run, place: Place): Promise<void> {
  const community = idOf(place);
  const named = (name: string) => idOf(`${place} ${name}`);
  const secret = Buffer.alloc(32, place).toString('base64');
  await run(`insert into private.pass_keys (kid, community_id, algorithm, secret, public_key) values ($1, $2, 'hs256', $3, null), ($4, $2, 'ed25519', $3, decode($3, 'base64'))`, [
    kidOf(place),
    community,
    secret,
    offlineKidOf(place),
  ]);
  const passes: [name: string, kind: string, invitation: string | null, resident: string | null, kid: string][] = [
    ['visitor pass', 'visitor', 'visitor invitation', null, kidOf(place)],
    ['unsigned pass', 'visitor', 'recurring invitation', null, offlineKidOf(place)],
    ['resident pass', 'resident', null, 'tenant', kidOf(place)],
  ];
  for (const [name, kind, invitation, resident, kid] of passes) {
    await run(
      `insert into public.passes (id, community_id, kind, invitation_id, resident_id, kid, starts_at, ends_at)
       values ($1, $2, $3, $4, $5, $6, date_trunc('day', now()), date_trunc('day', now()) + interval '90 days')`,
      [named(name), community, kind, invitation && named(invitation), resident && named(resident), kid],
    );
  }
  await run(`insert into private.pass_links (pass_id, community_id, token_hash) values ($1, $2, sha256(convert_to($3, 'UTF8')))`, [named('visitor pass'), community, linkOf(place)]);
}

/** The keys that sign a community's passes, and those for offline gates. */
export const kidOf = (place: Place): string => `${place}key`;
export const offlineKidOf = (place: Place): string => `${place}off`;
/** The token of the link to the pass of a community's visitor. */
export const linkOf = (place: Place): string => place.padEnd(32, 'A');

/** What statements tell of: books with an account that stood at something before they began. */
async function stateBooks(run: Run, place: Place): Promise<void> {
  const community = idOf(place);
  await run(`select public.open_books(c.id, current_date - 100) from public.communities c where c.id = $1 and not exists (select from public.ledgers l where l.community_id = c.id)`, [community]);
  await run(
    `insert into public.accounts (id, code, name, community_id, fund_id, decimals, type)
     select $1, 'STATED', 'Stated', f.community_id, f.id, f.decimals, 'asset' from public.funds f where f.community_id = $2 and f.kind = 'operating'`,
    [idOf(`${place} stated account`), community],
  );
  await run(`select public.import_opening_balances($1, '{Account,Balance}', '[["STATED", 20]]', dry_run => false)`, [community]);
}

/** A charge of the tenant's of which half is forgiven; the posting has the charge's id. */
async function adjustDebts(run: Run, place: Place): Promise<void> {
  const community = idOf(place);
  const named = (name: string) => idOf(`${place} ${name}`);
  await run(
    `with entry as (
       insert into public.journal_entries (id, description, community_id, kind, effective_on, posting_count, total) values ($1, 'Charge', $2, 'charge', '2025-12-01', 1, 12) returning id, decimals
     ),
     posting as (
       insert into public.postings (id, journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, debit_subaccount_id, credit_account_id, amount)
       select $3, e.id, s.community_id, s.fund_id, e.decimals, '2025-12-01', s.account_id, s.id, app.account_for(s.community_id, s.fund_id, 'assessment_income'), 12
       from entry e join public.subaccounts s on s.id = $4
       returning *
     )
     insert into public.charges (id, description, community_id, unit_id, subaccount_id, fund_id, decimals, journal_entry_id, source, starts_on, ends_on, charged_on, due_on, amount)
     select p.id, 'Charge', p.community_id, s.unit_id, s.id, p.fund_id, p.decimals, p.journal_entry_id, 'other', '2025-12-01', '2025-12-31', '2025-12-01', '2025-12-15', p.amount
     from posting p join public.subaccounts s on s.id = p.debit_subaccount_id`,
    [named('adjusted entry'), community, named('adjusted charge'), named('subaccount')],
  );
  await run(
    `insert into public.adjustments (id, number, community_id, kind, charge_id, amount, decimals, effective_on, reason, journal_entry_id)
     select $1, app.next_number($2, 'waiver'), $2, 'waiver', c.id, 6, c.decimals, '2025-12-02', 'Half of it',
       app.post_entry($2, 'adjustment', '2025-12-02', 'Waiver', array[row(c.fund_id, app.account_for($2, c.fund_id, 'waiver_expense'), null, s.account_id, s.id, 6, null)::app.posting_line],
         document_kind => 'adjustment', document_id => $1)
     from public.charges c join public.subaccounts s on s.id = c.subaccount_id where c.id = $3`,
    [named('adjustment'), community, named('adjusted charge')],
  );
}

/** What the organizations and the site have besides communities. */
async function furnishOrganizations(run: Run): Promise<void> {
  for (const [organization, place] of [['north', 'alder'], ['south', 'cedar']] as const) {
    const named = (name: string) => idOf(`${organization} ${name}`);
    const target = idOf(`${place} target user`);
    await run(`insert into public.user_permissions (id, permission_key, user_id, organization_id, reason) values ($1, 'residents.read', $2, $3, 'Needs it')`, [named('grant'), target, idOf(organization)]);
    await run(`insert into public.invitations (id, email, role_id, organization_id) select $1, $2, r.id, $3 from public.roles r where r.level = 'organization' and r.key = 'viewer'`, [
      named('invitation'),
      emailOf(`${organization} invited`),
      idOf(organization),
    ]);
    // Nobody who attacks has a second factor.
    await run(`insert into public.assurance_requirements (id, permission_key, organization_id) values ($1, 'assurance.manage', $2)`, [named('requirement'), idOf(organization)]);
    await run(`insert into public.setting_values (key, organization_id, value) values ('general.theme', $1, '"light"')`, [idOf(organization)]);
    await run(`insert into public.feature_values (key, organization_id, is_enabled) values ('house_rules.acknowledge', $1, true)`, [idOf(organization)]);
    await run(
      `insert into public.consent_texts (id, purpose, version, locale, title, body, organization_id) values ($1, 'newsletter', '1', 'en', 'Newsletter', 'I want it.', $2)`,
      [named('consent text'), idOf(organization)],
    );
    await run(`insert into public.consents (text_id, user_id) values ($1, $2)`, [named('consent text'), target]);
    await run(`insert into public.consents (text_id, resident_id, community_id, channel) values ($1, $2, $3, 'paper')`, [named('consent text'), idOf(`${place} tenant`), idOf(place)]);
  }
  await run(`insert into public.setting_values (key, value) values ('general.contact_email', '"help@site.example"')`);
  await run(`insert into public.feature_values (key, is_enabled) values ('files.upload', true)`);
  await run(`insert into public.consent_texts (id, purpose, version, locale, title, body) values ($1, 'newsletter', '1', 'en', 'Newsletter', 'I want it.')`, [idOf('site consent text')]);
  await run(`insert into public.consents (text_id, user_id) values ($1, $2), ($1, $3)`, [idOf('site consent text'), idOf('alder target user'), idOf('user without a role')]);
  await run(`insert into auth.sessions (id, user_id, aal) values ($1, $2, 'aal1')`, [idOf('session of the user without a role'), idOf('user without a role')]);
  await run(`insert into public.user_preferences (key, user_id, value) values ('general.theme', $1, '"light"'), ('general.theme', $2, '"dark"')`, [
    idOf('user without a role'),
    idOf('suspended owner'),
  ]);
}

/** The token of the invitation that a community wrote to the user without a role. */
export const tokenOf = (place: Place): string => `token of ${place}`;

type Run = (text: string, params?: unknown[]) => Promise<unknown>;

export const emailOf = (name: string): string => `${name.replaceAll(' ', '.')}@test.example`;

/**
 * A token as Auth would mint it now for a user.
 *
 * @param withHook whether the access token hook is switched on
 */
export async function mintToken(sql: Sql, jwtSecret: string, userId: string, withHook = true): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const claims = { aud: 'authenticated', role: 'authenticated', sub: userId, iat: now, exp: now + 3600, app_metadata: { provider: 'email' }, user_metadata: {} };
  const event = { user_id: userId, claims, authentication_method: 'password' };
  const minted = withHook ? (await sql<{ event: typeof event }>('select app.access_token($1) as event', [event]))[0]?.event.claims : claims;
  return new SignJWT(minted ?? claims).setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).sign(new TextEncoder().encode(jwtSecret));
}

/** By what the community shares costs out, what was measured, and an allocation by which nobody was charged yet. */
async function shareOut(run: Run, place: Place): Promise<void> {
  const community = idOf(place);
  const named = (name: string) => idOf(`${place} ${name}`);
  await run(`select public.open_books(c.id, current_date - 100) from public.communities c where c.id = $1 and not exists (select from public.ledgers l where l.community_id = c.id)`, [community]);
  await run(
    `insert into public.allocation_inputs (id, measure, community_id, unit_id, starts_on, ends_on, quantity) values ($1, 'water_cold', $2, $3, '2026-01-01', '2026-01-31', 12.5)`,
    [named('input'), community, named('unit 1')],
  );
  await run(
    `insert into public.allocation_keys (id, name, community_id, method, formula) values
       ($1, 'Fixed', $5, 'fixed', null), ($2, 'Mixture', $5, 'hybrid', null), ($3, 'Formula', $5, 'formula', 'persons + 1'), ($4, 'Per unit', $5, 'per_unit', null)`,
    [named('fixed key'), named('hybrid key'), named('formula key'), named('key per unit'), community],
  );
  await run(
    `insert into public.allocation_key_parts (id, community_id, allocation_key_id, position, method, percent) values ($1, $3, $4, 1, 'fixed', 60), ($2, $3, $4, 2, 'per_unit', 40)`,
    [named('key part'), named('second key part'), community, named('hybrid key')],
  );
  await run(`insert into public.allocation_key_places (id, community_id, allocation_key_id, building_id) values ($1, $2, $3, $4)`, [
    named('key place'),
    community,
    named('fixed key'),
    named('building'),
  ]);
  await run(`insert into public.allocation_key_exclusions (id, community_id, allocation_key_id, unit_type, reason) values ($1, $2, $3, 'parking', 'No lift')`, [
    named('key exclusion'),
    community,
    named('fixed key'),
  ]);
  await run(`insert into public.allocation_key_weights (id, community_id, allocation_key_id, unit_id, weight) values ($1, $2, $3, $4, 1.5)`, [
    named('key weight'),
    community,
    named('fixed key'),
    named('unit 1'),
  ]);
  await run(
    `insert into public.formula_evaluations (id, formula, community_id, allocation_key_id, version, starts_on, ends_on, unit_count) values ($1, 'persons + 1', $2, $3, 1, '2026-01-01', '2026-01-31', 1)`,
    [named('evaluation'), community, named('formula key')],
  );
  await run(`insert into public.formula_weights (id, community_id, evaluation_id, unit_id, weight, inputs) values ($1, $2, $3, $4, 3, '{"persons": 2}')`, [
    named('formula weight'),
    community,
    named('evaluation'),
    named('unit 1'),
  ]);
  await run(
    `insert into public.allocations (id, community_id, allocation_key_id, key_version, method, total, decimals, rounding, starts_on, ends_on, unit_count, weight_total, formula_snapshot)
     select $1, l.community_id, $3, 1, 'fixed', 100, l.decimals, 'largest_remainder', '2026-01-01', '2026-01-31', 1, 1.5, '{"key": "Fixed", "method": "fixed"}' from public.ledgers l where l.community_id = $2`,
    [named('allocation'), community, named('fixed key')],
  );
  await run(`insert into public.allocation_lines (id, community_id, allocation_id, unit_id, place, weight, inputs, amount) values ($1, $2, $3, $4, 1, 1.5, '{}', 100)`, [
    named('allocation line'),
    community,
    named('allocation'),
    named('unit 1'),
  ]);
}
