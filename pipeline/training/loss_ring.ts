// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Losses and gradient norms of recent steps, collected in device memory and read back together: a
 * readback stalls the queue, and in Deno costs 11 ms by itself.
 *
 * @module
 */

import type { Device, Recording, Tensor } from "../../kernels/device.ts";
import { UserError } from "../errors.ts";
import type { StepRecord } from "./history.ts";
import type { Trainable } from "./trainable.ts";

/** What the host knows of a step when it queues it. */
export type QueuedStep = Pick<StepRecord, "step" | "lr" | "tokens">;

/** Room for `capacity` steps of `passes` passes each. */
export class LossRing {
  readonly #device: Device;
  readonly #passes: number;
  /** `[1]`: weighted loss of the last pass. */
  readonly #loss: Tensor;
  /** Per step: the weighted loss of each pass, then the gradient norm. */
  readonly #ring: Tensor;
  /** Sums the losses of each shape of batch. */
  readonly #sums = new Map<Trainable, Recording>();
  readonly #queued: QueuedStep[] = [];

  /** Allocates the ring and records the sum over `trainable`'s weighted losses. */
  constructor(trainable: Trainable, passes: number, capacity: number) {
    const { device } = trainable;
    this.#device = device;
    this.#passes = passes;
    this.#loss = device.tensor("f32", [1], "loss");
    this.#ring = device.tensor("f32", [capacity * (passes + 1)], "losses of recent steps");
    this.#sumOf(trainable);
  }

  /** Collects the loss of one pass of the step being queued, which `trainable` has run. */
  pushPass(pass: number, trainable: Trainable): void {
    this.#device.run(this.#sumOf(trainable));
    this.#device.copy(this.#loss, 0, this.#ring, this.#slot() + pass, 1);
  }

  /** Collects the gradient norm, element 0 of `norm`, and ends the step. */
  pushStep(step: QueuedStep, norm: Tensor): void {
    this.#device.copy(norm, 0, this.#ring, this.#slot() + this.#passes, 1);
    this.#queued.push(step);
  }

  /**
   * Waits for the steps queued since the last call and returns their records.
   *
   * @throws {UserError} If a loss or gradient norm is NaN or infinite.
   */
  async drain(): Promise<StepRecord[]> {
    if (this.#queued.length === 0) return [];
    const values = await this.#device.readFloats(this.#ring);
    const stride = this.#passes + 1;
    const records = this.#queued.map(({ step, lr, tokens }, index) => {
      let loss = 0;
      for (let pass = 0; pass < this.#passes; pass++) loss += values[index * stride + pass]!;
      return { step, loss, lr, grad_norm: values[index * stride + this.#passes]!, tokens };
    });
    this.#queued.length = 0;
    records.forEach(checkFinite);
    return records;
  }

  /** Frees the ring's memory. */
  release(): void {
    for (const sum of this.#sums.values()) sum.release();
    this.#device.free(this.#loss);
    this.#device.free(this.#ring);
  }

  #sumOf(trainable: Trainable): Recording {
    const known = this.#sums.get(trainable);
    if (known !== undefined) return known;
    const { losses, weights } = trainable;
    const sum = this.#device.record("loss", (operations) => {
      operations.weightedSum({ values: losses, weights, output: this.#loss });
    });
    this.#sums.set(trainable, sum);
    return sum;
  }

  #slot(): number {
    return this.#queued.length * (this.#passes + 1);
  }
}

function checkFinite({ step, loss, lr, grad_norm }: StepRecord): void {
  if (Number.isFinite(loss) && Number.isFinite(grad_norm)) return;
  const what = Number.isFinite(loss) ? `the gradient norm is ${grad_norm}` : `the loss is ${loss}`;
  throw new UserError(
    step === 1
      ? `Training cannot start: ${what} in step 1, before any update; check the model's weights ` +
        `and the adapter's initialization`
      : `Training diverged: ${what} in step ${step}, with learning rate ${lr}; lower ` +
        `optimizer.lr, lengthen the warm-up or lower clip`,
  );
}
