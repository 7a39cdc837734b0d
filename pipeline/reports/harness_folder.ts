/**
 * The evaluations of a run as files of lm-evaluation-harness, in the folder of the run:
 * `lm_eval/MODEL/results_TIME.json` and `samples_TASK_TIME.jsonl`, as the harness lays them out below
 * its `--output_path`.
 *
 * They follow from the results in the store alone: the same results give the same files, names included.
 *
 * @module
 */

import { join } from "node:path";
import { statOrNull } from "../formats/files.ts";
import { readEvaluation, readSamples } from "../evaluation/tasks/sample_files.ts";
import type { CellResult, Results, StageRecordResult } from "../graph/results.ts";
import type { Artifact } from "../graph/stage.ts";
import type { Store } from "../graph/store.ts";
import { listFiles } from "../graph/store_files.ts";
import { fileTime, harnessResults, sanitizeModelName } from "./harness_results.ts";
import { sampleHashes, sampleLine, taskHash } from "./harness_samples.ts";

/** Name of the folder inside that of a run. */
export const HARNESS_FOLDER = "lm_eval";

/** An evaluated model of a run. */
export interface Evaluation {
  readonly cell: CellResult;
  /** "quality.tuned". */
  readonly id: string;
  readonly artifact: Artifact;
  readonly result: StageRecordResult;
}

/** The evaluations of a run that are complete; what cells share comes once, with the first of them. */
export async function evaluationsOf(
  { cells, stages }: Results,
  store: Pick<Store, "artifact">,
): Promise<Evaluation[]> {
  const found = new Map<string, Evaluation>();
  for (const cell of cells) {
    for (const [id, key] of Object.entries(cell.stages)) {
      const { stage, result } = stages[key] ?? {};
      if (stage !== "evaluate" || !result || found.has(key)) continue;
      found.set(key, { cell, id, artifact: await store.artifact(key), result });
    }
  }
  return [...found.values()];
}

/** The model that an evaluation is of, as `deno task serve` takes it: "balance:0/tuned". */
export function evaluatedModel(results: Results, { cell, id }: Evaluation): string {
  return `${results.name}:${cell.index}/${id.slice(id.indexOf(".") + 1)}`;
}

/**
 * Writes the files of all evaluations of a run that have items, unless they are there already, and
 * removes those of other results.
 */
export async function writeHarnessFolder(
  runFolder: string,
  results: Results,
  store: Pick<Store, "artifact">,
): Promise<void> {
  const root = join(runFolder, HARNESS_FOLDER);
  /** Times in the names of files, by folder. */
  const current = new Map<string, Set<string>>();
  for (const evaluation of await evaluationsOf(results, store)) {
    const model = evaluatedModel(results, evaluation);
    const folder = sanitizeModelName(model);
    const time = fileTime(new Date(evaluation.result.created));
    current.set(folder, (current.get(folder) ?? new Set()).add(time));
    // Written last: where it is, all are.
    const isThere = statOrNull(join(root, folder, `results_${time}.json`)) !== null;
    if (!isThere) await writeEvaluation(join(root, folder), model, evaluation, results);
  }
  if (statOrNull(root) === null) return;
  for (const path of await listFiles(root)) {
    const [folder = "", file = ""] = path.split("/");
    const time = file.slice(file.lastIndexOf("_") + 1).replace(/\.jsonl?$/, "");
    if (current.get(folder)?.has(time) !== true) await Deno.remove(join(root, path));
  }
  for await (const { name } of Deno.readDir(root)) {
    if (!current.has(name)) await Deno.remove(join(root, name), { recursive: true });
  }
}

async function writeEvaluation(
  folder: string,
  model: string,
  { cell, id, artifact, result }: Evaluation,
  { provenance }: Results,
): Promise<void> {
  const record = readEvaluation(artifact.folder);
  if (record === null) return;
  await Deno.mkdir(folder, { recursive: true });
  const ended = new Date(result.created);
  const time = fileTime(ended);
  const taskHashes: Record<string, string> = {};
  for (const { task } of record.tasks) {
    const samples = readSamples(artifact.folder, task);
    const hashes = samples.map(sampleHashes);
    taskHashes[task] = taskHash(hashes);
    const name = `samples_${task.replaceAll("/", "__")}_${time}.jsonl`;
    // Of large tasks they do not fit one string.
    const lines = samples.values().map((sample, index) =>
      `${sampleLine(sample, hashes[index] ?? sampleHashes(sample))}\n`
    );
    await Deno.writeTextFile(join(folder, name), ReadableStream.from(lines));
  }
  const node = id.split(".")[0] ?? id;
  const { batch_size: batchSize } = cell.nodes[node]?.parameters as { batch_size?: number };
  const text = harnessResults({
    model,
    ...record,
    taskHashes,
    started: new Date(ended.getTime() - 1000 * result.seconds),
    seconds: result.seconds,
    batchSize: batchSize ?? null,
    device: result.device?.name ?? null,
    version: result.equipoise.version,
    commit: result.equipoise.commit,
    environment: `Deno ${provenance.deno}, ${provenance.os}` +
      (result.device === null ? "" : `, ${result.device.description}`),
  });
  await Deno.writeTextFile(join(folder, `results_${time}.json`), text);
}
