/**
 * Code that the attention kernels share: the rows an invocation owns, products with rows of a tile,
 * and sums over the parts of a row.
 *
 * @module
 */

import type { AttentionShape, Tensor } from "../device.ts";
import type { AttentionDimensions } from "../shapes.ts";
import { type RowTile, SHARED_ROWS, tileLoop, type TileShape } from "./attention_tiles.ts";
import type { Uniform } from "./program.ts";
import { range, unroll } from "./unroll.ts";
import { f32, type Storage, u32 } from "./wgsl.ts";

/** Uniforms of every attention kernel. */
export function attentionUniforms(
  shape: AttentionShape,
  { window }: AttentionDimensions,
): Record<string, Uniform> {
  return {
    length: u32(shape.length),
    heads: u32(shape.heads),
    kvHeads: u32(shape.kvHeads),
    window: u32(window),
    scale: f32(shape.scale),
  };
}

/** A tensor of heads, read as vectors. */
export function heads(name: string, tensor: Tensor, access: Storage["access"] = "read"): Storage {
  return { name, tensor, access, element: "vec4<f32>" };
}

/**
 * Declares the row of this invocation on one side: `position` in the sequence, `token` the same
 * clamped into it, `owned` the row's number in the tensor, `own` its first vector; where sequences are
 * packed, `example` as the position where its example starts.
 */
export function owner(shape: TileShape, side: "query" | "key", packed: boolean): string {
  const [head, count] = side === "query" ? ["head", "heads"] : ["keyHead", "kvHeads"];
  return `  let batch = group.z * parameters.length;
  let ${head} = group.y;
  let block = group.x * ${shape.owners}u;
  let position = block + lane / ${shape.parts}u;
  let token = min(position, parameters.length - 1u);
  let owned = (batch + token) * parameters.${count} + ${head};
  let own = owned * ${shape.rowVectors}u + lane % ${shape.parts}u;${
    packed ? "\n  let example = starts[batch + token];" : ""
  }`;
}

/** Loads the owned row of `storage` into vectors `name0`, `name1`, ... */
export function ownRow(shape: TileShape, name: string, storage: string): string {
  return unroll(
    shape.vectors,
    (v) => `  let ${name}${v} = ${storage}[own + ${v * shape.parts}u];`,
  );
}

/** Declares the vectors of a sum. */
export function zeroRow(shape: TileShape, name: string): string {
  return unroll(shape.vectors, (v) => `  var ${name}${v} = vec4<f32>();`);
}

/** Stores vectors into the owned row of `storage`; `suffix` is appended to each. */
export function storeRow(shape: TileShape, storage: string, name: string, suffix = ""): string {
  return unroll(
    shape.vectors,
    (v) => `    ${storage}[own + ${v * shape.parts}u] = ${name}${v}${suffix};`,
  );
}

/** What kernels read of packed sequences; nothing if they are not packed. */
export function startsStorage(starts: Tensor | undefined): Storage[] {
  return starts === undefined
    ? []
    : [{ name: "starts", tensor: starts, access: "read", element: "u32" }];
}

/** Loops over the keys that any query of the block sees; its first sees the earliest ones. */
export function keyLoop(
  shape: TileShape,
  tiles: readonly RowTile[],
  step: string,
  packed: boolean,
): string {
  const begin = "block + 1u - min(parameters.window, block + 1u)";
  return `  let keyHead = head * parameters.kvHeads / parameters.heads;
  let begin = ${packed ? `max(${begin}, starts[batch + block])` : begin};
  let end = min(parameters.length, block + ${shape.owners}u);
${
    tileLoop(shape, tiles, {
      first: "begin",
      end: "end",
      address: (row) => `((batch + ${row}) * parameters.kvHeads + keyHead) * ${shape.rowVectors}u`,
      step,
    })
  }`;
}

/** Whether the query `token` sees the key of tile row `row`. */
export function seesKey(row: number, packed: boolean): string {
  const own = packed ? ` && start + ${row}u >= example` : "";
  return `(start + ${row}u <= token && token < start + ${row}u + parameters.window${own})`;
}

/**
 * `var name = ` the invocation's part of the product of its vectors `own` with a row of a tile, in
 * four sums that do not wait for each other.
 */
export function dot(
  shape: TileShape,
  name: string,
  own: string,
  tile: RowTile,
  row: number,
): string {
  const terms = unroll(
    shape.vectors,
    (v) => `      ${name}_sums = fma(${own}${v}, ${tile.vector(row, v)}, ${name}_sums);`,
  );
  return `      var ${name}_sums = vec4<f32>();
${terms}
      var ${name} = (${name}_sums.x + ${name}_sums.y) + (${name}_sums.z + ${name}_sums.w);`;
}

/** `sum += factor * ` row of a tile. */
export function addScaled(
  shape: TileShape,
  sum: string,
  factor: string,
  tile: RowTile,
  row: number,
): string {
  return unroll(
    shape.vectors,
    (v) => `      ${sum}${v} = fma(vec4<f32>(${factor}), ${tile.vector(row, v)}, ${sum}${v});`,
  );
}

/** Most sums that {@linkcode addParts} takes at once. */
const MOST_SUMS = 2 * SHARED_ROWS;

/** Declarations of the tiles and of {@linkcode addParts}. */
export function attentionDeclarations(shape: TileShape, tiles: readonly RowTile[]): string {
  const exchange = shape.parts > 1 && shape.memory === "workgroup"
    ? [`var<workgroup> exchange: array<f32, ${MOST_SUMS * shape.lanes}>;`]
    : [];
  return [...tiles.map((tile) => tile.declarations), ...exchange].join("\n");
}

/** Replaces each variable by its sum over the parts of a row, the same bits in every part. */
export function addParts({ parts, memory, lanes }: TileShape, names: readonly string[]): string {
  if (parts === 1) return "";
  if (memory === "subgroups") {
    return names.flatMap((name) =>
      range(Math.log2(parts)).map((step) =>
        `      ${name} += subgroupShuffleXor(${name}, ${2 ** step}u);`
      )
    ).join("\n");
  }
  const slot = (index: number, place: string) => `exchange[${index * lanes}u + ${place}]`;
  const sum = (index: number) =>
    range(parts).map((part) => slot(index, `neighbour + ${part}u`)).join(" + ");
  return `      workgroupBarrier();
${names.map((name, index) => `      ${slot(index, "lane")} = ${name};`).join("\n")}
      workgroupBarrier();
      { let neighbour = lane - lane % ${parts}u;
${names.map((name, index) => `        ${name} = ${sum(index)};`).join("\n")}
      }`;
}
