-- Who owns what on which day: the whole, at every moment, through sales and corrections; and who pays and votes.

begin;
select plan(60);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit(u, 'Alder') from unnest(array['1', '2', '3', '4', 'garage']) u;
select tests.create_unit('cedar 1', 'Cedar');
select tests.create_resident(r, 'Alder') from unnest(array['Ana', 'Boris', 'Clara', 'Dan', 'Eva', 'Firm', 'Kid']) r;
select tests.create_resident('Cedric', 'Cedar');
select tests.create_supabase_user('manager'), tests.create_supabase_user('guard'), tests.create_supabase_user('cedar manager');
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'),
  tests.grant_role('cedar manager', 'manager', community => 'Cedar');

create function pg_temp.own(resident text, unit text, share numeric, starts_on date, ends_on date default null) returns void language sql as $$
  insert into public.occupancies (id, community_id, unit_id, resident_id, role, ownership_share, starts_on, ends_on)
  values (tests.id(resident || ' owns ' || unit), (select community_id from public.units where id = tests.id(unit)), tests.id(unit), tests.id(resident), 'owner', share, own.starts_on, own.ends_on)
$$;
-- What would happen at commit.
create function pg_temp.commits(change text) returns text language plpgsql as $$
begin
  begin
    execute change;
    set constraints all immediate;
    raise exception using errcode = 'P0099', message = 'stored';
  exception when others then
    set constraints all deferred;
    return sqlerrm;
  end;
end;
$$;
create function pg_temp.owners(unit text, day date) returns text language sql as $$
  select coalesce(string_agg(full_name || ' ' || trim_scale(share), ', ' order by full_name), 'nobody') from public.unit_owners_on(tests.id(unit), day)
$$;

-- The whole --------------------------------------------------------------------------------------------------------------

select is(pg_temp.commits($$select pg_temp.own('Ana', '1', 50, '2020-01-01'), pg_temp.own('Boris', '1', 50, '2020-01-01')$$), 'stored', 'two halves are the whole');
select is(pg_temp.commits($$select pg_temp.own('Ana', '1', 50, '2020-01-01'), pg_temp.own('Boris', '1', 50.01, '2020-01-01')$$), 'shares_not_whole', '100.01 percent is not');
select is(pg_temp.commits($$select pg_temp.own('Ana', '1', 50, '2020-01-01'), pg_temp.own('Boris', '1', 49.99, '2020-01-01')$$), 'shares_not_whole', 'nor is 99.99 percent');
select is(pg_temp.commits($$select pg_temp.own(r, '1', 33.333333, '2020-01-01') from unnest(array['Ana', 'Boris', 'Clara']) r$$), 'stored', 'three thirds are');
select is(pg_temp.commits($$select pg_temp.own(r, '1', 33.3333, '2020-01-01') from unnest(array['Ana', 'Boris', 'Clara']) r$$), 'shares_not_whole', 'thirds cut short are not');
select is(pg_temp.commits($$select pg_temp.own(r, '1', 14.285714, '2020-01-01') from unnest(array['Ana', 'Boris', 'Clara', 'Dan', 'Eva', 'Firm', 'Kid']) r$$), 'stored', 'seven sevenths are');
select is(pg_temp.commits($$select pg_temp.own('Ana', '1', 100, '2020-01-01', '2020-12-31'), pg_temp.own('Boris', '1', 100, '2020-12-31')$$), 'shares_not_whole', 'one day of two owners of everything is not');
select is(pg_temp.commits($$select pg_temp.own('Ana', '1', 100, '2020-01-01', '2020-12-31'), pg_temp.own('Boris', '1', 100, '2021-01-01')$$), 'stored', 'one after the other is');
select is(pg_temp.commits($$select pg_temp.own('Ana', '1', 50, '2020-01-01'), pg_temp.own('Boris', '1', 50, '2020-01-01', '2199-12-31')$$), 'shares_not_whole', 'half an owner in a hundred years is not');
select is(pg_temp.commits($$select pg_temp.own('Ana', '1', 50, '2019-01-01'), pg_temp.own('Boris', '1', 50, '2020-01-01')$$), 'shares_not_whole', 'nor was half an owner in the past');
select is(pg_temp.commits($$select pg_temp.own('Ana', '1', null, '2020-01-01'), pg_temp.own('Boris', '1', null, '2021-01-01')$$), 'stored', 'shares that nobody stated are equal parts');
select is(pg_temp.commits($$select pg_temp.own('Ana', '1', 100, '2020-01-01'), pg_temp.own('Boris', '1', null, '2020-01-01')$$), 'shares_not_whole', 'but not of nothing');

select pg_temp.own('Ana', '1', 60, '2020-01-01'), pg_temp.own('Boris', '1', null, '2020-01-01'), pg_temp.own('Clara', '1', null, '2020-01-01');
set constraints all immediate;
set constraints all deferred;
select is(pg_temp.owners('1', '2020-01-01'), 'Ana 60, Boris 20, Clara 20', 'what the stated shares leave is shared equally');
select is(pg_temp.owners('1', '2019-12-31'), 'nobody', 'before, nobody is known to have owned it');
select is(pg_temp.commits($$update public.occupancies set deleted_at = now() where id = tests.id('Ana owns 1')$$), 'stored', 'who is archived leaves the others their parts');
select is(pg_temp.commits($$update public.occupancies set ownership_share = 20, ends_on = null where id in (tests.id('Boris owns 1'), tests.id('Clara owns 1')); update public.occupancies set deleted_at = now() where id = tests.id('Clara owns 1')$$),
  'shares_not_whole', 'a stated share that is archived leaves a hole');
grant execute on function pg_temp.owners(text, date) to authenticated;

-- Sales --------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('guard');
select throws_ok($$select * from public.sell_unit(tests.id('1'), '2024-05-01', jsonb_build_array(jsonb_build_object('resident_id', tests.id('Dan'))))$$, 'PT403', 'permission_denied', 'a guard sells nothing');
select tests.authenticate_as('cedar manager');
select throws_ok($$select * from public.sell_unit(tests.id('1'), '2024-05-01', jsonb_build_array(jsonb_build_object('resident_id', tests.id('Cedric'))))$$, 'PT403', 'permission_denied', 'nor does the manager of another community');
select throws_ok($$select * from public.transfer_units(array[tests.id('1'), tests.id('cedar 1')], '2024-05-01', jsonb_build_array(jsonb_build_object('resident_id', tests.id('Cedric'))))$$, 'PT403', 'permission_denied', 'not even together with a unit of the own');
select tests.authenticate_as('manager');
select throws_ok($$select * from public.sell_unit(tests.id('1'), '2024-05-01', jsonb_build_array(jsonb_build_object('resident_id', tests.id('Cedric'))))$$, 'PT404', 'resident_not_found', 'nobody of another community buys');
select throws_ok($$select * from public.sell_unit(tests.id('1'), '2024-05-01', '[{"full_name": "X", "share": 100.01}]')$$, 'PT422', 'invalid_value', 'nobody buys more than the whole');
select throws_ok($$select * from public.sell_unit(tests.id('1'), '2024-05-01', '[{"full_name": "X", "share": 60}, {"full_name": "Y", "share": 50}]')$$, 'PT409', 'shares_not_whole', 'nor do two together');
select throws_ok($$select * from public.sell_unit(tests.id('1'), '2020-01-01', '[{"full_name": "X"}]')$$, 'PT409', 'sale_too_early', 'who sells has owned for a day at least');
select throws_ok($$select * from public.sell_unit(tests.id('1'), '2019-06-01', '[{"full_name": "X"}]')$$, 'PT409', 'sale_overtaken', 'a sale before the present owners began is refused');
select throws_ok($$select * from public.sell_unit(tests.id('1'), '2024-05-01', '[{"full_name": "X"}]', array[tests.id('Dan')])$$, 'PT422', 'seller_not_owner', 'nobody sells what is not theirs');
select throws_ok($$select * from public.sell_unit(tests.id('1'), '2024-05-01', '[{"name": "X"}]')$$, 'PT422', 'invalid_people', 'a buyer is somebody');
select is(pg_temp.owners('1', '2024-05-01'), 'Ana 60, Boris 20, Clara 20', 'what is refused changes nothing');
select is((select count(*) from public.residents where community_id = tests.id('Alder')), 7::bigint, 'and leaves no buyer behind');

select results_eq($$select full_name, change, trim_scale(share)::text, ends_on from public.sell_unit(tests.id('1'), '2024-05-01', jsonb_build_array(jsonb_build_object('resident_id', tests.id('Dan'))), array[tests.id('Ana')])$$,
  $$values ('Ana', 'ended', '60', date '2024-04-30'), ('Dan', 'begun', '60', null)$$, 'a co-owner sells the own share');
select is(pg_temp.owners('1', '2024-04-30') || ' | ' || pg_temp.owners('1', '2024-05-01'), 'Ana 60, Boris 20, Clara 20 | Boris 20, Clara 20, Dan 60', 'from the day on the buyer owns, until the day before the seller did');
select lives_ok($$select * from public.sell_unit(tests.id('1'), '2024-06-01', jsonb_build_array(jsonb_build_object('resident_id', tests.id('Boris'))), array[tests.id('Dan')])$$, 'a co-owner buys another''s share');
select is(pg_temp.owners('1', '2024-06-01'), 'Boris 80, Clara 20', 'and has one share of both');
select lives_ok($$select * from public.sell_unit(tests.id('1'), '2024-07-01', jsonb_build_array(jsonb_build_object('resident_id', tests.id('Boris'), 'share', 30), jsonb_build_object('resident_id', tests.id('Eva'), 'share', '1/2')), array[tests.id('Boris')])$$,
  'who sells a part buys the rest');
select is(pg_temp.owners('1', '2024-07-01'), 'Boris 30, Clara 20, Eva 50', '(and keeps it)');
select lives_ok($$select * from public.sell_unit(tests.id('1'), '2024-08-01', '[{"full_name": "Xenia", "email": "xenia@mail.example"}, {"full_name": "Yana"}, {"full_name": "Zora"}]')$$, 'all sell to three who are new here');
select is(pg_temp.owners('1', '2024-08-01'), 'Xenia 33.333333, Yana 33.333333, Zora 33.333333', 'who own a third each');
select lives_ok($$select * from public.sell_unit(tests.id('1'), '2024-09-01', '[{"full_name": "U"}, {"full_name": "V"}]', array[(select id from public.residents where full_name = 'Zora')])$$, 'a third is sold to two');
select is((select sum(share) from public.unit_owners_on(tests.id('1'), '2024-09-01')), 100.000000, 'whatever rounding leaves over is given to somebody');
select lives_ok($$select * from public.transfer_units(array[tests.id('2'), tests.id('garage')], '2024-01-01', '[{"full_name": "First Owner"}]')$$, 'a unit whose owner nobody knew gets one, together with its garage');
select is((select string_agg(o.is_living_in::text, ' ') || ' ' || count(distinct o.resident_id) from public.occupancies o where o.unit_id in (tests.id('2'), tests.id('garage'))), 'true true 1', 'who lives there, and is entered once');
select tests.as_studio();
select is((select string_agg(payload ->> 'is_complete', ' ' order by id) from app.outbox where topic = 'unit.sold' and payload ->> 'unit_id' = tests.id('1')::text), 'false false false true false', 'each sale is told of');
set constraints all immediate;
set constraints all deferred;
update public.units set deleted_at = now() where id = tests.id('4');
select throws_ok($$select * from public.sell_unit(tests.id('4'), '2024-05-01', '[{"full_name": "X"}]')$$, 'PT404', 'unit_not_found', 'an archived unit is not sold');

-- Corrections --------------------------------------------------------------------------------------------------------------

select pg_temp.own('Ana', '3', 60, '2020-01-01'), pg_temp.own('Boris', '3', 40, '2020-01-01');
select tests.authenticate_as('manager');
select throws_ok($$select public.set_ownership_shares(tests.id('3'), jsonb_build_object(tests.id('Ana owns 3'), 50))$$, 'PT409', 'shares_not_whole', 'one share alone cannot be corrected to less');
select lives_ok($$select public.set_ownership_shares(tests.id('3'), jsonb_build_object(tests.id('Ana owns 3'), '1/3', tests.id('Boris owns 3'), '2/3'))$$, 'several are corrected at once');
select is(pg_temp.owners('3', '2020-01-01'), 'Ana 33.333333, Boris 66.666667', 'as parts of one, too');

select tests.as_studio();

-- Who pays, who votes ----------------------------------------------------------------------------------------------------

create function pg_temp.who(kind text, unit text, day date) returns text language plpgsql as $$
begin
  return case kind when 'pays'
    then (select string_agg(concat_ws(' ', full_name, trim_scale(share), source), ', ' order by full_name) from public.unit_payer_on(tests.id(unit), day))
    else (select string_agg(concat_ws(' ', full_name, trim_scale(share), source, on_behalf_of), ', ' order by full_name) from public.unit_voters_on(tests.id(unit), day)) end;
end $$;
grant execute on function pg_temp.who(text, text, date) to authenticated;
select tests.authenticate_as('manager');
select is(pg_temp.who('pays', '3', '2024-01-01') || ' | ' || pg_temp.who('votes', '3', '2024-01-01'), 'Ana 33.333333 owner, Boris 66.666667 owner | Ana 33.333333 owner, Boris 66.666667 owner', 'owners pay and vote, each with the own share');
select public.set_unit_representative(tests.id('3'), 'payer', tests.id('Firm'), '2024-02-01');
select is(pg_temp.who('pays', '3', '2024-01-31') || ' | ' || pg_temp.who('pays', '3', '2024-02-01'), 'Ana 33.333333 owner, Boris 66.666667 owner | Firm 100 appointed', 'unless somebody else is appointed to pay');
select throws_ok($$select public.set_unit_representative(tests.id('3'), 'voter', tests.id('Clara'), '2024-02-01')$$, 'PT422', 'authority_required', 'who votes without owning does so by something written');
select lives_ok($$select public.set_unit_representative(tests.id('3'), 'voter', tests.id('Clara'), '2024-02-01', authority => 'Proxy of 12 January 2024')$$, '(a proxy)');
select is(pg_temp.who('votes', '3', '2024-02-01'), 'Clara 100 appointed', 'and then votes for all of it');
select throws_ok($$select public.set_unit_representative(tests.id('3'), 'voter', tests.id('Ana'), '2024-01-15')$$, 'PT409', 'representative_taken', 'there is one at a time');
select lives_ok($$select * from public.sell_unit(tests.id('3'), '2024-06-01', jsonb_build_array(jsonb_build_object('resident_id', tests.id('Kid'))))$$, '(all owners sell)');
select is(pg_temp.who('votes', '3', '2024-05-31') || ' | ' || pg_temp.who('votes', '3', '2024-06-01') || ' | ' || pg_temp.who('pays', '3', '2024-06-01'), 'Clara 100 appointed | Kid 100 owner | Kid 100 owner', 'what the sellers appointed ends with what they owned');
insert into public.resident_details (community_id, resident_id, born_on) values (tests.id('Alder'), tests.id('Kid'), '2015-03-10');
update public.residents set guardian_id = tests.id('Eva') where id = tests.id('Kid');
select is(pg_temp.who('votes', '3', '2033-03-09') || ' | ' || pg_temp.who('votes', '3', '2033-03-10'), 'Eva 100 guardian Kid | Kid 100 owner', 'for an owner not of age the guardian votes, until the birthday');

-- Shares that nobody stated ------------------------------------------------------------------------------------------------

select tests.as_studio();
select tests.create_unit('5', 'Alder');
select pg_temp.own('Ana', '5', null, '2020-01-01', '2021-12-31'), pg_temp.own('Boris', '5', 40, '2022-01-01'), pg_temp.own('Clara', '5', null, '2022-01-01'), pg_temp.own('Dan', '5', null, '2022-01-01');
select tests.authenticate_as('manager');
select is((select owners from public.units_overview where unit_id = tests.id('5')), 'Boris (40 %), Clara (30 %), Dan (30 %)', 'the overview of units shows a share that is not stated by the rule');
select is((select string_agg(concat_ws(' ', full_name, trim_scale(ownership_share), is_share_stated), ', ' order by full_name) from public.residents_overview where unit_id = tests.id('5')),
  'Ana 100 f, Boris 40 t, Clara 30 f, Dan 30 f', 'so does that of residents, which tells it from one that is, and a past one as it was');
select is((select string_agg(concat_ws(' ', full_name, trim_scale(share)), ', ' order by full_name) from public.unit_owners_on(tests.id('5'))), 'Boris 40, Clara 30, Dan 30', 'as unit_owners_on does, today where no day is named');
select tests.as_studio();
select tests.occupy('Eva', '5', 'tenant', '2022-01-01');
select tests.authenticate_as('manager');
select is((select row(ownership_share, is_share_stated)::text from public.residents_overview where unit_id = tests.id('5') and role = 'tenant'), '(,)', 'a tenant has none');
select is((select string_agg(living.day || ' ' || coalesce(living.who, 'nobody'), ', ' order by living.day) from (
    select d.day, (select string_agg(o.full_name, ' ' order by o.full_name) from public.unit_occupants_on(tests.id('5'), d.day::date) o) as who
    from (values ('2019-12-31'), ('2021-12-31'), ('2022-01-01')) d (day)) living),
  '2019-12-31 nobody, 2021-12-31 Ana, 2022-01-01 Boris Clara Dan Eva', 'who lived there is told of any day');
select is((select string_agg(full_name, ' ' order by full_name) from public.community_occupants_on(tests.id('Alder')) where unit_id = tests.id('5')), 'Boris Clara Dan Eva', 'and of today, where no day is named');

select * from finish();
rollback;
