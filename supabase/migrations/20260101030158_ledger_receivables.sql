-- Ledger: what entries by hand may do to what people owe, and to the bank.
--
-- Purpose     Whoever posts by hand enters what was paid. To let somebody owe less who has not paid is another matter: there are documents for
--             it (adjust_charge: credit notes, waivers, write-offs), with a number, a reason, and the charge that they are about.
-- Invariants  Without charges.write_off nobody lets anybody owe less by hand but out of money: what one entry takes into bank and cash, net, or
--             what is held already, as far as it goes (suspense, received in advance, the same person's deposit or credit). What is held by hand
--             comes of money, too. To take back an entry that said what somebody owes, or to lower what the list of opening balances said, is
--             to say that it was wrong, as a credit note does: it takes charges.adjust. Money leaves bank and cash by hand through whoever may
--             pay expenses, up to the amounts that bind there.
--             That money came which an entry says came, no ledger can know: movements_by_hand (topic by_hand) shows it to whoever compares.
--
-- Locks       What posting takes, then the accounts whose balance is looked at, in id order.

create function app.require_money(entry uuid)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  posted public.journal_entries;
  told record;
  place record;
  asked text;
begin
  if app.is_trusted() then
    return;
  end if;
  select e.* into posted from public.journal_entries e where e.id = entry;
  asked := case when posted.kind = 'reversal' then 'charges.adjust' else 'charges.write_off' end;
  -- gives: somebody owes less by it, or more is held; to undo an entry fills nothing that was not filled before. is_held: out of what is held already.
  select
    coalesce(sum(m.amount) filter (where m.gives and m.is_owed and not m.is_money and not m.is_held), 0) as given,
    coalesce(sum(m.amount) filter (where m.gives and m.is_money), 0) as received,
    coalesce(sum(m.amount) filter (where m.is_money and not m.is_out), 0) - coalesce(sum(m.amount) filter (where m.is_out and not m.is_money), 0) as came_in,
    coalesce(sum(m.amount) filter (where m.is_out and not m.is_money), 0) as taken_out,
    array_agg(distinct coalesce(m.debit_subaccount_id, m.debit_account_id)) filter (where m.gives and m.is_held) as drawn,
    array_agg(distinct coalesce(m.credit_subaccount_id, m.credit_account_id)) filter (where m.gives and not m.is_owed and not m.is_money and not m.is_held) as filled
  into told
  from (
    select p.*, c.purpose = 'receivable' as is_owed, d.purpose in ('bank', 'cash') as is_money, c.purpose in ('bank', 'cash') as is_out,
      c.purpose = 'receivable' or (posted.kind <> 'reversal' and c.purpose in ('suspense', 'prepayment', 'deposits_held')) as gives,
      d.purpose in ('suspense', 'prepayment') or (d.purpose in ('deposits_held', 'receivable') and ds.resident_id = cs.resident_id) is true as is_held
    from public.postings p
    join public.accounts d on d.id = p.debit_account_id
    join public.accounts c on c.id = p.credit_account_id
    left join public.subaccounts ds on ds.id = p.debit_subaccount_id
    left join public.subaccounts cs on cs.id = p.credit_subaccount_id
    where p.journal_entry_id = entry
  ) m;

  if told.taken_out > 0 and posted.kind <> 'reversal' then
    perform app.require('expenses.pay', posted.community_id);
    perform app.check_amount_limit('expenses.pay', posted.community_id, told.taken_out);
  end if;
  if told.given = 0 and told.received = 0 and told.drawn is null and told.filled is null then
    return;
  elsif app.can(asked, posted.community_id) then
    perform app.check_amount_limit(asked, posted.community_id, told.given + greatest(told.received - told.came_in, 0));
    -- Up to an amount: what is drawn out of what is held is looked at all the same.
    if app.amount_limit(asked, posted.community_id) is null then
      return;
    end if;
  elsif told.given > 0 then
    perform app.fail(403, 'receivable_by_document', 'The entry lets somebody owe less, and no money of theirs pays for it.',
      'Post a credit note or a waiver (adjust_charge), or let somebody post it who holds charges.write_off (to take an entry back: charges.adjust).');
  elsif told.received > told.came_in then
    perform app.fail(403, 'receivable_by_document', 'The entry takes out of bank and cash what it says was received.', 'Post what was received, and what was spent, in entries of their own.');
  end if;

  -- What others post meanwhile is waited for, and seen. Subaccounts are held since their balances moved.
  perform from public.accounts a where a.id = any (told.drawn || told.filled) order by a.id for no key update;
  for place in
    select w.id, w.is_drawn, coalesce((select s.balance from public.subaccounts s where s.id = w.id),
      coalesce((select sum(p.amount) from public.postings p where p.debit_account_id = w.id), 0) - coalesce((select sum(p.amount) from public.postings p where p.credit_account_id = w.id), 0)) as balance
    from (select d as id, true as is_drawn from unnest(told.drawn) d union all select f, false from unnest(told.filled) f) w
  loop
    if place.is_drawn and place.balance > 0 then
      perform app.fail(403, 'receivable_by_document', format('The entry takes %s more than is held there.', place.balance), 'Enter the money first, or post a credit note or a waiver (adjust_charge).');
    elsif not place.is_drawn and place.balance < 0 then
      perform app.fail(403, 'receivable_by_document', 'The entry holds for somebody what no money was received for.',
        'What is held comes out of bank, cash or what is held already; what was put there by mistake is reversed. Or let somebody post it who holds charges.write_off.');
    end if;
  end loop;
end;
$$;

comment on function app.require_money(uuid) is
  'Refuses (403 receivable_by_document) an entry by hand, just posted, that lets somebody owe less, or holds something for somebody, but out of money that it takes in or that is held, unless the caller may write off (to take an entry back: may adjust charges) as much as that (403 amount_above_limit); and one that '
  'takes money out of bank or cash, unless the caller may pay expenses of that amount (403 permission_denied, amount_above_limit). For RPCs of entries by hand. Not executable by API roles.';
