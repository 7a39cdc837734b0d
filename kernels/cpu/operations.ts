/**
 * The operations of a recording on the CPU device: shapes checked, then compiled to kernel calls.
 *
 * @module
 */

import type { Operations } from "../device.ts";
import * as fused from "../fused.ts";
import * as shapes from "../shapes.ts";
import { swiglu, swigluBackward } from "./activation.ts";
import { attention } from "./attention.ts";
import { attentionBackward } from "./attention_backward.ts";
import { appendToCache, cachedAttention } from "./cache.ts";
import { clippedQuantize, clippedQuantizeBackward } from "./clipped_quantize.ts";
import { columnSum } from "./column_sum.ts";
import { gatherColumns, scatterColumns } from "./columns.ts";
import { crossEntropy, weightedSum } from "./cross_entropy.ts";
import { dequantize } from "./dequantize.ts";
import { add, copy, fill } from "./elementwise.ts";
import { embedding, embeddingBackward } from "./embedding.ts";
import { linear, linearTransposed, matmul } from "./linear.ts";
import { lowRank, lowRankBackward } from "./low_rank.ts";
import { adamw, gradientNorm } from "./optimizer.ts";
import type { Recorder } from "./recorder.ts";
import { rope } from "./rope.ts";
import { rmsNorm, rmsNormBackward } from "./rms_norm.ts";
import { sample } from "./sample.ts";
import { squaredError } from "./squared_error.ts";

type FusedParts = Omit<Operations, "linearGroup" | "linearGroupTransposed" | "addRmsNorm">;

/** Operations that append their kernel calls to `builder`. */
export function createOperations(
  builder: Recorder & { endOperation(): void },
): Operations {
  /** An operation made of its shape check and its recorder. */
  function operation<Args>(
    check: (args: Args) => unknown,
    record: (recorder: Recorder, args: Args) => void,
  ): (args: Args) => void {
    return (args) => {
      check(args);
      record(builder, args);
      builder.endOperation();
    };
  }
  const operations: FusedParts = {
    fill: operation(shapes.checkFill, fill),
    copy: operation(shapes.checkCopy, copy),
    add: operation(shapes.checkAdd, add),
    linear: operation(shapes.checkLinear, linear),
    linearTransposed: operation(shapes.checkLinearTransposed, linearTransposed),
    matmul: operation(shapes.checkMatmul, matmul),
    dequantize: operation(shapes.checkDequantize, dequantize),
    attention: operation(shapes.checkAttention, attention),
    attentionBackward: operation(shapes.checkAttentionBackward, attentionBackward),
    rope: operation(shapes.checkRope, rope),
    crossEntropy: operation(shapes.checkCrossEntropy, crossEntropy),
    weightedSum: operation(shapes.checkWeightedSum, weightedSum),
    columnSum: operation(shapes.checkColumnSum, columnSum),
    lowRank: operation(shapes.checkLowRank, lowRank),
    lowRankBackward: operation(shapes.checkLowRankBackward, lowRankBackward),
    embedding: operation(shapes.checkEmbedding, embedding),
    embeddingBackward: operation(shapes.checkEmbeddingBackward, embeddingBackward),
    rmsNorm: operation(shapes.checkRmsNorm, rmsNorm),
    rmsNormBackward: operation(shapes.checkRmsNormBackward, rmsNormBackward),
    swiglu: operation(shapes.checkSwiglu, swiglu),
    swigluBackward: operation(shapes.checkSwigluBackward, swigluBackward),
    gradientNorm: operation(shapes.checkGradientNorm, gradientNorm),
    adamw: operation(shapes.checkAdamw, adamw),
    appendToCache: operation(shapes.checkAppendToCache, appendToCache),
    cachedAttention: operation(shapes.checkCachedAttention, cachedAttention),
    sample: operation(shapes.checkSample, sample),
    squaredError: operation(shapes.checkSquaredError, squaredError),
    clippedQuantize: operation(shapes.checkClippedQuantize, clippedQuantize),
    clippedQuantizeBackward: operation(
      shapes.checkClippedQuantizeBackward,
      clippedQuantizeBackward,
    ),
    gatherColumns: operation(shapes.checkGatherColumns, gatherColumns),
    scatterColumns: operation(shapes.checkScatterColumns, scatterColumns),
  };
  return {
    ...operations,
    linearGroup: (args) => fused.linearGroup(operations, args),
    linearGroupTransposed: (args) => fused.linearGroupTransposed(operations, args),
    addRmsNorm: (args) => fused.addRmsNorm(operations, args),
  };
}
