/**
 * Sums over the rows of a matrix. Rows are divided into chunks, which depend on the shape alone; each
 * task adds up one chunk, and the partial sums are then added in the order of the chunks.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import { type Arguments, checkColumnSum } from "../shapes.ts";
import { at, kernel, type KernelBuilder } from "./kernel.ts";
import type { Recorder } from "./recorder.ts";
import { ELEMENTS_PER_TASK, overVectors, sumOf } from "./vectors.ts";
import { f32x4, i32 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/** Most chunks of rows: some per thread, and few enough that their sums are small. */
const MAX_CHUNKS = 64;

/** Rows that are added at once to what a chunk has so far. */
const ROWS_AT_ONCE = 4;

/** Columns of one task when partial sums are added. */
const COLUMNS_PER_TASK = 256;

/** Partial sums of the rows of a matrix. */
export interface Partials {
  /** `[chunks, columns]`, overwritten. */
  readonly partials: Tensor;
  /** Rows of a chunk; the last may have fewer. */
  readonly chunkRows: number;
}

/** Memory for the partial sums of a matrix `[rows, columns]`. */
export function partialSums(recorder: Recorder, rows: number, columns: number): Partials {
  const chunkRows = Math.max(
    Math.ceil(rows / MAX_CHUNKS),
    Math.ceil(ELEMENTS_PER_TASK / columns),
  );
  const partials = recorder.scratch("f32", [Math.ceil(rows / chunkRows), columns]);
  return { partials, chunkRows };
}

/** Runs `body` for every chunk, with its rows and the address of its partial sums, which are 0. */
export function overChunks(
  f: KernelBuilder,
  p: {
    readonly partials: Local<"i64">;
    readonly rows: Local<"i32">;
    readonly columns: Local<"i32">;
    readonly chunkRows: Local<"i32">;
  },
  body: (first: Local<"i32">, end: Local<"i32">, partial: Local<"i64">) => void,
): void {
  const chunks = i32.divU(i32.add(p.rows, i32.sub(p.chunkRows, 1)), p.chunkRows);
  f.tasks(chunks, (chunk) => {
    const partial = f.let(at(p.partials, i32.mul(chunk, p.columns)));
    overVectors(f, 0, p.columns, 2, ({ store, vectors }) => {
      store(partial, Array.from({ length: vectors }, () => f32x4.splat(0)));
    });
    const first = f.let(i32.mul(chunk, p.chunkRows));
    body(first, f.let(i32.minU(i32.add(first, p.chunkRows), p.rows)), partial);
  });
}

/** `partials[c] = sum over the rows of chunk c`. */
const columnSumKernel = kernel(
  "columnSum",
  { input: "tensor", partials: "tensor", rows: "i32", columns: "i32", chunkRows: "i32" },
  (f, p) => {
    overChunks(f, p, (first, end, partial) => {
      const whole = f.let(i32.add(first, i32.and(i32.sub(end, first), -ROWS_AT_ONCE)));
      f.for(first, whole, ROWS_AT_ONCE, (row) => {
        addRows(f, p.input, row, ROWS_AT_ONCE, p.columns, partial);
      });
      f.for(whole, end, 1, (row) => addRows(f, p.input, row, 1, p.columns, partial));
    });
  },
);

/** Adds `count` rows of a matrix to a row of sums. */
function addRows(
  f: FunctionBuilder,
  matrix: Local<"i64">,
  first: Local<"i32">,
  count: number,
  columns: Local<"i32">,
  sums: Local<"i64">,
): void {
  const rows = Array.from(
    { length: count },
    (_, i) => f.let(at(matrix, i32.mul(i32.add(first, i), columns))),
  );
  overVectors(f, 0, columns, 2, ({ load, store }) => {
    const loaded = rows.map((row) => load(row));
    const before = load(sums);
    store(
      sums,
      before.map((sum, i) =>
        f32x4.add(sum, sumOf(loaded.map((vectors) => vectors[i] as Local<"v128">)))
      ),
    );
  });
}

/** `output += sum over the rows of partials`. */
const addPartialsKernel = kernel(
  "addPartials",
  { partials: "tensor", output: "tensor", chunks: "i32", columns: "i32" },
  (f, p) => {
    const tasks = i32.divU(i32.add(p.columns, COLUMNS_PER_TASK - 1), COLUMNS_PER_TASK);
    f.tasks(tasks, (task) => {
      const from = f.let(i32.mul(task, COLUMNS_PER_TASK));
      const to = i32.minU(i32.add(from, COLUMNS_PER_TASK), p.columns);
      overVectors(f, from, to, 2, ({ load, store }) => {
        const sums = load(p.output);
        f.for(0, p.chunks, 1, (chunk) => {
          const partial = load(at(p.partials, i32.mul(chunk, p.columns)));
          sums.forEach((sum, i) => f.set(sum, f32x4.add(sum, partial[i] as Local<"v128">)));
        });
        store(p.output, sums);
      });
    });
  },
);

/** Kernels of this file. */
export const columnSumKernels = [columnSumKernel, addPartialsKernel];

/** Records `output [columns] += sum over chunks of partials`. */
export function addPartials(recorder: Recorder, { partials }: Partials, output: Tensor): void {
  const [chunks = 0, columns = 0] = partials.shape;
  recorder.call(addPartialsKernel, { partials, output, chunks, columns });
}

/** Records {@linkcode Operations.columnSum}. */
export function columnSum(recorder: Recorder, args: Arguments<"columnSum">): void {
  const { M: rows, N: columns } = checkColumnSum(args);
  const sums = partialSums(recorder, rows, columns);
  recorder.call(columnSumKernel, { input: args.input, ...sums, rows, columns });
  addPartials(recorder, sums, args.output);
}
