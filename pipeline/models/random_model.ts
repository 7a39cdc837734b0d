/**
 * A model from a `config.json` alone, with random weights: for pretraining, tests and benchmarks.
 *
 * @module
 */

import { RandomStream } from "../../kernels/random.ts";
import { UserError } from "../errors.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import { type LinearShape, plainTensors } from "./architecture.ts";
import type { ModelConfig } from "./config.ts";
import type { ModelSource } from "./language_model.ts";

/**
 * Weights as GPT-2 and LLaMA start: N(0, 0.02^2), the two projections that write to the residual
 * stream shrunk by `1 / sqrt(2 layers)` (Radford et al. 2019, section 2.3), norms 1, biases 0. Each
 * tensor has draws of its own, so reading them in any order gives the same model.
 */
export class RandomModel implements ModelSource {
  readonly config: ModelConfig;
  readonly #seed: number;
  readonly #deviation: number;

  constructor(config: ModelConfig, seed: number, deviation = 0.02) {
    this.config = config;
    this.#seed = seed;
    this.#deviation = deviation;
  }

  /** Null: every layer is dense. */
  moduleFormat(): null {
    return null;
  }

  weight({ path, name, rows, columns }: LinearShape): Promise<HostWeight> {
    const residual = name === "o_proj" || name === "down_proj";
    const deviation = this.#deviation / (residual ? Math.sqrt(2 * this.config.layers) : 1);
    const values = this.#normal(`${path}.weight`, rows * columns, deviation);
    return Promise.resolve({ format: "dense", rows, columns, values });
  }

  floats(name: string): Promise<Float32Array> {
    const shape = plainTensors(this.config).find((tensor) => tensor.name === name)?.shape;
    if (shape === undefined) {
      throw new UserError(`A model of this config has no tensor named "${name}"`);
    }
    const size = shape.reduce((product, dimension) => product * dimension, 1);
    if (name.endsWith("norm.weight")) return Promise.resolve(new Float32Array(size).fill(1));
    if (name.endsWith(".bias")) return Promise.resolve(new Float32Array(size));
    return Promise.resolve(this.#normal(name, size, this.#deviation));
  }

  #normal(name: string, size: number, deviation: number): Float32Array {
    const random = new RandomStream(this.#seed, `random weights ${name}`);
    return Float32Array.from({ length: size }, (_, index) => deviation * random.normal(index));
  }
}
