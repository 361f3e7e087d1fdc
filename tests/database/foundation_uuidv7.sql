-- extensions.uuidv7(): RFC 9562 version 7, in order of time.

begin;
select plan(8);

create temporary table made as select n, extensions.uuidv7() as id from generate_series(1, 20000) n;

select is((select count(distinct id) from made), 20000::bigint, 'no id comes twice');
select is((select count(*) from made where substr(id::text, 15, 1) <> '7'), 0::bigint, 'the version is 7');
select is((select count(*) from made where substr(id::text, 20, 1) not in ('8', '9', 'a', 'b')), 0::bigint, 'the variant is that of the RFC');
select is(
  (select count(*) from (select id < lag(id) over (order by n) as is_inverted from made) m where is_inverted), 0::bigint,
  'within a session ids come in order');

-- The 60 bits of the time without the version between them, to the microsecond.
create function pg_temp.time_of(id uuid) returns timestamptz language sql as
$$ select to_timestamp(('x0' || overlay(left(replace(id::text, '-', ''), 16) placing '' from 13 for 1))::bit(64)::bigint / 4096000.0) $$;
select tests.keep('before', clock_timestamp());
create temporary table one as select extensions.uuidv7() as id;
select ok(
  (select pg_temp.time_of(id) between tests.kept('before')::timestamptz - interval '1 us' and clock_timestamp() + interval '1 us' from one),
  'the first 48 bits are the milliseconds since 1970, the 12 after the version the fraction of one');
select is((select count(distinct right(id::text, 12)) from made), 20000::bigint, 'the rest is random');

select is((select p.proconfig from pg_proc p where p.oid = 'extensions.uuidv7()'::regprocedure), null, 'it has no setting, so that it can be inlined');
create function pg_temp.plan_of(query text) returns setof text language plpgsql as $$ begin return query execute 'explain (verbose, costs off) ' || query; end $$;
select ok(not exists (select from pg_temp.plan_of('select extensions.uuidv7() from generate_series(1, 2)') line where line like '%uuidv7%'), 'and it is inlined');

select * from finish();
rollback;
