/**
 * Code that both kinds of matrix product generate: declarations of dense factors, the start of sums,
 * and the store of results.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import type { Product } from "./product_types.ts";
import { vec4 } from "./unroll.ts";
import type { Storage } from "./wgsl.ts";

/** A dense factor as a storage buffer of vectors or of single elements. */
export function readDense(name: string, tensor: Tensor, vector: boolean): Storage {
  return { name, tensor, access: "read", element: elementType(vector) };
}

/** The storage of the output, and of the bias if there is one. */
export function outputStorage({ bias, output }: Product, vector: boolean): Storage[] {
  const written: Storage = {
    name: "output",
    tensor: output,
    access: "read_write",
    element: elementType(vector),
  };
  return bias ? [readDense("bias", bias, false), written] : [written];
}

/** The WGSL type of one element or of four. */
export function elementType(vector: boolean): string {
  return vector ? "vec4<f32>" : "f32";
}

/** What the sums of four columns start at: their bias, or zero. */
export function startOfSum(hasBias: boolean, column: string): string {
  return hasBias ? vec4((i) => `bias[min(${column} + ${i}u, parameters.N - 1u)]`) : "vec4<f32>()";
}

/**
 * `fn store(offset, row, column, value)`: writes one element, or four along the contiguous dimension
 * of the output; nothing outside the output is touched.
 */
export function storeFunction({ outputTransposed, accumulate }: Product, vector: boolean): string {
  const type = elementType(vector);
  const element = outputTransposed ? "column * parameters.M + row" : "row * parameters.N + column";
  const value = accumulate
    ? `fma(${type}(parameters.scale), value, output[index])`
    : "parameters.scale * value";
  return `fn store(offset: u32, row: u32, column: u32, value: ${type}) {
  if (row < parameters.M && column < parameters.N) {
    let index = ${vector ? `(offset + ${element}) / 4u` : `offset + ${element}`};
    output[index] = ${value};
  }
}`;
}
