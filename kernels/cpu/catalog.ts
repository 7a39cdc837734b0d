/**
 * All kernels of the CPU device. A kernel's place in this list is its number in recordings.
 *
 * @module
 */

import { elementwiseKernels } from "./elementwise.ts";
import type { Kernel, Parameters } from "./kernel.ts";

/** All kernels. */
export const CATALOG: readonly Kernel<Parameters>[] = [
  ...elementwiseKernels,
];
