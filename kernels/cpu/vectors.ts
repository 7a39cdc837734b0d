/**
 * Loops over contiguous floats, in vectors. A step takes two or four vectors that lie side by side,
 * which V8 joins in pairs into 256-bit instructions where it can; what is left at the end is done by
 * single vectors, of which only the lanes before the end count.
 *
 * @module
 */

import { at, type KernelBuilder } from "./kernel.ts";
import { type Expression, f32x4, i32, i32x4, type Operand, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/** Elements of one task: 64 KiB of f32, enough to hide the hand-out of tasks. */
export const ELEMENTS_PER_TASK = 16384;

/** Vectors at one place of the tensors that a loop walks along together. */
export interface Step {
  /** How many vectors of four: the same for all tensors of this step. */
  readonly vectors: number;
  /** The first element. */
  readonly index: Local<"i32">;
  /** Loads from a tensor; lanes beyond the end are 0. */
  load(tensor: Expression<"i64">): Local<"v128">[];
  /** Stores as many vectors as `load` gives; lanes beyond the end are left out. */
  store(tensor: Expression<"i64">, values: readonly Expression<"v128">[]): void;
}

/**
 * Runs `body` along the elements `from` to `to` of tensors. The body is built twice: for steps of
 * `vectors` vectors, and for single ones.
 */
export function overVectors(
  f: FunctionBuilder,
  from: Operand<"i32">,
  to: Operand<"i32">,
  vectors: 2 | 4,
  body: (step: Step) => void,
): void {
  const start = f.let(typeof from === "number" ? i32.const(from) : from);
  const end = f.let(typeof to === "number" ? i32.const(to) : to);
  const whole = f.let(i32.add(start, i32.and(i32.sub(end, start), -4 * vectors)));
  f.for(start, whole, 4 * vectors, (index) => body(wholeStep(f, index, vectors)));
  f.for(whole, end, 4, (index) => body(partialStep(f, index, i32.sub(end, index))));
}

function wholeStep(f: FunctionBuilder, index: Local<"i32">, vectors: number): Step {
  return {
    vectors,
    index,
    load: (tensor) => {
      const address = f.let(at(tensor, index));
      return Array.from({ length: vectors }, (_, i) => f.let(v128.load(address, 16 * i)));
    },
    store: (tensor, values) => {
      const address = f.let(at(tensor, index));
      const locals = values.map((value) => f.let(value));
      f.do(...locals.map((value, i) => v128.store(address, value, 16 * i)));
    },
  };
}

function partialStep(f: FunctionBuilder, index: Local<"i32">, rest: Expression<"i32">): Step {
  const count = f.let(rest);
  const mask = f.let(i32x4.gtU(i32x4.splat(count), v128.constWords([0, 1, 2, 3])));
  return {
    vectors: 1,
    index,
    load: (tensor) => [f.let(v128.and(v128.load(at(tensor, index)), mask))],
    store: (tensor, [value = f32x4.splat(0)]) => {
      storeLanes(f, f.let(at(tensor, index)), f.let(value), count);
    },
  };
}

/** Stores the first `count` lanes of a vector, all four if it has not so many. */
export function storeLanes(
  f: FunctionBuilder,
  address: Local<"i64">,
  value: Local<"v128">,
  count: Local<"i32">,
): void {
  for (let lane = 0; lane < 4; lane++) {
    f.if(i32.gtU(count, lane), () => f.do(v128.store32Lane(address, value, lane, 4 * lane)));
  }
}

/**
 * Computes `outputs` from `inputs`, tensors of equal size, element by element: `map` makes one
 * vector of every output from one of every input. All inputs of an element are read before any
 * output of it is written, so that an output may be an input.
 */
export function perElement<const Inputs extends readonly Local<"i64">[]>(
  f: KernelBuilder,
  size: Local<"i32">,
  inputs: Inputs,
  outputs: readonly Local<"i64">[],
  map: (
    values: { readonly [Index in keyof Inputs]: Local<"v128"> },
  ) => readonly Expression<"v128">[],
): void {
  const tasks = i32.shrU(i32.add(size, ELEMENTS_PER_TASK - 1), Math.log2(ELEMENTS_PER_TASK));
  f.tasks(tasks, (task) => {
    const from = f.let(i32.mul(task, ELEMENTS_PER_TASK));
    const to = i32.minU(i32.add(from, ELEMENTS_PER_TASK), size);
    overVectors(f, from, to, 2, (step) => {
      const loaded = inputs.map((input) => step.load(input));
      const results = Array.from({ length: step.vectors }, (_, i) => {
        const values = loaded.map((vectors) => vectors[i] as Local<"v128">);
        return map(values as { [Index in keyof Inputs]: Local<"v128"> }).map((v) => f.let(v));
      });
      outputs.forEach((output, o) => {
        step.store(output, results.map((values) => values[o] as Local<"v128">));
      });
    });
  });
}

/** Runs `body` for every row of a matrix, in tasks of about {@linkcode ELEMENTS_PER_TASK} elements. */
export function perRow(
  f: KernelBuilder,
  rows: Local<"i32">,
  columns: Local<"i32">,
  body: (row: Local<"i32">) => void,
): void {
  const rowsPerTask = f.let(i32.add(i32.divU(ELEMENTS_PER_TASK, columns), 1));
  f.tasks(i32.divU(i32.add(rows, i32.sub(rowsPerTask, 1)), rowsPerTask), (task) => {
    const first = f.let(i32.mul(task, rowsPerTask));
    const last = f.let(i32.minU(i32.add(first, rowsPerTask), rows));
    f.for(first, last, 1, body);
  });
}

/** New vectors of zeros. */
export function zeros(f: FunctionBuilder, count: number): Local<"v128">[] {
  return Array.from({ length: count }, () => f.let(f32x4.splat(0)));
}

/** The sum of vectors, pairwise. */
export function sumOf(vectors: readonly Expression<"v128">[]): Expression<"v128"> {
  const [first] = vectors;
  if (first === undefined) return f32x4.splat(0);
  if (vectors.length === 1) return first;
  const half = Math.ceil(vectors.length / 2);
  return f32x4.add(sumOf(vectors.slice(0, half)), sumOf(vectors.slice(half)));
}
