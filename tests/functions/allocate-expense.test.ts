import assert from "node:assert/strict";
import { ApiError } from "../../functions/_shared/errors.ts";
import { compile, evaluateAll, limits, totalOf, type Unit } from "../../functions/allocate-expense/formula.ts";
import {
  allocateExpense,
  type Dependencies,
  type Evaluation,
  type Inputs,
} from "../../functions/allocate-expense/handler.ts";

const unit = (inputs: Unit["inputs"], number = "12"): Unit => ({ id: `id of ${number}`, number, inputs });
const value = (formula: string, inputs: Unit["inputs"] = {}, isMissingZero = false) =>
  compile(formula).evaluate(unit(inputs), { isMissingZero });

/** What is refused, by token and what is told. */
function refusal(work: () => unknown): { token: string; details: string } {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof ApiError, `an error of ours: ${error}`);
    assert.equal(error.status, 422);
    return { token: error.token, details: error.details ?? "" };
  }
  throw new Error("nothing was refused");
}

Deno.test("a formula does arithmetic in decimals, as on paper", () => {
  for (
    const [formula, result] of [
      ["1 + 2 * 3", "7"],
      ["(1 + 2) * 3", "9"],
      ["0.1 + 0.2", "0.3"],
      ["10.005 * 100", "1000.5"],
      ["1 / 3", "0.333333333"],
      ["2 / 3", "0.666666667"],
      ["7 % 4", "3"],
      ["-3 + 5", "2"],
      ["+4", "4"],
      ["2 ** 10", "1024"],
      ["2 ** 0", "1"],
      ["round(2.5)", "3"],
      ["floor(2.9) + ceil(2.1) + abs(-1)", "6"],
      ["min(3, 1, 2) + max(3, 1, 2)", "4"],
      [".5", "0.5"],
      ["  1\n+ 1 ", "2"],
      ["0 * -1", "0"],
    ] as const
  ) assert.equal(value(formula), result, formula);
});

Deno.test("true is 1 and false is 0, in choices, comparisons and flags", () => {
  for (
    const [formula, result] of [
      ["floor > 0 ? area * 1.2 : area", "65.1"],
      ["area * (1 + 0.2 * (floor > 0))", "65.1"],
      ["is_shop ? 2 * area : area", "54.25"],
      ["is_apartment && floor >= 3", "1"],
      ["is_shop || floor < 3", "0"],
      ["!is_shop", "1"],
      ["floor == 3", "1"],
      ["floor != 3", "0"],
      ["meter_water_cold * 0.7 + persons * 0.3", "12.85"],
      ["floor > 1 ? floor > 2 ? 3 : 2 : 1", "3"],
    ] as const
  ) {
    const inputs = { area: 54.25, floor: 3, persons: 2, is_shop: 0, is_apartment: 1, meter_water_cold: 17.5 };
    assert.equal(value(formula, inputs), result, formula);
  }
});

Deno.test("what is no arithmetic over a unit is refused where it stands, and nothing of it runs", () => {
  for (
    const [formula, at] of [
      ["process.exit()", 1],
      ["constructor.constructor(1)", 1],
      ["constructor.constructor('return process')()", 25],
      ["area['constructor']", 5],
      ["this", 1],
      ["new Date", 1],
      ["import(area)", 1],
      ["eval(area)", 1],
      ["Function(area)", 1],
      ["hasOwnProperty(area)", 1],
      ["area => area", 1],
      ["area = 3", 1],
      ["area++", 1],
      ["area, floor", 1],
      ["area; floor", 5],
      ["area\nfloor", 6],
      ["while(1) area", 1],
      ["if (1) area", 1],
      ["for(;;) area", 5],
      ["area: 1", 1],
      ["function f() {}", 14],
      ["`1`", 1],
      ['"1"', 1],
      ["/1/", 1],
      ["1n", 1],
      ["0x10", 1],
      ["1e9", 1],
      ["typeof area", 1],
      ["void 0", 1],
      ["delete area", 1],
      ["area in area", 1],
      ["area | 1", 1],
      ["area & 1", 1],
      ["area << 1", 1],
      ["area >>> 1", 1],
      ["area === 1", 1],
      ["area ?? 1", 1],
      ["area?.floor", 1],
      ["min?.(1)", 1],
      ["min(...area)", 5],
      ["round(1, 2)", 1],
      ["min()", 1],
      ["1 // 2", 3],
      ["1 /* 2 */", 3],
      ["1 +", 4],
      ["", 1],
      ["   ", 1],
      ["(1", 3],
      ["1)", 2],
      ["площ", 1],
      ["area\u0000", 5],
      ["99999999999999999999", 1],
    ] as const
  ) {
    const { token, details } = refusal(() => compile(formula));
    assert.equal(token, "formula_invalid", formula);
    assert.match(details, new RegExp(`^At character ${at}:`), `${formula}: ${details}`);
  }
});

Deno.test("a name is something that is known of a unit, and no property of any object", () => {
  for (
    const name of [
      "constructor",
      "__proto__",
      "toString",
      "hasOwnProperty",
      "valueOf",
      "globalThis",
      "Deno",
      "undefined",
      "NaN",
      "Infinity",
      "nonsense",
    ]
  ) {
    const { token, details } = refusal(() => value(`1 + ${name}`, { area: 1 }));
    assert.equal(token, "formula_invalid", name);
    assert.match(details, /^At character 5: /, name);
  }
});

Deno.test("division by zero, huge powers, huge numbers and results below zero are refused with the unit", () => {
  for (
    const [formula, reason] of [
      ["1 / floor", /^At character 1, for unit 12: something is divided by zero/],
      ["1 % floor", /divided by zero/],
      ["9 ** 9 ** 9", /exponent/],
      ["2 ** 0.5", /exponent/],
      ["2 ** (0 - 1)", /exponent/],
      ["10 ** 10 * 10 ** 10", /too large/],
      ["floor - 1", /it comes to -1, below zero/],
    ] as const
  ) {
    const { token, details } = refusal(() => value(formula, { floor: 0 }));
    assert.equal(token, "formula_failed", formula);
    assert.match(details, reason, formula);
  }
});

Deno.test("length, nesting and the number of parts are bounded, whatever is written", () => {
  for (
    const formula of [
      "1+".repeat(500_000) + "1",
      "(".repeat(900) + "1" + ")".repeat(900),
      "-".repeat(1999) + "1",
      "!".repeat(1999) + "1",
      "1" + "+1".repeat(999),
      "1" + "**1".repeat(600),
      "1?".repeat(600) + "1" + ":1".repeat(600),
      "min(".repeat(400) + "1" + ")".repeat(400),
    ]
  ) {
    const started = performance.now();
    const { token } = refusal(() => compile(formula));
    assert.ok(["formula_too_complex", "formula_invalid"].includes(token), `${formula.slice(0, 20)}: ${token}`);
    // Tens of milliseconds; without the limits it would be minutes.
    assert.ok(performance.now() - started < 10_000, formula.slice(0, 20));
  }
  assert.equal(refusal(() => compile("1".repeat(limits.characters + 1))).token, "formula_too_complex");
  assert.equal(value("(".repeat(limits.depth) + "1" + ")".repeat(limits.depth)), "1");
});

Deno.test("all units together get so much time and no more", () => {
  let clock = 0;
  const units = Array.from({ length: 1000 }, (_, number) => unit({ area: number }, String(number)));
  assert.equal(
    refusal(() =>
      evaluateAll(compile("area"), units, { isMissingZero: false, now: () => clock += limits.milliseconds })
    ).token,
    "formula_too_complex",
  );
  assert.equal(evaluateAll(compile("area"), units, { isMissingZero: false, now: () => 0 }).length, 1000);
});

Deno.test("what nobody knows is not taken for zero unless the key says so", () => {
  const { token, details } = refusal(() => value("area + 1", { area: null }));
  assert.deepEqual([token, details], ["allocation_input_missing", "area of unit 12 is not known."]);
  assert.equal(value("area + 1", { area: null }, true), "1");
  assert.equal(
    value("floor > 0 ? area : 1", { area: null, floor: 0 }),
    "1",
    "and is not asked for where it does not matter",
  );
});

Deno.test("weights sum exactly", () => {
  assert.equal(
    totalOf([{ weight: "0.1" }, { weight: "0.2" }, { weight: "999999999999999.999999999" }]),
    "1000000000000000.299999999",
  );
});

// Over HTTP ----------------------------------------------------------------------------------------------------------

const key = "01990000-0000-7000-8000-000000000001";
const told: Inputs = {
  version: 3,
  formula: "area * (1 + 0.1 * floor)",
  is_missing_zero: false,
  caller: "01990000-0000-7000-8000-00000000000a",
  digest: "d1",
  units: [["u1", "1", { area: 50, floor: 0 }], ["u2", "2", { area: 54.25, floor: 2 }]],
};
const body = { allocation_key_id: key, starts_on: "2026-01-01", ends_on: "2026-01-31" };

type Call = (body: unknown, headers?: Record<string, string>) => Promise<Response>;

/** Serves the function with a fake database on a port of its own. Returns what was stored. */
async function withFunction(
  work: (call: Call) => Promise<void>,
  fakes: Partial<Dependencies> = {},
): Promise<Evaluation[]> {
  const stored: Evaluation[] = [];
  const app = allocateExpense({
    inputs: () => Promise.resolve(told),
    store: (evaluation) => {
      stored.push(evaluation);
      return Promise.resolve("e1");
    },
    ...fakes,
  });
  const original = { log: console.log, error: console.error };
  console.log = console.error = () => {};
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, app.fetch);
  try {
    await work((sent, headers = { authorization: "Bearer header.payload.signature" }) =>
      fetch(`http://127.0.0.1:${server.addr.port}/allocate-expense`, {
        method: "POST",
        headers,
        body: typeof sent === "string" ? sent : JSON.stringify(sent),
      })
    );
  } finally {
    await server.shutdown();
    Object.assign(console, original);
  }
  return stored;
}

Deno.test("the key's formula is evaluated for every unit and stored in the caller's name", async () => {
  const stored = await withFunction(async (call) => {
    const response = await call(body);
    assert.equal(response.status, 201);
    assert.deepEqual(await response.json(), { evaluation_id: "e1", version: 3, unit_count: 2, weight_total: "115.1" });
  });
  assert.deepEqual(stored, [{
    ...body,
    version: 3,
    digest: "d1",
    evaluated_by: told.caller,
    weights: [{ unit_id: "u1", weight: "50" }, { unit_id: "u2", weight: "65.1" }],
  }]);
});

Deno.test("a formula is tried out without anything being stored", async () => {
  const stored = await withFunction(async (call) => {
    const response = await call({ ...body, formula: "floor" });
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), {
      version: 3,
      unit_count: 2,
      weight_total: "2",
      weights: [
        { unit_id: "u1", unit_number: "1", weight: "0", inputs: { area: 50, floor: 0 } },
        { unit_id: "u2", unit_number: "2", weight: "2", inputs: { area: 54.25, floor: 2 } },
      ],
    });
  });
  assert.deepEqual(stored, []);
});

Deno.test("a bad formula, a bad body and a body of a megabyte are answered with 4xx and store nothing", async () => {
  const stored = await withFunction(async (call) => {
    for (
      const [sent, status, token] of [
        [{ ...body, formula: "process.exit()" }, 422, "formula_invalid"],
        [{ ...body, formula: "1 / (floor - floor)" }, 422, "formula_failed"],
        [{ ...body, formula: "1".repeat(3000) }, 422, "formula_too_complex"],
        [{ ...body, formula: "1+".repeat(500_000) + "1" }, 413, "body_too_large"],
        [{ ...body, formula: "" }, 400, "invalid_body"],
        [{ ...body, starts_on: "yesterday" }, 400, "invalid_body"],
        [{ ...body, more: 1 }, 400, "invalid_body"],
        ["{", 400, "invalid_body"],
        ["[]", 400, "invalid_body"],
      ] as const
    ) {
      const response = await call(sent);
      assert.equal(response.status, status, token);
      assert.equal((await response.json()).message, token);
    }
    assert.equal((await call(body, {})).status, 401);
  });
  assert.deepEqual(stored, []);
});

Deno.test("a key whose stored formula is bad stores nothing either", async () => {
  const stored = await withFunction(async (call) => {
    const response = await call(body);
    assert.equal(response.status, 422);
    assert.equal((await response.json()).message, "formula_failed");
  }, { inputs: () => Promise.resolve({ ...told, formula: "0 - area" }) });
  assert.deepEqual(stored, []);
});

Deno.test("what the database refuses passes through", async () => {
  await withFunction(async (call) => {
    const response = await call(body);
    assert.equal(response.status, 404);
    assert.equal((await response.json()).message, "allocation_key_not_found");
  }, { inputs: () => Promise.reject(new ApiError(404, "allocation_key_not_found")) });
});
