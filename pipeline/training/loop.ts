/**
 * The training loop: fills input tensors, replays recordings, and keeps enough on disk to continue
 * after a crash with the same bits.
 *
 * @module
 */

import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { keyOf } from "../../kernels/random.ts";
import { batchAt } from "../data/batches.ts";
import type { Dataset, Example } from "../data/dataset.ts";
import { UserError } from "../errors.ts";
import type { Progress } from "../graph/stage.ts";
import { countTargets, writeRows } from "./batch.ts";
import { loadCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import { appendHistory, type StepRecord, truncateHistory } from "./history.ts";
import { LossRing } from "./loss_ring.ts";
import { AdamW } from "./optimizer.ts";
import type { TrainingOptions } from "./options.ts";
import type { Rounds } from "./rounds.ts";
import type { RowLengths } from "./row_lengths.ts";
import { learningRateFactor } from "./schedule.ts";
import { meanLoss } from "./score.ts";
import type { Trainable } from "./trainable.ts";

/** File of the parameters and optimizer state in the checkpoint folder. */
export const CHECKPOINT_FILE = "checkpoint.safetensors";

/** File of {@linkcode StepRecord} lines in the checkpoint folder. */
export const LOSSES_FILE = "losses.jsonl";

/** What {@linkcode train} needs. */
export interface TrainingRun {
  /** Set up for `options.batch_size` rows of `options.length` tokens, holding the initial values. */
  readonly trainable: Trainable;
  /** The same model for batches of rows that are shorter; null or absent to pad all of them. */
  readonly rowLengths?: Pick<RowLengths, "fitting"> | null;
  /** Rows to learn from. */
  readonly dataset: Dataset;
  /** Scored every `options.evaluate_every` steps. */
  readonly evaluation?: Dataset | null;
  /** Settings of the run. */
  readonly options: TrainingOptions;
  /** Rounds that the steps are divided into; null or absent for none. */
  readonly rounds?: Rounds | null;
  /** Keys the order of rows and dropout. */
  readonly seed: number;
  /** Existing folder; what an interrupted run left there is continued. */
  readonly checkpointFolder: string;
  /** Once aborted, the run saves a checkpoint after the current step and throws `signal.reason`. */
  readonly signal: AbortSignal;
  /** Called after every readback of losses. */
  report(progress: Progress): void;
  /** Called with a line per step. */
  log(line: string): void;
}

/** What training leaves besides the trained values, which stay in the trainable's tensors. */
export interface TrainingResult {
  /** One per optimizer step, those before an interruption included. */
  readonly records: readonly StepRecord[];
  /** Targets learned from in all steps. */
  readonly tokens: number;
  /** Steps that were already done when this process started. */
  readonly resumedFrom: number;
  /** Tokens of the rows that this process trained on; padding is none. */
  readonly tokensHere: number;
  /** Time this process spent in the loop. */
  readonly seconds: number;
}

/**
 * Trains the slabs of a model with AdamW.
 *
 * A step averages the loss over all targets of its `accumulate` batches together, so that splitting
 * a batch changes nothing but rounding. The result does not depend on where the run was interrupted.
 *
 * @throws {UserError} If the loss becomes NaN or infinite, rows have nothing to learn, or the
 * checkpoint cannot be written or belongs to other settings.
 */
export async function train(run: TrainingRun): Promise<TrainingResult> {
  const { trainable, options } = run;
  checkShape(trainable, options);
  const { optimizer, ring } = allocateTraining(trainable, options, run.rounds?.penalty);
  try {
    return await trainWith(run, optimizer, ring);
  } catch (error) {
    forgetWithoutCheckpoint(run.checkpointFolder);
    throw error;
  } finally {
    ring.release();
    optimizer.release();
  }
}

/** Everything on the device that training needs besides the model. */
export function allocateTraining(
  trainable: Trainable,
  options: TrainingOptions,
  penalty = 0,
): { optimizer: AdamW; ring: LossRing } {
  const { device, slabs } = trainable;
  trainable.forwardBackward; // recorded on first use, with the gradients of activations
  return {
    optimizer: new AdamW(device, slabs, options.optimizer, options.clip, penalty),
    ring: new LossRing(trainable, options.accumulate, options.log_every),
  };
}

/** Losses without a checkpoint continue nothing. */
function forgetWithoutCheckpoint(folder: string): void {
  if (!existsSync(join(folder, CHECKPOINT_FILE))) {
    rmSync(join(folder, LOSSES_FILE), { force: true });
  }
}

async function trainWith(
  run: TrainingRun,
  optimizer: AdamW,
  ring: LossRing,
): Promise<TrainingResult> {
  const { trainable, options, rounds = null, evaluation, checkpointFolder, signal } = run;
  const checkpointPath = join(checkpointFolder, CHECKPOINT_FILE);
  const lossesPath = join(checkpointFolder, LOSSES_FILE);
  const state = new Map([
    ...trainable.slabs.map(({ name, parameters }) => [name, parameters] as const),
    ...optimizer.moments,
    ...rounds?.state ?? [],
  ]);
  const fingerprint = fingerprintOf(run);
  const resumedFrom = loadCheckpoint(checkpointPath, trainable.device, state, fingerprint);
  const records = truncateHistory(lossesPath, resumedFrom);
  if (resumedFrom > 0) run.log(`continues after step ${resumedFrom} of ${options.steps}`);
  else rounds?.begin(0);

  const start = performance.now();
  let reported = start;
  let saved = resumedFrom;
  let [tokensHere, tokensReported] = [0, 0];
  for (let done = resumedFrom; done < options.steps;) {
    tokensHere += queueStep(run, optimizer, ring, done);
    done++;
    if (rounds !== null && isMultiple(done, rounds.steps)) turn(rounds, optimizer, done, options);
    await setImmediate(); // lets a signal handler run; the device keeps working
    const interrupted = signal.aborted && done < options.steps;
    const last = interrupted || done === options.steps;
    const evaluates = evaluation && isMultiple(done, options.evaluate_every);
    const saves = last || isMultiple(done, options.checkpoint_every);
    if (!(saves || evaluates || isMultiple(done, options.log_every))) continue;

    let fresh = await ring.drain();
    if (evaluates) {
      const evaluation_loss = await meanLoss(trainable, allRows(evaluation));
      fresh = fresh.map((record) => record.step === done ? { ...record, evaluation_loss } : record);
    }
    appendHistory(lossesPath, fresh);
    records.push(...fresh);
    const now = performance.now();
    report(run, fresh, 1000 * (tokensHere - tokensReported) / (now - reported));
    [reported, tokensReported] = [now, tokensHere];
    if (saves && done > saved) {
      await saveCheckpoint(checkpointPath, trainable.device, state, { step: done, fingerprint });
      saved = done;
    }
    if (interrupted) throw signal.reason;
  }
  return {
    records,
    tokens: records.reduce((sum, { tokens }) => sum + tokens, 0),
    resumedFrom,
    tokensHere,
    seconds: (performance.now() - start) / 1000,
  };
}

/** Queues the end of a round after `done` steps, and the start of the next if there is one. */
function turn(
  rounds: Rounds,
  optimizer: AdamW,
  done: number,
  { steps }: TrainingOptions,
): void {
  const next = done / rounds.steps;
  rounds.end(next - 1);
  optimizer.clear();
  if (done < steps) rounds.begin(next);
}

/** Queues the passes and the update of step `done + 1`, awaits nothing, and returns its rows' tokens. */
function queueStep(run: TrainingRun, optimizer: AdamW, ring: LossRing, done: number): number {
  const { trainable, dataset, options, rounds, seed } = run;
  const { accumulate, batch_size: batchSize, shuffle, steps } = options;
  const order = {
    ...{ batchSize, seed, shuffle },
    ...(options.group_by_length && { groupRows: batchSize * accumulate }),
  };
  const batches = Array.from(
    { length: accumulate },
    (_, pass) => batchAt(dataset, { ...order, step: done * accumulate + pass }),
  );
  const tokens = batches.reduce((sum, rows) => sum + countTargets(rows), 0);
  if (tokens === 0) {
    throw new UserError(
      `Training has nothing to learn in step ${done + 1}: none of its rows has a target token`,
    );
  }
  batches.forEach((rows, pass) => {
    const fitting = run.rowLengths?.fitting(rows) ?? trainable;
    writeRows(fitting, rows, 1 / tokens);
    if (trainable.dropoutKey !== null) {
      const key = keyOf(seed, "dropout", done * accumulate + pass);
      trainable.device.write(trainable.dropoutKey, Uint32Array.from(key));
    }
    trainable.device.run(fitting.forwardBackward);
    ring.pushPass(pass, fitting);
  });
  const lr = options.optimizer.lr * learningRateFactor(options.schedule, done, steps);
  optimizer.step(rounds ? done % rounds.steps : done, lr);
  ring.pushStep({ step: done + 1, lr, tokens }, optimizer.norm);
  return batches.flat().reduce((sum, row) => sum + row.tokens.length, 0);
}

function checkShape({ batchSize, length }: Trainable, options: TrainingOptions): void {
  if (batchSize !== options.batch_size || length !== options.length) {
    throw new RangeError(
      `The model is set up for ${batchSize} rows of ${length} tokens, but the options say ` +
        `${options.batch_size} rows of ${options.length}`,
    );
  }
}

/** What decides every step: how often the run looks at itself, and what it recomputes, does not. */
function fingerprintOf({ options, rounds, seed, dataset, trainable }: TrainingRun): string {
  const {
    checkpoint_every: _checkpoint,
    log_every: _log,
    activation_checkpointing: _activation,
    ...decisive
  } = options;
  return JSON.stringify({
    ...decisive,
    rounds: rounds?.settings,
    seed,
    data: [dataset.size, dataset.length, dataset.tokens],
    device: trainable.device.info.class,
    slabs: trainable.slabs.map(({ name, parameters }) => [name, parameters.size]),
  });
}

function allRows(dataset: Dataset): Example[] {
  return Array.from({ length: dataset.size }, (_, index) => dataset.example(index));
}

function isMultiple(step: number, period: number): boolean {
  return period > 0 && step % period === 0;
}

function report(run: TrainingRun, fresh: readonly StepRecord[], tokensPerSecond: number): void {
  const last = fresh.at(-1);
  if (last === undefined) return;
  run.report({
    activity: "training",
    done: last.step,
    total: run.options.steps,
    values: { loss: last.loss, "tokens/s": tokensPerSecond },
  });
  for (const { step, loss, lr, grad_norm, evaluation_loss } of fresh) {
    run.log(
      `step ${step} loss ${loss.toFixed(4)} lr ${lr.toPrecision(4)} ` +
        `gradient norm ${grad_norm.toPrecision(4)}` +
        (evaluation_loss === undefined ? "" : ` evaluation loss ${evaluation_loss.toFixed(4)}`),
    );
  }
}
