-- Foundation: erasing personal data from the audit log.
--
-- Purpose     A person may ask to be forgotten; that something was changed, when and by whom stays.
-- Tables      audit.erased_entries, private.audit_salt
-- Invariants  What is erased is values: changes and note of entries, address and agent of origins. An entry keeps the hash of what it
--             told, so that the chain of seals (a later topic) stays whole. Every erasure leaves an entry of its own that says
--             who, why, how many, and the hash of what was left: an entry that was altered passes for an erased one only where the log
--             tells of an erasure that left it so.
--             No hash can be read back by trying values: all are made with a salt that no API role reads.

create table private.audit_salt (
  salt bytea not null,
  constraint audit_salt_pkey primary key (salt),
  constraint audit_salt_salt_check check (length(salt) = 32)
);

comment on table private.audit_salt is 'One row, made at installation: what the hashes of the audit log are salted with. Never changes; whoever loses it can verify no entry.';
comment on column private.audit_salt.salt is '32 random bytes.';

create unique index audit_salt_single_key on private.audit_salt ((true));
alter table private.audit_salt enable row level security;
create policy audit_salt_select on private.audit_salt for select to authenticated using (false);

create trigger _100_append_only before update or delete or truncate on private.audit_salt
  for each statement execute function app.tg__append_only();

insert into private.audit_salt (salt) values (extensions.gen_random_bytes(32));

-- In PL/pgSQL, which keeps its plans: it is asked once per entry.

create function app.audit_told_hash(salt bytea, changes text, note text)
returns bytea
language plpgsql
immutable
set search_path = ''
as $$
begin
  -- It was made from values, and not from somebody's JSON: no line feed stands unescaped in it, so that the first one ends it.
  return sha256(salt || convert_to(changes || coalesce(E'\n' || note, ''), 'UTF8'));
end;
$$;

comment on function app.audit_told_hash(bytea, text, text) is 'The hash of what an entry tells: its changes and its note. Not executable by API roles.';

create table audit.erased_entries (
  erasure_id bigint not null,
  entry_id bigint not null,
  told_hash bytea not null,
  constraint erased_entries_pkey primary key (entry_id, erasure_id)
);

create index erased_entries_erasure_idx on audit.erased_entries (erasure_id);

comment on table audit.erased_entries is 'Which entries of the log were erased, and what was left of them. The erasure itself is an entry: AUDIT_ERASED.';
comment on column audit.erased_entries.erasure_id is 'The entry that tells of the erasure; its details hold the hash over all it left.';
comment on column audit.erased_entries.entry_id is 'The entry of which values were erased; of several erasures the last counts.';
comment on column audit.erased_entries.told_hash is 'The hash of what the entry tells since.';

alter table audit.erased_entries enable row level security;
create policy erased_entries_select on audit.erased_entries for select to authenticated using (false);

create trigger _100_append_only before update or delete or truncate on audit.erased_entries
  for each statement execute function app.tg__append_only();

create function app.erasure_digest(erasure bigint)
returns text
language sql
stable
set search_path = ''
return (
  select encode(sha256(string_agg(int8send(e.entry_id) || e.told_hash, '' order by e.entry_id)), 'hex')
  from audit.erased_entries e where e.erasure_id = erasure);

comment on function app.erasure_digest(bigint) is 'The hash over what an erasure left, which its entry (AUDIT_ERASED) holds too. Not executable by API roles.';

select app.define_action('AUDIT_ERASED', 'Values were erased from entries of the audit log.');
select app.define_action('AUDIT_ORIGINS_ERASED', 'Addresses and agents were erased from the audit log.');

create function app.erased_values(operation public.audit_operation, changes jsonb, columns text[])
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_object_agg(c.key, case
      when c.key <> all (columns) or c.value::text like '%"[redacted]"%' then c.value
      when operation = 'update' then '["[erased]", "[erased]"]'
      else '"[erased]"'
    end), '{}')
    from jsonb_each(changes) c
  );
end;
$$;

comment on function app.erased_values(public.audit_operation, jsonb, text[]) is
  'What an entry''s changes read once these columns (null: all) are erased. Not executable by API roles.';

create function app.erase_audit(tracked regclass, row_ids uuid[], columns text[], reason text)
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  salt constant bytea := (select s.salt from private.audit_salt s);
  erasure bigint;
  entry_ids bigint[];
  told_hashes bytea[];
  communities uuid[];
begin
  if coalesce(btrim(reason), '') = '' then
    perform app.fail(422, 'reason_required', 'What is erased from the audit log is erased for a reason, which the log keeps.');
  elsif tracked is null then
    perform app.fail(422, 'invalid_value', 'The table has to be named.');
  end if;

  -- In id order; only another erasure holds entries.
  perform from audit.log l where l.table_id = tracked and l.row_id = any (row_ids) order by l.id for update;
  perform set_config('app.erasing', 'audit.log'::regclass::oid::text, true);
  with erased as (
    update audit.log l
    set payload_hash = coalesce(l.payload_hash, app.audit_told_hash(salt, l.changes, l.note)),
      changes = app.erased_values(l.operation, l.changes::jsonb, columns),
      note = case when columns is null and l.note is not null then '[erased]' else l.note end
    where l.table_id = tracked and l.row_id = any (row_ids) and (l.operation <> 'action' or l.action is distinct from 'AUDIT_ERASED')
      and (l.changes::jsonb <> app.erased_values(l.operation, l.changes::jsonb, columns) or (columns is null and l.note <> '[erased]'))
    returning l.id, app.audit_told_hash(salt, l.changes, l.note) as told_hash, l.community_id
  )
  select array_agg(e.id order by e.id), array_agg(e.told_hash order by e.id), array_agg(distinct e.community_id)
  into entry_ids, told_hashes, communities from erased e;
  perform set_config('app.erasing', '', true);
  if entry_ids is null then
    return 0;
  end if;

  erasure := app.record_action('AUDIT_ERASED', tracked => tracked, community => case when cardinality(communities) = 1 then communities[1] end, row_id => case when cardinality(row_ids) = 1 then row_ids[1] end, note => reason,
    details => jsonb_build_object('entries', cardinality(entry_ids), 'columns', columns,
      'digest', (select encode(sha256(string_agg(int8send(u.id) || u.told_hash, '' order by u.id)), 'hex') from unnest(entry_ids, told_hashes) u (id, told_hash))));
  insert into audit.erased_entries (erasure_id, entry_id, told_hash)
  select erasure, u.id, u.told_hash from unnest(entry_ids, told_hashes) u (id, told_hash);
  return cardinality(entry_ids);
end;
$$;

comment on function app.erase_audit(regclass, uuid[], text[], text) is
  'Erases, from the entries of these rows, the values of these columns; of all, and the notes, if columns is null. "[erased]" takes their place; that the column changed stays. '
  'Leaves an entry (AUDIT_ERASED) with the reason, and returns how many entries it erased; calling it again erases none. Lock the rows first, or entries being written now are missed. '
  'The one way past the log''s append-only guard; not executable by API roles. Errors: reason_required, invalid_value.';

create function app.erase_origins(origins integer[], reason text)
returns bigint
language plpgsql
volatile
set search_path = ''
as $$
declare
  erased integer[];
begin
  if coalesce(btrim(reason), '') = '' then
    perform app.fail(422, 'reason_required', 'What is erased from the audit log is erased for a reason, which the log keeps.');
  end if;
  perform from audit.origins o where o.id = any (origins) order by o.id for update;
  perform set_config('app.erasing', 'audit.origins'::regclass::oid::text, true);
  with gone as (
    update audit.origins o set address = null, user_agent = null, location = null, erased_at = now()
    where o.id = any (origins) and o.erased_at is null
    returning o.id
  )
  select array_agg(g.id order by g.id) into erased from gone g;
  perform set_config('app.erasing', '', true);
  if erased is null then
    return 0;
  end if;
  perform app.record_action('AUDIT_ORIGINS_ERASED', note => reason, details => jsonb_build_object('origins', to_jsonb(erased)));
  return cardinality(erased);
end;
$$;

comment on function app.erase_origins(integer[], text) is
  'Erases address, agent and location of these origins, leaves an entry (AUDIT_ORIGINS_ERASED) and returns how many it erased. Not executable by API roles. Errors: reason_required.';

create function app.erase_audit_origins(subject uuid, reason text)
returns bigint
language sql
volatile
set search_path = ''
as $$ select app.erase_origins(array(select o.id from audit.origins o where o.actor_id = subject and o.erased_at is null), reason) $$;

comment on function app.erase_audit_origins(uuid, text) is
  'Erases from where one user''s changes came: addresses, agents and locations. An origin is one user''s, so nobody else loses theirs. Not executable by API roles. Errors: reason_required.';
