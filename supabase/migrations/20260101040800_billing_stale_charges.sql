-- Billing: charges that would not be made so today.
--
-- Purpose     A run of a fee, and an expense that is shared out, charge who is liable by what is known on that day. A sale or a lease that is entered
--             late, with a day that lies before, makes another person liable for days that are charged already. Nothing is charged anew by
--             itself: this names what is to be looked at.
-- RPCs        stale_charges
-- Invariants  What a unit was charged stands; to whom it falls is found by the function that preview and run split it by (app.split_liable): so a
--             run or an expense that nothing came in between names nothing. It writes nothing. All charges are looked at in one pass: a unit
--             that one person owned all the time, and was charged for, needs no more.

create function app.stale_charges(community uuid, from_day date, to_day date)
returns table (
  fee_run_id uuid, fee text, expense_id uuid, expense text, starts_on date, ends_on date, unit_id uuid, unit text, resident_id uuid, full_name text, charged numeric, due_now numeric
)
language plpgsql
stable
security definer -- computes what the caller may not read row by row
set search_path = ''
set jit = off
set work_mem = '64MB'
as $$
#variable_conflict use_column
declare
  last_day constant date := coalesce(to_day, app.today_in(community));
  first_day constant date := coalesce(from_day, (last_day - interval '1 year')::date);
begin
  perform app.require('charges.read', community);
  if not isfinite(first_day) or not isfinite(last_day) or last_day < first_day or last_day - first_day > 3660 then
    perform app.fail(422, 'invalid_period', 'The days are none, or more than ten years.');
  end if;
  return query
    with documents as materialized (
      select r.journal_entry_id as entry_id, r.id as fee_run_id, f.name as fee, null::uuid as expense_id, null::text as expense, r.starts_on, r.ends_on, f.liable, f.is_prorated, f.decimals
      from public.fee_runs r
      join public.fees f on f.community_id = r.community_id and f.id = r.fee_id
      where r.community_id = community and r.status = 'posted' and r.journal_entry_id is not null and r.starts_on <= last_day and r.ends_on >= first_day
      union all
      select e.charge_entry_id, null, null, e.id, e.description, e.starts_on, e.ends_on, c.liable, true, e.decimals
      from public.expenses e
      join public.expense_categories c on c.community_id = e.community_id and c.id = e.category_id
      where e.community_id = community and e.charge_entry_id is not null and e.starts_on <= last_day and e.ends_on >= first_day
    ),
    -- Whoever is the only owner on all of these days, where nobody was appointed to pay and nobody rents, is liable by every rule. Others are looked at more closely.
    range as (select min(d.starts_on) as from_day, max(d.ends_on) as to_day from documents d),
    alone as materialized (
      select p.unit_id, (array_agg(p.resident_id))[1] as resident_id
      from range r
      cross join lateral (
        select o.unit_id, o.resident_id, o.role = 'owner' and o.starts_on <= r.from_day and (o.ends_on is null or o.ends_on >= r.to_day) as is_alone
        from public.occupancies o
        where o.community_id = community and o.role in ('owner', 'tenant') and o.deleted_at is null and o.starts_on <= r.to_day and (o.ends_on is null or o.ends_on >= r.from_day)
        union all
        select p.unit_id, p.resident_id, false
        from public.unit_representatives p
        where p.community_id = community and p.kind = 'payer' and p.deleted_at is null and p.starts_on <= r.to_day and (p.ends_on is null or p.ends_on >= r.from_day)
      ) p
      group by p.unit_id
      having count(*) = 1 and bool_and(p.is_alone)
    ),
    doubtful as materialized (
      -- A full join, here and below, which is never done row by row: while there are no statistics yet, a left one would compare each charge with everybody alone.
      select distinct m.entry_id, m.unit_id
      from (
        select c.entry_id, c.unit_id, a.resident_id = c.resident_id as is_alone
        from (
          select c.journal_entry_id as entry_id, c.unit_id, s.resident_id
          from documents d
          join public.charges c on c.journal_entry_id = d.entry_id and c.community_id = community
          join public.subaccounts s on s.id = c.subaccount_id
        ) c
        full join alone a on a.unit_id = c.unit_id
        offset 0
      ) m
      where m.entry_id is not null and m.is_alone is not true
    ),
    stands as materialized (
      select m.entry_id, m.unit_id, m.resident_id, sum(m.amount) as amount
      from (
        select c.entry_id, c.unit_id, c.resident_id, c.amount, d.entry_id is not null as is_doubtful
        from (
          select c.journal_entry_id as entry_id, c.unit_id, s.resident_id, c.amount
          from (select distinct d.entry_id from doubtful d) d
          join public.charges c on c.journal_entry_id = d.entry_id and c.community_id = community
          join public.subaccounts s on s.id = c.subaccount_id
        ) c
        full join doubtful d on d.entry_id = c.entry_id and d.unit_id = c.unit_id
        offset 0
      ) m
      where m.is_doubtful
      group by m.entry_id, m.unit_id, m.resident_id
    ),
    -- What is for the same days, and falls to people by the same rule, is split in one call.
    whole as (
      select d.starts_on, d.ends_on, d.liable, d.is_prorated, d.decimals, array_agg(w.entry_id order by w.entry_id, w.unit_id) as entries,
        array_agg(w.unit_id order by w.entry_id, w.unit_id) as units, array_agg(w.amount order by w.entry_id, w.unit_id) as amounts
      from (select s.entry_id, s.unit_id, sum(s.amount) as amount from stands s group by s.entry_id, s.unit_id) w
      join documents d on d.entry_id = w.entry_id
      group by d.starts_on, d.ends_on, d.liable, d.is_prorated, d.decimals
    ),
    today as (
      select w.entries[s.place] as entry_id, s.unit_id, s.resident_id, s.amount
      from whole w
      cross join lateral app.split_liable(community, w.starts_on, w.ends_on, w.liable, w.is_prorated, w.decimals, w.units, w.amounts) s
    ),
    -- Who is not known is no one, and matches no one: a join by "is not distinct from" would compare all with all.
    compared as (
      select c.entry_id, c.unit_id, c.resident_id, sum(c.charged) as charged, sum(c.due_now) as due_now
      from (
        select s.entry_id, s.unit_id, s.resident_id, s.amount as charged, 0::numeric as due_now from stands s
        union all
        select t.entry_id, t.unit_id, t.resident_id, 0, t.amount from today t
      ) c
      group by c.entry_id, c.unit_id, c.resident_id
      having sum(c.charged) <> sum(c.due_now)
    )
    select d.fee_run_id, d.fee, d.expense_id, d.expense, d.starts_on, d.ends_on, c.unit_id, concat_ws(' / ', b.name, u.number), c.resident_id, p.full_name, round(c.charged, d.decimals), round(c.due_now, d.decimals)
    from compared c
    join documents d on d.entry_id = c.entry_id
    join public.units u on u.community_id = community and u.id = c.unit_id
    left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
    left join public.residents p on p.community_id = community and p.id = c.resident_id
    order by d.starts_on, d.fee_run_id, d.expense_id, b.name, u.number, c.charged = 0, p.full_name;
end;
$$;

comment on function app.stale_charges(uuid, date, date) is 'What public.stale_charges does. Definer: computes what the caller may not read row by row.';

create function public.stale_charges(community_id uuid, from_day date default null, to_day date default null)
returns table (
  fee_run_id uuid, fee text, expense_id uuid, expense text, starts_on date, ends_on date, unit_id uuid, unit text, resident_id uuid, full_name text, charged numeric, due_now numeric
)
language sql
stable
set search_path = ''
set statement_timeout = '60s' -- PostgREST takes it over for the whole call, in place of the role's 8 seconds
as $$ select * from app.stale_charges(community_id, from_day, to_day) $$;

comment on function public.stale_charges(uuid, date, date) is
  'Whom fee runs, and expenses that were shared out, of some days (a year back from today by default) charged otherwise than they would today, because a sale, a lease or who pays was entered later, or whom the fee or the category makes liable was changed: '
  'per run or expense, unit and person, what was charged and what would be; due_now 0: not liable any more; charged 0: liable, and not charged. What was taken back is left out; adjustments do not count. Writes nothing; to put it right, reverse the run and '
  'run it again (or take the charges of the expense back and share it out again), or adjust the charge. Takes charges.read. Errors: permission_denied, invalid_period.';

grant execute on function app.stale_charges(uuid, date, date), public.stale_charges(uuid, date, date) to authenticated, service_role;
