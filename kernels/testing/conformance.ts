/**
 * The conformance suite of the Device contract: every operation of a device against the reference,
 * over awkward shapes. One Deno test per operation and weight format, named `<device>: <operation>`,
 * so that `deno test --filter` runs a part.
 *
 * @module
 */

import type { Device } from "../device.ts";
import {
  attentionBackwardCases,
  attentionCases,
  packedAttentionBackwardCases,
  packedAttentionCases,
  ropeCases,
} from "./attention_cases.ts";
import { BEHAVIORS } from "./behavior.ts";
import {
  gatherColumnsCases,
  gramCases,
  scatterColumnsCases,
  squaredErrorCases,
} from "./calibration_cases.ts";
import { clippedQuantizeBackwardCases, clippedQuantizeCases } from "./clipped_cases.ts";
import {
  appendToCacheCases,
  cachedAttentionCases,
  ropeAtPositionsCases,
  sampleCases,
} from "./generation_cases.ts";
import { type Case, checkCase } from "./case.ts";
import {
  elementwiseCases,
  rmsNormBackwardCases,
  rmsNormCases,
  swigluBackwardCases,
  swigluCases,
} from "./elementwise_cases.ts";
import { addRmsNormCases, linearGroupCases, linearGroupTransposedCases } from "./fused_cases.ts";
import {
  columnSumCases,
  dequantizeCases,
  linearCases,
  linearTransposedCases,
  matmulCases,
  WEIGHT_FORMATS,
} from "./linear_cases.ts";
import { lowRankBackwardCases, lowRankCases } from "./low_rank_cases.ts";
import { adamwCases, gradientNormCases, weightedSumCases } from "./optimizer_cases.ts";
import { crossEntropyCases, embeddingBackwardCases, embeddingCases } from "./vocabulary_cases.ts";

/** Options of {@linkcode testDevice}. */
export interface ConformanceOptions {
  /** Skips all tests, where the device is absent; say why on stderr. */
  readonly ignore?: boolean;
}

/** Cases by operation, in the order of the contract; built when the test runs. */
export const CASES: Readonly<Record<string, () => Case[]>> = {
  "fill, copy and add": elementwiseCases,
  ...Object.fromEntries(
    WEIGHT_FORMATS.flatMap((format) => [
      [`linear ${format}`, () => linearCases(format)],
      [`linearTransposed ${format}`, () => linearTransposedCases(format)],
      [`dequantize ${format}`, () => dequantizeCases(format)],
    ]),
  ),
  "matmul nn": () => matmulCases("nn"),
  "matmul nt": () => matmulCases("nt"),
  "matmul tn": () => matmulCases("tn"),
  "matmul of a Gram matrix": gramCases,
  "columnSum": columnSumCases,
  "lowRank": lowRankCases,
  "lowRankBackward": lowRankBackwardCases,
  "linearGroup": linearGroupCases,
  "linearGroupTransposed": linearGroupTransposedCases,
  "embedding": embeddingCases,
  "embeddingBackward": embeddingBackwardCases,
  "rmsNorm": rmsNormCases,
  "addRmsNorm": addRmsNormCases,
  "rmsNormBackward": rmsNormBackwardCases,
  "rope": ropeCases,
  "attention": attentionCases,
  "attentionBackward": attentionBackwardCases,
  "attention of packed sequences": packedAttentionCases,
  "attentionBackward of packed sequences": packedAttentionBackwardCases,
  "rope at positions": ropeAtPositionsCases,
  "appendToCache": appendToCacheCases,
  "cachedAttention": cachedAttentionCases,
  "sample": sampleCases,
  "swiglu": swigluCases,
  "swigluBackward": swigluBackwardCases,
  "crossEntropy": crossEntropyCases,
  "weightedSum": weightedSumCases,
  "squaredError": squaredErrorCases,
  "clippedQuantize": clippedQuantizeCases,
  "clippedQuantizeBackward": clippedQuantizeBackwardCases,
  "gatherColumns": gatherColumnsCases,
  "scatterColumns": scatterColumnsCases,
  "gradientNorm": gradientNormCases,
  "adamw": adamwCases,
};

/**
 * Registers the conformance tests of one device. It is opened once, by the first test that runs,
 * and closed after the last; then the largest error of each test relative to its bound is printed.
 *
 * @param name How test names begin: "webgpu".
 */
export function testDevice(
  name: string,
  open: () => Promise<Device>,
  { ignore = false }: ConformanceOptions = {},
): void {
  let opened: Promise<Device> | undefined;
  const device = () => opened ??= open();
  const ratios = new Map<string, number>();

  // The device outlives single tests, so that they share its compiled kernels.
  const options = { ignore, sanitizeOps: false, sanitizeResources: false };
  for (const [operation, cases] of Object.entries(CASES)) {
    Deno.test({
      name: `${name}: ${operation}`,
      ...options,
      async fn() {
        for (const testCase of cases()) {
          const ratio = await checkCase(await device(), testCase);
          ratios.set(operation, Math.max(ratio, ratios.get(operation) ?? 0));
        }
      },
    });
  }

  for (const [behavior, check] of Object.entries(BEHAVIORS)) {
    Deno.test({
      name: `${name}: ${behavior}`,
      ...options,
      async fn() {
        await check(await device());
        await (await device()).settle();
      },
    });
  }

  Deno.test.afterAll(async () => {
    const inexact = [...ratios].filter(([, ratio]) => ratio > 0);
    if (inexact.length > 0) {
      const parts = inexact.map(([operation, ratio]) => `${operation} ${ratio.toFixed(2)}`);
      console.log(`${name}: largest error relative to its bound: ${parts.join(", ")}`);
    }
    (await opened)?.close();
    opened = undefined;
  });
}
