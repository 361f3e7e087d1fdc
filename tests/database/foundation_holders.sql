-- What is derived for the helpers of policies says what roles and role_permissions say, whoever changed them.

begin;
select plan(13);

create function pg_temp.differences() returns bigint language sql as $$
  with said as (
    select p.key, l.level, exists (select from public.assurance_requirements q where q.permission_key = p.key) as is_assured,
      array(
        select r.key from public.role_permissions rp join public.roles r on r.id = rp.role_id
        where rp.permission_key = p.key and r.level = l.level and r.deleted_at is null and coalesce(r.organization_id, r.community_id) is null
        order by r.key) as role_keys,
      exists (
        select from public.role_permissions rp join public.roles r on r.id = rp.role_id
        where rp.permission_key = p.key and r.level = l.level and r.deleted_at is null and coalesce(r.organization_id, r.community_id) is not null) as has_custom
    from public.permissions p
    cross join (values ('site'::public.access_level), ('organization'), ('community')) l (level)
  )
  select count(*)
  from said s
  full join (
    select h.permission_key, h.is_assured, l.*
    from private.permission_holders h
    cross join lateral (values
      ('site'::public.access_level, h.site_roles, false), ('organization', h.organization_roles, h.has_custom_organization),
      ('community', h.community_roles, h.has_custom_community)) l (level, role_keys, has_custom)
  ) h on h.permission_key = s.key and h.level = s.level
  where (h.role_keys, h.has_custom, h.is_assured) is distinct from (s.role_keys, s.has_custom, s.is_assured)
$$;

select is(pg_temp.differences(), 0::bigint, 'after the migrations every permission has its holders');

select tests.create_community('Alder');
select tests.create_supabase_user('admin');
select tests.create_supabase_user('gardener');
select tests.grant_role('admin', 'admin', community => 'Alder');

select tests.authenticate_as('admin');
select tests.keep('role', public.create_role('gardener', 'Gardener', '{communities.read, units.read}', community_id => tests.id('Alder')));
select tests.as_studio();
select is(pg_temp.differences(), 0::bigint, 'after a custom role was built');
select is((select has_custom_community from private.permission_holders where permission_key = 'units.read'), true, 'which is noticed');

select tests.grant_role('gardener', 'gardener', community => 'Alder', starts_at => now() - interval '1 day');
select tests.authenticate_as('gardener');
select is(array(select app.communities_with('units.read')), array[tests.id('Alder')], 'whoever holds it holds its permissions');
select tests.authenticate_as('admin');
select public.set_role_permissions(tests.kept('role')::uuid, '{communities.read}');
select tests.as_studio();
select is(pg_temp.differences(), 0::bigint, 'after a permission was taken from it');

update public.memberships set ends_at = now() where role_id = tests.kept('role')::uuid;
select public.archive('roles', tests.kept('role')::uuid);
select is(pg_temp.differences(), 0::bigint, 'after it was archived');
select public.restore('roles', tests.kept('role')::uuid);
select is(pg_temp.differences(), 0::bigint, 'after it came back');

delete from public.role_permissions rp using public.roles r
where r.id = rp.role_id and r.level = 'community' and r.key = 'guard' and r.community_id is null and rp.permission_key = 'units.read';
select is(pg_temp.differences(), 0::bigint, 'after a permission was taken from a role of the system in SQL');

select app.define_permission('bees.keep', 'community', 'Keep bees', '{site/superadmin, community/manager}');
select is(pg_temp.differences(), 0::bigint, 'after a permission was declared');

select public.require_assurance('bees.keep'), public.require_assurance('units.read', (select organization_id from public.communities where id = tests.id('Alder')));
select is((select array_agg(permission_key order by permission_key) from private.permission_holders where is_assured), '{bees.keep, units.read}', 'a second factor that is required is noted');
select is(pg_temp.differences(), 0::bigint, 'and nothing else changed');
select public.require_assurance('bees.keep', required => false);
select is((select array_agg(permission_key) from private.permission_holders where is_assured), '{units.read}', 'and no longer, once it is not');
delete from public.assurance_requirements;
select is(pg_temp.differences(), 0::bigint, 'nor once the requirement was deleted in SQL');

select * from finish();
rollback;
