-- Property: reading the cells of rosters.
--
-- Purpose     One function per kind of value, from what people type to what is stored.
-- Functions   app.roster_number, app.roster_date, app.roster_floor, app.roster_read …
-- Invariants  What a cell means depends on the cell, its column's way of writing numbers and the order of dates, and on nothing
--             else. A cell that can mean two things is refused, not guessed. A reader never raises: it answers with a reason.

-- Terms --------------------------------------------------------------------------------------------------------------

create function app.roster_term(vocabulary text, cell text)
returns text
language plpgsql
stable
parallel safe
set search_path = ''
as $$
declare
  wanted constant text := coalesce(nullif(app.roster_words(cell), ''), cell);
  found_value text;
begin
  select s.value into found_value
  from public.roster_value_synonyms s
  -- By the collation of the index, whatever that of the cell is.
  where s.vocabulary = roster_term.vocabulary collate pg_catalog."default" and s.term_key = wanted collate pg_catalog."default" and s.deleted_at is null
  limit 1;
  return found_value;
end;
$$;

comment on function app.roster_term(text, text) is 'What the term stands for in a vocabulary, null if nobody has said.';

-- Numbers ------------------------------------------------------------------------------------------------------------

create function app.roster_decimal_mark(cell text)
returns text
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
declare
  t constant text := app.roster_digits(cell);
begin
  return case
    when t ~ '^[^0-9]*[1-9][0-9]{0,2}[.,][0-9]{3}([^0-9.,].*)?$' then '?'
    when t ~ '\..*,' or t ~ '^[^.]*,[^.,]*$' then ','
    when t ~ ',.*\.' or t ~ '^[^,]*\.[^.,]*$' then '.'
    when t ~ '\..*\.' then ','
    when t ~ ',.*,' then '.'
  end;
end;
$$;

comment on function app.roster_decimal_mark(text) is
  'Which mark the number uses for decimals, as far as it tells: a comma or a point; ? where 1.234 could be either; null where there is none.';

create function app.roster_number(cell text, decimal_mark text)
returns numeric
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
declare
  t text := translate(app.roster_digits(cell), '−–’', '--''');
begin
  if length(t) > 40 then
    return null;
  elsif t ~ '^[-+]?[0-9]+$' then
    return t::numeric;
  elsif t ~ '^[-+]?[1-9][0-9]{0,2}[.,][0-9]{3}$' and position(decimal_mark in t) = 0 then
    return regexp_replace(t, '[.,]', '')::numeric;
  elsif t ~ '^[-+]?[0-9]*[.,][0-9]+$' then
    return replace(t, ',', '.')::numeric;
  elsif t ~ '^[-+]?[0-9]{1,3}([ ''])[0-9]{3}(\1[0-9]{3})*([.,][0-9]+)?$' then
    return replace(translate(t, ' ''', ''), ',', '.')::numeric;
  elsif t ~ '^[-+]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]+)?$' then
    return replace(replace(t, '.', ''), ',', '.')::numeric;
  elsif t ~ '^[-+]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?$' or t ~ '^[-+]?[0-9]{1,2}(,[0-9]{2})+,[0-9]{3}(\.[0-9]+)?$' then
    return replace(t, ',', '')::numeric;
  end if;
  return null;
end;
$$;

comment on function app.roster_number(text, text) is
  'A number as people write it: 1234.5, 1234,5, 1.234,5, 1,234.5, 1 234,5, 1''234.5, 12,34,567.8, any script''s digits. '
  'A lone 1.234 or 1,234 is read by the decimal mark given. Null if it is none.';

create function app.roster_country_mark(country_code text)
returns text
language sql
immutable
parallel safe
set search_path = ''
return case when country_code in (
  'AE', 'AU', 'BD', 'BW', 'BZ', 'CA', 'CN', 'DO', 'EG', 'ET', 'GB', 'GH', 'GT', 'HK', 'HN', 'IE', 'IL', 'IN', 'JM', 'JO', 'JP', 'KE', 'KH', 'KR', 'KW',
  'LB', 'LK', 'MM', 'MT', 'MU', 'MX', 'MY', 'NG', 'NI', 'NP', 'NZ', 'OM', 'PA', 'PH', 'PK', 'PR', 'QA', 'SA', 'SG', 'SV', 'TH', 'TT', 'TW', 'TZ', 'UG', 'US', 'ZW'
) then '.' else ',' end;

comment on function app.roster_country_mark(text) is 'The decimal mark of a country (CLDR), for files that do not show theirs.';

create function app.roster_amount(cell text, out figures text, out is_negative boolean, out currency text)
returns record
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
declare
  -- Bracket, sign, currency, sign, figures, currency, sign, bracket.
  parts constant text[] := regexp_match(translate(app.roster_digits(cell), '−–', '--'),
    '^(\(?) ?([-+]?) ?([^-+0-9.,''’() ]+\.?)? ?([-+]?) ?([0-9.,](?:[0-9.,''’ ]*[0-9.,])?) ?([^-+0-9.,''’() ][^-+0-9()]*)?([-+]?) ?(\)?)$');
  signs constant text := parts[2] || parts[4] || parts[7];
begin
  if length(signs) > 1 or (parts[1] = '') <> (parts[8] = '') or (parts[1] <> '' and signs <> '') or num_nonnulls(parts[3], parts[6]) > 1 then
    return;
  end if;
  figures := parts[5];
  is_negative := signs = '-' or parts[1] <> '';
  currency := btrim(coalesce(parts[3], parts[6]));
end;
$$;

comment on function app.roster_amount(text) is
  'An amount in parts: its figures; whether it is below zero, which a minus before or behind says, or brackets; the currency beside it. Figures are null if it is none.';

-- Dates --------------------------------------------------------------------------------------------------------------

create function app.roster_date_order(country_code text)
returns text
language sql
immutable
parallel safe
set search_path = ''
return case
  when country_code in ('US', 'AS', 'FM', 'GU', 'MH', 'MP', 'PR', 'PW', 'VI') then 'mdy'
  when country_code in ('CA', 'CN', 'HU', 'JP', 'KR', 'LT', 'MN', 'PH', 'TW') then null
  else 'dmy'
end;

comment on function app.roster_date_order(text) is 'Whether a country writes 03/04 for the third of April (dmy) or the fourth of March (mdy); null where both are in use.';

create function app.roster_date(cell text, date_order text, out value date, out reason text)
returns record
language plpgsql
stable
parallel safe
set search_path = ''
as $$
declare
  -- Without the time of day and the "г." of Bulgarian dates.
  t constant text := regexp_replace(regexp_replace(app.roster_digits(cell),
    '[T ][0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[-+][0-9]{2}:?[0-9]{2})?$', ''), ' ?(г|год|година)\.?$', '');
  parts text[];
  y integer;
  m integer;
  d integer;
begin
  reason := 'not_a_date';
  parts := regexp_match(t, '^([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})$');
  if parts is not null then
    y := parts[1]; m := parts[3]; d := parts[4];
  else
    parts := regexp_match(t, '^([0-9]{1,2}) ?([-/.]) ?([0-9]{1,2}) ?\2 ?([0-9]{4})$');
    if parts is not null then
      y := parts[4];
      if parts[2] = '.' or date_order = 'dmy' or (date_order is null and (parts[1]::integer > 12 or parts[1]::integer = parts[3]::integer)) then
        d := parts[1]; m := parts[3];
      elsif date_order = 'mdy' or parts[3]::integer > 12 then
        m := parts[1]; d := parts[3];
      else
        reason := 'ambiguous_date';
        return;
      end if;
    else
      -- 15 June 2018, 15-Jun-2018, 15 de junio de 2018, June 15, 2018, 15 ม.ค. 2563
      parts := coalesce(
        regexp_match(t, '^([0-9]{1,2})(?:st|nd|rd|th)?([^0-9]{2,20})([0-9]{4})$'),
        (select array[x[2], x[1], x[3]] from regexp_match(t, '^([^0-9]{3,20})([0-9]{1,2})(?:st|nd|rd|th)?,? ([0-9]{4})$') x));
      if parts is null then
        return;
      end if;
      m := app.roster_term('month', regexp_replace(parts[2], '\m(de|del)\M', '', 'g'));
      d := parts[1]; y := parts[3];
    end if;
  end if;

  if y >= 2400 then
    y := y - 543; -- Buddhist era
  end if;
  if y not between 1800 and 2200 then
    reason := 'out_of_range';
  elsif m between 1 and 12 and d between 1 and extract(day from make_date(y, m, 1) + interval '1 month - 1 day') then
    value := make_date(y, m, d);
    reason := null;
  end if;
end;
$$;

comment on function app.roster_date(text, text) is
  'A date as people write it: 2019-03-01, 1.3.2019, 01/03/2019, 1 March 2019, 1 ม.ค. 2563; years from 2400 on are of the Buddhist era. '
  'date_order (dmy, mdy) decides between slashes and hyphens; without it only what has one meaning is read. '
  'Reasons: not_a_date, ambiguous_date, out_of_range.';

-- Floors -------------------------------------------------------------------------------------------------------------

create function app.roster_floor(cell text)
returns integer
language plpgsql
stable
parallel safe
set search_path = ''
as $$
declare
  parts text[];
  sides text[];
  named constant text := app.roster_term('floor', cell);
begin
  if named is not null then
    return named;
  end if;
  parts := regexp_match(regexp_replace(translate(app.roster_digits(cell), '−–', '--'), '[.,]0+$', ''), '^([^-0-9]*)(-?[0-9]{1,3})([^0-9]*)$');
  if parts is null then
    return null;
  end if;
  sides := array[
    case when app.roster_words(parts[1]) = '' then 'above' else app.roster_term('floor_word', parts[1]) end,
    case when app.roster_words(parts[3]) = '' then 'above' else app.roster_term('floor_word', parts[3]) end];
  return case
    when array_position(sides, null) is not null then null
    when 'below' = any (sides) then -abs(parts[2]::integer)
    else parts[2]::integer
  end;
end;
$$;

comment on function app.roster_floor(text) is 'A floor as people write it: 3, -1, 3rd floor, 3º, ет. 3, PB, партер, ชั้นล่าง, B2, sótano 1. Null if it is none.';

-- A cell -------------------------------------------------------------------------------------------------------------

create function app.roster_phone(cell text, out value text, out others text)
returns record
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
declare
  t text;
  parts text[];
begin
  if cell ~ '^\+?[0-9][0-9 .-]*$' then
    value := cell;
    return;
  end if;
  t := regexp_replace(translate(app.roster_digits(cell), '‐‑‒–—−', '------'), '[\u200c\u200d]', '', 'g');
  -- A comma, semicolon or bar parts two numbers; so does a slash between two long ones.
  parts := array(
    select p from regexp_split_to_table(regexp_replace(t, '([0-9][0-9 ()./-]{5,}[0-9]) ?/ ?([+0-9][0-9 ()./-]{5,}[0-9])', '\1;\2'), '[;,|]') p where p ~ '[0-9]');
  value := btrim(regexp_replace(regexp_replace(regexp_replace(parts[1], '^[^0-9+(]+', ''), '^(\+[0-9 -]*)\(0\)', '\1'), '[ ()]+', ' ', 'g'));
  others := nullif(btrim(array_to_string(parts[2:], ',')), '');
end;
$$;

comment on function app.roster_phone(text) is 'The first telephone number in a cell, in digits of 0 to 9, and whatever others stand beside it.';

create function app.roster_read(
  field public.roster_fields, cell text, is_number boolean, decimal_mark text, date_order text, out value text, out reason text, out remark text
)
returns record
language plpgsql
stable
parallel safe
set search_path = ''
as $$
declare
  number numeric;
  unit text;
  parts text[];
begin
  case field.kind
    when 'text' then
      value := cell;

    when 'term' then
      value := app.roster_term(field.vocabulary, cell);
      reason := case when value is null then 'unknown_value' end;

    when 'number', 'share', 'count' then
      if is_number then
        number := case when length(cell) <= 40 then cell::numeric end;
      else
        -- What stands behind the number: %, ‰, a unit of area; before it nothing.
        parts := regexp_match(translate(app.roster_digits(case when length(cell) = 1 then normalize(cell, nfkc) else cell end), '−–', '--'),
          '^([-+]?[0-9.,][0-9.,''’ ]*)([^0-9.,''’ ].*)?$');
        parts[1] := btrim(parts[1]);
        if field.kind = 'share' and parts[2] ~ '^[/⁄] ?[0-9]{1,9}$' and parts[1] ~ '^[0-9]{1,9}$' then
          number := case when parts[2] ~ '[1-9]' then parts[1]::numeric * 100 / regexp_replace(parts[2], '[^0-9]', '', 'g')::numeric end;
          remark := 'percent';
        else
          number := app.roster_number(parts[1], decimal_mark);
          unit := parts[2];
          if decimal_mark is null and app.roster_decimal_mark(parts[1]) = '?' then
            reason := 'ambiguous_number';
          elsif unit is null then
            null;
          elsif field.key like 'area%' then
            unit := app.roster_term('area_unit', unit);
            reason := case when unit is null then 'not_a_number' end;
          elsif field.kind = 'count' or unit not in ('%', '‰') then
            reason := 'not_a_number';
          else
            remark := case unit when '%' then 'percent' else 'permille' end;
            if field.kind = 'share' and remark = 'permille' then
              number := number / 10;
              remark := 'percent';
            end if;
          end if;
        end if;
      end if;
      if reason is null then
        if number is null or (field.kind = 'count' and number <> trunc(number)) then
          reason := 'not_a_number';
        elsif field.key like 'area%' then
          if coalesce(unit, case field.key when 'area' then 'm2' else 'ft2' end) = 'ft2' then
            number := round(number * 0.09290304, 2);
          end if;
          reason := case when round(number, 2) <= 0 or number >= 1e8 then 'out_of_range' end;
          remark := case when round(number, 2) <> number then 'rounded' end;
          number := round(number, 2);
        else
          reason := case when number < 0 or number >= case field.kind when 'count' then 1001 when 'share' then 100.0000005 else 1e8 end then 'out_of_range' end;
          remark := coalesce(remark, case when round(number, 6) <> number then 'rounded' end);
          number := round(number, 6);
        end if;
        value := trim_scale(number)::text;
      end if;

    when 'amount' then
      if is_number then
        number := case when length(cell) <= 40 then cell::numeric end;
      else
        select app.roster_number(a.figures, decimal_mark) * case when a.is_negative then -1 else 1 end, a.currency,
          case when decimal_mark is null and app.roster_decimal_mark(a.figures) = '?' then 'ambiguous_number' end
        into number, unit, reason
        from app.roster_amount(cell) a;
      end if;
      remark := coalesce(app.roster_term('currency', unit), upper(unit collate pg_catalog."C"));
      reason := coalesce(reason, case when number is null then 'not_a_number' when abs(number) >= 1e15 then 'out_of_range' end);
      value := trim_scale(number)::text;

    when 'floor' then
      number := app.roster_floor(cell);
      value := number::text;
      reason := case when number is null then 'not_a_floor' when number not between -20 and 300 then 'out_of_range' end;

    when 'date' then
      select x.value::text, x.reason into value, reason from app.roster_date(cell, date_order) x;

    when 'email' then
      parts := case
        when cell ~ '^[^][ ,;:/<>()]+$' then array[cell]
        else array(select p from regexp_split_to_table(regexp_replace(cell, '^.*<([^<>]+)>$|^mailto:', '\1'), '[;,/ ]+') p where p <> '')
      end;
      value := lower(parts[1] collate pg_catalog.pg_c_utf8);
      reason := case when app.is_email(value) is not true then 'invalid_email' end;
      remark := nullif(array_to_string(parts[2:], ', '), '');

    when 'phone' then
      select x.value, x.others into value, remark from app.roster_phone(cell) x;
      reason := case when app.is_phone(value) is not true then 'invalid_phone' end;

    when 'intercom' then
      value := upper(replace(app.roster_digits(cell), ' ', '') collate pg_catalog.pg_c_utf8);
      reason := case when value !~ '^[0-9*#A-Z]{1,12}$' then 'invalid_intercom' end;

    when 'locale' then
      value := app.roster_term('locale', cell);
      if value is null then
        parts := string_to_array(replace(cell, '_', '-'), '-');
        value := lower(parts[1]) || coalesce('-' || case when length(parts[2]) = 4 then initcap(parts[2]) else upper(parts[2]) end, '')
          || coalesce('-' || upper(parts[3]), '');
        reason := case when cardinality(parts) > 3 or app.is_locale(value) is not true then 'invalid_locale' end;
      end if;
  end case;
  if reason is not null then
    value := null;
    remark := null;
  end if;
end;
$$;

comment on function app.roster_read(public.roster_fields, text, boolean, text, text) is
  'Reads a cell as its field demands. Out: the value as it is stored, as text, or the reason why it is none; and a remark '
  '(percent, permille: a sign stood behind the number; rounded; the currency of an amount; for e-mails and telephones: what stood beside the first).';

create function app.roster_sentence(reason text, field public.roster_fields)
returns text
language sql
stable
set search_path = ''
return case reason
  when 'too_long' then format('At most %s characters fit here.', coalesce(field.max_length, 10000))
  when 'too_short' then 'At least 3 characters are needed here.'
  when 'invalid_text' then 'The text contains control characters, or is what a spreadsheet shows where a formula failed.'
  when 'unknown_value' then case field.key
    when 'unit_type' then 'No such type of unit is known: house, apartment, shop, storage, office or parking.'
    when 'unit_status' then 'No such status is known: vacant, occupied or under maintenance.'
    when 'role' then 'No such role is known: owner, tenant, family, authorized or guest.'
    when 'person_kind' then 'This is neither a person nor a company.'
    else 'This is neither a yes nor a no.'
  end
  when 'not_a_number' then case field.kind when 'count' then 'This is not a whole number.' when 'share' then 'This is neither a number nor a fraction such as 1/2.' else 'This is not a number.' end
  when 'ambiguous_number' then 'The column uses both comma and point for decimals, so this number could mean two things.'
  when 'out_of_range' then case field.key
    when 'floor' then 'A floor is from -20 to 300.'
    when 'occupant_count' then 'This is from 0 to 1000.'
    when 'ownership_share' then 'A share is above 0 and at most 100 percent.'
    when 'ideal_parts' then 'Ideal parts are from 0 to 99999999.'
    else case field.kind when 'date' then 'The year is not from 1800 to 2200.' when 'amount' then 'An amount is below 1000000000000000.' else 'An area is above 0 and below 100000000.' end
  end
  when 'not_a_floor' then 'This is not one floor: write a number (0 is the ground floor) or its name.'
  when 'not_a_date' then 'This is not a date: write it as 2019-03-01 or 01.03.2019, the year with four digits.'
  when 'ambiguous_date' then 'Day and month could be the other way round: write 2019-03-01, or say which order the file uses.'
  when 'invalid_email' then 'This is not an e-mail address.'
  when 'invalid_phone' then 'This is not a telephone number of 5 to 31 characters.'
  when 'invalid_intercom' then 'An extension has 1 to 12 digits, *, # and capital letters.'
  when 'invalid_locale' then 'No such language is known: write its code, such as bg or es-MX.'
  else 'The value is not valid.'
end;

comment on function app.roster_sentence(text, public.roster_fields) is 'What a report says about a cell that could not be read, for people.';
