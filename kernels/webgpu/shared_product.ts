/**
 * Matrix products for hardware: a workgroup copies a tile of each factor to workgroup memory (packed
 * weights are decoded once, on the way), and every invocation multiplies its own block of the output
 * tile from there. Tiles are stored with the reduction first, so that the inner step reads `vec4`s.
 *
 * @module
 */

import { decoderOf, octetComponent, withSuffix } from "./decode.ts";
import type { DenseFactor, PackedFactor, Product, SlicedProduct, Tile } from "./product_types.ts";
import { outputStorage, readDense, startOfSum, storeFunction } from "./product_code.ts";
import type { Dispatch, KernelContext, Profile, Uniform } from "./program.ts";
import { tuningOf } from "./tuning.ts";
import { component, entryPoint, range, unroll } from "./unroll.ts";
import { dispatchOf, f32, type Storage, u32 } from "./wgsl.ts";

/** Invocations along each side of a tile; each owns `rows / SIDE` by `columns / SIDE` outputs. */
const SIDE = 16;

/** Invocations of a workgroup. */
export const INVOCATIONS: number = SIDE * SIDE;

/** The tile for a product: large where the output is large enough to fill a GPU with it. */
export function sharedTile(profile: Profile, { M, N }: Pick<Product, "M" | "N">): Tile {
  const { tileSide, tileDepth: depth, workgroups } = tuningOf(profile);
  const large = M >= 512 && N >= 512 &&
    profile.maxWorkgroupStorageBytes >= 2 * 16 * tileVectors(tileSide, depth);
  const side = large ? tileSide : 64;
  return { rows: side, columns: side, depth, wantedWorkgroups: workgroups };
}

/** Vectors of a tile in workgroup memory. */
function tileVectors(extent: number, depth: number): number {
  return depth * stride(extent);
}

/** Vectors between places of the reduction; one is unused, so that columns spread over the banks. */
function stride(extent: number): number {
  return extent / 4 + 1;
}

/** One dispatch of the product with tiles of {@linkcode sharedTile}. */
export function sharedProduct(context: KernelContext, product: SlicedProduct): Dispatch {
  const { M, N, K } = product;
  const vectorStores = N % 4 === 0;
  const tile = sharedTile(context.profile, product);
  const left = leftReader(product.left, M, K, NAMES);
  const right = rightReader(product.right, N, K, NAMES);
  // Left is stored [M, K] unless transposed, right is stored [K, N] unless transposed.
  const fillLeft = fillTile("left", left, product.left.transposed, tile);
  const fillRight = fillTile("right", right, !product.right.transposed, tile);
  return dispatchOf(context.profile, {
    label: `${product.label} ${left.name} ${right.name}`,
    storage: [
      ...left.storage,
      ...right.storage,
      ...outputStorage(product, vectorStores),
    ],
    uniforms: {
      M: u32(M),
      N: u32(N),
      K: u32(K),
      sliceDepth: u32(product.sliceDepth),
      scale: f32(product.scale),
      ...right.uniforms,
    },
    body: `
${tileMemory(tile)}
${left.declarations}
${right.declarations}
${storeFunction(product, vectorStores)}
${
      entryPoint(
        INVOCATIONS,
        `  let row = group.y * ${tile.rows}u;
  let column = group.x * ${tile.columns}u;
${LANE_PLACES}
  let first = group.z * parameters.sliceDepth;
  let last = min(first + parameters.sliceDepth, parameters.K);
${
          unroll(columnVectors(tile), (v) =>
            `  let columns${v} = ${columnOf(v)};
  let start${v} = ${startOfSum(product.bias !== null, `columns${v}`)};`)
        }
${eachSum(tile, (name, _, v) => `  var ${name} = start${v};`)}
  for (var k = first; k < last; k += ${tile.depth}u) {
${fillLeft}
${fillRight}
    workgroupBarrier();
${multiply(tile)}
    workgroupBarrier();
  }
  let offset = group.z * parameters.M * parameters.N;
${
          eachSum(tile, (name, m, v) =>
            vectorStores ? `  store(offset, ${rowOf(m)}, columns${v}, ${name});` : unroll(
              4,
              (j) => `  store(offset, ${rowOf(m)}, columns${v} + ${j}u, ${name}.${component(j)});`,
            ))
        }`,
      )
    }`,
    workgroups: [Math.ceil(N / tile.columns), Math.ceil(M / tile.rows), product.slices],
  });
}

/** Declarations of the two tiles in workgroup memory. */
export function tileMemory({ rows, columns, depth }: Tile): string {
  return `var<workgroup> leftTile: array<vec4<f32>, ${tileVectors(rows, depth)}>;
var<workgroup> rightTile: array<vec4<f32>, ${tileVectors(columns, depth)}>;`;
}

/** Where in a tile the invocation's own outputs are. */
export const LANE_PLACES = `  let rowLane = lane / ${SIDE}u;
  let columnLane = lane % ${SIDE}u;`;

/** Vectors of columns that an invocation owns. */
export function columnVectors(tile: Tile): number {
  return tile.columns / SIDE / 4;
}

/** The first column of the invocation's vector v. */
export function columnOf(v: number): string {
  return `column + (columnLane + ${v * SIDE}u) * 4u`;
}

/** The invocation's row m. */
export function rowOf(m: number): string {
  return `row + (rowLane + ${Math.floor(m / 4) * SIDE}u) * 4u + ${m % 4}u`;
}

/** Code for every accumulator: row m (of the invocation's own) and column vector v. */
export function eachSum(tile: Tile, code: (name: string, m: number, v: number) => string): string {
  return unroll(
    tile.rows / SIDE,
    (m) => unroll(tile.columns / SIDE / 4, (v) => code(`sum${m}_${v}`, m, v)),
  );
}

/** Adds the product of the two tiles to the sums. */
export function multiply(tile: Tile): string {
  return unroll(tile.depth, (k) => {
    const load = (side: string, extent: number) =>
      unroll(
        extent / SIDE / 4,
        (v) =>
          `      let ${side}${v} = ${side}Tile[${k * stride(extent) + v * SIDE}u + ${
            side === "left" ? "rowLane" : "columnLane"
          }];`,
      );
    return `    {
${load("left", tile.rows)}
${load("right", tile.columns)}
${
      eachSum(tile, (name, m, v) =>
        `      ${name} = fma(vec4<f32>(left${Math.floor(m / 4)}.${
          component(m)
        }), right${v}, ${name});`)
    }
    }`;
  });
}

/** Reads runs of consecutive elements of a factor as it is stored. */
export interface Reader {
  /** Distinguishes generated modules in labels. */
  readonly name: string;
  /** Buffers to bind. */
  readonly storage: readonly Storage[];
  /** Read as `parameters.name`. */
  readonly uniforms: Readonly<Record<string, Uniform>>;
  /** Declares the function {@linkcode Reader.at}. */
  readonly declarations: string;
  /** A function of (outer, inner): the run there, zero outside. */
  readonly at: string;
  /** Elements of a run. */
  readonly width: 4 | 8;
  /** Element i of a run. */
  element(run: string, index: number): string;
  /** The run's vec4s. */
  vectors(run: string): readonly string[];
}

/** What the code of a factor refers to. */
export interface FactorNames {
  /** Ends the names of its functions and buffers. */
  readonly suffix: string;
  /** Columns of the product. */
  readonly columns: string;
  /** Length of the reduction. */
  readonly depth: string;
}

const NAMES: FactorNames = { suffix: "", columns: "parameters.N", depth: "parameters.K" };

/** A left factor `[M, K]`. */
export function leftReader(
  factor: DenseFactor,
  M: number,
  K: number,
  { suffix, depth }: FactorNames,
): Reader {
  const dimensions = ["parameters.M", depth] as const;
  return factor.transposed
    ? denseReader(`left${suffix}`, factor, [dimensions[1], dimensions[0]], M)
    : denseReader(`left${suffix}`, factor, dimensions, K);
}

/** A right factor `[K, N]`. */
export function rightReader(
  factor: DenseFactor | PackedFactor,
  N: number,
  K: number,
  names: FactorNames,
): Reader {
  const { suffix, columns, depth } = names;
  const [outer, inner] = factor.transposed ? [columns, depth] : [depth, columns];
  return "weight" in factor
    ? packedReader(factor, [outer, inner], suffix)
    : denseReader(`right${suffix}`, factor, [outer, inner], factor.transposed ? K : N);
}

/** A dense factor stored `[outer, inner]`, with rows of `length` elements. */
function denseReader(
  buffer: string,
  factor: DenseFactor,
  [outerExtent, innerExtent]: readonly [string, string],
  length: number,
): Reader {
  const vector = length % 4 === 0;
  const load = (i: number) =>
    `select(0.0, ${buffer}[min(index + ${i}u, limit)], inner + ${i}u < ${innerExtent})`;
  return {
    name: `${factor.transposed ? "t" : "n"}${vector ? "" : "1"}`,
    storage: [readDense(buffer, factor.tensor, vector)],
    uniforms: {},
    at: `${buffer}At`,
    declarations: `fn ${buffer}At(outer: u32, inner: u32) -> vec4<f32> {
  if (outer >= ${outerExtent} || inner >= ${innerExtent}) { return vec4<f32>(); }
  let index = outer * ${innerExtent} + inner;
${
      vector
        ? `  return ${buffer}[index / 4u];`
        : `  let limit = ${outerExtent} * ${innerExtent} - 1u;
  return vec4<f32>(${range(4).map(load).join(", ")});`
    }
}`,
    width: 4,
    element: (run, index) => `${run}.${component(index)}`,
    vectors: (run) => [run],
  };
}

function packedReader(
  { weight, transposed }: PackedFactor,
  [outerExtent, innerExtent]: readonly [string, string],
  suffix: string,
): Reader {
  const decoder = withSuffix(decoderOf(weight), suffix);
  return {
    name: `${decoder.name}${transposed ? "t" : "n"}`,
    storage: decoder.storage,
    uniforms: decoder.uniforms,
    at: `right${suffix}At`,
    declarations: `${decoder.declarations}
fn right${suffix}At(outer: u32, inner: u32) -> Octet${suffix} {
  if (outer >= ${outerExtent} || inner >= ${innerExtent}) {
    return Octet${suffix}(vec4<f32>(), vec4<f32>());
  }
  var run = weightsAt${suffix}(outer, inner / 8u);
  if (inner + 4u >= ${innerExtent}) { run.high = vec4<f32>(); }
  return run;
}`,
    width: 8,
    element: octetComponent,
    vectors: (run) => [`${run}.low`, `${run}.high`],
  };
}

/** Copies one tile to workgroup memory, every invocation a few runs; `scale` multiplies dense ones. */
export function fillTile(
  side: "left" | "right",
  reader: Reader,
  reductionOuter: boolean,
  tile: Tile,
  scale?: string,
): string {
  const { width, at } = reader;
  const { depth } = tile;
  const [origin, extent] = side === "left" ? ["row", tile.rows] : ["column", tile.columns];
  const perOuter = (reductionOuter ? extent : depth) / width;
  const runs = extent * depth / width;
  const read = scale === undefined ? at : `${scale} * ${at}`;
  return unroll(Math.ceil(runs / INVOCATIONS), (round) => {
    const inner = `(run % ${perOuter}u * ${width}u)`;
    const outer = `(run / ${perOuter}u)`;
    const body = reductionOuter
      ? `      let value = ${read}(k + ${outer}, ${origin} + ${inner});
${
        reader.vectors("value").map((vector, v) =>
          `      ${side}Tile[${outer} * ${stride(extent)}u + ${inner} / 4u + ${v}u] = ${vector};`
        ).join("\n")
      }`
      : `      let value = ${read}(${origin} + ${outer}, k + ${inner});
${
        unroll(width, (i) =>
          `      ${side}Tile[(${inner} + ${i}u) * ${
            stride(extent)
          }u + ${outer} / 4u][${outer} % 4u] = ${reader.element("value", i)};`)
      }`;
    const code = `      let run = lane + ${round * INVOCATIONS}u;\n${body}`;
    return runs < INVOCATIONS
      ? `    if (lane < ${runs}u) {\n${code}\n    }`
      : `    {\n${code}\n    }`;
  });
}
