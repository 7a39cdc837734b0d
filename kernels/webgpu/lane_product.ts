/**
 * Matrix products for devices of class `software` (lavapipe), where a load costs as much as dozens of
 * multiply-adds, shared memory costs as much as a load, and barriers are worse. A workgroup is one
 * subgroup; every lane owns whole columns of the output tile, loads its part of `right` for itself,
 * and gets the elements of `left` from its neighbours by `subgroupBroadcast`: each element of both
 * factors is loaded once per workgroup, in the widest loads there are. Everything inside a step of
 * the reduction is unrolled, with tiles held in named vectors.
 *
 * @module
 */

import {
  denseFactor,
  type Factor,
  type FactorNames,
  type LaneTile,
  type RightFactor,
  rightFactor,
} from "./lane_factors.ts";
import { outputStorage, readDense, startOfSum, storeFunction } from "./product_code.ts";
import type { DenseFactor, Product, SlicedProduct } from "./product_types.ts";
import type { Dispatch, KernelContext, Profile } from "./program.ts";
import { tuningOf } from "./tuning.ts";
import { component, entryPoint, range, unroll, vec4 } from "./unroll.ts";
import { dispatchOf, f32, u32 } from "./wgsl.ts";

/** Places of the reduction that are loaded and multiplied at once: one vec4 of a row. */
const PLACES = 4;

/** Whether these kernels apply. */
export function hasLaneProducts({ class: kind, subgroupSize }: Profile): boolean {
  return kind === "software" && (subgroupSize === 4 || subgroupSize === 8);
}

/** The tile for a product. */
export function laneTile(profile: Profile, { M, right }: Product): LaneTile {
  const { subgroupSize: lanes } = profile;
  const { laneRows, laneVectors, workgroups } = tuningOf(profile);
  const rows = M <= 4 ? 4 : M <= 8 ? 8 : laneRows;
  const octetsAcross = "weight" in right && !right.transposed;
  const vectors = octetsAcross ? 2 : laneVectors;
  return {
    rows,
    columns: lanes * vectors * 4,
    depth: PLACES,
    wantedWorkgroups: workgroups,
    lanes,
    vectors,
  };
}

/**
 * A product with fewer columns than a tile is computed as its transpose, whose tiles have few rows
 * instead; its output is stored transposed.
 */
export function transposeNarrow(product: Product): Product {
  const { M, N, left, right, bias } = product;
  if ("weight" in right || bias || product.addend || N > 16 || N >= M) return product;
  return {
    ...product,
    M: N,
    N: M,
    left: { tensor: right.tensor, transposed: !right.transposed },
    right: { tensor: left.tensor, transposed: !left.transposed },
    outputTransposed: !product.outputTransposed,
  };
}

/** One dispatch of the product with tiles of {@linkcode laneTile}. */
export function laneProduct(context: KernelContext, product: SlicedProduct): Dispatch {
  const { M, N, K } = product;
  const tile = laneTile(context.profile, product);
  const left = leftFactor(product.left, M, K, tile, { buffer: "left", depth: "parameters.K" });
  const right = rightFactor(product, tile);
  const vectorStores = (product.outputTransposed ? M : N) % 4 === 0;
  const step = `${left.load}\n${right.load}\n${multiply(product.left, right, tile)}`;
  const extra = addend(product, tile);
  const loop = right.block === undefined
    ? `  for (var k = first; k < last; k += ${tile.depth}u) {
${step}
  }`
    : `  for (var block = 0u; block < parameters.blocks; block++) {
${right.block}
    let blockEnd = (block + 1u) * parameters.blockColumns;
    for (var k = block * parameters.blockColumns; k < blockEnd; k += ${tile.depth}u) {
${step}
    }
  }`;
  return dispatchOf(context.profile, {
    label: `${product.label} ${left.name} ${right.name}${extra.name}`,
    storage: [
      ...left.storage,
      ...right.storage,
      ...extra.storage,
      ...outputStorage(product, vectorStores),
    ],
    uniforms: {
      M: u32(M),
      N: u32(N),
      K: u32(K),
      sliceDepth: u32(product.sliceDepth),
      scale: f32(product.scale),
      ...right.uniforms,
      ...extra.uniforms,
    },
    body: `${right.declarations}
${storeFunction(product, vectorStores)}
${
      entryPoint(
        tile.lanes,
        `  let row = group.y * ${tile.rows}u;
  let column = group.x * ${tile.columns}u + lane * ${4 * tile.vectors}u;
  let first = group.z * parameters.sliceDepth;
  let last = min(first + parameters.sliceDepth, parameters.K);
${sums(tile, product.bias !== null)}
${left.prologue}
${right.prologue}
${loop}
${extra.code}
  let offset = group.z * parameters.M * parameters.N;
${stores(product, tile, vectorStores)}`,
      )
    }`,
    workgroups: [Math.ceil(N / tile.columns), Math.ceil(M / tile.rows), product.slices],
  });
}

/** Adds a second product to the sums, in a loop of its own. */
function addend({ addend, M, N }: Product, tile: LaneTile) {
  if (!addend) return { name: "", storage: [], uniforms: {}, code: "" };
  const { K, scale } = addend;
  const depth = "parameters.addendK";
  const left = leftFactor(addend.left, M, K, tile, { buffer: "addendLeft", depth });
  const right = denseFactor(addend.right, N, K, tile, { buffer: "addendRight", depth });
  const value: RightFactor["value"] = (place, v) =>
    `parameters.addendScale * ${right.value(place, v)}`;
  return {
    name: ` + ${left.name} ${right.name}`,
    storage: [...left.storage, ...right.storage],
    uniforms: { addendK: u32(K), addendScale: f32(scale) },
    code: `  {
${left.prologue}
${right.prologue}
    let last = ${depth};
    for (var k = 0u; k < last; k += ${tile.depth}u) {
${left.load}
${right.load}
${multiply(addend.left, { ...right, value }, tile)}
    }
  }`,
  };
}

/** `sum += left right` for one step, all operands in registers. */
function multiply(left: DenseFactor, right: RightFactor, tile: LaneTile): string {
  const values = unroll(PLACES, (place) =>
    unroll(
      tile.vectors,
      (v) => `        let right${place}_${v} = ${right.value(place, v)};`,
    ));
  // Row by row, so that the sums of a row stay in machine registers for all places.
  const rows = unroll(tile.rows, (m) =>
    unroll(PLACES, (place) => {
      const piece = left.transposed ? m - m % 4 + place : m;
      const register = `left${Math.floor(piece / tile.lanes)}`;
      const element = `${register}.${component(left.transposed ? m : place)}`;
      return `        { let x = vec4<f32>(subgroupBroadcast(${element}, ${piece % tile.lanes}u));${
        range(tile.vectors).map((v) => ` sum${m}_${v} = fma(x, right${place}_${v}, sum${m}_${v});`)
          .join("")
      } }`;
    }));
  return `      {\n${values}\n${rows}\n      }`;
}

/**
 * Reads the rows of the tile at {@linkcode PLACES} places: as many vec4 pieces as rows, dealt to the
 * lanes in turn (piece p is in register floor(p / lanes) of lane p % lanes). Piece p is row p of
 * `[M, K]`; where left is stored `[K, M]`, it is place p % 4 of rows 4 floor(p / 4) and following.
 */
function leftFactor(
  left: DenseFactor,
  M: number,
  K: number,
  tile: LaneTile,
  { buffer, depth }: FactorNames,
): Factor {
  const registers = Math.ceil(tile.rows / tile.lanes);
  const piece = (r: number) => `min(lane + ${r * tile.lanes}u, ${tile.rows - 1}u)`;
  const vector = (left.transposed ? M : K) % 4 === 0;
  const common = {
    name: `${left.transposed ? "t" : "n"}${vector ? "" : "1"}`,
    storage: [readDense(buffer, left.tensor, vector)],
    uniforms: {},
    declarations: "",
  };
  if (left.transposed) {
    // Places beyond the slice are zeroed; rows beyond M are never stored.
    const load = (r: number) =>
      vector
        ? `${buffer}[(placeLeft * parameters.M + mLeft${r}) / 4u]`
        : vec4((i) =>
          `${buffer}[placeLeft * parameters.M + min(mLeft${r} + ${i}u, parameters.M - 1u)]`
        );
    return {
      ...common,
      prologue: unroll(registers, (r) => {
        const m = `row + ${piece(r)} / 4u * 4u`;
        return `  let mLeft${r} = ${vector ? `min(${m}, parameters.M - 4u)` : m};`;
      }),
      load: `      let placeLeft = k + lane % 4u;\n` +
        unroll(
          registers,
          (r) => `      let left${r} = select(vec4<f32>(), ${load(r)}, placeLeft < last);`,
        ),
    };
  }
  const load = (r: number) =>
    vector
      ? `select(vec4<f32>(), ${buffer}[(rowLeft${r} + k) / 4u], k < last)`
      : vec4((i) => `select(0.0, ${buffer}[rowLeft${r} + k + ${i}u], k + ${i}u < last)`);
  return {
    ...common,
    prologue: unroll(
      registers,
      (r) => `  let rowLeft${r} = min(row + ${piece(r)}, parameters.M - 1u) * ${depth};`,
    ),
    load: unroll(registers, (r) => `      let left${r} = ${load(r)};`),
  };
}

/** Declares the sums, starting at the bias if there is one. */
function sums(tile: LaneTile, hasBias: boolean): string {
  return unroll(
    tile.vectors,
    (v) =>
      `  let start${v} = ${startOfSum(hasBias, `column + ${4 * v}u`)};
${unroll(tile.rows, (m) => `  var sum${m}_${v} = start${v};`)}`,
  );
}

function stores({ outputTransposed }: Product, tile: LaneTile, vector: boolean): string {
  const element = (m: number, n: number) => `sum${m}_${Math.floor(n / 4)}.${component(n)}`;
  const store = (m: number, n: number, value: string) =>
    `  store(offset, row + ${m}u, column + ${n}u, ${value});`;
  const columns = 4 * tile.vectors;
  if (!vector) {
    return unroll(tile.rows, (m) => unroll(columns, (n) => store(m, n, element(m, n))));
  }
  return outputTransposed
    ? unroll(
      columns,
      (n) => unroll(tile.rows / 4, (r) => store(4 * r, n, vec4((i) => element(4 * r + i, n)))),
    )
    : unroll(tile.rows, (m) => unroll(tile.vectors, (v) => store(m, 4 * v, `sum${m}_${v}`)));
}
