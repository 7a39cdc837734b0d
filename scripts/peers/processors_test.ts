import assert from "node:assert/strict";
import { parseProcessors } from "./processors.ts";

Deno.test("parseProcessors() reads lists and ranges", () => {
  assert.deepEqual(parseProcessors("0"), [0]);
  assert.deepEqual(parseProcessors("0-2,5,7-8"), [0, 1, 2, 5, 7, 8]);
});
