/**
 * The tests of this folder run with 128-bit vectors and checked addresses. Here they run
 * again as stages do: with wide vectors and without bounds checks.
 *
 * @module
 */

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { fusesMultiplyAdd } from "./info.ts";
import { usesWideVectors, V8_FLAGS_VARIABLE, WIDE_VECTOR_FLAGS } from "./wide_vectors.ts";

const MISSING = Deno.build.arch !== "x86_64" || !fusesMultiplyAdd()
  ? "this processor has no wide vectors"
  : usesWideVectors()
  ? "all tests run with wide vectors here"
  : null;

const NAME = "the CPU device passes its tests with wide vectors and without bounds checks";

async function testWithWideVectors(): Promise<void> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["test", "--no-check", "--no-prompt", "--allow-read", "--allow-env"],
      fileURLToPath(new URL(".", import.meta.url)),
    ],
    env: { [V8_FLAGS_VARIABLE]: WIDE_VECTOR_FLAGS.join(","), NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  assert.ok(success, `${decoder.decode(stdout)}\n${decoder.decode(stderr)}`);
}

if (MISSING === null) Deno.test(NAME, testWithWideVectors);
else Deno.test.ignore(`${NAME} (skipped: ${MISSING})`, testWithWideVectors);
