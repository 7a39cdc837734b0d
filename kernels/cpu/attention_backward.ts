/**
 * The backward of attention in blocks of queries and keys, probabilities recomputed from the
 * log-sum-exp of each query (Dao et al. 2022, algorithm 4).
 *
 * One task takes one query head of one sequence, so that nobody else adds to what it adds to. Gradients
 * of keys and values are summed per query head first, then over the heads of a group in their order.
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
  type Rows,
  rowsOf,
} from "./attention_panels.ts";
import { groupSumKernel } from "./attention_group_sum.ts";
import { at, kernel, type KernelBuilder, laneSum } from "./kernel.ts";
import { exp } from "./math.ts";
import type { Recorder } from "./recorder.ts";
import { PANEL_STRIDE, TILE_COLUMNS, TILE_ROWS } from "./tile.ts";
import { type Expression, f32, f32x4, i32, i64, select, v128 } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

const attentionBackwardKernel = kernel(
  "attentionBackward",
  {
    queries: "tensor",
    keys: "tensor",
    values: "tensor",
    output: "tensor",
    logSumExp: "tensor",
    gradOutput: "tensor",
    gradQueries: "tensor",
    /** `[batch, heads, paddedLength, paddedDim]`, like `headValues`. */
    headKeys: "tensor",
    headValues: "tensor",
    /** Null where sequences are not packed. */
    starts: "tensor",
    batch: "i32",
    length: "i32",
    paddedLength: "i32",
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
    const statistics = part(BLOCK);
    const deltas = part(BLOCK);
    const starts: Starts = { tensor: p.starts, block: part(BLOCK) };
    const scores = part(BLOCK * BLOCK);
    const gradScores = part(BLOCK * BLOCK);
    const padded = f.let(paddedDim(headDim));
    const features = f.let(i32.mul(padded, BLOCK));
    const queryColumns = part(features);
    const queryPanels = part(features);
    const gradColumns = part(features);
    const gradPanels = part(features);
    const keyPanels = part(features);
    const sums = part(features);
    const sumStride = f.let(i64.mul(i64.extendU(padded), 4));

    f.tasks(i32.mul(p.batch, heads), (sequence) => {
      const head = f.let(i32.remU(sequence, heads));
      const kvHead = f.let(i32.divU(i32.mul(head, kvHeads), heads));
      const start = f.let(i32.mul(i32.divU(sequence, heads), length));
      f.for(0, length, BLOCK, (first) => {
        const token = f.let(i32.add(start, first));
        const queries = f.let(i32.minU(f.let(i32.sub(length, first)), BLOCK));
        const end = f.let(i32.add(first, queries));
        const queryRows = rowsOf(f, p.queries, token, heads, head, headDim);
        const gradRows = rowsOf(f, p.gradOutput, token, heads, head, headDim);
        const outputRows = rowsOf(f, p.output, token, heads, head, headDim);
        packTransposed(f, queryRows, queries, headDim, queryColumns);
        packTransposed(f, gradRows, queries, headDim, gradColumns);
        packPanels(f, queryRows, queries, headDim, queryPanels);
        packPanels(f, gradRows, queries, headDim, gradPanels);
        f.for(0, queries, 1, (query) => {
          const delta = dot(f, row(gradRows, query), row(outputRows, query), headDim);
          f.do(f32.store(at(deltas, query), delta));
          const statistic = i32.add(i32.mul(i32.add(token, query), heads), head);
          f.do(f32.store(at(statistics, query), f32.load(at(p.logSumExp, statistic))));
        });
        loadStarts(f, starts, token, first, queries);
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
          packPanels(f, keyRows, pair.keys, headDim, keyPanels);
          const tiles = (
            rows: Rows,
            panels: Local<"i64">,
            scale: Expression<"f32">,
            target: Local<"i64">,
          ) => scoreTiles(f, products, pair, rows, panels, headDim, scale, target);
          tiles(keyRows, queryColumns, p.scale, scores);
          tiles(valueRows, gradColumns, f32.const(1), gradScores);
          overScorePanels(f, pair, (query, keys) => {
            maskScores(f, pair, scores, query, keys, window, starts);
            differentiateSoftmax(f, { scores, gradScores, statistics, deltas }, query, keys);
          });

          f.for(0, queries, TILE_ROWS, (query) => {
            const seen = i32.minU(f.let(i32.add(query, TILE_ROWS)), pair.keys);
            const depth = f.let(select(pair.keys, seen, pair.distance));
            f.for(0, padded, TILE_COLUMNS, (feature) => {
              multiplyTile(f, products, "columns", {
                left: at(gradScores, query),
                leftStride: i64.const(SCORE_STRIDE),
                panel: at(keyPanels, i32.mul(feature, BLOCK)),
                output: i64.add(at(sums, feature), i64.mul(i64.extendU(query), sumStride)),
                outputStride: sumStride,
                depth,
                scale: p.scale,
                keep,
              });
            });
          });
          // Every block of keys meets the block of queries on the diagonal first.
          const keepHead = f.let(i32.sub(0, i32.ne(pair.distance, 0)));
          const keyRow = i32.add(i32.mul(sequence, p.paddedLength), key);
          const headOffset = f.let(i64.mul(i64.extendU(keyRow), sumStride));
          f.for(0, pair.keys, TILE_ROWS, (tile) => {
            const from = f.let(select(i32.const(0), tile, pair.distance));
            const depth = f.let(i32.sub(queries, from));
            const outputOffset = f.let(
              i64.add(headOffset, i64.mul(i64.extendU(tile), sumStride)),
            );
            /** Adds what the queries of the block give to the gradient of a tile of keys. */
            const addQueries = (
              left: Local<"i64">,
              panels: Local<"i64">,
              scale: Expression<"f32">,
              gradient: Local<"i64">,
            ) => {
              f.for(0, padded, TILE_COLUMNS, (feature) => {
                multiplyTile(f, products, "rows", {
                  left: at(at(left, from), tile, SCORE_STRIDE),
                  leftStride: i64.const(SCORE_STRIDE),
                  panel: at(at(panels, from, PANEL_STRIDE), i32.mul(feature, BLOCK)),
                  output: at(i64.add(gradient, outputOffset), feature),
                  outputStride: sumStride,
                  depth,
                  scale,
                  keep: keepHead,
                });
              });
            };
            addQueries(scores, gradPanels, f32.const(1), p.headValues);
            addQueries(gradScores, queryPanels, p.scale, p.headKeys);
          });
          f.set(keep, -1);
        });
        const gradQueries = rowsOf(f, p.gradQueries, token, heads, head, headDim);
        f.for(0, queries, 1, (query) => {
          const from = f.let(i64.add(sums, i64.mul(i64.extendU(query), sumStride)));
          const to = f.let(row(gradQueries, query));
          f.for(0, headDim, 4, (feature) => {
            f.do(v128.store(at(to, feature), v128.load(at(from, feature))));
          });
        });
      });
    });
  },
);

/** Blocks that {@linkcode differentiateSoftmax} works on, and numbers per query. */
interface SoftmaxBlocks {
  readonly scores: Local<"i64">;
  readonly gradScores: Local<"i64">;
  readonly statistics: Local<"i64">;
  readonly deltas: Local<"i64">;
}

/** Scores become `p = exp(s - logSumExp)`, and their gradients `p (dp - delta)`, for 16 queries. */
function differentiateSoftmax(
  f: KernelBuilder,
  blocks: SoftmaxBlocks,
  query: Local<"i32">,
  keys: Local<"i32">,
): void {
  const load = (values: Local<"i64">) =>
    offsets().map((offset) => f.let(v128.load(at(values, query), offset)));
  const statistics = load(blocks.statistics);
  const deltas = load(blocks.deltas);
  const score = f.let(at(blocks.scores, query));
  const gradScore = f.let(at(blocks.gradScores, query));
  f.for(0, keys, 1, () => {
    const probabilities = statistics.map((statistic, i) =>
      f.let(exp(f, f32x4.sub(v128.load(score, 16 * i), statistic)))
    );
    const gradients = deltas.map((delta, i) => {
      const difference = f32x4.sub(v128.load(gradScore, 16 * i), delta);
      return f.let(f32x4.mul(probabilities[i] as Local<"v128">, difference));
    });
    probabilities.forEach((value, i) => f.do(v128.store(score, value, 16 * i)));
    gradients.forEach((value, i) => f.do(v128.store(gradScore, value, 16 * i)));
    f.set(score, i64.add(score, SCORE_STRIDE));
    f.set(gradScore, i64.add(gradScore, SCORE_STRIDE));
  });
}

/** The dot product of two rows of a head. */
function dot(
  f: KernelBuilder,
  left: Expression<"i64">,
  right: Expression<"i64">,
  headDim: Local<"i32">,
): Expression<"f32"> {
  const sum = f.let(f32x4.splat(0));
  const leftRow = f.let(left);
  const rightRow = f.let(right);
  f.for(0, headDim, 4, (feature) => {
    const loaded = v128.load(at(leftRow, feature));
    f.set(sum, f32x4.relaxedMadd(loaded, v128.load(at(rightRow, feature)), sum));
  });
  return laneSum(f, sum);
}

/** Kernels of this file. */
export const attentionBackwardKernels = [attentionBackwardKernel, groupSumKernel];

/** Records {@linkcode Operations.attentionBackward}. */
export function attentionBackward(
  recorder: Recorder,
  args: Arguments<"attentionBackward">,
): void {
  const { batch, length, heads, kvHeads, headDim, gradKeys, gradValues } = args;
  checkHeadDim("attentionBackward", headDim);
  const paddedLength = Math.ceil(length / TILE_ROWS) * TILE_ROWS;
  const shape = [batch, heads, paddedLength, Math.ceil(headDim / TILE_COLUMNS) * TILE_COLUMNS];
  const headKeys = recorder.scratch("f32", shape);
  const headValues = recorder.scratch("f32", shape);
  recorder.call(attentionBackwardKernel, {
    ...args,
    starts: args.starts ?? null,
    headKeys,
    headValues,
    paddedLength,
    window: Math.min(args.window ?? length, length),
    wide: recorder.wide ? 1 : 0,
  });
  const sizes = { batch, length, paddedLength, heads, kvHeads, headDim };
  recorder.call(groupSumKernel, { ...sizes, parts: headKeys, output: gradKeys });
  recorder.call(groupSumKernel, { ...sizes, parts: headValues, output: gradValues });
}
