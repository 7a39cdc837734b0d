/**
 * The oracle itself against logits that two other runtimes agree on.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { findPython } from "../../pipeline/environment/oracles.ts";

const SCRIPT = new URL("./lora_training.py", import.meta.url).pathname;

Deno.test("the PyTorch oracle gives the known logits of tinystories-656k", async () => {
  const data = Deno.env.get("EQUIPOISE_TEST_DATA");
  if (data === undefined) {
    console.log("skipped: EQUIPOISE_TEST_DATA names no folder with models/tinystories-656k");
    return;
  }
  const python = await findPython(["torch", "numpy"]);
  if (python === null) {
    console.log("skipped: no Python with PyTorch and NumPy");
    return;
  }
  const { success, stdout, stderr } = await new Deno.Command(python, {
    args: [
      SCRIPT,
      join(data, "models/tinystories-656k"),
      "logits",
      "--tokens",
      "1,80,147,201,282,57",
    ],
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const { ids, logits } = JSON.parse(new TextDecoder().decode(stdout));
  assert.deepEqual(ids, [313, 8, 1773, 404, 547]);
  [17.38081, 13.77263, 13.74347, 12.69180, 11.35854].forEach((expected, index) => {
    assert(Math.abs(logits[index] - expected) < 1e-5, `${logits} at ${index}`);
  });
});
