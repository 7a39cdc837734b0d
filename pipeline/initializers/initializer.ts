/**
 * What an initializer is: values for the matrices of an adapter before training.
 *
 * @module
 */

import type { AdapterShape } from "../adapters/plan.ts";
import type { HostModule } from "../adapters/adapter.ts";
import type { LinearShape } from "../models/architecture.ts";

/** A method that fills A and B from nothing but their shapes and the seed. */
export interface Initializer {
  /** The value of `init:` in the experiment file. */
  readonly name: string;
  readonly summary: string;
  initialize(linear: LinearShape, shape: AdapterShape, seed: number): HostModule;
}
