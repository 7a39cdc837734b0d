/**
 * Training in rounds: the steps between two turns are those of any training, with an optimizer that
 * starts anew; the learning rate follows one schedule over all of them.
 *
 * @module
 */

import type { Tensor } from "../../kernels/device.ts";

/** What a training scheme does between stretches of optimizer steps. */
export interface Rounds {
  /** Optimizer steps of a round. */
  readonly steps: number;
  /** Factor on the sum of squares of all trained values, which is added to the objective. */
  readonly penalty: number;
  /** What decides the rounds, in JSON: a checkpoint is continued only under equal settings. */
  readonly settings: unknown;
  /** Tensors that turns of rounds change, by name, besides the trained values. */
  readonly state: ReadonlyMap<string, Tensor>;
  /** Queues what round `round` (from 0) starts from; trained values are zero before. */
  begin(round: number): void;
  /** Queues what follows the last step of a round; trained values are zero after. */
  end(round: number): void;
}
