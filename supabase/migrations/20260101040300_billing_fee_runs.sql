-- Billing: runs of fees.
--
-- Purpose     Charges a fee for a period: allocated by its key, split among who was liable when, posted in one transaction.
-- Tables      fee_runs
-- RPCs        preview_fee_run, run_fee, run_fees, reverse_fee_run
-- Settings    billing.automatic_fees
-- Invariants  No day of a fee is charged twice: its runs that stand do not overlap. What a preview shows is what a run posts. A run posts
--             all or nothing; its charges make up its total. A run that was reversed may be run again, by hand. Instalments make up, for
--             each unit, what the assessment allocates to it, and together the amount of each instalment.
-- Locks       The fee's row, before its runs are looked at: who runs it at the same time waits, and finds the run.

create type public.fee_run_status as enum ('posted', 'reversed');

create table public.fee_runs (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  fee_id uuid not null,
  starts_on date not null,
  ends_on date not null,
  instalment_id uuid,
  charged_on date not null,
  due_on date not null,
  status public.fee_run_status not null default 'posted',
  allocation_id uuid not null,
  journal_entry_id uuid,
  charge_count integer not null,
  total numeric not null,
  reversal_entry_id uuid,
  reversal_reason text,
  like app.row_model including defaults including comments,
  constraint fee_runs_pkey primary key (id),
  constraint fee_runs_community_id_key unique (community_id, id),
  constraint fee_runs_entry_key unique (community_id, journal_entry_id),
  constraint fee_runs_reversal_key unique (community_id, reversal_entry_id),
  constraint fee_runs_fee_fkey foreign key (community_id, fee_id) references public.fees (community_id, id) on delete restrict,
  constraint fee_runs_instalment_fkey foreign key (community_id, fee_id, instalment_id) references public.fee_instalments (community_id, fee_id, id) on delete restrict,
  constraint fee_runs_allocation_fkey foreign key (community_id, allocation_id) references public.allocations (community_id, id) on delete restrict,
  constraint fee_runs_entry_fkey foreign key (community_id, journal_entry_id) references public.journal_entries (community_id, id) on delete restrict,
  constraint fee_runs_reversal_fkey foreign key (community_id, reversal_entry_id) references public.journal_entries (community_id, id) on delete restrict,
  constraint fee_runs_ends_on_check check (ends_on >= starts_on),
  constraint fee_runs_charge_count_check check (charge_count >= 0 and (charge_count > 0) = (journal_entry_id is not null)),
  constraint fee_runs_deleted_at_check check (deleted_at is null),
  constraint fee_runs_total_check check (total >= 0 and (total > 0) = (charge_count > 0)),
  constraint fee_runs_reversal_check check (
    (status = 'reversed') = (reversal_reason is not null) and (reversal_entry_id is not null) = (status = 'reversed' and journal_entry_id is not null)),
  constraint fee_runs_reversal_reason_check check (length(btrim(reversal_reason)) between 3 and 500),
  constraint fee_runs_one_per_day_excl exclude using gist (
    community_id with =, fee_id with =, daterange(starts_on, ends_on, '[]') with &&
  ) where (status = 'posted')
);

create index fee_runs_fee_idx on public.fee_runs (community_id, fee_id, starts_on);
create index fee_runs_instalment_idx on public.fee_runs (community_id, fee_id, instalment_id) where instalment_id is not null;
create index fee_runs_allocation_idx on public.fee_runs (community_id, allocation_id);

comment on table public.fee_runs is 'What was charged of a fee, period by period: one entry of the journal and its charges. Written by run_fee and reverse_fee_run.';
comment on column public.fee_runs.fee_id is 'The fee.';
comment on column public.fee_runs.starts_on is 'The first day of the period.';
comment on column public.fee_runs.ends_on is 'The last day of the period.';
comment on column public.fee_runs.instalment_id is 'The instalment of a special assessment.';
comment on column public.fee_runs.charged_on is 'The day in the books.';
comment on column public.fee_runs.due_on is 'The day by which it is to be paid.';
comment on column public.fee_runs.status is 'posted, or reversed: then it may be run again.';
comment on column public.fee_runs.allocation_id is 'How it was shared out among the units. The instalments of an assessment have one in common.';
comment on column public.fee_runs.journal_entry_id is 'The entry, whose charges are those of the run; null where nobody owes anything.';
comment on column public.fee_runs.charge_count is 'How many charges.';
comment on column public.fee_runs.total is 'What they sum to.';
comment on column public.fee_runs.reversal_entry_id is 'The entry that took it back.';
comment on column public.fee_runs.reversal_reason is 'Why it was taken back.';

select app.track('public.fee_runs');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.fee_runs', null, 'posted', null, 'The fee is charged'),
  ('public.fee_runs', 'posted', 'reversed', 'fees.run', 'Take the charges back');
select app.state_machine('public.fee_runs', 'status');

create trigger _010_frozen_content
  before update of fee_id, starts_on, ends_on, instalment_id, charged_on, due_on, allocation_id, journal_entry_id, charge_count, total on public.fee_runs for each row
  when ((old.fee_id, old.starts_on, old.ends_on, old.instalment_id, old.charged_on, old.due_on, old.allocation_id, old.journal_entry_id, old.charge_count, old.total)
    is distinct from (new.fee_id, new.starts_on, new.ends_on, new.instalment_id, new.charged_on, new.due_on, new.allocation_id, new.journal_entry_id, new.charge_count, new.total))
  execute function app.tg__frozen('What a run has charged');

create policy fee_runs_select on public.fee_runs for select to authenticated
  using (community_id = any ((select app.communities_where('fees.read'))::uuid[]) and deleted_at is null);
grant select on public.fee_runs to authenticated, service_role;

-- What a run charges -------------------------------------------------------------------------------------------------

create function app.instalment_amounts(fee public.fees, instalment uuid, allocation uuid, unit_ids uuid[], amounts numeric[])
returns numeric[]
language plpgsql
stable
set search_path = ''
as $$
declare
  whole constant numeric := (select sum(a) from unnest(amounts) a);
  part numeric;
  remaining numeric[];
begin
  if fee.basis = 'total' then
    part := (select i.amount from public.fee_instalments i where i.id = instalment);
  else
    select p.amount into part
    from (
      select array_agg(i.id order by i.number) as ids, array_agg(i.percent order by i.number) as percents
      from public.fee_instalments i
      where i.community_id = fee.community_id and i.fee_id = fee.id and i.deleted_at is null
    ) i
    cross join lateral app.apportion(whole, fee.decimals, i.ids, i.percents) p
    where p.key = instalment;
  end if;
  -- By what is left of each unit's part: so nobody is ever charged more than it, and the last instalment is exactly the rest.
  -- Added up and not joined: of what was charged the planner knows too little not to go through it for each unit.
  select array_agg(u.amount order by u.place) into remaining
  from (
    select max(m.place) as place, sum(m.amount) as amount
    from (
      select a.unit_id, a.place, a.amount from unnest(unit_ids, amounts) with ordinality a (unit_id, amount, place)
      union all
      select c.unit_id, null, -c.amount
      from public.fee_runs r
      join public.charges c on c.community_id = r.community_id and c.journal_entry_id = r.journal_entry_id
      where r.community_id = fee.community_id and r.fee_id = fee.id and r.status = 'posted' and r.allocation_id = allocation and r.instalment_id <> instalment
    ) m
    group by m.unit_id
  ) u
  where u.place is not null;
  return array(select p.amount from app.apportion(part, fee.decimals, unit_ids, remaining) with ordinality p (key, weight, amount, place) order by p.place);
end;
$$;

comment on function app.instalment_amounts(public.fees, uuid, uuid, uuid[], numeric[]) is
  'What each unit bears of an instalment, given what it bears of the whole: shared out by what is left of each. The units'' instalments sum to their parts of the whole, and each instalment to its amount, in whichever order they are charged.';

create function app.shared_allocation(fee public.fees)
returns uuid
language sql
stable
set search_path = ''
as $$
  select r.allocation_id from public.fee_runs r
  where r.community_id = fee.community_id and r.fee_id = fee.id and r.status = 'posted' and r.instalment_id is not null
  limit 1
$$;

comment on function app.shared_allocation(public.fees) is 'The allocation that the instalments of a special assessment have in common, once one of them stands.';

create function app.fee_run_lines(fee public.fees, from_day date, to_day date, instalment uuid, allocation uuid)
returns app.charge_line[]
language plpgsql
stable
set search_path = ''
set work_mem = '64MB' -- what 100,000 units take to sort and hash
as $$
declare
  units uuid[];
  amounts numeric[];
  lines uuid[];
begin
  if allocation is null then
    select array_agg(r.unit_id order by r.place), array_agg(r.amount order by r.place) into units, amounts
    from app.allocation_rows(fee.community_id, fee.allocation_key_id, case fee.basis when 'total' then fee.amount end, from_day, to_day, case fee.basis when 'rate' then fee.amount end) r;
  else
    select array_agg(l.unit_id order by l.place), array_agg(l.amount order by l.place), array_agg(l.id order by l.place) into units, amounts, lines
    from public.allocation_lines l
    where l.allocation_id = allocation;
  end if;
  if instalment is not null then
    amounts := app.instalment_amounts(fee, instalment, allocation, units, amounts);
  end if;
  return (
    select array_agg(row(s.unit_id, s.resident_id, s.amount, s.starts_on, s.ends_on, lines[s.place], null)::app.charge_line order by s.place, s.starts_on, s.resident_id)
    from app.split_liable(fee.community_id, from_day, to_day, fee.liable, fee.is_prorated, fee.decimals, units, amounts) s
  );
end;
$$;

comment on function app.fee_run_lines(public.fees, date, date, uuid, uuid) is
  'What a run charges for a period, in the order of the units and of who was liable first; null where nobody owes anything. By an allocation that is written, or, before there is one, by what it would be. The one place of both preview and run.';

create function app.check_fee_day(day date)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if day < date '1900-01-01' or day = 'infinity' then
    perform app.fail(422, 'fee_not_due', 'No fee is charged on that day or before.');
  elsif day > current_date + 400 then
    perform app.fail(422, 'too_far_ahead', 'A fee is charged at most 400 days ahead.');
  end if;
end;
$$;

comment on function app.check_fee_day(date) is 'Refuses to charge, or to look at, what begins further ahead than an entry is dated (422 too_far_ahead), and days on which no fee has begun (422 fee_not_due). Not executable by API roles.';

create function app.require_fee_period(fee public.fees, day date)
returns table (starts_on date, ends_on date, due_on date, instalment_id uuid, number integer)
language plpgsql
stable
set search_path = ''
as $$
begin
  perform app.check_fee_day(day);
  return query select p.* from app.fee_period(fee, day) p;
  if not found then
    perform app.fail(422, 'fee_not_due', format('%s is not charged on %s or before.', fee.name, coalesce(day::text, 'no day')), format('It begins on %s.', fee.first_on));
  end if;
end;
$$;

comment on function app.require_fee_period(public.fees, date) is 'The period that a run of a day charges: the last that begins on it or before. Errors: fee_not_due, too_far_ahead.';

create function app.preview_fee_run(fee uuid, day date, is_visible boolean)
returns table (unit_id uuid, unit text, resident_id uuid, full_name text, starts_on date, ends_on date, due_on date, amount numeric)
language plpgsql
stable
security definer -- computes what the caller may not read row by row
set search_path = ''
as $$
#variable_conflict use_column
declare
  told public.fees;
  period record;
begin
  select f.* into told from public.fees f where f.id = fee and is_visible and f.deleted_at is null;
  if told.id is null then
    perform app.fail(404, 'fee_not_found', 'There is no fee with this id.');
  end if;
  perform app.require('fees.run', told.community_id);
  select p.* into period from app.require_fee_period(told, coalesce(day, app.today_in(told.community_id))) p;
  return query
    select r.unit_id, concat_ws(' / ', b.name, u.number), r.resident_id, p.full_name, r.starts_on, r.ends_on, period.due_on, r.amount
    from unnest(app.fee_run_lines(told, period.starts_on, period.ends_on, period.instalment_id,
      case when period.instalment_id is not null then app.shared_allocation(told) end)) with ordinality
      r (unit_id, resident_id, amount, starts_on, ends_on, allocation_line_id, description, place)
    join public.units u on u.community_id = told.community_id and u.id = r.unit_id
    left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
    left join public.residents p on p.community_id = told.community_id and p.id = r.resident_id
    order by r.place;
end;
$$;

comment on function app.preview_fee_run(uuid, date, boolean) is 'What public.preview_fee_run does. Definer: computes what the caller may not read row by row.';

create function public.preview_fee_run(fee_id uuid, day date default null)
returns table (unit_id uuid, unit text, resident_id uuid, full_name text, starts_on date, ends_on date, due_on date, amount numeric)
language sql
stable
set search_path = ''
as $$ select * from app.preview_fee_run(fee_id, day, app.sees_row('fees', fee_id)) $$;

comment on function public.preview_fee_run(uuid, date) is
  'The charges that run_fee would post on the same day, row by row: unit, who owes it (null: nobody is known), for which days, until when to be paid, how much. Writes nothing. Takes fees.run. '
  'Errors: fee_not_found, permission_denied, fee_not_due, too_far_ahead, and those of the allocation (allocation_input_missing, shares_not_whole, allocation_no_weight, formula_not_evaluated …).';

-- Running ------------------------------------------------------------------------------------------------------------

create function app.post_fee_run(fee public.fees, from_day date, to_day date, due date, instalment uuid, number integer, charged_on date)
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
declare
  run constant uuid := extensions.uuidv7();
  allocation uuid := case when instalment is not null then app.shared_allocation(fee) end;
  lines app.charge_line[];
  entry uuid;
  whole numeric;
begin
  if allocation is null then
    allocation := app.allocate(fee.community_id, fee.allocation_key_id, case fee.basis when 'total' then fee.amount end, from_day, to_day, case fee.basis when 'rate' then fee.amount end);
  end if;
  lines := app.fee_run_lines(fee, from_day, to_day, instalment, allocation);
  if lines is not null then
    entry := app.post_charges(fee.community_id, fee.fund_id, fee.account_id, 'fee', charged_on, due,
      case
        when instalment is not null then format('%s, %s/%s', fee.name, number, (
          select count(*) from public.fee_instalments i where i.community_id = fee.community_id and i.fee_id = fee.id and i.deleted_at is null))
        when from_day = to_day then format('%s, %s', fee.name, from_day)
        else format('%s, %s – %s', fee.name, from_day, to_day) end,
      lines, 'fee_run', run);
  end if;
  whole := coalesce((select e.total from public.journal_entries e where e.id = entry), 0);
  perform app.check_amount_limit('fees.run', fee.community_id, whole);
  insert into public.fee_runs (id, community_id, fee_id, starts_on, ends_on, instalment_id, charged_on, due_on, allocation_id, journal_entry_id, charge_count, total)
  values (run, fee.community_id, fee.id, from_day, to_day, instalment, post_fee_run.charged_on, due, allocation, entry, coalesce(cardinality(lines), 0), whole);
  perform app.emit('fee.charged', fee.community_id, jsonb_build_object(
    'fee_id', fee.id, 'fee_run_id', run, 'starts_on', from_day, 'ends_on', to_day, 'due_on', due, 'charge_count', coalesce(cardinality(lines), 0), 'total', whole));
  return run;
end;
$$;

comment on function app.post_fee_run(public.fees, date, date, date, uuid, integer, date) is
  'Charges a period of a fee that is locked, and returns the run. Event: fee.charged. Not executable by API roles.';

create function app.run_fee(fee uuid, day date, charged_on date, is_visible boolean)
returns uuid
language plpgsql
volatile
security definer -- posts charges, which nobody may write
set search_path = ''
as $$
declare
  locked constant public.fees := app.locked_fee(fee, 'fees.run', is_visible);
  period record;
  run uuid;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform app.fail(409, 'isolation_refused', 'A fee is charged in a transaction that sees what others have just committed, which this isolation level hides.', 'Use read committed.');
  end if;
  select p.* into period from app.require_fee_period(locked, coalesce(day, app.today_in(locked.community_id))) p;
  select r.id into run from public.fee_runs r
  where r.community_id = locked.community_id and r.fee_id = locked.id and r.status = 'posted' and r.starts_on = period.starts_on and r.instalment_id is not distinct from period.instalment_id;
  if run is not null then
    return run;
  elsif locked.status <> 'active' then
    perform app.fail(409, 'fee_inactive', format('%s is charged no more.', locked.name), 'Set it active again first.');
  elsif exists (
    select from public.fee_runs r
    where r.community_id = locked.community_id and r.fee_id = locked.id and r.status = 'posted' and r.starts_on <= period.ends_on and r.ends_on >= period.starts_on) then
    perform app.fail(409, 'fee_period_charged', format('Days from %s to %s are charged already: the fee came round otherwise then.', period.starts_on, period.ends_on),
      'Reverse that run first, or let the new rule begin with the day after it.');
  end if;
  return app.post_fee_run(locked, period.starts_on, period.ends_on, greatest(period.due_on, run_fee.charged_on), period.instalment_id, period.number, coalesce(run_fee.charged_on, period.starts_on));
end;
$$;

comment on function app.run_fee(uuid, date, date, boolean) is 'What public.run_fee does. Locks the fee, then looks for its runs. Definer: posts charges, which nobody may write.';

create function public.run_fee(fee_id uuid, day date default null, charged_on date default null)
returns uuid
language sql
volatile
set search_path = ''
set statement_timeout = '60s' -- PostgREST takes it over for the whole call, in place of the role's 8 seconds
as $$ select app.run_fee(fee_id, day, charged_on, app.sees_row('fees', fee_id)) $$;

comment on function public.run_fee(uuid, date, date) is
  'Charges a fee for the last of its periods that begins on a day (today by default) or before, all units in one transaction, and returns the run''s id; if it was charged already, that run''s. '
  'charged_on: the day in the books, the first of the period by default. Event: fee.charged. Takes fees.run. '
  'Errors: fee_not_found, permission_denied, fee_not_due, too_far_ahead, amount_above_limit, fee_inactive, fee_period_charged, isolation_refused, those of the allocation (allocation_key_inactive, allocation_input_missing, shares_not_whole, allocation_no_weight, formula_not_evaluated …) '
  'and of the journal (period_closed, before_books, account_inactive …).';

create function app.due_fee_periods(community uuid, day date)
returns table (fee_id uuid, starts_on date, ends_on date, is_overlapped boolean)
language sql
stable
set search_path = ''
as $$
  select f.id, p.starts_on, p.ends_on, c.days is not null
  from public.ledgers l
  join public.fees f on f.community_id = l.community_id
  cross join lateral app.fee_periods(f, greatest(l.opened_on, l.closed_through + 1, day - 400), day) p
  cross join lateral (
    select range_agg(daterange(r.starts_on, r.ends_on, '[]')) as days, bool_or(r.status = 'reversed') as is_reversed
    from public.fee_runs r where r.community_id = f.community_id and r.fee_id = f.id and r.starts_on <= p.ends_on and r.ends_on >= p.starts_on
  ) c
  where l.community_id = community and f.status = 'active' and f.deleted_at is null
    -- Of a rule that was changed a period may have begun in one that is charged, and last longer.
    and (c.days is null or not c.is_reversed and not c.days @> daterange(p.starts_on, p.ends_on, '[]'))
  order by p.starts_on, f.id
$$;

comment on function app.due_fee_periods(uuid, date) is
  'Periods of a community''s active fees that have begun by a day, within the open books and the last 400 days, and were never charged: one whose run was reversed is run again by hand. is_overlapped: some of its days were charged, by the fee''s former rule, and some were not.';

create function app.run_fees(community uuid, day date)
returns table (fee_id uuid, fee_run_id uuid, starts_on date, ends_on date, charge_count integer, total numeric)
language plpgsql
volatile
security definer -- posts charges, which nobody may write
set search_path = ''
as $$
declare
  due record;
  run uuid;
begin
  perform app.require('fees.run', community);
  perform app.check_fee_day(day);
  for due in select d.* from app.due_fee_periods(community, coalesce(day, app.today_in(community))) d loop
    if due.is_overlapped then
      return query select due.fee_id, null::uuid, due.starts_on, due.ends_on, 0, 0::numeric;
      continue;
    end if;
    run := app.run_fee(due.fee_id, due.starts_on, null, true);
    return query select r.fee_id, r.id, r.starts_on, r.ends_on, r.charge_count, r.total from public.fee_runs r where r.id = run;
  end loop;
end;
$$;

comment on function app.run_fees(uuid, date) is 'What public.run_fees does. Definer: posts charges, which nobody may write.';

create function public.run_fees(community_id uuid, day date default null)
returns table (fee_id uuid, fee_run_id uuid, starts_on date, ends_on date, charge_count integer, total numeric)
language sql
volatile
set search_path = ''
as $$ select * from app.run_fees(community_id, day) $$;

comment on function public.run_fees(uuid, date) is
  'Charges all that has become due by a day (today by default): every period of an active fee that has begun, within the open books and the last 400 days, and was never charged. All or nothing; returns the runs. A row without a fee_run_id is of days that nobody was charged for: the fee''s rule was changed in the midst of a period that is charged (fee_period_charged). '
  'What was reversed is run again by run_fee alone. Takes fees.run. Errors: permission_denied, and those of run_fee.';

-- Reversing ----------------------------------------------------------------------------------------------------------

create function app.reverse_fee_run(run uuid, reason text, effective_on date, is_visible boolean)
returns uuid
language plpgsql
volatile
security definer -- posts the reversal, which nobody may write
set search_path = ''
as $$
declare
  present public.fee_runs;
  reversal uuid;
begin
  select r.* into present from public.fee_runs r where r.id = run and is_visible;
  if present.id is null then
    perform app.fail(404, 'fee_run_not_found', 'There is no run with this id.');
  end if;
  perform app.require('fees.run', present.community_id);
  if not coalesce(length(btrim(reason)) between 3 and 500, false) then
    perform app.fail(422, 'reason_required', 'A run is taken back for a reason, of 3 to 500 characters, which the journal keeps.');
  end if;
  perform from public.fees f where f.id = present.fee_id for no key update;
  select r.* into present from public.fee_runs r where r.id = run for no key update;
  if present.status <> 'posted' then
    perform app.fail(409, 'fee_run_reversed', 'This run was taken back already.');
  end if;
  perform app.check_amount_limit('fees.run', present.community_id, present.total);
  if present.journal_entry_id is not null then
    reversal := app.reverse_charges(present.journal_entry_id, coalesce(reverse_fee_run.effective_on, present.charged_on), reason);
  end if;
  update public.fee_runs r set status = 'reversed', reversal_entry_id = reversal, reversal_reason = btrim(reason) where r.id = run;
  perform app.emit('fee.reversed', present.community_id, jsonb_build_object('fee_id', present.fee_id, 'fee_run_id', run, 'reason', btrim(reason)));
  return reversal;
end;
$$;

comment on function app.reverse_fee_run(uuid, text, date, boolean) is 'What public.reverse_fee_run does. Locks the fee, then the run, then its charges. Definer: posts the reversal, which nobody may write.';

create function public.reverse_fee_run(fee_run_id uuid, reason text, effective_on date default null)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.reverse_fee_run(fee_run_id, reason, effective_on, app.sees_row('fee_runs', fee_run_id)) $$;

comment on function public.reverse_fee_run(uuid, text, date) is
  'Takes a run back, whole, on a day (the day it was charged by default), and returns the reversing entry; its period may be run again. Event: fee.reversed. Takes fees.run. '
  'Errors: fee_run_not_found, permission_denied, amount_above_limit, reason_required, fee_run_reversed, charge_adjusted, invalid_period, period_closed.';

grant execute on function
  app.preview_fee_run(uuid, date, boolean), public.preview_fee_run(uuid, date), app.run_fee(uuid, date, date, boolean), public.run_fee(uuid, date, date),
  app.run_fees(uuid, date), public.run_fees(uuid, date), app.reverse_fee_run(uuid, text, date, boolean), public.reverse_fee_run(uuid, text, date)
to authenticated, service_role;

-- By itself ----------------------------------------------------------------------------------------------------------

select app.define_setting('billing.automatic_fees', 'boolean', 'false', '{site,organization,community}',
  'Whether fees are charged by themselves on the day on which a period begins. Otherwise somebody runs them.');

create function app.job_fees()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  due record;
  refused text;
  told text;
begin
  for due in
    select l.community_id, d.fee_id, d.starts_on
    from public.ledgers l
    join public.communities c on c.id = l.community_id and c.deleted_at is null
    cross join lateral app.due_fee_periods(l.community_id, app.today_in(l.community_id)) d
    where app.setting('billing.automatic_fees', l.community_id) = 'true'
    order by l.community_id, d.starts_on, d.fee_id
  loop
    -- What cannot be charged (an area is missing) keeps nobody else's fees from being charged, and is told.
    begin
      perform app.run_fee(due.fee_id, due.starts_on, null, true);
    exception when others then
      get stacked diagnostics refused = message_text, told = pg_exception_detail;
      perform app.emit('fee.failed', due.community_id, jsonb_build_object('fee_id', due.fee_id, 'starts_on', due.starts_on, 'error', refused, 'detail', told));
    end;
  end loop;
end;
$$;

comment on function app.job_fees() is
  'Job fees: charges what has become due where billing.automatic_fees says so; a fee that cannot be charged is told of (event fee.failed) and tried again the next day.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('fees', '35 1,13 * * *', 'app.job_fees()', 'Charges the fees that have become due, where communities want it.');

-- Verifying ----------------------------------------------------------------------------------------------------------

create function app.check_charges(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select e.id, coalesce(c.id, p.id), null::uuid, coalesce(c.subaccount_id, p.debit_subaccount_id),
    case when c.id is null then 'The posting of a charge has no charge.'
      when p.id is null then 'A charge has no posting.'
      else format('A charge of %s is not what its posting of %s says.', c.amount, p.amount) end
  from (select p.* from public.postings p join public.journal_entries k on k.community_id = p.community_id and k.id = p.journal_entry_id and k.kind = 'charge' where p.community_id = community) p
  full join (select c.* from public.charges c where c.community_id = community) c on c.id = p.id
  left join public.journal_entries e on e.id = coalesce(c.journal_entry_id, p.journal_entry_id)
  left join public.subaccounts s on s.id = c.subaccount_id
  where (p.journal_entry_id, p.fund_id, p.decimals, p.effective_on, p.debit_subaccount_id, p.amount, s.unit_id)
    is distinct from (c.journal_entry_id, c.fund_id, c.decimals, c.charged_on, c.subaccount_id, c.amount, c.unit_id)
  union all
  select c.journal_entry_id, c.id, null, c.subaccount_id, format('A charge of %s is explained by an allocation that is not of its unit, or by none that there is.', c.amount)
  from (select x.* from public.charges x where x.community_id = community and x.allocation_line_id is not null) c
  full join (select l.id, l.unit_id from public.allocation_lines l where l.community_id = community) l on l.id = c.allocation_line_id
  where c.id is not null and l.unit_id is distinct from c.unit_id
$$;

comment on function app.check_charges(uuid) is 'For verify_ledger: charges and the postings of entries of charges agree, one to one, and charges with the lines of allocations that explain them.';

create function app.check_fee_runs(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select r.journal_entry_id, null::uuid, null::uuid, null::uuid,
    format('The run %s of %s has %s charges of %s, and says %s of %s.', r.id, r.starts_on, s.many, s.total, r.charge_count, r.total)
  from public.fee_runs r
  cross join lateral (
    select count(*) as many, coalesce(sum(c.amount), 0) as total from public.charges c where c.community_id = r.community_id and c.journal_entry_id = r.journal_entry_id
  ) s
  where r.community_id = community and (s.many, s.total) is distinct from (r.charge_count::bigint, r.total)
  union all
  select r.journal_entry_id, null, null, null, format('The run %s of %s says that it was charged on %s, to be paid by %s, and its charges say otherwise.', r.id, r.starts_on, r.charged_on, r.due_on)
  from public.fee_runs r
  where r.community_id = community and exists (
    select from public.charges c
    where c.community_id = r.community_id and c.journal_entry_id = r.journal_entry_id
      and ((c.charged_on, c.due_on, c.source) <> (r.charged_on, r.due_on, 'fee') or c.starts_on < r.starts_on or c.ends_on > r.ends_on))
  union all
  select r.journal_entry_id, null, null, null, format('The run %s is %s, and its entry is %s.', r.id, r.status, case when v.id is null then 'not reversed' else 'reversed' end)
  from public.fee_runs r
  left join public.journal_entries v on v.community_id = r.community_id and v.reverses_id = r.journal_entry_id
  where r.community_id = community and r.journal_entry_id is not null and (r.reversal_entry_id is distinct from v.id or (r.status = 'reversed') <> (v.id is not null))
$$;

comment on function app.check_fee_runs(uuid) is 'For verify_ledger: the charges of a run make up its number and total, on its days, and a run is reversed exactly when its entry is.';

select app.define_ledger_check('charge_mismatch', 'app.check_charges', 'Every posting of an entry of charges has its charge, with the same amount, account, fund and day, and every charge its posting.');
select app.define_ledger_check('fee_run_mismatch', 'app.check_fee_runs', 'The charges of a run of a fee make up its number and total, on its days, and it is reversed exactly when its entry is.');
select app.define_ledger_document('fee_run', 'public.fee_runs', '{journal_entry_id,reversal_entry_id}');
