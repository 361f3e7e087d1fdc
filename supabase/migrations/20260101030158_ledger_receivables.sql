-- Ledger: what somebody owes, in entries by hand.
--
-- Purpose     Whoever posts by hand enters what was paid. To let somebody owe less who has not paid is another matter: there are documents for
--             it (adjust_charge: credit notes, waivers, write-offs), with a number, a reason, and the charge that they are about.
-- Invariants  An entry by hand credits a receivable out of money that is there (bank, cash, suspense, prepayments, deposits), or its author
--             holds charges.write_off. So nobody writes off by hand who may not write off.

create function app.require_receivables_kept(community uuid, lines app.posting_line[])
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if app.is_trusted() or app.can('charges.write_off', community) then
    return;
  elsif exists (
    select
    from unnest(lines) l
    join public.accounts c on c.id = l.credit_account_id and c.community_id = community and c.purpose = 'receivable'
    join public.accounts d on d.id = l.debit_account_id and d.community_id = community
      and d.purpose not in ('bank', 'cash', 'suspense', 'prepayment', 'deposits_held')
  ) then
    perform app.fail(403, 'receivable_by_document', 'The entry lets somebody owe less, and no money of theirs pays for it.',
      'Post a credit note or a waiver (adjust_charge), or let somebody post it who holds charges.write_off.');
  end if;
end;
$$;

comment on function app.require_receivables_kept(uuid, app.posting_line[]) is
  'Refuses (403 receivable_by_document) lines that credit a receivable from anything but money that is there, unless the caller may write off. Called by post_journal_entry, whose rights it needs. Not executable by API roles.';
