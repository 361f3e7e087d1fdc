-- Property: consents.
--
-- Purpose     Who agreed to what, in which words, when and how; and when they took it back.
-- Tables      consent_texts, consents
-- RPCs        give_consent, record_consent, withdraw_consent
-- Invariants  A text that can be agreed to never changes; other words are another version. A consent names the very text, and
--             nothing about it changes but that it is withdrawn, once. Giving it again is a new row, so the history stays. Nobody
--             consents for somebody else: the management can record what a resident declared, and how, and says so.

create type public.consent_channel as enum ('app', 'paper', 'mail', 'phone', 'in_person');

select app.define_permission('consents.manage', 'community', 'Publish texts to consent to, see consents, record those given on paper', '{
  site/superadmin, organization/owner, organization/admin, community/admin, community/manager}');

-- Texts --------------------------------------------------------------------------------------------------------------

create table public.consent_texts (
  id uuid not null default extensions.uuidv7(),
  purpose text not null,
  version text not null,
  locale text not null,
  title text not null,
  body text not null,
  organization_id uuid,
  community_id uuid,
  retired_at timestamptz,
  like app.row_model including defaults including comments,
  constraint consent_texts_pkey primary key (id),
  constraint consent_texts_version_key unique nulls not distinct (purpose, version, locale, organization_id, community_id, deleted_at),
  constraint consent_texts_organization_fkey foreign key (organization_id) references public.organizations (id) on delete cascade,
  constraint consent_texts_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint consent_texts_scope_check check (num_nonnulls(organization_id, community_id) <= 1),
  constraint consent_texts_purpose_check check (purpose ~ '^[a-z][a-z0-9_]{1,62}$'),
  constraint consent_texts_version_check check (app.is_name(version) and length(version) <= 40),
  constraint consent_texts_locale_check check (app.is_locale(locale)),
  constraint consent_texts_title_check check (app.is_name(title)),
  constraint consent_texts_body_check check (length(btrim(body)) between 1 and 100000)
);

create index consent_texts_organization_idx on public.consent_texts (organization_id) where organization_id is not null;
create index consent_texts_community_idx on public.consent_texts (community_id) where community_id is not null;

comment on table public.consent_texts is
  'What people are asked to agree to, word for word, per version and language: of the site (both ids null), of an organization, or of a community. The newest that is not retired is what is asked now.';
comment on column public.consent_texts.purpose is 'What the data is used for, as a key: newsletter, resident_directory, camera_images.';
comment on column public.consent_texts.version is 'Which wording: 2026-01, 2.0. Every language of a wording has the same.';
comment on column public.consent_texts.locale is 'Language of the text (BCP 47).';
comment on column public.consent_texts.title is 'What people see above it.';
comment on column public.consent_texts.body is 'The text, as it is shown.';
comment on column public.consent_texts.organization_id is 'The organization whose text it is.';
comment on column public.consent_texts.retired_at is 'From when on nobody is asked any more; consents given before hold until they are withdrawn.';

select app.track('public.consent_texts');

create trigger _010_frozen_text before update of purpose, version, locale, title, body, organization_id on public.consent_texts for each row
  when (
    (old.purpose, old.version, old.locale, old.title, old.body, old.organization_id)
    is distinct from (new.purpose, new.version, new.locale, new.title, new.body, new.organization_id))
  execute function app.tg__frozen('The text');

create policy consent_texts_select on public.consent_texts for select to authenticated
  using (
    deleted_at is null
    and (
      community_id = any ((select g.communities from app.gate g)::uuid[])
      or organization_id = any ((select app.my_organizations())::uuid[])
      or (community_id is null and organization_id is null and (select app.user_id()) is not null)
    )
  );
create policy consent_texts_insert on public.consent_texts for insert to authenticated
  with check (
    community_id = any ((select app.communities_where('consents.manage'))::uuid[])
    or organization_id in (select app.organizations_with('consents.manage'))
    or (community_id is null and organization_id is null and (select app.can_on_site('consents.manage')))
  );
create policy consent_texts_update on public.consent_texts for update to authenticated
  using (
    deleted_at is null
    and (
      community_id = any ((select app.communities_where('consents.manage'))::uuid[])
      or organization_id in (select app.organizations_with('consents.manage'))
      or (community_id is null and organization_id is null and (select app.can_on_site('consents.manage')))
    )
  )
  with check (
    community_id = any ((select app.communities_where('consents.manage'))::uuid[])
    or organization_id in (select app.organizations_with('consents.manage'))
    or (community_id is null and organization_id is null and (select app.can_on_site('consents.manage')))
  );

grant select, insert (id, purpose, version, locale, title, body, organization_id, community_id), update (retired_at) on public.consent_texts to authenticated;
grant select, insert, update on public.consent_texts to service_role;

-- Consents -----------------------------------------------------------------------------------------------------------

create table public.consents (
  id uuid not null default extensions.uuidv7(),
  purpose text not null,
  text_id uuid not null,
  user_id uuid,
  organization_id uuid,
  community_id uuid,
  resident_id uuid,
  channel public.consent_channel not null default 'app',
  given_at timestamptz not null default now(),
  withdrawn_at timestamptz,
  ip_address inet,
  user_agent text,
  note text,
  like app.row_model including defaults including comments,
  constraint consents_pkey primary key (id),
  constraint consents_text_fkey foreign key (text_id) references public.consent_texts (id) on delete restrict,
  constraint consents_organization_fkey foreign key (organization_id) references public.organizations (id) on delete cascade,
  constraint consents_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint consents_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete cascade,
  constraint consents_person_check check (num_nonnulls(user_id, resident_id) = 1),
  constraint consents_resident_check check (resident_id is null or community_id is not null),
  constraint consents_given_at_check check (given_at <= created_at),
  constraint consents_withdrawn_at_check check (withdrawn_at >= given_at),
  constraint consents_user_agent_check check (length(user_agent) <= 500),
  constraint consents_note_check check (length(note) <= 2000)
);

create unique index consents_running_key on public.consents (text_id, user_id, resident_id) nulls not distinct
  where withdrawn_at is null and deleted_at is null;
create index consents_user_idx on public.consents (user_id) where user_id is not null;
create index consents_text_idx on public.consents (text_id);
create index consents_organization_idx on public.consents (organization_id) where organization_id is not null;
create index consents_community_idx on public.consents (community_id, resident_id) where community_id is not null;

comment on table public.consents is
  'Who agreed to which text, and when they took it back: one row each time, kept as evidence. Running while withdrawn_at is null. Changed by give_consent, record_consent and withdraw_consent.';
comment on column public.consents.purpose is 'The purpose of the text. Set by the database.';
comment on column public.consents.text_id is 'The text, in the words and the language that were shown.';
comment on column public.consents.user_id is 'The user who agreed in an app. A plain id: the evidence outlives the user.';
comment on column public.consents.organization_id is 'The organization whose text it is. Set by the database.';
comment on column public.consents.community_id is 'The community whose text it is (set by the database), or of the resident.';
comment on column public.consents.resident_id is 'The resident who agreed on paper or by word; recorded by the management.';
comment on column public.consents.channel is 'How it was given: app by the user themselves, the others as the management recorded them.';
comment on column public.consents.given_at is 'When it was given; for what was recorded later, the day on the paper.';
comment on column public.consents.withdrawn_at is 'When it was taken back; null while it holds.';
comment on column public.consents.ip_address is 'Where the request that gave it came from, as the gateway said.';
comment on column public.consents.user_agent is 'The program that gave it, as it called itself.';
comment on column public.consents.note is 'Where the paper is, who heard the word.';

select app.track('public.consents', secrets => '{ip_address,user_agent}');

create function app.tg_consents__text()
returns trigger
language plpgsql
security definer -- reads texts regardless of who may list them
set search_path = ''
as $$
declare
  agreed public.consent_texts;
begin
  select t.* into agreed from public.consent_texts t where t.id = new.text_id;
  new.purpose := agreed.purpose;
  new.organization_id := agreed.organization_id;
  if new.resident_id is null then
    new.community_id := agreed.community_id;
  elsif (coalesce(agreed.community_id, new.community_id) = new.community_id
    and (agreed.organization_id is null
      or agreed.organization_id = (select c.organization_id from public.communities c where c.id = new.community_id))) is not true
  then
    perform app.fail(409, 'consent_text_elsewhere', 'The text is of another community or organization than the resident.');
  end if;
  return new;
end;
$$;

comment on function app.tg_consents__text() is
  'BEFORE INSERT: the purpose and the scope of a consent are its text''s; a resident agrees to texts of the site, of the own community and of its organization (409 consent_text_elsewhere). Definer: reads texts.';

create trigger _200_text before insert on public.consents for each row execute function app.tg_consents__text();
create trigger _010_frozen_consent before update of purpose, text_id, organization_id, channel, given_at, withdrawn_at on public.consents for each row
  when (
    (old.purpose, old.text_id, old.organization_id, old.channel, old.given_at) is distinct from (new.purpose, new.text_id, new.organization_id, new.channel, new.given_at)
    or (old.withdrawn_at is not null and old.withdrawn_at is distinct from new.withdrawn_at))
  execute function app.tg__frozen('What was agreed to, when, and when it was withdrawn');

create function app.tg_consents__emit()
returns trigger
language plpgsql
security definer -- calls app.emit, which no API role may
set search_path = ''
as $$
begin
  perform app.emit(case when new.withdrawn_at is null then 'consent.given' else 'consent.withdrawn' end, new.community_id,
    jsonb_build_object('consent_id', new.id, 'purpose', new.purpose, 'text_id', new.text_id, 'user_id', new.user_id, 'resident_id', new.resident_id,
      'organization_id', new.organization_id));
  return null;
end;
$$;

comment on function app.tg_consents__emit() is 'AFTER INSERT, and AFTER UPDATE that withdraws: events consent.given and consent.withdrawn. Definer: calls app.emit.';

create trigger _600_emit_given after insert on public.consents for each row execute function app.tg_consents__emit();
create trigger _600_emit_withdrawn after update of withdrawn_at on public.consents for each row
  when (old.withdrawn_at is null and new.withdrawn_at is not null) execute function app.tg_consents__emit();

create policy consents_select on public.consents for select to authenticated
  using (
    deleted_at is null
    and (
      user_id = (select app.user_id())
      or resident_id in (select app.my_residents())
      or community_id = any ((select app.communities_where('consents.manage'))::uuid[])
      or organization_id in (select app.organizations_with('consents.manage'))
      or (community_id is null and organization_id is null and (select app.can_on_site('consents.manage')))
    )
  );
grant select on public.consents to authenticated;
grant select, insert, update on public.consents to service_role;

-- Giving and withdrawing ---------------------------------------------------------------------------------------------

create function app.give_consent(text_id uuid)
returns uuid
language plpgsql
volatile
security definer -- API roles may not write consents
set search_path = ''
as $$
declare
  caller constant uuid := app.user_id();
  given uuid;
begin
  if caller is null then
    perform app.fail(401, 'account_unknown', 'Consent is given by a user.', 'Sign in first.');
  elsif not exists (
    select from public.consent_texts t
    where t.id = give_consent.text_id and t.deleted_at is null and coalesce(t.retired_at, 'infinity') > now()
      and (t.community_id is null or t.community_id = any (app.my_communities()))
      and (t.organization_id is null or t.organization_id = any (app.my_organizations())))
  then
    perform app.fail(404, 'consent_text_not_found', 'There is no such text to consent to.');
  end if;
  insert into public.consents (text_id, user_id, channel, ip_address, user_agent)
  values (give_consent.text_id, caller, 'app', app.request_address(),
    left(nullif(current_setting('request.headers', true), '')::jsonb ->> 'user-agent', 500))
  on conflict do nothing
  returning id into given;
  if given is null then
    select c.id into given from public.consents c
    where c.text_id = give_consent.text_id and c.user_id = caller and c.withdrawn_at is null and c.deleted_at is null;
  end if;
  return given;
end;
$$;

comment on function app.give_consent(uuid) is 'What public.give_consent does. Definer: no API role may write consents.';

create function public.give_consent(text_id uuid)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.give_consent(text_id) $$;

comment on function public.give_consent(uuid) is
  'The caller agrees to a text they can see. Returns the consent''s id; given already, that one''s. Errors: consent_text_not_found, account_unknown.';

create function app.record_consent(resident_id uuid, text_id uuid, channel public.consent_channel, given_at timestamptz, note text)
returns uuid
language plpgsql
volatile
security definer -- API roles may not write consents
set search_path = ''
as $$
declare
  community constant uuid := (select r.community_id from public.residents r where r.id = record_consent.resident_id and r.deleted_at is null);
  given uuid;
  refused text;
begin
  perform app.require('consents.manage', community);
  if community is null then
    perform app.fail(404, 'resident_not_found', 'There is no live resident with this id.');
  elsif (channel <> 'app') is not true then
    perform app.fail(422, 'invalid_value', 'The channel is paper, mail, phone or in_person; in an app people consent themselves.');
  elsif not exists (select from public.consent_texts t where t.id = record_consent.text_id and t.deleted_at is null) then
    perform app.fail(404, 'consent_text_not_found', 'There is no such text to consent to.');
  end if;
  insert into public.consents (text_id, community_id, resident_id, channel, given_at, note)
  values (record_consent.text_id, community, record_consent.resident_id, record_consent.channel, coalesce(record_consent.given_at, now()), record_consent.note)
  on conflict do nothing
  returning id into given;
  if given is null then
    perform app.fail(409, 'consent_running', 'The resident''s consent to this text is recorded and holds.');
  end if;
  return given;
exception when check_violation then
  get stacked diagnostics refused = constraint_name;
  perform app.fail_check('consents', refused);
end;
$$;

comment on function app.record_consent(uuid, uuid, public.consent_channel, timestamptz, text) is 'What public.record_consent does. Definer: no API role may write consents.';

create function public.record_consent(
  resident_id uuid, text_id uuid, channel public.consent_channel default 'paper', given_at timestamptz default null, note text default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.record_consent(resident_id, text_id, channel, given_at, note) $$;

comment on function public.record_consent(uuid, uuid, public.consent_channel, timestamptz, text) is
  'Records that a resident agreed to a text on paper, by mail, on the phone or in person; takes consents.manage in the community. Returns the consent''s id. '
  'Errors: permission_denied, resident_not_found, consent_text_not_found, consent_text_elsewhere, consent_running, invalid_value.';

create function app.withdraw_consent(consent uuid)
returns integer
language plpgsql
volatile
security definer -- API roles may not write consents
set search_path = ''
as $$
declare
  given public.consents;
  is_own boolean;
  withdrawn integer;
begin
  select c.* into given from public.consents c where c.id = consent and c.deleted_at is null;
  is_own := coalesce(given.user_id = app.user_id() or given.resident_id in (select app.my_residents()), false);
  if given.id is null or not (
    is_own or app.is_trusted() or (given.resident_id is not null and app.can('consents.manage', given.community_id)))
  then
    perform app.fail(404, 'consent_not_found', 'There is no consent with this id.');
  end if;
  update public.consents c
  set withdrawn_at = greatest(now(), c.given_at)
  from public.consent_texts t, public.consent_texts asked
  where t.id = c.text_id and asked.id = given.text_id
    and (t.purpose, t.organization_id, t.community_id) is not distinct from (asked.purpose, asked.organization_id, asked.community_id)
    and c.withdrawn_at is null and c.deleted_at is null
    and (c.id = given.id or c.resident_id = given.resident_id or is_own and (c.user_id = app.user_id() or c.resident_id in (select app.my_residents())));
  get diagnostics withdrawn = row_count;
  return withdrawn;
end;
$$;

comment on function app.withdraw_consent(uuid) is 'What public.withdraw_consent does. Definer: no API role may write consents.';

create function public.withdraw_consent(consent_id uuid)
returns integer
language sql
volatile
set search_path = ''
as $$ select app.withdraw_consent(consent_id) $$;

comment on function public.withdraw_consent(uuid) is
  'Takes a consent back, and with it the person''s other consents to the same purpose of the same place, whatever the version or channel. One''s own; the management withdraws for a resident what it recorded for one. '
  'Returns how many ended; 0 when they had ended before. Errors: consent_not_found.';

grant execute on function app.give_consent(uuid), public.give_consent(uuid) to authenticated;
grant execute on function
  app.record_consent(uuid, uuid, public.consent_channel, timestamptz, text), public.record_consent(uuid, uuid, public.consent_channel, timestamptz, text),
  app.withdraw_consent(uuid), public.withdraw_consent(uuid)
to authenticated, service_role;
