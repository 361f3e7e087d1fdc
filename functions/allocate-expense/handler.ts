import type { Hono } from "hono";
import { z } from "zod";
import { type Caller, callerOf } from "../_shared/auth.ts";
import { createApp, parse, parseJson } from "../_shared/http.ts";
import { compile, evaluateAll, totalOf } from "./formula.ts";

/** Of which key, for which days; with a formula: that one instead of the key's. */
export type Wish = { allocation_key_id: string; starts_on: string; ends_on: string; formula?: string | undefined };

/** What a formula is evaluated with, as the database tells it. */
export type Inputs = {
  version: number;
  formula: string;
  is_missing_zero: boolean;
  /** The user who asks. */
  caller: string | null;
  /** Of all values, so that the database notices when they are no longer what they were. */
  digest: string | null;
  units: [id: string, number: string, inputs: Record<string, number | null>][];
};

/** What it came to. */
export type Evaluation = Wish & {
  version: number;
  digest: string | null;
  evaluated_by: string | null;
  weights: { unit_id: string; weight: string }[];
};

export type Dependencies = {
  /** With the caller's own rights. */
  inputs: (caller: Caller, wish: Wish) => Promise<Inputs>;
  /** With the secret key, in the name of whom `inputs` let in. Returns the evaluation's id. */
  store: (evaluation: Evaluation) => Promise<string>;
};

const wish = z.strictObject({
  allocation_key_id: z.guid(),
  starts_on: z.iso.date(),
  ends_on: z.iso.date(),
  formula: z.string().min(1).optional(),
});

/**
 * POST /allocate-expense `{ allocation_key_id, starts_on, ends_on }` evaluates the formula of an allocation key for every unit that the key
 * concerns, with what is known of the units and with what was measured in the days, and stores the weights: expenses and fees are
 * shared out by them. Answers 201 `{ evaluation_id, version, unit_count, weight_total }`.
 *
 * With `formula`, that one is tried out and nothing is stored: 200 `{ version, unit_count, weight_total, weights: [{ unit_id,
 * unit_number, weight, inputs }] }`.
 *
 * Errors: 400 `invalid_body`, 401 `missing_jwt`, 413 `body_too_large`, 422 `formula_invalid`, `formula_too_complex`, `formula_failed`
 * and `allocation_input_missing`, which tell the character or the unit, and those of the RPCs `formula_inputs` and
 * `store_formula_weights`. Whatever is refused stores nothing.
 */
export function allocateExpense(dependencies: Dependencies): Hono {
  const app = createApp("allocate-expense");

  app.post("/", async (c) => {
    const caller = callerOf(c.req.header("authorization"));
    const wanted = parse(wish, parseJson(await c.req.text()));
    const tried = wanted.formula === undefined ? undefined : compile(wanted.formula);
    const told = await dependencies.inputs(caller, wanted);
    const units = told.units.map(([id, number, inputs]) => ({ id, number, inputs }));
    const weights = evaluateAll(tried ?? compile(told.formula), units, { isMissingZero: told.is_missing_zero });
    const summary = {
      version: told.version,
      unit_count: weights.length,
      weight_total: totalOf(weights),
    };
    if (tried) {
      return c.json({
        ...summary,
        weights: weights.map(({ unit_id, weight }, place) => ({
          unit_id,
          unit_number: units[place]?.number,
          weight,
          inputs: units[place]?.inputs,
        })),
      });
    }
    const { version, digest, caller: evaluated_by } = told;
    return c.json({
      evaluation_id: await dependencies.store({ ...wanted, version, digest, evaluated_by, weights }),
      ...summary,
    }, 201);
  });

  return app;
}
