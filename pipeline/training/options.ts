/**
 * The training loop's own settings, as an experiment file spells them.
 *
 * @module
 */

import { z } from "zod";

/** Settings of AdamW (Loshchilov & Hutter 2019). */
export interface OptimizerOptions {
  /** The only optimizer. */
  readonly name: "adamw";
  /** Peak learning rate. */
  readonly lr: number;
  /** Decay of the first and the second moment. */
  readonly betas: readonly [number, number];
  /** Added to the root of the second moment. */
  readonly epsilon: number;
  /** Decoupled: multiplied by the learning rate. Norms and biases never decay. */
  readonly weight_decay: number;
}

/** How the learning rate changes; see `schedule.ts`. */
export interface ScheduleOptions {
  /** Shape after warm-up. */
  readonly name: "constant" | "linear" | "cosine";
  /** Steps over which the rate rises from 0. */
  readonly warmup_steps: number;
  /** The same as a share of all steps, rounded up; used if `warmup_steps` is 0. */
  readonly warmup_ratio: number;
  /** The rate that `linear` and `cosine` fall to, as a share of the peak. */
  readonly minimum_ratio: number;
}

/** Settings of the training loop; {@linkcode trainingShape} for defaults. */
export interface TrainingOptions {
  /** Optimizer steps. */
  readonly steps: number;
  /** Rows of one forward and backward pass. */
  readonly batch_size: number;
  /** Tokens of a row. */
  readonly length: number;
  /** Passes whose gradients one optimizer step sums: it sees `batch_size * accumulate` rows. */
  readonly accumulate: number;
  /** How parameters are updated. */
  readonly optimizer: OptimizerOptions;
  /** How the learning rate changes. */
  readonly schedule: ScheduleOptions;
  /** Largest global gradient norm; null: no clipping. */
  readonly clip: number | null;
  /** Probability that an element of an adapter's pooled input is dropped. */
  readonly dropout: number;
  /** Whether rows are drawn in an order given by the seed. */
  readonly shuffle: boolean;
  /** Whether several examples share a row, each with attention to itself only. */
  readonly packing: boolean;
  /** Whether the rows of a step are of similar length. */
  readonly group_by_length: boolean;
  /**
   * Whether the activations of a block are computed again in the backward pass instead of kept. The
   * result never depends on it. `auto` is decided when a run is planned: only where memory is short.
   */
  readonly activation_checkpointing: "auto" | boolean;
  /** Steps between evaluations; 0: none. */
  readonly evaluate_every: number;
  /** Steps between checkpoints. The result never depends on it. */
  readonly checkpoint_every: number;
  /** Steps between readbacks of the losses. The result never depends on it. */
  readonly log_every: number;
}

const optimizer = z.strictObject({
  name: z.literal("adamw").default("adamw"),
  lr: z.number().positive().default(2e-4).describe("Peak learning rate."),
  betas: z.tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)]).default([0.9, 0.999])
    .describe("Decay of the two moments."),
  epsilon: z.number().positive().default(1e-8).describe("Added to the root of the second moment."),
  weight_decay: z.number().nonnegative().default(0)
    .describe("Decoupled weight decay of matrices; norms and biases never decay."),
});

const schedule = z.strictObject({
  name: z.enum(["constant", "linear", "cosine"]).default("constant")
    .describe("How the learning rate falls after warm-up."),
  warmup_steps: z.int().nonnegative().default(0)
    .describe("Steps over which the learning rate rises from 0."),
  warmup_ratio: z.number().min(0).max(1).default(0)
    .describe("Warm-up as a share of all steps, rounded up; instead of warmup_steps."),
  minimum_ratio: z.number().min(0).max(1).default(0)
    .describe("Learning rate at the end of linear and cosine, as a share of the peak."),
}).refine(({ warmup_steps, warmup_ratio }) => warmup_steps === 0 || warmup_ratio === 0, {
  message: "give warmup_steps or warmup_ratio, not both",
  path: ["warmup_ratio"],
});

/** Schemas of {@linkcode TrainingOptions} by key, to be spread into the object of a stage. */
export const trainingShape = {
  steps: z.int().positive().describe("Optimizer steps."),
  batch_size: z.int().positive().default(8).describe("Rows of one forward and backward pass."),
  length: z.int().min(2).default(256).describe("Tokens of a row."),
  accumulate: z.int().positive().default(1)
    .describe("Passes per optimizer step: it sees batch_size * accumulate rows."),
  optimizer: optimizer.prefault({}),
  schedule: schedule.prefault({}),
  clip: z.number().positive().nullable().default(1)
    .describe("Largest global gradient norm (1 as in Hugging Face; QLoRA used 0.3); null: none."),
  dropout: z.number().min(0).lt(1).default(0)
    .describe("Probability that an element of an adapter's pooled input is dropped."),
  shuffle: z.boolean().default(true).describe("Draw rows in an order given by the seed."),
  packing: z.boolean().default(false).describe(
    "Put several examples into a row of `length` tokens, so that little of it is padding; each attends " +
      "to its own tokens only, and learns as it would alone.",
  ),
  group_by_length: z.boolean().default(false).describe(
    "Draw rows of similar length for a step, so that it is padded less (as group_by_length in Hugging " +
      "Face); needs shuffle.",
  ),
  activation_checkpointing: z.union([z.literal("auto"), z.boolean()]).default("auto")
    .describe(
      "Compute activations again in the backward pass instead of keeping them (also called gradient " +
        "checkpointing): less memory, about a third more work, the same result; auto: only if needed.",
    ),
  evaluate_every: z.int().nonnegative().default(0)
    .describe("Steps between evaluations; 0: none."),
  checkpoint_every: z.int().positive().default(50)
    .describe("Steps between checkpoints; the result does not depend on it."),
  log_every: z.int().positive().default(10)
    .describe("Steps between readbacks of the losses; the result does not depend on it."),
};

/** Mistakes in options that fit their schemas one by one. */
export function checkTrainingOptions(
  { packing, group_by_length, shuffle }: TrainingOptions,
): { readonly path: string; readonly message: string }[] {
  if (!group_by_length) return [];
  const path = "group_by_length";
  return [
    ...packing
      ? [{ path, message: "Packed rows are all of one length; set packing or group_by_length" }]
      : [],
    ...shuffle ? [] : [{
      path,
      message: "Rows of similar length are drawn at random, but shuffle is false; set it to true",
    }],
  ];
}
