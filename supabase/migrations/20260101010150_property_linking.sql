-- Property: residents and the users who sign in as them.
--
-- Purpose     A user becomes a resident by an address or a telephone number that Auth has verified.
-- Tables      None of its own; writes residents.user_id
-- Invariants  What was only typed links nobody. One user is one resident of a community. A number that several residents of one
--             community share links nobody. An address that the management corrects takes the link from whoever had the old one.
--             Who is entered and who verifies at the same time are linked.
-- Locks       Addresses and numbers, in the order of their buckets, before anybody is looked for by them; then the users found.
--
-- What it asks of others (minors, invitations) belongs to later topics: PL/pgSQL binds names when it runs.

-- One at a time -------------------------------------------------------------------------------------------------------

-- Whoever enters an address and whoever verifies it at the same time do not see each other's row before both have committed: each locks
-- the address before looking for the other, and then the users found. In few buckets, because an import names thousands.

create function app.lock_buckets(kind regclass, keys text[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(kind::oid::integer, b.bucket)
  from (select distinct hashtext(k) & 255 as bucket from unnest(keys) k where k is not null order by 1 offset 0) b;
end;
$$;

comment on function app.lock_buckets(regclass, text[]) is
  'Locks the buckets of keys until the transaction ends, in order; kind, a table, tells keys of one meaning from those of another. Here: lowercase addresses and numbers in digits (resident_details), all that a statement concerns at once, '
  'and then users (residents), so that one who is found by an address and by a number at once is linked once. Not executable by API roles.';

-- By e-mail address ---------------------------------------------------------------------------------------------------

create function app.link_residents(emails text[])
returns void
language plpgsql
volatile
security definer -- reads auth.users, writes residents.user_id
set search_path = ''
as $$
declare
  users uuid[];
begin
  perform app.lock_buckets('public.resident_details', emails);
  users := array(select p.id from unnest(emails) e (email) cross join lateral (select p.id from public.profiles p where lower(p.email) = e.email offset 0) p);
  if users = '{}' then
    return;
  end if;
  perform app.lock_buckets('public.residents', users::text[]);
  update public.residents re
  set user_id = l.user_id
  from (
    -- One resident per user and community: the first of several who share an address. Users are found by the copy of the
    -- address in profiles, which is indexed, and believed by what Auth says. Lateral and offset 0 keep to this order, index by
    -- index: of tables that were just filled the planner knows nothing, and compared each address with each.
    select distinct on (d.community_id, u.id) d.resident_id, u.id as user_id
    from unnest(emails) e (email)
    cross join lateral (select p.id from public.profiles p where lower(p.email) = e.email offset 0) p
    cross join lateral (
      select u.id from auth.users u where u.id = p.id and lower(u.email) = e.email and u.email_confirmed_at is not null offset 0) u
    cross join lateral (
      select d.community_id, d.resident_id, d.adult_on from public.resident_details d where lower(d.email) = e.email and d.deleted_at is null offset 0) d
    cross join lateral (select r.* from public.residents r where r.community_id = d.community_id and r.id = d.resident_id offset 0) r
    where r.user_id is null and r.deleted_at is null and r.kind = 'person'
      and (d.adult_on is null or d.adult_on <= (select (now() at time zone c.time_zone)::date from public.communities c where c.id = d.community_id))
      and not exists (select from public.residents x where x.community_id = d.community_id and x.user_id = u.id and x.deleted_at is null)
    order by d.community_id, u.id, r.created_at, r.id
  ) l
  where re.id = l.resident_id;
end;
$$;

comment on function app.link_residents(text[]) is
  'Links residents (persons of age) to the users who verified one of these lowercase addresses in Auth. Definer: reads auth.users and writes residents.user_id, which no API role may.';

create function app.tg_resident_details__link()
returns trigger
language plpgsql
security definer -- reads auth.users, writes residents.user_id
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' then
    update public.residents re
    set user_id = null
    from new_rows n
    join old_rows o on o.id = n.id
    where re.community_id = n.community_id and re.id = n.resident_id and re.user_id is not null
      and (lower(n.email), app.phone_digits(n.phone)) is distinct from (lower(o.email), app.phone_digits(o.phone))
      and not exists (
        select from auth.users u
        where u.id = re.user_id
          and (lower(u.email) = lower(n.email) or (u.phone_confirmed_at is not null and ltrim(u.phone, '+') = app.phone_digits(n.phone))));
  end if;
  if current_setting('app.links_wait', true) is distinct from 'on' then
    -- The numbers too, which are linked next.
    perform app.lock_buckets('public.resident_details', array(select lower(n.email) from new_rows n union select app.phone_digits(n.phone) from new_rows n));
    perform app.link_residents(array(select distinct lower(n.email) from new_rows n where n.email is not null));
  end if;
  return null;
end;
$$;

comment on function app.tg_resident_details__link() is
  'AFTER INSERT OR UPDATE: links residents whose address a user has verified already. An address or number that the management corrects takes the link from the user who had the old one. Definer: reads auth.users, writes residents.user_id.';

create trigger _500_link_insert after insert on public.resident_details
  referencing new table as new_rows for each statement execute function app.tg_resident_details__link();
create trigger _500_link_update after update on public.resident_details
  referencing old table as old_rows new table as new_rows for each statement execute function app.tg_resident_details__link();

create function app.tg_auth_users__link()
returns trigger
language plpgsql
security definer -- calls app.link_residents
set search_path = ''
as $$
begin
  perform app.link_residents(array[lower(new.email)]);
  return null;
end;
$$;

comment on function app.tg_auth_users__link() is 'AFTER an address is verified in Auth: links the residents who were entered with it. Definer: calls app.link_residents.';

create function app.tg_auth_users__lock_addresses()
returns trigger
language plpgsql
security definer -- calls app.lock_buckets
set search_path = ''
as $$
begin
  perform app.lock_buckets('public.resident_details', array[lower(new.email), ltrim(new.phone, '+')]);
  return null;
end;
$$;

comment on function app.tg_auth_users__lock_addresses() is
  'AFTER an address or a number is verified in Auth, before anything else follows: locks both. Definer: calls app.lock_buckets.';

create trigger _050_vicinia_addresses_new after insert on auth.users for each row
  when (new.email_confirmed_at is not null or new.phone_confirmed_at is not null) execute function app.tg_auth_users__lock_addresses();
create trigger _050_vicinia_addresses after update of email, email_confirmed_at, phone, phone_confirmed_at on auth.users for each row
  when ((old.email, old.email_confirmed_at is null, old.phone, old.phone_confirmed_at is null)
    is distinct from (new.email, new.email_confirmed_at is null, new.phone, new.phone_confirmed_at is null))
  execute function app.tg_auth_users__lock_addresses();
create trigger _600_vicinia_link_new after insert on auth.users for each row
  when (new.email_confirmed_at is not null) execute function app.tg_auth_users__link();
create trigger _600_vicinia_link after update of email, email_confirmed_at on auth.users for each row
  when (new.email_confirmed_at is not null and (old.email_confirmed_at is null or old.email is distinct from new.email))
  execute function app.tg_auth_users__link();

-- By telephone number -------------------------------------------------------------------------------------------------

create function app.link_residents_by_phone(phones text[])
returns void
language plpgsql
volatile
security definer -- reads auth.users, writes residents.user_id
set search_path = ''
as $$
declare
  verified text[];
  users uuid[];
begin
  perform app.lock_buckets('public.resident_details', phones);
  -- Most numbers are no user's, and Auth knows that at once.
  select coalesce(array_agg(distinct ltrim(u.phone, '+')), '{}'), array_agg(u.id) into verified, users
  from auth.users u
  where u.phone in (select s.spelling from unnest(phones) p (phone) cross join lateral (values (p.phone), ('+' || p.phone)) s (spelling))
    and u.phone_confirmed_at is not null and u.deleted_at is null;
  if verified = '{}' then
    return;
  end if;
  perform app.lock_buckets('public.residents', users::text[]);
  update public.residents re
  set user_id = l.user_id
  from (
    select d.community_id, (array_agg(r.id))[1] as resident_id, u.id as user_id
    from unnest(verified) p (phone)
    cross join lateral (
      select u.id from auth.users u
      where u.phone in (p.phone, '+' || p.phone) and u.phone_confirmed_at is not null and u.deleted_at is null offset 0) u
    cross join lateral (
      select d.community_id, d.resident_id from public.resident_details d
      where app.phone_digits(d.phone) = p.phone and d.phone is not null and d.deleted_at is null offset 0) d
    join public.residents r on r.community_id = d.community_id and r.id = d.resident_id and r.deleted_at is null and r.kind = 'person'
    where exists (select from public.profiles pr where pr.id = u.id)
      and not app.is_minor_on(d.community_id, d.resident_id, (select (now() at time zone c.time_zone)::date from public.communities c where c.id = d.community_id))
    group by d.community_id, u.id
    -- One number, one resident: who shares a number with a housemate is told apart by an address or an invitation.
    having count(*) = 1 and bool_and(r.user_id is null)
      and not exists (select from public.residents x where x.community_id = d.community_id and x.user_id = u.id and x.deleted_at is null)
  ) l
  where re.id = l.resident_id;
end;
$$;

comment on function app.link_residents_by_phone(text[]) is
  'Links residents (persons) to the users who verified one of these numbers (digits, with the country''s code) in Auth, where one resident of the community alone has it. '
  'Definer: reads auth.users and writes residents.user_id, which no API role may.';

create function app.tg_resident_details__link_phone()
returns trigger
language plpgsql
security definer -- calls app.link_residents_by_phone
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' then
    update public.invitations i
    set status = 'revoked'
    from new_rows n
    where i.community_id = n.community_id and i.resident_id = n.resident_id and i.status = 'pending' and i.deleted_at is null
      and (i.email = lower(n.email) or i.phone = app.phone_digits(n.phone)) is not true;
  end if;
  if current_setting('app.links_wait', true) is distinct from 'on' then
    perform app.link_residents_by_phone(array(select distinct app.phone_digits(n.phone) from new_rows n where app.phone_digits(n.phone) is not null));
  end if;
  return null;
end;
$$;

comment on function app.tg_resident_details__link_phone() is
  'AFTER INSERT OR UPDATE: links residents whose number a user has verified already; revokes an invitation to sign up that went to an address which is not the resident''s any more. Definer: calls app.link_residents_by_phone, writes invitations.';

create trigger _510_link_phone_insert after insert on public.resident_details
  referencing new table as new_rows for each statement execute function app.tg_resident_details__link_phone();
create trigger _510_link_phone_update after update on public.resident_details
  referencing new table as new_rows for each statement execute function app.tg_resident_details__link_phone();

create function app.tg_auth_users__link_phone()
returns trigger
language plpgsql
security definer -- calls app.link_residents_by_phone
set search_path = ''
as $$
begin
  perform app.link_residents_by_phone(array[ltrim(new.phone, '+')]);
  return null;
end;
$$;

comment on function app.tg_auth_users__link_phone() is
  'AFTER a number is verified in Auth: links the resident who was entered with it. Definer: calls app.link_residents_by_phone.';

create trigger _600_vicinia_link_phone_new after insert on auth.users for each row
  when (new.phone_confirmed_at is not null) execute function app.tg_auth_users__link_phone();
create trigger _600_vicinia_link_phone after update of phone, phone_confirmed_at on auth.users for each row
  when (new.phone_confirmed_at is not null and (old.phone_confirmed_at is null or old.phone is distinct from new.phone))
  execute function app.tg_auth_users__link_phone();
