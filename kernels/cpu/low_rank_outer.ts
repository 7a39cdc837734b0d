/**
 * The gradients of the low-rank adapter's matrices: products over all rows, whose result is short on
 * one side.
 *
 * @module
 */

import { DROPOUT, maskOf } from "./dropout.ts";
import { at, kernel } from "./kernel.ts";
import {
  callTile,
  ceilDivide,
  clearBias,
  PANEL_SHIFT,
  SCRATCH,
  TASK_RANK,
} from "./low_rank_tiles.ts";
import { poolRow } from "./pooling.ts";
import { PANEL_STRIDE, TILE_COLUMNS, TILE_ROWS } from "./tile.ts";
import { f32, i32, i64 } from "./wasm/expression.ts";

/** Columns and rows of {@linkcode outerKernel} that are pooled before they are multiplied. */
const STRIP = 2 * TILE_COLUMNS;
const STRIP_ROWS = 256;

/**
 * `output += factor * left [rows, rank]^T pool(input [rows, columns])`: result (r, p) is
 * `output[r * rankStride + p * featureStride]`. Each task adds up all rows for a strip of features.
 */
export const outerKernel = kernel(
  "outer",
  {
    left: "tensor",
    input: "tensor",
    output: "tensor",
    rows: "i32",
    columns: "i32",
    width: "i32",
    rank: "i32",
    rankStride: "i32",
    featureStride: "i32",
    factor: "f32",
    wide: "i32",
    ...DROPOUT,
  },
  (f, p) => {
    const mask = maskOf(f, p);
    clearBias(f);
    const features = f.let(i32.divU(p.columns, p.width));
    const leftStride = f.let(i64.mul(i64.extendU(p.rank), 4));
    const rankBlocks = f.let(ceilDivide(p.rank, TASK_RANK));
    const pooled = f.let(i64.add(f.scratch, SCRATCH.pooled));
    const sums = f.let(i64.add(f.scratch, SCRATCH.sums));
    f.tasks(i32.mul(ceilDivide(features, STRIP), rankBlocks), (task) => {
      const feature = f.let(i32.mul(i32.divU(task, rankBlocks), STRIP));
      const count = f.let(i32.minU(i32.sub(features, feature), STRIP));
      const rank = f.let(i32.mul(i32.remU(task, rankBlocks), TASK_RANK));
      const ranks = f.let(i32.minU(i32.sub(p.rank, rank), TASK_RANK));
      const keep = f.let(i32.const(0));
      f.for(0, p.rows, STRIP_ROWS, (row) => {
        const rows = f.let(i32.minU(i32.sub(p.rows, row), STRIP_ROWS));
        f.for(0, rows, 1, (i) => {
          const m = f.let(i32.add(row, i));
          f.for(0, count, TILE_COLUMNS, (j) => {
            const first = f.let(i32.add(feature, j));
            const number = f.let(i32.add(i32.mul(m, features), first));
            const start = i32.add(i32.mul(m, p.columns), i32.mul(first, p.width));
            const source = f.let(at(p.input, start));
            const target = f.let(at(at(pooled, i, PANEL_STRIDE), j, 4 * STRIP_ROWS));
            const inPanel = f.let(i32.minU(i32.sub(count, j), TILE_COLUMNS));
            poolRow(f, source, target, { width: p.width, count: inPanel, number }, mask);
          });
        });
        const left = f.let(at(p.left, i32.add(i32.mul(row, p.rank), rank)));
        f.for(0, ranks, TILE_ROWS, (r) => {
          f.for(0, count, TILE_COLUMNS, (j) => {
            callTile(f, p.wide, "columns", {
              left: at(left, r),
              leftStride,
              panel: at(pooled, j, 4 * STRIP_ROWS),
              output: at(at(sums, r, PANEL_STRIDE), j, 4 * TASK_RANK),
              outputStride: i64.const(PANEL_STRIDE),
              depth: rows,
              rows: i32.const(TILE_ROWS),
              scale: f32.const(1),
              keep,
            });
          });
        });
        f.set(keep, -1);
      });
      f.for(0, ranks, 1, (r) => {
        f.for(0, count, 1, (j) => {
          const place = i32.add(
            i32.mul(i32.add(rank, r), p.rankStride),
            i32.mul(i32.add(feature, j), p.featureStride),
          );
          const target = f.let(at(p.output, place));
          const panel = at(
            at(sums, r, PANEL_STRIDE),
            i32.shrU(j, PANEL_SHIFT),
            PANEL_STRIDE * TASK_RANK,
          );
          const sum = f32.load(at(panel, i32.and(j, TILE_COLUMNS - 1)));
          f.do(f32.store(target, f32.add(f32.load(target), f32.mul(sum, p.factor))));
        });
      });
    });
  },
);
