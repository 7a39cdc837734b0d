/**
 * RILQ: all adapters of a model together learn to give back what quantization took.
 *
 * @module
 */

import { z } from "zod";
import type { CountingDevice } from "../../kernels/counting/device.ts";
import { DeviceBlock } from "../calibration/device_block.ts";
import { UserError } from "../errors.ts";
import { fillLanguageModel } from "../models/language_model.ts";
import { AdamW } from "../training/optimizer.ts";
import { gaussianModule } from "./gaussian.ts";
import { holdOut, validationShare } from "./held_out.ts";
import { KeptBest } from "./kept_best.ts";
import type {
  InitializedModel,
  ModelInitializer,
  PlannedInitialization,
} from "./model_initializer.ts";
import { RilqStudent } from "./rilq_student.ts";
import { teacherStates } from "./rilq_teacher.ts";
import { optimizerOptions, trainStudent } from "./rilq_training.ts";
import { WindowPass } from "./window_files.ts";

const parameters = z.strictObject({
  method: z.literal("rilq"),
  hidden_weight: z.number().nonnegative().default(0.5)
    .describe("Factor on the mean squared difference of the last hidden states."),
  lm_weight: z.number().nonnegative().default(0.5)
    .describe("Factor on the cross-entropy of the next token of the calibration text."),
  hidden_states: z.enum(["final_norm", "last_block"]).default("final_norm")
    .describe("Behind the final normalization, as in the code, or before it, as in the text."),
  lr: z.number().positive().default(1e-4).describe("Learning rate of Adam, constant."),
  steps: z.int().positive().default(1250).describe("Optimizer steps at most."),
  accumulate: z.int().positive().default(8).describe("Windows of one optimizer step."),
  evaluate_every: z.int().positive().default(25)
    .describe("Optimizer steps between looks at the windows held out."),
  patience: z.int().positive().default(5)
    .describe("Looks without improvement after which training stops."),
  activation_checkpointing: z.boolean().default(false)
    .describe("Compute activations again in the backward pass: less memory, a third more work."),
  validation: validationShare(0.2),
}).refine(({ hidden_weight, lm_weight }) => hidden_weight + lm_weight > 0, {
  message: "hidden_weight and lm_weight are both 0, so there is nothing to train for",
  path: ["hidden_weight"],
});

/** Parameters of {@linkcode rilq}. */
export type RilqParameters = z.output<typeof parameters>;

/**
 * Lee et al. 2025, "RILQ: Rank-Insensitive LoRA-based Quantization Error Compensation" (arXiv
 * 2412.01129): `hidden_weight MSE(Y, Y_q) + lm_weight CE`, where Y are the last hidden states of the
 * full-precision model. The base is frozen and of any format. A ~ N(0, 1/r²), B = 0.
 */
export const rilq: ModelInitializer<RilqParameters> = {
  name: "rilq",
  summary: "all adapters together, against the full-precision model's last hidden states (RILQ)",
  parameters,
  async initializeModel(run, options): Promise<InitializedModel> {
    const { device, base, seed, shape, targets } = run;
    const { hidden_states, lm_weight } = options;
    if (lm_weight > 0 && shape.length < 2) {
      throw new UserError(
        `rilq predicts the next token of calibration windows, but they have ${shape.length} token; ` +
          `set calibration.length to 2 or more, or init.lm_weight to 0`,
      );
    }
    const split = holdOut(shape.samples, options.validation, "rilq");
    using teacher = await teacherStates(run, hidden_states === "final_norm", (done) => {
      run.report({ activity: "rilq: full-precision model", done, total: base.config.layers });
    });
    const student = new RilqStudent(device, run, options);
    try {
      await fillLanguageModel(student.model, base);
      student.fill(({ linear, shape }) => gaussianModule(linear, shape, seed), targets);
      const facts = await trainStudent(run, student, teacher, split, options);
      return { modules: await student.readBack(targets), facts };
    } finally {
      student.release();
    }
  },
  rehearse: rehearseRilq,
};

function rehearseRilq(
  device: CountingDevice,
  plan: PlannedInitialization,
  options: RilqParameters,
): void {
  const { original, shape: { samples, length } } = plan;
  const { ledger } = device;
  const { config } = original;
  ledger.take("host", "calibration tokens", 4 * samples * length);
  ledger.take("host", "a window of activations", 2 * 4 * length * config.hiddenSize);
  ledger.phase("full-precision model");
  const block = new DeviceBlock(device, original, 0);
  new WindowPass(device, config, block.block, length).release();
  block.release();
  ledger.phase("training adapters");
  const student = new RilqStudent(device, plan, options);
  student.batch.forwardBackward; // recorded on first use, with the gradients of activations
  const { slabs } = student.batch;
  const optimizer = new AdamW(device, slabs, optimizerOptions(options), null);
  new KeptBest(device, slabs).release();
  optimizer.release();
  student.release();
}
