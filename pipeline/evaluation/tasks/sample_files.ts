/**
 * Items of evaluated tasks on the disk: `tasks.json` and `samples/TASK.jsonl` in the result of an
 * `evaluate` stage.
 *
 * @module
 */

import { join } from "node:path";
import { UserError } from "../../errors.ts";
import { readJsonOrNull, readTextOrNull } from "../../formats/files.ts";
import type { EvaluationRecord, Sample } from "./sample.ts";

const TASKS_FILE = "tasks.json";

/** What `tasks.json` says of itself. */
const FORMAT = { format: "equipoise/tasks", version: 1 } as const;

/** JSON has no NaN and no infinities: they are objects with this one key. */
const NUMBER_KEY = "$number";

/**
 * Writes what was asked, and the items of every task, into the folder of a result.
 *
 * @param samples By task.
 */
export async function writeEvaluation(
  folder: string,
  record: EvaluationRecord,
  samples: ReadonlyMap<string, readonly Sample[]>,
): Promise<void> {
  await Deno.writeTextFile(
    join(folder, TASKS_FILE),
    JSON.stringify({ ...FORMAT, ...record }, storeNumber, 2) + "\n",
  );
  await Deno.mkdir(join(folder, "samples"), { recursive: true });
  for (const [task, items] of samples) {
    // Of large tasks they do not fit one string.
    const lines = items.values().map((sample) => JSON.stringify(sample, storeNumber) + "\n");
    await Deno.writeTextFile(samplesPath(folder, task), ReadableStream.from(lines));
  }
}

/**
 * What was asked; null in results without tasks.
 *
 * @throws {UserError} If the file is of another version.
 */
export function readEvaluation(folder: string): EvaluationRecord | null {
  const path = join(folder, TASKS_FILE);
  const json = readJsonOrNull(path);
  if (json === null) return null;
  if (json.format !== FORMAT.format || json.version !== FORMAT.version) {
    throw new UserError(
      `${path} is of another version: wanted "format": "${FORMAT.format}", "version": ` +
        `${FORMAT.version}; run the experiment again`,
    );
  }
  // Read a second time, for the numbers that JSON lacks.
  const { tasks, groups } = JSON.parse(readTextOrNull(path) ?? "", loadNumber);
  return { tasks, groups };
}

/**
 * The items of a task, in the order in which they were written.
 *
 * @throws {UserError} If there are none, or a line is not JSON.
 */
export function readSamples(folder: string, task: string): Sample[] {
  const path = samplesPath(folder, task);
  const text = readTextOrNull(path);
  if (text === null) {
    throw new UserError(`There is no ${path}; run the experiment again, which writes the items`);
  }
  return text.split("\n").flatMap((line, index): Sample[] => {
    if (line === "") return [];
    try {
      return [JSON.parse(line, loadNumber) as Sample];
    } catch (error) {
      throw new UserError(`${path}:${index + 1}: not JSON (${(error as Error).message})`);
    }
  });
}

function samplesPath(folder: string, task: string): string {
  return join(folder, "samples", `${task.replaceAll(/[^\w.-]/g, "_")}.jsonl`);
}

function storeNumber(_: string, value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  return typeof value === "number" && !Number.isFinite(value)
    ? { [NUMBER_KEY]: String(value) }
    : value;
}

function loadNumber(_: string, value: unknown): unknown {
  return typeof value === "object" && value !== null && NUMBER_KEY in value
    ? Number(value[NUMBER_KEY])
    : value;
}
