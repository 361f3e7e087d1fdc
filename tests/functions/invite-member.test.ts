import assert from "node:assert/strict";
import { ApiError } from "../../functions/_shared/errors.ts";
import { type Dependencies, type InvitationMail, inviteMember } from "../../functions/invite-member/handler.ts";
import { type AuthMails, sendInvitation } from "../../functions/invite-member/mail.ts";

const token = "tokenTokenTokenTokenTokenTokenTokenTokenTok";
const issued = {
  id: "01990000-0000-7000-8000-000000000001",
  token,
  invited: "ana@example.org",
  role_key: "guard",
  role_name: "Guard",
  place: "Lipa Court",
  expires_at: "2026-12-01T00:00:00+00:00",
};
const communityId = "01990000-0000-7000-8000-00000000000c";
const signedIn = { authorization: "Bearer header.payload.signature" };
const wish = { email: "Ana@example.org", role: "guard", community_id: communityId };

type Call = (path: string, body?: unknown, headers?: Record<string, string>) => Promise<Response>;

/** Serves the function with a fake database and a fake Auth on a port of its own, and calls it over HTTP. */
async function withFunction(work: (call: Call) => Promise<void>, fakes: Partial<Dependencies> = {}): Promise<void> {
  const app = inviteMember({
    invite: () => Promise.resolve(issued),
    inviteResident: () => Promise.resolve({ ...issued, role_key: null, role_name: null }),
    resend: () => Promise.resolve(issued),
    sendMail: () => Promise.resolve(),
    ...fakes,
  });
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, app.fetch);
  const base = `http://127.0.0.1:${server.addr.port}/invite-member`;
  try {
    await work((path, body, headers = signedIn) =>
      fetch(base + path, {
        method: "POST",
        headers,
        body: typeof body === "string" ? body : JSON.stringify(body ?? {}),
      })
    );
  } finally {
    await server.shutdown();
  }
}

/** Runs `work` and returns the lines it logged. */
async function logged(work: () => Promise<void>): Promise<string> {
  const original = { log: console.log, error: console.error };
  const lines: string[] = [];
  console.log = console.error = (line: string) => void lines.push(line);
  try {
    await work();
  } finally {
    Object.assign(console, original);
  }
  return lines.join("\n");
}

Deno.test("an invitation is answered without its token, which goes into the mail's link alone", async () => {
  const mails: InvitationMail[] = [];
  const lines = await logged(() =>
    withFunction(async (call) => {
      const response = await call("", { ...wish, redirect_to: "https://app.example/join?lang=bg#top" });
      assert.equal(response.status, 201);
      const text = await response.text();
      assert.doesNotMatch(text, new RegExp(token));
      assert.deepEqual(JSON.parse(text), {
        id: issued.id,
        email: "ana@example.org",
        role: "guard",
        role_name: "Guard",
        place: "Lipa Court",
        expires_at: issued.expires_at,
        mail_sent: true,
      });
    }, { sendMail: (mail) => Promise.resolve(void mails.push(mail)) })
  );
  assert.deepEqual(mails, [{
    to: "ana@example.org",
    place: "Lipa Court",
    roleName: "Guard",
    leadsTo: `https://app.example/join?lang=bg&invitation=${token}#top`,
  }]);
  assert.doesNotMatch(lines, new RegExp(`${token}|ana@`, "i"), "neither token nor address is logged");
});

Deno.test("without redirect_to the mail holds no token: Auth's site URL is not ours to add to", async () => {
  const mails: InvitationMail[] = [];
  await logged(() =>
    withFunction(async (call) => {
      await (await call("", wish)).body?.cancel();
    }, { sendMail: (mail) => Promise.resolve(void mails.push(mail)) })
  );
  assert.equal(mails[0]?.leadsTo, undefined);
});

Deno.test("the database is asked with the caller's own JWT, for what the caller wished", async () => {
  const asked: unknown[] = [];
  await logged(() =>
    withFunction(async (call) => {
      await (await call("", {
        ...wish,
        ends_at: "2027-01-31T00:00:00Z",
        expires_in_hours: 24,
        redirect_to: "https://app.example/",
      })).body?.cancel();
      await (await call(`/${issued.id}/resend`, { expires_in_hours: 48 })).body?.cancel();
      await (await call(`/${issued.id}/resend`, "")).body?.cancel();
    }, {
      invite: (caller, wanted) => Promise.resolve((asked.push([caller.jwt, wanted]), issued)),
      resend: (caller, id, hours) => Promise.resolve((asked.push([caller.jwt, id, hours]), issued)),
    })
  );
  assert.deepEqual(asked, [
    ["header.payload.signature", { ...wish, ends_at: "2027-01-31T00:00:00Z", expires_in_hours: 24 }],
    ["header.payload.signature", issued.id, 48],
    ["header.payload.signature", issued.id, undefined],
  ]);
});

Deno.test("a resident is invited by id, to no role, and gets the mail", async () => {
  const asked: unknown[] = [];
  const mails: InvitationMail[] = [];
  await logged(() =>
    withFunction(async (call) => {
      const response = await call("", { resident_id: issued.id, redirect_to: "https://app.example/join" });
      assert.equal(response.status, 201);
      assert.equal((await response.json()).role, null);
    }, {
      inviteResident: (caller, wanted) =>
        Promise.resolve((asked.push([caller.jwt, wanted]), { ...issued, role_key: null, role_name: null })),
      sendMail: (mail) => Promise.resolve(void mails.push(mail)),
    })
  );
  assert.deepEqual(asked, [["header.payload.signature", { resident_id: issued.id }]]);
  assert.deepEqual(mails, [{
    to: "ana@example.org",
    place: "Lipa Court",
    roleName: null,
    leadsTo: `https://app.example/join?invitation=${token}`,
  }]);
});

Deno.test("to a telephone number nothing is sent: whoever invites gets the link to hand over", async () => {
  let mails = 0;
  const lines = await logged(() =>
    withFunction(async (call) => {
      const { email: _, ...byPhone } = { ...wish, phone: "+359 88 555 0102", redirect_to: "https://app.example/join" };
      const answer = await (await call("", byPhone)).json();
      assert.deepEqual([answer.phone, answer.mail_sent, answer.share_link], [
        "+359885550102",
        false,
        `https://app.example/join?invitation=${token}`,
      ]);
    }, {
      invite: () => Promise.resolve({ ...issued, invited: "+359885550102" }),
      sendMail: () => Promise.resolve(void mails++),
    })
  );
  assert.equal(mails, 0);
  assert.doesNotMatch(lines, new RegExp(`${token}|0102`), "neither token nor number is logged");
});

Deno.test("a resend answers 200 with the same", async () => {
  await logged(() =>
    withFunction(async (call) => {
      const response = await call(`/${issued.id}/resend`);
      assert.equal(response.status, 200);
      assert.equal((await response.json()).mail_sent, true);
    })
  );
});

Deno.test("a mail that could not be sent is said so, and does not undo the invitation", async () => {
  const lines = await logged(() =>
    withFunction(async (call) => {
      const response = await call("", wish);
      assert.equal(response.status, 201);
      assert.equal((await response.json()).mail_sent, false);
    }, { sendMail: () => Promise.reject(new Error("email rate limit exceeded")) })
  );
  assert.match(lines, /mail not sent.*email rate limit exceeded/);
});

Deno.test("a body that is none is a 400 that names the field, before anybody is asked", async () => {
  let asked = 0;
  await logged(() =>
    withFunction(async (call) => {
      for (
        const [body, reason] of [
          ["{", /not JSON/],
          [{ role: "guard" }, /email/],
          [{ ...wish, community_id: "lipa" }, /community_id/],
          [{ ...wish, phone: "+359885550102" }, /one of the two/],
          [{ resident_id: "ana" }, /resident_id/],
          [{ resident_id: issued.id, role: "guard" }, /role/],
          [{ ...wish, expires_in_hours: 1.5 }, /expires_in_hours/],
          [{ ...wish, ends_at: "tomorrow" }, /ends_at/],
          [{ ...wish, redirect_to: "join" }, /redirect_to/],
          [{ ...wish, comunity_id: communityId }, /comunity_id/],
        ] as const
      ) {
        const response = await call("", body);
        assert.equal(response.status, 400);
        const answer = await response.json();
        assert.equal(answer.message, "invalid_body");
        assert.match(answer.details, reason);
      }
      const response = await call("/not-an-id/resend");
      assert.equal(response.status, 404);
      assert.equal((await response.json()).message, "invitation_not_found");
    }, { invite: () => Promise.resolve((asked++, issued)), resend: () => Promise.resolve((asked++, issued)) })
  );
  assert.equal(asked, 0);
});

Deno.test("without a JWT nothing is asked of the database", async () => {
  let asked = 0;
  await logged(() =>
    withFunction(async (call) => {
      for (const path of ["", `/${issued.id}/resend`]) {
        const response = await call(path, wish, {});
        assert.equal(response.status, 401);
        assert.equal((await response.json()).message, "missing_jwt");
      }
    }, { invite: () => Promise.resolve((asked++, issued)), resend: () => Promise.resolve((asked++, issued)) })
  );
  assert.equal(asked, 0);
});

Deno.test("what the database refuses keeps its status and token, and no mail goes out", async () => {
  let mails = 0;
  await logged(() =>
    withFunction(async (call) => {
      const response = await call("", wish);
      assert.equal(response.status, 403);
      assert.equal((await response.json()).message, "role_above_own");
    }, {
      invite: () => Promise.reject(new ApiError(403, "role_above_own")),
      sendMail: () => Promise.resolve(void mails++),
    })
  );
  assert.equal(mails, 0);
});

/** An Auth that answers an invitation with this code, and remembers what it was asked. */
function fakeAuth(inviteCode: string | undefined, otpCode?: string) {
  const asked: unknown[] = [];
  const error = (code: string | undefined) => code === undefined ? null : Object.assign(new Error(code), { code });
  const client = {
    auth: {
      admin: {
        inviteUserByEmail: (...parameters: unknown[]) => {
          asked.push(["invite", ...parameters]);
          return Promise.resolve({ data: { user: null }, error: error(inviteCode) });
        },
      },
      signInWithOtp: (parameters: unknown) => {
        asked.push(["otp", parameters]);
        return Promise.resolve({ error: error(otpCode) });
      },
    },
  } as unknown as AuthMails;
  return { client, asked };
}

const mail = { to: "ana@example.org", place: "Lipa Court", roleName: "Guard", leadsTo: "https://app.example/join" };
const invited = ["invite", "ana@example.org", {
  data: { invited_to: "Lipa Court", invited_as: "Guard" },
  redirectTo: "https://app.example/join",
}];

Deno.test("people without an account get Auth's invitation", async () => {
  const { client, asked } = fakeAuth(undefined);
  await sendInvitation(client, mail);
  assert.deepEqual(asked, [invited]);
});

Deno.test("people with an account get a link that signs them in, and no account is made", async () => {
  const { client, asked } = fakeAuth("email_exists");
  await sendInvitation(client, mail);
  assert.deepEqual(asked, [invited, ["otp", {
    email: "ana@example.org",
    options: { shouldCreateUser: false, emailRedirectTo: "https://app.example/join" },
  }]]);
});

Deno.test("what Auth refuses is not taken for sent", async () => {
  const limited = fakeAuth("over_email_send_rate_limit");
  await assert.rejects(sendInvitation(limited.client, mail), /over_email_send_rate_limit/);
  assert.equal(limited.asked.length, 1);
  await assert.rejects(sendInvitation(fakeAuth("email_exists", "otp_disabled").client, mail), /otp_disabled/);
});
