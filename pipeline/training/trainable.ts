/**
 * What the training loop sees of a model: tensors to fill, recordings to replay, slabs to optimize.
 *
 * @module
 */

import type { Device, Recording, Tensor } from "../../kernels/device.ts";
import type { Packing } from "../models/block_tensors.ts";
import type { ParameterSlab } from "../models/parameters.ts";

export type { ParameterSlab };

/** A model set up for batches of one shape. */
export interface Trainable {
  readonly device: Device;
  readonly batchSize: number;
  readonly length: number;
  /** `[batchSize * length]` u32. */
  readonly tokens: Tensor;
  /** `[batchSize * length]` u32: the token that follows each token of `tokens`. */
  readonly targets: Tensor;
  /** `[batchSize * length]` f32: weight of each target in the loss, 0 where none. */
  readonly weights: Tensor;
  /** `[batchSize * length]` f32, written by both recordings: -log p of each weighted target. */
  readonly losses: Tensor;
  /**
   * Token positions sorted by id and the start of each id's run (see `embeddingBackward`), to be
   * written with the tokens; null unless the embedding trains.
   */
  readonly tokenIndex: { readonly order: Tensor; readonly offsets: Tensor } | null;
  /** Where the examples of packed rows lie, to be written with the tokens; null for plain rows. */
  readonly packing: Packing | null;
  /** `[2]` u32 key of dropout, written before every micro-batch; null without dropout. */
  readonly dropoutKey: Tensor | null;
  readonly slabs: readonly ParameterSlab[];
  /** Forward only, without dropout: fills `losses`. */
  readonly forward: Recording;
  /** Forward and backward: fills `losses`, adds to the gradients of `slabs`. */
  readonly forwardBackward: Recording;
}
