/**
 * Benchmarks of generation: how fast prompts are read, and how fast tokens come after them.
 *
 * @module
 */

import type { Benchmark } from "../../kernels/bench/benchmark.ts";
import { generationJob, promptJob } from "./generation_jobs.ts";
import { generationWork, promptWork } from "./model_work.ts";
import {
  type BaseFormat,
  benchmarkConfig,
  BYTES_PER_WEIGHT,
  type ModelName,
  PatternModel,
} from "./models.ts";

/** Models, the tokens of their prompts and continuations, and whether all runs have them. */
const MODELS: readonly {
  readonly model: ModelName;
  readonly prompt: number;
  readonly length: number;
  readonly full: boolean;
}[] = [
  { model: "tinystories-656k", prompt: 256, length: 128, full: false },
  { model: "15M", prompt: 128, length: 32, full: false },
  { model: "110M", prompt: 256, length: 32, full: true },
  { model: "1.1B", prompt: 256, length: 16, full: true },
  { model: "7B, one layer", prompt: 256, length: 32, full: true },
  { model: "7B", prompt: 512, length: 32, full: true },
];

/** Prompts, and generation at batch 1 and 8. */
export function generationBenchmarks(): Benchmark[] {
  return MODELS.flatMap(({ model, prompt, length, full }) => [
    promptBenchmark(model, "int4", prompt, full),
    generation(model, "int4", 1, length, full),
    generation(model, "int4", 8, length, full),
    generation(model, "f32", 1, length, true),
  ]);
}

function promptBenchmark(
  model: ModelName,
  format: BaseFormat,
  length: number,
  large: boolean,
): Benchmark {
  const config = benchmarkConfig(model);
  return {
    suite: "models",
    name: `prompt ${format}`,
    shape: `${model}, ${length}`,
    work: promptWork(config, length),
    large,
    prepare: (device) => promptJob(device, new PatternModel(config, format), length),
  };
}

function generation(
  model: ModelName,
  format: BaseFormat,
  batchSize: number,
  length: number,
  large: boolean,
): Benchmark {
  const config = benchmarkConfig(model);
  const size = { batchSize, length };
  return {
    suite: "models",
    name: `generate ${format}`,
    shape: `${model}, ${batchSize}x${length}`,
    work: generationWork(config, size, BYTES_PER_WEIGHT[format]),
    large,
    prepare: (device) => generationJob(device, new PatternModel(config, format), size),
  };
}
