-- Ledger: sealing entries, and verifying every night.
--
-- Purpose     verify_ledger compares rows with rows. Who rewrites all of them alike (amount, total, balance, snapshot) would leave books that agree
--             with themselves. So entries are sealed: what they said then is told by a hash, which the audit log keeps, and the chain over that
--             log keeps the audit log. And nobody has to think of verifying: every night all books are, and what is found is listed and told.
-- Tables      private.ledger_seals, private.sealed_entries, private.sealed_subaccounts, private.ledger_verifications, ledger_findings
-- RPCs        review_finding
-- Invariants  Posting pays nothing: entries are sealed afterwards, by the job. An entry is sealed once, with its postings, and never again. A seal's
--             hash covers the seal before it; the entry LEDGER_SEALED of the audit log tells it. There is no second chain to be guarded: who
--             rewrites an entry, its seal and all seals after it has to rewrite the audit log too, which verify_audit finds.
--             An entry that is found unsound is not sealed: that would make it good.
--             Postings name a subaccount, and the subaccount whose it is: with its first entry that is sealed too. Whose it is changes by
--             merging two records of one person, and by nothing else.
--             A finding is listed once and stays. Somebody with ledger.review, who has not booked what it is about, may say once and for
--             good that it was looked at, and what came of it. That changes nothing of what is found: what is found in another form, or
--             again after it was gone, is another finding, which nobody has looked at.
--
-- What has not changed since the last night is read all the same. That no entry was added proves nothing: what is looked for was done past every trigger.

-- Seals --------------------------------------------------------------------------------------------------------------

create table private.ledger_seals (
  community_id uuid not null,
  number bigint not null,
  entries bigint not null,
  entries_hash bytea not null,
  sealed_at timestamptz not null default clock_timestamp(),
  previous_hash bytea,
  hash bytea not null,
  constraint ledger_seals_pkey primary key (community_id, number),
  constraint ledger_seals_community_fkey foreign key (community_id) references public.communities (id) on delete restrict,
  constraint ledger_seals_number_check check (number > 0 and (number = 1) = (previous_hash is null)),
  constraint ledger_seals_entries_check check (entries > 0)
);

comment on table private.ledger_seals is 'Seals over journal entries, one chain a community. Append-only; app.seal_ledger adds to it, verify_ledger follows it.';
comment on column private.ledger_seals.community_id is 'Whose books.';
comment on column private.ledger_seals.number is '1, 2, 3 …, without gaps.';
comment on column private.ledger_seals.entries is 'How many entries it covers.';
comment on column private.ledger_seals.entries_hash is 'The hash over their hashes, in order of their ids, and over those of the subaccounts that they are the first to move.';
comment on column private.ledger_seals.sealed_at is 'When it was sealed.';
comment on column private.ledger_seals.previous_hash is 'The hash of the seal before.';
comment on column private.ledger_seals.hash is 'The hash of all other columns; LEDGER_SEALED in the audit log tells it.';

alter table private.ledger_seals enable row level security;
create policy ledger_seals_select on private.ledger_seals for select to authenticated using (false);
create trigger _100_append_only before update or delete or truncate on private.ledger_seals
  for each statement execute function app.tg__append_only();

create table private.sealed_entries (
  entry_id uuid not null,
  community_id uuid not null,
  seal_number bigint not null,
  hash bytea not null,
  constraint sealed_entries_pkey primary key (community_id, entry_id),
  constraint sealed_entries_seal_fkey foreign key (community_id, seal_number) references private.ledger_seals (community_id, number) on delete restrict
);

create index sealed_entries_seal_idx on private.sealed_entries (community_id, seal_number);

comment on table private.sealed_entries is 'Which entries are sealed, and what each said then. Append-only.';
comment on column private.sealed_entries.entry_id is 'The entry. A plain id: a seal outlives what was removed in spite of it.';
comment on column private.sealed_entries.community_id is 'Whose books.';
comment on column private.sealed_entries.seal_number is 'The seal that covers it.';
comment on column private.sealed_entries.hash is 'The hash of the entry and of its postings.';

alter table private.sealed_entries enable row level security;
create policy sealed_entries_select on private.sealed_entries for select to authenticated using (false);
create trigger _100_append_only before update or delete or truncate on private.sealed_entries
  for each statement execute function app.tg__append_only();

create table private.sealed_subaccounts (
  subaccount_id uuid not null,
  community_id uuid not null,
  seal_number bigint not null,
  hash bytea not null,
  constraint sealed_subaccounts_pkey primary key (community_id, subaccount_id),
  constraint sealed_subaccounts_seal_fkey foreign key (community_id, seal_number) references private.ledger_seals (community_id, number) on delete restrict
);

create index sealed_subaccounts_seal_idx on private.sealed_subaccounts (community_id, seal_number);

comment on table private.sealed_subaccounts is 'Which subaccounts are sealed, and whose each was then. Append-only.';
comment on column private.sealed_subaccounts.subaccount_id is 'The subaccount. A plain id: a seal outlives what was removed in spite of it.';
comment on column private.sealed_subaccounts.community_id is 'Whose books.';
comment on column private.sealed_subaccounts.seal_number is 'The seal that covers it: the first with an entry that moves it.';
comment on column private.sealed_subaccounts.hash is 'The hash of the subaccount, its account, its unit and its resident (app.subaccount_hash). It names nobody.';

alter table private.sealed_subaccounts enable row level security;
create policy sealed_subaccounts_select on private.sealed_subaccounts for select to authenticated using (false);
create trigger _100_append_only before update or delete or truncate on private.sealed_subaccounts
  for each statement execute function app.tg__append_only();

select app.define_action('LEDGER_SEALED', 'Journal entries of a community were sealed.');

-- record_send writes each value with its length, so that no two entries read the same, and the same in every session.
create function app.entry_hashes(community uuid)
returns table (entry_id uuid, hash bytea)
language sql
stable
set search_path = ''
as $$
  select e.id, sha256(record_send(row(
    e.id, convert_to(e.description, 'UTF8'), e.community_id, e.decimals, convert_to(e.kind::text, 'UTF8'), e.effective_on, e.booked_at, e.booked_by,
    convert_to(e.booked_as, 'UTF8'), convert_to(e.document_kind, 'UTF8'), e.document_id, e.reverses_id, convert_to(e.idempotency_key, 'UTF8'), e.request_hash,
    e.posting_count, e.total, p.hashes)))
  from public.journal_entries e
  left join (
    select x.journal_entry_id, string_agg(sha256(record_send(row(
      x.id, x.community_id, x.fund_id, x.decimals, x.effective_on, x.debit_account_id, x.debit_subaccount_id, x.credit_account_id, x.credit_subaccount_id,
      x.amount, convert_to(x.memo, 'UTF8')))), '' order by x.id) as hashes
    from public.postings x
    where x.community_id = community
    group by x.journal_entry_id
  ) p on p.journal_entry_id = e.id
  where e.community_id = community
$$;

comment on function app.entry_hashes(uuid) is 'What each entry of a community says now, with its postings, as a hash. Not executable by API roles.';

create function app.subaccount_hash(subaccount uuid, account uuid, unit uuid, resident uuid)
returns bytea
language plpgsql
immutable
set search_path = ''
as $$
begin
  return sha256(record_send(row(subaccount, account, unit, resident)));
end;
$$;

comment on function app.subaccount_hash(uuid, uuid, uuid, uuid) is 'Whose a subaccount is, and of which account, as a hash. Not executable by API roles.';

create function app.ledger_seal_hash(seal private.ledger_seals)
returns bytea
language plpgsql
immutable
set search_path = ''
as $$
begin
  return sha256(record_send(row(seal.community_id, seal.number, seal.entries, seal.entries_hash, seal.sealed_at, seal.previous_hash)));
end;
$$;

comment on function app.ledger_seal_hash(private.ledger_seals) is 'The hash of what a seal says, the hash before it included. Not executable by API roles.';

-- What was found -----------------------------------------------------------------------------------------------------

create table private.ledger_verifications (
  community_id uuid not null,
  verified_at timestamptz not null,
  problems bigint,
  failure text,
  took interval not null,
  constraint ledger_verifications_pkey primary key (community_id),
  constraint ledger_verifications_community_fkey foreign key (community_id) references public.communities (id) on delete restrict,
  constraint ledger_verifications_failure_check check ((problems is null) = (failure is not null))
);

comment on table private.ledger_verifications is 'When each community''s books were verified last by the job ledger-verification.';
comment on column private.ledger_verifications.community_id is 'Whose books.';
comment on column private.ledger_verifications.verified_at is 'When.';
comment on column private.ledger_verifications.problems is 'How much was found; null if that could not be told.';
comment on column private.ledger_verifications.failure is 'The error that verifying ended with; null if it did not.';
comment on column private.ledger_verifications.took is 'How long it took.';

alter table private.ledger_verifications enable row level security;
create policy ledger_verifications_select on private.ledger_verifications for select to authenticated using (false);

create table public.ledger_findings (
  id uuid not null default extensions.uuidv7(),
  problem text not null,
  community_id uuid not null,
  entry_id uuid,
  posting_id uuid,
  account_id uuid,
  subaccount_id uuid,
  detail text not null,
  is_fault boolean not null default true,
  found_at timestamptz not null default clock_timestamp(),
  seen_at timestamptz not null default clock_timestamp(),
  gone_at timestamptz,
  reviewed_at timestamptz,
  reviewed_by uuid,
  review_note text,
  constraint ledger_findings_pkey primary key (id),
  constraint ledger_findings_community_fkey foreign key (community_id) references public.communities (id) on delete restrict,
  constraint ledger_findings_problem_check check (problem ~ '^[a-z]+(_[a-z]+)*$'),
  constraint ledger_findings_times_check check (found_at <= seen_at and seen_at <= gone_at),
  constraint ledger_findings_review_note_check check (length(btrim(review_note)) between 1 and 1000),
  constraint ledger_findings_reviewed_check check ((reviewed_at is null) = (review_note is null) and (reviewed_by is null or reviewed_at is not null))
);

create index ledger_findings_community_idx on public.ledger_findings (community_id, found_at);

comment on table public.ledger_findings is 'What the nightly verification found in a community''s books: what is wrong, and what is worth a look. A finding stays; that it is found no longer is noted in gone_at. Written by the job ledger-verification.';
comment on column public.ledger_findings.problem is 'The problem, a token: docs/statements.md lists them.';
comment on column public.ledger_findings.entry_id is 'The entry that it is about. A plain id: the entry may be what is missing.';
comment on column public.ledger_findings.posting_id is 'The posting that it is about.';
comment on column public.ledger_findings.account_id is 'The account that it is about.';
comment on column public.ledger_findings.subaccount_id is 'The subaccount that it is about.';
comment on column public.ledger_findings.detail is 'What is wrong, in a sentence.';
comment on column public.ledger_findings.is_fault is 'Whether something is wrong: it could not have been stored with keys and triggers in force. If not, it is allowed, and worth a look.';
comment on column public.ledger_findings.found_at is 'When it was found first.';
comment on column public.ledger_findings.seen_at is 'When it was found last.';
comment on column public.ledger_findings.gone_at is 'When it was found no longer; null while it stands.';
comment on column public.ledger_findings.reviewed_at is 'When somebody had looked at it; null until then.';
comment on column public.ledger_findings.reviewed_by is 'Who had. A plain id; null when no user did.';
comment on column public.ledger_findings.review_note is 'What came of it. Whoever reads the books reads it.';

select app.keep('public.ledger_findings', is_append_only => false);
select app.register_personal_data('public.ledger_findings', 'reviewed_by', 'actor', kept_because => 'Who reviewed a finding answers for it; the id leads to nobody once the account is gone.');

create policy ledger_findings_select on public.ledger_findings for select to authenticated
  using (community_id = any ((select app.communities_where('ledger.read'))::uuid[]));
grant select on public.ledger_findings to authenticated, service_role;

-- Only while books are verified, or a finding is reviewed.
create trigger _020_derived before insert or update or delete or truncate on public.ledger_findings
  for each statement execute function app.tg__derived('{INSERT,UPDATE}', 'they say what was found', 'Correct the books; the next night notes it.');

-- Sealing ------------------------------------------------------------------------------------------------------------

create function app.seal_ledger(community uuid)
returns bigint
language plpgsql
volatile
set search_path = ''
set work_mem = '64MB'
as $$
declare
  head private.ledger_seals;
  seal private.ledger_seals;
begin
  -- Of two at once, one seals.
  if not pg_try_advisory_xact_lock('private.ledger_seals'::regclass::oid::integer, hashtext(community::text)) then
    return 0;
  elsif not exists (
    select from public.journal_entries e
    where e.community_id = community and not exists (select from private.sealed_entries s where s.community_id = community and s.entry_id = e.id)
  ) then
    return 0;
  end if;
  select s.* into head from private.ledger_seals s where s.community_id = community order by s.number desc limit 1;
  create temporary table if not exists pg_temp.entries_to_seal (entry_id uuid not null, hash bytea not null) on commit drop;
  delete from pg_temp.entries_to_seal t where true;
  insert into pg_temp.entries_to_seal (entry_id, hash)
  select h.entry_id, h.hash
  from app.entry_hashes(community) h
  where not exists (select from private.sealed_entries s where s.community_id = community and s.entry_id = h.entry_id)
    and not exists (select from public.ledger_findings f where f.community_id = community and f.entry_id = h.entry_id and f.is_fault and f.gone_at is null);
  create temporary table if not exists pg_temp.subaccounts_to_seal (subaccount_id uuid not null, hash bytea not null) on commit drop;
  delete from pg_temp.subaccounts_to_seal t where true;
  insert into pg_temp.subaccounts_to_seal (subaccount_id, hash)
  select n.id, app.subaccount_hash(n.id, n.account_id, n.unit_id, n.resident_id)
  from public.subaccounts n
  where n.community_id = community
    and n.id in (
      select x.subaccount_id
      from pg_temp.entries_to_seal t
      join public.postings p on p.journal_entry_id = t.entry_id and p.community_id = community
      cross join lateral (values (p.debit_subaccount_id), (p.credit_subaccount_id)) x (subaccount_id))
    and not exists (select from private.sealed_subaccounts s where s.community_id = community and s.subaccount_id = n.id);
  seal.community_id := community;
  seal.number := coalesce(head.number, 0) + 1;
  seal.sealed_at := clock_timestamp();
  seal.previous_hash := head.hash;
  select count(*), sha256(string_agg(t.hash, '' order by t.entry_id) || coalesce((select string_agg(n.hash, '' order by n.subaccount_id) from pg_temp.subaccounts_to_seal n), ''))
  into seal.entries, seal.entries_hash
  from pg_temp.entries_to_seal t;
  if seal.entries = 0 then
    return 0;
  end if;
  seal.hash := app.ledger_seal_hash(seal);
  insert into private.ledger_seals values (seal.*);
  insert into private.sealed_entries (entry_id, community_id, seal_number, hash)
  select t.entry_id, community, seal.number, t.hash from pg_temp.entries_to_seal t;
  insert into private.sealed_subaccounts (subaccount_id, community_id, seal_number, hash)
  select t.subaccount_id, community, seal.number, t.hash from pg_temp.subaccounts_to_seal t;
  perform app.record_action('LEDGER_SEALED', community,
    details => jsonb_build_object('number', seal.number, 'entries', seal.entries, 'hash', encode(seal.hash, 'hex')));
  return seal.entries;
end;
$$;

comment on function app.seal_ledger(uuid) is
  'Seals the entries of a community that are not sealed yet and about which no fault was found, and returns how many. Of two at once, one seals and the other returns 0. Not executable by API roles.';

create function app.check_seals(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language plpgsql
stable
set search_path = ''
as $$
declare
  told record;
begin
  return query
  with seals as (
    select s.*, lag(s.number, 1, 0::bigint) over w as number_before, lag(s.hash) over w as hash_before, app.ledger_seal_hash(s) as hash_now
    from private.ledger_seals s
    where s.community_id = community
    window w as (order by s.number)
  ),
  moved as (
    select n.seal_number, string_agg(n.hash, '' order by n.subaccount_id) as hashes from private.sealed_subaccounts n where n.community_id = community group by n.seal_number
  ),
  covered as (
    select e.seal_number, e.entries, sha256(e.hashes || coalesce(m.hashes, '')) as entries_hash
    from (
      select c.seal_number, count(*) as entries, string_agg(c.hash, '' order by c.entry_id) as hashes from private.sealed_entries c where c.community_id = community group by c.seal_number
    ) e
    left join moved m on m.seal_number = e.seal_number
  )
  select null::uuid, null::uuid, null::uuid, null::uuid, case
    when s.number <> s.number_before + 1 then format('After seal %s comes seal %s.', s.number_before, s.number)
    when s.previous_hash is distinct from s.hash_before then format('Seal %s does not follow the one before it.', s.number)
    when s.hash <> s.hash_now then format('Seal %s does not say what it said.', s.number)
    else format('Seal %s does not cover what it covered.', s.number)
  end
  from seals s
  left join covered c on c.seal_number = s.number
  where s.number <> s.number_before + 1 or s.previous_hash is distinct from s.hash_before or s.hash <> s.hash_now
    or (c.entries, c.entries_hash) is distinct from (s.entries, s.entries_hash);

  -- The newest that the audit log tells of: it vouches for all before it.
  select (l.changes::jsonb ->> 'number')::bigint as number, l.changes::jsonb ->> 'hash' as hash into told
  from audit.log l
  where l.community_id = community and l.operation = 'action' and l.action = 'LEDGER_SEALED'
  order by l.recorded_at desc, l.id desc
  limit 1;
  if told.number is not null and not exists (
    select from private.ledger_seals s where s.community_id = community and s.number = told.number and encode(s.hash, 'hex') = told.hash
  ) then
    return query select null::uuid, null::uuid, null::uuid, null::uuid, format('The audit log tells of seal %s with another hash.', told.number);
  end if;
end;
$$;

comment on function app.check_seals(uuid) is 'For verify_ledger: seals that do not follow one another, do not cover what they covered, or are not those that the audit log tells of.';

create function app.check_sealed_entries(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language plpgsql
stable
set search_path = ''
as $$
begin
  -- To hash every posting is dear: not where nothing is sealed.
  if not exists (select from private.sealed_entries s where s.community_id = community) then
    return;
  end if;
  return query
    select s.entry_id, null::uuid, null::uuid, null::uuid, case
      when h.entry_id is null then format('The entry is in seal %s, and does not exist.', s.seal_number)
      else format('The entry or its postings do not say what they said when seal %s was made.', s.seal_number)
    end
    from private.sealed_entries s
    left join app.entry_hashes(community) h on h.entry_id = s.entry_id
    where s.community_id = community and h.hash is distinct from s.hash;
end;
$$;

comment on function app.check_sealed_entries(uuid) is 'For verify_ledger: entries that were sealed and are gone, or say something else, with all that follows from them or without.';

create function app.check_sealed_subaccounts(community uuid)
returns table (entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text)
language sql
stable
set search_path = ''
as $$
  with recursive merged as materialized (
    select r.id, r.merged_into_id from public.residents r where r.community_id = community and r.merged_into_id is not null
  ),
  -- Whose each is now, and whose it may have been: of those who turned out to be the same person.
  holders as (
    select n.id, n.account_id, n.unit_id, n.resident_id from public.subaccounts n where n.community_id = community
    union
    select h.id, h.account_id, h.unit_id, m.id from holders h join merged m on m.merged_into_id = h.resident_id
  )
  select null::uuid, null::uuid, null::uuid, s.subaccount_id,
    case when exists (select from public.subaccounts n where n.community_id = community and n.id = s.subaccount_id) then format('The subaccount is another''s than when seal %s was made.', s.seal_number)
      else format('The subaccount is in seal %s, and does not exist.', s.seal_number) end
  from private.sealed_subaccounts s
  where s.community_id = community
    and s.subaccount_id not in (
      select h.id from holders h join private.sealed_subaccounts k on k.community_id = community and k.subaccount_id = h.id and k.hash = app.subaccount_hash(h.id, h.account_id, h.unit_id, h.resident_id))
$$;

comment on function app.check_sealed_subaccounts(uuid) is
  'For verify_ledger: subaccounts that were sealed and are gone, or of another unit, account or resident, other than one into whom the sealed one was merged.';

select app.define_ledger_check('subaccount_rewritten', 'app.check_sealed_subaccounts', 'What stands in a subaccount was made somebody else''s after it was sealed, or the subaccount is gone.');
select app.define_ledger_check('seal_broken', 'app.check_seals', 'The seals over the journal were tampered with.');
select app.define_ledger_check('entry_rewritten', 'app.check_sealed_entries', 'An entry or its postings were changed or removed after they were sealed.');

-- Every night --------------------------------------------------------------------------------------------------------

create function app.verify_and_seal(community uuid)
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  begun constant timestamptz := clock_timestamp();
  most constant bigint := 1000; -- where everything is wrong, a thousand findings tell as much as all
  standing bigint;
  kind record;
begin
  create temporary table if not exists pg_temp.ledger_found (problem text, entry_id uuid, posting_id uuid, account_id uuid, subaccount_id uuid, detail text, is_fault boolean) on commit drop;
  delete from pg_temp.ledger_found f where true;
  insert into pg_temp.ledger_found
  select distinct v.problem, v.entry_id, v.posting_id, v.account_id, v.subaccount_id, v.detail, true from app.verify_ledger(community) v order by 1, 2, 3, 4, 5, 6 limit most;
  insert into pg_temp.ledger_found
  select distinct v.problem, v.entry_id, v.posting_id, v.account_id, v.subaccount_id, v.detail, false from app.ledger_problems(community, false) v order by 1, 2 desc, 3, 4, 5, 6 limit most;

  perform set_config('app.rewriting', 'public.ledger_findings'::regclass::oid::text, true);
  update public.ledger_findings f
  set seen_at = case when w.is_found then clock_timestamp() else f.seen_at end, gone_at = case when not w.is_found then clock_timestamp() end
  from (
    select k.id, exists (
      select from pg_temp.ledger_found n
      where (n.problem, n.entry_id, n.posting_id, n.account_id, n.subaccount_id, n.detail)
        is not distinct from (k.problem, k.entry_id, k.posting_id, k.account_id, k.subaccount_id, k.detail)) as is_found
    from public.ledger_findings k
    where k.community_id = community and k.gone_at is null
  ) w
  where f.id = w.id;
  for kind in
    with added as (
      insert into public.ledger_findings (problem, community_id, entry_id, posting_id, account_id, subaccount_id, detail, is_fault, found_at, seen_at)
      select n.problem, community, n.entry_id, n.posting_id, n.account_id, n.subaccount_id, n.detail, n.is_fault, begun, begun
      from pg_temp.ledger_found n
      where not exists (
        select from public.ledger_findings k
        where k.community_id = community and k.gone_at is null
          and (n.problem, n.entry_id, n.posting_id, n.account_id, n.subaccount_id, n.detail)
            is not distinct from (k.problem, k.entry_id, k.posting_id, k.account_id, k.subaccount_id, k.detail))
      returning problem, is_fault
    )
    select a.is_fault, count(*) as fresh, array_agg(distinct a.problem order by a.problem) as problems, (select count(*) from pg_temp.ledger_found n where n.is_fault = a.is_fault) as standing
    from added a
    group by a.is_fault
  loop
    perform app.emit(case when kind.is_fault then 'ledger.unsound' else 'ledger.noticed' end, community,
      jsonb_build_object('problems', kind.problems, 'found', kind.fresh, 'standing', kind.standing, 'tell', 'ledger.read'));
  end loop;
  perform set_config('app.rewriting', '', true);
  select count(*) into standing from pg_temp.ledger_found n where n.is_fault;
  -- What stands beyond those that are listed is not known: nothing is sealed that might be of them.
  if standing < most then
    perform app.seal_ledger(community);
  end if;
  insert into private.ledger_verifications (community_id, verified_at, problems, took) values (community, begun, standing, clock_timestamp() - begun)
  on conflict on constraint ledger_verifications_pkey do update set verified_at = excluded.verified_at, problems = excluded.problems, failure = null, took = excluded.took;
  return standing;
end;
$$;

comment on function app.verify_and_seal(uuid) is
  'Verifies a community''s books, lists what is found (ledger_findings), tells of what is new (event ledger.unsound, or ledger.noticed of what is no fault: the problems, how many were found and stand, and the permission of whom to tell), seals what is '
  'sound, and returns how much is wrong. Not executable by API roles.';

create function app.job_ledger_verification()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  community uuid;
  begun timestamptz;
begin
  for community in
    select l.community_id
    from public.ledgers l
    left join private.ledger_verifications v on v.community_id = l.community_id
    where v.verified_at is null or v.verified_at < now() - interval '20 hours'
    order by v.verified_at nulls first, l.community_id
  loop
    begun := clock_timestamp();
    begin
      perform app.verify_and_seal(community);
    exception when others then
      -- Books that cannot even be verified keep nobody else's waiting, and are told of every night.
      insert into private.ledger_verifications (community_id, verified_at, failure, took) values (community, begun, sqlerrm, clock_timestamp() - begun)
      on conflict on constraint ledger_verifications_pkey do update set verified_at = excluded.verified_at, problems = null, failure = excluded.failure, took = excluded.took;
      perform app.emit('ledger.unsound', community, jsonb_build_object('problems', jsonb_build_array('verification_failed'), 'found', 0, 'tell', 'ledger.read'));
    end;
    -- The rest in ten minutes: no run keeps an old snapshot for long.
    exit when clock_timestamp() > now() + interval '5 minutes';
  end loop;
end;
$$;

comment on function app.job_ledger_verification() is 'Job ledger-verification: verifies and seals the books of the communities whose were not in the last 20 hours, those that wait longest first, for five minutes a run. Tells (ledger.unsound, verification_failed) of books that could not be verified.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('ledger-verification', '*/10 1-4 * * *', 'app.job_ledger_verification()', 'Verifies every community''s books once a night, lists what is found, and seals new entries.');

-- Looked at ----------------------------------------------------------------------------------------------------------

select app.define_permission('ledger.review', 'community', 'Note that a finding of the verification was looked at, and what came of it', '{
  site/superadmin, site/staff, site/accountant, organization/owner, organization/admin, organization/editor,
  community/admin, community/manager, community/accountant}');
select app.define_action('LEDGER_FINDING_REVIEWED', 'A finding of the nightly verification was looked at; the note says what came of it.');

create function app.review_finding(finding uuid, note text, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- nobody may update findings
set search_path = ''
as $$
declare
  known public.ledger_findings;
  says text;
begin
  -- Of two at once one waits, and finds it reviewed.
  select f.* into known from public.ledger_findings f where f.id = finding and (is_visible or app.is_trusted()) for no key update;
  if known.id is null then
    perform app.fail(404, 'finding_not_found', 'There is no finding with this id.');
  end if;
  perform app.require('ledger.review', known.community_id);
  says := app.checked_reason(note, 1000);
  if known.reviewed_at is not null then
    perform app.fail(409, 'finding_reviewed', 'This finding was looked at already, and says what came of it.');
  elsif exists (
    select from public.journal_entries e where e.id = known.entry_id and e.community_id = known.community_id and e.booked_by = app.user_id())
  then
    perform app.fail(403, 'second_person_required', 'A finding is looked at by somebody other than who booked the entry that it is about.');
  end if;
  perform set_config('app.rewriting', 'public.ledger_findings'::regclass::oid::text, true);
  update public.ledger_findings f set reviewed_at = clock_timestamp(), reviewed_by = app.actor_id(), review_note = says where f.id = known.id;
  perform set_config('app.rewriting', '', true);
  perform app.record_action('LEDGER_FINDING_REVIEWED', known.community_id, note => says, details => jsonb_build_object('finding_id', known.id, 'problem', known.problem));
end;
$$;

comment on function app.review_finding(uuid, text, boolean) is 'What public.review_finding does. Definer: nobody may update findings.';

create function public.review_finding(finding_id uuid, note text)
returns void
language sql
volatile
set search_path = ''
as $$ select app.review_finding(finding_id, note, app.sees_row('ledger_findings', finding_id)) $$;

comment on function public.review_finding(uuid, text) is
  'Notes that a finding of the nightly verification was looked at, and what came of it: once, for good, and in the audit log too. It stays listed, and stands as long as it is found. Takes ledger.review, of somebody who has not booked the entry that it is about. '
  'Errors: finding_not_found, permission_denied, reason_required, invalid_value, finding_reviewed, second_person_required.';

grant execute on function app.review_finding(uuid, text, boolean), public.review_finding(uuid, text) to authenticated, service_role;
