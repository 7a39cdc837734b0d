/**
 * Drawing the next token. What top-k and top-p leave is found without sorting: the smallest logit that
 * stays is the largest at which the tokens from it on are enough, and its bits are tried one by one.
 *
 * @module
 */

import { type Arguments, checkSample } from "../shapes.ts";
import { maximumOf, STEP, sumOfExponentials } from "./cross_entropy.ts";
import { firstWords } from "./dropout.ts";
import { at, kernel, laneSum } from "./kernel.ts";
import { exp, log } from "./math.ts";
import type { Recorder } from "./recorder.ts";
import { overVectors, sumOf, zeros } from "./vectors.ts";
import { type Expression, f32, f32x4, f64, i32, i32x4, i64, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

const PARITY = 0x1bd11bda;

/** One row of logits per task. */
const sampleKernel = kernel(
  "sample",
  {
    logits: "tensor",
    keys: "tensor",
    counters: "tensor",
    tokens: "tensor",
    logProbabilities: "tensor",
    /** `[rows, vocabulary]`: logits as unsigned integers in the same order. */
    orders: "tensor",
    /** `[rows, vocabulary]`: what the draw gives each token, not normalized. */
    shares: "tensor",
    rows: "i32",
    vocabulary: "i32",
    /** 1 takes the likeliest token. */
    greedy: "i32",
    inverseTemperature: "f32",
    /** 0 leaves all. */
    topK: "i32",
    /** 0 leaves all. */
    topP: "f32",
  },
  (f, p) => {
    const { vocabulary } = p;
    const whole = f.let(i32.and(vocabulary, -STEP));
    f.tasks(p.rows, (row) => {
      const rowBytes = i64.mul(i64.mul(i64.extendU(row), i64.extendU(vocabulary)), 4);
      const logits = f.let(i64.add(p.logits, rowBytes));
      const maximum = maximumOf(f, logits, whole, vocabulary);
      const total = f.let(sumOfExponentials(f, logits, whole, vocabulary, maximum, false));
      const token = f.let(i32.const(0));
      f.if(p.greedy, () => {
        const isOther = f32.ne(f32.load(at(logits, token)), maximum);
        const isLast = i32.eq(token, i32.sub(vocabulary, 1));
        f.while(i32.and(isOther, i32.eqz(isLast)), () => f.set(token, i32.add(token, 1)));
      }, () => {
        const candidates: Candidates = {
          orders: f.let(i64.add(p.orders, rowBytes)),
          shares: f.let(i64.add(p.shares, rowBytes)),
          vocabulary,
        };
        writeCandidates(f, candidates, logits, maximum, p.inverseTemperature);
        f.if(p.topK, () => {
          const ones = f.let(f32x4.splat(1));
          const wanted = f.let(f32.convertI32U(p.topK));
          keepFrom(f, candidates, largest(f, candidates, ones, wanted));
        });
        f.if(f32.gt(p.topP, 0), () => {
          const all = sumFrom(f, candidates, null, f.let(i32.const(0)));
          const wanted = f.let(f32.mul(all, p.topP));
          keepFrom(f, candidates, largest(f, candidates, null, wanted));
        });
        const key = at(p.keys, row, 8);
        const counter = i32.load(at(p.counters, row));
        f.set(token, draw(f, candidates, uniform(f, f.let(key), counter)));
      });
      f.do(i32.store(at(p.tokens, row), token));
      const logarithm = f32x4.extract(log(f, f32x4.splat(total)), 0);
      const logit = f32.load(at(logits, token));
      const value = f32.sub(f32.sub(logit, maximum), logarithm);
      f.do(f32.store(at(p.logProbabilities, row), value));
    });
  },
);

/** The tokens of one row. */
interface Candidates {
  readonly orders: Local<"i64">;
  readonly shares: Local<"i64">;
  readonly vocabulary: Local<"i32">;
}

function writeCandidates(
  f: FunctionBuilder,
  { orders, shares, vocabulary }: Candidates,
  logits: Local<"i64">,
  maximum: Local<"f32">,
  inverseTemperature: Local<"f32">,
): void {
  const shift = f.let(f32x4.splat(maximum));
  const factor = f.let(f32x4.splat(inverseTemperature));
  overVectors(f, 0, vocabulary, 2, ({ load, store }) => {
    const values = load(logits);
    store(
      orders,
      values.map((value) => {
        // Both zeros are equal. All bits of negative numbers are turned, else only the sign.
        const bits = f.let(v128.andnot(value, f32x4.eq(value, f32x4.splat(0))));
        const turned = v128.or(i32x4.shrS(bits, 31), i32x4.splat(-(2 ** 31)));
        return v128.xor(bits, turned);
      }),
    );
    store(shares, values.map((value) => exp(f, f32x4.mul(f32x4.sub(value, shift), factor))));
  });
}

/** The sum of `terms`, or of shares, over the tokens with an order from `least` on. */
function sumFrom(
  f: FunctionBuilder,
  { orders, shares, vocabulary }: Candidates,
  terms: Local<"v128"> | null,
  least: Local<"i32">,
): Local<"f32"> {
  const from = f.let(i32x4.splat(least));
  const sums = zeros(f, 4);
  overVectors(f, 0, vocabulary, 4, ({ load }) => {
    const added = terms === null ? load(shares) : null;
    load(orders).forEach((order, i) => {
      const sum = sums[i] as Local<"v128">;
      const term = (added?.[i] ?? terms) as Local<"v128">;
      f.set(sum, f32x4.add(sum, v128.and(term, i32x4.geU(order, from))));
    });
  });
  return f.let(laneSum(f, sumOf(sums)));
}

/** The largest order from which on the sum is at least `wanted`. */
function largest(
  f: FunctionBuilder,
  candidates: Candidates,
  terms: Local<"v128"> | null,
  wanted: Local<"f32">,
): Local<"i32"> {
  const found = f.let(i32.const(0));
  const bit = f.let(i32.const(-(2 ** 31)));
  f.while(bit, () => {
    const tried = f.let(i32.or(found, bit));
    const sum = sumFrom(f, candidates, terms, tried);
    f.if(f32.ge(sum, wanted), () => f.set(found, tried));
    f.set(bit, i32.shrU(bit, 1));
  });
  return found;
}

/** Takes the share of all tokens with an order below `least`. */
function keepFrom(
  f: FunctionBuilder,
  { orders, shares, vocabulary }: Candidates,
  least: Local<"i32">,
): void {
  const from = f.let(i32x4.splat(least));
  overVectors(f, 0, vocabulary, 2, ({ load, store }) => {
    const kept = load(orders).map((order) => i32x4.geU(order, from));
    store(shares, load(shares).map((share, i) => v128.and(share, kept[i] as Expression<"v128">)));
  });
}

/** 24 random bits as a fraction. */
function uniform(
  f: FunctionBuilder,
  key: Local<"i64">,
  counter: Expression<"i32">,
): Expression<"f64"> {
  const words = [f.let(i32.load(key)), f.let(i32.load(key, 4))] as const;
  const parity = i32.xor(i32.xor(words[0], words[1]), PARITY);
  const schedule = [...words, parity].map((word) => f.let(i32x4.splat(word)));
  const zero = f.let(i32x4.splat(0));
  const [word = zero] = firstWords(f, schedule, [i32x4.splat(counter)], zero);
  const bits = f32.convertI32U(i32.shrU(i32x4.extract(word, 0), 8));
  return f64.promote(f32.mul(bits, 2 ** -24));
}

/** The first token at which the sum of shares, in order of ids, exceeds `u` times their total. */
function draw(
  f: FunctionBuilder,
  { shares, vocabulary }: Candidates,
  u: Expression<"f64">,
): Expression<"i32"> {
  const share = (token: Local<"i32">) => f64.promote(f32.load(at(shares, token)));
  const total = f.let(f64.const(0));
  f.for(0, vocabulary, 1, (token) => f.set(total, f64.add(total, share(token))));
  const target = f.let(f64.mul(u, total));
  const running = f.let(f64.const(0));
  const next = f.let(i32.const(0));
  const isBelow = i32.eqz(f64.lt(target, running));
  f.while(i32.and(isBelow, i32.ltU(next, vocabulary)), () => {
    f.set(running, f64.add(running, share(next)));
    f.set(next, i32.add(next, 1));
  });
  return i32.sub(next, 1);
}

/** Kernels of this file. */
export const sampleKernels = [sampleKernel];

/** Records {@linkcode Operations.sample}. */
export function sample(recorder: Recorder, args: Arguments<"sample">): void {
  const { batch: rows, V: vocabulary } = checkSample(args);
  const { logits, keys, counters, tokens, logProbabilities } = args;
  const { temperature, topK = vocabulary, topP = 1 } = args;
  const greedy = temperature === 0;
  // Greedy draws touch neither.
  const shape = greedy ? [1, 1] : [rows, vocabulary];
  recorder.call(sampleKernel, {
    ...{ logits, keys, counters, tokens, logProbabilities, rows, vocabulary },
    orders: recorder.scratch("u32", shape),
    shares: recorder.scratch("f32", shape),
    greedy: greedy ? 1 : 0,
    inverseTemperature: greedy ? 1 : 1 / temperature,
    topK: topK < vocabulary ? topK : 0,
    topP: topP < 1 ? topP : 0,
  });
}
