-- A row is made in an initial state and moves only along declared steps; each step takes its permission, of users alone.

begin;
select plan(53);

-- The machines that exist ----------------------------------------------------------------------------------------------

create function tests.unreachable_states() returns table (object text, problem text) language sql stable set search_path = ''
as $$
  with recursive reached (table_id, state) as (
    select t.table_id, t.to_state from app.state_transitions t where t.from_state is null
    union
    select t.table_id, t.to_state from reached r join app.state_transitions t on t.table_id = r.table_id and t.from_state = r.state
  )
  select g.tgrelid::regclass || '.' || a.attname, e.enumlabel || ' cannot be reached'
  from pg_catalog.pg_trigger g
  join pg_catalog.pg_attribute a on a.attrelid = g.tgrelid and a.attname = app.state_column(g.tgrelid)
  join pg_catalog.pg_enum e on e.enumtypid = a.atttypid
  where g.tgname = '_300_state_step' and not exists (select from reached r where r.table_id = g.tgrelid and r.state = e.enumlabel)
$$;

select cmp_ok((select count(*) from pg_catalog.pg_trigger g where g.tgname = '_300_state_step'), '>=', 2::bigint, 'there are state machines');
select is_empty('select * from tests.unreachable_states()', 'every state of every machine can be reached');
select is_empty(
  $$select g.tgrelid::regclass, r.role
    from pg_catalog.pg_trigger g cross join unnest('{anon, authenticated}'::name[]) r (role)
    where g.tgname = '_300_state_step'
      and (has_column_privilege(r.role, g.tgrelid, app.state_column(g.tgrelid), 'insert') or has_column_privilege(r.role, g.tgrelid, app.state_column(g.tgrelid), 'update'))$$,
  'no user may write a state but through an RPC');
select is_empty(
  'select distinct t.table_id from app.state_transitions t where app.state_column(t.table_id) is null', 'whoever declared steps has bound the table to them');

-- People and places --------------------------------------------------------------------------------------------------

select tests.create_supabase_user(u) from unnest('{superadmin, manager, guard, tenant, neighbour, stranger}'::text[]) u;
select tests.create_community('Lipa');
select tests.create_community('Elsewhere');
select tests.grant_role('superadmin', 'superadmin');
select tests.grant_role('manager', 'manager', community => 'Lipa');
select tests.grant_role('guard', 'guard', community => 'Lipa');
select tests.grant_role('stranger', 'manager', community => 'Elsewhere');
select tests.create_unit(u, 'Lipa') from unnest('{A1, A2, A3}'::text[]) u;
select tests.create_resident('Elena', 'Lipa', tests.email('tenant'));
select tests.create_resident('Petya', 'Lipa', tests.email('neighbour'));
select tests.occupy('Elena', 'A1', 'tenant');
select tests.occupy('Petya', 'A2', 'tenant');

-- A machine of one's own -----------------------------------------------------------------------------------------------
-- Everybody may write this table, so that nothing but the guard stands in the way.

select app.define_permission('errands.close', 'community', 'Close errands', '{community/manager}');
select app.define_permission('errands.cancel_own', 'unit', 'Cancel an errand of the own unit', '{community/tenant}');
create type public.errand_status as enum ('open', 'assigned', 'closed', 'cancelled', 'lost');
create temporary table errands (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  community_id uuid not null,
  unit_id uuid,
  status public.errand_status not null default 'open',
  constraint errands_pkey primary key (id)
);
grant select, insert, update on errands to authenticated, service_role;

select throws_ok($$select app.state_machine('errands', 'name')$$, 'P0001', null, 'a state is of an enum');
select throws_ok($$select app.state_machine('errands', 'status')$$, 'P0001', null, 'a machine has a beginning');
insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('errands', null, 'open', null, 'Somebody asks for it'),
  ('errands', null, 'closed', 'errands.close', 'It is entered when it is done'),
  ('errands', 'open', 'assigned', null, 'Somebody takes it'),
  ('errands', 'assigned', 'closed', 'errands.close', 'It is done'),
  ('errands', 'open', 'cancelled', 'errands.cancel_own', 'It is no longer wanted');
savepoint a_mistake;
insert into app.state_transitions (table_id, from_state, to_state, description) values ('errands', 'open', 'forgotten', 'Nobody cares');
select throws_ok($$select app.state_machine('errands', 'status')$$, 'P0001', null, 'a step leads to a state that exists');
rollback to a_mistake;
select app.state_machine('errands', 'status');
select throws_ok(
  $$insert into app.state_transitions (table_id, from_state, to_state, description) values ('errands', 'open', 'forgotten', 'Nobody cares')$$, 'P0001', null, 'also when it comes later');
select results_eq(
  $$select object || ': ' || problem from tests.unreachable_states() where object like '%errands%'$$, array['errands.status: lost cannot be reached'], 'a state that cannot be reached is noticed');

create function tests.refusal_of(statement text) returns text language plpgsql volatile set search_path = ''
as $$
declare
  told text;
  advised text;
begin
  execute statement;
  return null;
exception when others then
  get stacked diagnostics told = pg_exception_detail, advised = pg_exception_hint;
  return told || ' ' || advised;
end;
$$;
grant execute on function tests.refusal_of(text) to authenticated;

create function tests.errand(name text) returns text language sql stable set search_path = ''
as $$ select e.status::text from pg_temp.errands e where e.name = errand.name $$;
grant execute on function tests.errand(text) to authenticated, service_role;

-- Making rows ------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('guard');
select lives_ok(
  $$insert into errands (name, community_id, unit_id) values ('lamp', tests.id('Lipa'), tests.id('A1')), ('lock', tests.id('Lipa'), tests.id('A2'))$$,
  'a row is made in an initial state');
select throws_ok($$insert into errands (name, community_id, status) values ('door', tests.id('Lipa'), 'assigned')$$, 'PT409', 'transition_refused', 'and in no other');
select is(tests.errand('door'), null, 'it is not stored');
select is(
  tests.refusal_of($$insert into errands (name, community_id, status) values ('door', tests.id('Lipa'), 'assigned')$$),
  'A row of errands is not made in the state assigned. It is made in: closed, open.', 'the refusal says in which it is made');
select throws_ok($$insert into errands (name, community_id, status) values ('door', tests.id('Lipa'), 'closed')$$, 'PT403', 'permission_denied', 'an initial state may take a permission');
select throws_ok(
  $$insert into errands (name, community_id, status) values ('gate', tests.id('Lipa'), 'open'), ('door', tests.id('Lipa'), 'lost')$$, 'PT409', 'transition_refused', 'one row among many is refused');
select is(tests.errand('gate'), null, 'with all of them');
select tests.authenticate_as('manager');
select lives_ok($$insert into errands (name, community_id, status) values ('roof', tests.id('Lipa'), 'closed')$$, 'who holds the permission makes it so');

-- Taking steps -----------------------------------------------------------------------------------------------------------

select tests.authenticate_as('guard');
select throws_ok($$update errands set status = 'closed' where name = 'lamp'$$, 'PT409', 'transition_refused', 'a step that is not declared is refused');
select is(tests.errand('lamp'), 'open', 'and the row is as before');
select is(
  tests.refusal_of($$update errands set status = 'closed' where name = 'lamp'$$),
  'A row of errands does not go open → closed. From open it goes to: assigned, cancelled.', 'the refusal says from where to where, and what is allowed');
select lives_ok($$update errands set status = 'assigned' where name = 'lamp'$$, 'a step without a permission is not looked up');
select throws_ok($$update errands set status = 'closed' where name = 'lamp'$$, 'PT403', 'permission_denied', 'a step with one is');
select is(tests.errand('lamp'), 'assigned', 'and the row is as before');
select lives_ok($$update errands set status = 'assigned', name = 'lamps' where name = 'lamp'$$, 'staying in a state is no step');
select tests.authenticate_as('stranger');
select throws_ok($$update errands set status = 'closed' where name = 'lamps'$$, 'PT403', 'permission_denied', 'the permission counts where the row belongs');
select tests.authenticate_as('manager');
select lives_ok($$update errands set status = 'closed' where name = 'lamps'$$, 'there it is enough');
select throws_ok($$update errands set status = 'open' where name = 'lamps'$$, 'PT409', 'transition_refused', 'what has no way on is final');

select tests.authenticate_as('tenant');
select throws_ok($$update errands set status = 'cancelled' where name = 'lock'$$, 'PT403', 'permission_denied', 'a permission for the own unit does not reach the neighbour''s');
select tests.authenticate_as('manager');
select throws_ok($$update errands set status = 'cancelled' where name = 'lock'$$, 'PT403', 'permission_denied', 'nor does a manager hold it');
select tests.authenticate_as('neighbour');
select lives_ok($$update errands set status = 'cancelled' where name = 'lock'$$, 'whose unit it is does');

-- Trusted, and bound -----------------------------------------------------------------------------------------------------

select tests.authenticate_as_service_role();
select lives_ok($$insert into errands (name, community_id, status) values ('pump', tests.id('Lipa'), 'closed')$$, 'the secret key needs no permission');
select throws_ok($$update errands set status = 'open' where name = 'pump'$$, 'PT409', 'transition_refused', 'but the steps bind it');
select tests.as_studio();
select throws_ok($$update errands set status = 'lost' where name = 'pump'$$, 'PT409', 'transition_refused', 'and Studio');
select is(tests.errand('pump'), 'closed', 'so that nobody stores a state that cannot be');

insert into app.state_transitions (table_id, from_state, to_state, description) values ('errands', 'closed', 'lost', 'The papers are gone');
select lives_ok($$update errands set status = 'lost' where name = 'pump'$$, 'a step that is added counts from the next statement');
delete from app.state_transitions t where t.table_id = 'errands'::regclass and t.to_state = 'open';
select throws_ok($$insert into errands (name, community_id) values ('rail', tests.id('Lipa'))$$, 'PT409', 'transition_refused', 'and so does one that is taken away, the first included');
select throws_ok($$delete from app.state_transitions t where t.table_id = 'errands'::regclass and t.from_state is null$$, 'P0001', null, 'a machine is never left without a beginning');

-- Units ------------------------------------------------------------------------------------------------------------------

select is((select u.status::text from public.units u where u.id = tests.id('A1')), 'occupied', 'the database takes the step when somebody moves in');
select tests.authenticate_as('manager');
select results_eq(
  format('select n.to_state from public.next_states(%L, %L) n', 'units', tests.id('A1')), array['under_maintenance'], 'next_states names the steps that the caller may take, not the database''s');
select public.set_unit_maintenance(tests.id('A1'), true);
select results_eq(format('select n.to_state, n.description from public.next_states(%L, %L) n', 'units', tests.id('A1')),
  $$values ('vacant', 'Take the unit into use again')$$, 'from where the row is now');
select tests.as_studio();
select throws_ok(format('update public.units set status = %L where id = %L', 'occupied', tests.id('A1')), 'PT409', 'transition_refused', 'nobody moves into works');
select tests.authenticate_as('manager');
select public.set_unit_maintenance(tests.id('A1'), false);
select is((select u.status::text from public.units u where u.id = tests.id('A1')), 'occupied', 'after them the unit is what its occupancies say');
select tests.authenticate_as('guard');
select is_empty(format('select from public.next_states(%L, %L)', 'units', tests.id('A1')), 'who may take no step is offered none');
select tests.authenticate_as('tenant');
select throws_ok(format('select * from public.next_states(%L, %L)', 'units', tests.id('A2')), 'PT404', 'row_not_found', 'what the caller does not see does not exist');
select throws_ok($$select * from public.next_states('units', null)$$, 'PT404', 'row_not_found', 'nor does no row');
select throws_ok(format('select * from public.next_states(%L, %L)', 'buildings', tests.id('Elena')), 'PT404', 'table_without_states', 'a table may have no states');
select throws_ok($$select * from public.next_states(null, null)$$, 'PT404', 'table_without_states', 'nor does no table');

-- Accounts ---------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('superadmin');
select results_eq(
  format('select n.to_state from public.next_states(%L, %L) n', 'profiles', tests.id('tenant')), array['inactive', 'suspended', 'banned'], 'an administrator of the site may bar an account');
select lives_ok(format('select public.set_account_status(%L, %L, %L)', tests.id('tenant'), 'suspended', 'noise'), 'set_account_status takes the step');
select lives_ok(format('select public.set_account_status(%L, %L, %L)', tests.id('tenant'), 'suspended', 'more noise'), 'and may say more about the state it is in');
select throws_ok(format('select public.set_account_status(%L, %L)', tests.id('tenant'), 'inactive'), 'PT409', 'transition_refused', 'who is barred is not merely put aside');
select lives_ok(format('select public.set_account_status(%L, %L)', tests.id('tenant'), 'active'), 'but let in again');
select tests.as_studio();
select throws_ok(
  format('insert into public.profiles (id, display_name, status) values (%L, %L, %L)', tests.id('nobody'), 'Nobody', 'banned'), 'PT409', 'transition_refused', 'nobody signs up barred');

select * from finish();
rollback;
