-- Billing: charges that a fee run would not make so today.
--
-- Purpose     A run charges who is liable by what is known on its day. A sale or a lease that is entered late, with a day that lies before, makes
--             another person liable for days that are charged already. Nothing is charged anew by itself: this names what is to be looked at.
-- RPCs        stale_charges
-- Invariants  What it compares with is made by the function that previews and runs (app.fee_run_rows), from the shares that the run kept: so a
--             run that nothing came in between names nothing. It writes nothing.

create function app.stale_charges(community uuid, from_day date, to_day date)
returns table (
  fee_run_id uuid, fee text, starts_on date, ends_on date, unit_id uuid, unit text, resident_id uuid, full_name text, charged numeric, due_now numeric
)
language plpgsql
stable
security definer -- computes what the caller may not read row by row
set search_path = ''
set work_mem = '64MB'
as $$
#variable_conflict use_column
declare
  last_day constant date := coalesce(to_day, app.today_in(community));
  first_day constant date := coalesce(from_day, (last_day - interval '1 year')::date);
  run record;
begin
  perform app.require('charges.read', community);
  if last_day < first_day or last_day - first_day > 3660 then
    perform app.fail(422, 'invalid_period', 'The days are none, or more than ten years.');
  end if;
  for run in
    select r.id, r.starts_on, r.ends_on, r.instalment_id, r.allocation_id, r.journal_entry_id, f as fee
    from public.fee_runs r
    join public.fees f on f.community_id = r.community_id and f.id = r.fee_id
    where r.community_id = community and r.status = 'posted' and r.starts_on <= last_day and r.ends_on >= first_day
    order by r.starts_on, r.id
  loop
    return query
      with stands as (
        select c.unit_id, s.resident_id, sum(c.amount) as amount
        from public.charges c
        join public.subaccounts s on s.id = c.subaccount_id
        where c.journal_entry_id = run.journal_entry_id and c.community_id = community
        group by c.unit_id, s.resident_id
      ),
      today as (
        select w.unit_id, w.resident_id, sum(w.amount) as amount
        from app.fee_run_rows(run.fee, run.starts_on, run.ends_on, run.instalment_id, run.allocation_id) w
        group by w.unit_id, w.resident_id
      ),
      -- Who is not known is no one, and matches no one: a join by "is not distinct from" would compare all with all.
      compared as (
        select d.unit_id, d.resident_id, sum(d.charged) as charged, sum(d.due_now) as due_now
        from (
          select s.unit_id, s.resident_id, s.amount as charged, 0::numeric as due_now from stands s
          union all
          select t.unit_id, t.resident_id, 0, t.amount from today t
        ) d
        group by d.unit_id, d.resident_id
        having sum(d.charged) <> sum(d.due_now)
      )
      select run.id, (run.fee).name, run.starts_on, run.ends_on, d.unit_id, concat_ws(' / ', b.name, u.number), d.resident_id, p.full_name,
        round(d.charged, (run.fee).decimals), round(d.due_now, (run.fee).decimals)
      from compared d
      join public.units u on u.community_id = community and u.id = d.unit_id
      left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
      left join public.residents p on p.community_id = community and p.id = d.resident_id
      order by b.name, u.number, d.charged = 0, p.full_name;
  end loop;
end;
$$;

comment on function app.stale_charges(uuid, date, date) is 'What public.stale_charges does. Definer: computes what the caller may not read row by row.';

create function public.stale_charges(community_id uuid, from_day date default null, to_day date default null)
returns table (
  fee_run_id uuid, fee text, starts_on date, ends_on date, unit_id uuid, unit text, resident_id uuid, full_name text, charged numeric, due_now numeric
)
language sql
stable
set search_path = ''
set statement_timeout = '60s' -- PostgREST takes it over for the whole call, in place of the role's 8 seconds
as $$ select * from app.stale_charges(community_id, from_day, to_day) $$;

comment on function public.stale_charges(uuid, date, date) is
  'Whom fee runs of some days (a year back from today by default) charged otherwise than they would today, because a sale, a lease or who pays was entered later, or the fee was changed: per run, unit and person, what was charged '
  'and what would be; due_now 0: not liable any more; charged 0: liable, and not charged. Reversed runs are left out; adjustments do not count. Writes nothing; to put it right, reverse the run and run it again, or adjust the charge. '
  'Takes charges.read. Errors: permission_denied, invalid_period.';

grant execute on function app.stale_charges(uuid, date, date), public.stale_charges(uuid, date, date) to authenticated, service_role;
