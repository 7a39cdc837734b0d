/**
 * The oracle itself against logits that two other runtimes agree on.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { findPython } from "../../pipeline/environment/oracles.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../support/optional.ts";

const SCRIPT = new URL("./lora_training.py", import.meta.url).pathname;

const python = await findPython(["torch", "numpy"]);
const missing = python === null
  ? "no Python with PyTorch: deno task setup --oracles"
  : NO_TEST_DATA;

testUnless(missing, "the PyTorch oracle gives the known logits of tinystories-656k", async () => {
  const { success, stdout, stderr } = await new Deno.Command(python ?? "", {
    args: [
      SCRIPT,
      join(TEST_DATA, "models/tinystories-656k"),
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
