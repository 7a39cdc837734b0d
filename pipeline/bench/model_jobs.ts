/**
 * Training steps and evaluation passes on a device, as the stages run them.
 *
 * @module
 */

import type { Device } from "../../kernels/device.ts";
import type { Job } from "../../kernels/bench/benchmark.ts";
import type { HostAdapter, HostModule } from "../adapters/adapter.ts";
import { adapterParameterShapes, placeAdapter } from "../adapters/placement.ts";
import { planAdapter } from "../adapters/plan.ts";
import type { Example } from "../data/dataset.ts";
import { zeroModule } from "../initializers/zero.ts";
import { LINEAR_NAMES, modelLinears } from "../models/architecture.ts";
import { BatchModel } from "../models/batch_model.ts";
import type { ModelConfig } from "../models/config.ts";
import {
  freeLanguageModel,
  type LanguageModel,
  loadLanguageModel,
  type ModelSource,
} from "../models/language_model.ts";
import { ParameterSpace } from "../models/parameters.ts";
import { fullParameterShapes } from "../stages/full_training.ts";
import { countTargets, writeRows } from "../training/batch.ts";
import { AdamW } from "../training/optimizer.ts";
import type { BatchSize } from "./model_work.ts";
import { BASE, benchmarkTokens } from "./models.ts";

const OPTIMIZER = {
  name: "adamw",
  lr: 1e-3,
  betas: [0.9, 0.999],
  epsilon: 1e-8,
  weight_decay: 0,
} as const;

/** A job on a model, and what it computed last. */
export interface ModelJob extends Job {
  /** Mean loss over the targets of the last call. */
  loss(): Promise<number>;
}

/** Optimizer steps on a LoRA of all seven linear layers, alpha = rank. */
export async function loraJob(
  device: Device,
  source: ModelSource,
  size: BatchSize,
  rank: number,
): Promise<ModelJob> {
  const adapter = loraAdapter(source.config, rank);
  const space = new ParameterSpace(device, adapterParameterShapes(adapter));
  const model = await loadLanguageModel(device, source, space, placeAdapter(device, adapter));
  return trainingJob(model, size);
}

/** Optimizer steps on all weights. */
export async function fullJob(
  device: Device,
  source: ModelSource,
  size: BatchSize,
): Promise<ModelJob> {
  const space = new ParameterSpace(device, fullParameterShapes(source.config));
  return trainingJob(await loadLanguageModel(device, source, space), size);
}

/** A call is one batch: write it, and the loss of each of its tokens. */
export async function evaluationJob(
  device: Device,
  source: ModelSource,
  size: BatchSize,
): Promise<ModelJob> {
  const model = await loadLanguageModel(device, source);
  const batch = new BatchModel(model, size);
  const rows = benchmarkRows(model.config, size);
  return {
    queue(calls) {
      for (let done = 0; done < calls; done++) {
        writeRows(batch, rows, 1);
        device.run(batch.forward);
      }
    },
    loss: () => meanLoss(batch, countTargets(rows)),
    release() {
      batch.release();
      freeLanguageModel(model);
    },
  };
}

/** A call is one optimizer step: write the batch, forward, backward, clip, update. */
function trainingJob(model: LanguageModel, size: BatchSize): ModelJob {
  const batch = new BatchModel(model, size);
  const optimizer = new AdamW(model.device, batch.slabs, OPTIMIZER, 1);
  const rows = benchmarkRows(model.config, size);
  const weight = 1 / countTargets(rows);
  let step = 0;
  return {
    queue(calls) {
      for (let done = 0; done < calls; done++) {
        writeRows(batch, rows, weight);
        model.device.run(batch.forwardBackward);
        optimizer.step(step++, OPTIMIZER.lr);
      }
    },
    loss: () => meanLoss(batch, countTargets(rows)),
    release() {
      optimizer.release();
      batch.release();
      freeLanguageModel(model);
    },
  };
}

/** Losses are 0 where there is no target. */
async function meanLoss(batch: BatchModel, targets: number): Promise<number> {
  let sum = 0;
  for (const loss of await batch.device.readFloats(batch.losses)) sum += loss;
  return sum / targets;
}

function benchmarkRows({ vocabSize }: ModelConfig, { batchSize, length }: BatchSize): Example[] {
  const tokens = benchmarkTokens(batchSize * length, vocabSize);
  return Array.from({ length: batchSize }, (_, row) => ({
    tokens: tokens.subarray(row * length, (row + 1) * length),
    targets: new Uint8Array(length).fill(1, 1),
  }));
}

function loraAdapter(config: ModelConfig, rank: number): HostAdapter {
  const options = {
    form: "lora",
    rank,
    alpha: rank,
    lambda: 2,
    rankStabilized: false,
    pooling: "average",
    budget: null,
    targets: LINEAR_NAMES,
  } as const;
  const block = { rows: BASE.block_rows, columns: BASE.group_size };
  const modules = new Map<string, HostModule>();
  for (const linear of modelLinears(config)) {
    const shape = planAdapter(options, linear, block);
    if (shape !== null) modules.set(linear.path, zeroModule(linear, shape, 0));
  }
  return { description: { form: "lora", pooling: "average", base: "", peft: null }, modules };
}
