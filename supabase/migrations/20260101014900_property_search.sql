-- Property: search.
--
-- Purpose     People, units and plates by a few letters, typed in haste, in any script.
-- Tables      none; indexes on residents, resident_details, units, buildings and vehicles
-- RPCs        search
-- Invariants  Search answers what its caller may see, no more and no less: a definer function applies to each kind the sets that
--             its policy applies (a test compares them for every kind of user). It does so because row-level security keeps all
--             but leakproof operators out of index conditions: under the policies alone the trigram indexes would lie idle.
--             Addresses and telephone numbers lead to people only for who may read them.

create extension if not exists btree_gin with schema extensions;

-- Texts --------------------------------------------------------------------------------------------------------------

create function app.search_text(value text)
returns text
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
begin
  if value ~ '^[ -~]*$' then
    return ' ' || btrim(regexp_replace(lower(value collate pg_catalog."C"), '[^0-9a-z]+', ' ', 'g'));
  end if;
  -- Accents go with their letters (é, й, ё, ώ), and so do strokes that Unicode takes for letters of their own. Vowel signs stay.
  return ' ' || btrim(regexp_replace(
    replace(replace(replace(translate(
      lower(normalize(regexp_replace(normalize(app.roster_digits(value), nfkd), '[\u0300-\u036f]+', '', 'g'), nfc) collate pg_catalog.pg_c_utf8),
      'łøđðħŧıς', 'loddhtiσ'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'),
    '[[:punct:][:space:]\u00ad\u200b-\u200f\u2060\ufeff]+', ' ', 'g'));
end;
$$;

comment on function app.search_text(text) is
  'A text as it is searched: words of small letters without accents, a blank before each, digits of any script as 0 to 9. The builtin collation makes it the same on every system.';

create function app.contact_text(email text, phone text)
returns text
language sql
immutable
parallel safe
set search_path = ''
return coalesce(app.search_text(email), '') || ' ' || coalesce(regexp_replace(app.roster_digits(phone), '[^0-9]+', '', 'g'), '');

comment on function app.contact_text(text, text) is 'How a resident is searched by address and telephone: the words of the address, and the digits of the number in one piece.';

grant execute on function app.search_text(text), app.contact_text(text, text) to authenticated, service_role, vicinia_maintenance;

-- By community first: whoever searches in a few communities does not pay for the others.
create index residents_search_idx on public.residents using gin
  (community_id, app.search_text(full_name || coalesce(' ' || reference, '')) extensions.gin_trgm_ops) where deleted_at is null;
create index resident_details_search_idx on public.resident_details using gin
  (community_id, app.contact_text(email, phone) extensions.gin_trgm_ops) where deleted_at is null;
create index units_search_idx on public.units using gin (community_id, app.search_text(number) extensions.gin_trgm_ops) where deleted_at is null;
create index buildings_search_idx on public.buildings using gin (community_id, app.search_text(name) extensions.gin_trgm_ops) where deleted_at is null;
create index vehicles_search_idx on public.vehicles using gin (community_id, plate_key extensions.gin_trgm_ops) where deleted_at is null;

-- What the caller may find -------------------------------------------------------------------------------------------

create type app.search_scope as (is_everywhere boolean, communities uuid[], own uuid[]);

create function app.search_scope(permission text, own uuid[], within uuid[], involved uuid[])
returns app.search_scope
language plpgsql
stable
set search_path = ''
as $$
begin
  if within is null and (app.is_trusted() or (app.can_on_site('communities.read') and app.can_on_site(permission))) then
    return row(true, null, '{}')::app.search_scope;
  elsif app.is_trusted() then
    return row(false, within, '{}')::app.search_scope;
  end if;
  return row(false,
    array(select c from app.communities_with(permission) c where c = any (involved) and (within is null or c = any (within))),
    own)::app.search_scope;
end;
$$;

comment on function app.search_scope(text, uuid[], uuid[], uuid[]) is
  'Where the caller holds a permission, as policies ask it: everywhere, or in some of the communities with which the caller is involved, and the rows that are the caller''s own besides. '
  'within: the communities that are searched, null for all. Not executable by API roles.';

create function app.search_conditions(scope app.search_scope, parameter text, alias text, own_id text)
returns text[]
language sql
immutable
set search_path = ''
return array_remove(array[
  case
    when (scope).is_everywhere then 'true'
    when coalesce(cardinality((scope).communities), 0) = 0 then null
    -- A few communities are a condition of the index. Of many, each would be an index scan of its own: they filter what the letters find.
    when cardinality((scope).communities) <= 8 then format('%s.community_id = any ((%s).communities)', alias, parameter)
    else format('(%s.community_id = any ((%s).communities)) is true', alias, parameter)
  end,
  case when coalesce(cardinality((scope).own), 0) > 0 then format('%s = any ((%s).own) and %s.community_id = any ($3)', own_id, parameter, alias) end
], null);

comment on function app.search_conditions(app.search_scope, text, text, text) is
  'The conditions by which a statement of search keeps to a scope, one a branch: in the communities of a permission, and of one''s own. None where there is nothing to find. Made of the names it is given, which are constants.';

-- Searching ----------------------------------------------------------------------------------------------------------

create type app.search_hit as (kind text, id uuid, community_id uuid, label text, detail text, unit_id uuid, match text, score real);

create function app.search(query text, communities uuid[], kinds text[], most integer)
returns setof app.search_hit
language plpgsql
stable
security definer -- applies the permissions itself, so that trigram indexes may be used
set search_path = ''
as $$
declare
  -- What is ranked, at most, of what a few letters find of a kind.
  candidates constant integer := 1000;
  typed constant text := left(query, 200);
  phrase constant text := btrim(app.search_text(typed));
  -- Scripts that put no blanks between words, and Hangul, whose names are one word: found anywhere.
  is_unspaced constant boolean := phrase ~ U&'[\0E00-\0EFF\1000-\109F\1780-\17FF\3040-\30FF\3400-\9FFF\AC00-\D7AF]';
  beginning constant text := case when is_unspaced then '%' else '% ' end || phrase || '%';
  digits constant text := ltrim(regexp_replace(app.roster_digits(typed), '[^0-9]+', '', 'g'), '0');
  contact constant text := case
    when app.roster_digits(typed) ~ '^[-+0-9 ()./]+$' then case when length(digits) >= 4 then '%' || digits || '%' end
    when length(phrase) >= 3 then '% ' || phrase || '%' end;
  plate constant text := app.normalized_plate(left(typed, 40));
  -- "Main 12": the unit 12 of a building that is called so.
  building_part constant text := '% ' || substring(phrase from '^(.+) [^ ]+$') || '%';
  number_part constant text := ' ' || substring(phrase from '^.+ ([^ ]+)$') || '%';
  asked constant text[] := coalesce(kinds, '{resident,unit,vehicle}');
  is_trusted constant boolean := app.is_trusted();
  involved constant uuid[] := case when is_trusted then '{}' else app.my_communities() end;
  gate uuid[] := involved;
  people app.search_scope;
  details app.search_scope;
  homes app.search_scope;
  cars app.search_scope;
  branches text[] := '{}';
  hits app.search_hit[];
  near text[] := '{}';
  condition text;
  threshold constant text := coalesce(nullif(current_setting('pg_trgm.word_similarity_threshold', true), ''), '0.6');
begin
  if phrase is null or phrase = '' then
    perform app.fail(422, 'invalid_value', 'query has letters or digits.');
  elsif not asked <@ '{resident,unit,vehicle}'::text[] then
    perform app.fail(422, 'invalid_value', 'kinds are resident, unit and vehicle.');
  elsif (most between 1 and 100) is not true then
    perform app.fail(422, 'invalid_value', 'most is from 1 to 100.');
  end if;
  if communities is not null then
    gate := array(select g from unnest(involved) g where g = any (communities));
  end if;

  if 'resident' = any (asked) then
    people := app.search_scope('residents.read', case when is_trusted then '{}' else array(select app.residents_with_me()) end, communities, involved);
    foreach condition in array app.search_conditions(people, '$4', 'r', 'r.id') loop
      branches := branches || format($sql$
        select 'resident', t.id, t.community_id, t.full_name, t.reference, null::uuid, 'prefix',
          case when t.text = ' ' || $2 then 1 when t.text like ' ' || $2 || '%%' then 0.95 else 0.9 end
        from (
          select r.*, app.search_text(r.full_name || coalesce(' ' || r.reference, '')) as text from public.residents r
          where %s and r.deleted_at is null and app.search_text(r.full_name || coalesce(' ' || r.reference, '')) like $1 limit $15
        ) t$sql$, condition);
      near := near || format($sql$
        select 'resident', t.id, t.community_id, t.full_name, t.reference, null::uuid, 'similar', 0.8 * extensions.word_similarity($2, t.text)
        from (
          select r.*, app.search_text(r.full_name || coalesce(' ' || r.reference, '')) as text from public.residents r
          where %s and r.deleted_at is null and $2 operator(extensions.<%%) app.search_text(r.full_name || coalesce(' ' || r.reference, '')) limit $15
        ) t$sql$, condition);
    end loop;
    if contact is not null then
      details := app.search_scope('residents.read_details', case when is_trusted then '{}' else array(select app.my_residents()) end, communities, involved);
      -- Whoever reads details still needs to see the person.
      if not people.is_everywhere then
        details := row(false, case when details.is_everywhere then people.communities
          else array(select c from unnest(details.communities) c where c = any (people.communities)) end, details.own)::app.search_scope;
      end if;
      foreach condition in array app.search_conditions(details, '$5', 'd', 'd.resident_id') loop
        branches := branches || format($sql$
          select 'resident', r.id, r.community_id, r.full_name, concat_ws(', ', t.email, t.phone), null, 'contact', 0.85
          from (
            select d.community_id, d.resident_id, d.email, d.phone from public.resident_details d
            where %s and d.deleted_at is null and app.contact_text(d.email, d.phone) like $9 limit $15
          ) t
          join public.residents r on r.community_id = t.community_id and r.id = t.resident_id
          where r.deleted_at is null$sql$, condition);
      end loop;
    end if;
  end if;

  if 'unit' = any (asked) then
    homes := app.search_scope('units.read', case when is_trusted then '{}' else array(select app.units_with('units.read_own')) end, communities, involved);
    foreach condition in array app.search_conditions(homes, '$6', 'u', 'u.id') loop
      branches := branches || format($sql$
        select 'unit', t.id, t.community_id, concat_ws(' / ', b.name, t.number), t.type::text, t.id, 'prefix', case when t.text = ' ' || $2 then 1 else 0.9 end
        from (
          select u.*, app.search_text(u.number) as text from public.units u
          where %1$s and u.deleted_at is null and app.search_text(u.number) like $1 limit 2 * $15
        ) t
        left join public.buildings b on b.community_id = t.community_id and b.id = t.building_id
        union all
        select 'unit', u.id, u.community_id, b.name || ' / ' || u.number, u.type::text, u.id, 'prefix',
          case when app.search_text(u.number) = rtrim($12, '%%') then 0.97 else 0.87 end
        from public.buildings b
        join public.units u on u.community_id = b.community_id and u.building_id = b.id
        where %1$s and u.deleted_at is null and b.deleted_at is null and (%2$s)$sql$, condition,
        'app.search_text(b.name) like $1' || case when number_part is not null then ' or (app.search_text(b.name) like $11 and app.search_text(u.number) like $12)' else '' end);
    end loop;
  end if;

  if 'vehicle' = any (asked) and length(plate) <= 16 then
    cars := app.search_scope('vehicles.read', case when is_trusted then '{}' else array(select app.vehicles_with_me()) end, communities, involved);
    foreach condition in array app.search_conditions(cars, '$7', 'v', 'v.id') loop
      branches := branches || format($sql$
        (select 'vehicle', v.id, v.community_id, v.plate, concat_ws(' ', v.colour, v.make, v.model), v.unit_id, 'prefix',
          case when v.plate_key = $8 then 1 when v.plate_key like $8 || '%%' then 0.95 else 0.8 end
        from public.vehicles v
        where %s and v.deleted_at is null and v.status in ('pending', 'active', 'suspended') and v.plate_key like $10 limit $15)$sql$, condition);
      if length(plate) >= 4 then
        near := near || format($sql$
          (select 'vehicle', v.id, v.community_id, v.plate, concat_ws(' ', v.colour, v.make, v.model), v.unit_id, 'similar', 0.8 * extensions.word_similarity($8, v.plate_key)
          from public.vehicles v
          where %s and v.deleted_at is null and v.status in ('pending', 'active', 'suspended') and $8 operator(extensions.<%%) v.plate_key limit $15)$sql$, condition);
      end if;
    end loop;
  end if;

  -- What begins with what was typed, and only if that is not enough, what resembles it.
  -- The threshold is set and set back here: a function cannot be made with it (SET) in a session that has not used pg_trgm yet.
  perform set_config('pg_trgm.word_similarity_threshold', '0.4', true);
  for stage in 1 .. 2 loop
    if stage = 2 then
      exit when cardinality(hits) >= most or length(phrase) < 3;
      branches := near;
    end if;
    if branches <> '{}' then
      execute format($sql$
        select $13 || coalesce(array_agg(h.hit order by h.score desc, h.label, h.id), '{}')
        from (
          select * from (
            select distinct on (u.kind, u.id) row(u.kind, u.id, u.community_id, u.label, nullif(u.detail, ''), u.unit_id, u.match, u.score)::app.search_hit as hit, u.score, u.label, u.id
            from (%s) u (kind, id, community_id, label, detail, unit_id, match, score)
            where u.id <> all (array(select f.id from unnest($13) f))
            order by u.kind, u.id, u.score desc
          ) best
          order by best.score desc, best.label, best.id
          limit $14
        ) h$sql$, array_to_string(branches, ' union all '))
      into hits
      using beginning, phrase, gate, people, details, homes, cars, plate, contact,
        case when length(plate) >= 3 then '%' || plate || '%' else plate || '%' end,
        building_part, number_part, coalesce(hits, '{}'), most - coalesce(cardinality(hits), 0), candidates;
    end if;
  end loop;
  perform set_config('pg_trgm.word_similarity_threshold', threshold, true);
  return query select f.* from unnest(hits) f;
end;
$$;

comment on function app.search(text, uuid[], text[], integer) is 'What public.search does. Definer: applies the permissions itself, so that trigram indexes may be used.';

create function public.search(query text, communities uuid[] default null, kinds text[] default null, most integer default 20)
returns table (kind text, id uuid, community_id uuid, label text, detail text, unit_id uuid, match text, score real)
language sql
stable
set search_path = ''
as $$ select * from app.search(query, communities, kinds, most) $$;

comment on function public.search(text, uuid[], text[], integer) is
  'People (kind resident: name, reference; address and telephone for who may read them), units (number, building) and vehicles (plate) that the caller may see, best first: '
  'what begins with the query (match prefix; contact for an address or a telephone), then what resembles it (similar). communities, kinds: where and for what, null for all; most: at most 100. Errors: invalid_value.';

grant execute on function app.search(text, uuid[], text[], integer), public.search(text, uuid[], text[], integer) to authenticated, service_role;
