-- Foundation: secrets that the database has to read again.
--
-- Purpose     Where a key lies that cannot be a hash: in Vault, encrypted and outside of dumps of our tables, wherever Vault is
--             installed; where it is not (a local stack), in the row of the table in private that names it.
-- Tables      none. A table that keeps secrets has the columns vault_secret_id uuid and secret text, of which one is filled.
-- Invariants  No API role reads a secret or executes these functions.

create function app.keep_secret(name text, description text, secret text)
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
declare
  kept uuid;
begin
  -- Versions of Vault differ in a fourth argument, which has a default.
  if coalesce(to_regprocedure('vault.create_secret(text,text,text,uuid)'), to_regprocedure('vault.create_secret(text,text,text)')) is not null then
    execute 'select vault.create_secret($1, $2, $3)' into kept using secret, name, description;
  end if;
  return kept;
end;
$$;

comment on function app.keep_secret(text, text, text) is
  'Puts a secret into Vault and returns its id there; null where there is no Vault, and the caller stores it in its own row. Not executable by API roles.';

create function app.kept_secret(vault_secret_id uuid)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  secret text;
begin
  execute 'select s.decrypted_secret from vault.decrypted_secrets s where s.id = $1' into secret using vault_secret_id;
  return secret;
end;
$$;

comment on function app.kept_secret(uuid) is 'A secret of Vault, null when it is gone. Not executable by API roles.';

create function app.destroy_secret(vault_secret_id uuid)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  if vault_secret_id is not null then
    execute 'delete from vault.secrets where id = $1' using vault_secret_id;
  end if;
end;
$$;

comment on function app.destroy_secret(uuid) is 'Removes a secret from Vault, for good. Not executable by API roles.';

create function app.base64url(bytes bytea)
returns text
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
begin
  return translate(encode(bytes, 'base64'), E'+/=\n', '-_');
end;
$$;

comment on function app.base64url(bytea) is 'Bytes as base64url (RFC 4648, section 5) without padding and in one line.';
