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
  startsStorage,
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
  const delta = context.scratch("f32", [dimensions.T, args.heads, ...args.starts ? [2] : []]);
  return [
    outputDots(context, args, delta),
    gradQueries(context, args, dimensions, delta),
    gradKeysAndValues(context, args, dimensions, delta),
  ];
}

/**
 * `delta[t, h] = dO . O`: the mean of `dP` under the softmax. Where sequences are packed, the start of
 * the example lies beside it: with a tensor more, the last kernel would bind nine, and WebGPU promises
 * eight.
 */
function outputDots({ profile }: KernelContext, args: Backward, delta: Tensor): Dispatch {
  const mean = "dot(sum, vec4<f32>(1.0))";
  return perElement(profile, {
    label: "attentionBackward delta",
    size: args.logSumExp.size,
    storage: [
      heads("output", args.output),
      heads("grad_output", args.gradOutput),
      deltaStorage(args, delta, "read_write"),
      ...startsStorage(args.starts),
    ],
    uniforms: {
      vectors: u32(args.headDim / 4),
      ...(args.starts && { heads: u32(args.heads) }),
    },
    code: `  var sum = vec4<f32>();
  let first = index * parameters.vectors;
  for (var i = 0u; i < parameters.vectors; i++) {
    sum = fma(output[first + i], grad_output[first + i], sum);
  }
  delta[index] = ${
      args.starts ? `vec2<f32>(${mean}, f32(starts[index / parameters.heads]))` : mean
    };`,
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
  const packed = args.starts !== undefined;
  const step = `${products(shape, "query", keys, "grad", values)}
${
    unroll(shape.rows, (row) =>
      `      let weight${row} =
        select(0.0, exp(score${row} * parameters.scale - normalizer), ${seesKey(row, packed)});
      let slope${row} = weight${row} * (product${row} - mean) * parameters.scale;
${addScaled(shape, "sum", `slope${row}`, keys, row)}`)
  }`;
  return dispatchOf(profile, {
    label: `attentionBackward queries ${args.headDim}`,
    storage: [
      ...inputs(args, delta),
      heads("grad_queries", args.gradQueries, "read_write"),
      ...startsStorage(args.starts),
    ],
    uniforms: attentionUniforms(args, dimensions),
    body: `${attentionDeclarations(shape, [keys, values])}
${
      entryPoint(
        shape.lanes,
        `${owner(shape, "query", packed)}
${ownRow(shape, "query", "queries")}
${ownRow(shape, "grad", "grad_output")}
  let normalizer = log_sum_exp[owned];
  let mean = ${meanOf(args, "owned")};
${zeroRow(shape, "sum")}
${keyLoop(shape, [keys, values], step, packed)}
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
  const packed = args.starts !== undefined;
  const step = `${products(shape, "key", queries, "value", grads)}
${
    unroll(shape.rows, (row) =>
      `      let query${row} = start + ${row}u;
      let statistic${row} =
        (batch + min(query${row}, parameters.length - 1u)) * parameters.heads + head;
      let seen${row} = query${row} < parameters.length && query${row} >= position &&
        query${row} < position + parameters.window${
        packed ? ` && ${startOf(`statistic${row}`)} <= position` : ""
      };
      let weight${row} = select(
        0.0, exp(score${row} * parameters.scale - log_sum_exp[statistic${row}]), seen${row});
      let slope${row} = weight${row} * (product${row} - ${
        meanOf(args, `statistic${row}`)
      }) * parameters.scale;
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
        `${owner(shape, "key", false)}
${ownRow(shape, "key", "keys")}
${ownRow(shape, "value", "values")}
${zeroRow(shape, "gradKey")}
${zeroRow(shape, "gradValue")}
  let sharing = parameters.heads / parameters.kvHeads;
  ${packed ? "var" : "let"} end = min(parameters.length, block + ${
          shape.owners - 1
        }u + parameters.window);
${packed ? lastQuery(shape) : ""}  for (var member = 0u; member < sharing; member++) {
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

/**
 * Lowers `end` to the first query that belongs to a later example than all keys of the block: starts do
 * not fall, so that halving finds it.
 */
function lastQuery(shape: TileShape): string {
  return `  var low = block;
  while (low < end) {
    let middle = (low + end) / 2u;
    if (${startOf("(batch + middle) * parameters.heads")} < block + ${shape.owners}u) {
      low = middle + 1u;
    } else {
      end = middle;
    }
  }
`;
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
    deltaStorage(args, delta, "read"),
  ];
}

function deltaStorage(args: Backward, delta: Tensor, access: Storage["access"]): Storage {
  return { name: "delta", tensor: delta, access, element: args.starts ? "vec2<f32>" : "f32" };
}

/** The delta of query head `index`. */
function meanOf({ starts }: Backward, index: string): string {
  return `delta[${index}]${starts ? ".x" : ""}`;
}

/** Where sequences are packed: the position where the example of query head `index` starts. */
function startOf(index: string): string {
  return `u32(delta[${index}].y)`;
}
