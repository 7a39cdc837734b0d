/**
 * ApiQ, layer-wise.
 *
 * @module
 */

import { z } from "zod";
import type { Tensor } from "../../kernels/device.ts";
import { BLOCK_INPUTS } from "../calibration/block_pass.ts";
import type { HiddenStates } from "../calibration/hidden_states.ts";
import { blockLinears, type LinearShape } from "../models/architecture.ts";
import type { BlockActivations } from "../models/block_tensors.ts";
import type { Block } from "../models/language_model.ts";
import {
  apiqFields,
  type ApiqOptions,
  type BlockVisit,
  clippedSources,
  gridsOf,
  rehearseBlocks,
  throughBlocks,
} from "./apiq.ts";
import { LayersUnit } from "./apiq_layers.ts";
import { ClippedLinears } from "./clipped_linear.ts";
import type { ModelInitialization, ModelInitializer } from "./model_initializer.ts";
import { reconstruct } from "./reconstruction.ts";
import { windowFile, WindowPass } from "./window_files.ts";
import { zeroModule } from "./zero.ts";

const parameters = z.strictObject({ method: z.literal("apiq-lw"), ...apiqFields });

/** Parameters of {@linkcode apiqLw}. */
export type ApiqLwParameters = z.output<typeof parameters>;

/**
 * Liao et al. 2024, "ApiQ" (arXiv 2402.05147): layer by layer in the order they are computed,
 * `min |X W - X_q (Q + A B)|²` over grid and adapter, where X comes from the full-precision model and
 * X_q from the quantized layers before. The released code has the block-wise variant only.
 */
export const apiqLw: ModelInitializer<ApiqLwParameters> = {
  name: "apiq-lw",
  summary: "learned clipping and adapters, layer by layer, against full-precision outputs (ApiQ)",
  parameters,
  initializeModel: (run, options) =>
    throughBlocks(
      run,
      "apiq-lw",
      options,
      BLOCK_INPUTS.length,
      (visit) => learnLayers(run, options, visit),
    ),
  rehearse(device, plan, options) {
    const { base: { config }, shape: { length }, targets } = plan;
    const grids = gridsOf(plan, "apiq-lw", options);
    rehearseBlocks(device, plan, options, (full, hold) => {
      for (const { linears: names } of BLOCK_INPUTS) {
        const shapes = blockLinears(config, 0).filter(({ name }) => names.includes(name));
        const sources = clippedSources(full, shapes, grids);
        const linears = new ClippedLinears(device, sources, targets);
        const originals = sources.map(({ linear }) => linear);
        const { aug_loss } = options;
        const unit = new LayersUnit(device, "layers", originals, linears, length, aug_loss);
        hold(unit);
        unit.release();
        linears.release();
      }
    });
  },
};

async function learnLayers(
  run: ModelInitialization,
  options: ApiqOptions,
  visit: BlockVisit,
): Promise<void> {
  const { base: { config } } = run;
  const { full, current, fullStates, currentStates } = visit;
  for (const { linears: names, of } of BLOCK_INPUTS) {
    const shapes = blockLinears(config, visit.layer).filter(({ name }) => names.includes(name));
    const [first] = shapes;
    if (first === undefined) continue;
    using reference = windowFile(run, "reference", first.columns);
    using input = windowFile(run, "inputs", first.columns);
    await readInputs(run, full.block, fullStates, reference, of);
    await readInputs(run, current.block, currentStates, input, of);
    await learnGroup(run, options, visit, shapes, [input, reference]);
  }
  const pass = new WindowPass(run.device, config, full.block, run.shape.length);
  try {
    await pass.runAll(run, fullStates, fullStates);
  } finally {
    pass.release();
  }
}

async function learnGroup(
  run: ModelInitialization,
  options: ApiqOptions,
  visit: BlockVisit,
  shapes: readonly LinearShape[],
  states: readonly HiddenStates[],
): Promise<void> {
  const { device, shape: { length } } = run;
  const name = `block ${visit.layer}, ${shapes.map(({ name }) => name).join(", ")}`;
  const sources = clippedSources(visit.full, shapes, gridsOf(run, "apiq-lw", options));
  const linears = new ClippedLinears(device, sources, run.targets);
  const originals = sources.map(({ linear }) => linear);
  const unit = new LayersUnit(device, name, originals, linears, length, options.aug_loss);
  try {
    linears.fill(options.clip_init, ({ linear, shape }) => zeroModule(linear, shape, run.seed));
    const result = await reconstruct(device, unit, states, visit.split, options, visit.watch);
    visit.finished(name, result);
    const learned = await linears.readBack();
    for (const shape of shapes) await visit.learned(shape, learned.get(shape.path));
  } finally {
    unit.release();
    linears.release();
  }
}

/** Writes one of the four inputs that the layers of a block share, for all windows. */
async function readInputs(
  run: ModelInitialization,
  block: Block,
  states: HiddenStates,
  inputs: HiddenStates,
  of: (activations: BlockActivations) => Tensor,
): Promise<void> {
  const pass = new WindowPass(run.device, run.base.config, block, run.shape.length);
  try {
    await pass.runAll(run, states, inputs, of(pass.activations));
  } finally {
    pass.release();
  }
}
