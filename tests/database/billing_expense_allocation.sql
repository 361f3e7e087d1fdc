-- Expenses shared out: by every method, to the cent, to who was liable when, once; taken back; and what an auditor finds.

begin;
select plan(77);

select tests.create_community('Alder'), tests.create_community('Cedar');
select public.open_books(tests.id(c), current_date - 400) from unnest('{Alder,Cedar}'::text[]) c;
select tests.create_supabase_user(u) from unnest('{manager,committee,viewer,owner,tenant,neighbour,family,foreign}'::text[]) u;
insert into public.buildings (id, community_id, name) values (tests.id('Main'), tests.id('Alder'), 'Main');
insert into public.entrances (id, community_id, building_id, name, has_elevator) select tests.id('entrance ' || e), tests.id('Alder'), tests.id('Main'), e, true from unnest('{A,B}'::text[]) e;
insert into public.units (id, number, community_id, building_id, entrance_id, floor, area, ideal_parts, occupant_count)
select tests.id(u.number), u.number, tests.id('Alder'), tests.id('Main'), tests.id('entrance ' || left(u.number, 1)), u.floor, u.area, u.parts, u.persons
from (values ('A1', 0, 50, 10, 1), ('A2', 1, 70, 20, 2), ('A3', 2, 33.33, 20, 4), ('B1', 0, 50, 15, 0), ('B2', 1, 40, 20, 3), ('B3', 2, 60, 15, 1)) u (number, floor, area, parts, persons);
-- A2 is sold ten days ago, A3 is let, two own B2, and nobody knows whose B3 is.
select tests.create_resident(r, 'Alder', tests.email(lower(r))) from unnest('{Owner,Tenant,Neighbour,Family}'::text[]) r;
select tests.create_resident(r, 'Alder') from unnest('{Seller,Half}'::text[]) r;
select tests.occupy('Owner', 'A1', 'owner', current_date - 300), tests.occupy('Owner', 'A3', 'owner', current_date - 300), tests.occupy('Tenant', 'A3', 'tenant', current_date - 300),
  tests.occupy('Family', 'A3', 'family', current_date - 300), tests.occupy('Seller', 'A2', 'owner', current_date - 300, current_date - 11), tests.occupy('Neighbour', 'A2', 'owner', current_date - 10),
  tests.occupy('Neighbour', 'B1', 'owner', current_date - 300), tests.occupy('Neighbour', 'B2', 'owner', current_date - 300), tests.occupy('Half', 'B2', 'owner', current_date - 300);
select tests.grant_role(u, u, community => 'Alder') from unnest('{manager,committee}'::text[]) u;
select tests.grant_role('viewer', 'viewer', organization => 'organization of Alder'), tests.grant_role('foreign', 'manager', community => 'Cedar');

create function pg_temp.account(purpose public.account_purpose) returns uuid language sql stable security definer as $$
  select a.id from public.accounts a join public.funds f on f.id = a.fund_id where a.community_id = tests.id('Alder') and f.kind = 'operating' and a.purpose = account.purpose order by a.code limit 1
$$;
-- An approved expense of 100.01 for the thirty days until yesterday, in a category with this key.
create function pg_temp.expense(name text, key uuid, amount numeric default 100.01, liable public.fee_liability default 'payer') returns void language plpgsql as $$
begin
  perform tests.keep(name || '_category', public.create_expense_category(tests.id('Alder'), upper(name), name, pg_temp.account('expense'), key, liable));
  perform tests.keep(name, public.enter_expense(tests.id('Alder'), tests.kept(name || '_category')::uuid, name, amount, current_date - 1, starts_on => current_date - 30, ends_on => current_date - 1));
  perform public.submit_expense(tests.kept(name)::uuid), public.approve_expense(tests.kept(name)::uuid);
end $$;
-- What an expense charges, unit by unit, in the books of who runs it: A1 10.00, …
create function pg_temp.charged(name text) returns text language sql stable security definer as $$
  select string_agg(format('%s %s', c.number, c.amount), ', ' order by c.number)
  from (
    select u.number, sum(c.amount) as amount
    from public.expenses e join public.charges c on c.journal_entry_id = e.charge_entry_id join public.units u on u.id = c.unit_id
    where e.id = tests.kept(charged.name)::uuid
    group by u.number
  ) c
$$;
create function pg_temp.owes(name text, unit text) returns text language sql stable security definer as $$
  select string_agg(format('%s %s', coalesce(r.full_name, 'nobody'), c.amount), ', ' order by c.starts_on, r.full_name)
  from public.expenses e join public.charges c on c.journal_entry_id = e.charge_entry_id join public.subaccounts s on s.id = c.subaccount_id left join public.residents r on r.id = s.resident_id
  where e.id = tests.kept(owes.name)::uuid and c.unit_id = tests.id(unit)
$$;
create function pg_temp.balances() returns text language sql stable security definer as $$
  select coalesce(string_agg(format('%s %s %s', u.number, coalesce(r.full_name, 'nobody'), s.balance), ', ' order by u.number, r.full_name), 'nothing')
  from public.subaccounts s join public.units u on u.id = s.unit_id left join public.residents r on r.id = s.resident_id where s.community_id = tests.id('Alder') and s.balance <> 0
$$;
create function pg_temp.found() returns text language sql volatile as $$
  select coalesce(string_agg(distinct v.problem, ', ' order by v.problem), 'nothing') from public.verify_ledger(tests.id('Alder')) v
$$;
create function pg_temp.seen_by(who text) returns text language plpgsql as $$
begin
  perform tests.authenticate_as(who);
  return (select coalesce(string_agg(c.label, ', ' order by c.label), 'nothing') from (
    select format('%s %s', u.number, sum(c.amount)) as label from public.charges c left join public.units u on u.id = c.unit_id
    where c.journal_entry_id = tests.kept('shares_entry')::uuid group by u.number) c);
end $$;
do $$ begin execute format('grant execute on all functions in schema %I to anon, authenticated, service_role', pg_my_temp_schema()::regnamespace); end $$;

select tests.authenticate_as('manager');
select tests.keep(k.name || '_key', public.create_allocation_key(tests.id('Alder'), k.name, k.method::public.allocation_method, measure => k.measure, formula => k.formula, is_normalised => k.is_normalised,
  parts => k.parts::jsonb, places => k.places::jsonb, exclusions => k.exclusions::jsonb, weights => k.weights::jsonb))
from (values
  ('shares', 'shares', null, null, false, '[]', '[]', '[]', '[]'),
  ('alike', 'per_unit', null, null, false, '[]', '[]', '[]', '[]'),
  ('area', 'area', null, null, false, '[]', '[]', '[]', '[]'),
  ('persons', 'per_person', null, null, false, '[]', '[]', '[]', '[]'),
  ('water', 'metered', 'water_cold', null, false, '[]', '[]', '[]', '[]'),
  ('fixed', 'fixed', null, null, false, '[]', '[]', '[]', format('[{"unit_id": "%s", "weight": 1}, {"unit_id": "%s", "weight": 2}]', tests.id('A1'), tests.id('B3'))),
  ('hybrid', 'hybrid', null, null, false, '[{"method": "per_unit", "percent": 50}, {"method": "per_person", "percent": 50}]', '[]', '[]', '[]'),
  ('lift', 'shares', null, null, true, '[]', format('[{"building_id": "%s", "entrance_id": "%s"}]', tests.id('Main'), tests.id('entrance A')), '[{"floor_from": 0, "floor_to": 0}]', '[]'),
  ('part', 'shares', null, null, false, '[]', format('[{"building_id": "%s", "entrance_id": "%s"}]', tests.id('Main'), tests.id('entrance A')), '[]', '[]'),
  ('formula', 'formula', null, 'area * floor', false, '[]', '[]', '[]', '[]')
) k (name, method, measure, formula, is_normalised, parts, places, exclusions, weights);
select public.enter_allocation_inputs(tests.id('Alder'), 'water_cold', current_date - 30, current_date - 1,
  (select jsonb_agg(jsonb_build_object('unit_id', tests.id(m.number), 'quantity', m.quantity)) from (values ('A1', 1), ('A2', 2.5), ('A3', 0), ('B1', 0.5), ('B2', 3), ('B3', 0)) m (number, quantity)));

-- By every method -------------------------------------------------------------------------------------------------------

select pg_temp.expense(k, tests.kept(k || '_key')::uuid) from unnest('{shares,alike,area,persons,water,fixed,hybrid,lift,part,formula}'::text[]) k;
select throws_ok(format('select public.allocate_expense(%L, current_date + 14)', tests.kept('part')), 'PT409', 'shares_not_whole', 'the parts of one entrance are not the whole, unless the key says that they are to be');
select throws_ok(format('select public.allocate_expense(%L, current_date + 14)', tests.kept('formula')), 'PT409', 'formula_not_evaluated', 'a formula is evaluated before');
select is((select row(e.allocation_id, e.charge_entry_id)::text from public.expenses e where e.id = tests.kept('formula')::uuid), '(,)', 'and then nothing is shared out');
select is(pg_temp.balances(), 'nothing', 'nor charged');
select tests.keep('inputs', public.formula_inputs(tests.kept('formula_key')::uuid, current_date - 30, current_date - 1));
select tests.authenticate_as_service_role();
select lives_ok(format('select public.store_formula_weights(%L, %s, current_date - 30, current_date - 1, %L, %L, %L)', tests.kept('formula_key'), tests.kept('inputs')::jsonb ->> 'version', tests.kept('inputs')::jsonb ->> 'digest',
  (select jsonb_agg(jsonb_build_object('unit_id', u.told ->> 0, 'weight', (u.told -> 2 ->> 'area')::numeric * (u.told -> 2 ->> 'floor')::numeric)) from jsonb_array_elements(tests.kept('inputs')::jsonb -> 'units') u (told)), tests.id('manager')),
  'the function evaluates it');
select tests.authenticate_as('manager');
select tests.keep(k || '_before', (select string_agg(row(p.*)::text, ';' order by p.unit_id, p.resident_id, p.starts_on) from public.preview_expense_allocation(tests.kept(k)::uuid) p))
from unnest('{shares,alike,area,persons,water,fixed,hybrid,lift,formula}'::text[]) k;
select tests.keep(k || '_allocation', public.allocate_expense(tests.kept(k)::uuid, current_date + 14)) from unnest('{shares,alike,area,persons,water,fixed,hybrid,lift,formula}'::text[]) k;
select is(pg_temp.charged(k.name), k.charges, k.why)
from (values
  ('shares', 'A1 10.00, A2 20.01, A3 20.00, B1 15.00, B2 20.00, B3 15.00', 'by ideal parts'),
  ('alike', 'A1 16.67, A2 16.67, A3 16.67, B1 16.67, B2 16.67, B3 16.66', 'alike: the cents that are left go by the order of the units'),
  ('area', 'A1 16.49, A2 23.08, A3 10.99, B1 16.48, B2 13.19, B3 19.78', 'by area'),
  ('persons', 'A1 9.09, A2 18.18, A3 36.37, B2 27.28, B3 9.09', 'by persons: where nobody lives nothing is charged'),
  ('water', 'A1 14.29, A2 35.72, B1 7.14, B2 42.86', 'by meter: who used nothing pays nothing'),
  ('fixed', 'A1 33.34, B3 66.67', 'by fixed weights'),
  ('hybrid', 'A1 12.88, A2 17.43, A3 26.52, B1 8.33, B2 21.97, B3 12.88', 'half alike, half by persons'),
  ('lift', 'A2 50.01, A3 50.00', 'in one entrance, the ground floor left out'),
  ('formula', 'A2 23.60, A3 22.47, B2 13.49, B3 40.45', 'by a formula')) k (name, charges, why);
select is(
  (select sum(c.amount) from public.charges c where c.journal_entry_id = (select e.charge_entry_id from public.expenses e where e.id = tests.kept(k)::uuid)), 100.01::numeric, k || ': what is charged is what it cost, to the cent')
from unnest('{shares,alike,area,persons,water,fixed,hybrid,lift,formula}'::text[]) k;
select is(
  (select string_agg(row(c.unit_id, s.resident_id, c.starts_on, c.ends_on, l.weight, c.amount)::text, ';' order by c.unit_id, s.resident_id, c.starts_on)
   from public.charges c join public.subaccounts s on s.id = c.subaccount_id join public.allocation_lines l on l.id = c.allocation_line_id
   where c.journal_entry_id = (select e.charge_entry_id from public.expenses e where e.id = tests.kept(k)::uuid)),
  tests.kept(k || '_before'), k || ': what was charged is what the preview said')
from unnest('{shares,alike,area,persons,water,fixed,hybrid,lift,formula}'::text[]) k;

-- To whom ---------------------------------------------------------------------------------------------------------------

select is(pg_temp.owes('shares', 'A2'), 'Seller 13.34, Neighbour 6.67', 'a unit that was sold is charged to seller and buyer, by days');
select is(pg_temp.owes('shares', 'A3'), 'Owner 20.00', 'one that is let to its owner');
select is(pg_temp.owes('hybrid', 'B2'), 'Half 10.99, Neighbour 10.98', 'one of two owners to both, and no cent is lost');
select is(pg_temp.owes('shares', 'B3'), 'nobody 15.00', 'and whose owner nobody knows to nobody, but to the unit');
select pg_temp.expense('consumption', tests.kept('shares_key')::uuid, 50, 'occupant');
select public.allocate_expense(tests.kept('consumption')::uuid, current_date + 14);
select is(pg_temp.owes('consumption', 'A3'), 'Tenant 10.00', 'what occupants bear is charged to the tenant');

-- Once ------------------------------------------------------------------------------------------------------------------

select throws_ok(format('select public.allocate_expense(%L, current_date + 14)', tests.kept('shares')), 'PT409', 'expense_allocated', 'an expense is shared out once');
select throws_ok(format('select public.cancel_expense(%L, ''Wrong'')', tests.kept('shares')), 'PT409', 'expense_allocated', 'and not cancelled while it is');
select lives_ok(format('select public.pay_expense(%L)', tests.kept('shares')), 'it can be paid meanwhile');
select pg_temp.expense('borne', null, 7);
select throws_ok(format('select public.allocate_expense(%L, current_date + 14)', tests.kept('borne')), 'PT409', 'category_not_shared', 'what the fund bears is not shared out');
select throws_ok(format('select public.preview_expense_allocation(%L)', tests.kept('borne')), 'PT409', 'category_not_shared', 'nor previewed');
select tests.keep('draft', public.enter_expense(tests.id('Alder'), tests.kept('shares_category')::uuid, 'Draft', 10, current_date));
select throws_ok(format('select public.allocate_expense(%L, current_date + 14)', tests.kept('draft')), 'PT409', 'transition_refused', 'a draft is not shared out');
select is((select sum(p.amount) from public.preview_expense_allocation(tests.kept('draft')::uuid) p), 10.00, 'but can be looked at');
select throws_ok(format('select public.allocate_expense(%L, current_date - 1)', tests.kept('part')), 'PT422', 'invalid_value', 'nobody pays before they are charged');
select throws_ok(format('select public.allocate_expense(%L, null)', tests.kept('part')), 'PT422', 'invalid_value', 'or without a day');
select throws_ok(format('select public.reverse_expense_allocation(%L, ''x'')', tests.kept('part')), 'PT409', 'expense_not_allocated', 'what is not shared out is not taken back');

-- Back ------------------------------------------------------------------------------------------------------------------

select tests.keep('owed', pg_temp.balances());
select throws_ok(format('select public.reverse_expense_allocation(%L, '''')', tests.kept('lift')), 'PT422', 'reason_required', 'charges are taken back for a reason');
select tests.keep('lift_back', public.reverse_expense_allocation(tests.kept('lift')::uuid, 'The lift of the other entrance'));
select is((select row(e.status, e.allocation_id, e.charge_entry_id)::text from public.expenses e where e.id = tests.kept('lift')::uuid), '(approved,,)', 'taken back, the expense is shared out no more');
select isnt(pg_temp.balances(), tests.kept('owed'), 'and owed no more');
select throws_ok(format('select public.reverse_expense_allocation(%L, ''Again'')', tests.kept('lift')), 'PT409', 'expense_not_allocated', 'once');
select lives_ok(format('select public.allocate_expense(%L, current_date + 14)', tests.kept('lift')), 'it is shared out anew');
select is(pg_temp.balances(), tests.kept('owed'), 'and owed as before');
select is((select count(*) from public.allocations a where a.id = tests.kept('lift_allocation')::uuid), 1::bigint, 'the first allocation stays on record');

-- Who -------------------------------------------------------------------------------------------------------------------

select tests.keep('shares_entry', (select e.charge_entry_id from public.expenses e where e.id = tests.kept('shares')::uuid));
select is(pg_temp.seen_by(u.who), u.charges, u.who || ' sees ' || u.charges)
from (values
  ('manager', 'A1 10.00, A2 20.01, A3 20.00, B1 15.00, B2 20.00, B3 15.00'),
  ('owner', 'A1 10.00, A3 20.00'),
  ('tenant', 'nothing'), ('family', 'nothing'), ('committee', 'nothing'), ('foreign', 'nothing')) u (who, charges);
select tests.authenticate_as('owner');
select throws_ok(format('select public.preview_expense_allocation(%L)', tests.kept('shares')), 'PT403', 'permission_denied', 'an owner does not look at what others would owe');
select throws_ok(format('select public.allocate_expense(%L, current_date)', tests.kept('part')), 'PT403', 'permission_denied', 'and shares nothing out');
select tests.authenticate_as('viewer');
select is((select count(*) from public.preview_expense_allocation(tests.kept('shares')::uuid)), 8::bigint, 'a viewer, who reads every charge, does');
select throws_ok(format('select public.allocate_expense(%L, current_date)', tests.kept('part')), 'PT403', 'permission_denied', 'and shares nothing out either');
select tests.authenticate_as('foreign');
select throws_ok(format('select public.%s', c.call), 'PT404', 'expense_not_found', 'the manager of another community does not learn by ' || c.name || ' that it is there')
from (values ('preview', format('preview_expense_allocation(%L)', tests.kept('shares'))), ('allocate', format('allocate_expense(%L, current_date)', tests.kept('shares'))),
  ('reverse', format('reverse_expense_allocation(%L, ''x'')', tests.kept('shares')))) c (name, call);

-- What an auditor finds -------------------------------------------------------------------------------------------------

select tests.as_studio();
select is(pg_temp.found(), 'nothing', 'the books, the expenses and the charges agree');
savepoint sound;
set local session_replication_role = replica;

update public.expenses set amount = 100.02 where id = tests.kept('alike')::uuid;
select is(pg_temp.found(), 'expense_charges_differ, expense_differs', 'an amount that was changed is found');
rollback to sound; set local session_replication_role = replica;
update public.expenses set journal_entry_id = (select e.payment_entry_id from public.expenses e where e.id = tests.kept('shares')::uuid) where id = tests.kept('alike')::uuid;
select matches(pg_temp.found(), 'expense_differs', 'the entry of another is found');
rollback to sound; set local session_replication_role = replica;
update public.expenses set payment_entry_id = null, paid_on = null, paid_at = null, paid_amount = 0, status = 'approved' where id = tests.kept('shares')::uuid;
select is(pg_temp.found(), 'expense_payment_differs', 'a payment that its expense forgot is found');
rollback to sound; set local session_replication_role = replica;
update public.expenses set status = 'cancelled', cancelled_at = now(), cancelled_because = 'x', reversal_entry_id = journal_entry_id where id = tests.kept('borne')::uuid;
select matches(pg_temp.found(), 'expense_differs', 'what was cancelled and not reversed is found');
rollback to sound; set local session_replication_role = replica;
update public.expenses set allocation_id = null, charge_entry_id = null, allocated_at = null where id = tests.kept('water')::uuid;
select is(pg_temp.found(), 'expense_charges_differ', 'charges that their expense forgot are found');
rollback to sound; set local session_replication_role = replica;
update public.expenses set allocation_id = tests.kept('lift_allocation')::uuid where id = tests.kept('water')::uuid;
select matches(pg_temp.found(), 'expense_charges_differ', 'charges by another allocation are found');
rollback to sound; set local session_replication_role = replica;
delete from public.charges where journal_entry_id = tests.kept('shares_entry')::uuid and unit_id = tests.id('A1');
select matches(pg_temp.found(), 'expense_charges_differ', 'a charge that is missing is found');
rollback to sound;
set local session_replication_role = origin;
select lives_ok(format('select app.reverse_charges(%L, current_date, ''Past the expense'')', tests.kept('shares_entry')), 'charges are taken back behind the back of their expense');
select matches(pg_temp.found(), 'expense_charges_differ', 'which is found');

select * from finish();
rollback;
