-- The blacklist: who matches it, exactly or nearly, who keeps it, and when it forgets.

begin;
select plan(81);

select tests.create_community('Alder', time_zone => 'Europe/Sofia'), tests.create_community('Cedar', time_zone => 'Europe/Sofia');
select tests.create_supabase_user(u) from unnest('{manager,guard,owner,foreign,fired}'::text[]) u;
select tests.create_unit('1', 'Alder');
select tests.create_resident('Owner', 'Alder', tests.email('owner')), tests.occupy('Owner', '1', 'owner', current_date - 100);
select tests.grant_role('manager', 'manager', community => 'Alder'), tests.grant_role('guard', 'guard', community => 'Alder'), tests.grant_role('foreign', 'manager', community => 'Cedar'),
  tests.grant_role('fired', 'manager', community => 'Alder');
select tests.keep('fired_token', tests.claims('fired'));
create function pg_temp.match(full_name text default null, document_number text default null, phone text default null, plate text default null) returns text language sql stable as $$
  select coalesce(string_agg(concat_ws(' ', c.match, c.matched), ', ' order by c.match, c.matched), 'nobody') from public.check_blacklist(tests.id('Alder'), match.full_name, match.document_number, match.phone, match.plate) c
$$;
do $$ begin execute format('grant execute on all functions in schema %I to anon, authenticated, service_role', pg_my_temp_schema()::regnamespace); end $$;

-- Comparing -------------------------------------------------------------------------------------------------------------

select is(app.name_key(n.written), n.key, n.written || ' is compared as ' || n.key)
from (values ('Иван Петров', 'ivan petrov'), ('  IVAN   Petrov', 'ivan petrov'), ('Щерьо Цветков', 'shteryo tsvetkov'), ('Θωμάς', 'thomas'), ('José Ñandú', 'jose nandu')) n (written, key);
select is(app.name_sound(app.name_key(n.written)), n.sound, n.written || ' sounds like ' || n.sound)
from (values ('Димитър Великов', 'dimitar velikov'), ('Dimitar Welikoff', 'dimitar velikov'), ('Iuliia Iordanova', 'iulia iordanova'), ('Юлия Йорданова', 'iulia iordanova'), ('Gueorgui Philipoff', 'georgi filipov'), ('Xenia Offer', 'ksenia ofer')) n (written, sound);
select is((select array_agg(r order by r) from unnest(app.name_readings('Реtkо Mapков')) r), '{"petko mapkob","retko mapkov","retko markov"}'::text[], 'a word whose letters all look like those of the other script is read both ways');
select is(app.phone_tail(p.written), p.tail, p.written || ' ends in ' || coalesce(p.tail, 'nothing'))
from (values ('+359 88 555 0102', '885550102'), ('088/555-0102', '885550102'), ('112', null)) p (written, tail);

-- Keeping it --------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select tests.keep('entry', e.entry_id), tests.keep('number', e.number)
from public.add_blacklist_entry(tests.id('Alder'), 'Stole parcels', 'Иван Петров', 'BG 123-456', '+359 88 555 0102', 'CB 1234 AB', ends_at => now() + interval '1 year') e;
select is(tests.kept('number'), to_char(now() at time zone 'Europe/Sofia', 'YYYY') || '/0001', 'an entry gets the next number of the year''s protocol');
select is((select e.number from public.add_blacklist_entry(tests.id('Alder'), 'Broke the gate', 'Γιώργος Παπαδόπουλος') e), to_char(now() at time zone 'Europe/Sofia', 'YYYY') || '/0002', 'and the one after it the one after');
select is((select e.number from public.add_blacklist_entry(tests.id('Alder'), 'Judgement', plate => 'CB 9090 AB', protocol_number => 'Court 7/2026') e), 'Court 7/2026', 'or the one it is given');
select throws_ok($$select public.add_blacklist_entry(tests.id('Alder'), 'Again', plate => 'CB 9091 AB', protocol_number => 'Court 7/2026')$$, 'PT409', 'protocol_number_taken', 'which nobody has already');
select throws_ok($$select public.add_blacklist_entry(tests.id('Alder'), 'Nobody')$$, 'PT422', 'invalid_value', 'an entry has something to be known by');
select throws_ok($$select public.add_blacklist_entry(tests.id('Alder'), ' ', 'Somebody')$$, 'PT422', 'reason_required', 'and a reason');
select throws_ok($$select public.add_blacklist_entry(tests.id('Alder'), 'x', phone => 'call me')$$, 'PT422', 'invalid_value', 'a telephone number is one');
select throws_ok($$select public.add_blacklist_entry(tests.id('Alder'), 'x', document_number => '---')$$, 'PT422', 'invalid_value', 'a document has letters or digits');
select throws_ok($$select public.add_blacklist_entry(tests.id('Alder'), 'x', 'Somebody', ends_at => now() - interval '1 day')$$, 'PT422', 'invalid_value', 'it ends after it begins');
select is((select count(*) from public.blacklist_entries), 3::bigint, 'of what was refused nothing is stored');
select throws_ok($$insert into public.blacklist_entries (community_id, full_name, protocol_number, reason) values (tests.id('Alder'), 'Enemy', 'x', 'x')$$, '42501', null, 'nobody writes past the RPC');

-- Matching ----------------------------------------------------------------------------------------------------------------

select is(pg_temp.match(m.full_name, m.document, m.phone, m.plate), m.expected, m.why)
from (values
  ('Иван Петров', null, null, null, 'exact name', 'the same name'),
  ('Ivan Petrov', null, null, null, 'exact name', 'the same name in other letters'),
  ('Petrov, Ivan', null, null, null, 'near name', 'the other way round'),
  ('Ivan Petrof', null, null, null, 'near name', 'a slip'),
  ('Ivan Petrov', 'BG 999999', null, null, 'near name', 'a namesake with a document of their own is looked at'),
  ('Maria Koleva', null, null, null, 'nobody', 'another name'),
  ('Giorgos Papadopoulos', null, null, null, 'near name', 'Greek in Latin letters'),
  ('Ivаn Реtrоv', null, null, null, 'exact name', 'Cyrillic letters in a Latin name, which look the same'),
  ('Ивaн Пeтpoв', null, null, null, 'exact name', 'Latin letters in a Cyrillic one'),
  ('Iνan Ρεtrον', null, null, null, 'exact name', 'Greek letters in a Latin one'),
  (U&'Iv\200Ban Pet\2060r\00ADov', null, null, null, 'exact name', 'characters that nobody sees'),
  (null, null, '+359 088 555 0102', null, 'near phone', 'the zero of the trunk after the country''s code'),
  (null, null, U&'\FF10\FF18\FF18 \FF15\FF15\FF15 \FF10\FF11\FF10\FF12', null, 'near phone', 'full-width digits'),
  (null, 'bg123456', null, null, 'exact document', 'the document, however it is written'),
  (null, 'BG 123-457', null, null, 'nobody', 'another document'),
  (null, null, '00359885550102', null, 'exact phone', 'the telephone, however it is written'),
  (null, null, '088 555 0102', null, 'near phone', 'without its country it could be another''s'),
  (null, null, '+49 88 555 0102', null, 'nobody', 'of another country it is another''s'),
  (null, null, null, 'св-1234-ав', 'exact plate', 'the plate in other letters'),
  (null, null, null, 'CB 1235 AB', 'near plate', 'a misreading'),
  (null, null, null, 'CB 1255 AB', 'nobody', 'two of them'),
  ('Иван Петров', 'BG 123-456', '+359 88 555 0102', 'CB 1234 AB', 'exact document', 'one person is told once, by the best')
) m (full_name, document, phone, plate, expected, why);
-- One name as passports, clerks and the person write it. Each is asked about, and none is denied.
select public.add_blacklist_entry(tests.id('Alder'), 'Broke a window', f) from unnest('{Димитър Великов,Юлия Йорданова}'::text[]) f;
select is(pg_temp.match(n.written), 'near name', n.written || ' is near')
from unnest('{Dimitur Velikoff,Dimitar Welikow,"Dimitre Velikov",Julia Jordanova,Iuliia Iordanova,Ivan Petroff,Iwan Petrow}'::text[]) n (written);
select is(pg_temp.match(n.written), 'nobody', n.written || ' is another')
from unnest('{Dimitar Vasilev,Dimitrina Velikova,Julian Petkov,Ivan Pavlov,Vanya Petrova}'::text[]) n (written);
select tests.authenticate_as('guard');
select is(pg_temp.match('Ivan Petrov'), 'exact name', 'guards look somebody up');
select throws_ok($$select public.check_blacklist(tests.id('Alder'))$$, 'PT422', 'invalid_value', 'by something');
select throws_ok($$select public.add_blacklist_entry(tests.id('Alder'), 'x', 'Somebody')$$, 'PT403', 'permission_denied', 'and put nobody on it');
select throws_ok($$select public.lift_blacklist_entry(tests.kept('entry')::uuid, 'Friend')$$, 'PT403', 'permission_denied', 'nor take anybody off it');
select tests.authenticate_as('owner');
select is(tests.seen('public.blacklist_entries', 'protocol_number'), 'nothing', 'residents do not see it');
select throws_ok($$select pg_temp.match('Ivan Petrov')$$, 'PT403', 'permission_denied', 'nor ask it');
select tests.authenticate_as('foreign');
select throws_ok($$select pg_temp.match('Ivan Petrov')$$, 'PT403', 'permission_denied', 'a manager of another community does not');
select throws_ok($$select public.lift_blacklist_entry(tests.kept('entry')::uuid, 'x')$$, 'PT404', 'blacklist_entry_not_found', 'and finds nothing to lift');
select tests.as_studio();
select public.revoke_role(m.id) from public.memberships m where m.user_id = tests.id('fired');
select tests.authenticate_with(tests.kept('fired_token')::jsonb);
select throws_ok($$select public.lift_blacklist_entry(tests.kept('entry')::uuid, 'Friend')$$, 'PT404', 'blacklist_entry_not_found', 'nor does a fired manager whose token still lives');

-- Evidence, end and forgetting ----------------------------------------------------------------------------------------------

select tests.as_studio();
insert into public.files (id, name, community_id, purpose, bucket, content_type, size, status, stored_at)
select tests.id(p.key), 'camera.jpg', tests.id('Alder'), p.key, p.bucket, 'image/jpeg', 10, 'stored', now() from public.file_purposes p where p.key in ('access.evidence', 'member.document');
select tests.authenticate_as('manager');
select is(public.add_blacklist_evidence(tests.kept('entry')::uuid, tests.id('access.evidence')), public.add_blacklist_evidence(tests.kept('entry')::uuid, tests.id('access.evidence')), 'evidence is added once');
select throws_ok($$select public.add_blacklist_evidence(tests.kept('entry')::uuid, tests.id('member.document'))$$, 'PT404', 'file_not_found', 'and is evidence');
select tests.authenticate_as('guard');
select is(tests.seen('public.blacklist_evidence', 'file_id') || ', ' || tests.seen('public.files', 'name'), 'nothing, nothing', 'guards see the entry, and not what it rests on');
select tests.authenticate_as('manager');
select lives_ok($$select public.change_blacklist_entry(tests.kept('entry')::uuid, now() + interval '1 second', 'Until the court has spoken')$$, 'an entry may end earlier');
select tests.as_studio();
select is((select count(*) from app.blacklist_match(tests.id('Alder'), 'Ivan Petrov', null, null, null, now() + interval '2 seconds')), 0::bigint, 'after its end it matches nobody');
select tests.authenticate_as('manager');
select lives_ok($$select public.lift_blacklist_entry(tests.kept('entry')::uuid, 'Acquitted')$$, 'an entry is lifted');
select throws_ok($$select public.change_blacklist_entry(tests.kept('entry')::uuid, null)$$, 'PT409', 'blacklist_entry_lifted', 'and stays so');
select is(pg_temp.match('Ivan Petrov'), 'nobody', 'whoever was on it is let in');
select tests.as_studio();
set local session_replication_role = replica;
update public.blacklist_entries set lifted_at = now() - interval '366 days', starts_at = now() - interval '400 days', ends_at = null where id = tests.kept('entry')::uuid;
set local session_replication_role = origin;
select lives_ok('select app.job_blacklist_retention()', 'the retention job');
select results_eq($$select e.full_name, e.document_number, e.phone, e.plate, coalesce(e.name_key, e.name_sound), e.protocol_number, e.forgotten_at is not null from public.blacklist_entries e where e.id = tests.kept('entry')::uuid$$,
  $$values (null::text, null::text, null::text, null::text, null::text, tests.kept('number'), true)$$, 'forgets the person a year after the end, and keeps the entry');
select is((select count(*) from audit.log l where l.row_id = tests.kept('entry')::uuid and l.changes::text ~ 'Петров|petrov|123456|885550102|1234A'), 0::bigint, 'the audit log forgets too');
select is((select count(*) from public.blacklist_entries e where e.community_id = tests.id('Alder') and num_nonnulls(e.full_name, e.plate) > 0), 4::bigint, 'and of the others nothing is forgotten');

select * from finish();
rollback;
