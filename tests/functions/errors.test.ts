import assert from "node:assert/strict";
import { ApiError, fromDatabase } from "../../functions/_shared/errors.ts";

Deno.test("what the database refuses keeps its status and token, and a value that it cannot read is the caller's", () => {
  const told = (code: string, message = "…") => {
    const error = fromDatabase({ code, message });
    return error instanceof ApiError ? `${error.status} ${error.token}` : "ours";
  };
  assert.equal(told("PT409", "role_already_held"), "409 role_already_held");
  assert.equal(told("42501"), "403 not_allowed");
  assert.equal(told("PGRST301"), "401 invalid_jwt");
  for (const code of ["22P02", "22007", "22008", "22009", "22003", "22P05"]) {
    assert.equal(told(code), "400 invalid_body");
  }
  for (const code of ["22012", "23505", "57014", "XX000", "PT"]) assert.equal(told(code), "ours");
});
