/** A statement, and what its rows are called in the report if they are part of it. */
export type Step = { counts?: string; sql: string };

/**
 * What the steps draw lots with and where they keep what they drew: temporary, gone with the session. A lot depends on
 * the seed and on what it is drawn for, never on the order in which rows are made.
 */
export const preparation = (seed: number): string => `
  create function pg_temp.roll(what text, a integer, b integer default 0, c integer default 0) returns double precision
    language sql immutable
    as $$ select (hashtextextended(what || ':' || a::text || ':' || b::text || ':' || c::text, ${seed}) & 2147483647) / 2147483648.0 $$;
  create function pg_temp.pick(choices text[], lot double precision) returns text
    language sql immutable
    as $$ select choices[1 + floor(lot * cardinality(choices))::integer] $$;

  create temporary table load_input (communities integer, units integer, password_hash text, first integer, last integer);
  create temporary table load_places (
    n integer, country_code text, currency_code text, time_zone text, locale text, ideal_parts_total numeric, cities text[],
    community_names text[], given_names text[], family_names text[], company_names text[], layouts text[], building_name text, phone_prefix text
  );
  create temporary table load_organizations (n integer, id uuid default extensions.uuidv7(), place integer, name text, slug text);
  create temporary table load_communities (
    n integer, id uuid default extensions.uuidv7(), organization_n integer, place integer, name text, slug text,
    kind text, flats integer, buildings integer, entrances integer
  );
  create temporary view load_batch as
    select c.*, p.time_zone, p.given_names, p.family_names, p.company_names, p.layouts, p.building_name, p.phone_prefix
    from load_input i join load_communities c on c.n between i.first and i.last join load_places p on p.n = c.place;

  create temporary table load_buildings (community_id uuid, community_n integer, n integer, id uuid default extensions.uuidv7());
  create temporary table load_entrances (community_id uuid, building_id uuid, community_n integer, building_n integer, n integer, id uuid default extensions.uuidv7());
  create temporary table load_units (
    community_id uuid, community_n integer, n integer, id uuid default extensions.uuidv7(), type public.unit_type,
    building_n integer, entrance_n integer, number text, floor integer, area numeric, use text
  );
  create temporary table load_people (
    community_id uuid, community_n integer, unit_n integer, slot integer, id uuid default extensions.uuidv7(),
    full_name text, kind public.resident_kind, email text, phone text, user_id uuid
  );
  create temporary table load_occupancies (
    community_id uuid, unit_id uuid, resident_id uuid, role public.occupancy_role, ownership_share numeric,
    is_living_in boolean, is_primary_contact boolean, starts_on date, ends_on date
  );
  create temporary table load_users (id uuid, email text, full_name text);
  create temporary table load_memberships (user_id uuid, role text, organization_id uuid, community_id uuid)`;

/** The users as Auth would have made them by sign-up and confirmation. Without a password nobody signs in as one. */
const users: Step[] = [
  {
    counts: 'users',
    sql: `
      insert into auth.users (
        instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data,
        confirmation_token, recovery_token, email_change, email_change_token_new, created_at, updated_at)
      select
        '00000000-0000-0000-0000-000000000000', u.id, 'authenticated', 'authenticated', u.email, i.password_hash, now(),
        '{"provider": "email", "providers": ["email"]}', jsonb_build_object('full_name', u.full_name), '', '', '', '', now(), now()
      from load_users u cross join load_input i`,
  },
  {
    sql: `
      insert into auth.identities (id, provider_id, user_id, identity_data, provider, created_at, updated_at)
      select gen_random_uuid(), id::text, id, jsonb_build_object('sub', id, 'email', email, 'email_verified', true), 'email', now(), now()
      from load_users`,
  },
];

const memberships: Step = {
  counts: 'memberships',
  sql: `
    insert into public.memberships (user_id, role_id, organization_id, community_id, starts_at)
    select m.user_id, r.id, m.organization_id, m.community_id, timestamptz '2024-01-01 00:00:00Z'
    from load_memberships m
    join public.roles r on r.key = m.role and r.level = case when m.community_id is null then 'organization' else 'community' end::public.access_level
      and num_nonnulls(r.organization_id, r.community_id) = 0 and r.deleted_at is null`,
};

/** Decides what every community is like, and makes the organizations that run them and the people who work for those. */
export const organizationSteps = (seed: number): Step[] => [
  {
    // Four neighbours in number share a company, except that one community in five runs itself.
    sql: `
      insert into load_communities (n, organization_n, place, name, slug, kind, flats, buildings, entrances)
      select
        k.n, case when pg_temp.roll('alone', k.n) < 0.2 then k.n else -k.company end, p.n,
        pg_temp.pick(p.community_names, pg_temp.roll('name', k.n)) || ' ' || k.n, 'load-${seed}-' || k.n,
        k.kind, k.flats, case k.kind when 'blocks' then greatest(2, ceil(k.flats / 40.0)::integer) when 'tower' then 1 else 0 end,
        1 + floor(pg_temp.roll('entrances', k.n) * 3)::integer
      from (
        select n, (n - 1) / 4 as company, kind, ceil(units * case kind when 'village' then 0.95 else 0.78 end)::integer as flats
        from load_input
        cross join lateral generate_series(1, communities) n
        cross join lateral pg_temp.pick('{blocks,blocks,tower,village}', pg_temp.roll('kind', n)) kind
      ) k
      join load_places p on p.n = (k.company + ${seed}) % (select count(*) from load_places)`,
  },
  {
    sql: `
      insert into load_organizations (n, place, name, slug)
      select
        c.organization_n, p.n,
        case when c.organization_n > 0 then min(c.name)
          else pg_temp.pick(p.company_names, pg_temp.roll('company', c.organization_n)) || ' ' || 1 - c.organization_n end,
        'load-${seed}-' || case when c.organization_n > 0 then 'own-' || c.organization_n else 'company-' || 1 - c.organization_n end
      from load_communities c join load_places p on p.n = c.place
      group by c.organization_n, p.n, p.company_names`,
  },
  {
    counts: 'organizations',
    sql: `
      insert into public.organizations (id, name, slug, country_code)
      select o.id, o.name, o.slug, p.country_code from load_organizations o join load_places p on p.n = o.place order by o.n`,
  },
  {
    sql: `
      insert into load_users (id, email, full_name)
      select extensions.uuidv7(), post || '@' || o.slug || '.example',
        pg_temp.pick(p.given_names, pg_temp.roll('given ' || post, o.n)) || ' ' || pg_temp.pick(p.family_names, pg_temp.roll('family ' || post, o.n))
      from load_organizations o join load_places p on p.n = o.place cross join unnest('{admin,manager,technician}'::text[]) post`,
  },
  ...users,
  {
    sql: `
      insert into load_memberships (user_id, role, organization_id)
      select u.id, 'admin', o.id from load_organizations o join load_users u on u.email = 'admin@' || o.slug || '.example'`,
  },
  memberships,
  { sql: 'truncate load_users, load_memberships' },
];

/** Makes the communities of `load_batch`: first drawn into temporary tables, then stored. */
export const batchSteps: Step[] = [
  {
    sql: `insert into load_buildings (community_id, community_n, n) select c.id, c.n, b from load_batch c cross join generate_series(1, c.buildings) b`,
  },
  {
    sql: `
      insert into load_entrances (community_id, building_id, community_n, building_n, n)
      select b.community_id, b.id, b.community_n, b.n, e from load_buildings b join load_batch c on c.n = b.community_n cross join generate_series(1, c.entrances) e`,
  },
  {
    sql: `
      insert into load_units (community_id, community_n, n, type, building_n, entrance_n, number, floor, area, use)
      select
        community_id, community_n, n, type, building_n,
        case when type = 'apartment' then 1 + (place - 1) % entrances end,
        case type when 'house' then n::text when 'apartment' then place::text else upper(left(type::text, 2)) || n - flats end,
        case type when 'house' then null when 'apartment' then 1 + (place - 1) / (3 * entrances) when 'parking' then -1 when 'storage' then -1 else 0 end,
        round((case type
          when 'apartment' then 38 + 95 * size when 'house' then 90 + 170 * size when 'parking' then 12.5 when 'storage' then 3 + 7 * size else 30 + 120 * size
        end)::numeric, 2),
        case
          when type in ('parking', 'storage') then 'attached'
          when lot < 0.07 then 'unsold'
          when lot < 0.12 then 'empty'
          when lot < 0.37 or type in ('shop', 'office') then 'let'
          else 'own'
        end
      from (
        select
          c.id as community_id, c.n as community_n, u as n, c.flats, c.entrances,
          case
            when u <= c.flats then case c.kind when 'village' then 'house' else 'apartment' end
            when c.kind = 'village' or pg_temp.roll('is trade', c.n, u) < 0.18 then pg_temp.pick('{shop,shop,office}', pg_temp.roll('trade', c.n, u))
            else pg_temp.pick('{parking,parking,storage}', pg_temp.roll('attached', c.n, u))
          end::public.unit_type as type,
          1 + (u - 1) % nullif(c.buildings, 0) as building_n, 1 + (u - 1) / nullif(c.buildings, 0) as place,
          pg_temp.roll('area', c.n, u) as size, pg_temp.roll('use', c.n, u) as lot
        from load_batch c cross join load_input i cross join lateral generate_series(1, i.units) u
      ) drawn`,
  },
  {
    // Slots: 0 the developer, 1 and 2 owners, 3 tenant, 4 to 6 family, 7 authorized, 8 a former tenant.
    sql: `
      insert into load_people (community_id, community_n, unit_n, slot, full_name, kind, email, phone, user_id)
      select
        c.id, c.n, w.unit_n, w.slot,
        case
          when w.is_company then pg_temp.pick(c.company_names, pg_temp.roll('company', c.n, w.unit_n, w.slot)) || ' ' || w.unit_n
          else pg_temp.pick(c.given_names, pg_temp.roll('given', c.n, w.unit_n, w.slot)) || ' '
            || pg_temp.pick(c.family_names, pg_temp.roll('family', c.n, w.unit_n, w.named_like))
        end,
        case when w.is_company then 'company' else 'person' end::public.resident_kind,
        case when w.has_email then 'resident-' || w.unit_n || '-' || w.slot || '@' || c.slug || '.example' end,
        case when pg_temp.roll('phone', c.n, w.unit_n, w.slot) < 0.8
          then c.phone_prefix || ' ' || 1000000 + floor(pg_temp.roll('number', c.n, w.unit_n, w.slot) * 8999999)::integer end,
        case when w.has_email and not w.is_company and w.slot in (1, 3) and pg_temp.roll('account', c.n, w.unit_n, w.slot) < 0.2
          then extensions.uuidv7() end
      from (
        select u.community_n, u.n as unit_n, slot,
          case when slot <= 3 or slot = 8 then slot when u.use = 'let' then 3 else 1 end as named_like,
          slot in (1, 3) and u.type in ('shop', 'office') or slot = 1 and pg_temp.roll('is company', u.community_n, u.n) < 0.04 as is_company,
          pg_temp.roll('email', u.community_n, u.n, slot) < 0.75 as has_email
        from load_units u cross join generate_series(1, 8) slot
        where case slot
          when 1 then u.use in ('empty', 'let', 'own')
          when 2 then u.use in ('let', 'own') and u.type in ('apartment', 'house') and pg_temp.roll('co-owner', u.community_n, u.n) < 0.3
          when 3 then u.use = 'let'
          when 7 then u.use = 'own' and pg_temp.roll('authorized', u.community_n, u.n) < 0.05
          when 8 then u.use in ('empty', 'let') and u.type in ('apartment', 'house') and pg_temp.roll('former', u.community_n, u.n) < 0.4
          else u.use in ('let', 'own') and u.type in ('apartment', 'house') and slot - 3 <= floor(pg_temp.roll('family', u.community_n, u.n) * 3.6)
        end
        union all
        select n, 0, 0, 0, true, true from load_batch
      ) w
      join load_batch c on c.n = w.community_n`,
  },
  { sql: 'analyze load_units; analyze load_people' },
  {
    sql: `
      insert into load_occupancies (community_id, unit_id, resident_id, role, ownership_share, is_living_in, is_primary_contact, starts_on, ends_on)
      select
        u.community_id, u.id, p.id,
        case when p.slot <= 2 then 'owner' when p.slot in (3, 8) then 'tenant' when p.slot = 7 then 'authorized' else 'family' end::public.occupancy_role,
        case when p.slot <= 2 then 100.0 / count(*) filter (where p.slot <= 2) over (partition by u.id) end,
        p.slot = 8 or p.kind = 'person' and u.use in ('let', 'own') and p.slot <> 7 and (u.use = 'own' or p.slot > 2),
        p.slot = case u.use when 'let' then 3 else 1 end,
        case p.slot when 3 then date '2020-07-01' else date '2015-01-01' end + floor(pg_temp.roll('since', u.community_n, u.n, case when p.slot <= 2 then 1 else p.slot end) * 1500)::integer,
        case p.slot when 8 then date '2020-01-01' + floor(pg_temp.roll('until', u.community_n, u.n) * 180)::integer end
      from load_units u
      join load_people p on p.community_n = u.community_n and p.unit_n = u.n
      union all
      -- A parking place or storage room goes with the first owner of some flat; what is not sold is the developer's.
      select
        u.community_id, u.id, coalesce(neighbour.id, developer.id), 'owner', 100, false, true,
        date '2015-01-01' + floor(pg_temp.roll('since', u.community_n, u.n) * 1500)::integer, null
      from load_units u
      join load_batch c on c.n = u.community_n
      join load_people developer on developer.community_n = u.community_n and developer.slot = 0
      left join load_people neighbour on u.use = 'attached' and neighbour.community_n = u.community_n and neighbour.slot = 1
        and neighbour.unit_n = 1 + floor(pg_temp.roll('goes with', u.community_n, u.n) * c.flats)::integer
      where u.use in ('attached', 'unsold')`,
  },
  {
    sql: `
      insert into load_users (id, email, full_name)
      select p.user_id, p.email, p.full_name from load_people p where p.user_id is not null
      union all
      select extensions.uuidv7(), post || '@' || c.slug || '.example',
        pg_temp.pick(c.given_names, pg_temp.roll('given ' || post, c.n)) || ' ' || pg_temp.pick(c.family_names, pg_temp.roll('family ' || post, c.n))
      from load_batch c cross join unnest('{accountant,guard-1,guard-2}'::text[]) post`,
  },

  {
    counts: 'communities',
    sql: `
      insert into public.communities (id, organization_id, name, slug, city, country_code, currency_code, time_zone, locale, ideal_parts_total)
      select c.id, o.id, c.name, c.slug, pg_temp.pick(p.cities, pg_temp.roll('city', c.n)), p.country_code, p.currency_code, p.time_zone, p.locale, p.ideal_parts_total
      from load_batch c join load_organizations o on o.n = c.organization_n join load_places p on p.n = c.place
      order by c.n`,
  },
  {
    counts: 'buildings',
    sql: `
      insert into public.buildings (id, community_id, name, floor_count)
      select b.id, b.community_id, c.building_name || ' ' || b.n,
        (select greatest(max(u.floor), 1) from load_units u where u.community_n = b.community_n and u.building_n = b.n)
      from load_buildings b join load_batch c on c.n = b.community_n`,
  },
  {
    counts: 'entrances',
    sql: `
      insert into public.entrances (id, community_id, building_id, name, has_intercom, has_elevator)
      select e.id, e.community_id, e.building_id, chr(64 + e.n), true, pg_temp.roll('elevator', e.community_n, e.building_n) < 0.6 from load_entrances e`,
  },
  {
    counts: 'units',
    sql: `
      insert into public.units (
        id, community_id, building_id, entrance_id, number, type, layout, floor, area, ideal_parts, occupant_count, intercom_extension)
      select
        u.id, u.community_id, b.id, e.id, u.number, u.type,
        case when u.type in ('apartment', 'house') then pg_temp.pick(c.layouts, pg_temp.roll('layout', u.community_n, u.n)) end,
        u.floor, u.area,
        -- Shares by area; what rounding leaves over goes to the first unit.
        s.share + case when u.n = 1 then p.ideal_parts_total - sum(s.share) over (partition by u.community_n) else 0 end,
        coalesce(o.living, 0), case when e.id is not null then u.building_n || lpad(u.number, 3, '0') end
      from (
        select u.*, u.area / sum(u.area) over (partition by u.community_n) as part from load_units u
      ) u
      join load_batch c on c.n = u.community_n
      join load_places p on p.n = c.place
      cross join lateral (select round(u.part * p.ideal_parts_total, 4) as share) s
      left join load_buildings b on b.community_n = u.community_n and b.n = u.building_n
      left join load_entrances e on e.community_n = u.community_n and e.building_n = u.building_n and e.n = u.entrance_n
      left join (select unit_id, count(*) as living from load_occupancies where is_living_in and ends_on is null group by unit_id) o on o.unit_id = u.id
      order by u.community_n, u.n`,
  },
  ...users,
  {
    counts: 'residents',
    sql: `
      insert into public.residents (id, community_id, full_name, kind, reference)
      select id, community_id, full_name, kind, 'R' || unit_n || '-' || slot from load_people order by community_n, unit_n, slot`,
  },
  {
    counts: 'details',
    sql: `
      insert into public.resident_details (community_id, resident_id, email, phone)
      select community_id, id, email, phone from load_people where num_nonnulls(email, phone) > 0 order by community_n, unit_n, slot`,
  },
  {
    counts: 'occupancies',
    sql: `
      insert into public.occupancies (
        community_id, unit_id, resident_id, role, ownership_share, is_living_in, is_primary_contact, starts_on, ends_on, moved_out_at)
      select
        o.community_id, o.unit_id, o.resident_id, o.role, o.ownership_share, o.is_living_in, o.is_primary_contact, o.starts_on, o.ends_on,
        (o.ends_on + 1)::timestamp at time zone c.time_zone
      from load_occupancies o join load_batch c on c.id = o.community_id
      order by o.community_id, o.unit_id`,
  },
  {
    sql: `
      insert into load_memberships (user_id, role, community_id)
      select u.id, m.role, c.id
      from load_batch c
      join load_organizations o on o.n = c.organization_n
      cross join lateral (values
        ('manager', 'manager@' || o.slug), ('technician', 'technician@' || o.slug),
        ('accountant', 'accountant@' || c.slug), ('guard', 'guard-1@' || c.slug), ('guard', 'guard-2@' || c.slug)) m (role, mailbox)
      join auth.users u on u.email = m.mailbox || '.example'
      union all
      -- Of the owners with accounts, two at most sit on the committee.
      select s.user_id, 'committee', s.community_id
      from (select *, row_number() over (partition by community_n order by unit_n) as seat from load_people where user_id is not null and slot = 1) s
      where s.seat <= 2`,
  },
  memberships,
  { sql: 'truncate load_buildings, load_entrances, load_units, load_people, load_occupancies, load_users, load_memberships' },
];
