-- Billing: charges.
--
-- Purpose     What a unit owes for what, since when and until when to be paid. One document per charge, written with its posting.
-- Tables      charges
-- RPCs        charge_unit
-- Invariants  A charge is the document of one posting and has its id: the same amount, fund, entry and day, debited to the subaccount of its
--             unit; an entry of kind charge consists of charges alone. Rows are never changed; what was charged wrongly is reversed, entry
--             by entry, or credited. app.post_charges is the one way to charge: any number in one call, all or none.
-- Locks       None of its own: subaccounts are moved in the order of their ids by the journal.
--
-- A charge has no foreign keys of its own but those to few rows: each would cost six times the row. Whether it agrees with its posting, its
-- subaccount and its allocation line is looked up for all rows of a statement at once (charge_mismatch), and none of those rows can go or change.

select app.define_permission('fees.read', 'community', 'See the fees of a community and their runs', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor, organization/viewer,
  community/admin, community/manager, community/accountant, community/committee, community/owner}');
select app.define_permission('fees.manage', 'community', 'Decide which fees there are', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor,
  community/admin, community/manager, community/accountant}');
select app.define_permission('fees.run', 'community', 'Charge fees, and single charges', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor,
  community/admin, community/manager, community/accountant}');

create type public.charge_source as enum ('fee', 'expense', 'other');

comment on type public.charge_source is 'What a charge comes from. fee: a run of a fee. expense: an expense that was allocated. other: entered by itself.';

create table public.charges (
  id uuid not null,
  description text not null,
  community_id uuid not null,
  unit_id uuid not null,
  subaccount_id uuid not null,
  fund_id uuid not null,
  decimals smallint not null,
  journal_entry_id uuid not null,
  source public.charge_source not null,
  allocation_line_id uuid,
  starts_on date not null,
  ends_on date not null,
  charged_on date not null,
  due_on date not null,
  amount numeric not null,
  -- The community is in the key for those who refer to charges of theirs: one index less for every row.
  constraint charges_pkey primary key (id, community_id),
  constraint charges_description_check check (description <> '' and length(description) <= 500),
  constraint charges_ends_on_check check (ends_on >= starts_on),
  constraint charges_due_on_check check (due_on between charged_on and date '2999-12-31'),
  constraint charges_amount_check check (amount > 0)
);

create index charges_subaccount_idx on public.charges (community_id, subaccount_id, due_on);
-- Entries are numbered by time and their charges come at the end of the table, so block ranges find them; an entry in a B-tree for each of a
-- hundred thousand charges would be a tenth of what writing them takes.
create index charges_entry_idx on public.charges using brin (journal_entry_id) with (pages_per_range = 32, autosummarize = on);

comment on table public.charges is
  'What units were charged: each row the document of the posting with the same id. Append-only; written by app.post_charges. Who owes it is the resident of its subaccount. No foreign keys: the trigger _500_agrees looks for all rows at once.';
comment on column public.charges.id is 'The charge''s id, and that of its posting.';
comment on column public.charges.description is 'For what, as the statement of account says it.';
comment on column public.charges.unit_id is 'The unit, that of the subaccount.';
comment on column public.charges.subaccount_id is 'The account of the unit and the person liable, which the posting debits.';
comment on column public.charges.fund_id is 'The fund it is owed to.';
comment on column public.charges.decimals is 'Decimals of the currency, as in the books.';
comment on column public.charges.journal_entry_id is 'The entry; its document_kind and document_id name what caused it (a fee''s run, an expense).';
comment on column public.charges.source is 'What it comes from: fee, expense, other.';
comment on column public.charges.allocation_line_id is 'The line of the allocation that explains the amount; null where nothing was allocated.';
comment on column public.charges.starts_on is 'The first day that it is for, of those on which the person was liable.';
comment on column public.charges.ends_on is 'The last day that it is for.';
comment on column public.charges.charged_on is 'The day in the books.';
comment on column public.charges.due_on is 'The day by which it is to be paid.';
comment on column public.charges.amount is 'What is owed.';

select app.keep('public.charges');
select app.register_personal_data('public.charges', 'subaccount_id', 'parent', parent => 'public.subaccounts',
  kept_because => 'What was charged is kept as long as the books are; the subaccount says of whom.');

create policy charges_select on public.charges for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (
      (select 'charges.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('charges.read'))
      or subaccount_id in (select app.my_subaccounts())
    )
  );

grant select on public.charges to authenticated, service_role;

create function app.tg_charges__agrees()
returns trigger
language plpgsql
security definer -- compares with postings and subaccounts whoever may see them
set search_path = ''
set enable_seqscan = off -- a plan made while a table was small is kept
set work_mem = '64MB' -- what 100,000 charges take to hash
as $$
declare
  told record;
  broken record;
begin
  -- A run's charges are of one entry, one account and one allocation: these are read whole and hashed, in half the time that looking each row up
  -- takes. Full joins, which are never done row by row, whatever the planner knows. What is not in order so is looked at below.
  if exists (select from new_rows offset 1000) then
    select n.community_id, n.journal_entry_id, s.account_id, l.allocation_id into told
    from (select * from new_rows limit 1) n
    left join public.subaccounts s on s.id = n.subaccount_id
    left join public.allocation_lines l on l.id = n.allocation_line_id;
    select count(n.id) as many, count(*) filter (where
      n.journal_entry_id = told.journal_entry_id and n.community_id = told.community_id and p.fund_id = n.fund_id and p.decimals = n.decimals
      and p.effective_on = n.charged_on and p.debit_subaccount_id = n.subaccount_id and p.amount = n.amount and s.unit_id = n.unit_id
      and (n.allocation_line_id is null or l.unit_id = n.unit_id)) as fine
    into broken
    from new_rows n
    full join (
      select p.id, p.fund_id, p.decimals, p.effective_on, p.debit_subaccount_id, p.amount
      from public.postings p where p.journal_entry_id = told.journal_entry_id and p.community_id = told.community_id
    ) p on p.id = n.id
    full join (
      select s.id, s.unit_id from public.subaccounts s where s.account_id = told.account_id and s.community_id = told.community_id
    ) s on s.id = n.subaccount_id
    full join (
      select l.id, l.unit_id from public.allocation_lines l where l.allocation_id = told.allocation_id and l.community_id = told.community_id
    ) l on l.id = n.allocation_line_id;
    if broken.fine = broken.many and exists (
      select from public.journal_entries e
      where e.id = told.journal_entry_id and e.community_id = told.community_id and e.kind = 'charge' and e.posting_count = broken.many)
    then
      return null;
    end if;
  end if;
  -- One look at everything. Lateral subqueries with `offset`: an index lookup each, however many rows there were when the plan was made.
  select (array_agg(w.stray) filter (where w.stray is not null))[1] as stray, (array_agg(w.misplaced) filter (where w.misplaced is not null))[1] as misplaced,
    (array_agg(w.journal_entry_id) filter (where (
      select e.kind = 'charge' and e.posting_count = w.many from public.journal_entries e where e.id = w.journal_entry_id and e.community_id = w.community_id) is not true))[1] as entry
  into broken
  from (
    select n.journal_entry_id, n.community_id, count(*) as many, max(n.stray) as stray, max(n.misplaced) as misplaced
    from (
      select n.journal_entry_id, n.community_id,
        case when (
          p.journal_entry_id = n.journal_entry_id and p.fund_id = n.fund_id and p.decimals = n.decimals
          and p.effective_on = n.charged_on and p.debit_subaccount_id = n.subaccount_id and p.amount = n.amount
          and s.community_id = n.community_id and s.unit_id = n.unit_id) is not true
        then n.id::text end as stray,
        case when n.allocation_line_id is not null and (l.community_id = n.community_id and l.unit_id = n.unit_id) is not true then n.id::text end as misplaced
      from new_rows n
      left join lateral (
        select p.journal_entry_id, p.fund_id, p.decimals, p.effective_on, p.debit_subaccount_id, p.amount
        from public.postings p where p.id = n.id and p.community_id = n.community_id offset 0) p on true
      left join lateral (select s.community_id, s.unit_id from public.subaccounts s where s.id = n.subaccount_id offset 0) s on true
      left join lateral (select l.community_id, l.unit_id from public.allocation_lines l where l.id = n.allocation_line_id offset 0) l on true
    ) n
    group by n.journal_entry_id, n.community_id
  ) w;
  if broken.stray is not null then
    perform app.fail(422, 'charge_mismatch', format('Charge %s is not what its posting and its subaccount say.', broken.stray), 'app.post_charges writes both.');
  elsif broken.misplaced is not null then
    perform app.fail(422, 'charge_mismatch', format('The allocation line of charge %s is not of its unit.', broken.misplaced));
  elsif broken.entry is not null then
    perform app.fail(422, 'charge_mismatch', format('Entry %s is no entry of charges, or has more postings than charges.', broken.entry));
  end if;
  return null;
end;
$$;

comment on function app.tg_charges__agrees() is
  'AFTER INSERT, per statement: each charge is its posting''s, of its subaccount''s unit and of a line of that unit, and the charges of an entry are all of it (422 charge_mismatch). Definer: compares with postings and subaccounts whoever may see them.';

create trigger _500_agrees after insert on public.charges
  referencing new table as new_rows for each statement execute function app.tg_charges__agrees();

-- Charging -----------------------------------------------------------------------------------------------------------

create type app.charge_line as (
  unit_id uuid,
  resident_id uuid,
  amount numeric,
  starts_on date,
  ends_on date,
  allocation_line_id uuid,
  description text
);

comment on type app.charge_line is 'One charge for app.post_charges: resident_id null where nobody known is liable, description null for the common one.';

create function app.post_charges(
  community uuid, fund uuid, income_account uuid, source public.charge_source, charged_on date, due_on date, description text, lines app.charge_line[],
  document_kind text default null, document_id uuid default null, idempotency_key text default null, asked bytea default null
)
returns uuid
language plpgsql
volatile
security definer -- writes the journal and charges, which nobody else writes
set search_path = ''
set work_mem = '64MB' -- what 100,000 charges take to hash
as $$
#variable_conflict use_column
declare
  receivable constant uuid := app.account_for(community, fund, 'receivable');
  entry constant uuid := extensions.uuidv7();
  content constant bytea := case when idempotency_key is not null
    then coalesce(asked, sha256(convert_to(row(fund, income_account, source, charged_on, due_on, description, lines, document_kind, document_id)::text, 'UTF8'))) end;
  places constant smallint := (select l.decimals from public.ledgers l where l.community_id = community);
  series constant text := left(extensions.uuidv7()::text, 28);
  common constant text := btrim(description);
  told record;
  earlier public.journal_entries;
  refused text;
begin
  if idempotency_key is not null then
    -- Before anything else, as app.post_entry does: a repeated request is answered even if its day has been closed meanwhile.
    select e.* into earlier from public.journal_entries e where e.community_id = community and e.idempotency_key = post_charges.idempotency_key;
    if found then
      return app.same_request(earlier.id, earlier.request_hash, content);
    end if;
  end if;
  -- Most have an account already; both for all lines at once.
  select count(*) filter (where l.amount > 0 and min_scale(l.amount) <= places) as fine, sum(l.amount) as whole, array_agg(s.id order by l.place) as accounts,
    array_agg(l.unit_id) filter (where s.id is null) as units, array_agg(l.resident_id) filter (where s.id is null) as residents
  into told
  from unnest(lines) with ordinality l (unit_id, resident_id, amount, starts_on, ends_on, allocation_line_id, description, place)
  left join public.subaccounts s on s.account_id = receivable and s.unit_id = l.unit_id and s.resident_id is not distinct from l.resident_id;
  if told.fine = 0 or told.fine <> cardinality(lines) then
    perform app.fail(422, 'invalid_amount', 'A charge is of an amount above zero that has no more decimals than the currency.');
  end if;
  insert into public.journal_entries (
    id, description, community_id, decimals, kind, effective_on, document_kind, document_id, idempotency_key, request_hash, posting_count, total)
  values (entry, btrim(post_charges.description), community, places, 'charge', post_charges.charged_on,
    post_charges.document_kind, post_charges.document_id, post_charges.idempotency_key, content, told.fine, told.whole)
  on conflict (community_id, idempotency_key) where idempotency_key is not null do nothing;
  if not found then
    -- Whoever was first has committed, or this would still wait.
    select e.* into earlier from public.journal_entries e where e.community_id = community and e.idempotency_key = post_charges.idempotency_key;
    return app.same_request(earlier.id, earlier.request_hash, content);
  end if;

  if told.units is not null then
    perform app.check_subaccounts(later => true);
    perform app.make_subaccounts(receivable, told.units, told.residents);
    told.accounts := array(
      select s.id
      from unnest(lines) with ordinality l (unit_id, resident_id, amount, starts_on, ends_on, allocation_line_id, description, place)
      join public.subaccounts s on s.account_id = receivable and s.unit_id = l.unit_id and s.resident_id is not distinct from l.resident_id
      order by l.place);
  end if;
  -- Charges, and from them their postings, which share their ids. The ids are counted up, eight digits from 10000000: each anew would cost more than its row.
  with charged as (
    insert into public.charges (
      id, description, community_id, unit_id, subaccount_id, fund_id, decimals, journal_entry_id, source, allocation_line_id, starts_on, ends_on, charged_on, due_on, amount)
    select (series || to_hex(l.place + 268435456))::uuid, coalesce((l.line).description, common), community, (l.line).unit_id, l.subaccount_id, fund, places, entry, post_charges.source,
      (l.line).allocation_line_id, (l.line).starts_on, (l.line).ends_on, post_charges.charged_on, post_charges.due_on, round((l.line).amount, places)
    from (select unnest(lines) as line, unnest(told.accounts) as subaccount_id, generate_subscripts(lines, 1) as place) l
    returning id, subaccount_id, amount, description
  )
  insert into public.postings (
    id, journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, debit_subaccount_id, credit_account_id, amount, memo)
  -- What the entry says of all of them, its postings do not repeat.
  select c.id, entry, community, fund, places, post_charges.charged_on, receivable, c.subaccount_id, income_account, c.amount, nullif(c.description, common) from charged c;
  if told.units is not null then
    perform app.check_subaccounts(later => false);
  end if;
  return entry;
exception when check_violation or foreign_key_violation then
  get stacked diagnostics refused = constraint_name;
  if refused like 'charges_%' then
    perform app.fail_check('charges', refused);
  end if;
  perform app.fail_posting(refused);
end;
$$;

comment on function app.post_charges(uuid, uuid, uuid, public.charge_source, date, date, text, app.charge_line[], text, uuid, text, bytea) is
  'Charges units: one entry of kind charge, and for each line a posting (the receivable of unit and person against the income account) and the charge with its id. Returns the entry''s id; with an idempotency key that was used for the same (asked: its hash, where it is not all of this that was asked for), that entry''s. '
  'Asks for no permission: callers do. Errors: account_missing, invalid_amount, idempotency_conflict, charge_mismatch, and those of the journal (period_closed …). Definer: writes the journal and charges, which nobody else writes.';

create function app.reverse_charges(entry uuid, effective_on date, reason text)
returns uuid
language plpgsql
volatile
security definer -- writes the journal, and looks at adjustments whoever may see them
set search_path = ''
as $$
begin
  perform from public.charges c where c.journal_entry_id = entry order by c.id for no key update;
  if not found then
    perform app.fail(404, 'entry_not_found', 'There is no entry of charges with this id.');
  elsif exists (select from public.journal_entries e where e.reverses_id = entry) then
    perform app.fail(409, 'charge_reversed', 'These charges were reversed already.');
  -- Of a later topic.
  elsif exists (
    select
    from public.charges c
    join public.adjustments a on a.community_id = c.community_id and a.charge_id = c.id and a.status = 'posted'
    where c.journal_entry_id = entry) then
    perform app.fail(409, 'charge_adjusted', 'One of the charges was credited, waived or written off.', 'Reverse that adjustment first.');
  end if;
  return app.reverse_entry(entry, effective_on, reason);
end;
$$;

comment on function app.reverse_charges(uuid, date, text) is
  'Reverses an entry of charges, whole; a charge whose entry is reversed is no longer owed. Locks the charges in the order of their ids, as whoever adjusts one does. Returns the reversing entry''s id. Asks for no permission: callers do. '
  'Errors: entry_not_found, charge_reversed, charge_adjusted, and those of the journal. Definer: writes the journal, and looks at adjustments whoever may see them.';

grant execute on function
  app.post_charges(uuid, uuid, uuid, public.charge_source, date, date, text, app.charge_line[], text, uuid, text, bytea), app.reverse_charges(uuid, date, text)
to service_role;

-- One by hand --------------------------------------------------------------------------------------------------------

create function app.charge_unit(
  charged uuid, fund uuid, amount numeric, description text, charged_on date, due_on date, resident uuid, account uuid, idempotency_key text
)
returns table (charge_id uuid, liable_resident_id uuid, charged_amount numeric)
language plpgsql
volatile
security definer -- finds who is liable, and writes what nobody else writes
set search_path = ''
as $$
#variable_conflict use_column
declare
  home constant uuid := (select u.community_id from public.units u where u.id = charged and u.deleted_at is null);
  places constant smallint := (select l.decimals from public.ledgers l where l.community_id = home);
  -- What was asked for, and not what follows from it: tomorrow, or after a sale, the same request is still the same.
  asked constant bytea := sha256(convert_to(row(charged, fund, trim_scale(charge_unit.amount), description, charge_unit.charged_on, charge_unit.due_on, resident, account)::text, 'UTF8'));
  on_day date;
  due date;
  income uuid;
  lines app.charge_line[];
  entry uuid;
begin
  perform app.require('fees.run', home);
  if home is null then
    perform app.fail(404, 'unit_not_found', 'There is no live unit with this id.');
  elsif not exists (select from public.funds f where f.community_id = home and f.id = fund) then
    perform app.fail(404, 'fund_not_found', 'There is no fund of this community with this id.');
  elsif resident is not null and not exists (select from public.residents r where r.community_id = home and r.id = resident and r.deleted_at is null) then
    perform app.fail(404, 'resident_not_found', 'There is no live resident of this community with this id.');
  elsif account is not null and not exists (select from public.accounts a where a.community_id = home and a.fund_id = fund and a.id = account and a.type = 'income') then
    perform app.fail(422, 'account_refused', 'What is charged is credited to an account of income of the same fund.');
  elsif not coalesce(charge_unit.amount > 0 and charge_unit.amount < 1e15 and charge_unit.amount = round(charge_unit.amount, places), false) then
    perform app.fail(422, 'invalid_amount', 'A charge is of an amount above zero that has no more decimals than the currency.');
  elsif charge_unit.description is null then
    perform app.fail(422, 'invalid_value', 'The value of description is missing.');
  elsif length(charge_unit.idempotency_key) not between 1 and 200 then
    perform app.fail(422, 'invalid_value', 'The value of idempotency_key is not valid.', '1 to 200 characters.');
  elsif not charge_unit.charged_on between date '1900-01-01' and date '2999-12-31' then
    perform app.fail(422, 'invalid_value', 'The value of charged_on is not valid.');
  end if;
  -- Before anything is found out: a repeated request is answered even if another pays for the unit meanwhile.
  select app.same_request(e.id, e.request_hash, asked) into entry
  from public.journal_entries e where e.community_id = home and e.idempotency_key = charge_unit.idempotency_key;
  if entry is null then
    perform app.check_amount_limit('fees.run', home, charge_unit.amount);
    on_day := coalesce(charge_unit.charged_on, app.today_in(home));
    due := coalesce(charge_unit.due_on, on_day);
    income := coalesce(account, app.account_for(home, fund, 'other_income'));
    if resident is not null then
      lines := array[row(charged, resident, charge_unit.amount, on_day, on_day, null, null)::app.charge_line];
    else
      select array_agg(row(s.unit_id, s.resident_id, s.amount, on_day, on_day, null, null)::app.charge_line order by s.amount desc, s.resident_id) into lines
      from app.split_liable(home, on_day, on_day, 'payer', true, places, array[charged], array[charge_unit.amount]) s;
    end if;
    entry := app.post_charges(home, fund, income, 'other', on_day, due, description, lines, idempotency_key => charge_unit.idempotency_key, asked => asked);
  end if;
  return query
    select c.id, s.resident_id, c.amount
    from public.charges c join public.subaccounts s on s.community_id = c.community_id and s.id = c.subaccount_id
    where c.community_id = home and c.journal_entry_id = entry
    order by c.id;
end;
$$;

comment on function app.charge_unit(uuid, uuid, numeric, text, date, date, uuid, uuid, text) is
  'What public.charge_unit does. Definer: finds who is liable, and writes what nobody else writes.';

create function public.charge_unit(
  unit_id uuid, fund_id uuid, amount numeric, description text, charged_on date default null, due_on date default null, resident_id uuid default null,
  account_id uuid default null, idempotency_key text default null
)
returns table (charge_id uuid, liable_resident_id uuid, charged_amount numeric)
language sql
volatile
set search_path = ''
as $$ select * from app.charge_unit($1, $2, $3, $4, $5, $6, $7, $8, $9) $$;

comment on function public.charge_unit(uuid, uuid, numeric, text, date, date, uuid, uuid, text) is
  'Charges a unit by hand, on a day (today by default), to be paid by due_on: a lost key, a service. Owed by the resident named, or else by who pays for the unit on that day, each with the own share; '
  'credited to the fund''s account of other income unless another is named. The same idempotency key charges once. Returns the charges. Takes fees.run. '
  'Errors: permission_denied, amount_above_limit, unit_not_found, fund_not_found, resident_not_found, account_refused, account_missing, account_ambiguous, invalid_amount, invalid_value, idempotency_conflict, period_closed, before_books, too_far_ahead.';

grant execute on function
  app.charge_unit(uuid, uuid, numeric, text, date, date, uuid, uuid, text), public.charge_unit(uuid, uuid, numeric, text, date, date, uuid, uuid, text)
to authenticated, service_role;
