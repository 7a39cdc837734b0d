import assert from "node:assert/strict";
import { testDevice } from "../testing/conformance.ts";
import { buildKernels } from "./build.ts";
import { KERNELS_URL } from "./compile.ts";
import { openCpu } from "./device.ts";

Deno.test("kernels.wasm is what `deno task kernels` makes of its sources", async () => {
  assert.deepEqual(buildKernels(), await Deno.readFile(KERNELS_URL));
});

testDevice("cpu", () => openCpu());
