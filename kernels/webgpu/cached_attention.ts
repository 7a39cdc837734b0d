/**
 * The two kernels of attention to a key-value cache. In both, `parameters.length` is the capacity of
 * the cache and `parameters.queries` the number of new tokens of each sequence.
 *
 * @module
 */

import type { AttentionShape } from "../device.ts";
import { MASKED, onlineSoftmax } from "./attention.ts";
import { attentionDeclarations, ownRow, storeRow, zeroRow } from "./attention_rows.ts";
import { rowTile, tileLoop, tileShape } from "./attention_tiles.ts";
import type { Profile } from "./program.ts";
import { entryPoint } from "./unroll.ts";
import { type Kernel, reductions } from "./wgsl.ts";

/** What is left of a kernel without its buffers. */
type Body = Pick<Kernel, "label" | "body" | "workgroups">;

/** One query per invocation, or per few neighbours, as in `attention.ts`: for prompts. */
export function blockOfQueries(
  profile: Profile,
  { batch, length, heads, headDim }: AttentionShape,
): Body {
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
  let begin = first_token - min(parameters.window, first_token);
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
  return {
    label: `cachedAttention block ${headDim}`,
    body: `${attentionDeclarations(shape, tiles)}\n${entryPoint(shape.lanes, body)}`,
    workgroups: [Math.ceil(length / shape.owners), heads, batch],
  };
}

/** vec4s of the widest head that {@linkcode singleQuery} takes. */
export const MOST_VECTORS = 64;

/**
 * One query per workgroup: for generating. Each invocation takes one key of a tile, then one vector
 * of the output over some of the tile's values.
 */
export function singleQuery(profile: Profile, { batch, length, heads }: AttentionShape): Body {
  const lanes = Math.min(128, profile.maxWorkgroupInvocations);
  const body = `  let head = group.y;
  let sequence = group.z;
  let vectors = parameters.vectors;
  let own = ((sequence * parameters.queries + group.x) * parameters.heads + head) * vectors;
  let token = min(positions[sequence] + group.x, parameters.length - 1u);
  let row = slots[sequence] * parameters.length;
  let keyHead = head * parameters.kvHeads / parameters.heads;
  let teams = ${lanes}u / vectors;
  let team = lane / vectors;
  let vector = lane % vectors;
  if (lane < vectors) { query[lane] = queries[own + lane]; }
  workgroupBarrier();
  var maximum = ${MASKED};
  var total = 0.0;
  var sum = vec4<f32>();
  let begin = token + 1u - min(parameters.window, token + 1u);
  for (var tile = begin; tile <= token; tile += ${lanes}u) {
    let key = tile + lane;
    var score = ${MASKED};
    if (key <= token) {
      let place = ((row + key) * parameters.kvHeads + keyHead) * vectors;
      var products = vec4<f32>();
      for (var v = 0u; v < vectors; v++) { products = fma(query[v], keys[place + v], products); }
      score = parameters.scale * ((products.x + products.y) + (products.z + products.w));
    }
    let largest = max(maximum, reduce_max(score, lane));
    let shrink = exp(maximum - largest);
    let weight = select(0.0, exp(score - largest), key <= token);
    maximum = largest;
    total = total * shrink + reduce_sum(weight, lane);
    sum *= shrink;
    weights[lane] = weight;
    workgroupBarrier();
    let count = min(${lanes}u, token + 1u - tile);
    for (var j = team; j < count; j += teams) {
      let place = ((row + tile + j) * parameters.kvHeads + keyHead) * vectors;
      sum = fma(vec4<f32>(weights[j]), values[place + vector], sum);
    }
    workgroupBarrier();
  }
  partial[lane] = sum;
  workgroupBarrier();
  if (lane < vectors) {
    var all = partial[lane];
    for (var other = 1u; other < teams; other++) { all += partial[other * vectors + lane]; }
    output[own + lane] = all / total;
  }`;
  return {
    label: "cachedAttention single",
    body: `var<workgroup> query: array<vec4<f32>, ${MOST_VECTORS}>;
var<workgroup> weights: array<f32, ${lanes}>;
var<workgroup> partial: array<vec4<f32>, ${lanes}>;
${reductions(profile, lanes, { reduce_max: "max", reduce_sum: "add" })}
${entryPoint(lanes, body)}`,
    workgroups: [length, heads, batch],
  };
}
