/**
 * Benchmarks of whole models: training and evaluation, over model size, batch, length and rank.
 *
 * @module
 */

import type { Benchmark } from "../../kernels/bench/benchmark.ts";
import type { Device } from "../../kernels/device.ts";
import { evaluationJob, fullJob, loraJob, type ModelJob } from "./model_jobs.ts";
import { type BatchSize, evaluationWork, fullWork, loraWork } from "./model_work.ts";
import { type BaseFormat, benchmarkConfig, type ModelName, PatternModel } from "./models.ts";

const RANK = 16;

/** Passes of every model, with batches that fit a machine without a GPU, and whether all runs have them. */
const MODELS: readonly {
  readonly model: ModelName;
  readonly batch: readonly [batchSize: number, length: number];
  readonly full: boolean;
}[] = [
  // The batches of experiments/quickstart.yaml.
  { model: "brown-525k", batch: [4, 128], full: false },
  { model: "tinystories-656k", batch: [8, 256], full: false },
  { model: "15M", batch: [1, 256], full: false },
  { model: "15M", batch: [8, 256], full: true },
  { model: "110M", batch: [1, 512], full: true },
  { model: "1.1B", batch: [1, 256], full: true },
  { model: "7B, one layer", batch: [1, 512], full: true },
  { model: "7B", batch: [1, 512], full: true },
];

/** LoRA, full training and evaluation of every model, then the scaling curves of LoRA training. */
export function modelBenchmarks(): Benchmark[] {
  return [
    ...MODELS.flatMap(({ model, batch: [batchSize, length], full }) => {
      const size = { batchSize, length };
      return [
        loraTraining("models", model, size, RANK, full),
        // Four values for each weight: beyond what most devices hold.
        ...model === "7B" || model === "1.1B" ? [] : [fullTraining(model, size, full)],
        evaluation(model, "int4", size, full),
        evaluation(model, "f32", size, true),
      ];
    }),
    ...scalingBenchmarks(),
  ];
}

/** LoRA training of the 15M model with one thing changed at a time. */
function scalingBenchmarks(): Benchmark[] {
  const curve = (batchSize: number, length: number, rank: number) =>
    loraTraining("scaling", "15M", { batchSize, length }, rank, true);
  return [
    ...[32, 64, 128, 256].map((length) => curve(4, length, RANK)),
    // The batch of 4 is on the other two curves, too.
    ...[1, 2, 8, 16].map((batchSize) => curve(batchSize, 128, RANK)),
    ...[4, 8, 32, 64].map((rank) => curve(4, 128, rank)),
  ];
}

function loraTraining(
  suite: string,
  model: ModelName,
  size: BatchSize,
  rank: number,
  large: boolean,
): Benchmark {
  const config = benchmarkConfig(model);
  return {
    suite,
    name: `train lora r${rank} int4`,
    shape: shapeOf(model, size),
    work: loraWork(config, size, rank),
    large,
    step: true,
    prepare: (device) => loraJob(device, new PatternModel(config, "int4"), size, rank),
  };
}

function fullTraining(model: ModelName, size: BatchSize, large: boolean): Benchmark {
  const config = benchmarkConfig(model);
  return {
    suite: "models",
    name: "train full",
    shape: shapeOf(model, size),
    work: fullWork(config, size),
    large,
    step: true,
    prepare: (device) => fullJob(device, new PatternModel(config, "f32"), size),
  };
}

function evaluation(
  model: ModelName,
  format: BaseFormat,
  size: BatchSize,
  large: boolean,
): Benchmark {
  const config = benchmarkConfig(model);
  return {
    suite: "models",
    name: `evaluate ${format}`,
    shape: shapeOf(model, size),
    work: evaluationWork(config, size),
    large,
    prepare: (device: Device): Promise<ModelJob> =>
      evaluationJob(device, new PatternModel(config, format), size),
  };
}

function shapeOf(model: ModelName, { batchSize, length }: BatchSize): string {
  return `${model}, ${batchSize}x${length}`;
}
