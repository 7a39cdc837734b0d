// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Layers as calibrated methods meet them: inputs that depend on each other, some much larger than
 * others, and weights with heavy tails.
 *
 * @module
 */

import { RandomStream } from "../../kernels/random.ts";
import { type Matrix, matrix } from "../../pipeline/linalg/matrix.ts";

/** The mean of `x x^T` over `tokens` inputs: neighbours correlate with 0.9, scales are log-normal. */
export function correlatedGram(columns: number, tokens: number, seed: number): Matrix {
  const stream = new RandomStream(seed, "correlated inputs");
  const scales = new RandomStream(seed, "scales of inputs");
  const gram = matrix(columns, columns);
  const input = new Float64Array(columns);
  for (let token = 0; token < tokens; token++) {
    for (let column = 0; column < columns; column++) {
      const fresh = stream.normal(token * columns + column);
      input[column] = column === 0 ? fresh : 0.9 * input[column - 1]! + Math.sqrt(0.19) * fresh;
    }
    const scaled = input.map((value, column) => value * Math.exp(0.5 * scales.normal(column)));
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < columns; j++) {
        gram.values[i * columns + j]! += scaled[i]! * scaled[j]! / tokens;
      }
    }
  }
  return gram;
}

/** Weights from Student's t distribution with 5 degrees of freedom, times 0.02. */
export function heavyWeights(count: number, seed: number): Float32Array {
  const stream = new RandomStream(seed, "heavy weights");
  return Float32Array.from({ length: count }, (_, index) => {
    let squares = 0;
    for (let draw = 1; draw <= 5; draw++) squares += stream.normal(6 * index + draw) ** 2;
    return 0.02 * stream.normal(6 * index) / Math.sqrt(squares / 5);
  });
}

/** `tr((A - B) H (A - B)^T)`: the squared error of a layer's outputs. */
export function outputError(
  left: ArrayLike<number>,
  right: ArrayLike<number>,
  gram: Matrix,
): number {
  const { columns, values } = gram;
  let error = 0;
  for (let start = 0; start < left.length; start += columns) {
    const row = Float64Array.from(
      { length: columns },
      (_, j) => left[start + j]! - right[start + j]!,
    );
    for (let i = 0; i < columns; i++) {
      let sum = 0;
      for (let j = 0; j < columns; j++) sum += values[i * columns + j]! * row[j]!;
      error += row[i]! * sum;
    }
  }
  return error;
}

/** A Gram matrix with a multiple of the mean of its diagonal added to the diagonal. */
export function damped(gram: Matrix, damping: number): Matrix {
  const { rows: size, values } = gram;
  let mean = 0;
  for (let index = 0; index < size; index++) mean += values[index * (size + 1)]! / size;
  return matrix(
    size,
    size,
    values.map((value, index) => index % (size + 1) === 0 ? value + damping * mean : value),
  );
}
