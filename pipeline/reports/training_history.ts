/**
 * The steps of every stage of a run that trained, from the store.
 *
 * @module
 */

import { join } from "node:path";
import { UserError } from "../errors.ts";
import { readTextOrNull } from "../formats/files.ts";
import type { Results, StageRecordResult } from "../graph/results.ts";
import type { Store } from "../graph/store.ts";
import type { StepRecord } from "../training/history.ts";
import { LOSSES_FILE } from "../training/loop.ts";

/** A stage that trained. */
export interface TrainingHistory {
  /** Of its result in the store. */
  readonly key: string;
  /** "tuned". */
  readonly node: string;
  /** Time and facts. */
  readonly result: StageRecordResult;
  /** In order. */
  readonly steps: readonly StepRecord[];
}

/**
 * All stages that left `losses.jsonl`, in the order of the results.
 *
 * @throws {UserError} If a result is not in the store any more, or its losses cannot be read.
 */
export async function trainingHistories(
  results: Results,
  store: Store,
): Promise<TrainingHistory[]> {
  const histories: TrainingHistory[] = [];
  for (const [key, { node, result }] of Object.entries(results.stages)) {
    if (result === null) continue;
    const { folder } = await store.artifact(key);
    const steps = readSteps(join(folder, LOSSES_FILE));
    if (steps !== null) histories.push({ key, node, result, steps });
  }
  return histories;
}

function readSteps(path: string): StepRecord[] | null {
  const text = readTextOrNull(path);
  if (text === null) return null;
  try {
    return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  } catch (error) {
    throw new UserError(`${path} is damaged: ${(error as SyntaxError).message}`);
  }
}
