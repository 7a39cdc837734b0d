/**
 * What the products of the low-rank adapter share: places in scratch memory and the call of a tile.
 *
 * @module
 */

import type { KernelBuilder } from "./kernel.ts";
import { type LeftLayout, PANEL_STRIDE, TILE_COLUMNS, TILES } from "./tile.ts";
import { type Expression, i32, i64, v128 } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

/** Part of the rank that one task takes; more only where the rank is that of QA-HiRA. */
export const TASK_RANK = 192;

/** Base-2 logarithm of the columns of a panel. */
export const PANEL_SHIFT = Math.log2(TILE_COLUMNS);

/** Places in scratch memory, in bytes. */
export const SCRATCH = {
  /** A panel's bias: zeros. */
  zeros: 0,
  /** One tile. */
  tile: PANEL_STRIDE,
  /** Sums that a task works on. */
  sums: 4096,
  /** Pooled features. */
  pooled: 65536,
  /** For columns of the output, the numbers of the features they belong to. */
  features: 8192,
} as const;

/** The operands of a tile; see `tile.ts`. */
export interface TileOperands {
  readonly left: Expression<"i64">;
  readonly leftStride: Expression<"i64">;
  readonly panel: Expression<"i64">;
  readonly output: Expression<"i64">;
  readonly outputStride: Expression<"i64">;
  readonly depth: Expression<"i32">;
  readonly rows: Expression<"i32">;
  readonly scale: Expression<"f32">;
  readonly keep: Expression<"i32">;
}

/** Calls a tile whose bias is zero. */
export function callTile(
  f: KernelBuilder,
  wide: Local<"i32">,
  layout: LeftLayout,
  { left, leftStride, panel, output, outputStride, depth, rows, scale, keep }: TileOperands,
): void {
  const bias = i64.add(f.scratch, SCRATCH.zeros);
  const operands = [left, leftStride, panel, output, outputStride, depth, rows, scale, keep, bias];
  f.if(
    wide,
    () => f.callShared(TILES[layout].wide, ...operands),
    () => f.callShared(TILES[layout].narrow, ...operands),
  );
}

/** Writes the zeros that {@linkcode callTile} passes as bias. */
export function clearBias(f: KernelBuilder): void {
  for (let offset = 0; offset < PANEL_STRIDE; offset += 16) {
    f.do(v128.store(f.scratch, v128.constWords([0, 0, 0, 0]), SCRATCH.zeros + offset));
  }
}

/** The quotient, rounded up. */
export function ceilDivide(value: Expression<"i32">, divisor: number): Expression<"i32"> {
  return i32.divU(i32.add(value, divisor - 1), divisor);
}
