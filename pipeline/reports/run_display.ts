/**
 * What a person sees of a run: progress on the standard error, the table on the standard output.
 *
 * @module
 */

import type { StageEvent } from "../executors/executor.ts";
import type { Plan } from "../graph/plan.ts";
import type { Results } from "../graph/results.ts";
import { errorOutput } from "./error_output.ts";
import { deviceLines, planSummary } from "./plan_text.ts";
import { ProgressView } from "./progress.ts";
import { formatCount, formatDuration } from "./quantities.ts";
import { logName } from "./run_folder.ts";
import { tableOfResults } from "./table.ts";
import { toTerminal } from "./table_formats.ts";

/** Shows one run. */
export class RunDisplay {
  #view: ProgressView | null = null;
  #folder = "";
  readonly #started = performance.now();

  /** Says what will run; `folder` is that of the results. */
  planned(plan: Plan, folder: string): void {
    this.#folder = folder;
    const cells = formatCount(plan.cells.length, "cell");
    this.#say(`${plan.experiment.name}: ${cells}, ${planSummary(plan)}`);
    deviceLines(plan).forEach((line) => this.#say(line));
    this.#view = new ProgressView(plan, errorOutput());
  }

  /** Shows what happened to a stage. */
  event(event: StageEvent): void {
    this.#view?.event(event);
  }

  /** Says that the first Ctrl-C was heard. */
  interrupted(): void {
    this.#say("Stopping after the current step; Ctrl-C again stops at once");
  }

  /** Says how the run ended and where its results are. */
  finished(results: Results): void {
    this.#view?.close();
    this.#view = null;
    for (const [key, { node, status }] of Object.entries(results.stages)) {
      if (status === "failed") this.#say(`The log of the failed ${node}: ${this.#log(node, key)}`);
    }
    const { cells } = results;
    const count = (status: string) => cells.filter((cell) => cell.status === status).length;
    const ends = [
      `${count("done")} of ${formatCount(cells.length, "cell")} done`,
      ...(count("failed") > 0 ? [`${count("failed")} failed`] : []),
    ];
    const time = formatDuration((performance.now() - this.#started) / 1000);
    this.#say(`${ends.join(", ")} in ${time}: ${this.#folder}/results.json`);
    if (count("cancelled") > 0) this.#say("To resume, run the same command again");
  }

  /** Prints the table; all metrics if the experiment asks for none. */
  table(results: Results): void {
    const table = tableOfResults(results, results.table);
    if (table.columns.length === 0) return;
    const color = Deno.stdout.isTerminal() && !Deno.noColor;
    console.log(`\n${toTerminal(table, color)}`.trimEnd());
  }

  #log(node: string, key: string): string {
    return `${this.#folder}/logs/${logName(node, key)}`;
  }

  #say(text: string): void {
    if (this.#view === null) errorOutput().write(`${text}\n`);
    else this.#view.line(text);
  }
}
