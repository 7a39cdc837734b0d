/**
 * `deno task experiment`: runs an experiment and prints its table.
 *
 * @module
 */

import { relative } from "node:path";
import { Option } from "commander";
import {
  addExperimentFlags,
  EXIT_DONE,
  EXIT_FAILED,
  EXIT_INTERRUPTED,
  type ExperimentFlags,
  makeCommand,
  positiveInteger,
  runCommand,
} from "./shared/command.ts";

interface Flags extends ExperimentFlags {
  readonly jobs: number;
  readonly threads?: number;
  readonly failFast: boolean;
}

const command = addExperimentFlags(
  makeCommand("experiment", "Runs every stage of every cell that is not in the store yet.")
    .argument("<file>", "YAML file, in this folder or in experiments/"),
)
  .addOption(
    new Option("--executor <name>", "what runs the stages").choices(["local"]).default("local"),
  )
  .option("--jobs <n>", "stages at the same time, each in its own process", positiveInteger, 1)
  .option(
    "--threads <n>",
    "threads of each stage on the CPU device (default: processors / jobs)",
    positiveInteger,
  )
  .option("--fail-fast", "stop at the first failure", false);

await runCommand(command, async () => {
  const [{ runExperiment }, { listenForInterrupts }, { DownloadDisplay }, { RunDisplay }] =
    await Promise.all([
      import("../pipeline/experiment.ts"),
      import("./shared/interrupt.ts"),
      import("../pipeline/reports/download_display.ts"),
      import("../pipeline/reports/run_display.ts"),
    ]);
  const flags = command.opts<Flags>();
  const display = new RunDisplay();
  const downloads = new DownloadDisplay();
  const { gentle, forced } = listenForInterrupts(() => display.interrupted());
  const running = runExperiment(command.args[0] ?? "", {
    ...flags,
    command: ["deno task experiment", ...Deno.args].join(" "),
    interrupt: gentle,
    kill: forced,
    hub: downloads.options,
    onPlan: (plan, folder) => {
      const shown = relative(".", folder);
      display.planned(plan, shown.startsWith("..") ? folder : shown);
    },
    onEvent: (event) => display.event(event),
  });
  const results = await running.catch((error) => {
    // While it downloads, there are no results to say so.
    if (gentle.aborted && error === gentle.reason) return null;
    throw error;
  }).finally(() => downloads.close());
  if (results === null) {
    downloads.notice("To resume, run the same command again");
    return EXIT_INTERRUPTED;
  }
  display.finished(results);
  if (flags.json) {
    const { stringifyResults } = await import("../pipeline/graph/results.ts");
    console.log(stringifyResults(results).trimEnd());
  } else display.table(results);
  if (results.status === "done") return EXIT_DONE;
  return gentle.aborted ? EXIT_INTERRUPTED : EXIT_FAILED;
});
