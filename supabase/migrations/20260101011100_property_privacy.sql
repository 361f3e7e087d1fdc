-- Property: personal data of residents.
--
-- Purpose     What the registry says of people and property.
-- Invariants  A resident who is erased stays as a row without a name, so that who owned and occupied what, and when, can still be counted.

select app.register_personal_data('public.residents', 'id', 'resident', on_merge => 'stay',
  columns => '{"full_name": "Erased person", "reference": null, "locale": null}',
  kept_because => 'What the unit''s history refers to: that somebody owned and occupied it, without saying who.');
select app.register_personal_data('public.residents', 'user_id', 'user', on_erase => 'unlink', exported => '{}', is_with_resident => true,
  kept_because => 'The record is the community''s; it loses the link to the account.');
select app.register_personal_data('public.resident_details', 'resident_id', 'resident', on_erase => 'remove', on_merge => 'fill',
  columns => '{"email": null, "phone": null, "identity_number": null, "postal_address": null, "born_on": null, "adult_on": null, "note": null}');
select app.register_personal_data('public.residents', 'guardian_id', 'related',
  kept_because => 'Who acts for a minor; the row is the minor''s, and the guardian''s name is gone from the own.');
select app.register_personal_data('public.occupancies', 'resident_id', 'resident',
  kept_because => 'That a unit was owned or occupied on a day decides who owed and voted; the row no longer says who it was.');
select app.register_personal_data('public.occupancies', 'host_id', 'related',
  kept_because => 'By whom somebody came; the row is about who came, and the host''s name is gone from the own.');
select app.register_personal_data('public.unit_representatives', 'resident_id', 'resident', columns => '{"authority": null}',
  kept_because => 'Who was to pay and to vote on a day, without saying who it was.');
select app.register_personal_data('public.consents', 'resident_id', 'resident', columns => '{"note": null}', on_merge => 'archive', clash_on => '{text_id}',
  kept_because => 'Evidence of what was agreed to and when, without a name.');
select app.register_personal_data('public.consents', 'user_id', 'user', columns => '{"ip_address": null, "user_agent": null, "note": null}',
  kept_because => 'Evidence of what was agreed to and when; the id leads to nobody once the account is gone.');
select app.register_personal_data('public.buildings', 'address', 'nobody', kept_because => 'The address of a building.');
