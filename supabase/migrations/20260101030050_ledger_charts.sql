-- Ledger: opening books, and the charts they begin with.
--
-- Purpose     How a community comes to have books, funds and accounts.
-- Tables      app.chart_templates
-- RPCs        open_books, create_fund, create_account, set_ledger_account_status
-- Invariants  Books are opened once. Every fund begins with the whole chart of its kind, so that whatever posts to it finds the accounts it
--             looks for by their purpose. Nothing here moves money.

-- Templates -----------------------------------------------------------------------------------------------------------

create table app.chart_templates (
  template text not null,
  fund_kind public.fund_kind not null,
  code text not null,
  name text not null,
  type public.account_type not null,
  purpose public.account_purpose not null,
  constraint chart_templates_pkey primary key (template, fund_kind, code),
  constraint chart_templates_template_check check (template ~ '^[a-z][a-z_]{1,39}$'),
  constraint chart_templates_purpose_check check (purpose not in ('due_from', 'due_to'))
);

comment on table app.chart_templates is 'The accounts a new fund begins with. Part of the system; what a community adds to its chart stands in accounts.';
comment on column app.chart_templates.template is 'Which chart: condominium.';
comment on column app.chart_templates.fund_kind is 'For funds of which kind.';
comment on column app.chart_templates.code is 'The account''s code.';
comment on column app.chart_templates.name is 'The account''s name.';
comment on column app.chart_templates.type is 'The account''s type.';
comment on column app.chart_templates.purpose is 'The account''s purpose. Those between funds are made when two funds first have to do with each other.';

alter table app.chart_templates enable row level security;
create policy chart_templates_select on app.chart_templates for select to authenticated using (false);

insert into app.chart_templates (template, fund_kind, code, name, type, purpose)
select 'condominium', k.kind, a.code, a.name, a.type::public.account_type, a.purpose::public.account_purpose
from unnest(enum_range(null::public.fund_kind)) k (kind)
cross join (
  values
    ('1000', 'Bank', 'asset', 'bank', null),
    ('1010', 'Cash', 'asset', 'cash', '{operating}'),
    ('1100', 'Receivables from units', 'asset', 'receivable', null),
    ('2000', 'Payables to suppliers', 'liability', 'payable', '{operating,reserve,special}'),
    ('2100', 'Received in advance', 'liability', 'prepayment', '{operating,reserve,special}'),
    ('2200', 'Deposits held', 'liability', 'deposits_held', '{operating,deposits}'),
    ('2900', 'Suspense', 'liability', 'suspense', null),
    ('3000', 'Fund balance', 'equity', 'fund_balance', null),
    ('3900', 'Opening balances', 'equity', 'opening_balance', null),
    ('4000', 'Fees', 'income', 'assessment_income', '{operating,reserve,special}'),
    ('4100', 'Expenses charged to units', 'income', 'recovery_income', '{operating,reserve,special}'),
    ('4900', 'Other income', 'income', 'other_income', null),
    ('5000', 'Maintenance and repairs', 'expense', 'expense', '{operating,reserve,special}'),
    ('5100', 'Cleaning', 'expense', 'expense', '{operating}'),
    ('5200', 'Electricity, water and heat', 'expense', 'expense', '{operating}'),
    ('5300', 'Security', 'expense', 'expense', '{operating}'),
    ('5400', 'Lifts', 'expense', 'expense', '{operating}'),
    ('5500', 'Administration', 'expense', 'expense', '{operating}'),
    ('5600', 'Insurance', 'expense', 'expense', '{operating}'),
    ('5700', 'Bank charges', 'expense', 'expense', null),
    ('5800', 'Waived charges', 'expense', 'waiver_expense', '{operating,reserve,special}'),
    ('5900', 'Bad debts', 'expense', 'bad_debt_expense', '{operating,reserve,special}')
) a (code, name, type, purpose, kinds)
where a.kinds is null or k.kind = any (a.kinds::public.fund_kind[]);

create function app.add_fund(community uuid, name text, code text, kind public.fund_kind, template text)
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
declare
  made uuid;
begin
  if not exists (select from app.chart_templates t where t.template = add_fund.template) then
    perform app.fail(404, 'chart_not_found', format('There is no chart of accounts called %s.', coalesce(quote_literal(template), 'nothing')));
  end if;
  insert into public.funds (name, code, community_id, decimals, kind)
  select btrim(add_fund.name), add_fund.code, l.community_id, l.decimals, add_fund.kind
  from public.ledgers l
  where l.community_id = community
  returning id into made;
  if made is null then
    perform app.fail(409, 'books_not_open', 'This community has no books yet.', 'Open them with open_books.');
  end if;
  insert into public.accounts (code, name, community_id, fund_id, decimals, type, purpose)
  select t.code, t.name, f.community_id, f.id, f.decimals, t.type, t.purpose
  from public.funds f
  join app.chart_templates t on t.template = add_fund.template and t.fund_kind = f.kind
  where f.id = made
  order by t.code;
  return made;
end;
$$;

comment on function app.add_fund(uuid, text, text, public.fund_kind, text) is 'Makes a fund and its accounts from a template. Not executable by API roles.';

create function app.open_books(community uuid, opened_on date, template text, fiscal_year_start_month integer)
returns uuid
language plpgsql
volatile
security definer -- API roles write neither books nor charts
set search_path = ''
as $$
declare
  made uuid;
  refused text;
begin
  perform app.require('ledger.manage', community);
  insert into public.ledgers (community_id, currency_code, decimals, opened_on, fiscal_year_start_month)
  select c.id, c.currency_code, k.decimals, open_books.opened_on, coalesce(open_books.fiscal_year_start_month, 1)
  from public.communities c
  join public.currencies k on k.code = c.currency_code
  where c.id = community and c.deleted_at is null
  for share of c
  on conflict (community_id) do nothing
  returning id into made;
  if made is null and exists (select from public.ledgers l where l.community_id = community) then
    perform app.fail(409, 'books_open', 'The books of this community are open already.');
  elsif made is null and exists (select from public.communities c where c.id = community and c.deleted_at is null) then
    perform app.fail(409, 'currency_unknown', 'No books are kept in the currency of this community.', 'Choose one of currencies first.');
  elsif made is null then
    perform app.fail(404, 'community_not_found', 'There is no live community with this id.');
  end if;
  perform app.add_fund(community, 'Operating fund', 'OPER', 'operating', template);
  perform app.add_fund(community, 'Reserve fund', 'RES', 'reserve', template);
  return made;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('ledgers', refused);
when not_null_violation then
  perform app.fail(422, 'invalid_value', 'The value of opened_on is not valid.', 'The first day of the books.');
end;
$$;

comment on function app.open_books(uuid, date, text, integer) is 'What public.open_books does. Definer: API roles write neither books nor charts.';

create function public.open_books(community_id uuid, opened_on date, template text default 'condominium', fiscal_year_start_month integer default 1)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.open_books(community_id, opened_on, template, fiscal_year_start_month) $$;

comment on function public.open_books(uuid, date, text, integer) is
  'Opens the books of a community in its currency, from a day on, with an operating and a reserve fund and their charts of accounts; returns the ledger''s id. Takes ledger.manage. '
  'The community''s currency is frozen from then on. Errors: permission_denied, community_not_found, books_open, currency_unknown, chart_not_found, invalid_value.';

create function app.create_fund(community uuid, name text, code text, kind public.fund_kind, template text)
returns uuid
language plpgsql
volatile
security definer -- API roles write neither funds nor charts
set search_path = ''
as $$
declare
  refused text;
begin
  perform app.require('ledger.manage', community);
  return app.add_fund(community, name, code, kind, template);
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('funds', refused);
when not_null_violation then
  perform app.fail(422, 'invalid_value', 'A fund has a name, a code and a kind.');
when unique_violation then
  perform app.fail(409, 'fund_taken', 'The community has a fund of this name or code.', 'Choose others.');
end;
$$;

comment on function app.create_fund(uuid, text, text, public.fund_kind, text) is 'What public.create_fund does. Definer: API roles write neither funds nor charts.';

create function public.create_fund(community_id uuid, name text, code text, kind public.fund_kind, template text default 'condominium')
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.create_fund(community_id, name, code, kind, template) $$;

comment on function public.create_fund(uuid, text, text, public.fund_kind, text) is
  'Adds a fund with its chart of accounts to the books and returns its id. Takes ledger.manage. Errors: permission_denied, books_not_open, chart_not_found, fund_taken, invalid_value.';

create function app.create_account(fund uuid, code text, name text, type public.account_type, purpose public.account_purpose, description text, is_visible boolean)
returns uuid
language plpgsql
volatile
security definer -- API roles write no accounts
set search_path = ''
as $$
declare
  home constant uuid := (select f.community_id from public.funds f where f.id = fund);
  made uuid;
  refused text;
begin
  if home is null or not (is_visible or app.is_trusted()) then
    perform app.fail(404, 'fund_not_found', 'There is no fund with this id.');
  end if;
  perform app.require('ledger.manage', home);
  insert into public.accounts (code, name, community_id, fund_id, decimals, type, purpose, description)
  select create_account.code, btrim(create_account.name), f.community_id, f.id, f.decimals, create_account.type, coalesce(create_account.purpose, 'general'), create_account.description
  from public.funds f
  where f.id = fund
  returning id into made;
  return made;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('accounts', refused);
when not_null_violation then
  perform app.fail(422, 'invalid_value', 'An account has a code, a name and a type.');
when unique_violation then
  perform app.fail(409, 'account_taken', 'The fund has an account with this code, or its only account of this purpose.', 'Choose another code, or use the account there is.');
end;
$$;

comment on function app.create_account(uuid, text, text, public.account_type, public.account_purpose, text, boolean) is
  'What public.create_account does. Definer: API roles write no accounts.';

create function public.create_account(
  fund_id uuid, code text, name text, type public.account_type, purpose public.account_purpose default 'general', description text default null)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.create_account(fund_id, code, name, type, purpose, description, app.sees_row('funds', fund_id)) $$;

comment on function public.create_account(uuid, text, text, public.account_type, public.account_purpose, text) is
  'Adds an account to a fund''s chart and returns its id. Takes ledger.manage. Accounts between funds (due_from, due_to) are made by transfer_between_funds. '
  'Errors: permission_denied, fund_not_found, account_taken, invalid_value.';

create function app.set_ledger_account_status(account uuid, status public.ledger_account_status, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- API roles do not write status
set search_path = ''
as $$
declare
  home constant uuid := (select a.community_id from public.accounts a where a.id = account);
begin
  if home is null or not (is_visible or app.is_trusted()) then
    perform app.fail(404, 'account_not_found', 'There is no account with this id.');
  end if;
  perform app.require('ledger.manage', home);
  update public.accounts a set status = set_ledger_account_status.status where a.id = account and a.status <> set_ledger_account_status.status;
end;
$$;

comment on function app.set_ledger_account_status(uuid, public.ledger_account_status, boolean) is 'What public.set_ledger_account_status does. Definer: API roles do not write status.';

create function public.set_ledger_account_status(account_id uuid, status public.ledger_account_status)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_ledger_account_status(account_id, status, app.sees_row('accounts', account_id)) $$;

comment on function public.set_ledger_account_status(uuid, public.ledger_account_status) is
  'Takes an account out of use, or back into use. An inactive account takes no new entry but closing and reversal; its balance and history stay. Takes ledger.manage. Errors: permission_denied, account_not_found.';

grant execute on function
  app.open_books(uuid, date, text, integer), public.open_books(uuid, date, text, integer),
  app.create_fund(uuid, text, text, public.fund_kind, text), public.create_fund(uuid, text, text, public.fund_kind, text),
  app.create_account(uuid, text, text, public.account_type, public.account_purpose, text, boolean),
  public.create_account(uuid, text, text, public.account_type, public.account_purpose, text),
  app.set_ledger_account_status(uuid, public.ledger_account_status, boolean), public.set_ledger_account_status(uuid, public.ledger_account_status)
to authenticated, service_role;
