-- Access control: holds.
--
-- Purpose     Why somebody, a vehicle or a card may not come in, whoever says so: the management, and later domains by their own rules.
-- Tables      access_holds
-- RPCs        place_access_hold, lift_access_hold
-- Invariants  A hold is against exactly one resident, vehicle or card. It counts from starts_at until it ends or is lifted, looked up at
--             every decision, waiting for no job. What a domain placed (source), a domain lifts; a manager may lift it too, on record.
--             One source holds one subject for one reason once: placing it again changes nothing.

create table public.access_holds (
  id uuid not null default extensions.uuidv7(),
  reason text not null,
  community_id uuid not null,
  resident_id uuid,
  vehicle_id uuid,
  card_id uuid,
  source text not null default 'management',
  note text,
  starts_at timestamptz not null default now(),
  ends_at timestamptz,
  lifted_at timestamptz,
  lift_reason text,
  like app.row_model including defaults including comments,
  constraint access_holds_pkey primary key (id),
  constraint access_holds_resident_fkey foreign key (community_id, resident_id) references public.residents (community_id, id) on delete cascade,
  constraint access_holds_vehicle_fkey foreign key (community_id, vehicle_id) references public.vehicles (community_id, id) on delete cascade,
  constraint access_holds_card_fkey foreign key (community_id, card_id) references public.access_cards (community_id, id) on delete cascade,
  constraint access_holds_against_check check (num_nonnulls(resident_id, vehicle_id, card_id) = 1),
  constraint access_holds_reason_check check (reason ~ '^[a-z][a-z0-9]*(_[a-z0-9]+)*$' and length(reason) <= 60),
  constraint access_holds_source_check check (source ~ '^[a-z][a-z0-9]*(_[a-z0-9]+)*$' and length(source) <= 60),
  constraint access_holds_note_check check (length(btrim(note)) between 1 and 1000),
  constraint access_holds_ends_at_check check (ends_at > starts_at),
  constraint access_holds_lift_reason_check check (length(btrim(lift_reason)) between 1 and 1000),
  constraint access_holds_lifted_check check (lift_reason is null or lifted_at is not null)
);

create unique index access_holds_placed_key on public.access_holds (community_id, source, reason, resident_id, vehicle_id, card_id) nulls not distinct
  where lifted_at is null and deleted_at is null;
create index access_holds_resident_idx on public.access_holds (community_id, resident_id) where resident_id is not null;
create index access_holds_vehicle_idx on public.access_holds (community_id, vehicle_id) where vehicle_id is not null;
create index access_holds_card_idx on public.access_holds (community_id, card_id) where card_id is not null;

comment on table public.access_holds is 'Why a resident, a vehicle or a card is not let in. Placed by place_access_hold, and by other domains through app.hold_access; ended by lift_access_hold.';
comment on column public.access_holds.reason is 'A stable token, the reason a denial gives: insurance_expired, device_lost, under_investigation.';
comment on column public.access_holds.resident_id is 'The resident it is against: in person, by whatever means.';
comment on column public.access_holds.vehicle_id is 'The vehicle it is against.';
comment on column public.access_holds.card_id is 'The card it is against.';
comment on column public.access_holds.source is 'Who says so: management, or the domain that placed it.';
comment on column public.access_holds.note is 'What else is to be known, for the management; whom it is against reads it too.';
comment on column public.access_holds.starts_at is 'From when it counts.';
comment on column public.access_holds.ends_at is 'Until when; null: until it is lifted.';
comment on column public.access_holds.lifted_at is 'When it was lifted.';
comment on column public.access_holds.lift_reason is 'Why it was lifted.';

select app.track('public.access_holds');
select app.register_personal_data('public.access_holds', 'resident_id', 'resident', on_erase => 'remove', columns => '{"note": null, "lift_reason": null}',
  on_merge => 'archive', clash_on => '{source,reason,lifted_at}');
select app.register_personal_data('public.access_holds', 'vehicle_id', 'parent', parent => 'public.vehicles', on_erase => 'remove', columns => '{"note": null, "lift_reason": null}');
select app.register_personal_data('public.access_holds', 'card_id', 'parent', parent => 'public.access_cards', on_erase => 'remove', columns => '{"note": null, "lift_reason": null}');

create function app.access_holds_with_me()
returns setof uuid
language plpgsql
stable
security definer -- finds the caller's own vehicles and cards before any policy on them is decided
set search_path = ''
as $$
begin
  return query
    select h.id
    from app.my_residents() m
    join public.residents r on r.id = m
    join public.access_holds h on h.community_id = r.community_id and h.resident_id = r.id
    union
    select h.id
    from app.my_residents() m
    join public.residents r on r.id = m
    join public.vehicles v on v.community_id = r.community_id and v.resident_id = r.id
    join public.access_holds h on h.community_id = v.community_id and h.vehicle_id = v.id
    union
    select h.id
    from app.my_residents() m
    join public.residents r on r.id = m
    join public.access_cards c on c.community_id = r.community_id and c.resident_id = r.id
    join public.access_holds h on h.community_id = c.community_id and h.card_id = c.id;
end;
$$;

comment on function app.access_holds_with_me() is
  'The holds against the caller, and against the caller''s own vehicles and cards. Definer: finds them before any policy on them is decided.';

grant execute on function app.access_holds_with_me() to authenticated;

create policy access_holds_select on public.access_holds for select to authenticated
  using (
    community_id = any ((select g.communities from app.gate g)::uuid[])
    and deleted_at is null
    and (
      (select 'gates.manage' = any (h.permissions) from app.held_everywhere h) or community_id in (select app.communities_with('gates.manage'))
      or id in (select app.access_holds_with_me())
    )
  );
grant select on public.access_holds to authenticated;
grant select, insert, update on public.access_holds to service_role;

create function app.tg_access_holds__emit()
returns trigger
language plpgsql
security definer -- calls app.emit, which no API role may
set search_path = ''
as $$
begin
  perform app.emit(case when new.lifted_at is null then 'access_hold.placed' else 'access_hold.lifted' end, new.community_id,
    jsonb_build_object('hold_id', new.id, 'resident_id', new.resident_id, 'vehicle_id', new.vehicle_id, 'card_id', new.card_id, 'reason', new.reason, 'source', new.source));
  return null;
end;
$$;

comment on function app.tg_access_holds__emit() is 'AFTER INSERT, and AFTER UPDATE that lifts: events access_hold.placed, access_hold.lifted. Definer: calls app.emit.';

create trigger _600_emit_placed after insert on public.access_holds for each row execute function app.tg_access_holds__emit();
create trigger _600_emit_lifted after update of lifted_at on public.access_holds for each row
  when (old.lifted_at is null and new.lifted_at is not null) execute function app.tg_access_holds__emit();

-- At the gate --------------------------------------------------------------------------------------------------------

create function app.holds_against(community uuid, resident uuid, vehicle uuid, card uuid, moment timestamptz)
returns text
language plpgsql
stable
security definer -- reads holds for devices and guards, who may not
set search_path = ''
as $$
begin
  return (
    select h.reason
    from public.access_holds h
    where h.community_id = community and (h.resident_id = resident or h.vehicle_id = vehicle or h.card_id = card)
      and h.lifted_at is null and h.deleted_at is null and h.starts_at <= moment and (h.ends_at is null or h.ends_at > moment)
    order by h.starts_at, h.id
    limit 1);
end;
$$;

comment on function app.holds_against(uuid, uuid, uuid, uuid, timestamptz) is
  'The reason of the first hold that counts at a moment against a resident, a vehicle or a card (each may be null); null: nothing holds them. Not executable by API roles. Definer: reads holds for devices and guards, who may not.';

-- Placing and lifting ------------------------------------------------------------------------------------------------

create function app.hold_access(
  community uuid, reason text, source text, resident uuid default null, vehicle uuid default null, card uuid default null,
  starts_at timestamptz default null, ends_at timestamptz default null, note text default null
)
returns uuid
language plpgsql
volatile
security definer -- no API role may write holds
set search_path = ''
as $$
#variable_conflict use_column
declare
  placed uuid;
begin
  insert into public.access_holds as h (reason, community_id, resident_id, vehicle_id, card_id, source, note, starts_at, ends_at)
  values (hold_access.reason, community, resident, vehicle, card, hold_access.source, nullif(btrim(hold_access.note), ''),
    coalesce(hold_access.starts_at, now()), hold_access.ends_at)
  on conflict (community_id, source, reason, resident_id, vehicle_id, card_id) where lifted_at is null and deleted_at is null
  do update set starts_at = least(h.starts_at, excluded.starts_at), ends_at = excluded.ends_at, note = coalesce(excluded.note, h.note)
  returning h.id into placed;
  return placed;
end;
$$;

comment on function app.hold_access(uuid, text, text, uuid, uuid, uuid, timestamptz, timestamptz, text) is
  'Places a hold in the name of a source, and returns its id. One that the source has placed for this reason already is not placed twice: it ends when this one says. For domains. Not executable by API roles. Definer: no API role may write holds.';

create function app.release_access(community uuid, reason text, source text, resident uuid default null, vehicle uuid default null, card uuid default null, lift_reason text default null)
returns boolean
language plpgsql
volatile
security definer -- no API role may write holds
set search_path = ''
as $$
begin
  update public.access_holds h
  set lifted_at = now(), lift_reason = nullif(btrim(release_access.lift_reason), '')
  where h.community_id = community and h.source = release_access.source and h.reason = release_access.reason
    and (h.resident_id, h.vehicle_id, h.card_id) is not distinct from (resident, vehicle, card)
    and h.lifted_at is null and h.deleted_at is null;
  return found;
end;
$$;

comment on function app.release_access(uuid, text, text, uuid, uuid, uuid, text) is
  'Lifts what app.hold_access placed; false: there was nothing to lift. For domains. Not executable by API roles. Definer: no API role may write holds.';

create function app.place_access_hold(community uuid, reason text, resident uuid, vehicle uuid, card uuid, starts_at timestamptz, ends_at timestamptz, note text)
returns uuid
language plpgsql
volatile
security definer -- no API role may write holds
set search_path = ''
as $$
declare
  refused text;
begin
  perform app.require('gates.manage', community);
  if place_access_hold.reason is null or num_nonnulls(resident, vehicle, card) <> 1 then
    perform app.fail(422, 'invalid_value', 'A hold has a reason, and is against one resident, one vehicle or one card.');
  elsif resident is not null and not exists (
    select from public.residents r where r.community_id = community and r.id = resident and r.deleted_at is null)
  then
    perform app.fail(404, 'resident_not_found', 'There is no live resident with this id in this community.');
  elsif vehicle is not null and not exists (
    select from public.vehicles v where v.community_id = community and v.id = vehicle and v.deleted_at is null)
  then
    perform app.fail(404, 'vehicle_not_found', 'There is no vehicle with this id in this community.');
  elsif card is not null and not exists (
    select from public.access_cards c where c.community_id = community and c.id = card and c.deleted_at is null)
  then
    perform app.fail(404, 'card_not_found', 'There is no card with this id in this community.');
  end if;
  return app.hold_access(community, place_access_hold.reason, 'management', resident, vehicle, card, place_access_hold.starts_at, place_access_hold.ends_at, place_access_hold.note);
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('access_holds', refused);
end;
$$;

comment on function app.place_access_hold(uuid, text, uuid, uuid, uuid, timestamptz, timestamptz, text) is 'What public.place_access_hold does. Definer: no API role may write holds.';

create function public.place_access_hold(
  community_id uuid, reason text, resident_id uuid default null, vehicle_id uuid default null, card_id uuid default null,
  starts_at timestamptz default null, ends_at timestamptz default null, note text default null
)
returns uuid
language sql
volatile
set search_path = ''
as $$ select app.place_access_hold(community_id, reason, resident_id, vehicle_id, card_id, starts_at, ends_at, note) $$;

comment on function public.place_access_hold(uuid, text, uuid, uuid, uuid, timestamptz, timestamptz, text) is
  'Keeps a resident, a vehicle or a card out from now or starts_at on, until ends_at or until it is lifted, for a reason in snake_case that denials give. Held for that reason already: that hold, with the new end. Returns its id. Takes gates.manage. '
  'Errors: permission_denied, resident_not_found, vehicle_not_found, card_not_found, invalid_value.';

create function app.lift_access_hold(hold uuid, reason text, is_visible boolean)
returns boolean
language plpgsql
volatile
security definer -- no API role may write holds
set search_path = ''
as $$
declare
  present public.access_holds;
  refused text;
begin
  if is_visible then
    select h.* into present from public.access_holds h where h.id = hold and h.deleted_at is null for no key update;
  end if;
  if present.id is null then
    perform app.fail(404, 'hold_not_found', 'There is no hold with this id.');
  end if;
  perform app.require('gates.manage', present.community_id);
  if present.lifted_at is not null then
    return false;
  end if;
  update public.access_holds h set lifted_at = now(), lift_reason = nullif(btrim(lift_access_hold.reason), '') where h.id = present.id;
  return true;
exception
  when check_violation then
    get stacked diagnostics refused = constraint_name;
    perform app.fail_check('access_holds', refused);
end;
$$;

comment on function app.lift_access_hold(uuid, text, boolean) is 'What public.lift_access_hold does. Definer: no API role may write holds.';

create function public.lift_access_hold(hold_id uuid, reason text default null)
returns boolean
language sql
volatile
set search_path = ''
as $$ select app.lift_access_hold(hold_id, reason, app.sees_row('access_holds', hold_id)) $$;

comment on function public.lift_access_hold(uuid, text) is
  'Lifts a hold, whoever placed it; false: it was lifted already. Takes gates.manage. Errors: hold_not_found, permission_denied, invalid_value.';

grant execute on function
  app.place_access_hold(uuid, text, uuid, uuid, uuid, timestamptz, timestamptz, text),
  public.place_access_hold(uuid, text, uuid, uuid, uuid, timestamptz, timestamptz, text),
  app.lift_access_hold(uuid, text, boolean), public.lift_access_hold(uuid, text)
to authenticated, service_role;
