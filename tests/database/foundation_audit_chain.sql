-- The chain over the audit log: what happened to the log shows, whoever did it.
-- Entries are tampered with as the owner of the database could: with the triggers kept still.

begin;
select plan(63);

select tests.create_supabase_user('superadmin'), tests.create_supabase_user('manager');
select tests.create_community('Alder');
select tests.grant_role('superadmin', 'superadmin'), tests.grant_role('manager', 'manager', community => 'Alder');

-- What the migrations left is committed, and older than this transaction. Two old months besides, one with a partition of its own.
set local session_replication_role = replica;
create table audit.log_y2020m02 partition of audit.log for values from ('2020-02-01 00:00:00+00') to ('2020-03-01 00:00:00+00');
insert into audit.log (recorded_at, table_id, operation, row_id, transaction_id, changes, note) values
  ('2020-01-10', 'public.units', 'insert', tests.id('old 1'), '5', '{"number": "1"}', null),
  ('2020-01-20', 'public.units', 'insert', tests.id('old 2'), '6', '{"number": "2"}', null),
  ('2020-02-10', 'public.units', 'update', tests.id('old 1'), '7', '{"number": ["1", "3"]}', 'Misread.');
set local session_replication_role = origin;

create function pg_temp.problems(expected_head text default null) returns text language sql as
$$ select string_agg(distinct concat_ws(' ', p ->> 'seal', p ->> 'problem'), ', ' order by concat_ws(' ', p ->> 'seal', p ->> 'problem')) from jsonb_array_elements(app.verify_audit(expected_head, null) -> 'problems') p $$;

-- What verification tells of a damage, which is undone afterwards.
create function pg_temp.told_of(damage text, expected_head text default null) returns text language plpgsql as $$
declare
  told text;
begin
  begin
    perform set_config('session_replication_role', 'replica', true);
    execute damage;
    perform set_config('session_replication_role', 'origin', true);
    told := coalesce(pg_temp.problems(expected_head), 'nothing');
    raise sqlstate 'ROLLB';
  exception when sqlstate 'ROLLB' then
    return told;
  end;
end;
$$;

-- Sealing ------------------------------------------------------------------------------------------------------------

select is((app.verify_audit(null, null) ->> 'ok')::boolean, true, 'a log without seals is in order');
select is((select app.verify_audit(null, null) -> 'head'), 'null', 'and has no head');
select tests.keep('older', (select count(*) from audit.log where transaction_id < pg_snapshot_xmin(pg_current_snapshot())));
select is(app.seal_audit(), tests.kept('older')::bigint, 'every entry of a transaction that is over is sealed');
select is(app.seal_audit(), 0::bigint, 'once');
select is((select count(*) from audit.seals s where s.to_transaction > pg_current_xact_id()::text::bigint), 0::bigint, 'an open transaction is in no seal, this one included');
select is((app.verify_audit(null, null) ->> 'unsealed_entries')::bigint, (select count(*) from audit.log where transaction_id = pg_current_xact_id()), 'its entries are told to be unsealed');
select is((select array_agg(to_char(s.month_on, 'YYYY-MM') order by s.number) from audit.seals s where s.number <= 2), '{2020-01,2020-02}', 'a batch is sealed month by month');
select is((select count(*) from audit.seals s where s.number = 3), 1::bigint, 'there is a third seal to try');
select is(pg_temp.problems(), null, 'what was sealed is in order');
select is((select count(*) from app.outbox o where o.topic = 'audit.sealed' and o.payload ->> 'hash' = (select encode(s.hash, 'hex') from audit.seals s order by s.number desc limit 1)), 1::bigint, 'an event tells the head');

-- More entries, as if later transactions had written them, in batches of at most two: the chain goes on, and tells its head no more this hour.
set local session_replication_role = replica;
insert into audit.log (recorded_at, table_id, operation, row_id, transaction_id, changes)
select '2020-02-20', 'public.units', 'insert', tests.id('late ' || n), (100000000 + n)::text::xid8, jsonb_build_object('number', n) from generate_series(1, 3) n;
set local session_replication_role = origin;
select is(pg_temp.problems(), null, 'entries that came after the newest seal are no problem');
create function pg_temp.seal_up_to(upper_end bigint) returns void language plpgsql as $$
declare
  seal audit.seals;
begin
  -- What app.seal_audit does, up to an end of the test's choice.
  seal.from_transaction := (select s.to_transaction from audit.seals s order by s.number desc limit 1);
  seal.to_transaction := upper_end;
  seal.month_on := '2020-02-01';
  seal.is_announced := false;
  select count(*), sha256(string_agg(e.hash, '' order by e.transaction_number, e.id)) into seal.entries, seal.entries_hash
  from private.audit_entries e where e.transaction_number >= seal.from_transaction and e.transaction_number < upper_end and e.month_on = seal.month_on;
  perform app.add_seal(seal);
end;
$$;
-- Entries of this transaction lie between; they are put behind, where a later batch would find them.
create function pg_temp.put_behind() returns void language plpgsql as $$
begin
  perform set_config('session_replication_role', 'replica', true);
  update audit.log set transaction_id = '200000000' where transaction_id = pg_current_xact_id();
  perform set_config('session_replication_role', 'origin', true);
end;
$$;
select pg_temp.put_behind();
select pg_temp.seal_up_to(100000003);
select is((select s.entries from audit.seals s order by s.number desc limit 1), 2::bigint, 'a later batch holds what came since');
select is(pg_temp.problems(), null, 'and the chain of two batches is in order');
select tests.keep('head', (select encode(s.hash, 'hex') from audit.seals s order by s.number desc limit 1));
select tests.keep('head_number', (select s.number from audit.seals s order by s.number desc limit 1));
select is(pg_temp.problems(tests.kept('head')), null, 'a head that was told is found');
select is(pg_temp.problems(upper((select encode(s.hash, 'hex') from audit.seals s where s.number = 2))), null, 'an older one too, in capitals as well');
select throws_ok($$select app.verify_audit('x', null)$$, 'PT422', 'invalid_value', 'a head that is no hash is refused');

-- Damage -------------------------------------------------------------------------------------------------------------

select is(pg_temp.told_of(format($$update audit.log set changes = '{"number": "9"}' where row_id = %L$$, tests.id('old 2'))), '1 altered', 'an altered value shows');
select is(pg_temp.told_of(format($$update audit.log set note = null where row_id = %L and note is not null$$, tests.id('old 1'))), '2 altered', 'an altered note');
select is(pg_temp.told_of(format($$update audit.log set actor_id = %L where row_id = %L$$, tests.id('manager'), tests.id('old 2'))), '1 altered', 'another user');
select is(pg_temp.told_of(format($$update audit.log set actor_label = 'job:x' where row_id = %L$$, tests.id('old 2'))), '1 altered', 'another label');
select is(pg_temp.told_of(format($$update audit.log set row_id = %L where row_id = %L$$, tests.id('other'), tests.id('old 2'))), '1 altered', 'another row');
select is(pg_temp.told_of(format($$update audit.log set table_id = 'public.residents' where row_id = %L$$, tests.id('old 2'))), '1 altered', 'another table');
select is(pg_temp.told_of(format($$update audit.log set operation = 'delete' where row_id = %L$$, tests.id('old 2'))), '1 altered', 'another operation');
select is(pg_temp.told_of(format($$update audit.log set action = 'ROW_PURGED' where row_id = %L$$, tests.id('old 2'))), '1 altered', 'another action');
select is(pg_temp.told_of(format($$update audit.log set community_id = %L where row_id = %L$$, tests.id('Alder'), tests.id('old 2'))), '1 altered', 'another community');
select is(pg_temp.told_of(format($$update audit.log set organization_id = %L where row_id = %L$$, tests.id('Alder'), tests.id('old 2'))), '1 altered', 'another organization');
select is(pg_temp.told_of(format($$update audit.log set origin_id = 1 where row_id = %L$$, tests.id('old 2'))), '1 altered', 'an origin where there was none');
select is(pg_temp.told_of(format($$update audit.log set recorded_at = '2020-01-21' where row_id = %L$$, tests.id('old 2'))), '1 altered', 'another time');
select is(pg_temp.told_of(format($$update audit.log set transaction_id = '5' where row_id = %L$$, tests.id('old 2'))), '1 altered', 'another transaction');
select is(pg_temp.told_of(format($$delete from audit.log where row_id = %L$$, tests.id('old 2'))), '1 missing', 'a removed entry shows');
select is(
  pg_temp.told_of($$insert into audit.log (recorded_at, table_id, operation, transaction_id, changes) values ('2020-01-15', 'public.units', 'insert', '6', '{}')$$), '1 added',
  'one that was added afterwards with an old transaction shows');
select is(
  pg_temp.told_of($$insert into audit.log (recorded_at, table_id, operation, transaction_id, changes) values ('2019-07-15', 'public.units', 'insert', '6', '{}')$$), '1 added',
  'in a month that had none too');
select is(pg_temp.told_of('drop table audit.log_y2020m02'), '2 month_missing, ' || tests.kept('head_number') || ' month_missing', 'a month that was dropped past the function shows');
select is(pg_temp.told_of('update audit.seals set entries = 1 where number = 1'), '1 added, 1 seal_altered', 'an altered seal shows');
select is(pg_temp.told_of($$update audit.seals set sealed_at = '2020-01-01' where number = 2$$), '2 seal_altered', 'in every column');
select is(
  pg_temp.told_of($$update audit.seals set sealed_at = '2020-01-01' where number = 2; update audit.seals s set hash = app.seal_hash(s) where number = 2$$), '3 link_broken',
  'with its hash made anew, the next one shows it');
select is(pg_temp.told_of('delete from audit.seals where number = 2'), '3 added, 3 seal_missing', 'a removed seal shows');
select is(pg_temp.told_of(format('delete from audit.seals where number = %s', tests.kept('head_number')), tests.kept('head')), 'head_unknown', 'a chain that was cut at its end shows by the head told before');
select is(pg_temp.told_of(format('delete from audit.seals where number = %s', tests.kept('head_number'))), 'nothing', 'and only by that: it is unsealed now');
select is(
  pg_temp.told_of(format($$
    update audit.log set changes = '{"number": "9"}' where row_id = %L;
    do $x$
    declare s audit.seals;
    begin
      for s in select * from audit.seals order by number loop
        if s.number = 1 then
          s.entries_hash := (select sha256(string_agg(e.hash, '' order by e.transaction_number, e.id)) from private.audit_entries e where e.month_on = s.month_on);
        end if;
        s.previous_hash := (select p.hash from audit.seals p where p.number = s.number - 1);
        s.hash := app.seal_hash(s);
        update audit.seals u set entries_hash = s.entries_hash, previous_hash = s.previous_hash, hash = s.hash where u.number = s.number;
      end loop;
    end $x$ $$, tests.id('old 2')), tests.kept('head')), 'head_unknown',
  'a chain made anew from one entry to the end shows by the head told before');
select throws_ok('update audit.seals set entries = 0', 'PT409', 'append_only', 'without such means a seal stays as it is');

-- Erasure ------------------------------------------------------------------------------------------------------------

select tests.keep('hash', (select e.hash from private.audit_entries e join audit.log l on l.id = e.id where l.row_id = tests.id('old 2')));
select app.erase_audit('public.units', array[tests.id('old 2'), tests.id('old 1')], null, 'Asked by letter.');
select pg_temp.put_behind();
select is(pg_temp.problems(tests.kept('head')), null, 'erasing what is sealed leaves the chain whole');
select is((select e.hash::text from private.audit_entries e join audit.log l on l.id = e.id where l.row_id = tests.id('old 2')), tests.kept('hash'), 'because an entry keeps its hash');
select is(
  pg_temp.told_of(format($$update audit.log set payload_hash = (select e.told_hash from private.audit_entries e where e.id = log.id), changes = '{"number": "9"}' where row_id = %L$$, tests.id('late 1'))),
  tests.kept('head_number') || ' erasure_unrecorded', 'an alteration does not pass for an erasure');
select is(pg_temp.told_of(format($$update audit.log set changes = '{"number": "9"}' where row_id = %L$$, tests.id('old 2'))), '1 erasure_unrecorded', 'nor does one of what was erased');
select is(
  pg_temp.told_of(format($$
    update audit.log set changes = '{"number": "9"}' where row_id = %1$L;
    update audit.erased_entries x set told_hash = e.told_hash from private.audit_entries e join audit.log l on l.id = e.id where x.entry_id = e.id and l.row_id = %1$L$$, tests.id('old 2'))),
  '1 erasure_unrecorded, 2 erasure_unrecorded', 'nor with the record of the erasure altered too');
select is(
  pg_temp.told_of($$insert into audit.origins (address, hash) values ('192.0.2.7', '\x00')$$), 'origin_altered', 'an origin that does not tell what it told shows');

-- Retention ----------------------------------------------------------------------------------------------------------
-- The batch that this test made up goes: its entries are not sealed any more.

set local session_replication_role = replica;
delete from audit.seals where number = tests.kept('head_number')::bigint;
set local session_replication_role = origin;
select tests.keep('head', (select encode(s.hash, 'hex') from audit.seals s order by s.number desc limit 1));

select throws_ok($$select app.drop_audit_month('2020-02-01', 'Old.')$$, 'PT409', 'audit_older_months', 'the oldest month goes first');
select throws_ok($$select app.drop_audit_month(now()::date, 'Now.')$$, 'PT422', 'invalid_value', 'and not before it is over');
select is(app.drop_audit_month('2020-01-31', 'Ten years are over.'), 2::bigint, 'a month without a partition of its own is dropped');
select results_eq('select l.recorded_at::date from audit.log l where l.recorded_at < ''2020-03-01''  order by l.id',
  $$values ('2020-02-10'::date), ('2020-02-20'), ('2020-02-20'), ('2020-02-20')$$, 'and no other');
select is(pg_temp.problems(tests.kept('head')), null, 'the chain is verified across it');
select is(app.verify_audit(null, null) -> 'dropped_months', '[{"month": "2020-01", "entries": 2, "reason": "Ten years are over."}]', 'and tells that it was, how much and why');
select is(
  pg_temp.told_of($$insert into audit.log (recorded_at, table_id, operation, transaction_id, changes) values ('2020-01-15', 'public.units', 'insert', '5', '{}')$$), '1 added',
  'what comes back to a dropped month shows');
select throws_ok($$select app.drop_audit_month('2020-02-01', 'Old.')$$, 'PT409', 'audit_unsealed', 'a month whose entries are not all sealed is kept');
set local session_replication_role = replica;
delete from audit.log where recorded_at = '2020-02-20';
update audit.log set note = 'Forged.' where recorded_at = '2020-02-10';
set local session_replication_role = origin;
select throws_ok($$select app.drop_audit_month('2020-02-01', 'Old.')$$, 'PT409', 'audit_damaged', 'and so is one that is damaged: it is evidence');
set local session_replication_role = replica;
update audit.log set note = '[erased]' where recorded_at = '2020-02-10';
set local session_replication_role = origin;
select app.job_audit_retention();
select isnt(to_regclass('audit.log_y2020m02'), null, 'while no retention is set, everything is kept');
select public.set_setting('security.audit_retention_months', '12');
select app.job_audit_retention();
select is(to_regclass('audit.log_y2020m02'), null, 'once it is, the job drops what is older');
select is(pg_temp.problems(tests.kept('head')), null, 'and the chain is whole');

-- Who ----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('superadmin');
select is((public.verify_audit() ->> 'ok')::boolean, true, 'who holds audit.read on the site verifies the log');
select tests.authenticate_as('manager');
select throws_ok('select public.verify_audit()', 'PT403', 'permission_denied', 'a community''s manager, who cannot see all of it, does not');
select throws_ok('select app.seal_audit()', '42501', null, 'nor seals');
select throws_ok($$select app.drop_audit_month('2020-02-01', 'Mine.')$$, '42501', null, 'nor drops a month');

select * from finish();
rollback;
