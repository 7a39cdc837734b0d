/**
 * Benchmarks of whole models: training steps and evaluation passes, as the stages run them.
 *
 * @module
 */

import type { Device } from "../../kernels/device.ts";
import type { Benchmark, Job } from "../../kernels/bench/benchmark.ts";
import { RandomStream } from "../../kernels/random.ts";
import type { HostAdapter, HostModule } from "../adapters/adapter.ts";
import { adapterParameterShapes, placeAdapter } from "../adapters/placement.ts";
import { planAdapter } from "../adapters/plan.ts";
import type { Example } from "../data/dataset.ts";
import { zero } from "../initializers/zero.ts";
import { LINEAR_NAMES, modelLinears } from "../models/architecture.ts";
import { BatchModel } from "../models/batch_model.ts";
import { type ModelConfig, parseConfig } from "../models/config.ts";
import {
  freeLanguageModel,
  type LanguageModel,
  loadLanguageModel,
  type ModelSource,
} from "../models/language_model.ts";
import { ParameterSpace } from "../models/parameters.ts";
import { RandomModel } from "../models/random_model.ts";
import { rtn } from "../quantizers/rtn.ts";
import { fullParameterShapes } from "../stages/full_training.ts";
import { countTargets, writeRows } from "../training/batch.ts";
import { AdamW } from "../training/optimizer.ts";

/** The model of `experiments/pretrain-brown.yaml`, which the quickstart fine-tunes. */
const CONFIG = {
  hidden_size: 128,
  intermediate_size: 384,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  vocab_size: 1024,
};

const NAME = "brown-525k";

const OPTIMIZER = {
  name: "adamw",
  lr: 1e-3,
  betas: [0.9, 0.999],
  epsilon: 1e-8,
  weight_decay: 0,
} as const;

const BASE = { method: "rtn", bits: 4, group_size: 32, block_rows: 1, symmetric: false } as const;

/** Rows of a batch and tokens of a row. */
interface Batch {
  readonly batchSize: number;
  readonly length: number;
}

/** All model benchmarks, with the batches of the experiment files that they stand for. */
export function modelBenchmarks(): Benchmark[] {
  const config = parseConfig(CONFIG, "the benchmark's model");
  const model = new RandomModel(config, 0);
  const quantized = quantizedSource(model);
  return [
    benchmark("train lora r16 int4", { batchSize: 4, length: 128 }, async (device, batch) => {
      const adapter = loraAdapter(config);
      const space = new ParameterSpace(device, adapterParameterShapes(adapter));
      const place = placeAdapter(device, adapter);
      return trainingJob(await loadLanguageModel(device, quantized, space, place), batch);
    }),
    benchmark("train full", { batchSize: 8, length: 128 }, async (device, batch) => {
      const space = new ParameterSpace(device, fullParameterShapes(config));
      return trainingJob(await loadLanguageModel(device, model, space), batch);
    }),
    benchmark("evaluate int4", { batchSize: 8, length: 128 }, async (device, batch) => {
      return evaluationJob(await loadLanguageModel(device, quantized), batch);
    }),
  ];
}

function benchmark(
  name: string,
  batch: Batch,
  prepare: (device: Device, batch: Batch) => Promise<Job>,
): Benchmark {
  const { batchSize, length } = batch;
  return {
    name,
    shape: `${NAME}, ${batchSize}x${length}`,
    work: { tokens: batchSize * length },
    prepare: (device) => prepare(device, batch),
  };
}

/** A call is one optimizer step: write the batch, forward, backward, clip, update. */
function trainingJob(model: LanguageModel, size: Batch): Job {
  const batch = new BatchModel(model, size);
  const optimizer = new AdamW(model.device, batch.slabs, OPTIMIZER, 1);
  const rows = randomRows(model.config, size);
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
    release() {
      optimizer.release();
      batch.release();
      freeLanguageModel(model);
    },
  };
}

/** A call is one batch: write it, and the loss of each of its tokens. */
function evaluationJob(model: LanguageModel, size: Batch): Job {
  const batch = new BatchModel(model, size);
  const rows = randomRows(model.config, size);
  return {
    queue(calls) {
      for (let done = 0; done < calls; done++) {
        writeRows(batch, rows, 1);
        model.device.run(batch.forward);
      }
    },
    release() {
      batch.release();
      freeLanguageModel(model);
    },
  };
}

function randomRows({ vocabSize }: ModelConfig, { batchSize, length }: Batch): Example[] {
  const random = new RandomStream(0, "benchmark tokens");
  return Array.from({ length: batchSize }, (_, row) => ({
    tokens: Uint32Array.from(
      { length },
      (_, index) => Math.floor(vocabSize * random.uniform(row * length + index)),
    ),
    targets: Uint8Array.from({ length }, (_, index) => index === 0 ? 0 : 1),
  }));
}

function quantizedSource(model: RandomModel): ModelSource {
  return {
    config: model.config,
    floats: (name) => model.floats(name),
    async weight(linear) {
      const weight = await model.weight(linear);
      if (weight.format !== "dense") return weight;
      return rtn.quantize(weight.values, weight.rows, weight.columns, BASE, linear.path);
    },
  };
}

function loraAdapter(config: ModelConfig): HostAdapter {
  const options = {
    form: "lora",
    rank: 16,
    alpha: 16,
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
    if (shape !== null) modules.set(linear.path, zero.initialize(linear, shape, 0));
  }
  return { description: { form: "lora", pooling: "average", base: "", peft: null }, modules };
}
