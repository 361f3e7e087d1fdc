import { z } from "zod";
import { administrator, clientOf } from "../_shared/database.ts";
import { fromDatabase } from "../_shared/errors.ts";
import { allocateExpense } from "./handler.ts";

const inputs = z.object({
  version: z.int(),
  formula: z.string(),
  is_missing_zero: z.boolean(),
  caller: z.string().nullable(),
  digest: z.string().nullable(),
  units: z.array(z.tuple([z.string(), z.string(), z.record(z.string(), z.number().nullable())])),
});

const app = allocateExpense({
  async inputs(caller, { allocation_key_id, formula, ...days }) {
    const { data, error } = await clientOf(caller).rpc("formula_inputs", {
      key_id: allocation_key_id,
      ...days,
      ...(formula !== undefined && { formula }),
    });
    if (error) throw fromDatabase(error);
    return inputs.parse(data);
  },
  // No user may say what a formula came to.
  async store({ allocation_key_id, version, starts_on, ends_on, digest, evaluated_by, weights }) {
    const { data, error } = await administrator().rpc("store_formula_weights", {
      key_id: allocation_key_id,
      version,
      starts_on,
      ends_on,
      digest: digest ?? "",
      weights,
      ...(evaluated_by !== null && { evaluated_by }),
    });
    if (error) throw fromDatabase(error);
    return data;
  },
});

Deno.serve(app.fetch);
