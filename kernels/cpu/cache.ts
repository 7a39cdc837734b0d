/**
 * Generation with a key-value cache: new tokens are written into it, and attend to it.
 *
 * @module
 */

import { type Arguments, checkAppendToCache, checkCachedAttention } from "../shapes.ts";
import { at, kernel, laneSum, THREAD_SCRATCH_BYTES } from "./kernel.ts";
import { exp } from "./math.ts";
import type { Recorder } from "./recorder.ts";
import { overVectors, perRow, zeros } from "./vectors.ts";
import { type Expression, f32, f32x4, i32, i64, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/** Less than any score, and finite. */
const LEAST = -3e38;

/** Keys, and vectors of features, that are summed side by side. */
const SIDE = 4;

/** The address of a position in a cache `[rows, capacity, width]`. */
function placeOf(
  cache: Expression<"i64">,
  slot: Expression<"i32">,
  capacity: Expression<"i32">,
  position: Expression<"i32">,
  width: Expression<"i32">,
): Expression<"i64"> {
  const row = i64.mul(i64.extendU(slot), i64.extendU(capacity));
  const place = i64.mul(i64.add(row, i64.extendU(position)), i64.extendU(width));
  return i64.add(cache, i64.mul(place, 4));
}

const appendKernel = kernel(
  "appendToCache",
  {
    keys: "tensor",
    values: "tensor",
    keyCache: "tensor",
    valueCache: "tensor",
    slots: "tensor",
    positions: "tensor",
    tokens: "i32",
    length: "i32",
    rows: "i32",
    capacity: "i32",
    width: "i32",
  },
  (f, p) => {
    perRow(f, p.tokens, p.width, (token) => {
      const sequence = f.let(i32.divU(token, p.length));
      const slot = f.let(i32.load(at(p.slots, sequence)));
      // No further than the end: adding up to 2^32 would start again at 0.
      const position = f.let(i32.load(at(p.positions, sequence)));
      f.set(position, i32.minU(position, p.capacity));
      f.set(position, i32.add(position, i32.remU(token, p.length)));
      f.if(i32.and(i32.ltU(position, p.capacity), i32.ltU(slot, p.rows)), () => {
        const from = i64.mul(i64.extendU(token), i64.extendU(p.width));
        for (const [input, cache] of [[p.keys, p.keyCache], [p.values, p.valueCache]] as const) {
          const source = f.let(i64.add(input, i64.mul(from, 4)));
          const place = f.let(placeOf(cache, slot, p.capacity, position, p.width));
          overVectors(f, 0, p.width, 2, ({ load, store }) => store(place, load(source)));
        }
      });
    });
  },
);

/** One task for each query of each head: its scores lie in the thread's scratch memory. */
const cachedAttentionKernel = kernel(
  "cachedAttention",
  {
    queries: "tensor",
    keyCache: "tensor",
    valueCache: "tensor",
    slots: "tensor",
    positions: "tensor",
    output: "tensor",
    tokens: "i32",
    length: "i32",
    heads: "i32",
    kvHeads: "i32",
    headDim: "i32",
    window: "i32",
    rows: "i32",
    capacity: "i32",
    scale: "f32",
  },
  (f, p) => {
    const { heads, kvHeads, headDim, capacity } = p;
    const scores = f.scratch;
    const width = f.let(i32.mul(kvHeads, headDim));
    const stride = f.let(i64.mul(i64.extendU(width), 4));
    const last = f.let(i32.sub(capacity, 1));
    f.tasks(i32.mul(p.tokens, heads), (task) => {
      const token = f.let(i32.divU(task, heads));
      const head = f.let(i32.remU(task, heads));
      const sequence = f.let(i32.divU(token, p.length));
      const position = f.let(i32.load(at(p.positions, sequence)));
      f.set(position, i32.minU(position, last));
      f.set(position, i32.add(position, i32.remU(token, p.length)));
      f.set(position, i32.minU(position, last));
      const seen = f.let(i32.add(position, 1));
      const count = f.let(i32.minU(p.window, seen));
      const first = f.let(i32.sub(seen, count));
      const slot = f.let(i32.load(at(p.slots, sequence)));
      f.set(slot, i32.minU(slot, f.let(i32.sub(p.rows, 1))));
      const feature = f.let(i32.mul(i32.divU(i32.mul(head, kvHeads), heads), headDim));
      const rowsOf = (cache: Expression<"i64">) =>
        f.let(at(placeOf(cache, slot, capacity, first, width), feature));
      const own = i64.mul(i64.extendU(task), i64.extendU(headDim));
      const query = f.let(i64.add(p.queries, i64.mul(own, 4)));
      const output = f.let(i64.add(p.output, i64.mul(own, 4)));

      writeScores(f, { scores, query, keys: rowsOf(p.keyCache), stride, count, headDim }, p.scale);
      const total = softmax(f, scores, count);
      const factor = f.let(f32x4.splat(f32.div(1, total)));
      const values = rowsOf(p.valueCache);
      const whole = f.let(i32.and(headDim, -4 * SIDE));
      const average = (vectors: number) => (d: Local<"i32">) => {
        const sums = zeros(f, vectors);
        const value = f.let(at(values, d));
        f.for(0, count, 1, (j) => {
          const weight = f.let(v128.load32Splat(at(scores, j)));
          sums.forEach((sum, i) =>
            f.set(sum, f32x4.relaxedMadd(weight, v128.load(value, 16 * i), sum))
          );
          f.set(value, i64.add(value, stride));
        });
        const to = f.let(at(output, d));
        sums.forEach((sum, i) => f.do(v128.store(to, f32x4.mul(sum, factor), 16 * i)));
      };
      f.for(0, whole, 4 * SIDE, average(SIDE));
      f.for(whole, headDim, 4, average(1));
    });
  },
);

/** Writes the scores of `count` keys, and {@linkcode LEAST} up to a whole vector of them. */
function writeScores(
  f: FunctionBuilder,
  { scores, query, keys, stride, count, headDim }: {
    readonly scores: Local<"i64">;
    readonly query: Local<"i64">;
    readonly keys: Local<"i64">;
    readonly stride: Local<"i64">;
    readonly count: Local<"i32">;
    readonly headDim: Local<"i32">;
  },
  scale: Local<"f32">,
): void {
  const lastKey = f.let(i32.sub(count, 1));
  f.for(0, count, SIDE, (j) => {
    const rows = Array.from({ length: SIDE }, (_, i) => {
      const key = f.let(i32.add(j, i));
      return f.let(i64.add(keys, i64.mul(i64.extendU(i32.minU(key, lastKey)), stride)));
    });
    const sums = zeros(f, SIDE);
    f.for(0, headDim, 4, (d) => {
      const features = f.let(v128.load(at(query, d)));
      sums.forEach((sum, i) => {
        const key = v128.load(at(rows[i] as Local<"i64">, d));
        f.set(sum, f32x4.relaxedMadd(features, key, sum));
      });
    });
    const place = f.let(at(scores, j));
    sums.forEach((sum, i) => f.do(f32.store(place, f32.mul(laneSum(f, sum), scale), 4 * i)));
  });
  const whole = f.let(wholeVectors(count));
  f.for(count, whole, 1, (j) => f.do(f32.store(at(scores, j), LEAST)));
}

/** Replaces scores by exponentials below their maximum and returns their sum. */
function softmax(
  f: FunctionBuilder,
  scores: Local<"i64">,
  count: Local<"i32">,
): Expression<"f32"> {
  const whole = f.let(wholeVectors(count));
  const maxima = f.let(f32x4.splat(LEAST));
  f.for(0, whole, 4, (j) => {
    f.set(maxima, f32x4.relaxedMax(maxima, v128.load(at(scores, j))));
  });
  const maximum = f.let(f32x4.extract(maxima, 0));
  for (let lane = 1; lane < 4; lane++) {
    f.set(maximum, f32.max(maximum, f32x4.extract(maxima, lane)));
  }
  const shift = f.let(f32x4.splat(maximum));
  const sums = f.let(f32x4.splat(0));
  f.for(0, whole, 4, (j) => {
    const address = f.let(at(scores, j));
    const terms = f.let(exp(f, f32x4.sub(v128.load(address), shift)));
    f.do(v128.store(address, terms));
    f.set(sums, f32x4.add(sums, terms));
  });
  return laneSum(f, sums);
}

function wholeVectors(count: Expression<"i32">): Expression<"i32"> {
  return i32.and(i32.add(count, 3), -4);
}

/** Kernels of this file. */
export const cacheKernels = [appendKernel, cachedAttentionKernel];

/** Records {@linkcode Operations.appendToCache}. */
export function appendToCache(recorder: Recorder, args: Arguments<"appendToCache">): void {
  const { batch, length, rows, capacity, width } = checkAppendToCache(args);
  const { keys, values, keyCache, valueCache, slots, positions } = args;
  recorder.call(appendKernel, {
    ...{ keys, values, keyCache, valueCache, slots, positions },
    ...{ tokens: batch * length, length, rows, capacity, width },
  });
}

/** Records {@linkcode Operations.cachedAttention}. */
export function cachedAttention(recorder: Recorder, args: Arguments<"cachedAttention">): void {
  const { T: tokens, rows, capacity, window } = checkCachedAttention(args);
  const most = THREAD_SCRATCH_BYTES / 4;
  if (capacity > most) {
    throw new RangeError(
      `cachedAttention: the cache "${args.keyCache.label}" has ${capacity} positions, but the CPU ` +
        `device takes at most ${most}; use shorter texts`,
    );
  }
  const { queries, keyCache, valueCache, slots, positions, output } = args;
  const { length, heads, kvHeads, headDim, scale } = args;
  recorder.call(cachedAttentionKernel, {
    ...{ queries, keyCache, valueCache, slots, positions, output },
    ...{ tokens, length, heads, kvHeads, headDim, window, rows, capacity, scale },
  });
}
