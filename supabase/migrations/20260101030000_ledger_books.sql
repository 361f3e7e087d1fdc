-- Ledger: the books of a community, their funds and accounts.
--
-- Purpose     In which currency, since when and in which accounts a community's money is counted.
-- Tables      currencies, ledgers, funds, accounts, subaccounts
-- Invariants  A community has one set of books in its one currency, whose decimals travel with every row by composite key: neither
--             can change once the books are open. An account belongs to one fund and its type fits its purpose. What people owe is
--             in control accounts, whose every movement names a subaccount: unit, liable person and fund. A subaccount's balance
--             is the sum of its postings, kept by the journal alone. Books, funds and accounts are never archived; an account that
--             is used no more is inactive.

create type public.fund_kind as enum ('operating', 'reserve', 'special', 'deposits');
create type public.account_type as enum ('asset', 'liability', 'equity', 'income', 'expense');
create type public.account_purpose as enum (
  'bank', 'cash', 'receivable', 'prepayment', 'payable', 'deposits_held', 'suspense', 'due_from', 'due_to', 'fund_balance', 'opening_balance',
  'assessment_income', 'recovery_income', 'other_income', 'expense', 'waiver_expense', 'bad_debt_expense', 'general');
create type public.ledger_account_status as enum ('active', 'inactive');

select app.define_permission('ledger.read', 'community', 'See the chart of accounts, every entry and every balance', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor, organization/viewer,
  community/admin, community/manager, community/accountant}');
select app.define_permission('ledger.manage', 'community', 'Open the books, add funds and accounts', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor,
  community/admin, community/manager, community/accountant}');

-- Currencies ---------------------------------------------------------------------------------------------------------

create table public.currencies (
  code text not null,
  name text not null,
  decimals smallint not null,
  constraint currencies_pkey primary key (code),
  constraint currencies_decimals_key unique (code, decimals),
  constraint currencies_code_check check (code ~ '^[A-Z]{3}$'),
  constraint currencies_name_check check (app.is_name(name)),
  constraint currencies_decimals_check check (decimals between 0 and 4)
);

comment on table public.currencies is 'The currencies of ISO 4217 that money is counted in. Part of the system.';
comment on column public.currencies.code is 'ISO 4217, three letters.';
comment on column public.currencies.name is 'Name in English.';
comment on column public.currencies.decimals is 'How many decimals an amount has.';

select app.keep('public.currencies');

create policy currencies_select on public.currencies for select to authenticated using ((select app.user_id()) is not null);
grant select on public.currencies to authenticated, service_role;

insert into public.currencies (code, name, decimals) values
  ('AED', 'UAE dirham', 2), ('AFN', 'Afghani', 2), ('ALL', 'Lek', 2), ('AMD', 'Armenian dram', 2), ('AOA', 'Kwanza', 2), ('ARS', 'Argentine peso', 2),
  ('AUD', 'Australian dollar', 2), ('AWG', 'Aruban florin', 2), ('AZN', 'Azerbaijan manat', 2), ('BAM', 'Convertible mark', 2), ('BBD', 'Barbados dollar', 2),
  ('BDT', 'Taka', 2), ('BGN', 'Bulgarian lev', 2), ('BHD', 'Bahraini dinar', 3), ('BIF', 'Burundi franc', 0), ('BMD', 'Bermudian dollar', 2),
  ('BND', 'Brunei dollar', 2), ('BOB', 'Boliviano', 2), ('BRL', 'Brazilian real', 2), ('BSD', 'Bahamian dollar', 2), ('BTN', 'Ngultrum', 2), ('BWP', 'Pula', 2),
  ('BYN', 'Belarusian ruble', 2), ('BZD', 'Belize dollar', 2), ('CAD', 'Canadian dollar', 2), ('CDF', 'Congolese franc', 2), ('CHF', 'Swiss franc', 2),
  ('CLF', 'Unidad de fomento', 4), ('CLP', 'Chilean peso', 0), ('CNY', 'Yuan renminbi', 2), ('COP', 'Colombian peso', 2), ('CRC', 'Costa Rican colón', 2),
  ('CUP', 'Cuban peso', 2), ('CVE', 'Cabo Verde escudo', 2), ('CZK', 'Czech koruna', 2), ('DJF', 'Djibouti franc', 0), ('DKK', 'Danish krone', 2),
  ('DOP', 'Dominican peso', 2), ('DZD', 'Algerian dinar', 2), ('EGP', 'Egyptian pound', 2), ('ERN', 'Nakfa', 2), ('ETB', 'Ethiopian birr', 2), ('EUR', 'Euro', 2),
  ('FJD', 'Fiji dollar', 2), ('FKP', 'Falkland Islands pound', 2), ('GBP', 'Pound sterling', 2), ('GEL', 'Lari', 2), ('GHS', 'Ghana cedi', 2),
  ('GIP', 'Gibraltar pound', 2), ('GMD', 'Dalasi', 2), ('GNF', 'Guinean franc', 0), ('GTQ', 'Quetzal', 2), ('GYD', 'Guyana dollar', 2), ('HKD', 'Hong Kong dollar', 2),
  ('HNL', 'Lempira', 2), ('HTG', 'Gourde', 2), ('HUF', 'Forint', 2), ('IDR', 'Rupiah', 2), ('ILS', 'New Israeli sheqel', 2), ('INR', 'Indian rupee', 2),
  ('IQD', 'Iraqi dinar', 3), ('IRR', 'Iranian rial', 2), ('ISK', 'Iceland krona', 0), ('JMD', 'Jamaican dollar', 2), ('JOD', 'Jordanian dinar', 3), ('JPY', 'Yen', 0),
  ('KES', 'Kenyan shilling', 2), ('KGS', 'Som', 2), ('KHR', 'Riel', 2), ('KMF', 'Comorian franc', 0), ('KPW', 'North Korean won', 2), ('KRW', 'Won', 0),
  ('KWD', 'Kuwaiti dinar', 3), ('KYD', 'Cayman Islands dollar', 2), ('KZT', 'Tenge', 2), ('LAK', 'Lao kip', 2), ('LBP', 'Lebanese pound', 2),
  ('LKR', 'Sri Lanka rupee', 2), ('LRD', 'Liberian dollar', 2), ('LSL', 'Loti', 2), ('LYD', 'Libyan dinar', 3), ('MAD', 'Moroccan dirham', 2), ('MDL', 'Moldovan leu', 2),
  ('MGA', 'Malagasy ariary', 2), ('MKD', 'Denar', 2), ('MMK', 'Kyat', 2), ('MNT', 'Tugrik', 2), ('MOP', 'Pataca', 2), ('MRU', 'Ouguiya', 2), ('MUR', 'Mauritius rupee', 2),
  ('MVR', 'Rufiyaa', 2), ('MWK', 'Malawi kwacha', 2), ('MXN', 'Mexican peso', 2), ('MYR', 'Malaysian ringgit', 2), ('MZN', 'Mozambique metical', 2),
  ('NAD', 'Namibia dollar', 2), ('NGN', 'Naira', 2), ('NIO', 'Córdoba oro', 2), ('NOK', 'Norwegian krone', 2), ('NPR', 'Nepalese rupee', 2),
  ('NZD', 'New Zealand dollar', 2), ('OMR', 'Omani rial', 3), ('PAB', 'Balboa', 2), ('PEN', 'Sol', 2), ('PGK', 'Kina', 2), ('PHP', 'Philippine peso', 2),
  ('PKR', 'Pakistan rupee', 2), ('PLN', 'Zloty', 2), ('PYG', 'Guarani', 0), ('QAR', 'Qatari rial', 2), ('RON', 'Romanian leu', 2), ('RSD', 'Serbian dinar', 2),
  ('RUB', 'Russian ruble', 2), ('RWF', 'Rwanda franc', 0), ('SAR', 'Saudi riyal', 2), ('SBD', 'Solomon Islands dollar', 2), ('SCR', 'Seychelles rupee', 2),
  ('SDG', 'Sudanese pound', 2), ('SEK', 'Swedish krona', 2), ('SGD', 'Singapore dollar', 2), ('SHP', 'Saint Helena pound', 2), ('SLE', 'Leone', 2),
  ('SOS', 'Somali shilling', 2), ('SRD', 'Surinam dollar', 2), ('SSP', 'South Sudanese pound', 2), ('STN', 'Dobra', 2), ('SVC', 'El Salvador colón', 2),
  ('SYP', 'Syrian pound', 2), ('SZL', 'Lilangeni', 2), ('THB', 'Baht', 2), ('TJS', 'Somoni', 2), ('TMT', 'Turkmenistan new manat', 2), ('TND', 'Tunisian dinar', 3),
  ('TOP', 'Paʻanga', 2), ('TRY', 'Turkish lira', 2), ('TTD', 'Trinidad and Tobago dollar', 2), ('TWD', 'New Taiwan dollar', 2), ('TZS', 'Tanzanian shilling', 2),
  ('UAH', 'Hryvnia', 2), ('UGX', 'Uganda shilling', 0), ('USD', 'US dollar', 2), ('UYU', 'Uruguayan peso', 2), ('UZS', 'Uzbekistan sum', 2),
  ('VES', 'Bolívar soberano', 2), ('VND', 'Dong', 0), ('VUV', 'Vatu', 0), ('WST', 'Tala', 2), ('XAF', 'Central African CFA franc', 0),
  ('XCD', 'East Caribbean dollar', 2), ('XCG', 'Caribbean guilder', 2), ('XOF', 'West African CFA franc', 0), ('XPF', 'CFP franc', 0), ('YER', 'Yemeni rial', 2),
  ('ZAR', 'Rand', 2), ('ZMW', 'Zambian kwacha', 2), ('ZWG', 'Zimbabwe gold', 2);

-- Ledgers ------------------------------------------------------------------------------------------------------------

create table public.ledgers (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  currency_code text not null,
  decimals smallint not null,
  opened_on date not null,
  closed_through date,
  fiscal_year_start_month smallint not null default 1,
  like app.row_model including defaults including comments,
  constraint ledgers_pkey primary key (id),
  constraint ledgers_community_key unique (community_id),
  constraint ledgers_decimals_key unique (community_id, decimals),
  constraint ledgers_community_fkey foreign key (community_id, currency_code) references public.communities (id, currency_code) on delete restrict,
  constraint ledgers_currency_fkey foreign key (currency_code, decimals) references public.currencies (code, decimals) on delete restrict,
  constraint ledgers_opened_on_check check (opened_on between date '1990-01-01' and date '2200-01-01'),
  constraint ledgers_closed_through_check check (closed_through >= opened_on),
  constraint ledgers_fiscal_year_start_month_check check (fiscal_year_start_month between 1 and 12),
  constraint ledgers_deleted_at_check check (deleted_at is null)
);

create index ledgers_community_idx on public.ledgers (community_id, currency_code);
create index ledgers_currency_idx on public.ledgers (currency_code, decimals);

comment on table public.ledgers is 'The books of a community: one set, in one currency. Never archived.';
comment on column public.ledgers.currency_code is 'The community''s currency. The keys freeze it: a community cannot change its currency once its books are open.';
comment on column public.ledgers.decimals is 'The currency''s decimals; every amount of the books fits them.';
comment on column public.ledgers.opened_on is 'The first day of these books (cut-over): nothing but opening balances is earlier.';
comment on column public.ledgers.closed_through is 'The last day of the last closed period; no entry is dated on or before it. Null while none is closed. Kept by close_period and reopen_period.';
comment on column public.ledgers.fiscal_year_start_month is 'The month whose first day begins a fiscal year; 1 for calendar years.';

select app.track('public.ledgers');

create trigger _010_frozen_currency before update of currency_code, decimals on public.ledgers for each row
  when ((old.currency_code, old.decimals) is distinct from (new.currency_code, new.decimals)) execute function app.tg__frozen('The currency');

create policy ledgers_select on public.ledgers for select to authenticated
  using (community_id = any ((select app.communities_where('ledger.read'))::uuid[]) and deleted_at is null);
grant select on public.ledgers to authenticated;
grant select on public.ledgers to service_role;

-- Funds --------------------------------------------------------------------------------------------------------------

create table public.funds (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  code text not null,
  community_id uuid not null,
  decimals smallint not null,
  kind public.fund_kind not null,
  like app.row_model including defaults including comments,
  constraint funds_pkey primary key (id),
  constraint funds_decimals_key unique (community_id, decimals, id),
  constraint funds_community_id_key unique (community_id, id),
  constraint funds_name_key unique (community_id, name),
  constraint funds_code_key unique (community_id, code),
  constraint funds_ledger_fkey foreign key (community_id, decimals) references public.ledgers (community_id, decimals) on delete restrict,
  constraint funds_name_check check (app.is_name(name)),
  constraint funds_code_check check (code ~ '^[0-9A-Z.-]{1,20}$'),
  constraint funds_deleted_at_check check (deleted_at is null)
);

comment on table public.funds is 'The funds of a community, each a complete set of accounts that balances by itself: operating, reserve (repairs), special purposes, deposits. Never archived.';
comment on column public.funds.name is 'What people call it; unique in the community.';
comment on column public.funds.code is 'Short, for reports: OPER, RES. Unique in the community.';
comment on column public.funds.decimals is 'The decimals of the books, by key.';
comment on column public.funds.kind is 'operating: running costs. reserve: repairs and renewals. special: one purpose. deposits: money that is held for others.';

select app.track('public.funds');

create trigger _010_frozen_kind before update of decimals, kind on public.funds for each row
  when ((old.decimals, old.kind) is distinct from (new.decimals, new.kind)) execute function app.tg__frozen('What kind of fund it is');

-- Accounts -----------------------------------------------------------------------------------------------------------

create table public.accounts (
  id uuid not null default extensions.uuidv7(),
  code text not null,
  name text not null,
  community_id uuid not null,
  fund_id uuid not null,
  decimals smallint not null,
  type public.account_type not null,
  purpose public.account_purpose not null default 'general',
  is_control boolean not null generated always as (purpose in ('receivable', 'deposits_held')) stored,
  counter_fund_id uuid,
  status public.ledger_account_status not null default 'active',
  description text,
  like app.row_model including defaults including comments,
  constraint accounts_pkey primary key (id),
  constraint accounts_control_key unique (community_id, decimals, fund_id, id, is_control),
  constraint accounts_community_id_key unique (community_id, id),
  constraint accounts_type_key unique (community_id, fund_id, id, type),
  constraint accounts_code_key unique (community_id, fund_id, code),
  constraint accounts_fund_fkey foreign key (community_id, decimals, fund_id) references public.funds (community_id, decimals, id) on delete restrict,
  constraint accounts_counter_fund_fkey foreign key (community_id, decimals, counter_fund_id) references public.funds (community_id, decimals, id) on delete restrict,
  constraint accounts_code_check check (code ~ '^[0-9A-Z.-]{1,20}$'),
  constraint accounts_name_check check (app.is_name(name)),
  constraint accounts_type_check check (type = case
    when purpose in ('bank', 'cash', 'receivable', 'due_from') then 'asset'
    when purpose in ('prepayment', 'payable', 'deposits_held', 'suspense', 'due_to') then 'liability'
    when purpose in ('fund_balance', 'opening_balance') then 'equity'
    when purpose in ('assessment_income', 'recovery_income', 'other_income') then 'income'
    when purpose in ('expense', 'waiver_expense', 'bad_debt_expense') then 'expense'
    else type::text end::public.account_type),
  constraint accounts_counter_fund_id_check check ((counter_fund_id is not null) = (purpose in ('due_from', 'due_to')) and counter_fund_id <> fund_id),
  constraint accounts_description_check check (length(description) <= 1000),
  constraint accounts_deleted_at_check check (deleted_at is null)
);

-- What is looked up by its purpose is there once.
create unique index accounts_purpose_key on public.accounts (community_id, fund_id, purpose, counter_fund_id) nulls not distinct
  where purpose not in ('bank', 'cash', 'expense', 'other_income', 'general');
create index accounts_counter_fund_idx on public.accounts (community_id, decimals, counter_fund_id) where counter_fund_id is not null;

comment on table public.accounts is 'The chart of accounts, fund by fund. Never archived: set_ledger_account_status takes one out of use.';
comment on column public.accounts.code is 'Its number in the chart; unique in the fund.';
comment on column public.accounts.name is 'What it is for.';
comment on column public.accounts.fund_id is 'The fund whose account it is.';
comment on column public.accounts.decimals is 'The decimals of the books, by key.';
comment on column public.accounts.type is 'asset, liability, equity, income or expense: on which side it grows, and in which statement it stands.';
comment on column public.accounts.purpose is
  'What the system uses it for. receivable: what units owe. prepayment: paid in advance. payable: owed to suppliers. deposits_held: deposits of residents. suspense: money nobody has explained yet. '
  'due_from, due_to: claims on and debts to another fund. fund_balance: what earlier years left. opening_balance: against which opening balances are entered. assessment_income: fees. '
  'recovery_income: expenses that are charged on. waiver_expense, bad_debt_expense: what was waived or written off. general: anything else.';
comment on column public.accounts.is_control is 'Whether each posting names a subaccount: exactly for receivable and deposits_held.';
comment on column public.accounts.counter_fund_id is 'The other fund of a due_from or due_to account.';
comment on column public.accounts.status is 'inactive: takes no new entry but closing and reversal.';
comment on column public.accounts.description is 'What belongs here and what does not.';

select app.track('public.accounts');

create trigger _010_frozen_nature before update of fund_id, decimals, type, purpose, counter_fund_id on public.accounts for each row
  when ((old.fund_id, old.decimals, old.type, old.purpose, old.counter_fund_id) is distinct from (new.fund_id, new.decimals, new.type, new.purpose, new.counter_fund_id))
  execute function app.tg__frozen('What an account counts');

create policy accounts_update on public.accounts for update to authenticated
  using (community_id = any ((select app.communities_where('ledger.manage'))::uuid[]) and deleted_at is null)
  with check (community_id = any ((select app.communities_where('ledger.manage'))::uuid[]));
grant select, update (code, name, description) on public.accounts to authenticated;
grant select, update (code, name, description) on public.accounts to service_role;

create function app.account_for(community uuid, fund uuid, purpose public.account_purpose)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
  found_id uuid;
  many integer;
begin
  -- Of a purpose of which a fund may have several, the one account there is.
  select (array_agg(a.id))[1], count(*)
  into found_id, many
  from public.accounts a
  where a.community_id = community and a.fund_id = fund and a.purpose = account_for.purpose and a.counter_fund_id is null and a.status = 'active';
  if many = 0 then
    perform app.fail(409, 'account_missing', format('This fund has no active account of purpose %s.', purpose), 'Add one with create_account.');
  elsif many > 1 then
    perform app.fail(409, 'account_ambiguous', format('This fund has %s active accounts of purpose %s.', many, purpose), 'Say which one is meant.');
  end if;
  return found_id;
end;
$$;

comment on function app.account_for(uuid, uuid, public.account_purpose) is
  'The active account of a fund for a purpose (409 account_missing); where a fund may have several, such as bank, the only one (409 account_ambiguous). Not executable by API roles.';

-- Subaccounts --------------------------------------------------------------------------------------------------------

create table public.subaccounts (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  fund_id uuid not null,
  account_id uuid not null,
  decimals smallint not null,
  is_control boolean not null generated always as (true) stored,
  unit_id uuid not null,
  resident_id uuid,
  balance numeric not null default 0,
  created_at timestamptz not null default now(),
  constraint subaccounts_pkey primary key (id),
  constraint subaccounts_person_key unique nulls not distinct (unit_id, account_id, resident_id),
  constraint subaccounts_account_fkey foreign key (account_id, community_id, fund_id, decimals, is_control)
    references public.accounts (id, community_id, fund_id, decimals, is_control) on delete restrict deferrable,
  constraint subaccounts_unit_fkey foreign key (unit_id, community_id) references public.units (id, community_id) on delete restrict deferrable,
  constraint subaccounts_resident_fkey foreign key (resident_id, community_id) references public.residents (id, community_id) on delete restrict deferrable
) with (fillfactor = 45); -- room for the next balance of every row on the same page, so that no index is touched

-- By the column that alone tells the parent; the rest of each foreign key is carried along. As columns to look up by, an index could be taken
-- for them while there are no statistics yet, instead of the one on the id or on (unit_id, account_id), and find all of the rows.
create index subaccounts_account_idx on public.subaccounts (account_id) include (community_id, fund_id, decimals, is_control);
create index subaccounts_unit_idx on public.subaccounts (unit_id) include (community_id);
create index subaccounts_resident_idx on public.subaccounts (resident_id) include (community_id) where resident_id is not null;

comment on table public.subaccounts is
  'The subsidiary ledger: what is owed for a unit by a person in a fund, and the deposits held for them. Made when first needed; the balance is moved by postings alone and refuses everybody else.';
comment on column public.subaccounts.fund_id is 'The fund.';
comment on column public.subaccounts.account_id is 'The control account it is a part of.';
comment on column public.subaccounts.decimals is 'The decimals of the books, by key.';
comment on column public.subaccounts.is_control is 'True: the key by which only a control account has subaccounts.';
comment on column public.subaccounts.unit_id is 'The unit.';
comment on column public.subaccounts.resident_id is 'Who is liable; null while nobody is known.';
comment on column public.subaccounts.balance is 'Debits less credits: positive is owed to the community, negative is held for the person.';
comment on column public.subaccounts.created_at is 'When it was first needed.';

select app.keep('public.subaccounts', is_append_only => false);

create function app.tg_subaccounts__derived()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- Within a posting's trigger: looked at first, because every posting pays for what is looked at.
  if pg_trigger_depth() > 1 and tg_op = 'UPDATE' then
    return null;
  end if;
  -- For a merge of two persons, which names the table.
  if tg_op = 'UPDATE' and current_setting('app.rewriting', true) = tg_relid::text and pg_has_role(current_user, 'postgres', 'member') then
    return null;
  end if;
  perform app.fail(409, 'balance_derived', format('%s of subaccounts is refused: a balance is the sum of its postings.', tg_op), 'Post an entry.');
  return null;
end;
$$;

comment on function app.tg_subaccounts__derived() is 'BEFORE UPDATE, DELETE OR TRUNCATE, per statement: refuses (409 balance_derived) unless a posting moves the balance or two records of one person are merged.';

create trigger _020_derived before update or delete or truncate on public.subaccounts
  for each statement execute function app.tg_subaccounts__derived();
-- Per statement: a trigger per row would lock each row before its balance is moved.
create trigger _010_frozen_subject before update of id, community_id, fund_id, account_id, decimals, unit_id on public.subaccounts
  for each statement execute function app.tg__frozen('community_id');

create function app.tg_subaccounts__empty()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform app.fail(409, 'balance_derived', 'A subaccount begins with nothing: a balance is the sum of its postings.', 'Post an entry.');
  return null;
end;
$$;

comment on function app.tg_subaccounts__empty() is 'BEFORE INSERT of a subaccount with a balance: refuses (409 balance_derived).';

create trigger _020_empty before insert on public.subaccounts for each row when (new.balance <> 0) execute function app.tg_subaccounts__empty();

create function app.my_subaccounts()
returns setof uuid
language plpgsql
stable
security definer -- reads the caller's accounts before any policy on them is decided
set search_path = ''
as $$
begin
  return query
    with recursive me as (
      select re.community_id, re.id from public.residents re where re.id in (select app.my_residents() union all select app.my_wards())
      union
      select d.community_id, d.id from me join public.residents d on d.community_id = me.community_id and d.merged_into_id = me.id
    )
    select s.id from me join public.subaccounts s on s.resident_id = me.id and s.community_id = me.community_id;
end;
$$;

comment on function app.my_subaccounts() is 'The subaccounts of the caller, of records that were merged into the caller''s, and of the minors whose guardian the caller is. Definer: reads subaccounts.';

create function app.my_funds()
returns setof uuid
language plpgsql
stable
security definer -- reads the caller's accounts before any policy on them is decided
set search_path = ''
as $$
begin
  return query select distinct s.fund_id from public.subaccounts s where s.id in (select app.my_subaccounts());
end;
$$;

comment on function app.my_funds() is 'The funds to which the caller owes or has paid. Definer: reads subaccounts.';

grant execute on function app.my_subaccounts(), app.my_funds() to authenticated;

create policy subaccounts_select on public.subaccounts for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (
      (select 'ledger.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('ledger.read'))
      or id in (select app.my_subaccounts())
    )
  );
grant select on public.subaccounts to authenticated, service_role;

create policy funds_select on public.funds for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[]) and deleted_at is null
    and (
      (select 'ledger.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('ledger.read'))
      or id in (select app.my_funds())
    )
  );
-- Whoever owes sees what the account is called, and none of the others.
create policy accounts_select on public.accounts for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[]) and deleted_at is null
    and (
      (select 'ledger.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('ledger.read'))
      or (is_control and fund_id in (select app.my_funds()))
    )
  );
create policy funds_update on public.funds for update to authenticated
  using (community_id = any ((select app.communities_where('ledger.manage'))::uuid[]) and deleted_at is null)
  with check (community_id = any ((select app.communities_where('ledger.manage'))::uuid[]));
grant select, update (name, code) on public.funds to authenticated;
grant select, update (name, code) on public.funds to service_role;

create function app.make_subaccounts(control uuid, units uuid[], residents uuid[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  series constant text := left(extensions.uuidv7()::text, 28);
begin
  -- In one order, so that two who need the same ones wait and do not deadlock. The ids are counted up, eight digits from 10000000: a new
  -- UUID for each costs a third of the row.
  insert into public.subaccounts (id, community_id, fund_id, account_id, decimals, unit_id, resident_id)
  select (series || to_hex(row_number() over (order by w.unit_id, w.resident_id) + 268435456))::uuid, a.community_id, a.fund_id, a.id, a.decimals, w.unit_id, w.resident_id
  from public.accounts a
  cross join (select distinct u.unit_id, u.resident_id from unnest(units, residents) u (unit_id, resident_id)) w
  where a.id = control
    and not exists (select from public.subaccounts s where s.account_id = control and s.unit_id = w.unit_id and s.resident_id is not distinct from w.resident_id)
  order by w.unit_id, w.resident_id
  on conflict on constraint subaccounts_person_key do nothing;
end;
$$;

comment on function app.make_subaccounts(uuid, uuid[], uuid[]) is
  'Makes those subaccounts of these units and persons (two arrays of one length; a null person: nobody is known yet) in a control account that are missing. Not executable by API roles.';

create function app.ensure_subaccounts(community uuid, fund uuid, purpose public.account_purpose, units uuid[], residents uuid[])
returns table (unit_id uuid, resident_id uuid, subaccount_id uuid)
language plpgsql
volatile
set search_path = ''
as $$
#variable_conflict use_column
declare
  control constant uuid := app.account_for(community, fund, purpose);
begin
  perform app.make_subaccounts(control, units, residents);
  return query
    select w.unit_id, w.resident_id, s.id
    from (select distinct u.unit_id, u.resident_id from unnest(units, residents) u (unit_id, resident_id)) w
    join public.subaccounts s on s.account_id = control and s.unit_id = w.unit_id and s.resident_id is not distinct from w.resident_id;
end;
$$;

comment on function app.ensure_subaccounts(uuid, uuid, public.account_purpose, uuid[], uuid[]) is
  'The subaccounts of these units and persons (two arrays of one length; a null person: nobody is known yet) in the fund''s control account of a purpose; makes those that are missing. Not executable by API roles.';

create function app.check_subaccounts(later boolean)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  if later then
    set constraints public.subaccounts_account_fkey, public.subaccounts_unit_fkey, public.subaccounts_resident_fkey deferred;
  else
    set constraints public.subaccounts_account_fkey, public.subaccounts_unit_fkey, public.subaccounts_resident_fkey immediate;
  end if;
end;
$$;

comment on function app.check_subaccounts(boolean) is
  'Whether the foreign keys of subaccounts are checked later, for who makes many and then moves their balances, and who asks for the check before it returns: a row that is updated in the transaction '
  'that made it is checked again, and the first time is in vain. Three keys of 100,000 new rows are a third of what a first run of a fee costs. Not executable by API roles.';

create function app.subaccount_for(community uuid, fund uuid, purpose public.account_purpose, unit uuid, resident uuid)
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
declare
  control constant uuid := app.account_for(community, fund, purpose);
  known uuid;
begin
  select s.id into known
  from public.subaccounts s
  where s.account_id = control and s.unit_id = unit and s.resident_id is not distinct from resident;
  if known is null then
    select e.subaccount_id into known from app.ensure_subaccounts(community, fund, purpose, array[unit], array[resident]) e;
  end if;
  return known;
end;
$$;

comment on function app.subaccount_for(uuid, uuid, public.account_purpose, uuid, uuid) is
  'The subaccount of a unit and a person (null: nobody is known yet) in the fund''s control account of a purpose; made if it is missing. Not executable by API roles.';
