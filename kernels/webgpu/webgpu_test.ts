import { randomFloats } from "../testing/arrays.ts";
import { type Case, checkCase } from "../testing/case.ts";
import { CASES, testDevice } from "../testing/conformance.ts";
import { independentProducts, independentQueries } from "../testing/independent_rows.ts";
import { randomInteger } from "../testing/weights.ts";
import { openWebgpu } from "./adapter.ts";

testDevice("webgpu", () => openWebgpu());

/**
 * Kernels of real GPUs, with shared memory and barriers, run on whatever adapter there is. Weight
 * formats differ in nothing but their decoder, and a software driver compiles for seconds: three are
 * enough. `gpu` differs from `generic` in reductions and in the tile of large products.
 */
const HARDWARE: Readonly<Record<"generic" | "gpu", () => readonly (readonly [string, Case[]])[]>> =
  {
    generic: () =>
      casesOf(
        "fill, copy and add",
        "linear integer3",
        "linearTransposed integer4",
        "linear nf4 double",
        "linearTransposed codebook",
        "matmul tn",
        "columnSum",
        "lowRankBackward",
        "linearGroup",
        "linearGroupTransposed",
        "rmsNormBackward",
        "rope",
        "attention",
        "attentionBackward",
        "attention of packed sequences",
        "attentionBackward of packed sequences",
        "appendToCache",
        "cachedAttention",
        "sample",
        "crossEntropy",
        "squaredError",
        "clippedQuantizeBackward",
        "gradientNorm",
      ),
    gpu: () => [
      ...casesOf(
        "rmsNorm",
        "rmsNormBackward",
        "cachedAttention",
        "sample",
        "crossEntropy",
        "squaredError",
        "clippedQuantize",
        "clippedQuantizeBackward",
        "gradientNorm",
        "weightedSum",
      ),
      ["large products", [largeLinear(), largeLinearTransposed()]],
    ],
  };

function casesOf(...operations: string[]): (readonly [string, Case[]])[] {
  return operations.map((operation) => {
    const cases = CASES[operation];
    if (!cases) throw new RangeError(`The conformance suite has no operation "${operation}"`);
    return [operation, cases()];
  });
}

/** Several tiles of 128 x 128 with remainders in every direction. */
const [ROWS, WIDE, NARROW] = [515, 544, 32];

function largeLinear(): Case {
  return {
    label: "large linear",
    inputs: { input: { shape: [ROWS, NARROW], data: randomFloats("input", ROWS * NARROW) } },
    weight: randomInteger("large linear", WIDE, NARROW, 4, 1, NARROW),
    outputs: { output: { shape: [ROWS, WIDE], terms: NARROW, magnitude: "absolute" } },
    record: (operations, tensor, weight) =>
      operations.linear({ input: tensor("input"), weight, output: tensor("output") }),
  };
}

function largeLinearTransposed(): Case {
  return {
    label: "large linearTransposed",
    inputs: { gradOutput: { shape: [ROWS, NARROW], data: randomFloats("grad", ROWS * NARROW) } },
    weight: randomInteger("large linearTransposed", NARROW, WIDE, 4, 1, 32),
    outputs: { gradInput: { shape: [ROWS, WIDE], terms: NARROW, magnitude: "absolute" } },
    record: (operations, tensor, weight) =>
      operations.linearTransposed({
        gradOutput: tensor("gradOutput"),
        weight,
        gradInput: tensor("gradInput"),
      }),
  };
}

for (const profile of ["generic", "gpu"] as const) {
  Deno.test(`webgpu as ${profile}`, async (test) => {
    const device = await openWebgpu({ profile });
    for (const [operation, cases] of HARDWARE[profile]()) {
      await test.step(operation, async () => {
        for (const testCase of cases) await checkCase(device, testCase);
      });
    }
    await test.step("products of independent rows", () => independentProducts(device));
    await test.step("independent queries", () => independentQueries(device));
    device.close();
  });
}
