/**
 * All kernels of the CPU device. A kernel's place in this list is its number in recordings.
 *
 * @module
 */

import { absmaxKernels } from "./absmax.ts";
import { activationKernels } from "./activation.ts";
import { attentionKernels } from "./attention.ts";
import { attentionBackwardKernels } from "./attention_backward.ts";
import { cacheKernels } from "./cache.ts";
import { clippedQuantizeKernels } from "./clipped_quantize.ts";
import { columnSumKernels } from "./column_sum.ts";
import { columnKernels } from "./columns.ts";
import { crossEntropyKernels } from "./cross_entropy.ts";
import { dequantizeKernels } from "./dequantize.ts";
import { elementwiseKernels } from "./elementwise.ts";
import { embeddingKernels } from "./embedding.ts";
import type { Kernel, Parameters } from "./kernel.ts";
import { linearKernels } from "./linear.ts";
import { lowRankKernels } from "./low_rank_products.ts";
import { optimizerKernels } from "./optimizer.ts";
import { poolingKernels } from "./pooling.ts";
import { rmsNormKernels } from "./rms_norm.ts";
import { ropeKernels } from "./rope.ts";
import { sampleKernels } from "./sample.ts";
import { squaredErrorKernels } from "./squared_error.ts";
import { vectorKernels } from "./vector_product.ts";

/** All kernels. */
export const CATALOG: readonly Kernel<Parameters>[] = [
  ...elementwiseKernels,
  ...linearKernels,
  ...vectorKernels,
  ...absmaxKernels,
  ...dequantizeKernels,
  ...attentionKernels,
  ...attentionBackwardKernels,
  ...ropeKernels,
  ...crossEntropyKernels,
  ...activationKernels,
  ...columnSumKernels,
  ...embeddingKernels,
  ...rmsNormKernels,
  ...optimizerKernels,
  ...poolingKernels,
  ...lowRankKernels,
  ...cacheKernels,
  ...sampleKernels,
  ...squaredErrorKernels,
  ...clippedQuantizeKernels,
  ...columnKernels,
];
