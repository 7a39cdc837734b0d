/**
 * Equipoise as a program that is compared; see `serve.ts`.
 *
 * @module
 */

import { Option } from "commander";
import { benchmarkOf, type Job } from "../../kernels/bench/benchmark.ts";
import { copyCeiling, fmaCeiling } from "../../kernels/bench/ceilings.ts";
import { cpuFmaCeiling } from "../../kernels/bench/cpu_ceiling.ts";
import { chooseClock, type Clock, elapsed } from "../../kernels/bench/measure.ts";
import { linear } from "../../kernels/bench/products.ts";
import type { Device } from "../../kernels/device.ts";
import { generationJob, promptJob } from "../../pipeline/bench/generation_jobs.ts";
import { evaluationJob, fullJob, loraJob, type ModelJob } from "../../pipeline/bench/model_jobs.ts";
import { PatternModel, quantizedSource } from "../../pipeline/bench/models.ts";
import { DEVICE_NAMES, type DeviceName, openDevice } from "../../pipeline/executors/devices.ts";
import { parseConfig } from "../../pipeline/models/config.ts";
import type { ModelSource } from "../../pipeline/models/language_model.ts";
import { ModelFolder } from "../../pipeline/models/model_folder.ts";
import { makeCommand, positiveInteger } from "../shared/command.ts";
import type { PeerModel, PeerWeight, Workload } from "./protocol.ts";
import { type PeerJob, serve, UnsupportedWorkload } from "./serve.ts";

const command = makeCommand("bench:peers", "One side of a comparison.")
  .addOption(new Option("--device <name>").choices(DEVICE_NAMES).default("auto"))
  .option("--threads <n>", "threads of the CPU device", positiveInteger, 1)
  .parse([...Deno.args], { from: "user" });
const flags = command.opts<{ device: DeviceName; threads: number }>();

const device = await openDevice(flags.device, { threads: flags.threads });
const clock = await chooseClock(device, copyCeiling);
await serve(
  () => `Equipoise, Deno ${Deno.version.deno}, ${device.info.description}`,
  (workload) => prepare(device, clock, workload),
);
device.close();

async function prepare(device: Device, clock: Clock, workload: Workload): Promise<PeerJob> {
  switch (workload.kind) {
    case "linear": {
      const { weight } = workload;
      const benchmark = benchmarkOf(linear(workload, weight === "f32" ? "dense" : weight));
      return peerJob(device, clock, await benchmark.prepare(device));
    }
    case "train": {
      const { model, method, weight, rank } = workload;
      const source = sourceOf(model, method === "full" ? "f32" : weight);
      const job = method === "full"
        ? await fullJob(device, source, sizeOf(workload))
        : await loraJob(device, source, sizeOf(workload), rank);
      return await modelJob(device, clock, job, method === "full" ? "" : `${weight} base`);
    }
    case "evaluate": {
      const source = sourceOf(workload.model, workload.weight);
      const job = await evaluationJob(device, source, sizeOf(workload));
      return await modelJob(device, clock, job, `${workload.weight} weights`);
    }
    case "prompt": {
      const source = sourceOf(workload.model, workload.weight);
      return peerJob(device, clock, await promptJob(device, source, workload.length), "f32 head");
    }
    case "ceiling": {
      const ceiling = device.info.name === "cpu" && workload.vectors === "128 bits"
        ? cpuFmaCeiling(flags.threads, 128)
        : fmaCeiling(device, flags.threads);
      if (ceiling === null) {
        throw new UnsupportedWorkload(`No ceiling is known for ${device.info.description}`);
      }
      const job = peerJob(device, clock, await ceiling.prepare(device));
      return { ...job, work: ceiling.work.flops ?? 0 };
    }
    case "generate": {
      const source = sourceOf(workload.model, workload.weight);
      const size = { batchSize: 1, length: workload.length };
      return peerJob(device, clock, await generationJob(device, source, size), "f32 head");
    }
  }
}

function sizeOf({ batch, length }: { readonly batch: number; readonly length: number }) {
  return { batchSize: batch, length };
}

function sourceOf({ config, folder }: PeerModel, weight: PeerWeight): ModelSource {
  if (folder === undefined) return new PatternModel(parseConfig(config, "the model"), weight);
  const source = ModelFolder.open(folder);
  return weight === "int4" ? quantizedSource(source) : source;
}

/** The loss comes from the first call, before training has moved anything. */
async function modelJob(
  device: Device,
  clock: Clock,
  job: ModelJob,
  note: string,
): Promise<PeerJob> {
  job.queue(1);
  return { ...peerJob(device, clock, job), value: await job.loss(), note };
}

function peerJob(device: Device, clock: Clock, job: Job, note = ""): PeerJob {
  return {
    value: null,
    note,
    time: async (calls) => (await elapsed(device, job, 1, undefined, calls))[clock] / 1000,
    release: () => job.release(),
  };
}
