-- Ledger: what was moved by hand.
--
-- Purpose     What people owe and what the bank holds is moved by documents, which have numbers, reasons and permissions of their own. An entry by
--             hand has none: that money came which it says came, only the bank's statement knows. This lists such entries, with who, when and
--             why, for whoever compares; and what deserves a look is listed every night beside what is wrong (ledger_findings, is_fault false).
-- RPCs        movements_by_hand
-- Invariants  By hand is what no document posted: entries of kind manual, openings that change what was posted, and what takes such entries back.
--             It reads the journal alone, and writes nothing. Who may post what stands in topic receivables.

create type public.hand_movement as enum ('received', 'applied', 'owed_less', 'taken_out');

comment on type public.hand_movement is
  'received: money is said to have come for somebody. applied: what was held paid for something. owed_less: somebody owes less, or is owed more, and no money came. taken_out: money left bank or cash.';

create function app.hand_postings(community uuid, from_day date default '-infinity', to_day date default 'infinity')
returns table (
  entry_id uuid, posting_id uuid, movement public.hand_movement, effective_on date, booked_at timestamptz, amount numeric, fund_id uuid,
  money_account_id uuid, other_account_id uuid, subaccount_id uuid, reversed_on date
)
language sql
stable
set search_path = ''
as $$
  with entries as materialized (
    select e.id, e.kind, e.effective_on, e.booked_at, r.effective_on as reversed_on
    from public.journal_entries e
    left join public.journal_entries r on r.community_id = e.community_id and r.reverses_id = e.id
    where e.community_id = community and e.effective_on between from_day and to_day and e.document_kind is null and e.kind in ('manual', 'opening', 'reversal')
  ),
  moves as (
    select e.id, p.id as posting_id, e.kind, e.effective_on, e.booked_at, e.reversed_on, p.amount, p.fund_id, p.debit_account_id, p.credit_account_id, p.debit_subaccount_id, p.credit_subaccount_id,
      d.purpose in ('bank', 'cash') as is_in, c.purpose in ('bank', 'cash') as is_out, d.purpose in ('suspense', 'prepayment', 'deposits_held') as is_held,
      c.purpose in ('receivable', 'deposits_held', 'suspense', 'prepayment') as gives, c.purpose = 'receivable' as is_owed, d.purpose = 'opening_balance' as is_opening
    from entries e
    join public.postings p on p.journal_entry_id = e.id
    join public.accounts d on d.id = p.debit_account_id
    join public.accounts c on c.id = p.credit_account_id
  ),
  told as (
    select m.*, case
      when m.gives and m.is_in then 'received'
      when m.is_out and not m.is_in then 'taken_out'
      when m.is_owed and m.is_held then 'applied'
      -- What a first list of opening balances says was paid in advance, was; what a later one lowers is another matter.
      when m.is_owed and m.kind = 'opening' and not exists (
        select from public.postings b join public.journal_entries o on o.id = b.journal_entry_id and o.kind = 'opening'
        where b.debit_subaccount_id = m.credit_subaccount_id and (o.booked_at, o.id) < (m.booked_at, m.id)) then null
      when m.is_owed then 'owed_less' end::public.hand_movement as movement
    from moves m
    where (m.gives or m.is_out) and not (m.kind = 'opening' and not m.is_owed)
  )
  select t.id, t.posting_id, t.movement, t.effective_on, t.booked_at, t.amount, t.fund_id,
    case t.movement when 'received' then t.debit_account_id when 'taken_out' then t.credit_account_id end,
    case when t.movement in ('applied', 'owed_less', 'taken_out') then t.debit_account_id else t.credit_account_id end,
    case when t.movement = 'taken_out' then t.debit_subaccount_id else t.credit_subaccount_id end, t.reversed_on
  from told t
  where t.movement is not null
$$;

comment on function app.hand_postings(uuid, date, date) is
  'The postings by hand, of these days, that move what people owe, what is held for them, or bank and cash: which, of whom (subaccount; of taken_out: whose account was debited), between which accounts, and when their entry was taken back. Not executable by API roles.';

-- Of equal amounts, within a month, and not the same person's: what bounced, or was entered anew, explains itself.
create function app.hand_pairs(community uuid, from_day date default '-infinity', to_day date default 'infinity')
returns table (posting_id uuid, entry_id uuid, subaccount_id uuid, amount numeric, effective_on date, out_entry_id uuid, out_account_id uuid, out_on date)
language sql
stable
set search_path = ''
as $$
  with moves as materialized (
    select h.* from app.hand_postings(community, from_day - 31, to_day + 31) h where h.reversed_on is null
  )
  select distinct on (i.posting_id) i.posting_id, i.entry_id, i.subaccount_id, i.amount, i.effective_on, o.entry_id, o.other_account_id, o.effective_on
  from moves i
  join moves o on o.movement = 'taken_out' and o.amount = i.amount and o.effective_on between i.effective_on - 31 and i.effective_on + 31
    and (o.subaccount_id = i.subaccount_id) is not true
  where i.movement = 'received' and i.effective_on between from_day and to_day
  order by i.posting_id, abs(o.effective_on - i.effective_on), o.posting_id
$$;

comment on function app.hand_pairs(uuid, date, date) is
  'What is said by hand to have been received on these days, and for which an entry by hand took as much out of bank or cash within 31 days: together they let somebody owe less, and the bank''s statement would show neither. Not executable by API roles.';

create function app.movements_by_hand(community uuid, from_day date, to_day date)
returns table (
  entry_id uuid, posting_id uuid, movement public.hand_movement, effective_on date, booked_at timestamptz, amount numeric, fund text, account text, unit text, full_name text,
  description text, booked_by uuid, booked_by_name text, booked_as text, reversed_on date, paired_entry_id uuid, unit_id uuid, resident_id uuid, subaccount_id uuid
)
language plpgsql
stable
security definer -- names who posted, whose profile the caller may not read
set search_path = ''
set jit = off
set work_mem = '64MB'
as $$
declare
  last_day constant date := coalesce(to_day, app.today_in(community));
  first_day constant date := coalesce(from_day, (last_day - interval '1 year')::date);
begin
  perform app.require('ledger.read', community);
  if last_day < first_day or (last_day > date '2999-12-31' and isfinite(last_day)) or (first_day < date '1900-01-01' and isfinite(first_day)) then
    perform app.fail(422, 'invalid_period', 'from_day: not after to_day.');
  end if;
  return query
    select h.entry_id, h.posting_id, h.movement, h.effective_on, h.booked_at, h.amount, f.name, concat_ws(' ', a.code, a.name), concat_ws(' / ', b.name, u.number), r.full_name,
      e.description, e.booked_by, w.display_name, e.booked_as, h.reversed_on, k.out_entry_id, s.unit_id, s.resident_id, s.id
    from app.hand_postings(community, first_day, last_day) h
    join public.journal_entries e on e.id = h.entry_id
    join public.funds f on f.id = h.fund_id
    join public.accounts a on a.id = coalesce(case when h.movement = 'received' then h.money_account_id end, h.other_account_id)
    left join public.subaccounts s on s.id = h.subaccount_id
    left join public.units u on u.id = s.unit_id
    left join public.buildings b on b.id = u.building_id
    left join public.residents r on r.id = s.resident_id
    left join public.profiles w on w.id = e.booked_by
    left join app.hand_pairs(community, first_day, last_day) k on k.posting_id = h.posting_id
    order by h.effective_on desc, h.booked_at desc, h.posting_id;
end;
$$;

comment on function app.movements_by_hand(uuid, date, date) is 'What public.movements_by_hand does. Definer: names who posted, whose profile the caller may not read.';

create function public.movements_by_hand(community_id uuid, from_day date default null, to_day date default null)
returns table (
  entry_id uuid, posting_id uuid, movement public.hand_movement, effective_on date, booked_at timestamptz, amount numeric, fund text, account text, unit text, full_name text,
  description text, booked_by uuid, booked_by_name text, booked_as text, reversed_on date, paired_entry_id uuid, unit_id uuid, resident_id uuid, subaccount_id uuid
)
language sql
stable
set search_path = ''
set statement_timeout = '60s' -- PostgREST takes it over for the whole call, in place of the role's 8 seconds
as $$ select * from app.movements_by_hand(community_id, from_day, to_day) $$;

comment on function public.movements_by_hand(uuid, date, date) is
  'What entries by hand moved, from a day to a day (the last year by default), newest first: received (money is said to have come for somebody), applied (what was held paid for it), owed_less (somebody owes less, and no money came), '
  'taken_out (money left bank or cash). With whom it is about, the account on the other side, who posted it, when and why, and when it was taken back. paired_entry_id: an entry by hand that took as much out within 31 days as this one says was received. '
  'Takes ledger.read. Errors: permission_denied, invalid_period.';

grant execute on function app.movements_by_hand(uuid, date, date), public.movements_by_hand(uuid, date, date) to authenticated, service_role;

-- Every night --------------------------------------------------------------------------------------------------------

create function app.notice_owed_less(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select h.entry_id, h.posting_id, h.other_account_id, h.subaccount_id, format('By an entry by hand %s less is owed, out of %s %s: no money came, and no document says why.', h.amount, a.code, a.name)
  from app.hand_postings(community) h
  join public.accounts a on a.id = h.other_account_id
  where h.movement = 'owed_less' and h.reversed_on is null
$$;

comment on function app.notice_owed_less(uuid) is 'For the nightly verification: entries by hand by which somebody owes less, without money.';

create function app.notice_taken_out(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select k.entry_id, k.posting_id, k.out_account_id, k.subaccount_id, format('By an entry by hand %s was received on %s; by another one, as much was taken out on %s for %s %s.', k.amount, k.effective_on, k.out_on, a.code, a.name)
  from app.hand_pairs(community) k
  join public.accounts a on a.id = k.out_account_id
$$;

comment on function app.notice_taken_out(uuid) is 'For the nightly verification: what entries by hand say was received, and others took out again.';

select app.define_ledger_check('owed_less_by_hand', 'app.notice_owed_less', 'By an entry by hand somebody owes less, and no money came.', is_fault => false);
select app.define_ledger_check('received_and_taken_out', 'app.notice_taken_out', 'What an entry by hand says was received, another one by hand took out.', is_fault => false);
