/**
 * Causal grouped-query attention without materialised scores: FlashAttention (Dao et al. 2022,
 * algorithm 1; Dao 2023, section 3.1) with one query per invocation, or per few neighbours.
 *
 * @module
 */

import { type Arguments, checkAttention } from "../shapes.ts";
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
import { type RowTile, rowTile, type TileShape, tileShape } from "./attention_tiles.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { entryPoint, range, unroll } from "./unroll.ts";
import { dispatchOf } from "./wgsl.ts";

/** Scores of masked pairs; finite, so that differences of two of them are 0 and not NaN. */
export const MASKED = "-1e30";

/** {@linkcode Operations.attention}. */
export function attention(context: KernelContext, args: Arguments<"attention">): Dispatch[] {
  const shape = tileShape(context.profile, args.headDim, 2);
  const tiles = [rowTile(shape, "keys"), rowTile(shape, "values")] as const;
  const packed = args.starts !== undefined;
  return [dispatchOf(context.profile, {
    label: `attention ${args.headDim}`,
    storage: [
      heads("queries", args.queries),
      heads("keys", args.keys),
      heads("values", args.values),
      heads("output", args.output, "read_write"),
      { name: "log_sum_exp", tensor: args.logSumExp, access: "read_write", element: "f32" },
      ...startsStorage(args.starts),
    ],
    uniforms: attentionUniforms(args, checkAttention(args)),
    body: `${attentionDeclarations(shape, tiles)}
${
      entryPoint(
        shape.lanes,
        `${owner(shape, "query", packed)}
${ownRow(shape, "query", "queries")}
${zeroRow(shape, "sum")}
  var maximum = ${MASKED};
  var total = 0.0;
${keyLoop(shape, tiles, onlineSoftmax(shape, ...tiles, packed), packed)}
  if (position < parameters.length) {
${storeRow(shape, "output", "sum", " / total")}
    if (lane % ${shape.parts}u == 0u) { log_sum_exp[owned] = maximum + log(total); }
  }`,
      )
    }`,
    workgroups: [Math.ceil(args.length / shape.owners), args.heads, args.batch],
  })];
}

/** A step of the online softmax: rescales what was summed under a smaller maximum. */
export function onlineSoftmax(
  shape: TileShape,
  keys: RowTile,
  values: RowTile,
  packed = false,
): string {
  const rows = range(shape.rows);
  const largest = rows.reduce((max, row) => `max(${max}, score${row})`, "maximum");
  return `${unroll(shape.rows, (row) => dot(shape, `score${row}`, "query", keys, row))}
${addParts(shape, rows.map((row) => `score${row}`))}
${
    unroll(shape.rows, (row) =>
      `      let valid${row} = ${seesKey(row, packed)};
      score${row} = select(${MASKED}, score${row} * parameters.scale, valid${row});`)
  }
      let largest = ${largest};
      let shrink = exp(maximum - largest);
      maximum = largest;
      total *= shrink;
${unroll(shape.vectors, (v) => `      sum${v} *= shrink;`)}
${
    unroll(shape.rows, (row) =>
      `      let weight${row} = select(0.0, exp(score${row} - largest), valid${row});
      total += weight${row};
${addScaled(shape, "sum", `weight${row}`, values, row)}`)
  }`;
}
