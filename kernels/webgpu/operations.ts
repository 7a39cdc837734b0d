/**
 * The operations of a recording on WebGPU: shapes checked, then compiled to dispatches.
 *
 * @module
 */

import type { Operations } from "../device.ts";
import * as shapes from "../shapes.ts";
import { attention } from "./attention.ts";
import { attentionBackward } from "./attention_backward.ts";
import { appendToCache } from "./cache.ts";
import { cachedAttention } from "./cached_attention.ts";
import { clippedQuantize, clippedQuantizeBackward } from "./clipped_quantize.ts";
import { columnSum } from "./column_sum.ts";
import { gatherColumns, scatterColumns } from "./columns.ts";
import { crossEntropy } from "./cross_entropy.ts";
import { adamw, add, copy, fill, swiglu, swigluBackward } from "./elementwise.ts";
import { embedding, embeddingBackward } from "./embedding.ts";
import { matmul } from "./gemm.ts";
import { linearGroup, linearGroupTransposed } from "./linear_group.ts";
import { lowRank, lowRankBackward } from "./low_rank.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { dequantize, linear, linearTransposed } from "./quantized_linear.ts";
import { gradientNorm, weightedSum } from "./reductions.ts";
import { addRmsNorm, rmsNorm, rmsNormBackward } from "./rms_norm.ts";
import { rope } from "./rope.ts";
import { sample } from "./sample.ts";
import { squaredError } from "./squared_error.ts";

/** Where the dispatches of operations go. */
export interface OperationSink {
  /** Passed to the kernels. */
  readonly context: KernelContext;
  /** Takes the dispatches of one operation. */
  append(dispatches: readonly Dispatch[]): void;
}

/** Operations that append their dispatches to `sink`. */
export function createOperations(sink: OperationSink): Operations {
  /** An operation made of its shape check and its compiler. */
  function operation<Args>(
    check: (args: Args) => unknown,
    compile: (context: KernelContext, args: Args) => Dispatch[],
  ): (args: Args) => void {
    return (args) => {
      check(args);
      sink.append(compile(sink.context, args));
    };
  }
  return {
    fill: operation(shapes.checkFill, fill),
    copy: operation(shapes.checkCopy, copy),
    add: operation(shapes.checkAdd, add),
    linear: operation(shapes.checkLinear, linear),
    linearTransposed: operation(shapes.checkLinearTransposed, linearTransposed),
    matmul: operation(shapes.checkMatmul, matmul),
    columnSum: operation(shapes.checkColumnSum, columnSum),
    dequantize: operation(shapes.checkDequantize, dequantize),
    lowRank: operation(shapes.checkLowRank, lowRank),
    lowRankBackward: operation(shapes.checkLowRankBackward, lowRankBackward),
    linearGroup: operation(shapes.checkLinearGroup, linearGroup),
    linearGroupTransposed: operation(shapes.checkLinearGroupTransposed, linearGroupTransposed),
    embedding: operation(shapes.checkEmbedding, embedding),
    embeddingBackward: operation(shapes.checkEmbeddingBackward, embeddingBackward),
    rmsNorm: operation(shapes.checkRmsNorm, rmsNorm),
    addRmsNorm: operation(shapes.checkAddRmsNorm, addRmsNorm),
    rmsNormBackward: operation(shapes.checkRmsNormBackward, rmsNormBackward),
    rope: operation(shapes.checkRope, rope),
    attention: operation(shapes.checkAttention, attention),
    attentionBackward: operation(shapes.checkAttentionBackward, attentionBackward),
    appendToCache: operation(shapes.checkAppendToCache, appendToCache),
    cachedAttention: operation(shapes.checkCachedAttention, cachedAttention),
    sample: operation(shapes.checkSample, sample),
    swiglu: operation(shapes.checkSwiglu, swiglu),
    swigluBackward: operation(shapes.checkSwigluBackward, swigluBackward),
    crossEntropy: operation(shapes.checkCrossEntropy, crossEntropy),
    weightedSum: operation(shapes.checkWeightedSum, weightedSum),
    squaredError: operation(shapes.checkSquaredError, squaredError),
    clippedQuantize: operation(shapes.checkClippedQuantize, clippedQuantize),
    clippedQuantizeBackward: operation(
      shapes.checkClippedQuantizeBackward,
      clippedQuantizeBackward,
    ),
    gatherColumns: operation(shapes.checkGatherColumns, gatherColumns),
    scatterColumns: operation(shapes.checkScatterColumns, scatterColumns),
    gradientNorm: operation(shapes.checkGradientNorm, gradientNorm),
    adamw: operation(shapes.checkAdamw, adamw),
  };
}
