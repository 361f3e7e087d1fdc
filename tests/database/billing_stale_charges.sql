-- What was charged before a sale was entered is named; nothing else is, and nothing is written.

begin;
select plan(19);

select tests.create_community('Alder'), tests.create_community('Birch');
select public.open_books(tests.id('Alder'), '2026-01-01');
select tests.create_unit(u, 'Alder') from unnest(array['1', '2', '3']) u;
select tests.create_resident(r, 'Alder') from unnest(array['Ann', 'Bob', 'Cid']) r;
select tests.occupy('Ann', '1', 'owner', '2020-01-01'), tests.occupy('Bob', '2', 'owner', '2020-01-01');
select tests.create_supabase_user(u) from unnest(array['mia', 'ann', 'ben']) u;
update public.residents set user_id = tests.id('ann') where id = tests.id('Ann');
select tests.grant_role('mia', 'manager', community => 'Alder'), tests.grant_role('ben', 'manager', community => 'Birch');

create function pg_temp.stale(from_day date default '2026-01-01', to_day date default '2026-12-31') returns text language sql as $$
  select coalesce(string_agg(concat_ws(' ', to_char(s.starts_on, 'MM'), s.unit, coalesce(s.full_name, 'nobody'), s.charged, s.due_now), ', ' order by s.starts_on, s.unit, s.due_now, s.full_name), 'nothing')
  from public.stale_charges(tests.id('Alder'), from_day, to_day) s
$$;
grant execute on function pg_temp.stale(date, date) to authenticated;
select tests.keep('fee', public.create_fee(tests.id('Alder'), 'Upkeep', (select f.id from public.funds f where f.community_id = tests.id('Alder') and f.kind = 'operating'),
  public.create_allocation_key(tests.id('Alder'), 'alike', 'per_unit'), 31, '2026-01-01', 'rate'));
select tests.keep('january', public.run_fee(tests.kept('fee')::uuid, '2026-01-20')), tests.keep('february', public.run_fee(tests.kept('fee')::uuid, '2026-02-20'));
select tests.authenticate_as('mia');
select is(pg_temp.stale(), 'nothing', 'a run that nothing came in between names nothing');
select tests.keep('stored', (select string_agg(e.id::text, '') from public.journal_entries e where e.community_id = tests.id('Alder')));
select lives_ok($$select * from public.sell_unit(tests.id('2'), '2026-01-11', '[{"full_name": "Dan"}]')$$, '(a sale is entered late)');
select is(pg_temp.stale(), '01 2 Bob 31.00 10.00, 01 2 Dan 0.00 21.00, 02 2 Bob 31.00 0.00, 02 2 Dan 0.00 31.00', 'who sold was charged for days that are the buyer''s');
select is(pg_temp.stale('2026-02-01', '2026-02-28'), '02 2 Bob 31.00 0.00, 02 2 Dan 0.00 31.00', 'of the days that are asked for');
select is(pg_temp.stale('2026-03-01', '2026-12-31'), 'nothing', '(of others, nothing)');
select is((select array_agg(distinct s.fee) from public.stale_charges(tests.id('Alder'), '2026-01-01', '2026-12-31') s), '{Upkeep}', 'by the name of the fee');
select is((select array_agg(distinct s.fee_run_id order by s.fee_run_id) from public.stale_charges(tests.id('Alder'), '2026-01-01', '2026-12-31') s), array[tests.kept('january')::uuid, tests.kept('february')::uuid], 'and the run');
select is((select string_agg(e.id::text, '') from public.journal_entries e where e.community_id = tests.id('Alder')), tests.kept('stored'), 'nothing is posted by looking');
select lives_ok(format($$select public.reverse_fee_run(%L, 'Sold on the 11th of January')$$, tests.kept('february')), '(the run is taken back)');
select is(pg_temp.stale('2026-02-01', '2026-02-28'), 'nothing', 'a run that was taken back is not stale');
select lives_ok(format($$select public.run_fee(%L, '2026-02-20')$$, tests.kept('fee')), '(and made again)');
select is(pg_temp.stale('2026-02-01', '2026-02-28'), 'nothing', 'nor is one made since');
select is(pg_temp.stale('2026-01-01', '2026-01-31'), '01 2 Bob 31.00 10.00, 01 2 Dan 0.00 21.00', 'the other still is');
select tests.as_studio();
select tests.occupy('Cid', '3', 'owner', '2026-02-01');
select tests.authenticate_as('mia');
select is(pg_temp.stale('2026-02-01', '2026-02-28'), '02 3 nobody 31.00 0.00, 02 3 Cid 0.00 31.00', 'whom nobody knew, and who is known now');
select throws_ok($$select pg_temp.stale('2026-02-01', '2026-01-01')$$, 'PT422', 'invalid_period', 'days follow one another');
select throws_ok($$select pg_temp.stale('2001-01-01', '2026-01-01')$$, 'PT422', 'invalid_period', 'and are ten years at most');
select tests.authenticate_as('ann');
select throws_ok($$select pg_temp.stale()$$, 'PT403', 'permission_denied', 'a resident is told of nobody''s charges');
select tests.authenticate_as('ben');
select throws_ok($$select pg_temp.stale()$$, 'PT403', 'permission_denied', 'nor is the manager of another community');
select tests.as_studio();
select is((select count(*) from public.stale_charges(tests.id('Birch'))), 0::bigint, 'where there are no books, nothing is stale');

select * from finish();
rollback;
