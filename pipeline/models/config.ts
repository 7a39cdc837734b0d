/**
 * `config.json` of a Hugging Face model folder, read into the few numbers that decide a model of the
 * LLaMA family. What differs between LLaMA, Mistral, Qwen2 and Qwen3 is data here, not code elsewhere.
 *
 * @module
 */

import type { RopeLayout } from "../../kernels/device.ts";
import { UserError } from "../errors.ts";

/** Changes of the rotary frequencies for contexts longer than the model was first trained on. */
export type RopeScaling =
  | { readonly type: "linear"; readonly factor: number }
  | {
    readonly type: "llama3";
    readonly factor: number;
    readonly lowFrequencyFactor: number;
    readonly highFrequencyFactor: number;
    readonly originalPositions: number;
  }
  | {
    readonly type: "yarn";
    readonly factor: number;
    readonly betaFast: number;
    readonly betaSlow: number;
    readonly originalPositions: number;
    /** Factor on cosines and sines; null for `0.1 ln(factor) + 1`. */
    readonly attentionFactor: number | null;
    /** Whether the corrected range is rounded to whole dimensions. */
    readonly truncate: boolean;
  };

/** A decoder of the LLaMA family. */
export interface ModelConfig {
  readonly modelType: string;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  readonly maxPositions: number;
  readonly normEpsilon: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | null;
  readonly ropeLayout: RopeLayout;
  /** Features of each head that rotate; `headDim` unless `partial_rotary_factor` is below 1. */
  readonly rotaryDim: number;
  /** The head shares the embedding's matrix. */
  readonly tied: boolean;
  /** Biases of q, k and v (Qwen2); LLaMA's `attention_bias` also gives one to o. */
  readonly queryKeyValueBias: boolean;
  readonly outputBias: boolean;
  readonly mlpBias: boolean;
  /** RMSNorm over each head of q and k before the rotation (Qwen3). */
  readonly queryKeyNorm: boolean;
  readonly slidingWindow: number | null;
}

/** What sets the architectures of the family apart, by `model_type`. */
const FAMILY: Readonly<
  Record<string, { queryKeyValueBias?: true; queryKeyNorm?: true; slidingWindow?: true }>
> = {
  llama: {},
  mistral: { slidingWindow: true },
  qwen2: { queryKeyValueBias: true, slidingWindow: true },
  qwen3: { queryKeyNorm: true, slidingWindow: true },
};

/** The architectures that {@linkcode parseConfig} accepts. */
const MODEL_TYPES = Object.keys(FAMILY);

/**
 * Reads a parsed `config.json`.
 *
 * @param json The parsed file.
 * @param file Its path, for messages.
 * @throws {UserError} Naming the field, what was found and what is wanted.
 */
export function parseConfig(json: unknown, file: string): ModelConfig {
  const fields = new Fields(json, file);
  const modelType = fields.string("model_type", "llama");
  const family = FAMILY[modelType];
  if (family === undefined) {
    throw new UserError(
      `${file}: model_type is "${modelType}", but this version runs ${MODEL_TYPES.join(", ")}`,
    );
  }
  const hiddenSize = fields.count("hidden_size");
  const heads = fields.count("num_attention_heads");
  const kvHeads = fields.count("num_key_value_heads", heads);
  const headDim = fields.count("head_dim", hiddenSize / heads);
  const activation = fields.string("hidden_act", "silu");
  if (activation !== "silu" && activation !== "swish") {
    throw new UserError(`${file}: hidden_act is "${activation}", but this version runs "silu"`);
  }
  if (heads % kvHeads !== 0) {
    throw new UserError(
      `${file}: num_attention_heads is ${heads}, which num_key_value_heads ${kvHeads} does not divide`,
    );
  }
  if (headDim % 4 !== 0) {
    throw new UserError(
      `${file}: heads have ${headDim} features (head_dim, or hidden_size / num_attention_heads), but ` +
        `kernels read them four at a time; this version runs multiples of 4`,
    );
  }
  const rope = fields.object("rope_parameters") ?? fields.object("rope_scaling");
  const maxPositions = fields.count("max_position_embeddings", 2048);
  const partial = fields.number("partial_rotary_factor", 1);
  const biased = fields.boolean("attention_bias", false);
  const windowed = family.slidingWindow === true && fields.boolean("use_sliding_window", true);
  return {
    modelType,
    hiddenSize,
    intermediateSize: fields.count("intermediate_size"),
    layers: fields.count("num_hidden_layers"),
    heads,
    kvHeads,
    headDim,
    vocabSize: fields.count("vocab_size"),
    maxPositions,
    normEpsilon: fields.number("rms_norm_eps", 1e-6),
    ropeTheta: rope?.number("rope_theta", NaN) || fields.number("rope_theta", 10000),
    ropeScaling: rope === null ? null : parseRopeScaling(rope, maxPositions),
    ropeLayout: fields.boolean("rope_interleave", false) ? "interleaved" : "half",
    rotaryDim: 2 * Math.floor(headDim * partial / 2),
    tied: fields.boolean("tie_word_embeddings", false),
    queryKeyValueBias: biased || family.queryKeyValueBias === true,
    outputBias: biased,
    mlpBias: fields.boolean("mlp_bias", false),
    queryKeyNorm: family.queryKeyNorm === true,
    slidingWindow: windowed ? fields.optionalCount("sliding_window") : null,
  };
}

function parseRopeScaling(fields: Fields, maxPositions: number): RopeScaling | null {
  const type = fields.string("rope_type", fields.string("type", "default"));
  switch (type) {
    case "default":
      return null;
    case "linear":
      return { type, factor: fields.number("factor") };
    case "llama3":
      return {
        type,
        factor: fields.number("factor"),
        lowFrequencyFactor: fields.number("low_freq_factor"),
        highFrequencyFactor: fields.number("high_freq_factor"),
        originalPositions: fields.count("original_max_position_embeddings"),
      };
    case "yarn":
      return {
        type,
        factor: fields.number("factor"),
        betaFast: fields.number("beta_fast", 32),
        betaSlow: fields.number("beta_slow", 1),
        originalPositions: fields.count("original_max_position_embeddings", maxPositions),
        attentionFactor: fields.number("attention_factor", NaN) || null,
        truncate: fields.boolean("truncate", true),
      };
    default:
      throw new UserError(
        `${fields.file}: rope scaling is of type "${type}", but this version knows default, ` +
          `linear, llama3 and yarn`,
      );
  }
}

/** Typed access to a JSON object; null counts as absent, as in Hugging Face's own readers. */
class Fields {
  readonly file: string;
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(json: unknown, file: string) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) {
      throw new UserError(`${file}: expected a JSON object`);
    }
    this.#values = json as Record<string, unknown>;
    this.file = file;
  }

  #get<T>(name: string, kind: string, fallback: T | undefined, ok: (value: unknown) => boolean): T {
    const value = this.#values[name] ?? fallback;
    if (value === undefined) throw new UserError(`${this.file}: the field "${name}" is missing`);
    if (!ok(value)) {
      throw new UserError(
        `${this.file}: the field "${name}" is ${JSON.stringify(value)}, expected ${kind}`,
      );
    }
    return value as T;
  }

  number(name: string, fallback?: number): number {
    return this.#get(name, "a number", fallback, (value) => typeof value === "number");
  }

  count(name: string, fallback?: number): number {
    return this.#get(
      name,
      "a positive whole number",
      fallback,
      (value) => Number.isSafeInteger(value) && (value as number) > 0,
    );
  }

  optionalCount(name: string): number | null {
    return this.#values[name] === undefined || this.#values[name] === null
      ? null
      : this.count(name);
  }

  string(name: string, fallback: string): string {
    return this.#get(name, "a string", fallback, (value) => typeof value === "string");
  }

  boolean(name: string, fallback: boolean): boolean {
    return this.#get(name, "true or false", fallback, (value) => typeof value === "boolean");
  }

  object(name: string): Fields | null {
    const value = this.#values[name];
    return value === undefined || value === null
      ? null
      : new Fields(value, `${this.file} (${name})`);
  }
}
