-- Ledger: periods, balances at any day, and the end of a year.
--
-- Purpose     Closing months and years, so that what was reported stays as it was; balances that do not count the whole past again.
-- Tables      accounting_periods, account_snapshots
-- RPCs        close_period, reopen_period
-- Invariants  Periods follow one another without gap or overlap, close in order and reopen from the last one back. No entry is dated into a
--             closed one: closing holds the books alone, so an entry is either counted in it or refused. ledgers.closed_through is the
--             last day of the last closed period, whoever writes it. At the end of a fiscal year income and expense move to the fund's
--             balance by one entry of kind closing; reopening takes it back. A snapshot is what the postings through that day sum to.
-- Locks       The community's books, alone, then the ledger's row.

create type public.period_status as enum ('open', 'closed');

select app.define_permission('ledger.close', 'community', 'Close accounting periods', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor,
  community/admin, community/manager, community/accountant}');
select app.define_permission('ledger.reopen', 'community', 'Reopen the last closed accounting period', '{
  site/superadmin, organization/owner, organization/admin, community/admin}');

select app.define_action('PERIOD_CLOSED', 'An accounting period was closed.');
select app.define_action('PERIOD_REOPENED', 'A closed accounting period was opened again.');

-- Periods ------------------------------------------------------------------------------------------------------------

create table public.accounting_periods (
  id uuid not null default extensions.uuidv7(),
  name text not null,
  community_id uuid not null,
  starts_on date not null,
  ends_on date not null,
  status public.period_status not null default 'closed',
  closed_at timestamptz,
  closing_entry_id uuid,
  like app.row_model including defaults including comments,
  constraint accounting_periods_pkey primary key (id),
  constraint accounting_periods_community_id_key unique (community_id, id),
  constraint accounting_periods_ledger_fkey foreign key (community_id) references public.ledgers (community_id) on delete restrict,
  constraint accounting_periods_closing_entry_fkey foreign key (community_id, closing_entry_id) references public.journal_entries (community_id, id) on delete restrict,
  constraint accounting_periods_once_excl exclude using gist (community_id with =, daterange(starts_on, ends_on, '[]') with &&),
  constraint accounting_periods_name_check check (app.is_name(name)),
  constraint accounting_periods_ends_on_check check (ends_on >= starts_on),
  constraint accounting_periods_closed_at_check check ((closed_at is not null) = (status = 'closed')),
  constraint accounting_periods_closing_entry_id_check check (closing_entry_id is null or status = 'closed'),
  constraint accounting_periods_deleted_at_check check (deleted_at is null)
);

create index accounting_periods_ends_on_idx on public.accounting_periods (community_id, ends_on);
create index accounting_periods_closing_entry_idx on public.accounting_periods (community_id, closing_entry_id) where closing_entry_id is not null;

comment on table public.accounting_periods is 'The periods of the books that were closed, one after the other; a month, a quarter, whatever is closed at once, within a fiscal year.';
comment on column public.accounting_periods.name is 'Its days, in words: 2026-01, 2026-01-15 – 2026-02-28.';
comment on column public.accounting_periods.starts_on is 'The day after the last one before.';
comment on column public.accounting_periods.ends_on is 'Its last day.';
comment on column public.accounting_periods.status is 'closed; open again after reopen_period.';
comment on column public.accounting_periods.closed_at is 'When it was closed (last).';
comment on column public.accounting_periods.closing_entry_id is 'The entry that moved income and expense to the funds'' balances, where it ends a fiscal year.';

select app.track('public.accounting_periods');

create trigger _010_frozen_days before update of starts_on, ends_on on public.accounting_periods for each row
  when ((old.starts_on, old.ends_on) is distinct from (new.starts_on, new.ends_on)) execute function app.tg__frozen('Its first and last day');

create policy accounting_periods_select on public.accounting_periods for select to authenticated
  using (community_id = any ((select app.communities_where('ledger.read'))::uuid[]) and deleted_at is null);
grant select on public.accounting_periods to authenticated, service_role;

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.accounting_periods', null, 'closed', 'ledger.close', 'Close the period'),
  ('public.accounting_periods', 'closed', 'open', 'ledger.reopen', 'Reopen the period'),
  ('public.accounting_periods', 'open', 'closed', 'ledger.close', 'Close the period again');

select app.state_machine('public.accounting_periods', 'status');

create function app.tg_accounting_periods__order()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  closed constant date := (select max(p.ends_on) from public.accounting_periods p where p.community_id = new.community_id and p.status = 'closed' and p.id <> new.id);
begin
  if new.status = 'closed' and new.starts_on <> coalesce(closed + 1, (select l.opened_on from public.ledgers l where l.community_id = new.community_id)) then
    perform app.fail(409, 'period_order', format('The next period to be closed begins on %s.',
      coalesce(closed + 1, (select l.opened_on from public.ledgers l where l.community_id = new.community_id))));
  elsif new.status = 'open' and new.ends_on < closed then
    perform app.fail(409, 'period_order', 'A later period is closed.', 'Reopen the last one first.');
  end if;
  return new;
end;
$$;

comment on function app.tg_accounting_periods__order() is 'BEFORE INSERT OR UPDATE of the status: periods close in order, without gaps, and reopen from the last one back (409 period_order).';

create trigger _310_order before insert or update of status on public.accounting_periods for each row execute function app.tg_accounting_periods__order();

create function app.tg_accounting_periods__ledger()
returns trigger
language plpgsql
security definer -- keeps the day through which the books are closed, whoever writes the period
set search_path = ''
as $$
begin
  update public.ledgers l
  set closed_through = (select max(p.ends_on) from public.accounting_periods p where p.community_id = new.community_id and p.status = 'closed')
  where l.community_id = new.community_id;
  return null;
end;
$$;

comment on function app.tg_accounting_periods__ledger() is 'AFTER INSERT OR UPDATE of the status: keeps ledgers.closed_through. Definer: whoever writes the period.';

create trigger _500_ledger after insert or update of status on public.accounting_periods for each row execute function app.tg_accounting_periods__ledger();

create function app.tg_ledgers__closed()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if new.closed_through is distinct from (select max(p.ends_on) from public.accounting_periods p where p.community_id = new.community_id and p.status = 'closed') then
    perform app.fail(409, 'period_order', 'The books are closed by closing a period.', 'close_period, reopen_period');
  elsif new.opened_on <> old.opened_on and (new.closed_through is not null or exists (select from public.journal_entries e where e.community_id = new.community_id)) then
    perform app.fail(409, 'column_frozen', 'The first day of books that have entries cannot change.');
  end if;
  return new;
end;
$$;

comment on function app.tg_ledgers__closed() is 'BEFORE UPDATE: the books are closed through the last closed period, and no other day (409 period_order); they begin where they began (409 column_frozen).';

create trigger _200_closed before update of closed_through, opened_on on public.ledgers for each row
  when ((old.closed_through, old.opened_on) is distinct from (new.closed_through, new.opened_on)) execute function app.tg_ledgers__closed();

-- Snapshots ----------------------------------------------------------------------------------------------------------

create table public.account_snapshots (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  account_id uuid not null,
  period_id uuid not null,
  debit_total numeric not null,
  credit_total numeric not null,
  closing_debit_total numeric not null default 0,
  closing_credit_total numeric not null default 0,
  constraint account_snapshots_pkey primary key (id),
  constraint account_snapshots_account_key unique (period_id, account_id),
  constraint account_snapshots_account_fkey foreign key (account_id, community_id) references public.accounts (id, community_id) on delete restrict,
  constraint account_snapshots_period_fkey foreign key (period_id, community_id) references public.accounting_periods (id, community_id) on delete restrict,
  constraint account_snapshots_totals_check check (
    debit_total >= closing_debit_total and credit_total >= closing_credit_total and closing_debit_total >= 0 and closing_credit_total >= 0)
);

create index account_snapshots_account_idx on public.account_snapshots (account_id, community_id);
create index account_snapshots_period_idx on public.account_snapshots (period_id, community_id);

comment on table public.account_snapshots is 'What each account had been debited and credited through the end of a closed period, from the beginning of the books. Written by close_period, removed by reopen_period.';
comment on column public.account_snapshots.account_id is 'The account.';
comment on column public.account_snapshots.period_id is 'The period at whose end.';
comment on column public.account_snapshots.debit_total is 'All debits.';
comment on column public.account_snapshots.credit_total is 'All credits.';
comment on column public.account_snapshots.closing_debit_total is 'Of them, by closing entries and what took those back.';
comment on column public.account_snapshots.closing_credit_total is 'Of them, by closing entries and what took those back.';

select app.keep('public.account_snapshots', is_append_only => false);

create policy account_snapshots_select on public.account_snapshots for select to authenticated
  using (community_id = any ((select app.communities_where('ledger.read'))::uuid[]));
grant select on public.account_snapshots to authenticated, service_role;

create function app.tg__derived()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- Whatever derives the rows names the table meanwhile.
  if tg_op = any (tg_argv[0]::text[]) and current_setting('app.rewriting', true) = tg_relid::text and pg_has_role(current_user, 'postgres', 'member') then
    return null;
  end if;
  perform app.fail(409, 'balance_derived', format('%s of %s is refused: %s.', tg_op, tg_table_name, tg_argv[1]), tg_argv[2]);
  return null;
end;
$$;

comment on function app.tg__derived() is
  'BEFORE anything, per statement, on a table whose rows follow from others: refuses (409 balance_derived), but for the operations of [0] while whatever derives the rows names the table in app.rewriting. [1] why, [2] the hint.';

-- Only while a period is closed or reopened.
create trigger _020_derived before insert or update or delete or truncate on public.account_snapshots
  for each statement execute function app.tg__derived('{INSERT,DELETE}', 'they say what the postings sum to', 'Reopen the period and close it again.');

-- Balances -----------------------------------------------------------------------------------------------------------

create function app.account_totals(community uuid, on_day date)
returns table (account_id uuid, debit_total numeric, credit_total numeric, closing_debit_total numeric, closing_credit_total numeric)
language plpgsql
stable
set search_path = ''
as $$
declare
  base record;
begin
  select p.id, p.ends_on into base
  from public.accounting_periods p
  where p.community_id = community and p.status = 'closed' and p.ends_on <= on_day
    -- While it is being closed a period has no snapshot yet.
    and exists (select from public.account_snapshots s where s.period_id = p.id)
  order by p.ends_on desc
  limit 1;
  return query
    with moved as materialized (
      -- Pairs of accounts are few, however many postings there are.
      select p.debit_account_id, p.credit_account_id, sum(p.amount) as amount
      from public.postings p
      where p.debit_account_id in (select a.id from public.accounts a where a.community_id = community)
        and p.effective_on > coalesce(base.ends_on, '-infinity') and p.effective_on <= on_day
      group by p.debit_account_id, p.credit_account_id
    ),
    closing as materialized (
      select p.debit_account_id, p.credit_account_id, sum(p.amount) as amount
      from public.journal_entries e
      join public.postings p on p.journal_entry_id = e.id
      where e.community_id = community and e.effective_on > coalesce(base.ends_on, '-infinity') and e.effective_on <= on_day
        and e.kind in ('closing', 'reversal')
        and (e.kind = 'closing' or exists (select from public.journal_entries r where r.id = e.reverses_id and r.kind = 'closing'))
      group by p.debit_account_id, p.credit_account_id
    )
    select t.account_id, sum(t.debit), sum(t.credit), sum(t.closing_debit), sum(t.closing_credit)
    from (
      select s.account_id, s.debit_total, s.credit_total, s.closing_debit_total, s.closing_credit_total
      from public.account_snapshots s where s.period_id = base.id
      union all
      select m.debit_account_id, m.amount, 0, 0, 0 from moved m
      union all
      select m.credit_account_id, 0, m.amount, 0, 0 from moved m
      union all
      select c.debit_account_id, 0, 0, c.amount, 0 from closing c
      union all
      select c.credit_account_id, 0, 0, 0, c.amount from closing c
    ) t (account_id, debit, credit, closing_debit, closing_credit)
    group by t.account_id;
end;
$$;

comment on function app.account_totals(uuid, date) is
  'What each account that ever moved had been debited and credited through a day: the last snapshot before it, and the postings since. Not executable by API roles.';

create function app.account_balances(community uuid, on_day date, with_closing boolean default true)
returns table (account_id uuid, debit_total numeric, credit_total numeric)
language plpgsql
stable
security definer -- counts whole books, which row by row would take the policies of every posting
set search_path = ''
as $$
begin
  perform app.require('ledger.read', community);
  return query
    select t.account_id,
      t.debit_total - case when with_closing then 0 else t.closing_debit_total end,
      t.credit_total - case when with_closing then 0 else t.closing_credit_total end
    from app.account_totals(community, on_day) t;
end;
$$;

comment on function app.account_balances(uuid, date, boolean) is
  'What each account of the books that ever moved had been debited and credited through a day; without closing entries for statements of income. Takes ledger.read. Definer: counts whole books, which row by row would take the policies of every posting.';

grant execute on function app.account_balances(uuid, date, boolean) to authenticated, service_role;

-- Closing ------------------------------------------------------------------------------------------------------------

create function app.fiscal_year_end(first_month integer, day date)
returns date
language sql
immutable
set search_path = ''
return (make_date(
  extract(year from day)::integer + case when extract(month from day) >= first_month and first_month > 1 then 1 else 0 end, case when first_month = 1 then 12 else first_month end, 1)
  + case when first_month = 1 then interval '1 month' else interval '0' end)::date - 1;

comment on function app.fiscal_year_end(integer, date) is 'The last day of the fiscal year that a day is in, where years begin with the first of a month.';

create function app.post_closing(community uuid, period uuid, last_day date)
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
declare
  lines app.posting_line[];
begin
  select array_agg(row(
      a.fund_id,
      case when b.balance < 0 then a.id else f.fund_balance end, null,
      case when b.balance < 0 then f.fund_balance else a.id end, null,
      abs(b.balance), null)::app.posting_line order by a.fund_id, a.code)
  into lines
  from (select t.account_id, t.debit_total - t.credit_total as balance from app.account_totals(community, last_day) t) b
  join public.accounts a on a.id = b.account_id and a.type in ('income', 'expense')
  cross join lateral (select app.account_for(community, a.fund_id, 'fund_balance') as fund_balance) f
  where b.balance <> 0;
  if lines is null then
    return null;
  end if;
  return app.post_entry(community, 'closing', last_day, format('Closing of the fiscal year to %s', last_day), lines, null, 'accounting_period', period);
end;
$$;

comment on function app.post_closing(uuid, uuid, date) is 'Moves what income and expense accounts have come to, to the balances of their funds; null if there is nothing to move. Not executable by API roles.';

create function app.close_period(community uuid, ends_on date)
returns uuid
language plpgsql
volatile
security definer -- API roles write neither periods nor the journal
set search_path = ''
as $$
declare
  books public.ledgers;
  period public.accounting_periods;
  year_end date;
begin
  perform app.require('ledger.close', community);
  -- Waits for whoever is posting, and lets nobody else post until the end.
  perform app.lock_ledger(community, true);
  select l.* into books from public.ledgers l where l.community_id = community for no key update;
  if books.id is null then
    perform app.fail(409, 'books_not_open', 'This community has no books yet.', 'Open them with open_books.');
  end if;
  period.starts_on := coalesce(books.closed_through + 1, books.opened_on);
  year_end := app.fiscal_year_end(books.fiscal_year_start_month, period.starts_on);
  if close_period.ends_on is null or close_period.ends_on < period.starts_on then
    perform app.fail(409, 'period_order', format('The next period to be closed begins on %s.', period.starts_on));
  elsif close_period.ends_on >= app.today_in(community) then
    perform app.fail(422, 'period_not_over', 'A period is closed when its last day is over.');
  elsif close_period.ends_on > year_end then
    perform app.fail(422, 'period_crosses_year', format('The fiscal year ends on %s.', year_end), 'Close it first.');
  end if;
  -- A reopened one is closed with the days it had.
  select p.* into period from public.accounting_periods p
  where p.community_id = community and p.starts_on = coalesce(books.closed_through + 1, books.opened_on);
  if period.id is null then
    period.id := extensions.uuidv7();
    period.starts_on := coalesce(books.closed_through + 1, books.opened_on);
  elsif period.ends_on <> close_period.ends_on then
    perform app.fail(409, 'period_order', format('The reopened period ends on %s.', period.ends_on));
  end if;

  if close_period.ends_on = year_end then
    period.closing_entry_id := app.post_closing(community, period.id, year_end);
  end if;
  perform app.set_action('PERIOD_CLOSED');
  if period.status = 'open' then
    update public.accounting_periods p set status = 'closed', closed_at = clock_timestamp(), closing_entry_id = period.closing_entry_id where p.id = period.id;
  else
    insert into public.accounting_periods (id, name, community_id, starts_on, ends_on, closed_at, closing_entry_id)
    values (
      period.id,
      case when period.starts_on = date_trunc('month', period.starts_on)::date and close_period.ends_on = (date_trunc('month', period.starts_on) + interval '1 month')::date - 1
        then to_char(period.starts_on, 'YYYY-MM') else format('%s – %s', period.starts_on, close_period.ends_on) end,
      community, period.starts_on, close_period.ends_on, clock_timestamp(), period.closing_entry_id);
  end if;
  perform app.set_action('');

  perform set_config('app.rewriting', 'public.account_snapshots'::regclass::oid::text, true);
  insert into public.account_snapshots (community_id, account_id, period_id, debit_total, credit_total, closing_debit_total, closing_credit_total)
  select community, t.account_id, period.id, t.debit_total, t.credit_total, t.closing_debit_total, t.closing_credit_total
  from app.account_totals(community, close_period.ends_on) t;
  perform set_config('app.rewriting', '', true);
  return period.id;
end;
$$;

comment on function app.close_period(uuid, date) is 'What public.close_period does. Definer: API roles write neither periods nor the journal.';

create function public.close_period(community_id uuid, ends_on date)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.close_period(community_id, ends_on) $$;

comment on function public.close_period(uuid, date) is
  'Closes the books through a day that is over: the period from the day after the last one (or a reopened one, through its own last day), within one fiscal year, at whose end income and expense move to the funds'' balances. '
  'Returns the period''s id. Waits for entries that are being posted. Takes ledger.close. Errors: permission_denied, books_not_open, period_order, period_not_over, period_crosses_year, account_missing, isolation_refused.';

-- Reopening ----------------------------------------------------------------------------------------------------------

create function app.reopen_period(period uuid, reason text, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- API roles write neither periods nor the journal
set search_path = ''
as $$
declare
  home constant uuid := (select p.community_id from public.accounting_periods p where p.id = period);
  known public.accounting_periods;
begin
  if home is null or not (is_visible or app.is_trusted()) then
    perform app.fail(404, 'period_not_found', 'There is no period with this id.');
  end if;
  perform app.require('ledger.reopen', home);
  if coalesce(length(btrim(reason)), 0) not between 3 and 500 then
    perform app.fail(422, 'reason_required', 'A period is reopened for a reason of 3 to 500 characters, which the audit log keeps.');
  end if;
  perform app.lock_ledger(home, true);
  perform from public.ledgers l where l.community_id = home for no key update;
  select p.* into known from public.accounting_periods p where p.id = period;
  if known.status = 'open' then
    perform app.fail(409, 'period_open', 'This period is open.');
  end if;

  perform set_config('app.rewriting', 'public.account_snapshots'::regclass::oid::text, true);
  delete from public.account_snapshots s where s.period_id = period;
  perform set_config('app.rewriting', '', true);

  perform app.set_action('PERIOD_REOPENED');
  perform set_config('app.reason', btrim(reason), true);
  update public.accounting_periods p set status = 'open', closed_at = null, closing_entry_id = null where p.id = period;
  perform set_config('app.reason', '', true);
  perform app.set_action('');
  if known.closing_entry_id is not null then
    perform app.reverse_entry(known.closing_entry_id, known.ends_on, btrim(reason));
  end if;
end;
$$;

comment on function app.reopen_period(uuid, text, boolean) is 'What public.reopen_period does. Definer: API roles write neither periods nor the journal.';

create function public.reopen_period(period_id uuid, reason text)
returns void
language sql
volatile
set search_path = ''
as $$ select app.reopen_period(period_id, reason, app.sees_row('accounting_periods', period_id)) $$;

comment on function public.reopen_period(uuid, text) is
  'Opens the last closed period again, for a reason that the audit log keeps (PERIOD_REOPENED); takes back the closing of a fiscal year. Takes ledger.reopen. '
  'Errors: period_not_found, permission_denied, reason_required, period_open, period_order, isolation_refused.';

grant execute on function
  app.close_period(uuid, date), public.close_period(uuid, date), app.reopen_period(uuid, text, boolean), public.reopen_period(uuid, text)
to authenticated, service_role;
