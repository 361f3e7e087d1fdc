-- Access control: reports.
--
-- Purpose     Who is inside now, whom today brings, why gates stayed shut, when they are busiest.
-- Views       people_inside, visits_today, denials_by_reason, busiest_hours
-- Invariants  A report tells nobody more than the rows it is made of: visits by their policy, presences to whoever decides at the gates,
--             counts to whoever reads the whole log. Names come from tables whose policies the reader passes, or stay empty.
--             Days and hours are those of the community's clocks.

create function app.presences_with_me()
returns setof private.presences
language plpgsql
stable
security definer -- nobody else may read presences
set search_path = ''
as $$
begin
  if app.is_trusted() then
    return query select p.* from private.presences p;
  else
    return query select p.* from private.presences p where p.community_id in (select app.communities_with('access.decide'));
  end if;
end;
$$;

comment on function app.presences_with_me() is 'Who is inside in the communities where the caller decides at the gates. Definer: nobody else may read presences.';

create function app.reported_communities()
returns setof uuid
language plpgsql
stable
security definer -- lists communities for Studio, where nobody is signed in
set search_path = ''
as $$
begin
  if app.is_trusted() then
    return query select c.id from public.communities c;
  else
    return query select app.communities_with('access_log.read');
  end if;
end;
$$;

comment on function app.reported_communities() is 'The communities whose whole access log the caller reads. Definer: lists communities for Studio, where nobody is signed in.';

grant execute on function app.presences_with_me(), app.reported_communities() to authenticated, service_role;

-- Who is inside ------------------------------------------------------------------------------------------------------

create view public.people_inside with (security_invoker = true) as
select
  'visitor' as kind, v.id as subject_id, v.community_id, v.visitor_name as name, v.unit_id, v.party_size, v.checked_in_at as entered_at, v.entry_point_id as access_point_id,
  p.name as access_point
from public.visits v
left join public.access_points p on p.community_id = v.community_id and p.id = v.entry_point_id
where v.status = 'checked_in' and v.deleted_at is null
union all
select
  s.kind::text, s.subject_id, s.community_id,
  case s.kind when 'resident' then r.full_name when 'vehicle' then h.plate else coalesce(g.full_name, c.label, c.number) end,
  h.unit_id, case s.kind when 'vehicle' then 0 else 1 end::smallint, s.entered_at, s.access_point_id, p.name
from app.presences_with_me() s
left join public.residents r on s.kind = 'resident' and r.community_id = s.community_id and r.id = s.subject_id
left join public.vehicles h on s.kind = 'vehicle' and h.community_id = s.community_id and h.id = s.subject_id
left join public.access_cards c on s.kind = 'card' and c.community_id = s.community_id and c.id = s.subject_id
left join public.guards g on g.community_id = c.community_id and g.id = c.guard_id
left join public.access_points p on p.community_id = s.community_id and p.id = s.access_point_id;

comment on view public.people_inside is
  'Who came in and has not been seen leaving: visitors to whoever sees their visit; residents, vehicles and cards to holders of access.decide. Who leaves unseen stays here until reset_presence or check_out_visit.';
comment on column public.people_inside.kind is 'visitor, resident, vehicle or card.';
comment on column public.people_inside.subject_id is 'The visit, resident, vehicle or card.';
comment on column public.people_inside.community_id is 'The community.';
comment on column public.people_inside.name is 'Name, or plate; null where the reader may not know it.';
comment on column public.people_inside.unit_id is 'The unit that is visited, or that the vehicle belongs to.';
comment on column public.people_inside.party_size is 'How many people; 0 for a vehicle, whose people are not known.';
comment on column public.people_inside.entered_at is 'When they came in.';
comment on column public.people_inside.access_point_id is 'Where they came in.';
comment on column public.people_inside.access_point is 'Name of the gate, for readers who see gates.';

grant select on public.people_inside to authenticated, service_role;

-- Today --------------------------------------------------------------------------------------------------------------

create view public.visits_today with (security_invoker = true) as
select
  v.id as visit_id, v.community_id, v.visitor_name, v.party_size, v.purpose, v.provider_name, v.status, v.status_reason, v.unit_id,
  nullif(concat_ws(' / ', b.name, u.number), '') as unit, v.host_resident_id, v.invitation_id, v.guest_id, v.plate, v.expected_at, v.answer_due_at, v.checked_in_at, v.checked_out_at
from public.visits v
join public.communities c on c.id = v.community_id
left join public.units u on u.community_id = v.community_id and u.id = v.unit_id
left join public.buildings b on b.community_id = u.community_id and b.id = u.building_id
where v.deleted_at is null
  and (v.status = 'checked_in'
    or (v.expected_at >= (now() at time zone c.time_zone)::date::timestamp at time zone c.time_zone
      and v.expected_at < ((now() at time zone c.time_zone)::date + 1)::timestamp at time zone c.time_zone));

comment on view public.visits_today is 'Visits that are expected today by the community''s clocks, in every state, and whoever is inside since earlier. To whoever sees the visit and the community. Filter by community_id, order by expected_at.';
comment on column public.visits_today.visit_id is 'The visit.';
comment on column public.visits_today.community_id is 'The community.';
comment on column public.visits_today.visitor_name is 'Who comes.';
comment on column public.visits_today.party_size is 'How many come.';
comment on column public.visits_today.purpose is 'guest, delivery, service, other.';
comment on column public.visits_today.provider_name is 'The firm, of a service.';
comment on column public.visits_today.status is 'Where the visit stands.';
comment on column public.visits_today.status_reason is 'Why, where there is a reason.';
comment on column public.visits_today.unit_id is 'The unit that is visited.';
comment on column public.visits_today.unit is 'Building and number, for readers who see the unit.';
comment on column public.visits_today.host_resident_id is 'The resident who expects them; null: whoever receives visitors in the unit, or the management.';
comment on column public.visits_today.invitation_id is 'The invitation.';
comment on column public.visits_today.guest_id is 'The guest of its list.';
comment on column public.visits_today.plate is 'The plate that was announced.';
comment on column public.visits_today.expected_at is 'When.';
comment on column public.visits_today.answer_due_at is 'Until when somebody may answer for who came unannounced.';
comment on column public.visits_today.checked_in_at is 'When they came in.';
comment on column public.visits_today.checked_out_at is 'When they left.';

grant select on public.visits_today to authenticated, service_role;

-- Counts -------------------------------------------------------------------------------------------------------------

create view public.denials_by_reason with (security_invoker = true) as
select
  l.community_id, (l.logged_at at time zone c.time_zone)::date as day_on, l.access_point_id, l.method, l.reason, count(*) as denials,
  max(l.logged_at) as last_logged_at
from audit.access_log l
join public.communities c on c.id = l.community_id
where l.outcome = 'denied' and l.logged_at >= now() - interval '31 days' and l.community_id in (select app.reported_communities())
group by 1, 2, 3, 4, 5;

comment on view public.denials_by_reason is 'Why gates stayed shut in the last 31 days: by day, gate, method and reason. To holders of access_log.read. Filter by community_id.';
comment on column public.denials_by_reason.community_id is 'The community.';
comment on column public.denials_by_reason.day_on is 'The day, by the community''s clocks.';
comment on column public.denials_by_reason.access_point_id is 'The gate.';
comment on column public.denials_by_reason.method is 'How.';
comment on column public.denials_by_reason.reason is 'Why.';
comment on column public.denials_by_reason.denials is 'How many.';
comment on column public.denials_by_reason.last_logged_at is 'The last one.';

create view public.busiest_hours with (security_invoker = true) as
select
  l.community_id, l.access_point_id, extract(isodow from l.logged_at at time zone c.time_zone)::integer as weekday,
  extract(hour from l.logged_at at time zone c.time_zone)::integer as hour,
  count(*) filter (where l.outcome = 'granted' and l.direction = 'in') as entries, count(*) filter (where l.outcome = 'granted' and l.direction = 'out') as exits,
  count(*) filter (where l.outcome = 'denied') as denials
from audit.access_log l
join public.communities c on c.id = l.community_id
where l.logged_at >= now() - interval '28 days' and l.community_id in (select app.reported_communities())
group by 1, 2, 3, 4;

comment on view public.busiest_hours is 'How many came and went in the last four weeks, by gate, weekday and hour. To holders of access_log.read. Filter by community_id.';
comment on column public.busiest_hours.community_id is 'The community.';
comment on column public.busiest_hours.access_point_id is 'The gate.';
comment on column public.busiest_hours.weekday is '1 (Monday) to 7, by the community''s clocks.';
comment on column public.busiest_hours.hour is '0 to 23: the hour that begins then.';
comment on column public.busiest_hours.entries is 'How many came in.';
comment on column public.busiest_hours.exits is 'How many went out.';
comment on column public.busiest_hours.denials is 'How many attempts were denied.';

grant select on public.denials_by_reason, public.busiest_hours to authenticated, service_role;
