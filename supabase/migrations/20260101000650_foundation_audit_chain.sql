-- Foundation: the chain of seals over the audit log.
--
-- Purpose     Whoever can write the database can rewrite the log; that they did shows.
-- Tables      audit.seals
-- Views       private.audit_entries (each entry with its hash)
-- RPCs        verify_audit
-- Invariants  Every entry is in exactly one seal. A seal is a month's part of a batch: the entries of all transactions from one id to
--             before another, every one of which was over when it was sealed, because the upper end is pg_snapshot_xmin. A transaction
--             that is open holds back what came after it, and is waited for by the next run.
--             A seal's hash covers the hash before it and what it says; what it says covers the hash of each of its entries; an
--             entry's hash covers every column, what it told by a hash that outlives erasure, and from where by the origin's.
--             A month whose time is over goes as a whole, oldest first, and the chain says that it went: so it can be verified across.
--             Who rewrites everything to the end leaves a sound chain with another head. So tell the head outside (audit.sealed).

-- The hash of an entry -----------------------------------------------------------------------------------------------
-- record_send writes each value with its length, so that no two entries read the same, and the same in every session.

create view private.audit_entries as
select
  l.id,
  l.recorded_at,
  date_trunc('month', l.recorded_at at time zone 'UTC')::date as month_on,
  l.transaction_id::text::bigint as transaction_number,
  l.payload_hash is not null as is_erased,
  app.audit_told_hash(k.salt, l.changes, l.note) as told_hash,
  sha256(k.salt || record_send(row(
    l.id, l.recorded_at, convert_to(coalesce(t.name, l.table_id::oid::text), 'UTF8'), convert_to(l.operation::text, 'UTF8'), l.row_id,
    l.community_id, l.organization_id, l.actor_id, convert_to(l.actor_label, 'UTF8'), l.transaction_id, convert_to(l.action, 'UTF8'),
    l.origin_id is null, o.hash, coalesce(l.payload_hash, app.audit_told_hash(k.salt, l.changes, l.note))))) as hash
from audit.log l
cross join private.audit_salt k
left join audit.tables t on t.table_id = l.table_id
left join audit.origins o on o.id = l.origin_id;

comment on view private.audit_entries is 'Each entry of the log with its hash: what seals are made of and verified by.';
comment on column private.audit_entries.id is 'The entry.';
comment on column private.audit_entries.recorded_at is 'When its transaction began.';
comment on column private.audit_entries.month_on is 'The first day of its month (UTC), by which the log is partitioned and batches are split.';
comment on column private.audit_entries.transaction_number is 'Its transaction, as a number.';
comment on column private.audit_entries.is_erased is 'Whether values of it were erased.';
comment on column private.audit_entries.told_hash is 'The hash of what it tells now.';
comment on column private.audit_entries.hash is 'Its hash, the same before and after an erasure.';

-- Seals --------------------------------------------------------------------------------------------------------------

create table audit.seals (
  number bigint not null,
  from_transaction bigint not null,
  to_transaction bigint not null,
  month_on date not null,
  entries bigint not null,
  entries_hash bytea,
  dropped_because text,
  is_announced boolean not null,
  sealed_at timestamptz not null default clock_timestamp(),
  previous_hash bytea,
  hash bytea not null,
  constraint seals_pkey primary key (number),
  constraint seals_number_check check (number > 0),
  constraint seals_transactions_check check (from_transaction <= to_transaction),
  constraint seals_previous_hash_check check ((number = 1) = (previous_hash is null)),
  constraint seals_entries_hash_check check ((entries_hash is null) = (dropped_because is not null))
);

create unique index seals_dropped_key on audit.seals (month_on) where dropped_because is not null;

comment on table audit.seals is 'The chain over the audit log. Append-only; app.seal_audit adds to it, verify_audit follows it.';
comment on column audit.seals.number is '1, 2, 3 …, without gaps.';
comment on column audit.seals.from_transaction is 'The batch holds the entries of transactions from this id on …';
comment on column audit.seals.to_transaction is '… to before this one, where the next batch begins.';
comment on column audit.seals.month_on is 'The first day of the month (UTC) whose part of the batch this is, or which was dropped.';
comment on column audit.seals.entries is 'How many entries it covers, or went with the month.';
comment on column audit.seals.entries_hash is 'The hash over the hashes of these entries, in order of transaction and id. Null where a month was dropped.';
comment on column audit.seals.dropped_because is 'Why the month was dropped (app.drop_audit_month); null for a seal of entries.';
comment on column audit.seals.is_announced is 'Whether an event (audit.sealed) tells of this head.';
comment on column audit.seals.sealed_at is 'When it was sealed.';
comment on column audit.seals.previous_hash is 'The hash of the seal before.';
comment on column audit.seals.hash is 'The hash of all other columns. The newest is the head of the chain.';

alter table audit.seals enable row level security;
create policy seals_select on audit.seals for select to authenticated using ((select app.can_on_site('audit.read')));
grant select on audit.seals to authenticated, service_role;

create trigger _100_append_only before update or delete or truncate on audit.seals
  for each statement execute function app.tg__append_only();

create function app.seal_hash(seal audit.seals)
returns bytea
language plpgsql
immutable
set search_path = ''
as $$
begin
  return sha256(record_send(row(
    seal.number, seal.from_transaction, seal.to_transaction, seal.month_on, seal.entries, seal.entries_hash,
    convert_to(seal.dropped_because, 'UTF8'), seal.is_announced, seal.sealed_at, seal.previous_hash)));
end;
$$;

comment on function app.seal_hash(audit.seals) is 'The hash of what a seal says, the hash before it included. Not executable by API roles.';

create function app.add_seal(seal audit.seals)
returns audit.seals
language plpgsql
volatile
set search_path = ''
as $$
declare
  head audit.seals;
begin
  select s.* into head from audit.seals s order by s.number desc limit 1;
  seal.number := coalesce(head.number, 0) + 1;
  seal.previous_hash := head.hash;
  seal.sealed_at := clock_timestamp();
  seal.hash := app.seal_hash(seal);
  insert into audit.seals values (seal.*);
  return seal;
end;
$$;

comment on function app.add_seal(audit.seals) is 'Appends a seal to the chain. The caller holds the lock of sealing. Not executable by API roles.';

create function app.seal_audit(most integer default 1000000)
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  lower_end constant bigint := coalesce((select s.to_transaction from audit.seals s order by s.number desc limit 1), 0);
  upper_end bigint := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  due bigint;
  last_due bigint;
  batch record;
  seal audit.seals;
  sealed bigint := 0;
begin
  -- A lock of the table, which nobody else may take. An advisory lock could be held by whoever has a login of the database.
  begin
    lock table audit.seals in exclusive mode nowait;
  exception when lock_not_available then
    return 0;
  end;
  if lower_end <> coalesce((select s.to_transaction from audit.seals s order by s.number desc limit 1), 0) then
    -- Another sealed between our first look and our lock.
    return 0;
  elsif upper_end < lower_end then
    perform app.fail(409, 'audit_restored', 'The transaction ids of this database are behind those that are sealed: it was restored into another cluster.',
      'See docs/audit.md.');
  end if;

  select count(*), max(d.transaction_number) into due, last_due
  from (
    select l.transaction_id::text::bigint as transaction_number
    from audit.log l
    where l.transaction_id::text::bigint >= lower_end and l.transaction_id::text::bigint < upper_end
    order by l.transaction_id
    limit most
  ) d;
  if due = most then
    upper_end := last_due + 1;
  end if;

  for batch in
    select e.month_on, count(*) as entries, sha256(string_agg(e.hash, '' order by e.transaction_number, e.id)) as entries_hash,
      row_number() over (order by e.month_on desc) = 1 as is_last
    from private.audit_entries e
    where due > 0 and e.transaction_number >= lower_end and e.transaction_number < upper_end
    group by e.month_on
    order by e.month_on
  loop
    seal := null;
    seal.from_transaction := lower_end;
    seal.to_transaction := upper_end;
    seal.month_on := batch.month_on;
    seal.entries := batch.entries;
    seal.entries_hash := batch.entries_hash;
    seal.is_announced := batch.is_last
      and not exists (select from audit.seals s where s.is_announced and s.sealed_at > clock_timestamp() - interval '1 hour');
    seal := app.add_seal(seal);
    sealed := sealed + batch.entries;
    if seal.is_announced then
      perform app.emit('audit.sealed', null, jsonb_build_object('number', seal.number, 'hash', encode(seal.hash, 'hex'), 'sealed_at', seal.sealed_at));
    end if;
  end loop;
  return sealed;
end;
$$;

comment on function app.seal_audit(integer) is
  'Seals the entries of transactions that are over, at most about so many (a transaction is never parted), and returns how many; event audit.sealed with the head, at most hourly. '
  'Of two at once, one seals and the other returns 0. Not executable by API roles. Errors: audit_restored.';

create function app.job_audit_seal()
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  for batch in 1 .. 10 loop
    exit when app.seal_audit() < 1000000;
  end loop;
end;
$$;

comment on function app.job_audit_seal() is 'Job audit-seal: seals what is over.';

-- Verifying ----------------------------------------------------------------------------------------------------------

create function app.audit_problems(since date)
returns table (seal bigint, problem text, detail text)
language plpgsql
stable
set search_path = ''
as $$
declare
  starts constant bigint[] := array(select s.from_transaction from audit.seals s where s.dropped_because is null group by 1 order by 1);
  ends constant bigint[] := array(select max(s.to_transaction) from audit.seals s where s.dropped_because is null group by s.from_transaction order by s.from_transaction);
  sealed_to constant bigint := coalesce((select max(s.to_transaction) from audit.seals s), 0);
begin
  -- Each entry falls into the batch that holds its transaction, and into its month's seal of that.
  return query
  with chain as (
    select s.*, lag(s.number, 1, 0::bigint) over w as number_before, lag(s.hash) over w as hash_before, app.seal_hash(s) as hash_now,
      exists (select from audit.seals d where d.dropped_because is not null and d.month_on = s.month_on and d.number > s.number) as is_dropped
    from audit.seals s
    window w as (order by s.number)
  ),
  found_entries as (
    select case when e.transaction_number < ends[b.batch] then starts[b.batch] end as from_transaction, e.month_on, count(*) as entries,
      sha256(string_agg(e.hash, '' order by e.transaction_number, e.id)) as entries_hash, min(e.transaction_number) as first_transaction
    from private.audit_entries e
    cross join lateral (select width_bucket(e.transaction_number, starts) as batch) b
    where e.transaction_number < sealed_to and e.recorded_at >= coalesce(since::timestamp at time zone 'UTC', '-infinity')
    group by 1, 2
  ),
  compared as (
    select c.number, c.month_on, c.entries, c.is_dropped, f.entries as entries_now,
      case
        when c.is_dropped then case when f.entries > 0 then 'added' end
        when f.entries is null and to_regclass('audit.log_' || to_char(c.month_on, '"y"YYYY"m"MM')) is null
          and not exists (select from audit.log_default l where date_trunc('month', l.recorded_at at time zone 'UTC')::date = c.month_on) then 'month_missing'
        when coalesce(f.entries, 0) < c.entries then 'missing'
        when f.entries > c.entries then 'added'
        when f.entries_hash <> c.entries_hash then 'altered'
      end as problem
    from chain c
    left join found_entries f on f.from_transaction = c.from_transaction and f.month_on = c.month_on
    where c.dropped_because is null and c.month_on >= coalesce(since, '-infinity')
  )
  select c.number, 'seal_missing', format('After seal %s comes seal %s.', c.number_before, c.number) from chain c where c.number <> c.number_before + 1
  union all
  select c.number, 'link_broken', 'It does not follow the seal before it.' from chain c where c.number = c.number_before + 1 and c.previous_hash is distinct from c.hash_before
  union all
  select c.number, 'seal_altered', 'It does not say what it said.' from chain c where c.hash <> c.hash_now
  union all
  select c.number, c.problem, format('Of %s entries of %s there are %s.', case when c.is_dropped then 0 else c.entries end, to_char(c.month_on, 'YYYY-MM'), coalesce(c.entries_now, 0))
  from compared c
  where c.problem is not null
  union all
  select (select min(c.number) from chain c where c.to_transaction > f.first_transaction and c.month_on >= f.month_on and c.dropped_because is null), 'added',
    format('%s entries of %s are in no seal, although the chain is past them.', f.entries, to_char(f.month_on, 'YYYY-MM'))
  from found_entries f
  where not exists (select from chain c where c.dropped_because is null and c.from_transaction = f.from_transaction and c.month_on = f.month_on);

  -- What was erased tells now what its erasure left, and the erasure's own entry says that it did.
  return query
  with erased as (
    select e.id, e.month_on, e.transaction_number, e.told_hash
    from private.audit_entries e
    where e.is_erased and e.recorded_at >= coalesce(since::timestamp at time zone 'UTC', '-infinity')
  ),
  erasures as (
    select l.id, l.changes::jsonb ->> 'digest' as digest from audit.log l where l.operation = 'action' and l.action = 'AUDIT_ERASED'
  ),
  doubtful as (
    select e.*
    from erased e
    left join lateral (
      select x.erasure_id, x.told_hash from audit.erased_entries x where x.entry_id = e.id order by x.erasure_id desc limit 1
    ) x on true
    left join erasures r on r.id = x.erasure_id
    where x.told_hash is distinct from e.told_hash or r.digest is distinct from (select app.erasure_digest(x.erasure_id))
  )
  select (
      select max(s.number) from audit.seals s
      where s.dropped_because is null and s.month_on = d.month_on and s.from_transaction <= d.transaction_number and d.transaction_number < s.to_transaction),
    'erasure_unrecorded', format('Entry %s was changed, and no erasure says so.', d.id)
  from doubtful d;

  return query
  select null::bigint, 'origin_altered', format('Origin %s does not tell what it told.', o.id)
  from audit.origins o
  where (o.erased_at is null and o.hash <> app.origin_hash(o))
    or (o.erased_at >= (select min(l.recorded_at) from audit.log l)
      and not exists (
        select from audit.log l where l.operation = 'action' and l.action = 'AUDIT_ORIGINS_ERASED' and l.changes::jsonb -> 'origins' @> to_jsonb(o.id)));
end;
$$;

comment on function app.audit_problems(date) is
  'Whatever of the log or of its chain is not as it was sealed; entries of months before `since` are not looked at. Not executable by API roles.';

create function app.verify_audit(expected_head text, since date)
returns jsonb
language plpgsql
stable
security definer -- reads the salt, and entries of all communities
set search_path = ''
as $$
declare
  head audit.seals;
  first_month constant date := date_trunc('month', since)::date;
  problems jsonb;
begin
  if not app.is_trusted() and not app.can_on_site('audit.read') then
    perform app.refuse('audit.read');
  elsif expected_head !~* '^[0-9a-f]{64}$' then
    perform app.fail(422, 'invalid_value', 'expected_head is the hash of a seal: 64 hexadecimal digits.');
  end if;
  select s.* into head from audit.seals s order by s.number desc limit 1;
  select coalesce(jsonb_agg(jsonb_build_object('seal', p.seal, 'problem', p.problem, 'detail', p.detail) order by p.seal nulls last, p.problem, p.detail), '[]') into problems
  from (
    select * from app.audit_problems(first_month)
    union all
    select null, 'head_unknown', 'No seal has the expected hash: the end of the chain is missing, or all of it was made anew.'
    where expected_head is not null and not exists (select from audit.seals s where s.hash = decode(lower(expected_head), 'hex'))
  ) p;
  return jsonb_build_object(
    'ok', problems = '[]',
    'first_broken', problems #> '{0,seal}',
    'problem_count', jsonb_array_length(problems),
    'problems', jsonb_path_query_array(problems, '$[0 to 99]'),
    'head', case when head.number is not null then jsonb_build_object('number', head.number, 'hash', encode(head.hash, 'hex'), 'sealed_at', head.sealed_at) end,
    'sealed_entries', (select coalesce(sum(s.entries), 0) from audit.seals s where s.dropped_because is null and s.month_on >= coalesce(first_month, '-infinity')),
    'unsealed_entries', (select count(*) from audit.log l where l.transaction_id::text::bigint >= coalesce(head.to_transaction, 0)),
    'unsealed_since', (select min(l.recorded_at) from audit.log l where l.transaction_id::text::bigint >= coalesce(head.to_transaction, 0)),
    'erased_entries', (select count(distinct e.entry_id) from audit.erased_entries e),
    'dropped_months', (
      select coalesce(jsonb_agg(jsonb_build_object('month', to_char(s.month_on, 'YYYY-MM'), 'entries', s.entries, 'reason', s.dropped_because) order by s.month_on), '[]')
      from audit.seals s where s.dropped_because is not null));
end;
$$;

comment on function app.verify_audit(text, date) is 'What public.verify_audit does. Definer: reads the salt, and entries of all communities.';

create function public.verify_audit(expected_head text default null, since date default null)
returns jsonb
language sql
stable
set search_path = ''
as $$ select app.verify_audit(expected_head, since) $$;

comment on function public.verify_audit(text, date) is
  'Follows the chain of seals and compares every entry with its seal; takes audit.read on the site. {"ok", "first_broken": number of the first seal that does not hold, '
  '"problems": [{"seal", "problem", "detail"}] (the first 100), "problem_count", "head": {"number", "hash", "sealed_at"}, "sealed_entries", "unsealed_entries", "unsealed_since": when the oldest of them began, "erased_entries", "dropped_months": [{"month", "entries", "reason"}]}. '
  'Problems: altered, missing, added, month_missing (entries); seal_missing, seal_altered, link_broken (seals); erasure_unrecorded, origin_altered; head_unknown. '
  'expected_head: a head told before, which must still be in the chain; since: entries of earlier months are not read. Errors: permission_denied, invalid_value.';

grant execute on function app.verify_audit(text, date), public.verify_audit(text, date) to authenticated, service_role;

-- Retention ----------------------------------------------------------------------------------------------------------

create function app.drop_audit_month(month date, reason text)
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  first_day constant date := date_trunc('month', month)::date;
  begins constant timestamptz := first_day::timestamp at time zone 'UTC';
  ends constant timestamptz := (first_day + interval '1 month') at time zone 'UTC';
  partition_name constant text := 'log_' || to_char(first_day, '"y"YYYY"m"MM');
  timeout_before constant text := current_setting('lock_timeout');
  seal audit.seals;
  problem record;
begin
  if coalesce(btrim(reason), '') = '' then
    perform app.fail(422, 'reason_required', 'A month of the audit log is dropped for a reason, which the chain keeps.');
  elsif month is null or ends > now() then
    perform app.fail(422, 'invalid_value', 'A month is dropped after it is over.');
  end if;

  lock table audit.seals in exclusive mode;
  perform app.seal_audit();
  if exists (select from audit.seals s where s.dropped_because is not null and s.month_on = first_day) then
    perform app.fail(409, 'audit_month_dropped', 'This month was dropped already.');
  elsif exists (select from audit.log l where l.recorded_at < begins) then
    perform app.fail(409, 'audit_older_months', 'There are older months.', 'The oldest goes first: what was erased is verified by entries that are younger.');
  elsif exists (
    select from audit.log l
    where l.recorded_at >= begins and l.recorded_at < ends
      and l.transaction_id::text::bigint >= coalesce((select s.to_transaction from audit.seals s order by s.number desc limit 1), 0)
  ) then
    perform app.fail(409, 'audit_unsealed', 'Entries of this month are not sealed: a transaction that began then is still open.');
  end if;
  select p.* into problem
  from app.audit_problems(first_day) p
  where exists (select from audit.seals s where s.number = p.seal and s.month_on = first_day)
  limit 1;
  if problem.problem is not null then
    perform app.fail(409, 'audit_damaged', format('Seal %s of this month does not hold (%s).', problem.seal, problem.problem), 'What is damaged is evidence. verify_audit tells more.');
  end if;

  seal.to_transaction := (select s.to_transaction from audit.seals s order by s.number desc limit 1);
  seal.from_transaction := seal.to_transaction;
  seal.month_on := first_day;
  select count(*) into seal.entries from audit.log l where l.recorded_at >= begins and l.recorded_at < ends;
  if seal.entries > 0 then
    seal.dropped_because := btrim(reason);
    seal.is_announced := false;
    perform app.add_seal(seal);
  end if;

  -- Every change of the system writes the log: rather not drop than make all of them wait for a reader.
  perform set_config('lock_timeout', '2s', true);
  execute format('drop table if exists audit.%I', partition_name);
  perform set_config('lock_timeout', timeout_before, true);
  perform set_config('app.erasing', 'audit.log'::regclass::oid::text, true);
  delete from audit.log l where l.recorded_at >= begins and l.recorded_at < ends;
  perform set_config('app.erasing', '', true);

  perform app.erase_origins(array(
    select o.id from audit.origins o
    where o.erased_at is null and o.first_used_at < ends and not exists (select from audit.log l where l.origin_id = o.id)), reason);
  return seal.entries;
end;
$$;

comment on function app.drop_audit_month(date, text) is
  'Drops a month of the audit log for good, with the addresses that no other entry refers to; the chain keeps that it was, how much it was, and why. Returns how many entries went. '
  'The oldest month first, and only if its seals hold. Not executable by API roles. Errors: reason_required, invalid_value, audit_month_dropped, audit_older_months, audit_unsealed, audit_damaged.';

create function app.job_audit_retention()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  kept constant integer := (app.setting('security.audit_retention_months') #>> '{}')::integer;
  month date;
begin
  for month in
    select distinct s.month_on
    from audit.seals s
    where s.month_on < date_trunc('month', now() at time zone 'UTC') - make_interval(months => kept)
      and not exists (select from audit.seals d where d.month_on = s.month_on and d.dropped_because is not null)
    order by 1
  loop
    perform app.drop_audit_month(month, format('Retention: %s months.', kept));
  end loop;
end;
$$;

comment on function app.job_audit_retention() is 'Job audit-retention: drops the months that are older than the setting security.audit_retention_months; none while it is not set.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('audit-seal', '*/5 * * * *', 'app.job_audit_seal()', 'Seals the audit log.'),
  ('audit-retention', '37 2 * * *', 'app.job_audit_retention()', 'Drops months of the audit log whose time is over.');
