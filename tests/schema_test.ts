/**
 * The JSON Schema in `experiments/schema/` is what the stages say today.
 *
 * @module
 */

import assert from "node:assert/strict";
import { experimentSchema } from "../pipeline/graph/schema.ts";
import { stages } from "../pipeline/stages/registry.ts";

Deno.test("experiments/schema/experiment.schema.json is current (deno task schema writes it)", async () => {
  const file = new URL("../experiments/schema/experiment.schema.json", import.meta.url);
  const written: unknown = JSON.parse(await Deno.readTextFile(file));
  assert.deepEqual(written, JSON.parse(JSON.stringify(experimentSchema(stages))));
});
