/**
 * `losses.jsonl`: one line per optimizer step, appended while training runs.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { readTextOrNull } from "../formats/files.ts";

/** What is known of one optimizer step. */
export interface StepRecord {
  /** From 1. */
  readonly step: number;
  /** Mean over the targets of the step's rows, before the update. */
  readonly loss: number;
  /** Learning rate of the update. */
  readonly lr: number;
  /** Global gradient norm before clipping. */
  readonly grad_norm: number;
  /** Targets that `loss` averages. */
  readonly tokens: number;
  /** Mean loss on the evaluation data after the update, at steps that evaluate. */
  readonly evaluation_loss?: number;
}

/** Appends records and waits until they are on disk. */
export function appendHistory(path: string, records: readonly StepRecord[]): void {
  writeLines(path, records, { append: true, create: true });
}

/**
 * The first `steps` records of a file; the rest, written after the last checkpoint by a run that was
 * killed, is cut off the file.
 *
 * @throws {UserError} If the file does not hold that many records.
 */
export function truncateHistory(path: string, steps: number): StepRecord[] {
  const lines = (readTextOrNull(path) ?? "").split("\n").slice(0, steps);
  let records: StepRecord[];
  try {
    records = lines.map((line) => JSON.parse(line));
  } catch {
    records = [];
  }
  if (records.length !== steps || records.some(({ step }, index) => step !== index + 1)) {
    throw new UserError(
      `${path} does not hold the ${steps} steps of the checkpoint beside it; ` +
        `delete that folder to train from the start`,
    );
  }
  writeLines(`${path}.tmp`, records, { write: true, create: true, truncate: true });
  Deno.renameSync(`${path}.tmp`, path);
  return records;
}

function writeLines(
  path: string,
  records: readonly StepRecord[],
  options: Deno.OpenOptions,
): void {
  const bytes = new TextEncoder().encode(
    records.map((record) => JSON.stringify(record) + "\n").join(""),
  );
  try {
    using file = Deno.openSync(path, options);
    for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
    file.syncSync();
  } catch (error) {
    throw new UserError(
      `Cannot write ${path}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
}
