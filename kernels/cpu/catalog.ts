/**
 * All kernels of the CPU device. A kernel's place in this list is its number in recordings.
 *
 * @module
 */

import { absmaxKernels } from "./absmax.ts";
import { attentionKernels } from "./attention.ts";
import { dequantizeKernels } from "./dequantize.ts";
import { elementwiseKernels } from "./elementwise.ts";
import type { Kernel, Parameters } from "./kernel.ts";
import { linearKernels } from "./linear.ts";

/** All kernels. */
export const CATALOG: readonly Kernel<Parameters>[] = [
  ...elementwiseKernels,
  ...linearKernels,
  ...absmaxKernels,
  ...dequantizeKernels,
  ...attentionKernels,
];
