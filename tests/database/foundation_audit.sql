-- The audit log: who changed what, and how it was before; append-only for everybody.

begin;
select plan(47);

select tests.create_community('Alder');
select tests.create_supabase_user('manager'), tests.create_supabase_user('outsider');
select tests.grant_role('manager', 'manager', community => 'Alder');

create function pg_temp.entry(identifier text) returns audit.log language sql as
$$ select l from audit.log l where l.row_id = tests.id(identifier) order by l.id desc limit 1 $$;
create function pg_temp.entries(identifier text) returns bigint language sql as
$$ select count(*) from audit.log l where l.row_id = tests.id(identifier) $$;

-- What is recorded ---------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
insert into public.units (id, community_id, number, floor) values (tests.id('1A'), tests.id('Alder'), '1A', 3);
select tests.as_studio();
select is(pg_temp.entries('1A'), 1::bigint, 'an insert leaves one entry');
select is((pg_temp.entry('1A')).operation, 'insert', 'and it is an insert');
select is((pg_temp.entry('1A')).changes::jsonb -> 'number', '"1A"', 'an insert tells the values');
select ok(not (pg_temp.entry('1A')).changes::jsonb ? 'area', 'and leaves out what is null');
select is((pg_temp.entry('1A')).table_id, 'public.units'::regclass, 'an entry names the table');
select is((pg_temp.entry('1A')).community_id, tests.id('Alder'), 'an entry names the community');
select is((pg_temp.entry('1A')).actor_id, tests.id('manager'), 'an entry names the user who made the change');
select is((pg_temp.entry('1A')).actor_label, null, 'and then no label');

select tests.authenticate_as('manager');
update public.units set floor = 4, area = 61.5 where id = tests.id('1A');
select tests.as_studio();
select is((pg_temp.entry('1A')).changes::jsonb, '{"floor": [3, 4], "area": [null, 61.50]}', 'an update tells the changed columns alone, before and after');
select tests.keep('entries', pg_temp.entries('1A'));
update public.units set floor = 4 where id = tests.id('1A');
select is(pg_temp.entries('1A'), tests.kept('entries')::bigint, 'an update that changes nothing leaves no entry');

insert into public.units (id, community_id, number) select tests.id('bulk ' || n), tests.id('Alder'), 'bulk ' || n from generate_series(1, 3) n;
update public.units set floor = 7 where id in (tests.id('bulk 1'), tests.id('bulk 2'), tests.id('bulk 3'));
select is(
  (select count(*) from audit.log where row_id in (tests.id('bulk 1'), tests.id('bulk 2'), tests.id('bulk 3')) and changes::jsonb = '{"floor": [null, 7]}'), 3::bigint,
  'a statement that changes three rows leaves three entries');

insert into public.roles (id, level, key, name, community_id) values (tests.id('caretaker'), 'community', 'caretaker', 'Caretaker', tests.id('Alder'));
insert into public.role_permissions (id, role_id, permission_key) values (tests.id('link'), tests.id('caretaker'), 'units.read');
delete from public.role_permissions where id = tests.id('link');
select is((pg_temp.entry('link')).operation, 'delete', 'a delete leaves an entry');
select is((pg_temp.entry('link')).changes::jsonb ->> 'permission_key', 'units.read', 'which tells the row as it was');

-- Whatever a column is of, an entry tells what to_jsonb tells of it; and so it is if the table changes after it was tracked.
create table public.kinds (
  id uuid not null default extensions.uuidv7(),
  a_text text default 't', b_uuid uuid default gen_random_uuid(), c_enum public.audit_operation default 'insert', d_integer integer default 1, e_numeric numeric default 1.50,
  f_float double precision default 1e20, g_boolean boolean default true, h_date date default '2026-01-31', i_time timestamptz default '2026-01-31 12:00+02', j_jsonb jsonb default '{"a": null}',
  k_array text[] default '{a,null}', l_range daterange default '[2026-01-01,2026-02-01)', "m odd, name" text default 'odd', n_infinite numeric default 'NaN', o_secret text default 'SECRET-3',
  p_later integer default 7, r_money numeric(10, 2) default 1.5, s_interval interval default '1 day', "t 100% 'quoted'" text default E'a\n"b"', u_json json default '{"b": 1,  "a": 2}', w_bytes bytea default '\x00ff',
  like app.row_model including defaults
);
select app.track('public.kinds', secrets => '{o_secret}', deletable => true);
insert into public.kinds (id) values (tests.id('kinds')), (tests.id('other kinds'));
create function pg_temp.row_as_json(identifier text) returns jsonb language sql as $$ select to_jsonb(k) from public.kinds k where k.id = tests.id(identifier) $$;
select is(
  (pg_temp.entry('kinds')).changes::jsonb,
  (pg_temp.row_as_json('kinds') - '{id,created_at,updated_at,created_by,updated_by,deleted_at}'::text[]) || '{"o_secret": "[redacted]"}', 'an insert tells a column of any type as it is, and of a secret that there is one');

create temporary table told (stage text, name text, before jsonb, after jsonb, entry jsonb);
create function pg_temp.tell(stage text) returns void language plpgsql as $$
declare
  name text;
  shown jsonb;
begin
  for name in select a.attname from pg_attribute a where a.attrelid = 'public.kinds'::regclass and a.attnum > 0 and not a.attisdropped
    and a.attname !~ '^(id|(created|updated|deleted)_(at|by))$' order by a.attnum
  loop
    -- To null and back, so that each value stands on either side; of one row, and then of two at once.
    shown := pg_temp.row_as_json('kinds') -> name;
    execute format('update public.kinds set %I = null where id = tests.id(''kinds'')', name);
    insert into told select stage, name, shown, 'null', (pg_temp.entry('kinds')).changes::jsonb;
    execute format('update public.kinds set %1$I = (select o.%1$I from public.kinds o where o.id = tests.id(''other kinds'')) where id = tests.id(''kinds'')', name);
    shown := pg_temp.row_as_json('kinds') -> name;
    insert into told select stage, name, 'null', shown, (pg_temp.entry('kinds')).changes::jsonb;
    execute format('update public.kinds set %1$I = null', name);
    insert into told select stage, name, shown, 'null', (pg_temp.entry(i)).changes::jsonb from unnest('{kinds,other kinds}'::text[]) i;
    execute format('update public.kinds k set %1$I = (jsonb_populate_record(k, jsonb_build_object(%1$L, $1))).%1$I', name) using shown;
  end loop;
end;
$$;
create function pg_temp.untrue(stage text) returns setof told language sql as $$
  select t.* from told t
  where t.stage = untrue.stage and t.entry is distinct from jsonb_build_object(t.name, case when t.name = 'o_secret' then '["[redacted]", "[redacted]"]' else jsonb_build_array(t.before, t.after) end)
$$;

select pg_temp.tell('as tracked');
select is_empty($$select * from pg_temp.untrue('as tracked')$$, 'an update tells a column of any type as it is, of one row and of several; a secret is redacted');
alter table public.kinds alter column p_later type text using 'no number', add column q_added boolean default false;
alter table public.kinds rename column a_text to a_renamed;
select pg_temp.tell('altered');
select is_empty($$select * from pg_temp.untrue('altered')$$, 'and so it is of a column that was renamed, altered or added since the table was tracked');
alter table public.kinds drop column b_uuid, drop column r_money;
select pg_temp.tell('dropped');
select is_empty($$select * from pg_temp.untrue('dropped')$$, 'and after others were dropped');
insert into public.kinds (id, q_added) values (tests.id('added kinds'), true);
select is((pg_temp.entry('added kinds')).changes::jsonb -> 'q_added', 'true', 'which an insert tells too');
select tests.keep('gone', pg_temp.row_as_json('added kinds'));
delete from public.kinds where id = tests.id('added kinds');
select is((pg_temp.entry('added kinds')).changes::jsonb ->> 'q_added', 'true', 'and a delete');
select app.track('public.kinds', secrets => '{o_secret}', deletable => true);
select pg_temp.tell('tracked again');
select is_empty($$select * from pg_temp.untrue('tracked again')$$, 'and when it was tracked again');
select is((select string_agg(t.stage || ' ' || t.count, ', ' order by t.stage) from (select stage, count(*) from told group by stage) t), 'altered 88, as tracked 84, dropped 80, tracked again 80', '(of each column four times)');

-- What is equal and reads otherwise has changed.
update public.kinds set e_numeric = 1.500, s_interval = '24 hours', j_jsonb = '{"a": 1.0}' where id = tests.id('kinds');
update public.kinds set e_numeric = 1.5, s_interval = '1 day', j_jsonb = '{"a": 1.00}' where id = tests.id('kinds');
select is((pg_temp.entry('kinds')).changes, '{"e_numeric" : [1.500, 1.5], "j_jsonb" : [{"a": 1.0}, {"a": 1.00}], "s_interval" : ["24:00:00", "1 day"]}', 'what is equal and reads otherwise has changed');
delete from public.kinds where id = tests.id('kinds');
select is(
  (pg_temp.entry('kinds')).changes::jsonb - '{updated_at,created_at,id}'::text[], jsonb_strip_nulls(pg_temp.row_as_json('other kinds') || '{"e_numeric": 1.5, "s_interval": "1 day", "j_jsonb": {"a": 1.00}, "o_secret": "[redacted]"}') - '{updated_at,created_at,id}'::text[],
  'a delete tells the row as it was, a secret redacted');

-- Nothing is written for statements that find no row, not even from where they came.
select set_config('request.headers', '{"x-forwarded-for": "203.0.113.5"}', true);
select tests.keep('entries', (select count(*) from audit.log));
update public.units set floor = 9 where false;
insert into public.units (community_id, number) select tests.id('Alder'), 'none' where false;
update public.units set floor = floor where id = tests.id('1A');
select is((select count(*) from audit.log), tests.kept('entries')::bigint, 'a statement that changes no row leaves no entry');
select is_empty($$select from audit.origins o where o.address = '203.0.113.5'$$, 'nor from where it came');
select set_config('request.headers', '', true);

-- Who is recorded ----------------------------------------------------------------------------------------------------

select is((pg_temp.entry('link')).actor_label, 'studio:postgres', 'a change made in Studio or SQL is by studio:postgres');
select is((pg_temp.entry('link')).actor_id, null, 'and by no user');

select tests.authenticate_as_service_role();
update public.units set floor = 5 where id = tests.id('1A');
select tests.as_studio();
select is((pg_temp.entry('1A')).actor_label, 'service_role', 'a change made with the secret key is by service_role');

select set_config('app.actor', 'job:test', true);
update public.units set floor = 6 where id = tests.id('1A');
select is((pg_temp.entry('1A')).actor_label, 'job:test', 'a change made by a job is by that job');
select set_config('app.actor', '', true);

select tests.authenticate_as('manager');
select set_config('app.actor', 'job:pretended', true);
update public.units set floor = 7 where id = tests.id('1A');
select tests.as_studio();
select is(row((pg_temp.entry('1A')).actor_id, (pg_temp.entry('1A')).actor_label)::text, row(tests.id('manager'), null)::text, 'a user cannot pass for a job');
select set_config('app.actor', '', true);

select set_config('app.reason', 'Measured again.', true);
update public.units set floor = 8 where id = tests.id('1A');
select is((pg_temp.entry('1A')).note, 'Measured again.', 'a reason that was given is kept');
select set_config('app.reason', '', true);

select is((pg_temp.entry('1A')).transaction_id, pg_current_xact_id(), 'an entry names the transaction');

-- Secrets ------------------------------------------------------------------------------------------------------------

select tests.create_resident('Ana', 'Alder');
insert into public.resident_details (id, community_id, resident_id, phone, identity_number) values (tests.id('details'), tests.id('Alder'), tests.id('Ana'), '+359 2 555 0101', 'SECRET-1');
update public.resident_details set identity_number = 'SECRET-2', phone = '+359 2 555 0102' where id = tests.id('details');
select is(
  (pg_temp.entry('details')).changes::jsonb, '{"phone": ["+359 2 555 0101", "+359 2 555 0102"], "identity_number": ["[redacted]", "[redacted]"]}',
  'that a secret changed is told, its values are not');
select is((select count(*) from audit.log where changes::text like '%SECRET%'), 0::bigint, 'no secret is found anywhere in the log');
select is(
  (select changes::jsonb ->> 'identity_number' from audit.log where row_id = tests.id('details') and operation = 'insert'), '[redacted]', 'an insert tells that there is a secret');

-- Append-only --------------------------------------------------------------------------------------------------------

select throws_ok('update audit.log set note = null', 'PT409', 'append_only', 'the owner may not change an entry');
select throws_ok('delete from audit.log', 'PT409', 'append_only', 'the owner may not remove an entry');
select throws_ok('truncate audit.log', 'PT409', 'append_only', 'the owner may not empty the log');
select is_empty(
  $$select p.inhrelid::regclass from pg_inherits p where p.inhparent = 'audit.log'::regclass
    and not exists (select from pg_trigger g where g.tgrelid = p.inhrelid and g.tgname = '_100_append_only' and g.tgenabled = 'O')$$,
  'every partition refuses by itself');
select throws_ok('delete from audit.log_default', 'PT409', 'append_only', 'a partition may not be emptied past its parent');
select tests.authenticate_as_service_role();
select throws_ok($$insert into audit.log (table_id, operation, changes) values ('public.units', 'insert', '{}')$$, '42501', null, 'not even the secret key may write an entry');
select tests.as_studio();

-- Partitions ---------------------------------------------------------------------------------------------------------

select is(
  (select count(*) from pg_inherits where inhparent = 'audit.log'::regclass and inhrelid::regclass::text in (
    select 'audit.' || to_char(date_trunc('month', now() at time zone 'UTC') + make_interval(months => m), '"log_y"YYYY"m"MM') from generate_series(0, 3) m)),
  4::bigint, 'there are partitions for this month and the three after it');
select is(app.ensure_partitions('audit.log'), 0, 'asking for partitions again makes none');
select is(app.ensure_partitions('audit.log', 5), 2, 'asking for more months makes those that are missing');

insert into audit.log (recorded_at, table_id, operation, row_id, changes) values (now() + interval '12 months', 'public.units', 'insert', tests.id('far'), '{}');
select is((select tableoid::regclass::text from audit.log where row_id = tests.id('far')), 'audit.log_default', 'an entry without a partition goes to the default one');

-- Reading ------------------------------------------------------------------------------------------------------------

select tests.authenticate_as('manager');
select is((select distinct table_name from public.audit_log where row_id = tests.id('1A')), 'units', 'who holds audit.read sees the log of the own community');
select tests.authenticate_as('outsider');
select is_empty('select * from public.audit_log', 'who does not sees none of it');

select * from finish();
rollback;
