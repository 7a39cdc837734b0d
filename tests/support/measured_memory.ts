/**
 * Planned and measured memory of every stage of an experiment, each stage in a fresh process.
 *
 * @module
 */

import { join } from "node:path";
import { PatternModel } from "../../pipeline/bench/models.ts";
import { trainByteLevelBpe } from "../../pipeline/data/byte_level_bpe.ts";
import type { DeviceName } from "../../pipeline/executors/devices.ts";
import { LocalExecutor } from "../../pipeline/executors/local.ts";
import { taskOf } from "../../pipeline/executors/schedule.ts";
import { planExperiment } from "../../pipeline/experiment.ts";
import { Store } from "../../pipeline/graph/store.ts";
import { parseConfig } from "../../pipeline/models/config.ts";
import { writeDenseModel } from "../../pipeline/models/dense_model.ts";
import { TINY_TEXT } from "./tiny_model.ts";

/** One stage: bytes as planned and as measured. */
export interface MeasuredMemory {
  readonly id: string;
  readonly stage: string;
  readonly device: { readonly planned: number; readonly measured: number } | null;
  readonly host: { readonly planned: number; readonly measured: number };
  readonly seconds: number;
}

/** Writes a random model of some shape, with a small tokenizer, into `folder`, which is made. */
export async function writeRandomModel(
  folder: string,
  json: Readonly<Record<string, unknown>>,
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const source = new PatternModel(parseConfig(json, "random model"), "f32");
  await writeDenseModel(folder, source, { ...json, torch_dtype: "float16" }, "F16");
  const files = trainByteLevelBpe([TINY_TEXT], { vocabSize: 264 });
  await Deno.writeTextFile(join(folder, "tokenizer.json"), JSON.stringify(files.tokenizer));
  await Deno.writeTextFile(join(folder, "tokenizer_config.json"), JSON.stringify(files.config));
}

/** Runs the stages of an experiment file, in order. */
export async function measureMemory(
  file: string,
  out: string,
  device: DeviceName,
): Promise<MeasuredMemory[]> {
  const plan = await planExperiment(file, { out, device });
  const measured: MeasuredMemory[] = [];
  for (const stage of plan.stages) {
    const store = join(out, ".store");
    const planned = plan.memory.get(stage.key);
    if (planned === undefined) throw new Error(`${stage.id} has no memory plan`);
    await using executor = new LocalExecutor({
      jobs: 1,
      threads: navigator.hardwareConcurrency,
      store,
      device,
      stages: new URL("../../pipeline/stages/registry.ts", import.meta.url).href,
    });
    await executor.submit(taskOf(stage, plan, { version: "test", commit: null }));
    for (let done = false; !done;) {
      for (const event of await executor.poll()) {
        if (event.kind === "failed") throw new Error(`${stage.id}: ${event.message}`);
        done ||= event.kind === "done";
      }
    }
    using opened = await Store.open(store);
    const found = await opened.inspect(stage.key);
    if (found.state !== "complete") throw new Error(`${stage.id} left no result`);
    const { peakMemory, seconds } = found.manifest;
    measured.push({
      id: stage.id,
      stage: stage.identity.stage,
      device: planned.device === null
        ? null
        : { planned: planned.device.peak, measured: peakMemory.device ?? 0 },
      host: { planned: planned.host.peak, measured: peakMemory.host },
      seconds,
    });
  }
  return measured;
}
