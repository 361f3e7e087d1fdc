-- Opening balances are posted as the list says them, as a whole or not at all, and the same list again posts nothing.

begin;
select plan(62);

alter default privileges grant execute on functions to public; -- so that whoever is signed in may use the helpers of this file

create function pg_temp.rows(file text) returns jsonb language sql as $$
  select coalesce(jsonb_agg(to_jsonb(string_to_array(btrim(line), '|', '')) order by n), '[]') from string_to_table(btrim(file, E'\n'), E'\n') with ordinality x (line, n)
$$;
create function pg_temp.import(headers text, file text, dry_run boolean default false, opened_on date default null, mapping jsonb default null, community text default 'Alder') returns jsonb language sql as $$
  select public.import_opening_balances(tests.id(community), string_to_array(headers, '|'), pg_temp.rows(file), opened_on, mapping, dry_run)
$$;
create function pg_temp.reasons(problems jsonb) returns text language sql as $$
  select coalesce(string_agg(concat_ws(' ', p ->> 'row', p ->> 'column', p ->> 'reason'), ', ' order by n), 'none') from jsonb_array_elements(problems) with ordinality x (p, n)
$$;
create function pg_temp.refused(headers text, file text, mapping jsonb default null) returns text language sql as $$
  select pg_temp.reasons(pg_temp.import(headers, file, true, null, mapping) -> 'refusals')
$$;
create function pg_temp.warned(headers text, file text) returns text language sql as $$
  select pg_temp.reasons(pg_temp.import(headers, file, true) -> 'warnings')
$$;
create function pg_temp.changes(report jsonb) returns text language sql as $$
  select coalesce(string_agg(format('%s %s: %s -> %s', p ->> 'row', p ->> 'name', coalesce(p ->> 'before', 'new'), p ->> 'after'), '; ' order by n), 'none')
  from jsonb_array_elements(report -> 'changes') with ordinality x (p, n)
$$;
create function pg_temp.totals(report jsonb) returns text language sql as $$
  select format('%s+%s~%s=', report #>> '{totals,balances,create}', report #>> '{totals,balances,update}', report #>> '{totals,balances,unchanged}')
$$;
-- What is owed, by unit and person; what stands on other accounts.
create function pg_temp.owed() returns text language sql security definer as $$
  select coalesce(string_agg(format('%s %s %s %s', f.code, u.number, coalesce(r.full_name, 'nobody'), s.balance), '; ' order by f.code, u.number, r.full_name), 'nothing')
  from public.subaccounts s join public.units u on u.id = s.unit_id join public.funds f on f.id = s.fund_id left join public.residents r on r.id = s.resident_id
  where s.balance <> 0 and s.community_id = tests.id('Alder')
$$;
create function pg_temp.stands() returns text language sql security definer as $$
  select coalesce(string_agg(format('%s %s %s', f.code, a.code, l.net), '; ' order by f.code, a.code), 'nothing')
  from (select x.account_id, sum(coalesce(x.debit, -x.credit)) as net from public.ledger_lines x where x.community_id = tests.id('Alder') group by 1) l
  join public.accounts a on a.id = l.account_id join public.funds f on f.id = a.fund_id
  where l.net <> 0
$$;
create function pg_temp.entries() returns bigint language sql security definer as $$ select count(*) from public.journal_entries where community_id = tests.id('Alder') $$;

select tests.create_community('Alder', time_zone => 'Europe/Sofia'), tests.create_community('Birch');
select tests.create_supabase_user(u) from unnest(array['manager', 'accountant', 'committee', 'guard', 'stranger', 'owner']) u;
select tests.grant_role(u, u, community => 'Alder') from unnest(array['manager', 'accountant', 'committee', 'guard']) u;
select tests.grant_role('stranger', 'manager', community => 'Birch');
select public.import_roster(tests.id('Alder'), '{Building,Unit,Name,Role,Share,Email,Reference,Since}', jsonb_build_array(
  jsonb_build_array('Main', '1', 'Ana Petrova', 'owner', 100, 'ana@mail.example', null, '2020-01-01'),
  jsonb_build_array('Main', '2', 'Boris Iliev', 'owner', 66.67, null, 'R-2', '2020-01-01'),
  jsonb_build_array('Main', '2', 'Vera Ilieva', 'owner', 33.33, null, null, '2020-01-01'),
  jsonb_build_array('Main', '3', 'Boris Iliev', 'owner', 100, null, 'R-2', '2020-01-01'),
  jsonb_build_array('Main', '4', null, null, null, null, null, null),
  jsonb_build_array('Side', '5', 'Gama OOD', 'owner', 100, null, null, '2020-01-01')), dry_run => false);

-- Who may --------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select throws_ok($$select pg_temp.import('Unit|Balance', '1|5')$$, 'PT409', 'books_not_open', 'before there are books there is nothing to begin with');
select lives_ok($$select public.open_books(tests.id('Alder'), '2026-03-01')$$, '(the books open)');
select throws_ok($$select pg_temp.import('Unit|Balance', '1|5')$$, 'PT403', 'permission_denied', u || ' may not import')
from unnest(array['committee', 'guard', 'stranger', 'owner']) u, lateral tests.authenticate_as(u);
select throws_ok($$select pg_temp.import('Unit|Balance', '1|5', true)$$, 'PT403', 'permission_denied', 'nor try it dry');
select tests.clear_authentication();
select throws_ok($$select pg_temp.import('Unit|Balance', '1|5')$$, '42501', null, 'nobody imports without signing in');
select tests.as_studio();
select is(pg_temp.entries(), 0::bigint, '(nothing was posted)');

-- A list of everything -------------------------------------------------------------------------------------------------

select tests.authenticate_as('accountant');
select tests.keep('headers', 'Building|Unit|Name|Reference|Fund|Account|Balance'::text);
select tests.keep('file', $file$
  Main|1|Ana Petrova||||120.50
  Main|2|Vera Ilieva||Operating||-30
  Main|2||R-2|||45,00
  Main|3|Boris Iliev||reserve||1 000,00
  Side|5|Gama OOD|||Deposits held|200
  ||||OPER|1000 Bank|2500.00
  ||||OPER|2000|300
  ||||OPER|Fund balance|2135.5
  ||||RES|Bank|4000
  ||||RES|Fund balance|5000
$file$::text);
select tests.keep('report', pg_temp.import(tests.kept('headers'), tests.kept('file'), true));
select is(tests.kept('report')::jsonb ->> 'status', 'checked', 'a dry run checks');
select is(pg_temp.reasons(tests.kept('report')::jsonb -> 'refusals'), 'none', 'and refuses nothing of a sound list');
select is(pg_temp.reasons(tests.kept('report')::jsonb -> 'warnings'), 'fund_assumed', 'rows that name no fund are of the operating fund, with a warning');
select is(pg_temp.totals(tests.kept('report')::jsonb), '10+0~0=', 'it says how many balances it would create');
select is(pg_temp.changes(tests.kept('report')::jsonb),
  '2 Main / 1: Ana Petrova (Operating fund): new -> 120.50; 3 Main / 2: Vera Ilieva (Operating fund): new -> -30.00; 4 Main / 2: Boris Iliev (Operating fund): new -> 45.00; '
  '5 Main / 3: Boris Iliev (Reserve fund): new -> 1000.00; 6 Side / 5: Gama OOD (Operating fund, Deposits held): new -> 200.00; 7 Operating fund: 1000 Bank: new -> 2500.00; '
  '8 Operating fund: 2000 Payables to suppliers: new -> 300.00; 9 Operating fund: 3000 Fund balance: new -> 2135.50; 10 Reserve fund: 1000 Bank: new -> 4000.00; 11 Reserve fund: 3000 Fund balance: new -> 5000.00',
  'and which, each on the side on which its account grows');
select is(tests.kept('report')::jsonb -> 'funds',
  '[{"fund": "Operating fund", "debit": 2665.50, "credit": 2665.50, "difference": 0.00}, {"fund": "Reserve fund", "debit": 5000.00, "credit": 5000.00, "difference": 0.00}]',
  'and that each fund would balance');
select is(pg_temp.entries(), 0::bigint, 'nothing is posted');

select tests.keep('report', pg_temp.import(tests.kept('headers'), tests.kept('file'), opened_on => '2026-03-01'));
select is(tests.kept('report')::jsonb ->> 'status', 'applied', 'the import posts what the dry run promised');
select is(pg_temp.owed(), 'OPER 1 Ana Petrova 120.50; OPER 2 Boris Iliev 45.00; OPER 2 Vera Ilieva -30.00; OPER 5 Gama OOD -200.00; RES 3 Boris Iliev 1000.00', 'to the persons of the units, found by name or reference');
select is(pg_temp.stands(), 'OPER 1000 2500.00; OPER 1100 135.50; OPER 2000 -300.00; OPER 2200 -200.00; OPER 3000 -2135.50; RES 1000 4000.00; RES 1100 1000.00; RES 3000 -5000.00',
  'and to the accounts, nothing being left on those for opening balances');
select is((select string_agg(format('%s %s %s', e.kind, e.effective_on, e.posting_count), ', ') from public.journal_entries e where e.community_id = tests.id('Alder')), 'opening 2026-02-28 10',
  'as one entry of the day before the books begin');
select is(tests.kept('report')::jsonb ->> 'entry_id', (select e.id::text from public.journal_entries e where e.community_id = tests.id('Alder')), 'which the report names');
select tests.as_studio();
select is((select count(*) from app.outbox where topic = 'balances.imported' and community_id = tests.id('Alder')), 1::bigint, 'who listens is told');
select tests.authenticate_as('accountant');

-- Again, corrected, in part --------------------------------------------------------------------------------------------

select tests.keep('report', pg_temp.import(tests.kept('headers'), tests.kept('file')));
select is(pg_temp.changes(tests.kept('report')::jsonb), 'none', 'the same list changes nothing');
select is(pg_temp.totals(tests.kept('report')::jsonb), '0+0~10=', 'everything is as it says');
select is(pg_temp.entries(), 1::bigint, 'no entry is posted');
select tests.keep('report', pg_temp.import('Unit|Name|Balance', '1|ANA PETROVA|100'));
select is(pg_temp.changes(tests.kept('report')::jsonb), '2 Main / 1: Ana Petrova (Operating fund): 120.50 -> 100.00', 'a corrected balance shows what it was and what it is');
select is(tests.kept('report')::jsonb #> '{not_in_file,balances}', '9', 'and how many the list does not name');
select is((select string_agg(format('%s %s', p.amount, d.code), ', ') from public.postings p join public.accounts d on d.id = p.debit_account_id join public.journal_entries e on e.id = p.journal_entry_id
  where e.id = (tests.kept('report')::jsonb ->> 'entry_id')::uuid), '20.50 3900', 'the difference is posted');
select is(pg_temp.owed(), 'OPER 1 Ana Petrova 100.00; OPER 2 Boris Iliev 45.00; OPER 2 Vera Ilieva -30.00; OPER 5 Gama OOD -200.00; RES 3 Boris Iliev 1000.00', 'who is not in the list stays');
select is(pg_temp.changes(pg_temp.import('Unit|Name|Balance', '1|Ana Petrova|0')), '2 Main / 1: Ana Petrova (Operating fund): 100.00 -> 0.00', 'nothing can be said to be owed, too');
select is(pg_temp.changes(pg_temp.import('Unit|Name|Fund|Balance', '3|Boris Iliev|RES|1000')), 'none', 'a list in part is no other list');
savepoint listed;
create function pg_temp.begun() returns text language sql as $$
  select string_agg(concat_ws(' ', t.fund_code, t.account_code, t.debit - t.credit), ', ') from public.trial_balance(tests.id('Alder'), '2026-03-01') t where not t.is_total and t.debit <> t.credit
$$;
select isnt(pg_temp.begun(), null, '(lists count from the first day on)');
select public.reverse_journal_entry(e.id, 'Wrong list') from public.journal_entries e where e.community_id = tests.id('Alder') and e.kind = 'opening' order by e.id;
select is(pg_temp.begun(), null, 'lists that are reversed count on no day');
select is((select count(*) from public.verify_ledger(tests.id('Alder'))), 0::bigint, 'which is in order');
rollback to savepoint listed;
select lives_ok($$select public.reverse_journal_entry((select e.id from public.journal_entries e where e.community_id = tests.id('Alder') order by e.id limit 1), 'Wrong list', '2026-03-01')$$, '(the first list is reversed)');
select is(pg_temp.changes(pg_temp.import('Unit|Name|Fund|Balance', '3|Boris Iliev|RES|1000')), '2 Main / 3: Boris Iliev (Reserve fund): new -> 1000.00', 'what was reversed is new again');

-- Whom a unit's balance falls to ---------------------------------------------------------------------------------------

select tests.keep('report', pg_temp.import('Building|Unit|Balance', E'Main|2|100.00\nMain|4|7', false));
select is(pg_temp.changes(tests.kept('report')::jsonb), '2 Main / 2: Boris Iliev (Operating fund): new -> 66.67; 2 Main / 2: Vera Ilieva (Operating fund): new -> 33.33; 3 Main / 4: nobody known (Operating fund): new -> 7.00',
  'a balance without a person falls to whoever pays for the unit, by their shares; where nobody is known, to nobody yet');
select is(pg_temp.reasons(tests.kept('report')::jsonb -> 'warnings'), 'fund_assumed, 2 full_name liable_assumed, 3 full_name liable_unknown', 'with a warning');
select is(pg_temp.changes(pg_temp.import('Building|Unit|Balance', E'Main|2|100.00\nMain|4|7')), 'none', 'again it changes nothing');
select is(pg_temp.changes(pg_temp.import('Building|Unit|Balance', 'Main|2|100.01', true)), '2 Main / 2: Boris Iliev (Operating fund): 66.67 -> 66.68', 'a cent more is a cent more');
select is(pg_temp.refused('Building|Unit|Name|Balance', E'Main|2||100.00\nMain|2|Vera Ilieva|5'), '2 Name person_missing', 'a unit whose rows name somebody says so in each');
select is(pg_temp.warned('Building|Unit|Name|Balance', 'Main|1|Gama OOD|5'), 'fund_assumed, 2 Name not_of_unit', 'somebody of another unit may owe, with a warning');
select is(pg_temp.changes(pg_temp.import('Unit|Name|Fund|Balance', E'2|Boris Iliev|RES|1\n3|Boris Iliev|RES|2', true)),
  '2 Main / 2: Boris Iliev (Reserve fund): new -> 1.00; 3 Main / 3: Boris Iliev (Reserve fund): 1000.00 -> 2.00', 'one person of two units, told by name alone, is found in both');

-- Amounts --------------------------------------------------------------------------------------------------------------

select is(pg_temp.changes(pg_temp.import('Unit|Name|Owed|Prepaid', E'1|Ana Petrova|12.50|\n5|Gama OOD||€ 1,234.5', true)),
  '2 Main / 1: Ana Petrova (Operating fund): -120.50 -> 12.50; 3 Side / 5: Gama OOD (Operating fund): new -> -1234.50', 'owed and prepaid are a debit and a credit');
select is(pg_temp.changes(pg_temp.import('Fund|Account|Debit|Credit', E'OPER|1000|10|0\nOPER|2000|0|10', true)), '2 Operating fund: 1000 Bank: new -> 10.00; 3 Operating fund: 2000 Payables to suppliers: new -> 10.00',
  'so a trial balance comes in as it is');
select is((select string_agg(pg_temp.import('Unit|Name|Balance', '1|Ana Petrova|' || cell, true) #>> '{changes,0,after}', ' ' order by n)
  from unnest(array['(7.50)', '7.50-', '-7,50', '€7.50', '7,50 EUR', '1.234,50 €', '1 234.50', '12,34,567.80', '७.५']) with ordinality x (cell, n)),
  '-7.50 -7.50 -7.50 7.50 7.50 1234.50 1234.50 1234567.80 7.50', 'amounts are read as people write them');
select is((select string_agg(pg_temp.refused('Unit|Name|Balance', '1|Ana Petrova|' || cell), '; ' order by n)
  from unnest(array['7,505', 'much', '7 лв.', '7 USD', '$7', '(-7)', '', '1e15', '€7€', '9999999999999999']) with ordinality x (cell, n)),
  '2 Balance too_many_decimals; 2 Balance not_a_number; 2 Balance other_currency; 2 Balance other_currency; 2 Balance other_currency; 2 Balance not_a_number; 2 Balance amount_missing; 2 Balance not_a_number; 2 Balance not_a_number; 2 Balance out_of_range',
  'and what is none, or none of this currency, is refused');
select is(pg_temp.refused('Unit|Name|Balance|Debit', '1|Ana Petrova|5|5'), '2 Balance several_amounts', 'one amount a row');
select is(pg_temp.refused('Fund|Account|Debit|Credit', 'OPER|1000|5|5'), '2 Debit several_amounts', 'a debit or a credit, not both');

-- What is refused ------------------------------------------------------------------------------------------------------

select is(pg_temp.refused('Unit|Name|Fund|Account|Balance', E'9|Ana Petrova|||1\n1|Nobody Known|||1\n1|Ana Petrova|Roof||1\n1|Ana Petrova||7777|1\n1|Ana Petrova||1000|1\n|||1100|1\n|||3900|1\n|||5000|1\n||||1'),
  '2 Unit unknown_unit, 3 Name unknown_person, 4 Fund unknown_fund, 5 Account unknown_account, 6 Account account_not_by_unit, 7 Unit unit_missing, 8 Account account_refused, 10 Unit unit_missing',
  'units, people, funds and accounts that are not there, or not for that');
select is(pg_temp.refused('Unit|Name|Balance', E'1|Ana Petrova|1\nMain 1|Ana Petrova|1\n1|Ana Petrova|1'), '3 Unit unknown_unit, 4 Balance duplicate_balance', 'the same balance twice');
select is(pg_temp.refused('Fund|Account|Balance', E'OPER|2000|1\nOPER|Payables to suppliers|2'), '3 Balance duplicate_balance', 'also of an account under two names');
select is(pg_temp.refused('Name|Balance', 'Ana Petrova|1'), '1 unit_column_missing', 'a list without units and accounts');
select is(pg_temp.refused('Unit|Name', '1|Ana Petrova'), '1 amount_column_missing', 'or without amounts') ;
select is(pg_temp.refused('Unit|Balance', ''), '2 no_rows', 'or without rows');
select is(pg_temp.refused('Unit|Owner of it|Balance', '1|Ana Petrova|1', '{"Owner of it": "full_name"}'), 'none', 'a mapping says what a header means');
select throws_ok($$select pg_temp.import('Unit|Balance', '1|1', mapping => '{"Unit": "area"}')$$, 'PT422', 'invalid_mapping', 'and knows the fields of this list alone');
select throws_ok($$select pg_temp.import('Unit|Balance', '1|1', opened_on => '2026-01-01')$$, 'PT409', 'opening_day_differs', 'the balances of another day are not these');
select tests.keep('stands', pg_temp.stands());
select throws_ok($$select pg_temp.import('Unit|Name|Balance', E'1|Ana Petrova|9\n9|Ana Petrova|1')$$, 'PT422', 'balances_refused', 'one refusal refuses the list');
select is(pg_temp.stands(), tests.kept('stands'), 'and nothing of it is posted');

-- Income and expenses of a year that has begun
select is(pg_temp.changes(pg_temp.import('Fund|Account|Balance', 'OPER|5000|40', true)), '2 Operating fund: 5000 Maintenance and repairs: new -> 40.00', 'a fiscal year that has begun has expenses already');
select is(pg_temp.warned('Fund|Account|Balance', 'OPER|5000|40'), 'opening_difference', 'a fund that does not balance is said to keep the difference');

select * from finish();
rollback;
