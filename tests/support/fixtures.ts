import { createHash } from 'node:crypto';
import { SignJWT } from 'jose';
import { withClient } from '../../scripts/stack/postgres.ts';
import type { Sql } from './database.ts';

/** The id of whatever the fixtures call by this name; the same in every run. */
export function idOf(name: string): string {
  const hash = createHash('md5').update(`vicinia test ${name}`).digest('hex');
  return hash.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The communities: two of one organization, and one of another. */
export const places = ['alder', 'birch', 'cedar'] as const;
export type Place = (typeof places)[number];
export const organizationOf: Record<Place, string> = { alder: 'north', birch: 'north', cedar: 'south' };

/** A role that somebody holds: `<level>/<key>`, and where. */
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
    for (const place of places) await createCommunity(run, place);

    for (const { userId, roles, units } of actors) {
      for (const { role, organization, community } of roles) {
        if (units.some((held) => `community/${held.role}` === role && held.unit.startsWith(`${community}`))) continue;
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
}

/** A community with a row in every table of the API that belongs to communities. */
async function createCommunity(run: (text: string, params?: unknown[]) => Promise<unknown>, place: Place): Promise<void> {
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

const emailOf = (name: string): string => `${name.replaceAll(' ', '.')}@test.example`;

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
