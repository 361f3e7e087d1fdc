-- The catalog test can fail: each rule of 001_catalog_rules.sql is broken once, and notices.

begin;

create function pg_temp.noticed(rule name, planted text) returns text[] language plpgsql as $$
declare
  objects text[];
begin
  begin
    execute planted;
    execute format('select array_agg(object) from tests.%I()', rule) into objects;
    raise sqlstate 'ROLLB';
  exception when sqlstate 'ROLLB' then
    return objects;
  end;
end;
$$;

create temporary table planted (rule name, object text, sql text);
insert into planted values
  ('catalog__rls_enabled', 'public.units', 'alter table public.units disable row level security'),
  ('catalog__policies_exist', 'app.outbox', 'drop policy outbox_select on app.outbox'),
  ('catalog__policies_named', 'public.units, units_read', 'alter policy units_select on public.units rename to units_read'),
  ('catalog__policies_single', 'public.units, units_more', 'create policy units_more on public.units for select to authenticated using (false)'),
  ('catalog__policies_for_authenticated', 'public.units, units_select', 'alter policy units_select on public.units to public'),
  ('catalog__policies_call_once', 'public.units, units_select',
    $$alter policy units_select on public.units using (community_id = any ((select g.communities from app.gate g)::uuid[]) and app.can('units.read', community_id))$$),
  ('catalog__policies_call_once', 'public.units, units_select',
    $$alter policy units_select on public.units using (community_id = any ((select g.communities from app.gate g)::uuid[]) and created_by = auth.uid())$$),
  ('catalog__policies_gate', 'public.units, units_select', $$alter policy units_select on public.units using (community_id in (select app.communities_with('units.read')))$$),
  ('catalog__policies_everywhere_gated', 'public.units, units_select',
    $$alter policy units_select on public.units using ((community_id = any ((select g.communities from app.gate g)::uuid[]) and deleted_at is null) or (select 'units.read' = any (h.permissions) from app.held_everywhere h))$$),
  ('catalog__policies_everywhere_gated', 'public.units, units_insert',
    $$alter policy units_insert on public.units with check (community_id = any ((select app.communities_where('units.manage'))::uuid[]) and (select 'units.read' = any (h.permissions) from app.held_everywhere h))$$),
  ('catalog__policies_gate', 'public.communities, communities_select', $$alter policy communities_select on public.communities using (deleted_at is null)$$),
  ('catalog__policies_named', 'public.units, units_select_all', 'alter policy units_select_reporting on public.units rename to units_select_all'),
  ('catalog__policies_single', 'public.units, units_more',
    'create policy units_more on public.units for select to vicinia_reporting using (false)'),
  ('catalog__logins_by_session', 'public.units, units_select_reporting',
    'alter policy units_select_reporting on public.units using (community_id = any ((select g.communities from app.gate g)::uuid[]))'),
  ('catalog__logins_by_session', 'public.units, units_select_reporting',
    $$alter policy units_select_reporting on public.units using (community_id = any ((select app.reporting_communities())::uuid[]) or current_setting('app.all', true) = 'yes')$$),
  ('catalog__logins_by_session', 'public.units, units_select_maintenance', 'alter policy units_select_maintenance on public.units using (true)'),
  ('catalog__logins_reach_tables', 'public.units', 'drop policy units_select_reporting on public.units'),
  ('catalog__logins_granted', 'public.units', 'grant delete on public.units to vicinia_maintenance'),
  ('catalog__logins_granted', 'public.units', 'grant update on public.units to vicinia_reporting'),
  ('catalog__logins_granted', 'public.memberships', 'grant insert on public.memberships to vicinia_maintenance'),
  ('catalog__logins_granted', 'audit.log', 'grant select on audit.log to vicinia_reporting'),
  ('catalog__logins_execute', 'public.archive(text,uuid,text)', 'grant execute on function public.archive(text, uuid, text) to vicinia_maintenance'),
  ('catalog__logins_execute', 'app.access()', 'grant execute on function app.access() to vicinia_reporting'),
  ('catalog__logins_write', 'app.fail(integer,text,text,text)', 'revoke execute on function app.fail(integer, text, text, text) from vicinia_maintenance'),
  ('catalog__logins_write', 'app.is_name(text)', 'revoke execute on function app.is_name(text) from vicinia_maintenance'),
  ('catalog__policies_check_updates', 'public.units, units_update',
    'drop policy units_update on public.units; create policy units_update on public.units for update to authenticated using (false)'),
  ('catalog__relations_commented', 'public.units', 'comment on table public.units is null'),
  ('catalog__relations_commented', 'public.units_overview', 'comment on view public.units_overview is null'),
  ('catalog__columns_commented', 'public.units.layout', 'comment on column public.units.layout is null'),
  ('catalog__functions_commented', 'app.is_slug(text)', 'comment on function app.is_slug(text) is null'),
  ('catalog__primary_keys', 'public.units', 'alter table public.units rename constraint units_pkey to units_key'),
  ('catalog__constraints_named', 'public.units, area_is_positive', 'alter table public.units rename constraint units_area_check to area_is_positive'),
  ('catalog__indexes_named', 'public.units, units_building_index', 'alter index public.units_building_idx rename to units_building_index'),
  ('catalog__triggers_named', 'public.units, touch', 'alter trigger _100_touch on public.units rename to touch'),
  ('catalog__triggers_named', 'public.units, _500_access', 'create trigger _500_access after insert on public.units for each statement execute function app.tg_communities__access()'),
  ('catalog__columns_named', 'public.units.sunny', 'alter table public.units add column sunny boolean'),
  ('catalog__columns_named', 'public.units.built', 'alter table public.units add column built date'),
  ('catalog__columns_typed', 'public.units.seen', 'alter table public.units add column seen timestamp'),
  ('catalog__columns_typed', 'public.units.colour', 'alter table public.units add column colour varchar(20)'),
  ('catalog__enums_in_public', 'app.delivery_status', 'alter table public.units add column delivery app.delivery_status'),
  ('catalog__foreign_keys_indexed', 'public.units, units_entrance_fkey', 'drop index public.units_building_idx'),
  ('catalog__foreign_keys_on_delete', 'public.units, units_again_fkey',
    'alter table public.units add constraint units_again_fkey foreign key (community_id) references public.communities (id)'),
  ('catalog__foreign_keys_on_delete', 'public.units, units_again_fkey',
    'alter table public.units add constraint units_again_fkey foreign key (community_id, building_id) references public.buildings (community_id, id) on delete set null'),
  ('catalog__foreign_keys_composite', 'public.occupancies, occupancies_place_fkey',
    'alter table public.occupancies add constraint occupancies_place_fkey foreign key (unit_id) references public.units (id) on delete restrict'),
  ('catalog__communities_named', 'public.postings.community_id', 'alter table public.postings drop constraint postings_entry_fkey; alter table public.postings disable trigger _200_post'),
  ('catalog__communities_named', 'public.notes.community_id', 'create table public.notes (id uuid primary key, community_id uuid not null)'),
  ('catalog__row_model_last', 'public.units', 'alter table public.units add column colour text'),
  ('catalog__row_model_last', 'public.notes', 'create table public.notes (id uuid primary key)'),
  ('catalog__tracked', 'public.units', 'drop trigger _900_audit_update on public.units'),
  ('catalog__tracked', 'public.units', 'alter table public.units disable trigger _010_frozen_community_id'),
  ('catalog__tracked', 'public.postings', 'drop trigger _100_append_only on public.postings'),
  ('catalog__row_model_last', 'public.postings', 'alter table public.postings disable trigger _100_append_only'),
  ('catalog__row_model_last', 'public.subaccounts', 'drop trigger _020_derived on public.subaccounts; create trigger _020_derived before update or delete on public.subaccounts for each statement execute function app.tg_subaccounts__derived()'),
  ('catalog__kept_by_database', 'public.postings', 'grant insert on public.postings to service_role'),
  ('catalog__kept_by_database', 'public.subaccounts', 'grant update (balance) on public.subaccounts to vicinia_maintenance'),
  ('catalog__kept_by_database', 'public.postings, postings_insert', 'create policy postings_insert on public.postings for insert to authenticated with check (false)'),
  ('catalog__kept_by_database', 'public.postings', 'alter table public.postings add column deleted_at timestamptz'),
  ('catalog__foreign_keys_indexed', 'public.subaccounts, subaccounts_resident_fkey', 'drop index public.subaccounts_resident_idx; create index subaccounts_resident_idx on public.subaccounts (unit_id, resident_id)'),
  ('catalog__logs_append_only', 'audit.log_default', 'drop trigger _100_append_only on audit.log_default'),
  ('catalog__functions_search_path', 'app.is_slug(text)', 'alter function app.is_slug(text) reset all'),
  ('catalog__functions_invoker', 'public.my_permissions(uuid,uuid)', 'alter function public.my_permissions(uuid, uuid) security definer'),
  ('catalog__definers_justified', 'app.user_id()', $$comment on function app.user_id() is 'The caller.'$$),
  ('catalog__functions_granted', 'app.can(text,uuid)', 'grant execute on function app.can(text, uuid) to anon'),
  ('catalog__functions_granted', 'app.can(text,uuid)', 'grant execute on function app.can(text, uuid) to public'),
  ('catalog__functions_granted', 'app.tg__touch()', 'grant execute on function app.tg__touch() to authenticated'),
  ('catalog__answers_whole', 'public.revoke_entry_code(uuid,uuid,uuid)', $$create function app.revoke_entry_code(uuid, uuid, uuid) returns void language plpgsql as 'begin perform app.require_whole_answer(); end';
    create function public.revoke_entry_code(uuid, uuid, uuid) returns setof integer language sql as 'select 1'$$),
  ('catalog__answers_whole', 'app.read_diary()', $$create function app.read_diary() returns text language plpgsql as 'begin perform app.record_action(''DIARY_READ''); return 1; end'$$),
  ('catalog__functions_volatility', 'app.answer', $$insert into supabase_migrations.schema_migrations (version, statements)
    values ('99990101000000', array[e'-- Why.\ncreate function app.answer() returns integer language sql set search_path = '''' as $x$ select 42 $x$'])$$),
  ('catalog__signatures', 'public.shout(public.short_text)', 'create domain public.short_text as text; create function public.shout(public.short_text) returns text language sql as ''select $1'''),
  ('catalog__grants_beyond_rows', 'public.units', 'grant truncate on public.units to service_role'),
  ('catalog__grants_to_anon', 'public.units.number', 'grant select (number) on public.units to anon'),
  ('catalog__grants_to_anon', 'public.units_overview', 'grant select on public.units_overview to public'),
  ('catalog__grants_delete', 'public.units', 'grant delete on public.units to service_role'),
  ('catalog__grants_closed_schemas', 'app.outbox', 'grant select on app.outbox to authenticated'),
  ('catalog__grants_closed_schemas', 'audit.log', 'grant insert on audit.log to service_role'),
  ('catalog__grants_list_columns', 'public.units', 'grant update on public.units to authenticated'),
  ('catalog__grants_list_columns', 'public.units.status', 'grant update (status) on public.units to authenticated'),
  ('catalog__grants_service_role', 'public.units_overview', 'revoke select on public.units_overview from service_role'),
  ('catalog__personal_data_registered', 'public.units.keeper_id',
    'alter table public.units add column keeper_id uuid constraint units_keeper_fkey references public.profiles (id) on delete set null'),
  ('catalog__personal_data_registered', 'public.units.inspected_by', 'alter table public.units add column inspected_by uuid'),
  ('catalog__personal_data_registered', 'public.units.owner_email', 'alter table public.units add column owner_email text'),
  ('catalog__personal_data_registered', 'public.occupancies.resident_id', 'delete from app.personal_data_registry where table_id = ''public.occupancies''::regclass'),
  ('catalog__views_invoker', 'public.units_overview', 'alter view public.units_overview reset (security_invoker)');

select plan((select count(*)::integer + 1 from planted));

select is_empty('select rule from tests.catalog_rules() except select rule from planted', 'every rule is broken here at least once');

select ok(p.object = any (pg_temp.noticed(p.rule, p.sql)), format('%s notices: %s', p.rule, regexp_replace(p.sql, '\s+', ' ', 'g')))
from planted p;

select * from finish();
rollback;
