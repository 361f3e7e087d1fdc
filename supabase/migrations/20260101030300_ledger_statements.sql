-- Ledger: statements.
--
-- Purpose     What the books say: at any day, and between any two.
-- RPCs        trial_balance, income_statement, balance_sheet, cash_flow, fund_report, general_ledger
-- Invariants  Every statement is computed from postings (and the snapshots of closed periods, which are sums of postings), nothing is stored,
--             and all tie: debits equal credits; assets equal liabilities, equity and the result not yet closed; income less expenses is
--             what that result and the closing entries come to; money at the beginning, flows and money at the end add up; so does a fund.
--             Whoever holds ledger.read sees all of it, nobody else any of it (403). Amounts are added up here, for a client's numbers are not exact.

create function app.require_books(community uuid, from_day date, to_day date, fund uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  perform app.require('ledger.read', community);
  if not exists (select from public.ledgers l where l.community_id = community) then
    perform app.fail(409, 'books_not_open', 'This community has no books yet.', 'Open them with open_books.');
  elsif fund is not null and not exists (select from public.funds f where f.community_id = community and f.id = fund) then
    perform app.fail(404, 'fund_not_found', 'There is no fund with this id in this community.');
  elsif (from_day <= to_day and from_day >= date '1900-01-01' and to_day <= date '2200-01-01') is not true then
    perform app.fail(422, 'invalid_period', 'Say from which day to which: the last is not before the first.');
  end if;
end;
$$;

comment on function app.require_books(uuid, date, date, uuid) is
  'Where every statement begins: refuses whoever does not hold ledger.read (403), a community without books (409 books_not_open), a fund of another (404 fund_not_found) and days that are none (422 invalid_period).';

create function app.account_movements(community uuid, from_day date, to_day date, only_fund uuid)
returns table (account_id uuid, opening numeric, debit numeric, credit numeric, closing numeric, closing_debit numeric, closing_credit numeric)
language plpgsql
stable
security definer -- counts whole books, as app.account_balances does
set search_path = ''
as $$
begin
  perform app.require('ledger.read', community);
  return query
    select m.account_id, coalesce(b.debit_total - b.credit_total, 0), m.debit_total - coalesce(b.debit_total, 0), m.credit_total - coalesce(b.credit_total, 0),
      m.debit_total - m.credit_total, m.closing_debit_total - coalesce(b.closing_debit_total, 0), m.closing_credit_total - coalesce(b.closing_credit_total, 0)
    from app.account_totals(community, to_day) m
    join public.accounts a on a.id = m.account_id and (only_fund is null or a.fund_id = only_fund)
    left join app.account_totals(community, from_day - 1) b on b.account_id = m.account_id;
end;
$$;

comment on function app.account_movements(uuid, date, date, uuid) is
  'What each account of a community, or of one of its funds, stood at before a day (debits less credits), what was debited and credited until another, what of that by closing entries, and what it stood at then. Takes ledger.read. '
  'Definer: counts whole books, as app.account_balances does.';

grant execute on function app.require_books(uuid, date, date, uuid), app.account_movements(uuid, date, date, uuid) to authenticated, service_role;

-- At a day -----------------------------------------------------------------------------------------------------------

create function public.trial_balance(community_id uuid, on_day date, fund_id uuid default null, with_closing boolean default true)
returns table (
  fund_code text, fund_name text, account_id uuid, account_code text, account_name text, account_type public.account_type,
  debit_total numeric, credit_total numeric, debit numeric, credit numeric, is_total boolean)
language plpgsql
stable
set search_path = ''
as $$
begin
  perform app.require_books(trial_balance.community_id, on_day, on_day, trial_balance.fund_id);
  return query
    select f.code, f.name, a.id, a.code, a.name, a.type, coalesce(sum(b.debit_total), 0), coalesce(sum(b.credit_total), 0),
      coalesce(sum(greatest(b.debit_total - b.credit_total, 0)), 0), coalesce(sum(greatest(b.credit_total - b.debit_total, 0)), 0), a.id is null
    from app.account_balances(trial_balance.community_id, on_day, trial_balance.with_closing) b
    join public.accounts a on a.id = b.account_id
    join public.funds f on f.id = a.fund_id
    where (trial_balance.fund_id is null or f.id = trial_balance.fund_id) and (b.debit_total <> 0 or b.credit_total <> 0)
    group by grouping sets ((f.code, f.name, a.id, a.code, a.name, a.type), (f.code, f.name), ())
    order by f.code nulls last, a.id is null, a.code;
end;
$$;

comment on function public.trial_balance(uuid, date, uuid, boolean) is
  'Every account that was ever moved, as it stands at the end of a day: what was debited and credited in all, and the balance on its side. Lines with is_total sum up a fund, and (without a fund) all of them; there debit equals credit. '
  'with_closing false: as if no fiscal year had been closed, so that income and expenses of all years show. Takes ledger.read. Errors: permission_denied, books_not_open, fund_not_found, invalid_period.';

create function public.balance_sheet(community_id uuid, on_day date, fund_id uuid default null)
returns table (fund_code text, fund_name text, section public.account_type, account_id uuid, account_code text, account_name text, amount numeric, is_total boolean)
language plpgsql
stable
set search_path = ''
as $$
begin
  perform app.require_books(balance_sheet.community_id, on_day, on_day, balance_sheet.fund_id);
  return query
    with lines as (
      -- Income and expenses that no closing entry has moved to the fund balance yet are one line of equity.
      select f.code as fund_code, f.name as fund_name, case when a.type in ('income', 'expense') then 'equity' else a.type end as section,
        r.is_result, case when not r.is_result then a.id end as id, case when not r.is_result then a.code end as code,
        case when r.is_result then 'Result not yet closed' else a.name end as name, b.debit_total - b.credit_total as net
      from app.account_balances(balance_sheet.community_id, on_day) b
      join public.accounts a on a.id = b.account_id
      join public.funds f on f.id = a.fund_id
      cross join lateral (select a.type in ('income', 'expense') as is_result) r
      where balance_sheet.fund_id is null or f.id = balance_sheet.fund_id
    )
    select l.fund_code, l.fund_name, l.section, l.id, l.code, l.name,
      coalesce(sum(l.net), 0) * case when grouping(l.section) = 1 or l.section = 'asset' then 1 else -1 end, grouping(l.name) = 1
    from lines l
    group by grouping sets ((l.fund_code, l.fund_name, l.section, l.is_result, l.id, l.code, l.name), (l.fund_code, l.fund_name, l.section), (l.fund_code, l.fund_name), (l.section), ())
    having grouping(l.name) = 1 or sum(l.net) <> 0
    order by l.fund_code nulls last, l.section nulls last, grouping(l.name), l.is_result, l.code;
end;
$$;

comment on function public.balance_sheet(uuid, date, uuid) is
  'What each fund has (section asset), owes (liability) and is left with (equity) at the end of a day. Equity includes a line without an account: income less expenses that are not closed yet. '
  'Lines with is_total sum up a section of a fund, and, without a fund_code, of all funds; one without a section is assets less the other two, which is 0. Claims between funds are in both and not left out. '
  'Takes ledger.read. Errors: permission_denied, books_not_open, fund_not_found, invalid_period.';

-- Between two days ---------------------------------------------------------------------------------------------------

create function public.income_statement(community_id uuid, from_day date, to_day date, fund_id uuid default null)
returns table (fund_code text, fund_name text, section public.account_type, account_id uuid, account_code text, account_name text, amount numeric, is_total boolean)
language plpgsql
stable
set search_path = ''
as $$
begin
  perform app.require_books(income_statement.community_id, from_day, to_day, income_statement.fund_id);
  return query
    with lines as (
      select f.code as fund_code, f.name as fund_name, a.type as section, a.id, a.code, a.name, m.credit - m.closing_credit - m.debit + m.closing_debit as net
      from app.account_movements(income_statement.community_id, from_day, to_day, income_statement.fund_id) m
      join public.accounts a on a.id = m.account_id and a.type in ('income', 'expense')
      join public.funds f on f.id = a.fund_id
      where m.debit <> m.closing_debit or m.credit <> m.closing_credit
    )
    select l.fund_code, l.fund_name, l.section, l.id, l.code, l.name,
      coalesce(sum(l.net), 0) * case when grouping(l.section) = 0 and l.section = 'expense' then -1 else 1 end, grouping(l.id) = 1
    from lines l
    group by grouping sets ((l.fund_code, l.fund_name, l.section, l.id, l.code, l.name), (l.fund_code, l.fund_name, l.section), (l.fund_code, l.fund_name), (l.section), ())
    order by l.fund_code nulls last, l.section nulls last, grouping(l.id), l.code;
end;
$$;

comment on function public.income_statement(uuid, date, date, uuid) is
  'Income and expenses of each fund from one day to another, closing entries left out: so it says the same before and after a fiscal year is closed. '
  'Lines with is_total sum up a section of a fund, and, without a fund_code, of all funds; one without a section is income less expenses. Takes ledger.read. '
  'Errors: permission_denied, books_not_open, fund_not_found, invalid_period.';

create function public.cash_flow(community_id uuid, from_day date, to_day date, fund_id uuid default null)
returns table (
  section text, fund_code text, fund_name text, account_id uuid, account_code text, account_name text, inflow numeric, outflow numeric, amount numeric, is_total boolean)
language plpgsql
stable
set search_path = ''
as $$
declare
  money uuid[]; -- an array: the days of these accounts are looked up in their indexes
begin
  perform app.require_books(cash_flow.community_id, from_day, to_day, cash_flow.fund_id);
  money := array(
    select a.id from public.accounts a
    where a.community_id = cash_flow.community_id and a.purpose in ('bank', 'cash') and (cash_flow.fund_id is null or a.fund_id = cash_flow.fund_id));
  return query
    with
    -- What moves from one bank account to another neither comes nor goes.
    moves as (
      select p.credit_account_id as counterpart, p.amount as inflow, 0::numeric as outflow
      from public.postings p
      where p.community_id = cash_flow.community_id and p.effective_on between from_day and to_day
        and p.debit_account_id = any (money) and p.credit_account_id <> all (money)
      union all
      select p.debit_account_id, 0, p.amount
      from public.postings p
      where p.community_id = cash_flow.community_id and p.effective_on between from_day and to_day
        and p.credit_account_id = any (money) and p.debit_account_id <> all (money)
    ),
    flows as (
      select f.code as fund_code, f.name as fund_name, a.id, a.code, a.name, sum(m.inflow) as inflow, sum(m.outflow) as outflow
      from moves m join public.accounts a on a.id = m.counterpart join public.funds f on f.id = a.fund_id
      group by f.id, a.id
    ),
    stands as (
      select f.code as fund_code, f.name as fund_name, sum(m.opening) as opening, sum(m.closing) as closing
      from app.account_movements(cash_flow.community_id, from_day, to_day, cash_flow.fund_id) m
      join public.accounts a on a.id = m.account_id join public.funds f on f.id = a.fund_id
      where m.account_id = any (money)
      group by f.id
    ),
    lines as (
      select 1 as place, 'opening' as section, s.fund_code, s.fund_name, null::uuid as id, null::text as code, null::text as name,
        null::numeric as inflow, null::numeric as outflow, coalesce(sum(s.opening), 0) as amount, grouping(s.fund_code) = 1 as is_total
      from stands s group by grouping sets ((s.fund_code, s.fund_name), ())
      union all
      select 2, 'flow', x.fund_code, x.fund_name, x.id, x.code, x.name, coalesce(sum(x.inflow), 0), coalesce(sum(x.outflow), 0), coalesce(sum(x.inflow - x.outflow), 0), grouping(x.id) = 1
      from flows x group by grouping sets ((x.fund_code, x.fund_name, x.id, x.code, x.name), (x.fund_code, x.fund_name), ())
      union all
      select 3, 'closing', s.fund_code, s.fund_name, null, null, null, null, null, coalesce(sum(s.closing), 0), grouping(s.fund_code) = 1
      from stands s group by grouping sets ((s.fund_code, s.fund_name), ())
    )
    select l.section, l.fund_code, l.fund_name, l.id, l.code, l.name, l.inflow, l.outflow, l.amount, l.is_total
    from lines l
    order by l.fund_code nulls last, l.place, l.is_total, l.code;
end;
$$;

comment on function public.cash_flow(uuid, date, date, uuid) is
  'What was in the bank and cash accounts of each fund before a day (section opening), what came in and went out until another, by the account it came from or went to (flow), and what is there then (closing). '
  'Lines with is_total sum up a fund''s flows, and, without a fund_code, all funds. opening + flows = closing. Takes ledger.read. Errors: permission_denied, books_not_open, fund_not_found, invalid_period.';

create function public.fund_report(community_id uuid, from_day date, to_day date, fund_id uuid default null)
returns table (
  fund_code text, fund_name text, fund_kind public.fund_kind, opening numeric, income numeric, expense numeric, transfers numeric, other numeric, closing numeric,
  claims numeric, net_assets numeric, is_total boolean)
language plpgsql
stable
set search_path = ''
as $$
declare
  claim_accounts constant uuid[] := array(
    select a.id from public.accounts a
    where a.community_id = fund_report.community_id and a.counter_fund_id is not null and (fund_report.fund_id is null or a.fund_id = fund_report.fund_id));
begin
  perform app.require_books(fund_report.community_id, from_day, to_day, fund_report.fund_id);
  return query
    with chart as materialized (
      select a.id, a.fund_id, a.type, a.counter_fund_id is not null as is_claim
      from public.accounts a
      where a.community_id = fund_report.community_id and (fund_report.fund_id is null or a.fund_id = fund_report.fund_id)
    ),
    stands as (
      select a.fund_id,
        sum(m.opening) filter (where a.type in ('asset', 'liability') and not a.is_claim) as opening,
        sum(m.closing) filter (where a.type in ('asset', 'liability') and not a.is_claim) as closing,
        sum(m.closing) filter (where a.is_claim) as claims,
        sum(n.net) filter (where a.type = 'income') as income, -sum(n.net) filter (where a.type = 'expense') as expense, sum(n.net) filter (where a.type = 'equity') as equity
      from app.account_movements(fund_report.community_id, from_day, to_day, fund_report.fund_id) m
      cross join lateral (select m.credit - m.closing_credit - m.debit + m.closing_debit as net) n
      join chart a on a.id = m.account_id
      group by a.fund_id
    ),
    -- What is claimed of another fund left this one, what is owed to another came in. What is only put down to the fund balance has not moved yet.
    between_funds as (
      select p.fund_id, sum(case when d.is_claim then -p.amount else 0 end + case when c.is_claim then p.amount else 0 end) as claimed,
        sum(case when d.type = 'equity' then -p.amount when c.type = 'equity' then p.amount else 0 end) as put_down
      from (
        select x.fund_id, x.debit_account_id, x.credit_account_id, x.amount
        from public.postings x
        where x.community_id = fund_report.community_id and x.effective_on between from_day and to_day and x.debit_account_id = any (claim_accounts)
        union all
        select x.fund_id, x.debit_account_id, x.credit_account_id, x.amount
        from public.postings x
        where x.community_id = fund_report.community_id and x.effective_on between from_day and to_day and x.credit_account_id = any (claim_accounts) and x.debit_account_id <> all (claim_accounts)
      ) p
      join chart d on d.id = p.debit_account_id
      join chart c on c.id = p.credit_account_id
      group by p.fund_id
    )
    select f.code, f.name, f.kind, coalesce(sum(s.opening), 0), coalesce(sum(s.income), 0), coalesce(sum(s.expense), 0),
      coalesce(sum(b.claimed + b.put_down), 0), coalesce(sum(s.equity), 0) - coalesce(sum(b.put_down), 0), coalesce(sum(s.closing), 0),
      coalesce(sum(s.claims), 0), coalesce(sum(s.closing), 0) + coalesce(sum(s.claims), 0), grouping(f.id) = 1
    from public.funds f
    left join stands s on s.fund_id = f.id
    left join between_funds b on b.fund_id = f.id
    where f.community_id = fund_report.community_id and (fund_report.fund_id is null or f.id = fund_report.fund_id)
    group by grouping sets ((f.id, f.code, f.name, f.kind), ())
    order by grouping(f.id), f.code;
end;
$$;

comment on function public.fund_report(uuid, date, date, uuid) is
  'Each fund from one day to another: what it had less what it owed (opening), income, expense, transfers from (positive) and to other funds, other movements (opening balances, corrections of the fund balance), and what it has then (closing): '
  'opening + income - expense + transfers + other = closing. Claims between funds are apart: closing + claims = net_assets, the equity of the balance sheet. The line with is_total sums up all funds. '
  'Takes ledger.read. Errors: permission_denied, books_not_open, fund_not_found, invalid_period.';

-- An account ---------------------------------------------------------------------------------------------------------

create function public.general_ledger(account_id uuid, from_day date, to_day date, subaccount_id uuid default null, after_id uuid default null, after_credit boolean default null)
returns table (
  effective_on date, entry_id uuid, posting_id uuid, kind public.entry_kind, description text, memo text, document_kind text, document_id uuid,
  counter_code text, counter_name text, unit_number text, resident_name text, debit numeric, credit numeric, balance numeric)
language plpgsql
stable
set search_path = ''
as $$
declare
  home constant uuid := (select a.community_id from public.accounts a where a.id = general_ledger.account_id);
  opening numeric;
begin
  if home is null then
    perform app.fail(404, 'account_not_found', 'There is no account with this id.');
  end if;
  perform app.require_books(home, from_day, to_day, null);
  if general_ledger.subaccount_id is null then
    select b.debit_total - b.credit_total into opening from app.account_balances(home, from_day - 1) b where b.account_id = general_ledger.account_id;
  else
    select sum(case when l.debit is null then -l.credit else l.debit end) into opening
    from public.ledger_lines l
    where l.account_id = general_ledger.account_id and l.subaccount_id = general_ledger.subaccount_id and l.effective_on < from_day;
  end if;
  return query
    with lines as (
      select l.effective_on, l.journal_entry_id, l.posting_id, l.subaccount_id, l.debit, l.credit, l.memo,
        coalesce(opening, 0) + sum(coalesce(l.debit, -l.credit)) over (order by l.effective_on, l.posting_id, l.credit is not null rows unbounded preceding) as balance
      from public.ledger_lines l
      where l.account_id = general_ledger.account_id and l.effective_on between from_day and to_day
        and (general_ledger.subaccount_id is null or l.subaccount_id = general_ledger.subaccount_id)
    ),
    page as (
      select from_day as effective_on, null::uuid as journal_entry_id, null::uuid as posting_id, null::uuid as subaccount_id, null::numeric as debit, null::numeric as credit,
        null::text as memo, coalesce(opening, 0) as balance
      where general_ledger.after_id is null
      union all
      select l.effective_on, l.journal_entry_id, l.posting_id, l.subaccount_id, l.debit, l.credit, l.memo, l.balance
      from lines l
      where general_ledger.after_id is null or (l.effective_on, l.posting_id) > (select x.effective_on, x.id from public.postings x where x.id = general_ledger.after_id)
        or (not general_ledger.after_credit and l.posting_id = general_ledger.after_id and l.credit is not null)
    )
    select g.effective_on, g.journal_entry_id, g.posting_id, e.kind, e.description, g.memo, e.document_kind, e.document_id,
      o.code, o.name, u.number, r.full_name, g.debit, g.credit, g.balance
    from page g
    left join public.journal_entries e on e.id = g.journal_entry_id
    left join public.postings p on p.id = g.posting_id
    left join public.accounts o on o.id = case when g.credit is null then p.credit_account_id else p.debit_account_id end
    left join public.subaccounts s on s.id = g.subaccount_id
    left join public.units u on u.community_id = s.community_id and u.id = s.unit_id
    left join public.residents r on r.community_id = s.community_id and r.id = s.resident_id
    order by g.effective_on, g.posting_id nulls first, g.credit is not null;
end;
$$;

comment on function public.general_ledger(uuid, date, date, uuid, uuid, boolean) is
  'The lines of an account, or of one subaccount of it, from one day to another, each with the balance after it (debits less credits); before them one line without an entry: the balance before the first day. '
  'In order of days, then of posting. after_id: the posting after which the next page begins, since an answer has at most 1000 lines; after_credit: whether its line was the credit, for a posting between two people has both its sides in their account. Names of units and people to whoever sees them. Takes ledger.read. '
  'Errors: account_not_found, permission_denied, invalid_period.';

grant execute on function
  public.trial_balance(uuid, date, uuid, boolean), public.balance_sheet(uuid, date, uuid), public.income_statement(uuid, date, date, uuid),
  public.cash_flow(uuid, date, date, uuid), public.fund_report(uuid, date, date, uuid), public.general_ledger(uuid, date, date, uuid, uuid, boolean)
to authenticated, service_role;
