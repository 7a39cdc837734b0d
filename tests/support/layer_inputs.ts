// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Inputs of a layer as calibration gives them to methods that need more than their Gram matrix.
 *
 * @module
 */

import { RandomStream } from "../../kernels/random.ts";
import type { LayerCalibration } from "../../pipeline/calibration/layer_calibration.ts";
import { fromFloat32, type Matrix, matrix } from "../../pipeline/linalg/matrix.ts";
import { multiplyInto } from "../../pipeline/linalg/multiply.ts";

/** `[tokens, columns]`: neighbours correlate with 0.9, scales of inputs are log-normal. */
export function correlatedInputs(columns: number, tokens: number, seed: number): Float32Array {
  const stream = new RandomStream(seed, "inputs of a layer");
  const scales = new RandomStream(seed, "scales of inputs of a layer");
  const factors = Float64Array.from(
    { length: columns },
    (_, column) => Math.exp(0.5 * scales.normal(column)),
  );
  const inputs = new Float32Array(tokens * columns);
  for (let token = 0; token < tokens; token++) {
    let last = stream.normal(token * columns);
    for (let column = 0; column < columns; column++) {
      if (column > 0) {
        last = 0.9 * last + Math.sqrt(0.19) * stream.normal(token * columns + column);
      }
      inputs[token * columns + column] = factors[column]! * last;
    }
  }
  return inputs;
}

/** The mean of `x x^T` over inputs `[tokens, columns]`. */
export function gramOf(inputs: Float32Array, columns: number): Matrix {
  const tokens = inputs.length / columns;
  const x = fromFloat32(inputs, tokens, columns);
  const gram = matrix(columns, columns);
  multiplyInto(gram, x, x, { transposeLeft: true, scale: 1 / tokens });
  return gram;
}

/** Everything that calibration with these inputs knows. */
export function calibrationOf(sample: Float32Array, columns: number): LayerCalibration {
  return { gram: gramOf(sample, columns), tokens: sample.length / columns, sample };
}
