/**
 * What an operation of the CPU device records on: kernel calls, constants and scratch memory.
 *
 * @module
 */

import type { DType, Tensor } from "../device.ts";
import type { Kernel, ParameterKind, Parameters } from "./kernel.ts";

type ValueOf<Kind extends ParameterKind> = Kind extends "tensor" ? Tensor | null : number;

/** What a call passes to a kernel. */
export type ValuesOf<P extends Parameters> = { readonly [Name in keyof P]: ValueOf<P[Name]> };

/** What operations record on. */
export interface Recorder {
  /** Appends one call of a kernel. */
  call<P extends Parameters>(kernel: Kernel<P>, values: ValuesOf<P>): void;
  /** Whether V8 packs neighbouring vectors into one of 256 bits; kernels may choose by it. */
  readonly wide: boolean;
  /** See `RecordOptions` in `device.ts`. */
  readonly independentRows: boolean;
  /** A tensor with these values, on the device once for all recordings; `values` is never changed. */
  constant(values: Float32Array): Tensor;
  /** Uninitialized memory for the results of one kernel of an operation on the way to the next. */
  scratch(dtype: DType, shape: readonly number[]): Tensor;
}
