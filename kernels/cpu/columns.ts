/**
 * Columns of a matrix in another order.
 *
 * @module
 */

import { type Arguments, checkGatherColumns, checkScatterColumns } from "../shapes.ts";
import { at, kernel, type KernelBuilder, type LocalsOf } from "./kernel.ts";
import type { Recorder } from "./recorder.ts";
import { perRow } from "./vectors.ts";
import { f32, i32 } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

const SELECTION = {
  input: "tensor",
  order: "tensor",
  output: "tensor",
  rows: "i32",
  columns: "i32",
  selected: "i32",
} as const;

/**
 * Runs `body` for every selected element: its own index, and the address of its column in a row of
 * `whole`; `beyond` for those whose column is not in the matrix.
 */
function forEachSelected(
  f: KernelBuilder,
  p: LocalsOf<typeof SELECTION>,
  whole: Local<"i64">,
  body: (index: Local<"i32">, place: Local<"i64">) => void,
  beyond?: (index: Local<"i32">) => void,
): void {
  perRow(f, p.rows, p.selected, (row) => {
    const start = f.let(at(whole, i32.mul(row, p.columns)));
    const first = f.let(i32.mul(row, p.selected));
    f.for(0, p.selected, 1, (c) => {
      const index = f.let(i32.add(first, c));
      const column = f.let(i32.load(at(p.order, c)));
      f.if(
        i32.ltU(column, p.columns),
        () => body(index, f.let(at(start, column))),
        beyond && (() => beyond(index)),
      );
    });
  });
}

/** `output[m, c] = input[m, order[c]]`; indices beyond the matrix give NaN. */
const gatherKernel = kernel("gatherColumns", SELECTION, (f, p) => {
  forEachSelected(
    f,
    p,
    p.input,
    (index, place) => f.do(f32.store(at(p.output, index), f32.load(place))),
    (index) => f.do(f32.store(at(p.output, index), NaN)),
  );
});

/** `output[m, order[c]] += input[m, c]`; indices beyond the matrix are passed over. */
const scatterKernel = kernel("scatterColumns", SELECTION, (f, p) => {
  forEachSelected(f, p, p.output, (index, place) => {
    f.do(f32.store(place, f32.add(f32.load(place), f32.load(at(p.input, index)))));
  });
});

/** Kernels of this file. */
export const columnKernels = [gatherKernel, scatterKernel];

/** Records {@linkcode Operations.gatherColumns}. */
export function gatherColumns(recorder: Recorder, args: Arguments<"gatherColumns">): void {
  const { M: rows, K: columns, C: selected } = checkGatherColumns(args);
  recorder.call(gatherKernel, { ...args, rows, columns, selected });
}

/** Records {@linkcode Operations.scatterColumns}. */
export function scatterColumns(recorder: Recorder, args: Arguments<"scatterColumns">): void {
  const { M: rows, K: columns, C: selected } = checkScatterColumns(args);
  recorder.call(scatterKernel, { ...args, rows, columns, selected });
}
