-- Categories of expenses: what they book to, who keeps them, and that they take nothing once they are out of use.

begin;
select plan(39);

select tests.create_community('Alder'), tests.create_community('Cedar');
select public.open_books(tests.id(c), current_date - 400) from unnest('{Alder,Cedar}'::text[]) c;
select tests.create_supabase_user(u) from unnest('{manager,accountant,viewer,committee,owner,tenant,guard,foreign,fired}'::text[]) u;
select tests.create_unit('1', 'Alder');
select tests.create_resident('Owner', 'Alder', tests.email('owner')), tests.occupy('Owner', '1', 'owner', current_date - 100);
select tests.create_resident('Tenant', 'Alder', tests.email('tenant')), tests.occupy('Tenant', '1', 'tenant', current_date - 100);
select tests.grant_role(u, u, community => 'Alder') from unnest('{manager,accountant,committee,guard}'::text[]) u;
select tests.grant_role('viewer', 'viewer', organization => 'organization of Alder'), tests.grant_role('foreign', 'manager', community => 'Cedar'),
  tests.grant_role('fired', 'manager', community => 'Alder');
select tests.keep('fired_token', tests.claims('fired'));

create function pg_temp.fund(community text, kind public.fund_kind) returns uuid language sql stable security definer as $$
  select f.id from public.funds f where f.community_id = tests.id(community) and f.kind = fund.kind order by f.id limit 1
$$;
create function pg_temp.account(community text, kind public.fund_kind, type public.account_type) returns uuid language sql stable security definer as $$
  select a.id from public.accounts a where a.community_id = tests.id(community) and a.fund_id = pg_temp.fund(community, kind) and a.type = account.type and a.purpose in ('expense', 'general', 'bank') order by a.code limit 1
$$;
create function pg_temp.key(community text) returns uuid language sql stable security definer as $$
  select k.id from public.allocation_keys k where k.community_id = tests.id(community) order by k.id limit 1
$$;
create function pg_temp.seen_by(who text) returns text language plpgsql as $$
begin
  perform tests.authenticate_as(who);
  return tests.seen('public.expense_categories', 'code');
end $$;
do $$ begin execute format('grant execute on all functions in schema %I to anon, authenticated, service_role', pg_my_temp_schema()::regnamespace); end $$;
insert into public.allocation_keys (name, community_id, method) select 'Per unit', tests.id(c), 'per_unit' from unnest('{Alder,Cedar}'::text[]) c;

-- Making ----------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select tests.keep('lift', public.create_expense_category(tests.id('Alder'), 'LIFT', 'Lift', pg_temp.account('Alder', 'operating', 'expense'), pg_temp.key('Alder'), 'occupant', ' Electricity and repairs '));
select is(
  (select row(c.name, c.code, c.description, c.fund_id, c.account_type, c.liable, c.status)::text from public.expense_categories c where c.id = tests.kept('lift')::uuid),
  row('Lift', 'LIFT', 'Electricity and repairs', pg_temp.fund('Alder', 'operating'), 'expense', 'occupant', 'active')::text,
  'a category books to an expense account, and belongs to the fund of it');
select tests.keep('roof', public.create_expense_category(tests.id('Alder'), 'ROOF', 'Roof', pg_temp.account('Alder', 'reserve', 'expense')));
select is((select row(c.fund_id, c.allocation_key_id, c.liable)::text from public.expense_categories c where c.id = tests.kept('roof')::uuid), row(pg_temp.fund('Alder', 'reserve'), null::uuid, 'payer')::text,
  'without a key the fund bears what is spent');

select throws_ok(r.call, r.state, r.token, r.why)
from (values
  (format('select public.create_expense_category(%L, %L, %L, %L)', tests.id('Alder'), 'X', 'X', pg_temp.account('Cedar', 'operating', 'expense')), 'PT404', 'account_not_found', 'an account of another community is none'),
  (format('select public.create_expense_category(%L, %L, %L, %L)', tests.id('Alder'), 'X', 'X', pg_temp.account('Alder', 'operating', 'asset')), 'PT404', 'account_not_found', 'nor is the bank'),
  (format('select public.create_expense_category(%L, %L, %L, null)', tests.id('Alder'), 'X', 'X'), 'PT404', 'account_not_found', 'an account is named'),
  (format('select public.create_expense_category(%L, %L, %L, %L, %L)', tests.id('Alder'), 'X', 'X', pg_temp.account('Alder', 'operating', 'expense'), pg_temp.key('Cedar')), 'PT404', 'allocation_key_not_found', 'a key of another community is none'),
  (format('select public.create_expense_category(%L, %L, %L, %L)', tests.id('Alder'), 'LIFT', 'X', pg_temp.account('Alder', 'operating', 'expense')), 'PT409', 'category_code_taken', 'a code means one category'),
  (format('select public.create_expense_category(%L, %L, %L, %L)', tests.id('Alder'), 'x y', 'X', pg_temp.account('Alder', 'operating', 'expense')), 'PT422', 'invalid_value', 'a code is capital letters and digits'),
  (format('select public.create_expense_category(%L, %L, %L, %L)', tests.id('Alder'), 'X', null, pg_temp.account('Alder', 'operating', 'expense')), 'PT422', 'invalid_value', 'a category has a name'),
  (format('select public.create_expense_category(%L, %L, %L, %L)', tests.id('Cedar'), 'X', 'X', pg_temp.account('Cedar', 'operating', 'expense')), 'PT403', 'permission_denied', 'a manager makes none elsewhere')) r (call, state, token, why);
select is((select count(*) from public.expense_categories), 2::bigint, 'of what was refused nothing is stored');

-- Keeping ---------------------------------------------------------------------------------------------------------------

select lives_ok(format('select public.change_expense_category(%L, %L, %L)', tests.kept('lift'), 'LIFT-1', 'Lift of A'), 'a category is called otherwise, and borne by the fund from now on');
select is((select row(c.name, c.code, c.description, c.allocation_key_id, c.liable)::text from public.expense_categories c where c.id = tests.kept('lift')::uuid),
  row('Lift of A', 'LIFT-1', null::text, null::uuid, 'payer')::text, 'what is not said is taken away');
select throws_ok(format('select public.change_expense_category(%L, %L, %L, %L)', tests.kept('lift'), 'LIFT', 'Lift', pg_temp.key('Cedar')), 'PT404', 'allocation_key_not_found', 'no key of another community is put in');
select throws_ok(format('select public.change_expense_category(%L, %L, %L)', tests.kept('lift'), 'ROOF', 'Lift'), 'PT409', 'category_code_taken', 'nor another category''s code');
select throws_ok(format('update public.expense_categories set status = ''inactive'' where id = %L', tests.kept('lift')), '42501', null, 'nobody writes past the RPCs');

select public.set_expense_category_status(tests.kept('lift')::uuid, 'inactive');
select throws_ok(format('select public.enter_expense(%L, %L, %L, 10, current_date)', tests.id('Alder'), tests.kept('lift'), 'Cable'), 'PT409', 'category_inactive', 'a category out of use takes no expense');
select is((select count(*) from public.expenses), 0::bigint, 'and none is stored');
select lives_ok(format('select public.set_expense_category_status(%L, ''active'')', tests.kept('lift')), 'in use again');
select lives_ok(format('select public.enter_expense(%L, %L, %L, 10, current_date)', tests.id('Alder'), tests.kept('lift'), 'Cable'), 'it does');
select throws_ok(format('select public.set_expense_category_status(%L, null)', tests.kept('lift')), 'PT422', 'invalid_value', 'it is one or the other');
select throws_ok(format('select public.archive(''expense_categories'', %L, ''Not needed'')', tests.kept('lift')), 'PT409', 'has_live_children', 'a category with expenses is not archived');
select lives_ok(format('select public.archive(''expense_categories'', %L, ''Not needed'')', tests.kept('roof')), 'one without is');
select throws_ok(format('select public.set_expense_category_status(%L, ''inactive'')', tests.kept('roof')), 'PT404', 'category_not_found', 'and is not there any more');

select tests.as_studio();
select throws_ok(format('update public.expense_categories set account_id = %L, fund_id = %L where id = %L', pg_temp.account('Alder', 'reserve', 'expense'), pg_temp.fund('Alder', 'reserve'), tests.kept('lift')),
  'PT409', 'column_frozen', 'where it books never changes, for an administrator with SQL neither');
select throws_ok(format('insert into public.expense_categories (name, code, community_id, fund_id, account_id) values (''X'', ''X'', %L, %L, %L)', tests.id('Alder'), pg_temp.fund('Alder', 'operating'), pg_temp.account('Alder', 'operating', 'asset')),
  '23503', null, 'an account of another type is refused by its key');
select throws_ok(format('insert into public.expense_categories (name, code, community_id, fund_id, account_id) values (''X'', ''X'', %L, %L, %L)', tests.id('Alder'), pg_temp.fund('Alder', 'reserve'), pg_temp.account('Alder', 'operating', 'expense')),
  '23503', null, 'and so is another fund''s');

-- Who -------------------------------------------------------------------------------------------------------------------

select is(pg_temp.seen_by(u.who), 'LIFT-1', u.who || ' sees the categories')
from (values ('manager'), ('accountant'), ('viewer'), ('committee'), ('owner')) u (who);
select is(pg_temp.seen_by(u.who), 'nothing', u.who || ' sees none')
from (values ('tenant'), ('guard'), ('foreign')) u (who);
select tests.authenticate_as('owner');
select throws_ok(format('select public.set_expense_category_status(%L, ''inactive'')', tests.kept('lift')), 'PT403', 'permission_denied', 'an owner, who sees them, changes none');
select tests.authenticate_as('foreign');
select throws_ok(format('select public.set_expense_category_status(%L, ''inactive'')', tests.kept('lift')), 'PT404', 'category_not_found', 'the manager of another community does not learn that it is there');
select tests.as_studio();
select public.revoke_role(m.id) from public.memberships m where m.user_id = tests.id('fired');
select tests.authenticate_with(tests.kept('fired_token')::jsonb);
select throws_ok(format('select public.create_expense_category(%L, %L, %L, %L)', tests.id('Alder'), 'X', 'X', pg_temp.account('Alder', 'operating', 'expense')), 'PT403', 'permission_denied', 'a manager who was fired makes none with the token from before');
select tests.as_studio();
select is((select row(c.status, count(*) over ())::text from public.expense_categories c where c.community_id = tests.id('Alder') and c.deleted_at is null), '(active,1)', 'and everything is as it was');

select * from finish();
rollback;
