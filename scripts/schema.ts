/**
 * `deno task schema`: writes the JSON Schema of experiment files, for editors.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { experimentSchema } from "../pipeline/graph/schema.ts";
import { stages } from "../pipeline/stages/registry.ts";

const FILE = fileURLToPath(
  new URL("../experiments/schema/experiment.schema.json", import.meta.url),
);

await Deno.writeTextFile(FILE, JSON.stringify(experimentSchema(stages), null, 2) + "\n");
console.error(`wrote ${FILE}`);
