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
    "Lists every stage of every cell: cached or run, and the reason. Runs nothing.",
  )
    .argument("<file>", "YAML file, in this folder or in experiments/"),
);

await runCommand(command, async () => {
  const { planExperiment } = await import("../pipeline/experiment.ts");
  const { planRecords, planText } = await import("../pipeline/reports/plan_text.ts");
  const flags = command.opts<ExperimentFlags>();
  const plan = await planExperiment(command.args[0] ?? "", flags);
  const { name } = plan.experiment;
  console.log(
    flags.json
      ? JSON.stringify({ name, stages: planRecords(plan) }, null, 2)
      : planText(plan).trimEnd(),
  );
  return EXIT_DONE;
});
