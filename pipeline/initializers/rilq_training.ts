/**
 * RILQ's training: Adam over accumulated windows, stopped when the windows held out improve no more.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";
import type { HiddenStates } from "../calibration/hidden_states.ts";
import { UserError } from "../errors.ts";
import { writeRows } from "../training/batch.ts";
import { AdamW } from "../training/optimizer.ts";
import type { OptimizerOptions } from "../training/options.ts";
import type { WindowSplit } from "./held_out.ts";
import { KeptBest } from "./kept_best.ts";
import type { ModelInitialization } from "./model_initializer.ts";
import type { RilqStudent, StudentOptions } from "./rilq_student.ts";

/** How a student trains. */
export interface StudentTraining extends StudentOptions {
  /** Learning rate. */
  readonly lr: number;
  /** Optimizer steps at most. */
  readonly steps: number;
  /** Optimizer steps between evaluations. */
  readonly evaluate_every: number;
  /** Evaluations without improvement after which training stops. */
  readonly patience: number;
}

/** The objective on some windows. */
export interface StudentLoss {
  /** The weighted sum of the other two. */
  readonly loss: number;
  /** Mean squared difference of the hidden states. */
  readonly hidden: number;
  /** Mean cross-entropy; 0 if it has no weight. */
  readonly tokens: number;
}

/** Adam as the released code sets it. */
export function optimizerOptions({ lr }: Pick<StudentTraining, "lr">): OptimizerOptions {
  return { name: "adamw", lr, betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0 };
}

/**
 * Trains, and leaves the best values in the student.
 *
 * @returns Facts for the manifest.
 * @throws {UserError} If the objective is not finite.
 */
export async function trainStudent(
  run: ModelInitialization,
  student: RilqStudent,
  teacher: HiddenStates,
  split: WindowSplit,
  options: StudentTraining,
): Promise<Record<string, number>> {
  const { batch } = student;
  const optimizer = new AdamW(batch.device, batch.slabs, optimizerOptions(options), null);
  const best = new KeptBest(batch.device, batch.slabs);
  try {
    const before = await studentLoss(run, student, teacher, split.heldOut, options);
    if (!Number.isFinite(before.loss)) {
      throw new UserError(
        `The outputs of the models on the calibration text are not finite (loss ${before.loss}); ` +
          `check that their files are intact`,
      );
    }
    log(run, 0, before);
    best.keep();
    let least = before;
    let bestStep = 0;
    let step = 0;
    let window = 0;
    for (let failures = 0; step < options.steps && failures < options.patience;) {
      for (let pass = 0; pass < options.accumulate; pass++) {
        run.signal.throwIfAborted();
        feed(run, student, teacher, split.training[window++ % split.training.length] ?? 0);
        batch.device.run(batch.forwardBackward);
        await batch.device.settle(); // writes of many windows would pile up in memory
      }
      optimizer.step(step++, options.lr);
      await setImmediate(); // lets a signal handler run where the device never waits
      run.report({
        activity: "rilq: training adapters",
        done: step,
        total: options.steps,
        values: { loss: least.loss },
      });
      if (step % options.evaluate_every !== 0 && step < options.steps) continue;
      const now = await studentLoss(run, student, teacher, split.heldOut, options);
      log(run, step, now);
      if (!Number.isFinite(now.loss)) {
        throw new UserError(
          `rilq diverged before step ${step}: its loss is ${now.loss}; set init.lr below ` +
            `${options.lr}`,
        );
      }
      if (now.loss < least.loss) {
        least = now;
        bestStep = step;
        failures = 0;
        best.keep();
      } else failures++;
    }
    best.restore();
    await batch.device.settle();
    return {
      held_out_loss_before: before.loss,
      held_out_loss: least.loss,
      held_out_hidden_error_before: before.hidden,
      held_out_hidden_error: least.hidden,
      held_out_windows: split.heldOut.length,
      steps: step,
      best_step: bestStep,
    };
  } finally {
    best.release();
    optimizer.release();
  }
}

/** The objective of the adapters as they are now. */
export async function studentLoss(
  run: Pick<ModelInitialization, "windows">,
  student: RilqStudent,
  teacher: HiddenStates,
  windows: readonly number[],
  { hidden_weight, lm_weight }: StudentOptions,
): Promise<StudentLoss> {
  const { batch: { device, forward, losses, length }, hiddenLosses, target } = student;
  let hidden = 0;
  let tokens = 0;
  for (const window of windows) {
    feed(run, student, teacher, window);
    device.run(forward);
    hidden += sum(await device.readFloats(hiddenLosses)) / target.size / windows.length;
    if (lm_weight === 0) continue; // no token has a weight, and no loss is computed
    tokens += sum(await device.readFloats(losses)) / (length - 1) / windows.length;
  }
  return { loss: hidden_weight * hidden + lm_weight * tokens, hidden, tokens };
}

function feed(
  { windows }: Pick<ModelInitialization, "windows">,
  { batch, target, tokenWeight }: RilqStudent,
  teacher: HiddenStates,
  window: number,
): void {
  const { length } = batch;
  const tokens = windows.subarray(window * length, (window + 1) * length);
  writeRows(batch, [{ tokens, targets: new Uint8Array(length).fill(1) }], tokenWeight);
  batch.device.write(target, teacher.read(window));
}

function log(run: ModelInitialization, step: number, { loss, hidden, tokens }: StudentLoss): void {
  run.log(
    `step ${step}: held-out loss ${loss.toPrecision(5)} (hidden states ${hidden.toPrecision(4)}, ` +
      `tokens ${tokens.toPrecision(5)})`,
  );
}

function sum(values: Float32Array | Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
