-- Access control: cards, fobs and stickers.
--
-- Purpose     What people carry to be let in, and who carries it.
-- Tables      access_cards
-- RPCs        issue_access_card, set_access_card_status
-- Invariants  A card is one resident's or one guard's. Of the cards of a community that have not been returned no two have one number, as
--             readers read it. A card opens only while it is active and its holder is still here: that is looked up at the gate
--             (app.card_problem) and waits for no job. What was returned is never taken up again: it is issued anew.

create type public.access_card_kind as enum ('card', 'fob', 'sticker');
create type public.access_card_status as enum ('active', 'blocked', 'lost', 'returned');

create function app.card_key(number text)
returns text
language plpgsql
immutable
strict
parallel safe
set search_path = ''
as $$
begin
  return nullif(upper(translate(number, ' :-', '') collate pg_catalog.pg_c_utf8), '');
end;
$$;

comment on function app.card_key(text) is
  'By what numbers of cards are compared: capitals, without what stands between the bytes. "04:a2:2b:1c" and "04A22B1C" are one card. Null if nothing remains.';

grant execute on function app.card_key(text) to authenticated, service_role, vicinia_maintenance;

create table public.access_cards (
  id uuid not null default extensions.uuidv7(),
  number text not null,
  community_id uuid not null,
  resident_id uuid,
  guard_id uuid,
  number_key text generated always as (app.card_key(number)) stored,
  kind public.access_card_kind not null default 'card',
  label text,
  expires_on date,
  status public.access_card_status not null default 'active',
  status_reason text,
  like app.row_model including defaults including comments,
  constraint access_cards_pkey primary key (id),
  constraint access_cards_community_id_key unique (community_id, id),
  constraint access_cards_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete restrict,
  constraint access_cards_guard_fkey foreign key (community_id, guard_id) references public.guards (community_id, id) on delete restrict,
  constraint access_cards_holder_check check (num_nonnulls(resident_id, guard_id) = 1),
  constraint access_cards_number_check check (number ~ '^[0-9A-Za-z]+([ :,/.-][0-9A-Za-z]+)*$' and length(number) <= 64),
  constraint access_cards_label_check check (app.is_name(label) and length(label) <= 80),
  constraint access_cards_status_reason_check check (app.is_name(status_reason))
);

create unique index access_cards_number_key on public.access_cards (community_id, number_key) where status <> 'returned' and deleted_at is null;
create index access_cards_resident_idx on public.access_cards (community_id, resident_id) where resident_id is not null;
create index access_cards_guard_idx on public.access_cards (community_id, guard_id) where guard_id is not null;

comment on table public.access_cards is 'Cards, fobs and stickers that open access points. Made by issue_access_card; the state changes by set_access_card_status.';
comment on column public.access_cards.number is 'The number as written on it or read from it. Unique in the community until the card is returned.';
comment on column public.access_cards.resident_id is 'The resident who carries it.';
comment on column public.access_cards.guard_id is 'The guard who carries it.';
comment on column public.access_cards.number_key is 'The number as numbers are compared (app.card_key). Kept by the database.';
comment on column public.access_cards.kind is 'card, fob, sticker (on a windscreen).';
comment on column public.access_cards.label is 'What tells several of one holder apart: blue, the nanny''s.';
comment on column public.access_cards.expires_on is 'The last day on which it opens, in the community''s time zone; null: until further notice.';
comment on column public.access_cards.status is 'active, blocked (for now), lost (nobody knows where it is), returned (it is back; history).';
comment on column public.access_cards.status_reason is 'Why it is in this state; its holder sees it.';

create function app.is_over(card public.access_cards)
returns boolean
language sql
immutable
set search_path = ''
return card.status in ('lost', 'returned');

comment on function app.is_over(public.access_cards) is 'Whether the row is history: a card that is back, or will not come back, does not keep its holder from being archived.';

grant execute on function app.is_over(public.access_cards) to authenticated, service_role;

select app.track('public.access_cards');
select app.register_personal_data('public.access_cards', 'resident_id', 'resident', on_erase => 'remove',
  columns => '{"number": null, "label": null, "status_reason": null}');
select app.register_personal_data('public.access_cards', 'guard_id', 'parent', parent => 'public.guards',
  kept_because => 'Which card a guard carried is the community''s record; a card has a number and no name.');
insert into app.archive_rules (table_id, permission_key) values ('public.access_cards', 'gates.archive');

-- Users take the steps through set_access_card_status, which also lets holders report the loss of what is theirs.
insert into app.state_transitions (table_id, from_state, to_state, permission_key, description) values
  ('public.access_cards', null, 'active', 'gates.manage', 'Hand it out'),
  ('public.access_cards', 'active', 'blocked', 'gates.manage', 'Block it for now'),
  ('public.access_cards', 'blocked', 'active', 'gates.manage', 'Unblock it'),
  ('public.access_cards', 'active', 'lost', null, 'Its holder has lost it'),
  ('public.access_cards', 'blocked', 'lost', null, 'Its holder has lost it'),
  ('public.access_cards', 'lost', 'active', 'gates.manage', 'It was found'),
  ('public.access_cards', 'active', 'returned', 'gates.manage', 'Take it back'),
  ('public.access_cards', 'blocked', 'returned', 'gates.manage', 'Take it back'),
  ('public.access_cards', 'lost', 'returned', 'gates.manage', 'It was found and taken back');

select app.state_machine('public.access_cards', 'status');

create policy access_cards_select on public.access_cards for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and (deleted_at is null or ((select app.shows_archived()) and community_id in (select app.communities_with('gates.archive'))))
    and (
      (select 'gates.manage' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('gates.manage'))
      or resident_id in (select app.my_residents())
    )
  );
create policy access_cards_update on public.access_cards for update to authenticated
  using (
    community_id = any ((select app.communities_where('gates.manage'))::uuid[])
    and deleted_at is null
  )
  with check (community_id = any ((select app.communities_where('gates.manage'))::uuid[]));

grant select, update (kind, label, expires_on) on public.access_cards to authenticated;
grant select, insert, update on public.access_cards to service_role;

-- At the gate --------------------------------------------------------------------------------------------------------

create function app.card_by_number(community uuid, number text)
returns public.access_cards
language plpgsql
stable
security definer -- reads cards for devices and guards, who may not
set search_path = ''
as $$
declare
  wanted constant text := app.card_key(card_by_number.number);
  card public.access_cards;
begin
  select c.* into card
  from public.access_cards c
  where c.community_id = card_by_number.community and c.number_key = wanted and c.status <> 'returned' and c.deleted_at is null;
  return card;
end;
$$;

comment on function app.card_by_number(uuid, text) is
  'The card with this number, however it is written, whatever its state (app.card_problem judges it); all null if there is none that is out. Not executable by API roles. Definer: reads cards for devices and guards, who may not.';

create function app.card_problem(card public.access_cards, moment timestamptz)
returns text
language plpgsql
stable
security definer -- reads occupancies and guards, whoever is at the gate
set search_path = ''
as $$
declare
  today date;
begin
  if card.id is null or card.deleted_at is not null then
    return 'card_unknown';
  elsif card.status <> 'active' then
    return 'card_' || card.status;
  end if;
  today := (select (moment at time zone c.time_zone)::date from public.communities c where c.id = card.community_id);
  if card.expires_on < today then
    return 'expired';
  elsif not exists (
    select from public.guards g
    where g.community_id = card.community_id and g.id = card.guard_id and g.status = 'active' and g.deleted_at is null
    union all
    select from public.occupancies o
    where o.community_id = card.community_id and o.resident_id = card.resident_id and o.deleted_at is null
      and o.starts_on <= today and (o.ends_on is null or o.ends_on >= today))
  then
    return 'holder_left';
  elsif exists (
    select from public.residents r where r.community_id = card.community_id and r.id = card.resident_id and (r.onboarding = 'suspended' or r.deleted_at is not null))
  then
    return 'holder_suspended';
  end if;
  return null;
end;
$$;

comment on function app.card_problem(public.access_cards, timestamptz) is
  'Why the card does not open at a moment, or null: card_unknown, card_blocked, card_lost, card_returned, expired, holder_left (the resident occupies nothing on that day, the guard is not active), holder_suspended. '
  'Not executable by API roles. Definer: reads occupancies and guards, whoever is at the gate.';

-- Handing out and taking back ----------------------------------------------------------------------------------------

create function app.issue_access_card(
  community uuid, number text, resident uuid, guard uuid, kind public.access_card_kind, label text, expires_on date
)
returns uuid
language plpgsql
volatile
security definer -- API roles may not insert cards
set search_path = ''
as $$
declare
  issued uuid;
  refused text;
begin
  perform app.require('gates.manage', community);
  if issue_access_card.number is null or num_nonnulls(resident, guard) <> 1 then
    perform app.fail(422, 'invalid_value', 'A card has a number, and either a resident or a guard who carries it.');
  elsif resident is not null and not exists (
    select from public.residents r where r.community_id = community and r.id = resident and r.deleted_at is null)
  then
    perform app.fail(404, 'resident_not_found', 'There is no live resident with this id in this community.');
  elsif guard is not null and not exists (
    select from public.guards g where g.community_id = community and g.id = guard and g.deleted_at is null)
  then
    perform app.fail(404, 'guard_not_found', 'There is no guard with this id in this community.');
  end if;
  insert into public.access_cards (number, community_id, resident_id, guard_id, kind, label, expires_on)
  values (btrim(issue_access_card.number), community, resident, guard, coalesce(issue_access_card.kind, 'card'), issue_access_card.label, issue_access_card.expires_on)
  returning id into issued;
  return issued;
exception
  when unique_violation then
    perform app.fail(409, 'card_taken', 'A card of this community that has not been returned has this number.', 'Take it back first.');
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('access_cards', refused);
end;
$$;

comment on function app.issue_access_card(uuid, text, uuid, uuid, public.access_card_kind, text, date) is 'What public.issue_access_card does. Definer: API roles may not insert cards.';

create function public.issue_access_card(
  community_id uuid, number text, resident_id uuid default null, guard_id uuid default null, kind public.access_card_kind default 'card',
  label text default null, expires_on date default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.issue_access_card(community_id, number, resident_id, guard_id, kind, label, expires_on) $$;

comment on function public.issue_access_card(uuid, text, uuid, uuid, public.access_card_kind, text, date) is
  'Hands a card, fob or sticker to a resident or a guard, and returns its id; takes gates.manage. Errors: permission_denied, resident_not_found, guard_not_found, card_taken, invalid_value.';

create function app.set_access_card_status(card uuid, status public.access_card_status, reason text, is_visible boolean)
returns void
language plpgsql
volatile
security definer -- status is in no column grant
set search_path = ''
as $$
declare
  present public.access_cards;
  refused text;
begin
  if is_visible then
    select c.* into present from public.access_cards c where c.id = card and c.deleted_at is null for no key update;
  end if;
  if present.id is null then
    perform app.fail(404, 'card_not_found', 'There is no card with this id.');
  elsif set_access_card_status.status is null then
    perform app.fail(422, 'invalid_value', 'A card has a status.');
  elsif not app.is_trusted() and not app.can('gates.manage', present.community_id)
    and (set_access_card_status.status <> 'lost' or present.resident_id is null or present.resident_id not in (select app.my_residents()))
  then
    perform app.fail(403, 'permission_denied', 'Holders report the loss of their cards; this takes the permission gates.manage.');
  elsif present.status = set_access_card_status.status then
    return;
  end if;
  update public.access_cards c set status = set_access_card_status.status, status_reason = nullif(btrim(reason), '') where c.id = present.id;
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('access_cards', refused);
end;
$$;

comment on function app.set_access_card_status(uuid, public.access_card_status, text, boolean) is 'What public.set_access_card_status does. Definer: status is in no column grant.';

create function public.set_access_card_status(card_id uuid, status public.access_card_status, reason text default null)
returns void
language sql
volatile
set search_path = ''
as $$ select app.set_access_card_status(card_id, status, reason, app.sees_row('access_cards', card_id)) $$;

comment on function public.set_access_card_status(uuid, public.access_card_status, text) is
  'Blocks a card, unblocks it, says that it is lost, or takes it back; takes gates.manage. Residents report that their own is lost. In that state already: nothing happens. '
  'Errors: card_not_found, permission_denied, transition_refused, invalid_value.';

grant execute on function
  app.issue_access_card(uuid, text, uuid, uuid, public.access_card_kind, text, date),
  public.issue_access_card(uuid, text, uuid, uuid, public.access_card_kind, text, date),
  app.set_access_card_status(uuid, public.access_card_status, text, boolean), public.set_access_card_status(uuid, public.access_card_status, text)
to authenticated, service_role;
