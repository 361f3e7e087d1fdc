-- Statements say what the postings say, and tie to one another at any day, across closed and reopened periods and the end of a fiscal year.

begin;
select plan(25);

alter default privileges grant execute on functions to public; -- so that whoever is signed in may use the helpers of this file

create function pg_temp.account(fund text, code text, community text default 'Alder') returns uuid language sql stable as $$
  select a.id from public.accounts a join public.funds f on f.id = a.fund_id where a.community_id = tests.id(community) and f.code = fund and a.code = account.code
$$;
create function pg_temp.fund(code text, community text default 'Alder') returns uuid language sql stable as $$
  select f.id from public.funds f where f.community_id = tests.id(community) and f.code = fund.code
$$;
create function pg_temp.line(fund text, debit text, credit text, amount numeric, debit_sub uuid default null, credit_sub uuid default null) returns app.posting_line language sql stable as $$
  select row(pg_temp.fund(fund), pg_temp.account(fund, debit), debit_sub, pg_temp.account(fund, credit), credit_sub, amount, null)::app.posting_line
$$;
create function pg_temp.post(on_day date, description text, variadic lines app.posting_line[]) returns uuid language sql as $$
  select app.post_entry(tests.id('Alder'), 'manual', on_day, description, lines)
$$;
create function pg_temp.told(statement text) returns text language plpgsql as $$
declare
  answer text;
begin
  -- what from which statement [x where …]
  execute format('select string_agg(concat_ws('' '', %s), ''; '') from %s', split_part(statement, ' from ', 1),
    split_part(statement, ' from ', 2) || case when split_part(statement, ' from ', 2) ~ '\) x' then '' else ' x' end) into answer;
  return coalesce(answer, 'nothing');
end;
$$;

select tests.create_community('Alder'), tests.create_community('Birch');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_resident('Ana', 'Alder');
select public.open_books(tests.id('Alder'), '2024-01-01');
select tests.keep('ana', app.subaccount_for(tests.id('Alder'), pg_temp.fund('OPER'), 'receivable', tests.id('1'), tests.id('Ana')));
select tests.keep('nobody', app.subaccount_for(tests.id('Alder'), pg_temp.fund('OPER'), 'receivable', tests.id('2'), null));
insert into public.accounts (code, name, community_id, fund_id, decimals, type, purpose, counter_fund_id)
select x.code, x.code, f.community_id, f.id, f.decimals, x.type::public.account_type, x.purpose::public.account_purpose, c.id
from public.funds f join public.funds c on c.community_id = f.community_id and c.id <> f.id
cross join (values ('FROM', 'asset', 'due_from'), ('TO', 'liability', 'due_to')) x (code, type, purpose)
where f.community_id = tests.id('Alder');

-- A short year, read line by line --------------------------------------------------------------------------------------

select app.post_entry(tests.id('Alder'), 'opening', '2023-12-31', 'Opening balances', array[pg_temp.line('OPER', '1000', '3900', 500), pg_temp.line('OPER', '3900', '3000', 500), pg_temp.line('RES', '1000', '3900', 90)]);
select pg_temp.post('2024-01-10', 'Fees', pg_temp.line('OPER', '1100', '4000', 120, tests.kept('ana')::uuid), pg_temp.line('OPER', '1100', '4000', 80, tests.kept('nobody')::uuid));
select pg_temp.post('2024-01-20', 'Paid', pg_temp.line('OPER', '1000', '1100', 70, null, tests.kept('ana')::uuid));
select pg_temp.post('2024-02-01', 'Cleaning', pg_temp.line('OPER', '5100', '2000', 40));
select pg_temp.post('2024-02-05', 'Cleaner paid', pg_temp.line('OPER', '2000', '1000', 25), pg_temp.line('OPER', '1010', '1000', 10));
select app.post_entry(tests.id('Alder'), 'transfer', '2024-02-10', 'Lent to the reserve', array[pg_temp.line('OPER', 'FROM', '1000', 30), pg_temp.line('RES', '1000', 'TO', 30)]);
select app.post_entry(tests.id('Alder'), 'transfer', '2024-02-20', 'Set aside', array[pg_temp.line('OPER', '3000', 'TO', 60), pg_temp.line('RES', 'FROM', '3000', 60)]);

select is(pg_temp.told($$x.fund_code, x.account_code, x.debit_total, x.credit_total, x.debit, x.credit from public.trial_balance(tests.id('Alder'), '2024-02-29')$$),
  'OPER 1000 570.00 65.00 505.00 0; OPER 1010 10.00 0 10.00 0; OPER 1100 200.00 70.00 130.00 0; OPER 2000 25.00 40.00 0 15.00; OPER 3000 60.00 500.00 0 440.00; OPER 3900 500.00 500.00 0.00 0.00; '
  'OPER 4000 0 200.00 0 200.00; OPER 5100 40.00 0 40.00 0; OPER FROM 30.00 0 30.00 0; OPER TO 0 60.00 0 60.00; OPER 1435.00 1435.00 715.00 715.00; '
  'RES 1000 120.00 0 120.00 0; RES 3000 0 60.00 0 60.00; RES 3900 0 90.00 0 90.00; RES FROM 60.00 0 60.00 0; RES TO 0 30.00 0 30.00; RES 180.00 180.00 180.00 180.00; 1615.00 1615.00 895.00 895.00',
  'the trial balance: every account that was moved, sums of each fund and of all, debit equal to credit');
select is(pg_temp.told($$x.fund_code, x.account_code, x.debit, x.credit from public.trial_balance(tests.id('Alder'), '2024-01-31', pg_temp.fund('RES'))$$), 'RES 1000 90.00 0; RES 3900 0 90.00; RES 90.00 90.00; 90.00 90.00', 'of one fund alone, at an earlier day');
select is(pg_temp.told($$x.fund_code, x.section, x.account_code, x.account_name, x.amount, x.is_total from public.balance_sheet(tests.id('Alder'), '2024-02-29')$$),
  'OPER asset 1000 Bank 505.00 f; OPER asset 1010 Cash 10.00 f; OPER asset 1100 Receivables from units 130.00 f; OPER asset FROM FROM 30.00 f; OPER asset 675.00 t; '
  'OPER liability 2000 Payables to suppliers 15.00 f; OPER liability TO TO 60.00 f; OPER liability 75.00 t; OPER equity 3000 Fund balance 440.00 f; OPER equity Result not yet closed 160.00 f; OPER equity 600.00 t; OPER 0.00 t; '
  'RES asset 1000 Bank 120.00 f; RES asset FROM FROM 60.00 f; RES asset 180.00 t; RES liability TO TO 30.00 f; RES liability 30.00 t; RES equity 3000 Fund balance 60.00 f; RES equity 3900 Opening balances 90.00 f; RES equity 150.00 t; RES 0.00 t; '
  'asset 855.00 t; liability 105.00 t; equity 750.00 t; 0.00 t',
  'the balance sheet: what there is, what is owed, what is left, and nothing besides');
select is(pg_temp.told($$x.fund_code, x.section, x.account_code, x.amount, x.is_total from public.income_statement(tests.id('Alder'), '2024-01-01', '2024-02-29')$$),
  'OPER income 4000 200.00 f; OPER income 200.00 t; OPER expense 5100 40.00 f; OPER expense 40.00 t; OPER 160.00 t; income 200.00 t; expense 40.00 t; 160.00 t', 'the income statement: income, expenses, and what they leave');
select is(pg_temp.told($$x.fund_code, x.section, x.account_code, x.inflow, x.outflow, x.amount, x.is_total from public.cash_flow(tests.id('Alder'), '2024-01-01', '2024-02-29')$$),
  'OPER opening 500.00 f; OPER flow 1100 70.00 0 70.00 f; OPER flow 2000 0 25.00 -25.00 f; OPER flow FROM 0 30.00 -30.00 f; OPER flow 70.00 55.00 15.00 t; OPER closing 515.00 f; '
  'RES opening 90.00 f; RES flow TO 30.00 0 30.00 f; RES flow 30.00 0 30.00 t; RES closing 120.00 f; opening 590.00 t; flow 100.00 55.00 45.00 t; closing 635.00 t',
  'the cash flow: what was there, what came and went, what is there; cash drawn from the bank is neither');
select is(pg_temp.told($$x.fund_code, x.opening, x.income, x.expense, x.transfers, x.other, x.closing, x.claims, x.net_assets, x.is_total from public.fund_report(tests.id('Alder'), '2024-01-01', '2024-02-29')$$),
  'OPER 500.00 200.00 40.00 -30.00 0.00 630.00 -30.00 600.00 f; RES 90.00 0 0 30.00 0.00 120.00 30.00 150.00 f; 590.00 200.00 40.00 0.00 0.00 750.00 0.00 750.00 t',
  'the fund report: opening, income, expense and transfers make the closing; what was only set aside is a claim');
select is(pg_temp.told($$x.effective_on, x.description, x.counter_code, x.unit_number, x.resident_name, x.debit, x.credit, x.balance from public.general_ledger(pg_temp.account('OPER', '1100'), '2024-01-01', '2024-02-29')$$),
  '2024-01-01 0; 2024-01-10 Fees 4000 1 Ana 120.00 120.00; 2024-01-10 Fees 4000 2 80.00 200.00; 2024-01-20 Paid 1000 1 Ana 70.00 130.00', 'the ledger of an account: each line with the balance after it');
select is(pg_temp.told($$x.effective_on, x.description, x.debit, x.credit, x.balance from public.general_ledger(pg_temp.account('OPER', '1100'), '2024-01-15', '2024-02-29', tests.kept('ana')::uuid)$$),
  '2024-01-15 120.00; 2024-01-20 Paid 70.00 50.00', 'of one unit and person alone, from a day on');

-- The end of a year ----------------------------------------------------------------------------------------------------

select tests.keep('statement', pg_temp.told($$x.fund_code, x.section, x.account_code, x.amount from public.income_statement(tests.id('Alder'), '2024-01-01', '2024-12-31')$$));
select tests.keep('equity', pg_temp.told($$x.amount from public.balance_sheet(tests.id('Alder'), '2024-12-31') x where x.section = 'equity' and x.is_total$$));
select tests.keep('fund', pg_temp.told($$x from public.fund_report(tests.id('Alder'), '2024-01-01', '2024-12-31')$$));
select tests.keep('before', pg_temp.told($$x.fund_code, x.account_code, x.debit_total, x.credit_total from public.trial_balance(tests.id('Alder'), '2024-12-31', with_closing => false) x where x.debit_total > 0 and x.credit_total > 0$$));
select tests.keep('period', public.close_period(tests.id('Alder'), '2024-12-31'));
select is(pg_temp.told($$x.fund_code, x.section, x.account_code, x.amount from public.income_statement(tests.id('Alder'), '2024-01-01', '2024-12-31')$$), tests.kept('statement'), 'closing a year changes nothing in its income statement');
select is(pg_temp.told($$x from public.fund_report(tests.id('Alder'), '2024-01-01', '2024-12-31')$$), tests.kept('fund'), 'nor in the fund report');
select is(pg_temp.told($$x.amount from public.balance_sheet(tests.id('Alder'), '2024-12-31') x where x.section = 'equity' and x.is_total$$), tests.kept('equity'), 'nor in the equity of the balance sheet');
select is(pg_temp.told($$x.fund_code, x.account_code, x.debit_total, x.credit_total from public.trial_balance(tests.id('Alder'), '2024-12-31', with_closing => false) x where x.debit_total > 0 and x.credit_total > 0$$), tests.kept('before'), 'nor in the trial balance without closing entries');
select is(pg_temp.told($$x.account_code, x.debit, x.credit from public.trial_balance(tests.id('Alder'), '2024-12-31') x where x.fund_code = 'OPER' and x.account_code in ('3000', '4000', '5100')$$), '3000 0 600.00; 4000 0.00 0.00; 5100 0.00 0.00',
  'in the trial balance the result is fund balance');
select is(pg_temp.told($$x.amount from public.balance_sheet(tests.id('Alder'), '2024-12-31') x where x.account_name = 'Result not yet closed'$$), 'nothing', 'and in the balance sheet nothing is left to be closed');
select is(pg_temp.told($$x.amount from public.income_statement(tests.id('Alder'), '2025-01-01', '2025-12-31')$$), '0', 'the next year begins with nothing');

-- At any day, whatever was posted --------------------------------------------------------------------------------------

-- The books as nobody could tell them better: one scan of the lines.
create function pg_temp.stood(account uuid, day date, with_closing boolean default true) returns numeric language sql stable as $$
  select coalesce(sum(coalesce(l.debit, -l.credit)), 0)
  from public.ledger_lines l join public.journal_entries e on e.id = l.journal_entry_id left join public.journal_entries r on r.id = e.reverses_id
  where l.account_id = account and l.effective_on <= day and (with_closing or ('closing' in (e.kind, r.kind)) is not true)
$$;
create function pg_temp.untied(from_day date, to_day date) returns setof text language sql as $$
  with home as (select tests.id('Alder') as id),
  trial as materialized (select x.* from home, public.trial_balance(home.id, to_day) x),
  open_trial as materialized (select x.* from home, public.trial_balance(home.id, to_day, with_closing => false) x),
  sheet as materialized (select x.* from home, public.balance_sheet(home.id, to_day) x),
  income as materialized (select x.* from home, public.income_statement(home.id, from_day, to_day) x),
  cash as materialized (select x.* from home, public.cash_flow(home.id, from_day, to_day) x),
  fund as materialized (select x.* from home, public.fund_report(home.id, from_day, to_day) x),
  earlier as materialized (select x.* from home, public.fund_report(home.id, from_day - 1, from_day - 1) x)
  select 'trial balance: debit is not credit' from (select * from trial union all select * from open_trial) t where t.is_total and (t.debit <> t.credit or t.debit_total <> t.credit_total)
  union all
  select 'trial balance: ' || a.code from public.accounts a, home
  where a.community_id = home.id and coalesce((select t.debit - t.credit from trial t where t.account_id = a.id), 0) <> pg_temp.stood(a.id, to_day)
  union all
  select 'trial balance without closing: ' || a.code from public.accounts a, home
  where a.community_id = home.id and coalesce((select t.debit - t.credit from open_trial t where t.account_id = a.id), 0) <> pg_temp.stood(a.id, to_day, false)
  union all
  select 'balance sheet: ' || coalesce(s.fund_code, 'all') from sheet s where s.is_total and s.section is null and s.amount <> 0
  union all
  select 'income statement: ' || a.code from public.accounts a, home
  where a.community_id = home.id and a.type in ('income', 'expense')
    and coalesce((select i.amount from income i where i.account_id = a.id), 0) <>
      (pg_temp.stood(a.id, to_day, false) - pg_temp.stood(a.id, from_day - 1, false)) * case a.type when 'income' then -1 else 1 end
  union all
  select 'income statement and fund report: ' || coalesce(f.fund_code, 'all') from fund f
  where f.income - f.expense <> coalesce((select i.amount from income i where i.is_total and i.section is null and i.fund_code is not distinct from f.fund_code), 0)
  union all
  select 'fund report: ' || coalesce(f.fund_code, 'all') from fund f where f.opening + f.income - f.expense + f.transfers + f.other <> f.closing
  union all
  select 'fund report, day before: ' || coalesce(f.fund_code, 'all') from fund f join earlier e on e.fund_code is not distinct from f.fund_code where e.closing <> f.opening
  union all
  select 'fund report and balance sheet: ' || coalesce(f.fund_code, 'all') from fund f
  where f.net_assets <> coalesce((select s.amount from sheet s where s.is_total and s.section = 'equity' and s.fund_code is not distinct from f.fund_code), 0)
  union all
  select 'fund report: transfers between all funds' from fund f where f.is_total and (f.transfers <> 0 or f.claims <> 0)
  union all
  select 'cash flow: ' || coalesce(c.fund_code, 'all') from cash c
  group by c.fund_code
  having sum(c.amount) filter (where c.section = 'opening') + coalesce(sum(c.amount) filter (where c.section = 'flow' and c.is_total), 0) <> sum(c.amount) filter (where c.section = 'closing')
  union all
  select 'cash flow and trial balance' from home
  where (select sum(c.amount) from cash c where c.section = 'closing' and c.is_total) <>
    (select coalesce(sum(t.debit - t.credit), 0) from trial t join public.accounts a on a.id = t.account_id where a.purpose in ('bank', 'cash'))
  union all
  select 'general ledger: ' || a.code from home join public.accounts a on a.community_id = home.id
  cross join lateral (select (array_agg(g.balance order by n))[1] as first, (array_agg(g.balance order by n desc))[1] as last from public.general_ledger(a.id, from_day, to_day) with ordinality
    g (effective_on, entry_id, posting_id, kind, description, memo, document_kind, document_id, counter_code, counter_name, unit_number, resident_name, debit, credit, balance, n)) g
  where g.first <> pg_temp.stood(a.id, from_day - 1) or g.last <> pg_temp.stood(a.id, to_day)
$$;

-- Anything that a bookkeeper may do, on any day of the two years: fees, payments, expenses, loans, what is set aside, corrections, reversals.
create function pg_temp.happen(times integer, first_day date, last_day date) returns void language plpgsql as $$
declare
  day date;
  amount numeric;
  fund text;
  other text;
  person uuid;
begin
  for i in 1 .. times loop
    day := first_day + floor(random() * (last_day - first_day + 1))::integer;
    amount := round((random() * 900 + 0.01)::numeric, 2);
    fund := (array['OPER', 'RES'])[1 + floor(random() * 2)];
    other := case fund when 'OPER' then 'RES' else 'OPER' end;
    person := app.subaccount_for(tests.id('Alder'), pg_temp.fund(fund), 'receivable', tests.id((array['1', '2'])[1 + floor(random() * 2)]), case when random() < 0.5 then tests.id('Ana') end);
    case floor(random() * 9)
      when 0 then perform pg_temp.post(day, 'Fee', pg_temp.line(fund, '1100', '4000', amount, person));
      when 1 then perform pg_temp.post(day, 'Payment', pg_temp.line(fund, '1000', '1100', amount, null, person));
      when 2 then perform pg_temp.post(day, 'Expense', pg_temp.line(fund, '5000', '2000', amount), pg_temp.line(fund, '2000', '1000', amount));
      when 3 then perform pg_temp.post(day, 'Lent', pg_temp.line(fund, 'FROM', '1000', amount), pg_temp.line(other, '1000', 'TO', amount));
      when 4 then perform pg_temp.post(day, 'Set aside', pg_temp.line(fund, '3000', 'TO', amount), pg_temp.line(other, 'FROM', '3000', amount));
      when 5 then perform pg_temp.post(day, 'Charged between funds', pg_temp.line(fund, '5700', 'TO', amount), pg_temp.line(other, 'FROM', '4900', amount));
      when 6 then perform pg_temp.post(day, 'Corrected', pg_temp.line(fund, '3900', '3000', amount), pg_temp.line(fund, '1000', '3900', amount));
      when 7 then perform pg_temp.post(day, 'Moved to the bank', pg_temp.line('OPER', '1000', '1010', amount));
      else
        perform app.reverse_entry(e.id, day, 'Wrong')
        from (
          select x.id from public.journal_entries x
          where x.community_id = tests.id('Alder') and x.kind = 'manual' and x.effective_on <= day and not exists (select from public.journal_entries r where r.reverses_id = x.id)
          order by random() limit 1) e;
    end case;
  end loop;
end;
$$;
create function pg_temp.untied_at_any_day(times integer) returns text language sql as $$
  select coalesce(string_agg(distinct format('%s – %s %s', d.from_day, d.to_day, u), '; '), 'nothing')
  from (
    select least(a, b) as from_day, greatest(a, b) as to_day
    from (select date '2024-01-01' + floor(random() * 800)::integer as a, date '2024-01-01' + floor(random() * 800)::integer as b from generate_series(1, times) offset 0) x
    union all
    values ('2024-01-01'::date, '2024-12-31'::date), ('2025-01-01', '2025-12-31'), ('2024-12-31', '2025-01-01')
  ) d, pg_temp.untied(d.from_day, d.to_day) u
$$;

select is(pg_temp.untied_at_any_day(0), 'nothing', 'all statements tie at the end of the year');
select setseed(0.6);
select pg_temp.happen(150, '2025-01-01', '2026-02-28');
select is(pg_temp.untied_at_any_day(4), 'nothing', 'and at any day after any entries');
select isnt(pg_temp.told($$x.amount from public.income_statement(tests.id('Alder'), '2025-01-01', '2025-12-31') x$$), '0', '(there were some)');
select public.close_period(tests.id('Alder'), day::date) from unnest(array['2025-01-31', '2025-02-28', '2025-06-30', '2025-09-30', '2025-12-31', '2026-01-31']) day;
select is(pg_temp.untied_at_any_day(4), 'nothing', 'and once periods and a second year are closed');
select pg_temp.happen(40, '2026-02-01', '2026-04-30');
select is(pg_temp.untied_at_any_day(4), 'nothing', 'and after more entries');
select public.reopen_period(p.id, 'Forgotten') from (select x.id from public.accounting_periods x where x.community_id = tests.id('Alder') and x.ends_on > '2025-09-01' order by x.ends_on desc) p;
select is(pg_temp.untied_at_any_day(4), 'nothing', 'and once periods and the year are open again');
select pg_temp.happen(40, '2025-07-01', '2026-01-31');
select is(pg_temp.untied_at_any_day(4), 'nothing', 'and with what had been forgotten');
select public.close_period(tests.id('Alder'), day::date) from unnest(array['2025-09-30', '2025-12-31']) day;
select is(pg_temp.untied_at_any_day(4), 'nothing', 'and closed once more');
set constraints all immediate;
select is_empty($$select * from public.verify_ledger(tests.id('Alder'))$$, 'and the books are sound');
select is_empty($$
  select s.id from public.subaccounts s
  where s.community_id = tests.id('Alder') and s.balance <> (select coalesce(sum(coalesce(g.debit, -g.credit)), 0) from public.general_ledger(s.account_id, '2024-01-01', '2027-01-01', s.id) g)$$,
  'and every subaccount stands at what its ledger comes to');

select * from finish();
rollback;
