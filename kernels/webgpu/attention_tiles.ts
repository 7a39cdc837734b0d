/**
 * Tiles of rows that all invocations of a workgroup read while each works on a row of its own. On
 * software a workgroup is a subgroup, a tile lives in its registers, spread over the lanes, and is
 * read by broadcast; elsewhere a tile lives in workgroup memory.
 *
 * @module
 */

import type { Profile } from "./program.ts";
import { unroll } from "./unroll.ts";

/** Sizes of the tiles of one kernel. */
export interface TileShape {
  /** Invocations, each with its own row. */
  readonly lanes: number;
  /** vec4s per row. */
  readonly vectors: number;
  /** Rows per unrolled step. */
  readonly rows: number;
  /** Rows loaded at once; equal to `rows` where tiles live in registers. */
  readonly loaded: number;
  readonly registers: boolean;
}

/** Multiply-adds in an unrolled step: what lavapipe's compiler takes in good time. */
const UNROLLED = 512;

/** Bytes of workgroup memory for two tiles; every WebGPU device has 16 KiB. */
const TILE_BYTES = 16384;

/**
 * The shape for rows of `headDim`, of which a kernel computes `products` multiply-adds per element.
 *
 * @throws {RangeError} If `headDim` is not a multiple of 4.
 */
export function tileShape(profile: Profile, headDim: number, products: number): TileShape {
  if (headDim % 4 !== 0) {
    throw new RangeError(
      `Attention on WebGPU reads heads in vectors of 4, but headDim is ${headDim}; ` +
        `use a multiple of 4`,
    );
  }
  const lanes = profile.subgroupSize;
  const registers = profile.class === "software" && (lanes === 4 || lanes === 8);
  const rows = powerOfTwo(UNROLLED / products / headDim, 8);
  return {
    lanes: registers ? lanes : 64,
    vectors: headDim / 4,
    rows,
    loaded: registers ? rows : Math.max(rows, powerOfTwo(TILE_BYTES / 8 / headDim, 32)),
    registers,
  };
}

/** The largest power of two up to `value` and `limit`, at least 1. */
function powerOfTwo(value: number, limit: number): number {
  return Math.min(limit, 2 ** Math.max(0, Math.floor(Math.log2(value))));
}

/** A tile of rows of one storage array. */
export interface RowTile {
  readonly storage: string;
  readonly declarations: string;
  /** Before the loop. */
  readonly prologue: string;
  /** Loads the rows from `start` on; `address` gives the first vector of a row. */
  load(address: (row: string) => string): string;
  /** vec4 `d` of row `row` of the current step. */
  vector(row: number, d: number): string;
}

/** A tile of the rows of `storage`, in registers or workgroup memory. */
export function rowTile(shape: TileShape, storage: string): RowTile {
  return shape.registers ? registerTile(shape, storage) : sharedTile(shape, storage);
}

/** Vectors are dealt to the lanes in turn: vector p is in register floor(p / lanes) of lane p % lanes. */
function registerTile({ lanes, vectors, rows }: TileShape, storage: string): RowTile {
  const registers = Math.ceil(rows * vectors / lanes);
  return {
    storage,
    declarations: "",
    prologue: unroll(
      registers,
      (r) =>
        `  let ${storage}_piece${r} = min(lane + ${r * lanes}u, ${rows * vectors - 1}u);
  let ${storage}_row${r} = ${storage}_piece${r} / ${vectors}u;
  let ${storage}_vector${r} = ${storage}_piece${r} % ${vectors}u;`,
    ),
    load: (address) =>
      unroll(registers, (r) => {
        const row = `min(start + ${storage}_row${r}, parameters.length - 1u)`;
        return `      let ${storage}_tile${r} = ${storage}[${
          address(row)
        } + ${storage}_vector${r}];`;
      }),
    vector: (row, d) => {
      const piece = row * vectors + d;
      return `subgroupBroadcast(${storage}_tile${Math.floor(piece / lanes)}, ${piece % lanes}u)`;
    },
  };
}

function sharedTile({ lanes, vectors, loaded }: TileShape, storage: string): RowTile {
  const pieces = loaded * vectors;
  return {
    storage,
    declarations: `var<workgroup> ${storage}_tile: array<vec4<f32>, ${pieces}>;`,
    prologue: "",
    load: (address) => {
      const row = `min(start + piece / ${vectors}u, parameters.length - 1u)`;
      return `      for (var piece = lane; piece < ${pieces}u; piece += ${lanes}u) {
        ${storage}_tile[piece] = ${storage}[${address(row)} + piece % ${vectors}u];
      }`;
    },
    vector: (row, d) => `${storage}_tile[within * ${vectors}u + ${row * vectors + d}u]`,
  };
}

/** A loop over rows `first` to `end`. */
export interface TileLoop {
  readonly first: string;
  readonly end: string;
  /** First vector of a row, in the storage array. */
  address(row: string): string;
  /** Code for `shape.rows` rows from `start` on; rows at `end` and beyond must be masked. */
  readonly step: string;
}

/** Loads tiles and runs the step on each. */
export function tileLoop(shape: TileShape, tiles: readonly RowTile[], loop: TileLoop): string {
  const prologue = tiles.map((tile) => tile.prologue).join("\n");
  const loads = tiles.map((tile) => tile.load(loop.address)).join("\n");
  if (shape.registers) {
    return `${prologue}
    for (var start = ${loop.first}; start < ${loop.end}; start += ${shape.rows}u) {
${loads}
${loop.step}
    }`;
  }
  return `    for (var tile = ${loop.first}; tile < ${loop.end}; tile += ${shape.loaded}u) {
      workgroupBarrier();
      { let start = tile;
${loads}
      }
      workgroupBarrier();
      for (var within = 0u; within < ${shape.loaded}u; within += ${shape.rows}u) {
        let start = tile + within;
${loop.step}
      }
    }`;
}
