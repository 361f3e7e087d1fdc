-- Ledger: two records of one person.
--
-- Purpose     What becomes of subaccounts when two records of a resident turn out to be one person.
-- Tables      None of its own.
-- Invariants  No balance is lost and none is changed but by postings. A subaccount follows to the record that stays; where that one has a
--             subaccount of the same unit and fund, an entry of kind reclassification moves the balance there, and the emptied one stays, with
--             its history, under the duplicate. Whoever signs in as the record that stays reads both (app.my_subaccounts).

create function app.merge_subaccounts(keep uuid, duplicate uuid)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  community constant uuid := (select r.community_id from public.residents r where r.id = keep);
  clash record;
begin
  perform app.lock_ledger(community, false);
  perform from public.subaccounts s where s.community_id = community and s.resident_id in (keep, duplicate) order by s.id for no key update;
  for clash in
    select d.fund_id, d.account_id, d.id as emptied_id, k.id as kept_id, d.balance
    from public.subaccounts d
    join public.subaccounts k on k.account_id = d.account_id and k.unit_id = d.unit_id and k.resident_id = keep
    where d.community_id = community and d.resident_id = duplicate and d.balance <> 0
    order by d.id
  loop
    perform app.post_entry(community, 'reclassification', app.today_in(community), 'Two records of one person were merged', array[row(
      clash.fund_id, clash.account_id, case when clash.balance > 0 then clash.kept_id else clash.emptied_id end,
      clash.account_id, case when clash.balance > 0 then clash.emptied_id else clash.kept_id end, abs(clash.balance), 'Carried over to the other record')::app.posting_line]);
  end loop;

  perform set_config('app.rewriting', 'public.subaccounts'::regclass::oid::text, true);
  update public.subaccounts s set resident_id = keep
  where s.community_id = community and s.resident_id = duplicate
    and not exists (select from public.subaccounts k where k.account_id = s.account_id and k.unit_id = s.unit_id and k.resident_id = keep);
  perform set_config('app.rewriting', '', true);
end;
$$;

comment on function app.merge_subaccounts(uuid, uuid) is
  'Gives the duplicate''s subaccounts to the resident who stays; of two of one unit and fund, one takes over the balance by an entry of kind reclassification. Not executable by API roles. Errors: those of the journal (period_closed …).';

select app.register_personal_data('public.subaccounts', 'resident_id', 'resident', on_merge => 'function', merge_with => 'app.merge_subaccounts',
  exported => '{id,fund_id,account_id,unit_id,balance,created_at}',
  kept_because => 'What is owed and was paid is kept as long as the books are; the id leads to nobody.');
