-- Cards and holds: one card per number, worth nothing once its holder is gone, and a hold that counts at the very next moment.

begin;
select plan(54);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_unit('2', 'Alder'), tests.create_unit('9', 'Cedar');
select tests.create_supabase_user('manager'), tests.create_supabase_user('guard'), tests.create_supabase_user('ana'), tests.create_supabase_user('tom');
select tests.create_resident('Ana', 'Alder', tests.email('ana')), tests.create_resident('Tom', 'Alder', tests.email('tom')), tests.create_resident('Cedric', 'Cedar');
select tests.occupy('Ana', '1', 'owner', current_date - 100), tests.occupy('Tom', '2', 'tenant', current_date - 50), tests.occupy('Cedric', '9', 'owner', current_date - 100);
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder');
insert into public.guards (id, full_name, community_id) values (tests.id('Georgi'), 'Georgi', tests.id('Alder'));

-- Cards -------------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select tests.keep('card', public.issue_access_card(tests.id('Alder'), '04:a2:2b:1c', resident_id => tests.id('Ana'), kind => 'fob'));
select tests.keep('guard_card', public.issue_access_card(tests.id('Alder'), '17', guard_id => tests.id('Georgi')));
select throws_ok(format($$select public.issue_access_card(tests.id('Alder'), %L, resident_id => tests.id('Tom'))$$, v), 'PT409', 'card_taken', v || ' is the same card')
from unnest(array['04A22B1C', '04-A2-2B-1C', '04 a2 2b 1c']) v;
select throws_ok(format($$select public.issue_access_card(tests.id('Alder'), %L, resident_id => tests.id('Tom'))$$, v), 'PT422', 'invalid_value', quote_nullable(left(v, 20)) || ' is no number')
from unnest(array[null, '', '---', '🎫', repeat('1', 65), E'1\n2']) v;
select throws_ok($$select public.issue_access_card(tests.id('Alder'), '1')$$, 'PT422', 'invalid_value', 'somebody carries a card');
select throws_ok($$select public.issue_access_card(tests.id('Alder'), '1', tests.id('Tom'), tests.id('Georgi'))$$, 'PT422', 'invalid_value', 'and one alone');
select throws_ok($$select public.issue_access_card(tests.id('Alder'), '1', resident_id => tests.id('Cedric'))$$, 'PT404', 'resident_not_found', 'of the same community');
select throws_ok($$select public.issue_access_card(tests.id('Cedar'), '1', resident_id => tests.id('Cedric'))$$, 'PT403', 'permission_denied', 'whose manager it takes');
select tests.authenticate_as('guard');
select throws_ok($$select public.issue_access_card(tests.id('Alder'), '1', resident_id => tests.id('Tom'))$$, 'PT403', 'permission_denied', 'a guard hands out no card');
select is(tests.seen('public.access_cards', 'number'), 'nothing', 'and sees no number to copy');
select tests.authenticate_as('tom');
select is(tests.seen('public.access_cards', 'number'), 'nothing', 'nor does a neighbour');
select throws_ok(format($$select public.set_access_card_status(%L, 'lost')$$, tests.kept('card')), 'PT404', 'card_not_found', 'who does not report it lost either');
select tests.as_studio();
select is((select string_agg(c.number || ' ' || c.status, ', ' order by c.number) from public.access_cards c where c.community_id in (tests.id('Alder'), tests.id('Cedar'))), '04:a2:2b:1c active, 17 active',
  'what was refused left nothing behind');

select is((app.card_by_number(tests.id('Alder'), '04A2-2B1C')).id, tests.kept('card')::uuid, 'a reader finds the card, however it writes numbers');
select is((app.card_by_number(tests.id('Cedar'), '04A22B1C')).id, null, 'in its community alone');
select is(app.card_problem(app.card_by_number(tests.id('Alder'), 'FFFF'), now()), 'card_unknown', 'an unknown card is unknown');
select is(app.card_problem(app.card_by_number(tests.id('Alder'), v.number), now()), null, v.what)
from (values ('04A22B1C', 'a resident''s card opens'), ('17', 'and a guard''s')) v (number, what);
select tests.authenticate_as('ana');
select is(tests.seen('public.access_cards', 'number'), '04:a2:2b:1c', 'its holder sees it');
select throws_ok(format($$select public.set_access_card_status(%L, 'blocked')$$, tests.kept('card')), 'PT403', 'permission_denied', 'does not block it');
select lives_ok(format($$select public.set_access_card_status(%L, 'lost', 'On the bus')$$, tests.kept('card')), 'and reports the loss');
select throws_ok(format($$select public.set_access_card_status(%L, 'active')$$, tests.kept('card')), 'PT403', 'permission_denied', 'but does not make it good again');
select tests.as_studio();
select is(app.card_problem(app.card_by_number(tests.id('Alder'), '04A22B1C'), now()), 'card_lost', 'a lost card opens nothing');
select tests.authenticate_as('manager');
select public.set_access_card_status(tests.kept('card')::uuid, 'active');
update public.access_cards set expires_on = current_date + 1 where id = tests.kept('card')::uuid;
select tests.as_studio();
select is(app.card_problem(app.card_by_number(tests.id('Alder'), '04A22B1C'), now() + interval '2 days'), 'expired', 'nor does one after its last day');
set local session_replication_role = replica;
update public.occupancies set ends_on = current_date - 1 where id = tests.id('Ana owner 1');
set local session_replication_role = origin;
select is(app.card_problem(app.card_by_number(tests.id('Alder'), '04A22B1C'), now()), 'holder_left', 'nor one of somebody who moved out yesterday, although no job has run');
update public.guards set status = 'suspended' where id = tests.id('Georgi');
select is(app.card_problem(app.card_by_number(tests.id('Alder'), '17'), now()), 'holder_left', 'nor that of a suspended guard');
select tests.authenticate_as('manager');
select public.set_access_card_status(tests.kept('card')::uuid, 'returned');
select throws_ok(format($$select public.set_access_card_status(%L, 'active')$$, tests.kept('card')), 'PT409', 'transition_refused', 'what came back is not taken up again');
select lives_ok($$select public.issue_access_card(tests.id('Alder'), '04A22B1C', resident_id => tests.id('Tom'))$$, 'but handed to the next');
select tests.as_studio();
select is(app.card_problem(app.card_by_number(tests.id('Alder'), '04A22B1C'), now()), null, 'for whom it opens');

-- Holds -------------------------------------------------------------------------------------------------------------------

insert into public.vehicles (id, plate, community_id, unit_id, resident_id, status) values (tests.id('car'), 'CB 1', tests.id('Alder'), tests.id('2'), tests.id('Tom'), 'active');
select tests.authenticate_as('manager');
select tests.keep('hold', public.place_access_hold(tests.id('Alder'), 'insurance_expired', vehicle_id => tests.id('car'), note => 'Since Monday'));
select is(public.place_access_hold(tests.id('Alder'), 'insurance_expired', vehicle_id => tests.id('car')), tests.kept('hold')::uuid, 'one reason holds a vehicle once');
select throws_ok($$select public.place_access_hold(tests.id('Alder'), 'reason', tests.id('Tom'), tests.id('car'))$$, 'PT422', 'invalid_value', 'a hold is against one alone');
select throws_ok($$select public.place_access_hold(tests.id('Alder'), 'reason')$$, 'PT422', 'invalid_value', 'and against somebody');
select throws_ok($$select public.place_access_hold(tests.id('Alder'), 'In words', tests.id('Tom'))$$, 'PT422', 'invalid_value', 'for a reason that programs can tell');
select throws_ok($$select public.place_access_hold(tests.id('Alder'), 'reason', tests.id('Cedric'))$$, 'PT404', 'resident_not_found', 'of the same community');
select throws_ok($$select public.place_access_hold(tests.id('Alder'), 'reason', tests.id('Tom'), ends_at => now() - interval '1 day')$$, 'PT422', 'invalid_value', 'and does not end before it begins');
select tests.authenticate_as('tom');
select is(tests.seen('public.access_holds', 'reason'), 'insurance_expired', 'whose car is held is told why');
select throws_ok(format($$select public.lift_access_hold(%L)$$, tests.kept('hold')), 'PT403', 'permission_denied', 'but does not lift it');
select tests.authenticate_as('guard');
select is(tests.seen('public.access_holds', 'reason'), 'nothing', 'guards learn of a hold by a decision');
select throws_ok($$select public.place_access_hold(tests.id('Alder'), 'reason', tests.id('Tom'))$$, 'PT403', 'permission_denied', 'and place none');
select tests.as_studio();
select is(app.holds_against(tests.id('Alder'), null, tests.id('car'), null, now()), 'insurance_expired', 'the gate knows of it');
select is(app.holds_against(tests.id('Alder'), tests.id('Tom'), null, null, now()), null, 'that the car is held does not hold its driver');
select is(app.holds_against(tests.id('Alder'), null, null, null, now()), null, 'and nobody is held by nothing');
select app.hold_access(tests.id('Alder'), 'device_lost', 'devices', resident => tests.id('Tom'), ends_at => now() + interval '1 hour');
select is(app.holds_against(tests.id('Alder'), tests.id('Tom'), null, null, now() + interval '2 hours'), null, 'what has ended counts no more');
select is(app.release_access(tests.id('Alder'), 'device_lost', 'devices', resident => tests.id('Tom')), true, 'a domain lifts what it has placed');
select tests.authenticate_as('manager');
select is(public.lift_access_hold(tests.kept('hold')::uuid, 'Renewed') and not public.lift_access_hold(tests.kept('hold')::uuid), true, 'a hold is lifted once');
select tests.as_studio();
select is(concat(app.holds_against(tests.id('Alder'), tests.id('Tom'), tests.id('car'), null, now())), '', 'and then counts no more');

-- One person in two records ------------------------------------------------------------------------------------------------

select tests.create_resident('Tom again', 'Alder');
select app.hold_access(tests.id('Alder'), 'device_lost', 'devices', resident => tests.id('Tom again'));
select app.hold_access(tests.id('Alder'), 'device_lost', 'devices', resident => tests.id('Tom'));
select public.issue_access_card(tests.id('Alder'), '77', resident_id => tests.id('Tom again'));
select lives_ok($$select public.merge_residents(tests.id('Tom'), tests.id('Tom again'), 'One person')$$, 'two records of one person are merged although the same holds both');
select is((select count(*) from public.access_holds h where h.reason = 'device_lost' and h.resident_id = tests.id('Tom') and h.lifted_at is null and h.deleted_at is null), 1::bigint, 'who is then held once');
select is(app.card_problem(app.card_by_number(tests.id('Alder'), '77'), now()), null, 'and carries the cards of both');

select * from finish();
rollback;
