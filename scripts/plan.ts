/**
 * `deno task plan`: what a run would do, and why.
 *
 * @module
 */

import {
  addExperimentFlags,
  EXIT_DONE,
  type ExperimentFlags,
  makeCommand,
  runCommand,
} from "./shared/command.ts";

const command = addExperimentFlags(
  makeCommand(
    "plan",
    "Lists every stage of every cell: cached or run, the reason, and the memory it will take. " +
      "Runs nothing.",
  )
    .argument("<file>", "YAML file, in this folder or in experiments/"),
);

await runCommand(command, async () => {
  const { planExperiment } = await import("../pipeline/experiment.ts");
  const { ConfigurationError } = await import("../pipeline/graph/experiment.ts");
  const { DownloadDisplay } = await import("../pipeline/reports/download_display.ts");
  const { memoryText } = await import("../pipeline/reports/memory_text.ts");
  const { planRecords, planText } = await import("../pipeline/reports/plan_text.ts");
  const flags = command.opts<ExperimentFlags>();
  const downloads = new DownloadDisplay();
  const plan = await planExperiment(command.args[0] ?? "", { ...flags, hub: downloads.options })
    .finally(() => downloads.close());
  const { experiment: { name }, device } = plan;
  console.log(
    flags.json
      ? JSON.stringify({ name, device, stages: planRecords(plan) }, null, 2)
      : [planText(plan), memoryText(plan)].join("\n").trimEnd(),
  );
  if (plan.shortages.length > 0) throw new ConfigurationError(plan.shortages);
  return EXIT_DONE;
});
