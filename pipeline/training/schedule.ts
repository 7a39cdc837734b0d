/**
 * Learning-rate schedules, step for step those of Hugging Face Transformers (`get_*_schedule_with_
 * warmup`), so that runs can be compared: the first step of a warm-up has rate 0, and the step after
 * the last would reach the minimum.
 *
 * @module
 */

import type { ScheduleOptions } from "./options.ts";

/**
 * The factor on the peak learning rate in `step` (from 0) of `steps`.
 *
 * @example
 * ```ts
 * import { learningRateFactor } from "./schedule.ts";
 *
 * const linear = { name: "linear", warmup_steps: 2, warmup_ratio: 0, minimum_ratio: 0 } as const;
 * const factors = [0, 1, 2, 3, 4, 5].map((step) => learningRateFactor(linear, step, 6));
 * if (factors.join() !== "0,0.5,1,0.75,0.5,0.25") throw new Error("2 steps up, 4 down");
 * ```
 */
export function learningRateFactor(schedule: ScheduleOptions, step: number, steps: number): number {
  const warmup = schedule.warmup_steps || Math.ceil(schedule.warmup_ratio * steps);
  if (step < warmup) return step / warmup;
  const progress = (step - warmup) / Math.max(1, steps - warmup);
  const { minimum_ratio } = schedule;
  switch (schedule.name) {
    case "constant":
      return 1;
    case "linear":
      return minimum_ratio + (1 - minimum_ratio) * (1 - progress);
    case "cosine":
      return minimum_ratio + (1 - minimum_ratio) * 0.5 * (1 + Math.cos(Math.PI * progress));
  }
}
