/**
 * The first calls of a process: what compiling kernels costs on top of computing.
 *
 * @module
 */

import type { Job } from "../../kernels/bench/benchmark.ts";
import type { Device } from "../../kernels/device.ts";
import { generationJob } from "./generation_jobs.ts";
import { evaluationJob, loraJob } from "./model_jobs.ts";
import { benchmarkConfig, PatternModel } from "./models.ts";

/** Seconds of one call, the first of its kind. */
export interface FirstCall {
  readonly name: string;
  readonly seconds: number;
}

/** Opens a device and calls everything that a run needs once: training, evaluation, generation. */
export async function measureFirstCalls(open: () => Promise<Device>): Promise<FirstCall[]> {
  const calls: FirstCall[] = [];
  async function measure<Result>(name: string, action: () => Promise<Result>): Promise<Result> {
    const start = performance.now();
    const result = await action();
    calls.push({ name, seconds: (performance.now() - start) / 1000 });
    return result;
  }
  const device = await measure("open the device", open);
  const config = benchmarkConfig("tinystories-656k");
  const size = { batchSize: 8, length: 256 };
  const jobs: Readonly<Record<string, (source: PatternModel) => Promise<Job>>> = {
    "training step, lora r16 int4": (source) => loraJob(device, source, size, 16),
    "evaluation pass, int4": (source) => evaluationJob(device, source, size),
    "generation, int4": (source) => generationJob(device, source, { batchSize: 1, length: 8 }),
  };
  for (const [name, prepare] of Object.entries(jobs)) {
    const source = new PatternModel(config, "int4");
    await measure(name, async () => {
      const job = await prepare(source);
      job.queue(1);
      await device.settle();
      job.release();
    });
  }
  device.close();
  return calls;
}
