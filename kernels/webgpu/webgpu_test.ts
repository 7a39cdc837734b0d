import { checkCase } from "../testing/case.ts";
import { CASES, testDevice } from "../testing/conformance.ts";
import { openWebgpu } from "./adapter.ts";

testDevice("webgpu", () => openWebgpu());

/**
 * Kernels of real GPUs, with shared memory and barriers, run on whatever adapter there is. One weight
 * format of each decoder is enough: formats differ in nothing else.
 */
const HARDWARE_OPERATIONS = [
  "fill, copy and add",
  "linear dense",
  "linear integer3",
  "linearTransposed integer4",
  "linear nf4 double",
  "matmul nn",
  "matmul tn",
  "lowRankBackward",
  "rmsNormBackward",
  "attention",
  "attentionBackward",
  "crossEntropy",
  "gradientNorm",
] as const;

for (const profile of ["generic", "gpu"] as const) {
  Deno.test(`webgpu as ${profile}`, async (test) => {
    const device = await openWebgpu({ profile });
    for (const operation of HARDWARE_OPERATIONS) {
      await test.step(operation, async () => {
        for (const testCase of CASES[operation]?.() ?? []) await checkCase(device, testCase);
      });
    }
    device.close();
  });
}
