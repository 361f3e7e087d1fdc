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
  if refused in ('postings_debit_account_fkey', 'postings_credit_account_fkey') then
    perform app.fail(422, 'account_refused', format('The %s account is not one of this community and fund, or lacks its subaccount, or takes none.', split_part(refused, '_', 2)),
      'Both accounts of a posting are of its fund; control accounts, and only they, name a subaccount.');
  elsif refused in ('postings_debit_subaccount_fkey', 'postings_credit_subaccount_fkey') then
    perform app.fail(422, 'subaccount_refused', format('The %s subaccount is not one of this account.', split_part(refused, '_', 2)));
  elsif refused = 'postings_sides_check' then
    perform app.fail(422, 'same_account', 'A posting moves between two accounts.');
  elsif refused = 'postings_amount_check' then
    perform app.fail(422, 'invalid_amount', 'An amount is more than nothing, less than 10^15, and has no more decimals than the currency.');
  else
    perform app.fail_check(case when refused ~ '^postings_' then 'postings' else 'journal_entries' end, refused);
  end if;
end;
$$;

comment on function app.fail_posting(text) is
  'What a constraint of the journal means to whoever posts: 422 account_refused, subaccount_refused, same_account, invalid_amount, invalid_value. For handlers of check_violation and foreign_key_violation. Not executable by API roles.';

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
  idempotency_key text default null, document_kind text default null, document_id uuid default null, reverses uuid default null)
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
#variable_conflict use_column
declare
  made constant uuid := extensions.uuidv7();
  asked bytea;
  known record;
  line app.posting_line;
  summed numeric := 0;
  many integer;
begin
  if coalesce(cardinality(lines), 0) = 0 then
    perform app.fail(422, 'entry_incomplete', 'An entry has at least one posting.');
  end if;
  if idempotency_key is not null then
    asked := sha256(convert_to(row(kind, effective_on, description, lines, document_kind, document_id, reverses)::text, 'UTF8'));
    -- Before anything else: a repeated request is answered even if its day has been closed meanwhile.
    select e.id, e.request_hash into known from public.journal_entries e where e.community_id = community and e.idempotency_key = post_entry.idempotency_key;
    if found then
      return app.same_request(known.id, known.request_hash, asked);
    end if;
  end if;
  foreach line in array lines loop
    summed := summed + line.amount;
  end loop;

  with entry as (
    insert into public.journal_entries (
      id, description, community_id, kind, effective_on, document_kind, document_id, reverses_id, idempotency_key, request_hash, posting_count, total)
    values (
      made, btrim(post_entry.description), community, post_entry.kind, post_entry.effective_on, post_entry.document_kind, post_entry.document_id, reverses,
      post_entry.idempotency_key, asked, cardinality(lines), summed)
    on conflict (community_id, idempotency_key) where idempotency_key is not null do nothing
    returning id, decimals
  )
  insert into public.postings (
    journal_entry_id, community_id, fund_id, decimals, effective_on, debit_account_id, debit_subaccount_id, credit_account_id, credit_subaccount_id, amount, memo)
  select e.id, community, l.fund_id, e.decimals, post_entry.effective_on, l.debit_account_id, l.debit_subaccount_id, l.credit_account_id, l.credit_subaccount_id,
    -- 1500 is stored as 1500.00; what does not fit stays as it is, for the check to refuse.
    case when l.amount = round(l.amount, e.decimals) then round(l.amount, e.decimals) else l.amount end, l.memo
  from entry e
  cross join unnest(lines) l;
  get diagnostics many = row_count;
  if many > 0 then
    return made;
  end if;
  -- Another session was first with this key; it has committed, or this would still wait.
  select e.id, e.request_hash into known from public.journal_entries e where e.community_id = community and e.idempotency_key = post_entry.idempotency_key;
  return app.same_request(known.id, known.request_hash, asked);
end;
$$;

comment on function app.post_entry(uuid, public.entry_kind, date, text, app.posting_line[], text, text, uuid, uuid) is
  'Posts an entry and returns its id; the same idempotency key with the same content returns the entry there is. Asks for no permission: the caller has. '
  'Constraints refuse what is wrong (app.fail_posting says what they mean). Errors: entry_incomplete, idempotency_conflict, and those of the journal''s triggers. Not executable by API roles.';

-- Reversing ----------------------------------------------------------------------------------------------------------

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
  select made, p.community_id, p.fund_id, p.decimals, reverse_entry.effective_on, p.credit_account_id, p.credit_subaccount_id, p.debit_account_id, p.debit_subaccount_id, p.amount, p.memo
  from public.postings p
  where p.journal_entry_id = entry;
  return made;
end;
$$;

comment on function app.reverse_entry(uuid, date, text) is
  'Takes an entry back by its mirror and returns the reversal''s id. Asks for no permission, and takes back what documents posted too: the caller is the document. '
  'Errors: entry_not_found, entry_is_reversal, entry_reversed, reason_required, invalid_period, period_closed. Not executable by API roles.';
