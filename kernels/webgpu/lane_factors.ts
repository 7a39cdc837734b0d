/**
 * How a lane reads its columns of the right factor of a product (see `lane_product.ts`), for every
 * way in which that factor is stored.
 *
 * @module
 */

import { decoded, type Decoder, decoderOf } from "./decode.ts";
import type { DenseFactor, PackedFactor, Product, Tile } from "./product_types.ts";
import { readDense } from "./product_code.ts";
import type { Uniform } from "./program.ts";
import { component, unroll, vec4 } from "./unroll.ts";
import type { Storage } from "./wgsl.ts";

/** What a factor's code refers to. */
export interface FactorNames {
  /** The buffer of a dense factor. */
  readonly buffer: string;
  /** The length of the reduction. */
  readonly depth: string;
}

/** Output tile of one subgroup. */
export interface LaneTile extends Tile {
  /** Lanes of the subgroup. */
  readonly lanes: number;
  /** Column vectors (vec4) per lane. */
  readonly vectors: number;
}

/** Code that reads a factor, one step of the reduction at a time. */
export interface Factor {
  /** Distinguishes generated modules in labels. */
  readonly name: string;
  /** Buffers to bind. */
  readonly storage: readonly Storage[];
  /** Read as `parameters.name`. */
  readonly uniforms: Readonly<Record<string, Uniform>>;
  /** Functions. */
  readonly declarations: string;
  /** Before the reduction. */
  readonly prologue: string;
  /** Loads of the four places from `k` on. */
  readonly load: string;
}

/** A right factor. */
export interface RightFactor extends Factor {
  /** Before the steps of one block of equal scales; with it, the reduction is a loop over blocks. */
  readonly block?: string;
  /** Expression of column vector `v` at place `k + place`. */
  value(place: number, v: number): string;
}

/** The code for the right factor of a product. */
export function rightFactor({ right, N, K }: Product, tile: LaneTile): RightFactor {
  if (!("weight" in right)) {
    return denseFactor(right, N, K, tile, { buffer: "right", depth: "parameters.K" });
  }
  return right.transposed ? packedColumns(right, tile) : packedRows(right, tile);
}

/** The code for a dense right factor `[K, N]`. */
export function denseFactor(
  factor: DenseFactor,
  N: number,
  K: number,
  tile: LaneTile,
  names: FactorNames,
): RightFactor {
  return factor.transposed
    ? denseColumns(factor, K % 4 === 0, tile, names)
    : denseRows(factor, N % 4 === 0, tile, names);
}

/** Dense `[K, N]`: a lane's columns are vectors of every row. */
function denseRows(
  { tensor }: DenseFactor,
  vector: boolean,
  tile: LaneTile,
  { buffer, depth }: FactorNames,
): RightFactor {
  const row = (k: number) => `min(k + ${k}u, ${depth} - 1u) * parameters.N`;
  const load = (k: number, v: number) =>
    vector
      ? `${buffer}[(${row(k)} + columnRight${v}) / 4u]`
      : vec4((i) => `${buffer}[${row(k)} + min(columnRight${v} + ${i}u, parameters.N - 1u)]`);
  return {
    name: `n${vector ? "" : "1"}`,
    storage: [readDense(buffer, tensor, vector)],
    uniforms: {},
    declarations: "",
    prologue: unroll(tile.vectors, (v) => {
      const column = `column + ${4 * v}u`;
      return `  let columnRight${v} = ${vector ? `min(${column}, parameters.N - 4u)` : column};`;
    }),
    load: unroll(
      4,
      (place) => unroll(tile.vectors, (v) => `      let row${place}_${v} = ${load(place, v)};`),
    ),
    value: (place, v) => `row${place}_${v}`,
  };
}

/** Dense `[N, K]`: a lane reads its columns along k and transposes in registers, at no cost. */
function denseColumns(
  { tensor }: DenseFactor,
  vector: boolean,
  tile: LaneTile,
  { buffer, depth }: FactorNames,
): RightFactor {
  const columns = 4 * tile.vectors;
  const load = (j: number) =>
    vector
      ? `${buffer}[(rowRight${j} + min(k, ${depth} - 4u)) / 4u]`
      : vec4((i) => `${buffer}[rowRight${j} + min(k + ${i}u, ${depth} - 1u)]`);
  return {
    name: `t${vector ? "" : "1"}`,
    storage: [readDense(buffer, tensor, vector)],
    uniforms: {},
    declarations: "",
    prologue: unroll(columns, (j) => `  let rowRight${j} = ${ownColumn(j)} * ${depth};`),
    load: unroll(columns, (j) => `      let piece${j} = ${load(j)};`),
    value: (place, v) => vec4((j) => `piece${4 * v + j}.${component(place)}`),
  };
}

/** Packed `[N, K]`, reduced along its rows, block by block: half an octet of each column per step. */
function packedColumns({ weight }: PackedFactor, tile: LaneTile): RightFactor {
  const decoder = decoderOf(weight);
  const columns = 4 * tile.vectors;
  const ofBlocks = (v: number) =>
    decoder.blockValues.map(([name, load]) =>
      `    let ${name}${v} = ${vec4((j) => load(`block${4 * v + j}`))};`
    ).join("\n");
  return {
    ...common(decoder),
    name: `${decoder.name} t`,
    prologue: unroll(columns, (j) => `  let rowRight${j} = ${ownColumn(j)};`),
    block: `${
      unroll(
        columns,
        (j) => `    let block${j} = blockAt(rowRight${j}, block * parameters.blockColumns);`,
      )
    }
${unroll(tile.vectors, ofBlocks)}`,
    load: unroll(columns, (j) => `      let words${j} = wordsAt(rowRight${j}, k / 8u);`),
    value: (place, v) => {
      const words = (half: string) =>
        `vec4<u32>(${[0, 1, 2, 3].map((j) => `words${4 * v + j}.${half}`).join(", ")})`;
      const codes = `codesOf(${words("x")}, ${words("y")}, vec4<u32>(k % 8u + ${place}u))`;
      return decoded(decoder, codes, v);
    },
  };
}

/**
 * Packed `[K, N]` (K = outputs of the layer, N = its inputs): every lane decodes its own octet of
 * each row. Where blocks are made of whole chunks of 32 columns, four lanes share a scale: lane l
 * loads the scale of row l % 4 for the chunk of lane l, and the others get it by broadcast.
 */
function packedRows({ weight }: PackedFactor, tile: LaneTile): RightFactor {
  const decoder = decoderOf(weight);
  const row = (k: string) => `min(k + ${k}, parameters.K - 1u)`;
  const prologue = `  let octet = min(column, parameters.N - 1u) / 8u;`;
  if (decoder.blockColumns % 32 !== 0) {
    return {
      ...common(decoder),
      name: `${decoder.name} n4`,
      prologue,
      load: unroll(4, (k) => `      let octet${k} = weightsAt(${row(`${k}u`)}, octet);`),
      value: (k, v) => `octet${k}.${v === 0 ? "low" : "high"}`,
    };
  }
  const share = (name: string, k: number) =>
    tile.lanes === 4
      ? `subgroupBroadcast(${name}, ${k}u)`
      : `select(subgroupBroadcast(${name}, ${k}u), subgroupBroadcast(${name}, ${
        k + 4
      }u), lane >= 4u)`;
  return {
    ...common(decoder),
    name: `${decoder.name} n`,
    prologue,
    load: `      let block = blockAt(${row("lane % 4u")}, octet * 8u);
${decoder.blockValues.map(([name, load]) => `      let ${name} = ${load("block")};`).join("\n")}
${
      unroll(4, (k) =>
        [
          `      let words${k} = wordsAt(${row(`${k}u`)}, octet);`,
          ...decoder.blockValues.map(([name]) => `      let ${name}${k} = ${share(name, k)};`),
        ].join("\n"))
    }`,
    value: (k, v) => {
      const places = [0, 1, 2, 3].map((i) => `${4 * v + i}u`).join(", ");
      const codes = `codesOf(vec4<u32>(words${k}.x), vec4<u32>(words${k}.y), vec4<u32>(${places}))`;
      return decoded(decoder, codes, k);
    },
  };
}

/** The lane's column j, clamped into the factor. */
function ownColumn(j: number): string {
  return `min(column + ${j}u, parameters.N - 1u)`;
}

function common({ storage, uniforms, declarations }: Decoder) {
  return { storage, uniforms, declarations };
}
