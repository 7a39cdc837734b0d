/**
 * Plain matrix products.
 *
 * @module
 */

import type { Operations } from "../device.ts";
import { checkMatmul } from "../shapes.ts";
import { product } from "./product.ts";
import type { Dispatch, KernelContext } from "./program.ts";

/** {@linkcode Operations.matmul}. */
export function matmul(
  context: KernelContext,
  args: Parameters<Operations["matmul"]>[0],
): Dispatch[] {
  const { left, right, output, orientation, scale = 1, accumulate = false } = args;
  return product(context, {
    label: `matmul ${orientation}`,
    ...checkMatmul(args),
    left: { tensor: left, transposed: orientation === "tn" },
    right: { tensor: right, transposed: orientation === "nt" },
    output,
    bias: null,
    scale,
    accumulate,
  });
}
