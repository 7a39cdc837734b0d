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

import type { Tensor } from "../device.ts";
import { type Decoder, decoderOf, octetComponent } from "./decode.ts";
import type { Product, SlicedProduct, Tile } from "./product.ts";
import type { Dispatch, KernelContext, Profile } from "./program.ts";
import { component, entryPoint, range, unroll, vec4 } from "./unroll.ts";
import { dispatchOf, f32, type Storage, u32 } from "./wgsl.ts";

/** Tile of one subgroup. */
export interface LaneTile extends Tile {
  readonly lanes: number;
  /** Column vectors (vec4) per lane. */
  readonly vectors: number;
}

/** The tile for a product, or null where these kernels do not apply. */
export function laneTile(profile: Profile, product: Product): LaneTile | null {
  const lanes = profile.subgroupSize;
  if (profile.class !== "software" || (lanes !== 4 && lanes !== 8)) return null;
  // 512 multiply-adds per step in every case: what lavapipe's compiler takes in good time.
  const octets = "weight" in product.right && !product.right.transposed;
  const vectors = octets ? 2 : 1;
  return {
    rows: 16,
    columns: lanes * vectors * 4,
    depth: octets ? 4 : 8,
    wantedWorkgroups: 16,
    lanes,
    vectors,
  };
}

/** Code that loads one step of a factor. */
interface Factor {
  readonly name: string;
  readonly storage: readonly Storage[];
  readonly uniforms: Decoder["uniforms"];
  readonly declarations: string;
  /** Before the reduction. */
  readonly prologue: string;
  /** Before the steps of one block of equal scales; with it, the reduction is a loop over blocks. */
  readonly block?: string;
  /** Loads of the step that starts at `k`. */
  readonly step: string;
}

/** One dispatch of the product with tiles of {@linkcode laneTile}. */
export function laneProduct(
  context: KernelContext,
  product: SlicedProduct,
  tile: LaneTile,
): Dispatch {
  const { M, N, K, bias, output } = product;
  const left = leftFactor(product, tile);
  const right = rightFactor(product, tile);
  const vectorStores = N % 4 === 0;
  const loop = right.block === undefined
    ? `  for (var k = first; k < last; k += ${tile.depth}u) {
${left.step}
${right.step}
${multiply(product, tile)}
  }`
    : `  for (var block = 0u; block < parameters.blocks; block++) {
${right.block}
    let blockEnd = (block + 1u) * parameters.blockColumns;
    for (var k = block * parameters.blockColumns; k < blockEnd; k += ${tile.depth}u) {
${left.step}
${right.step}
${multiply(product, tile)}
    }
  }`;
  return dispatchOf(context.profile, {
    label: `${product.label} ${left.name}${right.name}`,
    storage: [
      ...left.storage,
      ...right.storage,
      ...(bias ? [{ name: "bias", tensor: bias, access: "read", element: "f32" } as const] : []),
      { name: "output", tensor: output, access: "read_write", element: vectorType(vectorStores) },
    ],
    uniforms: {
      M: u32(M),
      N: u32(N),
      K: u32(K),
      sliceDepth: u32(product.sliceDepth),
      scale: f32(product.scale),
      accumulate: u32(product.accumulate ? 1 : 0),
      ...right.uniforms,
    },
    body: `${right.declarations}
${storeFunction(vectorStores)}
${
      entryPoint(
        tile.lanes,
        `  let row = group.y * ${tile.rows}u;
  let column = group.x * ${tile.columns}u + lane * ${4 * tile.vectors}u;
  let first = group.z * parameters.sliceDepth;
  let last = min(first + parameters.sliceDepth, parameters.K);
${sums(tile, bias !== null)}
${left.prologue}
${right.prologue}
${loop}
${stores(tile, vectorStores)}`,
      )
    }`,
    workgroups: [
      Math.ceil(N / tile.columns),
      Math.ceil(M / tile.rows),
      product.slices,
    ],
  });
}

/** `sum += left right` for one step, all operands in registers. */
function multiply({ left }: Product, tile: LaneTile): string {
  return unroll(tile.depth, (k) =>
    unroll(tile.rows, (m) => {
      const piece = leftPiece(tile, left.transposed, m, k);
      const value = `subgroupBroadcast(left${piece.register}.${piece.component}, ${piece.lane}u)`;
      return `      { let x = vec4<f32>(${value});` +
        range(tile.vectors).map((v) => ` sum${m}_${v} = fma(x, right${k}_${v}, sum${m}_${v});`)
          .join("") +
        " }";
    }));
}

/**
 * Where the element (m, k) of the left tile is held. The tile is cut into vec4 pieces along the
 * contiguous dimension; piece p is in register floor(p / lanes) of lane p % lanes.
 */
function leftPiece(tile: LaneTile, transposed: boolean, m: number, k: number) {
  const piece = transposed ? Math.floor(m / 4) * tile.depth + k : Math.floor(k / 4) * tile.rows + m;
  return {
    register: Math.floor(piece / tile.lanes),
    lane: piece % tile.lanes,
    component: component(transposed ? m : k),
  };
}

function leftFactor({ left, M, K }: Product, tile: LaneTile): Factor {
  const registers = tile.rows * tile.depth / 4 / tile.lanes;
  const piece = (r: number) => `(${r * tile.lanes}u + lane)`;
  const vector = (left.transposed ? M : K) % 4 === 0;
  const common = {
    name: `${left.transposed ? "t" : "n"}${vector ? "" : "1"}`,
    storage: [read("left", left.tensor, vector)],
    uniforms: {},
    declarations: "",
  };
  if (left.transposed) {
    // [K, M]: pieces run along m; elements beyond K are zeroed, columns beyond M never stored.
    const load = (r: number) =>
      vector
        ? `left[kLeft${r} * (parameters.M / 4u) + mLeft${r} / 4u]`
        : vec4((i) => `left[kLeft${r} * parameters.M + min(mLeft${r} + ${i}u, parameters.M - 1u)]`);
    return {
      ...common,
      prologue: unroll(registers, (r) => {
        const m = `row + ${piece(r)} / ${tile.depth}u * 4u`;
        return vector
          ? `  let mLeft${r} = min(${m}, parameters.M - 4u);`
          : `  let mLeft${r} = ${m};`;
      }),
      step: unroll(registers, (r) =>
        `      let kLeft${r} = k + ${piece(r)} % ${tile.depth}u;
      let left${r} = select(vec4<f32>(), ${load(r)}, kLeft${r} < last);`),
    };
  }
  // [M, K]: pieces run along k.
  const load = (r: number) =>
    vector
      ? `select(vec4<f32>(), left[(rowLeft${r} + kLeft${r}) / 4u], kLeft${r} < last)`
      : vec4((i) => `select(0.0, left[rowLeft${r} + kLeft${r} + ${i}u], kLeft${r} + ${i}u < last)`);
  return {
    ...common,
    prologue: unroll(
      registers,
      (r) =>
        `  let rowLeft${r} = min(row + ${
          piece(r)
        } % ${tile.rows}u, parameters.M - 1u) * parameters.K;`,
    ),
    step: unroll(registers, (r) =>
      `      let kLeft${r} = k + ${piece(r)} / ${tile.rows}u * 4u;
      let left${r} = ${load(r)};`),
  };
}

function rightFactor(product: Product, tile: LaneTile): Factor {
  const { right } = product;
  if ("tensor" in right) {
    return right.transposed ? denseColumns(product, tile) : denseRows(product, tile);
  }
  const decoder = decoderOf(right.weight);
  return right.transposed ? packedColumns(decoder) : packedRows(decoder, tile);
}

/** Dense `[K, N]`: a lane's columns are one vec4 of every row. */
function denseRows({ right, N }: Product, tile: LaneTile): Factor {
  const vector = N % 4 === 0;
  const row = (k: number) => `min(k + ${k}u, parameters.K - 1u)`;
  const load = (k: number, v: number) =>
    vector
      ? `right[${row(k)} * (parameters.N / 4u) + columnRight${v} / 4u]`
      : vec4((i) =>
        `right[${row(k)} * parameters.N + min(columnRight${v} + ${i}u, parameters.N - 1u)]`
      );
  return {
    name: `n${vector ? "" : "1"}`,
    storage: [read("right", denseTensor(right), vector)],
    uniforms: {},
    declarations: "",
    prologue: unroll(
      tile.vectors,
      (v) =>
        vector
          ? `  let columnRight${v} = min(column + ${4 * v}u, parameters.N - 4u);`
          : `  let columnRight${v} = column + ${4 * v}u;`,
    ),
    step: unroll(
      tile.depth,
      (k) => unroll(tile.vectors, (v) => `      let right${k}_${v} = ${load(k, v)};`),
    ),
  };
}

/** Dense `[N, K]`: a lane reads four of its rows along k and transposes in registers, at no cost. */
function denseColumns({ right, K }: Product, tile: LaneTile): Factor {
  const vector = K % 4 === 0;
  const pieces = tile.depth / 4;
  const load = (j: number, p: number) =>
    vector
      ? `right[(rowRight${j} + min(k + ${4 * p}u, parameters.K - 4u)) / 4u]`
      : vec4((i) => `right[rowRight${j} + min(k + ${4 * p + i}u, parameters.K - 1u)]`);
  return {
    name: `t${vector ? "" : "1"}`,
    storage: [read("right", denseTensor(right), vector)],
    uniforms: {},
    declarations: "",
    prologue: unroll(
      4,
      (j) => `  let rowRight${j} = min(column + ${j}u, parameters.N - 1u) * parameters.K;`,
    ),
    step: unroll(4, (j) => unroll(pieces, (p) => `      let piece${j}_${p} = ${load(j, p)};`)) +
      "\n" +
      unroll(
        tile.depth,
        (k) =>
          `      let right${k}_0 = ${
            vec4((j) => `piece${j}_${Math.floor(k / 4)}.${component(k)}`)
          };`,
      ),
  };
}

/** Packed `[N, K]`, reduced along its rows: an octet of each of a lane's four columns per step. */
function packedColumns(decoder: Decoder): Factor {
  const blockwise = decoder.blockColumns % 8 === 0;
  const octet = (j: number) =>
    blockwise ? `codesAt(rowRight${j}, k / 8u)` : `weightsAt(rowRight${j}, k / 8u)`;
  const value = (k: number) => {
    const codes = vec4((j) => octetComponent(`octet${j}`, k));
    if (!blockwise) return codes;
    return decoder.hasZeros ? `scale * (${codes} - zero)` : `scale * ${codes}`;
  };
  return {
    ...packedFactor(decoder),
    name: ` ${decoder.name}t${blockwise ? "" : "4"}`,
    prologue: unroll(4, (j) => `  let rowRight${j} = min(column + ${j}u, parameters.N - 1u);`),
    ...(blockwise
      ? {
        block: `${
          unroll(
            4,
            (j) => `    let block${j} = blockAt(rowRight${j}, block * parameters.blockColumns);`,
          )
        }
    let scale = ${vec4((j) => `scaleAt(block${j})`)};
    let zero = ${vec4((j) => `zeroAt(block${j})`)};`,
      }
      : {}),
    step: unroll(4, (j) => `      let octet${j} = ${octet(j)};`) + "\n" +
      unroll(8, (k) => `      let right${k}_0 = ${value(k)};`),
  };
}

/**
 * Packed `[K, N]` (K = outputs of the layer, N = its inputs): every lane decodes its own octet of
 * each row. Where blocks are made of whole chunks of 32 columns, four lanes share a scale: lane l
 * loads the scale of row l % 4 for the chunk of lane l, and the others get it by broadcast.
 */
function packedRows(decoder: Decoder, tile: LaneTile): Factor {
  const common = {
    ...packedFactor(decoder),
    prologue: `  let octet = min(column, parameters.N - 1u) / 8u;`,
  };
  const row = (k: number | string) => `min(k + ${k}, parameters.K - 1u)`;
  if (decoder.blockColumns % 32 !== 0) {
    return {
      ...common,
      name: ` ${decoder.name}n4`,
      step: unroll(tile.depth, (k) =>
        `      let octet${k} = weightsAt(${row(`${k}u`)}, octet);
      let right${k}_0 = octet${k}.low;
      let right${k}_1 = octet${k}.high;`),
    };
  }
  const share = (name: string, k: number) =>
    tile.lanes === 4
      ? `subgroupBroadcast(${name}, ${k}u)`
      : `select(subgroupBroadcast(${name}, ${k}u), subgroupBroadcast(${name}, ${
        k + 4
      }u), lane >= 4u)`;
  const decode = (k: number, half: string) =>
    decoder.hasZeros
      ? `scale${k} * (octet${k}.${half} - zero${k})`
      : `scale${k} * octet${k}.${half}`;
  return {
    ...common,
    name: ` ${decoder.name}n`,
    step: `      let block = blockAt(${row("lane % 4u")}, octet * 8u);
      let scale = scaleAt(block);
      let zero = zeroAt(block);
${
      unroll(tile.depth, (k) =>
        `      let octet${k} = codesAt(${row(`${k}u`)}, octet);
      let scale${k} = ${share("scale", k)};
      let zero${k} = ${share("zero", k)};
      let right${k}_0 = ${decode(k, "low")};
      let right${k}_1 = ${decode(k, "high")};`)
    }`,
  };
}

function packedFactor({ storage, uniforms, declarations }: Decoder) {
  return { storage, uniforms, declarations };
}

function denseTensor(right: Product["right"]) {
  if (!("tensor" in right)) throw new TypeError("The right factor of this product is packed");
  return right.tensor;
}

function read(name: string, tensor: Tensor, vector: boolean): Storage {
  return { name, tensor, access: "read", element: vectorType(vector) };
}

function vectorType(vector: boolean): string {
  return vector ? "vec4<f32>" : "f32";
}

/** `store(...)`: adds the previous output if asked to; nothing outside the output is touched. */
function storeFunction(vector: boolean): string {
  const type = vectorType(vector);
  const index = vector
    ? "(offset + row * parameters.N + column) / 4u"
    : "offset + row * parameters.N + column";
  return `fn store(offset: u32, row: u32, column: u32, value: ${type}) {
  if (row < parameters.M && column < parameters.N) {
    let index = ${index};
    var previous = ${type}();
    if (parameters.accumulate != 0u) { previous = output[index]; }
    output[index] = fma(${type}(parameters.scale), value, previous);
  }
}`;
}

function stores(tile: LaneTile, vector: boolean): string {
  return `  let offset = group.z * parameters.M * parameters.N;\n` +
    unroll(tile.rows, (m) =>
      unroll(tile.vectors, (v) => {
        const target = (j: number) => `store(offset, row + ${m}u, column + ${4 * v + j}u, `;
        return vector
          ? `  ${target(0)}sum${m}_${v});`
          : unroll(4, (j) => `  ${target(j)}sum${m}_${v}.${component(j)});`);
      }));
}

/** Sums start at the bias, or at zero. */
function sums(tile: LaneTile, hasBias: boolean): string {
  const start = (v: number) =>
    hasBias ? vec4((j) => `bias[min(column + ${4 * v + j}u, parameters.N - 1u)]`) : "vec4<f32>()";
  return unroll(tile.vectors, (v) =>
    `  let start${v} = ${start(v)};\n` +
    unroll(tile.rows, (m) => `  var sum${m}_${v} = start${v};`));
}
