-- Ledger: verifying the books.
--
-- Purpose     Keys, checks and triggers keep a wrong state from being stored. Whoever can switch them off (a superuser, a restored dump, a
--             script with session_replication_role = replica) can store one. This finds it, and says where.
-- Tables      app.ledger_checks, app.ledger_documents
-- RPCs        verify_ledger
-- Invariants  Sound books give no line. Every rule of the ledger that can be told from its rows has a check, which reads the rows alone and
--             trusts neither keys nor triggers. Later domains add theirs: app.define_ledger_check for a rule of their own,
--             app.define_ledger_document for "the document and its entries know each other". All checks see one snapshot.

-- The registry -------------------------------------------------------------------------------------------------------

create table app.ledger_checks (
  problem text not null,
  check_function text not null,
  description text not null,
  is_fault boolean not null default true,
  constraint ledger_checks_pkey primary key (problem),
  constraint ledger_checks_problem_check check (problem ~ '^[a-z]+(_[a-z]+)*$'),
  constraint ledger_checks_check_function_check check (to_regprocedure(check_function) is not null)
);

comment on table app.ledger_checks is 'What verify_ledger looks for, and what is worth a look besides. Part of the system: each domain that posts adds its own.';
comment on column app.ledger_checks.problem is 'The token that verify_ledger answers.';
comment on column app.ledger_checks.check_function is 'A function f(community uuid), as schema.name(uuid), whose rows are the problems: entry_id, posting_id, account_id, subaccount_id, detail. Text, because pg_upgrade cannot carry regprocedure.';
comment on column app.ledger_checks.description is 'What is wrong, in a sentence.';
comment on column app.ledger_checks.is_fault is 'Whether it could not have been stored with keys and triggers in force. If not, it is allowed and worth a look: the nightly verification lists it, and verify_ledger does not.';

alter table app.ledger_checks enable row level security;
create policy ledger_checks_select on app.ledger_checks for select to authenticated using (false);

create function app.define_ledger_check(problem text, check_function text, description text, is_fault boolean default true)
returns void
language sql
volatile
set search_path = ''
as $$
  insert into app.ledger_checks (problem, check_function, description, is_fault)
  values (define_ledger_check.problem, define_ledger_check.check_function || '(uuid)', define_ledger_check.description, define_ledger_check.is_fault)
  on conflict on constraint ledger_checks_pkey do update set check_function = excluded.check_function, description = excluded.description, is_fault = excluded.is_fault
$$;

comment on function app.define_ledger_check(text, text, text, boolean) is
  'Makes verify_ledger look for a problem: its token, the function app.check_<what> that finds it (given a community, returns entry_id, posting_id, account_id, subaccount_id, detail), a sentence. '
  'is_fault false: it is no fault, and the nightly verification alone lists it.';

create function app.ledger_problems(community uuid, faults boolean)
returns table (problem text, entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language plpgsql
stable -- one snapshot for all checks: what is posted meanwhile is in all of them or in none
set search_path = ''
set jit = off
set work_mem = '64MB' -- every posting is joined and summed several times
as $$
declare
  looked_for app.ledger_checks;
begin
  for looked_for in select c.* from app.ledger_checks c where c.is_fault = faults order by c.problem loop
    return query execute format('select $1, f.entry_id, f.posting_id, f.account_id, f.subaccount_id, f.detail from %s($2) f',
      looked_for.check_function::regprocedure::oid::regproc) using looked_for.problem, community;
  end loop;
end;
$$;

comment on function app.ledger_problems(uuid, boolean) is 'What all checks find in a community''s books: faults, or what is none and worth a look. Asks for no permission. Not executable by API roles.';

create function app.verify_ledger(community uuid)
returns table (problem text, entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language plpgsql
stable
security definer -- whoever verifies sees every row, whatever policies hide
set search_path = ''
as $$
begin
  perform app.require('ledger.read', community);
  return query select p.* from app.ledger_problems(community, true) p;
end;
$$;

comment on function app.verify_ledger(uuid) is
  'What public.verify_ledger does. Definer: whoever verifies sees every row, whatever policies hide.';

create function public.verify_ledger(community_id uuid)
returns table (problem text, entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
set statement_timeout = '60s' -- PostgREST takes it over for the whole call, in place of the role's 8 seconds
as $$ select * from app.verify_ledger(community_id) $$;

comment on function public.verify_ledger(uuid) is
  'Looks for anything in a community''s books that could not have been stored with keys and triggers in force; no line means that they are sound. '
  'Each line: the problem (docs/statements.md lists them), the entry, posting, account or subaccount that it is about, and a sentence. Takes ledger.read. Errors: permission_denied.';

grant execute on function app.verify_ledger(uuid), public.verify_ledger(uuid) to authenticated, service_role;

-- Documents ----------------------------------------------------------------------------------------------------------

create table app.ledger_documents (
  kind text not null,
  table_id regclass not null,
  entry_columns name[] not null,
  constraint ledger_documents_pkey primary key (kind),
  constraint ledger_documents_kind_check check (kind ~ '^[a-z][a-z_]{1,62}$')
);

comment on table app.ledger_documents is 'The kinds of documents that post entries. Part of the system: each domain that posts adds its own.';
comment on column app.ledger_documents.kind is 'What journal_entries.document_kind says.';
comment on column app.ledger_documents.table_id is 'The table of these documents, with columns id and community_id.';
comment on column app.ledger_documents.entry_columns is 'Its columns that name the entries which a document has posted.';

alter table app.ledger_documents enable row level security;
create policy ledger_documents_select on app.ledger_documents for select to authenticated using (false);

create function app.define_ledger_document(kind text, table_id regclass, entry_columns name[] default '{journal_entry_id}')
returns void
language sql
volatile
set search_path = ''
as $$
  insert into app.ledger_documents (kind, table_id, entry_columns)
  values (define_ledger_document.kind, define_ledger_document.table_id, define_ledger_document.entry_columns)
  on conflict on constraint ledger_documents_pkey do update set table_id = excluded.table_id, entry_columns = excluded.entry_columns
$$;

comment on function app.define_ledger_document(text, regclass, name[]) is
  'Makes verify_ledger compare documents of a kind with the entries that they posted: the kind, the table, and its columns that name entries whose document_kind and document_id name the row.';

create function app.check_entry_documents(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language plpgsql
stable
set search_path = ''
as $$
declare
  known app.ledger_documents;
begin
  for known in select d.* from app.ledger_documents d order by d.kind loop
    return query execute format(
      'select e.id, null::uuid, null::uuid, null::uuid, format(%L, e.document_kind)
       from public.journal_entries e
       where e.community_id = $1 and e.document_kind = $2 and not exists (select from %s d where d.id = e.document_id and d.community_id = e.community_id)',
      'The entry names a document (%s) that does not exist.', known.table_id) using community, known.kind;
  end loop;
  return query
    select e.id, null::uuid, null::uuid, null::uuid, format('Nobody knows documents of the kind %s.', e.document_kind)
    from public.journal_entries e
    where e.community_id = community and e.document_kind is not null and not exists (select from app.ledger_documents d where d.kind = e.document_kind);
end;
$$;

create function app.check_document_entries(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language plpgsql
stable
set search_path = ''
as $$
declare
  known record;
begin
  for known in select d.kind, d.table_id, c.entry_column from app.ledger_documents d cross join unnest(d.entry_columns) c (entry_column) order by d.kind loop
    return query execute format(
      'select d.%1$I, null::uuid, null::uuid, null::uuid, format(%3$L, $2, d.id)
       from %2$s d
       where d.community_id = $1 and d.%1$I is not null and not exists (
         select from public.journal_entries e
         where e.id = d.%1$I and e.community_id = d.community_id and e.document_kind = $2 and e.document_id = d.id)',
      known.entry_column, known.table_id, 'The document (%s %s) names an entry that is not its own.') using community, known.kind;
  end loop;
end;
$$;

-- Entries and their postings -----------------------------------------------------------------------------------------

create function app.check_orphan_postings(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select p.journal_entry_id, p.id, null::uuid, null::uuid, format('The posting of %s belongs to an entry that does not exist.', p.amount)
  from public.postings p
  left join public.journal_entries e on e.id = p.journal_entry_id
  where p.community_id = community and e.id is null
$$;

create function app.check_foreign_postings(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select e.id, p.id, null::uuid, null::uuid, format('The posting of %s is of another community than its entry.', p.amount)
  from public.postings p
  join public.journal_entries e on e.id = p.journal_entry_id and e.community_id <> p.community_id
  where community in (p.community_id, e.community_id)
$$;

create function app.check_entry_counts(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select e.id, null::uuid, null::uuid, null::uuid, format('The entry announces %s postings and has %s.', e.posting_count, coalesce(p.many, 0))
  from public.journal_entries e
  left join (
    select x.journal_entry_id, count(*) as many from public.postings x where x.community_id = community group by x.journal_entry_id
  ) p on p.journal_entry_id = e.id
  where e.community_id = community and coalesce(p.many, 0) <> e.posting_count
$$;

create function app.check_entry_totals(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select e.id, null::uuid, null::uuid, null::uuid, format('The entry announces %s, its postings sum to %s.', e.total, p.total)
  from public.journal_entries e
  join (
    select x.journal_entry_id, sum(x.amount) as total from public.postings x where x.community_id = community group by x.journal_entry_id
  ) p on p.journal_entry_id = e.id
  where e.community_id = community and p.total <> e.total
$$;

create function app.check_posting_dates(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select e.id, p.id, null::uuid, null::uuid, format('The posting counts for %s, its entry for %s.', p.effective_on, e.effective_on)
  from public.postings p
  join public.journal_entries e on e.id = p.journal_entry_id
  where p.community_id = community and p.effective_on <> e.effective_on
$$;

create function app.check_amounts(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select p.journal_entry_id, p.id, null::uuid, null::uuid, format('No posting moves %s.', p.amount)
  from public.postings p
  where p.community_id = community and (p.amount > 0 and p.amount < 1e15) is not true
$$;

create function app.check_decimals(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  with books as (
    select c.currency_code, k.decimals
    from public.communities c join public.currencies k on k.code = c.currency_code
    where c.id = community and exists (select from public.ledgers l where l.community_id = community)
  )
  select null::uuid, null::uuid, null::uuid, null::uuid, format('The books are kept in %s with %s decimals, the community''s currency is %s with %s.', l.currency_code, l.decimals, b.currency_code, b.decimals)
  from books b join public.ledgers l on l.community_id = community
  where (l.currency_code, l.decimals) <> (b.currency_code, b.decimals)
  union all
  select null, null, null, null, format('The fund %s has %s decimals.', f.code, f.decimals)
  from books b join public.funds f on f.community_id = community and f.decimals <> b.decimals
  union all
  select null, null, a.id, null, format('The account %s has %s decimals.', a.code, a.decimals)
  from books b join public.accounts a on a.community_id = community and a.decimals <> b.decimals
  union all
  select e.id, null, null, null, format('The entry has %s decimals.', e.decimals)
  from books b join public.journal_entries e on e.community_id = community and e.decimals <> b.decimals
  union all
  select p.journal_entry_id, p.id, null, null, format('The posting of %s has %s decimals.', p.amount, p.decimals)
  from books b join public.postings p on p.community_id = community and (p.decimals <> b.decimals or p.amount <> round(p.amount, b.decimals))
$$;

-- Accounts and subaccounts -------------------------------------------------------------------------------------------

create function app.posting_places(community uuid)
returns table (fund_id uuid, account_id uuid, subaccount_id uuid, amount numeric)
language sql
stable
set search_path = ''
as $$
  select s.fund_id, s.account_id, s.subaccount_id, sum(s.amount)
  from (
    select p.fund_id, p.debit_account_id, p.debit_subaccount_id, p.credit_account_id, p.credit_subaccount_id, sum(p.amount) as amount
    from public.postings p
    where p.community_id = community
    group by 1, 2, 3, 4, 5
  ) m
  cross join lateral (values (m.fund_id, m.debit_account_id, m.debit_subaccount_id, m.amount), (m.fund_id, m.credit_account_id, m.credit_subaccount_id, -m.amount)) s (fund_id, account_id, subaccount_id, amount)
  group by 1, 2, 3
$$;

comment on function app.posting_places(uuid) is
  'Every fund, account and subaccount that a posting of the community names together, and what they come to: debits less credits. They are few, however many postings there are.';

create function app.postings_at(community uuid, fund uuid, account uuid, subaccount uuid)
returns table (journal_entry_id uuid, id uuid, amount numeric)
language sql
stable
set search_path = ''
as $$
  select p.journal_entry_id, p.id, p.amount
  from public.postings p
  where p.community_id = community and p.fund_id = fund
    and ((p.debit_account_id = account and p.debit_subaccount_id is not distinct from subaccount)
      or (p.credit_account_id = account and p.credit_subaccount_id is not distinct from subaccount))
$$;

comment on function app.postings_at(uuid, uuid, uuid, uuid) is 'The postings that name this fund, account and subaccount together, for whoever has found something wrong with them.';

create function app.check_accounts(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  with wrong as materialized (
    select m.fund_id, m.account_id, m.subaccount_id, case
      when a.id is null then 'The posting names an account that does not exist.'
      when a.community_id <> community then format('The account %s is another community''s.', a.code)
      else format('The account %s is of another fund than the posting.', a.code)
    end as detail
    from app.posting_places(community) m
    left join public.accounts a on a.id = m.account_id
    where (a.community_id, a.fund_id) is distinct from (community, m.fund_id)
  )
  select p.journal_entry_id, p.id, w.account_id, null::uuid, w.detail
  from wrong w cross join lateral app.postings_at(community, w.fund_id, w.account_id, w.subaccount_id) p
  union all
  select null, null, a.id, null, format('The account %s is of a fund of another community, or of none.', a.code)
  from public.accounts a
  where a.community_id = community and not exists (select from public.funds f where f.id = a.fund_id and f.community_id = community)
$$;

create function app.check_control_accounts(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  with wrong as materialized (
    select m.fund_id, m.account_id, m.subaccount_id, case
      when a.is_control and m.subaccount_id is null then format('What stands in the control account %s is nobody''s.', a.code)
      when not a.is_control then format('The account %s has no subaccounts.', a.code)
      when s.id is null then 'The posting names a subaccount that does not exist.'
      else format('The subaccount is not of the account %s.', a.code)
    end as detail
    from app.posting_places(community) m
    join public.accounts a on a.id = m.account_id
    left join public.subaccounts s on s.id = m.subaccount_id
    where a.is_control <> (m.subaccount_id is not null)
      or (m.subaccount_id is not null and (s.community_id, s.fund_id, s.account_id) is distinct from (community, m.fund_id, m.account_id))
  )
  select p.journal_entry_id, p.id, w.account_id, w.subaccount_id, w.detail
  from wrong w cross join lateral app.postings_at(community, w.fund_id, w.account_id, w.subaccount_id) p
  union all
  select null, null, s.account_id, s.id, 'The subaccount is of no control account, unit or person of this community.'
  from public.subaccounts s
  -- By id alone: asked for the community too, the planner may look through all of it for each subaccount.
  left join public.accounts a on a.id = s.account_id
  left join public.units u on u.id = s.unit_id
  left join public.residents r on r.id = s.resident_id
  where s.community_id = community and (
    (a.community_id, a.fund_id, a.is_control) is distinct from (s.community_id, s.fund_id, true)
    or u.community_id is distinct from s.community_id
    or (s.resident_id is not null and r.community_id is distinct from s.community_id))
$$;

create function app.check_same_sides(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select p.journal_entry_id, p.id, p.debit_account_id, p.debit_subaccount_id, 'The posting moves an amount to where it comes from.'
  from public.postings p
  where p.community_id = community and p.debit_account_id = p.credit_account_id and p.debit_subaccount_id is not distinct from p.credit_subaccount_id
$$;

create function app.check_balances(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select null::uuid, null::uuid, s.account_id, s.id, format('The balance is %s, the postings sum to %s.', s.balance, coalesce(p.balance, 0))
  from public.subaccounts s
  left join (
    select m.subaccount_id, sum(m.amount) as balance from app.posting_places(community) m where m.subaccount_id is not null group by m.subaccount_id
  ) p on p.subaccount_id = s.id
  where s.community_id = community and s.balance <> coalesce(p.balance, 0)
$$;

-- Reversals, claims between funds ------------------------------------------------------------------------------------

create function app.check_reversed_once(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select e.reverses_id, null::uuid, null::uuid, null::uuid, format('%s entries reverse this one.', count(*))
  from public.journal_entries e
  where e.community_id = community and e.reverses_id is not null
  group by e.reverses_id
  having count(*) > 1
$$;

create function app.check_mirrors(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  with reversals as (
    select e.id, e.reverses_id, o.id as original, o.kind as original_kind, o.community_id as original_community, o.effective_on as original_on, e.effective_on, e.kind
    from public.journal_entries e
    left join public.journal_entries o on o.id = e.reverses_id
    where e.community_id = community and (e.kind = 'reversal' or e.reverses_id is not null)
  ),
  -- What was moved and moved back, by the places it was moved between: nothing may be left.
  moved as (
    select r.id, p.fund_id, p.debit_account_id, p.debit_subaccount_id, p.credit_account_id, p.credit_subaccount_id, p.amount, 1 as times
    from reversals r join public.postings p on p.journal_entry_id = r.original
    union all
    select r.id, p.fund_id, p.credit_account_id, p.credit_subaccount_id, p.debit_account_id, p.debit_subaccount_id, p.amount, -1
    from reversals r join public.postings p on p.journal_entry_id = r.id
  ),
  crooked as (
    select m.id
    from (
      select x.id from moved x
      group by x.id, x.fund_id, x.debit_account_id, x.debit_subaccount_id, x.credit_account_id, x.credit_subaccount_id, x.amount
      having sum(x.times) <> 0
    ) m
    group by m.id
  )
  select r.id, null::uuid, null::uuid, null::uuid, case
    when r.kind <> 'reversal' or r.reverses_id is null then 'Whether the entry is a reversal is said in two ways.'
    when r.original is null or r.original_community <> community then 'The entry reverses one that does not exist.'
    when r.original_kind = 'reversal' then 'The entry reverses a reversal.'
    when r.effective_on < r.original_on then 'The entry was reversed before it was made.'
    else 'The reversal does not mirror what it reverses.'
  end
  from reversals r
  where r.kind <> 'reversal' or r.reverses_id is null or r.original is null or r.original_community <> community or r.original_kind = 'reversal'
    or r.effective_on < r.original_on or r.id in (select c.id from crooked c)
$$;

create function app.check_interfund(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  with claims as materialized (
    select a.id, case a.purpose when 'due_from' then a.fund_id else a.counter_fund_id end as claims, case a.purpose when 'due_from' then a.counter_fund_id else a.fund_id end as owes
    from public.accounts a
    where a.community_id = community and a.counter_fund_id is not null
  )
  select p.journal_entry_id, null::uuid, (array_agg(p.account_id))[1], null::uuid,
    format('What %s claims of %s differs by %s from what is owed.', min(c.name), min(d.name), sum(p.amount))
  from (
    select x.journal_entry_id, k.id as account_id, x.amount, k.claims, k.owes from claims k join public.postings x on x.debit_account_id = k.id and x.community_id = community
    union all
    select x.journal_entry_id, k.id, -x.amount, k.claims, k.owes from claims k join public.postings x on x.credit_account_id = k.id and x.community_id = community
  ) p
  left join public.funds c on c.id = p.claims
  left join public.funds d on d.id = p.owes
  group by p.journal_entry_id, p.claims, p.owes
  having sum(p.amount) <> 0
$$;

-- Periods ------------------------------------------------------------------------------------------------------------

create function app.check_before_books(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select e.id, null::uuid, null::uuid, null::uuid, format('The entry counts for %s, the books begin on %s.', e.effective_on, coalesce(l.opened_on::text, 'no day'))
  from public.journal_entries e
  left join public.ledgers l on l.community_id = e.community_id
  left join public.journal_entries o on o.id = e.reverses_id
  where e.community_id = community and (l.id is null or (e.effective_on < l.opened_on and 'opening' in (e.kind, o.kind) is not true))
$$;

create function app.check_periods(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  with periods as (
    select p.name, p.starts_on, p.status, coalesce(lag(p.ends_on) over w + 1, l.opened_on) as expected_on, lag(p.status) over w as before
    from public.accounting_periods p
    join public.ledgers l on l.community_id = p.community_id
    where p.community_id = community
    window w as (order by p.ends_on)
  )
  select null::uuid, null::uuid, null::uuid, null::uuid, format('The period %s does not begin on %s.', p.name, p.expected_on)
  from periods p where p.starts_on <> p.expected_on
  union all
  select null, null, null, null, format('The period %s is closed, the one before it is open.', p.name)
  from periods p where p.status = 'closed' and p.before = 'open'
  union all
  select null, null, null, null, format('The books say that they are closed through %s, the periods through %s.', coalesce(l.closed_through::text, 'no day'), coalesce(c.last_on::text, 'no day'))
  from public.ledgers l
  cross join lateral (select max(p.ends_on) as last_on from public.accounting_periods p where p.community_id = community and p.status = 'closed') c
  where l.community_id = community and l.closed_through is distinct from c.last_on
$$;

create function app.check_booked_in_time(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select e.id, null::uuid, null::uuid, null::uuid, format('The entry counts for %s and was booked at %s; the period %s was closed at %s.', e.effective_on, e.booked_at, p.name, p.closed_at)
  from public.accounting_periods p
  join public.journal_entries e on e.community_id = p.community_id and e.effective_on between p.starts_on and p.ends_on and e.booked_at > p.closed_at
  where p.community_id = community and p.status = 'closed'
$$;

create function app.totals_by_day(community uuid)
returns table (account_id uuid, effective_on date, is_closing boolean, debit numeric, credit numeric)
language sql
stable
set search_path = ''
as $$
  with closings as materialized (
    select e.id
    from public.journal_entries e
    left join public.journal_entries r on r.id = e.reverses_id
    where e.community_id = community and 'closing' in (e.kind, r.kind)
  ),
  moved as materialized (
    select p.debit_account_id, p.credit_account_id, p.effective_on, c.id is not null as is_closing, sum(p.amount) as amount
    from public.postings p
    left join closings c on c.id = p.journal_entry_id
    where p.community_id = community
    group by 1, 2, 3, 4
  )
  select s.account_id, m.effective_on, m.is_closing, sum(s.debit), sum(s.credit)
  from moved m
  cross join lateral (values (m.debit_account_id, m.amount, 0::numeric), (m.credit_account_id, 0::numeric, m.amount)) s (account_id, debit, credit)
  group by s.account_id, m.effective_on, m.is_closing
$$;

comment on function app.totals_by_day(uuid) is 'What each account of a community was debited and credited on each day, closing entries and what took them back apart. From postings alone.';

create function app.check_snapshots(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  with told as (
    select p.id as period_id, p.name, p.status, s.account_id, s.debit_total, s.credit_total, s.closing_debit_total, s.closing_credit_total
    from public.accounting_periods p
    join public.account_snapshots s on s.period_id = p.id
    where p.community_id = community
  ),
  days as materialized (
    select * from app.totals_by_day(community)
  ),
  sums as (
    select p.id as period_id, p.name, d.account_id, sum(d.debit) as debit_total, sum(d.credit) as credit_total,
      coalesce(sum(d.debit) filter (where d.is_closing), 0) as closing_debit_total, coalesce(sum(d.credit) filter (where d.is_closing), 0) as closing_credit_total
    from public.accounting_periods p
    join days d on d.effective_on <= p.ends_on
    where p.community_id = community and p.status = 'closed'
    group by p.id, d.account_id
  )
  select null::uuid, null::uuid, coalesce(t.account_id, s.account_id), null::uuid, case
    when s.account_id is null then format('There is a snapshot for %s, and nothing that it could be of.', t.name)
    when t.account_id is null then format('There is no snapshot for %s, and there are postings of %s and %s.', s.name, s.debit_total, s.credit_total)
    else format('The snapshot for %s says %s and %s, the postings sum to %s and %s (closing entries: %s and %s; %s and %s).', t.name, t.debit_total, t.credit_total, s.debit_total, s.credit_total,
      t.closing_debit_total, t.closing_credit_total, s.closing_debit_total, s.closing_credit_total)
  end
  from told t
  full join sums s on s.period_id = t.period_id and s.account_id = t.account_id
  where (t.debit_total, t.credit_total, t.closing_debit_total, t.closing_credit_total) is distinct from (s.debit_total, s.credit_total, s.closing_debit_total, s.closing_credit_total)
$$;

create function app.check_closings(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  select null::uuid, null::uuid, d.account_id, null::uuid, format('The year that ended on %s is closed, and the account %s stands at %s.', p.ends_on, min(a.code), sum(d.debit - d.credit))
  from public.accounting_periods p
  join public.ledgers l on l.community_id = p.community_id
  join app.totals_by_day(community) d on d.effective_on <= p.ends_on
  join public.accounts a on a.id = d.account_id and a.type in ('income', 'expense')
  where p.community_id = community and p.status = 'closed' and p.ends_on = app.fiscal_year_end(l.fiscal_year_start_month, p.starts_on)
  group by p.ends_on, d.account_id
  having sum(d.debit) <> sum(d.credit)
  union all
  select e.id, null, null, null, 'The entry closes a year that is not closed, or not with this entry.'
  from public.journal_entries e
  where e.community_id = community and e.kind = 'closing'
    and not exists (select from public.journal_entries r where r.reverses_id = e.id)
    and not exists (select from public.accounting_periods p where p.closing_entry_id = e.id and p.status = 'closed' and p.ends_on = e.effective_on)
$$;

-- What is looked for -------------------------------------------------------------------------------------------------

comment on function app.check_entry_documents(uuid) is 'For verify_ledger: entries that name a document that does not exist, or a kind of document that nobody defined.';
comment on function app.check_document_entries(uuid) is 'For verify_ledger: documents that name an entry which does not name them.';
comment on function app.check_orphan_postings(uuid) is 'For verify_ledger: postings without an entry.';
comment on function app.check_foreign_postings(uuid) is 'For verify_ledger: postings of another community than their entry.';
comment on function app.check_entry_counts(uuid) is 'For verify_ledger: entries with fewer or more postings than they announce, or none.';
comment on function app.check_entry_totals(uuid) is 'For verify_ledger: entries whose postings do not sum to what they announce.';
comment on function app.check_posting_dates(uuid) is 'For verify_ledger: postings that count for another day than their entry.';
comment on function app.check_amounts(uuid) is 'For verify_ledger: postings of nothing, of less, or of too much.';
comment on function app.check_decimals(uuid) is 'For verify_ledger: books, funds, accounts, entries and postings with other decimals than the currency.';
comment on function app.check_accounts(uuid) is 'For verify_ledger: accounts and sides of postings that are of another community or fund, or do not exist.';
comment on function app.check_control_accounts(uuid) is 'For verify_ledger: control accounts moved without a subaccount, other accounts moved with one, and subaccounts of another account, fund or community.';
comment on function app.check_same_sides(uuid) is 'For verify_ledger: postings whose two sides are one.';
comment on function app.check_balances(uuid) is 'For verify_ledger: subaccounts whose balance is not the sum of their postings.';
comment on function app.check_reversed_once(uuid) is 'For verify_ledger: entries that were reversed twice.';
comment on function app.check_mirrors(uuid) is 'For verify_ledger: reversals that do not mirror what they reverse.';
comment on function app.check_before_books(uuid) is 'For verify_ledger: entries from before the books, but for opening balances and what takes them back.';
comment on function app.check_periods(uuid) is 'For verify_ledger: periods with gaps between them, closed out of order, or of which the books know nothing.';
comment on function app.check_booked_in_time(uuid) is 'For verify_ledger: entries that came into a period after it was closed.';
comment on function app.check_snapshots(uuid) is 'For verify_ledger: snapshots that are not what the postings through that day sum to, or are missing.';
comment on function app.check_closings(uuid) is 'For verify_ledger: closed fiscal years whose income and expenses were not moved to the fund balance, and closing entries of years that are not closed.';
comment on function app.check_interfund(uuid) is 'For verify_ledger: entries after which one fund claims what the other does not owe.';

select app.define_ledger_check(c.problem, c.check_function, c.description)
from (values
  ('orphan_posting', 'app.check_orphan_postings', 'A posting has no entry.'),
  ('foreign_posting', 'app.check_foreign_postings', 'A posting is of another community than its entry.'),
  ('posting_count_differs', 'app.check_entry_counts', 'An entry lacks a posting, has one too many, or has none.'),
  ('total_differs', 'app.check_entry_totals', 'An amount was changed: the postings do not sum to what the entry announces.'),
  ('date_differs', 'app.check_posting_dates', 'A posting counts for another day than its entry.'),
  ('invalid_amount', 'app.check_amounts', 'A posting moves nothing, less than nothing, or too much.'),
  ('wrong_decimals', 'app.check_decimals', 'Something has other decimals than the currency.'),
  ('wrong_account', 'app.check_accounts', 'An account is of another community or fund, or does not exist.'),
  ('wrong_subaccount', 'app.check_control_accounts', 'A control account was moved without a subaccount, or with one that is not its own.'),
  ('same_sides', 'app.check_same_sides', 'A posting moves an amount to where it comes from.'),
  ('wrong_balance', 'app.check_balances', 'A running balance is not the sum of its postings.'),
  ('reversed_twice', 'app.check_reversed_once', 'An entry was reversed more than once.'),
  ('no_mirror', 'app.check_mirrors', 'A reversal is not the mirror of what it reverses.'),
  ('interfund_unmatched', 'app.check_interfund', 'What one fund claims of another, that one does not owe.'),
  ('before_books', 'app.check_before_books', 'An entry is dated before the books begin.'),
  ('wrong_periods', 'app.check_periods', 'Periods do not follow one another, or the books are closed through another day.'),
  ('booked_after_closing', 'app.check_booked_in_time', 'An entry came into a period after it was closed.'),
  ('wrong_snapshot', 'app.check_snapshots', 'A snapshot is not what the postings through that day sum to.'),
  ('year_not_closed', 'app.check_closings', 'A fiscal year is closed without its closing entry, or a closing entry stands for none.'),
  ('document_missing', 'app.check_entry_documents', 'An entry names a document that does not exist, or a kind that nobody defined.'),
  ('document_without_entry', 'app.check_document_entries', 'A document names an entry that does not exist or is not its own.')
) c (problem, check_function, description);

select app.define_ledger_document('accounting_period', 'public.accounting_periods', '{closing_entry_id}');
