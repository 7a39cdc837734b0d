/**
 * `deno task doctor`: what this machine offers experiments, and what it lacks.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { diagnose } from "../pipeline/environment/diagnosis.ts";
import { renderDiagnosis } from "../pipeline/environment/diagnosis_text.ts";

const HELP =
  `Shows what this machine computes with, what of it really works, limits, memory, caches, and what
is missing.

Usage: deno task doctor [--json]

  --json   print one JSON document instead

Exit status: 0 if experiments can run, 1 if not, 2 if the command line is wrong.`;

let options;
try {
  options =
    parseArgs({ options: { help: { type: "boolean", short: "h" }, json: { type: "boolean" } } })
      .values;
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  Deno.exit(2);
}
if (options.help) {
  console.log(HELP);
  Deno.exit(0);
}
const diagnosis = await diagnose();
const colours = Deno.stdout.isTerminal() && !Deno.noColor;
console.log(
  options.json ? JSON.stringify(diagnosis, null, 2) : renderDiagnosis(diagnosis, colours),
);
Deno.exitCode = diagnosis.ready ? 0 : 1;
