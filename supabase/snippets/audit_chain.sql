-- Whether the audit log is as it was written, and its head, to be kept outside.
select
  told ->> 'ok' as is_whole, told ->> 'first_broken' as first_broken_seal, told -> 'problems' as problems,
  told #>> '{head,number}' as head_number, told #>> '{head,hash}' as head, told ->> 'unsealed_entries' as not_yet_sealed, told -> 'dropped_months' as dropped_months
from public.verify_audit() told;
