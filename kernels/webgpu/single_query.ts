/**
 * Attention of few queries to many cached keys on hardware, as in generation: Flash-Decoding (Dao et
 * al. 2023). One workgroup for each query, or several that divide its keys, with a second pass that
 * adds their parts in order.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import { type Arguments, checkCachedAttention } from "../shapes.ts";
import { MASKED } from "./attention.ts";
import { heads } from "./attention_rows.ts";
import { cacheStorage, cacheUniforms } from "./cache.ts";
import { perElement } from "./per_element.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { entryPoint } from "./unroll.ts";
import { dispatchOf, reductions, type Storage, u32 } from "./wgsl.ts";

/** vec4s of the widest head that fits the workgroup memory of a kernel. */
export const MOST_VECTORS = 64;

/** Workgroups that keep a GPU busy. */
const WANTED_WORKGROUPS = 512;

/** Tiles of keys that a part has at least, where a row of the cache is full. */
const LEAST_TILES = 2;

/** The dispatches for queries `[batch * length, heads * headDim]`. */
export function singleQuery(
  context: KernelContext,
  args: Arguments<"cachedAttention">,
): Dispatch[] {
  const { batch, length, headDim } = args;
  const lanes = Math.min(128, context.profile.maxWorkgroupInvocations);
  const rows = batch * length * args.heads;
  const parts = Math.min(
    Math.ceil(WANTED_WORKGROUPS / rows),
    Math.ceil(checkCachedAttention(args).capacity / (LEAST_TILES * lanes)),
  );
  if (parts === 1) {
    return [attend(context, args, { lanes, parts, statistics: null, output: args.output })];
  }
  const sums = context.scratch("f32", [rows * parts, headDim]);
  const statistics = context.scratch("f32", [rows * parts, 2]);
  return [
    attend(context, args, { lanes, parts, statistics, output: sums }),
    addParts(context, args, { parts, sums, statistics }),
  ];
}

/**
 * Each invocation takes one key of a tile, then one vector of the output over some of the tile's
 * values. Part p of a query takes tiles p, p + parts, ...
 */
function attend(
  { profile }: KernelContext,
  args: Arguments<"cachedAttention">,
  { lanes, parts, statistics, output }: {
    lanes: number;
    parts: number;
    /** `[rows * parts, 2]`: maximum and total of a part's scores; null if there is one part. */
    statistics: Tensor | null;
    output: Tensor;
  },
): Dispatch {
  const written: Storage[] = statistics === null
    ? []
    : [{ name: "statistics", tensor: statistics, access: "read_write", element: "vec2<f32>" }];
  const body = `  let head = group.y;
  let sequence = group.z;
  let vectors = parameters.vectors;
  let index = group.x / parameters.parts;
  let part = group.x % parameters.parts;
  let own = (sequence * parameters.queries + index) * parameters.heads + head;
  let token = min(positions[sequence] + index, parameters.length - 1u);
  let row = slots[sequence] * parameters.length;
  let keyHead = head * parameters.kvHeads / parameters.heads;
  let teams = ${lanes}u / vectors;
  let team = lane / vectors;
  let vector = lane % vectors;
  if (lane < vectors) { query[lane] = queries[own * vectors + lane]; }
  workgroupBarrier();
  var maximum = ${MASKED};
  var total = 0.0;
  var sum = vec4<f32>();
  let begin = token + 1u - min(parameters.window, token + 1u) + part * ${lanes}u;
  for (var tile = begin; tile <= token; tile += parameters.parts * ${lanes}u) {
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
${
    statistics === null
      ? "    output[own * vectors + lane] = all / total;"
      : `    let place = own * parameters.parts + part;
    output[place * vectors + lane] = all;
    if (lane == 0u) { statistics[place] = vec2<f32>(maximum, total); }`
  }
  }`;
  return dispatchOf(profile, {
    label: `cachedAttention single${statistics === null ? "" : " part"}`,
    storage: [...cacheStorage(args, heads("output", output, "read_write")), ...written],
    uniforms: { ...cacheUniforms(args), vectors: u32(args.headDim / 4), parts: u32(parts) },
    body: `var<workgroup> query: array<vec4<f32>, ${MOST_VECTORS}>;
var<workgroup> weights: array<f32, ${lanes}>;
var<workgroup> partial: array<vec4<f32>, ${lanes}>;
${reductions(profile, lanes, { reduce_max: "max", reduce_sum: "add" })}
${entryPoint(lanes, body)}`,
    workgroups: [args.length * parts, args.heads, args.batch],
  });
}

/** `output = sum of parts / total`, each part brought to the largest maximum; empty ones weigh 0. */
function addParts(
  { profile }: KernelContext,
  { output, headDim }: Arguments<"cachedAttention">,
  { parts, sums, statistics }: { parts: number; sums: Tensor; statistics: Tensor },
): Dispatch {
  return perElement(profile, {
    label: "cachedAttention sum of parts",
    size: output.size / 4,
    storage: [
      heads("sums", sums),
      { name: "statistics", tensor: statistics, access: "read", element: "vec2<f32>" },
      heads("output", output, "read_write"),
    ],
    uniforms: { vectors: u32(headDim / 4), parts: u32(parts) },
    code: `  let first = index / parameters.vectors * parameters.parts;
  let vector = index % parameters.vectors;
  var maximum = ${MASKED};
  for (var part = 0u; part < parameters.parts; part++) {
    maximum = max(maximum, statistics[first + part].x);
  }
  var total = 0.0;
  var sum = vec4<f32>();
  for (var part = 0u; part < parameters.parts; part++) {
    let weight = exp(statistics[first + part].x - maximum);
    total = fma(weight, statistics[first + part].y, total);
    sum = fma(vec4<f32>(weight), sums[(first + part) * parameters.vectors + vector], sum);
  }
  output[index] = sum / total;`,
  });
}
