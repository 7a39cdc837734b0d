/**
 * How the rows of attention are spread over invocations. Each invocation owns a row of one side (or,
 * with its neighbours, a part of one) and all of them read the rows of the other side from a tile. On
 * software a workgroup is a subgroup, a tile lives in its registers, dealt out over the lanes, and is
 * read by broadcast; elsewhere a tile lives in workgroup memory.
 *
 * @module
 */

import type { Profile } from "./program.ts";
import { unroll } from "./unroll.ts";

/** Sizes of one kernel. */
export interface TileShape {
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** Neighbouring invocations that share a row; vector v of the row belongs to part `v % parts`. */
  readonly parts: number;
  /** Rows that a workgroup owns, `lanes / parts`. */
  readonly owners: number;
  /** vec4s of an owned row (part) in one invocation. */
  readonly vectors: number;
  /** vec4s of a whole row, `vectors * parts`. */
  readonly rowVectors: number;
  /** Tile rows per unrolled step. */
  readonly rows: number;
  /** Tile rows loaded at once; equal to `rows` where tiles live in registers. */
  readonly loaded: number;
  /** How parts of a sum are exchanged, and where tiles live. */
  readonly memory: "registers" | "subgroups" | "workgroup";
}

/** Multiply-adds in an unrolled step with tiles in registers. */
const UNROLLED = 128;

/** Rows per step with tiles in workgroup memory; more would only lengthen compilation. */
export const SHARED_ROWS = 2;

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
  const rowVectors = headDim / 4;
  const { subgroupSize } = profile;
  if (profile.class === "software" && (subgroupSize === 4 || subgroupSize === 8)) {
    const rows = powerOfTwo(UNROLLED / products / headDim, 8);
    return {
      lanes: subgroupSize,
      parts: 1,
      owners: subgroupSize,
      vectors: rowVectors,
      rowVectors,
      rows,
      loaded: rows,
      memory: "registers",
    };
  }
  const most = profile.class === "gpu" ? 8 : 4;
  const parts = [1, 2, 4, 8, 16].filter((count) => rowVectors % count === 0)
    .find((count, index, all) => rowVectors / count <= most || index === all.length - 1) ?? 1;
  const lanes = Math.min(256, 64 * parts);
  // Two tiles, in half of the memory: the other half is for the exchange and a second workgroup.
  const fitting = powerOfTwo(profile.maxWorkgroupStorageBytes / 4 / (4 * headDim), 32);
  return {
    lanes,
    parts,
    owners: lanes / parts,
    vectors: rowVectors / parts,
    rowVectors,
    rows: SHARED_ROWS,
    loaded: Math.max(SHARED_ROWS, fitting),
    memory: profile.class === "gpu" && parts <= subgroupSize ? "subgroups" : "workgroup",
  };
}

/** The largest power of two up to `value` and `limit`, at least 1. */
function powerOfTwo(value: number, limit: number): number {
  return Math.min(limit, 2 ** Math.max(0, Math.floor(Math.log2(value))));
}

/** A tile of rows of one storage array. */
export interface RowTile {
  /** Module-level declarations. */
  readonly declarations: string;
  /** Before the loop. */
  readonly prologue: string;
  /** Loads the rows from `start` on; `address` gives the first vector of a row. */
  load(address: (row: string) => string): string;
  /** vec4 `v` of the invocation's part of row `row` of the current step. */
  vector(row: number, v: number): string;
}

/** A tile of the rows of `storage`, in registers or workgroup memory. */
export function rowTile(shape: TileShape, storage: string): RowTile {
  return shape.memory === "registers"
    ? registerTile(shape, storage)
    : workgroupTile(shape, storage);
}

/** Vectors are dealt to the lanes in turn: vector p is in register floor(p / lanes) of lane p % lanes. */
function registerTile({ lanes, rowVectors, rows }: TileShape, storage: string): RowTile {
  const registers = Math.ceil(rows * rowVectors / lanes);
  return {
    declarations: "",
    prologue: unroll(
      registers,
      (r) =>
        `  let ${storage}_piece${r} = min(lane + ${r * lanes}u, ${rows * rowVectors - 1}u);
  let ${storage}_row${r} = ${storage}_piece${r} / ${rowVectors}u;
  let ${storage}_vector${r} = ${storage}_piece${r} % ${rowVectors}u;`,
    ),
    load: (address) =>
      unroll(registers, (r) => {
        const row = `min(start + ${storage}_row${r}, parameters.length - 1u)`;
        return `      let ${storage}_tile${r} = ${storage}[${
          address(row)
        } + ${storage}_vector${r}];`;
      }),
    vector: (row, v) => {
      const piece = row * rowVectors + v;
      return `subgroupBroadcast(${storage}_tile${Math.floor(piece / lanes)}, ${piece % lanes}u)`;
    },
  };
}

function workgroupTile(shape: TileShape, storage: string): RowTile {
  const { lanes, rowVectors, loaded, parts } = shape;
  const pieces = loaded * rowVectors;
  return {
    declarations: `var<workgroup> ${storage}_tile: array<vec4<f32>, ${pieces}>;`,
    prologue: "",
    load: (address) => {
      const row = `min(start + piece / ${rowVectors}u, parameters.length - 1u)`;
      return `      for (var piece = lane; piece < ${pieces}u; piece += ${lanes}u) {
        ${storage}_tile[piece] = ${storage}[${address(row)} + piece % ${rowVectors}u];
      }`;
    },
    vector: (row, v) => `${storage}_tile[corner + ${row * rowVectors + v * parts}u]`,
  };
}

/** A loop over rows `first` to `end`. */
export interface TileLoop {
  /** WGSL expression of the first row. */
  readonly first: string;
  /** WGSL expression of the row after the last. */
  readonly end: string;
  /** First vector of a row, in the storage arrays. */
  address(row: string): string;
  /** Code for `shape.rows` rows from `start` on; rows at `end` and beyond must be masked. */
  readonly step: string;
}

/** Loads tiles and runs the step on each. */
export function tileLoop(shape: TileShape, tiles: readonly RowTile[], loop: TileLoop): string {
  const prologue = tiles.map((tile) => tile.prologue).join("\n");
  const loads = tiles.map((tile) => tile.load(loop.address)).join("\n");
  if (shape.memory === "registers") {
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
        let corner = within * ${shape.rowVectors}u + lane % ${shape.parts}u;
${loop.step}
      }
    }`;
}
