/**
 * Runs operations of the conformance suite on Dawn and prints one line of JSON for each: its name and
 * the largest error relative to its bound. A program and no test, because Deno's test runner traces
 * every turn of the event loop, which Dawn takes many of while it waits; and because native code
 * needs a permission that tests do without.
 *
 * @module
 */

import { checkCase } from "../testing/case.ts";
import { CASES } from "../testing/conformance.ts";
import { openWebgpu } from "./adapter.ts";
import { loadDawn } from "./dawn.ts";

const device = await openWebgpu({ implementation: await loadDawn() });
console.log(JSON.stringify(device.info));
for (const operation of Deno.args) {
  const cases = CASES[operation];
  if (!cases) throw new RangeError(`The conformance suite has no operation "${operation}"`);
  let ratio = 0;
  for (const testCase of cases()) ratio = Math.max(ratio, await checkCase(device, testCase));
  console.log(JSON.stringify({ operation, ratio }));
}
device.close();
