/**
 * Products of few rows with a weight, as generation has them: reading the weight takes all the time,
 * so that every load is as wide as it can be and decodes to as much work as there is.
 *
 * On hardware, the invocations of a workgroup divide the reduction of four columns among them. On
 * software, lanes own columns, and `left` is passed round by `subgroupBroadcast` (see
 * `lane_product.ts`).
 *
 * @module
 */

import { CHUNK, type ChunkReader, chunkReader } from "./chunk_reader.ts";
import { outputStorage, readDense } from "./product_code.ts";
import type { Product } from "./product_types.ts";
import type { Dispatch, KernelContext, Profile } from "./program.ts";
import { tuningOf } from "./tuning.ts";
import { component, entryPoint, range, unroll } from "./unroll.ts";
import { dispatchOf, f32, type Storage, u32 } from "./wgsl.ts";

/** Rows of one dispatch; code for more takes longer to compile than it saves. */
const ROWS = 4;

/** Rows that these kernels take on hardware, in two dispatches: more are as fast in tiles. */
export const MOST_ROWS: number = 2 * ROWS;

/** Rows that they take on software, where tiles of four rows waste little from three on. */
const MOST_ROWS_IN_LANES = 2;

/** Columns of a workgroup on hardware, and of a lane on software. */
const COLUMNS = 4;

/** Some rows of a product. */
interface Rows extends Product {
  readonly firstRow: number;
  readonly rows: number;
}

/** The dispatches of a product, or null where its shape or its factors do not suit. */
export function vectorProduct(context: KernelContext, product: Product): Dispatch[] | null {
  const { profile } = context;
  const { M, K, left, right, outputTransposed } = product;
  if (left.transposed || outputTransposed || K % 4 !== 0) return null;
  if (product.addend && product.addend.left.transposed) return null;
  const inLanes = profile.class === "software";
  // A dense weight has nothing to decode, and its loads are as wide in tiles.
  if (inLanes && (profile.subgroupSize !== CHUNK / 4 || !("weight" in right))) return null;
  if (M > (inLanes ? MOST_ROWS_IN_LANES : MOST_ROWS)) return null;
  const reader = chunkReader(product);
  if (!reader) return null;
  return range(Math.ceil(M / ROWS)).map((i) => {
    const firstRow = i * ROWS;
    const part = { ...product, firstRow, rows: Math.min(ROWS, M - firstRow) };
    return inLanes ? columnLanes(context, part, reader) : reductionLanes(context, part, reader);
  });
}

/** What both kernels bind and declare. */
function kernelOf(product: Rows, reader: ChunkReader) {
  const { N, K, left, scale, addend, firstRow } = product;
  const addendStorage: Storage[] = addend
    ? [
      readDense("addendLeft", addend.left.tensor, false),
      readDense("addendRight", addend.right.tensor, false),
    ]
    : [];
  return {
    label: `${product.label} vector ${reader.name}${addend ? " + adapter" : ""}`,
    storage: [
      readDense("left", left.tensor, true),
      ...reader.storage,
      ...addendStorage,
      ...outputStorage(product, false),
    ],
    uniforms: {
      firstRow: u32(firstRow),
      N: u32(N),
      K: u32(K),
      scale: f32(scale),
      steps: u32(Math.ceil(K / CHUNK)),
      ...reader.uniforms,
      ...(addend ? { addendK: u32(addend.K), addendScale: f32(addend.scale) } : {}),
    },
  };
}

/** Four values of row m of `left` from k on, zero beyond it. */
function leftAt({ K }: Product, m: number, k: string): string {
  const row = `(parameters.firstRow + ${m}u) * parameters.K`;
  if (K % CHUNK === 0) return `left[(${row} + ${k}) / 4u]`;
  return `select(vec4<f32>(), left[(${row} + min(${k}, parameters.K - 4u)) / 4u], ` +
    `${k} < parameters.K)`;
}

/** Element `[m, r]` of the addend's left factor, scaled. */
function addendLeft(m: number): string {
  return "parameters.addendScale * " +
    `addendLeft[(parameters.firstRow + ${m}u) * parameters.addendK + r]`;
}

/** Element `[r, n]` of the addend's right factor. */
function addendRight({ addend }: Product, r: string, n: string): string {
  return addend?.right.transposed
    ? `addendRight[${n} * parameters.addendK + ${r}]`
    : `addendRight[${r} * parameters.N + ${n}]`;
}

function storeFunction({ bias, accumulate }: Product): string {
  const start = bias ? "bias[column] + " : "";
  return `fn store(row: u32, column: u32, value: f32) {
  if (column >= parameters.N) { return; }
  let index = (parameters.firstRow + row) * parameters.N + column;
  let result = ${start}parameters.scale * value;
  output[index] = ${accumulate ? "output[index] + result" : "result"};
}`;
}

/** Software: every lane owns whole columns. */
function columnLanes(
  { profile }: KernelContext,
  product: Rows,
  reader: ChunkReader,
): Dispatch {
  const lanes = profile.subgroupSize;
  const { rows: M, N, addend } = product;
  const columns = COLUMNS;
  const each = (code: (m: number, j: number) => string) =>
    unroll(M, (m) => unroll(columns, (j) => code(m, j)));
  const adapter = addend
    ? `  for (var r = 0u; r < parameters.addendK; r++) {
${unroll(columns, (j) => `    let b${j} = ${addendRight(product, "r", `row${j}`)};`)}
${
      unroll(
        M,
        (m) => `    let h${m} = ${addendLeft(m)};`,
      )
    }
${each((m, j) => `    sum${m}_${j}.x = fma(h${m}, b${j}, sum${m}_${j}.x);`)}
  }`
    : "";
  return dispatchOf(profile, {
    ...kernelOf(product, reader),
    body: `${reader.declarations}
${storeFunction(product)}
${
      entryPoint(
        lanes,
        `  let column = (group.x * ${lanes}u + lane) * ${columns}u;
${unroll(columns, (j) => `  let row${j} = min(column + ${j}u, parameters.N - 1u);`)}
${each((m, j) => `  var sum${m}_${j} = vec4<f32>();`)}
  for (var step = 0u; step < parameters.steps; step++) {
    let k = step * ${CHUNK}u + lane * 4u;
${unroll(M, (m) => `    let own${m} = ${leftAt(product, m, "k")};`)}
${unroll(columns, (j) => reader.load(j, `row${j}`, "step"))}
${
          unroll(CHUNK / 4, (quarter) =>
            `    {
${
              unroll(M, (m) =>
                `      let left${m} = subgroupBroadcast(own${m}, ${quarter}u);`)
            }
${unroll(columns, (j) => `      let right${j} = ${reader.value(j, quarter)};`)}
${each((m, j) => `      sum${m}_${j} = fma(left${m}, right${j}, sum${m}_${j});`)}
    }`)
        }
  }
${adapter}
${each((m, j) => `  store(${m}u, column + ${j}u, dot(sum${m}_${j}, vec4<f32>(1.0)));`)}`,
      )
    }`,
    workgroups: [Math.ceil(N / (lanes * columns)), 1, 1],
  });
}

/** Hardware: invocations share the reduction of {@linkcode COLUMNS} columns. */
function reductionLanes(
  { profile }: KernelContext,
  product: Rows,
  reader: ChunkReader,
): Dispatch {
  const { rows: M, N, K, addend } = product;
  const lanes = laneCount(profile, K);
  const adapter = addend
    ? `  for (var r = lane; r < parameters.addendK; r += ${lanes}u) {
    let b = vec4<f32>(${
      range(COLUMNS).map((j) => addendRight(product, "r", `row${j}`)).join(", ")
    });
${
      unroll(
        M,
        (m) => `    sum${m} = fma(vec4<f32>(${addendLeft(m)}), b, sum${m});`,
      )
    }
  }`
    : "";
  return dispatchOf(profile, {
    ...kernelOf(product, reader),
    body: `${reader.declarations}
${storeFunction(product)}
${sumOverLanes(profile, lanes, M)}
${
      entryPoint(
        lanes,
        `  let column = group.x * ${COLUMNS}u;
${unroll(COLUMNS, (j) => `  let row${j} = min(column + ${j}u, parameters.N - 1u);`)}
${unroll(M, (m) => `  var sum${m} = vec4<f32>();`)}
  for (var step = lane; step < parameters.steps; step += ${lanes}u) {
${unroll(COLUMNS, (j) => reader.load(j, `row${j}`, "step"))}
${
          unroll(CHUNK / 4, (quarter) =>
            `    {
${unroll(COLUMNS, (j) => `      let right${j} = ${reader.value(j, quarter)};`)}
${
              unroll(M, (m) =>
                `      let left${m} = ${leftAt(product, m, `step * ${CHUNK}u + ${4 * quarter}u`)};
      sum${m} += vec4<f32>(${
                  range(COLUMNS).map((j) => `dot(left${m}, right${j})`).join(", ")
                });`)
            }
    }`)
        }
  }
${adapter}
${
          unroll(M, (m) =>
            `  let total${m} = sumOverLanes(${m}u, sum${m}, lane);
  if (lane == 0u) {
${unroll(COLUMNS, (j) => `    store(${m}u, column + ${j}u, total${m}.${component(j)});`)}
  }`)
        }`,
      )
    }`,
    workgroups: [Math.ceil(N / COLUMNS), 1, 1],
  });
}

/** Invocations of a workgroup: as many as there are chunks, from 32 to what was chosen. */
function laneCount(profile: Profile, K: number): number {
  const wanted = 2 ** Math.ceil(Math.log2(K / CHUNK));
  const { vectorLanes } = tuningOf(profile);
  const most = Math.min(vectorLanes, profile.maxWorkgroupInvocations);
  return Math.min(Math.max(wanted, 32, profile.subgroupSize), most);
}

/** `fn sumOverLanes(m, value, lane) -> vec4<f32>`, in a fixed order; the result is that of lane 0. */
function sumOverLanes({ subgroupSize }: Profile, lanes: number, M: number): string {
  const declare = (size: number) => `var<workgroup> lane_sums: array<vec4<f32>, ${size}>;`;
  const signature = "fn sumOverLanes(m: u32, value: vec4<f32>, lane: u32) -> vec4<f32>";
  if (subgroupSize >= lanes) return `${signature} { return subgroupAdd(value); }`;
  if (subgroupSize > 0) {
    const groups = lanes / subgroupSize;
    return `${declare(groups * M)}
${signature} {
  let partial = subgroupAdd(value);
  if (lane % ${subgroupSize}u == 0u) {
    lane_sums[m * ${groups}u + lane / ${subgroupSize}u] = partial;
  }
  workgroupBarrier();
  var total = lane_sums[m * ${groups}u];
${unroll(groups - 1, (i) => `  total += lane_sums[m * ${groups}u + ${i + 1}u];`)}
  return total;
}`;
  }
  const halves = range(Math.log2(lanes)).map((i) => lanes >> (i + 1));
  return `${declare(lanes)}
${signature} {
  workgroupBarrier();
  lane_sums[lane] = value;
  workgroupBarrier();
${
    halves.map((half) =>
      `  if (lane < ${half}u) { lane_sums[lane] += lane_sums[lane + ${half}u]; }
  workgroupBarrier();`
    ).join("\n")
  }
  return lane_sums[0];
}`;
}
