/**
 * How far quantized weights move the outputs of a layer on calibration text, measured on the device:
 * a product with a Gram matrix costs as much as quantizing on the host.
 *
 * @module
 */

import type { Device, Recording, Tensor } from "../../kernels/device.ts";
import type { Matrix } from "../linalg/matrix.ts";
import { parts } from "../models/tensor_parts.ts";
import { TensorScope } from "../models/tensor_scope.ts";

/** Outputs that are multiplied at a time. */
const SLAB_ROWS = 256;

/**
 * Squared norms `tr(D G D^T)` of matrices in the norm of one Gram matrix. Products and the sums of a
 * slab are f32, so about six digits hold; sums of slabs are float64.
 */
export class OutputNorm implements Disposable {
  readonly #scope: TensorScope;
  readonly #columns: number;
  readonly #slab: Tensor;
  readonly #sum: Tensor;
  readonly #recording: Recording;
  readonly #gram: Tensor;

  /** Allocates for Gram matrices `[columns, columns]`. */
  constructor(device: Device, columns: number) {
    const scope = this.#scope = new TensorScope(device);
    this.#columns = columns;
    this.#gram = scope.tensor("f32", [columns, columns], "Gram matrix of a layer");
    this.#slab = scope.tensor("f32", [SLAB_ROWS, columns], "Gram matrix times a slab");
    const product = scope.tensor("f32", [SLAB_ROWS, columns], "Gram matrix times a slab");
    this.#sum = scope.tensor("f32", [1], "Gram matrix times a slab");
    this.#recording = device.record("output norm", (operations) => {
      operations.matmul({
        left: this.#slab,
        right: this.#gram,
        output: product,
        orientation: "nn",
      });
      operations.weightedSum({ values: product, weights: this.#slab, output: this.#sum });
    });
  }

  /** Sets the Gram matrix. */
  write({ values }: Matrix): void {
    for (const { first, count } of parts(this.#gram)) {
      this.#scope.device.write(this.#gram, values.subarray(first, first + count), first);
    }
  }

  /** `tr(D G D^T)` for `D [rows, columns]`, row-major. */
  async square(difference: Float32Array): Promise<number> {
    const { device } = this.#scope;
    const size = SLAB_ROWS * this.#columns;
    let square = 0;
    for (let first = 0; first < difference.length; first += size) {
      const part = difference.subarray(first, first + size);
      device.write(this.#slab, part);
      if (part.length < size) {
        device.write(this.#slab, new Float32Array(size - part.length), part.length);
      }
      device.run(this.#recording);
      square += (await device.readFloats(this.#sum))[0] ?? NaN;
    }
    return square;
  }

  /** Frees what is on the device. */
  [Symbol.dispose](): void {
    this.#recording.release();
    this.#scope.release();
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
