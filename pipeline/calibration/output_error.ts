/**
 * How far quantized weights move the outputs of a layer on calibration text, measured on the device:
 * a product with a Gram matrix costs as much as quantizing on the host.
 *
 * @module
 */

import type { Device, Tensor } from "../../kernels/device.ts";
import type { Matrix } from "../linalg/matrix.ts";
import { GramSlab, SLAB_ROWS } from "./gram_slab.ts";

/**
 * Squared norms `tr(D G D^T)` of matrices in the norm of one Gram matrix. Products and the sums of a
 * slab are f32, so about six digits hold; sums of slabs are float64.
 */
export class OutputNorm implements Disposable {
  readonly #slab: GramSlab;
  readonly #columns: number;
  readonly #sum: Tensor;

  /** Allocates for Gram matrices `[columns, columns]`. */
  constructor(device: Device, columns: number) {
    const output = this.#sum = device.tensor("f32", [1], "Gram matrix times a slab");
    this.#slab = new GramSlab(device, SLAB_ROWS, columns, (operations, weights, values) => {
      operations.weightedSum({ values, weights, output });
    });
    this.#columns = columns;
  }

  /** Sets the Gram matrix. */
  write(gram: Matrix): void {
    this.#slab.write(gram);
  }

  /** `tr(D G D^T)` for `D [rows, columns]`, row-major. */
  async square(difference: Float32Array): Promise<number> {
    const size = SLAB_ROWS * this.#columns;
    let square = 0;
    for (let first = 0; first < difference.length; first += size) {
      this.#slab.multiply(difference.subarray(first, first + size));
      square += (await this.#slab.device.readFloats(this.#sum))[0] ?? NaN;
    }
    return square;
  }

  /** Frees what is on the device. */
  [Symbol.dispose](): void {
    this.#slab.device.free(this.#sum);
    this.#slab[Symbol.dispose]();
  }
}

/**
 * The mean square of what a layer's outputs lose on calibration text, as a share of their own:
 * `tr(E G E^T) / tr(W G W^T)` with `E = W - Q`; 0 if the outputs are all zero.
 *
 * @param weights W, `[rows, columns]`.
 * @param quantized Q, likewise; becomes the difference.
 */
export async function outputError(
  device: Device,
  gram: Matrix,
  weights: Float32Array,
  quantized: Float32Array,
): Promise<number> {
  using norm = new OutputNorm(device, gram.columns);
  norm.write(gram);
  const total = await norm.square(weights);
  for (let index = 0; index < quantized.length; index++) {
    quantized[index] = (weights[index] as number) - (quantized[index] as number);
  }
  return total > 0 ? await norm.square(quantized) / total : 0;
}
