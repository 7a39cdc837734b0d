// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * The Gram matrix of the inputs of a layer, `sum over tokens of x x^T`: products in f32 on the device,
 * sums of many in float64 on the host, and a check of the result.
 *
 * Within a window of at most {@linkcode WINDOW_TOKENS} tokens (or one batch, if that is larger) sums
 * are f32, so that every entry errs by at most `n 2^-24 sum |x_i| |x_j|` for a window of n tokens
 * (Higham 2002, section 3.1), and by some `sqrt(n) 2^-24` of it in practice, because roundings cancel.
 * Beyond, sums are float64, so that this holds for any number of tokens.
 *
 * What it is in fact is measured with a random vector v: `X^T (X v)`, batch by batch, takes other
 * roundings than `(X^T X) v`. A difference above {@linkcode PROBE_TOLERANCE} is an error: a kernel or
 * a driver that computes wrongly, not rounding.
 *
 * @module
 */

import type { Device, Operations, Recording, Tensor } from "../../kernels/device.ts";
import { RandomStream } from "../../kernels/random.ts";
import { UserError } from "../errors.ts";
import { type Matrix, matrix } from "../linalg/matrix.ts";
import { readParts } from "../models/tensor_parts.ts";
import { TensorScope } from "../models/tensor_scope.ts";

/** Tokens whose products are summed in f32. */
export const WINDOW_TOKENS = 8192;

/**
 * Largest `|G v - sum X^T (X v)| / |sum X^T (X v)|` that passes, every element relative to the root
 * mean square of its feature, lest a few large features hide the others. A hundredth of the damping
 * that methods add to a Gram matrix, and over a hundred times what f32 rounding leaves.
 */
export const PROBE_TOLERANCE = 1e-4;

/** A finished Gram matrix. */
export interface Gram {
  /** `[columns, columns]`: the mean over tokens, symmetric. */
  readonly matrix: Matrix;
  /** Relative difference of the probe. */
  readonly error: number;
}

/** What one input's Gram matrix is made of, on the device and on the host. */
export class GramSum {
  readonly #name: string;
  readonly #scope: TensorScope;
  readonly #sum: Matrix;
  readonly #probe: Float32Array;
  readonly #expected: Float64Array;
  readonly #deviceProbe: Tensor;
  readonly #projected: Tensor;
  readonly #partial: Tensor;
  readonly #product: Tensor;
  readonly #clear: Recording;
  #inWindow = 0;
  #tokens = 0;

  /**
   * Allocates for batches of `tokens` inputs of `columns` features.
   *
   * @param name Of the inputs, for messages and as the key of the probe.
   */
  constructor(device: Device, name: string, tokens: number, columns: number) {
    this.#name = name;
    const scope = this.#scope = new TensorScope(device);
    this.#partial = scope.tensor("f32", [columns, columns], `Gram matrix of ${name}`);
    this.#deviceProbe = scope.tensor("f32", [1, columns], `probe of ${name}`);
    this.#projected = scope.tensor("f32", [tokens, 1], `probe of ${name}`);
    this.#product = scope.tensor("f32", [columns, 1], `probe of ${name}`);
    this.#clear = device.record("clear a Gram matrix", (operations) => {
      operations.fill({ output: this.#partial, value: 0 });
      operations.fill({ output: this.#product, value: 0 });
    });
    const random = new RandomStream(0, `probe of ${name}`);
    this.#probe = Float32Array.from({ length: columns }, (_, index) => random.normal(index));
    device.write(this.#deviceProbe, this.#probe);
    this.#sum = matrix(columns, columns);
    this.#expected = new Float64Array(columns);
  }

  /** Adds the products of a batch to the window. */
  record(operations: Operations, input: Tensor): void {
    const orientation = "tn";
    operations.matmul({
      left: input,
      right: input,
      output: this.#partial,
      orientation,
      accumulate: true,
    });
    operations.matmul({
      left: input,
      right: this.#deviceProbe,
      output: this.#projected,
      orientation: "nt",
    });
    operations.matmul({
      left: input,
      right: this.#projected,
      output: this.#product,
      orientation,
      accumulate: true,
    });
  }

  /** Counts a batch whose recording was replayed, and ends the window if it is full. */
  async added(tokens: number): Promise<void> {
    this.#inWindow += tokens;
    if (this.#inWindow + tokens > WINDOW_TOKENS) await this.#endWindow();
  }

  /**
   * The mean over all tokens.
   *
   * @throws {UserError} If an input was not finite, or the probe says that the products are wrong.
   */
  async finish(): Promise<Gram> {
    if (this.#inWindow > 0) await this.#endWindow();
    const { values, columns } = this.#sum;
    const error = this.#probeError();
    if (!(error <= PROBE_TOLERANCE)) {
      throw new UserError(
        `The device computed the Gram matrix of ${this.#name} with a relative error of ` +
          `${error.toExponential(1)}, where ${PROBE_TOLERANCE} is allowed and f32 rounding gives ` +
          `1e-6; update its driver or use another --device`,
      );
    }
    for (let row = 0; row < columns; row++) {
      for (let column = 0; column <= row; column++) {
        // A device may sum the two halves in different orders.
        const mean = (values[row * columns + column]! + values[column * columns + row]!) /
          (2 * this.#tokens);
        values[row * columns + column] = mean;
        values[column * columns + row] = mean;
      }
    }
    return { matrix: this.#sum, error };
  }

  /** Frees what is on the device. */
  release(): void {
    this.#clear.release();
    this.#scope.release();
  }

  async #endWindow(): Promise<void> {
    const { device } = this.#scope;
    let finite = true;
    const add = async (tensor: Tensor, sum: Float64Array) => {
      for await (const { first, values } of readParts(device, tensor)) {
        for (let index = 0; index < values.length; index++) {
          const value = values[index]!;
          // The difference is 0 for a finite number, else NaN.
          if (value - value !== 0) finite = false;
          sum[first + index]! += value;
        }
      }
    };
    await add(this.#partial, this.#sum.values);
    await add(this.#product, this.#expected);
    if (!finite) {
      throw new UserError(
        `The inputs of ${this.#name} are not finite on the calibration text (NaN, infinite, or so ` +
          `large that their squares overflow f32); check that the weights of the model are intact`,
      );
    }
    device.run(this.#clear);
    this.#tokens += this.#inWindow;
    this.#inWindow = 0;
  }

  #probeError(): number {
    const { values, columns } = this.#sum;
    const transposed = new Float64Array(columns);
    let difference = 0;
    let norm = 0;
    const compare = (product: number, row: number) => {
      // A feature that is always zero has an empty row.
      const square = values[row * columns + row]! || 1;
      difference += (product - this.#expected[row]!) ** 2 / square;
      norm += this.#expected[row]! ** 2 / square;
    };
    for (let row = 0; row < columns; row++) {
      let product = 0;
      for (let column = 0; column < columns; column++) {
        const value = values[row * columns + column]!;
        product += value * this.#probe[column]!;
        transposed[column]! += value * this.#probe[row]!;
      }
      compare(product, row);
    }
    // The matrix is its transpose; a wrong entry may be small in its row and large in its column.
    transposed.forEach(compare);
    // Inputs that are all zero have a Gram matrix without error.
    return difference === 0 ? 0 : Math.sqrt(difference / norm);
  }
}
