import type { AnonymousSession } from "../_shared/anonymous-session.ts";
import { fromDatabase } from "../_shared/errors.ts";
import type { Asker, Question } from "./handler.ts";

/** Where the RPC `decide_access` is asked. */
export type Ways = {
  /** The database itself, for who brings no user's JWT. */
  session: AnonymousSession;
  /** PostgREST, which verifies JWTs, for all others, and where there is no session at the moment. */
  rest: { url: string; anonKey: string };
};

/** Asks the RPC `decide_access`. Somebody stands at the gate: the answer is passed on as the database wrote it. */
export function decideBy({ session, rest }: Ways): (asker: Asker, question: Question) => Promise<string> {
  const nobody = `Bearer ${rest.anonKey}`;
  return async (asker, question) => {
    const isNobody = asker.authorization === undefined || asker.authorization === nobody;
    return (isNobody ? await askItself(session, asker, question) : undefined) ??
      await askPostgrest(rest, asker, question);
  };
}

// What PostgREST does for nobody: the request is told to the database for this one transaction. The second part reads from the
// first, and so comes after it.
const statement = `
  select row_to_json(d)::text as answer
  from (
    select
      set_config('request.headers', $1, true) as headers,
      set_config('request.method', 'POST', true),
      set_config('request.path', '/rpc/decide_access', true),
      set_config('request.jwt.claims', '{"role":"anon"}', true)
    where current_setting('role') = 'anon'
    offset 0
  ) request
  cross join lateral public.decide_access(
    access_point_id => case when request.headers is not null then $2::uuid end,
    method => $3::public.access_method,
    credential => $4::text,
    direction => $5::public.access_direction,
    nonce => $6::text,
    scanned_at => $7::text::timestamptz,
    photo_file_id => $8::uuid,
    acknowledged_entry_id => $9::uuid,
    note => $10::text
  ) d`;

function askItself(session: AnonymousSession, asker: Asker, question: Question): Promise<string | undefined> {
  return session.ask(statement, [
    JSON.stringify(headersOf(asker)),
    question.access_point_id,
    question.method,
    question.credential,
    question.direction ?? null,
    question.nonce ?? null,
    question.scanned_at ?? null,
    question.photo_file_id ?? null,
    question.acknowledged_entry_id ?? null,
    question.note ?? null,
  ]);
}

async function askPostgrest({ url, anonKey }: Ways["rest"], asker: Asker, question: Question): Promise<string> {
  const response = await fetch(`${url}/rpc/decide_access`, {
    method: "POST",
    headers: {
      ...headersOf(asker),
      apikey: anonKey,
      accept: "application/vnd.pgrst.object+json",
      "content-type": "application/json",
      ...(asker.authorization && { authorization: asker.authorization }),
    },
    body: JSON.stringify(question),
  });
  const text = await response.text();
  if (response.ok) return text;
  throw fromDatabase(JSON.parse(text));
}

/** What the database is told of who asks, and from where. */
const headersOf = ({ deviceKey, forwardedFor, userAgent }: Asker): Record<string, string> => ({
  ...(deviceKey && { "x-device-key": deviceKey }),
  ...(forwardedFor && { "x-forwarded-for": forwardedFor }),
  ...(userAgent && { "user-agent": userAgent }),
});
