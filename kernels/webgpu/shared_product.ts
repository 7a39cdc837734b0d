/**
 * Matrix products for hardware: a workgroup copies a tile of each factor to workgroup memory (packed
 * weights are decoded once, on the way), and every invocation multiplies its own block of the output
 * tile from there. Tiles are stored with the reduction first, so that the inner step reads `vec4`s.
 *
 * @module
 */

import { decoderOf, octetComponent } from "./decode.ts";
import type { DenseFactor, PackedFactor, Product, SlicedProduct, Tile } from "./product_types.ts";
import { outputStorage, readDense, startOfSum, storeFunction } from "./product_code.ts";
import type { Dispatch, KernelContext, Profile, Uniform } from "./program.ts";
import { tuningOf } from "./tuning.ts";
import { component, entryPoint, range, unroll } from "./unroll.ts";
import { dispatchOf, f32, type Storage, u32 } from "./wgsl.ts";

/** Invocations along each side of a tile; each owns `rows / SIDE` by `columns / SIDE` outputs. */
const SIDE = 16;
const INVOCATIONS = SIDE * SIDE;

/** The tile for a product: large where the output is large enough to fill a GPU with it. */
export function sharedTile(profile: Profile, { M, N }: Product): Tile {
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
  const left = denseReader("left", product.left, product.left.transposed ? M : K);
  const right = "weight" in product.right
    ? packedReader(product.right)
    : denseReader("right", product.right, product.right.transposed ? K : N);
  // Left is stored [M, K] unless transposed, right is stored [K, N] unless transposed.
  const fillLeft = fill("left", left, product.left.transposed, "row", tile.rows, tile.depth);
  const fillRight = fill(
    "right",
    right,
    !product.right.transposed,
    "column",
    tile.columns,
    tile.depth,
  );
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
var<workgroup> leftTile: array<vec4<f32>, ${tileVectors(tile.rows, tile.depth)}>;
var<workgroup> rightTile: array<vec4<f32>, ${tileVectors(tile.columns, tile.depth)}>;
${left.declarations}
${right.declarations}
${storeFunction(product, vectorStores)}
${
      entryPoint(
        INVOCATIONS,
        `  let row = group.y * ${tile.rows}u;
  let column = group.x * ${tile.columns}u;
  let rowLane = lane / ${SIDE}u;
  let columnLane = lane % ${SIDE}u;
  let first = group.z * parameters.sliceDepth;
  let last = min(first + parameters.sliceDepth, parameters.K);
${
          unroll(tile.columns / SIDE / 4, (v) =>
            `  let columns${v} = column + (columnLane + ${v * SIDE}u) * 4u;
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
          eachSum(tile, (name, m, v) => {
            const rowOf = `row + (rowLane + ${Math.floor(m / 4) * SIDE}u) * 4u + ${m % 4}u`;
            return vectorStores
              ? `  store(offset, ${rowOf}, columns${v}, ${name});`
              : unroll(4, (j) =>
                `  store(offset, ${rowOf}, columns${v} + ${j}u, ${name}.${component(j)});`);
          })
        }`,
      )
    }`,
    workgroups: [Math.ceil(N / tile.columns), Math.ceil(M / tile.rows), product.slices],
  });
}

/** Code for every accumulator: row m (of the invocation's own) and column vector v. */
function eachSum(tile: Tile, code: (name: string, m: number, v: number) => string): string {
  return unroll(
    tile.rows / SIDE,
    (m) => unroll(tile.columns / SIDE / 4, (v) => code(`sum${m}_${v}`, m, v)),
  );
}

function multiply(tile: Tile): string {
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
interface Reader {
  readonly name: string;
  readonly storage: readonly Storage[];
  readonly uniforms: Readonly<Record<string, Uniform>>;
  /** Declares a function `<side>At(outer, inner)`: the run at (outer, inner), zero outside. */
  readonly declarations: string;
  /** Elements of a run. */
  readonly width: 4 | 8;
  /** Element i of a run, and the run's vec4s. */
  element(run: string, index: number): string;
  vectors(run: string): readonly string[];
}

function denseReader(side: "left" | "right", factor: DenseFactor, columns: number): Reader {
  const extent = side === "left" ? "M" : "N";
  const reductionOuter = (side === "left") === factor.transposed;
  const [outer, inner] = reductionOuter ? ["K", extent] : [extent, "K"];
  const vector = columns % 4 === 0;
  const load = (i: number) =>
    `select(0.0, ${side}[min(index + ${i}u, limit)], inner + ${i}u < parameters.${inner})`;
  return {
    name: `${factor.transposed ? "t" : "n"}${vector ? "" : "1"}`,
    storage: [readDense(side, factor.tensor, vector)],
    uniforms: {},
    declarations: `fn ${side}At(outer: u32, inner: u32) -> vec4<f32> {
  if (outer >= parameters.${outer} || inner >= parameters.${inner}) { return vec4<f32>(); }
  let index = outer * parameters.${inner} + inner;
${
      vector
        ? `  return ${side}[index / 4u];`
        : `  let limit = parameters.${outer} * parameters.${inner} - 1u;
  return vec4<f32>(${range(4).map(load).join(", ")});`
    }
}`,
    width: 4,
    element: (run, index) => `${run}.${component(index)}`,
    vectors: (run) => [run],
  };
}

function packedReader({ weight, transposed }: PackedFactor): Reader {
  const decoder = decoderOf(weight);
  const [outer, inner] = transposed ? ["N", "K"] : ["K", "N"];
  return {
    name: `${decoder.name}${transposed ? "t" : "n"}`,
    storage: decoder.storage,
    uniforms: decoder.uniforms,
    declarations: `${decoder.declarations}
fn rightAt(outer: u32, inner: u32) -> Octet {
  if (outer >= parameters.${outer} || inner >= parameters.${inner}) {
    return Octet(vec4<f32>(), vec4<f32>());
  }
  var run = weightsAt(outer, inner / 8u);
  if (inner + 4u >= parameters.${inner}) { run.high = vec4<f32>(); }
  return run;
}`,
    width: 8,
    element: octetComponent,
    vectors: (run) => [`${run}.low`, `${run}.high`],
  };
}

/** Copies one tile to workgroup memory, every invocation a few runs. */
function fill(
  side: "left" | "right",
  reader: Reader,
  reductionOuter: boolean,
  origin: string,
  extent: number,
  depth: number,
): string {
  const { width } = reader;
  const perOuter = (reductionOuter ? extent : depth) / width;
  const runs = extent * depth / width;
  return unroll(Math.ceil(runs / INVOCATIONS), (round) => {
    const inner = `(run % ${perOuter}u * ${width}u)`;
    const outer = `(run / ${perOuter}u)`;
    const body = reductionOuter
      ? `      let value = ${side}At(k + ${outer}, ${origin} + ${inner});
${
        reader.vectors("value").map((vector, v) =>
          `      ${side}Tile[${outer} * ${stride(extent)}u + ${inner} / 4u + ${v}u] = ${vector};`
        ).join("\n")
      }`
      : `      let value = ${side}At(${origin} + ${outer}, k + ${inner});
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
