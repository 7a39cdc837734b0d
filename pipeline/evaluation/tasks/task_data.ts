/**
 * Documents of tasks, from files.
 *
 * @module
 */

import { basename, dirname } from "node:path";
import { readTable } from "../../data/tables/read_table.ts";
import type { Row } from "../../data/tables/row.ts";
import { UserError } from "../../errors.ts";
import type { BadItems } from "./bad_items.ts";
import { FieldError, type Fields } from "./fields.ts";
import { findFunction } from "./functions/registry.ts";
import { readHellaswagText } from "./hellaswag_text.ts";
import type { Task } from "./task_node.ts";
import { type FunctionReference, readTaskYaml } from "./task_yaml.ts";

/** A document and where its row stands. */
export interface Document {
  readonly fields: Fields;
  readonly place: string;
}

/** Reads files once, for all tasks that take their rows from them. */
export class TaskFiles {
  readonly #rows = new Map<string, Promise<readonly Row[]>>();

  /**
   * The rows of a task.
   *
   * @param paths Files, among which those of other subjects may be.
   * @param rows Function that makes documents of rows; null to take them as they are.
   * @throws {UserError} If there is no row for the task, or a row is bad and that is an error.
   */
  async documents(
    task: Task,
    paths: readonly string[],
    rows: FunctionReference | null | undefined,
    bad: BadItems,
  ): Promise<Document[]> {
    const change = rows ? findFunction(rows, "rows", task.owners) : null;
    const found: Document[] = [];
    for (const { fields, place } of await this.#rowsOf(task, paths, bad)) {
      try {
        found.push({ fields: change === null ? fields : change(fields), place });
      } catch (error) {
        if (!(error instanceof FieldError)) throw error;
        bad.add(place, error.message);
      }
    }
    return found;
  }

  async #rowsOf(task: Task, paths: readonly string[], bad: BadItems): Promise<readonly Row[]> {
    const { subset } = task;
    const own = subset === null ? [] : paths.filter((path) => isOfSubset(path, subset));
    const all = await Promise.all(
      (own.length > 0 ? own : paths).map((path) => this.#read(task, path, bad)),
    );
    const rows = all.flat();
    if (subset === null || own.length > 0) return rows;
    const chosen = rows.filter(({ fields }) => fields.subject === subset);
    if (chosen.length > 0) return chosen;
    throw new UserError(
      `The task ${task.name} has no rows in ${list(paths)}: a file or folder must be named after ` +
        `"${subset}" (as in "${subset}_test.csv"), or a column "subject" must say it`,
    );
  }

  #read(task: Task, path: string, bad: BadItems): Promise<readonly Row[]> {
    const key = `${readerOf(task, path)} ${path}`;
    let rows = this.#rows.get(key);
    if (rows === undefined) this.#rows.set(key, rows = readRows(task, path, bad));
    return rows;
  }
}

type Reader = "table" | "hellaswag" | "examples";

function readerOf(task: Task, path: string): Reader {
  if (/\.ya?ml$/.test(path)) return "examples";
  const isText = /\.txt(\.(gz|bz2|zst))?$/i.test(path);
  return isText && task.owners.includes("hellaswag") ? "hellaswag" : "table";
}

async function readRows(task: Task, path: string, bad: BadItems): Promise<readonly Row[]> {
  const reader = readerOf(task, path);
  if (reader === "examples") return readExamples(path);
  const refuse = (place: string, message: string) => bad.add(place, message);
  const rows: Row[] = [];
  const source = reader === "hellaswag"
    ? readHellaswagText(path, refuse)
    : readTable(path, { onBadRow: refuse });
  for await (const row of source) rows.push(row);
  return rows;
}

/** Examples that a task file has: the user's own copy of a task of the harness, say. */
function readExamples(path: string): Row[] {
  const { value, place } = readTaskYaml(path);
  const samples = (value.fewshot_config as { samples?: unknown } | undefined)?.samples;
  if (!Array.isArray(samples)) {
    throw new UserError(`${path} has no examples: wanted a list under fewshot_config.samples`);
  }
  return samples.map((fields: Fields, index) => ({
    fields,
    place: place(["fewshot_config", "samples", index]),
  }));
}

/** "anatomy_test.csv", "anatomy.jsonl.gz" and "anatomy/test/0000.parquet" are of "anatomy". */
function isOfSubset(path: string, subset: string): boolean {
  const [stem = ""] = basename(path).split(".");
  const name = stem
    .replace(/-\d{5}-of-\d{5}$/, "")
    .replace(/[-_](test|dev|val|validation|train|eval)$/, "");
  const folder = dirname(path);
  return name === subset || basename(folder) === subset || basename(dirname(folder)) === subset;
}

function list(paths: readonly string[]): string {
  const [first = "no file"] = paths;
  return paths.length < 2 ? first : `${first} and ${paths.length - 1} more`;
}
