/**
 * Kernels: WebAssembly functions with named parameters. One object serves both sides: the builder of
 * the module reads its body, the host its parameters.
 *
 * A kernel is one step of a recording. All threads call it at once with the same command in memory:
 * a header and the values of the parameters. They share the work through {@linkcode KernelBuilder.tasks},
 * which hands out indices one by one; what a task computes must not depend on the thread that runs it,
 * so that results do not depend on the number of threads. The next command starts when all are done.
 *
 * @module
 */

import {
  type Expression,
  f32,
  f32x4,
  f64,
  i32,
  i64,
  type Operand,
  toExpression,
} from "./wasm/expression.ts";
import { type Callee, FunctionBuilder, type Local } from "./wasm/function.ts";
import type { ValueType } from "./wasm/expression.ts";

/** What a parameter holds: the address of a tensor (0 for none), an unsigned integer or a float. */
export type ParameterKind = "tensor" | "i32" | "f32" | "f64";

/** Names and kinds of parameters, in the order in which they lie in memory. */
export type Parameters = Readonly<Record<string, ParameterKind>>;

type LocalOf<Kind extends ParameterKind> = Kind extends "tensor" ? Local<"i64">
  : Kind extends "i32" ? Local<"i32">
  : Kind extends "f32" ? Local<"f32">
  : Local<"f64">;

/** Parameters as the body of a kernel sees them. */
export type LocalsOf<P extends Parameters> = { readonly [Name in keyof P]: LocalOf<P[Name]> };

/** A kernel: its name, its parameters and how to build its body. */
export interface Kernel<P extends Parameters = Parameters> {
  /** Unique in the catalog. */
  readonly name: string;
  readonly parameters: P;
  /** Writes the body; parameters are in locals already. */
  build(f: KernelBuilder, parameters: LocalsOf<P>): void;
}

/** Defines a kernel, with the types of its parameters inferred. */
export function kernel<const P extends Parameters>(
  name: string,
  parameters: P,
  build: (f: KernelBuilder, parameters: LocalsOf<P>) => void,
): Kernel<P> {
  return { name, parameters, build };
}

/** A function that kernels call; it is in the module once, however many call it. */
export interface SharedFunction {
  readonly parameters: readonly ValueType[];
  /** Writes the body. */
  build(f: FunctionBuilder): void;
}

/** Layout of a command in memory, in bytes. */
export const COMMAND = {
  /** u32: index of the kernel in the catalog. */
  kernel: 0,
  /** u32: bytes from this command to the next. */
  length: 4,
  /** u32: the next task that is free; 0 between replays. */
  nextTask: 8,
  /** The first parameter; each takes eight bytes. */
  parameters: 16,
} as const;

/** Bytes of one parameter in a command. */
export const PARAMETER_BYTES = 8;

/** Memory of each thread that a kernel may use as it likes, in bytes. */
export const THREAD_SCRATCH_BYTES = 4 * 2 ** 20;

/** Builds the body of a kernel. */
export class KernelBuilder extends FunctionBuilder {
  /** Address of this thread's {@linkcode THREAD_SCRATCH_BYTES} of scratch memory. */
  readonly scratch: Local<"i64">;
  readonly #command: Local<"i64">;
  readonly #resolve: (shared: SharedFunction) => Callee;

  /** The function takes the addresses of the command and of this thread's scratch memory. */
  constructor(resolve: (shared: SharedFunction) => Callee) {
    super(KERNEL_SIGNATURE);
    this.#resolve = resolve;
    this.#command = this.parameter(0, "i64");
    this.scratch = this.parameter(1, "i64");
  }

  /** Loads the parameters of a kernel into locals. */
  parameters<P extends Parameters>(parameters: P): LocalsOf<P> {
    const locals = Object.entries(parameters).map(([name, kind], index) => {
      const offset = COMMAND.parameters + PARAMETER_BYTES * index;
      return [name, this.let(LOAD[kind](this.#command, offset))];
    });
    return Object.fromEntries(locals) as LocalsOf<P>;
  }

  /** Calls a shared function. */
  callShared(shared: SharedFunction, ...operands: Expression[]): void {
    this.call(this.#resolve(shared), ...operands);
  }

  /**
   * Runs `body` for every index below `count`, each on one thread, whichever is free. Once per
   * kernel: what needs the results of all tasks is another kernel.
   */
  tasks(count: Operand<"i32">, body: (index: Local<"i32">) => void): void {
    const counter = i64.add(this.#command, COMMAND.nextTask);
    const end = this.let(toExpression("i32", count));
    const index = this.let(i32.atomic.add(counter, 1));
    this.while(i32.ltU(index, end), () => {
      body(index);
      this.set(index, i32.atomic.add(counter, 1));
    });
  }
}

/** What every kernel takes: the address of its command and of its thread's scratch memory. */
export const KERNEL_SIGNATURE = ["i64", "i64"] as const;

const LOAD = { tensor: i64.load, i32: i32.load, f32: f32.load, f64: f64.load } as const;

/** The address `bytes * index` bytes behind `base`; `index` is unsigned. */
export function at(
  base: Expression<"i64">,
  index: Operand<"i32">,
  bytes = 4,
): Expression<"i64"> {
  if (index === 0) return base;
  const distance = typeof index === "number"
    ? i64.const(bytes * index)
    : i64.mul(i64.extendU(index), bytes);
  return i64.add(base, distance);
}

/** The sum of the four lanes of a vector, pairwise. */
export function laneSum(f: FunctionBuilder, vector: Expression<"v128">): Expression<"f32"> {
  const v = f.let(vector);
  return f32.add(
    f32.add(f32x4.extract(v, 0), f32x4.extract(v, 1)),
    f32.add(f32x4.extract(v, 2), f32x4.extract(v, 3)),
  );
}
