/**
 * Adapter products: `output += scale * repeat(dropout(pool(input)) A^T B^T)` and their gradients, as
 * matrix products between sums over feature groups.
 *
 * @module
 */

import type { LowRank, Operations, Tensor } from "../device.ts";
import { checkLowRank, checkLowRankBackward } from "../shapes.ts";
import { gatherGroups, scatterGroups } from "./feature_groups.ts";
import { product } from "./product.ts";
import type { Product } from "./product_types.ts";
import type { Dispatch, KernelContext } from "./program.ts";

/** `hidden = dropout(pool(input)) A^T`, the first half of {@linkcode Operations.lowRank}. */
export function lowRankHidden(
  context: KernelContext,
  args: LowRank & { readonly hidden: Tensor },
): Dispatch[] {
  const { input, a, hidden, pool } = args;
  const [M, K] = input.shape as [number, number];
  if (!a) return [pooling(context, args, hidden)];
  const P = K / pool;
  const dispatches: Dispatch[] = [];
  const pooled = pooledInput(context, args, M, P, dispatches);
  dispatches.push(
    ...multiply(context, {
      label: "lowRank hidden",
      M,
      N: a.shape[0] as number,
      K: P,
      left: { tensor: pooled, transposed: false },
      right: { tensor: a, transposed: true },
      output: hidden,
    }),
  );
  return dispatches;
}

/** {@linkcode Operations.lowRank}. */
export function lowRank(
  context: KernelContext,
  args: Parameters<Operations["lowRank"]>[0],
): Dispatch[] {
  const { b, hidden, output, repeat, scale } = args;
  const { M, R, Q } = checkLowRank(args);
  const dispatches = lowRankHidden(context, args);
  const up = {
    label: "lowRank output",
    M,
    N: Q,
    K: R,
    left: { tensor: hidden, transposed: false },
    right: { tensor: b, transposed: true },
  };
  if (repeat === 1) {
    dispatches.push(...multiply(context, { ...up, output, scale, accumulate: true }));
    return dispatches;
  }
  const distinct = context.scratch("f32", [M, Q]);
  dispatches.push(
    ...multiply(context, { ...up, output: distinct }),
    scatterGroups(context, {
      label: "lowRank repeat",
      narrow: distinct,
      wide: output,
      width: repeat,
      factor: scale,
      dropout: undefined,
    }),
  );
  return dispatches;
}

/**
 * {@linkcode Operations.lowRankBackward}. With `G` the gradient summed over repeats and `P` the
 * pooled input: `dB = scale G^T hidden`, `dHidden = scale G B`, `dA = dHidden^T P`, `dP = dHidden A`.
 */
export function lowRankBackward(
  context: KernelContext,
  args: Parameters<Operations["lowRankBackward"]>[0],
): Dispatch[] {
  const { a, b, hidden, gradOutput, gradA, gradB, gradInput, pool, repeat, scale, dropout } = args;
  const { M, R, P, Q } = checkLowRankBackward(args);
  const dispatches: Dispatch[] = [];
  if (!gradA && !gradB && !gradInput) return dispatches;
  let gradDistinct = gradOutput;
  if (repeat > 1) {
    gradDistinct = context.scratch("f32", [M, Q]);
    dispatches.push(gatherGroups(context, {
      label: "lowRank repeat",
      narrow: gradDistinct,
      wide: gradOutput,
      width: repeat,
      factor: 1,
      dropout: undefined,
    }));
  }
  if (gradB) {
    dispatches.push(
      ...multiply(context, {
        label: "lowRank gradB",
        M: Q,
        N: R,
        K: M,
        left: { tensor: gradDistinct, transposed: true },
        right: { tensor: hidden, transposed: false },
        output: gradB,
        scale,
        accumulate: true,
      }),
    );
  }
  if (!gradA && !gradInput) return dispatches;
  const gradHidden = context.scratch("f32", [M, R]);
  dispatches.push(
    ...multiply(context, {
      label: "lowRank gradHidden",
      M,
      N: R,
      K: Q,
      left: { tensor: gradDistinct, transposed: false },
      right: { tensor: b, transposed: false },
      output: gradHidden,
      scale,
    }),
  );
  if (gradA) {
    const pooled = pooledInput(context, args, M, P, dispatches);
    dispatches.push(
      ...multiply(context, {
        label: "lowRank gradA",
        M: R,
        N: P,
        K: M,
        left: { tensor: gradHidden, transposed: true },
        right: { tensor: pooled, transposed: false },
        output: gradA,
        accumulate: true,
      }),
    );
  }
  if (!gradInput) return dispatches;
  const direct = pool === 1 && !dropout;
  const gradPooled = !a ? gradHidden : direct ? gradInput : context.scratch("f32", [M, P]);
  if (a) {
    dispatches.push(
      ...multiply(context, {
        label: "lowRank gradPooled",
        M,
        N: P,
        K: R,
        left: { tensor: gradHidden, transposed: false },
        right: { tensor: a, transposed: false },
        output: gradPooled,
        accumulate: direct,
      }),
    );
  }
  if (gradPooled !== gradInput) {
    dispatches.push(scatterGroups(context, {
      label: "lowRank pool",
      narrow: gradPooled,
      wide: gradInput,
      width: pool,
      factor: 1 / pool,
      dropout,
    }));
  }
  return dispatches;
}

/** `dropout(pool(input))`: the input itself where neither applies. */
function pooledInput(
  context: KernelContext,
  args: LowRank,
  M: number,
  P: number,
  dispatches: Dispatch[],
): Tensor {
  if (args.pool === 1 && !args.dropout) return args.input;
  const pooled = context.scratch("f32", [M, P]);
  dispatches.push(pooling(context, args, pooled));
  return pooled;
}

function pooling(
  context: KernelContext,
  { input, pool, dropout }: LowRank,
  output: Tensor,
): Dispatch {
  return gatherGroups(context, {
    label: "lowRank pool",
    narrow: output,
    wide: input,
    width: pool,
    factor: 1 / pool,
    dropout,
  });
}

function multiply(
  context: KernelContext,
  args: Omit<Product, "bias" | "scale" | "accumulate"> & Partial<Product>,
): Dispatch[] {
  return product(context, { bias: null, scale: 1, accumulate: false, ...args });
}
