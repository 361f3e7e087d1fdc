-- Billing: fees.
--
-- Purpose     What a community charges its units, by which key, when and to whom: monthly maintenance, a fee for one time, a special
--             assessment in instalments.
-- Tables      fees, fee_instalments
-- RPCs        create_fee, set_fee_instalments, set_fee_status, fee_schedule
-- Invariants  A fee is credited to an account of income of its own fund. It is fixed, by coefficient, by area, per person or mixed as its
--             allocation key is. A regular fee comes round by a rule (RFC 5545) and each day of it belongs to one period; a special
--             assessment may have instalments, which make up the whole. In which fund and how a fee is charged never changes: that is another fee.

create type public.fee_kind as enum ('regular', 'one_off', 'special_assessment');
create type public.fee_basis as enum ('total', 'rate');
create type public.fee_status as enum ('active', 'inactive');

comment on type public.fee_kind is 'regular: comes round by a rule. one_off: once. special_assessment: once, by decision of the owners, in instalments or at once.';
comment on type public.fee_basis is 'total: the amount is shared out by the key. rate: the amount is for each 1 of weight (a unit, a square metre, a person).';

create table public.fees (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  description text,
  community_id uuid not null,
  fund_id uuid not null,
  decimals smallint not null,
  account_id uuid not null,
  account_type public.account_type not null generated always as ('income'::public.account_type) stored,
  allocation_key_id uuid not null,
  kind public.fee_kind not null,
  basis public.fee_basis not null,
  amount numeric not null,
  recurrence text,
  first_on date not null,
  last_on date,
  due_days smallint not null default 14,
  liable public.fee_liability not null default 'payer',
  is_prorated boolean not null default true,
  status public.fee_status not null default 'active',
  like app.row_model including defaults including comments,
  constraint fees_pkey primary key (id),
  constraint fees_community_id_key unique (community_id, id),
  constraint fees_name_key unique nulls not distinct (community_id, name, deleted_at),
  constraint fees_fund_fkey foreign key (community_id, decimals, fund_id) references public.funds (community_id, decimals, id) on delete restrict,
  constraint fees_account_fkey foreign key (community_id, fund_id, account_id, account_type) references public.accounts (community_id, fund_id, id, type) on delete restrict,
  constraint fees_key_fkey foreign key (community_id, allocation_key_id) references public.allocation_keys (community_id, id) on delete restrict,
  constraint fees_name_check check (app.is_name(name) and length(name) <= 120),
  constraint fees_description_check check (length(btrim(description)) between 1 and 4000),
  constraint fees_amount_check check (amount > 0 and amount < 1e15 and amount = round(amount, case basis when 'total' then decimals else 8 end)),
  constraint fees_recurrence_check check ((recurrence is not null) = (kind = 'regular') and app.is_recurrence(recurrence)),
  constraint fees_first_on_check check (first_on between date '1990-01-01' and date '2200-01-01'),
  constraint fees_last_on_check check (last_on between first_on and date '2999-12-31'),
  constraint fees_due_days_check check (due_days between 0 and 366)
);

create index fees_fund_idx on public.fees (community_id, decimals, fund_id);
create index fees_account_idx on public.fees (community_id, fund_id, account_id, account_type);
create index fees_key_idx on public.fees (community_id, allocation_key_id);

comment on table public.fees is 'What a community charges its units: how much, by which key, when, to whom. Made by create_fee; charged by run_fee.';
comment on column public.fees.name is 'What statements of account say: Maintenance, Lift, New roof. Unique in the community.';
comment on column public.fees.description is 'Why it is so: the decision of the general meeting.';
comment on column public.fees.fund_id is 'The fund it is owed to. Never changes.';
comment on column public.fees.decimals is 'Decimals of the books, by key.';
comment on column public.fees.account_id is 'The account of income it is credited to; of the same fund.';
comment on column public.fees.account_type is 'income: the key by which no other account is named.';
comment on column public.fees.allocation_key_id is 'The key by which it is shared out, or which weighs the units: shares (by coefficient), per_unit (fixed), area, per_person, hybrid …';
comment on column public.fees.kind is 'regular, one_off, special_assessment. Never changes.';
comment on column public.fees.basis is 'total: amount is shared out by the key. rate: amount is for each 1 of weight. Never changes.';
comment on column public.fees.amount is 'Of each period; of a special assessment the whole. The rate may have up to 8 decimals.';
comment on column public.fees.recurrence is 'When a regular fee comes round: FREQ=MONTHLY;BYMONTHDAY=1. Each of its days begins a period, which lasts until the day before the next.';
comment on column public.fees.first_on is 'The first day on which it may come round; what is charged once is charged on it.';
comment on column public.fees.last_on is 'No period begins later; of what is charged once, the last day that it is for. Null: until further notice.';
comment on column public.fees.due_days is 'How many days after a period has begun it is to be paid.';
comment on column public.fees.liable is 'payer: the appointed payer, else the owners. occupant: the tenants who live there, else the payer.';
comment on column public.fees.is_prorated is 'Whether who was liable for a part of the period owes that part. Otherwise who is liable on its first day owes all.';
comment on column public.fees.status is 'inactive: is charged no more. Set by set_fee_status.';

select app.track('public.fees');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.fees', null, 'active', null, 'The fee is made'),
  ('public.fees', 'active', 'inactive', 'fees.manage', 'Charge it no more'),
  ('public.fees', 'inactive', 'active', 'fees.manage', 'Charge it again');
select app.state_machine('public.fees', 'status');
insert into app.archive_rules (table_id, permission_key) values ('public.fees', 'fees.manage');

create trigger _010_frozen_nature before update of fund_id, decimals, kind, basis, first_on on public.fees for each row
  when ((old.fund_id, old.decimals, old.kind, old.basis, old.first_on) is distinct from (new.fund_id, new.decimals, new.kind, new.basis, new.first_on))
  execute function app.tg__frozen('In which fund, how and since when a fee is charged');

create policy fees_select on public.fees for select to authenticated
  using (
    community_id = any ((select app.communities_where('fees.read'))::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('fees.manage'))))
  );
create policy fees_update on public.fees for update to authenticated
  using (community_id = any ((select app.communities_where('fees.manage'))::uuid[]) and deleted_at is null)
  with check (community_id = any ((select app.communities_where('fees.manage'))::uuid[]));
grant select, update (name, description, account_id, allocation_key_id, amount, recurrence, last_on, due_days, liable, is_prorated) on public.fees to authenticated;
grant select, insert, update on public.fees to service_role;

-- Instalments --------------------------------------------------------------------------------------------------------

create table public.fee_instalments (
  id uuid not null default extensions.uuidv7(),
  number smallint not null,
  community_id uuid not null,
  fee_id uuid not null,
  charged_on date not null,
  due_on date not null,
  amount numeric,
  percent numeric(9, 6),
  like app.row_model including defaults including comments,
  constraint fee_instalments_pkey primary key (id),
  constraint fee_instalments_community_id_key unique (community_id, fee_id, id),
  constraint fee_instalments_number_key unique nulls not distinct (fee_id, number, deleted_at),
  constraint fee_instalments_charged_on_key unique nulls not distinct (fee_id, charged_on, deleted_at),
  constraint fee_instalments_fee_fkey foreign key (community_id, fee_id) references public.fees (community_id, id) on delete restrict,
  constraint fee_instalments_number_check check (number between 1 and 600),
  constraint fee_instalments_charged_on_check check (charged_on >= date '1990-01-01'),
  constraint fee_instalments_due_on_check check (due_on between charged_on and date '2999-12-31'),
  constraint fee_instalments_amount_check check (amount > 0 and amount < 1e15),
  constraint fee_instalments_percent_check check (percent > 0 and percent <= 100 and (percent is null) = (amount is not null))
);

comment on table public.fee_instalments is 'The parts in which a special assessment is charged. Set by set_fee_instalments, together; they make up the whole.';
comment on column public.fee_instalments.number is 'First, second …';
comment on column public.fee_instalments.fee_id is 'The special assessment.';
comment on column public.fee_instalments.charged_on is 'The day on which it is charged, to who is liable on that day.';
comment on column public.fee_instalments.due_on is 'The day by which it is to be paid.';
comment on column public.fee_instalments.amount is 'Of a total: what all units are charged together.';
comment on column public.fee_instalments.percent is 'Of a rate: which part of what the units are charged.';

select app.track('public.fee_instalments');

create policy fee_instalments_select on public.fee_instalments for select to authenticated
  using (community_id = any ((select app.communities_where('fees.read'))::uuid[]) and deleted_at is null);
grant select on public.fee_instalments to authenticated;
grant select on public.fee_instalments to service_role;

create function app.tg__instalments_whole()
returns trigger
language plpgsql
security definer -- at commit the caller is the API role again
set search_path = ''
as $$
declare
  told constant jsonb := to_jsonb(new);
  broken record;
begin
  select f.name, f.kind, f.basis, f.amount, s.many, s.amounts, s.percents, s.fits into broken
  from public.fees f
  cross join lateral (
    select count(*) as many, sum(i.amount) as amounts, sum(i.percent) as percents, bool_and(i.amount = round(i.amount, f.decimals)) as fits
    from public.fee_instalments i
    where i.community_id = f.community_id and i.fee_id = f.id and i.deleted_at is null
  ) s
  where f.id = coalesce(told ->> 'fee_id', told ->> 'id')::uuid and s.many > 0 and f.deleted_at is null
    and (f.kind <> 'special_assessment' or case f.basis when 'total' then (s.amounts = f.amount and s.fits and s.percents is null) is not true
      else (s.percents = 100 and s.amounts is null) is not true end);
  if found then
    perform app.fail(409, 'instalments_not_whole',
      case when broken.kind <> 'special_assessment' then format('%s is no special assessment: it has no instalments.', broken.name)
        else format('The instalments of %s make %s, and not %s.', broken.name,
          case broken.basis when 'total' then coalesce(broken.amounts::text, 'nothing') else coalesce(broken.percents, 0) || ' percent' end,
          case broken.basis when 'total' then broken.amount::text else '100 percent' end) end,
      'set_fee_instalments sets all of them, and the amount, at once.');
  end if;
  return null;
end;
$$;

comment on function app.tg__instalments_whole() is
  'At commit, AFTER INSERT OR UPDATE of fees and instalments: the instalments of a special assessment make up its amount, or 100 percent of a rate (409 instalments_not_whole). Definer: at commit the caller is the API role again.';

create constraint trigger _700_instalments_whole after insert or update on public.fee_instalments
  deferrable initially deferred for each row execute function app.tg__instalments_whole();
create constraint trigger _700_instalments_whole after update on public.fees
  deferrable initially deferred for each row when (old.amount is distinct from new.amount) execute function app.tg__instalments_whole();

-- Periods ------------------------------------------------------------------------------------------------------------

create function app.recurrence_next(rule text, first_on date, day date)
returns date
language plpgsql
immutable
set search_path = ''
as $$
declare
  -- The rule may end; what it would go on with ends the last period.
  endless constant text := btrim(regexp_replace(rule, '(^|;)(COUNT|UNTIL)=[^;]*', '', 'g'), ';');
  found_on date;
  far integer;
begin
  foreach far in array '{40,400,4000}'::integer[] loop
    select min(d) into found_on from app.recurrence_days(endless, first_on, day + 1, day + far) d;
    exit when found_on is not null;
  end loop;
  return found_on;
end;
$$;

comment on function app.recurrence_next(text, date, date) is 'The first day after a day on which a rule that began on first_on comes round, whether or not it has ended by then; null: in none of the next ten years.';

create function app.fee_periods(fee public.fees, from_day date, to_day date)
returns table (starts_on date, ends_on date, due_on date, instalment_id uuid, number integer)
language plpgsql
stable
security definer -- reads instalments for whoever is told of a fee
set search_path = ''
as $$
begin
  if fee.kind = 'regular' then
    return query
      select d.day, coalesce(lead(d.day) over (order by d.day), app.recurrence_next(fee.recurrence, fee.first_on, d.day), d.day + 1) - 1, d.day + fee.due_days, null::uuid, null::integer
      from app.recurrence_days(fee.recurrence, fee.first_on, greatest(from_day, fee.first_on), least(to_day, fee.last_on)) d (day)
      order by d.day;
  elsif exists (select from public.fee_instalments i where i.community_id = fee.community_id and i.fee_id = fee.id and i.deleted_at is null) then
    return query
      select i.charged_on, i.charged_on, i.due_on, i.id, i.number::integer
      from public.fee_instalments i
      where i.community_id = fee.community_id and i.fee_id = fee.id and i.deleted_at is null and i.charged_on between from_day and to_day
      order by i.charged_on;
  elsif fee.first_on between from_day and to_day then
    return query select fee.first_on, coalesce(fee.last_on, fee.first_on), fee.first_on + fee.due_days, null::uuid, null::integer;
  end if;
end;
$$;

comment on function app.fee_periods(public.fees, date, date) is
  'The periods of a fee that begin from a day to a day, with the day by which each is to be paid: by its rule, by its instalments (each of one day), or the one there is. Definer: reads instalments for whoever is told of a fee.';

create function app.fee_period(fee public.fees, day date)
returns table (starts_on date, ends_on date, due_on date, instalment_id uuid, number integer)
language plpgsql
stable
set search_path = ''
as $$
declare
  far integer;
begin
  foreach far in array '{40,400,4000}'::integer[] loop
    return query select p.* from app.fee_periods(fee, day - far, day) p order by p.starts_on desc limit 1;
    exit when found;
  end loop;
end;
$$;

comment on function app.fee_period(public.fees, date) is 'The last period of a fee that begins on a day or before, no more than ten years; nothing where none does.';

create function public.fee_schedule(fee_id uuid, from_day date, to_day date)
returns table (starts_on date, ends_on date, due_on date, number integer)
language plpgsql
stable
set search_path = ''
as $$
declare
  asked public.fees;
begin
  select f.* into asked from public.fees f where f.id = fee_id;
  if asked.id is null then
    perform app.fail(404, 'fee_not_found', 'There is no fee with this id.');
  elsif (isfinite(from_day) and isfinite(to_day) and to_day - from_day between 0 and 4000) is not true then
    perform app.fail(422, 'invalid_period', 'From a day to a day, at most ten years.');
  end if;
  return query select p.starts_on, p.ends_on, p.due_on, p.number from app.fee_periods(asked, from_day, to_day) p;
end;
$$;

comment on function public.fee_schedule(uuid, date, date) is
  'The periods of a fee that begin from a day to a day, each with the day by which it is to be paid, and with the number of the instalment. Takes fees.read. Errors: fee_not_found, invalid_period.';

-- Making fees --------------------------------------------------------------------------------------------------------

create function app.fail_fee(refused text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  case
    when refused = 'fees_fund_fkey' then perform app.fail(404, 'fund_not_found', 'There is no fund of this community with this id.');
    when refused = 'fees_account_fkey' then perform app.fail(422, 'account_refused', 'A fee is credited to an account of income of its fund.');
    when refused = 'fees_key_fkey' then perform app.fail(404, 'allocation_key_not_found', 'There is no allocation key with this id in this community.');
    when refused = 'fees_name_key' then perform app.fail(409, 'name_taken', 'Another fee of the community has this name.');
    when refused ~ '^fee_instalments_.*_key$' then perform app.fail(422, 'invalid_instalments', 'Instalments have numbers and days of their own.');
    when refused ~ '^fee_instalments_' then perform app.fail_check('fee_instalments', refused);
    else perform app.fail_check('fees', coalesce(nullif(refused, ''), 'fees_value_check'));
  end case;
end;
$$;

comment on function app.fail_fee(text) is 'What the RPCs of fees answer when a constraint refuses something.';

create function app.write_fee_instalments(fee public.fees, instalments jsonb)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  bad integer;
begin
  if jsonb_typeof(instalments) <> 'array' or jsonb_array_length(instalments) > 600 then
    perform app.fail(422, 'invalid_instalments', 'Instalments are a list of at most 600.');
  end if;
  select n into bad
  from jsonb_array_elements(instalments) with ordinality i (told, n)
  where jsonb_typeof(i.told) <> 'object' or num_nonnulls(i.told ->> 'amount', i.told ->> 'percent') <> 1
    or not coalesce(pg_input_is_valid(i.told ->> 'due_on', 'date') and pg_input_is_valid(coalesce(i.told ->> 'charged_on', '2000-01-01'), 'date')
      and pg_input_is_valid(coalesce(i.told ->> 'amount', i.told ->> 'percent'), 'numeric'), false)
  order by n
  limit 1;
  if bad is not null then
    perform app.fail(422, 'invalid_instalments', format('Instalment %s is not {"due_on": "2026-03-31", "amount": 500.00} (or "percent", of a rate), with "charged_on" if it is to be charged on another day than due_days before.', bad));
  end if;
  update public.fee_instalments i set deleted_at = now() where i.community_id = fee.community_id and i.fee_id = fee.id and i.deleted_at is null;
  insert into public.fee_instalments (number, community_id, fee_id, charged_on, due_on, amount, percent)
  select i.n, fee.community_id, fee.id, coalesce((i.told ->> 'charged_on')::date, (i.told ->> 'due_on')::date - fee.due_days), (i.told ->> 'due_on')::date,
    (i.told ->> 'amount')::numeric, (i.told ->> 'percent')::numeric
  from jsonb_array_elements(instalments) with ordinality i (told, n);
  set constraints public._700_instalments_whole immediate;
  set constraints public._700_instalments_whole deferred;
end;
$$;

comment on function app.write_fee_instalments(public.fees, jsonb) is 'Puts instalments in the place of those a fee has, and looks at once whether they make up the whole. Not executable by API roles.';

create function app.create_fee(told public.fees, instalments jsonb)
returns uuid
language plpgsql
volatile
security definer -- no API role may write instalments, nor the decimals of a fee
set search_path = ''
as $$
declare
  made public.fees;
  refused text;
begin
  perform app.require('fees.manage', told.community_id);
  select l.decimals into told.decimals from public.ledgers l where l.community_id = told.community_id;
  if told.decimals is null then
    perform app.fail(409, 'books_not_open', 'This community has no books yet.', 'Open them with open_books.');
  elsif not exists (select from public.funds f where f.community_id = told.community_id and f.id = told.fund_id) then
    perform app.fail_fee('fees_fund_fkey');
  elsif told.kind = 'regular' then
    perform app.require_recurrence(told.recurrence);
  end if;
  insert into public.fees (
    name, description, community_id, fund_id, decimals, account_id, allocation_key_id, kind, basis, amount, recurrence, first_on, last_on, due_days, liable, is_prorated)
  values (btrim(told.name), nullif(btrim(told.description), ''), told.community_id, told.fund_id, told.decimals,
    coalesce(told.account_id, (select a.id from public.accounts a where a.community_id = told.community_id and a.fund_id = told.fund_id and a.purpose = 'assessment_income')),
    told.allocation_key_id, told.kind, told.basis, told.amount, told.recurrence, told.first_on, told.last_on, coalesce(told.due_days, 14::smallint),
    coalesce(told.liable, 'payer'), coalesce(told.is_prorated, true))
  returning * into made;
  if instalments is not null and instalments <> '[]' then
    perform app.write_fee_instalments(made, instalments);
  end if;
  return made.id;
exception when check_violation or not_null_violation or foreign_key_violation or unique_violation or numeric_value_out_of_range or datetime_field_overflow then
  get stacked diagnostics refused = constraint_name;
  if refused = '' then
    get stacked diagnostics refused = column_name;
    refused := 'fees_' || coalesce(nullif(refused, ''), 'value') || '_check';
  end if;
  perform app.fail_fee(refused);
end;
$$;

comment on function app.create_fee(public.fees, jsonb) is 'What public.create_fee does. Definer: no API role may write instalments, nor the decimals of a fee.';

create function public.create_fee(
  community_id uuid, name text, fund_id uuid, allocation_key_id uuid, amount numeric, first_on date, basis public.fee_basis default 'total',
  kind public.fee_kind default 'regular', recurrence text default null, last_on date default null, due_days integer default 14,
  liable public.fee_liability default 'payer', is_prorated boolean default true, account_id uuid default null, description text default null, instalments jsonb default '[]'
)
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
declare
  told public.fees;
begin
  if due_days not between 0 and 366 then
    perform app.fail_check('fees', 'fees_due_days_check');
  end if;
  told.community_id := community_id;
  told.name := name;
  told.fund_id := fund_id;
  told.allocation_key_id := allocation_key_id;
  told.amount := amount;
  told.first_on := first_on;
  told.basis := basis;
  told.kind := kind;
  told.recurrence := coalesce(recurrence, case when kind = 'regular' then 'FREQ=MONTHLY;BYMONTHDAY=1' end);
  told.last_on := last_on;
  told.due_days := due_days;
  told.liable := liable;
  told.is_prorated := is_prorated;
  told.account_id := account_id;
  told.description := description;
  return app.create_fee(told, instalments);
end;
$$;

comment on function public.create_fee(
  uuid, text, uuid, uuid, numeric, date, public.fee_basis, public.fee_kind, text, date, integer, public.fee_liability, boolean, uuid, text, jsonb
) is
  'Makes a fee and returns its id. Its key says whether it is fixed (per_unit), by coefficient (shares), by area, per person or mixed (hybrid); basis whether amount is a total to be shared out or a rate for each 1 of weight. '
  'A regular one comes round by recurrence (RFC 5545; the first of each month by default). instalments of a special_assessment: [{"due_on", "amount" or, of a rate, "percent", "charged_on"}]. '
  'account_id: the fund''s account of fees by default. Takes fees.manage. '
  'Errors: permission_denied, books_not_open, fund_not_found, account_refused, allocation_key_not_found, name_taken, recurrence_unsupported, invalid_instalments, instalments_not_whole, invalid_value.';

create function app.locked_fee(fee uuid, permission text, is_visible boolean)
returns public.fees
language plpgsql
volatile
security definer -- locks fees
set search_path = ''
as $$
declare
  locked public.fees;
begin
  if is_visible then
    select f.* into locked from public.fees f where f.id = fee and f.deleted_at is null for no key update;
  end if;
  if locked.id is null then
    perform app.fail(404, 'fee_not_found', 'There is no fee with this id.');
  end if;
  perform app.require(permission, locked.community_id);
  return locked;
end;
$$;

comment on function app.locked_fee(uuid, text, boolean) is
  'A live fee that the caller sees, locked, after asking for a permission: who runs, reverses or changes a fee does so one after the other. Errors: fee_not_found, permission_denied. Definer: locks fees.';

create function app.set_fee_status(fee uuid, status public.fee_status, is_visible boolean)
returns boolean
language plpgsql
volatile
security definer -- status is in no column grant
set search_path = ''
as $$
declare
  present constant public.fees := app.locked_fee(fee, 'fees.manage', is_visible);
begin
  update public.fees f set status = set_fee_status.status where f.id = present.id and f.status <> set_fee_status.status;
  return found;
end;
$$;

comment on function app.set_fee_status(uuid, public.fee_status, boolean) is 'What public.set_fee_status does. Definer: status is in no column grant.';

create function public.set_fee_status(fee_id uuid, status public.fee_status)
returns boolean
language sql
volatile
set search_path = ''
as $$ select app.set_fee_status(fee_id, status, app.sees_row('fees', fee_id)) $$;

comment on function public.set_fee_status(uuid, public.fee_status) is
  'Charges a fee no more (inactive), or again; false: it was so already. What was charged stays. Takes fees.manage. Errors: fee_not_found, permission_denied.';

create function app.set_fee_instalments(fee uuid, instalments jsonb, amount numeric, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- no API role may write instalments
set search_path = ''
as $$
declare
  present constant public.fees := app.locked_fee(fee, 'fees.manage', is_visible);
  refused text;
begin
  if present.kind <> 'special_assessment' then
    perform app.fail(422, 'invalid_instalments', 'Only a special assessment is charged in instalments.');
  elsif exists (select from public.fee_runs r where r.community_id = present.community_id and r.fee_id = present.id and r.status = 'posted') then
    perform app.fail(409, 'fee_charged', 'An instalment was charged already.', 'Reverse its run first (reverse_fee_run).');
  elsif instalments is null then
    perform app.fail(422, 'invalid_instalments', 'Instalments are a list; an empty one: charged at once.');
  end if;
  update public.fees f set amount = set_fee_instalments.amount where f.id = present.id and f.amount <> set_fee_instalments.amount;
  perform app.write_fee_instalments(present, instalments);
exception when check_violation or not_null_violation or unique_violation or numeric_value_out_of_range or datetime_field_overflow then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_fee(refused);
end;
$$;

comment on function app.set_fee_instalments(uuid, jsonb, numeric, boolean) is 'What public.set_fee_instalments does. Definer: no API role may write instalments.';

create function public.set_fee_instalments(fee_id uuid, instalments jsonb, amount numeric default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_fee_instalments(fee_id, instalments, amount, app.sees_row('fees', fee_id)) $$;

comment on function public.set_fee_instalments(uuid, jsonb, numeric) is
  'Puts instalments in the place of those a special assessment has, and sets its amount with them (null: as it is), before any was charged. [{"due_on", "amount" or "percent", "charged_on"}]. Takes fees.manage. '
  'Errors: fee_not_found, permission_denied, fee_charged, invalid_instalments, instalments_not_whole, invalid_value.';

grant execute on function
  app.fee_periods(public.fees, date, date), app.recurrence_next(text, date, date), public.fee_schedule(uuid, date, date),
  app.create_fee(public.fees, jsonb),
  public.create_fee(uuid, text, uuid, uuid, numeric, date, public.fee_basis, public.fee_kind, text, date, integer, public.fee_liability, boolean, uuid, text, jsonb),
  app.set_fee_status(uuid, public.fee_status, boolean), public.set_fee_status(uuid, public.fee_status),
  app.set_fee_instalments(uuid, jsonb, numeric, boolean), public.set_fee_instalments(uuid, jsonb, numeric)
to authenticated, service_role;
