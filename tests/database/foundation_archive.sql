-- Business rows are archived, not deleted; nothing is archived while something live leans on it; only what is archived is purged.

begin;
select plan(96);

-- The guards ---------------------------------------------------------------------------------------------------------

create function tests.unguarded() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  select f.conrelid::regclass || ', ' || f.conname, 'is not known to app.' || w.called || ': select app.guard_archiving(…)'
  from pg_catalog.pg_constraint f
  cross join lateral (values
    (f.conrelid, app.guard_name(f.conrelid, 'parents_live'), '_030_parents_live'),
    (f.conrelid, app.guard_name(f.conrelid, 'parents_live'), '_030_parents_live_again'),
    (f.confrelid, app.guard_name(f.confrelid, 'archive'), '_030_archive_taken'),
    (f.confrelid, app.guard_name(f.confrelid, 'archive'), '_040_archive')
  ) w (table_id, called, trigger_name)
  where f.contype = 'f' and f.conparentid = 0 and f.confdeltype in ('a', 'r', 'c')
    and f.connamespace = 'public'::regnamespace and (select c.relnamespace from pg_catalog.pg_class c where c.oid = f.confrelid) = 'public'::regnamespace
    -- What the database alone writes is not archived: it tells what was, or follows from it.
    and f.conrelid not in (select k.oid from tests.kept_tables() k) and f.confrelid not in (select k.oid from tests.kept_tables() k)
    and not exists (
      select
      from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
      where t.tgrelid = w.table_id and t.tgname = w.trigger_name and t.tgenabled = 'O' and p.proname = w.called and p.prosrc ~ ('\m' || f.conname || '\M'))
  union all
  select g.tgrelid::regclass::text, p.proname || ' is not what the foreign keys are now: select app.guard_archiving(…)'
  from pg_catalog.pg_trigger g
  join pg_catalog.pg_proc p on p.oid = g.tgfoid
  where g.tgname in ('_030_parents_live', '_030_parents_live_again', '_030_parents_live_reopened', '_030_archive_taken', '_040_archive')
    and p.prosrc is distinct from case when g.tgname like '%parents%' then app.parents_live_body(g.tgrelid) else app.archive_body(g.tgrelid) end
  union all
  select g.tgrelid::regclass::text, 'asks otherwise than app.is_over whether its rows are history: select app.guard_archiving(…)'
  from pg_catalog.pg_trigger g
  left join pg_catalog.pg_trigger o on o.tgrelid = g.tgrelid and o.tgname = '_030_parents_live_reopened'
  where g.tgname = '_030_parents_live_again' and app.over_condition(g.tgrelid, 'old') is not null
    and strpos(coalesce(pg_catalog.pg_get_triggerdef(o.oid), ''), format('(%s IS TRUE) AND (%s IS NOT TRUE)', app.over_condition(g.tgrelid, 'old'), app.over_condition(g.tgrelid, 'new'))) = 0
$$;

select cmp_ok((select count(*) from app.row_references), '>=', 17::bigint, 'there are references to guard');
select is_empty('select * from tests.unguarded()', 'every foreign key between tables that archive is guarded on both sides, by what the catalog says now');

create or replace function app.is_over(occupancy public.occupancies) returns boolean language sql immutable set search_path = '' return false;
select isnt_empty('select * from tests.unguarded()', 'another rule of what is history is noticed');
create or replace function app.is_over(occupancy public.occupancies) returns boolean language sql immutable set search_path = '' return occupancy.moved_out_at is not null;
select is_empty('select * from tests.unguarded()', 'and that it is as before');

savepoint a_key_is_added;
alter table public.occupancies add column building_id uuid,
  add constraint occupancies_building_fkey foreign key (community_id, building_id) references public.buildings (community_id, id) on delete restrict;
select isnt_empty('select * from tests.unguarded()', 'a foreign key that came later is noticed');
select app.guard_archiving('public.occupancies');
select is_empty('select * from tests.unguarded()', 'app.guard_archiving brings both tables up to date');
alter table public.occupancies drop constraint occupancies_building_fkey;
select isnt_empty('select * from tests.unguarded()', 'one that is gone is noticed too');
select app.guard_archiving('public.occupancies'), app.guard_archiving('public.buildings');
select is_empty('select * from tests.unguarded()', 'and brought up to date in the same way');
select lives_ok('alter table public.occupancies drop column building_id', 'after which its column can go');
rollback to a_key_is_added;

-- People and places --------------------------------------------------------------------------------------------------

select tests.create_supabase_user(u) from unnest('{superadmin, staff, manager, guard, tenant, stranger}'::text[]) u;
select tests.create_organization('Domus');
select tests.create_community('Lipa', 'Domus');
select tests.create_community('Elsewhere');
select tests.grant_role('superadmin', 'superadmin');
select tests.grant_role('staff', 'staff');
select tests.grant_role('manager', 'manager', community => 'Lipa');
select tests.grant_role('guard', 'guard', community => 'Lipa');
select tests.grant_role('stranger', 'manager', community => 'Elsewhere');
insert into public.buildings (id, community_id, name) values (tests.id('Main'), tests.id('Lipa'), 'Main'), (tests.id('Annex'), tests.id('Lipa'), 'Annex');
insert into public.units (id, community_id, building_id, number) values (tests.id('A1'), tests.id('Lipa'), tests.id('Main'), 'A1');
select tests.create_unit('A2', 'Lipa');
select tests.create_resident('Elena', 'Lipa', tests.email('tenant'));
select tests.create_resident('Boris', 'Lipa');
select tests.occupy('Elena', 'A1', 'tenant');

create function tests.is_live(tracked regclass, identifier text) returns boolean language plpgsql stable security definer set search_path = ''
as $$
declare
  live boolean;
begin
  execute format('select t.deleted_at is null from %s t where t.id = $1', tracked) into live using tests.id(identifier);
  return live;
end;
$$;
grant execute on function tests.is_live(regclass, text) to authenticated;

-- Refused ------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select throws_ok(format('select public.archive(%L, %L)', 'units', tests.id('A1')), 'PT409', 'has_live_children', 'a unit that somebody occupies is not archived');
select is(tests.is_live('public.units', 'A1'), true, 'and stays live');
select throws_ok(format('select public.archive(%L, %L)', 'buildings', tests.id('Main')), 'PT409', 'has_live_children', 'nor is a building with units');
select throws_ok($$select public.archive('profiles', tests.id('manager'))$$, 'PT404', 'table_not_archivable', 'a table without a rule is not archived');
select throws_ok($$select public.archive('audit_log', tests.id('A1'))$$, 'PT404', 'table_not_archivable', 'nor is a view');
select throws_ok($$select public.archive('units; drop table public.units', tests.id('A1'))$$, 'PT404', 'table_not_archivable', 'nor what is no name at all');
select throws_ok($$select public.archive(null, tests.id('A1'))$$, 'PT404', 'table_not_archivable', 'nor nothing');
select throws_ok($$select public.archive('units', tests.id('nobody'))$$, 'PT404', 'row_not_found', 'a row that does not exist is not found');
select throws_ok($$select public.archive('units', null)$$, 'PT404', 'row_not_found', 'nor is no row');
select throws_ok(format('update public.units set deleted_at = now() where id = %L', tests.id('A2')), '42501', null, 'deleted_at is in no column grant');
select throws_ok(format('delete from public.units where id = %L', tests.id('A2')), '42501', null, 'nor may a user delete');
select throws_ok(format('select public.archive(%L, %L, %L)', 'units', tests.id('A2'), repeat('x', 2001)), 'PT422', 'invalid_value', 'a reason is at most 2000 characters');

select tests.authenticate_as('guard');
select throws_ok(format('select public.archive(%L, %L)', 'units', tests.id('A2')), 'PT403', 'permission_denied', 'who sees the unit without units.archive is told so');
select tests.authenticate_as('staff');
select throws_ok(format('select public.archive(%L, %L)', 'units', tests.id('A2')), 'PT403', 'permission_denied', 'staff of the site reads and edits, and archives nothing');
select tests.authenticate_as('tenant');
select throws_ok(format('select public.archive(%L, %L)', 'units', tests.id('A2')), 'PT404', 'row_not_found', 'to a tenant a neighbour''s unit does not exist');
select throws_ok(format('select public.archive(%L, %L)', 'occupancies', tests.id('Elena tenant A1')), 'PT403', 'permission_denied', 'the own occupancy does');
select tests.authenticate_as('stranger');
select throws_ok(format('select public.archive(%L, %L)', 'units', tests.id('A2')), 'PT404', 'row_not_found', 'to another community''s manager it does not exist');
select tests.clear_authentication();
select throws_ok(format('select public.archive(%L, %L)', 'units', tests.id('A2')), '42501', null, 'whoever is not signed in may not even ask');
select tests.as_studio();
select is(tests.is_live('public.units', 'A2'), true, 'after all of which it is live');

-- Archived, with its parts ---------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select is(
  public.archive('occupancies', tests.id('Elena tenant A1'), 'moved out in haste') - '{deleted_at,id}'::text[],
  '{"table": "occupancies", "name": null, "changed": true, "parts": {}}', 'what leans is archived first');
select tests.keep('answer', public.archive('residents', tests.id('Elena')));
select is(tests.kept('answer')::jsonb - 'deleted_at', jsonb_build_object('table', 'residents', 'id', tests.id('Elena'), 'name', 'Elena', 'changed', true, 'parts', '{"resident_details": 1}'::jsonb),
  'then the resident, and the answer says what went with it');
select is(
  public.archive('residents', tests.id('Elena')), tests.kept('answer')::jsonb || '{"changed": false, "parts": {}}',
  'archived again it changes nothing, and says since when');
select is_empty(format('select from public.residents where id = %L', tests.id('Elena')), 'a list is a list of live rows');
select set_config('request.headers', '{"x-archived": "include"}', true);
select isnt_empty(format('select from public.residents where id = %L', tests.id('Elena')), 'who may archive sees archived rows on demand');
select isnt_empty(format('select from public.resident_details where resident_id = %L', tests.id('Elena')), 'parts too');
select tests.authenticate_as('guard');
select is_empty(format('select from public.residents where id = %L', tests.id('Elena')), 'who may not archive does not');
select tests.authenticate_as('stranger');
select is_empty(format('select from public.residents where id = %L', tests.id('Elena')), 'nor does who may archive elsewhere');
select set_config('request.headers', '', true);

select tests.as_studio();
select results_eq(
  format('select d.deleted_at from public.resident_details d where d.resident_id = %L', tests.id('Elena')),
  format('select r.deleted_at from public.residents r where r.id = %L', tests.id('Elena')), 'a part is archived at the same moment');
select results_eq(
  format('select l.note, l.actor_id from audit.log l where l.row_id = %L order by l.id desc limit 1', tests.id('Elena tenant A1')),
  format('values (%L, %L::uuid)', 'moved out in haste', tests.id('manager')), 'the audit log knows who archived it, and why');
select is(nullif(current_setting('app.reason', true), ''), null, 'the reason ends with the row it was given for');

-- Nothing live under what is archived -----------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select throws_ok($$select tests.occupy('Elena', 'A2', 'owner')$$, 'PT409', 'parent_archived', 'a row under an archived one is refused, from the API');
select throws_ok(format('select public.restore(%L, %L)', 'occupancies', tests.id('Elena tenant A1')), 'PT409', 'parent_archived', 'what leans on an archived row is not restored');
select tests.as_studio();
select is(tests.is_live('public.occupancies', 'Elena tenant A1'), false, 'and stays archived');
select throws_ok($$select tests.occupy('Elena', 'A2', 'owner')$$, 'PT409', 'parent_archived', 'refused in SQL and Studio too');
select throws_ok(
  format('update public.occupancies set deleted_at = null where id = %L', tests.id('Elena tenant A1')), 'PT409', 'parent_archived', 'restoring by hand as well');
select throws_ok(
  format('insert into public.occupancies (community_id, unit_id, resident_id, role) select r.community_id, %L, r.id, %L from public.residents r where r.community_id = %L', tests.id('A2'), 'guest', tests.id('Lipa')),
  'PT409', 'parent_archived', 'and one among many rows');
select is_empty(format('select from public.occupancies where unit_id = %L', tests.id('A2')), 'of which none is stored');
select lives_ok(
  format('insert into public.occupancies (community_id, unit_id, resident_id, role, deleted_at) values (%L, %L, %L, %L, now())', tests.id('Lipa'), tests.id('A2'), tests.id('Elena'), 'guest'),
  'a row that is archived from the start may come in, as in an import of history');
select lives_ok(format('update public.buildings set deleted_at = now() where id = %L', tests.id('Annex')), 'a building without units is archived by hand');
select tests.authenticate_as('manager');
select throws_ok(
  format('update public.units set building_id = %L where id = %L', tests.id('Annex'), tests.id('A1')), 'PT409', 'parent_archived', 'a unit does not move into an archived building');
select results_eq(format('select building_id from public.units where id = %L', tests.id('A1')), format('values (%L::uuid)', tests.id('Main')), 'and stays where it was');

-- Restored -----------------------------------------------------------------------------------------------------------

select is(
  public.restore('residents', tests.id('Elena'), 'came back') - 'id', '{"table": "residents", "name": "Elena", "changed": true, "deleted_at": null, "parts": {"resident_details": 1}}',
  'a resident comes back with the details');
select isnt_empty(format('select from public.resident_details where resident_id = %L', tests.id('Elena')), 'which can be read again');
select is((public.restore('residents', tests.id('Elena')) ->> 'changed')::boolean, false, 'restored again it changes nothing');
select is((public.restore('occupancies', tests.id('Elena tenant A1')) ->> 'changed')::boolean, true, 'now the occupancy comes back too');

select tests.as_studio();
update public.occupancies set deleted_at = now() where resident_id = tests.id('Elena') and deleted_at is null;
update public.resident_details set deleted_at = now() - interval '1 day' where resident_id = tests.id('Elena');
select public.archive('residents', tests.id('Elena'));
select is(public.restore('residents', tests.id('Elena')) -> 'parts', '{}', 'a part that was archived by itself before does not come back');
update public.resident_details set deleted_at = null where resident_id = tests.id('Elena');

select tests.authenticate_as('manager');
select public.archive('units', tests.id('A2'));
insert into public.units (id, community_id, number) values (tests.id('A2 again'), tests.id('Lipa'), 'A2');
select throws_ok(format('select public.restore(%L, %L)', 'units', tests.id('A2')), 'PT409', 'value_taken', 'a number taken meanwhile is not taken back');
select is(tests.is_live('public.units', 'A2'), false, 'and the row stays archived');
select public.archive('units', tests.id('A2 again'));
select is((public.restore('units', tests.id('A2')) ->> 'changed')::boolean, true, 'free again, it is');

-- History does not hold ------------------------------------------------------------------------------------------------

select tests.as_studio();
select tests.occupy('Boris', 'A2', 'tenant', current_date - 100, current_date - 10);
select throws_ok(format('select public.archive(%L, %L)', 'residents', tests.id('Boris')), 'PT409', 'has_live_children', 'an occupancy holds the resident until its end was noticed');
select app.job_occupancy_dates();
select is((public.archive('residents', tests.id('Boris')) ->> 'changed')::boolean, true, 'who has moved out can be archived');
select is(tests.is_live('public.occupancies', 'Boris tenant A2'), true, 'and who lived where on which day is still told');
select throws_ok(
  format('update public.occupancies set ends_on = null where id = %L', tests.id('Boris tenant A2')), 'PT409', 'parent_archived', 'but nobody moves in again who is archived');
select lives_ok(
  format('update public.occupancies set starts_on = starts_on - 1 where id = %L', tests.id('Boris tenant A2')), 'history can still be corrected');

-- Many rows at once, and rows of one table that lean on each other -----------------------------------------------------------

insert into public.units (community_id, number) select tests.id('Lipa'), 'bulk ' || n from generate_series(1, 50) n;
select lives_ok($$update public.units set deleted_at = now() where number like 'bulk %'$$, 'many rows are archived in one statement');
select throws_ok(
  format($$with emptied as (update public.occupancies set deleted_at = null where id = %L returning 1) update public.units set deleted_at = now() where id = %L and exists (select from emptied)$$,
    tests.id('Elena tenant A1'), tests.id('A1')),
  'PT409', null, 'one statement cannot restore a child and archive its parent');

create temporary table nodes (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  parent_id uuid,
  like app.row_model including defaults including comments,
  constraint nodes_pkey primary key (id),
  constraint nodes_parent_fkey foreign key (parent_id) references pg_temp.nodes (id) on delete restrict
);
select app.track('pg_temp.nodes');
insert into nodes (id, name, parent_id) values (tests.id('root'), 'root', null), (tests.id('leaf'), 'leaf', tests.id('root'));
select throws_ok($$update nodes set deleted_at = now() where name = 'root'$$, 'PT409', 'has_live_children', 'a row that its own table leans on is held');
select lives_ok($$update nodes set deleted_at = now()$$, 'but not by rows archived in the same statement');

-- Places -------------------------------------------------------------------------------------------------------------

select tests.create_supabase_user(u) from unnest('{founder, clerk}'::text[]) u;
select tests.create_community('Park', 'Domus');
select tests.grant_role('founder', 'owner', organization => 'Domus');
select tests.grant_role('clerk', 'admin', community => 'Park');
insert into public.roles (id, level, key, name, community_id) values (tests.id('porter'), 'community', 'porter', 'Porter', tests.id('Park'));
insert into public.role_permissions (role_id, permission_key) values (tests.id('porter'), 'units.read');
select tests.keep('membership', tests.grant_role('manager', 'porter', community => 'Park'));

select tests.authenticate_as('clerk');
select throws_ok(format('select public.archive(%L, %L)', 'roles', tests.id('porter')), 'PT409', 'has_live_children', 'a role that somebody holds is not archived');
select throws_ok(format('select public.archive(%L, %L)', 'communities', tests.id('Park')), 'PT403', 'permission_denied', 'a community''s administrator does not archive the community');
select tests.authenticate_as('founder');
select throws_ok(format('select public.archive(%L, %L)', 'organizations', tests.id('Domus')), 'PT409', 'has_live_children', 'an organization with communities is not archived');
select tests.keep('answer', public.archive('communities', tests.id('Park')));
select is(tests.kept('answer')::jsonb -> 'parts', '{"roles": 1, "memberships": 2}', 'a community takes its roles and memberships along, its last administrator''s included');
select tests.authenticate_as('clerk');
select is_empty('select from public.communities', 'who worked there has no access from the next statement on');
select tests.authenticate_as('founder');
select is(public.restore('communities', tests.id('Park')) -> 'parts', '{"roles": 1, "memberships": 2}', 'and it comes back with them');
select tests.authenticate_as('clerk');
select isnt_empty(format('select from public.communities where id = %L', tests.id('Park')), 'who worked there works there again');

select tests.as_studio();
update public.memberships set starts_at = now() - interval '1 day', ends_at = now() where id = tests.kept('membership')::uuid;
select tests.authenticate_as('clerk');
select is((public.archive('roles', tests.id('porter')) ->> 'changed')::boolean, true, 'a role that nobody holds any longer is');

-- Deleted ------------------------------------------------------------------------------------------------------------

select tests.as_studio();
prepare a_delete as delete from public.units where number = 'A2 again';
select throws_ok('execute a_delete', 'PT409', 'delete_refused', 'Studio does not delete, archived or not');
create function tests.hint_of(statement text) returns text language plpgsql volatile set search_path = ''
as $$
declare
  hint text;
begin
  execute statement;
  return null;
exception when others then
  get stacked diagnostics hint = pg_exception_hint;
  return hint;
end;
$$;
select alike(tests.hint_of('delete from public.units'), '%public.archive(''units''%', 'and is told how to archive');
select throws_ok('truncate public.units cascade', 'PT409', 'delete_refused', 'nor does it truncate');
select tests.authenticate_as_service_role();
select throws_ok('delete from public.units', '42501', null, 'the secret key does not delete');
select is((public.archive('units', tests.id('A2')) ->> 'changed')::boolean, true, 'but archives, without looking up a permission');

-- Purged -------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select throws_ok(format('select public.purge(%L, %L, %L)', 'units', tests.id('A2'), 'demolished'), 'PT403', 'permission_denied', 'who may archive may not purge');
select tests.authenticate_as('superadmin');
select throws_ok(format('select public.purge(%L, %L, %L)', 'units', tests.id('A2'), ' '), 'PT422', 'reason_required', 'purging takes a reason');
select throws_ok(format('select public.purge(%L, %L, null)', 'units', tests.id('A2')), 'PT422', 'reason_required', 'and null is none');
select throws_ok(format('select public.purge(%L, %L, %L)', 'units', tests.id('A1'), 'demolished'), 'PT409', 'not_archived', 'what is live is not purged');
select throws_ok(format('select public.purge(%L, %L, %L)', 'units', tests.id('A2'), 'demolished'), 'PT409', 'has_children', 'nor what others still refer to');
select is(tests.is_live('public.units', 'A2'), false, 'all of which leaves the row');
select tests.as_studio();
select throws_ok('execute a_delete', 'PT409', 'delete_refused', 'a purge that was refused leaves nothing open');
select tests.authenticate_as('superadmin');
select tests.keep('answer', public.archive('residents', tests.id('Elena')));
select throws_ok(format('select public.purge(%L, %L, %L)', 'residents', tests.id('Elena'), 'erased on request'), 'PT409', 'has_children', 'archived children are in the way too');
select tests.as_studio();
select tests.keep('purged', (
  select count(*) from public.occupancies o cross join lateral app.purge(('occupancies'), o.id, 'erased on request') where o.resident_id = tests.id('Elena')));
select is(tests.kept('purged'), '2', 'they are purged first');
select tests.authenticate_as('superadmin');
select is(
  public.purge('residents', tests.id('Elena'), 'erased on request') - '{id,deleted_at}'::text[],
  '{"table": "residents", "name": "Elena", "changed": true, "parts": {"resident_details": 1}}', 'then the row with its parts, and the answer says so');
select throws_ok(format('select public.purge(%L, %L, %L)', 'residents', tests.id('Elena'), 'again'), 'PT404', 'row_not_found', 'after which there is nothing to purge');
select tests.as_studio();
select is(tests.is_live('public.residents', 'Elena'), null, 'the row is gone');
select is_empty(format('select from public.resident_details where resident_id = %L', tests.id('Elena')), 'its parts are gone');
select results_eq(
  format('select l.changes::jsonb ->> %L, l.note, l.actor_id from audit.log l where l.row_id = %L and l.operation = %L', 'full_name', tests.id('Elena'), 'delete'),
  format('values (%L, %L, %L::uuid)', 'Elena', 'erased on request', tests.id('superadmin')), 'the audit keeps the row as it was, who purged it and why');
select isnt_empty(
  format('select from audit.log l where l.table_id = %L::regclass and l.operation = %L and l.note = %L', 'public.resident_details', 'delete', 'erased on request'),
  'and so for each part');
select throws_ok('execute a_delete', 'PT409', 'delete_refused', 'after a purge the guard stands as before');

select * from finish();
rollback;
