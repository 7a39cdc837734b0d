/**
 * Requirements on tensors and numbers, each with its error sentence: the vocabulary in which
 * `shapes.ts` states the shapes of every operation.
 *
 * @module
 */

import type { DType, Tensor } from "./device.ts";

/** Requires dtype and exact shape. */
export function need(
  operation: string,
  name: string,
  tensor: Tensor,
  dtype: DType,
  shape: readonly number[],
): void {
  needDType(operation, name, tensor, dtype);
  if (
    tensor.shape.length !== shape.length ||
    tensor.shape.some((dimension, axis) => dimension !== shape[axis])
  ) {
    throw new RangeError(
      `${operation}: ${name} ${quote(tensor)} has shape ${show(tensor.shape)}, but ${
        show(shape)
      } is needed`,
    );
  }
}

/** Requires an element type. */
export function needDType(operation: string, name: string, tensor: Tensor, dtype: DType): void {
  if (tensor.dtype !== dtype) {
    throw new RangeError(
      `${operation}: ${name} ${quote(tensor)} holds ${tensor.dtype}, but ${dtype} is needed`,
    );
  }
}

/** Requires a number of elements, whatever the shape. */
export function needSize(
  operation: string,
  name: string,
  tensor: Tensor,
  size: number,
  why: string,
): void {
  if (tensor.size !== size) {
    throw new RangeError(
      `${operation}: ${name} ${quote(tensor)} has ${tensor.size} elements (shape ${
        show(tensor.shape)
      }), but ${size} are needed, ${why}`,
    );
  }
}

/** Requires f32 tensors of equal size and returns it. */
export function equalSizes(
  operation: string,
  tensors: Readonly<Record<string, Tensor>>,
): { size: number } {
  const [first, ...others] = Object.entries(tensors);
  if (!first) return { size: 0 };
  needDType(operation, first[0], first[1], "f32");
  for (const [name, tensor] of others) {
    needDType(operation, name, tensor, "f32");
    needSize(operation, name, tensor, first[1].size, `the size of ${first[0]}`);
  }
  return { size: first[1].size };
}

/** Requires an f32 matrix and returns its dimensions. */
export function matrix(operation: string, name: string, tensor: Tensor): [number, number] {
  needDType(operation, name, tensor, "f32");
  const [rows, columns] = tensor.shape;
  if (tensor.shape.length !== 2 || rows === undefined || columns === undefined) {
    throw new RangeError(
      `${operation}: ${name} ${quote(tensor)} has shape ${
        show(tensor.shape)
      }, but a matrix (two dimensions) is needed`,
    );
  }
  return [rows, columns];
}

/** Requires an f32 matrix with this many columns and returns its rows. */
export function rowsOf(operation: string, name: string, tensor: Tensor, columns: number): number {
  const [rows] = matrix(operation, name, tensor);
  need(operation, name, tensor, "f32", [rows, columns]);
  return rows;
}

/** Requires positive integers. */
export function positive(operation: string, values: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new RangeError(`${operation}: ${name} is ${value}; it must be a positive integer`);
    }
  }
}

/** Requires numbers that are neither infinite nor NaN. */
export function finite(operation: string, values: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (!Number.isFinite(value)) {
      throw new RangeError(`${operation}: ${name} is ${value}; pass a finite number`);
    }
  }
}

/** Requires `value` to be a multiple of `divisor`. */
export function divides(
  operation: string,
  name: string,
  divisor: number,
  ofName: string,
  value: number,
): void {
  if (value % divisor !== 0) {
    throw new RangeError(
      `${operation}: ${name}, ${divisor}, does not divide ${ofName}, ${value}`,
    );
  }
}

/** Whether a number is an unsigned 32-bit integer. */
export function isWord(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}

/** The label of a tensor as error messages show it. */
export function quote(tensor: Tensor): string {
  return `"${tensor.label}"`;
}

function show(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}
