-- Billing: credit notes, waivers and write-offs.
--
-- Purpose     The documents by which what was charged is owed no longer, or in part.
-- Tables      adjustments
-- RPCs        adjust_charge, reverse_adjustment
-- Invariants  An adjustment names its charge, a reason, and the entry that it posted; it has a number without gaps. All that stand against a
--             charge come to no more than the charge. It is never changed: a mistake is reversed, with a reason, by an entry of its own.
--             credit_note: the charge was wrong, income is taken back. waiver: it was right and is forgiven. write_off: it will not be paid.
--
-- Locks: the charge first, then what posting takes.

create type public.adjustment_kind as enum ('credit_note', 'waiver', 'write_off');
create type public.adjustment_status as enum ('posted', 'reversed');

select app.define_permission('charges.adjust', 'community', 'Post and reverse credit notes and waivers', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor,
  community/admin, community/manager, community/accountant}');
select app.define_permission('charges.write_off', 'community', 'Write off what will not be paid, and take that back', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');

create table public.adjustments (
  id uuid not null default extensions.uuidv7(),
  number bigint not null,
  community_id uuid not null,
  kind public.adjustment_kind not null,
  charge_id uuid not null,
  amount numeric not null,
  decimals smallint not null,
  effective_on date not null,
  reason text not null,
  journal_entry_id uuid not null,
  status public.adjustment_status not null default 'posted',
  reversal_reason text,
  reversal_entry_id uuid,
  idempotency_key text,
  like app.row_model including defaults including comments,
  constraint adjustments_pkey primary key (id),
  constraint adjustments_community_id_key unique (community_id, id),
  constraint adjustments_number_key unique (community_id, kind, number),
  constraint adjustments_idempotency_key unique (community_id, idempotency_key),
  constraint adjustments_ledger_fkey foreign key (community_id, decimals) references public.ledgers (community_id, decimals) on delete restrict,
  constraint adjustments_charge_fkey foreign key (charge_id, community_id) references public.charges (id, community_id) on delete restrict,
  constraint adjustments_journal_entry_fkey foreign key (community_id, journal_entry_id) references public.journal_entries (community_id, id) on delete restrict,
  constraint adjustments_reversal_entry_fkey foreign key (community_id, reversal_entry_id) references public.journal_entries (community_id, id) on delete restrict,
  constraint adjustments_deleted_at_check check (deleted_at is null),
  constraint adjustments_number_check check (number > 0),
  constraint adjustments_amount_check check (amount > 0 and amount = round(amount, decimals)),
  constraint adjustments_reason_check check (length(btrim(reason)) between 3 and 1000),
  constraint adjustments_reversal_reason_check check (length(btrim(reversal_reason)) between 3 and 1000),
  constraint adjustments_reversal_check check ((status = 'reversed') = (reversal_entry_id is not null) and (reversal_entry_id is null) = (reversal_reason is null)),
  constraint adjustments_idempotency_key_check check (length(idempotency_key) between 1 and 200)
);

create index adjustments_ledger_idx on public.adjustments (community_id, decimals);
create index adjustments_charge_idx on public.adjustments (charge_id, community_id);
create index adjustments_journal_entry_idx on public.adjustments (community_id, journal_entry_id);
create index adjustments_reversal_entry_idx on public.adjustments (community_id, reversal_entry_id) where reversal_entry_id is not null;

comment on table public.adjustments is 'Credit notes, waivers and write-offs. Posted by adjust_charge, taken back by reverse_adjustment, never changed.';
comment on column public.adjustments.number is 'Its number: 1, 2, 3 … without a gap, in each community and kind.';
comment on column public.adjustments.kind is 'credit_note (the charge was wrong), waiver (it is forgiven), write_off (it will not be paid).';
comment on column public.adjustments.charge_id is 'The charge it lowers.';
comment on column public.adjustments.amount is 'By how much; in the community''s currency.';
comment on column public.adjustments.decimals is 'The decimals of the community''s currency.';
comment on column public.adjustments.effective_on is 'The day as of which it counts; not before the charge''s.';
comment on column public.adjustments.reason is 'Why. Whoever owes the charge reads it.';
comment on column public.adjustments.journal_entry_id is 'The entry it posted.';
comment on column public.adjustments.status is 'posted, or reversed.';
comment on column public.adjustments.reversal_reason is 'Why it was taken back.';
comment on column public.adjustments.reversal_entry_id is 'The entry that took it back.';
comment on column public.adjustments.idempotency_key is 'The caller''s own name for the request: asked for again, it is not posted again.';

select app.track('public.adjustments');
select app.register_personal_data('public.adjustments', 'charge_id', 'parent', parent => 'public.charges',
  kept_because => 'Why something is not owed is kept as long as the books are; whoever posts it names nobody in the reason.');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.adjustments', null, 'posted', null, 'Post it'),
  ('public.adjustments', 'posted', 'reversed', null, 'Take it back');

select app.state_machine('public.adjustments', 'status');

-- Who sees them ------------------------------------------------------------------------------------------------------

create function app.my_adjustments()
returns setof uuid
language plpgsql
stable
security definer -- finds the caller's own charges before any policy on them is decided
set search_path = ''
as $$
begin
  return query
    select a.id
    from app.my_subaccounts() m
    join public.subaccounts s on s.id = m
    join public.charges c on c.community_id = s.community_id and c.subaccount_id = s.id
    join public.adjustments a on a.community_id = c.community_id and a.charge_id = c.id;
end;
$$;

comment on function app.my_adjustments() is 'The adjustments of what the caller was charged. Definer: finds the caller''s own charges before any policy on them is decided.';

grant execute on function app.my_adjustments() to authenticated;

create policy adjustments_select on public.adjustments for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (
      (select 'charges.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('charges.read'))
      or id in (select app.my_adjustments())
    )
  );

grant select on public.adjustments to authenticated;
grant select, insert, update on public.adjustments to service_role;

-- What holds them together -------------------------------------------------------------------------------------------

create function app.charge_open(community uuid, charge uuid)
returns numeric
language sql
stable
set search_path = ''
return (
  select c.amount - coalesce((
    -- Only the charge is compared by what an index can look up: while there are no statistics yet, one of the community could be taken, which is all of them.
    select sum(a.amount) from public.adjustments a
    where a.charge_id = charge and a.community_id is not distinct from community and a.status = 'posted' and a.deleted_at is null), 0)
  from public.charges c
  where c.community_id = community and c.id = charge);

comment on function app.charge_open(uuid, uuid) is 'What is left of a charge after its adjustments, whatever was paid. Null: no such charge. Sees what its caller sees.';

create function app.tg_adjustments__within_charge()
returns trigger
language plpgsql
security definer -- locks and adds up what the writer may be unable to see
set search_path = ''
as $$
declare
  charged public.charges;
  open_amount numeric;
begin
  select c.* into charged from public.charges c where c.community_id = new.community_id and c.id = new.charge_id for no key update;
  open_amount := app.charge_open(new.community_id, new.charge_id);
  if open_amount < 0 then
    perform app.fail(422, 'adjustment_exceeds', format('Of the charge, %s may still be adjusted.', new.amount + open_amount),
      'Post a smaller amount, or leave it out for all that is left.');
  elsif new.effective_on < charged.charged_on then
    perform app.fail(422, 'invalid_value', format('effective_on: the charge is of %s, and is not adjusted before.', charged.charged_on));
  end if;
  return null;
end;
$$;

comment on function app.tg_adjustments__within_charge() is
  'AFTER INSERT: what stands against a charge is no more than the charge (422 adjustment_exceeds), and not before it (422 invalid_value). Locks the charge, so that two at once wait for each other. '
  'Definer: locks and adds up what the writer may be unable to see.';

create trigger _400_within_charge after insert on public.adjustments for each row execute function app.tg_adjustments__within_charge();

create function app.adjustment_differs(adjustment public.adjustments)
returns text
language sql
stable
security definer -- compares with charges and the journal, whoever may see them
set search_path = ''
return (
  select case
    when c.id is null then 'no charge'
    when p.id is null then 'no posting'
    when (e.kind, e.document_kind, e.document_id) is distinct from ('adjustment'::public.entry_kind, 'adjustment'::text, adjustment.id) then 'its entry is of another document, or of another kind'
    when p.amount <> adjustment.amount or e.posting_count <> 1 then format('%s in the document, %s in the ledger', adjustment.amount, e.total)
    when e.effective_on <> adjustment.effective_on then format('%s in the document, %s in the ledger', adjustment.effective_on, e.effective_on)
    when p.credit_subaccount_id is distinct from c.subaccount_id then 'credits another account than the charge''s'
    when case adjustment.kind when 'credit_note' then p.debit_account_id <> o.credit_account_id when 'waiver' then d.purpose <> 'waiver_expense' else d.purpose <> 'bad_debt_expense' end
      then 'debits another account than one of its kind'
    when r.id is distinct from adjustment.reversal_entry_id then 'its reversal is another entry'
  end
  from (select) x
  left join public.charges c on c.community_id = adjustment.community_id and c.id = adjustment.charge_id
  left join public.postings o on o.community_id = adjustment.community_id and o.id = adjustment.charge_id
  left join public.journal_entries e on e.community_id = adjustment.community_id and e.id = adjustment.journal_entry_id
  left join public.postings p on p.community_id = adjustment.community_id and p.journal_entry_id = adjustment.journal_entry_id
  left join public.accounts d on d.id = p.debit_account_id
  left join public.journal_entries r on r.community_id = adjustment.community_id and r.reverses_id = adjustment.journal_entry_id
  order by p.id
  limit 1);

comment on function app.adjustment_differs(public.adjustments) is
  'What an adjustment says and its charge or its entries do not; null: they agree. Not executable by API roles. Definer: compares with charges and the journal, whoever may see them.';

create function app.tg_adjustments__agrees()
returns trigger
language plpgsql
security definer -- compares with charges and the journal, whoever may see them
set search_path = ''
as $$
declare
  wrong constant text := app.adjustment_differs(new);
begin
  if wrong is not null then
    perform app.fail(422, 'adjustment_mismatch', format('The adjustment is not what its charge and its entries say: %s.', wrong), 'adjust_charge and reverse_adjustment post and name both.');
  end if;
  return null;
end;
$$;

comment on function app.tg_adjustments__agrees() is
  'AFTER INSERT, and when it is taken back: an adjustment names the entry that it posted, of its amount and day, between the charge''s account and one of its kind, and the entry that took it back (422 adjustment_mismatch), whoever writes. '
  'Definer: compares with charges and the journal, whoever may see them.';

create trigger _500_agrees after insert on public.adjustments for each row execute function app.tg_adjustments__agrees();
create trigger _500_agrees_reversed after update of status, reversal_entry_id on public.adjustments for each row execute function app.tg_adjustments__agrees();

-- What was taken back has no step left (app.state_machine), and nothing else changes.
create trigger _010_frozen_content
  before update of number, kind, charge_id, amount, decimals, effective_on, reason, journal_entry_id, idempotency_key on public.adjustments for each row
  when ((old.number, old.kind, old.charge_id, old.amount, old.decimals, old.effective_on, old.reason, old.journal_entry_id, old.idempotency_key)
    is distinct from (new.number, new.kind, new.charge_id, new.amount, new.decimals, new.effective_on, new.reason, new.journal_entry_id, new.idempotency_key))
  execute function app.tg__frozen('What an adjustment says');
create trigger _010_frozen_reversal before update of reversal_reason, reversal_entry_id on public.adjustments for each row
  when (old.status = 'reversed' and (old.reversal_reason, old.reversal_entry_id) is distinct from (new.reversal_reason, new.reversal_entry_id))
  execute function app.tg__frozen('How an adjustment was taken back');

-- Posting ------------------------------------------------------------------------------------------------------------

create function app.adjustment_permission(kind public.adjustment_kind)
returns text
language sql
immutable
set search_path = ''
return case when kind = 'write_off' then 'charges.write_off' else 'charges.adjust' end;

comment on function app.adjustment_permission(public.adjustment_kind) is 'What posting and reversing an adjustment of this kind takes.';

create function app.adjust_charge(
  charge uuid, kind public.adjustment_kind, amount numeric, reason text, effective_on date, idempotency_key text, is_visible boolean
)
returns uuid
language plpgsql
volatile
security definer -- posts to the ledger, which API roles may not
set search_path = ''
as $$
declare
  charged public.charges;
  earlier public.adjustments;
  posted constant uuid := extensions.uuidv7();
  books public.ledgers;
  source public.postings;
  debited uuid;
  wanted numeric := adjust_charge.amount;
  day date;
  entry uuid;
  refused text;
begin
  if is_visible then
    select c.* into charged from public.charges c where c.id = charge for no key update;
  end if;
  if charged.id is null then
    perform app.fail(404, 'charge_not_found', 'There is no charge with this id.');
  elsif adjust_charge.kind is null then
    perform app.fail(422, 'invalid_value', 'kind: credit_note, waiver or write_off.');
  end if;
  perform app.require(app.adjustment_permission(adjust_charge.kind), charged.community_id);

  select a.* into earlier
  from public.adjustments a
  where a.community_id = charged.community_id and a.idempotency_key = adjust_charge.idempotency_key;
  if found then
    if (earlier.charge_id, earlier.kind, earlier.reason) is distinct from (charged.id, adjust_charge.kind, btrim(adjust_charge.reason))
      or earlier.amount <> coalesce(wanted, earlier.amount) or earlier.effective_on <> coalesce(adjust_charge.effective_on, earlier.effective_on)
    then
      perform app.fail(409, 'idempotency_conflict', 'Something else was posted under this idempotency_key.', 'Use a new key for a new request.');
    end if;
    return earlier.id;
  elsif exists (
    select from public.journal_entries e where e.community_id = charged.community_id and e.reverses_id = charged.journal_entry_id)
  then
    perform app.fail(409, 'charge_reversed', 'The charge was taken back, and nothing is owed of it.');
  end if;

  select l.* into books from public.ledgers l where l.community_id = charged.community_id;
  select p.* into source from public.postings p where p.id = charged.id;
  wanted := coalesce(wanted, app.charge_open(charged.community_id, charged.id));
  day := coalesce(adjust_charge.effective_on, greatest(charged.charged_on, app.today_in(charged.community_id)));
  if wanted <= 0 or wanted <> round(wanted, books.decimals) or wanted in ('NaN', 'Infinity') then
    perform app.fail(422, case when adjust_charge.amount is null then 'adjustment_exceeds' else 'invalid_amount' end,
      case when adjust_charge.amount is null then 'Nothing of the charge is left to adjust.' else format('amount: above 0, with at most %s decimals.', books.decimals) end);
  elsif length(btrim(coalesce(adjust_charge.reason, ''))) < 3 then
    perform app.fail(422, 'invalid_value', 'reason: why the charge is adjusted, in 3 to 1000 characters.');
  end if;
  perform app.check_amount_limit(app.adjustment_permission(adjust_charge.kind), charged.community_id, wanted);
  debited := case adjust_charge.kind
    when 'credit_note' then source.credit_account_id
    when 'waiver' then app.account_for(charged.community_id, source.fund_id, 'waiver_expense')
    else app.account_for(charged.community_id, source.fund_id, 'bad_debt_expense') end;

  entry := app.post_entry(
    charged.community_id, 'adjustment', day, left(concat_ws(': ', initcap(replace(adjust_charge.kind::text, '_', ' ')), charged.description), 500),
    array[row(source.fund_id, debited, null, source.debit_account_id, source.debit_subaccount_id, wanted, null)::app.posting_line],
    document_kind => 'adjustment', document_id => posted);
  insert into public.adjustments (id, number, community_id, kind, charge_id, amount, decimals, effective_on, reason, journal_entry_id, idempotency_key)
  values (
    posted, app.next_number(charged.community_id, adjust_charge.kind::text), charged.community_id, adjust_charge.kind, charged.id, wanted, books.decimals, day,
    btrim(adjust_charge.reason), entry, adjust_charge.idempotency_key);
  return posted;
exception
  when unique_violation then
    get stacked diagnostics refused = constraint_name;
    if refused <> 'adjustments_idempotency_key' then
      raise;
    end if;
    perform app.fail(409, 'idempotency_conflict', 'Something else was posted under this idempotency_key.', 'Use a new key for a new request.');
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    if refused not like 'adjustments_%' then
      perform app.fail_posting(refused);
    end if;
    perform app.fail_check('adjustments', refused);
end;
$$;

comment on function app.adjust_charge(uuid, public.adjustment_kind, numeric, text, date, text, boolean) is
  'What public.adjust_charge does. Definer: posts to the ledger, which API roles may not.';

create function public.adjust_charge(
  charge_id uuid, kind public.adjustment_kind, reason text, amount numeric default null, effective_on date default null, idempotency_key text default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.adjust_charge(charge_id, kind, amount, reason, effective_on, idempotency_key, app.sees_row('charges', charge_id)) $$;

comment on function public.adjust_charge(uuid, public.adjustment_kind, text, numeric, date, text) is
  'Posts a credit note, a waiver (both take charges.adjust) or a write-off (charges.write_off) against a charge, and returns its id. amount: in the community''s currency; left out, all that is left of the charge. '
  'effective_on: today by default, not before the charge. The same idempotency_key again: the same id, and nothing is posted. '
  'Errors: charge_not_found, permission_denied, amount_above_limit, charge_reversed, adjustment_exceeds, invalid_amount, invalid_value, period_closed, account_missing, idempotency_conflict.';

create function app.reverse_adjustment(adjustment uuid, reason text, effective_on date, is_visible boolean)
returns uuid
language plpgsql
volatile
security definer -- posts to the ledger, which API roles may not
set search_path = ''
as $$
declare
  present public.adjustments;
  entry uuid;
  refused text;
begin
  if is_visible then
    -- The charge first: posting an adjustment locks in this order too.
    perform from public.charges c join public.adjustments a on a.community_id = c.community_id and a.charge_id = c.id where a.id = adjustment for no key update of c;
    select a.* into present from public.adjustments a where a.id = adjustment and a.deleted_at is null for no key update;
  end if;
  if present.id is null then
    perform app.fail(404, 'adjustment_not_found', 'There is no adjustment with this id.');
  end if;
  perform app.require(app.adjustment_permission(present.kind), present.community_id);
  if present.status = 'reversed' then
    perform app.fail(409, 'adjustment_reversed', 'The adjustment was taken back already.');
  elsif length(btrim(coalesce(reverse_adjustment.reason, ''))) < 3 then
    perform app.fail(422, 'invalid_value', 'reason: why it is taken back, in 3 to 1000 characters.');
  end if;
  entry := app.reverse_entry(
    present.journal_entry_id, app.reversal_day(present.journal_entry_id, reverse_adjustment.effective_on), left(btrim(reverse_adjustment.reason), 500));
  update public.adjustments a set status = 'reversed', reversal_reason = btrim(reverse_adjustment.reason), reversal_entry_id = entry where a.id = present.id;
  return entry;
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    if refused not like 'adjustments_%' then
      perform app.fail_posting(refused);
    end if;
    perform app.fail_check('adjustments', refused);
end;
$$;

comment on function app.reverse_adjustment(uuid, text, date, boolean) is 'What public.reverse_adjustment does. Definer: posts to the ledger, which API roles may not.';

create function public.reverse_adjustment(adjustment_id uuid, reason text, effective_on date default null)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.reverse_adjustment(adjustment_id, reason, effective_on, app.sees_row('adjustments', adjustment_id)) $$;

comment on function public.reverse_adjustment(uuid, text, date) is
  'Takes an adjustment back, so that the charge is owed again, and returns the reversing entry''s id; takes what posting it takes. effective_on: today by default. '
  'Errors: adjustment_not_found, permission_denied, adjustment_reversed, invalid_value, period_closed.';

grant execute on function
  app.adjust_charge(uuid, public.adjustment_kind, numeric, text, date, text, boolean), public.adjust_charge(uuid, public.adjustment_kind, text, numeric, date, text),
  app.reverse_adjustment(uuid, text, date, boolean), public.reverse_adjustment(uuid, text, date)
to authenticated, service_role;

-- What verify_ledger asks --------------------------------------------------------------------------------------------

create function app.check_adjustments(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select a.journal_entry_id, null::uuid, null::uuid, c.subaccount_id, format('%s %s: %s', a.kind, a.number, x.problem)
  from public.adjustments a
  left join public.charges c on c.community_id = a.community_id and c.id = a.charge_id
  cross join lateral (
    select app.adjustment_differs(a)
    union all select format('%s was charged and more is adjusted', c.amount) where app.charge_open(a.community_id, a.charge_id) < 0
  ) x (problem)
  where a.community_id = check_adjustments.community and x.problem is not null
$$;

comment on function app.check_adjustments(uuid) is 'Adjustments that their charge or the ledger does not bear out.';

select app.define_ledger_document('adjustment', 'public.adjustments', '{journal_entry_id}');
select app.define_ledger_check('adjustment_differs', 'app.check_adjustments', 'A credit note, waiver or write-off that its charge or the ledger does not bear out.');
