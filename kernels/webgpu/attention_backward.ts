/**
 * Gradients of attention (Dao et al. 2022, algorithm 4 and appendix B.2) in three kernels, so that
 * every sum has one owner and a fixed order: the dots `delta = dO . O`, the gradient of queries by
 * blocks of queries, the gradients of keys and values by blocks of keys.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import { type Arguments, type AttentionDimensions, checkAttentionBackward } from "../shapes.ts";
import {
  addParts,
  addScaled,
  attentionDeclarations,
  attentionUniforms,
  dot,
  heads,
  keyLoop,
  owner,
  ownRow,
  seesKey,
  storeRow,
  zeroRow,
} from "./attention_rows.ts";
import { type RowTile, rowTile, tileLoop, type TileShape, tileShape } from "./attention_tiles.ts";
import { perElement } from "./per_element.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { entryPoint, range, unroll } from "./unroll.ts";
import { dispatchOf, type Storage, u32 } from "./wgsl.ts";

/** Arguments of {@linkcode attentionBackward}. */
export type Backward = Arguments<"attentionBackward">;

/** {@linkcode Operations.attentionBackward}. */
export function attentionBackward(context: KernelContext, args: Backward): Dispatch[] {
  const dimensions = checkAttentionBackward(args);
  const delta = context.scratch("f32", [dimensions.T, args.heads]);
  return [
    outputDots(context, args, delta),
    gradQueries(context, args, dimensions, delta),
    gradKeysAndValues(context, args, dimensions, delta),
  ];
}

/** `delta[t, h] = dO . O`: the mean of `dP` under the softmax. */
function outputDots({ profile }: KernelContext, args: Backward, delta: Tensor): Dispatch {
  return perElement(profile, {
    label: "attentionBackward delta",
    size: delta.size,
    storage: [
      heads("output", args.output),
      heads("grad_output", args.gradOutput),
      { name: "delta", tensor: delta, access: "read_write", element: "f32" },
    ],
    uniforms: { vectors: u32(args.headDim / 4) },
    code: `  var sum = vec4<f32>();
  let first = index * parameters.vectors;
  for (var i = 0u; i < parameters.vectors; i++) {
    sum = fma(output[first + i], grad_output[first + i], sum);
  }
  delta[index] = dot(sum, vec4<f32>(1.0));`,
  });
}

/** `dQ = dS K` with `dS = P (dP - delta) scale`. */
function gradQueries(
  { profile }: KernelContext,
  args: Backward,
  dimensions: AttentionDimensions,
  delta: Tensor,
): Dispatch {
  const shape = tileShape(profile, args.headDim, 3);
  const keys = rowTile(shape, "keys");
  const values = rowTile(shape, "values");
  const step = `${products(shape, "query", keys, "grad", values)}
${
    unroll(shape.rows, (row) =>
      `      let weight${row} =
        select(0.0, exp(score${row} * parameters.scale - normalizer), ${seesKey(row)});
      let slope${row} = weight${row} * (product${row} - mean) * parameters.scale;
${addScaled(shape, "sum", `slope${row}`, keys, row)}`)
  }`;
  return dispatchOf(profile, {
    label: `attentionBackward queries ${args.headDim}`,
    storage: [
      ...inputs(args, delta),
      heads("grad_queries", args.gradQueries, "read_write"),
    ],
    uniforms: attentionUniforms(args, dimensions),
    body: `${attentionDeclarations(shape, [keys, values])}
${
      entryPoint(
        shape.lanes,
        `${owner(shape, "query")}
${ownRow(shape, "query", "queries")}
${ownRow(shape, "grad", "grad_output")}
  let normalizer = log_sum_exp[owned];
  let mean = delta[owned];
${zeroRow(shape, "sum")}
${keyLoop(shape, [keys, values], step)}
  if (position < parameters.length) {
${storeRow(shape, "grad_queries", "sum")}
  }`,
      )
    }`,
    workgroups: [Math.ceil(args.length / shape.owners), args.heads, args.batch],
  });
}

/** `dV = P^T dO` and `dK = dS^T Q`, over all query heads that read these keys. */
function gradKeysAndValues(
  { profile }: KernelContext,
  args: Backward,
  dimensions: AttentionDimensions,
  delta: Tensor,
): Dispatch {
  const shape = tileShape(profile, args.headDim, 4);
  const queries = rowTile(shape, "queries");
  const grads = rowTile(shape, "grad_output");
  const step = `${products(shape, "key", queries, "value", grads)}
${
    unroll(shape.rows, (row) =>
      `      let query${row} = start + ${row}u;
      let statistic${row} =
        (batch + min(query${row}, parameters.length - 1u)) * parameters.heads + head;
      let seen${row} = query${row} < parameters.length && query${row} >= position &&
        query${row} < position + parameters.window;
      let weight${row} = select(
        0.0, exp(score${row} * parameters.scale - log_sum_exp[statistic${row}]), seen${row});
      let slope${row} = weight${row} * (product${row} - delta[statistic${row}]) * parameters.scale;
${addScaled(shape, "gradValue", `weight${row}`, grads, row)}
${addScaled(shape, "gradKey", `slope${row}`, queries, row)}`)
  }`;
  return dispatchOf(profile, {
    label: `attentionBackward keys ${args.headDim}`,
    storage: [
      ...inputs(args, delta),
      heads("grad_keys", args.gradKeys, "read_write"),
      heads("grad_values", args.gradValues, "read_write"),
    ],
    uniforms: attentionUniforms(args, dimensions),
    body: `${attentionDeclarations(shape, [queries, grads])}
${
      entryPoint(
        shape.lanes,
        `${owner(shape, "key")}
${ownRow(shape, "key", "keys")}
${ownRow(shape, "value", "values")}
${zeroRow(shape, "gradKey")}
${zeroRow(shape, "gradValue")}
  let sharing = parameters.heads / parameters.kvHeads;
  let end = min(parameters.length, block + ${shape.owners - 1}u + parameters.window);
  for (var member = 0u; member < sharing; member++) {
    let head = keyHead * sharing + member;
${
          tileLoop(shape, [queries, grads], {
            first: "block",
            end: "end",
            address: (row) => `((batch + ${row}) * parameters.heads + head) * ${shape.rowVectors}u`,
            step,
          })
        }
  }
  if (position < parameters.length) {
${storeRow(shape, "grad_keys", "gradKey")}
${storeRow(shape, "grad_values", "gradValue")}
  }`,
      )
    }`,
    workgroups: [Math.ceil(args.length / shape.owners), args.kvHeads, args.batch],
  });
}

/** `score = Q . K` and `product = dO . V` of the owned row with each row of the step. */
function products(
  shape: TileShape,
  scoreRow: string,
  scoreTile: RowTile,
  productRow: string,
  productTile: RowTile,
): string {
  const rows = range(shape.rows);
  const names = rows.flatMap((row) => [`score${row}`, `product${row}`]);
  return `${
    unroll(shape.rows, (row) =>
      `${dot(shape, `score${row}`, scoreRow, scoreTile, row)}
${dot(shape, `product${row}`, productRow, productTile, row)}`)
  }
${addParts(shape, names)}`;
}

function inputs(args: Backward, delta: Tensor): Storage[] {
  return [
    heads("queries", args.queries),
    heads("keys", args.keys),
    heads("values", args.values),
    heads("grad_output", args.gradOutput),
    { name: "log_sum_exp", tensor: args.logSumExp, access: "read", element: "f32" },
    { name: "delta", tensor: delta, access: "read", element: "f32" },
  ];
}
