/**
 * The products of the low-rank adapter. One side of each is short (the rank), the other long, so that
 * they are made of the same tiles as large products, but in an order that reads and writes the long
 * matrices once, row by row or in strips as wide as two panels.
 *
 * @module
 */

import { DROPOUT, maskOf } from "./dropout.ts";
import { at, kernel } from "./kernel.ts";
import { copyTile } from "./multiply.ts";
import { outerKernel } from "./low_rank_outer.ts";
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
import { overVectors } from "./vectors.ts";
import { type Expression, f32, f32x4, i32, i32x4, i64, v128 } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

/** Rows of one task, eight tiles. */
const TASK_ROWS = 48;

/** Columns of one task of {@linkcode expandKernel}: as many as their panels leave in the cache. */
const TASK_COLUMNS = 1024;

/** Features that are pooled before they are multiplied, and their place in memory. */
const DEPTH = 512;
const POOLED_STRIDE = 4 * (DEPTH + 16);

/** Bytes between rows of the sums of {@linkcode projectKernel}. */
const SUMS_STRIDE = 4 * TASK_RANK;

/**
 * Packs columns of a matrix into panels `[depth, 16]`: element (k, j) of the product's right factor is
 * `source[k * stepStride + floor(j / repeat) * columnStride]`.
 */
export const panelsKernel = kernel(
  "panels",
  {
    source: "tensor",
    panels: "tensor",
    depth: "i32",
    columns: "i32",
    stepStride: "i32",
    columnStride: "i32",
    repeat: "i32",
  },
  (f, p) => {
    const step = f.let(i64.mul(i64.extendU(p.stepStride), 4));
    f.tasks(ceilDivide(p.columns, TILE_COLUMNS), (task) => {
      const first = f.let(i32.mul(task, TILE_COLUMNS));
      const panel = f.let(at(p.panels, i32.mul(task, p.depth), PANEL_STRIDE));
      f.for(0, TILE_COLUMNS, 1, (lane) => {
        // Columns that do not exist repeat the last one; nobody looks at their results.
        const column = i32.minU(i32.add(first, lane), i32.sub(p.columns, 1));
        const from = f.let(at(p.source, i32.mul(i32.divU(column, p.repeat), p.columnStride)));
        const to = f.let(at(panel, lane));
        f.for(0, p.depth, 1, () => {
          f.do(f32.store(to, f32.load(from)));
          f.set(from, i64.add(from, step));
          f.set(to, i64.add(to, PANEL_STRIDE));
        });
      });
    });
  },
);

/** `output [rows, rank] = factor * pool(input [rows, columns]) panels [columns / width, rank]`. */
export const projectKernel = kernel(
  "project",
  {
    input: "tensor",
    panels: "tensor",
    output: "tensor",
    rows: "i32",
    columns: "i32",
    width: "i32",
    rank: "i32",
    factor: "f32",
    wide: "i32",
    ...DROPOUT,
  },
  (f, p) => {
    const mask = maskOf(f, p);
    clearBias(f);
    const features = f.let(i32.divU(p.columns, p.width));
    const pools = f.let(i32.or(i32.gtU(p.width, 1), p.threshold));
    const rankBlocks = f.let(ceilDivide(p.rank, TASK_RANK));
    const pooled = f.let(i64.add(f.scratch, SCRATCH.pooled));
    const sums = f.let(i64.add(f.scratch, SCRATCH.sums));
    f.tasks(i32.mul(ceilDivide(p.rows, TASK_ROWS), rankBlocks), (task) => {
      const row = f.let(i32.mul(i32.divU(task, rankBlocks), TASK_ROWS));
      const rows = f.let(i32.minU(i32.sub(p.rows, row), TASK_ROWS));
      const rank = f.let(i32.mul(i32.remU(task, rankBlocks), TASK_RANK));
      const ranks = f.let(i32.minU(i32.sub(p.rank, rank), TASK_RANK));
      const keep = f.let(i32.const(0));
      f.for(0, features, DEPTH, (from) => {
        const depth = f.let(i32.minU(i32.sub(features, from), DEPTH));
        const start = i32.add(i32.mul(row, p.columns), i32.mul(from, p.width));
        const left = f.let(at(p.input, start));
        const stride = f.let(i64.mul(i64.extendU(p.columns), 4));
        f.if(pools, () => {
          f.for(0, rows, 1, (i) => {
            const number = f.let(i32.add(i32.mul(i32.add(row, i), features), from));
            const source = f.let(i64.add(left, i64.mul(i64.extendU(i), stride)));
            const target = f.let(at(pooled, i, POOLED_STRIDE));
            poolRow(f, source, target, { width: p.width, count: depth, number }, mask);
          });
          f.set(left, pooled);
          f.set(stride, i64.const(POOLED_STRIDE));
        });
        f.for(0, ranks, TILE_COLUMNS, (r) => {
          const panelIndex = i32.shrU(i32.add(rank, r), PANEL_SHIFT);
          const start = i32.add(i32.mul(panelIndex, features), from);
          const panel = f.let(at(p.panels, start, PANEL_STRIDE));
          f.for(0, rows, TILE_ROWS, (i) => {
            callTile(f, p.wide, "rows", {
              left: i64.add(left, i64.mul(i64.extendU(i), stride)),
              leftStride: stride,
              panel,
              output: at(at(sums, i, SUMS_STRIDE), r),
              outputStride: i64.const(SUMS_STRIDE),
              depth,
              rows: i32.minU(i32.sub(rows, i), TILE_ROWS),
              scale: f32.const(1),
              keep,
            });
          });
        });
        f.set(keep, -1);
      });
      const factor = f.let(f32x4.splat(p.factor));
      f.for(0, rows, 1, (i) => {
        const source = f.let(at(sums, i, SUMS_STRIDE));
        const target = f.let(at(p.output, i32.add(i32.mul(i32.add(row, i), p.rank), rank)));
        overVectors(f, 0, ranks, 2, ({ load, store }) => {
          store(target, load(source).map((sum) => f32x4.mul(sum, factor)));
        });
      });
    });
  },
);

/**
 * `output [rows, columns] += factor * left [rows, rank] panels [rank, columns]`, where the mask keeps
 * feature `floor(column / width)`.
 */
export const expandKernel = kernel(
  "expand",
  {
    left: "tensor",
    panels: "tensor",
    output: "tensor",
    rows: "i32",
    columns: "i32",
    width: "i32",
    rank: "i32",
    factor: "f32",
    wide: "i32",
    ...DROPOUT,
  },
  (f, p) => {
    const mask = maskOf(f, p);
    clearBias(f);
    const features = f.let(i32.divU(p.columns, p.width));
    const stride = f.let(i64.mul(i64.extendU(p.columns), 4));
    const leftStride = f.let(i64.mul(i64.extendU(p.rank), 4));
    const tile = f.let(i64.add(f.scratch, SCRATCH.tile));
    const featureOf = f.let(i64.add(f.scratch, SCRATCH.features));
    const columnBlocks = f.let(ceilDivide(p.columns, TASK_COLUMNS));
    f.tasks(i32.mul(ceilDivide(p.rows, TASK_ROWS), columnBlocks), (task) => {
      const row = f.let(i32.mul(i32.divU(task, columnBlocks), TASK_ROWS));
      const rowEnd = f.let(i32.minU(i32.add(row, TASK_ROWS), p.rows));
      const column = f.let(i32.mul(i32.remU(task, columnBlocks), TASK_COLUMNS));
      const columns = f.let(i32.minU(i32.sub(p.columns, column), TASK_COLUMNS));
      f.if(mask.drops, () => {
        f.for(0, columns, 1, (j) => {
          f.do(i32.store(at(featureOf, j), i32.divU(i32.add(column, j), p.width)));
        });
      });
      f.for(row, rowEnd, TILE_ROWS, (i) => {
        const rows = f.let(i32.minU(i32.sub(rowEnd, i), TILE_ROWS));
        const left = f.let(i64.add(p.left, i64.mul(i64.extendU(i), leftStride)));
        f.for(0, columns, TILE_COLUMNS, (j) => {
          const width = f.let(i32.minU(i32.sub(columns, j), TILE_COLUMNS));
          const first = f.let(i32.add(column, j));
          const output = f.let(at(p.output, i32.add(i32.mul(i, p.columns), first)));
          const panel = at(p.panels, i32.mul(i32.shrU(first, PANEL_SHIFT), p.rank), PANEL_STRIDE);
          const operands = { left, leftStride, panel: f.let(panel), depth: p.rank, rows };
          const isWhole = i32.and(i32.eq(rows, TILE_ROWS), i32.eq(width, TILE_COLUMNS));
          const add = (to: Expression<"i64">, toStride: Expression<"i64">) => {
            callTile(f, p.wide, "rows", {
              ...{ ...operands, output: to, outputStride: toStride },
              ...{ scale: p.factor, keep: i32.const(-1) },
            });
          };
          f.if(i32.eqz(mask.drops), () => {
            f.if(isWhole, () => add(output, stride), () => {
              // The same roundings as in a whole tile.
              copyTile(f, output, stride, tile, i64.const(PANEL_STRIDE), rows, width);
              add(tile, i64.const(PANEL_STRIDE));
              copyTile(f, tile, i64.const(PANEL_STRIDE), output, stride, rows, width);
            });
          }, () => {
            callTile(f, p.wide, "rows", {
              ...operands,
              output: tile,
              outputStride: i64.const(PANEL_STRIDE),
              scale: p.factor,
              keep: i32.const(0),
            });
            const ofColumns = f.let(at(featureOf, j));
            f.for(0, rows, 1, (k) => {
              const products = f.let(at(tile, k, PANEL_STRIDE));
              const target = f.let(i64.add(output, i64.mul(i64.extendU(k), stride)));
              const number = f.let(i32x4.splat(i32.mul(i32.add(i, k), features)));
              overVectors(f, 0, width, 4, ({ load, store }) => {
                const values = load(products);
                const numbers = load(ofColumns).map((feature) => i32x4.add(feature, number));
                mask.kept(numbers).forEach((kept, v) => {
                  const value = values[v] as Local<"v128">;
                  f.set(value, v128.and(value, kept));
                });
                store(
                  target,
                  load(target).map((sum, v) => f32x4.add(sum, values[v] as Local<"v128">)),
                );
              });
            });
          });
        });
      });
    });
  },
);

/** All products of the adapter. */
export const lowRankKernels = [panelsKernel, projectKernel, expandKernel, outerKernel];
