-- Property: exporting, erasing and merging people.
--
-- Purpose     A copy of everything about a person; forgetting a person; making one record of two.
-- RPCs        export_personal_data, erase_personal_data, erase_my_account, merge_residents
-- Invariants  What is exported, erased and moved is what the registry says; this page says who may ask, and when it is refused.
--             Nobody who owns or occupies a unit, or whose data is held, is erased. Erasing happens wholly or not at all, and the audit
--             log forgets with the tables. Of two records of one person that are merged nothing is lost, a suspension neither; the
--             duplicate points to the other.
--             A resident is locked first (by a merge after the units and occupancies of both), then the rest in one order, so that erasures
--             and merges that cross wait for each other.

select app.define_action('PERSONAL_DATA_EXPORTED', 'Everything about a person was handed out.');
select app.define_action('PERSON_ERASED', 'A resident was erased.');
select app.define_action('ACCOUNT_ERASED', 'An account was erased.');
select app.define_action('RESIDENTS_MERGED', 'Two records of one resident were made one.');

-- Who is meant -------------------------------------------------------------------------------------------------------

create function app.records_of(residents uuid[])
returns uuid[]
language sql
stable
set search_path = ''
as $$
  with recursive records as (
    select r.id from public.residents r where r.id = any (residents)
    union
    select d.id from records k join public.residents kept on kept.id = k.id join public.residents d on d.community_id = kept.community_id and d.merged_into_id = kept.id
  )
  select coalesce(array_agg(id), '{}') from records
$$;

comment on function app.records_of(uuid[]) is 'The residents and the duplicates that were merged into them. Not executable by API roles.';

create function app.person_of_resident(resident uuid, with_former_addresses boolean)
returns app.person
language plpgsql
stable
set search_path = ''
as $$
declare
  community constant uuid := (select r.community_id from public.residents r where r.id = resident);
  records constant uuid[] := app.records_of(array[resident]);
  users constant uuid[] := array(select r.user_id from public.residents r where r.id = any (records) and r.user_id is not null);
  details constant uuid[] := array(select d.id from public.resident_details d where d.community_id = community and d.resident_id = any (records));
  emails text[] := array(
    select lower(d.email) from public.resident_details d where d.id = any (details) and d.email is not null
    union
    select app.verified_email(u) from unnest(users) u where app.verified_email(u) is not null);
  -- A number is often a household's: one that somebody else of the community has too names nobody.
  phones constant text[] := array(
    select p.phone
    from (
      select app.phone_digits(d.phone) from public.resident_details d where d.id = any (details)
      union
      select app.verified_phone(u) from unnest(users) u) p (phone)
    where p.phone is not null and not exists (
      select from public.resident_details other
      where app.phone_digits(other.phone) = p.phone and other.phone is not null and other.community_id = community and other.deleted_at is null and other.id <> all (details)));
begin
  if with_former_addresses then
    emails := emails || array(
      select distinct lower(f.email)
      from audit.log l
      cross join lateral jsonb_array_elements_text(
        case jsonb_typeof(l.changes::jsonb -> 'email') when 'array' then l.changes::jsonb -> 'email' when 'string' then jsonb_build_array(l.changes::jsonb -> 'email') else '[]' end) f (email)
      where l.row_id = any (details) and app.is_email(f.email)
        -- One that is somebody else's was a mistake, or is shared.
        and not exists (
          select from public.resident_details other
          where lower(other.email) = lower(f.email) and other.community_id = community and other.deleted_at is null and other.id <> all (details)));
  end if;
  return row(records, users, emails, phones, array[community], true)::app.person;
end;
$$;

comment on function app.person_of_resident(uuid, boolean) is
  'A resident with the merged duplicates, the linked user, the addresses and the numbers nobody else has, in the one community; former addresses, if asked for, from the audit log. Not executable by API roles.';

create function app.person_of_user(subject uuid, with_residents boolean)
returns app.person
language plpgsql
stable
set search_path = ''
as $$
declare
  records constant uuid[] := case when with_residents
    then app.records_of(array(select r.id from public.residents r where r.user_id = subject)) else '{}' end;
begin
  return row(records, array[subject], array_remove(array[app.verified_email(subject)], null), array_remove(array[app.verified_phone(subject)], null),
    array(select distinct r.community_id from public.residents r where r.id = any (records)), false)::app.person;
end;
$$;

comment on function app.person_of_user(uuid, boolean) is 'A user with everything, everywhere, and, if asked for, with the residents'' records that are linked. Not executable by API roles.';

create function app.holds_on(who app.person)
returns table (reason text, until_on date, source text)
language sql
stable
set search_path = ''
as $$
  select h.reason, h.until_on, h.source from app.registered_holds(who) h
  union all
  select h.reason, h.until_on, h.source_table
  from public.retention_holds h
  join public.communities c on c.id = h.community_id
  where h.lifted_at is null and h.deleted_at is null
    and (h.until_on is null or h.until_on >= (now() at time zone c.time_zone)::date)
    and (h.resident_id = any ((who).residents) or (h.user_id = any ((who).users) and (not (who).is_within or h.community_id = any ((who).communities))))
$$;

comment on function app.holds_on(app.person) is 'What forbids erasing a person today: retention holds, and what registered topics say. Not executable by API roles.';

create function app.refuse_held(who app.person)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  longest record;
begin
  select h.* into longest from app.holds_on(who) h order by h.until_on desc nulls first, h.reason limit 1;
  if found then
    perform app.fail(409, 'retention_hold',
      format('%s Kept %s.', regexp_replace(longest.reason, '([^.!?])$', '\1.'), coalesce('until ' || longest.until_on, 'until the hold is lifted')),
      'Erase afterwards. The table retention_holds lists what was placed by hand.');
  end if;
end;
$$;

comment on function app.refuse_held(app.person) is 'Refuses (409 retention_hold) with the reason and the day of the hold that lasts longest. Not executable by API roles.';

-- Exporting ----------------------------------------------------------------------------------------------------------

create function app.export_personal_data(resident uuid)
returns jsonb
language plpgsql
volatile
security definer -- gathers a person's rows from tables that the caller may be unable to read
set search_path = ''
as $$
declare
  caller constant uuid := app.user_id();
  asked public.residents;
  who app.person;
begin
  perform app.require_whole_answer();
  if resident is null then
    if caller is null then
      perform app.fail(401, 'account_unknown', 'Whoever exports their own data is signed in; for a resident, name the resident.');
    end if;
    who := app.person_of_user(caller, true);
    perform app.record_action('PERSONAL_DATA_EXPORTED', tracked => 'public.profiles', row_id => caller);
  else
    select r.* into asked from public.residents r where r.id = resident;
    if asked.user_id is distinct from caller or caller is null then
      perform app.require('privacy.manage', asked.community_id);
    end if;
    if asked.id is null then
      perform app.fail(404, 'resident_not_found', 'There is no resident with this id.');
    elsif asked.merged_into_id is not null then
      perform app.fail(409, 'resident_merged', format('This record was merged into %s.', asked.merged_into_id), 'Name that one.');
    end if;
    who := app.person_of_resident(resident, false);
    perform app.record_action('PERSONAL_DATA_EXPORTED', community => asked.community_id, tracked => 'public.residents', row_id => resident);
  end if;
  return jsonb_build_object(
    'format', 'vicinia.personal-data/1', 'exported_at', now(),
    'subject', jsonb_strip_nulls(jsonb_build_object('user_id', case when resident is null then caller end, 'resident_id', resident, 'community_id', asked.community_id)),
    -- What happened to an account is told to its user, and to no community.
    'data', app.export_rows(who) || case when resident is null then coalesce(app.export_security_events(caller), '[]') else '[]' end);
end;
$$;

comment on function app.export_personal_data(uuid) is 'What public.export_personal_data does. Definer: gathers rows that the caller may be unable to read.';

create function public.export_personal_data(resident_id uuid default null)
returns jsonb
language sql
volatile
set search_path = ''
as $$ select app.export_personal_data(resident_id) $$;

comment on function public.export_personal_data(uuid) is
  'A copy of everything that is known of a person: the caller in all communities, or a resident in theirs (with privacy.manage, or as that resident). '
  '{"format", "exported_at", "subject", "data": [{"table", "about", "columns": {"<column>": what it is}, "rows": [{}]}]}; what tells of somebody else is left out. The audit log keeps that it was handed out (PERSONAL_DATA_EXPORTED). '
  'Errors: account_unknown, permission_denied, resident_not_found, resident_merged, whole_answer_required, post_required.';

-- Erasing ------------------------------------------------------------------------------------------------------------

create function app.refuse_present(asked public.residents)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  present text;
begin
  select string_agg(format('%s of %s', o.role, u.number), ', ' order by o.role, u.number) into present
  from public.occupancies o
  join public.units u on u.community_id = o.community_id and u.id = o.unit_id
  join public.communities c on c.id = o.community_id
  where o.community_id = asked.community_id and o.resident_id = asked.id and o.deleted_at is null
    and (o.ends_on is null or o.ends_on >= (now() at time zone c.time_zone)::date);
  if present is not null then
    perform app.fail(409, 'resident_present', format('The person is still %s.', present), 'End the occupancies first.');
  end if;
end;
$$;

comment on function app.refuse_present(public.residents) is 'Refuses (409 resident_present) while the resident owns or occupies a unit, or is about to. Not executable by API roles.';

create function app.erase_personal_data(resident uuid, reason text)
returns jsonb
language plpgsql
volatile
security definer -- rewrites rows, and the audit, that nobody may
set search_path = ''
as $$
declare
  asked public.residents;
  who app.person;
  erased jsonb;
  why text;
  action_before text;
begin
  perform app.require('privacy.manage', (select r.community_id from public.residents r where r.id = resident));
  why := app.checked_reason(reason);
  -- Whoever writes a row that refers to the resident holds the resident, and is waited for; whoever comes later waits for us.
  select r.* into asked from public.residents r where r.id = resident for update;
  if asked.id is null then
    perform app.fail(404, 'resident_not_found', 'There is no resident with this id.');
  elsif asked.merged_into_id is not null then
    perform app.fail(409, 'resident_merged', format('This record was merged into %s.', asked.merged_into_id), 'Name that one.');
  elsif asked.erased_at is not null then
    return jsonb_build_object('resident_id', resident, 'changed', false, 'erased_at', asked.erased_at, 'rows', '{}'::jsonb);
  end if;
  perform app.refuse_present(asked);
  who := app.person_of_resident(resident, true);
  perform app.refuse_held(who);

  action_before := app.set_action('PERSON_ERASED');
  update public.privacy_requests q set status = 'done', resolved_at = now(), resolved_by = auth.uid(), resolution = 'Erased'
  where q.community_id = asked.community_id and q.resident_id = any ((who).residents) and q.kind = 'erase' and q.status = 'requested' and q.deleted_at is null;
  erased := app.erase_rows(who, why);
  update public.residents r set erased_at = now() where r.id = any ((who).residents);
  perform app.set_action(action_before);
  perform app.emit('resident.erased', asked.community_id, jsonb_build_object('resident_id', resident));

  perform app.erase_person_audit(who, erased -> 'found', why);
  perform app.erase_audit('public.residents', (who).residents, null, why);
  return jsonb_build_object('resident_id', resident, 'changed', true, 'erased_at', now(), 'rows', erased -> 'rows');
end;
$$;

comment on function app.erase_personal_data(uuid, text) is 'What public.erase_personal_data does. Definer: rewrites rows, and the audit log, that nobody may.';

create function public.erase_personal_data(resident_id uuid, reason text)
returns jsonb
language sql
volatile
set search_path = ''
as $$ select app.erase_personal_data(resident_id, reason) $$;

comment on function public.erase_personal_data(uuid, text) is
  'Erases a resident, as the registry says: {"resident_id", "changed", "erased_at", "rows": {"<table>": number}}. The record stays without a name, the link to the account is cut, files go, the audit log forgets; open requests for erasure are answered. '
  'Erased already: changed is false. Takes privacy.manage; the reason stays, so name nobody in it. Not while the person owns or occupies (409 resident_present) or is held (409 retention_hold: reason and date). '
  'Errors: permission_denied, reason_required, invalid_value, resident_not_found, resident_merged, resident_present, retention_hold, erasure_refused.';

create function app.refuse_last_administrator(subject uuid)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  held record;
begin
  -- One change of administrators at a time in a place, in id order: organizations, then communities; on the site, by the role.
  perform from public.organizations o
  where o.id in (select m.organization_id from public.memberships m where m.user_id = subject and m.deleted_at is null) and o.deleted_at is null
  order by o.id for no key update;
  perform from public.communities c
  where c.id in (select m.community_id from public.memberships m where m.user_id = subject and m.deleted_at is null) and c.deleted_at is null
  order by c.id for no key update;
  perform from public.roles r
  where r.id in (select m.role_id from public.memberships m where m.user_id = subject and m.level = 'site' and m.deleted_at is null)
  order by r.id for no key update;

  select coalesce(c.name, o.name, 'the site') as place into held
  from public.memberships m
  join public.role_permissions rp on rp.role_id = m.role_id and rp.permission_key = 'memberships.manage'
  left join public.organizations o on o.id = m.organization_id
  left join public.communities c on c.id = m.community_id
  where m.user_id = subject and m.deleted_at is null and m.restriction is null
    and m.starts_at <= now() and (m.ends_at is null or m.ends_at > now())
    and coalesce(o.deleted_at, c.deleted_at) is null
    and not exists (
      select
      from public.memberships other
      join public.role_permissions orp on orp.role_id = other.role_id and orp.permission_key = 'memberships.manage'
      join public.roles r on r.id = other.role_id and r.deleted_at is null
      join public.profiles p on p.id = other.user_id and p.status = 'active'
      where other.user_id <> subject and other.deleted_at is null and other.restriction is null
        and other.starts_at <= now() and (other.ends_at is null or other.ends_at > now())
        and (other.level, other.organization_id, other.community_id) is not distinct from (m.level, m.organization_id, m.community_id))
  limit 1;
  if found then
    perform app.fail(409, 'last_administrator', format('%s would be left without anybody who may grant roles.', held.place), 'Grant such a role to somebody else first.');
  end if;
end;
$$;

comment on function app.refuse_last_administrator(uuid) is
  'Refuses (409 last_administrator) if a live community or organization, or the site, would be without an administrator when this user is gone. Not executable by API roles.';

create function app.erase_account(subject uuid, reason text)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  why constant text := app.checked_reason(reason);
  who app.person;
  erased jsonb;
  action_before text;
begin
  perform from public.profiles p where p.id = subject for update;
  if not found then
    perform app.fail(404, 'user_not_found', 'There is no user with this id.');
  end if;
  perform app.refuse_last_administrator(subject);
  who := app.person_of_user(subject, false);
  perform app.refuse_held(who);

  action_before := app.set_action('ACCOUNT_ERASED');
  update public.privacy_requests q set status = 'withdrawn', resolved_at = now(), resolution = 'The account was erased'
  where q.user_id = subject and q.resident_id is null and q.status = 'requested' and q.deleted_at is null;
  erased := app.erase_rows(who, why);
  -- Everything that is the user's own and on delete cascade goes with it.
  delete from auth.users u where u.id = subject;
  perform app.set_action(action_before);
  perform app.emit('account.erased', null, jsonb_build_object('user_id', subject));

  perform app.erase_person_audit(who, erased -> 'found', why);
  perform app.erase_audit_origins(subject, why);
  perform app.erase_security_events(subject, why);
  return jsonb_build_object('user_id', subject, 'changed', true, 'rows', erased -> 'rows');
end;
$$;

comment on function app.erase_account(uuid, text) is
  'Erases an account with what is the user''s own, wherever it is; residents'' records lose the link and stay the communities''. For public.erase_my_account, and for administrators in SQL. Not executable by API roles. '
  'Errors: reason_required, user_not_found, last_administrator, retention_hold, erasure_refused.';

create function app.erase_my_account(confirmation text)
returns jsonb
language plpgsql
volatile
security definer -- removes the user from Auth, and rewrites rows and the audit that nobody may
set search_path = ''
as $$
declare
  caller constant uuid := app.user_id();
begin
  if caller is null then
    perform app.fail(401, 'account_unknown', 'An account is erased by whoever is signed in to it.');
  elsif (lower(btrim(confirmation)) = (select coalesce(lower(u.email), u.id::text) from auth.users u where u.id = caller)) is not true then
    perform app.fail(422, 'confirmation_differs', 'To erase your account, write its e-mail address (or its id, if it has none).', 'This cannot be taken back.');
  end if;
  return app.erase_account(caller, 'Asked for by the user.');
end;
$$;

comment on function app.erase_my_account(text) is 'What public.erase_my_account does. Definer: removes the user from Auth, and rewrites rows and the audit log that nobody may.';

create function public.erase_my_account(confirmation text)
returns jsonb
language sql
volatile
set search_path = ''
as $$ select app.erase_my_account(confirmation) $$;

comment on function public.erase_my_account(text) is
  'Erases the caller''s account for good: sign-in, profile, roles, preferences, files, addresses in the audit log and in the security events. confirmation: the account''s e-mail address. Residents'' records stay the communities'', without the link: ask those for erasure (request_privacy) before. '
  'Errors: account_unknown, confirmation_differs, last_administrator, retention_hold.';

-- Merging ------------------------------------------------------------------------------------------------------------

create function app.merge_occupancies(keep uuid, duplicate uuid)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  community constant uuid := (select r.community_id from public.residents r where r.id = keep);
  unified record;
begin
  perform from public.occupancies o where o.community_id = community and o.resident_id in (keep, duplicate) order by o.id for update;
  perform set_config('app.hosts_wait', 'on', true); -- who came by the duplicate stays, and is the survivor's once host_id follows

  -- The same thing entered twice: rows of both, of one unit and role, whose days overlap. Days are doubled, so that one row which ends the
  -- day before another begins does not touch it.
  for unified in
    with held as (
      select o.*, int4range(2 * (o.starts_on - date '2000-01-01'), 2 * (o.ends_on - date '2000-01-01') + 1) as days
      from public.occupancies o
      where o.community_id = community and o.resident_id in (keep, duplicate) and o.deleted_at is null
    ),
    spans as (
      select h.unit_id, h.role, unnest(range_agg(h.days)) as days from held h group by h.unit_id, h.role
    )
    select
      s.unit_id, s.role, min(h.starts_on) as starts_on, range_agg(h.days_lived_in * datemultirange(daterange(h.starts_on, h.ends_on, '[]'))) as days_lived_in, bool_or(h.is_primary_contact) as is_primary_contact,
      count(h.ownership_share) as stated, count(distinct h.ownership_share) as shares, min(h.ownership_share) as share, sum(h.ownership_share) as together,
      count(distinct h.days) = 1 as is_same_days,
      (select sum(o.ownership_share) from public.occupancies o
       where o.community_id = community and o.unit_id = s.unit_id and o.role = 'owner' and o.deleted_at is null
         and daterange(o.starts_on, o.ends_on, '[]') && daterange(min(h.starts_on), case when bool_or(h.ends_on is null) then null else max(h.ends_on) end, '[]')) as of_all,
      -- Who stays is the row that ends last: its end, and whether it was told of, need no changing.
      (array_agg(h.id order by h.ends_on desc nulls first, (h.resident_id = keep) desc, h.id))[1] as stays, array_agg(h.id) as ids
    from spans s
    join held h on h.unit_id = s.unit_id and h.role = s.role and h.days <@ s.days
    group by s.unit_id, s.role, s.days
    having count(distinct h.resident_id) = 2
  loop
    -- Two shares are parts if the unit has room for both, and one share entered twice if it has not.
    if unified.stated > 1 then
      if unified.is_same_days and unified.of_all <= 100 then
        unified.share := unified.together;
      elsif unified.shares > 1 or unified.of_all <= 100 then
        perform app.fail(409, 'merge_refused', 'Both own shares of one unit, and what they are together is not clear: the shares, or the days, differ.', 'Say first which share it is.');
      end if;
    end if;
    update public.occupancies o set deleted_at = clock_timestamp() where o.id = any (unified.ids) and o.id <> unified.stays;
    update public.occupancies o
    set starts_on = unified.starts_on,
      -- To the end of the stay is until further notice.
      days_lived_in = unified.days_lived_in + case when unified.days_lived_in @> o.ends_on then datemultirange(daterange(o.ends_on, null)) else '{}' end,
      ownership_share = unified.share,
      is_primary_contact = unified.is_primary_contact and not exists (
        select from public.occupancies other
        where other.community_id = community and other.unit_id = unified.unit_id and other.is_primary_contact and other.deleted_at is null and other.id <> o.id
          and daterange(other.starts_on, other.ends_on, '[]') && daterange(unified.starts_on, o.ends_on, '[]'))
    where o.id = unified.stays;
  end loop;

  perform set_config('app.rewriting', 'public.occupancies'::regclass::oid::text, true);
  update public.occupancies o set resident_id = keep where o.community_id = community and o.resident_id = duplicate and o.deleted_at is null;
  perform set_config('app.rewriting', '', true);
  perform set_config('app.hosts_wait', '', true);
end;
$$;

comment on function app.merge_occupancies(uuid, uuid) is
  'Gives the duplicate''s occupancies to the resident who stays. Where both have one of the same unit and role on overlapping days, one row of all the days stays and the others are archived. Shares on the same days are added up where the unit''s owners have no more than the whole; shares that cannot be told apart refuse it (409 merge_refused). Not executable by API roles.';

select app.register_personal_data('public.occupancies', 'resident_id', 'resident', on_merge => 'function', merge_with => 'app.merge_occupancies',
  kept_because => 'That a unit was owned or occupied on a day decides who owed and voted; the row no longer says who it was.');

create function app.tg_residents__merged()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform app.fail(409, 'resident_merged', format('This record was merged into %s.', old.merged_into_id), 'Use that one, or make a new one.');
  return null;
end;
$$;

comment on function app.tg_residents__merged() is 'BEFORE a duplicate that was merged would come back: refuses (409 resident_merged).';

create function app.tg_residents__erased()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform app.refuse_erased(array[old.id]);
  return new;
end;
$$;

comment on function app.tg_residents__erased() is 'BEFORE somebody who was erased would get a name, a reference, a language or an account: refuses (409 resident_erased).';

create trigger _020_erased before update of full_name, reference, locale, user_id on public.residents for each row
  when (old.erased_at is not null and (old.full_name, old.reference, old.locale, old.user_id) is distinct from (new.full_name, new.reference, new.locale, new.user_id)
    and num_nonnulls(new.reference, new.locale, new.user_id) + (new.full_name <> old.full_name)::integer > 0)
  execute function app.tg_residents__erased();
create trigger _020_merged before update of deleted_at on public.residents for each row
  when (old.merged_into_id is not null and old.deleted_at is not null and new.deleted_at is null) execute function app.tg_residents__merged();

create function app.merge_residents(keep uuid, duplicate uuid, reason text)
returns jsonb
language plpgsql
volatile
security definer -- moves rows that nobody may
set search_path = ''
as $$
declare
  community constant uuid := (select r.community_id from public.residents r where r.id = keep);
  kept public.residents;
  merged public.residents;
  moved jsonb;
  why text;
  reason_before constant text := current_setting('app.reason', true);
  action_before text;
begin
  perform app.require('residents.manage', community), app.require('residents.archive', community);
  why := app.checked_reason(reason);
  perform app.require_read_committed();
  -- Units and occupancies before people, as whoever sells, lets or ends a stay takes them: those two would wait for each other otherwise.
  perform from public.units u
  where u.community_id = community and u.id in (
    select o.unit_id from public.occupancies o where o.community_id = community and o.resident_id in (keep, duplicate) and o.deleted_at is null)
  order by u.id for no key update;
  perform from public.occupancies o where o.community_id = community and o.resident_id in (keep, duplicate) and o.deleted_at is null order by o.id for update;
  -- Both in id order: merges that cross wait here, and then find one of the two merged. Whoever writes a row of either is waited for.
  perform from public.residents r where r.id in (keep, duplicate) and r.community_id = community order by r.id for update;
  select r.* into kept from public.residents r where r.id = keep;
  select r.* into merged from public.residents r where r.id = duplicate and r.community_id = community;
  if keep = duplicate then
    perform app.fail(422, 'invalid_value', 'Two records are merged, and these are one.');
  elsif kept.id is null or merged.id is null then
    perform app.fail(404, 'resident_not_found', 'There are no two residents with these ids in one community.');
  elsif merged.merged_into_id = keep then
    return jsonb_build_object('resident_id', keep, 'duplicate_id', duplicate, 'changed', false, 'rows', '{}'::jsonb);
  elsif coalesce(kept.merged_into_id, merged.merged_into_id) is not null then
    perform app.fail(409, 'resident_merged', format('One of the two was merged into %s.', coalesce(kept.merged_into_id, merged.merged_into_id)), 'Name that one.');
  elsif coalesce(kept.erased_at, merged.erased_at) is not null then
    perform app.fail(409, 'resident_erased', 'One of the two was erased, and nobody knows who it was.');
  elsif kept.deleted_at is not null or merged.deleted_at is not null then
    perform app.fail(409, 'row_archived', 'One of the two is archived.', 'Restore it first.');
  elsif kept.kind <> merged.kind then
    perform app.fail(409, 'merge_refused', 'One of the two is a person, the other a company.');
  elsif kept.user_id <> merged.user_id then
    perform app.fail(409, 'merge_two_users', 'Two users sign in as these residents.', 'Correct the address of the one who should not, which takes the link away.');
  elsif merged.onboarding = 'suspended' and kept.onboarding <> 'suspended' then
    perform app.require('residents.suspend', community);
  end if;

  action_before := app.set_action('RESIDENTS_MERGED');
  perform set_config('app.reason', why, true);
  moved := app.merge_rows(community, keep, duplicate);
  -- The account before the record: a user is one live resident of a community.
  update public.residents r set user_id = null, deleted_at = clock_timestamp(), merged_into_id = keep where r.id = duplicate;
  update public.residents r
  set user_id = coalesce(kept.user_id, merged.user_id, r.user_id), reference = coalesce(r.reference, merged.reference), locale = coalesce(r.locale, merged.locale),
    -- A person who was barred by either name is barred.
    onboarding = case when merged.onboarding = 'suspended' then 'suspended' else r.onboarding end
  where r.id = keep;
  perform set_config('app.reason', coalesce(reason_before, ''), true);
  perform app.set_action(action_before);
  perform app.emit('resident.merged', community, jsonb_build_object('resident_id', keep, 'duplicate_id', duplicate));
  return jsonb_build_object('resident_id', keep, 'duplicate_id', duplicate, 'changed', true, 'rows', moved);
end;
$$;

comment on function app.merge_residents(uuid, uuid, text) is 'What public.merge_residents does. Definer: moves rows that nobody may.';

create function public.merge_residents(keep_id uuid, duplicate_id uuid, reason text)
returns jsonb
language sql
volatile
set search_path = ''
as $$ select app.merge_residents(keep_id, duplicate_id, reason) $$;

comment on function public.merge_residents(uuid, uuid, text) is
  'Makes one resident of two records of one person: everything registered follows to keep_id, which takes over what it lacks (account, reference, language, details); the duplicate is archived and points to it. Suspended is who was suspended in either. '
  '{"resident_id", "duplicate_id", "changed", "rows": {"<table>": number}}; merged before: changed is false. Takes residents.manage and residents.archive, and residents.suspend where a suspension comes along; the audit log keeps the reason (RESIDENTS_MERGED). '
  'Errors: permission_denied, reason_required, invalid_value, resident_not_found, resident_merged, resident_erased, row_archived, merge_two_users, merge_refused.';

grant execute on function
  app.export_personal_data(uuid), public.export_personal_data(uuid),
  app.erase_personal_data(uuid, text), public.erase_personal_data(uuid, text),
  app.merge_residents(uuid, uuid, text), public.merge_residents(uuid, uuid, text)
to authenticated, service_role;
grant execute on function app.erase_my_account(text), public.erase_my_account(text) to authenticated;
