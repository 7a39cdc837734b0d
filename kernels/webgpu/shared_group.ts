/**
 * Several products with equal rows in one dispatch for hardware: layers that share an input, each with
 * its adapter, and the gradient of their input. Workgroups divide the columns of all parts among them
 * and walk through the terms of their own part; a tile is filled by the code of its term and
 * multiplied by code that all share (see `shared_product.ts`).
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import { elementType, readDense } from "./product_code.ts";
import type { DenseFactor, PackedFactor, Tile } from "./product_types.ts";
import type { Dispatch, KernelContext, Uniform } from "./program.ts";
import {
  columnOf,
  columnVectors,
  eachSum,
  fillTile,
  INVOCATIONS,
  LANE_PLACES,
  leftReader,
  multiply,
  rightReader,
  rowOf,
  sharedTile,
  tileMemory,
} from "./shared_product.ts";
import { component, entryPoint, unroll } from "./unroll.ts";
import { dispatchOf, f32, type Storage, u32 } from "./wgsl.ts";

/** `scale * left [M, K] right [K, N]`. */
export interface Term {
  /** Length of the reduction. */
  readonly K: number;
  /** `[M, K]`. */
  readonly left: DenseFactor;
  /** `[K, N]`. */
  readonly right: DenseFactor | PackedFactor;
  /** Factor on the product, if not 1. */
  readonly scale?: number;
}

/** `output [M, N] (+)= sum of terms (+ bias [N])`. */
export interface Part {
  /** Columns. */
  readonly N: number;
  /** At least one. */
  readonly terms: readonly Term[];
  /** `[M, N]`. */
  readonly output: Tensor;
  /** `[N]`. */
  readonly bias: Tensor | null;
}

/** Parts that one dispatch computes. */
export interface ProductGroup {
  /** For timing tables and error messages. */
  readonly label: string;
  /** Rows of all parts. */
  readonly M: number;
  /** At least one. */
  readonly parts: readonly Part[];
  /** Adds to the outputs instead of overwriting them. */
  readonly accumulate: boolean;
}

/** One dispatch for all parts. */
export function sharedGroup(context: KernelContext, group: ProductGroup): Dispatch {
  const { M, parts, accumulate } = group;
  const widest = Math.max(...parts.map(({ N }) => N));
  const tile = sharedTile(context.profile, { M, N: widest });
  const code = new GroupCode(group, tile);
  const tilesBefore = parts.map((_, p) =>
    parts.slice(0, p).reduce((sum, { N }) => sum + Math.ceil(N / tile.columns), 0)
  );
  const tiles = parts.reduce((sum, { N }) => sum + Math.ceil(N / tile.columns), 0);
  const uniforms: Record<string, Uniform> = { M: u32(M), ...code.uniforms };
  parts.forEach(({ N }, p) => {
    uniforms[`N${p}`] = u32(N);
    if (p > 0) uniforms[`tile${p}`] = u32(tilesBefore[p] as number);
  });
  const laterParts = parts.map((_, p) => p).slice(1);
  return dispatchOf(context.profile, {
    label: `${group.label} ${code.name}${accumulate ? " accumulate" : ""}`,
    storage: code.storage,
    uniforms,
    body: `
${tileMemory(tile)}
${code.declarations}
${
      entryPoint(
        INVOCATIONS,
        `  var part = 0u;
  var firstTile = 0u;
  var term = 0u;
  var lastTerm = ${parts[0]?.terms.length}u;
${
          laterParts.map((p) =>
            `  if (group.x >= parameters.tile${p}) {
    part = ${p}u;
    firstTile = parameters.tile${p};
    term = ${code.firstTerm(p)}u;
    lastTerm = ${code.firstTerm(p + 1)}u;
  }`
          ).join("\n")
        }
  let row = group.y * ${tile.rows}u;
  let column = (group.x - firstTile) * ${tile.columns}u;
${LANE_PLACES}
${eachSum(tile, (name) => `  var ${name} = vec4<f32>();`)}
  for (; term < lastTerm; term++) {
    let depth = ${code.depth("term")};
    for (var k = 0u; k < depth; k += ${tile.depth}u) {
      switch term {
${code.fills}
        default: {}
      }
      workgroupBarrier();
${multiply(tile)}
      workgroupBarrier();
    }
  }
${unroll(columnVectors(tile), (v) => `  let columns${v} = ${columnOf(v)};`)}
  switch part {
${code.stores}
    default: {}
  }`,
      )
    }`,
    workgroups: [tiles, Math.ceil(M / tile.rows), 1],
  });
}

/** Storage buffers that a group binds. */
export function groupBuffers(group: ProductGroup): number {
  return new GroupCode(group, { rows: 64, columns: 64, depth: 16, wantedWorkgroups: 1 })
    .storage.length;
}

/** The pieces of a group's code, with buffers that several terms read bound once. */
class GroupCode {
  readonly name: string;
  readonly storage: Storage[] = [];
  readonly uniforms: Record<string, Uniform> = {};
  readonly declarations: string;
  readonly fills: string;
  readonly stores: string;
  readonly #parts: readonly Part[];
  readonly #terms: readonly (Term & { readonly part: number; readonly N: number })[];

  constructor({ M, parts, accumulate }: ProductGroup, tile: Tile) {
    this.#parts = parts;
    this.#terms = parts.flatMap(({ terms, N }, part) =>
      terms.map((term) => ({ ...term, part, N }))
    );
    const declarations: string[] = [];
    const names: string[] = [];
    const leftNames = new Map<Tensor, string>();
    const cases = this.#terms.map(({ left, right, K, N, part, scale }, t) => {
      this.uniforms[`K${t}`] = u32(K);
      if (scale !== undefined) this.uniforms[`scale${t}`] = f32(scale);
      const depth = `parameters.K${t}`;
      const columns = `parameters.N${part}`;
      const known = leftNames.get(left.tensor);
      const leftSuffix = known ?? String(t);
      const leftNow = leftReader(left, M, K, { suffix: leftSuffix, columns, depth });
      const rightNow = rightReader(right, N, K, { suffix: String(t), columns, depth });
      if (known === undefined) {
        leftNames.set(left.tensor, leftSuffix);
        declarations.push(leftNow.declarations);
        this.storage.push(...leftNow.storage);
      }
      declarations.push(rightNow.declarations);
      this.storage.push(...rightNow.storage);
      Object.assign(this.uniforms, rightNow.uniforms);
      names.push(`${leftNow.name} ${rightNow.name}`);
      const factor = scale === undefined ? undefined : `parameters.scale${t}`;
      return `        case ${t}u: {
${fillTile("left", leftNow, left.transposed, tile, factor)}
${fillTile("right", rightNow, !right.transposed, tile)}
        }`;
    });
    const stores = parts.map((part, p) => {
      const vector = part.N % 4 === 0;
      const element = elementType(vector);
      if (part.bias) this.storage.push(readDense(`bias${p}`, part.bias, false));
      this.storage.push({
        name: `output${p}`,
        tensor: part.output,
        access: "read_write",
        element,
      });
      declarations.push(storeFunction(p, part, vector, accumulate));
      return `    case ${p}u: {
${
        eachSum(tile, (name, m, v) =>
          vector
            ? `      store${p}(${rowOf(m)}, columns${v}, ${name});`
            : unroll(4, (j) =>
              `      store${p}(${rowOf(m)}, columns${v} + ${j}u, ${name}.${component(j)});`))
      }
    }`;
    });
    this.name = names.join(", ");
    this.declarations = declarations.join("\n");
    this.fills = cases.join("\n");
    this.stores = stores.join("\n");
  }

  /** The first term of a part, counted over all parts. */
  firstTerm(part: number): number {
    return this.#parts.slice(0, part).reduce((sum, { terms }) => sum + terms.length, 0);
  }

  /** The length of a term's reduction. */
  depth(term: string): string {
    return this.#terms.reduce(
      (rest, _, t) =>
        t === 0 ? "parameters.K0" : `select(${rest}, parameters.K${t}, ${term} == ${t}u)`,
      "",
    );
  }
}

function storeFunction(p: number, { bias }: Part, vector: boolean, accumulate: boolean): string {
  const type = elementType(vector);
  const at = (i: string) => `bias${p}[column${i}]`;
  const start = !bias
    ? ""
    : vector
    ? ` + vec4<f32>(${at("")}, ${at(" + 1u")}, ${at(" + 2u")}, ${at(" + 3u")})`
    : ` + ${at("")}`;
  return `fn store${p}(row: u32, column: u32, value: ${type}) {
  if (row < parameters.M && column < parameters.N${p}) {
    let index = (row * parameters.N${p} + column)${vector ? " / 4u" : ""};
    output${p}[index] = ${accumulate ? `output${p}[index] + ` : ""}value${start};
  }
}`;
}
