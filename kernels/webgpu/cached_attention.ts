/**
 * Attention of new tokens to a key-value cache. In its kernels, `parameters.length` is the capacity of
 * the cache and `parameters.queries` the number of new tokens of each sequence.
 *
 * @module
 */

import type { Arguments } from "../shapes.ts";
import { MASKED, onlineSoftmax } from "./attention.ts";
import { attentionDeclarations, heads, ownRow, storeRow, zeroRow } from "./attention_rows.ts";
import { rowTile, tileLoop, tileShape } from "./attention_tiles.ts";
import { cacheStorage, cacheUniforms } from "./cache.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { MOST_VECTORS, singleQuery } from "./single_query.ts";
import { entryPoint } from "./unroll.ts";
import { dispatchOf } from "./wgsl.ts";

/** Queries of a sequence from which on hardware computes blocks of them. */
const LEAST_BLOCK = 16;

/** {@linkcode Operations.cachedAttention}. */
export function cachedAttention(
  context: KernelContext,
  args: Arguments<"cachedAttention">,
): Dispatch[] {
  const { profile } = context;
  const { length, headDim } = args;
  // Software has no faster way; hardware with few queries would leave most invocations idle.
  const isBlock = profile.class === "software" || profile.independentRows === true ||
    length >= LEAST_BLOCK || headDim > 4 * MOST_VECTORS;
  return isBlock ? [blockOfQueries(context, args)] : singleQuery(context, args);
}

/** One query per invocation, or per few neighbours, as in `attention.ts`: for prompts. */
function blockOfQueries({ profile }: KernelContext, args: Arguments<"cachedAttention">): Dispatch {
  const { batch, length, headDim } = args;
  const shape = tileShape(profile, headDim, 2);
  const tiles = [rowTile(shape, "keys"), rowTile(shape, "values")] as const;
  const body = `  let head = group.y;
  let sequence = group.z;
  let block = group.x * ${shape.owners}u;
  let query_index = block + lane / ${shape.parts}u;
  let owned = (sequence * parameters.queries + min(query_index, parameters.queries - 1u)) *
    parameters.heads + head;
  let own = owned * ${shape.rowVectors}u + lane % ${shape.parts}u;
  let past = positions[sequence];
  let token = min(past + query_index, parameters.length - 1u);
${ownRow(shape, "query", "queries")}
${zeroRow(shape, "sum")}
  var maximum = ${MASKED};
  var total = 0.0;
  let row = slots[sequence] * parameters.length;
  let keyHead = head * parameters.kvHeads / parameters.heads;
  let first_token = min(past + block, parameters.length - 1u) + 1u;
  // Whole tiles, so that a query's sums do not depend on which query the block begins with.
  let begin = (first_token - min(parameters.window, first_token)) / ${shape.loaded}u *
    ${shape.loaded}u;
  let end = min(past + min(block + ${shape.owners}u, parameters.queries), parameters.length);
${
    tileLoop(shape, tiles, {
      first: "begin",
      end: "end",
      // Beyond the end may be anything, also NaN, which a weight of 0 does not take away.
      address: (token) =>
        `((row + min(${token}, end - 1u)) * parameters.kvHeads + keyHead) * ${shape.rowVectors}u`,
      step: onlineSoftmax(shape, ...tiles),
    })
  }
  if (query_index < parameters.queries) {
${storeRow(shape, "output", "sum", " / total")}
  }`;
  return dispatchOf(profile, {
    label: `cachedAttention block ${headDim}`,
    storage: cacheStorage(args, heads("output", args.output, "read_write")),
    uniforms: cacheUniforms(args),
    body: `${attentionDeclarations(shape, tiles)}\n${entryPoint(shape.lanes, body)}`,
    workgroups: [Math.ceil(length / shape.owners), args.heads, batch],
  });
}
