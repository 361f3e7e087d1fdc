-- Billing: numbers of documents.
--
-- Purpose     Numbers that follow one another without a gap, as tax offices and auditors want them of credit notes and expenses.
-- Tables      private.document_numbers
-- Invariants  A number is taken in the transaction that stores its document, and given back with it: the next one waits for the commit.
--             So no number is missing and none is there twice; who needs speed and no numbers (charges, entries) takes none.

create table private.document_numbers (
  community_id uuid not null,
  series text not null,
  last_number bigint not null,
  constraint document_numbers_pkey primary key (community_id, series),
  constraint document_numbers_community_fkey foreign key (community_id) references public.communities (id) on delete cascade,
  constraint document_numbers_series_check check (series ~ '^[a-z][a-z0-9_]{0,39}$'),
  constraint document_numbers_last_number_check check (last_number > 0)
);

comment on table private.document_numbers is 'The last number given out in each series of a community. Written by app.next_number alone.';
comment on column private.document_numbers.community_id is 'The community.';
comment on column private.document_numbers.series is 'The series: credit_note, write_off, expense.';
comment on column private.document_numbers.last_number is 'The last number that was given out.';

alter table private.document_numbers enable row level security;
create policy document_numbers_select on private.document_numbers for select to authenticated using (false);

create function app.next_number(community uuid, series text)
returns bigint
language sql
volatile
set search_path = ''
as $$
  insert into private.document_numbers as d (community_id, series, last_number)
  values (community, series, 1)
  on conflict (community_id, series) do update set last_number = d.last_number + 1
  returning d.last_number
$$;

comment on function app.next_number(uuid, text) is
  'The next number of a series of a community, from 1, without gaps: whoever asks next waits until this transaction ends. For functions that run as their owner; not executable by API roles.';
