/**
 * Causal grouped-query attention in blocks of queries and keys, with a softmax that is rescaled as
 * its maximum grows (Dao et al. 2022, algorithm 1).
 *
 * @module
 */

import type { Arguments } from "../shapes.ts";
import {
  checkHeadDim,
  firstBlock,
  loadStarts,
  maskScores,
  multiplyTile,
  overScorePanels,
  type Pair,
  type Products,
  SCORE_STRIDE,
  scoreTiles,
  scratchParts,
  type Starts,
} from "./attention_blocks.ts";
import {
  BLOCK,
  offsets,
  packPanels,
  packTransposed,
  paddedDim,
  row,
  rowsOf,
} from "./attention_panels.ts";
import { at, kernel, type KernelBuilder } from "./kernel.ts";
import { exp, log } from "./math.ts";
import type { Recorder } from "./recorder.ts";
import { PANEL_STRIDE, TILE_COLUMNS, TILE_ROWS } from "./tile.ts";
import { f32, f32x4, i32, i64, select, v128 } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

/** Less than any score, and finite: where nothing is visible yet, differences stay defined. */
const LEAST = -3e38;

const attentionKernel = kernel(
  "attention",
  {
    queries: "tensor",
    keys: "tensor",
    values: "tensor",
    output: "tensor",
    logSumExp: "tensor",
    /** Null where sequences are not packed. */
    starts: "tensor",
    batch: "i32",
    length: "i32",
    heads: "i32",
    kvHeads: "i32",
    headDim: "i32",
    window: "i32",
    scale: "f32",
    wide: "i32",
  },
  (f, p) => {
    const { heads, kvHeads, headDim, length, window } = p;
    const part = scratchParts(f);
    const zeros = part(TILE_COLUMNS);
    f.do(...offsets().map((offset) => v128.store(zeros, f32x4.splat(0), offset)));
    const products: Products = { wide: p.wide, zeros };
    const softmax: Softmax = { maximum: part(BLOCK), total: part(BLOCK), factor: part(BLOCK) };
    const starts: Starts = { tensor: p.starts, block: part(BLOCK) };
    const scores = part(BLOCK * BLOCK);
    const padded = f.let(paddedDim(headDim));
    const queryPanels = part(i32.mul(headDim, BLOCK));
    const valuePanels = part(i32.mul(padded, BLOCK));
    const sums = part(i32.mul(padded, BLOCK));
    const sumStride = f.let(i64.mul(i64.extendU(padded), 4));

    const sequences = f.let(i32.mul(p.batch, heads));
    const blocks = f.let(i32.divU(i32.add(length, BLOCK - 1), BLOCK));
    f.tasks(i32.mul(sequences, blocks), (task) => {
      // The blocks with the most keys first, so that no thread is late with one.
      const block = i32.sub(i32.sub(blocks, 1), i32.divU(task, sequences));
      const first = f.let(i32.mul(block, BLOCK));
      const sequence = f.let(i32.remU(task, sequences));
      const head = f.let(i32.remU(sequence, heads));
      const start = f.let(i32.mul(i32.divU(sequence, heads), length));
      const token = f.let(i32.add(start, first));
      const kvHead = f.let(i32.divU(i32.mul(head, kvHeads), heads));
      const queries = f.let(i32.minU(f.let(i32.sub(length, first)), BLOCK));
      const end = f.let(i32.add(first, queries));

      packTransposed(
        f,
        rowsOf(f, p.queries, token, heads, head, headDim),
        queries,
        headDim,
        queryPanels,
      );
      loadStarts(f, starts, token, first, queries);
      startSoftmax(f, softmax);
      const keep = f.let(i32.const(0));
      f.for(firstBlock(f, first, window, starts), end, BLOCK, (key) => {
        const pair: Pair = {
          queries,
          keys: f.let(i32.minU(f.let(i32.sub(end, key)), BLOCK)),
          distance: f.let(i32.sub(first, key)),
        };
        const keyToken = f.let(i32.add(start, key));
        const keyRows = rowsOf(f, p.keys, keyToken, kvHeads, kvHead, headDim);
        const valueRows = rowsOf(f, p.values, keyToken, kvHeads, kvHead, headDim);
        packPanels(f, valueRows, pair.keys, headDim, valuePanels);
        scoreTiles(f, products, pair, keyRows, queryPanels, headDim, p.scale, scores);
        overScorePanels(f, pair, (query, keys) => {
          maskScores(f, pair, scores, query, keys, window, starts);
          updateSoftmax(f, softmax, scores, query, keys);
        });
        f.if(keep, () => rescale(f, softmax, queries, sums, sumStride));
        f.for(0, queries, TILE_ROWS, (query) => {
          const seen = i32.minU(f.let(i32.add(query, TILE_ROWS)), pair.keys);
          const depth = f.let(select(pair.keys, seen, pair.distance));
          f.for(0, padded, TILE_COLUMNS, (feature) => {
            multiplyTile(f, products, "columns", {
              left: at(scores, query),
              leftStride: i64.const(SCORE_STRIDE),
              panel: at(valuePanels, i32.mul(feature, BLOCK)),
              output: i64.add(at(sums, feature), i64.mul(i64.extendU(query), sumStride)),
              outputStride: sumStride,
              depth,
              keep,
            });
          });
        });
        // Later blocks of keys add to what the first has left.
        f.set(keep, -1);
      });

      const output = rowsOf(f, p.output, token, heads, head, headDim);
      f.for(0, queries, 1, (query) => {
        const total = f32.load(at(softmax.total, query));
        const factor = f.let(f32x4.splat(f32.div(1, total)));
        const from = f.let(i64.add(sums, i64.mul(i64.extendU(query), sumStride)));
        const to = f.let(row(output, query));
        f.for(0, headDim, 4, (feature) => {
          const average = f32x4.mul(v128.load(at(from, feature)), factor);
          f.do(v128.store(at(to, feature), average));
        });
      });
      const statistics = f.let(at(at(p.logSumExp, head), i32.mul(token, heads)));
      storeLogSumExp(f, softmax, queries, statistics, heads);
    });
  },
);

/** Per query of the block: of the scores so far, the maximum and the sum of exponentials below it. */
interface Softmax {
  readonly maximum: Local<"i64">;
  readonly total: Local<"i64">;
  /** What sums of before the last block of keys must be multiplied by. */
  readonly factor: Local<"i64">;
}

function startSoftmax(f: KernelBuilder, { maximum, total }: Softmax): void {
  f.for(0, BLOCK, 4, (query) => {
    f.do(v128.store(at(maximum, query), f32x4.splat(LEAST)));
    f.do(v128.store(at(total, query), f32x4.splat(0)));
  });
}

/** Replaces the scores of 16 queries by exponentials below their new maximum. */
function updateSoftmax(
  f: KernelBuilder,
  softmax: Softmax,
  scores: Local<"i64">,
  query: Local<"i32">,
  keys: Local<"i32">,
): void {
  const panel = f.let(at(scores, query));
  const maximumAddress = f.let(at(softmax.maximum, query));
  const totalAddress = f.let(at(softmax.total, query));
  const before = offsets().map((offset) => f.let(v128.load(maximumAddress, offset)));
  const maxima = before.map((maximum) => f.let<"v128">(maximum));
  const address = f.let<"i64">(panel);
  f.for(0, keys, 1, () => {
    const vectors = offsets().map((offset) => f.let(v128.load(address, offset)));
    vectors.forEach((vector, i) => {
      const maximum = maxima[i] as Local<"v128">;
      f.set(maximum, f32x4.relaxedMax(maximum, vector));
    });
    f.set(address, i64.add(address, SCORE_STRIDE));
  });
  const factors = before.map((maximum, i) =>
    f.let(exp(f, f32x4.sub(maximum, maxima[i] as Local<"v128">)))
  );
  const totals = factors.map((factor, i) =>
    f.let(f32x4.mul(factor, v128.load(totalAddress, 16 * i)))
  );
  f.set(address, panel);
  f.for(0, keys, 1, () => {
    const terms = maxima.map((maximum, i) =>
      f.let(exp(f, f32x4.sub(v128.load(address, 16 * i), maximum)))
    );
    terms.forEach((term, i) => f.do(v128.store(address, term, 16 * i)));
    terms.forEach((term, i) => {
      const total = totals[i] as Local<"v128">;
      f.set(total, f32x4.add(total, term));
    });
    f.set(address, i64.add(address, SCORE_STRIDE));
  });
  const factorAddress = f.let(at(softmax.factor, query));
  factors.forEach((factor, i) => f.do(v128.store(factorAddress, factor, 16 * i)));
  maxima.forEach((maximum, i) => f.do(v128.store(maximumAddress, maximum, 16 * i)));
  totals.forEach((total, i) => f.do(v128.store(totalAddress, total, 16 * i)));
}

/** Multiplies the sums of each query, `[queries, padded headDim]`, by its factor. */
function rescale(
  f: KernelBuilder,
  { factor }: Softmax,
  queries: Local<"i32">,
  sums: Local<"i64">,
  sumStride: Local<"i64">,
): void {
  f.for(0, queries, 1, (query) => {
    const scalar = f.let(f32.load(at(factor, query)));
    f.if(f32.ne(scalar, 1), () => {
      const vector = f.let(f32x4.splat(scalar));
      const address = f.let(i64.add(sums, i64.mul(i64.extendU(query), sumStride)));
      const end = f.let(i64.add(address, sumStride));
      f.while(i64.ltU(address, end), () => {
        const scaled = offsets().map((offset) =>
          f.let(f32x4.mul(v128.load(address, offset), vector))
        );
        scaled.forEach((value, i) => f.do(v128.store(address, value, 16 * i)));
        f.set(address, i64.add(address, PANEL_STRIDE));
      });
    });
  });
}

/** `logSumExp = maximum + log(total)`, in a column of a matrix `[tokens, heads]`. */
function storeLogSumExp(
  f: KernelBuilder,
  { maximum, total }: Softmax,
  queries: Local<"i32">,
  statistics: Local<"i64">,
  heads: Local<"i32">,
): void {
  f.for(0, queries, 4, (query) => {
    const sum = f32x4.add(
      v128.load(at(maximum, query)),
      log(f, v128.load(at(total, query))),
    );
    f.do(v128.store(at(total, query), sum));
  });
  f.for(0, queries, 1, (query) => {
    f.do(f32.store(at(statistics, i32.mul(query, heads)), f32.load(at(total, query))));
  });
}

/** Kernels of this file. */
export const attentionKernels = [attentionKernel];

/** Records {@linkcode Operations.attention}. */
export function attention(recorder: Recorder, args: Arguments<"attention">): void {
  checkHeadDim("attention", args.headDim);
  recorder.call(attentionKernel, {
    ...args,
    starts: args.starts ?? null,
    window: Math.min(args.window ?? args.length, args.length),
    wide: recorder.wide ? 1 : 0,
  });
}
