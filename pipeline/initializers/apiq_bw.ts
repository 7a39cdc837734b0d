/**
 * ApiQ, block-wise.
 *
 * @module
 */

import { z } from "zod";
import { blockLinears } from "../models/architecture.ts";
import {
  apiqFields,
  type ApiqOptions,
  type BlockVisit,
  clippedSources,
  gridsOf,
  rehearseBlocks,
  throughBlocks,
} from "./apiq.ts";
import { BlockUnit } from "./apiq_block.ts";
import { ClippedLinears } from "./clipped_linear.ts";
import type { ModelInitialization, ModelInitializer } from "./model_initializer.ts";
import { reconstruct } from "./reconstruction.ts";
import { windowFile, WindowPass } from "./window_files.ts";
import { zeroModule } from "./zero.ts";

const parameters = z.strictObject({ method: z.literal("apiq-bw"), ...apiqFields });

/** Parameters of {@linkcode apiqBw}. */
export type ApiqBwParameters = z.output<typeof parameters>;

/**
 * Liao et al. 2024, "ApiQ" (arXiv 2402.05147): the grids and adapters of a block, all seven layers
 * together, learn to turn what the quantized blocks before pass on into what the full-precision model
 * has behind the block. The weights stay; rounding passes gradients straight through.
 */
export const apiqBw: ModelInitializer<ApiqBwParameters> = {
  name: "apiq-bw",
  summary: "learned clipping and adapters, block by block, against the full-precision block (ApiQ)",
  parameters,
  initializeModel: (run, options) =>
    throughBlocks(run, "apiq-bw", options, 1, (visit) => learnBlock(run, options, visit)),
  rehearse(device, plan, options) {
    const { base: { config }, shape: { length }, targets } = plan;
    const grids = gridsOf(plan, "apiq-bw", options);
    rehearseBlocks(device, plan, options, (full, hold) => {
      const sources = clippedSources(full, blockLinears(config, 0), grids);
      const linears = new ClippedLinears(device, sources, targets);
      const { aug_loss } = options;
      const unit = new BlockUnit(device, config, "block", full.block, linears, length, aug_loss);
      hold(unit);
      unit.release();
      linears.release();
    });
  },
};

async function learnBlock(
  run: ModelInitialization,
  options: ApiqOptions,
  visit: BlockVisit,
): Promise<void> {
  const { device, base: { config }, shape: { length } } = run;
  const { full, fullStates, currentStates } = visit;
  const shapes = blockLinears(config, visit.layer);
  using augmented = options.aug_loss ? windowFile(run, "augmented", config.hiddenSize) : null;
  const pass = new WindowPass(device, config, full.block, length);
  try {
    await pass.runAll(run, fullStates, fullStates);
    if (augmented !== null) await pass.runAll(run, currentStates, augmented);
  } finally {
    pass.release();
  }
  const sources = clippedSources(full, shapes, gridsOf(run, "apiq-bw", options));
  const linears = new ClippedLinears(device, sources, run.targets);
  const name = `block ${visit.layer}`;
  const { aug_loss } = options;
  const unit = new BlockUnit(device, config, name, full.block, linears, length, aug_loss);
  const states = [currentStates, fullStates, ...(augmented === null ? [] : [augmented])];
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
