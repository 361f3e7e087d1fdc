-- Billing: categories of expenses.
--
-- Purpose     What a community spends money on: which expense account of which fund it books to, and whether and how it is shared out.
-- Tables      expense_categories
-- RPCs        create_expense_category, change_expense_category, set_expense_category_status
-- Invariants  A category books to an expense account of one fund of its community; the keys say so, and neither account nor fund ever
--             changes, so that what was booked under it stays where it is. A category that is not active takes no new expense.
--             How it is shared out may change; what was shared out tells how it was.

create type public.expense_category_status as enum ('active', 'inactive');

-- Read and managed with expenses.read and expenses.manage of the topic keys.
select app.define_permission('expenses.approve', 'community', 'Approve and reject expenses', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager, community/committee}');
select app.define_permission('expenses.pay', 'community', 'Pay expenses', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor,
  community/admin, community/manager, community/accountant}');

create table public.expense_categories (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  code text not null,
  description text,
  community_id uuid not null,
  fund_id uuid not null,
  account_id uuid not null,
  account_type public.account_type not null generated always as ('expense'::public.account_type) stored,
  allocation_key_id uuid,
  liable public.fee_liability not null default 'payer',
  status public.expense_category_status not null default 'active',
  like app.row_model including defaults including comments,
  constraint expense_categories_pkey primary key (id),
  constraint expense_categories_fund_id_key unique (community_id, fund_id, id),
  constraint expense_categories_code_key unique nulls not distinct (community_id, code, deleted_at),
  constraint expense_categories_account_fkey foreign key (community_id, fund_id, account_id, account_type)
    references public.accounts (community_id, fund_id, id, type) on delete restrict,
  constraint expense_categories_allocation_key_fkey foreign key (community_id, allocation_key_id)
    references public.allocation_keys (community_id, id) on delete restrict,
  constraint expense_categories_name_check check (app.is_name(name)),
  constraint expense_categories_code_check check (code ~ '^[0-9A-Z.-]{1,20}$'),
  constraint expense_categories_description_check check (length(btrim(description)) between 1 and 1000)
);

create index expense_categories_account_idx on public.expense_categories (community_id, fund_id, account_id, account_type);
create index expense_categories_allocation_key_idx on public.expense_categories (community_id, allocation_key_id) where allocation_key_id is not null;

comment on table public.expense_categories is 'What a community spends money on, where it is booked and how it is shared out. Made by create_expense_category.';
comment on column public.expense_categories.name is 'What people call it: lift, cleaning, cold water.';
comment on column public.expense_categories.code is 'Short code, unique among the live categories of the community.';
comment on column public.expense_categories.description is 'What belongs into it.';
comment on column public.expense_categories.fund_id is 'The fund that bears it; the account''s. Never changes.';
comment on column public.expense_categories.account_id is 'The expense account it books to. Never changes: make another category instead.';
comment on column public.expense_categories.account_type is 'Always expense: what the key of the account demands.';
comment on column public.expense_categories.allocation_key_id is 'How it is shared out among the units; null: the fund bears it and nobody is charged.';
comment on column public.expense_categories.liable is 'Whom a unit''s share is charged to: payer or occupant (see app.liability).';
comment on column public.expense_categories.status is 'active, or inactive: it takes no new expense.';

create function app.is_over(category public.expense_categories)
returns boolean
language sql
immutable
set search_path = ''
return category.status = 'inactive';

comment on function app.is_over(public.expense_categories) is 'Whether the row is history: a category out of use keeps neither its account nor its key from being archived.';

grant execute on function app.is_over(public.expense_categories) to authenticated, service_role;

select app.track('public.expense_categories');

create trigger _010_frozen_account before update of fund_id, account_id on public.expense_categories for each row
  when ((old.fund_id, old.account_id) is distinct from (new.fund_id, new.account_id)) execute function app.tg__frozen('account_id');

insert into app.archive_rules (table_id, permission_key) values ('public.expense_categories', 'expenses.manage');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.expense_categories', null, 'active', null, 'It is made'),
  ('public.expense_categories', 'active', 'inactive', 'expenses.manage', 'Take the category out of use'),
  ('public.expense_categories', 'inactive', 'active', 'expenses.manage', 'Take the category into use again');

select app.state_machine('public.expense_categories', 'status');

create policy expense_categories_select on public.expense_categories for select to authenticated
  using (
    community_id = any ((select app.communities_where('expenses.read'))::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('expenses.manage'))))
  );
grant select on public.expense_categories to authenticated;
grant select, insert, update on public.expense_categories to service_role;

-- Keeping them -------------------------------------------------------------------------------------------------------

create function app.check_allocation_key(community uuid, key uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if key is not null and not exists (
    select from public.allocation_keys k where k.id = key and k.community_id = community and k.status = 'active' and k.deleted_at is null)
  then
    perform app.fail(404, 'allocation_key_not_found', 'There is no allocation key in use with this id in this community.');
  end if;
end;
$$;

comment on function app.check_allocation_key(uuid, uuid) is 'Refuses (404 allocation_key_not_found) a key of another community, or one that is out of use. Null passes. Not executable by API roles.';

create function app.create_expense_category(
  community uuid, code text, name text, account uuid, allocation_key uuid, liable public.fee_liability, description text
)
returns uuid
language plpgsql
volatile
security definer -- API roles may not insert categories
set search_path = ''
as $$
declare
  fund uuid;
  made uuid;
  refused text;
begin
  perform app.require('expenses.manage', community);
  select a.fund_id into fund
  from public.accounts a
  where a.id = account and a.community_id = community and a.type = 'expense' and a.status = 'active' and a.deleted_at is null;
  if fund is null then
    perform app.fail(404, 'account_not_found', 'There is no expense account in use with this id in this community.');
  elsif name is null or code is null then
    perform app.fail(422, 'invalid_value', 'A category has a name and a code.');
  end if;
  perform app.check_allocation_key(community, allocation_key);
  insert into public.expense_categories (name, code, description, community_id, fund_id, account_id, allocation_key_id, liable)
  values (name, code, nullif(btrim(description), ''), community, fund, account, allocation_key, coalesce(liable, 'payer'))
  returning id into made;
  return made;
exception
  when unique_violation then
    perform app.fail(409, 'category_code_taken', 'Another category of this community has this code.');
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('expense_categories', refused);
end;
$$;

comment on function app.create_expense_category(uuid, text, text, uuid, uuid, public.fee_liability, text) is
  'What public.create_expense_category does. Definer: no API role may insert categories.';

create function public.create_expense_category(
  community_id uuid, code text, name text, account_id uuid, allocation_key_id uuid default null, liable public.fee_liability default 'payer', description text default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.create_expense_category(community_id, code, name, account_id, allocation_key_id, liable, description) $$;

comment on function public.create_expense_category(uuid, text, text, uuid, uuid, public.fee_liability, text) is
  'Makes a category of expenses that books to an expense account, and to its fund. With an allocation key its expenses can be shared out, and are charged to who is liable; without, the fund bears them. '
  'Takes expenses.manage. Returns its id. Errors: permission_denied, account_not_found, allocation_key_not_found, category_code_taken, invalid_value.';

create function app.locked_expense_category(category uuid)
returns public.expense_categories
language plpgsql
volatile
security definer -- locks a category, which API roles may not update
set search_path = ''
as $$
declare
  present public.expense_categories;
begin
  select c.* into present from public.expense_categories c
  where c.id = category and c.deleted_at is null and (app.is_trusted() or app.can('expenses.read', c.community_id))
  for no key update;
  if present.id is null then
    perform app.fail(404, 'category_not_found', 'There is no category of expenses with this id.');
  end if;
  perform app.require('expenses.manage', present.community_id);
  return present;
end;
$$;

comment on function app.locked_expense_category(uuid) is
  'The category, locked, if the caller sees it and manages expenses. Not executable by API roles. Errors: category_not_found, permission_denied. Definer: locks a category.';

create function app.change_expense_category(
  category uuid, code text, name text, allocation_key uuid, liable public.fee_liability, description text
)
returns void
language plpgsql
volatile
security definer -- API roles may not update categories
set search_path = ''
as $$
declare
  present constant public.expense_categories := app.locked_expense_category(category);
  refused text;
begin
  if name is null or code is null then
    perform app.fail(422, 'invalid_value', 'A category has a name and a code.');
  end if;
  if allocation_key is distinct from present.allocation_key_id then
    perform app.check_allocation_key(present.community_id, allocation_key);
  end if;
  update public.expense_categories c
  set name = change_expense_category.name, code = change_expense_category.code, description = nullif(btrim(change_expense_category.description), ''),
    allocation_key_id = allocation_key, liable = coalesce(change_expense_category.liable, 'payer')
  where c.id = present.id;
exception
  when unique_violation then
    perform app.fail(409, 'category_code_taken', 'Another category of this community has this code.');
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('expense_categories', refused);
end;
$$;

comment on function app.change_expense_category(uuid, text, text, uuid, public.fee_liability, text) is
  'What public.change_expense_category does. Definer: no API role may update categories.';

create function public.change_expense_category(
  category_id uuid, code text, name text, allocation_key_id uuid default null, liable public.fee_liability default 'payer', description text default null
)
returns void
language sql
volatile
set search_path = ''
as $$ select app.change_expense_category(category_id, code, name, allocation_key_id, liable, description) $$;

comment on function public.change_expense_category(uuid, text, text, uuid, public.fee_liability, text) is
  'Says anew what a category is called and how it is shared out from now on; what was shared out stays. Its account and fund never change. Takes expenses.manage. '
  'Errors: category_not_found, permission_denied, allocation_key_not_found, category_code_taken, invalid_value.';

create function app.set_expense_category_status(category uuid, status public.expense_category_status)
returns void
language plpgsql
volatile
security definer -- API roles may not update categories
set search_path = ''
as $$
declare
  present constant public.expense_categories := app.locked_expense_category(category);
begin
  if status is null then
    perform app.fail(422, 'invalid_value', 'A category is active or inactive.');
  elsif status <> present.status then
    update public.expense_categories c set status = set_expense_category_status.status where c.id = present.id;
  end if;
end;
$$;

comment on function app.set_expense_category_status(uuid, public.expense_category_status) is
  'What public.set_expense_category_status does. Definer: no API role may update categories.';

create function public.set_expense_category_status(category_id uuid, status public.expense_category_status)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_expense_category_status(category_id, status) $$;

comment on function public.set_expense_category_status(uuid, public.expense_category_status) is
  'Takes a category out of use (inactive: no new expense) or into use again. Expenses that were entered go on. Takes expenses.manage. '
  'Errors: category_not_found, permission_denied, parent_archived, invalid_value.';

grant execute on function
  app.create_expense_category(uuid, text, text, uuid, uuid, public.fee_liability, text),
  public.create_expense_category(uuid, text, text, uuid, uuid, public.fee_liability, text),
  app.change_expense_category(uuid, text, text, uuid, public.fee_liability, text),
  public.change_expense_category(uuid, text, text, uuid, public.fee_liability, text),
  app.set_expense_category_status(uuid, public.expense_category_status), public.set_expense_category_status(uuid, public.expense_category_status)
to authenticated, service_role;
