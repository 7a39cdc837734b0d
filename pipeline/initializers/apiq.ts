/**
 * What ApiQ-bw and ApiQ-lw share: their settings, and the way through the blocks of a model with one
 * stream of hidden states in full precision and one that is quantized and adapted.
 *
 * @module
 */

import { z } from "zod";
import type { CountingDevice } from "../../kernels/counting/device.ts";
import type { HostModule } from "../adapters/adapter.ts";
import { DeviceBlock } from "../calibration/device_block.ts";
import type { HiddenStates } from "../calibration/hidden_states.ts";
import { UserError } from "../errors.ts";
import { blockLinears, type LinearShape, modelLinears } from "../models/architecture.ts";
import { AdaptedBlock } from "./adapted_block.ts";
import type { ClippedSource, LearnedLinear } from "./clipped_linear.ts";
import { type ClippedGridSettings, clippedWeight } from "./clipped_weight.ts";
import { holdOut, validationShare, type WindowSplit } from "./held_out.ts";
import { KeptBest } from "./kept_best.ts";
import type {
  InitializedModel,
  ModelInitialization,
  PlannedInitialization,
} from "./model_initializer.ts";
import {
  allocateOptimizers,
  type Reconstruction,
  type ReconstructionOptions,
  type ReconstructionUnit,
  type Watch,
} from "./reconstruction.ts";
import { embeddedWindows, WindowPass } from "./window_files.ts";

/** Fields of the schemas of both; defaults are those of the released code. */
export const apiqFields = {
  epochs: z.int().positive().default(20)
    .describe("Passes over the calibration windows, one window a step."),
  clip_lr: z.number().positive().default(5e-3)
    .describe("Learning rate of the logits that clip the groups."),
  lr: z.number().positive().default(5e-4).describe("Learning rate of A and B."),
  weight_decay: z.number().nonnegative().default(0.1)
    .describe("Decoupled weight decay of both, as in the released code."),
  clip_init: z.number().default(4)
    .describe("The logits before training: 4 keeps 98 % of a group's range."),
  aug_loss: z.boolean().default(false)
    .describe("Also aim at what full-precision weights make of the quantized model's activations."),
  symmetric: z.boolean().default(false).describe("Zero is the middle of the codes."),
  contains_zero: z.boolean().default(false)
    .describe("Ranges always reach to 0; else zeros may lie outside the codes."),
  validation: validationShare(0.1),
} as const;

/** Values of {@linkcode apiqFields}. */
export interface ApiqOptions extends ReconstructionOptions {
  /** Logits before training. */
  readonly clip_init: number;
  /** Whether there is a second target. */
  readonly aug_loss: boolean;
  /** Whether zero is the middle of the codes. */
  readonly symmetric: boolean;
  /** Whether zero is always a value of the grid. */
  readonly contains_zero: boolean;
  /** Share of the windows that are held out. */
  readonly validation: number;
}

/** One block on its way through the model. */
export interface BlockVisit {
  /** Its place in the model. */
  readonly layer: number;
  /** In full precision. */
  readonly full: DeviceBlock;
  /** Quantized and adapted; layers that were not learned yet are as in the base. */
  readonly current: AdaptedBlock;
  /** Inputs of the block in full precision; its outputs when the visit is over. */
  readonly fullStates: HiddenStates;
  /** Inputs of the block in the quantized model. */
  readonly currentStates: HiddenStates;
  /** Which windows train. */
  readonly split: WindowSplit;
  /** To be handed to `reconstruct`. */
  readonly watch: Watch;
  /** Takes what was learned about a layer: from now on `current` has it. */
  learned(linear: LinearShape, values: LearnedLinear | undefined): Promise<void>;
  /** Takes the result of a unit. */
  finished(unit: string, result: Reconstruction): void;
}

/**
 * Visits all blocks.
 *
 * @param units Units that a block trains one after the other.
 * @throws {UserError} If the base has layers without integer groups.
 */
export async function throughBlocks(
  run: ModelInitialization,
  method: string,
  options: ApiqOptions,
  units: number,
  visit: (visit: BlockVisit) => Promise<void>,
): Promise<InitializedModel> {
  const { device, original, base, shape, signal } = run;
  const { config } = base;
  const split = holdOut(shape.samples, options.validation, method);
  const grids = gridsOf(run, method, options);
  const modules = new Map<string, HostModule>();
  const results: Reconstruction[] = [];
  const total = config.layers * units * options.epochs * split.training.length;
  let done = 0;
  let values: Record<string, number> = {};
  using fullStates = await embeddedWindows(run, "full", original);
  using currentStates = await embeddedWindows(run, "quantized", base);
  for (let layer = 0; layer < config.layers; layer++) {
    const activity = `${method}: block ${layer}`;
    const report = () => run.report({ activity, done, total, values });
    report();
    const full = new DeviceBlock(device, original, layer);
    const current = new AdaptedBlock(device, base, layer, run.targets);
    try {
      await full.fill(original);
      await current.fill(base);
      await visit({
        layer,
        full,
        current,
        fullStates,
        currentStates,
        split,
        watch: {
          signal,
          trained: () => {
            done++;
            report();
          },
        },
        learned: async (linear, values) => {
          const grid = grids.get(linear.path);
          if (values === undefined || grid === undefined) {
            throw new RangeError(`Nothing was learned about ${linear.path}`);
          }
          const weight = clippedWeight(
            await denseWeight(run, linear),
            linear.rows,
            linear.columns,
            values.upper,
            values.lower,
            grid,
          );
          current.put(linear, weight, values.module);
          run.replaceBase(linear, weight);
          if (values.module !== null) modules.set(linear.path, values.module);
        },
        finished: (unit, result) => {
          results.push(result);
          values = { error: result.after };
          run.log(
            `${unit}: held-out error ${result.before.toPrecision(4)} -> ` +
              `${result.after.toPrecision(4)} (epoch ${result.epoch} of ${options.epochs})`,
          );
        },
      });
      if (layer + 1 < config.layers) await moveOn(run, current, currentStates);
    } finally {
      full.release();
      current.release();
    }
  }
  const mean = (key: "before" | "after") =>
    results.reduce((sum, result) => sum + result[key], 0) / results.length;
  return {
    modules,
    facts: {
      held_out_error_before: mean("before"),
      held_out_error: mean("after"),
      held_out_windows: split.heldOut.length,
    },
  };
}

async function moveOn(
  run: ModelInitialization,
  { block }: AdaptedBlock,
  states: HiddenStates,
): Promise<void> {
  const pass = new WindowPass(run.device, run.base.config, block, run.shape.length);
  try {
    await pass.runAll(run, states, states);
  } finally {
    pass.release();
  }
}

async function denseWeight(
  { original }: ModelInitialization,
  linear: LinearShape,
): Promise<Float32Array> {
  const weight = await original.weight(linear);
  if (weight.format !== "dense") throw new RangeError(`${linear.path} is ${weight.format}`);
  return weight.values;
}

/**
 * The grid of every layer: bits and groups are those of the base, so that what is learned has its
 * format.
 *
 * @throws {UserError} If a layer has no integer codes in groups of one row.
 */
export function gridsOf(
  { base }: Pick<PlannedInitialization, "base">,
  method: string,
  { symmetric, contains_zero: containsZero }: ApiqOptions,
): ReadonlyMap<string, ClippedGridSettings> {
  return new Map(
    modelLinears(base.config).map(({ path }) => {
      const format = base.moduleFormat(path);
      if (format?.format !== "integer") {
        throw new UserError(
          `${method} learns the grids of integer codes, but ${path} is ` +
            `${
              format === null ? "not quantized" : `in the format ${format.format}`
            }; quantize with ` +
            `rtn or gptq, or use init: rilq, which leaves the base as it is`,
        );
      }
      const { bits, block_rows, group_size: groupSize } = format;
      if (block_rows !== 1) {
        throw new UserError(
          `${method} learns a grid for each group of one output, but ${path} is quantized in blocks ` +
            `of ${block_rows} outputs; set quantizer.block_rows to 1`,
        );
      }
      if (symmetric && bits < 2) {
        throw new UserError(
          `${method} has no symmetric grid of ${bits} bit for ${path}; set init.symmetric to false`,
        );
      }
      return [path, { bits, groupSize, symmetric, containsZero }];
    }),
  );
}

/**
 * Makes the allocations of {@linkcode throughBlocks}, of one block: the others follow it in the same
 * memory.
 *
 * @param units Allocates the units of a visit one after the other, and hands each to its callback,
 * which adds what training allocates.
 */
export function rehearseBlocks(
  device: CountingDevice,
  plan: PlannedInitialization,
  options: ApiqOptions,
  units: (full: DeviceBlock, hold: (unit: ReconstructionUnit) => void) => void,
): void {
  const { ledger } = device;
  const { original, base, shape, targets } = plan;
  const { config } = base;
  const linears = blockLinears(config, 0);
  const largest = Math.max(...linears.map(({ rows, columns }) => rows * columns));
  const widest = Math.max(...linears.map(({ columns }) => columns));
  ledger.take("host", "calibration tokens", 4 * shape.samples * shape.length);
  ledger.take("host", "a window of activations", 2 * 4 * shape.length * widest);
  ledger.phase("reconstructing");
  const full = new DeviceBlock(device, original, 0);
  const current = new AdaptedBlock(device, base, 0, targets);
  new WindowPass(device, config, full.block, shape.length).release();
  units(full, (unit) => {
    const optimizers = allocateOptimizers(device, unit, options);
    new KeptBest(device, [...unit.clips.slabs, ...unit.factors.slabs]).release();
    optimizers.forEach(({ optimizer }) => optimizer.release());
  });
  ledger.take("host", "a layer and its codes", 9 * largest).drop();
  new WindowPass(device, config, current.block, shape.length).release();
  full.release();
  current.release();
}

/** Full-precision layers, each with its grid. */
export function clippedSources(
  full: DeviceBlock,
  linears: readonly LinearShape[],
  grids: ReadonlyMap<string, ClippedGridSettings>,
): ClippedSource[] {
  const { block } = full;
  return linears.map(({ name, path }) => {
    const grid = grids.get(path);
    if (grid === undefined) throw new RangeError(`${path} has no grid`);
    return { linear: block.linears[name], grid };
  });
}
