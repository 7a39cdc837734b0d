/**
 * The inner loops of products in float64, as a WebAssembly module that is emitted and compiled when the
 * first product is computed.
 *
 * As in the kernels of the CPU device, a tile of 6 rows stays in registers while k runs: of 16 vector
 * registers, twelve hold sums, two the right factor and one a broadcast of the left. With vectors of
 * 128 bits a tile has 4 columns and runs twice over a panel of 8; where V8 packs neighbouring vectors
 * it has 8. Both add the products of one result in the same order, k upward.
 *
 * @module
 */

import { usesWideVectors } from "../../kernels/cpu/wide_vectors.ts";
import { type Expression, f64x2, i32, v128 } from "../../kernels/cpu/wasm/expression.ts";
import type { Callee, FunctionBuilder, Local } from "../../kernels/cpu/wasm/function.ts";
import { ModuleBuilder, PAGE_BYTES } from "../../kernels/cpu/wasm/module.ts";

/** Rows of a tile: lanes of a packed tile of the left factor. */
export const TILE_ROWS = 6;

/** Columns of a panel: lanes of a packed panel of the right factor. */
export const PANEL_COLUMNS = 8;

/** Most rows of a packed block of the left factor; with {@linkcode BLOCK_DEPTH} it fits in L2. */
export const BLOCK_ROWS = 96;

/** Most columns of a packed block of the right factor. */
export const BLOCK_COLUMNS = 1024;

/** Most steps of k of packed blocks; one tile and one panel fit in L1. */
export const BLOCK_DEPTH = 256;

const BYTES = Float64Array.BYTES_PER_ELEMENT;
const TILE_STRIDE = BYTES * TILE_ROWS;
const PANEL_STRIDE = BYTES * PANEL_COLUMNS;

/** Steps of k per turn of the loop. */
const UNROLL = 4;

/** The memory of the module, and the product of packed blocks in it. */
export interface ProductKernel {
  /** Tiles of the left factor, one after another, each `[depth, 6]`. */
  readonly left: Float64Array;
  /** Panels of the right factor, one after another, each `[depth, 8]`. */
  readonly right: Float64Array;
  /** The product, `[6 * tiles, 8 * panels]` row by row. */
  readonly output: Float64Array;
  /**
   * Overwrites {@linkcode ProductKernel.output} with the product of the packed left factor and of the
   * panels that begin at element `from` of the right one; default 0.
   */
  multiply(tiles: number, panels: number, depth: number, from?: number): void;
}

let module: WebAssembly.Module | undefined;
let kernel: ProductKernel | undefined;

/** The kernel that products of this process share, with room for one block of each factor. */
export function productKernel(): ProductKernel {
  return kernel ??= createKernel(BLOCK_COLUMNS * BLOCK_DEPTH);
}

/** A kernel with a memory of its own, which holds `rightSize` elements of packed panels. */
export function createKernel(rightSize: number): ProductKernel {
  const sizes = [BLOCK_ROWS * BLOCK_DEPTH, rightSize, BLOCK_ROWS * BLOCK_COLUMNS];
  const pages = Math.ceil(BYTES * sizes.reduce((sum, size) => sum + size) / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  let end = 0;
  const [left, right, output] = sizes.map((size) => {
    const part = new Float64Array(memory.buffer, end, size);
    end += part.byteLength;
    return part;
  }) as [Float64Array, Float64Array, Float64Array];
  module ??= new WebAssembly.Module(emit(usesWideVectors() ? 4 : 2));
  const { exports } = new WebAssembly.Instance(module, { host: { memory } });
  const run = exports["multiply"] as (...operands: number[]) => void;
  return {
    ...{ left, right, output },
    multiply: (tiles, panels, depth, from = 0) =>
      run(
        left.byteOffset,
        tiles,
        right.byteOffset + BYTES * from,
        panels,
        depth,
        output.byteOffset,
      ),
  };
}

/** The module: `multiply(left, tiles, right, panels, depth, output)`, addresses in bytes. */
function emit(vectors: 2 | 4): Uint8Array<ArrayBuffer> {
  const module = new ModuleBuilder({ memory64: false });
  const tiles = PANEL_COLUMNS / 2 / vectors;
  const columns = Array.from(
    { length: tiles },
    (_, index) => tileFunction(module, index * vectors, vectors),
  );
  const parameters = Array.from({ length: 6 }, () => "i32" as const);
  const multiply = module.function({ parameters }, (f) => {
    const [left, tiles, right, panels, depth, output] = parameters.map((type, index) =>
      f.parameter(index, type)
    ) as [I32, I32, I32, I32, I32, I32];
    const stride = f.let(i32.mul(panels, PANEL_STRIDE));
    const panel = f.let<"i32">(right);
    f.for(0, panels, 1, (j) => {
      const tile = f.let<"i32">(left);
      const target = f.let(i32.add(output, i32.mul(j, PANEL_STRIDE)));
      f.for(0, tiles, 1, () => {
        for (const callee of columns) f.call(callee, tile, panel, depth, target, stride);
        f.set(tile, i32.add(tile, i32.mul(depth, TILE_STRIDE)));
        f.set(target, i32.add(target, i32.mul(stride, TILE_ROWS)));
      });
      f.set(panel, i32.add(panel, i32.mul(depth, PANEL_STRIDE)));
    });
  });
  module.export("multiply", multiply);
  return module.build();
}

type I32 = Local<"i32">;

/** `tile(left, panel, depth, output, outputStride)`: columns `2 * first` and on of one tile. */
function tileFunction(module: ModuleBuilder, first: number, vectors: number): Callee {
  return module.function({ parameters: ["i32", "i32", "i32", "i32", "i32"] }, (f) => {
    const left = f.let<"i32">(f.parameter(0, "i32"));
    const panel = f.let<"i32">(f.parameter(1, "i32"));
    const depth = f.parameter(2, "i32");
    const sums = Array.from(
      { length: TILE_ROWS },
      () => Array.from({ length: vectors }, () => f.let(v128.constWords([0, 0, 0, 0]))),
    );
    const right = Array.from({ length: vectors }, () => f.local("v128"));
    const broadcast = f.local("v128");

    function steps(count: number): void {
      for (let turn = 0; turn < count; turn++) {
        right.forEach((vector, j) => {
          f.set(vector, v128.load(panel, turn * PANEL_STRIDE + 16 * (first + j)));
        });
        sums.forEach((row, i) => {
          f.set(broadcast, v128.load64Splat(left, turn * TILE_STRIDE + BYTES * i));
          row.forEach((sum, j) => {
            f.set(sum, f64x2.relaxedMadd(broadcast, right[j] as Local<"v128">, sum));
          });
        });
      }
      f.set(left, i32.add(left, count * TILE_STRIDE));
      f.set(panel, i32.add(panel, count * PANEL_STRIDE));
    }
    const whole = f.let(i32.and(depth, -UNROLL));
    f.for(0, whole, UNROLL, () => steps(UNROLL));
    f.for(whole, depth, 1, () => steps(1));
    store(f, sums, first, f.parameter(3, "i32"), f.parameter(4, "i32"));
  });
}

function store(
  f: FunctionBuilder,
  sums: readonly Local<"v128">[][],
  first: number,
  output: Expression<"i32">,
  stride: Expression<"i32">,
): void {
  const row = f.let(output);
  for (const vectors of sums) {
    vectors.forEach((sum, j) => f.do(v128.store(row, sum, 16 * (first + j))));
    f.set(row, i32.add(row, stride));
  }
}
