-- Property: documents of residents, and whether they are who they say.
--
-- Purpose     Identity cards, deeds and leases: handed in, looked at, run out; and the check of an identity that follows.
-- Tables      resident_documents, identity_checks
-- RPCs        add_resident_document, review_resident_document, withdraw_resident_document, check_identity
-- Views       expiring_documents
-- Invariants  A document and its file are of the resident's community, and a file is one document. The resident and holders of
--             documents.read see row and file, and nobody else: no co-owner, no housemate, not who uploaded it for them.
--             A document is verified by somebody else than the person. One that ran out is expired on the next day of the
--             community, and told of once before.

create type public.resident_document_kind as enum ('identity', 'deed', 'lease', 'other');
create type public.resident_document_status as enum ('uploaded', 'verified', 'rejected', 'expired');
create type public.identity_status as enum ('pending', 'verified', 'rejected');

select app.define_permission('documents.read', 'community', 'Read residents'' documents: identity cards, deeds, leases', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');
select app.define_permission('documents.verify', 'community', 'Verify and reject residents'' documents and identities', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');
select app.define_setting('general.document_reminder_days', 'integer', '30', '{site,organization,community}',
  'How many days before a resident''s document runs out it is told of.', minimum => 1, maximum => 365);

-- Documents ----------------------------------------------------------------------------------------------------------

create table public.resident_documents (
  id uuid not null default extensions.uuidv7(),
  kind public.resident_document_kind not null,
  community_id uuid not null,
  resident_id uuid not null,
  file_id uuid not null,
  number text,
  issued_on date,
  expires_on date,
  status public.resident_document_status not null default 'uploaded',
  reviewed_at timestamptz,
  reviewed_by uuid,
  review_note text,
  reminded_at timestamptz,
  like app.row_model including defaults including comments,
  constraint resident_documents_pkey primary key (id),
  constraint resident_documents_community_id_key unique (community_id, id),
  constraint resident_documents_file_key unique (community_id, file_id),
  constraint resident_documents_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete cascade,
  constraint resident_documents_file_fkey foreign key (community_id, file_id) references public.files (community_id, id) on delete cascade,
  constraint resident_documents_number_check check (length(number) between 1 and 60 and number = btrim(number)),
  constraint resident_documents_expires_on_check check (expires_on >= issued_on),
  constraint resident_documents_reviewed_check check ((reviewed_at is null) = (status = 'uploaded') or status = 'expired'),
  constraint resident_documents_review_note_check check (length(review_note) <= 2000)
);

create index resident_documents_resident_idx on public.resident_documents (community_id, resident_id);
create index resident_documents_expiring_idx on public.resident_documents (expires_on)
  where expires_on is not null and status in ('uploaded', 'verified') and deleted_at is null;

comment on table public.resident_documents is 'What residents handed in about themselves. Changed by add_, review_ and withdraw_resident_document; the file is in the register of files.';
comment on column public.resident_documents.kind is 'identity (card, passport), deed, lease, other; the file''s purpose is resident.<kind>.';
comment on column public.resident_documents.resident_id is 'Whose document.';
comment on column public.resident_documents.file_id is 'The file. Nobody owns it but by this row.';
comment on column public.resident_documents.number is 'The document''s number. Never in the audit log.';
comment on column public.resident_documents.issued_on is 'The day on which it was issued.';
comment on column public.resident_documents.expires_on is 'The last day on which it is valid; null: it does not run out.';
comment on column public.resident_documents.status is 'uploaded: waits for a review. verified, rejected: reviewed. expired: its last day is over.';
comment on column public.resident_documents.reviewed_at is 'When it was verified or rejected.';
comment on column public.resident_documents.reviewed_by is 'The user who did; null when the secret key or Studio did. A plain id: it outlives the user.';
comment on column public.resident_documents.review_note is 'What the reviewer says to the resident: why it was rejected.';
comment on column public.resident_documents.reminded_at is 'When it was told of that it runs out (event resident_document.expiring).';

select app.track('public.resident_documents', secrets => '{number}');

create function app.erase_resident_documents(ids uuid[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform app.erase_files(array(select d.file_id from public.resident_documents d where d.id = any (ids)));
  update public.resident_documents d set number = null, review_note = null where d.id = any (ids);
end;
$$;

comment on function app.erase_resident_documents(uuid[]) is
  'Erases documents of a person: the files go, and the rows, which are parts of them, are archived without number and note. For the registry.';

select app.register_personal_data('public.resident_documents', 'resident_id', 'resident', on_erase => 'function', erase_with => 'app.erase_resident_documents',
  columns => '{"number": null, "review_note": null}', kept_because => 'That a document was reviewed, and by whom, stays accountable; what it said does not.');
select app.register_personal_data('public.resident_documents', 'reviewed_by', 'actor', kept_because => 'Who reviewed stays accountable.');

create trigger _010_frozen_document before update of kind, file_id on public.resident_documents for each row
  when ((old.kind, old.file_id) is distinct from (new.kind, new.file_id)) execute function app.tg__frozen('The kind and the file');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.resident_documents', null, 'uploaded', null, 'Hand in a document'),
  ('public.resident_documents', 'uploaded', 'verified', 'documents.verify', 'Verify the document'),
  ('public.resident_documents', 'uploaded', 'rejected', 'documents.verify', 'Reject the document'),
  ('public.resident_documents', 'verified', 'rejected', 'documents.verify', 'Take the verification back'),
  ('public.resident_documents', 'uploaded', 'expired', null, 'It ran out before anybody looked'),
  ('public.resident_documents', 'verified', 'expired', null, 'It ran out');

select app.state_machine('public.resident_documents', 'status');

create policy resident_documents_select on public.resident_documents for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (
      (select 'documents.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('documents.read'))
      or resident_id in (select app.my_residents())
    )
  );
grant select on public.resident_documents to authenticated;
grant select, insert, update on public.resident_documents to service_role;

create function app.resident_documents_with_me()
returns setof uuid
language plpgsql
stable
security definer -- reads documents before the policy on files is decided
set search_path = ''
as $$
begin
  return query select d.file_id from public.resident_documents d where d.resident_id in (select app.my_residents()) and d.deleted_at is null;
end;
$$;

comment on function app.resident_documents_with_me() is 'The files of the caller''s own documents. Definer: reads resident_documents.';

grant execute on function app.resident_documents_with_me() to authenticated;

select app.define_file_purpose('resident.identity', 'vicinia-residents', 'A resident''s identity card or passport', '{application/pdf,image/png,image/jpeg,image/webp,image/heic}', 10485760,
  'residents.upload', 'documents.verify', read_permission => 'documents.read', readable_files => 'app.resident_documents_with_me');
select app.define_file_purpose('resident.deed', 'vicinia-residents', 'The deed by which a resident owns', '{application/pdf,image/png,image/jpeg,image/webp,image/heic}', 10485760,
  'residents.upload', 'documents.verify', read_permission => 'documents.read', readable_files => 'app.resident_documents_with_me');
select app.define_file_purpose('resident.lease', 'vicinia-residents', 'The lease by which a resident rents', '{application/pdf,image/png,image/jpeg,image/webp,image/heic}', 10485760,
  'residents.upload', 'documents.verify', read_permission => 'documents.read', readable_files => 'app.resident_documents_with_me');
select app.define_file_purpose('resident.other', 'vicinia-residents', 'Another document of a resident', '{application/pdf,image/png,image/jpeg,image/webp,image/heic}', 10485760,
  'residents.upload', 'documents.verify', read_permission => 'documents.read', readable_files => 'app.resident_documents_with_me');

-- Identities ---------------------------------------------------------------------------------------------------------

create table public.identity_checks (
  id uuid not null default extensions.uuidv7(),
  community_id uuid not null,
  resident_id uuid not null,
  status public.identity_status not null default 'pending',
  document_id uuid,
  checked_at timestamptz,
  checked_by uuid,
  note text,
  like app.row_model including defaults including comments,
  constraint identity_checks_pkey primary key (id),
  constraint identity_checks_resident_key unique nulls not distinct (community_id, resident_id, deleted_at),
  constraint identity_checks_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete cascade,
  constraint identity_checks_document_fkey foreign key (community_id, document_id) references public.resident_documents (community_id, id) on delete set null (document_id),
  constraint identity_checks_checked_check check ((checked_at is null) = (status = 'pending')),
  constraint identity_checks_note_check check (length(note) <= 2000)
);

create index identity_checks_document_idx on public.identity_checks (community_id, document_id) where document_id is not null;

comment on table public.identity_checks is
  'Whether a resident is who they say (KYC): one row per resident of whom it was asked, none where it was not. Changed by check_identity and with identity documents.';
comment on column public.identity_checks.resident_id is 'Whose identity.';
comment on column public.identity_checks.status is 'pending: a document waits for a review. verified. rejected.';
comment on column public.identity_checks.document_id is 'The document that was looked at; null where the person came with it.';
comment on column public.identity_checks.checked_at is 'When it was verified or rejected. A document that runs out later does not undo that.';
comment on column public.identity_checks.checked_by is 'The user who did; null when the secret key or Studio did. A plain id: it outlives the user.';
comment on column public.identity_checks.note is 'What the checker says to the resident.';

select app.track('public.identity_checks');
select app.register_personal_data('public.identity_checks', 'resident_id', 'resident', on_erase => 'remove', on_merge => 'archive', columns => '{"note": null}');
select app.register_personal_data('public.identity_checks', 'checked_by', 'actor', kept_because => 'Who checked stays accountable.');

insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.identity_checks', null, 'pending', null, 'An identity document was handed in'),
  ('public.identity_checks', null, 'verified', 'documents.verify', 'Verify the identity'),
  ('public.identity_checks', null, 'rejected', 'documents.verify', 'Reject the identity'),
  ('public.identity_checks', 'pending', 'verified', 'documents.verify', 'Verify the identity'),
  ('public.identity_checks', 'pending', 'rejected', 'documents.verify', 'Reject the identity'),
  ('public.identity_checks', 'rejected', 'pending', null, 'Another identity document was handed in'),
  ('public.identity_checks', 'rejected', 'verified', 'documents.verify', 'Verify the identity'),
  ('public.identity_checks', 'verified', 'rejected', 'documents.verify', 'Take the verification back');

select app.state_machine('public.identity_checks', 'status');

create policy identity_checks_select on public.identity_checks for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (
      (select 'documents.read' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('documents.read'))
      or resident_id in (select app.my_residents())
    )
  );
grant select on public.identity_checks to authenticated;
grant select, insert, update on public.identity_checks to service_role;

create function app.is_identity_verified(community uuid, resident uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (
    select from public.identity_checks i
    where i.community_id = community and i.resident_id = resident and i.status = 'verified' and i.deleted_at is null);
end;
$$;

comment on function app.is_identity_verified(uuid, uuid) is 'Whether the resident''s identity was verified and that was not taken back. Not executable by API roles.';

create function app.tg_identity_checks__onboarding()
returns trigger
language plpgsql
security definer -- onboarding is in no column grant
set search_path = ''
as $$
begin
  update public.residents re
  set onboarding = case when new.status = 'verified' then 'verified' else 'registered' end::public.onboarding_state
  where re.community_id = new.community_id and re.id = new.resident_id
    and case when new.status = 'verified' then re.onboarding = 'registered' else re.onboarding in ('verified', 'active') end;
  return null;
end;
$$;

comment on function app.tg_identity_checks__onboarding() is
  'AFTER an identity is verified, or that is taken back: a registered resident is verified, or is not. Definer: onboarding is in no column grant.';

create trigger _500_onboarding_new after insert on public.identity_checks for each row
  when (new.status = 'verified') execute function app.tg_identity_checks__onboarding();
create trigger _500_onboarding after update of status on public.identity_checks for each row
  when (old.status <> new.status and (old.status = 'verified' or new.status = 'verified')) execute function app.tg_identity_checks__onboarding();

create function app.record_identity(person public.residents, outcome public.identity_status, document uuid, note text)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  if person.user_id = auth.uid() then
    perform app.fail(409, 'own_account', 'Nobody checks the own identity.');
  end if;
  insert into public.identity_checks as i (community_id, resident_id, status, document_id, checked_at, checked_by, note)
  values (person.community_id, person.id, outcome, document, now(), auth.uid(), record_identity.note)
  on conflict on constraint identity_checks_resident_key do update
  set status = excluded.status, document_id = excluded.document_id, checked_at = excluded.checked_at, checked_by = excluded.checked_by, note = excluded.note;
end;
$$;

comment on function app.record_identity(public.residents, public.identity_status, uuid, text) is
  'Stores the outcome of a check (409 own_account for the own). Who calls it has locked the resident. Not executable by API roles.';

create function app.check_identity(resident uuid, outcome public.identity_status, document uuid, note text)
returns void
language plpgsql
volatile
security definer -- API roles may not write checks
set search_path = ''
as $$
declare
  person constant public.residents := app.resident_to_change(resident, 'documents.verify');
  refused text;
begin
  if (outcome in ('verified', 'rejected')) is not true then
    perform app.fail(422, 'invalid_value', 'The outcome of a check is verified or rejected.');
  elsif document is not null and not exists (
    select from public.resident_documents d
    where d.community_id = person.community_id and d.id = document and d.resident_id = person.id and d.kind = 'identity' and d.deleted_at is null)
  then
    perform app.fail(404, 'document_not_found', 'There is no such identity document of this resident.');
  end if;
  perform app.record_identity(person, outcome, document, note);
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('identity_checks', refused);
end;
$$;

comment on function app.check_identity(uuid, public.identity_status, uuid, text) is 'What public.check_identity does. Definer: no API role may write checks.';

create function public.check_identity(resident_id uuid, outcome public.identity_status, document_id uuid default null, note text default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.check_identity(resident_id, outcome, document_id, note) $$;

comment on function public.check_identity(uuid, public.identity_status, uuid, text) is
  'Verifies or rejects who a resident says to be, with or without a document in the register; a resident who has signed up is verified with that. Takes documents.verify. '
  'Errors: permission_denied, resident_not_found, document_not_found, own_account, invalid_value, transition_refused.';

grant execute on function app.check_identity(uuid, public.identity_status, uuid, text), public.check_identity(uuid, public.identity_status, uuid, text)
to authenticated, service_role;

-- Handing in, reviewing, withdrawing -----------------------------------------------------------------------------------

create function app.add_resident_document(resident uuid, file uuid, kind public.resident_document_kind, number text, issued_on date, expires_on date)
returns uuid
language plpgsql
volatile
security definer -- API roles may write neither documents nor the register
set search_path = ''
as $$
declare
  person public.residents;
  is_own boolean;
  today date;
  made uuid;
  refused text;
begin
  select re.* into person from public.residents re where re.id = resident and re.deleted_at is null for no key update;
  is_own := coalesce(person.id in (select app.my_residents()) and person.community_id = any (app.my_communities()), false);
  if not is_own then
    perform app.require('documents.verify', person.community_id);
  end if;
  if person.id is null then
    perform app.fail(404, 'resident_not_found', 'There is no live resident with this id.');
  elsif kind is null then
    perform app.fail(422, 'invalid_value', 'A document is of a kind: identity, deed, lease or other.');
  end if;
  select (now() at time zone c.time_zone)::date into today from public.communities c where c.id = person.community_id;
  if expires_on < today then
    perform app.fail(422, 'document_expired', format('The document was valid until %s.', expires_on), 'Hand in one that is valid.');
  elsif issued_on > today then
    perform app.fail(422, 'invalid_value', 'The value of issued_on is not valid: that day has yet to come.');
  end if;

  -- The file is the document's from now on, and its uploader's no more.
  update public.files f
  set owner_id = null
  where f.community_id = person.community_id and f.id = file and f.purpose = 'resident.' || add_resident_document.kind
    and f.status = 'stored' and f.deleted_at is null and (app.is_trusted() or f.owner_id = auth.uid());
  if not found then
    perform app.fail(422, 'invalid_value', format('file_id is no stored file of purpose resident.%s that you uploaded to this community.', kind), 'register_file, then upload.');
  end if;
  insert into public.resident_documents (kind, community_id, resident_id, file_id, number, issued_on, expires_on)
  values (add_resident_document.kind, person.community_id, person.id, file, nullif(btrim(number), ''), add_resident_document.issued_on, add_resident_document.expires_on)
  returning id into made;

  if kind = 'identity' then
    insert into public.identity_checks as i (community_id, resident_id, document_id)
    values (person.community_id, person.id, made)
    on conflict on constraint identity_checks_resident_key do update
    set status = 'pending', document_id = excluded.document_id, checked_at = null, checked_by = null, note = null
    where i.status <> 'verified';
  end if;
  return made;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('resident_documents', refused);
end;
$$;

comment on function app.add_resident_document(uuid, uuid, public.resident_document_kind, text, date, date) is
  'What public.add_resident_document does. Definer: no API role may write documents or the register.';

create function public.add_resident_document(
  resident_id uuid, file_id uuid, kind public.resident_document_kind, number text default null, issued_on date default null, expires_on date default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.add_resident_document(resident_id, file_id, kind, number, issued_on, expires_on) $$;

comment on function public.add_resident_document(uuid, uuid, public.resident_document_kind, text, date, date) is
  'Makes a file that the caller uploaded (purpose resident.<kind>) a document of the resident: of the caller, or with documents.verify of anybody. An identity card asks for a check of the identity. '
  'Errors: permission_denied, resident_not_found, document_expired, invalid_value.';

create function app.document_to_change(document uuid)
returns public.resident_documents
language plpgsql
volatile
set search_path = ''
as $$
declare
  found_one public.resident_documents;
begin
  select d.* into found_one from public.resident_documents d where d.id = document and d.deleted_at is null for no key update;
  if found_one.id is null or not (
    app.is_trusted() or app.can('documents.read', found_one.community_id)
    or (found_one.resident_id in (select app.my_residents()) and found_one.community_id = any (app.my_communities())))
  then
    perform app.fail(404, 'document_not_found', 'There is no such document that you may see.');
  end if;
  return found_one;
end;
$$;

comment on function app.document_to_change(uuid) is 'Locks a document that the caller may see (404 document_not_found). Not executable by API roles.';

create function app.review_resident_document(document uuid, outcome public.resident_document_status, note text)
returns void
language plpgsql
volatile
security definer -- status is in no column grant
set search_path = ''
as $$
declare
  handed_in constant public.resident_documents := app.document_to_change(document);
  person public.residents;
  refused text;
begin
  perform app.require('documents.verify', handed_in.community_id);
  select re.* into person from public.residents re where re.community_id = handed_in.community_id and re.id = handed_in.resident_id for no key update;
  if (outcome in ('verified', 'rejected')) is not true then
    perform app.fail(422, 'invalid_value', 'The outcome of a review is verified or rejected.');
  elsif person.user_id = auth.uid() then
    perform app.fail(409, 'own_account', 'Nobody reviews the own documents.');
  elsif outcome = 'verified' and handed_in.expires_on < (select (now() at time zone c.time_zone)::date from public.communities c where c.id = handed_in.community_id) then
    perform app.fail(422, 'document_expired', format('The document was valid until %s.', handed_in.expires_on), 'Hand in one that is valid.');
  end if;
  update public.resident_documents d
  set status = outcome, reviewed_at = now(), reviewed_by = auth.uid(), review_note = note
  where d.id = handed_in.id and d.status <> outcome;
  if found and handed_in.kind = 'identity' then
    perform app.record_identity(person, outcome::text::public.identity_status, handed_in.id, note)
    where outcome = 'verified' or exists (
      select from public.identity_checks i where i.community_id = person.community_id and i.document_id = handed_in.id and i.status <> 'rejected');
  end if;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('resident_documents', refused);
end;
$$;

comment on function app.review_resident_document(uuid, public.resident_document_status, text) is
  'What public.review_resident_document does. A rejected document takes the identity along that rests on it, and no other. Definer: status is in no column grant.';

create function public.review_resident_document(document_id uuid, outcome public.resident_document_status, note text default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.review_resident_document(document_id, outcome, note) $$;

comment on function public.review_resident_document(uuid, public.resident_document_status, text) is
  'Verifies or rejects a document; with an identity document, the identity too. Takes documents.verify, and never of the own. '
  'Errors: document_not_found, permission_denied, document_expired, own_account, invalid_value, transition_refused.';

create function app.withdraw_resident_document(document uuid)
returns void
language plpgsql
volatile
security definer -- API roles may not write documents
set search_path = ''
as $$
declare
  unwanted constant public.resident_documents := app.document_to_change(document);
begin
  if not app.is_trusted() and not app.can('documents.verify', unwanted.community_id) then
    if unwanted.resident_id not in (select app.my_residents()) then
      perform app.fail(403, 'permission_denied', 'This takes the permission documents.verify in this community.');
    elsif unwanted.status = 'verified' then
      perform app.fail(409, 'document_verified', 'The document was verified.', 'Ask the management to remove it.');
    end if;
  end if;
  update public.files f set status = 'removed', deleted_at = clock_timestamp()
  where f.community_id = unwanted.community_id and f.id = unwanted.file_id and f.deleted_at is null;
  perform app.emit('file.removed', f.community_id, jsonb_build_object('file_id', f.id, 'bucket', f.bucket, 'path', f.path))
  from public.files f where f.id = unwanted.file_id;
end;
$$;

comment on function app.withdraw_resident_document(uuid) is
  'What public.withdraw_resident_document does: removes the file, whose part the document is. Definer: API roles may write neither.';

create function public.withdraw_resident_document(document_id uuid)
returns void
language sql
volatile
set search_path = ''
as $$ select app.withdraw_resident_document(document_id) $$;

comment on function public.withdraw_resident_document(uuid) is
  'Takes a document and its file away, from the next statement on: the own while it is not verified, any with documents.verify. Errors: document_not_found, permission_denied, document_verified.';

grant execute on function
  app.add_resident_document(uuid, uuid, public.resident_document_kind, text, date, date),
  public.add_resident_document(uuid, uuid, public.resident_document_kind, text, date, date),
  app.review_resident_document(uuid, public.resident_document_status, text), public.review_resident_document(uuid, public.resident_document_status, text),
  app.withdraw_resident_document(uuid), public.withdraw_resident_document(uuid)
to authenticated, service_role;

-- What time does to them ---------------------------------------------------------------------------------------------

create function app.job_resident_documents()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  told record;
begin
  for told in
    update public.resident_documents d
    set status = 'expired'
    from public.communities c
    where c.id = d.community_id and d.status in ('uploaded', 'verified') and d.deleted_at is null and d.expires_on < (now() at time zone c.time_zone)::date
    returning d.id, d.community_id, d.resident_id, d.kind, d.expires_on
  loop
    perform app.emit('resident_document.expired', told.community_id,
      jsonb_build_object('document_id', told.id, 'resident_id', told.resident_id, 'kind', told.kind, 'expires_on', told.expires_on));
  end loop;

  for told in
    update public.resident_documents d
    set reminded_at = now()
    from public.communities c
    where c.id = d.community_id and d.status in ('uploaded', 'verified') and d.deleted_at is null and d.reminded_at is null and d.expires_on is not null
      and d.expires_on - app.setting('general.document_reminder_days', c.id)::integer <= (now() at time zone c.time_zone)::date
    returning d.id, d.community_id, d.resident_id, d.kind, d.expires_on
  loop
    perform app.emit('resident_document.expiring', told.community_id,
      jsonb_build_object('document_id', told.id, 'resident_id', told.resident_id, 'kind', told.kind, 'expires_on', told.expires_on));
  end loop;
end;
$$;

comment on function app.job_resident_documents() is
  'Job resident-documents: expires the documents whose last day is over in their community (event resident_document.expired), and tells of those that will be soon, once each (event resident_document.expiring, setting general.document_reminder_days).';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('resident-documents', '41 * * * *', 'app.job_resident_documents()', 'Expires documents on the day after their last, in every time zone, and tells of those that run out soon.');

create view public.expiring_documents with (security_invoker = true) as
select
  c.name as community, re.full_name, d.kind, d.status, d.issued_on, d.expires_on,
  d.expires_on - (now() at time zone c.time_zone)::date as days_left, d.reminded_at,
  d.community_id, d.resident_id, d.id as document_id
from public.resident_documents d
join public.communities c on c.id = d.community_id
join public.residents re on re.community_id = d.community_id and re.id = d.resident_id
where d.expires_on is not null and d.status in ('uploaded', 'verified', 'expired') and d.deleted_at is null and re.deleted_at is null
  and re.onboarding <> 'moved_out'
  and d.expires_on - (now() at time zone c.time_zone)::date <= 90
  -- What was handed in again since is nobody's concern.
  and not exists (
    select from public.resident_documents newer
    where newer.community_id = d.community_id and newer.resident_id = d.resident_id and newer.kind = d.kind and newer.deleted_at is null
      and newer.status in ('uploaded', 'verified') and newer.expires_on > d.expires_on);

comment on view public.expiring_documents is
  'Documents that ran out or will within 90 days and that no newer one of the kind replaces, with names instead of ids. Shows what the reader may see.';
comment on column public.expiring_documents.community is 'Name of the community.';
comment on column public.expiring_documents.full_name is 'Name of the resident.';
comment on column public.expiring_documents.kind is 'identity, deed, lease, other.';
comment on column public.expiring_documents.status is 'uploaded, verified or expired.';
comment on column public.expiring_documents.issued_on is 'When it was issued.';
comment on column public.expiring_documents.expires_on is 'Its last day.';
comment on column public.expiring_documents.days_left is 'Days from today, the community''s, to the last; negative when that is over.';
comment on column public.expiring_documents.reminded_at is 'When it was told of.';
comment on column public.expiring_documents.community_id is 'The community''s id.';
comment on column public.expiring_documents.resident_id is 'The resident''s id.';
comment on column public.expiring_documents.document_id is 'The document''s id.';

grant select on public.expiring_documents to authenticated, service_role;
