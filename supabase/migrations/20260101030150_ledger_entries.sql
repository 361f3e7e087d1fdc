-- Ledger: posting and reversing entries.
--
-- Purpose     The ways into the journal: the one that other domains post by, and the RPCs for entries by hand.
-- RPCs        post_journal_entry, reverse_journal_entry, transfer_between_funds
-- Invariants  The same idempotency key is the same entry, however often and in how many sessions at once it is asked for; with other
--             content it is refused. An entry is taken back once, by its exact mirror, which itself is not taken back. What a document
--             posted is taken back through the document.

select app.define_permission('ledger.post', 'community', 'Post entries by hand, reverse them, transfer between funds', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor,
  community/admin, community/manager, community/accountant}');

-- Posting ------------------------------------------------------------------------------------------------------------

create type app.posting_line as (
  fund_id uuid,
  debit_account_id uuid,
  debit_subaccount_id uuid,
  credit_account_id uuid,
  credit_subaccount_id uuid,
  amount numeric,
  memo text
);

comment on type app.posting_line is 'A posting to be: what app.post_entry takes.';

create function app.fail_posting(refused text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  if refused = 'postings_sides_check' then
    perform app.fail(422, 'same_account', 'A posting moves between two accounts.');
  elsif refused = 'postings_amount_check' then
    perform app.fail(422, 'invalid_amount', 'An amount is more than nothing, less than 10^15, and has no more decimals than the currency.');
  else
    perform app.fail_check(case when refused ~ '^postings_' then 'postings' else 'journal_entries' end, refused);
  end if;
end;
$$;

comment on function app.fail_posting(text) is
  'What a constraint of the journal means to whoever posts: 422 same_account, invalid_amount, invalid_value. For handlers of check_violation. Not executable by API roles.';

create function app.same_request(entry uuid, known bytea, asked bytea)
returns uuid
language plpgsql
immutable
set search_path = ''
as $$
begin
  if known is distinct from asked then
    perform app.fail(409, 'idempotency_conflict', 'This idempotency key stands for another request.', 'Take a new key for a new entry.');
  end if;
  return entry;
end;
$$;

comment on function app.same_request(uuid, bytea, bytea) is 'The entry that an idempotency key stands for, if the same was asked for then (409 idempotency_conflict). Not executable by API roles.';

create function app.post_entry(
  community uuid, kind public.entry_kind, effective_on date, description text, lines app.posting_line[],
  idempotency_key text default null, document_kind text default null, document_id uuid default null, reverses uuid default null, asked bytea default null)
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
#variable_conflict use_column
declare
  made constant uuid := extensions.uuidv7();
  known record;
  line app.posting_line;
  places smallint;
begin
  -- Most entries have one posting and no key. Plain statements, each of few expressions: what one costs is making them ready.
  if cardinality(lines) = 1 and idempotency_key is null then
    line := lines[1];
    insert into public.journal_entries (id, description, community_id, kind, effective_on, document_kind, document_id, reverses_id, posting_count, total)
    values (
      made, btrim(post_entry.description), community, post_entry.kind, post_entry.effective_on, post_entry.document_kind, post_entry.document_id, reverses,
      1, line.amount)
    returning decimals, total into places, line.amount;
    -- The one posting of an entry has its id and its total.
    insert into public.postings (
      id, journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, debit_subaccount_id, credit_account_id, credit_subaccount_id, amount, memo)
    values (
      made, made, community, line.fund_id, places, post_entry.effective_on, line.debit_account_id, line.debit_subaccount_id, line.credit_account_id, line.credit_subaccount_id,
      line.amount, line.memo);
    return made;
  end if;

  if (cardinality(lines) > 0) is not true then
    perform app.fail(422, 'entry_incomplete', 'An entry has at least one posting.');
  end if;
  if idempotency_key is null then
    asked := null;
  else
    asked := coalesce(asked, sha256(convert_to(row(kind, effective_on, description, lines, document_kind, document_id, reverses)::text, 'UTF8')));
    -- Before anything else: a repeated request is answered even if its day has been closed meanwhile.
    select e.id, e.request_hash into known from public.journal_entries e where e.community_id = community and e.idempotency_key = post_entry.idempotency_key;
    if found then
      return app.same_request(known.id, known.request_hash, asked);
    end if;
  end if;
  insert into public.journal_entries (
    id, description, community_id, kind, effective_on, document_kind, document_id, reverses_id, idempotency_key, request_hash, posting_count, total)
  select
    made, btrim(post_entry.description), community, post_entry.kind, post_entry.effective_on, post_entry.document_kind, post_entry.document_id, reverses,
    post_entry.idempotency_key, asked, count(*), sum(l.amount)
  from unnest(lines) l
  on conflict (community_id, idempotency_key) where idempotency_key is not null do nothing
  returning decimals into places;
  if not found then
    -- Another session was first with this key; it has committed, or this would still wait.
    select e.id, e.request_hash into known from public.journal_entries e where e.community_id = community and e.idempotency_key = post_entry.idempotency_key;
    return app.same_request(known.id, known.request_hash, asked);
  end if;
  -- 1500 is stored as 1500.00; what does not fit stays as it is, for the check to refuse.
  insert into public.postings (
    journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, debit_subaccount_id, credit_account_id, credit_subaccount_id, amount, memo)
  select made, community, l.fund_id, places, post_entry.effective_on, l.debit_account_id, l.debit_subaccount_id, l.credit_account_id, l.credit_subaccount_id,
    case when l.amount = round(l.amount, places) then round(l.amount, places) else l.amount end, l.memo
  from unnest(lines) l;
  return made;
end;
$$;

comment on function app.post_entry(uuid, public.entry_kind, date, text, app.posting_line[], text, text, uuid, uuid, bytea) is
  'Posts an entry and returns its id; the same idempotency key with the same content (asked: its hash, where it is not the lines that were asked for) returns the entry there is. Asks for no permission: the caller has. '
  'Constraints refuse what is wrong (app.fail_posting says what they mean). Errors: entry_incomplete, idempotency_conflict, and those of the journal''s triggers. Not executable by API roles.';

-- Reversing ----------------------------------------------------------------------------------------------------------

create function app.reversal_day(entry uuid, wanted date)
returns date
language sql
stable
set search_path = ''
return coalesce(wanted, (
  select case when j.kind = 'opening' and j.effective_on > coalesce(l.closed_through, '-infinity') then j.effective_on else greatest(j.effective_on, app.today_in(j.community_id)) end
  from public.journal_entries j
  join public.ledgers l on l.community_id = j.community_id
  where j.id = entry));

comment on function app.reversal_day(uuid, date) is
  'The day on which an entry is taken back: the wanted one, or else today, or the entry''s own if that is still to come, or if it is of opening balances, while they are open: so that what is brought in anew counts once on every day. Not executable by API roles.';

create function app.reverse_entry(entry uuid, effective_on date, reason text)
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
declare
  wrong public.journal_entries;
  made uuid;
begin
  select e.* into wrong from public.journal_entries e where e.id = entry;
  if wrong.id is null then
    perform app.fail(404, 'entry_not_found', 'There is no entry with this id.');
  elsif wrong.kind = 'reversal' then
    perform app.fail(409, 'entry_is_reversal', 'A reversal is not taken back.', 'Post the entry anew.');
  elsif reverse_entry.effective_on < wrong.effective_on then
    perform app.fail(422, 'invalid_period', 'An entry is not taken back before its own day.');
  elsif coalesce(btrim(reason), '') = '' then
    perform app.fail(422, 'reason_required', 'An entry is taken back for a reason, which the journal keeps.');
  end if;
  -- The index lets one through: whoever comes at the same time waits, and finds the place taken.
  insert into public.journal_entries (description, community_id, kind, effective_on, document_kind, document_id, reverses_id, posting_count, total)
  values (btrim(reason), wrong.community_id, 'reversal', reverse_entry.effective_on, wrong.document_kind, wrong.document_id, wrong.id, wrong.posting_count, wrong.total)
  on conflict (community_id, reverses_id) where reverses_id is not null do nothing
  returning id into made;
  if made is null then
    perform app.fail(409, 'entry_reversed', 'This entry has been taken back already.');
  end if;
  insert into public.postings (
    journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, debit_subaccount_id, credit_account_id, credit_subaccount_id, amount, memo)
  -- What charges are for, whoever was charged knows; the reversal's own description is its reason.
  select made, p.community_id, p.fund_id, p.decimals, reverse_entry.effective_on, p.credit_account_id, p.credit_subaccount_id, p.debit_account_id, p.debit_subaccount_id, p.amount,
    coalesce(p.memo, case when wrong.kind = 'charge' then wrong.description end)
  from public.postings p
  where p.journal_entry_id = entry;
  return made;
end;
$$;

comment on function app.reverse_entry(uuid, date, text) is
  'Takes an entry back by its mirror and returns the reversal''s id. Asks for no permission, and takes back what documents posted too: the caller is the document. '
  'Errors: entry_not_found, entry_is_reversal, entry_reversed, reason_required, invalid_period, period_closed. Not executable by API roles.';

-- By hand ------------------------------------------------------------------------------------------------------------

create function app.post_journal_entry(community uuid, effective_on date, description text, postings jsonb, idempotency_key text)
returns uuid
language plpgsql
volatile
security definer -- API roles write no journal
set search_path = ''
as $$
declare
  lines app.posting_line[];
  is_repeated boolean;
  made uuid;
  refused text;
begin
  perform app.require('ledger.post', community);
  if jsonb_typeof(postings) is distinct from 'array' or jsonb_array_length(postings) not between 1 and 1000 then
    perform app.fail(422, 'invalid_value', 'postings is an array of 1 to 1000 postings.');
  end if;
  -- The fund is the debit account's. An account of another community is none.
  select array_agg(row(
      a.fund_id,
      l.debit_account_id,
      case when l.debit_unit_id is not null then app.subaccount_for(community, a.fund_id, a.purpose, l.debit_unit_id, l.debit_resident_id) else l.debit_subaccount_id end,
      l.credit_account_id,
      case when l.credit_unit_id is not null then app.subaccount_for(community, c.fund_id, c.purpose, l.credit_unit_id, l.credit_resident_id) else l.credit_subaccount_id end,
      trim_scale(l.amount), nullif(btrim(l.memo), ''))::app.posting_line order by l.n)
  into lines
  from rows from (jsonb_to_recordset(postings) as (
    debit_account_id uuid, debit_subaccount_id uuid, debit_unit_id uuid, debit_resident_id uuid,
    credit_account_id uuid, credit_subaccount_id uuid, credit_unit_id uuid, credit_resident_id uuid, amount numeric, memo text)) with ordinality
    l (debit_account_id, debit_subaccount_id, debit_unit_id, debit_resident_id, credit_account_id, credit_subaccount_id, credit_unit_id, credit_resident_id, amount, memo, n)
  left join public.accounts a on a.id = l.debit_account_id and a.community_id = community
  left join public.accounts c on c.id = l.credit_account_id and c.community_id = community;
  if exists (select from unnest(lines) l where l.fund_id is null) then
    perform app.fail(422, 'account_refused', 'A debit account is none of this community.');
  elsif exists (select from unnest(lines) l where l.amount is null) then
    perform app.fail(422, 'invalid_amount', 'Each posting has an amount.');
  elsif length(idempotency_key) not between 1 and 200 then
    perform app.fail(422, 'invalid_value', 'The value of idempotency_key is not valid.', '1 to 200 characters.');
  end if;
  is_repeated := idempotency_key is not null and exists (
    select from public.journal_entries e where e.community_id = community and e.idempotency_key = post_journal_entry.idempotency_key);
  made := app.post_entry(community, 'manual', post_journal_entry.effective_on, post_journal_entry.description, lines, post_journal_entry.idempotency_key);
  if not is_repeated then
    perform app.check_amount_limit('ledger.post', community, (select e.total from public.journal_entries e where e.id = made));
    perform app.require_money(made);
  end if;
  return made;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_posting(refused);
when foreign_key_violation then
  perform app.fail(422, 'subaccount_refused', 'A unit or a resident is none of this community.');
when not_null_violation then
  get stacked diagnostics refused = column_name;
  perform app.fail(422, 'invalid_value', format('The value of %s is not valid.', refused));
when invalid_text_representation or numeric_value_out_of_range or invalid_parameter_value then
  perform app.fail(422, 'invalid_value', 'A posting, or an id or amount of one, cannot be read.');
end;
$$;

comment on function app.post_journal_entry(uuid, date, text, jsonb, text) is 'What public.post_journal_entry does. Definer: API roles write no journal.';

create function public.post_journal_entry(community_id uuid, effective_on date, description text, postings jsonb, idempotency_key text default null)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.post_journal_entry(community_id, effective_on, description, postings, idempotency_key) $$;

comment on function public.post_journal_entry(uuid, date, text, jsonb, text) is
  'Posts an entry by hand and returns its id. postings: [{"debit_account_id", "credit_account_id", "amount", "memo"?}, …], both accounts of one fund; a control account also takes "debit_unit_id" and "debit_resident_id" '
  '(or "credit_…"), or the subaccount itself, "debit_subaccount_id". The same idempotency key with the same content is the same entry. Takes ledger.post; expenses.pay where money leaves bank or cash; charges.write_off where somebody would owe less out of no money. '
  'Errors: permission_denied, receivable_by_document, amount_above_limit, books_not_open, period_closed, before_books, too_far_ahead, invalid_amount, account_refused, subaccount_refused, same_account, account_inactive, account_missing, '
  'interfund_unmatched, idempotency_conflict, invalid_value.';

create function app.reverse_journal_entry(entry uuid, effective_on date, reason text, is_visible boolean)
returns uuid
language plpgsql
volatile
security definer -- API roles write no journal
set search_path = ''
as $$
declare
  known public.journal_entries;
  made uuid;
  refused text;
begin
  select e.* into known from public.journal_entries e where e.id = entry and (is_visible or app.is_trusted());
  if known.id is null then
    perform app.fail(404, 'entry_not_found', 'There is no entry with this id.');
  end if;
  perform app.require('ledger.post', known.community_id);
  if known.document_kind is not null then
    perform app.fail(409, 'entry_has_document', format('This entry belongs to a document (%s).', known.document_kind), 'Take the document back.');
  end if;
  made := app.reverse_entry(entry, app.reversal_day(entry, reverse_journal_entry.effective_on), reason);
  perform app.require_money(made);
  return made;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_posting(refused);
end;
$$;

comment on function app.reverse_journal_entry(uuid, date, text, boolean) is 'What public.reverse_journal_entry does. Definer: API roles write no journal.';

create function public.reverse_journal_entry(entry_id uuid, reason text, effective_on date default null)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.reverse_journal_entry(entry_id, effective_on, reason, app.sees_row('journal_entries', entry_id)) $$;

comment on function public.reverse_journal_entry(uuid, text, date) is
  'Takes an entry back: posts its mirror, today (opening balances: on their own day, while that is open) or on a day of an open period, and returns that entry''s id. Once; what a document posted is taken back through the document. Takes ledger.post, and charges.adjust where somebody owes less by it and no money came. '
  'Errors: entry_not_found, permission_denied, receivable_by_document, entry_reversed, entry_is_reversal, entry_has_document, reason_required, period_closed, invalid_period.';

-- Between funds ------------------------------------------------------------------------------------------------------

create function app.due_account(community uuid, fund uuid, counter_fund uuid, purpose public.account_purpose)
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
declare
  known uuid := (
    select a.id from public.accounts a
    where a.community_id = community and a.fund_id = fund and a.purpose = due_account.purpose and a.counter_fund_id = counter_fund);
begin
  if known is null then
    insert into public.accounts (code, name, community_id, fund_id, decimals, type, purpose, counter_fund_id)
    select
      left(case due_account.purpose when 'due_from' then '1800-' else '2800-' end || c.code, 20),
      left(case due_account.purpose when 'due_from' then 'Due from ' else 'Due to ' end || c.name, 200),
      community, fund, c.decimals, case due_account.purpose when 'due_from' then 'asset' else 'liability' end::public.account_type, due_account.purpose, counter_fund
    from public.funds c
    where c.id = counter_fund and c.community_id = community
    returning id into known;
  end if;
  return known;
end;
$$;

comment on function app.due_account(uuid, uuid, uuid, public.account_purpose) is 'The account in which a fund keeps its claim on (due_from), or its debt to (due_to), another fund; made when first needed, by whoever holds both funds. Not executable by API roles.';

create function app.transfer_between_funds(
  from_fund uuid, to_fund uuid, amount numeric, effective_on date, description text, from_account uuid, to_account uuid, idempotency_key text, is_visible boolean)
returns uuid
language plpgsql
volatile
security definer -- API roles write no journal
set search_path = ''
as $$
declare
  home constant uuid := (select f.community_id from public.funds f where f.id = from_fund);
  asked constant bytea := sha256(convert_to(row('transfer', from_fund, to_fund, trim_scale(amount), effective_on, description, from_account, to_account)::text, 'UTF8'));
  paying uuid;
  paid uuid;
  owed numeric;
  lines app.posting_line[] := '{}';
  known record;
  refused text;
begin
  if home is null or not (is_visible or app.is_trusted()) or not exists (select from public.funds f where f.id = to_fund and f.community_id = home) then
    perform app.fail(404, 'fund_not_found', 'There is no fund with this id.');
  end if;
  perform app.require('ledger.post', home);
  if from_fund = to_fund then
    perform app.fail(422, 'same_account', 'A transfer is between two funds.');
  elsif amount is null or not (amount > 0 and amount < 1e15) then
    perform app.fail(422, 'invalid_amount', 'An amount is more than nothing, less than 10^15, and has no more decimals than the currency.');
  elsif length(idempotency_key) not between 1 and 200 then
    perform app.fail(422, 'invalid_value', 'The value of idempotency_key is not valid.', '1 to 200 characters.');
  end if;
  paying := coalesce(from_account, app.account_for(home, from_fund, 'bank'));
  paid := coalesce(to_account, app.account_for(home, to_fund, 'bank'));
  if exists (select from public.accounts a where a.id in (paying, paid) and a.community_id = home and a.purpose not in ('bank', 'cash')) then
    perform app.fail(422, 'account_refused', 'Money is transferred between bank and cash accounts.');
  end if;
  perform app.check_amount_limit('ledger.post', home, amount);
  -- One transfer between the two at a time: what one still owes the other is looked at.
  perform from public.funds f where f.id in (from_fund, to_fund) order by f.id for no key update;
  if idempotency_key is not null then
    select e.id, e.request_hash into known from public.journal_entries e where e.community_id = home and e.idempotency_key = transfer_between_funds.idempotency_key;
    if found then
      return app.same_request(known.id, known.request_hash, asked);
    end if;
  end if;

  -- A debt is paid back before a claim arises.
  select coalesce(sum(case when p.credit_account_id = a.id then p.amount else -p.amount end), 0) into owed
  from public.accounts a
  join public.postings p on a.id in (p.debit_account_id, p.credit_account_id)
  where a.fund_id = from_fund and a.counter_fund_id = to_fund and a.purpose = 'due_to';
  owed := greatest(least(owed, amount), 0);
  if owed > 0 then
    lines := lines
      || row(from_fund, app.due_account(home, from_fund, to_fund, 'due_to'), null, paying, null, owed, null)::app.posting_line
      || row(to_fund, paid, null, app.due_account(home, to_fund, from_fund, 'due_from'), null, owed, null)::app.posting_line;
  end if;
  if owed < amount then
    lines := lines
      || row(from_fund, app.due_account(home, from_fund, to_fund, 'due_from'), null, paying, null, amount - owed, null)::app.posting_line
      || row(to_fund, paid, null, app.due_account(home, to_fund, from_fund, 'due_to'), null, amount - owed, null)::app.posting_line;
  end if;
  return app.post_entry(home, 'transfer', transfer_between_funds.effective_on, transfer_between_funds.description, lines, transfer_between_funds.idempotency_key, asked => asked);
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_posting(refused);
when not_null_violation then
  get stacked diagnostics refused = column_name;
  perform app.fail(422, 'invalid_value', format('The value of %s is not valid.', refused));
end;
$$;

comment on function app.transfer_between_funds(uuid, uuid, numeric, date, text, uuid, uuid, text, boolean) is 'What public.transfer_between_funds does. Definer: API roles write no journal.';

create function public.transfer_between_funds(
  from_fund_id uuid, to_fund_id uuid, amount numeric, effective_on date, description text,
  from_account_id uuid default null, to_account_id uuid default null, idempotency_key text default null)
returns uuid
language sql
volatile
set search_path = ''
as $$
  select app.transfer_between_funds(from_fund_id, to_fund_id, amount, effective_on, description, from_account_id, to_account_id, idempotency_key,
    2 = (select count(*) from public.funds f where f.id in (from_fund_id, to_fund_id)) or from_fund_id = to_fund_id)
$$;

comment on function public.transfer_between_funds(uuid, uuid, numeric, date, text, uuid, uuid, text) is
  'Moves money from one fund''s bank account (or the bank or cash accounts named) to another''s and returns the entry''s id. What the paying fund owes the other is paid back first; for the rest the paying fund has a claim (due_from) and the other a debt (due_to). '
  'Takes ledger.post. Errors: fund_not_found, permission_denied, amount_above_limit, account_missing, account_ambiguous, account_refused, invalid_amount, same_account, idempotency_conflict, invalid_value, and those of dates.';

grant execute on function
  app.post_journal_entry(uuid, date, text, jsonb, text), public.post_journal_entry(uuid, date, text, jsonb, text),
  app.reverse_journal_entry(uuid, date, text, boolean), public.reverse_journal_entry(uuid, text, date),
  app.transfer_between_funds(uuid, uuid, numeric, date, text, uuid, uuid, text, boolean),
  public.transfer_between_funds(uuid, uuid, numeric, date, text, uuid, uuid, text)
to authenticated, service_role;
