/**
 * Products of some rows of a matrix with a Gram matrix, on the device: on the host one costs as much
 * as quantizing a layer.
 *
 * @module
 */

import type { Device, Operations, Recording, Tensor } from "../../kernels/device.ts";
import type { Matrix } from "../linalg/matrix.ts";
import { parts } from "../models/tensor_parts.ts";
import { TensorScope } from "../models/tensor_scope.ts";

/** Rows that are multiplied at a time, usually. */
export const SLAB_ROWS = 256;

/** A Gram matrix on the device, and rows to multiply with it in f32. */
export class GramSlab implements Disposable {
  readonly device: Device;
  /** `[rows, columns]`. */
  readonly rows: Tensor;
  /** `[rows, columns]`: rows times the Gram matrix. */
  readonly product: Tensor;
  readonly #scope: TensorScope;
  readonly #gram: Tensor;
  readonly #recording: Recording;

  /**
   * Allocates for Gram matrices `[columns, columns]`.
   *
   * @param after Records what follows each product.
   */
  constructor(
    device: Device,
    rows: number,
    columns: number,
    after: (operations: Operations, rows: Tensor, product: Tensor) => void = () => {},
  ) {
    const scope = this.#scope = new TensorScope(device);
    this.device = device;
    this.#gram = scope.tensor("f32", [columns, columns], "Gram matrix of a layer");
    this.rows = scope.tensor("f32", [rows, columns], "Gram matrix times a slab");
    this.product = scope.tensor("f32", [rows, columns], "Gram matrix times a slab");
    this.#recording = device.record("product with a Gram matrix", (operations) => {
      operations.matmul({
        left: this.rows,
        right: this.#gram,
        output: this.product,
        orientation: "nn",
      });
      after(operations, this.rows, this.product);
    });
  }

  /** Sets the Gram matrix. */
  write({ values }: Matrix): void {
    for (const { first, count } of parts(this.#gram)) {
      this.device.write(this.#gram, values.subarray(first, first + count), first);
    }
  }

  /** Multiplies some rows, row-major; the others become zero. */
  multiply(rows: Float32Array | Float64Array): void {
    const missing = this.rows.size - rows.length;
    this.device.write(this.rows, rows);
    if (missing > 0) this.device.write(this.rows, new Float32Array(missing), rows.length);
    this.device.run(this.#recording);
  }

  /** Frees what is on the device. */
  [Symbol.dispose](): void {
    this.#recording.release();
    this.#scope.release();
  }
}
