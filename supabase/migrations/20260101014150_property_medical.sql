-- Property: what responders have to know of somebody's health.
--
-- Purpose     Medical conditions and accessibility needs, which only the person (a minor's guardian) and, in an alert, its responders read.
-- Tables      private.medical_records, private.encryption_keys, private.emergency_access, private.emergency_responders
-- RPCs        set_medical, read_medical, medical_reads
-- Invariants  What is medical is stored encrypted (OpenPGP, AES-256), under a key that is in Vault where there is one, and in no table
--             beside it. It is bound to its resident: a ciphertext moved to another row opens for nobody. Every attempt to read
--             it, refused ones too, is in the audit log before anything is told. No role opens it: not the management, not the
--             secret key. Whoever owns the database and its keys could; nobody else can.
--
-- Access control opens and closes emergencies with app.open_emergency_access, app.add_emergency_responder, app.close_emergency_access.

-- Keys ---------------------------------------------------------------------------------------------------------------

create table private.encryption_keys (
  id uuid not null default extensions.uuidv7(),
  vault_secret_id uuid,
  secret text,
  created_at timestamptz not null default now(),
  retired_at timestamptz,
  constraint encryption_keys_pkey primary key (id),
  constraint encryption_keys_place_check check (num_nonnulls(vault_secret_id, secret) <= case when retired_at is null then 1 else 0 end),
  constraint encryption_keys_live_check check (retired_at is not null or num_nonnulls(vault_secret_id, secret) = 1)
);

comment on table private.encryption_keys is 'Which key encrypts what is medical: a pointer into Vault, or where there is no Vault (a local stack) the key itself. The newest that is not retired is used.';
comment on column private.encryption_keys.id is 'What a record names its key by.';
comment on column private.encryption_keys.vault_secret_id is 'The secret in Vault.';
comment on column private.encryption_keys.secret is 'The key, where there is no Vault.';
comment on column private.encryption_keys.created_at is 'When it was made.';
comment on column private.encryption_keys.retired_at is 'When the records were encrypted under a newer one and this one was destroyed.';

alter table private.encryption_keys enable row level security;
create policy encryption_keys_select on private.encryption_keys for select to authenticated using (false);

create function app.make_encryption_key()
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
declare
  secret constant text := encode(extensions.gen_random_bytes(32), 'base64');
  made constant uuid := extensions.uuidv7();
  in_vault constant uuid := app.keep_secret('vicinia-medical-' || made, 'Encrypts what residents told about their health.', secret);
begin
  insert into private.encryption_keys (id, vault_secret_id, secret) values (made, in_vault, case when in_vault is null then secret end);
  return made;
end;
$$;

comment on function app.make_encryption_key() is 'Makes a key of 256 random bits, in Vault where it is installed. Not executable by API roles.';

create function app.encryption_key(key uuid)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  known private.encryption_keys;
  secret text;
begin
  select k.* into known from private.encryption_keys k where k.id = key;
  secret := case when known.vault_secret_id is null then known.secret else app.kept_secret(known.vault_secret_id) end;
  if secret is null then
    perform app.fail(409, 'medical_unreadable', 'The key of this record is gone.');
  end if;
  return secret;
end;
$$;

comment on function app.encryption_key(uuid) is 'A key itself (409 medical_unreadable when it is gone). Not executable by API roles.';

-- Records ------------------------------------------------------------------------------------------------------------

create table private.medical_records (
  id uuid not null default extensions.uuidv7(),
  resident_id uuid not null,
  community_id uuid not null,
  key_id uuid not null,
  ciphertext bytea not null,
  updated_at timestamptz not null default now(),
  constraint medical_records_pkey primary key (id),
  constraint medical_records_resident_key unique (community_id, resident_id),
  constraint medical_records_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete cascade,
  constraint medical_records_key_fkey foreign key (key_id) references private.encryption_keys (id) on delete restrict,
  constraint medical_records_ciphertext_check check (octet_length(ciphertext) > 0)
);

create index medical_records_key_idx on private.medical_records (key_id);

comment on table private.medical_records is 'What residents told about their health and needs, encrypted. Written by set_medical, read by read_medical, by nobody otherwise.';
comment on column private.medical_records.id is 'The record''s id.';
comment on column private.medical_records.resident_id is 'Whose.';
comment on column private.medical_records.community_id is 'The resident''s community.';
comment on column private.medical_records.key_id is 'The key it is encrypted under.';
comment on column private.medical_records.ciphertext is 'An OpenPGP message (AES-256): JSON with the resident''s id, medical_conditions and accessibility_needs.';
comment on column private.medical_records.updated_at is 'When it was written.';

alter table private.medical_records enable row level security;
create policy medical_records_select on private.medical_records for select to authenticated using (false);

select app.define_action('MEDICAL_WRITTEN', 'What is kept of a resident''s health was written or taken away.');
select app.define_action('MEDICAL_READ', 'What is kept of a resident''s health was read.');
select app.define_action('MEDICAL_REFUSED', 'Somebody was refused what is kept of a resident''s health.');

create function app.encrypt_medical(resident uuid, key uuid, told jsonb)
returns bytea
language sql
volatile
set search_path = ''
as $$
  select extensions.pgp_sym_encrypt((told || jsonb_build_object('resident_id', resident))::text, app.encryption_key(key), 'cipher-algo=aes256, compress-algo=0')
$$;

comment on function app.encrypt_medical(uuid, uuid, jsonb) is 'Encrypts what is told of a resident, bound to the resident. Not executable by API roles.';

create function app.decrypt_medical(record private.medical_records)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  told jsonb;
begin
  begin
    told := extensions.pgp_sym_decrypt(record.ciphertext, app.encryption_key(record.key_id));
  exception when external_routine_invocation_exception or invalid_text_representation or invalid_parameter_value then
    told := null; -- pgcrypto says why, and what it read
  end;
  if (told ->> 'resident_id')::uuid is distinct from record.resident_id then
    perform app.fail(409, 'medical_unreadable', 'The record does not open with its key, or is another resident''s.');
  end if;
  return told - 'resident_id';
end;
$$;

comment on function app.decrypt_medical(private.medical_records) is
  'What a record tells; 409 medical_unreadable for one that was tampered with or moved. Not executable by API roles.';

create function app.rotate_medical_key()
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  fresh uuid;
  old record;
  rotated integer;
begin
  -- Whoever writes a record meanwhile waits, and then uses the new key.
  lock table private.encryption_keys in share row exclusive mode;
  fresh := app.make_encryption_key();
  perform from private.medical_records m order by m.resident_id for update;
  update private.medical_records m set key_id = fresh, ciphertext = app.encrypt_medical(m.resident_id, fresh, app.decrypt_medical(m));
  get diagnostics rotated = row_count;
  for old in select k.id, k.vault_secret_id from private.encryption_keys k where k.retired_at is null and k.id <> fresh loop
    perform app.destroy_secret(old.vault_secret_id);
    update private.encryption_keys k set retired_at = now(), vault_secret_id = null, secret = null where k.id = old.id;
  end loop;
  return rotated;
end;
$$;

comment on function app.rotate_medical_key() is
  'Makes a new key, encrypts every record under it, and destroys the old ones; returns how many records. For the owner of the database; a backup from before needs the keys from before.';

create function app.forget_medical(ids uuid[])
returns void
language sql
volatile
set search_path = ''
as $$ delete from private.medical_records m where m.id = any (ids) $$;

comment on function app.forget_medical(uuid[]) is 'Erases what is medical of residents. For the registry.';

create function app.merge_medical(keep uuid, duplicate uuid)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  kept private.medical_records;
  moved private.medical_records;
  own jsonb;
  other jsonb;
begin
  lock table private.encryption_keys in row exclusive mode;
  perform from private.medical_records m where m.resident_id in (keep, duplicate) order by m.id for update;
  select m.* into kept from private.medical_records m where m.resident_id = keep;
  select m.* into moved from private.medical_records m where m.resident_id = duplicate;
  if moved.id is null then
    return;
  end if;
  other := app.decrypt_medical(moved);
  if kept.id is null then
    update private.medical_records m set resident_id = keep, ciphertext = app.encrypt_medical(keep, m.key_id, other) where m.id = moved.id;
  else
    own := app.decrypt_medical(kept);
    select jsonb_object_agg(t.key, concat_ws(E'\n', own ->> t.key, nullif(other ->> t.key, own ->> t.key))) into own
    from unnest(array['medical_conditions', 'accessibility_needs']) t (key)
    where num_nonnulls(own ->> t.key, other ->> t.key) > 0;
    update private.medical_records m set ciphertext = app.encrypt_medical(keep, m.key_id, own), updated_at = now() where m.id = kept.id;
    delete from private.medical_records m where m.id = moved.id;
  end if;
end;
$$;

comment on function app.merge_medical(uuid, uuid) is 'What is medical of a duplicate is added to what the survivor told: a responder must miss neither. For the registry.';

select app.register_personal_data('private.medical_records', 'resident_id', 'resident', on_erase => 'function', erase_with => 'app.forget_medical',
  on_merge => 'function', merge_with => 'app.merge_medical', exported => '{updated_at}');

-- Who responds to an emergency -----------------------------------------------------------------------------------------

create table private.emergency_access (
  alert_id uuid not null,
  community_id uuid not null,
  units uuid[] not null,
  residents uuid[] not null,
  opened_at timestamptz not null default now(),
  ends_at timestamptz not null,
  closed_at timestamptz,
  constraint emergency_access_pkey primary key (alert_id),
  constraint emergency_access_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint emergency_access_units_check check (cardinality(units) + cardinality(residents) > 0),
  constraint emergency_access_ends_at_check check (ends_at > opened_at and ends_at <= opened_at + interval '1 day')
);

create index emergency_access_community_idx on private.emergency_access (community_id);

comment on table private.emergency_access is 'The emergency alerts that let responders read what is medical, each for a day at most. Filled by access control.';
comment on column private.emergency_access.alert_id is 'The alert.';
comment on column private.emergency_access.community_id is 'Where.';
comment on column private.emergency_access.units is 'The units whose occupants of the moment it is about.';
comment on column private.emergency_access.residents is 'The residents it is about.';
comment on column private.emergency_access.opened_at is 'When it was opened.';
comment on column private.emergency_access.ends_at is 'When it ends by itself.';
comment on column private.emergency_access.closed_at is 'When it was closed, for good.';

alter table private.emergency_access enable row level security;
create policy emergency_access_select on private.emergency_access for select to authenticated using (false);

create table private.emergency_responders (
  alert_id uuid not null,
  user_id uuid not null,
  added_at timestamptz not null default now(),
  constraint emergency_responders_pkey primary key (alert_id, user_id),
  constraint emergency_responders_alert_fkey foreign key (alert_id) references private.emergency_access (alert_id) on delete cascade,
  constraint emergency_responders_user_fkey foreign key (user_id) references public.profiles (id) on delete cascade
);

create index emergency_responders_user_idx on private.emergency_responders (user_id);

comment on table private.emergency_responders is 'Who responds to an alert.';
comment on column private.emergency_responders.alert_id is 'The alert.';
comment on column private.emergency_responders.user_id is 'The user.';
comment on column private.emergency_responders.added_at is 'Since when.';

alter table private.emergency_responders enable row level security;
create policy emergency_responders_select on private.emergency_responders for select to authenticated using (false);
select app.register_personal_data('private.emergency_responders', 'user_id', 'user', on_erase => 'cascade');

create function app.open_emergency_access(alert uuid, community uuid, units uuid[], residents uuid[], responders uuid[], ends_at timestamptz)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  refused text;
begin
  if exists (select from unnest(units) u where not exists (select from public.units x where x.community_id = community and x.id = u))
    or exists (select from unnest(residents) r where not exists (select from public.residents x where x.community_id = community and x.id = r))
  then
    perform app.fail(422, 'invalid_value', 'An alert is about units and residents of its community.');
  end if;
  insert into private.emergency_access as a (alert_id, community_id, units, residents, ends_at)
  values (alert, community, coalesce(open_emergency_access.units, '{}'), coalesce(open_emergency_access.residents, '{}'), open_emergency_access.ends_at);
  perform app.add_emergency_responder(alert, r) from (select distinct r from unnest(responders) r) x;
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('emergency_access', refused);
  when unique_violation then
    perform app.fail(409, 'emergency_opened', 'This alert was opened already.', 'Add responders to it; a closed alert stays closed.');
end;
$$;

comment on function app.open_emergency_access(uuid, uuid, uuid[], uuid[], uuid[], timestamptz) is
  'Lets the responders of an alert read what is medical of these residents, and of who occupies these units at the moment of reading, until the alert is closed or ends_at (a day at most). '
  'For the definer function of access control that raises the alert; not executable by API roles. Errors: invalid_value, emergency_opened.';

create function app.add_emergency_responder(alert uuid, responder uuid)
returns void
language sql
volatile
set search_path = ''
as $$ insert into private.emergency_responders (alert_id, user_id) values (alert, responder) on conflict do nothing $$;

comment on function app.add_emergency_responder(uuid, uuid) is 'Adds a responder to an alert that was opened. For access control; not executable by API roles.';

create function app.close_emergency_access(alert uuid)
returns void
language sql
volatile
set search_path = ''
as $$ update private.emergency_access a set closed_at = now() where a.alert_id = alert and a.closed_at is null $$;

comment on function app.close_emergency_access(uuid) is 'Ends an alert: from the next statement on its responders read nothing. For access control; not executable by API roles.';

create function app.emergency_of(person public.residents, responder uuid)
returns uuid
language sql
stable
set search_path = ''
return (
  select a.alert_id
  from private.emergency_responders r
  join private.emergency_access a on a.alert_id = r.alert_id
  where r.user_id = responder and a.community_id = person.community_id and a.closed_at is null and a.ends_at > now()
    and a.community_id = any (app.my_communities())
    and (person.id = any (a.residents) or exists (
      select
      from public.occupancies o join public.communities c on c.id = o.community_id
      where o.community_id = person.community_id and o.resident_id = person.id and o.unit_id = any (a.units) and o.deleted_at is null
        and o.starts_on <= (now() at time zone c.time_zone)::date and (o.ends_on is null or o.ends_on >= (now() at time zone c.time_zone)::date)))
  order by a.opened_at
  limit 1);

comment on function app.emergency_of(public.residents, uuid) is
  'The running alert about a resident to which a user responds, while the user has to do with the community; null when there is none. Not executable by API roles.';

-- Writing and reading --------------------------------------------------------------------------------------------------

create function app.set_medical(resident uuid, medical_conditions text, accessibility_needs text)
returns void
language plpgsql
volatile
security definer -- no API role reads or writes records and keys
set search_path = ''
as $$
declare
  person public.residents;
  key uuid;
begin
  select re.* into person from public.residents re where re.id = resident and re.deleted_at is null for no key update;
  if not coalesce(person.id in (select app.my_residents() union select app.my_wards()), false) then
    perform app.require('emergency.manage', person.community_id);
    if person.id is null then
      perform app.fail(404, 'resident_not_found', 'There is no live resident with this id.');
    elsif person.user_id is not null then
      perform app.fail(403, 'permission_denied', 'Who has an account tells this themselves.');
    end if;
  end if;
  if greatest(length(medical_conditions), length(accessibility_needs)) > 8000 then
    perform app.fail(422, 'invalid_value', 'Each of the two texts has at most 8000 characters.');
  end if;

  if num_nonnulls(nullif(btrim(medical_conditions), ''), nullif(btrim(accessibility_needs), '')) = 0 then
    delete from private.medical_records m where m.community_id = person.community_id and m.resident_id = person.id;
  else
    -- A rotation of keys waits for this, or this for it.
    lock table private.encryption_keys in row exclusive mode;
    select k.id into key from private.encryption_keys k where k.retired_at is null order by k.created_at desc, k.id desc limit 1;
    key := coalesce(key, app.make_encryption_key());
    insert into private.medical_records as m (resident_id, community_id, key_id, ciphertext)
    values (person.id, person.community_id, key, app.encrypt_medical(person.id, key, jsonb_build_object(
      'medical_conditions', nullif(btrim(medical_conditions), ''), 'accessibility_needs', nullif(btrim(accessibility_needs), ''))))
    on conflict on constraint medical_records_resident_key do update set key_id = excluded.key_id, ciphertext = excluded.ciphertext, updated_at = now();
  end if;
  perform app.record_action('MEDICAL_WRITTEN', person.community_id, null, 'public.residents', person.id);
end;
$$;

comment on function app.set_medical(uuid, text, text) is 'What public.set_medical does. Definer: no API role reads or writes records and keys.';

create function public.set_medical(resident_id uuid, medical_conditions text, accessibility_needs text)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_medical(resident_id, medical_conditions, accessibility_needs) $$;

comment on function public.set_medical(uuid, text, text) is
  'Stores, encrypted, what the caller tells responders about their health and needs, or a guardian about a minor''s, in place of what was there; two nulls take it away. Holders of emergency.manage write it, and never read it, for residents without an account. '
  'Errors: permission_denied, resident_not_found, invalid_value.';

create type public.medical_answer as (outcome text, medical_conditions text, accessibility_needs text, alert_id uuid);

comment on type public.medical_answer is 'What read_medical answers; its comment says what the fields are.';

create function app.read_medical(resident uuid, reason text)
returns public.medical_answer
language plpgsql
volatile
security definer -- no API role reads records and keys
set search_path = ''
as $$
declare
  caller constant uuid := app.user_id();
  person public.residents;
  record private.medical_records;
  told jsonb;
  answer public.medical_answer;
begin
  perform app.require_whole_answer();
  select re.* into person from public.residents re where re.id = resident and re.deleted_at is null;
  answer.alert_id := case when caller is not null then app.emergency_of(person, caller) end;
  answer.outcome := case when person.user_id = caller or person.id in (select app.my_wards()) or answer.alert_id is not null then 'granted' else 'refused' end;
  perform app.record_action(case answer.outcome when 'granted' then 'MEDICAL_READ' else 'MEDICAL_REFUSED' end,
    person.community_id, null, 'public.residents', resident, left(reason, 500), jsonb_strip_nulls(jsonb_build_object('alert_id', answer.alert_id)));
  if answer.outcome = 'granted' then
    select m.* into record from private.medical_records m where m.community_id = person.community_id and m.resident_id = person.id;
    if record.id is not null then
      told := app.decrypt_medical(record);
      answer.medical_conditions := told ->> 'medical_conditions';
      answer.accessibility_needs := told ->> 'accessibility_needs';
    end if;
  end if;
  return answer;
end;
$$;

comment on function app.read_medical(uuid, text) is
  'What public.read_medical does. A refusal is answered and not raised: what raises leaves no log. Definer: no API role reads records and keys.';

create function public.read_medical(resident_id uuid, reason text default null)
returns public.medical_answer
language sql
volatile
set search_path = ''
as $$ select app.read_medical(resident_id, reason) $$;

comment on function public.read_medical(uuid, text) is
  'What a resident told about their health and needs: for the person, a minor''s guardian, and the responders of an emergency alert while it runs. outcome is granted, or refused for anybody else (the management and the secret key too) and for a resident who does not exist. '
  'Each call is in the audit log, with the reason given: the person sees it with medical_reads. Errors: medical_unreadable, whole_answer_required, post_required.';

create function app.medical_reads()
returns table (resident_id uuid, at timestamptz, action text, user_id uuid, user_name text, reason text, alert_id uuid)
language plpgsql
stable
security definer -- people read what the audit log has of the reading of their own records, and nothing else
set search_path = ''
as $$
begin
  return query
    select l.row_id, l.recorded_at, l.action, l.actor_id, coalesce(p.display_name, l.actor_label), l.note, (l.changes::jsonb ->> 'alert_id')::uuid
    from audit.log l
    left join public.profiles p on p.id = l.actor_id
    where l.row_id in (select app.my_residents() union select app.my_wards()) and l.action in ('MEDICAL_READ', 'MEDICAL_REFUSED', 'MEDICAL_WRITTEN')
    order by l.recorded_at desc, l.id desc
    limit 1000;
end;
$$;

comment on function app.medical_reads() is 'What public.medical_reads does. Definer: reads those entries of the audit log.';

create function public.medical_reads()
returns table (resident_id uuid, at timestamptz, action text, user_id uuid, user_name text, reason text, alert_id uuid)
language sql
stable
set search_path = ''
as $$ select * from app.medical_reads() $$;

comment on function public.medical_reads() is
  'Who read, tried to read (MEDICAL_REFUSED) or wrote what is kept of the caller''s health, or of a minor''s whose guardian the caller is, newest first, the last thousand.';

grant execute on function
  app.set_medical(uuid, text, text), public.set_medical(uuid, text, text), app.read_medical(uuid, text), public.read_medical(uuid, text)
to authenticated, service_role;
grant execute on function app.medical_reads(), public.medical_reads() to authenticated;
