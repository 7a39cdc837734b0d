/**
 * Training a small model with the scheme `xgblora`, watched from inside.
 *
 * @module
 */

import type { Device, Tensor } from "../../../kernels/device.ts";
import { ReferenceDevice } from "../../../kernels/reference/device.ts";
import type { HostAdapter } from "../../adapters/adapter.ts";
import { readBackAdapter } from "../../adapters/placement.ts";
import { train, type TrainingResult, type TrainingRun } from "../loop.ts";
import type { TrainingOptions } from "../options.ts";
import type { Rounds } from "../rounds.ts";
import type { XgbloraOptions } from "../xgblora.ts";
import { randomRows } from "./bigram.ts";
import { type BoostedModel, boostedModel, type BoostedOptions, SEED } from "./boosted_model.ts";
import { optionsOf } from "./options.ts";

/** Four rounds on half of the blocks. */
export const SCHEME: XgbloraOptions = {
  method: "xgblora",
  rounds: 4,
  layers: 2,
  penalty: 0.01,
  step_size: 1,
};

/** Forms that are pairs of factors. */
export const PAIR_FORMS: readonly string[] = ["lora", "qa-lora", "q-blora", "qa-blora"];

/** Three steps a round. */
export const OPTIONS: TrainingOptions = optionsOf({
  schedule: { ...optionsOf({}).schedule, warmup_steps: 0 },
});

/** A run of {@linkcode boost}. */
export interface BoostedRun {
  /** Null for plain training. */
  readonly scheme: XgbloraOptions | null;
  readonly model?: BoostedOptions;
  readonly options?: TrainingOptions;
  /** Default: a new reference device; closed in the end. */
  readonly device?: Device;
  /** What happens at the turns of rounds instead. */
  readonly watch?: (rounds: Rounds, boosted: BoostedModel) => Partial<Rounds>;
  /** What differs from training on 20 random rows. */
  readonly loop?: Partial<TrainingRun>;
}

/** Trains a boosted model, and hands it with its adapter to `inspect`. */
export async function boost<Result>(
  run: BoostedRun,
  inspect: (
    boosted: BoostedModel,
    adapter: HostAdapter,
    result: TrainingResult,
  ) => Result | Promise<Result>,
): Promise<Result> {
  const device = run.device ?? new ReferenceDevice();
  const options = run.options ?? OPTIONS;
  const folder = run.loop?.checkpointFolder ?? await Deno.makeTempDir();
  try {
    const boosted = await boostedModel(
      device,
      options.batch_size,
      run.scheme,
      options.steps,
      run.model,
    );
    const { batch, model, boosters, rounds, first } = boosted;
    const result = await train({
      trainable: batch,
      dataset: randomRows(20),
      options,
      rounds: rounds === null ? null : { ...rounds, ...run.watch?.(rounds, boosted) },
      seed: SEED,
      checkpointFolder: folder,
      signal: new AbortController().signal,
      report: () => {},
      log: () => {},
      ...run.loop,
    });
    const adapter = await (boosters?.adapter(first) ?? readBackAdapter(model, first));
    return await inspect(boosted, adapter, result);
  } finally {
    if (run.loop?.checkpointFolder === undefined) await Deno.remove(folder, { recursive: true });
    device.close();
  }
}

/** A tensor's values at some moment of the queue, to be read later. */
export function snapshot(device: Device, tensor: Tensor): Tensor {
  const copy = device.tensor("f32", tensor.shape, `copy of ${tensor.label}`);
  device.copy(tensor, 0, copy, 0, tensor.size);
  return copy;
}
