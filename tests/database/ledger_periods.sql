-- Periods: closed in order, by who may; closed days take nothing; snapshots and closing entries change no balance; reopening takes them back.

begin;
select plan(45);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_supabase_user('accountant'), tests.create_supabase_user('admin'), tests.create_supabase_user('other');
select tests.grant_role('accountant', 'accountant', community => 'Alder'), tests.grant_role('admin', 'admin', community => 'Alder'), tests.grant_role('other', 'admin', community => 'Cedar');
select public.open_books(tests.id('Alder'), '2024-01-01'), public.open_books(tests.id('Cedar'), '2024-04-10', fiscal_year_start_month => 7);
create function pg_temp.acc(fund text, called text) returns uuid language sql stable security definer set search_path = '' as $$
  select a.id from public.accounts a join public.funds f on f.id = a.fund_id where f.code = fund and f.community_id = tests.id('Alder') and a.purpose::text = called order by a.code limit 1
$$;
create function pg_temp.post(debit text, credit text, amount numeric, day date, fund text default 'OPER') returns uuid language sql volatile security definer set search_path = '' as $$
  select app.post_entry(tests.id('Alder'), 'manual', day, 'Entry', array[row((select f.id from public.funds f where f.code = fund and f.community_id = tests.id('Alder')), pg_temp.acc(fund, debit), null, pg_temp.acc(fund, credit), null, amount, null)::app.posting_line])
$$;
-- A bare balance per account through a day, from the postings alone.
create function pg_temp.counted(day date, with_closing boolean) returns table (account_id uuid, balance numeric) language sql stable security definer set search_path = '' as $$
  select l.account_id, sum(coalesce(l.debit, -l.credit))
  from public.ledger_lines l
  join public.journal_entries e on e.id = l.journal_entry_id
  left join public.journal_entries r on r.id = e.reverses_id
  where l.community_id = tests.id('Alder') and l.effective_on <= day and (with_closing or not (e.kind = 'closing' or coalesce(r.kind = 'closing', false)))
  group by 1
$$;
create function pg_temp.told(day date, with_closing boolean) returns table (account_id uuid, balance numeric) language sql stable security definer set search_path = '' as $$
  select b.account_id, b.debit_total - b.credit_total from app.account_balances(tests.id('Alder'), day, with_closing) b
$$;
grant execute on function pg_temp.post(text, text, numeric, date, text), pg_temp.acc(text, text) to authenticated;

select pg_temp.post('bank', 'assessment_income', 500, '2024-01-10');
select pg_temp.post('expense', 'bank', 120, '2024-02-10');
select pg_temp.post('bank', 'other_income', 80, '2024-06-10', 'RES');
select pg_temp.post('bank', 'assessment_income', 30, '2025-01-10');

-- Closing ----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('other');
select throws_ok($$select public.close_period(tests.id('Alder'), '2024-01-31')$$, 'PT403', 'permission_denied', 'the books of others are not closed');
select tests.authenticate_as('accountant');
select throws_ok(format($$select public.close_period(tests.id('Alder'), %L)$$, v.day), v.state, v.token, v.what)
from (values
  (null, 'PT409', 'period_order', 'a period has an end'),
  ('2023-12-31', 'PT409', 'period_order', 'after its beginning'),
  ((current_date + 1)::text, 'PT422', 'period_not_over', 'which is over'),
  ('2025-01-01', 'PT422', 'period_crosses_year', 'within a fiscal year')
) v (day, state, token, what);
select is_empty($$select from public.accounting_periods$$, 'what was refused left nothing behind');
select lives_ok($$select tests.keep('jan', public.close_period(tests.id('Alder'), '2024-01-31'))$$, 'January is closed');
select is((select name || ' ' || starts_on || ' ' || ends_on || ' ' || status from public.accounting_periods), '2024-01 2024-01-01 2024-01-31 closed', 'from the first day of the books');
select is((select closed_through from public.ledgers), '2024-01-31'::date, 'the books say so');
select throws_ok($$select pg_temp.post('bank', 'other_income', 1, '2024-01-31')$$, 'PT409', 'period_closed', 'its last day takes no entry');
select lives_ok($$select pg_temp.post('bank', 'other_income', 1, '2024-02-01')$$, 'the next one does');
select throws_ok($$select public.reverse_journal_entry((select id from public.journal_entries where effective_on = '2024-01-10'), 'Why', '2024-01-20')$$, 'PT409', 'period_closed', 'nor does it take a reversal');
select throws_ok($$select public.close_period(tests.id('Alder'), '2024-01-15')$$, 'PT409', 'period_order', 'it is closed once');
select lives_ok($$select tests.keep('march', public.close_period(tests.id('Alder'), '2024-03-31'))$$, 'two months at once');
select is((select name from public.accounting_periods order by ends_on desc limit 1), '2024-02-01 – 2024-03-31', 'have a name');
select tests.as_studio();
select is((select count(*) from public.account_snapshots s where s.period_id = tests.kept('march')::uuid), 4::bigint, 'each account that ever moved has a snapshot');
select throws_ok(v.sql, 'PT409', v.token, v.sql)
from (values
  ('update public.ledgers set closed_through = null where community_id = tests.id(''Alder'')', 'period_order'),
  ('update public.ledgers set opened_on = ''2020-01-01'' where community_id = tests.id(''Alder'')', 'column_frozen'),
  ('update public.accounting_periods set ends_on = ''2024-04-30'' where id = tests.kept(''march'')::uuid', 'column_frozen'),
  ('update public.accounting_periods set status = ''open'', closed_at = null where id = tests.kept(''jan'')::uuid', 'period_order'),
  ('update public.account_snapshots set debit_total = 1', 'balance_derived'),
  ('delete from public.account_snapshots', 'balance_derived'),
  ('insert into public.account_snapshots (community_id, account_id, period_id, debit_total, credit_total) select community_id, account_id, period_id, 1, 1 from public.account_snapshots limit 1', 'balance_derived')
) v (sql, token);
select throws_ok($$insert into public.accounting_periods (name, community_id, starts_on, ends_on, closed_at) values ('Later', tests.id('Alder'), '2024-05-01', '2024-05-31', now())$$, 'PT409', 'period_order', 'no month is left out');
select throws_ok($$insert into public.accounting_periods (name, community_id, starts_on, ends_on, closed_at) values ('Twice', tests.id('Alder'), '2024-03-01', '2024-04-30', now())$$, 'PT409', 'period_order', 'or counted twice');

-- A year -----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select lives_ok($$select tests.keep('year', public.close_period(tests.id('Alder'), '2024-12-31'))$$, 'the year is closed');
select tests.as_studio();
select results_eq($$select f.code, a.purpose::text, b.balance from pg_temp.told('2024-12-31', true) b join public.accounts a on a.id = b.account_id and a.type in ('income', 'expense', 'equity') join public.funds f on f.id = a.fund_id order by 1, 2$$,
  $$values ('OPER', 'assessment_income', 0.00), ('OPER', 'expense', 0.00), ('OPER', 'fund_balance', -381.00), ('OPER', 'other_income', 0.00), ('RES', 'fund_balance', -80.00), ('RES', 'other_income', 0.00)$$,
  'income and expense have moved to the balance of their fund');
select results_eq($$select a.purpose::text, sum(b.balance) from pg_temp.told('2024-12-31', false) b join public.accounts a on a.id = b.account_id and a.type in ('income', 'expense', 'equity') group by 1 order by 1$$,
  $$values ('assessment_income', -500.00), ('expense', 120.00), ('fund_balance', 0.00), ('other_income', -81.00)$$, 'and stand in the statement of the year nevertheless');
select is((select sum(balance) from pg_temp.told('2025-12-31', true)), 0.00, 'all accounts sum to nothing');
select tests.authenticate_as('admin');
select throws_ok($$select public.reverse_journal_entry((select closing_entry_id from public.accounting_periods where closing_entry_id is not null), 'Why')$$, 'PT409', 'entry_has_document', 'the closing is taken back by reopening alone');

-- Reopening --------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select throws_ok(format($$select public.reopen_period(%L, 'Because')$$, tests.kept('year')), 'PT403', 'permission_denied', 'who closes does not reopen');
select tests.authenticate_as('other');
select throws_ok(format($$select public.reopen_period(%L, 'Because')$$, tests.kept('year')), 'PT404', 'period_not_found', 'to others there is no period');
select tests.authenticate_as('admin');
select throws_ok(format($$select public.reopen_period(%L, 'Because')$$, tests.kept('march')), 'PT409', 'period_order', 'the last one is reopened first');
select throws_ok(format($$select public.reopen_period(%L, ' ')$$, tests.kept('year')), 'PT422', 'reason_required', 'for a reason');
select lives_ok(format($$select public.reopen_period(%L, 'An invoice came late')$$, tests.kept('year')), 'an administrator reopens it');
select throws_ok(format($$select public.reopen_period(%L, 'Again')$$, tests.kept('year')), 'PT409', 'period_open', 'once');
select is((select note from public.audit_log where action = 'PERIOD_REOPENED' and row_id = tests.kept('year')::uuid), 'An invoice came late', 'the audit log keeps why');
select lives_ok($$select pg_temp.post('expense', 'bank', 7, '2024-12-30')$$, 'its days take entries again');
select throws_ok($$select public.close_period(tests.id('Alder'), '2024-11-30')$$, 'PT409', 'period_order', 'it is closed with the days it had');
select lives_ok($$select public.close_period(tests.id('Alder'), '2024-12-31')$$, 'and closed again');
select tests.as_studio();
select is((select balance from pg_temp.told('2024-12-31', true) where account_id = pg_temp.acc('OPER', 'fund_balance')), -374.00, 'with what was added');
select is((select string_agg(kind::text, ' ' order by id) from public.journal_entries where community_id = tests.id('Alder') and effective_on = '2024-12-31'), 'closing reversal closing', 'the journal tells all of it');
select is_empty($$
  (select d::date, c, t.* from generate_series('2023-12-31'::date, '2025-02-01', interval '1 day') d cross join unnest('{t,f}'::boolean[]) c cross join lateral pg_temp.told(d::date, c) t where t.balance <> 0
   except select d::date, c, t.* from generate_series('2023-12-31'::date, '2025-02-01', interval '1 day') d cross join unnest('{t,f}'::boolean[]) c cross join lateral pg_temp.counted(d::date, c) t)
  union all
  (select d::date, c, t.* from generate_series('2023-12-31'::date, '2025-02-01', interval '1 day') d cross join unnest('{t,f}'::boolean[]) c cross join lateral pg_temp.counted(d::date, c) t where t.balance <> 0
   except select d::date, c, t.* from generate_series('2023-12-31'::date, '2025-02-01', interval '1 day') d cross join unnest('{t,f}'::boolean[]) c cross join lateral pg_temp.told(d::date, c) t)$$,
  'on every day the balances are what the postings sum to, with closing entries and without');
set constraints all immediate;
select is_empty($$select * from public.verify_ledger(tests.id('Alder'))$$, 'verify_ledger finds nothing');
select results_eq($$select m, app.fiscal_year_end(m, d) from (values (1, '2026-05-05'::date), (4, '2026-03-31'), (4, '2026-04-01'), (7, '2024-04-10'), (12, '2026-11-30'), (12, '2026-12-01')) v (m, d)$$,
  $$values (1, '2026-12-31'::date), (4, '2026-03-31'), (4, '2027-03-31'), (7, '2024-06-30'), (12, '2026-11-30'), (12, '2027-11-30')$$, 'a fiscal year begins in any month');

select * from finish();
rollback;
