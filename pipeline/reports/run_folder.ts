/**
 * The folder of a run: `runs/<name>/` with what people and other tools read.
 *
 * @module
 */

import { join } from "node:path";
import { stringify } from "yaml";
import { statOrNull } from "../formats/files.ts";
import type { StageEvent } from "../executors/executor.ts";
import { type Results, stringifyResults } from "../graph/results.ts";
import type { Plan } from "../graph/plan.ts";
import { replaceTextFile } from "../graph/store_files.ts";
import { planRecords } from "./plan_text.ts";
import { makeTable } from "./table.ts";
import { formatTable } from "./table_formats.ts";

/** Writes one run. */
export class RunFolder {
  /** Absolute path. */
  readonly path: string;
  readonly #logs: ReadonlyMap<string, string>;

  private constructor(path: string, plan: Plan) {
    this.path = path;
    this.#logs = new Map(
      plan.stages.map(({ key, id }) => [key, join(path, "logs", logName(id, key))]),
    );
  }

  /** Makes the folder and writes what is known before anything runs: the experiment and the plan. */
  static async create(path: string, plan: Plan): Promise<RunFolder> {
    await Deno.mkdir(join(path, "logs"), { recursive: true });
    const folder = new RunFolder(path, plan);
    await replaceTextFile(join(path, "experiment.yaml"), stringify(plan.experiment.document));
    const plans = { name: plan.experiment.name, stages: planRecords(plan) };
    await replaceTextFile(join(path, "plan.json"), JSON.stringify(plans, null, 2) + "\n");
    return folder;
  }

  /** Appends what an event says to the log of its stage. */
  log(event: StageEvent): void {
    const text = logText(event);
    const path = this.#logs.get(event.key);
    if (text === null || path === undefined) return;
    Deno.writeTextFileSync(path, `${text}\n`, { append: true });
  }

  /** Writes `results.json` and, if the experiment has a table, its formats. */
  async writeResults(results: Results): Promise<void> {
    await replaceTextFile(join(this.path, "results.json"), stringifyResults(results));
    const table = results.table === null
      ? null
      : makeTable(results.table, results.cells, results.axes);
    for (const format of ["md", "csv", "tex"] as const) {
      const path = join(this.path, `table.${format}`);
      if (table !== null) await replaceTextFile(path, formatTable(table, format));
      // One from before the section was taken out would say something about other results.
      else if (statOrNull(path) !== null) await Deno.remove(path);
    }
  }
}

/** Name of a stage's log: "tuned-1a2b3c4d.log". */
export function logName(id: string, key: string): string {
  return `${id}-${key.slice(0, 8)}.log`;
}

function logText(event: StageEvent): string | null {
  switch (event.kind) {
    case "started":
      return `--- ${new Date().toISOString()} started`;
    case "log":
    case "remark":
      return event.line;
    case "progress":
      return null;
    case "failed":
      return `--- failed: ${event.message}${event.trace === null ? "" : `\n${event.trace}`}`;
    default:
      return `--- ${new Date().toISOString()} ${event.kind}`;
  }
}
