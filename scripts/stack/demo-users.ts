import { withClient } from './postgres.ts';

/** A user of `supabase/seed.sql`, and what they are. */
export type DemoUser = { email: string; roles: string };

/** The password of every demo user. */
export const demoPassword = 'vicinia-demo';

/** The users that seed.sql made, with the roles they hold and the units they have; none where it was not run. */
export async function demoUsers(databaseUrl: string): Promise<DemoUser[]> {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<DemoUser>(`
      with held (user_id, what) as (
        select m.user_id, r.key || coalesce(' of ' || c.name, ' of ' || o.name, ' of the site')
        from public.memberships m
        join public.roles r on r.id = m.role_id
        left join public.communities c on c.id = m.community_id
        left join public.organizations o on o.id = m.organization_id
        where m.deleted_at is null and (m.ends_at is null or m.ends_at > now())
        union all
        select re.user_id, format('%s of %s in %s', oc.role, string_agg(un.number, ', ' order by un.number), c.name)
        from public.residents re
        join public.occupancies oc on oc.community_id = re.community_id and oc.resident_id = re.id
        join public.units un on un.community_id = oc.community_id and un.id = oc.unit_id
        join public.communities c on c.id = re.community_id
        where re.deleted_at is null and oc.deleted_at is null and (oc.ends_on is null or oc.ends_on > current_date)
        group by re.user_id, oc.role, c.name
      )
      select u.email, string_agg(h.what, '; ' order by h.what) as roles
      from auth.users u
      join held h on h.user_id = u.id
      where u.email like '%@demo.example'
      group by u.id
      order by u.id`);
    return rows;
  });
}
