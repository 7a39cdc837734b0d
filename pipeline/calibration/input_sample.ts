/**
 * Some of the inputs of a layer, as they are: for methods that need outputs and not only their second
 * moments.
 *
 * @module
 */

import type { Device, Tensor } from "../../kernels/device.ts";

/** Inputs that are kept of a layer at most. */
export const SAMPLE_ROWS = 2048;

/** Which of `total` tokens are kept: `[n]` indices, evenly spread. */
export function sampledTokens(total: number): Uint32Array {
  const rows = Math.min(SAMPLE_ROWS, total);
  return Uint32Array.from({ length: rows }, (_, row) => Math.floor(row * total / rows));
}

/** Collects the sampled inputs of one layer. */
export class InputSample {
  /** `[n, columns]`, row-major; complete after the last batch. */
  readonly values: Float32Array;
  readonly #device: Device;
  readonly #columns: number;
  readonly #tokens: Uint32Array;
  readonly #rows: Tensor;
  #seen = 0;

  /**
   * Allocates.
   *
   * @param total Tokens of all batches.
   * @param tokens Tokens of one.
   */
  constructor(device: Device, name: string, total: number, tokens: number, columns: number) {
    this.#device = device;
    this.#columns = columns;
    this.#tokens = sampledTokens(total);
    const atOnce = Math.ceil(this.#tokens.length * tokens / total) + 1;
    this.#rows = device.tensor("f32", [atOnce, columns], `sample of ${name}`);
    this.values = new Float32Array(this.#tokens.length * columns);
  }

  /** Takes from a batch `input [tokens, columns]`. */
  async added(input: Tensor): Promise<void> {
    const tokens = input.size / this.#columns;
    const first = this.#tokens.findIndex((token) => token >= this.#seen);
    const columns = this.#columns;
    let count = 0;
    for (
      const token of first < 0 ? [] : this.#tokens.subarray(first)
    ) {
      if (token >= this.#seen + tokens) break;
      this.#device.copy(
        input,
        (token - this.#seen) * columns,
        this.#rows,
        count * columns,
        columns,
      );
      count++;
    }
    this.#seen += tokens;
    if (count === 0) return;
    const taken = this.#device.view(this.#rows, 0, [count, columns]);
    this.values.set(await this.#device.readFloats(taken), first * columns);
  }

  /** Frees what is on the device. */
  release(): void {
    this.#device.free(this.#rows);
  }
}
