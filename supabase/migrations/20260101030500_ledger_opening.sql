-- Ledger: opening balances.
--
-- Purpose     A community that kept its books elsewhere begins here with what each unit owed, by person and fund, and what each fund had and
--             owed on the day before the cut-over. The list comes in as rosters do: as it is, as a whole or not at all.
-- Tables      None of its own; posts one entry of kind opening, makes subaccounts
-- RPCs        import_opening_balances
-- Invariants  A row says what a balance was, not what to add: the same file twice posts nothing the second time, a corrected one posts the
--             difference, and who is missing in the file stays. Units and people are found by the rules of rosters, and none are made. Every
--             amount is posted against the fund's account for opening balances, where nothing is left once the list is whole.

-- The words of such lists --------------------------------------------------------------------------------------------

insert into public.roster_fields (key, position, entity, kind, vocabulary, max_length, imports, description) values
  ('fund', 29, 'balance', 'text', null, 200, '{balances}', 'Fund, by name, code or kind; the operating fund where nothing is said'),
  ('account', 30, 'balance', 'text', null, 200, '{balances}', 'Account, by code or name; for a unit, what it owes where nothing is said'),
  ('balance', 31, 'balance', 'amount', null, null, '{balances}', 'What it stood at: of a unit, what it owes; below zero what it paid in advance'),
  ('debit', 32, 'balance', 'amount', null, null, '{balances}', 'The same as a debit: of a unit, what it owes'),
  ('credit', 33, 'balance', 'amount', null, null, '{balances}', 'The same as a credit: of a unit, what it paid in advance');

-- The first header of each line is the template's, with the example before it.
insert into public.roster_header_synonyms (field, language, header, example)
select v.field, v.language, h.header, case when h.n = 1 then v.example end
from (values
  ('fund', 'en', 'Operating fund', '{Fund,Fund name,Fund code}'::text[]),
  ('account', 'en', null, '{Account,Account code,Account name,Ledger account,GL account}'),
  ('balance', 'en', '120.50', '{Balance,Opening balance,Closing balance,Outstanding,Outstanding balance,Balance due,Amount}'),
  ('debit', 'en', null, '{Debit,Dr,Owed,Debt,Arrears,Dues,Amount due,Amount owed}'),
  ('credit', 'en', null, '{Credit,Cr,Prepaid,Advance,Paid in advance,Overpaid,Amount prepaid}'),
  ('fund', 'es', 'operación', '{Fondo,Nombre del fondo}'),
  ('account', 'es', null, '{Cuenta,Cuenta contable,Código de cuenta}'),
  ('balance', 'es', '120,50', '{Saldo,Saldo inicial,Saldo final,Saldo pendiente,Importe,Monto}'),
  ('debit', 'es', null, '{Debe,Cargo,Adeudo,Deuda,Adeudos,Por cobrar}'),
  ('credit', 'es', null, '{Haber,Abono,Saldo a favor,A favor,Anticipo,Anticipos}'),
  ('fund', 'bg', 'поддръжка', '{Фонд,Име на фонд}'),
  ('account', 'bg', null, '{Сметка,Счетоводна сметка,Шифър на сметка}'),
  ('balance', 'bg', '120,50', '{Салдо,Начално салдо,Крайно салдо,Сума}'),
  ('debit', 'bg', null, '{Дебит,Задължение,Задължения,Дължимо,Дължима сума}'),
  ('credit', 'bg', null, '{Кредит,Надвнесено,Предплатено,Аванс}'),
  ('fund', 'hi', 'परिचालन', '{कोष,निधि}'),
  ('account', 'hi', null, '{खाता,खाता कोड}'),
  ('balance', 'hi', '120.50', '{शेष,शेष राशि,प्रारंभिक शेष,राशि}'),
  ('debit', 'hi', null, '{डेबिट,बकाया,बकाया राशि,देय राशि}'),
  ('credit', 'hi', null, '{क्रेडिट,अग्रिम,अग्रिम राशि}'),
  ('fund', 'th', 'ดำเนินงาน', '{กองทุน,ชื่อกองทุน}'),
  ('account', 'th', null, '{บัญชี,รหัสบัญชี,ชื่อบัญชี}'),
  ('balance', 'th', '120.50', '{ยอดคงเหลือ,ยอดยกมา,ยอดเงิน,จำนวนเงิน}'),
  ('debit', 'th', null, '{เดบิต,ยอดค้างชำระ,ค้างชำระ}'),
  ('credit', 'th', null, '{เครดิต,ชำระล่วงหน้า,เงินรับล่วงหน้า}')
) v (field, language, example, headers)
cross join unnest(v.headers) with ordinality h (header, n);

insert into public.roster_value_synonyms (vocabulary, value, language, term)
select v.vocabulary, v.value, v.language, t
from (values
  ('fund_kind', 'operating', 'en', '{operating,operations,maintenance,general,OPER}'::text[]),
  ('fund_kind', 'reserve', 'en', '{reserve,reserves,sinking fund,sinking,repairs,repair fund,RES}'),
  ('fund_kind', 'special', 'en', '{special,special levy,special purpose}'),
  ('fund_kind', 'deposits', 'en', '{deposit,deposits}'),
  ('fund_kind', 'operating', 'es', '{operación,operativo,mantenimiento,ordinario,fondo ordinario,fondo de operación,fondo de mantenimiento}'),
  ('fund_kind', 'reserve', 'es', '{reserva,reservas,fondo de reserva}'),
  ('fund_kind', 'special', 'es', '{extraordinario,especial,derrama,fondo extraordinario}'),
  ('fund_kind', 'deposits', 'es', '{depósito,depósitos}'),
  ('fund_kind', 'operating', 'bg', '{поддръжка,управление и поддръжка,поддържане,текущ,текуща поддръжка,фонд поддръжка}'),
  ('fund_kind', 'reserve', 'bg', '{ремонт,ремонти,ремонт и обновяване,резервен,фонд ремонт,фонд ремонт и обновяване}'),
  ('fund_kind', 'special', 'bg', '{целеви,специален}'),
  ('fund_kind', 'deposits', 'bg', '{депозит,депозити}'),
  ('fund_kind', 'operating', 'hi', '{परिचालन,रखरखाव,रखरखाव कोष}'),
  ('fund_kind', 'reserve', 'hi', '{आरक्षित,आरक्षित कोष,सिंकिंग फंड}'),
  ('fund_kind', 'deposits', 'hi', '{जमा}'),
  ('fund_kind', 'operating', 'th', '{ดำเนินงาน,ส่วนกลาง,ค่าส่วนกลาง}'),
  ('fund_kind', 'reserve', 'th', '{สำรอง,กองทุนสำรอง,เงินกองทุน}'),
  ('fund_kind', 'deposits', 'th', '{เงินประกัน,มัดจำ}'),
  ('currency', 'EUR', 'en', '{€,euro,euros}'), ('currency', 'GBP', 'en', '{£,pounds}'), ('currency', 'USD', 'en', '{US$,dollars}'),
  ('currency', 'INR', 'en', '{₹,Rs,rupees}'), ('currency', 'EUR', 'bg', '{евро}'), ('currency', 'BGN', 'bg', '{лв,лева}'),
  ('currency', 'MXN', 'es', '{MX$,M.N.,pesos}'), ('currency', 'INR', 'hi', '{रु,रुपये,रुपए}'), ('currency', 'THB', 'th', '{฿,บาท}')
) v (vocabulary, value, language, terms)
cross join unnest(v.terms) t;

-- What is stood at already -------------------------------------------------------------------------------------------

create function app.opening_balances(community uuid)
returns table (account_id uuid, subaccount_id uuid, amount numeric)
language sql
stable
set search_path = ''
as $$
  select s.account_id, s.subaccount_id, sum(s.amount)
  from public.journal_entries e
  left join public.journal_entries o on o.id = e.reverses_id
  join public.postings p on p.journal_entry_id = e.id
  cross join lateral (values (p.debit_account_id, p.debit_subaccount_id, p.amount), (p.credit_account_id, p.credit_subaccount_id, -p.amount)) s (account_id, subaccount_id, amount)
  join public.accounts a on a.id = s.account_id and a.purpose <> 'opening_balance'
  where e.community_id = community and 'opening' in (e.kind, o.kind)
  group by s.account_id, s.subaccount_id
  having sum(s.amount) <> 0
$$;

comment on function app.opening_balances(uuid) is
  'With what each account and subaccount of a community began, as far as it was entered and not reversed: debits less credits. The accounts for opening balances, against which all is entered, are left out.';

-- What the list says -------------------------------------------------------------------------------------------------

create function app.opening_rows(books public.ledgers)
returns void
language plpgsql
volatile
set search_path = ''
set enable_nestloop = off
as $$
declare
  -- What a lone dollar sign may mean.
  dollars constant text[] := '{ARS,AUD,BBD,BSD,CAD,CLP,COP,DOP,FJD,HKD,JMD,MXN,NZD,SGD,TTD,TWD,USD,UYU}';
  home constant uuid := books.community_id;
  usual public.funds;
begin
  create temporary table roster_balances (
    row integer not null, unit integer, unit_id uuid, fund text, fund_id uuid, account text, account_id uuid, is_control boolean, grows integer,
    resident_id uuid, has_person boolean not null, wanted numeric, is_sound boolean not null default true
  ) on commit drop;

  insert into pg_temp.roster_balances (row, unit, unit_id, fund, account, has_person, wanted)
  select r.row, r.unit, case when not u.is_new then u.id end, c.fund, c.account, r.person is not null,
    case when num_nonnulls(c.balance, coalesce(c.debit, c.credit)) = 1 and (c.debit is null or c.credit is null or c.debit * c.credit = 0)
      then coalesce(c.balance, coalesce(c.debit, 0) - coalesce(c.credit, 0)) end
  from pg_temp.roster_rows r
  left join pg_temp.roster_units u on u.unit = r.unit
  left join (
    select x.row, max(x.value) filter (where x.field = 'fund') as fund, max(x.value) filter (where x.field = 'account') as account,
      max(x.value::numeric) filter (where x.field = 'balance') as balance, max(x.value::numeric) filter (where x.field = 'debit') as debit,
      max(x.value::numeric) filter (where x.field = 'credit') as credit
    from (select y.row, y.field, y.value from pg_temp.roster_cells y where y.field in ('fund', 'account', 'balance', 'debit', 'credit') offset 0) x
    group by x.row
  ) c on c.row = r.row;

  -- Amounts: one a row, in the currency of the books, with its decimals.
  insert into pg_temp.roster_problems (row, header, reason, message, is_refusal)
  select b.row, app.roster_header(case when t.fields[1] is null then 'balance' else t.fields[1] end),
    case when t.fields is null then 'amount_missing' else 'several_amounts' end,
    case when t.fields is null then 'The row says nothing about how much.' else 'The row says how much in several ways: as a balance, or as a debit or a credit.' end, true
  from pg_temp.roster_balances b
  left join (
    select c.row, array_agg(c.field order by c.position) as fields, bool_or(c.reason is not null) as is_unread
    from pg_temp.roster_cells c where c.field in ('balance', 'debit', 'credit') group by c.row
  ) t on t.row = b.row
  where b.wanted is null and t.is_unread is not true;
  insert into pg_temp.roster_problems (row, position, header, reason, message, is_refusal)
  select c.row, c.position, app.roster_header(c.field), case when w.is_foreign then 'other_currency' else 'too_many_decimals' end,
    case when w.is_foreign then format('The books are kept in %s.', books.currency_code) else format('An amount in %s has %s decimals at most.', books.currency_code, books.decimals) end, true
  from pg_temp.roster_cells c
  cross join lateral (select (c.remark = books.currency_code or (c.remark = '$' and books.currency_code = any (dollars))) is false as is_foreign) w
  where c.field in ('balance', 'debit', 'credit') and c.value is not null and (w.is_foreign or c.value::numeric <> round(c.value::numeric, books.decimals));

  -- Funds: by name or code, else by kind where there is one of it; where nothing is said, the operating fund.
  with told as (
    select distinct b.fund from pg_temp.roster_balances b where b.fund is not null
  ),
  known as (
    select t.fund, coalesce(
      (select f.id from public.funds f where f.community_id = home and app.roster_words(t.fund) in (app.roster_words(f.name), app.roster_words(f.code)) order by f.id limit 1),
      (select (array_agg(f.id))[1] from public.funds f where f.community_id = home and f.kind::text = app.roster_term('fund_kind', t.fund) having count(*) = 1)) as id
    from told t
  )
  update pg_temp.roster_balances b set fund_id = k.id from known k where k.fund = b.fund;
  select f.* into usual from public.funds f where f.community_id = home and f.kind = 'operating' order by f.created_at, f.id limit 1;
  if exists (select from pg_temp.roster_balances b where b.fund is null) and usual.id is not null then
    update pg_temp.roster_balances b set fund_id = usual.id
    where b.fund is null and not exists (select from pg_temp.roster_cells c where c.row = b.row and c.field = 'fund' and c.reason is not null);
    insert into pg_temp.roster_problems (row, value, reason, message, is_refusal)
    values (null, usual.name, 'fund_assumed', 'Not every row says of which fund it is: those that do not are taken as of this one.', false);
  end if;
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select b.row, app.roster_header('fund'), b.fund, 'unknown_fund',
    format('The community has these funds: %s.', (select string_agg(f.name, ', ' order by f.code) from public.funds f where f.community_id = home)), true
  from pg_temp.roster_balances b
  where b.fund_id is null and not exists (select from pg_temp.roster_cells c where c.row = b.row and c.field = 'fund' and c.reason is not null);

  -- Accounts: by code, by name, or by the code before the name; for a unit where nothing is said, what it owes.
  with told as (
    select distinct b.fund_id, b.account, b.unit is not null as has_unit from pg_temp.roster_balances b where b.fund_id is not null
  ),
  ranked as (
    select t.fund_id, t.account, t.has_unit, a.id, rank() over (partition by t.fund_id, t.account, t.has_unit order by m.strength) as place
    from told t
    join public.accounts a on a.community_id = home and a.fund_id = t.fund_id
    cross join lateral (
      select case
        when t.account is null then case when t.has_unit and a.purpose = 'receivable' then 1 end
        when app.roster_key(a.code) = app.roster_key(t.account) then 1
        when app.roster_words(a.name) = app.roster_words(t.account) then 2
        when app.roster_key(a.code) = app.roster_key(split_part(t.account, ' ', 1)) then 3
      end as strength
    ) m
    where m.strength is not null
  ),
  known as (
    select r.fund_id, r.account, r.has_unit, case when count(*) = 1 then (array_agg(r.id))[1] end as id
    from ranked r where r.place = 1 group by r.fund_id, r.account, r.has_unit
  )
  update pg_temp.roster_balances b
  set account_id = a.id, is_control = a.is_control, grows = case when a.type in ('asset', 'expense') then 1 else -1 end
  from known k
  join public.accounts a on a.id = k.id
  where k.fund_id = b.fund_id and k.account is not distinct from b.account and k.has_unit = (b.unit is not null);
  -- A balance is told on the side on which its account grows, a debit and a credit on theirs.
  update pg_temp.roster_balances b set wanted = b.wanted * b.grows
  where b.grows = -1 and exists (select from pg_temp.roster_cells c where c.row = b.row and c.field = 'balance' and c.value is not null);

  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select b.row, app.roster_header(x.field), coalesce(b.account, r.unit_number), x.reason, x.message, true
  from pg_temp.roster_balances b
  join pg_temp.roster_rows r on r.row = b.row
  left join public.accounts a on a.id = b.account_id
  cross join lateral (
    select case
      when b.account is null and b.unit is null then array['unit_number', 'unit_missing', 'The row names neither a unit nor an account.']
      when b.unit is not null and b.unit_id is null then array['unit_number', 'unknown_unit', 'The community has no such unit: import the roster first.']
      when b.fund_id is null then null
      when a.id is null then array['account', 'unknown_account', 'The fund has no account, or several, of this code or name.']
      when a.purpose = 'opening_balance' then array['account', 'account_refused', 'Opening balances are entered against this account: what stands on it follows from the others.']
      when a.status <> 'active' then array['account', 'account_inactive', 'The account is out of use.']
      when a.is_control and b.unit is null then array['unit_number', 'unit_missing', 'This account is kept by units: say whose it is.']
      when not a.is_control and b.unit is not null then array['account', 'account_not_by_unit', 'This account is not kept by units.']
      when a.type in ('income', 'expense') and extract(month from books.opened_on) = books.fiscal_year_start_month and extract(day from books.opened_on) = 1
        then array['account', 'year_over', 'The books begin with a fiscal year: income and expenses of the one before are in the fund balance.']
    end as told
  ) w
  cross join lateral (select w.told[1] as field, w.told[2] as reason, w.told[3] as message) x
  where w.told is not null
    and not exists (select from pg_temp.roster_problems p where p.row = b.row and p.is_refusal and p.header in (app.roster_header('unit_number'), app.roster_header('account')));

  -- People: whom the rules of rosters found; else, by name among those of the unit, whom another row has been found to be already.
  update pg_temp.roster_balances b set resident_id = p.id
  from pg_temp.roster_rows r
  join pg_temp.roster_people p on p.person = r.person and not p.is_new
  where r.row = b.row;
  with namesakes as (
    select b.row, (array_agg(k.resident_id))[1] as resident_id
    from pg_temp.roster_balances b
    join pg_temp.roster_rows r on r.row = b.row
    join pg_temp.roster_keys k on k.strength = 6 and k.resident_id is not null and k.key = b.unit_id || ' ' || r.name_key
    where b.has_person and b.resident_id is null
    group by b.row
    having count(distinct k.resident_id) = 1
  )
  update pg_temp.roster_balances b set resident_id = n.resident_id from namesakes n where n.row = b.row;
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select b.row, app.roster_header('full_name'), p.label, 'unknown_person', 'The community knows nobody like that: import the roster first, or write the name as it stands there.', true
  from pg_temp.roster_balances b
  join pg_temp.roster_rows r on r.row = b.row
  join pg_temp.roster_people p on p.person = r.person
  where b.has_person and b.resident_id is null and b.unit_id is not null and p.full_name is not null
    and not exists (select from pg_temp.roster_problems x where x.row in (b.row, p.person) and x.reason in ('ambiguous_person', 'name_missing'));
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select b.row, app.roster_header('full_name'), p.label, 'not_of_unit', 'The person neither owns nor occupies the unit, and never did.', false
  from pg_temp.roster_balances b
  join pg_temp.roster_rows r on r.row = b.row
  join pg_temp.roster_people p on p.person = r.person
  where b.resident_id is not null and b.unit_id is not null
    and not exists (select from public.occupancies o where o.community_id = home and o.unit_id = b.unit_id and o.resident_id = b.resident_id and o.deleted_at is null);
end;
$$;

comment on function app.opening_rows(public.ledgers) is
  'Step 5 of bringing in opening balances, after units and people were found: which account or subaccount each row is about, and what it stood at.';

-- What would be posted -----------------------------------------------------------------------------------------------

create function app.opening_funds(community uuid)
returns table (code text, name text, debit numeric, credit numeric, has_accounts boolean)
language plpgsql
stable
set search_path = ''
set enable_nestloop = off
as $$
begin
  return query
    with begun as (
      select t.fund_id, t.is_control, t.wanted as amount from pg_temp.roster_targets t
      union all
      select s.fund_id, s.is_control, s.amount
      from pg_temp.roster_stored s
      where not exists (
        -- By something that can be hashed: many balances are of one account, and where there is no unit, the account stands for it.
        select from pg_temp.roster_targets t
        where t.account_id = s.account_id and coalesce(t.unit_id, t.account_id) = coalesce(s.unit_id, s.account_id) and t.resident_id is not distinct from s.resident_id)
    )
    select f.code, f.name, coalesce(sum(b.amount) filter (where b.amount > 0), 0), coalesce(-sum(b.amount) filter (where b.amount < 0), 0), coalesce(bool_or(not b.is_control), false)
    from public.funds f
    join begun b on b.fund_id = f.id
    where f.community_id = community
    group by f.code, f.name;
end;
$$;

comment on function app.opening_funds(uuid) is
  'With what the funds would begin once the list is posted, besides what it does not name. Debits less credits are what stays on the fund''s account for opening balances.';

create function app.opening_plan(books public.ledgers)
returns void
language plpgsql
volatile
set search_path = ''
set enable_nestloop = off
as $$
declare
  home constant uuid := books.community_id;
begin
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select x.row, app.roster_header('balance'), null, 'duplicate_balance', format('Row %s says the balance of the same already: put them together.', x.first_row), true
  from (
    select b.row, first_value(b.row) over (partition by b.account_id, b.unit_id, case when b.is_control then b.resident_id end order by b.row) as first_row
    from pg_temp.roster_balances b
    where b.account_id is not null and (not b.is_control or (b.unit_id is not null and (b.resident_id is not null or not b.has_person)))
  ) x
  where x.row <> x.first_row;
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select b.row, app.roster_header('full_name'), null, 'person_missing', 'Other rows of this unit say who owes what: say so here, too.', true
  from pg_temp.roster_balances b
  where b.is_control and not b.has_person and exists (
    select from pg_temp.roster_balances x where x.account_id = b.account_id and x.unit_id = b.unit_id and x.has_person);

  update pg_temp.roster_balances b set is_sound = false
  where b.account_id is null or b.wanted is null or (b.is_control and b.unit_id is null) or (b.has_person and b.resident_id is null and b.is_control)
    or exists (select from pg_temp.roster_problems p where p.row = b.row and p.is_refusal);

  create temporary table roster_stored on commit drop as
  select o.account_id, a.fund_id, a.is_control, s.unit_id, s.resident_id, o.amount
  from app.opening_balances(home) o
  join public.accounts a on a.id = o.account_id
  left join public.subaccounts s on s.id = o.subaccount_id;

  create temporary table roster_targets (
    row integer, fund_id uuid not null, account_id uuid not null, is_control boolean not null, unit_id uuid, resident_id uuid, stored numeric not null, wanted numeric not null
  ) on commit drop;

  -- Accounts, and units with a person.
  insert into pg_temp.roster_targets (row, fund_id, account_id, is_control, unit_id, resident_id, stored, wanted)
  select b.row, b.fund_id, b.account_id, b.is_control, case when b.is_control then b.unit_id end, case when b.is_control then b.resident_id end, coalesce(s.amount, 0), b.wanted
  from pg_temp.roster_balances b
  left join pg_temp.roster_stored s on s.account_id = b.account_id and (not b.is_control or (s.unit_id = b.unit_id and s.resident_id = b.resident_id))
  where b.is_sound and (b.has_person or not b.is_control);

  -- Units without one: what they owe together. Where that is what is stored, it stays with those it is stored for; else it falls to whoever
  -- pays for the unit on the first day of the books, by their shares, to the cent: what rounding leaves goes to the largest remainders.
  with units as (
    select b.row, b.fund_id, b.account_id, b.unit_id, b.wanted, coalesce(s.amount, 0) as stored
    from pg_temp.roster_balances b
    left join (select x.account_id, x.unit_id, sum(x.amount) as amount from pg_temp.roster_stored x group by 1, 2) s on s.account_id = b.account_id and s.unit_id = b.unit_id
    where b.is_sound and b.is_control and not b.has_person
  ),
  payers as (
    select p.unit_id, p.resident_id, p.share / sum(p.share) over (partition by p.unit_id) as part
    from app.representatives_on(home, 'payer', books.opened_on) p
    where p.share > 0
  ),
  parts as (
    select u.row, u.fund_id, u.account_id, u.unit_id, u.wanted, p.resident_id, u.wanted * coalesce(p.part, 1) as exact, trunc(u.wanted * coalesce(p.part, 1), books.decimals) as whole
    from units u
    left join payers p on p.unit_id = u.unit_id
    where u.wanted <> u.stored
  ),
  ordered as (
    select p.*, row_number() over (partition by p.row order by abs(p.exact - p.whole) desc, abs(p.exact) desc, p.resident_id) as place,
      (p.wanted - sum(p.whole) over (partition by p.row)) * 10::numeric ^ books.decimals as left_over
    from parts p
  ),
  split as (
    select o.row, o.fund_id, o.account_id, o.unit_id, o.resident_id, o.whole + case when o.place <= abs(o.left_over) then sign(o.left_over) * 10::numeric ^ -books.decimals else 0 end as wanted
    from ordered o
  )
  insert into pg_temp.roster_targets (row, fund_id, account_id, is_control, unit_id, resident_id, stored, wanted)
  select p.row, p.fund_id, p.account_id, true, p.unit_id, p.resident_id, coalesce(s.amount, 0), round(p.wanted, books.decimals)
  from split p
  left join pg_temp.roster_stored s on s.account_id = p.account_id and s.unit_id = p.unit_id and s.resident_id is not distinct from p.resident_id
  union all
  -- Whoever it is stored for, and does not pay now.
  select u.row, u.fund_id, u.account_id, true, u.unit_id, s.resident_id, s.amount, case when u.wanted = u.stored then s.amount else 0 end
  from units u
  join pg_temp.roster_stored s on s.account_id = u.account_id and s.unit_id = u.unit_id
  where not exists (select from split p where p.row = u.row and p.resident_id is not distinct from s.resident_id);

  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select t.row, app.roster_header('full_name'), null, case when bool_or(t.resident_id is null) then 'liable_unknown' else 'liable_assumed' end,
    case when bool_or(t.resident_id is null) then 'The row does not say who owes, and nobody is known to pay for the unit: it is stored without a person.'
      else format('The row does not say who owes: it falls to whoever pays for the unit on %s: %s.', books.opened_on, string_agg(format('%s %s', re.full_name, t.wanted), ', ' order by t.wanted desc, re.full_name)) end, false
  from pg_temp.roster_targets t
  join pg_temp.roster_balances b on b.row = t.row and not b.has_person and b.is_control
  left join public.residents re on re.id = t.resident_id
  where t.wanted <> t.stored and t.wanted <> 0
  group by t.row;

  insert into pg_temp.roster_changes (row, entity, id, name, action, field, before, after)
  select t.row, 'balance', t.account_id,
    case when t.is_control then format('%s: %s (%s)', l.unit, coalesce(re.full_name, 'nobody known'), case when a.purpose = 'receivable' then f.name else f.name || ', ' || a.name end)
      else format('%s: %s %s', f.name, a.code, a.name) end,
    case when t.stored = 0 then 'create' else 'update' end, 'balance',
    case when t.stored <> 0 then round(t.stored * g.grows, books.decimals)::text end, round(t.wanted * g.grows, books.decimals)::text
  from pg_temp.roster_targets t
  join public.accounts a on a.id = t.account_id
  join public.funds f on f.id = t.fund_id
  cross join lateral (select case when a.type in ('asset', 'expense') then 1 else -1 end as grows) g
  left join public.residents re on re.id = t.resident_id
  left join (select concat_ws(' / ', k.building, k.number) as unit, k.id from pg_temp.roster_known_units k) l on l.id = t.unit_id
  where t.wanted <> t.stored;

  -- What was posted said what they owed: to say less is what a credit note says of a charge.
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select t.row, app.roster_header('balance'), round(t.wanted, books.decimals)::text, 'owed_less',
    format('By the list that was posted %s was owed: to lower it takes charges.adjust.', round(t.stored, books.decimals)), true
  from pg_temp.roster_targets t
  join public.accounts a on a.id = t.account_id and a.purpose = 'receivable'
  where t.wanted < t.stored and t.stored > 0 and not (app.is_trusted() or app.can('charges.adjust', home));

  -- What one fund claims of another, the other owes.
  insert into pg_temp.roster_problems (row, header, value, reason, message, is_refusal)
  select min(x.row), app.roster_header('account'), null, 'interfund_unmatched', 'What one fund claims of another is not what the other owes it.', true
  from (
    select t.row, t.wanted - t.stored as amount, case a.purpose when 'due_from' then array[a.fund_id, a.counter_fund_id] else array[a.counter_fund_id, a.fund_id] end as pair
    from pg_temp.roster_targets t join public.accounts a on a.id = t.account_id and a.counter_fund_id is not null
  ) x
  group by x.pair
  having sum(x.amount) <> 0;
  if books.closed_through is not null and exists (select from pg_temp.roster_changes) then
    insert into pg_temp.roster_problems (row, reason, message, is_refusal)
    values (null, 'period_closed', format('The books are closed through %s: opening balances are changed no more.', books.closed_through), true);
  end if;
  insert into pg_temp.roster_problems (row, value, reason, message, is_refusal)
  select null, (f.debit - f.credit)::text, 'opening_difference',
    format('What %s has and what it owes and is left with differ: the account for opening balances keeps %s.', f.name, abs(f.debit - f.credit)), false
  from app.opening_funds(home) f
  where f.has_accounts and f.debit <> f.credit;
end;
$$;

comment on function app.opening_plan(public.ledgers) is
  'Step 6: what is stored already, what each account and subaccount would begin with, and what of it changes. Leaves that in roster_targets.';

create function app.opening_report(books public.ledgers, dry_run boolean)
returns jsonb
language plpgsql
stable
set search_path = ''
set enable_nestloop = off
as $$
begin
  return app.roster_findings(dry_run) || (
    with absent as (
      select format('%s%s %s', f.name || ': ', coalesce(concat_ws(' / ', b.name, u.number) || ', ' || coalesce(re.full_name, 'nobody known') || ',', a.code), a.name) as name
      from pg_temp.roster_stored s
      join public.accounts a on a.id = s.account_id
      join public.funds f on f.id = s.fund_id
      left join public.units u on u.id = s.unit_id
      left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
      left join public.residents re on re.id = s.resident_id
      where not exists (
        select from pg_temp.roster_targets t
        where t.account_id = s.account_id and coalesce(t.unit_id, t.account_id) = coalesce(s.unit_id, s.account_id) and t.resident_id is not distinct from s.resident_id)
    )
    select jsonb_build_object(
      'opened_on', books.opened_on,
      'currency', books.currency_code,
      'totals', (
        select jsonb_build_object('balances', jsonb_build_object(
          'create', count(*) filter (where t.stored = 0 and t.wanted <> 0), 'update', count(*) filter (where t.stored <> 0 and t.wanted <> t.stored), 'unchanged', count(*) filter (where t.wanted = t.stored)))
        from pg_temp.roster_targets t),
      'not_in_file', jsonb_build_object(
        'balances', (select count(*) from absent),
        'first', (select coalesce(jsonb_agg(jsonb_build_object('entity', 'balance', 'name', x.name) order by x.name), '[]') from (select y.name from absent y order by y.name limit 200) x)),
      'funds', (
        select coalesce(jsonb_agg(jsonb_build_object('fund', f.name, 'debit', f.debit, 'credit', f.credit, 'difference', f.debit - f.credit) order by f.code), '[]')
        from app.opening_funds(books.community_id) f)
    )
  );
end;
$$;

comment on function app.opening_report(public.ledgers, boolean) is 'What an import of opening balances answers. docs/opening-balances.md describes it.';

-- Posting them -------------------------------------------------------------------------------------------------------

create function app.opening_write(books public.ledgers)
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
declare
  kept record;
  entry uuid;
begin
  perform app.check_subaccounts(later => true);
  for kept in
    select t.fund_id, a.purpose, array_agg(t.unit_id order by t.unit_id, t.resident_id) as units, array_agg(t.resident_id order by t.unit_id, t.resident_id) as residents
    from pg_temp.roster_targets t join public.accounts a on a.id = t.account_id
    where t.is_control and t.wanted <> t.stored
    group by t.fund_id, a.purpose
    order by t.fund_id, a.purpose
  loop
    perform app.ensure_subaccounts(books.community_id, kept.fund_id, kept.purpose, kept.units, kept.residents);
  end loop;
  entry := app.post_entry(books.community_id, 'opening', books.opened_on - 1, 'Opening balances', (
    select array_agg(
      case
        when t.wanted > t.stored then row(t.fund_id, t.account_id, s.id, c.id, null, t.wanted - t.stored, w.memo)::app.posting_line
        else row(t.fund_id, c.id, null, t.account_id, s.id, t.stored - t.wanted, w.memo)::app.posting_line
      end
      order by t.row, t.account_id, s.id)
    from pg_temp.roster_targets t
    join public.accounts c on c.community_id = books.community_id and c.fund_id = t.fund_id and c.purpose = 'opening_balance'
    left join public.subaccounts s on s.account_id = t.account_id and s.unit_id = t.unit_id and s.resident_id is not distinct from t.resident_id
    -- What whoever owes it reads in their statement: the entry is about others too.
    cross join lateral (select case when t.is_control then 'Opening balance' end) w (memo)
    where t.wanted <> t.stored));
  perform app.check_subaccounts(later => false);
  return entry;
end;
$$;

comment on function app.opening_write(public.ledgers) is 'Step 7: posts what changes as one entry of the day before the books begin; returns its id.';

create function app.import_opening_balances(community uuid, headers text[], rows jsonb, opened_on date, mapping jsonb, dry_run boolean, first_row integer)
returns jsonb
language plpgsql
volatile
security definer -- API roles write neither entries nor subaccounts, and all of it is posted or nothing
set search_path = ''
set lock_timeout = '60s' -- whoever comes second waits for the first
set jit = off
set work_mem = '32MB'
set default_statistics_target = 10
as $$
declare
  home public.communities;
  books public.ledgers;
  report jsonb;
begin
  perform app.require('ledger.post', community);

  dry_run := coalesce(dry_run, true);
  first_row := coalesce(first_row, 2);
  mapping := app.roster_arguments(headers, rows, mapping, first_row, null, 'balances');
  home := app.roster_home(community, dry_run);
  if not dry_run then
    perform app.lock_ledger(home.id, true); -- nothing is posted, reversed or closed between what the report says and what is posted
  end if;
  select l.* into books from public.ledgers l where l.community_id = home.id;
  if books.id is null then
    perform app.fail(409, 'books_not_open', 'This community has no books yet.', 'Open them with open_books.');
  elsif opened_on <> books.opened_on then
    perform app.fail(409, 'opening_day_differs', format('The books of this community begin on %s.', books.opened_on), 'Bring in what stood at the beginning of that day.');
  end if;

  perform app.roster_begin();
  perform app.roster_headings(headers, mapping, split_part(home.locale, '-', 1), first_row - 1, 'balances');
  if not exists (select from pg_temp.roster_columns c where c.field in ('unit_number', 'account')) then
    insert into pg_temp.roster_problems (row, reason, message, is_refusal)
    values (first_row - 1, 'unit_column_missing', 'No column is understood as the number of the unit, or as the account: name it Unit or Account, or map its header.', true);
  elsif not exists (select from pg_temp.roster_columns c where c.field in ('balance', 'debit', 'credit')) then
    insert into pg_temp.roster_problems (row, reason, message, is_refusal)
    values (first_row - 1, 'amount_column_missing', 'No column is understood as an amount: name it Balance, or Debit and Credit, or map its header.', true);
  else
    perform app.roster_cells(rows, first_row, home.country_code, home.ideal_parts_total, app.roster_date_order(home.country_code));
    if not exists (select from pg_temp.roster_rows) then
      insert into pg_temp.roster_problems (row, reason, message, is_refusal) values (first_row, 'no_rows', 'The file holds no data below its headers.', true);
    end if;
  end if;
  perform app.roster_units(home.id, home.name);
  perform app.roster_people(home.id);
  perform app.opening_rows(books);
  perform app.opening_plan(books);

  report := app.opening_report(books, dry_run);
  if dry_run then
    return report;
  elsif report ->> 'status' = 'refused' then
    perform app.fail(422, 'balances_refused', (report - 'changes')::text, 'Nothing was posted. The detail is the report, as JSON.');
  elsif report -> 'changes' = '[]' then
    return report;
  end if;
  report := report || jsonb_build_object('entry_id', app.opening_write(books));
  perform app.check_amount_limit('ledger.post', home.id, (select e.total from public.journal_entries e where e.id = (report ->> 'entry_id')::uuid));
  perform app.emit('balances.imported', home.id, (report -> 'totals') || jsonb_build_object('rows', report -> 'rows', 'entry_id', report -> 'entry_id'));
  return report;
end;
$$;

comment on function app.import_opening_balances(uuid, text[], jsonb, date, jsonb, boolean, integer) is
  'What public.import_opening_balances does. Definer: API roles write neither entries nor subaccounts, and its temporary tables stay its own.';

create function public.import_opening_balances(
  community_id uuid, headers text[], rows jsonb, opened_on date default null, mapping jsonb default null, dry_run boolean default true, first_row integer default 2
)
returns jsonb
language sql
volatile
set search_path = ''
set statement_timeout = '60s' -- PostgREST takes it over for the whole call, in place of the role's 8 seconds
as $$ select app.import_opening_balances(community_id, headers, rows, opened_on, mapping, dry_run, first_row) $$;

comment on function public.import_opening_balances(uuid, text[], jsonb, date, jsonb, boolean, integer) is
  'Brings in what units owed, by person and fund, and what stood on the other accounts, at the beginning of the day on which the books begin: headers and rows as in import_roster. '
  'opened_on: that day, to be sure that both mean the same. dry_run (the default): only reports. Returns the report; docs/opening-balances.md describes it. Takes ledger.post. '
  'Errors: balances_refused (the report as detail), permission_denied, amount_above_limit, community_not_found, books_not_open, opening_day_differs, invalid_headers, invalid_rows, invalid_mapping, invalid_first_row, too_many_rows.';

grant execute on function
  app.import_opening_balances(uuid, text[], jsonb, date, jsonb, boolean, integer), public.import_opening_balances(uuid, text[], jsonb, date, jsonb, boolean, integer)
to authenticated, service_role;
