-- Foundation: what every row has, what every error looks like, who acts.
--
-- Purpose     The columns all business tables end with, the checks many of them share, one way to refuse.
-- Tables      app.row_model (a model for `like`, never filled)
-- Invariants  An error raised by Vicinia carries its HTTP status in the SQLSTATE (PT4xx) and a stable token as its message;
--             docs/errors.md lists the tokens.

-- Refusing -----------------------------------------------------------------------------------------------------------

create function app.fail(status integer, token text, detail text default null, hint text default null)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'PT' || status, message = token, detail = coalesce(detail, ''), hint = coalesce(hint, '');
end;
$$;

comment on function app.fail(integer, text, text, text) is
  'Raises SQLSTATE PT<status> (PostgREST answers with that HTTP status), a stable token from docs/errors.md as the message, '
  'a sentence for a person as detail and what to do about it as hint.';

create function app.require_whole_answer()
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  -- The statement that PostgREST sent, and in it what it makes of the rows that the function returns.
  asked constant text := current_query();
  made constant text := substr(asked, strpos(asked, '_postgrest_t'));
begin
  if current_setting('transaction_read_only')::boolean then
    perform app.fail(405, 'post_required', 'Asking leaves a trace, and a request by GET can leave none.', 'Send a POST.');
  -- max-affected: PostgREST 13 counts the rows of an answer when it has them, and takes back what has too many.
  elsif strpos(asked, 'pgrst_source') > 0
    and (made ~ '\m(WHERE|CAST)\M' or asked ilike '%st_asgeojson%' or strpos(lower(current_setting('request.headers', true)), 'max-affected') > 0)
  then
    perform app.fail(400, 'whole_answer_required', 'What asking leaves behind would go where a filter, a cast or a limit of the answer fails.',
      'Leave filters and casts out of the address, and max-affected out of Prefer, and look at the answer as it comes.');
  end if;
end;
$$;

comment on function app.require_whole_answer() is
  'Begins an RPC that is not to be asked without a trace (a line of a log, a count of wrong guesses). Callers tell PostgREST in the address what to make of an answer, and where that fails all is rolled back: '
  '?select=reason::int tells the answer in its error and leaves nothing. 400 whole_answer_required, for Prefer: max-affected too; by GET 405 post_required. Such an RPC returns one value of a composite type and no set, '
  'or one that is skipped (?offset=1) is an error too. Elsewhere than behind PostgREST it does nothing. Not executable by API roles.';

create function app.fail_check(table_name text, constraint_name text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  perform app.fail(422, 'invalid_value',
    format('The value of %s is not valid.', regexp_replace(constraint_name, format('^%s_(.*)_check$', table_name), '\1')),
    format('See the constraint %s of %s.', constraint_name, table_name));
end;
$$;

comment on function app.fail_check(text, text) is
  'What an RPC answers when a check constraint refuses a value (422 invalid_value): the detail names the column, because check constraints are named <table>_<column>_check.';

-- Checks that several tables share -----------------------------------------------------------------------------------
-- In PL/pgSQL although one expression does it: a SQL function with a search_path is not inlined but planned anew by every
-- statement that writes a row, which takes 50 µs a check. PL/pgSQL keeps its plans.

create function app.checked_reason(reason text, most integer default 2000)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  if coalesce(btrim(reason), '') = '' then
    perform app.fail(422, 'reason_required', 'This is done for a reason, which is kept.', 'Name no person in it: it stays.');
  elsif length(reason) > most then
    perform app.fail(422, 'invalid_value', format('The reason is longer than %s characters.', most));
  end if;
  return btrim(reason);
end;
$$;

comment on function app.checked_reason(text, integer) is 'The reason, trimmed; refuses none (422 reason_required) and one that is too long (422 invalid_value). Not executable by API roles.';

create function app.is_email(value text)
returns boolean
language plpgsql
immutable
returns null on null input
parallel safe
set search_path = ''
as $$
begin
  return value ~ '^[^[:space:]@"(),:;<>\\]+@[^[:space:]@.]+(\.[^[:space:]@.]+)+$' and length(value) <= 254;
end;
$$;

comment on function app.is_email(text) is 'Whether the text has the form of one e-mail address of at most 254 characters (RFC 5321); any script.';

create function app.is_phone(value text)
returns boolean
language plpgsql
immutable
returns null on null input
parallel safe
set search_path = ''
as $$
begin
  return value ~ '^\+?[0-9][0-9 ()./-]{3,28}[0-9]$';
end;
$$;

comment on function app.is_phone(text) is 'Whether the text reads as a telephone number: 5 to 31 characters, digits with an optional leading + and separators.';

create function app.phone_digits(value text)
returns text
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
begin
  return substring(regexp_replace(regexp_replace(value, '^(\+|00)', 'i'), '\(0\)|[^0-9i]', '', 'g') from '^i([1-9][0-9]{6,14})$');
end;
$$;

comment on function app.phone_digits(text) is
  'The number in digits with its country''s code and without + (E.164, as Auth keeps verified numbers), whichever way it is written; null for one without a country''s code, which could be anybody''s.';

create function app.is_slug(value text)
returns boolean
language plpgsql
immutable
returns null on null input
parallel safe
set search_path = ''
as $$
begin
  return value ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$';
end;
$$;

comment on function app.is_slug(text) is 'Whether the text can stand in a URL and a host name: 1 to 63 lowercase letters, digits and inner hyphens.';

create function app.is_name(value text)
returns boolean
language plpgsql
immutable
returns null on null input
parallel safe
set search_path = ''
as $$
begin
  return value = btrim(value) and length(value) between 1 and 200 and value !~ '[[:cntrl:]]';
end;
$$;

comment on function app.is_name(text) is 'Whether the text can name something: 1 to 200 characters of any script, no control characters, no outer white space.';

create function app.is_locale(value text)
returns boolean
language plpgsql
immutable
returns null on null input
parallel safe
set search_path = ''
as $$
begin
  return value ~ '^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$';
end;
$$;

comment on function app.is_locale(text) is 'Whether the text is a language tag (BCP 47) of language, optional script and optional region: bg, zh-Hant, es-MX.';

create function app.is_time_zone(value text)
returns boolean
language plpgsql
stable
returns null on null input
set search_path = ''
as $$
begin
  perform now() at time zone value;
  return value ~ '^(UTC|[A-Za-z_]+(/[A-Za-z0-9_+-]+)+)$';
exception when invalid_parameter_value then
  return false;
end;
$$;

comment on function app.is_time_zone(text) is 'Whether PostgreSQL knows the text as an IANA time zone: Europe/Sofia, America/Mexico_City, UTC.';

grant execute on function
  app.fail(integer, text, text, text), app.fail_check(text, text), app.is_email(text), app.is_phone(text), app.phone_digits(text), app.is_slug(text), app.is_name(text),
  app.is_locale(text), app.is_time_zone(text)
to authenticated, service_role, supabase_auth_admin;

-- Who acts -----------------------------------------------------------------------------------------------------------

-- In PL/pgSQL for the same reason.

create function app.is_trusted()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return case current_setting('role')
    when 'service_role' then true
    when 'anon' then false
    when 'authenticated' then false
    else pg_has_role(session_user, 'postgres', 'member')
  end;
end;
$$;

comment on function app.is_trusted() is
  'Whether the work is done with the secret key or by the owner of the database (Studio, migrations, jobs), for whom no permission is looked up. '
  'Stays true or false inside definer functions, because it looks at the role the session took and not at current_user.';

create function app.believes_claims()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return current_setting('role') in ('authenticated', 'anon', 'service_role') or pg_has_role(session_user, 'postgres', 'member');
end;
$$;

comment on function app.believes_claims() is
  'Whether request.jwt.claims says who acts: in requests, where the API has checked the token, and for the owner of the database. Anybody with SQL can set it, so it says nothing in a session of another login.';

create function app.actor_id()
returns uuid
language plpgsql
stable
set search_path = ''
as $$
begin
  if app.believes_claims() then
    return auth.uid();
  end if;
  return null;
end;
$$;

comment on function app.actor_id() is 'The user who acts; null when no user does, whatever a login that is no request has put into the claims.';

create function app.actor_label()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  if not app.believes_claims() then
    return case when session_user in ('supabase_auth_admin', 'supabase_storage_admin') then session_user::text else 'login:' || session_user end;
  end if;
  return case
    when auth.uid() is not null then null
    when coalesce(current_setting('app.actor', true), '') <> '' then current_setting('app.actor', true)
    when current_setting('role') in ('anon', 'service_role') then current_setting('role')
    when session_user = 'postgres' then 'studio:postgres'
    else session_user::text
  end;
end;
$$;

comment on function app.actor_label() is
  'Who acts when no user does: service_role, studio:postgres (SQL and Studio), job:<name>, supabase_auth_admin, login:<name> (a database login of app.database_logins). Null when a user does.';

grant execute on function app.is_trusted(), app.believes_claims(), app.actor_id(), app.actor_label() to authenticated, service_role;

-- The row model ------------------------------------------------------------------------------------------------------

create table app.row_model (
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  created_by uuid,
  updated_by uuid,
  deleted_at timestamptz,
  constraint row_model_pkey primary key (created_at),
  constraint row_model_empty_check check (created_at is null)
);

comment on table app.row_model is
  'The model of a row: business tables end with `like app.row_model including defaults including comments`. Holds no rows; its key only satisfies linters.';
comment on column app.row_model.created_at is 'When the row was made. Set by the database.';
comment on column app.row_model.updated_at is 'When the row last changed. Set by the database.';
comment on column app.row_model.created_by is 'The user who made the row; null when no user did (see the audit log). A plain id: it outlives the user.';
comment on column app.row_model.updated_by is 'The user who last changed the row; null when no user did. A plain id: it outlives the user.';
comment on column app.row_model.deleted_at is 'When the row was archived; null while it is live.';

alter table app.row_model enable row level security;
create policy row_model_select on app.row_model for select to authenticated using (false);

create function app.shows_archived()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return coalesce(nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-archived' = 'include', false);
end;
$$;

comment on function app.shows_archived() is
  'Whether the request asks for archived rows besides the live ones (header x-archived: include). Policies show them to those who may archive and did ask: a list is a list of live rows.';

grant execute on function app.shows_archived() to authenticated, service_role;

create function app.tg__touch()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.updated_at := now();
  -- app.believes_claims() and app.actor_id(), written out: every written row comes past here. Reading the claims takes longer than all the rest,
  -- so it is done once for each text of them. Whoever could set what is kept here could as well set the claims themselves: it is believed where they are.
  new.updated_by := case
    when current_setting('role') not in ('authenticated', 'anon', 'service_role') and not pg_has_role(session_user, 'postgres', 'member') then null
    when current_setting('app.claims_read', true) is distinct from current_setting('request.jwt.claims', true) then nullif(set_config('app.claims_actor',
      coalesce(nullif(set_config('app.claims_read', current_setting('request.jwt.claims', true), true), '')::json ->> 'sub', ''), true), '')::uuid
    else nullif(current_setting('app.claims_actor', true), '')::uuid
  end;
  if tg_op = 'INSERT' then
    -- A login of the database says neither when nor by whom. Asked only where something was said, and apart: what is not come to is not made ready.
    if new.created_at <> new.updated_at or new.created_by is not null then
      if current_setting('role') not in ('authenticated', 'anon', 'service_role') and not pg_has_role(session_user, 'postgres', 'member') then
        new.created_at := new.updated_at;
        new.created_by := null;
      end if;
    end if;
    new.created_at := coalesce(new.created_at, new.updated_at);
    new.created_by := coalesce(new.updated_by, new.created_by);
  end if;
  return new;
end;
$$;

comment on function app.tg__touch() is 'BEFORE INSERT OR UPDATE: keeps the row model''s columns. A user or a login of the database cannot write them, an import by a trusted role may set created_*.';

create function app.tg__made()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.created_at := old.created_at;
  new.created_by := old.created_by;
  return new;
end;
$$;

comment on function app.tg__made() is 'BEFORE UPDATE, with a WHEN clause that finds what was changed: when and by whom a row was made stays.';

create function app.tg__frozen()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- Erasing a person and merging two records of one rewrite what nobody else may, and name the table meanwhile. Never ids.
  -- They are definer functions: whoever sets the name without them is not the owner.
  if current_setting('app.rewriting', true) = tg_relid::text and tg_argv[0] not in ('id', 'community_id')
    and pg_has_role(current_user, 'postgres', 'member')
  then
    return new;
  end if;
  perform app.fail(409, 'column_frozen',
    format('%s of %I cannot change once the row is stored.', tg_argv[0], tg_table_name),
    'Archive the row and make a new one.');
  return null;
end;
$$;

comment on function app.tg__frozen() is 'BEFORE UPDATE, with a WHEN clause that names what changed: refuses (409 column_frozen). app.erase_rows and app.merge_rows may pass, ids apart.';

create function app.tg__delete_refused()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- A cascade from the row that owns this one runs inside a foreign key's trigger and may pass, and so may app.purge_rows, which
  -- names the table it removes archived rows of. Any other DELETE may not.
  if tg_op = 'DELETE' and (pg_trigger_depth() > 1 or current_setting('app.purging', true) = tg_relid::text) then
    return null;
  end if;
  perform app.fail(409, 'delete_refused',
    format('Rows of %I are archived, not deleted.', tg_table_name),
    format('select public.archive(%L, ''<id>''), or update %I.%I set deleted_at = now() where id = ''<id>''', tg_table_name, tg_table_schema, tg_table_name));
  return null;
end;
$$;

comment on function app.tg__delete_refused() is
  'BEFORE DELETE OR TRUNCATE, per statement: refuses (409 delete_refused) and names the way to archive. Cascades and app.purge_rows may pass.';

create function app.tg__append_only()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- What erases personal data, or a month whose time is over, names the log for as long as it takes (app.erase_audit, app.drop_audit_month).
  if tg_op <> 'TRUNCATE' and current_setting('app.erasing', true) = tg_relid::text then
    return null;
  end if;
  perform app.fail(409, 'append_only', format('%s of %I is refused: its rows are kept as they were written.', tg_op, tg_table_name));
  return null;
end;
$$;

comment on function app.tg__append_only() is 'BEFORE UPDATE, DELETE OR TRUNCATE, per statement: refuses (409 append_only). Erasure for privacy and retention alone may pass.';
