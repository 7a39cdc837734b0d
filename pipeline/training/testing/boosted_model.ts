/**
 * A small model with boosters on any device, to be trained with the scheme `xgblora` or without.
 *
 * @module
 */

import type { Device } from "../../../kernels/device.ts";
import type { HostAdapter, HostModule } from "../../adapters/adapter.ts";
import { adapterParameterShapes, placeOutline, writeToDevice } from "../../adapters/placement.ts";
import { planAdapter } from "../../adapters/plan.ts";
import { zeroModule } from "../../initializers/zero.ts";
import { LINEAR_NAMES, modelLinears } from "../../models/architecture.ts";
import { BatchModel } from "../../models/batch_model.ts";
import { parseConfig } from "../../models/config.ts";
import {
  type LanguageModel,
  loadLanguageModel,
  type ModelSource,
} from "../../models/language_model.ts";
import { ParameterSpace } from "../../models/parameters.ts";
import { moduleFormat } from "../../models/quantized_tensors.ts";
import { RandomModel } from "../../models/random_model.ts";
import { rtn } from "../../quantizers/rtn.ts";
import { roundsOf } from "../../stages/boosting.ts";
import { Boosters } from "../boosters.ts";
import type { Rounds } from "../rounds.ts";
import type { XgbloraOptions } from "../xgblora.ts";
import { VOCABULARY } from "./bigram.ts";

/** Transformer blocks of the model. */
export const BLOCKS = 4;

/** Seed of the boosters. */
export const SEED = 9;

const GROUP = 4;

const CONFIG = parseConfig({
  model_type: "llama",
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: BLOCKS,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: VOCABULARY,
  max_position_embeddings: 8,
}, "boosted model");

/** What differs from boosters of a LoRA of rank 1 on weights in 4 bits. */
export interface BoostedOptions {
  readonly form?: string;
  readonly rank?: number;
  /** Whether the base keeps its floats. */
  readonly dense?: boolean;
  /** Of the boosters' inputs. */
  readonly dropout?: number;
}

/** A model in floats or 4 bits, whose weights are not small, so that every gradient counts. */
export function baseModel(dense: boolean): ModelSource {
  const floats = new RandomModel(CONFIG, 3, 0.4);
  if (dense) return floats;
  const format = moduleFormat(rtn.quantize(new Float32Array(GROUP), 1, GROUP, RTN, "format"));
  return {
    config: CONFIG,
    moduleFormat: () => format,
    floats: (name) => floats.floats(name),
    async weight(linear) {
      const weight = await floats.weight(linear);
      if (weight.format !== "dense") throw new RangeError("a random model is dense");
      return rtn.quantize(weight.values, linear.rows, linear.columns, RTN, linear.path);
    },
  };
}

const RTN = { method: "rtn", bits: 4, group_size: GROUP, block_rows: 1, symmetric: false } as const;

/** The block that a layer, or one of its factors, is in. */
export function blockOf(name: string): number {
  return Number(/layers\.(\d+)\./.exec(name)?.[1]);
}

/** One booster on every layer: A as `zero` draws it, B zero. */
export function firstBooster({ form = "lora", rank = 1 }: BoostedOptions): HostAdapter {
  const modules = new Map<string, HostModule>();
  for (const linear of modelLinears(CONFIG)) {
    const options = { alpha: 3 * rank, rankStabilized: false, pooling: "average" } as const;
    const shape = planAdapter(
      { ...options, form, rank, lambda: 2, budget: null, targets: LINEAR_NAMES },
      linear,
      { rows: 1, columns: GROUP },
    );
    if (shape !== null) modules.set(linear.path, zeroModule(linear, shape, SEED + 1));
  }
  const peft = form === "lora"
    ? { r: rank, lora_alpha: 3 * rank, target_modules: [...LINEAR_NAMES] }
    : null;
  return { description: { form, pooling: "average", base: "", peft }, modules };
}

/** A model set up for training, and what of it boosts. */
export interface BoostedModel {
  readonly device: Device;
  /** The booster of the first round, which is the adapter where there is no scheme. */
  readonly first: HostAdapter;
  readonly space: ParameterSpace;
  readonly model: LanguageModel;
  readonly batch: BatchModel;
  /** Null without a scheme. */
  readonly boosters: Boosters | null;
  readonly rounds: Rounds | null;
  /** What the rounds have said. */
  readonly log: readonly string[];
}

/**
 * The model for batches of `batchSize` rows of 6 tokens: with boosters that follow a scheme, or, with
 * null, with the first booster as an adapter.
 */
export async function boostedModel(
  device: Device,
  batchSize: number,
  scheme: XgbloraOptions | null,
  steps: number,
  options: BoostedOptions = {},
): Promise<BoostedModel> {
  const length = 6;
  const first = firstBooster(options);
  const key = device.tensor("u32", [2], "dropout key");
  const space = new ParameterSpace(device, adapterParameterShapes(first));
  const boosters = scheme === null
    ? null
    : new Boosters(device, space, first, { ...scheme, tokens: batchSize * length });
  const place = placeOutline(first, { rate: options.dropout ?? 0, key }, boosters?.earlier);
  const source = baseModel(options.dense === true);
  const model = await loadLanguageModel(device, source, space, place);
  if (boosters === null) writeToDevice(model, first);
  const batch = new BatchModel(model, { batchSize, length, dropoutKey: key });
  const log: string[] = [];
  const rounds = roundsOf(boosters, { source, adapter: first, ...(scheme && { scheme }) }, {
    steps,
    seed: SEED,
    log: (line) => log.push(line),
  });
  return { device, first, space, model, batch, boosters, rounds, log };
}
