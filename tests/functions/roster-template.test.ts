import assert from "node:assert/strict";
import { ApiError } from "../../functions/_shared/errors.ts";
import { type List, type RosterHeader, rosterTemplate } from "../../functions/roster-template/handler.ts";

const columns: Record<string, RosterHeader[]> = {
  en: [
    { field: "unit", header: "Unit", example: "A-101" },
    { field: "name", header: "Name, as on the deed", example: 'Ana "Anita" Pérez' },
  ],
  bg: [
    { field: "unit", header: "Обект", example: "ап. 12" },
    { field: "share", header: "Идеални части", example: "12,345" },
  ],
};

/** Serves the function with a fake database on a port of its own, and calls it over HTTP. */
async function withFunction(work: (call: Call) => Promise<void>, rosterHeaders = fakeHeaders): Promise<void> {
  const app = rosterTemplate({ rosterHeaders });
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, app.fetch);
  const base = `http://127.0.0.1:${server.addr.port}/roster-template`;
  try {
    await work((search, headers) => fetch(base + search, headers ? { headers } : {}));
  } finally {
    await server.shutdown();
  }
}

type Call = (search: string, headers?: Record<string, string>) => Promise<Response>;

const balances: RosterHeader[] = [{ field: "unit", header: "Unit", example: "A-101" }, {
  field: "amount",
  header: "Owes",
  example: "120.50",
}];
const fakeHeaders = (_caller: { jwt: string }, language: string, list: List) =>
  Promise.resolve(list === "balances" ? balances : columns[language] ?? []);
const signedIn = { authorization: "Bearer header.payload.signature" };

Deno.test("a template has the headers of the language and one line of examples", async () => {
  await withFunction(async (call) => {
    const response = await call("?language=bg", signedIn);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "text/csv; charset=utf-8");
    assert.equal(response.headers.get("content-disposition"), 'attachment; filename="roster-bg.csv"');
    const bytes = new Uint8Array(await response.arrayBuffer());
    assert.deepEqual([...bytes.slice(0, 3)], [0xef, 0xbb, 0xbf], "Excel needs the byte order mark");
    assert.equal(new TextDecoder().decode(bytes), 'Обект,Идеални части\r\nап. 12,"12,345"\r\n');
  });
});

Deno.test("cells with commas and quotes are quoted as RFC 4180 has it", async () => {
  await withFunction(async (call) => {
    const text = await (await call("?language=en", signedIn)).text();
    assert.equal(text, 'Unit,"Name, as on the deed"\r\nA-101,"Ana ""Anita"" Pérez"\r\n');
  });
});

Deno.test("a template of opening balances is another list, and no other list is known", async () => {
  await withFunction(async (call) => {
    const response = await call("?language=en&list=balances", signedIn);
    assert.equal(response.headers.get("content-disposition"), 'attachment; filename="balances-en.csv"');
    assert.equal(await response.text(), "Unit,Owes\r\nA-101,120.50\r\n");
    const unknown = await call("?language=en&list=invoices", signedIn);
    assert.equal(unknown.status, 400);
    assert.equal((await unknown.json()).message, "invalid_value");
  });
});

Deno.test("an unknown or missing language is a 400 that says which are known", async () => {
  await withFunction(async (call) => {
    for (const search of ["?language=fr", "?language=", ""]) {
      const response = await call(search, signedIn);
      assert.equal(response.status, 400);
      const body = await response.json();
      assert.equal(body.message, "unknown_language");
      assert.match(body.details, /language: .*en.*es.*bg.*hi.*th/);
    }
  });
});

Deno.test("without a JWT nothing is asked of the database", async () => {
  let asked = 0;
  const counting = () => {
    asked += 1;
    return Promise.resolve([]);
  };
  await withFunction(async (call) => {
    for (const headers of [undefined, { authorization: "Bearer sb_publishable_x" }, { authorization: "Basic YTpi" }]) {
      const response = await call("?language=en", headers);
      assert.equal(response.status, 401);
      assert.equal((await response.json()).message, "missing_jwt");
    }
  }, counting);
  assert.equal(asked, 0);
});

Deno.test("the database is asked with the caller's own JWT", async () => {
  const callers: string[] = [];
  await withFunction(async (call) => {
    await (await call("?language=en", signedIn)).body?.cancel();
  }, (caller) => {
    callers.push(caller.jwt);
    return Promise.resolve([]);
  });
  assert.deepEqual(callers, ["header.payload.signature"]);
});

Deno.test("a refusal of the database keeps its status and token, a failure says nothing", async () => {
  await withFunction(async (call) => {
    const response = await call("?language=en", signedIn);
    assert.equal(response.status, 409);
    assert.equal((await response.json()).message, "import_running");
  }, () => Promise.reject(new ApiError(409, "import_running")));

  const original = console.error;
  console.error = () => {};
  try {
    await withFunction(async (call) => {
      const response = await call("?language=en", signedIn);
      assert.equal(response.status, 500);
      const text = await response.text();
      assert.match(text, /internal_error/);
      assert.doesNotMatch(text, /secret_table/);
    }, () => Promise.reject(new Error("relation secret_table does not exist")));
  } finally {
    console.error = original;
  }
});
