// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { correlatedGram, damped, heavyWeights } from "../../tests/support/correlated.ts";
import type { Matrix } from "../linalg/matrix.ts";
import { type GptqParameters, roundLayer } from "./gptq.ts";
import { encode } from "./integer_grid.ts";
import { quantizerSchema } from "./registry.ts";

Deno.test("I-5: it is Optimal Brain Surgeon, which inverts what is left of the Hessian for every column", () => {
  const [rows, columns] = [6, 40];
  const gram = correlatedGram(columns, 100, 2);
  const weights = heavyWeights(rows * columns, 2);
  const expected = obs(weights, rows, columns, damped(gram, 0.01), 3);
  const options = { method: "gptq", bits: 3, group_size: columns, block_size: 16 };
  const parameters = quantizerSchema.parse(options) as GptqParameters;
  const { codes } = roundLayer(weights, rows, columns, parameters, "layer", gram);
  assert.deepEqual([...codes], expected);
});

/** Codes of Optimal Brain Surgeon, one grid per row, straight from its formula. */
function obs(
  weights: Float32Array,
  rows: number,
  columns: number,
  hessian: Matrix,
  bits: number,
): number[] {
  const codes: number[] = [];
  for (let row = 0; row < rows; row++) {
    const w = Float64Array.from(weights.subarray(row * columns, (row + 1) * columns));
    const [low, high] = [Math.min(0, ...w), Math.max(0, ...w)];
    const scale = Math.fround((high - low) / (2 ** bits - 1));
    const grid = { scale, zero: Math.round(-low / scale) };
    for (let column = 0; column < columns; column++) {
      const left = columns - column;
      const inverse = inverseOf(
        Array.from(
          { length: left },
          (_, i) =>
            Array.from(
              { length: left },
              (_, j) => hessian.values[(column + i) * columns + column + j]!,
            ),
        ),
      );
      const code = encode(w[column]!, grid, bits);
      codes.push(code);
      const error = w[column]! - Math.fround(scale * (code - grid.zero));
      inverse[0]!.forEach((value, index) => {
        w[column + index]! -= error / inverse[0]![0]! * value;
      });
    }
  }
  return codes;
}

/** Gauss-Jordan elimination of a positive definite matrix. */
function inverseOf(source: number[][]): number[][] {
  const size = source.length;
  const rows = source.map((row, i) => [...row, ...row.map((_, j) => i === j ? 1 : 0)]);
  for (let pivot = 0; pivot < size; pivot++) {
    const scale = rows[pivot]![pivot]!;
    rows[pivot] = rows[pivot]!.map((value) => value / scale);
    rows.forEach((row, index) => {
      const factor = row[pivot]!;
      if (index !== pivot) {
        rows[index] = row.map((value, column) => value - factor * rows[pivot]![column]!);
      }
    });
  }
  return rows.map((row) => row.slice(size));
}
