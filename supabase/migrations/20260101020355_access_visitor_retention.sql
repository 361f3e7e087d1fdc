-- Access control: how long visitors are remembered.
--
-- Purpose     Visitors have no account, and nobody asks to be forgotten: their names, numbers, documents and plates go by themselves.
-- Tables      none
-- Invariants  general.visitor_data_days after a visit, or after the end of an invitation, neither its row nor the audit says who it was: the
--             audit never held it. That somebody came to a unit, when and through which gate, stays.

create function app.job_visitor_retention()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  home record;
begin
  for home in select c.id, now() - make_interval(days => app.setting('general.visitor_data_days', c.id)::integer) as before from public.communities c order by c.id loop
    update public.visits v
    set visitor_name = 'Erased visitor', visitor_phone = null, document_number = null, plate = null, provider_name = null, anonymized_at = now(),
      -- What somebody said may name somebody; a token does not.
      status_reason = case when v.status_reason ~ '^[a-z_]+$' then v.status_reason when v.status = 'denied' then 'denied_by_unit' end
    where v.community_id = home.id and v.anonymized_at is null
      and coalesce(v.checked_out_at, v.checked_in_at, v.expires_at, v.answer_due_at, v.expected_at) < home.before;

    update public.invitation_guests g
    set full_name = 'Erased visitor', phone = null, plate = null
    from public.visitor_invitations i
    where i.community_id = home.id and i.anonymized_at is null and i.ends_at < home.before and g.community_id = i.community_id and g.invitation_id = i.id;
    delete from private.entry_codes c
    using public.visitor_invitations i
    where i.community_id = home.id and i.anonymized_at is null and i.ends_at < home.before and c.community_id = i.community_id and c.invitation_id = i.id;
    update public.visitor_invitations i
    set title = case when i.title is not null then 'Erased' end, visitor_name = case when i.visitor_name is not null then 'Erased visitor' end, visitor_phone = null,
      document_number = null, plate = case when i.kind = 'vehicle' then 'ERASED' end, provider_name = case when i.provider_name is not null then 'Erased' end, note = null,
      anonymized_at = now()
    where i.community_id = home.id and i.anonymized_at is null and i.ends_at < home.before;

    delete from private.entry_code_attempts a where a.community_id = home.id and greatest(a.failed_at, a.counting_began_at, a.unlocks_at) < now() - interval '2 days';
  end loop;
end;
$$;

comment on function app.job_visitor_retention() is
  'Job visitor-retention: removes what visits and invitations tell of visitors when general.visitor_data_days are over, spent codes, and counts of wrong codes that are two days old.';

insert into app.scheduled_jobs (name, schedule, handler, description) values
  ('visitor-retention', '53 2 * * *', 'app.job_visitor_retention()', 'Removes what is told of visitors when the time to keep it is over.');
