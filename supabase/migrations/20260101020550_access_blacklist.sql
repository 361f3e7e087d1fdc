-- Access control: the blacklist.
--
-- Purpose     Who is not let in, by which decision, on what evidence, until when; and whether somebody at the gate may be one of them.
-- Tables      blacklist_entries, blacklist_evidence
-- RPCs        add_blacklist_entry, change_blacklist_entry, lift_blacklist_entry, add_blacklist_evidence, check_blacklist
-- Invariants  An entry has a number of its community's protocol, a reason, and something to be known by. What it is known by does
--             not change silently: the audit log has every change. Whoever was on the list and is not any more is let in; the entry
--             stays as history, and forgets the person when the setting says.
--             Exact is the same document, plate or full telephone number, and the same name unless a document tells a namesake.
--             Near is what a guard must look at: a name that resembles, a plate one misreading away, a number without its
--             country's code or one digit off. Names are compared across scripts: Иван Петров and Ivan Petrov are one name; and by
--             their sound, since who writes one in Latin letters does so in several ways: Iwan Petroff resembles both. What cannot
--             be seen does not count, and letters of two scripts in one word count as what they look like.

select app.define_permission('blacklist.read', 'community', 'See the blacklist', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager, community/guard}');
select app.define_permission('blacklist.manage', 'community', 'Put people on the blacklist and take them off', '{
  site/superadmin, site/staff, organization/owner, organization/admin, organization/editor, community/admin, community/manager}');

select app.define_setting('security.blacklist_similarity', 'numeric', '0.6', '{site,organization,community}',
  'From which similarity on (0 to 1, pg_trgm), as it is written or as it sounds, a name is near one on the blacklist, and the guard is asked.', minimum => 0.3, maximum => 1);
select app.define_setting('security.blacklist_days', 'integer', '365', '{site,organization,community}',
  'How many days after it ended an entry of the blacklist still says whom it was about.', minimum => 0, maximum => 3650);

-- What is compared ---------------------------------------------------------------------------------------------------

create function app.name_key(name text)
returns text
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
begin
  -- Cyrillic as passports of Bulgaria write it, which is near to how its neighbours do; Greek by ISO 843. Then one letter a sound that clerks spell in two ways.
  return nullif(btrim(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(translate(
    -- Invisible characters part no name: joiners of Arabic and Indic scripts do, among their own letters.
    app.search_text(case when name ~ '^[ -~]*$' then name else regexp_replace(name,
      '[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]|[\u200c\u200d](?=[A-Za-z\u00c0-\u052f])', '', 'g') end),
    'абвгдезийклмнопрстуфхъьыэіїєґјљњћђαβγδεζηικλμνξοπρσςτυφωў',
    'abvgdeziyklmnoprstufha' || 'yyeiiegj' || 'lnhd' || 'avgdeziiklmnxoprsstyfou'),
    'ж', 'zh'), 'ц', 'ts'), 'ч', 'ch'), 'щ', 'sht'), 'ш', 'sh'), 'ю', 'yu'), 'я', 'ya'), 'θ', 'th'), 'χ', 'ch'), 'ψ', 'ps'), 'џ', 'dzh')), '');
end;
$$;

comment on function app.name_key(text) is
  'By what names are compared: small letters without accents (app.search_text), Cyrillic and Greek ones as Latin. Null if nothing remains.';

create function app.name_readings(name text)
returns text[]
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
declare
  readings text[] := array[app.name_key(name)];
  spelt text;
  latin text := '';
  cyrillic text := '';
  word text;
  -- Small letters, of which the capitals alone may look alike: В and B, Н and H. The last six pass for Latin letters, and no Latin ones for them.
  of_cyrillic constant text := 'авекмнорстухіјѕһԁԛԝӏ';
  as_latin constant text := 'abekmhopctyxijshdqwl';
  both_ways constant text := left(as_latin, 14);
  of_greek constant text := 'αβεζηικμνορτυχ';
  greek_as_latin constant text := 'abezhikmvoptyx';
begin
  if name ~ '^[ -~]*$' or name !~ '[A-Za-z]' or name !~ '[\u0370-\u052f]' then
    return readings;
  end if;
  spelt := lower(normalize(regexp_replace(normalize(name, nfkd), '[\u0300-\u036f]+', '', 'g'), nfc) collate pg_catalog.pg_c_utf8);
  foreach word in array regexp_split_to_array(spelt, '\s+') loop
    if word !~ '[a-z]' or word !~ '[\u0370-\u052f]' then
      latin := latin || ' ' || word;
      cyrillic := cyrillic || ' ' || word;
    else
      -- A letter that the other script has nothing like tells what the word is meant to be; without one it is read both ways.
      latin := latin || ' ' || case when translate(word, of_cyrillic, '') ~ '[\u0400-\u052f]' then translate(word, both_ways, of_cyrillic)
        else translate(word, of_cyrillic || of_greek, as_latin || greek_as_latin) end;
      cyrillic := cyrillic || ' ' || case when translate(word, both_ways, '') ~ '[a-z]' or word ~ '[\u0370-\u03ff]' then translate(word, of_cyrillic || of_greek, as_latin || greek_as_latin)
        else translate(word, both_ways, of_cyrillic) end;
    end if;
  end loop;
  return array(select distinct r from unnest(readings || app.name_key(latin) || app.name_key(cyrillic)) r where r is not null);
end;
$$;

comment on function app.name_readings(text) is
  'The keys (app.name_key) of all that a name may be meant to read: one, unless a word of it mixes Latin letters with Cyrillic or Greek ones that look alike, as nobody writes who is not to be found.';

create function app.name_sound(name_key text)
returns text
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
declare
  name text := name_key;
  spelt text[];
begin
  -- Spellings of one sound, each after those whose part it is: German (Wassilew), French (Gueorgui, Ivanoff), older and newer tables (Julia, Iuliia, Yuliya).
  foreach spelt slice 1 in array '{{ph,f},{ou,u},{oo,u},{ck,k},{kh,h},{x,ks},{tz,ts},{tch,ch},{sch,sh}}'::text[] loop
    name := replace(name, spelt[1], spelt[2]);
  end loop;
  name := translate(name, 'wyjq', 'viik');
  name := regexp_replace(regexp_replace(name, 'gu(?=[ei])', 'g', 'g'), 'c(?!h)', 'k', 'g');
  name := regexp_replace(name, '(.)\1+', '\1', 'g');
  return regexp_replace(name, '([oe])f(?![[:alpha:]])', '\1v', 'g');
end;
$$;

comment on function app.name_sound(text) is
  'How a name sounds, roughly: of its key (app.name_key), with one letter where Latin spellings of a sound differ (ph and f, w and v, y, j and i, double letters, Petroff and Petrov). For near matches alone: different names may sound alike.';

create function app.phone_tail(phone text)
returns text
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
begin
  return substring(regexp_replace(app.roster_digits(phone), '[^0-9]', '', 'g') from '[0-9]{7,9}$');
end;
$$;

comment on function app.phone_tail(text) is 'The last nine digits of a number (seven at least), which are the same with and without its country''s code. Null for a shorter one.';

grant execute on function app.name_key(text), app.name_readings(text), app.name_sound(text), app.phone_tail(text) to authenticated, service_role, vicinia_maintenance;

-- Entries ------------------------------------------------------------------------------------------------------------

create table public.blacklist_entries (
  id uuid not null default extensions.uuidv7(),
  full_name text,
  community_id uuid not null,
  protocol_number text not null,
  reason text not null,
  document_number text,
  phone text,
  plate text,
  starts_at timestamptz not null default now(),
  ends_at timestamptz,
  lifted_at timestamptz,
  lifted_because text,
  forgotten_at timestamptz,
  name_key text generated always as (app.name_key(full_name)) stored,
  name_sound text generated always as (app.name_sound(app.name_key(full_name))) stored,
  document_key text generated always as (app.normalized_plate(document_number)) stored,
  phone_key text generated always as (app.phone_tail(phone)) stored,
  plate_key text generated always as (app.normalized_plate(plate)) stored,
  like app.row_model including defaults including comments,
  constraint blacklist_entries_pkey primary key (id),
  constraint blacklist_entries_community_id_key unique (community_id, id),
  constraint blacklist_entries_protocol_number_key unique (community_id, protocol_number),
  constraint blacklist_entries_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint blacklist_entries_known_check check (num_nonnulls(full_name, document_number, phone, plate) >= 1 or forgotten_at is not null),
  constraint blacklist_entries_full_name_check check (full_name is null or (app.is_name(full_name) and app.name_key(full_name) is not null)),
  constraint blacklist_entries_protocol_number_check check (app.is_name(protocol_number) and length(protocol_number) <= 40),
  constraint blacklist_entries_reason_check check (length(btrim(reason)) between 1 and 2000),
  constraint blacklist_entries_document_number_check check (
    document_number is null or (app.is_name(document_number) and length(document_number) <= 40 and app.normalized_plate(document_number) is not null)),
  constraint blacklist_entries_phone_check check (app.is_phone(phone)),
  constraint blacklist_entries_plate_check check (app.is_plate(plate)),
  constraint blacklist_entries_ends_at_check check (ends_at > starts_at),
  constraint blacklist_entries_lifted_check check ((lifted_at is null) = (lifted_because is null)),
  constraint blacklist_entries_lifted_because_check check (length(btrim(lifted_because)) between 1 and 500)
);

create index blacklist_entries_community_idx on public.blacklist_entries (community_id, starts_at);
create index blacklist_entries_document_idx on public.blacklist_entries (community_id, document_key) where document_key is not null;
create index blacklist_entries_phone_idx on public.blacklist_entries (community_id, phone_key) where phone_key is not null;
create index blacklist_entries_plate_idx on public.blacklist_entries (community_id, plate_key) where plate_key is not null;
create index blacklist_entries_name_idx on public.blacklist_entries using gin (community_id, name_key extensions.gin_trgm_ops) where lifted_at is null and deleted_at is null;

comment on table public.blacklist_entries is 'Who is not let in. Made by add_blacklist_entry, ended by lift_blacklist_entry or its date; decide_access asks.';
comment on column public.blacklist_entries.full_name is 'Whom it is about, in any script.';
comment on column public.blacklist_entries.protocol_number is 'The number of the decision in the community''s protocol. Unique there.';
comment on column public.blacklist_entries.reason is 'Why. Guards see it.';
comment on column public.blacklist_entries.document_number is 'Number of a passport, card or licence.';
comment on column public.blacklist_entries.phone is 'A telephone number; best with its country''s code.';
comment on column public.blacklist_entries.plate is 'The plate of a vehicle.';
comment on column public.blacklist_entries.starts_at is 'From when on.';
comment on column public.blacklist_entries.ends_at is 'Until when; null: until it is lifted.';
comment on column public.blacklist_entries.lifted_at is 'When it was lifted.';
comment on column public.blacklist_entries.lifted_because is 'Why it was lifted.';
comment on column public.blacklist_entries.forgotten_at is 'When the person was forgotten: security.blacklist_days after its end.';
comment on column public.blacklist_entries.name_key is 'The name as names are compared (app.name_key). Kept by the database.';
comment on column public.blacklist_entries.name_sound is 'How the name sounds, by which it is compared too (app.name_sound). Kept by the database.';
comment on column public.blacklist_entries.document_key is 'The number as plates are compared (app.normalized_plate). Kept by the database.';
comment on column public.blacklist_entries.phone_key is 'The last digits of the telephone number (app.phone_tail). Kept by the database.';
comment on column public.blacklist_entries.plate_key is 'The plate as plates are compared (app.normalized_plate). Kept by the database.';

select app.track('public.blacklist_entries');

select app.register_personal_data('public.blacklist_entries', c.name, 'nobody',
  kept_because => 'Somebody without a record here. The entry forgets the person security.blacklist_days after its end; until then it protects others.')
from unnest('{full_name,phone,plate}'::text[]) c (name);

insert into app.archive_rules (table_id, permission_key) values ('public.blacklist_entries', 'blacklist.manage');

create policy blacklist_entries_select on public.blacklist_entries for select to authenticated
  using (
    community_id = any ((select app.communities_where('blacklist.read'))::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('blacklist.manage'))))
  );
grant select on public.blacklist_entries to authenticated;
grant select, insert, update on public.blacklist_entries to service_role;

-- Evidence -----------------------------------------------------------------------------------------------------------

select app.define_file_purpose('access.evidence', 'vicinia-gates', 'Evidence for an entry of the blacklist: a photograph, a protocol', '{image/png,image/jpeg,image/webp,application/pdf}', 10485760,
  'blacklist.manage', 'blacklist.manage', read_permission => 'blacklist.manage', is_of_community => true);

create table public.blacklist_evidence (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  entry_id uuid not null,
  file_id uuid not null,
  like app.row_model including defaults including comments,
  constraint blacklist_evidence_pkey primary key (id),
  constraint blacklist_evidence_file_key unique (entry_id, file_id),
  constraint blacklist_evidence_entry_fkey foreign key (community_id, entry_id) references public.blacklist_entries (community_id, id) on delete cascade,
  constraint blacklist_evidence_file_fkey foreign key (community_id, file_id) references public.files (community_id, id) on delete cascade
);

create index blacklist_evidence_entry_idx on public.blacklist_evidence (community_id, entry_id);
create index blacklist_evidence_file_idx on public.blacklist_evidence (community_id, file_id);

comment on table public.blacklist_evidence is 'What an entry of the blacklist rests on: files of purpose access.evidence. Added by add_blacklist_evidence.';
comment on column public.blacklist_evidence.entry_id is 'The entry.';
comment on column public.blacklist_evidence.file_id is 'The file; of the purpose access.evidence.';

select app.track('public.blacklist_evidence');

create policy blacklist_evidence_select on public.blacklist_evidence for select to authenticated
  using (
    community_id = any ((select app.communities_where('blacklist.manage'))::uuid[])
    and deleted_at is null
  );
grant select on public.blacklist_evidence to authenticated;
grant select, insert, update on public.blacklist_evidence to service_role;

-- Matching -----------------------------------------------------------------------------------------------------------

create function app.has_blacklist(community uuid, moment timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (
    select from public.blacklist_entries e
    where e.community_id = community and e.starts_at <= moment and e.lifted_at is null and e.deleted_at is null and (e.ends_at is null or e.ends_at > moment));
end;
$$;

comment on function app.has_blacklist(uuid, timestamptz) is
  'Whether any entry of a community is in force at a moment. Most communities list nobody, and need not be asked anything else. Asks no permission; not executable by API roles.';

create function app.blacklist_match(community uuid, full_name text, document_number text, phone text, plate text, moment timestamptz)
returns table (entry_id uuid, is_exact boolean, matched text, similarity real)
language plpgsql
stable
set search_path = ''
as $$
declare
  names text[];
  sounds text[];
  document text;
  tail text;
  number text;
  wanted text;
  threshold real;
begin
  if not app.has_blacklist(community, moment) then
    return;
  end if;
  names := app.name_readings(full_name);
  sounds := array(select app.name_sound(n) from unnest(names) n);
  document := app.normalized_plate(left(document_number, 40));
  tail := app.phone_tail(phone);
  number := app.phone_digits(phone);
  wanted := app.normalized_plate(left(plate, 40));
  threshold := app.setting('security.blacklist_similarity', community)::real;
  return query
    select distinct on (m.id) m.id, m.is_exact, m.matched, m.similarity
    from (
      select e.id, true as is_exact, 'document' as matched, 1::real as similarity, e.starts_at, e.ends_at, e.lifted_at, e.deleted_at
      from public.blacklist_entries e where e.community_id = community and e.document_key = document
      union all
      select e.id, true, 'plate', 1, e.starts_at, e.ends_at, e.lifted_at, e.deleted_at
      from public.blacklist_entries e where e.community_id = community and e.plate_key = wanted
      union all
      select e.id, app.phone_digits(e.phone) is not distinct from number and number is not null, 'phone', 1, e.starts_at, e.ends_at, e.lifted_at, e.deleted_at
      from public.blacklist_entries e
      where e.community_id = community and e.phone_key = tail
        -- Another country's number is another's; one digit too many or too few (+359 0888 …) is a slip.
        and (number is null or app.phone_digits(e.phone) is null or extensions.levenshtein_less_equal(app.phone_digits(e.phone), number, 1) <= 1)
      union all
      -- A namesake whose document is another one is not taken for the person.
      select e.id, e.name_key = n.name and (document is null or e.document_key is null or e.document_key = document), 'name', s.similarity, e.starts_at, e.ends_at, e.lifted_at, e.deleted_at
      from unnest(names, sounds) n (name, sound)
      cross join public.blacklist_entries e
      cross join lateral (select greatest(extensions.similarity(e.name_key, n.name), extensions.similarity(e.name_sound, n.sound)) as similarity) s
      where e.community_id = community and e.lifted_at is null and e.deleted_at is null and s.similarity >= threshold
      union all
      select e.id, false, 'plate', (1 - 1.0 / length(wanted))::real, e.starts_at, e.ends_at, e.lifted_at, e.deleted_at
      from public.blacklist_entries e
      where e.community_id = community and e.plate_key is not null and length(wanted) >= 4
        and abs(length(e.plate_key) - length(wanted)) <= 1
        and extensions.levenshtein_less_equal(e.plate_key, wanted, 1) = 1
    ) m
    where m.starts_at <= moment and m.lifted_at is null and m.deleted_at is null and (m.ends_at is null or m.ends_at > moment)
    order by m.id, m.is_exact desc, m.similarity desc;
end;
$$;

comment on function app.blacklist_match(uuid, text, text, text, text, timestamptz) is
  'The entries in force at a moment that somebody matches, each once, by the best of name, document, telephone and plate (matched), similarity from 0 to 1. '
  'Null is compared with nothing. Asks no permission; not executable by API roles.';

-- Keeping the list ---------------------------------------------------------------------------------------------------

create function app.add_blacklist_entry(
  community uuid, reason text, full_name text, document_number text, phone text, plate text, protocol_number text, starts_at timestamptz, ends_at timestamptz
)
returns table (entry_id uuid, number text)
language plpgsql
volatile
security definer -- API roles may not insert entries
set search_path = ''
as $$
declare
  given constant text := nullif(btrim(add_blacklist_entry.protocol_number), '');
  prefix constant text := to_char(now() at time zone coalesce((select c.time_zone from public.communities c where c.id = community), 'UTC'), 'YYYY') || '/';
  refused text;
begin
  perform app.require('blacklist.manage', community);
  if not exists (select from public.communities c where c.id = community and c.deleted_at is null) then
    perform app.fail(404, 'community_not_found', 'There is no live community with this id.');
  elsif num_nonnulls(nullif(btrim(add_blacklist_entry.full_name), ''), nullif(btrim(add_blacklist_entry.document_number), ''),
    nullif(btrim(add_blacklist_entry.phone), ''), nullif(btrim(add_blacklist_entry.plate), '')) = 0
  then
    perform app.fail(422, 'invalid_value', 'An entry has something to be known by: full_name, document_number, phone or plate.');
  elsif coalesce(btrim(add_blacklist_entry.reason), '') = '' then
    perform app.fail(422, 'reason_required', 'Whoever is not let in is not let in for a reason.');
  end if;
  -- Numbers of a community are given out one at a time.
  perform pg_advisory_xact_lock(hashtextextended('blacklist protocol of ' || community, 0));
  return query
    insert into public.blacklist_entries as e (full_name, community_id, protocol_number, reason, document_number, phone, plate, starts_at, ends_at)
    values (
      nullif(btrim(add_blacklist_entry.full_name), ''), community,
      coalesce(given, prefix || lpad((
        select coalesce(max(substring(o.protocol_number from '^[0-9]{4}/([0-9]{1,9})$')::integer), 0) + 1
        from public.blacklist_entries o where o.community_id = community and o.protocol_number like prefix || '%')::text, 4, '0')),
      add_blacklist_entry.reason, nullif(btrim(add_blacklist_entry.document_number), ''), nullif(btrim(add_blacklist_entry.phone), ''),
      nullif(btrim(add_blacklist_entry.plate), ''), coalesce(add_blacklist_entry.starts_at, now()), add_blacklist_entry.ends_at)
    returning e.id, e.protocol_number;
exception
  when unique_violation then
    perform app.fail(409, 'protocol_number_taken', 'Another entry of this community has this number of the protocol.');
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('blacklist_entries', refused);
end;
$$;

comment on function app.add_blacklist_entry(uuid, text, text, text, text, text, text, timestamptz, timestamptz) is 'What public.add_blacklist_entry does. Definer: no API role may insert entries.';

create function public.add_blacklist_entry(
  community_id uuid, reason text, full_name text default null, document_number text default null, phone text default null, plate text default null,
  protocol_number text default null, starts_at timestamptz default null, ends_at timestamptz default null
)
returns table (entry_id uuid, number text)
language sql
volatile
set search_path = ''
as $$ select * from app.add_blacklist_entry(community_id, reason, full_name, document_number, phone, plate, protocol_number, starts_at, ends_at) $$;

comment on function public.add_blacklist_entry(uuid, text, text, text, text, text, text, timestamptz, timestamptz) is
  'Puts somebody on the blacklist: by name, document, telephone, plate, or several of them. Without a number of the protocol the next of the year is given (2026/0007). Takes blacklist.manage. '
  'Errors: permission_denied, community_not_found, reason_required, protocol_number_taken, invalid_value.';

create function app.known_blacklist_entry(entry uuid)
returns public.blacklist_entries
language plpgsql
volatile
security definer -- locks an entry, which API roles may not update
set search_path = ''
as $$
declare
  present public.blacklist_entries;
begin
  select e.* into present from public.blacklist_entries e
  where e.id = entry and e.deleted_at is null and (app.is_trusted() or app.can('blacklist.read', e.community_id))
  for no key update;
  if present.id is null then
    perform app.fail(404, 'blacklist_entry_not_found', 'There is no entry of the blacklist with this id.');
  end if;
  perform app.require('blacklist.manage', present.community_id);
  return present;
end;
$$;

comment on function app.known_blacklist_entry(uuid) is
  'The entry, locked, if the caller sees it and manages the blacklist. Not executable by API roles. Errors: blacklist_entry_not_found, permission_denied. Definer: locks an entry.';

create function app.lift_blacklist_entry(entry uuid, reason text)
returns void
language plpgsql
volatile
security definer -- API roles may not update entries
set search_path = ''
as $$
declare
  present constant public.blacklist_entries := app.known_blacklist_entry(entry);
begin
  if coalesce(btrim(reason), '') = '' or length(reason) > 500 then
    perform app.fail(422, 'reason_required', 'An entry is lifted for a reason, of at most 500 characters.');
  elsif present.lifted_at is null then
    update public.blacklist_entries e set lifted_at = now(), lifted_because = btrim(lift_blacklist_entry.reason) where e.id = present.id;
  end if;
end;
$$;

comment on function app.lift_blacklist_entry(uuid, text) is 'What public.lift_blacklist_entry does. Definer: no API role may update entries.';

create function public.lift_blacklist_entry(entry_id uuid, reason text)
returns void
language sql
volatile
set search_path = ''
as $$ select app.lift_blacklist_entry(entry_id, reason) $$;

comment on function public.lift_blacklist_entry(uuid, text) is
  'Takes somebody off the blacklist; the entry stays as history. Lifted already: nothing happens. Takes blacklist.manage. Errors: blacklist_entry_not_found, permission_denied, reason_required.';

create function app.change_blacklist_entry(entry uuid, ends_at timestamptz, reason text)
returns void
language plpgsql
volatile
security definer -- API roles may not update entries
set search_path = ''
as $$
declare
  present constant public.blacklist_entries := app.known_blacklist_entry(entry);
  refused text;
begin
  if present.lifted_at is not null then
    perform app.fail(409, 'blacklist_entry_lifted', 'This entry was lifted.', 'Make a new one.');
  end if;
  update public.blacklist_entries e
  set ends_at = change_blacklist_entry.ends_at, reason = coalesce(nullif(btrim(change_blacklist_entry.reason), ''), e.reason)
  where e.id = present.id;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('blacklist_entries', refused);
end;
$$;

comment on function app.change_blacklist_entry(uuid, timestamptz, text) is 'What public.change_blacklist_entry does. Definer: no API role may update entries.';

create function public.change_blacklist_entry(entry_id uuid, ends_at timestamptz, reason text default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.change_blacklist_entry(entry_id, ends_at, reason) $$;

comment on function public.change_blacklist_entry(uuid, timestamptz, text) is
  'Until when an entry counts from now on (null: until it is lifted), and, if given, its reason. Takes blacklist.manage. Errors: blacklist_entry_not_found, permission_denied, blacklist_entry_lifted, invalid_value.';

create function app.add_blacklist_evidence(entry uuid, file uuid)
returns uuid
language plpgsql
volatile
security definer -- API roles may not write links
set search_path = ''
as $$
declare
  present constant public.blacklist_entries := app.known_blacklist_entry(entry);
  added uuid;
begin
  if not exists (
    select from public.files f
    where f.id = file and f.community_id = present.community_id and f.purpose = 'access.evidence' and f.status = 'stored' and f.deleted_at is null)
  then
    perform app.fail(404, 'file_not_found', 'There is no stored file of the purpose access.evidence with this id in the community of the entry.');
  end if;
  insert into public.blacklist_evidence as v (community_id, entry_id, file_id) values (present.community_id, present.id, file)
  on conflict on constraint blacklist_evidence_file_key do nothing
  returning v.id into added;
  return coalesce(added, (select v.id from public.blacklist_evidence v where v.entry_id = present.id and v.file_id = file));
end;
$$;

comment on function app.add_blacklist_evidence(uuid, uuid) is 'What public.add_blacklist_evidence does. Definer: no API role may write links.';

create function public.add_blacklist_evidence(entry_id uuid, file_id uuid)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.add_blacklist_evidence(entry_id, file_id) $$;

comment on function public.add_blacklist_evidence(uuid, uuid) is
  'Adds a stored file of the purpose access.evidence to an entry; returns the link''s id, the same if it is there already. Takes blacklist.manage. Errors: blacklist_entry_not_found, permission_denied, file_not_found.';

create function app.check_blacklist(community uuid, full_name text, document_number text, phone text, plate text)
returns table (entry_id uuid, protocol_number text, listed_name text, reason text, match text, matched text, similarity real, ends_at timestamptz)
language plpgsql
stable
security definer -- looks at every entry, having asked for the permission
set search_path = ''
as $$
begin
  perform app.require('blacklist.read', community);
  if num_nonnulls(full_name, document_number, phone, plate) = 0 then
    perform app.fail(422, 'invalid_value', 'Somebody is looked up by full_name, document_number, phone or plate.');
  end if;
  return query
    select e.id, e.protocol_number, e.full_name, e.reason, case when m.is_exact then 'exact' else 'near' end, m.matched, m.similarity, e.ends_at
    from app.blacklist_match(community, left(full_name, 200), document_number, left(phone, 40), plate, now()) m
    join public.blacklist_entries e on e.id = m.entry_id
    order by m.is_exact desc, m.similarity desc, e.id
    limit 20;
end;
$$;

comment on function app.check_blacklist(uuid, text, text, text, text) is 'What public.check_blacklist does. Definer: looks at every entry, having asked for the permission.';

create function public.check_blacklist(
  community_id uuid, full_name text default null, document_number text default null, phone text default null, plate text default null
)
returns table (entry_id uuid, protocol_number text, listed_name text, reason text, match text, matched text, similarity real, ends_at timestamptz)
language sql
stable
set search_path = ''
as $$ select * from app.check_blacklist(community_id, full_name, document_number, phone, plate) $$;

comment on function public.check_blacklist(uuid, text, text, text, text) is
  'Whether somebody at the gate may be on the blacklist: entries in force by name, document, telephone or plate, exact ones first, then near ones. Takes blacklist.read. Errors: permission_denied, invalid_value.';

grant execute on function
  app.add_blacklist_entry(uuid, text, text, text, text, text, text, timestamptz, timestamptz),
  public.add_blacklist_entry(uuid, text, text, text, text, text, text, timestamptz, timestamptz),
  app.lift_blacklist_entry(uuid, text), public.lift_blacklist_entry(uuid, text),
  app.change_blacklist_entry(uuid, timestamptz, text), public.change_blacklist_entry(uuid, timestamptz, text),
  app.add_blacklist_evidence(uuid, uuid), public.add_blacklist_evidence(uuid, uuid),
  app.check_blacklist(uuid, text, text, text, text), public.check_blacklist(uuid, text, text, text, text)
to authenticated, service_role;

create function app.job_blacklist_retention()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  ended uuid[];
begin
  ended := array(
    select e.id from public.blacklist_entries e
    where e.forgotten_at is null
      and least(e.lifted_at, e.ends_at, e.deleted_at) < now() - make_interval(days => app.setting('security.blacklist_days', e.community_id)::integer));
  update public.blacklist_entries e
  set full_name = null, document_number = null, phone = null, plate = null, forgotten_at = now()
  where e.id = any (ended);
  if ended <> '{}' then
    perform app.erase_audit('public.blacklist_entries', ended, '{full_name,document_number,phone,plate,name_key,name_sound,document_key,phone_key,plate_key}', 'Retention of the blacklist');
  end if;
end;
$$;

comment on function app.job_blacklist_retention() is
  'Job blacklist-retention: forgets whom entries were about, in the audit log too, security.blacklist_days after they ended.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('blacklist-retention', '13 4 * * *', 'app.job_blacklist_retention()', 'Forgets whom old entries of the blacklist were about.');
