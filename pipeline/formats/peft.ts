/**
 * LoRA adapters in the folder format of Hugging Face PEFT: `adapter_config.json` and
 * `adapter_model.safetensors`.
 *
 * @module
 */

import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.ts";
import { readJsonOrNull } from "./files.ts";
import { SafetensorsFile, SafetensorsWriter } from "./safetensors.ts";

const CONFIG_FILE = "adapter_config.json";
const WEIGHTS_FILE = "adapter_model.safetensors";

// PEFT wraps the model twice (PeftModel, LoraModel); older versions kept the adapter's name.
const FACTOR_KEY = /^base_model\.model\.(.+)\.lora_(A|B)(?:\.default)?\.weight$/;

/** One linear layer's update, `delta W = scale * B * A`. */
export interface LoraFactors {
  /** Follows from the configuration; see {@linkcode loraScale}. */
  readonly scale: number;
  /** Rows of `a` and columns of `b`. */
  readonly rank: number;
  /** Columns of `a`: input features of the layer, fewer for adapters with pooled inputs. */
  readonly inputs: number;
  /** Rows of `b`: output features of the layer, fewer for adapters with repeated outputs. */
  readonly outputs: number;
  /** `[rank, inputs]`, row-major. */
  readonly a: Float32Array;
  /** `[outputs, rank]`, row-major. */
  readonly b: Float32Array;
}

/** What an `adapter_config.json` says; other keys are kept as they are. */
export interface PeftConfig {
  /** Rank of every module that `rank_pattern` does not match. */
  readonly r: number;
  /** Numerator of the scale of every module that `alpha_pattern` does not match. */
  readonly lora_alpha: number;
  /** Probability that an input of `A` was dropped in training. */
  readonly lora_dropout?: number | undefined;
  /** Names or suffixes of the adapted modules, or a regular expression of PEFT. */
  readonly target_modules: string | string[];
  /** The model that the adapter belongs to. */
  readonly base_model_name_or_path?: string | null | undefined;
  /** Whether the scale is `alpha / sqrt(rank)` instead of `alpha / rank`. */
  readonly use_rslora?: boolean | undefined;
  /** Ranks of modules by a regular expression of the end of their path. */
  readonly rank_pattern?: Record<string, number> | undefined;
  /** Alphas of modules, likewise. */
  readonly alpha_pattern?: Record<string, number> | undefined;
  /** Settings of other programs. */
  readonly [key: string]: unknown;
}

/** An adapter in memory. */
export interface PeftAdapter {
  /** Its settings. */
  readonly config: PeftConfig;
  /** By module path in the base model ("model.layers.0.self_attn.q_proj"). */
  readonly modules: ReadonlyMap<string, LoraFactors>;
}

// Settings of PEFT under which B and A alone are not the update.
const UNSUPPORTED = {
  use_dora: false,
  fan_in_fan_out: false,
  lora_bias: false,
  bias: "none",
  modules_to_save: null,
  layer_replication: null,
  trainable_token_indices: null,
} as const;

const CONFIG: z.ZodType<PeftConfig & { peft_type: "LORA" }> = z.looseObject({
  peft_type: z.literal("LORA"),
  r: z.int().positive(),
  lora_alpha: z.number(),
  lora_dropout: z.number().optional(),
  target_modules: z.union([z.string(), z.array(z.string())]),
  base_model_name_or_path: z.string().nullish(),
  use_rslora: z.boolean().optional(),
  rank_pattern: z.record(z.string(), z.int().positive()).optional(),
  alpha_pattern: z.record(z.string(), z.number()).optional(),
});

/**
 * Factor of `B * A` for one module: `alpha / rank`, or `alpha / sqrt(rank)` with `use_rslora`
 * (Kalajdzievski 2023).
 */
export function loraScale(config: PeftConfig, modulePath: string, rank: number): number {
  const alpha = matchPattern(config.alpha_pattern, modulePath) ?? config.lora_alpha;
  return alpha / (config.use_rslora ? Math.sqrt(rank) : rank);
}

/**
 * Reads an adapter folder.
 *
 * @throws {UserError} If a file is missing or invalid, the adapter is not a plain LoRA (DoRA,
 * trained biases or further modules), a factor lacks its partner, or shapes contradict each other or
 * the configured rank.
 */
export function readPeftAdapter(folder: string): PeftAdapter {
  const config = readConfig(join(folder, CONFIG_FILE));
  const path = join(folder, WEIGHTS_FILE);
  using file = SafetensorsFile.open(path);
  const keys = new Map<string, { A?: string; B?: string }>();
  for (const key of file.tensors.keys()) {
    const [, module, factor] = FACTOR_KEY.exec(key) ?? [];
    if (module === undefined) {
      throw new UserError(
        `${path}: tensor "${key}" is not a LoRA factor of a linear layer; wanted ` +
          `base_model.model.<module>.lora_A.weight or .lora_B.weight`,
      );
    }
    keys.set(module, { ...keys.get(module), [factor as "A" | "B"]: key });
  }
  const modules = new Map<string, LoraFactors>();
  for (const [module, { A, B }] of keys) {
    if (A === undefined || B === undefined) {
      throw new UserError(
        `${path}: module "${module}" has lora_${A ? "A" : "B"} but no lora_${A ? "B" : "A"}`,
      );
    }
    const rank = matchPattern(config.rank_pattern, module) ?? config.r;
    const scale = loraScale(config, module, rank);
    modules.set(module, { scale, ...readFactors(file, A, B, rank) });
  }
  if (modules.size === 0) throw new UserError(`${path}: the adapter has no tensors`);
  return { config, modules };
}

/**
 * Writes an adapter folder that PEFT loads; `folder` exists. Settings that PEFT always writes are
 * added with the value they have for a plain LoRA.
 *
 * @param options.dtype How the factors are stored.
 * @default "F32"
 * @throws {UserError} If the disk is full or cannot be written.
 * @throws {RangeError} If a factor does not have the shape it says, or a scale is not the one that
 * the configuration gives.
 *
 * @example
 * ```ts
 * import { readPeftAdapter, writePeftAdapter } from "./peft.ts";
 *
 * const folder = Deno.makeTempDirSync();
 * const [a, b] = [Float32Array.of(1, 2), new Float32Array(3)];
 * const factors = { rank: 1, scale: 2, inputs: 2, outputs: 3, a, b };
 * writePeftAdapter(folder, {
 *   config: { r: 1, lora_alpha: 2, target_modules: ["q_proj"] },
 *   modules: new Map([["model.layers.0.self_attn.q_proj", factors]]),
 * });
 * const { modules } = readPeftAdapter(folder);
 * if (modules.get("model.layers.0.self_attn.q_proj")?.a[1] !== 2) throw new Error("round trip");
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function writePeftAdapter(
  folder: string,
  adapter: PeftAdapter,
  options: { readonly dtype?: "F32" | "F16" | "BF16" } = {},
): void {
  const { dtype = "F32" } = options;
  for (const [module, { rank, scale }] of adapter.modules) {
    const wanted = loraScale(adapter.config, module, rank);
    if (scale !== wanted) {
      throw new RangeError(
        `Cannot write module "${module}" with scale ${scale}: a reader of the configuration ` +
          `takes ${wanted}`,
      );
    }
  }
  const tensors = [...adapter.modules].flatMap(([module, { rank, inputs, outputs, a, b }]) => [
    { name: factorKey(module, "A"), dtype, shape: [rank, inputs], values: a },
    { name: factorKey(module, "B"), dtype, shape: [outputs, rank], values: b },
  ]);
  using writer = SafetensorsWriter.create(join(folder, WEIGHTS_FILE), tensors);
  for (const { name, values } of tensors) writer.write(name, values);
  writer.finish();
  const config = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: null,
    revision: null,
    inference_mode: true,
    init_lora_weights: true,
    lora_dropout: 0,
    use_rslora: false,
    rank_pattern: {},
    alpha_pattern: {},
    loftq_config: {},
    ...UNSUPPORTED,
    ...adapter.config,
  };
  const path = join(folder, CONFIG_FILE);
  try {
    Deno.writeTextFileSync(path, JSON.stringify(config, null, 2) + "\n");
  } catch (error) {
    throw new UserError(
      `Cannot write ${path}: ${error instanceof Error ? error.message : error}`,
      { cause: error },
    );
  }
}

function factorKey(module: string, factor: "A" | "B"): string {
  return `base_model.model.${module}.lora_${factor}.weight`;
}

function readFactors(
  file: SafetensorsFile,
  keyA: string,
  keyB: string,
  wanted: number,
): Omit<LoraFactors, "scale"> {
  const shapeA = file.tensors.get(keyA)?.shape ?? [];
  const shapeB = file.tensors.get(keyB)?.shape ?? [];
  const [rank = NaN, inputs = NaN] = shapeA;
  const [outputs = NaN, rankB = NaN] = shapeB;
  if (shapeA.length !== 2 || shapeB.length !== 2 || rank !== wanted || rankB !== wanted) {
    throw new UserError(
      `${file.path}: "${keyA}" is [${shapeA.join(", ")}] and its lora_B is ` +
        `[${shapeB.join(", ")}], but ${CONFIG_FILE} gives rank ${wanted}; wanted ` +
        `[${wanted}, inputs] and [outputs, ${wanted}]`,
    );
  }
  return { rank, inputs, outputs, a: file.readFloats(keyA), b: file.readFloats(keyB) };
}

function readConfig(path: string): PeftConfig {
  const json = readJsonOrNull(path);
  if (json === null) throw new UserError(`There is no ${path}; wanted an adapter folder of PEFT`);
  const config = CONFIG.safeParse(json);
  if (!config.success) {
    const [issue] = config.error.issues;
    throw new UserError(`${path}: "${issue?.path.join(".")}": ${issue?.message}`);
  }
  for (const [key, plain] of Object.entries(UNSUPPORTED)) {
    const value = config.data[key] ?? plain;
    if (value !== plain) {
      throw new UserError(
        `${path}: ${key} is ${JSON.stringify(value)}; only plain LoRA adapters, with ` +
          `${JSON.stringify(plain)}, can be read`,
      );
    }
  }
  return config.data;
}

/** The value whose pattern matches the end of a module path, as PEFT's `get_pattern_key` does. */
function matchPattern(
  patterns: Record<string, number> | undefined,
  modulePath: string,
): number | undefined {
  return Object.entries(patterns ?? {}).find(([pattern]) => {
    try {
      return new RegExp(`^(?:.*\\.)?(?:${pattern})$`).test(modulePath);
    } catch {
      throw new UserError(
        `${CONFIG_FILE}: the pattern "${pattern}" is not a regular expression of JavaScript; ` +
          `write the module names out`,
      );
    }
  })?.[1];
}
