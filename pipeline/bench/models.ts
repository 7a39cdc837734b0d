/**
 * The models that benchmarks run: shapes of known models, and weights that cost nothing to make.
 *
 * @module
 */

import { repeated } from "../../kernels/bench/workspace.ts";
import { codeWords } from "../../kernels/packing.ts";
import { RandomStream } from "../../kernels/random.ts";
import type { HostIntegerWeight, HostWeight } from "../formats/host_weight.ts";
import { type LinearShape, plainTensors } from "../models/architecture.ts";
import { type ModelConfig, parseConfig } from "../models/config.ts";
import type { ModelSource } from "../models/language_model.ts";
import type { ModuleFormat } from "../models/quantized_tensors.ts";
import { rtn } from "../quantizers/rtn.ts";

/** A `config.json`, as far as it says what is computed. */
export interface ModelShape {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly max_position_embeddings: number;
  readonly vocab_size: number;
  readonly tie_word_embeddings: boolean;
  readonly rms_norm_eps: number;
}

/** Names of {@linkcode MODEL_SHAPES}. */
export type ModelName =
  | "brown-525k"
  | "tinystories-656k"
  | "15M"
  | "110M"
  | "1.1B"
  | "7B, one layer"
  | "7B";

/**
 * By name, smallest first: the quickstart's model; raincandy-u/TinyStories-656K; llama2.c's
 * stories15M and stories110M; TinyLlama-1.1B; LLaMA-2-7B, and one layer of it with a vocabulary too
 * small to count, for devices that do not hold all 32.
 */
export const MODEL_SHAPES: Readonly<Record<ModelName, ModelShape>> = {
  "brown-525k": shape(128, 384, 2, [4, 2], 512, 1024, true),
  "tinystories-656k": shape(128, 384, 2, [8, 4], 512, 2048, true),
  "15M": shape(288, 768, 6, [6, 6], 256, 32000, true),
  "110M": shape(768, 2048, 12, [12, 12], 1024, 32000, true),
  "1.1B": shape(2048, 5632, 22, [32, 4], 2048, 32000, false),
  "7B, one layer": shape(4096, 11008, 1, [32, 32], 4096, 256, true),
  "7B": shape(4096, 11008, 32, [32, 32], 4096, 32000, false),
};

function shape(
  hidden: number,
  intermediate: number,
  layers: number,
  [heads, kvHeads]: readonly [number, number],
  positions: number,
  vocabulary: number,
  tied: boolean,
): ModelShape {
  return {
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    max_position_embeddings: positions,
    vocab_size: vocabulary,
    tie_word_embeddings: tied,
    rms_norm_eps: 1e-6,
  };
}

/** The parsed configuration of a model. */
export function benchmarkConfig(name: ModelName): ModelConfig {
  return parseConfig(MODEL_SHAPES[name], `the benchmark's model ${name}`);
}

/** Format of the linear layers in a benchmark. */
export type BaseFormat = "f32" | "int4";

/** How real weights are quantized for benchmarks: the defaults of experiment files. */
export const BASE = {
  method: "rtn",
  bits: 4,
  group_size: 32,
  block_rows: 1,
  symmetric: false,
} as const;

/** Of the weights of linear layers, with the scale and zero of each group. */
export const BYTES_PER_WEIGHT: Readonly<Record<BaseFormat, number>> = {
  f32: 4,
  int4: BASE.bits / 8 + 8 / BASE.group_size,
};

/** Values that weights repeat: timing does not depend on them, and drawing a billion takes minutes. */
const PATTERN = 8191;

const DEVIATION = 0.02;

/** A model with weights of plausible size, made as fast as memory is filled. */
export class PatternModel implements ModelSource {
  /** See {@linkcode ModelSource}. */
  readonly config: ModelConfig;
  readonly #format: BaseFormat;
  readonly #pattern: Float32Array;

  /** Linear layers are `format`, everything else is f32. */
  constructor(config: ModelConfig, format: BaseFormat) {
    this.config = config;
    this.#format = format;
    const random = new RandomStream(0, "benchmark weights");
    this.#pattern = Float32Array.from(
      { length: PATTERN },
      (_, index) => DEVIATION * random.normal(index),
    );
  }

  /** See {@linkcode ModelSource}. */
  moduleFormat(): ModuleFormat | null {
    return this.#format === "int4" ? rtn.format(BASE) : null;
  }

  /** See {@linkcode ModelSource}. */
  weight({ rows, columns }: LinearShape): Promise<HostWeight> {
    const dense = () => ({
      format: "dense" as const,
      rows,
      columns,
      values: this.#fill(rows * columns),
    });
    return Promise.resolve(this.#format === "int4" ? this.#codes(rows, columns) : dense());
  }

  /** See {@linkcode ModelSource}. */
  floats(name: string): Promise<Float32Array> {
    const tensor = plainTensors(this.config).find((tensor) => tensor.name === name);
    if (tensor === undefined) throw new RangeError(`This model has no tensor named "${name}"`);
    const size = tensor.shape.reduce((product, dimension) => product * dimension, 1);
    return Promise.resolve(
      name.endsWith("norm.weight") ? new Float32Array(size).fill(1) : this.#fill(size),
    );
  }

  #fill(size: number): Float32Array {
    return repeated(this.#pattern, new Float32Array(size));
  }

  #codes(rows: number, columns: number): HostIntegerWeight {
    const blocks = rows * columns / BASE.group_size;
    const words = new Uint32Array(this.#pattern.buffer);
    // The low bits of the pattern's mantissas are as good as random.
    const codes = words.map((word) => Math.imul(word, 0x9e3779b1));
    return {
      format: "integer",
      rows,
      columns,
      bits: BASE.bits,
      blockRows: 1,
      blockColumns: BASE.group_size,
      codes: repeated(codes, new Uint32Array(rows * codeWords(BASE.bits, columns))),
      // Codes spread evenly over 0 to 15 deviate by 4.6 from their middle.
      scales: new Float32Array(blocks).fill(DEVIATION / 4.6),
      zeros: new Float32Array(blocks).fill(7.5),
    };
  }
}

/** A model with real weights, its linear layers rounded to INT4. */
export function quantizedSource(model: ModelSource): ModelSource {
  return {
    config: model.config,
    moduleFormat: () => rtn.format(BASE),
    floats: (name) => model.floats(name),
    async weight(linear) {
      const weight = await model.weight(linear);
      if (weight.format !== "dense") return weight;
      return rtn.quantize(weight.values, weight.rows, weight.columns, BASE, linear.path);
    },
  };
}

/**
 * Token ids of some rows, the same in every program that is compared: Knuth's multiplicative hash of
 * the position.
 */
export function benchmarkTokens(count: number, vocabulary: number): Uint32Array {
  const tokens = new Uint32Array(count);
  for (let index = 0; index < count; index++) {
    tokens[index] = (Math.imul(index, 0x9e3779b1) >>> 8) % vocabulary;
  }
  return tokens;
}
