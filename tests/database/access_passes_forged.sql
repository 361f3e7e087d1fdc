-- Passes that nobody issued: whatever is done to the text of a pass, it opens nothing.

begin;
select plan(38);

select tests.create_community('Alder'), tests.create_community('Cedar');
select tests.create_unit('1', 'Alder'), tests.create_unit('9', 'Cedar');
select tests.create_resident('Ana', 'Alder');

-- Three passes of each kind, as their tables and keys make them.
insert into public.visitor_invitations (id, title, community_id, unit_id, kind, visitor_name, starts_at, ends_at, max_entries)
select tests.id('party ' || n), 'Party', tests.id('Alder'), tests.id('1'), 'single', 'Visitor', now() - interval '1 hour', now() + interval '1 day', 1 from generate_series(1, 6) n;
select app.make_pass_key(tests.id('Alder'), 'ed25519', extensions.gen_random_bytes(32), extensions.gen_random_bytes(32)) is not null;
insert into public.passes (id, community_id, kind, invitation_id, kid, starts_at, ends_at, max_uses)
select tests.id('pass ' || n), tests.id('Alder'), 'visitor', tests.id('party ' || n),
  case when n <= 3 then app.signing_pass_key(tests.id('Alder')) else (select k.kid from private.pass_keys k where k.algorithm = 'ed25519') end,
  date_trunc('second', now()), date_trunc('second', now()) + interval '1 day', 1
from generate_series(1, 6) n;
insert into public.passes (id, community_id, kind, resident_id, kid, starts_at, ends_at)
values (tests.id('own pass'), tests.id('Alder'), 'resident', tests.id('Ana'), app.signing_pass_key(tests.id('Alder')), date_trunc('second', now()), date_trunc('second', now()) + interval '90 days');

create temporary table genuine as
select n, app.pass_text(p) as text from generate_series(1, 3) n join public.passes p on p.id = tests.id('pass ' || n)
union all
-- Any signature will do: the database knows the one text by its hash.
select n, format('v2.%s.%s.%s', p.kid, app.pass_payload(p), app.base64url(extensions.gen_random_bytes(64))) from generate_series(4, 6) n join public.passes p on p.id = tests.id('pass ' || n)
union all
select 6 + n, app.resident_pass_text(p.id, p.kid, app.resident_seed(p), (extract(epoch from now()) / 30)::integer - 1 + n) from generate_series(0, 1) n join public.passes p on p.id = tests.id('own pass');
update public.passes p set digest = sha256(convert_to(g.text, 'UTF8')) from genuine g where g.n between 4 and 6 and p.id = tests.id('pass ' || g.n);

select is((select count(*) from genuine g cross join lateral app.read_pass(tests.id('Alder'), g.text, now()) r where r.reason is null), 8::bigint, 'what was issued is good, of each kind');
select is((select array_agg(distinct length(g.text) order by length(g.text)) from genuine g), '{83,90,133}', 'a pass has 90 characters, 133 for an offline gate, 83 when it is a resident''s');
select is((select count(*) from genuine g where g.text ~ '[^A-Za-z0-9_.-]'), 0::bigint, 'of letters, digits, dots, dashes and underscores');

-- 100,000 forgeries --------------------------------------------------------------------------------------------------------

select setseed(0.5);
create temporary table forged as
select distinct m.text
from (
  select g.*, o.text as other, t.way, 1 + floor(random() * length(g.text))::integer as at, 1 + floor(random() * length(g.text))::integer as at_too,
    chr(33 + floor(random() * 94)::integer) as letter, substr('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_', 1 + floor(random() * 64)::integer, 1) as digit,
    string_to_array(g.text, '.') as parts, string_to_array(o.text, '.') as others
  from generate_series(1, 18000) s (count)
  cross join generate_series(1, 10) t (way)
  join genuine g on g.n = 1 + (s.count * 7 + t.way) % 8
  join genuine o on o.n = 1 + (s.count * 3 + t.way * 5 + 1) % 8
) g
cross join lateral (
  select case g.way
    when 1 then overlay(g.text placing g.letter from g.at for 1)
    when 2 then overlay(g.text placing g.digit from g.at for 1)
    when 3 then overlay(overlay(g.text placing g.digit from g.at for 1) placing g.digit from g.at_too for 1)
    when 4 then left(g.text, g.at - 1) || left(g.letter, (random() * 2)::integer)
    when 5 then g.text || repeat(g.letter, 1 + g.at)
    when 6 then overlay(g.text placing g.digit from g.at for 0)
    when 7 then overlay(g.text placing '' from g.at for 1)
    when 8 then overlay(overlay(g.text placing substr(g.text, g.at_too, 1) from g.at for 1) placing substr(g.text, g.at, 1) from g.at_too for 1)
    -- Parts of several passes, and a window, a pass or a step of one's own under somebody's signature.
    when 9 then array_to_string(array[g.parts[1], g.others[2], case when random() < 0.5 then g.parts[3] else g.others[3] end, case when random() < 0.5 then g.parts[4] else g.others[4] end], '.')
    else format('%s.%s.%s.%s', g.parts[1], g.parts[2], app.base64url(
      case g.parts[1] when 'r1' then decode(replace(extensions.uuidv7()::text, '-', ''), 'hex') || decode(lpad(to_hex((random() * 2147483647)::integer), 8, '0'), 'hex')
        else '\x01'::bytea || decode(replace(tests.id('pass ' || 1 + g.at % 3)::text, '-', ''), 'hex') || app.pass_window(now() - interval '1 day', now() + make_interval(hours => g.at_too)) end), g.parts[4])
    end as text
) m
where m.text not in (select x.text from genuine x);

select is((select count(*) from genuine g cross join generate_series(1, length(g.text)) at cross join generate_series(33, 126) letter
  cross join lateral app.read_pass(tests.id('Alder'), overlay(g.text placing chr(letter) from at for 1), now()) r
  where g.n in (1, 4, 7) and substr(g.text, at, 1) <> chr(letter) and r.reason is null), 0::bigint, 'no character of a pass can be replaced by any other');
select is((select count(*) from genuine g cross join generate_series(0, length(g.text) - 1) at
  cross join lateral app.read_pass(tests.id('Alder'), left(g.text, at), now()) r where r.reason is distinct from 'malformed_pass'), 0::bigint, 'no beginning of a pass is one');
select cmp_ok((select count(*) from forged), '>=', 100000::bigint, '100,000 texts that are nearly a pass');
select is((select coalesce(string_agg(f.text, ' '), 'none') from forged f cross join lateral app.read_pass(tests.id('Alder'), f.text, now()) r where r.reason is null), 'none', 'none of them opens');
select is((select array_agg(distinct r.reason order by r.reason) from (select f.text from forged f order by f.text limit 20000) f cross join lateral app.read_pass(tests.id('Alder'), f.text, now()) r),
  '{bad_signature,malformed_pass,unknown_key}', 'and none is taken for one that has expired or was revoked: nothing is said of what was not signed');

-- Each kind of forgery, by name --------------------------------------------------------------------------------------------

create function pg_temp.reason(text) returns text language sql as $$ select r.reason from app.read_pass(tests.id('Alder'), $1, now()) r $$;
create function pg_temp.pass(integer default 1) returns text language sql as $$ select g.text from genuine g where g.n = $1 $$;

select is(pg_temp.reason(v.written), 'malformed_pass', format('%s is no pass', v.what))
from (values (null, 'nothing'), ('', 'an empty text'), ('...', 'three dots'), (repeat('A', 10240), 'a text of 10 kB'), (repeat('.', 10240), '10 kB of dots'),
  (left(pg_temp.pass(), -1), 'a pass without its last character'), (split_part(pg_temp.pass(), '.', 1), 'its version alone'),
  (pg_temp.pass() || '=', 'a pass with padding'), (pg_temp.pass() || E'\n', 'a pass with a line break'), (' ' || pg_temp.pass(), 'a pass after a space'),
  (replace(pg_temp.pass(), '.', '%2E'), 'a pass encoded for an address'), (pg_temp.pass() || '.' || split_part(pg_temp.pass(), '.', 4), 'a pass with two signatures'),
  (replace(upper(pg_temp.pass()), 'V1', 'v3'), 'a version that does not exist'), ('👋' || pg_temp.pass(), 'a pass and a picture'),
  (encode(convert_to(pg_temp.pass(), 'UTF8'), 'hex'), 'a pass in hexadecimal')) v (written, what);

-- Two bits of the last character of a signature of 32 bytes say nothing, four of one of 25 bytes or 64.
select is(pg_temp.reason(left(g.text, -1) || 'B'), 'malformed_pass', format('the spare bits of %s are zero', left(g.text, 2))) from genuine g where g.n in (1, 4, 7);
select is(pg_temp.reason(format('v1.%s.%s%s.%s', split_part(pg_temp.pass(), '.', 2), left(split_part(pg_temp.pass(), '.', 3), -1),
  chr(ascii(right(split_part(pg_temp.pass(), '.', 3), 1)) + 1), split_part(pg_temp.pass(), '.', 4))), 'malformed_pass', 'and so are those of the payload');
select is(pg_temp.reason('v2' || substr(pg_temp.pass(), 3)), 'malformed_pass', 'a signature of one kind is none of another');
select is(pg_temp.reason(format('v2.%s.%s.%s', split_part(pg_temp.pass(), '.', 2), split_part(pg_temp.pass(4), '.', 3), split_part(pg_temp.pass(4), '.', 4))), 'unknown_key',
  'and neither is a key of one kind');
select is(pg_temp.reason(format('v1.%s.%s.%s', split_part(pg_temp.pass(4), '.', 2), split_part(pg_temp.pass(), '.', 3), split_part(pg_temp.pass(), '.', 4))), 'unknown_key', 'nor the other way round');
select is(pg_temp.reason(format('v1.%s.%s.%s', split_part(pg_temp.pass(), '.', 2), split_part(pg_temp.pass(2), '.', 3), split_part(pg_temp.pass(), '.', 4))), 'bad_signature',
  'the payload of another pass takes its own signature');

-- The thief of a key ---------------------------------------------------------------------------------------------------------

create function pg_temp.signed(community uuid, payload bytea, version text default 'v1') returns text language sql as $$
  select s.signed || '.' || app.base64url(extensions.hmac(convert_to(s.signed, 'UTF8'), app.pass_secret(k), 'sha256'))
  from private.pass_keys k cross join lateral (select format('%s.%s.%s', version, k.kid, app.base64url(payload)) as signed) s
  where k.community_id = community and k.algorithm = 'hs256' and k.revoked_at is null
  order by k.created_at desc limit 1
$$;
create function pg_temp.payload(pass text, starts_at timestamptz, ends_at timestamptz) returns bytea language sql as $$
  select '\x01'::bytea || decode(replace(tests.id(pass)::text, '-', ''), 'hex') || app.pass_window(starts_at, ends_at)
$$;
select is(pg_temp.signed(tests.id('Alder'), pg_temp.payload('pass 1', date_trunc('second', now()), date_trunc('second', now()) + interval '1 day')), pg_temp.pass(), 'whoever has the key can make the pass that was issued');
select is(pg_temp.reason(pg_temp.signed(tests.id('Alder'), pg_temp.payload('no pass', now(), now() + interval '1 day'))), 'unknown_pass', 'but none that was not');
select is(pg_temp.reason(pg_temp.signed(tests.id('Alder'), pg_temp.payload('pass 1', date_trunc('second', now()), date_trunc('second', now()) + interval '9 days'))), 'bad_signature', 'nor one that lasts longer');
select is(pg_temp.reason(pg_temp.signed(tests.id('Alder'), pg_temp.payload('own pass', date_trunc('second', now()), date_trunc('second', now()) + interval '90 days'))), 'bad_signature',
  'nor a resident''s that does not change');
select is(pg_temp.reason(pg_temp.signed(tests.id('Alder'), '\x02'::bytea || substr(pg_temp.payload('pass 1', date_trunc('second', now()), date_trunc('second', now()) + interval '1 day'), 2))), 'malformed_pass',
  'nor one of a format to come');
select app.signing_pass_key(tests.id('Cedar')) is not null;
select is(pg_temp.reason(pg_temp.signed(tests.id('Cedar'), pg_temp.payload('pass 1', date_trunc('second', now()), date_trunc('second', now()) + interval '1 day'))), 'wrong_community',
  'the key of another community opens nothing here');
select is((select r.reason from app.read_pass(tests.id('Cedar'), pg_temp.signed(tests.id('Cedar'), pg_temp.payload('pass 1', date_trunc('second', now()), date_trunc('second', now()) + interval '1 day')), now()) r), 'unknown_pass',
  'and at home it makes no pass of a stranger''s id');

select * from finish();
rollback;
