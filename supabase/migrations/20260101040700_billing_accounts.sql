-- Billing: what a unit's people owe.
--
-- Purpose     The account as its owner or tenant reads it, and as those who collect read all of them: balance, statement, age.
-- Views       unit_accounts
-- RPCs        account_statement, receivables_aging
-- Invariants  Every figure is read from the ledger, with the rights of the caller: the own accounts, or all of a community with ledger.read.
--             Opening and lines of a statement come to its closing. The columns of an aging report come to the balance of each account
--             as of the day, and those of a fund to its control account.

create view public.unit_accounts with (security_invoker = true) as
select
  s.id, concat_ws(' / ', b.name, u.number) as unit, r.full_name as resident, f.name as fund, a.name as account, s.balance, c.currency_code,
  a.purpose = 'deposits_held' as is_deposit, s.id in (select app.my_subaccounts()) as is_mine, s.community_id, s.unit_id, s.resident_id, s.fund_id, s.account_id
from public.subaccounts s
join public.communities c on c.id = s.community_id
left join public.accounts a on a.community_id = s.community_id and a.fund_id = s.fund_id and a.id = s.account_id
left join public.funds f on f.community_id = s.community_id and f.id = s.fund_id
left join public.units u on u.community_id = s.community_id and u.id = s.unit_id
left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
left join public.residents r on r.community_id = s.community_id and r.id = s.resident_id;

comment on view public.unit_accounts is
  'What is owed for each unit, by each person, to each fund: the own accounts, or all of a community with ledger.read. From the ledger''s running balances.';
comment on column public.unit_accounts.id is 'The subaccount, as account_statement wants it.';
comment on column public.unit_accounts.unit is 'Building and number of the unit.';
comment on column public.unit_accounts.resident is 'Who owes it; null: nobody who is known.';
comment on column public.unit_accounts.fund is 'The fund it is owed to.';
comment on column public.unit_accounts.account is 'The control account it is a part of.';
comment on column public.unit_accounts.balance is 'Above 0: is owed to the fund. Below 0: was paid ahead, or is held as a deposit.';
comment on column public.unit_accounts.currency_code is 'The currency (ISO 4217).';
comment on column public.unit_accounts.is_deposit is 'Whether it is a deposit that is held, and no debt.';
comment on column public.unit_accounts.is_mine is 'Whether it is an account of the caller, of a record that was merged into the caller''s, or of a minor whose guardian the caller is: what a manager who owns a flat asks for.';
comment on column public.unit_accounts.community_id is 'The community.';
comment on column public.unit_accounts.unit_id is 'The unit.';
comment on column public.unit_accounts.resident_id is 'The resident.';
comment on column public.unit_accounts.fund_id is 'The fund.';
comment on column public.unit_accounts.account_id is 'The control account.';

grant select on public.unit_accounts to authenticated, service_role;

-- The statement ------------------------------------------------------------------------------------------------------

create function public.account_statement(subaccount_id uuid, from_day date default null, to_day date default null)
returns table (
  line_kind text, effective_on date, description text, debit numeric, credit numeric, balance numeric, entry_kind text, due_on date,
  charge_id uuid, entry_id uuid, posting_id uuid
)
language plpgsql
stable
set search_path = ''
as $$
declare
  asked public.subaccounts;
  first_day date;
  last_day date;
begin
  select s.* into asked from public.subaccounts s where s.id = account_statement.subaccount_id;
  if asked.id is null then
    perform app.fail(404, 'subaccount_not_found', 'There is no account with this id, or it is another''s.');
  end if;
  last_day := coalesce(to_day, app.today_in(asked.community_id));
  first_day := coalesce(from_day, (last_day - interval '1 year' + interval '1 day')::date);
  if first_day > last_day then
    perform app.fail(422, 'invalid_period', 'from_day: not after to_day.');
  end if;

  return query
    with moved as (
      select p.id, p.journal_entry_id, p.effective_on, p.memo,
        case when p.debit_subaccount_id = asked.id then p.amount end as debit, case when p.credit_subaccount_id = asked.id then p.amount end as credit
      from public.postings p
      where (p.debit_subaccount_id = asked.id or p.credit_subaccount_id = asked.id) and p.effective_on <= last_day
    ),
    opening as (
      select coalesce(sum(coalesce(m.debit, 0) - coalesce(m.credit, 0)), 0) as balance from moved m where m.effective_on < first_day
    ),
    lines as (
      select 2 as place, 'line' as line_kind, m.effective_on, coalesce(c.description, m.memo, e.description, 'Posting') as description, m.debit, m.credit,
        coalesce(e.kind::text, case when c.id is not null then 'charge' end) as entry_kind, c.due_on, c.id as charge_id, m.journal_entry_id as entry_id, m.id as posting_id
      from moved m
      left join public.journal_entries e on e.id = m.journal_entry_id
      left join public.charges c on c.id = m.id
      where m.effective_on >= first_day
      union all
      select 1, 'opening', first_day, 'Opening balance', greatest(o.balance, 0), greatest(-o.balance, 0), null, null, null, null, null from opening o
    ),
    running as (
      select l.*, sum(coalesce(l.debit, 0) - coalesce(l.credit, 0)) over (order by l.place, l.effective_on, l.posting_id) as balance from lines l
    )
    select r.line_kind, r.effective_on, r.description, coalesce(r.debit, 0), coalesce(r.credit, 0), r.balance, r.entry_kind, r.due_on, r.charge_id, r.entry_id, r.posting_id
    from (
      select r.place, r.line_kind, r.effective_on, r.description, r.debit, r.credit, r.balance, r.entry_kind, r.due_on, r.charge_id, r.entry_id, r.posting_id from running r
      union all
      select 3, 'closing', last_day, 'Closing balance', greatest(sum(coalesce(l.debit, 0) - coalesce(l.credit, 0)), 0), greatest(sum(coalesce(l.credit, 0) - coalesce(l.debit, 0)), 0),
        sum(coalesce(l.debit, 0) - coalesce(l.credit, 0)), null, null, null, null, null from lines l
    ) r
    order by r.place, r.effective_on, r.posting_id;
end;
$$;

comment on function public.account_statement(uuid, date, date) is
  'The statement of one account of unit_accounts from a day to a day (the last year, where none is named): opening balance, every line with the balance after it, closing balance. '
  'Opening and closing stand on the side they are of; balance is above 0 where money is owed. For whoever sees the account. Errors: subaccount_not_found, invalid_period.';

-- How old it is ------------------------------------------------------------------------------------------------------

create function app.receivables_aging(community uuid, day date, only_fund uuid)
returns table (
  subaccount_id uuid, unit text, resident text, fund text, balance numeric, not_due numeric, days_1_30 numeric, days_31_60 numeric, days_61_90 numeric,
  days_over_90 numeric, paid_ahead numeric, unit_id uuid, resident_id uuid, receivable_fund_id uuid
)
language plpgsql
stable
security definer -- what lowers a charge is told by entries that its debtor may not see
set search_path = ''
as $$
declare
  all_of_them constant boolean := app.is_trusted() or app.can('ledger.read', community);
begin
  if not day between date '1900-01-01' and date '2200-01-01' then
    perform app.fail(422, 'invalid_period', 'on_day: no day of the books.');
  end if;
  return query
    with recursive accounts as (
      select s.id, s.community_id, s.unit_id, s.resident_id, s.fund_id, s.account_id
      from public.subaccounts s
      join public.accounts a on a.community_id = s.community_id and a.fund_id = s.fund_id and a.id = s.account_id and a.purpose = 'receivable'
      where s.community_id = community and (only_fund is null or s.fund_id = only_fund)
        and (all_of_them or community = any (app.my_communities()) and s.id in (select app.my_subaccounts()))
    ),
    -- Two records of one person: what stands in the account of the one that was merged is as old there as it was here.
    merged as (
      select r.id, r.merged_into_id from public.residents r where r.community_id = community and r.merged_into_id is not null
      union
      select m.id, r.merged_into_id from merged m join public.residents r on r.id = m.merged_into_id and r.community_id = community and r.merged_into_id is not null
    ),
    carried as materialized (
      select a.id, k.id as kept_id
      from merged m
      join accounts a on a.resident_id = m.id
      join accounts k on k.account_id = a.account_id and k.unit_id = a.unit_id and k.resident_id = m.merged_into_id
      where not exists (select from merged n where n.id = m.merged_into_id)
    ),
    moved as (
      select coalesce(c.kept_id, x.subaccount_id) as subaccount_id, p.journal_entry_id, p.effective_on, x.amount
      from public.postings p
      cross join lateral (values (p.debit_subaccount_id, p.amount), (p.credit_subaccount_id, -p.amount)) x (subaccount_id, amount)
      left join carried c on c.id = x.subaccount_id
      where p.community_id = community and p.effective_on <= day and x.subaccount_id in (select a.id from accounts a)
    ),
    -- What lowers a charge, or takes such a thing back, belongs to the charge's own entry and not to the oldest debt.
    origins as (
      select e.id, coalesce(c.journal_entry_id, r.id, e.id) as item
      from public.journal_entries e
      left join public.journal_entries r on r.community_id = e.community_id and r.id = e.reverses_id
      left join public.adjustments j on j.community_id = e.community_id and j.journal_entry_id = coalesce(r.id, e.id)
      left join public.charges c on c.community_id = j.community_id and c.id = j.charge_id
      where e.community_id = community and (e.reverses_id is not null or j.id is not null)
    ),
    dues as (
      select coalesce(k.kept_id, c.subaccount_id) as subaccount_id, c.journal_entry_id, min(c.due_on) as due_on
      from public.charges c
      left join carried k on k.id = c.subaccount_id
      where c.community_id = community
      group by 1, 2
    ),
    items as (
      select m.subaccount_id, coalesce(o.item, m.journal_entry_id) as item, sum(m.amount) as amount, min(m.effective_on) as effective_on
      from moved m
      left join origins o on o.id = m.journal_entry_id
      group by 1, 2
    ),
    settled as (
      select i.subaccount_id, coalesce(d.due_on, i.effective_on) as due_on, i.amount,
        coalesce(-sum(i.amount) filter (where i.amount < 0) over (partition by i.subaccount_id), 0) as paid,
        coalesce(sum(i.amount) filter (where i.amount > 0) over (partition by i.subaccount_id order by coalesce(d.due_on, i.effective_on), i.item), 0) as owed_until
      from items i
      left join dues d on d.subaccount_id = i.subaccount_id and d.journal_entry_id = i.item
    ),
    aged as (
      select s.subaccount_id, day - s.due_on as days, greatest(0, least(s.amount, s.owed_until - s.paid)) as amount from settled s where s.amount > 0
      union all
      select s.subaccount_id, null, least(0, sum(s.amount)) from settled s group by s.subaccount_id
    ),
    sums as (
      select g.subaccount_id, sum(g.amount) as balance,
        sum(g.amount) filter (where g.days <= 0) as not_due, sum(g.amount) filter (where g.days between 1 and 30) as days_1_30,
        sum(g.amount) filter (where g.days between 31 and 60) as days_31_60, sum(g.amount) filter (where g.days between 61 and 90) as days_61_90,
        sum(g.amount) filter (where g.days > 90) as days_over_90, sum(g.amount) filter (where g.days is null) as paid_ahead
      from aged g
      group by g.subaccount_id
    )
    select a.id, concat_ws(' / ', b.name, u.number), r.full_name, f.name, s.balance, coalesce(s.not_due, 0), coalesce(s.days_1_30, 0), coalesce(s.days_31_60, 0),
      coalesce(s.days_61_90, 0), coalesce(s.days_over_90, 0), coalesce(s.paid_ahead, 0), a.unit_id, a.resident_id, a.fund_id
    from accounts a
    join sums s on s.subaccount_id = a.id and s.balance <> 0
    left join public.funds f on f.community_id = a.community_id and f.id = a.fund_id
    left join public.units u on u.community_id = a.community_id and u.id = a.unit_id
    left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
    left join public.residents r on r.community_id = a.community_id and r.id = a.resident_id
    order by b.name nulls first, u.number, f.name, r.full_name;
end;
$$;

comment on function app.receivables_aging(uuid, date, uuid) is
  'What public.receivables_aging answers, which of the accounts the caller may see included. Definer: what lowers a charge is told by entries that its debtor may not see.';

create function public.receivables_aging(community_id uuid, on_day date default null, fund_id uuid default null)
returns table (
  subaccount_id uuid, unit text, resident text, fund text, balance numeric, not_due numeric, days_1_30 numeric, days_31_60 numeric, days_61_90 numeric,
  days_over_90 numeric, paid_ahead numeric, unit_id uuid, resident_id uuid, receivable_fund_id uuid
)
language sql
stable
set search_path = ''
as $$
  select a.*
  from app.receivables_aging(
    receivables_aging.community_id, coalesce(on_day, app.today_in(receivables_aging.community_id)), receivables_aging.fund_id) a
$$;

comment on function public.receivables_aging(uuid, date, uuid) is
  'What is owed in a community as of a day (today, where none is named), by how many days past its due day; one row for each account that is not settled, of all funds or one. Adjustments and reversals lower what they are about, '
  'everything else the oldest debt first. Accounts of two records of one person that were merged count as one, as old as they are. paid_ahead is below 0: what was paid and nothing is owed for. The columns come to balance, and the balances of a fund to its control account. '
  'Shows what the caller may see: the own accounts, or all with ledger.read. Errors: invalid_period.';

grant execute on function public.account_statement(uuid, date, date), app.receivables_aging(uuid, date, uuid), public.receivables_aging(uuid, date, uuid) to authenticated, service_role;
