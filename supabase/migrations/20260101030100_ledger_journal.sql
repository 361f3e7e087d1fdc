-- Ledger: the journal.
--
-- Purpose     Every movement of money: entries, and the postings they consist of.
-- Tables      journal_entries, postings
-- Views       ledger_lines
-- Invariants  A posting moves one positive amount from a credit account to a debit account of one community and fund, so each posting, each
--             entry and each fund balances by construction. Its accounts are of that community and fund, its subaccounts of those accounts.
--             An entry has exactly the postings that it announces, written by one INSERT; one without any does not commit. What was posted
--             is never changed: a mistake is reversed, once. Nothing is dated into a closed period or before the books. Claims between
--             funds arise in pairs. The balance of a subaccount is the sum of its postings.
--             These rules stand in keys and triggers, so they hold for every domain, the secret key, SQL and Studio; verify_ledger
--             (topic verify) looks for what could only be written with the triggers off.
-- Locks       The community (shared; closing a period takes it alone), then subaccounts in id order, until the end of the transaction.

create type public.entry_kind as enum ('manual', 'opening', 'charge', 'expense', 'payment', 'adjustment', 'transfer', 'reversal', 'closing', 'reclassification');

-- Entries ------------------------------------------------------------------------------------------------------------

create table public.journal_entries (
  id uuid not null default extensions.uuidv7(),
  description text not null,
  community_id uuid not null,
  decimals smallint not null,
  kind public.entry_kind not null,
  effective_on date not null,
  booked_at timestamptz not null default now(),
  booked_by uuid,
  booked_as text,
  document_kind text,
  document_id uuid,
  reverses_id uuid,
  idempotency_key text,
  request_hash bytea,
  posting_count integer not null,
  total numeric not null,
  -- The community is in the key for those who refer to entries of theirs: one index less for every entry.
  constraint journal_entries_pkey primary key (id, community_id),
  constraint journal_entries_reverses_fkey foreign key (community_id, reverses_id) references public.journal_entries (community_id, id) on delete restrict
);

create unique index journal_entries_reverses_key on public.journal_entries (community_id, reverses_id) where reverses_id is not null;
create unique index journal_entries_idempotency_key on public.journal_entries (community_id, idempotency_key) where idempotency_key is not null;
create index journal_entries_effective_on_idx on public.journal_entries (community_id, effective_on, id);
create index journal_entries_document_idx on public.journal_entries (document_id) where document_id is not null;
-- Few among all: what statements leave out is found without reading the others.
create index journal_entries_closing_idx on public.journal_entries (community_id, effective_on) where kind in ('closing', 'reversal');

comment on table public.journal_entries is
  'The journal: one row per entry. Append-only; what it moves stands in postings, what it looks like in debits and credits in ledger_lines. '
  'What a row looks like is checked by the trigger _200_admit, which is run for each anyhow, as journal_entries_description_check and journal_entries_kind_check: a check constraint is read from its text and planned anew by '
  'every statement, and these two took an eighth of what an entry costs. '
  'No key to the books: its postings, without which it does not commit, are of accounts that have one, and another would make every entry lock the row that all others lock.';
comment on column public.journal_entries.description is 'What happened, in a line.';
comment on column public.journal_entries.decimals is 'The decimals of the books; its postings have them too. Set by the database.';
comment on column public.journal_entries.kind is 'manual: by hand. opening: balances of the cut-over. charge, expense, payment, adjustment: by documents. transfer: between funds. reversal: takes another back. closing: end of a fiscal year. reclassification: between subaccounts.';
comment on column public.journal_entries.effective_on is 'The day it counts for.';
comment on column public.journal_entries.booked_at is 'When it was posted. Set by the database.';
comment on column public.journal_entries.booked_by is 'The user who posted it; null when no user did. Set by the database.';
comment on column public.journal_entries.booked_as is 'Who posted it when no user did: service_role, studio:postgres, job:<name>. Set by the database.';
comment on column public.journal_entries.document_kind is 'Which kind of document caused it: fee_run, expense, adjustment. Null for an entry by hand.';
comment on column public.journal_entries.document_id is 'The document''s id. No foreign key: the document names the entry, by key.';
comment on column public.journal_entries.reverses_id is 'The entry that it takes back; each can be taken back once.';
comment on column public.journal_entries.idempotency_key is 'What the caller numbered the request with: the same request with this key is the same entry.';
comment on column public.journal_entries.request_hash is 'SHA-256 of what was asked with the key.';
comment on column public.journal_entries.posting_count is 'How many postings it has.';
comment on column public.journal_entries.total is 'What they sum to.';

select app.keep('public.journal_entries');

select app.register_personal_data('public.journal_entries', 'booked_by', 'actor', kept_because => 'Who posted an entry stays accountable.');

-- Postings -----------------------------------------------------------------------------------------------------------

create table public.postings (
  id uuid not null default extensions.uuidv7(),
  journal_entry_id uuid not null,
  community_id uuid not null,
  fund_id uuid not null,
  decimals smallint not null,
  effective_on date not null,
  debit_account_id uuid not null,
  debit_subaccount_id uuid,
  credit_account_id uuid not null,
  credit_subaccount_id uuid,
  amount numeric not null,
  memo text,
  constraint postings_pkey primary key (id),
  constraint postings_entry_fkey foreign key (journal_entry_id, community_id) references public.journal_entries (id, community_id) on delete restrict
);

-- Few and small, because every posting pays for them.
create index postings_entry_idx on public.postings (journal_entry_id, community_id);
create index postings_debit_account_idx on public.postings (debit_account_id, effective_on);
create index postings_credit_account_idx on public.postings (credit_account_id, effective_on);
create index postings_debit_subaccount_idx on public.postings (debit_subaccount_id) where debit_subaccount_id is not null;
create index postings_credit_subaccount_idx on public.postings (credit_subaccount_id) where credit_subaccount_id is not null;

comment on table public.postings is
  'What entries move: each posting one amount, from a credit account to a debit account of the same fund. Append-only. Its accounts and subaccounts, and the entry''s day and decimals, are looked up by the trigger _200_post, all at once for a statement: '
  'four more foreign keys would double what a posting costs, and let all postings lock the same few accounts. What they refer to has frozen keys and is never deleted. The same trigger checks what a row looks like, as '
  'postings_amount_check, postings_sides_check and postings_memo_check: a check constraint is read from its text and planned anew by every statement, and these three took a seventh of what an entry costs.';
comment on column public.postings.journal_entry_id is 'The entry it is a part of.';
comment on column public.postings.fund_id is 'The fund in which it moves.';
comment on column public.postings.decimals is 'The decimals of the books, those of the entry and of both accounts.';
comment on column public.postings.effective_on is 'The day the entry counts for.';
comment on column public.postings.debit_account_id is 'The account that is debited.';
comment on column public.postings.debit_subaccount_id is 'Whose account within it.';
comment on column public.postings.credit_account_id is 'The account that is credited.';
comment on column public.postings.credit_subaccount_id is 'Whose account within it.';
comment on column public.postings.amount is 'How much: more than nothing, with the currency''s decimals.';
comment on column public.postings.memo is 'What this part is, where the entry''s description does not say it.';

select app.keep('public.postings');

-- Who sees what ------------------------------------------------------------------------------------------------------

create function app.my_journal_entries()
returns setof uuid
language plpgsql
stable
security definer -- reads postings before any policy on them is decided
set search_path = ''
as $$
begin
  return query
    with mine as materialized (select s as id from app.my_subaccounts() s)
    select e.id
    from (
      select p.journal_entry_id, count(*) as many
      from (
        select p.id, p.journal_entry_id from mine m join public.postings p on p.debit_subaccount_id = m.id
        where p.credit_subaccount_id is null or p.credit_subaccount_id in (select o.id from mine o)
        union
        select p.id, p.journal_entry_id from mine m join public.postings p on p.credit_subaccount_id = m.id
        where p.debit_subaccount_id is null or p.debit_subaccount_id in (select o.id from mine o)
      ) p
      group by p.journal_entry_id
    ) p
    join public.journal_entries e on e.id = p.journal_entry_id and e.posting_count = p.many;
end;
$$;

comment on function app.my_journal_entries() is
  'The entries that are about the caller''s own accounts alone. An entry that others share (a run of fees) shows the caller only the own postings: its total would tell of the others. Definer: reads postings.';

grant execute on function app.my_journal_entries() to authenticated;

create policy journal_entries_select on public.journal_entries for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (
      (select 'ledger.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('ledger.read'))
      or id in (select app.my_journal_entries())
    )
  );
create policy postings_select on public.postings for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (
      (select 'ledger.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('ledger.read'))
      or debit_subaccount_id in (select app.my_subaccounts())
      or credit_subaccount_id in (select app.my_subaccounts())
    )
  );
grant select on public.journal_entries, public.postings to authenticated, service_role;

-- Admitting an entry -------------------------------------------------------------------------------------------------

create function app.lock_ledger(community uuid, is_exclusive boolean)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform app.fail(409, 'isolation_refused', 'Posting looks at what others have just committed, which this isolation level hides.',
      'Post in a transaction that is read committed.');
  elsif is_exclusive then
    perform pg_advisory_xact_lock(uuid_hash_extended(community, 7311));
  else
    perform pg_advisory_xact_lock_shared(uuid_hash_extended(community, 7311));
  end if;
end;
$$;

comment on function app.lock_ledger(uuid, boolean) is
  'Holds the books of a community until the end of the transaction: whoever posts shares them, whoever closes or reopens a period has them alone. Read committed only (409 isolation_refused). Not executable by API roles.';

create function app.tg_journal_entries__admit()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  -- app.lock_ledger, written out: an expression costs a third of what a statement does. Each is made ready once per transaction, function by
  -- function, and so is every function that it calls; what is seldom needed stands behind an if.
  is_held constant boolean := pg_advisory_xact_lock_shared(uuid_hash_extended(new.community_id, 7311)) is not null;
  opened date;
  closed date;
begin
  -- A statement of its own: it sees what was closed until the lock was ours. 1500 reads 1500.00; what does not fit stays as it is.
  select l.decimals, round(new.total, greatest(l.decimals, min_scale(new.total))), l.opened_on, l.closed_through
  into new.decimals, new.total, opened, closed
  from public.ledgers l
  where l.community_id = new.community_id;
  -- Most days are neither closed, nor before the books, nor far ahead, and nothing else is wrong either: one expression tells.
  if (
    new.effective_on > coalesce(closed, opened - 1) and new.effective_on <= current_date + 400
    -- Neither too long, nor with spaces around it, nor empty.
    and new.description = btrim(left(new.description, 500)) and new.description > ''
    and new.reverses_id is null and new.kind <> 'reversal'
    and case when new.document_kind is null then new.document_id is null else new.document_id is not null end
    and case when new.idempotency_key is null then new.request_hash is null else new.request_hash is not null end
    and new.booked_by is null and new.booked_as is null
    and current_setting('transaction_isolation') = 'read committed'
  ) is not true then
    if current_setting('transaction_isolation') <> 'read committed' then
      perform app.lock_ledger(new.community_id, false);
    elsif opened is null then
      perform app.fail(409, 'books_not_open', 'This community has no books yet.', 'Open them with open_books.');
    elsif new.effective_on <= closed then
      perform app.fail(409, 'period_closed', format('The books are closed through %s.', closed), 'Date the entry later, or reopen the period.');
    elsif new.effective_on < opened and new.kind <> 'opening' and not exists (
      select from public.journal_entries o where o.id = new.reverses_id and o.community_id = new.community_id and o.kind = 'opening')
    then
      perform app.fail(422, 'before_books', format('These books begin on %s.', opened));
    elsif new.effective_on > current_date + 400 then
      perform app.fail(422, 'too_far_ahead', 'An entry is dated at most 400 days ahead.');
    elsif not (new.description = btrim(left(new.description, 500)) and new.description > '') then
      raise check_violation using schema = 'public', table = 'journal_entries', constraint = 'journal_entries_description_check',
        message = 'The description of an entry is 1 to 500 characters, without spaces around them.';
    elsif (new.reverses_id is null) = (new.kind = 'reversal') or (new.document_kind is null) <> (new.document_id is null) or (new.idempotency_key is null) <> (new.request_hash is null) then
      raise check_violation using schema = 'public', table = 'journal_entries', constraint = 'journal_entries_kind_check',
        message = 'A reversal, and nothing else, reverses an entry; a document has a kind and an id, a request a key and a hash.';
    end if;
    new.booked_by := null;
    new.booked_as := null;
  end if;
  new.booked_at := current_timestamp;
  -- app.actor_id() and the commonest of app.actor_label(), written out.
  if current_setting('request.jwt.claims', true) <> '' then
    new.booked_by := case when current_setting('role') in ('authenticated', 'anon', 'service_role') or pg_has_role(session_user, 'postgres', 'member')
      then current_setting('request.jwt.claims')::jsonb ->> 'sub' end;
    if new.booked_by is null then
      new.booked_as := app.actor_label();
    end if;
  elsif session_user = 'postgres' and current_setting('role') = 'none' and coalesce(current_setting('app.actor', true), '') = '' then
    new.booked_as := 'studio:postgres';
  else
    new.booked_as := app.actor_label();
  end if;
  return new;
end;
$$;

comment on function app.tg_journal_entries__admit() is
  'BEFORE INSERT: holds the books (shared), refuses a date outside of them (409 books_not_open, period_closed; 422 before_books, too_far_ahead) and what an entry does not look like '
  '(23514, as journal_entries_description_check and journal_entries_kind_check), and says who posts.';

create trigger _200_admit before insert on public.journal_entries for each row execute function app.tg_journal_entries__admit();

create function app.tg_journal_entries__posted()
returns trigger
language plpgsql
security definer -- looks for postings whoever may see them: at commit it runs as the caller
set search_path = ''
as $$
begin
  perform from public.postings p where p.journal_entry_id = new.id and p.community_id = new.community_id limit 1;
  if not found then
    perform app.fail(422, 'entry_incomplete', format('The entry "%s" has no postings.', new.description));
  end if;
  return null;
end;
$$;

comment on function app.tg_journal_entries__posted() is 'AFTER INSERT, at the end of the transaction: an entry without postings does not commit (422 entry_incomplete). Definer: looks for postings whoever may see them.';

create constraint trigger _900_posted after insert on public.journal_entries deferrable initially deferred
  for each row execute function app.tg_journal_entries__posted();

-- Posting ------------------------------------------------------------------------------------------------------------

create function app.fail_incomplete(entries uuid[])
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  wrong record;
begin
  select e.description, e.posting_count, e.total, p.many, p.total as posted into wrong
  from public.journal_entries e
  cross join lateral (select count(*) as many, sum(p.amount) as total from public.postings p where p.journal_entry_id = e.id) p
  where e.id = any (entries) and (p.many <> e.posting_count or p.total <> e.total)
  limit 1;
  if wrong.many > wrong.posting_count then
    perform app.fail(409, 'entry_sealed', format('The entry "%s" has all its postings.', wrong.description), 'Post another entry.');
  end if;
  perform app.fail(422, 'entry_incomplete',
    format('The entry "%s" announces %s postings of %s and has %s of %s.', wrong.description, wrong.posting_count, wrong.total, wrong.many, wrong.posted),
    'Write all postings of an entry with one INSERT.');
end;
$$;

comment on function app.fail_incomplete(uuid[]) is 'Refuses entries whose postings are too few or of another sum (422 entry_incomplete), or too many (409 entry_sealed). Not executable by API roles.';

create function app.tg_postings__post()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  one public.postings;
  told record;
  moved record;
  planned record;
  many integer;
begin
  -- Most statements write one posting that moves one balance: looked at without grouping anything, by lookups of single rows, whose plans
  -- do not depend on how many there are. Whatever is not in order falls through, to be looked at below. The balance's row is locked last.
  -- The row is taken as it is: a column that is computed costs more than all that are not. INTO reads the first row and no other.
  select n.* into one from new_rows n;
  if (one.debit_subaccount_id is null) <> (one.credit_subaccount_id is null) and one.memo is null
    and one.amount > 0 and one.amount < 1e15 and min_scale(one.amount) <= one.decimals
  then
    -- Both accounts are found, so they are two. That the control account is of this community, its subaccount's key says.
    update public.subaccounts s
    set balance = s.balance + case when one.debit_subaccount_id is null then -one.amount else one.amount end
    where s.id = coalesce(one.debit_subaccount_id, one.credit_subaccount_id)
      and s.account_id = case when one.debit_subaccount_id is null then one.credit_account_id else one.debit_account_id end
      and s.community_id = one.community_id
      and (
        select e.posting_count = 1 and e.total = one.amount and e.effective_on = one.effective_on and e.decimals = one.decimals
        from public.journal_entries e where e.id = one.journal_entry_id and e.community_id = one.community_id)
      and exists (
        select from public.accounts a
        where a.id in (one.debit_account_id, one.credit_account_id) and a.fund_id = one.fund_id and a.status = 'active' and a.counter_fund_id is null
          and a.is_control = case a.id when one.debit_account_id then one.debit_subaccount_id is not null else one.credit_subaccount_id is not null end
        offset 1)
      and not exists (select from public.postings p where p.journal_entry_id = one.journal_entry_id and p.id <> one.id)
      and not exists (select from new_rows offset 1);
    if found then
      return null;
    end if;
  end if;

  -- One look at everything. Postings that differ in subaccounts and amounts alone are one group, so that the accounts of a hundred thousand
  -- are looked up twice. Subqueries and no joins: an index lookup each, however many rows there were when the plan was made.
  -- An entry is complete with the postings that the table has of it, and not only the new ones: none comes later. They are counted by their index,
  -- even where the planner knows of one entry that has them all. Grouped without putting them in order, which would copy each.
  select current_setting('enable_nestloop') as nestloop, current_setting('enable_hashjoin') as hashjoin, current_setting('enable_mergejoin') as mergejoin,
    current_setting('enable_seqscan') as seqscan, current_setting('enable_hashagg') as hashagg, current_setting('enable_bitmapscan') as bitmapscan,
    current_setting('enable_sort') as sort
  into planned;
  perform set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true);
  select max(w.refused) as refused, bool_and(w.has_entry) as has_entry, bool_and(w.is_complete) as is_complete, max(w.problem) as problem, sum(w.moves) as moves
  into told
  from (
    select
      max(g.refused) as refused, bool_and(g.has_entry) as has_entry, max(g.problem) as problem, sum(g.moves) as moves,
      (
        select e.posting_count = sum(g.many) and e.total = sum(g.total)
          and e.posting_count = (select count(*) from public.postings p where p.journal_entry_id = e.id)
        from public.journal_entries e
        where e.id = g.journal_entry_id and e.community_id = g.community_id
      ) as is_complete
    from (
      select
        n.journal_entry_id, n.community_id, n.many, n.total, n.refused,
        exists (
          select from public.journal_entries e
          where e.id = n.journal_entry_id and e.community_id = n.community_id and e.effective_on = n.effective_on and e.decimals = n.decimals) as has_entry,
        n.many * (n.has_debit_subaccount::integer + n.has_credit_subaccount::integer) as moves,
        -- 0: none; 1: out of use, or between funds; 2: not of this community and fund, or its subaccount is missing or too many.
        greatest(
          coalesce((
            select case when a.status = 'active' and a.counter_fund_id is null then 0 else 1 end
            from public.accounts a
            where a.id = n.debit_account_id and a.community_id = n.community_id and a.fund_id = n.fund_id and a.decimals = n.decimals
              and a.is_control = n.has_debit_subaccount), 2),
          coalesce((
            select case when a.status = 'active' and a.counter_fund_id is null then 0 else 1 end
            from public.accounts a
            where a.id = n.credit_account_id and a.community_id = n.community_id and a.fund_id = n.fund_id and a.decimals = n.decimals
              and a.is_control = n.has_credit_subaccount), 2)) as problem
      from (
        select
          n.journal_entry_id, n.community_id, n.fund_id, n.decimals, n.effective_on, n.debit_account_id, n.credit_account_id,
          n.debit_subaccount_id is not null as has_debit_subaccount, n.credit_subaccount_id is not null as has_credit_subaccount,
          count(*) as many, sum(n.amount) as total,
          max(case
            when (n.amount > 0 and n.amount < 1e15 and min_scale(n.amount) <= n.decimals) is not true then 'amount'
            when (n.debit_account_id <> n.credit_account_id or n.debit_subaccount_id <> n.credit_subaccount_id) is not true then 'sides'
            when n.memo = '' or length(n.memo) > 500 then 'memo'
          end) as refused
        from new_rows n
        group by n.journal_entry_id, n.community_id, n.fund_id, n.decimals, n.effective_on, n.debit_account_id, n.credit_account_id, 8, 9
      ) n
    ) g
    group by g.journal_entry_id, g.community_id
  ) w;

  if told.refused is not null then
    raise check_violation using schema = 'public', table = 'postings', constraint = format('postings_%s_check', told.refused),
      message = case told.refused
        when 'amount' then 'The amount of a posting is more than nothing, less than 10^15, and has no more decimals than the books.'
        when 'sides' then 'The two sides of a posting differ.'
        else 'The memo of a posting is 1 to 500 characters.'
      end;
  elsif not told.has_entry then
    raise foreign_key_violation using message = 'A posting is of no entry of its community, day and decimals.', schema = 'public', table = 'postings', constraint = 'postings_entry_fkey';
  elsif not told.is_complete then
    perform app.fail_incomplete(array(select n.journal_entry_id from new_rows n));
  elsif told.problem = 2 then
    perform app.fail(422, 'account_refused', 'An account is not one of this community and fund, or lacks its subaccount, or takes none.',
      'Both accounts of a posting are of its fund; control accounts, and only they, name a subaccount.');
  elsif told.problem = 1 then
    select a.name into moved
    from new_rows n
    join public.journal_entries e on e.id = n.journal_entry_id and e.kind not in ('closing', 'reversal')
    join public.accounts a on a.id in (n.debit_account_id, n.credit_account_id) and a.status <> 'active'
    limit 1;
    if found then
      perform app.fail(409, 'account_inactive', format('The account "%s" is out of use.', moved.name), 'Post to another one, or set it active again.');
    end if;
    -- What a fund claims of another one, the other owes it: a pair is (who claims, who owes).
    perform
    from (
      select n.journal_entry_id, s.amount, case a.purpose when 'due_from' then array[a.fund_id, a.counter_fund_id] else array[a.counter_fund_id, a.fund_id] end as pair
      from new_rows n
      cross join lateral (values (n.debit_account_id, n.amount), (n.credit_account_id, -n.amount)) s (account_id, amount)
      join public.accounts a on a.id = s.account_id and a.counter_fund_id is not null
    ) d
    group by d.journal_entry_id, d.pair
    having sum(d.amount) <> 0;
    if found then
      perform app.fail(422, 'interfund_unmatched', 'What one fund claims of another is not what the other owes it.', 'Use transfer_between_funds.');
    end if;
  end if;

  if told.moves > 0 then
    -- The account is of the posting's community and fund, as was looked at, and so, by key, is what is of the account.
    -- In id order, so that two who move the same ones wait and do not deadlock: a merge join writes in the order of its key, which only the id can
    -- be, as the others are not compared by an operator that sorts. One walk along the index finds all ids, whatever is known of how many there are.
    perform set_config('enable_mergejoin', 'on', true), set_config('enable_sort', 'on', true), set_config('enable_nestloop', 'off', true), set_config('enable_hashjoin', 'off', true),
      set_config('enable_hashagg', 'off', true), set_config('enable_bitmapscan', 'off', true);
    with sums as materialized (
      select m.id, m.account_id, sum(m.amount) as amount
      from (
        select n.debit_subaccount_id as id, n.debit_account_id as account_id, n.amount from new_rows n where n.debit_subaccount_id is not null
        union all
        select n.credit_subaccount_id, n.credit_account_id, -n.amount from new_rows n where n.credit_subaccount_id is not null
      ) m
      group by m.id, m.account_id
      order by m.id
    ),
    written as (
      update public.subaccounts s set balance = s.balance + m.amount
      from sums m
      where s.id = m.id and s.id = any (array(select m.id from sums m)) and s.account_id is not distinct from m.account_id
      returning true
    )
    select (select count(*) from sums) - (select count(*) from written) into many;
    perform set_config('enable_mergejoin', planned.mergejoin, true), set_config('enable_nestloop', planned.nestloop, true), set_config('enable_hashjoin', planned.hashjoin, true),
      set_config('enable_hashagg', planned.hashagg, true), set_config('enable_bitmapscan', planned.bitmapscan, true);
    if many > 0 then
      perform app.fail(422, 'subaccount_refused', 'A subaccount is not one of the account it is named with.');
    end if;
  end if;
  perform set_config('enable_seqscan', planned.seqscan, true), set_config('enable_sort', planned.sort, true);
  return null;
end;
$$;

comment on function app.tg_postings__post() is
  'AFTER INSERT, per statement: amounts, sides and memos are in order (23514, as postings_amount_check, postings_sides_check, postings_memo_check); postings are of an entry of their community, day and decimals '
  '(23503, as by the key) and entries are complete (422 entry_incomplete, 409 entry_sealed); accounts are of the posting''s community and fund, name a subaccount where they are control accounts and nowhere else '
  '(422 account_refused, subaccount_refused), and are in use (409 account_inactive); claims between funds come in pairs (422 interfund_unmatched); moves the balances of subaccounts.';

create trigger _200_post after insert on public.postings referencing new table as new_rows for each statement execute function app.tg_postings__post();

-- Reading ------------------------------------------------------------------------------------------------------------

create view public.ledger_lines with (security_invoker = true) as
select
  p.id as posting_id, p.journal_entry_id, p.community_id, p.fund_id, p.effective_on, p.debit_account_id as account_id, p.debit_subaccount_id as subaccount_id,
  s.unit_id, s.resident_id, p.amount as debit, null::numeric as credit, p.memo
from public.postings p
left join public.subaccounts s on s.id = p.debit_subaccount_id
union all
select
  p.id, p.journal_entry_id, p.community_id, p.fund_id, p.effective_on, p.credit_account_id, p.credit_subaccount_id,
  s.unit_id, s.resident_id, null, p.amount, p.memo
from public.postings p
left join public.subaccounts s on s.id = p.credit_subaccount_id;

comment on view public.ledger_lines is 'The journal in classic form: two lines per posting, one debit and one credit. Filter by account_id or subaccount_id and effective_on, or by journal_entry_id.';
comment on column public.ledger_lines.posting_id is 'The posting.';
comment on column public.ledger_lines.journal_entry_id is 'The entry.';
comment on column public.ledger_lines.community_id is 'The community.';
comment on column public.ledger_lines.fund_id is 'The fund.';
comment on column public.ledger_lines.effective_on is 'The day the entry counts for.';
comment on column public.ledger_lines.account_id is 'The account of this line.';
comment on column public.ledger_lines.subaccount_id is 'Whose account within it, where it is a control account.';
comment on column public.ledger_lines.unit_id is 'The unit of the subaccount.';
comment on column public.ledger_lines.resident_id is 'The person of the subaccount.';
comment on column public.ledger_lines.debit is 'The amount, if the line is a debit.';
comment on column public.ledger_lines.credit is 'The amount, if the line is a credit.';
comment on column public.ledger_lines.memo is 'What this part is, where the entry''s description does not say it.';

grant select on public.ledger_lines to authenticated, service_role;
