-- Access control: the RPCs of invitations.
create function app.changeable_invitation(invitation uuid, is_visible boolean)
returns public.visitor_invitations
language plpgsql
volatile
security definer -- locks a row that its people may not update
set search_path = ''
as $$
declare
  present public.visitor_invitations;
begin
  if is_visible then
    select i.* into present from public.visitor_invitations i where i.id = invitation and i.deleted_at is null for no key update;
  end if;
  if present.id is null then
    perform app.fail(404, 'invitation_not_found', 'There is no invitation with this id.');
  elsif not app.is_trusted() and not app.can('visits.invite', present.community_id)
    and (present.unit_id is null or present.unit_id not in (select h.unit_id from app.my_hosting('visits.invite_own') h))
  then
    perform app.fail(403, 'permission_denied', 'This takes visits.invite in the community, or visits.invite_own in the unit, by who receives visitors there.');
  end if;
  return present;
end;
$$;

comment on function app.changeable_invitation(uuid, boolean) is
  'The invitation, locked, if the caller sees it (is_visible) and may change it. Not executable by API roles. Definer: locks a row that its people may not update.';
